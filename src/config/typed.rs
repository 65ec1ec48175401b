//! The configuration as the rest of the product sees it: every value checked, every default filled.
//!
//! Pure. Who holds a [`Config`] need not check anything again.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::is_secret_property;
use super::patterns::TopicPatterns;
use super::secret::{REDACTED, Secret};
use super::units::ByteSize;
use crate::types::{AvroSchema, Format, Isolation, Suffix};
use crate::url::{ArchiveUrl, AzureAccount, Bucket};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[main]`
    pub main: Main,
    /// `[consumer]`
    pub consumer: Consumer,
    /// `[compression]`
    pub compression: Compression,
    /// The uploaders' part of `[s3]`.
    pub upload: Upload,
    /// `[archive]`, with the target that `[archive] url` or `[s3]` names.
    pub archive: Archive,
    /// `[catalog] url`: the database with the table of archived files.
    pub catalog: Option<Secret>,
    /// `[kafka]`
    pub kafka: KafkaProperties,
}

impl Config {
    /// How archived files are packed, which decides the end of their names.
    #[must_use]
    pub const fn suffix(&self) -> Suffix {
        match (self.archive.format, self.compression.codec) {
            (Format::Mak, Codec::Gzip) => Suffix::MakGz,
            (Format::Mak, Codec::Zstd) => Suffix::MakZst,
            (Format::Mak, Codec::None) => Suffix::Mak,
            (Format::Avro, _) if matches!(self.archive.layout, Layout::KafkaStore) => {
                Suffix::KafkaStore
            }
            (Format::Avro, _) => Suffix::Avro,
            (Format::Jsonl, Codec::Gzip) => Suffix::JsonlGz,
            (Format::Jsonl, Codec::Zstd) => Suffix::JsonlZst,
            (Format::Jsonl, Codec::None) => Suffix::Jsonl,
        }
    }

    /// Whether archived records don't say their offsets: then a file ends where they are not dense.
    #[must_use]
    pub fn has_no_offsets(&self) -> bool {
        self.archive.format == Format::Avro && self.archive.avro_schema == AvroSchema::Plain
    }

    /// What consumers leave free below `spool_max_bytes` for the compressors to finish their work:
    /// the largest file for each of them, and one more.
    #[must_use]
    pub fn spool_reserve(&self) -> ByteSize {
        spool_reserve(self.consumer.max_file_bytes, self.compression.workers)
    }
}

/// See [`Config::spool_reserve`].
pub(super) fn spool_reserve(largest_file: ByteSize, compressors: u16) -> ByteSize {
    largest_file.times(u64::from(compressors) + 1)
}

/// `[main]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Main {
    /// `log.level`
    pub log_level: LogLevel,
    /// `log.format`
    pub log_format: LogFormat,
    /// `working_directory`, absolute.
    pub working_directory: PathBuf,
    /// `instance`
    pub instance: InstanceName,
    /// `spool_max_bytes`
    pub spool_max_bytes: ByteSize,
    /// `memory_max_bytes`: all processes together.
    pub memory_max_bytes: ByteSize,
    /// `shutdown_timeout`
    pub shutdown_timeout: Duration,
}

/// `[consumer]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// `consumer_processes`; may be 0.
    pub processes: u16,
    /// `kafka_bootstrap`: `host:port`, comma-separated, without blanks.
    pub bootstrap: String,
    /// `kafka_consumer_group`
    pub group: String,
    /// `topic_whitelist` and `topic_blacklist`
    pub topics: TopicPatterns,
    /// `kafka_auto_offset_reset`
    pub offset_reset: OffsetReset,
    /// `consumer_nice_level`
    pub nice_level: i32,
    /// `max_age_seconds`
    pub max_age: Duration,
    /// `max_file_bytes`: before compression.
    pub max_file_bytes: ByteSize,
    /// `max_idle_seconds`; `None` is off.
    pub max_idle: Option<Duration>,
    /// `isolation_level`
    pub isolation: Isolation,
    /// `on_gap`
    pub on_gap: OnGap,
    /// `on_topic_recreated`
    pub on_topic_recreated: OnTopicRecreated,
    /// `group_instance_id`: static membership, a process adds `-` and its number.
    pub group_instance_id: Option<String>,
    /// `mak_version`
    pub mak_version: MakVersion,
}

/// `[compression]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// `compression`
    pub codec: Codec,
    /// `compression_level`: 0 to 9 for gzip, 1 to 19 for zstd; `None` is the codec's fast level.
    pub level: Option<u8>,
    /// `compressor_workers`; may be 0.
    pub workers: u16,
    /// `compression_nice_level`
    pub nice_level: i32,
    /// `compression_check_interval`: how often the spool is scanned even if nothing was announced.
    pub check_interval: Duration,
}

/// The uploaders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// `s3uploader_workers`; may be 0.
    pub workers: u16,
    /// `s3upload_check_interval`: how often the spool is scanned even if nothing was announced.
    pub check_interval: Duration,
}

/// Where archived files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The bucket or the directory.
    pub target: ArchiveTarget,
    /// `layout`
    pub layout: Layout,
    /// `format`
    pub format: Format,
    /// `avro_schema`
    pub avro_schema: AvroSchema,
    /// `publish_deadline`: a file that was not published so long after its rotation is read again.
    pub publish_deadline: Duration,
}

/// A bucket or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveTarget {
    /// An S3 bucket, or one of something that speaks S3.
    S3(S3Target),
    /// A bucket of Google Cloud Storage.
    Gcs(GcsTarget),
    /// A container of Azure Blob Storage.
    Azure(AzureTarget),
    /// A local directory.
    Dir {
        /// Absolute.
        path: PathBuf,
    },
}

impl ArchiveTarget {
    /// Where it is, without how to get there.
    #[must_use]
    pub fn url(&self) -> ArchiveUrl {
        match self {
            Self::S3(s3) => {
                ArchiveUrl::S3(Bucket { name: s3.bucket.clone(), prefix: s3.prefix.clone() })
            }
            Self::Gcs(gcs) => ArchiveUrl::Gcs(gcs.bucket.clone()),
            Self::Azure(AzureTarget { container, url_account, .. }) => {
                ArchiveUrl::Azure { container: container.clone(), account: url_account.clone() }
            }
            Self::Dir { path } => ArchiveUrl::Dir(path.clone()),
        }
    }
}

/// As an URL: `s3://bucket/prefix`, `file:///dir`.
impl fmt::Display for ArchiveTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url().fmt(f)
    }
}

/// A bucket of Google Cloud Storage and how to get at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcsTarget {
    /// The bucket and the prefix of `[archive] url`.
    pub bucket: Bucket,
    /// `gcs_credentials_file`; `None` is where Google's own tools look.
    pub credentials: Option<PathBuf>,
    /// `gcs_endpoint` with its scheme; `None` is Google's, or `STORAGE_EMULATOR_HOST`.
    pub endpoint: Option<String>,
    /// `gcs_storage_class`
    pub storage_class: Option<String>,
}

/// A container of Azure Blob Storage and how to get at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureTarget {
    /// The container and the prefix of `[archive] url`.
    pub container: Bucket,
    /// The account, if that URL names it.
    pub url_account: Option<AzureAccount>,
    /// `azure_storage_account`
    pub account: Option<String>,
    /// `azure_storage_key`
    pub key: Option<Secret>,
    /// `azure_storage_sas_token`
    pub sas_token: Option<Secret>,
    /// `azure_storage_connection_string`
    pub connection_string: Option<Secret>,
    /// `azure_storage_endpoint` with its scheme.
    pub endpoint: Option<String>,
    /// `azure_access_tier`
    pub tier: Option<String>,
}

impl AzureTarget {
    /// Whether the file says who we are.
    #[must_use]
    pub const fn has_credentials(&self) -> bool {
        self.key.is_some() || self.sas_token.is_some() || self.connection_string.is_some()
    }
}

/// An S3 bucket and how to get at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Target {
    /// `s3_bucket_name`
    pub bucket: String,
    /// `s3_prefix`, without slashes at its ends; empty is the bucket's root.
    pub prefix: String,
    /// `s3_endpoint` with its scheme; `None` is AWS's. With an endpoint, the bucket goes into the path.
    pub endpoint: Option<String>,
    /// `s3_region`; `None` is what the AWS chain says.
    pub region: Option<String>,
    /// `s3_access_key`; `None` (then both are) is the AWS chain.
    pub access_key: Option<Secret>,
    /// `s3_secret_key`
    pub secret_key: Option<Secret>,
    /// `s3_storage_class`
    pub storage_class: Option<String>,
    /// `s3_sse`
    pub sse: Option<Sse>,
    /// `s3_tags`
    pub tags: Vec<Tag>,
}

impl S3Target {
    /// Whether the endpoint is plain http, which only an URL that says so makes it.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"))
    }
}

/// Encryption by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sse {
    /// `AES256`
    Aes256,
    /// `aws:kms` or `aws:kms:KEY`
    Kms {
        /// Id or ARN of the key; `None` is the account's own.
        key: Option<String>,
    },
    /// `aws:kms:dsse` or `aws:kms:dsse:KEY`
    KmsDsse {
        /// Id or ARN of the key; `None` is the account's own.
        key: Option<String>,
    },
}

impl fmt::Display for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aes256 => f.write_str("AES256"),
            Self::Kms { key: None } => f.write_str("aws:kms"),
            Self::Kms { key: Some(key) } => write!(f, "aws:kms:{key}"),
            Self::KmsDsse { key: None } => f.write_str("aws:kms:dsse"),
            Self::KmsDsse { key: Some(key) } => write!(f, "aws:kms:dsse:{key}"),
        }
    }
}

/// One tag of every object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Left of the equals sign.
    pub key: String,
    /// Right of it.
    pub value: String,
}

/// The name of one supervisor among those that share a spool: 1 to 64 of `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceName(String);

impl InstanceName {
    /// Checks `name`; it becomes part of a file's name.
    pub(super) fn new(name: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(legal);
        (fits && !name.starts_with('.')).then(|| Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares an enum of the words that a key takes.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every word that there is.
            pub(super) const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word as it stands in the file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of `word`, whose case does not matter.
            pub(super) fn parse(word: &str) -> Option<Self> {
                $(if word.eq_ignore_ascii_case($word) { return Some(Self::$variant); })+
                None
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Whose names and schema archived files have.
    Layout {
        /// Our own.
        Kafkatos3 = "kafkatos3",
        /// kafka_store's.
        KafkaStore = "kafka_store",
    }
}

words! {
    /// How much is logged.
    LogLevel {
        /// Everything.
        Debug = "DEBUG",
        /// What changes.
        Info = "INFO",
        /// What should not be.
        Warning = "WARNING",
        /// What went wrong.
        Error = "ERROR",
        /// The last words only; there is no finer level than error, so these are the same here.
        Critical = "CRITICAL",
    }
}

impl LogLevel {
    /// The same for the `log` crate.
    #[must_use]
    pub const fn filter(self) -> log::LevelFilter {
        match self {
            Self::Debug => log::LevelFilter::Debug,
            Self::Info => log::LevelFilter::Info,
            Self::Warning => log::LevelFilter::Warn,
            Self::Error | Self::Critical => log::LevelFilter::Error,
        }
    }
}

words! {
    /// How lines of the log look.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object each.
        Json = "json",
    }
}

words! {
    /// Where a partition without a chain and without a committed offset begins.
    OffsetReset {
        /// At offset 0.
        Earliest = "earliest",
        /// At the end that it has at the group's first start.
        Latest = "latest",
    }
}

words! {
    /// What happens when Kafka no longer has what comes next.
    OnGap {
        /// The chain records it and goes on.
        Record = "record",
        /// The partition stops.
        Stop = "stop",
    }
}

words! {
    /// What happens when a topic was deleted and created again.
    OnTopicRecreated {
        /// Its partitions stop.
        Stop = "stop",
        /// A new chain begins beside the old one.
        NewChain = "new_chain",
    }
}

words! {
    /// The version of the MAK files in the archive; the spool's are always version 2.
    MakVersion {
        /// The original's: no null, no timestamps, no headers, no checksums.
        V1 = "1",
        /// Lossless.
        V2 = "2",
    }
}

words! {
    /// How archived files are packed.
    Codec {
        /// gzip members.
        Gzip = "gzip",
        /// zstd frames.
        Zstd = "zstd",
        /// Not at all.
        None = "none",
    }
}

/// `[kafka]`: what is handed to librdkafka as it is.
///
/// `Debug` and [`KafkaProperties::redacted`] hide what is a secret by its name.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct KafkaProperties(BTreeMap<String, String>);

impl KafkaProperties {
    /// From names and values, later ones winning.
    #[must_use]
    pub fn new(properties: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(properties.into_iter().collect())
    }

    /// Names and values as they are, secrets too: for the client, not for a log.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of `name` as it is.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values for people.
    pub fn redacted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter()
            .map(|(name, value)| (name, if is_secret_property(name) { REDACTED } else { value }))
    }
}

impl fmt::Debug for KafkaProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.redacted()).finish()
    }
}
