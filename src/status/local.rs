//! What a working directory tells: locks, status files, tips, stop notes, and the files of each
//! stage. Only reads; what can't be read is noted, and the rest is shown.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::model::{FileName, Phase, WorkerStatus};
use super::now_ms;
use crate::spool::scan::Entry;
use crate::spool::tips::{self, TipFile};
use crate::spool::{
    FileName as SpoolFile, InProgressName, Spool, SpoolError, Stage, Stopped, stops,
};
use crate::supervisor::probe::{self, Holder};
use crate::sys::child::ProcessId;
use crate::sys::process::start_ticks;

/// How old the word of a worker may be whose process can't be looked at.
const FRESH_MS: u64 = 30_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Local {
    /// Instances that ever ran here.
    pub(super) instances: Vec<Instance>,
    /// Workers that ever ran here, and whether they still do.
    pub(super) workers: Vec<(WorkerStatus, bool)>,
    pub(super) tips: Vec<TipFile>,
    pub(super) stops: Vec<Stopped>,
    pub(super) in_progress: Vec<Entry<InProgressName>>,
    pub(super) rotated: Vec<Entry<SpoolFile>>,
    pub(super) compressed: Vec<Entry<SpoolFile>>,
    /// Files and bytes in quarantine.
    pub(super) quarantine: (u64, u64),
    pub(super) disk_free: Option<u64>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
}

/// One instance's lock.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) holder: Holder,
    /// When it was signed last.
    pub(super) signed_ms: Option<u64>,
}

impl Local {
    /// Looks into `directory`; `None` if it is no working directory.
    #[must_use]
    pub fn look(directory: &Path) -> Option<Self> {
        let spool = Spool::at(directory);
        if !Stage::ALL.into_iter().any(|stage| spool.dir(stage).is_dir()) {
            return None;
        }
        let mut found = Self::default();
        found.disk_free = found.or_none(spool.free_bytes().map(Some));
        // In the order in which files go on: one that is handed on meanwhile is seen twice at
        // worst, never missed.
        found.in_progress = found.or_none(spool.in_progress());
        found.rotated = found.or_none(spool.rotated());
        found.compressed = found.or_none(spool.compressed());
        found.quarantine = found.or_none(spool.quarantined());
        found.tips = found.or_none(tips::read_all(&spool));
        found.stops = found.or_none(stops::read_all(&spool));
        found.workers = found.workers(&spool);
        found.instances = found.instances(directory);
        Some(found)
    }

    /// Whether nothing was ever archived from here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tips.is_empty() && self.stops.is_empty() && self.workers.is_empty()
    }

    /// A directory that is not there holds nothing; what else goes wrong is noted.
    fn or_none<T: Default>(&mut self, result: Result<T, SpoolError>) -> T {
        result.unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let missing = matches!(&error, SpoolError::Io { source, .. } if source.kind() == ErrorKind::NotFound);
            if !missing {
                self.unread.push(format!("{error}: {}", cause.unwrap_or_default()));
            }
            T::default()
        })
    }

    fn workers(&mut self, spool: &Spool) -> Vec<(WorkerStatus, bool)> {
        let names = self.or_none(spool.status_names());
        let mut workers = Vec::new();
        for name in names.iter().filter(|name| name.parse::<FileName>().is_ok()) {
            let Some(text) = self.or_none(spool.read_status(name)) else { continue };
            match serde_json::from_slice::<WorkerStatus>(&text) {
                Ok(status) => {
                    let alive = is_alive(&status);
                    workers.push((status, alive));
                }
                Err(error) => self.unread.push(format!("\"{name}\" does not read: {error}")),
            }
        }
        workers
    }

    fn instances(&mut self, directory: &Path) -> Vec<Instance> {
        let locks = match probe::instances(directory) {
            Ok(locks) => locks,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let run = directory.join(Stage::Run.dir_name());
                self.unread.push(format!("can't list \"{}\": {error}", run.display()));
                Vec::new()
            }
        };
        let mut instances = Vec::new();
        for (name, lock) in locks {
            match probe::holder(&lock) {
                Ok(holder) => {
                    let signed = lock.metadata().and_then(|meta| meta.modified()).ok();
                    instances.push(Instance { name, holder, signed_ms: signed.map(millis) });
                }
                Err(error) => {
                    self.unread.push(format!("can't look at \"{}\": {error}", lock.display()));
                }
            }
        }
        instances
    }
}

/// Whether the worker that wrote this still runs: on this machine its process tells, of another one
/// the age of its word.
fn is_alive(status: &WorkerStatus) -> bool {
    if status.phase == Phase::Ended {
        false
    } else if status.host == super::recorder::host() {
        let pid = ProcessId::parse(&status.pid.to_string());
        pid.and_then(start_ticks) == Some(status.start_ticks)
    } else {
        is_fresh(status)
    }
}

fn is_fresh(status: &WorkerStatus) -> bool {
    now_ms().saturating_sub(status.written_ms) < FRESH_MS
}

/// A file's time as the reports have it.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
