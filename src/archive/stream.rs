//! A partition's records over all its files, in offset order, with files fetched ahead.
//!
//! Behind a [`RecordStream`] a [`Runner`](super::ahead::Runner) lists, opens and fetches; here the
//! next few frames are given to other threads to unpack, and records are picked from those that are
//! done, in their order.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::ahead::Runner;
use super::batch::{Batch, File};
use super::engine::Engine;
use super::slice::{Rule, Seek, Slice, Verdict};
use super::{ArchiveError, OwnedRecord, Partition};
use crate::mak::{Record, Shown};
use crate::store::names::ChainId;
use crate::types::Offset;

/// Bytes, packed and unpacked, that all streams of one reading hold together; one frame of each is
/// let through, however large it is.
pub(super) const AHEAD: u64 = 48 << 20;

/// Frames that are unpacked ahead: enough for every thread to have work, few enough for what they
/// wrote to be in a processor's cache still when it is read.
const UNPACKED_AHEAD: usize = 8;

/// Something of the runner's, in the order of the records.
pub(super) enum Item {
    /// Where the first record is. Comes first, once.
    Begin(Option<Seek>),
    /// What comes now may hold records before this, which were told of already.
    Behind(Offset),
    /// A frame, as soon as it is fetched.
    Fetching(oneshot::Receiver<Result<Packed, ArchiveError>>),
    /// A batch, as soon as it is unpacked.
    Unpacking(oneshot::Receiver<Result<Chunk, ArchiveError>>),
    /// All that was there has been told of; what comes now is new.
    CaughtUp,
    /// That is all.
    End(Result<(), ArchiveError>),
}

/// A frame that was fetched, and the room that it takes, packed and unpacked.
pub(super) struct Packed {
    pub(super) file: Arc<File>,
    /// Its number in the file.
    pub(super) index: usize,
    /// Where it begins in the unpacked file.
    pub(super) position: u64,
    pub(super) bytes: Bytes,
    /// Given back when its records were read.
    pub(super) room: OwnedSemaphorePermit,
}

impl Packed {
    /// Has it unpacked.
    fn unpack(self, engine: &Engine) -> oneshot::Receiver<Result<Chunk, ArchiveError>> {
        let (done, unpacked) = oneshot::channel();
        let spares = engine.clone();
        engine.unpack(move |bench| {
            let Self { file, index, position, bytes, room } = self;
            let codec = bench.codec(&file.tail, file.suffix);
            let batch = file.unpack(index, position, &bytes, codec, spares.spare());
            // Nobody may wait any more.
            let _ = done.send(batch.map(|batch| Chunk { batch, room }));
        });
        unpacked
    }
}

/// A batch and the room that it takes.
pub(super) struct Chunk {
    pub(super) batch: Batch,
    /// Given back when the batch was read.
    pub(super) room: OwnedSemaphorePermit,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A record.
    Record,
    /// What follows is not written yet; only told where the slice [follows](Slice::following).
    CaughtUp,
    /// Nothing more.
    Nothing,
}

/// The records of one partition that a [`Slice`] wants, in offset order.
///
/// What is ahead is fetched and unpacked meanwhile, 48 MiB at most; dropping this ends it. After an
/// error there is nothing more: all good records before it were given.
pub struct RecordStream {
    chain: ChainId,
    engine: Engine,
    items: mpsc::UnboundedReceiver<Item>,
    /// What comes next, as far as it is known.
    ahead: VecDeque<Item>,
    current: Option<Chunk>,
    rule: Rule,
    passed_over: u64,
    done: bool,
}

impl fmt::Debug for RecordStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl RecordStream {
    /// Starts to fetch. `share` streams divide the room among them.
    pub(super) fn start(partition: &Partition, slice: &Slice, share: usize) -> Self {
        let (out, items) = mpsc::unbounded_channel();
        let share = u64::try_from(share).unwrap_or(u64::MAX).max(1);
        let total = u32::try_from(AHEAD / share / super::ahead::UNIT).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(usize::try_from(total).unwrap_or(1)));
        let engine = partition.archive().engine().clone();
        let chain = partition.chain().clone();
        let runner = Runner {
            store: Arc::clone(partition.archive().inner()),
            engine: engine.clone(),
            chain: chain.clone(),
            elsewhere: partition.elsewhere().to_vec(),
            slice: slice.clone(),
            room,
            total,
            out,
        };
        engine.spawn(runner.run());
        Self {
            chain,
            engine,
            items,
            ahead: VecDeque::new(),
            current: None,
            rule: Rule::new(slice.clone()),
            passed_over: 0,
            done: false,
        }
    }

    /// Which chain it reads; a stream that follows may go on in the next generation.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// How many blocks of kinds that are not known here were passed over; they may hold records
    /// that only a newer version can read.
    #[must_use]
    pub const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The next record, borrowed until the one after it is asked for; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<Record<'_>>, ArchiveError> {
        loop {
            match self.ready().await? {
                Next::Record => break,
                Next::CaughtUp => {}
                Next::Nothing => return Ok(None),
            }
        }
        self.next_here()
    }

    /// The next record, with bytes of its own.
    pub async fn next_owned(&mut self) -> Result<Option<OwnedRecord>, ArchiveError> {
        Ok(self.next().await?.map(OwnedRecord::from))
    }

    /// Waits until it is known what comes next. Dropping the future half-way loses nothing.
    pub async fn ready(&mut self) -> Result<Next, ArchiveError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// The same as a poll.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ArchiveError>> {
        loop {
            match self.has_record() {
                Ok(true) => return Poll::Ready(Ok(Next::Record)),
                Ok(false) if self.done => return Poll::Ready(Ok(Next::Nothing)),
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
            match ready!(self.poll_more(cx)) {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(Next::CaughtUp)),
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
    }

    /// The next record, if it is at hand without waiting: `None` means to ask
    /// [`ready`](Self::ready) again. So many records are read at the cost of one wait.
    #[inline]
    pub fn next_here(&mut self) -> Result<Option<Record<'_>>, ArchiveError> {
        self.next_with_chain().map(|(_, record)| record)
    }

    /// The same, with the chain that it is of.
    #[inline]
    pub(super) fn next_with_chain(
        &mut self,
    ) -> Result<(&ChainId, Option<Record<'_>>), ArchiveError> {
        match self.has_record() {
            Ok(true) => {}
            Ok(false) => return Ok((&self.chain, None)),
            Err(error) => return Err(self.fail(error)),
        }
        self.rule.took();
        let Self { current, chain, done, .. } = self;
        let found = current.as_mut().map(|chunk| chunk.batch.next_record()).transpose();
        *done |= found.is_err();
        Ok((chain, found?.flatten()))
    }

    /// Shows all records that are at hand without waiting, one after the other, or until `show` says
    /// that it was enough: the quickest way to read. Then [`ready`](Self::ready) is to be asked.
    #[inline]
    pub fn each_here(
        &mut self,
        mut show: impl FnMut(&ChainId, Record<'_>) -> bool,
    ) -> Result<(), ArchiveError> {
        let Self { current, rule, chain, .. } = self;
        let Some(Chunk { batch, .. }) = current else { return Ok(()) };
        let (dated, mut stops) = (batch.is_dated(), rule.is_full());
        let shown = batch.each(|record| {
            let verdict = if stops { Verdict::Stop } else { rule.judge(&record, dated) };
            match verdict {
                Verdict::Skip => Shown::Next,
                Verdict::Stop => {
                    stops = true;
                    Shown::Keep
                }
                Verdict::Take => {
                    rule.took();
                    stops = rule.is_full();
                    if show(chain, record) && !stops { Shown::Next } else { Shown::Last }
                }
            }
        });
        match shown {
            Ok(_) if stops => {
                self.stop();
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// When the next record was made; `None` if there is none at hand, or it has no time.
    pub(super) fn time_of_next(&mut self) -> Result<Option<i64>, ArchiveError> {
        let Some(Chunk { batch, .. }) = &mut self.current else { return Ok(None) };
        let mut time = None;
        batch.skip_while(|record| {
            time = record.timestamp.map(|time| time.millis);
            false
        })?;
        Ok(time)
    }

    fn fail(&mut self, error: ArchiveError) -> ArchiveError {
        self.done = true;
        self.current = None;
        self.ahead.clear();
        error
    }

    /// Whether the batch at hand has a wanted record, which is the next one then.
    #[inline]
    fn has_record(&mut self) -> Result<bool, ArchiveError> {
        if self.rule.is_full() {
            return Ok(self.stop());
        }
        let Some(Chunk { batch, .. }) = &mut self.current else { return Ok(false) };
        if self.rule.takes_all() {
            return batch.has_more();
        }
        let (dated, rule, mut stops) = (batch.is_dated(), &mut self.rule, false);
        let found = batch.skip_while(|record| match rule.judge(record, dated) {
            Verdict::Take => false,
            Verdict::Skip => true,
            Verdict::Stop => {
                stops = true;
                false
            }
        })?;
        if stops { Ok(self.stop()) } else { Ok(found) }
    }

    /// Nothing more is wanted: what was fetched ahead is let go.
    fn stop(&mut self) -> bool {
        self.done = true;
        self.current = None;
        self.ahead.clear();
        self.items.close();
        false
    }

    /// Takes the next thing from the runner; whether it is that all was told.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ArchiveError>> {
        // Its room has to be given back before anything is waited for.
        if let Err(error) = self.close_batch() {
            return Poll::Ready(Err(error));
        }
        self.look_ahead(cx);
        match self.ahead.front_mut() {
            None | Some(Item::Fetching(_)) => return Poll::Pending,
            Some(Item::Unpacking(unpacked)) => {
                let unpacked = ready!(unpacked.poll_unpin(cx));
                self.ahead.pop_front();
                self.current = Some(unpacked.unwrap_or_else(|_| Err(self.given_up()))?);
                return Poll::Ready(Ok(false));
            }
            Some(Item::Begin(_) | Item::Behind(_) | Item::CaughtUp | Item::End(_)) => {}
        }
        match self.ahead.pop_front() {
            Some(Item::Begin(seek)) => self.rule.begin(seek),
            Some(Item::Behind(offset)) => self.rule.begin_behind(offset),
            Some(Item::CaughtUp) => return Poll::Ready(Ok(true)),
            Some(Item::End(end)) => {
                self.done = true;
                end?;
            }
            Some(Item::Fetching(_) | Item::Unpacking(_)) | None => {}
        }
        Poll::Ready(Ok(false))
    }

    /// Takes from the runner what comes next, up to some frames, and has unpacked what is here.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        while self.ahead.len() < UNPACKED_AHEAD {
            match self.items.poll_recv(cx) {
                Poll::Ready(Some(item)) => self.ahead.push_back(item),
                Poll::Ready(None) if self.ahead.is_empty() => {
                    self.ahead.push_back(Item::End(Err(self.given_up())));
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        let Self { ahead, engine, chain, .. } = self;
        for item in ahead {
            let Item::Fetching(fetched) = item else { continue };
            let Poll::Ready(fetched) = fetched.poll_unpin(cx) else { break };
            *item = match fetched {
                Ok(Ok(packed)) => Item::Unpacking(packed.unpack(engine)),
                Ok(Err(error)) => Item::End(Err(error)),
                Err(_) => Item::End(Err(given_up(chain))),
            };
        }
    }

    fn close_batch(&mut self) -> Result<(), ArchiveError> {
        let Some(Chunk { batch, room }) = self.current.take() else { return Ok(()) };
        let read = batch.close()?;
        self.passed_over += read.passed_over;
        self.engine.keep(read.bytes);
        drop(room);
        Ok(())
    }

    fn given_up(&self) -> ArchiveError {
        given_up(&self.chain)
    }
}

fn given_up(chain: &ChainId) -> ArchiveError {
    ArchiveError::GivenUp { chain: chain.to_string() }
}
