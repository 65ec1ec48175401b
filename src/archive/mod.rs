//! Reading an archive: its topics, partitions and records, wherever it lies.
//!
//! ```no_run
//! # use kafkatos3::archive::{Archive, ArchiveError};
//! # async fn show() -> Result<(), ArchiveError> {
//! let topic = Archive::open("s3://my-archive/kafkatos3").await?.topic("orders").await?;
//! let mut messages = topic.range(1000..2000);
//! while let Some(message) = messages.next().await? {
//!     println!("{} {}", message.chain.partition(), message.record.offset);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An [`Archive`] is opened by what a person types (see [`Location`]), and has [`Topic`]s, which
//! have [`Partition`]s; one listing gives the [`Entries`] of a partition. What is wanted of them is a
//! [`Slice`]: by offsets, from the end, by time, so many, and on as the archive grows. It is read from
//! one partition as a [`RecordStream`], from several as [`Messages`], one partition after the other,
//! or as a [`Merge`], in the order of time. Nothing here changes an archive.
//!
//! Requests and unpacking run on threads of the archive's own (`engine`), beside the caller's and
//! ahead of it (`ahead`); any executor will do to wait for them. `docs/reading.md` has the figures of
//! requests and memory.
//!
//! # One object
//!
//! An [`Object`] is opened by its tail, which tells what the object is and where its frames are.
//! From then on only the frames that are wanted are fetched, one after the other:
//!
//! ```
//! # use kafkatos3::archive::{ArchiveError, Object};
//! # use kafkatos3::store::{Store, names::Name};
//! # use kafkatos3::types::Offset;
//! async fn show(store: &dyn Store, name: &Name) -> Result<(), ArchiveError> {
//!     let object = Object::open(store, name).await?;
//!     let mut records = object.records_from_time(1_700_000_000_000);
//!     while let Some(record) = records.next().await? {
//!         println!("{}: {:?}", record.offset, record.value);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! **Requests.** Opening takes one for the object's last 64 KiB, and a second one if its tail is
//! longer. A record by offset or time takes one more: its frame (so at most three in all, counted
//! by `tests/integration/ranges.rs`). What the first request brought is not fetched again, so an
//! object of less than 64 KiB takes one request as a whole.
//!
//! **Memory.** An open object holds its tail (some 40 bytes a frame) and the 64 KiB. A reader
//! holds what one request brought, which is one frame or as much as
//! [`Records::read_ahead`] allows, and one unpacked frame. Frames are about 1 MiB unpacked; one
//! is larger only where a block or a record of version 1 is.
//!
//! **Damage.** All that is read is taken as hostile. Name, metadata, index and records have to
//! agree as far as they are looked at; if not, and for everything else that is wrong, there is an
//! [`ArchiveError`] that names the object, behind all the good records.

mod ahead;
mod batch;
#[cfg(test)]
mod chain_tests;
mod elder;
mod engine;
mod entries;
mod error;
pub mod ledger;
mod location;
mod look;
mod merge;
mod messages;
mod object;
mod owned;
mod records;
mod remote;

#[cfg(test)]
pub(crate) mod shelf;
mod slice;
mod stream;
mod summary;
mod target;
#[cfg(test)]
mod tests;
mod topic;
mod verify;

pub use elder::{Elder, Layout, Survey};
pub use entries::{Entries, Entry};
pub use error::ArchiveError;
pub use location::{Location, LocationError};
pub use merge::Merge;
pub use messages::{Message, Messages};
pub use object::Object;
pub use owned::OwnedRecord;
pub use records::Records;
pub use slice::{Slice, Start};
pub use stream::{Next, RecordStream};
pub use summary::Summary;
pub(crate) use target::metadata_of;
pub use target::open_store;
pub use topic::{Archive, Partition, Topic};
pub use verify::{Watch, verify};
