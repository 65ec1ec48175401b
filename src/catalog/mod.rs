//! The catalogue: a table with a row for each archived file, as kafka_store kept one in MySQL.
//!
//! `kafka_store(topic, partition, startOffset, finalOffset, byteSize, md5Hash, time)`, in MySQL,
//! MariaDB, PostgreSQL or SQLite. The table *follows* the archive and nobody here ever reads it to
//! learn what is archived: a row that is missing, wrong or one too many costs a look-up, never data.
//! Whatever happened to it, [`sync`](sync::sync) makes it what the archive says.
//!
//! - [`database`]: the table, in each database's own words.
//! - [`rows`]: the row of an object, and which rows a partition lacks. Reads what it has to hash.
//! - [`sync`]: the whole table.

pub mod database;
pub mod rows;
pub mod sync;

use std::time::SystemTime;

use crate::types::{Offset, OffsetRange};

/// The name of the table.
pub const TABLE: &str = "kafka_store";

/// Which partition's files a row is among. A topic's second chain is a topic of its own here, as in
/// the archive: `orders@2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The topic, or `topic@2`.
    pub topic: String,
    /// The partition.
    pub partition: i64,
}

/// What the table says of one archived file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub part: Part,
    /// `startOffset` and, inclusive, `finalOffset`: what the file covers, holes and gaps too.
    pub range: OffsetRange,
    /// `byteSize`: the object's length.
    pub bytes: u64,
    /// `md5Hash`: of the object, in hexadecimal.
    pub md5: String,
    /// `time`: when it was archived.
    pub time: SystemTime,
}

/// A row as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// `startOffset`
    pub start: Offset,
    /// `finalOffset`, inclusive.
    pub last: Offset,
    /// `byteSize`
    pub bytes: u64,
}

/// Why the table could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The database does not answer, or has no time; later it may.
    #[error("{database}: not available: {words}")]
    Unavailable {
        /// The database, without password.
        database: String,
        /// Why.
        words: String,
    },
    /// Wrong password, or no right to do this.
    #[error("{database}: not permitted: {words}")]
    Denied {
        /// The database, without password.
        database: String,
        /// What it said.
        words: String,
    },
    /// There is no such database, or the table is another one.
    #[error("{database}: {words}")]
    Other {
        /// The database, without password.
        database: String,
        /// What it said.
        words: String,
    },
}

impl CatalogError {
    /// The exit code of a command that ends with this (sysexits).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unavailable { .. } => 69,
            Self::Denied { .. } => 77,
            Self::Other { .. } => 78,
        }
    }
}
