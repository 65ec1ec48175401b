//! Questions to the cluster: who it is, its topics and their ids, the ends of partitions.

use std::sync::Arc;
use std::time::Duration;

use super::error::{Code, KafkaError};
use super::raw::{Client, Entry, Group, Kind, PRODUCER_EVENTS, PartitionList, Rights};
use super::settings::ClientSettings;
use crate::types::{Isolation, Offset, TopicId, TopicName, TopicPartition};

/// Which end of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spec {
    /// The first offset that the broker still has.
    Earliest,
    /// The end: behind the last record, or the last stable offset under read_committed.
    Latest,
}

impl Spec {
    fn to_kafka(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
        }
    }
}

/// What a question was about, and its answer.
pub type Answer<Q, A> = (Q, Result<A, KafkaError>);

/// A topic with its id, and what may be done with it (`None` if the brokers don't tell).
pub type Described = Answer<TopicName, (TopicId, Option<Rights>)>;

/// A client that asks. Cheap to clone; may be used from any thread.
#[derive(Clone)]
pub struct Admin {
    client: Arc<Client>,
}

impl Admin {
    /// A client of its own.
    pub fn new(settings: &ClientSettings) -> Result<Self, KafkaError> {
        let client = Client::create(Kind::Producer, &settings.properties(), PRODUCER_EVENTS)?;
        Ok(Self { client: Arc::new(client) })
    }

    pub(super) fn of(client: &Arc<Client>) -> Self {
        Self { client: Arc::clone(client) }
    }

    /// The cluster's id.
    pub fn cluster_id(&self, timeout: Duration) -> Result<String, KafkaError> {
        let error = || KafkaError::request("ask for the cluster's id", Code::TIMED_OUT);
        self.client.cluster_id(timeout).ok_or_else(error)
    }

    /// How many brokers the cluster has.
    pub fn brokers(&self, timeout: Duration) -> Result<usize, KafkaError> {
        self.client.broker_count(timeout)
    }

    /// All topics with the number of their partitions, internal ones too. What has an error (a
    /// topic that is just being made, say) is left out.
    pub fn topics(&self, timeout: Duration) -> Result<Vec<(TopicName, i32)>, KafkaError> {
        let all = self.client.topics(timeout)?;
        let usable = all.into_iter().filter(|topic| topic.code == Code::NONE);
        Ok(usable.filter_map(|t| Some((TopicName::new(&t.name).ok()?, t.partitions))).collect())
    }

    /// The ids of `topics`, in the same order; unknown ones if the brokers have none.
    pub fn topic_ids(
        &self,
        topics: &[TopicName],
        timeout: Duration,
    ) -> Result<Vec<Answer<TopicName, TopicId>>, KafkaError> {
        let described = self.describe(topics, false, timeout)?.into_iter();
        Ok(described.map(|(topic, found)| (topic, found.map(|(id, _)| id))).collect())
    }

    /// The ids of `topics`, and what this user may do with them (`None` if the brokers don't
    /// tell), in the same order.
    pub fn topic_rights(
        &self,
        topics: &[TopicName],
        timeout: Duration,
    ) -> Result<Vec<Described>, KafkaError> {
        self.describe(topics, true, timeout)
    }

    fn describe(
        &self,
        topics: &[TopicName],
        with_rights: bool,
        timeout: Duration,
    ) -> Result<Vec<Described>, KafkaError> {
        let mut names: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.client.describe_topics(&names, with_rights, timeout)?;
        let find = |topic: &TopicName| {
            let found = answers.iter().find(|answer| answer.name == topic.as_str());
            let (code, text) = match found.map(|answer| &answer.result) {
                Some(Ok(found)) => return Ok(*found),
                Some(Err((code, text))) => (*code, text.clone()),
                None => (Code::UNKNOWN_TOPIC, Code::UNKNOWN_TOPIC.to_string()),
            };
            Err(KafkaError::Topic { topic: topic.to_string(), code, text })
        };
        Ok(topics.iter().map(|topic| (topic.clone(), find(topic))).collect())
    }

    /// Describes a consumer group, without joining it; `None` if there is none.
    pub fn group(&self, name: &str, timeout: Duration) -> Result<Option<Group>, KafkaError> {
        self.client.describe_group(name, timeout)
    }

    /// Deletes a consumer group that has no members.
    pub fn delete_group(&self, name: &str, timeout: Duration) -> Result<(), KafkaError> {
        self.client.delete_group(name, timeout)
    }

    /// Ends of partitions, all in one request per broker. Under read_committed, the latest is
    /// the last stable offset. The answer is in the order of the question.
    pub fn list_offsets(
        &self,
        wanted: &[(TopicPartition, Spec)],
        isolation: Isolation,
        timeout: Duration,
    ) -> Result<Vec<Answer<TopicPartition, Offset>>, KafkaError> {
        let mut found = Vec::with_capacity(wanted.len());
        for spec in [Spec::Earliest, Spec::Latest] {
            let mut list = PartitionList::with_capacity(wanted.len());
            for (partition, _) in wanted.iter().filter(|(_, which)| *which == spec) {
                list.push(partition, spec.to_kafka(), None, &[])?;
            }
            if list.len() > 0 {
                let entries = self.client.list_offsets(&list, isolation, timeout)?;
                found.extend(entries.into_iter().map(|entry| (spec, entry)));
            }
        }
        let answers: std::collections::HashMap<_, _> = found
            .into_iter()
            .filter_map(|(spec, entry)| Some(((entry.topic_partition()?, spec), entry)))
            .collect();
        let answer = |key: &(TopicPartition, Spec)| offset(&key.0, answers.get(key));
        Ok(wanted.iter().map(|key| (key.0.clone(), answer(key))).collect())
    }
}

fn offset(partition: &TopicPartition, entry: Option<&Entry>) -> Result<Offset, KafkaError> {
    let code = match entry {
        Some(entry) if entry.code == Code::NONE => match Offset::from_kafka(entry.offset) {
            Ok(offset) => return Ok(offset),
            Err(_) => Code::NO_OFFSET,
        },
        Some(entry) => entry.code,
        None => Code::UNKNOWN_PARTITION,
    };
    Err(KafkaError::Partition { partition: partition.clone(), code, text: code.to_string() })
}
