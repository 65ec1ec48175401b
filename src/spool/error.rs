//! What goes wrong in the spool. Each error carries the path that it is about.

use std::io;
use std::path::{Path, PathBuf};

use super::layout::SpoolPartition;
use crate::types::{Offset, OffsetRange, TopicPartition};

/// What this module's functions return.
pub type Result<T> = std::result::Result<T, SpoolError>;

/// What goes wrong in the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The working directory is not to be used at all.
    #[error("can't use \"{path}\" as working directory: it must be creatable and writable")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A call to the file system failed.
    #[error("can't {doing} \"{path}\"")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A write to this file failed before; it was removed and takes nothing more.
    #[error("\"{path}\" was given up after a failed write")]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
    /// A file is to be rotated as a range that it doesn't begin.
    #[error("\"{path}\" starts at {start} and can't be rotated as {range}")]
    WrongStart {
        /// The file.
        path: PathBuf,
        /// Its start.
        start: Offset,
        /// The range asked for.
        range: OffsetRange,
    },
    /// A tip is to be written under another partition's lock.
    #[error("the tip of {tp} can't be written under the lock of {held}")]
    WrongLock {
        /// Whose lock is held.
        held: SpoolPartition,
        /// Whose tip it is.
        tp: TopicPartition,
    },
    /// A file that this process holds the lock of is not where it was.
    #[error("\"{path}\" was taken away while its lock was held")]
    TakenAway {
        /// Where it was.
        path: PathBuf,
    },
}

impl SpoolError {
    /// Whether the disk or a quota is full: writing may be tried again once there is room.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Unusable { source, .. } | Self::Io { source, .. } => {
                matches!(source.kind(), StorageFull | QuotaExceeded)
            }
            _ => false,
        }
    }

    /// The process's exit code if it can't go on: 73, can't create or write.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        73
    }
}

/// Adds to an I/O error what was being done, and to which path.
pub(crate) trait IoExt<T> {
    /// The error's text begins `can't {doing} "{path}"`.
    fn at(self, doing: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoExt<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| SpoolError::Io { doing, path: path.to_owned(), source })
    }
}

impl<T> IoExt<T> for nix::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(io::Error::from).at(doing, path)
    }
}
