//! Records laid down as a file of any format, frame by frame, in bounded memory.

use std::io::{self, Write};

use super::{avro, jsonl};
use crate::codec::{ContainerWriter, FRAME_TARGET, FrameInfo, Kind, Level, Written};
use crate::mak::v2::{self, BlockBuilder, Finish};
use crate::mak::{FileHeader, Headers, MakError, Record};
use crate::meta::MetaMap;
use crate::types::{AvroSchema, Format, Offset, WriterToken};

/// Bytes of a MAK block: a fourth of a frame, as consumers have it.
const BLOCK_TARGET: usize = FRAME_TARGET / 4;
/// Room for a block's count before its records.
const COUNT_ROOM: usize = 10;

/// How records are laid down.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Format and packing.
    pub level: Level,
    /// The schema of an Avro file.
    pub schema: AvroSchema,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Records.
    pub records: u64,
    /// Bytes of their keys, values, header names and header values.
    pub bytes: u64,
    /// Lowest and highest timestamp.
    pub times: Option<(i64, i64)>,
}

impl Counted {
    fn add(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.bytes += record.content_bytes();
        self.times = with_time(self.times, record);
    }
}

fn with_time(times: Option<(i64, i64)>, record: &Record<'_>) -> Option<(i64, i64)> {
    match (times, record.timestamp.map(|time| time.millis)) {
        (Some((low, high)), Some(time)) => Some((low.min(time), high.max(time))),
        (None, Some(time)) => Some((time, time)),
        (times, None) => times,
    }
}

/// Lays records down as one file, in the order of their offsets. Holds one frame, of about
/// [`FRAME_TARGET`] bytes or one record more.
#[derive(Debug)]
pub struct RecordWriter<W> {
    container: ContainerWriter<W>,
    kind: Kind,
    form: Form,
    /// What the next frame is to hold.
    raw: Vec<u8>,
    info: FrameInfo,
    counted: Counted,
}

#[derive(Debug)]
enum Form {
    Mak {
        block: Box<BlockBuilder>,
    },
    Avro {
        schema: AvroSchema,
        /// The offset of the next record, where it is not said.
        expected: Offset,
    },
    /// What every line begins with.
    Jsonl(String),
}

impl<W: Write> RecordWriter<W> {
    /// A file that begins as `header` says.
    pub fn new(out: W, layout: Layout, header: &FileHeader) -> Self {
        let Layout { level, schema } = layout;
        let id = &header.identity;
        let mut raw = Vec::new();
        let form = match level.suffix().format() {
            Format::Mak => {
                raw = v2::file_prologue(header);
                let block = Box::new(BlockBuilder::new(header.start));
                Form::Mak { block }
            }
            Format::Avro => {
                raw.resize(COUNT_ROOM, 0);
                Form::Avro { schema, expected: header.start }
            }
            Format::Jsonl => Form::Jsonl(jsonl::start(Some(&id.topic), Some(id.partition))),
        };
        Self {
            container: ContainerWriter::avro(out, level, schema, sync(header.writer, header.start)),
            kind: level.suffix().into(),
            form,
            raw,
            info: empty(header.start),
            counted: Counted::default(),
        }
    }

    /// Appends a record.
    pub fn push(&mut self, record: &Record<'_>) -> io::Result<()> {
        if self.raw.len() >= FRAME_TARGET {
            let mut first = record.offset;
            if let Form::Mak { block } = &mut self.form {
                first = block.next();
                end_block(block, first, &mut self.raw)?;
            }
            self.flush()?;
            self.info = empty(first);
        }
        match &mut self.form {
            Form::Mak { block } => push_into_block(block, record, &mut self.raw)?,
            Form::Avro { schema, expected } => {
                if *schema == AvroSchema::Plain && *expected != record.offset {
                    let (offset, expected) = (record.offset.get(), expected.get());
                    return Err(refused(MakError::Order { offset, expected }));
                }
                *expected = record.offset.after();
                avro::put_record(*schema, record, &mut self.raw);
            }
            Form::Jsonl(start) => jsonl::put_record(start, record, &mut self.raw)?,
        }
        let kept = self.kept(record);
        self.info.records = self.info.records.saturating_add(1);
        self.info.times = with_time(self.info.times, &kept);
        self.counted.add(&kept);
        Ok(())
    }

    /// What of a record is laid down.
    fn kept<'r>(&self, record: &Record<'r>) -> Record<'r> {
        let Form::Avro { schema: AvroSchema::Plain, .. } = self.form else { return *record };
        let timestamp = record.timestamp.filter(|time| time.millis != avro::NO_TIME);
        Record { timestamp, headers: Headers::NONE, ..*record }
    }

    /// What was written so far.
    #[must_use]
    pub const fn counted(&self) -> Counted {
        self.counted
    }

    /// Writes what is left and the tail: the file covers everything up to `next`.
    pub fn finish(
        mut self,
        next: Offset,
        leader_epoch: Option<i32>,
        meta: &MetaMap,
    ) -> io::Result<(W, Written)> {
        if let Form::Mak { block } = &mut self.form {
            end_block(block, next, &mut self.raw)?;
            let Counted { records, bytes, times } = self.counted;
            let finish = Finish { next, records, bytes, times, leader_epoch };
            self.raw.extend_from_slice(&v2::finish_block(&finish));
        }
        if self.kind == Kind::Lines && self.raw.last() == Some(&b'\n') {
            // It stands behind the tail.
            self.raw.pop();
        }
        self.flush()?;
        self.container.finish(meta)
    }

    /// Writes what there is as a frame, if there is anything.
    fn flush(&mut self) -> io::Result<()> {
        if !matches!(self.form, Form::Avro { .. }) {
            if !self.raw.is_empty() {
                self.container.frame(&self.raw, self.info)?;
                self.raw.clear();
            }
            return Ok(());
        }
        if self.info.records > 0 {
            let mut count = Vec::with_capacity(COUNT_ROOM);
            avro::put_long(self.info.records.into(), &mut count);
            let at = COUNT_ROOM - count.len();
            let place = self.raw.get_mut(at..COUNT_ROOM).unwrap_or_default();
            place.copy_from_slice(&count);
            self.container.frame(self.raw.get(at..).unwrap_or_default(), self.info)?;
            self.raw.truncate(COUNT_ROOM);
        }
        Ok(())
    }
}

const fn empty(first: Offset) -> FrameInfo {
    FrameInfo { first, records: 0, times: None }
}

/// Blocks are cut where frames are: a full one goes to `raw`.
fn push_into_block(
    block: &mut BlockBuilder,
    record: &Record<'_>,
    raw: &mut Vec<u8>,
) -> io::Result<()> {
    if block.len_bytes() >= BLOCK_TARGET {
        end_block(block, block.next(), raw)?;
    }
    match block.push(record) {
        Err(MakError::Full) => {
            end_block(block, block.next(), raw)?;
            block.push(record).map_err(refused)
        }
        pushed => pushed.map_err(refused),
    }
}

fn end_block(block: &mut BlockBuilder, next: Offset, raw: &mut Vec<u8>) -> io::Result<()> {
    if next == block.start() {
        return Ok(());
    }
    for slice in block.finish(next).map_err(refused)? {
        raw.extend_from_slice(&slice);
    }
    block.reset(next);
    Ok(())
}

/// What the format refuses is no trouble of the output.
fn refused(error: MakError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The sync marker of an Avro file: different for each, the same when a file is packed again.
pub(super) fn sync(writer: WriterToken, start: Offset) -> [u8; 16] {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{writer} {start}"));
    let mut sync = [0; 16];
    sync.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    sync
}
