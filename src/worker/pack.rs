//! From a rotated file of the spool to a container of the archive: blocks are verified and copied
//! as they are into frames (or their records laid down anew, as version 1 or in another format), and the container's metadata is put
//! together from what header and finish block say.
//!
//! Writes to what it is given; files and their names are the callers' business.

use std::io::{self, Write};

use super::{Exit, note};
use crate::codec::{
    AvroCodec, CodecError, Container, ContainerWriter, FRAME_TARGET, FrameInfo, Level,
};
use crate::config::{Codec, Config, MakVersion};
use crate::format::{self, ConvertError, Counted, Layout, RecordWriter};
use crate::mak::v2::{Block, Blocks, Finish, Kind};
use crate::mak::{FileHeader, MakError, v1};
use crate::meta::{FileMeta, MetaMap, ObjectMeta};
use crate::spool::age::Stamp;
use crate::types::{AvroSchema, Format, Offset, OffsetRange, Suffix};

/// The configured level. One that this build's library does not have becomes its nearest: gzip
/// levels are not the same everywhere.
fn level(config: &Config) -> Result<Level, Exit> {
    let suffix = config.suffix();
    let avro = match config.compression.codec {
        Codec::Gzip => AvroCodec::Deflate,
        Codec::Zstd => AvroCodec::Zstandard,
        Codec::None => AvroCodec::Null,
    };
    let make = |level| match suffix {
        Suffix::Avro => Level::avro(avro, level),
        Suffix::KafkaStore => Level::kafka_store(avro, level),
        _ => Level::new(suffix, level),
    };
    match make(config.compression.level.map(i32::from)) {
        Ok(level) => Ok(level),
        Err(CodecError::Level { level, low, high, .. }) => {
            let nearest = level.clamp(low, high);
            log::info!("compression_level = {level} becomes {nearest}: {low} to {high} are here");
            make(Some(nearest)).map_err(Exit::config)
        }
        Err(error) => Err(Exit::config(error)),
    }
}

/// How files are laid down: the configured format, packing and schema.
pub(crate) fn layout(config: &Config) -> Result<Layout, Exit> {
    Ok(Layout { level: level(config)?, schema: config.archive.avro_schema })
}

/// Blocks are added to a frame up to this: the consumer's are a hair longer than a fourth of
/// [`FRAME_TARGET`].
const FRAME_MOST: usize = FRAME_TARGET + FRAME_TARGET / 8;

/// How to pack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) layout: Layout,
    pub(crate) mak: MakVersion,
}

/// Why a file can't be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    /// The file itself is damaged: it goes to quarantine.
    #[error("{0}")]
    Damaged(String),
    /// The result can't be written.
    #[error("{0}")]
    Write(#[source] io::Error),
}

/// What the container's writer refuses is the file's fault; trying again would not help.
impl From<io::Error> for PackError {
    fn from(error: io::Error) -> Self {
        ConvertError::from(error).into()
    }
}

impl From<ConvertError> for PackError {
    fn from(error: ConvertError) -> Self {
        match error {
            ConvertError::Write(error) => Self::Write(error),
            refused => Self::Damaged(refused.to_string()),
        }
    }
}

impl From<MakError> for PackError {
    fn from(error: MakError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<CodecError> for PackError {
    fn from(error: CodecError) -> Self {
        Self::Damaged(error.to_string())
    }
}

fn damaged(what: &str) -> PackError {
    PackError::Damaged(what.to_owned())
}

/// What a rotated file says of itself.
struct Facts {
    header: FileHeader,
    finish: Finish,
    rotated: Option<Stamp>,
}

/// Packs the rotated file `bytes` into a container; returns the container's length.
///
/// Every block's checksum is looked at. A file that is not complete is [`PackError::Damaged`].
pub(crate) fn pack(bytes: &[u8], packing: Packing, out: impl Write) -> Result<u64, PackError> {
    let level = packing.layout.level;
    if level.suffix().format() != Format::Mak {
        return lay_down(bytes, packing, out);
    }
    let mut writer = ContainerWriter::new(out, level);
    let facts = match packing.mak {
        MakVersion::V2 => copy_blocks(bytes, &mut writer)?,
        MakVersion::V1 => lay_down_v1(bytes, &mut writer)?,
    };
    let (_, written) = writer.finish(&facts.meta(packing)?)?;
    Ok(written.len)
}

/// Another format than MAK: record by record, as the blocks are verified.
fn lay_down(bytes: &[u8], mut packing: Packing, out: impl Write) -> Result<u64, PackError> {
    if packing.layout.schema == AvroSchema::Plain && !is_dense(bytes)? {
        packing.layout.schema = AvroSchema::Full;
    }
    let mut facts = Gathered::default();
    let (mut out, mut writer) = (Some(out), None);
    for block in Blocks::of_file(bytes)? {
        let block = block?;
        facts.take_in(&block)?;
        match (block.kind(), &mut writer) {
            (Kind::Header, _) => {
                let header = block.header()?;
                writer = out.take().map(|out| RecordWriter::new(out, packing.layout, &header));
            }
            (Kind::Records, Some(writer)) => {
                for record in block.records()?.records() {
                    writer.push(&record?)?;
                }
            }
            _ => {}
        }
    }
    let mut facts = facts.complete()?;
    let writer = writer.ok_or_else(|| damaged("it has no header"))?;
    // Not every schema keeps all of a record.
    let Counted { bytes, times, .. } = writer.counted();
    (facts.finish.bytes, facts.finish.times) = (bytes, times);
    let Finish { next, leader_epoch, .. } = facts.finish;
    let (_, written) = writer.finish(next, leader_epoch, &facts.meta(packing)?)?;
    Ok(written.len)
}

/// Version 2: frames are slices of the file, nothing is copied before it is compressed.
fn copy_blocks(bytes: &[u8], writer: &mut ContainerWriter<impl Write>) -> Result<Facts, PackError> {
    let mut facts = Gathered::default();
    let mut from = 0;
    let mut run: Option<FrameInfo> = None;
    for block in Blocks::of_file(bytes)? {
        let block = block?;
        facts.take_in(&block)?;
        let (start, end) = (position(block.position())?, position(block.end())?);
        match block.kind() {
            Kind::Records => {
                let records = block.records()?;
                if end - from > FRAME_MOST
                    && let Some(info) = run.take()
                {
                    writer.frame(slice(bytes, from, start)?, info)?;
                    from = start;
                }
                let empty = FrameInfo { first: records.range().start(), records: 0, times: None };
                add(run.get_or_insert(empty), records.count(), records.times());
            }
            Kind::Finish => {
                let empty = FrameInfo { first: facts.start()?, records: 0, times: None };
                writer.frame(slice(bytes, from, end)?, run.take().unwrap_or(empty))?;
            }
            _ => {}
        }
    }
    facts.complete()
}

fn add(info: &mut FrameInfo, records: u64, times: Option<(i64, i64)>) {
    info.records = info.records.saturating_add(u32::try_from(records).unwrap_or(u32::MAX));
    info.times = match (info.times, times) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    };
}

fn position(at: u64) -> Result<usize, PackError> {
    usize::try_from(at).map_err(|_| damaged("the file is larger than this machine's memory"))
}

fn slice(bytes: &[u8], from: usize, to: usize) -> Result<&[u8], PackError> {
    bytes.get(from..to).ok_or_else(|| damaged("a block lies outside of the file"))
}

/// Version 1: the head needs totals that are known only behind the last record, so the records
/// are gone over twice. Frames end between records.
fn lay_down_v1(bytes: &[u8], writer: &mut ContainerWriter<impl Write>) -> Result<Facts, PackError> {
    let mut facts = Gathered::default();
    for block in Blocks::of_file(bytes)? {
        facts.take_in(&block?)?;
    }
    let facts = facts.complete()?;
    let mut plan = v1::Plan::new(&v1::Header::from(&facts.header))?;
    for_each_record(bytes, |record| Ok(plan.add(record)?))?;
    let mut raw = plan.head();
    let mut info = FrameInfo { first: facts.header.start, records: 0, times: None };
    for_each_record(bytes, |record| {
        if raw.len() >= FRAME_TARGET && info.records > 0 {
            writer.frame(&raw, info)?;
            raw.clear();
            info = FrameInfo { first: record.offset, records: 0, times: None };
        }
        v1::put_record(record, &mut raw);
        add(&mut info, 1, record.timestamp.map(|time| (time.millis, time.millis)));
        Ok(())
    })?;
    writer.frame(&raw, info)?;
    Ok(facts)
}

/// Whether records have the offsets that kafka_store's schema leaves to be counted. Consumers see to
/// that, but not those that were told so only later.
fn is_dense(bytes: &[u8]) -> Result<bool, PackError> {
    let mut expected = None;
    let mut dense = true;
    for block in Blocks::of_file(bytes)? {
        let block = block?;
        if block.kind() == Kind::Header {
            expected = Some(block.header()?.start);
        }
    }
    for_each_record(bytes, |record| {
        dense &= expected == Some(record.offset);
        expected = Some(record.offset.after());
        Ok(())
    })?;
    Ok(dense)
}

fn for_each_record(
    bytes: &[u8],
    mut each: impl FnMut(&crate::mak::Record<'_>) -> Result<(), PackError>,
) -> Result<(), PackError> {
    for block in Blocks::of_file(bytes)? {
        let block = block?;
        if block.kind() == Kind::Records {
            for record in block.records()?.records() {
                each(&record?)?;
            }
        }
    }
    Ok(())
}

/// What was met so far.
#[derive(Default)]
struct Gathered {
    header: Option<FileHeader>,
    finish: Option<Finish>,
    rotated: Option<Stamp>,
    next: Option<Offset>,
    records: u64,
}

impl Gathered {
    fn take_in(&mut self, block: &Block<'_>) -> Result<(), PackError> {
        let kind = block.kind();
        if self.finish.is_some() && matches!(kind, Kind::Header | Kind::Records | Kind::Finish) {
            return Err(damaged("it goes on behind its finish block"));
        }
        if (kind == Kind::Header) != self.header.is_none() {
            return Err(damaged("it does not begin with its one header"));
        }
        match kind {
            Kind::Header => {
                let header = block.header()?;
                self.next = Some(header.start);
                self.header = Some(header);
            }
            Kind::Records => {
                let records = block.records()?;
                if self.next != Some(records.range().start()) {
                    return Err(damaged("its blocks don't join"));
                }
                self.next = Some(records.range().next());
                self.records += records.count();
            }
            Kind::Finish => self.finish = Some(block.finish()?),
            Kind::Meta => self.rotated = note::from_bytes(block.payload()),
            Kind::Index | Kind::End | Kind::Other(_) => {}
        }
        Ok(())
    }

    fn start(&self) -> Result<Offset, PackError> {
        self.header.as_ref().map(|h| h.start).ok_or_else(|| damaged("it has no header"))
    }

    fn complete(self) -> Result<Facts, PackError> {
        let header = self.header.ok_or_else(|| damaged("it has no header"))?;
        let finish = self.finish.ok_or_else(|| damaged("it is not complete"))?;
        if finish.records != self.records || self.next.is_none_or(|next| next > finish.next) {
            return Err(damaged("its finish block does not agree with its records"));
        }
        Ok(Facts { header, finish, rotated: self.rotated })
    }
}

impl Facts {
    fn meta(self, packing: Packing) -> Result<MetaMap, PackError> {
        let suffix = packing.layout.level.suffix();
        let Self { header, finish, rotated } = self;
        let range = OffsetRange::new(header.start, finish.next)
            .map_err(|e| PackError::Damaged(e.to_string()))?;
        let file = FileMeta {
            identity: header.identity,
            generation: header.generation,
            first: header.first,
            mak: match (suffix.format(), packing.mak) {
                (Format::Mak, MakVersion::V1) => 1,
                (Format::Mak, MakVersion::V2) => 2,
                (Format::Avro | Format::Jsonl, _) => 0,
            },
            plain: suffix.format() == Format::Avro && packing.layout.schema == AvroSchema::Plain,
            suffix,
            range,
            records: finish.records,
            bytes: finish.bytes,
            times: finish.times,
            gap: header.gap,
            leader_epoch: finish.leader_epoch,
            writer: header.writer,
            act: None,
            totals: None,
        };
        let mut map = ObjectMeta::File(file).to_map();
        if let Some(stamp) = rotated {
            note::put_into(&mut map, &stamp);
        }
        Ok(map)
    }
}

/// Packs a container anew: another writer has changed the chain's suffix.
pub(crate) fn repack(
    container: &Container<'_>,
    file: &FileMeta,
    mut layout: Layout,
    out: impl Write,
) -> Result<u64, PackError> {
    if layout.schema == AvroSchema::Plain && !format::is_dense(container, file)? {
        layout.schema = AvroSchema::Full;
    }
    let (_, written) = format::convert(container, file, layout, out)?;
    Ok(written.len)
}

#[cfg(test)]
mod tests;
