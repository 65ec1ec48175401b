//! Files cut at every byte, with every byte changed, or written to deceive.

use super::given::{Given, at, header, odd_records, read, v1_file, v2_file};
use crate::mak::v2::{BlockBuilder, Kind, file_prologue, recover, write_block};
use crate::mak::{MakError, Reader};

#[test]
fn every_cut_of_version_2_leaves_the_whole_blocks() {
    let given = odd_records();
    let (file, ends) = v2_file(&given, 10, 2);
    for len in 0..file.len() {
        let cut = &file[..len];
        let whole = ends.iter().filter(|end| **end <= len).count();
        let (found, error) = read(cut);
        let error = error.unwrap_or_else(|| panic!("cut at {len} is not noticed"));
        assert!(matches!(error, MakError::Torn { .. } | MakError::Foreign(_)), "{error}");
        assert_eq!(found, given[..(whole.saturating_sub(1) * 2).min(given.len())], "cut at {len}");

        let recovered = recover(cut);
        let valid = ends.iter().rev().find(|end| **end <= len).copied().unwrap_or(0);
        assert_eq!(recovered.valid_len, valid as u64);
        assert_eq!(recovered.records, found.len() as u64);
        assert_eq!(recovered.header.is_some(), whole > 0);
        assert!(!recovered.finished);
        let again = recover(&cut[..valid]);
        assert_eq!((again.valid_len, again.next), (recovered.valid_len, recovered.next));
    }
}

#[test]
fn every_changed_byte_of_version_2_is_noticed() {
    let given = odd_records();
    let (file, ends) = v2_file(&given, 10, 2);
    for position in 0..file.len() {
        for mask in [1, 0x80, 0xff] {
            let mut file = file.clone();
            file[position] ^= mask;
            let (found, error) = read(&file);
            assert!(error.is_some(), "byte {position} ^ {mask} is not noticed");
            let whole = ends.iter().filter(|end| **end <= position).count();
            assert_eq!(found, given[..(whole.saturating_sub(1) * 2).min(given.len())]);
            assert!(recover(&file).valid_len <= position as u64);
        }
    }
}

#[test]
fn every_cut_of_version_1_leaves_the_whole_records() {
    let given: Vec<_> = odd_records().iter().map(Given::in_v1).collect();
    let file = v1_file(&given, 10);
    for len in 0..file.len() {
        let (found, error) = read(&file[..len]);
        assert!(error.is_some(), "cut at {len} is not noticed");
        assert_eq!(found, given[..found.len()]);
    }
}

/// There are no checksums: a changed value goes unnoticed, a changed length can't do worse than
/// to be read as another record. But nothing panics, and what comes before stays.
#[test]
fn every_changed_byte_of_version_1_leaves_what_comes_before() {
    let given: Vec<_> = odd_records().iter().map(Given::in_v1).collect();
    let file = v1_file(&given, 10);
    let ends: Vec<_> = (0..=given.len()).map(|n| v1_file(&given[..n], 10).len()).collect();
    for position in 0..file.len() {
        for mask in [1, 0x80, 0xff] {
            let mut file = file.clone();
            file[position] ^= mask;
            let (found, _) = read(&file);
            let before = ends.iter().filter(|end| **end <= position).count().saturating_sub(1);
            assert_eq!(found[..before], given[..before], "byte {position} ^ {mask}");
        }
    }
}

#[test]
fn hostile_lengths_allocate_nothing_that_is_not_there() {
    let error_of = |len: [u8; 4]| {
        let mut v2 = file_prologue(&header(10));
        v2.extend([[2, 0, 0, 0], len, [0, 0, 0, 0]].concat());
        v2.extend(b"abc");
        Reader::open(v2.as_slice()).unwrap().next_record().unwrap_err()
    };
    assert!(matches!(error_of([64, 0, 0, 0]), MakError::Torn { .. }));
    assert!(matches!(error_of([64, 0, 0, 1]), MakError::TooLarge { .. }));
    assert!(matches!(error_of([255; 4]), MakError::TooLarge { .. }));

    let mut v1 = v1_file(&[], 10);
    v1[11..19].copy_from_slice(&u64::MAX.to_be_bytes());
    v1.extend((u64::MAX - 1000).to_be_bytes());
    v1.extend(b"abc");
    let (_, error) = read(&v1);
    assert!(matches!(error, Some(MakError::TooLarge { .. })), "{error:?}");
    v1[19..27].copy_from_slice(&(u64::MAX - 27).to_be_bytes());
    let (_, error) = read(&v1);
    assert!(error.is_some(), "{error:?}");
}

/// Blocks whose checksums are right, but which say impossible things.
#[test]
fn a_writer_that_lies_is_caught() {
    let fixed = |start: u64, next: u64, count: u32, meta: &[u8], data: &[u8]| {
        let mut payload = Vec::new();
        payload.extend(start.to_be_bytes());
        payload.extend(next.to_be_bytes());
        payload.extend(count.to_be_bytes());
        payload.extend([0; 16]);
        payload.extend(u32::try_from(meta.len()).unwrap().to_be_bytes());
        payload.extend(meta);
        payload.extend(data);
        payload
    };
    let (good, _) = v2_file(&odd_records(), 10, 2);
    assert!(read(&good).1.is_none());
    let wrong = [
        ("range of nothing", fixed(10, 10, 0, &[], &[])),
        ("does not join", fixed(11, 12, 0, &[], &[])),
        ("offset beyond the highest", fixed(10, u64::MAX, 0, &[], &[])),
        ("more records than meta", fixed(10, 12, 2, &[0], &[])),
        ("record outside the range", fixed(10, 12, 1, &[1, 2], &[])),
        (
            "offset that wraps",
            fixed(10, 12, 1, &[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], &[]),
        ),
        ("bytes left in meta", fixed(10, 12, 1, &[0, 0], &[])),
        ("bytes left in data", fixed(10, 12, 1, &[0], &[0])),
        ("reserved bit", fixed(10, 12, 1, &[0x80], &[])),
        ("two kinds of time", fixed(10, 12, 1, &[0x30, 0], &[])),
        ("same time without any", fixed(10, 12, 1, &[0x40], &[])),
        ("key longer than data", fixed(10, 12, 1, &[2, 5], b"abc")),
        ("headers that do not read", fixed(10, 12, 1, &[8, 2], &[9, 9])),
        ("short", vec![0; 39]),
    ];
    for (what, payload) in wrong {
        let mut file = file_prologue(&header(10));
        let valid = file.len();
        write_block(Kind::Records, &payload, &mut file);
        let (found, error) = read(&file);
        let told = |p| matches!(error, Some(MakError::Corrupt { position, .. }) if position == p);
        assert!(told(valid as u64), "{what}: {error:?}");
        assert!(found.len() <= 1);
        assert_eq!(recover(&file).valid_len, valid as u64, "{what}");
    }
}

#[test]
fn blocks_in_the_wrong_order_are_caught() {
    let prologue = file_prologue(&header(10));
    let mut block = BlockBuilder::new(at(10));
    let mut records = Vec::new();
    block.finish(at(20)).unwrap().iter().for_each(|slice| records.extend_from_slice(slice));
    let finish = |next: u64, records: u64| {
        let mut payload = [next.to_be_bytes(), records.to_be_bytes()].concat();
        payload.extend([0; 28]);
        let mut block = Vec::new();
        write_block(Kind::Finish, &payload, &mut block);
        block
    };
    let header_block = prologue[4..].to_vec();
    let whole = [prologue.clone(), records.clone(), finish(20, 0)].concat();
    assert!(read(&whole).1.is_none());
    let wrong: [(&str, Vec<Vec<u8>>); 7] = [
        ("no header", vec![b"MAK\x02".to_vec(), records.clone()]),
        ("second header", vec![prologue.clone(), header_block]),
        ("behind the end", vec![whole.clone(), records.clone()]),
        ("two ends", vec![whole, finish(20, 0)]),
        ("ends too early", vec![prologue.clone(), records.clone(), finish(19, 0)]),
        ("wrong count", vec![prologue.clone(), records, finish(20, 1)]),
        ("covers nothing", vec![prologue, finish(10, 0)]),
    ];
    for (what, parts) in wrong {
        let (_, error) = read(&parts.concat());
        assert!(matches!(error, Some(MakError::Corrupt { .. })), "{what}: {error:?}");
    }
}

#[test]
fn what_is_no_mak_file_is_named_so() {
    let message = |bytes: &[u8]| read(bytes).1.unwrap().to_string();
    assert_eq!(message(b""), "not a MAK file: it is empty");
    assert_eq!(message(b"PK\x03\x04 and more"), "not a MAK file: it does not begin with \"MAK\"");
    assert!(message(b"MAK\x03").starts_with("MAK version 3 is not known here"));
    assert_eq!(message(b"MA"), "cut short: the file's head at byte 0 is not complete");
}
