//! The records of several partitions: one partition after the other.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::slice::Slice;
use super::stream::{Next, RecordStream};
use super::{ArchiveError, Partition, Topic};
use crate::mak::Record;
use crate::store::names::ChainId;

/// Partitions that are fetched from at the same time: the one that is read, and the next.
const AT_ONCE: usize = 2;

/// A record, and where it is from.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Which chain holds it: topic, generation and partition.
    pub chain: &'a ChainId,
    /// The record itself.
    pub record: Record<'a>,
}

/// The records of a topic's partitions that a [`Slice`] wants: one partition after the other, each
/// in offset order. Where the slice follows, each is read to where it ends by now, and then whichever
/// goes on first. A number of records that the slice limits counts for all of them together.
///
/// After an error there is nothing more.
pub struct Messages {
    /// Until its partitions are known.
    topic: Option<Topic>,
    slice: Slice,
    partitions: VecDeque<Partition>,
    streams: VecDeque<RecordStream>,
    /// Those that were read to where they end by now.
    waiting: Vec<RecordStream>,
    left: Option<u64>,
    passed_over: u64,
    failed: bool,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("streams", &self.streams).finish_non_exhaustive()
    }
}

impl Messages {
    pub(super) fn of_topic(topic: Topic, slice: Slice) -> Self {
        Self { topic: Some(topic), ..Self::of_partitions(Vec::new(), slice) }
    }

    /// The records of these partitions, in this order.
    #[must_use]
    pub fn of_partitions(partitions: Vec<Partition>, slice: Slice) -> Self {
        let left = slice.limit();
        let partitions = partitions.into();
        let (streams, waiting) = (VecDeque::new(), Vec::new());
        let (topic, passed_over, failed) = (None, 0, false);
        Self { topic, slice, partitions, streams, waiting, left, passed_over, failed }
    }

    /// How many blocks of kinds that are not known here were passed over.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        let open = self.streams.iter().chain(&self.waiting);
        self.passed_over + open.map(RecordStream::passed_over).sum::<u64>()
    }

    /// The next record, borrowed until the one after it is asked for; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<Message<'_>>, ArchiveError> {
        if !self.ready().await? {
            return Ok(None);
        }
        self.next_here()
    }

    /// Waits until it is known whether there is another record. Dropping the future half-way loses
    /// nothing.
    pub async fn ready(&mut self) -> Result<bool, ArchiveError> {
        if let Some(topic) = &self.topic {
            self.partitions = topic.all_partitions().await?.into();
            self.topic = None;
        }
        let found = poll_fn(|cx| self.poll_ready(cx)).await;
        if !matches!(found, Ok(true)) {
            self.failed |= found.is_err();
            self.end();
        }
        found
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ArchiveError>> {
        while self.left != Some(0) && !self.failed {
            self.start_streams();
            let Some(stream) = self.streams.front_mut() else { return self.poll_waiting(cx) };
            match ready!(stream.poll_ready(cx))? {
                Next::Record => return Poll::Ready(Ok(true)),
                Next::CaughtUp => self.waiting.extend(self.streams.pop_front()),
                Next::Nothing => self.leave(),
            }
        }
        Poll::Ready(Ok(false))
    }

    /// Waits for any of those that have nothing by now.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ArchiveError>> {
        let mut at = 0;
        while let Some(stream) = self.waiting.get_mut(at) {
            match stream.poll_ready(cx)? {
                Poll::Pending => at += 1,
                Poll::Ready(Next::CaughtUp) => {}
                Poll::Ready(Next::Nothing) => {
                    self.passed_over += self.waiting.swap_remove(at).passed_over();
                }
                Poll::Ready(Next::Record) => {
                    self.streams.push_front(self.waiting.swap_remove(at));
                    return Poll::Ready(Ok(true));
                }
            }
        }
        if self.waiting.is_empty() { Poll::Ready(Ok(false)) } else { Poll::Pending }
    }

    /// The next record, if it is at hand without waiting: `None` means to ask
    /// [`ready`](Self::ready) again.
    #[inline]
    pub fn next_here(&mut self) -> Result<Option<Message<'_>>, ArchiveError> {
        let Self { streams, left, failed, .. } = self;
        let Some(stream) = streams.front_mut() else { return Ok(None) };
        let (chain, found) = stream.next_with_chain().inspect_err(|_| *failed = true)?;
        let Some(record) = found else { return Ok(None) };
        *left = left.map(|left| left.saturating_sub(1));
        Ok(Some(Message { chain, record }))
    }

    /// Shows all records that are at hand without waiting, one after the other, or until `show` says
    /// that it was enough: the quickest way to read. Then [`ready`](Self::ready) is to be asked.
    #[inline]
    pub fn each_here(
        &mut self,
        mut show: impl FnMut(Message<'_>) -> bool,
    ) -> Result<(), ArchiveError> {
        let Self { streams, left, failed, .. } = self;
        let Some(stream) = streams.front_mut() else { return Ok(()) };
        let read = stream.each_here(|chain, record| {
            *left = left.map(|left| left.saturating_sub(1));
            show(Message { chain, record }) && *left != Some(0)
        });
        read.inspect_err(|_| *failed = true)
    }

    fn start_streams(&mut self) {
        let at_once = if self.slice.may_stop_early() { 1 } else { AT_ONCE };
        let share = at_once.min(self.partitions.len() + self.streams.len());
        while self.streams.len() < at_once
            && let Some(partition) = self.partitions.pop_front()
        {
            let slice = match self.left {
                Some(left) => self.slice.clone().at_most(left),
                None => self.slice.clone(),
            };
            self.streams.push_back(RecordStream::start(&partition, &slice, share));
        }
    }

    fn leave(&mut self) {
        let left = self.streams.pop_front();
        self.passed_over += left.map_or(0, |stream| stream.passed_over());
    }

    fn end(&mut self) {
        self.streams.clear();
        self.waiting.clear();
        self.partitions.clear();
    }
}
