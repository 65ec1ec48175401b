//! Where a chain begins that does not exist yet. Pure.
//!
//! | what is known | the chain begins |
//! |---|---|
//! | the original's files, here or in the archive | behind the last of them |
//! | else an offset that the group committed without our metadata | there |
//! | else | where `kafka_auto_offset_reset` says |
//!
//! Files that reach beyond the end of Kafka's log are of another log under the same name: the topic
//! was deleted and created again, or truncated. Then nothing here can tell what is archived, and
//! the operator decides. A committed offset beyond the end is worth nothing, as it is to any
//! consumer.

use crate::types::{Offset, OffsetRange};

/// What is known of a partition without a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Behind the last of the original's files.
    pub files: Option<Offset>,
    /// What the group committed, if it is not of our making.
    pub committed: Option<Offset>,
    /// The end of Kafka's log, open transactions and all.
    pub end: Offset,
}

/// Where the chain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Behind the original's files.
    BehindFiles(Offset),
    /// At the group's committed offset.
    AtCommit(Offset),
    /// As the settings say.
    AsSet,
    /// Files and log contradict each other.
    Beyond {
        /// Behind the last of the original's files.
        files: Offset,
        /// The end of Kafka's log.
        end: Offset,
    },
}

impl Known {
    /// Where the chain begins.
    #[must_use]
    pub fn begin(self) -> Begin {
        match (self.files, self.committed) {
            (Some(files), _) if files > self.end => Begin::Beyond { files, end: self.end },
            (Some(files), _) => Begin::BehindFiles(files),
            (None, Some(committed)) if committed <= self.end => Begin::AtCommit(committed),
            (None, _) => Begin::AsSet,
        }
    }
}

/// Whether the original's file may be archived beside a chain that begins at `first`: not a record
/// of it may belong to the chain.
#[must_use]
pub fn lies_before(file: OffsetRange, first: Offset) -> bool {
    file.next() <= first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn begin(files: Option<u64>, committed: Option<u64>, end: u64) -> Begin {
        let (files, committed) = (files.map(offset), committed.map(offset));
        Known { files, committed, end: offset(end) }.begin()
    }

    #[test]
    fn files_come_before_commits_and_commits_before_settings() {
        let (behind, at) = (Begin::BehindFiles, Begin::AtCommit);
        assert_eq!(begin(Some(5), None, 9), behind(offset(5)));
        // The original commits by a timer: before and behind what it has on disk.
        assert_eq!(begin(Some(5), Some(3), 9), behind(offset(5)));
        assert_eq!(begin(Some(5), Some(8), 9), behind(offset(5)));
        assert_eq!(begin(None, Some(8), 9), at(offset(8)));
        assert_eq!(begin(None, None, 9), Begin::AsSet);
        assert_eq!(begin(Some(9), None, 9), behind(offset(9)));
        assert_eq!(begin(None, Some(9), 9), at(offset(9)));
    }

    #[test]
    fn what_lies_beyond_the_log_is_of_another_log() {
        let beyond = Begin::Beyond { files: offset(10), end: offset(9) };
        assert_eq!(begin(Some(10), Some(3), 9), beyond);
        assert_eq!(begin(None, Some(10), 9), Begin::AsSet);
    }

    #[test]
    fn files_touch_the_chain_and_never_overlap_it() {
        let file = OffsetRange::new(offset(5), offset(10)).unwrap();
        assert!(lies_before(file, offset(10)));
        assert!(lies_before(file, offset(11)));
        assert!(!lies_before(file, offset(9)));
        assert!(!lies_before(file, offset(0)));
    }
}
