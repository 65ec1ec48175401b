//! `--against CONFIG`: the archive held against the live cluster, record by record or by a sample,
//! from where both begin to where the archive ends; and how far the archive is behind.

mod compare;
mod live;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;

use crate::archive::ledger::{Account, Damage, Fault, Unseen};
use crate::archive::{Archive, ArchiveError, Entry, Layout, Location, Object, Partition};
use crate::chain::CommitNote;
use crate::cli::{runtime, with_causes};
use crate::config::Config;
use crate::kafka::{Admin, Consumer, KafkaError, Spec, policy};
use crate::store::names::{ChainId, parse_chain};
use crate::types::{Isolation, Offset, TopicId, TopicName, TopicPartition};
use crate::worker::settings;
use compare::Comparison;
use live::{Live, LiveError, reader};

/// How long the cluster may take for each answer.
const ASK: Duration = Duration::from_secs(15);
/// How many partitions are compared at once.
const PARALLEL: usize = 4;
/// Packed bytes that are fetched of an object at once.
const READ_AHEAD: u64 = 4 << 20;

/// What came out.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) cluster: String,
    pub(super) bootstrap: String,
    pub(super) partitions: Vec<PartitionCompared>,
}

/// One partition of the cluster.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PartitionCompared {
    pub(super) topic: TopicName,
    pub(super) partition: i32,
    /// The first offset that the cluster has.
    pub(super) log_start: Offset,
    /// The first one that it does not have yet, or not committed.
    pub(super) log_end: Offset,
    /// Where the archive ends; `None` if it has nothing of this partition.
    pub(super) tip: Option<Offset>,
    /// Offsets that are not archived yet.
    pub(super) lag: u64,
    /// The offsets that were compared.
    pub(super) from: Option<Offset>,
    pub(super) to: Option<Offset>,
    /// Records, on either side.
    pub(super) compared: u64,
    /// Archived records that the cluster has compacted away since.
    pub(super) removed: u64,
}

/// What is compared with what.
pub(super) struct Against<'a> {
    pub(super) location: &'a Location,
    pub(super) config: &'a Config,
    /// How many records of each partition; all, if none.
    pub(super) sample: Option<u64>,
    /// Which topics; all of the configuration's, if none.
    pub(super) topics: &'a [String],
}

/// A partition that is to be compared.
struct Task {
    chain: ChainId,
    isolation: Isolation,
    from: Offset,
    to: Offset,
    gaps: Vec<(Offset, Offset)>,
    compacted: bool,
}

/// Why a partition could not be compared.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error("no runtime")]
    Runtime(#[source] std::io::Error),
}

impl From<KafkaError> for CompareError {
    fn from(error: KafkaError) -> Self {
        Self::Live(error.into())
    }
}

/// What was asked of the cluster at once.
struct Cluster {
    id: String,
    /// Partitions of the topics that count, with start and end of their logs.
    logs: BTreeMap<TopicPartition, (Offset, Offset)>,
    ids: BTreeMap<TopicName, TopicId>,
    committed: BTreeMap<TopicPartition, (Offset, Option<CommitNote>)>,
    compacted: BTreeSet<TopicName>,
}

/// Compares, and notes in `accounts` what is wrong.
pub(super) fn compare(against: &Against<'_>, accounts: &mut [Account]) -> Result<Compared, String> {
    let cluster = ask(against, accounts).map_err(|error| {
        format!("the cluster at {}: {error}", against.config.consumer.bootstrap)
    })?;
    let mut partitions = Vec::new();
    let mut tasks = VecDeque::new();
    for (tp, (log_start, log_end)) in &cluster.logs {
        let mut found = PartitionCompared {
            topic: tp.topic.clone(),
            partition: tp.partition.get(),
            log_start: *log_start,
            log_end: *log_end,
            tip: None,
            lag: log_end.get() - log_start.get().min(log_end.get()),
            from: None,
            to: None,
            compared: 0,
            removed: 0,
        };
        if let Some((index, chain)) = latest(accounts, tp)
            && let Some(account) = accounts.get_mut(index)
        {
            found.tip = account.tip;
            let tip = account.tip.unwrap_or(*log_start);
            found.lag = log_end.get().saturating_sub(tip.max(*log_start).get());
            if let Some(task) = begin(&cluster, tp, chain, account) {
                (found.from, found.to) = (Some(task.from), Some(task.to));
                tasks.push_back((partitions.len(), index, task));
            }
        }
        partitions.push(found);
    }
    for (place, index, result) in run(against, tasks) {
        let (Some(found), Some(account)) = (partitions.get_mut(place), accounts.get_mut(index))
        else {
            continue;
        };
        match result {
            Ok(comparison) => {
                (found.compared, found.removed) = (comparison.compared, comparison.removed);
                let chain = account.chain.clone();
                account.damage.extend(comparison.damage(&chain));
            }
            Err(error) => {
                let why = format!("it can't be compared: {}", with_causes(&error));
                account.unseen.push(Unseen { object: account.chain.clone(), why });
            }
        }
    }
    let bootstrap = against.config.consumer.bootstrap.clone();
    Ok(Compared { cluster: cluster.id, bootstrap, partitions })
}

/// The chain of the highest generation that the archive has of a partition.
fn latest(accounts: &[Account], tp: &TopicPartition) -> Option<(usize, ChainId)> {
    let chains = accounts.iter().enumerate();
    let chains = chains.filter(|(_, account)| account.layout == Layout::Chain);
    let chains = chains.filter_map(|(index, account)| Some((index, parse_chain(&account.chain)?)));
    let of_tp = chains.filter(|(_, chain)| {
        *chain.name().topic() == tp.topic && chain.partition() == tp.partition
    });
    of_tp.max_by_key(|(_, chain)| chain.name().generation())
}

fn ask(against: &Against<'_>, accounts: &[Account]) -> Result<Cluster, String> {
    let config = against.config;
    let client = settings::client(config, "verify");
    let text = |error: KafkaError| error.to_string();
    let admin = Admin::new(&client).map_err(text)?;
    let id = admin.cluster_id(ASK).map_err(text)?;
    let patterns = settings::patterns(config).map_err(|error| error.to_string())?;
    let chains = accounts.iter().filter_map(|account| parse_chain(&account.chain));
    let archived: BTreeSet<TopicName> = chains.map(|chain| chain.name().topic().clone()).collect();
    let asked_for = |topic: &TopicName| {
        let bare = |name: &String| name.split('@').next() == Some(topic.as_str());
        if against.topics.is_empty() {
            patterns.matches(topic) || archived.contains(topic)
        } else {
            against.topics.iter().any(bare)
        }
    };
    let mut topics = admin.topics(ASK).map_err(text)?;
    topics.retain(|(topic, _)| asked_for(topic));
    let mut wanted = Vec::new();
    for (topic, count) in &topics {
        for number in 0..i64::from(*count) {
            let partition = crate::types::Partition::new(number).map_err(|e| e.to_string())?;
            wanted.push(TopicPartition::new(topic.clone(), partition));
        }
    }
    let ends = |spec| {
        let asked: Vec<_> = wanted.iter().map(|tp| (tp.clone(), spec)).collect();
        admin.list_offsets(&asked, config.consumer.isolation, ASK).map_err(text)
    };
    let (starts, ends) = (ends(Spec::Earliest)?, ends(Spec::Latest)?);
    let mut logs = BTreeMap::new();
    for ((tp, start), (_, end)) in starts.into_iter().zip(ends) {
        logs.insert(tp, (start.map_err(text)?, end.map_err(text)?));
    }
    let names: Vec<TopicName> = topics.into_iter().map(|(topic, _)| topic).collect();
    let ids = admin.topic_ids(&names, ASK).map_err(text)?;
    let ids = ids.into_iter().filter_map(|(topic, id)| Some((topic, id.ok()?))).collect();
    let runtime = runtime().map_err(|error| error.to_string())?;
    let compacted = runtime.block_on(policy::compacted(&client, &names, ASK)).map_err(text)?;
    let committed = committed(config, &wanted).map_err(text)?;
    Ok(Cluster { id, logs, ids, committed, compacted })
}

/// The group's offsets, and what stands beside them.
fn committed(
    config: &Config,
    wanted: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, (Offset, Option<CommitNote>)>, KafkaError> {
    let consumer = Consumer::new(&reader(config, config.consumer.isolation))?;
    let answers = consumer.group().committed(wanted, ASK);
    let found = answers.map(|answers| {
        let known = answers.into_iter().filter_map(|(tp, found)| Some((tp, found.ok()??)));
        known.map(|(tp, c)| (tp, (c.offset, CommitNote::parse(&c.metadata)))).collect()
    });
    // What does not end by itself ends with the process.
    let _ = consumer.close(Duration::from_secs(5));
    found
}

/// What is to be compared of a chain; what can be told without that is noted at once.
fn begin(
    cluster: &Cluster,
    tp: &TopicPartition,
    chain: ChainId,
    account: &mut Account,
) -> Option<Task> {
    let (log_start, log_end) = *cluster.logs.get(tp)?;
    let identity = account.identity()?.clone();
    let id = cluster.ids.get(&tp.topic).copied().unwrap_or_default();
    let other_cluster = !identity.cluster_id.is_empty() && identity.cluster_id != cluster.id;
    let stranger = if other_cluster {
        Some(format!("it is of cluster \"{}\", not of \"{}\"", identity.cluster_id, cluster.id))
    } else if !identity.topic_id.agrees_with(id) {
        Some("the topic was created again since: what the cluster has is another topic".to_owned())
    } else {
        None
    };
    if let Some(what) = stranger {
        let why = format!("it can't be compared: {what}");
        account.unseen.push(Unseen { object: account.chain.clone(), why });
        return None;
    }
    let (start, tip) = (account.start?, account.tip?);
    if let Some((committed, Some(note))) = cluster.committed.get(tp)
        && note.position.generation == chain.name().generation()
        && *committed > tip
    {
        let object = chain.object(tip, note.position.suffix).to_string();
        let what = format!(
            "it is missing, or what comes behind it: the group has committed {committed}, which it \
             does only behind what is archived, but the chain ends at {tip}"
        );
        account.damage.push(Damage { object, fault: Fault::Missing, what });
    }
    if tip > log_end {
        let what = format!("it reaches to {tip}, but the cluster's log ends at {log_end}");
        account.damaged(account.chain.clone(), Fault::Extra, what);
    }
    let (from, to) = (start.max(log_start), tip.min(log_end));
    (from < to).then(|| Task {
        chain,
        isolation: identity.isolation,
        from,
        to,
        gaps: account.gaps.iter().map(|gap| (gap.from, gap.to)).collect(),
        compacted: cluster.compacted.contains(&tp.topic),
    })
}

type Done = (usize, usize, Result<Comparison, CompareError>);

/// All of them, a few at once, each thread with a client of its own for either side.
fn run(against: &Against<'_>, tasks: VecDeque<(usize, usize, Task)>) -> Vec<Done> {
    let threads = tasks.len().min(PARALLEL);
    let tasks = Mutex::new(tasks);
    let done = Mutex::new(Vec::new());
    let lock = |mutex: &Mutex<VecDeque<_>>| {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front()
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((place, index, task)) = lock(&tasks) {
                    let result = partition(against, &task);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((place, index, result));
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn partition(against: &Against<'_>, task: &Task) -> Result<Comparison, CompareError> {
    let mut live = Live::new(against.config, task.isolation)?;
    let runtime = runtime().map_err(CompareError::Runtime)?;
    let compared = runtime.block_on(async {
        let archive = Archive::at(against.location).await?;
        let partition = archive.chain(task.chain.clone());
        let entries = partition.entries().await?;
        let entries = entries.from_offset(task.from);
        match against.sample {
            None => every_record(&partition, entries, task, &mut live).await,
            Some(count) => sample(&partition, entries, task, &mut live, count).await,
        }
    });
    live.close();
    compared
}

async fn every_record(
    partition: &Partition,
    entries: &[Entry],
    task: &Task,
    live: &mut Live,
) -> Result<Comparison, CompareError> {
    let mut comparison = Comparison::new(task.gaps.clone(), task.compacted);
    let tp = TopicPartition::new(task.chain.name().topic().clone(), task.chain.partition());
    live.seek(&tp, task.from, task.to)?;
    let store = &**partition.archive().store();
    for entry in entries.iter().take_while(|entry| entry.start < task.to) {
        let object = Object::open_sized(store, &entry.name, entry.size).await?;
        let Some(file) = object.file() else { continue };
        let name = entry.name.as_str();
        let records = object.records_from_offset(task.from).before(task.to);
        let mut records = records.read_ahead(READ_AHEAD);
        while let Some(archived) = records.next().await? {
            lost_before(&mut comparison, live, name, archived.offset)?;
            match live.peek()? {
                Some(found) if found.offset == archived.offset => {
                    comparison.both(name, file.mak, &archived, found);
                    live.pop();
                }
                _ => comparison.extra(name, archived.offset),
            }
        }
        lost_before(&mut comparison, live, name, file.range.next().min(task.to))?;
    }
    lost_before(&mut comparison, live, &task.chain.to_string(), task.to)?;
    Ok(comparison)
}

/// What the cluster has before `offset` and was not compared yet is nowhere in the archive.
fn lost_before(
    comparison: &mut Comparison,
    live: &mut Live,
    object: &str,
    offset: Offset,
) -> Result<(), LiveError> {
    while let Some(found) = live.peek()?.map(|found| found.offset).filter(|found| *found < offset) {
        comparison.lost(object, found);
        live.pop();
    }
    Ok(())
}

/// The first record at, or behind, each of `count` offsets that lie evenly spread.
async fn sample(
    partition: &Partition,
    entries: &[Entry],
    task: &Task,
    live: &mut Live,
    count: u64,
) -> Result<Comparison, CompareError> {
    let mut comparison = Comparison::new(task.gaps.clone(), task.compacted);
    let tp = TopicPartition::new(task.chain.name().topic().clone(), task.chain.partition());
    let store = &**partition.archive().store();
    for offset in spread(task.from, task.to, count) {
        live.seek(&tp, offset, task.to)?;
        let covers = |at: usize| entries.get(at + 1).is_none_or(|behind| behind.start > offset);
        let from = (0..entries.len()).find(|at| covers(*at)).unwrap_or(0);
        let mut met = false;
        for entry in entries.get(from..).unwrap_or_default() {
            let object = Object::open_sized(store, &entry.name, entry.size).await?;
            let Some(file) = object.file() else { continue };
            let name = entry.name.as_str();
            let mut records = object.records_from_offset(offset).before(task.to);
            let archived = records.next().await?;
            let end = archived.as_ref().map_or(file.range.next().min(task.to), |a| a.offset);
            lost_before(&mut comparison, live, name, end)?;
            let Some(archived) = archived else { continue };
            match live.peek()? {
                Some(found) if found.offset == archived.offset => {
                    comparison.both(name, file.mak, &archived, found);
                }
                _ => comparison.extra(name, archived.offset),
            }
            met = true;
            break;
        }
        if !met {
            lost_before(&mut comparison, live, &task.chain.to_string(), task.to)?;
        }
    }
    Ok(comparison)
}

/// `count` offsets of `[from, to)`, the first and the last among them.
fn spread(from: Offset, to: Offset, count: u64) -> Vec<Offset> {
    let room = to.get().saturating_sub(from.get());
    let last = room.saturating_sub(1);
    let steps = count.min(room).max(1);
    let at = |step: u64| {
        let share = u128::from(last) * u128::from(step) / u128::from((steps - 1).max(1));
        Offset::new(from.get().saturating_add(u64::try_from(share).unwrap_or(last))).ok()
    };
    (0..steps).filter_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_from_the_first_to_the_last() {
        let spread = |from, to, count| {
            let offset = |n| Offset::new(n).unwrap();
            let all = spread(offset(from), offset(to), count);
            all.iter().map(|offset| offset.get()).collect::<Vec<_>>()
        };
        assert_eq!(spread(10, 110, 3), [10, 59, 109]);
        assert_eq!(spread(10, 12, 100), [10, 11]);
        assert_eq!(spread(10, 11, 5), [10]);
        assert_eq!(spread(0, 1 << 62, 2), [0, (1 << 62) - 1]);
    }
}
