//! The reading API against a full scan of the same file, and against hostile bytes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::shelf::{Shelf, now};
use super::*;
use crate::codec::{
    ContainerWriter, FrameCodec, FrameInfo, Level, MAX_FRAME, TailRead, seal, unpack,
};
use crate::mak::v2::{BlockBuilder, Finish, file_prologue, finish_block};
use crate::mak::{FileHeader, HeadersBuf, Reader, StartTime, v1};
use crate::meta::{FileMeta, Identity, MetaMap, ObjectMeta, SealMeta, Totals};
use crate::store::names::{ChainName, Name};
use crate::types::{
    Isolation, Offset, OffsetRange, Partition, Suffix, Timestamp, TimestampType, TopicId,
    TopicName, WriterToken,
};

pub(super) fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn identity() -> Identity {
    Identity {
        cluster_id: String::new(),
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::UNKNOWN,
        partition: Partition::new(3).unwrap(),
        isolation: Isolation::ReadCommitted,
    }
}

fn name(start: u64, suffix: Suffix) -> Name {
    let chain = ChainName::first(identity().topic).partition(identity().partition);
    chain.object(at(start), suffix)
}

fn file_header(start: u64) -> FileHeader {
    FileHeader {
        identity: identity(),
        start: at(start),
        generation: 1,
        first: at(start),
        start_time: StartTime::from_text("1500000001.0").unwrap(),
        gap: None,
        writer: WriterToken(7),
    }
}

/// A file: what is in it, and how it is laid out.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) start: u64,
    pub(super) next: u64,
    pub(super) records: Vec<OwnedRecord>,
    pub(super) version: u8,
    pub(super) suffix: Suffix,
    /// For each record: whether a block ends behind it, and whether the hole behind it, if there
    /// is one, is part of that block, of the next one, or has a block of its own.
    blocks: Vec<(bool, u8)>,
    /// Blocks, or records of version 1, in a frame.
    per_frame: usize,
}

/// A frame before it is packed.
struct Raw {
    bytes: Vec<u8>,
    info: FrameInfo,
}

fn info(first: u64, records: &[&OwnedRecord]) -> FrameInfo {
    let times = || records.iter().filter_map(|r| Some(r.timestamp?.millis));
    let times = times().min().zip(times().max());
    FrameInfo { first: at(first), records: u32::try_from(records.len()).unwrap(), times }
}

impl Given {
    pub(super) fn name(&self) -> Name {
        name(self.start, self.suffix)
    }

    pub(super) fn meta(&self) -> FileMeta {
        let times = || self.records.iter().filter_map(|r| Some(r.timestamp?.millis));
        FileMeta {
            identity: identity(),
            generation: 1,
            first: at(self.start),
            mak: self.version,
            plain: false,
            suffix: self.suffix,
            range: OffsetRange::new(at(self.start), at(self.next)).unwrap(),
            records: self.records.len() as u64,
            bytes: 0,
            times: times().min().zip(times().max()),
            gap: None,
            leader_epoch: None,
            writer: WriterToken(7),
            act: None,
            totals: None,
        }
    }

    pub(super) fn map(&self) -> MetaMap {
        ObjectMeta::File(self.meta()).to_map()
    }

    fn frames(&self) -> Vec<Raw> {
        if self.version == 1 { self.frames_of_v1() } else { self.frames_of_v2() }
    }

    fn frames_of_v1(&self) -> Vec<Raw> {
        let mut buf = HeadersBuf::new();
        let mut plan = v1::Plan::new(&v1::Header::from(&file_header(self.start))).unwrap();
        for record in &self.records {
            plan.add(&record.borrow(&mut buf)).unwrap();
        }
        let mut frames = vec![Raw { bytes: plan.head(), info: info(self.start, &[]) }];
        for (n, records) in self.records.chunks(self.per_frame).enumerate() {
            if n > 0 {
                let first = records[0].offset.get();
                frames.push(Raw { bytes: Vec::new(), info: info(first, &[]) });
            }
            let frame = frames.last_mut().unwrap();
            for record in records {
                v1::put_record(&record.borrow(&mut buf), &mut frame.bytes);
            }
            frame.info = info(frame.info.first.get(), &records.iter().collect::<Vec<_>>());
        }
        frames
    }

    /// Blocks as (start, next, records).
    fn plan_blocks(&self) -> Vec<(u64, u64, Vec<&OwnedRecord>)> {
        let mut blocks = Vec::new();
        let (mut start, mut begun) = (self.start, Vec::new());
        for (n, record) in self.records.iter().enumerate() {
            begun.push(record);
            let behind = record.offset.get() + 1;
            let following = self.records.get(n + 1).map_or(self.next, |r| r.offset.get());
            let (ends, hole) = self.blocks[n];
            if !ends && n + 1 < self.records.len() {
                continue;
            }
            let next = if hole == 0 { behind } else { following };
            let records = std::mem::take(&mut begun);
            if hole == 2 && behind < following {
                blocks.push((start, behind, records));
                blocks.push((behind, following, Vec::new()));
            } else {
                blocks.push((start, next, records));
            }
            start = next;
        }
        blocks
    }

    fn frames_of_v2(&self) -> Vec<Raw> {
        let head = file_prologue(&file_header(self.start));
        let mut frames = vec![Raw { bytes: head, info: info(self.start, &[]) }];
        for (n, blocks) in self.plan_blocks().chunks(self.per_frame).enumerate() {
            if n > 0 {
                frames.push(Raw { bytes: Vec::new(), info: info(blocks[0].0, &[]) });
            }
            let frame = frames.last_mut().unwrap();
            let mut all = Vec::new();
            for (start, next, records) in blocks {
                let mut block = BlockBuilder::new(at(*start));
                let mut buf = HeadersBuf::new();
                for record in records {
                    block.push(&record.borrow(&mut buf)).unwrap();
                }
                let slices = block.finish(at(*next)).unwrap();
                for slice in slices {
                    frame.bytes.extend_from_slice(&slice);
                }
                all.extend(records);
            }
            frame.info = info(frame.info.first.get(), &all);
        }
        let meta = self.meta();
        frames.last_mut().unwrap().bytes.extend(finish_block(&Finish {
            next: meta.range.next(),
            records: meta.records,
            bytes: meta.bytes,
            times: meta.times,
            leader_epoch: None,
        }));
        frames
    }

    pub(super) fn container(&self, meta: &MetaMap) -> Vec<u8> {
        let mut writer = ContainerWriter::new(Vec::new(), Level::new(self.suffix, None).unwrap());
        for frame in self.frames() {
            writer.frame(&frame.bytes, frame.info).unwrap();
        }
        writer.finish(meta).unwrap().0
    }

    fn shelf(&self) -> Shelf {
        Shelf::of(&self.name(), self.container(&self.map()))
    }
}

/// Every record, by unpacking all of the object from front to back.
fn scan(object: &[u8]) -> Vec<OwnedRecord> {
    let (_, unpacked) = unpack(object).unwrap();
    let mut reader = Reader::open(std::io::BufReader::new(unpacked)).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        records.push(OwnedRecord::from(record));
    }
    records
}

fn all(mut records: Records<'_>) -> Vec<OwnedRecord> {
    let mut found = Vec::new();
    while let Some(record) = now(records.next_owned()).unwrap() {
        found.push(record);
    }
    assert_eq!(now(records.next()).unwrap(), None, "nothing follows the end");
    found
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..12))
}

pub(super) fn given() -> impl Strategy<Value = Given> {
    let hole = prop_oneof![3 => Just(0u64), 2 => 1..4u64, 1 => 0..1u64 << 40];
    let millis = prop_oneof![6 => 1_000..1_040i64, 1 => any::<i64>()];
    let time = prop_oneof![4 => (millis, any::<bool>()).prop_map(Some), 1 => Just(None)];
    let headers =
        prop_oneof![2 => Just(Vec::new()), 1 => vec((vec(any::<u8>(), 0..3), bytes()), 0..3)];
    let record = (hole, time, bytes(), bytes(), headers);
    let records = vec((record, any::<bool>(), 0..3u8), 0..24);
    let suffix = prop::sample::select(Suffix::MAK.to_vec());
    (0..1u64 << 40, records, 1..4u64, 1..3u8, suffix, 1..5usize).prop_map(
        |(start, parts, behind, version, suffix, per_frame)| {
            let mut next = start;
            let mut blocks = Vec::new();
            let mut records = Vec::new();
            for ((hole, time, key, value, headers), ends, style) in parts {
                let offset = at(next + hole);
                next = offset.get() + 1;
                let kind = |log| if log { TimestampType::LogAppend } else { TimestampType::Create };
                let timestamp = time.map(|(millis, log)| Timestamp { millis, kind: kind(log) });
                records.push(OwnedRecord { offset, timestamp, key, value, headers });
                blocks.push((ends, style));
            }
            Given {
                start,
                next: next + behind - 1 + u64::from(records.is_empty()),
                records,
                version,
                suffix,
                blocks,
                per_frame,
            }
        },
    )
}

/// The offsets and times at which something may change, and the ends.
fn places(given: &Given) -> (Vec<u64>, Vec<i64>) {
    let top = i64::MAX.cast_unsigned();
    let mut offsets =
        vec![0, given.start.saturating_sub(1), given.start, given.next - 1, given.next, top];
    let mut times = vec![i64::MIN, 0, 1_020, i64::MAX];
    for record in &given.records {
        let offset = record.offset.get();
        offsets.extend([offset.saturating_sub(1), offset, offset + 1]);
        let millis = record.timestamp.map_or(0, |time| time.millis);
        times.extend([millis.saturating_sub(1), millis, millis.saturating_add(1)]);
    }
    (offsets, times)
}

fn millis(record: &OwnedRecord) -> Option<i64> {
    Some(record.timestamp?.millis)
}

fn same_by_offset(
    object: &Object<'_>,
    scanned: &[OwnedRecord],
    offset: u64,
    until: u64,
    ahead: u64,
) {
    let expected = scanned.iter().filter(|r| r.offset >= at(offset)).cloned().collect::<Vec<_>>();
    let from = || object.records_from_offset(at(offset));
    assert_eq!(all(from()), expected, "from {offset}");
    assert_eq!(all(from().read_ahead(ahead)), expected, "from {offset}, {ahead} bytes ahead");
    let before = expected.iter().filter(|r| r.offset < at(until)).cloned().collect::<Vec<_>>();
    assert_eq!(all(from().before(at(until)).read_ahead(ahead)), before, "[{offset}, {until})");
    let exact = expected.first().filter(|r| r.offset == at(offset)).cloned();
    assert_eq!(now(object.record_at(at(offset))).unwrap(), exact, "at {offset}");
}

fn same_by_time(given: &Given, object: &Object<'_>, scanned: &[OwnedRecord], time: i64) {
    let reaches = |record: &OwnedRecord| millis(record).is_some_and(|millis| millis >= time);
    let from = match given.version {
        1 => {
            // Records have no times there, but frames do.
            let frames = given.records.chunks(given.per_frame);
            let passed = frames.take_while(|frame| !frame.iter().any(reaches)).count();
            (passed * given.per_frame).min(scanned.len())
        }
        _ => scanned.iter().position(reaches).unwrap_or(scanned.len()),
    };
    let expected = scanned[from..].to_vec();
    let first = now(object.first_at_or_after_time(time)).unwrap();
    assert_eq!(first, expected.first().cloned(), "first at {time}");
    assert_eq!(all(object.records_from_time(time)), expected, "from time {time}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_is_found_is_what_a_full_scan_finds(given in given(), until: prop::sample::Index, ahead in 0..3_000u64) {
        let bytes = given.container(&given.map());
        let scanned = scan(&bytes);
        prop_assert_eq!(scanned.len(), given.records.len());
        if given.version == 2 {
            prop_assert_eq!(&scanned, &given.records);
        }
        let size = bytes.len() as u64;
        let shelf = Shelf::of(&given.name(), bytes);
        let object = now(Object::open(&shelf, &given.name())).unwrap();
        let sized = now(Object::open_sized(&shelf, &given.name(), size)).unwrap();
        prop_assert_eq!(sized.tail(), object.tail());
        // So that small objects, too, are read by their frames.
        let mut apart = object;
        apart.brought = bytes::Bytes::new();
        prop_assert_eq!(all(apart.records()), scanned.clone());
        prop_assert_eq!(all(sized.records()), scanned.clone());
        let (offsets, times) = places(&given);
        for offset in &offsets {
            same_by_offset(&apart, &scanned, *offset, *until.get(&offsets), ahead);
        }
        for time in times {
            same_by_time(&given, &apart, &scanned, time);
        }
    }
}

/// `count` records of some 20 bytes, one in a block, `per_frame` blocks in a frame.
pub(super) fn plain(count: u64, per_frame: usize, version: u8, suffix: Suffix) -> Given {
    let records = (0..count).map(|n| OwnedRecord {
        // Behind every tenth record there is a hole, which belongs to its block.
        offset: at(100 + n + n / 10),
        timestamp: Some(Timestamp { millis: 1_000 + n.cast_signed(), kind: TimestampType::Create }),
        key: Some(n.to_be_bytes().to_vec()),
        value: Some(b"some value".to_vec()),
        headers: Vec::new(),
    });
    let records: Vec<_> = records.collect();
    let blocks = vec![(true, 1); records.len()];
    let next = 100 + count + count / 10;
    Given { start: 100, next, records, version, suffix, blocks, per_frame }
}

fn kinds() -> impl Iterator<Item = (u8, Suffix)> {
    [1, 2].into_iter().flat_map(|version| Suffix::MAK.map(|suffix| (version, suffix)))
}

#[test]
fn a_record_costs_its_frame_and_no_other() {
    for (version, suffix) in kinds() {
        let given = plain(4_000, 10, version, suffix);
        let shelf = given.shelf();
        let object = now(Object::open(&shelf, &given.name())).unwrap();
        assert_eq!(shelf.asked().len(), 1, "{version} {suffix}");
        for record in given.records.iter().step_by(97) {
            let found = now(object.record_at(record.offset)).unwrap().unwrap();
            assert_eq!(found.value, record.value);
            let frame = object.index().frames_from_offset(record.offset)[0];
            let here = object.size() - TailRead::FIRST.min(object.size());
            let expected = if frame.at >= here { vec![] } else { vec![frame.range()] };
            assert_eq!(shelf.asked(), expected);
            now(object.first_at_or_after_time(millis(record).unwrap())).unwrap().unwrap();
            assert_eq!(shelf.asked(), expected);
        }
        for nowhere in [0, 99, given.next, given.next + 1] {
            assert_eq!(now(object.record_at(at(nowhere))).unwrap(), None);
        }
        assert_eq!(now(object.first_at_or_after_time(10_000)).unwrap(), None);
        assert!(shelf.asked().is_empty(), "what is not there costs nothing");
    }
}

#[test]
fn a_long_tail_and_a_hole_cost_no_fourth_request() {
    let given = plain(100_000, 10, 2, Suffix::MakZst);
    let shelf = given.shelf();
    for hole in [given.records[9].offset.after(), given.records[5_009].offset.after()] {
        let object = now(Object::open(&shelf, &given.name())).unwrap();
        assert!(object.long_tail);
        let next = now(object.records_from_offset(hole).next_owned()).unwrap().unwrap();
        assert_eq!(next.offset, hole.after());
        assert_eq!(shelf.asked().len(), 3);
    }
}

#[test]
fn reading_ahead_saves_requests_within_its_bounds() {
    let given = plain(50_000, 100, 2, Suffix::Mak);
    let shelf = given.shelf();
    let object = now(Object::open(&shelf, &given.name())).unwrap();
    let frame = u64::from(object.index().frames()[7].len);
    shelf.asked();
    let until = given.records[10_000].offset;
    let found = all(object.records().before(until));
    assert_eq!((found.len(), shelf.asked().len()), (10_000, 100));
    let found = all(object.records().before(until).read_ahead(frame * 20));
    let asked = shelf.asked();
    assert_eq!(found.len(), 10_000);
    assert!((5..=7).contains(&asked.len()), "{asked:?}");
    assert!(asked.iter().all(|range| range.end - range.start <= frame * 20), "{asked:?}");
    assert_eq!(asked.last().unwrap().end, object.index().frames()[99].range().end);
}

#[test]
fn a_seal_opens_and_holds_nothing() {
    for suffix in Suffix::MAK {
        let meta = SealMeta {
            identity: identity(),
            first: at(0),
            suffix,
            at: at(100),
            continues: Suffix::MAK.into_iter().find(|other| *other != suffix).unwrap(),
            writer: WriterToken(1),
            totals: Totals::default(),
        };
        let bytes = seal(suffix, at(100), &ObjectMeta::Seal(meta).to_map()).unwrap();
        let shelf = Shelf::of(&name(100, suffix), bytes);
        let object = now(Object::open(&shelf, &name(100, suffix))).unwrap();
        assert!(object.file().is_none() && matches!(object.meta(), ObjectMeta::Seal(_)));
        assert_eq!(all(object.records()), []);
        assert_eq!(now(object.record_at(at(100))).unwrap(), None);
        assert_eq!(now(object.first_at_or_after_time(0)).unwrap(), None);
    }
}

/// All records, then the error if there is one.
fn read_all(shelf: &Shelf, name: &Name) -> (Vec<OwnedRecord>, Option<ArchiveError>) {
    let object = match now(Object::open(shelf, name)) {
        Ok(object) => object,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let (mut records, mut found) = (object.records(), Vec::new());
    loop {
        match now(records.next_owned()) {
            Ok(Some(record)) => found.push(record),
            Ok(None) => return (found, None),
            Err(error) => {
                assert_eq!(now(records.next()).unwrap(), None, "nothing follows an error");
                return (found, Some(error));
            }
        }
    }
}

fn names_it(error: &ArchiveError, name: &Name) {
    let text = error.to_string();
    assert!(text.contains(name.as_str()), "{text}");
}

#[test]
fn every_truncation_is_an_error_with_a_name() {
    for (version, suffix) in kinds() {
        let given = plain(12, 3, version, suffix);
        let bytes = given.container(&given.map());
        for len in 0..bytes.len() {
            let shelf = Shelf::of(&given.name(), bytes[..len].to_vec());
            let error = now(Object::open(&shelf, &given.name())).unwrap_err();
            assert!(matches!(error, ArchiveError::Container { .. }), "{len}: {error:?}");
            names_it(&error, &given.name());
        }
    }
}

#[test]
fn every_flipped_byte_is_an_error_or_does_no_harm() {
    // A plain file of version 1 has no checksums but that of the whole body.
    for (version, suffix) in kinds().filter(|kind| *kind != (1, Suffix::Mak)) {
        let given = plain(12, 3, version, suffix);
        let bytes = given.container(&given.map());
        let whole = scan(&bytes);
        let mut errors = 0;
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let (found, error) = read_all(&Shelf::of(&given.name(), flipped), &given.name());
            assert_eq!(found, whole[..found.len()], "byte {at}");
            match error {
                Some(error) => {
                    names_it(&error, &given.name());
                    errors += 1;
                }
                None => assert_eq!(found.len(), whole.len(), "byte {at}"),
            }
        }
        assert!(errors > bytes.len() * 8 / 10, "{version} {suffix}: {errors} of {}", bytes.len());
    }
}

#[test]
fn what_has_another_name_than_it_should_is_refused() {
    let given = plain(12, 3, 2, Suffix::MakGz);
    let bytes = given.container(&given.map());
    let open = |name: &Name| {
        let shelf = Shelf::of(name, bytes.clone());
        now(Object::open(&shelf, name)).map(|object| object.size())
    };
    let name = |name: &str| Name::parse(name).unwrap();
    for (wrong, why) in [
        ("orders/000003/00000000000000000100.mak.zst", "can't be unpacked"),
        ("orders/000003/00000000000000000100.mak", "can't be unpacked"),
        ("orders/000003/00000000000000000100.gz", "does not end in"),
        ("orders/000003/00000000000000000101.mak.gz", "starts at 100"),
        ("orders/000004/00000000000000000100.mak.gz", "is of orders-3"),
        ("others/000003/00000000000000000100.mak.gz", "is of orders-3"),
    ] {
        let error = open(&name(wrong)).unwrap_err();
        names_it(&error, &name(wrong));
        assert!(error.to_string().contains(why), "{error}");
    }
    for fine in ["orders@2/000003/00000000000000000100.mak.gz", "a copy of it.mak.gz"] {
        open(&name(fine)).unwrap();
    }
    let missing = now(Object::open(&Shelf::default(), &given.name())).unwrap_err();
    assert!(matches!(missing, ArchiveError::Store(_)), "{missing:?}");
    names_it(&missing, &given.name());
}

#[test]
fn metadata_that_does_not_fit_is_refused() {
    let given = plain(12, 3, 2, Suffix::MakGz);
    for (key, value, why) in [
        ("suffix", ".mak", "is a \".mak\""),
        ("records", "13", "index has 12 records, its metadata 13"),
        ("next", "103", "outside of [100, 103)"),
        ("layout", "2", "can't be told"),
        ("start", "x", "can't be told"),
    ] {
        let mut map = given.map();
        map.insert(key.to_owned(), value.to_owned());
        let shelf = Shelf::of(&given.name(), given.container(&map));
        let error = now(Object::open(&shelf, &given.name())).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    for (key, value) in [("mak", "1"), ("mak", "3"), ("partition", "4")] {
        let mut map = given.map();
        map.insert(key.to_owned(), value.to_owned());
        // A name that says nothing, so that only the header can tell.
        let name = Name::parse("copy.mak.gz").unwrap();
        let (found, error) = read_all(&Shelf::of(&name, given.container(&map)), &name);
        assert!(found.is_empty());
        names_it(&error.unwrap(), &name);
    }
}

/// A container whose frames' entries lie, with all its checksums right.
fn lying(given: &Given, lie: impl Fn(usize, &mut FrameInfo, &mut u32)) -> Shelf {
    let level = Level::new(given.suffix, None).unwrap();
    let mut writer = ContainerWriter::new(Vec::new(), level);
    let (mut codec, mut packed) = (FrameCodec::new(level), Vec::new());
    for (n, mut frame) in given.frames().into_iter().enumerate() {
        let mut raw_len = u32::try_from(frame.bytes.len()).unwrap();
        lie(n, &mut frame.info, &mut raw_len);
        codec.compress(&frame.bytes, &mut packed).unwrap();
        writer.append(&packed, raw_len, frame.info).unwrap();
    }
    Shelf::of(&given.name(), writer.finish(&given.map()).unwrap().0)
}

type Lie = fn(usize, &mut FrameInfo, &mut u32);

#[test]
fn an_index_that_lies_gives_no_wrong_record() {
    for (version, suffix) in kinds() {
        let given = plain(12, 3, version, suffix);
        let whole = scan(&given.container(&given.map()));
        let lies: [(&str, Lie); 6] = [
            ("count", |n, info, _| {
                if n < 2 {
                    info.records = [2, 4][n];
                }
            }),
            ("first too high", |n, info, _| {
                if n == 2 {
                    info.first = info.first.after();
                }
            }),
            ("first too low", |n, info, _| {
                if n == 1 {
                    info.first = at(101);
                }
            }),
            ("too short", |n, _, raw_len| *raw_len -= u32::from(n == 1)),
            ("too long", |n, _, raw_len| *raw_len += u32::from(n == 1)),
            ("huge", |n, _, raw_len| {
                if n == 1 {
                    *raw_len = MAX_FRAME;
                }
            }),
        ];
        for (lie, apply) in lies {
            let (found, error) = read_all(&lying(&given, apply), &given.name());
            assert_eq!(found, whole[..found.len()], "{version} {suffix} {lie}");
            let error = error.unwrap_or_else(|| panic!("{version} {suffix} {lie}: unnoticed"));
            names_it(&error, &given.name());
        }
    }
    let given = plain(12, 3, 2, Suffix::MakGz);
    let shelf = lying(&given, |n, info, _| {
        if n == 1 {
            info.times = Some((0, 5_000));
        }
    });
    let object = now(Object::open(&shelf, &given.name())).unwrap();
    let error = now(object.first_at_or_after_time(2_000)).unwrap_err();
    assert!(error.to_string().contains("does not reach it"), "{error}");
}

#[test]
fn readers_go_from_thread_to_thread() {
    fn send<T: Send>(_: T) {}
    let given = plain(1, 1, 2, Suffix::MakGz);
    let shelf = given.shelf();
    send(Object::open(&shelf, &given.name()));
    let object = now(Object::open(&shelf, &given.name())).unwrap();
    let mut records = object.records();
    send(records.next());
    send(records);
}
