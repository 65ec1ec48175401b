//! Reads the file of another tool from its beginning to its end, to know what is in it.

use bytes::Bytes;
use futures_util::future::join;

use super::cut::{Counter, Cut, CutError, Cutter};
use super::run::Pieces;
use super::{Elder, tp_of};
use crate::archive::engine::Engine;
use crate::archive::{ArchiveError, Partition};
use crate::store::{Store, StoreError};
use crate::types::Offset;

/// What a file turned out to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Behind its last record; where it starts, without any.
    pub next: Offset,
    /// Records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Lowest and highest timestamp.
    pub times: Option<(i64, i64)>,
}

/// Why there is no survey.
#[derive(Debug, thiserror::Error)]
pub(in crate::archive) enum SurveyError {
    /// The store did not give the bytes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what it should be.
    #[error(transparent)]
    Wrong(#[from] CutError),
    /// The threads are gone.
    #[error("reading was given up half-way; this should not happen")]
    GivenUp,
}

impl SurveyError {
    /// The same as a reader is told of it.
    pub(super) fn of(self, file: &Elder, store: &dyn Store) -> ArchiveError {
        match self {
            Self::Store(error) => error.into(),
            Self::Wrong(error) => error.of(file.url(store)),
            Self::GivenUp => ArchiveError::GivenUp { chain: file.name.to_string() },
        }
    }
}

/// A file that is being read.
struct Reading {
    cutter: Cutter,
    found: Survey,
}

impl Reading {
    fn take(&mut self, bytes: Option<Bytes>) -> Result<(), CutError> {
        match bytes {
            Some(bytes) => self.cutter.feed(bytes),
            None => self.cutter.finish(),
        }
        while let Some(cut) = self.cutter.next_cut()? {
            self.count(cut)?;
        }
        self.found.next = self.cutter.next();
        Ok(())
    }

    fn count(&mut self, mut cut: Cut) -> Result<(), CutError> {
        let found = &mut self.found;
        while let Some(record) = cut.piece.next_record()? {
            found.records += 1;
            found.bytes = found.bytes.saturating_add(record.content_bytes());
            if let Some(time) = record.timestamp {
                let (low, high) = found.times.unwrap_or((time.millis, time.millis));
                found.times = Some((low.min(time.millis), high.max(time.millis)));
            }
        }
        Ok(())
    }
}

/// Reads all of `elder`; `read` is told of the bytes that were looked at.
pub(in crate::archive) async fn survey(
    engine: &Engine,
    store: &dyn Store,
    elder: &Elder,
    cutter: Cutter,
    read: &(dyn Fn(u64) + Sync),
) -> Result<Survey, SurveyError> {
    let start = elder.start();
    let found = Survey { next: start, records: 0, bytes: 0, times: None };
    let mut reading = Reading { cutter, found };
    let mut pieces = Pieces::new(store, elder);
    let mut piece = pieces.next().await?;
    loop {
        let (len, last) = (piece.as_ref().map_or(0, Bytes::len), piece.is_none());
        let mut taking = reading;
        let job = move || {
            let taken = taking.take(piece);
            (taking, taken)
        };
        let (worked, following) = join(engine.worked(job), pieces.next()).await;
        let (back, taken) = worked.ok_or(SurveyError::GivenUp)?;
        taken?;
        if last {
            return Ok(back.found);
        }
        reading = back;
        piece = following?;
        read(u64::try_from(len).unwrap_or_default());
    }
}

/// Where a file of kafka_store's ends, by what its blocks say of their records: nothing of it is
/// unpacked.
pub(super) async fn count(store: &dyn Store, elder: &Elder) -> Result<Offset, SurveyError> {
    let mut counter = Counter::new(elder);
    let mut pieces = Pieces::new(store, elder);
    while let Some(bytes) = pieces.next().await? {
        counter.feed(&bytes)?;
    }
    Ok(counter.finish()?)
}

impl Partition {
    /// Where a file of kafka_store's ends.
    pub(in crate::archive) async fn end_of_elder(
        &self,
        elder: &Elder,
    ) -> Result<Offset, SurveyError> {
        count(&**self.archive().store(), elder).await
    }

    /// Reads all of a file of another tool's.
    pub async fn survey(&self, elder: &Elder) -> Result<Survey, ArchiveError> {
        let store = &**self.archive().store();
        self.look_at_elder(elder, &|_| ()).await.map_err(|error| error.of(elder, store))
    }

    pub(in crate::archive) async fn look_at_elder(
        &self,
        elder: &Elder,
        read: &(dyn Fn(u64) + Sync),
    ) -> Result<Survey, SurveyError> {
        let cutter = Cutter::new(elder, tp_of(self.chain()));
        survey(self.archive().engine(), &**self.archive().store(), elder, cutter, read).await
    }
}
