//! The log: one line an event on stderr, written at once, so that lines of several processes
//! don't mix. systemd's journal and terminals both take it as it is.

use std::io::Write as _;

use crate::config::LogLevel;

/// Starts logging; called once, before anything is forked. A level that was set by `RUST_LOG`
/// wins.
pub(crate) fn start(level: LogLevel) {
    let mut builder = env_logger::Builder::new();
    // Libraries are quieter than we are: what they warn of, we report with its consequence.
    builder.filter_level(log::LevelFilter::Error).filter_module("kafkatos3", level.filter());
    if let Ok(filters) = std::env::var("RUST_LOG") {
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
}
