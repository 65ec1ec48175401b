//! Object stores and the directory store behind one contract.
//!
//! The contract, kept by every store and tested over all of them (`tests/integration/stores.rs`):
//!
//! - [`Store::create`] puts a whole object under a name that is absent, or nothing. Of any number
//!   of racing creators at most one succeeds. When it returns `Ok`, the object is durable. An
//!   error, whichever, says nothing about whether the object landed.
//! - [`Store::head`] answers `None` only if the store said definitely that there is no such
//!   object, and `Some` only for an object that is durable.
//! - No reader ever sees a part of an object, and no object ever changes.
//! - Listings show everything that was created before they began, in the order of the names.
//!
//! Stores know names, bytes and metadata; what these mean is the business of `chain` and `archive`.
//! All I/O of the directory store, and all hashing, blocks the calling thread: each worker process
//! runs a current-thread runtime and has nothing better to do meanwhile.

mod answers;
mod aws_chain;
mod azure;
mod bucket;
mod credentials;
mod dir;
mod error;
mod gcs;
mod gcs_client;
mod http;
pub mod names;
mod s3;
pub mod selftest;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use crate::fail::Step;
use crate::meta::MetaMap;

pub use azure::{AzureAccess, AzureSettings};
pub use dir::{DirSettings, DirStore, MetaReader};
pub use error::StoreError;
pub use gcs::GcsSettings;
use names::{Folder, Name};
pub use s3::{Credentials, Integrity, S3Settings, Sse};

/// What [`Store::head`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The object's length in bytes.
    pub size: u64,
    /// Its metadata; empty if it has none.
    pub meta: MetaMap,
    /// When it was created, by the store's clock.
    pub last_modified: SystemTime,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The object's name under the store's prefix.
    pub name: Name,
    /// Its length in bytes.
    pub size: u64,
    /// When it was created, by the store's clock.
    pub last_modified: SystemTime,
}

/// The end of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The last bytes; all of them, if the object is shorter than was asked for.
    pub bytes: Bytes,
    /// The length of the whole object.
    pub size: u64,
}

/// A place that keeps objects. The module's head has the contract.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Where it is, for people: `s3://bucket/prefix`, `file:///dir`. Holds no secret.
    fn url(&self) -> &str;

    /// Whether `meta` is kept beside the object. A store that answers `false` keeps only the
    /// body, and reads the map back from the trailer of the container that the body is.
    fn keeps_metadata(&self) -> bool;

    /// Creates the object if its name is absent. `body` is given in pieces so that nothing needs
    /// to be copied together; a piece may be a memory map. The caller must not let the bytes
    /// change before this returns. After `Ok` the object survives any crash.
    async fn create(&self, name: &Name, body: Vec<Bytes>, meta: &MetaMap)
    -> Result<(), StoreError>;

    /// What is known of the object; `None` is a definite "no such object".
    async fn head(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError>;

    /// The same, for an object that is most likely absent: not every store says so in one word.
    async fn look(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError> {
        self.head(name).await
    }

    /// The whole object, in memory: for small ones. `None` is a definite "no such object".
    async fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError>;

    /// The bytes `range`, all of them; an error if the object is missing or shorter.
    async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// The last `length` bytes (fewer if the object is shorter), and the object's size.
    async fn get_suffix(&self, name: &Name, length: u64) -> Result<Tail, StoreError>;

    /// Every object below `folder` behind `start_after`, in the order of the names (bytewise).
    async fn list(
        &self,
        folder: &Folder,
        start_after: Option<&Name>,
    ) -> Result<Vec<Listed>, StoreError>;

    /// The folders directly below `folder`, in order.
    async fn folders(&self, folder: &Folder) -> Result<Vec<Folder>, StoreError>;

    /// Removes an object; one that is absent is no error. Only the self-test does this.
    async fn delete(&self, name: &Name) -> Result<(), StoreError>;
}

/// Asks a store as a step of [`crate::fail`]; what fails there is a store out of reach.
pub(crate) async fn ask<T>(
    step: Step,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let name = || "the store".to_owned();
    let failed = |e: io::Error| StoreError::Unavailable { name: name(), words: e.to_string() };
    step.around_asking(failed, question).await
}

/// Which store, and how to get at it.
#[derive(Debug, Clone)]
pub enum Target {
    /// A bucket of S3 or of a look-alike.
    S3(S3Settings),
    /// A bucket of Google Cloud Storage.
    Gcs(GcsSettings),
    /// A container of Azure Blob Storage.
    Azure(AzureSettings),
    /// A directory.
    Dir(DirSettings),
}

/// Opens a store. Nothing is asked of an object store yet; a directory is created if only its
/// last component is missing.
pub async fn open(target: &Target) -> Result<Arc<dyn Store>, StoreError> {
    match target {
        Target::S3(settings) => Ok(Arc::new(s3::open(settings).await?)),
        Target::Gcs(settings) => Ok(Arc::new(gcs::open(settings)?)),
        Target::Azure(settings) => Ok(Arc::new(azure::open(settings)?)),
        Target::Dir(settings) => Ok(Arc::new(DirStore::open(settings)?)),
    }
}
