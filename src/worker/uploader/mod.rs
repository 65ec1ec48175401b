//! The uploader: publishes packed files, partition by partition in offset order, and tells the
//! consumers where each chain's tip is.
//!
//! Different partitions go up at once; of one partition, one file after the other, under the
//! partition's lock. What to do with a file is `chain::publish`'s decision; `partition` carries it
//! out. A store that fails is asked again, slower each time; the files wait in the spool.

mod board;
mod catalog;
mod local;
mod partition;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{self, Either, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use log::Level;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::chain_io::ChainIo;
use super::{Context, Exit, SPOOL, archive, in_full};
use crate::config::Config;
use crate::logging::{self, Fault};
use crate::spool::watch::{self, Watch};
use crate::spool::{FileName, Spool, SpoolError, SpoolPartition, Stage};
use crate::status::WorkerStatus;
use crate::sys::signals::Stop;
use catalog::Handover;
use partition::{PartitionState, Shared, Turn, new_chains};

/// How long the catalogue's last rows may take at the end; what is left is entered later.
const LAST_ROWS: Duration = Duration::from_secs(5);

/// How many partitions go up at once from one process.
const PARALLEL: usize = 8;

/// Uploads until told to stop; with 0 consumers and `--exit-at-end`, until nothing is left.
pub(crate) fn run(ctx: &Context) -> Exit {
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    runtime.block_on(async {
        match Uploader::open(ctx).await {
            Ok(mut uploader) => {
                let exit = uploader.run().await;
                uploader.tell();
                if let Some(catalog) = uploader.shared.catalog.clone() {
                    catalog.finish(LAST_ROWS);
                }
                exit
            }
            Err(exit) => exit,
        }
    })
}

struct Uploader<'a> {
    ctx: &'a Context,
    config: Arc<Config>,
    shared: Arc<Shared>,
    watch: Watch,
    /// What is known of partitions; `None` while one is being worked on.
    states: HashMap<SpoolPartition, Option<PartitionState>>,
    busy: FuturesUnordered<LocalBoxFuture<'static, (SpoolPartition, PartitionState)>>,
    /// What was found by the last listing and was not begun yet: with thousands of files one for
    /// each of them would take longer than they do.
    listed: VecDeque<(SpoolPartition, Vec<FileName>)>,
}

impl<'a> Uploader<'a> {
    async fn open(ctx: &'a Context) -> Result<Self, Exit> {
        let config = ctx.config();
        let spool = Spool::open(&config.main.working_directory).map_err(Exit::spool)?;
        let store = archive::open(&config.archive.target).await?;
        super::self_test(&*store, ctx).await?;
        let io = ChainIo::new(store, new_chains(&config));
        // One of the uploaders looks for what others left out before.
        let tips =
            if ctx.index == 0 { catalog::tips(&spool, io.store().url()) } else { Vec::new() };
        let catalog = Handover::start(&config, tips).map(Arc::new);
        let shared = Shared::new(&config, spool.clone(), io, ctx.reporter.clone(), catalog)?;
        ctx.reporter.up();
        Ok(Self {
            ctx,
            config,
            shared: Arc::new(shared),
            watch: Watch::new(
                &spool,
                // Stop notes leave tips/ when they are lifted.
                &[
                    watch::Interest::Arrivals(Stage::Compressed),
                    watch::Interest::Departures(Stage::Tips),
                ],
            ),
            states: HashMap::new(),
            busy: FuturesUnordered::new(),
            listed: VecDeque::new(),
        })
    }

    async fn run(&mut self) -> Exit {
        loop {
            if self.ctx.stop() != Stop::No {
                return self.leave().await;
            }
            if let Err(exit) = self.take_up() {
                return exit;
            }
            let next_scan = match self.start_work() {
                Ok(wait) => {
                    logging::working(Fault::SCAN, SPOOL);
                    wait
                }
                Err(error) => {
                    logging::failing(Level::Error, Fault::SCAN, SPOOL, &in_full(&error));
                    Duration::from_secs(5)
                }
            };
            if self.busy.is_empty()
                && self.ctx.empties_spool()
                && let Some(exit) = self.finished()
            {
                return exit;
            }
            self.wait(next_scan).await;
            // Connections are driven only while this yields.
            tokio::task::yield_now().await;
        }
    }

    /// Goes on as the configuration says now; what is under way ends as it began.
    fn take_up(&mut self) -> Result<(), Exit> {
        let config = self.ctx.config();
        if !Arc::ptr_eq(&config, &self.config) {
            self.shared = Arc::new(self.shared.under(&config)?);
            self.config = config;
            self.states.values_mut().flatten().for_each(PartitionState::settings_changed);
        }
        Ok(())
    }

    /// Lets what is under way finish.
    async fn leave(&mut self) -> Exit {
        while let Some((partition, state)) = self.busy.next().await {
            self.states.insert(partition, Some(state));
            if self.ctx.stop() == Stop::AtOnce {
                break;
            }
        }
        Exit::DONE
    }

    /// Nothing left but what stopped.
    fn finished(&self) -> Option<Exit> {
        let spool = &self.shared.spool;
        let (rotated, compressed) = (spool.rotated().ok()?, spool.compressed().ok()?);
        if rotated.is_empty() && compressed.is_empty() {
            return Some(Exit::DONE);
        }
        let stopped = |partition: &SpoolPartition| matches!(self.states.get(partition), Some(Some(state)) if state.is_stopped());
        let mut left = rotated.iter().chain(&compressed).map(|file| &file.name.partition);
        left.all(stopped).then_some(Exit::PARTIAL)
    }

    /// Starts on partitions that have files and are not busy; returns when to look again.
    fn start_work(&mut self) -> Result<Duration, SpoolError> {
        let now = Instant::now();
        let mut wait = self.config.upload.check_interval;
        if self.ctx.empties_spool() {
            wait = wait.min(Duration::from_secs(1));
        }
        let mut is_fresh = false;
        while self.busy.len() < PARALLEL {
            let Some((partition, files)) = self.listed.pop_front() else {
                if std::mem::replace(&mut is_fresh, true) {
                    break;
                }
                self.list()?;
                continue;
            };
            let slot = self
                .states
                .entry(partition.clone())
                .or_insert_with(|| Some(PartitionState::default()));
            let Some(state) = slot.take() else { continue };
            match state.due_in(now) {
                Duration::ZERO => {
                    let turn = Turn {
                        shared: self.shared.clone(),
                        partition,
                        state,
                        files,
                        located: false,
                        current: None,
                    };
                    self.busy.push(Box::pin(turn.run()));
                }
                later => {
                    wait = wait.min(later);
                    *slot = Some(state);
                }
            }
        }
        Ok(wait)
    }

    /// Finds what there is to do.
    fn list(&mut self) -> Result<(), SpoolError> {
        for file in self.shared.spool.compressed()? {
            match self.listed.back_mut() {
                Some((partition, files)) if *partition == file.name.partition => {
                    files.push(file.name);
                }
                _ => self.listed.push_back((file.name.partition.clone(), vec![file.name])),
            }
        }
        for (partition, state) in &self.states {
            let has_news = state.as_ref().is_some_and(PartitionState::has_news);
            if has_news && !self.listed.iter().any(|(other, _)| other == partition) {
                self.listed.push_back((partition.clone(), Vec::new()));
            }
        }
        Ok(())
    }

    /// Until a partition is done, a file or a signal comes, or it is time for the next scan.
    /// Meanwhile the status is kept fresh.
    async fn wait(&mut self, next_scan: Duration) {
        let until = Instant::now() + next_scan;
        loop {
            let now = Instant::now();
            if self.ctx.status.is_due(now) {
                self.tell();
            }
            let left = until.saturating_duration_since(now);
            let wait = left.min(self.ctx.status.due_in(now));
            if self.wait_at_most(wait).await || wait == left {
                return;
            }
        }
    }

    fn tell(&self) {
        let board = &self.shared.board;
        let fill = |status: &mut WorkerStatus| status.uploader = Some(board.status());
        self.ctx.status.record(self.ctx.phase(), fill);
    }

    /// Says whether anything came.
    async fn wait_at_most(&mut self, time: Duration) -> bool {
        let woken = readable(self.watch.fd());
        let signal = readable(Some(self.ctx.signals.as_fd()));
        let outside = future::select(Box::pin(woken), Box::pin(signal));
        let outside = tokio::time::timeout(time, outside);
        let done = async {
            match self.busy.next().await {
                Some(done) => done,
                None => future::pending().await,
            }
        };
        // Work under way comes first, or a busy spool would starve it.
        let finished = match future::select(Box::pin(done), Box::pin(outside)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right((Err(_), _)) => return false,
            Either::Right((Ok(_), _)) => None,
        };
        if let Some((partition, state)) = finished {
            self.states.insert(partition, Some(state));
        }
        if self.watch.drain() {
            for (partition, state) in &mut self.states {
                if let Some(state) = state {
                    state.spool_changed(&self.shared.spool, partition);
                }
            }
        }
        true
    }
}

/// Waits until a descriptor can be read from; for ever, if it can't be watched (then the scan
/// interval is what is left).
async fn readable(fd: Option<BorrowedFd<'_>>) {
    #[expect(unsafe_code, reason = "the descriptor must not be closed while it is registered")]
    // SAFETY: it is borrowed for longer than the registration lives, so nobody closes it.
    let watched = fd.map(|fd| unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) });
    match watched {
        Some(Ok(fd)) => drop(fd.readable().await),
        Some(Err(_)) | None => future::pending().await,
    }
}
