//! Reading side: the objects of an archive, by offset or by time, wherever they lie.
//!
//! An [`Archive`] is opened by what a person types (see [`Location`]), and has [`Topic`]s, which have
//! [`Partition`]s; one listing gives the [`Entries`] of a partition.
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

mod batch;
mod entries;
mod error;
pub mod ledger;
mod location;
mod look;
mod object;
mod owned;
mod records;

#[cfg(test)]
pub(crate) mod shelf;
mod summary;
mod target;
#[cfg(test)]
mod tests;
mod topic;
mod verify;

pub use entries::{Entries, Entry};
pub use error::ArchiveError;
pub use location::{Location, LocationError};
pub use object::Object;
pub use owned::OwnedRecord;
pub use records::Records;
pub use summary::Summary;
pub(crate) use target::metadata_of;
pub use target::open_store;
pub use topic::{Archive, Partition, Topic};
pub use verify::{Watch, verify};
