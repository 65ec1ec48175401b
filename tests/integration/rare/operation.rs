//! What an operator does: signals, commands, instances that do only a part of the work.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{await_word, patient_site};
use crate::archive::{produce_bulk, produce_odd};
use crate::harness::{Expected, PATIENCE, Producer, Record, Role, Running, Site, await_that};

fn await_workers(run: &Running, counts: [usize; 3]) {
    let roles = [Role::Consumer, Role::Compressor, Role::Uploader];
    await_that(&format!("{counts:?} workers"), || {
        roles.map(|role| run.workers(role).len()) == counts
    });
}

#[test]
fn a_hangup_changes_settings_and_a_bad_file_does_not() {
    let mut site = Site::new("hup");
    site.set("consumer", "max_age_seconds", 3600);
    let topic = site.topic("t", 2, &[]);
    let mut expected = produce_odd(&site, &topic, 2, 500);
    let run = site.start();
    await_workers(&run, [1, 1, 1]);
    await_that("bytes in progress", || run.spool_files("inprogress").len() == 2);
    assert!(site.objects(&topic, 0).is_empty());

    site.set("consumer", "max_age_seconds", 1);
    site.set("consumer", "consumer_processes", 2);
    site.set("compression", "compressor_workers", 2);
    site.set("s3", "s3uploader_workers", 3);
    let path = site.write_config();
    run.signal(Signal::SIGHUP);
    await_workers(&run, [2, 2, 3]);
    await_that("files of their new age", || {
        !site.objects(&topic, 0).is_empty() && !site.objects(&topic, 1).is_empty()
    });

    let consumers = run.workers(Role::Consumer);
    let good = fs::read_to_string(&path).expect("read the configuration");
    let bad = good.replace("max_age_seconds = 1", "max_age_seconds = soon");
    for bad in [bad, good.replace("instance = hup", "instance = other")] {
        let said = run.log().matches("the configuration stays as it was").count();
        fs::write(&path, bad).expect("write the configuration");
        run.signal(Signal::SIGHUP);
        await_that("its refusal", || {
            run.log().matches("the configuration stays as it was").count() > said
        });
    }
    assert!(run.log().contains("max_age_seconds: \"soon\""), "{}", run.log());
    assert!(run.log().contains("instance changed, which needs a restart"), "{}", run.log());
    assert_eq!(run.workers(Role::Consumer), consumers);
    let before = site.objects(&topic, 0).len();
    expected.merge(produce_odd(&site, &topic, 2, 500));
    await_that("files of the same age", || site.objects(&topic, 0).len() > before);

    // Fewer again, none of one kind.
    let fewer = good
        .replace("consumer_processes = 2", "consumer_processes = 1")
        .replace("s3uploader_workers = 3", "s3uploader_workers = 0");
    fs::write(&path, fewer).expect("write the configuration");
    run.signal(Signal::SIGHUP);
    await_workers(&run, [1, 2, 0]);
    assert!(!run.log().contains(" DEBUG "));
    let louder = good.replace("[main]\n", "[main]\nlog.level = DEBUG\n");
    fs::write(&path, louder).expect("write the configuration");
    run.signal(Signal::SIGHUP);
    await_workers(&run, [2, 2, 3]);
    expected.merge(produce_odd(&site, &topic, 2, 500));
    await_word(&run, " DEBUG   consumer");
    run.stop().expect(0);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

fn rotate(site: &Site) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_kafkatos3_rotate");
    let Output { status, stdout, stderr } =
        Command::new(program).arg(site.config_file()).output().expect("run the program");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn the_rotate_command_closes_files_where_something_runs() {
    let mut site = Site::new("rotate");
    site.set("consumer", "max_age_seconds", 3600);
    let topic = site.topic("t", 2, &[]);
    let expected = produce_odd(&site, &topic, 2, 500);
    let run = site.start();
    await_that("bytes in progress", || run.spool_files("inprogress").len() == 2);
    let (code, said) = rotate(&site);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"rotate\""), "{said}");
    await_that("files", || (0..2).all(|partition| !site.objects(&topic, partition).is_empty()));
    run.stop().expect(0);
    site.check_with_offsets(&expected);

    let (code, said) = rotate(&site);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("no kafkatos3 runs"), "{said}");
}

#[test]
fn an_instance_without_consumers_empties_the_spool() {
    let mut site = patient_site("empties");
    site.set("consumer", "max_file_bytes", "1MiB");
    site.set("s3", "s3uploader_workers", 0);
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 500);
    let run = site.start();
    await_that("packed files", || run.spool_files("compressed").len() >= 3);
    let log = run.stop().expect(75).log;
    assert!(log.contains("wait for their uploads"), "{log}");
    assert!(site.objects(&topic, 0).is_empty());

    site.set("consumer", "consumer_processes", 0);
    site.set("s3", "s3uploader_workers", 2);
    let run = site.start_to_end();
    let spool = site.spool();
    run.wait().expect(0);
    for stage in ["rotated", "compressed"] {
        let left = fs::read_dir(spool.join(stage)).expect("list").count();
        assert_eq!(left, 0, "files in {stage}");
    }
    assert!(site.objects(&topic, 0).len() >= 3);
    let committed = site.admin.committed(site.group(), &[(topic.clone(), 1)]);
    assert_ne!(committed[&topic][&0], 500, "who committed?");

    site.set("consumer", "consumer_processes", 1);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn instances_that_share_a_spool_and_its_work() {
    let mut reader = Site::new("shared-work");
    reader.set("s3", "s3uploader_workers", 0);
    let topic = reader.topic("t", 2, &[]);
    let mut expected = produce_odd(&reader, &topic, 2, 500);
    let mut sender = reader.twin();
    sender.set("main", "working_directory", reader.spool().display());
    sender.set("consumer", "consumer_processes", 0);
    sender.set("compression", "compressor_workers", 0);
    sender.set("s3", "s3uploader_workers", 2);

    let (reading, sending) = (reader.start(), sender.start());
    await_workers(&reading, [1, 1, 0]);
    await_workers(&sending, [0, 0, 2]);
    await_that("files", || (0..2).all(|partition| !reader.objects(&topic, partition).is_empty()));
    expected.merge(produce_odd(&reader, &topic, 2, 500));
    await_that("all of it in the archive", || {
        let all = reader.admin.committed(reader.group(), &[(topic.clone(), 2)]);
        all.get(&topic).is_some_and(|offsets| offsets.values().eq([&1000, &1000]))
    });
    reading.stop().expect(0);
    sending.stop().expect(0);
    reader.check_with_offsets(&expected);
}

/// Sends a record about five times a second until `enough`; gives the longest pause.
fn trickle(
    site: &Site,
    topic: &str,
    mut enough: impl FnMut(u64) -> bool,
) -> (Expected, u64, Duration) {
    let producer = Producer::new(&site.bootstrap);
    let (start, mut last) = (Instant::now(), Instant::now());
    let (mut sent, mut longest) = (0, Duration::ZERO);
    while !enough(sent) {
        assert!(start.elapsed() < PATIENCE, "not enough after {sent} records");
        producer.send(topic, 0, [Record::odd(5, sent)]);
        sent += 1;
        longest = longest.max(last.elapsed());
        last = Instant::now();
        std::thread::sleep(Duration::from_millis(200));
    }
    (producer.expected(), sent, longest)
}

#[test]
fn a_file_is_closed_when_nothing_comes_any_more() {
    const IDLE: u64 = 3;
    let mut site = Site::new("idle");
    site.set("consumer", "max_age_seconds", 3600);
    site.set("consumer", "max_idle_seconds", IDLE);
    let topic = site.topic("t", 1, &[]);
    let run = site.start();
    await_word(&run, "reading from 0");
    let (expected, sent, longest) = trickle(&site, &topic, |sent| sent > 5 * IDLE + 5);
    await_that("a file", || !site.objects(&topic, 0).is_empty());
    if longest < Duration::from_secs(IDLE - 1) {
        await_word(&run, &format!("published {topic}-0 [0, "));
        let whole = format!("published {topic}-0 [0, {sent})");
        assert!(run.log().contains(&whole), "closed before it was idle: {}", run.log());
        assert_eq!(site.objects(&topic, 0).len(), 1);
    }
    run.stop().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_file_is_closed_at_its_age_though_records_keep_coming() {
    let mut site = Site::new("age");
    site.set("consumer", "max_age_seconds", 1);
    let topic = site.topic("t", 1, &[]);
    let run = site.start();
    await_word(&run, "reading from 0");
    let (expected, _, _) = trickle(&site, &topic, |_| site.objects(&topic, 0).len() >= 2);
    run.stop().expect(0);
    site.check_with_offsets(&expected);
}
