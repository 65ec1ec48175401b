//! Avro and JSON lines: what is read in whatever way is the same, and can be written again.

use std::io::{BufRead, BufReader};

use kafkatos3::codec::{AvroCodec, Container, Kind, Level};
use kafkatos3::format::{About, Layout, RecordWriter, Stream, for_each_record};
use kafkatos3::mak::{FileHeader, StartTime};
use kafkatos3::meta::{Identity, MetaMap, ObjectMeta};
use kafkatos3::types::{
    AvroSchema, Format, Isolation, Offset, Partition, Suffix, TopicId, TopicName, WriterToken,
};

use super::kept::Kept;

/// Records that are written again.
const MOST: usize = 1000;

/// Avro object container files.
pub fn avro(data: &[u8]) {
    of(Kind::Avro, Format::Avro, data);
}

/// JSON lines.
pub fn jsonl(data: &[u8]) {
    of(Kind::Lines, Format::Jsonl, data);
}

fn of(kind: Kind, format: Format, data: &[u8]) {
    if Kind::detect(data) != Ok(kind) {
        return;
    }
    let found = stream(data, format);
    let slow = stream(BufReader::with_capacity(3, data), format);
    assert_eq!(found, slow, "read in small parts");
    let Some((records, error)) = found else { return };
    container(kind, data, &records, error.as_deref());
    again(&records);
}

/// The records, and how it ended if not well; nothing if it does not open.
fn stream(input: impl BufRead, format: Format) -> Option<(Vec<Kept>, Option<String>)> {
    let mut stream = Stream::open(input, About::default()).ok()?;
    assert_eq!(stream.format(), format);
    let mut records: Vec<Kept> = Vec::new();
    let error = loop {
        match stream.next_record() {
            Ok(Some(record)) => records.push(Kept::of(&record)),
            Ok(None) => return Some((records, None)),
            Err(error) => break error.to_string(),
        }
    };
    assert!(matches!(stream.next_record(), Ok(None)), "more behind an error");
    Some((records, Some(error)))
}

/// By its index, if it has one and says what it is.
fn container(kind: Kind, data: &[u8], records: &[Kept], error: Option<&str>) {
    let Ok(container) = Container::parse(kind, data) else { return };
    let Ok(ObjectMeta::File(file)) = ObjectMeta::from_map(&container.tail().meta) else { return };
    if Kind::from(file.suffix) != kind {
        return;
    }
    let mut found = Vec::new();
    let whole = for_each_record(&container, &file, |record| {
        found.push(Kept::of(record));
        Ok(())
    });
    if whole.is_ok() && error.is_none() {
        assert!(found == records, "the index tells of other records");
    }
}

/// Offsets rise in what was read, so any format takes it.
fn again(records: &[Kept]) {
    let records = &records[..records.len().min(MOST)];
    let lines = Level::new(Suffix::Jsonl, None).expect("it has one");
    let avro = Level::avro(AvroCodec::Null, None).expect("it has one");
    for (level, format) in [(lines, Format::Jsonl), (avro, Format::Avro)] {
        let layout = Layout { level, schema: AvroSchema::Full };
        let mut writer = RecordWriter::new(Vec::new(), layout, &header());
        for record in records {
            writer.push(&record.borrow()).expect("records whose offsets rise");
        }
        let next = records.last().map_or(Offset::ZERO.after(), |last| last.offset.after());
        let (spooled, _) = writer.finish(next, None, &MetaMap::new()).expect("memory takes it");
        let suffix = level.suffix();
        let container = Container::parse(suffix, &spooled).expect("what was written");
        let (before, behind) = container.tail().around(suffix).expect("what was written");
        let published = [&before, container.body(), &behind].concat();
        if records.is_empty() {
            // No line at all is no file of any format.
            continue;
        }
        let (back, error) = stream(&published[..], format).expect("a file that was written");
        assert_eq!((&back[..], error), (records, None), "{format:?}");
    }
}

fn header() -> FileHeader {
    FileHeader {
        identity: Identity {
            cluster_id: String::new(),
            topic: TopicName::new("t").expect("a name"),
            topic_id: TopicId::UNKNOWN,
            partition: Partition::new(0).expect("a number"),
            isolation: Isolation::ReadCommitted,
        },
        start: Offset::ZERO,
        generation: 1,
        first: Offset::ZERO,
        start_time: StartTime::from_millis(0),
        gap: None,
        writer: WriterToken(1),
    }
}
