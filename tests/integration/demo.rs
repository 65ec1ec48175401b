//! `kafkatos3 demo`, by the real binary: what it says, that what it suggests works, and that it
//! leaves no process behind, however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{await_that, is_alive};

const VERDICT: &str =
    "exactly once: 5000 records produced, 5000 archived, 0 missing, 0 double, 0 different";

/// The directory in which one test's demo runs, with all its processes.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        fs::canonicalize(self.0.path()).expect("it is there")
    }

    fn demo(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
        command.arg("demo").env("TMPDIR", self.path()).env_remove("RUST_LOG");
        command.current_dir(self.path());
        command
    }

    /// Starts a demo, and waits until it archives.
    #[expect(clippy::disallowed_methods, reason = "tests start programs")]
    fn start(&self) -> Child {
        let child = self.demo().stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        // The demo, its broker, a supervisor and three workers.
        await_that("all processes of the demo", || self.processes().len() >= 6);
        child.expect("it started")
    }

    /// The processes that live in this directory or below.
    fn processes(&self) -> Vec<Pid> {
        let place = self.path();
        let entries = fs::read_dir("/proc").expect("read /proc").flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let pids = names.filter_map(|name| name.parse().ok()).map(Pid::from_raw);
        let here = |pid: &Pid| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&place))
        };
        pids.filter(here).filter(|pid| is_alive(*pid)).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "what a terminal's Ctrl-C does, and worse")]
fn signal(child: &Child, what: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), what).expect("it is there");
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// Runs one line as a user would who is in `folder`.
fn shell(folder: &Path, line: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line).current_dir(folder).stdin(Stdio::null());
    shell.output().expect("a shell")
}

#[test]
fn it_shows_exactly_once_and_commands_that_work() {
    let place = Place::new();
    // A name that a shell and a configuration both have to be careful with.
    let folder = place.path().join("it's a demo; $HOME");
    let output = place.demo().arg("--dir").arg(&folder).output().expect("it starts");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(place.processes(), []);
    assert!(out.lines().any(|line| line == VERDICT), "{out}");
    assert!(!out.contains('\x1b') && !out.contains('\r'), "no terminal: {out}");

    let (_, next) = out.split_once("What to try next\n").expect("what to try next");
    let commands = next.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("  #"));
    let commands: Vec<_> = commands.map(str::trim).collect();
    assert_eq!(commands.len(), 9, "{next}");
    for command in commands {
        let output = shell(&folder, command);
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success() && err.is_empty(), "{command}: {err}");
        assert_eq!(out.is_empty(), command.starts_with("rm "), "{command}: {out}");
    }
    assert!(!folder.exists());
}

#[test]
fn what_was_there_stays() {
    let place = Place::new();
    let folder = place.path().join("mine");
    fs::create_dir(&folder).expect("a directory");
    fs::write(folder.join("demo.cfg"), "mine").expect("a file");
    let output = place.demo().arg("--dir").arg(&folder).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fs::read_to_string(folder.join("demo.cfg")).expect("it is there"), "mine");
    assert_eq!(fs::read_dir(&folder).expect("list").count(), 2);
}

#[test]
fn nothing_is_left_running() {
    for (what, code) in
        [(Signal::SIGINT, Some(75)), (Signal::SIGTERM, Some(75)), (Signal::SIGKILL, None)]
    {
        let place = Place::new();
        let child = place.start();
        signal(&child, what);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), code, "{what}");
        if code.is_some() {
            assert_eq!(place.processes(), [], "{what}");
            let err = text(output.stderr);
            assert!(err.starts_with("error: interrupted") && err.contains("rm -r "), "{err}");
        }
        await_that("the end of all its processes", || place.processes().is_empty());
    }
}

#[test]
fn a_place_that_can_not_be_used() {
    let output = Place::new().demo().args(["--dir", "/proc/demo"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(73));
    let err = text(output.stderr);
    assert!(err.starts_with("error: can't use \"/proc/demo\": ") && err.contains("--dir"), "{err}");
}
