//! Files as the other tools wrote them, cut in bites of any size; and hostile ones.

use std::fs;
use std::io::Write as _;

use proptest::prelude::*;

use super::cut::{CutError, Cutter};
use super::*;
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
    let mut cuts = Vec::new();
    let mut done = bytes.chunks(bite).try_for_each(|bite| cutter.feed(bite, &mut cuts));
    if done.is_ok() {
        done = cutter.finish(&mut cuts);
    }
    let mut found = Vec::new();
    for mut cut in cuts {
        let begun = found.len();
        while let Some(record) = cut.piece.next_record().unwrap() {
            assert!((cut.first..cut.next).contains(&record.offset));
            found.push(record.offset.get());
        }
        assert_eq!((found.len() - begun) as u64, cut.records);
    }
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
        if elder.layout == Layout::Original {
            assert_eq!(within(start + 12, Some(start + 15)), [start + 12, start + 13, start + 14]);
        }
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
        let mut cutter = Cutter::new(&elder, tp_of(&chain));
        let mut cuts = Vec::new();
        let fed = bytes.chunks(500).try_for_each(|bite| cutter.feed(bite, &mut cuts));
        let _ = fed.and_then(|()| cutter.finish(&mut cuts));
        let mut next = elder.start();
        for mut cut in cuts {
            while let Ok(Some(record)) = cut.piece.next_record() {
                prop_assert!(record.offset >= next);
                next = record.offset.after();
            }
        }
    }
}
