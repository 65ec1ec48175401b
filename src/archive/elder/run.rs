//! Reads the files of other tools for a stream of records, before those of the chain behind them.
//!
//! **Requests.** One for each [`PIECE`] bytes of a file, the next one while this one is unpacked.
//! There is no index: a file that holds the first record that is wanted is read from its beginning.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;
use tokio::sync::oneshot;

use super::cut::{Cut, CutError, Cutter};
use super::look::survey;
use super::{Elder, Layout, tp_of};
use crate::archive::ArchiveError;
use crate::archive::ahead::{Patience, Runner, Stop, cost};
use crate::archive::batch::{Batch, File};
use crate::archive::engine::Engine;
use crate::archive::slice::Seek;
use crate::archive::stream::{Chunk, Item};
use crate::codec::{Frame, FrameInfo};
use crate::store::{Store, StoreError};
use crate::types::Offset;

/// Bytes that are fetched at once.
pub(super) const PIECE: u64 = 1 << 20;
/// Packed bytes that are unpacked at once; so a lying file can't take much memory at once.
pub(super) const BITE: usize = 64 << 10;

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

/// What one bite gave.
type Bitten = (Cutter, Vec<Cut>, Result<(), CutError>);

/// Feeds `bytes` to `cutter`, or nothing more, on a thread that unpacks.
async fn bite(engine: &Engine, mut cutter: Cutter, bytes: Option<Bytes>) -> Option<Bitten> {
    let job = move || {
        let mut cuts = Vec::new();
        let done = match bytes {
            Some(bytes) => cutter.feed(&bytes, &mut cuts),
            None => cutter.finish(&mut cuts),
        };
        (cutter, cuts, done)
    };
    engine.worked(job).await
}

/// How far the files of other tools were read.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::archive) struct Reached {
    /// Behind the last record of the last file that was read.
    at: Option<Offset>,
    /// Whether that was one of kafka_store's: the next one's name is known then.
    dense: bool,
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
        let at = reached.at.unwrap_or(Offset::ZERO);
        if dense && elder.start() < at {
            let what = format!("it begins at {}, inside the file before it", elder.start());
            return Err(file.disagree(what).into());
        }
        if dense && reached.dense && elder.start() > at {
            let (object, from, to) = (file.url.clone(), at, elder.start());
            return Err(ArchiveError::Hole { object, from, to }.into());
        }
        let mut cutter = Cutter::new(elder, tp_of(&self.chain)).within(at, until);
        let mut pieces = Pieces::new(&*self.store, elder);
        let mut piece = pieces.next().await?;
        while let Some(bytes) = piece.take() {
            let (bitten, following) =
                join(self.bite_all(cutter, bytes, &file), pieces.next()).await;
            cutter = bitten?;
            piece = following?;
        }
        let last = bite(&self.engine, cutter, None).await;
        let cutter = self.hand_on(last, &file).await?;
        if self.slice.may_stop_early() {
            // Only who asks for more than there was needs another file.
            drop(self.take_room(self.total).await?);
        }
        Ok(Reached { at: Some(cutter.next().max(at)), dense })
    }

    async fn bite_all(
        &self,
        mut cutter: Cutter,
        bytes: Bytes,
        file: &Arc<File>,
    ) -> Result<Cutter, Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let part = rest.split_to(BITE.min(rest.len()));
            let bitten = bite(&self.engine, cutter, Some(part)).await;
            cutter = self.hand_on(bitten, file).await?;
        }
        Ok(cutter)
    }

    /// Hands the records on, and says what is wrong behind them.
    async fn hand_on(&self, bitten: Option<Bitten>, file: &Arc<File>) -> Result<Cutter, Stop> {
        let (cutter, cuts, done) = bitten.ok_or_else(|| self.given_up())?;
        for cut in cuts {
            let records = u32::try_from(cut.records).unwrap_or(u32::MAX);
            let info = FrameInfo { first: cut.first, records, times: None };
            let raw_len = u32::try_from(cut.raw_len).unwrap_or(u32::MAX);
            let says = Frame { at: 0, len: 0, raw_len, info };
            let room = self.take_room(cost(&says).min(self.total)).await?;
            let batch = Batch::without_index(Arc::clone(file), cut.piece, says, cut.next);
            let (chunk, unpacked) = oneshot::channel();
            // Nobody may wait any more: that is seen when there is something to tell.
            let _ = chunk.send(Ok(Chunk { batch, room }));
            self.tell(Item::Unpacking(unpacked))?;
        }
        done.map_err(|error| error.of(file.url.clone()))?;
        Ok(cutter)
    }

    /// Waits for each next file of kafka_store's under the name that it will have; returns at once
    /// if the last one was not its own.
    pub(in crate::archive) async fn follow_elders(&self, mut reached: Reached) -> Result<(), Stop> {
        let mut patience = Patience::default();
        while let Some(at) = reached.at.filter(|_| reached.dense) {
            if self.slice.end().is_some_and(|end| end <= at) {
                return Ok(());
            }
            let next = Elder::of_kafka_store(&self.chain, at);
            let Some(mut elder) = next else { return Ok(()) };
            match self.store.head(&elder.name).await {
                Ok(Some(info)) => {
                    elder.size = info.size;
                    reached = self.read_elder(&elder, reached, None).await?;
                    self.tell(Item::CaughtUp)?;
                    patience = Patience::default();
                    if reached.at > Some(at) {
                        continue;
                    }
                }
                Ok(None) => {}
                Err(error) if error.is_transient() => log::warn!("{error}: asking again"),
                Err(error) => return Err(error.into()),
            }
            patience.wait(&self.out).await?;
        }
        Ok(())
    }

    /// Where the files of other tools end; nothing, without any.
    pub(in crate::archive) async fn elders_end(
        &self,
        elders: &[Elder],
    ) -> Result<Option<Offset>, ArchiveError> {
        let said = elders.iter().filter_map(Elder::next).max();
        let Some(last) = elders.last().filter(|last| last.layout == Layout::KafkaStore) else {
            return Ok(said);
        };
        let cutter = Cutter::new(last, tp_of(&self.chain));
        let found = survey(&self.engine, &*self.store, last, cutter, &|_| ()).await;
        let found = found.map_err(|error| error.of(last, &*self.store))?;
        Ok(said.max(Some(found.next)))
    }
}

/// Those of `elders` that may hold a record at `seek` or behind it, and before `end`.
fn wanted(elders: &[Elder], seek: Option<Seek>, end: Option<Offset>) -> &[Elder] {
    let from = match seek {
        Some(Seek::Offset(offset)) => elders.iter().position(|elder| {
            let same = |other: &&Elder| other.layout == elder.layout;
            let behind = |other: &&Elder| other.start() > elder.start();
            // Where its name does not say its end, it ends where the next one begins.
            let next = || elders.iter().filter(same).find(behind).map(Elder::start);
            elder.next().or_else(next).is_none_or(|end| end > offset)
        }),
        Some(Seek::Time(_)) | None => Some(0),
    };
    let from = from.unwrap_or(elders.len());
    let until = end.map_or(elders.len(), |end| elders.partition_point(|e| e.start() < end));
    elders.get(from..until.max(from)).unwrap_or_default()
}
