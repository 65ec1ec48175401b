//! One object of an archive, opened by its tail.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::File;
use super::ledger::BodyCheck;
use super::{ArchiveError, OwnedRecord, Records};
use crate::codec::{CodecError, Index, Step, Tail, TailRead};
use crate::format::Content;
use crate::meta::{FileMeta, ObjectMeta};
use crate::store::names::{Name, Parsed, parse};
use crate::store::{self, Store, StoreError};
use crate::types::{Format, Offset, Suffix};

/// A file or seal of an archive whose tail was read and agrees with its name.
///
/// Objects never change, so this stays true for as long as it lives.
#[derive(Debug)]
pub struct Object<'s> {
    store: &'s dyn Store,
    pub(super) inner: Arc<File>,
    /// What the first request brought: the end of the object, or the beginning of an Avro file.
    pub(super) brought: Bytes,
    /// Where in the object that begins.
    pub(super) brought_at: u64,
    /// Whether the tail took a second request.
    pub(super) long_tail: bool,
}

/// The tail of an object, and what of it the first request brought.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) tail: Tail,
    /// The object's length in bytes.
    pub(super) size: u64,
    /// The end of the object, or the beginning of an Avro file.
    pub(super) brought: Bytes,
    /// Where in the object that begins.
    pub(super) brought_at: u64,
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
    /// Of an object whose size is known, in one request, or two if its tail is long.
    pub(super) async fn fetch(
        store: &dyn Store,
        name: &Name,
        suffix: Suffix,
        size: u64,
    ) -> Result<Self, EndingError> {
        let range = TailRead::start(suffix, size)?.range();
        let bytes =
            if range.is_empty() { Bytes::new() } else { store.get_range(name, range).await? };
        Self::read(store, name, suffix, store::Tail { bytes, size }).await
    }

    /// Reads the tail out of `first`, what the first request asks for, and fetches what is missing.
    async fn read(
        store: &dyn Store,
        name: &Name,
        suffix: Suffix,
        first: store::Tail,
    ) -> Result<Self, EndingError> {
        let store::Tail { bytes: brought, size } = first;
        let begun = TailRead::start(suffix, size)?;
        let brought_at = begun.range().start;
        let new = |tail: Box<Tail>, brought, long_tail| Self {
            tail: *tail,
            size,
            brought,
            brought_at,
            long_tail,
        };
        match begun.feed(&brought)? {
            Step::Ready(tail) => Ok(new(tail, brought, false)),
            Step::Need(more) => {
                let front = store.get_range(name, more.range()).await?;
                match more.feed(&front)? {
                    Step::Ready(tail) => Ok(new(tail, brought, true)),
                    Step::Need(_) => Err(CodecError::Corrupt("the end of the container").into()),
                }
            }
        }
    }
}

impl<'s> Object<'s> {
    /// Opens an object whose size is not known, in one request, or two if its tail is long; one more
    /// for an Avro file, whose size has to be asked for first.
    pub async fn open(store: &'s dyn Store, name: &Name) -> Result<Self, ArchiveError> {
        let suffix = suffix_of(store, name)?;
        if suffix.format() == Format::Avro {
            let words = || "it has no size".to_owned();
            let absent = || StoreError::Missing { name: url(store, name), words: words() };
            let size = store.head(name).await?.ok_or_else(absent)?.size;
            return Self::open_sized(store, name, size).await;
        }
        let end = store.get_suffix(name, TailRead::FIRST).await?;
        Self::new(store, name, suffix, Ending::read(store, name, suffix, end).await)
    }

    /// The same for one whose size is known, from a listing, say: some stores need another request
    /// to give the end of an object of unknown size.
    pub async fn open_sized(
        store: &'s dyn Store,
        name: &Name,
        size: u64,
    ) -> Result<Self, ArchiveError> {
        let suffix = suffix_of(store, name)?;
        Self::new(store, name, suffix, Ending::fetch(store, name, suffix, size).await)
    }

    fn new(
        store: &'s dyn Store,
        name: &Name,
        suffix: Suffix,
        ending: Result<Ending, EndingError>,
    ) -> Result<Self, ArchiveError> {
        let ending = ending.map_err(|error| match error {
            EndingError::Store(error) => ArchiveError::Store(error),
            EndingError::Container(source) => {
                ArchiveError::Container { object: url(store, name), source }
            }
        })?;
        let Ending { tail, size, brought, brought_at, long_tail } = ending;
        let meta = ObjectMeta::from_map(&tail.meta)
            .map_err(|source| ArchiveError::Meta { object: url(store, name), source })?;
        let (name, url) = (name.clone(), url(store, name));
        let content = match &meta {
            ObjectMeta::File(file) => match Content::of(file, &tail) {
                Ok(content) => Some(content),
                Err(what) => return Err(ArchiveError::Disagree { object: url, what }),
            },
            ObjectMeta::Seal(_) | ObjectMeta::Close(_) => None,
        };
        let inner = File { name, url, suffix, size, tail, meta, content };
        agrees_with_its_name(&inner)?;
        agrees_with_its_index(&inner)?;
        Ok(Self { store, inner: Arc::new(inner), brought, brought_at, long_tail })
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
    let suffix = match parse(name) {
        Parsed::Object { suffix, .. } => Some(suffix),
        _ => Suffix::of_name(name.as_str()),
    };
    suffix.ok_or_else(|| ArchiveError::Name { object: url(store, name) })
}
