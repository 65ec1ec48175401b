//! The shells that bring spool, Kafka, chain and store together: what a forked worker runs.
//!
//! Each worker runs until it is told to drain, or its work is done (`--exit-at-end`). It shares
//! nothing with the others but the spool. The supervisor makes the `Context` in the child,
//! after the fork; threads and clients are started here, never before.

pub(crate) mod archive;
mod backoff;
pub(crate) mod chain_io;
mod compressor;
mod consumer;
mod mapped;
mod note;
pub(crate) mod operator;
mod originals;
mod pack;
mod reload;
pub(crate) mod settings;
mod takeover;
mod uploader;

use std::fmt;
use std::time::{Duration, Instant};

use crate::logging::{self, Fault};
use crate::spool::SpoolError;
use crate::status::Recorder;
use crate::status::model::Phase;
use crate::store::selftest::Failure;
use crate::store::{self, Store, StoreError};
use crate::supervisor::{Reporter, Role};
use crate::sys::heap;
use crate::sys::signals::{Stop, WorkerSignals};
use log::Level;

use backoff::Backoff;
pub(crate) use consumer::refuse;
pub(crate) use mapped::Mapped;
pub(crate) use reload::{InForce, uptake};

/// How long broker or store may be out of reach before a start is given up.
/// Shorter than the supervisor takes a silent worker for one that has come up.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// What troubles are about that are not a single partition's.
const KAFKA: &str = "Kafka";
const SPOOL: &str = "the spool";

/// What a worker is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// The kind of worker.
    pub(crate) role: Role,
    /// The configuration, which a reload may change.
    pub(crate) in_force: InForce,
    /// The worker's number within its role, from 0.
    pub(crate) index: usize,
    /// `--exit-at-end`.
    pub(crate) exit_at_end: bool,
    /// What the supervisor says.
    pub(crate) signals: WorkerSignals,
    /// What the supervisor is told.
    pub(crate) reporter: Reporter,
    /// What everybody else is told.
    pub(crate) status: Recorder,
}

impl Context {
    /// Whether this worker is to leave when the spool is empty: nobody fills it.
    pub(crate) fn empties_spool(&self) -> bool {
        self.exit_at_end && self.config().consumer.processes == 0
    }

    /// What this worker does, for its status.
    pub(crate) fn phase(&self) -> Phase {
        if self.signals.stop() == Stop::No { Phase::Working } else { Phase::Draining }
    }
}

/// How a worker ends (design: sysexits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    /// Everything is done.
    pub(crate) const DONE: Self = Self(0);
    /// Something is left to do.
    pub(crate) const PARTIAL: Self = Self(75);

    fn because(code: u8, what: &dyn fmt::Display) -> Self {
        log::error!("{what}");
        Self(code)
    }

    /// A setting can't work.
    pub(crate) fn config(error: impl fmt::Display) -> Self {
        Self::because(78, &error)
    }

    /// The spool can't be used.
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(crate) fn spool(error: SpoolError) -> Self {
        Self::because(error.exit_code(), &in_full(&error))
    }

    /// The store can't be used.
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(crate) fn store(error: StoreError) -> Self {
        Self::because(error.exit_code(), &error)
    }

    /// What should not happen.
    pub(crate) fn internal(what: &dyn fmt::Display) -> Self {
        Self::because(70, what)
    }
}

/// Runs a worker; gives its process' exit code.
pub(crate) fn run(ctx: &Context) -> u8 {
    heap::keep_small();
    let Exit(code) = match ctx.role {
        Role::Takeover => takeover::run(ctx),
        Role::Consumer => consumer::run(ctx),
        Role::Compressor => compressor::run(ctx),
        Role::Uploader => uploader::run(ctx),
    };
    ctx.status.end(code);
    code
}

/// An error with all its sources, for one line of the log.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// An async runtime for this thread.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|e| Exit::internal(&format!("can't start an async runtime: {e}")))
}

/// Checks that the store keeps what the protocol rests on. One that is out of reach is asked again
/// for half a minute.
pub(crate) async fn self_test(store: &dyn Store, ctx: &Context) -> Result<(), Exit> {
    let give_up = Instant::now() + START_PATIENCE;
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
    loop {
        let failure: Failure = match store::selftest::run(store).await {
            Ok(()) => {
                logging::working(Fault::STORE, store.url());
                return Ok(());
            }
            Err(failure) => failure,
        };
        if ctx.stop() != Stop::No {
            return Err(Exit::DONE);
        }
        if !failure.is_transient() || Instant::now() >= give_up {
            return Err(Exit::because(failure.exit_code(), &failure));
        }
        let wait = backoff.next();
        let error = format!("{failure}; trying again");
        logging::failing(Level::Warn, Fault::STORE, store.url(), &error);
        tokio::time::sleep(wait).await;
    }
}
