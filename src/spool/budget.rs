//! When consumers stop so that the spool never grows past `spool_max_bytes`. Pure.
//!
//! Compressors and uploaders never wait for the cap: while a file is packed, it is there twice. So
//! consumers stop at `spool_max_bytes` less a reserve, which is the largest file for each compressor
//! and once more for what they have in hand. They take up again an eighth lower, so that they don't
//! stop and go with every file. While they pause they have to rotate what they have in progress,
//! the largest first: else nothing would get smaller.
//!
//! Where the disk holds less than `spool_max_bytes`, what it holds takes its place: were it filled
//! with rotated files, nothing could be packed any more, and so nothing uploaded. Where it has not
//! even the least that `spool_max_bytes` may be, nothing is taken.

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

/// How much room there is for consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    spool_max_bytes: u64,
    reserve: u64,
    needed: u64,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that the spool takes.
    pub used: u64,
    /// Bytes that its disk has left.
    pub free: u64,
}

/// The two levels of use between which consumers stop and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Here they stop.
    pub stop_at: u64,
    /// Below they go on.
    pub resume_below: u64,
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
        Ok(Self { spool_max_bytes, reserve, needed })
    }

    /// The least that disk and `spool_max_bytes` have to have.
    #[must_use]
    pub const fn needed(self) -> u64 {
        self.needed
    }

    /// Whether it is the disk, not the setting, that limits the spool.
    #[must_use]
    pub const fn is_disk_short(self, room: Room) -> bool {
        room.used.saturating_add(room.free) < self.spool_max_bytes
    }

    /// Where to stop and to go on.
    #[must_use]
    pub const fn levels(self, room: Room) -> Levels {
        let most = if self.is_disk_short(room) {
            room.used.saturating_add(room.free)
        } else {
            self.spool_max_bytes
        };
        let stop_at = if most < self.needed { 0 } else { most - self.reserve };
        Levels { stop_at, resume_below: stop_at - stop_at / 8 }
    }

    /// What to do, if it was `before` until now.
    #[must_use]
    pub const fn flow(self, room: Room, before: Flow) -> Flow {
        let Levels { stop_at, resume_below } = self.levels(room);
        let level = match before {
            Flow::Take => stop_at,
            Flow::Pause => resume_below,
        };
        if room.used < level { Flow::Take } else { Flow::Pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { spool_max_bytes: 1000, max_file_bytes: 100, compressors: 1 };

    const fn room(used: u64, free: u64) -> Room {
        Room { used, free }
    }

    #[test]
    fn consumers_stop_before_the_reserve_and_go_on_lower() {
        let budget = Budget::new(LIMITS).unwrap();
        let levels = Levels { stop_at: 800, resume_below: 700 };
        assert_eq!(budget.levels(room(0, u64::MAX)), levels);
        let flow = |used, before| budget.flow(room(used, 5000), before);
        assert_eq!(flow(799, Flow::Take), Flow::Take);
        assert_eq!(flow(800, Flow::Take), Flow::Pause);
        assert_eq!(flow(799, Flow::Pause), Flow::Pause);
        assert_eq!(flow(700, Flow::Pause), Flow::Pause);
        assert_eq!(flow(699, Flow::Pause), Flow::Take);
    }

    #[test]
    fn a_small_disk_keeps_room_to_pack_the_files_that_fill_it() {
        let budget = Budget::new(LIMITS).unwrap();
        assert_eq!(budget.levels(room(100, 500)), Levels { stop_at: 400, resume_below: 350 });
        for (used, free, flow) in [
            (399, 201, Flow::Take),
            (400, 200, Flow::Pause),
            (0, 299, Flow::Pause),
            (0, 300, Flow::Take),
            (0, 0, Flow::Pause),
        ] {
            assert_eq!(budget.flow(room(used, free), Flow::Take), flow, "{used} {free}");
        }
        assert!(budget.is_disk_short(room(300, 699)));
        assert!(!budget.is_disk_short(room(300, 700)));
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
        let levels = with(300).unwrap().levels(room(0, u64::MAX));
        assert_eq!(levels.stop_at, 100);
        assert!(Budget::new(Limits { max_file_bytes: u64::MAX, ..LIMITS }).is_err());
    }
}
