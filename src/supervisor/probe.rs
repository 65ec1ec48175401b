//! Who supervises what in a working directory, seen from outside: by the instances' locks.
//!
//! Writes nothing, and needs only the right to read.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The instances that ever ran in a working directory, with their locks, in order.
pub fn instances(working_directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(working_directory.join("run"))? {
        let entry = entry?;
        if let Some(instance) = entry.file_name().to_str().and_then(instance_of) {
            files.push((instance.to_owned(), entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

fn instance_of(file_name: &str) -> Option<&str> {
    let instance = file_name.strip_prefix("supervisor.")?.strip_suffix(".lock")?;
    (!instance.is_empty()).then_some(instance)
}

/// Who holds an instance's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: it does not run.
    Nobody,
    /// Its supervisor, this process.
    Supervisor(u32),
    /// Somebody, but what that process has open is not for this user to see. It signed the lock,
    /// and is there.
    Hidden(u32),
    /// Somebody, but not the process that signed it: another machine's, or workers whose
    /// supervisor is gone.
    NotHere(Option<u32>),
}

/// Who holds `lock`.
pub fn holder(lock: &Path) -> io::Result<Holder> {
    let file = File::open(lock)?;
    // Shared, and for a moment only: it must not get in the way of a supervisor that starts.
    match file.try_lock_shared() {
        Ok(()) => return Ok(Holder::Nobody),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let Some(pid) = recorded_pid(&file)? else { return Ok(Holder::NotHere(None)) };
    match has_open(pid, &file) {
        Ok(true) => Ok(Holder::Supervisor(pid)),
        Ok(false) => Ok(Holder::NotHere(Some(pid))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Holder::Hidden(pid)),
        Err(error) => Err(error),
    }
}

/// The first line, as a number.
fn recorded_pid(file: &File) -> io::Result<Option<u32>> {
    let mut bytes = Vec::new();
    file.take(64).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().next().and_then(|line| line.trim().parse().ok()))
}

/// Whether the process `pid` of this machine has `file` open.
fn has_open(pid: u32, file: &File) -> io::Result<bool> {
    let wanted = file.metadata()?;
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    // A descriptor may be closed between the listing and the look.
    let same = |path: PathBuf| {
        let meta = fs::metadata(path).ok();
        meta.is_some_and(|meta| (meta.dev(), meta.ino()) == (wanted.dev(), wanted.ino()))
    };
    Ok(entries.filter_map(Result::ok).any(|entry| same(entry.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_locks_of_supervisors_count() {
        assert_eq!(instance_of("supervisor.host-1.lock"), Some("host-1"));
        assert_eq!(instance_of("supervisor.a.lock.lock"), Some("a.lock"));
        for name in ["supervisor..lock", "supervisor.lock", "worker.a.lock", "supervisor.a"] {
            assert_eq!(instance_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_lock_is_its_signers_only_while_that_one_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.a.lock");
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(holder(&path).unwrap(), Holder::Nobody);
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        assert_eq!(holder(&path).unwrap(), Holder::Supervisor(std::process::id()));
        for (content, named) in [("", None), ("junk", None), ("4194999\n", Some(4_194_999))] {
            fs::write(&path, content).unwrap();
            assert_eq!(holder(&path).unwrap(), Holder::NotHere(named));
        }
    }
}
