//! The chain protocol: how many writers, none of which can be trusted to be alone, lay down one
//! unbroken line of files for a partition.
//!
//! Pure: no I/O and no clock. Each machine says what to ask of the store next and is told what
//! came back; `crate::worker` carries the questions out. `docs/archive-layout.md` describes the
//! objects, `docs/decisions/0001-chain.md` why it holds:
//!
//! - A file with start `s` is created only where an object with `next == s`, the identity record
//!   with `first == s`, or a seal at `s` was seen.
//! - Under one name at most one object is ever created (create-if-absent), and objects never change.
//! - Behind a closing seal nothing comes in that chain. It takes the next file's name, so whoever
//!   publishes first wins, and says how the next chain of the topic begins.
//! - The name depends on the chain, `s` and the pinned suffix alone; the suffix changes only
//!   through a seal, which takes the old name.
//!
//! So for each `s` at most one file exists and the files form one line, whoever wrote them.
//!
//! | machine | run by | question that it answers |
//! |---|---|---|
//! | [`locate::Locator`] | consumer and uploader | where is the tip of one chain? |
//! | [`succession::Search`] | consumer and uploader | in which of the topic's chains is it? |
//! | [`publish::Publisher`] | uploader | what to do with this file? |
//! | [`follow::Follower`] | consumer | the tip moved: commit, go on, or go back? |
//! | [`close::Closer`] | operator's command | how is a chain closed while others write it? |

pub mod close;
pub mod follow;
pub mod locate;
pub mod publish;
#[cfg(test)]
mod simulate;
pub mod succession;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::meta::{Disagreement, FileMeta, IdentityPart, ObjectMeta, SealMeta, Totals};
use crate::types::{Offset, Suffix, TopicId};

/// A name in a chain: `{start:020}{suffix}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The chain position at which the object stands.
    pub start: Offset,
    /// How its name ends.
    pub suffix: Suffix,
}

/// Where a chain ends, as last seen in the store. May be behind the truth, never ahead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The first offset that is not archived; the start of the next file.
    pub tip: Offset,
    /// How the next file's name ends.
    pub suffix: Suffix,
    /// Whether a seal stands at the tip: then a file has to come before the next seal.
    pub sealed: bool,
    /// Start of the last file; `None` while there is none (any more).
    pub last_start: Option<Offset>,
    /// Start of the chain's first file.
    pub first: Offset,
    /// Leader epoch of the last file's last record.
    pub leader_epoch: Option<i32>,
    /// Everything up to the tip.
    pub totals: Totals,
    /// Which of the topic's chains it is: 1 is `topic`, 2 is `topic@2`.
    #[serde(default = "first_generation")]
    pub generation: u32,
}

const fn first_generation() -> u32 {
    1
}

impl Position {
    /// The name of the next object.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        Slot { start: self.tip, suffix: self.suffix }
    }

    /// The beginning of a chain without files.
    #[must_use]
    pub fn genesis(first: Offset, suffix: Suffix) -> Self {
        Self {
            tip: first,
            suffix,
            sealed: false,
            last_start: None,
            first,
            leader_epoch: None,
            totals: Totals::default(),
            generation: 1,
        }
    }

    /// Behind `file`, which the store holds under a name that ends in `suffix`. Files without
    /// totals of their own (never published by this layout) count from what was known before.
    #[must_use]
    pub fn behind(file: &FileMeta, before: Totals) -> Self {
        Self {
            tip: file.range.next(),
            suffix: file.suffix,
            sealed: false,
            last_start: Some(file.range.start()),
            first: file.first,
            leader_epoch: file.leader_epoch,
            totals: file.totals.unwrap_or_else(|| before.with(file)),
            generation: file.generation,
        }
    }

    /// Whether it is farther on than `other`: in a later chain, or in the same one.
    #[must_use]
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        (self.generation, self.tip) > (other.generation, other.tip)
    }

    /// The same tip, continued as `seal` says.
    #[must_use]
    pub const fn through(self, seal: &SealMeta) -> Self {
        Self { suffix: seal.continues, sealed: true, ..self }
    }
}

/// What a committed group offset's metadata says: where its writer saw the tip.
///
/// Kept as a line of JSON of less than 300 bytes (brokers take 4,096 by default).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitNote {
    /// Version of this note: 1.
    kafkatos3: u8,
    /// The chain's end at that time; its tip is the committed offset.
    #[serde(flatten)]
    pub position: Position,
    /// The topic that the writer knew.
    #[serde(rename = "topicid")]
    pub topic_id: TopicIdText,
}

/// A topic id in a form that compares literally.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicIdText(pub TopicId);

impl PartialEq for TopicIdText {
    fn eq(&self, other: &Self) -> bool {
        self.0.agrees_with(other.0)
    }
}

impl Eq for TopicIdText {}

impl CommitNote {
    /// The note for `position` of the topic with `topic_id`.
    #[must_use]
    pub const fn new(position: Position, topic_id: TopicId) -> Self {
        Self { kafkatos3: 1, position, topic_id: TopicIdText(topic_id) }
    }

    /// The metadata text.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads metadata; `None` if it is not ours (then the commit is nothing but a hint).
    #[must_use]
    pub fn parse(metadata: &[u8]) -> Option<Self> {
        serde_json::from_slice(metadata).ok().filter(|note: &Self| note.kafkatos3 == 1)
    }
}

/// Why a partition can't go on without the operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The chain under this name holds other records than ours.
    ForeignIdentity(Disagreement),
    /// An object stands in the chain's way that no kafkatos3 put there, or a later version did.
    ForeignObject {
        /// Where; `None` is `chain.json`.
        slot: Option<Slot>,
        /// What is wrong with it.
        what: String,
    },
    /// The chain's names are of the other layout than the configured one.
    OtherLayout {
        /// How they end.
        found: Suffix,
    },
    /// There is no chain, and what the original tool archived reaches beyond the broker's log.
    OriginalAhead {
        /// Behind the last of its files.
        files: Offset,
        /// The end of the broker's log.
        end: Offset,
    },
}

impl Stop {
    /// Whether the topic was deleted and created again since the chain began.
    #[must_use]
    pub fn is_recreated(&self) -> bool {
        matches!(self, Self::ForeignIdentity(d) if d.what == IdentityPart::TopicId)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignIdentity(d) => {
                write!(f, "foreign identity: the archive holds somebody else's chain: {d}; ")?;
                f.write_str(match d.what {
                    IdentityPart::TopicId => {
                        "the topic was deleted and created again ([consumer] on_topic_recreated = \
                         new_chain would begin a second chain beside the first by itself)"
                    }
                    IdentityPart::Isolation => {
                        "set [consumer] isolation_level back, or begin a new chain"
                    }
                    _ => "give each cluster a prefix of its own ([s3] s3_prefix or [archive] url)",
                })
            }
            Self::ForeignObject { slot: Some(slot), what } => write!(
                f,
                "a foreign object stands at {:020}{}: {what}; move it away",
                slot.start.get(),
                slot.suffix
            ),
            Self::ForeignObject { slot: None, what } => {
                write!(f, "chain.json does not read: {what}; restore or remove it")
            }
            Self::OtherLayout { found } => {
                let (theirs, ours) = if found.is_kafka_store() {
                    ("kafka_store's", "kafkatos3")
                } else {
                    ("kafkatos3's", "kafka_store")
                };
                write!(
                    f,
                    "the chain's files have {theirs} names, and a chain keeps its layout: archive \
                     to another prefix with [archive] layout = {ours}, or set it back"
                )
            }
            Self::OriginalAhead { files, end } => write!(
                f,
                "the original's files reach to offset {files}, but the broker's log ends at {end}: \
                 the topic was deleted and created again, or truncated; to archive what is there \
                 now from its beginning, set [consumer] on_topic_recreated = new_chain, or move \
                 the original's objects away"
            ),
        }
    }
}

/// An object as `HEAD` shows it.
#[derive(Debug, Clone)]
pub enum Seen {
    /// Nothing there: a definite 404.
    Absent,
    /// One of ours.
    Ours(Box<ObjectMeta>),
    /// Something without (readable) metadata of ours, and what is wrong with it.
    Foreign(String),
}
