//! Reads the files of other tools for a stream of records, before those of the chain behind them.
//!
//! **Requests.** One for each [`PIECE`] bytes of a file, the next one while this one is unpacked.
//! There is no index: a file that holds the first record that is wanted is read from its beginning.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::cut::{Cut, CutError, Cutter};
use super::look::count;
use super::{Elder, Layout, tp_of};
use crate::archive::ArchiveError;
use crate::archive::ahead::{Patience, Runner, Stop, cost};
use crate::archive::batch::{Batch, File};
use crate::archive::engine::Engine;
use crate::archive::slice::Seek;
use crate::archive::stream::{Chunk, Item};
use crate::codec::{Frame, FrameInfo};
use crate::store::names::Name;
use crate::store::{Store, StoreError};
use crate::types::Offset;

/// Bytes that are fetched at once.
pub(super) const PIECE: u64 = 1 << 20;

/// Units of room without which nothing is unpacked: a piece takes so much, if none of its blocks or
/// records is larger.
const LEAST: u32 = 1 << 10;

/// The bytes of a file, fetched one piece after the other.
pub(super) struct Pieces<'s> {
    store: &'s dyn Store,
    elder: &'s Elder,
    at: u64,
}

impl<'s> Pieces<'s> {
    pub(super) const fn new(store: &'s dyn Store, elder: &'s Elder) -> Self {
        Self { store, elder, at: 0 }
    }

    /// The next one; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let range = self.at..self.elder.size.min(self.at.saturating_add(PIECE));
        if range.is_empty() {
            return Ok(None);
        }
        self.at = range.end;
        self.store.get_range(&self.elder.name, range).await.map(Some)
    }
}

/// Cuts the next piece on a thread that unpacks.
async fn cut(
    engine: &Engine,
    mut cutter: Cutter,
) -> Option<(Cutter, Result<Option<Cut>, CutError>)> {
    let job = move || {
        let cut = cutter.next_cut();
        (cutter, cut)
    };
    engine.worked(job).await
}

/// How far the files of other tools were read.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::archive) struct Reached {
    /// Behind the last record.
    at: Option<Offset>,
    /// Behind the last one of a file of kafka_store's: the name of the next one is known then.
    dense: Option<Offset>,
}

impl Reached {
    /// Behind the last record; nothing, if no file was read.
    pub(in crate::archive) const fn at(self) -> Option<Offset> {
        self.at
    }
}

impl Runner {
    /// Reads those of `elders`, which are in their order, that hold what `seek` looks for or what
    /// comes behind it, up to `until`.
    pub(in crate::archive) async fn read_elders(
        &self,
        elders: &[Elder],
        seek: Option<Seek>,
        until: Option<Offset>,
    ) -> Result<Reached, Stop> {
        let end = match (until, self.slice.end()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let mut reached = Reached::default();
        for elder in wanted(elders, seek, end) {
            reached = self.read_elder(elder, reached, end).await?;
        }
        Ok(reached)
    }

    /// Reads one file behind what was `reached`.
    async fn read_elder(
        &self,
        elder: &Elder,
        reached: Reached,
        until: Option<Offset>,
    ) -> Result<Reached, Stop> {
        let dense = elder.layout == Layout::KafkaStore;
        let file = Arc::new(elder.as_file(&tp_of(&self.chain), &*self.store));
        let (at, start) = (reached.at.unwrap_or(Offset::ZERO), elder.start());
        if let Some(before) = reached.dense.filter(|_| dense) {
            if start < before {
                let what = format!("it begins at {start}, inside the file before it");
                return Err(file.disagree(what).into());
            }
            if start > before && start > at {
                let (object, from, to) = (file.url.clone(), at, start);
                return Err(ArchiveError::Hole { object, from, to }.into());
            }
        }
        let mut cutter = Cutter::new(elder, tp_of(&self.chain)).within(at, until);
        let mut pieces = Pieces::new(&*self.store, elder);
        let mut piece = pieces.next().await?;
        while let Some(bytes) = piece.take() {
            cutter.feed(bytes);
            let (cut, following) = join(self.cut_all(cutter, &file), pieces.next()).await;
            cutter = cut?;
            piece = following?;
        }
        cutter.finish();
        let cutter = self.cut_all(cutter, &file).await?;
        if self.slice.may_stop_early() {
            // Only who asks for more than there was needs another file.
            drop(self.take_room(self.total).await?);
        }
        let end = cutter.next();
        let dense = if dense { Some(end) } else { reached.dense };
        Ok(Reached { at: Some(end.max(at)), dense })
    }

    /// Hands on all records that can be cut off what was fed, and says what is wrong behind them.
    async fn cut_all(&self, mut cutter: Cutter, file: &Arc<File>) -> Result<Cutter, Stop> {
        loop {
            // How much comes out is not known before, but nothing does without some room.
            let room = self.take_room(LEAST.min(self.total)).await?;
            let (back, found) = cut(&self.engine, cutter).await.ok_or_else(|| self.given_up())?;
            cutter = back;
            match found.map_err(|error| error.of(file.url.clone()))? {
                Some(cut) => self.hand_on(cut, room, file).await?,
                None => return Ok(cutter),
            }
        }
    }

    async fn hand_on(
        &self,
        cut: Cut,
        mut room: OwnedSemaphorePermit,
        file: &Arc<File>,
    ) -> Result<(), Stop> {
        let records = u32::try_from(cut.records).unwrap_or(u32::MAX);
        let info = FrameInfo { first: cut.first, records, times: None };
        let raw_len = u32::try_from(cut.raw_len).unwrap_or(u32::MAX);
        let says = Frame { at: 0, len: 0, raw_len, info };
        let cost = cost(&says).min(self.total);
        let taken = u32::try_from(room.num_permits()).unwrap_or(u32::MAX);
        if let Some(more) = cost.checked_sub(taken).filter(|more| *more > 0) {
            room.merge(self.take_room(more).await?);
        } else {
            // What is too much goes back.
            let too_much = usize::try_from(taken.saturating_sub(cost)).unwrap_or(0);
            drop(room.split(too_much));
        }
        let batch = Batch::without_index(Arc::clone(file), cut.piece, says, cut.next);
        let (chunk, unpacked) = oneshot::channel();
        // Nobody may wait any more: that is seen when there is something to tell.
        let _ = chunk.send(Ok(Chunk { batch, room }));
        self.tell(Item::Unpacking(unpacked))?;
        Ok(())
    }

    /// Waits for each next file of kafka_store's under the name that it will have, until the chain
    /// is begun behind them; returns at once if none of them was its own. How far it came.
    pub(in crate::archive) async fn follow_elders(
        &self,
        mut reached: Reached,
    ) -> Result<Reached, Stop> {
        let mut patience = Patience::default();
        while let Some(at) = reached.dense {
            if self.slice.end().is_some_and(|end| end <= at) {
                break;
            }
            let Some(mut elder) = Elder::of_kafka_store(&self.chain, at) else { break };
            if let Some(size) = self.size_of(&elder.name).await? {
                elder.size = size;
                reached = self.read_elder(&elder, reached, None).await?;
                self.tell(Item::CaughtUp)?;
                patience = Patience::default();
                if reached.dense > Some(at) {
                    continue;
                }
            } else if self.size_of(&self.chain.record()).await?.is_some() {
                break;
            }
            patience.wait(&self.out).await?;
        }
        Ok(reached)
    }

    /// The size of an object, if it is there.
    async fn size_of(&self, name: &Name) -> Result<Option<u64>, Stop> {
        match self.store.head(name).await {
            Ok(found) => Ok(found.map(|info| info.size)),
            Err(error) if error.is_transient() => {
                log::warn!("{error}: asking again");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Where the files of other tools end; nothing, without any.
    pub(in crate::archive) async fn elders_end(
        &self,
        elders: &[Elder],
    ) -> Result<Option<Offset>, ArchiveError> {
        let said = elders.iter().filter_map(Elder::next).max();
        let mut dense = elders.iter().rev().filter(|elder| elder.layout == Layout::KafkaStore);
        let Some(last) = dense.next() else { return Ok(said) };
        let end = count(&*self.store, last).await;
        let end = end.map_err(|error| error.of(last, &*self.store))?;
        Ok(said.max(Some(end)))
    }
}

/// Those of `elders` that may hold a record at `seek` or behind it, and before `end`.
fn wanted(elders: &[Elder], seek: Option<Seek>, end: Option<Offset>) -> &[Elder] {
    let mut from = 0;
    if let Some(Seek::Offset(offset)) = seek {
        from = elders.len();
        let mut next = None;
        for (at, elder) in elders.iter().enumerate().rev() {
            // Where its name does not say its end, it ends where the next one begins.
            if elder.next().or(next).is_none_or(|end| end > offset) {
                from = at;
            }
            if elder.layout == Layout::KafkaStore {
                next = Some(elder.start());
            }
        }
    }
    let until = end.map_or(elders.len(), |end| elders.partition_point(|e| e.start() < end));
    elders.get(from..until.max(from)).unwrap_or_default()
}
