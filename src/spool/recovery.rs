//! What to do with what a crash, another instance or an old snapshot left behind. Pure.
//!
//! Everything is measured against the chain's tip, which is the truth; local files only save
//! reading from Kafka again. Each function is total: whatever is observed, there is an answer, and
//! carrying it out twice does no harm. All files handed in belong to one partition.
//!
//! A consumer that takes a partition over sees how far the complete files reach from the tip
//! ([`join`]), drops those that don't join, and repairs what was in progress ([`plan`]) from there.

use std::collections::BTreeMap;
use std::fmt;

use super::layout::{FileName, InProgressName};
use crate::types::{Offset, OffsetRange, WriterToken};

/// A file in progress whose writer is gone, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its name.
    pub name: InProgressName,
    /// What is in it; none if it has no whole header of this partition.
    pub stream: Option<Stream>,
}

/// The part of a file that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The start that its header names.
    pub start: Offset,
    /// The writer that its header names.
    pub token: WriterToken,
    /// End of the last whole block, in bytes.
    pub valid_len: u64,
    /// First offset that the whole blocks don't cover.
    pub next: Offset,
    /// Whether the writer had finished it.
    pub finished: bool,
}

/// What to do with a file in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Cut it and go on writing it.
    Continue {
        /// How long it shall be.
        cut_to: u64,
        /// The offset to go on with.
        next: Offset,
    },
    /// It was finished, but not handed on yet.
    Rotate {
        /// How long it shall be.
        cut_to: u64,
        /// What it covers.
        range: OffsetRange,
    },
    /// Remove it: Kafka has the data.
    Drop(Reason),
}

/// Why a file is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It has no whole header, or one that is not what its name says.
    Unreadable,
    /// It holds no whole block.
    Empty,
    /// It does not begin where the partition goes on.
    DoesNotJoin,
    /// Another file from the same start holds more.
    Shorter,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "its header does not read, or is not what its name says",
            Self::Empty => "it holds no whole block",
            Self::DoesNotJoin => "it does not begin where the partition goes on",
            Self::Shorter => "another file from the same start holds more",
        })
    }
}

/// What to do with each file in progress of a partition that goes on at `expected`.
///
/// One file per offset can be of use: a finished one is rotated, and the next is looked for at its
/// end; an unfinished one is continued, and nothing comes behind it. The answers are in the order
/// of `files`.
#[must_use]
pub fn plan(expected: Offset, files: &[Observed]) -> Vec<Repair> {
    let mut plan: Vec<_> = files.iter().map(first_glance).collect();
    let mut at = Some(expected);
    while let Some(start) = at {
        let best = files.iter().enumerate().filter_map(|(i, file)| {
            let stream = file.stream.filter(|s| s.start == start)?;
            (plan.get(i) == Some(&Repair::Drop(Reason::DoesNotJoin))).then_some((i, stream))
        });
        let best = best.max_by_key(|(_, stream)| (stream.next, stream.finished));
        at = best.and_then(|(chosen, stream)| {
            for (i, file) in files.iter().enumerate() {
                if let (Some(repair), Some(other)) = (plan.get_mut(i), file.stream)
                    && other.start == start
                    && *repair == Repair::Drop(Reason::DoesNotJoin)
                {
                    *repair =
                        if i == chosen { use_of(&stream) } else { Repair::Drop(Reason::Shorter) };
                }
            }
            stream.finished.then_some(stream.next)
        });
    }
    plan
}

/// What a file is worth by itself: `DoesNotJoin` until a place is found for it.
fn first_glance(file: &Observed) -> Repair {
    Repair::Drop(match file.stream {
        Some(s) if s.start != file.name.start || s.token != file.name.token => Reason::Unreadable,
        Some(s) if s.next <= s.start => Reason::Empty,
        Some(_) => Reason::DoesNotJoin,
        None => Reason::Unreadable,
    })
}

fn use_of(stream: &Stream) -> Repair {
    let cut_to = stream.valid_len;
    match OffsetRange::new(stream.start, stream.next) {
        Ok(range) if stream.finished => Repair::Rotate { cut_to, range },
        Ok(_) => Repair::Continue { cut_to, next: stream.next },
        Err(_) => Repair::Drop(Reason::Empty),
    }
}

/// How far complete files reach from the tip without a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined<'a> {
    /// Where to go on: end of the last file that joins, or the tip.
    pub reached: Offset,
    /// The files on the way, in order; one that is there packed and unpacked, twice.
    pub joining: Vec<&'a FileName>,
    /// Those that lie below the tip, across it, behind a hole, or beside the way.
    pub strays: Vec<&'a FileName>,
}

/// Joins the rotated and compressed `files` of a partition from `tip` on. Where several ways lead
/// on, the one that reaches farthest is taken.
#[must_use]
pub fn join<'a>(tip: Offset, files: impl IntoIterator<Item = &'a FileName>) -> Joined<'a> {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort();
    // For each offset that can be reached, the range by which it is.
    let mut reached_by: BTreeMap<Offset, Option<OffsetRange>> = BTreeMap::from([(tip, None)]);
    for file in &files {
        if reached_by.contains_key(&file.range.start()) {
            reached_by.entry(file.range.next()).or_insert(Some(file.range));
        }
    }
    let reached = reached_by.keys().next_back().copied().unwrap_or(tip);
    let way = way_back(&reached_by, reached);
    let joins = |file: &&FileName| way.get(&file.range.start()) == Some(&file.range);
    let (joining, strays) = files.into_iter().partition(joins);
    Joined { reached, joining, strays }
}

/// The ranges from the tip to `reached`, by their start.
fn way_back(
    reached_by: &BTreeMap<Offset, Option<OffsetRange>>,
    reached: Offset,
) -> BTreeMap<Offset, OffsetRange> {
    let step = |at: Offset| reached_by.get(&at).copied().flatten();
    let ranges = std::iter::successors(step(reached), |range| step(range.start()));
    ranges.map(|range| (range.start(), range)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::testing::{offset, partition, range};
    use crate::types::Suffix;
    use proptest::prelude::*;

    fn file(start: u64, next: u64) -> FileName {
        FileName { partition: partition("t", 0), range: range(start, next), suffix: Suffix::Mak }
    }

    fn observed(start: u64, next: u64, finished: bool) -> Observed {
        let (start, token) = (offset(start), WriterToken(next));
        let name = InProgressName { partition: partition("t", 0), start, token };
        let next = offset(next);
        Observed { name, stream: Some(Stream { start, token, valid_len: 99, next, finished }) }
    }

    fn reached(tip: u64, files: &[FileName]) -> (u64, String, String) {
        let joined = join(offset(tip), files);
        let text = |files: Vec<&FileName>| {
            files.iter().map(|file| file.range.to_string()).collect::<Vec<_>>().join(" ")
        };
        (joined.reached.get(), text(joined.joining), text(joined.strays))
    }

    #[test]
    fn files_join_up_to_the_first_hole() {
        let files = [file(20, 30), file(0, 10), file(10, 20), file(40, 50)];
        assert_eq!(
            reached(10, &files),
            (30, "[10, 20) [20, 30)".into(), "[0, 10) [40, 50)".into())
        );
        assert_eq!(reached(15, &files).0, 15);
        assert_eq!(reached(50, &files).0, 50);
        assert_eq!(reached(7, &[]), (7, String::new(), String::new()));
    }

    #[test]
    fn of_two_ways_the_farther_one_is_taken() {
        let files = [file(0, 10), file(0, 12), file(10, 20), file(12, 15), file(20, 21)];
        let strays = "[0, 12) [12, 15)".to_owned();
        assert_eq!(reached(0, &files), (21, "[0, 10) [10, 20) [20, 21)".into(), strays));
    }

    #[test]
    fn a_file_that_is_there_packed_and_unpacked_joins_twice() {
        let packed = file(0, 10).packed_as(Suffix::MakGz);
        assert_eq!(
            reached(0, &[file(0, 10), packed]),
            (10, "[0, 10) [0, 10)".into(), String::new())
        );
    }

    #[test]
    fn an_unfinished_file_goes_on_and_finished_ones_are_rotated() {
        let files = [observed(20, 25, false), observed(10, 20, true), observed(30, 40, false)];
        assert_eq!(
            plan(offset(10), &files),
            [
                Repair::Continue { cut_to: 99, next: offset(25) },
                Repair::Rotate { cut_to: 99, range: range(10, 20) },
                Repair::Drop(Reason::DoesNotJoin),
            ]
        );
        assert!(plan(offset(11), &files).iter().all(|r| matches!(r, Repair::Drop(_))));
    }

    #[test]
    fn of_two_from_one_start_the_longer_goes_on() {
        let files = [observed(10, 20, true), observed(10, 30, false), observed(20, 40, false)];
        assert_eq!(
            plan(offset(10), &files),
            [
                Repair::Drop(Reason::Shorter),
                Repair::Continue { cut_to: 99, next: offset(30) },
                Repair::Drop(Reason::DoesNotJoin),
            ]
        );
    }

    #[test]
    fn what_is_not_what_its_name_says_is_dropped() {
        let mut other_start = observed(10, 20, false);
        other_start.name.start = offset(5);
        let mut other_token = observed(10, 20, false);
        other_token.name.token = WriterToken(0);
        let mut no_header = observed(10, 20, false);
        no_header.stream = None;
        let unreadable = Repair::Drop(Reason::Unreadable);
        let files = [other_start, other_token, no_header, observed(10, 10, true)];
        let expected = [unreadable, unreadable, unreadable, Repair::Drop(Reason::Empty)];
        assert_eq!(plan(offset(10), &files), expected);
    }

    fn any_observed() -> impl Strategy<Value = Observed> {
        (0..9u64, 0..9u64, any::<bool>(), 0..9u32).prop_map(|(start, next, finished, broken)| {
            let mut observed = observed(start, next, finished);
            if broken == 0 {
                observed.stream = None;
            }
            observed
        })
    }

    proptest! {
        #[test]
        fn a_plan_is_one_line_from_the_expected_offset(
            files in prop::collection::vec(any_observed(), 0..9), expected in 0..9u64
        ) {
            let plan = plan(offset(expected), &files);
            prop_assert_eq!(plan.len(), files.len());
            let rotated = plan.iter().zip(&files).filter_map(|(repair, file)| match repair {
                Repair::Rotate { range, .. } => Some(FileName {
                    partition: file.name.partition.clone(), range: *range, suffix: Suffix::Mak,
                }),
                _ => None,
            });
            let rotated: Vec<_> = rotated.collect();
            let joined = join(offset(expected), &rotated);
            prop_assert!(joined.strays.is_empty());

            let going_on: Vec<_> = plan.iter().zip(&files)
                .filter(|(repair, _)| matches!(repair, Repair::Continue { .. }))
                .map(|(_, file)| file.clone())
                .collect();
            prop_assert!(going_on.len() <= 1);
            // Carried out, and planned again: the same file goes on, nothing else is done.
            let again = super::plan(joined.reached, &going_on);
            let same = again.iter().all(|repair| matches!(repair, Repair::Continue { .. }));
            prop_assert!(same);
        }

        #[test]
        fn joining_drops_nothing_that_could_reach_farther(
            ends in prop::collection::vec((0..12u64, 1..6u64), 0..12), tip in 0..12u64
        ) {
            let files: Vec<_> = ends.iter().map(|(start, len)| file(*start, start + len)).collect();
            let joined = join(offset(tip), &files);
            prop_assert_eq!(joined.joining.len() + joined.strays.len(), files.len());
            let mut at = vec![tip];
            let mut farthest = tip;
            while let Some(here) = at.pop() {
                farthest = farthest.max(here);
                at.extend(ends.iter().filter(|(start, _)| *start == here).map(|(s, len)| s + len));
            }
            prop_assert_eq!(joined.reached.get(), farthest);
            let kept: Vec<_> = joined.joining.into_iter().cloned().collect();
            let again = join(offset(tip), &kept);
            prop_assert_eq!((again.reached.get(), again.strays.len()), (farthest, 0));
        }
    }
}
