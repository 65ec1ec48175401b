//! The catalogue in real databases: a row for each archived file, whatever happened to the database.

use std::fs;
use std::process::{Command, Output};

use crate::archive::produce_odd;
use crate::harness::Site;
use crate::servers::{Database, run_dir};

const ROWS: &str = "SELECT \"topic\", \"partition\", \"startOffset\", \"finalOffset\", \"byteSize\", \"md5Hash\" \
                    FROM kafka_store ORDER BY \"topic\", \"partition\", \"startOffset\"";

/// What the table has to hold: from the names, sizes and bytes of the files, and where each
/// partition ends.
fn expected(site: &Site, topics: &[(&str, &[u64])]) -> Vec<String> {
    let mut rows = Vec::new();
    for (topic, tips) in topics {
        for (partition, tip) in (0..).zip(*tips) {
            let files = site.objects(topic, partition);
            let start = |name: &String| name.split('.').next().and_then(|s| s.parse::<u64>().ok());
            let starts: Vec<u64> = files.iter().filter_map(start).collect();
            for (at, first) in starts.iter().enumerate() {
                let last = starts.get(at + 1).unwrap_or(tip) - 1;
                let path = site.object_path(topic, partition, at);
                let length = fs::metadata(&path).expect("a file").len();
                let sum = Command::new("md5sum").arg(&path).output().expect("run md5sum");
                let sum = String::from_utf8(sum.stdout).expect("text");
                let sum = sum.split(' ').next().expect("a sum");
                rows.push(format!("{topic}|{partition}|{first}|{last}|{length}|{sum}"));
            }
        }
    }
    rows
}

fn sync(site: &Site, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kafkatos3"))
        .args(["catalog", "sync"])
        .args(options)
        .arg(site.write_config())
        .output()
        .expect("run kafkatos3")
}

#[track_caller]
fn synced(site: &Site, options: &[&str]) -> String {
    let Output { status, stdout, stderr } = sync(site, options);
    let (said, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{said}{errors}");
    format!("{errors}{said}")
}

#[test]
fn each_database_has_a_row_for_each_file() {
    let mut site = Site::new("catalog-all");
    site.archive_to_directory();
    site.set("consumer", "max_file_bytes", "16KiB");
    let topic = site.topic("t", 2, &[]);
    produce_odd(&site, &topic, 2, 400);
    let live = Database::sqlite("catalog-all");
    site.set("catalog", "url", &live.url);
    site.run_to_end().expect(0);
    let files = expected(&site, &[(&topic, &[400, 400])]);
    assert!(files.len() > 4, "rotation by size: {files:?}");
    assert_eq!(live.ask(ROWS), files, "entered by uploaders");

    for (name, database) in [("MariaDB", Database::mariadb()), ("PostgreSQL", Database::postgres())]
    {
        let Some(database) = database else {
            eprintln!("skipped: {name} is not installed; scripts/setup --tests installs it");
            continue;
        };
        site.set("catalog", "url", &database.url);
        synced(&site, &[]);
        assert_eq!(database.ask(ROWS), files, "{name}");
        let said = synced(&site, &[]);
        assert!(said.contains(" 0 entered, 0 of no file"), "{name}: {said}");
        // Wrong, missing, one too many: a whole partition of it.
        database.ask(
            "UPDATE kafka_store SET \"byteSize\" = 1, \"md5Hash\" = 'x' WHERE \"startOffset\" = 0",
        );
        database.ask("DELETE FROM kafka_store WHERE \"partition\" = 1 AND \"startOffset\" > 0");
        database.ask(
            "INSERT INTO kafka_store SELECT 'gone', \"partition\", \"startOffset\", \"finalOffset\", \
             \"byteSize\", \"md5Hash\", \"time\" FROM kafka_store WHERE \"partition\" = 0",
        );
        let before = database.ask(ROWS);
        let said = synced(&site, &["--dry-run"]);
        assert!(
            said.contains("gone 0: the row of 0 is of no archived file: would be removed"),
            "{said}"
        );
        assert_eq!(database.ask(ROWS), before, "{name}: a dry run");
        let said = synced(&site, &["--keep"]);
        assert!(said.contains("left there") && database.ask(ROWS).len() > files.len(), "{said}");
        synced(&site, &[]);
        assert_eq!(database.ask(ROWS), files, "{name}");
    }
}

#[test]
fn a_database_that_is_away_neither_stops_nor_loses_anything() {
    let mut site = Site::new("catalog-away");
    site.archive_to_directory();
    site.set("consumer", "max_file_bytes", "16KiB");
    let topic = site.topic("t", 1, &[]);
    let database = Database::sqlite("catalog-away");
    site.set("catalog", "url", &database.url);
    let mut sent = produce_odd(&site, &topic, 1, 300);
    site.run_to_end().expect(0);

    let place = run_dir().join("catalog-away.sqlite");
    let away = run_dir().join("catalog-away.gone");
    #[expect(clippy::disallowed_methods, reason = "stands for a database that is down")]
    fs::rename(&place, &away).expect("take it away");
    fs::create_dir(&place).expect("put something in its way");
    sent.merge(produce_odd(&site, &topic, 1, 300));
    let log = site.run_to_end().expect(0).log;
    assert!(log.contains("rows wait, archiving goes on"), "{log}");

    fs::remove_dir(&place).expect("clear the way");
    #[expect(clippy::disallowed_methods, reason = "and is there again")]
    fs::rename(&away, &place).expect("bring it back");
    sent.merge(produce_odd(&site, &topic, 1, 300));
    site.run_to_end().expect(0);
    site.check_with_offsets(&sent);
    assert_eq!(database.ask(ROWS), expected(&site, &[(&topic, &[900])]));
}

#[test]
fn what_is_wrong_with_a_catalogue_is_said_without_its_password() {
    let mut site = Site::new("catalog-wrong");
    site.set("consumer", "topic_whitelist", "t");
    site.archive_to_directory();
    fs::create_dir_all(site.archive_path()).expect("an empty archive");
    let output = sync(&site, &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no [catalog] url"));
    let port = dead_port();
    site.set("catalog", "url", format!("postgres://anna:hunter2@127.0.0.1:{port}/archive"));
    let output = sync(&site, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    let begins = format!("error: postgres://127.0.0.1:{port}/archive: not available: ");
    assert!(said.starts_with(&begins) && !said.contains("hunter2"), "{said}");
    site.set("catalog", "url", "oracle://h/d");
    assert_eq!(sync(&site, &[]).status.code(), Some(78));
}

#[test]
fn check_looks_at_the_database_and_makes_nothing() {
    let mut site = Site::new("catalog-check");
    site.archive_to_directory();
    site.topic("t", 1, &[]);
    let database = Database::sqlite("catalog-check");
    site.set("catalog", "url", &database.url);
    assert_eq!(catalog_line(&site), ["ok", "will be made at start"]);
    assert!(!run_dir().join("catalog-check.sqlite").exists(), "it was made");
    fs::create_dir_all(site.archive_path()).expect("an empty archive");
    synced(&site, &[]);
    assert_eq!(catalog_line(&site), ["ok", "has the table kafka_store"]);
    site.set("catalog", "url", "sqlite:///no/such/directory/archive.sqlite");
    assert_eq!(catalog_line(&site)[0], "fail");
    site.set(
        "catalog",
        "url",
        format!("postgres://anna:hunter2@127.0.0.1:{}/archive", dead_port()),
    );
    assert_eq!(catalog_line(&site)[0], "warn");
}

/// Verdict and finding of `check --connect` about the catalogue.
fn catalog_line(site: &Site) -> [String; 2] {
    let output = Command::new(env!("CARGO_BIN_EXE_kafkatos3"))
        .args(["check", "--connect", "--json"])
        .arg(site.write_config())
        .output()
        .expect("run kafkatos3");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("hunter2"), "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let checks = report["checks"].as_array().expect("checks");
    let line =
        checks.iter().find(|line| line["area"] == "catalog").expect("a line of the catalogue");
    ["verdict", "found"].map(|key| line[key].as_str().expect("text").to_owned())
}

/// A port at which nobody is.
fn dead_port() -> u16 {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    dead.local_addr().expect("its address").port()
}
