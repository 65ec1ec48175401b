//! What tests do to a cluster and ask of it: topics, deleted records, positions of groups.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::eventually;

const PATIENCE: Duration = Duration::from_secs(30);

/// An administrator of one cluster.
pub(crate) struct Admin {
    bootstrap: String,
    client: AdminClient<DefaultClientContext>,
}

impl Admin {
    /// For the plain listener at `bootstrap`.
    pub(crate) fn new(bootstrap: &str) -> Self {
        let client = config(bootstrap).create().expect("an admin client");
        Self { bootstrap: bootstrap.to_owned(), client }
    }

    /// Creates a topic and waits until it can be used. Old timestamps don't make it forget.
    pub(crate) fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in [("retention.ms", "-1")].iter().chain(settings) {
            new = new.set(key, value);
        }
        let results = wait(self.client.create_topics([&new], &options())).expect("create a topic");
        for result in results {
            result.expect("create a topic");
        }
        let wanted = usize::try_from(partitions).expect("not negative");
        let there = || self.partitions(topic) == wanted;
        assert!(eventually(PATIENCE, there), "topic {topic} does not come up");
    }

    /// Gives the topic more partitions, `count` in all, and waits until they can be used.
    pub(crate) fn grow(&self, topic: &str, count: usize) {
        let results =
            wait(self.client.create_partitions(&[NewPartitions::new(topic, count)], &options()));
        for result in results.expect("create partitions") {
            result.expect("create partitions");
        }
        let there = || self.partitions(topic) == count;
        assert!(eventually(PATIENCE, there), "topic {topic} does not grow");
    }

    fn partitions(&self, topic: &str) -> usize {
        let metadata = self.client.inner().fetch_metadata(Some(topic), PATIENCE);
        let metadata = metadata.expect("metadata");
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        found.map_or(0, |found| {
            found.partitions().iter().filter(|p| p.error().is_none() && p.leader() >= 0).count()
        })
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) fn delete(&self, topic: &str) {
        let results = wait(self.client.delete_topics(&[topic], &options()));
        for result in results.expect("delete a topic") {
            result.expect("delete a topic");
        }
        let gone = || self.partitions(topic) == 0;
        assert!(eventually(PATIENCE, gone), "topic {topic} does not go");
    }

    /// Deletes all records of the partition below `offset`.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let deleted = wait(self.client.delete_records(&list, &options())).expect("delete records");
        for element in deleted.elements() {
            element.error().expect("delete records");
        }
    }

    /// The offsets of all records that Kafka holds now, markers and aborted records left out.
    pub(crate) fn offsets(&self, topic: &str, partition: i32) -> Vec<i64> {
        let consumer: BaseConsumer = config(&self.bootstrap)
            .set("group.id", "look")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        consumer.assign(&list).expect("assign");
        let mut offsets = Vec::new();
        loop {
            match consumer.poll(PATIENCE).expect("a record or the end") {
                Ok(message) => offsets.push(message.offset()),
                Err(KafkaError::PartitionEOF(_)) => return offsets,
                Err(error) => panic!("reading {topic}-{partition}: {error}"),
            }
        }
    }

    /// Commits `offset` for a group without members, as an operator would.
    pub(crate) fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer =
            config(&self.bootstrap).set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        consumer.commit(&list, CommitMode::Sync).expect("commit");
    }

    /// What `group` committed, by topic and partition, where it committed anything.
    pub(crate) fn committed(
        &self,
        group: &str,
        topics: &[(String, i32)],
    ) -> BTreeMap<String, BTreeMap<i32, i64>> {
        let consumer: BaseConsumer =
            config(&self.bootstrap).set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in topics {
            list.add_partition_range(topic, 0, partitions - 1);
        }
        let answer = consumer.committed_offsets(list, PATIENCE).expect("committed offsets");
        let mut committed: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
        for element in answer.elements() {
            if let Offset::Offset(offset) = element.offset() {
                let partitions = committed.entry(element.topic().to_owned()).or_default();
                partitions.insert(element.partition(), offset);
            }
        }
        committed
    }
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("log_level", "3");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}
