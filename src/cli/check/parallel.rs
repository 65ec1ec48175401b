//! Questions that are asked at the same time, each with an end.
//!
//! A thread whose answer is not waited for any more goes on until the process ends.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

/// An answer under way.
pub(super) struct Pending<T>(Option<Receiver<T>>);

/// Starts `work` in a thread of its own.
pub(super) fn begin<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Pending<T> {
    let (answer, pending) = channel();
    let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = answer.send(work());
    });
    Pending(started.is_ok().then_some(pending))
}

/// The answer, if it comes in time.
pub(super) fn wait<T>(pending: &Pending<T>, end: Instant) -> Option<T> {
    pending.0.as_ref()?.recv_timeout(end.saturating_duration_since(Instant::now())).ok()
}
