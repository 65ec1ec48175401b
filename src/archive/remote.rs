//! A store whose requests all run on the archive's own thread.
//!
//! Connections belong to the runtime that opened them; so it is always the same one, whichever the
//! caller uses, if any.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::engine::Engine;
use crate::meta::MetaMap;
use crate::store::names::{Folder, Name};
use crate::store::{Listed, ObjectInfo, Store, StoreError, Tail};

/// `inner`, asked from the engine's thread.
pub(super) struct Remote {
    inner: Arc<dyn Store>,
    engine: Engine,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Remote {
    pub(super) fn new(inner: Arc<dyn Store>, engine: Engine) -> Self {
        Self { inner, engine }
    }

    async fn ask<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable {
            name: self.inner.url().to_owned(),
            words: "the request was given up".to_owned(),
        };
        self.engine.run(request).await.unwrap_or_else(|| Err(gone()))
    }
}

/// Has the same request made by the other thread.
macro_rules! elsewhere {
    ($self:ident.$method:ident($($argument:expr),*)) => {{
        let store = Arc::clone(&$self.inner);
        $self.ask(async move { store.$method($($argument),*).await }).await
    }};
}

#[async_trait]
impl Store for Remote {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn keeps_metadata(&self) -> bool {
        self.inner.keeps_metadata()
    }

    async fn create(
        &self,
        name: &Name,
        body: Vec<Bytes>,
        meta: &MetaMap,
    ) -> Result<(), StoreError> {
        let (name, meta) = (name.clone(), meta.clone());
        elsewhere!(self.create(&name, body, &meta))
    }

    async fn head(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError> {
        let name = name.clone();
        elsewhere!(self.head(&name))
    }

    async fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        let name = name.clone();
        elsewhere!(self.get(&name))
    }

    async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, StoreError> {
        let name = name.clone();
        elsewhere!(self.get_range(&name, range))
    }

    async fn get_suffix(&self, name: &Name, length: u64) -> Result<Tail, StoreError> {
        let name = name.clone();
        elsewhere!(self.get_suffix(&name, length))
    }

    async fn list(
        &self,
        folder: &Folder,
        start_after: Option<&Name>,
    ) -> Result<Vec<Listed>, StoreError> {
        let (folder, start_after) = (folder.clone(), start_after.cloned());
        elsewhere!(self.list(&folder, start_after.as_ref()))
    }

    async fn folders(&self, folder: &Folder) -> Result<Vec<Folder>, StoreError> {
        let folder = folder.clone();
        elsewhere!(self.folders(&folder))
    }

    async fn delete(&self, name: &Name) -> Result<(), StoreError> {
        let name = name.clone();
        elsewhere!(self.delete(&name))
    }
}
