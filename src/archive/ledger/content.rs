//! The body of one file, frame by frame, held against what its tail says.
//!
//! Pure. [`BodyCheck`] is fed the body's bytes in pieces of whole frames, in their order, and looks
//! at all there is: the checksum over the body and those inside of it, each frame's entry of the
//! index, header, every record, and the finish block. It holds one unpacked frame at a time.

use std::ops::Range;

use super::Fault;
use crate::codec::{CodecError, Frame, FrameCodec, Index, Tail};
use crate::format::{self, Piece, Spot};
use crate::mak::v2::Finish;
use crate::mak::{Header, MakError, Shown};
use crate::meta::FileMeta;
use crate::types::Offset;

/// What a body turned out to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    /// Records.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub bytes: u64,
    /// Lowest and highest timestamp.
    pub times: Option<(i64, i64)>,
    /// Offsets behind the gap that hold no record.
    pub holes: u64,
    /// Blocks of kinds that are not known here: what they hold was not seen.
    pub unknown_blocks: u64,
}

/// What is wrong with a body.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A frame can't be unpacked.
    #[error("frame {index}, at byte {at}, can't be unpacked: {source}")]
    Frame {
        /// Its number, from 0.
        index: usize,
        /// Where it begins in the object.
        at: u64,
        /// What is wrong.
        source: CodecError,
    },
    /// The checksum over the whole body is another one.
    #[error("the body's checksum is {found:08x}, but {said:08x} in its tail")]
    Checksum {
        /// What was computed.
        found: u32,
        /// What the tail says.
        said: u32,
    },
    /// The records of a frame don't read.
    #[error("frame {index}, at byte {at}: its records can't be read: {source}")]
    Records {
        /// Its number, from 0.
        index: usize,
        /// Where it begins in the object.
        at: u64,
        /// What is wrong, with its place in the unpacked file.
        source: MakError,
    },
    /// Body, index and metadata contradict each other.
    #[error("{0}")]
    Disagree(String),
}

impl ContentError {
    /// Which kind of damage it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Frame { .. } | Self::Checksum { .. } => Fault::Container,
            Self::Records { .. } | Self::Disagree(_) => Fault::Records,
        }
    }
}

fn disagree<T>(what: String) -> Result<T, ContentError> {
    Err(ContentError::Disagree(what))
}

/// Reads one body. After an error it is of no use.
#[derive(Debug)]
pub struct BodyCheck {
    tail: Tail,
    meta: FileMeta,
    codec: FrameCodec,
    /// How its records are laid down.
    laid: Result<format::Content, String>,
    crc: crc32fast::Hasher,
    /// The next frame.
    index: usize,
    /// Where it begins in the unpacked file.
    position: u64,
    raw: Vec<u8>,
    finish: Option<Finish>,
    content: Content,
}

impl BodyCheck {
    /// For the body before `tail`, which says `meta`.
    #[must_use]
    pub fn new(tail: Tail, meta: FileMeta) -> Self {
        Self {
            codec: tail.codec(meta.suffix),
            laid: format::Content::of(&meta, &tail),
            tail,
            meta,
            crc: crc32fast::Hasher::new(),
            index: 0,
            position: 0,
            raw: Vec::new(),
            finish: None,
            content: Content::default(),
        }
    }

    /// What the body is held against.
    #[must_use]
    pub const fn meta(&self) -> &FileMeta {
        &self.meta
    }

    /// What index and metadata of a file contradict each other in.
    #[must_use]
    pub fn index_disagrees(index: &Index, meta: &FileMeta) -> Option<String> {
        let frames = index.frames();
        let records: u64 = frames.iter().map(|frame| u64::from(frame.info.records)).sum();
        let said = meta.records;
        if records != said {
            return Some(format!("its index has {records} records, its metadata {said}"));
        }
        // First offsets rise, so those of the first and the last frame tell of all.
        let mut ends = [frames.first(), frames.last()].into_iter().flatten();
        let outside = ends.find(|frame| !meta.range.contains(frame.info.first))?;
        Some(format!("its index has offset {} outside of {}", outside.info.first, meta.range))
    }

    /// The bytes of the object to be fed, piece by piece: whole frames, each piece of at most
    /// `most` bytes or one frame.
    #[must_use]
    pub fn pieces(&self, most: u64) -> Vec<Range<u64>> {
        let mut pieces: Vec<Range<u64>> = Vec::new();
        for frame in self.tail.index.frames() {
            let range = frame.range();
            match pieces.last_mut() {
                Some(piece) if range.end - piece.start <= most => piece.end = range.end,
                _ => pieces.push(range),
            }
        }
        pieces
    }

    /// Takes the next piece.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), ContentError> {
        self.crc.update(piece);
        while !piece.is_empty() {
            let frame = self.tail.index.frames().get(self.index).copied();
            let len = frame.and_then(|frame| usize::try_from(frame.len).ok());
            let (Some(frame), Some((packed, rest))) =
                (frame, len.and_then(|len| piece.split_at_checked(len)))
            else {
                return disagree("a piece of its body is no row of whole frames".to_owned());
            };
            self.frame(&frame, packed)?;
            piece = rest;
            self.index += 1;
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame, packed: &[u8]) -> Result<(), ContentError> {
        let (index, at) = (self.index, frame.at);
        let unpackable = |source| ContentError::Frame { index, at, source };
        let corrupt = || unpackable(CodecError::Corrupt("a frame"));
        let limit = usize::try_from(frame.raw_len).map_err(|_| corrupt())?;
        let mut raw = std::mem::take(&mut self.raw);
        self.codec.decompress(packed, limit, &mut raw).map_err(unpackable)?;
        if raw.len() != limit {
            return Err(corrupt());
        }
        let spot = Spot { beginning: index == 0, position: self.position, first: frame.info.first };
        self.position = self.position.saturating_add(frame.raw_len.into());
        let unreadable = |source| ContentError::Records { index, at, source };
        let laid = match &self.laid {
            Ok(laid) => laid,
            Err(what) => return disagree(what.clone()),
        };
        let mut piece = Piece::open(laid, raw, spot).map_err(unreadable)?;
        piece.header().map_or(Ok(()), |header| self.check_header(header))?;
        self.read(frame, &mut piece, unreadable)?;
        self.content.unknown_blocks += piece.passed_over();
        self.finish = piece.finish().copied().or(self.finish);
        self.raw = piece.into_bytes();
        Ok(())
    }

    /// All records of a frame, and whether it holds what the index says.
    fn read(
        &mut self,
        frame: &Frame,
        piece: &mut Piece,
        unreadable: impl Fn(MakError) -> ContentError,
    ) -> Result<(), ContentError> {
        let behind = self.tail.index.frames().get(self.index + 1);
        let ends = behind.map_or(self.meta.range.next(), |next| next.info.first);
        let gap_to = self.meta.gap.map_or(Offset::ZERO, |gap| gap.to);
        let from = frame.info.first.max(gap_to);
        let (mut times, mut bytes, mut misplaced) = (None::<(i64, i64)>, 0_u64, None);
        let read = piece.each(|record| {
            if record.offset < from || record.offset >= ends {
                misplaced = Some(record.offset);
                return Shown::Last;
            }
            bytes = bytes.saturating_add(record.content_bytes());
            if let Some(time) = record.timestamp {
                let (low, high) = times.unwrap_or((time.millis, time.millis));
                times = Some((low.min(time.millis), high.max(time.millis)));
            }
            Shown::Next
        });
        if let Some(offset) = misplaced {
            return self.misplaced(offset);
        }
        read.map_err(&unreadable)?;
        self.content.bytes = self.content.bytes.saturating_add(bytes);
        let (found, said) = (piece.records(), u64::from(frame.info.records));
        self.content.records = self.content.records.saturating_add(found);
        if found != said {
            return disagree(format!(
                "frame {} holds {found} records, but {said} in the index",
                self.index
            ));
        }
        // Version 1 keeps no times with its records.
        if self.meta.mak != 1 && times != frame.info.times {
            return disagree(format!(
                "the times of frame {} are {}, but {} in the index",
                self.index,
                span(times),
                span(frame.info.times)
            ));
        }
        self.content.times = join(self.content.times, frame.info.times);
        let covered = piece.covered_to().filter(|_| behind.is_some() && piece.passed_over() == 0);
        match covered.filter(|covered| *covered != ends) {
            Some(covered) => disagree(format!(
                "frame {} ends at offset {covered}, but the next one begins at {ends}",
                self.index
            )),
            None => Ok(()),
        }
    }

    fn misplaced(&self, offset: Offset) -> Result<(), ContentError> {
        match self.meta.gap {
            Some(gap) if gap.from <= offset && offset < gap.to => disagree(format!(
                "there is a record at offset {offset}, inside of the recorded gap [{}, {})",
                gap.from, gap.to
            )),
            _ => disagree(format!(
                "there is a record at offset {offset} in frame {}, where the index has no room for it",
                self.index
            )),
        }
    }

    fn check_header(&self, header: &Header) -> Result<(), ContentError> {
        let meta = &self.meta;
        let of =
            |topic: &dyn std::fmt::Display, partition: &dyn std::fmt::Display, start: Offset| {
                format!("its header is of {topic}-{partition} from {start}")
            };
        let Header::V2(own) = header else {
            let (topic, partition, start) = (header.topic(), header.partition(), header.start());
            let agrees = *topic == meta.identity.topic
                && partition == meta.identity.partition
                && start == meta.range.start();
            return if agrees { Ok(()) } else { disagree(of(topic, &partition, start)) };
        };
        if own.identity.topic_partition() != meta.identity.topic_partition()
            || own.start != meta.range.start()
        {
            return disagree(of(&own.identity.topic, &own.identity.partition, own.start));
        }
        let wrong = [
            (own.identity.cluster_id != meta.identity.cluster_id, "cluster id"),
            (own.identity.topic_id.to_string() != meta.identity.topic_id.to_string(), "topic id"),
            (own.identity.isolation != meta.identity.isolation, "isolation level"),
            (own.generation != meta.generation, "generation"),
            (own.first != meta.first, "chain's first offset"),
            (own.gap != meta.gap, "gap"),
            (own.writer != meta.writer, "writer"),
        ];
        match wrong.into_iter().find(|(differs, _)| *differs) {
            Some((_, what)) => disagree(format!("header and metadata say another {what}")),
            None => Ok(()),
        }
    }

    /// Nothing more comes.
    pub fn finish(self) -> Result<Content, ContentError> {
        if self.index != self.tail.index.frames().len() {
            return disagree("its body is not complete".to_owned());
        }
        let (found, said) = (self.crc.clone().finalize(), self.tail.body.crc);
        if found != said {
            return Err(ContentError::Checksum { found, said });
        }
        let Self { meta, content, .. } = &self;
        let end = self.finish.as_ref();
        // Version 1 has no finish block, and keeps neither headers nor times.
        if meta.mak == 0 {
            self.sums(content.records, content.bytes, content.times, "records")?;
        } else if meta.mak != 1 {
            let Some(end) = end else { return disagree("it has no finish block".to_owned()) };
            let says = |what: &str, body: &dyn std::fmt::Display, meta: &dyn std::fmt::Display| {
                disagree(format!("its {what} {body}, but {meta} in its metadata"))
            };
            if end.next != meta.range.next() {
                return says("finish block ends it at", &end.next, &meta.range.next());
            }
            if end.leader_epoch != meta.leader_epoch {
                let show =
                    |epoch: Option<i32>| epoch.map_or_else(|| "none".to_owned(), |n| n.to_string());
                return says("leader epoch is", &show(end.leader_epoch), &show(meta.leader_epoch));
            }
            self.sums(end.records, end.bytes, end.times, "finish block")?;
            if content.unknown_blocks == 0 {
                self.sums(content.records, content.bytes, content.times, "records")?;
            }
        } else if content.records != meta.records {
            let (found, said) = (content.records, meta.records);
            return disagree(format!("its body holds {found} records, but {said} in its metadata"));
        }
        let behind_gap = meta.gap.map_or(meta.range.start(), |gap| gap.to);
        let room = meta.range.next().get().saturating_sub(behind_gap.get());
        Ok(Content { holes: room.saturating_sub(content.records), ..*content })
    }

    fn sums(
        &self,
        records: u64,
        bytes: u64,
        times: Option<(i64, i64)>,
        by: &str,
    ) -> Result<(), ContentError> {
        let meta = &self.meta;
        let differs = |what: &str, found: String, said: String| {
            disagree(format!("its {by} come to {found} {what}, but {said} in its metadata"))
        };
        if records != meta.records {
            differs("records", records.to_string(), meta.records.to_string())
        } else if bytes != meta.bytes {
            differs("bytes", bytes.to_string(), meta.bytes.to_string())
        } else if times != meta.times {
            differs("as times", span(times), span(meta.times))
        } else {
            Ok(())
        }
    }
}

fn span(times: Option<(i64, i64)>) -> String {
    times.map_or_else(|| "none".to_owned(), |(low, high)| format!("{low} to {high}"))
}

fn join(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some((low, high)), Some((l, h))) => Some((low.min(l), high.max(h))),
        (one, other) => one.or(other),
    }
}
