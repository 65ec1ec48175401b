//! A full spool: nothing is fetched until there is room, and files in progress are closed where
//! that makes any.
//!
//! What is on its way to the archive makes room by itself. So only as much is closed as is missing
//! beyond that, the largest files first, and small ones only if nothing else is there: else a pause
//! would leave many small objects behind. What has not moved for a while makes no room: a
//! partition that stopped must not keep the others waiting for ever.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use log::Level;

use super::{Loop, SPOOL, in_full};
use crate::logging::{self, Fault};
use crate::spool::budget::{Flow, Levels, Room};
use crate::spool::recovery::{Reason, Repair};
use crate::spool::stage::Abandoned;
use crate::spool::{SpoolError, SpoolPartition, Taken};
use crate::types::TopicPartition;

/// How long files on their way may stand still before they count for nothing; each time that
/// nothing came of it, twice as long.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_PATIENCE: Duration = Duration::from_mins(10);

/// For so long after a pause was said others are only counted ...
const SAID_FOR: Duration = Duration::from_mins(1);
/// ... unless they last longer than this.
const SHORT: Duration = Duration::from_secs(5);

/// What the log says of pauses: at the limit there may be two a second. Pure.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// When the one that lasts began, and whether it was said.
    open: Option<(Instant, bool)>,
    said: Option<Instant>,
    /// Those that ended since the last summary, and how long they lasted together.
    ended: usize,
    lasted: Duration,
}

impl Pauses {
    /// There is no room; whether that is to be said.
    fn lasts(&mut self, now: Instant) -> bool {
        let (since, is_said) = *self.open.get_or_insert((now, false));
        let is_new = self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAID_FOR);
        let is_long = now.saturating_duration_since(since) >= SHORT;
        if is_said || !(is_new || is_long) {
            return false;
        }
        (self.open, self.said) = (Some((since, true)), Some(now));
        true
    }

    /// There is room again; how long there was none, if that was said.
    fn ends(&mut self, now: Instant) -> Option<Duration> {
        let (since, is_said) = self.open.take()?;
        let lasted = now.saturating_duration_since(since);
        self.ended += 1;
        self.lasted += lasted;
        is_said.then_some(lasted)
    }

    /// How many there were since this was asked last, and how long they lasted together.
    pub(super) fn sum_up(&mut self) -> (usize, Duration) {
        (std::mem::take(&mut self.ended), std::mem::take(&mut self.lasted))
    }
}

/// What there is to know of a full spool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Full {
    /// So many bytes have to go.
    need: u64,
    /// So many consumers see to that, this one included.
    consumers: u64,
    /// Bytes on their way to the archive.
    in_flight: u64,
    /// Tells whether that is still the same.
    sign: u64,
    /// Files of fewer bytes are small.
    small: u64,
}

/// What to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Relieve {
    Wait,
    /// Close the files in progress of these.
    Close(Vec<TopicPartition>),
    /// Nothing of ours helps.
    DropAbandoned,
}

/// Decides which files in progress a full spool closes. Pure.
#[derive(Debug, Default)]
pub(super) struct Relief {
    /// What was on its way when something of it moved last, and when that was.
    moved: Option<(u64, Instant)>,
    in_flight: u64,
    patience: Option<Duration>,
}

impl Relief {
    pub(super) fn choose(
        &mut self,
        full: Full,
        mut files: Vec<(TopicPartition, u64)>,
        now: Instant,
    ) -> Relieve {
        let stands = full.in_flight > 0 && self.stands_still(full, now);
        let promised = if stands { 0 } else { full.in_flight };
        let missing = full.need.saturating_sub(promised).div_ceil(full.consumers);
        if missing == 0 {
            return Relieve::Wait;
        }
        if full.in_flight > 0 {
            files.retain(|(_, bytes)| *bytes >= full.small);
        }
        files.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let mut closed = 0;
        let mut chosen = Vec::new();
        for (tp, bytes) in files {
            if closed >= missing {
                break;
            }
            closed += bytes;
            chosen.push(tp);
        }
        match (chosen.is_empty(), full.in_flight > 0 && !stands) {
            (false, _) => Relieve::Close(chosen),
            (true, true) => Relieve::Wait,
            (true, false) => Relieve::DropAbandoned,
        }
    }

    /// Whether nothing of what is on its way has moved for long enough. It is asked for again only
    /// after as long, and longer, as nothing got less.
    fn stands_still(&mut self, full: Full, now: Instant) -> bool {
        if full.in_flight < self.in_flight {
            self.patience = None;
        }
        self.in_flight = full.in_flight;
        match self.moved {
            Some((sign, at)) if sign == full.sign => {
                let patience = self.patience.unwrap_or(PATIENCE);
                if now.saturating_duration_since(at) < patience {
                    return false;
                }
                self.patience = Some((patience * 2).min(MOST_PATIENCE));
                self.moved = Some((sign, now));
                true
            }
            _ => {
                self.moved = Some((full.sign, now));
                false
            }
        }
    }
}

impl Loop<'_> {
    /// Whether the spool may have reached its limit since it was measured, if the other
    /// consumers take as much as this one.
    pub(super) fn may_be_full(&self) -> bool {
        let all = self.taken_since.saturating_mul(self.config.consumer.processes.max(1).into());
        self.flow == Flow::Take && self.usage.saturating_add(all) >= self.stop_at
    }

    /// Stops taking records while spool or disk are full; then the largest file has to go on.
    pub(super) fn measure_spool(&mut self) {
        self.taken_since = 0;
        let room = match self.room() {
            Ok(room) => {
                logging::working(Fault::SCAN, SPOOL);
                room
            }
            Err(error) => {
                let error = format!("{}; nothing is fetched meanwhile", in_full(&error));
                logging::failing(Level::Error, Fault::SCAN, SPOOL, &error);
                self.flow = Flow::Pause;
                return;
            }
        };
        let Room { used, free } = room;
        let levels = self.budget.levels(room);
        (self.usage, self.stop_at) = (used, levels.stop_at);
        self.telling.by_disk = levels.by_disk;
        self.flow = levels.flow(used, self.flow);
        match self.flow {
            Flow::Take => {
                if let Some(lasted) = self.pauses.ends(Instant::now()) {
                    log::info!(
                        event = "unpaused", used, free, ms = logging::millis(lasted);
                        "the spool has room again: {}; fetching, after {:.1} s",
                        logging::size(used), lasted.as_secs_f32()
                    );
                }
                self.relief = Relief::default();
            }
            Flow::Pause => {
                if self.pauses.lasts(Instant::now()) {
                    self.say_paused(room, levels);
                }
                self.make_room(used, levels);
            }
        }
    }

    fn say_paused(&self, Room { used, free }: Room, levels: Levels) {
        let (in_spool, stop_at) = (logging::size(used), levels.stop_at);
        if levels.by_disk {
            log::warn!(
                event = "paused", used, free, stop_at;
                "the disk of \"{}\" is nearly full: {in_spool} in the spool and {} free; \
                 nothing is fetched until there is room for packing",
                self.spool.root().display(), logging::size(free)
            );
        } else {
            log::warn!(
                event = "paused", used, free, stop_at;
                "the spool is full: {in_spool}; fetching stops at {} (spool_max_bytes = {}, less \
                 room for packing), and goes on below {}",
                logging::size(stop_at),
                logging::size(self.config.main.spool_max_bytes.get()),
                logging::size(levels.resume_below)
            );
        }
    }

    fn make_room(&mut self, used: u64, levels: Levels) {
        let full = match self.full(used, levels) {
            Ok(full) => full,
            Err(error) => {
                return logging::failing(Level::Error, Fault::SCAN, SPOOL, &in_full(&error));
            }
        };
        let dirty = self.active().filter(|(_, active)| active.is_dirty());
        let files = dirty.map(|(tp, active)| (tp.clone(), active.in_progress_bytes())).collect();
        match self.relief.choose(full, files, Instant::now()) {
            Relieve::Wait => {}
            Relieve::Close(files) => self.rotate(&files),
            Relieve::DropAbandoned => self.drop_abandoned(),
        }
    }

    fn full(&self, used: u64, levels: Levels) -> Result<Full, SpoolError> {
        let in_progress = self.spool.in_progress()?.iter().map(|file| file.bytes).sum();
        let in_flight = self.spool.usage()?.saturating_sub(in_progress);
        let mut hasher = DefaultHasher::new();
        for file in self.spool.rotated()?.iter().chain(&self.spool.compressed()?) {
            file.name.to_string().hash(&mut hasher);
        }
        in_flight.hash(&mut hasher);
        let consumers = self.config.consumer.processes.max(1).into();
        let need = used.saturating_sub(levels.resume_below).max(1);
        Ok(Full {
            need: if levels.by_disk { 1 } else { need },
            consumers,
            in_flight,
            sign: hasher.finish(),
            small: (self.config.consumer.max_file_bytes.get() / 16).min(1 << 20),
        })
    }

    /// What is in memory still counts as written: it will be.
    fn room(&self) -> Result<Room, SpoolError> {
        let buffered: u64 = self.active().map(|(_, active)| active.buffered_bytes()).sum();
        let used = self.spool.usage()?.saturating_add(buffered);
        Ok(Room { used, free: self.spool.free_bytes()?.saturating_sub(buffered) })
    }

    /// Files in progress that nobody writes, of partitions that are not ours: they went to another
    /// host. Kafka has the data.
    fn drop_abandoned(&self) {
        let Ok(files) = self.spool.in_progress() else { return };
        let ours: HashSet<_> = self.partitions.keys().map(SpoolPartition::of).collect();
        for file in files.into_iter().filter(|file| !ours.contains(&file.name.partition)) {
            if let Ok(Taken::Ours(abandoned)) = Abandoned::claim(&self.spool, &file.name) {
                log::info!(
                    event = "dropped", file:% = file.name;
                    "{}: dropped: nobody writes it, and the spool is full", file.name
                );
                if let Err(error) = abandoned.repair(Repair::Drop(Reason::DoesNotJoin)) {
                    logging::failing(Level::Warn, Fault::SPOOL, SPOOL, &in_full(&error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Partition, TopicName};

    fn tp(partition: i64) -> TopicPartition {
        TopicPartition::new(TopicName::new("t").unwrap(), Partition::new(partition).unwrap())
    }

    fn full(need: u64, in_flight: u64) -> Full {
        Full { need, consumers: 1, in_flight, sign: in_flight, small: 10 }
    }

    fn files(sizes: &[u64]) -> Vec<(TopicPartition, u64)> {
        sizes.iter().zip(0..).map(|(bytes, number)| (tp(number), *bytes)).collect()
    }

    #[test]
    fn as_many_are_closed_as_are_missing_and_the_largest_first() {
        let now = Instant::now();
        let mut relief = Relief::default();
        let sizes = files(&[30, 5, 90, 60]);
        let close = |tps: &[i64]| Relieve::Close(tps.iter().map(|n| tp(*n)).collect());
        assert_eq!(relief.choose(full(100, 0), sizes.clone(), now), close(&[2, 3]));
        let half = Full { consumers: 2, ..full(100, 0) };
        assert_eq!(relief.choose(half, sizes.clone(), now), close(&[2]));
        // What is on its way makes the room.
        assert_eq!(relief.choose(full(100, 100), sizes.clone(), now), Relieve::Wait);
        assert_eq!(relief.choose(full(100, 40), sizes.clone(), now), close(&[2]));
        // Small ones only where nothing else is left.
        assert_eq!(relief.choose(full(500, 40), sizes.clone(), now), close(&[2, 3, 0]));
        assert_eq!(relief.choose(full(500, 0), sizes, now), close(&[2, 3, 0, 1]));
        assert_eq!(relief.choose(full(500, 40), files(&[5]), now), Relieve::Wait);
        assert_eq!(relief.choose(full(500, 0), files(&[]), now), Relieve::DropAbandoned);
    }

    #[test]
    fn of_many_pauses_the_first_is_said_and_each_long_one() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(tenths * 100);
        let mut pauses = Pauses::default();
        let mut said = Vec::new();
        // Each second half of a second.
        for second in 0..100 {
            if pauses.lasts(at(second * 10)) {
                said.push(second);
            }
            assert!(!pauses.lasts(at(second * 10 + 2)), "it was said, or is short");
            let ended = pauses.ends(at(second * 10 + 5));
            assert_eq!(ended.is_some(), said.last() == Some(&second));
        }
        assert_eq!(said, [0, 60]);
        assert_eq!(pauses.ends(at(1005)), None, "there is none");
        assert_eq!(pauses.sum_up(), (100, Duration::from_secs(50)));
        assert_eq!(pauses.sum_up(), (0, Duration::ZERO));
        // One that lasts.
        let said: Vec<_> = (1010..1400).filter(|tenth| pauses.lasts(at(*tenth))).collect();
        assert_eq!(said, [1060]);
        assert_eq!(pauses.ends(at(1400)), Some(Duration::from_secs(39)));
    }

    #[test]
    fn what_stands_still_makes_no_room_and_is_waited_for_longer_each_time() {
        let mut now = Instant::now();
        let mut relief = Relief::default();
        let mut waited = Vec::new();
        for _ in 0..3 {
            let began = now;
            while relief.choose(full(100, 100), files(&[60]), now) == Relieve::Wait {
                now += Duration::from_secs(1);
            }
            waited.push((now - began).as_secs());
        }
        assert_eq!(waited, [10, 20, 40]);
        // It moves again.
        assert_eq!(relief.choose(full(100, 99), files(&[]), now), Relieve::Wait);
        assert_eq!(relief.patience, None);
    }
}
