//! What an answer of S3, or its absence, means. Pure.

use std::error::Error as _;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use super::aws_chain::NoCredentials;
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

/// Codes that mean bad credentials, whatever the status.
const CREDENTIALS: [&str; 8] = [
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "XAdminUserNotFound",
];

/// Codes that say of an object, and of nothing else, that it does not exist.
const NO_OBJECT: [&str; 3] = ["NoSuchKey", "NoSuchObject", "NotFound"];

/// Codes that mean "later", whatever the status.
const LATER: [&str; 4] = ["InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"];

/// Puts what went wrong with `name` into its class: by the server's `answer` if there is one.
pub(super) fn classify(
    request: Request,
    name: String,
    error: &object_store::Error,
    answer: Option<Answer>,
) -> StoreError {
    match answer {
        Some(answer) => by_answer(request, name, &answer),
        None => without_answer(name, error),
    }
}

/// Codes of a request that was signed for another region than the bucket's.
const REGION: [&str; 3] =
    ["AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"];

fn by_answer(request: Request, name: String, answer: &Answer) -> StoreError {
    let words = in_words(answer);
    let code = answer.code.as_str();
    match (answer.status, request) {
        _ if code == "NoSuchBucket" => StoreError::NoBucket { name, words },
        _ if CREDENTIALS.contains(&code) => StoreError::Denied { name, words, credentials: true },
        _ if REGION.contains(&code) => StoreError::Other { name, words: ask_region(&words) },
        // An answer to HEAD has no words of its own; this is what a wrong region makes of it.
        (400, Request::Head) if code.is_empty() => {
            StoreError::Other { name, words: ask_region(&words) }
        }
        _ if LATER.contains(&code) => StoreError::Unavailable { name, words },
        (401 | 403, _) => StoreError::Denied { name, words, credentials: false },
        // What does not exist where a name is only to be filled or listed is the bucket.
        (404, Request::Create | Request::List) => StoreError::NoBucket { name, words },
        // An answer to HEAD never has a code. Any other without a known one may be a proxy's.
        (404, Request::Head | Request::Delete) => StoreError::Missing { name, words },
        (404, _) if NO_OBJECT.contains(&code) => StoreError::Missing { name, words },
        (304 | 409 | 412, Request::Create) => StoreError::Exists { name, words },
        (501 | 505, _) => StoreError::Other { name, words },
        (408 | 429 | 500..=599, _) => StoreError::Unavailable { name, words },
        (301 | 307 | 308, _) => StoreError::Other { name, words: ask_region(&words) },
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
        let answer = Answer { status, code: code.to_owned(), message: String::new() };
        by_answer(request, "n".to_owned(), &answer)
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
            let found = match class(request, status, code) {
                StoreError::Exists { .. } => "exists",
                StoreError::Missing { .. } => "missing",
                StoreError::Denied { .. } => "denied",
                StoreError::NoBucket { .. } => "bucket",
                StoreError::Unavailable { .. } => "later",
                StoreError::Other { .. } => "other",
            };
            assert_eq!(found, expected, "{request:?} {status} {code}");
        }
    }

    #[test]
    fn errors_name_the_object_and_the_servers_words() {
        let answer =
            Answer { status: 403, code: "AccessDenied".into(), message: "Access Denied".into() };
        let error = by_answer(Request::Create, "s3://b/p/n".into(), &answer);
        let text = "s3://b/p/n: not permitted (HTTP 403 AccessDenied: Access Denied)";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.exit_code(), 77);
    }
}
