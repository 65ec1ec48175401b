//! Containers read record by record, and laid down anew in another format.

use std::io::{self, Write};

use super::piece::{Content, Piece, Spot};
use super::writer::{Layout, RecordWriter};
use crate::codec::{self, CodecError, Container, ContainerWriter, Frame, Kind, Written};
use crate::mak::{FileHeader, MakError, Record, StartTime};
use crate::meta::{FileMeta, MetaMap};
use crate::types::{AvroSchema, Format};

/// Why a container was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// Its frames don't unpack.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Its records don't read.
    #[error(transparent)]
    Records(#[from] MakError),
    /// It is not what it says.
    #[error("{0}")]
    Content(String),
    /// The result can't be written.
    #[error("can't write what it becomes")]
    Write(#[source] io::Error),
}

/// What the container's writer refuses is no trouble of the output.
impl From<io::Error> for ConvertError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<CodecError>() {
            Ok(refused) => Self::Codec(refused),
            Err(error) => error.downcast::<MakError>().map_or_else(Self::Write, Self::Records),
        }
    }
}

/// Goes over the frames of `container`, unpacked, each with whether it is the last.
fn for_each_frame(
    container: &Container<'_>,
    mut each: impl FnMut(&Frame, Vec<u8>, bool) -> Result<Vec<u8>, ConvertError>,
) -> Result<(), ConvertError> {
    const CORRUPT: CodecError = CodecError::Corrupt("a frame");
    container.verify_body()?;
    let mut unpacker = container.tail().codec(container.kind());
    let mut raw = Vec::new();
    let frames = container.tail().index.frames();
    for (left, frame) in (0..frames.len()).rev().zip(frames) {
        let packed = container.frame(frame).ok_or(CORRUPT)?;
        let limit = usize::try_from(frame.raw_len).map_err(|_| CORRUPT)?;
        unpacker.decompress(packed, limit, &mut raw)?;
        raw = each(frame, raw, left == 0)?;
    }
    Ok(())
}

/// Goes over all records of `container`, of which `file` tells.
pub fn for_each_record(
    container: &Container<'_>,
    file: &FileMeta,
    mut each: impl FnMut(&Record<'_>) -> Result<(), ConvertError>,
) -> Result<(), ConvertError> {
    let content = Content::of(file, container.tail()).map_err(ConvertError::Content)?;
    let (mut position, mut next, mut records) = (0, file.range.start(), 0);
    for_each_frame(container, |frame, raw, _| {
        let spot = Spot { beginning: position == 0, position, first: frame.info.first };
        position += u64::from(frame.raw_len);
        let mut piece = Piece::open(&content, raw, spot)?;
        while let Some(record) = piece.next_record()? {
            if record.offset < next || !file.range.contains(record.offset) {
                let what = format!("offset {} stands where {next} may", record.offset);
                return Err(ConvertError::Content(what));
            }
            next = record.offset.after();
            records += 1;
            each(&record)?;
        }
        Ok(piece.into_bytes())
    })?;
    if records == file.records {
        return Ok(());
    }
    Err(ConvertError::Content(format!("it holds {records} records, but says {}", file.records)))
}

/// Whether the records of `container` have the offsets that kafka_store's schema leaves to be counted,
/// from the beginning of its range on.
pub fn is_dense(container: &Container<'_>, file: &FileMeta) -> Result<bool, ConvertError> {
    let (mut expected, mut dense) = (file.range.start(), true);
    for_each_record(container, file, |record| {
        dense &= record.offset == expected;
        expected = record.offset.after();
        Ok(())
    })?;
    Ok(dense)
}

/// Lays `container`, of which `file` tells, down anew; its metadata is taken over, but for what
/// says how it is laid down. What an Avro file becomes is for [`crate::codec::Tail::around`] to put into
/// shape.
pub fn convert<W: Write>(
    container: &Container<'_>,
    file: &FileMeta,
    layout: Layout,
    out: W,
) -> Result<(W, Written), ConvertError> {
    let meta = meta_of(&container.tail().meta, file, layout);
    if is_same(container, file, layout) {
        return pack_anew(container, file, layout, &meta, out);
    }
    let mut writer = RecordWriter::new(out, layout, &header_of(file));
    for_each_record(container, file, |record| Ok(writer.push(record)?))?;
    Ok(writer.finish(file.range.next(), file.leader_epoch, &meta)?)
}

/// Whether the unpacked frames stay what they are.
fn is_same(container: &Container<'_>, file: &FileMeta, layout: Layout) -> bool {
    let (from, to) = (file.suffix.format(), layout.level.suffix().format());
    let schema = || container.tail().avro.as_ref().map(|head| head.schema.as_str());
    from == to && (from != Format::Avro || schema() == Some(codec::schema_text(layout.schema)))
}

fn pack_anew<W: Write>(
    container: &Container<'_>,
    file: &FileMeta,
    layout: Layout,
    meta: &MetaMap,
    out: W,
) -> Result<(W, Written), ConvertError> {
    let Layout { level, schema } = layout;
    let sync = super::writer::sync(file.writer, file.range.start());
    let mut writer = ContainerWriter::avro(out, level, schema, sync);
    let kinds = [file.suffix, level.suffix()].map(Kind::from);
    for_each_frame(container, |frame, mut raw, is_last| {
        // The last line of plain ones ends behind their tail.
        match kinds {
            [Kind::Lines, to] if is_last && to != Kind::Lines => raw.push(b'\n'),
            [from, Kind::Lines] if is_last && from != Kind::Lines => {
                raw.pop();
            }
            _ => {}
        }
        writer.frame(&raw, frame.info)?;
        Ok(raw)
    })?;
    Ok(writer.finish(meta)?)
}

/// The metadata of `file` when it is laid down otherwise.
fn meta_of(meta: &MetaMap, file: &FileMeta, layout: Layout) -> MetaMap {
    let mut meta = meta.clone();
    let to = layout.level.suffix();
    meta.insert("suffix".to_owned(), to.to_string());
    match (file.suffix.format(), to.format()) {
        (Format::Mak, Format::Mak) => {}
        (_, Format::Mak) => {
            meta.insert("mak".to_owned(), "2".to_owned());
        }
        _ => {
            meta.remove("mak");
        }
    }
    if to.format() == Format::Avro && layout.schema == AvroSchema::Plain {
        meta.insert("schema".to_owned(), "plain".to_owned());
    }
    meta
}

/// The header of the MAK file that `file` becomes. Other formats don't keep when they were begun:
/// then it is the lowest time of a record.
fn header_of(file: &FileMeta) -> FileHeader {
    let begun = file.times.map_or(0, |(low, _)| u64::try_from(low).unwrap_or(0));
    FileHeader {
        identity: file.identity.clone(),
        start: file.range.start(),
        generation: file.generation,
        first: file.first,
        start_time: StartTime::from_millis(begun),
        gap: file.gap,
        writer: file.writer,
    }
}
