//! Bad input: each says what is wrong, ends with the code for it, and loses nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::archive::produce_odd;
use crate::harness::Site;
use crate::servers::run_dir;

fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(program).args(arguments).output().expect("run the program");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

fn kafkatos3(arguments: &[&str]) -> (Option<i32>, String, String) {
    run(env!("CARGO_BIN_EXE_kafkatos3"), arguments)
}

fn parse(file: &Path) -> (Option<i32>, String, String) {
    run(env!("CARGO_BIN_EXE_kafkatos3_parse"), &[file.to_str().expect("a UTF-8 path")])
}

fn scratch(name: &str, content: impl AsRef<[u8]>) -> String {
    let path = run_dir().join(name);
    fs::write(&path, content).expect("write a file");
    path.into_os_string().into_string().expect("a UTF-8 path")
}

#[test]
fn a_configuration_that_is_missing_or_unreadable() {
    for path in ["/nowhere/kafkatos3.cfg", "/proc"] {
        let (code, _, errors) = kafkatos3(&[path]);
        assert_eq!(code, Some(66), "{errors}");
        assert!(errors.contains(path), "{errors}");
    }
}

#[test]
fn a_configuration_with_mistakes_names_all_of_them() {
    let text = "[main]\nworking_directory = /tmp/x\nspool_max_bytes = plenty\n\
                [consumer]\nkafka_bootstrop = x:9092\ntopic_whitelist = ^(\n";
    let path = scratch("mistakes.cfg", text);
    for arguments in [&["check", &path][..], &[&path]] {
        let (code, output, errors) = kafkatos3(arguments);
        assert_eq!(code, Some(78), "{output}{errors}");
        let said = output + &errors;
        for what in ["spool_max_bytes", "plenty", "kafka_bootstrop", "kafka_bootstrap"] {
            assert!(said.contains(what), "{what} is not named: {said}");
        }
    }
}

#[test]
fn no_such_broker() {
    let mut site = Site::new("no-broker");
    site.set("consumer", "kafka_bootstrap", "127.0.0.1:1");
    site.set("consumer", "topic_whitelist", "t");
    let log = site.run_to_end().expect(69).log;
    assert!(log.contains("127.0.0.1:1"), "{log}");
}

#[test]
fn wrong_keys_and_wrong_bucket() {
    let mut site = Site::new("wrong-keys");
    let topic = site.topic("t", 1, &[]);
    let expected = produce_odd(&site, &topic, 1, 10);
    let mut wrong = site.twin();
    wrong.set("s3", "s3_secret_key", "not-the-secret");
    let log = wrong.run_to_end().expect(77).log;
    assert!(log.contains("wrong-keys"), "the bucket is not named: {log}");
    assert!(!log.contains("not-the-secret"), "{log}");
    wrong = site.twin_named("bucket");
    wrong.set("s3", "s3_bucket_name", "no-such-bucket");
    let log = wrong.run_to_end().expect(78).log;
    assert!(log.contains("no-such-bucket"), "{log}");

    site.run_to_end().expect(0);
    site.check_with_offsets(&expected);
}

#[test]
fn a_working_directory_that_cannot_be() {
    let mut site = Site::new("no-directory");
    site.set("consumer", "topic_whitelist", "t");
    let path = scratch("not-a-directory", "") + "/spool";
    site.set("main", "working_directory", &path);
    let log = site.run_to_end().expect(73).log;
    assert!(log.contains(&path), "{log}");
}

#[test]
fn files_that_are_no_mak_files() {
    let mut site = Site::new("bad-files");
    site.archive_to_directory();
    let topic = site.topic("t", 1, &[]);
    produce_odd(&site, &topic, 1, 2000);
    site.run_to_end().expect(0);
    let good = site.object_path(&topic, 0, 0);
    let (code, output, errors) = parse(&good);
    assert_eq!(code, Some(0), "{errors}");
    let whole = output.matches("Processing message").count();
    assert_eq!(whole, 2000);

    let bytes = fs::read(&good).expect("read an object");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 0x10;
    for (name, content) in [
        ("empty.mak", &b""[..]),
        ("foreign.mak.gz", b"PK\x03\x04 not ours"),
        ("cut.mak.gz", &bytes[..bytes.len() / 2]),
        ("flipped.mak.gz", &flipped),
    ] {
        let path = scratch(name, content);
        let (code, output, errors) = parse(Path::new(&path));
        assert_eq!(code, Some(65), "{name}: {errors}");
        assert!(errors.contains(&path), "{name}: {errors}");
        assert!(output.matches("Processing message").count() < whole, "{name}");
    }
    let (code, _, errors) = parse(Path::new("/nowhere/file.mak"));
    assert_eq!(code, Some(66), "{errors}");
    assert!(errors.contains("/nowhere/file.mak"), "{errors}");
}
