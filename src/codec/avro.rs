//! Avro object container files: frames are their blocks, and the tail stands in their header.
//!
//! A block is a count and a length (zigzag varints), packed bytes, and the file's sync marker. What
//! a frame unpacks to is the count, as it stands there, and the unpacked bytes; so packing and
//! unpacking need nothing but the frame.
//!
//! The header is known last, for it holds the index. So a container is written with its tail
//! behind its blocks, as the others are, and laid down anew with the header in front when it is
//! published: [`Tail::around`](super::Tail::around).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Decompress, FlushDecompress, Status};

use super::gzip::Deflater;
use super::kind::Kind;
use super::tail::{End, Tail, checked_tail_len};
use super::wire::{Cursor, put_zigzag};
use super::zstd::Zstd;
use super::{CodecError, Index, MAX_FRAME, MAX_TAIL};
use crate::meta::MetaMap;
use crate::types::AvroSchema;

/// What every Avro file begins with.
pub(super) const MAGIC: &[u8; 4] = b"Obj\x01";
/// What our keys in the header begin with.
const OURS: &str = "kafkatos3.";
/// The first key of the header: the end section, by which the header's length is known.
const CONTAINER: &str = "kafkatos3.container";
const INDEX: &str = "kafkatos3.index";
const SCHEMA: &str = "avro.schema";
const CODEC: &str = "avro.codec";
const SYNC: &str = "avro.sync";
/// Bytes of zlib's checksum.
const ADLER: usize = 4;
/// Bytes of the base64 of an end section.
const END_TEXT: usize = 56;
/// Header entries that are read of somebody else's file at most.
const MOST_ENTRIES: u64 = 10_000;

/// How the blocks of an Avro file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AvroCodec {
    /// Not at all.
    Null,
    /// By deflate (RFC 1951).
    Deflate,
    /// By zstd.
    Zstandard,
}

impl AvroCodec {
    /// Avro's name for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Deflate => "deflate",
            Self::Zstandard => "zstandard",
        }
    }

    /// Reads Avro's name for it.
    pub fn parse(text: &[u8]) -> Result<Self, CodecError> {
        [Self::Null, Self::Deflate, Self::Zstandard]
            .into_iter()
            .find(|codec| codec.as_str().as_bytes() == text)
            .ok_or_else(|| CodecError::AvroCodec(String::from_utf8_lossy(text).into_owned()))
    }
}

/// The schema as it stands in the header.
pub(crate) const fn schema_text(schema: AvroSchema) -> &'static str {
    match schema {
        AvroSchema::Full => concat!(
            r#"{"name":"message","type":"record","fields":["#,
            r#"{"name":"timestamp","type":"long"},"#,
            r#"{"name":"key","type":["null","bytes"]},"#,
            r#"{"name":"value","type":["null","bytes"]},"#,
            r#"{"name":"offset","type":"long"},"#,
            r#"{"name":"timestamp_type","type":{"name":"timestamp_type","type":"enum","#,
            r#""symbols":["none","create","logappend"]}},"#,
            r#"{"name":"headers","type":{"type":"array","items":"#,
            r#"{"name":"header","type":"record","fields":["#,
            r#"{"name":"key","type":"bytes"},{"name":"value","type":["null","bytes"]}]}}}]}"#
        ),
        AvroSchema::Plain => concat!(
            r#"{"name": "message", "type": "record", "fields": ["#,
            r#"{"name": "timestamp", "type": "long"}, "#,
            r#"{"name": "key", "type": ["null", "bytes"]}, "#,
            r#"{"name": "value", "type": ["null", "bytes"]}]}"#
        ),
    }
}

/// What an Avro file says besides metadata and index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroHead {
    /// The schema of its records, in JSON.
    pub schema: String,
    /// How its blocks are packed.
    pub codec: AvroCodec,
    /// What stands behind each of its blocks.
    pub sync: [u8; 16],
}

impl AvroHead {
    /// Of a file that holds records of `schema`.
    #[must_use]
    pub fn new(schema: AvroSchema, codec: AvroCodec, sync: [u8; 16]) -> Self {
        Self { schema: schema_text(schema).to_owned(), codec, sync }
    }

    /// Puts it among the metadata of a container that is not published yet.
    pub(super) fn put_into(&self, meta: &mut MetaMap) {
        let sync = STANDARD.encode(self.sync);
        let codec = self.codec.as_str().to_owned();
        for (key, value) in [(SCHEMA, self.schema.clone()), (CODEC, codec), (SYNC, sync)] {
            meta.insert(key.to_owned(), value);
        }
    }

    /// Takes it out again.
    pub(super) fn take_from(meta: &mut MetaMap) -> Result<Self, CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("what the tail says of the Avro file");
        let mut take = |key| meta.remove(key).ok_or(CORRUPT);
        let (schema, codec, sync) = (take(SCHEMA)?, take(CODEC)?, take(SYNC)?);
        let sync = STANDARD.decode(sync).ok().and_then(|sync| sync.try_into().ok());
        let codec = AvroCodec::parse(codec.as_bytes())?;
        Ok(Self { schema, codec, sync: sync.ok_or(CORRUPT)? })
    }
}

/// Packs and unpacks the blocks of one file.
pub(super) struct Blocks {
    head: AvroHead,
    level: i32,
    deflater: Option<Deflater>,
    inflater: Decompress,
    zstd: Zstd,
    packed: Vec<u8>,
}

impl Blocks {
    pub(super) fn new(head: AvroHead, level: i32) -> Self {
        let zstd = Zstd::new(level);
        let inflater = Decompress::new(false);
        Self { head, level, deflater: None, inflater, zstd, packed: Vec::new() }
    }

    /// Appends `raw`, which is a count and that many records, as one block.
    pub(super) fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut cursor = Cursor::new(raw, "the count of a block");
        let count = cursor.zigzag()?;
        let records = raw.get(raw.len() - cursor.remaining()..).unwrap_or_default();
        self.packed.clear();
        match self.head.codec {
            AvroCodec::Null => {}
            AvroCodec::Deflate => {
                let level = self.level.cast_unsigned();
                let deflater = self.deflater.get_or_insert_with(|| Deflater::new(level));
                deflater.deflate(records, &mut self.packed)?;
            }
            AvroCodec::Zstandard => self.zstd.compress(records, &mut self.packed)?,
        }
        let packed = if self.head.codec == AvroCodec::Null { records } else { &self.packed };
        let len = i64::try_from(packed.len()).map_err(|_| CodecError::Compress("a block"))?;
        put_zigzag(out, count);
        put_zigzag(out, len);
        out.extend_from_slice(packed);
        out.extend_from_slice(&self.head.sync);
        Ok(())
    }

    /// Replaces `out` by count and records of the block `frame`; leaves it empty if that fails.
    pub(super) fn decompress(
        &mut self,
        frame: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let block = Block::parse(frame, &self.head.sync)?;
        if !matches!(&block, Some((_, len)) if *len == frame.len()) {
            return Err(CodecError::Corrupt("an Avro block"));
        }
        let Some((Block { count, packed }, _)) = block else { return Ok(()) };
        let unpacked = self.unpack(count, packed, limit, out);
        if unpacked.is_err() {
            out.clear();
        }
        unpacked
    }

    fn unpack(
        &mut self,
        count: i64,
        packed: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        put_zigzag(out, count);
        match self.head.codec {
            AvroCodec::Null if out.len().saturating_add(packed.len()) > limit => {
                Err(too_large(packed.len(), limit))
            }
            AvroCodec::Null => {
                out.extend_from_slice(packed);
                Ok(())
            }
            AvroCodec::Deflate => inflate(&mut self.inflater, packed, limit, out),
            AvroCodec::Zstandard => unpack_zstd(packed, limit, out),
        }
    }
}

fn too_large(size: usize, limit: usize) -> CodecError {
    let wide = |n| u64::try_from(n).unwrap_or(u64::MAX);
    CodecError::TooLarge { what: "an Avro block", size: wide(size), limit: wide(limit) }
}

/// Appends what the whole deflate stream `packed` holds, until `out` has `limit` bytes.
fn inflate(
    inflater: &mut Decompress,
    packed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    const CORRUPT: CodecError = CodecError::Corrupt("a deflated Avro block");
    inflater.reset(false);
    loop {
        let taken = usize::try_from(inflater.total_in()).map_err(|_| CORRUPT)?;
        let left = packed.get(taken..).ok_or(CORRUPT)?;
        let (before, capacity) = (out.len(), out.capacity());
        let status = inflater.decompress_vec(left, out, FlushDecompress::Finish);
        if out.len() > limit {
            return Err(too_large(out.len(), limit));
        }
        match status {
            Ok(Status::StreamEnd) => {
                // Python's writers leave the first bytes of zlib's checksum behind the stream.
                let read = usize::try_from(inflater.total_in()).map_err(|_| CORRUPT)?;
                let rest = packed.len().saturating_sub(read);
                return if rest < ADLER { Ok(()) } else { Err(CORRUPT) };
            }
            // Room grows with what came out, never ahead of it.
            Ok(_) if out.len() == capacity => out.reserve(out.len().clamp(4096, 1 << 20)),
            Ok(_) if out.len() > before => {}
            _ => return Err(CORRUPT),
        }
    }
}

/// Appends what the zstd stream `packed` holds, until `out` has `limit` bytes. Others' frames need
/// not say their size.
fn unpack_zstd(packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    use std::io::Read as _;
    const CORRUPT: CodecError = CodecError::Corrupt("a zstd frame of an Avro block");
    let room = limit.saturating_sub(out.len());
    let most = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(|_| CORRUPT)?;
    decoder.take(most).read_to_end(out).map_err(|_| CORRUPT)?;
    if out.len() > limit { Err(too_large(out.len(), limit)) } else { Ok(()) }
}

/// One block of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block<'a> {
    count: i64,
    packed: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block at the beginning of `bytes`, and its length; `None` if more bytes are needed.
    fn parse(bytes: &'a [u8], sync: &[u8; 16]) -> Result<Option<(Self, usize)>, CodecError> {
        let mut cursor = Cursor::new(bytes, "an Avro block");
        let corrupt = cursor.corrupt();
        let (Some(count), Some(len)) = (long(&mut cursor)?, long(&mut cursor)?) else {
            return Ok(None);
        };
        let len = usize::try_from(len).map_err(|_| corrupt.clone())?;
        if count < 0 || u32::try_from(len).map_or(true, |len| len > MAX_FRAME) {
            return Err(corrupt);
        }
        if cursor.remaining() < len.saturating_add(sync.len()) {
            return Ok(None);
        }
        let packed = cursor.take(len)?;
        cursor.expect(sync)?;
        Ok(Some((Self { count, packed }, bytes.len() - cursor.remaining())))
    }
}

/// A number, if it is there to its end.
fn long(cursor: &mut Cursor<'_>) -> Result<Option<i64>, CodecError> {
    const LONGEST: usize = 10;
    let there = cursor.remaining();
    match cursor.zigzag() {
        Ok(number) => Ok(Some(number)),
        Err(_) if there < LONGEST => Ok(None),
        Err(error) => Err(error),
    }
}

/// What stands before the blocks of a published file with this tail.
pub(super) fn header(tail: &Tail) -> Result<Vec<u8>, CodecError> {
    let head = tail.avro.as_ref().ok_or(CodecError::Corrupt("an Avro file's tail"))?;
    let mut behind = Vec::new();
    put_entry(SCHEMA, head.schema.as_bytes(), &mut behind)?;
    put_entry(CODEC, head.codec.as_str().as_bytes(), &mut behind)?;
    for (key, value) in &tail.meta {
        put_entry(&format!("{OURS}{key}"), value.as_bytes(), &mut behind)?;
    }
    let index = STANDARD.encode(tail.index.encode());
    put_entry(INDEX, index.as_bytes(), &mut behind)?;
    put_zigzag(&mut behind, 0);
    behind.extend_from_slice(&head.sync);
    let mut out = MAGIC.to_vec();
    let entries = tail.meta.len().saturating_add(4);
    put_zigzag(&mut out, i64::try_from(entries).map_err(|_| TOO_MANY)?);
    put_len(CONTAINER.len(), &mut out)?;
    out.extend_from_slice(CONTAINER.as_bytes());
    put_len(END_TEXT, &mut out)?;
    let len = checked_tail_len(out.len() + END_TEXT + behind.len())?;
    let end = End { body: tail.body, len, sections: crc32fast::hash(&behind), behind: 0 };
    out.extend_from_slice(STANDARD.encode(end.to_bytes(Kind::Avro)).as_bytes());
    out.extend_from_slice(&behind);
    Ok(out)
}

const TOO_MANY: CodecError = CodecError::Compress("an Avro header");

fn put_len(len: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    put_zigzag(out, i64::try_from(len).map_err(|_| TOO_MANY)?);
    Ok(())
}

fn put_entry(key: &str, value: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    put_len(key.len(), out)?;
    out.extend_from_slice(key.as_bytes());
    put_len(value.len(), out)?;
    out.extend_from_slice(value);
    Ok(())
}

/// The length of the header that begins with `bytes`; from 1 to [`MAX_TAIL`].
pub(super) fn header_len(bytes: &[u8]) -> Result<usize, CodecError> {
    let end = container_entry(&mut Cursor::new(bytes, "the header of the Avro file"))?;
    let len = usize::try_from(end.len).unwrap_or(usize::MAX);
    let all = u64::try_from(len).ok().and_then(|len| len.checked_add(end.body.len));
    if (1..=MAX_TAIL).contains(&len) && all.is_some() {
        Ok(len)
    } else {
        Err(CodecError::Corrupt("the header of the Avro file"))
    }
}

/// Reads up to the end of the first entry, which has to be ours.
fn container_entry(cursor: &mut Cursor<'_>) -> Result<End, CodecError> {
    if cursor.array()? != *MAGIC {
        return Err(cursor.corrupt());
    }
    cursor.zigzag()?;
    if text(cursor)? != CONTAINER.as_bytes() {
        return Err(CodecError::NotOurs);
    }
    let value = text(cursor)?;
    let end = STANDARD.decode(value).map_err(|_| cursor.corrupt())?;
    End::from_payload(Kind::Avro, &end)
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], CodecError> {
    let len = usize::try_from(cursor.zigzag()?).map_err(|_| cursor.corrupt())?;
    cursor.take(len)
}

/// Reads the header of a published file of `object_len` bytes.
pub(super) fn parse_header(object_len: u64, bytes: &[u8]) -> Result<Tail, CodecError> {
    let mut cursor = Cursor::new(bytes, "the header of the Avro file");
    let end = container_entry(&mut cursor)?;
    let behind = bytes.get(bytes.len() - cursor.remaining()..).unwrap_or_default();
    let len = u64::try_from(bytes.len()).map_err(|_| cursor.corrupt())?;
    let whole = end.len == len && end.body.len.checked_add(len) == Some(object_len);
    if !whole || crc32fast::hash(behind) != end.sections {
        return Err(cursor.corrupt());
    }
    // From the front again, as any reader of Avro does.
    let Some((foreign, _)) = AvroHeader::parse(bytes)? else { return Err(cursor.corrupt()) };
    let index = foreign.ours.get("index").ok_or_else(|| cursor.corrupt())?;
    let index = STANDARD.decode(index).map_err(|_| CodecError::Corrupt("the index"))?;
    let index = Index::decode(&index)?.moved_by(len);
    if index.body_len() != end.body.len {
        return Err(CodecError::Corrupt("the index"));
    }
    let mut meta = foreign.ours;
    meta.remove("index");
    meta.remove("container");
    Ok(Tail { body: end.body, index, meta, avro: Some(foreign.head) })
}

/// The header of an Avro file, whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroHeader {
    /// Schema, codec and sync marker.
    pub head: AvroHead,
    /// Entries of ours, by their names without the prefix.
    pub ours: MetaMap,
}

impl AvroHeader {
    /// The header at the beginning of `bytes`, and its length; `None` if more bytes are needed.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, CodecError> {
        let mut cursor = Cursor::new(bytes, "the header of the Avro file");
        match Self::read(&mut cursor) {
            Ok(header) => Ok(Some((header, bytes.len() - cursor.remaining()))),
            Err(Trouble::Short) if bytes.len() < MAX_TAIL => Ok(None),
            Err(Trouble::Short) => Err(cursor.corrupt()),
            Err(Trouble::Wrong(error)) => Err(error),
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Trouble> {
        let magic = bytes_of(cursor, MAGIC.len())?;
        if magic != MAGIC {
            return Err(Trouble::Wrong(CodecError::Foreign));
        }
        let (mut schema, mut codec) = (None, AvroCodec::Null);
        let mut ours = MetaMap::new();
        let mut entries: u64 = 0;
        loop {
            let count = number(cursor)?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // Then the block's length in bytes stands before the entries.
                number(cursor)?;
            }
            entries = entries.saturating_add(count.unsigned_abs());
            if entries > MOST_ENTRIES {
                return Err(Trouble::Wrong(cursor.corrupt()));
            }
            for _ in 0..count.unsigned_abs() {
                let (key, value) = (entry_part(cursor)?, entry_part(cursor)?);
                let text = || String::from_utf8(value.to_vec()).map_err(|_| cursor.corrupt());
                match std::str::from_utf8(key).map_err(|_| cursor.corrupt())? {
                    SCHEMA => schema = Some(text()?),
                    CODEC => codec = AvroCodec::parse(value)?,
                    key => {
                        if let Some(key) = key.strip_prefix(OURS) {
                            ours.insert(key.to_owned(), text()?);
                        }
                    }
                }
            }
        }
        let sync = bytes_of(cursor, 16)?;
        let sync = sync.try_into().map_err(|_| cursor.corrupt())?;
        let schema = schema.ok_or_else(|| cursor.corrupt())?;
        Ok(Self { head: AvroHead { schema, codec, sync }, ours })
    }
}

/// Why a header was not read.
enum Trouble {
    /// More bytes are needed.
    Short,
    Wrong(CodecError),
}

impl From<CodecError> for Trouble {
    fn from(error: CodecError) -> Self {
        Self::Wrong(error)
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<i64, Trouble> {
    long(cursor)?.ok_or(Trouble::Short)
}

fn entry_part<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Trouble> {
    let len = number(cursor)?;
    let len = usize::try_from(len).map_err(|_| cursor.corrupt())?;
    if len > MAX_TAIL {
        return Err(Trouble::Wrong(cursor.corrupt()));
    }
    bytes_of(cursor, len)
}

fn bytes_of<'a>(cursor: &mut Cursor<'a>, len: usize) -> Result<&'a [u8], Trouble> {
    if cursor.remaining() < len {
        return Err(Trouble::Short);
    }
    Ok(cursor.take(len)?)
}

/// What a block of somebody's Avro file says before its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHead {
    /// How many records it has.
    pub count: u64,
    /// How many bytes they take, packed.
    pub len: u64,
    /// Bytes that this takes itself.
    pub size: usize,
}

/// What the block at the beginning of `bytes` says of itself; `None` if more bytes are needed.
pub fn block_head(bytes: &[u8]) -> Result<Option<BlockHead>, CodecError> {
    let mut cursor = Cursor::new(bytes, "an Avro block");
    let (Some(count), Some(len)) = (long(&mut cursor)?, long(&mut cursor)?) else {
        return Ok(None);
    };
    match (u64::try_from(count), u64::try_from(len)) {
        (Ok(count), Ok(len)) => {
            Ok(Some(BlockHead { count, len, size: bytes.len() - cursor.remaining() }))
        }
        _ => Err(cursor.corrupt()),
    }
}

/// The block of somebody's Avro file at the beginning of `bytes`, and its length; `None` if more
/// bytes are needed. What it unpacks to is for [`FrameCodec`](super::FrameCodec).
pub fn block_len(bytes: &[u8], sync: &[u8; 16]) -> Result<Option<usize>, CodecError> {
    Ok(Block::parse(bytes, sync)?.map(|(_, len)| len))
}
