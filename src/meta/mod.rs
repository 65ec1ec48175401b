//! What is said of an archived file, and of the chain that it belongs to.
//!
//! The same text map stands in the file's trailer (so that it survives a download) and in the
//! object's user metadata (so that it answers where the body is in cold storage). Its keys are
//! lower-case ASCII letters and digits only, which S3, GCS and Azure all keep as they are.
//! `docs/archive-layout.md` is the normative list. Pure; depends on `types` only.

mod act;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::types::{
    Format, Isolation, Offset, OffsetRange, Partition, Suffix, TopicId, TopicName, TopicPartition,
    WriterToken,
};

pub use act::{Act, Follows, Succession};

/// Text keys and values, as they stand in trailers and in user metadata.
pub type MetaMap = BTreeMap<String, String>;

/// A map that does not describe a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// A key that every file has is not there.
    #[error("metadata key \"{0}\" is missing")]
    Missing(&'static str),
    /// A key's value does not read.
    #[error("metadata key \"{key}\" holds \"{value}\", which does not read: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was found.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// Written by a later version of the product, with another layout.
    #[error(
        "layout \"{0}\" is not known here (this version reads layout \"1\"): use a newer kafkatos3"
    )]
    Layout(String),
}

/// Whose records a chain holds. Two chains with identities that disagree never share files.
#[derive(Debug, Clone, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Kafka's cluster id; empty if the brokers have none, which agrees with any.
    #[serde(rename = "cluster")]
    pub cluster_id: String,
    /// The topic's name.
    pub topic: TopicName,
    /// The topic's id; unknown agrees with any.
    #[serde(rename = "topicid")]
    pub topic_id: TopicId,
    /// The partition.
    pub partition: Partition,
    /// Which records of transactions the chain keeps.
    pub isolation: Isolation,
}

impl Identity {
    /// The topic and partition alone.
    #[must_use]
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), self.partition)
    }

    /// What of `other` differs from this; `None` if both can be the same chain.
    #[must_use]
    pub fn disagreement(&self, other: &Self) -> Option<Disagreement> {
        let clusters_known = !self.cluster_id.is_empty() && !other.cluster_id.is_empty();
        let differ = |what, here: &dyn fmt::Display, there: &dyn fmt::Display| {
            Some(Disagreement { what, here: here.to_string(), there: there.to_string() })
        };
        if clusters_known && self.cluster_id != other.cluster_id {
            differ(IdentityPart::Cluster, &self.cluster_id, &other.cluster_id)
        } else if self.topic != other.topic {
            differ(IdentityPart::Topic, &self.topic, &other.topic)
        } else if !self.topic_id.agrees_with(other.topic_id) {
            differ(IdentityPart::TopicId, &self.topic_id, &other.topic_id)
        } else if self.partition != other.partition {
            differ(IdentityPart::Partition, &self.partition, &other.partition)
        } else if self.isolation != other.isolation {
            differ(IdentityPart::Isolation, &self.isolation, &other.isolation)
        } else {
            None
        }
    }
}

/// The part of an identity in which two chains differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityPart {
    /// Another cluster.
    Cluster,
    /// Another topic.
    Topic,
    /// The topic was deleted and created again.
    TopicId,
    /// Another partition.
    Partition,
    /// Another isolation level.
    Isolation,
}

/// How two identities differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Disagreement {
    /// In what.
    pub what: IdentityPart,
    /// What this side has.
    pub here: String,
    /// What the other side has.
    pub there: String,
}

impl fmt::Display for IdentityPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster id",
            Self::Topic => "topic",
            Self::TopicId => "topic id",
            Self::Partition => "partition",
            Self::Isolation => "isolation level",
        })
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, here, there } = self;
        write!(f, "its {what} is \"{there}\" in the archive, but \"{here}\" here")
    }
}

/// Content of `chain.json`: the identity record, created once by a chain's first writer.
#[derive(Debug, Clone, Hash, Serialize, Deserialize)]
pub struct ChainRecord {
    /// Version of the archive's layout: 1.
    pub layout: u32,
    /// Whose records.
    #[serde(flatten)]
    pub identity: Identity,
    /// Where the chain begins: the start of its first file.
    pub first: Offset,
    /// The end of its first file's name.
    pub suffix: Suffix,
    /// The chain before it, if an operator began this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
}

/// Why a range of offsets is not in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// Gone before the chain's first file was written.
    Genesis,
    /// Kafka deleted it (retention, `DeleteRecords`) before it was archived.
    Retention,
    /// An operator gave it up.
    Skipped,
}

impl GapReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Genesis => "genesis",
            Self::Retention => "retention",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for GapReason {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Genesis, Self::Retention, Self::Skipped]
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| "expected \"genesis\", \"retention\" or \"skipped\"".to_owned())
    }
}

/// Offsets `[from, to)` at the start of a file whose records are nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// First lost offset, inclusive; always the file's start.
    pub from: Offset,
    /// End, exclusive: Kafka's log start when it was found, or what the operator said.
    pub to: Offset,
    /// Why they are gone.
    pub reason: GapReason,
}

/// Running totals of a chain, up to and including the file that carries them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Totals {
    /// Data files.
    pub files: u64,
    /// Records.
    pub records: u64,
    /// Bytes of keys, values and headers.
    pub bytes: u64,
    /// Recorded gaps.
    pub gaps: u64,
    /// Lowest and highest timestamp; `None` without any, and if a file counted here did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<(i64, i64)>,
}

impl Totals {
    /// The totals behind a further file.
    #[must_use]
    pub fn with(self, file: &FileMeta) -> Self {
        Self {
            files: self.files.saturating_add(1),
            records: self.records.saturating_add(file.records),
            bytes: self.bytes.saturating_add(file.bytes),
            gaps: self.gaps.saturating_add(u64::from(file.gap.is_some())),
            times: match (self.times, file.times) {
                (Some((low, high)), Some((l, h))) => Some((low.min(l), high.max(h))),
                // Records whose times nobody counted: whatever is known of others is not all.
                (None, times) => times.filter(|_| self.records == 0),
                (times, None) => times,
            },
        }
    }
}

/// All that is said of one data file.
#[derive(Debug, Clone, Hash)]
pub struct FileMeta {
    /// Whose records.
    pub identity: Identity,
    /// Which of the topic's chains it is written for: 1 is `topic`, 2 is `topic@2`.
    pub generation: u32,
    /// Start of the chain's first file.
    pub first: Offset,
    /// Version of the MAK format, 1 or 2; 0 in files of another format.
    pub mak: u8,
    /// Whether its records passed through kafka_store's schema, which has neither headers nor types
    /// of timestamps.
    pub plain: bool,
    /// How it is packed.
    pub suffix: Suffix,
    /// The offsets that it covers.
    pub range: OffsetRange,
    /// How many records it holds.
    pub records: u64,
    /// Bytes of their keys, values and header names and values.
    pub bytes: u64,
    /// Lowest and highest timestamp, in milliseconds since 1970; `None` without any.
    pub times: Option<(i64, i64)>,
    /// What is missing at its start.
    pub gap: Option<Gap>,
    /// Leader epoch of its last record, if the broker told it.
    pub leader_epoch: Option<i32>,
    /// Who wrote it.
    pub writer: WriterToken,
    /// Whose doing it is, if an operator's: its gap was skipped.
    pub act: Option<Act>,
    /// The chain's totals up to here; unknown until the uploader publishes it.
    pub totals: Option<Totals>,
}

/// A small object that ends one suffix of a chain and says how the chain goes on.
#[derive(Debug, Clone, Hash)]
pub struct SealMeta {
    /// Whose records.
    pub identity: Identity,
    /// Start of the chain's first file.
    pub first: Offset,
    /// The suffix that ends here: this object's own.
    pub suffix: Suffix,
    /// The tip at which it stands; it covers nothing.
    pub at: Offset,
    /// The suffix of the file that starts at `at`.
    pub continues: Suffix,
    /// Who wrote it.
    pub writer: WriterToken,
    /// The chain's totals up to here.
    pub totals: Totals,
}

/// The closing seal: a small object at a chain's tip after which nothing comes in that chain.
#[derive(Debug, Clone, Hash)]
pub struct CloseMeta {
    /// Whose records.
    pub identity: Identity,
    /// Which of the topic's chains it closes.
    pub generation: u32,
    /// Start of the chain's first file.
    pub first: Offset,
    /// The suffix that the next file would have had: this object's own.
    pub suffix: Suffix,
    /// The tip at which it stands; it covers nothing.
    pub at: Offset,
    /// How the chain of the next generation begins.
    pub next: Succession,
    /// Who wrote it.
    pub writer: WriterToken,
    /// The chain's totals.
    pub totals: Totals,
}

/// What an object of a chain says of itself.
#[derive(Debug, Clone, Hash)]
pub enum ObjectMeta {
    /// A data file.
    File(FileMeta),
    /// A seal.
    Seal(SealMeta),
    /// The closing seal.
    Close(CloseMeta),
}

impl ObjectMeta {
    /// Whose records.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        match self {
            Self::File(file) => &file.identity,
            Self::Seal(seal) => &seal.identity,
            Self::Close(close) => &close.identity,
        }
    }

    /// Start of the chain's first file.
    #[must_use]
    pub const fn first(&self) -> Offset {
        match self {
            Self::File(file) => file.first,
            Self::Seal(seal) => seal.first,
            Self::Close(close) => close.first,
        }
    }

    /// Who wrote it.
    #[must_use]
    pub const fn writer(&self) -> WriterToken {
        match self {
            Self::File(file) => file.writer,
            Self::Seal(seal) => seal.writer,
            Self::Close(close) => close.writer,
        }
    }

    /// The text map, as it stands in trailers and user metadata.
    #[must_use]
    pub fn to_map(&self) -> MetaMap {
        let mut map = Writer(MetaMap::new());
        match self {
            Self::File(file) => write_file(&mut map, file),
            Self::Seal(seal) => {
                write_common(&mut map, "seal", &seal.identity, seal.first, seal.suffix);
                map.put("start", &seal.at);
                map.put("next", &seal.at);
                map.put("continues", &seal.continues);
                map.put("writer", &seal.writer);
                write_totals(&mut map, seal.totals);
            }
            Self::Close(close) => {
                write_common(&mut map, "close", &close.identity, close.first, close.suffix);
                write_generation(&mut map, close.generation);
                map.put("start", &close.at);
                map.put("next", &close.at);
                map.put("continues", &close.next.suffix);
                map.put("continuesat", &close.next.first);
                close.next.act.write(&mut map);
                map.put("writer", &close.writer);
                write_totals(&mut map, close.totals);
            }
        }
        map.0
    }

    /// Reads the text map; keys that are not known are passed over.
    pub fn from_map(map: &MetaMap) -> Result<Self, MetaError> {
        let read = Reader(map);
        match read.text("layout")? {
            "1" => {}
            other => return Err(MetaError::Layout(other.to_owned())),
        }
        match read.text("kind")? {
            "data" => Ok(Self::File(read_file(&read)?)),
            "seal" => Ok(Self::Seal(SealMeta {
                identity: read_identity(&read)?,
                first: read.offset("first")?,
                suffix: read.parse("suffix")?,
                at: read.offset("start")?,
                continues: read.parse("continues")?,
                writer: read.parse("writer")?,
                totals: read_totals(&read)?.ok_or(MetaError::Missing("totalfiles"))?,
            })),
            "close" => Ok(Self::Close(CloseMeta {
                identity: read_identity(&read)?,
                generation: read_generation(&read)?,
                first: read.offset("first")?,
                suffix: read.parse("suffix")?,
                at: read.offset("start")?,
                next: Succession {
                    first: read.offset("continuesat")?,
                    suffix: read.parse("continues")?,
                    act: Act::read(&read)?,
                },
                writer: read.parse("writer")?,
                totals: read_totals(&read)?.ok_or(MetaError::Missing("totalfiles"))?,
            })),
            other => Err(wrong("kind", other, "expected \"data\", \"seal\" or \"close\"")),
        }
    }
}

struct Writer(MetaMap);

impl Writer {
    fn put(&mut self, key: &str, value: &dyn fmt::Display) {
        self.0.insert(key.to_owned(), value.to_string());
    }
}

fn write_common(map: &mut Writer, kind: &str, id: &Identity, first: Offset, suffix: Suffix) {
    map.put("layout", &1);
    map.put("kind", &kind);
    if !id.cluster_id.is_empty() {
        map.put("cluster", &id.cluster_id);
    }
    map.put("topic", &id.topic);
    map.put("topicid", &id.topic_id);
    map.put("partition", &id.partition);
    map.put("isolation", &id.isolation);
    map.put("first", &first);
    map.put("suffix", &suffix);
}

fn write_file(map: &mut Writer, file: &FileMeta) {
    write_common(map, "data", &file.identity, file.first, file.suffix);
    write_generation(map, file.generation);
    if file.suffix.format() == Format::Mak {
        map.put("mak", &file.mak);
    }
    if file.plain {
        map.put("schema", &"plain");
    }
    map.put("start", &file.range.start());
    map.put("next", &file.range.next());
    map.put("records", &file.records);
    map.put("bytes", &file.bytes);
    if let Some((low, high)) = file.times {
        map.put("firsttime", &low);
        map.put("lasttime", &high);
    }
    if let Some(gap) = file.gap {
        map.put("gapfrom", &gap.from);
        map.put("gapto", &gap.to);
        map.put("gapreason", &gap.reason);
    }
    if let Some(epoch) = file.leader_epoch {
        map.put("leaderepoch", &epoch);
    }
    if let Some(act) = &file.act {
        act.write(map);
    }
    map.put("writer", &file.writer);
    if let Some(totals) = file.totals {
        write_totals(map, totals);
    }
}

/// The first chain of a topic needs no number.
fn write_generation(map: &mut Writer, generation: u32) {
    if generation > 1 {
        map.put("generation", &generation);
    }
}

fn write_totals(map: &mut Writer, totals: Totals) {
    map.put("totalfiles", &totals.files);
    map.put("totalrecords", &totals.records);
    map.put("totalbytes", &totals.bytes);
    map.put("totalgaps", &totals.gaps);
    if let Some((low, high)) = totals.times {
        map.put("totalfirsttime", &low);
        map.put("totallasttime", &high);
    }
}

fn wrong(key: &'static str, value: &str, why: impl fmt::Display) -> MetaError {
    MetaError::Value { key, value: value.to_owned(), why: why.to_string() }
}

struct Reader<'a>(&'a MetaMap);

impl<'a> Reader<'a> {
    fn optional(&self, key: &'static str) -> Option<&'a str> {
        self.0.get(key).map(String::as_str)
    }

    fn text(&self, key: &'static str) -> Result<&'a str, MetaError> {
        self.optional(key).ok_or(MetaError::Missing(key))
    }

    fn parse<T: FromStr<Err: fmt::Display>>(&self, key: &'static str) -> Result<T, MetaError> {
        let text = self.text(key)?;
        text.parse().map_err(|e| wrong(key, text, e))
    }

    fn parse_optional<T: FromStr<Err: fmt::Display>>(
        &self,
        key: &'static str,
    ) -> Result<Option<T>, MetaError> {
        self.optional(key).map(|_| self.parse(key)).transpose()
    }

    fn offset(&self, key: &'static str) -> Result<Offset, MetaError> {
        let number: u64 = self.parse(key)?;
        Offset::new(number).map_err(|e| wrong(key, &number.to_string(), e))
    }
}

fn read_identity(read: &Reader<'_>) -> Result<Identity, MetaError> {
    let topic = read.text("topic")?;
    let partition: i64 = read.parse("partition")?;
    Ok(Identity {
        cluster_id: read.optional("cluster").unwrap_or_default().to_owned(),
        topic: TopicName::new(topic).map_err(|e| wrong("topic", topic, e))?,
        topic_id: read.parse("topicid")?,
        partition: Partition::new(partition)
            .map_err(|e| wrong("partition", &partition.to_string(), e))?,
        isolation: read.parse("isolation")?,
    })
}

fn read_file(read: &Reader<'_>) -> Result<FileMeta, MetaError> {
    let suffix: Suffix = read.parse("suffix")?;
    let (start, next) = (read.offset("start")?, read.offset("next")?);
    let times = read_times(read, "firsttime", "lasttime")?;
    let gap = match read.optional("gapfrom") {
        Some(_) => Some(Gap {
            from: read.offset("gapfrom")?,
            to: read.offset("gapto")?,
            reason: read.parse("gapreason")?,
        }),
        None => None,
    };
    Ok(FileMeta {
        identity: read_identity(read)?,
        generation: read_generation(read)?,
        first: read.offset("first")?,
        mak: match suffix.format() {
            Format::Mak => read.parse("mak")?,
            Format::Avro | Format::Jsonl => 0,
        },
        plain: read.optional("schema") == Some("plain"),
        suffix,
        range: OffsetRange::new(start, next).map_err(|e| wrong("next", &next.to_string(), e))?,
        records: read.parse("records")?,
        bytes: read.parse("bytes")?,
        times,
        gap,
        leader_epoch: read.parse_optional("leaderepoch")?,
        writer: read.parse("writer")?,
        act: read.optional("by").map(|_| Act::read(read)).transpose()?,
        totals: read_totals(read)?,
    })
}

fn read_times(
    read: &Reader<'_>,
    first: &'static str,
    last: &'static str,
) -> Result<Option<(i64, i64)>, MetaError> {
    Ok(read.parse_optional(first)?.zip(read.parse_optional(last)?))
}

fn read_generation(read: &Reader<'_>) -> Result<u32, MetaError> {
    Ok(read.parse_optional("generation")?.unwrap_or(1))
}

fn read_totals(read: &Reader<'_>) -> Result<Option<Totals>, MetaError> {
    if read.optional("totalfiles").is_none() {
        return Ok(None);
    }
    Ok(Some(Totals {
        files: read.parse("totalfiles")?,
        records: read.parse("totalrecords")?,
        bytes: read.parse("totalbytes")?,
        gaps: read.parse("totalgaps")?,
        times: read_times(read, "totalfirsttime", "totallasttime")?,
    }))
}
