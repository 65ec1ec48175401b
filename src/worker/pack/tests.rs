//! Packing of files as the consumer writes them, read back through [`Object`].

use super::*;
use crate::archive::shelf::{Shelf, now};
use crate::archive::{Object, OwnedRecord};
use crate::codec::{Index, unpack};
use crate::mak::v2::{BlockBuilder, file_prologue, finish_block, write_block};
use crate::mak::{Headers, HeadersBuf, Reader, Record, StartTime};
use crate::meta::{Gap, GapReason, Identity};
use crate::store::names::{ChainName, Name};
use crate::types::{
    Isolation, Partition, Suffix, Timestamp, TimestampType, TopicId, TopicName, WriterToken,
};

/// What the consumer writes at most in one block.
const BLOCK: usize = 256 << 10;
const STAMP: &str = "0f1e/77";

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn header(start: u64) -> FileHeader {
    FileHeader {
        identity: Identity {
            cluster_id: "5L6g3nShT-eMCtK--X86sw".to_owned(),
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::from_halves(1, 2),
            partition: Partition::new(3).unwrap(),
            isolation: Isolation::ReadCommitted,
        },
        start: at(start),
        generation: 1,
        first: at(5),
        start_time: StartTime::from_text("1500000001.25").unwrap(),
        gap: Some(Gap { from: at(start), to: at(start + 2), reason: GapReason::Retention }),
        writer: WriterToken(0xfeed),
    }
}

/// Lays a file down as the consumer's sink does.
struct Spooled {
    bytes: Vec<u8>,
    block: BlockBuilder,
    finish: Finish,
}

impl Spooled {
    fn begin(start: u64) -> Self {
        let finish =
            Finish { next: at(start), records: 0, bytes: 0, times: None, leader_epoch: Some(9) };
        Self { bytes: file_prologue(&header(start)), block: BlockBuilder::new(at(start)), finish }
    }

    fn push(&mut self, record: &Record<'_>) {
        self.block.push(record).unwrap();
        if self.block.len_bytes() >= BLOCK {
            self.flush(self.block.next());
        }
    }

    fn flush(&mut self, next: Offset) {
        if next == self.block.start() {
            return;
        }
        self.finish.records += self.block.records();
        self.finish.bytes += self.block.content_bytes();
        let times = [self.finish.times, self.block.times()].into_iter().flatten();
        self.finish.times = times.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
        let slices = self.block.finish(next).unwrap();
        for slice in slices {
            self.bytes.extend_from_slice(&slice);
        }
        self.block.reset(next);
        self.finish.next = next;
    }

    /// The file without its stamp, up to `next`.
    fn finish(mut self, next: u64) -> Vec<u8> {
        self.flush(at(next));
        self.bytes.extend(finish_block(&self.finish));
        self.bytes
    }
}

fn stamped(mut file: Vec<u8>) -> Vec<u8> {
    write_block(Kind::Meta, &note::to_bytes(&STAMP.parse().unwrap()), &mut file);
    file
}

/// The same numbers for the same seed.
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// `count` records with all that is odd, holes between, and a large one after 30,000.
fn odd(count: u64) -> Vec<OwnedRecord> {
    let mut number = numbers(1);
    let mut offset = 102;
    let mut records = Vec::new();
    for n in 0..count {
        offset += 1 + u64::from(number().is_multiple_of(9)) * 3;
        let kind = if n % 3 == 0 { TimestampType::LogAppend } else { TimestampType::Create };
        let millis = 1_700_000_000_000 + n.cast_signed() * 10 - (number() % 500).cast_signed();
        let value =
            format!("{{\"n\":{n},\"user\":{},\"text\":\"{:x}\"}}", number() % 999, number());
        let large = usize::from(n == 30_000) * (3 << 20);
        records.push(OwnedRecord {
            offset: at(offset),
            timestamp: (n % 17 != 0).then_some(Timestamp { millis, kind }),
            key: (n % 5 != 0).then(|| n.to_be_bytes()[..(n % 9) as usize].to_vec()),
            value: (n % 31 != 0).then(|| [value.into_bytes(), vec![b'x'; large]].concat()),
            headers: (0..n % 3).map(|h| (b"h".to_vec(), (h > 0).then(|| vec![7; 3]))).collect(),
        });
    }
    records
}

fn next_of(records: &[OwnedRecord]) -> u64 {
    records.last().map_or(101, |record| record.offset.get() + 5)
}

fn spooled(records: &[OwnedRecord]) -> Vec<u8> {
    let mut file = Spooled::begin(100);
    let mut buf = HeadersBuf::new();
    for record in records {
        file.push(&record.borrow(&mut buf));
    }
    file.finish(next_of(records))
}

fn layout(suffix: Suffix) -> Layout {
    Layout { level: Level::new(suffix, None).unwrap(), schema: AvroSchema::Full }
}

fn packing(suffix: Suffix, mak: MakVersion) -> Packing {
    Packing { layout: layout(suffix), mak }
}

fn packed(file: &[u8], suffix: Suffix, mak: MakVersion) -> Vec<u8> {
    let mut out = Vec::new();
    let len = pack(file, packing(suffix, mak), &mut out).unwrap();
    assert_eq!(len, out.len() as u64);
    out
}

fn unpacked(container: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (_, mut content) = unpack(container).unwrap();
    io::Read::read_to_end(&mut content, &mut out).unwrap();
    out
}

fn in_v1(record: &OwnedRecord) -> OwnedRecord {
    OwnedRecord {
        offset: record.offset,
        timestamp: None,
        key: Some(record.key.clone().unwrap_or_default()),
        value: Some(record.value.clone().unwrap_or_default()),
        headers: Vec::new(),
    }
}

fn name(suffix: Suffix) -> Name {
    let chain = ChainName::first(TopicName::new("orders").unwrap());
    chain.partition(Partition::new(3).unwrap()).object(at(100), suffix)
}

/// Records and metadata, as a reader of the archive has them.
fn opened(container: &[u8], suffix: Suffix) -> (Vec<OwnedRecord>, FileMeta, Index) {
    let shelf = Shelf::of(&name(suffix), container.to_vec());
    let object = now(Object::open(&shelf, &name(suffix))).unwrap();
    let (mut records, mut found) = (object.records(), Vec::new());
    while let Some(record) = now(records.next_owned()).unwrap() {
        found.push(record);
    }
    (found, object.file().unwrap().clone(), object.index().clone())
}

fn check_meta(file: &FileMeta, records: &[OwnedRecord], mak: u8, suffix: Suffix) {
    let given = header(100);
    let millis = || records.iter().filter_map(|r| Some(r.timestamp?.millis));
    let mut buf = HeadersBuf::new();
    let bytes: u64 = records.iter().map(|r| r.borrow(&mut buf).content_bytes()).sum();
    assert!(file.identity.disagreement(&given.identity).is_none());
    assert_eq!((file.first, file.gap, file.writer), (given.first, given.gap, given.writer));
    assert_eq!((file.mak, file.suffix, file.leader_epoch), (mak, suffix, Some(9)));
    assert_eq!(file.range, OffsetRange::new(at(100), at(next_of(records))).unwrap());
    assert_eq!((file.records, file.bytes), (records.len() as u64, bytes));
    assert_eq!(file.times, millis().min().zip(millis().max()));
    assert!(file.totals.is_none());
}

/// Frames of about [`FRAME_TARGET`]: none much longer, unless it is one thing; none needlessly
/// short.
fn check_frames(index: &Index, mak: u8) {
    let lens: Vec<_> = index.frames().iter().map(|frame| frame.raw_len as usize).collect();
    assert!(lens.len() >= 5, "{lens:?}");
    let large = 3 << 20;
    for (n, len) in lens.iter().enumerate() {
        let most = if mak == 1 { FRAME_TARGET + 1024 } else { FRAME_MOST };
        assert!(*len <= most || *len >= large, "{n}: {lens:?}");
        let following = lens.get(n + 1).copied().unwrap_or(usize::MAX);
        assert!(
            *len >= FRAME_TARGET || following >= large || following == usize::MAX,
            "{n}: {lens:?}"
        );
    }
}

#[test]
fn what_was_spooled_is_what_is_archived() {
    let records = odd(60_000);
    let file = spooled(&records);
    for suffix in Suffix::MAK {
        let container = packed(&stamped(file.clone()), suffix, MakVersion::V2);
        if suffix == Suffix::Mak {
            assert!(container.starts_with(&file), "blocks are copied as they are");
        } else {
            assert!(unpacked(&container) == file, "blocks are copied as they are");
        }
        let (found, meta, index) = opened(&container, suffix);
        assert!(found == records);
        check_meta(&meta, &records, 2, suffix);
        check_frames(&index, 2);
    }
}

#[test]
fn version_1_is_laid_down_as_the_original_did() {
    let records: Vec<_> = odd(60_000);
    let file = spooled(&records);
    let mut builder = v1::Builder::new(&v1::Header::from(&header(100))).unwrap();
    let mut buf = HeadersBuf::new();
    for record in &records {
        builder.push(&record.borrow(&mut buf)).unwrap();
    }
    let expected = builder.finish();
    for suffix in Suffix::MAK {
        let container = packed(&stamped(file.clone()), suffix, MakVersion::V1);
        if suffix == Suffix::Mak {
            assert!(container.starts_with(&expected));
            let mut reader = Reader::open(container.as_slice()).unwrap();
            let mut count = 0;
            while reader.next_record().unwrap().is_some() {
                count += 1;
            }
            assert_eq!(count, records.len(), "the tail lies behind the end pointer");
        } else {
            assert!(unpacked(&container) == expected);
        }
        let (found, meta, index) = opened(&container, suffix);
        assert!(found == records.iter().map(in_v1).collect::<Vec<_>>());
        check_meta(&meta, &records, 1, suffix);
        check_frames(&index, 1);
    }
}

#[test]
fn a_file_without_records_is_packed_too() {
    for mak in [MakVersion::V1, MakVersion::V2] {
        for suffix in Suffix::MAK {
            let container = packed(&stamped(spooled(&[])), suffix, mak);
            let (found, meta, index) = opened(&container, suffix);
            assert!(found.is_empty() && meta.times.is_none());
            assert_eq!((meta.records, meta.range.next(), index.frames().len()), (0, at(101), 1));
        }
    }
}

#[test]
fn the_stamp_is_taken_along() {
    let file = spooled(&odd(5));
    for mak in [MakVersion::V1, MakVersion::V2] {
        for (bytes, expected) in [(stamped(file.clone()), Some(STAMP)), (file.clone(), None)] {
            let container = packed(&bytes, Suffix::MakGz, mak);
            let mut meta = Container::parse(Suffix::MakGz, &container).unwrap().tail().meta.clone();
            let stamp = note::take_from(&mut meta).map(|stamp| stamp.to_string());
            assert_eq!(stamp.as_deref(), expected);
            assert!(ObjectMeta::from_map(&meta).is_ok());
        }
    }
}

fn is_damaged(file: &[u8], mak: MakVersion) -> bool {
    let result = pack(file, packing(Suffix::Mak, mak), io::sink());
    assert!(!matches!(result, Err(PackError::Write(_))), "{result:?}");
    result.is_err()
}

#[test]
fn a_file_that_is_cut_or_flipped_is_damaged() {
    let unstamped = spooled(&odd(6)).len();
    let file = stamped(spooled(&odd(6)));
    for mak in [MakVersion::V1, MakVersion::V2] {
        for place in 0..file.len() {
            // The stamp alone may be missing.
            assert_eq!(is_damaged(&file[..place], mak), place != unstamped, "cut at {place}");
            let mut flipped = file.clone();
            flipped[place] ^= 1;
            assert!(is_damaged(&flipped, mak), "byte {place}");
        }
    }
}

#[test]
fn whole_blocks_in_a_wrong_order_are_damage() {
    let records = odd(3);
    let good = spooled(&records);
    let blocks: Vec<_> = Blocks::of_file(&good).unwrap().map(Result::unwrap).collect();
    let [h, r, f] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    let totals = |change: fn(&mut Finish)| {
        let mut finish = f.finish().unwrap();
        change(&mut finish);
        finish_block(&finish)
    };
    let wrong_records = totals(|f| f.records += 1);
    let wrong_next = totals(|f| f.next = at(103));
    let mut later = BlockBuilder::new(at(next_of(&records) + 1));
    let slices = later.finish(at(next_of(&records) + 2)).unwrap().map(|s| s.to_vec()).concat();
    let wholes: [(&str, &[&[u8]]); 10] = [
        ("no header", &[r.bytes(), f.bytes()]),
        ("two headers", &[h.bytes(), h.bytes(), r.bytes(), f.bytes()]),
        ("the header late", &[r.bytes(), h.bytes(), f.bytes()]),
        ("no finish block", &[h.bytes(), r.bytes()]),
        ("two finish blocks", &[h.bytes(), r.bytes(), f.bytes(), f.bytes()]),
        ("finished too early", &[h.bytes(), f.bytes(), r.bytes()]),
        ("blocks that overlap", &[h.bytes(), r.bytes(), r.bytes(), f.bytes()]),
        ("blocks that don't join", &[h.bytes(), r.bytes(), &slices, f.bytes()]),
        ("another count", &[h.bytes(), r.bytes(), &wrong_records]),
        ("another end", &[h.bytes(), r.bytes(), &wrong_next]),
    ];
    for mak in [MakVersion::V1, MakVersion::V2] {
        assert!(!is_damaged(&good, mak));
        for (what, blocks) in wholes {
            let file = [b"MAK\x02", blocks.concat().as_slice()].concat();
            assert!(is_damaged(&file, mak), "{what}");
        }
    }
}

#[test]
fn a_disk_that_is_full_is_not_the_files_fault() {
    let file = spooled(&odd(5));
    let mut room = [0; 1000];
    let full = pack(&file, packing(Suffix::Mak, MakVersion::V2), room.as_mut_slice());
    assert!(matches!(full, Err(PackError::Write(_))), "{full:?}");
    let refused = io::Error::from(CodecError::Order { first: 1, previous: 2 });
    assert!(matches!(PackError::from(refused), PackError::Damaged(_)));
}

fn said(container: &Container<'_>) -> FileMeta {
    match ObjectMeta::from_map(&container.tail().meta) {
        Ok(ObjectMeta::File(file)) => file,
        other => panic!("{other:?}"),
    }
}

/// The formats that others read, at once and by way of each other.
#[test]
fn other_formats_hold_the_same_records() {
    let records = odd(60_000);
    let file = stamped(spooled(&records));
    let others = [Suffix::Avro, Suffix::Jsonl, Suffix::JsonlGz, Suffix::JsonlZst];
    for suffix in others {
        let container = packed(&file, suffix, MakVersion::V1);
        let container = Container::parse(suffix, &container).unwrap();
        let mut tail = container.tail().clone();
        assert_eq!(note::take_from(&mut tail.meta).map(|stamp| stamp.to_string()).unwrap(), STAMP);
        let (before, behind) = tail.around(suffix).unwrap();
        let published = [&before, container.body(), &behind].concat();
        let (found, meta, index) = opened(&published, suffix);
        assert!(found == records, "{suffix}");
        check_meta(&meta, &records, 0, suffix);
        assert!(index.frames().len() > 1);
        for to in others.into_iter().chain([Suffix::MakGz]) {
            let mut after = Vec::new();
            repack(&container, &said(&container), layout(to), &mut after).unwrap();
            if to == Suffix::MakGz {
                let (found, meta, _) = opened(&after, to);
                assert!(found == records);
                check_meta(&meta, &records, 2, to);
            } else {
                assert!(after == packed(&file, to, MakVersion::V2), "{suffix} to {to}");
            }
        }
    }
}

#[test]
fn kafka_stores_schema_is_only_for_files_without_holes() {
    let plain = |records: &[OwnedRecord]| {
        let layout = Layout { schema: AvroSchema::Plain, ..layout(Suffix::Avro) };
        let mut out = Vec::new();
        pack(&spooled(records), Packing { layout, mak: MakVersion::V2 }, &mut out).unwrap();
        said(&Container::parse(Suffix::Avro, &out).unwrap()).plain
    };
    let mut records = odd(5);
    for (n, record) in (100..).zip(&mut records) {
        record.offset = at(n);
    }
    assert!(plain(&records) && plain(&[]));
    records[4].offset = at(107);
    assert!(!plain(&records));
    records.drain(..1);
    assert!(!plain(&records), "a hole at the beginning");
}

#[test]
fn packed_anew_it_is_the_same_file() {
    let records = odd(60_000);
    let file = stamped(spooled(&records));
    for (from, to) in [
        (Suffix::Mak, Suffix::MakGz),
        (Suffix::MakGz, Suffix::MakZst),
        (Suffix::MakZst, Suffix::Mak),
        (Suffix::MakGz, Suffix::MakGz),
    ] {
        for mak in [MakVersion::V1, MakVersion::V2] {
            let before = packed(&file, from, mak);
            let container = Container::parse(from, &before).unwrap();
            let mut after = Vec::new();
            let len = repack(&container, &said(&container), layout(to), &mut after).unwrap();
            assert_eq!(len, after.len() as u64);
            // Packed anew or at once: the same bytes, and the stamp with them.
            assert!(after == packed(&file, to, mak), "{from} to {to}");
            let stamp = Container::parse(to, &after).unwrap().tail().meta["rotated"].clone();
            assert_eq!(stamp, STAMP);
        }
    }
}

#[test]
fn damage_is_not_packed_anew() {
    for suffix in Suffix::MAK {
        let mut bytes = packed(&spooled(&odd(6)), suffix, MakVersion::V1);
        let middle = Container::parse(suffix, &bytes).unwrap().body().len() / 2;
        bytes[middle] ^= 1;
        let container = Container::parse(suffix, &bytes).unwrap();
        let result = repack(&container, &said(&container), layout(Suffix::MakZst), io::sink());
        assert!(matches!(result, Err(PackError::Damaged(_))), "{suffix}: {result:?}");
    }
}

#[test]
fn at_most_8_bytes_for_an_ordinary_record() {
    const RECORDS: u64 = 1_000_000;
    let mut file = Spooled::begin(100);
    file.bytes.reserve(usize::try_from(RECORDS).unwrap() * 208);
    let mut number = numbers(2);
    let (mut millis, mut payload, mut value) = (1_700_000_000_000, 0, Vec::new());
    for n in 0..RECORDS {
        value.clear();
        write!(
            value,
            "{{\"id\":{n:010},\"user\":\"customer-{:06}\",\"amount\":{:06}.{:02},\"session\":\"{:016x}{:016x}\",\
             \"country\":\"DE\",\"product\":\"article-{:08}\",\"status\":\"delivered\",\"remark\":\"{:016x}\"}}",
            number() % 1_000_000, number() % 1_000_000, number() % 100, number(), number(),
            number() % 100_000_000, number(),
        )
        .unwrap();
        assert!((195..=205).contains(&value.len()), "{}", value.len());
        millis += (number() % 100).cast_signed() - 20;
        payload += value.len() as u64;
        file.push(&Record {
            offset: at(100 + n),
            timestamp: Some(Timestamp { millis, kind: TimestampType::Create }),
            key: None,
            value: Some(&value),
            headers: Headers::NONE,
        });
    }
    let file = stamped(file.finish(100 + RECORDS));
    let len = pack(&file, packing(Suffix::Mak, MakVersion::V2), io::sink()).unwrap();
    let hundredths = (len - payload) * 100 / RECORDS;
    let (value, over) =
        (payload / RECORDS, format!("{}.{:02}", hundredths / 100, hundredths % 100));
    println!("{RECORDS} records of {value} bytes: {len} bytes, {over} for each over its own");
    assert!(len - payload <= 8 * RECORDS, "{over} bytes of overhead a record");
}
