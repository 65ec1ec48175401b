//! Files of the original tool in the working directory: claimed, moved, set aside, removed.
//!
//! They are no cache: Kafka may not have their records any more. So nothing here removes one but
//! [`Original::remove`], for who knows that it is archived; and what is set aside goes to
//! `quarantine/original/`, which nobody empties but the operator.
//!
//! The original locks its files in progress in the same way (`flock`), so while it runs they are
//! [`Taken::Busy`].

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::claim::{Access, Claim, Taken, TempFile, whole_steps};
use super::durable::Move;
use super::error::{IoExt, Result, SpoolError};
use super::layout::Stage;
use super::{DIR_MODE, Spool};
use crate::fail::step;

/// Below `quarantine/`.
const ASIDE: &str = "original";
/// How many files of one name are kept apart.
const MAX_SAME_NAME: u32 = 1000;

/// A file of the original that nobody else works on.
#[derive(Debug)]
pub struct Original {
    claim: Claim,
}

impl Original {
    /// Claims the file at `path`. Changes nothing on disk.
    pub fn take(path: &Path) -> Result<Taken<Self>> {
        Ok(Claim::take(path, Access::Read)?.map(|claim| Self { claim }))
    }

    /// The file, open for reading.
    #[must_use]
    pub fn file(&self) -> &File {
        self.claim.file()
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Gives it another name of the original's; `false` if that is taken, and nothing has changed.
    /// After a crash within, it has the one name or the other.
    pub fn rename(&mut self, to: &Path) -> Result<bool> {
        make_parent(to)?;
        match self.claim.move_to(to.to_owned(), step!("original.rename"))? {
            Move::Moved => Ok(true),
            Move::TargetExists => Ok(false),
            Move::SourceGone => Err(SpoolError::TakenAway { path: self.path().to_owned() }),
        }
    }

    /// Moves it to where it is kept for the operator, as `name` or, if that is taken, with a number
    /// behind it; beside it goes a text that says why. Gives its new place.
    /// After a crash within, it is where it was, or there, perhaps without the text.
    pub fn set_aside(mut self, spool: &Spool, name: &str, why: &str) -> Result<PathBuf> {
        let dir = spool.dir(Stage::Quarantine).join(ASIDE);
        let plain = std::iter::once(name.to_owned());
        for kept_as in plain.chain((2..=MAX_SAME_NAME).map(|n| format!("{name}.{n}"))) {
            let to = dir.join(&kept_as);
            if self.rename(&to)? {
                let note = format!("{kept_as}.why");
                let (text, to_note) = (format!("{why}\n"), dir.join(&note));
                let (by_way_of, steps) = ((Stage::Quarantine, &*note), whole_steps!("aside_note"));
                TempFile::write_whole(spool, by_way_of, text.as_bytes(), &to_note, steps)?;
                return Ok(to);
            }
        }
        Err(SpoolError::TakenAway { path: self.path().to_owned() })
    }

    /// Removes it: its records are in the archive, or it has none.
    pub fn remove(self) -> Result<()> {
        self.claim.remove(step!("original.remove"))
    }
}

/// A file of no name that one of the original's is packed into on its way to the archive. It is
/// gone when this is dropped; after a crash, when the spool is swept.
#[derive(Debug)]
pub struct Scratch(TempFile);

impl Scratch {
    /// An empty one. It does not count against `spool_max_bytes`.
    pub fn create(spool: &Spool) -> Result<Self> {
        TempFile::create(spool, Stage::Run, "takeover", step!("original.scratch")).map(Self)
    }

    /// To be written, and read.
    pub fn file(&mut self) -> &mut File {
        self.0.file()
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let make = || DirBuilder::new().recursive(true).mode(DIR_MODE).create(parent);
    step!("original.dir").around(make).at("create", parent)
}

/// Removes all empty directories below `dir`, but not it. What is not empty, or can't be removed,
/// stays.
pub fn remove_empty_directories(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty_directories(&entry.path());
            let _ = step!("original.remove_dir").around(|| fs::remove_dir(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::testing::{names_in, spool};
    use std::io::Write as _;

    fn put(spool: &Spool, name: &str) -> PathBuf {
        let path = spool.root().join(name);
        make_parent(&path).unwrap();
        fs::write(&path, name).unwrap();
        path
    }

    fn take(path: &Path) -> Original {
        Original::take(path).unwrap().ours().unwrap()
    }

    #[test]
    fn what_the_original_holds_is_busy() {
        let (_dir, spool) = spool();
        let path = put(&spool, "inprogress/t/0/data.mak");
        let python = File::open(&path).unwrap();
        python.try_lock().unwrap();
        assert!(matches!(Original::take(&path).unwrap(), Taken::Busy));
        drop(python);
        take(&path).remove().unwrap();
        assert!(matches!(Original::take(&path).unwrap(), Taken::Gone));
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let (_dir, spool) = spool();
        let (path, to) = (put(&spool, "a"), spool.root().join("tocompress/t/0/b"));
        let mut file = take(&path);
        assert!(file.rename(&to).unwrap());
        assert_eq!(file.path(), to);
        let mut second = take(&put(&spool, "a"));
        assert!(!second.rename(&to).unwrap());
        assert_eq!(fs::read(&to).unwrap(), b"a");
        assert_eq!(second.path(), path);
    }

    #[test]
    fn what_is_set_aside_stays_with_a_reason_each() {
        let (_dir, spool) = spool();
        for why in ["one", "two"] {
            take(&put(&spool, "data.mak")).set_aside(&spool, "t-0_data.mak", why).unwrap();
        }
        let dir = spool.dir(Stage::Quarantine).join(ASIDE);
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        assert_eq!(read("t-0_data.mak"), "data.mak");
        assert_eq!(read("t-0_data.mak.why"), "one\n");
        assert_eq!(read("t-0_data.mak.2.why"), "two\n");
        // Out of reach of what bounds the quarantine of the spool's own files.
        assert_eq!(names_in(&spool, Stage::Quarantine), [ASIDE]);
        assert_eq!(spool.sweep().unwrap(), 0);
    }

    #[test]
    fn a_scratch_file_goes_by_itself() {
        let (_dir, spool) = spool();
        let mut scratch = Scratch::create(&spool).unwrap();
        scratch.file().write_all(b"x").unwrap();
        assert!(scratch.path().exists());
        assert_eq!(spool.usage().unwrap(), 0);
        drop(scratch);
        assert!(names_in(&spool, Stage::Run).is_empty());
    }

    #[test]
    fn only_empty_directories_are_cleared_away() {
        let (_dir, spool) = spool();
        let root = spool.root().join("tos3");
        fs::create_dir(spool.dir(Stage::InProgress).join("t")).unwrap();
        for dir in ["t/0", "t/1", "u/0"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        put(&spool, "tos3/u/0/readme");
        remove_empty_directories(&root);
        assert!(root.join("u/0/readme").exists());
        assert!(!root.join("t").exists());
        put(&spool, "file");
        remove_empty_directories(&spool.root().join("nowhere"));
        remove_empty_directories(&spool.root().join("file"));
        assert!(spool.root().join("file").exists());
        remove_empty_directories(&spool.dir(Stage::InProgress));
        assert!(names_in(&spool, Stage::InProgress).is_empty());
    }
}
