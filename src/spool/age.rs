//! How old something is, whatever happens to the wall clock: the boot's id and the time since it.
//!
//! A file that waited longer than `publish_deadline` is read again instead of published. The wall
//! clock may be set back meanwhile, so it can't tell; the time since boot goes on through suspends
//! and is never set. After another boot nothing is known, which counts as too old.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::error::{IoExt, Result};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A moment of one boot of one machine; prints as `BOOT-ID/SECONDS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    boot: String,
    since_boot: Duration,
}

/// A text that is no stamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a moment of a boot: BOOT-ID/SECONDS")]
pub struct NoStamp(String);

impl Stamp {
    /// This moment.
    pub fn now() -> Result<Self> {
        let path = Path::new(BOOT_ID);
        let boot = fs::read_to_string(path).at("read", path)?.trim_end().to_owned();
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).at("ask for the time since", path)?;
        Ok(Self { boot, since_boot: now.into() })
    }

    /// How long before `now` this was; none if that was in another boot, or lies ahead.
    #[must_use]
    pub fn age(&self, now: &Self) -> Option<Duration> {
        let same_boot = self.boot == now.boot;
        same_boot.then(|| now.since_boot.checked_sub(self.since_boot)).flatten()
    }

    /// Whether it was more than `limit` before `now`, or might have been.
    #[must_use]
    pub fn is_older_than(&self, limit: Duration, now: &Self) -> bool {
        self.age(now).is_none_or(|age| age > limit)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.boot, self.since_boot.as_secs())
    }
}

impl FromStr for Stamp {
    type Err = NoStamp;
    fn from_str(text: &str) -> std::result::Result<Self, NoStamp> {
        let parse = || {
            let (boot, seconds) = text.rsplit_once('/')?;
            let since_boot = Duration::from_secs(seconds.parse().ok()?);
            Some(Self { boot: boot.to_owned(), since_boot })
        };
        parse().ok_or_else(|| NoStamp(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str) -> Stamp {
        text.parse().unwrap()
    }

    #[test]
    fn age_counts_within_one_boot_only() {
        let limit = Duration::from_secs(10);
        let then = stamp("b1/100");
        assert_eq!(then.age(&stamp("b1/103")), Some(Duration::from_secs(3)));
        assert!(!then.is_older_than(limit, &stamp("b1/110")));
        assert!(then.is_older_than(limit, &stamp("b1/111")));
        assert!(then.is_older_than(limit, &stamp("b2/101")));
        assert!(then.is_older_than(limit, &stamp("b1/99")));
    }

    #[test]
    fn now_reads_back_and_time_goes_on() {
        let now = Stamp::now().unwrap();
        let back = stamp(&now.to_string());
        assert!(back.age(&now).unwrap() < Duration::from_secs(1));
        assert!(!back.is_older_than(Duration::from_mins(1), &Stamp::now().unwrap()));
        assert!("".parse::<Stamp>().is_err());
        assert_eq!("x".parse::<Stamp>().unwrap_err(), NoStamp("x".into()));
    }
}
