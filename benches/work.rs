//! What archiving does with records, in pieces that can be measured one by one.

use std::io;
use std::path::Path;

use kafkatos3::codec::{ContainerWriter, FRAME_TARGET, FrameInfo, Level};
use kafkatos3::mak::v2::{BlockBuilder, Blocks};
use kafkatos3::mak::{Headers, HeadersBuf, MakError, Record};
use kafkatos3::meta::MetaMap;
use kafkatos3::spool::stage::InProgress;
use kafkatos3::spool::{Spool, SpoolError};
use kafkatos3::types::{
    Offset, Partition, Suffix, Timestamp, TimestampType, TopicName, TopicPartition, WriterToken,
};

use crate::sample::Events;

/// As large as the consumer's.
const BLOCK: usize = 256 << 10;

/// One record, owned.
pub(crate) struct Owned {
    time: i64,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// So many records.
pub(crate) fn records(count: usize) -> Vec<Owned> {
    let mut events = Events::new(1);
    let mut record = |number: usize| {
        let (time, value) = events.next();
        let key = format!("user-{}", number * 7919 % 100_000);
        Owned { time, key: key.into_bytes(), value: value.as_bytes().to_vec() }
    };
    (0..count).map(&mut record).collect()
}

/// Lays records down in blocks, which are appended to `out`.
#[inline(never)]
pub(crate) fn path_build(records: &[Owned], out: &mut Vec<u8>) -> Result<(), MakError> {
    let mut block = BlockBuilder::new(Offset::ZERO);
    let mut offset = Offset::ZERO;
    for Owned { time, key, value } in records {
        block.push(&Record {
            offset,
            timestamp: Some(Timestamp { millis: *time, kind: TimestampType::Create }),
            key: Some(key),
            value: Some(value),
            headers: Headers::NONE,
        })?;
        offset = offset.after();
        if block.len_bytes() >= BLOCK {
            finish(&mut block, offset, out)?;
        }
    }
    finish(&mut block, offset, out)
}

fn finish(block: &mut BlockBuilder, next: Offset, out: &mut Vec<u8>) -> Result<(), MakError> {
    if block.records() > 0 {
        for slice in block.finish(next)? {
            out.extend_from_slice(&slice);
        }
        block.reset(next);
    }
    Ok(())
}

/// Reads the records of such blocks; gives their bytes.
#[inline(never)]
pub(crate) fn path_read(blocks: &[u8]) -> Result<u64, MakError> {
    let mut bytes = 0;
    for block in Blocks::at(blocks, 0) {
        for record in block?.records()?.records() {
            bytes += record?.content_bytes();
        }
    }
    Ok(bytes)
}

/// Puts headers together, as many times as said; gives their bytes.
#[inline(never)]
pub(crate) fn path_headers(times: usize) -> u64 {
    let mut buffer = HeadersBuf::new();
    let mut bytes = 0;
    for _ in 0..times {
        buffer.clear();
        buffer
            .push(b"traceparent", Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        buffer.push(b"content-type", Some(b"application/json"));
        buffer.push(b"retry", None);
        bytes += buffer.as_headers().content_bytes();
    }
    bytes
}

/// Packs bytes into a container, frame by frame; gives its length.
#[inline(never)]
pub(crate) fn path_pack(blocks: &[u8], suffix: Suffix) -> io::Result<u64> {
    let mut writer = ContainerWriter::new(io::sink(), Level::new(suffix, None)?);
    let mut first = Offset::ZERO;
    for frame in blocks.chunks(FRAME_TARGET) {
        writer.frame(frame, FrameInfo { first, records: 1, times: Some((1, 2)) })?;
        first = first.after();
    }
    Ok(writer.finish(&MetaMap::new())?.1.len)
}

/// A file in progress in a spool at `root`.
pub(crate) fn in_progress(root: &Path, start: Offset) -> Result<InProgress, SpoolError> {
    let spool = Spool::open(root)?;
    let topic = TopicName::new("bench").expect("a name");
    let tp = TopicPartition::new(topic, Partition::new(0).expect("a number"));
    InProgress::create(&spool, &tp, start, WriterToken(start.get()))
}

/// Appends bytes to a file in progress, block by block.
#[inline(never)]
pub(crate) fn path_append(file: &mut InProgress, blocks: &[u8]) -> Result<(), SpoolError> {
    for block in blocks.chunks(BLOCK) {
        let (head, rest) = block.split_at(block.len().min(52));
        file.append(&mut [io::IoSlice::new(head), io::IoSlice::new(rest)])?;
    }
    Ok(())
}
