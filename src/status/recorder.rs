//! How a worker writes its status file: at its own ticks, seldom, and never in its own way.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::model::{FileName, Phase, VERSION, WorkerStatus};
use crate::spool::Spool;
use crate::sys::child::ProcessId;
use crate::sys::process::start_ticks;

/// How often it is looked whether anything changed.
const SOON: Duration = Duration::from_secs(1);
/// How old a file gets of which nothing changes.
const LATEST: Duration = Duration::from_secs(10);
/// Writing takes at most one part in so many of the time.
const SHARE: u32 = 100;

/// Writes one worker's status. Whatever fails is no trouble of the worker: the file is older then.
#[derive(Debug)]
pub struct Recorder {
    spool: Spool,
    name: String,
    head: WorkerStatus,
    written: RefCell<Written>,
}

/// What was done last.
#[derive(Debug)]
struct Written {
    /// Not before this is looked again.
    next_look: Instant,
    at: Instant,
    /// Whether there was something to say when it was too soon.
    put_off: bool,
    hash: Option<u64>,
}

impl Recorder {
    /// Begins the file of the worker `role`-`index` of `instance` in `working_directory`: it takes
    /// the place of its predecessor's, if that is still there.
    #[must_use]
    pub fn begin(working_directory: &Path, instance: &str, role: &str, index: usize) -> Self {
        let spool = Spool::at(working_directory);
        let name =
            FileName { instance: instance.to_owned(), role: role.to_owned(), index }.to_string();
        let own = ProcessId::own();
        let mut head = WorkerStatus {
            version: VERSION,
            instance: instance.to_owned(),
            role: role.to_owned(),
            index,
            host: host(),
            pid: std::process::id(),
            start_ticks: start_ticks(own).unwrap_or_default(),
            supervisor_pid: std::os::unix::process::parent_id(),
            started_ms: now_ms(),
            phase: Phase::Starting,
            ..WorkerStatus::default()
        };
        let before = spool.read_status(&name).ok().flatten();
        let before = before.and_then(|text| serde_json::from_slice(&text).ok());
        head.restarts = before.map_or(0, |before| restarts(&before, &head));
        let now = Instant::now();
        let written = Written { next_look: now, at: now, put_off: false, hash: None };
        let recorder = Self { spool, name, head, written: RefCell::new(written) };
        recorder.record(Phase::Starting, |_| ());
        recorder
    }

    /// Whether it is time to collect what there is to say, which may have changed.
    pub fn is_due(&self, now: Instant) -> bool {
        let mut written = self.written.borrow_mut();
        let due = now >= written.next_look;
        written.put_off = !due;
        due
    }

    /// How long a worker that waits for work may leave its file as it is.
    #[must_use]
    pub fn due_in(&self, now: Instant) -> Duration {
        let written = self.written.borrow();
        let at = if written.put_off { written.next_look } else { written.at + LATEST };
        at.max(written.next_look).saturating_duration_since(now)
    }

    /// Writes what `fill` says of this worker, if that has changed or the file gets old. After a
    /// crash within, the file before stands.
    pub fn record(&self, phase: Phase, fill: impl FnOnce(&mut WorkerStatus)) {
        let began = Instant::now();
        let mut status = WorkerStatus { phase, ..self.head.clone() };
        fill(&mut status);
        let mut written = self.written.borrow_mut();
        let hash = hash(&status);
        if hash != written.hash || began.duration_since(written.at) >= LATEST {
            self.write(&mut status);
            (written.hash, written.at) = (hash, began);
        }
        written.put_off = false;
        let wait = (began.elapsed() * SHARE).clamp(SOON, LATEST);
        written.next_look = Instant::now() + wait;
    }

    /// The worker has ended as it should, with this exit code.
    pub fn end(&self, code: u8) {
        let last = self.spool.read_status(&self.name).ok().flatten();
        let last = last.and_then(|text| serde_json::from_slice(&text).ok());
        let mut status: WorkerStatus = last.unwrap_or_else(|| self.head.clone());
        (status.phase, status.exit_code) = (Phase::Ended, Some(code));
        self.write(&mut status);
    }

    fn write(&self, status: &mut WorkerStatus) {
        status.written_ms = now_ms();
        let Ok(text) = serde_json::to_vec(status) else { return };
        if let Err(error) = self.spool.write_status(&self.name, &text) {
            log::debug!("{error}: {:?}", std::error::Error::source(&error));
        }
    }
}

/// Of a worker after `before` in the same place.
fn restarts(before: &WorkerStatus, now: &WorkerStatus) -> u32 {
    let same = before.host == now.host && before.supervisor_pid == now.supervisor_pid;
    let as_told = before.phase == Phase::Ended && before.exit_code == Some(0);
    match (same, as_told) {
        (false, _) => 0,
        (true, true) => before.restarts,
        (true, false) => before.restarts.saturating_add(1),
    }
}

fn hash(status: &WorkerStatus) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&serde_json::to_vec(status).ok()?);
    Some(hasher.finish())
}

/// The name of this machine; empty if it has none.
pub(super) fn host() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_default()
}

/// Milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::model::CompressorStatus;

    fn recorder(dir: &Path) -> Recorder {
        Spool::open(dir).unwrap();
        Recorder::begin(dir, "host.a", "compressor", 0)
    }

    fn read(dir: &Path) -> WorkerStatus {
        let text = std::fs::read(dir.join("run/status/host.a.compressor-0.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn quarantined(files: u64) -> impl FnOnce(&mut WorkerStatus) {
        move |status| {
            let compressor = CompressorStatus { quarantined: files, ..CompressorStatus::default() };
            status.compressor = Some(compressor);
        }
    }

    #[test]
    fn a_file_says_who_wrote_it_from_its_start_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = recorder(dir.path());
        let status = read(dir.path());
        assert_eq!((status.version, status.phase), (VERSION, Phase::Starting));
        assert_eq!((status.pid, status.instance.as_str()), (std::process::id(), "host.a"));
        assert_eq!(start_ticks(ProcessId::own()), Some(status.start_ticks));
        recorder.record(Phase::Working, quarantined(7));
        recorder.end(75);
        let status = read(dir.path());
        assert_eq!((status.phase, status.exit_code), (Phase::Ended, Some(75)));
        assert_eq!(status.compressor.unwrap().quarantined, 7);
    }

    #[test]
    fn what_did_not_change_is_not_written_and_the_next_look_is_later() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = recorder(dir.path());
        recorder.record(Phase::Working, quarantined(1));
        let now = Instant::now();
        assert!(recorder.is_due(now + SOON));
        assert!(recorder.due_in(now) > SOON, "nothing is to be said");
        assert!(!recorder.is_due(now));
        assert!(recorder.due_in(now) <= SOON, "something was put off");
        let path = dir.path().join("run/status/host.a.compressor-0.json");
        std::fs::write(&path, "untouched").unwrap();
        recorder.record(Phase::Working, quarantined(1));
        assert_eq!(std::fs::read(&path).unwrap(), b"untouched");
        recorder.record(Phase::Working, quarantined(2));
        assert_eq!(read(dir.path()).compressor.unwrap().quarantined, 2);
        // Nothing changes, but it gets old.
        std::fs::write(&path, "untouched").unwrap();
        recorder.written.borrow_mut().at = Instant::now().checked_sub(LATEST).unwrap();
        recorder.record(Phase::Working, quarantined(2));
        assert_eq!(read(dir.path()).compressor.unwrap().quarantined, 2);
    }

    #[test]
    fn restarts_count_deaths_under_one_supervisor() {
        let now = WorkerStatus { host: "h".into(), supervisor_pid: 5, ..WorkerStatus::default() };
        let before = WorkerStatus { restarts: 2, phase: Phase::Working, ..now.clone() };
        assert_eq!(restarts(&before, &now), 3);
        let ended = |code| WorkerStatus { exit_code: Some(code), ..before.clone() };
        let ended = |code| WorkerStatus { phase: Phase::Ended, ..ended(code) };
        assert_eq!((restarts(&ended(0), &now), restarts(&ended(70), &now)), (2, 3));
        let other = WorkerStatus { supervisor_pid: 6, ..before.clone() };
        assert_eq!(restarts(&other, &now), 0);
    }

    #[test]
    fn nobody_minds_a_directory_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::begin(&dir.path().join("gone"), "a", "uploader", 0);
        recorder.record(Phase::Working, |_| ());
        recorder.end(0);
        assert!(!dir.path().join("gone").exists());
    }
}
