//! A Kafka cluster inside the process: librdkafka's mock. For the demo and quick tests.
//!
//! It keeps about 5 MB per partition, and knows no transactions, logins or deletion of records.
//! When the last member leaves a group, the next one waits for nearly a session timeout.

use std::time::Duration;

use super::error::KafkaError;
use super::raw::{Client, Kind, MockCluster, PRODUCER_EVENTS};
use crate::types::TopicName;

/// How long a group's first member waits for others; 3 s in a real cluster.
const FIRST_REBALANCE: Duration = Duration::from_millis(500);

/// A cluster that ends when this is dropped.
pub struct Mock {
    cluster: MockCluster,
}

impl Mock {
    /// Starts `brokers` brokers with `topics` and the number of their partitions.
    pub fn start(brokers: i32, topics: &[(TopicName, i32)]) -> Result<Self, KafkaError> {
        let properties = [("client.id".to_owned(), "mock".to_owned())];
        let client = Client::create(Kind::Producer, &properties, PRODUCER_EVENTS)?;
        let cluster = MockCluster::start(client, brokers);
        cluster.set_first_rebalance(FIRST_REBALANCE);
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions)?;
        }
        Ok(Self { cluster })
    }

    /// What a client needs to find it.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.cluster.bootstrap()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::kafka::producer::{Outgoing, Producer};
    use crate::kafka::{
        Batch, ClientSettings, Code, Commit, Consumer, ConsumerSettings, Event, Fetched, Part,
        PartitionEvent, PatternSpec, Patterns, Slot, Spec, Start,
    };
    use crate::types::{Isolation, Offset, Partition, TopicPartition};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn topic() -> TopicName {
        TopicName::new("t").unwrap()
    }

    fn partition(number: i64) -> TopicPartition {
        TopicPartition::new(topic(), Partition::new(number).unwrap())
    }

    fn client(mock: &Mock) -> ClientSettings {
        ClientSettings {
            bootstrap: mock.bootstrap(),
            client_id: "test".to_owned(),
            extra: Vec::new(),
        }
    }

    fn consumer(mock: &Mock) -> Consumer {
        let settings = ConsumerSettings {
            client: client(mock),
            group: "g".to_owned(),
            group_instance_id: None,
            isolation: Isolation::ReadCommitted,
            fetched: Fetched { bytes: 16 << 20, brokers: 1 },
        };
        Consumer::new(&settings).unwrap()
    }

    fn produce(mock: &Mock, count: usize) {
        let mut producer = Producer::new(&client(mock)).unwrap();
        for number in 0..count {
            let value = number.to_string();
            let record = Outgoing {
                topic: &topic(),
                partition: Some(0),
                key: None,
                value: Some(value.as_bytes()),
                headers: &[(b"h", Some(b"v"))],
                timestamp: Some(1_700_000_000_000),
            };
            producer.send(&record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn start(offset: u64) -> Start {
        let offset = Offset::new(offset).unwrap();
        Start { partition: partition(0), offset, leader_epoch: None }
    }

    /// Offsets of what comes until the end of the partition.
    fn read_to_end(consumer: &mut Consumer, wanted: Slot) -> Vec<u64> {
        let mut batch = Batch::with_capacity(100);
        let mut offsets = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            consumer.events(Duration::ZERO).unwrap();
            consumer.take(&mut batch, Duration::from_millis(100));
            for part in batch.parts() {
                match part {
                    Part::Run(run) => {
                        assert_eq!(run.slot(), wanted);
                        offsets.extend(run.messages().map(|m| m.offset().get()));
                    }
                    Part::Event(slot, PartitionEvent::End { next }) if slot == wanted => {
                        assert_eq!(Some(*next), consumer.position(slot));
                        return offsets;
                    }
                    Part::Event(..) => {}
                }
            }
        }
        panic!("no end after {} records", offsets.len());
    }

    #[test]
    fn records_from_the_wanted_offset_to_the_end() {
        let mock = Mock::start(1, &[(topic(), 1)]).unwrap();
        produce(&mock, 500);
        let mut consumer = consumer(&mock);
        let slot = consumer.assign(&[start(100)]).unwrap()[0].unwrap();
        assert_eq!(read_to_end(&mut consumer, slot), (100..500).collect::<Vec<_>>());
        let slot = consumer.assign(&[start(3)]).unwrap()[0].unwrap();
        assert_eq!(read_to_end(&mut consumer, slot), (3..500).collect::<Vec<_>>());
        assert!(consumer.close(PATIENCE));
    }

    #[test]
    fn a_member_gets_partitions_and_commits() {
        let mock = Mock::start(1, &[(topic(), 2)]).unwrap();
        let mut consumer = consumer(&mock);
        consumer.subscribe(&[topic()]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut ours = Vec::new();
        while ours.is_empty() && Instant::now() < deadline {
            for event in consumer.events(Duration::from_millis(100)).unwrap() {
                if let Event::Assigned(partitions) = event {
                    ours = partitions;
                }
            }
        }
        ours.sort();
        assert_eq!(ours, [partition(0), partition(1)]);
        let commit = Commit {
            partition: partition(0),
            offset: Offset::new(7).unwrap(),
            leader_epoch: None,
            metadata: "m".to_owned(),
        };
        consumer.commit_sync(&[commit], PATIENCE).unwrap();
        let committed = consumer.group().committed(&ours, PATIENCE).unwrap();
        let first = committed[0].1.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((first.offset.get(), first.metadata.as_slice()), (7, b"m".as_slice()));
        assert_eq!(committed[1].1, Ok(None));
        assert!(consumer.close(PATIENCE));
    }

    #[test]
    fn a_partition_that_nobody_leads_keeps_no_answer_from_the_others() {
        let mock = Mock::start(1, &[(topic(), 3)]).unwrap();
        let admin = crate::kafka::Admin::new(&client(&mock)).unwrap();
        mock.cluster.set_leader(&topic(), 1, -1).unwrap();
        let wanted = [0, 1, 2].map(|number| (partition(number), Spec::Latest));
        let timeout = Duration::from_secs(3);
        let ends = admin.list_offsets(&wanted, Isolation::ReadCommitted, timeout).unwrap();
        let codes = ends.iter().map(|(_, end)| end.as_ref().map_err(|e| e.code().unwrap()));
        let zero = &Offset::ZERO;
        let leaderless = Code::LEADER_NOT_AVAILABLE;
        assert_eq!(codes.collect::<Vec<_>>(), [Ok(zero), Err(leaderless), Ok(zero)]);
    }

    #[test]
    fn topics_and_their_ends() {
        let mock = Mock::start(1, &[(topic(), 2)]).unwrap();
        produce(&mock, 5);
        let admin = crate::kafka::Admin::new(&client(&mock)).unwrap();
        assert_eq!(admin.topics(PATIENCE).unwrap(), [(topic(), 2)]);
        assert!(admin.cluster_id(PATIENCE).unwrap().starts_with("mock"));
        // The cluster has no controller.
        let ids = admin.topic_ids(&[topic()], PATIENCE).unwrap();
        assert!(ids[0].1.is_ok(), "{ids:?}");
        let patterns = Patterns::compile(&[PatternSpec::Regex("^t".to_owned())], &[]).unwrap();
        assert!(patterns.matches(&topic()));
    }

    #[test]
    fn nobody_there() {
        let settings = ClientSettings {
            bootstrap: "127.0.0.1:1".to_owned(),
            client_id: String::new(),
            extra: Vec::new(),
        };
        let admin = crate::kafka::Admin::new(&settings).unwrap();
        let error = admin.topics(Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error.code(), Some(Code::TRANSPORT | Code::TIMED_OUT)), "{error}");
        let error = admin.cluster_id(Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.code(), Some(Code::TIMED_OUT));
    }
}
