//! What to do with a finished local file: publish it, or find out why it can't be.
//!
//! Pure. One `Publisher` lives as long as the uploader process knows the partition. Files are
//! offered one at a time; each action that is not final is carried out and its result fed back.
//! Every failure of a create means *unknown*, and is settled by asking for the object.

use std::cmp::Ordering;

use super::locate::{other_layout, own_object};
use super::{Position, Seen, Slot, Stop};
use crate::meta::{CloseMeta, FileMeta, Identity, ObjectMeta, SealMeta, Totals};
use crate::types::Suffix;

/// A file of the spool that wants to be published.
#[derive(Debug, Clone, Hash)]
pub struct LocalFile {
    /// What it holds; `suffix` says how it is packed now.
    pub meta: FileMeta,
    /// Whether it is older than `publish_deadline`: then it must not be published any more.
    pub too_old: bool,
}

/// What to do next.
#[derive(Debug, Clone)]
pub enum Action {
    /// Create the file's object at `slot`, carrying `totals`; feed [`Publisher::created`].
    Put {
        /// Where.
        slot: Slot,
        /// The chain's totals including this file.
        totals: Totals,
    },
    /// Create the seal at the current slot; feed [`Publisher::created`].
    PutSeal(Box<SealAction>),
    /// Ask for the object; feed [`Publisher::seen`].
    Head(Slot),
    /// Final: pack the file as `suffix`, then offer it again.
    Repack(Suffix),
    /// Final: wait a moment (longer each time), then offer the file again.
    Retry,
    /// Final: the file's range is durable. Tell the tip, drop the file.
    Published,
    /// Final: others cover (part of) its range. Tell the tip; drop the file and all that don't
    /// join the tip.
    Superseded,
    /// Final: files before it are missing here. Keep it until they come or it is superseded.
    NotYet,
    /// Final: drop the file and have its range read again.
    Expired,
    /// Final: the chain was closed. Find the one that follows, then offer the file again.
    Closed(Box<CloseMeta>),
    /// Final: the file was written for a chain that is over. Keep it for the operator.
    Orphaned,
    /// Final: the operator is needed.
    Stop(Stop),
}

/// The seal to create.
#[derive(Debug, Clone)]
pub struct SealAction {
    /// Where: the tip under the old suffix.
    pub slot: Slot,
    /// Its content.
    pub seal: SealMeta,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Creating {
    File,
    Seal,
}

/// The uploader's view of one chain.
#[derive(Debug, Clone, Hash)]
pub struct Publisher {
    identity: Identity,
    position: Position,
    configured: Suffix,
    /// A process seals at most once per partition, and never after it followed another's seal.
    may_seal: bool,
    current: Option<(LocalFile, Creating)>,
}

impl Publisher {
    /// Begins at `position`, as a [`super::locate::Locator`] found it for `identity`.
    #[must_use]
    pub const fn new(identity: Identity, position: Position, configured: Suffix) -> Self {
        Self { identity, position, configured, may_seal: true, current: None }
    }

    /// Whose chain it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where the chain ends, as far as is known here.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// The tip was asked for again. What the process has sealed or followed so far still counts.
    pub fn relocated(&mut self, position: Position) {
        self.may_seal &= position.suffix == self.position.suffix;
        self.position = position;
        self.current = None;
    }

    /// Considers `file`.
    pub fn offer(&mut self, file: LocalFile) -> Action {
        if let Some(what) = self.identity.disagreement(&file.meta.identity) {
            return Action::Stop(Stop::ForeignIdentity(what));
        }
        match file.meta.generation.cmp(&self.position.generation) {
            Ordering::Less => Action::Orphaned,
            Ordering::Equal => self.decide(file),
            // The position is of an older chain: it has to be asked for again.
            Ordering::Greater => Action::Retry,
        }
    }

    fn decide(&mut self, file: LocalFile) -> Action {
        let (range, tip) = (file.meta.range, self.position.tip);
        if range.start() > tip {
            Action::NotYet
        } else if range.start() < tip {
            Action::Superseded
        } else if file.too_old {
            Action::Expired
        } else if let Some(stop) = other_layout(self.configured, self.position.suffix) {
            Action::Stop(stop)
        } else if self.wants_seal() {
            self.seal(file)
        } else if file.meta.suffix != self.position.suffix {
            Action::Repack(self.position.suffix)
        } else {
            let totals = self.position.totals.with(&file.meta);
            self.current = Some((file, Creating::File));
            Action::Put { slot: self.position.slot(), totals }
        }
    }

    const fn wants_seal(&self) -> bool {
        let differs = self.position.suffix as u8 != self.configured as u8;
        differs && self.may_seal && !self.position.sealed
    }

    fn seal(&mut self, file: LocalFile) -> Action {
        let slot = self.position.slot();
        let seal = SealMeta {
            identity: self.identity.clone(),
            first: self.position.first,
            suffix: slot.suffix,
            at: slot.start,
            continues: self.configured,
            writer: file.meta.writer,
            totals: self.position.totals,
        };
        self.current = Some((file, Creating::Seal));
        Action::PutSeal(Box::new(SealAction { slot, seal }))
    }

    /// The create has succeeded for certain (`true`), or its outcome is unknown (`false`).
    pub fn created(&mut self, certain: bool) -> Action {
        if !certain {
            return Action::Head(self.position.slot());
        }
        match self.current.take() {
            Some((file, Creating::File)) => {
                self.move_behind(&file.meta);
                Action::Published
            }
            Some((file, Creating::Seal)) => {
                self.position = Position { suffix: self.configured, sealed: true, ..self.position };
                self.may_seal = false;
                self.decide(file)
            }
            None => Action::Retry,
        }
    }

    fn move_behind(&mut self, file: &FileMeta) {
        let generation = self.position.generation;
        self.position = Position { generation, ..Position::behind(file, self.position.totals) };
    }

    /// What stands where the create was tried.
    pub fn seen(&mut self, seen: Seen) -> Action {
        let Some((file, _)) = self.current.take() else { return Action::Retry };
        let slot = self.position.slot();
        let meta = match seen {
            Seen::Absent => return Action::Retry,
            Seen::Foreign(what) => {
                return Action::Stop(Stop::ForeignObject { slot: Some(slot), what });
            }
            Seen::Ours(meta) => match own_object(&self.identity, slot, meta) {
                Ok(meta) => *meta,
                Err(stop) => return Action::Stop(stop),
            },
        };
        match meta {
            ObjectMeta::Seal(seal) => {
                self.position = self.position.through(&seal);
                self.may_seal = false;
                self.decide(file)
            }
            ObjectMeta::Close(close) => Action::Closed(Box::new(close)),
            // Our own file after a lost answer, or another writer's: what it covers is durable.
            ObjectMeta::File(there) => {
                self.move_behind(&there);
                let covers_ours = there.range.next() == file.meta.range.next();
                if covers_ours { Action::Published } else { Action::Superseded }
            }
        }
    }
}
