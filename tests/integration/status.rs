//! `kafkatos3 status` on an instance that runs, that has stopped, that was killed, and with nothing
//! but the archive.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::archive::produce_odd;
use crate::harness::{Role, Site, await_that};

/// Exit code, and what was printed.
fn status(place: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
    command.arg("status").arg(place).args(arguments).env_remove("AWS_PROFILE");
    let output = command.output().expect("run kafkatos3 status");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
}

#[track_caller]
fn json(place: &Path, arguments: &[&str]) -> Value {
    let (_, text) = status(place, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What stands at `pointer` in each of the partitions.
fn each<'v>(report: &'v Value, pointer: &str) -> Vec<&'v Value> {
    let partitions = report["partitions"].as_array().expect("partitions");
    partitions.iter().map(|partition| partition.pointer(pointer).unwrap_or(&Value::Null)).collect()
}

#[test]
fn running_then_stopped_then_killed_then_nothing_but_the_archive() {
    let mut site = Site::new("status");
    let topic = site.topic("t", 2, &[]);
    produce_odd(&site, &topic, 2, 500);
    let run = site.start();
    let (config, spool) = (site.config_file(), site.spool());

    await_that("a working directory", || spool.join("run/status").is_dir());
    await_that("everything archived, and said so", || {
        let report = json(&config, &["--offline"]);
        each(&report, "/tip") == [500, 500] && each(&report, "/committed") == [500, 500]
    });
    let report = json(&config, &[]);
    assert_eq!(each(&report, "/state"), ["reading", "reading"], "{report:#}");
    assert_eq!(each(&report, "/lag_records"), [0, 0], "{report:#}");
    let consumer = run.worker(Role::Consumer).as_raw();
    assert_eq!(each(&report, "/owner/pid"), [consumer, consumer], "{report:#}");
    assert_eq!(each(&report, "/owner/instance"), ["status", "status"]);
    assert_eq!(each(&report, "/last_object/next"), [500, 500], "{report:#}");
    assert_eq!(report["instances"][0]["state"], "running");
    assert_eq!(report["totals"]["archived"]["records"], 1000);
    let (code, text) = status(&config, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("all is well") && text.contains("1 consumer, 1 compressor"), "{text}");

    // The worker that is gone is said to be gone, and the one that took its place is counted.
    run.kill_worker(Role::Uploader);
    await_that("a restart that is counted", || {
        let report = json(&spool, &[]);
        let workers = report["instances"][0]["workers"].as_array().expect("workers").clone();
        workers.iter().any(|worker| worker["role"] == "uploader" && worker["restarts"] == 1)
    });
    run.stop().expect(0);

    produce_odd(&site, &topic, 2, 40);
    let report = json(&config, &[]);
    assert_eq!(report["instances"][0]["state"], "stopped", "{report:#}");
    assert_eq!(each(&report, "/owner"), [&Value::Null, &Value::Null]);
    assert_eq!(each(&report, "/lag_records"), [40, 40], "the broker was asked: {report:#}");
    let report = json(&config, &["--offline"]);
    assert_eq!(each(&report, "/lag_records"), [0, 0], "and now it was not: {report:#}");
    assert_eq!(status(&spool, &[]).0, Some(0));
    let part = json(&config, &[&format!("{topic}-1")]);
    assert_eq!(each(&part, "/partition"), [1]);
    let (code, text) = status(&config, &["no-such-topic"]);
    assert!(code == Some(66) && text.contains("no-such-topic"), "{text}");

    let note = serde_json::json!({"topic": topic, "partition": 1, "kind": "truncated",
        "reason": "the log was truncated", "since_ms": 1000,
        "way_out": [format!("kafkatos3 chain new CONFIG {topic} 1")]});
    let note_file = spool.join(format!("tips/{topic}-1.stopped"));
    fs::write(&note_file, note.to_string()).expect("write a note");
    let (code, text) = status(&config, &[]);
    assert_eq!(code, Some(75), "{text}");
    let command = format!("type: kafkatos3 chain new {} {topic} 1", config.display());
    assert!(text.contains("the log was truncated") && text.contains(&command), "{text}");

    let run = site.start();
    run.worker(Role::Consumer);
    await_that("an owner", || each(&json(&spool, &[]), "/owner/consumer").contains(&&0.into()));
    run.kill_supervisor();
    await_that("a death", || {
        let report = json(&spool, &[]);
        report["instances"][0]["state"] == "died"
            && report["problems"][0]["kind"] == "instance-died"
    });
    assert_eq!(status(&spool, &[]).0, Some(75));

    site.lose_spool();
    let report = json(&config, &[]);
    assert_eq!(each(&report, "/state"), ["archived", "archived"], "{report:#}");
    let tips: Vec<_> = each(&report, "/tip").iter().filter_map(|tip| tip.as_u64()).collect();
    assert!(tips.len() == 2 && tips.iter().all(|tip| *tip >= 500), "{report:#}");
    assert_eq!(each(&report, "/end"), [540, 540], "{report:#}");
    assert!(report["spool"].is_null());
    let (code, text) = status(&spool, &[]);
    assert!(code == Some(66) && text.contains("no working directory"), "{text}");
    assert_eq!(status(&config, &["--offline"]).0, Some(69));

    // The broker still tells of partitions, but nobody of what is archived.
    site.set("s3", "s3_secret_key", "no");
    let (code, text) = status(&site.write_config(), &[]);
    assert!(code == Some(69) && text.contains("the archive can't be read"), "{text}");
    assert!(text.contains("SignatureDoesNotMatch"), "{text}");
}
