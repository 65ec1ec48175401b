//! Version 2: a row of blocks, each with a kind, a length and a CRC-32.
//!
//! ```text
//! file   "MAK" 0x02, then blocks to the end
//! block  kind u8, 3 zero bytes, payload length u32, CRC-32 u32, payload
//!        the CRC covers the 8 bytes before it and the payload
//! H      first: the header, a JSON object
//! R      records, over a range of offsets; the range of the first R begins at the header's
//!        start, each further one where the one before ends
//! F      finish: the file is complete, and what it holds in all
//! I M E  index, metadata, end: the tail of a plain file, see `codec`
//! ```
//! `docs/mak-v2.md` is the normative text.

mod blocks;
mod builder;
mod finish;
mod records;
mod recover;
mod sequence;

pub use blocks::{Block, Blocks, Kind, block_len, write_block};
pub use builder::BlockBuilder;
pub use finish::Finish;
pub use records::{RecordsBlock, RecordsIter};
pub use recover::{Recovered, recover};

pub(super) use blocks::{BlockHead, HEAD_LEN};
pub(super) use records::{Cursor, Fixed};
pub(super) use sequence::Sequence;

use super::FileHeader;

/// The first four bytes of a file.
pub const MAGIC: [u8; 4] = *b"MAK\x02";

/// What a file begins with: magic and header block.
#[must_use]
pub fn file_prologue(header: &FileHeader) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    write_block(Kind::Header, header.to_json().as_bytes(), &mut out);
    out
}

/// The block that makes a file complete.
#[must_use]
pub fn finish_block(finish: &Finish) -> Vec<u8> {
    let mut out = Vec::new();
    write_block(Kind::Finish, &finish.to_payload(), &mut out);
    out
}
