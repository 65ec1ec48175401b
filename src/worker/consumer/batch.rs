//! Records and partition events as they come from the broker: the hot path.

use std::iter::Peekable;
use std::time::Instant;

use log::Level;

use super::owned::State;
use super::{ASK, BATCH_WAIT, KAFKA, Loop, SPOOL};
use crate::kafka::{Batch, KafkaError, Message, Part, PartitionEvent, Run, Slot};
use crate::logging::{self, Fault};
use crate::mak::{Headers, HeadersBuf, Record};
use crate::spool::{StopKind, Stopped};
use crate::types::{Offset, TopicPartition};

/// How many records a batch takes at most.
pub(super) const MOST: usize = 4096;
/// Blocks are this large at most.
pub(super) const BLOCK_MAX: usize = 256 << 10;
/// And this large at least, however many partitions there are.
pub(super) const BLOCK_MIN: usize = 4 << 10;

/// Why a file takes no more records for now.
enum Filled {
    /// It has reached its size.
    Whole,
    /// A hole ends it: the next record has this offset.
    Hole(Offset),
    /// There are no more.
    RunEnded,
}

/// Where a file ends.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// Its size.
    largest: u64,
    /// Before a record whose offset is not the one behind the record before.
    at_holes: bool,
}

/// Why a run of records can't be taken in.
enum Failed {
    /// The client can't make sense of a record: it will not, however often it is read.
    Unreadable { at: Offset, why: KafkaError },
    /// The file in progress is the matter.
    File(String),
}

/// Where a truncated log parts from what was read up to `next`, as librdkafka tells it: the broker's
/// end of the epoch that our last record had. An answer about another epoch says too little.
fn parted(text: &str, next: Offset, epoch: Option<i32>) -> Option<(Offset, Offset)> {
    let number = |behind: &str| {
        let (_, rest) = text.split_once(behind)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let end = Offset::new(number("broker end offset is ")?).ok()?;
    let of = number("offset leader epoch ").and_then(|epoch| i32::try_from(epoch).ok())?;
    (Some(of) == epoch && end < next).then_some((end, next))
}

fn encode_headers<'b>(
    message: Message<'_>,
    buffer: &'b mut HeadersBuf,
) -> Result<Headers<'b>, KafkaError> {
    let headers = message.headers()?;
    if headers.len() == 0 {
        return Ok(Headers::NONE);
    }
    buffer.clear();
    for header in headers {
        buffer.push(header.name, header.value);
    }
    Ok(buffer.as_headers())
}

impl Loop<'_> {
    /// Takes what has come.
    pub(super) fn take(&mut self, batch: &mut Batch) {
        self.fit_batch(batch);
        let before = self.summary.bytes;
        let taken = self.consumer.take(batch, BATCH_WAIT) as u64;
        self.summary.records += taken;
        if taken > 0 {
            logging::working(Fault::BROKERS, KAFKA);
        }
        let now = Instant::now();
        for part in batch.parts() {
            match part {
                Part::Run(run) => self.run_of_records(run, now),
                Part::Event(slot, event) => self.partition_event(slot, event, now),
            }
        }
        batch.clear();
        if let Some(size) = (self.summary.bytes - before).checked_div(taken) {
            self.record_size = self.record_size.midpoint(size);
        }
    }

    /// Near the spool's limit smaller batches are taken: all of a batch has to go into files. And of
    /// large records: all of a batch is in memory.
    fn fit_batch(&mut self, batch: &mut Batch) {
        let room = self.stop_at.saturating_sub(self.usage + self.taken_since);
        let room = room.min(self.in_hand);
        let records = (room / self.record_size.max(1)).clamp(1, MOST as u64);
        let size = 1 << records.ilog2();
        if size != self.batch_size {
            self.batch_size = size;
            *batch = Batch::with_capacity(size);
        }
    }

    /// Takes a run in; where a file reaches its size, it is closed and the next one begun.
    fn run_of_records(&mut self, run: Run<'_>, now: Instant) {
        let Some(tp) = self.slots.get(&run.slot()).cloned() else { return };
        let mut messages = run.messages().peekable();
        let mut ends = Ends {
            largest: self.config.consumer.max_file_bytes.get(),
            // Records without offsets have to be dense.
            at_holes: self.config.has_no_offsets(),
        };
        loop {
            match self.fill_file(&tp, &mut messages, ends, now) {
                Ok(Filled::Whole) => self.rotate(std::slice::from_ref(&tp)),
                Ok(Filled::Hole(at)) => {
                    if let Some(active) = self.active_mut(&tp) {
                        active.reached(at, now);
                    }
                    self.rotate(std::slice::from_ref(&tp));
                }
                Ok(Filled::RunEnded) => return,
                Err(Failed::File(why)) => {
                    let error = format!("{tp}: {why}");
                    logging::failing(Level::Error, Fault::SPOOL, SPOOL, &error);
                    self.relocate_later(&tp, "its file in progress could not be written");
                    return;
                }
                Err(Failed::Unreadable { at, why }) => return self.unreadable(&tp, at, &why, now),
            }
            match self.active_mut(&tp) {
                // It could not be closed now: every record of the run has to go somewhere.
                Some(active) if active.is_dirty() => {
                    ends = Ends { largest: u64::MAX, at_holes: false };
                }
                Some(_) => {}
                // Looked for anew: it will be read again from where its files end.
                None => return,
            }
        }
    }

    fn fill_file<'m>(
        &mut self,
        tp: &TopicPartition,
        messages: &mut Peekable<impl Iterator<Item = Message<'m>>>,
        ends: Ends,
        now: Instant,
    ) -> Result<Filled, Failed> {
        let Some(State::Active(active)) = self.partitions.get_mut(tp) else {
            return Ok(Filled::RunEnded);
        };
        let mut bytes = 0;
        let mut last = None;
        let mut filled = Ok(Filled::RunEnded);
        while let Some(message) = messages.peek().copied() {
            if ends.at_holes && message.offset() != active.expects() {
                filled = Ok(Filled::Hole(message.offset()));
                break;
            }
            messages.next();
            let headers = match encode_headers(message, &mut self.headers) {
                Ok(headers) => headers,
                Err(why) => {
                    filled = Err(Failed::Unreadable { at: message.offset(), why });
                    break;
                }
            };
            let record = Record {
                offset: message.offset(),
                timestamp: message.timestamp(),
                key: message.key(),
                value: message.value(),
                headers,
            };
            bytes += record.content_bytes();
            if let Err(error) = active.push(&self.spool, &record, self.block_target, now) {
                filled = Err(Failed::File(super::in_full(&error)));
                break;
            }
            last = Some(message);
            if active.in_progress_bytes() >= ends.largest {
                filled = Ok(Filled::Whole);
                break;
            }
        }
        if let Some(message) = last {
            active.leader_epoch = message.leader_epoch().or(active.leader_epoch);
        }
        self.summary.bytes += bytes;
        self.taken_since += bytes;
        filled
    }

    /// A record that the client can't read. What came before it goes into the archive; then the
    /// partition waits for the operator.
    fn unreadable(&mut self, tp: &TopicPartition, at: Offset, why: &KafkaError, now: Instant) {
        if let Some(active) = self.active_mut(tp) {
            active.reached(at, now);
        }
        self.rotate(std::slice::from_ref(tp));
        let why = format!("the record at offset {at} does not read: {why}");
        let note = Stopped::new(tp, StopKind::UnreadableRecord, why);
        self.stop(tp, note.about(at, at.after()));
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
                // What was read is part of the history that the archive has.
                self.rotate(std::slice::from_ref(&tp));
                let at = self.active_mut(&tp).map(|active| (active.next, active.leader_epoch));
                let mut note = Stopped::new(&tp, StopKind::Truncated, why);
                if let Some((from, to)) = at.and_then(|(next, epoch)| parted(text, next, epoch)) {
                    note = note.about(from, to);
                }
                self.stop(&tp, note);
            }
            PartitionEvent::Gone { text } => self.gone(&tp, text),
            PartitionEvent::Forbidden { text } => {
                let why = format!("{text}: grant READ on the topic");
                self.stop(&tp, Stopped::new(&tp, StopKind::NotPermitted, why));
            }
            PartitionEvent::Error { code, text } => {
                let error = format!("{text} ({})", code.0);
                logging::failing(Level::Warn, Fault::PARTITION, &tp, &error);
            }
        }
    }

    /// The topic is not there any more, or is there again: what was read is closed, and the
    /// broker is asked anew.
    fn gone(&mut self, tp: &TopicPartition, text: &str) {
        logging::failing(Level::Warn, Fault::PARTITION, tp, text);
        self.rotate(std::slice::from_ref(tp));
        self.let_go(tp);
        self.relocate_after(tp, ASK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_histories_part_is_believed_only_of_the_same_epoch() {
        let at = |offset| Offset::new(offset).unwrap();
        let text = "Partition log truncation detected at offset 120 (leader epoch 4): broker end \
                    offset is 100 (offset leader epoch 4). Reset to INVALID.";
        assert_eq!(parted(text, at(120), Some(4)), Some((at(100), at(120))));
        assert_eq!(parted(text, at(120), Some(5)), None);
        assert_eq!(parted(text, at(120), None), None);
        assert_eq!(parted(text, at(100), Some(4)), None);
        assert_eq!(parted("it is truncated", at(120), Some(4)), None);
    }
}
