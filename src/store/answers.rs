//! What an answer of an object store, or its absence, means. Pure.
//!
//! The status says most of it, and means nearly the same everywhere; the codes beside it are each
//! cloud's own ([`Dialect`]).

use std::error::Error as _;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use super::credentials::NoCredentials;
use super::error::StoreError;
use super::http::Answer;

/// What was asked; the same status means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Create,
    Head,
    Read,
    List,
    Delete,
}

/// A body that came too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive within {0:?}")]
pub(super) struct Late(pub(super) Duration);

/// The codes of one cloud that say more than the status beside them.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Bad credentials, whatever the status.
    credentials: &'static [&'static str],
    /// It is all of the bucket that does not exist.
    no_bucket: &'static [&'static str],
    /// It is the object that does not exist, and nothing else.
    no_object: &'static [&'static str],
    /// Later, whatever the status.
    later: &'static [&'static str],
    /// The request was signed for another region than the bucket's.
    region: &'static [&'static str],
    /// Whether redirections and refusals without a word come of a wrong region.
    has_regions: bool,
}

/// S3 and its look-alikes.
pub(super) const S3: Dialect = Dialect {
    credentials: &[
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "XAdminUserNotFound",
    ],
    no_bucket: &["NoSuchBucket"],
    no_object: &["NoSuchKey", "NoSuchObject", "NotFound"],
    later: &["InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"],
    region: &[
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
    ],
    has_regions: true,
};

/// Azure Blob Storage. It says its code to `HEAD`, too, in a header.
pub(super) const AZURE: Dialect = Dialect {
    credentials: &[
        "AccountIsDisabled",
        "AuthenticationFailed",
        "InvalidAuthenticationInfo",
        "KeyVaultAccessTokenCannotBeAcquired",
        "NoAuthenticationInformation",
    ],
    no_bucket: &["ContainerDisabled", "ContainerNotFound", "FilesystemNotFound"],
    no_object: &["BlobNotFound", "PathNotFound"],
    later: &[
        "AccountBeingCreated",
        "ContainerBeingDeleted",
        "InternalError",
        "OperationTimedOut",
        "ServerBusy",
    ],
    region: &[],
    has_regions: false,
};

/// Google Cloud Storage, by the reasons of its JSON API. What is not found is told from the words,
/// or asked for, by its client, which says it in codes of its own.
pub(super) const GCS: Dialect = Dialect {
    credentials: &["authError", "invalidCredentials", "required"],
    no_bucket: &[NO_BUCKET],
    no_object: &[NO_OBJECT],
    later: &["backendError", "internalError", "rateLimitExceeded", "userRateLimitExceeded"],
    region: &[],
    has_regions: false,
};

/// The code of GCS's client for a bucket that is not there.
pub(super) const NO_BUCKET: &str = "bucketNotFound";
/// The same for an object.
pub(super) const NO_OBJECT: &str = "objectNotFound";

/// Puts what went wrong with `name` into its class: by the server's `answer` if there is one.
pub(super) fn classify(
    dialect: &Dialect,
    request: Request,
    name: String,
    error: &object_store::Error,
    answer: Option<Answer>,
) -> StoreError {
    match answer {
        Some(answer) => by_answer(dialect, request, name, &answer),
        None => without_answer(name, error),
    }
}

/// What Azure's emulator says under a code that means a missing right.
const UNKNOWN: &str = "failed to authenticate the request";

fn by_answer(dialect: &Dialect, request: Request, name: String, answer: &Answer) -> StoreError {
    let words = in_words(answer);
    let is = |codes: &[&str]| codes.contains(&answer.code.as_str());
    let silent = answer.code.is_empty();
    match (answer.status, request) {
        _ if is(dialect.no_bucket) => StoreError::NoBucket { name, words },
        _ if is(dialect.credentials) || answer.message.contains(UNKNOWN) => {
            StoreError::Denied { name, words, credentials: true }
        }
        _ if is(dialect.region) => StoreError::Other { name, words: ask_region(&words) },
        // An answer to HEAD has no words of its own; this is what a wrong region makes of it.
        (400, Request::Head) if silent && dialect.has_regions => {
            StoreError::Other { name, words: ask_region(&words) }
        }
        _ if is(dialect.later) => StoreError::Unavailable { name, words },
        (401 | 403, _) => StoreError::Denied { name, words, credentials: false },
        // What does not exist where a name is only to be filled or listed is the bucket.
        (404, Request::Create | Request::List) => StoreError::NoBucket { name, words },
        // An answer to HEAD never has a code. Any other without a known one may be a proxy's.
        (404, Request::Head | Request::Delete) => StoreError::Missing { name, words },
        (404, _) if is(dialect.no_object) => StoreError::Missing { name, words },
        (304 | 409 | 412, Request::Create) => StoreError::Exists { name, words },
        (501 | 505, _) => StoreError::Other { name, words },
        (408 | 429 | 500..=599, _) => StoreError::Unavailable { name, words },
        (301 | 307 | 308, _) if dialect.has_regions => {
            StoreError::Other { name, words: ask_region(&words) }
        }
        _ => StoreError::Other { name, words },
    }
}

fn ask_region(words: &str) -> String {
    format!("{words}; is the region right?")
}

fn in_words(answer: &Answer) -> String {
    let Answer { status, code, message } = answer;
    match (code.as_str(), message.as_str()) {
        ("", "") => format!("HTTP {status}"),
        (code, "") => format!("HTTP {status} {code}"),
        ("", message) => format!("HTTP {status}: {message}"),
        (code, message) => format!("HTTP {status} {code}: {message}"),
    }
}

/// Nothing came back: no credentials, no connection, no time, or an answer that does not read.
fn without_answer(name: String, error: &object_store::Error) -> StoreError {
    let mut at = error.source();
    let mut innermost = error.to_string();
    let mut kind = None;
    while let Some(cause) = at {
        if cause.is::<NoCredentials>() {
            return StoreError::Denied { name, words: cause.to_string(), credentials: true };
        }
        if cause.is::<Late>() {
            return StoreError::Unavailable { name, words: cause.to_string() };
        }
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            kind = Some(http.kind());
        }
        innermost = cause.to_string();
        at = cause.source();
    }
    let Some(kind) = kind else { return StoreError::Other { name, words: innermost } };
    let what = match kind {
        HttpErrorKind::Connect => "can't connect: ",
        HttpErrorKind::Timeout => "timed out: ",
        HttpErrorKind::Interrupted | HttpErrorKind::Request => "connection lost: ",
        _ => "",
    };
    StoreError::Unavailable { name, words: format!("{what}{innermost}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(request: Request, status: u16, code: &str) -> StoreError {
        class_of(&S3, request, status, code)
    }

    fn class_of(dialect: &Dialect, request: Request, status: u16, code: &str) -> StoreError {
        let answer = Answer { status, code: code.to_owned(), message: String::new() };
        by_answer(dialect, request, "n".to_owned(), &answer)
    }

    fn named(error: &StoreError) -> &'static str {
        match error {
            StoreError::Exists { .. } => "exists",
            StoreError::Missing { .. } => "missing",
            StoreError::Denied { credentials: true, .. } => "who?",
            StoreError::Denied { credentials: false, .. } => "denied",
            StoreError::NoBucket { .. } => "bucket",
            StoreError::Unavailable { .. } => "later",
            StoreError::Other { .. } => "other",
        }
    }

    #[test]
    fn azure_speaks_its_own_language() {
        use Request::{Create, List, Read};
        for (request, status, code, expected) in [
            (Create, 409, "BlobAlreadyExists", "exists"),
            (Create, 412, "ConditionNotMet", "exists"),
            (Create, 403, "UnauthorizedBlobOverwrite", "denied"),
            (Create, 409, "ContainerBeingDeleted", "later"),
            (Create, 404, "ContainerNotFound", "bucket"),
            (Read, 404, "ContainerNotFound", "bucket"),
            (Read, 404, "BlobNotFound", "missing"),
            (Read, 404, "ResourceNotFound", "other"),
            (Read, 404, "", "other"),
            (List, 404, "", "bucket"),
            (Read, 403, "AuthenticationFailed", "who?"),
            (Read, 401, "NoAuthenticationInformation", "who?"),
            (Read, 403, "AuthorizationPermissionMismatch", "denied"),
            (Create, 503, "ServerBusy", "later"),
            (Create, 500, "OperationTimedOut", "later"),
            (Read, 409, "BlobArchived", "other"),
            (Read, 307, "", "other"),
        ] {
            let found = class_of(&AZURE, request, status, code);
            assert_eq!(named(&found), expected, "{request:?} {status} {code}");
            assert!(!found.to_string().contains("region"), "{found}");
        }
    }

    #[test]
    fn gcs_speaks_its_own_language() {
        use Request::{Create, List, Read};
        for (request, status, code, expected) in [
            (Create, 412, "conditionNotMet", "exists"),
            (Create, 409, "conflict", "exists"),
            (Create, 403, "forbidden", "denied"),
            (Read, 401, "authError", "who?"),
            (Read, 404, "notFound", "other"),
            (Read, 404, NO_OBJECT, "missing"),
            (Read, 404, NO_BUCKET, "bucket"),
            (List, 404, "notFound", "bucket"),
            (Create, 403, "rateLimitExceeded", "later"),
            (Create, 503, "backendError", "later"),
        ] {
            let found = class_of(&GCS, request, status, code);
            assert_eq!(named(&found), expected, "{request:?} {status} {code}");
        }
    }

    #[test]
    fn what_a_wrong_region_brings_asks_for_it() {
        for (request, status, code) in [
            (Request::Head, 400, ""),
            (Request::Create, 400, "AuthorizationHeaderMalformed"),
            (Request::Read, 301, "PermanentRedirect"),
            (Request::Read, 307, ""),
        ] {
            let words = class(request, status, code).to_string();
            assert!(words.contains("is the region right?"), "{words}");
        }
    }

    #[test]
    fn statuses_and_codes_fall_into_classes() {
        use Request::{Create, Delete, Head, List, Read};
        for (request, status, code, expected) in [
            (Create, 412, "PreconditionFailed", "exists"),
            (Create, 409, "ConditionalRequestConflict", "exists"),
            (Create, 304, "", "exists"),
            (Read, 412, "", "other"),
            (Create, 404, "NoSuchBucket", "bucket"),
            (Create, 404, "", "bucket"),
            (List, 404, "NoSuchBucket", "bucket"),
            (Read, 404, "NoSuchBucket", "bucket"),
            (Read, 404, "NoSuchKey", "missing"),
            (Read, 404, "", "other"),
            (Read, 404, "XAdminUserNotFound", "denied"),
            (Head, 404, "", "missing"),
            (Head, 403, "", "denied"),
            (Delete, 404, "", "missing"),
            (Read, 403, "", "denied"),
            (Create, 401, "", "denied"),
            (Create, 400, "ExpiredToken", "denied"),
            (Create, 400, "RequestTimeout", "later"),
            (Create, 200, "InternalError", "later"),
            (Create, 500, "", "later"),
            (Create, 503, "SlowDown", "later"),
            (Read, 429, "", "later"),
            (Create, 501, "NotImplemented", "other"),
            (Create, 400, "BadDigest", "other"),
            (Read, 301, "PermanentRedirect", "other"),
            (Read, 416, "InvalidRange", "other"),
        ] {
            let found = named(&class(request, status, code)).replace("who?", "denied");
            assert_eq!(found, expected, "{request:?} {status} {code}");
        }
    }

    #[test]
    fn errors_name_the_object_and_the_servers_words() {
        let answer =
            Answer { status: 403, code: "AccessDenied".into(), message: "Access Denied".into() };
        let error = by_answer(&S3, Request::Create, "s3://b/p/n".into(), &answer);
        let text = "s3://b/p/n: not permitted (HTTP 403 AccessDenied: Access Denied)";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.exit_code(), 77);
    }
}
