//! One run of the program, seen from outside: processes, log, spool.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{await_that, eventually};

/// The kinds of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Kafka to spool.
    Consumer,
    /// Packs files.
    Compressor,
    /// Spool to store.
    Uploader,
    /// What the original tool left.
    Takeover,
}

impl Role {
    /// How its processes' titles begin.
    const fn title(self) -> &'static str {
        match self {
            Self::Consumer => "[consumer",
            Self::Compressor => "[compress",
            Self::Uploader => "[s3upload",
            Self::Takeover => "[takeover",
        }
    }
}

/// The program while it runs; killed with all its workers when the test lets go of it.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    spool: PathBuf,
    ended: bool,
}

/// A run that ended.
pub(crate) struct Finished {
    code: Option<i32>,
    /// What it said.
    pub(crate) log: String,
}

impl Finished {
    /// Its exit code; `None` if it was killed.
    pub(crate) const fn code(&self) -> Option<i32> {
        self.code
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code; its last words:\n{}", tail(&self.log));
        self
    }
}

fn tail(log: &str) -> &str {
    log.char_indices().rev().nth(5000).map_or(log, |(index, _)| &log[index..])
}

impl Running {
    pub(crate) fn new(child: Child, log: PathBuf, spool: PathBuf) -> Self {
        Self { child, log, spool, ended: false }
    }

    /// The supervisor's process id.
    fn supervisor(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The workers of a kind that live now.
    pub(crate) fn workers(&self, role: Role) -> Vec<Pid> {
        let mut found = children(self.supervisor());
        found.retain(|pid| has_title(*pid, role.title()));
        found
    }

    /// Waits for a worker of this kind, and gives the first.
    #[track_caller]
    pub(crate) fn worker(&self, role: Role) -> Pid {
        await_that(&format!("a worker {role:?}"), || !self.workers(role).is_empty());
        self.workers(role)[0]
    }

    /// Kills the supervisor.
    #[track_caller]
    pub(crate) fn kill_supervisor(&self) {
        kill_at_once(self.supervisor());
    }

    /// Kills one worker, and waits until another of its kind has taken its place.
    #[track_caller]
    pub(crate) fn kill_worker(&self, role: Role) {
        let victim = self.worker(role);
        kill_at_once(victim);
        await_that(&format!("a restart of {role:?}"), || {
            self.workers(role).iter().any(|pid| *pid != victim)
        });
    }

    /// Bytes that all its processes take together, shared pages counted once.
    pub(crate) fn memory(&self) -> u64 {
        let mut pids = children(self.supervisor());
        pids.push(self.supervisor());
        let rollups = pids
            .iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
        let kib = rollups.filter_map(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        });
        kib.sum::<u64>() * 1024
    }

    /// Sends a signal to the supervisor.
    pub(crate) fn signal(&self, what: Signal) {
        signal(self.supervisor(), what);
    }

    /// Sends a signal to one worker.
    pub(crate) fn signal_to(&self, worker: Pid, what: Signal) {
        assert_eq!(parent(worker), Some(self.supervisor()), "it is a worker of this run");
        signal(worker, what);
    }

    /// What was logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The files of one stage of the spool with their sizes, unfinished ones left out.
    pub(crate) fn spool_files(&self, stage: &str) -> Vec<(PathBuf, u64)> {
        files(&self.spool.join(stage))
    }

    /// Whether somebody is writing a file for this stage.
    pub(crate) fn spool_has_unfinished(&self, stage: &str) -> bool {
        let entries = fs::read_dir(self.spool.join(stage)).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with('.'))
    }

    /// Bytes of all files in the stages through which data goes.
    pub(crate) fn spool_bytes(&self) -> u64 {
        // A file that moves on while we look is seen in both places, as one inode.
        let mut sizes = HashMap::new();
        for stage in ["inprogress", "rotated", "compressed"] {
            let entries = fs::read_dir(self.spool.join(stage)).into_iter().flatten().flatten();
            for metadata in entries.filter_map(|entry| entry.metadata().ok()) {
                sizes.insert(metadata.ino(), metadata.len());
            }
        }
        sizes.values().sum()
    }

    /// Whether it has ended by itself, or was killed.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Finished {
        let mut code = None;
        let ended = eventually(Duration::from_mins(5), || {
            let status = self.child.try_wait().expect("its status");
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        assert!(ended, "it does not end; its last words:\n{}", tail(&self.log()));
        self.ended = true;
        Finished { code, log: self.log() }
    }

    /// Asks it to drain and stop, and waits for that.
    #[track_caller]
    pub(crate) fn stop(self) -> Finished {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // Its workers follow it by themselves.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), tail(&self.log()));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "killing is what these tests are about")]
fn signal(pid: Pid, what: Signal) {
    kill(pid, what).expect("the process is there");
}

#[track_caller]
fn kill_at_once(pid: Pid) {
    signal(pid, Signal::SIGKILL);
    await_that("death of the killed", || !is_alive(pid));
}

/// Parent of a process that is not a zombie.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?;
    let parent = words.next()?.parse().ok()?;
    (state != "Z").then_some(Pid::from_raw(parent))
}

/// Whether the process runs.
pub(crate) fn is_alive(pid: Pid) -> bool {
    parent(pid).is_some()
}

fn children(of: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("read /proc").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse().ok()).map(Pid::from_raw);
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

fn has_title(pid: Pid, title: &str) -> bool {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    read("cmdline").starts_with(title.as_bytes()) || read("comm").starts_with(title.as_bytes())
}

fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    visible.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len()))).collect()
}
