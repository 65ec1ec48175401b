//! The file in progress of one partition: records are collected into a block, blocks are
//! appended to a file of the spool, and at the end the file is finished and rotated.
//!
//! A write that failed ends the file: it is dropped and its range is read again. Nothing is
//! synced; after a crash, checksums tell which blocks are whole.

use std::io::IoSlice;
use std::time::Instant;

use crate::mak::v2::{self, BlockBuilder, Finish, Kind, Recovered};
use crate::mak::{FileHeader, MakError, Record};
use crate::spool::age::Stamp;
use crate::spool::stage::{InProgress, Placed};
use crate::spool::{Spool, SpoolError};
use crate::sys::SysError;
use crate::types::{Offset, OffsetRange, TypeError};
use crate::worker::note;

/// Why a file in progress can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the broker's records don't fit the file: {0}")]
    Mak(#[from] MakError),
    #[error(transparent)]
    Range(#[from] TypeError),
    #[error(transparent)]
    Sys(#[from] SysError),
    #[error("there is no file in progress")]
    NoFile,
}

/// A file in progress.
#[derive(Debug)]
pub(crate) struct Sink {
    file: InProgress,
    block: BlockBuilder,
    start: Offset,
    /// Everything in the blocks that were written.
    written: Finish,
    pub(crate) opened: Instant,
    pub(crate) last_record: Instant,
    /// When the first record came that is in memory only.
    pub(crate) buffered_since: Option<Instant>,
}

impl Sink {
    /// Begins a file at `header.start`.
    pub(crate) fn create(
        spool: &Spool,
        header: &FileHeader,
        now: Instant,
    ) -> Result<Self, SinkError> {
        let tp = header.identity.topic_partition();
        let mut file = InProgress::create(spool, &tp, header.start, header.writer)?;
        file.append(&mut [IoSlice::new(&v2::file_prologue(header))])?;
        let written =
            Finish { next: header.start, records: 0, bytes: 0, times: None, leader_epoch: None };
        let block = BlockBuilder::new(header.start);
        Ok(Self {
            file,
            block,
            start: header.start,
            written,
            opened: now,
            last_record: now,
            buffered_since: None,
        })
    }

    /// Goes on with a file that was cut back to its whole blocks.
    pub(crate) fn resume(file: InProgress, found: &Recovered, now: Instant) -> Self {
        let start = file.name().start;
        let next = found.next.unwrap_or(start);
        let written = Finish {
            next,
            records: found.records,
            bytes: found.bytes,
            times: found.times,
            leader_epoch: found.leader_epoch,
        };
        let block = BlockBuilder::new(next);
        Self { file, block, start, written, opened: now, last_record: now, buffered_since: None }
    }

    /// The first offset that the file covers.
    pub(crate) const fn start(&self) -> Offset {
        self.start
    }

    /// The offset behind its last record, or its start.
    pub(crate) fn expects(&self) -> Offset {
        self.block.next()
    }

    /// Bytes so far, those in memory included.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.file.len() + self.buffered_bytes()
    }

    /// The lowest time of its records, in milliseconds since 1970.
    pub(crate) fn oldest(&self) -> Option<i64> {
        let times = [self.written.times, self.block.times()].into_iter().flatten();
        times.map(|(oldest, _)| oldest).min()
    }

    /// Bytes in memory.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        if self.block.records() == 0 { 0 } else { self.block.len_bytes() as u64 }
    }

    /// Appends a record; writes the block when it has `block_target` bytes.
    #[inline]
    pub(crate) fn push(
        &mut self,
        record: &Record<'_>,
        block_target: usize,
        now: Instant,
    ) -> Result<(), SinkError> {
        self.last_record = now;
        self.buffered_since.get_or_insert(now);
        self.make_room(record, block_target)?;
        match self.block.push(record) {
            Ok(()) => {}
            Err(MakError::Full) => {
                self.flush(self.block.next())?;
                self.block.push(record)?;
            }
            Err(other) => return Err(other.into()),
        }
        if self.block.len_bytes() >= block_target {
            self.flush(self.block.next())?;
            self.block.shrink_to(block_target);
        }
        Ok(())
    }

    /// A block takes no more memory than its target: a record that would go beyond begins the next
    /// one. A record larger than that goes alone, and its memory with it.
    #[inline]
    fn make_room(&mut self, record: &Record<'_>, block_target: usize) -> Result<(), SinkError> {
        let (grows, target) = (record.content_bytes(), block_target as u64);
        if self.block.records() > 0 && self.block.len_bytes() as u64 + grows > target {
            self.flush(self.block.next())?;
        }
        if self.block.records() == 0 && grows < target {
            self.block.make_room(block_target);
        }
        Ok(())
    }

    /// The leader epoch of the record right before the file's end, if it is known.
    pub(crate) const fn set_leader_epoch(&mut self, epoch: Option<i32>) {
        self.written.leader_epoch = epoch;
    }

    /// Writes the block as covering everything up to `next`; nothing to do if that is nothing.
    fn flush(&mut self, next: Offset) -> Result<(), SinkError> {
        if next == self.block.start() {
            return Ok(());
        }
        let (records, bytes, times) =
            (self.block.records(), self.block.content_bytes(), self.block.times());
        self.file.append(&mut self.block.finish(next)?)?;
        self.block.reset(next);
        self.buffered_since = None;
        self.written.next = next;
        self.written.records += records;
        self.written.bytes += bytes;
        self.written.times = match (self.written.times, times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
        Ok(())
    }

    /// Writes what is in memory. After a crash the file is whole up to here.
    pub(crate) fn flush_all(&mut self) -> Result<(), SinkError> {
        self.flush(self.block.next())
    }

    /// Leaves the file so that a successor can go on with it.
    pub(crate) fn park(mut self) -> Result<(), SinkError> {
        self.flush_all()
    }

    /// Finishes the file: it covers everything up to `next`; `stamp` goes along to the uploader.
    /// Once it is visible in `rotated/` it is complete; a crash before leaves it in progress.
    pub(crate) fn rotate(mut self, next: Offset, stamp: &Stamp) -> Result<Rotation, SinkError> {
        self.flush(next)?;
        self.written.next = next;
        let mut end = v2::finish_block(&self.written);
        v2::write_block(Kind::Meta, &note::to_bytes(stamp), &mut end);
        self.file.append(&mut [IoSlice::new(&end)])?;
        let range = OffsetRange::new(self.start, next)?;
        let (records, bytes) = (self.written.records, self.file.len());
        let oldest = self.oldest();
        let placed = self.file.rotate(range)?;
        Ok(Rotation { range, records, bytes, oldest, placed })
    }

    /// Drops the file.
    pub(crate) fn discard(self) -> Result<(), SinkError> {
        Ok(self.file.discard()?)
    }
}

/// What was rotated.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) range: OffsetRange,
    pub(crate) records: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// The lowest time of its records.
    pub(crate) oldest: Option<i64>,
    pub(crate) placed: Placed,
}
