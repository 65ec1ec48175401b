//! Where archived files go: `[archive]` and the bucket of `[s3]`; `clouds` has the others'.

use std::time::Duration;

use super::super::keys::{self, Key};
use super::super::secret::Secret;
use super::super::typed::{Archive, ArchiveTarget, Layout, S3Target, Sse, Tag};
use super::checker::Checker;
use super::clouds;
use crate::types::{AvroSchema, Format};
use crate::url::{self, ArchiveUrl, Bucket, UrlError};

/// What an object store allows each object.
const MOST_TAGS: usize = 10;

pub(super) fn archive(check: &mut Checker<'_>) -> Option<Archive> {
    let target = target(check);
    let publish_deadline = check.time(&keys::PUBLISH_DEADLINE, Duration::from_secs(1));
    let layout = check.word(&keys::LAYOUT, Layout::WORDS, Layout::parse);
    let mut format = check.word(&keys::FORMAT, &Format::ALL.map(Format::as_str), Format::parse);
    let schemas = AvroSchema::ALL.map(AvroSchema::as_str);
    let mut avro_schema = check.word(&keys::AVRO_SCHEMA, &schemas, AvroSchema::parse);
    if layout == Some(Layout::KafkaStore) {
        let what = "layout = kafka_store has its own";
        if check.is_set(&keys::FORMAT) && format.is_some_and(|format| format != Format::Avro) {
            check.problem(&keys::FORMAT, what, "remove the line, or set it to avro");
        }
        let full = avro_schema == Some(AvroSchema::Full);
        if check.is_set(&keys::AVRO_SCHEMA) && full {
            check.problem(&keys::AVRO_SCHEMA, what, "remove the line, or set it to plain");
        }
        (format, avro_schema) = (Some(Format::Avro), Some(AvroSchema::Plain));
    }
    schema(check, format, avro_schema);
    Some(Archive {
        target: target?,
        layout: layout?,
        format: format?,
        avro_schema: avro_schema?,
        publish_deadline: publish_deadline?,
    })
}

/// A schema for files that are none of Avro, and one that does not hold everything.
fn schema(check: &mut Checker<'_>, format: Option<Format>, schema: Option<AvroSchema>) {
    let key = &keys::AVRO_SCHEMA;
    if schema != Some(AvroSchema::Plain) {
        return;
    }
    if format.is_some_and(|format| format != Format::Avro) {
        check.warning(key, "it has no effect without format = avro", "remove the line");
    } else {
        let what = "kafka_store's schema has no headers and no types of timestamps";
        check.warning(key, what, "keep it only for readers that know nothing else");
    }
}

/// The database of the catalogue, if there is one.
#[expect(clippy::option_option, reason = "outside: wrong, inside: none")]
pub(super) fn catalog(check: &mut Checker<'_>) -> Option<Option<Secret>> {
    check.optional(&keys::CATALOG_URL, url::DATABASES, |text| {
        url::Database::of_url(text).map(|_| Secret::new(text))
    })
}

/// The place that `[archive] url` or `[s3] s3_bucket_name` names: exactly one of them.
pub(super) fn target(check: &mut Checker<'_>) -> Option<ArchiveTarget> {
    let (url, bucket) = (&keys::ARCHIVE_URL, &keys::S3_BUCKET_NAME);
    match (check.is_set(url), check.is_set(bucket)) {
        (true, true) => {
            let what = "both this and [s3] s3_bucket_name say where the archive is";
            check.problem(url, what, "remove one of them; no prefix is added to an url");
            access(check);
            None
        }
        (false, false) => {
            let what = "nothing says where the archive is";
            check.problem(bucket, what, format!("set it, or [archive] url = {}", url::EXPECTED));
            access(check);
            None
        }
        (false, true) => {
            unused(check, &[clouds::GCS, clouds::AZURE]);
            let name = check.parse(bucket, BUCKET, url::bucket_name);
            let prefix = check.parse(&keys::S3_PREFIX, url::PREFIX, url::prefix);
            s3(check, name, prefix)
        }
        (true, false) => from_url(check),
    }
}

fn from_url(check: &mut Checker<'_>) -> Option<ArchiveTarget> {
    let key = &keys::ARCHIVE_URL;
    let text = check.peek(key)?;
    if check.is_set(&keys::S3_PREFIX) {
        let what = "the key has no effect beside [archive] url, which holds the prefix itself";
        check.warning(&keys::S3_PREFIX, what, "remove the line");
    }
    match ArchiveUrl::parse(text) {
        Ok(ArchiveUrl::S3(Bucket { name, prefix })) => {
            unused(check, &[clouds::GCS, clouds::AZURE]);
            s3(check, Some(name), Some(prefix))
        }
        Ok(ArchiveUrl::Gcs(bucket)) => {
            unused(check, &[BUCKET_KEYS, clouds::AZURE]);
            clouds::gcs(check, bucket)
        }
        Ok(ArchiveUrl::Azure { container, account }) => {
            unused(check, &[BUCKET_KEYS, clouds::GCS]);
            clouds::azure(check, container, account)
        }
        Ok(ArchiveUrl::Dir(path)) => {
            unused(check, &[BUCKET_KEYS, clouds::GCS, clouds::AZURE]);
            Some(ArchiveTarget::Dir { path })
        }
        Err(UrlError::Form(expected)) => {
            check.not(key, expected);
            access(check);
            None
        }
        Err(UrlError::Scheme) => {
            let what = format!("{} is no url of an archive", check.shown(key));
            check.problem(key, what, format!("use {}", url::EXPECTED));
            access(check);
            None
        }
    }
}

/// How a bucket of S3 is reached and what is made in it.
const BUCKET_KEYS: &[&Key] = &[
    &keys::S3_ENDPOINT,
    &keys::S3_REGION,
    &keys::S3_ACCESS_KEY,
    &keys::S3_SECRET_KEY,
    &keys::S3_STORAGE_CLASS,
    &keys::S3_SSE,
    &keys::S3_TAGS,
];

/// Settings of one store do nothing for another.
fn unused(check: &mut Checker<'_>, keys: &[&[&Key]]) {
    for key in keys.iter().copied().flatten() {
        if check.is_set(key) {
            let what = "the key has no effect on an archive that is elsewhere";
            check.warning(key, what, "remove the line");
        }
    }
}

/// Everything about access and objects, which is the same for both ways to name the bucket.
struct Reach {
    endpoint: Option<String>,
    region: Option<String>,
    access_key: Option<Secret>,
    secret_key: Option<Secret>,
    storage_class: Option<String>,
    sse: Option<Sse>,
    tags: Vec<Tag>,
}

fn s3(
    check: &mut Checker<'_>,
    bucket: Option<String>,
    prefix: Option<String>,
) -> Option<ArchiveTarget> {
    let access = access(check)?;
    Some(ArchiveTarget::S3(S3Target {
        bucket: bucket?,
        prefix: prefix?,
        endpoint: access.endpoint,
        region: access.region,
        access_key: access.access_key,
        secret_key: access.secret_key,
        storage_class: access.storage_class,
        sse: access.sse,
        tags: access.tags,
    }))
}

fn access(check: &mut Checker<'_>) -> Option<Reach> {
    let endpoint =
        check.optional(&keys::S3_ENDPOINT, "https://HOST:PORT or http://HOST:PORT", endpoint);
    let region = check.optional(&keys::S3_REGION, "the name of a region, like eu-west-1", |text| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        text.bytes().all(legal).then(|| text.to_owned())
    });
    let credentials = credentials(check);
    let storage_class = storage_class(check);
    let sse = check.optional(
        &keys::S3_SSE,
        "one of AES256, aws:kms, aws:kms:KEY, aws:kms:dsse, aws:kms:dsse:KEY",
        sse,
    );
    let tags = check.parse(&keys::S3_TAGS, TAGS, tags);
    let (access_key, secret_key) = credentials?;
    Some(Reach {
        endpoint: endpoint?,
        region: region?,
        access_key,
        secret_key,
        storage_class: storage_class?,
        sse: sse?,
        tags: tags?,
    })
}

/// Both keys or none.
fn credentials(check: &mut Checker<'_>) -> Option<(Option<Secret>, Option<Secret>)> {
    let (access, secret) = (&keys::S3_ACCESS_KEY, &keys::S3_SECRET_KEY);
    let lonely = |check: &mut Checker<'_>, missing: &Key, there: &Key| {
        let what = format!("{} is set, so this has to be too", there.name);
        check.problem(missing, what, "set both, or none for the AWS chain of credentials");
    };
    match (check.is_set(access), check.is_set(secret)) {
        (true, false) => lonely(check, secret, access),
        (false, true) => lonely(check, access, secret),
        (false, false) => return Some((None, None)),
        (true, true) => {}
    }
    let read = |key| check.peek(key).filter(|text| !text.is_empty()).map(Secret::new);
    let (access_key, secret_key) = (read(access), read(secret));
    (access_key.is_some() && secret_key.is_some()).then_some((access_key, secret_key))
}

#[expect(clippy::option_option, reason = "outside: wrong, inside: the bucket's own")]
fn storage_class(check: &mut Checker<'_>) -> Option<Option<String>> {
    let key = &keys::S3_STORAGE_CLASS;
    let class = check.optional(
        key,
        "a storage class, like STANDARD_IA or INTELLIGENT_TIERING",
        |text| {
            let class = text.to_ascii_uppercase();
            class.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(class)
        },
    )?;
    if class.as_deref().is_some_and(|class| matches!(class, "GLACIER" | "DEEP_ARCHIVE")) {
        let what = "objects of this class can't be read until they are restored";
        check.warning(key, what, "GLACIER_IR can be read at once");
    }
    Some(class)
}

const BUCKET: &str = "the name of a bucket: 3 to 63 of a-z 0-9 . - and no slash";

/// With its scheme, which is https unless it says http; no user, no path.
pub(super) fn endpoint(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = scheme.to_ascii_lowercase();
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let odd = |c: char| c.is_whitespace() || "/@?#\\\"".contains(c);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let fits =
        matches!(scheme.as_str(), "http" | "https") && !name.is_empty() && !host.contains(odd);
    (fits && port_fits).then(|| format!("{scheme}://{host}"))
}

fn sse(text: &str) -> Option<Sse> {
    let key = |text: &str| {
        (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned())
    };
    match text {
        "AES256" => Some(Sse::Aes256),
        "aws:kms" => Some(Sse::Kms { key: None }),
        "aws:kms:dsse" => Some(Sse::KmsDsse { key: None }),
        _ => match text.strip_prefix("aws:kms:dsse:") {
            Some(name) => key(name).map(|key| Sse::KmsDsse { key: Some(key) }),
            None => {
                text.strip_prefix("aws:kms:").and_then(key).map(|key| Sse::Kms { key: Some(key) })
            }
        },
    }
}

const TAGS: &str =
    "a comma-separated list of at most 10 KEY=VALUE of letters, digits, blanks and + - . _ : / @";

fn tags(text: &str) -> Option<Vec<Tag>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let tags: Vec<Tag> = text.split(',').map(tag).collect::<Option<_>>()?;
    let twice = |(n, tag): (usize, &Tag)| tags.iter().take(n).any(|other| other.key == tag.key);
    (tags.len() <= MOST_TAGS && !tags.iter().enumerate().any(twice)).then_some(tags)
}

fn tag(text: &str) -> Option<Tag> {
    let legal = |c: char| c.is_alphanumeric() || " +-._:/@".contains(c);
    let (key, value) = text.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let fits = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
    let fits = fits && key.chars().all(legal) && value.chars().all(legal);
    fits.then(|| Tag { key: key.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_unless_they_say_http() {
        for (text, url) in [
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("HTTPS://s3.example.com/", "https://s3.example.com"),
            ("minio:9000", "https://minio:9000"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(endpoint(text).as_deref(), Some(url));
        }
        for text in ["ftp://x", "http://", "http://u:p@h", "http://h/path", "h:0", "h:x", ":1"] {
            assert_eq!(endpoint(text), None, "{text}");
        }
    }

    #[test]
    fn encryption_and_tags_read() {
        assert_eq!(sse("AES256"), Some(Sse::Aes256));
        for text in ["aws:kms", "aws:kms:arn:aws:kms:x:key/1", "aws:kms:dsse", "aws:kms:dsse:k"] {
            assert_eq!(sse(text).map(|sse| sse.to_string()).as_deref(), Some(text));
        }
        assert_eq!((sse("aws:kms:"), sse("none"), sse("aws:kms:dsse:")), (None, None, None));
        assert_eq!(tags(" "), Some(vec![]));
        let tag = |key: &str, value: &str| Tag { key: key.into(), value: value.into() };
        assert_eq!(tags("team=data , env="), Some(vec![tag("team", "data"), tag("env", "")]));
        for text in ["team", "=x", "a=1,a=2", "a=1,", "a=b=c", &["k=v"; 11].join(",")] {
            assert_eq!(tags(text), None, "{text}");
        }
    }
}
