//! A bucket of an object store: what S3, GCS and Azure have in common.
//!
//! One conditional upload creates an object. The client below repeats a request twice, within
//! 15 s, if the server says 5xx or nothing at all; so a refusal can be the answer to our own write,
//! which does no harm, because no error of a create is ever taken for an answer. Longer waits are
//! the caller's. Metadata is asked for by `HEAD`; listings don't carry it.
//!
//! What differs from cloud to cloud is a client ([`ObjectStore`]), how its refusals read
//! ([`Dialect`]), and two [`Habits`].

use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, GetOptions, GetRange, GetResult,
    HeaderValue, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    RetryConfig, TagSet,
};

use super::answers::{Dialect, Late, Request, classify};
use super::error::StoreError;
use super::http::{time_for, watched};
use super::names::{Folder, Name};
use super::{Listed, ObjectInfo, Store, Tail};
use crate::meta::MetaMap;

/// How a cloud answers where they differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    /// How its refusals read.
    pub(super) dialect: &'static Dialect,
    /// A refused `HEAD` does not say what is missing, the object or all of the bucket.
    pub(super) head_is_silent: bool,
    /// It serves a range that is counted from the end.
    pub(super) suffix_ranges: bool,
}

/// A place in a bucket.
pub(super) struct BucketStore {
    client: Box<dyn ObjectStore>,
    habits: Habits,
    url: String,
    prefix: Path,
    attributes: Attributes,
    tags: TagSet,
}

impl fmt::Debug for BucketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketStore({})", self.url)
    }
}

impl BucketStore {
    /// The place `url`, which is `prefix` in what `client` is a client of.
    pub(super) fn new(
        client: impl ObjectStore,
        habits: Habits,
        url: String,
        prefix: &str,
    ) -> Result<Self, StoreError> {
        let prefix = prefix.trim_matches('/');
        let other = |e: object_store::path::Error| StoreError::Other {
            name: url.clone(),
            words: e.to_string(),
        };
        let prefix = Path::parse(prefix).map_err(other)?;
        let client = Box::new(client);
        let (attributes, tags) = (Attributes::new(), TagSet::default());
        Ok(Self { client, habits, url, prefix, attributes, tags })
    }

    /// With a storage class of what is created.
    pub(super) fn with_class(mut self, class: Option<&String>) -> Self {
        if let Some(class) = class {
            self.attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        self
    }

    /// With tags of what is created.
    pub(super) fn with_tags(mut self, tags: &[(String, String)]) -> Self {
        for (key, value) in tags {
            self.tags.push(key, value);
        }
        self
    }

    /// Names and prefix were checked when they were made, by rules as strict as these.
    fn path(&self, name: &str) -> Result<Path, StoreError> {
        let whole = match (self.prefix.as_ref(), name) {
            (prefix, "") => prefix.to_owned(),
            ("", name) => name.to_owned(),
            (prefix, name) => format!("{prefix}/{name}"),
        };
        let other = |e: object_store::path::Error| StoreError::Other {
            name: format!("{}/{name}", self.url),
            words: e.to_string(),
        };
        Path::parse(whole).map_err(other)
    }

    fn listed(&self, object: &ObjectMeta) -> Option<Listed> {
        let name = self.relative(&object.location)?;
        let name = Name::parse(name).ok()?;
        Some(Listed { name, size: object.size, last_modified: object.last_modified.into() })
    }

    fn relative<'a>(&self, path: &'a Path) -> Option<&'a str> {
        match self.prefix.as_ref() {
            "" => Some(path.as_ref()),
            prefix => path.as_ref().strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    /// Runs one request, and puts what went wrong into its class.
    async fn ask<T>(
        &self,
        request: Request,
        name: &str,
        operation: impl Future<Output = object_store::Result<T>> + Send,
    ) -> Result<T, StoreError> {
        let (result, answer) = watched(operation).await;
        result.map_err(|e| {
            let name = format!("{}/{name}", self.url).trim_end_matches('/').to_owned();
            classify(self.habits.dialect, request, name, &e, answer)
        })
    }

    async fn head_once(&self, name: &Name) -> Result<ObjectInfo, StoreError> {
        let path = self.path(name.as_str())?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let head = self.client.get_opts(&path, options);
        let request = if self.habits.head_is_silent { Request::Head } else { Request::Read };
        self.ask(request, name.as_str(), head).await.map(|found| info(&found))
    }

    /// `GET`, and the body; a body that trickles in too slowly is given up.
    async fn read(&self, name: &Name, range: Option<GetRange>) -> Result<Read, StoreError> {
        let path = self.path(name.as_str())?;
        self.ask(Request::Read, name.as_str(), async {
            let options = GetOptions { range, ..GetOptions::default() };
            let answer = self.client.get_opts(&path, options).await?;
            let info = info(&answer);
            let length = answer.range.end.saturating_sub(answer.range.start);
            let limit = time_for(length);
            let late =
                |_| object_store::Error::Generic { store: "bucket", source: Box::new(Late(limit)) };
            let bytes = tokio::time::timeout(limit, answer.bytes()).await.map_err(late)??;
            Ok(Read { bytes, info })
        })
        .await
    }

    /// What a refused `HEAD` means, where it does not say so itself: `GET` tells, whose answers
    /// have a body. There is more that may be missing than the object: the bucket, or (some servers
    /// say 404 to that too) the account.
    async fn head_again(
        &self,
        name: &Name,
        silent: StoreError,
    ) -> Result<Option<ObjectInfo>, StoreError> {
        let absent = matches!(silent, StoreError::Missing { .. });
        match self.read(name, Some(GetRange::Bounded(0..1))).await {
            Err(StoreError::Missing { .. }) if absent => Ok(None),
            Err(StoreError::Missing { .. }) => Err(silent),
            // It has come in between; if it is empty, its first byte can't be had.
            Ok(_) => self.head_once(name).await.map(Some),
            Err(e) => self.head_once(name).await.map(Some).map_err(|_| e),
        }
    }

    /// The end of an object in two requests.
    async fn tail_by_size(&self, name: &Name, length: u64) -> Result<Tail, StoreError> {
        let missing = || StoreError::Missing {
            name: format!("{}/{name}", self.url),
            words: "no such object".to_owned(),
        };
        let size = self.head(name).await?.ok_or_else(missing)?.size;
        let bytes = self.get_range(name, size.saturating_sub(length)..size).await?;
        Ok(Tail { bytes, size })
    }
}

struct Read {
    bytes: Bytes,
    info: ObjectInfo,
}

/// How every client of ours speaks: as whom, over what, with which patience. What a whole request
/// may take is the business of [`WatchedConnector`](super::http::WatchedConnector).
pub(super) fn client_options(plain_http: bool) -> ClientOptions {
    let agent = HeaderValue::from_static(concat!("kafkatos3/", env!("CARGO_PKG_VERSION")));
    let options = ClientOptions::new()
        .with_allow_http(plain_http)
        .with_user_agent(agent)
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(5))
        .with_default_content_type(content_type(""));
    ["gz", "zst", "json"]
        .into_iter()
        .fold(options, |options, end| options.with_content_type_for_suffix(end, content_type(end)))
}

/// What an object is whose name ends so.
pub(super) fn content_type(end: &str) -> &'static str {
    match end {
        "gz" => "application/gzip",
        "zst" => "application/zstd",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

/// What is tried again below us, and for how long.
pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(3),
            base: 3.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(15),
    }
}

/// Metadata travels in HTTP headers, which hold visible ASCII only; Azure wants keys that begin
/// with a letter.
fn is_header(key: &str, value: &str) -> bool {
    let visible = |b: u8| b.is_ascii_graphic() || b == b' ';
    key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && value.bytes().all(visible)
        && value.trim() == value
}

#[async_trait]
impl Store for BucketStore {
    fn url(&self) -> &str {
        &self.url
    }

    fn keeps_metadata(&self) -> bool {
        true
    }

    async fn create(
        &self,
        name: &Name,
        body: Vec<Bytes>,
        meta: &MetaMap,
    ) -> Result<(), StoreError> {
        let mut attributes = self.attributes.clone();
        for (key, value) in meta {
            if !is_header(key, value) {
                let words = format!("metadata {key}=\"{value}\" does not fit into a header");
                return Err(StoreError::Other { name: format!("{}/{name}", self.url), words });
            }
            attributes.insert(Attribute::Metadata(key.clone().into()), value.clone().into());
        }
        let options = PutOptions {
            mode: PutMode::Create,
            tags: self.tags.clone(),
            attributes,
            ..PutOptions::default()
        };
        let path = self.path(name.as_str())?;
        let body: PutPayload = body.into_iter().filter(|piece| !piece.is_empty()).collect();
        let put = self.client.put_opts(&path, body, options);
        self.ask(Request::Create, name.as_str(), put).await.map(drop)
    }

    async fn head(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError> {
        match self.head_once(name).await {
            Err(e @ (StoreError::Missing { .. } | StoreError::Denied { .. }))
                if self.habits.head_is_silent =>
            {
                self.head_again(name, e).await
            }
            Err(StoreError::Missing { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    async fn look(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError> {
        if !self.habits.head_is_silent {
            return self.head(name).await;
        }
        // Unlike to `HEAD`, a server answers to this with words where there is nothing.
        match self.read(name, Some(GetRange::Bounded(0..1))).await {
            Ok(read) => Ok(Some(read.info)),
            Err(StoreError::Missing { .. }) => Ok(None),
            // An empty one, or one in cold storage, perhaps.
            Err(_) => self.head(name).await,
        }
    }

    async fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        match self.read(name, None).await {
            Ok(read) => Ok(Some(read.bytes)),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = range.end.saturating_sub(range.start);
        let read = self.read(name, Some(GetRange::Bounded(range.clone()))).await?;
        if u64::try_from(read.bytes.len()) == Ok(wanted) {
            return Ok(read.bytes);
        }
        let words = format!("bytes {range:?} asked for, but it ends at {}", read.info.size);
        Err(StoreError::Other { name: format!("{}/{name}", self.url), words })
    }

    async fn get_suffix(&self, name: &Name, length: u64) -> Result<Tail, StoreError> {
        if !self.habits.suffix_ranges {
            return self.tail_by_size(name, length).await;
        }
        match self.read(name, Some(GetRange::Suffix(length.max(1)))).await {
            Ok(Read { bytes, info }) => Ok(Tail { bytes, size: info.size }),
            // The end of an empty object can't be asked for; some servers send it whole.
            Err(StoreError::Other { name: url, words }) => match self.head(name).await? {
                Some(ObjectInfo { size: 0, .. }) => Ok(Tail { bytes: Bytes::new(), size: 0 }),
                _ => Err(StoreError::Other { name: url, words }),
            },
            Err(e) => Err(e),
        }
    }

    async fn list(
        &self,
        folder: &Folder,
        start_after: Option<&Name>,
    ) -> Result<Vec<Listed>, StoreError> {
        let prefix = self.path(folder.as_str())?;
        let objects = match start_after {
            Some(name) => self.client.list_with_offset(Some(&prefix), &self.path(name.as_str())?),
            None => self.client.list(Some(&prefix)),
        };
        let found = objects.try_collect::<Vec<_>>();
        let found = self.ask(Request::List, folder.as_str(), found).await?;
        let mut found: Vec<_> = found.iter().filter_map(|line| self.listed(line)).collect();
        // Not every server knows where to start from.
        found.retain(|line| start_after.is_none_or(|name| line.name > *name));
        // Servers list in this order; directory buckets of AWS do not.
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn folders(&self, folder: &Folder) -> Result<Vec<Folder>, StoreError> {
        let prefix = self.path(folder.as_str())?;
        let listing = self.client.list_with_delimiter(Some(&prefix));
        let found = self.ask(Request::List, folder.as_str(), listing).await?.common_prefixes;
        let mut folders: Vec<_> =
            found.iter().filter_map(|path| Folder::parse(self.relative(path)?).ok()).collect();
        folders.sort_unstable();
        Ok(folders)
    }

    async fn delete(&self, name: &Name) -> Result<(), StoreError> {
        let path = self.path(name.as_str())?;
        match self.ask(Request::Delete, name.as_str(), self.client.delete(&path)).await {
            Err(StoreError::Missing { .. }) => Ok(()),
            // Azure is asked in a batch, whose answer does not read as one about an object.
            Err(error @ StoreError::Other { .. }) => match self.head(name).await {
                Ok(None) => Ok(()),
                _ => Err(error),
            },
            result => result,
        }
    }
}

fn info(found: &GetResult) -> ObjectInfo {
    let pair = |(key, value): (&Attribute, &object_store::AttributeValue)| match key {
        Attribute::Metadata(key) => Some((key.to_ascii_lowercase(), value.to_string())),
        _ => None,
    };
    ObjectInfo {
        size: found.meta.size,
        meta: found.attributes.iter().filter_map(pair).collect(),
        last_modified: SystemTime::from(found.meta.last_modified),
    }
}
