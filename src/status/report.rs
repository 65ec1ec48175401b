//! What `kafkatos3 status` tells, and a monitor may: everything that is known of the instances on a
//! working directory and of the partitions that they archive. This is the document of `--json`.
//!
//! The rules are those of [`model`](super::model): times end in `_ms` and are milliseconds since
//! 1970-01-01 UTC, or durations where the name is that of one (`lag_ms`); sizes are bytes; what is
//! not known is `null`; later versions add fields.

use serde::Serialize;

use super::model::{InProgress, Paused, Phase, Published, Trouble};
use crate::types::Offset;

/// All of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    /// Version of this format.
    pub version: u32,
    /// When it was looked.
    pub at_ms: u64,
    /// Where it was looked.
    pub place: Place,
    /// Whether everything is as it should be.
    pub well: bool,
    /// What is not, the worst first.
    pub problems: Vec<Problem>,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
    /// Who works here, by name.
    pub instances: Vec<InstanceReport>,
    /// What lies in the working directory; `null` without one.
    pub spool: Option<SpoolReport>,
    /// Over all partitions that are listed.
    pub totals: Totals,
    /// By topic and number.
    pub partitions: Vec<PartitionReport>,
}

/// Where it was looked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Place {
    /// The configuration, as it was named.
    pub config: Option<String>,
    /// The working directory.
    pub working_directory: Option<String>,
    /// The archive's URL.
    pub archive: Option<String>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// Whom it is about: an instance, a worker, a partition.
    pub subject: String,
    /// What it is.
    pub what: String,
    /// Since when.
    pub since_ms: Option<u64>,
    /// What to type, the usual way out first; may be empty.
    pub commands: Vec<String>,
}

/// Kinds of problems, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// An instance was killed: it neither runs nor has it ended.
    InstanceDied,
    /// A supervisor's workers run without it.
    Orphans,
    /// A worker does not run, though its supervisor does.
    WorkerGone,
    /// A partition needs the operator.
    PartitionStopped,
    /// Spool or disk are full, so nothing is fetched.
    Paused,
    /// The group has given out no partitions for a while.
    Joining,
    /// Where partitions go on can't be found: broker or store don't answer.
    Finding,
    /// Files don't go up.
    Upload,
    /// Files can't be packed.
    Packing,
    /// The broker does not tell where partitions end.
    Broker,
    /// Files are kept for the operator.
    Quarantine,
}

impl ProblemKind {
    /// Whether something stands still: then the command ends with 75.
    #[must_use]
    pub const fn is_stop(self) -> bool {
        !matches!(self, Self::Broker | Self::Quarantine)
    }
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceReport {
    /// `[main] instance`.
    pub instance: String,
    /// Whether it runs.
    pub state: InstanceState,
    /// Its supervisor.
    pub pid: Option<u32>,
    /// The machine that it runs or ran on, if its workers said so.
    pub host: Option<String>,
    /// Since when it runs, or does not.
    pub since_ms: Option<u64>,
    /// Its workers, by role and number; those that have ended too.
    pub workers: Vec<WorkerReport>,
}

/// Whether an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// On this machine.
    Running,
    /// On another one: its lock is held, and its workers say so.
    RunningElsewhere,
    /// Its workers do, without their supervisor.
    Orphans,
    /// It has ended.
    Stopped,
    /// It was killed, or its machine was.
    Died,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerReport {
    /// `consumer`, `compressor` or `uploader`.
    pub role: String,
    /// Its number within its role.
    pub index: usize,
    /// Its process.
    pub pid: u32,
    /// Whether that is there.
    pub alive: bool,
    /// What it does, or did last.
    pub phase: Phase,
    /// Once it has ended: its exit code.
    pub exit_code: Option<u8>,
    /// When it was started.
    pub started_ms: u64,
    /// When it said so.
    pub written_ms: u64,
    /// How often it was started again after it had died.
    pub restarts: u32,
}

/// What lies in the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SpoolReport {
    /// Being written by consumers.
    pub in_progress: Stock,
    /// Waits for a compressor.
    pub rotated: Stock,
    /// Waits for an uploader.
    pub compressed: Stock,
    /// Of the three together.
    pub bytes: u64,
    /// `spool_max_bytes`, if the configuration is known.
    pub max_bytes: Option<u64>,
    /// Where consumers stop fetching.
    pub stop_at_bytes: Option<u64>,
    /// What the disk has left.
    pub disk_free_bytes: Option<u64>,
    /// Why nothing is fetched.
    pub paused: Option<Paused>,
    /// Damaged files, kept for the operator.
    pub quarantine: Stock,
}

/// Some files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stock {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Stock {
    /// One more file.
    pub(super) const fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Over all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// How many.
    pub partitions: u64,
    /// Those that need the operator.
    pub stopped: u64,
    /// Those that nobody reads.
    pub without_owner: u64,
    /// Records in Kafka that are not in the archive, where that is known; counted as offsets.
    pub lag_records: u64,
    /// Of so many partitions it is not known.
    pub lag_unknown: u64,
    /// The longest `lag_ms` of those that have any lag.
    pub lag_ms: Option<u64>,
    /// Read by all consumers together.
    pub records_per_second: u64,
    /// The same in bytes.
    pub bytes_per_second: u64,
    /// In the archive.
    pub archived: Archived,
}

/// What the archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Archived {
    /// Files.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of keys, values and headers, before they were packed.
    pub bytes: u64,
    /// Recorded gaps.
    pub gaps: u64,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// The topic; if it has more than 160 bytes and nothing tells the whole of it, shortened.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its chain, as the folder in the archive.
    pub chain: Option<String>,
    /// What is done with it.
    pub state: Doing,
    /// Since when.
    pub since_ms: Option<u64>,
    /// Who reads it.
    pub owner: Option<Owner>,
    /// The end of the archive: the first offset that is not in it.
    pub tip: Option<Offset>,
    /// Where its owner goes on to read.
    pub next: Option<Offset>,
    /// The end of Kafka's log.
    pub end: Option<Offset>,
    /// When the broker said so.
    pub end_ms: Option<u64>,
    /// Records that are not archived yet: `end` less `tip`, so counted as offsets.
    pub lag_records: Option<u64>,
    /// The age of the oldest of them.
    pub lag_ms: Option<u64>,
    /// Whether `lag_ms` is only what is certain: that record was not read by who is asked.
    pub lag_ms_at_least: bool,
    /// The file in progress.
    pub in_progress: Option<InProgress>,
    /// Files of this partition in the spool.
    pub spool: PartitionSpool,
    /// The group's offset, as far as its owner set it.
    pub committed: Option<Offset>,
    /// What the archive holds of it.
    pub archived: Option<Archived>,
    /// What was published last.
    pub last_object: Option<Published>,
    /// Why its files don't go up at present.
    pub upload_trouble: Option<Trouble>,
    /// Why it is stopped.
    pub stop: Option<StopReport>,
}

/// What is done with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// It needs the operator.
    Stopped,
    /// Nothing is fetched: spool or disk are full.
    Paused,
    /// Broker and store are asked where it goes on.
    Finding,
    /// Nobody reads it.
    NoOwner,
    /// Nothing is fetched any more; what was read is being archived.
    Draining,
    /// It is read.
    Reading,
    /// Only the archive was looked at.
    Archived,
}

impl Doing {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Finding => "finding",
            Self::NoOwner => "no owner",
            Self::Draining => "draining",
            Self::Reading => "reading",
            Self::Archived => "archived",
        }
    }
}

/// Who reads a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// `[main] instance`.
    pub instance: String,
    /// The consumer's number.
    pub consumer: usize,
    /// Its process.
    pub pid: u32,
}

/// Files of one partition, stage by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PartitionSpool {
    /// Being written.
    pub in_progress: Stock,
    /// Waits for a compressor.
    pub rotated: Stock,
    /// Waits for an uploader.
    pub compressed: Stock,
}

impl PartitionSpool {
    /// Bytes of all.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.in_progress
            .bytes
            .saturating_add(self.rotated.bytes)
            .saturating_add(self.compressed.bytes)
    }
}

/// Why a partition is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopReport {
    /// What happened, as a word: see `docs/operating.md`.
    pub kind: String,
    /// What happened.
    pub reason: String,
    /// Since when.
    pub since_ms: u64,
    /// Command lines that lead out of it, the usual one first.
    pub commands: Vec<String>,
}
