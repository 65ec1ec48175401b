//! One frame as a zstd frame, and the seek table that the standard seekable format ends with.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use super::wire::Cursor;
use super::{CodecError, Index, MAX_FRAME, MAX_TAIL};

pub(super) const LOWEST: i32 = 1;
pub(super) const HIGHEST: i32 = 19;
pub(super) const DEFAULT: i32 = 1;

/// Little-endian 0xFD2FB528.
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Little-endian 0x184D2A5E: a skippable frame, this one by the seekable format.
const TABLE_MAGIC: [u8; 4] = [0x5e, 0x2a, 0x4d, 0x18];
/// Little-endian 0x8F92EAB1.
const SEEKABLE_MAGIC: [u8; 4] = [0xb1, 0xea, 0x92, 0x8f];
/// Bytes that the smallest block takes, and bytes that a block may unpack to.
const SMALLEST_BLOCK: u64 = 4;
const LARGEST_BLOCK: u64 = 128 << 10;

/// Bytes of a skippable frame's header, of an entry, and of what stands behind the entries.
const HEAD: usize = 8;
const ENTRY: usize = 8;
const FOOT: usize = 9;
/// Sections of ours between the last frame and the seek table: index, metadata, end.
const SECTIONS: usize = 3;
/// Bytes of the file's end that [`tail_len`] reads.
pub(super) const TABLE_END: usize = SECTIONS * ENTRY + FOOT;

/// Packs and unpacks frames; what it needs is made when it is first needed.
pub(super) struct Zstd {
    level: i32,
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
}

impl Zstd {
    pub(super) const fn new(level: i32) -> Self {
        Self { level, compressor: None, decompressor: None }
    }

    fn make(level: i32) -> std::io::Result<Compressor<'static>> {
        let mut compressor = Compressor::new(level)?;
        compressor.include_checksum(true)?;
        compressor.include_contentsize(true)?;
        Ok(compressor)
    }

    /// Replaces `out` by `raw` as one frame with its size and checksum.
    pub(super) fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        const FAILED: CodecError = CodecError::Compress("zstd");
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Self::make(self.level).map_err(|_| FAILED)?),
        };
        out.reserve(zstd_safe::compress_bound(raw.len()));
        compressor.compress_to_buffer(raw, out).map_err(|_| FAILED)?;
        Ok(())
    }

    /// Replaces `out` by what `frame` holds; leaves it empty if that fails.
    pub(super) fn decompress(
        &mut self,
        frame: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("a zstd frame");
        let size = checked_size(frame).ok_or(CORRUPT)?;
        let len = usize::try_from(size).map_err(|_| CORRUPT)?;
        if len > limit {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            return Err(CodecError::TooLarge { what: "a zstd frame", size, limit });
        }
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new().map_err(|_| CORRUPT)?),
        };
        out.reserve_exact(len);
        match decompressor.decompress_to_buffer(frame, out) {
            Ok(written) if written == len => Ok(()),
            _ => {
                out.clear();
                Err(CORRUPT)
            }
        }
    }
}

/// What `frame` says that it unpacks to, if it is one frame, whole, and its size can be true.
fn checked_size(frame: &[u8]) -> Option<u64> {
    if !frame.starts_with(&FRAME_MAGIC) {
        return None;
    }
    let whole = zstd_safe::find_frame_compressed_size(frame).ok()?;
    let size = zstd_safe::get_frame_content_size(frame).ok()??;
    let blocks = u64::try_from(frame.len()).ok()? / SMALLEST_BLOCK + 1;
    let believable = size <= blocks.saturating_mul(LARGEST_BLOCK) && size <= MAX_FRAME.into();
    (whole == frame.len() && believable).then_some(size)
}

/// The seek table over the frames of `index` and our sections, whose lengths these are.
pub(super) fn seek_table(index: &Index, sections: [u32; SECTIONS]) -> Result<Vec<u8>, CodecError> {
    let frames = index.frames().iter().map(|frame| (frame.len, frame.raw_len));
    let entries = frames.chain(sections.map(|len| (len, 0)));
    let count = index.frames().len() + SECTIONS;
    let bytes = count * ENTRY + FOOT;
    let too_large = |_| CodecError::TooLarge {
        what: "a seek table",
        size: u64::try_from(bytes).unwrap_or(u64::MAX),
        limit: u32::MAX.into(),
    };
    let mut out = Vec::with_capacity(HEAD + bytes);
    out.extend_from_slice(&TABLE_MAGIC);
    out.extend_from_slice(&u32::try_from(bytes).map_err(too_large)?.to_le_bytes());
    for (len, raw_len) in entries {
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&raw_len.to_le_bytes());
    }
    out.extend_from_slice(&u32::try_from(count).map_err(too_large)?.to_le_bytes());
    out.push(0); // No checksums of frames here: they have their own.
    out.extend_from_slice(&SEEKABLE_MAGIC);
    Ok(out)
}

/// Lengths of the seek table and of the whole tail, from the last [`TABLE_END`] bytes of a file.
pub(super) fn tail_len(end: &[u8; TABLE_END]) -> Result<(usize, usize), CodecError> {
    let mut cursor = Cursor::new(end, "the seek table");
    let mut sections = 0_usize;
    for _ in 0..SECTIONS {
        let len = u32::from_le_bytes(cursor.array()?);
        cursor.expect(&[0; 4])?;
        let len = usize::try_from(len).map_err(|_| cursor.corrupt())?;
        sections = sections.saturating_add(len);
    }
    let count = u32::from_le_bytes(cursor.array()?);
    let count = usize::try_from(count).map_err(|_| cursor.corrupt())?;
    cursor.expect(&[0])?;
    cursor.expect(&SEEKABLE_MAGIC)?;
    let table = count.saturating_mul(ENTRY).saturating_add(HEAD + FOOT);
    let tail = table.saturating_add(sections);
    if count < SECTIONS || tail > MAX_TAIL { Err(cursor.corrupt()) } else { Ok((table, tail)) }
}
