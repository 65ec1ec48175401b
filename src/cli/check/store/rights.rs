//! The rights on a bucket, by the names that the cloud itself has for them. Pure.

use super::super::report::{Area, Line};
use super::words;
use crate::cli::Exit;
use crate::config::{ArchiveTarget, S3Target, Sse};
use crate::store::StoreError;
use crate::store::selftest::{Check, Failure, Reason, Survey};

/// What a cloud calls the rights that are needed.
struct Actions {
    list: &'static str,
    create: &'static str,
    read: &'static str,
    delete: &'static str,
    /// What has to be thought of when granting the first one.
    list_advice: &'static str,
}

const S3: Actions = Actions {
    list: "s3:ListBucket",
    create: "s3:PutObject",
    read: "s3:GetObject",
    delete: "s3:DeleteObject",
    list_advice: " itself, without a condition on s3:prefix: else S3 answers 403 for a name that is absent",
};

const GCS: Actions = Actions {
    list: "storage.objects.list",
    create: "storage.objects.create",
    read: "storage.objects.get",
    delete: "storage.objects.delete",
    list_advice: " (roles/storage.objectViewer has it): else GCS answers 403 for a name that is absent",
};

/// A signature has letters for them; of data roles, `Storage Blob Data Reader` has the first and the
/// third.
const AZURE: Actions = Actions {
    list: "blobs/read (SAS: l)",
    create: "blobs/add/action or blobs/write (SAS: c)",
    read: "blobs/read (SAS: r)",
    delete: "blobs/delete (SAS: d)",
    list_advice: "",
};

/// Each action that is needed, and whether it is allowed.
pub(super) fn rights(target: &ArchiveTarget, survey: &Survey) -> Vec<Line> {
    let (actions, bucket) = match target {
        ArchiveTarget::S3(s3) => (&S3, s3.bucket.as_str()),
        ArchiveTarget::Gcs(gcs) => (&GCS, gcs.bucket.name.as_str()),
        ArchiveTarget::Azure(azure) => (&AZURE, azure.container.name.as_str()),
        ArchiveTarget::Dir { .. } => return Vec::new(),
    };
    let prefix = match target {
        ArchiveTarget::S3(s3) => s3.prefix.as_str(),
        ArchiveTarget::Gcs(gcs) => gcs.bucket.prefix.as_str(),
        ArchiveTarget::Azure(azure) => azure.container.prefix.as_str(),
        ArchiveTarget::Dir { .. } => "",
    };
    let place = match prefix {
        "" => bucket.to_owned(),
        prefix => format!("{bucket}/{prefix}"),
    };
    let mut lines = vec![
        list_right(actions, bucket, survey),
        right(actions.create, &place, result(survey, Check::Create)),
        right(actions.read, &place, read_result(survey)),
    ];
    if let ArchiveTarget::S3(s3) = target {
        lines.extend(settings_rights(s3, &place, survey));
    }
    let removed = survey.removed.as_ref();
    lines.extend(removed.map(|removed| delete_right(actions.delete, &place, removed)));
    lines
}

/// What tags and keys need on top.
fn settings_rights(s3: &S3Target, place: &str, survey: &Survey) -> Vec<Line> {
    let mut lines = Vec::new();
    let created = result(survey, Check::Create);
    if !s3.tags.is_empty() {
        lines.push(right("s3:PutObjectTagging", place, created));
    }
    if let Some(Sse::Kms { key } | Sse::KmsDsse { key }) = &s3.sse {
        let key = key.as_deref().unwrap_or("the bucket's KMS key");
        lines.push(right("kms:GenerateDataKey", key, created));
        lines.push(right("kms:Decrypt", key, read_result(survey)));
    }
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
                    format!("grant {action} on {place}{}", below(action))
                };
                Line::fail(Area::Right, action, &words(error), &todo, Exit::NoPermission)
            }
        },
    }
}

/// How IAM writes what lies below a place.
fn below(action: &str) -> &'static str {
    if action.starts_with("s3:") { "/*" } else { "" }
}

/// The action that AWS says is missing: "... is not authorized to perform: s3:PutObject on ...".
fn named_action(error: &StoreError) -> Option<String> {
    let text = error.to_string();
    let (_, behind) = text.split_once("to perform: ")?;
    Some(behind.split(' ').next().unwrap_or_default().to_owned())
}

/// Listing may be allowed while an absent name still answers 403: then the right has a condition.
fn list_right(actions: &Actions, bucket: &str, survey: &Survey) -> Line {
    let Actions { list: action, list_advice, .. } = actions;
    let grant = format!("grant {action} on the bucket {bucket}{list_advice}");
    let fail = |found: &str| Line::fail(Area::Right, action, found, &grant, Exit::NoPermission);
    match (result(survey, Check::List), result(survey, Check::Missing)) {
        (Went::Refused(error), _) | (Went::NotTried, Went::Refused(error)) => fail(&words(error)),
        (Went::Well, Went::Refused(error)) if matches!(read_result(survey), Went::Well) => {
            fail(&format!("lists, but refuses to speak of an absent name: {}", words(error)))
        }
        (Went::Well, _) => Line::ok(Area::Right, action, &format!("granted on {bucket}")),
        (Went::NotTried, Went::Well | Went::NotTried) => {
            Line::skip(Area::Right, action, "could not be tried")
        }
    }
}

fn delete_right(action: &str, place: &str, removed: &Result<(), StoreError>) -> Line {
    let found = match removed {
        Ok(()) => "granted; needed nowhere but under @selftest/".to_owned(),
        Err(_) => {
            format!(
                "not granted, and not needed; 48 bytes stay under {place}/@selftest/ at each start"
            )
        }
    };
    Line::ok(Area::Right, action, &found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::report::Verdict::{Fail, Skip};

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
        let line = right("storage.objects.create", "b/p", Went::Refused(&error));
        assert_eq!(line.todo, "grant storage.objects.create on b/p");
    }
}
