//! kafkatos3 archives Kafka topics to an object store or a directory, each record exactly once.
//!
//! # What it guarantees
//!
//! 1. **Exactly once.** Every record of a partition, from its chain's first offset on, is in
//!    exactly one archived file: through `kill -9` of any process at any instruction, loss of the
//!    spool, rebalances, several writers that all believe they own a partition, lost answers, and
//!    any change of settings.
//! 2. **Lossless.** What comes out is byte for byte what Kafka delivered: null and empty, headers,
//!    timestamps and their type, offsets.
//! 3. **No silent hole.** What Kafka no longer had is recorded as a gap, with its reason.
//! 4. **A committed group offset means durable.** Only what the store has acknowledged is committed.
//! 5. **Bounded.** Memory and spool are limited by the configuration; consumers pause instead.
//! 6. **One partition's trouble stays there.**
//!
//! `docs/archive-layout.md`, `docs/mak-v2.md` and `docs/containers.md` are the normative formats;
//! `docs/decisions/` says why things are as they are.
//!
//! # The map
//!
//! | module | what lives there | pure |
//! |---|---|---|
//! | [`types`], [`meta`], [`url`] | the words of the product, what is said of a file, and where an archive is | yes |
//! | [`mak`], [`codec`] | the file format, and the seekable containers around it | yes |
//! | [`format`](mod@format) | records in files of any format: MAK, Avro, JSON lines | yes |
//! | [`chain`] | the protocol that makes one line of files of many writers | yes |
//! | [`config`] | the configuration, read and checked | |
//! | [`legacy`] | what the original tool left in its working directory and its bucket | |
//! | [`spool`], [`store`], [`kafka`] | the three outsides; they never meet but in `worker` | |
//! | [`status`] | what workers say of themselves | |
//! | `worker` | consumer, compressor, uploader, takeover | |
//! | [`supervisor`], [`sys`] | the parent process, and Unix in safe types | |
//! | [`archive`] | reading an archive | |
//! | [`catalog`] | a table of what is archived, in a database | |
//! | `logging` | the log's lines, and which failures are worth one | |
//! | [`fail`] | steps at which tests kill the process; nothing in a release | |
//! | [`cli`] | what people type and read | |
//!
//! `tests/integration/arrows.rs` keeps who may know whom.

pub mod archive;
pub mod catalog;
pub mod chain;
pub mod cli;
pub mod codec;
pub mod config;
pub mod fail;
pub mod format;
pub mod kafka;
pub mod legacy;
mod logging;
pub mod mak;
pub mod meta;
#[cfg(test)]
mod model;
pub mod spool;
pub mod status;
pub mod store;
pub mod supervisor;
pub mod sys;
pub mod types;
pub mod url;
mod worker;
