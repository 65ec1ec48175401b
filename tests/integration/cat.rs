//! `kafkatos3 cat` beside kcat itself: what was produced is printed by kcat from Kafka and by
//! kafkatos3 from the archive, and has to be the same to the last byte.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::archive::produce_odd;
use crate::harness::{Producer, Record, Site, await_that};
use crate::servers::{ACCESS_KEY, REGION, SECRET_KEY, run_dir, start};

fn command(archive: &Path, topic: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
    command.arg("cat").arg(archive).arg(topic).args(arguments).env_remove("AWS_PROFILE");
    command
}

fn cat(archive: &Path, topic: &str, arguments: &[&str]) -> Output {
    command(archive, topic, arguments).output().expect("run kafkatos3 cat")
}

#[track_caller]
fn printed(archive: &Path, topic: &str, arguments: &[&str]) -> Vec<u8> {
    let Output { status, stdout, stderr } = cat(archive, topic, arguments);
    assert_eq!(status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    stdout
}

/// What a refused or broken-off run printed and said.
#[track_caller]
fn refused(code: i32, archive: &Path, topic: &str, arguments: &[&str]) -> (Vec<u8>, String) {
    let Output { status, stdout, stderr } = cat(archive, topic, arguments);
    let said = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
    (stdout, said)
}

#[track_caller]
fn kcat(site: &Site, topic: &str, arguments: &[&str]) -> Vec<u8> {
    let mut kcat = Command::new("kcat");
    kcat.args(["-C", "-b", &site.bootstrap, "-t", topic, "-e", "-q"]).args(arguments);
    let Output { status, stdout, stderr } = kcat.output().expect("run kcat");
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    stdout
}

/// kcat's output and ours have to be the same; how long it is.
#[track_caller]
pub(crate) fn same(site: &Site, archive: &Path, topic: &str, arguments: &[&str]) -> usize {
    let (expected, found) = (kcat(site, topic, arguments), printed(archive, topic, arguments));
    if expected != found {
        let at = expected.iter().zip(&found).position(|(a, b)| a != b);
        let at = at.unwrap_or(expected.len().min(found.len()));
        let near = |bytes: &[u8]| {
            let end = bytes.len().min(at + 60);
            bytes[at.saturating_sub(60).min(end)..end].escape_ascii().to_string()
        };
        panic!(
            "{arguments:?}: {} and {} bytes, differ at {at}:\nkcat:      {}\nkafkatos3: {}",
            expected.len(),
            found.len(),
            near(&expected),
            near(&found)
        );
    }
    found.len()
}

/// One record of a listing of all, as kcat tells of it.
#[derive(Debug, Clone)]
struct Line {
    partition: u32,
    offset: u64,
    time: i64,
    key: Vec<u8>,
    value: Vec<u8>,
}

const LIST: &str = "%p %o %T %K %k %S %s";

/// Reads what [`LIST`] prints.
fn lines(mut bytes: &[u8]) -> Vec<Line> {
    fn word<'b>(bytes: &mut &'b [u8]) -> &'b str {
        let at = bytes.iter().position(|byte| *byte == b' ').expect("a blank");
        let (word, rest) = bytes.split_at(at);
        *bytes = &rest[1..];
        std::str::from_utf8(word).expect("a number")
    }
    fn take(bytes: &mut &[u8], length: &str) -> Vec<u8> {
        let (taken, rest) = bytes.split_at(length.parse::<usize>().unwrap_or(0));
        *bytes = rest;
        taken.to_vec()
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let number = |text: &str| text.parse::<i64>().expect("a number");
        let partition = number(word(&mut bytes)).try_into().expect("a partition");
        let offset = number(word(&mut bytes)).cast_unsigned();
        let time = number(word(&mut bytes));
        let length = word(&mut bytes);
        let key = take(&mut bytes, length);
        bytes = &bytes[1..];
        let length = word(&mut bytes);
        let value = take(&mut bytes, length);
        found.push(Line { partition, offset, time, key, value });
    }
    found
}

fn places<'l>(lines: impl IntoIterator<Item = &'l Line>) -> Vec<(u32, u64)> {
    lines.into_iter().map(|line| (line.partition, line.offset)).collect()
}

#[test]
fn output_is_kcats_to_the_last_byte() {
    let mut site = Site::new("cat");
    site.set("consumer", "max_file_bytes", "500KiB");
    let topic = site.topic("t", 3, &[]);
    let append = site.topic("append", 1, &[("message.timestamp.type", "LogAppendTime")]);
    produce_odd(&site, &topic, 2, 30_000);
    Producer::new(&site.bootstrap).send(&topic, 1, [Record::noise(1, 900_000)]);
    produce_odd(&site, &append, 1, 500);
    site.run_to_end().expect(0);
    let archive = site.config_file();
    let files = site.objects(&topic, 0).len();
    assert!(files > 2, "{files} files: nothing goes from one to the next");

    // Each partition as a whole; kcat mixes partitions as they come.
    let all = r"%t [%p] at %o, made %T: %K %k; %S %s; %h\x0a\x2d-\t\101%%\q\r\n";
    for partition in ["0", "1"] {
        same(&site, &archive, &topic, &["-p", partition, "-f", all]);
    }
    assert_eq!(same(&site, &archive, &topic, &["-p", "2"]), 0, "an empty partition");
    same(&site, &archive, &append, &["-f", all]);
    for arguments in [
        &["-Z", "-f", r"%k|%s|%h\n"][..],
        &["-f", r"%R%s%R%k"],
        &["-K", r"\t", "-D", r"\x1e\n"],
        &["-D", ""],
        &["-u", "-c", "50"],
        &["-o", "1234", "-c", "10", "-f", all],
        &["-o", "29990"],
        &["-o", "-7", "-f", all],
        &["-o", "end"],
        &["-o", "s@1700000010000", "-f", r"%o\n"],
        &["-o", "s@1700000010000", "-o", "e@1700000029000", "-f", r"%o\n"],
        &["-o", "e@1700000000100", "-f", r"%o\n"],
        &["-o", "s@1900000000000", "-f", r"%o\n"],
    ] {
        same(&site, &archive, &topic, &[&["-p", "0"], arguments].concat());
    }

    what_goes_beyond_kcat(&archive, &topic, &lines(&kcat(&site, &topic, &["-f", LIST])));
    a_slice_costs_three_requests(&site, &archive, &topic);
    a_bare_url_is_enough(&site, &topic);
    a_reader_that_has_enough(&archive, &topic);
    what_is_not_there(&archive, &topic);
    what_is_damaged(&site, &archive, &topic);
}

/// Filters, order and spans of time, against what kcat prints of all.
fn what_goes_beyond_kcat(archive: &Path, topic: &str, all: &[Line]) {
    let print =
        |arguments: &[&str]| lines(&printed(archive, topic, &[&["-f", LIST], arguments].concat()));
    let mut in_turn = all.to_vec();
    in_turn.sort_by_key(|line| (line.partition, line.offset));
    assert_eq!(places(&print(&[])), places(&in_turn));
    assert_eq!(places(&print(&["-c", "30010"])), places(&in_turn[..30_010]));

    let key = String::from_utf8(in_turn[17].key.clone()).unwrap_or_else(|_| "key-1".to_owned());
    let keyed = in_turn.iter().filter(|line| line.key == key.as_bytes());
    assert_eq!(places(&print(&["--key", &key])), places(keyed));
    let holds = |line: &&Line| line.value.windows(5).any(|part| part == b"\"x\":\"");
    let found = print(&["--grep", "\"x\":\"", "-c", "321"]);
    assert_eq!(places(&found), places(in_turn.iter().filter(holds).take(321)));
    let traced = print(&["--header", "trace", "-p", "0"]);
    assert!(traced.len() > 1000, "{} records with that header", traced.len());
    assert!(print(&["--header", "trace=no such value"]).is_empty());

    let (from, to) = (1_700_000_005_000, 1_700_000_006_000);
    let made = |line: &&Line| (from..to).contains(&line.time);
    let span = ["--from", "2023-11-14T22:13:25Z", "--to", "2023-11-14T23:13:26+01:00"];
    let found = print(&span);
    assert!(found.len() > 1000, "{} records in that span", found.len());
    assert_eq!(places(&found), places(in_turn.iter().filter(made)));

    // Merged: the same records, each partition's in its order, and never one that is older than
    // what the other partition has next.
    let merged = print(&["--merge"]);
    let mut sorted = merged.clone();
    sorted.sort_by_key(|line| (line.partition, line.offset));
    assert_eq!(places(&sorted), places(&in_turn));
    let mut heads = BTreeMap::<u32, std::collections::VecDeque<&Line>>::new();
    for line in &in_turn {
        heads.entry(line.partition).or_default().push_back(line);
    }
    for line in &merged {
        let oldest = heads.values().filter_map(|left| Some(left.front()?.time)).min();
        assert_eq!(Some(line.time), oldest, "{line:?}");
        let head = heads.get_mut(&line.partition).and_then(std::collections::VecDeque::pop_front);
        assert_eq!(head.map(|head| head.offset), Some(line.offset));
    }
    assert_eq!(print(&["--merge", "-c", "9"]).len(), 9);
}

/// Requests for data files, as the store sees them.
fn a_slice_costs_three_requests(site: &Site, archive: &Path, topic: &str) {
    let count = || site.store.seen(|seen| seen.method == "GET" && seen.range.is_some()).len();
    let lists = || site.store.seen(|seen| seen.method == "GET" && seen.range.is_none()).len();
    let names = site.objects(topic, 0);
    let starts: Vec<u64> = names.iter().map(|name| name[..20].parse().expect("a start")).collect();
    for (arguments, offsets) in [
        (&["-o", "20000", "-c", "1"][..], 20_000..20_001),
        (&["-o", "20000", "-c", "500"], 20_000..20_500),
        (&["-o", "-5"], 29_995..30_000),
        (&["-o", "0", "-c", "1"], 0..1),
        (&["-o", "29999"], 29_999..30_000),
    ] {
        // Files end where batches of the broker did, maybe within the slice.
        let within = offsets.start + 1..offsets.end;
        let most = 3 * (1 + starts.iter().filter(|at| within.contains(*at)).count());
        let (before, listed) = (count(), lists());
        printed(archive, topic, &[&["-p", "0"], arguments].concat());
        let (after, listings) = (count() - before, lists() - listed);
        assert!((1..=most).contains(&after), "{arguments:?}: {after} requests, {most} at most");
        assert!(listings <= 3, "{arguments:?}: {listings} listings");
    }
}

fn a_bare_url_is_enough(site: &Site, topic: &str) {
    let url = "s3://cat/archive";
    let mut command = command(Path::new(url), topic, &["-p", "0", "-c", "3", "-f", "%o,"]);
    command.env("AWS_ENDPOINT_URL", &site.store.url).env("AWS_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let output = command.output().expect("run kafkatos3 cat");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0,1,2,", "{output:?}");

    let output = command.env("AWS_SECRET_ACCESS_KEY", "wrong").output().expect("run it");
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    let output = command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").output().expect("run it");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
}

fn a_reader_that_has_enough(archive: &Path, topic: &str) {
    let mut command = command(archive, topic, &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "tests start programs")]
    let mut child = command.spawn().expect("run kafkatos3 cat");
    let mut some = [0; 10];
    child.stdout.take().expect("a pipe").read_exact(&mut some).expect("a few bytes");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

fn what_is_not_there(archive: &Path, topic: &str) {
    let (_, said) = refused(66, archive, &topic.replace('t', "r"), &[]);
    assert!(said.contains(&format!("the most similar is \"{topic}\"")), "{said}");
    let (_, said) = refused(66, archive, &format!("{topic}@2"), &[]);
    assert!(said.contains("has no topic"), "{said}");
    let (_, said) = refused(66, archive, topic, &["-p", "7"]);
    assert!(said.contains("has no partition 7, but 0-2"), "{said}");
    let (_, said) = refused(66, Path::new("/nowhere/at all"), topic, &[]);
    assert!(said.contains("/nowhere/at all") && said.contains("s3://, gs://"), "{said}");
    refused(64, Path::new("ftp://host/dir"), topic, &[]);
    for arguments in
        [&["-o", "stored"][..], &["-o", "x"], &["-c", "0"], &["-f", "%y"], &["-e", "-w"]]
    {
        refused(64, archive, topic, arguments);
    }
    let empty = run_dir().join("cat-empty");
    fs::create_dir_all(&empty).expect("a directory");
    let (_, said) = refused(66, &empty, topic, &[]);
    assert!(said.contains("none at all"), "{said}");
    assert!(fs::read_dir(&empty).expect("a folder").next().is_none(), "reading left something");
}

/// Good records first, then what is wrong and where.
fn what_is_damaged(site: &Site, archive: &Path, topic: &str) {
    let (second, third) = (site.object_path(topic, 0, 1), site.object_path(topic, 0, 2));
    let begins = |path: &Path| -> u64 {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        name.split('.').next().expect("a number").parse().expect("a number")
    };
    let whole = fs::read(&second).expect("an object");
    let mut broken = whole.clone();
    broken[200] ^= 0x40;
    fs::write(&second, &broken).expect("damage it");
    let (good, said) = refused(65, archive, topic, &["-p", "0", "-f", "%o\n"]);
    let last = String::from_utf8(good).expect("numbers");
    let last: u64 = last.lines().last().expect("records").parse().expect("a number");
    assert_eq!(last + 1, begins(&second), "{said}");
    let name = second.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(said.contains(name), "{said}");
    fs::write(&second, &whole).expect("mend it");

    let aside = site.spool().join("aside");
    fs::copy(&second, &aside).expect("keep a copy");
    remove(&second);
    let (_, said) = refused(65, archive, topic, &["-p", "0"]);
    let (from, to) = (begins(&second), begins(&third) - 1);
    assert!(said.contains(&format!("offsets {from} to {to} before it are missing")), "{said}");
    fs::copy(&aside, &second).expect("put it back");
}

#[expect(clippy::disallowed_methods, reason = "a missing object is what the test is about")]
fn remove(path: &Path) {
    fs::remove_file(path).expect("remove an object");
}

#[test]
fn json_is_kcats_up_to_the_broker() {
    let mut site = Site::new("cat-json");
    site.archive_to_directory();
    let topic = site.topic("t", 1, &[]);
    let producer = Producer::new(&site.bootstrap);
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let controls: String = (0..0x80_u8).map(char::from).collect();
    let texts = ["", "plain", "\u{e4}\u{20ac}\u{1f600}\u{2028}", "</a>\"\\", &controls];
    let mut records: Vec<_> = texts
        .into_iter()
        .map(|value| Record { key: text(value), value: text(value), ..Record::default() })
        .collect();
    records.push(Record::default());
    records.push(Record {
        headers: vec![
            (b"a".to_vec(), text("1")),
            (b"a".to_vec(), None),
            ("\u{e4}".as_bytes().to_vec(), text("")),
        ],
        timestamp: Some(1),
        ..Record::text("with headers")
    });
    producer.send(&topic, 0, records);
    site.run_to_end().expect(0);

    for arguments in [&["-J"][..], &["-J", "-D", ";"], &["-J", "-f", r"--\n%s"], &["-J", "-Z"]] {
        let expected = String::from_utf8(kcat(&site, &topic, arguments)).expect("UTF-8");
        let broker = serde_json::from_str::<Value>(expected.lines().next().unwrap_or_default());
        let broker = broker.ok().map_or(1, |first| first["broker"].as_i64().expect("a broker"));
        let expected = expected.replace(&format!("\"broker\":{broker}"), "\"broker\":-1");
        let found = printed(site.archive_path(), &topic, arguments);
        assert_eq!(String::from_utf8(found).expect("UTF-8"), expected, "{arguments:?}");
    }
}

#[test]
fn waiting_prints_what_comes() {
    let mut site = Site::new("cat-wait");
    site.archive_to_directory();
    let topic = site.topic("t", 2, &[]);
    let producer = Producer::new(&site.bootstrap);
    producer.send(&topic, 0, [Record::text("first")]);
    site.run_to_end().expect(0);
    let started = |name: &str, arguments: &[&str]| {
        let log = run_dir().join(format!("cat-wait-{name}.log"));
        let child = start(&mut command(site.archive_path(), &topic, arguments), &log);
        (child, move || fs::read_to_string(&log).unwrap_or_default())
    };
    let (mut all, all_said) = started("all", &["--wait"]);
    let (mut new, new_said) = started("new", &["-w", "-o", "end", "--merge", "-c", "2"]);
    await_that("what is there", || all_said() == "first\n");

    producer.send(&topic, 0, [Record::text("second")]);
    producer.send(&topic, 1, [Record::text("third")]);
    // Another way of packing: the next file comes behind a seal.
    site.set("compression", "compression", "zstd");
    site.run_to_end().expect(0);
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    await_that("what came", || sorted(all_said()) == ["first", "second", "third"]);
    await_that("the end of the one that wants two", || {
        new.try_wait().expect("its status").is_some()
    });
    assert_eq!(sorted(new_said()), ["second", "third"]);

    for (format, text) in [("avro", "fourth"), ("jsonl", "fifth")] {
        site.set("archive", "format", format);
        producer.send(&topic, 0, [Record::text(text)]);
        site.run_to_end().expect(0);
    }
    await_that("what came in other formats", || {
        sorted(all_said()) == ["fifth", "first", "fourth", "second", "third"]
    });
    assert_eq!(all.try_wait().expect("its status"), None, "it waits on");
    all.kill().expect("it is there");
    all.wait().expect("its end");
}
