//! S3 and its look-alikes, by `object_store`.
//!
//! One conditional `PUT` creates an object (`If-None-Match: *`).
//!
//! **Integrity.** What is sent has to be what is stored. [`Integrity::Sha256`] signs the body's
//! SHA-256: every S3 understands it, and it also holds on plain http. [`Integrity::Crc64Nvme`]
//! sends a CRC-64 that the server must check, and leaves protection from tampering to TLS: far
//! cheaper, but some look-alikes refuse the header. So it is the default for AWS itself only.

use std::fmt;
use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};

use super::answers;
use super::aws_chain::AwsChain;
use super::bucket::{BucketStore, Habits, client_options, retries};
use super::error::StoreError;
use super::http::WatchedConnector;

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

const HABITS: Habits = Habits { dialect: &answers::S3, head_is_silent: true, suffix_ranges: true };

/// Gets ready to talk to the bucket; asks it nothing yet.
pub(super) async fn open(settings: &S3Settings) -> Result<BucketStore, StoreError> {
    let prefix = settings.prefix.trim_matches('/');
    let url = format!("s3://{}/{prefix}", settings.bucket).trim_end_matches('/').to_owned();
    let other =
        |e: object_store::Error| StoreError::Other { name: url.clone(), words: e.to_string() };
    let client = client(settings).await.map_err(other)?;
    let store = BucketStore::new(client, HABITS, url, prefix)?;
    Ok(store.with_class(settings.storage_class.as_ref()).with_tags(&settings.tags))
}

async fn client(settings: &S3Settings) -> object_store::Result<AmazonS3> {
    let builder = with_encryption(builder(settings), settings.sse.as_ref())?;
    with_credentials(builder, settings).await.build()
}

fn builder(settings: &S3Settings) -> AmazonS3Builder {
    let endpoint = settings.endpoint.as_deref();
    let plain = endpoint.is_some_and(|url| url.starts_with("http://"));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_virtual_hosted_style_request(endpoint.is_none())
        .with_disable_bulk_delete(true)
        .with_client_options(client_options(plain))
        .with_retry(retries())
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
