//! Topics, deleted records, leaders, offsets of groups, and what a log holds.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::{Answer, number, text};

const PATIENCE: Duration = Duration::from_secs(15);

/// An administrator's connection.
pub(crate) struct Admin {
    bootstrap: String,
    client: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    pub(crate) fn new(bootstrap: &str) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            client: config(bootstrap).create()?,
            runtime: tokio::runtime::Builder::new_current_thread().build()?,
        })
    }

    pub(crate) fn obey(&self, command: &Value) -> Answer {
        let topic = || text(command, "topic");
        let partition = || number(command, "partition");
        let group = || text(command, "group");
        let offset = || command["offset"].as_i64().ok_or("no offset");
        match command["do"].as_str() {
            Some("create") => self.create(topic()?, command),
            Some("delete") => self.delete(topic()?),
            Some("delete_records") => self.delete_records(topic()?, partition()?, offset()?),
            Some("partitions") => self.partitions(topic()?),
            Some("ends") => {
                let reader = self.reader("look")?;
                Ok(json!(reader.fetch_watermarks(topic()?, partition()?, PATIENCE)?))
            }
            Some("log") => self.log(topic()?, partition()?),
            Some("commit") => self.commit(group()?, topic()?, partition()?, offset()?),
            Some("delete_group") => self.delete_group(group()?),
            Some("committed") => self.committed(group()?, command),
            other => Err(format!("unknown command {other:?}").into()),
        }
    }

    fn reader(&self, group: &str) -> Result<BaseConsumer, KafkaError> {
        config(&self.bootstrap)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
    }

    /// `replicas`: for each partition the ids of its brokers, the preferred one first.
    fn create(&self, topic: &str, command: &Value) -> Answer {
        let replicas: Vec<Vec<i32>> = serde_json::from_value(command["replicas"].clone())?;
        let assignment: Vec<&[i32]> = replicas.iter().map(Vec::as_slice).collect();
        let count = i32::try_from(replicas.len())?;
        let mut new = NewTopic::new(topic, count, TopicReplication::Variable(&assignment));
        let settings: BTreeMap<String, String> =
            serde_json::from_value(command["settings"].clone())?;
        for (key, value) in &settings {
            new = new.set(key, value);
        }
        let results = self.runtime.block_on(self.client.create_topics([&new], &options()))?;
        all_well(results)
    }

    fn delete(&self, topic: &str) -> Answer {
        all_well(self.runtime.block_on(self.client.delete_topics(&[topic], &options()))?)
    }

    /// The new first offset.
    fn delete_records(&self, topic: &str, partition: i32, offset: i64) -> Answer {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        let deleted = self.runtime.block_on(self.client.delete_records(&list, &options()))?;
        for element in deleted.elements() {
            element.error()?;
        }
        Ok(Value::Null)
    }

    /// For each partition its leader and the brokers in sync.
    fn partitions(&self, topic: &str) -> Answer {
        let metadata = self.client.inner().fetch_metadata(Some(topic), PATIENCE)?;
        let topic = metadata.topics().first().ok_or("no such topic")?;
        if let Some(error) = topic.error() {
            return Err(format!("{error:?}").into());
        }
        let found = topic.partitions().iter();
        Ok(found.map(|p| json!({ "id": p.id(), "leader": p.leader(), "isr": p.isr() })).collect())
    }

    /// The log's first offset, its end, and the runs of numbered records in it.
    fn log(&self, topic: &str, partition: i32) -> Answer {
        let reader = self.reader("look")?;
        let (low, high) = reader.fetch_watermarks(topic, partition, PATIENCE)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(low))?;
        reader.assign(&list)?;
        let mut runs: Vec<(i64, u64, u64)> = Vec::new();
        loop {
            match reader.poll(PATIENCE).ok_or("nothing comes")? {
                Ok(message) => add(&mut runs, message.offset(), message.payload())?,
                Err(KafkaError::PartitionEOF(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(json!({ "low": low, "high": high, "runs": runs }))
    }

    fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) -> Answer {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        self.reader(group)?.commit(&list, CommitMode::Sync)?;
        Ok(Value::Null)
    }

    fn delete_group(&self, group: &str) -> Answer {
        let results = self.runtime.block_on(self.client.delete_groups(&[group], &options()))?;
        all_well(results)
    }

    /// For each of `partitions` (topic, number) what the group committed, and its metadata.
    fn committed(&self, group: &str, command: &Value) -> Answer {
        let wanted: Vec<(String, i32)> = serde_json::from_value(command["partitions"].clone())?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in &wanted {
            list.add_partition(topic, *partition);
        }
        let answer = self.reader(group)?.committed_offsets(list, PATIENCE)?;
        let mut found = Vec::new();
        for element in answer.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                let (topic, partition) = (element.topic(), element.partition());
                found.push(json!([topic, partition, offset, element.metadata()]));
            }
        }
        Ok(Value::Array(found))
    }
}

/// Adds a record to the runs (offset, number, count).
fn add(runs: &mut Vec<(i64, u64, u64)>, offset: i64, value: Option<&[u8]>) -> Result<(), String> {
    let number = value.and_then(<[u8]>::first_chunk);
    let seq = u64::from_be_bytes(*number.ok_or_else(|| format!("a strange record at {offset}"))?);
    if let Some((first, from, count)) = runs.last_mut()
        && seq == *from + *count
        && i64::try_from(*count) == Ok(offset - *first)
    {
        *count += 1;
    } else {
        runs.push((offset, seq, 1));
    }
    Ok(())
}

fn all_well<E: std::fmt::Debug>(results: Vec<Result<String, E>>) -> Answer {
    for result in results {
        result.map_err(|error| format!("{error:?}"))?;
    }
    Ok(Value::Null)
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("log_level", "2");
    config.set("reconnect.backoff.max.ms", "1000");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}
