//! One frame as a gzip member.
//!
//! Members of a body have the shortest possible header, the same in all of them, so that anything
//! else in its place is damage. Deflate is ISA-L's where it is built in, else zlib-rs's.

use super::{CodecError, MAX_FRAME};

#[cfg(any(feature = "isal", feature = "isal-system"))]
pub(super) use super::isal::{DEFAULT, Deflater, HIGHEST, Inflater, LOWEST};
#[cfg(not(any(feature = "isal", feature = "isal-system")))]
pub(super) use zlib::{DEFAULT, Deflater, HIGHEST, Inflater, LOWEST};

/// Magic, deflate, no flags, no time, no hints, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// No deflate stream unpacks to more than this many times its length.
const HIGHEST_RATIO: u64 = 1032;

/// Packs and unpacks members; what it needs is made when it is first needed.
pub(super) struct Gzip {
    level: u32,
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
}

impl Gzip {
    pub(super) const fn new(level: u32) -> Self {
        Self { level, deflater: None, inflater: None }
    }

    /// Appends `raw` to `out` as one member.
    pub(super) fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let size = u32::try_from(raw.len()).map_err(|_| CodecError::Compress("gzip"))?;
        out.extend_from_slice(&HEADER);
        self.deflater.get_or_insert_with(|| Deflater::new(self.level)).deflate(raw, out)?;
        out.extend_from_slice(&crc32fast::hash(raw).to_le_bytes());
        out.extend_from_slice(&size.to_le_bytes());
        Ok(())
    }

    /// Replaces `out` by what the member `frame` holds; leaves it empty if that fails.
    pub(super) fn decompress(
        &mut self,
        frame: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("a gzip member");
        let inner = frame.strip_prefix(&HEADER).ok_or(CORRUPT)?;
        let (inner, size) = inner.split_last_chunk::<4>().ok_or(CORRUPT)?;
        let (deflated, crc) = inner.split_last_chunk::<4>().ok_or(CORRUPT)?;
        let (size, crc) = (u32::from_le_bytes(*size), u32::from_le_bytes(*crc));
        let packed = u64::try_from(deflated.len()).map_err(|_| CORRUPT)?;
        if u64::from(size) > packed.saturating_mul(HIGHEST_RATIO) || size > MAX_FRAME {
            return Err(CORRUPT);
        }
        if usize::try_from(size).map_or(true, |size| size > limit) {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            return Err(CodecError::TooLarge { what: "a gzip member", size: size.into(), limit });
        }
        let inflater = self.inflater.get_or_insert_with(Inflater::new);
        if inflater.inflate(deflated, size, out) && crc32fast::hash(out) == crc {
            Ok(())
        } else {
            out.clear();
            Err(CORRUPT)
        }
    }
}

#[cfg(any(test, not(any(feature = "isal", feature = "isal-system"))))]
#[cfg_attr(any(feature = "isal", feature = "isal-system"), allow(dead_code))]
pub(super) mod zlib {
    //! Raw deflate by zlib-rs, with the same face as `isal`.

    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

    use crate::codec::CodecError;

    pub(in crate::codec) const LOWEST: u32 = 1;
    pub(in crate::codec) const HIGHEST: u32 = 9;
    pub(in crate::codec) const DEFAULT: u32 = 1;

    /// Packs; keeps its state from frame to frame.
    pub(in crate::codec) struct Deflater(Compress);

    impl Deflater {
        /// For a level from [`LOWEST`] to [`HIGHEST`]; others mean the nearest of these.
        pub(in crate::codec) fn new(level: u32) -> Self {
            Self(Compress::new(Compression::new(level.clamp(LOWEST, HIGHEST)), false))
        }

        /// Appends `raw` to `out` as one complete deflate stream.
        pub(in crate::codec) fn deflate(
            &mut self,
            raw: &[u8],
            out: &mut Vec<u8>,
        ) -> Result<(), CodecError> {
            const FAILED: CodecError = CodecError::Compress("zlib");
            self.0.reset();
            out.reserve(raw.len() / 2 + 64);
            loop {
                let taken = usize::try_from(self.0.total_in()).map_err(|_| FAILED)?;
                let left = raw.get(taken..).ok_or(FAILED)?;
                match self.0.compress_vec(left, out, FlushCompress::Finish) {
                    Ok(Status::StreamEnd) => return Ok(()),
                    Ok(_) if out.len() == out.capacity() => out.reserve(left.len() / 2 + 64),
                    _ => return Err(FAILED),
                }
            }
        }
    }

    /// Unpacks; keeps its state from frame to frame.
    pub(in crate::codec) struct Inflater(Decompress);

    impl Inflater {
        /// Ready for any stream.
        pub(in crate::codec) fn new() -> Self {
            Self(Decompress::new(false))
        }

        /// Appends to `out` what `deflated` holds; false if it is not one whole deflate stream of
        /// exactly `size` bytes, in which case `out` is as it was. `size` is allocated.
        pub(in crate::codec) fn inflate(
            &mut self,
            deflated: &[u8],
            size: u32,
            out: &mut Vec<u8>,
        ) -> bool {
            let Ok(len) = usize::try_from(size) else { return false };
            let before = out.len();
            // One more than needed: zlib wants room even to say that there is no more.
            out.reserve_exact(len + 1);
            self.0.reset(false);
            let status = self.0.decompress_vec(deflated, out, FlushDecompress::Finish);
            let ended = matches!(status, Ok(Status::StreamEnd));
            let whole = u64::try_from(deflated.len()).is_ok_and(|all| all == self.0.total_in());
            if ended && whole && out.len() - before == len {
                return true;
            }
            out.truncate(before);
            false
        }
    }
}
