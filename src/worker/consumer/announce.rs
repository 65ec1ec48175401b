//! What the log says of assignments: a line for each of a few partitions; of many, one for all,
//! and theirs are left to the level below.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use log::Level;

use crate::logging::count;
use crate::types::{Offset, TopicPartition};

/// So many partitions get lines of their own.
const FEW: usize = 10;
/// How long the rest of an assignment is waited for.
const REST: Duration = Duration::from_secs(5);

/// A partition that is read from now on.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) tp: TopicPartition,
    pub(super) tip: Offset,
    /// Where it is read from.
    pub(super) next: Offset,
    /// How many offsets there are from there on.
    pub(super) behind: u64,
}

/// Partitions that were not logged yet.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    begun: Vec<Begun>,
    since: Option<Instant>,
}

impl Assigned {
    pub(super) fn note(&mut self, begun: Begun, now: Instant) {
        self.begun.push(begun);
        self.since.get_or_insert(now);
    }

    /// Whether it is time to log them; `more` are on their way.
    pub(super) fn is_due(&self, now: Instant, more: bool) -> bool {
        self.since.is_some_and(|since| !more || now.saturating_duration_since(since) >= REST)
    }

    /// Logs them.
    pub(super) fn say(&mut self) {
        self.since = None;
        let all = std::mem::take(&mut self.begun);
        for Begun { tp, tip, next, behind } in &all {
            log::log!(
                level(all.len()), event = "assigned", topic = tp.topic.as_str(),
                partition = tp.partition.get(), tip = tip.get(), next = next.get(), behind = *behind;
                "assigned {tp}: tip {tip}, reading from {next}, {behind} offsets behind"
            );
        }
        if all.len() > FEW {
            let behind: u64 = all.iter().map(|begun| begun.behind).sum();
            let (partitions, topics) = (all.len(), topics(all.iter().map(|begun| &begun.tp)));
            log::info!(
                event = "assigned", partitions, topics, behind;
                "assigned {partitions} partitions of {}: {behind} offsets behind",
                count(topics, "topic")
            );
        }
    }
}

/// Logs that these are not ours any more.
pub(super) fn revoked(partitions: &[TopicPartition], lost: bool) {
    let how = if lost { " (too late: others may read it already)" } else { "" };
    for tp in partitions {
        log::log!(
            level(partitions.len()), event = "revoked", topic = tp.topic.as_str(),
            partition = tp.partition.get(), lost;
            "revoked {tp}{how}"
        );
    }
    if partitions.len() > FEW {
        let (partitions, topics) = (partitions.len(), topics(partitions.iter()));
        log::info!(
            event = "revoked", partitions, topics, lost;
            "revoked {partitions} partitions of {}{how}", count(topics, "topic")
        );
    }
}

/// How loud each one's line is, of so many.
const fn level(partitions: usize) -> Level {
    if partitions > FEW { Level::Debug } else { Level::Info }
}

fn topics<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> usize {
    partitions.map(|tp| &tp.topic).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Partition, TopicName};

    #[test]
    fn assignments_are_logged_when_the_last_has_come_or_it_takes_too_long() {
        let tp = TopicPartition::new(TopicName::new("t").unwrap(), Partition::new(0).unwrap());
        let mut assigned = Assigned::default();
        let now = Instant::now();
        assert!(!assigned.is_due(now, false));
        let begun = Begun { tp, tip: Offset::ZERO, next: Offset::ZERO, behind: 7 };
        assigned.note(begun, now);
        assert!(assigned.is_due(now, false));
        assert!(!assigned.is_due(now, true));
        assert!(assigned.is_due(now + REST, true));
        assigned.say();
        assert!(!assigned.is_due(now + REST, false));
    }
}
