//! `kafkatos3 chain retry`: lifts the stop, so that the workers try again.
//!
//! Needs the spool alone: neither broker nor store are asked, and the archive is not changed.

use super::scene::line;
use super::{ChainCommand, Failure, Plan, agreed, tell};
use crate::config::Config;
use crate::spool::{Spool, SpoolPartition, StopKind, Stopped, quarantine, stops};
use crate::types::TopicPartition;

/// Says what the stop is, and what trying again would mean.
fn plan(tp: &TopicPartition, note: Option<Stopped>, kept: &[quarantine::Aside]) -> Plan<()> {
    let TopicPartition { topic, partition } = tp;
    let mut text = match &note {
        Some(note) => format!("{topic} {partition}: stopped ({}): {}\n", note.kind, note.reason),
        None => format!("{topic} {partition}: not stopped\n"),
    };
    for file in kept {
        let what = format!("{}, {} bytes: {}", file.path.display(), file.bytes, file.why);
        line(&mut text, "aside", &what);
    }
    let Some(note) = note else {
        line(&mut text, "so", "nothing to do");
        return Plan { text, deed: None };
    };
    line(&mut text, "lifts", "the stop; the partition is looked at again at once");
    let risk = match note.kind {
        StopKind::Truncated => {
            "if the broker's log is not the one that was archived, records of both histories may \
             stand in one chain; say yes only if the log has come back"
        }
        StopKind::DamagedAgain => "nothing: what was damaged is read from Kafka again",
        _ => "nothing",
    };
    line(&mut text, "lost", risk);
    Plan { text, deed: Some(()) }
}

/// Looks, asks, and does it.
pub(super) fn run(command: &ChainCommand, config: &Config) -> Result<(), Failure> {
    let spool = Spool::open(&config.main.working_directory)?;
    let tps: Vec<_> = if let Some(partition) = command.partition {
        vec![TopicPartition::new(command.topic.clone(), partition)]
    } else {
        let notes = stops::read_all(&spool)?.into_iter().map(|note| note.tp);
        notes.filter(|tp| tp.topic == command.topic).collect()
    };
    if tps.is_empty() {
        return tell(&mut std::io::stdout(), &format!("{}: not stopped\n", command.topic));
    }
    let mut plans = Vec::new();
    for tp in &tps {
        let partition = SpoolPartition::of(tp);
        let kept = quarantine::aside(&spool, &partition)?;
        plans.push(plan(tp, stops::read(&spool, &partition)?, &kept));
    }
    if !agreed(command, &plans)? {
        return Ok(());
    }
    for (tp, plan) in tps.iter().zip(plans) {
        if plan.deed.is_some() {
            stops::clear(&spool, &SpoolPartition::of(tp))?;
            tell(&mut std::io::stdout(), &format!("{tp}: lifted\n"))?;
        }
    }
    Ok(())
}
