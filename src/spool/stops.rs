//! Partitions that need the operator: `tips/TOPIC-PARTITION.stopped`, a line of JSON that says
//! what happened, since when, and which commands lead out of it.
//!
//! Written by the worker that stopped, whole or not at all; removed by whoever finds that the
//! partition goes on, or by `kafkatos3 chain new | skip | retry`. Workers whose partition is
//! stopped look again at once when its note goes, and each minute by themselves; while a note
//! *holds* ([`StopKind::holds`]) they wait for the operator, however often they look.
//! `kafkatos3 status` shows the notes ([`read_all`]). A note that does not read is as good as none.

use std::fs;
use std::io::ErrorKind;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Spool;
use super::claim::{TempFile, whole_steps};
use super::durable;
use super::error::{IoExt, Result};
use super::layout::{SpoolPartition, Stage};
use crate::chain::Stop;
use crate::fail::step;
use crate::meta::IdentityPart;
use crate::types::{Offset, TopicPartition};

/// Why a partition is stopped. The words are stable: scripts and alerts may rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopKind {
    /// The topic was deleted and created again: the archive holds the chain of the first.
    TopicRecreated,
    /// The archive holds the chain of another cluster's topic.
    OtherCluster,
    /// The chain was begun under the other isolation level.
    OtherIsolation,
    /// An object that is none of the chain's stands where its next file belongs.
    ForeignObject,
    /// `chain.json` does not read.
    ChainRecord,
    /// The chain's names are of the other layout than the configured one.
    OtherLayout,
    /// The broker's log ends before the archive does, or goes on differently.
    Truncated,
    /// The broker's log ends before the files of the original tool do, whose archive is taken over.
    OriginalAhead,
    /// Kafka no longer has what comes next, and `on_gap` is `stop`.
    Gap,
    /// A record of the broker can't be read by the client.
    UnreadableRecord,
    /// The store works, but refuses this one object.
    RefusedObject,
    /// The broker does not let us read the topic.
    NotPermitted,
    /// Files of the same range were damaged again and again.
    DamagedAgain,
    /// A word that this version does not know.
    #[serde(other)]
    Other,
}

impl StopKind {
    /// The word, as the note has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopicRecreated => "topic-recreated",
            Self::OtherCluster => "other-cluster",
            Self::OtherIsolation => "other-isolation",
            Self::ForeignObject => "foreign-object",
            Self::ChainRecord => "chain-record",
            Self::OtherLayout => "other-layout",
            Self::Truncated => "truncated",
            Self::OriginalAhead => "original-ahead",
            Self::Gap => "gap",
            Self::UnreadableRecord => "unreadable-record",
            Self::RefusedObject => "refused-object",
            Self::NotPermitted => "not-permitted",
            Self::DamagedAgain => "damaged-again",
            Self::Other => "other",
        }
    }

    /// Whether nothing is tried until the note is gone, or the chain has gone on without us:
    /// reading on could put wrong records into the chain, or would only fail in the same way.
    #[must_use]
    pub const fn holds(self) -> bool {
        matches!(
            self,
            Self::Truncated | Self::UnreadableRecord | Self::RefusedObject | Self::DamagedAgain
        )
    }

    /// The subcommands of `kafkatos3 chain` that lead out of it, the usual one first.
    const fn ways_out(self) -> &'static [&'static str] {
        match self {
            Self::TopicRecreated | Self::OtherCluster | Self::OtherIsolation => &["new"],
            Self::ForeignObject | Self::ChainRecord => &["retry", "new"],
            Self::Truncated => &["new", "retry"],
            Self::Gap => &["skip"],
            Self::UnreadableRecord | Self::RefusedObject => &["retry", "skip"],
            Self::OtherLayout
            | Self::OriginalAhead
            | Self::NotPermitted
            | Self::DamagedAgain
            | Self::Other => &["retry"],
        }
    }
}

impl std::fmt::Display for StopKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&Stop> for StopKind {
    fn from(stop: &Stop) -> Self {
        match stop {
            Stop::ForeignIdentity(differ) => match differ.what {
                IdentityPart::TopicId => Self::TopicRecreated,
                IdentityPart::Isolation => Self::OtherIsolation,
                IdentityPart::Cluster | IdentityPart::Topic | IdentityPart::Partition => {
                    Self::OtherCluster
                }
            },
            Stop::ForeignObject { slot: Some(_), .. } => Self::ForeignObject,
            Stop::ForeignObject { slot: None, .. } => Self::ChainRecord,
            Stop::OtherLayout { .. } => Self::OtherLayout,
            Stop::OriginalAhead { .. } => Self::OriginalAhead,
        }
    }
}

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Which partition; the file's name may hold a shortened topic.
    #[serde(flatten)]
    pub tp: TopicPartition,
    /// What happened, as a word.
    pub kind: StopKind,
    /// What happened, for people.
    pub reason: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub since_ms: u64,
    /// Command lines that lead out of it, the usual one first. The word `CONFIG` in them stands
    /// for the configuration file, which a worker does not know by the operator's name for it.
    pub way_out: Vec<String>,
    /// The chain, as its folder: `orders/000003`; none if the writer did not know it.
    #[serde(default)]
    pub chain: Option<String>,
    /// The offsets `[from, to)` that stand in the way, if it is about such.
    #[serde(default)]
    pub range: Option<(Offset, Offset)>,
}

impl Stopped {
    /// A note of now.
    #[must_use]
    pub fn new(tp: &TopicPartition, kind: StopKind, reason: impl Into<String>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let command = |way: &&str| {
            let TopicPartition { topic, partition } = tp;
            format!("kafkatos3 chain {way} CONFIG {topic} {partition}")
        };
        Self {
            tp: tp.clone(),
            kind,
            reason: reason.into(),
            since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            way_out: kind.ways_out().iter().map(command).collect(),
            chain: None,
            range: None,
        }
    }

    /// The note about what the chain's machines stopped at.
    #[must_use]
    pub fn at(tp: &TopicPartition, stop: &Stop) -> Self {
        Self::new(tp, StopKind::from(stop), stop.to_string())
    }

    /// About the offsets `[from, to)`.
    #[must_use]
    pub fn about(self, from: Offset, to: Offset) -> Self {
        Self { range: Some((from, to)), ..self }
    }

    /// In the chain with this folder.
    #[must_use]
    pub fn in_chain(self, folder: &impl ToString) -> Self {
        Self { chain: Some(folder.to_string()), ..self }
    }

    /// Whether both say the same, perhaps at different times.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        (self.kind, &self.reason) == (other.kind, &other.reason)
    }
}

/// Leaves the note. Where one stands that says the same, that one stays, with its time. Returns
/// what stands there then. After a crash within, the note before it stands; after `Ok`, this one.
pub fn write(spool: &Spool, note: Stopped) -> Result<Stopped> {
    let partition = SpoolPartition::of(&note.tp);
    if let Some(before) = read(spool, &partition)?.filter(|before| before.is_same_as(&note)) {
        return Ok(before);
    }
    let name = partition.stop_name();
    let to = spool.path(Stage::Tips, &name);
    let text = serde_json::to_vec(&note).map_err(std::io::Error::from).at("write", &to)?;
    TempFile::write_whole(spool, (Stage::Tips, &name), &text, &to, whole_steps!("stop"))?;
    Ok(note)
}

/// Why `partition` is stopped, if it is.
pub fn read(spool: &Spool, partition: &SpoolPartition) -> Result<Option<Stopped>> {
    let path = spool.path(Stage::Tips, &partition.stop_name());
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).at("read", &path),
    }
}

/// All notes that read, by partition.
pub fn read_all(spool: &Spool) -> Result<Vec<Stopped>> {
    let mut partitions = Vec::new();
    spool.each_file(Stage::Tips, |name, _| {
        partitions.extend(SpoolPartition::parse_stop_name(name).ok());
    })?;
    partitions.sort();
    let read = partitions.iter().map(|partition| read(spool, partition));
    read.filter_map(Result::transpose).collect()
}

/// Takes the note back; there may be none. Workers whose partition it was look again.
pub fn clear(spool: &Spool, partition: &SpoolPartition) -> Result<()> {
    let path = spool.path(Stage::Tips, &partition.stop_name());
    durable::remove(&path, step!("stop.remove")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Disagreement;
    use crate::spool::testing::{names_in, offset, partition, spool, tp};

    #[test]
    fn a_stop_is_kept_until_it_is_taken_back_and_remembers_since_when() {
        let (_dir, spool) = spool();
        let part = partition("t", 1);
        assert_eq!(read(&spool, &part).unwrap(), None);
        let at = |since_ms, reason| Stopped {
            since_ms,
            ..Stopped::new(&tp("t", 1), StopKind::Gap, reason)
        };
        write(&spool, at(5, "a")).unwrap();
        assert_eq!(write(&spool, at(9, "a")).unwrap().since_ms, 5);
        assert_eq!(write(&spool, at(9, "b")).unwrap().since_ms, 9);
        let note = at(9, "b").about(offset(3), offset(7)).in_chain(&"t/000001");
        clear(&spool, &part).unwrap();
        write(&spool, note.clone()).unwrap();
        assert_eq!(read(&spool, &part).unwrap(), Some(note));
        assert_eq!(read_all(&spool).unwrap().len(), 1);
        clear(&spool, &part).unwrap();
        clear(&spool, &part).unwrap();
        assert_eq!(read(&spool, &part).unwrap(), None);
        assert!(names_in(&spool, Stage::Tips).is_empty());
    }

    #[test]
    fn the_words_are_the_ones_that_are_stored_and_each_has_a_way_out() {
        for kind in [
            StopKind::TopicRecreated,
            StopKind::OtherCluster,
            StopKind::OtherIsolation,
            StopKind::ForeignObject,
            StopKind::ChainRecord,
            StopKind::OtherLayout,
            StopKind::Truncated,
            StopKind::Gap,
            StopKind::UnreadableRecord,
            StopKind::RefusedObject,
            StopKind::NotPermitted,
            StopKind::DamagedAgain,
        ] {
            let note = Stopped::new(&tp("t", 1), kind, "x");
            let json = serde_json::to_value(&note).unwrap();
            assert_eq!(json["kind"], kind.as_str());
            assert_eq!((&json["topic"], &json["partition"]), (&"t".into(), &1.into()));
            assert!(note.way_out[0].starts_with("kafkatos3 chain "), "{note:?}");
        }
        let later = r#"{"topic":"t","partition":1,"kind":"moon","reason":"r","since_ms":1,
            "way_out":[],"new":true}"#;
        let note: Stopped = serde_json::from_str(later).unwrap();
        assert_eq!(note.kind, StopKind::Other);
    }

    #[test]
    fn what_the_chain_stops_at_has_a_kind() {
        let differ = |what| {
            let (here, there) = (String::new(), String::new());
            StopKind::from(&Stop::ForeignIdentity(Disagreement { what, here, there }))
        };
        assert_eq!(differ(IdentityPart::TopicId), StopKind::TopicRecreated);
        assert_eq!(differ(IdentityPart::Cluster), StopKind::OtherCluster);
        assert_eq!(differ(IdentityPart::Isolation), StopKind::OtherIsolation);
        let record = Stop::ForeignObject { slot: None, what: String::new() };
        assert_eq!(StopKind::from(&record), StopKind::ChainRecord);
    }
}
