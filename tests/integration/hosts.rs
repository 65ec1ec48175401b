//! Several instances: on one spool and on several, that join and leave, orderly or not, and that
//! share the work.

use std::collections::HashSet;
use std::path::Path;

use kafkatos3::config::Config;
use nix::sys::signal::Signal;

use crate::archive::produce_odd;
use crate::harness::{Role, Running, Site, await_that, is_alive};

const ROLES: [Role; 3] = [Role::Consumer, Role::Compressor, Role::Uploader];

/// How many partitions an instance reads: what it was given less what it gave.
fn owned(run: &Running) -> usize {
    let log = run.log();
    let mut owned = HashSet::new();
    // What is revoked was not always read before.
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once(" assigned ") {
            owned.insert(rest.split_once(':').expect("a partition").0);
        } else if let Some((_, partition)) = line.split_once(" revoked ") {
            owned.remove(partition.split(' ').next().expect("a partition"));
        }
    }
    owned.len()
}

fn files(site: &Site, topic: &str) -> usize {
    (0..4).map(|partition| site.objects(topic, partition).len()).sum()
}

/// Waits until each of the four partitions has a file that comes after these.
#[track_caller]
fn await_more_files(site: &Site, topic: &str, than: usize) {
    await_that("files of all partitions", || files(site, topic) >= than + 4);
}

/// The one host only reads, the other only packs and uploads; they share a spool.
#[test]
fn consumers_here_and_uploaders_there() {
    let mut site = Site::new("divided");
    site.set("consumer", "max_age_seconds", 1);
    let topic = site.topic("t", 4, &[]);
    let mut there = site.housemate("there");
    site.set("compression", "compressor_workers", 0);
    site.set("s3", "s3uploader_workers", 0);
    there.set("consumer", "consumer_processes", 0);
    // Nothing wakes the workers over there but this.
    there.set("compression", "compression_check_interval", 1);
    there.set("s3", "s3upload_check_interval", 1);

    let mut expected = produce_odd(&site, &topic, 4, 500);
    let here = site.start();
    let away = there.start_elsewhere();
    await_more_files(&site, &topic, 0);
    expected.merge(produce_odd(&site, &topic, 4, 500));
    await_more_files(&site, &topic, files(&site, &topic));
    assert_eq!(ROLES.map(|role| here.workers(role).len()), [1, 0, 0]);
    assert_eq!(ROLES.map(|role| away.workers(role).len()), [0, 1, 1]);

    // Who reads leaves when all of his is archived, over there.
    here.stop().expect(0);
    away.stop().expect(0);
    site.check_with_offsets(&expected);
}

/// An instance dies with all its processes, another one is started wrongly: the third goes on.
fn one_dies_and_one_is_wrong(name: &str, neighbour: impl Fn(&Site, &str) -> Site) {
    let mut site = Site::new(name);
    site.set("consumer", "max_age_seconds", 1);
    let topic = site.topic("t", 4, &[]);
    let second = neighbour(&site, "second");
    let mut third = neighbour(&site, "third");
    let victim = site.start();
    let survivor = second.start();
    await_that("two partitions each", || owned(&victim) == 2 && owned(&survivor) == 2);
    let mut expected = produce_odd(&site, &topic, 4, 500);
    await_more_files(&site, &topic, 0);

    // It dies in the midst of its work.
    expected.merge(produce_odd(&site, &topic, 4, 500));
    await_that("bytes in progress", || victim.spool_bytes() > 0);
    let workers: Vec<_> = ROLES.into_iter().flat_map(|role| victim.workers(role)).collect();
    victim.kill_supervisor();
    await_that("death of all workers", || !workers.iter().any(|pid| is_alive(*pid)));
    drop(victim);

    third.set("s3", "s3_secret_key", "wrong");
    let log = third.start().wait().expect(77).log;
    assert!(log.contains("uploader0 exited with code 77"), "{log}");

    await_that("all four partitions", || owned(&survivor) == 4);
    let before = files(&site, &topic);
    expected.merge(produce_odd(&site, &topic, 4, 500));
    await_more_files(&site, &topic, before);

    // The dead one comes back, and shares the work again; then the other leaves.
    let back = site.start();
    await_that("two partitions each", || owned(&back) == 2 && owned(&survivor) == 2);
    expected.merge(produce_odd(&site, &topic, 4, 500));
    survivor.stop().expect(0);
    await_that("all four partitions", || owned(&back) == 4);
    back.signal(Signal::SIGUSR1);
    back.stop().expect(0);
    // Whatever was not fetched before it was told to stop is there still.
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn one_of_two_on_a_shared_spool_dies() {
    one_dies_and_one_is_wrong("shared", Site::housemate);
}

#[test]
fn one_of_two_with_spools_of_their_own_dies() {
    one_dies_and_one_is_wrong("apart", Site::twin_named);
}

/// The recipes' configurations are the first one, and what each of them adds.
#[test]
fn the_recipes_load() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md");
    let text = std::fs::read_to_string(recipes).expect("the recipes");
    let text = text.replace("${KAFKA_PASSWORD}", "secret");
    let mut blocks =
        text.split("```ini\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    let base = blocks.next().expect("the first configuration");
    let mut count = 0;
    for added in blocks {
        let loaded = Config::from_text("recipes.md", &format!("{base}\n{added}"));
        let loaded = loaded.unwrap_or_else(|error| panic!("{added}\n{error}"));
        assert_eq!(loaded.warnings, [], "{added}");
        count += 1;
    }
    assert!(count > 5, "only {count}");
}
