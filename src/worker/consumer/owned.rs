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
use crate::worker::backoff::Backoff;

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
    commit_backoff: Backoff,
    /// After a commit that failed: none is sent before.
    commit_not_before: Option<Instant>,
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
            commit_backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(10)),
            commit_not_before: None,
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

    /// The offset of the next record, unless there is a hole.
    pub(crate) fn expects(&self) -> Offset {
        self.sink.as_ref().map_or(self.follower.current_start(), Sink::expects)
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
    pub(crate) fn commit_due(&self, now: Instant) -> Option<&Position> {
        let position = self.follower.position();
        let waits = self.commit_not_before.is_some_and(|at| now < at);
        (self.commit_sent != Some(position.tip) && !waits).then_some(position)
    }

    /// The broker has confirmed a commit of `offset`.
    pub(crate) fn committed(&mut self, offset: Offset) {
        self.commit_done = Some(offset);
        self.commit_not_before = None;
        self.commit_backoff.reset();
    }

    /// A commit failed: it is sent again, but not at once.
    pub(crate) fn uncommitted(&mut self, now: Instant) {
        self.commit_sent = None;
        self.commit_not_before = Some(now + self.commit_backoff.next());
    }

    /// Whether nothing is left to upload or commit.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_dirty()
            && self.follower.settled()
            && self.commit_done == Some(self.follower.position().tip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Isolation, Partition, Suffix, TopicId, TopicName};

    fn active() -> Active {
        let identity = Identity {
            cluster_id: "c".to_owned(),
            topic: TopicName::new("t").unwrap(),
            topic_id: TopicId::UNKNOWN,
            partition: Partition::new(0).unwrap(),
            isolation: Isolation::ReadCommitted,
        };
        let position = Position::genesis(Offset::ZERO, Suffix::MakGz);
        Active::new(identity, Follower::new(position, []), Offset::ZERO)
    }

    #[test]
    fn a_commit_that_fails_is_sent_again_later_each_time() {
        let mut active = active();
        let mut now = Instant::now();
        assert!(active.commit_due(now).is_some());
        for wait in [250, 500, 1000] {
            active.commit_sent = Some(Offset::ZERO);
            active.uncommitted(now);
            now += Duration::from_millis(wait);
            assert!(
                active.commit_due(now.checked_sub(Duration::from_millis(1)).unwrap()).is_none()
            );
            assert!(active.commit_due(now).is_some());
        }
        active.committed(Offset::ZERO);
        active.uncommitted(now);
        assert!(active.commit_due(now + Duration::from_millis(250)).is_some());
    }
}
