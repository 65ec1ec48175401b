//! Whole files of any format, read from front to back, whoever wrote them: from pipes, and files
//! without a tail of ours.

use std::io::{BufRead, Read};

use super::avro::Shape;
use super::piece::{Content, Piece, Spot};
use crate::codec::{AvroHeader, CodecError, FrameCodec, MAX_FRAME, block_len};
use crate::mak::{self, MakError, PassedOver, Record, StartTime};
use crate::types::{Format, Offset, Partition, TopicName};

/// Bytes that are read of a stream at once.
const STEP: u64 = 256 << 10;

/// What is known of a file's records besides what each of them says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Their topic.
    pub topic: Option<TopicName>,
    /// Their partition.
    pub partition: Option<Partition>,
    /// The first offset that the file covers.
    pub start: Option<Offset>,
    /// When it was begun.
    pub start_time: Option<StartTime>,
}

/// Reads a file's records, one at a time, each borrowed until the next is asked for. Holds one block
/// of Avro, some lines, or what [`mak::Reader`] does.
///
/// Bad bytes come as an error behind all the good records; after an error there is nothing more.
#[derive(Debug)]
pub enum Stream<R> {
    /// MAK.
    Mak(Box<mak::Reader<R>>),
    /// Another format.
    Other(Box<Frames<R>>),
}

impl<R: BufRead> Stream<R> {
    /// Tells the format by the first bytes. `known` is what the file's name says, for those that say
    /// less of themselves.
    pub fn open(mut input: R, known: About) -> Result<Self, MakError> {
        let head = input.fill_buf().map_err(|source| MakError::Io { position: 0, source })?;
        match head {
            [b'O', ..] => Frames::avro(input, known).map(|frames| Self::Other(Box::new(frames))),
            [b'{' | b' ' | b'\t' | b'\r' | b'\n', ..] => {
                Frames::lines(input, known).map(|frames| Self::Other(Box::new(frames)))
            }
            _ => mak::Reader::open(input).map(|reader| Self::Mak(Box::new(reader))),
        }
    }

    /// How its records are laid down.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self {
            Self::Mak(_) => Format::Mak,
            Self::Other(frames) => match frames.cutter {
                Cutter::Avro { .. } => Format::Avro,
                Cutter::Lines => Format::Jsonl,
            },
        }
    }

    /// What the file says of all its records.
    #[must_use]
    pub fn about(&self) -> About {
        match self {
            Self::Mak(reader) => {
                let header = reader.header();
                About {
                    topic: Some(header.topic().clone()),
                    partition: Some(header.partition()),
                    start: Some(header.start()),
                    start_time: Some(header.start_time().clone()),
                }
            }
            Self::Other(frames) => frames.about.clone(),
        }
    }

    /// The next record; `None` at the end of a whole file.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, MakError> {
        match self {
            Self::Mak(reader) => reader.next_record(),
            Self::Other(frames) => frames.next_record(),
        }
    }

    /// Blocks of unknown kinds that were met so far, a line for each kind.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        match self {
            Self::Mak(reader) => reader.passed_over(),
            Self::Other(_) => &[],
        }
    }

    /// What is being read from; it stands behind what was read so far.
    pub fn into_inner(self) -> R {
        match self {
            Self::Mak(reader) => reader.into_inner(),
            Self::Other(frames) => frames.input,
        }
    }
}

/// Reads Avro blocks, or some lines at a time.
#[derive(Debug)]
pub struct Frames<R> {
    input: R,
    cutter: Cutter,
    content: Content,
    about: About,
    /// What was read and not cut off yet.
    buffer: Vec<u8>,
    /// Where in the stream that begins.
    position: u64,
    piece: Option<Piece>,
    /// The lowest offset that may follow.
    next: Offset,
    done: bool,
}

#[derive(Debug)]
enum Cutter {
    Avro { sync: [u8; 16], codec: Box<FrameCodec> },
    Lines,
}

impl<R: BufRead> Frames<R> {
    fn new(input: R, about: About) -> Self {
        Self {
            input,
            cutter: Cutter::Lines,
            content: Content::Jsonl(None),
            next: about.start.unwrap_or_default(),
            about,
            buffer: Vec::new(),
            position: 0,
            piece: None,
            done: false,
        }
    }

    fn avro(input: R, known: About) -> Result<Self, MakError> {
        let mut new = Self::new(input, known);
        let header = loop {
            if let Some((header, len)) = AvroHeader::parse(&new.buffer).map_err(|e| new.bad(&e))? {
                new.cut(len);
                break header;
            }
            if new.more()? == 0 {
                return Err(MakError::Torn { position: 0, what: "the header of the Avro file" });
            }
        };
        let shape = Shape::of(&header.head.schema).map_err(|what| corrupt(0, what))?;
        let say = |key| header.ours.get(key).map(String::as_str);
        let About { topic, partition, start, .. } = &mut new.about;
        if let Some(name) = say("topic").and_then(|name| TopicName::new(name).ok()) {
            *topic = Some(name);
        }
        let number = |key| say(key).and_then(|text| text.parse::<u64>().ok());
        if let Some(said) = number("partition").and_then(|n| i64::try_from(n).ok()) {
            *partition = Partition::new(said).ok();
        }
        if let Some(said) = number("start").and_then(|n| Offset::new(n).ok()) {
            *start = Some(said);
            new.next = said;
        }
        new.content = Content::Avro(shape);
        let sync = header.head.sync;
        new.cutter = Cutter::Avro { sync, codec: Box::new(FrameCodec::of_avro(header.head)) };
        Ok(new)
    }

    fn lines(input: R, known: About) -> Result<Self, MakError> {
        let mut new = Self::new(input, known);
        // The first line says whose they are.
        while new.next_piece()? {
            let Some(Piece::Other(piece)) = &mut new.piece else { break };
            if piece.fill()? {
                let whose = piece.whose();
                new.about.topic = whose.topic.or(new.about.topic);
                new.about.partition = whose.partition.or(new.about.partition);
                break;
            }
        }
        Ok(new)
    }

    fn bad(&self, error: &CodecError) -> MakError {
        corrupt(self.position, error.to_string())
    }

    /// Reads on; how many bytes there were.
    fn more(&mut self) -> Result<usize, MakError> {
        let position = self.position + self.buffer.len() as u64;
        (&mut self.input)
            .take(STEP)
            .read_to_end(&mut self.buffer)
            .map_err(|source| MakError::Io { position, source })
    }

    /// Takes the first `len` bytes off.
    fn cut(&mut self, len: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(len.min(self.buffer.len()));
        self.position += self.buffer.len() as u64;
        std::mem::replace(&mut self.buffer, rest)
    }

    fn next_record(&mut self) -> Result<Option<Record<'_>>, MakError> {
        if self.done || !self.advance().inspect_err(|_| self.done = true)? {
            self.done = true;
            return Ok(None);
        }
        let Some(piece) = &mut self.piece else { return Ok(None) };
        let record = piece.next_record()?;
        self.next = record.map_or(self.next, |record| record.offset.after());
        Ok(record)
    }

    /// Goes on to the piece that holds the next record; `false` at the end.
    fn advance(&mut self) -> Result<bool, MakError> {
        loop {
            if let Some(piece) = &mut self.piece
                && piece.has_more()?
            {
                return Ok(true);
            }
            if !self.next_piece()? {
                return Ok(false);
            }
        }
    }

    /// Cuts the next piece off; `false` at the end.
    fn next_piece(&mut self) -> Result<bool, MakError> {
        let position = self.position;
        let Some(raw) = self.frame()? else { return Ok(false) };
        let spot = Spot { beginning: false, position, first: self.next };
        self.piece = Some(Piece::open(&self.content, raw, spot)?);
        Ok(true)
    }

    /// The next block, unpacked, or some lines; `None` at the end.
    fn frame(&mut self) -> Result<Option<Vec<u8>>, MakError> {
        let Cutter::Avro { sync, .. } = &self.cutter else { return self.some_lines() };
        let sync = *sync;
        let len = loop {
            if let Some(len) = block_len(&self.buffer, &sync).map_err(|e| self.bad(&e))? {
                break len;
            }
            if self.more()? == 0 {
                let position = self.position;
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(MakError::Torn { position, what: "the block" });
            }
        };
        let position = self.position;
        let block = self.cut(len);
        let mut raw = Vec::new();
        let Cutter::Avro { codec, .. } = &mut self.cutter else { return Ok(None) };
        codec
            .decompress(&block, usize::try_from(MAX_FRAME).unwrap_or(usize::MAX), &mut raw)
            .map_err(|error| corrupt(position, error.to_string()))?;
        Ok(Some(raw))
    }

    /// Whole lines, as many as one step brings and one at least.
    fn some_lines(&mut self) -> Result<Option<Vec<u8>>, MakError> {
        self.more()?;
        let position = self.position + self.buffer.len() as u64;
        if self.buffer.last().is_some_and(|byte| *byte != b'\n') {
            (&mut self.input)
                .take(MAX_FRAME.into())
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| MakError::Io { position, source })?;
        }
        let lines = self.cut(usize::MAX);
        Ok((!lines.is_empty()).then_some(lines))
    }
}

fn corrupt(position: u64, what: String) -> MakError {
    MakError::Corrupt { position, what: what.into() }
}
