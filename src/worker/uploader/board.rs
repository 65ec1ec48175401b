//! What an uploader says of itself: the last object of each partition, and what keeps its files.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::spool::SpoolPartition;
use crate::status::model::{Published, Trouble, UploadStatus, UploaderStatus};

/// Shared by all partitions' turns.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    /// Without its partitions.
    status: UploaderStatus,
    partitions: BTreeMap<SpoolPartition, (Option<Published>, Option<Trouble>)>,
}

impl Board {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file of `partition` went up.
    pub(super) fn published(&self, partition: &SpoolPartition, object: Published) {
        let notes = &mut *self.notes();
        let done = &mut notes.status.done;
        done.files += 1;
        done.records += object.records.unwrap_or_default();
        done.bytes += object.bytes;
        notes.partitions.insert(partition.clone(), (Some(object), None));
    }

    /// A file was damaged.
    pub(super) fn quarantined(&self) {
        self.notes().status.quarantined += 1;
    }

    /// A turn of `partition` failed; the next one comes after `wait`.
    pub(super) fn failed(&self, partition: &SpoolPartition, error: String, wait: Duration) {
        let notes = &mut *self.notes();
        let (_, trouble) = notes.partitions.entry(partition.clone()).or_default();
        Trouble::again(trouble, error, wait);
    }

    /// Nothing is in the way of `partition`.
    pub(super) fn is_fine(&self, partition: &SpoolPartition) {
        if let Some((_, trouble)) = self.notes().partitions.get_mut(partition) {
            *trouble = None;
        }
    }

    /// All of it.
    pub(super) fn status(&self) -> UploaderStatus {
        let notes = self.notes();
        let partitions = notes.partitions.iter().map(|(partition, (last, trouble))| UploadStatus {
            partition: partition.to_string(),
            last: last.clone(),
            trouble: trouble.clone(),
        });
        UploaderStatus { partitions: partitions.collect(), ..notes.status.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Offset, Partition, TopicName, TopicPartition};

    #[test]
    fn troubles_add_up_until_a_file_goes_up() {
        let board = Board::default();
        let topic = TopicName::new("t").unwrap();
        let partition = SpoolPartition::of(&TopicPartition::new(topic, Partition::new(1).unwrap()));
        for error in ["slow", "gone"] {
            board.failed(&partition, error.to_owned(), Duration::from_secs(3));
        }
        let status = board.status();
        assert_eq!(status.partitions[0].partition, "t-1");
        let trouble = status.partitions[0].trouble.clone().unwrap();
        assert_eq!((trouble.error.as_str(), trouble.attempts), ("gone", 2));
        assert!(trouble.next_ms.unwrap() >= trouble.since_ms + 3000);
        let object = Published {
            object: "t/000001/00000000000000000005.mak.gz".to_owned(),
            start: Offset::new(5).unwrap(),
            next: Offset::new(7).unwrap(),
            records: Some(2),
            bytes: 70,
            at_ms: 1,
            took_ms: Some(1),
        };
        board.published(&partition, object.clone());
        let status = board.status();
        assert_eq!((status.done.files, status.done.records, status.done.bytes), (1, 2, 70));
        assert_eq!(status.partitions[0].last, Some(object));
        assert_eq!(status.partitions[0].trouble, None);
    }
}
