//! Where to begin and to stop: kcat's `-o`, and times as people write them. Pure.

use chrono::DateTime;

use crate::archive::{Slice, Start};
use crate::types::Offset;

/// One `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where to begin.
    From(Start),
    /// Stop before the first record that was made then or later.
    Until(i64),
}

const FORMS: &str = "beginning, end, N (an offset), -N (so many before the end), s@MS or e@MS \
                     (begin or stop at a time, in milliseconds since 1970)";

impl Place {
    /// Reads one `-o`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {FORMS}");
        let millis = |text: &str| text.parse::<i64>().map_err(|_| wrong());
        Ok(match text {
            "beginning" => Self::From(Start::Beginning),
            "end" => Self::From(Start::FromEnd(0)),
            "stored" => {
                let why = "an archive stores no offsets of consumer groups";
                return Err(format!("{why}: {}", wrong()));
            }
            _ => {
                if let Some(time) = text.strip_prefix("s@") {
                    Self::From(Start::Time(millis(time)?))
                } else if let Some(time) = text.strip_prefix("e@") {
                    Self::Until(millis(time)?)
                } else if let Some(count) = text.strip_prefix('-') {
                    let is_number = count.bytes().all(|byte| byte.is_ascii_digit());
                    let count = count.parse().ok().filter(|_| is_number);
                    Self::From(Start::FromEnd(count.ok_or_else(wrong)?))
                } else {
                    let offset = text.parse().ok().and_then(|number| Offset::new(number).ok());
                    Self::From(Start::Offset(offset.ok_or_else(wrong)?))
                }
            }
        })
    }

    /// Puts it into `slice`; of several that say the same thing, the last one counts, as in kcat.
    pub(super) fn apply(self, slice: Slice) -> Slice {
        match self {
            Self::From(start) => slice.starting(start),
            Self::Until(millis) => slice.stopping_at_time(millis),
        }
    }
}

/// The first whole millisecond at or behind a time as RFC 3339 has it.
pub(super) fn millis(text: &str) -> Result<i64, String> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|why| {
        format!("expected a time like 2026-11-21T18:00:00Z or 2026-11-21T19:00:00.5+01:00 ({why})")
    })?;
    let begun = time.timestamp_subsec_nanos() % 1_000_000 > 0;
    Ok(time.timestamp_millis() + i64::from(begun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_kcat_reads() {
        let from = |start| Ok(Place::From(start));
        assert_eq!(Place::parse("beginning"), from(Start::Beginning));
        assert_eq!(Place::parse("end"), from(Start::FromEnd(0)));
        assert_eq!(Place::parse("17"), from(Start::Offset(Offset::new(17).unwrap())));
        assert_eq!(Place::parse("-17"), from(Start::FromEnd(17)));
        assert_eq!(Place::parse("s@-5"), from(Start::Time(-5)));
        assert_eq!(Place::parse("e@1700000000000"), Ok(Place::Until(1_700_000_000_000)));
        for text in ["", "stored", "--1", "-", "-+1", "1.5", "s@", "e@x", "99999999999999999999"] {
            let error = Place::parse(text).unwrap_err();
            assert!(error.contains("beginning, end, N"), "{text}: {error}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(millis("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(millis("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(millis("1970-01-01T00:00:00.0001Z"), Ok(1));
        assert_eq!(millis("1969-12-31T23:59:59.999Z"), Ok(-1));
        assert!(millis("yesterday").unwrap_err().contains("2026-11-21T18:00:00Z"));
    }
}
