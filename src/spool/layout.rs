//! The names in the spool: stages, files, tips, locks. Pure.
//!
//! | what | name |
//! |---|---|
//! | being written | `inprogress/TOPIC-PARTITION_START.TOKEN.mak` |
//! | complete | `rotated/TOPIC-PARTITION_START-LAST.mak` |
//! | packed | `compressed/TOPIC-PARTITION_START-LAST.mak`, `.mak.gz`, `.mak.zst` |
//! | tip of a chain | `tips/TOPIC-PARTITION.json` |
//! | wish that the consumer goes back | `tips/TOPIC-PARTITION_TO.rewind` |
//! | why a partition is stopped | `tips/TOPIC-PARTITION.stopped` |
//! | a partition's lock | `run/partition.TOPIC-PARTITION.lock` |
//! | not complete yet, in any directory | `.~NAME.TOKEN` |
//!
//! `START` and `LAST` are the first and the last offset covered, both inclusive. Names are parsed
//! from the right, because a topic may hold `-`, `_` and `.` itself; a topic may even begin with
//! a dot, but never holds a `~`, which is what tells a temporary name from all others. Each name
//! has one spelling only: what parses, prints as the same text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::types::{
    Offset, OffsetRange, Partition, Suffix, TopicName, TopicPartition, WriterToken,
};

/// Longest topic that stands in a name as it is, in bytes.
const LONGEST_TOPIC: usize = 160;
/// What is left of a longer one, before `~` and the digits of its hash.
const CUT_TOPIC: usize = 140;
/// Hex digits of a longer topic's hash.
const HASH_DIGITS: usize = 16;
/// How temporary names begin.
const TEMP_PREFIX: &str = ".~";

/// The directories of the spool; a file's stage is the directory that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Being written by a consumer.
    InProgress,
    /// Complete; waits for a compressor.
    Rotated,
    /// Packed; waits for an uploader.
    Compressed,
    /// Where each chain's tip is.
    Tips,
    /// Failed its checksum; kept for the operator.
    Quarantine,
    /// Locks and whatever else lives as long as the processes.
    Run,
}

impl Stage {
    /// Every one that there is.
    pub const ALL: [Self; 6] = [
        Self::InProgress,
        Self::Rotated,
        Self::Compressed,
        Self::Tips,
        Self::Quarantine,
        Self::Run,
    ];

    /// Those whose files count against `spool_max_bytes`.
    pub const DATA: [Self; 3] = [Self::InProgress, Self::Rotated, Self::Compressed];

    /// The directory's name.
    #[must_use]
    pub const fn dir_name(self) -> &'static str {
        match self {
            Self::InProgress => "inprogress",
            Self::Rotated => "rotated",
            Self::Compressed => "compressed",
            Self::Tips => "tips",
            Self::Quarantine => "quarantine",
            Self::Run => "run",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dir_name())
    }
}

/// A name that is none of ours in that place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is not the name of {what}")]
pub struct NameError {
    name: String,
    what: &'static str,
}

fn not(what: &'static str, name: &str) -> NameError {
    NameError { name: name.to_owned(), what }
}

/// A topic as the spool's names carry it: whole up to 160 bytes, else its first 140 bytes, `~`
/// and 16 hex digits of its SHA-256. Two of them are equal if and only if their topics are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolTopic(Arc<str>);

impl SpoolTopic {
    /// The spelling of `topic`.
    #[must_use]
    pub fn of(topic: &TopicName) -> Self {
        let name = topic.as_str();
        match name.get(..CUT_TOPIC) {
            Some(head) if name.len() > LONGEST_TOPIC => {
                Self(format!("{head}~{}", hash_digits(name)).into())
            }
            _ => Self(name.into()),
        }
    }

    /// The topic's name, where it stands here whole; a longer one is in the file's header.
    #[must_use]
    pub fn full_name(&self) -> Option<TopicName> {
        TopicName::new(&self.0).ok()
    }

    /// As it stands in names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let whole = text.len() <= LONGEST_TOPIC && TopicName::new(text).is_ok();
        (whole || is_cut_topic(text)).then(|| Self(text.into()))
    }
}

fn hash_digits(name: &str) -> String {
    let mut digits = format!("{:x}", Sha256::digest(name.as_bytes()));
    digits.truncate(HASH_DIGITS);
    digits
}

fn is_cut_topic(text: &str) -> bool {
    text.split_once('~').is_some_and(|(head, digits)| {
        head.len() == CUT_TOPIC
            && TopicName::new(head).is_ok()
            && digits.len() == HASH_DIGITS
            && digits.parse::<WriterToken>().is_ok()
    })
}

impl fmt::Display for SpoolTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic-partition as the spool's names carry it: `TOPIC-PARTITION`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolPartition {
    /// The topic, shortened if it is long.
    pub topic: SpoolTopic,
    /// The partition.
    pub partition: Partition,
}

impl SpoolPartition {
    /// The spelling of `tp`.
    #[must_use]
    pub fn of(tp: &TopicPartition) -> Self {
        Self { topic: SpoolTopic::of(&tp.topic), partition: tp.partition }
    }

    /// The topic-partition, where its topic stands here whole.
    #[must_use]
    pub fn full_name(&self) -> Option<TopicPartition> {
        Some(TopicPartition::new(self.topic.full_name()?, self.partition))
    }

    /// Name of the file under `tips/` that holds the tip.
    #[must_use]
    pub fn tip_name(&self) -> String {
        format!("{self}.json")
    }

    /// Name of the file under `tips/` that says why the partition is stopped.
    #[must_use]
    pub fn stop_name(&self) -> String {
        format!("{self}.stopped")
    }

    /// Name of the file under `run/` whose lock is the partition's.
    #[must_use]
    pub fn lock_name(&self) -> String {
        format!("partition.{self}.lock")
    }

    /// Reads what [`Self::tip_name`] wrote.
    pub fn parse_tip_name(name: &str) -> Result<Self, NameError> {
        let wrong = || not("a tip", name);
        name.strip_suffix(".json").and_then(Self::parse).ok_or_else(wrong)
    }

    /// Whose file under `tips/` it is, whatever it says.
    pub fn of_tips(name: &str) -> Option<Self> {
        let tip = || Self::parse_tip_name(name).ok();
        let stop = || Self::parse_stop_name(name).ok();
        tip().or_else(stop).or_else(|| Some(name.parse::<RewindName>().ok()?.partition))
    }

    /// Reads what [`Self::stop_name`] wrote.
    pub fn parse_stop_name(name: &str) -> Result<Self, NameError> {
        let wrong = || not("a stop note", name);
        name.strip_suffix(".stopped").and_then(Self::parse).ok_or_else(wrong)
    }

    fn parse(text: &str) -> Option<Self> {
        let (topic, partition) = text.rsplit_once('-')?;
        let number = i64::try_from(decimal(partition)?).ok()?;
        Some(Self { topic: SpoolTopic::parse(topic)?, partition: Partition::new(number).ok()? })
    }
}

impl FromStr for SpoolPartition {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text).ok_or_else(|| not("a partition", text))
    }
}

impl From<&TopicPartition> for SpoolPartition {
    fn from(tp: &TopicPartition) -> Self {
        Self::of(tp)
    }
}

impl fmt::Display for SpoolPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Name of a file under `inprogress/`: `TOPIC-PARTITION_START.TOKEN.mak`. The token keeps two
/// writers apart that begin at the same offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InProgressName {
    /// Whose records.
    pub partition: SpoolPartition,
    /// First offset covered.
    pub start: Offset,
    /// Who writes it.
    pub token: WriterToken,
}

impl fmt::Display for InProgressName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}.{}{}", self.partition, self.start, self.token, Suffix::Mak)
    }
}

impl FromStr for InProgressName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        let parse = || {
            let (rest, token) = name.strip_suffix(Suffix::Mak.as_str())?.rsplit_once('.')?;
            let (partition, start) = rest.rsplit_once('_')?;
            Some(Self {
                partition: SpoolPartition::parse(partition)?,
                start: offset(start)?,
                token: token.parse().ok()?,
            })
        };
        parse().ok_or_else(|| not("a file in progress", name))
    }
}

/// Name of a file under `rotated/` or `compressed/`: `TOPIC-PARTITION_START-LAST.mak[.gz|.zst]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName {
    /// Whose records.
    pub partition: SpoolPartition,
    /// The offsets covered.
    pub range: OffsetRange,
    /// How it is packed.
    pub suffix: Suffix,
}

impl FileName {
    /// The same file, packed otherwise.
    #[must_use]
    pub fn packed_as(&self, suffix: Suffix) -> Self {
        Self { suffix, ..self.clone() }
    }

    fn key(&self) -> (&SpoolPartition, Offset, Offset, Suffix) {
        (&self.partition, self.range.start(), self.range.next(), self.suffix)
    }
}

/// By topic, partition and start: the order in which files go up.
impl Ord for FileName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for FileName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, range, suffix } = self;
        write!(f, "{partition}_{}-{}{suffix}", range.start(), range.last())
    }
}

impl FromStr for FileName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        let parse = || {
            let (stem, suffix) = Suffix::ALL
                .into_iter()
                .find_map(|suffix| Some((name.strip_suffix(suffix.as_str())?, suffix)))?;
            let (rest, last) = stem.rsplit_once('-')?;
            let (partition, start) = rest.rsplit_once('_')?;
            let next = Offset::new(decimal(last)?.checked_add(1)?).ok()?;
            Some(Self {
                partition: SpoolPartition::parse(partition)?,
                range: OffsetRange::new(offset(start)?, next).ok()?,
                suffix,
            })
        };
        parse().ok_or_else(|| not("a complete file", name))
    }
}

/// Name of a wish under `tips/` that a consumer goes back: `TOPIC-PARTITION_TO.rewind`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RewindName {
    /// Of which partition.
    pub partition: SpoolPartition,
    /// Where to.
    pub to: Offset,
}

impl fmt::Display for RewindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}.rewind", self.partition, self.to)
    }
}

impl FromStr for RewindName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        let parse = || {
            let (partition, to) = name.strip_suffix(".rewind")?.rsplit_once('_')?;
            Some(Self { partition: SpoolPartition::parse(partition)?, to: offset(to)? })
        };
        parse().ok_or_else(|| not("a rewind", name))
    }
}

/// The temporary name of what will be `name`; `token` keeps two writers of one name apart.
#[must_use]
pub fn temp_name(name: &str, token: WriterToken) -> String {
    format!("{TEMP_PREFIX}{name}.{token}")
}

/// Whether `name` is a temporary one.
#[must_use]
pub fn is_temp_name(name: &str) -> bool {
    name.starts_with(TEMP_PREFIX)
}

/// A number in its only spelling: no sign, no leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn offset(text: &str) -> Option<Offset> {
    Offset::new(decimal(text)?).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any legal topic, the odd ones more often than chance would have them.
    pub(crate) fn topics() -> impl Strategy<Value = TopicName> {
        prop_oneof![
            "[a-zA-Z0-9._-]{1,249}",
            "[a._0-9-]{1,12}",
            "[a._-]{155,165}",
            Just("a-0_5-9.mak".to_owned()),
            Just("...".to_owned()),
        ]
        .prop_filter_map("not a topic", |name| TopicName::new(&name).ok())
    }

    pub(crate) fn partitions() -> impl Strategy<Value = TopicPartition> {
        let number = prop_oneof![Just(0), Just(i32::MAX), 0..=i32::MAX];
        (topics(), number)
            .prop_map(|(topic, n)| TopicPartition::new(topic, Partition::new(n.into()).unwrap()))
    }

    fn ranges() -> impl Strategy<Value = OffsetRange> {
        let end = i64::MAX.cast_unsigned();
        prop_oneof![(0..end, Just(end)), (0..1000u64, 0..1000u64), (0..end, 0..=end)]
            .prop_filter_map("empty", |(start, next)| {
                OffsetRange::new(Offset::new(start).unwrap(), Offset::new(next).unwrap()).ok()
            })
    }

    fn suffixes() -> impl Strategy<Value = Suffix> {
        prop::sample::select(Suffix::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn names_survive_the_round_trip(
            tp in partitions(), range in ranges(), suffix in suffixes(), token: u64
        ) {
            let token = WriterToken(token);
            let partition = SpoolPartition::of(&tp);
            let file = FileName { partition: partition.clone(), range, suffix };
            prop_assert_eq!(&file.to_string().parse::<FileName>().unwrap(), &file);
            let begun = InProgressName { partition: partition.clone(), start: range.start(), token };
            prop_assert_eq!(&begun.to_string().parse::<InProgressName>().unwrap(), &begun);
            let rewind = RewindName { partition: partition.clone(), to: range.start() };
            prop_assert_eq!(&rewind.to_string().parse::<RewindName>().unwrap(), &rewind);
            let tip = partition.tip_name();
            prop_assert_eq!(SpoolPartition::parse_tip_name(&tip).unwrap(), partition.clone());

            prop_assert!(file.to_string().parse::<InProgressName>().is_err());
            prop_assert!(begun.to_string().parse::<FileName>().is_err());
            for name in [file.to_string(), begun.to_string(), tip, partition.lock_name()] {
                prop_assert!(!is_temp_name(&name));
                prop_assert!(is_temp_name(&temp_name(&name, token)));
                prop_assert!(temp_name(&name, token).len() <= 255);
                prop_assert!(temp_name(&name, token).parse::<FileName>().is_err());
                prop_assert!(temp_name(&name, token).parse::<InProgressName>().is_err());
            }
        }

        #[test]
        fn topics_are_equal_exactly_when_their_spellings_are(a in topics(), b in topics()) {
            prop_assert_eq!(SpoolTopic::of(&a) == SpoolTopic::of(&b), a == b);
            prop_assert_eq!(SpoolTopic::of(&a), SpoolTopic::of(&a));
            if let Some(whole) = SpoolTopic::of(&a).full_name() {
                prop_assert_eq!(whole, a);
            }
        }

        #[test]
        fn what_parses_prints_the_same(name in "[a~._0-9-]{0,40}(\\.mak|\\.mak\\.gz|\\.json|\\.rewind)?") {
            if let Ok(file) = name.parse::<FileName>() {
                prop_assert_eq!(file.to_string(), name.clone());
            }
            if let Ok(file) = name.parse::<InProgressName>() {
                prop_assert_eq!(file.to_string(), name.clone());
            }
            if let Ok(rewind) = name.parse::<RewindName>() {
                prop_assert_eq!(rewind.to_string(), name.clone());
            }
            if let Ok(partition) = SpoolPartition::parse_tip_name(&name) {
                prop_assert_eq!(partition.tip_name(), name);
            }
        }

        #[test]
        fn garbage_is_refused_without_panic(name: String) {
            prop_assert!(name.parse::<FileName>().is_err());
            prop_assert!(name.parse::<InProgressName>().is_err());
            prop_assert!(name.parse::<RewindName>().is_err());
            prop_assert!(SpoolPartition::parse_tip_name(&name).is_err());
        }
    }

    #[test]
    fn names_read_as_documented() {
        let file: FileName = "my_topic-v1.x-3_100-199.mak.gz".parse().unwrap();
        assert_eq!(file.partition.topic.as_str(), "my_topic-v1.x");
        assert_eq!(file.partition.partition.get(), 3);
        assert_eq!(file.range.to_string(), "[100, 200)");
        assert_eq!(file.suffix, Suffix::MakGz);
        let begun: InProgressName = "t-0_5.00000000000000ff.mak".parse().unwrap();
        assert_eq!((begun.start.get(), begun.token), (5, WriterToken(255)));
        let wrong = "t-0_9-5.mak".parse::<FileName>().unwrap_err();
        assert_eq!(wrong.to_string(), "\"t-0_9-5.mak\" is not the name of a complete file");
        for name in ["t-0_05-9.mak", "t-0_5-+9.mak", "t_5-9.mak", "-0_5-9.mak", "..-0_5-9.mak"] {
            assert!(name.parse::<FileName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_long_topic_is_cut_and_told_apart_by_its_hash() {
        let topic = |n, end: &str| TopicName::new(&("x".repeat(n) + end)).unwrap();
        assert_eq!(SpoolTopic::of(&topic(159, "y")).as_str().len(), 160);
        let cut = SpoolTopic::of(&topic(200, "a"));
        assert_eq!(cut.as_str().len(), 157);
        assert!(cut.as_str().starts_with(&("x".repeat(140) + "~")));
        assert_ne!(cut, SpoolTopic::of(&topic(200, "b")));
        assert_eq!(cut.full_name(), None);
    }
}
