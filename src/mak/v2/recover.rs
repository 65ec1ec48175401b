//! What is whole in a file that a crash left behind.

use super::finish::join_times;
use super::{Block, Blocks, Kind, Sequence};
use crate::mak::{FileHeader, MakError};
use crate::types::Offset;

/// The longest start of a file that is whole, and what it holds.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The file's header; `None` if not even that is whole, and then nothing else is.
    pub header: Option<FileHeader>,
    /// How many bytes are whole: cut the file there, and it reads without an error.
    pub valid_len: u64,
    /// End of the range that the whole blocks cover; the start if there is no block of records.
    pub next: Option<Offset>,
    /// Records in it.
    pub records: u64,
    /// Bytes of keys, values, header names and header values in it.
    pub bytes: u64,
    /// Lowest and highest timestamp in it.
    pub times: Option<(i64, i64)>,
    /// Leader epoch of its last record, if the finish block is there and tells.
    pub leader_epoch: Option<i32>,
    /// Whether the finish block is there: then the file is complete, not only whole.
    pub finished: bool,
}

/// Finds the longest start of `bytes` that is made of whole blocks which join each other.
/// Total: any bytes have an answer, and asking again of the part that it names gives the same.
#[must_use]
pub fn recover(bytes: &[u8]) -> Recovered {
    let mut found = Recovered {
        header: None,
        valid_len: 0,
        next: None,
        records: 0,
        bytes: 0,
        times: None,
        leader_epoch: None,
        finished: false,
    };
    let Ok(blocks) = Blocks::of_file(bytes) else { return found };
    let mut sequence = Sequence::default();
    for block in blocks {
        let good = block.and_then(|block| take_in(&mut found, &mut sequence, &block));
        if good.is_err() {
            break;
        }
    }
    found.next = sequence.next();
    found.records = sequence.records();
    found.finished = sequence.is_finished();
    found
}

fn take_in(
    found: &mut Recovered,
    sequence: &mut Sequence,
    block: &Block<'_>,
) -> Result<(), MakError> {
    let refuse = |what| MakError::corrupt(block.position(), what);
    match block.kind() {
        Kind::Header => {
            let header = block.header()?;
            sequence.header(header.start).map_err(refuse)?;
            found.header = Some(header);
        }
        Kind::Records => {
            let records = block.records()?;
            let bytes = records.content_bytes()?;
            sequence.records_block(records.range(), records.count()).map_err(refuse)?;
            found.bytes = found.bytes.saturating_add(bytes);
            found.times = join_times(found.times, records.times());
        }
        Kind::Finish => {
            let finish = block.finish()?;
            sequence.finish(&finish).map_err(refuse)?;
            found.leader_epoch = finish.leader_epoch;
        }
        other => sequence.other(other).map_err(refuse)?,
    }
    found.valid_len = block.end();
    Ok(())
}
