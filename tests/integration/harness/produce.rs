//! Producing records that rdkafka's safe types can't express (names of headers that are not UTF-8),
//! and noting at which offset each of them landed.

#![expect(unsafe_code, reason = "odd headers need librdkafka's own calls")]

use std::ffi::CString;
use std::mem::take;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _, Timestamp};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::IntoOpaque as _;
use rdkafka::{ClientConfig, ClientContext};

use super::records::{Expected, Record};

const PATIENCE: Duration = Duration::from_mins(2);

/// What librdkafka carries for each record, from its sending to its acknowledgement.
struct Sent {
    topic: Arc<str>,
    record: Record,
}

#[derive(Default)]
struct Deliveries {
    acknowledged: Mutex<Expected>,
    failures: Mutex<Vec<KafkaError>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        match result {
            Ok(message) => {
                let timestamp = match message.timestamp() {
                    Timestamp::NotAvailable => (0, 0),
                    Timestamp::CreateTime(millis) => (1, millis),
                    Timestamp::LogAppendTime(millis) => (2, millis),
                };
                let place = (&*sent.topic, message.partition());
                let mut acknowledged = self.acknowledged.lock().expect("acknowledged");
                acknowledged.add(place, message.offset(), timestamp, &sent.record);
            }
            Err((error, _)) => self.failures.lock().expect("failures").push(error.clone()),
        }
    }
}

/// A producer that knows what it produced.
pub(crate) struct Producer {
    inner: BaseProducer<Deliveries>,
    in_transaction: AtomicBool,
    committed: Mutex<Expected>,
}

impl Producer {
    /// A producer for the plain listener at `bootstrap`.
    pub(crate) fn new(bootstrap: &str) -> Self {
        Self::with(bootstrap, &[])
    }

    /// One whose records count when their transaction is committed.
    pub(crate) fn transactional(bootstrap: &str, id: &str) -> Self {
        let producer = Self::with(bootstrap, &[("transactional.id", id)]);
        producer.inner.init_transactions(PATIENCE).expect("init transactions");
        producer
    }

    fn with(bootstrap: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        config.set("enable.idempotence", "true").set("linger.ms", "20");
        config.set("compression.type", "lz4").set("log_level", "3");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let inner = config.create_with_context(Deliveries::default()).expect("a producer");
        Self { inner, in_transaction: AtomicBool::new(false), committed: Mutex::default() }
    }

    /// Produces `records` and waits until all of them are acknowledged.
    pub(crate) fn send(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = Record>,
    ) {
        let topic: Arc<str> = topic.into();
        for record in records {
            self.enqueue(&topic, partition, record);
        }
        self.inner.flush(PATIENCE).expect("flush");
        let failures = take(&mut *self.inner.context().failures.lock().expect("failures"));
        assert!(failures.is_empty(), "{failures:?}");
    }

    /// Begins a transaction.
    pub(crate) fn begin(&self) {
        self.inner.begin_transaction().expect("begin");
        self.in_transaction.store(true, Ordering::Relaxed);
    }

    /// Ends the transaction: its records count.
    pub(crate) fn commit(&self) {
        self.inner.commit_transaction(PATIENCE).expect("commit");
        self.committed.lock().expect("committed").merge(self.acknowledged());
        self.in_transaction.store(false, Ordering::Relaxed);
    }

    /// Ends the transaction: its records don't count.
    pub(crate) fn abort(&self) {
        self.inner.abort_transaction(PATIENCE).expect("abort");
        drop(self.acknowledged());
        self.in_transaction.store(false, Ordering::Relaxed);
    }

    /// All that counts, without a transaction that is still open; the producer forgets it.
    pub(crate) fn expected(&self) -> Expected {
        let mut expected = take(&mut *self.committed.lock().expect("committed"));
        if !self.in_transaction.load(Ordering::Relaxed) {
            expected.merge(self.acknowledged());
        }
        expected
    }

    fn acknowledged(&self) -> Expected {
        take(&mut *self.inner.context().acknowledged.lock().expect("acknowledged"))
    }

    fn enqueue(&self, topic: &Arc<str>, partition: i32, record: Record) {
        let mut sent = Box::new(Sent { topic: Arc::clone(topic), record });
        while let Err((code, back)) = self.produce(partition, sent) {
            let full = RDKafkaRespErr::RD_KAFKA_RESP_ERR__QUEUE_FULL;
            assert_eq!(code, full, "produce to {topic}");
            self.inner.poll(Duration::from_millis(50));
            sent = back;
        }
        self.inner.poll(Duration::ZERO);
    }

    /// Puts one record into librdkafka's queue, or gives it back with the reason.
    fn produce(&self, partition: i32, sent: Box<Sent>) -> Result<(), (RDKafkaRespErr, Box<Sent>)> {
        use rd::rd_kafka_vtype_t as kind;
        let topic = CString::new(&*sent.topic).expect("a topic's name");
        let record = &sent.record;
        let memory = |bytes: &Option<Vec<u8>>| rd::rd_kafka_vu_s__bindgen_ty_1 {
            mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: bytes.as_ref().map_or(ptr::null_mut(), |b| b.as_ptr().cast_mut().cast()),
                size: bytes.as_ref().map_or(0, Vec::len),
            },
        };
        let (key, value) = (memory(&record.key), memory(&record.value));
        let timestamp = record.timestamp.unwrap_or(0);
        let headers = native_headers(&record.headers);
        let opaque = sent.into_ptr();
        let arguments = [
            (kind::RD_KAFKA_VTYPE_TOPIC, Argument { cstr: topic.as_ptr() }),
            (kind::RD_KAFKA_VTYPE_PARTITION, Argument { i32_: partition }),
            (kind::RD_KAFKA_VTYPE_MSGFLAGS, Argument { i: rd::RD_KAFKA_MSG_F_COPY }),
            (kind::RD_KAFKA_VTYPE_KEY, key),
            (kind::RD_KAFKA_VTYPE_VALUE, value),
            (kind::RD_KAFKA_VTYPE_TIMESTAMP, Argument { i64_: timestamp }),
            (kind::RD_KAFKA_VTYPE_HEADERS, Argument { headers }),
            (kind::RD_KAFKA_VTYPE_OPAQUE, Argument { ptr: opaque }),
        ]
        .map(|(vtype, u)| rd::rd_kafka_vu_t { vtype, u });
        let client = self.inner.client().native_ptr();
        // SAFETY: each argument's type goes with its tag; key and value lie in `sent`, which lives
        // at `opaque` until its delivery, and are copied; librdkafka takes the headers if it
        // takes the record, and otherwise they and `sent` are still ours.
        unsafe {
            let error = rd::rd_kafka_produceva(client, arguments.as_ptr(), arguments.len());
            if error.is_null() {
                return Ok(());
            }
            let code = rd::rd_kafka_error_code(error);
            rd::rd_kafka_error_destroy(error);
            rd::rd_kafka_headers_destroy(headers);
            Err((code, Box::from_ptr(opaque)))
        }
    }
}

type Argument = rd::rd_kafka_vu_s__bindgen_ty_1;

fn native_headers(headers: &[(Vec<u8>, Option<Vec<u8>>)]) -> *mut rd::rd_kafka_headers_t {
    // SAFETY: names and values are copied, with the lengths that they have.
    unsafe {
        let native = rd::rd_kafka_headers_new(headers.len());
        for (name, value) in headers {
            let value = value.as_deref();
            let code = rd::rd_kafka_header_add(
                native,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value.map_or(ptr::null(), |bytes| bytes.as_ptr().cast()),
                value.map_or(0, <[u8]>::len).cast_signed(),
            );
            assert_eq!(code, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        }
        native
    }
}

#[test]
fn records_count_when_they_are_committed() {
    let site = super::Site::new("produce");
    site.admin.create("produce-odd", 2, &[]);
    let plain = Producer::new(&site.bootstrap);
    plain.send("produce-odd", 1, (0..1000).map(|index| Record::odd(1, index)));
    assert_eq!(plain.expected().len(), 1000);
    assert_eq!(site.admin.offsets("produce-odd", 1).len(), 1000);

    let producer = Producer::transactional(&site.bootstrap, "produce");
    let send = || producer.send("produce-odd", 0, [Record::text("a"), Record::text("b")]);
    producer.begin();
    send();
    producer.commit();
    producer.begin();
    send();
    producer.abort();
    producer.begin();
    send();
    assert_eq!(producer.expected().len(), 2);
    assert_eq!(site.admin.offsets("produce-odd", 0), [0, 1]);
    site.admin.delete_records("produce-odd", 1, 600);
    assert_eq!(site.admin.offsets("produce-odd", 1).len(), 400);
    site.admin.delete("produce-odd");
}
