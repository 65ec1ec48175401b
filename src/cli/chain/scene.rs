//! What broker, archive and spool say of the partitions that a command is about. Changes nothing,
//! but for finishing what a command that was killed has begun: a chain whose predecessor ends with
//! a closing seal is begun as that seal says.

use std::fmt::Write as _;
use std::fs::File;
use std::time::Duration;

use super::{ChainCommand, Failure};
use crate::archive;
use crate::chain::locate::{Hints, Outcome};
use crate::chain::{Position, Stop};
use crate::cli::Exit;
use crate::config::{Config, OnTopicRecreated};
use crate::kafka::{Admin, KafkaError, Spec};
use crate::mak::v2;
use crate::meta::{Identity, ObjectMeta};
use crate::spool::{FileName, Spool, SpoolError, SpoolPartition, Stage, Stopped, stops, tips};
use crate::store::StoreError;
use crate::store::names::ChainId;
use crate::types::{Offset, Partition, TopicPartition};
use crate::worker::chain_io::{ChainIo, Located};
use crate::worker::{in_full, settings};

/// How long the broker may take for an answer.
const ASK: Duration = Duration::from_secs(15);

impl std::convert::From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match error {
            StoreError::Denied { .. } => Exit::NoPermission,
            StoreError::NoBucket { .. } => Exit::Config,
            StoreError::Unavailable { .. } => Exit::Unavailable,
            StoreError::Missing { .. } => Exit::NoInput,
            StoreError::Exists { .. } | StoreError::Other { .. } => Exit::CantCreate,
        };
        Self::new(exit, &error)
    }
}

impl std::convert::From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        Self::new(Exit::CantCreate, &in_full(&error))
    }
}

/// The store, the spool and the cluster.
pub(super) struct Scene {
    pub(super) io: ChainIo,
    pub(super) spool: Spool,
    /// All partitions that the command names, as the broker knows them.
    pub(super) views: Vec<View>,
}

/// What Kafka has of a partition: `[start, end)`.
pub(super) type Log = (Offset, Offset);

/// One partition.
pub(super) struct View {
    pub(super) tp: TopicPartition,
    pub(super) identity: Identity,
    pub(super) log: Log,
    /// What the writers find.
    pub(super) chain: ChainId,
    pub(super) standing: Standing,
    /// Why it is stopped, if the spool says so of this chain.
    pub(super) note: Option<Stopped>,
    /// Complete files of the spool that are not archived, in order.
    pub(super) local: Vec<Local>,
}

/// What writers make of the chain.
#[derive(Debug)]
pub(super) enum Standing {
    /// Nobody has begun it.
    None,
    /// It goes on here.
    Open(Position),
    /// They stop.
    Stopped(Stop),
}

/// A complete file of the spool.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) stage: Stage,
    pub(super) name: FileName,
    /// Records, and bytes of their contents, if the file tells.
    pub(super) content: Option<(u64, u64)>,
}

impl Local {
    /// Whether it holds offsets of `[from, to)`.
    pub(super) fn overlaps(&self, from: Offset, to: Offset) -> bool {
        self.name.range.start() < to && self.name.range.next() > from
    }
}

impl Scene {
    /// Asks everybody.
    pub(super) async fn look(command: &ChainCommand, config: &Config) -> Result<Self, Failure> {
        let spool = Spool::open(&config.main.working_directory)?;
        let store = archive::open_store(&config.archive.target).await?;
        let io =
            ChainIo::new(store, config.consumer.on_topic_recreated == OnTopicRecreated::NewChain);
        let mut views = Vec::new();
        for (identity, log) in ask_kafka(command, config)? {
            views.push(view(&io, &spool, identity, log).await?);
        }
        Ok(Self { io, spool, views })
    }
}

async fn view(io: &ChainIo, spool: &Spool, identity: Identity, log: Log) -> Result<View, Failure> {
    let tp = identity.topic_partition();
    let partition = SpoolPartition::of(&tp);
    let known = tips::position_of(spool, &identity, io.store().url())?;
    let hints = Hints { seen: known, committed: known };
    let Located { chain, outcome } = io.locate(&identity, &hints, None).await?;
    let standing = match outcome {
        Outcome::Found(position) => Standing::Open(position),
        Outcome::Stop(stop) => Standing::Stopped(stop),
        Outcome::NoChain | Outcome::Closed(_) => Standing::None,
    };
    let of_this = |note: &Stopped| note.chain.as_ref().is_none_or(|of| *of == chain.to_string());
    let note = stops::read(spool, &partition)?.filter(of_this);
    Ok(View { local: local_files(spool, &partition)?, tp, identity, log, chain, standing, note })
}

fn ask_kafka(command: &ChainCommand, config: &Config) -> Result<Vec<(Identity, Log)>, Failure> {
    let bootstrap = &config.consumer.bootstrap;
    let away = |error: KafkaError| {
        let what = format!("no broker answers at \"{bootstrap}\": {error}");
        Failure::new(Exit::Unavailable, &what)
    };
    let admin = Admin::new(&settings::client(config, "chain"));
    let admin = admin.map_err(|error| Failure::new(Exit::Config, &error))?;
    let topic = &command.topic;
    let topics = admin.topics(ASK).map_err(away)?;
    let Some((_, count)) = topics.into_iter().find(|(name, _)| name == topic) else {
        let what = format!("the cluster at \"{bootstrap}\" has no topic \"{topic}\"");
        return Err(Failure::new(Exit::NoInput, &what));
    };
    let all = (0..i64::from(count)).filter_map(|number| Partition::new(number).ok());
    let partitions: Vec<_> = match command.partition {
        None => all.collect(),
        Some(one) if one.get() < count => vec![one],
        Some(other) => {
            let what = format!("topic \"{topic}\" has {count} partitions, and no number {other}");
            return Err(Failure::new(Exit::NoInput, &what));
        }
    };
    let cluster_id = admin.cluster_id(ASK).map_err(away)?;
    let topic_id = admin.topic_ids(std::slice::from_ref(topic), ASK).map_err(away)?;
    let topic_id = topic_id.into_iter().next().and_then(|(_, id)| id.ok()).unwrap_or_default();
    let tps = partitions.iter().map(|number| TopicPartition::new(topic.clone(), *number));
    let asked: Vec<_> =
        tps.flat_map(|tp| [(tp.clone(), Spec::Earliest), (tp, Spec::Latest)]).collect();
    let isolation = config.consumer.isolation;
    let mut ends = admin.list_offsets(&asked, isolation, ASK).map_err(away)?.into_iter();
    let mut found = Vec::new();
    while let (Some((tp, start)), Some((_, end))) = (ends.next(), ends.next()) {
        let log = (start.map_err(away)?, end.map_err(away)?);
        let TopicPartition { topic, partition } = tp;
        let cluster_id = cluster_id.clone();
        found.push((Identity { cluster_id, topic, topic_id, partition, isolation }, log));
    }
    Ok(found)
}

pub(super) fn local_files(
    spool: &Spool,
    partition: &SpoolPartition,
) -> Result<Vec<Local>, SpoolError> {
    let mut found = Vec::new();
    for (stage, entries) in
        [(Stage::Rotated, spool.rotated()?), (Stage::Compressed, spool.compressed()?)]
    {
        for name in entries.into_iter().map(|entry| entry.name) {
            if name.partition == *partition {
                let path = spool.dir(stage).join(name.to_string());
                let content = File::open(path).ok().and_then(|file| content(stage, &file));
                found.push(Local { stage, name, content });
            }
        }
    }
    found.sort_by_key(|file| (file.name.range.start(), file.name.range.next()));
    Ok(found)
}

fn content(stage: Stage, file: &File) -> Option<(u64, u64)> {
    if stage == Stage::Rotated {
        let found = v2::recover(&crate::worker::Mapped::of(file).ok()?);
        return Some((found.records, found.bytes));
    }
    let len = file.metadata().ok()?.len();
    match ObjectMeta::from_map(&archive::metadata_of(file, len).ok()??).ok()? {
        ObjectMeta::File(file) => Some((file.records, file.bytes)),
        ObjectMeta::Seal(_) | ObjectMeta::Close(_) => None,
    }
}

impl View {
    /// The head of what is said of the partition.
    pub(super) fn title(&self) -> String {
        let TopicPartition { topic, partition } = &self.tp;
        let why = match (&self.note, &self.standing) {
            (Some(note), _) => format!("stopped ({}): {}", note.kind, note.reason),
            (None, Standing::Stopped(stop)) => format!("its writers stop: {stop}"),
            (None, Standing::None) => "it has no chain yet".to_owned(),
            (None, Standing::Open(at)) => format!("not stopped, its chain ends at {}", at.tip),
        };
        format!("{topic} {partition}: {why}\n")
    }

    /// Local files that hold offsets of `[from, to)`.
    pub(super) fn local_in(&self, from: Offset, to: Offset) -> impl Iterator<Item = &Local> {
        self.local.iter().filter(move |file| file.overlaps(from, to))
    }
}

/// One line of a plan.
pub(super) fn line(text: &mut String, word: &str, what: &str) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "  {word:<8} {what}");
}

/// `3 files of the spool [a, b), 93 records, 1234 bytes`; `None` without files.
pub(super) fn files_text<'a>(files: impl Iterator<Item = &'a Local>) -> Option<String> {
    let files: Vec<_> = files.collect();
    let from = files.iter().map(|file| file.name.range.start()).min()?;
    let to = files.iter().map(|file| file.name.range.next()).max()?;
    let content = files.iter().map(|file| file.content).try_fold((0_u64, 0_u64), |sum, content| {
        let (records, bytes) = content?;
        Some((sum.0.saturating_add(records), sum.1.saturating_add(bytes)))
    });
    let content = content.map_or_else(
        || "not all of which read".to_owned(),
        |(records, bytes)| format!("{records} records, {bytes} bytes"),
    );
    let count =
        if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) };
    Some(format!("{count} of the spool with offsets [{from}, {to}), {content}"))
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::meta::Totals;
    use crate::store::names::ChainName;
    use crate::types::{Isolation, Suffix, TopicId, TopicName};

    pub(in crate::cli::chain) fn at(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    /// A chain `[0, tip)` of `t-0`; Kafka has `[20, 150)`; one local file `[tip, tip + 10)`.
    pub(in crate::cli::chain) fn view(tip: u64) -> View {
        let topic = TopicName::new("t").unwrap();
        let partition = Partition::new(0).unwrap();
        let identity = Identity {
            cluster_id: "c".to_owned(),
            topic: topic.clone(),
            topic_id: TopicId::UNKNOWN,
            partition,
            isolation: Isolation::ReadCommitted,
        };
        let totals = Totals { files: 2, records: tip, bytes: 9, ..Totals::default() };
        let genesis = Position::genesis(Offset::ZERO, Suffix::MakGz);
        let name = format!("t-0_{tip}-{}.mak.gz", tip + 9).parse().unwrap();
        View {
            tp: identity.topic_partition(),
            identity,
            log: (at(20), at(150)),
            chain: ChainName::first(topic).partition(partition),
            standing: Standing::Open(Position { tip: at(tip), totals, ..genesis }),
            note: None,
            local: vec![Local { stage: Stage::Compressed, name, content: Some((7, 70)) }],
        }
    }
}
