//! What the original kafkatos3 (in Python) left behind: its names, its files, and where a chain has
//! to begin so that nothing of it is lost or archived twice.
//!
//! ```text
//! inprogress/TOPIC/PARTITION/data.mak                             being written
//! tocompress/TOPIC/PARTITION/TOPIC-PARTITION_START-LAST_YYMMDD.mak     rotated; gzip works here
//! tos3/TOPIC/PARTITION/TOPIC-PARTITION_START-LAST_YYMMDD.mak.gz        packed, to be uploaded
//! data/tocompress/...                                             where its rotate tool moved files
//! kafkatos3/TOPIC/PARTITION/TOPIC-PARTITION_START-LAST_YYMMDD.mak.gz   in the bucket
//! ```
//! Its offsets in Kafka are committed by a timer, whatever became of the records: they may be
//! behind its files, and ahead of them. So files come first, the committed offset last.
//!
//! Reads only: [`scan`] lists directories, [`content`] reads what it is given, [`name`] and
//! [`begin`] are pure. What is to be done with the files is `worker::takeover`'s business.

pub mod begin;
pub mod content;
pub mod name;
pub mod scan;
