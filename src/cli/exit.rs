//! What the programs say to their caller when they end: the codes of sysexits.h, and those of `verify`.

use std::process::{ExitCode, Termination};

use crate::archive::ArchiveError;
use crate::config::ConfigError;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Done; also when whoever read the output closed the pipe.
    Done,
    /// `verify`: whole but for gaps that the archive itself records.
    Gaps,
    /// `verify`: damaged.
    Damaged,
    /// `verify`: not all of it could be looked at.
    Unseen,
    /// The command line makes no sense.
    Usage,
    /// Bad data in an input file; what was good before it was printed.
    Data,
    /// An input is missing or can't be read.
    NoInput,
    /// A broker, the store, or the process that was looked for is not there.
    Unavailable,
    /// A fault of the program itself, or a crash loop.
    Internal,
    /// Something can't be created or written.
    CantCreate,
    /// Some of it was done: try again.
    TryAgain,
    /// Permission or credentials are missing.
    NoPermission,
    /// The configuration is wrong.
    Config,
}

impl Exit {
    /// The number that the caller sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Gaps => 1,
            Self::Damaged => 2,
            Self::Unseen => 3,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::CantCreate => 73,
            Self::TryAgain => 75,
            Self::NoPermission => 77,
            Self::Config => 78,
        }
    }

    /// The one with this number; a fault of the program if there is none.
    #[must_use]
    pub fn of_code(code: u8) -> Self {
        [
            Self::Done,
            Self::Usage,
            Self::Data,
            Self::NoInput,
            Self::Unavailable,
            Self::CantCreate,
            Self::TryAgain,
            Self::NoPermission,
            Self::Config,
        ]
        .into_iter()
        .find(|exit| exit.code() == code)
        .unwrap_or(Self::Internal)
    }

    /// The end of a program without a configuration.
    #[must_use]
    pub const fn of_config(error: &ConfigError) -> Self {
        match error {
            ConfigError::Unreadable { .. } => Self::NoInput,
            ConfigError::Invalid { .. } => Self::Config,
        }
    }

    /// The end of a program whose archive can't be read.
    #[must_use]
    pub fn of_archive(error: &ArchiveError) -> Self {
        Self::of_code(error.exit_code())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}
