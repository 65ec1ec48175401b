//! What the integration tests are written in: a site (configuration, topics, bucket) and the real
//! program run in it, watched from outside through its spool, its log, its processes and the store.

mod admin;
mod disk;
mod produce;
mod records;
mod run;
mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use disk::Disk;
pub(crate) use produce::Producer;
pub(crate) use records::{Expected, Record};
pub(crate) use run::{Role, Running, is_alive};
pub(crate) use site::Site;

/// How long anything may take that a busy machine should do in a few seconds.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `condition` holds; false if it doesn't within `patience`.
pub(crate) fn eventually(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `condition` holds, and fails the test, naming `what`, if it doesn't.
#[track_caller]
pub(crate) fn await_that(what: &str, condition: impl FnMut() -> bool) {
    assert!(eventually(PATIENCE, condition), "waited in vain for this: {what}");
}

/// Adds every Rust source below `dir`, for tests that hold the code against its documents.
pub(crate) fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}
