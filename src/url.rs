//! Where an archive is, as people write it: `s3://bucket/prefix`, `gs://bucket/prefix`,
//! `az://container/prefix`, `file:///directory`.
//!
//! Pure. What is read here is safe to build names from: buckets and prefixes hold nothing but
//! plain characters, no empty part, no `.` and no `..`. No URL carries a secret.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// What an archive's URL looks like.
pub const EXPECTED: &str =
    "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///DIRECTORY";

/// What may stand behind a prefix's slash.
pub const PREFIX: &str =
    "a prefix of names that are parted by single slashes, none of them . or ..";

/// Why a text is no URL of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It begins with no scheme that is known.
    #[error("begins with nothing that is known here; use {EXPECTED}")]
    Scheme,
    /// The scheme is known, and what follows does not fit it.
    #[error("is not {0}")]
    Form(&'static str),
}

/// An archive's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveUrl {
    /// A bucket of S3 or of something that speaks S3.
    S3(Bucket),
    /// A bucket of Google Cloud Storage.
    Gcs(Bucket),
    /// A container of Azure Blob Storage.
    Azure {
        /// The container and the prefix in it.
        container: Bucket,
        /// The storage account, if the URL names it.
        account: Option<AzureAccount>,
    },
    /// A directory, by its whole path.
    Dir(PathBuf),
}

/// A bucket (a container), and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What all names begin with, without slashes at its ends; may be empty.
    pub prefix: String,
}

/// A storage account of Azure: `NAME.blob.DOMAIN` is where it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureAccount {
    /// Its name.
    pub name: String,
    /// `core.windows.net`, or what another cloud of Azure has.
    pub domain: String,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => f.write_str(&self.name),
            prefix => write!(f, "{}/{prefix}", self.name),
        }
    }
}

impl ArchiveUrl {
    /// Reads an URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => bucket(rest)
                .map(Self::S3)
                .ok_or(UrlError::Form("s3://BUCKET or s3://BUCKET/PREFIX")),
            "gs" => bucket(rest)
                .map(Self::Gcs)
                .ok_or(UrlError::Form("gs://BUCKET or gs://BUCKET/PREFIX")),
            "az" | "azure" | "abfs" | "abfss" => azure(rest).ok_or(UrlError::Form(
                "az://CONTAINER/PREFIX or az://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX",
            )),
            "file" => directory(rest)
                .map(Self::Dir)
                .ok_or(UrlError::Form("file:///DIRECTORY with its whole path")),
            _ => Err(UrlError::Scheme),
        }
    }
}

impl fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(bucket) => write!(f, "s3://{bucket}"),
            Self::Gcs(bucket) => write!(f, "gs://{bucket}"),
            Self::Azure { container, account: None } => write!(f, "az://{container}"),
            Self::Azure { container: Bucket { name, prefix }, account: Some(account) } => {
                let AzureAccount { name: account, domain } = account;
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "az://{name}@{account}.blob.{domain}{slash}{prefix}")
            }
            Self::Dir(path) => write!(f, "file://{}", path.display()),
        }
    }
}

fn bucket(rest: &str) -> Option<Bucket> {
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some(Bucket { name: bucket_name(name)?, prefix: prefix(path)? })
}

/// The ways in which Azure's own tools and the common libraries spell it.
fn azure(rest: &str) -> Option<ArchiveUrl> {
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, account) = match place.split_once('@') {
        None => (place, None),
        Some((name, host)) => (name, Some(azure_account(host)?)),
    };
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let special = matches!(name, "$root" | "$logs" | "$web");
    let fits = (3..=63).contains(&name.len()) && name.bytes().all(legal) && !special;
    let container = Bucket { name: fits.then(|| name.to_owned())?, prefix: prefix(path)? };
    Some(ArchiveUrl::Azure { container, account })
}

/// `ACCOUNT.blob.DOMAIN`, or `.dfs.`, by which the same account answers to another protocol.
fn azure_account(host: &str) -> Option<AzureAccount> {
    let (name, rest) = host.split_once('.')?;
    let domain = rest.strip_prefix("blob.").or_else(|| rest.strip_prefix("dfs."))?;
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    let fits = !domain.is_empty() && domain.bytes().all(legal);
    (fits && is_azure_account(name))
        .then(|| AzureAccount { name: name.to_owned(), domain: domain.to_owned() })
}

/// Whether `name` can be a storage account's.
#[must_use]
pub fn is_azure_account(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (3..=24).contains(&name.len()) && name.bytes().all(legal)
}

/// A bucket's name, if it can be one.
#[must_use]
pub fn bucket_name(text: &str) -> Option<String> {
    // Old buckets, and other stores', have capitals and underscores too.
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    ((3..=255).contains(&text.len()) && text.bytes().all(legal)).then(|| text.to_owned())
}

/// A prefix without slashes at its ends, if it is plain.
#[must_use]
pub fn prefix(text: &str) -> Option<String> {
    let inner = text.strip_prefix('/').unwrap_or(text);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let legal = |part: &str| {
        let odd = |c: char| c.is_control() || c.is_whitespace() || "\\?#%*\"<>|".contains(c);
        !matches!(part, "" | "." | "..") && !part.contains(odd)
    };
    let fits = inner.is_empty() || inner.split('/').all(legal);
    (fits && inner.len() <= 512).then(|| inner.to_owned())
}

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// MySQL or MariaDB.
    MySql,
    /// PostgreSQL.
    Postgres,
    /// A file of SQLite.
    Sqlite,
}

/// What a database's URL looks like.
pub const DATABASES: &str = "mysql://USER:PASSWORD@HOST:PORT/DATABASE, postgres://USER:PASSWORD@HOST:PORT/DATABASE \
                             or sqlite:///FILE";

impl Database {
    /// The kind that `url` names, if it can be one.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let kind = match scheme {
            "mysql" | "mariadb" => Self::MySql,
            "postgres" | "postgresql" => Self::Postgres,
            "sqlite" => Self::Sqlite,
            _ => return None,
        };
        (!rest.is_empty() && !url.contains(char::is_whitespace)).then_some(kind)
    }
}

/// A database's URL without what may be secret: user, password, parameters.
#[must_use]
pub fn shown_database(url: &str) -> String {
    let place = url.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = place.split_once("://") else { return "the database".to_owned() };
    // A password may hold an "@", and even a "/".
    let place = rest.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{place}")
}

fn directory(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path.components().all(|part| part != Component::ParentDir);
    (path.is_absolute() && plain).then(|| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_and_print() {
        for (text, printed) in [
            ("s3://bkt", "s3://bkt"),
            ("S3://bkt/a/b/", "s3://bkt/a/b"),
            ("gs://bkt/a=1", "gs://bkt/a=1"),
            ("az://box/a", "az://box/a"),
            ("azure://box", "az://box"),
            (
                "abfss://box@acct1.dfs.core.windows.net/a/b",
                "az://box@acct1.blob.core.windows.net/a/b",
            ),
            (
                "az://box@acct1.blob.core.chinacloudapi.cn",
                "az://box@acct1.blob.core.chinacloudapi.cn",
            ),
            ("file:///a/b/", "file:///a/b"),
        ] {
            let url = ArchiveUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), printed);
            assert_eq!(ArchiveUrl::parse(printed), Ok(url));
        }
        for text in
            ["", "bucket", "/a", "ftp://x", "https://acct1.blob.core.windows.net/box", "gcs://bkt"]
        {
            assert_eq!(ArchiveUrl::parse(text), Err(UrlError::Scheme), "{text}");
        }
        for text in [
            "s3://",
            "s3://a b/c",
            "s3://bkt/a//x",
            "gs://ab",
            "gs://bkt/..",
            "az://Box",
            "az://box@host/a",
            "az://box@acct1.blob./a",
            "az://a@b@acct1.blob.core.windows.net",
            "file://a",
            "file:///a/../b",
        ] {
            assert!(matches!(ArchiveUrl::parse(text), Err(UrlError::Form(_))), "{text}");
        }
    }

    #[test]
    fn databases_are_known_and_shown_without_secrets() {
        for (url, kind, shown) in [
            ("mysql://u:p@h:3306/d", Some(Database::MySql), "mysql://h:3306/d"),
            ("mariadb://h/d", Some(Database::MySql), "mariadb://h/d"),
            ("postgres://u:p@@/x@h/d?password=p", Some(Database::Postgres), "postgres://h/d"),
            ("postgresql://h/d", Some(Database::Postgres), "postgresql://h/d"),
            ("sqlite:///var/x.db", Some(Database::Sqlite), "sqlite:///var/x.db"),
            ("oracle://u:p@h/d", None, "oracle://h/d"),
            ("secret", None, "the database"),
        ] {
            assert_eq!(
                (Database::of_url(url), shown_database(url).as_str()),
                (kind, shown),
                "{url}"
            );
        }
        assert_eq!(Database::of_url("mysql://"), None);
    }

    #[test]
    fn prefixes_are_plain() {
        for (text, plain) in [("", ""), ("/", ""), ("a/b/", "a/b"), ("/a", "a"), ("a=1/b", "a=1/b")]
        {
            assert_eq!(prefix(text).as_deref(), Some(plain), "{text}");
        }
        for text in ["a//b", "..", "a/./b", "a b", "a%2f", "a//"] {
            assert_eq!(prefix(text), None, "{text}");
        }
    }
}
