//! Which files in progress are due, and how they are closed.
//!
//! Before files are closed the broker is asked for their topics' ids: a topic that was recreated
//! while its partition was being read must not leak into the old topic's chain
//! (`docs/decisions/0004-topic-identity.md`).

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use log::Level;

use super::owned::{Active, State};
use super::sink::{Rotation, SinkError};
use super::{ASK, KAFKA, Loop, SPOOL, in_full};
use crate::kafka::{Code, KafkaError};
use crate::logging::{self, Fault};
use crate::spool::age::Stamp;
use crate::spool::stage::Placed;
use crate::types::{TopicId, TopicName, TopicPartition};

impl Loop<'_> {
    /// Partitions whose file is large enough, old enough, or has been quiet long enough.
    pub(super) fn due(&self, now: Instant) -> Vec<TopicPartition> {
        let settings = &self.config.consumer;
        let largest = settings.max_file_bytes.get();
        let draining = self.draining.is_some();
        self.dirty(|active| {
            let old = active.dirty_since().is_some_and(|since| now - since >= settings.max_age);
            let quiet = settings
                .max_idle
                .is_some_and(|idle| active.quiet_since().is_some_and(|since| now - since >= idle));
            draining
                || old
                || quiet
                || active.in_progress_bytes() >= largest
                || active.target_reached
        })
    }

    /// Partitions with something to rotate that satisfy `which`.
    pub(super) fn dirty(&self, which: impl Fn(&Active) -> bool) -> Vec<TopicPartition> {
        let due = self.active().filter(|(_, active)| active.is_dirty() && which(active));
        due.map(|(tp, _)| tp.clone()).collect()
    }

    /// Closes the files in progress of `tps`. If the broker does not answer, nothing is closed.
    pub(super) fn rotate(&mut self, tps: &[TopicPartition]) {
        let is_dirty = |tp: &&TopicPartition| matches!(self.partitions.get(*tp), Some(State::Active(active)) if active.is_dirty());
        let due: Vec<_> = tps.iter().filter(is_dirty).cloned().collect();
        if due.is_empty() {
            return;
        }
        let topics: BTreeSet<_> = due.iter().map(|tp| tp.topic.clone()).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let answers = match self.admin.topic_ids(&topics, ASK) {
            Ok(answers) => answers,
            Err(error) => {
                let files = logging::count(due.len(), "file");
                let error = format!("{files} can't be rotated now: {error}");
                logging::failing(Level::Warn, Fault::ROTATE, KAFKA, &error);
                return;
            }
        };
        logging::working(Fault::ROTATE, KAFKA);
        let mut ids: HashMap<TopicName, TopicId> = HashMap::new();
        for (topic, answer) in answers {
            match answer.as_ref().map_err(KafkaError::code) {
                Ok(id) => ids.insert(topic, *id),
                // Of a topic that is gone nothing can follow: what was read is its end.
                Err(Some(Code::UNKNOWN_TOPIC_OR_PART | Code::UNKNOWN_TOPIC)) => {
                    ids.insert(topic, TopicId::UNKNOWN)
                }
                Err(_) => None,
            };
        }
        for tp in due {
            // Without an answer the file waits for the next time.
            if let Some(id) = ids.get(&tp.topic) {
                self.rotate_one(&tp, *id);
            }
        }
    }

    fn rotate_one(&mut self, tp: &TopicPartition, id: TopicId) {
        let Some(State::Active(active)) = self.partitions.get_mut(tp) else { return };
        if !active.identity.topic_id.agrees_with(id) {
            let (topic, partition) = (tp.topic.as_str(), tp.partition.get());
            log::warn!(
                event = "dropped", topic, partition;
                "{tp}: its file in progress is dropped: records of both may be in it"
            );
            if let Some(sink) = active.sink.take()
                && let Err(error) = sink.discard()
            {
                logging::failing(Level::Warn, Fault::SPOOL, SPOOL, &in_full(&error));
            }
            self.relocate(tp, "its topic was deleted and created again");
            return;
        }
        let rotated = Stamp::now()
            .map_err(SinkError::from)
            .and_then(|stamp| active.rotate(&self.spool, &stamp, Instant::now()));
        match rotated {
            Ok(Rotation { range, records, bytes, placed, .. }) => {
                self.summary.files += 1;
                let kept = match placed {
                    Placed::Ours(_) => "",
                    Placed::Theirs(_) => " (another writer's file of this range is kept)",
                };
                log::debug!(
                    event = "rotated", topic = tp.topic.as_str(), partition = tp.partition.get(),
                    start = range.start().get(), next = range.next().get(), records, bytes;
                    "rotated {tp} {range}: {records} records, {}{kept}", logging::size(bytes)
                );
                logging::working(Fault::SPOOL, SPOOL);
            }
            Err(error) => {
                let error = format!("{tp}: {}", in_full(&error));
                logging::failing(Level::Error, Fault::SPOOL, SPOOL, &error);
                self.relocate_later(tp, "its file could not be closed");
            }
        }
    }
}
