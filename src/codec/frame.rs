//! One frame of a container, packed and unpacked.

use std::fmt;

use super::avro::{AvroCodec, AvroHead, Blocks};
use super::gzip::{self, Gzip};
use super::kind::Kind;
use super::zstd::{self, Zstd};
use super::{CodecError, MAX_FRAME};
use crate::types::{AvroSchema, Suffix};

/// How hard to pack: a level that its kind of container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    suffix: Suffix,
    number: i32,
    avro: AvroCodec,
}

impl Level {
    /// The codec's fast level for `None`, else the level asked for if the codec has it.
    ///
    /// | | levels | fast |
    /// |---|---|---|
    /// | `.gz` and deflate, by ISA-L | 1 to 3 | 2 |
    /// | `.gz` and deflate, by zlib-rs | 1 to 9 | 1 |
    /// | `.zst` and zstandard | 1 to 19 | 1 |
    /// | neither | 0 | 0 |
    ///
    /// An Avro file's blocks are deflated, if [`avro`](Self::avro) does not say otherwise.
    pub fn new(suffix: Suffix, level: Option<i32>) -> Result<Self, CodecError> {
        let avro = match Kind::from(suffix) {
            Kind::Plain | Kind::Lines => AvroCodec::Null,
            Kind::Gzip | Kind::Avro => AvroCodec::Deflate,
            Kind::Zstd => AvroCodec::Zstandard,
        };
        Self::of(suffix, avro, level)
    }

    /// Of an Avro file whose blocks are packed by `codec`.
    pub fn avro(codec: AvroCodec, level: Option<i32>) -> Result<Self, CodecError> {
        Self::of(Suffix::Avro, codec, level)
    }

    /// The same under kafka_store's name.
    pub fn kafka_store(codec: AvroCodec, level: Option<i32>) -> Result<Self, CodecError> {
        Self::of(Suffix::KafkaStore, codec, level)
    }

    fn of(suffix: Suffix, avro: AvroCodec, level: Option<i32>) -> Result<Self, CodecError> {
        let (low, high, fast) = match avro {
            AvroCodec::Null => (0, 0, 0),
            AvroCodec::Deflate => (
                gzip::LOWEST.cast_signed(),
                gzip::HIGHEST.cast_signed(),
                gzip::DEFAULT.cast_signed(),
            ),
            AvroCodec::Zstandard => (zstd::LOWEST, zstd::HIGHEST, zstd::DEFAULT),
        };
        let level = level.unwrap_or(fast);
        if (low..=high).contains(&level) {
            Ok(Self { suffix, number: level, avro })
        } else {
            Err(CodecError::Level { level, suffix, low, high })
        }
    }

    /// The kind of container that it belongs to.
    #[must_use]
    pub const fn suffix(self) -> Suffix {
        self.suffix
    }

    /// How an Avro file's blocks are packed; `None` if it is none.
    #[must_use]
    pub const fn avro_codec(self) -> Option<AvroCodec> {
        match self.suffix {
            Suffix::Avro | Suffix::KafkaStore => Some(self.avro),
            _ => None,
        }
    }

    /// The level as a number.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.number
    }
}

/// Packs and unpacks frames of one kind; keeps the libraries' state from call to call.
///
/// One of these for each thread: frames may be packed in any order, by as many threads as one
/// likes, and put together by [`ContainerWriter::append`](super::ContainerWriter::append).
pub struct FrameCodec {
    kind: Kind,
    level: i32,
    inner: Inner,
}

enum Inner {
    Plain,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
    Avro(Box<Blocks>),
}

impl fmt::Debug for FrameCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameCodec")
            .field("kind", &self.kind)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

impl FrameCodec {
    /// Packs at `level`, and unpacks what any level packed. Avro blocks end with 16 zero bytes.
    #[must_use]
    pub fn new(level: Level) -> Self {
        let head = |codec| AvroHead::new(AvroSchema::Full, codec, [0; 16]);
        Self::with(level, level.avro_codec().map(head))
    }

    /// The same, with what is said of an Avro file.
    pub(super) fn with(level: Level, avro: Option<AvroHead>) -> Self {
        Self::make(level.suffix.into(), level.number, avro)
    }

    /// Unpacks the blocks of an Avro file, and packs them at a fast level.
    #[must_use]
    pub fn of_avro(head: AvroHead) -> Self {
        let level = fast(match head.codec {
            AvroCodec::Null => Kind::Plain,
            AvroCodec::Deflate => Kind::Gzip,
            AvroCodec::Zstandard => Kind::Zstd,
        });
        Self::make(Kind::Avro, level, Some(head))
    }

    /// Unpacks frames of `kind`, and packs at its fast level.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Self {
        Self::make(kind, fast(kind), None)
    }

    /// Unpacks frames of `suffix`, and packs at its fast level.
    #[must_use]
    pub fn for_suffix(suffix: Suffix) -> Self {
        Self::of_kind(suffix.into())
    }

    fn make(kind: Kind, level: i32, avro: Option<AvroHead>) -> Self {
        let inner = match kind {
            Kind::Plain | Kind::Lines => Inner::Plain,
            Kind::Gzip => Inner::Gzip(Box::new(Gzip::new(level.cast_unsigned()))),
            Kind::Zstd => Inner::Zstd(Box::new(Zstd::new(level))),
            Kind::Avro => {
                let head = || AvroHead::new(AvroSchema::Full, AvroCodec::Deflate, [0; 16]);
                Inner::Avro(Box::new(Blocks::new(avro.unwrap_or_else(head), level)))
            }
        };
        Self { kind, level, inner }
    }

    /// The kind of its frames.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Replaces `out` by `raw` as one complete frame: a gzip member with CRC and size, a zstd
    /// frame with size and checksum, the very same bytes, or an Avro block (`raw` is then its count
    /// as a zigzag varint, and so many records).
    pub fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        checked_raw_len(raw)?;
        out.clear();
        match &mut self.inner {
            Inner::Plain => out.extend_from_slice(raw),
            Inner::Gzip(gzip) => gzip.compress(raw, out)?,
            Inner::Zstd(zstd) => zstd.compress(raw, out)?,
            Inner::Avro(blocks) => blocks.compress(raw, out)?,
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
            Inner::Avro(blocks) => blocks.decompress(frame, limit, out),
        }
    }
}

/// The fast level.
const fn fast(kind: Kind) -> i32 {
    match kind {
        Kind::Plain | Kind::Lines => 0,
        Kind::Gzip | Kind::Avro => gzip::DEFAULT.cast_signed(),
        Kind::Zstd => zstd::DEFAULT,
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
