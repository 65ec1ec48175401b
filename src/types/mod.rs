//! The words of the product as types: topics, partitions, offsets, ranges.
//!
//! Pure. Depends on nothing of the crate; everything else may depend on it.

mod suffix;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub use suffix::{AvroSchema, Format, Suffix};

/// A value that is not what its type asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Not a legal name of a Kafka topic.
    #[error("\"{0}\" is not a topic name: 1 to 249 of a-z A-Z 0-9 . _ - and not \".\" or \"..\"")]
    TopicName(String),
    /// Not a partition number.
    #[error("{0} is not a partition: 0 to 2147483647")]
    Partition(i64),
    /// Not an offset.
    #[error("{0} is not an offset: 0 to 9223372036854775807")]
    Offset(i128),
    /// A range that covers nothing.
    #[error("the range [{start}, {next}) covers no offset")]
    EmptyRange {
        /// First offset, inclusive.
        start: u64,
        /// End, exclusive.
        next: u64,
    },
    /// Not an id, token or word that is known.
    #[error("\"{text}\" is not {what}")]
    Word {
        /// What was found.
        text: String,
        /// What was expected.
        what: &'static str,
    },
}

/// The name of a Kafka topic: 1 to 249 characters of `[a-zA-Z0-9._-]`, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Checks `name` against Kafka's rules for topic names.
    pub fn new(name: &str) -> Result<Self, TypeError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=249).contains(&name.len()) && name != "." && name != "..";
        if fits && name.bytes().all(legal) {
            Ok(Self(name.into()))
        } else {
            Err(TypeError::TopicName(name.to_owned()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TopicName {
    type Error = TypeError;
    fn try_from(name: String) -> Result<Self, TypeError> {
        Self::new(&name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> String {
        name.as_str().to_owned()
    }
}

/// The number of a partition, 0 to `i32::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i32")]
pub struct Partition(i32);

impl Partition {
    /// Checks that `number` is not negative and fits Kafka's 32 bits.
    pub fn new(number: i64) -> Result<Self, TypeError> {
        match i32::try_from(number) {
            Ok(n) if n >= 0 => Ok(Self(n)),
            _ => Err(TypeError::Partition(number)),
        }
    }

    /// The number as Kafka's protocol has it.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for Partition {
    type Error = TypeError;
    fn try_from(number: i64) -> Result<Self, TypeError> {
        Self::new(number)
    }
}

impl From<Partition> for i32 {
    fn from(p: Partition) -> i32 {
        p.0
    }
}

/// An offset in a partition, 0 to `i64::MAX`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct Offset(u64);

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Self = Self(0);

    /// Checks that `offset` is one that Kafka can hold.
    pub const fn new(offset: u64) -> Result<Self, TypeError> {
        if offset <= i64::MAX as u64 {
            Ok(Self(offset))
        } else {
            Err(TypeError::Offset(offset as i128))
        }
    }

    /// The same for a number of Kafka's protocol, where negative ones have meanings of their own.
    pub fn from_kafka(offset: i64) -> Result<Self, TypeError> {
        u64::try_from(offset).map(Self).map_err(|_| TypeError::Offset(offset.into()))
    }

    /// The offset as a plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The offset as Kafka's protocol has it.
    #[must_use]
    pub const fn to_kafka(self) -> i64 {
        self.0.cast_signed()
    }

    /// The offset behind this one; stays at the highest that there is.
    #[must_use]
    pub const fn after(self) -> Self {
        if self.0 < i64::MAX as u64 { Self(self.0 + 1) } else { self }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u64> for Offset {
    type Error = TypeError;
    fn try_from(offset: u64) -> Result<Self, TypeError> {
        Self::new(offset)
    }
}

impl From<Offset> for u64 {
    fn from(o: Offset) -> u64 {
        o.0
    }
}

/// Offsets `[start, next)`: `start` inclusive, `next` exclusive, at least one offset.
///
/// | | 3 | 4 | 5 |
/// |---|---|---|---|
/// | `[3, 5)` contains | yes | yes | no |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    start: Offset,
    next: Offset,
}

impl OffsetRange {
    /// The range from `start` (inclusive) to `next` (exclusive); an error if it covers nothing.
    pub fn new(start: Offset, next: Offset) -> Result<Self, TypeError> {
        if start < next {
            Ok(Self { start, next })
        } else {
            Err(TypeError::EmptyRange { start: start.get(), next: next.get() })
        }
    }

    /// First offset, inclusive.
    #[must_use]
    pub const fn start(self) -> Offset {
        self.start
    }

    /// End, exclusive: where the next file starts.
    #[must_use]
    pub const fn next(self) -> Offset {
        self.next
    }

    /// Last offset, inclusive: what the spool's names carry.
    #[must_use]
    pub const fn last(self) -> Offset {
        Offset(self.next.0 - 1)
    }

    /// Whether `offset` lies inside.
    #[must_use]
    pub fn contains(self, offset: Offset) -> bool {
        self.start <= offset && offset < self.next
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.next)
    }
}

/// One partition of one topic; prints as `TOPIC-PARTITION`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
}

impl TopicPartition {
    /// Puts the two together.
    #[must_use]
    pub const fn new(topic: TopicName, partition: Partition) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What a record's timestamp means (Kafka's `timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// Set by the producer (`CreateTime`).
    Create,
    /// Set by the broker (`LogAppendTime`).
    LogAppend,
}

/// A record's timestamp with its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// Milliseconds since 1970-01-01 UTC; may be negative.
    pub millis: i64,
    /// Who set it.
    pub kind: TimestampType,
}

/// A topic's 128-bit id; brokers before 2.8 have none, which is *unknown* and equal to any.
#[derive(Debug, Clone, Copy, Default, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// The id that says nothing.
    pub const UNKNOWN: Self = Self([0; 16]);

    /// From the protocol's two halves, most significant first.
    #[must_use]
    pub fn from_halves(most: i64, least: i64) -> Self {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&most.to_be_bytes());
        id[8..].copy_from_slice(&least.to_be_bytes());
        Self(id)
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        self.0 == [0; 16]
    }

    /// Whether both can be ids of the same topic: equal, or one of them unknown.
    #[must_use]
    pub fn agrees_with(self, other: Self) -> bool {
        self.is_unknown() || other.is_unknown() || self.0 == other.0
    }
}

/// As Kafka's own tools print it: URL-safe base64 without padding.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for TopicId {
    type Err = TypeError;
    fn from_str(text: &str) -> Result<Self, TypeError> {
        let wrong = || TypeError::Word { text: text.to_owned(), what: "a topic id" };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        Ok(Self(bytes.try_into().map_err(|_| wrong())?))
    }
}

impl TryFrom<String> for TopicId {
    type Error = TypeError;
    fn try_from(text: String) -> Result<Self, TypeError> {
        text.parse()
    }
}

impl From<TopicId> for String {
    fn from(id: TopicId) -> String {
        id.to_string()
    }
}

/// Names who wrote a file: 64 random bits, made when the file is begun. 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WriterToken(pub u64);

impl fmt::Display for WriterToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for WriterToken {
    type Err = TypeError;
    fn from_str(text: &str) -> Result<Self, TypeError> {
        let wrong = || TypeError::Word { text: text.to_owned(), what: "a writer token" };
        if text.len() != 16 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| wrong())
    }
}

impl TryFrom<String> for WriterToken {
    type Error = TypeError;
    fn try_from(text: String) -> Result<Self, TypeError> {
        text.parse()
    }
}

impl From<WriterToken> for String {
    fn from(token: WriterToken) -> String {
        token.to_string()
    }
}

/// Which records of transactions count (Kafka's `isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Those of open and aborted transactions too.
    ReadUncommitted,
    /// Only those of committed transactions, up to the last stable offset.
    ReadCommitted,
}

impl Isolation {
    /// Kafka's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read_uncommitted",
            Self::ReadCommitted => "read_committed",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Isolation {
    type Err = TypeError;
    fn from_str(text: &str) -> Result<Self, TypeError> {
        [Self::ReadUncommitted, Self::ReadCommitted]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| TypeError::Word { text: text.to_owned(), what: "an isolation level" })
    }
}
