//! The situations in which the program comes to every step. Each is prepared, goes on with faults
//! armed from [`Case::begin`] on, comes to its end whatever happened, and is checked.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::case::{Case, Fault, Mode};
use crate::archive::produce_odd;
use crate::harness::{Expected, Role, Running, await_that, eventually};
use crate::takeover;

/// A situation.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Faults without which it would be another.
    pub(super) base: &'static [Fault],
    pub(super) run: fn(&mut Case),
}

const fn plain(name: &'static str, run: fn(&mut Case)) -> Scenario {
    Scenario { name, base: &[], run }
}

/// All of them.
pub(super) const SCENARIOS: &[Scenario] = &[
    plain("bucket", into_a_bucket),
    plain("directory", into_a_directory),
    plain("sealed", a_changed_suffix),
    plain("repacked", a_file_packed_for_a_suffix_of_before),
    plain("damaged", a_damaged_file),
    plain("continued", files_in_progress),
    plain("strays", files_that_the_chain_has_no_use_for),
    plain("elsewhere", a_tip_that_nobody_knows),
    plain("latest", only_what_comes),
    plain("takeover", what_the_original_left),
    plain("recreated", a_topic_created_again),
    plain("leaked", a_topic_created_again_while_it_is_read),
    plain("skipped", a_range_that_is_given_up),
    plain("closed", a_chain_that_an_operator_ends),
    plain("reloaded", a_service_that_is_told_things),
    plain("sleeper", a_sleeper_on_a_shared_spool),
    Scenario {
        name: "given-up",
        base: &[Fault { step: "inprogress.write", mode: Mode::Enospc }],
        run: into_a_bucket,
    },
    Scenario {
        name: "unwritable",
        base: &[
            Fault { step: "inprogress.write", mode: Mode::Enospc },
            Fault { step: "poisoned.remove", mode: Mode::Eio },
        ],
        run: into_a_bucket,
    },
    Scenario {
        name: "untold",
        base: &[
            Fault { step: "tip.create", mode: Mode::Enospc },
            Fault { step: "published.remove", mode: Mode::DieAfter },
        ],
        run: into_a_bucket,
    },
];

/// Rotates by size or signal only.
fn patient(case: &mut Case) {
    case.site.set("consumer", "max_age_seconds", 3600);
}

fn into_a_bucket(case: &mut Case) {
    let topic = case.site.topic("t", 2, &[]);
    let expected = produce_odd(&case.site, &topic, 2, 100);
    case.begin();
    case.to_end();
    case.check(&expected);
}

fn into_a_directory(case: &mut Case) {
    case.site.archive_to_directory();
    let topic = case.site.topic("t", 1, &[]);
    let mut expected = produce_odd(&case.site, &topic, 1, 100);
    case.begin();
    case.to_end();
    // Somebody died here days ago.
    let folder = case.site.chain_record(&topic, 0).with_file_name(".tmp-0123456789abcdef");
    leave_old(&folder, 1);
    expected.merge(produce_odd(&case.site, &topic, 1, 100));
    case.to_end();
    case.check(&expected);
    let swept = case.fired().iter().all(|fault| fault.step != "dir.sweep");
    assert!(!swept || !folder.exists(), "what is old lies there still");
}

/// A file of `size` bytes from days ago.
fn leave_old(path: &Path, size: u64) {
    let file = File::create(path).expect("create a file");
    file.set_len(size).expect("set its length");
    let then = SystemTime::now() - Duration::from_hours(72);
    file.set_times(FileTimes::new().set_modified(then)).expect("set its time");
}

fn a_changed_suffix(case: &mut Case) {
    let topic = case.site.topic("t", 1, &[]);
    let mut expected = produce_odd(&case.site, &topic, 1, 100);
    case.site.run_to_end().expect(0);
    case.site.set("compression", "compression", "zstd");
    expected.merge(produce_odd(&case.site, &topic, 1, 100));
    case.begin();
    case.to_end();
    case.check(&expected);
    assert!(case.site.objects(&topic, 0).iter().any(|name| name.contains(".mak.zst")));
}

fn a_file_packed_for_a_suffix_of_before(case: &mut Case) {
    patient(case);
    case.site.set("s3", "s3uploader_workers", 0);
    case.site.set("main", "shutdown_timeout", "1s");
    let topic = case.site.topic("t", 1, &[]);
    let mut expected = produce_odd(&case.site, &topic, 1, 100);
    let run = case.site.start();
    Case::await_closed(&run, "compressed", 1);
    // Another instance archives the same, with a seal before.
    let mut twin = case.site.twin();
    let group = format!("{}-twin", case.site.group());
    twin.set("consumer", "kafka_consumer_group", group);
    twin.set("s3", "s3uploader_workers", 1);
    twin.run_to_end().expect(0);
    twin.set("compression", "compression", "zstd");
    expected.merge(produce_odd(&case.site, &topic, 1, 100));
    Case::await_in_progress(&run, 1);
    run.signal(Signal::SIGUSR1);
    await_that("the second file", || run.spool_files("compressed").len() == 2);
    twin.run_to_end().expect(0);
    expected.merge(produce_odd(&case.site, &topic, 1, 100));
    Case::await_in_progress(&run, 1);
    run.signal(Signal::SIGUSR1);
    await_that("the third file", || run.spool_files("compressed").len() == 3);
    run.stop().expect(75);
    case.site.set("s3", "s3uploader_workers", 1);
    case.site.set("compression", "compression", "zstd");
    case.begin();
    case.to_end();
    case.check(&expected);
}

fn a_damaged_file(case: &mut Case) {
    patient(case);
    case.site.set("compression", "compressor_workers", 0);
    case.site.set("main", "shutdown_timeout", "1s");
    let topic = case.site.topic("t", 1, &[]);
    let expected = produce_odd(&case.site, &topic, 1, 100);
    let run = case.site.start();
    Case::await_closed(&run, "rotated", 1);
    let file = run.spool_files("rotated")[0].0.clone();
    run.stop().expect(75);
    crate::rare::flip(&file);
    // Too much for the quarantine.
    leave_old(&case.site.spool().join("quarantine").join("other-0_0-9.mak"), 2 << 30);
    case.site.set("compression", "compressor_workers", 1);
    case.begin();
    case.to_end();
    case.check(&expected);
}

fn files_in_progress(case: &mut Case) {
    patient(case);
    let topic = case.site.topic("t", 2, &[]);
    let expected = produce_odd(&case.site, &topic, 2, 100);
    let run = case.site.start();
    Case::await_in_progress(&run, 2);
    run.kill_supervisor();
    drop(run);
    // One of them is no good any more, and somebody died while he began another file.
    let in_progress = case.site.spool().join("inprogress");
    let files = fs::read_dir(in_progress).expect("list").map(|entry| entry.expect("entry").path());
    let name = format!("{topic}-1_");
    let is_second = |path: &Path| path.to_string_lossy().contains(&name);
    let second = files.into_iter().find(|path| is_second(path)).expect("the file");
    fs::write(second, "").expect("empty the file");
    fs::write(case.site.spool().join("rotated/.~x.0000000000000000"), "x").expect("write a file");
    case.begin();
    case.to_end();
    case.check(&expected);
}

#[expect(clippy::disallowed_methods, reason = "out of a compressor's sight for a while")]
fn files_that_the_chain_has_no_use_for(case: &mut Case) {
    patient(case);
    case.site.set("compression", "compressor_workers", 0);
    case.site.set("main", "shutdown_timeout", "1s");
    let topic = case.site.topic("t", 2, &[]);
    let expected = produce_odd(&case.site, &topic, 2, 100);
    let run = case.site.start();
    Case::await_closed(&run, "rotated", 2);
    let mut files = run.spool_files("rotated");
    files.sort();
    run.stop().expect(75);
    // One is packed, the other is not.
    let (file, away) = (files[1].0.clone(), case.site.spool().join("away"));
    fs::rename(&file, &away).expect("move a file away");
    case.site.set("compression", "compressor_workers", 1);
    case.site.set("consumer", "consumer_processes", 0);
    case.site.set("s3", "s3uploader_workers", 0);
    case.site.start_to_end().wait();
    fs::rename(&away, &file).expect("move it back");
    // Meanwhile somebody else archives both.
    let mut twin = case.site.twin();
    let group = format!("{}-twin", case.site.group());
    twin.set("consumer", "kafka_consumer_group", group);
    twin.set("consumer", "consumer_processes", 1);
    twin.set("s3", "s3uploader_workers", 1);
    twin.run_to_end().expect(0);
    case.site.set("compression", "compressor_workers", 0);
    case.site.set("consumer", "consumer_processes", 1);
    case.begin();
    case.to_end();
    case.check(&expected);
}

/// Under kafka_store's names, which have to be told from kafka_store's own files.
fn a_tip_that_nobody_knows(case: &mut Case) {
    case.site.set("archive", "layout", "kafka_store");
    let topic = case.site.topic("t", 1, &[]);
    let mut expected = Expected::default();
    for _ in 0..2 {
        expected.merge(takeover::produce(&case.site, &topic, 1, 50));
        case.site.run_to_end().expect(0);
    }
    case.site.lose_spool();
    let group = format!("{}-new", case.site.group());
    case.site.set("consumer", "kafka_consumer_group", group);
    expected.merge(takeover::produce(&case.site, &topic, 1, 50));
    case.begin();
    case.to_end();
    case.check(&expected);
}

fn only_what_comes(case: &mut Case) {
    case.site.set("consumer", "kafka_auto_offset_reset", "latest");
    let topic = case.site.topic("t", 1, &[]);
    produce_odd(&case.site, &topic, 1, 50);
    case.begin();
    case.to_end();
    let expected = produce_odd(&case.site, &topic, 1, 50);
    case.to_end();
    let sum = case.site.check_with_offsets(&expected);
    assert!(sum.contains("50 records, tip 100, gaps []"), "{sum}");
}

fn what_the_original_left(case: &mut Case) {
    let topic = case.site.topic("t", 2, &[]);
    let mut expected = takeover::produce(&case.site, &topic, 2, 100);
    takeover::leave_all_shapes(&case.site, &topic);
    case.begin();
    case.to_end();
    takeover::expect_all_shapes(&case.site, &topic);
    expected.retain(|_, partition, offset| offset >= if partition == 0 { 80 } else { 5 });
    case.check(&expected);
}

fn a_topic_created_again(case: &mut Case) {
    let topic = case.site.topic("t", 1, &[]);
    let first = produce_odd(&case.site, &topic, 1, 100);
    case.site.run_to_end().expect(0);
    case.site.admin.delete(&topic);
    case.site.admin.create(&topic, 1, &[]);
    let mut expected = produce_odd(&case.site, &topic, 1, 200);
    case.begin();
    case.until("a stop", 75, || case.is_stopped(&topic, "topic-recreated"));
    case.chain("new", &topic, &[]);
    case.to_end();
    expected.rename(&topic, &format!("{topic}@2"));
    expected.merge(first);
    case.check(&expected);
}

/// A consumer with records on the disk.
fn a_writer(run: &Running) -> Option<Pid> {
    let is_there = run.spool_files("inprogress").iter().any(|(_, size)| *size > 1000);
    run.workers(Role::Consumer).first().copied().filter(|_| is_there)
}

/// Wakes a consumer that finds the order to close its files before anything else.
fn wake_to_rotate(run: &Running, sleeper: Pid) {
    run.signal(Signal::SIGUSR1);
    let bit = 1_u64 << (Signal::SIGUSR1 as u32 - 1);
    await_that("the order to come", || {
        let status = fs::read_to_string(format!("/proc/{sleeper}/status")).unwrap_or_default();
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        pending.is_none_or(|mask| mask & bit != 0)
    });
    run.signal_to(sleeper, Signal::SIGCONT);
}

fn a_topic_created_again_while_it_is_read(case: &mut Case) {
    patient(case);
    case.site.set("consumer", "on_topic_recreated", "new_chain");
    let topic = case.site.topic("t", 1, &[]);
    let first = produce_odd(&case.site, &topic, 1, 100);
    case.site.run_to_end().expect(0);
    produce_odd(&case.site, &topic, 1, 100);
    case.begin();
    case.serve("a file in progress", |run| {
        let Some(sleeper) = a_writer(run) else { return false };
        run.signal_to(sleeper, Signal::SIGSTOP);
        case.site.admin.delete(&topic);
        case.site.admin.create(&topic, 1, &[]);
        wake_to_rotate(run, sleeper);
        true
    });
    let mut expected = produce_odd(&case.site, &topic, 1, 200);
    case.to_end();
    expected.rename(&topic, &format!("{topic}@2"));
    expected.merge(first);
    case.check(&expected);
}

fn a_range_that_is_given_up(case: &mut Case) {
    case.site.set("consumer", "on_gap", "stop");
    let topic = case.site.topic("t", 1, &[]);
    let mut expected = produce_odd(&case.site, &topic, 1, 100);
    case.site.run_to_end().expect(0);
    expected.merge(produce_odd(&case.site, &topic, 1, 100));
    case.site.admin.delete_records(&topic, 0, 150);
    case.begin();
    case.until("a stop", 75, || case.is_stopped(&topic, "gap"));
    case.chain("skip", &topic, &[]);
    case.to_end();
    let sum = case.site.check_with_offsets(&expected);
    assert!(sum.contains("150 records, tip 200, gaps [(100, 150, 'skipped')]"), "{sum}");
}

fn a_chain_that_an_operator_ends(case: &mut Case) {
    let topic = case.site.topic("t", 1, &[]);
    let first = produce_odd(&case.site, &topic, 1, 100);
    case.site.run_to_end().expect(0);
    let mut expected = produce_odd(&case.site, &topic, 1, 100);
    case.begin();
    let force = ["--force", "--reason", "a test"];
    case.chain("new", &topic, &force);
    case.to_end();
    expected.rename(&topic, &format!("{topic}@2"));
    expected.merge(first);
    case.check(&expected);
}

fn a_service_that_is_told_things(case: &mut Case) {
    patient(case);
    let topic = case.site.topic("t", 2, &[]);
    let mut expected = produce_odd(&case.site, &topic, 2, 100);
    case.begin();
    let all =
        |count: usize| (0..2).all(|partition| case.site.objects(&topic, partition).len() >= count);
    case.serve("files of all partitions", |run| {
        run.signal(Signal::SIGUSR1);
        all(1)
    });
    expected.merge(produce_odd(&case.site, &topic, 2, 100));
    let mut age = 1;
    case.serve("files when the settings have changed", |run| {
        // Each time another: so it is news however often it was told.
        age = 3 - age;
        change(&case.site.config_file(), "max_age_seconds", age);
        run.signal(Signal::SIGHUP);
        all(2)
    });
    case.to_end();
    case.check(&expected);
}

/// Sets a key of a configuration that is there.
fn change(config: &Path, key: &str, value: u32) {
    let text = fs::read_to_string(config).expect("read the configuration");
    let lines = text.lines().map(|line| match line.split_once(" = ") {
        Some((name, _)) if name == key => format!("{key} = {value}\n"),
        _ => format!("{line}\n"),
    });
    fs::write(config, lines.collect::<String>()).expect("write the configuration");
}

fn a_sleeper_on_a_shared_spool(case: &mut Case) {
    patient(case);
    case.site.set("compression", "compressor_workers", 0);
    case.site.set("main", "shutdown_timeout", "1s");
    let topic = case.site.topic("t", 1, &[]);
    let expected = produce_odd(&case.site, &topic, 1, 100);
    let other = case.site.housemate("mate");
    case.begin();
    case.serve("a sleeper that wakes", |run| {
        let Some(sleeper) = a_writer(run) else { return false };
        run.signal_to(sleeper, Signal::SIGSTOP);
        let mate = other.start();
        await_that("a file in progress of the other", || {
            let files = mate.spool_files("inprogress");
            files.iter().filter(|(_, size)| *size > 1000).count() == 2
        });
        mate.signal(Signal::SIGUSR1);
        await_that("its file, closed", || mate.spool_files("rotated").len() == 1);
        wake_to_rotate(run, sleeper);
        // If it lives so long, it finds the other's file in the way, and removes its own.
        let of_a_moment = Duration::from_secs(10);
        eventually(of_a_moment, || mate.spool_files("inprogress").is_empty());
        mate.stop();
        true
    });
    case.site.set("compression", "compressor_workers", 1);
    case.to_end();
    case.check(&expected);
}
