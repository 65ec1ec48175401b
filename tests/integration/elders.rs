//! Archives of kafka_store and of the original tool, read without being told what they are: whole
//! ones, as those tools laid them down, and damaged ones.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::Value;

use crate::harness::await_that;
use crate::hostile::measured;
use crate::takeover::{gzip, mak, put, put_record};

/// What the program printed and said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    /// All damage of a report, as `fault object`.
    fn damage(&self) -> Vec<String> {
        let report = self.json();
        let chains = report["chains"].as_array().expect("chains").iter();
        let damage = chains.flat_map(|chain| chain["damage"].as_array().expect("damage"));
        let text = |key: &Value| key.as_str().expect("a text").to_owned();
        damage.map(|one| text(&one["fault"]) + " " + &text(&one["object"])).collect()
    }
}

fn program(command: &str, archive: &Path, rest: &[&str]) -> Said {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
    let output = program.arg(command).arg(archive).args(rest).output().expect("run it");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("an exit code");
    Said { code, out: text(output.stdout), err: text(output.stderr) }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A copy of kafka_store's archive, to be damaged.
fn kafka_store() -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for folder in ["orders/000000", "orders/000001", "clicks.v2/000012"] {
        for file in fs::read_dir(golden("kafka_store").join(folder)).expect("a folder") {
            let file = file.expect("a file").path();
            let name = Path::new(folder).join(file.file_name().expect("a name"));
            put(&copy.path().join(name), &fs::read(&file).expect("its bytes"));
        }
    }
    copy
}

/// What kafka_store was given, as `-f '%p %o %T %k %s'` would print it, less what is no text.
fn given(topic: &str) -> Vec<Value> {
    let text = fs::read_to_string(golden("kafka_store.records.jsonl")).expect("the records");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    records.filter(|record| record["topic"] == topic).collect()
}

#[test]
fn an_archive_of_kafka_store_is_read_as_it_was_written() {
    let archive = golden("kafka_store");
    for (topic, count) in [("orders", 420), ("clicks.v2", 10)] {
        let printed = program("cat", &archive, &[topic, "-J"]);
        assert_eq!(printed.code, 0, "{}", printed.err);
        let lines: Vec<Value> =
            printed.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let expected = given(topic);
        assert_eq!((lines.len(), expected.len()), (count, count));
        for (line, record) in lines.iter().zip(&expected) {
            for (ours, theirs) in
                [("partition", "partition"), ("offset", "offset"), ("ts", "timestamp")]
            {
                assert_eq!(line[ours], record[theirs], "{line}");
            }
            for (ours, theirs) in [("key", "key"), ("payload", "value")] {
                let said = line[ours].as_str().map(|text| text.as_bytes().to_vec());
                let base64 = |text: &str| {
                    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
                };
                let said = said.or_else(|| line[format!("{ours}_b64")].as_str().map(base64));
                assert_eq!(said, record[theirs].as_str().map(base64), "{line}");
            }
        }
    }
    for (slice, expected) in [
        (&["-p", "0", "-o", "98", "-c", "4"][..], "98 99 100 101 "),
        (&["-p", "0", "-o", "199", "-c", "1"], "199 "),
        (&["-p", "1", "-o", "-2"], "5118 5119 "),
        (&["-p", "1", "-o", "end"], ""),
        (&["-p", "1", "-c", "1"], "5000 "),
        (&["-p", "0", "-o", "s@1478297955563", "-c", "2"], "99 100 "),
        (&["-p", "0", "-o", "e@1478297942200"], "0 1 "),
        (
            &["-p", "0", "--from", "2016-11-04T22:19:15.700Z", "--to", "2016-11-04T22:19:15.900Z"],
            "100 101 ",
        ),
    ] {
        let said = program("cat", &archive, &[&["orders", "-f", "%o "], slice].concat());
        assert_eq!((said.code, said.out.as_str()), (0, expected), "{slice:?}: {}", said.err);
    }
    let listed = program("ls", &archive, &["--json"]).json();
    let line = |chain: &Value| {
        ["chain", "layout", "start", "next", "records", "files"].map(|key| chain[key].to_string())
    };
    let lines: Vec<_> = listed["chains"].as_array().expect("chains").iter().map(line).collect();
    let expected = |chain: &str, start: u64, next: u64| {
        [
            format!("\"{chain}\""),
            "\"kafka_store\"".to_owned(),
            start.to_string(),
            next.to_string(),
            "null".to_owned(),
            "3".to_owned(),
        ]
    };
    let top = 1_000_000_000_000;
    assert_eq!(
        lines,
        [
            expected("clicks.v2/000012", top, top + 10),
            expected("orders/000000", 0, 300),
            expected("orders/000001", 5000, 5120)
        ]
    );
    let verified = program("verify", &archive, &["--json"]);
    assert_eq!((verified.code, &verified.json()["verdict"]), (0, &Value::from("whole")));
    let records: u64 = verified.json()["chains"]
        .as_array()
        .expect("chains")
        .iter()
        .map(|chain| {
            assert_eq!(chain["holes"], 0);
            chain["records"].as_u64().expect("a number")
        })
        .sum();
    assert_eq!(records, 430);
    let file = archive.join("orders/000000/00000000000000000100");
    let told = program("info", &file, &["--json"]).json();
    assert_eq!((&told["start"], &told["next"]), (&Value::from(100), &Value::from(200)));
    assert_eq!((&told["records"], &told["packing"]), (&Value::from(100), &Value::from("deflate")));
}

#[expect(clippy::disallowed_methods, reason = "a file goes missing")]
fn remove(path: &Path) {
    fs::remove_file(path).expect("remove it");
}

#[test]
fn what_is_wrong_with_an_archive_of_kafka_store_is_named() {
    let (first, middle) =
        ("orders/000000/00000000000000000000", "orders/000000/00000000000000000100");
    let change = |name: &str, how: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let archive = kafka_store();
        let path = archive.path().join(name);
        let bytes = fs::read(&path).expect("the file");
        put(&path, &how(bytes));
        archive
    };
    let missing = kafka_store();
    remove(&missing.path().join(middle));
    let doubled = kafka_store();
    let inside = "orders/000000/00000000000000000050";
    fs::copy(missing.path().join(first), doubled.path().join(inside)).expect("copy it");
    // The marker behind the last block; of what is inside of one, Avro's deflate has no checksum.
    let flipped = |mut bytes: Vec<u8>| {
        *bytes.last_mut().expect("a byte") ^= 0x40;
        bytes
    };
    for (archive, damage, printed) in [
        (missing, vec!["missing orders/000000/00000000000000000200".to_owned()], 100),
        (doubled, vec![format!("overlap {inside}"), format!("overlap {middle}")], 100),
        (
            change(middle, &|bytes| bytes[..bytes.len() - 20].to_vec()),
            vec![format!("records {middle}")],
            100,
        ),
        (change(middle, &flipped), vec![format!("container {middle}")], 100),
        (change(middle, &|_| b"nonsense".to_vec()), vec![format!("container {middle}")], 100),
        (change(middle, &|_| Vec::new()), vec![format!("records {middle}")], 100),
    ] {
        let found = program("verify", archive.path(), &["orders", "--json"]);
        assert_eq!((found.code, found.damage()), (2, damage.clone()), "{}", found.out);
        let cat = program("cat", archive.path(), &["orders", "-p", "0", "-f", "%o\\n"]);
        assert_eq!((cat.code, cat.out.lines().count()), (65, printed), "{damage:?}: {}", cat.err);
        assert!(cat.err.contains("orders/000000/0000"), "{}", cat.err);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a reader that waits, and a file that appears whole")]
fn the_next_file_of_kafka_store_is_waited_for_by_its_name() {
    let archive = kafka_store();
    let last = archive.path().join("orders/000001/00000000000000005100");
    let bytes = fs::read(&last).expect("the last file");
    remove(&last);
    let mut cat = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
    cat.arg("cat").arg(archive.path()).args(["orders", "-p", "1", "-o", "5098", "-w", "-u"]);
    cat.args(["-c", "22", "-f", "%o "]).stdout(Stdio::piped());
    let mut child = cat.spawn().expect("run it");
    let mut out = child.stdout.take().expect("its output");
    let mut begun = [0; 10];
    out.read_exact(&mut begun).expect("what is there");
    assert_eq!(&begun, b"5098 5099 ");
    assert!(child.try_wait().expect("ask").is_none(), "it waits");
    let hidden = archive.path().join(".new");
    fs::write(&hidden, bytes).expect("write it");
    fs::rename(&hidden, &last).expect("place it");
    await_that("the new file to be printed", || child.try_wait().expect("ask").is_some());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the rest");
    let expected: Vec<_> = (5100..5120).map(|offset| offset.to_string()).collect();
    assert_eq!(rest.trim_end(), expected.join(" "));
}

/// The original's archive of one partition, with the files of these offsets, below `folder`.
fn original(folder: &str, ranges: &[(u64, u64)]) -> tempfile::TempDir {
    let archive = tempfile::tempdir().expect("a directory");
    for (start, end) in ranges {
        let file = gzip(&mak("t-1", 7, *start, *start..*end));
        put(&archive.path().join(named(folder, *start, end - 1)), &file);
    }
    archive
}

fn named(folder: &str, start: u64, last: u64) -> String {
    format!("{folder}t-1/7/t-1-7_{start}-{last}_160811.mak.gz")
}

#[test]
fn an_archive_of_the_original_is_read_where_it_put_it_and_as_a_folder() {
    for folder in ["", "kafkatos3/"] {
        let archive = original(folder, &[(3, 10), (10, 25), (25, 26)]);
        let all = program("cat", archive.path(), &["t-1", "-f", "%p %o %T %s\\n"]);
        let line = |offset| format!("7 {offset} -1 record {offset} of partition 7");
        let expected = (3..26).map(line).collect::<Vec<_>>().join("\n");
        assert_eq!((all.code, all.out.trim_end()), (0, expected.as_str()), "{}", all.err);
        for (slice, expected) in [
            (&["-o", "9", "-c", "2"][..], "9 10 "),
            (&["-o", "-2"], "24 25 "),
            (&["-o", "0", "-c", "1"], "3 "),
            (&["-o", "26"], ""),
        ] {
            let slice = [&["t-1", "-p", "7", "-f", "%o "], slice].concat();
            let said = program("cat", archive.path(), &slice);
            assert_eq!((said.code, said.out.as_str()), (0, expected), "{slice:?}: {}", said.err);
        }
        let listed = program("ls", archive.path(), &["--json"]).json();
        let chains = listed["chains"].as_array().expect("chains");
        assert_eq!((chains.len(), &listed["notes"]), (1, &Value::from(Vec::<Value>::new())));
        let keys = ["topic", "partition", "layout", "chain", "start", "next", "records"];
        assert_eq!(
            keys.map(|key| chains[0][key].to_string()),
            ["\"t-1\"", "7", "\"original\"", &format!("\"{folder}t-1/7\""), "3", "26", "null"]
        );
        let verified = program("verify", archive.path(), &["--json"]);
        assert_eq!(verified.code, 0, "{}", verified.out);
        assert_eq!(verified.json()["chains"][0]["records"], 23);
        assert_eq!(program("verify", archive.path(), &["--quick"]).code, 0);
        assert_eq!(program("cat", archive.path(), &["t-2"]).code, 66);
    }
}

#[test]
fn what_is_wrong_with_an_archive_of_the_original_is_named() {
    // Offsets that are in no file are nothing that a reader could do about.
    let gap = original("", &[(0, 5), (7, 9)]);
    let said = program("verify", gap.path(), &["--json"]);
    assert_eq!((said.code, said.damage().len()), (1, 0), "{}", said.out);
    let found = &said.json()["chains"][0]["gaps"][0];
    assert_eq!((&found["from"], &found["to"]), (&Value::from(5), &Value::from(7)));
    let cat = |archive: &Path| program("cat", archive, &["t-1", "-f", "%o "]);
    assert_eq!(cat(gap.path()).out, "0 1 2 3 4 7 8 ");
    assert_eq!(program("ls", gap.path(), &["--json"]).json()["chains"][0]["gaps"], 1);

    // Two hosts that both wrote them: each is printed once.
    let overlap = original("", &[(0, 5), (3, 9)]);
    let said = program("verify", overlap.path(), &["--json"]);
    assert_eq!((said.code, said.damage()), (2, vec![format!("overlap {}", named("", 3, 8))]));
    assert_eq!(cat(overlap.path()).out, "0 1 2 3 4 5 6 7 8 ");

    let (name, whole) = (named("", 5, 8), mak("t-1", 7, 5, 5..9));
    // A crash made the original write a record twice, and left half of one behind its end pointer.
    let mut twice = mak("t-1", 7, 5, 5..7);
    for offset in [6, 7, 8] {
        put_record(&mut twice, offset, &format!("record {offset} of partition 7"));
    }
    let end = (twice.len() as u64).to_be_bytes();
    twice[11..19].copy_from_slice(&end);
    twice.extend_from_slice(&[0; 11]);
    let mut back = mak("t-1", 7, 5, 5..9);
    put_record(&mut back, 2, "an earlier one");
    let end = (back.len() as u64).to_be_bytes();
    back[11..19].copy_from_slice(&end);
    let mut flipped = gzip(&whole);
    let crc = flipped.len() - 8;
    flipped[crc] ^= 1;
    for (bytes, damage, printed) in [
        (gzip(&twice), None, "0 1 2 3 4 5 6 7 8 "),
        (gzip(&whole)[..60].to_vec(), Some("container"), "0 1 2 3 4 "),
        (flipped, Some("container"), "0 1 2 3 4 5 6 7 8 "),
        (gzip(&whole[..whole.len() - 9]), Some("records"), "0 1 2 3 4 5 6 7 "),
        (gzip(&whole[..20]), Some("records"), "0 1 2 3 4 "),
        (gzip(&back), Some("records"), "0 1 2 3 4 5 6 7 8 "),
        (gzip(&mak("t-1", 7, 5, 5..8)), Some("name"), "0 1 2 3 4 5 6 7 "),
        (gzip(&mak("t-1", 6, 5, 5..9)), Some("name"), "0 1 2 3 4 "),
        (whole, Some("container"), "0 1 2 3 4 "),
    ] {
        let archive = original("", &[(0, 5)]);
        put(&archive.path().join(&name), &bytes);
        let said = program("verify", archive.path(), &["--json"]);
        let expected: Vec<_> = damage.iter().map(|fault| format!("{fault} {name}")).collect();
        assert_eq!(said.damage(), expected, "{}", said.out);
        assert_eq!(said.code, if damage.is_some() { 2 } else { 0 });
        let cat = cat(archive.path());
        let code = if damage.is_some() { 65 } else { 0 };
        assert_eq!((cat.code, cat.out.as_str()), (code, printed), "{damage:?}: {}", cat.err);
    }
}

/// A number as Avro writes it.
fn avro_long(number: u64) -> Vec<u8> {
    let (mut rest, mut bytes) = (number << 1, Vec::new());
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f).expect("7 bits") | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).expect("7 bits"));
    bytes
}

#[test]
fn a_file_that_unpacks_to_very_much_takes_little_memory() {
    // Blocks of 32 MiB of zeros: each three of them are a record without key and value.
    let raw = vec![0; 3 * (11 << 20)];
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(1));
    deflate.write_all(&raw).expect("pack");
    let packed = deflate.finish().expect("pack");
    let start = fs::read(golden("kafka_store/orders/000000/00000000000000000000")).expect("a file");
    let codec = start.windows(7).position(|word| word == b"deflate").expect("its codec");
    // Behind the schema and the codec, whichever comes last, stand a zero and the marker.
    let sync = start.last_chunk::<16>().expect("its marker");
    let head = start.windows(16).position(|word| word == sync).expect("its head") + 16;
    assert!(codec < head);
    let block =
        [avro_long(11 << 20), avro_long(packed.len() as u64), packed, sync.to_vec()].concat();
    let archive = tempfile::tempdir().expect("a directory");
    let file = [start[..head].to_vec(), block.repeat(24)].concat();
    put(&archive.path().join("t/000000/00000000000000000000"), &file);
    let root = archive.path().to_str().expect("a path");
    let program = env!("CARGO_BIN_EXE_kafkatos3");
    for words in [&["cat", root, "t", "-c", "1"][..], &["ls", root]] {
        let (code, peak, said) = measured(&[&[program], words].concat());
        assert_eq!(code, 0, "{words:?}: {said}");
        assert!(peak < 250 << 20, "{words:?}: {peak} bytes");
    }
    let listed = self::program("ls", archive.path(), &["--json"]).json();
    assert_eq!(listed["chains"][0]["records"], 24 * (11_u64 << 20));
}

#[test]
fn what_looks_like_another_tools_name_and_is_none_is_named() {
    let archive = kafka_store();
    for name in [
        "orders/000000/0000000000000000030",
        "orders/000000/00000000000000000300.tmp",
        "orders/0/t-1-7_0-4_160811.mak.gz",
        "orders/0/orders-0_0-4_160811.mak",
    ] {
        put(&archive.path().join(name), b"x");
    }
    let listed = program("ls", archive.path(), &["orders", "--json"]).json();
    let chains = listed["chains"].as_array().expect("chains");
    let foreign: usize = chains.iter().map(|c| c["foreign"].as_array().expect("names").len()).sum();
    assert_eq!((chains.len(), foreign), (2, 4), "{listed:#}");
    let verified = program("verify", archive.path(), &["orders", "--json"]);
    assert_eq!(verified.code, 0, "{}", verified.out);
    let chains = &verified.json()["chains"];
    assert_eq!(chains[0]["foreign"].as_array().map(Vec::len), Some(4));
}

#[test]
fn whose_files_of_kafka_stores_names_are_is_said_by_the_chain() {
    let archive = kafka_store();
    let record = |suffix: &str| {
        let text = format!(
            "{{\"layout\":1,\"cluster\":\"c\",\"topic\":\"orders\",\"topicid\":\
             \"AAAAAAAAAAAAAAAAAAAAAA\",\"partition\":0,\"isolation\":\"read_committed\",\"first\":300,\
             \"suffix\":\"{suffix}\"}}"
        );
        put(&archive.path().join("orders/000000/chain.json"), text.as_bytes());
        let verified = program("verify", archive.path(), &["orders", "--json"]);
        let chains = verified.json()["chains"].as_array().expect("chains").clone();
        let of = |chain: &Value| chain["chain"] == "orders/000000";
        let found =
            chains.iter().filter(|chain| of(chain)).map(|chain| chain["layout"].to_string());
        (verified.code, found.collect::<Vec<_>>())
    };
    // A chain of other names goes on behind them.
    assert_eq!(record(".mak.gz"), (0, vec!["\"kafka_store\"".to_owned(), "\"chain\"".to_owned()]));
    // In a chain of these names they have to say that they are its own.
    assert_eq!(record(".kafka_store"), (2, vec!["\"chain\"".to_owned()]));
}
