//! Tests of whole containers: round trips, standard tools, damage, and hostile input.

use std::io::{Read, Write};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::meta::MetaMap;
use crate::types::{AvroSchema, Offset, Suffix};

/// One of each kind, but for Avro, whose frames are not just bytes.
const KINDS: [Suffix; 4] = [Suffix::Mak, Suffix::MakGz, Suffix::MakZst, Suffix::Jsonl];

/// Whether frames are as they are: nothing unpacks them, and nothing checks them.
fn is_plain(suffix: Suffix) -> bool {
    matches!(suffix, Suffix::Mak | Suffix::Jsonl)
}

fn offset(at: u64) -> Offset {
    Offset::new(at).unwrap()
}

fn info(first: u64, records: u32, times: Option<(i64, i64)>) -> FrameInfo {
    FrameInfo { first: offset(first), records, times }
}

fn meta() -> MetaMap {
    [("topic", "orders"), ("start", "7"), ("note", "\u{fc} \"quoted\"")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn fast(suffix: Suffix) -> Level {
    Level::new(suffix, None).unwrap()
}

/// Text that packs like JSON records do, the same for the same seed.
fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(len + 200);
    while out.len() < len {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(out, r#"{{"id":{},"user":"user{}","ok":true}}"#, state >> 40, state >> 58).unwrap();
    }
    out.truncate(len);
    out
}

fn build(suffix: Suffix, frames: &[(Vec<u8>, FrameInfo)], meta: &MetaMap) -> Vec<u8> {
    let mut writer = ContainerWriter::new(Vec::new(), fast(suffix));
    for (raw, info) in frames {
        writer.frame(raw, *info).unwrap();
    }
    let (bytes, written) = writer.finish(meta).unwrap();
    assert_eq!(written.len, bytes.len() as u64);
    bytes
}

fn small(suffix: Suffix) -> Vec<u8> {
    let frames = [
        (text(1, 300), info(7, 3, Some((1_700_000_000_000, 1_700_000_000_500)))),
        (text(2, 200), info(20, 1, None)),
        (text(3, 100), info(21, 2, Some((1_699_999_999_000, 1_700_000_001_000)))),
    ];
    build(suffix, &frames, &meta())
}

/// Everything in a container, by its index; the first error otherwise.
fn read(suffix: Suffix, bytes: &[u8]) -> Result<(Vec<u8>, Tail), CodecError> {
    let container = Container::parse(suffix, bytes)?;
    let mut codec = FrameCodec::for_suffix(suffix);
    let (mut all, mut raw) = (Vec::new(), Vec::new());
    for frame in container.tail().index.frames() {
        let limit = usize::try_from(frame.raw_len).unwrap();
        codec.decompress(container.frame(frame).unwrap(), limit, &mut raw)?;
        all.extend_from_slice(&raw);
    }
    Ok((all, container.tail().clone()))
}

fn run(program: &str, args: &[&str], file: &std::path::Path) -> Vec<u8> {
    let output = Command::new(program).args(args).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    assert_eq!(said, "", "{program} {args:?}");
    output.stdout
}

/// What the standard tools make of `bytes`.
fn by_standard_tools(suffix: Suffix, bytes: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("test{suffix}"));
    std::fs::write(&file, bytes).unwrap();
    match suffix {
        Suffix::Jsonl => bytes.trim_ascii_end().to_vec(),
        Suffix::MakGz => {
            run("gzip", &["-t"], &file);
            run("zcat", &[], &file)
        }
        Suffix::MakZst => {
            run("zstd", &["-q", "-t"], &file);
            run("zstdcat", &[], &file)
        }
        _ => bytes.to_vec(),
    }
}

#[test]
fn standard_tools_read_what_was_written() {
    for suffix in [Suffix::MakGz, Suffix::MakZst] {
        let frames: Vec<_> =
            (0..5).map(|i| (text(i, 100_000), info(i * 10, 10, Some((1, 2))))).collect();
        let bytes = build(suffix, &frames, &meta());
        let all: Vec<u8> = frames.iter().flat_map(|(raw, _)| raw.clone()).collect();
        assert_eq!(by_standard_tools(suffix, &bytes), all);
        let (kind, mut stream) = unpack(&bytes[..]).unwrap();
        let mut unpacked = Vec::new();
        stream.read_to_end(&mut unpacked).unwrap();
        assert_eq!((kind, unpacked), (suffix.into(), all));
    }
}

#[test]
fn seals_print_nothing() {
    for suffix in KINDS {
        let bytes = seal(suffix, offset(42), &meta()).unwrap();
        assert_eq!(Kind::detect(&bytes), Ok(suffix.into()));
        let container = Container::parse(suffix, &bytes).unwrap();
        container.verify_body().unwrap();
        assert_eq!(container.tail().meta, meta());
        if suffix == Suffix::Mak {
            assert_eq!(container.body(), b"MAK\x02");
        } else {
            assert!(container.tail().index.frames().is_empty());
            assert_eq!(by_standard_tools(suffix, &bytes), b"");
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    for suffix in KINDS {
        let bytes = small(suffix);
        for len in 0..bytes.len() {
            assert!(read(suffix, &bytes[..len]).is_err(), "{suffix} cut at {len}");
        }
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_harmless() {
    for suffix in KINDS {
        let bytes = small(suffix);
        let (raw, tail) = read(suffix, &bytes).unwrap();
        let body_len = usize::try_from(tail.body.len).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let found = Container::parse(suffix, &damaged);
                assert_eq!(found.is_err(), at >= body_len, "{suffix} bit {bit} of {at}");
                if let Ok(found) = found {
                    assert!(found.verify_body().is_err());
                }
                // A plain body has no checksums but those of its blocks, which are not ours.
                if !is_plain(suffix)
                    && let Ok(same) = read(suffix, &damaged)
                {
                    assert_eq!(same, (raw.clone(), tail.clone()), "{suffix} bit {bit} of {at}");
                }
            }
        }
    }
}

#[test]
fn other_kinds_and_joined_files_are_refused() {
    for suffix in KINDS {
        let bytes = small(suffix);
        for other in KINDS {
            assert_eq!(Container::parse(other, &bytes).is_ok(), suffix == other);
        }
        assert!(Container::parse(suffix, &[bytes.clone(), bytes.clone()].concat()).is_err());
        assert!(Container::parse(suffix, &bytes[1..]).is_err());
    }
}

fn fetch(suffix: Suffix, object: &[u8]) -> Result<(Tail, usize), CodecError> {
    let mut read = TailRead::start(suffix, object.len() as u64)?;
    for requests in 1.. {
        let range = read.range();
        let (from, to) =
            (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        match read.feed(&object[from..to])? {
            Step::Need(more) => read = more,
            Step::Ready(tail) => return Ok((*tail, requests)),
        }
    }
    unreachable!()
}

/// A container of many tiny frames, whose tail is much larger than its body needs.
fn of_many_frames(suffix: Suffix, count: u32) -> Vec<u8> {
    let mut codec = FrameCodec::new(fast(suffix));
    let mut packed = Vec::new();
    codec.compress(b"x", &mut packed).unwrap();
    let mut writer = ContainerWriter::new(Vec::new(), fast(suffix));
    for i in 0..count {
        let start = 1_700_000_000_000 + i64::from(i) * 3_000;
        let info = info(u64::from(i) * 5_000, 5_000, Some((start, start + 4_000)));
        writer.append(&packed, 1, info).unwrap();
    }
    writer.finish(&meta()).unwrap().0
}

#[test]
fn a_hundred_thousand_frames() {
    for suffix in KINDS {
        let bytes = of_many_frames(suffix, 100_000);
        if suffix != Suffix::Mak {
            assert_eq!(by_standard_tools(suffix, &bytes).len(), 100_000);
        }
        let (tail, requests) = fetch(suffix, &bytes).unwrap();
        assert_eq!(requests, 2);
        assert_eq!(&tail, Container::parse(suffix, &bytes).unwrap().tail());
        let frames = tail.index.frames_from_offset(offset(123_456_789));
        assert_eq!(frames[0].info.first, offset(123_455_000));
        let frame = tail.index.frame_at_time(1_700_000_000_000 + 3_000 * 777 + 1_001).unwrap();
        assert_eq!(frame.info.first, offset(777 * 5_000));
        assert_eq!(tail.index.frame_at_time(1_700_000_000_000 + 3_000 * 100_001), None);
    }
}

#[test]
fn the_tail_is_small_and_one_request_brings_it() {
    for suffix in Suffix::MAK {
        let mut writer = ContainerWriter::new(Vec::new(), fast(suffix));
        for i in 0..1024_u32 {
            let start = 1_700_000_000_000 + i64::from(i) * 3_000;
            let info = info(u64::from(i) * 5_000, 5_000, Some((start, start + 4_000)));
            writer.append(&[0; 100], 1 << 20, info).unwrap();
        }
        let (bytes, written) = writer.finish(&meta()).unwrap();
        let (tail, requests) = fetch(suffix, &bytes).unwrap();
        assert_eq!((&tail, requests), (&written.tail, 1));
        let a_frame = (written.len - written.tail.body.len) / 1024;
        assert!(a_frame <= 24, "{suffix}: {a_frame} bytes of tail for a frame");
    }
}

#[test]
fn remote_reads_take_no_damage_for_truth() {
    for suffix in KINDS {
        let bytes = small(suffix);
        let body_len = usize::try_from(fetch(suffix, &bytes).unwrap().0.body.len).unwrap();
        for at in body_len..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            assert!(fetch(suffix, &damaged).is_err(), "{suffix} byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(fetch(suffix, &bytes[..len]).is_err(), "{suffix} cut at {len}");
        }
        let read = TailRead::start(suffix, bytes.len() as u64).unwrap();
        assert!(read.feed(&bytes[1..]).is_err());
    }
}

#[test]
fn another_tail_over_the_same_body() {
    for suffix in KINDS {
        let bytes = small(suffix);
        let container = Container::parse(suffix, &bytes).unwrap();
        assert_eq!(container.tail().to_bytes(suffix).unwrap(), bytes[container.body().len()..]);
        let mut tail = container.tail().clone();
        tail.meta.insert("totalfiles".to_owned(), "12".repeat(50_000));
        let other = [container.body(), &tail.to_bytes(suffix).unwrap()].concat();
        let again = Container::parse(suffix, &other).unwrap();
        assert_eq!(again.tail(), &tail);
        again.verify_body().unwrap();
        assert_eq!(fetch(suffix, &other).unwrap(), (tail, 2));
        if suffix != Suffix::Mak {
            assert_eq!(by_standard_tools(suffix, &other), by_standard_tools(suffix, &bytes));
        }
    }
}

/// Reads as any reader of the standard seekable format does, knowing nothing of our tail.
#[test]
fn the_seek_table_is_the_standard_one() {
    let bytes = small(Suffix::MakZst);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let end = bytes.len();
    assert_eq!(word(end - 4), 0x8F92_EAB1);
    assert_eq!(bytes[end - 5], 0);
    let count = word(end - 9);
    let table = end - 9 - count * 8 - 8;
    assert_eq!((word(table), word(table + 4)), (0x184D_2A5E, count * 8 + 9));
    let mut at = 0;
    for entry in 0..count {
        let (packed, raw) = (word(table + 8 + entry * 8), word(table + 12 + entry * 8));
        let frame = &bytes[at..at + packed];
        assert_eq!(::zstd::stream::decode_all(frame).unwrap().len(), raw);
        at += packed;
    }
    assert_eq!((at, count), (table, 6));
}

#[test]
fn levels_are_checked_and_work() {
    for (suffix, low, high) in [(Suffix::Mak, 0, 0), (Suffix::MakGz, 1, 3), (Suffix::MakZst, 1, 19)]
    {
        let raw = text(9, 200_000);
        for level in low..=high {
            let mut codec = FrameCodec::new(Level::new(suffix, Some(level)).unwrap());
            let (mut packed, mut back) = (Vec::new(), Vec::new());
            for raw in [&raw[..], b"", &raw[..70_000], b"a", &raw[..]] {
                codec.compress(raw, &mut packed).unwrap();
                codec.decompress(&packed, raw.len(), &mut back).unwrap();
                assert!(back == raw, "{suffix} level {level}");
            }
        }
        assert!(Level::new(suffix, Some(low - 1)).is_err());
        assert!(Level::new(suffix, Some(20)).is_err());
    }
}

#[test]
fn limits_are_kept() {
    for suffix in KINDS {
        let mut codec = FrameCodec::for_suffix(suffix);
        let (mut packed, mut back) = (Vec::new(), Vec::new());
        let raw = vec![0; 1 << 20];
        codec.compress(&raw, &mut packed).unwrap();
        let found = codec.decompress(&packed, raw.len() - 1, &mut back);
        assert!(matches!(found, Err(CodecError::TooLarge { .. })), "{suffix}: {found:?}");
        assert!(back.is_empty() && back.capacity() == 0);
        // Two frames are not one.
        if !is_plain(suffix) {
            let two = [&packed[..], &packed].concat();
            assert!(codec.decompress(&two, usize::MAX, &mut back).is_err());
            assert!(back.is_empty());
        }
    }
}

#[test]
fn sizes_that_can_not_be_are_not_allocated() {
    let mut packed = Vec::new();
    FrameCodec::for_suffix(Suffix::MakGz).compress(b"some text", &mut packed).unwrap();
    let at = packed.len() - 4;
    packed[at..].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    let mut back = Vec::new();
    let found = FrameCodec::for_suffix(Suffix::MakGz).decompress(&packed, usize::MAX, &mut back);
    assert!(found.is_err());
    assert_eq!(back.capacity(), 0);
    // A zstd frame of one empty block that claims 2^62 bytes.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    frame.extend_from_slice(&(1_u64 << 62).to_le_bytes());
    frame.extend_from_slice(&[1, 0, 0]);
    let found = FrameCodec::for_suffix(Suffix::MakZst).decompress(&frame, usize::MAX, &mut back);
    assert!(found.is_err());
    assert_eq!(back.capacity(), 0);
}

#[test]
fn damaged_frames_never_come_through() {
    for suffix in [Suffix::MakGz, Suffix::MakZst] {
        let raw = text(5, 60_000);
        let mut codec = FrameCodec::for_suffix(suffix);
        let (mut packed, mut back) = (Vec::new(), Vec::new());
        codec.compress(&raw, &mut packed).unwrap();
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 1 << (at % 8);
            if codec.decompress(&damaged, raw.len(), &mut back).is_ok() {
                assert!(back == raw, "{suffix} byte {at}");
            }
            if at % 7 == 0 {
                assert!(codec.decompress(&packed[..at], raw.len(), &mut back).is_err());
            }
        }
        codec.decompress(&packed, raw.len(), &mut back).unwrap();
        assert!(back == raw, "the state survives damage");
    }
}

#[test]
fn both_deflates_read_each_other() {
    use super::gzip::zlib;
    for raw in [text(1, 300_000), Vec::new(), vec![0; 100_000], b"a".to_vec()] {
        let size = u32::try_from(raw.len()).unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        super::gzip::Deflater::new(2).deflate(&raw, &mut ours).unwrap();
        zlib::Deflater::new(1).deflate(&raw, &mut theirs).unwrap();
        let (mut by_zlib, mut by_us) = (Vec::new(), Vec::new());
        assert!(zlib::Inflater::new().inflate(&ours, size, &mut by_zlib));
        assert!(super::gzip::Inflater::new().inflate(&theirs, size, &mut by_us));
        assert!(by_zlib == raw && by_us == raw);
        for wrong in [size + 1, size.saturating_sub(1)].into_iter().filter(|len| *len != size) {
            assert!(!zlib::Inflater::new().inflate(&ours, wrong, &mut Vec::new()));
            assert!(!super::gzip::Inflater::new().inflate(&theirs, wrong, &mut Vec::new()));
        }
    }
}

#[test]
fn offsets_never_fall() {
    let mut writer = ContainerWriter::new(Vec::new(), fast(Suffix::MakGz));
    writer.frame(b"a", info(5, 1, None)).unwrap();
    writer.frame(b"b", info(5, 0, None)).unwrap();
    assert!(writer.frame(b"c", info(4, 1, None)).is_err());
    assert!(writer.frame(b"d", info(6, 1, Some((2, 1)))).is_err());
}

#[test]
fn looking_up_offsets_and_times() {
    let mut writer = ContainerWriter::new(Vec::new(), fast(Suffix::MakZst));
    for info in [
        info(10, 5, Some((100, 200))),
        info(20, 0, None),
        info(20, 5, Some((50, 400))),
        info(30, 5, Some((300, 350))),
    ] {
        writer.frame(b"x", info).unwrap();
    }
    let (_, written) = writer.finish(&meta()).unwrap();
    let index = &written.tail.index;
    for (at, left) in [(0, 4), (10, 4), (19, 4), (20, 2), (29, 2), (30, 1), (1 << 62, 1)] {
        assert_eq!(index.frames_from_offset(offset(at)).len(), left, "offset {at}");
    }
    for (time, left) in [(i64::MIN, 4), (200, 4), (201, 2), (400, 2), (401, 0), (i64::MAX, 0)] {
        assert_eq!(index.frames_from_time(time).len(), left, "time {time}");
    }
    assert!(Index::default().frames_from_offset(offset(1)).is_empty());
}

#[test]
fn hostile_indexes() {
    let mut endless = vec![1];
    endless.extend_from_slice(&[0xff; 9]);
    endless.push(1);
    let overflowing = [&[1, 2][..], &[1, 1], &[0xff; 9], &[1], &[0], &[1, 1, 2, 0]].concat();
    let mut cases = vec![endless, overflowing, vec![], vec![1], vec![2, 0], vec![1, 0, 0]];
    cases.push(vec![1, 1, 0, 1, 1, 0]); // A frame of no bytes.
    cases.push([&[1, 1, 1][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[1, 0]].concat());
    cases.push([&[1, 1, 1, 1, 1, 1][..], &[0xfe; 9], &[1], &[0xff; 9], &[1]].concat());
    for case in cases {
        assert!(Index::decode(&case).is_err(), "{case:?}");
    }
    assert_eq!(Index::decode(&[1, 0]), Ok(Index::default()));
}

/// Memory is bounded by the bytes that are there, whatever number of frames they speak of.
#[test]
fn a_hostile_index_takes_at_most_14_times_its_bytes() {
    let shortest = [1, 0, 0, 0];
    let mut most = vec![1, 0x80, 0x80, 0x04];
    most.extend(shortest.repeat(1 << 16));
    let index = Index::decode(&most).unwrap();
    assert_eq!(index.frames().len(), 1 << 16);
    assert!(size_of_val(index.frames()) <= 14 * most.len());
    let mut claims = vec![1, 0x80, 0x80, 0x80, 0x80, 0x10];
    claims.extend(shortest.repeat(1 << 10));
    assert!(Index::decode(&claims).is_err(), "2^32 frames in 4 KiB");
}

fn infos() -> impl Strategy<Value = Vec<(Vec<u8>, FrameInfo)>> {
    let times = prop::option::of((any::<i64>(), any::<i64>()));
    let frame =
        (prop::collection::vec(any::<u8>(), 1..200), 0..u64::from(u32::MAX), any::<u32>(), times);
    prop::collection::vec(frame, 0..12).prop_map(|frames| {
        let mut first = 0;
        let place = |(raw, delta, records, times): (_, _, _, Option<(i64, i64)>)| {
            first += delta;
            (raw, info(first, records, times.map(|(a, b)| (a.min(b), a.max(b)))))
        };
        frames.into_iter().map(place).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn containers_come_back(
        frames in infos(),
        meta in prop::collection::btree_map(".{0,20}", ".{0,40}", 0..6),
    ) {
        for suffix in KINDS {
            let bytes = build(suffix, &frames, &meta);
            let (raw, tail) = read(suffix, &bytes).unwrap();
            prop_assert_eq!(raw, frames.iter().flat_map(|(raw, _)| raw.clone()).collect::<Vec<_>>());
            prop_assert_eq!(&tail.meta, &meta);
            let found: Vec<_> = tail.index.frames().iter().map(|frame| frame.info).collect();
            prop_assert_eq!(found, frames.iter().map(|(_, info)| *info).collect::<Vec<_>>());
            prop_assert_eq!(fetch(suffix, &bytes).unwrap(), (tail, 1));
        }
    }

    #[test]
    fn frames_come_back(raw in prop::collection::vec(any::<u8>(), 0..100_000), repeat in 1..4_usize) {
        let raw = raw.repeat(repeat);
        for suffix in KINDS {
            let mut codec = FrameCodec::for_suffix(suffix);
            let (mut packed, mut back) = (Vec::new(), Vec::new());
            codec.compress(&raw, &mut packed).unwrap();
            codec.decompress(&packed, raw.len(), &mut back).unwrap();
            prop_assert!(back == raw);
        }
    }

    #[test]
    fn noise_is_no_container(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for suffix in KINDS {
            prop_assert!(Container::parse(suffix, &bytes).is_err());
            prop_assert!(fetch(suffix, &bytes).is_err());
        }
        let _ = Index::decode(&bytes);
    }

    #[test]
    fn noise_behind_a_frame_header_is_no_frame(
        deflated in prop::collection::vec(any::<u8>(), 0..2_000),
        size in 0..100_000_u32,
    ) {
        let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        let frame = [&head[..], &deflated, &[1, 2, 3, 4], &size.to_le_bytes()].concat();
        let mut out = Vec::new();
        let found = FrameCodec::for_suffix(Suffix::MakGz).decompress(&frame, 1 << 20, &mut out);
        prop_assert!(found.is_err());
    }
}

/// The hexadecimal blocks of the document, and what the product writes.
#[test]
fn the_documented_seals_are_those_that_are_written() {
    let document = include_str!("../../docs/containers.md");
    let meta = MetaMap::from([("kind".to_owned(), "seal".to_owned())]);
    for suffix in Suffix::MAK {
        let start = format!("`{suffix}`:\n```\n");
        let (_, from) = document.split_once(&start).unwrap();
        let (dump, _) = from.split_once("```").unwrap();
        let bytes: Vec<_> =
            dump.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert_eq!(bytes, seal(suffix, offset(42), &meta).unwrap(), "{suffix}");
    }
}

fn avro(codec: AvroCodec, frames: &[(&[u8], FrameInfo)]) -> Vec<u8> {
    let level = Level::avro(codec, None).unwrap();
    let mut writer = ContainerWriter::avro(Vec::new(), level, AvroSchema::Plain, [9; 16]);
    for (raw, info) in frames {
        writer.frame(raw, *info).unwrap();
    }
    let (spooled, Written { tail, .. }) = writer.finish(&meta()).unwrap();
    let (header, behind) = tail.around(Suffix::Avro).unwrap();
    assert!(behind.is_empty());
    [&header, Container::parse(Suffix::Avro, &spooled).unwrap().body()].concat()
}

fn small_avro(codec: AvroCodec) -> Vec<u8> {
    // A count of 1, and a record: time 3, null, null.
    let raw: &[u8] = &[2, 6, 0, 0];
    avro(codec, &[(raw, info(7, 1, Some((3, 3)))), (raw, info(9, 1, None))])
}

#[test]
fn avro_files_are_read_from_their_beginning() {
    for codec in [AvroCodec::Null, AvroCodec::Deflate, AvroCodec::Zstandard] {
        let bytes = small_avro(codec);
        let (tail, requests) = fetch(Suffix::Avro, &bytes).unwrap();
        let container = Container::parse(Suffix::Avro, &bytes).unwrap();
        assert_eq!((&tail, requests, &tail.meta), (container.tail(), 1, &meta()));
        container.verify_body().unwrap();
        let frame = tail.index.frames()[1];
        let from = usize::try_from(frame.at).unwrap();
        let packed = &bytes[from..from + frame.len as usize];
        let mut raw = Vec::new();
        tail.codec(Suffix::Avro).decompress(packed, 4, &mut raw).unwrap();
        assert_eq!(raw, [2, 6, 0, 0]);
        let theirs = apache_avro::Reader::new(&bytes[..]).unwrap();
        assert_eq!(theirs.map(Result::unwrap).count(), 2);
    }
}

#[test]
fn a_long_avro_header_takes_a_second_request() {
    let mut tail = fetch(Suffix::Avro, &small_avro(AvroCodec::Null)).unwrap().0;
    tail.meta.insert("note".to_owned(), "12".repeat(50_000));
    let bytes = small_avro(AvroCodec::Null);
    let body = Container::parse(Suffix::Avro, &bytes).unwrap().body().to_vec();
    let longer = [tail.around(Suffix::Avro).unwrap().0, body].concat();
    let (found, requests) = fetch(Suffix::Avro, &longer).unwrap();
    assert_eq!((found.meta, requests), (tail.meta, 2));
    assert_eq!(apache_avro::Reader::new(&longer[..]).unwrap().map(Result::unwrap).count(), 2);
}

#[test]
fn damaged_avro_files_are_told() {
    let bytes = small_avro(AvroCodec::Deflate);
    let header = bytes.len() - Container::parse(Suffix::Avro, &bytes).unwrap().body().len();
    for at in 0..bytes.len() {
        assert!(Container::parse(Suffix::Avro, &bytes[..at]).is_err(), "cut at {at}");
        assert!(fetch(Suffix::Avro, &bytes[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            match Container::parse(Suffix::Avro, &damaged) {
                Ok(found) => {
                    // The count of the header's entries is not ours to check, but Avro's.
                    assert!(at >= header || found.tail().meta == meta(), "bit {bit} of {at}");
                    assert!(at < header || found.verify_body().is_err(), "bit {bit} of {at}");
                }
                Err(_) => assert!(at < header, "bit {bit} of {at}"),
            }
        }
    }
    let joined = [bytes.clone(), bytes].concat();
    assert!(Container::parse(Suffix::Avro, &joined).is_err());
}

#[test]
fn an_avro_file_of_somebody_else_is_not_ours() {
    let schema = apache_avro::Schema::parse_str(schema_text(AvroSchema::Plain)).unwrap();
    let bytes = apache_avro::Writer::new(&schema, Vec::new()).unwrap().into_inner().unwrap();
    assert_eq!(Container::parse(Suffix::Avro, &bytes).unwrap_err(), CodecError::NotOurs);
    let (header, len) = AvroHeader::parse(&bytes).unwrap().unwrap();
    assert_eq!((header.head.codec, len), (AvroCodec::Null, bytes.len()));
    for at in 4..len {
        assert_eq!(AvroHeader::parse(&bytes[..at]), Ok(None), "cut at {at}");
    }
}

#[test]
fn an_avro_seal_is_an_empty_file() {
    let bytes = seal(Suffix::Avro, offset(42), &meta()).unwrap();
    assert_eq!(fetch(Suffix::Avro, &bytes).unwrap().0.meta, meta());
    assert_eq!(apache_avro::Reader::new(&bytes[..]).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn noise_is_no_avro_file(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&b"Obj\x01"[..], &bytes].concat();
        prop_assert!(Container::parse(Suffix::Avro, &bytes).is_err());
        let _ = AvroHeader::parse(&bytes);
        let _ = block_len(&bytes, &[0; 16]);
    }
}
