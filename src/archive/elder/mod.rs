//! Files that other tools archived: of kafka_store, and of the original kafkatos3. They are known by
//! their names.
//!
//! | layout | name under the archive's URL, or under its `kafkatos3/` | body |
//! |---|---|---|
//! | kafka_store | `TOPIC/000003/00000000000000001207` | Avro without offsets: dense from the one in the name |
//! | original | `TOPIC/3/TOPIC-3_1207-1300_160811.mak.gz` | MAK version 1, in any gzip |
//!
//! Neither has a tail, nor metadata: what is in a file is known when it was read from its beginning
//! to its end. `cut` does that in pieces of bounded size, without I/O; `run` fetches for a reader of
//! records, `look` for whoever only wants to know whether a file is whole.

mod cut;
mod look;
mod run;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Serialize, Serializer};

use super::batch::File;
use crate::codec::{BodyFacts, Index, Tail};
use crate::legacy::name::{LegacyName, Packing};
use crate::meta::{FileMeta, Identity, MetaMap, ObjectMeta};
use crate::store::names::{ChainId, Name};
use crate::store::{Listed, Store};
use crate::types::{
    Isolation, Offset, OffsetRange, Partition, Suffix, TopicId, TopicPartition, WriterToken,
};

pub use look::Survey;
pub(super) use look::SurveyError;

/// The folder at an archive's root that the original puts its topics into.
pub(super) const ROOT: &str = crate::legacy::name::OBJECTS;
/// Digits of a name of kafka_store's.
const DIGITS: usize = 20;

/// Whose names a partition's objects have, in the order in which the tools came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Layout {
    /// Those of the original kafkatos3.
    Original,
    /// kafka_store's.
    KafkaStore,
    /// Ours: a chain.
    #[default]
    Chain,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Original => "original",
            Self::KafkaStore => "kafka_store",
            Self::Chain => "chain",
        })
    }
}

impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A file of another tool's, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elder {
    /// Its name under the archive's URL.
    pub name: Name,
    /// Whose it is.
    pub layout: Layout,
    /// Its length in bytes.
    pub size: u64,
    /// The offsets that its name says; of kafka_store's that is the first one alone.
    said: OffsetRange,
}

impl Elder {
    /// Reads a line of the listing of a folder of the partition of `chain`; `None` if no other tool
    /// would have given that name.
    pub(super) fn of_listing(chain: &ChainId, line: &Listed) -> Option<Self> {
        if chain.name().generation() != 1 {
            return None;
        }
        let (folder, last) = line.name.as_str().rsplit_once('/')?;
        let (layout, said) = if folder == chain.to_string() {
            (Layout::KafkaStore, kafka_store_name(last)?)
        } else {
            let (above, number) = folder.rsplit_once('/')?;
            let topic = above.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'));
            let (name, packing) = LegacyName::parse(last)?;
            let its = topic.unwrap_or(above) == chain.name().to_string()
                && unpadded(number) == Some(chain.partition())
                && name.tp == tp_of(chain)
                && packing == Packing::Gzip;
            its.then_some((Layout::Original, name.range))?
        };
        Some(Self { name: line.name.clone(), layout, size: line.size, said })
    }

    /// The file that kafka_store makes at `start`, whose size is not known yet.
    fn of_kafka_store(chain: &ChainId, start: Offset) -> Option<Self> {
        let name = Name::parse(&format!("{chain}/{:020}", start.get())).ok()?;
        let said = OffsetRange::new(start, start.after()).ok()?;
        Some(Self { name, layout: Layout::KafkaStore, size: 0, said })
    }

    /// The first offset that it covers.
    #[must_use]
    pub const fn start(&self) -> Offset {
        self.said.start()
    }

    /// Behind the last offset that it covers, where its name says it.
    #[must_use]
    pub fn next(&self) -> Option<Offset> {
        (self.layout == Layout::Original).then(|| self.said.next())
    }

    /// Where it is, for people.
    fn url(&self, store: &dyn Store) -> String {
        format!("{}/{}", store.url(), self.name)
    }

    /// The same, told as if it were a file of ours that says no more than its name does.
    fn as_file(&self, tp: &TopicPartition, store: &dyn Store) -> File {
        let original = self.layout == Layout::Original;
        let suffix = if original { Suffix::MakGz } else { Suffix::Avro };
        let meta = FileMeta {
            identity: Identity {
                cluster_id: String::new(),
                topic: tp.topic.clone(),
                topic_id: TopicId::UNKNOWN,
                partition: tp.partition,
                isolation: Isolation::ReadUncommitted,
            },
            generation: 1,
            first: self.start(),
            mak: u8::from(original),
            plain: !original,
            suffix,
            range: self.said,
            records: 0,
            bytes: 0,
            times: None,
            gap: None,
            leader_epoch: None,
            writer: WriterToken(0),
            act: None,
            totals: None,
        };
        File {
            name: self.name.clone(),
            url: self.url(store),
            suffix,
            size: self.size,
            tail: Tail {
                body: BodyFacts::default(),
                index: Index::default(),
                meta: MetaMap::new(),
                avro: None,
            },
            meta: ObjectMeta::File(meta),
            content: None,
        }
    }
}

/// The first offset of a file of kafka_store's, by its name.
fn kafka_store_name(name: &str) -> Option<OffsetRange> {
    let digits = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
    let start = digits.then(|| Offset::new(name.parse().ok()?).ok())??;
    OffsetRange::new(start, start.after()).ok()
}

/// The partition of a folder of the original's: a number without zeros before it.
pub(super) fn unpadded(folder: &str) -> Option<Partition> {
    let number = Partition::new(folder.parse().ok()?).ok()?;
    (number.to_string() == folder).then_some(number)
}

fn tp_of(chain: &ChainId) -> TopicPartition {
    TopicPartition::new(chain.name().topic().clone(), chain.partition())
}
