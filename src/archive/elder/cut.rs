//! Cuts the file of another tool into pieces of records, while its bytes come in.
//!
//! Pure, and bounded: of what was fed only the last, incomplete record or block is kept. What comes
//! out is whole and in the order of offsets, or there is an error behind it. A record that the
//! original wrote twice in a row, which a crash made it do, comes out once.

use std::io::Write as _;

use flate2::write::MultiGzDecoder;

use super::{Elder, Layout};
use crate::archive::ArchiveError;
use crate::archive::ledger::Fault;
use crate::codec::{AvroHeader, CodecError, FRAME_TARGET, FrameCodec, MAX_FRAME, block_len};
use crate::format::{Content, Piece, Shape, Spot};
use crate::mak::{MakError, Place};
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
    state: State,
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
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
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
            Packing::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
        } else {
            Packing::None
        };
        Self {
            tp,
            start: elder.start(),
            said_next: elder.next(),
            packing,
            state: State::Head { mak },
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

    /// Takes the next bytes of the file, and appends to `out` what became whole.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Cut>) -> Result<(), CutError> {
        self.raw.drain(..self.done);
        self.done = 0;
        match &mut self.packing {
            Packing::None => self.raw.extend_from_slice(bytes),
            Packing::Gzip(decoder) => {
                let unpacked = decoder.write_all(bytes);
                self.raw.append(decoder.get_mut());
                // What came before the damage is good.
                let cut = self.cut(out);
                unpacked.map_err(|_| CodecError::Corrupt(GZIP))?;
                return cut;
            }
        }
        self.cut(out)
    }

    /// Nothing more comes: what is left, if the file is whole.
    pub(super) fn finish(&mut self, out: &mut Vec<Cut>) -> Result<(), CutError> {
        if let Packing::Gzip(decoder) = &mut self.packing {
            let ended = decoder.try_finish();
            self.raw.append(decoder.get_mut());
            let cut = self.cut(out);
            ended.map_err(|_| CodecError::Corrupt(GZIP))?;
            cut?;
        }
        self.hand_out(out)?;
        let position = self.position;
        match &self.state {
            State::Head { .. } => Err(MakError::Torn { position, what: "the file's head" }.into()),
            State::Mak { end, .. } if position < *end => {
                Err(MakError::Torn { position, what: "the record" }.into())
            }
            State::Avro { .. } if !self.rest().is_empty() => {
                Err(MakError::Torn { position, what: "the block" }.into())
            }
            State::Mak { .. } | State::Avro { .. } => self.ends_as_said(),
        }
    }

    fn ends_as_said(&self) -> Result<(), CutError> {
        match self.said_next {
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

    fn cut(&mut self, out: &mut Vec<Cut>) -> Result<(), CutError> {
        if let State::Head { mak } = self.state {
            let begun = if mak { self.mak_head()? } else { self.avro_head()? };
            if !begun {
                return Ok(());
            }
        }
        match self.state {
            State::Head { .. } => Ok(()),
            State::Mak { .. } => self.cut_mak(out),
            State::Avro { .. } => self.cut_avro(out),
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

    fn cut_mak(&mut self, out: &mut Vec<Cut>) -> Result<(), CutError> {
        let State::Mak { end, last: mut before } = self.state else { return Ok(()) };
        loop {
            let position = self.position + wide(self.whole);
            let left = end.saturating_sub(position);
            if left == 0 {
                self.hand_out(out)?;
                // Behind the end pointer nothing counts.
                self.done = self.raw.len();
                return Ok(());
            }
            let rest = self.rest().get(self.whole..).unwrap_or_default();
            let Some((len, offset)) = mak_record(rest, left, position)? else { return Ok(()) };
            let again = before == Some(offset);
            if !again && offset < self.next {
                self.hand_out(out)?;
                let what = "the record's offset does not rise".into();
                return Err(MakError::Corrupt { position, what }.into());
            }
            before = Some(offset);
            self.state = State::Mak { end, last: before };
            if again || offset < self.from || self.until.is_some_and(|until| offset >= until) {
                self.hand_out(out)?;
                self.pass(len);
            } else {
                self.whole += len;
                self.count += 1;
            }
            self.next = self.next.max(offset.after());
            if self.whole >= FRAME_TARGET {
                self.hand_out(out)?;
            }
        }
    }

    /// Hands out the whole records that are there.
    fn hand_out(&mut self, out: &mut Vec<Cut>) -> Result<(), CutError> {
        if self.count > 0 {
            let (position, first) = (self.position, self.first);
            let (records, raw_len) = (self.count, self.whole);
            let bytes = self.rest().get(..raw_len).unwrap_or_default().to_vec();
            self.pass(raw_len);
            let place = Place::Behind { version: 1, position, first };
            let piece = Piece::Mak(Box::new(crate::mak::Piece::open(bytes, place)?));
            out.push(Cut { piece, first, next: self.next, records, raw_len });
            (self.whole, self.count) = (0, 0);
        }
        self.first = self.next;
        Ok(())
    }

    // ---- Avro

    fn avro_head(&mut self) -> Result<bool, CutError> {
        let Some((header, len)) = AvroHeader::parse(self.rest())? else { return Ok(false) };
        self.pass(len);
        let shape = Shape::of(&header.head.schema).map_err(CutError::Disagree)?;
        if shape.has_offsets() {
            let what = "its records say their offsets, which those of kafka_store don't";
            return Err(CutError::Disagree(what.to_owned()));
        }
        let sync = header.head.sync;
        let codec = Box::new(FrameCodec::of_avro(header.head));
        self.state = State::Avro { content: Content::Avro(shape), sync, codec };
        Ok(true)
    }

    fn cut_avro(&mut self, out: &mut Vec<Cut>) -> Result<(), CutError> {
        loop {
            let State::Avro { content, sync, codec } = &mut self.state else { return Ok(()) };
            let rest = self.raw.get(self.done..).unwrap_or_default();
            let Some(len) = block_len(rest, sync)? else { return Ok(()) };
            let (position, first) = (self.position, self.next);
            let mut raw = Vec::new();
            let limit = usize::try_from(MAX_FRAME).unwrap_or(usize::MAX);
            let block = rest.get(..len).unwrap_or_default();
            codec.decompress(block, limit, &mut raw)?;
            let raw_len = raw.len();
            let mut piece = Piece::open(content, raw, Spot { beginning: false, position, first })?;
            let promised = piece.promised();
            self.pass(len);
            let behind = first.get().saturating_add(promised);
            self.next = Offset::new(behind)
                .map_err(|error| MakError::Corrupt { position, what: error.to_string().into() })?;
            let room = self
                .until
                .map_or(promised, |until| until.get().saturating_sub(first.get()).min(promised));
            if room < promised {
                piece.cut_to(room);
            }
            let next = first.get().saturating_add(room);
            let next = Offset::new(next).unwrap_or(self.next);
            if room > 0 {
                out.push(Cut { piece, first, next, records: room, raw_len });
            }
        }
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

const GZIP: &str = "its gzip stream";

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
    let mut at = 0_usize;
    for _ in 0..2 {
        let Some(len) = number(rest, at) else {
            return if wide(at) + 8 > left { Err(torn) } else { Ok(None) };
        };
        if len > left || len > MAX_FRAME.into() {
            return Err(torn);
        }
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
