//! What the original tool has in the archive: `kafkatos3/TOPIC/PARTITION/...` at the root of the
//! bucket (or below the directory), whatever prefix is set for chains.
//!
//! It had no setting for its prefix. If ours is another one, our credentials may not reach there;
//! who never ran the original need not care, so a refusal counts as nothing for who only looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OnceCell;

use crate::archive;
use crate::config::{ArchiveTarget, AzureTarget, GcsTarget, S3Target};
use crate::fail::step;
use crate::legacy::name::{self, LegacyName};
use crate::store::names::{Folder, Name, NameError};
use crate::store::{Store, StoreError, ask};
use crate::types::{Offset, TopicPartition};
use crate::url::Bucket;

/// The place of its objects; opened when it is first needed.
#[derive(Debug)]
pub(crate) struct Originals {
    target: ArchiveTarget,
    /// Whether our own prefix is the one that the original always had.
    at_home: bool,
    store: OnceCell<Arc<dyn Store>>,
    told: AtomicBool,
}

impl Originals {
    pub(crate) fn new(archive: &ArchiveTarget) -> Self {
        let (target, at_home) = match archive {
            ArchiveTarget::S3(s3) => {
                let root = S3Target { prefix: String::new(), ..s3.clone() };
                (ArchiveTarget::S3(root), s3.prefix == name::OBJECTS)
            }
            ArchiveTarget::Gcs(gcs) => {
                let root = Bucket { prefix: String::new(), ..gcs.bucket.clone() };
                let at_home = gcs.bucket.prefix == name::OBJECTS;
                (ArchiveTarget::Gcs(GcsTarget { bucket: root, ..gcs.clone() }), at_home)
            }
            ArchiveTarget::Azure(azure) => {
                let root = Bucket { prefix: String::new(), ..azure.container.clone() };
                let at_home = azure.container.prefix == name::OBJECTS;
                (ArchiveTarget::Azure(AzureTarget { container: root, ..azure.clone() }), at_home)
            }
            dir @ ArchiveTarget::Dir { .. } => (dir.clone(), true),
        };
        Self { target, at_home, store: OnceCell::new(), told: AtomicBool::new(false) }
    }

    /// The store whose names begin with `kafkatos3/`.
    pub(crate) async fn store(&self) -> Result<&dyn Store, StoreError> {
        let store = self.store.get_or_try_init(|| archive::open_store(&self.target)).await?;
        Ok(&**store)
    }

    /// Behind the last of the partition's objects; `None` if there are none.
    pub(crate) async fn reach(&self, tp: &TopicPartition) -> Result<Option<Offset>, StoreError> {
        let folder = Folder::parse(&name::folder(tp)).map_err(|e| illegal(&e))?;
        let store = self.store().await?;
        let listed = ask(step!("original.list"), store.list(&folder, None)).await?;
        Ok(name::objects_reach(tp, listed.iter().map(|line| line.name.as_str())))
    }

    /// The same, for who may never have had anything to do with the original.
    pub(crate) async fn reach_if_permitted(
        &self,
        tp: &TopicPartition,
    ) -> Result<Option<Offset>, StoreError> {
        match self.reach(tp).await {
            Err(error @ StoreError::Denied { credentials: false, .. }) if !self.at_home => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    log::info!(
                        "no right to look for objects of the original kafkatos3, so there are \
                         none for us ({error})"
                    );
                }
                Ok(None)
            }
            other => other,
        }
    }
}

/// An object's name, as the store takes it.
pub(crate) fn object(name: &LegacyName) -> Result<Name, StoreError> {
    Name::parse(&name.object()).map_err(|e| illegal(&e))
}

fn illegal(error: &NameError) -> StoreError {
    StoreError::Other { name: name::OBJECTS.to_owned(), words: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Partition, TopicName};
    use std::fs;
    use std::path::Path;

    fn reach(archive: &Path, topic: &str) -> Option<u64> {
        let originals = Originals::new(&ArchiveTarget::Dir { path: archive.to_owned() });
        let tp = TopicPartition::new(TopicName::new(topic).unwrap(), Partition::new(0).unwrap());
        let runtime = crate::worker::runtime().unwrap();
        runtime.block_on(originals.reach_if_permitted(&tp)).unwrap().map(Offset::get)
    }

    #[test]
    fn objects_are_looked_for_where_the_original_put_them() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(reach(dir.path(), "t"), None);
        for topic in ["t", "tt"] {
            let folder = dir.path().join("kafkatos3").join(topic).join("0");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{topic}-0_0-9_160811.mak.gz")), "").unwrap();
        }
        let below = dir.path().join("kafkatos3/t/0/t-0_10-19_160812.mak.gz");
        fs::write(below, "").unwrap();
        assert_eq!(reach(dir.path(), "t"), Some(20));
        assert_eq!(reach(dir.path(), "tt"), Some(10));
        assert_eq!(reach(dir.path(), "u"), None);
    }
}
