//! What is written reads back the same.

use std::io::BufReader;

use proptest::prelude::*;

use super::given::{Given, at, header, odd_records, read, records, v1_file, v2_file};
use crate::mak::v2::{BlockBuilder, Blocks, Kind, MAGIC, recover, write_block};
use crate::mak::{FileHeader, Header, MakError, Reader, StartTime, v1};
use crate::meta::Identity;

proptest! {
    #[test]
    fn version_2_keeps_all((start, given) in records(), per_block in 1usize..9) {
        let (file, _) = v2_file(&given, start, per_block);
        let (found, error) = read(&file);
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(&found, &given);

        let mut from_blocks = Vec::new();
        let mut copied = MAGIC.to_vec();
        for block in Blocks::of_file(&file).unwrap() {
            let block = block.unwrap();
            prop_assert_eq!(block.position(), copied.len() as u64);
            copied.extend_from_slice(block.bytes());
            if block.kind() == Kind::Records {
                let records = block.records().unwrap();
                let ours: Vec<_> = records.records().map(|r| Given::of(&r.unwrap())).collect();
                prop_assert_eq!(records.count(), ours.len() as u64);
                let times = || ours.iter().filter_map(|r| r.time).map(|t| t.0);
                prop_assert_eq!(records.times(), times().min().zip(times().max()));
                from_blocks.extend(ours);
            }
        }
        prop_assert_eq!(from_blocks, given);
        prop_assert_eq!(copied, file);
    }

    #[test]
    fn version_1_keeps_what_it_can((start, given) in records()) {
        let (found, error) = read(&v1_file(&given, start));
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(found, given.iter().map(Given::in_v1).collect::<Vec<_>>());
    }

    #[test]
    fn totals_are_those_of_the_records((start, given) in records(), per_block in 1usize..9) {
        let (file, _) = v2_file(&given, start, per_block);
        let found = recover(&file);
        let bytes: u64 = given.iter().map(Given::content_bytes).sum();
        let mut reader = Reader::open(file.as_slice()).unwrap();
        while reader.next_record().unwrap().is_some() {}
        let finish = *reader.finish().unwrap();
        prop_assert_eq!((found.records, found.bytes), (given.len() as u64, bytes));
        prop_assert_eq!((finish.records, finish.bytes), (given.len() as u64, bytes));
        prop_assert_eq!(found.times, finish.times);
        prop_assert_eq!(found.next, Some(finish.next));
        prop_assert_eq!(found.valid_len, file.len() as u64);
        prop_assert!(found.finished);
        prop_assert_eq!(found.leader_epoch, Some(7));
    }

    #[test]
    fn any_bytes_at_all_are_read_without_a_panic(
        magic in 0usize..3,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut file = [b"MAK\x02".as_slice(), b"MAK\0", b""][magic].to_vec();
        file.extend(bytes);
        let (_, error) = read(&file);
        prop_assert!(error.is_some());
        prop_assert!(recover(&file).valid_len <= file.len() as u64);
    }
}

#[test]
fn an_ordinary_record_takes_at_most_eight_bytes_more() {
    let mut block = BlockBuilder::new(at(1 << 40));
    let bare = block.len_bytes();
    for n in 0..1000u64 {
        let given = Given {
            offset: (1 << 40) + n,
            time: Some((1_500_000_000_000 + i64::try_from(n * n % 977).unwrap(), false)),
            key: Some(vec![1; 10]),
            value: Some(vec![2; 190]),
            headers: Vec::new(),
        };
        given.with(|record| block.push(record)).unwrap();
    }
    let overhead = block.len_bytes() - bare - 200 * 1000;
    assert!(overhead <= 6010, "{overhead}");
}

#[test]
fn headers_keep_their_fields() {
    let given = header(10);
    let found = FileHeader::from_json(given.to_json().as_bytes()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{given:?}"));
    let bare = FileHeader {
        identity: Identity { cluster_id: String::new(), ..given.identity },
        gap: None,
        ..given
    };
    let found = FileHeader::from_json(bare.to_json().as_bytes()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{bare:?}"));
    let half = bare.to_json().replace('}', ", \"gapfrom\": 1}");
    assert!(FileHeader::from_json(half.as_bytes()).is_err());
    let more = bare.to_json().replace('}', ", \"of a later version\": [1]}");
    assert!(FileHeader::from_json(more.as_bytes()).is_ok());
}

#[test]
fn start_times_are_spelled_as_python_spells_them() {
    let spelled = |millis| StartTime::from_millis(millis).to_string();
    assert_eq!(spelled(1_500_000_001_000), "1500000001.0");
    assert_eq!(spelled(1_500_000_001_250), "1500000001.25");
    assert_eq!(spelled(1_500_000_001_009), "1500000001.009");
    assert_eq!(spelled(1_500_000_001_500), "1500000001.5");
    assert_eq!(StartTime::from_text("1.50").unwrap().as_str(), "1.50");
    assert!(StartTime::from_text("\"1\"").is_none());
}

#[test]
fn a_record_out_of_order_is_refused_and_changes_nothing() {
    let mut block = BlockBuilder::new(at(10));
    let given = &odd_records()[0];
    given.with(|record| block.push(record)).unwrap();
    let before = block.len_bytes();
    for offset in [0, 9, 12, i64::MAX.cast_unsigned()] {
        let wrong = Given { offset, ..given.clone() };
        let error = wrong.with(|record| block.push(record)).unwrap_err();
        assert!(matches!(error, MakError::Order { expected: 13, .. }), "{error}");
    }
    assert_eq!((block.len_bytes(), block.records()), (before, 1));
    assert!(matches!(block.finish(at(12)), Err(MakError::Order { .. })));
    assert!(block.finish(at(13)).is_ok());
    let mut empty = BlockBuilder::new(at(10));
    assert!(matches!(empty.finish(at(10)), Err(MakError::Empty { .. })));
    assert!(empty.finish(at(11)).is_ok());
    let mut v1 = v1::Builder::new(&v1::Header::from(&header(10))).unwrap();
    given.with(|record| v1.push(record)).unwrap();
    assert!(given.with(|record| v1.push(record)).is_err());
}

#[test]
fn tails_are_passed_over_and_unknown_blocks_reported() {
    let given = odd_records();
    let (mut file, ends) = v2_file(&given, 10, 2);
    for kind in [Kind::Index, Kind::Meta, Kind::End] {
        write_block(kind, &[9; 100], &mut file);
    }
    let (found, error) = read(&file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, given);
    assert_eq!(recover(&file).valid_len, file.len() as u64);

    // One of a later version stands where the second block of records stood.
    let mut unknown = Vec::new();
    write_block(Kind::Other(77), b"from the future", &mut unknown);
    file.splice(ends[1]..ends[2], unknown);
    let mut reader = Reader::open(BufReader::with_capacity(3, file.as_slice())).unwrap();
    let mut offsets = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        offsets.push(record.offset.get());
    }
    assert_eq!(offsets, [12, 13, 22]);
    let passed = reader.passed_over();
    assert_eq!(passed.len(), 1);
    assert_eq!((passed[0].kind, passed[0].position), (77, ends[1] as u64));
    assert!(matches!(reader.header(), Header::V2(header) if header.start == at(10)));
}
