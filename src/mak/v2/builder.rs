//! Packs records into R blocks. The hottest code of the product: no allocation a record.

use std::io::IoSlice;

use super::blocks::{HEAD_LEN, Kind};
use super::finish::times;
use super::records::{FIXED_LEN, flag};
use crate::mak::{MakError, Record, varint};
use crate::types::{Offset, Timestamp, TimestampType};

/// The most that meta and data may take together; the payload's length has 32 bits.
const ROOM: usize = u32::MAX as usize - FIXED_LEN - MOST_META;
/// More than the meta part of one record can take: flags and five numbers.
const MOST_META: usize = 64;

const fn bit(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

/// Collects the records of one block, then hands the block out in three slices for one vectored
/// write. Used again and again, it keeps its memory.
///
/// ```
/// # use kafkatos3::{mak::{v2::BlockBuilder, Headers, Record}, types::Offset};
/// # let at = |n| Offset::new(n).unwrap();
/// let mut block = BlockBuilder::new(at(100));
/// let value = Some(b"hello".as_slice());
/// block.push(&Record { offset: at(103), timestamp: None, key: None, value, headers: Headers::NONE })?;
/// let slices = block.finish(at(110))?; // 104 to 109 are known to hold nothing
/// assert_eq!(slices.iter().map(|s| s.len()).sum::<usize>(), 52 + 3 + 5);
/// block.reset(at(110));
/// # Ok::<(), kafkatos3::mak::MakError>(())
/// ```
#[derive(Debug)]
pub struct BlockBuilder {
    start: u64,
    next: u64,
    count: u32,
    previous_time: i64,
    min_time: i64,
    max_time: i64,
    header_overhead: u64,
    meta: Vec<u8>,
    data: Vec<u8>,
    head: [u8; HEAD_LEN + FIXED_LEN],
}

impl BlockBuilder {
    /// A block whose range begins at `start`, whatever the offset of its first record.
    #[must_use]
    pub fn new(start: Offset) -> Self {
        let mut new = Self {
            start: 0,
            next: 0,
            count: 0,
            previous_time: 0,
            min_time: 0,
            max_time: 0,
            header_overhead: 0,
            meta: Vec::new(),
            data: Vec::new(),
            head: [0; HEAD_LEN + FIXED_LEN],
        };
        new.reset(start);
        new
    }

    /// Makes room for `bytes` of keys, values and headers at once, which is cheaper than bit by bit,
    /// and takes no more than that.
    pub fn make_room(&mut self, bytes: usize) {
        self.data.reserve_exact(bytes.saturating_sub(self.data.len()));
    }

    /// Gives memory back beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.meta.shrink_to(bytes);
        self.data.shrink_to(bytes);
    }

    /// Begins a further block at `start`; keeps the memory of the one before.
    pub fn reset(&mut self, start: Offset) {
        self.start = start.get();
        self.next = start.get();
        self.count = 0;
        self.previous_time = 0;
        self.min_time = i64::MAX;
        self.max_time = i64::MIN;
        self.header_overhead = 0;
        self.meta.clear();
        self.data.clear();
    }

    /// Appends a record. Its offset is the one that is expected next, or a higher one.
    /// After an error the block is as it was.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), MakError> {
        let offset = record.offset.get();
        let hole = offset.wrapping_sub(self.next);
        // Catches both a lower offset (the difference wraps) and the highest of all.
        if hole >= i64::MAX.cast_unsigned() - self.next {
            return Err(MakError::Order { offset, expected: self.next });
        }
        let key = record.key.unwrap_or_default();
        let value = record.value.unwrap_or_default();
        let headers = record.headers.encoded();
        let grows = key.len().saturating_add(value.len()).saturating_add(headers.len());
        if self.len() > ROOM.saturating_sub(grows) {
            return Err(MakError::Full);
        }
        let (time_flags, time_delta) = self.note_time(record.timestamp);
        let meta = &mut self.meta;
        meta.reserve(MOST_META);
        meta.push(
            time_flags
                | bit(hole != 0, flag::HOLE)
                | bit(record.key.is_some(), flag::KEY)
                | bit(record.value.is_some(), flag::VALUE)
                | bit(!headers.is_empty(), flag::HEADERS),
        );
        if hole != 0 {
            varint::put(meta, hole);
        }
        if time_delta != 0 {
            varint::put(meta, varint::zigzag(time_delta));
        }
        if record.key.is_some() {
            varint::put(meta, key.len() as u64);
        }
        if record.value.is_some() {
            varint::put(meta, value.len() as u64);
        }
        self.data.reserve(grows);
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
        if !headers.is_empty() {
            varint::put(meta, headers.len() as u64);
            self.data.extend_from_slice(headers);
            self.header_overhead += headers.len() as u64 - record.headers.content_bytes();
        }
        self.next = offset + 1;
        self.count += 1;
        Ok(())
    }

    /// Takes a timestamp into account: its flags, and its difference to the one before.
    #[inline]
    fn note_time(&mut self, timestamp: Option<Timestamp>) -> (u8, i64) {
        let Some(Timestamp { millis, kind }) = timestamp else { return (0, 0) };
        let delta = millis.wrapping_sub(self.previous_time);
        self.previous_time = millis;
        self.min_time = self.min_time.min(millis);
        self.max_time = self.max_time.max(millis);
        let kind = match kind {
            TimestampType::Create => flag::CREATE_TIME,
            TimestampType::LogAppend => flag::LOG_APPEND_TIME,
        };
        (kind | bit(delta == 0, flag::SAME_TIME), delta)
    }

    fn len(&self) -> usize {
        self.meta.len() + self.data.len()
    }

    /// How long the block would be if it were finished now.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        HEAD_LEN + FIXED_LEN + self.len()
    }

    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.count.into()
    }

    /// Bytes of the keys, values, header names and header values in it.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.data.len() as u64 - self.header_overhead
    }

    /// Lowest and highest timestamp in it.
    #[must_use]
    pub fn times(&self) -> Option<(i64, i64)> {
        times(self.min_time, self.max_time)
    }

    /// Where its range begins.
    #[must_use]
    pub fn start(&self) -> Offset {
        Offset::new(self.start).unwrap_or_default()
    }

    /// The lowest offset that may follow: behind the last record, or the start of the range.
    #[must_use]
    pub fn next(&self) -> Offset {
        Offset::new(self.next).unwrap_or_default()
    }

    /// Completes the block over `[start, next)`, where `next` lies behind the last record (higher
    /// if the offsets between are known to hold nothing). The slices are the block, in order;
    /// writing them is the caller's. Call [`reset`](Self::reset) before the next record.
    pub fn finish(&mut self, next: Offset) -> Result<[IoSlice<'_>; 3], MakError> {
        let next = next.get();
        if next < self.next {
            return Err(MakError::Order { offset: next, expected: self.next });
        }
        if next == self.start {
            return Err(MakError::Empty { start: self.start, next });
        }
        let length = |n: usize| u32::try_from(n).map_err(|_| MakError::Full);
        let (payload, meta) = (length(FIXED_LEN + self.len())?, length(self.meta.len())?);
        let head = &mut self.head;
        head[0] = Kind::Records.code();
        head[4..8].copy_from_slice(&payload.to_be_bytes());
        head[12..20].copy_from_slice(&self.start.to_be_bytes());
        head[20..28].copy_from_slice(&next.to_be_bytes());
        head[28..32].copy_from_slice(&self.count.to_be_bytes());
        head[32..40].copy_from_slice(&self.min_time.to_be_bytes());
        head[40..48].copy_from_slice(&self.max_time.to_be_bytes());
        head[48..52].copy_from_slice(&meta.to_be_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[..8]);
        crc.update(&head[HEAD_LEN..]);
        crc.update(&self.meta);
        crc.update(&self.data);
        head[8..12].copy_from_slice(&crc.finalize().to_be_bytes());
        Ok([IoSlice::new(&self.head), IoSlice::new(&self.meta), IoSlice::new(&self.data)])
    }
}
