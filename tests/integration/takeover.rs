//! Hosts on which the original tool ran, taken over: directories as it leaves them, objects as it
//! names them. What it wrote is laid down here byte by byte, by code of the tests' own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::harness::{Expected, Producer, Record, Role, Site, await_that};
use crate::servers::{Action, Outcome, Seen};

/// The value of every record that is produced here.
fn value(partition: i32, offset: u64) -> String {
    format!("record {offset} of partition {partition}")
}

/// Produces `count` records to each of the partitions.
pub(crate) fn produce(site: &Site, topic: &str, partitions: i32, count: u64) -> Expected {
    let producer = Producer::new(&site.bootstrap);
    for partition in 0..partitions {
        let records = (0..count).map(|offset| Record::text(&value(partition, offset)));
        producer.send(topic, partition, records);
    }
    producer.expected()
}

pub(crate) fn put_record(file: &mut Vec<u8>, offset: u64, value: &str) {
    file.extend(0_u64.to_be_bytes());
    file.extend((value.len() as u64).to_be_bytes());
    file.extend(value.as_bytes());
    file.extend(offset.to_be_bytes());
}

/// A version 1 file of records `offsets`, as the original lays it down.
pub(crate) fn mak(
    topic: &str,
    partition: i32,
    start: u64,
    offsets: std::ops::Range<u64>,
) -> Vec<u8> {
    let json = format!(
        "{{\"topic\": \"{topic}\", \"partition\": {partition}, \"startoffset\": {start}, \
         \"starttime\": 1470873600.0}}"
    );
    let mut file = b"MAK".to_vec();
    file.extend(offsets.clone().next_back().unwrap_or(start).to_be_bytes());
    file.extend(0_u64.to_be_bytes());
    file.extend((json.len() as u64).to_be_bytes());
    file.extend(json.as_bytes());
    for offset in offsets {
        put_record(&mut file, offset, &value(partition, offset));
    }
    let end = (file.len() as u64).to_be_bytes();
    file[11..19].copy_from_slice(&end);
    file
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("pack");
    encoder.finish().expect("pack")
}

/// One partition as the original knew it.
struct Partition<'a> {
    site: &'a Site,
    topic: &'a str,
    number: i32,
}

impl Partition<'_> {
    fn mak(&self, offsets: std::ops::Range<u64>) -> Vec<u8> {
        mak(self.topic, self.number, offsets.start, offsets)
    }

    fn name(&self, offsets: &std::ops::Range<u64>) -> String {
        let (topic, number) = (self.topic, self.number);
        format!(
            "{topic}/{number}/{topic}-{number}_{}-{}_160811.mak",
            offsets.start,
            offsets.end - 1
        )
    }

    /// Puts `bytes` as the finished file of `offsets` into a directory of the original.
    fn finished(&self, dir: &str, end: &str, offsets: std::ops::Range<u64>, bytes: &[u8]) {
        let path = self.site.spool().join(dir).join(self.name(&offsets) + end);
        put(&path, bytes);
    }

    /// Puts `bytes` as the file in progress.
    fn in_progress(&self, bytes: &[u8]) {
        put(&self.in_progress_path(), bytes);
    }

    fn in_progress_path(&self) -> PathBuf {
        let dir = self.site.spool().join("inprogress").join(self.topic);
        dir.join(self.number.to_string()).join("data.mak")
    }

    /// Puts an object into the archive.
    fn object(&self, offsets: std::ops::Range<u64>, bytes: &[u8]) {
        put(&self.object_path(offsets), bytes);
    }

    fn object_path(&self, offsets: std::ops::Range<u64>) -> PathBuf {
        self.site.originals().join(self.name(&offsets) + ".gz")
    }

    /// Offsets in all of the original's objects, with how often each is there.
    #[track_caller]
    fn archived(&self) -> BTreeMap<u64, usize> {
        let dir = self.site.originals().join(self.topic).join(self.number.to_string());
        let mut found = BTreeMap::new();
        for path in files(&dir) {
            for (offset, text) in records(&fs::read(&path).expect("an object")) {
                assert_eq!(text, value(self.number, offset), "{}", path.display());
                *found.entry(offset).or_default() += 1;
            }
        }
        found
    }

    /// The original's objects hold these records, each once.
    #[track_caller]
    fn expect_archived(&self, offsets: std::ops::Range<u64>) {
        let expected: BTreeMap<_, _> = offsets.map(|offset| (offset, 1)).collect();
        assert_eq!(self.archived(), expected);
    }

    fn first(&self) -> u64 {
        let path = self.site.chain_record(self.topic, self.number);
        let text = fs::read(path).expect("chain.json");
        let record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        record["first"].as_u64().expect("first")
    }
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("create a directory");
    fs::write(path, bytes).expect("write a file");
}

/// Reads a packed version 1 file to its end pointer.
fn records(packed: &[u8]) -> Vec<(u64, String)> {
    fn number(bytes: &[u8], at: &mut usize) -> u64 {
        let number = bytes[*at..*at + 8].try_into().expect("eight bytes");
        *at += 8;
        u64::from_be_bytes(number)
    }
    let mut file = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut file).expect("gzip");
    assert_eq!(file[..3], *b"MAK");
    let mut at = 11;
    let end = usize::try_from(number(&file, &mut at)).expect("small");
    at += 8 + usize::try_from(number(&file, &mut at.clone())).expect("small");
    let mut found = Vec::new();
    while at < end {
        assert_eq!(number(&file, &mut at), 0, "no key");
        let length = usize::try_from(number(&file, &mut at)).expect("small");
        let text = String::from_utf8(file[at..at + length].to_vec()).expect("text");
        at += length;
        found.push((number(&file, &mut at), text));
    }
    assert_eq!(at, end);
    found
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every file that the original left in the working directory.
fn leftovers(site: &Site) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in ["tocompress", "tos3", "data", "inprogress"] {
        found.extend(files(&site.spool().join(dir)));
    }
    // What our consumers write lies there, too, without directories of topics.
    found.retain(|path| path.parent() != Some(&site.spool().join("inprogress")));
    found
}

/// A host that was killed in the middle of everything: each shape that a partition's files can
/// have, in the order of their offsets; then what is only in Kafka. Offsets 0 to 99.
fn a_host_of_all_shapes(partition: &Partition<'_>) {
    let packed = |offsets| gzip(&partition.mak(offsets));
    // Archived, and died before it was removed here; archived and removed.
    partition.object(0..10, &packed(0..10));
    partition.finished("tos3", ".gz", 0..10, &packed(0..10));
    partition.object(10..20, &packed(10..20));
    // Waits to go up.
    partition.finished("tos3", ".gz", 20..30, &packed(20..30));
    // gzip had begun; gzip was ready, but the file was not moved on.
    partition.finished("tocompress", "", 30..40, &partition.mak(30..40));
    partition.finished("tocompress", ".gz", 30..40, &packed(30..40)[..40]);
    partition.finished("tocompress", ".gz", 40..50, &packed(40..50));
    // Moved by the rotate tool.
    partition.finished("data/tocompress", "", 50..60, &partition.mak(50..60));
    partition.finished("data/tos3", ".gz", 60..70, &packed(60..70));
    // In the middle of a write.
    let mut torn = partition.mak(70..80);
    put_record(&mut torn, 80, &value(partition.number, 80));
    torn.truncate(torn.len() - 9);
    partition.in_progress(&torn);
}

/// All shapes in partition 0; in partition 1 offsets 0 to 4, and behind them a damaged file, a file
/// in progress without a record, and one that is nobody's.
pub(crate) fn leave_all_shapes(site: &Site, topic: &str) {
    a_host_of_all_shapes(&Partition { site, topic, number: 0 });
    let second = Partition { site, topic, number: 1 };
    second.finished("tos3", ".gz", 0..5, &gzip(&second.mak(0..5)));
    second.finished("tocompress", ".gz", 5..8, &gzip(&second.mak(5..8))[..60]);
    second.in_progress(&second.mak(5..5));
    put(&site.spool().join("tos3/readme"), b"hello");
}

/// The archive has what [`leave_all_shapes`] left, once, and nothing is left but what is nobody's.
#[track_caller]
pub(crate) fn expect_all_shapes(site: &Site, topic: &str) {
    for (number, end) in [(0, 80), (1, 5)] {
        let partition = Partition { site, topic, number };
        partition.expect_archived(0..end);
        assert_eq!(partition.first(), end);
    }
    assert_eq!(leftovers(site), [site.spool().join("tos3/readme")]);
    let aside = files(&site.spool().join("quarantine/original"));
    let damaged = |path: &&PathBuf| path.extension().is_some_and(|end| end == "gz");
    assert_eq!(aside.iter().filter(damaged).count(), 1, "{aside:?}");
}

#[test]
fn a_host_is_taken_over_and_nothing_is_lost_or_doubled() {
    let mut site = Site::new("takeover");
    // Chains and the original's objects side by side, as with the default.
    site.archive_to_prefix("kafkatos3");
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce(&site, &topic, 1, 100);
    // By a timer, whatever became of the records.
    site.admin.commit(site.group(), &topic, 0, 90);
    let partition = Partition { site: &site, topic: &topic, number: 0 };
    a_host_of_all_shapes(&partition);

    let log = site.run_to_end().expect(0).log;
    assert!(log.contains("6 files of the original kafkatos3 archived, 1 were archived"), "{log}");
    partition.expect_archived(0..80);
    assert_eq!(partition.first(), 80);
    assert!(leftovers(&site).is_empty());
    expected.retain(|_, _, offset| offset >= 80);
    site.check_with_offsets(&expected);

    // The second start finds nothing to take over.
    let objects = files(&site.originals());
    let log = site.run_to_end().expect(0).log;
    assert!(!log.contains("takeover0"), "{log}");
    assert_eq!(files(&site.originals()), objects);
    site.check_with_offsets(&expected);
    reads_as_one(&site, &topic);
}

/// What the original archived and the chain behind it are read as one partition, and verified.
fn reads_as_one(site: &Site, topic: &str) {
    let config = site.config_file();
    let run = |command: &str, rest: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
        let output = program.arg(command).arg(&config).arg(topic).args(rest).output();
        let output = output.expect("run it");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{command} {rest:?}: {said}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let lines = |offsets: std::ops::Range<u64>| {
        offsets
            .map(|offset| format!("{offset} {}", value(0, offset)))
            .collect::<Vec<_>>()
            .join("\n")
    };
    for (slice, expected) in [
        (&[][..], 0..100),
        (&["-o", "75", "-c", "10"], 75..85),
        (&["-o", "-21"], 79..100),
        (&["-o", "85"], 85..100),
        (&["-c", "3"], 0..3),
    ] {
        let printed = run("cat", &[slice, &["-f", "%o %s\\n"]].concat());
        assert_eq!(printed.trim_end(), lines(expected), "{slice:?}");
    }
    let verified = run("verify", &[]);
    assert!(verified.contains(&format!("{topic}/0 (original)")), "{verified}");
    let listed: Vec<_> = run("ls", &[]).lines().map(str::to_owned).collect();
    assert_eq!(listed.len(), 4, "{listed:#?}");
    let fields: Vec<_> = listed[1].split_whitespace().skip(2).take(3).collect();
    assert_eq!(fields, ["0", "80", "-"], "{listed:#?}");
}

/// An upload of an object under the original's names.
fn is_originals(seen: &Seen) -> bool {
    seen.is_upload() && seen.path.contains("/kafkatos3/")
}

fn count(site: &Site, outcome: Outcome) -> usize {
    site.store.seen(|seen| is_originals(seen) && seen.outcome == outcome).len()
}

#[test]
fn a_takeover_may_be_killed_wherever_it_is() {
    let mut site = Site::new("takeover-kill");
    let topic = site.topic("t", 2, &[]);
    let mut expected = produce(&site, &topic, 2, 100);
    let partitions = [0, 1].map(|number| Partition { site: &site, topic: &topic, number });
    partitions.iter().for_each(a_host_of_all_shapes);
    let before = leftovers(&site).len();

    // The original is still there: nothing is touched, and nobody else starts.
    let held = fs::File::open(partitions[1].in_progress_path()).expect("the file in progress");
    held.lock().expect("lock it");
    let run = site.start();
    await_that("the takeover to wait", || run.log().contains("the original kafkatos3 still runs"));
    assert!(run.workers(Role::Consumer).is_empty());
    assert!(partitions[0].in_progress_path().exists());

    // It goes; one of two chains is begun when everything is killed.
    let second = format!("{topic}/000001/chain.json");
    let watched = second.clone();
    site.store.rule(move |seen| {
        let begins = seen.method == "PUT" && seen.path.contains(&watched);
        if begins { Action::Hold } else { Action::Pass }
    });
    drop(held);
    let begins = move |seen: &Seen| seen.path.contains(&second) && seen.outcome == Outcome::Held;
    await_that("the second chain's beginning", || !site.store.seen(&begins).is_empty());
    assert!(run.workers(Role::Consumer).is_empty());
    run.kill_supervisor();
    drop(run);
    assert_eq!(partitions[0].first(), 80);
    assert_eq!(leftovers(&site).len(), before);

    // An upload under way, and the worker is killed.
    site.store.rule(|seen| if is_originals(seen) { Action::Hold } else { Action::Pass });
    let run = site.start();
    await_that("an upload", || count(&site, Outcome::Held) > 0);
    run.worker(Role::Consumer);
    run.kill_worker(Role::Takeover);
    await_that("loss of the upload", || count(&site, Outcome::Abandoned) > 0);

    // An upload that took place, whose answer nobody saw.
    site.store.rule(|seen| if is_originals(seen) { Action::HoldAnswer } else { Action::Pass });
    let taken = partitions[0].object_path(20..30);
    await_that("the object", || taken.exists());
    await_that("its answer", || count(&site, Outcome::Held) > 0);
    run.kill_supervisor();
    drop(run);
    site.store.pass();
    let left = leftovers(&site);
    assert!(left.len() < before, "{left:#?}");

    let log = site.run_to_end().expect(0).log;
    assert!(log.contains("0 set aside") && log.contains("0 left"), "{log}");
    for partition in &partitions {
        partition.expect_archived(0..80);
        assert_eq!(partition.first(), 80);
    }
    assert!(leftovers(&site).is_empty());
    expected.retain(|_, _, offset| offset >= 80);
    site.check_with_offsets(&expected);
}

#[test]
fn whatever_lies_there_is_archived_or_named() {
    let mut site = Site::new("takeover-shapes");
    site.archive_to_directory();
    let topic = site.topic("t", 9, &[]);
    let mut expected = produce(&site, &topic, 9, 8);
    let topic = topic.as_str();
    let of = |number| Partition { site: &site, topic, number };
    // No record, one record, half a record; killed while the file was begun.
    of(0).in_progress(&of(0).mak(5..5));
    of(1).in_progress(&of(1).mak(5..6));
    let mut half = of(2).mak(5..5);
    put_record(&mut half, 5, "half");
    half.truncate(half.len() - 6);
    of(2).in_progress(&half);
    let mut begun = of(3).mak(5..5);
    begun[11..19].fill(0);
    of(3).in_progress(&begun);
    site.admin.commit(site.group(), topic, 3, 4);
    // The last file is damaged: Kafka still has its records.
    of(4).finished("tos3", ".gz", 0..5, &gzip(&of(4).mak(0..5)));
    of(4).finished("tocompress", ".gz", 5..8, &gzip(&of(4).mak(5..8))[..60]);
    // Another object stands in its place.
    let other = gzip(&of(5).mak(0..4));
    of(5).finished("tos3", ".gz", 0..5, &gzip(&of(5).mak(0..5)));
    of(5).object(0..5, &other);
    // Only the archive knows of it: more than the group has committed.
    of(6).object(0..6, &gzip(&of(6).mak(0..6)));
    site.admin.commit(site.group(), topic, 6, 2);
    // A topic that was created again, and one that is gone.
    of(7).finished("tos3", ".gz", 0..100, &gzip(&of(7).mak(0..100)));
    let gone = Partition { site: &site, topic: "takeover-shapes-gone", number: 3 };
    gone.finished("tos3", ".gz", 0..10, &gzip(&gone.mak(0..10)));
    gone.in_progress(&gone.mak(10..12));
    // Not the original's.
    put(&site.spool().join("tos3/readme"), b"hello");

    let log = site.run_to_end().expect(75).log;
    let firsts = [0, 1, 2, 3, 4, 5, 6, 8].map(|number| of(number).first());
    assert_eq!(firsts, [5, 6, 5, 4, 5, 5, 6, 0]);
    of(1).expect_archived(5..6);
    of(4).expect_archived(0..5);
    gone.expect_archived(0..12);
    assert_eq!(fs::read(of(5).object_path(0..5)).expect("the object"), other);
    assert!(log.contains("5_0-4_160811.mak.gz: it has no record at offset 4"), "{log}");
    assert!(log.contains("t-4_5-7_160811.mak.gz\": it does not read"), "{log}");
    let ahead = format!("{topic}-7: the original's files reach to offset 100");
    assert!(log.contains(&ahead) && log.contains("not archived: takeover-shapes-t-7"), "{log}");
    assert!(log.contains("1 files are none of the original's") && log.contains("readme"), "{log}");
    let left = leftovers(&site);
    assert_eq!(left.len(), 2, "{left:?}");
    let aside = site.spool().join("quarantine/original");
    assert_eq!(files(&aside).len(), 2, "the damaged file and why");

    // The operator moves the foreign object away, and says that the topic was created again.
    remove(&of(5).object_path(0..5));
    site.set("consumer", "on_topic_recreated", "new_chain");
    let of = |number| Partition { site: &site, topic, number };
    site.run_to_end().expect(0);
    of(5).expect_archived(0..5);
    assert_eq!(of(7).first(), 0);
    let begins = [5, 6, 5, 4, 5, 5, 6, 0, 0];
    expected.retain(|_, number, offset| offset >= begins[usize::try_from(number).expect("small")]);
    site.check_with_offsets(&expected);

    // What overlaps a chain is the chain's already.
    let objects = files(&site.originals());
    of(0).finished("tos3", ".gz", 4..7, &gzip(&of(0).mak(4..7)));
    let log = site.run_to_end().expect(0).log;
    assert!(log.contains("the chain of takeover-shapes-t-0 begins at 5 and holds"), "{log}");
    assert_eq!(files(&site.originals()), objects);
    assert_eq!(files(&aside).len(), 4);
    assert_eq!(leftovers(&site), [site.spool().join("tos3/readme")]);
}

#[expect(clippy::disallowed_methods, reason = "what an operator does")]
fn remove(path: &Path) {
    fs::remove_file(path).expect("remove a file");
}
