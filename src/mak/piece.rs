//! Reads a part of a file: its beginning, or what follows a cut between two blocks (version 2) or
//! two records (version 1). So a file is read from the middle, as the frames of a container allow.
//!
//! Guarantees: a record is handed out only from a block whose checksum is right (version 1 has
//! none); offsets rise; what the piece's beginning says must agree with what the caller was told.
//! Anything else is an error with its position in the whole file, and nothing more follows it.

use std::ops::Range;

use super::v2::{Block, Blocks, Cursor, Finish, Fixed, HEAD_LEN, Kind, Sequence};
use super::{FileHeader, Header, Headers, MakError, Record, v1, varint};
use crate::types::Offset;

/// Where a piece was cut out, and what it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The beginning of a file of this version, with its head.
    Beginning {
        /// Version of the format: 1 or 2.
        version: u8,
    },
    /// From a place behind the head of a file of this version.
    Behind {
        /// Version of the format: 1 or 2.
        version: u8,
        /// Where in the file the piece begins.
        position: u64,
        /// The first offset that it covers.
        first: Offset,
    },
}

/// What becomes of a record that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It was read; show the next one.
    Next,
    /// It was read, and is enough for now.
    Last,
    /// It was not read: it comes next again.
    Keep,
}

/// A part of a file, in memory. It owns its bytes, and hands out records borrowed from them.
#[derive(Debug)]
pub struct Piece {
    bytes: Vec<u8>,
    /// Where the piece begins in the file.
    position: u64,
    /// What of `bytes` was not looked at yet.
    rest: Range<usize>,
    header: Option<Header>,
    /// Records of the blocks that were begun (version 2), or that were handed out (version 1).
    records: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    V1 {
        next: Offset,
    },
    V2 {
        sequence: Sequence,
        block: Option<(Fixed, Cursor, Range<usize>)>,
        unknown: u64,
        finish: Option<Box<Finish>>,
    },
    /// Nothing follows: there was an error.
    Failed,
}

impl Piece {
    /// Takes a piece, and reads the head if it is the file's beginning.
    pub fn open(bytes: Vec<u8>, place: Place) -> Result<Self, MakError> {
        let rest = 0..bytes.len();
        let new = |position, state| Self { bytes, position, rest, header: None, records: 0, state };
        let v2 = |sequence| State::V2 { sequence, block: None, unknown: 0, finish: None };
        match place {
            Place::Beginning { version: 1 } => new(0, State::V1 { next: Offset::ZERO }).v1_head(),
            Place::Beginning { version: 2 } => new(0, v2(Sequence::default())).v2_head(),
            Place::Behind { version: 1, position, first } => {
                Ok(new(position, State::V1 { next: first }))
            }
            Place::Behind { version: 2, position, first } => {
                Ok(new(position, v2(Sequence::from_the_middle(first))))
            }
            Place::Beginning { version } | Place::Behind { version, .. } => {
                Err(MakError::Version(version))
            }
        }
    }

    /// The file's header, if this is its beginning.
    #[must_use]
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// How many records the piece says that it holds; all of them are known behind its end.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// How many blocks of kinds that are not known here were passed over so far. They may hold
    /// records that nobody here can read.
    #[must_use]
    pub const fn passed_over(&self) -> u64 {
        match self.state {
            State::V2 { unknown, .. } => unknown,
            State::V1 { .. } | State::Failed => 0,
        }
    }

    /// Where the range of the blocks that were begun so far ends; `None` for version 1, which does
    /// not tell.
    #[must_use]
    pub const fn covered_to(&self) -> Option<Offset> {
        match &self.state {
            State::V2 { sequence, .. } => sequence.next(),
            State::V1 { .. } | State::Failed => None,
        }
    }

    /// The finish block, if it was there so far.
    #[must_use]
    pub fn finish(&self) -> Option<&Finish> {
        match &self.state {
            State::V2 { finish, .. } => finish.as_deref(),
            State::V1 { .. } | State::Failed => None,
        }
    }

    /// The bytes, for their memory to be used again.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The next record; `None` at the piece's end.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, MakError> {
        if !self.has_more()? {
            return Ok(None);
        }
        match &mut self.state {
            State::V1 { next } => {
                let from = self.position + self.rest.start as u64;
                match v1_record(&self.bytes, &mut self.rest, *next, from) {
                    Ok(record) => {
                        *next = record.offset.after();
                        self.records += 1;
                        Ok(Some(record))
                    }
                    Err(error) => {
                        self.state = State::Failed;
                        Err(error)
                    }
                }
            }
            State::V2 { block: Some((fixed, cursor, payload)), .. } => {
                let payload = self.bytes.get(payload.clone()).unwrap_or_default();
                match cursor.step(&fixed.over(payload)) {
                    Err(error) => {
                        self.state = State::Failed;
                        Err(error)
                    }
                    record => record,
                }
            }
            State::V2 { block: None, .. } | State::Failed => Ok(None),
        }
    }

    /// Shows one record after the other, for as long as the answer is [`Shown::Next`]: the quickest
    /// way to read. Whether one was answered otherwise; if not, there is no more.
    #[inline]
    pub fn each(&mut self, mut show: impl FnMut(Record<'_>) -> Shown) -> Result<bool, MakError> {
        while self.has_more()? {
            let shown = match &mut self.state {
                State::V1 { next } => {
                    let (from, mut rest) =
                        (self.position + self.rest.start as u64, self.rest.clone());
                    v1_record(&self.bytes, &mut rest, *next, from).map(|record| {
                        let after = record.offset.after();
                        let shown = show(record);
                        if shown != Shown::Keep {
                            (*next, self.rest) = (after, rest);
                            self.records += 1;
                        }
                        shown
                    })
                }
                State::V2 { block: Some((fixed, cursor, payload)), .. } => {
                    let payload = self.bytes.get(payload.clone()).unwrap_or_default();
                    cursor.each(&fixed.over(payload), &mut show)
                }
                State::V2 { block: None, .. } | State::Failed => return Ok(false),
            };
            match shown {
                Ok(Shown::Next) => {}
                Ok(Shown::Last | Shown::Keep) => return Ok(true),
                Err(error) => {
                    self.state = State::Failed;
                    return Err(error);
                }
            }
        }
        Ok(false)
    }

    /// Whether another record follows: goes on to the next block that holds one.
    pub fn has_more(&mut self) -> Result<bool, MakError> {
        loop {
            match &self.state {
                State::Failed => return Ok(false),
                State::V1 { .. } => return Ok(!self.rest.is_empty()),
                State::V2 { block: Some((_, cursor, _)), .. } if cursor.has_more() => {
                    return Ok(true);
                }
                State::V2 { .. } => match self.next_block() {
                    Ok(true) => {}
                    Ok(false) => return Ok(false),
                    Err(error) => {
                        self.state = State::Failed;
                        return Err(error);
                    }
                },
            }
        }
    }

    /// Reads one block; `false` at the end.
    fn next_block(&mut self) -> Result<bool, MakError> {
        let State::V2 { sequence, block, unknown, finish: end } = &mut self.state else {
            return Ok(false);
        };
        if let Some((fixed, mut cursor, payload)) = block.take() {
            let payload = self.bytes.get(payload).unwrap_or_default();
            cursor.step(&fixed.over(payload))?;
        }
        let Some(found) = take_block(&self.bytes, &mut self.rest, self.position)? else {
            return Ok(false);
        };
        let position = found.position();
        let refuse = |what| MakError::corrupt(position, what);
        match found.kind() {
            Kind::Records => {
                let fixed = Fixed::parse(found.payload(), position)?;
                sequence.records_block(fixed.range, fixed.count()).map_err(refuse)?;
                self.records += fixed.count();
                let payload = self.rest.start - found.payload().len()..self.rest.start;
                *block = Some((fixed, Cursor::new(&fixed), payload));
            }
            Kind::Finish => {
                let finish: Finish = found.finish()?;
                sequence.finish(&finish).map_err(refuse)?;
                *end = Some(Box::new(finish));
            }
            Kind::Header => return Err(refuse("a second header")),
            Kind::Index | Kind::Meta | Kind::End => {}
            Kind::Other(_) => {
                sequence.other(found.kind()).map_err(refuse)?;
                *unknown += 1;
            }
        }
        Ok(true)
    }

    fn v2_head(mut self) -> Result<Self, MakError> {
        if !self.bytes.starts_with(&super::v2::MAGIC) {
            return Err(MakError::Foreign("it does not begin with \"MAK\" and the byte 2"));
        }
        self.rest.start = super::v2::MAGIC.len();
        let block = take_block(&self.bytes, &mut self.rest, 0)?;
        let block = block.ok_or(MakError::Torn { position: 4, what: "the header" })?;
        let header: FileHeader = block.header()?;
        if let State::V2 { sequence, .. } = &mut self.state {
            sequence.header(header.start).map_err(|what| MakError::corrupt(4, what))?;
        }
        self.header = Some(Header::V2(header));
        Ok(self)
    }

    fn v1_head(mut self) -> Result<Self, MakError> {
        let torn = MakError::Torn { position: 0, what: "the file's head" };
        if !self.bytes.starts_with(&v1::MAGIC) {
            return Err(MakError::Foreign("it does not begin with \"MAK\" and the byte 0"));
        }
        let mut rest = self.bytes.get(11..).unwrap_or_default();
        let end = varint::take_array(&mut rest).map(u64::from_be_bytes);
        let len = varint::take_array(&mut rest).map(u64::from_be_bytes);
        let (Some(end), Some(len)) = (end, len) else { return Err(torn) };
        let json = varint::take_bytes(&mut rest, len).ok_or(torn)?;
        let header = v1::Header::from_json(json)
            .map_err(|why| MakError::corrupt(v1::JSON_AT, format!("header: {why}")))?;
        let records = self.bytes.len() - rest.len();
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.bytes.len());
        if end < records {
            return Err(MakError::corrupt(11, "the end pointer lies inside the head"));
        }
        self.rest = records..end;
        self.state = State::V1 { next: header.start };
        self.header = Some(Header::V1(header));
        Ok(self)
    }
}

/// The block at the beginning of `rest`, which then begins behind it; `None` at the end.
fn take_block<'a>(
    bytes: &'a [u8],
    rest: &mut Range<usize>,
    position: u64,
) -> Result<Option<Block<'a>>, MakError> {
    let left = bytes.get(rest.clone()).unwrap_or_default();
    let block = Blocks::at(left, position + rest.start as u64).next().transpose()?;
    if let Some(block) = &block {
        rest.start += block.payload().len() + HEAD_LEN;
    }
    Ok(block)
}

/// The record at the beginning of `rest`, which then begins behind it.
fn v1_record<'a>(
    bytes: &'a [u8],
    rest: &mut Range<usize>,
    next: Offset,
    position: u64,
) -> Result<Record<'a>, MakError> {
    let mut left = bytes.get(rest.clone()).unwrap_or_default();
    let mut part = || {
        let len = u64::from_be_bytes(varint::take_array(&mut left)?);
        varint::take_bytes(&mut left, len)
    };
    let torn = || MakError::Torn { position, what: "the record" };
    let (key, value) = (part().ok_or_else(torn)?, part().ok_or_else(torn)?);
    let offset = u64::from_be_bytes(varint::take_array(&mut left).ok_or_else(torn)?);
    let offset = Offset::new(offset).map_err(|e| MakError::corrupt(position, e.to_string()))?;
    if offset < next {
        return Err(MakError::corrupt(position, "the record's offset does not rise"));
    }
    rest.start = rest.end - left.len();
    let (key, value) = (Some(key), Some(value));
    Ok(Record { offset, timestamp: None, key, value, headers: Headers::NONE })
}
