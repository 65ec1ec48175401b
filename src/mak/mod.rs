//! The MAK format, versions 1 and 2: records of one topic-partition, in offset order, as bytes.
//!
//! `docs/mak-v2.md` is the normative text of version 2; version 1 is the original tool's.
//! - [`Record`] and [`Headers`] are what both versions hold: borrowed, nothing is copied.
//! - [`v2::BlockBuilder`] packs records into blocks: the hot path of the product.
//! - [`v2::Blocks`] walks over the blocks of bytes in memory; [`v2::recover`] finds what is whole
//!   in a file that a crash left behind.
//! - [`v1`] reads nothing by itself; it lays records down as the original did.
//! - [`Reader`] reads a stream of either version, told apart by its first four bytes.
//! - [`Piece`] reads a part of a file of either version that was cut where a reader may start.
//!
//! Guarantees: what is written reads back the same (version 1 with its known losses); torn or
//! corrupt bytes are an error *value* with its position, behind all the good records; no parser
//! here panics, or allocates more than it was given bytes for; [`Reader`], which does not know how
//! many will come, stops at [`LARGEST_BLOCK`].
//! Pure: no files, clock or network. Imports `types` and `meta` only.

mod error;
mod header;
mod piece;
mod reader;
mod record;
pub(crate) mod varint;

#[cfg(test)]
mod tests;
pub mod v1;
pub mod v2;

/// Bytes that a block of version 2, or key and value of a record of version 1, may have to be read
/// of a stream. Kafka's clients take no message of more than 1,000,000,000 bytes.
pub const LARGEST_BLOCK: u64 = 1 << 30;

/// Bytes that a file's header may have to be read of a stream; they have a few hundred.
pub const LARGEST_HEADER: u64 = 1 << 20;

pub use error::MakError;
pub use header::{FileHeader, StartTime};
pub use piece::{Piece, Place, Shown};
pub use reader::{Header, PassedOver, Reader};
pub use record::{Headers, HeadersBuf, HeadersIter, Record};
