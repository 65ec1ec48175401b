//! One instance's spool as the model has it. What is kept and what is dropped after a crash is
//! decided by [`recovery`] itself.
//!
//! The stages between rotation and upload are one: packing never changes what a file covers.

use crate::chain::Position;
use crate::meta::{FileMeta, Gap};
use crate::spool::SpoolPartition;
use crate::spool::layout::{FileName, InProgressName};
use crate::spool::recovery::{self, Observed, Repair, Stream};
use crate::types::{Offset, TopicPartition, WriterToken};

/// A file that is being written.
#[derive(Debug, Clone, Hash)]
pub(super) struct InProgress {
    /// For which of the topic's chains.
    pub(super) generation: u32,
    pub(super) start: Offset,
    /// Where the chain begins, as its header says.
    pub(super) first: Offset,
    pub(super) gap: Option<Gap>,
    /// Its records: one bit for each offset.
    pub(super) records: u64,
    /// First offset that it does not cover.
    pub(super) next: Offset,
}

/// The directory.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct Spool {
    /// Files in progress that nobody writes.
    pub(super) parked: Vec<InProgress>,
    /// Complete files, in order of their names.
    pub(super) complete: Vec<FileMeta>,
    pub(super) tip: Option<Position>,
    /// Wishes to go back, ascending.
    pub(super) rewinds: Vec<Offset>,
}

/// What a takeover found.
pub(super) struct Takeover {
    pub(super) next: Offset,
    pub(super) ends: Vec<Offset>,
    pub(super) going_on: Option<InProgress>,
}

impl Spool {
    pub(super) fn add(&mut self, file: FileMeta) {
        let key = |file: &FileMeta| (file.range.start(), file.range.next(), file.suffix);
        // A rename onto the same name: what stood there says the same.
        self.complete.retain(|other| key(other) != key(&file));
        self.complete.push(file);
        self.complete.sort_by_key(key);
    }

    pub(super) fn remove(&mut self, file: &FileMeta) {
        self.complete.retain(|other| other.range != file.range || other.suffix != file.suffix);
    }

    pub(super) fn wish(&mut self, to: Offset) {
        if !self.rewinds.contains(&to) {
            self.rewinds.push(to);
            self.rewinds.sort_unstable();
        }
    }

    /// Whether complete files belong to another of the topic's chains.
    pub(super) fn holds_files_of_another(&self, generation: u32) -> bool {
        self.complete.iter().any(|file| file.generation != generation)
    }

    /// How far the complete files reach from `tip`.
    pub(super) fn reached(&self, of: &TopicPartition, tip: Offset) -> Offset {
        let names = names(of, &self.complete);
        recovery::join(tip, &names).reached
    }

    /// What `crate::spool::takeover` does with the plans of [`recovery`].
    pub(super) fn take_over(
        &mut self,
        of: &TopicPartition,
        generation: u32,
        tip: Offset,
    ) -> Takeover {
        let names = names(of, &self.complete);
        let joined = recovery::join(tip, &names);
        let mut ends: Vec<_> = joined.joining.iter().map(|name| name.range.next()).collect();
        let mut next = joined.reached;
        let keeps = |file: &FileMeta| joined.joining.contains(&&name(of, file));
        self.complete.retain(keeps);
        let parked = std::mem::take(&mut self.parked);
        let observed: Vec<_> = parked.iter().map(|file| observe(of, generation, file)).collect();
        let mut going_on = None;
        for (file, repair) in parked.into_iter().zip(recovery::plan(next, &observed)) {
            if let Repair::Continue { next: end, .. } = repair {
                next = next.max(end);
                going_on = Some(file);
            }
        }
        ends.sort_unstable();
        ends.dedup();
        self.rewinds.retain(|to| next > *to && *to >= tip);
        Takeover { next, ends, going_on }
    }
}

fn name(of: &TopicPartition, file: &FileMeta) -> FileName {
    FileName { partition: SpoolPartition::of(of), range: file.range, suffix: file.suffix }
}

fn names(of: &TopicPartition, files: &[FileMeta]) -> Vec<FileName> {
    files.iter().map(|file| name(of, file)).collect()
}

fn observe(of: &TopicPartition, generation: u32, file: &InProgress) -> Observed {
    let (start, token) = (file.start, WriterToken(0));
    let stream = Stream { start, token, valid_len: 0, next: file.next, finished: false };
    Observed {
        name: InProgressName { partition: SpoolPartition::of(of), start, token },
        stream: (file.generation == generation).then_some(stream),
    }
}

/// As a file is spoken of.
pub(super) fn told(file: &FileMeta) -> String {
    let gap = file.gap.map_or_else(String::new, |gap| format!(" with gap to {}", gap.to));
    format!("{}{}{gap}", file.range, file.suffix)
}
