//! What uploaders and compressors tell the consumers: where each chain's tip is, and that they
//! have to go back.
//!
//! - `tips/TOPIC-PARTITION.json` is written by whoever holds the partition's lock, whole or not at
//!   all. It is a hint: the store knows better. What does not read as one is as good as none.
//! - `tips/TOPIC-PARTITION_TO.rewind` is made by whoever took files away that the chain needs, and
//!   removed by the partition's consumer once it went back. One file per offset: so that no wish
//!   is lost when one comes while another is obeyed.

use std::fs;
use std::io::ErrorKind;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Spool;
use super::claim::{PartitionLock, TempFile, whole_steps};
use super::durable;
use super::error::{IoExt, Result, SpoolError};
use super::layout::{RewindName, SpoolPartition, Stage};
use crate::chain::Position;
use crate::fail::step;
use crate::meta::Identity;
use crate::types::{Offset, TopicPartition};

/// What is known of a chain's end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TipFile {
    /// Whose chain.
    #[serde(flatten)]
    pub identity: Identity,
    /// In which archive: the store's URL.
    pub archive: String,
    /// Grows with every writing.
    #[serde(default)]
    pub generation: u64,
    /// Where it ends.
    pub position: Position,
}

impl TipFile {
    /// A tip that is to be written.
    #[must_use]
    pub fn new(identity: Identity, archive: &str, position: Position) -> Self {
        Self { identity, archive: archive.to_owned(), generation: 0, position }
    }
}

/// The position of `identity`'s chain in `archive`, if the tip that is there is of no other: the
/// topic may have been created again since, or another archive be used.
pub fn position_of(spool: &Spool, identity: &Identity, archive: &str) -> Result<Option<Position>> {
    let tip = read(spool, &SpoolPartition::of(&identity.topic_partition()))?;
    let same =
        |tip: &TipFile| tip.archive == archive && tip.identity.disagreement(identity).is_none();
    Ok(tip.filter(same).map(|tip| tip.position))
}

/// The tip of `partition`, if there is one that reads.
pub fn read(spool: &Spool, partition: &SpoolPartition) -> Result<Option<TipFile>> {
    let path = spool.path(Stage::Tips, &partition.tip_name());
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).at("read", &path),
    };
    let tip: Option<TipFile> = serde_json::from_slice(&bytes).ok();
    Ok(tip.filter(|tip| SpoolPartition::of(&tip.identity.topic_partition()) == *partition))
}

/// The partition with its topic's full name, where that is known: a long one stands shortened in the
/// names of the spool.
pub fn full_name(spool: &Spool, partition: &SpoolPartition) -> Result<Option<TopicPartition>> {
    match partition.full_name() {
        Some(tp) => Ok(Some(tp)),
        None => Ok(read(spool, partition)?.map(|tip| tip.identity.topic_partition())),
    }
}

/// All tips that read.
pub fn read_all(spool: &Spool) -> Result<Vec<TipFile>> {
    let mut partitions = names(spool, |name| SpoolPartition::parse_tip_name(name).ok())?;
    partitions.sort();
    let read = partitions.iter().map(|partition| read(spool, partition));
    read.filter_map(Result::transpose).collect()
}

/// Writes the tip of the partition whose `lock` is held and returns it with its new generation,
/// one above that of the tip before. After a crash within, the tip before stands; after `Ok` the
/// new one does.
pub fn write(spool: &Spool, lock: &PartitionLock, mut tip: TipFile) -> Result<TipFile> {
    if SpoolPartition::of(&tip.identity.topic_partition()) != *lock.partition() {
        let tp = tip.identity.topic_partition();
        return Err(SpoolError::WrongLock { held: lock.partition().clone(), tp });
    }
    let before = read(spool, lock.partition())?.map_or(0, |before| before.generation);
    tip.generation = before.max(tip.generation).saturating_add(1);
    let name = lock.partition().tip_name();
    let to = spool.path(Stage::Tips, &name);
    let text = serde_json::to_vec(&tip).map_err(std::io::Error::from).at("write", &to)?;
    TempFile::write_whole(spool, (Stage::Tips, &name), &text, &to, whole_steps!("tip"))?;
    Ok(tip)
}

/// Asks the consumer of `partition` to read again from `to`, and tells it `why`. After a crash
/// within, the wish is there or not; after `Ok` it stays until it is obeyed.
pub fn request_rewind(
    spool: &Spool,
    partition: &SpoolPartition,
    to: Offset,
    why: &str,
) -> Result<()> {
    let name = RewindName { partition: partition.clone(), to }.to_string();
    let to = spool.path(Stage::Tips, &name);
    let (text, steps) = (format!("{why}\n"), whole_steps!("rewind"));
    TempFile::write_whole(spool, (Stage::Tips, &name), text.as_bytes(), &to, steps)
}

/// The wishes for all partitions, sorted by partition and offset: one listing.
pub fn rewinds(spool: &Spool) -> Result<Vec<RewindName>> {
    let mut rewinds = names(spool, |name| RewindName::from_str(name).ok())?;
    rewinds.sort();
    Ok(rewinds)
}

/// Why somebody wished it; empty if that is not known.
pub fn rewind_reason(spool: &Spool, rewind: &RewindName) -> String {
    let text = fs::read_to_string(spool.path(Stage::Tips, rewind));
    text.unwrap_or_default().trim_end().to_owned()
}

/// Takes a wish back that was obeyed, or that lies below the tip. After a crash within, it may be
/// there still, and is obeyed once more.
pub fn remove_rewind(spool: &Spool, rewind: &RewindName) -> Result<()> {
    durable::remove(&spool.path(Stage::Tips, rewind), step!("rewind.remove")).map(drop)
}

fn names<N>(spool: &Spool, parse: impl Fn(&str) -> Option<N>) -> Result<Vec<N>> {
    let mut found = Vec::new();
    spool.each_file(Stage::Tips, |name, _| found.extend(parse(name)))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::testing::{names_in, offset, partition, spool, tp};
    use crate::types::{Isolation, Suffix, TopicId};

    fn identity(partition: i64) -> Identity {
        let TopicPartition { topic, partition } = tp("t", partition);
        Identity {
            cluster_id: "c".to_owned(),
            topic,
            topic_id: TopicId::from_halves(0, 7),
            partition,
            isolation: Isolation::ReadCommitted,
        }
    }

    #[test]
    fn a_tip_of_another_topic_id_or_archive_says_nothing() {
        let (_dir, spool) = spool();
        let lock = PartitionLock::take(&spool, &partition("t", 1)).unwrap().ours().unwrap();
        write(&spool, &lock, tip(5)).unwrap();
        let known = |id: &Identity, archive| position_of(&spool, id, archive).unwrap();
        assert_eq!(known(&identity(1), "file:///a").map(|p| p.tip), Some(offset(5)));
        assert_eq!(known(&identity(1), "file:///b"), None);
        let again = Identity { topic_id: TopicId::from_halves(0, 8), ..identity(1) };
        assert_eq!(known(&again, "file:///a"), None);
    }

    fn tip(at: u64) -> TipFile {
        TipFile::new(identity(1), "file:///a", Position::genesis(offset(at), Suffix::MakZst))
    }

    #[test]
    fn a_tip_reads_as_it_was_written_and_its_generation_grows() {
        let (_dir, spool) = spool();
        let lock = PartitionLock::take(&spool, &partition("t", 1)).unwrap().ours().unwrap();
        assert!(read(&spool, &partition("t", 1)).unwrap().is_none());
        let first = write(&spool, &lock, tip(5)).unwrap();
        assert_eq!(first.generation, 1);
        let second = write(&spool, &lock, tip(5)).unwrap();
        assert_eq!(second.generation, 2);
        let found = read(&spool, &partition("t", 1)).unwrap().unwrap();
        assert_eq!((found.generation, found.position), (2, second.position));
        assert_eq!(read_all(&spool).unwrap().len(), 1);
        assert_eq!(names_in(&spool, Stage::Tips), ["t-1.json"]);
        let other = TipFile { identity: identity(2), ..tip(5) };
        let e = write(&spool, &lock, other).unwrap_err();
        assert_eq!(e.to_string(), "the tip of t-2 can't be written under the lock of t-1");
    }

    #[test]
    fn garbage_and_tips_of_others_are_none() {
        let (_dir, spool) = spool();
        let path = spool.dir(Stage::Tips).join("t-1.json");
        for garbage in ["", "{", "[]", "{\"tip\":-1}", "\0\0\0"] {
            fs::write(&path, garbage).unwrap();
            assert!(read(&spool, &partition("t", 1)).unwrap().is_none(), "{garbage}");
        }
        assert!(read_all(&spool).unwrap().is_empty());
        fs::write(&path, serde_json::to_vec(&tip(3)).unwrap()).unwrap();
        fs::copy(&path, spool.dir(Stage::Tips).join("t-2.json")).unwrap();
        assert!(read(&spool, &partition("t", 2)).unwrap().is_none());
    }

    #[test]
    fn rewinds_are_kept_one_by_one() {
        let (_dir, spool) = spool();
        let (a, b) = (partition("a", 0), partition("b", 0));
        request_rewind(&spool, &b, offset(1), "other").unwrap();
        request_rewind(&spool, &a, offset(50), "checksum").unwrap();
        request_rewind(&spool, &a, offset(7), "too old").unwrap();
        request_rewind(&spool, &a, offset(7), "too old").unwrap();
        let wishes = rewinds(&spool).unwrap();
        assert_eq!(wishes.iter().map(|r| r.to.get()).collect::<Vec<_>>(), [7, 50, 1]);
        assert_eq!(rewind_reason(&spool, &wishes[1]), "checksum");
        remove_rewind(&spool, &wishes[0]).unwrap();
        remove_rewind(&spool, &wishes[0]).unwrap();
        assert_eq!(rewind_reason(&spool, &wishes[0]), "");
        assert_eq!(rewinds(&spool).unwrap(), wishes[1..]);
    }
}
