//! The broker as the model has it: one partition, whose beginning may be deleted and whose
//! records may be compacted away, and consumer groups whose offsets others may touch.

use super::archive::bits;
use crate::chain::{CommitNote, Position};
use crate::types::{Offset, TopicId};

/// A committed group offset.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) offset: Offset,
    /// What its metadata says, if it is ours.
    pub(super) noted: Option<Position>,
}

/// A consumer group.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Group {
    /// Which of its members the coordinator gave the partition to.
    pub(super) owner: usize,
    /// Whether that member has heard of it. Until then it is of an old generation, and its commits
    /// are refused.
    pub(super) joined: bool,
    pub(super) committed: Option<Committed>,
    /// The highest that a member ever committed, and in which chain.
    pub(super) highest: (u32, Offset),
    /// A member committed less than another one before.
    pub(super) went_down: bool,
    /// A member committed what no file covers.
    pub(super) past_tip: bool,
}

impl Group {
    pub(super) const fn owned_by(owner: usize) -> Self {
        Self {
            owner,
            joined: false,
            committed: None,
            highest: (0, Offset::ZERO),
            went_down: false,
            past_tip: false,
        }
    }

    /// A member's commit, as it comes back from the broker: through the note's own text.
    pub(super) fn commit(&mut self, offset: Offset, position: Position, tip: Offset) {
        let text = CommitNote::new(position, TopicId::UNKNOWN).to_text();
        let noted = CommitNote::parse(text.as_bytes()).map(|note| note.position);
        self.committed = Some(Committed { offset, noted });
        let at = (position.generation, offset);
        self.went_down |= at < self.highest;
        self.past_tip |= offset > tip;
        self.highest = self.highest.max(at);
    }
}

/// The partition and its groups.
#[derive(Debug, Clone, Hash)]
pub(super) struct Broker {
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    /// Offsets that hold a record, whether it is still there or was deleted: one bit each.
    pub(super) records: u64,
    pub(super) groups: Vec<Group>,
}

impl Broker {
    /// The first record at or behind `from` that is still there.
    pub(super) fn read(&self, from: Offset) -> Option<Offset> {
        let left = self.records & bits(from.max(self.log_start), self.log_end);
        (left != 0).then(|| Offset::new(left.trailing_zeros().into()).ok()).flatten()
    }
}
