//! A disk that is small, full, or closed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory, mounted over a directory.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// `None`, and a word about it, where this process may not mount.
    pub(crate) fn mount(dir: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(dir).expect("create the directory");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir)
            .output()
            .expect("run mount");
        if !mount.status.success() {
            eprintln!("skipped: {}", String::from_utf8_lossy(&mount.stderr).trim());
            return None;
        }
        Some(Self(dir.to_owned()))
    }

    /// Fills it to the last byte; gives the file that does.
    pub(crate) fn fill(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let mut file = File::create(&path).expect("create a file");
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: somebody may be in it still.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
