//! Who works on what: advisory locks (`flock`) that the kernel lets go of when a process dies.
//!
//! A `Claim` is a locked file. Whoever has it may rename or remove the file, nobody else does;
//! so a claim is worth something only while its path names the very file that is locked, which is
//! looked at after locking. A lock lives in the open file, which a forked child shares: workers
//! don't fork, and a child would have to leave without dropping its guards.

use std::fs::{File, FileTimes, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Spool;
use super::durable::{self, Move};
use super::error::{IoExt, Result, SpoolError};
use super::layout::{SpoolPartition, Stage, temp_name};
use crate::fail::{Step, step};
use crate::types::WriterToken;

/// Permissions of new files: the owner writes, the group reads.
const FILE_MODE: u32 = 0o640;
/// How often a temporary file is begun anew if a sweeper takes it before it is locked.
const CREATE_TRIES: usize = 16;

/// The answer to a claim.
#[derive(Debug)]
#[must_use]
pub enum Taken<T> {
    /// It is ours until the value is dropped.
    Ours(T),
    /// Somebody else works on it. If that one dies, nothing wakes those who wait: come again
    /// sooner than at the next scan.
    Busy,
    /// It is not there any more: somebody else was faster.
    Gone,
}

impl<T> Taken<T> {
    /// The same with what was taken turned into something else.
    pub(super) fn map<U>(self, into: impl FnOnce(T) -> U) -> Taken<U> {
        match self {
            Self::Ours(taken) => Taken::Ours(into(taken)),
            Self::Busy => Taken::Busy,
            Self::Gone => Taken::Gone,
        }
    }

    /// What was taken, if it was.
    pub fn ours(self) -> Option<T> {
        match self {
            Self::Ours(taken) => Some(taken),
            Self::Busy | Self::Gone => None,
        }
    }
}

/// What a claimed file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadWrite,
}

/// A file that nobody else works on; dropping it lets go of the lock and leaves the file.
#[derive(Debug)]
pub(super) struct Claim {
    file: File,
    path: PathBuf,
}

impl Claim {
    /// Claims the file at `path`. Changes nothing on disk.
    pub(super) fn take(path: &Path, access: Access) -> Result<Taken<Self>> {
        let Some(file) = open(path, access)? else { return Ok(Taken::Gone) };
        match try_lock(&file, step!("claim.lock")) {
            Ok(()) => Self::confirmed(file, path),
            Err(TryLockError::WouldBlock) => Ok(Taken::Busy),
            // NFS makes a POSIX lock of it, which wants a file that is open for writing.
            Err(TryLockError::Error(e)) if is_bad_fd(&e) && access == Access::Read => {
                Self::take(path, Access::ReadWrite)
            }
            Err(TryLockError::Error(e)) => Err(e).at("lock", path),
        }
    }

    fn confirmed(file: File, path: &Path) -> Result<Taken<Self>> {
        if names(path, &file)? {
            Ok(Taken::Ours(Self { file, path: path.to_owned() }))
        } else {
            Ok(Taken::Gone)
        }
    }

    #[cfg(test)]
    pub(super) fn for_test(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the file, never over another, and keeps it claimed.
    /// After `Moved` the new name survives a crash; otherwise nothing has changed.
    pub(super) fn move_to(&mut self, to: PathBuf, step: Step) -> Result<Move> {
        let moved = durable::rename_new(&self.path, &to, step)?;
        if moved == Move::Moved {
            self.path = to;
        }
        Ok(moved)
    }

    /// Lets go of the file and wakes whoever waits for it.
    ///
    /// A watcher that is woken by the rename alone comes too early, while the lock is still held.
    /// So its times are set after unlocking, both of them: only then it counts as a change of
    /// attributes, which [`super::watch`] sees. If that fails, the next scan finds the file.
    pub(super) fn hand_on(self) {
        let now = SystemTime::now();
        let times = FileTimes::new().set_accessed(now).set_modified(now);
        let _ = step!("hand_on.unlock").around(|| self.file.unlock());
        let _ = step!("hand_on.touch").around(|| self.file.set_times(times));
    }

    /// Removes the file. After a crash within, it is there and unclaimed, or gone.
    pub(super) fn remove(self, step: Step) -> Result<()> {
        durable::remove(&self.path, step).map(drop)
    }
}

fn try_lock(file: &File, step: Step) -> std::result::Result<(), TryLockError> {
    step.around_as(TryLockError::Error, || file.try_lock())
}

fn open(path: &Path, access: Access) -> Result<Option<File>> {
    let options = OpenOptions::new().read(true).write(access == Access::ReadWrite).clone();
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).at("open", path),
    }
}

fn is_bad_fd(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::EBADF)
}

/// Whether `path` names the very file that is open.
fn names(path: &Path, file: &File) -> Result<bool> {
    let held = file.metadata().at("look at", path)?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).at("look at", path),
    }
}

/// A claimed file under a temporary name; dropping it removes it.
///
/// After a crash it stays, unclaimed, and [`Spool::sweep`] removes it.
#[derive(Debug)]
pub(super) struct TempFile {
    // Dropped first: the file goes before its lock does.
    cleanup: Cleanup,
    claim: Claim,
}

/// Removes a file when it is dropped, unless it was told to leave it.
#[derive(Debug)]
struct Cleanup(Option<PathBuf>);

impl Drop for Cleanup {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = durable::remove(&path, step!("temp.remove"));
        }
    }
}

impl TempFile {
    /// Begins what will be `name` in the directory `stage`, open for reading and writing.
    pub(super) fn create(spool: &Spool, stage: Stage, name: &str, step: Step) -> Result<Self> {
        let dir = spool.dir(stage);
        for _ in 0..CREATE_TRIES {
            let path = dir.join(temp_name(name, random_token().at("create a file in", &dir)?));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(FILE_MODE);
            let file = step.around(|| options.open(&path)).at("create", &path)?;
            let cleanup = Cleanup(Some(path.clone()));
            // A sweeper may have been between the two calls: then begin anew.
            if try_lock(&file, step!("temp.lock")).is_ok()
                && let Taken::Ours(claim) = Claim::confirmed(file, &path)?
            {
                return Ok(Self { cleanup, claim });
            }
        }
        Err(SpoolError::TakenAway { path: dir })
    }

    pub(super) fn file(&mut self) -> &mut File {
        self.claim.file_mut()
    }

    pub(super) fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Gives the file its lasting name `to`, never over another. After `Ok(Ok(claim))` that name
    /// survives a crash; after `Ok(Err(_))` and errors the file is removed.
    pub(super) fn place(
        mut self,
        to: PathBuf,
        step: Step,
    ) -> Result<std::result::Result<Claim, Existing>> {
        match self.claim.move_to(to, step)? {
            Move::Moved => Ok(Ok(self.keep())),
            Move::TargetExists => Ok(Err(Existing)),
            Move::SourceGone => Err(SpoolError::TakenAway { path: self.path().to_owned() }),
        }
    }

    /// Writes `text` to a file that takes the place of what may be at `to`, by way of one named
    /// after `name` in `stage`. After a crash within, `to` is the old file or the new one; after
    /// `Ok` it is the new one.
    pub(super) fn write_whole(
        spool: &Spool,
        (stage, name): (Stage, &str),
        text: &[u8],
        to: &Path,
        steps: WholeSteps,
    ) -> Result<()> {
        let mut temp = Self::create(spool, stage, name, steps.create)?;
        steps.write.around(|| temp.file().write_all(text)).at("write", temp.path())?;
        temp.replace(to, steps.rename)
    }

    fn replace(self, to: &Path, step: Step) -> Result<()> {
        match durable::replace(self.path(), to, step)? {
            Move::Moved => {
                self.keep().hand_on();
                Ok(())
            }
            Move::TargetExists | Move::SourceGone => {
                Err(SpoolError::TakenAway { path: self.path().to_owned() })
            }
        }
    }

    fn keep(self) -> Claim {
        let Self { mut cleanup, claim } = self;
        cleanup.0 = None;
        claim
    }
}

/// The steps of [`TempFile::write_whole`].
#[derive(Debug, Clone, Copy)]
pub(super) struct WholeSteps {
    pub(super) create: Step,
    pub(super) write: Step,
    pub(super) rename: Step,
}

/// The [`WholeSteps`] of one kind of file.
macro_rules! whole_steps {
    ($kind:literal) => {
        $crate::spool::claim::WholeSteps {
            create: $crate::fail::step!(concat!($kind, ".create")),
            write: $crate::fail::step!(concat!($kind, ".write")),
            rename: $crate::fail::step!(concat!($kind, ".rename")),
        }
    };
}
pub(super) use whole_steps;

/// Another file has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Existing;

/// 64 random bits.
fn random_token() -> io::Result<WriterToken> {
    getrandom::u64().map(WriterToken).map_err(|e| io::Error::other(e.to_string()))
}

/// The right to publish a partition's files: one holder at a time, on this spool.
#[derive(Debug)]
pub struct PartitionLock {
    partition: SpoolPartition,
    _file: File,
}

impl PartitionLock {
    /// Takes the lock if it is free. Its file under `run/` is made if need be, and never removed:
    /// a lock on a removed file would exclude nobody.
    pub fn take(spool: &Spool, partition: &SpoolPartition) -> Result<Taken<Self>> {
        let path = spool.dir(Stage::Run).join(partition.lock_name());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = step!("partition.open").around(|| options.open(&path)).at("open", &path)?;
        match try_lock(&file, step!("partition.lock")) {
            Ok(()) => Ok(Taken::Ours(Self { partition: partition.clone(), _file: file })),
            Err(TryLockError::WouldBlock) => Ok(Taken::Busy),
            Err(TryLockError::Error(e)) => Err(e).at("lock", &path),
        }
    }

    /// Whose lock it is.
    #[must_use]
    pub const fn partition(&self) -> &SpoolPartition {
        &self.partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::testing::{partition, spool};
    use std::fs;

    #[test]
    fn the_second_claimant_finds_it_busy() {
        let (_dir, spool) = spool();
        let path = spool.dir(Stage::Rotated).join("x");
        assert!(matches!(Claim::take(&path, Access::Read).unwrap(), Taken::Gone));
        fs::write(&path, "x").unwrap();
        let first = Claim::take(&path, Access::Read).unwrap().ours().unwrap();
        assert!(matches!(Claim::take(&path, Access::ReadWrite).unwrap(), Taken::Busy));
        drop(first);
        assert!(Claim::take(&path, Access::ReadWrite).unwrap().ours().is_some());
    }

    #[test]
    fn a_lock_on_a_file_that_moved_is_no_claim() {
        let (_dir, spool) = spool();
        let path = spool.dir(Stage::Rotated).join("x");
        fs::write(&path, "old").unwrap();
        let opened = File::open(&path).unwrap();
        let first = Claim::take(&path, Access::Read).unwrap().ours().unwrap();
        first.remove(step!("test.remove")).unwrap();
        opened.try_lock().unwrap();
        assert!(!names(&path, &opened).unwrap());
        fs::write(&path, "new").unwrap();
        assert!(!names(&path, &opened).unwrap());
    }

    #[test]
    fn a_moved_file_stays_claimed_until_it_is_handed_on() {
        let (_dir, spool) = spool();
        let (a, b) = (spool.dir(Stage::Rotated).join("a"), spool.dir(Stage::Compressed).join("b"));
        fs::write(&a, "a").unwrap();
        let mut claim = Claim::take(&a, Access::ReadWrite).unwrap().ours().unwrap();
        assert_eq!(claim.move_to(b.clone(), step!("test.move")).unwrap(), Move::Moved);
        assert!(matches!(Claim::take(&b, Access::Read).unwrap(), Taken::Busy));
        claim.hand_on();
        assert!(Claim::take(&b, Access::Read).unwrap().ours().is_some());
    }

    #[test]
    fn a_dropped_temporary_file_is_removed_and_a_placed_one_is_not() {
        let (_dir, spool) = spool();
        let to = spool.dir(Stage::Tips).join("x");
        let create = || TempFile::create(&spool, Stage::Tips, "x", step!("test.create")).unwrap();
        let place = |temp: TempFile| temp.place(to.clone(), step!("test.place")).unwrap();
        let dropped = create();
        let path = dropped.path().to_owned();
        assert!(path.exists());
        drop(dropped);
        assert!(!path.exists());

        assert!(place(create()).is_ok());
        assert_eq!(place(create()).unwrap_err(), Existing);
        assert_eq!(fs::read_dir(spool.dir(Stage::Tips)).unwrap().count(), 1);
        create().replace(&to, step!("test.replace_temp")).unwrap();
        assert_eq!(fs::read_dir(spool.dir(Stage::Tips)).unwrap().count(), 1);
    }

    #[test]
    fn a_partition_has_one_publisher() {
        let (_dir, spool) = spool();
        let lock = PartitionLock::take(&spool, &partition("a-b", 3)).unwrap().ours().unwrap();
        assert_eq!(lock.partition(), &partition("a-b", 3));
        let again = PartitionLock::take(&spool, &partition("a-b", 3)).unwrap();
        assert!(matches!(again, Taken::Busy));
        assert!(PartitionLock::take(&spool, &partition("a-b", 4)).unwrap().ours().is_some());
        drop(lock);
        assert!(PartitionLock::take(&spool, &partition("a-b", 3)).unwrap().ours().is_some());
    }
}
