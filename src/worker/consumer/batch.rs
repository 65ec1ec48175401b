//! Records and partition events as they come from the broker: the hot path.

use std::time::Instant;

use super::{ASK, BATCH_WAIT, Loop};
use crate::kafka::{Batch, Part, PartitionEvent, Run, Slot};
use crate::mak::{Headers, HeadersBuf, Record};
use crate::types::TopicPartition;

/// How many records a batch takes at most.
pub(super) const MOST: usize = 4096;
/// Blocks are this large at most.
pub(super) const BLOCK_MAX: usize = 256 << 10;
/// And this large at least, however many partitions there are.
pub(super) const BLOCK_MIN: usize = 4 << 10;

impl Loop<'_> {
    /// Takes what has come.
    pub(super) fn take(&mut self, batch: &mut Batch) {
        let taken = self.consumer.take(batch, BATCH_WAIT);
        self.summary.records += taken as u64;
        let now = Instant::now();
        for part in batch.parts() {
            match part {
                Part::Run(run) => self.run_of_records(run, now),
                Part::Event(slot, event) => self.partition_event(slot, event, now),
            }
        }
        batch.clear();
    }

    fn run_of_records(&mut self, run: Run<'_>, now: Instant) {
        let Some(tp) = self.slots.get(&run.slot()) else { return };
        let Some(super::State::Active(active)) = self.partitions.get_mut(tp) else { return };
        let mut headers = HeadersBuf::new();
        let mut last = None;
        let mut failed = None;
        for message in run.messages() {
            let found = match message.headers() {
                Ok(found) => found,
                Err(error) => {
                    failed = Some(error.to_string());
                    break;
                }
            };
            let encoded = if found.len() == 0 {
                Headers::NONE
            } else {
                headers.clear();
                for header in found {
                    headers.push(header.name, header.value);
                }
                headers.as_headers()
            };
            let record = Record {
                offset: message.offset(),
                timestamp: message.timestamp(),
                key: message.key(),
                value: message.value(),
                headers: encoded,
            };
            self.summary.bytes += record.content_bytes();
            if let Err(error) = active.push(&self.spool, &record, self.block_target, now) {
                failed = Some(super::in_full(&error));
                break;
            }
            last = Some(message);
        }
        if let Some(message) = last {
            active.leader_epoch = message.leader_epoch().or(active.leader_epoch);
        }
        if let Some(why) = failed {
            let tp = tp.clone();
            log::error!("{tp}: {why}");
            self.relocate_later(&tp, "the file in progress could not be written");
        }
    }

    fn partition_event(&mut self, slot: Slot, event: &PartitionEvent, now: Instant) {
        let Some(tp) = self.slots.get(&slot).cloned() else { return };
        match event {
            PartitionEvent::End { next } => {
                if let Some(active) = self.active_mut(&tp) {
                    active.reached(*next, now);
                }
            }
            PartitionEvent::OutOfRange { text, .. } => {
                self.relocate(&tp, &format!("its position is out of the broker's log: {text}"));
            }
            PartitionEvent::Truncated { text } => {
                let why = format!(
                    "the log was truncated: {text}; both histories are kept: what is archived, and \
                     what the broker has now"
                );
                self.stop(&tp, &why);
            }
            PartitionEvent::Gone { text } => self.gone(&tp, text),
            PartitionEvent::Forbidden { text } => {
                self.stop(&tp, &format!("{text}: grant READ on the topic, then restart"));
            }
            PartitionEvent::Error { code, text } => log::warn!("{tp}: {text} ({})", code.0),
        }
    }

    /// The topic is not there any more, or is there again: what was read is closed, and the
    /// broker is asked anew.
    fn gone(&mut self, tp: &TopicPartition, text: &str) {
        log::warn!("{tp}: {text}");
        self.rotate(std::slice::from_ref(tp));
        self.let_go(tp);
        self.relocate_after(tp, ASK);
    }
}
