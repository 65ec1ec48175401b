//! Seekable containers: gzip members, zstd frames, Avro blocks, or plain MAK or JSON lines, with an
//! index and a trailer.
//!
//! `docs/containers.md` is the normative layout. A container is a *body*, a row of frames of which
//! each can be unpacked alone, and a *tail* that says where the frames are and what the file is.
//! Any gunzip or unzstd prints the body's content and nothing of the tail.
//!
//! | file | what |
//! |---|---|
//! | `frame` | one frame packed and unpacked: [`FrameCodec`], [`Level`] |
//! | `gzip`, `zstd`, `isal` | the libraries behind it; `isal` is the only unsafe code |
//! | `kind` | which containers there are: [`Kind`] |
//! | `avro` | Avro object container files, whose tail is their header |
//! | `lines` | a tail as white space |
//! | `index` | the table of frames: [`Index`] |
//! | `tail` | sections around index, metadata and checksums: [`Tail`] |
//! | `container` | whole files: [`ContainerWriter`], [`Container`], [`seal`] |
//! | `remote` | tails of remote objects by range requests, without I/O: [`TailRead`] |
//! | `stream` | whole streams of any kind, unpacked from front to back: [`unpack`] |
//!
//! Pure: bytes in, bytes out; the writer writes to what it is given and makes nothing durable.
//! Knows nothing of records: whoever makes frames cuts them where a reader may start. All that is
//! read is taken as hostile: lengths are checked before anything is allocated, and a damaged file
//! is a [`CodecError`], never a panic.

mod avro;
mod container;
mod frame;
mod gzip;
mod index;
#[cfg(any(feature = "isal", feature = "isal-system"))]
mod isal;
mod kind;
mod lines;
mod remote;
mod stream;
mod tail;
mod wire;
mod zstd;

pub(crate) use avro::schema_text;
pub use avro::{AvroCodec, AvroHead, AvroHeader, BlockHead, block_head, block_len};
pub use container::{Container, ContainerWriter, Written, seal};
pub use frame::{FrameCodec, Level};
pub use index::{Frame, FrameInfo, Index};
pub use kind::Kind;
pub use remote::{Step, TailRead};
pub use stream::unpack;
pub use tail::{BodyFacts, Tail};

use crate::types::Suffix;

/// Unpacked bytes that a frame should hold: small enough to fetch for one record, large enough to
/// pack well.
pub const FRAME_TARGET: usize = 1 << 20;

/// Unpacked bytes that a frame may hold at most.
pub const MAX_FRAME: u32 = i32::MAX.cast_unsigned();

/// Bytes that a tail may have at most, so that a reader can fetch one without fear.
pub const MAX_TAIL: usize = 64 << 20;

/// A container, or a part of one, that can't be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Something is not as `docs/containers.md` has it.
    #[error("{0} is damaged or cut short")]
    Corrupt(&'static str),
    /// Larger than is allowed, or than the caller wants.
    #[error("{what} has {size} bytes, which is more than {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is, or says it is.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A level that the codec doesn't have.
    #[error("compression level {level} is not one of \"{suffix}\": {low} to {high}")]
    Level {
        /// What was asked for.
        level: i32,
        /// Of which kind.
        suffix: Suffix,
        /// Lowest.
        low: i32,
        /// Highest.
        high: i32,
    },
    /// Begins like nothing that is known here.
    #[error("begins like neither MAK, Avro, JSON lines, gzip nor zstd")]
    Foreign,
    /// An Avro file that somebody else wrote.
    #[error("an Avro file that kafkatos3 did not write: it has no kafkatos3.container first")]
    NotOurs,
    /// Blocks that can't be unpacked here.
    #[error("the Avro codec \"{0}\" is not one of null, deflate, zstandard")]
    AvroCodec(String),
    /// Written by a later version of the product.
    #[error(
        "container version {0} is not known here (this version reads 1): use a newer kafkatos3"
    )]
    Version(u8),
    /// Frames that can't follow each other.
    #[error("a frame's offset {first} lies below {previous}, where the frame before it starts")]
    Order {
        /// Where the frame starts.
        first: u64,
        /// Where the one before it does.
        previous: u64,
    },
    /// The codec refused to work; it should not happen.
    #[error("{0} failed to compress")]
    Compress(&'static str),
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests;
