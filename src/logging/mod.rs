//! The log: one line for each thing that happened, on stderr, written at once, so that lines of
//! several processes don't mix.
//!
//! Everybody logs with the `log` crate's macros. A line that says that something happened names
//! it (`event`) and has its figures as key-values beside the text; `docs/logging.md` lists them.
//! What may fail again and again is said by [`failing`] and [`working`]: once in full, then with a
//! count. Which shape a line gets (`line`) is decided once: text, text for systemd's journal, or
//! JSON (`docs/decisions/0007-logs.md`).

mod faults;
mod line;
mod repeat;

use std::env;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use faults::{Fault, failing, say_overdue, working};

use crate::config::{LogFormat, LogLevel};
use line::{Line, Process, Shape};

/// What sets other levels than the configuration's, which it beats.
const VARIABLE: &str = "RUST_LOG";

static INSTANCE: OnceLock<String> = OnceLock::new();
static WORKER: OnceLock<(String, usize)> = OnceLock::new();
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Starts logging; called once, before anything is forked.
pub(crate) fn start(level: LogLevel, format: LogFormat, instance: &str) {
    let _ = INSTANCE.set(instance.to_owned());
    let mut builder = env_logger::Builder::new();
    // Libraries are quieter than we are: what they warn of, we report with its consequence.
    builder.filter_level(log::LevelFilter::Error);
    for ours in ["kafkatos3", line::LIBRDKAFKA] {
        builder.filter_module(ours, log::LevelFilter::Debug);
    }
    if let Ok(filters) = env::var(VARIABLE) {
        builder.parse_filters(&filters);
    }
    let text = text_shape();
    builder.format(move |out, record| {
        let shape = if AS_JSON.load(Ordering::Relaxed) { Shape::Json } else { text };
        let time = out.timestamp_millis().to_string();
        let line = Line { time: &time, process: process(), record }.write(shape);
        out.write_all(line.as_bytes())
    });
    builder.init();
    std::panic::set_hook(Box::new(|panic| log::error!(event = "panic"; "{panic}")));
    set(level, format);
}

/// From now on these count, also in what is forked later.
pub(crate) fn set(level: LogLevel, format: LogFormat) {
    AS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    if env::var_os(VARIABLE).is_none() {
        log::set_max_level(level.filter());
    }
}

/// Says that this process is a worker: the `index`th of its `role`.
pub(crate) fn set_worker(role: String, index: usize) {
    let _ = WORKER.set((role, index));
}

fn process() -> Process<'static> {
    let worker = WORKER.get();
    Process {
        role: worker.map_or("supervisor", |(role, _)| role),
        index: worker.map(|(_, index)| *index),
        pid: std::process::id(),
        instance: INSTANCE.get().map_or("", String::as_str),
    }
}

/// How text is to look where stderr goes to.
fn text_shape() -> Shape {
    if env::var("JOURNAL_STREAM").is_ok_and(|stream| Some(stream) == stderr_inode()) {
        return Shape::Journal;
    }
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env::var_os("TERM").is_none_or(|term| term == "dumb");
    Shape::Text { colours: !plain && stderr().is_terminal() }
}

/// `DEVICE:INODE` of stderr, as systemd names the connection to its journal.
fn stderr_inode() -> Option<String> {
    let file = File::from(stderr().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    Some(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// As in `813 B`, `52.1 kB`, `1.2 MB`, `31.7 GB`.
pub(crate) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit / (unit / 10));
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{} kB", tenths(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

/// As in `1 file`, `7 files`.
pub(crate) fn count(number: usize, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {one}{ending}")
}

/// Milliseconds for a field.
pub(crate) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [0, 999, 1000, 52_190, 1_250_000, 31_799_999_999].map(size).join(", "),
            "0 B, 999 B, 1.0 kB, 52.1 kB, 1.2 MB, 31.7 GB"
        );
    }
}
