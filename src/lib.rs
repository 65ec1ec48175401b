//! kafkatos3 archives Kafka topics to an object store or a directory, each record exactly once.

pub mod archive;
pub mod chain;
pub mod cli;
pub mod codec;
pub mod config;
pub mod kafka;
pub mod mak;
pub mod meta;
pub mod spool;
pub mod store;
pub mod supervisor;
pub mod sys;
pub mod types;
pub mod worker;
