//! `kafkatos3 demo`: see it work.

use super::{Exit, end};

/// Shows how it works, with a broker and an archive of its own.
pub(super) fn run() -> Exit {
    // SEAM: the demo is called here.
    end(Exit::Internal, "error: the demo is not built in yet\n")
}
