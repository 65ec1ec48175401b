//! SIGHUP: what a changed configuration does to workers that run, and what it leaves alone.

use std::fs;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::archive::produce_odd;
use crate::harness::{Role, Running, Site, await_that};

/// Has the program read its configuration again, and waits for what it says about that.
#[track_caller]
fn reload(site: &Site, run: &Running, answer: &str) {
    site.write_config();
    reload_file(run, answer);
}

#[track_caller]
fn reload_file(run: &Running, answer: &str) {
    let before = run.log().matches(answer).count();
    run.signal(Signal::SIGHUP);
    await_that(&format!("\"{answer}\" in the log"), || run.log().matches(answer).count() > before);
}

fn all_workers(run: &Running) -> Vec<Pid> {
    let mut all: Vec<_> = [Role::Consumer, Role::Compressor, Role::Uploader]
        .into_iter()
        .flat_map(|role| run.workers(role))
        .collect();
    all.sort();
    all
}

/// The lines of one worker that have this word.
fn said(run: &Running, worker: &str, word: &str) -> usize {
    let log = run.log();
    let is_its = |line: &&str| line.contains(&format!("{worker}[")) && line.contains(word);
    log.lines().filter(is_its).count()
}

#[test]
fn topics_and_intervals_change_while_workers_run() {
    let mut site = Site::new("reload-live");
    let first = site.topic("first", 2, &[]);
    site.set("consumer", "max_age_seconds", 3600);
    let mut expected = produce_odd(&site, &first, 2, 500);
    let run = site.start();
    run.worker(Role::Uploader);
    await_that("bytes in progress", || run.spool_bytes() > 0);
    let workers = all_workers(&run);
    assert_eq!(workers.len(), 3);

    // The age counts from now on, also for the files that are in progress.
    site.set("consumer", "max_age_seconds", 1);
    reload(&site, &run, "[consumer] max_age_seconds: 3600s -> 1s");
    await_that("files", || (0..2).all(|partition| !site.objects(&first, partition).is_empty()));
    reload(&site, &run, "read again: nothing changed");

    // One topic more: those of the other are not given away.
    let second = site.topic("second", 1, &[]);
    expected.merge(produce_odd(&site, &second, 1, 500));
    reload(&site, &run, "[consumer] topic_whitelist: ");
    await_that("a file of the new topic", || !site.objects(&second, 0).is_empty());
    assert!(!run.log().contains("revoked"), "{}", run.log());
    for tp in [format!("{first}-0"), format!("{first}-1"), format!("{second}-0")] {
        assert_eq!(run.log().matches(&format!("assigned {tp}")).count(), 1, "{tp}");
    }

    // What can't be used changes nothing.
    let good = fs::read_to_string(site.config_file()).expect("the configuration");
    for (bad, answer) in [
        (good.replace("max_age_seconds = 1", "max_age_seconds = soon"), "max_age_seconds"),
        (good.replace("topic_whitelist = ", "topic_whitelist = ^(,"), "POSIX extended"),
        (good.replace("instance = reload-live", "instance = x"), "instance changed, which needs"),
        (good.replace("/spool\n", "/elsewhere\n"), "working_directory changed, which needs"),
    ] {
        assert_ne!(bad, good, "{answer}");
        fs::write(site.config_file(), bad).expect("write a configuration");
        let before = run.log().len();
        reload_file(&run, "the configuration stays as it was: ");
        await_that(answer, || run.log()[before..].contains(answer));
    }

    // One topic less: what was read of it goes into the archive still.
    site.set("consumer", "max_age_seconds", 3600);
    reload(&site, &run, "[consumer] max_age_seconds: 1s -> 3600s");
    expected.merge(produce_odd(&site, &second, 1, 500));
    await_that("bytes in progress", || run.spool_bytes() > 0);
    await_that("all of it", || in_progress_is_read(&run));
    site.set("consumer", "topic_whitelist", &first);
    reload(&site, &run, "[consumer] topic_whitelist: ");
    await_that("the last file of the topic", || site.objects(&second, 0).len() == 2);
    await_that("its revocation", || run.log().contains(&format!("revoked {second}-0")));
    assert!(!run.log().contains(&format!("revoked {first}")), "{}", run.log());
    assert_eq!(all_workers(&run), workers);
    run.stop().expect(0);
    site.check(&expected);
}

/// Everything that comes in one go is read when the file in progress does not grow any more; the
/// consumer writes what it has in memory after two seconds.
fn in_progress_is_read(run: &Running) -> bool {
    let before = run.spool_bytes();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    run.spool_bytes() == before
}

fn consumers_come_and_go(mut site: Site) {
    site.set("consumer", "max_age_seconds", 1);
    let topic = site.topic("t", 4, &[]);
    let run = site.start();
    let first = run.worker(Role::Consumer);
    await_that("all partitions", || said(&run, "consumer0", "assigned") == 4);
    let mut expected = produce_odd(&site, &topic, 4, 500);

    site.set("consumer", "consumer_processes", 2);
    reload(&site, &run, "[consumer] consumer_processes: 1 -> 2");
    await_that("partitions of the second", || said(&run, "consumer1", "assigned") == 2);
    expected.merge(produce_odd(&site, &topic, 4, 500));
    assert_eq!(said(&run, "consumer0", "revoked"), 2);
    assert_eq!(said(&run, "consumer0", "assigned"), 4);

    site.set("consumer", "consumer_processes", 1);
    reload(&site, &run, "1 consumers stay: the others drain and leave");
    await_that("all partitions again", || said(&run, "consumer0", "assigned") == 6);
    expected.merge(produce_odd(&site, &topic, 4, 500));
    assert_eq!(said(&run, "consumer0", "revoked"), 2);
    await_that("the end of the second", || run.workers(Role::Consumer) == [first]);
    run.stop().expect(0);
    // What came last may not have been fetched when it was told to stop.
    site.set("kafka", "session.timeout.ms", 6000);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn members_come_and_go_at_a_reload() {
    consumers_come_and_go(Site::new("reload-dynamic"));
}

#[test]
fn static_members_come_and_go_at_a_reload() {
    let mut site = Site::new("reload-static");
    site.set("consumer", "group_instance_id", "member");
    // Nobody who waits for this gets anywhere in time.
    site.set("kafka", "session.timeout.ms", 300_000);
    consumers_come_and_go(site);
}

#[test]
fn only_who_has_to_is_replaced() {
    let mut site = Site::new("reload-replace");
    site.set("consumer", "max_age_seconds", 1);
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 500);
    let run = site.start();
    await_that("a file", || !site.objects(&topic, 0).is_empty());
    let roles = [Role::Consumer, Role::Compressor, Role::Uploader];
    let [consumer, compressor, uploader] = roles.map(|role| run.worker(role));

    site.set("compression", "compression", "zstd");
    reload(&site, &run, "[compression] compression: gzip -> zstd");
    await_that(
        "another uploader",
        || matches!(run.workers(Role::Uploader)[..], [pid] if pid != uploader),
    );
    expected.merge(produce_odd(&site, &topic, 1, 500));
    await_that("a file of the new kind", || {
        site.objects(&topic, 0).iter().any(|name| name.contains(".zst"))
    });
    assert_eq!(run.worker(Role::Consumer), consumer);
    assert_eq!(run.worker(Role::Compressor), compressor);

    site.set("kafka", "client.rack", "r");
    reload(&site, &run, "the consumers can't take this up as they run");
    await_that(
        "another consumer",
        || matches!(run.workers(Role::Consumer)[..], [pid] if pid != consumer),
    );
    assert_eq!(run.worker(Role::Compressor), compressor);
    expected.merge(produce_odd(&site, &topic, 1, 500));
    run.stop().expect(0);
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains(" 1 seals"), "{sum}");
}
