//! The store as the model has it: it only ever creates what is absent, it may lie about what it
//! did, and a create that it has lost may land later.

use std::collections::BTreeMap;
use std::fmt;

use super::Variant;
use crate::chain::locate::Answer;
use crate::chain::{Seen, Slot};
use crate::meta::{ChainRecord, FileMeta, Gap, GapReason, ObjectMeta, Totals};
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

/// Everything that stands in one chain's folder.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct Chain {
    pub(super) record: Option<ChainRecord>,
    pub(super) objects: BTreeMap<Slot, ObjectMeta>,
    /// Where it ends for good, as an operator was told.
    pub(super) closed_at: Option<Offset>,
}

/// All chains of the topic and partition, and what is on its way there.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct Archive {
    /// That of generation 1 first.
    chains: Vec<Chain>,
    /// Creates that nobody waits for any more, each with its generation.
    pub(super) flying: Vec<(u32, Object)>,
    /// Something that stood here was replaced.
    pub(super) overwritten: bool,
}

fn place(generation: u32) -> usize {
    usize::try_from(generation).unwrap_or(usize::MAX).saturating_sub(1)
}

impl Archive {
    pub(super) fn chain(&self, generation: u32) -> Option<&Chain> {
        self.chains.get(place(generation))
    }

    pub(super) fn chain_mut(&mut self, generation: u32) -> &mut Chain {
        let place = place(generation);
        if self.chains.len() <= place {
            self.chains.resize_with(place + 1, Chain::default);
        }
        &mut self.chains[place]
    }

    pub(super) fn is_free(&self, generation: u32, object: &Object) -> bool {
        self.chain(generation).is_none_or(|chain| chain.is_free(object))
    }

    /// One create-if-absent.
    pub(super) fn create(
        &mut self,
        generation: u32,
        object: Object,
        fate: Fate,
        variant: Variant,
    ) -> Told {
        let free = self.is_free(generation, &object);
        match fate {
            Fate::Answered | Fate::Unanswered if free => {
                self.put(generation, object);
                Told::Created
            }
            Fate::Answered | Fate::Unanswered if variant == Variant::StoreOverwrites => {
                self.put(generation, object);
                Told::Created
            }
            Fate::Answered | Fate::Unanswered | Fate::FalseConflict => Told::Exists,
            Fate::AnswerLost => {
                if free {
                    self.put(generation, object);
                }
                Told::Nothing
            }
            Fate::Delayed => {
                self.flying.push((generation, object));
                Told::Nothing
            }
        }
    }

    fn put(&mut self, generation: u32, object: Object) {
        let chain = self.chain_mut(generation);
        let overwritten = match object {
            Object::Record(record) => chain.record.replace(record).is_some(),
            Object::At(slot, meta) => chain.objects.insert(slot, meta).is_some(),
        };
        self.overwritten |= overwritten;
        // Where something stands, nothing will ever land.
        let mut flying = std::mem::take(&mut self.flying);
        flying.retain(|(generation, object)| self.is_free(*generation, object));
        self.flying = flying;
    }

    /// A create that was given up long ago arrives.
    pub(super) fn land(&mut self, which: usize) {
        let (generation, object) = self.flying.remove(which);
        if self.is_free(generation, &object) {
            self.put(generation, object);
        }
    }

    pub(super) fn head(&self, generation: u32, slot: Slot, variant: Variant) -> Seen {
        let found = self.chain(generation).and_then(|chain| chain.objects.get(&slot));
        found.map_or(Seen::Absent, |meta| Seen::Ours(Box::new(variant.seen(meta.clone()))))
    }

    pub(super) fn list(&self, generation: u32) -> Answer {
        let slots = self.chain(generation).map(|chain| chain.objects.keys().copied().collect());
        Answer::Listed(slots.unwrap_or_default())
    }

    /// Where the last chain goes on; `None` if its next one was not begun yet.
    pub(super) fn tip(&self) -> Option<Offset> {
        self.chains.last().map_or(Some(Offset::ZERO), Chain::open_tip)
    }

    /// Generation of the last chain.
    pub(super) fn last(&self) -> u32 {
        u32::try_from(self.chains.len()).unwrap_or(u32::MAX).max(1)
    }

    /// The first offset that is in no file of the chain; the truth, which no process sees at once.
    pub(super) fn tip_of(&self, generation: u32) -> Offset {
        self.chain(generation).map_or(Offset::ZERO, Chain::tip)
    }

    pub(super) fn all(&self, holds: impl Fn(&Chain) -> bool) -> bool {
        self.chains.iter().all(holds)
    }
}

impl Chain {
    fn is_free(&self, object: &Object) -> bool {
        match object {
            Object::Record(_) => self.record.is_none(),
            Object::At(slot, _) => !self.objects.contains_key(slot),
        }
    }

    /// Files in the order of their starts.
    pub(super) fn files(&self) -> impl Iterator<Item = &FileMeta> {
        self.objects.values().filter_map(|meta| match meta {
            ObjectMeta::File(file) => Some(file),
            ObjectMeta::Seal(_) | ObjectMeta::Close(_) => None,
        })
    }

    fn open_tip(&self) -> Option<Offset> {
        let closed = self.objects.values().any(|meta| matches!(meta, ObjectMeta::Close(_)));
        (!closed).then(|| self.tip())
    }

    fn tip(&self) -> Offset {
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
            let honest = file.gap.is_none_or(|gap| is_honest(file, gap, log_start));
            honest && records & covered & !file.bytes & !gap == 0
        })
    }

    /// Whether nothing came behind its end.
    pub(super) fn is_closed_for_good(&self) -> bool {
        self.closed_at.is_none_or(|at| self.files().all(|file| file.range.next() <= at))
    }
}

/// Whether a gap says what is true, of a log that begins at `log_start`.
fn is_honest(file: &FileMeta, gap: Gap, log_start: Offset) -> bool {
    let first = file.range.start() == file.first;
    let reason = match gap.reason {
        GapReason::Genesis => first && gap.to <= log_start,
        GapReason::Retention => !first && gap.to <= log_start,
        GapReason::Skipped => gap.to == file.range.next(),
    };
    reason && gap.from == file.range.start()
}

/// One bit for each offset of `[from, to)`.
pub(super) fn bits(from: Offset, to: Offset) -> u64 {
    (from.get()..to.get()).map(|offset| 1 << offset).sum()
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, chain) in self.chains.iter().enumerate() {
            let before = if number == 0 { "" } else { " | next chain: " };
            write!(f, "{before}{chain}")?;
        }
        if !self.flying.is_empty() {
            write!(f, "; on their way: {}", self.flying.len())?;
        }
        Ok(())
    }
}

impl fmt::Display for Chain {
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
                ObjectMeta::Close(close) => {
                    write!(f, "closed, goes on at {}{}", close.next.first, close.next.suffix)?;
                }
            }
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
