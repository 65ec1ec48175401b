//! Reads an object's records, frame by frame.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::{ArchiveError, Object, OwnedRecord};
use crate::codec::{CodecError, Frame, FrameCodec};
use crate::mak::{Header, MakError, Piece, Place, Record};
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
    current: Option<Current>,
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

/// The frame that is being read.
#[derive(Debug)]
struct Current {
    piece: Piece,
    says: Frame,
    /// Where the offsets that it covers end.
    covers_to: Offset,
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
        let here = u64::try_from(object.end.len()).unwrap_or(u64::MAX);
        Self {
            object,
            codec: FrameCodec::for_suffix(object.suffix()),
            left,
            position: passed.iter().map(|frame| u64::from(frame.raw_len)).sum(),
            end: object.file().map_or(Offset::ZERO, |file| file.range.next()),
            seek,
            read_ahead: 0,
            at_least: 1,
            fetched: Fetched { at: object.size().saturating_sub(here), bytes: object.end.clone() },
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
            None => current.piece.has_more(),
            Some(seek) => current.piece.skip_while(|record| seek.passes_over(record)),
        };
        let found = found.map_err(|source| unreadable(self.object, source))?;
        match self.seek {
            Some(_) if found => self.seek = None,
            Some(Seek::Time(millis)) => {
                let what = format!("its index has time {millis} in a frame that does not reach it");
                return Err(self.object.disagree(what));
            }
            _ => {}
        }
        Ok(found)
    }

    fn take(&mut self) -> Result<Option<Record<'_>>, ArchiveError> {
        let Self { object, current, end, done, .. } = self;
        let Some(Current { piece, covers_to, .. }) = current else { return Ok(None) };
        match piece.next_record() {
            Ok(Some(record)) if record.offset >= *covers_to => {
                *done = true;
                let what = format!("offset {} is not in the frame of its index", record.offset);
                Err(object.disagree(what))
            }
            Ok(Some(record)) if record.offset < *end => Ok(Some(record)),
            Ok(_) => {
                *done = true;
                Ok(None)
            }
            Err(source) => {
                *done = true;
                Err(unreadable(object, source))
            }
        }
    }

    /// Leaves a frame that was read to its end, if it held what the index says.
    fn close_frame(&mut self) -> Result<(), ArchiveError> {
        let Some(Current { piece, says, .. }) = self.current.take() else { return Ok(()) };
        let (found, said) = (piece.records(), says.info.records);
        if found != u64::from(said) {
            let what = format!("a frame holds {found} records, but {said} in its index");
            return Err(self.object.disagree(what));
        }
        self.passed_over += piece.passed_over();
        self.spare = piece.into_bytes();
        Ok(())
    }

    async fn open_frame(&mut self, index: usize) -> Result<(), ArchiveError> {
        let frames = self.object.index().frames();
        let (Some(frame), Some(file)) = (frames.get(index), self.object.file()) else {
            return Ok(());
        };
        self.fetch_frame(index, frame).await?;
        let mut raw = std::mem::take(&mut self.spare);
        self.unpack(frame, &mut raw)?;
        let place = match index {
            0 => Place::Beginning { version: file.mak },
            _ => Place::Behind {
                version: file.mak,
                position: self.position,
                first: frame.info.first,
            },
        };
        self.position = self.position.saturating_add(frame.raw_len.into());
        let piece = Piece::open(raw, place).map_err(|source| unreadable(self.object, source))?;
        piece.header().map_or(Ok(()), |header| self.check_header(header))?;
        let covers_to = frames.get(index + 1).map_or(file.range.next(), |next| next.info.first);
        self.current = Some(Current { piece, says: *frame, covers_to });
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

    fn unpack(&mut self, frame: &Frame, raw: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let damaged = |source| ArchiveError::Container { object: self.object.url(), source };
        let corrupt = || damaged(CodecError::Corrupt("a frame"));
        let packed = self.fetched.get(&frame.range()).ok_or_else(corrupt)?;
        let limit = usize::try_from(frame.raw_len).map_err(|_| corrupt())?;
        self.codec.decompress(packed, limit, raw).map_err(damaged)?;
        if raw.len() == limit { Ok(()) } else { Err(corrupt()) }
    }

    fn check_header(&self, header: &Header) -> Result<(), ArchiveError> {
        let Some(file) = self.object.file() else { return Ok(()) };
        let agrees = *header.topic() == file.identity.topic
            && header.partition() == file.identity.partition
            && header.start() == file.range.start();
        if agrees {
            return Ok(());
        }
        let (topic, partition) = (header.topic(), header.partition());
        let what = format!("its header is of {topic}-{partition} from {}", header.start());
        Err(self.object.disagree(what))
    }
}

fn unreadable(object: &Object<'_>, source: MakError) -> ArchiveError {
    ArchiveError::Records { object: object.url(), source }
}
