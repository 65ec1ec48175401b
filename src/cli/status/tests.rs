//! From a working directory to the text, as an operator sees it.

use std::fs::{self, File};
use std::path::Path;

use super::render::{self, Style};
use crate::spool::{Spool, StopKind, Stopped, stops};
use crate::status::report::{Place, Report};
use crate::status::{Known, Local, Remote, merge, now_ms};
use crate::sys::child::ProcessId;
use crate::sys::process::start_ticks;
use crate::types::{Partition, TopicName, TopicPartition};

const MINUTE: u64 = 60_000;

/// A directory in which this process is supervisor and worker, at the time `now`.
fn site(now: u64) -> (tempfile::TempDir, File) {
    let dir = tempfile::tempdir().unwrap();
    Spool::open(dir.path()).unwrap();
    let lock = dir.path().join("run/supervisor.host-a.lock");
    fs::write(&lock, format!("{}\n", std::process::id())).unwrap();
    let held = File::open(&lock).unwrap();
    held.lock().unwrap();
    let partition = |number: u32, state: &str, end: u64| {
        serde_json::json!({
            "topic": "orders", "partition": number, "chain": format!("orders/{number:06}"),
            "state": state, "since_ms": now - 130 * MINUTE, "tip": 482_113, "next": 483_000,
            "in_progress": {"start": 482_113, "since_ms": now - 3 * MINUTE, "bytes": 12 << 20},
            "committed": 482_113, "end": end, "end_ms": now - 4000,
            "oldest_ms": (end > 482_113).then_some(now - 3 * MINUTE),
        })
    };
    worker(
        dir.path(),
        now,
        "consumer",
        0,
        &serde_json::json!({
            "spool_bytes": 5, "spool_stop_at_bytes": 100, "records_per_second": 12_345,
            "bytes_per_second": 34_690_662, "partitions":
                [partition(0, "reading", 483_317), partition(1, "reading", 482_113),
                 partition(2, "stopped", 482_113)],
        }),
    );
    worker(
        dir.path(),
        now,
        "uploader",
        2,
        &serde_json::json!({
            "partitions": [
                {"partition": "orders-0", "last": {"object": "orders/000000/00000000000000470000.mak.gz",
                 "start": 470_000, "next": 482_113, "records": 12_113, "bytes": 12_687_769,
                 "at_ms": now - 5 * MINUTE, "took_ms": 90}},
                {"partition": "orders-1", "trouble": {"error": "the store answers 503 (SlowDown)",
                 "since_ms": now - 9 * MINUTE, "attempts": 21, "next_ms": now + 25_000}},
            ],
        }),
    );
    let topic = TopicName::new("orders").unwrap();
    let stopped = TopicPartition::new(topic, Partition::new(2).unwrap());
    let why = "its topic id is \"A\" in the archive, but \"B\" here";
    let mut note = Stopped::new(&stopped, StopKind::TopicRecreated, why);
    note.since_ms = now - 130 * MINUTE;
    stops::write(&Spool::at(dir.path()), note).unwrap();
    let tip = serde_json::json!({
        "cluster": "c", "topic": "orders", "topicid": "AAAAAAAAAAAAAAAAAAAAAA", "partition": 0,
        "isolation": "read_committed", "archive": "s3://bucket/kafkatos3", "generation": 7,
        "position": {"tip": 482_113, "suffix": ".mak.gz", "sealed": false, "last_start": 470_000,
            "first": 0, "leader_epoch": null,
            "totals": {"files": 41, "records": 482_113, "bytes": 96_422_600_000_u64, "gaps": 0}},
    });
    fs::write(dir.path().join("tips/orders-0.json"), tip.to_string()).unwrap();
    let packed = dir.path().join("compressed/orders-1_482113-482999.mak.gz");
    fs::write(packed, [0; 2048]).unwrap();
    fs::write(dir.path().join("quarantine/orders-1_1-2.mak"), [0; 1024]).unwrap();
    (dir, held)
}

fn worker(dir: &Path, now: u64, role: &str, restarts: u32, detail: &serde_json::Value) {
    let name = format!("host-a.{role}-0.json");
    let status = serde_json::json!({
        "version": 1, "instance": "host-a", "role": role, "index": 0, "phase": "working",
        "host": nix::unistd::gethostname().unwrap().into_string().unwrap(),
        "pid": std::process::id(), "start_ticks": start_ticks(ProcessId::own()).unwrap(),
        "started_ms": now - 200 * MINUTE, "written_ms": now - 900, "restarts": restarts,
        role: detail,
    });
    Spool::at(dir).write_status(&name, status.to_string().as_bytes()).unwrap();
}

fn look(dir: &Path, now: u64) -> Report {
    let known = Known {
        place: Place {
            config: Some("/etc/kafkatos3.cfg".to_owned()),
            working_directory: Some("/spool".to_owned()),
            archive: Some("s3://bucket/kafkatos3".to_owned()),
        },
        at_ms: now,
        spool_max_bytes: Some(10 << 30),
        only: Vec::new(),
    };
    let mut report = merge(known, Local::look(dir).as_ref(), &Remote::default());
    // What differs from machine to machine.
    for instance in &mut report.instances {
        (instance.pid, instance.since_ms) = (Some(4711), Some(now - 200 * MINUTE));
    }
    for owner in report.partitions.iter_mut().filter_map(|partition| partition.owner.as_mut()) {
        owner.pid = 4712;
    }
    report.spool.as_mut().unwrap().disk_free_bytes = Some(112 << 30);
    report
}

const PLAIN: Style = Style { colours: false };

#[test]
fn what_is_wrong_comes_first_and_the_columns_stand() {
    let now = now_ms();
    let (dir, _held) = site(now);
    let report = look(dir.path(), now);
    let text = render::text(&report, PLAIN, None);
    let golden = include_str!("tests/golden.txt");
    assert_eq!(text, golden, "\n{text}");
    assert_eq!(super::exit_of(&report), super::Exit::TryAgain);
}

#[test]
fn a_terminal_is_not_overrun_and_colours_change_no_text() {
    let now = now_ms();
    let (dir, _held) = site(now);
    let report = look(dir.path(), now);
    let short = render::text(&report, PLAIN, Some((12, 200)));
    assert_eq!(short.lines().count(), 11);
    assert!(short.ends_with("... 8 more lines\n"), "{short}");
    // Long lines take two rows of a narrow screen.
    let narrow = render::text(&report, PLAIN, Some((12, 80)));
    assert_eq!(narrow.lines().count(), 8, "{narrow}");
    assert_eq!(render::text(&report, PLAIN, Some((60, 200))), render::text(&report, PLAIN, None));
    let coloured = render::text(&report, Style { colours: true }, None);
    let mut plain = String::new();
    for (index, part) in coloured.split("\x1b[").enumerate() {
        let text = if index == 0 { part } else { part.split_once('m').unwrap().1 };
        plain.push_str(text);
    }
    assert_ne!(coloured, plain);
    assert_eq!(plain, render::text(&report, PLAIN, None));
}

#[test]
fn the_names_in_json_are_these() {
    let now = now_ms();
    let (dir, _held) = site(now);
    let json = serde_json::to_value(look(dir.path(), now)).unwrap();
    let keys = |value: &serde_json::Value| -> String {
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        keys(&json),
        "at_ms instances notes partitions place problems spool totals version well"
    );
    assert_eq!(
        keys(&json["partitions"][0]),
        "archived chain committed end end_ms in_progress lag_ms lag_ms_at_least lag_records \
         last_object next owner partition since_ms spool state stop tip topic upload_trouble"
    );
    assert_eq!(keys(&json["problems"][0]), "commands kind since_ms subject what");
    assert_eq!(json["problems"][0]["kind"], "partition-stopped");
    assert_eq!(json["partitions"][2]["stop"]["kind"], "topic-recreated");
    assert_eq!(json["partitions"][0]["lag_records"], 1204);
    assert_eq!(json["partitions"][0]["lag_ms"], 180_000);
}
