//! The whole way from Kafka into the archive, with every kind of topic and record.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Expected, PATIENCE, Producer, Record, Role, Site, await_that, eventually};
use crate::servers::{Action, PASSWORD, Seen, USER, kafka};

/// Produces `count` odd records into each of the first `partitions` of the topic.
pub(crate) fn produce_odd(site: &Site, topic: &str, partitions: i32, count: u64) -> Expected {
    let producer = Producer::new(&site.bootstrap);
    for partition in 0..partitions {
        let seed = u64::from(partition.cast_unsigned());
        producer.send(topic, partition, (0..count).map(|index| Record::odd(seed, index)));
    }
    producer.expected()
}

/// Produces `count` records of 10,000 bytes that don't compress.
pub(crate) fn produce_bulk(site: &Site, topic: &str, count: u64) -> Expected {
    let producer = Producer::new(&site.bootstrap);
    producer.send(topic, 0, (0..count).map(|index| Record::noise(index, 10_000)));
    producer.expected()
}

#[test]
fn one_record_goes_all_the_way() {
    let mut site = Site::new("one-record");
    let topic = site.topic("t", 1, &[]);
    let producer = Producer::new(&site.bootstrap);
    producer.send(&topic, 0, [Record::text("hello")]);

    site.run_to_end().expect(0);
    site.check_with_offsets(&producer.expected());
    assert_eq!(site.objects(&topic, 0), ["00000000000000000000.mak.gz"]);
}

#[test]
fn a_service_archives_what_comes_and_drains_when_it_is_stopped() {
    let mut site = Site::new("service");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 100);
    let run = site.start();
    await_that("the first file", || !site.objects(&topic, 0).is_empty());
    let producer = Producer::new(&site.bootstrap);
    producer.send(&topic, 0, [Record::text("last")]);
    expected.merge(producer.expected());
    await_that("the second file", || site.objects(&topic, 0).len() == 2);
    producer.send(&topic, 0, [Record::text("caught by the drain")]);
    expected.merge(producer.expected());
    await_that("bytes in progress", || run.spool_bytes() > 0);
    run.stop().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_million_records_of_every_kind() {
    let mut site = Site::new("million");
    site.set("consumer", "consumer_processes", 2);
    site.set("consumer", "max_age_seconds", 600);
    site.set("consumer", "max_file_bytes", "4MiB");
    site.set("s3", "s3uploader_workers", 2);
    let create = site.topic("create-time", 4, &[]);
    let append = site.topic("append-time", 4, &[("message.timestamp.type", "LogAppendTime")]);
    let mut expected = produce_odd(&site, &create, 4, 125_000);
    expected.merge(produce_odd(&site, &append, 4, 125_000));
    assert_eq!(expected.len(), 1_000_000);

    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains(" 1000000 records, 0 gaps, 0 seals"), "{sum}");
    assert!(site.objects(&create, 3).len() > 1, "rotation by size");
}

#[test]
fn other_ways_of_packing_and_a_directory() {
    for (name, compression, suffix) in
        [("zstd", "zstd", ".mak.zst"), ("plain", "none", ".mak"), ("gzip", "gzip", ".mak.gz")]
    {
        let mut site = Site::new(&format!("directory-{name}"));
        site.archive_to_directory();
        site.set("compression", "compression", compression);
        let topic = site.topic("t", 2, &[]);
        let expected = produce_odd(&site, &topic, 2, 5000);
        site.run_to_end().expect(0);
        site.check_with_offsets(&expected);
        assert!(site.objects(&topic, 1)[0].ends_with(suffix));
    }
}

#[test]
fn a_compacted_topic() {
    let mut site = Site::new("compacted");
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("min.compaction.lag.ms", "0"),
    ];
    let topic = site.topic("t", 1, &settings);
    let producer = Producer::new(&site.bootstrap);
    for round in 0..4 {
        // Timestamps an hour apart begin a new segment, and only full ones are compacted.
        let record = |key: u64| Record {
            key: Some(format!("key-{}", key % 50).into_bytes()),
            timestamp: Some(1_700_000_000_000 + round * 3_600_000),
            // Kafka's own compaction rewrites names of headers that are not UTF-8.
            headers: vec![(b"trace".to_vec(), None), (b"trace".to_vec(), Some(vec![0xff]))],
            ..Record::odd(7, key)
        };
        producer.send(&topic, 0, (0..200).map(record));
    }
    let mut left = Vec::new();
    let settled = eventually(PATIENCE, || {
        let before = std::mem::replace(&mut left, site.admin.offsets(&topic, 0));
        std::thread::sleep(Duration::from_secs(2));
        left.len() < 400 && left == before
    });
    assert!(settled, "Kafka does not compact: {} records left", left.len());

    let mut expected = producer.expected();
    expected.retain(|_, _, offset| left.contains(&offset));
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains("tip 800"), "{sum}");
}

#[test]
fn transactions() {
    let mut site = Site::new("transactions");
    let [committed, aborted, open] =
        ["committed", "aborted", "open"].map(|name| site.topic(name, 1, &[]));
    let batch = || (0..500).map(|index| Record::odd(3, index));
    let producer = Producer::transactional(&site.bootstrap, "transactions");
    let mut expected = Expected::default();
    for topic in [&committed, &aborted, &open] {
        producer.begin();
        producer.send(topic, 0, batch());
        producer.commit();
    }
    producer.begin();
    producer.send(&aborted, 0, batch());
    producer.abort();
    expected.merge(producer.expected());

    let undecided = Producer::transactional(&site.bootstrap, "undecided");
    undecided.begin();
    undecided.send(&open, 0, batch());
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    // 500 records and a marker; 500 more that were aborted and their marker; up to the open one.
    assert!(sum.contains("transactions-committed-0: 500 records, tip 501"), "{sum}");
    assert!(sum.contains("transactions-aborted-0: 500 records, tip 1002"), "{sum}");
    assert!(sum.contains("transactions-open-0: 500 records, tip 501"), "{sum}");

    undecided.commit();
    expected.merge(undecided.expected());
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains("transactions-open-0: 1000 records, tip 1002"), "{sum}");
}

#[test]
fn a_cluster_that_asks_who_we_are() {
    let mut site = Site::new("scram");
    let topic = site.topic("t", 2, &[]);
    let expected = produce_odd(&site, &topic, 2, 1000);
    site.set("consumer", "kafka_bootstrap", &kafka().sasl_ssl);
    site.set("kafka", "security.protocol", "SASL_SSL");
    site.set("kafka", "ssl.ca.location", kafka().ca.display());
    site.set("kafka", "sasl.mechanism", "SCRAM-SHA-256");
    site.set("kafka", "sasl.username", USER);
    site.set("kafka", "sasl.password", PASSWORD);
    let log = site.run_to_end().expect(0).log;
    assert!(!log.contains(PASSWORD), "the log shows the password");
    site.check_with_offsets(&expected);
}

#[test]
fn a_topic_that_appears_later() {
    let mut site = Site::new("later");
    site.set("consumer", "topic_whitelist", "^later-.*");
    site.set("consumer", "topic_blacklist", "later-not-this");
    site.admin.create("later-first", 1, &[]);
    site.admin.create("later-not-this", 1, &[]);
    site.know("later-first", 1);
    let mut expected = produce_odd(&site, "later-first", 1, 100);
    produce_odd(&site, "later-not-this", 1, 100);
    let run = site.start();
    await_that("a file of the first topic", || !site.objects("later-first", 0).is_empty());

    site.admin.create("later-second", 2, &[]);
    site.know("later-second", 2);
    expected.merge(produce_odd(&site, "later-second", 2, 100));
    await_that("a file of the new topic", || !site.objects("later-second", 1).is_empty());
    run.stop().expect(0);
    site.check_with_offsets(&expected);
    assert!(site.objects("later-not-this", 0).is_empty());
}

#[test]
fn a_full_spool_pauses_consumers_and_stays_within_its_size() {
    const MOST: u64 = 24 << 20;
    let mut site = Site::new("full-spool");
    site.set("main", "spool_max_bytes", MOST);
    site.set("consumer", "max_file_bytes", "2MiB");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 6000);
    site.store.rule(|seen| if seen.is_upload() { Action::Refuse(403) } else { Action::Pass });

    let run = site.start();
    let (highest, last_growth) = (AtomicU64::new(0), Mutex::new(Instant::now()));
    let look = || {
        let now = run.spool_bytes();
        if now > highest.fetch_max(now, Ordering::Relaxed) {
            *last_growth.lock().expect("time") = Instant::now();
        }
        assert!(now <= MOST, "{now} bytes in the spool");
        now
    };
    await_that("a full spool that grows no more", || {
        let full = look() > MOST / 4;
        full && last_growth.lock().expect("time").elapsed() > Duration::from_secs(5)
    });
    assert!(site.objects(&topic, 0).is_empty());
    let refused = site.store.seen(Seen::is_upload).len();
    assert!(refused > 0, "no upload was tried");

    site.store.pass();
    await_that("all records in the archive", || {
        look();
        site.admin.committed(site.group(), &[(topic.clone(), 1)]).values().any(|p| p[&0] == 6000)
    });
    assert_eq!(run.workers(Role::Consumer).len(), 1);
    run.stop().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn uploads_that_are_refused_or_whose_answer_is_lost() {
    let mut site = Site::new("bad-answers");
    site.set("consumer", "max_file_bytes", "1MiB");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 800);
    let uploads = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&uploads);
    site.store.rule(move |seen| {
        if !seen.is_upload() {
            return Action::Pass;
        }
        match count.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => Action::Refuse(403),
            1 => Action::LoseAnswer,
            2 => Action::Refuse(503),
            _ => Action::Pass,
        }
    });
    site.run_to_end().expect(0);
    assert!(uploads.load(Ordering::Relaxed) > 4);
    site.check_with_offsets(&expected);
}
