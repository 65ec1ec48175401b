//! The ledger of a chain: what its objects say of themselves, held against each other and added up.
//!
//! Pure: no I/O and no clock. A [`Ledger`] is fed what the identity record says, then every object
//! of the chain's folder in the order of the names, each with what it told and what was found wrong
//! with it alone (by [`BodyCheck`], of its body, say). It tells, as an [`Account`], what the chain
//! covers and holds, which gaps are recorded, and all that is wrong, each with the object's name.
//!
//! What it can't see: that objects are gone from the chain's *end*. Such a chain looks as it once
//! looked; the consumer group's committed offset tells. Objects that are gone from its *beginning*
//! are told apart: rules of a bucket may expire the oldest ones, and the totals that the files carry
//! say how many there were.

mod content;
mod elders;
mod walk;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_bodies;

pub use content::{BodyCheck, Content, ContentError};
pub use elders::{Elders, Seen, check_join};
pub use walk::Ledger;

use std::fmt;

use serde::{Serialize, Serializer};

use super::Layout;
use crate::meta::{ChainRecord, CloseMeta, Follows, GapReason, Identity, ObjectMeta};
use crate::types::{Offset, Suffix};

/// What the identity record, `chain.json`, turned out to be.
#[derive(Debug, Clone)]
pub enum Root {
    /// There is none.
    Absent,
    /// It could not be looked at, and why.
    Unseen(String),
    /// It does not read, and why.
    Unreadable(String),
    /// As it should be, as far as it can be told from it alone.
    Found(Box<ChainRecord>),
}

/// What an object says of itself.
#[derive(Debug, Clone)]
pub enum Told {
    /// That it is one of a chain.
    Meta(Box<ObjectMeta>),
    /// Nothing that reads, and why.
    Nothing(String),
    /// It could not be looked at, and why.
    Unseen(String),
}

/// One object, looked at.
#[derive(Debug, Clone)]
pub struct Looked {
    /// What it says of itself.
    pub told: Told,
    /// What is wrong with it, seen alone.
    pub faults: Vec<(Fault, String)>,
    /// Its body could not be looked at to its end, and why.
    pub unseen: Option<String>,
    /// What its body holds; `None` if that was not read, or not to its end.
    pub content: Option<Content>,
}

impl Looked {
    /// Nothing is wrong with it alone; its body was not read.
    #[must_use]
    pub const fn at(told: Told) -> Self {
        Self { told, faults: Vec::new(), unseen: None, content: None }
    }
}

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It has to be there and is not.
    Missing,
    /// It covers offsets that another object covers.
    Overlap,
    /// It says that it ends elsewhere than where the next one begins, though no file is missing.
    Range,
    /// It says nothing of itself: no kafkatos3 wrote it, or its metadata is lost.
    Foreign,
    /// It contradicts its own name.
    Name,
    /// It is of another chain.
    Identity,
    /// Its suffix is not the one that holds there, and no seal leads to it.
    Suffix,
    /// A seal that may not stand there.
    Seal,
    /// It stands behind a closing seal.
    BehindClose,
    /// Its running totals are not those of the files before it and its own.
    Totals,
    /// A gap that can't be.
    Gap,
    /// Its metadata contradicts itself, its trailer, or its index.
    Metadata,
    /// It can't be unpacked, or its checksum is wrong.
    Container,
    /// Its records don't read, or are not what its metadata says.
    Records,
    /// `chain.json` is missing, does not read, or contradicts the files.
    Record,
    /// The chain before it, or behind it, says otherwise.
    Succession,
    /// A record of the cluster is not in it.
    Lost,
    /// A record that the cluster does not have is in it.
    Extra,
    /// A record is another one in the cluster.
    Different,
}

/// Something that is wrong, and with which object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The object's name under the store's prefix.
    pub object: String,
    /// What kind of wrong.
    pub fault: Fault,
    /// What exactly.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.what)
    }
}

/// An object that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// The object's name under the store's prefix, or a folder's.
    pub object: String,
    /// Why.
    pub why: String,
}

/// Why a range is nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// As the file says that begins with it.
    Recorded(GapReason),
    /// Nothing says why: it lies between the files of another tool, or behind them.
    NotThere,
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded(reason) => reason.fmt(f),
            Self::NotThere => f.write_str("no file has them"),
        }
    }
}

impl Serialize for GapCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A gap, recorded or found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedGap {
    /// First offset that is nowhere.
    pub from: Offset,
    /// End, exclusive.
    pub to: Offset,
    /// Why.
    pub reason: GapCause,
    /// The object that records it.
    pub object: String,
    /// Whether no record of the chain comes before it.
    pub before_first_record: bool,
}

/// What is gone from a chain's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Where the chain began.
    pub from: Offset,
    /// Where what is left begins.
    pub to: Offset,
    /// Files that are gone.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub bytes: u64,
}

/// What a chain is and holds, and what is wrong with it.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// Its folder: `orders/000003`, `orders@2/000003`.
    pub chain: String,
    /// Whose files these are: a chain, or what another tool archived.
    pub layout: Layout,
    /// Where the chain begins, by `chain.json` or its files.
    pub first: Option<Offset>,
    /// The first offset that is still covered.
    pub start: Option<Offset>,
    /// The first offset that is not archived.
    pub tip: Option<Offset>,
    /// Data files.
    pub files: u64,
    /// Seals, without the closing one.
    pub seals: u64,
    /// Whether a closing seal stands at the tip.
    pub closed: bool,
    /// Bytes of all objects as they are stored.
    pub stored_bytes: u64,
    /// Records, by the files' metadata.
    pub records: u64,
    /// Bytes of their keys, values and headers, by the files' metadata.
    pub bytes: u64,
    /// Lowest timestamp, in milliseconds since 1970.
    pub first_time_ms: Option<i64>,
    /// Highest timestamp.
    pub last_time_ms: Option<i64>,
    /// Offsets inside of files, behind no gap, that hold no record; `None` if bodies were not read.
    pub holes: Option<u64>,
    /// Recorded gaps, in their order.
    pub gaps: Vec<RecordedGap>,
    /// What has expired.
    pub expired: Option<Expired>,
    /// Names in its folder that are not of a chain. They stand in nobody's way.
    pub foreign: Vec<String>,
    /// All that is wrong.
    pub damage: Vec<Damage>,
    /// All that could not be looked at.
    pub unseen: Vec<Unseen>,
    /// Whose records they are, by the identity record or else the first object.
    #[serde(skip)]
    pub(super) identity: Option<Identity>,
    /// How the chain is said to go on.
    #[serde(skip)]
    pub(super) close: Option<CloseMeta>,
    /// What its identity record says of the chain before it.
    #[serde(skip)]
    pub(super) follows: Option<Follows>,
    /// Where its identity record lets it begin.
    #[serde(skip)]
    pub(super) begins: Option<(Offset, Suffix)>,
}

impl Account {
    /// Of a chain of which nothing is known yet.
    pub(super) const fn new(chain: String) -> Self {
        Self {
            chain,
            layout: Layout::Chain,
            first: None,
            start: None,
            tip: None,
            files: 0,
            seals: 0,
            closed: false,
            stored_bytes: 0,
            records: 0,
            bytes: 0,
            first_time_ms: None,
            last_time_ms: None,
            holes: None,
            gaps: Vec::new(),
            expired: None,
            foreign: Vec::new(),
            damage: Vec::new(),
            unseen: Vec::new(),
            identity: None,
            close: None,
            follows: None,
            begins: None,
        }
    }

    /// Whose records they are, by the identity record or else the first object.
    #[must_use]
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Notes something that is wrong.
    pub fn damaged(&mut self, object: impl Into<String>, fault: Fault, what: impl Into<String>) {
        self.damage.push(Damage { object: object.into(), fault, what: what.into() });
    }
}

/// Holds the chains of one partition against each other, in the order of their generations.
pub fn check_succession(chains: &mut [Account]) {
    for index in 1..chains.len() {
        let Some([before, behind]) = chains.get_mut(index - 1..=index) else { return };
        let record = format!("{}/chain.json", behind.chain);
        if let (Some(close), Some(begins)) = (&before.close, behind.begins)
            && begins != (close.next.first, close.next.suffix)
        {
            let (first, suffix) = (close.next.first, close.next.suffix);
            let what = format!(
                "it begins the chain at {} as \"{}\", but the closing seal of {} says {first} as \
                 \"{suffix}\"",
                begins.0, begins.1, before.chain
            );
            behind.damaged(record, Fault::Succession, what);
            continue;
        }
        let closed_at = behind.follows.as_ref().and_then(|follows| follows.tip);
        let Some(tip) = closed_at else { continue };
        match before.tip {
            _ if !before.closed => {
                let what = format!(
                    "its closing seal, at offset {tip}, is missing: {record} says that the chain \
                     was closed there"
                );
                let folder = before.chain.clone();
                before.damaged(folder, Fault::Missing, what);
            }
            Some(at) if at != tip => {
                let what =
                    format!("it says that {} was closed at {tip}, but it is at {at}", before.chain);
                behind.damaged(record, Fault::Succession, what);
            }
            _ => {}
        }
    }
}
