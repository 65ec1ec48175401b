//! The configuration in force, for a log: every key with its value, secrets hidden.

use std::fmt;

use super::keys::{self, Key, Section};
use super::patterns::show_list;
use super::secret::Secret;
use super::typed::{ArchiveTarget, AzureTarget, Config, GcsTarget, S3Target};
use super::units::show_time;

/// The value of `key`, for people; empty where it does not apply.
pub(super) fn setting(config: &Config, key: Key) -> String {
    let found = config.settings().into_iter().find(|(other, _)| *other == key);
    found.map(|(_, value)| value).unwrap_or_default()
}

impl Config {
    /// One line for each setting, `[section] key = value`, with `***` for secrets.
    pub fn redacted(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            for (key, value) in self.settings() {
                writeln!(f, "[{}] {} = {value}", key.section.name(), key.name)?;
            }
            for (name, value) in self.kafka.redacted() {
                writeln!(f, "[{}] {name} = {value}", Section::Kafka.name())?;
            }
            Ok(())
        })
    }

    fn settings(&self) -> Vec<(Key, String)> {
        let mut all = self.main_settings();
        all.extend(self.consumer_settings());
        all.extend(self.other_settings());
        all.extend(self.target_settings());
        all
    }

    fn main_settings(&self) -> Vec<(Key, String)> {
        let main = &self.main;
        vec![
            (keys::LOG_LEVEL, main.log_level.to_string()),
            (keys::LOG_FORMAT, main.log_format.to_string()),
            (keys::WORKING_DIRECTORY, main.working_directory.display().to_string()),
            (keys::INSTANCE, main.instance.to_string()),
            (keys::SPOOL_MAX_BYTES, main.spool_max_bytes.to_string()),
            (keys::MEMORY_MAX_BYTES, main.memory_max_bytes.to_string()),
            (keys::SHUTDOWN_TIMEOUT, show_time(main.shutdown_timeout)),
        ]
    }

    fn consumer_settings(&self) -> Vec<(Key, String)> {
        let consumer = &self.consumer;
        vec![
            (keys::CONSUMER_PROCESSES, consumer.processes.to_string()),
            (keys::KAFKA_BOOTSTRAP, consumer.bootstrap.clone()),
            (keys::KAFKA_CONSUMER_GROUP, consumer.group.clone()),
            (keys::TOPIC_WHITELIST, show_list(&consumer.topics.whitelist)),
            (keys::TOPIC_BLACKLIST, show_list(&consumer.topics.blacklist)),
            (keys::KAFKA_AUTO_OFFSET_RESET, consumer.offset_reset.to_string()),
            (keys::CONSUMER_NICE_LEVEL, consumer.nice_level.to_string()),
            (keys::MAX_AGE_SECONDS, show_time(consumer.max_age)),
            (keys::MAX_FILE_BYTES, consumer.max_file_bytes.to_string()),
            (keys::MAX_IDLE_SECONDS, show_time(consumer.max_idle.unwrap_or_default())),
            (keys::ISOLATION_LEVEL, consumer.isolation.to_string()),
            (keys::ON_GAP, consumer.on_gap.to_string()),
            (keys::ON_TOPIC_RECREATED, consumer.on_topic_recreated.to_string()),
            (keys::GROUP_INSTANCE_ID, consumer.group_instance_id.clone().unwrap_or_default()),
            (keys::MAK_VERSION, consumer.mak_version.to_string()),
        ]
    }

    fn other_settings(&self) -> Vec<(Key, String)> {
        let compression = &self.compression;
        let level = compression.level.map(|level| level.to_string());
        vec![
            (keys::COMPRESSION, compression.codec.to_string()),
            (keys::COMPRESSION_LEVEL, level.unwrap_or_default()),
            (keys::COMPRESSOR_WORKERS, compression.workers.to_string()),
            (keys::COMPRESSION_NICE_LEVEL, compression.nice_level.to_string()),
            (keys::COMPRESSION_CHECK_INTERVAL, show_time(compression.check_interval)),
            (keys::S3UPLOADER_WORKERS, self.upload.workers.to_string()),
            (keys::S3UPLOAD_CHECK_INTERVAL, show_time(self.upload.check_interval)),
            (keys::LAYOUT, self.archive.layout.to_string()),
            (keys::FORMAT, self.archive.format.to_string()),
            (keys::AVRO_SCHEMA, self.archive.avro_schema.to_string()),
            (keys::PUBLISH_DEADLINE, show_time(self.archive.publish_deadline)),
            (keys::CATALOG_URL, hidden(self.catalog.as_ref())),
        ]
    }

    /// A bucket by its keys, a directory by its url, as only one of them may stand in a file.
    fn target_settings(&self) -> Vec<(Key, String)> {
        let target = &self.archive.target;
        let url = || (keys::ARCHIVE_URL, target.to_string());
        match target {
            ArchiveTarget::S3(s3) => s3.settings(),
            ArchiveTarget::Gcs(gcs) => std::iter::once(url()).chain(gcs.settings()).collect(),
            ArchiveTarget::Azure(azure) => std::iter::once(url()).chain(azure.settings()).collect(),
            ArchiveTarget::Dir { .. } => vec![url()],
        }
    }
}

fn or_empty(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

fn hidden(secret: Option<&Secret>) -> String {
    secret.map(ToString::to_string).unwrap_or_default()
}

impl GcsTarget {
    fn settings(&self) -> [(Key, String); 3] {
        let file = self.credentials.as_ref().map(|path| path.display().to_string());
        [
            (keys::GCS_CREDENTIALS_FILE, file.unwrap_or_default()),
            (keys::GCS_ENDPOINT, or_empty(self.endpoint.as_ref())),
            (keys::GCS_STORAGE_CLASS, or_empty(self.storage_class.as_ref())),
        ]
    }
}

impl AzureTarget {
    fn settings(&self) -> [(Key, String); 6] {
        [
            (keys::AZURE_STORAGE_ACCOUNT, or_empty(self.account.as_ref())),
            (keys::AZURE_STORAGE_KEY, hidden(self.key.as_ref())),
            (keys::AZURE_STORAGE_SAS_TOKEN, hidden(self.sas_token.as_ref())),
            (keys::AZURE_STORAGE_CONNECTION_STRING, hidden(self.connection_string.as_ref())),
            (keys::AZURE_STORAGE_ENDPOINT, or_empty(self.endpoint.as_ref())),
            (keys::AZURE_ACCESS_TIER, or_empty(self.tier.as_ref())),
        ]
    }
}

impl S3Target {
    fn settings(&self) -> Vec<(Key, String)> {
        let tags: Vec<_> =
            self.tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
        vec![
            (keys::S3_BUCKET_NAME, self.bucket.clone()),
            (keys::S3_PREFIX, self.prefix.clone()),
            (keys::S3_ENDPOINT, or_empty(self.endpoint.as_ref())),
            (keys::S3_REGION, or_empty(self.region.as_ref())),
            (keys::S3_ACCESS_KEY, hidden(self.access_key.as_ref())),
            (keys::S3_SECRET_KEY, hidden(self.secret_key.as_ref())),
            (keys::S3_STORAGE_CLASS, or_empty(self.storage_class.as_ref())),
            (keys::S3_SSE, self.sse.as_ref().map(ToString::to_string).unwrap_or_default()),
            (keys::S3_TAGS, tags.join(", ")),
        ]
    }
}
