//! Every section and key that there is: its default, and whether it is a secret.
//!
//! Pure. The example and `docs/configuration.md` are tested against this table; a key that is not
//! in it is an error, with the nearest one that is.

use super::librdkafka::{self, Refusal};

/// A section of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Section {
    Main,
    Consumer,
    Compression,
    S3,
    Gcs,
    Azure,
    Archive,
    Catalog,
    Kafka,
}

impl Section {
    pub(super) const ALL: [Self; 9] = [
        Self::Main,
        Self::Consumer,
        Self::Compression,
        Self::S3,
        Self::Gcs,
        Self::Azure,
        Self::Archive,
        Self::Catalog,
        Self::Kafka,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Consumer => "consumer",
            Self::Compression => "compression",
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
            Self::Archive => "archive",
            Self::Catalog => "catalog",
            Self::Kafka => "kafka",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}

/// One key of one section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) section: Section,
    pub(super) name: &'static str,
    /// As it would stand in the file; `None`: required, or found out otherwise.
    pub(super) default: Option<&'static str>,
    pub(super) secret: bool,
    /// Read by the original only: accepted, said once, and of no effect.
    pub(super) ignored: Option<&'static str>,
}

const fn key(section: Section, name: &'static str) -> Key {
    Key { section, name, default: None, secret: false, ignored: None }
}

impl Key {
    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn ignored(mut self, why: &'static str) -> Self {
        self.ignored = Some(why);
        self
    }
}

/// Declares the keys and the list of them all.
macro_rules! keys {
    ($($name:ident = $key:expr;)+) => {
        $(pub(super) const $name: Key = $key;)+
        /// Every key outside `[kafka]`.
        pub(super) const ALL: &[Key] = &[$($name),+];
    };
}

use Section::{Archive, Azure, Catalog, Compression, Consumer, Gcs, Main, S3};

keys! {
    LOG_LEVEL = key(Main, "log.level").or("INFO");
    LOG_FORMAT = key(Main, "log.format").or("text");
    WORKING_DIRECTORY = key(Main, "working_directory");
    INSTANCE = key(Main, "instance");
    SPOOL_MAX_BYTES = key(Main, "spool_max_bytes").or("10GiB");
    MEMORY_MAX_BYTES = key(Main, "memory_max_bytes").or("256MiB");
    SHUTDOWN_TIMEOUT = key(Main, "shutdown_timeout").or("60s");

    CONSUMER_PROCESSES = key(Consumer, "consumer_processes").or("1");
    KAFKA_BOOTSTRAP = key(Consumer, "kafka_bootstrap");
    KAFKA_CONSUMER_GROUP = key(Consumer, "kafka_consumer_group");
    TOPIC_WHITELIST = key(Consumer, "topic_whitelist");
    TOPIC_BLACKLIST = key(Consumer, "topic_blacklist").or("");
    KAFKA_AUTO_OFFSET_RESET = key(Consumer, "kafka_auto_offset_reset").or("earliest");
    CONSUMER_NICE_LEVEL = key(Consumer, "consumer_nice_level").or("15");
    MAX_AGE_SECONDS = key(Consumer, "max_age_seconds").or("1800");
    MAX_FILE_BYTES = key(Consumer, "max_file_bytes").or("256MiB");
    MAX_IDLE_SECONDS = key(Consumer, "max_idle_seconds").or("0");
    ISOLATION_LEVEL = key(Consumer, "isolation_level").or("read_committed");
    ON_GAP = key(Consumer, "on_gap").or("record");
    ON_TOPIC_RECREATED = key(Consumer, "on_topic_recreated").or("stop");
    GROUP_INSTANCE_ID = key(Consumer, "group_instance_id").or("");
    MAK_VERSION = key(Consumer, "mak_version").or("2");
    CONSUMER_CLASS = key(Consumer, "consumer_class")
        .ignored("there is one consumer here, on librdkafka; the line can go");

    COMPRESSION = key(Compression, "compression").or("gzip");
    COMPRESSION_LEVEL = key(Compression, "compression_level").or("");
    COMPRESSOR_WORKERS = key(Compression, "compressor_workers").or("1");
    COMPRESSION_NICE_LEVEL = key(Compression, "compression_nice_level").or("10");
    COMPRESSION_CHECK_INTERVAL = key(Compression, "compression_check_interval").or("600");

    S3UPLOADER_WORKERS = key(S3, "s3uploader_workers").or("1");
    S3UPLOAD_CHECK_INTERVAL = key(S3, "s3upload_check_interval").or("600");
    S3_BUCKET_NAME = key(S3, "s3_bucket_name").or("");
    S3_PREFIX = key(S3, "s3_prefix").or("kafkatos3");
    S3_ENDPOINT = key(S3, "s3_endpoint").or("");
    S3_REGION = key(S3, "s3_region").or("");
    S3_ACCESS_KEY = key(S3, "s3_access_key").or("").secret();
    S3_SECRET_KEY = key(S3, "s3_secret_key").or("").secret();
    S3_STORAGE_CLASS = key(S3, "s3_storage_class").or("");
    S3_SSE = key(S3, "s3_sse").or("");
    S3_TAGS = key(S3, "s3_tags").or("");
    S3_TOPIC_WHITELIST = key(S3, "topic_whitelist")
        .ignored("which topics are archived is said by [consumer] topic_whitelist alone; the line can go");

    GCS_CREDENTIALS_FILE = key(Gcs, "gcs_credentials_file").or("");
    GCS_ENDPOINT = key(Gcs, "gcs_endpoint").or("");
    GCS_STORAGE_CLASS = key(Gcs, "gcs_storage_class").or("");

    AZURE_STORAGE_ACCOUNT = key(Azure, "azure_storage_account").or("");
    AZURE_STORAGE_KEY = key(Azure, "azure_storage_key").or("").secret();
    AZURE_STORAGE_SAS_TOKEN = key(Azure, "azure_storage_sas_token").or("").secret();
    AZURE_STORAGE_CONNECTION_STRING =
        key(Azure, "azure_storage_connection_string").or("").secret();
    AZURE_STORAGE_ENDPOINT = key(Azure, "azure_storage_endpoint").or("");
    AZURE_ACCESS_TIER = key(Azure, "azure_access_tier").or("");

    ARCHIVE_URL = key(Archive, "url").or("");
    LAYOUT = key(Archive, "layout").or("kafkatos3");
    FORMAT = key(Archive, "format").or("mak");
    AVRO_SCHEMA = key(Archive, "avro_schema").or("full");
    PUBLISH_DEADLINE = key(Archive, "publish_deadline").or("24h");

    CATALOG_URL = key(Catalog, "url").or("").secret();
}

/// The key `name` of `section`; `[kafka]` has none of its own.
pub(super) fn find(section: Section, name: &str) -> Option<&'static Key> {
    ALL.iter().find(|key| key.section == section && key.name == name)
}

/// Whether the value of `[section] name` must never be shown.
pub(super) fn is_secret(section: Section, name: &str) -> bool {
    match section {
        Section::Kafka => is_secret_property(name),
        _ => find(section, name).is_some_and(|key| key.secret),
    }
}

/// Whether `[kafka] name` must never be shown.
pub(super) fn is_secret_property(name: &str) -> bool {
    may_be_in_file(name) || name.ends_with(".passphrase") || name == "sasl.oauthbearer.config"
}

/// How the names of properties end that hold a key or a certificate as text.
const PEM: &str = ".pem";

/// Whether `[kafka] name` may be `file:/path`.
fn may_be_in_file(name: &str) -> bool {
    [".password", ".secret", PEM].iter().any(|end| name.ends_with(end))
}

/// Whether the value of `[section] name` may stand in a file of its own.
pub(super) fn takes_file(section: Section, name: &str) -> bool {
    match section {
        Section::Kafka => may_be_in_file(name),
        _ => is_secret(section, name),
    }
}

/// Whether the value of `[section] name` may go on over indented lines.
pub(super) fn takes_lines(section: Section, name: &str) -> bool {
    match section {
        Section::Kafka => name.ends_with(PEM),
        _ => name == TOPIC_WHITELIST.name || name == TOPIC_BLACKLIST.name,
    }
}

/// What to say of a key that `section` does not have: where it belongs, or what is nearest.
pub(super) fn suggest(section: Section, name: &str) -> Option<String> {
    if section == Section::Kafka {
        return suggest_property(name);
    }
    if let Some(key) = ALL.iter().find(|key| key.name == name && key.ignored.is_none()) {
        return Some(format!("it belongs to [{}]", key.section.name()));
    }
    let own = |near| format!("did you mean \"{near}\"?");
    let here = ALL.iter().filter(|key| key.section == section).map(|key| key.name);
    if let Some(near) = nearest(name, VERY_LIKE, here.clone()) {
        return Some(own(near));
    }
    if librdkafka::is_property(name) {
        return Some(match librdkafka::refusal(name) {
            Some(Refusal::UseInstead(setting)) => format!("set {setting} instead"),
            Some(Refusal::Fixed(why)) => format!("remove it: {why}"),
            None => "it is a property of librdkafka and belongs to [kafka]".into(),
        });
    }
    nearest(name, LIKE, here).map(own).or_else(|| suggest_elsewhere(section, name))
}

fn suggest_elsewhere(section: Section, name: &str) -> Option<String> {
    let others = || ALL.iter().filter(|key| key.section != section && key.ignored.is_none());
    let near = nearest(name, LIKE, others().map(|key| key.name))?;
    let key = others().find(|key| key.name == near)?;
    Some(format!("did you mean \"{near}\" of [{}]?", key.section.name()))
}

fn suggest_property(name: &str) -> Option<String> {
    if let Some(key) = ALL.iter().find(|key| key.name == name && key.ignored.is_none()) {
        return Some(format!("it belongs to [{}]", key.section.name()));
    }
    if name == "sasl.jaas.config" {
        return Some("librdkafka has sasl.username and sasl.password instead".into());
    }
    nearest(name, LIKE, librdkafka::PROPERTIES.iter().copied())
        .map(|near| format!("did you mean \"{near}\"?"))
}

/// What to say of a section that there is not.
pub(super) fn suggest_section(name: &str) -> Option<&'static str> {
    nearest(name, LIKE, Section::ALL.into_iter().map(Section::name))
}

/// How similar a word has to be to be what was meant; 1 is the same.
const LIKE: f64 = 0.8;

/// How similar a key of the same section has to be to win over the same name elsewhere.
const VERY_LIKE: f64 = 0.93;

/// The most similar of `known`, if it is similar enough to be what was meant.
fn nearest<'a>(name: &str, least: f64, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |word: &str| strsim::jaro_winkler(name, word);
    known
        .map(|word| (word, likeness(word)))
        .filter(|(_, score)| *score > least)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_twice_in_a_section() {
        for (n, key) in ALL.iter().enumerate() {
            let twins =
                ALL[n + 1..].iter().filter(|k| (k.section, k.name) == (key.section, key.name));
            assert_eq!(twins.count(), 0, "{}", key.name);
        }
    }

    #[test]
    fn suggestions_find_the_neighbour() {
        let hint = |section, name| suggest(section, name).unwrap_or_default();
        assert_eq!(hint(Main, "spool_max_byte"), "did you mean \"spool_max_bytes\"?");
        assert_eq!(hint(Main, "working_dir"), "did you mean \"working_directory\"?");
        assert_eq!(hint(Main, "log_level"), "did you mean \"log.level\"?");
        assert_eq!(hint(Main, "s3_prefix"), "it belongs to [s3]");
        assert!(hint(Consumer, "sasl.password").ends_with("belongs to [kafka]"));
        assert_eq!(hint(Section::Kafka, "sasl.pasword"), "did you mean \"sasl.password\"?");
        assert!(hint(Section::Kafka, "sasl.jaas.config").contains("sasl.username"));
        assert_eq!(hint(Consumer, "group.id"), "set [consumer] kafka_consumer_group instead");
        assert!(hint(Consumer, "enable.auto.commit").starts_with("remove it: "));
        assert_eq!(
            hint(Main, "topic_whitelists"),
            "did you mean \"topic_whitelist\" of [consumer]?"
        );
        assert_eq!(hint(Main, "zzz"), "");
        assert_eq!(suggest_section("consumers"), Some("consumer"));
        assert_eq!(suggest_section("xyz"), None);
    }

    #[test]
    fn secrets_are_known_by_name() {
        for name in ["sasl.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"] {
            assert!(is_secret_property(name) && takes_file(Section::Kafka, name), "{name}");
        }
        assert!(is_secret(S3, "s3_access_key") && takes_file(S3, "s3_secret_key"));
        assert!(!is_secret(S3, "s3_prefix") && !takes_file(S3, "s3_prefix"));
        assert!(!is_secret_property("sasl.username"));
    }
}
