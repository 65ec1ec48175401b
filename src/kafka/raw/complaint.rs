//! The library's own log lines: how loud they are, and which say the same.
//!
//! What the library calls an error it goes on trying, so it is a warning here; what it means for
//! us comes as an event and is said with its consequence. The same line again is counted.

use log::Level;

use crate::logging::{self, Fault};

/// A line of the library: syslog's level, a code word, and `[thrd:NAME]: TEXT`.
pub(super) fn log(level: i32, fac: &str, line: &str) {
    let text = text(line);
    match loudness(level) {
        Level::Debug => {
            log::debug!(target: "librdkafka", event = "librdkafka", code = fac; "{fac}: {text}");
        }
        level => logging::failing(level, Fault::LIBRDKAFKA, subject(fac, text).as_str(), text),
    }
}

const fn loudness(level: i32) -> Level {
    match level {
        ..=2 => Level::Error,
        3 | 4 => Level::Warn,
        _ => Level::Debug,
    }
}

/// The line without the thread that says it, and without its own count.
fn text(line: &str) -> &str {
    let text = line.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: "));
    let text = text.map_or(line, |(_, text)| text);
    text.split_once(" (after ").map_or(text, |(text, _)| text)
}

/// What the lines are counted by: most begin with the broker that they are about.
fn subject(fac: &str, text: &str) -> String {
    match text.split_once(": ") {
        Some((broker, _)) if !broker.contains(' ') => format!("librdkafka {fac} {broker}"),
        _ => format!("librdkafka {fac}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect to \
        ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT, 5 identical \
        error(s) suppressed)";

    #[test]
    fn a_line_loses_what_differs_each_time() {
        let text = text(REFUSED);
        assert_eq!(
            text,
            "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused"
        );
        assert_eq!(subject("FAIL", text), "librdkafka FAIL 127.0.0.1:1/bootstrap");
        assert_eq!(subject("X", "no broker here: y"), "librdkafka X");
        assert_eq!(super::text("[thrd:main"), "[thrd:main");
    }

    #[test]
    fn what_the_library_tries_again_is_a_warning() {
        let levels = [0, 2, 3, 4, 5, 6, 7, 9].map(loudness);
        let [e, w, d] = [Level::Error, Level::Warn, Level::Debug];
        assert_eq!(levels, [e, e, w, w, d, d, d, d]);
    }
}
