//! Finds where partitions that were just assigned have to be read from: asks the broker for ids,
//! commits and log ends, and the store for the chain's tip. Runs in a thread of its own, so that
//! the group's heartbeat and the partitions that are already being read never wait for it.
//!
//! A question is answered when the answer is certain; failures are asked again, slower each time,
//! and each partition by itself: what fails for one keeps no other waiting.

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
use crate::worker::chain_io::{ChainIo, Known, Located};
use crate::worker::consumer::ASK;
use crate::worker::consumer::genesis::Genesis;
use crate::worker::consumer::telling::FindingTrouble;

/// How many partitions are looked up in the store at once.
const PARALLEL: usize = 32;
/// Of so many partitions it is cheaper to list the chains that there are than to ask for the
/// successor of each.
const MANY: usize = 16;
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
#[derive(Debug)]
struct Question {
    turn: u64,
    due: Instant,
    backoff: Backoff,
}

impl Question {
    fn new(turn: u64, due: Instant) -> Self {
        let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        Self { turn, due, backoff }
    }
}

/// All that is to be found.
#[derive(Debug, Default)]
struct Pending(HashMap<TopicPartition, Question>);

/// Questions that could not be answered, and why.
#[derive(Debug, Default)]
struct Failed {
    partitions: Vec<TopicPartition>,
    /// Of the first.
    error: Option<FindError>,
}

impl Failed {
    fn add(&mut self, tps: impl IntoIterator<Item = TopicPartition>, error: FindError) {
        self.partitions.extend(tps);
        self.error.get_or_insert(error);
    }
}

impl Pending {
    fn note(&mut self, request: Request, now: Instant) {
        // The rest of an assignment follows at once; then all share the requests.
        let soon = now + GATHER;
        match request {
            Request::Find { tp, turn } => self.0.insert(tp, Question::new(turn, soon)),
            Request::FindLater { tp, turn, wait } => {
                self.0.insert(tp, Question::new(turn, soon + wait))
            }
            Request::Forget(tp) => self.0.remove(&tp),
            Request::Settings(_) => None,
        };
    }

    fn next_due(&self) -> Option<Instant> {
        self.0.values().map(|question| question.due).min()
    }

    fn due(&self, now: Instant) -> Vec<TopicPartition> {
        let due = self.0.iter().filter(|(_, question)| question.due <= now);
        due.map(|(tp, _)| tp.clone()).collect()
    }

    /// The question is answered; gives its turn.
    fn answered(&mut self, tp: &TopicPartition) -> Option<u64> {
        self.0.remove(tp).map(|question| question.turn)
    }

    /// What was `asked` and is still here is asked again: after a while; those that failed, slower
    /// each time. Gives the longest wait of these.
    fn ask_again(
        &mut self,
        asked: &[TopicPartition],
        failed: &[TopicPartition],
        now: Instant,
    ) -> Duration {
        for tp in asked {
            if let Some(question) = self.0.get_mut(tp) {
                question.due = question.due.max(now + AGAIN);
            }
        }
        let mut longest = Duration::ZERO;
        for tp in failed {
            if let Some(question) = self.0.get_mut(tp) {
                let wait = question.backoff.next();
                question.due = now + wait;
                longest = longest.max(wait);
            }
        }
        longest
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
        let mut pending = Pending::default();
        loop {
            let due = pending.next_due();
            let wait = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            match requests.recv_timeout(wait) {
                Ok(Request::Settings(config)) => {
                    // Should it fail, it has said so, and whoever asks notices our end.
                    let Ok(rules) = runtime.block_on(Rules::of(&config)) else { return };
                    self.rules = rules;
                    continue;
                }
                Ok(request) => {
                    pending.note(request, Instant::now());
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let asked = pending.due(Instant::now() + GATHER);
            let failed = runtime.block_on(self.attempt(&asked, &mut pending, replies));
            let wait = pending.ask_again(&asked, &failed.partitions, Instant::now());
            self.report(failed, wait);
        }
    }

    fn report(&self, failed: Failed, wait: Duration) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = failed.error else {
            *trouble = None;
            return logging::working(Fault::FIND, "positions");
        };
        Trouble::again(&mut trouble, error.to_string(), wait);
        let count = logging::count(failed.partitions.len(), "partition");
        let error = format!("can't find where {count} are to be read from: {error}; asking again");
        logging::failing(Level::Warn, Fault::FIND, "positions", &error);
    }

    /// Answers what can be answered of `asked`; what stays in `pending` has to be asked again.
    async fn attempt(
        &mut self,
        asked: &[TopicPartition],
        pending: &mut Pending,
        replies: &Sender<Reply>,
    ) -> Failed {
        let mut failed = Failed::default();
        let views = match self.ask_kafka(asked, &mut failed) {
            Ok(views) => views,
            Err(error) => {
                failed.add(asked.iter().cloned(), error.into());
                return failed;
            }
        };
        let Rules { io, genesis, .. } = &mut self.rules;
        if let Err(error) = genesis.prepare(io, &self.admin).await {
            // The record of beginnings is one for all.
            failed.add(views.into_iter().map(|view| view.tp), error);
            return failed;
        }
        // Should it fail, each is asked for itself, and says so.
        let known = if views.len() < MANY { None } else { io.known().await.ok() };
        let (this, known) = (&*self, known.as_ref());
        let mut answers = stream::iter(views)
            .map(|view| async move {
                let tp = view.tp.clone();
                (tp, this.ask_store(view, known).await)
            })
            .buffer_unordered(PARALLEL);
        while let Some((tp, answer)) = answers.next().await {
            match answer {
                Ok(Some(result)) => {
                    if let Some(turn) = pending.answered(&tp) {
                        let _ = replies.send(Reply { tp, turn, result });
                    }
                }
                Ok(None) => {}
                Err(error) => failed.add([tp], error),
            }
        }
        failed
    }

    /// What the broker knows, for all partitions in a few requests. A partition that it does not
    /// know (its topic is being deleted, say) is asked for again; one of whose commit the group
    /// says nothing has `failed`.
    fn ask_kafka(
        &self,
        tps: &[TopicPartition],
        failed: &mut Failed,
    ) -> Result<Vec<BrokerView>, KafkaError> {
        let topics: BTreeSet<TopicName> = tps.iter().map(|tp| tp.topic.clone()).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let cluster_id = self.admin.cluster_id(ASK)?;
        let ids: HashMap<_, _> = self.admin.topic_ids(&topics, ASK)?.into_iter().collect();
        let starts = self.offsets(tps, Spec::Earliest, failed)?;
        let tps: Vec<_> = starts.keys().cloned().collect();
        let ends = self.offsets(&tps, Spec::Latest, failed)?;
        let mut committed: HashMap<_, _> = self.group.committed(&tps, ASK)?.into_iter().collect();
        let mut views = Vec::with_capacity(tps.len());
        for tp in &tps {
            let (Some(Ok(id)), Some(start), Some(end)) =
                (ids.get(&tp.topic), starts.get(tp), ends.get(tp))
            else {
                log::debug!("{tp}: the broker does not know it now");
                continue;
            };
            let committed = match committed.remove(tp).transpose() {
                Ok(committed) => committed.flatten(),
                Err(error) => {
                    failed.add([tp.clone()], error.into());
                    continue;
                }
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
                committed,
                tp: tp.clone(),
            });
        }
        Ok(views)
    }

    fn offsets(
        &self,
        tps: &[TopicPartition],
        spec: Spec,
        failed: &mut Failed,
    ) -> Result<HashMap<TopicPartition, Offset>, KafkaError> {
        let asked: Vec<_> = tps.iter().map(|tp| (tp.clone(), spec)).collect();
        let answers = self.admin.list_offsets(&asked, self.rules.isolation, ASK)?;
        let mut known = HashMap::with_capacity(answers.len());
        for (tp, offset) in answers {
            match offset {
                Ok(offset) => drop(known.insert(tp, offset)),
                Err(error) => failed.add([tp], error.into()),
            }
        }
        Ok(known)
    }

    async fn ask_store(
        &self,
        view: BrokerView,
        known: Option<&Known>,
    ) -> Result<Option<Result<Box<Found>, Box<Stopped>>>, FindError> {
        let note = view.committed.as_ref().and_then(|c| CommitNote::parse(&c.metadata));
        let note = note.filter(|note| note.topic_id.0.agrees_with(view.identity.topic_id));
        let noted = note.map(|note| note.position);
        let io = &self.rules.io;
        let archive = io.store().url();
        let local = tips::position_of(&self.spool, &view.identity, archive).ok().flatten();
        let hints = Hints::of(noted, local);
        let mut located = io.locate_among(known, &view.identity, &hints, None).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Partition;

    fn tp(partition: i64) -> TopicPartition {
        let topic = TopicName::new("t").unwrap();
        TopicPartition::new(topic, Partition::new(partition).unwrap())
    }

    #[test]
    fn a_partition_that_fails_waits_longer_each_time_and_keeps_no_other_waiting() {
        let mut now = Instant::now();
        let mut pending = Pending::default();
        let mut waits = Vec::new();
        pending.note(Request::Find { tp: tp(0), turn: 1 }, now);
        for _ in 0..9 {
            now = pending.next_due().unwrap();
            assert_eq!(pending.due(now), [tp(0)]);
            waits.push(pending.ask_again(&[tp(0)], &[tp(0)], now).as_millis());
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);

        pending.note(Request::Find { tp: tp(1), turn: 2 }, now);
        assert_eq!(pending.next_due(), Some(now + GATHER));
        assert_eq!(pending.due(now + GATHER), [tp(1)]);
        assert_eq!(pending.answered(&tp(1)), Some(2));
        assert_eq!(pending.next_due(), Some(now + Duration::from_secs(30)));
    }

    #[test]
    fn what_was_not_answered_without_a_failure_is_asked_again_soon() {
        let now = Instant::now();
        let mut pending = Pending::default();
        pending.note(Request::Find { tp: tp(0), turn: 1 }, now);
        let later = Duration::from_mins(1);
        pending.note(Request::FindLater { tp: tp(1), turn: 2, wait: later }, now);
        assert_eq!(pending.ask_again(&[tp(0)], &[], now), Duration::ZERO);
        assert_eq!(pending.next_due(), Some(now + AGAIN));
        pending.note(Request::Forget(tp(0)), now);
        assert_eq!(pending.next_due(), Some(now + GATHER + later));
    }
}
