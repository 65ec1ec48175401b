//! What stands in a worker's status file. This is the format's document.
//!
//! JSON, one object. Times are milliseconds since 1970-01-01 UTC and end in `_ms`, sizes are bytes;
//! offsets are Kafka's, and the end of a range is exclusive. What is not known is `null` or left out.
//! Later versions add fields, and never change what one means: readers pass over what they don't
//! know. `version` grows only if that could not be kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::now_ms;
use crate::types::{Offset, OffsetRange, TopicPartition};

/// The version that is written here.
pub const VERSION: u32 = 1;

/// One worker's file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerStatus {
    /// Version of this format.
    pub version: u32,
    /// `[main] instance`.
    pub instance: String,
    /// `consumer`, `compressor`, `uploader` or `takeover`.
    pub role: String,
    /// The worker's number within its role, from 0.
    pub index: usize,
    /// The name of the machine that it runs on.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// When that process was started, in clock ticks since the machine was: a pid is used again.
    pub start_ticks: u64,
    /// The process of its supervisor.
    pub supervisor_pid: u32,
    /// When it was started.
    pub started_ms: u64,
    /// When this was written.
    pub written_ms: u64,
    /// How often under this supervisor it was started again after it had died.
    pub restarts: u32,
    /// What it does.
    pub phase: Phase,
    /// Once it has ended: its exit code.
    pub exit_code: Option<u8>,
    /// Of a consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<ConsumerStatus>,
    /// Of a compressor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compressor: Option<CompressorStatus>,
    /// Of an uploader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploader: Option<UploaderStatus>,
}

/// What a worker does. A word that is not known here reads as `working`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum Phase {
    /// It looks whether everything that it needs is there.
    Starting,
    /// It does what it is there for.
    #[default]
    Working,
    /// It was told to stop, and finishes.
    Draining,
    /// It has ended.
    Ended,
}

impl From<String> for Phase {
    fn from(word: String) -> Self {
        match word.as_str() {
            "starting" => Self::Starting,
            "draining" => Self::Draining,
            "ended" => Self::Ended,
            _ => Self::Working,
        }
    }
}

/// Something that fails again and again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// What goes wrong.
    pub error: String,
    /// Since when.
    pub since_ms: u64,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// When it is tried again.
    pub next_ms: Option<u64>,
}

impl Trouble {
    /// Notes in `place` that it went wrong once more, and is tried again after `wait`.
    pub fn again(place: &mut Option<Self>, error: String, wait: Duration) {
        let now = now_ms();
        let trouble = place.get_or_insert_with(|| Self { since_ms: now, ..Self::default() });
        trouble.error = error;
        trouble.attempts = trouble.attempts.saturating_add(1);
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        trouble.next_ms = Some(now.saturating_add(wait));
    }
}

/// What a worker has done since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// Files: rotated by a consumer, packed by a compressor, published by an uploader.
    pub files: u64,
    /// Records in them; of a consumer: records that it read.
    pub records: u64,
    /// Bytes of keys, values and headers that a consumer read; bytes of the files of the others.
    pub bytes: u64,
}

/// A consumer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerStatus {
    /// Why nothing is fetched at present: `spool_full`, `disk_full`.
    pub paused: Option<Paused>,
    /// Bytes in the spool when they were counted last, those in memory included.
    pub spool_bytes: u64,
    /// Where fetching stops.
    pub spool_stop_at_bytes: u64,
    /// Since the start.
    pub done: Done,
    /// Records a second, over the last ten seconds or so.
    pub records_per_second: u64,
    /// Bytes a second, the same.
    pub bytes_per_second: u64,
    /// Since when the group has given out no partitions, if that lasts longer than it should.
    pub joining_since_ms: Option<u64>,
    /// The broker does not tell where partitions end.
    pub broker_trouble: Option<Trouble>,
    /// Where partitions go on can't be found.
    pub finding_trouble: Option<Trouble>,
    /// What the group has given it, by topic and number.
    pub partitions: Vec<PartitionStatus>,
}

/// Why a consumer fetches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum Paused {
    /// `spool_max_bytes` is reached.
    SpoolFull,
    /// Its disk is.
    DiskFull,
}

impl From<String> for Paused {
    fn from(word: String) -> Self {
        if word == "disk_full" { Self::DiskFull } else { Self::SpoolFull }
    }
}

/// A partition, as its consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Which one: `topic` and `partition`.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Its chain, as the folder in the archive: `orders/000003`.
    #[serde(default)]
    pub chain: Option<String>,
    /// What is done with it.
    #[serde(default)]
    pub state: State,
    /// Since when.
    #[serde(default)]
    pub since_ms: u64,
    /// The end of the archive: the first offset that is not in it.
    #[serde(default)]
    pub tip: Option<Offset>,
    /// Where its reading goes on: everything below is in a file.
    #[serde(default)]
    pub next: Option<Offset>,
    /// The file in progress.
    #[serde(default)]
    pub in_progress: Option<InProgress>,
    /// What the group's offset was set to and confirmed.
    #[serde(default)]
    pub committed: Option<Offset>,
    /// The end of Kafka's log under the isolation level that is set.
    #[serde(default)]
    pub end: Option<Offset>,
    /// When the broker said so.
    #[serde(default)]
    pub end_ms: Option<u64>,
    /// The time of the oldest record behind the tip, if that record was read.
    #[serde(default)]
    pub oldest_ms: Option<u64>,
    /// Since when something is behind the tip, as far as that was noticed.
    #[serde(default)]
    pub behind_since_ms: Option<u64>,
}

/// What is done with a partition. A word that is not known here reads as `reading`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum State {
    /// It needs the operator.
    Stopped,
    /// Nothing is fetched: spool or disk are full.
    Paused,
    /// Broker and store are asked where it goes on.
    Finding,
    /// Nothing is fetched any more; what was read is being archived.
    Draining,
    /// It is read.
    #[default]
    Reading,
}

impl From<String> for State {
    fn from(word: String) -> Self {
        let all = [Self::Stopped, Self::Paused, Self::Finding, Self::Draining];
        all.into_iter().find(|state| state.as_str() == word).unwrap_or(Self::Reading)
    }
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Finding => "finding",
            Self::Draining => "draining",
            Self::Reading => "reading",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A file that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InProgress {
    /// Its first offset.
    pub start: Offset,
    /// When this process began it or took it up.
    pub since_ms: u64,
    /// Its bytes, those in memory included.
    pub bytes: u64,
}

/// A compressor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CompressorStatus {
    /// The file that is being packed.
    pub current: Option<Current>,
    /// Since the start; bytes are those of the packed files.
    pub done: Done,
    /// Bytes of the files before they were packed.
    pub bytes_before: u64,
    /// Files that failed their checksum.
    pub quarantined: u64,
    /// Files can't be packed.
    pub trouble: Option<Trouble>,
}

/// A file that is worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// Its name in the spool.
    pub file: String,
    /// Since when.
    pub since_ms: u64,
}

/// An uploader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UploaderStatus {
    /// Since the start; bytes are those of the objects.
    pub done: Done,
    /// Files that failed their checksum.
    pub quarantined: u64,
    /// Partitions that it had files of, by topic and number.
    pub partitions: Vec<UploadStatus>,
}

/// A partition, as an uploader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadStatus {
    /// As the spool's names have it: `TOPIC-PARTITION`, a topic of more than 160 bytes shortened.
    pub partition: String,
    /// What it published last.
    #[serde(default)]
    pub last: Option<Published>,
    /// Why its files don't go up at present.
    #[serde(default)]
    pub trouble: Option<Trouble>,
}

/// An object that was put into the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its name under the archive's URL.
    pub object: String,
    /// The first offset that it covers.
    pub start: Offset,
    /// The end, exclusive.
    pub next: Offset,
    /// Records in it.
    #[serde(default)]
    pub records: Option<u64>,
    /// Its size.
    #[serde(default)]
    pub bytes: u64,
    /// When it was there.
    #[serde(default)]
    pub at_ms: u64,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub took_ms: Option<u64>,
}

impl Published {
    /// The offsets that it covers, if it covers any.
    #[must_use]
    pub fn range(&self) -> Option<OffsetRange> {
        OffsetRange::new(self.start, self.next).ok()
    }
}

/// The name of a worker's file: `INSTANCE.ROLE-INDEX.json`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// `[main] instance`.
    pub instance: String,
    /// `consumer`, `compressor` or `uploader`.
    pub role: String,
    /// The worker's number within its role.
    pub index: usize,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}-{}.json", self.instance, self.role, self.index)
    }
}

/// Not the name of a status file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a status file: INSTANCE.ROLE-INDEX.json")]
pub struct NotAStatus;

/// From the right: an instance's name may hold dots.
impl FromStr for FileName {
    type Err = NotAStatus;
    fn from_str(name: &str) -> Result<Self, NotAStatus> {
        let parse = || {
            let (rest, index) = name.strip_suffix(".json")?.rsplit_once('-')?;
            let (instance, role) = rest.rsplit_once('.')?;
            let known = ["consumer", "compressor", "uploader"].contains(&role);
            let index = index.parse().ok()?;
            let name = Self { instance: instance.to_owned(), role: role.to_owned(), index };
            (known && !instance.is_empty()).then_some(name)
        };
        parse().filter(|parsed| parsed.to_string() == name).ok_or(NotAStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_right_and_have_one_spelling() {
        let name: FileName = "host-1.example.consumer-12.json".parse().unwrap();
        assert_eq!((name.instance.as_str(), name.index), ("host-1.example", 12));
        assert_eq!(name.to_string(), "host-1.example.consumer-12.json");
        for other in ["a.consumer-01.json", "a.relay-1.json", ".consumer-0.json", "consumer-0.json"]
        {
            assert!(other.parse::<FileName>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_file_of_another_version_reads_as_far_as_it_goes() {
        let text = r#"{"version": 9, "instance": "a", "role": "consumer", "pid": 7, "moon": "full",
            "phase": "dreaming", "consumer": {"paused": "moon_full", "partitions":
            [{"topic": "t", "partition": 3, "state": "flying", "tip": 12}]}}"#;
        let read: WorkerStatus = serde_json::from_str(text).unwrap();
        assert_eq!((read.pid, read.phase, read.written_ms), (7, Phase::Working, 0));
        let consumer = read.consumer.unwrap();
        assert_eq!(consumer.paused, Some(Paused::SpoolFull));
        let [partition] = consumer.partitions.as_slice() else { panic!() };
        assert_eq!(partition.state, State::Reading);
        assert_eq!((partition.tip.map(Offset::get), partition.end), (Some(12), None));
    }

    #[test]
    fn words_read_as_they_are_written() {
        for state in
            [State::Stopped, State::Paused, State::Finding, State::Draining, State::Reading]
        {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(text, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        }
        for phase in [Phase::Starting, Phase::Working, Phase::Draining, Phase::Ended] {
            let text = serde_json::to_string(&phase).unwrap();
            assert_eq!(serde_json::from_str::<Phase>(&text).unwrap(), phase);
        }
        for paused in [Paused::SpoolFull, Paused::DiskFull] {
            let text = serde_json::to_string(&paused).unwrap();
            assert_eq!(serde_json::from_str::<Paused>(&text).unwrap(), paused);
        }
    }
}
