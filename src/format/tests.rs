//! Round trips through every format, other programs' readers and writers, and hostile bytes.

use std::process::Command;

use apache_avro::types::Value;
use proptest::prelude::*;

use super::*;
use crate::archive::OwnedRecord;
use crate::codec::{AvroCodec, Container, ContainerWriter, Level};
use crate::mak::{FileHeader, HeadersBuf, Shown, StartTime};
use crate::meta::{FileMeta, Identity, ObjectMeta, Totals};
use crate::types::{
    AvroSchema, Isolation, Offset, OffsetRange, Partition, Suffix, Timestamp, TimestampType,
    TopicId, TopicName,
};

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn identity() -> Identity {
    Identity {
        cluster_id: "c".to_owned(),
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::UNKNOWN,
        partition: Partition::new(3).unwrap(),
        isolation: Isolation::ReadCommitted,
    }
}

fn header(start: u64) -> FileHeader {
    FileHeader {
        identity: identity(),
        start: at(start),
        generation: 1,
        first: Offset::ZERO,
        start_time: StartTime::from_millis(1_500_000_000_000),
        gap: None,
        writer: "0000000000000007".parse().unwrap(),
    }
}

fn layout(suffix: Suffix) -> Layout {
    Layout { level: Level::new(suffix, None).unwrap(), schema: AvroSchema::Full }
}

fn layouts() -> Vec<Layout> {
    let avro = [AvroCodec::Null, AvroCodec::Deflate, AvroCodec::Zstandard]
        .map(|codec| Layout { level: Level::avro(codec, None).unwrap(), schema: AvroSchema::Full });
    let others = Suffix::ALL.into_iter().filter(|suffix| *suffix != Suffix::Avro).map(layout);
    others.chain(avro).collect()
}

fn meta_of(layout: Layout, range: OffsetRange, counted: Counted) -> FileMeta {
    let suffix = layout.level.suffix();
    let mak = if suffix.format() == crate::types::Format::Mak { 2 } else { 0 };
    FileMeta {
        identity: identity(),
        generation: 1,
        first: Offset::ZERO,
        mak,
        plain: layout.schema == AvroSchema::Plain,
        suffix,
        range,
        records: counted.records,
        bytes: counted.bytes,
        times: counted.times,
        gap: None,
        leader_epoch: Some(4),
        writer: "0000000000000007".parse().unwrap(),
        act: None,
        totals: Some(Totals::default()),
    }
}

/// A file as the compressor leaves it in the spool, and what it says of itself.
fn lay_down(layout: Layout, start: u64, next: u64, records: &[OwnedRecord]) -> (Vec<u8>, FileMeta) {
    let mut writer = RecordWriter::new(Vec::new(), layout, &header(start));
    let mut headers = HeadersBuf::new();
    for record in records {
        writer.push(&record.borrow(&mut headers)).unwrap();
    }
    let range = OffsetRange::new(at(start), at(next)).unwrap();
    let file = meta_of(layout, range, writer.counted());
    let map = ObjectMeta::File(file.clone()).to_map();
    let (bytes, _) = writer.finish(at(next), Some(4), &map).unwrap();
    (bytes, file)
}

/// The same as it stands in an archive.
fn published(suffix: Suffix, spooled: &[u8]) -> Vec<u8> {
    let container = Container::parse(suffix, spooled).unwrap();
    let (before, behind) = container.tail().around(suffix).unwrap();
    [&before, container.body(), &behind].concat()
}

fn read_back(suffix: Suffix, bytes: &[u8]) -> Vec<OwnedRecord> {
    let container = Container::parse(suffix, bytes).unwrap();
    let Ok(ObjectMeta::File(file)) = ObjectMeta::from_map(&container.tail().meta) else { panic!() };
    assert_eq!(file.suffix, suffix);
    let mut all = Vec::new();
    for_each_record(&container, &file, |record| {
        all.push(OwnedRecord::from(*record));
        Ok(())
    })
    .unwrap();
    all
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    let odd = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![Just(None), odd.prop_map(Some), "\\PC{0,20}".prop_map(|s| Some(s.into_bytes()))]
}

fn record() -> impl Strategy<Value = (u64, OwnedRecord)> {
    let kind = prop_oneof![Just(TimestampType::Create), Just(TimestampType::LogAppend)];
    let time = (any::<i64>(), kind).prop_map(|(millis, kind)| Timestamp { millis, kind });
    let header = (bytes().prop_map(Option::unwrap_or_default), bytes());
    let headers = proptest::collection::vec(header, 0..4);
    (0..3_u64, proptest::option::of(time), bytes(), bytes(), headers).prop_map(
        |(hole, timestamp, key, value, headers)| {
            (hole, OwnedRecord { offset: Offset::ZERO, timestamp, key, value, headers })
        },
    )
}

/// Records from `start` on, and where they end.
fn records(start: u64) -> impl Strategy<Value = (Vec<OwnedRecord>, u64)> {
    proptest::collection::vec(record(), 0..30).prop_map(move |given| {
        let mut next = start;
        let number = |(hole, record): (u64, OwnedRecord)| {
            let offset = at(next + hole);
            next = offset.get() + 1;
            OwnedRecord { offset, ..record }
        };
        let records: Vec<_> = given.into_iter().map(number).collect();
        (records, next + 1)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_record_comes_back_in_every_format((records, next) in records(1_000)) {
        for layout in layouts() {
            let suffix = layout.level.suffix();
            let (spooled, _) = lay_down(layout, 1_000, next, &records);
            prop_assert_eq!(&read_back(suffix, &spooled), &records);
            prop_assert_eq!(&read_back(suffix, &published(suffix, &spooled)), &records);
        }
    }

    #[test]
    fn any_format_becomes_any_other_without_loss((records, next) in records(5)) {
        for from in layouts() {
            let (spooled, file) = lay_down(from, 5, next, &records);
            let container = Container::parse(file.suffix, &spooled).unwrap();
            for to in layouts() {
                let (bytes, _) = convert(&container, &file, to, Vec::new()).unwrap();
                prop_assert_eq!(&read_back(to.level.suffix(), &bytes), &records);
            }
        }
    }

    #[test]
    fn what_the_avro_crate_reads_is_what_was_written((records, next) in records(0)) {
        for layout in layouts().into_iter().filter(|l| l.level.suffix() == Suffix::Avro) {
            let (spooled, _) = lay_down(layout, 0, next, &records);
            let file = published(Suffix::Avro, &spooled);
            let reader = apache_avro::Reader::new(&file[..]).unwrap();
            let start = reader.user_metadata().get("kafkatos3.start").cloned();
            prop_assert_eq!(start, Some(b"0".to_vec()));
            let found: Vec<Value> = reader.map(Result::unwrap).collect();
            let expected: Vec<Value> = records.iter().map(as_value).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn hostile_pieces_are_an_error_and_never_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), avro: bool, plain: bool
    ) {
        let schema = if plain { AvroSchema::Plain } else { AvroSchema::Full };
        let shape = Shape::of(crate::codec::schema_text(schema)).unwrap();
        let content =
            if avro { Content::Avro(shape) } else { Content::Jsonl(Some(identity().topic_partition())) };
        let spot = Spot { beginning: true, position: 0, first: Offset::ZERO };
        if let Ok(mut piece) = Piece::open(&content, bytes, spot) {
            while let Ok(Some(_)) = piece.next_record() {}
            prop_assert!(piece.next_record().is_ok_and(|record| record.is_none()));
        }
    }
}

fn as_value(record: &OwnedRecord) -> Value {
    let optional = |bytes: &Option<Vec<u8>>| match bytes {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(bytes) => Value::Union(1, Box::new(Value::Bytes(bytes.clone()))),
    };
    let kind = match record.timestamp.map(|time| time.kind) {
        None => Value::Enum(0, "none".to_owned()),
        Some(TimestampType::Create) => Value::Enum(1, "create".to_owned()),
        Some(TimestampType::LogAppend) => Value::Enum(2, "logappend".to_owned()),
    };
    let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| {
        Value::Record(vec![
            ("key".to_owned(), Value::Bytes(name.clone())),
            ("value".to_owned(), optional(value)),
        ])
    };
    Value::Record(vec![
        ("timestamp".to_owned(), Value::Long(record.timestamp.map_or(-1, |time| time.millis))),
        ("key".to_owned(), optional(&record.key)),
        ("value".to_owned(), optional(&record.value)),
        ("offset".to_owned(), Value::Long(record.offset.to_kafka())),
        ("timestamp_type".to_owned(), kind),
        ("headers".to_owned(), Value::Array(record.headers.iter().map(header).collect())),
    ])
}

fn some(offset: u64, value: &[u8]) -> OwnedRecord {
    let kind = TimestampType::Create;
    OwnedRecord {
        offset: at(offset),
        timestamp: Some(Timestamp { millis: 1_500_000_000_000 + offset.cast_signed(), kind }),
        key: Some(format!("k{offset}").into_bytes()),
        value: Some(value.to_vec()),
        headers: Vec::new(),
    }
}

#[test]
fn many_frames_are_cut_between_records_and_each_reads_alone() {
    let records: Vec<_> = (0..40).map(|n| some(n * 2, &vec![b'x'; 100_000])).collect();
    for layout in layouts() {
        let suffix = layout.level.suffix();
        let (spooled, file) = lay_down(layout, 0, 100, &records);
        let bytes = published(suffix, &spooled);
        let container = Container::parse(suffix, &bytes).unwrap();
        let frames = container.tail().index.frames();
        assert!(frames.len() > 2, "{suffix}: {} frames", frames.len());
        let content = Content::of(&file, container.tail()).unwrap();
        let (last, mut raw) = (frames.last().unwrap(), Vec::new());
        let mut codec = container.tail().codec(suffix);
        let limit = usize::try_from(last.raw_len).unwrap();
        codec.decompress(container.frame(last).unwrap(), limit, &mut raw).unwrap();
        assert_eq!(raw.len(), limit, "{suffix}");
        let position = frames[..frames.len() - 1].iter().map(|f| u64::from(f.raw_len)).sum();
        let spot = Spot { beginning: false, position, first: last.info.first };
        let mut piece = Piece::open(&content, raw, spot).unwrap();
        let before = |offset| if offset < at(78) { Shown::Next } else { Shown::Keep };
        assert!(piece.each(|record| before(record.offset)).unwrap());
        assert_eq!(piece.next_record().unwrap().map(OwnedRecord::from), Some(records[39].clone()));
        assert_eq!(piece.next_record().unwrap(), None);
        assert_eq!(piece.records(), u64::from(last.info.records));
    }
}

/// What Python's json makes of the lines: their number, and whether each is a record.
fn by_python(lines: &[u8]) -> String {
    let program = "import json,sys\nlines=[json.loads(l) for l in sys.stdin.buffer if l.strip()]\n\
                   print(len(lines),[l['offset'] for l in lines],[l['payload'] for l in lines])";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let input = std::fs::File::open(file.path()).unwrap();
    let output = Command::new("python3").args(["-c", program]).stdin(input).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_plain_file_of_lines_is_nothing_but_lines() {
    let records = [some(3, b"a\"b"), some(5, "\u{fc}".as_bytes())];
    let (bytes, _) = lay_down(layout(Suffix::Jsonl), 3, 9, &records);
    assert_eq!(by_python(&bytes), "2 [3, 5] ['a\"b', '\u{fc}']\n");
    // Strictly: as many lines as records, each a JSON text with white space behind it at most.
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        serde_json::from_slice::<serde_json::Value>(line).unwrap();
    }
    assert!(bytes.ends_with(b"\n"));
}

#[test]
fn a_file_without_records_is_empty_in_every_format() {
    for layout in layouts() {
        let suffix = layout.level.suffix();
        let (spooled, _) = lay_down(layout, 10, 20, &[]);
        let bytes = published(suffix, &spooled);
        assert_eq!(read_back(suffix, &bytes), []);
        match suffix {
            Suffix::Avro => {
                assert_eq!(apache_avro::Reader::new(&bytes[..]).unwrap().count(), 0);
            }
            Suffix::Jsonl => assert_eq!(by_python(&bytes), "0 [] []\n"),
            _ => {}
        }
    }
}

#[test]
fn kafka_stores_schema_counts_offsets_and_refuses_holes() {
    let plain = Layout { schema: AvroSchema::Plain, ..layout(Suffix::Avro) };
    let mut given = vec![some(7, b""), some(8, b"x")];
    given[1].key = None;
    let (spooled, file) = lay_down(plain, 7, 20, &given);
    assert!(file.plain);
    assert_eq!(read_back(Suffix::Avro, &published(Suffix::Avro, &spooled)), given);
    let mut writer = RecordWriter::new(Vec::new(), plain, &header(7));
    let mut headers = HeadersBuf::new();
    writer.push(&given[0].borrow(&mut headers)).unwrap();
    let error = writer.push(&some(9, b"").borrow(&mut headers)).unwrap_err();
    assert!(error.to_string().contains("offset 9 can't follow here: 8"), "{error}");
}

#[test]
fn what_went_through_kafka_stores_schema_says_so_for_ever() {
    let plain = Layout { schema: AvroSchema::Plain, ..layout(Suffix::Avro) };
    let (spooled, file) = lay_down(plain, 7, 9, &[some(7, b"a"), some(8, b"b")]);
    let container = Container::parse(Suffix::Avro, &spooled).unwrap();
    let (bytes, _) = convert(&container, &file, layout(Suffix::MakGz), Vec::new()).unwrap();
    let container = Container::parse(Suffix::MakGz, &bytes).unwrap();
    let Ok(ObjectMeta::File(meta)) = ObjectMeta::from_map(&container.tail().meta) else { panic!() };
    assert!(meta.plain && meta.mak == 2 && meta.suffix == Suffix::MakGz);
}

#[test]
fn lines_of_kcat_read_and_wrong_ones_are_told() {
    let content = Content::Jsonl(Some(identity().topic_partition()));
    let spot = Spot { beginning: true, position: 0, first: Offset::ZERO };
    let first = |line: &str| {
        let mut piece = Piece::open(&content, line.as_bytes().to_vec(), spot).unwrap();
        let read = piece.next_record().map(|record| record.map(OwnedRecord::from));
        read.map_err(|error| error.to_string())
    };
    let kcat = r#"{"topic":"orders","partition":3,"offset":9,"tstype":"create","ts":5,"broker":-1,"headers":["a","b","a",null],"key":null,"payload":"x"}"#;
    let found = first(kcat).unwrap().unwrap();
    assert_eq!((found.offset, found.value), (at(9), Some(b"x".to_vec())));
    assert_eq!(found.headers.len(), 2);
    for (line, says) in [
        (r#"{"topic":"other","partition":3,"offset":9}"#, "it is not of orders"),
        (r#"{"offset":9,"headers":["a"]}"#, "names and values in turn"),
        (r#"{"offset":9,"headers":[null,"a"]}"#, "a header's name is null"),
        (r#"{"offset":9,"key":"a","key_b64":"YQ=="}"#, "stand together"),
        (r#"{"offset":9,"payload_b64":"?"}"#, "not base64"),
        (r#"{"offset":9,"tstype":"create"}"#, "tstype without ts"),
        (r#"{"offset":-1}"#, "corrupt at byte 0"),
        ("{", "corrupt at byte 0"),
    ] {
        let error = first(line).unwrap_err();
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn schemas_of_others_are_known_by_their_fields() {
    let golden = r#"{"name": "message", "type": "record", "fields": [{"name": "timestamp", "type": "long"}, {"name": "key", "type": ["null", "bytes"]}, {"name": "value", "type": ["null", "bytes"]}]}"#;
    assert_eq!(crate::codec::schema_text(AvroSchema::Plain), golden);
    let plain = Shape::of(golden).unwrap();
    assert!(!plain.has_offsets() && !plain.is_full());
    assert!(Shape::of(crate::codec::schema_text(AvroSchema::Full)).unwrap().is_full());
    for (schema, says) in [
        ("\"bytes\"", "not a record"),
        ("{", "JSON"),
        (&golden.replace("\"long\"", "\"int\""), "\"timestamp\""),
        (&golden.replace("\"timestamp\"", "\"offset\""), "timestamp, key and value"),
    ] {
        let error = Shape::of(schema).unwrap_err();
        assert!(error.contains(says), "{schema}: {error}");
    }
}

#[test]
fn an_avro_bomb_is_refused_before_it_is_unpacked() {
    for codec in [AvroCodec::Deflate, AvroCodec::Zstandard] {
        let level = Level::avro(codec, None).unwrap();
        let mut writer = ContainerWriter::avro(Vec::new(), level, AvroSchema::Full, [1; 16]);
        let info = crate::codec::FrameInfo { first: Offset::ZERO, records: 1, times: None };
        writer.frame(&vec![0; 5_000_000], info).unwrap();
        let (bytes, _) = writer.finish(&crate::meta::MetaMap::new()).unwrap();
        let container = Container::parse(Suffix::Avro, &bytes).unwrap();
        let frame = container.tail().index.frames()[0];
        let mut out = Vec::new();
        let mut unpacker = container.tail().codec(Suffix::Avro);
        let packed = container.frame(&frame).unwrap();
        let refused = unpacker.decompress(packed, 1_000, &mut out);
        assert!(matches!(refused, Err(crate::codec::CodecError::TooLarge { .. })), "{refused:?}");
        assert!(out.is_empty() && out.capacity() < 3_000_000, "{}", out.capacity());
    }
}
