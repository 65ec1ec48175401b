//! The records of several partitions in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::slice::Slice;
use super::stream::{Next, RecordStream};
use super::{ArchiveError, Message, Partition};

/// The records of several partitions that a [`Slice`] wants, merged by their times; equal times in
/// the order of the partitions. Each partition's records stay in offset order, whatever their times:
/// one that is older than the record before it comes right behind that. A record without a time
/// counts as old as the one before it.
///
/// All partitions are read at the same time, and share the room for what is ahead; each holds one
/// batch at least, which is about 1 MiB. A slice's limit counts for all of them together. Where the
/// slice follows, the order holds for what is there when it is read. After an error there is nothing
/// more.
pub struct Merge {
    streams: Vec<RecordStream>,
    /// Those that have a record at hand: its time, then which stream.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    /// Those that have to be asked: the latest time that they gave.
    unknown: Vec<(usize, i64)>,
    /// Those that were read to where they end by now, likewise.
    waiting: Vec<(usize, i64)>,
    left: Option<u64>,
    failed: bool,
}

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("streams", &self.streams).finish_non_exhaustive()
    }
}

impl Merge {
    /// The records of these partitions.
    #[must_use]
    pub fn of_partitions(partitions: &[Partition], slice: &Slice) -> Self {
        let start = |partition| RecordStream::start(partition, slice, partitions.len());
        Self {
            streams: partitions.iter().map(start).collect(),
            heads: BinaryHeap::new(),
            unknown: (0..partitions.len()).map(|at| (at, i64::MIN)).collect(),
            waiting: Vec::new(),
            left: slice.limit(),
            failed: false,
        }
    }

    /// How many blocks of kinds that are not known here were passed over.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.streams.iter().map(RecordStream::passed_over).sum()
    }

    /// The next record, borrowed until the one after it is asked for; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<Message<'_>>, ArchiveError> {
        if !self.ready().await? {
            return Ok(None);
        }
        self.next_here()
    }

    /// The next record, if it is known without waiting: `None` means to ask [`ready`](Self::ready)
    /// again.
    pub fn next_here(&mut self) -> Result<Option<Message<'_>>, ArchiveError> {
        if !self.unknown.is_empty() {
            return Ok(None);
        }
        let Some(Reverse((time, at))) = self.heads.pop() else { return Ok(None) };
        self.unknown.push((at, time));
        self.left = self.left.map(|left| left.saturating_sub(1));
        let Self { streams, failed, .. } = self;
        let Some(stream) = streams.get_mut(at) else { return Ok(None) };
        let (chain, found) = stream.next_with_chain().inspect_err(|_| *failed = true)?;
        Ok(found.map(|record| Message { chain, record }))
    }

    /// Waits until it is known whether there is another record. Dropping the future half-way loses
    /// nothing.
    pub async fn ready(&mut self) -> Result<bool, ArchiveError> {
        let found = poll_fn(|cx| self.poll_ready(cx)).await;
        self.failed |= found.is_err();
        found
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ArchiveError>> {
        if self.left == Some(0) || self.failed {
            return Poll::Ready(Ok(false));
        }
        // Whose next record is not known may have the oldest one.
        while let Some((at, before)) = self.unknown.last().copied() {
            ready!(self.poll_one(at, before, cx))?;
            self.unknown.pop();
        }
        if self.heads.is_empty() {
            self.poll_waiting(cx)?;
        }
        if !self.heads.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.waiting.is_empty() { Poll::Ready(Ok(false)) } else { Poll::Pending }
    }

    /// Asks one stream for its next record, and notes what it has.
    fn poll_one(
        &mut self,
        at: usize,
        before: i64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ArchiveError>> {
        let Some(stream) = self.streams.get_mut(at) else { return Poll::Ready(Ok(())) };
        match ready!(stream.poll_ready(cx))? {
            Next::Record => {
                let time = stream.time_of_next()?.unwrap_or(before);
                self.heads.push(Reverse((time, at)));
            }
            Next::CaughtUp => self.waiting.push((at, before)),
            Next::Nothing => {}
        }
        Poll::Ready(Ok(()))
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Result<(), ArchiveError> {
        let mut asked = std::mem::take(&mut self.waiting);
        let mut pending = Vec::new();
        while let Some((at, before)) = asked.pop() {
            match self.poll_one(at, before, cx) {
                // One that says once more that it is caught up has to be asked until it waits.
                Poll::Ready(found) => found?,
                Poll::Pending => pending.push((at, before)),
            }
            asked.append(&mut self.waiting);
        }
        self.waiting = pending;
        Ok(())
    }
}
