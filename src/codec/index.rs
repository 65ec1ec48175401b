//! The table of a container's frames: where each is, and which offsets and times it holds.
//!
//! Some 15 bytes a frame on the wire. Frames follow each other without holes from the container's
//! first byte, and their first offsets never fall; times may lie in any order.

use std::ops::Range;

use super::wire::{Cursor, put_varint, put_zigzag};
use super::{CodecError, MAX_FRAME};
use crate::types::Offset;

const VERSION: u8 = 1;
/// Bytes that the shortest possible entry has.
const SHORTEST_ENTRY: usize = 4;

/// What the maker of a frame says of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameInfo {
    /// First offset that it covers.
    pub first: Offset,
    /// How many records it holds.
    pub records: u32,
    /// Lowest and highest timestamp of its records; `None` without any.
    pub times: Option<(i64, i64)>,
}

/// One frame of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where it starts in the container.
    pub at: u64,
    /// Its packed length.
    pub len: u32,
    /// Its unpacked length: the limit for [`FrameCodec::decompress`](super::FrameCodec).
    pub raw_len: u32,
    /// What it holds.
    pub info: FrameInfo,
}

impl Frame {
    /// The bytes of the container that it takes.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.at..self.at.saturating_add(self.len.into())
    }
}

/// The frames of a container, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    frames: Vec<Frame>,
    /// Where the first frame starts in the container: behind an Avro file's header.
    begins: u64,
}

impl Index {
    /// All frames.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Bytes of all frames as they are packed.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.end() - self.begins
    }

    /// Where the first frame starts in the container.
    #[must_use]
    pub const fn begins(&self) -> u64 {
        self.begins
    }

    /// Where the last frame ends.
    fn end(&self) -> u64 {
        self.frames.last().map_or(self.begins, |frame| frame.range().end)
    }

    /// The same frames with `len` bytes before them.
    pub(super) fn moved_by(mut self, len: u64) -> Self {
        for frame in &mut self.frames {
            frame.at = frame.at.saturating_add(len);
        }
        self.begins = self.begins.saturating_add(len);
        self
    }

    /// Bytes of all frames when unpacked.
    #[must_use]
    pub fn raw_len(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.raw_len)).sum()
    }

    /// The frame that covers `offset` and all behind it. An offset below the first frame gives all
    /// frames; one behind the last gives the last, for the index doesn't know where that ends.
    #[must_use]
    pub fn frames_from_offset(&self, offset: Offset) -> &[Frame] {
        let behind = self.frames.partition_point(|frame| frame.info.first <= offset);
        self.frames.get(behind.saturating_sub(1)..).unwrap_or_default()
    }

    /// The first frame with a record at or after `millis`, and all behind it.
    #[must_use]
    pub fn frames_from_time(&self, millis: i64) -> &[Frame] {
        let reaches = |frame: &Frame| frame.info.times.is_some_and(|(_, max)| max >= millis);
        let from = self.frames.iter().position(reaches).unwrap_or(self.frames.len());
        self.frames.get(from..).unwrap_or_default()
    }

    /// The frame that holds the first record at or after `millis`; `None` if there is none.
    #[must_use]
    pub fn frame_at_time(&self, millis: i64) -> Option<&Frame> {
        self.frames_from_time(millis).first()
    }

    /// Appends a frame; an error if it can't follow those that are there.
    pub(super) fn push(
        &mut self,
        len: u32,
        raw_len: u32,
        info: FrameInfo,
    ) -> Result<(), CodecError> {
        let at = self.end();
        let previous = self.frames.last().map_or(Offset::ZERO, |frame| frame.info.first);
        if info.first < previous {
            let (first, previous) = (info.first.get(), previous.get());
            return Err(CodecError::Order { first, previous });
        }
        let disordered = info.times.is_some_and(|(min, max)| min > max);
        let ends = at.checked_add(len.into());
        if len == 0 || raw_len > MAX_FRAME || disordered || ends.is_none() {
            return Err(CodecError::Corrupt("a frame's entry of the index"));
        }
        self.frames.push(Frame { at, len, raw_len, info });
        Ok(())
    }

    /// The bytes of the index stream.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * (self.frames.len() + 1));
        out.push(VERSION);
        // Lossless: `usize` has at most 64 bits wherever this is built.
        put_varint(&mut out, u64::try_from(self.frames.len()).unwrap_or(u64::MAX));
        let (mut first, mut time) = (0, 0);
        for Frame { len, raw_len, info, .. } in &self.frames {
            put_varint(&mut out, (*len).into());
            put_varint(&mut out, (*raw_len).into());
            put_varint(&mut out, info.first.get() - first);
            put_varint(&mut out, u64::from(info.records) << 1 | u64::from(info.times.is_some()));
            if let Some((min, max)) = info.times {
                put_zigzag(&mut out, min.wrapping_sub(time));
                put_varint(&mut out, max.wrapping_sub(min).cast_unsigned());
                time = min;
            }
            first = info.first.get();
        }
        out
    }

    /// Reads the index stream.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut cursor = Cursor::new(bytes, "the index");
        match cursor.byte()? {
            VERSION => {}
            other => return Err(CodecError::Version(other)),
        }
        let count = usize::try_from(cursor.varint()?).map_err(|_| cursor.corrupt())?;
        if count > cursor.remaining() / SHORTEST_ENTRY {
            return Err(cursor.corrupt());
        }
        let mut index = Self { frames: Vec::with_capacity(count), begins: 0 };
        let (mut first, mut time) = (0, 0);
        for _ in 0..count {
            index.decode_entry(&mut cursor, &mut first, &mut time)?;
        }
        cursor.end()?;
        Ok(index)
    }

    fn decode_entry(
        &mut self,
        cursor: &mut Cursor<'_>,
        first: &mut u64,
        time: &mut i64,
    ) -> Result<(), CodecError> {
        let (len, raw_len) = (cursor.varint32()?, cursor.varint32()?);
        *first = first.checked_add(cursor.varint()?).ok_or_else(|| cursor.corrupt())?;
        let records = cursor.varint()?;
        let mut times = None;
        if records & 1 == 1 {
            *time = time.wrapping_add(cursor.zigzag()?);
            let max = time.checked_add_unsigned(cursor.varint()?);
            times = Some((*time, max.ok_or_else(|| cursor.corrupt())?));
        }
        let info = FrameInfo {
            first: Offset::new(*first).map_err(|_| cursor.corrupt())?,
            records: u32::try_from(records >> 1).map_err(|_| cursor.corrupt())?,
            times,
        };
        self.push(len, raw_len, info)
    }
}
