//! The only code that touches librdkafka.
//!
//! | module | what it gives |
//! |---|---|
//! | [`settings`] | what a client is started with, and the properties that the promises rest on |
//! | [`consumer`] | a member of the consumer group: events, explicit positions, batches |
//! | [`batch`] | what was taken at once: runs of records, and what happened to a partition between them |
//! | [`admin`] | questions to the cluster: its id, topics and their ids, ends of partitions |
//! | [`probe`], [`trouble`] | one broker tried out, and what is in the way to it |
//! | [`policy`] | which topics are compacted |
//! | [`patterns`] | which topics a white and a black list mean |
//! | [`producer`], [`mock`] | a thin producer and a cluster inside the process, for the demo and tests |
//!
//! All `unsafe` lies in `raw` (librdkafka) and `regex` (the C library's regular expressions);
//! what they export is safe. librdkafka starts threads: nothing here may be called before a
//! worker's fork.

pub mod admin;
pub mod batch;
pub mod consumer;
pub mod error;
mod ledger;
pub mod mock;
pub mod patterns;
pub mod policy;
pub mod probe;
pub mod producer;
#[expect(unsafe_code, reason = "librdkafka is a C library; this is the one place that calls it")]
mod raw;
#[expect(unsafe_code, reason = "regcomp and regexec are C")]
mod regex;
pub mod settings;
pub mod trouble;

pub use admin::{Admin, Described, Spec};
pub use batch::{Batch, Message, Part, PartitionEvent, Run, Slot};
pub use consumer::{Commit, Committed, CommittedOf, Consumer, Event, GroupLookup, Start};
pub use error::{Code, KafkaError};
pub use patterns::{PatternError, PatternSpec, Patterns};
pub use raw::{Broker, Brokers, Group, Member, Rights};
pub use settings::{ClientSettings, ConsumerSettings, Fetched};
