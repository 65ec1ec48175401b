//! What is told, from what was found.

use super::*;
use crate::spool::{StopKind, Stopped};
use crate::status::model::UploaderStatus;
use crate::status::report::ProblemKind;
use crate::types::{Partition, TopicName};
use InstanceState as Is;
use ProblemKind as Kind;

const NOW: u64 = 1_000_000_000;

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn tp() -> TopicPartition {
    TopicPartition::new(TopicName::new("t").unwrap(), Partition::new(3).unwrap())
}

fn consumer(instance: &str, written_ms: u64, partition: serde_json::Value) -> WorkerStatus {
    let mut partition = partition;
    partition["topic"] = "t".into();
    partition["partition"] = 3.into();
    let status = serde_json::json!({
        "instance": instance, "role": "consumer", "pid": 7, "host": "h",
        "phase": "working", "written_ms": written_ms,
        "consumer": {"partitions": [partition]},
    });
    serde_json::from_value(status).unwrap()
}

fn known() -> Known {
    Known { at_ms: NOW, ..Known::default() }
}

fn one(report: &Report) -> &PartitionReport {
    let [partition] = report.partitions.as_slice() else { panic!("{:?}", report.partitions) };
    partition
}

#[test]
fn lag_is_what_is_behind_the_tip_and_as_old_as_its_oldest_record() {
    let look = |partition: serde_json::Value| {
        let workers = vec![(consumer("a", NOW, partition), true)];
        let local = Local { workers, ..Local::default() };
        let report = merge(known(), Some(&local), &Remote::default());
        let one = one(&report);
        (one.lag_records, one.lag_ms, one.lag_ms_at_least)
    };
    let read = serde_json::json!({"tip": 10, "end": 15, "oldest_ms": NOW - 9000});
    assert_eq!(look(read), (Some(5), Some(9000), false));
    let unread = serde_json::json!({"tip": 10, "end": 15, "behind_since_ms": NOW - 4000});
    assert_eq!(look(unread), (Some(5), Some(4000), true));
    assert_eq!(look(serde_json::json!({"tip": 15, "end": 15})), (Some(0), Some(0), false));
    // After a failover the end may be below the tip for a moment.
    assert_eq!(look(serde_json::json!({"tip": 15, "end": 9})), (Some(0), Some(0), false));
    assert_eq!(look(serde_json::json!({"tip": 15})), (None, None, false));
}

#[test]
fn the_living_own_a_partition_and_the_dead_tell_what_they_knew() {
    let dead = consumer("dead", NOW, serde_json::json!({"tip": 90, "end": 99, "next": 95}));
    let old = consumer("old", NOW - 9, serde_json::json!({"tip": 50, "end": 60}));
    let new = consumer("new", NOW - 5, serde_json::json!({"tip": 70, "end": 80}));
    let look = |workers: Vec<(WorkerStatus, bool)>| {
        let local = Local { workers, ..Local::default() };
        merge(known(), Some(&local), &Remote::default())
    };
    let report = look(vec![(dead.clone(), false), (new.clone(), true), (old, true)]);
    let partition = one(&report);
    assert_eq!(partition.owner.as_ref().unwrap().instance, "new");
    assert_eq!(partition.state, Doing::Reading);
    assert_eq!((partition.tip, partition.end), (Some(at(90)), Some(at(80))));
    let report = look(vec![(new, false), (dead, false)]);
    let partition = one(&report);
    assert_eq!((partition.owner.as_ref(), partition.state), (None, Doing::NoOwner));
    assert_eq!((partition.end, partition.next), (Some(at(99)), None));
    assert_eq!(report.totals.without_owner, 1);
}

#[test]
fn a_stop_beats_all_and_its_commands_name_the_configuration() {
    let workers = vec![(consumer("a", NOW, serde_json::json!({"tip": 9, "end": 3})), true)];
    let note = Stopped::new(&tp(), StopKind::TopicRecreated, "it is another topic");
    let local = Local { workers, stops: vec![note], ..Local::default() };
    let place = Place { config: Some("/etc/k.cfg".to_owned()), ..Place::default() };
    let report = merge(Known { place, ..known() }, Some(&local), &Remote::default());
    let partition = one(&report);
    assert_eq!(partition.state, Doing::Stopped);
    assert_eq!(partition.lag_records, None, "the end is another topic's");
    let stop = partition.stop.as_ref().unwrap();
    assert_eq!(stop.kind, "topic-recreated");
    assert_eq!(stop.commands, ["kafkatos3 chain new /etc/k.cfg t 3"]);
    assert!(!report.well);
    let [problem] = report.problems.as_slice() else { panic!("{:?}", report.problems) };
    assert_eq!((problem.kind, problem.subject.as_str()), (ProblemKind::PartitionStopped, "t-3"));
}

#[test]
fn an_upload_that_fails_is_a_problem_once_it_lasts() {
    let look = |since_ms| {
        let uploader: UploaderStatus = serde_json::from_value(serde_json::json!({
            "partitions": [{"partition": "t-3", "trouble":
                {"error": "503", "since_ms": since_ms, "attempts": 4, "next_ms": NOW + 30_000}}]
        }))
        .unwrap();
        let uploader = WorkerStatus { uploader: Some(uploader), ..WorkerStatus::default() };
        let local = Local { workers: vec![(uploader, true)], ..Local::default() };
        merge(known(), Some(&local), &Remote::default())
    };
    assert!(look(NOW - 59_000).well);
    let report = look(NOW - 61_000);
    assert!(!report.well);
    assert_eq!(report.problems[0].what, "503 (4 attempts in vain, next try in 30 s)");
}

#[test]
fn an_instance_is_judged_by_its_lock_and_its_workers_words() {
    let look = |holder, phase: &str, alive| {
        let mut worker = consumer("a", NOW - 7, serde_json::json!({}));
        worker.phase = phase.trim_end_matches(" badly").to_owned().into();
        worker.exit_code = match phase {
            "ended" => Some(0),
            "ended badly" => Some(75),
            _ => None,
        };
        let lock = Instance { name: "a".to_owned(), holder, signed_ms: Some(NOW - 99) };
        let local =
            Local { workers: vec![(worker, alive)], instances: vec![lock], ..Local::default() };
        let report = merge(known(), Some(&local), &Remote::default());
        let [instance] = report.instances.as_slice() else { panic!() };
        let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
        (instance.state, NOW - instance.since_ms.unwrap(), kinds)
    };
    let runs = Holder::Supervisor(5);
    assert_eq!(look(runs, "working", true), (Is::Running, 99, vec![]));
    assert_eq!(look(runs, "working", false), (Is::Running, 99, vec![Kind::WorkerGone]));
    assert_eq!(look(runs, "ended", false), (Is::Running, 99, vec![]), "replaced by fewer");
    assert_eq!(look(Holder::Hidden(5), "working", true), (Is::Running, 99, vec![]));
    let away = Holder::NotHere(Some(5));
    assert_eq!(look(away, "working", true), (Is::RunningElsewhere, 99, vec![]));
    assert_eq!(look(away, "working", false), (Is::Orphans, 7, vec![Kind::Orphans]));
    assert_eq!(look(Holder::Nobody, "ended", false), (Is::Stopped, 7, vec![]));
    let undone = (Is::Stopped, 7, vec![Kind::WorkerGone]);
    assert_eq!(look(Holder::Nobody, "ended badly", false), undone);
    assert_eq!(look(Holder::Nobody, "working", false), (Is::Died, 7, vec![Kind::InstanceDied]));
}

#[test]
fn what_archive_and_broker_say_is_enough() {
    let chain = ChainEnd {
        partition: tp(),
        chain: "t@2/000003".to_owned(),
        tip: at(40),
        archived: Some(Archived { records: 30, ..Archived::default() }),
        last: None,
    };
    let ends = vec![(tp(), at(45))];
    let notes = vec!["n".to_owned()];
    let remote = Remote { chains: vec![chain], ends, notes, ..Remote::default() };
    let report = merge(known(), None, &remote);
    let partition = one(&report);
    assert_eq!(partition.state, Doing::Archived);
    assert_eq!((partition.lag_records, partition.lag_ms), (Some(5), None));
    assert_eq!((report.totals.archived.records, report.notes.len()), (30, 1));
    assert!(report.well && report.spool.is_none());
    let only = |only: &str| {
        let known = Known { only: vec![only.to_owned()], ..known() };
        merge(known, None, &remote).partitions.len()
    };
    assert_eq!([only("t"), only("t-3"), only("t-30"), only("x")], [1, 1, 0, 0]);
}

#[test]
fn a_consumer_that_waits_for_the_group_or_for_room_is_a_problem_while_it_lives() {
    let look = |consumer: serde_json::Value, alive| {
        let status = serde_json::json!({
            "instance": "a", "role": "consumer", "pid": 7, "host": "h", "phase": "working",
            "written_ms": NOW, "consumer": consumer,
        });
        let worker: WorkerStatus = serde_json::from_value(status).unwrap();
        let local = Local { workers: vec![(worker, alive)], ..Local::default() };
        let report = merge(known(), Some(&local), &Remote::default());
        let problems = report.problems.iter().map(|one| (one.kind, one.since_ms, one.what.clone()));
        (report.well, problems.collect::<Vec<_>>())
    };
    let joining = serde_json::json!({"joining_since_ms": NOW - 41_000});
    let (well, problems) = look(joining.clone(), true);
    let [(Kind::Joining, Some(since), what)] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(!well && *since == NOW - 41_000 && what.contains("session.timeout.ms"), "{what}");
    assert_eq!(look(joining, false), (true, vec![]));
    assert_eq!(look(serde_json::json!({"joining_since_ms": null}), true), (true, vec![]));

    let full = serde_json::json!({"paused": "spool_full", "spool_stop_at_bytes": 20 << 20});
    let (well, problems) = look(full, true);
    let [(Kind::Paused, _, what)] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(!well && what.contains("fetching stops at 20.0 MiB"), "{what}");
}
