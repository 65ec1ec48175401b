//! Records that own their bytes, small files of them, and ways to read them back.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::mak::v2::{BlockBuilder, Finish, file_prologue, finish_block};
use crate::mak::{FileHeader, HeadersBuf, MakError, Reader, Record, StartTime, v1};
use crate::meta::{Gap, GapReason, Identity};
use crate::types::{
    Isolation, Offset, Partition, Timestamp, TimestampType, TopicId, TopicName, WriterToken,
};

pub(super) type Bytes = Option<Vec<u8>>;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    pub(super) offset: u64,
    pub(super) time: Option<(i64, bool)>,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    pub(super) headers: Vec<(Vec<u8>, Bytes)>,
}

impl Given {
    pub(super) fn with<T>(&self, take: impl FnOnce(&Record<'_>) -> T) -> T {
        let mut headers = HeadersBuf::new();
        self.headers.iter().for_each(|(name, value)| headers.push(name, value.as_deref()));
        let kind = |log| if log { TimestampType::LogAppend } else { TimestampType::Create };
        take(&Record {
            offset: at(self.offset),
            timestamp: self.time.map(|(millis, log)| Timestamp { millis, kind: kind(log) }),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: headers.as_headers(),
        })
    }

    pub(super) fn of(record: &Record<'_>) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        Self {
            offset: record.offset.get(),
            time: record.timestamp.map(|t| (t.millis, t.kind == TimestampType::LogAppend)),
            key: owned(record.key),
            value: owned(record.value),
            headers: record.headers.iter().map(|(n, v)| (n.to_vec(), owned(v))).collect(),
        }
    }

    pub(super) fn content_bytes(&self) -> u64 {
        let len = |bytes: &Bytes| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + len(v)).sum();
        (len(&self.key) + len(&self.value) + headers) as u64
    }

    /// What is left of it in version 1.
    pub(super) fn in_v1(&self) -> Self {
        Self {
            offset: self.offset,
            time: None,
            key: Some(self.key.clone().unwrap_or_default()),
            value: Some(self.value.clone().unwrap_or_default()),
            headers: Vec::new(),
        }
    }
}

pub(super) fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

pub(super) fn header(start: u64) -> FileHeader {
    FileHeader {
        identity: Identity {
            cluster_id: "a \"cluster\" \u{e4}".to_owned(),
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::from_halves(1, -2),
            partition: Partition::new(3).unwrap(),
            isolation: Isolation::ReadCommitted,
        },
        start: at(start),
        generation: 1,
        first: at(5),
        start_time: StartTime::from_text("1500000001.0").unwrap(),
        gap: Some(Gap { from: at(start), to: at(start + 2), reason: GapReason::Retention }),
        writer: WriterToken(0xfeed),
    }
}

/// A version 2 file with `per_block` records in each block, and the position behind each block.
pub(super) fn v2_file(records: &[Given], start: u64, per_block: usize) -> (Vec<u8>, Vec<usize>) {
    let mut file = file_prologue(&header(start));
    let mut ends = vec![file.len()];
    let mut block = BlockBuilder::new(at(start));
    let (mut bytes, mut times) = (0, Vec::new());
    for chunk in records.chunks(per_block) {
        for given in chunk {
            given.with(|record| block.push(record)).unwrap();
        }
        bytes += block.content_bytes();
        times.extend(block.times());
        let (next, expected) = (block.next(), block.len_bytes());
        let before = file.len();
        block.finish(next).unwrap().iter().for_each(|slice| file.extend_from_slice(slice));
        assert_eq!(file.len() - before, expected);
        ends.push(file.len());
        block.reset(next);
    }
    let low = times.iter().map(|t| t.0).min();
    file.extend(finish_block(&Finish {
        next: at(block.next().get() + 1),
        records: records.len() as u64,
        bytes,
        times: low.zip(times.iter().map(|t| t.1).max()),
        leader_epoch: Some(7),
    }));
    ends.push(file.len());
    (file, ends)
}

pub(super) fn v1_file(records: &[Given], start: u64) -> Vec<u8> {
    let mut builder = v1::Builder::new(&v1::Header::from(&header(start))).unwrap();
    for given in records {
        given.with(|record| builder.push(record)).unwrap();
    }
    builder.finish()
}

/// All records until the end or the first error.
pub(super) fn read(file: &[u8]) -> (Vec<Given>, Option<MakError>) {
    let mut records = Vec::new();
    let mut reader = match Reader::open(file) {
        Ok(reader) => reader,
        Err(error) => return (records, Some(error)),
    };
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push(Given::of(&record)),
            Ok(None) => return (records, None),
            Err(error) => {
                assert!(matches!(reader.next_record(), Ok(None)), "nothing follows an error");
                return (records, Some(error));
            }
        }
    }
}

fn bytes() -> impl Strategy<Value = Bytes> {
    option::of(prop_oneof![4 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 100..300)])
}

fn time() -> impl Strategy<Value = Option<(i64, bool)>> {
    let millis = prop_oneof![
        4 => 1_500_000_000_000..1_500_000_000_100i64,
        1 => any::<i64>(),
        1 => Just(0i64),
    ];
    option::of((millis, any::<bool>()))
}

/// A start, and records from there on, with holes between.
pub(super) fn records() -> impl Strategy<Value = (u64, Vec<Given>)> {
    let hole = prop_oneof![5 => Just(0u64), 1 => 1..300u64, 1 => 0..1u64 << 50];
    let headers = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec((vec(any::<u8>(), 0..5), bytes()), 0..4),
    ];
    let record = (hole, time(), bytes(), bytes(), headers);
    (0..1u64 << 50, vec(record, 0..40)).prop_map(|(start, parts)| {
        let mut next = start;
        let records = parts.into_iter().map(|(hole, time, key, value, headers)| {
            let offset = next + hole;
            next = offset + 1;
            Given { offset, time, key, value, headers }
        });
        let records = records.collect();
        (start, records)
    })
}

/// A few records with everything odd in them.
pub(super) fn odd_records() -> Vec<Given> {
    let plain = |offset, key: &[u8], value: &[u8]| Given {
        offset,
        time: Some((1_500_000_000_000 + i64::try_from(offset).unwrap(), false)),
        key: Some(key.to_vec()),
        value: Some(value.to_vec()),
        headers: Vec::new(),
    };
    let headers = vec![
        (b"trace".to_vec(), Some(b"1".to_vec())),
        (b"trace".to_vec(), None),
        (b"\xff".to_vec(), Some(Vec::new())),
    ];
    vec![
        plain(12, b"k", b"first"),
        Given { key: None, value: Some(Vec::new()), ..plain(13, b"", b"") },
        Given { key: Some(Vec::new()), value: None, time: None, ..plain(20, b"", b"") },
        Given { headers, time: Some((-5, true)), ..plain(21, b"\0\xff", b"with headers") },
        plain(22, b"last", b"\xc3\xa4"),
    ]
}
