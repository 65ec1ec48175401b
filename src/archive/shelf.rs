//! A store in memory, for tests: it counts what is asked of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;

use crate::meta::MetaMap;
use crate::store::names::{Folder, Name};
use crate::store::{Listed, ObjectInfo, Store, StoreError, Tail};

/// Objects by their names, and the ranges that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    objects: BTreeMap<Name, Bytes>,
    asked: Mutex<Vec<Range<u64>>>,
}

/// Waits for what only waits for a [`Shelf`], which is always ready.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a shelf is always ready")
}

impl Shelf {
    /// One with a single object.
    pub(crate) fn of(name: &Name, bytes: impl Into<Bytes>) -> Self {
        Self { objects: [(name.clone(), bytes.into())].into(), ..Self::default() }
    }

    /// One with several objects.
    pub(crate) fn of_all(objects: impl IntoIterator<Item = (Name, Vec<u8>)>) -> Self {
        let objects = objects.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
        Self { objects, ..Self::default() }
    }

    /// The ranges that were asked for since this was called last.
    pub(crate) fn asked(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn object(&self, name: &Name) -> Result<(&Bytes, u64), StoreError> {
        let missing = || StoreError::Missing {
            name: format!("shelf://{name}"),
            words: "it is not on the shelf".to_owned(),
        };
        let bytes = self.objects.get(name).ok_or_else(missing)?;
        Ok((bytes, bytes.len() as u64))
    }

    fn cut(&self, name: &Name, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (bytes, size) = self.object(name)?;
        if range.end > size {
            let words = format!("bytes {range:?} of {size}");
            return Err(StoreError::Other { name: format!("shelf://{name}"), words });
        }
        self.asked.lock().unwrap().push(range.clone());
        let at = |at: u64| usize::try_from(at).unwrap();
        Ok(bytes.slice(at(range.start)..at(range.end)))
    }
}

#[async_trait]
impl Store for Shelf {
    fn url(&self) -> &'static str {
        "shelf:/"
    }

    fn keeps_metadata(&self) -> bool {
        false
    }

    async fn create(&self, _: &Name, _: Vec<Bytes>, _: &MetaMap) -> Result<(), StoreError> {
        unimplemented!("a shelf is only read")
    }

    async fn head(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError> {
        let (_, size) = self.object(name)?;
        Ok(Some(ObjectInfo { size, meta: MetaMap::new(), last_modified: SystemTime::UNIX_EPOCH }))
    }

    async fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        Ok(self.objects.get(name).cloned())
    }

    async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.cut(name, range)
    }

    async fn get_suffix(&self, name: &Name, length: u64) -> Result<Tail, StoreError> {
        let (_, size) = self.object(name)?;
        let bytes = self.cut(name, size.saturating_sub(length)..size)?;
        Ok(Tail { bytes, size })
    }

    async fn list(&self, folder: &Folder, _: Option<&Name>) -> Result<Vec<Listed>, StoreError> {
        let below = format!("{folder}/");
        let listed = |(name, bytes): (&Name, &Bytes)| Listed {
            name: name.clone(),
            size: bytes.len() as u64,
            last_modified: SystemTime::UNIX_EPOCH,
        };
        let within = self.objects.iter().filter(|(name, _)| name.as_str().starts_with(&below));
        Ok(within.map(listed).collect())
    }

    async fn folders(&self, folder: &Folder) -> Result<Vec<Folder>, StoreError> {
        let above = if folder.as_str().is_empty() { String::new() } else { format!("{folder}/") };
        let next = |name: &Name| {
            let (part, _) = name.as_str().strip_prefix(&above)?.split_once('/')?;
            Folder::parse(&format!("{above}{part}")).ok()
        };
        let mut folders: Vec<_> = self.objects.keys().filter_map(next).collect();
        folders.dedup();
        Ok(folders)
    }

    async fn delete(&self, _: &Name) -> Result<(), StoreError> {
        unimplemented!("a shelf is only read")
    }
}
