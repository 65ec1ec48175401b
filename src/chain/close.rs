//! Closes a chain while others may be writing it.
//!
//! Pure. The closing seal is created, if absent, where the next file would stand: whoever comes
//! first wins. If that was a writer, the chain has a new tip, and the operator's command looks
//! again before it goes on; if it was us, every writer runs into the seal and follows it.

use super::locate::own_object;
use super::{Position, Seen, Slot, Stop};
use crate::meta::{CloseMeta, Identity, ObjectMeta, Succession};
use crate::types::WriterToken;

/// What to do next.
#[derive(Debug, Clone)]
pub enum CloseStep {
    /// Create this at [`Closer::slot`]; feed [`Closer::created`].
    Put(Box<CloseMeta>),
    /// Ask for the object; feed [`Closer::seen`].
    Head(Slot),
    /// Final: nothing stands there after a create that failed. Wait, then begin again.
    Retry,
    /// Final: the chain is closed, by this seal: ours, or somebody else's who was faster.
    Closed(Box<CloseMeta>),
    /// Final: a writer was faster, the chain has another tip.
    Moved,
    /// Final: it can't be closed here, for something foreign has the name.
    Stop(Stop),
}

/// One attempt to close one chain.
#[derive(Debug)]
pub struct Closer {
    identity: Identity,
    position: Position,
    next: Succession,
    writer: WriterToken,
}

impl Closer {
    /// For the chain of `identity` that ends at `position`; the one behind it begins as `next` says.
    #[must_use]
    pub const fn new(
        identity: Identity,
        position: Position,
        next: Succession,
        writer: WriterToken,
    ) -> Self {
        Self { identity, position, next, writer }
    }

    /// Where the chain ends, as far as is known.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// Where the seal is to stand.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.position.slot()
    }

    /// What to do first.
    #[must_use]
    pub fn start(&self) -> CloseStep {
        CloseStep::Put(Box::new(self.seal()))
    }

    fn seal(&self) -> CloseMeta {
        CloseMeta {
            identity: self.identity.clone(),
            generation: self.position.generation,
            first: self.position.first,
            suffix: self.position.suffix,
            at: self.position.tip,
            next: self.next.clone(),
            writer: self.writer,
            totals: self.position.totals,
        }
    }

    /// The create has succeeded for certain (`true`), or its outcome is unknown (`false`).
    #[must_use]
    pub fn created(&self, certain: bool) -> CloseStep {
        if certain {
            CloseStep::Closed(Box::new(self.seal()))
        } else {
            CloseStep::Head(self.slot())
        }
    }

    /// What stands where the create was tried.
    pub fn seen(&mut self, seen: Seen) -> CloseStep {
        let slot = self.slot();
        let meta = match seen {
            Seen::Absent => return CloseStep::Retry,
            Seen::Foreign(what) => {
                return CloseStep::Stop(Stop::ForeignObject { slot: Some(slot), what });
            }
            Seen::Ours(meta) => match own_object(&self.identity, slot, meta) {
                Ok(meta) => *meta,
                Err(stop) => return CloseStep::Stop(stop),
            },
        };
        match meta {
            ObjectMeta::Close(close) => CloseStep::Closed(Box::new(close)),
            ObjectMeta::File(_) => CloseStep::Moved,
            // The same tip under another name.
            ObjectMeta::Seal(seal) => {
                self.position = self.position.through(&seal);
                self.start()
            }
        }
    }
}
