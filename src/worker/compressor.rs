//! The compressor: takes rotated files, verifies them, and packs them for the archive.
//!
//! A file that is damaged goes to quarantine, and its consumer goes back; one that can't be
//! written (full disk) is tried again. Any number of compressors may share a spool: the lock on
//! a file says who packs it.

use std::io::BufWriter;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::pack::{PackError, Packing, level, pack};
use super::{Context, Exit, in_full};
use crate::spool::error::IoExt;
use crate::spool::stage::{Placed, Rotated};
use crate::spool::watch::{Interest, Watch};
use crate::spool::{FileName, Spool, SpoolError, Stage, Taken};
use crate::sys::signals::Stop;

/// Packed bytes are collected to writes of this size.
const WRITE_BUFFER: usize = 256 << 10;

/// Packs until told to stop; with 0 consumers and `--exit-at-end`, until nothing is left.
pub(crate) fn run(ctx: &Context) -> Exit {
    match Compressor::open(ctx) {
        Ok(mut compressor) => compressor.run(),
        Err(exit) => exit,
    }
}

struct Compressor<'a> {
    ctx: &'a Context,
    spool: Spool,
    watch: Watch,
    packing: Packing,
    backoff: Backoff,
}

/// What became of one file.
enum Done {
    Packed,
    /// Somebody else has it.
    NotOurs,
}

impl<'a> Compressor<'a> {
    fn open(ctx: &'a Context) -> Result<Self, Exit> {
        let config = &ctx.config;
        let level = level(config)?;
        let spool = Spool::open(&config.main.working_directory).map_err(Exit::spool)?;
        let watch = Watch::new(&spool, &[Interest::Arrivals(Stage::Rotated)]);
        ctx.reporter.up();
        Ok(Self {
            ctx,
            spool,
            watch,
            packing: Packing { level, mak: config.consumer.mak_version },
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
        })
    }

    fn run(&mut self) -> Exit {
        loop {
            if self.ctx.stop() != Stop::No {
                return Exit::DONE;
            }
            let wait = match self.pass() {
                Ok(true) => {
                    self.backoff.reset();
                    Duration::ZERO
                }
                Ok(false) if self.ctx.empties_spool() && self.is_done() => return Exit::DONE,
                Ok(false) if self.ctx.empties_spool() => Duration::from_secs(1),
                Ok(false) => self.ctx.config.compression.check_interval,
                Err(error) => {
                    let wait = self.backoff.next();
                    log::error!("{}; trying again in {:.1} s", in_full(&error), wait.as_secs_f64());
                    wait
                }
            };
            if let Err(error) = self.watch.wait(wait, &[self.ctx.signals.as_fd()]) {
                log::error!("{}", in_full(&error));
                return Exit(error.exit_code());
            }
        }
    }

    fn is_done(&self) -> bool {
        self.spool.rotated().is_ok_and(|files| files.is_empty())
    }

    /// Goes over what waits, oldest first; says whether anything was packed.
    fn pass(&self) -> Result<bool, SpoolError> {
        let mut any = false;
        let mut failed = None;
        let mut files = self.spool.rotated()?;
        files.sort_by_key(|file| file.modified);
        for file in files {
            if self.ctx.stop() != Stop::No {
                return Ok(any);
            }
            // One file's trouble does not keep the others.
            match self.file(&file.name) {
                Ok(done) => any |= matches!(done, Done::Packed),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(any), Err)
    }

    fn file(&self, name: &FileName) -> Result<Done, SpoolError> {
        let Taken::Ours(rotated) = Rotated::claim(&self.spool, name)? else {
            return Ok(Done::NotOurs);
        };
        let began = Instant::now();
        let bytes = super::map(rotated.file()).at("map", rotated.path())?;
        let mut packing = rotated.begin(self.packing.level.suffix())?;
        let mut out = BufWriter::with_capacity(WRITE_BUFFER, packing.out());
        let packed = pack(&bytes, self.packing, &mut out);
        drop(out);
        match packed {
            Ok(length) => {
                let from = bytes.len();
                drop(bytes);
                let placed = packing.publish()?;
                report(&placed, from, length, began);
                self.ctx.reporter.useful();
                Ok(Done::Packed)
            }
            Err(PackError::Damaged(why)) => {
                log::error!("{name}: damaged: {why}; it goes to quarantine and is read again");
                packing.abandon().quarantine(&why)?;
                Ok(Done::Packed)
            }
            Err(PackError::Write(error)) => {
                Err(error).at("pack into", &self.spool.dir(Stage::Compressed))
            }
        }
    }
}

fn report(placed: &Placed, from: usize, to: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    match placed {
        Placed::Ours(name) => log::info!("packed {name}: {from} -> {to} bytes in {seconds:.2} s"),
        Placed::Theirs(name) => log::info!("{name} is there already; it is kept"),
    }
}
