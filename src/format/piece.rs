//! One unpacked frame of a file of any format, read record by record.

use std::ops::Range;

use super::jsonl::Whose;
use super::{avro, jsonl};
use crate::codec::Tail;
use crate::mak::v2::Finish;
use crate::mak::{self, HeadersBuf, MakError, Place, Record, Shown};
use crate::meta::FileMeta;
use crate::types::{Format, Offset, Timestamp, TopicPartition};

/// How a file's records are laid down, and whose they are.
#[derive(Debug, Clone)]
pub enum Content {
    /// MAK of this version.
    Mak(u8),
    /// Avro with these fields.
    Avro(avro::Shape),
    /// JSON lines: of this partition, or of the one that the first of them says.
    Jsonl(Option<TopicPartition>),
}

impl Content {
    /// Of the file with this metadata and tail; what is wrong otherwise.
    pub fn of(file: &FileMeta, tail: &Tail) -> Result<Self, String> {
        match file.suffix.format() {
            Format::Mak => Ok(Self::Mak(file.mak)),
            Format::Jsonl => Ok(Self::Jsonl(Some(file.identity.topic_partition()))),
            Format::Avro => {
                let head = tail.avro.as_ref().ok_or("it has no schema")?;
                avro::Shape::of(&head.schema).map(Self::Avro)
            }
        }
    }
}

/// Where a piece was cut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Whether it is the file's beginning.
    pub beginning: bool,
    /// Where in the unpacked file it begins.
    pub position: u64,
    /// The first offset that it covers.
    pub first: Offset,
}

/// A part of a file, in memory. It owns its bytes, and hands out one record after the other.
///
/// After an error there is nothing more.
#[derive(Debug)]
pub enum Piece {
    /// Of MAK.
    Mak(Box<mak::Piece>),
    /// Of another format.
    Other(Box<Other>),
}

impl Piece {
    /// Takes a piece.
    pub fn open(content: &Content, bytes: Vec<u8>, spot: Spot) -> Result<Self, MakError> {
        let decoder = match content {
            Content::Mak(version) => {
                let version = *version;
                let place = if spot.beginning {
                    Place::Beginning { version }
                } else {
                    Place::Behind { version, position: spot.position, first: spot.first }
                };
                return mak::Piece::open(bytes, place).map(|piece| Self::Mak(Box::new(piece)));
            }
            Content::Avro(shape) => {
                let (block, at) = avro::Block::open(shape, &bytes)?;
                let dense = !shape.has_offsets();
                return Ok(Self::Other(Box::new(Other::new(
                    Decoder::Avro { block, dense },
                    bytes,
                    at,
                    spot,
                ))));
            }
            Content::Jsonl(whose) => Decoder::Jsonl(Whose {
                topic: whose.as_ref().map(|tp| tp.topic.clone()),
                partition: whose.as_ref().map(|tp| tp.partition),
            }),
        };
        Ok(Self::Other(Box::new(Other::new(decoder, bytes, 0, spot))))
    }

    /// A MAK file's header, if this is its beginning.
    #[must_use]
    pub fn header(&self) -> Option<&mak::Header> {
        match self {
            Self::Mak(piece) => piece.header(),
            Self::Other(_) => None,
        }
    }

    /// How many records the piece says that it holds; all of them are known behind its end.
    #[must_use]
    pub fn records(&self) -> u64 {
        match self {
            Self::Mak(piece) => piece.records(),
            Self::Other(piece) => piece.records,
        }
    }

    /// How many records more an Avro block says that it holds; 0 for other formats.
    #[must_use]
    pub fn promised(&self) -> u64 {
        match self {
            Self::Other(piece) => match &piece.decoder {
                Decoder::Avro { block, .. } => block.left(),
                Decoder::Jsonl(_) => 0,
            },
            Self::Mak(_) => 0,
        }
    }

    /// Leaves an Avro block `records` records more; what stands behind them is not looked at.
    pub fn cut_to(&mut self, records: u64) {
        if let Self::Other(piece) = self
            && let Decoder::Avro { block, .. } = &mut piece.decoder
        {
            block.cut_to(records);
        }
    }

    /// How many parts that are not known here were passed over so far. They may hold records that
    /// nobody here can read.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        match self {
            Self::Mak(piece) => piece.passed_over(),
            Self::Other(_) => 0,
        }
    }

    /// Up to where the records of a MAK file are known, by the blocks that were read.
    #[must_use]
    pub fn covered_to(&self) -> Option<Offset> {
        match self {
            Self::Mak(piece) => piece.covered_to(),
            Self::Other(_) => None,
        }
    }

    /// The totals that a MAK file ends with, if they were met.
    #[must_use]
    pub fn finish(&self) -> Option<&Finish> {
        match self {
            Self::Mak(piece) => piece.finish(),
            Self::Other(_) => None,
        }
    }

    /// The bytes, for their memory to be used again.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Mak(piece) => piece.into_bytes(),
            Self::Other(piece) => piece.bytes,
        }
    }

    /// The next record; `None` at the piece's end.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, MakError> {
        match self {
            Self::Mak(piece) => piece.next_record(),
            Self::Other(piece) => piece.next_record(),
        }
    }

    /// Shows one record after the other, for as long as the answer is [`Shown::Next`]: the quickest
    /// way to read. Whether one was answered otherwise; if not, there is no more.
    #[inline]
    pub fn each(&mut self, mut show: impl FnMut(Record<'_>) -> Shown) -> Result<bool, MakError> {
        match self {
            Self::Mak(piece) => piece.each(show),
            Self::Other(piece) => {
                while piece.fill()? {
                    let shown = show(piece.slot.record());
                    piece.filled = shown == Shown::Keep;
                    if shown != Shown::Next {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Whether another record follows.
    pub fn has_more(&mut self) -> Result<bool, MakError> {
        match self {
            Self::Mak(piece) => piece.has_more(),
            Self::Other(piece) => piece.fill(),
        }
    }
}

/// One record, with bytes of its own that are used again for the next.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) offset: Offset,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) headers: HeadersBuf,
    /// Key and value, one behind the other.
    data: Vec<u8>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

impl Slot {
    /// Takes key and value.
    pub(super) fn put(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.data.clear();
        self.key = key.map(|bytes| self.append(bytes));
        self.value = value.map(|bytes| self.append(bytes));
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let at = self.data.len();
        self.data.extend_from_slice(bytes);
        at..self.data.len()
    }

    fn record(&self) -> Record<'_> {
        let part = |range: &Option<Range<usize>>| {
            range.clone().map(|range| self.data.get(range).unwrap_or_default())
        };
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: part(&self.key),
            value: part(&self.value),
            headers: self.headers.as_headers(),
        }
    }
}

#[derive(Debug)]
enum Decoder {
    Avro {
        block: avro::Block,
        /// Whether records don't say their offsets.
        dense: bool,
    },
    Jsonl(Whose),
}

/// A piece of Avro or JSON lines.
#[derive(Debug)]
pub struct Other {
    decoder: Decoder,
    bytes: Vec<u8>,
    position: u64,
    /// How much of `bytes` was read.
    at: usize,
    /// The lowest offset that may follow.
    next: Offset,
    slot: Slot,
    /// Whether `slot` holds the record that comes next.
    filled: bool,
    records: u64,
    failed: bool,
}

impl Other {
    fn new(decoder: Decoder, bytes: Vec<u8>, at: usize, spot: Spot) -> Self {
        Self {
            decoder,
            bytes,
            position: spot.position,
            at,
            next: spot.first,
            slot: Slot::default(),
            filled: false,
            records: 0,
            failed: false,
        }
    }

    /// Whose its lines are, as far as those that were read said so.
    pub(super) fn whose(&self) -> Whose {
        match &self.decoder {
            Decoder::Jsonl(whose) => whose.clone(),
            Decoder::Avro { .. } => Whose::default(),
        }
    }

    fn next_record(&mut self) -> Result<Option<Record<'_>>, MakError> {
        if !self.fill()? {
            return Ok(None);
        }
        self.filled = false;
        Ok(Some(self.slot.record()))
    }

    /// Makes sure that the next record is in the slot; `false` at the end.
    pub(super) fn fill(&mut self) -> Result<bool, MakError> {
        if self.filled || self.failed {
            return Ok(self.filled);
        }
        let at = self.at;
        match self.decode() {
            Ok(true) if self.slot.offset < self.next => {
                Err(self.fail(at, "the record's offset does not rise".to_owned()))
            }
            Ok(true) => {
                self.next = self.slot.offset.after();
                self.records += 1;
                self.filled = true;
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(what) => Err(self.fail(at, what)),
        }
    }

    fn fail(&mut self, at: usize, what: String) -> MakError {
        self.failed = true;
        MakError::Corrupt { position: self.position + at as u64, what: what.into() }
    }

    fn decode(&mut self) -> Result<bool, String> {
        self.slot.headers.clear();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match &mut self.decoder {
            Decoder::Avro { block, dense } => {
                if *dense {
                    self.slot.offset = self.next;
                }
                let mut left = rest;
                let taken = block.take(&mut left, &mut self.slot);
                self.at = self.bytes.len() - left.len();
                taken.ok_or_else(|| "the record does not read".to_owned())
            }
            Decoder::Jsonl(whose) => {
                let mut taken = 0;
                for line in rest.split_inclusive(|byte| *byte == b'\n') {
                    taken += line.len();
                    if line.iter().all(u8::is_ascii_whitespace) {
                        continue;
                    }
                    let said = jsonl::take(line, &mut self.slot)?;
                    self.at += taken;
                    return whose.learn(said).map(|()| true);
                }
                self.at = self.bytes.len();
                Ok(false)
            }
        }
    }
}
