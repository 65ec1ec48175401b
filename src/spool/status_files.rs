//! Files in which workers say how they are: `run/status/NAME`, each written by one process and read
//! by anybody. What stands in them is the business of `crate::status`.
//!
//! A file is there whole or not at all, so readers need no lock. Nothing depends on these files:
//! one that can't be written is missing, no more.

use std::fs::{self, DirBuilder};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::claim::{TempFile, whole_steps};
use super::error::{IoExt, Result};
use super::layout::{Stage, is_temp_name};
use super::{DIR_MODE, Spool};
use crate::fail::step;

const DIR: &str = "status";

/// No status is larger; what is, is something else.
const LARGEST: u64 = 64 << 20;

impl Spool {
    fn status_dir(&self) -> PathBuf {
        self.dir(Stage::Run).join(DIR)
    }

    /// Writes the file `name` in place of what may be there. After a crash within, the one before
    /// stands; after `Ok` the new one does.
    pub fn write_status(&self, name: &str, text: &[u8]) -> Result<()> {
        let dir = self.status_dir();
        // Not the directories above it: a spool that is gone is not to come back by this.
        let made = step!("status.dir").around(|| DirBuilder::new().mode(DIR_MODE).create(&dir));
        match made {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            made => made.at("create", &dir)?,
        }
        // Beside, not within, the directory that is listed; it is swept as all temporary files are.
        let by_way_of = (Stage::Run, name);
        TempFile::write_whole(self, by_way_of, text, &dir.join(name), whole_steps!("status"))
    }

    /// The file `name`; `None` if there is none.
    pub fn read_status(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.status_dir().join(name);
        let file = match fs::File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.at("open", &path)?,
        };
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).at("read", &path)?;
        Ok(Some(text))
    }

    /// The names of all files that there are, in order.
    pub fn status_names(&self) -> Result<Vec<String>> {
        let dir = self.status_dir();
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.at("list", &dir)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.at("list", &dir)?.file_name();
            names.extend(name.into_string().ok().filter(|name| !is_temp_name(name)));
        }
        names.sort_unstable();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::testing::{names_in, spool};

    #[test]
    fn a_status_replaces_the_one_before_and_leaves_nothing_beside() {
        let (_dir, spool) = spool();
        assert_eq!(spool.status_names().unwrap(), Vec::<String>::new());
        assert_eq!(spool.read_status("a.consumer-0.json").unwrap(), None);
        spool.write_status("a.consumer-0.json", b"old and long").unwrap();
        spool.write_status("a.consumer-0.json", b"new").unwrap();
        spool.write_status("a.b.uploader-0.json", b"").unwrap();
        assert_eq!(spool.status_names().unwrap(), ["a.b.uploader-0.json", "a.consumer-0.json"]);
        assert_eq!(spool.read_status("a.consumer-0.json").unwrap().unwrap(), b"new");
        assert!(names_in(&spool, Stage::Run).iter().all(|name| name == DIR));
    }
}
