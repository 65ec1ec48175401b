//! The archive's store: the self-test, and the rights by their names.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::report::{Area, Line};
use crate::archive;
use crate::cli::Exit;
use crate::config::{ArchiveTarget, Config, S3Target, Sse};
use crate::store::selftest::{Check, Clock, Failure, Reason, Survey, survey};
use crate::store::{Store, StoreError};

/// How long the store may take for all of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Requests carry the time, and AWS refuses those that are a quarter of an hour off.
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
        let todo = match target {
            ArchiveTarget::S3(s3) if s3.endpoint.is_some() => {
                "correct [s3] s3_endpoint, or open the way there (a firewall, a proxy)"
            }
            ArchiveTarget::S3(_) => "open the way to AWS (a firewall, a proxy, a VPC endpoint)",
            ArchiveTarget::Dir { .. } => "look after the file system: it does not answer",
        };
        Self::only(Line::fail(Area::Store, &target.to_string(), &found, todo, Exit::Unavailable))
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

fn exit_of(code: u8) -> Exit {
    [Exit::Config, Exit::NoPermission, Exit::CantCreate, Exit::NoInput]
        .into_iter()
        .find(|exit| exit.code() == code)
        .unwrap_or(Exit::Unavailable)
}

fn unopened(subject: &str, target: &ArchiveTarget, error: &StoreError) -> Line {
    let exit = exit_of(error.exit_code());
    Line::fail(Area::Store, subject, &words(error), &todo(target, error, ""), exit)
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
    if let ArchiveTarget::S3(s3) = target
        && !failures.iter().any(|failure| !is_right(failure))
    {
        if !usable {
            let found = format!("answers, but refuses something{}", how(target));
            let todo = "grant the missing rights, see below; docs/stores.md has the whole policy";
            lines.push(Line::fail(Area::Store, &subject, &found, todo, Exit::NoPermission));
        }
        lines.extend(rights(s3, survey));
        lines.push(clock(survey.clock));
    }
    Found { lines, store: usable.then_some(store) }
}

/// How it is reached, for people.
fn how(target: &ArchiveTarget) -> String {
    let ArchiveTarget::S3(s3) = target else { return String::new() };
    let keys = if s3.access_key.is_some() { "keys of the file" } else { "AWS's chain" };
    let plain = if s3.is_plain_http() { ", not encrypted" } else { "" };
    format!("; {}, {keys}{plain}", s3.endpoint.as_deref().unwrap_or("AWS"))
}

/// Whether it is a right that is missing, rather than anything else.
fn is_right(failure: &Failure) -> bool {
    matches!(&failure.reason, Reason::Store(StoreError::Denied { credentials: false, .. }))
}

fn contract_line(subject: &str, target: &ArchiveTarget, failure: &Failure) -> Line {
    let exit = exit_of(failure.exit_code());
    let (found, todo) = match &failure.reason {
        // The first question of all: whatever answers this so is no S3.
        Reason::Store(error @ StoreError::Other { .. }) if failure.check == Check::Missing => {
            (words(error), todo(target, error, ""))
        }
        Reason::Store(error) => (words(error), todo(target, error, failure.remedy())),
        Reason::Wrong(_) => (failure.what(), failure.remedy().to_owned()),
    };
    Line::fail(Area::Store, subject, &found, &todo, exit)
}

/// An error without the name of the object, which is the self-test's.
fn words(error: &StoreError) -> String {
    let text = error.to_string();
    text.split_once(": ").map(|(_, words)| words.to_owned()).unwrap_or(text)
}

/// What to do about a store that can't be used at all.
fn todo(target: &ArchiveTarget, error: &StoreError, otherwise: &str) -> String {
    let ArchiveTarget::S3(s3) = target else { return otherwise.to_owned() };
    let text = error.to_string();
    let has = |part: &str| text.contains(part);
    match error {
        StoreError::NoBucket { .. } => format!(
            "create the bucket \"{}\", or correct [s3] s3_bucket_name{}",
            s3.bucket,
            if s3.endpoint.is_some() { " or s3_endpoint" } else { "" }
        ),
        StoreError::Denied { .. } if has("RequestTimeTooSkewed") || has("RequestExpired") => {
            "set this machine's clock (NTP): requests carry the time, and it is too far off".to_owned()
        }
        StoreError::Denied { credentials: true, .. } if s3.access_key.is_some() => {
            "correct [s3] s3_access_key and s3_secret_key, or leave both empty for AWS's own chain".to_owned()
        }
        StoreError::Denied { credentials: true, .. } => {
            "give credentials: [s3] s3_access_key and s3_secret_key, or one of AWS's own ways (environment, profile, \
             role of the instance)"
                .to_owned()
        }
        StoreError::Unavailable { .. } if s3.endpoint.is_none() => {
            "open the way to AWS (a firewall, a proxy, a VPC endpoint), or correct [s3] s3_region".to_owned()
        }
        StoreError::Unavailable { .. } if !s3.is_plain_http() && ["InvalidContentType", "corrupt message", "handshake eof"].into_iter().any(has) => {
            "no TLS is spoken there: begin [s3] s3_endpoint with http://, or use the port for https".to_owned()
        }
        StoreError::Unavailable { .. } if has("certificate") || has("UnknownIssuer") => {
            "the certificate is not accepted: install the authority that signed it on this machine, and use the name in \
             it in [s3] s3_endpoint"
                .to_owned()
        }
        StoreError::Unavailable { .. } => {
            "start the server, or correct [s3] s3_endpoint: its scheme, its host, its port".to_owned()
        }
        _ if has("is the region right?") => "correct [s3] s3_region".to_owned(),
        _ if otherwise.is_empty() => {
            "is this a server that speaks S3, at this port, with this scheme? correct [s3] s3_endpoint".to_owned()
        }
        _ => otherwise.to_owned(),
    }
}

/// Each action that is needed, and whether it is allowed.
fn rights(s3: &S3Target, survey: &Survey) -> Vec<Line> {
    let place = match s3.prefix.as_str() {
        "" => s3.bucket.clone(),
        prefix => format!("{}/{prefix}", s3.bucket),
    };
    let mut lines = vec![
        list_right(&s3.bucket, survey),
        right("s3:PutObject", &place, result(survey, Check::Create)),
        right("s3:GetObject", &place, read_result(survey)),
    ];
    let created = result(survey, Check::Create);
    if !s3.tags.is_empty() {
        lines.push(right("s3:PutObjectTagging", &place, created));
    }
    if let Some(Sse::Kms { key } | Sse::KmsDsse { key }) = &s3.sse {
        let key = key.as_deref().unwrap_or("the bucket's KMS key");
        lines.push(right("kms:GenerateDataKey", key, created));
        lines.push(right("kms:Decrypt", key, read_result(survey)));
    }
    lines.extend(survey.removed.as_ref().map(|removed| delete_right(&place, removed)));
    lines
}

/// How a check went.
#[derive(Clone, Copy)]
enum Went<'a> {
    Well,
    Refused(&'a StoreError),
    NotTried,
}

fn result(survey: &Survey, check: Check) -> Went<'_> {
    let found = survey.found.iter().find(|(other, _)| *other == check).map(|(_, result)| result);
    match found {
        Some(Ok(())) => Went::Well,
        Some(Err(Failure { reason: Reason::Store(error @ StoreError::Denied { .. }), .. })) => {
            Went::Refused(error)
        }
        _ => Went::NotTried,
    }
}

fn read_result(survey: &Survey) -> Went<'_> {
    match (result(survey, Check::Head), result(survey, Check::Read)) {
        (Went::Refused(error), _) | (_, Went::Refused(error)) => Went::Refused(error),
        (Went::NotTried, _) | (_, Went::NotTried) => Went::NotTried,
        (Went::Well, Went::Well) => Went::Well,
    }
}

fn right(action: &str, place: &str, went: Went<'_>) -> Line {
    match went {
        Went::Well => Line::ok(Area::Right, action, &format!("granted on {place}")),
        Went::NotTried => {
            Line::skip(Area::Right, action, "can't be tried, as no object could be created")
        }
        Went::Refused(error) => match named_action(error) {
            Some(other) if other != action => {
                Line::skip(Area::Right, action, &format!("can't be tried without {other}"))
            }
            _ => {
                let todo = if action.starts_with("kms:") {
                    format!("grant {action} on {place}, also in the key's own policy")
                } else {
                    format!("grant {action} on {place}/*")
                };
                Line::fail(Area::Right, action, &words(error), &todo, Exit::NoPermission)
            }
        },
    }
}

/// The action that AWS says is missing: "... is not authorized to perform: s3:PutObject on ...".
fn named_action(error: &StoreError) -> Option<String> {
    let text = error.to_string();
    let (_, behind) = text.split_once("to perform: ")?;
    Some(behind.split(' ').next().unwrap_or_default().to_owned())
}

/// Listing may be allowed while an absent name still answers 403: then the right has a condition.
fn list_right(bucket: &str, survey: &Survey) -> Line {
    const ACTION: &str = "s3:ListBucket";
    let grant = format!(
        "grant {ACTION} on the bucket {bucket} itself, without a condition on s3:prefix: else S3 answers 403 for a name \
         that is absent"
    );
    let fail = |found: &str| Line::fail(Area::Right, ACTION, found, &grant, Exit::NoPermission);
    match (result(survey, Check::List), result(survey, Check::Missing)) {
        (Went::Refused(error), _) | (Went::NotTried, Went::Refused(error)) => fail(&words(error)),
        (Went::Well, Went::Refused(error)) if matches!(read_result(survey), Went::Well) => {
            fail(&format!("lists, but refuses to speak of an absent name: {}", words(error)))
        }
        (Went::Well, _) => Line::ok(Area::Right, ACTION, &format!("granted on {bucket}")),
        (Went::NotTried, Went::Well | Went::NotTried) => {
            Line::skip(Area::Right, ACTION, "could not be tried")
        }
    }
}

fn delete_right(place: &str, removed: &Result<(), StoreError>) -> Line {
    const ACTION: &str = "s3:DeleteObject";
    let found = match removed {
        Ok(()) => "granted; needed nowhere but under @selftest/".to_owned(),
        Err(_) => {
            format!(
                "not granted, and not needed; 48 bytes stay under {place}/@selftest/ at each start"
            )
        }
    };
    Line::ok(Area::Right, ACTION, &found)
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
    let found = format!("{} s apart; at 900 s S3 refuses every request", off.as_secs());
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
    use crate::cli::check::report::Verdict::{Fail, Skip};

    #[test]
    fn clocks_differ_only_outside_of_the_request() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let off = |store| {
            difference(Clock { before: at(100), after: at(105), store: at(store) }).as_secs()
        };
        assert_eq!([off(99), off(100), off(105), off(98), off(405)], [0, 0, 0, 1, 300]);
    }

    fn denied(words: &str) -> StoreError {
        let (name, words) = ("s3://b/x".to_owned(), words.to_owned());
        StoreError::Denied { name, words, credentials: false }
    }

    #[test]
    fn the_action_that_is_named_is_the_one_that_is_missing() {
        let error = denied("HTTP 403: u is not authorized to perform: kms:GenerateDataKey on k");
        let verdict = |action| right(action, "b/p", Went::Refused(&error)).verdict;
        assert_eq!(verdict("kms:GenerateDataKey"), Fail);
        assert_eq!(verdict("s3:PutObject"), Skip);
        let error = denied("HTTP 403 AccessDenied");
        let line = right("s3:PutObject", "b/p", Went::Refused(&error));
        assert_eq!((line.verdict, line.todo.as_str()), (Fail, "grant s3:PutObject on b/p/*"));
    }
}
