//! A record with bytes of its own, for those who keep it.

use crate::mak::{HeadersBuf, Record};
use crate::types::{Offset, Timestamp};

/// One Kafka message that borrows nothing. `None` is null, which is not the same as empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its place in the partition.
    pub offset: Offset,
    /// When, and by whom that was set.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// Names and values of the headers, in their order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    /// Lends it as a [`Record`]; `headers` is only a place to lay its headers out.
    pub fn borrow<'a>(&'a self, headers: &'a mut HeadersBuf) -> Record<'a> {
        headers.clear();
        for (name, value) in &self.headers {
            headers.push(name, value.as_deref());
        }
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: headers.as_headers(),
        }
    }
}

impl From<Record<'_>> for OwnedRecord {
    fn from(record: Record<'_>) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: owned(record.key),
            value: owned(record.value),
            headers: record.headers.iter().map(|(n, v)| (n.to_vec(), owned(v))).collect(),
        }
    }
}
