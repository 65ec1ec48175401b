//! One partition that the group gave us, from its assignment to its loss.
//!
//! Whatever goes wrong with a partition's position, there is one way back: park the file in
//! progress, and let the finder look again. What joins the chain then goes on, the rest is
//! dropped; Kafka has it.

use std::time::{Duration, Instant};

use super::sink::{Rotation, Sink, SinkError};
use super::telling::Unarchived;
use crate::chain::Position;
use crate::chain::follow::Follower;
use crate::mak::{FileHeader, Record, StartTime};
use crate::meta::{Gap, Identity};
use crate::spool::Spool;
use crate::spool::age::Stamp;
use crate::store::names::{ChainId, ChainName};
use crate::sys::random;
use crate::types::Offset;

/// Where a partition stands.
#[derive(Debug)]
pub(crate) enum State {
    /// The finder is asked, or will be.
    Finding {
        /// Its answer bears this number; others are of another time.
        turn: u64,
        /// How often in a row the log ended before the chain's position.
        short_logs: u32,
    },
    /// It is being read, or was read up to its target.
    Active(Box<Active>),
    /// It needs the operator.
    Stopped {
        /// When it is tried again though nobody did anything.
        look_at: Instant,
    },
}

/// A partition that is being read.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) identity: Identity,
    pub(crate) follower: Follower,
    /// Everything below was read from Kafka, or is known to hold nothing.
    pub(crate) next: Offset,
    pub(crate) sink: Option<Sink>,
    /// What is missing at the start of the next file.
    pub(crate) gap: Option<Gap>,
    pub(crate) leader_epoch: Option<i32>,
    /// When something came from the broker last.
    pub(crate) progress: Instant,
    /// Whether librdkafka fetches it.
    pub(crate) assigned: bool,
    /// With `--exit-at-end`: everything that was there at the start was read.
    pub(crate) target_reached: bool,
    /// When offsets were covered first that are in no file yet.
    pub(crate) covered_since: Option<Instant>,
    /// The last tip that was handed to a commit, and the last that the broker confirmed.
    pub(crate) commit_sent: Option<Offset>,
    pub(crate) commit_done: Option<Offset>,
    /// What was closed here and is not archived yet.
    pub(crate) unarchived: Unarchived,
}

impl Active {
    /// Goes on at `next` behind what `follower` knows of.
    pub(crate) fn new(identity: Identity, follower: Follower, next: Offset) -> Self {
        let leader_epoch = follower.position().leader_epoch;
        Self {
            identity,
            follower,
            next,
            sink: None,
            gap: None,
            leader_epoch,
            progress: Instant::now(),
            assigned: false,
            target_reached: false,
            covered_since: None,
            commit_sent: None,
            commit_done: None,
            unarchived: Unarchived::new(),
        }
    }

    /// Which of the topic's chains it goes into.
    pub(crate) fn chain(&self) -> ChainId {
        let name = ChainName::new(self.identity.topic.clone(), self.follower.position().generation);
        name.partition(self.identity.partition)
    }

    /// Takes a record in; `next` moves behind it.
    pub(crate) fn push(
        &mut self,
        spool: &Spool,
        record: &Record<'_>,
        block_target: usize,
        now: Instant,
    ) -> Result<(), SinkError> {
        if self.sink.is_none() {
            self.open(spool, now)?;
        }
        if let Some(sink) = &mut self.sink {
            sink.push(record, block_target, now)?;
        }
        self.next = record.offset.after();
        self.progress = now;
        Ok(())
    }

    fn open(&mut self, spool: &Spool, now: Instant) -> Result<(), SinkError> {
        let header = FileHeader {
            identity: self.identity.clone(),
            start: self.follower.current_start(),
            generation: self.follower.position().generation,
            first: self.follower.position().first,
            start_time: StartTime::from_system_time(std::time::SystemTime::now()),
            gap: self.gap.take(),
            writer: random::writer_token()?,
        };
        self.sink = Some(Sink::create(spool, &header, now)?);
        Ok(())
    }

    /// The broker says that everything below `next` was delivered (end of partition).
    pub(crate) fn reached(&mut self, next: Offset, now: Instant) {
        self.progress = now;
        if next > self.next {
            self.next = next;
            // The epoch known is that of a record further back.
            self.leader_epoch = None;
            self.covered_since.get_or_insert(now);
        }
    }

    /// Whether there is anything that a rotation would put into a file.
    pub(crate) fn is_dirty(&self) -> bool {
        self.next > self.follower.current_start()
    }

    /// When the last record came, or the last marker.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        self.sink.as_ref().map(|sink| sink.last_record).max(self.covered_since)
    }

    /// Since when.
    pub(crate) fn dirty_since(&self) -> Option<Instant> {
        self.sink.as_ref().map(|sink| sink.opened).or(self.covered_since)
    }

    /// Bytes that are not written yet.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        self.sink.as_ref().map_or(0, Sink::buffered_bytes)
    }

    /// Bytes in the file in progress.
    pub(crate) fn in_progress_bytes(&self) -> u64 {
        self.sink.as_ref().map_or(0, Sink::len_bytes)
    }

    /// Makes a file of everything up to `next`.
    pub(crate) fn rotate(
        &mut self,
        spool: &Spool,
        stamp: &Stamp,
        now: Instant,
    ) -> Result<Rotation, SinkError> {
        if self.sink.is_none() {
            self.open(spool, now)?;
        }
        let Some(mut sink) = self.sink.take() else {
            return Err(SinkError::NoFile);
        };
        sink.set_leader_epoch(self.leader_epoch);
        let rotation = sink.rotate(self.next, stamp)?;
        self.follower.rotated(self.next);
        self.unarchived.push_back((self.next, rotation.oldest));
        self.covered_since = None;
        Ok(rotation)
    }

    /// Writes the records in memory if the first of them came before `age`.
    pub(crate) fn flush_older_than(
        &mut self,
        age: Duration,
        now: Instant,
    ) -> Result<(), SinkError> {
        match &mut self.sink {
            Some(sink) if sink.buffered_since.is_some_and(|since| now - since >= age) => {
                sink.flush_all()
            }
            _ => Ok(()),
        }
    }

    /// Leaves the file in progress to whoever reads the partition next.
    pub(crate) fn park(&mut self) -> Result<(), SinkError> {
        self.sink.take().map_or(Ok(()), Sink::park)
    }

    /// The tip, if the broker was not told of it yet.
    pub(crate) fn commit_due(&self) -> Option<&Position> {
        let position = self.follower.position();
        (self.commit_sent != Some(position.tip)).then_some(position)
    }

    /// Whether nothing is left to upload or commit.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_dirty()
            && self.follower.settled()
            && self.commit_done == Some(self.follower.position().tip)
    }
}
