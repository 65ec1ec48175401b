//! Who works here: roles, the slots they stand in, and what a worker's exit means. Pure.

use std::fmt;

use crate::sys::child::Ending;

/// A kind of worker. The order is that of draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// What another tool left here, to the archive: done before the others start, or beside them.
    Takeover,
    /// Kafka to the spool.
    Consumer,
    /// Spool to compressed files.
    Compressor,
    /// Compressed files to the archive.
    Uploader,
}

impl Role {
    /// Every one that there is, in the order of draining.
    pub const ALL: [Self; 4] = [Self::Takeover, Self::Consumer, Self::Compressor, Self::Uploader];

    /// What stands in brackets in the title of such a worker, as the original had it.
    #[must_use]
    pub fn label(self, index: usize) -> String {
        match self {
            Self::Takeover => "takeover".to_owned(),
            Self::Consumer => format!("consumer{index}"),
            Self::Compressor => "compress".to_owned(),
            Self::Uploader => "s3upload".to_owned(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Takeover => "takeover",
            Self::Consumer => "consumer",
            Self::Compressor => "compressor",
            Self::Uploader => "uploader",
        })
    }
}

/// The place of one worker: at most one live process stands in it. Prints as `consumer0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    /// Its kind of work.
    pub role: Role,
    /// Counted from 0 in each role.
    pub index: usize,
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.role, self.index)
    }
}

/// How a worker's life ended.
///
/// | code | meaning | what follows |
/// |---|---|---|
/// | 0 | done, if it was told to stop, runs until an end, or takes over; else as any other | |
/// | 75 | the same, but not everything could be done | the supervisor's own code becomes 75 |
/// | 73, 78 | starting it again can't help | all drain, the supervisor exits with this code |
/// | 69 | broker or store unavailable | the same, if no worker of the role ever came up |
/// | 77 | not permitted | the same; else it is restarted for as long as it takes: what was permitted once may be again |
/// | other, signals | crash | it is restarted after a wait that grows |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerExit {
    /// Its process ended.
    Ended(Ending),
    /// The system had no process for it.
    NotForked,
}

/// What an exit asks for, whatever the circumstances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Done,
    Partial,
    Fatal(u8),
    Unavailable,
    Refused,
    Crash,
}

impl WorkerExit {
    pub(super) fn meaning(self) -> Meaning {
        match self {
            Self::Ended(Ending::Code(0)) => Meaning::Done,
            Self::Ended(Ending::Code(exit::PARTIAL)) => Meaning::Partial,
            Self::Ended(Ending::Code(exit::UNAVAILABLE)) => Meaning::Unavailable,
            Self::Ended(Ending::Code(exit::PERMISSION)) => Meaning::Refused,
            Self::Ended(Ending::Code(code @ (exit::CANNOT_CREATE | exit::CONFIG))) => {
                Meaning::Fatal(code)
            }
            Self::Ended(Ending::Code(_) | Ending::Signal(_)) | Self::NotForked => Meaning::Crash,
        }
    }
}

impl fmt::Display for WorkerExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotForked => f.write_str("could not be forked"),
            Self::Ended(ending) => {
                write!(f, "{ending}")?;
                match ending {
                    Ending::Code(code) => exit::word(*code).map_or(Ok(()), |w| write!(f, " ({w})")),
                    Ending::Signal(_) => Ok(()),
                }
            }
        }
    }
}

/// The exit codes that workers and the supervisor share (sysexits).
pub mod exit {
    /// Broker or store unavailable.
    pub const UNAVAILABLE: u8 = 69;
    /// Internal error, crash loop.
    pub const INTERNAL: u8 = 70;
    /// Can't create or write.
    pub const CANNOT_CREATE: u8 = 73;
    /// Partial: try again.
    pub const PARTIAL: u8 = 75;
    /// Permission, credentials.
    pub const PERMISSION: u8 = 77;
    /// Configuration.
    pub const CONFIG: u8 = 78;

    pub(super) const fn word(code: u8) -> Option<&'static str> {
        Some(match code {
            UNAVAILABLE => "broker or store unavailable",
            INTERNAL => "internal error",
            CANNOT_CREATE => "can't create or write",
            PARTIAL => "partial",
            PERMISSION => "permission or credentials",
            CONFIG => "configuration",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_originals() {
        let labels = Role::ALL.map(|role| role.label(3));
        assert_eq!(labels, ["takeover", "consumer3", "compress", "s3upload"]);
    }

    #[test]
    fn exits_read_well() {
        let ended = |ending| WorkerExit::Ended(ending).to_string();
        assert_eq!(ended(Ending::Code(77)), "exited with code 77 (permission or credentials)");
        assert_eq!(ended(Ending::Code(3)), "exited with code 3");
        assert_eq!(ended(Ending::Signal(9)), "was killed by SIGKILL");
        assert_eq!(WorkerExit::NotForked.to_string(), "could not be forked");
    }
}
