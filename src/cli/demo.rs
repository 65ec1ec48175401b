//! `kafkatos3 demo`: see it work.

use std::io;

use super::{Exit, say};

/// Shows how it works, with a broker and an archive of its own.
pub(super) fn run() -> Exit {
    // SEAM: the demo is called here.
    say(&mut io::stderr(), "error: the demo is not built in yet\n");
    Exit::Internal
}
