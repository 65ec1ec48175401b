//! `--exit-at-end`: everything that was there at the start, and whether it is archived.
//!
//! A target is a partition's end at the start (the last stable offset under read_committed). It is
//! reached when the group has committed a tip at or behind it: only tips are committed, by
//! whichever member owns the partition, whoever wrote the files.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::owned::State;
use super::start::Topics;
use super::{ASK, Exit, Loop};
use crate::chain::CommitNote;
use crate::kafka::{Admin, Committed, GroupLookup, KafkaError, Spec};
use crate::logging::count;
use crate::spool::{SpoolPartition, stops};
use crate::types::{Isolation, Offset, Partition, TopicName, TopicPartition};

/// How often the group is asked what has been committed.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// Partitions that are not archived up to their targets yet.
pub(super) struct Targets {
    left: HashMap<TopicPartition, Offset>,
    ask_at: Instant,
    /// Whether a topic was deleted before its target was reached.
    incomplete: bool,
    /// The answer to what was asked; a thread waits for it, for in a rebalance it may take long.
    asked: Option<Receiver<Answer>>,
}

type Answer = Result<Vec<(TopicPartition, Option<Committed>)>, KafkaError>;

impl Targets {
    /// The ends of all partitions that match, now.
    pub(super) fn ask(
        admin: &Admin,
        topics: &Topics,
        isolation: Isolation,
    ) -> Result<Self, KafkaError> {
        let mut wanted = Vec::new();
        for (topic, partitions) in admin.topics(ASK)? {
            if topics.patterns().matches(&topic) {
                let numbers = (0..i64::from(partitions)).filter_map(|n| Partition::new(n).ok());
                let tps = numbers.map(|number| TopicPartition::new(topic.clone(), number));
                wanted.extend(tps.map(|tp| (tp, Spec::Latest)));
            }
        }
        let mut left = HashMap::new();
        for (tp, end) in admin.list_offsets(&wanted, isolation, ASK * 6)? {
            left.insert(tp, end?);
        }
        let partitions = left.len();
        log::info!(
            event = "targets", partitions;
            "archiving up to the present end of {}, then leaving", count(partitions, "partition")
        );
        Ok(Self { left, ask_at: Instant::now(), incomplete: false, asked: None })
    }
}

impl Targets {
    fn ask_group(&self, group: GroupLookup) -> Receiver<Answer> {
        let asked: Vec<_> = self.left.keys().cloned().collect();
        let (answer, answers) = mpsc::channel();
        std::thread::spawn(move || {
            // Nobody may be waiting any more.
            let _ = answer.send(group.committed(&asked, ASK));
        });
        answers
    }

    /// Gives up what lies in topics that are not there any more.
    pub(super) fn forget_topics_but(&mut self, existing: &[TopicName]) {
        let before = self.left.len();
        self.left.retain(|tp, target| {
            let there = existing.contains(&tp.topic);
            if !there {
                let (topic, partition) = (tp.topic.as_str(), tp.partition.get());
                log::error!(
                    event = "not_archived", topic, partition, next = target.get();
                    "not archived up to {target}: {tp}: the topic was deleted meanwhile"
                );
            }
            there
        });
        self.incomplete |= self.left.len() < before;
    }

    fn forget(&mut self, committed: Vec<(TopicPartition, Option<Committed>)>) {
        for (tp, committed) in committed {
            let tip = committed.filter(|c| CommitNote::parse(&c.metadata).is_some());
            let reached = tip.zip(self.left.get(&tp)).is_some_and(|(c, end)| c.offset >= *end);
            if reached {
                self.left.remove(&tp);
            }
        }
    }
}

impl Loop<'_> {
    /// Whether reading `tp` from `next` on is of no use for the target.
    pub(super) fn target_met(&self, tp: &TopicPartition, next: Offset) -> bool {
        let Some(targets) = &self.targets else { return false };
        targets.left.get(tp).is_none_or(|target| next >= *target)
    }

    /// Says that this process is done: drained, or all targets are reached.
    pub(super) fn finished(&mut self, now: Instant) -> Option<Exit> {
        if let Some(deadline) = self.draining {
            return self.drained(now, deadline);
        }
        self.stop_at_targets();
        self.forget_reached(now);
        let targets = self.targets.as_ref()?;
        if targets.left.is_empty() {
            let incomplete = targets.incomplete;
            if !incomplete {
                log::info!(
                    event = "targets_reached"; "everything that was there at the start is archived"
                );
            }
            return self.leave(if incomplete { Exit::PARTIAL } else { Exit::DONE });
        }
        self.all_stopped().and_then(|exit| self.leave(exit))
    }

    /// Drains, so that the group's offsets become the chains' tips, and leaves with `exit` then.
    fn leave(&mut self, exit: Exit) -> Option<Exit> {
        self.ending = Some(exit);
        self.drain();
        None
    }

    /// Stops reading partitions that were read up to their target; their files are due.
    fn stop_at_targets(&mut self) {
        let Some(targets) = &self.targets else { return };
        let read_up: Vec<_> = self
            .active()
            .filter(|(tp, active)| {
                !active.target_reached
                    && targets.left.get(tp).is_none_or(|target| active.next >= *target)
            })
            .map(|(tp, _)| tp.clone())
            .collect();
        for tp in &read_up {
            if let Some(active) = self.active_mut(tp) {
                active.target_reached = true;
            }
        }
        self.unassign(&read_up);
    }

    /// Asks the group what has been committed, and takes in what it answered.
    fn forget_reached(&mut self, now: Instant) {
        let Some(targets) = &mut self.targets else { return };
        let answer = match &targets.asked {
            Some(asked) => match asked.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => Ok(Vec::new()),
            },
            None if now >= targets.ask_at => {
                targets.asked = Some(targets.ask_group(self.group.clone()));
                return;
            }
            None => return,
        };
        targets.asked = None;
        targets.ask_at = now + ASK_EVERY;
        match answer {
            Ok(committed) => targets.forget(committed),
            Err(error) => log::debug!("the group's offsets are not to be had: {error}"),
        }
    }

    /// If nothing is left but partitions that need the operator.
    fn all_stopped(&self) -> Option<Exit> {
        let left: HashSet<_> = self.targets.as_ref()?.left.keys().collect();
        let stopped = |tp: &&TopicPartition| {
            matches!(self.partitions.get(*tp), Some(State::Stopped { .. }))
                || self.stop_note(tp).is_some()
        };
        if !left.iter().all(stopped) {
            return None;
        }
        for tp in left {
            let why = self.stop_note(tp).unwrap_or_default();
            let (topic, partition) = (tp.topic.as_str(), tp.partition.get());
            log::error!(
                event = "not_archived", topic, partition, error = why.as_str();
                "not archived: {tp}: {why}"
            );
        }
        Some(Exit::PARTIAL)
    }

    /// Why somebody stopped the partition since this process began.
    fn stop_note(&self, tp: &TopicPartition) -> Option<String> {
        let note = stops::read(&self.spool, &SpoolPartition::of(tp)).ok().flatten()?;
        (note.since_ms >= self.began_ms).then_some(note.reason)
    }

    fn drained(&mut self, now: Instant, deadline: Instant) -> Option<Exit> {
        let waits = |state: &&State| match state {
            State::Active(active) => !active.is_settled(),
            State::Finding { .. } => true,
            State::Stopped { .. } => false,
        };
        let waiting = self.partitions.values().filter(waits).count();
        if waiting == 0 {
            log::info!(event = "drained"; "drained: the group's offsets are the chains' tips");
            return Some(self.ending.unwrap_or(Exit::DONE));
        }
        if now < deadline {
            return None;
        }
        log::warn!(
            event = "not_drained", partitions = waiting;
            "shutdown_timeout is over: {waiting} partitions wait for their uploads; the spool keeps \
             what was rotated, the rest is read again"
        );
        Some(Exit::PARTIAL)
    }
}
