//! The HTTP client below the S3 store: `object_store`'s own, watched.
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
    /// S3's error code; empty where the answer has no body.
    pub(super) code: String,
    /// S3's message.
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

fn note(answer: Option<Answer>) {
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
        note(Some(Answer {
            status: parts.status.as_u16(),
            code: element(&text, "Code").unwrap_or_default(),
            message: element(&text, "Message").unwrap_or_default(),
        }));
        Ok(HttpResponse::from_parts(parts, text.into()))
    }
}

/// The text of the first element `name` of an XML answer.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, behind) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = behind.split_once(&format!("</{name}>"))?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let text = text.replace("&#34;", "\"");
    let text = text.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&");
    Some(text.chars().filter(|c| !c.is_control()).take(500).collect())
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
