//! What follows the frames: index, metadata and checksums, in sections that no unpacker shows.
//!
//! A section is a payload in a wrapping of its container's kind: empty gzip members with an extra
//! field, a zstd skippable frame, or a MAK block. The end section has a fixed length for each kind
//! and stands at the very end (zstd: before the seek table), so the end of a file tells where its
//! tail begins. Bits of a tail are all covered by checksums or compared with what they must be.

use super::avro::{self, AvroHead};
use super::kind::Kind;
use super::wire::Cursor;
use super::{CodecError, FrameCodec, Index, MAX_TAIL, lines, zstd};
use crate::meta::MetaMap;

const MAGIC: &[u8; 4] = b"KTS3";
const VERSION: u8 = 1;
/// Bytes of the end section's payload.
const END: usize = 40;
/// Bytes that the metadata may have; stores take 2 KiB to 8 KiB of it.
const MAX_META: usize = 1 << 20;
/// What stands before and behind the payload of a gzip section, but for lengths and tag.
const GZ_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
const GZ_FOOT: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Bytes of one extra field, less the four that name our part of it.
const GZ_MOST: usize = 65_531;
/// Bytes of a MAK block before its payload.
const MAK_HEAD: usize = 12;
/// Little-endian 0x184D2A5B: a skippable frame.
const ZST_HEAD: [u8; 4] = [0x5b, 0x2a, 0x4d, 0x18];
/// What a skippable frame takes besides its payload: head, length, tag.
const ZST_WRAPPING: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Index,
    Meta,
    End,
}

impl Section {
    const ALL: [Self; 3] = [Self::Index, Self::Meta, Self::End];

    /// The gzip subfield's id, and the first bytes of the skippable frame.
    const fn tag(self) -> [u8; 2] {
        match self {
            Self::Index => *b"KI",
            Self::Meta => *b"KM",
            Self::End => *b"KE",
        }
    }

    /// The MAK block's kind.
    const fn mak(self) -> u8 {
        match self {
            Self::Index => 4,
            Self::Meta => 5,
            Self::End => 6,
        }
    }
}

/// Length and CRC-32 of a container's body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BodyFacts {
    /// Bytes of all frames as they are packed.
    pub len: u64,
    /// Their CRC-32 (zlib's).
    pub crc: u32,
}

/// All that a container's tail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Of the bytes before it.
    pub body: BodyFacts,
    /// Where the frames are.
    pub index: Index,
    /// What the file is.
    pub meta: MetaMap,
    /// What an Avro file says besides; none of the others has it.
    pub avro: Option<AvroHead>,
}

impl Tail {
    /// What stands before the body in an archive, and what stands behind it; the same tail gives
    /// the same bytes.
    pub fn around(&self, kind: impl Into<Kind>) -> Result<(Vec<u8>, Vec<u8>), CodecError> {
        match kind.into() {
            Kind::Avro => Ok((avro::header(self)?, Vec::new())),
            kind => Ok((Vec::new(), self.to_bytes(kind)?)),
        }
    }

    /// Unpacks the frames that it tells of.
    #[must_use]
    pub fn codec(&self, kind: impl Into<Kind>) -> FrameCodec {
        match &self.avro {
            Some(head) => FrameCodec::of_avro(head.clone()),
            None => FrameCodec::of_kind(kind.into()),
        }
    }

    /// The bytes to stand behind the body. The same tail gives the same bytes.
    pub fn to_bytes(&self, kind: impl Into<Kind>) -> Result<Vec<u8>, CodecError> {
        let kind = kind.into();
        if self.index.body_len() != self.body.len {
            return Err(CodecError::Corrupt("the index of this body"));
        }
        let mut meta = self.meta.clone();
        if let Some(avro) = &self.avro {
            avro.put_into(&mut meta);
        }
        let meta = serde_json::to_vec(&meta).map_err(|_| CodecError::Corrupt("metadata"))?;
        checked_meta_len(&meta)?;
        let index = self.index.encode();
        let mut out = Vec::new();
        wrap(kind, Section::Index, &index, &mut out)?;
        wrap(kind, Section::Meta, &meta, &mut out)?;
        let behind = match kind {
            Kind::Zstd => seek_table(&self.index, [index.len(), meta.len(), END])?,
            Kind::Lines => LINE_END.to_vec(),
            Kind::Plain | Kind::Gzip | Kind::Avro => Vec::new(),
        };
        let len = checked_tail_len(out.len() + end_len(kind) + behind.len())?;
        let end = End {
            body: self.body,
            len,
            sections: crc32fast::hash(&out),
            behind: crc32fast::hash(&behind),
        };
        wrap(kind, Section::End, &end.to_bytes(kind), &mut out)?;
        out.extend_from_slice(&behind);
        Ok(out)
    }

    /// Reads the tail of an object of `object_len` bytes.
    pub fn parse(kind: impl Into<Kind>, object_len: u64, bytes: &[u8]) -> Result<Self, CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("the end of the container");
        let kind = kind.into();
        if len_from_end(kind, bytes)? != bytes.len() {
            return Err(CORRUPT);
        }
        let behind_len = behind_len(kind, bytes)?;
        let (front, behind) = bytes
            .len()
            .checked_sub(behind_len)
            .map_or(Err(CORRUPT), |at| bytes.split_at_checked(at).ok_or(CORRUPT))?;
        let at = front.len().checked_sub(end_len(kind)).ok_or(CORRUPT)?;
        let (sections, end) = front.split_at_checked(at).ok_or(CORRUPT)?;
        let end = End::parse(kind, end)?;
        let whole = end.body.len.checked_add(end.len) == Some(object_len);
        let intact = crc32fast::hash(sections) == end.sections;
        if !whole || !intact || crc32fast::hash(behind) != end.behind {
            return Err(CORRUPT);
        }
        let (index, meta) = match kind {
            Kind::Lines => read_sections(Kind::Plain, &lines::find(sections)?)?,
            _ => read_sections(kind, sections)?,
        };
        checked_meta_len(&meta)?;
        let payloads = [index.len(), meta.len(), END];
        let index = Index::decode(&index)?;
        if index.body_len() != end.body.len {
            return Err(CodecError::Corrupt("the index"));
        }
        // Others go by it: it has to say what the index says.
        if kind == Kind::Zstd && seek_table(&index, payloads)? != behind {
            return Err(CodecError::Corrupt("the seek table"));
        }
        let mut meta =
            serde_json::from_slice(&meta).map_err(|_| CodecError::Corrupt("the metadata"))?;
        let avro = match kind {
            Kind::Avro => Some(AvroHead::take_from(&mut meta)?),
            _ => None,
        };
        Ok(Self { body: end.body, index, meta, avro })
    }
}

/// Ends the last line of a file of lines, behind its tail.
const LINE_END: &[u8] = b"\n";

/// How many bytes of an object's end tell the length of its tail.
pub(super) const fn enough(kind: Kind) -> usize {
    match kind {
        Kind::Zstd => zstd::TABLE_END,
        Kind::Lines => end_len(kind) + LINE_END.len(),
        Kind::Plain | Kind::Gzip | Kind::Avro => end_len(kind),
    }
}

/// The length of the tail of an object that ends with `bytes`; from 1 to [`MAX_TAIL`].
pub(super) fn len_from_end(kind: Kind, bytes: &[u8]) -> Result<usize, CodecError> {
    const SHORT: CodecError = CodecError::Corrupt("the end of the container");
    if kind == Kind::Zstd {
        let (_, end) = bytes.split_last_chunk().ok_or(SHORT)?;
        return zstd::tail_len(end).map(|(_, tail)| tail);
    }
    let end_at = bytes.len().checked_sub(behind_len(kind, bytes)?).ok_or(SHORT)?;
    let at = end_at.checked_sub(end_len(kind)).ok_or(SHORT)?;
    let end = End::parse(kind, bytes.get(at..end_at).ok_or(SHORT)?)?;
    let len = usize::try_from(end.len).map_err(|_| SHORT)?;
    if (end_len(kind)..=MAX_TAIL).contains(&len) { Ok(len) } else { Err(SHORT) }
}

/// The seek table of a tail whose sections have payloads of these lengths.
fn seek_table(index: &Index, payloads: [usize; 3]) -> Result<Vec<u8>, CodecError> {
    let wrapped = |payload: usize| u32::try_from(payload + ZST_WRAPPING).ok();
    match payloads.map(wrapped) {
        [Some(of_index), Some(of_meta), Some(of_end)] => {
            zstd::seek_table(index, [of_index, of_meta, of_end])
        }
        _ => Err(CodecError::Corrupt("the length of a section")),
    }
}

/// The length of what stands behind the end section.
fn behind_len(kind: Kind, bytes: &[u8]) -> Result<usize, CodecError> {
    match kind {
        Kind::Zstd => {
            let (_, end) = bytes.split_last_chunk().ok_or(CodecError::Corrupt("the seek table"))?;
            zstd::tail_len(end).map(|(table, _)| table)
        }
        Kind::Lines => Ok(LINE_END.len()),
        Kind::Plain | Kind::Gzip | Kind::Avro => Ok(0),
    }
}

/// Bytes of the end section with its wrapping.
const fn end_len(kind: Kind) -> usize {
    match kind {
        Kind::Plain | Kind::Avro => END + MAK_HEAD,
        Kind::Gzip => END + GZ_HEAD.len() + 6 + GZ_FOOT.len(),
        Kind::Zstd => END + ZST_WRAPPING,
        Kind::Lines => (END + MAK_HEAD) * lines::BITS,
    }
}

pub(super) fn checked_tail_len(len: usize) -> Result<u64, CodecError> {
    checked_len("the tail", len, MAX_TAIL)
}

fn checked_meta_len(meta: &[u8]) -> Result<(), CodecError> {
    checked_len("the metadata", meta.len(), MAX_META).map(drop)
}

fn checked_len(what: &'static str, len: usize, limit: usize) -> Result<u64, CodecError> {
    let [size, limit] = [len, limit].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
    if size <= limit { Ok(size) } else { Err(CodecError::TooLarge { what, size, limit }) }
}

/// What the end section says.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) body: BodyFacts,
    /// Of the whole tail.
    pub(super) len: u64,
    /// CRC-32 of the sections before this one.
    pub(super) sections: u32,
    /// CRC-32 of what stands behind it.
    pub(super) behind: u32,
}

impl End {
    pub(super) fn to_bytes(self, kind: Kind) -> Vec<u8> {
        let mut out = Vec::with_capacity(END);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, kind.letter(), 0, 0]);
        out.extend_from_slice(&self.body.len.to_be_bytes());
        out.extend_from_slice(&self.len.to_be_bytes());
        out.extend_from_slice(&self.body.crc.to_be_bytes());
        out.extend_from_slice(&self.sections.to_be_bytes());
        out.extend_from_slice(&self.behind.to_be_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// From an end section with its wrapping.
    fn parse(kind: Kind, wrapped: &[u8]) -> Result<Self, CodecError> {
        if kind == Kind::Lines {
            return Self::unwrap(kind, Kind::Plain, &lines::find(wrapped)?);
        }
        Self::unwrap(kind, kind, wrapped)
    }

    fn unwrap(kind: Kind, wrapping: Kind, wrapped: &[u8]) -> Result<Self, CodecError> {
        let mut outer = Cursor::new(wrapped, "the end of the container");
        let (Section::End, payload) = unwrap(wrapping, &mut outer)? else {
            return Err(outer.corrupt());
        };
        outer.end()?;
        Self::from_payload(kind, payload)
    }

    /// From the payload alone.
    pub(super) fn from_payload(kind: Kind, payload: &[u8]) -> Result<Self, CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("the end of the container");
        let (said, crc) = payload.split_last_chunk::<4>().ok_or(CORRUPT)?;
        if crc32fast::hash(said).to_be_bytes() != *crc {
            return Err(CORRUPT);
        }
        let mut cursor = Cursor::new(said, "the end of the container");
        cursor.expect(MAGIC)?;
        match cursor.byte()? {
            VERSION => {}
            other => return Err(CodecError::Version(other)),
        }
        cursor.expect(&[kind.letter(), 0, 0])?;
        let len = u64::from_be_bytes(cursor.array()?);
        let tail = u64::from_be_bytes(cursor.array()?);
        let crc = u32::from_be_bytes(cursor.array()?);
        let sections = u32::from_be_bytes(cursor.array()?);
        let behind = u32::from_be_bytes(cursor.array()?);
        cursor.end()?;
        Ok(Self { body: BodyFacts { len, crc }, len: tail, sections, behind })
    }
}

/// Appends `payload` as a section: one, or for gzip as many as it takes.
fn wrap(kind: Kind, section: Section, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    checked_tail_len(payload.len())?;
    match kind {
        Kind::Plain | Kind::Avro => wrap_mak(section, payload, out),
        Kind::Lines => {
            let mut block = Vec::new();
            wrap_mak(section, payload, &mut block)?;
            lines::hide(&block, out);
            Ok(())
        }
        Kind::Zstd => wrap_zstd(section, payload, out),
        Kind::Gzip if payload.is_empty() => wrap_gzip(section, payload, out),
        Kind::Gzip => payload.chunks(GZ_MOST).try_for_each(|part| wrap_gzip(section, part, out)),
    }
}

const UNWRAPPABLE: CodecError = CodecError::Compress("a section");

fn wrap_gzip(section: Section, part: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let len = u16::try_from(part.len()).map_err(|_| UNWRAPPABLE)?;
    out.extend_from_slice(&GZ_HEAD);
    out.extend_from_slice(&len.checked_add(4).ok_or(UNWRAPPABLE)?.to_le_bytes());
    out.extend_from_slice(&section.tag());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(part);
    out.extend_from_slice(&GZ_FOOT);
    Ok(())
}

fn wrap_zstd(section: Section, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let len = u32::try_from(payload.len() + 2).map_err(|_| UNWRAPPABLE)?;
    out.extend_from_slice(&ZST_HEAD);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&section.tag());
    out.extend_from_slice(payload);
    Ok(())
}

fn wrap_mak(section: Section, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let len = u32::try_from(payload.len()).map_err(|_| UNWRAPPABLE)?.to_be_bytes();
    let head = [section.mak(), 0, 0, 0, len[0], len[1], len[2], len[3]];
    out.extend_from_slice(&head);
    out.extend_from_slice(&mak_crc(head, payload).to_be_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

fn mak_crc(head: [u8; 8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(payload);
    crc.finalize()
}

/// Takes one section. Those of lines are found in their white space first.
fn unwrap<'a>(kind: Kind, cursor: &mut Cursor<'a>) -> Result<(Section, &'a [u8]), CodecError> {
    match kind {
        Kind::Plain | Kind::Avro => unwrap_mak(cursor),
        Kind::Gzip => unwrap_gzip(cursor),
        Kind::Zstd => unwrap_zstd(cursor),
        Kind::Lines => Err(cursor.corrupt()),
    }
}

fn unwrap_gzip<'a>(cursor: &mut Cursor<'a>) -> Result<(Section, &'a [u8]), CodecError> {
    cursor.expect(&GZ_HEAD)?;
    let all = u16::from_le_bytes(cursor.array()?);
    let section = by_tag(cursor)?;
    let len = u16::from_le_bytes(cursor.array()?);
    if len.checked_add(4) != Some(all) {
        return Err(cursor.corrupt());
    }
    let payload = cursor.take(len.into())?;
    cursor.expect(&GZ_FOOT)?;
    Ok((section, payload))
}

fn unwrap_zstd<'a>(cursor: &mut Cursor<'a>) -> Result<(Section, &'a [u8]), CodecError> {
    cursor.expect(&ZST_HEAD)?;
    let len = u32::from_le_bytes(cursor.array()?).checked_sub(2);
    let len = len.and_then(|len| usize::try_from(len).ok()).ok_or_else(|| cursor.corrupt())?;
    let section = by_tag(cursor)?;
    Ok((section, cursor.take(len)?))
}

fn by_tag(cursor: &mut Cursor<'_>) -> Result<Section, CodecError> {
    let tag = cursor.array()?;
    let section = Section::ALL.into_iter().find(|section| section.tag() == tag);
    section.ok_or_else(|| cursor.corrupt())
}

fn unwrap_mak<'a>(cursor: &mut Cursor<'a>) -> Result<(Section, &'a [u8]), CodecError> {
    let head: [u8; 8] = cursor.array()?;
    let [kind, 0, 0, 0, len @ ..] = head else { return Err(cursor.corrupt()) };
    let crc = u32::from_be_bytes(cursor.array()?);
    let len = usize::try_from(u32::from_be_bytes(len)).map_err(|_| cursor.corrupt())?;
    let payload = cursor.take(len)?;
    let section = Section::ALL.into_iter().find(|section| section.mak() == kind);
    match section {
        Some(section) if mak_crc(head, payload) == crc => Ok((section, payload)),
        _ => Err(cursor.corrupt()),
    }
}

/// Index stream and metadata: sections of the one, then sections of the other.
fn read_sections(kind: Kind, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), CodecError> {
    let mut cursor = Cursor::new(bytes, "the container's tail");
    let (mut index, mut meta) = (Vec::new(), Vec::new());
    let mut last = Section::Index;
    while cursor.remaining() > 0 {
        let (section, payload) = unwrap(kind, &mut cursor)?;
        match (last, section) {
            (Section::Index, Section::Index) => index.extend_from_slice(payload),
            (Section::Index | Section::Meta, Section::Meta) => meta.extend_from_slice(payload),
            _ => return Err(cursor.corrupt()),
        }
        last = section;
    }
    Ok((index, meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tail of no body with this metadata, checksums and all.
    fn tail_with(kind: Kind, meta: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        wrap(kind, Section::Index, &Index::default().encode(), &mut out).unwrap();
        wrap(kind, Section::Meta, meta, &mut out).unwrap();
        let len = u64::try_from(out.len() + end_len(kind)).unwrap();
        let end =
            End { body: BodyFacts::default(), len, sections: crc32fast::hash(&out), behind: 0 };
        wrap(kind, Section::End, &end.to_bytes(kind), &mut out).unwrap();
        out
    }

    #[test]
    fn metadata_that_no_store_would_take_is_refused() {
        for kind in [Kind::Plain, Kind::Gzip] {
            for (len, fits) in [(MAX_META, true), (MAX_META + 1, false)] {
                let meta = MetaMap::from([("x".to_owned(), "y".repeat(len - r#"{"x":""}"#.len()))]);
                let json = serde_json::to_vec(&meta).unwrap();
                assert_eq!(json.len(), len);
                let bytes = tail_with(kind, &json);
                let read = Tail::parse(kind, u64::try_from(bytes.len()).unwrap(), &bytes);
                assert_eq!(read.is_ok(), fits, "{:?}", read.err());
                let (body, index) = (BodyFacts::default(), Index::default());
                let tail = Tail { body, index, meta, avro: None };
                assert_eq!(tail.to_bytes(kind), if fits { Ok(bytes) } else { Err(too_much()) });
            }
        }
    }

    fn too_much() -> CodecError {
        let size = u64::try_from(MAX_META + 1).unwrap();
        CodecError::TooLarge { what: "the metadata", size, limit: size - 1 }
    }
}
