//! What lies in the spool: one directory listing per stage.
//!
//! Files come and go while a directory is listed; what is found is a hint until it is claimed.

use std::fs::{self, Metadata};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use super::Spool;
use super::claim::{Access, Claim, Taken};
use super::error::{IoExt, Result};
use super::layout::{FileName, InProgressName, Stage, is_temp_name};
use crate::fail::step;

/// A file of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<N> {
    /// What its name says.
    pub name: N,
    /// Its size.
    pub bytes: u64,
    /// When it was last written or handed on.
    pub modified: SystemTime,
}

impl Spool {
    /// The files that are being written, or were by somebody who died; sorted by partition and start.
    pub fn in_progress(&self) -> Result<Vec<Entry<InProgressName>>> {
        self.entries(Stage::InProgress)
    }

    /// The files that wait to be packed; sorted by partition and start.
    pub fn rotated(&self) -> Result<Vec<Entry<FileName>>> {
        self.entries(Stage::Rotated)
    }

    /// The files that wait to go up; sorted by partition and start.
    pub fn compressed(&self) -> Result<Vec<Entry<FileName>>> {
        self.entries(Stage::Compressed)
    }

    /// Bytes of all files that count against `spool_max_bytes`, temporary ones too.
    pub fn usage(&self) -> Result<u64> {
        let mut bytes = 0_u64;
        for stage in Stage::DATA {
            self.each_file(stage, |_, meta| bytes = bytes.saturating_add(meta.len()))?;
        }
        Ok(bytes)
    }

    /// Removes temporary files that no living process works on, and returns how many there were.
    /// To be done at start-up, and harmless at any time.
    pub fn sweep(&self) -> Result<usize> {
        let mut swept = 0;
        for stage in Stage::ALL {
            for path in self.temporary(stage)? {
                if let Taken::Ours(claim) = Claim::take(&path, Access::Read)? {
                    claim.remove(step!("sweep.remove"))?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    fn temporary(&self, stage: Stage) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        self.each_file(stage, |name, _| {
            if is_temp_name(name) {
                paths.push(self.dir(stage).join(name));
            }
        })?;
        Ok(paths)
    }

    /// What is named as `N` are, in order; other names are passed over.
    fn entries<N: FromStr + Ord>(&self, stage: Stage) -> Result<Vec<Entry<N>>> {
        let mut entries = Vec::new();
        self.each_file(stage, |name, meta| {
            if let (Ok(name), Ok(modified)) = (name.parse(), meta.modified()) {
                entries.push(Entry { name, bytes: meta.len(), modified });
            }
        })?;
        entries.sort_by(|a: &Entry<N>, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Shows each file of `stage` by name; directories and what is gone again are passed over.
    pub(super) fn each_file(
        &self,
        stage: Stage,
        mut see: impl FnMut(&str, &Metadata),
    ) -> Result<()> {
        let dir = self.dir(stage);
        for entry in fs::read_dir(&dir).at("list", &dir)? {
            let entry = entry.at("list", &dir)?;
            let name = entry.file_name();
            // A file that is gone again is not there; a name that is no text is not ours.
            if let (Some(name), Ok(meta)) = (name.to_str(), entry.metadata())
                && meta.is_file()
            {
                see(name, &meta);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::claim::TempFile;
    use crate::spool::testing::{names_in, spool};

    fn put(spool: &Spool, stage: Stage, name: &str) {
        fs::write(spool.dir(stage).join(name), name).unwrap();
    }

    #[test]
    fn files_come_in_the_order_in_which_they_go_up() {
        let (_dir, spool) = spool();
        let sorted =
            ["a-2_0-9.mak.gz", "a-10_5-9.mak", "a-10_10-19.mak", "a-10_100-199.mak", "b-0_0-9.mak"];
        for name in sorted.iter().rev() {
            put(&spool, Stage::Compressed, name);
        }
        put(&spool, Stage::Compressed, "stranger");
        put(&spool, Stage::Compressed, ".~a-2_0-9.mak.gz.0000000000000001");
        fs::create_dir(spool.dir(Stage::Compressed).join("a-2_9-9.mak")).unwrap();
        let entries = spool.compressed().unwrap();
        let names: Vec<_> = entries.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, sorted);
        assert_eq!(entries[0].bytes, 14);
    }

    #[test]
    fn usage_counts_all_that_takes_room() {
        let (_dir, spool) = spool();
        put(&spool, Stage::InProgress, "t-0_5.00000000000000ff.mak");
        put(&spool, Stage::Rotated, "t-0_1-2.mak");
        put(&spool, Stage::Compressed, ".~t-0_1-2.mak.gz.0000000000000001");
        put(&spool, Stage::Tips, "t-0.json");
        assert_eq!(spool.usage().unwrap(), 26 + 11 + 33);
        assert_eq!(spool.in_progress().unwrap().len(), 1);
        assert_eq!(spool.rotated().unwrap().len(), 1);
    }

    #[test]
    fn only_temporary_files_of_the_dead_are_swept() {
        let (_dir, spool) = spool();
        put(&spool, Stage::Compressed, ".~t-0_1-2.mak.gz.0000000000000001");
        put(&spool, Stage::Tips, ".~t-0.json.0000000000000001");
        put(&spool, Stage::Rotated, "t-0_1-2.mak");
        let alive =
            TempFile::create(&spool, Stage::Compressed, "t-0_1-2.mak.gz", step!("test.alive"))
                .unwrap();
        assert_eq!(spool.sweep().unwrap(), 2);
        assert_eq!(names_in(&spool, Stage::Compressed).len(), 1);
        assert_eq!(names_in(&spool, Stage::Rotated).len(), 1);
        drop(alive);
        assert_eq!(spool.sweep().unwrap(), 0);
    }
}
