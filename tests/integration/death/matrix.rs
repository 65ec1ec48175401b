//! Which faults are armed in which scenario, and the runs of all that.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use kafkatos3::fail::points;

use super::case::{Case, Fault, Mode};
use super::scenarios::{SCENARIOS, Scenario};

/// How many faults are armed in one run: they come one after the other, and a supervisor gives up
/// when a worker dies too often without having done anything.
const BATCH: usize = 4;
/// How many sites are at work at once: most of the time they wait.
const SITES: usize = 6;

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A kill before each step.
    Daily,
    /// Each fault at each step.
    Full,
}

/// A scenario to go through with these faults.
#[derive(Debug, Clone)]
struct Job {
    scenario: &'static Scenario,
    faults: Vec<Fault>,
}

/// What became of it.
struct Done {
    job: Job,
    census: BTreeSet<String>,
    fired: Vec<Fault>,
    /// What went wrong.
    error: Option<String>,
}

impl Job {
    fn run(self, number: usize) -> Done {
        let name = format!("death-{}-{number}", self.scenario.name);
        let all = self.scenario.base.iter().chain(&self.faults).copied().collect();
        let mut case = None;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let case = case.insert(Case::new(&name, all));
            (self.scenario.run)(case);
        }));
        let error = ran.err().map(|payload| {
            let text = payload.downcast_ref::<String>().cloned();
            text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "it panicked".to_owned())
        });
        let error = error.or_else(|| {
            let case = case.as_ref()?;
            let panics = case.panics();
            let unharmed = self.faults.is_empty() && case.fired().len() < self.scenario.base.len();
            match (panics.first(), unharmed) {
                (Some(line), _) => Some(line.clone()),
                (None, true) => Some("its own faults did not happen".to_owned()),
                (None, false) => None,
            }
        });
        let census = case.as_ref().map(Case::census).unwrap_or_default();
        let fired = case.as_ref().map(Case::fired).unwrap_or_default();
        Done { job: self, census, fired, error }
    }
}

impl Done {
    fn name(&self) -> String {
        let faults: Vec<_> = self.job.faults.iter().map(ToString::to_string).collect();
        format!("{} with [{}]", self.job.scenario.name, faults.join(" "))
    }

    fn missed(&self) -> Vec<Fault> {
        self.job.faults.iter().filter(|fault| !self.fired.contains(fault)).copied().collect()
    }
}

/// Carries all out, several at once. The sites' numbers go on from those of earlier calls.
fn carry_out(jobs: Vec<Job>) -> Vec<Done> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let queue = Mutex::new(jobs.into_iter());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..SITES {
            scope.spawn(|| {
                loop {
                    let job = queue.lock().expect("the queue").next();
                    let Some(job) = job else { return };
                    let began = Instant::now();
                    let ran = job.run(NUMBER.fetch_add(1, Ordering::Relaxed));
                    eprintln!(
                        "death: {}: {} in {:.1} s",
                        ran.name(),
                        ran.error.as_deref().map_or("fine", |_| "FAILED"),
                        began.elapsed().as_secs_f64()
                    );
                    done.lock().expect("what is done").push(ran);
                }
            });
        }
    });
    done.into_inner().expect("what is done")
}

fn complain_of_failures(done: &[Done]) {
    let failed: Vec<_> = done
        .iter()
        .filter_map(|done| Some(format!("{}:\n{}", done.name(), done.error.as_ref()?)))
        .collect();
    assert!(failed.is_empty(), "{} runs failed:\n{}", failed.len(), failed.join("\n\n"));
}

/// The steps that each scenario comes to.
type Reached = BTreeMap<&'static str, BTreeSet<String>>;

/// What each scenario comes to, by itself.
fn explore() -> Reached {
    let job = |scenario| Job { scenario, faults: Vec::new() };
    let done = carry_out(SCENARIOS.iter().map(job).collect());
    complain_of_failures(&done);
    done.into_iter().map(|done| (done.job.scenario.name, done.census)).collect()
}

/// For each scenario, the faults that are armed in it. The `turn` spreads steps to which several
/// come over these.
fn assign(reached: &Reached, steps: &[(&'static str, bool)], mode: Mode, turn: usize) -> Vec<Job> {
    let mut by_scenario: BTreeMap<usize, Vec<Fault>> = BTreeMap::new();
    for (index, (step, fails)) in steps.iter().enumerate() {
        if !fails && mode != Mode::Die {
            continue;
        }
        let fits = |scenario: &Scenario| reached[scenario.name].contains(*step);
        let base = |scenario: &Scenario| scenario.base.iter().any(|fault| fault.step == *step);
        let fitting: Vec<_> = SCENARIOS.iter().enumerate().filter(|(_, s)| fits(s)).collect();
        // Not where another fault waits at the same step.
        let free: Vec<_> = fitting.iter().filter(|(_, s)| !base(s)).collect();
        assert!(!free.is_empty(), "{step}: all scenarios that come to it have a fault there");
        let (number, _) = free[(index + turn) % free.len()];
        by_scenario.entry(*number).or_default().push(Fault { step, mode });
    }
    let mut jobs = Vec::new();
    for (number, faults) in by_scenario {
        let scenario = &SCENARIOS[number];
        // Steps that lie side by side are taken by one process: those it dies of come in turn.
        let batches = faults.len().div_ceil(BATCH);
        for batch in 0..batches {
            let faults = faults.iter().skip(batch).step_by(batches).copied().collect();
            jobs.push(Job { scenario, faults });
        }
    }
    jobs
}

/// Faults that did not happen in company, each alone in all scenarios that came to its step: some
/// came to it by chance.
fn alone(reached: &Reached, done: &[Done]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for fault in done.iter().flat_map(Done::missed) {
        let came = SCENARIOS.iter().filter(|scenario| reached[scenario.name].contains(fault.step));
        jobs.extend(came.map(|scenario| Job { scenario, faults: vec![fault] }));
    }
    jobs
}

pub(super) fn run(scope: Scope) {
    let began = Instant::now();
    let steps = points();
    let reached = explore();
    let met: BTreeSet<_> = reached.values().flatten().map(String::as_str).collect();
    let unmet: Vec<_> = steps.iter().filter(|(step, _)| !met.contains(step)).collect();
    assert!(unmet.is_empty(), "no scenario comes to these steps: {unmet:#?}");

    let modes: &[Mode] = if scope == Scope::Full { &Mode::ALL } else { &[Mode::Die] };
    let jobs: Vec<_> = modes
        .iter()
        .enumerate()
        .flat_map(|(turn, mode)| assign(&reached, &steps, *mode, turn))
        .collect();
    let count: usize = jobs.iter().map(|job| job.faults.len()).sum();
    let mut done = carry_out(jobs);
    let mut second = carry_out(alone(&reached, &done));
    let happened: BTreeSet<_> =
        second.iter().flat_map(|done| &done.fired).map(ToString::to_string).collect();
    let never = second.iter().flat_map(Done::missed).map(|fault| fault.to_string());
    let never: BTreeSet<_> = never.filter(|fault| !happened.contains(fault)).collect();
    done.append(&mut second);
    complain_of_failures(&done);
    assert!(never.is_empty(), "these faults were armed and never happened: {never:#?}");
    eprintln!(
        "death: {} steps, {count} faults in {} runs of {} scenarios, {:.0} s",
        steps.len(),
        done.len(),
        SCENARIOS.len(),
        began.elapsed().as_secs_f64()
    );
}
