//! The only code of the product that renames or removes files.
//!
//! The spool is a cache: nothing here waits for the disk. What a function says to survive, survives
//! the death of the process, at any instruction; after a power loss any file may be cut, empty or
//! back under its former name, and checksums and [`super::recovery`] decide. A file that is gone
//! is an expected value: another worker was faster.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::{IoExt, Result, SpoolError};
use crate::fail::Step;

/// What became of a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Move {
    /// The file has its new name, and no other.
    Moved,
    /// Another file has that name; both are as they were.
    TargetExists,
    /// There was no file to be moved.
    SourceGone,
}

/// What became of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is removed.
    Removed,
    /// It was not there.
    WasGone,
}

/// Renames `from` to `to`, never over another file.
///
/// After a crash within, the file is under `from` or under `to` or, where the file system can't
/// rename without replacing, under both: then the same call again ends with `to` alone. After
/// `Moved`, it stays under `to`.
pub(super) fn rename_new(from: &Path, to: &Path, step: Step) -> Result<Move> {
    match step.around(|| rename_noreplace(from, to)) {
        Ok(()) => Ok(Move::Moved),
        Err(e) if is_unsupported(&e) => link_new(from, to),
        Err(e) => after_failure(from, to, e),
    }
}

#[cfg(target_env = "gnu")]
fn rename_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    Ok(renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)?)
}

#[cfg(not(target_env = "gnu"))]
fn rename_noreplace(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// NFS and old kernels; EINVAL can mean nothing else for a plain file.
fn is_unsupported(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}

/// The same by a second name and the removal of the first.
fn link_new(from: &Path, to: &Path) -> Result<Move> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            remove_now(from)?;
            Ok(Move::Moved)
        }
        Err(e) => after_failure(from, to, e),
    }
}

fn after_failure(from: &Path, to: &Path, e: std::io::Error) -> Result<Move> {
    match e.kind() {
        // A half-done link_new, or an answer that NFS lost and asked for again.
        ErrorKind::AlreadyExists if same_file(from, to) => {
            remove_now(from)?;
            Ok(Move::Moved)
        }
        ErrorKind::AlreadyExists => Ok(Move::TargetExists),
        ErrorKind::NotFound if is_gone(from) => Ok(Move::SourceGone),
        _ => Err(e).at("rename", from),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::symlink_metadata(a), fs::symlink_metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// Renames `from` to `to`, in place of what may be there.
///
/// After a crash within, `to` is the old file or the new one, never missing and never a mixture.
/// After `Moved` it is the new one; `TargetExists` does not occur.
#[expect(clippy::disallowed_methods, reason = "this is where renames live")]
pub(super) fn replace(from: &Path, to: &Path, step: Step) -> Result<Move> {
    match step.around(|| fs::rename(from, to)) {
        Ok(()) => Ok(Move::Moved),
        Err(e) if e.kind() == ErrorKind::NotFound && is_gone(from) => Ok(Move::SourceGone),
        Err(e) => Err(e).at("rename", from),
    }
}

/// Removes a file. After either answer it is gone, and stays gone.
pub(super) fn remove(path: &Path, step: Step) -> Result<Removal> {
    step.around_as(
        |e| SpoolError::Io { doing: "remove", path: path.to_owned(), source: e },
        || remove_now(path),
    )
}

#[expect(clippy::disallowed_methods, reason = "this is where removals live")]
fn remove_now(path: &Path) -> Result<Removal> {
    match fs::remove_file(path) {
        Ok(()) => Ok(Removal::Removed),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Removal::WasGone),
        Err(e) => Err(e).at("remove", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail::step;

    type Rename = fn(&Path, &Path) -> Result<Move>;

    fn renamed_new(from: &Path, to: &Path) -> Result<Move> {
        rename_new(from, to, step!("test.rename_new"))
    }

    fn replaced(from: &Path, to: &Path) -> Result<Move> {
        replace(from, to, step!("test.replace"))
    }

    /// The contract of both ways to rename without replacing.
    fn keeps_the_contract(rename: Rename) {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        assert_eq!(rename(&a, &b).unwrap(), Move::SourceGone);
        fs::write(&a, "a").unwrap();
        assert_eq!(rename(&a, &b).unwrap(), Move::Moved);
        assert!(is_gone(&a));
        fs::write(&a, "other").unwrap();
        assert_eq!(rename(&a, &b).unwrap(), Move::TargetExists);
        assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"other".into(), b"a".into()));
    }

    #[test]
    fn rename_never_replaces() {
        keeps_the_contract(renamed_new);
        keeps_the_contract(link_new);
    }

    #[test]
    fn a_half_done_link_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        for rename in [renamed_new as Rename, link_new] {
            let (a, b) = (dir.path().join("a"), dir.path().join("b"));
            fs::write(&a, "a").unwrap();
            fs::hard_link(&a, &b).unwrap();
            assert_eq!(rename(&a, &b).unwrap(), Move::Moved);
            assert!(is_gone(&a));
            assert_eq!(remove_now(&b).unwrap(), Removal::Removed);
            assert_eq!(remove_now(&b).unwrap(), Removal::WasGone);
        }
    }

    #[test]
    fn replace_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        assert_eq!(replaced(&a, &b).unwrap(), Move::SourceGone);
        fs::write(&a, "new").unwrap();
        fs::write(&b, "old").unwrap();
        assert_eq!(replaced(&a, &b).unwrap(), Move::Moved);
        assert_eq!(fs::read(&b).unwrap(), b"new");
    }

    #[test]
    fn a_missing_directory_is_an_error_with_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a");
        fs::write(&a, "a").unwrap();
        let e = renamed_new(&a, &dir.path().join("no/such")).unwrap_err();
        assert_eq!(e.to_string(), format!("can't rename \"{}\"", a.display()));
    }
}
