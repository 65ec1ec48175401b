//! Version 1, byte for byte as the original tool's writer laid it down.
//!
//! ```text
//! 0   "MAK"
//! 3   u64  last offset written; the start offset while there is none
//! 11  u64  position behind the last whole record: readers stop there, whatever follows
//! 19  u64  length of the JSON header
//! 27  JSON header: topic, partition, startoffset, starttime
//! ..  records: u64 key length, key, u64 value length, value, u64 offset
//! ```
//! All integers are big-endian. What it can't keep: null (becomes empty), timestamps, headers,
//! offsets known to hold nothing at the end; and it has no checksums. Reading is
//! [`Reader`](super::Reader)'s.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::header::{start_time, v1_fields};
use super::{FileHeader, MakError, Record, StartTime};
use crate::types::{Offset, Partition, TopicName};

/// The first four bytes of a file: the fourth is the highest of an offset, which is always 0.
pub const MAGIC: [u8; 4] = *b"MAK\0";

/// The highest offset: the byte above it stands where version 2 has its number.
const HIGHEST: u64 = (1 << 56) - 1;

/// Where the JSON header begins.
pub(super) const JSON_AT: u64 = 27;
/// What a record takes besides its key and value.
pub(super) const RECORD_OVERHEAD: u64 = 24;

/// Header of a version 1 file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// Where reading began.
    pub start: Offset,
    /// When the file was begun.
    pub start_time: StartTime,
}

impl Header {
    /// The JSON text as Python's `json.dumps` spells it.
    #[must_use]
    pub fn to_json(&self) -> String {
        v1_fields(&self.topic, self.partition, self.start, &self.start_time) + "}"
    }

    /// Reads the JSON text; keys that are not known are passed over.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let read: Json<'_> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        Ok(Self {
            topic: read.topic,
            partition: read.partition,
            start: read.startoffset,
            start_time: start_time(read.starttime)?,
        })
    }
}

/// What version 1 keeps of version 2's header.
impl From<&FileHeader> for Header {
    fn from(header: &FileHeader) -> Self {
        Self {
            topic: header.identity.topic.clone(),
            partition: header.identity.partition,
            start: header.start,
            start_time: header.start_time.clone(),
        }
    }
}

#[derive(Deserialize)]
struct Json<'a> {
    topic: TopicName,
    partition: Partition,
    startoffset: Offset,
    #[serde(borrow)]
    starttime: &'a RawValue,
}

/// Adds up what a file's head has to say before its records can be written behind it, for a writer
/// that can't go back: add every record, write [`head`](Self::head), then every record with
/// [`put_record`].
#[derive(Debug, Clone)]
pub struct Plan {
    json: String,
    last: Offset,
    end: u64,
}

impl Plan {
    /// Of a file without records.
    pub fn new(header: &Header) -> Result<Self, MakError> {
        let json = header.to_json();
        let end = JSON_AT + json.len() as u64;
        Ok(Self { json, last: held(header.start)?, end })
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record<'_>) -> Result<(), MakError> {
        self.last = held(record.offset)?;
        self.end += record_len(record);
        Ok(())
    }

    /// How long the file becomes.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The bytes before the first record.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let mut head = b"MAK".to_vec();
        for number in [self.last.get(), self.end, self.json.len() as u64] {
            head.extend_from_slice(&number.to_be_bytes());
        }
        head.extend_from_slice(self.json.as_bytes());
        head
    }
}

/// `offset`, if it can stand in a file.
const fn held(offset: Offset) -> Result<Offset, MakError> {
    if offset.get() <= HIGHEST { Ok(offset) } else { Err(MakError::TooHigh(offset.get())) }
}

/// How long a record becomes.
#[must_use]
pub fn record_len(record: &Record<'_>) -> u64 {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, |b| b.len() as u64);
    RECORD_OVERHEAD + len(record.key) + len(record.value)
}

/// Appends a record; its timestamp and headers are not kept, and null becomes empty.
pub fn put_record(record: &Record<'_>, out: &mut Vec<u8>) {
    for part in [record.key, record.value] {
        let part = part.unwrap_or_default();
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&record.offset.get().to_be_bytes());
}

/// Builds a whole file in memory.
#[derive(Debug, Clone)]
pub struct Builder {
    plan: Plan,
    out: Vec<u8>,
}

impl Builder {
    /// A file without records.
    pub fn new(header: &Header) -> Result<Self, MakError> {
        let plan = Plan::new(header)?;
        let out = plan.head();
        Ok(Self { plan, out })
    }

    /// Appends a record; its offset is higher than the one before.
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), MakError> {
        let empty = self.plan.end == JSON_AT + self.plan.json.len() as u64;
        let (offset, last) = (record.offset.get(), self.plan.last.get());
        let expected = if empty { last } else { last + 1 };
        if offset < expected {
            return Err(MakError::Order { offset, expected });
        }
        self.plan.add(record)?;
        put_record(record, &mut self.out);
        Ok(())
    }

    /// The file, its head patched.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let head = self.plan.head();
        self.out.splice(..head.len(), head);
        self.out
    }
}
