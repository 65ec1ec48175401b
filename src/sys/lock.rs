//! Advisory locks on files (`flock`), with the holder's pid in them.
//!
//! Such a lock belongs to the open file: children inherit it over a fork, and it is free when the
//! last process that has the file open has closed it or died. Unlocking it anywhere unlocks it for
//! all. So nothing here ever unlocks: a guard only closes its own descriptor, wherever it is
//! dropped, and a lock survives its taker for as long as one of the taker's children lives.
//! Lock files are never deleted: who waits for one would hold a lock on a file without a name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::SysError;
use super::child::ProcessId;
use crate::fail::step;

/// A held lock.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock on `path`, which is created if need be; `None` if somebody else has it.
    pub fn try_lock(path: &Path) -> Result<Option<Self>, SysError> {
        let file = open(path)?;
        match step!("lock_file.lock").around_as(TryLockError::Error, || file.try_lock()) {
            Ok(()) => Ok(Some(Self { file, path: path.to_owned() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(SysError::file("lock", path)(source)),
        }
    }

    /// The same, but waits until it is free. Signals that are blocked do not end the wait.
    pub fn lock(path: &Path) -> Result<Self, SysError> {
        let file = open(path)?;
        file.lock().map_err(SysError::file("lock", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes this process' pid into the file. After a crash of the machine the file may be empty.
    pub fn sign(&mut self) -> Result<(), SysError> {
        self.replace_content().map_err(SysError::file("write", &self.path))
    }

    fn replace_content(&mut self) -> std::io::Result<()> {
        step!("lock_file.empty").around(|| self.file.set_len(0))?;
        self.file.rewind()?;
        step!("lock_file.sign").around(|| writeln!(self.file, "{}", ProcessId::own()))
    }

    /// The locked file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn open(path: &Path) -> Result<File, SysError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    step!("lock_file.open")
        .around(|| options.open(path))
        .map_err(SysError::file("open the lock file", path))
}

/// Whether somebody holds the lock on `path`. Makes no file, and takes the lock only for a moment,
/// in a way that hinders nobody else who looks.
pub fn is_held(path: &Path) -> Result<bool, SysError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(SysError::file("open the lock file", path))?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(SysError::file("lock", path)(source)),
    }
}

/// Who signed the lock file last: `None` if nobody did. He need not hold it, nor live.
pub fn signer(path: &Path) -> Result<Option<ProcessId>, SysError> {
    let mut content = String::new();
    // A pid is short; whatever else is in there is none.
    let file = File::open(path).map_err(SysError::file("open the lock file", path))?;
    file.take(32).read_to_string(&mut content).map_err(SysError::file("read", path))?;
    Ok(ProcessId::parse(&content))
}

/// The other processes that have the file `path` open, as far as this user may see them.
pub fn openers(path: &Path) -> Result<Vec<ProcessId>, SysError> {
    let wanted = std::fs::metadata(path).map_err(SysError::file("look at", path))?;
    let wanted = (wanted.dev(), wanted.ino());
    let processes = Path::new("/proc");
    let entries = std::fs::read_dir(processes).map_err(SysError::file("list", processes))?;
    let mut found: Vec<_> = entries
        .filter_map(|entry| ProcessId::parse(entry.ok()?.file_name().to_str()?))
        .filter(|pid| *pid != ProcessId::own() && has_open(*pid, wanted))
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// Processes come and go during the look, and those of others are closed to it: they have nothing.
fn has_open(pid: ProcessId, wanted: (u64, u64)) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors
        .filter_map(|entry| std::fs::metadata(entry.ok()?.path()).ok())
        .any(|file| (file.dev(), file.ino()) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_free_after_the_guard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let held = FileLock::try_lock(&path).unwrap().unwrap();
        assert!(FileLock::try_lock(&path).unwrap().is_none());
        assert!(is_held(&path).unwrap());
        drop(held);
        assert!(!is_held(&path).unwrap());
        assert!(!is_held(&dir.path().join("none")).unwrap() && !dir.path().join("none").exists());
        let held = FileLock::lock(&path).unwrap();
        assert_eq!(held.path(), path);
        assert!(path.exists());
    }

    #[test]
    fn a_signature_replaces_what_stood_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        std::fs::write(&path, "123456789\nand more").unwrap();
        assert_eq!(signer(&path).unwrap(), None);
        FileLock::lock(&path).unwrap().sign().unwrap();
        assert_eq!(signer(&path).unwrap(), Some(ProcessId::own()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", ProcessId::own()));
    }

    #[test]
    fn errors_name_the_file() {
        let error = FileLock::try_lock(Path::new("/nowhere/a.lock")).unwrap_err();
        assert!(error.in_full().starts_with("cannot open the lock file /nowhere/a.lock: "));
    }

    #[test]
    fn nobody_else_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let _held = FileLock::lock(&path).unwrap();
        assert_eq!(openers(&path).unwrap(), []);
    }
}
