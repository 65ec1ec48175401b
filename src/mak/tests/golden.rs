//! Version 1 against files that the original tool's writer laid down.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::given::{Given, read};
use crate::mak::{Reader, StartTime, v1};
use crate::types::{Offset, Partition, TopicName};

#[derive(Deserialize)]
struct Golden {
    topic: TopicName,
    partition: Partition,
    startoffset: Offset,
    starttime: Box<RawValue>,
    as_written: Vec<GoldenRecord>,
}

#[derive(Deserialize)]
struct GoldenRecord {
    offset: u64,
    key: Option<String>,
    value: Option<String>,
}

impl Golden {
    fn header(&self) -> v1::Header {
        v1::Header {
            topic: self.topic.clone(),
            partition: self.partition,
            start: self.startoffset,
            start_time: StartTime::from_text(self.starttime.get()).unwrap(),
        }
    }

    fn records(&self) -> Vec<Given> {
        let decode = |text: &Option<String>| text.as_ref().map(|t| STANDARD.decode(t).unwrap());
        let given = |record: &GoldenRecord| Given {
            offset: record.offset,
            time: None,
            key: decode(&record.key),
            value: decode(&record.value),
            headers: Vec::new(),
        };
        self.as_written.iter().map(given).collect()
    }
}

#[test]
fn the_originals_files_are_read_and_written_byte_for_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/makv1");
    for name in ["empty", "holes", "mixed", "orders", "torn"] {
        let file = std::fs::read(folder.join(name).with_extension("mak")).unwrap();
        let json = std::fs::read(folder.join(name).with_extension("json")).unwrap();
        let golden: Golden = serde_json::from_slice(&json).unwrap();

        let header = Reader::open(file.as_slice()).unwrap().header().clone();
        assert_eq!(header.start_time().as_str(), golden.starttime.get(), "{name}");
        let (found, error) = read(&file);
        assert!(error.is_none(), "{name}: {error:?}");
        let kept: Vec<_> = golden.records().iter().map(Given::in_v1).collect();
        assert_eq!(found, kept, "{name}");

        let mut builder = v1::Builder::new(&golden.header()).unwrap();
        let mut plan = v1::Plan::new(&golden.header()).unwrap();
        for given in golden.records() {
            given.with(|record| builder.push(record)).unwrap();
            given.with(|record| plan.add(record)).unwrap();
        }
        let written = builder.finish();
        assert!(written.starts_with(&plan.head()), "{name}");
        assert_eq!(written.len() as u64, plan.end(), "{name}");
        // What `torn` has more is the half record behind its end pointer.
        let whole = usize::try_from(plan.end()).unwrap();
        assert!(whole == file.len() || name == "torn");
        assert_eq!(written, file[..whole], "{name}");
    }
}
