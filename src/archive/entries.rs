//! The objects of one partition, as one listing shows them.

use std::time::SystemTime;

use super::Elder;
use crate::meta::ChainRecord;
use crate::store::names::{ChainId, Folder, Name, Parsed, parse};
use crate::store::{Listed, Store, StoreError};
use crate::types::{Offset, Suffix};

/// A file, a seal or a closing seal of a chain: which of them, only the object itself tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name under the archive's URL.
    pub name: Name,
    /// The chain position in its name: the first offset that it covers, if it is a file.
    pub start: Offset,
    /// How it is packed.
    pub suffix: Suffix,
    /// Its length in bytes.
    pub size: u64,
    /// When it was created, by the store's clock.
    pub last_modified: SystemTime,
}

/// What lies in a partition's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    chain: Vec<Entry>,
    elders: Vec<Elder>,
    foreign: Vec<Listed>,
    record: bool,
}

impl Entries {
    /// Sorts a listing of the folder of `chain`. Names of kafka_store are taken for its own.
    #[must_use]
    pub fn of_listing(chain: &ChainId, listing: Vec<Listed>) -> Self {
        Self::sorted(chain, listing, false)
    }

    /// The same; `kafka_store` says whether names of kafka_store are this chain's.
    fn sorted(chain: &ChainId, listing: Vec<Listed>, kafka_store: bool) -> Self {
        let mut new = Self::default();
        for line in listing {
            match parse(&line.name) {
                Parsed::Object { chain: of, start, suffix }
                    if of == *chain && suffix.is_kafka_store() == kafka_store =>
                {
                    let Listed { name, size, last_modified } = line;
                    new.chain.push(Entry { name, start, suffix, size, last_modified });
                }
                Parsed::Record(of) if of == *chain => new.record = true,
                _ => match Elder::of_listing(chain, &line) {
                    Some(elder) => new.elders.push(elder),
                    None => new.foreign.push(line),
                },
            }
        }
        new.order();
        new
    }

    /// What the folder of `chain` holds, and those folders `elsewhere` into which another tool put
    /// files of the same partition: a listing of each. Where names are kafka_store's, one question
    /// more tells whether the chain has them.
    pub async fn listed(
        store: &dyn Store,
        chain: &ChainId,
        elsewhere: &[Folder],
    ) -> Result<Self, StoreError> {
        let mut listing = store.list(&chain.folder(), None).await?;
        for folder in elsewhere {
            listing.extend(store.list(folder, None).await?);
        }
        let kafka_store = Self::is_kafka_store(store, chain, &listing).await?;
        Ok(Self::sorted(chain, listing, kafka_store))
    }

    /// Whether the chain in this listing has kafka_store's names: `chain.json` says it, or, without
    /// that, the first of its files.
    async fn is_kafka_store(
        store: &dyn Store,
        chain: &ChainId,
        listing: &[Listed],
    ) -> Result<bool, StoreError> {
        let bare = |line: &&Listed| {
            matches!(parse(&line.name),
                     Parsed::Object { chain: of, suffix, .. } if of == *chain && suffix.is_kafka_store())
        };
        let Some(first) = listing.iter().find(bare) else { return Ok(false) };
        if let Some(record) = store.get(&chain.record()).await? {
            let record = serde_json::from_slice::<ChainRecord>(&record);
            return Ok(record.is_ok_and(|record| record.suffix.is_kafka_store()));
        }
        Ok(store.head(&first.name).await?.is_some_and(|info| !info.meta.is_empty()))
    }

    /// By position; a seal before the file that stands at the same place. A seal has the suffix of
    /// the files before it. Where there are none, names decide, and the object has to be asked.
    fn order(&mut self) {
        self.chain.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
        let mut before: Option<Suffix> = None;
        for at in 1..self.chain.len() {
            let Some([one, other]) = self.chain.get(at - 1..=at) else { break };
            if one.start == other.start && before == Some(other.suffix) {
                self.chain.swap(at - 1, at);
            }
            before = self.chain.get(at - 1).map(|entry| entry.suffix);
        }
        let by_place = |elder: &Elder| (elder.start(), elder.layout, elder.next());
        self.elders.sort_by_key(by_place);
    }

    /// Files and seals, in the order of the chain.
    #[must_use]
    pub fn chain(&self) -> &[Entry] {
        &self.chain
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_chain(self) -> Vec<Entry> {
        self.chain
    }

    /// What other tools archived of the same partition, in the order of offsets.
    #[must_use]
    pub fn elders(&self) -> &[Elder] {
        &self.elders
    }

    /// What is not of the chain: passed over by readers, and never touched.
    #[must_use]
    pub fn foreign(&self) -> &[Listed] {
        &self.foreign
    }

    /// Whether the chain's identity record, `chain.json`, is there.
    #[must_use]
    pub const fn has_record(&self) -> bool {
        self.record
    }

    /// The last file or seal.
    #[must_use]
    pub fn last(&self) -> Option<&Entry> {
        self.chain.last()
    }

    /// Those that may hold `offset` or what comes behind it: the last one that starts there or
    /// before, and all behind that.
    #[must_use]
    pub fn from_offset(&self, offset: Offset) -> &[Entry] {
        let behind = self.chain.partition_point(|entry| entry.start <= offset);
        let start = behind.checked_sub(1).and_then(|at| self.chain.get(at)).map(|e| e.start);
        // A seal stands before its file at the same position.
        let from =
            self.chain.partition_point(|entry| start.is_some_and(|start| entry.start < start));
        self.chain.get(from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::names::ChainName;
    use crate::types::{Partition, TopicName};

    fn chain() -> ChainId {
        ChainName::first(TopicName::new("t").unwrap()).partition(Partition::new(0).unwrap())
    }

    fn entries(names: &[&str]) -> Entries {
        let mut names: Vec<_> = names.iter().map(|name| format!("t/000000/{name}")).collect();
        names.sort_unstable();
        let line = |name: &String| Listed {
            name: Name::parse(name).unwrap(),
            size: 7,
            last_modified: SystemTime::UNIX_EPOCH,
        };
        Entries::of_listing(&chain(), names.iter().map(line).collect())
    }

    fn shown(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|entry| format!("{}{}", entry.start, entry.suffix)).collect()
    }

    #[test]
    fn a_listing_is_sorted_into_chain_record_and_foreign() {
        let found = entries(&[
            "chain.json",
            "00000000000000000000.mak.gz",
            "00000000000000000007.mak.gz",
            "7.mak.gz",
            "notes.txt",
        ]);
        assert_eq!(shown(found.chain()), ["0.mak.gz", "7.mak.gz"]);
        assert!(found.has_record());
        let foreign: Vec<_> = found.foreign().iter().map(|line| line.name.as_str()).collect();
        assert_eq!(foreign, ["t/000000/7.mak.gz", "t/000000/notes.txt"]);
        assert!(!entries(&[]).has_record());
        assert_eq!(entries(&[]).last(), None);
    }

    #[test]
    fn a_seal_stands_before_its_file() {
        let found = entries(&[
            "00000000000000000000.mak.zst",
            "00000000000000000007.mak.gz",
            "00000000000000000007.mak.zst",
            "00000000000000000009.mak.gz",
            "00000000000000000009.mak",
        ]);
        let expected = ["0.mak.zst", "7.mak.zst", "7.mak.gz", "9.mak.gz", "9.mak"];
        assert_eq!(shown(found.chain()), expected);
        assert_eq!(shown(found.from_offset(Offset::new(8).unwrap())), expected[1..]);
        assert_eq!(shown(found.from_offset(Offset::new(6).unwrap())), expected);
        assert_eq!(shown(found.from_offset(Offset::new(900).unwrap())), expected[3..]);
    }

    #[test]
    fn what_begins_behind_the_offset_counts_too() {
        let found = entries(&["00000000000000000005.mak.gz"]);
        assert_eq!(found.from_offset(Offset::ZERO).len(), 1);
        assert_eq!(entries(&[]).from_offset(Offset::ZERO), []);
    }
}
