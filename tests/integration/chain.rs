//! The chain's rare paths: gaps, seals, foreign identities, racing writers.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::archive::{produce_bulk, produce_odd};
use crate::harness::{Producer, Record, Site, await_that};
use crate::servers::{Action, Outcome};

#[test]
fn records_that_kafka_deleted_first_are_a_recorded_gap() {
    let mut site = Site::new("gap");
    let topic = site.topic("t", 2, &[]);
    let mut expected = produce_odd(&site, &topic, 2, 100);
    site.admin.delete_records(&topic, 1, 30);
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains("gap-t-0: 100 records, tip 100, gaps []"), "{sum}");
    let genesis = "gap-t-1: 70 records, tip 100, gaps [(0, 30, 'genesis')]";
    assert!(sum.contains(genesis), "{sum}");

    expected.merge(produce_odd(&site, &topic, 2, 100));
    site.admin.delete_records(&topic, 0, 150);
    let log = site.run_to_end().expect(0).log;
    assert!(log.to_lowercase().contains("gap"), "no word about the gap: {log}");
    let sum = site.check_with_offsets(&expected);
    let retention = "gap-t-0: 150 records, tip 200, gaps [(100, 150, 'retention')]";
    assert!(sum.contains(retention), "{sum}");
}

#[test]
fn everything_deleted_before_the_first_file() {
    let mut site = Site::new("all-gone");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_odd(&site, &topic, 1, 100);
    site.admin.delete_records(&topic, 0, 100);
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains("0 records, tip 100, gaps [(0, 100, 'genesis')]"), "{sum}");
}

#[test]
fn a_change_of_compression_seals_the_chain() {
    let mut site = Site::new("seal");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 1000);
    site.run_to_end().expect(0);
    for (compression, seals) in [("zstd", 1), ("zstd", 1), ("none", 2), ("gzip", 3)] {
        site.set("compression", "compression", compression);
        expected.merge(produce_odd(&site, &topic, 1, 1000));
        site.run_to_end().expect(0);
        let sum = site.check_with_offsets(&expected);
        assert!(sum.contains(&format!(" {seals} seals")), "{sum}");
    }
}

#[test]
fn an_old_writer_that_meets_a_seal_follows_it() {
    let mut site = Site::new("meet-seal");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 100);
    site.run_to_end().expect(0);

    // The old writer's next upload waits; every later request passes.
    let held = AtomicBool::new(false);
    site.store.rule(move |seen| {
        let is_held = seen.outcome == Outcome::Held;
        if seen.is_upload() && (is_held || !held.swap(true, Ordering::Relaxed)) {
            return Action::Hold;
        }
        Action::Pass
    });
    expected.merge(produce_odd(&site, &topic, 1, 100));
    let old = site.start();
    await_that("a held upload", || held_uploads(&site) == 1);

    let mut new = site.twin();
    new.set("consumer", "kafka_consumer_group", "meet-seal-new");
    new.set("compression", "compression", "zstd");
    new.run_to_end().expect(0);
    assert_eq!(site.objects(&topic, 0).len(), 3, "a file, a seal, a file");

    site.store.pass();
    expected.merge(produce_odd(&site, &topic, 1, 100));
    await_that("the old writer's file behind the seal", || site.objects(&topic, 0).len() == 4);
    old.stop().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains("300 records, 0 gaps, 1 seals"), "{sum}");
    assert!(site.objects(&topic, 0)[3].ends_with(".mak.zst"));
}

fn held_uploads(site: &Site) -> usize {
    site.store.seen(|seen| seen.is_upload() && seen.outcome == Outcome::Held).len()
}

#[test]
fn a_second_cluster_on_the_same_prefix_is_turned_away() {
    let mut site = Site::new("clusters");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_odd(&site, &topic, 1, 100);
    site.run_to_end().expect(0);

    let other = site.foreign_twin();
    other.admin.create(&topic, 1, &[]);
    produce_odd(&other, &topic, 1, 200);
    let log = other.run_to_end().expect(75).log;
    assert!(log.contains("cluster id"), "{log}");
    assert!(log.contains(&format!("{topic}-0")), "{log}");
    site.check_with_offsets(&expected);
}

#[test]
fn a_topic_that_was_created_again_stops_alone() {
    let mut site = Site::new("recreated");
    let topic = site.topic("t", 1, &[]);
    let other = site.topic("other", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 100);
    site.run_to_end().expect(0);

    site.admin.delete(&topic);
    site.admin.create(&topic, 1, &[]);
    produce_odd(&site, &topic, 1, 200);
    expected.merge(produce_odd(&site, &other, 1, 50));
    let log = site.run_to_end().expect(75).log;
    assert!(log.contains("topic id"), "{log}");
    site.check(&expected);
}

#[test]
fn two_racing_writers_make_one_chain() {
    let mut site = Site::new("race");
    site.set("consumer", "max_file_bytes", "1MiB");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 3000);
    let mut other = site.twin();
    other.set("consumer", "kafka_consumer_group", "race-other");
    other.set("consumer", "max_file_bytes", "700KiB");

    // Both have the first file under way before either can land.
    site.store.rule(|seen| if seen.is_upload() { Action::Hold } else { Action::Pass });
    let (one, two) = (site.start_to_end(), other.start_to_end());
    await_that("two uploads under way", || {
        site.store.seen(|seen| seen.is_upload() && seen.outcome == Outcome::Held).len() >= 2
    });
    site.store.pass();
    one.wait().expect(0);
    two.wait().expect(0);
    site.check_with_offsets(&expected);
    other.check_with_offsets(&expected);
    let conflicts = site
        .store
        .seen(|seen| seen.is_upload() && matches!(seen.outcome, Outcome::Answered(409 | 412)));
    assert!(!conflicts.is_empty(), "they never met");
}

#[test]
fn group_offsets_that_are_gone_or_wrong_change_nothing() {
    let mut site = Site::new("offsets");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 100);
    site.run_to_end().expect(0);
    let producer = Producer::new(&site.bootstrap);
    producer.send(&topic, 0, [Record::text("more")]);
    expected.merge(producer.expected());

    let mut unknown = site.twin();
    unknown.set("consumer", "kafka_consumer_group", "offsets-unknown");
    unknown.run_to_end().expect(0);
    unknown.check_with_offsets(&expected);
    for wrong in [0, 37, 101] {
        site.admin.commit(site.group(), &topic, 0, wrong);
        site.run_to_end().expect(0);
        site.check_with_offsets(&expected);
    }
}
