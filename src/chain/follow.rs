//! What the consumer of a partition makes of the news that its chain's tip moved.
//!
//! Pure. The consumer knows where its own files begin and end (*boundaries*). A tip on a
//! boundary is its own progress; any other tip means that somebody else extended the chain, and
//! that everything local from there on has to go.

use std::collections::VecDeque;

use super::Position;
use crate::meta::{Gap, GapReason};
use crate::types::Offset;

/// What the consumer has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing new.
    None,
    /// Commit the tip.
    Commit,
    /// Drop the in-progress file and all local files from here on, read again from here; commit
    /// the tip too.
    Restart(Offset),
}

/// The boundaries of one partition's local files, from the tip to the file in progress.
#[derive(Debug, Clone, Hash)]
pub struct Follower {
    position: Position,
    /// Starts of the local files from the tip on, in order; the last one is the start of the
    /// file in progress.
    starts: VecDeque<Offset>,
}

impl Follower {
    /// Begins at `position`; `starts` are the boundaries of local files behind it that join
    /// (each start but the tip itself, ascending), the last one where reading goes on.
    #[must_use]
    pub fn new(position: Position, starts: impl IntoIterator<Item = Offset>) -> Self {
        let mut all = VecDeque::from([position.tip]);
        all.extend(starts.into_iter().filter(|start| *start > position.tip));
        Self { position, starts: all }
    }

    /// The last known tip.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// Start of the file in progress.
    #[must_use]
    pub fn current_start(&self) -> Offset {
        self.starts.back().copied().unwrap_or(self.position.tip)
    }

    /// The file in progress was rotated; the next one starts at `next`.
    pub fn rotated(&mut self, next: Offset) {
        self.starts.push_back(next);
    }

    /// What the next file has to record as missing, if Kafka's log begins at `log_start` only.
    #[must_use]
    pub fn gap(&self, log_start: Offset) -> Option<Gap> {
        let from = self.current_start();
        let begins_chain = self.position.totals.files == 0 && from == self.position.first;
        let reason = if begins_chain { GapReason::Genesis } else { GapReason::Retention };
        (from < log_start).then_some(Gap { from, to: log_start, reason })
    }

    /// Whether everything that was rotated is durable.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.current_start() == self.position.tip
    }

    /// The tip is now at `position`.
    pub fn tip_moved(&mut self, position: Position) -> Reaction {
        if position.generation > self.position.generation {
            // Nothing local belongs to the new chain.
            self.starts = VecDeque::from([position.tip]);
            self.position = position;
            return Reaction::Restart(position.tip);
        }
        if position.generation < self.position.generation || position.tip < self.position.tip {
            return Reaction::None;
        }
        let moved = position.tip > self.position.tip;
        self.position = position;
        if !moved {
            return Reaction::None;
        }
        if self.starts.contains(&position.tip) {
            self.starts.retain(|start| *start >= position.tip);
            return Reaction::Commit;
        }
        self.starts = VecDeque::from([position.tip]);
        Reaction::Restart(position.tip)
    }

    /// A local file was lost: go back to `to`, which is where it began.
    pub fn rewind(&mut self, to: Offset) -> Reaction {
        if to >= self.current_start() && !self.starts.contains(&to) {
            return Reaction::None;
        }
        let to = if self.starts.contains(&to) { to } else { self.position.tip };
        self.starts.retain(|start| *start <= to);
        Reaction::Restart(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Suffix;

    fn at(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn tip(offset: u64) -> Position {
        Position { tip: at(offset), ..Position::genesis(Offset::ZERO, Suffix::MakGz) }
    }

    /// Tip at 10, files [10, 20) and [20, 30) rotated, reading from 30 on.
    fn follower() -> Follower {
        let mut follower = Follower::new(tip(10), [at(20)]);
        follower.rotated(at(30));
        follower
    }

    #[test]
    fn own_progress_is_committed() {
        let mut f = follower();
        assert_eq!(f.tip_moved(tip(20)), Reaction::Commit);
        assert!(!f.settled());
        assert_eq!(f.tip_moved(tip(30)), Reaction::Commit);
        assert!(f.settled());
    }

    #[test]
    fn a_tip_inside_a_file_or_ahead_means_start_again_there() {
        for foreign in [15, 25, 31, 99] {
            let mut f = follower();
            assert_eq!(f.tip_moved(tip(foreign)), Reaction::Restart(at(foreign)));
            assert_eq!(f.current_start(), at(foreign));
            assert!(f.settled());
        }
    }

    #[test]
    fn the_tip_never_goes_back() {
        let mut f = follower();
        assert_eq!(f.tip_moved(tip(9)), Reaction::None);
        assert_eq!(f.tip_moved(tip(10)), Reaction::None);
        assert_eq!(f.position().tip, at(10));
    }

    #[test]
    fn the_next_chain_begins_anew_wherever_it_begins() {
        for next in [5, 20, 99] {
            let mut f = follower();
            let second = Position { generation: 2, ..tip(next) };
            assert_eq!(f.tip_moved(second), Reaction::Restart(at(next)));
            assert_eq!((f.current_start(), f.position().generation), (at(next), 2));
            assert_eq!(f.tip_moved(tip(100)), Reaction::None, "the first chain is over");
        }
    }

    #[test]
    fn what_the_log_has_lost_before_a_file_is_a_gap_and_at_the_first_file_genesis() {
        let gap = |from, to, reason| Some(Gap { from: at(from), to: at(to), reason });
        assert_eq!(follower().gap(at(30)), None);
        assert_eq!(follower().gap(at(31)), gap(30, 31, GapReason::Retention));
        let mut fresh = Follower::new(Position::genesis(at(5), Suffix::Mak), []);
        assert_eq!(fresh.gap(at(5)), None);
        assert_eq!(fresh.gap(at(7)), gap(5, 7, GapReason::Genesis));
        fresh.rotated(at(8));
        assert_eq!(fresh.gap(at(9)), gap(8, 9, GapReason::Retention), "the second file");
    }

    #[test]
    fn a_lost_file_is_read_again_from_its_start() {
        let mut f = follower();
        assert_eq!(f.rewind(at(20)), Reaction::Restart(at(20)));
        assert_eq!(f.current_start(), at(20));
        let mut f = follower();
        assert_eq!(f.rewind(at(17)), Reaction::Restart(at(10)), "no boundary: from the tip");
        let mut f = follower();
        assert_eq!(f.rewind(at(35)), Reaction::None, "not read yet");
    }
}
