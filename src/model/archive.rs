//! The store as the model has it: it only ever creates what is absent, it may lie about what it
//! did, and a create that it has lost may land later.

use std::collections::BTreeMap;
use std::fmt;

use super::Variant;
use crate::chain::locate::Answer;
use crate::chain::{Seen, Slot};
use crate::meta::{ChainRecord, FileMeta, GapReason, ObjectMeta, Totals};
use crate::types::Offset;

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// It is answered, truly.
    Answered,
    /// It lands, but the answer is lost.
    AnswerLost,
    /// "Exists already", though nothing stands there and nothing landed.
    FalseConflict,
    /// No answer; it may land at any later time.
    Delayed,
    /// A question is not answered.
    Unanswered,
}

/// What the one who asked for a create is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Created,
    Exists,
    Nothing,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Exists => "exists already",
            Self::Nothing => "no answer",
        })
    }
}

/// Something that may be created.
#[derive(Debug, Clone, Hash)]
pub(super) enum Object {
    Record(ChainRecord),
    At(Slot, ObjectMeta),
}

/// Everything that stands in one chain's folder, and what is on its way there.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct Archive {
    pub(super) record: Option<ChainRecord>,
    pub(super) objects: BTreeMap<Slot, ObjectMeta>,
    /// Creates that nobody waits for any more.
    pub(super) flying: Vec<Object>,
    /// Something that stood here was replaced.
    pub(super) overwritten: bool,
}

impl Archive {
    pub(super) fn is_free(&self, object: &Object) -> bool {
        match object {
            Object::Record(_) => self.record.is_none(),
            Object::At(slot, _) => !self.objects.contains_key(slot),
        }
    }

    /// One create-if-absent.
    pub(super) fn create(&mut self, object: Object, fate: Fate, variant: Variant) -> Told {
        let free = self.is_free(&object);
        match fate {
            Fate::Answered | Fate::Unanswered if free => {
                self.put(object);
                Told::Created
            }
            Fate::Answered | Fate::Unanswered if variant == Variant::StoreOverwrites => {
                self.put(object);
                Told::Created
            }
            Fate::Answered | Fate::Unanswered | Fate::FalseConflict => Told::Exists,
            Fate::AnswerLost => {
                if free {
                    self.put(object);
                }
                Told::Nothing
            }
            Fate::Delayed => {
                self.flying.push(object);
                Told::Nothing
            }
        }
    }

    fn put(&mut self, object: Object) {
        match object {
            Object::Record(record) => self.overwritten |= self.record.replace(record).is_some(),
            Object::At(slot, meta) => {
                self.overwritten |= self.objects.insert(slot, meta).is_some();
            }
        }
        // Where something stands, nothing will ever land.
        let flying = std::mem::take(&mut self.flying);
        self.flying = flying.into_iter().filter(|object| self.is_free(object)).collect();
    }

    /// A create that was given up long ago arrives.
    pub(super) fn land(&mut self, which: usize) {
        let object = self.flying.remove(which);
        if self.is_free(&object) {
            self.put(object);
        }
    }

    pub(super) fn head(&self, slot: Slot) -> Seen {
        self.objects.get(&slot).map_or(Seen::Absent, |meta| Seen::Ours(Box::new(meta.clone())))
    }

    pub(super) fn list(&self) -> Answer {
        Answer::Listed(self.objects.keys().copied().collect())
    }

    /// Files in the order of their starts.
    pub(super) fn files(&self) -> impl Iterator<Item = &FileMeta> {
        self.objects.values().filter_map(|meta| match meta {
            ObjectMeta::File(file) => Some(file),
            ObjectMeta::Seal(_) | ObjectMeta::Close(_) => None,
        })
    }

    /// The first offset that is in no file; the truth, which no process sees at once.
    pub(super) fn tip(&self) -> Offset {
        let last = self.files().map(|file| file.range.next()).max();
        let first = self.record.as_ref().map(|record| record.first);
        last.or(first).unwrap_or(Offset::ZERO)
    }

    /// Whether no record is in two files; `bytes` of a file are the bits of its records.
    pub(super) fn is_disjoint(&self) -> bool {
        let mut seen = 0;
        let mut next = Offset::ZERO;
        self.files().all(|file| {
            let fits = seen & file.bytes == 0 && next <= file.range.start();
            seen |= file.bytes;
            next = file.range.next();
            fits
        })
    }

    /// Whether each file begins where the one before ends, the first one where the identity record
    /// says, and each counts all before it.
    pub(super) fn is_one_line(&self) -> bool {
        let mut next = self.record.as_ref().map(|record| record.first);
        let mut totals = Totals::default();
        self.files().all(|file| {
            let joins = next.is_none_or(|next| next == file.range.start());
            next = Some(file.range.next());
            totals = totals.with(file);
            joins && file.totals == Some(totals)
        })
    }

    /// Whether each of `records` that a file covers is in it, or in its gap; and gaps say what is
    /// true, of a log that begins at `log_start`.
    pub(super) fn is_complete(&self, records: u64, log_start: Offset) -> bool {
        self.files().all(|file| {
            let covered = bits(file.range.start(), file.range.next());
            let gap = file.gap.map_or(0, |gap| bits(gap.from, gap.to));
            let honest = file.gap.is_none_or(|gap| {
                let first = file.range.start() == file.first;
                gap.from == file.range.start()
                    && gap.to <= log_start
                    && (gap.reason == GapReason::Genesis) == first
            });
            honest && records & covered & !file.bytes & !gap == 0
        })
    }
}

/// One bit for each offset of `[from, to)`.
pub(super) fn bits(from: Offset, to: Offset) -> u64 {
    (from.get()..to.get()).map(|offset| 1 << offset).sum()
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.record {
            Some(record) => write!(f, "chain.json (first {}, {})", record.first, record.suffix)?,
            None => f.write_str("no chain.json")?,
        }
        for (slot, meta) in &self.objects {
            write!(f, "; {}{}: ", slot.start, slot.suffix)?;
            match meta {
                ObjectMeta::File(file) => Told::file(f, file)?,
                ObjectMeta::Seal(seal) => write!(f, "seal -> {}", seal.continues)?,
                ObjectMeta::Close(_) => f.write_str("closed")?,
            }
        }
        if !self.flying.is_empty() {
            write!(f, "; on their way: {}", self.flying.len())?;
        }
        Ok(())
    }
}

impl Told {
    fn file(f: &mut fmt::Formatter<'_>, file: &FileMeta) -> fmt::Result {
        let held = (0..64).filter(|offset| file.bytes & (1 << offset) != 0);
        let held: Vec<_> = held.map(|offset| offset.to_string()).collect();
        write!(f, "{} holds {{{}}}", file.range, held.join(" "))?;
        if let Some(gap) = file.gap {
            write!(f, ", gap [{}, {}) {}", gap.from, gap.to, gap.reason)?;
        }
        write!(f, ", by writer {}", file.writer.0)
    }
}
