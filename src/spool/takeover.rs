//! A consumer takes a partition over: what lies in the spool is measured against the tip, and the
//! plans of [`super::recovery`] are carried out.
//!
//! It is what happens after a start, after a rebalance, when the tip is none of the consumer's
//! boundaries, and when a wish to go back is obeyed. It may be cut short anywhere and done again.

use std::fs::File;

use super::claim::{PartitionLock, Taken};
use super::error::Result;
use super::layout::{FileName, SpoolPartition};
use super::recovery::{self, Observed, Stream};
use super::stage::{Abandoned, Compressed, InProgress, Repaired, Rotated};
use super::survey::Found;
use super::{Spool, tips};
use crate::types::Offset;

/// What was found, and where the partition goes on.
#[derive(Debug)]
pub struct Takeover {
    /// The first offset that is neither archived nor in the spool: where to read on.
    pub next: Offset,
    /// Ends of the complete files on the way there, ascending: the boundaries of what will be
    /// published.
    pub ends: Vec<Offset>,
    /// The file to go on writing, if there is one.
    pub going_on: Option<InProgress>,
    /// How many files of no use were removed.
    pub dropped: usize,
    /// How many such files others still work on. They can't be published, and go when the tip
    /// passes them.
    pub busy: usize,
}

/// Takes a partition over whose chain ends at `tip`.
///
/// The lock keeps the uploaders of this spool from moving the tip meanwhile, so the tip has to be
/// learned while it is held; `found` is from a survey that was made while it was held, too. `inspect`
/// says what is whole in a file in progress; none for one that can't be read or does not belong to
/// the partition. A file that the caller writes itself has to be let go of first, or it counts as
/// somebody else's.
///
/// After a crash within, what was removed is gone, and the rest is as it was.
pub fn take_over(
    spool: &Spool,
    lock: &PartitionLock,
    tip: Offset,
    found: &Found,
    inspect: impl FnMut(&File) -> Option<Stream>,
) -> Result<Takeover> {
    let mut takeover = join_complete(spool, found, tip)?;
    repair_in_progress(spool, lock.partition(), found, &mut takeover, inspect)?;
    takeover.ends.sort_unstable();
    forget_rewinds(spool, found, tip, takeover.next)?;
    Ok(takeover)
}

fn join_complete(spool: &Spool, found: &Found, tip: Offset) -> Result<Takeover> {
    let files = [&*found.rotated, &*found.compressed].concat();
    let joined = recovery::join(tip, &files);
    let Dropped { dropped, busy } = drop_files(spool, &joined.strays)?;
    let mut ends: Vec<_> = joined.joining.iter().map(|name| name.range.next()).collect();
    ends.dedup();
    Ok(Takeover { next: joined.reached, ends, going_on: None, dropped, busy })
}

#[derive(Default)]
struct Dropped {
    dropped: usize,
    busy: usize,
}

impl Dropped {
    fn count<T>(
        &mut self,
        name: &FileName,
        taken: Taken<T>,
        discard: impl FnOnce(T) -> Result<()>,
    ) -> Result<()> {
        match taken {
            Taken::Ours(file) => {
                discard(file)?;
                self.dropped += 1;
                log::info!(
                    event = "dropped", file:% = name;
                    "{}: {name} was dropped: the chain has no use for it", name.partition
                );
            }
            Taken::Busy => self.busy += 1,
            Taken::Gone => {}
        }
        Ok(())
    }
}

/// Removes the files, in whichever stage they are. One that is packed just now gets another name;
/// it goes when the tip passes it.
fn drop_files(spool: &Spool, files: &[&FileName]) -> Result<Dropped> {
    let mut dropped = Dropped::default();
    for name in files {
        dropped.count(name, Rotated::claim(spool, name)?, Rotated::discard)?;
        dropped.count(name, Compressed::claim(spool, name)?, Compressed::discard)?;
    }
    Ok(dropped)
}

fn repair_in_progress(
    spool: &Spool,
    partition: &SpoolPartition,
    found: &Found,
    takeover: &mut Takeover,
    mut inspect: impl FnMut(&File) -> Option<Stream>,
) -> Result<()> {
    let mut left = Vec::new();
    for name in &found.in_progress {
        match Abandoned::claim(spool, name)? {
            Taken::Ours(file) => left.push(file),
            Taken::Busy => takeover.busy += 1,
            Taken::Gone => {}
        }
    }
    let observe =
        |file: &Abandoned| Observed { name: file.name().clone(), stream: inspect(file.file()) };
    let observed: Vec<_> = left.iter().map(observe).collect();
    let plan = recovery::plan(takeover.next, &observed);
    for (file, repair) in left.into_iter().zip(plan) {
        let path = file.path().to_owned();
        match file.repair(repair)? {
            Repaired::Continues { file, next } => {
                takeover.next = takeover.next.max(next);
                takeover.going_on = Some(file);
            }
            Repaired::Rotated(placed) => {
                let end = placed.name().range.next();
                takeover.ends.push(end);
                takeover.next = takeover.next.max(end);
            }
            Repaired::Dropped => {
                takeover.dropped += 1;
                if let recovery::Repair::Drop(reason) = repair {
                    log::info!(
                        event = "dropped", file:% = path.display();
                        "{partition}: \"{}\" was dropped: {reason}", path.display()
                    );
                }
            }
        }
    }
    Ok(())
}

/// Removes the wishes that reading on at `next` obeys, or that the tip has passed. One that lies
/// between stays: its file is just being put aside, and the hole is there next time.
fn forget_rewinds(spool: &Spool, found: &Found, tip: Offset, next: Offset) -> Result<()> {
    for rewind in &found.rewinds {
        if next <= rewind.to || rewind.to < tip {
            tips::remove_rewind(spool, rewind)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Stage;
    use crate::spool::testing::{names_in, offset, partition, range, spool, tp};
    use crate::types::WriterToken;
    use std::io::{IoSlice, Read};

    fn take_over(
        spool: &Spool,
        lock: &PartitionLock,
        tip: Offset,
        inspect: impl FnMut(&File) -> Option<Stream>,
    ) -> Result<Takeover> {
        let found = spool.survey()?.of(lock.partition());
        super::take_over(spool, lock, tip, &found, inspect)
    }

    /// A file whose contents are `next`, and `!` if it is finished.
    fn write(spool: &Spool, start: u64, contents: &str) -> InProgress {
        let token = WriterToken(start);
        let mut file = InProgress::create(spool, &tp("t", 0), offset(start), token).unwrap();
        file.append(&mut [IoSlice::new(contents.as_bytes())]).unwrap();
        file
    }

    fn inspect(name: u64) -> impl Fn(&File) -> Option<Stream> {
        move |mut file| {
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            let valid_len = u64::try_from(text.len()).ok()?;
            let next = offset(text.trim_end_matches('!').parse().ok()?);
            let (start, token, finished) = (offset(name), WriterToken(name), text.ends_with('!'));
            Some(Stream { start, token, valid_len, next, finished })
        }
    }

    fn complete(spool: &Spool, start: u64, next: u64) {
        let _ = write(spool, start, "x").rotate(range(start, next)).unwrap();
    }

    fn lock(spool: &Spool) -> PartitionLock {
        PartitionLock::take(spool, &partition("t", 0)).unwrap().ours().unwrap()
    }

    #[test]
    fn an_empty_spool_goes_on_at_the_tip() {
        let (_dir, spool) = spool();
        let found = take_over(&spool, &lock(&spool), offset(7), |_| None).unwrap();
        assert_eq!((found.next, found.dropped, found.busy), (offset(7), 0, 0));
        assert!(found.going_on.is_none());
    }

    #[test]
    fn what_joins_is_kept_and_the_rest_goes() {
        let (_dir, spool) = spool();
        for (start, next) in [(0, 10), (10, 20), (20, 30), (40, 50)] {
            complete(&spool, start, next);
        }
        let other = InProgress::create(&spool, &tp("t", 1), offset(0), WriterToken(9)).unwrap();
        drop(write(&spool, 30, "35"));
        drop(write(&spool, 50, "60"));
        for to in [0, 15, 35] {
            tips::request_rewind(&spool, &partition("t", 0), offset(to), "").unwrap();
        }
        let found = take_over(&spool, &lock(&spool), offset(10), inspect(30)).unwrap();
        assert_eq!((found.next, found.dropped, found.busy), (offset(35), 3, 0));
        let going_on = found.going_on.unwrap();
        assert_eq!((going_on.name().start, going_on.len()), (offset(30), 2));
        assert_eq!(names_in(&spool, Stage::Rotated), ["t-0_10-19.mak", "t-0_20-29.mak"]);
        assert_eq!(names_in(&spool, Stage::InProgress).len(), 2);
        assert_eq!(tips::rewinds(&spool).unwrap().first().map(|r| r.to), Some(offset(15)));
        assert_eq!(tips::rewinds(&spool).unwrap().len(), 1);
        drop(other);
    }

    #[test]
    fn a_finished_file_is_handed_on_and_doing_it_again_changes_nothing() {
        let (_dir, spool) = spool();
        drop(write(&spool, 5, "9!"));
        for _ in 0..2 {
            let found = take_over(&spool, &lock(&spool), offset(5), inspect(5)).unwrap();
            assert_eq!((found.next, found.dropped), (offset(9), 0));
            assert_eq!(names_in(&spool, Stage::Rotated), ["t-0_5-8.mak"]);
        }
    }

    #[test]
    fn what_others_work_on_is_left_to_them() {
        let (_dir, spool) = spool();
        complete(&spool, 0, 10);
        let name = spool.rotated().unwrap().remove(0).name;
        let packing = Rotated::claim(&spool, &name).unwrap().ours().unwrap();
        let writing = write(&spool, 10, "15");
        let found = take_over(&spool, &lock(&spool), offset(10), inspect(10)).unwrap();
        assert_eq!((found.next, found.dropped, found.busy), (offset(10), 0, 2));
        drop((packing, writing));
        let found = take_over(&spool, &lock(&spool), offset(10), inspect(10)).unwrap();
        // What was being written is gone on with.
        assert_eq!((found.next, found.dropped, found.busy), (offset(15), 1, 0));
        assert!(names_in(&spool, Stage::Rotated).is_empty());
    }
}
