//! What is not as it should be, and what to do about it. Pure.

use super::human;
use super::local::Local;
use super::model::{Paused, Phase, Trouble, WorkerStatus};
use super::report::{InstanceReport, InstanceState, PartitionReport, Problem, ProblemKind, Report};

/// A trouble that may pass by itself is one from this age on.
const LASTING_MS: u64 = 60_000;

/// The problems of a report that is complete but for them, the worst first.
pub(super) fn of(report: &Report, local: &Local) -> Vec<Problem> {
    let mut problems = Vec::new();
    for instance in &report.instances {
        problems.extend(of_instance(instance, report));
    }
    for partition in &report.partitions {
        problems.extend(of_partition(partition, report));
    }
    for (worker, _) in local.workers.iter().filter(|(_, alive)| *alive) {
        problems.extend(of_worker(worker, report));
    }
    if let Some(spool) = report.spool.as_ref().filter(|spool| spool.quarantine.files > 0) {
        let (files, bytes) = (spool.quarantine.files, spool.quarantine.bytes);
        let place = report.place.working_directory.as_deref().unwrap_or(".");
        problems.push(Problem {
            kind: ProblemKind::Quarantine,
            subject: "quarantine".to_owned(),
            what: format!(
                "{} ({}) failed the checksum and were read again from Kafka; look at the disk, then \
                 remove them",
                human::many(files, "file"),
                human::bytes(bytes)
            ),
            since_ms: None,
            commands: vec![format!("cat {place}/quarantine/*.why")],
        });
    }
    problems.sort_by_key(|problem| problem.kind);
    problems
}

fn of_instance(instance: &InstanceReport, report: &Report) -> Vec<Problem> {
    let config = report.place.config.as_deref().unwrap_or("CONFIG");
    let problem = |kind, what: &str, commands| Problem {
        kind,
        subject: instance.instance.clone(),
        what: what.to_owned(),
        since_ms: instance.since_ms,
        commands,
    };
    match instance.state {
        InstanceState::Died => {
            let what = "it was killed, or its machine was: it does not run, and has not ended; \
                        started again, it goes on where it was";
            let commands = vec![format!("kafkatos3 {config}")];
            return vec![problem(ProblemKind::InstanceDied, what, commands)];
        }
        InstanceState::Orphans => {
            let pids = instance.workers.iter().filter(|worker| worker.alive);
            let pids: Vec<_> = pids.map(|worker| worker.pid.to_string()).collect();
            let what = "its workers run without a supervisor, here or on another machine";
            let commands =
                if pids.is_empty() { Vec::new() } else { vec![format!("kill {}", pids.join(" "))] };
            return vec![problem(ProblemKind::Orphans, what, commands)];
        }
        InstanceState::Stopped => return left_undone(instance, config),
        InstanceState::Running | InstanceState::RunningElsewhere => {}
    }
    let gone = instance.workers.iter().filter(|worker| {
        let ended_well = worker.phase == Phase::Ended && worker.exit_code == Some(0);
        !worker.alive && !ended_well
    });
    gone.map(|worker| {
        let how = match worker.exit_code {
            Some(code) => format!("ended with code {code}"),
            None => "was killed".to_owned(),
        };
        Problem {
            kind: ProblemKind::WorkerGone,
            subject: format!("{}{} of {}", worker.role, worker.index, instance.instance),
            what: format!(
                "process {} {how}; restarted {} before; the log says why",
                worker.pid,
                human::many(worker.restarts.into(), "time")
            ),
            since_ms: Some(worker.written_ms),
            commands: vec![format!("kafkatos3 check --connect {config}")],
        }
    })
    .collect()
}

/// The workers of an instance that stopped before all was done.
fn left_undone(instance: &InstanceReport, config: &str) -> Vec<Problem> {
    let ended_badly = instance.workers.iter().filter_map(|worker| {
        let code = worker.exit_code.filter(|code| *code != 0 && !worker.alive)?;
        Some((worker, code))
    });
    ended_badly
        .map(|(worker, code)| Problem {
            kind: ProblemKind::WorkerGone,
            subject: format!("{}{} of {}", worker.role, worker.index, instance.instance),
            what: format!(
                "it ended with code {code} when the instance stopped: something was left to do; \
                 started again, it goes on where it was"
            ),
            since_ms: Some(worker.written_ms),
            commands: vec![format!("kafkatos3 {config}")],
        })
        .collect()
}

fn of_partition(partition: &PartitionReport, report: &Report) -> Vec<Problem> {
    let at_ms = report.at_ms;
    // Where nothing is fetched any more, whatever keeps files from going up is the reason.
    let paused = report.spool.as_ref().is_some_and(|spool| spool.paused.is_some());
    let least = if paused { 0 } else { LASTING_MS };
    let subject = format!("{}-{}", partition.topic, partition.partition);
    let mut problems = Vec::new();
    if let Some(stop) = &partition.stop {
        problems.push(Problem {
            kind: ProblemKind::PartitionStopped,
            subject,
            what: stop.reason.clone(),
            since_ms: Some(stop.since_ms),
            commands: stop.commands.clone(),
        });
    } else if let Some(trouble) = lasting(partition.upload_trouble.as_ref(), at_ms, least) {
        problems.push(Problem {
            kind: ProblemKind::Upload,
            subject,
            what: again(trouble, at_ms),
            since_ms: Some(trouble.since_ms),
            commands: Vec::new(),
        });
    }
    problems
}

fn of_worker(worker: &WorkerStatus, report: &Report) -> Vec<Problem> {
    let at_ms = report.at_ms;
    let subject = format!("{}{} of {}", worker.role, worker.index, worker.instance);
    let problem = |kind, what, since_ms| Problem {
        kind,
        subject: subject.clone(),
        what,
        since_ms,
        commands: Vec::new(),
    };
    let trouble = |kind, trouble: &Option<Trouble>| {
        let trouble = lasting(trouble.as_ref(), at_ms, LASTING_MS)?;
        Some(problem(kind, again(trouble, at_ms), Some(trouble.since_ms)))
    };
    let mut problems = Vec::new();
    if let Some(consumer) = &worker.consumer {
        problems.extend(consumer.paused.map(|why| {
            let since = consumer.partitions.iter().map(|partition| partition.since_ms).max();
            problem(ProblemKind::Paused, paused(why, report), since)
        }));
        problems.extend(consumer.joining_since_ms.map(|since| {
            let what = "the group has given it no partitions yet, and it reads nothing; members \
                        that died keep theirs until session.timeout.ms is over";
            problem(ProblemKind::Joining, what.to_owned(), Some(since))
        }));
        problems.extend(trouble(ProblemKind::Finding, &consumer.finding_trouble));
        problems.extend(trouble(ProblemKind::Broker, &consumer.broker_trouble));
    }
    if let Some(compressor) = &worker.compressor {
        problems.extend(trouble(ProblemKind::Packing, &compressor.trouble));
    }
    problems
}

fn paused(why: Paused, report: &Report) -> String {
    let spool = report.spool.clone().unwrap_or_default();
    let used = human::bytes(spool.bytes);
    match why {
        Paused::SpoolFull => {
            let stop_at = spool.stop_at_bytes.map(human::bytes).unwrap_or_default();
            format!(
                "the spool is full ({used}; fetching stops at {stop_at}): nothing is fetched until \
                 files have gone up; Kafka keeps the data as long as its retention lets it"
            )
        }
        Paused::DiskFull => format!(
            "the disk is nearly full ({} free, {used} in the spool): nothing is fetched until \
             there is room",
            spool.disk_free_bytes.map_or_else(|| "nothing known".to_owned(), human::bytes)
        ),
    }
}

fn lasting(trouble: Option<&Trouble>, at_ms: u64, least: u64) -> Option<&Trouble> {
    trouble.filter(|trouble| at_ms.saturating_sub(trouble.since_ms) >= least)
}

fn again(trouble: &Trouble, at_ms: u64) -> String {
    let next = match trouble.next_ms.map(|next| next.saturating_sub(at_ms)) {
        Some(wait) if wait > 0 => format!(", next try in {}", human::duration(wait)),
        _ => String::new(),
    };
    format!("{} ({} in vain{next})", trouble.error, human::many(trouble.attempts.into(), "attempt"))
}
