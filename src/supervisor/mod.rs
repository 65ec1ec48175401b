//! The single-threaded parent of all workers.
//!
//! [`run`] forks what a [`FleetSpec`] asks for, restarts what crashes, replaces what a reload
//! changed, and drains in order. It knows neither Kafka nor any store, starts no thread, and is
//! given what a worker does as a function, so it is tested with toy workers.
//!
//! | signal | effect |
//! |---|---|
//! | TERM, INT | drain and stop; a second one kills all workers at once |
//! | HUP | read the specification again; hand it to workers that can take it up as they run, replace the others |
//! | USR1 | every consumer rotates now |
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | stopped as told, or the end was reached, and every worker did all that it should |
//! | 69 | broker or store unavailable at the start, or again and again |
//! | 70 | a worker died too often in a row, or the supervisor itself failed |
//! | 73, 78 | a worker ended with this code: a restart would not help |
//! | 77 | the same, before any worker of its role had come up |
//! | 75 | something was left for the next start: a worker was killed or says so; also: the instance runs already, or workers of a dead supervisor still do |
//!
//! The details: `fleet/` (a pure state machine) for restarts, drain and reload; `instance.rs` for
//! the lock; [`crate::sys::fork`] for what a worker inherits. `policy.rs` has all waiting times.

mod fleet;
mod handover;
mod instance;
mod note;
mod policy;
pub mod probe;
mod report;
mod shell;
mod slot;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

pub use crate::sys::fork::Nice;
use crate::sys::signals::{Signals, WorkerSignals};
use crate::sys::{SysError, limits};
pub use handover::Updates;
use instance::InstanceError;
pub use instance::{Holder, Orphans, holder};
pub use policy::Policy;
pub use report::{Report, Reporter};
use shell::Shell;
pub use slot::{Role, SlotId, WorkerExit, exit};

/// What is to run; made from the configuration at the start and at each HUP.
#[derive(Debug, Clone)]
pub struct FleetSpec<S> {
    /// Where `run/` with the instance's lock is. A reload can't change it.
    pub working_directory: PathBuf,
    /// The instance's name. A reload can't change it.
    pub instance: String,
    /// How long a drain may wait for what the consumers have read to be archived.
    pub shutdown_timeout: Duration,
    /// What the workers are given.
    pub settings: S,
    /// What is wanted of each role, at most one entry for each.
    pub roles: Vec<RoleSpec>,
}

/// What workers are given, and what a change of it means to those that run.
pub trait Settings: Clone {
    /// What is different in `new`.
    fn compare(&self, new: &Self) -> Comparison;

    /// What running workers are handed; secrets may be in it.
    fn to_bytes(&self) -> Vec<u8>;

    /// Called in the supervisor when these have come to be in force by a reload.
    fn in_force(&self);
}

/// How two settings differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Each difference, for people.
    pub changes: Vec<String>,
    /// Whose workers take them up as they run.
    pub live: BTreeSet<Role>,
    /// Whose workers can't, and have to be replaced.
    pub replace: BTreeSet<Role>,
}

/// What is wanted of one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleSpec {
    /// Which one.
    pub role: Role,
    /// How many workers; may be 0.
    pub count: usize,
    /// Their niceness, added to the supervisor's.
    pub nice: Nice,
}

/// A specification that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SpecError {
    /// The exit code, if this happens at the start.
    pub code: u8,
    /// What is wrong, and with what.
    pub message: String,
}

impl<S> FleetSpec<S> {
    fn role(&self, role: Role) -> Option<&RoleSpec> {
        self.roles.iter().find(|spec| spec.role == role)
    }

    /// What the lock stands for can't change under it.
    fn refuse_moves(&self, new: &Self) -> Result<(), SpecError> {
        let moved = |what| SpecError {
            code: exit::CONFIG,
            message: format!(
                "[main] {what} changed, which needs a restart; nothing of the new file is taken"
            ),
        };
        if self.working_directory != new.working_directory {
            Err(moved("working_directory"))
        } else if self.instance != new.instance {
            Err(moved("instance"))
        } else {
            Ok(())
        }
    }
}

/// How to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// Stop when everything that was there at the start is archived.
    pub exit_at_end: bool,
    /// How patient to be.
    pub policy: Policy,
}

/// Until when a worker works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunUntil {
    /// Until it is told to stop by its signals.
    Told,
    /// Until then or until its end, whichever comes first: consumers until every target is reached,
    /// compressors and uploaders until the spool has nothing for them, nor will have. It exits 0
    /// then, or 75 if something had to be left.
    End,
}

/// What a worker is given.
#[derive(Debug)]
pub struct WorkerContext<S> {
    /// Everybody's settings, as they are now.
    pub settings: S,
    /// Where new ones come from, after [`Order::Reload`](crate::sys::signals::Order::Reload).
    pub updates: Updates,
    /// What it is told from outside.
    pub signals: WorkerSignals,
    /// Until when it works.
    pub until: RunUntil,
    /// Its way to tell the supervisor how it goes.
    pub reporter: Reporter,
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Instance(#[from] InstanceError),
    #[error("{}", .0.in_full())]
    Sys(#[from] SysError),
}

impl RunError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(error) => error.code,
            Self::Instance(error) => error.exit_code(),
            Self::Sys(_) => exit::INTERNAL,
        }
    }
}

/// Runs the fleet until it ends; gives the process' exit code, after the last word was logged.
///
/// To be called from a process with one thread. `read_spec` is called once now and once for each
/// HUP; what it refuses at a HUP is logged and changes nothing. `worker_main` runs in a forked
/// child, gives the child's exit code (see [`WorkerExit`]), and may start threads.
pub fn run<S, R, W>(read_spec: R, options: &RunOptions, worker_main: W) -> ExitCode
where
    S: Settings,
    R: Fn() -> Result<FleetSpec<S>, SpecError>,
    W: Fn(Role, usize, WorkerContext<S>) -> u8,
{
    match try_run(read_spec, options, worker_main) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn try_run<S, R, W>(read_spec: R, options: &RunOptions, worker_main: W) -> Result<u8, RunError>
where
    S: Settings,
    R: Fn() -> Result<FleetSpec<S>, SpecError>,
    W: Fn(Role, usize, WorkerContext<S>) -> u8,
{
    let signals = Signals::take_over()?;
    let spec = read_spec()?;
    let patience = options.policy.orphan_patience;
    let lock = instance::claim(&spec.working_directory, &spec.instance, patience, &signals)?;
    if let Err(error) = limits::raise_open_files() {
        log::warn!("{}", error.in_full());
    }
    let outcome = Shell::new(spec, read_spec, worker_main, options, signals, lock)?.run()?;
    match outcome.last_word {
        Some(word) => log::error!(
            event = "exiting", code = outcome.code; "exiting with code {}: {word}", outcome.code
        ),
        None => log::info!(event = "stopped_all"; "everything has stopped in order"),
    }
    Ok(outcome.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(directory: &str, instance: &str, settings: u8) -> FleetSpec<u8> {
        FleetSpec {
            working_directory: directory.into(),
            instance: instance.to_owned(),
            shutdown_timeout: Duration::ZERO,
            settings,
            roles: vec![RoleSpec { role: Role::Consumer, count: 1, nice: Nice::default() }],
        }
    }

    #[test]
    fn a_reload_moves_nothing() {
        let old = spec("/a", "i", 1);
        assert_eq!(old.refuse_moves(&spec("/a", "i", 2)), Ok(()));
        for (new, key) in
            [(spec("/b", "i", 1), "working_directory"), (spec("/a", "j", 1), "instance")]
        {
            let error = old.refuse_moves(&new).unwrap_err().to_string();
            assert!(error.starts_with(&format!("[main] {key} changed, which needs a restart")));
        }
    }
}
