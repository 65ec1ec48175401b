//! A look at a working directory, before anything runs there: nothing is made in it.
//!
//! Whether it can be written to is tried with a file that never gets a name, so nothing is left
//! whatever happens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::error::{IoExt, Result};
use super::{Spool, Stage};

/// What a working directory is like.
#[derive(Debug)]
pub struct Look {
    /// The directory itself, or if it does not exist, the nearest above it that does.
    pub nearest: PathBuf,
    /// Whether that is the directory itself.
    pub exists: bool,
    /// The first directory of it that can't be written to, and why.
    pub closed: Option<(PathBuf, io::Error)>,
    /// Bytes that this user may still write there.
    pub free: u64,
    /// Bytes of the files that are on their way.
    pub used: u64,
    /// Whether it lies on NFS, where nobody is woken by another host.
    pub is_nfs: bool,
}

/// Looks at the working directory `root`.
pub fn look(root: &Path) -> Result<Look> {
    let nearest = root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let exists = nearest == root;
    let mut dirs = vec![nearest.to_owned()];
    if exists {
        let stages = Stage::ALL.iter().map(|stage| root.join(stage.dir_name()));
        dirs.extend(stages.filter(|dir| dir.exists()));
    }
    let closed = dirs.into_iter().find_map(|dir| try_write(&dir).err().map(|error| (dir, error)));
    let disk = statvfs(nearest).at("ask for free space at", nearest)?;
    let spool = Spool { root: root.into() };
    let used = if exists { spool.usage_if_there()? } else { 0 };
    Ok(Look {
        nearest: nearest.to_owned(),
        exists,
        closed,
        free: disk.blocks_available().saturating_mul(disk.fragment_size()),
        used,
        is_nfs: is_nfs(nearest),
    })
}

impl Spool {
    /// The same as [`Spool::usage`], where stages that were never made count nothing.
    fn usage_if_there(&self) -> Result<u64> {
        if Stage::DATA.iter().all(|stage| self.dir(*stage).exists()) { self.usage() } else { Ok(0) }
    }
}

/// Enough that the file system has to find a block for it.
const TRIAL: [u8; 4096] = [0; 4096];

fn try_write(dir: &Path) -> io::Result<()> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::Error::from(ErrorKind::NotADirectory));
    }
    let opened: io::Result<File> =
        OpenOptions::new().write(true).custom_flags(OFlag::O_TMPFILE.bits()).open(dir);
    match opened {
        Ok(mut file) => file.write_all(&TRIAL),
        // Not every file system has files without names.
        Err(error) if is_unknown(&error) => Ok(access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?),
        Err(error) => Err(error),
    }
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported | ErrorKind::IsADirectory | ErrorKind::InvalidInput
    )
}

fn is_nfs(path: &Path) -> bool {
    nix::sys::statfs::statfs(path)
        .is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::NFS_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        let seen = look(&root).unwrap();
        assert!(!seen.exists && seen.closed.is_none() && seen.free > 0);
        assert_eq!(seen.nearest, dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_is_counted_and_tried() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        fs::write(spool.dir(Stage::Rotated).join("x"), [0; 1000]).unwrap();
        let seen = look(dir.path()).unwrap();
        assert!(seen.exists && seen.closed.is_none());
        assert_eq!(seen.used, 1000);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let (named, error) = look(&path.join("spool")).unwrap().closed.unwrap();
        assert_eq!((named, error.kind()), (path, ErrorKind::NotADirectory));
    }
}
