//! One object of an archive, opened by its tail.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::File;
use super::ledger::BodyCheck;
use super::{ArchiveError, OwnedRecord, Records};
use crate::codec::{CodecError, Index, Step, Tail, TailRead};
use crate::meta::{FileMeta, ObjectMeta};
use crate::store::names::{Name, Parsed, parse};
use crate::store::{Store, StoreError};
use crate::types::{Offset, Suffix};

/// A file or seal of an archive whose tail was read and agrees with its name.
///
/// Objects never change, so this stays true for as long as it lives.
#[derive(Debug)]
pub struct Object<'s> {
    store: &'s dyn Store,
    pub(super) inner: Arc<File>,
    /// What the first request brought: the end of the object.
    pub(super) end: Bytes,
    /// Whether the tail took a second request.
    pub(super) long_tail: bool,
}

/// The end of an object, with its tail.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) tail: Tail,
    /// What the first request brought.
    pub(super) end: Bytes,
    /// Whether the tail took a second request.
    pub(super) long_tail: bool,
}

/// Why there is no tail.
#[derive(Debug)]
pub(super) enum EndingError {
    Store(StoreError),
    Container(CodecError),
}

impl From<StoreError> for EndingError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CodecError> for EndingError {
    fn from(error: CodecError) -> Self {
        Self::Container(error)
    }
}

impl Ending {
    /// Reads the tail out of `end`, the object's last [`TailRead::FIRST`] bytes, and fetches what is
    /// missing of it.
    pub(super) async fn read(
        store: &dyn Store,
        name: &Name,
        suffix: Suffix,
        size: u64,
        end: Bytes,
    ) -> Result<Self, EndingError> {
        match TailRead::start(suffix, size)?.feed(&end)? {
            Step::Ready(tail) => Ok(Self { tail: *tail, end, long_tail: false }),
            Step::Need(more) => {
                let front = store.get_range(name, more.range()).await?;
                match more.feed(&front)? {
                    Step::Ready(tail) => Ok(Self { tail: *tail, end, long_tail: true }),
                    Step::Need(_) => Err(CodecError::Corrupt("the end of the container").into()),
                }
            }
        }
    }
}

impl<'s> Object<'s> {
    /// Opens an object whose size is not known, in one request, or two if its tail is long.
    pub async fn open(store: &'s dyn Store, name: &Name) -> Result<Self, ArchiveError> {
        let suffix = suffix_of(store, name)?;
        let end = store.get_suffix(name, TailRead::FIRST).await?;
        Self::read(store, name, suffix, end.size, end.bytes).await
    }

    /// The same for one whose size is known, from a listing, say: some stores need another request
    /// to give the end of an object of unknown size.
    pub async fn open_sized(
        store: &'s dyn Store,
        name: &Name,
        size: u64,
    ) -> Result<Self, ArchiveError> {
        let suffix = suffix_of(store, name)?;
        let range = size.saturating_sub(TailRead::FIRST)..size;
        let end = store.get_range(name, range).await?;
        Self::read(store, name, suffix, size, end).await
    }

    async fn read(
        store: &'s dyn Store,
        name: &Name,
        suffix: Suffix,
        size: u64,
        end: Bytes,
    ) -> Result<Self, ArchiveError> {
        let ending = Ending::read(store, name, suffix, size, end).await;
        let Ending { tail, end, long_tail } = ending.map_err(|error| match error {
            EndingError::Store(error) => ArchiveError::Store(error),
            EndingError::Container(source) => {
                ArchiveError::Container { object: url(store, name), source }
            }
        })?;
        let meta = ObjectMeta::from_map(&tail.meta)
            .map_err(|source| ArchiveError::Meta { object: url(store, name), source })?;
        let (name, url) = (name.clone(), url(store, name));
        let inner = File { name, url, suffix, size, tail, meta };
        agrees_with_its_name(&inner)?;
        agrees_with_its_index(&inner)?;
        Ok(Self { store, inner: Arc::new(inner), end, long_tail })
    }

    /// What it says of itself.
    #[must_use]
    pub fn meta(&self) -> &ObjectMeta {
        &self.inner.meta
    }

    /// What it says of itself, if it is a data file and no seal.
    #[must_use]
    pub fn file(&self) -> Option<&FileMeta> {
        self.inner.file()
    }

    /// Where its frames are.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.inner.tail.index
    }

    /// All that its tail says; the metadata is the text map that [`meta`](Self::meta) was read of.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.inner.tail
    }

    /// How it is packed.
    #[must_use]
    pub fn suffix(&self) -> Suffix {
        self.inner.suffix
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    /// Its name under the store's prefix.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// Where it is, for people.
    #[must_use]
    pub fn url(&self) -> String {
        self.inner.url.clone()
    }

    /// All its records.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records::from_offset(self, Offset::ZERO)
    }

    /// Its records at `offset` and behind it.
    #[must_use]
    pub fn records_from_offset(&self, offset: Offset) -> Records<'_> {
        Records::from_offset(self, offset)
    }

    /// Its records from the first one on that was made at `millis` or later; those behind that one
    /// may be older, since times needn't rise.
    ///
    /// Version 1 keeps no timestamps with its records, but the index has those of its frames: there
    /// this begins with the frame that holds the record, which may be a frame's length too early.
    #[must_use]
    pub fn records_from_time(&self, millis: i64) -> Records<'_> {
        Records::from_time(self, millis)
    }

    /// The record at `offset`; `None` if there is none in this object. Fetches at most one frame.
    pub async fn record_at(&self, offset: Offset) -> Result<Option<OwnedRecord>, ArchiveError> {
        let mut records = self.records_from_offset(offset).before(offset.after());
        Ok(records.next().await?.map(OwnedRecord::from))
    }

    /// The first record that was made at `millis` or later (for version 1:
    /// [as near as is known](Self::records_from_time)); `None` if there is none in this object.
    /// Fetches at most one frame.
    pub async fn first_at_or_after_time(
        &self,
        millis: i64,
    ) -> Result<Option<OwnedRecord>, ArchiveError> {
        let mut records = self.records_from_time(millis);
        Ok(records.next().await?.map(OwnedRecord::from))
    }

    /// Fetches `range`.
    pub(super) async fn fetch(&self, range: std::ops::Range<u64>) -> Result<Bytes, ArchiveError> {
        Ok(self.store.get_range(self.name(), range).await?)
    }
}

fn agrees_with_its_name(object: &File) -> Result<(), ArchiveError> {
    let (suffix, start) = match &object.meta {
        ObjectMeta::File(file) => (file.suffix, file.range.start()),
        ObjectMeta::Seal(seal) => (seal.suffix, seal.at),
        ObjectMeta::Close(close) => (close.suffix, close.at),
    };
    if suffix != object.suffix {
        return Err(object.disagree(format!("its metadata says that it is a \"{suffix}\"")));
    }
    let Parsed::Object { chain, start: named, .. } = parse(&object.name) else { return Ok(()) };
    let says = object.meta.identity().topic_partition();
    if *chain.name().topic() != says.topic || chain.partition() != says.partition {
        return Err(object.disagree(format!("its metadata says that it is of {says}")));
    }
    if named != start {
        return Err(object.disagree(format!("its metadata says that it starts at {start}")));
    }
    Ok(())
}

fn agrees_with_its_index(object: &File) -> Result<(), ArchiveError> {
    let Some(file) = object.file() else { return Ok(()) };
    BodyCheck::index_disagrees(&object.tail.index, file)
        .map_or(Ok(()), |what| Err(object.disagree(what)))
}

fn url(store: &dyn Store, name: &Name) -> String {
    format!("{}/{name}", store.url())
}

fn suffix_of(store: &dyn Store, name: &Name) -> Result<Suffix, ArchiveError> {
    let ends = |suffix: &Suffix| name.as_str().ends_with(suffix.as_str());
    let found = Suffix::ALL.into_iter().find(ends);
    found.ok_or_else(|| ArchiveError::Name { object: url(store, name) })
}
