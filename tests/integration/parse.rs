//! `kafkatos3_parse` and the stand-alone readers of `mak-example/`, end to end, on files of both
//! versions, plain and packed, whole and damaged.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use kafkatos3::mak::v2::{BlockBuilder, Finish, Kind, file_prologue, finish_block, write_block};
use kafkatos3::mak::{FileHeader, HeadersBuf, Record, StartTime, v1};
use kafkatos3::meta::Identity;
use kafkatos3::types::{
    Isolation, Offset, Partition, Timestamp, TimestampType, TopicId, TopicName, WriterToken,
};

const PARSE: &str = env!("CARGO_BIN_EXE_kafkatos3_parse");

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

type Bytes = Option<Vec<u8>>;

#[derive(Default)]
struct Given {
    offset: u64,
    time: Option<(i64, TimestampType)>,
    key: Bytes,
    value: Bytes,
    headers: Vec<(&'static [u8], Bytes)>,
}

impl Given {
    fn content_bytes(&self) -> u64 {
        let len = |bytes: &Bytes| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + len(v)).sum();
        (len(&self.key) + len(&self.value) + headers) as u64
    }

    fn with<T>(&self, take: impl FnOnce(&Record<'_>) -> T) -> T {
        let mut headers = HeadersBuf::new();
        for (name, value) in &self.headers {
            headers.push(name, value.as_deref());
        }
        take(&Record {
            offset: at(self.offset),
            timestamp: self.time.map(|(millis, kind)| Timestamp { millis, kind }),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: headers.as_headers(),
        })
    }
}

fn header() -> FileHeader {
    FileHeader {
        identity: Identity {
            cluster_id: "with \"topic\": and \\".to_owned(),
            topic: TopicName::new("sample").unwrap(),
            topic_id: TopicId::UNKNOWN,
            partition: Partition::new(7).unwrap(),
            isolation: Isolation::ReadUncommitted,
        },
        start: at(1000),
        generation: 1,
        first: at(0),
        start_time: StartTime::from_text("1500000001.0").unwrap(),
        gap: None,
        writer: WriterToken(0x00c0_ffee),
    }
}

fn v2_file(given: &[Given], per_block: usize) -> Vec<u8> {
    let mut file = file_prologue(&header());
    let mut block = BlockBuilder::new(at(1000));
    for chunk in given.chunks(per_block) {
        for record in chunk {
            record.with(|record| block.push(record)).unwrap();
        }
        let next = block.next();
        for slice in block.finish(next).unwrap() {
            file.extend_from_slice(&slice);
        }
        block.reset(next);
    }
    file.extend(finish_block(&Finish {
        next: at(block.next().get() + 5),
        records: given.len() as u64,
        bytes: given.iter().map(Given::content_bytes).sum(),
        times: Some((i64::MIN, i64::MAX)),
        leader_epoch: None,
    }));
    file
}

fn v1_file(given: &[Given]) -> Vec<u8> {
    let mut builder = v1::Builder::new(&v1::Header::from(&header())).unwrap();
    for record in given {
        record.with(|record| builder.push(record)).unwrap();
    }
    builder.finish()
}

#[expect(clippy::unnecessary_wraps, reason = "a record's field may be null")]
fn text(text: &str) -> Bytes {
    Some(text.as_bytes().to_vec())
}

/// The records of the files `mak-example/sample*`: everything odd, but little of it.
fn sample() -> Vec<Given> {
    let create = |millis| Some((millis, TimestampType::Create));
    vec![
        Given {
            offset: 1000,
            time: create(1_500_000_000_123),
            key: text("k"),
            value: text("{\"id\": 1}"),
            ..Given::default()
        },
        Given { offset: 1001, time: create(1_500_000_000_123), ..Given::default() },
        Given { offset: 1002, key: text(""), value: text(""), ..Given::default() },
        Given {
            offset: 1010,
            time: Some((-1, TimestampType::LogAppend)),
            key: Some(vec![0, 0xff]),
            value: text("tab\t quote\" back\\ \u{1} \u{7f} \u{2028} \u{e4}\u{1f600}"),
            headers: vec![(b"h", text("1")), (b"h", None), (b"", text(""))],
        },
        Given {
            offset: 1011,
            time: create(i64::MAX),
            value: Some(b"\xf0\x28\x8c".to_vec()),
            headers: vec![(b"\xc3\x28", text("x")), (b"n", None)],
            ..Given::default()
        },
    ]
}

const SAMPLE_JSON: &str = concat!(
    r#"{"topic":"sample","partition":7,"offset":1000,"tstype":"create","ts":1500000000123,"key":"k","payload":"{\"id\": 1}"}"#,
    "\n",
    r#"{"topic":"sample","partition":7,"offset":1001,"tstype":"create","ts":1500000000123,"key":null,"payload":null}"#,
    "\n",
    r#"{"topic":"sample","partition":7,"offset":1002,"key":"","payload":""}"#,
    "\n",
    r#"{"topic":"sample","partition":7,"offset":1010,"tstype":"logappend","ts":-1,"headers":["h","1","h",null,"",""],"key_b64":"AP8=","payload":"tab\t quote\" back\\ \u0001 "#,
    "\u{7f} \u{2028} \u{e4}\u{1f600}\"}\n",
    r#"{"topic":"sample","partition":7,"offset":1011,"tstype":"create","ts":9223372036854775807,"headers_b64":["wyg=","eA==","bg==",null],"key":null,"payload_b64":"8CiM"}"#,
    "\n",
);

/// Many records out of a small generator: the same ones every time, nearly all of them odd.
fn many(count: u64) -> Vec<Given> {
    let mut state = 1u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut offset = 1000;
    let mut records = Vec::new();
    for _ in 0..count {
        offset += 1 + if random(4) == 0 { random(1000) } else { 0 };
        let mut bytes = || match random(5) {
            0 => None,
            1 => Some(Vec::new()),
            2 => text("\u{20ac}uro \"quoted\"\n"),
            _ => Some((0..random(300)).map(|_| u8::try_from(random(256)).unwrap()).collect()),
        };
        let (key, value) = (bytes(), bytes());
        let names: [&'static [u8]; 3] = [b"a", b"", b"\xff"];
        let headers = names.map(|name| (name, bytes()));
        let mut headers = headers.to_vec();
        headers.truncate(usize::try_from(random(12).saturating_sub(8)).unwrap());
        let time = match random(4) {
            0 => None,
            1 => Some((i64::MIN, TimestampType::LogAppend)),
            _ => Some((1_500_000_000_000 + random(100).cast_signed(), TimestampType::Create)),
        };
        records.push(Given { offset, time, key, value, headers });
    }
    records
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Several members, then empty ones: one without and one with an extra field.
fn gz_file(bytes: &[u8]) -> Vec<u8> {
    let (one, two) = bytes.split_at(bytes.len() / 2);
    let mut extra = flate2::GzBuilder::new().extra(vec![b'K', b'T', 2, 0, 1, 2]);
    extra = extra.mtime(0);
    let last = extra.write(Vec::new(), Compression::fast()).finish().unwrap();
    [gzip(one), gzip(two), gzip(b""), last].concat()
}

/// Several frames, then skippable ones.
fn zst_file(bytes: &[u8]) -> Vec<u8> {
    let (one, two) = bytes.split_at(bytes.len() / 2);
    let pack = |part: &[u8]| zstd::encode_all(part, 1).unwrap();
    let skippable =
        |nibble: u8| [&[0x50 | nibble, 0x2a, 0x4d, 0x18, 3, 0, 0, 0], &b"abc"[..]].concat();
    [pack(one), pack(two), skippable(0), skippable(14)].concat()
}

/// A folder with every file that the readers are held against each other with.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn run(program: &str, args: &[&str], input: Option<&Path>) -> Output {
    let mut command = Command::new(program);
    command.args(args);
    if let Some(path) = input {
        command.stdin(File::open(path).unwrap());
    }
    command.output().unwrap()
}

fn parse(args: &[&str]) -> (i32, Vec<u8>, String) {
    let output = run(PARSE, args, None);
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), output.stdout, errors)
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn by_default_the_originals_lines_are_printed_word_for_word() {
    let (code, out, errors) = parse(&[name(&in_repository("tests/golden/makv1/torn.mak"))]);
    let expected = "File topic is torn\nFile partition is 5\nStaring offset is 10\n\
        File created at 1500000001.0\n\
        Processing message with offset: 10, key: x, value: whole\n\
        Processing message with offset: 11, key: y, value: whole as well\n";
    assert_eq!(
        (code, String::from_utf8(out).unwrap().as_str(), errors.as_str()),
        (0, expected, "")
    );

    let files = Files::new();
    let path = files.put("v2", &v2_file(&sample()[..4], 2));
    let (code, out, _) = parse(&[name(&path)]);
    let expected = b"File topic is sample\nFile partition is 7\nStaring offset is 1000\n\
        File created at 1500000001.0\n\
        Processing message with offset: 1000, key: k, value: {\"id\": 1}\n\
        Processing message with offset: 1001, key: , value: \n\
        Processing message with offset: 1002, key: , value: \n\
        Processing message with offset: 1010, key: \0\xff, value: tab\t quote\" back\\ ";
    assert_eq!((code, out.starts_with(expected)), (0, true));
}

#[test]
fn the_samples_are_what_the_product_writes() {
    for (sample, written) in
        [("sample.mak", v2_file(&sample(), 2)), ("sample-v1.mak", v1_file(&sample()))]
    {
        let found = fs::read(in_repository("mak-example").join(sample)).unwrap_or_default();
        let now = Path::new(env!("CARGO_TARGET_TMPDIR")).join(sample);
        fs::write(&now, &written).unwrap();
        assert!(found == written, "{sample} is not what is written now: {}", now.display());
    }
    let (code, out, _) = parse(&["--json", name(&in_repository("mak-example/sample.mak"))]);
    assert_eq!((code, String::from_utf8(out).unwrap().as_str()), (0, SAMPLE_JSON));
}

#[test]
fn packing_is_told_by_the_bytes_not_by_the_name() {
    let files = Files::new();
    let mak = v2_file(&sample(), 2);
    for packed in [mak.clone(), gz_file(&mak), zst_file(&mak)] {
        let path = files.put("anything.txt", &packed);
        let (code, out, errors) = parse(&["--json", name(&path)]);
        assert_eq!((code, String::from_utf8(out).unwrap().as_str()), (0, SAMPLE_JSON), "{errors}");
        let piped = run(PARSE, &["--json", "-"], Some(&path));
        assert_eq!(String::from_utf8(piped.stdout).unwrap(), SAMPLE_JSON);
    }
    let skippable_first = [&zst_file(b"")[..], &zst_file(&mak)].concat();
    let (code, out, _) = parse(&["--json", name(&files.put("x", &skippable_first))]);
    assert_eq!((code, out == SAMPLE_JSON.as_bytes()), (0, true));
}

#[test]
fn good_records_are_printed_before_damage_is_reported() {
    let files = Files::new();
    let mak = v2_file(&sample(), 2);
    let cut = &mak[..mak.len() - 60];
    let two_blocks: String = SAMPLE_JSON.split_inclusive('\n').take(4).collect();
    let packed = gz_file(&mak);
    let mut changed = v1_file(&sample());
    changed.splice(11..19, 100_000u64.to_be_bytes());
    let cases = [
        ("cut", cut.to_vec(), Some(two_blocks.clone()), "cut short"),
        ("cut.gz", gz_file(cut), Some(two_blocks), "cut short"),
        ("torn.gz", packed[..packed.len() / 3].to_vec(), None, "ends in the middle"),
        ("torn.zst", zst_file(&mak)[..90].to_vec(), None, "ends in the middle"),
        ("v1", changed, None, "cut short"),
        ("empty", Vec::new(), Some(String::new()), "not a MAK file: it is empty"),
        ("empty.gz", gzip(b""), Some(String::new()), "not a MAK file: it is empty"),
        ("foreign", b"PNG and so on".to_vec(), Some(String::new()), "not a MAK file"),
        ("later", b"MAK\x03".to_vec(), Some(String::new()), "version 3"),
    ];
    for (what, bytes, expected, message) in cases {
        let path = files.put(what, &bytes);
        let (code, out, errors) = parse(&["--json", name(&path)]);
        assert_eq!(code, 65, "{what}: {errors}");
        assert!(errors.contains(message) && errors.contains(name(&path)), "{what}: {errors}");
        if let Some(expected) = expected {
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{what}");
        }
    }
}

#[test]
fn a_changed_checksum_of_the_packing_is_noticed_in_version_1_too() {
    let mut packed = gzip(&v1_file(&sample()[..2]));
    let crc = packed.len() - 8;
    packed[crc] ^= 1;
    let files = Files::new();
    let (code, out, errors) = parse(&["--json", name(&files.put("x", &packed))]);
    assert_eq!(code, 65, "{errors}");
    assert!(errors.contains("compressed data is corrupt"), "{errors}");
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
}

#[test]
fn blocks_of_an_unknown_kind_are_reported_and_passed_over() {
    let mut file = v2_file(&sample(), 2);
    write_block(Kind::Index, b"passed over in silence", &mut file);
    write_block(Kind::Other(99), b"later", &mut file);
    let files = Files::new();
    let (code, out, errors) = parse(&["--json", name(&files.put("x", &file))]);
    assert_eq!((code, out == SAMPLE_JSON.as_bytes()), (0, true));
    assert!(errors.contains("passed over 1") && errors.contains("99"), "{errors}");
    assert_eq!(errors.lines().count(), 1);
}

#[test]
fn exit_codes_are_those_of_sysexits() {
    let files = Files::new();
    let good = files.put("good", &v2_file(&sample(), 2));
    let bad = files.put("bad", b"nothing");
    let missing = files.0.path().join("missing");
    assert_eq!(parse(&[]).0, 64);
    assert_eq!(parse(&["--no-such-option"]).0, 64);
    assert_eq!(parse(&["--help"]).0, 0);
    let (code, version, _) = parse(&["--version"]);
    let expected = format!("kafkatos3_parse {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((code, String::from_utf8(version).unwrap()), (0, expected));
    assert_eq!(parse(&[name(files.0.path())]).0, 66);
    let (code, out, errors) = parse(&["--json", name(&missing), name(&good), name(&bad)]);
    assert_eq!((code, out == SAMPLE_JSON.as_bytes()), (66, true), "{errors}");
    assert!(errors.contains("missing: can't be read: No such file"), "{errors}");

    let mut full = Command::new(PARSE);
    full.arg(&good).stdout(File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(full.output().unwrap().status.code(), Some(73));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let files = Files::new();
    let path = files.put("many", &v2_file(&many(5000), 100));
    let script = "{ \"$0\" \"$1\"; echo \"code $?\" >&2; } | head -c 1";
    let output = run("sh", &["-c", script, PARSE, name(&path)], None);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "code 0\n");
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Every file that a stand-alone reader has to read as the product does: whole and damaged ones.
fn files_to_compare(files: &Files) -> Vec<PathBuf> {
    let mut paths: Vec<_> = ["empty", "holes", "mixed", "orders", "torn"]
        .map(|golden| in_repository("tests/golden/makv1").join(golden).with_extension("mak"))
        .to_vec();
    paths.extend(["sample.mak", "sample-v1.mak"].map(|f| in_repository("mak-example").join(f)));
    let (v1, v2) = (v1_file(&many(300)), v2_file(&many(2000), 7));
    let mut tail = v2.clone();
    for kind in [Kind::Index, Kind::Meta, Kind::End] {
        write_block(kind, b"{}", &mut tail);
    }
    let mut unknown = v2.clone();
    write_block(Kind::Other(50), b"later", &mut unknown);
    let mut changed = v2.clone();
    changed[v2.len() / 2] ^= 4;
    let given = [
        ("v1", v1.clone()),
        ("v1-cut", v1[..v1.len() - 5].to_vec()),
        ("v2", v2.clone()),
        ("v2-no-records", v2_file(&[], 1)),
        ("v2-tail", tail),
        ("v2-unknown", unknown),
        ("v2-cut", v2[..v2.len() * 2 / 3].to_vec()),
        ("v2-unfinished", v2[..v2.len() - 56].to_vec()),
        ("v2-changed", changed),
        ("nothing", Vec::new()),
    ];
    paths.extend(given.iter().map(|(name, bytes)| files.put(name, bytes)));
    paths
}

fn compare(program: &str, before: &[&str], path: &Path) {
    let (code, expected, _) = parse(&["--json", name(path)]);
    let output = run(program, &[before, &[name(path)]].concat(), None);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout == expected, "{program} {before:?} {}: {errors}", path.display());
    assert_eq!(output.status.code(), Some(code), "{program} {}: {errors}", path.display());
}

#[test]
fn the_reader_in_python_reads_the_same() {
    if !is_there("python3") {
        eprintln!("skipped: there is no python3 here");
        return;
    }
    let files = Files::new();
    let script = in_repository("mak-example/read_mak.py");
    let script = name(&script);
    for path in files_to_compare(&files) {
        compare("python3", &[script], &path);
    }
    let (v1, v2) = (v1_file(&many(300)), v2_file(&many(2000), 7));
    for (n, mak) in [v1, v2].into_iter().enumerate() {
        compare("python3", &[script], &files.put(&format!("{n}.gz"), &gz_file(&mak)));
        if is_there("zstdcat") {
            compare("python3", &[script], &files.put(&format!("{n}.zst"), &zst_file(&mak)));
        } else {
            eprintln!("skipped .zst: there is no zstdcat here");
        }
    }
}

#[test]
fn the_reader_in_rust_reads_the_same() {
    let files = Files::new();
    let program = files.0.path().join("read_mak");
    let source = in_repository("mak-example/read_mak.rs");
    let args = ["--edition", "2024", "-O", "-D", "warnings", "-o", name(&program), name(&source)];
    let compiled = run("rustc", &args, None);
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    for path in files_to_compare(&files) {
        compare(name(&program), &[], &path);
    }
    let path = files.put("stdin", &v2_file(&many(100), 7));
    let piped = run(name(&program), &[], Some(&path));
    assert!(piped.stdout == parse(&["--json", name(&path)]).1);
}
