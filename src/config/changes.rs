//! What a change of each setting means to the workers that run: who reads it, and whether it can
//! be taken up without a new process. Pure.
//!
//! Every field of the typed configuration is taken apart by name here, so that one that is added
//! does not compile before it is said what a reload does with it.

use std::fmt;

use super::keys::{self, Key, Section, is_secret_property};
use super::redacted::setting;
use super::typed::{
    Archive, ArchiveTarget, AzureTarget, Compression, Config, Consumer, GcsTarget, KafkaProperties,
    Main, S3Target, Upload,
};

/// What a running worker does about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Uptake {
    /// Nothing: it does not read what changed.
    #[default]
    Nothing,
    /// It goes on with the new value.
    Live,
    /// It can't: a new process has to take its place.
    Replace,
}

/// The same for each kind of worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uptakes {
    /// Kafka to the spool.
    pub consumer: Uptake,
    /// Spool to packed files.
    pub compressor: Uptake,
    /// Packed files to the archive.
    pub uploader: Uptake,
}

impl Uptakes {
    const fn new(consumer: Uptake, compressor: Uptake, uploader: Uptake) -> Self {
        Self { consumer, compressor, uploader }
    }

    fn and(self, other: Self) -> Self {
        Self {
            consumer: self.consumer.max(other.consumer),
            compressor: self.compressor.max(other.compressor),
            uploader: self.uploader.max(other.uploader),
        }
    }
}

use Uptake::{Live, Nothing, Replace};

/// Read by the supervisor alone.
const NOBODY: Uptakes = Uptakes::new(Nothing, Nothing, Nothing);
const EVERYBODY: Uptakes = Uptakes::new(Live, Live, Live);
const CONSUMERS: Uptakes = Uptakes::new(Live, Nothing, Nothing);
const NEW_CONSUMERS: Uptakes = Uptakes::new(Replace, Nothing, Nothing);
const COMPRESSORS: Uptakes = Uptakes::new(Nothing, Live, Nothing);
const NEW_COMPRESSORS: Uptakes = Uptakes::new(Nothing, Replace, Nothing);
const UPLOADERS: Uptakes = Uptakes::new(Nothing, Nothing, Live);
const NEW_UPLOADERS: Uptakes = Uptakes::new(Nothing, Nothing, Replace);
/// Consumers' chains begin with the configured suffix; an uploader seals a chain for another suffix
/// once in its life.
const SUFFIX: Uptakes = Uptakes::new(Live, Live, Replace);
/// Consumers ask the archive where they are to go on.
const NEW_STORE: Uptakes = Uptakes::new(Replace, Nothing, Replace);
/// Consumers create but the chains' small records there, and open the store anew for that.
const NEW_OBJECTS: Uptakes = Uptakes::new(Live, Nothing, Replace);

/// How one setting differs.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    section: Section,
    name: String,
    /// Old and new value; none of a secret.
    values: Option<(String, String)>,
}

/// `[section] key: old -> new`; of a secret only that it changed.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| if text.is_empty() { "\"\"".to_owned() } else { text.to_owned() };
        write!(f, "[{}] {}", self.section.name(), self.name)?;
        match &self.values {
            Some((old, new)) => write!(f, ": {} -> {}", shown(old), shown(new)),
            None => write!(f, ": changed (secret)"),
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How two configurations differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Setting by setting.
    pub settings: Vec<Change>,
    /// What the workers do about all of it.
    pub uptakes: Uptakes,
}

impl Config {
    /// What is different in `new`, and what that means to workers that run with `self`.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        for Compared { key, same, uptakes } in self.compare(new) {
            if !same {
                let (old, new) = (setting(self, key), setting(new, key));
                changes.add(key.section, key.name, (!key.secret).then_some((old, new)), uptakes);
            }
        }
        changes.add_properties(&self.kafka, &new.kafka);
        changes
    }

    fn compare(&self, new: &Self) -> Vec<Compared> {
        // What `[kafka]` holds has no keys of its own.
        let Self { main, consumer, compression, upload, archive, catalog, kafka: _ } = self;
        let mut all = main.compare(&new.main);
        all.extend(consumer.compare(&new.consumer));
        all.extend(compression.compare(&new.compression));
        all.extend(upload.compare(&new.upload));
        all.extend(archive.compare(&new.archive));
        all.push(on(keys::CATALOG_URL, *catalog == new.catalog, NEW_UPLOADERS));
        all
    }
}

impl Changes {
    fn add(
        &mut self,
        section: Section,
        name: &str,
        values: Option<(String, String)>,
        uptakes: Uptakes,
    ) {
        self.settings.push(Change { section, name: name.to_owned(), values });
        self.uptakes = self.uptakes.and(uptakes);
    }

    /// librdkafka takes properties at a client's start only.
    fn add_properties(&mut self, old: &KafkaProperties, new: &KafkaProperties) {
        let mut names: Vec<_> = old.iter().chain(new.iter()).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| old.get(name) != new.get(name)) {
            let value = |of: &KafkaProperties| of.get(name).unwrap_or_default().to_owned();
            let values = (!is_secret_property(name)).then(|| (value(old), value(new)));
            self.add(Section::Kafka, name, values, NEW_CONSUMERS);
        }
    }
}

/// One key of both configurations.
struct Compared {
    key: Key,
    same: bool,
    uptakes: Uptakes,
}

const fn on(key: Key, same: bool, uptakes: Uptakes) -> Compared {
    Compared { key, same, uptakes }
}

impl Main {
    fn compare(&self, new: &Self) -> Vec<Compared> {
        let Self {
            log_level,
            log_format,
            working_directory,
            instance,
            spool_max_bytes,
            memory_max_bytes,
            shutdown_timeout,
        } = self;
        vec![
            on(keys::LOG_LEVEL, *log_level == new.log_level, EVERYBODY),
            on(keys::LOG_FORMAT, *log_format == new.log_format, EVERYBODY),
            // The supervisor refuses to change these two: its lock stands for them.
            on(keys::WORKING_DIRECTORY, *working_directory == new.working_directory, NOBODY),
            on(keys::INSTANCE, *instance == new.instance, NOBODY),
            on(keys::SPOOL_MAX_BYTES, *spool_max_bytes == new.spool_max_bytes, CONSUMERS),
            // librdkafka's queue has its size from its start.
            on(keys::MEMORY_MAX_BYTES, *memory_max_bytes == new.memory_max_bytes, NEW_CONSUMERS),
            on(keys::SHUTDOWN_TIMEOUT, *shutdown_timeout == new.shutdown_timeout, CONSUMERS),
        ]
    }
}

impl Consumer {
    fn compare(&self, new: &Self) -> Vec<Compared> {
        let Self {
            processes,
            bootstrap,
            group,
            topics,
            offset_reset,
            nice_level,
            max_age,
            max_file_bytes,
            max_idle,
            isolation,
            on_gap,
            on_topic_recreated,
            group_instance_id,
            mak_version,
        } = self;
        let recreated = CONSUMERS.and(UPLOADERS);
        vec![
            // How many are wanted is the supervisor's; shares and the end of the work depend on it.
            on(keys::CONSUMER_PROCESSES, *processes == new.processes, EVERYBODY),
            on(keys::KAFKA_BOOTSTRAP, *bootstrap == new.bootstrap, NEW_CONSUMERS),
            on(keys::KAFKA_CONSUMER_GROUP, *group == new.group, NEW_CONSUMERS),
            on(keys::TOPIC_WHITELIST, topics.whitelist == new.topics.whitelist, CONSUMERS),
            on(keys::TOPIC_BLACKLIST, topics.blacklist == new.topics.blacklist, CONSUMERS),
            on(keys::KAFKA_AUTO_OFFSET_RESET, *offset_reset == new.offset_reset, CONSUMERS),
            // A process' threads can't be given more priority from outside.
            on(keys::CONSUMER_NICE_LEVEL, *nice_level == new.nice_level, NEW_CONSUMERS),
            on(keys::MAX_AGE_SECONDS, *max_age == new.max_age, CONSUMERS),
            on(keys::MAX_FILE_BYTES, *max_file_bytes == new.max_file_bytes, CONSUMERS),
            on(keys::MAX_IDLE_SECONDS, *max_idle == new.max_idle, CONSUMERS),
            on(keys::ISOLATION_LEVEL, *isolation == new.isolation, NEW_CONSUMERS),
            on(keys::ON_GAP, *on_gap == new.on_gap, CONSUMERS),
            on(keys::ON_TOPIC_RECREATED, *on_topic_recreated == new.on_topic_recreated, recreated),
            on(keys::GROUP_INSTANCE_ID, *group_instance_id == new.group_instance_id, NEW_CONSUMERS),
            on(keys::MAK_VERSION, *mak_version == new.mak_version, COMPRESSORS),
        ]
    }
}

impl Compression {
    fn compare(&self, new: &Self) -> Vec<Compared> {
        let Self { codec, level, workers, nice_level, check_interval } = self;
        let levels = COMPRESSORS.and(UPLOADERS);
        vec![
            on(keys::COMPRESSION, *codec == new.codec, SUFFIX),
            on(keys::COMPRESSION_LEVEL, *level == new.level, levels),
            // The spool's reserve depends on how many there are.
            on(keys::COMPRESSOR_WORKERS, *workers == new.workers, CONSUMERS),
            on(keys::COMPRESSION_NICE_LEVEL, *nice_level == new.nice_level, NEW_COMPRESSORS),
            on(
                keys::COMPRESSION_CHECK_INTERVAL,
                *check_interval == new.check_interval,
                COMPRESSORS,
            ),
        ]
    }
}

impl Upload {
    fn compare(&self, new: &Self) -> Vec<Compared> {
        let Self { workers, check_interval } = self;
        let interval = *check_interval == new.check_interval;
        vec![
            on(keys::S3UPLOADER_WORKERS, *workers == new.workers, NOBODY),
            on(keys::S3UPLOAD_CHECK_INTERVAL, interval, UPLOADERS),
        ]
    }
}

impl Archive {
    fn compare(&self, new: &Self) -> Vec<Compared> {
        let Self { target, layout, format, avro_schema, publish_deadline } = self;
        let deadline = *publish_deadline == new.publish_deadline;
        let schema = *avro_schema == new.avro_schema;
        let mut all = vec![
            on(keys::PUBLISH_DEADLINE, deadline, UPLOADERS),
            on(keys::LAYOUT, *layout == new.layout, SUFFIX),
            on(keys::FORMAT, *format == new.format, SUFFIX),
            on(keys::AVRO_SCHEMA, schema, EVERYBODY),
        ];
        match (target, &new.target) {
            (ArchiveTarget::S3(old), ArchiveTarget::S3(new)) => all.extend(old.compare(new)),
            (ArchiveTarget::Gcs(old), ArchiveTarget::Gcs(new)) => all.extend(old.compare(new)),
            (ArchiveTarget::Azure(old), ArchiveTarget::Azure(new)) => all.extend(old.compare(new)),
            (ArchiveTarget::Dir { path: old }, ArchiveTarget::Dir { path: new }) => {
                all.push(on(keys::ARCHIVE_URL, old == new, NEW_STORE));
            }
            (old, new) => {
                all.push(on(keys::ARCHIVE_URL, false, NEW_STORE));
                if matches!(old, ArchiveTarget::S3(_)) || matches!(new, ArchiveTarget::S3(_)) {
                    all.push(on(keys::S3_BUCKET_NAME, false, NEW_STORE));
                }
            }
        }
        all
    }
}

impl S3Target {
    fn compare(&self, new: &Self) -> Vec<Compared> {
        let Self {
            bucket,
            prefix,
            endpoint,
            region,
            access_key,
            secret_key,
            storage_class,
            sse,
            tags,
        } = self;
        vec![
            on(keys::S3_BUCKET_NAME, *bucket == new.bucket, NEW_STORE),
            on(keys::S3_PREFIX, *prefix == new.prefix, NEW_STORE),
            on(keys::S3_ENDPOINT, *endpoint == new.endpoint, NEW_STORE),
            on(keys::S3_REGION, *region == new.region, NEW_STORE),
            on(keys::S3_ACCESS_KEY, *access_key == new.access_key, NEW_STORE),
            on(keys::S3_SECRET_KEY, *secret_key == new.secret_key, NEW_STORE),
            on(keys::S3_STORAGE_CLASS, *storage_class == new.storage_class, NEW_OBJECTS),
            on(keys::S3_SSE, *sse == new.sse, NEW_OBJECTS),
            on(keys::S3_TAGS, *tags == new.tags, NEW_OBJECTS),
        ]
    }
}

impl GcsTarget {
    fn compare(&self, new: &Self) -> Vec<Compared> {
        let Self { bucket, credentials, endpoint, storage_class } = self;
        vec![
            on(keys::ARCHIVE_URL, *bucket == new.bucket, NEW_STORE),
            on(keys::GCS_CREDENTIALS_FILE, *credentials == new.credentials, NEW_STORE),
            on(keys::GCS_ENDPOINT, *endpoint == new.endpoint, NEW_STORE),
            on(keys::GCS_STORAGE_CLASS, *storage_class == new.storage_class, NEW_OBJECTS),
        ]
    }
}

impl AzureTarget {
    fn compare(&self, new: &Self) -> Vec<Compared> {
        let Self {
            container,
            url_account,
            account,
            key,
            sas_token,
            connection_string: line,
            endpoint,
            tier,
        } = self;
        let url = *container == new.container && *url_account == new.url_account;
        let same_line = *line == new.connection_string;
        vec![
            on(keys::ARCHIVE_URL, url, NEW_STORE),
            on(keys::AZURE_STORAGE_ACCOUNT, *account == new.account, NEW_STORE),
            on(keys::AZURE_STORAGE_KEY, *key == new.key, NEW_STORE),
            on(keys::AZURE_STORAGE_SAS_TOKEN, *sas_token == new.sas_token, NEW_STORE),
            on(keys::AZURE_STORAGE_CONNECTION_STRING, same_line, NEW_STORE),
            on(keys::AZURE_STORAGE_ENDPOINT, *endpoint == new.endpoint, NEW_STORE),
            on(keys::AZURE_ACCESS_TIER, *tier == new.tier, NEW_OBJECTS),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/configuration.md");

    const BUCKET: &str = "[s3]\ns3_bucket_name = bkt\ns3_access_key = a\ns3_secret_key = b\n";
    const DIRECTORY: &str = "[archive]\nurl = file:///archive\n";

    fn config(more: &str) -> Config {
        let text = format!(
            "[main]\nworking_directory = /w\ninstance = i\n[consumer]\nkafka_bootstrap = k:9092\n\
             kafka_consumer_group = g\ntopic_whitelist = t\n{more}"
        );
        Config::from_text("f", &text).unwrap().config
    }

    /// The lines for the log, and what consumers, compressors and uploaders do.
    fn changes(old: &str, new: &str) -> (Vec<String>, [Uptake; 3]) {
        let Changes { settings, uptakes } = config(old).changes(&config(new));
        let Uptakes { consumer, compressor, uploader } = uptakes;
        (settings.iter().map(ToString::to_string).collect(), [consumer, compressor, uploader])
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(changes(BUCKET, BUCKET), (vec![], [Nothing; 3]));
    }

    #[test]
    fn what_changed_is_named_with_both_values_and_touches_only_who_reads_it() {
        let with = |line: &str| format!("{BUCKET}{line}\n");
        for (section, key, value, line, uptakes) in [
            ("consumer", "max_age_seconds", "60", "1800s -> 60s", [Live, Nothing, Nothing]),
            ("consumer", "topic_blacklist", "x", "\"\" -> x", [Live, Nothing, Nothing]),
            ("consumer", "isolation_level", "read_uncommitted", "", [Replace, Nothing, Nothing]),
            ("consumer", "mak_version", "1", "2 -> 1", [Nothing, Live, Nothing]),
            ("compression", "compression", "zstd", "gzip -> zstd", [Live, Live, Replace]),
            ("s3", "s3_storage_class", "STANDARD_IA", "", [Live, Nothing, Replace]),
            ("s3", "s3uploader_workers", "2", "1 -> 2", [Nothing; 3]),
            ("archive", "publish_deadline", "1h", "86400s -> 3600s", [Nothing, Nothing, Live]),
            ("main", "log.level", "DEBUG", "INFO -> DEBUG", [Live; 3]),
        ] {
            let (lines, found) = changes(BUCKET, &with(&format!("[{section}]\n{key} = {value}")));
            assert_eq!((lines.len(), found), (1, uptakes), "{key}: {lines:?}");
            assert!(lines[0].starts_with(&format!("[{section}] {key}: ")), "{lines:?}");
            assert!(lines[0].ends_with(line), "{lines:?}");
        }
    }

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let (lines, uptakes) = changes(BUCKET, &BUCKET.replace("= b\n", "= hunter2\n"));
        assert_eq!(lines, ["[s3] s3_secret_key: changed (secret)"]);
        assert_eq!(uptakes, [Replace, Nothing, Replace]);
        let kafka = |password: &str| format!("{BUCKET}[kafka]\nsasl.password = {password}\n");
        let (lines, uptakes) = changes(&kafka("hunter2"), &kafka("hunter3"));
        assert_eq!(lines, ["[kafka] sasl.password: changed (secret)"]);
        assert_eq!(uptakes, [Replace, Nothing, Nothing]);
        let shown = format!("{:?}", config(&kafka("hunter2")).changes(&config(BUCKET)));
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn properties_come_and_go() {
        let kafka = format!("{BUCKET}[kafka]\nsession.timeout.ms = 6000\n");
        let (lines, _) = changes(BUCKET, &kafka);
        assert_eq!(lines, ["[kafka] session.timeout.ms: \"\" -> 6000"]);
        let (lines, uptakes) = changes(&kafka, BUCKET);
        assert_eq!(lines, ["[kafka] session.timeout.ms: 6000 -> \"\""]);
        assert_eq!(uptakes, [Replace, Nothing, Nothing]);
    }

    #[test]
    fn another_kind_of_archive_is_another_store() {
        let (lines, uptakes) = changes(BUCKET, DIRECTORY);
        assert_eq!(
            lines,
            ["[archive] url: \"\" -> file:///archive", "[s3] s3_bucket_name: bkt -> \"\""]
        );
        assert_eq!(uptakes, [Replace, Nothing, Replace]);
    }

    /// Every key with what a change of it means.
    fn all() -> Vec<Compared> {
        let bucket = config(BUCKET);
        let mut all = bucket.compare(&bucket);
        for elsewhere in [DIRECTORY, "[archive]\nurl = gs://bkt\n", "[archive]\nurl = az://box\n"] {
            let elsewhere = config(elsewhere);
            let more = elsewhere.compare(&elsewhere);
            let is_new = |key| all.iter().all(|known: &Compared| known.key != key);
            let more: Vec<_> = more.into_iter().filter(|compared| is_new(compared.key)).collect();
            all.extend(more);
        }
        all
    }

    #[test]
    fn every_key_is_compared_once() {
        let count = |key: &Key| all().iter().filter(|compared| compared.key == *key).count();
        for key in keys::ALL.iter().filter(|key| key.ignored.is_none()) {
            assert_eq!(count(key), 1, "[{}] {}", key.section.name(), key.name);
        }
    }

    #[test]
    fn the_document_says_what_a_reload_does_with_each_key() {
        let section = DOCUMENT.split("## What a reload changes").nth(1).expect("the section");
        let section = section.split("\n## ").next().expect("its text");
        let row = |outcome: &str| {
            let found = section.lines().find(|line| line.ends_with(&format!("| {outcome} |")));
            found.unwrap_or_else(|| panic!("no row \"{outcome}\"")).to_owned()
        };
        for Compared { key, uptakes, .. } in all() {
            let Uptakes { consumer, compressor, uploader } = uptakes;
            let outcome = match (key, [consumer, compressor, uploader]) {
                (keys::WORKING_DIRECTORY | keys::INSTANCE, _) => {
                    "refused: it needs a restart, and nothing of the new file is taken"
                }
                (_, [Replace, _, Replace]) => "consumers and uploaders are replaced",
                (_, [Replace, ..]) => "consumers are replaced",
                (_, [_, Replace, _]) => "compressors are replaced",
                (_, [.., Replace]) => "uploaders are replaced",
                (key, _) if key.name.ends_with("_workers") || key.name.ends_with("_processes") => {
                    "more are started, or those that are too many drain and leave"
                }
                _ => "taken up by the workers as they run",
            };
            assert!(row(outcome).contains(&format!("`{}`", key.name)), "{}: {outcome}", key.name);
        }
        assert!(row("consumers are replaced").contains("`[kafka]`"));
    }
}
