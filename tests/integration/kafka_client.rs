//! The Kafka client against a real broker: what the mock cluster has not (transactions, deleted
//! records, real rebalances), and what must not be taken on trust (null and empty, headers,
//! positions through rebalances).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafkatos3::kafka::producer::{Outgoing, Producer};
use kafkatos3::kafka::{
    Batch, ClientSettings, Consumer, ConsumerSettings, Fetched, Part, PartitionEvent, Slot, Start,
};
use kafkatos3::types::{Isolation, Offset, Partition, Timestamp, TopicName, TopicPartition};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::servers::kafka;

mod churn;
mod member;
mod records;

const PATIENCE: Duration = Duration::from_mins(1);
const MOMENT: Duration = Duration::from_millis(100);

/// Things of one test on the broker.
struct Ground {
    bootstrap: String,
    name: String,
}

impl Ground {
    /// A name that nothing else on the broker has.
    fn new(name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{count}", since.as_nanos());
        Self { bootstrap: kafka().bootstrap.clone(), name }
    }

    fn topic(&self) -> TopicName {
        TopicName::new(&self.name).unwrap()
    }

    fn partition(&self, number: i64) -> TopicPartition {
        TopicPartition::new(self.topic(), Partition::new(number).unwrap())
    }

    fn client(&self) -> ClientSettings {
        ClientSettings {
            bootstrap: self.bootstrap.clone(),
            client_id: "test".to_owned(),
            extra: Vec::new(),
        }
    }

    fn settings(&self) -> ConsumerSettings {
        ConsumerSettings {
            client: self.client(),
            group: self.name.clone(),
            group_instance_id: None,
            isolation: Isolation::ReadCommitted,
            fetched: Fetched { bytes: 32 << 20, brokers: 1 },
        }
    }

    fn consumer(&self) -> Consumer {
        let mut settings = self.settings();
        // Others' coming and going is heard of with the next heartbeat.
        settings.client.extra.push(("heartbeat.interval.ms".into(), "300".into()));
        Consumer::new(&settings).unwrap()
    }

    fn rdkafka(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.rdkafka().create().unwrap()
    }

    fn create(&self, partitions: i32, config: &[(&str, &str)]) {
        let mut topic = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let made = wait_for(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap();
        for result in made {
            result.unwrap();
        }
    }

    fn produce(&self, partition: i32, values: impl IntoIterator<Item = u64>) {
        let mut producer = Producer::new(&self.client()).unwrap();
        let topic = self.topic();
        for value in values {
            let value = value.to_string();
            let record = Outgoing { value: Some(value.as_bytes()), ..plain(&topic, partition) };
            producer.send(&record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn transactional(&self) -> BaseProducer {
        let mut config = self.rdkafka();
        config.set("transactional.id", &self.name);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    fn transact(&self, producer: &BaseProducer, records: usize) {
        producer.begin_transaction().unwrap();
        for _ in 0..records {
            let record = BaseRecord::<[u8], [u8]>::to(&self.name).partition(0).payload(b"x");
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn start(&self, partition: i64, offset: u64) -> Start {
        Start { partition: self.partition(partition), offset: at(offset), leader_epoch: None }
    }
}

fn wait_for<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn plain(topic: &TopicName, partition: i32) -> Outgoing<'_> {
    Outgoing {
        topic,
        partition: Some(partition),
        key: None,
        value: None,
        headers: &[],
        timestamp: None,
    }
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

/// A record, copied.
#[derive(Debug, PartialEq)]
struct Copied {
    offset: u64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    timestamp: Option<Timestamp>,
}

/// Reads until something that is no record comes for `slot`. Of a batch with several such events
/// the last one counts: records may stand between them.
fn read_to_event(consumer: &mut Consumer, slot: Slot) -> (Vec<Copied>, PartitionEvent) {
    let mut batch = Batch::with_capacity(1000);
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        consumer.events(Duration::ZERO).unwrap();
        consumer.take(&mut batch, MOMENT);
        let mut last = None;
        for part in batch.parts() {
            match part {
                Part::Run(run) => {
                    assert_eq!(run.slot(), slot, "records of another assignment");
                    records.extend(run.messages().map(|m| {
                        Copied {
                            offset: m.offset().get(),
                            key: m.key().map(<[u8]>::to_vec),
                            value: m.value().map(<[u8]>::to_vec),
                            headers: m
                                .headers()
                                .unwrap()
                                .map(|h| (h.name.to_vec(), h.value.map(<[u8]>::to_vec)))
                                .collect(),
                            timestamp: m.timestamp(),
                        }
                    }));
                }
                Part::Event(of, event) if of == slot => last = Some(event.clone()),
                Part::Event(..) => {}
            }
        }
        if let Some(event) = last {
            return (records, event);
        }
    }
    panic!("nothing but {} records came", records.len());
}

fn assign(consumer: &mut Consumer, start: Start) -> Slot {
    consumer.assign(&[start]).unwrap()[0].unwrap()
}

fn offsets(records: &[Copied]) -> Vec<u64> {
    records.iter().map(|record| record.offset).collect()
}
