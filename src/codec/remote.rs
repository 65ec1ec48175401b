//! The tail of an object that lies elsewhere, by at most two range requests; no I/O in here.
//!
//! The tail of an Avro file is its header, so there it is the beginning that is fetched. Of all
//! others the first range is the object's end, which for nearly all objects holds the whole tail. If it
//! doesn't, it holds at least the tail's length, and the second range is exactly what is missing.

use std::ops::Range;

use super::kind::Kind;
use super::tail::{Tail, enough, len_from_end};
use super::{CodecError, MAX_TAIL, avro};

/// A tail that is being fetched.
#[derive(Debug, Clone)]
pub struct TailRead {
    kind: Kind,
    object_len: u64,
    wanted: Range<u64>,
    /// What the first request brought, if it wasn't enough.
    first: Option<Vec<u8>>,
}

/// How it goes on after a request.
#[derive(Debug, Clone)]
pub enum Step {
    /// Fetch [`TailRead::range`] and feed it.
    Need(TailRead),
    /// That's it.
    Ready(Box<Tail>),
}

impl TailRead {
    /// Bytes that the first request asks for: room for an index of some 4,000 frames. One may
    /// fetch so many of an object's end before its length is known.
    pub const FIRST: u64 = 64 << 10;

    /// For an object of `object_len` bytes.
    pub fn start(kind: impl Into<Kind>, object_len: u64) -> Result<Self, CodecError> {
        let kind = kind.into();
        if kind == Kind::Avro {
            let wanted = 0..object_len.min(Self::FIRST);
            return Ok(Self { kind, object_len, wanted, first: None });
        }
        let least = u64::try_from(enough(kind)).unwrap_or(u64::MAX);
        if object_len < least {
            return Err(CodecError::Corrupt("the end of the container"));
        }
        let wanted = object_len.saturating_sub(Self::FIRST)..object_len;
        Ok(Self { kind, object_len, wanted, first: None })
    }

    /// The bytes of the object to fetch now; never more than [`MAX_TAIL`] or the object has.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.wanted.clone()
    }

    /// Takes what [`range`](Self::range) asked for.
    pub fn feed(self, bytes: &[u8]) -> Result<Step, CodecError> {
        const CORRUPT: CodecError = CodecError::Corrupt("the end of the container");
        let asked = self.wanted.end.saturating_sub(self.wanted.start);
        if u64::try_from(bytes.len()) != Ok(asked) {
            return Err(CodecError::Corrupt("the answer to a range request"));
        }
        match (&self.first, self.kind) {
            (None, Kind::Avro) => return self.header(bytes),
            (Some(front), Kind::Avro) => return self.ready(&[front, bytes].concat()),
            (Some(end), _) => return self.ready(&[bytes, end].concat()),
            (None, _) => {}
        }
        let len = len_from_end(self.kind, bytes)?;
        match bytes.len().checked_sub(len) {
            Some(at) => self.ready(bytes.get(at..).ok_or(CORRUPT)?),
            None => self.ask(len, bytes),
        }
    }

    fn ready(&self, tail: &[u8]) -> Result<Step, CodecError> {
        let tail = match self.kind {
            Kind::Avro => avro::parse_header(self.object_len, tail)?,
            kind => Tail::parse(kind, self.object_len, tail)?,
        };
        Ok(Step::Ready(Box::new(tail)))
    }

    fn ask(self, len: usize, end: &[u8]) -> Result<Step, CodecError> {
        debug_assert!(len <= MAX_TAIL, "len_from_end gives no more");
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let start = self.object_len.checked_sub(len);
        let start = start.ok_or(CodecError::Corrupt("the end of the container"))?;
        let wanted = start..self.wanted.start;
        Ok(Step::Need(Self { wanted, first: Some(end.to_vec()), ..self }))
    }

    fn header(self, front: &[u8]) -> Result<Step, CodecError> {
        let len = avro::header_len(front)?;
        if let Some(header) = front.get(..len) {
            return self.ready(header);
        }
        let end = u64::try_from(len).unwrap_or(u64::MAX);
        if end > self.object_len {
            return Err(CodecError::Corrupt("the header of the Avro file"));
        }
        let wanted = self.wanted.end..end;
        Ok(Step::Need(Self { wanted, first: Some(front.to_vec()), ..self }))
    }
}
