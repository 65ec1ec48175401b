//! The HTTP client below the stores: `object_store`'s own, watched.
//!
//! It adds two things. A *time-out that scales with the request's body*, because the client's
//! total time-out knows nothing of sizes and its read time-out already runs while a body is being
//! sent. And the *answer of the server as values* (status, code, message), because the errors
//! that come out above hold them only as text. Dead peers are found by the kernel: the client
//! sets keep-alive and `TCP_USER_TIMEOUT` (30 s without an acknowledgement).

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use serde::Deserialize;

/// What every request may take, however small.
const BASE_TIMEOUT: Duration = Duration::from_mins(1);

/// The slowest transfer, in bytes a second, that is still waited for.
const SLOWEST: u64 = 128 * 1024;

/// The longest answer to a refused request that is read.
const WORDS_MAX: usize = 64 * 1024;

/// How long a transfer of `bytes` may take: a minute, and what the slowest line needs.
#[must_use]
pub(super) const fn time_for(bytes: u64) -> Duration {
    BASE_TIMEOUT.saturating_add(Duration::from_secs(bytes / SLOWEST))
}

/// What the server said to a request that it did not accept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The store's error code; empty where the answer has none.
    pub(super) code: String,
    /// The store's message.
    pub(super) message: String,
}

tokio::task_local! {
    static LAST: RefCell<Option<Answer>>;
}

/// Runs one operation of the store, and returns with its result the last refusal that it met.
pub(super) async fn watched<F: Future>(operation: F) -> (F::Output, Option<Answer>) {
    LAST.scope(RefCell::new(None), async {
        let result = operation.await;
        (result, LAST.with(RefCell::take))
    })
    .await
}

/// What the last refusal was, for a client that can say more of it than its answer did.
pub(super) fn last_answer() -> Option<Answer> {
    LAST.try_with(|last| last.borrow().clone()).ok().flatten()
}

/// Keeps what the server said for whoever [`watched`] the operation.
pub(super) fn note(answer: Option<Answer>) {
    // Outside `watched` (nobody asks) there is nothing to note.
    let _ = LAST.try_with(|last| last.replace(answer));
}

/// Makes [`Watched`] clients.
#[derive(Debug, Default)]
pub(super) struct WatchedConnector(ReqwestConnector);

impl HttpConnector for WatchedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Watched(HttpClient);

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        note(None);
        let length = u64::try_from(request.body().content_length()).unwrap_or(u64::MAX);
        let limit = time_for(length);
        let response = tokio::time::timeout(limit, self.0.execute(request))
            .await
            .map_err(|_| HttpError::new(HttpErrorKind::Timeout, NoAnswer(limit)))??;
        if response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(BASE_TIMEOUT, body.bytes())
            .await
            .map_err(|_| HttpError::new(HttpErrorKind::Timeout, NoAnswer(BASE_TIMEOUT)))??;
        let text = String::from_utf8_lossy(body.get(..WORDS_MAX).unwrap_or(&body)).into_owned();
        let header = parts.headers.get(AZURE_CODE).and_then(|code| code.to_str().ok());
        note(Some(read_answer(parts.status.as_u16(), header, &text)));
        Ok(HttpResponse::from_parts(parts, text.into()))
    }
}

/// Where Azure says its code also to `HEAD`.
const AZURE_CODE: &str = "x-ms-error-code";

/// An error of Google's JSON API.
#[derive(Deserialize)]
struct GoogleAnswer {
    error: GoogleError,
}

#[derive(Deserialize)]
struct GoogleError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<GoogleReason>,
}

#[derive(Deserialize)]
struct GoogleReason {
    #[serde(default)]
    reason: String,
}

/// Code and message, in whichever of the three ways the server says them.
fn read_answer(status: u16, header: Option<&str>, text: &str) -> Answer {
    if let Ok(GoogleAnswer { error }) = serde_json::from_str(text) {
        let reason = error.errors.into_iter().next().map(|error| error.reason);
        return Answer {
            status,
            code: plain(&reason.unwrap_or_default()),
            message: plain(&error.message),
        };
    }
    let code = element(text, "Code").or_else(|| header.map(plain));
    let code = code.unwrap_or_default();
    Answer { status, code, message: element(text, "Message").unwrap_or_default() }
}

/// The text of the first element `name` of an XML answer.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, behind) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = behind.split_once(&format!("</{name}>"))?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let text = text.replace("&#34;", "\"");
    let text = text.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&");
    Some(plain(&text))
}

/// A text on one line, not too long.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\
                   <Message>It&apos;s a &lt;no&gt; &#34;x&#34;</Message><Key>k</Key></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("AccessDenied"));
        assert_eq!(element(xml, "Message").as_deref(), Some("It's a <no> \"x\""));
        assert_eq!(element(xml, "Resource"), None);
        assert_eq!(element("<Code>torn", "Code"), None);
        assert_eq!(element("", "Code"), None);
    }

    #[test]
    fn every_cloud_says_it_in_its_own_way() {
        let answer = |code: &str, message: &str| Answer {
            status: 404,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let xml = "<Error><Code>BlobNotFound</Code><Message>no\nblob</Message></Error>";
        assert_eq!(read_answer(404, Some("Other"), xml), answer("BlobNotFound", "no blob"));
        assert_eq!(read_answer(404, Some("BlobNotFound"), ""), answer("BlobNotFound", ""));
        let json = r#"{"error":{"code":404,"message":"No such object: b/n",
                      "errors":[{"message":"x","domain":"global","reason":"notFound"}]}}"#;
        assert_eq!(read_answer(404, None, json), answer("notFound", "No such object: b/n"));
        for foreign in ["", "<html>404</html>", r#"{"error":"invalid_grant"}"#, "[1]"] {
            assert_eq!(read_answer(404, None, foreign), answer("", ""), "{foreign}");
        }
    }

    #[test]
    fn time_grows_with_the_body() {
        assert_eq!(time_for(0), Duration::from_mins(1));
        assert_eq!(time_for(256 * 1024 * 1024), Duration::from_secs(60 + 2048));
        assert!(time_for(u64::MAX) > Duration::from_hours(1));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_answer_belongs_to_its_operation() {
        let said = Answer { status: 503, ..Answer::default() };
        let ((), answer) = watched(async { note(Some(said.clone())) }).await;
        assert_eq!(answer, Some(said));
        note(Some(Answer::default()));
        assert_eq!(watched(async {}).await.1, None);
    }
}
