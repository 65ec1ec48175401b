//! Files as the other tools wrote them, cut in bites of any size; and hostile ones.

use std::fs;
use std::io::Write as _;

use bytes::Bytes;
use proptest::prelude::*;

use super::cut::{Counter, CutError, Cutter};
use super::*;
use crate::mak::MakError;
use crate::store::names::ChainName;
use crate::types::TopicName;

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn chain(topic: &str, partition: i64) -> ChainId {
    let chain = ChainName::first(TopicName::new(topic).unwrap());
    chain.partition(Partition::new(partition).unwrap())
}

fn elder(chain: &ChainId, name: &str) -> Option<Elder> {
    let name = Name::parse(name).unwrap();
    let last_modified = std::time::SystemTime::UNIX_EPOCH;
    Elder::of_listing(chain, &Listed { name, size: 7, last_modified })
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A file of kafka_store's: offsets 100 to 199, and its bytes.
fn kafka_store() -> (Elder, ChainId, Vec<u8>) {
    let (chain, name) = (chain("orders", 0), "orders/000000/00000000000000000100");
    (elder(&chain, name).unwrap(), chain, golden(&format!("kafka_store/{name}")))
}

/// One of the original's: offsets 1000 to 1199.
fn original() -> (Elder, ChainId, Vec<u8>) {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(&golden("makv1/orders.mak")).unwrap();
    let chain = chain("orders", 2);
    let found = elder(&chain, "orders/2/orders-2_1000-1199_160816.mak.gz").unwrap();
    (found, chain, gzip.finish().unwrap())
}

/// The offsets that come out, and whether that was all.
fn offsets(mut cutter: Cutter, bytes: &[u8], bite: usize) -> (Vec<u64>, Result<(), CutError>) {
    let mut found = Vec::new();
    let mut take_all = |cutter: &mut Cutter| {
        while let Some(mut cut) = cutter.next_cut()? {
            while let Some(record) = cut.piece.next_record()? {
                assert!((cut.first..cut.next).contains(&record.offset));
                found.push(record.offset.get());
            }
            assert_eq!(cut.piece.records(), cut.records);
        }
        Ok(())
    };
    for bite in bytes.chunks(bite) {
        cutter.feed(Bytes::copy_from_slice(bite));
        if let Err(error) = take_all(&mut cutter) {
            return (found, Err(error));
        }
    }
    cutter.finish();
    let done = take_all(&mut cutter);
    (found, done)
}

#[test]
fn names_are_told_apart() {
    let chain = chain("t", 3);
    let layout = |name: &str| elder(&chain, name).map(|elder| (elder.layout, elder.start().get()));
    assert_eq!(layout("t/000003/00000000000000001207"), Some((Layout::KafkaStore, 1207)));
    for folder in ["t/3", "kafkatos3/t/3"] {
        let name = format!("{folder}/t-3_5-9_160811.mak.gz");
        assert_eq!(layout(&name), Some((Layout::Original, 5)), "{name}");
    }
    for name in [
        "t/000003/0000000000000001207",
        "t/000003/99999999999999999999",
        "t/000003/+0000000000000001207",
        "t/000004/00000000000000001207",
        "t/3/00000000000000001207",
        "t/000003/t-3_5-9_160811.mak.gz",
        "t/3/t-4_5-9_160811.mak.gz",
        "t/3/t-3_5-9_160811.mak",
        "x/t/3/t-3_5-9_160811.mak.gz",
        "kafkatos3/kafkatos3/t/3/t-3_5-9_160811.mak.gz",
    ] {
        assert_eq!(layout(name), None, "{name}");
    }
    let second = ChainName::new(TopicName::new("t").unwrap(), 2).partition(chain.partition());
    assert_eq!(elder(&second, "t@2/000003/00000000000000001207"), None);
}

#[test]
fn bites_of_any_size_give_the_same_records() {
    for (elder, chain, bytes) in [kafka_store(), original()] {
        let expected: Vec<u64> = match elder.layout {
            Layout::Original => (1000..1200).collect(),
            _ => (100..200).collect(),
        };
        for bite in [1, 7, 100, 4096, 1 << 20] {
            let (found, done) = offsets(Cutter::new(&elder, tp_of(&chain)), &bytes, bite);
            assert!(done.is_ok(), "{done:?}");
            assert_eq!(found, expected, "in bites of {bite}");
        }
        // Any part but the whole is not whole, and what comes out of it is right.
        for len in (0..bytes.len()).step_by(13) {
            let (found, done) = offsets(Cutter::new(&elder, tp_of(&chain)), &bytes[..len], 50);
            assert!(done.is_err(), "{len} of {}", bytes.len());
            assert!(expected.starts_with(&found));
        }
    }
}

#[test]
fn what_others_have_is_left_out() {
    for (elder, chain, bytes) in [kafka_store(), original()] {
        let start = elder.start().get();
        let within = |from: u64, until: Option<u64>| {
            let cutter = Cutter::new(&elder, tp_of(&chain));
            let (found, done) = offsets(cutter.within(at(from), until.map(at)), &bytes, 700);
            done.unwrap();
            found
        };
        let until = |end: u64| (start..end).collect::<Vec<_>>();
        assert_eq!(within(0, Some(start + 37)), until(start + 37));
        assert_eq!(within(0, Some(start)), until(start));
        assert_eq!(within(0, Some(start + 100)).len(), 100);
        assert_eq!(within(start + 12, Some(start + 15)), [start + 12, start + 13, start + 14]);
        assert_eq!(within(start + 97, None)[0], start + 97);
        assert_eq!(within(start + 99, Some(start + 99)), [0_u64; 0]);
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_an_error_or_records_in_order(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        original_s: bool,
    ) {
        let (elder, chain, mut bytes) = if original_s { original() } else { kafka_store() };
        if original_s {
            // Otherwise gzip's checksum finds it first.
            let mut file = golden("makv1/orders.mak");
            for (place, byte) in &places {
                let at = place.index(file.len());
                file[at] = *byte;
            }
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
            gzip.write_all(&file).unwrap();
            bytes = gzip.finish().unwrap();
        } else {
            for (place, byte) in &places {
                let at = place.index(bytes.len());
                bytes[at] = *byte;
            }
        }
        let (found, _) = offsets(Cutter::new(&elder, tp_of(&chain)), &bytes, 500);
        prop_assert!(found.is_sorted_by(|one, next| one < next), "{:?}", found);
        let mut counter = Counter::new(&elder);
        let _ = bytes.chunks(500).try_for_each(|bite| counter.feed(bite));
    }

    #[test]
    fn good_records_come_before_what_is_wrong(
        bad in 0..20_usize, place in 0..16_usize, bits in 1..=255_u8, bite in 1..3000_usize,
    ) {
        // In each part of a record of 24 bytes and more; all of them in one bite, or in many.
        let (file, starts) = of_original(20);
        let (mut file, at) = (file, starts[bad]);
        let end = starts.get(bad + 1).copied().unwrap_or(file.len());
        let place = if place < 8 { at + place } else { end - 16 + place };
        file[place] ^= bits;
        let (found, done) = offsets(small(), &gzipped(&file), bite);
        let before: Vec<u64> = (0..bad as u64).collect();
        prop_assert!(found.starts_with(&before), "{:?} {:?}", found, done);
        prop_assert!(done.is_err() || found.len() == 20, "{:?}", found);
    }
}

/// A file of the original's with so many records from 0 on, and where each of them begins.
fn of_original(count: u64) -> (Vec<u8>, Vec<usize>) {
    let json = r#"{"topic":"t","partition":3,"startoffset":0,"starttime":1470000000.5}"#;
    let mut file = b"MAK".to_vec();
    file.extend(count.saturating_sub(1).to_be_bytes());
    file.extend([0; 8]);
    file.extend((json.len() as u64).to_be_bytes());
    file.extend(json.as_bytes());
    let mut starts = Vec::new();
    for offset in 0..count {
        starts.push(file.len());
        let value = vec![b'v'; 300];
        file.extend(0_u64.to_be_bytes());
        file.extend((value.len() as u64).to_be_bytes());
        file.extend(value);
        file.extend(offset.to_be_bytes());
    }
    let end = (file.len() as u64).to_be_bytes();
    file[11..19].copy_from_slice(&end);
    (file, starts)
}

fn gzipped(file: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(file).unwrap();
    gzip.finish().unwrap()
}

fn small() -> Cutter {
    let chain = chain("t", 3);
    Cutter::new(&elder(&chain, "t/3/t-3_0-19_160811.mak.gz").unwrap(), tp_of(&chain))
}

#[test]
fn what_came_before_damaged_packing_comes_out() {
    let (file, _) = of_original(20);
    let mut packed = Vec::new();
    // Stored, so that each record lies where it can be seen.
    let mut gzip = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::none());
    gzip.write_all(&file).unwrap();
    gzip.finish().unwrap();
    for rest in [&[0xff; 40][..], b"", b"\x1f\x8b\x08\xff"] {
        let torn = [&packed[..packed.len() - 1000], rest].concat();
        let (found, done) = offsets(small(), &torn, 1 << 20);
        assert!(done.is_err());
        assert!(found.len() >= 16 && found.iter().copied().eq(0..found.len() as u64), "{found:?}");
    }
}

#[test]
fn a_file_of_the_originals_may_have_no_record() {
    let (file, _) = of_original(0);
    let of = |name| {
        let cutter = Cutter::new(&elder(&chain("t", 3), name).unwrap(), tp_of(&chain("t", 3)));
        offsets(cutter, &gzipped(&file), 1 << 20)
    };
    let (found, done) = of("t/3/t-3_0-0_160811.mak.gz");
    assert!(found.is_empty() && done.is_ok(), "{done:?}");
    assert!(of("t/3/t-3_0-1_160811.mak.gz").1.is_err());
}

#[test]
fn no_more_is_unpacked_than_is_asked_for() {
    // 200 records of 1 MiB each, packed into a few hundred KiB, which all come at once.
    let (mut file, _) = of_original(0);
    for offset in 0..200_u64 {
        file.extend(0_u64.to_be_bytes());
        file.extend((1_u64 << 20).to_be_bytes());
        file.extend(vec![0; 1 << 20]);
        file.extend(offset.to_be_bytes());
    }
    let end = (file.len() as u64).to_be_bytes();
    file[11..19].copy_from_slice(&end);
    let mut cutter = small();
    let packed = gzipped(&file);
    assert!(packed.len() < 1 << 20, "{}", packed.len());
    cutter.feed(packed.into());
    for offset in 0..199 {
        let cut = cutter.next_cut().unwrap().unwrap();
        assert_eq!((cut.first, cut.records), (at(offset), 1));
        assert!(cutter.held() < 4 << 20, "{} bytes are held", cutter.held());
    }
}

#[test]
fn records_larger_than_any_are_refused_before_they_are_read() {
    let (mut file, _) = of_original(0);
    file.extend([0; 8]);
    file.extend(((1_u64 << 30) + 1).to_be_bytes());
    file[11..19].copy_from_slice(&(1_u64 << 40).to_be_bytes());
    let (_, done) = offsets(small(), &gzipped(&file), 1 << 20);
    assert!(matches!(done, Err(CutError::Records(MakError::TooLarge { .. }))), "{done:?}");
    let (elder, chain, bytes) = kafka_store();
    let (_, head) = crate::codec::AvroHeader::parse(&bytes).unwrap().unwrap();
    let mut block = bytes[..head].to_vec();
    // One record in 1 GiB and a byte, as zigzag varints.
    block.extend([2, 0x82, 0x80, 0x80, 0x80, 0x08]);
    let (_, done) = offsets(Cutter::new(&elder, tp_of(&chain)), &block, 1 << 20);
    assert!(matches!(done, Err(CutError::Records(MakError::TooLarge { .. }))), "{done:?}");
}

#[test]
fn blocks_are_counted_without_being_unpacked() {
    let (elder, _, bytes) = kafka_store();
    let count = |bytes: &[u8], bite: usize| {
        let mut counter = Counter::new(&elder);
        bytes.chunks(bite).try_for_each(|bite| counter.feed(bite)).and_then(|()| counter.finish())
    };
    for bite in [1, 7, 1 << 20] {
        assert_eq!(count(&bytes, bite).unwrap(), at(200), "in bites of {bite}");
    }
    for len in 0..bytes.len() {
        // Between two blocks a file that was cut looks whole.
        match count(&bytes[..len], 100) {
            Ok(next) => assert!(next < at(200)),
            Err(error) => assert!(matches!(error, CutError::Records(_)), "{error}"),
        }
    }
    let mut flipped = bytes;
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(count(&flipped, 100), Err(CutError::Packing(_))));
}
