//! Where each assigned partition stands. Pure.
//!
//! The library has a position of its own per partition, and sets it wrongly in one case: when
//! something that is no record (the end of the partition, an error) is taken in a batch, it counts
//! as if a record had been there. It falls back on that position whenever it pauses and resumes a
//! partition, as it does around every rebalance; the record that came next would then be skipped.
//! So positions are kept here, partitions that stand at such a place are marked (`stale`), and
//! the consumer assigns those again, explicitly, with every change. The other way round the
//! library may deliver records a second time after a rebalance: `accept` refuses those.

use std::collections::HashMap;

use crate::types::{Offset, TopicPartition};

/// One assignment of one partition; every assignment gets a new number, also of the same
/// partition at another offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

/// Where an assigned partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which it is.
    pub(crate) partition: TopicPartition,
    /// The first offset that was not delivered yet.
    pub(crate) next: Offset,
    /// The leader epoch of what was delivered last.
    pub(crate) leader_epoch: Option<i32>,
    /// The library's own position is wrong.
    pub(crate) stale: bool,
    /// The leader epoch must be checked before anything is delivered.
    pub(crate) unchecked: bool,
    /// Something was delivered: the check, if there was one, came out well.
    confirmed: bool,
}

/// All assigned partitions.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    slots: HashMap<TopicPartition, Slot>,
    places: HashMap<Slot, Place>,
    issued: u32,
}

impl Ledger {
    /// Adds a partition, or puts it elsewhere; either way under a new slot.
    pub(crate) fn add(
        &mut self,
        partition: &TopicPartition,
        next: Offset,
        leader_epoch: Option<i32>,
    ) -> Slot {
        self.remove(partition);
        self.issued = self.issued.wrapping_add(1);
        let slot = Slot(self.issued);
        self.slots.insert(partition.clone(), slot);
        let mut place = Place {
            partition: partition.clone(),
            next,
            leader_epoch,
            stale: false,
            unchecked: false,
            confirmed: false,
        };
        place.restart();
        self.places.insert(slot, place);
        slot
    }

    pub(crate) fn remove(&mut self, partition: &TopicPartition) -> Option<Place> {
        let slot = self.slots.remove(partition)?;
        self.places.remove(&slot)
    }

    pub(crate) fn slot(&self, partition: &TopicPartition) -> Option<Slot> {
        self.slots.get(partition).copied()
    }

    pub(crate) fn place(&self, slot: Slot) -> Option<&Place> {
        self.places.get(&slot)
    }

    pub(crate) fn place_mut(&mut self, slot: Slot) -> Option<&mut Place> {
        self.places.get_mut(&slot)
    }

    /// The places that `which` picks, in a stable order.
    pub(crate) fn pick(&self, which: impl Fn(&Place) -> bool) -> Vec<Place> {
        let mut places: Vec<Place> = self.places.values().filter(|p| which(p)).cloned().collect();
        places.sort_by(|a, b| a.partition.cmp(&b.partition));
        places
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The library starts this partition anew where it stands.
    pub(crate) fn restarted(&mut self, partition: &TopicPartition) {
        if let Some(place) = self.slot(partition).and_then(|slot| self.place_mut(slot)) {
            place.restart();
        }
    }
}

impl Place {
    /// A check that was under way is lost by this, and due again. There is nothing to check at
    /// the front of a log, and nothing to check it by without an epoch.
    fn restart(&mut self) {
        self.stale = false;
        self.unchecked = !self.confirmed && self.leader_epoch.is_some() && self.next > Offset::ZERO;
    }

    /// Whether a record at `offset` is to be delivered; if so the place moves behind it.
    pub(crate) fn accept(&mut self, offset: Offset) -> bool {
        let wanted = !self.unchecked && offset >= self.next;
        if wanted {
            self.next = offset.after();
            self.stale = false;
            self.confirmed = true;
        }
        wanted
    }

    /// Something other than a record came, at `offset` if it is known; whether it is to be
    /// delivered.
    pub(crate) fn notice(&mut self, offset: Option<Offset>, end: bool) -> bool {
        if self.unchecked && end {
            return false;
        }
        self.stale = true;
        match offset {
            Some(offset) if offset < self.next => false,
            Some(offset) if end => {
                self.next = offset;
                self.confirmed = true;
                true
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Partition, TopicName};

    fn at(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn partition() -> TopicPartition {
        TopicPartition::new(TopicName::new("t").unwrap(), Partition::new(0).unwrap())
    }

    #[test]
    fn what_was_delivered_is_refused() {
        let mut ledger = Ledger::default();
        let slot = ledger.add(&partition(), at(10), None);
        let place = ledger.place_mut(slot).unwrap();
        assert!(!place.accept(at(9)));
        assert!(place.accept(at(10)));
        assert!(place.accept(at(15)));
        assert!(!place.accept(at(12)));
        assert_eq!(place.next, at(16));
    }

    #[test]
    fn an_end_moves_over_markers_and_leaves_a_stale_place() {
        let mut ledger = Ledger::default();
        let slot = ledger.add(&partition(), at(10), None);
        let place = ledger.place_mut(slot).unwrap();
        assert!(place.notice(Some(at(12)), true));
        assert_eq!((place.next, place.stale), (at(12), true));
        assert!(!place.notice(Some(at(11)), true), "an end that was left behind");
        assert!(place.accept(at(12)));
        assert!(!place.stale);
    }

    #[test]
    fn nothing_is_delivered_before_the_epoch_is_checked() {
        let mut ledger = Ledger::default();
        let slot = ledger.add(&partition(), at(10), Some(3));
        let place = ledger.place_mut(slot).unwrap();
        assert!(!place.accept(at(10)));
        assert!(!place.notice(Some(at(10)), true));
        assert!(place.notice(None, false), "an error shows");
        place.unchecked = false;
        place.restart();
        assert!(place.unchecked, "the answer was under way");
        place.unchecked = false;
        assert!(place.accept(at(10)));
        place.restart();
        assert!(!place.unchecked, "it was right");
    }

    #[test]
    fn another_assignment_is_another_slot() {
        let mut ledger = Ledger::default();
        let first = ledger.add(&partition(), at(10), None);
        let second = ledger.add(&partition(), at(5), None);
        assert_ne!(first, second);
        assert_eq!(ledger.place(first), None);
        assert_eq!(ledger.slot(&partition()), Some(second));
        assert_eq!(ledger.len(), 1);
    }
}
