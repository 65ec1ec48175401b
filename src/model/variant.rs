//! Protocols that look as good and are not. Each changes one thing that the shell does with the
//! machines' decisions; the checker has to find out every one of them.

use super::archive::Told;
use super::{CLOSED, COMMIT_DURABLE, DISJOINT, NO_OVERWRITE, ONE_LINE, REACHES_END};
use crate::chain::{Position, Slot};
use crate::meta::{CloseMeta, FileMeta, ObjectMeta, SealMeta};
use crate::types::Offset;

/// Which protocol is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Variant {
    /// The real one.
    None,
    /// A file is named by its first record, not by the position that it begins at.
    FirstRecordNames,
    /// "Exists already" counts as success.
    TrustedConflict,
    /// There is no `chain.json`: each begins where it finds the log.
    UnpinnedGenesis,
    /// Another format just takes another suffix.
    SuffixWithoutSeal,
    /// A position that was reached through a seal may be sealed again.
    ResealWithoutFile,
    /// What was closed is committed, not what is durable.
    CommitPastBoundary,
    /// A store that knows no conditional create.
    StoreOverwrites,
    /// A chain is closed by the next one's identity record alone.
    ClosingWithoutSeal,
    /// A closing seal is taken for a seal: who meets it goes on behind it in the same chain.
    UnseenClosingSeal,
}

impl Variant {
    /// The bad ones, and the property that each breaks.
    pub(super) const BAD: [(Self, &str); 7] = [
        (Self::FirstRecordNames, DISJOINT),
        (Self::TrustedConflict, ONE_LINE),
        (Self::UnpinnedGenesis, DISJOINT),
        (Self::SuffixWithoutSeal, DISJOINT),
        (Self::ResealWithoutFile, REACHES_END),
        (Self::CommitPastBoundary, COMMIT_DURABLE),
        (Self::StoreOverwrites, NO_OVERWRITE),
    ];

    /// Those of the chain's end.
    pub(super) const BAD_ENDS: [(Self, &str); 2] =
        [(Self::ClosingWithoutSeal, CLOSED), (Self::UnseenClosingSeal, CLOSED)];

    /// Under which name a file goes up that the machine wants at `slot`.
    pub(super) fn name(self, slot: Slot, file: &FileMeta) -> Slot {
        let first = Offset::new(u64::from(file.bytes.trailing_zeros()));
        match (self, first) {
            (Self::FirstRecordNames, Ok(start)) if file.bytes != 0 => Slot { start, ..slot },
            _ => slot,
        }
    }

    /// Whether a create that was answered so counts as done.
    pub(super) fn believes(self, told: Told) -> bool {
        told == Told::Created || (told == Told::Exists && self == Self::TrustedConflict)
    }

    /// What somebody makes of an object.
    pub(super) fn seen(self, meta: ObjectMeta) -> ObjectMeta {
        match meta {
            ObjectMeta::Close(close) if self == Self::UnseenClosingSeal => {
                let CloseMeta { identity, first, suffix, at, next, writer, totals, .. } = close;
                let continues = next.suffix;
                let seal = SealMeta { identity, first, suffix, at, continues, writer, totals };
                ObjectMeta::Seal(seal)
            }
            other => other,
        }
    }

    /// The position that is taken for true.
    pub(super) fn found(self, position: Position) -> Position {
        let sealed = position.sealed && self != Self::ResealWithoutFile;
        Position { sealed, ..position }
    }
}
