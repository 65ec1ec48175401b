//! News from the uploaders: tips that moved, files that have to be read again, partitions that
//! stopped; and what the group is told of it.
//!
//! Only partitions that wait for an upload are looked at; the others have nothing to learn. And of
//! these only those of which a file under `tips/` has changed; now and then all of them, for what
//! another host does wakes nobody.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use log::Level;

use super::owned::State;
use super::{KAFKA, Loop, SPOOL, in_full};
use crate::chain::CommitNote;
use crate::chain::follow::Reaction;
use crate::fail::{moment, step};
use crate::kafka::{Commit, KafkaError};
use crate::logging::{self, Fault};
use crate::spool::watch::Changes;
use crate::spool::{SpoolPartition, stops, tips};
use crate::types::{Offset, TopicPartition};

impl Loop<'_> {
    /// Looks at what changed under `tips/`.
    pub(super) fn news(&mut self) {
        self.watch.take_changes(&mut self.changes);
        let Changes { names, unknown } = std::mem::take(&mut self.changes);
        let mut waiting = self.waiting();
        if !unknown && !waiting.is_empty() {
            let changed = names.iter().filter_map(|name| SpoolPartition::of_tips(name));
            let changed: HashSet<_> = changed.collect();
            waiting.retain(|tp| changed.contains(&SpoolPartition::of(tp)));
        }
        self.learn(waiting);
    }

    /// Looks whether there is news of these.
    fn learn(&mut self, waiting: Vec<TopicPartition>) {
        if waiting.is_empty() {
            return;
        }
        let rewinds = tips::rewinds(&self.spool).unwrap_or_else(|error| {
            logging::failing(Level::Warn, Fault::SCAN, SPOOL, &in_full(&error));
            Vec::new()
        });
        for tp in waiting {
            let partition = SpoolPartition::of(&tp);
            if let Some(rewind) = rewinds.iter().find(|rewind| rewind.partition == partition) {
                let why = tips::rewind_reason(&self.spool, rewind);
                if self.wish(&tp, rewind.to, &why) {
                    continue;
                }
            }
            match tips::read(&self.spool, &partition) {
                Ok(Some(tip)) => self.tip_moved(&tp, tip.position),
                Ok(None) => {}
                Err(error) => {
                    logging::failing(Level::Warn, Fault::SCAN, SPOOL, &in_full(&error));
                }
            }
            if let Ok(Some(note)) = stops::read(&self.spool, &partition) {
                self.stop(&tp, note);
            }
        }
    }

    /// Partitions of which something closed is not durable yet.
    fn waiting(&self) -> Vec<TopicPartition> {
        let waiting = self.active().filter(|(_, active)| !active.follower.settled());
        waiting.map(|(tp, _)| tp.clone()).collect()
    }

    /// Looks at all that wait, whatever is known to have changed. Closed files that the spool does
    /// not have any more, though nobody told of a tip behind
    /// them: somebody removed them, or an uploader died between making room and telling. Nothing
    /// would ever come of waiting; the store knows.
    pub(super) fn miss_closed(&mut self) {
        let waiting = self.waiting();
        if waiting.is_empty() {
            return;
        }
        // In this order: a file that is handed on meanwhile is seen at least once, and of one that
        // was published meanwhile the tip is.
        let listed = self.spool.rotated().and_then(|mut files| {
            files.extend(self.spool.compressed()?);
            Ok(files)
        });
        let there: HashSet<_> = match listed {
            Ok(files) => files.into_iter().map(|file| file.name.partition).collect(),
            Err(error) => return log::warn!("{}", in_full(&error)),
        };
        self.learn(waiting);
        for tp in self.waiting() {
            if !there.contains(&SpoolPartition::of(&tp)) {
                self.relocate(&tp, "its closed files are gone from the spool");
            }
        }
    }

    fn tip_moved(&mut self, tp: &TopicPartition, position: crate::chain::Position) {
        let Some(active) = self.active_mut(tp) else { return };
        match active.follower.tip_moved(position) {
            Reaction::None => {}
            Reaction::Commit => self.ctx.reporter.useful(),
            Reaction::Restart(to) => {
                self.relocate(tp, &format!("somebody else moved the chain's tip to {to}"));
            }
        }
    }

    /// A local file was lost, at `to`; whether that means to go back. A wish that is of another
    /// time is forgotten by the next assignment.
    fn wish(&mut self, tp: &TopicPartition, to: Offset, why: &str) -> bool {
        let Some(active) = self.active_mut(tp) else { return false };
        let go_back = matches!(active.follower.rewind(to), Reaction::Restart(_));
        if go_back {
            let text = format!("going back to {to}: {why}");
            logging::failing(Level::Info, Fault::RELOCATED, tp, &text);
            self.let_go(tp);
            // Not at once: the file may only just be being put aside.
            self.relocate_after(tp, Duration::from_millis(500));
        }
        go_back
    }

    /// Commits tips that the group does not know yet.
    pub(super) fn commit(&mut self) {
        let now = Instant::now();
        let mut commits = Vec::new();
        for (tp, state) in &mut self.partitions {
            let State::Active(active) = state else { continue };
            if let Some(position) = active.commit_due(now).copied() {
                active.commit_sent = Some(position.tip);
                commits.push(Commit {
                    partition: tp.clone(),
                    offset: position.tip,
                    leader_epoch: position.leader_epoch,
                    metadata: CommitNote::new(position, active.identity.topic_id).to_text(),
                });
            }
        }
        if commits.is_empty() {
            return;
        }
        let sent =
            step!("commit").around_as(KafkaError::refused, || self.consumer.commit(&commits));
        if let Err(error) = sent {
            let tips = logging::count(commits.len(), "tip");
            let error = format!("{tips} could not be committed: {error}");
            logging::failing(Level::Warn, Fault::COMMIT, KAFKA, &error);
            for commit in &commits {
                self.uncommitted(&commit.partition);
            }
        }
    }

    /// The broker's answers to commits. One that failed is sent again, later each time.
    pub(super) fn committed(
        &mut self,
        answers: Vec<(TopicPartition, Offset, Result<(), KafkaError>)>,
    ) {
        let mut failed = Vec::new();
        for (tp, offset, answer) in answers {
            match answer {
                Ok(()) => {
                    moment!("committed");
                    let (topic, partition) = (tp.topic.as_str(), tp.partition.get());
                    log::debug!(
                        event = "committed", topic, partition, next = offset.get();
                        "committed {tp} at {offset}"
                    );
                    logging::working(Fault::COMMIT, &tp);
                    // Should it stop again, that is news.
                    if self.stopped.remove(&tp).is_some() {
                        log::info!(event = "resumed", topic, partition; "resumed {tp}");
                    }
                    if let Some(active) = self.active_mut(&tp) {
                        active.committed(offset);
                    }
                }
                Err(error) => {
                    self.uncommitted(&tp);
                    failed.push((tp, error));
                }
            }
        }
        match &failed[..] {
            [] => logging::working(Fault::COMMIT, KAFKA),
            [(tp, error)] => {
                let error = format!("its tip was not committed: {error}; trying again");
                logging::failing(Level::Warn, Fault::COMMIT, tp, &error);
            }
            [(_, error), ..] => {
                let count = failed.len();
                let error = format!("{count} tips were not committed: {error}; trying again");
                logging::failing(Level::Warn, Fault::COMMIT, KAFKA, &error);
            }
        }
    }

    fn uncommitted(&mut self, tp: &TopicPartition) {
        if let Some(active) = self.active_mut(tp) {
            active.uncommitted(Instant::now());
        }
    }

    /// Looks again where to read from, but not at once.
    pub(super) fn relocate_later(&mut self, tp: &TopicPartition, why: &str) {
        log::debug!(
            event = "relocated", topic = tp.topic.as_str(), partition = tp.partition.get();
            "{tp}: {why}; looking again in a moment"
        );
        self.let_go(tp);
        self.relocate_after(tp, Duration::from_secs(2));
    }
}
