//! From the finder's answer to a partition that is being read: what of the spool joins the chain
//! is kept and continued, the rest is dropped, and reading begins at an explicit offset.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use log::Level;

use super::announce::Begun;
use super::finder::{Found, Reply, Request};
use super::owned::{Active, State};
use super::sink::{Sink, SinkError};
use super::{KAFKA, Loop, SPOOL, in_full};
use crate::chain::follow::Follower;
use crate::codec::Container;
use crate::config::OnGap;
use crate::fail::step;
use crate::kafka::{KafkaError, Start};
use crate::logging::{self, Fault};
use crate::mak::v2::{self, Blocks, Recovered};
use crate::meta::{Gap, GapReason, Identity, ObjectMeta};
use crate::spool::age::Stamp;
use crate::spool::recovery::Stream;
use crate::spool::stage::{Compressed, InProgress, Rotated};
use crate::spool::survey::Found as InSpool;
use crate::spool::takeover::{Takeover, take_over};
use crate::spool::tips::TipFile;
use crate::spool::{PartitionLock, SpoolPartition, StopKind, Stopped, Taken, stops, tips};
use crate::types::{Offset, TopicPartition, WriterToken};
use crate::worker::Mapped;

/// How often a log that ends before the tip is looked at again before it counts as truncated: a
/// high watermark may lag behind for a moment after a failover.
const SHORT_LOG_TRIES: u32 = 12;
/// How long the partition's uploader may keep its lock before we look again.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// How many answers are taken at once: each takes a lock meanwhile, which is an open file.
const ANSWERS: usize = 256;
/// Listing the spool takes at most one part in so many of the time.
const SURVEY_SHARE: u32 = 4;

/// An answer of the finder, and the partition's lock.
struct Answer {
    tp: TopicPartition,
    found: Box<Found>,
    short_logs: u32,
    lock: PartitionLock,
}

/// What the spool had to say.
enum Prepared {
    Ready(Box<Active>),
    /// It needs the operator.
    Stop(Box<Stopped>),
    /// The log ends before the chain does.
    ShortLog {
        next: Offset,
    },
    /// The partition's uploader is at work.
    Busy,
}

impl Loop<'_> {
    /// Takes what the finder has answered, many at once: the spool is listed for all of them.
    /// `None` if it has ended.
    pub(super) fn answers(&mut self) -> Option<()> {
        let now = Instant::now();
        if now < self.next_answers {
            return Some(());
        }
        let mut known = Vec::new();
        while known.len() < ANSWERS {
            match self.found.try_recv() {
                Ok(reply) => known.extend(self.answer(reply)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        if known.is_empty() {
            return Some(());
        }
        let began = Instant::now();
        let survey = match self.spool.survey() {
            Ok(survey) => survey,
            Err(error) => {
                for answer in known {
                    self.not_prepared(&answer.tp, &error);
                }
                return Some(());
            }
        };
        self.next_answers = Instant::now() + began.elapsed() * SURVEY_SHARE;
        for Answer { tp, found, short_logs, lock } in known {
            let there = survey.of(lock.partition());
            match self.prepare(&tp, &found, lock, &there) {
                Ok(Prepared::Ready(active)) => self.begin(&tp, *active, &found),
                Ok(Prepared::Stop(note)) => self.stop(&tp, *note),
                Ok(Prepared::ShortLog { next }) => self.short_log(&tp, next, &found, short_logs),
                Ok(Prepared::Busy) => self.relocate_after(&tp, BUSY_WAIT),
                Err(error) => self.not_prepared(&tp, &error),
            }
        }
        Some(())
    }

    /// What the finder says of a partition, unless it is the answer to a question of another time,
    /// with the partition's lock.
    fn answer(&mut self, reply: Reply) -> Option<Answer> {
        let Reply { tp, turn, result } = reply;
        let short_logs = match self.partitions.get(&tp) {
            Some(State::Finding { turn: asked, short_logs }) if *asked == turn => *short_logs,
            _ => return None,
        };
        let found = match result {
            Ok(found) => found,
            Err(note) => {
                self.stop(&tp, *note);
                return None;
            }
        };
        match PartitionLock::take(&self.spool, &SpoolPartition::of(&tp)) {
            Ok(Taken::Ours(lock)) => Some(Answer { tp, found, short_logs, lock }),
            Ok(Taken::Busy | Taken::Gone) => {
                self.relocate_after(&tp, BUSY_WAIT);
                None
            }
            Err(error) => {
                self.not_prepared(&tp, &error);
                None
            }
        }
    }

    fn not_prepared(&mut self, tp: &TopicPartition, error: &dyn std::error::Error) {
        let error = format!("{tp}: {}", in_full(error));
        logging::failing(Level::Error, Fault::SPOOL, SPOOL, &error);
        self.relocate_later(tp, "the spool could not be used");
    }

    /// Asks the finder again after a while.
    pub(super) fn relocate_after(&mut self, tp: &TopicPartition, wait: Duration) {
        self.turn += 1;
        let turn = self.turn;
        self.partitions.insert(tp.clone(), State::Finding { turn, short_logs: 0 });
        let _ = self.finder.send(Request::FindLater { tp: tp.clone(), turn, wait });
    }

    fn begin(&mut self, tp: &TopicPartition, mut active: Active, found: &Found) {
        let (tip, next) = (active.follower.position().tip, active.next);
        if found.committed == Some(tip) {
            active.commit_sent = Some(tip);
            active.commit_done = Some(tip);
        }
        let read = self.draining.is_none() && !self.target_met(tp, next);
        self.telling.found(tp, found);
        let behind = found.log_end.get().saturating_sub(next.get());
        self.assigned.note(Begun { tp: tp.clone(), tip, next, behind }, Instant::now());
        let start =
            Start { partition: tp.clone(), offset: next, leader_epoch: active.leader_epoch };
        self.partitions.insert(tp.clone(), State::Active(Box::new(active)));
        if let Err(error) = stops::clear(&self.spool, &SpoolPartition::of(tp)) {
            logging::failing(Level::Warn, Fault::SPOOL, SPOOL, &in_full(&error));
        }
        if read {
            self.starts.push(start);
        }
    }

    /// Begins to read what has been activated: in one call, for each one makes librdkafka begin
    /// anew with those that stand at their end.
    pub(super) fn assign_started(&mut self) {
        let starts = std::mem::take(&mut self.starts);
        if starts.is_empty() {
            return;
        }
        let assign = || self.consumer.assign(&starts);
        match step!("assign").around_as(KafkaError::refused, assign) {
            Ok(slots) => {
                logging::working(Fault::ASSIGN, KAFKA);
                let started: HashSet<_> = starts.iter().map(|start| &start.partition).collect();
                self.slots.retain(|_, other| !started.contains(other));
                for (start, slot) in starts.into_iter().zip(slots) {
                    // `None`: not ours any more; the revocation follows.
                    let Some(slot) = slot else { continue };
                    if let Some(active) = self.active_mut(&start.partition) {
                        active.assigned = true;
                    }
                    self.slots.insert(slot, start.partition);
                }
            }
            Err(error) => {
                let count = logging::count(starts.len(), "partition");
                let error = format!("{count} could not be assigned: {error}");
                logging::failing(Level::Error, Fault::ASSIGN, KAFKA, &error);
                for start in starts {
                    self.relocate_later(&start.partition, "it could not be assigned");
                }
            }
        }
    }

    /// Sorts out the spool. Repeating it after a crash does no harm.
    fn prepare(
        &mut self,
        tp: &TopicPartition,
        found: &Found,
        lock: PartitionLock,
        there: &InSpool,
    ) -> Result<Prepared, SinkError> {
        let partition = lock.partition().clone();
        // The uploader may have gone on since the store was asked.
        let known = tips::position_of(&self.spool, &found.identity, &found.archive)?;
        let position = match known {
            Some(local) if local.is_ahead_of(&found.position) => local,
            _ => found.position,
        };
        let generation = position.generation;
        if self.holds_files_of_another(there, &found.identity, generation)? {
            return Ok(Prepared::Busy);
        }
        if known.is_none_or(|local| position.is_ahead_of(&local)) {
            let tip = TipFile::new(found.identity.clone(), &found.archive, position);
            tips::write(&self.spool, &lock, tip)?;
        }
        let mut whole = HashMap::new();
        let inspect = |file: &File| inspect(file, &found.identity, generation, &mut whole);
        let Takeover { next, ends, going_on, .. } =
            take_over(&self.spool, &lock, position.tip, there, inspect)?;
        drop(lock);
        let mut active = Active::new(found.identity.clone(), Follower::new(position, ends), next);
        active.sink = going_on.and_then(|file| resume(file, &mut whole));
        // What is written has to begin where the files before it end.
        let begins = active.sink.as_ref().map_or(active.next, Sink::start);
        if begins != active.follower.current_start() {
            active.park()?;
            return Ok(Prepared::Busy);
        }
        if let Some(note) = self.held(&partition, &active, found)? {
            // What was read so far is right, and goes into the archive.
            if active.is_dirty() {
                active.rotate(&self.spool, &Stamp::now()?, Instant::now())?;
            }
            return Ok(Prepared::Stop(Box::new(note)));
        }
        if active.next != position.tip {
            // The tip's epoch is that of the record before the tip only.
            active.leader_epoch = None;
        }
        if found.log_end < active.next {
            let next = active.next;
            active.park()?;
            return Ok(Prepared::ShortLog { next });
        }
        if found.log_start > active.next {
            if active.is_dirty() {
                active.rotate(&self.spool, &Stamp::now()?, Instant::now())?;
            }
            if let Some(note) = self.gap(tp, &mut active, found) {
                return Ok(Prepared::Stop(Box::new(note)));
            }
        }
        Ok(Prepared::Ready(Box::new(active)))
    }

    /// The note that keeps the partition stopped until it is lifted or the chain has passed it.
    fn held(
        &self,
        partition: &SpoolPartition,
        active: &Active,
        found: &Found,
    ) -> Result<Option<Stopped>, SinkError> {
        let Some(note) = stops::read(&self.spool, partition)? else { return Ok(None) };
        let of_this_chain =
            note.chain.as_ref().is_none_or(|chain| *chain == found.chain.to_string());
        let tip = active.follower.position().tip;
        let stands = match (note.kind, note.range) {
            (StopKind::UnreadableRecord, Some((at, _))) => tip <= at && found.log_start <= at,
            // Without its file there is nothing left to refuse.
            (StopKind::RefusedObject, Some((_, end))) => tip < end && !active.follower.settled(),
            _ => true,
        };
        Ok((note.kind.holds() && of_this_chain && stands).then_some(note))
    }

    /// Whether complete files of the partition belong to another chain: to that of the topic's
    /// earlier life, where they go first, or to one that is over; then they are put aside first.
    fn holds_files_of_another(
        &self,
        there: &InSpool,
        identity: &Identity,
        generation: u32,
    ) -> Result<bool, SinkError> {
        let differs =
            |other: &Identity, of: u32| of != generation || other.disagreement(identity).is_some();
        for name in &there.rotated {
            if let Taken::Ours(rotated) = Rotated::claim(&self.spool, name)?
                && let Ok(bytes) = Mapped::of(rotated.file())
                && let Some(Ok(block)) = Blocks::of_file(&bytes).ok().and_then(|mut all| all.next())
                && let Ok(header) = block.header()
                && differs(&header.identity, header.generation)
            {
                return Ok(true);
            }
        }
        for name in &there.compressed {
            if let Taken::Ours(packed) = Compressed::claim(&self.spool, name)?
                && let Ok(bytes) = Mapped::of(packed.file())
                && let Ok(container) = Container::parse(name.suffix, &bytes)
                && let Ok(ObjectMeta::File(file)) = ObjectMeta::from_map(&container.tail().meta)
                && differs(&file.identity, file.generation)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Kafka no longer has what comes next. Returns why the partition stops, if it does.
    fn gap(&self, tp: &TopicPartition, active: &mut Active, found: &Found) -> Option<Stopped> {
        let log_start = found.log_start;
        let gap = active.follower.gap(log_start)?;
        let Gap { from, reason, .. } = gap;
        if reason == GapReason::Retention {
            let lost = log_start.get().saturating_sub(from.get());
            let what =
                format!("gap [{from}, {log_start}): Kafka no longer has these {lost} offsets");
            if self.config.consumer.on_gap == OnGap::Stop {
                let reason = format!(
                    "{what}; [consumer] on_gap = record would go on without them by itself"
                );
                let note = Stopped::new(tp, StopKind::Gap, reason).in_chain(&found.chain);
                return Some(note.about(from, log_start));
            }
            let (topic, partition) = (tp.topic.as_str(), tp.partition.get());
            log::warn!(
                event = "gap", topic, partition, start = from.get(), next = log_start.get();
                "{tp}: {what}; the chain records it and goes on"
            );
        }
        active.gap = Some(gap);
        active.reached(log_start, Instant::now());
        // The epoch belongs to a record that is not in the log any more.
        active.leader_epoch = None;
        None
    }

    fn short_log(&mut self, tp: &TopicPartition, next: Offset, found: &Found, tries: u32) {
        let end = found.log_end;
        if tries >= SHORT_LOG_TRIES {
            let why = format!(
                "the log was truncated: it ends at {end}, before the chain's position {next}; both \
                 histories are kept: what is archived, and what the broker has now"
            );
            let note = Stopped::new(tp, StopKind::Truncated, why).in_chain(&found.chain);
            return self.stop(tp, note);
        }
        let error = format!("the log ends at {end}, before position {next}; looking again");
        logging::failing(Level::Warn, Fault::SHORT_LOG, tp, &error);
        self.relocate_after(tp, Duration::from_millis(2500));
        if let Some(State::Finding { short_logs, .. }) = self.partitions.get_mut(tp) {
            *short_logs = tries + 1;
        }
    }
}

/// What is whole in a file in progress of this very partition.
fn inspect(
    file: &File,
    identity: &Identity,
    generation: u32,
    whole: &mut HashMap<WriterToken, Recovered>,
) -> Option<Stream> {
    let bytes = Mapped::of(file).ok()?;
    let found = v2::recover(&bytes);
    let header = found.header.as_ref()?;
    if header.generation != generation || header.identity.disagreement(identity).is_some() {
        return None;
    }
    let stream = Stream {
        start: header.start,
        token: header.writer,
        valid_len: found.valid_len,
        next: found.next?,
        finished: found.finished,
    };
    whole.insert(header.writer, found);
    Some(stream)
}

fn resume(file: InProgress, whole: &mut HashMap<WriterToken, Recovered>) -> Option<Sink> {
    let found = whole.remove(&file.name().token)?;
    log::debug!(
        event = "continued", file:% = file.name(), records = found.records;
        "{}: going on with its file in progress, {} records",
        file.name().partition,
        found.records
    );
    Some(Sink::resume(file, &found, Instant::now()))
}
