//! Names of objects, as `docs/archive-layout.md` lays them down.
//!
//! Pure. A [`Name`] or [`Folder`] is relative to the store's prefix, and safe to be joined to it:
//! no empty part, no `.` or `..`, no control character; a name's last part is no temporary file's.

use std::fmt;

use crate::types::{Offset, Partition, Suffix, TopicName};

/// Begins the names of files that are being written; never the last part of a [`Name`].
pub const TEMP_PREFIX: &str = ".tmp-";

/// A name that no object can have here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" can't be an object's name: parts between \"/\", none empty, \".\" or \"..\"")]
pub struct NameError(String);

fn is_legal(path: &str) -> bool {
    let legal = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.chars().any(|c| c.is_ascii_control())
    };
    path.split('/').all(legal)
}

/// The name of an object, relative to the store's prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Takes a name as it is; checks only that it is safe.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let last = name.rsplit('/').next().unwrap_or_default();
        if is_legal(name) && !last.starts_with(TEMP_PREFIX) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError(name.to_owned()))
        }
    }

    /// Where the self-test that drew `random` writes.
    #[must_use]
    pub fn selftest(random: u64) -> Self {
        Self(format!("{SELFTEST}/{random:016x}"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A folder of objects, relative to the store's prefix. The root is the empty one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Folder(String);

impl Folder {
    /// Everything under the store's prefix.
    #[must_use]
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Where self-tests write.
    #[must_use]
    pub fn selftest() -> Self {
        Self(SELFTEST.to_owned())
    }

    /// Takes a folder as it is, with or without a slash at its end; empty is the root.
    pub fn parse(folder: &str) -> Result<Self, NameError> {
        let folder = folder.strip_suffix('/').unwrap_or(folder);
        if folder.is_empty() || is_legal(folder) {
            Ok(Self(folder.to_owned()))
        } else {
            Err(NameError(folder.to_owned()))
        }
    }

    /// The folder as text, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part; empty for the root.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic's chains of one generation: 1 prints as `topic`, 2 as `topic@2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName {
    topic: TopicName,
    generation: u32,
}

impl ChainName {
    /// The first generation.
    #[must_use]
    pub const fn first(topic: TopicName) -> Self {
        Self { topic, generation: 1 }
    }

    /// Generation `generation`; 0 counts as 1.
    #[must_use]
    pub const fn new(topic: TopicName, generation: u32) -> Self {
        Self { topic, generation: if generation == 0 { 1 } else { generation } }
    }

    /// The generation behind this one.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self { topic: self.topic.clone(), generation: self.generation.saturating_add(1) }
    }

    /// Reads a folder's name; `None` if it is not one that this type prints.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, generation) = match text.split_once('@') {
            Some((topic, number)) => (topic, number.parse().ok()?),
            None => (text, 1),
        };
        let chain = Self::new(TopicName::new(topic).ok()?, generation);
        (chain.to_string() == text).then_some(chain)
    }

    /// The topic.
    #[must_use]
    pub const fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The generation, from 1.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The folder of all its partitions.
    #[must_use]
    pub fn folder(&self) -> Folder {
        Folder(self.to_string())
    }

    /// The chain of one partition.
    #[must_use]
    pub const fn partition(self, partition: Partition) -> ChainId {
        ChainId { name: self, partition }
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            1 => self.topic.fmt(f),
            generation => write!(f, "{}@{generation}", self.topic),
        }
    }
}

/// One chain: a topic's generation and a partition. Prints as its folder, `topic/000003`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId {
    name: ChainName,
    partition: Partition,
}

impl ChainId {
    /// Topic and generation.
    #[must_use]
    pub const fn name(&self) -> &ChainName {
        &self.name
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// The folder of all its objects.
    #[must_use]
    pub fn folder(&self) -> Folder {
        Folder(self.to_string())
    }

    /// The name of its identity record.
    #[must_use]
    pub fn record(&self) -> Name {
        Name(format!("{self}/{RECORD}"))
    }

    /// The name of the file, or seal, at `start`.
    #[must_use]
    pub fn object(&self, start: Offset, suffix: Suffix) -> Name {
        let end = if suffix.is_kafka_store() { "" } else { suffix.as_str() };
        Name(format!("{self}/{:020}{end}", start.get()))
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:06}", self.name, self.partition.get())
    }
}

const SELFTEST: &str = "@selftest";
const RECORD: &str = "chain.json";

/// What a listed name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A file, or a seal; under kafka_store's name, it may be one of kafka_store's own.
    Object {
        /// Whose.
        chain: ChainId,
        /// The chain position in its name.
        start: Offset,
        /// The end of its name.
        suffix: Suffix,
    },
    /// An identity record.
    Record(ChainId),
    /// A chain's folder holds something that is not of a chain.
    Foreign,
}

/// Reads a name of a listing. Only what this module prints exactly so is recognised.
#[must_use]
pub fn parse(name: &Name) -> Parsed {
    parse_known(name).unwrap_or(Parsed::Foreign)
}

fn parse_known(name: &Name) -> Option<Parsed> {
    let (folder, last) = name.as_str().rsplit_once('/')?;
    let chain = parse_chain(folder)?;
    if last == RECORD {
        return Some(Parsed::Record(chain));
    }
    let start = last.split_once('.').map_or(last, |(start, _)| start);
    let suffix = match last.strip_prefix(start)? {
        "" => Suffix::KafkaStore,
        end => end.parse().ok()?,
    };
    let start = Offset::new(start.parse().ok()?).ok()?;
    (chain.object(start, suffix) == *name).then_some(Parsed::Object { chain, start, suffix })
}

/// Reads a partition's folder; `None` if it is none.
#[must_use]
pub fn parse_chain(folder: &str) -> Option<ChainId> {
    let (name, number) = folder.split_once('/')?;
    let partition = Partition::new(number.parse().ok()?).ok()?;
    let chain = ChainName::parse(name)?.partition(partition);
    (chain.to_string() == folder).then_some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(topic: &str, generation: u32, partition: i64) -> ChainId {
        ChainName::new(TopicName::new(topic).unwrap(), generation)
            .partition(Partition::new(partition).unwrap())
    }

    fn offset(n: u64) -> Offset {
        Offset::new(n).unwrap()
    }

    #[test]
    fn names_are_as_the_layout_says() {
        let orders = chain("orders", 1, 3);
        assert_eq!(orders.record().as_str(), "orders/000003/chain.json");
        assert_eq!(
            orders.object(Offset::ZERO, Suffix::MakGz).as_str(),
            "orders/000003/00000000000000000000.mak.gz"
        );
        assert_eq!(
            chain("a.b", 2, 1_234_567).object(offset(1207), Suffix::MakZst).as_str(),
            "a.b@2/1234567/00000000000000001207.mak.zst"
        );
        assert_eq!(orders.folder().as_str(), "orders/000003");
        assert_eq!(Name::selftest(255).as_str(), "@selftest/00000000000000ff");
    }

    #[test]
    fn what_is_printed_reads_back() {
        let top = u64::try_from(i64::MAX).unwrap();
        let topics = ["a", "x.y", "..x", "-", "_._", ".tmp-1", &"t".repeat(249)];
        for topic in topics {
            for (generation, partition, start) in [(1, 0, 0), (2, 7, 1), (11, 2_147_483_647, top)] {
                let chain = chain(topic, generation, partition);
                assert_eq!(parse_chain(&chain.to_string()), Some(chain.clone()));
                assert_eq!(parse(&chain.record()), Parsed::Record(chain.clone()));
                for suffix in Suffix::ALL {
                    let start = offset(start);
                    let name = chain.object(start, suffix);
                    assert_eq!(Name::parse(name.as_str()), Ok(name.clone()));
                    let expected = Parsed::Object { chain: chain.clone(), start, suffix };
                    assert_eq!(parse(&name), expected);
                }
            }
        }
    }

    #[test]
    fn everything_else_is_foreign() {
        for name in [
            "orders/000003/00000000000000000000.mak.gz.bak",
            "orders/000003/0.mak.gz",
            "orders/000003/+0000000000000000000.mak",
            "orders/000003/99999999999999999999.mak",
            "orders/000003/0000000000000000000",
            "orders/000003/00000000000000000000.kafka_store",
            "orders/000003/.mak",
            "orders/3/00000000000000000000.mak",
            "orders/0000003/00000000000000000000.mak",
            "orders/+00003/chain.json",
            "orders@1/000003/chain.json",
            "orders@02/000003/chain.json",
            "orders@/000003/chain.json",
            "orders@0/000003/chain.json",
            "or ders/000003/chain.json",
            "prefix/orders/000003/chain.json",
            "@selftest/00000000000000ff",
            "chain.json",
        ] {
            assert_eq!(parse(&Name::parse(name).unwrap()), Parsed::Foreign, "{name}");
        }
    }

    #[test]
    fn unsafe_names_are_refused() {
        for name in ["", "/a", "a/", "a//b", ".", "a/../b", "a/\n", "a/.tmp-1"] {
            assert!(Name::parse(name).is_err(), "{name:?}");
        }
        assert_eq!(Folder::parse("").unwrap(), Folder::root());
        assert_eq!(Folder::parse("a/b/").unwrap().last(), "b");
        assert!(Folder::parse("a/../b").is_err());
        assert!(Folder::parse("/").is_ok());
    }

    #[test]
    fn generations_follow_one_another() {
        let first = ChainName::first(TopicName::new("t").unwrap());
        assert_eq!(first.to_string(), "t");
        assert_eq!(first.successor().to_string(), "t@2");
        assert_eq!(ChainName::parse("t@2").unwrap().generation(), 2);
        assert_eq!(ChainName::new(TopicName::new("t").unwrap(), 0), first);
    }
}
