//! Times as people write them: RFC 3339, in UTC. Pure.

use chrono::{DateTime, SecondsFormat};

/// Milliseconds since 1970 as `2023-11-14T22:13:20.123Z`; as a plain number where there is no such
/// year.
pub(super) fn rfc3339(millis: i64) -> String {
    match DateTime::from_timestamp_millis(millis) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => millis.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
    }
}
