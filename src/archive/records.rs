//! Reads an object's records, frame by frame.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::batch::Batch;
use super::{ArchiveError, Object, OwnedRecord};
use crate::codec::{CodecError, Frame, FrameCodec};
use crate::mak::Record;
use crate::types::Offset;

/// An object's records from some place on, in offset order.
///
/// Fetches a frame when its first record is asked for, and holds no more than one; see
/// [`read_ahead`](Self::read_ahead). After an error there is nothing more.
pub struct Records<'o> {
    object: &'o Object<'o>,
    codec: FrameCodec,
    /// Indices of the frames that were not read yet.
    left: Range<usize>,
    /// Where the next frame begins in the unpacked file.
    position: u64,
    /// The records that are wanted end before this.
    end: Offset,
    /// What the next record has to be; nothing any more once it was found.
    seek: Option<Seek>,
    read_ahead: u64,
    /// How many frames to fetch at least, where there are so many.
    at_least: usize,
    fetched: Fetched,
    current: Option<Batch>,
    spare: Vec<u8>,
    passed_over: u64,
    done: bool,
}

#[derive(Debug, Clone, Copy)]
enum Seek {
    Offset(Offset),
    Time(i64),
}

impl Seek {
    fn passes_over(self, record: &Record<'_>) -> bool {
        match self {
            Self::Offset(offset) => record.offset < offset,
            Self::Time(millis) => record.timestamp.is_none_or(|time| time.millis < millis),
        }
    }
}

/// Bytes of the object that are here.
#[derive(Debug)]
struct Fetched {
    at: u64,
    bytes: Bytes,
}

impl Fetched {
    fn get(&self, range: &Range<u64>) -> Option<&[u8]> {
        let place = |at: u64| usize::try_from(at.checked_sub(self.at)?).ok();
        self.bytes.get(place(range.start)?..place(range.end)?)
    }
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.object.url();
        f.debug_struct("Records").field("object", &url).field("left", &self.left).finish()
    }
}

impl<'o> Records<'o> {
    pub(super) fn from_offset(object: &'o Object<'o>, offset: Offset) -> Self {
        let frames = object.index().frames_from_offset(offset).len();
        let mut new = Self::new(object, frames, Some(Seek::Offset(offset)));
        new.done |= offset >= new.end;
        // The offset may lie in a hole at its frame's end; a second frame must not take a request
        // too many then.
        new.at_least = if object.long_tail { 2 } else { 1 };
        new
    }

    pub(super) fn from_time(object: &'o Object<'o>, millis: i64) -> Self {
        let frames = object.index().frames_from_time(millis).len();
        let exact = object.file().is_some_and(|file| file.mak != 1);
        Self::new(object, frames, exact.then_some(Seek::Time(millis)))
    }

    /// From the last `count` frames.
    fn new(object: &'o Object<'o>, count: usize, seek: Option<Seek>) -> Self {
        let frames = object.index().frames();
        let left = frames.len().saturating_sub(count)..frames.len();
        let passed = frames.get(..left.start).unwrap_or_default();
        Self {
            object,
            codec: object.tail().codec(object.suffix()),
            left,
            position: passed.iter().map(|frame| u64::from(frame.raw_len)).sum(),
            end: object.file().map_or(Offset::ZERO, |file| file.range.next()),
            seek,
            read_ahead: 0,
            at_least: 1,
            fetched: Fetched { at: object.brought_at, bytes: object.brought.clone() },
            current: None,
            spare: Vec::new(),
            passed_over: 0,
            // A seal holds nothing; a plain one has a frame all the same.
            done: object.file().is_none(),
        }
    }

    /// Only those before `end`; no frame that begins there or behind is fetched.
    #[must_use]
    pub fn before(mut self, end: Offset) -> Self {
        self.end = self.end.min(end);
        let frames = self.object.index().frames();
        let behind = frames.partition_point(|frame| frame.info.first < self.end);
        self.left.end = self.left.end.min(behind.max(self.left.start));
        self
    }

    /// Fetches as many frames in one request as have `bytes` bytes together, for those who are
    /// going to read them all; one at a time without this.
    #[must_use]
    pub const fn read_ahead(mut self, bytes: u64) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// The next record, borrowed until the one after it is asked for; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<Record<'_>>, ArchiveError> {
        match self.ready().await {
            Ok(true) => self.take(),
            Ok(false) => Ok(None),
            Err(error) => {
                self.done = true;
                Err(error)
            }
        }
    }

    /// The next record, with bytes of its own.
    pub async fn next_owned(&mut self) -> Result<Option<OwnedRecord>, ArchiveError> {
        Ok(self.next().await?.map(OwnedRecord::from))
    }

    /// How many blocks of kinds that are not known here lay in the frames that were read to their
    /// end; they may hold records that only a newer version can read.
    #[must_use]
    pub const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Goes on to the frame that holds the next record; `false` if there is none.
    async fn ready(&mut self) -> Result<bool, ArchiveError> {
        while !self.done {
            if self.has_record()? {
                return Ok(true);
            }
            self.close_frame()?;
            match self.left.next() {
                Some(index) => self.open_frame(index).await?,
                None => self.done = true,
            }
        }
        Ok(false)
    }

    /// Whether the frame at hand holds a record that is wanted; it is the next one then.
    fn has_record(&mut self) -> Result<bool, ArchiveError> {
        let Some(current) = &mut self.current else { return Ok(false) };
        let found = match self.seek {
            None => current.has_more()?,
            Some(seek) => current.skip_while(|record| seek.passes_over(record))?,
        };
        match self.seek {
            Some(_) if found => self.seek = None,
            Some(Seek::Time(millis)) => {
                let what = format!("its index has time {millis} in a frame that does not reach it");
                return Err(current.file().disagree(what));
            }
            _ => {}
        }
        Ok(found)
    }

    fn take(&mut self) -> Result<Option<Record<'_>>, ArchiveError> {
        let Self { current, end, done, .. } = self;
        match current.as_mut().map(Batch::next_record).transpose() {
            Ok(Some(Some(record))) if record.offset < *end => Ok(Some(record)),
            other => {
                *done = true;
                other.map(|_| None)
            }
        }
    }

    /// Leaves a frame that was read to its end, if it held what the index says.
    fn close_frame(&mut self) -> Result<(), ArchiveError> {
        let Some(batch) = self.current.take() else { return Ok(()) };
        let read = batch.close()?;
        self.passed_over += read.passed_over;
        self.spare = read.bytes;
        Ok(())
    }

    async fn open_frame(&mut self, index: usize) -> Result<(), ArchiveError> {
        let Some(frame) = self.object.index().frames().get(index) else { return Ok(()) };
        self.fetch_frame(index, frame).await?;
        let packed = self.fetched.get(&frame.range()).ok_or_else(|| {
            let source = CodecError::Corrupt("a frame");
            ArchiveError::Container { object: self.object.url(), source }
        })?;
        let raw = std::mem::take(&mut self.spare);
        let file = &self.object.inner;
        self.current = Some(file.unpack(index, self.position, packed, &mut self.codec, raw)?);
        self.position = self.position.saturating_add(frame.raw_len.into());
        Ok(())
    }

    /// Makes sure that the packed bytes of `frame` are here.
    async fn fetch_frame(&mut self, index: usize, frame: &Frame) -> Result<(), ArchiveError> {
        let mut range = frame.range();
        if self.fetched.get(&range).is_some() {
            return Ok(());
        }
        let frames = self.object.index().frames();
        let ahead = frames.get(index + 1..self.left.end).unwrap_or_default();
        for (further, frame) in (1..).zip(ahead) {
            let end = frame.range().end;
            if further >= self.at_least && end - range.start > self.read_ahead {
                break;
            }
            range.end = end;
        }
        self.at_least = 1;
        let at = range.start;
        self.fetched = Fetched { at, bytes: Bytes::new() };
        self.fetched.bytes = self.object.fetch(range).await?;
        Ok(())
    }
}
