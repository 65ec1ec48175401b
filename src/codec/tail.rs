//! What follows the frames: index, metadata and checksums, in sections that no unpacker shows.
//!
//! A section is a payload in a wrapping of its container's kind: empty gzip members with an extra
//! field, a zstd skippable frame, or a MAK block. The end section has a fixed length for each kind
//! and stands at the very end (zstd: before the seek table), so the end of a file tells where its
//! tail begins. Bits of a tail are all covered by checksums or compared with what they must be.

use super::wire::Cursor;
use super::{CodecError, Index, MAX_TAIL, zstd};
use crate::meta::MetaMap;
use crate::types::Suffix;

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
}

impl Tail {
    /// The bytes to stand behind the body. The same tail gives the same bytes.
    pub fn to_bytes(&self, suffix: Suffix) -> Result<Vec<u8>, CodecError> {
        if self.index.body_len() != self.body.len {
            return Err(CodecError::Corrupt("the index of this body"));
        }
        let meta = serde_json::to_vec(&self.meta).map_err(|_| CodecError::Corrupt("metadata"))?;
        checked_meta_len(&meta)?;
        let index = self.index.encode();
        let mut out = Vec::new();
        wrap(suffix, Section::Index, &index, &mut out)?;
        wrap(suffix, Section::Meta, &meta, &mut out)?;
        let table = match suffix {
            Suffix::MakZst => seek_table(&self.index, [index.len(), meta.len(), END])?,
            Suffix::Mak | Suffix::MakGz => Vec::new(),
        };
        let len = checked_tail_len(out.len() + end_len(suffix) + table.len())?;
        let end = End {
            body: self.body,
            len,
            sections: crc32fast::hash(&out),
            behind: crc32fast::hash(&table),
        };
        wrap(suffix, Section::End, &end.to_bytes(suffix), &mut out)?;
        out.extend_from_slice(&table);
        Ok(out)
    }

    /// Reads the tail of an object of `object_len` bytes.
    pub fn parse(suffix: Suffix, object_len: u64, bytes: &[u8]) -> Result<Self, CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("the end of the container");
        if len_from_end(suffix, bytes)? != bytes.len() {
            return Err(CORRUPT);
        }
        let table_len = table_len(suffix, bytes)?;
        let (front, table) = bytes
            .len()
            .checked_sub(table_len)
            .map_or(Err(CORRUPT), |at| bytes.split_at_checked(at).ok_or(CORRUPT))?;
        let at = front.len().checked_sub(end_len(suffix)).ok_or(CORRUPT)?;
        let (sections, end) = front.split_at_checked(at).ok_or(CORRUPT)?;
        let end = End::parse(suffix, end)?;
        let whole = end.body.len.checked_add(end.len) == Some(object_len);
        let intact = crc32fast::hash(sections) == end.sections;
        if !whole || !intact || crc32fast::hash(table) != end.behind {
            return Err(CORRUPT);
        }
        let (index, meta) = read_sections(suffix, sections)?;
        checked_meta_len(&meta)?;
        let payloads = [index.len(), meta.len(), END];
        let index = Index::decode(&index)?;
        if index.body_len() != end.body.len {
            return Err(CodecError::Corrupt("the index"));
        }
        // Others go by it: it has to say what the index says.
        if suffix == Suffix::MakZst && seek_table(&index, payloads)? != table {
            return Err(CodecError::Corrupt("the seek table"));
        }
        let meta =
            serde_json::from_slice(&meta).map_err(|_| CodecError::Corrupt("the metadata"))?;
        Ok(Self { body: end.body, index, meta })
    }
}

/// How many bytes of an object's end tell the length of its tail.
pub(super) const fn enough(suffix: Suffix) -> usize {
    match suffix {
        Suffix::MakZst => zstd::TABLE_END,
        Suffix::Mak | Suffix::MakGz => end_len(suffix),
    }
}

/// The length of the tail of an object that ends with `bytes`; from 1 to [`MAX_TAIL`].
pub(super) fn len_from_end(suffix: Suffix, bytes: &[u8]) -> Result<usize, CodecError> {
    const SHORT: CodecError = CodecError::Corrupt("the end of the container");
    if suffix == Suffix::MakZst {
        let (_, end) = bytes.split_last_chunk().ok_or(SHORT)?;
        return zstd::tail_len(end).map(|(_, tail)| tail);
    }
    let at = bytes.len().checked_sub(end_len(suffix)).ok_or(SHORT)?;
    let end = End::parse(suffix, bytes.get(at..).ok_or(SHORT)?)?;
    let len = usize::try_from(end.len).map_err(|_| SHORT)?;
    if (end_len(suffix)..=MAX_TAIL).contains(&len) { Ok(len) } else { Err(SHORT) }
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
fn table_len(suffix: Suffix, bytes: &[u8]) -> Result<usize, CodecError> {
    if suffix != Suffix::MakZst {
        return Ok(0);
    }
    let (_, end) = bytes.split_last_chunk().ok_or(CodecError::Corrupt("the seek table"))?;
    zstd::tail_len(end).map(|(table, _)| table)
}

/// Bytes of the end section with its wrapping.
const fn end_len(suffix: Suffix) -> usize {
    END + match suffix {
        Suffix::Mak => 12,
        Suffix::MakGz => GZ_HEAD.len() + 6 + GZ_FOOT.len(),
        Suffix::MakZst => ZST_WRAPPING,
    }
}

fn checked_tail_len(len: usize) -> Result<u64, CodecError> {
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
struct End {
    body: BodyFacts,
    /// Of the whole tail.
    len: u64,
    /// CRC-32 of the sections before this one.
    sections: u32,
    /// CRC-32 of what stands behind it.
    behind: u32,
}

impl End {
    fn to_bytes(self, suffix: Suffix) -> Vec<u8> {
        let mut out = Vec::with_capacity(END);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, kind(suffix), 0, 0]);
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
    fn parse(suffix: Suffix, wrapped: &[u8]) -> Result<Self, CodecError> {
        let mut outer = Cursor::new(wrapped, "the end of the container");
        let (Section::End, payload) = unwrap(suffix, &mut outer)? else {
            return Err(outer.corrupt());
        };
        outer.end()?;
        let (said, crc) = payload.split_last_chunk::<4>().ok_or_else(|| outer.corrupt())?;
        if crc32fast::hash(said).to_be_bytes() != *crc {
            return Err(outer.corrupt());
        }
        let mut cursor = Cursor::new(said, "the end of the container");
        cursor.expect(MAGIC)?;
        match cursor.byte()? {
            VERSION => {}
            other => return Err(CodecError::Version(other)),
        }
        cursor.expect(&[kind(suffix), 0, 0])?;
        let len = u64::from_be_bytes(cursor.array()?);
        let tail = u64::from_be_bytes(cursor.array()?);
        let crc = u32::from_be_bytes(cursor.array()?);
        let sections = u32::from_be_bytes(cursor.array()?);
        let behind = u32::from_be_bytes(cursor.array()?);
        cursor.end()?;
        Ok(Self { body: BodyFacts { len, crc }, len: tail, sections, behind })
    }
}

const fn kind(suffix: Suffix) -> u8 {
    match suffix {
        Suffix::Mak => b'p',
        Suffix::MakGz => b'g',
        Suffix::MakZst => b'z',
    }
}

/// Appends `payload` as a section: one, or for gzip as many as it takes.
fn wrap(
    suffix: Suffix,
    section: Section,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    checked_tail_len(payload.len())?;
    match suffix {
        Suffix::Mak => wrap_mak(section, payload, out),
        Suffix::MakZst => wrap_zstd(section, payload, out),
        Suffix::MakGz if payload.is_empty() => wrap_gzip(section, payload, out),
        Suffix::MakGz => payload.chunks(GZ_MOST).try_for_each(|part| wrap_gzip(section, part, out)),
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

/// Takes one section.
fn unwrap<'a>(suffix: Suffix, cursor: &mut Cursor<'a>) -> Result<(Section, &'a [u8]), CodecError> {
    match suffix {
        Suffix::Mak => unwrap_mak(cursor),
        Suffix::MakGz => unwrap_gzip(cursor),
        Suffix::MakZst => unwrap_zstd(cursor),
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
fn read_sections(suffix: Suffix, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), CodecError> {
    let mut cursor = Cursor::new(bytes, "the container's tail");
    let (mut index, mut meta) = (Vec::new(), Vec::new());
    let mut last = Section::Index;
    while cursor.remaining() > 0 {
        let (section, payload) = unwrap(suffix, &mut cursor)?;
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
    fn tail_with(suffix: Suffix, meta: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        wrap(suffix, Section::Index, &Index::default().encode(), &mut out).unwrap();
        wrap(suffix, Section::Meta, meta, &mut out).unwrap();
        let len = u64::try_from(out.len() + end_len(suffix)).unwrap();
        let end =
            End { body: BodyFacts::default(), len, sections: crc32fast::hash(&out), behind: 0 };
        wrap(suffix, Section::End, &end.to_bytes(suffix), &mut out).unwrap();
        out
    }

    #[test]
    fn metadata_that_no_store_would_take_is_refused() {
        for suffix in [Suffix::Mak, Suffix::MakGz] {
            for (len, fits) in [(MAX_META, true), (MAX_META + 1, false)] {
                let meta = MetaMap::from([("x".to_owned(), "y".repeat(len - r#"{"x":""}"#.len()))]);
                let json = serde_json::to_vec(&meta).unwrap();
                assert_eq!(json.len(), len);
                let bytes = tail_with(suffix, &json);
                let read = Tail::parse(suffix, u64::try_from(bytes.len()).unwrap(), &bytes);
                assert_eq!(read.is_ok(), fits, "{:?}", read.err());
                let tail = Tail { body: BodyFacts::default(), index: Index::default(), meta };
                assert_eq!(tail.to_bytes(suffix), if fits { Ok(bytes) } else { Err(too_much()) });
            }
        }
    }

    fn too_much() -> CodecError {
        let size = u64::try_from(MAX_META + 1).unwrap();
        CodecError::TooLarge { what: "the metadata", size, limit: size - 1 }
    }
}
