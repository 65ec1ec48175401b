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

use crate::config::{Config, OffsetReset};
use crate::kafka::{Admin, Patterns, Spec};
use crate::meta::MetaMap;
use crate::store::StoreError;
use crate::store::names::Name;
use crate::types::{Isolation, Offset, Partition, TopicName, TopicPartition};
use crate::worker::chain_io::ChainIo;
use crate::worker::consumer::ASK;
use crate::worker::consumer::finder::FindError;

/// Ends of all partitions at the group's first start.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Exclusive ends by topic and partition.
    ends: HashMap<TopicName, HashMap<i32, Offset>>,
}

/// The rule for new chains.
pub(crate) struct Genesis {
    reset: OffsetReset,
    group: String,
    patterns: Patterns,
    isolation: Isolation,
    record: Option<Record>,
}

impl Genesis {
    pub(crate) fn new(config: &Config, patterns: Patterns) -> Self {
        Self {
            reset: config.consumer.offset_reset,
            group: config.consumer.group.clone(),
            patterns,
            isolation: config.consumer.isolation,
            record: None,
        }
    }

    /// Where the chain of `tp` begins, should it not exist.
    pub(crate) async fn first_offset(
        &mut self,
        io: &ChainIo,
        admin: &Admin,
        tp: &TopicPartition,
    ) -> Result<Offset, FindError> {
        if self.reset == OffsetReset::Earliest {
            return Ok(Offset::ZERO);
        }
        if self.record.is_none() {
            self.record = Some(self.load(io, admin).await?);
        }
        let ends = self.record.as_ref().and_then(|record| record.ends.get(&tp.topic));
        Ok(ends.and_then(|ends| ends.get(&tp.partition.get())).copied().unwrap_or(Offset::ZERO))
    }

    async fn load(&self, io: &ChainIo, admin: &Admin) -> Result<Record, FindError> {
        let name = record_name(&self.group)?;
        loop {
            if let Some(bytes) = io.store().get(&name).await? {
                return Ok(serde_json::from_slice(&bytes).map_err(|e| unreadable(&name, &e))?);
            }
            let record = self.snapshot(admin)?;
            let text = serde_json::to_vec(&record).map_err(|e| unreadable(&name, &e))?;
            match io.store().create(&name, vec![Bytes::from(text)], &MetaMap::new()).await {
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
