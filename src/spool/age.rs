//! How old something is, whatever happens to the wall clock: the boot's id and the time since it.
//!
//! A file that waited longer than `publish_deadline` is read again instead of published. The wall
//! clock may be set back meanwhile, so it can't tell; the time since boot goes on through suspends
//! and is never set. After another boot of the same host nothing is known, which counts as too old.
//!
//! What another host rotated (over a shared spool) can be told by the wall clock only. Both hosts'
//! clocks are right, then, to some minutes: signatures of requests to S3 hold no longer than that.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::gethostname;

use super::error::{IoExt, Result};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How far two hosts' clocks may be apart.
const SKEW: Duration = Duration::from_mins(15);

/// A moment of one boot of one host; prints as `BOOT-ID/SECONDS/UNIX-SECONDS/HOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    boot: String,
    since_boot: Duration,
    /// By the wall clock, and where; none in files of earlier versions.
    wall: Option<Wall>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wall {
    since_1970: Duration,
    host: String,
}

/// A text that is no stamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a moment of a boot: BOOT-ID/SECONDS/UNIX-SECONDS/HOST")]
pub struct NoStamp(String);

impl Stamp {
    /// This moment.
    pub fn now() -> Result<Self> {
        let path = Path::new(BOOT_ID);
        let boot = fs::read_to_string(path).at("read", path)?.trim_end().to_owned();
        let clock = |clock| clock_gettime(clock).at("ask for the time since", path);
        let since_boot = clock(ClockId::CLOCK_BOOTTIME)?.into();
        let since_1970 = clock(ClockId::CLOCK_REALTIME)?.into();
        let host = gethostname().at("ask for the host of", path)?.to_string_lossy().into_owned();
        Ok(Self { boot, since_boot, wall: Some(Wall { since_1970, host }) })
    }

    /// How long before `now` this was; none if nothing can tell, or if it lies ahead.
    #[must_use]
    pub fn age(&self, now: &Self) -> Option<Duration> {
        if self.boot == now.boot {
            return now.since_boot.checked_sub(self.since_boot);
        }
        match (&self.wall, &now.wall) {
            (Some(then), Some(now)) if then.host != now.host => {
                let age = (now.since_1970 + SKEW).checked_sub(then.since_1970)?;
                Some(age.saturating_sub(SKEW))
            }
            _ => None,
        }
    }

    /// Whether it was more than `limit` before `now`, or might have been.
    #[must_use]
    pub fn is_older_than(&self, limit: Duration, now: &Self) -> bool {
        self.age(now).is_none_or(|age| age > limit)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.boot, self.since_boot.as_secs())?;
        match &self.wall {
            Some(Wall { since_1970, host }) => write!(f, "/{}/{host}", since_1970.as_secs()),
            None => Ok(()),
        }
    }
}

impl FromStr for Stamp {
    type Err = NoStamp;
    fn from_str(text: &str) -> std::result::Result<Self, NoStamp> {
        let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
        let parse = || {
            let mut parts = text.splitn(4, '/');
            let boot = parts.next()?.to_owned();
            let since_boot = seconds(parts.next()?)?;
            let wall = match parts.next() {
                Some(unix) => {
                    Some(Wall { since_1970: seconds(unix)?, host: parts.next()?.to_owned() })
                }
                None => None,
            };
            Some(Self { boot, since_boot, wall })
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
    fn another_hosts_files_have_an_age_by_the_wall_clock() {
        let limit = Duration::from_secs(10);
        let then = stamp("b1/100/50000/one");
        // The same host after another boot.
        assert!(then.is_older_than(limit, &stamp("b2/5/50001/one")));
        for (now, old) in [("50000", false), ("50010", false), ("50011", true)] {
            let now = stamp(&format!("b2/5/{now}/other"));
            assert_eq!(then.is_older_than(limit, &now), old, "{now}");
        }
        // Clocks that are apart a little, and too much.
        assert_eq!(then.age(&stamp("b2/5/49100/other")), Some(Duration::ZERO));
        assert_eq!(then.age(&stamp("b2/5/49099/other")), None);
        // The wall clock of one boot does not matter.
        assert_eq!(then.age(&stamp("b1/103/1/one")), Some(Duration::from_secs(3)));
    }

    #[test]
    fn stamps_of_earlier_versions_hold_within_their_boot() {
        let then = stamp("b1/100");
        assert_eq!(then.to_string(), "b1/100");
        assert_eq!(then.age(&stamp("b1/103/7/one")), Some(Duration::from_secs(3)));
        assert_eq!(then.age(&stamp("b2/103/7/one")), None);
        for wrong in ["b1", "b1/x", "b1/1/x/h", "b1/1/2", "b1//2/h"] {
            assert!(wrong.parse::<Stamp>().is_err(), "{wrong}");
        }
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
