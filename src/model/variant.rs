//! Protocols that look as good and are not. Each changes one thing that the shell does with the
//! machines' decisions; the checker has to find out every one of them.

use super::archive::Told;
use super::{COMMIT_DURABLE, DISJOINT, NO_OVERWRITE, ONE_LINE, REACHES_END};
use crate::chain::{Position, Slot};
use crate::meta::FileMeta;
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

    /// The position that is taken for true.
    pub(super) fn found(self, position: Position) -> Position {
        let sealed = position.sealed && self != Self::ResealWithoutFile;
        Position { sealed, ..position }
    }
}
