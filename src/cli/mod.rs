//! Arguments, subcommands, and what is said to people.
//!
//! What was asked for goes to stdout, everything else to stderr. A reader that closes the pipe is
//! no error. Every program ends with an [`Exit`].

pub mod args;
pub mod cat;
pub mod catalog;
pub mod chain;
pub mod check;
pub mod convert;
pub mod demo;
pub mod exit;
mod info;
mod ls;
pub mod parse;
pub mod rotate;
pub mod run;
mod status;
mod table;
mod time;
mod verify;

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

pub use exit::Exit;

use crate::archive::{ArchiveError, LocationError};
use crate::config::{ConfigError, Finding};
use crate::worker::in_full;
use args::Command;

/// The program `kafkatos3`.
pub fn main() -> ExitCode {
    let exit = match args::parse(std::env::args_os()) {
        Ok(Command::Run { config, exit_at_end }) => {
            return run::run(&config, run::RunOptions { exit_at_end });
        }
        Ok(Command::Check { config, options }) => check::run(&config, options),
        Ok(Command::Chain(command)) => chain::run(&command),
        Ok(Command::Catalog(command)) => catalog::run(&command),
        Ok(Command::Status(options)) => status::run(&options),
        Ok(Command::Ls(options)) => ls::run(&options),
        Ok(Command::Info(options)) => info::run(&options),
        Ok(Command::Verify(options)) => verify::run(&options),
        Ok(Command::Cat(options)) => cat::run(&options),
        Ok(Command::Convert(options)) => convert::run(&options),
        Ok(Command::Demo { dir }) => demo::run(dir.as_deref()),
        Err(stop) => stop,
    };
    exit.into()
}

/// Prints `text`. A closed pipe is as good as a reader; what else goes wrong is the way to end.
pub(crate) fn say(to: &mut dyn Write, text: &str) -> Result<(), Exit> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Exit::CantCreate),
        _ => Ok(()),
    }
}

/// Prints `text` where it was asked for: results to stdout, everything else to stderr.
pub(crate) fn end(exit: Exit, text: &str) -> Exit {
    let said = if exit == Exit::Done {
        say(&mut io::stdout(), text)
    } else {
        say(&mut io::stderr(), text)
    };
    said.err().unwrap_or(exit)
}

/// An error with all its causes, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A runtime for a command that asks a store.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // One for each core that unpacks, and some for who looks up names.
    builder.enable_all().max_blocking_threads(cores + 4).build()
}

/// The warnings of the file at `path`, one a line.
pub(crate) fn warnings_text(path: &Path, warnings: &[Finding]) -> String {
    listed("warning", path, warnings)
}

fn listed(kind: &str, path: &Path, findings: &[Finding]) -> String {
    let line = |finding: &Finding| format!("{kind}: {}\n", finding.in_file(path));
    findings.iter().map(line).collect::<Vec<_>>().concat()
}

/// Why an archive can't be read, for people, and the way to end.
pub(crate) fn archive_error(error: &ArchiveError) -> (Exit, String) {
    let text = match error {
        ArchiveError::Location(LocationError::Config(error)) => config_error_text(error),
        error => format!("error: {}\n", in_full(error)),
    };
    (Exit::of_archive(error), text)
}

/// Why there is no configuration, for people: every problem on a line of its own, then the count.
pub(crate) fn config_error_text(error: &ConfigError) -> String {
    match error {
        ConfigError::Unreadable { path, source } => format!(
            "error: can't read the configuration \"{}\": {source}\n\
             name a file like config/kafkatos3.cfg.example, which explains every key\n",
            path.display()
        ),
        ConfigError::Invalid { path, problems, warnings } => {
            let count = match problems.len() {
                1 => "1 problem".to_owned(),
                n => format!("{n} problems"),
            };
            let warnings = warnings_text(path, warnings);
            let lines = listed("error", path, problems);
            format!("{warnings}{lines}{count} in \"{}\"\n", path.display())
        }
    }
}
