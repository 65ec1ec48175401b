//! `kafkatos3 chain new | skip | retry`: the operator's ways out when a partition has stopped.
//!
//! | file | what |
//! |---|---|
//! | `arguments` | the command line |
//! | `scene` | what broker, archive and spool say of a partition |
//! | `begin` | `new`: closes the chain, if that is possible, and begins the next one |
//! | `skip` | gives up a range of offsets |
//! | `retry` | lifts the stop |
//!
//! Each looks first, says what it would do and what that keeps, doubles or loses, asks, and only
//! then does it. What is done to the archive is a create-if-absent, so it is safe against workers
//! that run, and given twice it finds that there is nothing left to do.

mod arguments;
mod begin;
mod retry;
mod scene;
mod skip;

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) use arguments::Verb;

use super::{Exit, config_error_text, end, say, warnings_text};
use crate::config::Config;
use crate::meta::Act;
use crate::types::{Offset, Partition, TopicName};

/// Where a new chain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At offset 0.
    Beginning,
    /// Where the chain before it ends.
    Tip,
    /// At this offset.
    At(Offset),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Begin a new chain.
    New {
        /// Where, if not where it does least harm.
        from: Option<From>,
        /// Even where nothing is wrong.
        force: bool,
    },
    /// Give up a range.
    Skip {
        /// Its end, exclusive, if not what stands in the way.
        to: Option<Offset>,
    },
    /// Lift the stop.
    Retry,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainCommand {
    /// What to do.
    pub way: Way,
    /// The configuration file.
    pub config: PathBuf,
    /// Whose partitions.
    pub topic: TopicName,
    /// Which; none: all.
    pub partition: Option<Partition>,
    /// Why, for the record.
    pub reason: Option<String>,
    /// Do it without asking.
    pub yes: bool,
}

/// Why a command ends before it is done.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    what: String,
}

impl Failure {
    fn new(exit: Exit, what: &impl ToString) -> Self {
        Self { exit, what: what.to_string() }
    }
}

/// What is to be done to one partition: what is said of it, and the deed.
struct Plan<D> {
    /// Lines for people.
    text: String,
    /// `None`: there is nothing to do.
    deed: Option<D>,
}

/// Carries the command out.
pub(super) fn run(command: &ChainCommand) -> Exit {
    match try_run(command) {
        Ok(()) => Exit::Done,
        Err(Failure { exit, what }) => end(exit, &format!("error: {what}\n")),
    }
}

fn try_run(command: &ChainCommand) -> Result<(), Failure> {
    let loaded = Config::load(&command.config).map_err(|error| {
        let text = config_error_text(&error);
        let text = text.trim_end();
        Failure::new(Exit::of_config(&error), &text.strip_prefix("error: ").unwrap_or(text))
    })?;
    tell(&mut io::stderr(), &warnings_text(&command.config, &loaded.warnings))?;
    match &command.way {
        Way::New { from, force } => begin::run(command, &loaded.config, *from, *force),
        Way::Skip { to } => skip::run(command, &loaded.config, *to),
        Way::Retry => retry::run(command, &loaded.config),
    }
}

/// What asks the store.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|e| Failure::new(Exit::Internal, &format!("can't start an async runtime: {e}")))
}

fn tell(to: &mut dyn Write, text: &str) -> Result<(), Failure> {
    say(to, text).map_err(|exit| Failure::new(exit, &"can't write"))
}

/// Says what is planned, and asks; `false` if there is nothing to do.
fn agreed<D>(command: &ChainCommand, plans: &[Plan<D>]) -> Result<bool, Failure> {
    for plan in plans {
        tell(&mut io::stdout(), &plan.text)?;
    }
    if plans.iter().all(|plan| plan.deed.is_none()) {
        return Ok(false);
    }
    if command.yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        let what = "nothing was done: there is no terminal to ask at; give --yes to agree";
        return Err(Failure::new(Exit::Usage, &what));
    }
    tell(&mut io::stdout(), "Do this? Type yes: ")?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "yes" {
        return Ok(true);
    }
    Err(Failure::new(Exit::TryAgain, &"nothing was done"))
}

/// Who does this, and why.
fn act(command: &ChainCommand, otherwise: &str) -> Act {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Act::new(&who(), time_ms, command.reason.as_deref().unwrap_or(otherwise))
}

/// `user@host`; behind sudo, whoever typed it.
fn who() -> String {
    let sudo = std::env::var("SUDO_USER").ok().filter(|user| !user.is_empty());
    let user = sudo.unwrap_or_else(|| {
        let uid = nix::unistd::getuid();
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        user.map_or_else(|| uid.to_string(), |user| user.name)
    });
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    format!("{user}@{}", host.as_deref().unwrap_or("unknown"))
}
