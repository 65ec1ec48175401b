//! Records that were read, to be compared and written again.

use kafkatos3::mak::{Headers, Record};
use kafkatos3::types::{Offset, Timestamp};

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub offset: Offset,
    timestamp: Option<Timestamp>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<u8>,
}

impl Kept {
    /// Takes it over.
    pub fn of(record: &Record<'_>) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.encoded().to_vec(),
        }
    }

    /// As it is written.
    pub fn borrow(&self) -> Record<'_> {
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: Headers::parse(&self.headers).expect("they were headers"),
        }
    }
}
