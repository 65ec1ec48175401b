//! One supervisor per instance: the lock `run/supervisor.INSTANCE.lock` under the working
//! directory, with the supervisor's pid in it.
//!
//! Workers inherit the lock, so it is held until the last of them is gone, whatever became of their
//! supervisor. Who finds it held tells two cases apart: the process that signed it still has the
//! file open, then another supervisor lives, and there is nothing to wait for; or it has not, then
//! these are orphans about to die, which gets them some time.

use std::fmt;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::slot::exit;
use crate::fail::step;
use crate::sys::SysError;
use crate::sys::child::ProcessId;
use crate::sys::lock::{FileLock, is_held, openers, signer};
use crate::sys::poll::wait_readable;
use crate::sys::signals::{Signal, Signals};

/// Why this process does not become the instance's supervisor.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstanceError {
    #[error("instance \"{0}\" does not make a file name: no '/' and no NUL may be in it")]
    Name(String),
    #[error("{}", .0.in_full())]
    Lock(#[from] SysError),
    #[error(
        "another supervisor of this instance runs as process {pid} (lock {}); \
         stop it, or give this one an [main] instance of its own", path.display()
    )]
    Runs { pid: ProcessId, path: PathBuf },
    #[error(
        "workers of a dead supervisor still run: {orphans} (lock {}); end them, then start again",
        path.display()
    )]
    Orphans { orphans: Orphans, path: PathBuf },
    #[error("told to stop while waiting for the workers of a dead supervisor to go")]
    Stopped,
}

impl InstanceError {
    /// 73 if the lock can't be made; 75 where trying again later helps; 78 for a bad name.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Name(_) => exit::CONFIG,
            Self::Lock(_) => exit::CANNOT_CREATE,
            Self::Runs { .. } | Self::Orphans { .. } | Self::Stopped => exit::PARTIAL,
        }
    }
}

/// Pids to be named.
#[derive(Debug)]
pub struct Orphans(Vec<ProcessId>);

impl fmt::Display for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("processes that cannot be seen from here");
        }
        let pids: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "process{} {}", if pids.len() == 1 { "" } else { "es" }, pids.join(", "))
    }
}

/// How often the lock is tried while orphans go.
const RETRY: Duration = Duration::from_millis(50);

/// Takes the instance's lock, waiting for orphans at most `patience`, and signs it.
pub(super) fn claim(
    working_directory: &Path,
    instance: &str,
    patience: Duration,
    signals: &Signals,
) -> Result<FileLock, InstanceError> {
    let path = prepare(working_directory, instance)?;
    let deadline = Instant::now() + patience;
    let mut said = false;
    loop {
        if let Some(mut lock) = FileLock::try_lock(&path)? {
            lock.sign()?;
            return Ok(lock);
        }
        let holders = openers(&path)?;
        refuse_living(&path, &holders)?;
        if Instant::now() >= deadline {
            return Err(InstanceError::Orphans { orphans: Orphans(holders), path });
        }
        if !std::mem::replace(&mut said, true) {
            log::warn!("waiting for workers of a dead supervisor to go: {}", Orphans(holders));
        }
        wait_readable(&[signals.as_fd()], Some(RETRY))?;
        if signals
            .drain_pending()
            .iter()
            .any(|s| matches!(s, Signal::Terminate | Signal::Interrupt))
        {
            return Err(InstanceError::Stopped);
        }
    }
}

fn prepare(working_directory: &Path, instance: &str) -> Result<PathBuf, InstanceError> {
    if instance.is_empty() || instance.contains(['/', '\0']) {
        return Err(InstanceError::Name(instance.to_owned()));
    }
    let directory = working_directory.join("run");
    let make = || std::fs::create_dir_all(&directory);
    step!("supervisor.dir").around(make).map_err(|source| SysError::File {
        doing: "make the directory",
        path: directory.clone(),
        source,
    })?;
    Ok(lock_file(working_directory, instance))
}

fn lock_file(working_directory: &Path, instance: &str) -> PathBuf {
    working_directory.join("run").join(format!("supervisor.{instance}.lock"))
}

/// Who holds the lock of `instance`, as far as that shows; `None`: nobody does. Makes no file.
pub fn holder(working_directory: &Path, instance: &str) -> Result<Option<Holder>, SysError> {
    let path = lock_file(working_directory, instance);
    if !is_held(&path)? {
        return Ok(None);
    }
    let signer = signer(&path)?;
    let holders = openers(&path)?;
    Ok(Some(match signer {
        Some(pid) if holders.contains(&pid) || is_hidden(pid) => Holder::Supervisor(pid),
        _ if holders.is_empty() => Holder::Elsewhere,
        _ => Holder::Orphans(Orphans(holders)),
    }))
}

/// Who holds an instance's lock.
#[derive(Debug)]
pub enum Holder {
    /// A running supervisor of this machine.
    Supervisor(ProcessId),
    /// Workers whose supervisor is dead.
    Orphans(Orphans),
    /// Somebody who can't be seen from here: on another machine, or another user's.
    Elsewhere,
}

/// Whoever signed the lock and has it open is a supervisor: orphans did not sign it.
fn refuse_living(path: &Path, holders: &[ProcessId]) -> Result<(), InstanceError> {
    match signer(path)? {
        Some(pid) if holders.contains(&pid) || is_hidden(pid) => {
            Err(InstanceError::Runs { pid, path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

/// A process of another user: it is there, but what it has open can't be seen.
fn is_hidden(pid: ProcessId) -> bool {
    pid != ProcessId::own()
        && pid.exists()
        && std::fs::read_dir(format!("/proc/{pid}/fd"))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_file_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "a/b", "a\0b"] {
            let error = prepare(dir.path(), name).unwrap_err();
            assert_eq!(error.exit_code(), 78, "{error}");
        }
        let path = prepare(dir.path(), "host.example").unwrap();
        assert_eq!(path, dir.path().join("run/supervisor.host.example.lock"));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let error = prepare(Path::new("/proc/nowhere"), "a").unwrap_err();
        assert!(error.to_string().starts_with("cannot make the directory /proc/nowhere/run: "));
        assert_eq!(error.exit_code(), 73);
    }

    #[test]
    fn orphans_are_named() {
        let pids = |texts: &[&str]| {
            Orphans(texts.iter().map(|text| ProcessId::parse(text).unwrap()).collect()).to_string()
        };
        assert_eq!(pids(&["7"]), "process 7");
        assert_eq!(pids(&["7", "8"]), "processes 7, 8");
        assert_eq!(pids(&[]), "processes that cannot be seen from here");
    }
}
