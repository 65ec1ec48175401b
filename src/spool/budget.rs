//! When consumers stop so that the spool never grows past `spool_max_bytes`. Pure.
//!
//! Compressors and uploaders never wait for the cap: while a file is packed, it is there twice. So
//! consumers stop at `spool_max_bytes` less a reserve, which is the largest file for each compressor
//! and once more for what they have in hand. They take up again an eighth lower, so that they don't
//! stop and go with every file. While they pause they have to rotate what they have in progress,
//! the largest first: else nothing would get smaller.
//!
//! A disk that has less than that takes the setting's place: were it filled with rotated files,
//! nothing could be packed any more, so nothing uploaded, and it would stay full. There consumers
//! leave the reserve, or half of the disk, if that is less.

/// What is left free on the disk beside the reserve, for all that is small.
const DISK_SPARE: u64 = 16 << 20;

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
    /// Whether it is the disk that limits them, not the setting.
    pub by_disk: bool,
}

impl Levels {
    /// What to do, if it was `before` until now.
    #[must_use]
    pub const fn flow(self, used: u64, before: Flow) -> Flow {
        let level = match before {
            Flow::Take => self.stop_at,
            Flow::Pause => self.resume_below,
        };
        if used < level { Flow::Take } else { Flow::Pause }
    }
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
        Ok(Self { spool_max_bytes, reserve })
    }

    /// Where to stop and to go on.
    #[must_use]
    pub const fn levels(self, room: Room) -> Levels {
        let setting = self.spool_max_bytes - self.reserve;
        let disk = room.used.saturating_add(room.free).saturating_sub(DISK_SPARE);
        let (most, half) = (disk.saturating_sub(self.reserve), disk / 2);
        let disk = match (most > half, disk < DISK_SPARE) {
            // Not a byte: else the last few would be fetched in ever smaller files.
            (_, true) => 0,
            (true, false) => most,
            (false, false) => half,
        };
        let by_disk = disk < setting;
        let stop_at = if by_disk { disk } else { setting };
        Levels { stop_at, resume_below: stop_at - stop_at / 8, by_disk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { spool_max_bytes: 1000, max_file_bytes: 100, compressors: 1 };

    const LARGE: u64 = 1 << 40;

    #[test]
    fn consumers_stop_before_the_reserve_and_go_on_lower() {
        let budget = Budget::new(LIMITS).unwrap();
        let levels = budget.levels(Room { used: 0, free: LARGE });
        assert_eq!(levels, Levels { stop_at: 800, resume_below: 700, by_disk: false });
        assert_eq!(levels.flow(799, Flow::Take), Flow::Take);
        assert_eq!(levels.flow(800, Flow::Take), Flow::Pause);
        assert_eq!(levels.flow(799, Flow::Pause), Flow::Pause);
        assert_eq!(levels.flow(700, Flow::Pause), Flow::Pause);
        assert_eq!(levels.flow(699, Flow::Pause), Flow::Take);
    }

    #[test]
    fn a_small_disk_keeps_room_to_pack_the_files_that_fill_it() {
        const MIB: u64 = 1 << 20;
        let limits = |max_file_bytes| Limits {
            spool_max_bytes: 10_000 * MIB,
            max_file_bytes: max_file_bytes * MIB,
            compressors: 1,
        };
        let stop_at = |max_file_bytes, disk: u64| {
            let budget = Budget::new(limits(max_file_bytes)).unwrap();
            let levels =
                [0, disk / 3, disk].map(|used| budget.levels(Room { used, free: disk - used }));
            assert!(levels.iter().all(|level| *level == levels[0] && level.by_disk));
            levels[0].stop_at / MIB
        };
        // The disk less 16 MiB, and less twice the file; or half.
        assert_eq!(stop_at(10, 116 * MIB), 80);
        assert_eq!(stop_at(25, 116 * MIB), 50);
        assert_eq!(stop_at(256, 116 * MIB), 50);
        assert_eq!(stop_at(256, 32 * MIB), 8);
        assert_eq!(stop_at(256, 32 * MIB - 1), 0);
        assert_eq!(stop_at(1, 0), 0);
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_what_would() {
        let with = |spool_max_bytes| Budget::new(Limits { spool_max_bytes, ..LIMITS });
        let e = with(299).unwrap_err();
        assert_eq!(e.needed, 300);
        assert!(e.to_string().starts_with("spool_max_bytes = 299 is too small"));
        let room = Room { used: 0, free: LARGE };
        assert_eq!(with(300).unwrap().levels(room).stop_at, 100);
        assert!(Budget::new(Limits { max_file_bytes: u64::MAX, ..LIMITS }).is_err());
    }
}
