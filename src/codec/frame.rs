//! One frame of a container, packed and unpacked.

use std::fmt;

use super::gzip::{self, Gzip};
use super::zstd::{self, Zstd};
use super::{CodecError, MAX_FRAME};
use crate::types::Suffix;

/// How hard to pack: a level that its kind of container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    suffix: Suffix,
    level: i32,
}

impl Level {
    /// The codec's fast level for `None`, else the level asked for if the codec has it.
    ///
    /// | | levels | fast |
    /// |---|---|---|
    /// | `.mak.gz`, by ISA-L | 1 to 3 | 2 |
    /// | `.mak.gz`, by zlib-rs | 1 to 9 | 1 |
    /// | `.mak.zst` | 1 to 19 | 1 |
    /// | `.mak` | 0 | 0 |
    pub fn new(suffix: Suffix, level: Option<i32>) -> Result<Self, CodecError> {
        let (low, high, fast) = match suffix {
            Suffix::Mak => (0, 0, 0),
            Suffix::MakGz => (
                gzip::LOWEST.cast_signed(),
                gzip::HIGHEST.cast_signed(),
                gzip::DEFAULT.cast_signed(),
            ),
            Suffix::MakZst => (zstd::LOWEST, zstd::HIGHEST, zstd::DEFAULT),
        };
        let level = level.unwrap_or(fast);
        if (low..=high).contains(&level) {
            Ok(Self { suffix, level })
        } else {
            Err(CodecError::Level { level, suffix, low, high })
        }
    }

    /// The kind of container that it belongs to.
    #[must_use]
    pub const fn suffix(self) -> Suffix {
        self.suffix
    }

    /// The level as a number.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.level
    }
}

/// Packs and unpacks frames of one kind; keeps the libraries' state from call to call.
///
/// One of these for each thread: frames may be packed in any order, by as many threads as one
/// likes, and put together by [`ContainerWriter::append`](super::ContainerWriter::append).
pub struct FrameCodec {
    level: Level,
    inner: Inner,
}

enum Inner {
    Plain,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl fmt::Debug for FrameCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameCodec").field("level", &self.level).finish_non_exhaustive()
    }
}

impl FrameCodec {
    /// Packs at `level`, and unpacks what any level packed.
    #[must_use]
    pub fn new(level: Level) -> Self {
        let inner = match level.suffix {
            Suffix::Mak => Inner::Plain,
            Suffix::MakGz => Inner::Gzip(Box::new(Gzip::new(level.level.cast_unsigned()))),
            Suffix::MakZst => Inner::Zstd(Box::new(Zstd::new(level.level))),
        };
        Self { level, inner }
    }

    /// Unpacks frames of `suffix`, and packs at its fast level.
    #[must_use]
    pub fn for_suffix(suffix: Suffix) -> Self {
        let level = match suffix {
            Suffix::Mak => 0,
            Suffix::MakGz => gzip::DEFAULT.cast_signed(),
            Suffix::MakZst => zstd::DEFAULT,
        };
        Self::new(Level { suffix, level })
    }

    /// The kind of its frames.
    #[must_use]
    pub const fn suffix(&self) -> Suffix {
        self.level.suffix
    }

    /// Replaces `out` by `raw` as one complete frame: a gzip member with CRC and size, a zstd
    /// frame with size and checksum, or the very same bytes.
    pub fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        checked_raw_len(raw)?;
        out.clear();
        match &mut self.inner {
            Inner::Plain => out.extend_from_slice(raw),
            Inner::Gzip(gzip) => gzip.compress(raw, out)?,
            Inner::Zstd(zstd) => zstd.compress(raw, out)?,
        }
        Ok(())
    }

    /// Replaces `out` by what `frame`, which has to be exactly one frame, holds: at most `limit`
    /// bytes, and never allocates more than that. On an error `out` is empty.
    pub fn decompress(
        &mut self,
        frame: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        out.clear();
        match &mut self.inner {
            Inner::Plain if frame.len() > limit => {
                let wide = |len| u64::try_from(len).unwrap_or(u64::MAX);
                let (size, limit) = (wide(frame.len()), wide(limit));
                Err(CodecError::TooLarge { what: "a frame", size, limit })
            }
            Inner::Plain => {
                out.extend_from_slice(frame);
                Ok(())
            }
            Inner::Gzip(gzip) => gzip.decompress(frame, limit, out),
            Inner::Zstd(zstd) => zstd.decompress(frame, limit, out),
        }
    }
}

/// The length of what a frame is to hold, if it may hold that much.
pub(super) fn checked_raw_len(raw: &[u8]) -> Result<u32, CodecError> {
    match u32::try_from(raw.len()) {
        Ok(len) if len <= MAX_FRAME => Ok(len),
        _ => Err(CodecError::TooLarge {
            what: "a frame",
            size: u64::try_from(raw.len()).unwrap_or(u64::MAX),
            limit: MAX_FRAME.into(),
        }),
    }
}
