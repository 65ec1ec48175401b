//! The Kafka client against a real broker: what the mock cluster has not (transactions, deleted
//! records, real rebalances), and what must not be taken on trust (null and empty, headers,
//! positions through rebalances).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafkatos3::kafka::producer::{Outgoing, Producer};
use kafkatos3::kafka::{
    Admin, Batch, ClientSettings, Code, Commit, Consumer, ConsumerSettings, Event, Part,
    PartitionEvent, Slot, Spec, Start,
};
use kafkatos3::types::{
    Isolation, Offset, Partition, Timestamp, TimestampType, TopicName, TopicPartition,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

const PATIENCE: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(100);

/// The broker, or `None` after having said why there is none.
fn bootstrap() -> Option<String> {
    let found = std::env::var("KAFKATOS3_TEST_BOOTSTRAP").ok();
    if found.is_none() {
        println!("skipped: KAFKATOS3_TEST_BOOTSTRAP names no broker");
    }
    found
}

/// Things of one test on the broker.
struct Ground {
    bootstrap: String,
    name: String,
}

impl Ground {
    /// A name that nothing else on the broker has.
    fn new(name: &str) -> Option<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{count}", since.as_nanos());
        Some(Self { bootstrap: bootstrap()?, name })
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
            queue_bytes: 32 << 20,
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

/// Reads until something that is no record comes for `slot`.
fn read_to_event(consumer: &mut Consumer, slot: Slot) -> (Vec<Copied>, PartitionEvent) {
    let mut batch = Batch::with_capacity(1000);
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        consumer.events(Duration::ZERO).unwrap();
        consumer.take(&mut batch, MOMENT);
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
                Part::Event(of, event) if of == slot => return (records, event.clone()),
                Part::Event(..) => {}
            }
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

type Header<'a> = (&'a [u8], Option<&'a [u8]>);
/// Key, value, headers.
type Fields<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [Header<'a>]);

#[test]
fn every_field_comes_back_as_it_was_written() {
    let Some(ground) = Ground::new("odd") else { return };
    ground.create(1, &[]);
    let topic = ground.topic();
    let odd: &[Header<'_>] = &[
        (b"a", Some(b"1")),
        (b"a", Some(b"")),
        (b"a", None),
        (b"", Some(b"no name")),
        (b"\xff\xfe", Some(b"\0\x80")),
        (b"n\0ul", Some(b"x")),
        (b"n\0ull", None),
        ("größe".as_bytes(), Some(b"utf-8")),
    ];
    let written: [Fields<'_>; 6] = [
        (None, None, &[]),
        (Some(b""), Some(b""), &[]),
        (None, Some(b""), odd),
        (Some(b""), None, &[]),
        (Some(b"\0\xff"), Some(b"\xfe\0"), &odd[..1]),
        (Some(b"k"), Some(b"v"), &[]),
    ];
    let mut producer = Producer::new(&ground.client()).unwrap();
    for (number, (key, value, headers)) in (1_i64..).zip(written) {
        let timestamp = Some(number * 1000);
        let record = Outgoing { key, value, headers, timestamp, ..plain(&topic, 0) };
        producer.send(&record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();

    let mut consumer = ground.consumer();
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!(end, PartitionEvent::End { next: at(6) });
    assert_eq!(read.len(), written.len());
    for ((number, record), (key, value, headers)) in (1_i64..).zip(&read).zip(written) {
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let kind = TimestampType::Create;
        let expected = Copied {
            offset: number.cast_unsigned() - 1,
            key: own(key),
            value: own(value),
            headers: headers.iter().map(|(n, v)| (n.to_vec(), own(*v))).collect(),
            timestamp: Some(Timestamp { millis: number * 1000, kind }),
        };
        assert_eq!(*record, expected);
    }
    assert!(consumer.close(PATIENCE));
}

#[test]
fn timestamps_of_the_broker_are_told_apart() {
    let Some(ground) = Ground::new("appendtime") else { return };
    ground.create(1, &[("message.timestamp.type", "LogAppendTime")]);
    ground.produce(0, 0..3);
    let mut consumer = ground.consumer();
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (read, _) = read_to_event(&mut consumer, slot);
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(|r| r.timestamp.unwrap().kind == TimestampType::LogAppend));
}

#[test]
fn the_end_lies_behind_markers_and_before_open_transactions() {
    let Some(ground) = Ground::new("markers") else { return };
    ground.create(1, &[]);
    let mut consumer = ground.consumer();
    let producer = ground.transactional();

    ground.transact(&producer, 3);
    producer.commit_transaction(PATIENCE).unwrap();
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!((offsets(&read), end), (vec![0, 1, 2], PartitionEvent::End { next: at(4) }));

    ground.transact(&producer, 3);
    producer.abort_transaction(PATIENCE).unwrap();
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!((offsets(&read), end), (vec![], PartitionEvent::End { next: at(8) }));

    ground.transact(&producer, 3);
    let wanted = [(ground.partition(0), Spec::Latest), (ground.partition(0), Spec::Earliest)];
    let admin = consumer.admin();
    let ends = |isolation| {
        let found = admin.list_offsets(&wanted, isolation, PATIENCE).unwrap();
        found.into_iter().map(|(_, offset)| offset.unwrap().get()).collect::<Vec<_>>()
    };
    assert_eq!(ends(Isolation::ReadCommitted), [8, 0]);
    assert_eq!(ends(Isolation::ReadUncommitted), [11, 0]);
    producer.commit_transaction(PATIENCE).unwrap();
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!((offsets(&read), end), (vec![8, 9, 10], PartitionEvent::End { next: at(12) }));
    assert_eq!(ends(Isolation::ReadCommitted), [12, 0]);
    assert_eq!(consumer.high_watermark(&ground.partition(0)), Some(at(12)));
}

#[test]
fn moving_a_partition_loses_and_repeats_nothing() {
    let Some(ground) = Ground::new("move") else { return };
    ground.create(1, &[]);
    ground.produce(0, 0..30_000);
    let mut consumer = ground.consumer();
    let mut batch = Batch::with_capacity(500);
    for offset in [0, 20_000, 5, 29_999, 100, 100, 30_000, 1, 15_000, 0] {
        let slot = assign(&mut consumer, ground.start(0, offset));
        // Leave something in the queue sometimes.
        if offset % 2 == 1 {
            let (read, end) = read_to_event(&mut consumer, slot);
            assert_eq!(offsets(&read), (offset..30_000).collect::<Vec<_>>());
            assert_eq!(end, PartitionEvent::End { next: at(30_000) });
        } else if offset < 30_000 {
            let deadline = Instant::now() + PATIENCE;
            while consumer.take(&mut batch, MOMENT) == 0 && Instant::now() < deadline {}
            let Some(Part::Run(run)) = batch.parts().next() else { panic!("no records") };
            assert_eq!(run.slot(), slot);
            assert_eq!(run.messages().next().unwrap().offset(), at(offset));
        }
    }
}

#[test]
fn a_position_that_was_deleted_is_reported() {
    let Some(ground) = Ground::new("deleted") else { return };
    ground.create(1, &[]);
    ground.produce(0, 0..100);
    let mut gone = rdkafka::TopicPartitionList::new();
    gone.add_partition_offset(&ground.name, 0, rdkafka::Offset::Offset(40)).unwrap();
    wait_for(ground.admin().delete_records(&gone, &AdminOptions::new())).unwrap();

    let mut consumer = ground.consumer();
    for outside in [10, 200] {
        let slot = assign(&mut consumer, ground.start(0, outside));
        let (read, event) = read_to_event(&mut consumer, slot);
        assert!(read.is_empty());
        let PartitionEvent::OutOfRange { at: position, .. } = event else { panic!("{event:?}") };
        assert_eq!(position, Some(at(outside)));
    }
    let earliest = [(ground.partition(0), Spec::Earliest)];
    let admin = Admin::new(&ground.client()).unwrap();
    let found = admin.list_offsets(&earliest, Isolation::ReadCommitted, PATIENCE).unwrap();
    assert_eq!(found[0].1, Ok(at(40)));
    let slot = assign(&mut consumer, ground.start(0, 40));
    let (read, _) = read_to_event(&mut consumer, slot);
    assert_eq!(offsets(&read), (40..100).collect::<Vec<_>>());
}

#[test]
fn a_log_of_another_epoch_is_reported() {
    let Some(ground) = Ground::new("epoch") else { return };
    ground.create(1, &[]);
    ground.produce(0, 0..100);
    let mut consumer = ground.consumer();
    let foreign = Start { leader_epoch: Some(7), ..ground.start(0, 50) };
    let slot = assign(&mut consumer, foreign);
    let (read, event) = read_to_event(&mut consumer, slot);
    assert!(read.is_empty(), "records were delivered before the epoch was checked");
    assert!(matches!(event, PartitionEvent::Truncated { .. }), "{event:?}");
    let right = Start { leader_epoch: Some(0), ..ground.start(0, 50) };
    let slot = assign(&mut consumer, right);
    let (read, _) = read_to_event(&mut consumer, slot);
    assert_eq!(offsets(&read), (50..100).collect::<Vec<_>>());
}

#[test]
fn a_deleted_topic_is_reported() {
    let Some(ground) = Ground::new("vanish") else { return };
    ground.create(1, &[]);
    ground.produce(0, 0..10);
    let mut settings = ground.settings();
    settings.client.extra.push(("topic.metadata.refresh.interval.ms".into(), "1000".into()));
    settings.client.extra.push(("topic.metadata.propagation.max.ms".into(), "1000".into()));
    let mut consumer = Consumer::new(&settings).unwrap();
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (_, end) = read_to_event(&mut consumer, slot);
    assert_eq!(end, PartitionEvent::End { next: at(10) });
    let admin = consumer.admin();
    let [(_, id)] = &admin.topic_ids(&[ground.topic()], PATIENCE).unwrap()[..] else { panic!() };
    assert!(!id.as_ref().unwrap().is_unknown());
    wait_for(ground.admin().delete_topics(&[&ground.name], &AdminOptions::new())).unwrap();
    let (_, event) = read_to_event(&mut consumer, slot);
    assert!(matches!(event, PartitionEvent::Gone { .. }), "{event:?}");
    let ids = admin.topic_ids(&[ground.topic()], PATIENCE).unwrap();
    assert_eq!(ids[0].1.as_ref().unwrap_err().code(), Some(Code::UNKNOWN_TOPIC_OR_PART));
}

#[test]
fn commits_keep_their_metadata() {
    let Some(ground) = Ground::new("commit") else { return };
    ground.create(2, &[]);
    let consumer = ground.consumer();
    let partitions = [ground.partition(0), ground.partition(1)];
    let commit = Commit {
        partition: ground.partition(0),
        offset: at(5),
        leader_epoch: Some(0),
        metadata: "{\"tip\":5,\"größe\":1}".to_owned(),
    };
    consumer.commit_sync(std::slice::from_ref(&commit), PATIENCE).unwrap();
    let group = consumer.group();
    let asked = std::thread::spawn(move || group.committed(&partitions, PATIENCE).unwrap());
    let found = asked.join().unwrap();
    let committed = found[0].1.as_ref().unwrap();
    assert_eq!((committed.offset, committed.leader_epoch), (at(5), Some(0)));
    assert_eq!(committed.metadata, commit.metadata.as_bytes());
    assert_eq!(found[1].1, None);
}

#[test]
fn no_broker_is_said_and_closing_comes_to_an_end() {
    let settings = ConsumerSettings {
        client: ClientSettings {
            bootstrap: "127.0.0.1:1".to_owned(),
            client_id: String::new(),
            extra: Vec::new(),
        },
        group: "g".to_owned(),
        group_instance_id: None,
        isolation: Isolation::ReadCommitted,
        queue_bytes: 32 << 20,
    };
    let mut consumer = Consumer::new(&settings).unwrap();
    consumer.subscribe(&[TopicName::new("t").unwrap()]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut down = false;
    while !down && Instant::now() < deadline {
        let events = consumer.events(MOMENT).unwrap();
        down = events.iter().any(|event| matches!(event, Event::AllBrokersDown { .. }));
    }
    assert!(down);
    let begun = Instant::now();
    let _ = consumer.close(Duration::from_secs(5));
    assert!(begun.elapsed() < Duration::from_secs(6));
}

/// A member of a group in a thread of its own, which starts each partition where `tips` says,
/// as the archive's consumers do.
struct Member {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
    owned: Owned,
}

/// Next offset per partition, and every offset that was read, with how often.
#[derive(Default)]
struct Tips {
    next: BTreeMap<TopicPartition, u64>,
    read: BTreeMap<(TopicPartition, u64), usize>,
}

type Owned = Arc<Mutex<BTreeSet<TopicPartition>>>;

impl Member {
    fn join(ground: &Ground, tips: &Arc<Mutex<Tips>>, delay: Duration) -> Self {
        let mut consumer = ground.consumer();
        consumer.subscribe(&[ground.topic()]).unwrap();
        let (stop, owned) = (Arc::<AtomicBool>::default(), Owned::default());
        let thread = std::thread::spawn({
            let (stop, owned, tips) = (Arc::clone(&stop), Arc::clone(&owned), Arc::clone(tips));
            move || {
                let mut pending: Vec<(Instant, TopicPartition)> = Vec::new();
                let mut batch = Batch::with_capacity(200);
                while !stop.load(Ordering::Relaxed) {
                    for event in consumer.events(Duration::ZERO).unwrap() {
                        on_event(event, &owned, &mut pending, delay);
                    }
                    start_due(&mut consumer, &mut pending, &tips);
                    consumer.take(&mut batch, Duration::from_millis(20));
                    note(&consumer, &batch, &tips);
                }
                assert!(consumer.close(PATIENCE));
                owned.lock().unwrap().clear();
            }
        });
        Self { stop, thread, owned }
    }

    fn leave(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn on_event(
    event: Event,
    owned: &Owned,
    pending: &mut Vec<(Instant, TopicPartition)>,
    delay: Duration,
) {
    let mut owned = owned.lock().unwrap();
    match event {
        Event::Assigned(partitions) => {
            for partition in partitions {
                assert!(owned.insert(partition.clone()), "assigned twice: {partition}");
                pending.push((Instant::now() + delay, partition));
            }
        }
        Event::Revoked { partitions, lost } => {
            assert!(!lost);
            for partition in &partitions {
                assert!(owned.remove(partition), "revoked without being ours: {partition}");
            }
            pending.retain(|(_, partition)| !partitions.contains(partition));
        }
        _ => {}
    }
}

/// Starts what has waited long enough for its tip.
fn start_due(
    consumer: &mut Consumer,
    pending: &mut Vec<(Instant, TopicPartition)>,
    tips: &Mutex<Tips>,
) {
    let now = Instant::now();
    let due: Vec<_> = pending.extract_if(.., |(when, _)| *when <= now).collect();
    if due.is_empty() {
        return;
    }
    let next = &tips.lock().unwrap().next;
    let start = |partition: TopicPartition| {
        let offset = at(next.get(&partition).copied().unwrap_or(0));
        Start { partition, offset, leader_epoch: (offset > Offset::ZERO).then_some(0) }
    };
    let starts: Vec<Start> = due.into_iter().map(|(_, partition)| start(partition)).collect();
    assert!(consumer.assign(&starts).unwrap().iter().all(Option::is_some));
}

fn note(consumer: &Consumer, batch: &Batch, tips: &Mutex<Tips>) {
    let mut tips = tips.lock().unwrap();
    for part in batch.parts() {
        match part {
            Part::Run(run) => {
                let partition = consumer.partition(run.slot()).unwrap();
                for message in run.messages() {
                    let offset = message.offset().get();
                    tips.next.insert(partition.clone(), offset + 1);
                    *tips.read.entry((partition.clone(), offset)).or_default() += 1;
                }
            }
            Part::Event(_, PartitionEvent::End { .. }) => {}
            Part::Event(_, event) => panic!("{event:?}"),
        }
    }
}

/// Waits until `members` own all partitions together, each once.
fn settle(members: &[&Member], partitions: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let owned: Vec<_> = members.iter().map(|m| m.owned.lock().unwrap().clone()).collect();
        let all: BTreeSet<_> = owned.iter().flatten().collect();
        let sum: usize = owned.iter().map(BTreeSet::len).sum();
        let even = owned.iter().all(|o| o.len() >= partitions / members.len());
        if all.len() == partitions && sum == partitions && even {
            return;
        }
        assert!(Instant::now() < deadline, "who has what: {owned:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until exactly `count` records per partition were read, each once.
fn all_read(tips: &Mutex<Tips>, partitions: usize, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while tips.lock().unwrap().read.len() < partitions * count {
        if Instant::now() >= deadline {
            let tips = tips.lock().unwrap();
            panic!("{} of {}; {:?}", tips.read.len(), partitions * count, tips.next);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let tips = tips.lock().unwrap();
    assert_eq!(tips.read.len(), partitions * count);
    let twice: Vec<_> = tips.read.iter().filter(|(_, times)| **times != 1).take(5).collect();
    assert!(twice.is_empty(), "read more than once: {twice:?}");
}

#[test]
fn members_come_and_go_and_every_record_is_read_once() {
    const PARTITIONS: usize = 6;
    let Some(ground) = Ground::new("rebalance") else { return };
    ground.create(6, &[]);
    let ground = Arc::new(ground);
    let tips = Arc::<Mutex<Tips>>::default();
    let join = |delay| Member::join(&ground, &tips, Duration::from_millis(delay));

    // Records keep coming all the while.
    let count = Arc::<AtomicU64>::default();
    let enough = Arc::<AtomicBool>::default();
    let writer = std::thread::spawn({
        let (ground, count, enough) =
            (Arc::clone(&ground), Arc::clone(&count), Arc::clone(&enough));
        move || {
            while !enough.load(Ordering::Relaxed) {
                for partition in 0..6 {
                    ground.produce(partition, 0..50);
                }
                count.fetch_add(50, Ordering::Relaxed);
            }
        }
    });
    let first = join(0);
    settle(&[&first], PARTITIONS);
    for round in 0..3 {
        let second = join(round * 150);
        settle(&[&first, &second], PARTITIONS);
        let third = join(0);
        settle(&[&first, &second, &third], PARTITIONS);
        second.leave();
        settle(&[&first, &third], PARTITIONS);
        third.leave();
        settle(&[&first], PARTITIONS);
    }
    enough.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    let count = usize::try_from(count.load(Ordering::Relaxed)).unwrap();
    all_read(&tips, PARTITIONS, count);
    first.leave();
}

#[test]
fn the_record_behind_an_end_is_read_after_a_rebalance() {
    const PARTITIONS: usize = 4;
    let Some(ground) = Ground::new("idle") else { return };
    ground.create(4, &[]);
    let tips = Arc::<Mutex<Tips>>::default();
    let produce = || (0..4).for_each(|partition| ground.produce(partition, 0..1));
    produce();
    let first = Member::join(&ground, &tips, Duration::ZERO);
    all_read(&tips, PARTITIONS, 1);
    for round in 0..3 {
        // Long enough for every partition to come to its end.
        std::thread::sleep(Duration::from_millis(600));
        let second = Member::join(&ground, &tips, Duration::ZERO);
        settle(&[&first, &second], PARTITIONS);
        produce();
        all_read(&tips, PARTITIONS, 2 * round + 2);
        std::thread::sleep(Duration::from_millis(600));
        second.leave();
        settle(&[&first], PARTITIONS);
        produce();
        all_read(&tips, PARTITIONS, 2 * round + 3);
    }
    first.leave();
}
