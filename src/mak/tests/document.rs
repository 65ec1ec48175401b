//! The worked example of `docs/mak-v2.md` is what the writer writes and the reader reads.

use super::given::{Given, at, read};
use crate::mak::v2::{BlockBuilder, Finish, file_prologue, finish_block};
use crate::mak::{FileHeader, StartTime};
use crate::meta::Identity;
use crate::types::{Isolation, Partition, TopicId, TopicName, WriterToken};

/// The bytes of the code block marked `hex`: what stands before `|` in each line.
fn documented() -> Vec<u8> {
    let text = include_str!("../../../docs/mak-v2.md");
    let (_, block) = text.split_once("```hex\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let digits = block.lines().flat_map(|line| line.split('|').next().unwrap().split_whitespace());
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn records() -> [Given; 2] {
    let millis = 1_500_000_000_000;
    [
        Given {
            offset: 100,
            time: Some((millis, false)),
            key: Some(b"k".to_vec()),
            value: Some(b"hello".to_vec()),
            headers: Vec::new(),
        },
        Given {
            offset: 102,
            time: Some((millis, false)),
            key: None,
            value: Some(Vec::new()),
            headers: vec![(b"h".to_vec(), None), (b"h".to_vec(), Some(b"x".to_vec()))],
        },
    ]
}

fn written() -> Vec<u8> {
    let header = FileHeader {
        identity: Identity {
            cluster_id: String::new(),
            topic: TopicName::new("t").unwrap(),
            topic_id: TopicId::UNKNOWN,
            partition: Partition::new(0).unwrap(),
            isolation: Isolation::ReadCommitted,
        },
        start: at(100),
        generation: 1,
        first: at(0),
        start_time: StartTime::from_millis(1_500_000_001_250),
        gap: None,
        writer: WriterToken(0x0123_4567_89ab_cdef),
    };
    let mut file = file_prologue(&header);
    let mut block = BlockBuilder::new(at(100));
    for given in records() {
        given.with(|record| block.push(record)).unwrap();
    }
    let (count, bytes, times) = (block.records(), block.content_bytes(), block.times());
    for slice in block.finish(at(104)).unwrap() {
        file.extend_from_slice(&slice);
    }
    let finish = Finish { next: at(104), records: count, bytes, times, leader_epoch: Some(7) };
    file.extend(finish_block(&finish));
    file
}

#[test]
fn the_worked_example_is_what_is_written_and_read() {
    let (documented, written) = (documented(), written());
    let hex: Vec<_> = written.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(documented, written, "the writer writes {}", hex.join(" "));
    let (found, error) = read(&documented);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, records());
}
