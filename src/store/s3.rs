//! S3 and its look-alikes, by `object_store`.
//!
//! One conditional `PUT` creates an object (`If-None-Match: *`). The client below repeats a request
//! twice, within 15 s, if the server says 5xx or nothing at all; so a `412` can be the answer to
//! our own write, which does no harm, because no error of a create is ever taken for an answer.
//! Longer waits are the caller's. Metadata is asked for by `HEAD`; listings don't carry it.
//!
//! **Integrity.** What is sent has to be what is stored. [`Integrity::Sha256`] signs the body's
//! SHA-256: every S3 understands it, and it also holds on plain http. [`Integrity::Crc64Nvme`]
//! sends a CRC-64 that the server must check, and leaves protection from tampering to TLS: far
//! cheaper, but some look-alikes refuse the header. So it is the default for AWS itself only.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, GetOptions, GetRange, GetResult,
    HeaderValue, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, RetryConfig, TagSet,
};

use super::aws_chain::AwsChain;
use super::error::StoreError;
use super::http::{WatchedConnector, time_for, watched};
use super::names::{Folder, Name};
use super::s3_errors::{Request, classify};
use super::{Listed, ObjectInfo, Store, Tail};
use crate::meta::MetaMap;

/// How S3 is reached. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The bucket; it has to exist.
    pub bucket: String,
    /// Where in the bucket, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Another server than AWS's, as a URL; then names stand in the path, not in the host.
    pub endpoint: Option<String>,
    /// The region; without one AWS's usual places are looked at.
    pub region: Option<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// `x-amz-storage-class` of what is created.
    pub storage_class: Option<String>,
    /// How what is created is encrypted.
    pub sse: Option<Sse>,
    /// Tags of what is created.
    pub tags: Vec<(String, String)>,
    /// How a body is protected on its way; `None` chooses by the endpoint.
    pub integrity: Option<Integrity>,
}

/// Where credentials come from.
#[derive(Clone)]
pub enum Credentials {
    /// AWS's chain: environment, profiles, web identity, container, instance.
    Chain,
    /// These.
    Keys {
        /// The access key's id.
        id: String,
        /// The secret key.
        secret: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "Chain",
            Self::Keys { .. } => "Keys(hidden)",
        })
    }
}

/// Encryption by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sse {
    /// `AES256`: with the store's own key.
    Aes256,
    /// `aws:kms`: with a key of KMS, the bucket's if none is named.
    Kms {
        /// Id or ARN of the key.
        key: Option<String>,
    },
    /// `aws:kms:dsse`: the same in two layers.
    KmsDsse {
        /// Id or ARN of the key.
        key: Option<String>,
    },
}

/// How a body is protected on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// Its SHA-256 is part of the signature.
    Sha256,
    /// Its CRC-64/NVME goes with it; the signature leaves it out.
    Crc64Nvme,
}

/// A place in a bucket.
pub struct S3Store {
    s3: AmazonS3,
    url: String,
    prefix: Path,
    attributes: Attributes,
    tags: TagSet,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({})", self.url)
    }
}

impl S3Store {
    /// Gets ready to talk to the bucket; asks it nothing yet.
    pub async fn open(settings: &S3Settings) -> Result<Self, StoreError> {
        let prefix = settings.prefix.trim_matches('/');
        let url = format!("s3://{}/{prefix}", settings.bucket).trim_end_matches('/').to_owned();
        let other = |words: String| StoreError::Other { name: url.clone(), words };
        let builder = with_encryption(builder(settings), settings.sse.as_ref());
        let builder = builder.map_err(|e| other(e.to_string()))?;
        let s3 = with_credentials(builder, settings).await.build();
        let s3 = s3.map_err(|e| other(e.to_string()))?;
        let prefix = Path::parse(prefix).map_err(|e| other(e.to_string()))?;
        let mut attributes = Attributes::new();
        if let Some(class) = &settings.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let mut tags = TagSet::default();
        for (key, value) in &settings.tags {
            tags.push(key, value);
        }
        Ok(Self { s3, url, prefix, attributes, tags })
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
            classify(request, name, &e, answer)
        })
    }

    async fn head_once(&self, name: &Name) -> Result<ObjectInfo, StoreError> {
        let path = self.path(name.as_str())?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let head = self.s3.get_opts(&path, options);
        self.ask(Request::Head, name.as_str(), head).await.map(|found| info(&found))
    }

    /// `GET`, and the body; a body that trickles in too slowly is given up.
    async fn read(&self, name: &Name, range: Option<GetRange>) -> Result<Read, StoreError> {
        let path = self.path(name.as_str())?;
        self.ask(Request::Read, name.as_str(), async {
            let options = GetOptions { range, ..GetOptions::default() };
            let answer = self.s3.get_opts(&path, options).await?;
            let size = answer.meta.size;
            let length = answer.range.end.saturating_sub(answer.range.start);
            let limit = time_for(length);
            let late = |_| object_store::Error::Generic {
                store: "S3",
                source: Box::new(super::s3_errors::Late(limit)),
            };
            let bytes = tokio::time::timeout(limit, answer.bytes()).await.map_err(late)??;
            Ok(Read { bytes, size })
        })
        .await
    }
}

struct Read {
    bytes: Bytes,
    size: u64,
}

fn builder(settings: &S3Settings) -> AmazonS3Builder {
    let endpoint = settings.endpoint.as_deref();
    let plain = endpoint.is_some_and(|url| url.starts_with("http://"));
    let agent = HeaderValue::from_static(concat!("kafkatos3/", env!("CARGO_PKG_VERSION")));
    let client = ClientOptions::new()
        .with_allow_http(plain)
        .with_user_agent(agent)
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(5))
        .with_default_content_type("application/octet-stream")
        .with_content_type_for_suffix("gz", "application/gzip")
        .with_content_type_for_suffix("zst", "application/zstd")
        .with_content_type_for_suffix("json", "application/json");
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(3),
            base: 3.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(15),
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_virtual_hosted_style_request(endpoint.is_none())
        .with_disable_bulk_delete(true)
        .with_client_options(client)
        .with_retry(retry)
        .with_http_connector(WatchedConnector::default());
    if let Some(url) = endpoint {
        builder = builder.with_endpoint(url.trim_end_matches('/'));
    }
    let cheap = if endpoint.is_none() { Integrity::Crc64Nvme } else { Integrity::Sha256 };
    if settings.integrity.unwrap_or(cheap) == Integrity::Crc64Nvme {
        builder = builder.with_unsigned_payload(true).with_checksum_algorithm(Checksum::CRC64NVME);
    }
    builder
}

fn with_encryption(
    builder: AmazonS3Builder,
    sse: Option<&Sse>,
) -> object_store::Result<AmazonS3Builder> {
    let kind: AmazonS3ConfigKey = "aws_server_side_encryption".parse()?;
    Ok(match sse {
        None => builder,
        Some(Sse::Aes256) => builder.with_config(kind, "AES256"),
        Some(Sse::Kms { key: None }) => builder.with_config(kind, "aws:kms"),
        Some(Sse::Kms { key: Some(key) }) => builder.with_sse_kms_encryption(key),
        Some(Sse::KmsDsse { key: None }) => builder.with_config(kind, "aws:kms:dsse"),
        Some(Sse::KmsDsse { key: Some(key) }) => builder.with_dsse_kms_encryption(key),
    })
}

/// Keys, or AWS's chain; and the region: the configured one, AWS's usual places, `us-east-1`.
async fn with_credentials(builder: AmazonS3Builder, settings: &S3Settings) -> AmazonS3Builder {
    let region = settings.region.as_deref();
    let is_aws = settings.endpoint.is_none();
    match &settings.credentials {
        Credentials::Keys { id, secret } => {
            let region = match region {
                Some(region) => region.to_owned(),
                None if is_aws => region_or_default(AwsChain::load(None).await.region()),
                None => region_or_default(None),
            };
            builder.with_access_key_id(id).with_secret_access_key(secret).with_region(region)
        }
        Credentials::Chain => {
            let chain = AwsChain::load(region.or(if is_aws { None } else { Some(REGION) })).await;
            let region = region_or_default(chain.region());
            builder.with_credentials(Arc::new(chain)).with_region(region)
        }
    }
}

const REGION: &str = "us-east-1";

fn region_or_default(region: Option<&str>) -> String {
    region.unwrap_or(REGION).to_owned()
}

/// S3 keeps metadata in HTTP headers, which hold visible ASCII only.
fn is_header(key: &str, value: &str) -> bool {
    let visible = |b: u8| b.is_ascii_graphic() || b == b' ';
    key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && value.bytes().all(visible)
        && value.trim() == value
}

#[async_trait]
impl Store for S3Store {
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
        let put = self.s3.put_opts(&path, body, options);
        self.ask(Request::Create, name.as_str(), put).await.map(drop)
    }

    async fn head(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError> {
        // An answer to HEAD has no body, and there is more that may be missing than the object:
        // the bucket, or (some servers say 404 to that too) the account. GET tells.
        let silent = match self.head_once(name).await {
            Err(e @ (StoreError::Missing { .. } | StoreError::Denied { .. })) => e,
            found => return found.map(Some),
        };
        let absent = matches!(silent, StoreError::Missing { .. });
        match self.read(name, Some(GetRange::Bounded(0..1))).await {
            Err(StoreError::Missing { .. }) if absent => Ok(None),
            Err(StoreError::Missing { .. }) => Err(silent),
            // It has come in between; if it is empty, its first byte can't be had.
            Ok(_) => self.head_once(name).await.map(Some),
            Err(e) => self.head_once(name).await.map(Some).map_err(|_| e),
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
        let words = format!("bytes {range:?} asked for, but it ends at {}", read.size);
        Err(StoreError::Other { name: format!("{}/{name}", self.url), words })
    }

    async fn get_suffix(&self, name: &Name, length: u64) -> Result<Tail, StoreError> {
        match self.read(name, Some(GetRange::Suffix(length.max(1)))).await {
            Ok(Read { bytes, size }) => Ok(Tail { bytes, size }),
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
            Some(name) => self.s3.list_with_offset(Some(&prefix), &self.path(name.as_str())?),
            None => self.s3.list(Some(&prefix)),
        };
        let found = objects.try_collect::<Vec<_>>();
        let found = self.ask(Request::List, folder.as_str(), found).await?;
        let mut found: Vec<_> = found.iter().filter_map(|line| self.listed(line)).collect();
        // Servers list in this order; directory buckets of AWS do not.
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn folders(&self, folder: &Folder) -> Result<Vec<Folder>, StoreError> {
        let prefix = self.path(folder.as_str())?;
        let listing = self.s3.list_with_delimiter(Some(&prefix));
        let found = self.ask(Request::List, folder.as_str(), listing).await?.common_prefixes;
        let mut folders: Vec<_> =
            found.iter().filter_map(|path| Folder::parse(self.relative(path)?).ok()).collect();
        folders.sort_unstable();
        Ok(folders)
    }

    async fn delete(&self, name: &Name) -> Result<(), StoreError> {
        let path = self.path(name.as_str())?;
        match self.ask(Request::Delete, name.as_str(), self.s3.delete(&path)).await {
            Err(StoreError::Missing { .. }) => Ok(()),
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
