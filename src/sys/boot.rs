//! Which run of the machine this is, and how long it has lasted.
//!
//! Two processes of one machine can compare times by these two even if somebody sets the clock.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use nix::time::{ClockId, clock_gettime};

use super::SysError;

/// Names one run of the machine, from power-up to power-down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootId(String);

impl BootId {
    /// The run that this process lives in.
    pub fn current() -> Result<Self, SysError> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let text = std::fs::read_to_string(path).map_err(SysError::file("read", path))?;
        text.parse().map_err(|()| SysError::Form(path.to_owned()))
    }

    /// The id as the kernel writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes 36 hex digits and dashes, with blanks around them.
impl FromStr for BootId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let legal = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        legal.then(|| Self(text.to_owned())).ok_or(())
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment of this run of the machine: milliseconds since it started, sleep included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootMillis(pub u64);

impl BootMillis {
    /// The present moment.
    pub fn now() -> Result<Self, SysError> {
        let time = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_err(SysError::call("reading the clock since boot"))?;
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Self(part(time.tv_sec()) * 1000 + part(time.tv_nsec()) / 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_36_characters_with_blanks_around() {
        let text = "0b6ba1b5-3b5c-4d0e-9a0e-7f6f5e4d3c2b";
        assert_eq!(format!("{text}\n").parse::<BootId>().unwrap().as_str(), text);
        assert!("".parse::<BootId>().is_err());
        assert!("0b6ba1b5".parse::<BootId>().is_err());
    }

    #[test]
    fn this_machine_has_both() {
        assert_eq!(BootId::current().unwrap(), BootId::current().unwrap());
        let before = BootMillis::now().unwrap();
        assert!(BootMillis::now().unwrap() >= before);
    }
}
