//! The order in which blocks may follow each other in one file.

use super::{Finish, Kind};
use crate::types::{Offset, OffsetRange};

/// Follows a file's blocks and says which may come next. What it refuses, it does not note.
#[derive(Debug, Clone, Default)]
pub(in crate::mak) struct Sequence {
    /// Where the file's range starts, if its header was there.
    start: Option<Offset>,
    next: Option<Offset>,
    records: u64,
    /// A block of an unknown kind may have held records of its own.
    blind: bool,
    finished: bool,
}

impl Sequence {
    /// Begins in the middle of a file, with a block whose range starts at `next`.
    pub(in crate::mak) fn from_the_middle(next: Offset) -> Self {
        Self { next: Some(next), ..Self::default() }
    }

    /// Where the file's range ends so far; `None` before the header.
    pub(in crate::mak) const fn next(&self) -> Option<Offset> {
        self.next
    }

    /// Records so far, as the blocks say.
    pub(in crate::mak) const fn records(&self) -> u64 {
        self.records
    }

    /// Whether the finish block was there.
    pub(in crate::mak) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// A header whose file starts at `start`.
    pub(in crate::mak) fn header(&mut self, start: Offset) -> Result<(), &'static str> {
        if self.next.is_some() {
            return Err("a second header");
        }
        self.start = Some(start);
        self.next = Some(start);
        Ok(())
    }

    /// A block of `count` records over `range`.
    pub(in crate::mak) fn records_block(
        &mut self,
        range: OffsetRange,
        count: u64,
    ) -> Result<(), &'static str> {
        let next = self.open()?;
        if range.start() < next || (range.start() > next && !self.blind) {
            return Err("the block's range does not join the one before");
        }
        self.next = Some(range.next());
        self.records = self.records.saturating_add(count);
        Ok(())
    }

    /// The finish block.
    pub(in crate::mak) fn finish(&mut self, finish: &Finish) -> Result<(), &'static str> {
        if finish.next < self.open()? {
            return Err("the file is said to end before its last block does");
        }
        if Some(finish.next) == self.start {
            return Err("the file is said to cover no offset");
        }
        if self.start.is_some() && finish.records != self.records && !self.blind {
            return Err("the file is said to hold another number of records");
        }
        self.next = Some(finish.next);
        self.finished = true;
        Ok(())
    }

    /// A block of any other kind.
    pub(in crate::mak) fn other(&mut self, kind: Kind) -> Result<(), &'static str> {
        if self.next.is_none() {
            return Err("the first block is not the header");
        }
        self.blind |= matches!(kind, Kind::Other(_));
        Ok(())
    }

    fn open(&self) -> Result<Offset, &'static str> {
        match self.next {
            None => Err("the first block is not the header"),
            Some(_) if self.finished => Err("the file goes on behind its finish block"),
            Some(next) => Ok(next),
        }
    }
}
