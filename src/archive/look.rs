//! Looks at one object of a chain: what it says of itself, and whether that is true.
//!
//! **Requests.** [`tell`] takes one: a `HEAD` where the store keeps metadata, else the object's end.
//! [`look`] takes these two at once; with the body it also fetches that, in pieces of [`PIECE`]
//! bytes, of which one is checked while the next one comes.

use std::ops::Range;

use bytes::Bytes;
use futures_util::future::join;

use super::Entry;
use super::ledger::{BodyCheck, Content, ContentError, Fault, Looked, Told};
use super::object::{Ending, EndingError};
use crate::codec::CodecError;
use crate::mak::MakError;
use crate::meta::{FileMeta, MetaError, MetaMap, ObjectMeta};
use crate::store::{Store, StoreError};

/// Packed bytes that are fetched at once.
pub(super) const PIECE: u64 = 4 << 20;

/// What an object says of itself.
pub(super) async fn tell(store: &dyn Store, entry: &Entry) -> Told {
    if store.keeps_metadata() {
        return match store.head(&entry.name).await {
            Ok(Some(info)) => told(&info.meta),
            Ok(None) => Told::Unseen(GONE.to_owned()),
            Err(error) => Told::Unseen(error.to_string()),
        };
    }
    match Ending::fetch(store, &entry.name, entry.suffix, entry.size).await {
        Ok(ending) => told(&ending.tail.meta),
        Err(error) => untold(error),
    }
}

const GONE: &str = "it is gone since it was listed";

fn told(map: &MetaMap) -> Told {
    if map.is_empty() {
        return Told::Nothing("it has no metadata: no kafkatos3 wrote it".to_owned());
    }
    match ObjectMeta::from_map(map) {
        Ok(meta) => Told::Meta(Box::new(meta)),
        Err(error @ MetaError::Layout(_)) => Told::Unseen(error.to_string()),
        Err(error) => Told::Nothing(error.to_string()),
    }
}

fn untold(error: EndingError) -> Told {
    match error {
        EndingError::Store(error) => Told::Unseen(error.to_string()),
        EndingError::Container(error @ CodecError::Version(_)) => Told::Unseen(error.to_string()),
        EndingError::Container(error) => {
            Told::Nothing(format!("it says nothing of itself: {error}"))
        }
    }
}

/// Looks at an object; with `bodies` also at its body. `read` is told of the bytes that were
/// checked.
pub(super) async fn look(
    store: &dyn Store,
    entry: &Entry,
    bodies: bool,
    read: &(dyn Fn(u64) + Sync),
) -> Looked {
    let head = async {
        if store.keeps_metadata() { store.head(&entry.name).await.map(Some) } else { Ok(None) }
    };
    let (head, ending) =
        join(head, Ending::fetch(store, &entry.name, entry.suffix, entry.size)).await;
    let beside = match head {
        Ok(None) => None,
        Ok(Some(Some(info))) => Some(info.meta),
        Ok(Some(None)) => return Looked::at(Told::Unseen(GONE.to_owned())),
        Err(error) => return Looked::at(Told::Unseen(error.to_string())),
    };
    match ending {
        Ok(ending) => look_at(store, entry, ending, beside, bodies, read).await,
        Err(error) => untold_but(untold(error), beside),
    }
}

/// An object without a tail may still have told something beside its body.
fn untold_but(untold: Told, beside: Option<MetaMap>) -> Looked {
    let (Told::Nothing(why), Some(map)) = (&untold, beside) else { return Looked::at(untold) };
    match ObjectMeta::from_map(&map) {
        Ok(meta) => {
            let what = format!("its metadata reads, but {why}");
            let faults = vec![(Fault::Container, what)];
            Looked { faults, ..Looked::at(Told::Meta(Box::new(meta))) }
        }
        Err(_) => Looked::at(untold),
    }
}

async fn look_at(
    store: &dyn Store,
    entry: &Entry,
    ending: Ending,
    beside: Option<MetaMap>,
    bodies: bool,
    read: &(dyn Fn(u64) + Sync),
) -> Looked {
    let mut looked = Looked::at(told(&ending.tail.meta));
    if let Some(what) = beside.and_then(|beside| difference(&ending.tail.meta, &beside)) {
        looked.faults.push((Fault::Metadata, what));
    }
    let Told::Meta(meta) = &looked.told else { return looked };
    let ObjectMeta::File(file) = &**meta else {
        looked.faults.extend(sealed_body(&ending).map(|what| (Fault::Container, what)));
        return looked;
    };
    let wrong = BodyCheck::index_disagrees(&ending.tail.index, file);
    looked.faults.extend(wrong.map(|what| (Fault::Metadata, what)));
    // What it is said to be is not what it is: its body would tell the same again.
    if !bodies || file.suffix != entry.suffix || !looked.faults.is_empty() {
        return looked;
    }
    match body(store, entry, ending, file.clone(), read).await {
        Ok(content) => {
            if content.unknown_blocks > 0 {
                let count = content.unknown_blocks;
                looked.unseen = Some(format!(
                    "{count} of its blocks are of a kind that is not known here: use a newer \
                     kafkatos3"
                ));
            }
            looked.content = Some(content);
        }
        Err(BodyError::Unseen(why)) => looked.unseen = Some(why),
        Err(BodyError::Wrong(error)) => looked.faults.push((error.fault(), error.to_string())),
    }
    looked
}

/// The first key in which trailer and metadata beside the object differ.
fn difference(trailer: &MetaMap, beside: &MetaMap) -> Option<String> {
    let keys = trailer.keys().chain(beside.keys());
    let key = keys.into_iter().find(|key| trailer.get(*key) != beside.get(*key))?;
    let show = |map: &MetaMap| match map.get(key) {
        Some(value) => format!("\"{value}\""),
        None => "nothing".to_owned(),
    };
    Some(format!(
        "as \"{key}\" its metadata has {}, but its trailer {}",
        show(beside),
        show(trailer)
    ))
}

/// A seal has no body, or that of an empty file.
fn sealed_body(ending: &Ending) -> Option<String> {
    let facts = ending.tail.body;
    let body = usize::try_from(facts.len).ok().and_then(|len| {
        let whole = ending.brought.len().checked_sub(len)?;
        // Small enough that the first request brought all of it.
        (whole > 0).then(|| ending.brought.get(..len)).flatten()
    });
    match body {
        Some(body) if body.len() <= 4 && crc32fast::hash(body) == facts.crc => None,
        _ => Some("it is a seal, but not empty, or its checksum is wrong".to_owned()),
    }
}

enum BodyError {
    Unseen(String),
    Wrong(ContentError),
}

impl From<StoreError> for BodyError {
    fn from(error: StoreError) -> Self {
        Self::Unseen(error.to_string())
    }
}

impl From<ContentError> for BodyError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Records { source: MakError::Version(_), .. } => {
                Self::Unseen(error.to_string())
            }
            error => Self::Wrong(error),
        }
    }
}

async fn body(
    store: &dyn Store,
    entry: &Entry,
    ending: Ending,
    file: FileMeta,
    read: &(dyn Fn(u64) + Sync),
) -> Result<Content, BodyError> {
    let end = (ending.brought_at, ending.brought);
    let mut check = BodyCheck::new(ending.tail, file);
    let mut pieces = check.pieces(PIECE).into_iter();
    let mut next = async || match pieces.next() {
        Some(range) => fetch(store, entry, range, &end).await.map(Some),
        None => Ok(None),
    };
    let mut piece = next().await?;
    while let Some(bytes) = piece.take() {
        let len = u64::try_from(bytes.len()).unwrap_or_default();
        let checking = tokio::task::spawn_blocking(move || {
            let fed = check.feed(&bytes);
            (check, fed)
        });
        let (checked, following) = join(checking, next()).await;
        let (back, fed) = checked.map_err(|error| BodyError::Unseen(error.to_string()))?;
        fed?;
        check = back;
        piece = following?;
        read(len);
    }
    Ok(check.finish()?)
}

/// The bytes `range`: out of what is here already, if it is all there.
async fn fetch(
    store: &dyn Store,
    entry: &Entry,
    range: Range<u64>,
    (at, end): &(u64, Bytes),
) -> Result<Bytes, StoreError> {
    let place = |position: u64| usize::try_from(position.checked_sub(*at)?).ok();
    if let (Some(from), Some(to)) = (place(range.start), place(range.end))
        && from <= to
        && to <= end.len()
    {
        return Ok(end.slice(from..to));
    }
    store.get_range(&entry.name, range).await
}
