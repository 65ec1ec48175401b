//! Which records of a partition are wanted. Pure.

use std::ops::{Bound, RangeBounds};

use crate::codec::{Frame, Index};
use crate::mak::Record;
use crate::types::Offset;

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the first record that is there.
    #[default]
    Beginning,
    /// With the record at this offset, or the first one behind it.
    Offset(Offset),
    /// So many offsets before the end; 0 is the end itself.
    FromEnd(u64),
    /// With the first record, in offset order, that was made at this time (milliseconds since
    /// 1970) or later; those behind it may be older.
    Time(i64),
}

/// Which records are wanted; all of them to begin with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    start: Start,
    end: Option<Offset>,
    stop_time: Option<i64>,
    from_time: Option<i64>,
    to_time: Option<i64>,
    at_most: Option<u64>,
    follow: bool,
}

impl Slice {
    /// The records at these offsets.
    #[must_use]
    pub fn offsets(range: impl RangeBounds<u64>) -> Self {
        // A partition has no offset above the highest: an end behind it is none.
        let at = |number: u64| Offset::new(number).ok();
        let highest = Offset::new(i64::MAX.cast_unsigned()).unwrap_or_default();
        let start = match range.start_bound() {
            Bound::Unbounded => Start::Beginning,
            Bound::Included(number) => Start::Offset(at(*number).unwrap_or(highest)),
            Bound::Excluded(number) => {
                Start::Offset(at(number.saturating_add(1)).unwrap_or(highest))
            }
        };
        let end = match range.end_bound() {
            Bound::Unbounded => None,
            Bound::Included(number) => at(number.saturating_add(1)),
            Bound::Excluded(number) => at(*number),
        };
        Self { start, end, ..Self::default() }
    }

    /// Begins there.
    #[must_use]
    pub const fn starting(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// Ends before the first record that was made at `millis` or later, as kcat's `-o e@` does.
    #[must_use]
    pub const fn stopping_at_time(self, millis: i64) -> Self {
        Self { stop_time: Some(millis), ..self }
    }

    /// Only records that were made at `millis` or later.
    ///
    /// Files are taken to follow each other in time: one whose records are all older than those of
    /// a file before it may be passed over. Within a file each record is looked at.
    #[must_use]
    pub const fn made_from(self, millis: i64) -> Self {
        Self { from_time: Some(millis), ..self }
    }

    /// Only records that were made before `millis`; what is said of [`made_from`](Self::made_from)
    /// holds here too.
    #[must_use]
    pub const fn made_before(self, millis: i64) -> Self {
        Self { to_time: Some(millis), ..self }
    }

    /// No more than so many records.
    #[must_use]
    pub const fn at_most(self, count: u64) -> Self {
        Self { at_most: Some(count), ..self }
    }

    /// Goes on when the end is reached: waits for the next file, whose name is known beforehand.
    #[must_use]
    pub const fn following(self) -> Self {
        Self { follow: true, ..self }
    }

    pub(super) const fn start(&self) -> Start {
        self.start
    }

    pub(super) const fn end(&self) -> Option<Offset> {
        self.end
    }

    pub(super) const fn times(&self) -> (Option<i64>, Option<i64>) {
        (self.from_time, self.to_time)
    }

    pub(super) const fn limit(&self) -> Option<u64> {
        self.at_most
    }

    pub(super) const fn follows(&self) -> bool {
        self.follow
    }

    /// Whether it may be over before its files are.
    pub(super) const fn may_stop_early(&self) -> bool {
        self.at_most.is_some() || self.stop_time.is_some()
    }

    /// Whether it is known to end somewhere.
    pub(super) const fn is_bounded(&self) -> bool {
        self.may_stop_early() || self.end.is_some() || self.to_time.is_some()
    }

    /// The frames of one file that may hold wanted records, from where `seek` says. `before` counts
    /// the records that are wanted for sure, in this file and those before it.
    pub(super) fn frames(&self, index: &Index, seek: Option<Seek>, before: &mut u64) -> Vec<usize> {
        let all = index.frames();
        let left = match seek {
            None => all.len(),
            Some(Seek::Offset(offset)) => index.frames_from_offset(offset).len(),
            Some(Seek::Time(millis)) => index.frames_from_time(millis).len(),
        };
        let from = all.len().saturating_sub(left);
        let until = self.end.map_or(all.len(), |end| all.partition_point(|f| f.info.first < end));
        // Part of a frame may lie before the place that is sought, so it proves nothing.
        let is_behind = |at: usize, frame: &Frame| match seek {
            None => true,
            Some(Seek::Offset(offset)) => frame.info.first >= offset,
            Some(Seek::Time(_)) => at > from,
        };
        let sure = all.iter().enumerate().take(until).skip(from);
        let until = self.until(sure.filter(|(at, frame)| is_behind(*at, frame)), until, before);
        // The record that begins the slice may not be wanted itself; those behind it may be.
        let begins = |at: &usize| *at == from && matches!(seek, Some(Seek::Time(_)));
        let wanted =
            |at: &usize| begins(at) || all.get(*at).is_some_and(|frame| self.may_hold(frame));
        (from..until).filter(wanted).collect()
    }

    /// Where it ends for sure, by what the index says of numbers and times of these frames.
    fn until<'f>(
        &self,
        frames: impl Iterator<Item = (usize, &'f Frame)>,
        until: usize,
        before: &mut u64,
    ) -> usize {
        for (at, frame) in frames {
            *before += u64::from(frame.info.records);
            let enough = self.at_most.is_some_and(|most| *before >= most) && !self.picks();
            let stops = |stop| frame.info.times.is_some_and(|(_, latest)| latest >= stop);
            if enough || self.stop_time.is_some_and(stops) {
                return at + 1;
            }
        }
        until
    }

    /// Whether records are left out between those that are wanted.
    const fn picks(&self) -> bool {
        self.from_time.is_some() || self.to_time.is_some()
    }

    fn may_hold(&self, frame: &Frame) -> bool {
        if !self.picks() {
            return true;
        }
        frame.info.times.is_some_and(|(first, last)| {
            // A record that nothing comes behind may be one that is not wanted itself.
            self.from_time.is_none_or(|from| last >= from)
                && (self.stop_time.is_some() || self.to_time.is_none_or(|to| first < to))
        })
    }
}

/// What the first record has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seek {
    Offset(Offset),
    Time(i64),
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    Skip,
    /// It and all behind it are not wanted.
    Stop,
}

/// Judges records one by one, in their order.
#[derive(Debug)]
pub(super) struct Rule {
    slice: Slice,
    /// Until the first one was found.
    seek: Option<Seek>,
    /// What lies before this was had already.
    floor: Offset,
    left: Option<u64>,
}

impl Rule {
    pub(super) fn new(slice: Slice) -> Self {
        let left = slice.at_most;
        Self { slice, seek: None, floor: Offset::ZERO, left }
    }

    /// The place of the first record, once it is known.
    pub(super) fn begin(&mut self, seek: Option<Seek>) {
        self.seek = seek;
    }

    /// Leaves out what lies before `offset` from here on.
    pub(super) const fn begin_behind(&mut self, offset: Offset) {
        self.floor = offset;
    }

    /// Whether every record is wanted from here on.
    #[inline]
    pub(super) const fn takes_all(&self) -> bool {
        self.seek.is_none()
            && self.floor.get() == 0
            && self.slice.end.is_none()
            && self.slice.stop_time.is_none()
            && !self.slice.picks()
    }

    /// `dated`: whether records of this file have times at all.
    #[inline]
    pub(super) fn judge(&mut self, record: &Record<'_>, dated: bool) -> Verdict {
        if self.slice.end.is_some_and(|end| record.offset >= end) {
            return Verdict::Stop;
        }
        if record.offset < self.floor {
            return Verdict::Skip;
        }
        let made = record.timestamp.map(|time| time.millis);
        let sought = match self.seek {
            None => true,
            Some(Seek::Offset(offset)) => record.offset >= offset,
            Some(Seek::Time(millis)) => made.map_or(!dated, |made| made >= millis),
        };
        if !sought {
            return Verdict::Skip;
        }
        // Here the slice begins, even if times leave this record itself out; but one without a time
        // does not say that the time has come.
        if made.is_some() || !matches!(self.seek, Some(Seek::Time(_))) {
            self.seek = None;
        }
        if self.slice.stop_time.is_some_and(|stop| made.is_some_and(|made| made >= stop)) {
            return Verdict::Stop;
        }
        let (from, to) = (self.slice.from_time, self.slice.to_time);
        let fits = |made| from.is_none_or(|from| made >= from) && to.is_none_or(|to| made < to);
        if !self.slice.picks() || made.map_or(!dated, fits) { Verdict::Take } else { Verdict::Skip }
    }

    /// A record was taken.
    #[inline]
    pub(super) fn took(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    /// Whether there were as many as were wanted.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.left == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mak::Headers;
    use crate::types::{Timestamp, TimestampType};

    fn record(offset: u64, millis: Option<i64>) -> Record<'static> {
        let timestamp = millis.map(|millis| Timestamp { millis, kind: TimestampType::Create });
        let offset = Offset::new(offset).unwrap();
        Record { offset, timestamp, key: None, value: None, headers: Headers::NONE }
    }

    /// The offsets that are taken of records whose offset and time are given.
    fn taken(slice: &Slice, seek: Option<Seek>, records: &[(u64, i64)]) -> Vec<u64> {
        let mut rule = Rule::new(slice.clone());
        rule.begin(seek);
        let mut taken = Vec::new();
        for (offset, millis) in records {
            if rule.is_full() {
                break;
            }
            match rule.judge(&record(*offset, Some(*millis)), true) {
                Verdict::Take => {
                    rule.took();
                    taken.push(*offset);
                }
                Verdict::Skip => {}
                Verdict::Stop => break,
            }
        }
        taken
    }

    const RECORDS: [(u64, i64); 6] = [(3, 30), (4, 10), (7, 40), (8, 20), (9, 50), (12, 45)];

    #[test]
    fn offsets_are_any_range() {
        let begin = |slice: &Slice| match slice.start() {
            Start::Offset(offset) => Some(Seek::Offset(offset)),
            _ => None,
        };
        let offsets = |slice: Slice| taken(&slice, begin(&slice), &RECORDS);
        assert_eq!(offsets(Slice::offsets(..)), [3, 4, 7, 8, 9, 12]);
        assert_eq!(offsets(Slice::offsets(5..9)), [7, 8]);
        assert_eq!(offsets(Slice::offsets(4..=9)), [4, 7, 8, 9]);
        assert_eq!(offsets(Slice::offsets(..u64::MAX)), [3, 4, 7, 8, 9, 12]);
        assert_eq!(offsets(Slice::offsets(u64::MAX..)), [0_u64; 0]);
        assert_eq!(offsets(Slice::offsets((Bound::Excluded(4), Bound::Unbounded))), [7, 8, 9, 12]);
        assert_eq!(offsets(Slice::offsets(..).at_most(2)), [3, 4]);
    }

    #[test]
    fn a_time_begins_and_stops_as_kcat_has_it() {
        let slice = Slice::default();
        assert_eq!(taken(&slice, Some(Seek::Time(35)), &RECORDS), [7, 8, 9, 12]);
        let slice = Slice::default().stopping_at_time(50);
        assert_eq!(taken(&slice, None, &RECORDS), [3, 4, 7, 8]);
        assert_eq!(taken(&slice, Some(Seek::Time(45)), &RECORDS), [0_u64; 0]);
    }

    #[test]
    fn a_span_of_time_picks_records() {
        let slice = Slice::default().made_from(20).made_before(45);
        assert_eq!(taken(&slice, None, &RECORDS), [3, 7, 8]);
        assert_eq!(
            taken(&slice.at_most(1), Some(Seek::Offset(Offset::new(4).unwrap())), &RECORDS),
            [7]
        );
    }

    #[test]
    fn a_record_without_a_time_does_not_say_that_the_time_has_come() {
        let mut rule = Rule::new(Slice::default());
        rule.begin(Some(Seek::Time(35)));
        assert_eq!(rule.judge(&record(1, None), false), Verdict::Take);
        assert_eq!(rule.judge(&record(2, Some(30)), true), Verdict::Skip);
        assert_eq!(rule.judge(&record(3, Some(40)), true), Verdict::Take);
        assert_eq!(rule.judge(&record(4, Some(30)), true), Verdict::Take);
    }

    #[test]
    fn what_was_had_already_is_left_out() {
        let mut rule = Rule::new(Slice::default());
        assert!(rule.takes_all());
        rule.begin_behind(Offset::new(7).unwrap());
        assert!(!rule.takes_all());
        assert_eq!(rule.judge(&record(6, Some(1)), true), Verdict::Skip);
        assert_eq!(rule.judge(&record(7, Some(1)), true), Verdict::Take);
    }

    #[test]
    fn without_times_a_file_is_taken_as_a_whole() {
        let mut rule = Rule::new(Slice::default().made_from(20));
        assert_eq!(rule.judge(&record(1, None), false), Verdict::Take);
        assert_eq!(rule.judge(&record(1, None), true), Verdict::Skip);
    }
}
