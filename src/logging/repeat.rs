//! What fails again and again: which of the failures are worth a line. Pure.
//!
//! A trouble is one thing that fails, of one subject. Its first failure is said in full, and so is
//! one with other words; the rest are counted, and the count is said once a minute. Numbers make
//! no other words: they are mostly times and counts. Of one thing that fails not more than
//! [`SUBJECTS`] are kept apart, the rest are counted together; so lines and memory are bounded,
//! however many partitions there are.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use log::Level;

use super::faults::Fault;
use crate::types::TopicPartition;

/// How often a count is said.
const EVERY: Duration = Duration::from_mins(1);
/// When a trouble of which nothing was heard counts as over.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);
/// So many different words of one trouble are said in full.
const WORDINGS: usize = 4;
/// So many subjects with the same trouble are kept apart.
const SUBJECTS: usize = 32;
/// Bytes of a failure's words that are kept for its count.
const KEPT: usize = 400;

/// What something is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A partition.
    Partition(TopicPartition),
    /// Anything else, by its name.
    Named(String),
    /// All those that are not kept apart.
    Others,
}

impl From<&TopicPartition> for Subject {
    fn from(tp: &TopicPartition) -> Self {
        Self::Partition(tp.clone())
    }
}

impl From<&str> for Subject {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(tp) => tp.fmt(f),
            Self::Named(name) => f.write_str(name),
            Self::Others => f.write_str("others"),
        }
    }
}

/// What fails, and whose.
pub(super) type Key = (Fault, Subject);

/// What to say of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Say {
    /// All of it.
    InFull,
    /// How often it came since something was said of it.
    Count(Tally),
    /// Nothing now.
    Nothing,
}

/// How often, and within which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) failures: u64,
    pub(super) within: Duration,
}

/// A count that nobody has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overdue {
    pub(super) level: Level,
    pub(super) key: Key,
    pub(super) tally: Tally,
    /// The words of its last failure.
    pub(super) error: String,
}

#[derive(Debug)]
struct Open {
    level: Level,
    since: Instant,
    last: Instant,
    failures: u64,
    said_at: Instant,
    unsaid: u64,
    wordings: Vec<u64>,
    error: String,
}

/// The troubles that there are.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    open: HashMap<Key, Open>,
}

impl Repeats {
    /// It failed, with these words. Gives the key under which it is counted.
    pub(super) fn failed(
        &mut self,
        level: Level,
        key: Key,
        error: &str,
        now: Instant,
    ) -> (Key, Say) {
        let key = self.place_of(key, now);
        let wording = wording(error);
        let open = self.open.entry(key.clone()).or_insert_with(|| Open {
            level,
            since: now,
            last: now,
            failures: 0,
            said_at: now,
            unsaid: 0,
            wordings: Vec::new(),
            error: String::new(),
        });
        open.failures += 1;
        open.last = now;
        if !open.wordings.contains(&wording) && open.wordings.len() < WORDINGS {
            open.wordings.push(wording);
            return (key, Say::InFull);
        }
        open.unsaid += 1;
        open.error.clear();
        open.error.push_str(error.get(..error.floor_char_boundary(KEPT)).unwrap_or_default());
        (key, open.count(now).map_or(Say::Nothing, Say::Count))
    }

    /// It went well: the trouble is over, if there was one.
    pub(super) fn worked(&mut self, key: &Key, now: Instant) -> Option<Tally> {
        let open = self.open.remove(key)?;
        Some(Tally { failures: open.failures, within: now - open.since })
    }

    /// What was counted for a minute and not said, because no further failure came.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Overdue> {
        let mut overdue = Vec::new();
        for (key, open) in &mut self.open {
            if let Some(tally) = open.count(now) {
                let (key, error) = (key.clone(), open.error.clone());
                overdue.push(Overdue { level: open.level, key, tally, error });
            }
        }
        self.forget(now);
        overdue
    }

    /// How many troubles there are.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Where a failure is counted: with the others, if there are too many of this kind.
    fn place_of(&mut self, key: Key, now: Instant) -> Key {
        if self.open.get(&key).is_some_and(|open| !open.is_forgotten(now)) {
            return key;
        }
        self.forget(now);
        let (trouble, _) = &key;
        let alike = self.open.keys().filter(|(other, _)| other == trouble).count();
        if alike < SUBJECTS { key } else { (*trouble, Subject::Others) }
    }

    fn forget(&mut self, now: Instant) {
        self.open.retain(|_, open| !open.is_forgotten(now));
    }
}

impl Open {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGOTTEN_AFTER
    }

    /// The count, if it is time to say it.
    fn count(&mut self, now: Instant) -> Option<Tally> {
        let within = now.saturating_duration_since(self.said_at);
        if self.unsaid == 0 || within < EVERY {
            return None;
        }
        self.said_at = now;
        Some(Tally { failures: std::mem::take(&mut self.unsaid), within })
    }
}

/// The same for texts that differ in their numbers only.
fn wording(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for byte in text.bytes().filter(|byte| !byte.is_ascii_digit()) {
        byte.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Partition, TopicName};

    const T: Fault = Fault { event: "commit_failed", over: "committed again" };

    fn tp(partition: i64) -> TopicPartition {
        let topic = TopicName::new("t").unwrap();
        TopicPartition::new(topic, Partition::new(partition).unwrap())
    }

    struct Clock {
        repeats: Repeats,
        began: Instant,
    }

    impl Clock {
        fn new() -> Self {
            Self { repeats: Repeats::default(), began: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.began + Duration::from_secs(seconds)
        }

        fn fails(&mut self, seconds: u64, partition: i64, error: &str) -> Say {
            let (key, now) = ((T, Subject::from(&tp(partition))), self.at(seconds));
            self.repeats.failed(Level::Warn, key, error, now).1
        }

        fn works(&mut self, seconds: u64, partition: i64) -> Option<Tally> {
            let now = self.at(seconds);
            self.repeats.worked(&(T, Subject::from(&tp(partition))), now)
        }
    }

    fn tally(failures: u64, seconds: u64) -> Tally {
        Tally { failures, within: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_first_failure_is_said_then_a_count_each_minute_then_its_end() {
        let mut clock = Clock::new();
        assert_eq!(clock.fails(0, 0, "timeout after 3 ms"), Say::InFull);
        for second in 1..60 {
            assert_eq!(clock.fails(second, 0, &format!("timeout after {second} ms")), Say::Nothing);
        }
        assert_eq!(clock.fails(60, 0, "timeout after 4 ms"), Say::Count(tally(60, 60)));
        assert_eq!(clock.fails(61, 0, "timeout after 4 ms"), Say::Nothing);
        assert_eq!(clock.works(90, 0), Some(tally(62, 90)));
        assert_eq!(clock.works(91, 0), None);
        assert_eq!(clock.fails(92, 0, "timeout after 4 ms"), Say::InFull);
    }

    #[test]
    fn other_words_are_said_in_full_a_few_times() {
        let mut clock = Clock::new();
        let words = ["a", "b", "a", "c", "d", "e", "b"];
        let said = words.map(|word| clock.fails(0, 0, word) == Say::InFull);
        assert_eq!(said, [true, true, false, true, true, false, false]);
    }

    #[test]
    fn each_subject_has_its_own_first_failure_until_they_are_too_many() {
        let mut clock = Clock::new();
        let subjects = i64::try_from(SUBJECTS).unwrap();
        for partition in 0..subjects {
            assert_eq!(clock.fails(0, partition, "x"), Say::InFull);
        }
        assert_eq!(clock.fails(0, subjects, "x"), Say::InFull);
        for partition in subjects + 1..10_000 {
            assert_eq!(clock.fails(1, partition, "x"), Say::Nothing);
        }
        assert_eq!(clock.repeats.open.len(), SUBJECTS + 1);
        assert_eq!(clock.fails(2, 3, "x"), Say::Nothing, "one of the first is still its own");
        let Say::Count(Tally { failures, .. }) = clock.fails(70, 9_999, "x") else {
            panic!("no count");
        };
        assert_eq!(failures, 10_000 - u64::try_from(SUBJECTS).unwrap());
        let other = Fault { event: "publish_failed", ..T };
        let key = (other, Subject::from(&tp(9_999)));
        let (place, said) = clock.repeats.failed(Level::Warn, key.clone(), "x", clock.at(70));
        assert_eq!((place, said), (key, Say::InFull), "another trouble has room of its own");
    }

    #[test]
    fn a_count_that_no_further_failure_says_is_said_by_whoever_looks() {
        let mut clock = Clock::new();
        clock.fails(0, 0, "x");
        clock.fails(5, 0, "x1");
        assert_eq!(clock.repeats.overdue(clock.at(59)), []);
        let overdue = clock.repeats.overdue(clock.at(80));
        assert_eq!(overdue.len(), 1);
        assert_eq!((overdue[0].tally, overdue[0].error.as_str()), (tally(1, 80), "x1"));
        assert_eq!(clock.repeats.overdue(clock.at(200)), []);
    }

    #[test]
    fn a_trouble_that_was_silent_for_long_is_forgotten() {
        let mut clock = Clock::new();
        clock.fails(0, 0, "x");
        assert_eq!(clock.fails(599, 0, "x"), Say::Count(tally(1, 599)));
        assert_eq!(clock.fails(599 + 600, 0, "x"), Say::InFull);
        clock.repeats.overdue(clock.at(5000));
        assert_eq!(clock.repeats.len(), 0);
    }

    #[test]
    fn of_long_words_the_beginning_is_kept() {
        let mut clock = Clock::new();
        clock.fails(0, 0, "x");
        let long = "ä".repeat(KEPT);
        clock.fails(1, 0, &long);
        clock.fails(2, 0, &long);
        let overdue = clock.repeats.overdue(clock.at(80));
        assert_eq!(overdue[0].error, "ä".repeat(KEPT / 2));
    }
}
