//! A client of Google Cloud Storage's JSON API, which Google's own libraries speak too.
//!
//! The XML API, by which `object_store` reaches GCS, says as much of a bucket that is there; but it
//! takes no checksum of a body that comes in one request, and emulators know but parts of it. Here
//! a create is one `uploadType=multipart` request with `ifGenerationMatch=0`: metadata, the body's
//! CRC-32C (which the server holds against what arrived), and the body. Credentials are
//! `object_store`'s.
//!
//! GCS says `notFound` of an object and of a bucket alike, and means it in its words; where the
//! words don't tell (emulators), one listing of at most one name does. The classes of answers are told
//! so in codes of our own.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use crc_fast::{CrcAlgorithm, Digest};
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::client::{HttpClient, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::gcp::GcpCredentialProvider;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyOptions, Error, Extensions, GetOptions, GetRange, GetResult,
    GetResultPayload, HeaderValue, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::answers::{NO_BUCKET, NO_OBJECT};
use super::bucket::{content_type, retries};
use super::http::{Answer, last_answer, note};

/// What stands in an URL as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A client of one bucket.
#[derive(Debug, Clone)]
pub(super) struct GcsClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: HttpClient,
    /// Scheme and host.
    base: String,
    bucket: String,
    /// None: nobody asks who we are (an emulator).
    credentials: Option<GcpCredentialProvider>,
}

/// A refusal; what it said is noted for whoever watches.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {0}")]
struct Refused(u16);

/// An answer that is none of GCS.
#[derive(Debug, thiserror::Error)]
#[error("the answer does not read: {0}")]
struct Unreadable(String);

fn unreadable(what: impl fmt::Display) -> Error {
    Error::Generic { store: "GCS", source: Box::new(Unreadable(what.to_string())) }
}

/// What GCS says of an object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    /// A number, as a text.
    size: String,
    updated: DateTime<Utc>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl Resource {
    fn meta(&self) -> Result<ObjectMeta> {
        Ok(ObjectMeta {
            location: Path::parse(&self.name)?,
            last_modified: self.updated,
            size: self.size.parse().map_err(unreadable)?,
            e_tag: None,
            version: None,
        })
    }
}

/// A page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Resource>,
    #[serde(default)]
    prefixes: Vec<String>,
    next_page_token: Option<String>,
}

/// What we say of an object to be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NewResource<'a> {
    name: &'a str,
    content_type: &'a str,
    crc32c: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_class: Option<&'a str>,
    metadata: BTreeMap<&'a str, &'a str>,
}

/// What a request is made of, so that it can be made again.
struct Call<'a> {
    method: &'a str,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: HttpRequestBody,
}

impl<'a> Call<'a> {
    fn new(method: &'a str, url: String) -> Self {
        Self { method, url, headers: Vec::new(), body: HttpRequestBody::empty() }
    }
}

impl GcsClient {
    pub(super) fn new(
        http: HttpClient,
        base: String,
        bucket: String,
        credentials: Option<GcpCredentialProvider>,
    ) -> Self {
        Self(Arc::new(Inner { http, base, bucket, credentials }))
    }

    fn objects(&self) -> String {
        format!("{}/storage/v1/b/{}/o", self.0.base, encoded(&self.0.bucket))
    }

    fn object(&self, path: &Path) -> String {
        format!("{}/{}", self.objects(), encoded(path.as_ref()))
    }

    async fn request(&self, call: &Call<'_>) -> Result<HttpRequest> {
        let mut request = HttpRequest::new(call.body.clone());
        *request.method_mut() = call.method.parse().map_err(unreadable)?;
        *request.uri_mut() = call.url.parse().map_err(unreadable)?;
        let headers = request.headers_mut();
        headers.insert("content-length", call.body.content_length().into());
        for (name, value) in &call.headers {
            headers.insert(*name, HeaderValue::from_str(value).map_err(unreadable)?);
        }
        if let Some(credentials) = &self.0.credentials {
            let token = format!("Bearer {}", credentials.get_credential().await?.bearer);
            let mut value = HeaderValue::from_str(&token).map_err(unreadable)?;
            value.set_sensitive(true);
            headers.insert("authorization", value);
        }
        Ok(request)
    }

    /// Makes a request, and again where it may pass: as often and as long as the other clients.
    async fn send(&self, call: &Call<'_>) -> Result<HttpResponse> {
        let patience = retries();
        let give_up = tokio::time::Instant::now() + patience.retry_timeout;
        let mut wait = patience.backoff.init_backoff;
        let mut left = patience.max_retries;
        loop {
            let request = self.request(call).await?;
            let (error, passes) = match self.0.http.execute(request).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let status = response.status().as_u16();
                    let passes = matches!(status, 408 | 429 | 500..=599);
                    (Error::Generic { store: "GCS", source: Box::new(Refused(status)) }, passes)
                }
                Err(e) => {
                    use HttpErrorKind::{Connect, Interrupted, Request};
                    let passes = matches!(e.kind(), Connect | Interrupted | Request);
                    (Error::Generic { store: "GCS", source: Box::new(e) }, passes)
                }
            };
            if !passes || left == 0 || tokio::time::Instant::now() + wait >= give_up {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            left -= 1;
            wait = times(wait, patience.backoff.base);
        }
    }

    async fn read_json<T: serde::de::DeserializeOwned>(&self, url: String) -> Result<T> {
        let response = self.send(&Call::new("GET", url)).await?;
        let bytes = response.into_body().bytes().await.map_err(broken)?;
        serde_json::from_slice(&bytes).map_err(unreadable)
    }

    async fn resource(&self, path: &Path) -> Result<Resource> {
        match self.read_json(self.object(path)).await {
            Err(error) => Err(self.explained(error).await),
            found => found,
        }
    }

    /// Says in a code what a 404 is about.
    async fn explained(&self, error: Error) -> Error {
        let Some(answer @ Answer { status: 404, .. }) = last_answer() else { return error };
        let code = if answer.message.contains("No such object") {
            NO_OBJECT
        } else if answer.message.contains("bucket does not exist") {
            NO_BUCKET
        } else if answer.code == "notFound" {
            match self.page(&[("maxResults", "1")]).await {
                Ok(_) => NO_OBJECT,
                Err(error) => match last_answer() {
                    Some(Answer { status: 404, .. }) => NO_BUCKET,
                    _ => return error,
                },
            }
        } else {
            // Not GCS' words: a proxy's.
            return error;
        };
        note(Some(Answer { code: code.to_owned(), ..answer }));
        error
    }

    async fn page(&self, query: &[(&str, &str)]) -> Result<Page> {
        let query: Vec<_> = query.iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
        let fields = "fields=items(name,size,updated),prefixes,nextPageToken";
        self.read_json(format!("{}?{fields}&{}", self.objects(), query.join("&"))).await
    }

    /// All pages of a listing; `query` is the same for each.
    async fn pages(&self, prefix: Option<&Path>, query: &[(&str, &str)]) -> Result<Vec<Page>> {
        let prefix = prefix.map(|path| format!("{path}/")).filter(|prefix| prefix != "/");
        let mut pages = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.extend(prefix.as_ref().map(|prefix| ("prefix", prefix.as_str())));
            query.extend(token.as_ref().map(|token| ("pageToken", token.as_str())));
            let page = self.page(&query).await?;
            token = page.next_page_token.clone().filter(|token| !token.is_empty());
            pages.push(page);
            if token.is_none() {
                return Ok(pages);
            }
        }
    }

    fn objects_from(
        &self,
        prefix: Option<&Path>,
        from: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (client, prefix, from) = (self.clone(), prefix.cloned(), from.cloned());
        let all = async move {
            let from = from.as_ref().map(|from| ("startOffset", from.as_ref()));
            let pages = client.pages(prefix.as_ref(), from.as_slice()).await?;
            let items = pages.into_iter().flat_map(|page| page.items);
            // What folders' markers are called is no path; nothing of ours ends in a slash.
            let ours = items.filter(|item| !item.name.ends_with('/'));
            Ok::<_, Error>(stream::iter(ours.map(|item| item.meta())))
        };
        stream::once(all).try_flatten().boxed()
    }

    /// A part of the object, or all of it.
    async fn media(&self, path: &Path, range: Option<GetRange>) -> Result<GetResult> {
        let mut call = Call::new("GET", format!("{}?alt=media", self.object(path)));
        call.headers.extend(range.as_ref().map(|range| ("range", range.to_string())));
        let response = match self.send(&call).await {
            Ok(response) => response,
            Err(error) => {
                // A body that is asked for is refused in plain words.
                return match last_answer() {
                    Some(Answer { status: 404, .. }) => match self.resource(path).await {
                        Err(said) => Err(said),
                        Ok(_) => Err(error),
                    },
                    _ => Err(error),
                };
            }
        };
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let (range, size) = match header("content-range") {
            Some(text) => content_range(text).ok_or_else(|| unreadable(text))?,
            None if matches!(range, None | Some(GetRange::Suffix(_))) => {
                let text = header("content-length").unwrap_or_default();
                let size = text.parse().map_err(|_| unreadable("it has no length"))?;
                (0..size, size)
            }
            None => return Err(unreadable("a range was asked for, and all of it came")),
        };
        let updated = header("last-modified").and_then(|t| DateTime::parse_from_rfc2822(t).ok());
        let meta = ObjectMeta {
            location: path.clone(),
            last_modified: updated.unwrap_or_default().into(),
            size,
            e_tag: None,
            version: None,
        };
        let body = response.into_body().bytes_stream().map_err(broken).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(body),
            meta,
            range,
            attributes: Attributes::new(),
            extensions: Extensions::default(),
        })
    }
}

fn broken(error: object_store::client::HttpError) -> Error {
    Error::Generic { store: "GCS", source: Box::new(error) }
}

fn times(wait: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(wait)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// `bytes 0-9/100`, the end inclusive.
fn content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((first..last.checked_add(1)?, size.parse().ok()?))
}

/// The body of a create: what is said of the object, and the object.
fn multipart(
    path: &Path,
    payload: &PutPayload,
    options: &PutOptions,
) -> Result<(PutPayload, String)> {
    let random = || getrandom::u64().map_err(unreadable);
    // 128 random bits, that no object holds.
    let boundary = format!("kafkatos3-{:016x}{:016x}", random()?, random()?);
    let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
    payload.iter().for_each(|piece| crc.update(piece));
    let crc = u32::try_from(crc.finalize()).map_err(unreadable)?;
    let end = path.as_ref().rsplit('.').next().unwrap_or_default();
    let mut resource = NewResource {
        name: path.as_ref(),
        content_type: content_type(end),
        crc32c: STANDARD.encode(crc.to_be_bytes()),
        storage_class: None,
        metadata: BTreeMap::new(),
    };
    for (key, value) in &options.attributes {
        match key {
            Attribute::Metadata(key) => drop(resource.metadata.insert(key, value)),
            Attribute::StorageClass => resource.storage_class = Some(value),
            _ => {}
        }
    }
    let json = serde_json::to_string(&resource).map_err(unreadable)?;
    let head = format!(
        "--{boundary}\r\nContent-Type: application/json\r\n\r\n{json}\r\n--{boundary}\r\n\
         Content-Type: {}\r\n\r\n",
        resource.content_type
    );
    let pieces = std::iter::once(Bytes::from(head))
        .chain(payload.iter().cloned())
        .chain([Bytes::from(format!("\r\n--{boundary}--\r\n"))]);
    Ok((pieces.collect(), format!("multipart/related; boundary={boundary}")))
}

impl fmt::Display for GcsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gs://{}", self.0.bucket)
    }
}

#[async_trait]
impl ObjectStore for GcsClient {
    /// Creates only: nothing of ours is ever written over.
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let (body, kind) = multipart(location, &payload, &options)?;
        let bucket = encoded(&self.0.bucket);
        let url = format!(
            "{}/upload/storage/v1/b/{bucket}/o?uploadType=multipart&ifGenerationMatch=0&name={}",
            self.0.base,
            encoded(location.as_ref())
        );
        let call = Call {
            headers: vec![("content-type", kind)],
            body: body.into(),
            ..Call::new("POST", url)
        };
        self.send(&call).await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Extensions::default() })
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "put_multipart".into(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !options.head {
            return self.media(location, options.range).await;
        }
        let resource = self.resource(location).await?;
        let meta = resource.meta()?;
        let pair = |(key, value): (String, String)| {
            (Attribute::Metadata(key.into()), object_store::AttributeValue::from(value))
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::empty().boxed()),
            range: 0..meta.size,
            meta,
            attributes: resource.metadata.into_iter().map(pair).collect(),
            extensions: Extensions::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let client = self.clone();
        let delete = move |path: Path| {
            let client = client.clone();
            async move {
                client.send(&Call::new("DELETE", client.object(&path))).await?;
                Ok(path)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects_from(prefix, None)
    }

    /// From `offset` on; the caller leaves it out itself.
    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects_from(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut result = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: Extensions::default(),
        };
        for page in self.pages(prefix, &[("delimiter", "/")]).await? {
            for prefix in page.prefixes {
                result.common_prefixes.push(Path::parse(prefix)?);
            }
        }
        Ok(result)
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".into(), implementer: self.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read() {
        assert_eq!(content_range("bytes 0-9/100"), Some((0..10, 100)));
        for text in
            ["", "bytes */100", "bytes 0--1/0", "bytes 5-x/9", "bytes 0-18446744073709551615/1"]
        {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn a_create_says_what_it_brings() {
        let path = Path::parse("p/t/000000/0.mak.gz").unwrap();
        let pieces = [Bytes::from_static(b"1234"), Bytes::from_static(b"56789")];
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata("kind".into()), "data".into());
        attributes.insert(Attribute::StorageClass, "NEARLINE".into());
        let options = PutOptions { attributes, ..PutOptions::default() };
        let (body, kind) = multipart(&path, &pieces.into_iter().collect(), &options).unwrap();
        let boundary = kind.split_once("boundary=").unwrap().1;
        let bytes: Vec<u8> = body.iter().flatten().copied().collect();
        let text = String::from_utf8(bytes).unwrap();
        let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
        assert_eq!((parts.len(), parts[3]), (4, "--\r\n"));
        // The check value of CRC-32C is that of the digits from 1 to 9.
        let crc = STANDARD.encode(0xe306_9283_u32.to_be_bytes());
        assert!(parts[1].contains(&format!("\"crc32c\":\"{crc}\"")), "{text}");
        assert!(parts[1].contains(r#""metadata":{"kind":"data"}"#), "{text}");
        assert!(parts[1].contains(r#""storageClass":"NEARLINE""#), "{text}");
        assert_eq!(parts[2], "\r\nContent-Type: application/gzip\r\n\r\n123456789\r\n");
    }
}
