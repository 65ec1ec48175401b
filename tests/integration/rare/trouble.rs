//! Stores that are away, records of chains that are not ours, disks that are full.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;

use super::{await_word, patient_site, refuse_uploads, refused};
use crate::archive::{produce_bulk, produce_odd};
use crate::harness::{Disk, Role, Running, Site, await_that};
use crate::servers::{Action, Outcome};

const ROLES: [Role; 3] = [Role::Consumer, Role::Compressor, Role::Uploader];

fn committed(site: &Site, topic: &str, partition: i32) -> Option<i64> {
    let all = site.admin.committed(site.group(), &[(topic.to_owned(), partition + 1)]);
    all.get(topic)?.get(&partition).copied()
}

#[test]
fn the_store_is_away_for_a_while() {
    for (name, away) in [("away-503", Action::Refuse(503)), ("away-gone", Action::HangUp)] {
        let mut site = Site::new(name);
        site.set("consumer", "max_file_bytes", "1MiB");
        site.set("consumer", "max_age_seconds", 1);
        let topic = site.topic("t", 2, &[]);
        let mut expected = produce_odd(&site, &topic, 2, 500);
        let run = site.start();
        await_that("files", || (0..2).all(|p| !site.objects(&topic, p).is_empty()));

        site.store.rule(move |_| away);
        expected.merge(produce_odd(&site, &topic, 2, 500));
        let lost = |outcome| matches!(outcome, Outcome::Answered(503) | Outcome::HungUp);
        await_that("files that wait", || run.spool_files("compressed").len() >= 2);
        await_that("uploads in vain", || {
            !site.store.seen(|seen| seen.is_upload() && lost(seen.outcome)).is_empty()
        });
        // A consumer that comes up now does not learn where to read from.
        let before = site.store.seen(|seen| lost(seen.outcome) && !seen.is_upload()).len();
        run.kill_worker(Role::Consumer);
        await_that("questions in vain", || {
            site.store.seen(|seen| lost(seen.outcome) && !seen.is_upload()).len() > before
        });
        expected.merge(produce_odd(&site, &topic, 2, 500));
        let (uploader, files) = (run.worker(Role::Uploader), site.objects(&topic, 0).len());

        site.store.pass();
        await_that("the rest", || (0..2).all(|p| committed(&site, &topic, p) == Some(1500)));
        assert_eq!(run.worker(Role::Uploader), uploader);
        assert!(site.objects(&topic, 0).len() > files);
        run.stop().expect(0);
        site.check_with_offsets(&expected);
    }
}

#[test]
fn a_store_that_comes_up_after_us() {
    let mut site = Site::new("late-store");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_odd(&site, &topic, 1, 500);
    site.store.rule(|_| Action::HangUp);
    let run = site.start_to_end();
    await_that("questions in vain", || {
        site.store.seen(|seen| seen.outcome == Outcome::HungUp).len() > 3
    });
    site.store.pass();
    run.wait().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_partition_whose_record_is_not_ours_stops_alone() {
    let mut site = Site::new("foreign-record");
    let topic = site.topic("t", 3, &[]);
    let mut expected = produce_odd(&site, &topic, 3, 500);
    // The record of another cluster's chain, and something that is no record at all.
    let foreign = json!({
        "layout": 1, "cluster": "somebody-else", "topic": topic, "topicid": "AAAAAAAAAAAAAAAAAAAAAA",
        "partition": 1, "isolation": "read_committed", "first": 0, "suffix": ".mak.gz",
    });
    let records = [1, 2].map(|partition| site.chain_record(&topic, partition));
    for (record, text) in records.iter().zip([foreign.to_string(), "not for you".to_owned()]) {
        fs::create_dir_all(record.parent().expect("a folder")).expect("create the folder");
        fs::write(record, text).expect("write a record");
    }
    let log = site.run_to_end().expect(75).log;
    assert!(log.contains(&format!("not archived: {topic}-1: foreign identity")), "{log}");
    let unread = format!("not archived: {topic}-2: chain.json does not read");
    assert!(log.contains(&unread), "{log}");
    assert_eq!(committed(&site, &topic, 0), Some(500));
    assert_eq!(fs::read_to_string(&records[1]).expect("read a record"), "not for you");

    for record in &records {
        remove(record);
    }
    expected.merge(produce_odd(&site, &topic, 3, 10));
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[expect(clippy::disallowed_methods, reason = "the operator makes room")]
fn remove(path: &Path) {
    fs::remove_file(path).expect("remove a file");
}

#[test]
fn a_working_directory_that_takes_nothing() {
    let mut site = Site::new("takes-nothing");
    site.topic("t", 1, &[]);
    let spool = site.spool();
    let path = spool.display().to_string();
    for options in ["ro", "size=64k"] {
        let Some(disk) = Disk::mount(&spool, options) else { return };
        if options != "ro" {
            disk.fill("ballast");
        }
        let log = site.run_to_end().expect(73).log;
        assert!(log.contains(&path), "{log}");
    }
    site.set("main", "working_directory", "/proc/kafkatos3");
    let log = site.run_to_end().expect(73).log;
    assert!(log.contains("/proc/kafkatos3"), "{log}");
}

fn await_archived(site: &Site, run: &Running, topic: &str, tip: i64) {
    await_that("all of it in the archive", || {
        run.signal(Signal::SIGUSR1);
        committed(site, topic, 0) == Some(tip)
    });
}

#[test]
fn a_disk_that_somebody_fills() {
    let mut site = patient_site("disk-filled");
    site.set("consumer", "max_file_bytes", "1MiB");
    site.set("main", "shutdown_timeout", "30s");
    let topic = site.topic("t", 1, &[]);
    let Some(disk) = Disk::mount(&site.spool(), "size=48m") else { return };
    let mut expected = produce_bulk(&site, &topic, 300);
    refuse_uploads(&site);
    let run = site.start();
    await_that("refused uploads", || refused(&site) > 0);
    await_that("packed files", || run.spool_files("compressed").len() >= 2);
    let workers = ROLES.map(|role| run.worker(role));

    let ballast = disk.fill("ballast");
    expected.merge(produce_bulk(&site, &topic, 300));
    await_word(&run, "is fetched");
    run.signal(Signal::SIGUSR1);
    await_word(&run, "o space left on device");
    // What was in progress is gone, and its room as well.
    let more = disk.fill("more");
    assert!(site.objects(&topic, 0).is_empty());
    site.store.pass();
    await_that("uploads from the full disk", || site.objects(&topic, 0).len() >= 2);
    await_that("commits from the full disk", || committed(&site, &topic, 0) >= Some(210));
    assert!(!run.log().contains("not published: can't write"), "{}", run.log());
    for file in [ballast, more] {
        remove(&file);
    }
    await_archived(&site, &run, &topic, 600);
    assert_eq!(ROLES.map(|role| run.worker(role)), workers);
    run.stop().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_disk_that_is_smaller_than_the_spool_may_be() {
    let mut site = patient_site("disk-small");
    site.set("consumer", "max_file_bytes", "1MiB");
    site.set("main", "shutdown_timeout", "30s");
    let topic = site.topic("t", 1, &[]);
    let Some(_disk) = Disk::mount(&site.spool(), "size=40m") else { return };
    let expected = produce_bulk(&site, &topic, 4000);
    // What was read must not take the room that packing needs: while the compressor sleeps, the
    // disk would fill up.
    let run = site.start();
    let compressor = run.worker(Role::Compressor);
    run.signal_to(compressor, Signal::SIGSTOP);
    await_word(&run, "is fetched");
    run.signal_to(compressor, Signal::SIGCONT);
    await_archived(&site, &run, &topic, 4000);
    assert_eq!(run.worker(Role::Compressor), compressor);
    run.stop().expect(0);
    site.check_with_offsets(&expected);
}
