//! The compressor: takes rotated files, verifies them, and packs them for the archive.
//!
//! A file that is damaged goes to quarantine, and its consumer goes back; one that can't be
//! written (full disk) is tried again. Any number of compressors may share a spool: the lock on
//! a file says who packs it.

use std::cell::RefCell;
use std::io::BufWriter;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::backoff::Backoff;
use super::pack::{PackError, Packing, layout, pack};
use super::{Context, Exit, Mapped, SPOOL, in_full};
use crate::config::Config;
use crate::fail::step;
use crate::logging::{self, Fault};
use crate::spool::error::IoExt;
use crate::spool::stage::{Placed, Rotated};
use crate::spool::watch::{Interest, Watch};
use crate::spool::{FileName, Spool, SpoolError, Stage, Taken};
use crate::status::model::{CompressorStatus, Current, Trouble};
use crate::status::{WorkerStatus, now_ms};
use crate::sys::signals::Stop;

/// Packed bytes are collected to writes of this size. Most frames are larger: those are written as
/// they are, without a further copy.
const WRITE_BUFFER: usize = 64 << 10;

/// Packs until told to stop; with 0 consumers and `--exit-at-end`, until nothing is left.
pub(crate) fn run(ctx: &Context) -> Exit {
    match Compressor::open(ctx) {
        Ok(mut compressor) => {
            let exit = compressor.run();
            compressor.tell();
            exit
        }
        Err(exit) => exit,
    }
}

struct Compressor<'a> {
    ctx: &'a Context,
    spool: Spool,
    watch: Watch,
    config: Arc<Config>,
    packing: Packing,
    backoff: Backoff,
    told: RefCell<CompressorStatus>,
}

/// When to look again at a file that somebody holds: a consumer that dies while it hands one on
/// wakes nobody.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Packed,
    /// Somebody has it.
    Busy,
    /// Somebody else was faster.
    Gone,
}

/// What became of all.
#[derive(Debug, Clone, Copy, Default)]
struct Passed {
    packed: bool,
    busy: bool,
}

impl<'a> Compressor<'a> {
    fn open(ctx: &'a Context) -> Result<Self, Exit> {
        let config = ctx.config();
        let packing = packing(&config)?;
        let spool = Spool::open(&config.main.working_directory).map_err(Exit::spool)?;
        let watch = Watch::new(&spool, &[Interest::Arrivals(Stage::Rotated)]);
        ctx.reporter.up();
        Ok(Self {
            ctx,
            spool,
            watch,
            config,
            packing,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            told: RefCell::default(),
        })
    }

    fn run(&mut self) -> Exit {
        loop {
            if self.ctx.stop() != Stop::No {
                return Exit::DONE;
            }
            if let Err(exit) = self.take_up() {
                return exit;
            }
            let wait = match self.pass() {
                Ok(Passed { packed: true, .. }) => {
                    logging::working(Fault::PACK, SPOOL);
                    self.backoff.reset();
                    self.told.borrow_mut().trouble = None;
                    Duration::ZERO
                }
                Ok(_) if self.ctx.empties_spool() && self.is_done() => return Exit::DONE,
                Ok(_) if self.ctx.empties_spool() => Duration::from_secs(1),
                Ok(Passed { busy: true, .. }) => {
                    self.config.compression.check_interval.min(BUSY_WAIT)
                }
                Ok(_) => self.config.compression.check_interval,
                Err(error) => {
                    let wait = self.backoff.next();
                    let text = in_full(&error);
                    let error = format!("{text}; trying again");
                    logging::failing(Level::Error, Fault::PACK, SPOOL, &error);
                    Trouble::again(&mut self.told.borrow_mut().trouble, text, wait);
                    wait
                }
            };
            if let Err(error) = self.wait(wait) {
                log::error!("{}", in_full(&error));
                return Exit(error.exit_code());
            }
        }
    }

    /// Until something comes, or it is time for the next scan; meanwhile the status is kept fresh.
    fn wait(&self, next_scan: Duration) -> Result<(), SpoolError> {
        let until = Instant::now() + next_scan;
        loop {
            let now = Instant::now();
            self.tell_if_due(now);
            let left = until.saturating_duration_since(now);
            let wait = left.min(self.ctx.status.due_in(now));
            let woken = self.watch.wait(wait, &[self.ctx.signals.as_fd()])?;
            if woken.changed || woken.ready.contains(&true) || wait == left {
                return Ok(());
            }
        }
    }

    fn tell_if_due(&self, now: Instant) {
        if self.ctx.status.is_due(now) {
            self.tell();
        }
    }

    fn tell(&self) {
        let told = self.told.borrow();
        let fill = |status: &mut WorkerStatus| status.compressor = Some(told.clone());
        self.ctx.status.record(self.ctx.phase(), fill);
    }

    /// Goes on as the configuration says now.
    fn take_up(&mut self) -> Result<(), Exit> {
        let config = self.ctx.config();
        if !Arc::ptr_eq(&config, &self.config) {
            self.packing = packing(&config)?;
            self.config = config;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.spool.rotated().is_ok_and(|files| files.is_empty())
    }

    /// Goes over what waits, oldest first.
    fn pass(&self) -> Result<Passed, SpoolError> {
        let mut passed = Passed::default();
        let mut failed = None;
        let mut files = self.spool.rotated()?;
        files.sort_by_key(|file| file.modified);
        for file in files {
            if self.ctx.stop() != Stop::No {
                return Ok(passed);
            }
            // One file's trouble does not keep the others.
            match self.file(&file.name) {
                Ok(Done::Packed) => passed.packed = true,
                Ok(Done::Busy) => passed.busy = true,
                Ok(Done::Gone) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(passed), Err)
    }

    fn file(&self, name: &FileName) -> Result<Done, SpoolError> {
        let rotated = match Rotated::claim(&self.spool, name)? {
            Taken::Ours(rotated) => rotated,
            Taken::Busy => return Ok(Done::Busy),
            Taken::Gone => return Ok(Done::Gone),
        };
        self.told.borrow_mut().current =
            Some(Current { file: name.to_string(), since_ms: now_ms() });
        self.tell_if_due(Instant::now());
        let done = self.pack(name, rotated);
        self.told.borrow_mut().current = None;
        done
    }

    fn pack(&self, name: &FileName, rotated: Rotated) -> Result<Done, SpoolError> {
        let began = Instant::now();
        let bytes = Mapped::of(rotated.file()).at("map", rotated.path())?;
        let mut packing = rotated.begin(self.packing.layout.level.suffix())?;
        let mut out = BufWriter::with_capacity(WRITE_BUFFER, packing.out());
        let packed = step!("packed.write").around(|| pack(&bytes, self.packing, &mut out));
        drop(out);
        match packed {
            Ok(length) => {
                let from = bytes.len();
                drop(bytes);
                let placed = packing.publish()?;
                report(name, &placed, from, length, began);
                self.count(from, length);
                self.ctx.reporter.useful();
                Ok(Done::Packed)
            }
            Err(PackError::Damaged(why)) => {
                log::error!(
                    event = "quarantined", file:% = name, error = why.as_str();
                    "{name}: damaged: {why}; it goes to quarantine and is read again"
                );
                packing.abandon().quarantine(&why)?;
                self.told.borrow_mut().quarantined += 1;
                Ok(Done::Packed)
            }
            Err(PackError::Write(error)) => {
                Err(error).at("pack into", &self.spool.dir(Stage::Compressed))
            }
        }
    }
}

impl Compressor<'_> {
    fn count(&self, before: usize, packed: u64) {
        let told = &mut *self.told.borrow_mut();
        told.done.files += 1;
        told.done.bytes += packed;
        told.bytes_before += u64::try_from(before).unwrap_or(u64::MAX);
    }
}

fn packing(config: &Config) -> Result<Packing, Exit> {
    Ok(Packing { layout: layout(config)?, mak: config.consumer.mak_version })
}

fn report(of: &FileName, placed: &Placed, from: usize, to: u64, began: Instant) {
    let (Placed::Ours(name) | Placed::Theirs(name)) = placed;
    let (range, from, took) = (of.range, from as u64, began.elapsed());
    let kept = match placed {
        Placed::Ours(_) => "",
        Placed::Theirs(_) => " (it was there already, and is kept)",
    };
    log::debug!(
        event = "packed", file:% = name, start = range.start().get(), next = range.next().get(),
        unpacked = from, bytes = to, ms = logging::millis(took);
        "packed {name}: {} to {} in {:.2} s{kept}",
        logging::size(from), logging::size(to), took.as_secs_f64()
    );
}
