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
use super::{ASK, Exit, Loop, START_PATIENCE};
use crate::chain::CommitNote;
use crate::kafka::{Admin, CommittedOf, GroupLookup, KafkaError, Spec};
use crate::logging::count;
use crate::spool::{SpoolError, SpoolPartition, stops};
use crate::types::{Isolation, Offset, Partition, TopicName, TopicPartition};

/// How often the group is asked what has been committed.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// Partitions that are not archived up to their targets yet.
pub(super) struct Targets {
    left: HashMap<TopicPartition, Offset>,
    /// Partitions whose ends the broker does not tell: they have no leader, say.
    unknown: Vec<TopicPartition>,
    /// How long their ends are asked for, when everything else is done.
    patience: Instant,
    isolation: Isolation,
    ask_at: Instant,
    /// Whether a topic was deleted before its target was reached.
    incomplete: bool,
    /// The answer to what was asked; a thread waits for it, for in a rebalance it may take long.
    asked: Option<Receiver<Answer>>,
}

/// What the group has committed, and ends that were not known before.
type Answer = Result<(Vec<CommittedOf>, Vec<EndOf>), KafkaError>;

/// A partition, and where it ends.
type EndOf = (TopicPartition, Offset);

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
        let (left, unknown) = ends(admin, &wanted, isolation)?;
        for tp in &unknown {
            let (topic, partition) = (tp.topic.as_str(), tp.partition.get());
            log::warn!(
                event = "end_unknown", topic, partition;
                "{tp}: its end is not to be had; asking again"
            );
        }
        let partitions = left.len();
        if wanted.is_empty() {
            log::warn!(
                event = "targets", partitions;
                "no topic matches topic_whitelist: there is nothing to archive"
            );
        }
        log::info!(
            event = "targets", partitions;
            "archiving up to the present end of {}, then leaving", count(partitions, "partition")
        );
        let now = Instant::now();
        Ok(Self {
            left: left.into_iter().collect(),
            unknown,
            patience: now + START_PATIENCE,
            isolation,
            ask_at: now,
            incomplete: false,
            asked: None,
        })
    }
}

/// The ends that the broker tells, and the partitions of which it does not.
fn ends(
    admin: &Admin,
    wanted: &[(TopicPartition, Spec)],
    isolation: Isolation,
) -> Result<(Vec<EndOf>, Vec<TopicPartition>), KafkaError> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (tp, end) in admin.list_offsets(wanted, isolation, ASK * 2)? {
        match end {
            Ok(end) => known.push((tp, end)),
            Err(error) => {
                log::debug!("{tp}: {error}");
                unknown.push(tp);
            }
        }
    }
    Ok((known, unknown))
}

impl Targets {
    /// Whether reading `tp` from `next` on is of no use.
    fn reached(&self, tp: &TopicPartition, next: Offset) -> bool {
        !self.unknown.contains(tp) && self.left.get(tp).is_none_or(|target| next >= *target)
    }

    fn ask_group(&self, group: GroupLookup, admin: Admin) -> Receiver<Answer> {
        let asked: Vec<_> = self.left.keys().cloned().collect();
        let unknown: Vec<_> = self.unknown.iter().map(|tp| (tp.clone(), Spec::Latest)).collect();
        let isolation = self.isolation;
        let (answer, answers) = mpsc::channel();
        std::thread::spawn(move || {
            // Nobody may be waiting any more.
            let ends = ends(&admin, &unknown, isolation);
            let known = ends.map(|(known, _)| known).unwrap_or_default();
            let _ = answer.send(group.committed(&asked, ASK).map(|committed| (committed, known)));
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
        self.unknown.retain(|tp| existing.contains(&tp.topic));
        self.incomplete |= self.left.len() < before;
    }

    /// These ends are known by now.
    fn learn(&mut self, known: Vec<EndOf>) {
        for (tp, end) in known {
            self.unknown.retain(|other| *other != tp);
            self.left.insert(tp, end);
        }
    }

    /// Everything whose end is known is archived; the rest is not waited for longer.
    fn give_up_unknown(&mut self) {
        for tp in std::mem::take(&mut self.unknown) {
            let (topic, partition) = (tp.topic.as_str(), tp.partition.get());
            log::error!(
                event = "not_archived", topic, partition;
                "not archived: {tp}: the broker does not tell its end; has it a leader?"
            );
            self.incomplete = true;
        }
    }

    fn forget(&mut self, committed: Vec<CommittedOf>) {
        for (tp, committed) in committed {
            let tip = committed.ok().flatten().filter(|c| CommitNote::parse(&c.metadata).is_some());
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
        targets.reached(tp, next)
    }

    /// Says that this process is done: drained, or all targets are reached.
    pub(super) fn finished(&mut self, now: Instant) -> Option<Exit> {
        if let Some(deadline) = self.draining {
            return self.drained(now, deadline);
        }
        self.stop_at_targets();
        self.forget_reached(now);
        let targets = self.targets.as_ref()?;
        if !targets.unknown.is_empty() {
            let rest_is_done = targets.left.keys().all(|tp| self.is_stopped(tp));
            if !rest_is_done || now < targets.patience {
                return None;
            }
        }
        let targets = self.targets.as_mut()?;
        targets.give_up_unknown();
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
            .filter(|(tp, active)| !active.target_reached && targets.reached(tp, active.next))
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
                Err(TryRecvError::Disconnected) => Ok((Vec::new(), Vec::new())),
            },
            None if now >= targets.ask_at => {
                targets.asked = Some(targets.ask_group(self.group.clone(), self.admin.clone()));
                return;
            }
            None => return,
        };
        targets.asked = None;
        targets.ask_at = now + ASK_EVERY;
        match answer {
            Ok((committed, known)) => {
                targets.forget(committed);
                targets.learn(known);
            }
            Err(error) => log::debug!("the group's offsets are not to be had: {error}"),
        }
    }

    fn is_stopped(&self, tp: &TopicPartition) -> bool {
        matches!(self.partitions.get(tp), Some(State::Stopped { .. }))
            || self.stop_note(tp).is_some()
    }

    /// If nothing is left but partitions that need the operator.
    fn all_stopped(&self) -> Option<Exit> {
        let left: HashSet<_> = self.targets.as_ref()?.left.keys().collect();
        if !left.iter().all(|tp| self.is_stopped(tp)) {
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

    /// Partitions that have files here. If that can't be seen, all of those that are looked for.
    fn in_spool(&self) -> HashSet<SpoolPartition> {
        let look = || {
            let mut here = HashSet::new();
            here.extend(self.spool.in_progress()?.into_iter().map(|file| file.name.partition));
            for file in self.spool.rotated()?.into_iter().chain(self.spool.compressed()?) {
                here.insert(file.name.partition);
            }
            Ok::<_, SpoolError>(here)
        };
        look().unwrap_or_else(|_| self.partitions.keys().map(SpoolPartition::of).collect())
    }

    fn drained(&mut self, now: Instant, deadline: Instant) -> Option<Exit> {
        let here = if self.is_finding() { self.in_spool() } else { HashSet::new() };
        let waits = |(tp, state): &(&TopicPartition, &State)| match state {
            State::Active(active) => !active.is_settled(),
            // Nothing was read of it that would have to be archived first.
            State::Finding { .. } => here.contains(&SpoolPartition::of(tp)),
            State::Stopped { .. } => false,
        };
        let waiting = self.partitions.iter().filter(waits).count();
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
