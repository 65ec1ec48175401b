//! What runs ahead of a [`RecordStream`](super::RecordStream): lists, opens and fetches.
//!
//! **Requests.** One listing; for each file one request for its end (two if its tail is longer than
//! 64 KiB); then one for each run of frames that fits into the room, some of them at the same time.
//! A slice that is known to end takes its frames in one request, as long as they take less than
//! [`BOUNDED`] bytes, packed and unpacked together. Nothing is opened or fetched that the slice may
//! not need, but for one frame at its end. A start by time looks for its file by bisection, with one
//! request for each file that is looked at.
//!
//! **Order and completeness.** Files have to follow each other without a hole between them; what is
//! missing in the middle is an error, behind all the records before it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::batch::File;
use super::engine::Engine;
use super::slice::{Seek, Slice, Start};
use super::stream::{Item, Packed};
use super::{ArchiveError, Elder, Entries, Entry, Object};
use crate::codec::Frame;
use crate::meta::{ChainRecord, ObjectMeta};
use crate::store::names::{ChainId, ChainName, Folder, Name};
use crate::store::{Store, StoreError};
use crate::types::{Offset, Suffix};

/// Bytes for which there is one permit.
pub(super) const UNIT: u64 = 1 << 10;
/// What one request may bring and unpack to, if the slice is known to end.
pub(super) const BOUNDED: u64 = 40 << 20;
/// Files that are opened while another is read.
const OPEN_AHEAD: usize = 8;
/// How long a file is waited for that may come any time, at first and at most.
const PATIENCE: Range<Duration> = Duration::from_millis(500)..Duration::from_secs(30);

/// Fetches for one stream.
pub(super) struct Runner {
    pub(super) store: Arc<dyn Store>,
    pub(super) engine: Engine,
    pub(super) chain: ChainId,
    /// Further folders, in which another tool's files of this partition lie.
    pub(super) elsewhere: Vec<Folder>,
    pub(super) slice: Slice,
    /// One permit for each unit of memory.
    pub(super) room: Arc<Semaphore>,
    pub(super) total: u32,
    pub(super) out: mpsc::UnboundedSender<Item>,
}

/// An open file, without a borrow of its store.
struct Opened {
    file: Arc<File>,
    /// The end of the object, which opening it brought.
    brought: Bytes,
    /// Where in the object that begins.
    brought_at: u64,
    long_tail: bool,
}

/// Nobody reads any more.
pub(super) struct Left;

/// Why the runner ends before its files do.
pub(super) enum Stop {
    Left,
    Failed(ArchiveError),
}

impl From<Left> for Stop {
    fn from(_: Left) -> Self {
        Self::Left
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Where in the chain the runner is.
#[derive(Debug, Clone, Copy)]
struct Position {
    offset: Offset,
    suffix: Suffix,
}

/// What is to be read.
struct Plan {
    seek: Option<Seek>,
    /// What other tools archived, before the chain begins.
    elders: Vec<Elder>,
    /// Where it begins.
    begins: Option<Offset>,
    entries: VecDeque<Entry>,
    /// What was opened on the way.
    known: Vec<Opened>,
}

impl Runner {
    /// Runs until the slice is told of, or nobody reads any more.
    pub(super) async fn run(mut self) {
        let end = match self.read().await {
            Ok(()) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Left) => return,
        };
        // Nobody may be there any more.
        let _ = self.out.send(Item::End(end));
    }

    async fn read(&mut self) -> Result<(), Stop> {
        let plan = self.plan().await?;
        self.tell(Item::Begin(plan.seek))?;
        let reached = self.read_elders(&plan.elders, plan.seek, plan.begins).await?;
        let mut reading = Reading { seek: plan.seek, before: 0, at: None, closed: None };
        self.read_entries(plan, &mut reading).await?;
        if self.slice.follows() {
            self.tell(Item::CaughtUp)?;
            if reading.at.is_none() {
                // The chain that begins behind them may begin before their end.
                if let Some(at) = self.follow_elders(reached).await?.at() {
                    self.tell(Item::Behind(at))?;
                }
            }
            self.follow(reading).await?;
        }
        Ok(())
    }

    pub(super) fn tell(&self, item: Item) -> Result<(), Left> {
        self.out.send(item).map_err(|_| Left)
    }

    // ---- Where to begin, and where to end

    async fn plan(&self) -> Result<Plan, Stop> {
        let entries = Entries::listed(&*self.store, &self.chain, &self.elsewhere).await?;
        let mut known = Vec::new();
        let (seek, mut from) = self.begin(&entries, &mut known).await?;
        let chain = entries.chain();
        let end = self.slice.end();
        let mut until = end.map_or(chain.len(), |end| chain.partition_point(|e| e.start < end));
        let (from_time, to_time) = self.slice.times();
        if let Some(millis) = from_time {
            let reaches = |(_, last): (i64, i64)| last >= millis;
            from = from.max(from_bisected(&self.bisect(chain, &mut known, reaches).await?));
        }
        if let Some(millis) = to_time {
            let behind = |(first, _): (i64, i64)| first >= millis;
            until = until.min(self.bisect(chain, &mut known, behind).await?.end);
        }
        if self.slice.follows() {
            // The last one tells where the next one will be.
            from = from.min(chain.len().saturating_sub(1));
        }
        let (begins, oldest) = if entries.elders().is_empty() {
            (None, None)
        } else {
            self.first_records(chain, &mut known).await?
        };
        let before = match seek {
            Some(Seek::Offset(offset)) => begins.is_none_or(|begins| offset < begins),
            // What comes before a record that is too old is too old as well.
            Some(Seek::Time(millis)) => from == 0 && oldest.is_none_or(|oldest| oldest >= millis),
            None => from == 0,
        };
        let wanted = chain.get(from..until.max(from)).unwrap_or_default();
        known.retain(|opened| wanted.iter().any(|entry| entry.name == opened.file.name));
        let elders = if before { entries.elders().to_vec() } else { Vec::new() };
        Ok(Plan { seek, elders, begins, entries: wanted.iter().cloned().collect(), known })
    }

    /// Where the records of a chain begin, which its first file may record a gap before, and the
    /// oldest time in that file.
    async fn first_records(
        &self,
        chain: &[Entry],
        known: &mut Vec<Opened>,
    ) -> Result<(Option<Offset>, Option<i64>), Stop> {
        let start = chain.first().map(|entry| entry.start);
        for entry in chain.iter().take_while(|entry| Some(entry.start) == start) {
            let opened = self.look(entry, known).await?;
            if let Some(file) = opened.file() {
                let gap = file.gap.filter(|gap| gap.from == file.range.start());
                let begins = gap.map_or(file.range.start(), |gap| gap.to);
                return Ok((Some(begins), file.times.map(|(oldest, _)| oldest)));
            }
        }
        Ok((start, None))
    }

    /// What the first record has to be, and which entry it is in, or behind.
    async fn begin(
        &self,
        entries: &Entries,
        known: &mut Vec<Opened>,
    ) -> Result<(Option<Seek>, usize), Stop> {
        let chain = entries.chain();
        let place = |offset| chain.len() - entries.from_offset(offset).len();
        Ok(match self.slice.start() {
            Start::Beginning => (None, 0),
            Start::Offset(offset) => (Some(Seek::Offset(offset)), place(offset)),
            Start::FromEnd(count) => {
                let tip = match entries.last() {
                    Some(last) => position_behind(self.look(last, known).await?).offset,
                    None => self.elders_end(entries.elders()).await?.unwrap_or_default(),
                };
                let offset = Offset::new(tip.get().saturating_sub(count)).unwrap_or(tip);
                (Some(Seek::Offset(offset)), place(offset))
            }
            Start::Time(millis) => {
                let reaches = |(_, last): (i64, i64)| last >= millis;
                let found = self.bisect(chain, known, reaches).await?;
                (Some(Seek::Time(millis)), from_bisected(&found))
            }
        })
    }

    /// Where the first entry lies whose times fit, if those behind it do, too: behind `start`, which
    /// does not fit, and not behind `end`. Of a `start` of 0 nothing is known. Asks for as few as are
    /// needed to know so much.
    async fn bisect(
        &self,
        chain: &[Entry],
        known: &mut Vec<Opened>,
        fits: impl Fn((i64, i64)) -> bool,
    ) -> Result<Range<usize>, Stop> {
        let mut left = 0..chain.len();
        while left.len() > 1 {
            let middle = left.start + left.len() / 2;
            match self.times_from(chain, middle..left.end, known).await? {
                None => left.end = middle,
                Some((_, times)) if fits(times) => left.end = middle,
                Some((at, _)) => left.start = at,
            }
        }
        Ok(left)
    }

    /// The first of these entries that has records with times.
    async fn times_from(
        &self,
        chain: &[Entry],
        range: Range<usize>,
        known: &mut Vec<Opened>,
    ) -> Result<Option<(usize, (i64, i64))>, Stop> {
        for at in range {
            let Some(entry) = chain.get(at) else { break };
            let file = self.look(entry, known).await?;
            if let ObjectMeta::File(file) = &file.meta
                && let Some(times) = file.times
            {
                return Ok(Some((at, times)));
            }
        }
        Ok(None)
    }

    /// Opens an entry, if that was not done before.
    async fn look<'k>(
        &self,
        entry: &Entry,
        known: &'k mut Vec<Opened>,
    ) -> Result<&'k File, ArchiveError> {
        let found = known.iter().position(|opened| opened.file.name == entry.name);
        let at = if let Some(at) = found {
            at
        } else {
            known.push(open(&*self.store, &entry.name, Some(entry.size)).await?);
            known.len() - 1
        };
        let opened = known.get(at).map(|opened| &*opened.file);
        opened.ok_or_else(|| ArchiveError::GivenUp { chain: self.chain.to_string() })
    }

    // ---- The files that are there

    async fn read_entries(&self, plan: Plan, reading: &mut Reading) -> Result<(), Stop> {
        let Plan { mut entries, mut known, .. } = plan;
        let ahead = if self.slice.may_stop_early() { 1 } else { OPEN_AHEAD };
        let mut opening = VecDeque::new();
        loop {
            while opening.len() < ahead
                && let Some(entry) = entries.pop_front()
            {
                opening.push_back(self.open_beside(entry, &mut known));
            }
            let Some(opened) = opening.pop_front() else { return Ok(()) };
            let opened = opened.await.map_err(|_| self.given_up())??;
            self.read_file(opened, reading).await?;
            if self.slice.may_stop_early() {
                // Only who asks for more than there was needs another file.
                drop(self.take_room(self.total).await?);
            }
        }
    }

    fn open_beside(
        &self,
        entry: Entry,
        known: &mut Vec<Opened>,
    ) -> oneshot::Receiver<Result<Opened, ArchiveError>> {
        let (done, opened) = oneshot::channel();
        if let Some(at) = known.iter().position(|opened| opened.file.name == entry.name) {
            let _ = done.send(Ok(known.swap_remove(at)));
            return opened;
        }
        let store = Arc::clone(&self.store);
        self.engine.spawn(async move {
            // Nobody may wait any more.
            let _ = done.send(open(&*store, &entry.name, Some(entry.size)).await);
        });
        opened
    }

    async fn read_file(&self, opened: Opened, reading: &mut Reading) -> Result<(), Stop> {
        reading.join(&opened.file)?;
        let Some(file) = opened.file.file() else { return Ok(()) };
        if let Some(Seek::Offset(offset)) = reading.seek
            && file.range.next() <= offset
        {
            return Ok(());
        }
        let index = &opened.file.tail.index;
        let wanted = self.slice.frames(index, reading.seek, &mut reading.before);
        if !wanted.is_empty() && matches!(reading.seek, Some(Seek::Time(_))) {
            // The first record is in here, or at the beginning of the next file.
            reading.seek = None;
        }
        self.fetch_all(&opened, &wanted).await
    }

    /// Fetches these frames in as few requests as the room allows.
    async fn fetch_all(&self, opened: &Opened, wanted: &[usize]) -> Result<(), Stop> {
        let most = if self.slice.is_bounded() { BOUNDED / UNIT } else { u64::from(self.total) / 3 };
        let most = most.min(self.total.into());
        let mut position = Positions::default();
        let mut rest = wanted;
        // A frame may end with a hole behind the last wanted record but one.
        let mut at_least = if opened.long_tail { 2 } else { 1 };
        while !rest.is_empty() {
            let count = run_of(opened.file.frames(), rest, most, at_least);
            let (run, left) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = left;
            at_least = 1;
            self.fetch(opened, run, &mut position).await?;
        }
        Ok(())
    }

    /// Fetches one run of frames.
    async fn fetch(
        &self,
        opened: &Opened,
        run: &[usize],
        position: &mut Positions,
    ) -> Result<(), Stop> {
        let frames = opened.file.frames();
        let costs: Vec<u32> = run.iter().filter_map(|at| frames.get(*at)).map(cost).collect();
        let whole = costs.iter().fold(0_u32, |sum, cost| sum.saturating_add(*cost));
        let mut room = self.take_room(whole.min(self.total)).await?;
        let mut jobs = Vec::with_capacity(run.len());
        for (index, cost) in run.iter().zip(costs) {
            let Some(frame) = frames.get(*index) else { break };
            let (done, fetched) = oneshot::channel();
            let share = usize::try_from(cost).unwrap_or(usize::MAX).min(room.num_permits());
            let Some(room) = room.split(share) else { break };
            let position = position.of(frames, *index);
            jobs.push(Job { index: *index, range: frame.range(), position, room, done });
            self.tell(Item::Fetching(fetched))?;
        }
        let (Some(first), Some(last)) = (jobs.first(), jobs.last()) else { return Ok(()) };
        let range = first.range.start..last.range.end;
        let file = Arc::clone(&opened.file);
        if let Some(bytes) = opened.slice(&range) {
            hand_over(&file, &range, &bytes, jobs);
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        self.engine.spawn(async move {
            match store.get_range(&file.name, range.clone()).await {
                Ok(bytes) => hand_over(&file, &range, &bytes, jobs),
                Err(error) => {
                    // The first one is told; the others go with their jobs, and nobody gets there.
                    if let Some(job) = jobs.into_iter().next() {
                        let _ = job.done.send(Err(error.into()));
                    }
                }
            }
        });
        Ok(())
    }

    /// Waits until there is so much room, and somebody who reads.
    pub(super) async fn take_room(&self, permits: u32) -> Result<OwnedSemaphorePermit, Stop> {
        tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(permits) => {
                if self.out.is_closed() { Err(Stop::Left) } else { Ok(room.map_err(|_| Left)?) }
            }
            () = self.out.closed() => Err(Stop::Left),
        }
    }

    pub(super) fn given_up(&self) -> ArchiveError {
        ArchiveError::GivenUp { chain: self.chain.to_string() }
    }

    // ---- The files that are to come

    /// Waits for each next file under the name that it will have.
    async fn follow(&self, mut reading: Reading) -> Result<(), Stop> {
        let mut chain = self.chain.clone();
        if reading.at.is_none() {
            reading.at = Some(self.first_position(&chain).await?);
        }
        loop {
            if let Some((next, at)) = reading.closed.take() {
                chain = next;
                reading.at = Some(at);
            }
            let Some(at) = reading.at else { return Ok(()) };
            if self.slice.end().is_some_and(|end| end <= at.offset) {
                return Ok(());
            }
            let opened = self.await_file(&chain.object(at.offset, at.suffix)).await?;
            self.read_file(opened, &mut reading).await?;
            self.tell(Item::CaughtUp)?;
        }
    }

    /// Where a chain without files begins; waits for it to be begun.
    async fn first_position(&self, chain: &ChainId) -> Result<Position, Stop> {
        let name = chain.record();
        let mut patience = Patience::default();
        loop {
            match self.store.get(&name).await {
                Ok(Some(bytes)) => {
                    let record: ChainRecord = serde_json::from_slice(&bytes).map_err(|error| {
                        let object = format!("{}/{name}", self.store.url());
                        ArchiveError::Disagree { object, what: format!("can't be read: {error}") }
                    })?;
                    return Ok(Position { offset: record.first, suffix: record.suffix });
                }
                Err(error) if !error.is_transient() => return Err(error.into()),
                Ok(None) | Err(_) => {}
            }
            patience.wait(&self.out).await?;
        }
    }

    async fn await_file(&self, name: &Name) -> Result<Opened, Stop> {
        let mut patience = Patience::default();
        loop {
            match open(&*self.store, name, None).await {
                Err(ArchiveError::Store(StoreError::Missing { .. })) => {}
                Err(ArchiveError::Store(error)) if error.is_transient() => {
                    log::warn!("{error}: asking again");
                }
                opened => return Ok(opened?),
            }
            patience.wait(&self.out).await?;
        }
    }
}

/// Longer and longer pauses.
pub(super) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(PATIENCE.start)
    }
}

impl Patience {
    /// Waits, unless nobody reads any more.
    pub(super) async fn wait(&mut self, out: &mpsc::UnboundedSender<Item>) -> Result<(), Left> {
        let pause = self.0;
        self.0 = pause.mul_f64(1.5).min(PATIENCE.end);
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = out.closed() => Err(Left),
        }
    }
}

/// How far the reading of a chain has come.
struct Reading {
    seek: Option<Seek>,
    /// How many of the records so far are wanted for sure.
    before: u64,
    /// Where the next file has to begin.
    at: Option<Position>,
    /// The chain that goes on behind a closing seal.
    closed: Option<(ChainId, Position)>,
}

impl Reading {
    /// Takes up the next object, if it begins where the one before it ends.
    fn join(&mut self, file: &File) -> Result<(), ArchiveError> {
        let start = match &file.meta {
            ObjectMeta::File(meta) => meta.range.start(),
            ObjectMeta::Seal(seal) => seal.at,
            ObjectMeta::Close(close) => close.at,
        };
        if let Some(Position { offset, .. }) = self.at {
            if start > offset {
                let (object, from, to) = (file.url.clone(), offset, start);
                return Err(ArchiveError::Hole { object, from, to });
            }
            if start < offset {
                let what = format!("it begins at {start}, inside the file before it");
                return Err(file.disagree(what));
            }
        }
        self.at = Some(position_behind(file));
        if let ObjectMeta::Close(close) = &file.meta {
            let next = close.generation.saturating_add(1);
            let name = ChainName::new(close.identity.topic.clone(), next);
            let at = Position { offset: close.next.first, suffix: close.next.suffix };
            self.closed = Some((name.partition(close.identity.partition), at));
        }
        Ok(())
    }
}

/// The first entry that may hold what was looked for.
const fn from_bisected(found: &Range<usize>) -> usize {
    if found.start == 0 { 0 } else { found.end }
}

fn position_behind(file: &File) -> Position {
    match &file.meta {
        ObjectMeta::File(meta) => Position { offset: meta.range.next(), suffix: meta.suffix },
        ObjectMeta::Seal(seal) => Position { offset: seal.at, suffix: seal.continues },
        ObjectMeta::Close(close) => Position { offset: close.at, suffix: close.suffix },
    }
}

async fn open(store: &dyn Store, name: &Name, size: Option<u64>) -> Result<Opened, ArchiveError> {
    let object = match size {
        Some(size) => Object::open_sized(store, name, size).await?,
        None => Object::open(store, name).await?,
    };
    let Object { inner: file, brought, brought_at, long_tail, .. } = object;
    Ok(Opened { file, brought, brought_at, long_tail })
}

impl Opened {
    /// The bytes `range` of the object, if opening it brought them.
    fn slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let place = |at: u64| usize::try_from(at.checked_sub(self.brought_at)?).ok();
        let (start, end) = (place(range.start)?, place(range.end)?);
        (start <= end && end <= self.brought.len()).then(|| self.brought.slice(start..end))
    }
}

/// A frame that is being fetched.
struct Job {
    index: usize,
    range: Range<u64>,
    position: u64,
    room: OwnedSemaphorePermit,
    done: oneshot::Sender<Result<Packed, ArchiveError>>,
}

/// Hands out the frames that lie in `bytes`, which are those of `range`.
fn hand_over(file: &Arc<File>, range: &Range<u64>, bytes: &Bytes, jobs: Vec<Job>) {
    for Job { index, range: of, position, room, done } in jobs {
        let place = |at: u64| usize::try_from(at - range.start).unwrap_or(usize::MAX);
        let bytes = bytes.slice(place(of.start)..place(of.end));
        // Nobody may wait any more.
        let _ = done.send(Ok(Packed { file: Arc::clone(file), index, position, bytes, room }));
    }
}

/// Units of memory that a frame takes, packed and unpacked.
pub(super) fn cost(frame: &Frame) -> u32 {
    let bytes = u64::from(frame.len) + u64::from(frame.raw_len);
    u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX)
}

/// How many of the first frames of `wanted` lie side by side and cost no more than `most`.
fn run_of(frames: &[Frame], wanted: &[usize], most: u64, at_least: usize) -> usize {
    let (mut count, mut sum) = (0, 0);
    for (at, index) in wanted.iter().enumerate() {
        let follows = at == 0 || wanted.get(at - 1).is_some_and(|before| before + 1 == *index);
        sum += frames.get(*index).map_or(0, |frame| u64::from(cost(frame)));
        if !follows || (sum > most && at >= at_least) {
            break;
        }
        count = at + 1;
    }
    count.max(1)
}

/// Where frames begin in the unpacked file, asked for in rising order.
#[derive(Default)]
struct Positions {
    next: usize,
    position: u64,
}

impl Positions {
    fn of(&mut self, frames: &[Frame], index: usize) -> u64 {
        let passed = frames.get(self.next..index).unwrap_or_default();
        self.position += passed.iter().map(|frame| u64::from(frame.raw_len)).sum::<u64>();
        self.next = index;
        self.position
    }
}
