//! The bounds within which the protocol is checked, and the variants that have to be found out.

use std::fmt::Write as _;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path};

use super::schedule::Schedule;
use super::variant::Variant;
use super::world::{Fault, Step, World};
use super::{Check, Setting, WriterSetting};
use crate::meta::Identity;
use crate::types::{Isolation, Partition, Suffix, TopicId, TopicName};

fn identity() -> Identity {
    Identity {
        cluster_id: String::new(),
        topic: TopicName::new("t").unwrap(),
        topic_id: TopicId::UNKNOWN,
        partition: Partition::new(0).unwrap(),
        isolation: Isolation::ReadCommitted,
    }
}

const GZ: WriterSetting =
    WriterSetting { suffix: Suffix::MakGz, later: &[Suffix::MakZst], first: 0, group: 0 };
const ZST: WriterSetting =
    WriterSetting { suffix: Suffix::MakZst, later: &[Suffix::MakGz], first: 0, group: 0 };

const ALL: &[Fault] = &[
    Fault::AnswerLost,
    Fault::FalseConflict,
    Fault::Delayed,
    Fault::Unanswered,
    Fault::Rebalance,
    Fault::Kill,
    Fault::Reconfigure,
    Fault::SpoolLost,
    Fault::Damage,
    Fault::LogStart,
    Fault::GroupOffset,
    Fault::RecordLost,
];

fn setting(end: u64, faults: u8, kinds: &'static [Fault], writers: &[WriterSetting]) -> Setting {
    let holes: &[u64] = if end > 2 { &[1] } else { &[] };
    Setting { identity: identity(), end, holes, writers: writers.to_vec(), faults, kinds }
}

/// What was explored.
#[derive(Debug)]
struct Seen {
    states: usize,
    depth: usize,
    seconds: f64,
    /// The first property that failed, and how.
    failed: Option<(&'static str, String)>,
}

fn explore(setting: &Setting, variant: Variant, only: Option<&'static str>) -> Seen {
    let began = Instant::now();
    let check = Check { setting: setting.clone(), variant, schedule: Schedule::new(), only };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker =
        check.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs();
    let checker = checker.join();
    let failed = checker.discoveries().into_iter().next();
    Seen {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: began.elapsed().as_secs_f64(),
        failed: failed.map(|(name, path)| (name, tell(path, setting, variant))),
    }
}

/// A counterexample: who did what, what was answered, and what the archive then holds.
fn tell(path: Path<World, Step>, setting: &Setting, variant: Variant) -> String {
    let mut text = String::new();
    for (number, (mut world, step)) in path.into_vec().into_iter().enumerate() {
        let Some(step) = step else { continue };
        one_step(&mut text, &(number + 1).to_string(), &mut world, step, setting, variant);
    }
    text
}

fn one_step(
    text: &mut String,
    number: &str,
    world: &mut World,
    step: Step,
    setting: &Setting,
    variant: Variant,
) {
    let before = world.archive.to_string();
    let mut said = Vec::new();
    world.take(step, setting, variant, &mut |what| said.push(what.to_string()));
    let _ = write!(text, "{number:>4}. {step} {}", said.join("; "));
    let after = world.archive.to_string();
    if before != after {
        let _ = write!(text, "\n        => {after}");
    }
    text.push('\n');
}

fn holds(name: &str, setting: &Setting) {
    let seen = explore(setting, Variant::None, None);
    let Seen { states, depth, seconds, .. } = seen;
    eprintln!("{name}: {states} states, depth {depth}, {seconds:.1} s");
    if let Some((property, path)) = seen.failed {
        panic!("{name}: \"{property}\" does not hold:\n{path}");
    }
}

/// A bound that may be raised from outside, for a longer look.
fn larger(name: &str, or: u64) -> u64 {
    let text = std::env::var(format!("KAFKATOS3_MODEL_{name}")).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(or)
}

fn faults(or: u64) -> u8 {
    u8::try_from(larger("FAULTS", or)).unwrap_or(u8::MAX)
}

#[test]
fn one_writer_survives_whatever_happens_to_it() {
    let (end, faults) = (larger("OFFSETS", 4), faults(2));
    holds("one writer", &setting(end, faults, ALL, &[GZ]));
}

#[test]
fn two_writers_of_one_group_make_one_chain() {
    let (end, faults) = (larger("OFFSETS", 3), faults(1));
    holds("one group", &setting(end, faults, ALL, &[GZ, ZST]));
}

/// What happens to two groups, each of which has the partition read by a writer of its own.
const CROWDED: &[Fault] = &[Fault::FalseConflict, Fault::LogStart];

fn two_groups() -> Setting {
    let (end, faults) = (larger("OFFSETS", 2), faults(1));
    setting(end, faults, CROWDED, &[GZ, WriterSetting { group: 1, ..ZST }])
}

#[test]
fn two_writers_at_once_make_one_chain() {
    holds("two groups", &two_groups());
}

/// An operator ends the chain, or gives up records, while others write and die.
const ENDED: &[Fault] = &[
    Fault::NewChain,
    Fault::Skip,
    Fault::AnswerLost,
    Fault::Delayed,
    Fault::Kill,
    Fault::SpoolLost,
    Fault::Rebalance,
];

#[test]
fn a_chain_that_an_operator_ends_is_ended_for_good() {
    let (end, faults) = (larger("OFFSETS", 2), faults(2));
    holds("ended, one writer", &setting(end, faults, ENDED, &[GZ]));
    holds("ended, one group", &setting(end, 1, ENDED, &[GZ, ZST]));
}

fn ended_by_two_groups() -> Setting {
    let kinds = &[Fault::NewChain, Fault::Skip];
    setting(2, 1, kinds, &[GZ, WriterSetting { group: 1, ..GZ }])
}

#[test]
fn protocols_known_to_be_bad_are_found_out() {
    let chains = Variant::BAD.map(|bad| (bad, two_groups()));
    let ends = Variant::BAD_ENDS.map(|bad| (bad, ended_by_two_groups()));
    for ((variant, property), setting) in chains.into_iter().chain(ends) {
        let Seen { states, seconds, failed, .. } = explore(&setting, variant, Some(property));
        let (_, path) = failed.unwrap_or_else(|| panic!("{variant:?} passes for good"));
        eprintln!(
            "{variant:?} is found out after {states} states, {seconds:.1} s: not \"{property}\""
        );
        eprintln!("{path}");
    }
}
