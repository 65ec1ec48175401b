//! An open archive: its topics and partitions.
//!
//! Nothing here changes anything; a directory is not created by looking for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use super::elder;
use super::engine::Engine;
use super::messages::Messages;
use super::remote::Remote;
use super::slice::Slice;
use super::stream::RecordStream;
use super::{ArchiveError, Entries, Location, LocationError, open_store};
use crate::config::ArchiveTarget;
use crate::store::Store;
use crate::store::names::{ChainId, ChainName, Folder, parse_chain};
use crate::types::{Partition as Number, TopicName};

/// An archive that can be read.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Asked from the engine's thread.
    store: Arc<dyn Store>,
    /// The same, for what runs on that thread.
    inner: Arc<dyn Store>,
    engine: Engine,
}

impl Archive {
    /// Opens the archive at `text`: a URL, a directory, or a configuration file (see
    /// [`Location::parse`]).
    pub async fn open(text: &str) -> Result<Self, ArchiveError> {
        Self::at(&Location::parse(text)?).await
    }

    /// Opens the archive at `location`. An object store is not asked anything yet.
    pub async fn at(location: &Location) -> Result<Self, ArchiveError> {
        if let ArchiveTarget::Dir { path } = location.target()
            && !path.is_dir()
        {
            return Err(LocationError::Missing { path: path.clone() }.into());
        }
        let engine = Engine::start().map_err(ArchiveError::Thread)?;
        let target = location.target().clone();
        let opened = engine.run(async move { open_store(&target).await }).await;
        let gone = || ArchiveError::GivenUp { chain: location.to_string() };
        Ok(Self::new(opened.ok_or_else(gone)??, engine))
    }

    /// The archive in a store that is open.
    pub fn of_store(store: Arc<dyn Store>) -> Result<Self, ArchiveError> {
        Ok(Self::new(store, Engine::start().map_err(ArchiveError::Thread)?))
    }

    fn new(inner: Arc<dyn Store>, engine: Engine) -> Self {
        let store = Arc::new(Remote::new(Arc::clone(&inner), engine.clone()));
        Self { store, inner, engine }
    }

    pub(super) const fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    pub(super) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.store.url()
    }

    /// The store that keeps it. Its requests run on a thread of the archive's own: any executor
    /// will do to wait for them.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// One chain of it, whether it is there or not.
    #[must_use]
    pub fn chain(&self, chain: ChainId) -> Partition {
        Partition { archive: self.clone(), chain, elsewhere: Vec::new() }
    }

    /// All its topics, in the order of their names: one listing of folders, and another one where
    /// the original kafkatos3 put its topics below `kafkatos3/`. A folder that is named like a topic
    /// is taken for one; whether it has partitions is not looked at.
    pub async fn topics(&self) -> Result<Vec<Topic>, ArchiveError> {
        let mut found = BTreeMap::<TopicName, BTreeSet<u32>>::new();
        let mut below = BTreeSet::new();
        for folder in self.store.folders(&Folder::root()).await? {
            if folder.last() == elder::ROOT {
                let (its, is_topic) = self.topics_below(&folder).await?;
                below = its;
                if !is_topic {
                    continue;
                }
            }
            if let Some(chain) = ChainName::parse(folder.last()) {
                found.entry(chain.topic().clone()).or_default().insert(chain.generation());
            }
        }
        for name in &below {
            found.entry(name.clone()).or_default().insert(1);
        }
        let topic = |(name, generations)| {
            let below = below.contains(&name);
            Topic { archive: self.clone(), name, generations, below }
        };
        Ok(found.into_iter().map(topic).collect())
    }

    /// The topics that the original put into `folder`, and whether that is a topic itself. A number
    /// may be a topic or a partition: what is in it tells.
    async fn topics_below(
        &self,
        folder: &Folder,
    ) -> Result<(BTreeSet<TopicName>, bool), ArchiveError> {
        let (mut topics, mut is_topic) = (BTreeSet::new(), false);
        for folder in self.store.folders(folder).await? {
            let is_partition = parse_chain(folder.as_str()).is_some()
                || elder::unpadded(folder.last()).is_some()
                    && !self.has_partitions(&folder).await?;
            is_topic |= is_partition;
            topics.extend(TopicName::new(folder.last()).ok().filter(|_| !is_partition));
        }
        is_topic |= topics.is_empty();
        Ok((topics, is_topic))
    }

    /// Whether there are folders in `folder` that are named as the original named partitions.
    async fn has_partitions(&self, folder: &Folder) -> Result<bool, ArchiveError> {
        let folders = self.store.folders(folder).await?;
        Ok(folders.iter().any(|folder| elder::unpadded(folder.last()).is_some()))
    }

    /// The topic `name`. `orders` means, for each partition, the chain of the highest generation
    /// that it has; `orders@2` the chains of that generation, and `orders@1` those of the first.
    pub async fn topic(&self, name: &str) -> Result<Topic, ArchiveError> {
        let topics = self.topics().await?;
        let (bare, generation) = match name.split_once('@') {
            Some((bare, number)) => (bare, Some(number.parse::<u32>().ok())),
            None => (name, None),
        };
        let found = topics.iter().find(|topic| topic.name.as_str() == bare).cloned();
        let found = match (found, generation) {
            (Some(topic), None) => Some(topic),
            (Some(topic), Some(Some(only))) if topic.generations.contains(&only) => {
                Some(Topic { generations: [only].into(), ..topic })
            }
            _ => None,
        };
        found.ok_or_else(|| self.no_topic(name, &topics))
    }

    fn no_topic(&self, name: &str, topics: &[Topic]) -> ArchiveError {
        let names = topics.iter().flat_map(Topic::chains).map(|chain| chain.to_string());
        let scored = names.map(|other| (strsim::jaro_winkler(name, &other), other));
        let nearest = scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name);
        ArchiveError::NoTopic {
            archive: self.url().to_owned(),
            topic: name.to_owned(),
            nearest,
            count: topics.len(),
        }
    }
}

/// A topic of an archive: its chains of one or all generations.
#[derive(Debug, Clone)]
pub struct Topic {
    archive: Archive,
    name: TopicName,
    /// Those that are there, or the one that was asked for; never empty.
    generations: BTreeSet<u32>,
    /// Whether the original has it below its own folder.
    below: bool,
}

impl Topic {
    /// Its name in Kafka.
    #[must_use]
    pub const fn name(&self) -> &TopicName {
        &self.name
    }

    /// The generations that it has, or the one that was asked for, as names: `orders`, `orders@2`.
    pub fn chains(&self) -> impl Iterator<Item = ChainName> {
        self.generations.iter().map(|number| ChainName::new(self.name.clone(), *number))
    }

    /// Its partitions in their order, each with the chain of its highest generation: a listing of
    /// folders for each generation. Not one of them, where no folder is named like a partition.
    ///
    /// What other tools archived is read before a chain of the first generation.
    pub async fn partitions(&self) -> Result<Vec<Partition>, ArchiveError> {
        let all = self.all_chains().await?;
        let highest: BTreeMap<_, _> =
            all.into_iter().map(|partition| (partition.number(), partition)).collect();
        Ok(highest.into_values().collect())
    }

    /// The chains of all generations that its partitions have, one partition after the other: a
    /// listing of folders for each generation. What other tools archived counts as of the first.
    pub async fn all_chains(&self) -> Result<Vec<Partition>, ArchiveError> {
        let mut found = BTreeMap::<(Number, ChainId), Folders>::new();
        for name in self.chains() {
            let mut folders = self.archive.store.folders(&name.folder()).await?;
            if name.generation() == 1 && self.below {
                folders.extend(self.folders_below(&name).await?);
            }
            for folder in folders {
                if let Some(chain) = parse_chain(folder.as_str()) {
                    found.entry((chain.partition(), chain)).or_default().own = true;
                } else if name.generation() == 1
                    && let Some(number) = elder::unpadded(folder.last())
                {
                    let chain = name.clone().partition(number);
                    found.entry((number, chain)).or_default().elsewhere.push(folder);
                }
            }
        }
        let mut partitions = Vec::new();
        for ((_, chain), Folders { own, elsewhere }) in found {
            let partition = Partition { archive: self.archive.clone(), chain, elsewhere };
            // Many folders are named by numbers.
            if own || !partition.entries().await?.elders().is_empty() {
                partitions.push(partition);
            }
        }
        Ok(partitions)
    }

    /// The folders that the original made for `name` below its own. An error, if chains are there.
    async fn folders_below(&self, name: &ChainName) -> Result<Vec<Folder>, ArchiveError> {
        let Ok(below) = Folder::parse(&format!("{}/{name}", elder::ROOT)) else {
            return Ok(Vec::new());
        };
        let folders = self.archive.store.folders(&below).await?;
        let is_chain = |folder: &Folder| {
            elder::unpadded(folder.last()).is_none()
                && parse_chain(&format!("{name}/{}", folder.last())).is_some()
        };
        if folders.iter().any(is_chain) {
            return Err(ArchiveError::Below {
                archive: self.archive.url().to_owned(),
                topic: name.to_string(),
                below: elder::ROOT.to_owned(),
            });
        }
        Ok(folders)
    }

    /// The same, where there has to be one.
    pub async fn all_partitions(&self) -> Result<Vec<Partition>, ArchiveError> {
        let all = self.partitions().await?;
        if all.is_empty() { Err(self.no_partition(None, &all)) } else { Ok(all) }
    }

    fn no_partition(&self, number: Option<Number>, there: &[Partition]) -> ArchiveError {
        ArchiveError::NoPartition {
            archive: self.archive.url().to_owned(),
            topic: self.name.to_string(),
            partition: number,
            there: there.iter().map(Partition::number).collect(),
        }
    }

    /// The records at these offsets, of each of its partitions: one partition after the other.
    #[must_use]
    pub fn range(&self, offsets: impl RangeBounds<u64>) -> Messages {
        self.read(&Slice::offsets(offsets))
    }

    /// The records that `slice` wants, of each of its partitions: one partition after the other.
    #[must_use]
    pub fn read(&self, slice: &Slice) -> Messages {
        Messages::of_topic(self.clone(), slice.clone())
    }

    /// The partition `number`.
    pub async fn partition(&self, number: Number) -> Result<Partition, ArchiveError> {
        let all = self.partitions().await?;
        let found = all.iter().find(|partition| partition.number() == number).cloned();
        found.ok_or_else(|| self.no_partition(Some(number), &all))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// Where files of a partition may be.
#[derive(Default)]
struct Folders {
    /// Whether it has the folder of its chain.
    own: bool,
    /// Those that are named as the original named them.
    elsewhere: Vec<Folder>,
}

/// One partition of an archive: a chain of files.
#[derive(Debug, Clone)]
pub struct Partition {
    archive: Archive,
    chain: ChainId,
    /// Folders into which the original put files of the same partition.
    elsewhere: Vec<Folder>,
}

impl Partition {
    /// The archive that it is of.
    #[must_use]
    pub const fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Which chain it is.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// Folders besides its own that hold files of it: another tool's.
    pub(super) fn elsewhere(&self) -> &[Folder] {
        &self.elsewhere
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> Number {
        self.chain.partition()
    }

    /// Where it is, for people.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.archive.url(), self.chain)
    }

    /// Its records at these offsets.
    #[must_use]
    pub fn range(&self, offsets: impl RangeBounds<u64>) -> RecordStream {
        self.read(&Slice::offsets(offsets))
    }

    /// Its records that `slice` wants. Fetching begins at once.
    #[must_use]
    pub fn read(&self, slice: &Slice) -> RecordStream {
        RecordStream::start(self, slice, 1)
    }

    /// What lies in its folder: one listing, and another one where the original had it, too.
    pub async fn entries(&self) -> Result<Entries, ArchiveError> {
        Ok(Entries::listed(&*self.archive.store, &self.chain, &self.elsewhere).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Waits for what needs no runtime of its own.
    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn archive(root: &Path, folders: &[&str]) -> Archive {
        for folder in folders {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        wait(Archive::open(root.to_str().unwrap())).unwrap()
    }

    fn chains(topic: &Topic) -> Vec<String> {
        let partitions = wait(topic.partitions()).unwrap();
        partitions.iter().map(|partition| partition.chain().to_string()).collect()
    }

    #[test]
    fn of_each_partition_the_newest_chain_counts_unless_one_is_named() {
        let root = tempfile::tempdir().unwrap();
        let archive = archive(
            root.path(),
            &["a/000000", "a/000001", "a@2/000001", "a@2/000002", "b/x", "@chain/y", "a@3"],
        );
        let names = wait(archive.topics()).unwrap();
        let names: Vec<_> = names.iter().map(|topic| topic.name().to_string()).collect();
        assert_eq!(names, ["a", "b"]);
        let topic = |name| wait(archive.topic(name)).unwrap();
        assert_eq!(chains(&topic("a")), ["a/000000", "a@2/000001", "a@2/000002"]);
        assert_eq!(chains(&topic("a@1")), ["a/000000", "a/000001"]);
        assert_eq!(chains(&topic("a@2")), ["a@2/000001", "a@2/000002"]);
        assert!(chains(&topic("a@3")).is_empty());
        let generations: Vec<_> = topic("a").chains().map(|chain| chain.to_string()).collect();
        assert_eq!(generations, ["a", "a@2", "a@3"]);
    }

    /// An object of the original's.
    fn original(root: &Path, folder: &str, name: &str) {
        fs::create_dir_all(root.join(folder)).unwrap();
        fs::write(root.join(folder).join(name), "").unwrap();
    }

    #[test]
    fn a_number_below_the_originals_folder_is_a_topic_or_a_partition_by_what_is_in_it() {
        let root = tempfile::tempdir().unwrap();
        original(root.path(), "kafkatos3/orders/0", "orders-0_0-9_160811.mak.gz");
        original(root.path(), "kafkatos3/7/1", "7-1_0-9_160811.mak.gz");
        let both = archive(root.path(), &["kafkatos3/000003", "clicks/000000"]);
        let topics = wait(both.topics()).unwrap();
        let names: Vec<_> = topics.iter().map(|topic| topic.name().to_string()).collect();
        assert_eq!(names, ["7", "clicks", "kafkatos3", "orders"]);
        let all: Vec<_> = topics.iter().flat_map(chains).collect();
        assert_eq!(all, ["7/000001", "clicks/000000", "kafkatos3/000003", "orders/000000"]);
    }

    #[test]
    fn chains_below_the_place_that_was_named_are_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        original(root.path(), "kafkatos3/orders/0", "orders-0_0-9_160811.mak.gz");
        let above = archive(root.path(), &["kafkatos3/orders/000000", "kafkatos3/clicks/000000"]);
        for topic in ["orders", "clicks"] {
            let error = wait(wait(above.topic(topic)).unwrap().partitions()).unwrap_err();
            let (text, url) = (error.to_string(), above.url());
            assert!(text.contains(&format!("read {url}/kafkatos3,")), "{text}");
            assert_eq!(error.exit_code(), 66);
        }
    }

    #[test]
    fn a_folder_named_by_a_number_is_a_partition_only_if_files_say_so() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("logs/2024")).unwrap();
        fs::write(root.path().join("logs/2024/a.txt"), "").unwrap();
        let archive = archive(root.path(), &[]);
        assert!(chains(&wait(archive.topic("logs")).unwrap()).is_empty());
    }

    #[test]
    fn what_is_missing_is_named_with_what_there_is() {
        let root = tempfile::tempdir().unwrap();
        let archive = archive(root.path(), &["orders/000000", "orders/000002", "clicks"]);
        let no_topic = |name| wait(archive.topic(name)).unwrap_err();
        for (asked, similar) in [("order", "orders"), ("orders@4", "orders"), ("klicks", "clicks")]
        {
            let error = no_topic(asked);
            assert!(error.to_string().contains(&format!("similar is \"{similar}\"")), "{error}");
            assert_eq!(error.exit_code(), 66);
        }
        let orders = wait(archive.topic("orders")).unwrap();
        let error = wait(orders.partition(Number::new(1).unwrap())).unwrap_err().to_string();
        assert!(error.contains("has no partition 1, but 0, 2"), "{error}");
        let clicks = wait(archive.topic("clicks")).unwrap();
        let error = wait(clicks.all_partitions()).unwrap_err().to_string();
        assert!(error.contains("no partition: is this really"), "{error}");
        let nowhere = root.path().join("nowhere");
        assert!(wait(Archive::open(nowhere.to_str().unwrap())).is_err());
        let url = format!("file://{}", nowhere.display());
        assert_eq!(wait(Archive::open(&url)).unwrap_err().exit_code(), 66);
        assert!(!nowhere.exists(), "looking creates nothing");
    }
}
