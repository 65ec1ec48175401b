//! The log: one line an event on stderr, written at once, so that lines of several processes
//! don't mix. systemd's journal and terminals both take it as it is.

use std::env;
use std::io::Write as _;

use crate::config::LogLevel;

/// What sets other levels than the configuration's, which it beats.
const VARIABLE: &str = "RUST_LOG";

/// Starts logging; called once, before anything is forked.
pub(crate) fn start(level: LogLevel) {
    let mut builder = env_logger::Builder::new();
    // Libraries are quieter than we are: what they warn of, we report with its consequence.
    builder.filter_level(log::LevelFilter::Error);
    builder.filter_module("kafkatos3", log::LevelFilter::Debug);
    if let Ok(filters) = env::var(VARIABLE) {
        builder.parse_filters(&filters);
    }
    builder.format(|out, record| {
        let time = out.timestamp_millis();
        let pid = std::process::id();
        let level = match record.level() {
            log::Level::Error => "ERROR",
            log::Level::Warn => "WARNING",
            log::Level::Info => "INFO",
            log::Level::Debug | log::Level::Trace => "DEBUG",
        };
        let who = crate::sys::title::label().unwrap_or("supervisor");
        writeln!(out, "{time} {level} {who}[{pid}] {}", record.args())
    });
    builder.init();
    set_level(level);
}

/// From now on this level counts, also in what is forked later.
pub(crate) fn set_level(level: LogLevel) {
    if env::var_os(VARIABLE).is_none() {
        log::set_max_level(level.filter());
    }
}
