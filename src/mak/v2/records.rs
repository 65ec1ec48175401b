//! The payload of an R block: a range of offsets, and the records in it.

use super::finish::times;
use crate::mak::varint::{take, take_array, take_bytes, unzigzag};
use crate::mak::{Headers, MakError, Record, Shown};
use crate::types::{Offset, OffsetRange, Timestamp, TimestampType};

/// Length of the fixed part of the payload.
pub(super) const FIXED_LEN: usize = 40;

/// The bits of a record's first meta byte.
pub(super) mod flag {
    /// The offset is not the expected one; the difference follows.
    pub(in super::super) const HOLE: u8 = 0x01;
    /// The key is not null.
    pub(in super::super) const KEY: u8 = 0x02;
    /// The value is not null.
    pub(in super::super) const VALUE: u8 = 0x04;
    /// There are headers.
    pub(in super::super) const HEADERS: u8 = 0x08;
    /// The timestamp is the producer's.
    pub(in super::super) const CREATE_TIME: u8 = 0x10;
    /// The timestamp is the broker's.
    pub(in super::super) const LOG_APPEND_TIME: u8 = 0x20;
    /// Both bits of the timestamp's type.
    pub(super) const TIME_TYPE: u8 = 0x30;
    /// The timestamp is that of the record before; no difference follows.
    pub(in super::super) const SAME_TIME: u8 = 0x40;
    /// Not used.
    pub(super) const RESERVED: u8 = 0x80;
}

/// A block of records, its fixed part parsed.
#[derive(Debug, Clone, Copy)]
pub struct RecordsBlock<'a> {
    fixed: Fixed,
    meta: &'a [u8],
    data: &'a [u8],
}

/// The fixed part of a block's payload; holds no borrow.
#[derive(Debug, Clone, Copy)]
pub(in crate::mak) struct Fixed {
    pub(in crate::mak) range: OffsetRange,
    count: u32,
    times: Option<(i64, i64)>,
    meta_len: u32,
    position: u64,
}

impl Fixed {
    /// Parses the fixed part of the payload of the block that begins at `position`.
    pub(in crate::mak) fn parse(payload: &[u8], position: u64) -> Result<Self, MakError> {
        Self::read(payload, position).ok_or_else(|| {
            MakError::corrupt(position, "the fixed part of a records block does not read")
        })
    }

    fn read(mut payload: &[u8], position: u64) -> Option<Self> {
        let from = &mut payload;
        let start = Offset::new(u64::from_be_bytes(take_array(from)?)).ok()?;
        let next = Offset::new(u64::from_be_bytes(take_array(from)?)).ok()?;
        let range = OffsetRange::new(start, next).ok()?;
        let count = u32::from_be_bytes(take_array(from)?);
        let min = i64::from_be_bytes(take_array(from)?);
        let max = i64::from_be_bytes(take_array(from)?);
        let meta_len = u32::from_be_bytes(take_array(from)?);
        take_bytes(from, meta_len.into())?;
        let times = times(min, max);
        (count <= meta_len).then_some(Self { range, count, times, meta_len, position })
    }

    /// How many records the block says that it holds.
    pub(in crate::mak) fn count(&self) -> u64 {
        self.count.into()
    }

    /// The block again, over the payload that this was parsed from.
    #[inline]
    pub(in crate::mak) fn over<'a>(&self, payload: &'a [u8]) -> RecordsBlock<'a> {
        let mut data = payload.get(FIXED_LEN..).unwrap_or_default();
        let meta = take_bytes(&mut data, self.meta_len.into()).unwrap_or_default();
        RecordsBlock { fixed: *self, meta, data }
    }
}

impl<'a> RecordsBlock<'a> {
    pub(super) fn parse(payload: &'a [u8], position: u64) -> Result<Self, MakError> {
        Ok(Fixed::parse(payload, position)?.over(payload))
    }

    /// The offsets that the block covers.
    #[must_use]
    pub const fn range(&self) -> OffsetRange {
        self.fixed.range
    }

    /// How many records it says that it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.fixed.count()
    }

    /// Lowest and highest timestamp.
    #[must_use]
    pub const fn times(&self) -> Option<(i64, i64)> {
        self.fixed.times
    }

    /// The records, in offset order; ends with the first error.
    #[must_use]
    pub fn records(&self) -> RecordsIter<'a> {
        RecordsIter { block: *self, cursor: Cursor::new(&self.fixed) }
    }

    /// Bytes of the keys, values, header names and header values; reads every record.
    pub fn content_bytes(&self) -> Result<u64, MakError> {
        self.records().try_fold(0, |sum, record| Ok(sum + record?.content_bytes()))
    }
}

/// Iterator over a block's records.
#[derive(Debug, Clone)]
pub struct RecordsIter<'a> {
    block: RecordsBlock<'a>,
    cursor: Cursor,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Result<Record<'a>, MakError>;
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.step(&self.block).transpose()
    }
}

/// How far the reading of a block's records has come; holds no borrow, so that it can live beside
/// the block's bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::mak) struct Cursor {
    left: u32,
    meta: usize,
    data: usize,
    expected: u64,
    previous_time: i64,
    closed: bool,
}

impl Cursor {
    /// In front of the first record.
    pub(in crate::mak) fn new(fixed: &Fixed) -> Self {
        Self {
            left: fixed.count,
            meta: 0,
            data: 0,
            expected: fixed.range.start().get(),
            previous_time: 0,
            closed: false,
        }
    }

    /// Whether there are records that were not read yet.
    pub(in crate::mak) const fn has_more(&self) -> bool {
        self.left > 0
    }

    /// The next record of `block`, which is the one that this was made for. Behind the last one it
    /// looks whether bytes are left over. After an error, the end.
    #[inline]
    pub(in crate::mak) fn step<'a>(
        &mut self,
        block: &RecordsBlock<'a>,
    ) -> Result<Option<Record<'a>>, MakError> {
        if self.left == 0 {
            return self.close(block).map(|()| None);
        }
        let meta = block.meta.get(self.meta..).unwrap_or_default();
        let data = block.data.get(self.data..).unwrap_or_default();
        self.record(block.fixed.range, meta, data).map(Some).ok_or_else(|| {
            let what =
                format!("record {} of the block does not read", block.fixed.count - self.left);
            (self.left, self.closed) = (0, true);
            MakError::corrupt(block.fixed.position, what)
        })
    }

    /// Shows one record of `block` after the other, for as long as the answer is [`Shown::Next`], up
    /// to the last one.
    #[inline]
    pub(in crate::mak) fn each(
        &mut self,
        block: &RecordsBlock<'_>,
        mut show: impl FnMut(Record<'_>) -> Shown,
    ) -> Result<Shown, MakError> {
        // A copy stays in registers.
        let mut at = *self;
        let shown = loop {
            let before = at;
            match at.step(block) {
                Ok(None) => break Shown::Next,
                Ok(Some(record)) => match show(record) {
                    Shown::Next if at.has_more() => {}
                    Shown::Keep => {
                        at = before;
                        break Shown::Keep;
                    }
                    shown => break shown,
                },
                Err(error) => {
                    *self = at;
                    return Err(error);
                }
            }
        };
        *self = at;
        Ok(shown)
    }

    fn close(&mut self, block: &RecordsBlock<'_>) -> Result<(), MakError> {
        let all_read = self.meta == block.meta.len() && self.data == block.data.len();
        if std::mem::replace(&mut self.closed, true) || all_read {
            return Ok(());
        }
        Err(MakError::corrupt(block.fixed.position, "bytes are left behind the last record"))
    }

    #[inline]
    fn record<'a>(
        &mut self,
        range: OffsetRange,
        mut meta: &'a [u8],
        mut data: &'a [u8],
    ) -> Option<Record<'a>> {
        let (meta_len, data_len) = (meta.len(), data.len());
        let [flags] = take_array(&mut meta)?;
        let has = |bit: u8| flags & bit != 0;
        if has(flag::RESERVED) {
            return None;
        }
        let hole = if has(flag::HOLE) { take(&mut meta)? } else { 0 };
        let offset = Offset::new(self.expected.checked_add(hole)?).ok()?;
        if !range.contains(offset) {
            return None;
        }
        let timestamp = self.timestamp(flags, &mut meta).ok()?;
        let key_len = if has(flag::KEY) { Some(take(&mut meta)?) } else { None };
        let value_len = if has(flag::VALUE) { Some(take(&mut meta)?) } else { None };
        let headers_len = if has(flag::HEADERS) { take(&mut meta)? } else { 0 };
        let mut part = |len: Option<u64>| match len {
            Some(len) => take_bytes(&mut data, len).map(Some),
            None => Some(None),
        };
        let (key, value) = (part(key_len)?, part(value_len)?);
        let headers = Headers::parse(take_bytes(&mut data, headers_len)?)?;
        self.meta += meta_len - meta.len();
        self.data += data_len - data.len();
        self.left -= 1;
        self.expected = offset.get() + 1;
        Some(Record { offset, timestamp, key, value, headers })
    }

    #[inline]
    fn timestamp(&mut self, flags: u8, meta: &mut &[u8]) -> Result<Option<Timestamp>, Malformed> {
        let same = flags & flag::SAME_TIME != 0;
        let kind = match flags & flag::TIME_TYPE {
            0 if same => return Err(Malformed),
            0 => return Ok(None),
            flag::CREATE_TIME => TimestampType::Create,
            flag::LOG_APPEND_TIME => TimestampType::LogAppend,
            _ => return Err(Malformed),
        };
        let delta = if same { 0 } else { unzigzag(take(meta).ok_or(Malformed)?) };
        self.previous_time = self.previous_time.wrapping_add(delta);
        Ok(Some(Timestamp { millis: self.previous_time, kind }))
    }
}

struct Malformed;
