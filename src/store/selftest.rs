//! Finds out at start whether a store keeps the contract that exactly-once archiving stands on.
//!
//! Some look-alikes of S3 ignore `If-None-Match` without a word, some policies make a missing name
//! a 403. Both would only show when it is too late. The test works on one small object under
//! `@selftest/`, which it removes again if it may.

use std::fmt;

use bytes::Bytes;

use super::names::{Folder, Name};
use super::{Store, StoreError};
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
            Self::SecondCreate => "refuse to create a name that is taken (If-None-Match: *)",
            Self::Head => "tell of an object (HEAD)",
            Self::Metadata => "give an object's metadata back",
            Self::Read => "read parts of an object",
            Self::List => "list what was created",
        }
    }

    /// What to do about a failure, as far as it is known.
    const fn advice(self, object_store: bool) -> &'static str {
        match (self, object_store) {
            (Self::Missing, true) => {
                "grant s3:ListBucket on the bucket: without it S3 answers 403 for what is absent"
            }
            (Self::Create, true) => {
                "grant s3:PutObject (with a KMS key also kms:GenerateDataKey) on the prefix"
            }
            (Self::SecondCreate, true) => {
                "this server ignores If-None-Match on PUT, so two writers could overwrite each \
                 other; use a server or version that knows conditional writes"
            }
            (Self::Head | Self::Read, true) => {
                "grant s3:GetObject (with a KMS key also kms:Decrypt) on the prefix"
            }
            (Self::Metadata, true) => "this server or a proxy before it drops x-amz-meta-* headers",
            (Self::List, true) => {
                "grant s3:ListBucket on the bucket; a server whose listings lag can't be used"
            }
            (Self::Random, _) => "the operating system has no random numbers to give",
            (_, false) => {
                "the directory has to be writable, on a file system with hard links and POSIX \
                 semantics (not FAT, not most FUSE mounts of object stores)"
            }
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
    /// Whether it is an object store, for the advice.
    object_store: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not {}: ", self.store, self.check.title())?;
        match &self.reason {
            Reason::Store(e) => e.fmt(f)?,
            Reason::Wrong(words) => f.write_str(words)?,
        }
        // What can't be reached, or is not there, needs no advice about rights.
        match &self.reason {
            Reason::Store(StoreError::Unavailable { .. }) => Ok(()),
            Reason::Store(StoreError::Denied { credentials: true, .. }) => {
                f.write_str("; correct the credentials")
            }
            Reason::Store(StoreError::NoBucket { .. }) => {
                f.write_str("; create it first, or correct its name")
            }
            _ => write!(f, "; {}", self.check.advice(self.object_store)),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
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

/// Tries everything out, one check after the other, up to the first that fails.
pub async fn run(store: &dyn Store) -> Result<(), Failure> {
    let fail = |check, reason| Failure {
        store: store.url().to_owned(),
        check,
        reason,
        object_store: store.keeps_metadata(),
    };
    let random = getrandom::u64().map_err(|e| fail(Check::Random, Reason::Wrong(e.to_string())))?;
    let name = Name::selftest(random);
    let result = checks(store, &name).await;
    // Not being allowed to remove is how it should be; the object does no harm.
    if let Err(e) = store.delete(&name).await {
        log::debug!("self-test: its object stays: {e}");
    }
    result.map_err(|(check, reason)| fail(check, reason))
}

type Outcome = Result<(), (Check, Reason)>;

async fn checks(store: &dyn Store, name: &Name) -> Outcome {
    let failed = |check| move |e| (check, Reason::Store(e));
    let meta: MetaMap =
        [("kind", "selftest"), ("writer", "0123456789abcdef")].map(own).into_iter().collect();
    let head = store.head(name).await.map_err(failed(Check::Missing))?;
    expect(Check::Missing, head.is_none(), "it says that the object is there")?;
    first_create(store, name, &meta).await?;
    second_create(store, name, &meta).await?;
    let head = store.head(name).await.map_err(failed(Check::Head))?;
    let Some(head) = head else {
        return Err((Check::Head, Reason::Wrong("what was just created is absent".to_owned())));
    };
    expect(Check::Head, head.size == size(BODY), "it tells another size")?;
    if store.keeps_metadata() {
        let words = format!("it was given {meta:?} and says {:?}", head.meta);
        expect(Check::Metadata, head.meta == meta, &words)?;
    }
    read(store, name).await?;
    list(store, name).await
}

async fn create(
    store: &dyn Store,
    name: &Name,
    body: &'static [u8],
    meta: &MetaMap,
) -> Result<(), StoreError> {
    store.create(name, vec![Bytes::from_static(body)], meta).await
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
        Err(StoreError::Exists { .. }) => {}
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
    let folder = Folder::selftest();
    let failed = |e| (Check::List, Reason::Store(e));
    let found = store.list(&folder, None).await.map_err(failed)?;
    let shown = found.iter().any(|line| line.name == *name && line.size == size(BODY));
    expect(Check::List, shown, "the object is not in the listing")
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
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range;
    use std::sync::Mutex;
    use std::time::SystemTime;

    use async_trait::async_trait;

    use super::*;
    use crate::store::{Listed, ObjectInfo, Tail};

    /// What a store may do wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Lie {
        None,
        LosesAnAnswer,
        RefusesAtFirst,
        Overwrites,
        OverwritesAndSaysNo,
        Swallows,
        ForbidsWhatIsAbsent,
        DropsMetadata,
        IgnoresRanges,
        ListsNothing,
        KeepsForEver,
    }

    #[derive(Debug)]
    struct Liar(Lie, Mutex<BTreeMap<Name, (Bytes, MetaMap)>>);

    impl Liar {
        fn is(&self, lie: Lie) -> bool {
            self.0 == lie
        }

        fn denied<T>() -> Result<T, StoreError> {
            let (name, words) = ("mem://x".to_owned(), "HTTP 403".to_owned());
            Err(StoreError::Denied { name, words, credentials: false })
        }

        fn taken() -> StoreError {
            let (name, words) = ("mem://x".to_owned(), "HTTP 412".to_owned());
            StoreError::Exists { name, words }
        }

        fn body(&self, name: &Name) -> Bytes {
            self.1.lock().unwrap().get(name).map(|(body, _)| body.clone()).unwrap_or_default()
        }
    }

    #[async_trait]
    impl Store for Liar {
        fn url(&self) -> &'static str {
            "mem://"
        }

        fn keeps_metadata(&self) -> bool {
            true
        }

        async fn create(
            &self,
            name: &Name,
            body: Vec<Bytes>,
            meta: &MetaMap,
        ) -> Result<(), StoreError> {
            let mut objects = self.1.lock().unwrap();
            let exists = objects.contains_key(name);
            if self.is(Lie::Swallows) {
                return Ok(());
            }
            if self.is(Lie::RefusesAtFirst) {
                return Err(Self::taken());
            }
            if !exists || self.is(Lie::Overwrites) || self.is(Lie::OverwritesAndSaysNo) {
                objects.insert(name.clone(), (body.concat().into(), meta.clone()));
            }
            let refuses = self.is(Lie::LosesAnAnswer) || exists && !self.is(Lie::Overwrites);
            if refuses { Err(Self::taken()) } else { Ok(()) }
        }

        async fn head(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError> {
            let objects = self.1.lock().unwrap();
            let Some((body, meta)) = objects.get(name) else {
                return if self.is(Lie::ForbidsWhatIsAbsent) { Self::denied() } else { Ok(None) };
            };
            let meta = if self.is(Lie::DropsMetadata) { MetaMap::new() } else { meta.clone() };
            let last_modified = SystemTime::UNIX_EPOCH;
            Ok(Some(ObjectInfo { size: size(body), meta, last_modified }))
        }

        async fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
            Ok(self.1.lock().unwrap().get(name).map(|(body, _)| body.clone()))
        }

        async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, StoreError> {
            let [start, end] = [range.start, range.end].map(|n| usize::try_from(n).unwrap());
            let body = self.body(name);
            Ok(if self.is(Lie::IgnoresRanges) { body } else { body.slice(start..end) })
        }

        async fn get_suffix(&self, name: &Name, length: u64) -> Result<Tail, StoreError> {
            let body = self.body(name);
            let from = body.len() - usize::try_from(length).unwrap();
            Ok(Tail { bytes: body.slice(from..), size: size(&body) })
        }

        async fn list(&self, _: &Folder, _: Option<&Name>) -> Result<Vec<Listed>, StoreError> {
            let objects = self.1.lock().unwrap();
            let last_modified = SystemTime::UNIX_EPOCH;
            let line = |(name, (body, _)): (&Name, &(Bytes, MetaMap))| Listed {
                name: name.clone(),
                size: size(body),
                last_modified,
            };
            Ok(objects.iter().filter(|_| !self.is(Lie::ListsNothing)).map(line).collect())
        }

        async fn folders(&self, _: &Folder) -> Result<Vec<Folder>, StoreError> {
            Ok(Vec::new())
        }

        async fn delete(&self, name: &Name) -> Result<(), StoreError> {
            if self.is(Lie::KeepsForEver) {
                return Self::denied();
            }
            self.1.lock().unwrap().remove(name);
            Ok(())
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn every_lie_is_found() {
        for (lie, expected) in [
            (Lie::None, None),
            (Lie::KeepsForEver, None),
            (Lie::LosesAnAnswer, None),
            (Lie::RefusesAtFirst, Some((Check::Create, "not available"))),
            (Lie::Overwrites, Some((Check::SecondCreate, "If-None-Match"))),
            (Lie::OverwritesAndSaysNo, Some((Check::SecondCreate, "If-None-Match"))),
            (Lie::Swallows, Some((Check::SecondCreate, "If-None-Match"))),
            (Lie::ForbidsWhatIsAbsent, Some((Check::Missing, "s3:ListBucket"))),
            (Lie::DropsMetadata, Some((Check::Metadata, "x-amz-meta"))),
            (Lie::IgnoresRanges, Some((Check::Read, "other bytes"))),
            (Lie::ListsNothing, Some((Check::List, "s3:ListBucket"))),
        ] {
            let store = Liar(lie, Mutex::default());
            let found = run(&store).await;
            match (expected, found) {
                (None, Ok(())) => {}
                (Some((check, words)), Err(failure)) => {
                    assert_eq!(failure.check, check, "{lie:?}");
                    assert!(failure.to_string().contains(words), "{lie:?}: {failure}");
                    assert_eq!(failure.is_transient(), lie == Lie::RefusesAtFirst);
                }
                (_, found) => panic!("{lie:?}: {found:?}"),
            }
            let left = store.1.lock().unwrap().len();
            assert_eq!(left, usize::from(lie == Lie::KeepsForEver), "{lie:?}");
        }
    }
}
