//! Finds where partitions that were just assigned have to be read from: asks the broker for ids,
//! commits and log ends, and the store for the chain's tip. Runs in a thread of its own, so that
//! the group's heartbeat and the partitions that are already being read never wait for it.
//!
//! A question is answered when the answer is certain; failures are asked again, slower each time.

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use log::Level;

use crate::chain::locate::{Genesis as Begin, Hints, Outcome};
use crate::chain::{CommitNote, Position};
use crate::config::Config;
use crate::kafka::{Admin, Committed, GroupLookup, KafkaError, Spec};
use crate::logging::{self, Fault};
use crate::meta::Identity;
use crate::spool::{Spool, Stopped, tips};
use crate::status::model::Trouble;
use crate::store::StoreError;
use crate::store::names::ChainId;
use crate::types::{Isolation, Offset, Suffix, TopicName, TopicPartition};
use crate::worker::backoff::Backoff;
use crate::worker::chain_io::{ChainIo, Located};
use crate::worker::consumer::ASK;
use crate::worker::consumer::genesis::Genesis;
use crate::worker::consumer::telling::FindingTrouble;

/// How many partitions are looked up in the store at once.
const PARALLEL: usize = 16;
/// How long questions are gathered before they are asked together.
const GATHER: Duration = Duration::from_millis(5);
/// When to ask again for what the broker did not know.
const AGAIN: Duration = Duration::from_secs(1);
/// How long to sleep with nothing to do.
const IDLE: Duration = Duration::from_hours(1);

/// Said to the finder.
#[derive(Debug)]
pub(crate) enum Request {
    /// Find the partition; `turn` comes back with the answer, so that late ones are recognised.
    Find { tp: TopicPartition, turn: u64 },
    /// The same, but not before `wait` is over.
    FindLater { tp: TopicPartition, turn: u64, wait: Duration },
    /// No longer ours.
    Forget(TopicPartition),
    /// The settings changed.
    Settings(Arc<Config>),
}

/// Where a partition is to be read from.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) identity: Identity,
    /// Which of the topic's chains it goes into.
    pub(crate) chain: ChainId,
    /// The archive's URL.
    pub(crate) archive: String,
    pub(crate) position: Position,
    /// First offset that Kafka still has.
    pub(crate) log_start: Offset,
    /// Its end under the configured isolation level, exclusive.
    pub(crate) log_end: Offset,
    /// The group's committed offset, if its metadata is ours.
    pub(crate) committed: Option<Offset>,
}

/// The finder's answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) tp: TopicPartition,
    pub(crate) turn: u64,
    pub(crate) result: Result<Box<Found>, Box<Stopped>>,
}

/// Why a question has to be asked again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to be found.
pub(crate) struct Question {
    turn: u64,
    due: Instant,
}

type Pending = HashMap<TopicPartition, Question>;

impl Request {
    fn note_in(self, pending: &mut Pending) {
        // The rest of an assignment follows at once; then all share the requests.
        let soon = Instant::now() + GATHER;
        match self {
            Self::Find { tp, turn } => pending.insert(tp, Question { turn, due: soon }),
            Self::FindLater { tp, turn, wait } => {
                pending.insert(tp, Question { turn, due: soon + wait })
            }
            Self::Forget(tp) => pending.remove(&tp),
            Self::Settings(_) => return,
        };
    }
}

/// Everything that the finder's thread owns.
pub(crate) struct Finder {
    pub(crate) admin: Admin,
    pub(crate) spool: Spool,
    pub(crate) group: GroupLookup,
    pub(crate) rules: Rules,
    pub(crate) trouble: FindingTrouble,
}

/// What depends on the settings.
pub(crate) struct Rules {
    pub(crate) io: ChainIo,
    pub(crate) isolation: Isolation,
    pub(crate) suffix: Suffix,
    pub(crate) genesis: Genesis,
}

impl Finder {
    /// Answers until the other side hangs up.
    pub(crate) fn run(
        mut self,
        runtime: &tokio::runtime::Runtime,
        requests: &Receiver<Request>,
        replies: &Sender<Reply>,
    ) {
        let mut pending = Pending::new();
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        // While the store or the broker fails, nothing is asked before this.
        let mut not_before = Instant::now();
        loop {
            let due = pending.values().map(|question| question.due.max(not_before)).min();
            let wait = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            match requests.recv_timeout(wait) {
                Ok(Request::Settings(config)) => {
                    // Should it fail, it has said so, and whoever asks notices our end.
                    let Ok(rules) = runtime.block_on(Rules::of(&config)) else { return };
                    self.rules = rules;
                    continue;
                }
                Ok(request) => {
                    request.note_in(&mut pending);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let attempted = runtime.block_on(self.attempt(&mut pending, replies));
            let again = Instant::now() + AGAIN;
            for question in pending.values_mut() {
                question.due = question.due.max(again);
            }
            match attempted {
                Ok(()) => {
                    logging::working(Fault::FIND, "positions");
                    backoff.reset();
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                Err(error) => {
                    let wait = backoff.next();
                    let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                    Trouble::again(&mut trouble, error.to_string(), wait);
                    drop(trouble);
                    not_before = Instant::now() + wait;
                    let count = logging::count(pending.len(), "partition");
                    let error = format!(
                        "can't find where {count} are to be read from: {error}; asking again"
                    );
                    logging::failing(Level::Warn, Fault::FIND, "positions", &error);
                }
            }
        }
    }

    /// Answers what can be answered; what stays in `pending` has to be asked again.
    async fn attempt(
        &mut self,
        pending: &mut Pending,
        replies: &Sender<Reply>,
    ) -> Result<(), FindError> {
        let now = Instant::now();
        let due = pending.iter().filter(|(_, question)| question.due <= now);
        let due: Vec<_> = due.map(|(tp, _)| tp.clone()).collect();
        let views = self.ask_kafka(due)?;
        let Rules { io, genesis, .. } = &mut self.rules;
        genesis.prepare(io, &self.admin).await?;
        let mut failed = Ok(());
        let this = &*self;
        let mut answers = stream::iter(views)
            .map(|view| async move {
                let tp = view.tp.clone();
                (tp, this.ask_store(view).await)
            })
            .buffer_unordered(PARALLEL);
        while let Some((tp, answer)) = answers.next().await {
            match answer {
                Ok(Some(result)) => {
                    if let Some(Question { turn, .. }) = pending.remove(&tp) {
                        let _ = replies.send(Reply { tp, turn, result });
                    }
                }
                Ok(None) => {}
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    /// What the broker knows, for all partitions in a few requests. A partition that it does not
    /// know (its topic is being deleted, say) is an error, and asked for again with the others.
    fn ask_kafka(&self, tps: Vec<TopicPartition>) -> Result<Vec<BrokerView>, KafkaError> {
        let topics: BTreeSet<TopicName> = tps.iter().map(|tp| tp.topic.clone()).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let cluster_id = self.admin.cluster_id(ASK)?;
        let ids: HashMap<_, _> = self.admin.topic_ids(&topics, ASK)?.into_iter().collect();
        let starts = self.offsets(&tps, Spec::Earliest)?;
        let ends = self.offsets(&tps, Spec::Latest)?;
        let mut committed: HashMap<_, _> = self.group.committed(&tps, ASK)?.into_iter().collect();
        let mut views = Vec::with_capacity(tps.len());
        for tp in tps {
            let (Some(Ok(id)), Some(start), Some(end)) =
                (ids.get(&tp.topic), starts.get(&tp), ends.get(&tp))
            else {
                log::debug!("{tp}: the broker does not know it now");
                continue;
            };
            views.push(BrokerView {
                identity: Identity {
                    cluster_id: cluster_id.clone(),
                    topic: tp.topic.clone(),
                    topic_id: *id,
                    partition: tp.partition,
                    isolation: self.rules.isolation,
                },
                log_start: *start,
                log_end: *end,
                committed: committed.remove(&tp).flatten(),
                tp,
            });
        }
        Ok(views)
    }

    fn offsets(
        &self,
        tps: &[TopicPartition],
        spec: Spec,
    ) -> Result<HashMap<TopicPartition, Offset>, KafkaError> {
        let asked: Vec<_> = tps.iter().map(|tp| (tp.clone(), spec)).collect();
        let answers = self.admin.list_offsets(&asked, self.rules.isolation, ASK)?;
        Ok(answers.into_iter().filter_map(|(tp, offset)| Some((tp, offset.ok()?))).collect())
    }

    async fn ask_store(
        &self,
        view: BrokerView,
    ) -> Result<Option<Result<Box<Found>, Box<Stopped>>>, FindError> {
        let note = view.committed.as_ref().and_then(|c| CommitNote::parse(&c.metadata));
        let note = note.filter(|note| note.topic_id.0.agrees_with(view.identity.topic_id));
        let noted = note.map(|note| note.position);
        let io = &self.rules.io;
        let archive = io.store().url();
        let local = tips::position_of(&self.spool, &view.identity, archive).ok().flatten();
        let seen = match (noted, local) {
            (Some(a), Some(b)) if b.is_ahead_of(&a) => Some(b),
            (one, other) => one.or(other),
        };
        let hints = Hints { seen, committed: noted };
        let mut located = io.locate(&view.identity, &hints, None).await?;
        if matches!(located.outcome, Outcome::NoChain) {
            located = self.begin(&view, &hints, located.chain).await?;
        }
        let position = match located.outcome {
            Outcome::Found(position) => position,
            Outcome::Stop(stop) => {
                let note = Stopped::at(&view.tp, &stop).in_chain(&located.chain);
                return Ok(Some(Err(Box::new(note))));
            }
            // Can't be: it was begun. Asked again, should it happen.
            Outcome::NoChain | Outcome::Closed(_) => return Ok(None),
        };
        let committed = view.committed.filter(|_| noted.is_some()).map(|c| c.offset);
        Ok(Some(Ok(Box::new(Found {
            archive: archive.to_owned(),
            chain: located.chain,
            identity: view.identity,
            position,
            log_start: view.log_start,
            log_end: view.log_end,
            committed,
        }))))
    }

    /// Begins the partition's chain.
    async fn begin(
        &self,
        view: &BrokerView,
        hints: &Hints,
        chain: ChainId,
    ) -> Result<Located, FindError> {
        let committed = view.committed.as_ref();
        let Rules { io, suffix, genesis, .. } = &self.rules;
        match genesis.begin(&self.admin, &chain, &view.tp, committed).await? {
            Ok(first) => {
                Ok(io.locate(&view.identity, hints, Some(Begin::new(first, *suffix))).await?)
            }
            Err(stop) => Ok(Located { chain, outcome: Outcome::Stop(stop) }),
        }
    }
}

/// What the broker says of one partition.
struct BrokerView {
    tp: TopicPartition,
    identity: Identity,
    log_start: Offset,
    log_end: Offset,
    committed: Option<Committed>,
}
