//! The spool: the directory through which the workers hand files on.
//!
//! It is a cache: losing it, or any file of it, loses no data. What it guarantees:
//!
//! - A file has its stage's name only when it is complete for that stage; it gets there by a
//!   rename. What is not complete has a temporary name ([`layout`]).
//! - Whoever works on a file holds its lock, as a value ([`stage`], [`claim`]); a process that dies
//!   leaves nothing that would have to be cleaned up before others can go on.
//! - Only `durable` renames or removes, and only at the wish of who holds the lock.
//! - What a crash leaves behind is decided by pure functions ([`recovery`]) over what is seen.
//!
//! ```text
//! consumer    InProgress --rotate--> rotated/
//! compressor  Rotated --begin--> Compressing --publish--> compressed/
//! uploader    Compressed --done--> (removed)           under the PartitionLock
//! anyone      --quarantine--> quarantine/ + tips/*.rewind for the consumer
//! ```
//!
//! Nothing here knows Kafka, the store, or what the files hold.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub mod age;
pub mod budget;
pub mod claim;
mod durable;
pub mod error;
pub mod layout;
pub mod original;
pub mod probe;
pub mod quarantine;
pub mod recovery;
pub mod scan;
pub mod stage;
mod status_files;
pub mod stops;
pub mod survey;
pub mod takeover;
pub mod tips;
pub mod watch;

pub use claim::{PartitionLock, Taken};
pub use error::SpoolError;
pub use layout::{FileName, InProgressName, SpoolPartition, SpoolTopic, Stage};
pub use stops::{StopKind, Stopped};

use crate::fail::step;
use claim::TempFile;
use error::{IoExt, Result};

/// Permissions of new directories.
const DIR_MODE: u32 = 0o750;

/// A working directory whose stages exist and are writable. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    root: Arc<Path>,
}

impl Spool {
    /// Makes the directories that are missing and tries each out with a small file, which is
    /// removed again. Existing directories keep their permissions. An error is
    /// [`SpoolError::Unusable`]: exit code 73.
    pub fn open(root: &Path) -> Result<Self> {
        let spool = Self::at(root);
        for stage in Stage::ALL {
            let dir = spool.dir(stage);
            step!("spool.dir")
                .around(|| DirBuilder::new().recursive(true).mode(DIR_MODE).create(&dir))
                .map_err(|source| SpoolError::Unusable { path: dir, source })?;
            TempFile::create(&spool, stage, "probe", step!("spool.probe")).map_err(unusable)?;
        }
        Ok(spool)
    }

    /// The same without a look: for those who read, and make and change nothing. Its directories
    /// may be missing.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// The working directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of `stage`.
    #[must_use]
    pub fn dir(&self, stage: Stage) -> PathBuf {
        self.root.join(stage.dir_name())
    }

    fn path(&self, stage: Stage, name: &impl ToString) -> PathBuf {
        self.dir(stage).join(name.to_string())
    }

    /// Bytes that this user may still write to the file system of the spool.
    pub fn free_bytes(&self) -> Result<u64> {
        let stat =
            nix::sys::statvfs::statvfs(&*self.root).at("ask for free space at", &self.root)?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }
}

fn unusable(e: SpoolError) -> SpoolError {
    match e {
        SpoolError::Io { path, source, .. } => SpoolError::Unusable { path, source },
        other => other,
    }
}

/// What the tests of this module share.
#[cfg(test)]
mod testing {
    use super::*;
    use crate::types::{Offset, OffsetRange, Partition, TopicName, TopicPartition};
    use std::fs;

    pub(super) fn spool() -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        (dir, spool)
    }

    pub(super) fn tp(topic: &str, number: i64) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).unwrap(), Partition::new(number).unwrap())
    }

    pub(super) fn partition(topic: &str, number: i64) -> SpoolPartition {
        SpoolPartition::of(&tp(topic, number))
    }

    pub(super) fn offset(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    pub(super) fn range(start: u64, next: u64) -> OffsetRange {
        OffsetRange::new(offset(start), offset(next)).unwrap()
    }

    pub(super) fn names_in(spool: &Spool, stage: Stage) -> Vec<String> {
        let names = fs::read_dir(spool.dir(stage)).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn opening_makes_all_directories_and_leaves_nothing_in_them() {
        let (_dir, spool) = testing::spool();
        for stage in Stage::ALL {
            let mode = fs::metadata(spool.dir(stage)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7027, 0, "{stage}");
            assert!(testing::names_in(&spool, stage).is_empty());
        }
        Spool::open(spool.root()).unwrap();
        assert!(spool.free_bytes().unwrap() > 0);
    }

    #[test]
    fn a_file_in_the_way_is_said_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        fs::write(&path, "").unwrap();
        let e = Spool::open(&path).unwrap_err();
        assert!(matches!(e, SpoolError::Unusable { .. }));
        assert!(e.to_string().contains(path.to_str().unwrap()));
        assert_eq!(e.exit_code(), 73);
    }
}
