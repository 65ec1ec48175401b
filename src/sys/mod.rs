//! Unix in safe types: fork, signals, titles, locks, readiness.
//!
//! The only room that forks, kills and waits, and (beside the one for librdkafka's batches) the
//! only one with unsafe code: each such block says why it is sound. Nothing here knows what the
//! product does; nothing here starts a thread.

pub mod child;
pub mod fork;
pub mod heap;
pub mod limits;
pub mod lock;
pub mod notify;
pub mod poll;
pub mod process;
pub mod random;
pub mod signals;
pub mod terminal;
pub mod title;

use std::io;
use std::path::{Path, PathBuf};

/// What the operating system refused.
#[derive(Debug, thiserror::Error)]
pub enum SysError {
    /// A call that names no file.
    #[error("{what} failed")]
    Call {
        /// The call, in words.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A call on a file.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A fork was asked for in a process that has started threads.
    #[error("cannot fork: the process has {0} threads, and only one may be there")]
    Threads(usize),
    /// A file of the system says something else than it should.
    #[error("{} does not have the expected form", .0.display())]
    Form(PathBuf),
}

impl SysError {
    fn call(what: &'static str) -> impl FnOnce(nix::errno::Errno) -> Self {
        move |errno| Self::Call { what, source: errno.into() }
    }

    fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }

    /// The error with all its sources in one line, for a log.
    #[must_use]
    pub fn in_full(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
