//! Stores that lie, each in its own way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::time::SystemTime;

use async_trait::async_trait;

use super::*;
use crate::store::Tail;

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

#[tokio::test(flavor = "current_thread")]
async fn a_survey_goes_on_behind_a_failure() {
    for (lie, failing) in [
        (Lie::None, &[][..]),
        (Lie::KeepsForEver, &[]),
        (Lie::LosesAnAnswer, &[]),
        (Lie::RefusesAtFirst, &[Check::Create]),
        (Lie::ForbidsWhatIsAbsent, &[Check::Missing]),
        (Lie::DropsMetadata, &[Check::Metadata]),
        (Lie::IgnoresRanges, &[Check::Read]),
        (Lie::ListsNothing, &[Check::List]),
    ] {
        let store = Liar(lie, Mutex::default());
        let survey = survey(&store).await;
        let failed: Vec<_> =
            survey.found.iter().filter(|(_, r)| r.is_err()).map(|(check, _)| *check).collect();
        assert_eq!(failed, failing, "{lie:?}");
        let tried = if lie == Lie::RefusesAtFirst { 2 } else { ORDER.len() };
        assert_eq!(survey.found.len(), tried, "{lie:?}");
        let kept = survey.removed.is_some_and(|removed| removed.is_err());
        assert_eq!(kept, lie == Lie::KeepsForEver, "{lie:?}");
        let left = store.1.lock().unwrap().len();
        assert_eq!(left, usize::from(lie == Lie::KeepsForEver), "{lie:?}");
    }
}
