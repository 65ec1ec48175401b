//! What the fleet has to say to people. Pure.

use std::fmt;
use std::time::Duration;

use super::slot::{Role, SlotId, WorkerExit};

/// A line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// A worker ended as it should.
    Ended {
        /// Which one.
        slot: SlotId,
        /// How.
        exit: WorkerExit,
    },
    /// A worker crashed and will be forked again.
    Restarting {
        /// Which one.
        slot: SlotId,
        /// How it ended.
        exit: WorkerExit,
        /// After how long.
        wait: Duration,
    },
    /// A worker did not do everything that it should.
    Incomplete {
        /// Which one.
        slot: SlotId,
        /// How it ended.
        exit: WorkerExit,
    },
    /// A worker ended in a way that a restart can't help; everything stops.
    Fatal {
        /// Which one.
        slot: SlotId,
        /// How it ended.
        exit: WorkerExit,
    },
    /// A worker died too often; everything stops.
    GaveUp {
        /// Which one.
        slot: SlotId,
        /// How it ended the last time.
        exit: WorkerExit,
        /// How often in a row.
        deaths: u32,
    },
    /// A worker took too long to stop and is killed.
    Overdue {
        /// Which one.
        slot: SlotId,
    },
    /// The workers of a role go on with new settings.
    TakingUp {
        /// Which role.
        role: Role,
    },
    /// Some workers of a role are not wanted any more.
    Shrinking {
        /// Which role.
        role: Role,
        /// How many stay.
        count: usize,
    },
    /// The workers of a role are told to stop, to be forked again with new settings.
    Replacing {
        /// Which role.
        role: Role,
    },
}

impl Note {
    /// How loud it is to be said.
    #[must_use]
    pub(super) const fn level(self) -> log::Level {
        match self {
            Self::Ended { .. }
            | Self::TakingUp { .. }
            | Self::Shrinking { .. }
            | Self::Replacing { .. } => log::Level::Info,
            Self::Restarting { .. } | Self::Incomplete { .. } | Self::Overdue { .. } => {
                log::Level::Warn
            }
            Self::Fatal { .. } | Self::GaveUp { .. } => log::Level::Error,
        }
    }
}

impl Note {
    /// What the log calls it.
    #[must_use]
    pub(super) const fn event(self) -> &'static str {
        match self {
            Self::Ended { .. } => "worker_ended",
            Self::Restarting { .. } => "worker_restarting",
            Self::Incomplete { .. } => "worker_incomplete",
            Self::Fatal { .. } => "worker_fatal",
            Self::GaveUp { .. } => "worker_gave_up",
            Self::Overdue { .. } => "worker_overdue",
            Self::Replacing { .. } => "workers_replaced",
            Self::TakingUp { .. } => "workers_changed",
            Self::Shrinking { .. } => "workers_fewer",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { slot, exit } => write!(f, "{slot} {exit}"),
            Self::Restarting { slot, exit, wait } => {
                write!(f, "{slot} {exit}; restarting it in {} s", wait.as_secs_f64())
            }
            Self::Incomplete { slot, exit } => {
                write!(
                    f,
                    "{slot} {exit}, not having finished; what it left is done at the next start"
                )
            }
            Self::Fatal { slot, exit } => write!(
                f,
                "stopping: {slot} {exit}, and would again; \
                 its messages say what to correct before the next start"
            ),
            Self::GaveUp { slot, exit, deaths } => write!(
                f,
                "giving up: {slot} died {deaths} times in a row without doing anything useful, \
                 the last time it {exit}; its messages say why. Nothing is lost: correct the cause \
                 and start again"
            ),
            Self::Overdue { slot } => write!(f, "{slot} takes too long to stop and is killed"),
            Self::Replacing { role } => {
                write!(f, "the {role}s can't take this up as they run: replacing them")
            }
            Self::TakingUp { role } => write!(f, "the {role}s take this up as they run"),
            Self::Shrinking { role, count } => {
                write!(f, "{count} {role}s stay: the others drain and leave")
            }
        }
    }
}
