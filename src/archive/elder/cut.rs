//! Cuts the file of another tool into pieces of records, while its bytes come in.
//!
//! Pure, and bounded: what was fed is unpacked as pieces are asked for, one after the other, and
//! only as much of it as the next one takes; a block, or a record, of more than [`LARGEST_BLOCK`]
//! bytes is refused. What comes out is whole and in the order of offsets; an error comes behind all
//! the good records before it. A record that the original wrote twice in a row, which a crash made
//! it do, comes out once.

use std::io::Write as _;

use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;

use super::{Elder, Layout};
use crate::archive::ArchiveError;
use crate::archive::ledger::Fault;
use crate::codec::{AvroHeader, CodecError, FRAME_TARGET, FrameCodec, block_head, block_len};
use crate::format::{Content, Piece, Shape, Spot};
use crate::mak::{LARGEST_BLOCK, MakError, Place};
use crate::types::{Offset, TopicPartition};

/// Where version 1's JSON header begins.
const JSON_AT: usize = 27;
/// More than this no JSON header has.
const MOST_JSON: u64 = 1 << 20;

/// Why a file can't be cut on.
#[derive(Debug, thiserror::Error)]
pub(in crate::archive) enum CutError {
    /// What it is packed in.
    #[error(transparent)]
    Packing(#[from] CodecError),
    /// Its content.
    #[error(transparent)]
    Records(#[from] MakError),
    /// Name and content contradict each other.
    #[error("{0}")]
    Disagree(String),
}

impl CutError {
    /// The same as a reader of `object` is told of it.
    pub(super) fn of(self, object: String) -> ArchiveError {
        match self {
            Self::Packing(source) => ArchiveError::Container { object, source },
            Self::Records(source) => ArchiveError::Records { object, source },
            Self::Disagree(what) => ArchiveError::Disagree { object, what },
        }
    }

    /// Which kind of damage it is.
    pub(in crate::archive) const fn fault(&self) -> Fault {
        match self {
            Self::Packing(_) => Fault::Container,
            Self::Records(_) => Fault::Records,
            Self::Disagree(_) => Fault::Name,
        }
    }
}

/// Some records that follow each other.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) piece: Piece,
    /// Where they begin.
    pub(super) first: Offset,
    /// Behind the last of them.
    pub(super) next: Offset,
    /// How many the piece has, with those that were passed over already.
    pub(super) records: u64,
    /// Bytes that they take unpacked.
    pub(super) raw_len: usize,
}

/// Cuts one file.
pub(super) struct Cutter {
    tp: TopicPartition,
    start: Offset,
    said_next: Option<Offset>,
    packing: Packing,
    /// Whether all was fed.
    ended: bool,
    state: State,
    /// What is wrong behind the piece that was cut last.
    failed: Option<CutError>,
    /// Unpacked bytes.
    raw: Vec<u8>,
    /// How many of them are done with.
    done: usize,
    /// How many of those behind them are whole records.
    whole: usize,
    /// Where these begin in the unpacked file.
    position: u64,
    /// The offset of the first of the whole records, or a lower one.
    first: Offset,
    /// The lowest offset that may follow.
    next: Offset,
    /// How many records are whole.
    count: u64,
    /// Offsets below this are left out.
    from: Offset,
    /// And so are those from here on.
    until: Option<Offset>,
}

enum Packing {
    None,
    Gzip(Box<Gzip>),
}

struct Gzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What was fed and is not unpacked yet.
    packed: Bytes,
    finished: bool,
    broken: bool,
}

impl Gzip {
    /// Unpacks a little more behind `raw`; whether there was any more. What comes before damage is
    /// good, so that is told when it is asked again.
    fn unpack(&mut self, ended: bool, raw: &mut Vec<u8>) -> Result<bool, CodecError> {
        if self.broken {
            return Err(CodecError::Corrupt("its gzip stream"));
        }
        let before = raw.len();
        while !self.packed.is_empty() && raw.len() - before < FRAME_TARGET {
            // At most 32 KiB come out at once, however little goes in.
            if let Ok(taken) = self.decoder.write(&self.packed) {
                self.packed.advance(taken);
                raw.append(self.decoder.get_mut());
            } else {
                // What came out before the damage waits inside.
                let _ = self.decoder.try_finish();
                raw.append(self.decoder.get_mut());
                self.broken = true;
                return Ok(true);
            }
        }
        if self.packed.is_empty() && ended && !self.finished {
            self.finished = true;
            self.broken = self.decoder.try_finish().is_err();
            raw.append(self.decoder.get_mut());
            return Ok(true);
        }
        Ok(raw.len() > before || !self.packed.is_empty())
    }
}

enum State {
    /// The head is not whole yet.
    Head {
        mak: bool,
    },
    Mak {
        end: u64,
        last: Option<Offset>,
    },
    Avro {
        content: Content,
        sync: [u8; 16],
        codec: Box<FrameCodec>,
    },
}

impl Cutter {
    /// For the file `elder`, of `tp`.
    pub(super) fn new(elder: &Elder, tp: TopicPartition) -> Self {
        let mak = elder.layout == Layout::Original;
        let packing = if mak {
            let decoder = MultiGzDecoder::new(Vec::new());
            let packed = Bytes::new();
            Packing::Gzip(Box::new(Gzip { decoder, packed, finished: false, broken: false }))
        } else {
            Packing::None
        };
        Self {
            tp,
            start: elder.start(),
            said_next: elder.next(),
            packing,
            ended: false,
            state: State::Head { mak },
            failed: None,
            raw: Vec::new(),
            done: 0,
            whole: 0,
            position: 0,
            first: elder.start(),
            next: elder.start(),
            count: 0,
            from: Offset::ZERO,
            until: None,
        }
    }

    /// Leaves out what lies before `from`, and from `until` on.
    pub(super) fn within(self, from: Offset, until: Option<Offset>) -> Self {
        Self { from, until, ..self }
    }

    /// Behind the last record that was met.
    pub(super) const fn next(&self) -> Offset {
        self.next
    }

    /// Takes the next bytes of the file, once all that could be cut was.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        match &mut self.packing {
            Packing::None => {
                self.let_go();
                self.raw.extend_from_slice(&bytes);
            }
            Packing::Gzip(gzip) => gzip.packed = bytes,
        }
    }

    /// Nothing more comes.
    pub(super) const fn finish(&mut self) {
        self.ended = true;
    }

    /// Cuts the next piece; `None` if more has to be fed, or, if that was all, the file is whole.
    pub(super) fn next_cut(&mut self) -> Result<Option<Cut>, CutError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.cut().or_else(|error| match self.whole_records() {
            Ok(Some(cut)) => {
                self.failed = Some(error);
                Ok(Some(cut))
            }
            Ok(None) | Err(_) => Err(error),
        })
    }

    fn cut(&mut self) -> Result<Option<Cut>, CutError> {
        loop {
            if let State::Head { mak } = self.state
                && if mak { self.mak_head()? } else { self.avro_head()? }
            {
                continue;
            }
            let cut = match self.state {
                State::Head { .. } => None,
                State::Mak { .. } => self.cut_mak()?,
                State::Avro { .. } => self.cut_avro()?,
            };
            if cut.is_some() {
                return Ok(cut);
            }
            if !self.unpack()? {
                return if self.ended { self.end() } else { Ok(None) };
            }
        }
    }

    /// Unpacks a little more of what was fed; whether there was any more.
    fn unpack(&mut self) -> Result<bool, CutError> {
        self.let_go();
        match &mut self.packing {
            Packing::None => Ok(false),
            Packing::Gzip(gzip) => Ok(gzip.unpack(self.ended, &mut self.raw)?),
        }
    }

    /// Frees what is done with, if that is worth it.
    fn let_go(&mut self) {
        if self.done == self.raw.len() && self.raw.capacity() > 4 * FRAME_TARGET {
            self.raw = Vec::new();
        } else {
            self.raw.drain(..self.done);
        }
        self.done = 0;
    }

    /// Behind the last byte.
    fn end(&mut self) -> Result<Option<Cut>, CutError> {
        if let Some(cut) = self.whole_records()? {
            return Ok(Some(cut));
        }
        let position = self.position;
        let torn = |what| Err(MakError::Torn { position, what }.into());
        match &self.state {
            State::Head { .. } => torn("the file's head"),
            State::Mak { end, .. } if position < *end => torn("the record"),
            State::Avro { .. } if !self.rest().is_empty() => torn("the block"),
            State::Mak { .. } | State::Avro { .. } => self.ends_as_said().map(|()| None),
        }
    }

    fn ends_as_said(&self) -> Result<(), CutError> {
        match self.said_next {
            // By its name a file without records looks like one with a single record.
            Some(said) if self.next == self.start && said == self.start.after() => Ok(()),
            Some(said) if said != self.next => Err(CutError::Disagree(format!(
                "its name says that it ends at offset {}, but its last record is {}",
                said.get().saturating_sub(1),
                if self.next == self.start {
                    "none at all".to_owned()
                } else {
                    self.next.get().saturating_sub(1).to_string()
                }
            ))),
            _ => Ok(()),
        }
    }

    // ---- MAK, version 1

    /// Whether the head is whole.
    fn mak_head(&mut self) -> Result<bool, CutError> {
        let Some(json) = number(self.rest(), JSON_AT - 8) else { return Ok(false) };
        if json > MOST_JSON {
            let (what, position) = ("the header", 19);
            return Err(MakError::TooLarge { position, what, size: json, limit: MOST_JSON }.into());
        }
        let len = usize::try_from(json).unwrap_or(usize::MAX).saturating_add(JSON_AT);
        let Some(head) = self.rest().get(..len).map(<[u8]>::to_vec) else { return Ok(false) };
        self.pass(len);
        let end = number(&head, 11).unwrap_or_default();
        let piece = crate::mak::Piece::open(head, Place::Beginning { version: 1 })?;
        let its = piece.header().map(|header| (header.topic(), header.partition(), header.start()));
        if its != Some((&self.tp.topic, self.tp.partition, self.start)) {
            let what = its.map_or_else(String::new, |(topic, partition, start)| {
                format!("its header is of {topic}-{partition} from {start}")
            });
            return Err(CutError::Disagree(what));
        }
        self.state = State::Mak { end, last: None };
        Ok(true)
    }

    fn cut_mak(&mut self) -> Result<Option<Cut>, CutError> {
        let State::Mak { end, last: mut before } = self.state else { return Ok(None) };
        loop {
            let position = self.position + wide(self.whole);
            let left = end.saturating_sub(position);
            if left == 0 {
                let cut = self.whole_records()?;
                // Behind the end pointer nothing counts.
                self.done = self.raw.len();
                return Ok(cut);
            }
            let rest = self.rest().get(self.whole..).unwrap_or_default();
            let Some((len, offset)) = mak_record(rest, left, position)? else { return Ok(None) };
            let again = before == Some(offset);
            if !again && offset < self.next {
                let what = "the record's offset does not rise".into();
                return Err(MakError::Corrupt { position, what }.into());
            }
            if again || offset < self.from || self.until.is_some_and(|until| offset >= until) {
                if self.count > 0 {
                    return self.whole_records();
                }
                self.pass(len);
                self.first = self.next.max(offset.after());
            } else {
                self.whole += len;
                self.count += 1;
            }
            before = Some(offset);
            self.state = State::Mak { end, last: before };
            self.next = self.next.max(offset.after());
            if self.whole >= FRAME_TARGET {
                return self.whole_records();
            }
        }
    }

    /// Cuts off the whole records that are there.
    fn whole_records(&mut self) -> Result<Option<Cut>, CutError> {
        if self.count == 0 {
            return Ok(None);
        }
        let (position, first) = (self.position, self.first);
        let (records, raw_len) = (self.count, self.whole);
        let end = self.done.saturating_add(raw_len).min(self.raw.len());
        let bytes = if self.raw.len() - end < raw_len {
            // Less to copy, and no memory that is taken twice.
            let behind = self.raw.split_off(end);
            let mut bytes = std::mem::replace(&mut self.raw, behind);
            bytes.drain(..self.done);
            self.done = 0;
            self.position += wide(raw_len);
            bytes
        } else {
            let bytes = self.rest().get(..raw_len).unwrap_or_default().to_vec();
            self.pass(raw_len);
            bytes
        };
        (self.whole, self.count, self.first) = (0, 0, self.next);
        let place = Place::Behind { version: 1, position, first };
        let piece = Piece::Mak(Box::new(crate::mak::Piece::open(bytes, place)?));
        Ok(Some(Cut { piece, first, next: self.next, records, raw_len }))
    }

    // ---- Avro

    fn avro_head(&mut self) -> Result<bool, CutError> {
        let Some((header, len)) = AvroHeader::parse(self.rest())? else { return Ok(false) };
        self.pass(len);
        let shape = shape_of(&header)?;
        let sync = header.head.sync;
        let codec = Box::new(FrameCodec::of_avro(header.head));
        self.state = State::Avro { content: Content::Avro(shape), sync, codec };
        Ok(true)
    }

    fn cut_avro(&mut self) -> Result<Option<Cut>, CutError> {
        loop {
            let State::Avro { content, sync, codec } = &mut self.state else { return Ok(None) };
            let rest = self.raw.get(self.done..).unwrap_or_default();
            let (position, first) = (self.position, self.next);
            let Some(head) = block_head(rest)? else { return Ok(None) };
            if head.len > LARGEST_BLOCK {
                let (what, size, limit) = ("the block", head.len, LARGEST_BLOCK);
                return Err(MakError::TooLarge { position, what, size, limit }.into());
            }
            let Some(len) = block_len(rest, sync)? else { return Ok(None) };
            let next = behind(first, head.count, position)?;
            self.next = next;
            if head.count > 0 && next <= self.from {
                // All of it is left out.
                self.pass(len);
                continue;
            }
            let mut raw = Vec::new();
            let limit = usize::try_from(LARGEST_BLOCK).unwrap_or(usize::MAX);
            codec.decompress(rest.get(..len).unwrap_or_default(), limit, &mut raw)?;
            let raw_len = raw.len();
            let mut piece = Piece::open(content, raw, Spot { beginning: false, position, first })?;
            self.pass(len);
            let until = self.until.map_or(next, |until| until.min(next)).max(first);
            let records = until.get() - first.get();
            if records < head.count {
                piece.cut_to(records);
            }
            if until <= self.from.max(first) {
                continue;
            }
            for _ in first.get()..self.from.get() {
                piece.next_record()?;
            }
            let first = first.max(self.from);
            return Ok(Some(Cut { piece, first, next: until, records, raw_len }));
        }
    }

    /// How many unpacked bytes are held.
    #[cfg(test)]
    pub(super) const fn held(&self) -> usize {
        self.raw.capacity()
    }

    /// What was not done with yet.
    fn rest(&self) -> &[u8] {
        self.raw.get(self.done..).unwrap_or_default()
    }

    fn pass(&mut self, len: usize) {
        self.done = self.done.saturating_add(len).min(self.raw.len());
        self.position += wide(len);
    }
}

/// How the records of kafka_store's file lie in its blocks.
fn shape_of(header: &AvroHeader) -> Result<Shape, CutError> {
    let shape = Shape::of(&header.head.schema).map_err(CutError::Disagree)?;
    if shape.has_offsets() {
        let what = "its records say their offsets, which those of kafka_store don't";
        return Err(CutError::Disagree(what.to_owned()));
    }
    Ok(shape)
}

/// The offset behind so many records from `first` on, which stand at `position`.
fn behind(first: Offset, records: u64, position: u64) -> Result<Offset, CutError> {
    let next = Offset::new(first.get().saturating_add(records));
    next.map_err(|error| MakError::Corrupt { position, what: error.to_string().into() }.into())
}

/// Counts the records of kafka_store's file by what its blocks say, without unpacking them.
pub(super) struct Counter {
    at: At,
    /// What of the next part is there.
    raw: Vec<u8>,
    position: u64,
    next: Offset,
}

enum At {
    Header,
    Block([u8; 16]),
    /// So many bytes of a block are left.
    Inside([u8; 16], u64),
    /// The marker behind it.
    Behind([u8; 16]),
}

impl Counter {
    /// For the file `elder`.
    pub(super) const fn new(elder: &Elder) -> Self {
        Self { at: At::Header, raw: Vec::new(), position: 0, next: elder.start() }
    }

    /// Takes the next bytes of the file.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), CutError> {
        let mut raw = std::mem::take(&mut self.raw);
        raw.extend_from_slice(bytes);
        let mut done = 0;
        while let Some(len) = self.step(raw.get(done..).unwrap_or_default())? {
            done += len;
            self.position += wide(len);
        }
        raw.drain(..done);
        self.raw = raw;
        Ok(())
    }

    /// Takes up what `rest` begins with, and says how long it is; `None` if more is needed.
    fn step(&mut self, rest: &[u8]) -> Result<Option<usize>, CutError> {
        match self.at {
            At::Header => {
                let Some((header, len)) = AvroHeader::parse(rest)? else { return Ok(None) };
                shape_of(&header)?;
                self.at = At::Block(header.head.sync);
                Ok(Some(len))
            }
            At::Block(sync) => {
                let Some(head) = block_head(rest)? else { return Ok(None) };
                self.next = behind(self.next, head.count, self.position)?;
                self.at = At::Inside(sync, head.len);
                Ok(Some(head.size))
            }
            At::Inside(sync, 0) => {
                self.at = At::Behind(sync);
                Ok(Some(0))
            }
            At::Inside(_, _) if rest.is_empty() => Ok(None),
            At::Inside(sync, left) => {
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                self.at = At::Inside(sync, left.saturating_sub(wide(part)));
                Ok(Some(part))
            }
            At::Behind(sync) => match rest.get(..sync.len()) {
                None => Ok(None),
                Some(found) if *found == sync => {
                    self.at = At::Block(sync);
                    Ok(Some(sync.len()))
                }
                Some(_) => Err(CodecError::Corrupt("an Avro block").into()),
            },
        }
    }

    /// Nothing more comes: behind which offset the file ends.
    pub(super) fn finish(&self) -> Result<Offset, CutError> {
        let what = match self.at {
            At::Block(_) if self.raw.is_empty() => return Ok(self.next),
            At::Header => "the file's head",
            At::Block(_) | At::Inside(..) | At::Behind(_) => "the block",
        };
        Err(MakError::Torn { position: self.position, what }.into())
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The big-endian number at `at`.
fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.get(..8)?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Length and offset of the record at the beginning of `rest`, before whose end the file has `left`
/// bytes more; `None` if more of them are needed.
fn mak_record(rest: &[u8], left: u64, position: u64) -> Result<Option<(usize, Offset)>, MakError> {
    let torn = MakError::Torn { position, what: "the record" };
    let (mut at, mut room) = (0_usize, LARGEST_BLOCK);
    for _ in 0..2 {
        let Some(len) = number(rest, at) else {
            return if wide(at) + 8 > left { Err(torn) } else { Ok(None) };
        };
        if len > left {
            return Err(torn);
        }
        if len > room {
            let what = "the record";
            return Err(MakError::TooLarge { position, what, size: len, limit: room });
        }
        room -= len;
        at = at.saturating_add(8).saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
    }
    if wide(at).saturating_add(8) > left {
        return Err(torn);
    }
    let Some(offset) = number(rest, at) else { return Ok(None) };
    let offset = Offset::new(offset)
        .map_err(|error| MakError::Corrupt { position, what: error.to_string().into() })?;
    Ok(Some((at + 8, offset)))
}
