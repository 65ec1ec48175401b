//! `kafkatos3 check CONFIG`: everything that is wrong with a configuration, or what it would do;
//! with `--connect` also everything around it: brokers, topics, group, spool, machine, store.
//!
//! Without `--connect` it reads the file and what it refers to, opens no connection and creates
//! nothing. With it, what it leaves behind is at most: an object of 48 bytes under `@selftest/`
//! where it may not remove one, and for some minutes an empty group `GROUP-check-...` where it may
//! not remove that. It never joins the group itself. Every question has its deadline; all of it
//! takes no more than `MOST`.

mod catalog;
mod identity;
mod kafka;
mod machine;
mod parallel;
mod report;
mod store;
mod summary;
mod topics;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Exit, config_error_text, end, say, warnings_text};
use crate::config::{Config, ConfigError, Finding, Loaded};
use crate::url::shown_database;
use crate::worker;
use parallel::Pending;
use report::{Area, Line, Report};

/// How long the whole of it takes at most.
const MOST: Duration = Duration::from_secs(15);

/// What is to be looked at, and how it is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Also brokers, store and this machine.
    pub connect: bool,
    /// For programs.
    pub json: bool,
}

/// Looks at the file and says what it found: problems and warnings on stderr, else a summary.
pub(super) fn run(path: &Path, options: Options) -> Exit {
    match (Config::load(path), options) {
        (loaded, Options { json: true, connect }) => in_json(path, loaded, connect),
        (Err(error), _) => end(Exit::of_config(&error), &config_error_text(&error)),
        (Ok(loaded), Options { connect, .. }) => {
            if let Err(why) = worker::refuse(&loaded.config) {
                return end(Exit::Config, &format!("error: {}: {why}\n", path.display()));
            }
            let warnings = warnings_text(path, &loaded.warnings);
            match say(&mut io::stderr(), &warnings) {
                Err(exit) => exit,
                Ok(()) if connect => print(&around(loaded.config)),
                Ok(()) => end(Exit::Done, &summary::summary(&loaded.config)),
            }
        }
    }
}

fn print(report: &Report) -> Exit {
    let said = say(&mut io::stdout(), &report.to_text());
    said.err().unwrap_or_else(|| report.exit())
}

/// The configuration's own findings as lines of the report, and what is around it.
fn in_json(path: &Path, loaded: Result<Loaded, ConfigError>, connect: bool) -> Exit {
    let mut report = Report::default();
    let line = |finding: &Finding| finding.in_file(path).to_string();
    match loaded {
        Ok(Loaded { config, warnings, .. }) => {
            let file = path.display().to_string();
            report.push(Line::ok(Area::Config, &file, "is valid"));
            report.extend(
                warnings.iter().map(|finding| {
                    Line::warn(Area::Config, &file, &line(finding), &finding.remedy)
                }),
            );
            if connect {
                report.append(around(config));
            }
        }
        Err(ConfigError::Invalid { problems, warnings, .. }) => {
            let file = path.display().to_string();
            report.extend(problems.iter().map(|finding| {
                Line::fail(Area::Config, &file, &line(finding), &finding.remedy, Exit::Config)
            }));
            report.extend(
                warnings.iter().map(|finding| {
                    Line::warn(Area::Config, &file, &line(finding), &finding.remedy)
                }),
            );
        }
        Err(error @ ConfigError::Unreadable { .. }) => {
            let (file, exit) = (path.display().to_string(), Exit::of_config(&error));
            let found = config_error_text(&error);
            let found = found.lines().next().unwrap_or_default();
            report.push(Line::fail(Area::Config, &file, found, "name another file", exit));
        }
    }
    let said = say(&mut io::stdout(), &report.to_json());
    said.err().unwrap_or_else(|| report.exit())
}

/// What is said of the catalogue, if there is one.
fn table(config: &Config, database: &Pending<Option<Line>>, end: Instant) -> Option<Line> {
    let url = config.catalog.as_ref()?.expose();
    let answer = parallel::wait(database, end);
    answer.unwrap_or_else(|| Some(catalog::silent(&shown_database(url))))
}

/// Everything around a configuration, in the order of the data's way.
fn around(config: Config) -> Report {
    if io::stderr().is_terminal() {
        // Nobody is harmed if this can't be said.
        let _ = say(&mut io::stderr(), "looking around, which takes a few seconds\n");
    }
    let config = Arc::new(config);
    let end = Instant::now() + MOST;
    let bucket = {
        let config = Arc::clone(&config);
        parallel::begin("store", move || store::look(&config, Instant::now() + store::PATIENCE))
    };
    let database = {
        let config = Arc::clone(&config);
        parallel::begin("catalog", move || catalog::look(&config))
    };
    let cluster = kafka::look(&config);
    let bucket = parallel::wait(&bucket, end).unwrap_or_else(|| store::Found::silent(&config));
    let identities = identity::look(&config, &cluster, &bucket, end);

    let mut report = Report::default();
    let partitions = cluster.partitions();
    report.extend(cluster.lines);
    report.extend(machine::look(&config, partitions, cluster.brokers));
    report.extend(bucket.lines);
    report.extend(identities);
    report.extend(table(&config, &database, end));
    report
}
