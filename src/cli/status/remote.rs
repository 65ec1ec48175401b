//! What the working directory does not know: where partitions end, from the broker, and where chains
//! end, from the archive. Asked for a short time only; who does not answer is named.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::archive;
use crate::config::{ArchiveTarget, Config};
use crate::kafka::{Admin, Spec};
use crate::meta::{FileMeta, ObjectMeta};
use crate::spool::SpoolPartition;
use crate::status::model::Published;
use crate::status::report::{PartitionReport, Report};
use crate::status::{ChainEnd, Local, Remote, archived};
use crate::store::names::{self, ChainId, ChainName, Folder, Parsed};
use crate::store::{Listed, Store, StoreError};
use crate::types::{Partition, TopicName, TopicPartition};
use crate::worker::{in_full, settings};

/// How long the broker may take for each answer.
const BROKER: Duration = Duration::from_secs(4);
/// How long the archive may take to say which topics it has.
const STORE: Duration = Duration::from_secs(6);
/// And how long to tell of all chains.
const CHAINS: Duration = Duration::from_mins(1);
/// How many chains are looked at once.
const PARALLEL: usize = 16;
/// How old the word of a running consumer on the end of a partition may be.
const FRESH_MS: u64 = 120_000;

/// Asks for what `report` leaves open.
pub(super) fn ask(
    config: &Config,
    local: Option<&Local>,
    report: &Report,
    only: &[String],
    remote: &mut Remote,
) {
    let nothing = local.is_none_or(Local::is_empty);
    // Only an owner keeps asking.
    let known = |partition: &PartitionReport| {
        let age = partition.end_ms.map(|end| report.at_ms.saturating_sub(end));
        partition.owner.is_some() && age.is_some_and(|age| age < FRESH_MS)
    };
    if nothing || !report.partitions.iter().all(known) || report.partitions.is_empty() {
        ask_broker(config, only, remote);
    }
    let with_tip = report.partitions.iter().filter(|partition| partition.tip.is_some());
    let with_tip: BTreeSet<_> = with_tip.map(|p| (p.topic.as_str(), p.partition)).collect();
    let no_tip = |tp: &TopicPartition| {
        let topic = SpoolPartition::of(tp).topic;
        let number = tp.partition.get();
        !with_tip.contains(&(tp.topic.as_str(), number))
            && !with_tip.contains(&(topic.as_str(), number))
    };
    let missing: BTreeSet<_> =
        remote.ends.iter().map(|(tp, _)| tp.clone()).filter(no_tip).collect();
    let wanted = if nothing { Wanted::All(only) } else { Wanted::These(&missing) };
    if nothing || !missing.is_empty() {
        ask_archive(config, wanted, remote);
    }
}

fn ask_broker(config: &Config, only: &[String], remote: &mut Remote) {
    match ends(config, only) {
        Ok(ends) => remote.ends = ends,
        Err(why) => remote.notes.push(format!(
            "no broker answers at \"{}\", so lag is not known: {why}",
            config.consumer.bootstrap
        )),
    }
}

/// The ends of all partitions that the configuration means.
fn ends(
    config: &Config,
    only: &[String],
) -> Result<Vec<(TopicPartition, crate::types::Offset)>, String> {
    let admin = Admin::new(&settings::client(config, "status")).map_err(|e| e.to_string())?;
    let patterns = settings::patterns(config).map_err(|e| e.to_string())?;
    let topics = admin.topics(BROKER).map_err(|e| e.to_string())?;
    let mut wanted = Vec::new();
    for (topic, count) in topics.into_iter().filter(|(topic, _)| patterns.matches(topic)) {
        let all = (0..i64::from(count)).filter_map(|number| Partition::new(number).ok());
        let all = all.map(|partition| TopicPartition::new(topic.clone(), partition));
        wanted.extend(all.filter(|tp| is_meant(tp, only)).map(|tp| (tp, Spec::Latest)));
    }
    let ends = admin.list_offsets(&wanted, config.consumer.isolation, BROKER);
    let ends = ends.map_err(|e| e.to_string())?;
    Ok(ends.into_iter().filter_map(|(tp, end)| Some((tp, end.ok()?))).collect())
}

fn is_meant(tp: &TopicPartition, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|only| *only == tp.topic.as_str() || *only == tp.to_string())
}

/// Which chains are looked for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// All that there are, or those of these names.
    All(&'a [String]),
    These(&'a BTreeSet<TopicPartition>),
}

impl Wanted<'_> {
    fn has(self, tp: &TopicPartition) -> bool {
        match self {
            Self::All(only) => is_meant(tp, only),
            Self::These(these) => these.contains(tp),
        }
    }

    fn may_have(self, topic: &TopicName) -> bool {
        match self {
            Self::All([]) => true,
            Self::All(only) => only.iter().any(|only| only.starts_with(topic.as_str())),
            Self::These(these) => these.iter().any(|tp| tp.topic == *topic),
        }
    }
}

fn ask_archive(config: &Config, wanted: Wanted<'_>, remote: &mut Remote) {
    let target = &config.archive.target;
    let away = |why: &str| format!("the archive {target} can't be read: {why}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let looked = match runtime {
        Ok(runtime) => runtime.block_on(look_at_archive(target, wanted, remote)),
        Err(error) => Err(error.to_string()),
    };
    match looked {
        Ok(notes) => remote.notes.extend(notes.iter().map(|note| away(note))),
        Err(why) => {
            remote.archive_unread = true;
            remote.notes.push(away(&why));
        }
    }
}

/// What was not to be had of an archive that could be read, or why it could not.
async fn look_at_archive(
    target: &ArchiveTarget,
    wanted: Wanted<'_>,
    remote: &mut Remote,
) -> Result<Vec<String>, String> {
    // Opening a directory makes it, if only that is missing.
    if let ArchiveTarget::Dir { path } = target
        && !path.is_dir()
    {
        return Err("no such directory".to_owned());
    }
    let store = archive::open_store(target).await.map_err(|error| in_full(&error))?;
    let topics = tokio::time::timeout(STORE, store.folders(&Folder::root()))
        .await
        .map_err(|_| format!("no answer within {} s", STORE.as_secs()))?
        .map_err(|error| in_full(&error))?;
    let mut notes = Vec::new();
    let look = chains(&*store, &topics, wanted, &mut remote.chains, &mut notes);
    if tokio::time::timeout(CHAINS, look).await.is_err() {
        notes.push(format!("no more than {} s were taken for the chains", CHAINS.as_secs()));
    }
    // If not one could be looked at, nothing of it is known.
    match notes.last() {
        Some(why) if remote.chains.is_empty() => Err(why.clone()),
        _ => Ok(notes),
    }
}

/// The latest chain of each partition, into `ends` as they are found.
async fn chains(
    store: &dyn Store,
    topics: &[Folder],
    wanted: Wanted<'_>,
    ends: &mut Vec<ChainEnd>,
    notes: &mut Vec<String>,
) {
    let names = topics.iter().filter_map(|folder| ChainName::parse(folder.as_str()));
    let names = names.filter(|name| wanted.may_have(name.topic()));
    let mut folders = stream::iter(names)
        .map(|name| async move {
            let listed = store.folders(&name.folder()).await;
            (name, listed)
        })
        .buffer_unordered(PARALLEL);
    let mut latest: BTreeMap<TopicPartition, ChainId> = BTreeMap::new();
    while let Some((name, listed)) = folders.next().await {
        let listed = listed.unwrap_or_else(|error| {
            notes.push(error.to_string());
            Vec::new()
        });
        for folder in listed {
            let number = folder.last().parse().ok().and_then(|n| Partition::new(n).ok());
            let Some(partition) = number else { continue };
            let tp = TopicPartition::new(name.topic().clone(), partition);
            if !wanted.has(&tp) {
                continue;
            }
            let chain = name.clone().partition(partition);
            let newer = |known: &ChainId| known.name().generation() < chain.name().generation();
            if latest.get(&tp).is_none_or(newer) {
                latest.insert(tp, chain);
            }
        }
    }
    let mut found = stream::iter(latest)
        .map(|(tp, chain)| async move { chain_end(store, tp, &chain).await })
        .buffer_unordered(PARALLEL);
    while let Some(end) = found.next().await {
        match end {
            Ok(end) => ends.extend(end),
            Err(error) => notes.push(error.to_string()),
        }
    }
}

/// A listing, and what its last object says; that of a seal says no totals, so the file before too.
async fn chain_end(
    store: &dyn Store,
    partition: TopicPartition,
    chain: &ChainId,
) -> Result<Option<ChainEnd>, StoreError> {
    let listed = store.list(&chain.folder(), None).await?;
    let is_object = |entry: &&Listed| matches!(names::parse(&entry.name), Parsed::Object { .. });
    let mut end = None;
    for entry in listed.iter().filter(is_object).rev().take(3) {
        let Some(info) = store.head(&entry.name).await? else { continue };
        let at = match ObjectMeta::from_map(&info.meta) {
            Ok(ObjectMeta::File(file)) => {
                return Ok(Some(of_file(partition, chain, entry, &file)));
            }
            Ok(ObjectMeta::Seal(seal)) => seal.at,
            Ok(ObjectMeta::Close(close)) => close.at,
            // None of ours: writers stop at it, and say so.
            Err(_) => continue,
        };
        end.get_or_insert(ChainEnd {
            partition: partition.clone(),
            chain: chain.to_string(),
            tip: at,
            archived: None,
            last: None,
        });
    }
    Ok(end)
}

fn of_file(
    partition: TopicPartition,
    chain: &ChainId,
    entry: &Listed,
    file: &FileMeta,
) -> ChainEnd {
    let at = entry.last_modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    ChainEnd {
        partition,
        chain: chain.to_string(),
        tip: file.range.next(),
        archived: file.totals.as_ref().map(archived),
        last: Some(Published {
            object: entry.name.to_string(),
            start: file.range.start(),
            next: file.range.next(),
            records: Some(file.records),
            bytes: entry.size,
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            took_ms: None,
        }),
    }
}
