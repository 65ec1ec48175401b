//! From a rotated file of the spool to a container of the archive: blocks are verified and copied
//! as they are into frames (or laid down anew as version 1), and the container's metadata is put
//! together from what header and finish block say.
//!
//! Writes to what it is given; files and their names are the callers' business.

use std::io::{self, Write};

use super::{Exit, note};
use crate::codec::{
    CodecError, Container, ContainerWriter, FRAME_TARGET, FrameCodec, FrameInfo, Level,
};
use crate::config::{Config, MakVersion};
use crate::mak::v2::{Block, Blocks, Finish, Kind};
use crate::mak::{FileHeader, MakError, v1};
use crate::meta::{FileMeta, MetaMap, ObjectMeta};
use crate::spool::age::Stamp;
use crate::types::{Offset, OffsetRange};

/// The configured level. One that this build's library does not have becomes its nearest: gzip
/// levels are not the same everywhere.
pub(crate) fn level(config: &Config) -> Result<Level, Exit> {
    let wanted = config.compression.level.map(i32::from);
    match Level::new(config.suffix(), wanted) {
        Ok(level) => Ok(level),
        Err(CodecError::Level { level, suffix, low, high }) => {
            let nearest = level.clamp(low, high);
            log::info!("compression_level = {level} becomes {nearest}: {low} to {high} are here");
            Level::new(suffix, Some(nearest)).map_err(Exit::config)
        }
        Err(error) => Err(Exit::config(error)),
    }
}

/// Blocks are added to a frame up to this: the consumer's are a hair longer than a fourth of
/// [`FRAME_TARGET`].
const FRAME_MOST: usize = FRAME_TARGET + FRAME_TARGET / 8;

/// How to pack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) level: Level,
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
        match error.get_ref().and_then(|inner| inner.downcast_ref::<CodecError>()) {
            Some(refused) => Self::Damaged(refused.to_string()),
            None => Self::Write(error),
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
    let mut writer = ContainerWriter::new(out, packing.level);
    let facts = match packing.mak {
        MakVersion::V2 => copy_blocks(bytes, &mut writer)?,
        MakVersion::V1 => lay_down_v1(bytes, &mut writer)?,
    };
    let meta = facts.meta(packing)?;
    let (_, written) = writer.finish(&meta)?;
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
        let Self { header, finish, rotated } = self;
        let range = OffsetRange::new(header.start, finish.next)
            .map_err(|e| PackError::Damaged(e.to_string()))?;
        let file = FileMeta {
            identity: header.identity,
            generation: header.generation,
            first: header.first,
            mak: match packing.mak {
                MakVersion::V1 => 1,
                MakVersion::V2 => 2,
            },
            suffix: packing.level.suffix(),
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

/// Packs a container anew at another level: another writer has changed the chain's suffix.
pub(crate) fn repack(
    container: &Container<'_>,
    level: Level,
    out: impl Write,
) -> Result<u64, PackError> {
    container.verify_body()?;
    let mut unpacker = FrameCodec::for_suffix(container.suffix());
    let mut writer = ContainerWriter::new(out, level);
    let mut raw = Vec::new();
    for frame in container.tail().index.frames() {
        let packed = container.frame(frame).ok_or_else(|| damaged("a frame lies outside"))?;
        let limit = position(frame.raw_len.into())?;
        unpacker.decompress(packed, limit, &mut raw)?;
        writer.frame(&raw, frame.info)?;
    }
    let mut meta = container.tail().meta.clone();
    meta.insert("suffix".to_owned(), level.suffix().to_string());
    let (_, written) = writer.finish(&meta)?;
    Ok(written.len)
}

#[cfg(test)]
mod tests;
