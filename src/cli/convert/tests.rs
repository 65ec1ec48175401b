//! Files of every format become files of every other; what would be lost is said.

use super::*;
use crate::archive::OwnedRecord;
use crate::codec::AvroCodec;

fn options(input: &Path, output: &Path) -> Options {
    Options {
        lossy: false,
        avro_schema: AvroSchema::Full,
        avro_codec: AvroCodec::Deflate,
        input: input.to_owned(),
        output: output.to_owned(),
    }
}

fn records(path: &Path) -> Vec<OwnedRecord> {
    let mut all = Vec::new();
    Source::new(path)
        .for_each(|record| {
            all.push(OwnedRecord::from(*record));
            Ok(())
        })
        .unwrap();
    all
}

const LINES: &str = r#"{"topic":"orders","partition":3,"offset":5,"tstype":"create","ts":1000,"headers":["a",null],"key":null,"payload":"x"}
{"topic":"orders","partition":3,"offset":9,"tstype":"logappend","ts":999,"key":"","payload_b64":"/w=="}
"#;

#[test]
fn every_format_becomes_every_other() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("kcat");
    std::fs::write(&lines, LINES).unwrap();
    let expected = records(&lines);
    assert_eq!((expected.len(), expected[1].value.as_deref()), (2, Some(&[0xff][..])));
    let named = Suffix::ALL.into_iter().filter(|suffix| !suffix.is_kafka_store());
    for from in named.clone() {
        let first = dir.path().join(format!("first{from}"));
        convert(&options(&lines, &first)).unwrap();
        assert_eq!(records(&first), expected, "{from}");
        for to in named.clone() {
            let second = dir.path().join(format!("{}-to{to}", &from.as_str()[1..]));
            let said = convert(&options(&first, &second)).unwrap();
            assert!(said.ends_with(": 2 records, [5, 10)\n"), "{said}");
            assert_eq!(records(&second), expected, "{from} to {to}");
        }
    }
}

#[test]
fn what_would_be_lost_is_refused_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("kcat");
    std::fs::write(&lines, LINES).unwrap();
    let output = dir.path().join("plain.avro");
    let plain = Options { avro_schema: AvroSchema::Plain, ..options(&lines, &output) };
    let error = convert(&plain).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    let said = error.to_string();
    for loss in ["1 records have headers", "1 records have timestamps that", "1 holes lie"] {
        assert!(said.contains(loss), "{said}");
    }
    assert!(!output.exists());
    convert(&Options { lossy: true, ..plain }).unwrap();
    let kept = records(&output);
    assert_eq!(kept.iter().map(|record| record.offset.get()).collect::<Vec<_>>(), [5, 6]);
    assert!(kept.iter().all(|record| record.headers.is_empty()));
}

#[test]
fn nothing_is_written_over_and_nothing_half_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, output) = (dir.path().join("kcat"), dir.path().join("out.mak.gz"));
    std::fs::write(&lines, LINES.replace("999", "x")).unwrap();
    let error = convert(&options(&lines, &output)).unwrap_err();
    assert_eq!(error.exit(), Exit::Data);
    assert!(!output.exists());
    std::fs::write(&lines, LINES).unwrap();
    std::fs::write(&output, "mine").unwrap();
    let error = convert(&options(&lines, &output)).unwrap_err();
    assert_eq!((error.exit(), std::fs::read(&output).unwrap()), (Exit::CantCreate, b"mine".into()));
    let error = convert(&options(&lines, &dir.path().join("out.txt"))).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    let error =
        convert(&options(&dir.path().join("none"), &dir.path().join("x.avro"))).unwrap_err();
    assert_eq!(error.exit(), Exit::NoInput);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// Files of kafka_store 0.1.4, and what was given to it.
#[test]
fn files_of_kafka_store_are_read_by_their_names() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let dir = tempfile::tempdir().unwrap();
    let (mut found, mut files) = (Vec::new(), 0);
    for folder in ["clicks.v2/000012", "orders/000000", "orders/000001"] {
        let folder = golden.join("kafka_store").join(folder);
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        for name in names {
            let output = dir.path().join(format!("{files}.mak.zst"));
            convert(&options(&folder.join(name), &output)).unwrap();
            let file = Source::new(&output).survey().unwrap().file;
            let tp = file.identity.topic_partition();
            found.extend(records(&output).into_iter().map(|record| (tp.clone(), record)));
            files += 1;
        }
    }
    assert_eq!(files, 9);
    let given = std::fs::read_to_string(golden.join("kafka_store.records.jsonl")).unwrap();
    let given: Vec<serde_json::Value> =
        given.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let encoded = |bytes: &Option<Vec<u8>>| {
        use base64::Engine as _;
        bytes.as_ref().map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes))
    };
    let mut found: Vec<_> = found
        .iter()
        .map(|(tp, record)| {
            serde_json::json!({
                "topic": tp.topic.as_str(), "partition": tp.partition.get(),
                "offset": record.offset.get(), "timestamp": record.timestamp.unwrap().millis,
                "key": encoded(&record.key), "value": encoded(&record.value),
            })
        })
        .collect();
    let place = |value: &serde_json::Value| {
        let number = |key: &str| value[key].as_u64().unwrap();
        (value["topic"].to_string(), number("partition"), number("offset"))
    };
    let mut given = given;
    given.sort_by_key(place);
    found.sort_by_key(place);
    assert_eq!(found, given);
}
