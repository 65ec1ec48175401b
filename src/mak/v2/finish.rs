//! The F block: says that a file is complete, and what it holds in all.

use crate::mak::varint::take_array;
use crate::types::Offset;

/// Totals of a complete file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finish {
    /// End of the range that the file covers, exclusive.
    pub next: Offset,
    /// How many records it holds.
    pub records: u64,
    /// Bytes of their keys, values, header names and header values.
    pub bytes: u64,
    /// Lowest and highest timestamp; `None` if no record has one.
    pub times: Option<(i64, i64)>,
    /// Leader epoch of the last record, if the broker told it.
    pub leader_epoch: Option<i32>,
}

impl Finish {
    pub(super) fn to_payload(self) -> [u8; 44] {
        let (min, max) = self.times.unwrap_or((i64::MAX, i64::MIN));
        let mut payload = [0; 44];
        payload[0..8].copy_from_slice(&self.next.get().to_be_bytes());
        payload[8..16].copy_from_slice(&self.records.to_be_bytes());
        payload[16..24].copy_from_slice(&self.bytes.to_be_bytes());
        payload[24..32].copy_from_slice(&min.to_be_bytes());
        payload[32..40].copy_from_slice(&max.to_be_bytes());
        payload[40..44].copy_from_slice(&self.leader_epoch.unwrap_or(-1).to_be_bytes());
        payload
    }

    /// Reads an F block's payload; bytes behind what is known are passed over.
    pub(in crate::mak) fn from_payload(mut payload: &[u8]) -> Option<Self> {
        let from = &mut payload;
        let next = u64::from_be_bytes(take_array(from)?);
        let records = u64::from_be_bytes(take_array(from)?);
        let bytes = u64::from_be_bytes(take_array(from)?);
        let min = i64::from_be_bytes(take_array(from)?);
        let max = i64::from_be_bytes(take_array(from)?);
        let epoch = i32::from_be_bytes(take_array(from)?);
        Some(Self {
            next: Offset::new(next).ok()?,
            records,
            bytes,
            times: times(min, max),
            leader_epoch: (epoch >= 0).then_some(epoch),
        })
    }
}

/// The two ends as they stand in a block: crossed over if there is no timestamp.
pub(super) fn times(min: i64, max: i64) -> Option<(i64, i64)> {
    (min <= max).then_some((min, max))
}

/// The span over two spans.
pub(super) fn join_times(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some((low, high)), Some((l, h))) => Some((low.min(l), high.max(h))),
        (one, other) => one.or(other),
    }
}
