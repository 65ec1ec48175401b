//! When consumers stop so that the spool never grows past `spool_max_bytes`. Pure.
//!
//! Compressors and uploaders never wait for the cap: while a file is packed, it is there twice. So
//! consumers stop at `spool_max_bytes` less a reserve, which is the largest file for each compressor
//! and once more for what they have in hand. They take up again an eighth lower, so that they don't
//! stop and go with every file. While they pause they have to rotate what they have in progress,
//! the largest first: else nothing would get smaller.

/// The settings that the rule depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `spool_max_bytes`.
    pub spool_max_bytes: u64,
    /// `max_file_bytes`.
    pub max_file_bytes: u64,
    /// `compressor_workers`.
    pub compressors: u32,
}

/// Settings that can't work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "spool_max_bytes = {given} is too small: {compressors} compressors and files of up to {max_file_bytes} bytes need {needed}"
)]
pub struct TooSmall {
    given: u64,
    compressors: u32,
    max_file_bytes: u64,
    /// The least that works.
    pub needed: u64,
}

/// How many bytes the disk lacks for a spool of `spool_max_bytes`, if `usage` of them are used
/// already and `free` are to be had. Zero is what it should be; else the disk is full first.
#[must_use]
pub const fn disk_shortfall(limits: Limits, usage: u64, free: u64) -> u64 {
    limits.spool_max_bytes.saturating_sub(usage).saturating_sub(free)
}

/// Whether a consumer takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Take,
    /// It waits until there is room.
    Pause,
}

/// The two levels between which consumers stop and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    stop_at: u64,
    resume_below: u64,
}

impl Budget {
    /// Checks that there is room for one whole file beside the reserve.
    pub fn new(limits: Limits) -> Result<Self, TooSmall> {
        let Limits { spool_max_bytes, max_file_bytes, compressors } = limits;
        let reserve = max_file_bytes.saturating_mul(u64::from(compressors).saturating_add(1));
        let needed = reserve.saturating_add(max_file_bytes);
        if spool_max_bytes < needed {
            return Err(TooSmall { given: spool_max_bytes, compressors, max_file_bytes, needed });
        }
        let stop_at = spool_max_bytes - reserve;
        Ok(Self { stop_at, resume_below: stop_at - stop_at / 8 })
    }

    /// Usage at which consumers stop.
    #[must_use]
    pub const fn stop_at(self) -> u64 {
        self.stop_at
    }

    /// Usage below which they go on.
    #[must_use]
    pub const fn resume_below(self) -> u64 {
        self.resume_below
    }

    /// What to do at this `usage`, if it was `before` until now.
    #[must_use]
    pub const fn flow(self, usage: u64, before: Flow) -> Flow {
        let level = match before {
            Flow::Take => self.stop_at,
            Flow::Pause => self.resume_below,
        };
        if usage < level { Flow::Take } else { Flow::Pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { spool_max_bytes: 1000, max_file_bytes: 100, compressors: 1 };

    #[test]
    fn consumers_stop_before_the_reserve_and_go_on_lower() {
        let budget = Budget::new(LIMITS).unwrap();
        assert_eq!((budget.stop_at(), budget.resume_below()), (800, 700));
        assert_eq!(budget.flow(799, Flow::Take), Flow::Take);
        assert_eq!(budget.flow(800, Flow::Take), Flow::Pause);
        assert_eq!(budget.flow(799, Flow::Pause), Flow::Pause);
        assert_eq!(budget.flow(700, Flow::Pause), Flow::Pause);
        assert_eq!(budget.flow(699, Flow::Pause), Flow::Take);
    }

    #[test]
    fn a_disk_that_is_too_small_is_found() {
        assert_eq!(disk_shortfall(LIMITS, 300, 700), 0);
        assert_eq!(disk_shortfall(LIMITS, 300, 650), 50);
        assert_eq!(disk_shortfall(LIMITS, 2000, 0), 0);
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_what_would() {
        let with = |spool_max_bytes| Budget::new(Limits { spool_max_bytes, ..LIMITS });
        let e = with(299).unwrap_err();
        assert_eq!(e.needed, 300);
        assert!(e.to_string().starts_with("spool_max_bytes = 299 is too small"));
        assert_eq!(with(300).unwrap().stop_at(), 100);
        assert!(Budget::new(Limits { max_file_bytes: u64::MAX, ..LIMITS }).is_err());
    }
}
