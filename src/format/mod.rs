//! What files hold, whichever way it is laid down: MAK, Avro or JSON lines.
//!
//! | file | what |
//! |---|---|
//! | `avro` | records as Avro lays them down: full, or as kafka_store did |
//! | `jsonl` | records as JSON lines, with kcat's names |
//! | `piece` | one unpacked frame read, record by record: [`Piece`] |
//! | `stream` | a whole file read from front to back: [`Stream`] |
//! | `writer` | records laid down as a file of any format: [`RecordWriter`] |
//! | `convert` | a container read, record by record, and laid down anew: [`convert`] |
//!
//! MAK itself is [`mak`](crate::mak), and what is laid around frames is [`codec`](crate::codec).
//!
//! Guarantees: what is written reads back the same, but for kafka_store's schema, which has no
//! headers, no types of timestamps and no offsets. Hostile bytes are an error value behind all
//! good records; nothing here panics, or allocates more than a small multiple of what it was given.
//! Pure: no files, clock or network.

mod avro;
mod convert;
pub(crate) mod jsonl;
mod piece;
mod stream;
mod writer;

#[cfg(test)]
mod tests;

pub use avro::Shape;
pub use convert::{ConvertError, convert, for_each_record, is_dense};
pub use piece::{Content, Piece, Spot};
pub use stream::{About, Stream};
pub use writer::{Counted, Layout, RecordWriter};
