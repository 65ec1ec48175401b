//! Produces numbered records to all partitions of some topics, at a given rate.
//!
//! A *stream* is one partition in one life of its topic. Its records are numbered from 0 without
//! holes, and everything in a record follows from stream and number (see [`Stream::record`]), so
//! that whoever reads one can tell whether it is whole and belongs where it stands. The producer
//! is idempotent and never gives up; where the cluster makes it fail (a deleted topic, a truncated
//! log), the journal says that the record's fate is unknown.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext};
use serde_json::json;

use crate::Answer;
use crate::journal::Journal;

/// More than so many records of one stream are not under way at once, so that a partition without
/// a leader does not hold up the others.
const MOST_UNDER_WAY: u64 = 5_000;
/// So many records go to one partition in a row.
const ROW: u64 = 100;
/// The lowest bits of what librdkafka carries with a record are its number, the rest its stream.
const SEQ_BITS: u32 = 40;
/// Timestamp of the record number 0.
const EPOCH: i64 = 1_600_000_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

struct Stream {
    topic: String,
    partition: i32,
    salt: u32,
    next: u64,
    under_way: u64,
    closed: bool,
}

/// Key and value of a record.
type Bytes = (Option<Vec<u8>>, Vec<u8>);

impl Stream {
    fn new(topic: &str, life: i32, partition: i32) -> Self {
        let salt = crc32fast::hash(format!("{topic}/{life}/{partition}").as_bytes());
        let topic = topic.to_owned();
        Self { topic, partition, salt, next: 0, under_way: 0, closed: false }
    }

    /// The value is the number, 8 bytes; its CRC-32 that goes on from that of TOPIC/LIFE/PARTITION,
    /// 4 bytes; and the CRC's last byte (CRC mod 32) times. The key is null, empty or the CRC,
    /// where CRC / 64 mod 4 is 0, 1, or more.
    fn record(&self, seq: u64) -> Bytes {
        let mut value = seq.to_be_bytes().to_vec();
        let mut hasher = crc32fast::Hasher::new_with_initial(self.salt);
        hasher.update(&value);
        let check = hasher.finalize();
        let bytes = check.to_be_bytes();
        value.extend(bytes);
        value.resize(12 + usize::from(bytes[3] % 32), bytes[3]);
        let key = match check >> 6 & 3 {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(bytes.to_vec()),
        };
        (key, value)
    }
}

struct State {
    streams: Vec<Stream>,
    journal: Journal,
    acknowledged: u64,
}

/// What the producer's callbacks see; producers come and go over the same state.
#[derive(Clone)]
struct Deliveries(Arc<Mutex<State>>);

impl Deliveries {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with the lock")
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, carried: usize) {
        let stream = carried >> SEQ_BITS;
        let seq = (carried & ((1 << SEQ_BITS) - 1)) as u64;
        let mut state = self.state();
        state.streams[stream].under_way -= 1;
        let offset = result.as_ref().ok().map(Message::offset);
        state.acknowledged += u64::from(offset.is_some());
        state.journal.note(stream, seq, offset);
    }
}

/// The producer and what it is told.
pub(crate) struct Load {
    bootstrap: String,
    deliveries: Deliveries,
    rate: AtomicU64,
    stopped: AtomicBool,
}

impl Load {
    /// Nothing to produce to yet, and a rate of 0.
    pub(crate) fn new(bootstrap: &str, journal: &Path) -> std::io::Result<Self> {
        let journal = Journal::create(journal)?;
        let state = State { streams: Vec::new(), journal, acknowledged: 0 };
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            deliveries: Deliveries(Arc::new(Mutex::new(state))),
            rate: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    /// From now on records go to this topic.
    pub(crate) fn add(&self, topic: &str, life: i32, partitions: i32) {
        let mut state = self.deliveries.state();
        for partition in 0..partitions {
            state.streams.push(Stream::new(topic, life, partition));
            state.journal.add_stream(format!("{topic} {life} {partition}"));
        }
    }

    /// From now on no records go to this topic; whether all that were under way have arrived.
    pub(crate) fn remove(&self, topic: &str) -> bool {
        for stream in &mut self.deliveries.state().streams {
            stream.closed |= stream.topic == topic;
        }
        self.await_idle(|stream| stream.topic == topic)
    }

    /// From now on so many records a second, over all partitions.
    pub(crate) fn set_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// Waits for what is under way, and completes the journal; how many were acknowledged.
    pub(crate) fn flush(&self) -> Answer {
        self.await_idle(|_| true);
        let mut state = self.deliveries.state();
        state.journal.flush()?;
        let under_way: u64 = state.streams.iter().map(|stream| stream.under_way).sum();
        Ok(json!({ "acknowledged": state.acknowledged, "under_way": under_way }))
    }

    /// How many records were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.deliveries.state().acknowledged
    }

    /// Ends [`Load::run`].
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn await_idle(&self, which: impl Fn(&Stream) -> bool) -> bool {
        let began = Instant::now();
        loop {
            let idle = |stream: &Stream| !which(stream) || stream.under_way == 0;
            if self.deliveries.state().streams.iter().all(idle) {
                return true;
            }
            if began.elapsed() > PATIENCE {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Produces until it is told to stop.
    pub(crate) fn run(&self) {
        let mut producer = self.producer();
        let mut turn = 0;
        let mut owed = 0.0;
        let mut last = Instant::now();
        while !self.stopped.load(Ordering::Relaxed) {
            let now = Instant::now();
            let rate = u32::try_from(self.rate.load(Ordering::Relaxed)).expect("a modest rate");
            owed += f64::from(rate) * (now - last).as_secs_f64();
            owed = owed.min(f64::from(rate));
            last = now;
            while owed >= 1.0 {
                turn += 1;
                let sent = self.send_row(&producer, turn, owed);
                if sent == 0 {
                    break;
                }
                owed -= f64::from(sent);
            }
            producer.poll(Duration::from_millis(5));
            if producer.client().fatal_error().is_some() {
                self.give_up(&producer);
                producer = self.producer();
            }
        }
        self.give_up(&producer);
        self.deliveries.state().journal.flush().expect("write the journal");
    }

    fn producer(&self) -> BaseProducer<Deliveries> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config.set("enable.idempotence", "true").set("linger.ms", "100").set("log_level", "3");
        config.set("message.timeout.ms", "0").set("compression.type", "lz4");
        config.set("reconnect.backoff.max.ms", "1000");
        config.set("topic.metadata.refresh.interval.ms", "5000");
        config.create_with_context(self.deliveries.clone()).expect("a producer")
    }

    /// Waits a little for what is under way; the rest has an unknown fate.
    fn give_up(&self, producer: &BaseProducer<Deliveries>) {
        if producer.client().fatal_error().is_none() {
            let _ = producer.flush(PATIENCE);
        }
        producer.purge(PurgeConfig::default().queue().inflight());
        let idle = || self.deliveries.state().streams.iter().all(|stream| stream.under_way == 0);
        while !idle() {
            producer.poll(Duration::from_millis(100));
        }
    }

    /// One row to some stream that takes any; how many records.
    fn send_row(&self, producer: &BaseProducer<Deliveries>, turn: usize, owed: f64) -> u32 {
        let count = self.deliveries.state().streams.len();
        for index in (0..count).map(|step| (turn + step) % count) {
            let sent = self.send_to(producer, index, owed);
            if sent > 0 {
                return sent;
            }
        }
        0
    }

    fn send_to(&self, producer: &BaseProducer<Deliveries>, index: usize, owed: f64) -> u32 {
        let mut sent = 0;
        while u64::from(sent) < ROW && f64::from(sent) < owed {
            let mut state = self.deliveries.state();
            let stream = &mut state.streams[index];
            if stream.closed || stream.under_way >= MOST_UNDER_WAY {
                break;
            }
            let seq = stream.next;
            let (key, value) = stream.record(seq);
            let (topic, partition) = (stream.topic.clone(), stream.partition);
            let carried = usize::try_from((index as u64) << SEQ_BITS | seq).expect("64 bits");
            let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&topic, carried)
                .partition(partition)
                .payload(&value)
                .timestamp(EPOCH + seq.cast_signed());
            if let Some(key) = &key {
                record = record.key(key);
            }
            // One that was not handed over keeps its number for the next time.
            if producer.send(record).is_err() {
                break;
            }
            stream.next += 1;
            stream.under_way += 1;
            sent += 1;
        }
        sent
    }
}
