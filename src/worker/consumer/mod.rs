//! The consumer: reads its share of the group's partitions into files of the spool, and commits
//! what the store has acknowledged.
//!
//! | file | what |
//! |---|---|
//! | `start` | from the configuration to a running loop |
//! | `finder`, `genesis` | where a partition is to be read from; a thread of its own |
//! | `activate` | from the finder's answer to a partition that is being read |
//! | `owned`, `sink` | one partition, and its file in progress |
//! | `joining` | waiting for the group |
//! | `announce` | assignments, in a few lines of the log |
//! | `batch` | records and partition events as they come: the hot path |
//! | `room` | what happens while the spool is full |
//! | `rotate` | which files are due, and how they are closed |
//! | `news` | tips that moved, wishes to go back, commits |
//! | `targets` | `--exit-at-end`: what has to be reached |
//! | `telling`, `ends` | what is said of all this to those who ask how it is |
//! | `reload` | settings that changed |
//!
//! Only a tip is ever committed. Nothing here waits for the store.

mod activate;
mod announce;
mod batch;
mod ends;
mod finder;
mod genesis;
mod joining;
mod news;
mod owned;
mod reload;
mod room;
mod rotate;
mod sink;
mod start;
mod targets;
mod telling;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use log::Level;

use super::{Context, Exit, KAFKA, SPOOL, START_PATIENCE, in_full};
use crate::config::{Config, ConsumerMemory};
use crate::fail::{moment, step};
use crate::kafka::{
    Admin, Batch, Code, Consumer, Event, GroupLookup, KafkaError, Slot, Spec, Start,
};
use crate::logging::{self, Fault};
use crate::mak::HeadersBuf;
use crate::spool::budget::{Budget, Flow};
use crate::spool::watch::{Changes, Watch};
use crate::spool::{Spool, SpoolPartition, Stopped, stops};
use crate::sys::signals::Order;
use crate::types::{TopicName, TopicPartition};

use announce::Assigned;
use finder::{Reply, Request};
use joining::Joining;
use owned::{Active, State};
use room::{Pauses, Relief};
use targets::Targets;
use telling::Telling;

pub(crate) use start::{refuse, run};

/// How long a batch waits for records; also how soon signals and news are noticed.
const BATCH_WAIT: Duration = Duration::from_millis(100);
/// How often timers are looked at while records flow.
const TICK: Duration = Duration::from_millis(200);
/// How often the spool's size is measured, and how seldom at most: with thousands of files it takes
/// one part in so many of the time, unless what was taken since may have filled it.
const USAGE_EVERY: Duration = Duration::from_millis(500);
const USAGE_SHARE: u32 = 1000;
const USAGE_LATEST: Duration = Duration::from_secs(5);
/// How long a question to the broker may take from the loop.
const ASK: Duration = Duration::from_secs(5);
/// How long records stay in memory only.
const FLUSH_AFTER: Duration = Duration::from_secs(2);
/// When a partition from which nothing comes is compared with the broker's log.
const STALLED_AFTER: Duration = Duration::from_secs(20);
/// When files that were closed here and are gone are missed.
const MISSED_AFTER: Duration = Duration::from_secs(5);
/// How often it is seen whether the notes of stopped partitions are still there.
const STOPS_EVERY: Duration = Duration::from_secs(1);
/// When a stopped partition is looked at again though nobody took its note away.
const STOPPED_LOOK: Duration = Duration::from_mins(1);
/// How often busy consumers sum up.
const SUMMARY_EVERY: Duration = Duration::from_mins(1);

/// The consumer process's state.
struct Loop<'a> {
    ctx: &'a Context,
    config: Arc<Config>,
    spool: Spool,
    consumer: Consumer,
    admin: Admin,
    group: GroupLookup,
    topics: start::Topics,
    partitions: HashMap<TopicPartition, State>,
    /// Which partition's records bear which slot.
    slots: HashMap<Slot, TopicPartition>,
    turn: u64,
    /// What the next call of librdkafka is to begin with.
    starts: Vec<Start>,
    /// With `--exit-at-end`, when the end is reached: how to leave once all is drained.
    ending: Option<Exit>,
    /// When this process began, milliseconds since 1970: stop notes from before are of another.
    began_ms: u64,
    finder: Sender<Request>,
    found: Receiver<Reply>,
    /// Its answers are not taken before.
    next_answers: Instant,
    /// How many records a batch takes now, and how large they have been lately.
    batch_size: usize,
    record_size: u64,
    /// Where a record's headers are put together.
    headers: HeadersBuf,
    block_target: usize,
    memory: ConsumerMemory,
    /// How many bytes a batch should take.
    in_hand: u64,
    budget: Budget,
    flow: Flow,
    relief: Relief,
    pauses: Pauses,
    /// Bytes in the spool when it was measured last, where to stop, and what was taken since.
    usage: u64,
    stop_at: u64,
    taken_since: u64,
    watch: Watch,
    /// What has happened under `tips/` since the news were looked at.
    changes: Changes,
    draining: Option<Instant>,
    at_once: bool,
    targets: Option<Targets>,
    /// Why partitions stopped that have not gone on since, so that each is reported once.
    stopped: HashMap<TopicPartition, Stopped>,
    joining: Joining,
    /// What has begun to be read, and was not logged yet.
    assigned: Assigned,
    summary: Summary,
    telling: Telling,
}

/// When what is looked at next.
struct Timers {
    tick: Instant,
    usage: Instant,
    topics: Instant,
    stalled: Instant,
    missed: Instant,
    stops: Instant,
    summary: Instant,
}

/// What happened since the last summary.
#[derive(Debug, Default)]
struct Summary {
    records: u64,
    bytes: u64,
    files: u64,
}

impl Loop<'_> {
    fn run(mut self) -> Exit {
        let now = Instant::now();
        let mut timers = Timers {
            tick: now,
            usage: now,
            topics: now,
            stalled: now + STALLED_AFTER,
            missed: now + MISSED_AFTER,
            stops: now + STOPS_EVERY,
            summary: now + SUMMARY_EVERY,
        };
        let mut batch = Batch::with_capacity(batch::MOST);
        let exit = loop {
            if let Some(exit) = self.turn(&mut timers, &mut batch) {
                break exit;
            }
        };
        self.assigned.say();
        self.park_all();
        self.tell_now(Instant::now());
        drop(batch);
        self.give_up_membership();
        moment!("leave");
        if !self.consumer.close(ASK) {
            log::warn!("librdkafka took too long to leave the group; leaving without it");
        }
        exit
    }

    fn turn(&mut self, timers: &mut Timers, batch: &mut Batch) -> Option<Exit> {
        for order in self.ctx.orders() {
            self.obey(order);
        }
        if let Err(exit) = self.take_up() {
            return Some(exit);
        }
        if self.at_once {
            return Some(Exit::PARTIAL);
        }
        match self.consumer.events(Duration::ZERO) {
            Ok(events) => {
                for event in events {
                    if let Some(exit) = self.event(event) {
                        return Some(exit);
                    }
                }
            }
            Err(error) => return Some(fatal(&error)),
        }
        if self.answers().is_none() {
            return Some(Exit::internal(&"the thread that finds positions has ended"));
        }
        self.assign_started();
        if let Some(exit) = self.timers(timers) {
            return Some(exit);
        }
        if self.flow == Flow::Take && self.draining.is_none() && self.consumer.reading() > 0 {
            self.take(batch);
        } else {
            self.idle();
        }
        None
    }

    fn timers(&mut self, timers: &mut Timers) -> Option<Exit> {
        let now = Instant::now();
        if now >= timers.usage || self.may_be_full() {
            self.measure_spool();
            let took = now.elapsed();
            timers.usage = now + USAGE_EVERY.max((took * USAGE_SHARE).min(USAGE_LATEST));
        }
        if (now >= timers.topics || self.topics.changed) && self.draining.is_none() {
            timers.topics = now + self.topics.every;
            self.topics.changed = false;
            match self.match_topics() {
                Ok(()) => logging::working(Fault::TOPICS, KAFKA),
                Err(error) => {
                    let error = format!("the cluster's topics can't be listed: {error}");
                    logging::failing(Level::Warn, Fault::TOPICS, KAFKA, &error);
                    timers.topics = now + ASK;
                }
            }
        }
        if now >= timers.stalled {
            timers.stalled = now + STALLED_AFTER;
            self.wake_stalled(now);
        }
        if now >= timers.missed {
            timers.missed = now + MISSED_AFTER;
            self.miss_closed();
        }
        if now >= timers.stops && self.draining.is_none() {
            timers.stops = now + STOPS_EVERY;
            self.look_at_stopped(now);
        }
        if now >= timers.summary {
            timers.summary = now + SUMMARY_EVERY;
            self.sum_up();
        }
        if now < timers.tick {
            return None;
        }
        timers.tick = now + TICK;
        if self.assigned.is_due(now, self.is_finding()) {
            self.assigned.say();
        }
        if let Some(lasts) = self.joining.due(now) {
            let error = format!(
                "the group has given out no partitions for {} s, and nothing is read; members that \
                 died keep theirs until session.timeout.ms is over",
                lasts.as_secs()
            );
            logging::failing(Level::Warn, Fault::JOIN, KAFKA, &error);
        }
        self.news();
        self.flush_old(now);
        let due = self.due(now);
        self.rotate(&due);
        self.commit();
        self.tell(now);
        self.finished(now)
    }

    /// Waits until something may have happened, when no records are taken.
    fn idle(&mut self) {
        if let Err(error) = self.watch.wait_for(BATCH_WAIT, &mut self.changes) {
            logging::failing(Level::Warn, Fault::SCAN, SPOOL, &in_full(&error));
            std::thread::sleep(BATCH_WAIT);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Drain => {
                if self.draining.is_none() {
                    log::info!(
                        event = "draining";
                        "draining: nothing more is fetched; waiting for the uploads"
                    );
                    self.drain();
                }
            }
            Order::AtOnce => self.at_once = true,
            Order::Rotate => {
                let all = self.dirty(|_| true);
                let files = all.len();
                log::info!(event = "rotating", files; "rotating {files} files in progress, as asked");
                self.rotate(&all);
            }
            // What came with it is in force already.
            Order::Reload => {}
        }
    }

    fn drain(&mut self) {
        self.draining = Some(Instant::now() + self.config.main.shutdown_timeout);
        let read: Vec<_> =
            self.active().filter(|(_, a)| a.assigned).map(|(tp, _)| tp.clone()).collect();
        self.unassign(&read);
        let all = self.dirty(|_| true);
        self.rotate(&all);
    }

    fn event(&mut self, event: Event) -> Option<Exit> {
        match event {
            Event::Assigned(partitions) => {
                moment!("assigned");
                self.joining.end();
                logging::working(Fault::JOIN, KAFKA);
                for tp in partitions {
                    self.locate(&tp, 0);
                }
                self.share_memory();
            }
            Event::Revoked { partitions, lost } => {
                moment!("revoked");
                for tp in &partitions {
                    self.revoked(tp);
                }
                announce::revoked(&partitions, lost);
                if lost && self.draining.is_none() && !self.brokers_assign() {
                    self.joining.begin(Instant::now());
                }
                self.share_memory();
            }
            Event::Committed(answers) => self.committed(answers),
            Event::AllBrokersDown { text } => {
                let error = format!("no broker can be reached: {text}");
                logging::failing(Level::Warn, Fault::BROKERS, KAFKA, &error);
            }
            Event::Error { fatal: true, code, text } => {
                log::error!("the Kafka client can't go on: {text} ({})", code.0);
                return Some(Exit(code_exit(code)));
            }
            Event::Error { code, text, .. } if code_exit(code) == 77 => {
                log::error!("the Kafka client is not permitted: {text} ({})", code.0);
                return Some(Exit(77));
            }
            Event::Error { code, text, .. } => {
                let error = format!("{text} ({})", code.0);
                logging::failing(Level::Warn, Fault::CLIENT, KAFKA, &error);
            }
        }
        None
    }

    fn active(&self) -> impl Iterator<Item = (&TopicPartition, &Active)> {
        self.partitions.iter().filter_map(|(tp, state)| match state {
            State::Active(active) => Some((tp, &**active)),
            State::Finding { .. } | State::Stopped { .. } => None,
        })
    }

    fn is_finding(&self) -> bool {
        self.partitions.values().any(|state| matches!(state, State::Finding { .. }))
    }

    fn active_mut(&mut self, tp: &TopicPartition) -> Option<&mut Active> {
        match self.partitions.get_mut(tp) {
            Some(State::Active(active)) => Some(active),
            _ => None,
        }
    }

    fn unassign(&mut self, tps: &[TopicPartition]) {
        if tps.is_empty() {
            return;
        }
        let unassigned =
            step!("unassign").around_as(KafkaError::refused, || self.consumer.unassign(tps));
        if let Err(error) = unassigned {
            log::error!("librdkafka does not let go of {} partitions: {error}", tps.len());
        }
        let gone: HashSet<_> = tps.iter().collect();
        self.slots.retain(|_, tp| !gone.contains(tp));
        for tp in tps {
            if let Some(active) = self.active_mut(tp) {
                active.assigned = false;
            }
        }
    }

    /// Has the finder look where `tp` goes on. Its file in progress waits for the answer.
    fn locate(&mut self, tp: &TopicPartition, short_logs: u32) {
        self.turn += 1;
        let turn = self.turn;
        self.partitions.insert(tp.clone(), State::Finding { turn, short_logs });
        let _ = self.finder.send(Request::Find { tp: tp.clone(), turn });
    }

    /// Something about the partition's position is not as it was thought: begins anew from what
    /// chain, spool and broker say.
    fn relocate(&mut self, tp: &TopicPartition, why: &str) {
        // Two instances that both write may bring a partition here for a long time.
        let text = format!("looking again where to read from: {why}");
        logging::failing(Level::Info, Fault::RELOCATED, tp, &text);
        self.let_go(tp);
        self.locate(tp, 0);
    }

    /// Stops reading and leaves the file in progress where it can be continued.
    fn let_go(&mut self, tp: &TopicPartition) {
        if let Some(active) = self.active_mut(tp)
            && let Err(error) = active.park()
        {
            logging::failing(Level::Warn, Fault::SPOOL, SPOOL, &in_full(&error));
        }
        self.unassign(std::slice::from_ref(tp));
    }

    fn revoked(&mut self, tp: &TopicPartition) {
        let _ = self.finder.send(Request::Forget(tp.clone()));
        self.let_go(tp);
        self.partitions.remove(tp);
        self.stopped.remove(tp);
    }

    /// The partition needs the operator; the others go on.
    fn stop(&mut self, tp: &TopicPartition, mut note: Stopped) {
        if let Some(active) = self.active_mut(tp).filter(|_| note.chain.is_none()) {
            note = note.in_chain(&active.chain());
        }
        self.let_go(tp);
        let look_at = Instant::now() + STOPPED_LOOK;
        self.partitions.insert(tp.clone(), State::Stopped { look_at });
        match self.stopped.get(tp).filter(|before| before.is_same_as(&note)) {
            // It was tried once more, in vain.
            Some(before) => note.since_ms = before.since_ms,
            None => log::error!(
                event = "stopped", topic = tp.topic.as_str(), partition = tp.partition.get(),
                kind:% = note.kind, error = note.reason.as_str();
                "stopped {tp}: {} ({}); what leads out of it: {}",
                note.reason,
                note.kind,
                note.way_out.join(", or ")
            ),
        }
        match stops::write(&self.spool, note) {
            Ok(note) => drop(self.stopped.insert(tp.clone(), note)),
            Err(error) => {
                logging::failing(Level::Warn, Fault::SPOOL, SPOOL, &in_full(&error));
            }
        }
    }

    /// Stopped partitions whose note is gone go on, if they can; the others are tried now and then.
    fn look_at_stopped(&mut self, now: Instant) {
        let mut again = Vec::new();
        for (tp, state) in &self.partitions {
            let State::Stopped { look_at } = state else { continue };
            match stops::read(&self.spool, &SpoolPartition::of(tp)) {
                Ok(Some(_)) if now < *look_at => {}
                Ok(Some(_)) => again.push((tp.clone(), false)),
                Ok(None) => again.push((tp.clone(), true)),
                Err(error) => {
                    logging::failing(Level::Warn, Fault::SCAN, SPOOL, &in_full(&error));
                }
            }
        }
        for (tp, lifted) in again {
            if lifted {
                let (topic, partition) = (tp.topic.as_str(), tp.partition.get());
                log::info!(
                    event = "lifted", topic, partition;
                    "{tp}: its stop was lifted; looking where to read from"
                );
                self.stopped.remove(&tp);
            }
            self.locate(&tp, 0);
        }
    }

    fn park_all(&mut self) {
        for (tp, state) in &mut self.partitions {
            if let State::Active(active) = state
                && let Err(error) = active.park()
            {
                let error = format!("{tp}: {}", in_full(&error));
                logging::failing(Level::Warn, Fault::SPOOL, SPOOL, &error);
            }
        }
    }

    /// Nothing has come from a partition for a while, but its log goes on: the client has lost
    /// track of it, and is told anew where to read.
    fn wake_stalled(&mut self, now: Instant) {
        if self.flow == Flow::Pause || self.draining.is_some() || self.consumer.waiting() > 0 {
            return;
        }
        let quiet = self.active().filter(|(_, a)| a.assigned && now - a.progress >= STALLED_AFTER);
        let quiet: Vec<_> = quiet.map(|(tp, _)| (tp.clone(), Spec::Latest)).collect();
        if quiet.is_empty() {
            return;
        }
        let ends = match self.admin.list_offsets(&quiet, self.config.consumer.isolation, ASK) {
            Ok(ends) => ends,
            Err(error) => {
                let count = logging::count(quiet.len(), "quiet partition");
                let error = format!("the ends of {count} are not to be had: {error}");
                logging::failing(Level::Warn, Fault::CLIENT, KAFKA, &error);
                return;
            }
        };
        for (tp, end) in ends {
            let Ok(end) = end else { continue };
            let Some(active) = self.active_mut(&tp) else { continue };
            if active.next < end {
                let next = active.next;
                let error = format!("nothing came from {next} on, though the log ends at {end}");
                logging::failing(Level::Warn, Fault::STALLED, &tp, &error);
                self.relocate(&tp, "it has stalled");
            } else {
                active.progress = now;
            }
        }
    }

    /// Writes what has been in memory for a while: a crash then costs little, and whoever looks at
    /// the spool sees what there is.
    fn flush_old(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for (tp, state) in &mut self.partitions {
            if let State::Active(active) = state
                && let Err(error) = active.flush_older_than(FLUSH_AFTER, now)
            {
                logging::failing(Level::Error, Fault::SPOOL, SPOOL, &in_full(&error));
                failed.push(tp.clone());
            }
        }
        for tp in failed {
            self.relocate_later(&tp, "its file in progress could not be written");
        }
    }

    /// Blocks get smaller as partitions get more, so that their sum stays within the budget.
    fn share_memory(&mut self) {
        let share = usize::try_from(self.memory.block(self.partitions.len()));
        let share = share.unwrap_or(usize::MAX);
        self.block_target = share.clamp(batch::BLOCK_MIN, batch::BLOCK_MAX);
    }

    fn match_topics(&mut self) -> Result<(), KafkaError> {
        let matching = self.topics.matching(self.admin.topics(ASK)?);
        let matching = self.topics.twice_missed(matching);
        self.topics.warn_of_missing(&self.config, &matching);
        if let Some(targets) = &mut self.targets {
            targets.forget_topics_but(&matching);
        }
        if matching != self.topics.subscribed {
            let topics = matching.len();
            log::info!(
                event = "subscribed", topics;
                "subscribing to {}: {}", logging::count(topics, "topic"), names(&matching)
            );
            step!("subscribe")
                .around_as(KafkaError::refused, || self.consumer.subscribe(&matching))?;
            if matching.is_empty() {
                self.joining.end();
            } else if self.partitions.is_empty() && !self.brokers_assign() {
                self.joining.begin(Instant::now());
            }
            self.topics.subscribed = matching;
        }
        Ok(())
    }

    /// Whether the brokers share out partitions, and let nobody wait for the others; nor do they
    /// say so where there is nothing to give.
    fn brokers_assign(&self) -> bool {
        let protocol = self.config.kafka.get("group.protocol");
        protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"))
    }

    /// How many offsets the partitions that are read are behind their ends, as far as the client
    /// knows them.
    fn behind(&self) -> u64 {
        let behind = self.active().filter_map(|(tp, active)| {
            let end = self.consumer.high_watermark(tp)?;
            Some(end.get().saturating_sub(active.next.get()))
        });
        behind.sum()
    }

    fn sum_up(&mut self) {
        self.telling.summed_up(&self.summary);
        logging::say_overdue();
        let Summary { records, bytes, files } = std::mem::take(&mut self.summary);
        if records > 0 || files > 0 {
            let behind = self.behind();
            let (pauses, waiting) = self.pauses.sum_up();
            let waited = match pauses {
                0 => String::new(),
                _ => format!(
                    "; {} for room in the spool, {:.1} s in all",
                    logging::count(pauses, "pause"),
                    waiting.as_secs_f32()
                ),
            };
            log::info!(
                event = "summary", records, bytes, files, behind, partitions = self.partitions.len(),
                pauses, paused_ms = logging::millis(waiting);
                "in the last minute: {records} records read, {}; {} closed; {behind} offsets behind{waited}",
                logging::size(bytes), logging::count(usize::try_from(files).unwrap_or(usize::MAX), "file")
            );
        }
    }
}

/// A handful of names, for the log.
fn names(topics: &[TopicName]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = topics.iter().take(SHOWN).map(TopicName::as_str).collect();
    let more = if topics.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn fatal(error: &KafkaError) -> Exit {
    log::error!(event = "fatal"; "the Kafka client can't go on: {error}");
    Exit(error.code().map_or(70, code_exit))
}

const fn code_exit(code: Code) -> u8 {
    match code {
        Code::AUTHENTICATION
        | Code::TOPIC_AUTHORIZATION_FAILED
        | Code::GROUP_AUTHORIZATION_FAILED => 77,
        Code::TIMED_OUT | Code::TRANSPORT | Code::ALL_BROKERS_DOWN => 69,
        _ => 70,
    }
}
