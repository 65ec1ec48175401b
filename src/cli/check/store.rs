//! The archive's store: the self-test, and the rights by their names.

mod advice;
mod rights;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::report::{Area, Line};
use crate::archive;
use crate::cli::Exit;
use crate::config::{ArchiveTarget, Config};
use crate::store::selftest::{Check, Clock, Failure, Reason, Survey, survey};
use crate::store::{Store, StoreError};

/// How long the store may take for all of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Requests carry the time, and the clouds refuse those that are a quarter of an hour off.
const CLOCKS_DIFFER: Duration = Duration::from_mins(5);

/// What was found.
pub(super) struct Found {
    pub(super) lines: Vec<Line>,
    /// The store, if it can be asked more.
    pub(super) store: Option<Arc<dyn Store>>,
}

impl Found {
    fn only(line: Line) -> Self {
        Self { lines: vec![line], store: None }
    }

    /// It did not answer in time.
    pub(super) fn silent(config: &Config) -> Self {
        let target = &config.archive.target;
        let found = format!("no answer within {} s", PATIENCE.as_secs());
        let todo = advice::silent(target);
        Self::only(Line::fail(Area::Store, &target.to_string(), &found, &todo, Exit::Unavailable))
    }
}

/// Tries it out. An object may stay behind if `deadline` passes meanwhile.
pub(super) fn look(config: &Config, deadline: Instant) -> Found {
    let target = &config.archive.target;
    let subject = target.to_string();
    if config.consumer.processes == 0 && config.upload.workers == 0 {
        let why = "not asked: this instance has neither consumers nor uploaders";
        return Found::only(Line::skip(Area::Store, &subject, why));
    }
    if let ArchiveTarget::Dir { path } = target
        && !path.exists()
    {
        return Found::only(directory_to_be(&subject, path));
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Found::only(Line::skip(Area::Store, &subject, "can't start an async runtime"));
    };
    runtime.block_on(async {
        let limit = deadline.saturating_duration_since(Instant::now());
        let asked = tokio::time::timeout(limit, async {
            let store = archive::open_store(target).await?;
            let survey = survey(&*store).await;
            Ok::<_, StoreError>((store, survey))
        });
        match asked.await {
            Err(_) => Found::silent(config),
            Ok(Err(error)) => Found::only(unopened(&subject, target, &error)),
            Ok(Ok((store, survey))) => told(target, store, &survey),
        }
    })
}

fn directory_to_be(subject: &str, path: &std::path::Path) -> Line {
    match path.parent() {
        Some(parent) if parent.is_dir() => {
            Line::ok(Area::Store, subject, &format!("will be made in {}", parent.display()))
        }
        _ => {
            let found = "neither it nor the directory above it is there";
            let todo = "create it, or mount what it is on";
            Line::fail(Area::Store, subject, found, todo, Exit::Config)
        }
    }
}

fn unopened(subject: &str, target: &ArchiveTarget, error: &StoreError) -> Line {
    let exit = Exit::of_code(error.exit_code());
    Line::fail(Area::Store, subject, &words(error), &advice::todo(target, error, ""), exit)
}

fn told(target: &ArchiveTarget, store: Arc<dyn Store>, survey: &Survey) -> Found {
    let subject = target.to_string();
    let failures: Vec<_> = survey.found.iter().filter_map(|(_, r)| r.as_ref().err()).collect();
    let mut lines = Vec::new();
    if failures.is_empty() {
        lines.push(Line::ok(Area::Store, &subject, &format!("keeps the contract{}", how(target))));
    }
    // A missing right has a line of its own.
    let contract = failures.iter().filter(|failure| !is_right(failure));
    lines.extend(contract.map(|failure| contract_line(&subject, target, failure)));
    let usable = failures.is_empty();
    if !matches!(target, ArchiveTarget::Dir { .. })
        && !failures.iter().any(|failure| !is_right(failure))
    {
        if !usable {
            let found = format!("answers, but refuses something{}", how(target));
            let todo = "grant the missing rights, see below; docs/stores.md has all of them";
            lines.push(Line::fail(Area::Store, &subject, &found, todo, Exit::NoPermission));
        }
        lines.extend(rights::rights(target, survey));
        lines.push(clock(survey.clock));
    }
    Found { lines, store: usable.then_some(store) }
}

/// How it is reached, for people.
fn how(target: &ArchiveTarget) -> String {
    let (endpoint, cloud, own, plain) = match target {
        ArchiveTarget::S3(s3) => {
            (s3.endpoint.as_deref(), "AWS", s3.access_key.is_some(), s3.is_plain_http())
        }
        ArchiveTarget::Gcs(gcs) => {
            let plain = gcs.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
            (gcs.endpoint.as_deref(), "Google", gcs.credentials.is_some(), plain)
        }
        ArchiveTarget::Azure(azure) => {
            let plain = azure.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
            (azure.endpoint.as_deref(), "Azure", azure.has_credentials(), plain)
        }
        ArchiveTarget::Dir { .. } => return String::new(),
    };
    let keys = match (target, own) {
        (ArchiveTarget::S3(_), true) => "keys of the file",
        (_, true) => "credentials of the file",
        (ArchiveTarget::S3(_), false) => "AWS's chain",
        (_, false) => "credentials of the environment",
    };
    let plain = if plain { ", not encrypted" } else { "" };
    format!("; {}, {keys}{plain}", endpoint.unwrap_or(cloud))
}

/// Whether it is a right that is missing, rather than anything else.
fn is_right(failure: &Failure) -> bool {
    matches!(&failure.reason, Reason::Store(StoreError::Denied { credentials: false, .. }))
}

fn contract_line(subject: &str, target: &ArchiveTarget, failure: &Failure) -> Line {
    let exit = Exit::of_code(failure.exit_code());
    let (found, todo) = match &failure.reason {
        // The first question of all: whatever answers this so is no such store.
        Reason::Store(error @ StoreError::Other { .. }) if failure.check == Check::Missing => {
            (words(error), advice::todo(target, error, ""))
        }
        Reason::Store(error) => (words(error), advice::todo(target, error, failure.remedy())),
        Reason::Wrong(_) => (failure.what(), failure.remedy().to_owned()),
    };
    Line::fail(Area::Store, subject, &found, &todo, exit)
}

/// An error without the name of the object, which is the self-test's.
fn words(error: &StoreError) -> String {
    let text = error.to_string();
    text.split_once(": ").map(|(_, words)| words.to_owned()).unwrap_or(text)
}

fn clock(clock: Option<Clock>) -> Line {
    let subject = "store";
    let Some(clock) = clock else {
        return Line::skip(Area::Clock, subject, "can't be told, as no object could be created");
    };
    let off = difference(clock);
    if off < CLOCKS_DIFFER {
        let found = format!("{} s apart, of at most 900 s", off.as_secs());
        return Line::ok(Area::Clock, subject, &found);
    }
    let found = format!("{} s apart; at 900 s the store refuses every request", off.as_secs());
    Line::warn(Area::Clock, subject, &found, "set this machine's clock (NTP)")
}

/// How far the store's clock is off the time in which the object was created; the store tells
/// whole seconds only.
fn difference(clock: Clock) -> Duration {
    let second = Duration::from_secs(1);
    let early = |at: SystemTime| at.checked_sub(second).unwrap_or(at);
    let behind = early(clock.before).duration_since(clock.store);
    let ahead = clock.store.duration_since(clock.after);
    behind.or(ahead).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_only_outside_of_the_request() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let off = |store| {
            difference(Clock { before: at(100), after: at(105), store: at(store) }).as_secs()
        };
        assert_eq!([off(99), off(100), off(105), off(98), off(405)], [0, 0, 0, 1, 300]);
    }
}
