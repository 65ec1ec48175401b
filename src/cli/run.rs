//! `kafkatos3 CONFIG`: archive.

use std::io;
use std::path::Path;

use super::{Exit, say};

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Stop when everything that was there at the start is archived.
    pub exit_at_end: bool,
}

/// Archives until it is told to stop.
pub(super) fn run(config: &Path, options: RunOptions) -> Exit {
    // SEAM: the supervisor is called here, as `crate::supervisor::run(config, options)`.
    let _ = (config, options);
    say(&mut io::stderr(), "error: archiving is not built in yet\n");
    Exit::Internal
}
