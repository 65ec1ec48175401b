//! `kafkatos3 chain new | skip | retry`: partitions that stopped, and how they are led out of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{await_word, refused};
use crate::archive::{produce_bulk, produce_odd};
use crate::harness::{Expected, Site, await_that};
use crate::servers::{Action, Seen};

/// Runs `kafkatos3 chain VERB CONFIG TOPIC 0 ...`; gives what it said, after a look at its exit code.
#[track_caller]
fn chain(site: &Site, verb: &str, topic: &str, more: &[&str], code: i32) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kafkatos3"))
        .args(["chain", verb])
        .arg(site.write_config())
        .args([topic, "0"])
        .args(more)
        .env_remove("SUDO_USER")
        .stdin(Stdio::null())
        .output()
        .expect("run kafkatos3 chain");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    let text = text.concat();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn note(site: &Site, topic: &str) -> Option<Value> {
    let text = fs::read(site.spool().join("tips").join(format!("{topic}-0.stopped"))).ok()?;
    Some(serde_json::from_slice(&text).expect("a note"))
}

#[track_caller]
fn await_stop(site: &Site, topic: &str, kind: &str) {
    await_that(&format!("a stop note {kind}"), || {
        note(site, topic).is_some_and(|note| note["kind"] == kind)
    });
}

fn record(site: &Site, chain: &str) -> Value {
    let text = fs::read(site.chain_record(chain, 0)).expect("read chain.json");
    serde_json::from_slice(&text).expect("JSON")
}

/// What of `expected` belongs into the chain `topic`, and what into the chain behind it.
fn split(expected: &Expected, topic: &str, tip: i64, first: i64) -> Expected {
    let mut both = expected.clone();
    both.retain(|_, _, offset| offset >= first);
    both.rename(topic, &format!("{topic}@2"));
    let mut before = expected.clone();
    before.retain(|_, _, offset| offset < tip);
    both.merge(before);
    both
}

#[test]
fn a_topic_created_again_goes_on_in_a_new_chain_while_it_runs() {
    let mut site = Site::new("way-recreated");
    let topic = site.topic("t", 1, &[]);
    let first = produce_odd(&site, &topic, 1, 100);
    let run = site.start();
    await_that("a file of the first", || !site.objects(&topic, 0).is_empty());
    site.admin.delete(&topic);
    site.admin.create(&topic, 1, &[]);
    let mut second = produce_odd(&site, &topic, 1, 200);
    await_stop(&site, &topic, "topic-recreated");

    let said = chain(&site, "new", &topic, &[], 64);
    assert!(said.contains("give --yes") && said.contains("100 records in 1 files"), "{said}");
    let said = chain(&site, "skip", &topic, &["--yes"], 0);
    assert!(said.contains("try chain new"), "{said}");
    let next = format!("{topic}@2");
    assert!(!site.chain_record(&next, 0).exists(), "nothing was done yet");
    let said = chain(&site, "new", &topic, &["--yes", "--reason", "test of März"], 0);
    assert!(said.contains("begun, at offset 0"), "{said}");
    await_that("a file of the second", || !site.objects(&next, 0).is_empty());
    assert_eq!(note(&site, &topic), None);
    let follows = &record(&site, &next)["follows"];
    assert_eq!((&follows["chain"], &follows["why"]), (&json!(topic), &json!("test of März")));
    assert!(follows["by"].as_str().is_some_and(|by| by.contains('@')), "{follows}");

    let said = chain(&site, "new", &topic, &["--yes"], 0);
    assert!(said.contains("nothing to do"), "{said}");
    run.stop().expect(0);
    second.merge(produce_odd(&site, &topic, 1, 50));
    site.run_to_end().expect(0);
    second.rename(&topic, &next);
    second.merge(first);
    site.check_with_offsets(&second);
}

#[test]
fn a_truncated_log_waits_for_a_new_chain_and_the_old_one_is_closed() {
    let mut site = Site::new("way-truncated");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 100);
    site.run_to_end().expect(0);
    // What a consumer leaves whose client met another history from 60 on.
    let stopped = json!({
        "topic": topic, "partition": 0, "kind": "truncated", "reason": "so it seems",
        "since_ms": 1, "way_out": [], "chain": format!("{topic}/000000"), "range": [60, 100],
    });
    let path = site.spool().join("tips").join(format!("{topic}-0.stopped"));
    fs::write(path, stopped.to_string()).expect("leave a note");
    expected.merge(produce_odd(&site, &topic, 1, 100));
    let log = site.run_to_end().expect(75).log;
    assert!(log.contains("so it seems"), "it went on: {log}");

    let said = chain(&site, "new", &topic, &["--yes"], 0);
    assert!(said.contains("offsets [60, 100) are in both chains"), "{said}");
    let next = format!("{topic}@2");
    assert_eq!(record(&site, &next)["first"], 60);
    let before = site.objects(&topic, 0);
    assert!(chain(&site, "new", &topic, &["--yes"], 0).contains("nothing to do"));
    assert_eq!(site.objects(&topic, 0), before);
    site.run_to_end().expect(0);
    let sum = site.check_with_offsets(&split(&expected, &topic, 100, 60));
    assert!(sum.contains("closed at 100"), "{sum}");

    // Who only knows the first chain follows.
    site.lose_spool();
    expected.merge(produce_odd(&site, &topic, 1, 10));
    site.run_to_end().expect(0);
    site.check_with_offsets(&split(&expected, &topic, 100, 60));
}

#[test]
fn a_chain_that_was_closed_only_is_carried_on_by_whoever_comes() {
    let mut site = Site::new("way-half");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 100);
    site.run_to_end().expect(0);
    // The command dies between closing and beginning.
    site.store.rule(|seen| {
        let begins = seen.method == "PUT" && seen.path.contains("chain.json");
        if begins { Action::Refuse(403) } else { Action::Pass }
    });
    let force = ["--yes", "--force", "--reason", "a test"];
    chain(&site, "new", &topic, &force, 77);
    let next = format!("{topic}@2");
    assert!(!site.chain_record(&next, 0).exists());
    site.store.pass();
    expected.merge(produce_odd(&site, &topic, 1, 100));
    site.run_to_end().expect(0);
    site.check_with_offsets(&split(&expected, &topic, 100, 100));
    let record = record(&site, &next);
    assert_eq!((&record["first"], &record["follows"]["tip"]), (&json!(100), &json!(100)));
    assert_eq!(record["follows"]["why"], "a test");
}

#[test]
fn another_clusters_chain_is_passed_by() {
    let mut site = Site::new("way-cluster");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 100);
    site.run_to_end().expect(0);
    let other = site.foreign_twin();
    other.admin.create(&topic, 1, &[]);
    let mut theirs = produce_odd(&other, &topic, 1, 200);
    other.run_to_end().expect(75);
    assert_eq!(note(&other, &topic).expect("a note")["kind"], "other-cluster");

    assert!(chain(&other, "new", &topic, &["--yes"], 0).contains("begun, at offset 0"));
    assert!(chain(&other, "new", &topic, &["--yes"], 0).contains("nothing to do"));
    other.run_to_end().expect(0);
    // The first cluster goes on in its own.
    expected.merge(produce_odd(&site, &topic, 1, 10));
    site.run_to_end().expect(0);
    theirs.rename(&topic, &format!("{topic}@2"));
    theirs.merge(expected);
    site.check(&theirs);
}

/// Something that no kafkatos3 put there.
fn put_foreign(site: &Site, topic: &str, name: &str) -> std::path::PathBuf {
    let path = site.object_path(topic, 0, 0).with_file_name(name);
    fs::write(&path, "not for you").expect("write an object");
    path
}

#[expect(clippy::disallowed_methods, reason = "the operator moves it away")]
fn remove(path: &Path) {
    fs::remove_file(path).expect("remove a file");
}

#[test]
fn an_object_in_the_way_is_moved_or_passed_by_while_it_runs() {
    let mut site = Site::new("way-object");
    // Here a file is an object, whoever put it there.
    site.archive_to_directory();
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 100);
    site.run_to_end().expect(0);
    let foreign = put_foreign(&site, &topic, "00000000000000000100.mak.gz");
    expected.merge(produce_odd(&site, &topic, 1, 100));
    let run = site.start();
    await_stop(&site, &topic, "foreign-object");
    assert!(chain(&site, "retry", &topic, &[], 64).contains("give --yes"));
    remove(&foreign);
    assert!(chain(&site, "retry", &topic, &["--yes"], 0).contains("lifted"));
    await_that("the next file", || site.objects(&topic, 0).len() == 2);
    assert!(chain(&site, "retry", &topic, &["--yes"], 0).contains("not stopped"));

    put_foreign(&site, &topic, "00000000000000000200.mak.gz");
    expected.merge(produce_odd(&site, &topic, 1, 100));
    await_stop(&site, &topic, "foreign-object");
    let said = chain(&site, "new", &topic, &["--yes"], 0);
    assert!(said.contains("begun, at offset 200"), "{said}");
    assert!(chain(&site, "new", &topic, &["--yes"], 0).contains("nothing to do"));
    let next = format!("{topic}@2");
    await_that("a file of the second chain", || !site.objects(&next, 0).is_empty());
    run.stop().expect(0);
    remove(&foreign.with_file_name("00000000000000000200.mak.gz"));
    // It left no room for a seal; all the same nobody goes on in the first chain.
    site.lose_spool();
    expected.merge(produce_odd(&site, &topic, 1, 10));
    site.run_to_end().expect(0);
    site.check_with_offsets(&split(&expected, &topic, 200, 200));
}

#[test]
fn an_object_that_the_store_refuses_is_skipped_while_it_runs() {
    let mut site = Site::new("way-refused");
    site.set("consumer", "max_age_seconds", 1);
    let topic = site.topic("t", 1, &[]);
    let expected = produce_odd(&site, &topic, 1, 100);
    let run = site.start();
    await_that("the first file", || site.objects(&topic, 0).len() == 1);
    let refuses = |seen: &Seen| seen.is_upload() && seen.size > 20_000;
    site.store.rule(move |seen| if refuses(seen) { Action::Refuse(403) } else { Action::Pass });
    produce_bulk(&site, &topic, 5);
    await_stop(&site, &topic, "refused-object");
    await_word(&run, "the store works, but refuses this one object");
    assert!(refused(&site) >= 7, "it was tried {} times", refused(&site));
    let said = chain(&site, "skip", &topic, &["--to", "106", "--yes"], 64);
    assert!(said.contains("behind the end of Kafka's log, 105"), "{said}");

    let said = chain(&site, "skip", &topic, &["--yes", "--reason", "poison"], 0);
    assert!(said.contains("5 records, ") && said.contains("skipped [100, 105)"), "{said}");
    assert!(chain(&site, "skip", &topic, &["--yes"], 0).contains("nothing"));
    let mut all = expected;
    all.merge(produce_odd(&site, &topic, 1, 20));
    await_that("what comes behind", || site.objects(&topic, 0).len() == 3);
    run.stop().expect(0);
    let sum = site.check_with_offsets(&all);
    assert!(sum.contains("120 records, tip 125, gaps [(100, 105, 'skipped')]"), "{sum}");
    let kept = fs::read_dir(site.spool().join("quarantine")).expect("a folder").count();
    assert_eq!(kept, 2, "the refused file, and why");
}

#[test]
fn closing_races_with_uploads() {
    let mut site = Site::new("way-race");
    site.set("consumer", "max_file_bytes", "300KiB");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 1500);
    let run = site.start();
    await_that("a few files", || site.objects(&topic, 0).len() > 3);
    let said = chain(&site, "new", &topic, &["--yes", "--force", "--from", "tip"], 0);
    assert!(said.contains("begun"), "{said}");
    let next = format!("{topic}@2");
    let first = record(&site, &next)["first"].as_i64().expect("an offset");
    assert_eq!(record(&site, &next)["follows"]["tip"], first);
    let committed = || site.admin.committed(site.group(), &[(topic.clone(), 1)]);
    await_that("all of it archived", || {
        committed().get(&topic).and_then(|all| all.get(&0)) == Some(&1500)
    });
    run.stop().expect(0);
    let sum = site.check_with_offsets(&split(&expected, &topic, first, first));
    assert!(sum.contains(&format!("closed at {first}")), "{sum}");
}
