//! The original's names: `TOPIC-PARTITION_START-LAST_YYMMDD.mak`, with `.gz` when packed. Pure.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::types::{Offset, OffsetRange, Partition, TopicName, TopicPartition};

/// Begins the names of all its objects, at the root of the bucket.
pub const OBJECTS: &str = "kafkatos3";

const SECONDS_A_DAY: u64 = 86_400;

/// The day in a name, `YYMMDD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date([u8; 6]);

impl Date {
    fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 6] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// The day of `time`, in UTC.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let (year, month, day) = civil(seconds / SECONDS_A_DAY);
        let text = format!("{:02}{month:02}{day:02}", year % 100);
        Self::parse(&text).unwrap_or(Self(*b"000000"))
    }
}

/// Year, month and day, so many days after 1970-01-01. Counted in years that begin in March, so
/// that leap days come last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let since_march_0 = days + 719_468;
    let (era, day_of_era) = (since_march_0 / 146_097, since_march_0 % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + (month <= 2) as u64, month, day)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

/// What the name of a finished file says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LegacyName {
    /// Whose records.
    pub tp: TopicPartition,
    /// From the first offset to behind the last that was written.
    pub range: OffsetRange,
    /// When it was rotated.
    pub date: Date,
}

/// How far it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packing {
    /// `.mak`
    Plain,
    /// `.mak.gz`
    Gzip,
}

impl LegacyName {
    /// Reads a file's name; `None` if the original would not have given it.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, Packing)> {
        let (stem, packing) = match text.strip_suffix(".mak.gz") {
            Some(stem) => (stem, Packing::Gzip),
            None => (text.strip_suffix(".mak")?, Packing::Plain),
        };
        // From the right: a topic's name may hold all of these characters.
        let (rest, date) = stem.rsplit_once('_')?;
        let (rest, range) = rest.rsplit_once('_')?;
        let (topic, partition) = rest.rsplit_once('-')?;
        let (start, last) = range.split_once('-')?;
        let last = Offset::new(last.parse().ok()?).ok()?;
        let name = Self {
            tp: TopicPartition::new(
                TopicName::new(topic).ok()?,
                Partition::new(partition.parse().ok()?).ok()?,
            ),
            range: OffsetRange::new(Offset::new(start.parse().ok()?).ok()?, last.after()).ok()?,
            date: Date::parse(date)?,
        };
        (name.to_string() == stem).then_some((name, packing))
    }

    /// The object's name in the bucket.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{}/{self}.mak.gz", folder(&self.tp))
    }
}

/// Without its end.
impl fmt::Display for LegacyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, partition) = (&self.tp.topic, self.tp.partition);
        let (start, last) = (self.range.start(), self.range.last());
        write!(f, "{topic}-{partition}_{start}-{last}_{}", self.date)
    }
}

/// Whether the original writes `tp` as `written`. On the way from `tocompress` to `tos3` it replaces
/// that word wherever it stands in the path, in a topic's name, too.
#[must_use]
pub fn is_written(tp: &TopicPartition, written: &TopicPartition) -> bool {
    let slip = || tp.topic.as_str().replace("tocompress", "tos3") == written.topic.as_str();
    tp.partition == written.partition && (tp.topic == written.topic || slip())
}

/// Where a partition's objects stand in the bucket.
#[must_use]
pub fn folder(tp: &TopicPartition) -> String {
    format!("{OBJECTS}/{}/{}", tp.topic, tp.partition)
}

/// Behind the last of a partition's objects; of `listed`, other names are passed over.
pub fn objects_reach<'a>(
    tp: &TopicPartition,
    listed: impl IntoIterator<Item = &'a str>,
) -> Option<Offset> {
    let folder = folder(tp);
    let reach = |object: &str| {
        let name = object.strip_prefix(folder.as_str())?.strip_prefix('/')?;
        match LegacyName::parse(name)? {
            (name, Packing::Gzip) if name.tp == *tp => Some(name.range.next()),
            _ => None,
        }
    };
    listed.into_iter().filter_map(reach).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, Packing)> {
        LegacyName::parse(text).map(|(name, packing)| (name.to_string(), packing))
    }

    #[test]
    fn names_are_read_from_the_right() {
        let (name, packing) = LegacyName::parse("a_b-1_2-3-7_10-4711_160811.mak.gz").unwrap();
        assert_eq!(packing, Packing::Gzip);
        assert_eq!(name.tp.to_string(), "a_b-1_2-3-7");
        assert_eq!((name.range.start().get(), name.range.last().get()), (10, 4711));
        assert_eq!(name.object(), "kafkatos3/a_b-1_2-3/7/a_b-1_2-3-7_10-4711_160811.mak.gz");
        let plain = ("t-0_5-5_160811".to_owned(), Packing::Plain);
        assert_eq!(parse("t-0_5-5_160811.mak"), Some(plain));
    }

    #[test]
    fn what_the_original_would_not_write_is_none_of_its_names() {
        for stranger in [
            "data.mak",
            "t-0_0-9.mak",
            "t-0_0-9.mak.gz",
            "t-0_0-9_16081.mak",
            "t-0_0-9_16081x.mak",
            "t-0_9-0_160811.mak",
            "t-00_0-9_160811.mak",
            "t-0_00-9_160811.mak",
            "t-0_+0-9_160811.mak",
            "t-0_0-9_160811.mak.zst",
            "t-0_0-9_160811",
            "t-0_0-18446744073709551615_160811.mak",
            "..-0_0-9_160811.mak",
            "t/u-0_0-9_160811.mak",
            ".t-0_0-9_160811.mak.gz.tmp",
        ] {
            assert_eq!(LegacyName::parse(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn a_topic_that_is_named_like_a_directory_is_known_again() {
        let tp = |text: &str| LegacyName::parse(&format!("{text}_0-0_000101.mak")).unwrap().0.tp;
        assert!(is_written(&tp("a-tocompress-b-1"), &tp("a-tos3-b-1")));
        assert!(is_written(&tp("a-1"), &tp("a-1")));
        assert!(!is_written(&tp("a-tos3-b-1"), &tp("a-tocompress-b-1")));
        assert!(!is_written(&tp("a-tocompress-b-1"), &tp("a-tos3-b-2")));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let date = |seconds| Date::of(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        assert_eq!(date(0), "700101");
        assert_eq!(date(951_782_399), "000228");
        assert_eq!(date(951_782_400), "000229");
        assert_eq!(date(951_868_800), "000301");
        assert_eq!(date(1_470_873_600), "160811");
        assert_eq!(date(1_798_761_599), "261231");
        assert_eq!(date(4_107_542_400), "000301");
        assert_eq!(Date::of(UNIX_EPOCH - Duration::from_secs(1)).to_string(), "700101");
    }

    #[test]
    fn the_objects_of_a_partition_reach_behind_the_last() {
        let tp = LegacyName::parse("t-1_0-0_000101.mak").unwrap().0.tp;
        let listed = [
            "kafkatos3/t/1/t-1_0-99_160811.mak.gz",
            "kafkatos3/t/1/t-1_100-1000_160811.mak.gz",
            "kafkatos3/t/1/t-1_200-999_160812.mak.gz",
            // Not its names.
            "kafkatos3/t/1/t-1_0-5000_160811.mak",
            "kafkatos3/t/1/t-2_0-5000_160811.mak.gz",
            "kafkatos3/t/12/t-1_0-5000_160811.mak.gz",
            "kafkatos3/t/1/sub/t-1_0-5000_160811.mak.gz",
            "kafkatos3/t/1/readme",
        ];
        assert_eq!(objects_reach(&tp, listed).map(Offset::get), Some(1001));
        assert_eq!(objects_reach(&tp, ["kafkatos3/t/1/chain.json"]), None);
    }
}
