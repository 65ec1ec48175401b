//! A type per stage. Each holds its file's lock; a transition consumes it, so that what may not
//! be done next does not compile. Dropping a value lets go of the file and leaves it in its stage.
//!
//! ```text
//! InProgress --rotate--> (rotated/)       Abandoned --resume--> InProgress
//!                                                   --rotate--> (rotated/)
//! Rotated --begin--> Compressing --publish--> (compressed/)
//!                                --abandon--> Rotated
//! Compressed --done--> (removed)
//! Rotated, Compressed --quarantine--> (quarantine/, and the consumer is told to go back)
//! ```
//!
//! Where a file of the same partition and range is already in the next stage, that one is kept and
//! ours is removed: both hold the same records, and somebody may be at work on the other.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Seek, SeekFrom, Write};
use std::path::Path;

use super::Spool;
use super::claim::{Access, Claim, Taken, TempFile};
use super::durable::Move;
use super::error::{IoExt, Result, SpoolError};
use super::layout::{FileName, InProgressName, SpoolPartition, Stage};
use super::recovery::Repair;
use super::{durable, quarantine, tips};
use crate::fail::step;
use crate::types::{Offset, OffsetRange, Suffix, TopicPartition, WriterToken};

/// Which file stands in the next stage after a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Placed {
    /// Ours.
    Ours(FileName),
    /// One that was there before, for the same range; ours is removed.
    Theirs(FileName),
}

impl Placed {
    /// The name, whoever's file it is.
    #[must_use]
    pub const fn name(&self) -> &FileName {
        match self {
            Self::Ours(name) | Self::Theirs(name) => name,
        }
    }
}

/// A file that a consumer writes.
#[derive(Debug)]
pub struct InProgress {
    spool: Spool,
    claim: Claim,
    name: InProgressName,
    len: u64,
    poisoned: bool,
}

impl InProgress {
    /// Begins an empty file. After a crash it may be there, empty; recovery drops it.
    pub fn create(
        spool: &Spool,
        tp: &TopicPartition,
        start: Offset,
        token: WriterToken,
    ) -> Result<Self> {
        let name = InProgressName { partition: SpoolPartition::of(tp), start, token };
        let path = spool.path(Stage::InProgress, &name);
        let step = step!("inprogress.create");
        let temp = TempFile::create(spool, Stage::InProgress, &name.to_string(), step)?;
        match temp.place(path.clone(), step!("inprogress.rename"))? {
            Ok(claim) => Ok(Self { spool: spool.clone(), claim, name, len: 0, poisoned: false }),
            Err(_) => Err(io::Error::from(ErrorKind::AlreadyExists)).at("create", &path),
        }
    }

    /// Appends all of `bufs`. After a crash any part of them may be in the file; the format's
    /// checksums tell which blocks are whole.
    ///
    /// After an error the file is removed and takes nothing more: what it held has to be read from
    /// Kafka again. It is never trusted again, and on a full disk its room is wanted.
    pub fn append(&mut self, bufs: &mut [IoSlice<'_>]) -> Result<()> {
        self.check()?;
        match step!("inprogress.write").around(|| write_all(self.claim.file_mut(), bufs)) {
            Ok(written) => {
                self.len = self.len.saturating_add(written);
                Ok(())
            }
            Err(e) => {
                self.poison();
                Err(e).at("write", self.claim.path())
            }
        }
    }

    fn check(&self) -> Result<()> {
        if self.poisoned {
            return Err(SpoolError::Poisoned { path: self.claim.path().to_owned() });
        }
        Ok(())
    }

    fn poison(&mut self) {
        self.poisoned = true;
        // If it can't be removed, an empty file is dropped by recovery.
        if durable::remove(self.claim.path(), step!("poisoned.remove")).is_err() {
            let _ = step!("poisoned.empty").around(|| self.claim.file().set_len(0));
        }
    }

    /// Bytes in the file.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &InProgressName {
        &self.name
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Hands the file on to the compressors as covering `range`, which has to begin at its start.
    /// After a crash within, it is in progress still, or rotated.
    ///
    /// After an error its records don't count as spooled: go back to its start.
    pub fn rotate(self, range: OffsetRange) -> Result<Placed> {
        self.check()?;
        rotate(&self.spool, self.claim, &self.name, range)
    }

    /// Removes the file. After a crash within, it is in progress still, or gone.
    pub fn discard(self) -> Result<()> {
        self.claim.remove(step!("inprogress.discard"))
    }
}

/// Writes all of `bufs` and returns how many bytes that were.
fn write_all(file: &mut File, mut bufs: &mut [IoSlice<'_>]) -> io::Result<u64> {
    let mut written = 0_u64;
    // Empty slices would look like a file that takes nothing more.
    IoSlice::advance_slices(&mut bufs, 0);
    while !bufs.is_empty() {
        match file.write_vectored(bufs) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => {
                written = written.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
                IoSlice::advance_slices(&mut bufs, n);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(written)
}

fn rotate(
    spool: &Spool,
    mut claim: Claim,
    name: &InProgressName,
    range: OffsetRange,
) -> Result<Placed> {
    if range.start() != name.start {
        let path = claim.path().to_owned();
        return Err(SpoolError::WrongStart { path, start: name.start, range });
    }
    let target = FileName { partition: name.partition.clone(), range, suffix: Suffix::Mak };
    match claim.move_to(spool.path(Stage::Rotated, &target), step!("rotated.rename"))? {
        Move::Moved => {
            claim.hand_on();
            Ok(Placed::Ours(target))
        }
        Move::TargetExists => {
            claim.remove(step!("rotated.remove_ours"))?;
            Ok(Placed::Theirs(target))
        }
        Move::SourceGone => Err(SpoolError::TakenAway { path: claim.path().to_owned() }),
    }
}

/// A file in progress whose writer is gone.
#[derive(Debug)]
pub struct Abandoned {
    spool: Spool,
    claim: Claim,
    name: InProgressName,
}

/// What became of an abandoned file.
#[derive(Debug)]
#[must_use]
pub enum Repaired {
    /// It goes on here; its records reach up to `next`.
    Continues {
        /// The file, ready for more.
        file: InProgress,
        /// Where to read on.
        next: Offset,
    },
    /// It was complete and is handed on.
    Rotated(Placed),
    /// It is removed.
    Dropped,
}

impl Abandoned {
    /// Claims a file under `inprogress/`; it is busy while its writer lives.
    pub fn claim(spool: &Spool, name: &InProgressName) -> Result<Taken<Self>> {
        let taken = Claim::take(&spool.path(Stage::InProgress, name), Access::ReadWrite)?;
        Ok(taken.map(|claim| Self { spool: spool.clone(), claim, name: name.clone() }))
    }

    /// The file, to see what it holds.
    #[must_use]
    pub fn file(&self) -> &File {
        self.claim.file()
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &InProgressName {
        &self.name
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Carries out what [`super::recovery::plan`] decided. After a crash within, the file is as it
    /// was or already cut, and the same plan comes out again.
    pub fn repair(mut self, repair: Repair) -> Result<Repaired> {
        match repair {
            Repair::Continue { cut_to, next } => {
                self.cut(cut_to)?;
                let Self { spool, claim, name } = self;
                let file = InProgress { spool, claim, name, len: cut_to, poisoned: false };
                Ok(Repaired::Continues { file, next })
            }
            Repair::Rotate { cut_to, range } => {
                self.cut(cut_to)?;
                rotate(&self.spool, self.claim, &self.name, range).map(Repaired::Rotated)
            }
            Repair::Drop(_) => {
                self.claim.remove(step!("inprogress.drop"))?;
                Ok(Repaired::Dropped)
            }
        }
    }

    fn cut(&mut self, len: u64) -> Result<()> {
        let path = self.claim.path().to_owned();
        let file = self.claim.file_mut();
        if file.metadata().at("look at", &path)?.len() < len {
            return Err(io::Error::from(ErrorKind::UnexpectedEof)).at("cut", &path);
        }
        step!("inprogress.cut").around(|| file.set_len(len)).at("cut", &path)?;
        file.seek(SeekFrom::Start(len)).at("seek in", &path)?;
        Ok(())
    }
}

/// A complete file that waits to be packed.
#[derive(Debug)]
pub struct Rotated {
    spool: Spool,
    claim: Claim,
    name: FileName,
}

/// A packed file that waits to go up.
#[derive(Debug)]
pub struct Compressed {
    spool: Spool,
    claim: Claim,
    name: FileName,
}

impl Rotated {
    /// Claims a file under `rotated/`.
    pub fn claim(spool: &Spool, name: &FileName) -> Result<Taken<Self>> {
        let taken = Claim::take(&spool.path(Stage::Rotated, name), Access::Read)?;
        Ok(taken.map(|claim| Self { spool: spool.clone(), claim, name: name.clone() }))
    }
}

impl Compressed {
    /// Claims a file under `compressed/`; for publishing it, the [`super::PartitionLock`] comes first.
    pub fn claim(spool: &Spool, name: &FileName) -> Result<Taken<Self>> {
        let taken = Claim::take(&spool.path(Stage::Compressed, name), Access::Read)?;
        Ok(taken.map(|claim| Self { spool: spool.clone(), claim, name: name.clone() }))
    }

    /// Removes the file, which is in the archive now. After a crash within, it may be there still,
    /// wholly below the tip.
    pub fn done(self) -> Result<()> {
        self.claim.remove(step!("published.remove"))
    }
}

/// What complete files have in common, packed or not.
macro_rules! complete_file {
    ($stage:ident, $word:literal) => {
        impl $stage {
            /// The file, open for reading.
            #[must_use]
            pub fn file(&self) -> &File {
                self.claim.file()
            }

            /// Its name.
            #[must_use]
            pub const fn name(&self) -> &FileName {
                &self.name
            }

            /// Where it is.
            #[must_use]
            pub fn path(&self) -> &Path {
                self.claim.path()
            }

            /// Begins the packed file, under a temporary name in `compressed/`; a crash leaves it
            /// there until [`Spool::sweep`]. (A packed file is packed anew if the chain goes on
            /// with another suffix.)
            pub fn begin(self, suffix: Suffix) -> Result<Compressing<Self>> {
                let target = self.name.packed_as(suffix);
                let step = step!(concat!($word, ".pack"));
                let name = target.to_string();
                let out = TempFile::create(&self.spool, Stage::Compressed, &name, step)?;
                Ok(Compressing { source: self, out, target })
            }

            /// Removes a file that nobody needs: below the tip, superseded, too old. After a crash
            /// within, it is as it was, or gone.
            pub fn discard(self) -> Result<()> {
                self.claim.remove(step!(concat!($word, ".discard")))
            }

            /// Puts a file that failed its checksum aside, with a text that says `why`, and tells
            /// the consumer to go back to its start; when that happens again and again, the
            /// partition stops. After a crash within, the wish may be there and the file not
            /// moved: whoever claims it next finds the same fault.
            pub fn quarantine(self, why: &str) -> Result<()> {
                tips::request_rewind(
                    &self.spool,
                    &self.name.partition,
                    self.name.range.start(),
                    why,
                )?;
                quarantine::put(&self.spool, self.claim, &self.name, why)?;
                quarantine::stop_if_often(&self.spool, &self.name, why)
            }
        }

        impl $stage {
            /// Puts a whole file aside that has no place in the chain any more, with a text that says
            /// `why`. After a crash within, it is where it was, or aside.
            pub fn set_aside(self, why: &str) -> Result<()> {
                quarantine::put(&self.spool, self.claim, &self.name, why)
            }
        }

        impl Complete for $stage {
            fn spool(&self) -> &Spool {
                &self.spool
            }

            fn into_claim(self) -> Claim {
                self.claim
            }
        }
    };
}

/// A complete file, for [`Compressing`].
trait Complete {
    fn spool(&self) -> &Spool;
    fn into_claim(self) -> Claim;
}

complete_file!(Rotated, "rotated");
complete_file!(Compressed, "compressed");

/// A complete file while it is packed.
#[derive(Debug)]
pub struct Compressing<S = Rotated> {
    source: S,
    out: TempFile,
    target: FileName,
}

#[expect(private_bounds, reason = "only this module's stages are complete files")]
impl<S: Complete> Compressing<S> {
    /// The file that is packed.
    #[must_use]
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Where it is packed to, open for reading and writing.
    pub fn out(&mut self) -> &mut File {
        self.out.file()
    }

    /// The name that the packed file will have.
    #[must_use]
    pub const fn target(&self) -> &FileName {
        &self.target
    }

    /// Hands the packed file on to the uploaders and removes its source. After a crash within,
    /// both may be there: it is then packed once more, and the packed file that exists is kept.
    pub fn publish(self) -> Result<Placed> {
        let Self { source, out, target } = self;
        let to = source.spool().path(Stage::Compressed, &target);
        let placed = out.place(to, step!("packed.rename"))?;
        source.into_claim().remove(step!("packed.remove_source"))?;
        Ok(if let Ok(claim) = placed {
            claim.hand_on();
            Placed::Ours(target)
        } else {
            Placed::Theirs(target)
        })
    }

    /// Gives up packing: the temporary file is removed, the source is as it was.
    #[must_use]
    pub fn abandon(self) -> S {
        self.source
    }
}

#[cfg(test)]
mod tests;
