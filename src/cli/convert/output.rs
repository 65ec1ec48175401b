//! A file that appears when it is whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;

/// A file without a name, in the directory where it is to have one: if this process ends, it is gone.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// Begins what will be `path`, which must not be there.
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Self { path: path.to_owned(), file: nameless(path)? })
    }

    /// What is written.
    pub(super) fn body(&mut self) -> &mut File {
        &mut self.file
    }

    /// Replaces what was written by `pieces`, which may lie in it.
    pub(super) fn replace(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let mut file = nameless(&self.path)?;
        for piece in pieces {
            file.write_all(piece)?;
        }
        self.file = file;
        Ok(())
    }

    /// Gives the file its name, never over another. After `Ok` it survives a crash.
    pub(super) fn place(self) -> io::Result<()> {
        self.file.sync_all()?;
        let here = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        linkat(AT_FDCWD, here.as_str(), AT_FDCWD, &self.path, follow)?;
        File::open(folder(&self.path))?.sync_all()
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn nameless(path: &Path) -> io::Result<File> {
    let options = OFlag::O_TMPFILE.bits();
    OpenOptions::new().read(true).write(true).custom_flags(options).mode(0o666).open(folder(path))
}
