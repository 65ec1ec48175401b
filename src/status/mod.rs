//! How the workers are, said by themselves in small files that anybody may read.
//!
//! Each worker keeps one file, `run/status/INSTANCE.ROLE-INDEX.json` under the working directory,
//! and replaces it whole: soon after something changed, and every ten seconds otherwise. It stays
//! when the worker ends, and says so; one that does not, and whose process is gone, is of a worker
//! that was killed. [`model`] is the format's document. Nothing reads these files to decide
//! anything: they are for people, `kafkatos3 status`, and monitors.
//!
//! **Cost.** Nothing is done on the way of a record; at most once a second what the worker knows
//! anyway is written down. A partition takes some 400 bytes of a consumer's file. Writing never
//! takes more than a hundredth of the time, whatever the number of partitions: who needs 20 ms for
//! a file writes it every two seconds.

//!
//! [`report`] is what is told of it all: [`Local::look`] reads a working directory, [`merge()`] puts
//! that together with what archive and broker said.

pub mod human;
mod local;
mod merge;
pub mod model;
mod problems;
mod recorder;
pub mod report;

pub use local::Local;
pub use merge::{ChainEnd, Known, Remote, archived, merge};
pub use model::WorkerStatus;
pub use recorder::{Recorder, now_ms};
