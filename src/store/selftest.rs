//! Finds out at start whether a store keeps the contract that exactly-once archiving stands on.
//!
//! Some look-alikes of S3 ignore `If-None-Match` without a word, some policies make a missing name
//! a 403. Both would only show when it is too late. The test works on one small object under
//! `@selftest/`, which it removes again if it may.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

use super::names::{Folder, Name};
use super::{Listed, ObjectInfo, Store, StoreError, ask};
use crate::fail::step;
use crate::meta::MetaMap;

/// One thing that a store must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// A random number can be drawn to name the object with.
    Random,
    /// A name that is absent answers "no such object".
    Missing,
    /// An object can be created.
    Create,
    /// A second create of the same name is refused, and changes nothing.
    SecondCreate,
    /// The object is there, with its size.
    Head,
    /// Its metadata comes back as it was given.
    Metadata,
    /// Its bytes, parts of them, and its end come back.
    Read,
    /// It shows in a listing.
    List,
}

impl Check {
    const fn title(self) -> &'static str {
        match self {
            Self::Random => "draw a random name",
            Self::Missing => "answer \"no such object\" (404) for a name that is absent",
            Self::Create => "create an object under @selftest/",
            Self::SecondCreate => "refuse to create a name that is taken",
            Self::Head => "tell of an object (HEAD)",
            Self::Metadata => "give an object's metadata back",
            Self::Read => "read parts of an object",
            Self::List => "list what was created",
        }
    }

    /// Whether it can't be tried where nothing could be created.
    const fn needs_object(self) -> bool {
        matches!(self, Self::SecondCreate | Self::Head | Self::Metadata | Self::Read)
    }

    /// What to do about a failure, as far as it is known.
    const fn advice(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Random, _) => "the operating system has no random numbers to give",
            (_, Kind::Dir) => {
                "the directory has to be writable, on a file system with hard links and POSIX \
                 semantics (not FAT, not most FUSE mounts of object stores)"
            }
            (_, Kind::S3) => self.advice_s3(),
            (_, Kind::Gcs) => self.advice_gcs(),
            (_, Kind::Azure) => self.advice_azure(),
        }
    }

    const fn advice_s3(self) -> &'static str {
        match self {
            Self::Missing => {
                "grant s3:ListBucket on the bucket and s3:GetObject on the prefix: without them S3 \
                 answers 403 for what is absent"
            }
            Self::Create => {
                "grant s3:PutObject (with a KMS key also kms:GenerateDataKey) on the prefix"
            }
            Self::SecondCreate => {
                "this server ignores If-None-Match on PUT, so two writers could overwrite each \
                 other; use a server or version that knows conditional writes"
            }
            Self::Head | Self::Read => {
                "grant s3:GetObject (with a KMS key also kms:Decrypt) on the prefix"
            }
            Self::Metadata => "this server or a proxy before it drops x-amz-meta-* headers",
            Self::List => {
                "grant s3:ListBucket on the bucket; a server whose listings lag can't be used"
            }
            Self::Random => "",
        }
    }

    const fn advice_gcs(self) -> &'static str {
        match self {
            Self::Missing => {
                "grant storage.objects.list and storage.objects.get (roles/storage.objectViewer): \
                 without the first one GCS answers 403 for what is absent"
            }
            Self::Create => "grant storage.objects.create (roles/storage.objectCreator)",
            Self::SecondCreate => {
                "this server ignores ifGenerationMatch=0, so two writers could overwrite each \
                 other; it can't be used"
            }
            Self::Head | Self::Read => "grant storage.objects.get (roles/storage.objectViewer)",
            Self::Metadata => "this server or a proxy before it drops metadata",
            Self::List => {
                "grant storage.objects.list (roles/storage.objectViewer); a server whose listings \
                 lag can't be used"
            }
            Self::Random => "",
        }
    }

    const fn advice_azure(self) -> &'static str {
        match self {
            Self::Missing | Self::Head | Self::Read => {
                "grant reading blobs (Storage Blob Data Reader; in a signature: r)"
            }
            Self::Create => {
                "grant creating blobs (blobs/add/action or blobs/write; in a signature: c)"
            }
            Self::SecondCreate => {
                "this server ignores If-None-Match on Put Blob, so two writers could overwrite \
                 each other; it can't be used"
            }
            Self::Metadata => "this server or a proxy before it drops x-ms-meta-* headers",
            Self::List => {
                "grant listing (Storage Blob Data Reader; in a signature of the container: l)"
            }
            Self::Random => "",
        }
    }
}

/// What kind of store it is, for the advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S3,
    Gcs,
    Azure,
    Dir,
}

impl Kind {
    fn of(store: &dyn Store) -> Self {
        match store.url().split_once("://") {
            Some(("gs", _)) => Self::Gcs,
            Some(("az", _)) => Self::Azure,
            Some(("file", _)) => Self::Dir,
            _ => Self::S3,
        }
    }
}

/// Why a check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The store refused.
    Store(StoreError),
    /// It answered, but wrongly.
    Wrong(String),
}

/// The check that failed, and what may be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The store's URL.
    pub store: String,
    /// What it did not do.
    pub check: Check,
    /// What it did instead.
    pub reason: Reason,
    kind: Kind,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.store, self.what())?;
        match self.remedy() {
            "" => Ok(()),
            remedy => write!(f, "; {remedy}"),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// What the store did not do, and what it did instead: "does not ...: ...".
    #[must_use]
    pub fn what(&self) -> String {
        match &self.reason {
            Reason::Store(e) => format!("does not {}: {e}", self.check.title()),
            Reason::Wrong(words) => format!("does not {}: {words}", self.check.title()),
        }
    }

    /// What to do about it; empty where nothing is known.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        // What can't be reached, or is not there, needs no advice about rights.
        match &self.reason {
            Reason::Store(StoreError::Unavailable { .. }) => "",
            Reason::Store(StoreError::Denied { credentials: true, .. }) => {
                "correct the credentials"
            }
            Reason::Store(StoreError::NoBucket { .. }) => "create it first, or correct its name",
            _ => self.check.advice(self.kind),
        }
    }

    /// Whether everything else would fail for the same reason.
    fn is_hopeless(&self) -> bool {
        use StoreError::{Denied, NoBucket, Unavailable};
        matches!(
            &self.reason,
            Reason::Store(Unavailable { .. } | NoBucket { .. } | Denied { credentials: true, .. })
        )
    }

    /// Whether the store was merely out of reach, so that the test may be repeated later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(&self.reason, Reason::Store(e) if e.is_transient())
    }

    /// The exit code of a command that ends with this (sysexits; design 12).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match &self.reason {
            Reason::Store(e) => e.exit_code(),
            Reason::Wrong(_) => 69,
        }
    }
}

const BODY: &[u8] = b"kafkatos3 self-test: this object may be removed\n";

/// What is tried, in this order.
const ORDER: [Check; 7] = [
    Check::Missing,
    Check::Create,
    Check::SecondCreate,
    Check::Head,
    Check::Metadata,
    Check::Read,
    Check::List,
];

/// Tries everything out, one check after the other, up to the first that fails.
pub async fn run(store: &dyn Store) -> Result<(), Failure> {
    let name = random_name(store)?;
    let mut result = Ok(());
    for check in ORDER {
        result = step(check, store, &name).await;
        if result.is_err() {
            break;
        }
    }
    // Not being allowed to remove is how it should be; the object does no harm.
    if let Err(e) = ask(step!("selftest.delete"), store.delete(&name)).await {
        log::debug!("self-test: its object stays: {e}");
    }
    result.map_err(|(check, reason)| fail(store, check, reason))
}

/// Everything that was found out about a store.
#[derive(Debug)]
pub struct Survey {
    /// What was tried and how it went, each check at most once, in order. What needs an object
    /// is missing where none could be created.
    pub found: Vec<(Check, Result<(), Failure>)>,
    /// Whether the object could be removed again; `None` if there was none.
    pub removed: Option<Result<(), StoreError>>,
    /// The store's clock, to the second.
    pub clock: Option<Clock>,
}

/// When an object was created, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Before it was created, by ours.
    pub before: SystemTime,
    /// After it was, by ours.
    pub after: SystemTime,
    /// When it was, by the store's.
    pub store: SystemTime,
}

/// Tries everything out that can be, also behind a failure: for people, who want to know all of it
/// at once. Removes its object again, if it may and if it is not dropped before.
pub async fn survey(store: &dyn Store) -> Survey {
    let mut survey = Survey { found: Vec::new(), removed: None, clock: None };
    let name = match random_name(store) {
        Ok(name) => name,
        Err(failure) => {
            survey.found.push((Check::Random, Err(failure)));
            return survey;
        }
    };
    let mut created = false;
    for check in ORDER {
        if !created && check.needs_object() {
            continue;
        }
        let before = SystemTime::now();
        let result = match check {
            Check::List if !created => listing(store).await.map(drop),
            _ => step(check, store, &name).await,
        };
        let after = SystemTime::now();
        created |= check == Check::Create && result.is_ok();
        let (check, result) = match result {
            Ok(()) => (check, Ok(())),
            Err((check, reason)) => (check, Err(fail(store, check, reason))),
        };
        let hopeless = result.as_ref().is_err_and(Failure::is_hopeless);
        if !survey.found.iter().any(|(other, _)| *other == check) {
            survey.found.push((check, result));
        }
        if hopeless {
            break;
        }
        if check == Check::Create && created {
            let head = store.head(&name).await.ok().flatten();
            survey.clock = head.map(|head| Clock { before, after, store: head.last_modified });
        }
    }
    if created {
        survey.removed = Some(store.delete(&name).await);
    } else if survey.found.iter().any(|(check, result)| *check == Check::Create && !denied(result))
    {
        // It may have landed, for all that is known.
        let _ = store.delete(&name).await;
    }
    survey
}

fn denied(result: &Result<(), Failure>) -> bool {
    let Err(failure) = result else { return false };
    matches!(&failure.reason, Reason::Store(StoreError::Denied { .. }))
}

fn random_name(store: &dyn Store) -> Result<Name, Failure> {
    let none = |e: getrandom::Error| fail(store, Check::Random, Reason::Wrong(e.to_string()));
    getrandom::u64().map(Name::selftest).map_err(none)
}

fn fail(store: &dyn Store, check: Check, reason: Reason) -> Failure {
    Failure { store: store.url().to_owned(), check, reason, kind: Kind::of(store) }
}

type Outcome = Result<(), (Check, Reason)>;

async fn step(check: Check, store: &dyn Store, name: &Name) -> Outcome {
    let failed = |e| (check, Reason::Store(e));
    match check {
        Check::Random => Ok(()),
        Check::Missing => {
            let head = store.head(name).await.map_err(failed)?;
            expect(check, head.is_none(), "it says that the object is there")
        }
        Check::Create => first_create(store, name, &meta()).await,
        Check::SecondCreate => second_create(store, name, &meta()).await,
        Check::Head => {
            let size_is = head(store, name).await?.size;
            expect(check, size_is == size(BODY), "it tells another size")
        }
        Check::Metadata if !store.keeps_metadata() => Ok(()),
        Check::Metadata => {
            let found = head(store, name).await?.meta;
            let words = format!("it was given {:?} and says {found:?}", meta());
            expect(check, found == meta(), &words)
        }
        Check::Read => read(store, name).await,
        Check::List => list(store, name).await,
    }
}

fn meta() -> MetaMap {
    [("kind", "selftest"), ("writer", "0123456789abcdef")].map(own).into_iter().collect()
}

async fn head(store: &dyn Store, name: &Name) -> Result<ObjectInfo, (Check, Reason)> {
    let found = store.head(name).await.map_err(|e| (Check::Head, Reason::Store(e)))?;
    let absent = || (Check::Head, Reason::Wrong("what was just created is absent".to_owned()));
    found.ok_or_else(absent)
}

async fn create(
    store: &dyn Store,
    name: &Name,
    body: &'static [u8],
    meta: &MetaMap,
) -> Result<(), StoreError> {
    let created = store.create(name, vec![Bytes::from_static(body)], meta);
    ask(step!("selftest.put"), created).await
}

/// A refusal is not taken at its word here either: a request whose answer got lost is repeated
/// below us, and is then refused because of itself.
async fn first_create(store: &dyn Store, name: &Name, meta: &MetaMap) -> Outcome {
    let failed = |e| (Check::Create, Reason::Store(e));
    let (url, words) = match create(store, name, BODY, meta).await {
        Err(StoreError::Exists { name, words }) => (name, words),
        other => return other.map_err(failed),
    };
    match store.get(name).await.map_err(failed)? {
        Some(body) => expect(Check::Create, body == BODY, "it holds what was not given to it"),
        None => Err(failed(StoreError::Unavailable { name: url, words })),
    }
}

async fn second_create(store: &dyn Store, name: &Name, meta: &MetaMap) -> Outcome {
    let check = Check::SecondCreate;
    match create(store, name, b"a second create\n", meta).await {
        // Who may create and not overwrite is refused for that, on GCS and Azure.
        Err(StoreError::Exists { .. } | StoreError::Denied { credentials: false, .. }) => {}
        Err(e) => return Err((check, Reason::Store(e))),
        Ok(()) => return Err((check, Reason::Wrong("it took the second one".to_owned()))),
    }
    let body = store.get(name).await.map_err(|e| (Check::Read, Reason::Store(e)))?;
    let kept = body.as_deref() == Some(BODY);
    expect(check, kept, "it said no, but the object is not what the first create gave")
}

async fn read(store: &dyn Store, name: &Name) -> Outcome {
    let failed = |e| (Check::Read, Reason::Store(e));
    let middle = store.get_range(name, 10..19).await.map_err(failed)?;
    expect(Check::Read, &middle[..] == b"self-test", "a range holds other bytes")?;
    let tail = store.get_suffix(name, 8).await.map_err(failed)?;
    let right = &tail.bytes[..] == b"removed\n" && tail.size == size(BODY);
    expect(Check::Read, right, "the end holds other bytes, or the size is wrong")
}

async fn list(store: &dyn Store, name: &Name) -> Outcome {
    let found = listing(store).await?;
    let shown = found.iter().any(|line| line.name == *name && line.size == size(BODY));
    expect(Check::List, shown, "the object is not in the listing")
}

async fn listing(store: &dyn Store) -> Result<Vec<Listed>, (Check, Reason)> {
    store.list(&Folder::selftest(), None).await.map_err(|e| (Check::List, Reason::Store(e)))
}

fn expect(check: Check, holds: bool, otherwise: &str) -> Outcome {
    if holds { Ok(()) } else { Err((check, Reason::Wrong(otherwise.to_owned()))) }
}

fn size(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

fn own((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests;
