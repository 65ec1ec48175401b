//! What can be wrong with a MAK file, or with what is to be put into one.

use std::borrow::Cow;
use std::io;

/// Why a MAK file can't be read on, or a record not be written.
///
/// Positions count from the first byte of the uncompressed file.
#[derive(Debug, thiserror::Error)]
pub enum MakError {
    /// It does not begin as a MAK file does.
    #[error("not a MAK file: {0}")]
    Foreign(&'static str),
    /// A version that is not known here.
    #[error(
        "MAK version {0} is not known here (this program reads 1 and 2): use a newer kafkatos3"
    )]
    Version(u8),
    /// It ends too early; what came before is whole.
    #[error("cut short: {what} at byte {position} is not complete")]
    Torn {
        /// Where the incomplete thing begins.
        position: u64,
        /// What is not complete.
        what: &'static str,
    },
    /// Bytes that say something impossible; what came before is whole.
    #[error("corrupt at byte {position}: {what}")]
    Corrupt {
        /// Where the impossible thing begins.
        position: u64,
        /// What is impossible.
        what: Cow<'static, str>,
    },
    /// Larger than anything that Kafka's clients deliver: a length that lies.
    #[error(
        "{what} at byte {position} is said to have {size} bytes; more than {limit} are not read"
    )]
    TooLarge {
        /// Where the large thing begins.
        position: u64,
        /// What is large.
        what: &'static str,
        /// How large it says that it is.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The bytes could not be had.
    #[error("can't read on at byte {position}")]
    Io {
        /// How far reading had come.
        position: u64,
        /// What the system says.
        source: io::Error,
    },
    /// A record whose offset lies before the place where it was to go (or is the highest number
    /// that there is, behind which no file could end).
    #[error("offset {offset} can't follow here: {expected} or a higher one is expected")]
    Order {
        /// The record's offset.
        offset: u64,
        /// The lowest that may follow.
        expected: u64,
    },
    /// Version 1 has 56 bits for an offset; the eight above them tell the version.
    #[error("offset {0} is higher than version 1 can hold")]
    TooHigh(u64),
    /// The block would outgrow the 32 bits of its length; finish it first.
    #[error("the block is full: its length would not fit 32 bits")]
    Full,
    /// A block or file that would cover no offset.
    #[error("the range [{start}, {next}) covers no offset")]
    Empty {
        /// First offset, inclusive.
        start: u64,
        /// End, exclusive.
        next: u64,
    },
}

impl MakError {
    pub(super) fn corrupt(position: u64, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Corrupt { position, what: what.into() }
    }
}
