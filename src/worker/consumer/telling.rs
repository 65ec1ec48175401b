//! What a consumer says of itself, collected at its ticks: everything is there already, or is learned
//! on the side.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ends::{self, Ends, EndsOf};
use super::finder::Found;
use super::owned::{Active, State as Owned};
use super::sink::Sink;
use super::{Loop, Summary};
use crate::spool::budget::Flow;
use crate::status::model::{
    ConsumerStatus, Done, InProgress, PartitionStatus, Paused, Phase, State, Trouble,
};
use crate::status::{WorkerStatus, now_ms};
use crate::store::names::ChainId;
use crate::types::{Offset, TopicPartition};

/// Over how long rates are measured.
const RATE_OVER: Duration = Duration::from_secs(10);

/// What keeps the finder from its answers; it says so itself.
pub(crate) type FindingTrouble = Arc<Mutex<Option<Trouble>>>;

/// The oldest records of files that are closed and not archived yet: where each file ends, and the
/// lowest time in it.
pub(crate) type Unarchived = VecDeque<(Offset, Option<i64>)>;

/// What is remembered for the status alone.
pub(super) struct Telling {
    ends: EndsOf,
    next_ask: Instant,
    broker_trouble: Option<Trouble>,
    pub(super) finding: FindingTrouble,
    known: HashMap<TopicPartition, Known>,
    seen: HashMap<TopicPartition, Seen>,
    /// Whether it is the disk that is full.
    pub(super) by_disk: bool,
    /// Of the summaries that were said already.
    done: Done,
    rate: Rate,
}

/// What was learned of a partition.
#[derive(Debug)]
struct Known {
    chain: ChainId,
    /// The end of the log, and when it was there.
    end: (Offset, u64),
}

/// How a partition was when it was looked at last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    state: State,
    since_ms: u64,
    tip: Option<Offset>,
    behind_since_ms: Option<u64>,
}

#[derive(Debug)]
struct Rate {
    from: Instant,
    records: u64,
    bytes: u64,
    last: Option<(u64, u64)>,
}

impl Telling {
    pub(super) fn new(ends: EndsOf, finding: FindingTrouble) -> Self {
        let now = Instant::now();
        Self {
            ends,
            next_ask: now + ends::every(0),
            broker_trouble: None,
            finding,
            known: HashMap::new(),
            seen: HashMap::new(),
            by_disk: false,
            done: Done::default(),
            rate: Rate { from: now, records: 0, bytes: 0, last: None },
        }
    }

    /// What was found of a partition when it was assigned.
    pub(super) fn found(&mut self, tp: &TopicPartition, found: &Found) {
        let known = Known { chain: found.chain.clone(), end: (found.log_end, now_ms()) };
        self.known.insert(tp.clone(), known);
    }

    /// A summary that begins anew.
    pub(super) fn summed_up(&mut self, summary: &Summary) {
        self.done.records += summary.records;
        self.done.bytes += summary.bytes;
        self.done.files += summary.files;
    }

    fn take_answer(&mut self) {
        match self.ends.answer() {
            Some(Ends::Known(ends)) => {
                self.broker_trouble = None;
                let now = now_ms();
                for (tp, end) in ends {
                    if let Some(known) = self.known.get_mut(&tp) {
                        known.end = (end, now);
                    }
                }
            }
            Some(Ends::Unknown(error)) => {
                let wait = ends::every(self.seen.len());
                Trouble::again(&mut self.broker_trouble, error, wait);
            }
            None => {}
        }
    }

    /// Since when the partition is as it is, and since when something is behind its tip.
    fn since(&mut self, now_ms: u64, mut seen: Seen, tp: &TopicPartition, behind: bool) -> Seen {
        if let Some(before) = self.seen.get(tp) {
            if before.state == seen.state {
                seen.since_ms = before.since_ms;
            }
            if before.tip == seen.tip {
                seen.behind_since_ms = before.behind_since_ms;
            }
        }
        seen.behind_since_ms = behind.then(|| seen.behind_since_ms.unwrap_or(now_ms));
        self.seen.insert(tp.clone(), seen);
        seen
    }
}

impl Rate {
    /// Records and bytes a second lately; `total` is what there was since the start.
    fn now(&mut self, total: Done, now: Instant) -> (u64, u64) {
        let millis = u64::try_from(now.duration_since(self.from).as_millis()).unwrap_or(u64::MAX);
        let is_over = now.duration_since(self.from) >= RATE_OVER;
        if let (false, Some(last)) = (is_over, self.last) {
            return last;
        }
        let a_second = |more: u64| more.saturating_mul(1000).checked_div(millis).unwrap_or(0);
        let rate = (a_second(total.records - self.records), a_second(total.bytes - self.bytes));
        if is_over {
            let last = Some(rate);
            *self = Self { from: now, records: total.records, bytes: total.bytes, last };
        }
        rate
    }
}

impl Loop<'_> {
    /// Says how things are, if it is time for it.
    pub(super) fn tell(&mut self, now: Instant) {
        self.telling.take_answer();
        if now >= self.telling.next_ask && !self.partitions.is_empty() {
            self.telling.next_ask = now + ends::every(self.partitions.len());
            self.telling.ends.ask(self.partitions.keys().cloned().collect());
        }
        if self.ctx.status.is_due(now) {
            self.tell_now(now);
        }
    }

    /// The same at once.
    pub(super) fn tell_now(&mut self, now: Instant) {
        let phase = if self.draining.is_some() { Phase::Draining } else { Phase::Working };
        let ctx = self.ctx;
        ctx.status.record(phase, |status: &mut WorkerStatus| {
            status.consumer = Some(self.collect(now));
        });
    }

    fn collect(&mut self, now: Instant) -> ConsumerStatus {
        let Summary { records, bytes, files } = self.summary;
        let before = self.telling.done;
        let done = Done {
            records: before.records + records,
            bytes: before.bytes + bytes,
            files: before.files + files,
        };
        let (records_per_second, bytes_per_second) = self.telling.rate.now(done, now);
        let full = if self.telling.by_disk { Paused::DiskFull } else { Paused::SpoolFull };
        let paused = (self.flow == Flow::Pause).then_some(full);
        let owned = |tp: &TopicPartition| self.partitions.contains_key(tp);
        self.telling.known.retain(|tp, _| owned(tp));
        self.telling.seen.retain(|tp, _| owned(tp));
        let finding = self.telling.finding.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ConsumerStatus {
            paused,
            spool_bytes: self.usage + self.taken_since,
            spool_stop_at_bytes: self.stop_at,
            done,
            records_per_second,
            bytes_per_second,
            joining_since_ms: self.joining.too_long(now).map(|lasts| {
                now_ms().saturating_sub(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX))
            }),
            broker_trouble: self.telling.broker_trouble.clone(),
            finding_trouble: finding,
            partitions: self.collect_partitions(now),
        }
    }

    fn collect_partitions(&mut self, now: Instant) -> Vec<PartitionStatus> {
        let now_ms = now_ms();
        let (paused, draining) = (self.flow == Flow::Pause, self.draining.is_some());
        let mut all = Vec::with_capacity(self.partitions.len());
        for (tp, owned) in &mut self.partitions {
            let (state, active) = match owned {
                Owned::Finding { .. } => (State::Finding, None),
                Owned::Stopped { .. } => (State::Stopped, None),
                Owned::Active(active) if draining => (State::Draining, Some(active)),
                Owned::Active(active) if paused => (State::Paused, Some(active)),
                Owned::Active(active) => (State::Reading, Some(active)),
            };
            let known = self.telling.known.get(tp);
            let chain = known.map(|known| known.chain.to_string());
            let end = known.map(|known| known.end);
            let position = active.as_ref().map(|a| (a.follower.position().tip, a.next));
            let tip = position.map(|(tip, _)| tip);
            // What was read was there, even if the broker was not asked since.
            let end = end.map(|(end, at)| match position {
                Some((_, next)) if next > end => (next, now_ms),
                _ => (end, at),
            });
            let behind = tip.is_some_and(|tip| end.is_some_and(|(end, _)| end > tip));
            let seen = Seen { state, since_ms: now_ms, tip, behind_since_ms: None };
            let seen = self.telling.since(now_ms, seen, tp, behind);
            let active = active.map(|active| &mut **active);
            all.push(PartitionStatus {
                partition: tp.clone(),
                chain,
                state,
                since_ms: seen.since_ms,
                tip,
                next: position.map(|(_, next)| next),
                in_progress: active.as_deref().and_then(|active| in_progress(active, now, now_ms)),
                committed: active.as_deref().and_then(|active| active.commit_done),
                end: end.map(|(end, _)| end),
                end_ms: end.map(|(_, at)| at),
                oldest_ms: active.and_then(oldest),
                behind_since_ms: seen.behind_since_ms,
            });
        }
        all.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
        all
    }
}

fn in_progress(active: &Active, now: Instant, now_ms: u64) -> Option<InProgress> {
    let since = active.dirty_since()?;
    let age = u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX);
    Some(InProgress {
        start: active.follower.current_start(),
        since_ms: now_ms.saturating_sub(age),
        bytes: active.in_progress_bytes(),
    })
}

/// The time of the oldest record that was read and is not archived.
fn oldest(active: &mut Active) -> Option<u64> {
    let tip = active.follower.position().tip;
    while active.unarchived.front().is_some_and(|(next, _)| *next <= tip) {
        active.unarchived.pop_front();
    }
    let closed = active.unarchived.iter().filter_map(|(_, oldest)| *oldest);
    let oldest = closed.chain(active.sink.as_ref().and_then(Sink::oldest)).min()?;
    // Kafka has -1 for no time at all.
    u64::try_from(oldest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let done = |records| Done { records, bytes: records * 10, files: 0 };
        let mut rate = Rate { from: start, records: 0, bytes: 0, last: None };
        assert_eq!(rate.now(done(0), start), (0, 0));
        assert_eq!(rate.now(done(100), at(2)), (50, 500), "the first one as soon as there is any");
        assert_eq!(rate.now(done(1000), at(10)), (100, 1000));
        assert_eq!(rate.now(done(9000), at(12)), (100, 1000), "then one that does not jump");
        assert_eq!(rate.now(done(9000), at(20)), (800, 8000));
        assert_eq!(rate.now(done(9000), at(30)), (0, 0));
    }
}
