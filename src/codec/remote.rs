//! The tail of an object that lies elsewhere, by at most two range requests; no I/O in here.
//!
//! The first range is the object's end, which for nearly all objects holds the whole tail. If it
//! doesn't, it holds at least the tail's length, and the second range is exactly what is missing.

use std::ops::Range;

use super::tail::{Tail, enough, len_from_end};
use super::{CodecError, MAX_TAIL};
use crate::types::Suffix;

/// A tail that is being fetched.
#[derive(Debug, Clone)]
pub struct TailRead {
    suffix: Suffix,
    object_len: u64,
    wanted: Range<u64>,
    /// What the first request brought, if it wasn't enough.
    end: Option<Vec<u8>>,
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
    pub fn start(suffix: Suffix, object_len: u64) -> Result<Self, CodecError> {
        let least = u64::try_from(enough(suffix)).unwrap_or(u64::MAX);
        if object_len < least {
            return Err(CodecError::Corrupt("the end of the container"));
        }
        let wanted = object_len.saturating_sub(Self::FIRST)..object_len;
        Ok(Self { suffix, object_len, wanted, end: None })
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
        if let Some(end) = &self.end {
            let whole = [bytes, end].concat();
            return self.ready(&whole);
        }
        let len = len_from_end(self.suffix, bytes)?;
        match bytes.len().checked_sub(len) {
            Some(at) => self.ready(bytes.get(at..).ok_or(CORRUPT)?),
            None => self.ask(len, bytes),
        }
    }

    fn ready(&self, tail: &[u8]) -> Result<Step, CodecError> {
        let tail = Tail::parse(self.suffix, self.object_len, tail)?;
        Ok(Step::Ready(Box::new(tail)))
    }

    fn ask(self, len: usize, end: &[u8]) -> Result<Step, CodecError> {
        debug_assert!(len <= MAX_TAIL, "len_from_end gives no more");
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let start = self.object_len.checked_sub(len);
        let start = start.ok_or(CodecError::Corrupt("the end of the container"))?;
        let wanted = start..self.wanted.start;
        Ok(Step::Need(Self { wanted, end: Some(end.to_vec()), ..self }))
    }
}
