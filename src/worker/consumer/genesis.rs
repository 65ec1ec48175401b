//! Where a chain begins that nobody has begun yet.
//!
//! `earliest` begins every chain at offset 0; what retention already took becomes a recorded
//! gap. `latest` begins at the end those partitions that exist at the group's first start; all
//! found later begin at 0, or records produced before they were noticed would be missed. What
//! "the first start" saw is written once, by create-if-absent, to `@chain/genesis/GROUP.json`,
//! so that all processes and all later starts agree.

use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chain::{CommitNote, Stop};
use crate::config::{Config, OffsetReset, OnTopicRecreated};
use crate::fail::step;
use crate::kafka::{Admin, Code, Committed, KafkaError, Patterns, Spec};
use crate::legacy::begin::{Begin, Known};
use crate::meta::MetaMap;
use crate::store::names::{ChainId, Name};
use crate::store::{StoreError, ask};
use crate::types::{Isolation, Offset, Partition, TopicName, TopicPartition};
use crate::worker::chain_io::ChainIo;
use crate::worker::consumer::ASK;
use crate::worker::consumer::finder::FindError;
use crate::worker::originals::Originals;

/// Ends of all partitions at the group's first start.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Exclusive ends by topic and partition.
    ends: HashMap<TopicName, HashMap<i32, Offset>>,
}

/// The rule for new chains.
pub(crate) struct Genesis {
    reset: OffsetReset,
    /// `on_topic_recreated = new_chain`
    new_chains: bool,
    group: String,
    patterns: Patterns,
    isolation: Isolation,
    originals: Originals,
    record: Option<Record>,
}

impl Genesis {
    pub(crate) fn new(config: &Config, patterns: Patterns) -> Self {
        Self {
            reset: config.consumer.offset_reset,
            new_chains: config.consumer.on_topic_recreated == OnTopicRecreated::NewChain,
            group: config.consumer.group.clone(),
            patterns,
            isolation: config.consumer.isolation,
            originals: Originals::new(&config.archive.target),
            record: None,
        }
    }

    /// To be called before anything else, and again after an error. With `latest`, the first call
    /// of all settles which partitions there are at the group's first start.
    pub(crate) async fn prepare(&mut self, io: &ChainIo, admin: &Admin) -> Result<(), FindError> {
        if self.reset == OffsetReset::Latest && self.record.is_none() {
            self.record = Some(self.load(io, admin).await?);
        }
        Ok(())
    }

    /// Where `chain` of `tp` begins, which does not exist: behind what the original tool archived,
    /// else at the offset that the group committed, else as the settings say. Only a topic's first
    /// chain has to do with what was before kafkatos3.
    pub(crate) async fn begin(
        &self,
        admin: &Admin,
        chain: &ChainId,
        tp: &TopicPartition,
        committed: Option<&Committed>,
    ) -> Result<Result<Offset, Stop>, FindError> {
        if chain.name().generation() > 1 {
            return Ok(Ok(self.as_set(tp)));
        }
        let files = self.originals.reach_if_permitted(tp).await?;
        let foreign = committed.filter(|commit| CommitNote::parse(&commit.metadata).is_none());
        let committed = foreign.map(|commit| commit.offset);
        if files.is_none() && committed.is_none() {
            return Ok(Ok(self.as_set(tp)));
        }
        let known = Known { files, committed, end: log_end(admin, tp)? };
        Ok(match known.begin() {
            Begin::BehindFiles(first) => {
                log::info!(
                    event = "chain_begun", topic:% = tp.topic, partition = tp.partition.get(),
                    next = first.get();
                    "{tp}: the chain begins at {first}, behind the original's files"
                );
                Ok(first)
            }
            Begin::AtCommit(first) => {
                log::info!(
                    event = "chain_begun", topic:% = tp.topic, partition = tp.partition.get(),
                    next = first.get();
                    "{tp}: the chain begins at {first}, which the group has committed"
                );
                Ok(first)
            }
            Begin::AsSet => {
                let first = self.as_set(tp);
                log::warn!(
                    "{tp}: the group has committed an offset beyond the log's end ({}), so the \
                     chain begins at {first}",
                    known.end
                );
                Ok(first)
            }
            Begin::Beyond { files, end } if self.new_chains => {
                let first = self.as_set(tp);
                log::warn!(
                    "{tp}: the original's files reach to {files}, but the log ends at {end}: the \
                     topic was created again; the chain begins at {first}"
                );
                Ok(first)
            }
            Begin::Beyond { files, end } => Err(Stop::OriginalAhead { files, end }),
        })
    }

    fn as_set(&self, tp: &TopicPartition) -> Offset {
        let ends = self.record.as_ref().and_then(|record| record.ends.get(&tp.topic));
        ends.and_then(|ends| ends.get(&tp.partition.get())).copied().unwrap_or(Offset::ZERO)
    }

    async fn load(&self, io: &ChainIo, admin: &Admin) -> Result<Record, FindError> {
        let name = record_name(&self.group)?;
        loop {
            if let Some(bytes) = ask(step!("first_start.get"), io.store().get(&name)).await? {
                return Ok(serde_json::from_slice(&bytes).map_err(|e| unreadable(&name, &e))?);
            }
            let record = self.snapshot(admin)?;
            let text = serde_json::to_vec(&record).map_err(|e| unreadable(&name, &e))?;
            let (body, meta) = (vec![Bytes::from(text)], MetaMap::new());
            match ask(step!("first_start.put"), io.store().create(&name, body, &meta)).await {
                Ok(()) => return Ok(record),
                // Somebody else was first, or the answer was lost: what stands there counts.
                Err(StoreError::Exists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn snapshot(&self, admin: &Admin) -> Result<Record, FindError> {
        let mut asked = Vec::new();
        for (topic, partitions) in admin.topics(ASK)? {
            if self.patterns.matches(&topic) {
                for number in 0..partitions {
                    let Ok(partition) = Partition::new(number.into()) else { continue };
                    let tp = TopicPartition::new(topic.clone(), partition);
                    asked.push((tp, Spec::Latest));
                }
            }
        }
        let mut record = Record::default();
        for (tp, end) in admin.list_offsets(&asked, self.isolation, ASK)? {
            let end = end.map_err(FindError::from)?;
            record.ends.entry(tp.topic).or_default().insert(tp.partition.get(), end);
        }
        Ok(record)
    }
}

/// The end of the log, open transactions and all: the original read those, too.
fn log_end(admin: &Admin, tp: &TopicPartition) -> Result<Offset, KafkaError> {
    let asked = [(tp.clone(), Spec::Latest)];
    let mut answers = admin.list_offsets(&asked, Isolation::ReadUncommitted, ASK)?;
    let unknown = || KafkaError::Partition {
        partition: tp.clone(),
        code: Code::UNKNOWN_PARTITION,
        text: Code::UNKNOWN_PARTITION.to_string(),
    };
    answers.pop().ok_or_else(unknown)?.1
}

fn unreadable(name: &Name, error: &serde_json::Error) -> StoreError {
    StoreError::Other { name: name.to_string(), words: format!("does not read: {error}") }
}

/// `@chain/genesis/GROUP.json`, with everything but letters, digits, `.`, `_` and `-` as `%XX`.
fn record_name(group: &str) -> Result<Name, StoreError> {
    let mut name = String::from("@chain/genesis/");
    for byte in group.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name.push_str(".json");
    Name::parse(&name).map_err(|e| StoreError::Other { name, words: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_group_has_a_safe_name() {
        assert_eq!(record_name("a.b-c_1").unwrap().as_str(), "@chain/genesis/a.b-c_1.json");
        assert_eq!(record_name("../é").unwrap().as_str(), "@chain/genesis/..%2F%C3%A9.json");
    }
}
