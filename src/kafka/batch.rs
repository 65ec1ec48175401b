//! What was taken from the cluster at once.
//!
//! A batch is a row of [`Part`]s: runs of records of one partition in offset order, and what
//! else happened to a partition at that place. Every record is delivered once per [`Slot`]; a
//! batch belongs to the slots that were assigned when it was taken.

use std::ffi::c_void;

use super::error::{Code, KafkaError};
pub use super::ledger::Slot;
use super::ledger::{Ledger, Place};
pub use super::raw::{Header, Headers};
use super::raw::{RawBatch, RawMessage};
use crate::types::{Offset, Partition, Timestamp, TopicName, TopicPartition};

/// Something about a partition that is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionEvent {
    /// Everything that the broker has was delivered; `next` lies behind transaction markers and
    /// what compaction took, too. Comes again after every assignment and rebalance.
    End {
        /// The offset that comes next.
        next: Offset,
    },
    /// The position lies outside of the broker's log. Nothing more comes until the partition is
    /// assigned anew. Look at the log's ends before believing it: an error that was under way
    /// while the partition was assigned elsewhere may still arrive.
    OutOfRange {
        /// The position, if it is known.
        at: Option<Offset>,
        /// What the library says.
        text: String,
    },
    /// The broker's log is not the one that was read (its leader epochs differ). Nothing more
    /// comes until the partition is assigned anew.
    Truncated {
        /// What the library says.
        text: String,
    },
    /// The topic or partition is not there any more.
    Gone {
        /// What the library says.
        text: String,
    },
    /// This user must not read the topic.
    Forbidden {
        /// What the library says.
        text: String,
    },
    /// Any other error of this partition; the library goes on by itself.
    Error {
        /// Its code.
        code: Code,
        /// What the library says.
        text: String,
    },
}

impl PartitionEvent {
    fn of(code: Code, offset: Option<Offset>, text: String) -> Self {
        match (code, offset) {
            (Code::PARTITION_EOF, Some(next)) => Self::End { next },
            (Code::LOG_TRUNCATION, _) => Self::Truncated { text },
            (Code::AUTO_OFFSET_RESET, _) if text.contains(&Code::LOG_TRUNCATION.to_string()) => {
                Self::Truncated { text }
            }
            (Code::AUTO_OFFSET_RESET | Code::OFFSET_OUT_OF_RANGE, at) => {
                Self::OutOfRange { at, text }
            }
            (
                Code::UNKNOWN_TOPIC_OR_PART
                | Code::UNKNOWN_TOPIC
                | Code::UNKNOWN_PARTITION
                | Code::UNKNOWN_TOPIC_ID,
                _,
            ) => Self::Gone { text },
            (Code::TOPIC_AUTHORIZATION_FAILED, _) => Self::Forbidden { text },
            (code, _) => Self::Error { code, text },
        }
    }
}

/// One piece of a batch.
pub enum Part<'a> {
    /// Records of one partition.
    Run(Run<'a>),
    /// Something else that happened to a partition.
    Event(Slot, &'a PartitionEvent),
}

/// Records of one partition in offset order, at least one.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    batch: &'a RawBatch,
    slot: Slot,
    start: usize,
    end: usize,
}

impl<'a> Run<'a> {
    /// The partition's assignment.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// How many records.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// The records.
    pub fn messages(&self) -> impl Iterator<Item = Message<'a>> + use<'a> {
        self.batch.iter(self.start, self.end).map(Message)
    }
}

/// One record.
#[derive(Clone, Copy)]
pub struct Message<'a>(RawMessage<'a>);

impl<'a> Message<'a> {
    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> Offset {
        Offset::from_kafka(self.0.offset()).unwrap_or_default()
    }

    /// Its key; null and empty differ.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.0.key()
    }

    /// Its value; null and empty differ.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.0.value()
    }

    /// Its timestamp, if it has one.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.0.timestamp()
    }

    /// Its headers, in their order.
    pub fn headers(&self) -> Result<Headers<'a>, KafkaError> {
        self.0.headers()
    }

    /// The epoch of the leader that wrote it, if the broker knows.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        self.0.leader_epoch()
    }
}

enum Piece {
    Run { slot: Slot, start: usize, end: usize },
    Event { slot: Slot, event: PartitionEvent },
}

/// Records taken at once. Refilling or dropping it gives them back; it is meant to be reused.
pub struct Batch {
    pub(super) raw: RawBatch,
    pieces: Vec<Piece>,
    records: usize,
}

impl Batch {
    /// A batch that takes up to `size` records at once. Large ones cost memory, small ones time:
    /// 1,000 to 10,000 is right.
    #[must_use]
    pub fn with_capacity(size: usize) -> Self {
        Self { raw: RawBatch::with_capacity(size), pieces: Vec::new(), records: 0 }
    }

    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// Whether there is nothing in it, neither records nor events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// What is in it, in the order in which it came.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Run { slot, start, end } => {
                Part::Run(Run { batch: &self.raw, slot: *slot, start: *start, end: *end })
            }
            Piece::Event { slot, event } => Part::Event(*slot, event),
        })
    }

    /// Gives back what it holds.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.records = 0;
        self.raw.clear();
    }

    /// Sorts what was taken into pieces. What belongs to no slot, or was delivered before, is
    /// left out.
    pub(super) fn sort(&mut self, ledger: &mut Ledger) {
        self.pieces.clear();
        self.records = 0;
        let mut index = 0;
        while let Some(first) = self.raw.get(index) {
            let of = Origin::of(first);
            let slot = of.slot(first, ledger);
            let place = slot.and_then(|slot| Some((slot, ledger.place_mut(slot)?)));
            index = match place {
                Some((slot, place)) => self.sort_stretch(index, of, slot, place),
                None => self.skip_stretch(index, of),
            };
        }
    }

    /// Adds what the library said of partitions without a message of its own; it puts
    /// `TOPIC [PARTITION]:` in front.
    pub(super) fn add_complaints(&mut self, complaints: Vec<(Code, String)>, ledger: &Ledger) {
        for (code, text) in complaints {
            let slot = complained_of(&text).and_then(|partition| ledger.slot(&partition));
            if let Some(slot) = slot {
                let event = PartitionEvent::of(code, None, text);
                self.pieces.push(Piece::Event { slot, event });
            } else {
                log::warn!("{text} ({})", code.0);
            }
        }
    }

    /// Messages of one partition from `index` on; returns where they end.
    fn sort_stretch(&mut self, mut index: usize, of: Origin, slot: Slot, at: &mut Place) -> usize {
        let mut start = index;
        let mut last = None;
        while let Some(message) = self.raw.get(index).filter(|m| Origin::of(*m) == of) {
            let code = message.code();
            let offset = Offset::from_kafka(message.offset()).ok();
            let wanted = code == Code::NONE && offset.is_some_and(|offset| at.accept(offset));
            if wanted {
                last = Some(message);
            } else {
                let event = (code != Code::NONE && at.notice(offset, code == Code::PARTITION_EOF))
                    .then(|| PartitionEvent::of(code, offset, message.error_text()));
                at.leader_epoch =
                    last.take().and_then(RawMessage::leader_epoch).or(at.leader_epoch);
                push_run(&mut self.pieces, &mut self.records, slot, start..index);
                self.pieces.extend(event.map(|event| Piece::Event { slot, event }));
                start = index + 1;
            }
            index += 1;
        }
        at.leader_epoch = last.and_then(RawMessage::leader_epoch).or(at.leader_epoch);
        push_run(&mut self.pieces, &mut self.records, slot, start..index);
        index
    }

    fn skip_stretch(&self, mut index: usize, of: Origin) -> usize {
        while self.raw.get(index).is_some_and(|m| Origin::of(m) == of) {
            index += 1;
        }
        index
    }
}

fn complained_of(text: &str) -> Option<TopicPartition> {
    let (topic, rest) = text.split_once(" [")?;
    let (partition, _) = rest.split_once("]:")?;
    let partition = Partition::new(partition.parse().ok()?).ok()?;
    Some(TopicPartition::new(TopicName::new(topic).ok()?, partition))
}

fn push_run(pieces: &mut Vec<Piece>, records: &mut usize, slot: Slot, run: std::ops::Range<usize>) {
    if !run.is_empty() {
        *records += run.len();
        pieces.push(Piece::Run { slot, start: run.start, end: run.end });
    }
}

/// Which partition a message is of, as far as that can be told without looking at names.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Origin {
    topic: *const c_void,
    partition: i32,
}

impl Origin {
    fn of(message: RawMessage<'_>) -> Self {
        Self { topic: message.topic_key(), partition: message.partition() }
    }

    fn slot(self, message: RawMessage<'_>, ledger: &Ledger) -> Option<Slot> {
        let topic = TopicName::new(message.topic()).ok()?;
        let partition = Partition::new(self.partition.into()).ok()?;
        ledger.slot(&TopicPartition::new(topic, partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_its_partition() {
        let named = |text| complained_of(text).map(|partition| partition.to_string());
        let text = "a.b-c [12]: topic does not exist (Broker: Unknown topic or partition)";
        assert_eq!(named(text).as_deref(), Some("a.b-c-12"));
        assert_eq!(named("1/1 brokers are down"), None);
        assert_eq!(named("a [x]: b"), None);
    }
}
