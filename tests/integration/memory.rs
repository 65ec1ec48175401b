//! All processes together keep within `memory_max_bytes`, whatever comes; and what a start with many
//! partitions asks of the store.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::harness::{PATIENCE, Site, eventually};

const MIB: u64 = 1 << 20;

/// What is allowed: the least that one worker of each kind may have.
const ALLOWED: u64 = 104 * MIB;
/// How much more it may be for a moment: pages of files are given back a little after they were
/// read, and the test's build is larger than the one that is shipped.
const TOLERANCE: u64 = ALLOWED / 10;

const PARTITIONS: i32 = 64;
const RECORD: usize = 100_000;

/// Text that packs to a half.
fn text(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"0123456789abcdef"[usize::try_from(state >> 60).expect("four bits")]
    };
    (0..length).map(|_| next()).collect()
}

fn produce(bootstrap: &str, topic: &str, records: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("compression.type", "lz4")
        .set("linger.ms", "100")
        .create()
        .expect("a producer");
    let text = text(RECORD * 20);
    for number in 0..records {
        let value = &text[number * 9973 % (text.len() - RECORD)..][..RECORD];
        let partition = i32::try_from(number).expect("few") % PARTITIONS;
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value);
        while let Err((_, back)) = producer.send(record) {
            producer.poll(Duration::from_millis(50));
            record = back;
        }
    }
    producer.flush(PATIENCE).expect("flush");
}

/// Everything is archived, and nothing else is known than what the group has committed: for each
/// partition its last file is looked at, and whether one follows.
fn a_start_asks_little(site: &Site) {
    site.lose_spool();
    let before = site.store.seen(|_| true).len();
    site.run_to_end().expect(0);
    let asked = site.store.seen(|_| true).split_off(before);
    let chains = asked.iter().filter(|seen| !seen.path.contains("selftest"));
    let partitions = usize::try_from(PARTITIONS).expect("few");
    let most = 2 * partitions + 1;
    assert_eq!(chains.count(), most, "two for each partition, and one for all: {asked:#?}");
}

#[test]
fn large_records_in_many_partitions_stay_within_a_small_budget() {
    let mut site = Site::new("memory");
    let topic = site.topic("t", PARTITIONS, &[]);
    produce(&site.bootstrap, &topic, 3000);
    site.set("main", "memory_max_bytes", ALLOWED);
    let mut run = site.start_to_end();
    let mut peak = 0;
    assert!(eventually(PATIENCE * 2, || {
        peak = peak.max(run.memory());
        run.has_ended()
    }));
    run.wait().expect(0);
    a_start_asks_little(&site);
    assert!(peak > ALLOWED / 4, "{} MiB: it was not looked at", peak / MIB);
    assert!(
        peak <= ALLOWED + TOLERANCE,
        "{} MiB, of {} that are allowed",
        peak / MIB,
        ALLOWED / MIB
    );
}
