//! The takeover from the original kafkatos3: what it left in the working directory goes to the
//! archive under its own names, and the chains begin right behind.
//!
//! The order of things is what makes it safe to die anywhere:
//!
//! 1. Files in progress become finished ones by a rename, as the original's own rotation does.
//! 2. The chain of each partition is begun behind the last of its files, here and in the archive,
//!    by create-if-absent. Until then no file is removed; so until then a new start finds the same.
//! 3. Consumers start ([`Reporter::up`](crate::supervisor::Reporter::up)).
//! 4. Each file is archived, by create-if-absent too, and removed when the archive has its records.
//!    One that reaches into a chain (which was there before, or was begun by another host) is set
//!    aside: its records are the chain's.
//!
//! Where no chain can be begun (the files reach beyond Kafka's log), files are archived before 3:
//! then the archive tells whoever asks later. A topic that is gone needs no chain.
//!
//! | file | what |
//! |---|---|
//! | `pins` | 2: where the chains begin |
//! | `file` | 4: one file and its object |
//! | `remote` | an object read in pieces |
//!
//! Several instances on one spool: a lock lets one at a time do 1 and 2; afterwards the lock on each
//! file says who archives it.

mod file;
mod pins;
mod remote;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::chain_io::ChainIo;
use super::originals::Originals;
use super::{Context, Exit, Mapped, START_PATIENCE, archive, in_full, runtime, settings};
use crate::config::{Config, OnTopicRecreated};
use crate::kafka::{Admin, KafkaError};
use crate::legacy::content::{Content, is_without_head};
use crate::legacy::name::{Date, LegacyName};
use crate::legacy::scan::{self, Finished, InProgress, Leftovers};
use crate::spool::error::IoExt;
use crate::spool::original::{Original, remove_empty_directories};
use crate::spool::{Spool, SpoolError, Stage, Taken};
use crate::status::model::Phase;
use crate::store::StoreError;
use crate::sys::lock::FileLock;
use crate::sys::poll::wait_readable;
use crate::sys::signals::Stop;
use crate::types::{Offset, OffsetRange, TopicPartition};
use file::Fate;
use pins::Standing;

/// How long broker questions may take.
const ASK: Duration = Duration::from_secs(5);
/// When to look again at what another process holds.
const BUSY_WAIT: Duration = Duration::from_millis(500);
/// How often to say that something is being waited for.
const REMIND: Duration = Duration::from_secs(30);
/// How many strangers are named.
const NAMED: usize = 5;

/// Takes over, and ends.
pub(crate) fn run(ctx: &Context) -> Exit {
    match Takeover::open(ctx).and_then(|takeover| takeover.run()) {
        Ok(exit) | Err(exit) => exit,
    }
}

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl AskError {
    /// Whether asking again can't help before somebody has changed something.
    const fn is_final(&self) -> bool {
        matches!(self, Self::Store(error) if !error.is_transient())
    }

    fn exit(self) -> Exit {
        match self {
            Self::Store(error) => Exit::store(error),
            Self::Kafka(error) => Exit::because(69, &error),
        }
    }
}

/// What became of everything, for the last line.
#[derive(Debug, Default)]
struct Tally {
    archived: usize,
    found: usize,
    aside: usize,
    left: usize,
}

struct Takeover<'a> {
    ctx: &'a Context,
    config: Arc<Config>,
    spool: Spool,
    runtime: tokio::runtime::Runtime,
    io: ChainIo,
    originals: Originals,
    admin: Admin,
    /// Whether the others have started; before that, what does not work ends the start.
    up: Cell<bool>,
}

impl<'a> Takeover<'a> {
    fn open(ctx: &'a Context) -> Result<Self, Exit> {
        let config = ctx.config();
        let spool = Spool::open(&config.main.working_directory).map_err(Exit::spool)?;
        let runtime = runtime()?;
        let store = runtime.block_on(archive::open(&config.archive.target))?;
        runtime.block_on(super::self_test(&*store, ctx))?;
        let new_chains = config.consumer.on_topic_recreated == OnTopicRecreated::NewChain;
        let admin = Admin::new(&settings::client(&config, "takeover")).map_err(Exit::config)?;
        Ok(Self {
            ctx,
            spool,
            runtime,
            io: ChainIo::new(store, new_chains),
            originals: Originals::new(&config.archive.target),
            config,
            admin,
            up: Cell::new(false),
        })
    }

    fn run(&self) -> Result<Exit, Exit> {
        let lock = self.lock()?;
        let mut tally = Tally::default();
        let empty = self.settle(&mut tally)?;
        let found = scan(&self.spool)?;
        let reached = self.reached(&found.finished, &empty, &mut tally)?;
        let standings = self.pin(reached)?;
        let mut partitions = by_partition(found.finished);
        for (tp, standing) in &standings {
            if matches!(standing, Standing::NotPinned)
                && let Some(files) = partitions.remove(tp)
            {
                self.archive(standing, &files, &mut tally)?;
            }
        }
        drop(lock);
        self.up.set(true);
        self.ctx.reporter.up();
        for (tp, files) in &partitions {
            let standing = standings.get(tp).unwrap_or(&Standing::NotPinned);
            self.archive(standing, files, &mut tally)?;
        }
        for file in empty {
            self.drop_empty(&file, standings.get(&file.tp), &mut tally)?;
        }
        self.report(&found.strangers, &tally);
        self.clear_directories();
        Ok(if tally.left == 0 { Exit::DONE } else { Exit::PARTIAL })
    }

    /// The lock that lets one instance at a time find out where chains begin.
    fn lock(&self) -> Result<FileLock, Exit> {
        let path = self.spool.dir(Stage::Run).join("takeover.lock");
        let mut remind = Remind::default();
        loop {
            match FileLock::try_lock(&path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => {
                    if remind.is_due() {
                        log::info!("takeover: another instance is at it; waiting");
                    }
                    self.pause(BUSY_WAIT)?;
                }
                Err(error) => return Err(Exit::because(73, &in_full(&error))),
            }
        }
    }

    /// Waits; an error if it is time to stop.
    fn pause(&self, wait: Duration) -> Result<(), Exit> {
        let until = Instant::now() + wait;
        loop {
            self.go_on()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            wait_readable(&[self.ctx.signals.as_fd()], Some(left))
                .map_err(|error| Exit::internal(&in_full(&error)))?;
        }
    }

    /// An error if it is time to stop.
    fn go_on(&self) -> Result<(), Exit> {
        let status = &self.ctx.status;
        if status.is_due(Instant::now()) {
            status.record(if self.up.get() { Phase::Working } else { Phase::Starting }, |_| ());
        }
        if self.ctx.stop() == Stop::No {
            return Ok(());
        }
        log::info!("takeover: stopping; the next start goes on with it");
        Err(Exit::PARTIAL)
    }

    /// Asks until there is an answer. Before the others have started, a while only.
    fn insist<T>(&self, what: &str, ask: impl Fn() -> Result<T, AskError>) -> Result<T, Exit> {
        let give_up = Instant::now() + START_PATIENCE;
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        loop {
            let error = match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !self.up.get() && (error.is_final() || Instant::now() >= give_up) {
                return Err(error.exit());
            }
            let wait = backoff.next();
            log::warn!("takeover: can't {what}: {error}; again in {:.1} s", wait.as_secs_f64());
            self.pause(wait)?;
        }
    }

    /// Makes finished files of those in progress; gives those that hold no record.
    fn settle(&self, tally: &mut Tally) -> Result<Vec<Empty>, Exit> {
        let mut empty = Vec::new();
        for (file, claim) in self.claim_in_progress()? {
            match self.settle_one(&file, claim) {
                Ok(Settled::Empty(next)) => {
                    empty.push(Empty { tp: file.tp.clone(), next, file });
                }
                Ok(Settled::Aside) => tally.aside += 1,
                Ok(Settled::Finished | Settled::Removed) => {}
                Err(error) => return Err(Exit::spool(error)),
            }
        }
        Ok(empty)
    }

    /// All files in progress, or none: while the original holds one of them, it is at work.
    fn claim_in_progress(&self) -> Result<Vec<(InProgress, Original)>, Exit> {
        let mut remind = Remind::default();
        'again: loop {
            let mut claimed = Vec::new();
            for file in scan(&self.spool)?.in_progress {
                match Original::take(&file.path).map_err(Exit::spool)? {
                    Taken::Ours(claim) => claimed.push((file, claim)),
                    Taken::Gone => {}
                    Taken::Busy => {
                        if remind.is_due() {
                            log::warn!(
                                "takeover: \"{}\" is locked: the original kafkatos3 still runs; \
                                 stop it. Waiting for that",
                                file.path.display()
                            );
                        }
                        drop(claimed);
                        self.pause(BUSY_WAIT)?;
                        continue 'again;
                    }
                }
            }
            return Ok(claimed);
        }
    }

    fn settle_one(&self, file: &InProgress, claim: Original) -> Result<Settled, SpoolError> {
        let path = claim.path().to_owned();
        let map = Mapped::of(claim.file()).at("map", &path)?;
        let content = match Content::read(&*map) {
            Ok(content) if content.tp == file.tp => content,
            Ok(content) => {
                let why = format!("it holds records of {}", content.tp);
                return self.aside(claim, &aside_name(file), &why).map(|()| Settled::Aside);
            }
            Err(_) if is_without_head(&*map).at("read", &path)? => {
                log::info!("takeover: {}: not begun; removed", self.shown(&path));
                return claim.remove().map(|()| Settled::Removed);
            }
            Err(error) => {
                let why = error.to_string();
                return self.aside(claim, &aside_name(file), &why).map(|()| Settled::Aside);
            }
        };
        drop(map);
        match (content.range(), &content.broken) {
            (Some(range), broken) => {
                if let Some(why) = broken {
                    log::warn!(
                        "takeover: {}: {why}; it is cut behind offset {}",
                        self.shown(&path),
                        range.last()
                    );
                }
                self.finish(file, claim, range)
            }
            (None, None) => Ok(Settled::Empty(content.next())),
            (None, Some(why)) => {
                self.aside(claim, &aside_name(file), &why.to_string()).map(|()| Settled::Aside)
            }
        }
    }

    /// The original's own rotation. The day is that of the last write, so that it stays the same.
    fn finish(
        &self,
        file: &InProgress,
        mut claim: Original,
        range: OffsetRange,
    ) -> Result<Settled, SpoolError> {
        let path = claim.path().to_owned();
        let modified =
            claim.file().metadata().and_then(|meta| meta.modified()).at("look at", &path)?;
        let name = LegacyName { tp: file.tp.clone(), range, date: Date::of(modified) };
        let to = scan::rotated_path(self.spool.root(), &name);
        if claim.rename(&to)? {
            return Ok(Settled::Finished);
        }
        let why = format!("a finished file is there of the same name: {name}");
        self.aside(claim, &aside_name(file), &why).map(|()| Settled::Aside)
    }

    fn aside(&self, claim: Original, name: &str, why: &str) -> Result<(), SpoolError> {
        let from = self.shown(claim.path());
        let to = claim.set_aside(&self.spool, name, why)?;
        log::error!(
            event = "set_aside", file:% = to.display(), error = why;
            "takeover: {from} is not archived but set aside as {}: {why}", self.shown(&to)
        );
        Ok(())
    }

    /// A path for people: below the working directory.
    fn shown(&self, path: &Path) -> String {
        format!("\"{}\"", path.strip_prefix(self.spool.root()).unwrap_or(path).display())
    }

    /// Archives the files of one partition, in the order of their offsets.
    fn archive(
        &self,
        standing: &Standing,
        files: &[Finished],
        tally: &mut Tally,
    ) -> Result<(), Exit> {
        if let Standing::Stopped(why) = standing {
            tally.left += files.len();
            if let Some(file) = files.first() {
                log::error!("takeover: the files of {} stay where they are: {why}", file.name.tp);
            }
            return Ok(());
        }
        for (index, file) in files.iter().enumerate() {
            self.go_on()?;
            match self.archive_one(standing, file)? {
                Fate::Archived => tally.archived += 1,
                Fate::Found => tally.found += 1,
                Fate::Aside => tally.aside += 1,
                Fate::Gone => {}
                Fate::Refused => {
                    tally.left += files.len() - index;
                    return Ok(());
                }
            }
            self.ctx.reporter.useful();
        }
        Ok(())
    }

    /// A file without records has done its service when the chain is there.
    fn drop_empty(
        &self,
        empty: &Empty,
        standing: Option<&Standing>,
        tally: &mut Tally,
    ) -> Result<(), Exit> {
        match standing {
            Some(Standing::Pinned(_) | Standing::NoTopic) => {}
            Some(Standing::NotPinned | Standing::Stopped(_)) | None => {
                tally.left += 1;
                return Ok(());
            }
        }
        let path = &empty.file.path;
        if let Taken::Ours(claim) = Original::take(path).map_err(Exit::spool)? {
            claim.remove().map_err(Exit::spool)?;
            log::info!("takeover: {}: holds no record; removed", self.shown(path));
        }
        Ok(())
    }

    fn report(&self, strangers: &[std::path::PathBuf], tally: &Tally) {
        if !strangers.is_empty() {
            let named: Vec<_> = strangers.iter().take(NAMED).map(|path| self.shown(path)).collect();
            log::warn!(
                "takeover: {} files are none of the original's and stay where they are: {}{}",
                strangers.len(),
                named.join(", "),
                if strangers.len() > NAMED { ", ..." } else { "" }
            );
        }
        let Tally { archived, found, aside, left } = tally;
        log::info!(
            event = "takeover", archived = *archived, found = *found, aside = *aside, left = *left;
            "takeover: {archived} files of the original kafkatos3 archived, {found} were archived \
             already, {aside} set aside in \"quarantine/original\", {left} left where they are"
        );
    }

    fn clear_directories(&self) {
        for dir in scan::directories(self.spool.root()) {
            remove_empty_directories(&dir);
        }
    }
}

/// A file in progress without records: the chain can begin where it would have.
struct Empty {
    tp: TopicPartition,
    next: Offset,
    file: InProgress,
}

/// What became of a file in progress.
enum Settled {
    Finished,
    Empty(Offset),
    Removed,
    Aside,
}

/// Says when a line about waiting is due: at first, and then now and again.
#[derive(Default)]
struct Remind(Option<Instant>);

impl Remind {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now.duration_since(last) >= REMIND);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

fn scan(spool: &Spool) -> Result<Leftovers, Exit> {
    scan::scan(spool.root()).map_err(|error| Exit::because(73, &in_full(&error)))
}

fn by_partition(files: Vec<Finished>) -> BTreeMap<TopicPartition, Vec<Finished>> {
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in files {
        partitions.entry(file.name.tp.clone()).or_default().push(file);
    }
    partitions
}

fn aside_name(file: &InProgress) -> String {
    format!("{}_data.mak", file.tp)
}
