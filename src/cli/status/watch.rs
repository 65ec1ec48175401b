//! `--watch`: looks again and again.
//!
//! On a terminal each look is drawn over the one before, and keys are read as they are typed; the
//! terminal is left as it was, also when a signal ends the program. Elsewhere looks follow each other.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use super::{Exit, Scene, end, exit_of, say};
use crate::sys::poll::wait_readable;
use crate::sys::signals::{Signal, Signals};
use crate::sys::terminal::{Keys, size};

/// To the first line, and everything from there on cleared.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Looks every `every`, until it is told to stop.
pub(super) fn run(scene: &Scene, every: Duration) -> Exit {
    let signals = match Signals::take_over() {
        Ok(signals) => signals,
        Err(error) => return end(Exit::Internal, &format!("error: {}\n", error.in_full())),
    };
    let draws = io::stdout().is_terminal();
    // Without a terminal to type at, there are signals.
    let keys = if draws { Keys::open() } else { None };
    loop {
        let began = Instant::now();
        let (exit, text) = match scene.look() {
            Ok(report) => {
                let screen = if draws { size() } else { None };
                (exit_of(&report), scene.text(&report, screen))
            }
            Err(stop) => stop,
        };
        let text = if draws { format!("{CLEAR}{text}") } else { text };
        if let Err(exit) = say(&mut io::stdout(), &text) {
            return exit;
        }
        let until = began + every;
        match wait(&signals, keys.as_ref(), until) {
            Ok(true) => return exit,
            Ok(false) => {}
            Err(text) => return end(Exit::Internal, &text),
        }
    }
}

/// Whether to end, before or at `until`.
fn wait(signals: &Signals, keys: Option<&Keys>, until: Instant) -> Result<bool, String> {
    let stdin = io::stdin();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = vec![signals.as_fd()];
        fds.extend(keys.map(|_| stdin.as_fd()));
        wait_readable(&fds, Some(left)).map_err(|e| format!("error: {}\n", e.in_full()))?;
        let asked = |signal: &Signal| {
            matches!(signal, Signal::Terminate | Signal::Interrupt | Signal::HangUp)
        };
        if signals.drain_pending().iter().any(asked) {
            return Ok(true);
        }
        if let Some(keys) = keys
            && keys.typed().iter().any(|key| matches!(key, b'q' | b'Q' | 0x1b | 0x03 | 0x04))
        {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
    }
}
