//! `kafkatos3 CONFIG`: archive.

use std::path::Path;

use super::{Exit, end};

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
    end(Exit::Internal, "error: archiving is not built in yet\n")
}
