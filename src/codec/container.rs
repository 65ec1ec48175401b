//! Whole containers: written frame by frame, and read from memory.

use std::io::{self, Write};

use super::frame::checked_raw_len;
use super::kind::Kind;
use super::tail::len_from_end;
use super::{
    AvroHead, BodyFacts, CodecError, Frame, FrameCodec, FrameInfo, Index, Level, MAX_FRAME, Tail,
    avro,
};
use crate::meta::MetaMap;
use crate::types::{AvroSchema, Offset, Suffix};

/// The head of a MAK version 2 file, which is all that a plain seal has for a body.
const MAK_HEAD: &[u8; 4] = b"MAK\x02";

/// Writes a container, frame by frame, to anything that can be written to.
///
/// Nothing of it is durable, or whole, before [`finish`](Self::finish) came back and the caller
/// synced what is below. After an error the output is of no use.
#[derive(Debug)]
pub struct ContainerWriter<W> {
    out: W,
    codec: FrameCodec,
    avro: Option<AvroHead>,
    packed: Vec<u8>,
    index: Index,
    crc: crc32fast::Hasher,
}

/// What [`ContainerWriter::finish`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The tail, from which others can be made for the same body.
    pub tail: Tail,
    /// Bytes of the whole container.
    pub len: u64,
}

impl<W: Write> ContainerWriter<W> {
    /// A container of the level's kind. One of Avro blocks begins with them: what
    /// [`finish`](Self::finish) writes is for [`Tail::around`] to put into shape.
    pub fn new(out: W, level: Level) -> Self {
        Self::avro(out, level, AvroSchema::Full, [0; 16])
    }

    /// The same, with what an Avro file has besides.
    pub fn avro(out: W, level: Level, schema: AvroSchema, sync: [u8; 16]) -> Self {
        let avro = level.avro_codec().map(|codec| AvroHead::new(schema, codec, sync));
        Self {
            out,
            codec: FrameCodec::with(level, avro.clone()),
            avro,
            packed: Vec::new(),
            index: Index::default(),
            crc: crc32fast::Hasher::new(),
        }
    }

    /// Packs `raw` and writes it as the next frame. Offsets never fall from frame to frame.
    pub fn frame(&mut self, raw: &[u8], info: FrameInfo) -> io::Result<()> {
        let raw_len = checked_raw_len(raw)?;
        if matches!(self.codec.kind(), Kind::Plain | Kind::Lines) {
            return self.append(raw, raw_len, info);
        }
        let mut packed = std::mem::take(&mut self.packed);
        self.codec.compress(raw, &mut packed)?;
        let appended = self.append(&packed, raw_len, info);
        self.packed = packed;
        appended
    }

    /// Writes as the next frame what some [`FrameCodec`] of the same kind made of `raw_len` bytes.
    pub fn append(&mut self, packed: &[u8], raw_len: u32, info: FrameInfo) -> io::Result<()> {
        let len = u32::try_from(packed.len()).map_err(|_| CodecError::TooLarge {
            what: "a frame",
            size: u64::try_from(packed.len()).unwrap_or(u64::MAX),
            limit: MAX_FRAME.into(),
        })?;
        self.index.push(len, raw_len, info)?;
        self.crc.update(packed);
        self.out.write_all(packed)
    }

    /// Bytes that were written so far.
    pub fn written(&self) -> u64 {
        self.index.body_len()
    }

    /// Writes the tail, flushes, and gives back what was written to.
    pub fn finish(mut self, meta: &MetaMap) -> io::Result<(W, Written)> {
        let body = BodyFacts { len: self.index.body_len(), crc: self.crc.finalize() };
        let tail = Tail { body, index: self.index, meta: meta.clone(), avro: self.avro };
        let bytes = tail.to_bytes(self.codec.kind())?;
        self.out.write_all(&bytes)?;
        self.out.flush()?;
        let len = body.len.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok((self.out, Written { tail, len }))
    }
}

/// A container that says `meta` and holds nothing: `zcat` and `zstdcat` print nothing of it, and a
/// plain one is a MAK file of version 2 without records. An Avro file without records, or a blank
/// line. As it stands in an archive.
pub fn seal(suffix: Suffix, at: Offset, meta: &MetaMap) -> io::Result<Vec<u8>> {
    let mut writer = ContainerWriter::new(Vec::new(), Level::new(suffix, None)?);
    if suffix == Suffix::Mak {
        writer.frame(MAK_HEAD, FrameInfo { first: at, records: 0, times: None })?;
    }
    let (bytes, Written { tail, .. }) = writer.finish(meta)?;
    match Kind::from(suffix) {
        Kind::Avro => Ok(tail.around(suffix)?.0),
        _ => Ok(bytes),
    }
}

/// So much of a body is verified between two calls of who wants to know.
const VERIFIED_AT_ONCE: usize = 4 << 20;

/// A container that lies in memory as a whole.
#[derive(Debug, Clone)]
pub struct Container<'a> {
    kind: Kind,
    body: &'a [u8],
    tail: Tail,
}

impl<'a> Container<'a> {
    /// Reads the tail, and checks that it belongs to as many bytes as there are. The body's own
    /// bytes are not looked at: see [`verify_body`](Self::verify_body).
    pub fn parse(kind: impl Into<Kind>, bytes: &'a [u8]) -> Result<Self, CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("the end of the container");
        let kind = kind.into();
        if kind == Kind::Avro && bytes.starts_with(avro::MAGIC) {
            return Self::parse_avro(bytes);
        }
        let len = len_from_end(kind, bytes)?;
        let at = bytes.len().checked_sub(len).ok_or(CORRUPT)?;
        let (body, tail) = bytes.split_at_checked(at).ok_or(CORRUPT)?;
        let object_len = u64::try_from(bytes.len()).map_err(|_| CORRUPT)?;
        Ok(Self { kind, body, tail: Tail::parse(kind, object_len, tail)? })
    }

    /// An Avro file as it stands in an archive.
    fn parse_avro(bytes: &'a [u8]) -> Result<Self, CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("the header of the Avro file");
        let at = avro::header_len(bytes)?;
        let (header, body) = bytes.split_at_checked(at).ok_or(CORRUPT)?;
        let object_len = u64::try_from(bytes.len()).map_err(|_| CORRUPT)?;
        let tail = avro::parse_header(object_len, header)?;
        Ok(Self { kind: Kind::Avro, body, tail })
    }

    /// The kind of container.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The packed bytes of all frames.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// What the tail says.
    #[must_use]
    pub const fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The packed bytes of one frame of this container's index.
    #[must_use]
    pub fn frame(&self, frame: &Frame) -> Option<&'a [u8]> {
        let range = frame.range();
        let place = |at: u64| usize::try_from(at.checked_sub(self.tail.index.begins())?).ok();
        self.body.get(place(range.start)?..place(range.end)?)
    }

    /// That the body has the checksum that the tail says. Reads all of it.
    pub fn verify_body(&self) -> Result<(), CodecError> {
        self.verify_body_in_steps(|| ())
    }

    /// The same; calls `passed` now and then, for who maps the file and gives back what was read.
    pub fn verify_body_in_steps(&self, passed: impl Fn()) -> Result<(), CodecError> {
        let mut crc = crc32fast::Hasher::new();
        for step in self.body.chunks(VERIFIED_AT_ONCE) {
            crc.update(step);
            passed();
        }
        if crc.finalize() == self.tail.body.crc {
            Ok(())
        } else {
            Err(CodecError::Corrupt("the container's body"))
        }
    }
}
