//! What is tried with hostile bytes, and what has to hold whatever they are.
//!
//! The fuzzer (`scripts/fuzz`) and the tests of every day run the same functions: the former on
//! what it makes up, the latter on what it has found so far (`fuzz/corpus`). A function returns if
//! all is well and panics if not. None of them writes anything, or reads files.

pub mod chain;
pub mod config;
pub mod container;
pub mod formats;
pub mod kept;
pub mod mak;
pub mod mend;
pub mod names;
pub mod spool;

/// One of them.
pub type Target = fn(&[u8]);

/// All of them; each has a folder of its name under `fuzz/corpus`.
pub const ALL: [(&str, Target); 11] = [
    ("mak_v1", mak::v1),
    ("mak_v2", mak::v2),
    ("container_plain", container::plain),
    ("container_gzip", container::gzip),
    ("container_zstd", container::zstd),
    ("avro", formats::avro),
    ("jsonl", formats::jsonl),
    ("chain", chain::run),
    ("spool", spool::run),
    ("names", names::run),
    ("config", config::run),
];
