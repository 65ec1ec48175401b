//! Deaths at the worst moments: each test waits until the moment is there, and checks that it hit.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::archive::{produce_bulk, produce_odd};
use crate::harness::{Role, Running, Site, await_that, eventually, is_alive};
use crate::servers::{Action, Outcome};

/// A site whose files are rotated by size or a signal only.
fn patient_site(name: &str) -> Site {
    let mut site = Site::new(name);
    site.set("consumer", "max_age_seconds", 3600);
    site
}

fn await_bytes_in_progress(run: &Running) {
    let written = || run.spool_files("inprogress").iter().any(|(_, size)| *size > 1000);
    await_that("bytes in progress", written);
}

fn hold_uploads(site: &Site) {
    site.store.rule(|seen| if seen.is_upload() { Action::Hold } else { Action::Pass });
}

fn uploads(site: &Site, outcome: Outcome) -> usize {
    site.store.seen(|seen| seen.is_upload() && seen.outcome == outcome).len()
}

#[test]
fn a_consumer_dies_with_bytes_in_progress() {
    let mut site = patient_site("kill-consumer");
    // The group keeps the dead member's partitions for as long, at least 13 s behind its last word.
    site.set("kafka", "session.timeout.ms", 16_000);
    let topic = site.topic("t", 2, &[]);
    let mut expected = produce_odd(&site, &topic, 2, 20_000);
    let run = site.start();
    await_bytes_in_progress(&run);
    run.kill_worker(Role::Consumer);
    expected.merge(produce_odd(&site, &topic, 2, 20_000));
    for said in ["the group has given out no partitions", "Kafka: the group has answered"] {
        await_that(said, || run.log().contains(said));
    }
    await_bytes_in_progress(&run);
    run.stop().expect(0);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_compressor_dies_at_work() {
    let mut site = patient_site("kill-compressor");
    site.set("consumer", "max_file_bytes", "32MiB");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 8000);
    let run = site.start();
    let victim = run.worker(Role::Compressor);
    let at_work = || run.spool_has_unfinished("compressed");
    await_that("a file that is being compressed", at_work);
    run.signal_to(victim, Signal::SIGSTOP);
    assert!(at_work(), "it was ready before it could be stopped");
    run.kill_worker(Role::Compressor);
    run.stop().expect(0);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn an_uploader_dies_with_an_upload_under_way() {
    let mut site = patient_site("kill-uploader");
    site.set("consumer", "max_file_bytes", "1MiB");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 1000);
    hold_uploads(&site);
    let run = site.start();
    await_that("an upload under way", || uploads(&site, Outcome::Held) > 0);
    run.kill_worker(Role::Uploader);
    await_that("loss of the upload", || uploads(&site, Outcome::Abandoned) > 0);
    assert!(site.objects(&topic, 0).is_empty());

    site.store.pass();
    await_that("the upload after all", || !site.objects(&topic, 0).is_empty());
    run.stop().expect(0);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn an_uploader_dies_after_an_upload_whose_answer_it_never_saw() {
    let mut site = patient_site("kill-unanswered");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 20_000);
    site.store.rule(|seen| if seen.is_upload() { Action::HoldAnswer } else { Action::Pass });
    let run = site.start();
    await_bytes_in_progress(&run);
    run.signal(Signal::SIGUSR1);
    await_that("an object", || site.objects(&topic, 0).len() == 1);
    await_that("an answer under way", || uploads(&site, Outcome::Held) > 0);
    run.kill_worker(Role::Uploader);
    site.store.pass();
    expected.merge(produce_odd(&site, &topic, 1, 1000));
    run.stop().expect(0);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn the_supervisor_dies_and_takes_all_with_it() {
    let mut site = patient_site("kill-supervisor");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 20_000);
    hold_uploads(&site);
    let run = site.start();
    await_bytes_in_progress(&run);
    run.signal(Signal::SIGUSR1);
    await_that("an upload under way", || uploads(&site, Outcome::Held) > 0);
    expected.merge(produce_odd(&site, &topic, 1, 20_000));
    await_bytes_in_progress(&run);
    let workers: Vec<_> = [Role::Consumer, Role::Compressor, Role::Uploader]
        .into_iter()
        .flat_map(|role| run.workers(role))
        .collect();
    assert_eq!(workers.len(), 3);
    run.kill_supervisor();
    await_that("death of all workers", || !workers.iter().any(|pid| is_alive(*pid)));
    await_that("loss of the upload", || uploads(&site, Outcome::Abandoned) > 0);
    drop(run);

    site.store.pass();
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn the_spool_is_lost() {
    let mut site = patient_site("lost-spool");
    site.set("consumer", "max_file_bytes", "1MiB");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_bulk(&site, &topic, 200);
    site.run_to_end().expect(0);
    expected.merge(produce_bulk(&site, &topic, 1000));
    hold_uploads(&site);
    let run = site.start();
    await_that("an upload under way", || uploads(&site, Outcome::Held) > 0);
    await_that("files in the spool", || !run.spool_files("compressed").is_empty());
    run.kill_supervisor();
    drop(run);
    await_that("loss of the upload", || uploads(&site, Outcome::Abandoned) > 0);
    site.lose_spool();

    site.store.pass();
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_second_instance_comes_and_goes() {
    let mut site = Site::new("come-and-go");
    let topic = site.topic("t", 4, &[]);
    let mut expected = produce_odd(&site, &topic, 4, 1000);
    let first = site.start();
    await_that("files of all partitions", || {
        (0..4).all(|partition| !site.objects(&topic, partition).is_empty())
    });
    let twin = site.twin();
    let second = twin.start();
    let mut rounds = 0;
    let shared = eventually(Duration::from_mins(1), || {
        rounds += 1;
        expected.merge(produce_odd(&site, &topic, 4, 100));
        !second.spool_files("inprogress").is_empty()
    });
    assert!(shared, "the second instance gets no partition; produced {rounds} times");
    second.stop().expect(0);

    let files: usize = (0..4).map(|partition| site.objects(&topic, partition).len()).sum();
    expected.merge(produce_odd(&site, &topic, 4, 1000));
    await_that("files of the first instance again", || {
        let now: usize = (0..4).map(|partition| site.objects(&topic, partition).len()).sum();
        now >= files + 4
    });
    first.stop().expect(0);
    // Whatever was not fetched before it was told to stop is there still.
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_consumer_sleeps_through_a_rebalance() {
    let mut site = patient_site("sleeper");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 20_000);
    let first = site.start();
    await_bytes_in_progress(&first);
    let sleeper = first.worker(Role::Consumer);
    first.signal_to(sleeper, Signal::SIGSTOP);

    let mut twin = site.twin();
    twin.set("consumer", "max_age_seconds", 1);
    let second = twin.start();
    await_that("files of the second instance", || !site.objects(&topic, 0).is_empty());
    first.signal_to(sleeper, Signal::SIGCONT);
    first.signal(Signal::SIGUSR1);
    expected.merge(produce_odd(&site, &topic, 1, 2000));
    first.stop().expect(0);
    second.stop().expect(0);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}
