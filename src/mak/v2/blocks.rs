//! Blocks as such: their twelve-byte head, kinds, and the walk over bytes in memory.

use super::records::RecordsBlock;
use super::{Finish, MAGIC};
use crate::mak::varint::take_array;
use crate::mak::{FileHeader, MakError};

/// Length of a block's head.
pub(in crate::mak) const HEAD_LEN: usize = 12;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// H: the file's header, JSON.
    Header,
    /// R: records.
    Records,
    /// F: the file is complete.
    Finish,
    /// I: index of a plain file's tail.
    Index,
    /// M: metadata of a plain file's tail.
    Meta,
    /// E: end of a plain file's tail.
    End,
    /// Of a later version; a reader says so and goes on behind it.
    Other(u8),
}

impl Kind {
    /// The byte that stands for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Records => 2,
            Self::Finish => 3,
            Self::Index => 4,
            Self::Meta => 5,
            Self::End => 6,
            Self::Other(code) => code,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Header,
            2 => Self::Records,
            3 => Self::Finish,
            4 => Self::Index,
            5 => Self::Meta,
            6 => Self::End,
            other => Self::Other(other),
        }
    }
}

/// How long a block with such a payload is.
#[must_use]
pub const fn block_len(payload: usize) -> usize {
    HEAD_LEN + payload
}

/// Appends a whole block.
///
/// # Panics
/// If the payload is 4 GiB long or more; only records grow, and those have a builder that checks.
pub fn write_block(kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    let mut start = [kind.code(), 0, 0, 0, 0, 0, 0, 0];
    let length = u32::try_from(payload.len()).expect("a block's payload is less than 4 GiB");
    start[4..].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&start);
    out.extend_from_slice(&checksum(start, payload).to_be_bytes());
    out.extend_from_slice(payload);
}

fn checksum(start: [u8; 8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&start);
    crc.update(payload);
    crc.finalize()
}

/// The head of a block, parsed.
#[derive(Debug, Clone, Copy)]
pub(in crate::mak) struct BlockHead {
    pub(in crate::mak) kind: Kind,
    pub(in crate::mak) payload: u32,
    start: [u8; 8],
    crc: u32,
}

impl BlockHead {
    /// Takes the head apart; the error says what is impossible about it.
    pub(in crate::mak) fn parse(bytes: [u8; HEAD_LEN]) -> Result<Self, &'static str> {
        let [kind, zero @ .., l0, l1, l2, l3, c0, c1, c2, c3] = bytes;
        if kind == 0 || zero != [0; 3] {
            return Err("no block begins here");
        }
        Ok(Self {
            kind: Kind::from_code(kind),
            payload: u32::from_be_bytes([l0, l1, l2, l3]),
            start: [kind, 0, 0, 0, l0, l1, l2, l3],
            crc: u32::from_be_bytes([c0, c1, c2, c3]),
        })
    }

    /// A checksum that has seen the head and waits for the payload.
    pub(in crate::mak) fn hasher(&self) -> crc32fast::Hasher {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.start);
        crc
    }

    /// Whether `crc`, which has seen head and payload, comes to what the head says.
    pub(in crate::mak) fn accepts(&self, crc: crc32fast::Hasher) -> bool {
        crc.finalize() == self.crc
    }
}

/// A whole block whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    kind: Kind,
    position: u64,
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// What it holds.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it begins in the file.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Where it ends in the file.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }

    /// All of it, for a verbatim copy.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEAD_LEN..).unwrap_or_default()
    }

    /// Its payload as records; an error if it is of another kind or does not read.
    pub fn records(&self) -> Result<RecordsBlock<'a>, MakError> {
        self.expect(Kind::Records)?;
        RecordsBlock::parse(self.payload(), self.position)
    }

    /// Its payload as the file's header; an error if it is of another kind or does not read.
    pub fn header(&self) -> Result<FileHeader, MakError> {
        self.expect(Kind::Header)?;
        FileHeader::from_json(self.payload())
            .map_err(|why| MakError::corrupt(self.position, format!("header: {why}")))
    }

    /// Its payload as the file's totals; an error if it is of another kind or does not read.
    pub fn finish(&self) -> Result<Finish, MakError> {
        self.expect(Kind::Finish)?;
        Finish::from_payload(self.payload())
            .ok_or_else(|| MakError::corrupt(self.position, "finish block does not read"))
    }

    fn expect(&self, kind: Kind) -> Result<(), MakError> {
        if self.kind == kind {
            return Ok(());
        }
        let what = format!("a block of kind {kind:?} is expected, not {:?}", self.kind);
        Err(MakError::corrupt(self.position, what))
    }
}

/// Walks over blocks in memory; ends behind the last one, or with the first error.
///
/// Each block's checksum is verified before it is handed out. Whether blocks follow each other
/// rightly is not looked at here; [`recover`](super::recover) and [`Reader`](crate::mak::Reader) do.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    rest: &'a [u8],
    position: u64,
}

impl<'a> Blocks<'a> {
    /// Over a whole file, whose magic is checked.
    pub fn of_file(bytes: &'a [u8]) -> Result<Self, MakError> {
        match bytes.strip_prefix(&MAGIC) {
            Some(rest) => Ok(Self { rest, position: MAGIC.len() as u64 }),
            None => Err(MakError::Foreign("it does not begin with \"MAK\" and the byte 2")),
        }
    }

    /// Over blocks cut out of a file at `position`, where a block begins.
    #[must_use]
    pub const fn at(bytes: &'a [u8], position: u64) -> Self {
        Self { rest: bytes, position }
    }

    /// Where the next block begins; behind an error: where the bad one does.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    fn step(&mut self) -> Result<Block<'a>, MakError> {
        let position = self.position;
        let torn = || MakError::Torn { position, what: "the block" };
        let mut rest = self.rest;
        let head = BlockHead::parse(take_array(&mut rest).ok_or_else(torn)?)
            .map_err(|what| MakError::corrupt(position, what))?;
        let len = usize::try_from(head.payload).ok().and_then(|n| n.checked_add(HEAD_LEN));
        let (bytes, rest) = len.and_then(|len| self.rest.split_at_checked(len)).ok_or_else(torn)?;
        let block = Block { kind: head.kind, position, bytes };
        let mut crc = head.hasher();
        crc.update(block.payload());
        if !head.accepts(crc) {
            return Err(MakError::corrupt(position, "the block's checksum is wrong"));
        }
        self.rest = rest;
        self.position = block.end();
        Ok(block)
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, MakError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.rest = &[];
        }
        Some(step)
    }
}
