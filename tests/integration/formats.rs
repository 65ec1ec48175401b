//! Archives of Avro and JSON lines: what is in them, as readers that share nothing with the product
//! find it: `tests/checker`, fastavro, the Java library (avro-tools) and Python's json.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::archive::produce_odd;
use crate::cat::same;
use crate::harness::{Expected, Producer, Record, Site};

/// Where `tests/servers/fetch --all` puts other tools, if it did.
fn tool(begins: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("KAFKATOS3_SERVERS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/servers/cache"),
        PathBuf::from,
    );
    let entries = fs::read_dir(cache).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let named = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(begins))
    };
    let found = entries.filter(named).max();
    if found.is_none() {
        println!("skipped: no {begins}*, which tests/servers/fetch --all brings");
    }
    found
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("start a program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The data files of all partitions, in their order.
fn files(site: &Site, topic: &str, partitions: i32) -> Vec<PathBuf> {
    let of = |partition: i32| {
        let folder = site.archive.join(format!("{topic}/{partition:06}"));
        site.objects(topic, partition).into_iter().map(move |name| folder.join(name))
    };
    (0..partitions).flat_map(of).collect()
}

/// Every record that a reader of Avro finds, by offset; plain Python's words for bytes.
const BY_FASTAVRO: &str = "
import fastavro, sys
count = 0
for path in sys.argv[1:]:
    with open(path, 'rb') as file:
        reader = fastavro.reader(file)
        assert reader.metadata['kafkatos3.kind'] == 'data', reader.metadata
        last = int(reader.metadata['kafkatos3.start']) - 1
        for record in reader:
            assert record['offset'] > last, (path, record)
            assert record['timestamp_type'] in ('create', 'logappend'), record
            assert all(isinstance(h['key'], bytes) for h in record['headers'])
            last = record['offset']
            count += 1
        assert last < int(reader.metadata['kafkatos3.next'])
print(count)";

fn avro_is_read_by_others(files: &[PathBuf], records: usize) {
    if let Some(fastavro) = tool("fastavro-") {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", fastavro).args(["-c", BY_FASTAVRO]).args(files);
        assert_eq!(run(&mut python).trim(), records.to_string());
    }
    if let Some(jar) = tool("avro-tools-") {
        let count = |file: &PathBuf| {
            let mut java = Command::new("java");
            java.arg("-jar").arg(&jar).args(["count"]).arg(file);
            run(&mut java).trim().parse::<usize>().expect("a number")
        };
        assert_eq!(files.iter().map(count).sum::<usize>(), records);
    }
}

#[test]
fn avro_in_every_codec_is_read_by_others() {
    for (compression, partitions) in [("gzip", 2), ("zstd", 1), ("none", 1)] {
        let mut site = Site::new(&format!("avro-{compression}"));
        site.archive_to_directory();
        site.set("archive", "format", "avro");
        site.set("compression", "compression", compression);
        let topic = site.topic("t", partitions, &[("message.timestamp.type", "LogAppendTime")]);
        let expected = produce_odd(&site, &topic, partitions, 2000);
        site.run_to_end().expect(0);
        site.check_with_offsets(&expected);
        let files = files(&site, &topic, partitions);
        assert!(files.iter().all(|file| file.extension().is_some_and(|end| end == "avro")));
        avro_is_read_by_others(&files, expected.len());
    }
}

/// Transactions leave holes behind each of their ends; what was aborted is a hole, too.
fn produce_transactions(site: &Site, topic: &str) -> Expected {
    let mut expected = Expected::default();
    for (round, commits) in [(0, true), (1, false), (2, true)] {
        let producer = Producer::transactional(&site.bootstrap, &format!("{topic}-{round}"));
        producer.begin();
        let record = |index| Record { headers: Vec::new(), ..Record::odd(round, index) };
        producer.send(topic, 0, (0..20).map(record));
        if commits {
            producer.commit();
            expected.merge(producer.expected());
        } else {
            producer.abort();
        }
    }
    expected
}

#[test]
fn kafka_stores_schema_ends_files_at_holes() {
    let mut site = Site::new("avro-plain");
    site.archive_to_directory();
    site.set("archive", "format", "avro");
    site.set("archive", "avro_schema", "plain");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_transactions(&site, &topic);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
    // Each committed transaction is a file, and the hole behind it belongs to it.
    let starts: Vec<_> = site.objects(&topic, 0);
    assert_eq!(starts, ["00000000000000000000.avro", "00000000000000000042.avro"]);
    // Its offsets are those of dense records; kcat sees no aborted ones either.
    for arguments in [&[][..], &["-o", "10"], &["-o", "20", "-c", "5"], &["-o", "-12"]] {
        let arguments = [arguments, &["-f", "%o %T %k %s\\n"]].concat();
        assert!(same(&site, &site.config_file(), &topic, &arguments) > 0);
    }
}

/// Slices of all formats, within a file and over several, are what kcat prints of Kafka.
fn cat_prints_slices(site: &Site, topic: &str) {
    let archive = site.config_file();
    let all = "%o %T %K %k %S %s %h\\n";
    for arguments in [
        &[][..],
        &["-o", "123", "-c", "45"],
        &["-o", "700", "-c", "1"],
        &["-o", "999", "-c", "2"],
        &["-o", "450", "-c", "1600"],
        &["-o", "1999"],
        &["-o", "-501"],
        &["-o", "s@1700000000300", "-c", "10"],
        &["-o", "s@1700000000450", "-o", "e@1800000000000"],
        &["-o", "700", "-o", "e@1800000000000"],
    ] {
        let arguments = [arguments, &["-f", all]].concat();
        assert!(same(site, &archive, topic, &arguments) > 0, "{arguments:?}");
    }
}

/// How far a reader of kafka_store's comes, which knows the next name by the number of records, and
/// finds nothing in a file but kafka_store's fields.
const BY_KAFKA_STORES_RULE: &str = "
import pathlib, sys
sys.path[:0] = sys.argv[1].split(':')
try:
    from fastavro import reader
except ImportError:
    import others
    reader = lambda file: others.avro(file.read(), {'start': '0'})
folder, at = pathlib.Path(sys.argv[2]), int(sys.argv[3])
while (path := folder / f'{at:020}').exists():
    with open(path, 'rb') as file:
        records = list(reader(file))
    assert all(set(r) == {'timestamp', 'key', 'value'} for r in records if isinstance(r, dict))
    if not records:
        break
    at += len(records)
print(at)";

/// Where [`BY_KAFKA_STORES_RULE`] ends from `start` on.
fn by_kafka_stores_rule(folder: &Path, start: u64) -> u64 {
    let checker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checker");
    let mut places = vec![checker.display().to_string()];
    places.extend(tool("fastavro-").map(|path| path.display().to_string()));
    let mut python = Command::new("python3");
    python.args(["-c", BY_KAFKA_STORES_RULE, &places.join(":")]).arg(folder).arg(start.to_string());
    run(&mut python).trim().parse().expect("a number")
}

#[test]
fn kafka_stores_layout_is_read_by_its_own_rule_and_kept() {
    let mut site = Site::new("kafka-store");
    site.set("archive", "layout", "kafka_store");
    site.set("consumer", "max_file_bytes", "20KiB");
    let topic = site.topic("t", 2, &[]);
    let plain = |seed, index| Record { headers: Vec::new(), ..Record::odd(seed, index) };
    let mut expected = Expected::default();
    // Partition 1 has holes behind its transactions, and between the two runs.
    for (round, hole) in [(0, 42), (1, 84)] {
        let producer = Producer::new(&site.bootstrap);
        producer.send(&topic, 0, (0..1500).map(|index| plain(round, index)));
        expected.merge(producer.expected());
        let producer = Producer::transactional(&site.bootstrap, &format!("{topic}-{round}"));
        for commits in [true, false] {
            producer.begin();
            producer.send(&topic, 1, (0..20).map(|index| plain(round, index)));
            if commits { producer.commit() } else { producer.abort() }
        }
        expected.merge(producer.expected());
        site.run_to_end().expect(0);
        let names = site.objects(&topic, 1);
        assert_eq!(names.last().map(String::len), Some(20), "{names:?}");
        assert!(names.iter().all(|name| name.parse::<u64>().is_ok_and(|start| start < hole)));
    }
    let folder = |partition: &str| site.archive_path().join(&topic).join(partition);
    assert!(site.objects(&topic, 0).len() > 4, "several files");
    assert_eq!(by_kafka_stores_rule(&folder("000000"), 0), 3000);
    // A hole ends the file, and the next one starts behind it.
    assert_eq!(by_kafka_stores_rule(&folder("000001"), 0), 20);
    assert_eq!(by_kafka_stores_rule(&folder("000001"), 42), 62);
    site.check_with_offsets(&expected);

    // It is a chain, and neither taken for kafka_store's own nor gone on with under other names.
    let config = site.config_file();
    let program = |command: &str, rest: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
        run(program.arg(command).arg(&config).arg(&topic).args(rest))
    };
    let listed: Vec<_> = program("ls", &[]).lines().map(str::to_owned).collect();
    assert!(listed.len() == 4 && !listed[1].contains("kafka_store"), "{listed:#?}");
    assert!(program("verify", &[]).contains("whole"));
    assert_eq!(
        program("cat", &["-p", "1", "-o", "-65", "-f", "%o "]).split_whitespace().count(),
        21
    );
    site.set("archive", "layout", "kafkatos3");
    let producer = Producer::new(&site.bootstrap);
    producer.send(&topic, 0, [plain(7, 7)]);
    expected.merge(producer.expected());
    let log = site.run_to_end().expect(75).log;
    assert!(log.contains("a chain keeps its layout"), "{log}");
    site.set("archive", "layout", "kafka_store");
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn json_lines_in_every_packing_and_a_seal_between_formats() {
    let mut site = Site::new("jsonl");
    let topic = site.topic("t", 1, &[]);
    let mut expected = Expected::default();
    let steps = [
        ("jsonl", "none"),
        ("jsonl", "gzip"),
        ("avro", "gzip"),
        ("jsonl", "zstd"),
        ("mak", "gzip"),
    ];
    for (seed, (format, compression)) in (0..).zip(steps) {
        site.set("archive", "format", format);
        site.set("compression", "compression", compression);
        let producer = Producer::new(&site.bootstrap);
        producer.send(&topic, 0, (0..500).map(|index| Record::odd(seed, index)));
        expected.merge(producer.expected());
        site.run_to_end().expect(0);
    }
    let sum = site.check_with_offsets(&expected);
    assert!(sum.contains(" 2500 records, 0 gaps, 4 seals"), "{sum}");
    let plain = site.archive.join(format!("{topic}/000000/00000000000000000000.jsonl"));
    let count =
        "import json,sys\nprint(sum(1 for l in open(sys.argv[1]) if json.loads(l)['offset'] >= 0))";
    assert_eq!(run(Command::new("python3").args(["-c", count]).arg(plain)).trim(), "500");
    cat_prints_slices(&site, &topic);
}
