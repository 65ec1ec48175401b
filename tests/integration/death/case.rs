//! One site, gone through with faults armed.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Expected, PATIENCE, Running, Site, await_that, eventually};

/// How often the program is started again before that is too often. Each fault ends it once at
/// most.
const STARTS: usize = 20;
/// How long it may try while an operation fails again and again.
const TRIES_FOR: Duration = Duration::from_secs(8);
/// How it may end: well, or because of a fault. Not, for instance, with the code of a panic.
const ENDS: [i32; 6] = [0, 69, 70, 73, 75, 77];

/// What happens at a step, in the words of `src/fail.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Die,
    DieAfter,
    Enospc,
    Eio,
    Lost,
    Always,
}

impl Mode {
    pub(super) const ALL: [Self; 6] =
        [Self::Die, Self::DieAfter, Self::Enospc, Self::Eio, Self::Lost, Self::Always];

    const fn word(self) -> &'static str {
        match self {
            Self::Die => "die",
            Self::DieAfter => "die-after",
            Self::Enospc => "enospc",
            Self::Eio => "eio",
            Self::Lost => "lost",
            Self::Always => "eio.always",
        }
    }
}

/// Something that is to happen at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) step: &'static str,
    pub(super) mode: Mode,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.step, self.mode.word())
    }
}

/// A site whose program comes to harm.
pub(super) struct Case {
    pub(super) site: Site,
    faults: Vec<Fault>,
    dir: PathBuf,
}

impl Case {
    /// A site of its own; nothing happens before [`Case::begin`].
    pub(super) fn new(name: &str, faults: Vec<Fault>) -> Self {
        let mut site = Site::new(name);
        // A member that died is given up soon, and one that closes files at once stops soon.
        site.set("kafka", "session.timeout.ms", 2000);
        site.set("kafka", "heartbeat.interval.ms", 200);
        site.set("main", "shutdown_timeout", "10s");
        let dir = site.dir().join("faults");
        for part in ["armed", "fired"] {
            fs::create_dir_all(dir.join(part)).expect("create a directory");
        }
        Self { site, faults, dir }
    }

    /// From now on faults happen to what this site starts.
    pub(super) fn begin(&mut self) {
        self.site.set_environment("KAFKATOS3_FAIL", &self.dir);
        for fault in &self.faults {
            fs::write(self.dir.join("armed").join(fault.to_string()), "").expect("arm a fault");
        }
    }

    /// The steps that the program came to since.
    pub(super) fn census(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.dir.join("census")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Which of the faults happened.
    pub(super) fn fired(&self) -> Vec<Fault> {
        let census = self.census();
        let happened = |fault: &&Fault| match fault.mode {
            Mode::Always => census.contains(fault.step),
            _ => self.dir.join("fired").join(fault.to_string()).exists(),
        };
        self.faults.iter().filter(happened).copied().collect()
    }

    /// What failed again and again is mended.
    #[expect(clippy::disallowed_methods, reason = "the tests' own files")]
    fn mend(&self) {
        let census = self.census();
        for fault in self.faults.iter().filter(|fault| fault.mode == Mode::Always) {
            if census.contains(fault.step) {
                let name = fault.to_string();
                let (armed, fired) = (self.dir.join("armed"), self.dir.join("fired"));
                let _ = fs::rename(armed.join(&name), fired.join(&name));
            }
        }
    }

    fn is_stuck(&self) -> bool {
        let always = self.faults.iter().filter(|fault| fault.mode == Mode::Always);
        let census = self.census();
        always.into_iter().any(|fault| {
            census.contains(fault.step) && self.dir.join("armed").join(fault.to_string()).exists()
        })
    }

    /// Runs `kafkatos3 -e` again and again until it ends with 0.
    pub(super) fn to_end(&self) {
        self.until("the end", 0, || true);
    }

    /// The same until it ends with `code` and `done` is true.
    pub(super) fn until(&self, what: &str, code: i32, done: impl Fn() -> bool) {
        for _ in 0..STARTS {
            if self.run_once() == Some(code) && done() {
                return;
            }
            self.mend();
        }
        panic!("{what} is not reached in {STARTS} starts");
    }

    fn run_once(&self) -> Option<i32> {
        let mut run = self.site.start_to_end();
        let began = Instant::now();
        while !run.has_ended() && began.elapsed() < PATIENCE * 2 {
            if began.elapsed() > TRIES_FOR && self.is_stuck() {
                run.kill_supervisor();
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let code = run.wait().code();
        assert!(code.is_none_or(|code| ENDS.contains(&code)), "it ended with {code:?}");
        code
    }

    /// Runs the program as a service, started again whenever it has ended, until `done` says so;
    /// then stops it.
    pub(super) fn serve(&self, what: &str, mut done: impl FnMut(&Running) -> bool) {
        let mut run = self.site.start();
        let mut began = Instant::now();
        let mut starts = 1;
        let mut is_done = false;
        let served = eventually(PATIENCE * 3, || {
            if run.has_ended() || (began.elapsed() > TRIES_FOR && self.is_stuck()) {
                self.mend();
                starts += 1;
                assert!(starts < STARTS, "{what}: started {starts} times");
                run = self.site.start();
                began = Instant::now();
            }
            // Before its first word, a signal would kill it.
            is_done = is_done || (!run.log().is_empty() && done(&run));
            // Signals may be sent each time; they need not come by the hundred.
            std::thread::sleep(Duration::from_millis(100));
            is_done
        });
        assert!(served, "waited in vain for this: {what}");
        if !run.has_ended() {
            let code = run.stop().code();
            assert!(code.is_none_or(|code| ENDS.contains(&code)), "it ended with {code:?}");
        }
        self.mend();
    }

    /// Runs a command `kafkatos3 chain VERB ...` again and again until it ends with 0.
    pub(super) fn chain(&self, verb: &str, topic: &str, more: &[&str]) {
        let mut said = String::new();
        for _ in 0..STARTS {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
            command.args(["chain", verb]).arg(self.site.write_config()).args([topic, "0", "--yes"]);
            let output = command
                .args(more)
                .env("KAFKATOS3_FAIL", &self.dir)
                .output()
                .expect("run kafkatos3 chain");
            let code = output.status.code();
            said = [output.stdout, output.stderr]
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .concat();
            assert!(code.is_none_or(|code| ENDS.contains(&code)), "chain {verb}: {code:?}: {said}");
            if code == Some(0) {
                return;
            }
            self.mend();
        }
        panic!("chain {verb} is not done in {STARTS} starts: {said}");
    }

    /// What of the program's code panicked, which the supervisor would hide by a restart.
    pub(super) fn panics(&self) -> Vec<String> {
        let logs = fs::read_dir(self.site.dir()).expect("list the site");
        let texts = logs.map(|log| fs::read(log.expect("an entry").path()).unwrap_or_default());
        let texts = texts.map(|text| String::from_utf8_lossy(&text).into_owned());
        let texts: Vec<_> = texts.collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        lines.filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }

    /// Whether the partition 0 of `topic` is stopped, and of this kind.
    pub(super) fn is_stopped(&self, topic: &str, kind: &str) -> bool {
        let note = self.site.spool().join("tips").join(format!("{topic}-0.stopped"));
        let text = fs::read_to_string(note).unwrap_or_default();
        text.contains(&format!("\"kind\":\"{kind}\""))
    }

    /// A file for each of `partitions` in progress, with records on the disk, when this returns.
    pub(super) fn await_in_progress(run: &Running, partitions: usize) {
        await_that("files in progress", || {
            let files = run.spool_files("inprogress");
            files.iter().filter(|(_, size)| *size > 1000).count() == partitions
        });
    }

    /// Closes what is in progress, when that is on the disk; `count` files lie in `stage` then.
    pub(super) fn await_closed(run: &Running, stage: &str, count: usize) {
        Self::await_in_progress(run, count);
        run.signal(Signal::SIGUSR1);
        await_that("closed files", || run.spool_files(stage).len() == count);
    }

    /// Everything is in the archive, once, without a gap, and committed.
    pub(super) fn check(&self, expected: &Expected) {
        let sum = self.site.check_with_offsets(expected);
        assert!(sum.contains(" records, 0 gaps, "), "{sum}");
    }
}
