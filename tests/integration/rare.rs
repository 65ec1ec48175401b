//! What happens seldom: each test asserts that it did happen, and that nothing was lost.

mod operation;
mod start;
mod trouble;
mod ways_out;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::archive::{produce_bulk, produce_odd};
use crate::harness::{Producer, Record, Running, Site, await_that};
use crate::servers::{Action, Outcome, Seen};

/// A site whose files are closed by size or a signal only, and which stops without waiting.
fn patient_site(name: &str) -> Site {
    let mut site = Site::new(name);
    site.set("consumer", "max_age_seconds", 3600);
    site.set("main", "shutdown_timeout", 1);
    site
}

fn refuse_uploads(site: &Site) {
    site.store.rule(|seen| if seen.is_upload() { Action::Refuse(403) } else { Action::Pass });
}

fn refused(site: &Site) -> usize {
    site.store.seen(|seen| seen.is_upload() && seen.outcome == Outcome::Answered(403)).len()
}

/// Waits until the log says this.
#[track_caller]
fn await_word(run: &Running, word: &str) {
    await_that(&format!("\"{word}\" in the log"), || run.log().contains(word));
}

/// Turns a bit in the middle of a file over, in place.
pub(crate) fn flip(path: &Path) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::options().read(true).write(true).open(path).expect("open the file");
    let middle = file.metadata().expect("its length").len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).expect("read a byte");
    file.write_all_at(&[byte[0] ^ 0x10], middle).expect("write a byte");
}

fn quarantined(run: &Running) -> Vec<PathBuf> {
    run.spool_files("quarantine").into_iter().map(|(path, _)| path).collect()
}

/// The file `name` lies in quarantine, with what is wrong beside it.
fn assert_quarantined(run: &Running, name: &str) {
    let files = quarantined(run);
    let file = files.iter().find(|path| path.ends_with(name));
    let file = file.unwrap_or_else(|| panic!("{name} is not in quarantine: {files:?}"));
    let why = fs::read_to_string(format!("{}.why", file.display())).expect("read the reason");
    assert!(!why.trim().is_empty(), "no reason");
    let log = run.log();
    assert!(log.contains(name) && log.contains("quarantine"), "{log}");
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn a_damaged_rotated_file_goes_to_quarantine_and_is_read_again() {
    let mut site = patient_site("quarantine-rotated");
    site.set("consumer", "max_file_bytes", "1MiB");
    site.set("compression", "compressor_workers", 0);
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 500);
    let run = site.start();
    await_that("rotated files", || run.spool_files("rotated").len() >= 3);
    let mut files = run.spool_files("rotated");
    files.sort();
    let damaged = files[1].0.clone();
    flip(&damaged);
    run.stop().expect(75);
    assert!(damaged.exists());

    site.set("compression", "compressor_workers", 1);
    let run = site.start();
    await_that("the file in quarantine", || quarantined(&run).len() == 2);
    assert_quarantined(&run, &name_of(&damaged));
    run.stop();
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "somebody removes a file")]
fn a_closed_file_that_somebody_removes_is_missed_and_read_again() {
    let mut site = patient_site("missed");
    site.set("compression", "compressor_workers", 0);
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 50);
    let run = site.start();
    await_that("a file in progress", || !run.spool_files("inprogress").is_empty());
    run.signal(Signal::SIGUSR1);
    await_that("a closed file", || run.spool_files("rotated").len() == 1);
    for (path, _) in run.spool_files("rotated") {
        fs::remove_file(path).expect("remove a file");
    }
    await_word(&run, "its closed files are gone from the spool");
    run.stop();

    site.set("compression", "compressor_workers", 1);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_damaged_packed_file_goes_to_quarantine_and_is_read_again_at_once() {
    let mut site = patient_site("quarantine-packed");
    site.set("consumer", "max_file_bytes", "1MiB");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_bulk(&site, &topic, 500);
    refuse_uploads(&site);
    let run = site.start();
    await_that("refused uploads", || refused(&site) > 0);
    await_that("packed files", || run.spool_files("compressed").len() >= 4);
    let mut files = run.spool_files("compressed");
    files.sort();
    for (damaged, _) in &files[..2] {
        flip(damaged);
    }
    await_that("both in quarantine", || quarantined(&run).len() == 4);
    for (damaged, _) in &files[..2] {
        assert_quarantined(&run, &name_of(damaged));
    }
    site.store.pass();
    let committed = || site.admin.committed(site.group(), &[(topic.clone(), 1)]);
    await_that("the rest in the archive", || {
        run.signal(Signal::SIGUSR1);
        committed().values().any(|partitions| partitions.get(&0) == Some(&500))
    });
    let log = run.stop().expect(0).log;
    assert!(log.contains("going back to"), "{log}");
    site.check_with_offsets(&expected);
}

/// The JSON lines that a program prints about an object.
fn lines(program: &mut Command) -> Vec<Value> {
    let output = program.output().expect("run a reader");
    assert!(output.status.success(), "{program:?}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What a reader of version 1 finds: bytes that are not UTF-8 in base64, no null.
fn as_version_1(topic: &str, offset: usize, record: &Record) -> Value {
    let mut line = json!({ "topic": topic, "partition": 0, "offset": offset });
    for (name, bytes) in [("key", &record.key), ("payload", &record.value)] {
        let bytes = bytes.clone().unwrap_or_default();
        let (name, text) = match String::from_utf8(bytes) {
            Ok(text) => (name.to_owned(), text),
            Err(error) => (format!("{name}_b64"), STANDARD.encode(error.as_bytes())),
        };
        line[name] = text.into();
    }
    line
}

#[test]
fn files_of_version_1() {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("mak-example/read_mak.py");
    for compression in ["gzip", "zstd", "none"] {
        let mut site = Site::new(&format!("version-1-{compression}"));
        site.set("consumer", "mak_version", 1);
        site.set("consumer", "max_file_bytes", "64KiB");
        site.set("compression", "compression", compression);
        let topic = site.topic("t", 1, &[]);
        let records: Vec<_> = (0..3000).map(|index| Record::odd(1, index)).collect();
        Producer::new(&site.bootstrap).send(&topic, 0, records.clone());
        site.run_to_end().expect(0);

        let (mut read, mut parsed) = (Vec::new(), Vec::new());
        let count = site.objects(&topic, 0).len();
        assert!(count > 1, "{count} objects");
        for index in 0..count {
            let object = site.object_path(&topic, 0, index);
            read.extend(lines(Command::new("python3").arg(&reader).arg(&object)));
            let parse = env!("CARGO_BIN_EXE_kafkatos3_parse");
            parsed.extend(lines(Command::new(parse).arg("--json").arg(&object)));
        }
        let number = |(offset, record)| as_version_1(&topic, offset, record);
        let expected: Vec<_> = records.iter().enumerate().map(number).collect();
        assert!(read == expected, "{compression}: read_mak.py finds something else");
        assert!(parsed == expected, "{compression}: kafkatos3_parse finds something else");
        let committed = site.admin.committed(site.group(), &[(topic.clone(), 1)]);
        assert_eq!(committed[&topic][&0], 3000);
    }
}

#[test]
fn a_file_older_than_the_deadline_is_dropped_and_read_again() {
    let mut site = Site::new("deadline");
    site.set("archive", "publish_deadline", 3);
    let topic = site.topic("t", 1, &[]);
    let mut expected = produce_odd(&site, &topic, 1, 500);
    refuse_uploads(&site);
    let run = site.start();
    await_that("refused uploads", || refused(&site) > 1);
    await_word(&run, "dropped: rotated longer ago than publish_deadline");
    await_word(&run, "older than publish_deadline");
    assert!(site.objects(&topic, 0).is_empty());
    site.store.pass();
    expected.merge(produce_odd(&site, &topic, 1, 500));
    await_that("an object", || !site.objects(&topic, 0).is_empty());
    run.stop().expect(0);
    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_directory_whose_compression_changes_twice() {
    let mut site = Site::new("directory-seals");
    site.archive_to_directory();
    let topic = site.topic("t", 2, &[]);
    let mut expected = produce_odd(&site, &topic, 2, 500);
    for (compression, seals) in [("none", 0), ("zstd", 1), ("gzip", 2)] {
        site.set("compression", "compression", compression);
        if seals > 0 {
            expected.merge(produce_odd(&site, &topic, 2, 500));
        }
        site.run_to_end().expect(0);
        let sum = site.check_with_offsets(&expected);
        assert!(sum.contains(&format!(" {} seals", 2 * seals)), "{sum}");
    }
    assert!(site.store.seen(Seen::is_upload).is_empty());
    let names = site.objects(&topic, 1);
    for suffix in [".mak", ".mak.zst", ".mak.gz"] {
        assert!(names.iter().any(|name| name.ends_with(suffix)), "{names:?}");
    }
}
