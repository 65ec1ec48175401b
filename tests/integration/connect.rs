//! `kafkatos3 check --connect`: what it says of brokers, store and machine, as they should be and
//! as they are.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};

use crate::archive::produce_odd;
use crate::harness::{Disk, Role, Site, await_that};
use crate::servers::{Action, Outcome, PASSWORD, SECRET_KEY, Seen, USER, kafka, run_dir};

/// What came of one run.
#[derive(Debug)]
struct Checked {
    code: Option<i32>,
    out: String,
}

/// What is said where something did not answer in time.
const LATE: [&str; 4] =
    ["no answer within", "not done within", "not read in time", "the brokers forget it"];

impl Checked {
    /// Runs it; again, if the machine was so busy that a question's time passed.
    fn of(command: &mut Command) -> Self {
        let mut checked = Self::once(command);
        for _ in 0..3 {
            if LATE.iter().any(|late| checked.out.contains(late)) {
                checked = Self::once(command);
            }
        }
        checked
    }

    fn once(command: &mut Command) -> Self {
        let output = command.env_remove("AWS_PROFILE").output().expect("run it");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let err = text(output.stderr);
        assert!(!err.contains("panicked"), "{err}");
        Self { code: output.status.code(), out: text(output.stdout) + &err }
    }

    /// There is a line of the table with this verdict, area and text.
    #[track_caller]
    fn says(&self, verdict: &str, area: &str, text: &str) -> &Self {
        let begin = format!("{verdict:<4}  {area:<7}  ");
        let found = |line: &str| line.starts_with(&begin) && line.contains(text);
        assert!(self.out.lines().any(found), "no line \"{begin}\" with \"{text}\":\n{}", self.out);
        self
    }

    /// What to do has this text.
    #[track_caller]
    fn advises(&self, text: &str) -> &Self {
        let todo = self.out.split("What to do:\n").nth(1).unwrap_or_default();
        assert!(todo.contains(text), "it does not advise \"{text}\":\n{}", self.out);
        self
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.out);
        self
    }
}

fn command(site: &Site) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
    command.args(["check", "--connect"]).arg(site.write_config());
    command
}

fn check(site: &Site) -> Checked {
    Checked::of(&mut command(site))
}

/// Talks to the listener with TLS and SCRAM, as [`USER`].
fn log_in(site: &mut Site) {
    site.set("consumer", "kafka_bootstrap", &kafka().sasl_ssl);
    for (key, value) in [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", kafka().ca.to_str().expect("a UTF-8 path")),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", USER),
        ("sasl.password", PASSWORD),
    ] {
        site.set("kafka", key, value);
    }
}

#[test]
fn where_all_is_well_it_says_so_and_leaves_nothing() {
    let mut site = Site::new("well");
    let topic = site.topic("t", 3, &[]);
    log_in(&mut site);
    let checked = check(&site);
    checked.ends(0);
    checked
        .says("ok", "broker", "id 1, answers in")
        .says("ok", "login", "SASL_SSL SCRAM-SHA-256")
        .says("ok", "login", "certificate verified")
        .says("ok", "cluster", "1 broker")
        .says("ok", "topic", "3 partitions")
        .says("ok", "right", "topic Read")
        .says("ok", "right", "group Read")
        .says("ok", "group", "deleted again")
        .says("ok", "spool", "will be made in")
        .says("ok", "store", "keeps the contract")
        .says("ok", "right", "s3:ListBucket")
        .says("ok", "right", "s3:PutObject")
        .says("ok", "right", "s3:GetObject")
        .says("ok", "right", "s3:DeleteObject")
        .says("ok", "clock", "0 s apart")
        .says("ok", "archive", "goes on with 0 topics, begins 1");
    assert!(checked.out.ends_with("\n\nall is well\n"), "{}", checked.out);
    assert!(!checked.out.contains(PASSWORD) && !checked.out.contains(SECRET_KEY));
    assert!(!site.spool().exists());
    let counted = |which: fn(&Seen) -> bool| site.store.seen(which).len();
    let created = |seen: &Seen| seen.method == "PUT" && seen.outcome == Outcome::Answered(200);
    let removed = |seen: &Seen| seen.method == "DELETE" && seen.outcome == Outcome::Answered(204);
    assert_eq!(counted(created), counted(removed));
    assert!(site.objects(&topic, 0).is_empty());

    let checked = Checked::of(command(&site).arg("--json"));
    checked.ends(0);
    let json: serde_json::Value = serde_json::from_str(&checked.out).expect("JSON");
    assert_eq!(json["exit"], 0);
    let checks = json["checks"].as_array().expect("a list");
    assert!(checks.iter().all(|check| check["verdict"] == "ok"), "{}", checked.out);
    assert!(checks.iter().any(|check| check["area"] == "broker"), "{}", checked.out);
}

/// Brokers and properties; what is found, what to do, the exit code.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, &'a str, i32);

#[test]
fn wrong_settings_for_the_brokers_are_told_apart() {
    let mut site = Site::new("brokers");
    site.topic("t", 1, &[]);
    let plain = kafka().bootstrap.clone();
    let sasl = kafka().sasl_ssl.clone();
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    // All of them over a login that works.
    let cases: Vec<Case<'_>> = vec![
        (&sasl, vec![("sasl.password", "no")], "refuses the login", "sasl.password", 77),
        (&sasl, vec![("sasl.mechanism", "PLAIN")], "SCRAM-SHA-256", "sasl.mechanism", 78),
        (&sasl, vec![("ssl.ca.location", bundle)], "certificate", "ssl.ca.location", 78),
        (&plain, vec![], "no TLS is spoken", "security.protocol = SASL_PLAINTEXT", 78),
        (
            &plain,
            vec![("security.protocol", "SASL_PLAINTEXT")],
            "has no logins",
            "security.protocol = PLAINTEXT",
            78,
        ),
        (
            &sasl,
            vec![("security.protocol", "PLAINTEXT")],
            "as a listener with TLS does",
            "security.protocol = SSL or SASL_SSL",
            78,
        ),
        (
            &sasl,
            vec![("security.protocol", "SSL")],
            "as a listener with SASL does",
            "security.protocol = SASL_SSL, sasl.mechanism",
            78,
        ),
        ("127.0.0.1:1", vec![], "nobody listens there", "kafka_bootstrap", 69),
        ("nowhere.invalid:9092", vec![], "no such host", "DNS", 69),
        (&sasl, vec![("ssl.ca.location", "/no/such")], "ssl.ca.location", "[kafka]", 78),
    ];
    let cases = cases.into_iter().enumerate().map(|(n, (bootstrap, keys, found, todo, code))| {
        let mut twin = site.twin_named(&n.to_string());
        log_in(&mut twin);
        twin.set("consumer", "kafka_bootstrap", bootstrap);
        for (key, value) in keys {
            twin.set("kafka", key, value);
        }
        (command(&twin), found, todo, code)
    });
    let cases: Vec<_> = cases.collect();
    thread::scope(|scope| {
        for (mut command, found, todo, code) in cases {
            scope.spawn(move || {
                let checked = Checked::of(&mut command);
                checked.ends(code).says("FAIL", "broker", found).advises(todo);
                checked.says("ok", "store", "keeps the contract");
            });
        }
    });
}

#[test]
fn wrong_settings_for_the_store_are_told_apart() {
    let mut site = Site::new("stores");
    site.topic("t", 1, &[]);
    let https = site.store.url.replace("http:", "https:");
    let broker = format!("http://{}", kafka().bootstrap);
    for (n, (key, value, found, todo, code)) in [
        ("s3_secret_key", "no", "SignatureDoesNotMatch", "s3_secret_key", 77),
        ("s3_bucket_name", "no-such", "no such bucket", "create the bucket \"no-such\"", 78),
        ("s3_endpoint", "http://127.0.0.1:1", "can't connect", "s3_endpoint", 69),
        ("s3_endpoint", &https, "tls", "begin [s3] s3_endpoint with http://", 69),
        ("s3_endpoint", &broker, "not available", "s3_endpoint", 69),
    ]
    .into_iter()
    .enumerate()
    {
        let mut twin = site.twin_named(&n.to_string());
        twin.set("s3", key, value);
        let checked = check(&twin);
        checked.ends(code).says("FAIL", "store", found).advises(todo);
        checked.says("ok", "broker", "answers").says("ok", "topic", "1 partition");
        assert!(!checked.out.contains(SECRET_KEY), "{}", checked.out);
    }
}

#[test]
fn each_missing_right_on_the_bucket_is_named() {
    let mut site = Site::new("rights");
    site.topic("t", 1, &[]);
    let lists = |seen: &Seen| seen.path.contains("list-type=2");
    let needs = move |seen: &Seen| match seen.method.as_str() {
        "PUT" => "s3:PutObject",
        "GET" if lists(seen) => "s3:ListBucket",
        "GET" => "s3:GetObject",
        _ => "",
    };
    for action in ["s3:PutObject", "s3:ListBucket", "s3:GetObject"] {
        let rule = move |seen: &Seen| {
            if needs(seen) == action { Action::Refuse(403) } else { Action::Pass }
        };
        site.store.rule(rule);
        let checked = check(&site);
        checked.ends(77).says("FAIL", "right", action).advises(&format!("grant {action} on"));
        checked.says("FAIL", "store", "answers, but refuses something");
    }
    site.store.rule(|seen| match seen.method.as_str() {
        "DELETE" => Action::Refuse(403),
        _ => Action::Pass,
    });
    check(&site).ends(0).says("ok", "right", "not granted, and not needed");
}

#[test]
fn rights_in_kafka_are_looked_at() {
    let mut site = Site::new("acls");
    let [open, unread, unseen] = ["open", "unread", "unseen"].map(|name| site.topic(name, 1, &[]));
    log_in(&mut site);
    kafka().acl("--allow-principal", &["--operation", "Describe", "--topic", &unread]);
    let all = ["--operation", "All", "--topic", &unseen, "--group", site.group()];
    kafka().acl("--deny-principal", &all);
    let checked = check(&site);
    checked
        .ends(77)
        .says("ok", "topic", &open)
        .says("ok", "topic", &unread)
        .says("-", "topic", "this user may not even see it")
        .says("FAIL", "right", &format!("not granted on {unread}, {unseen}"))
        .says("FAIL", "right", "group Read")
        .advises(&format!("grant User:{USER} Read on each of these topics"))
        .advises(&format!("grant User:{USER} Read on group {}", site.group()));
}

#[test]
fn topics_that_are_not_there_have_a_neighbour() {
    let mut site = Site::new("typo");
    let topic = site.topic("orders", 2, &[]);
    site.set("consumer", "topic_whitelist", "typo-ordres,^typo-.*s$,^nothing");
    site.set("consumer", "kafka_bootstrap", format!("127.0.0.1:1,{}", kafka().bootstrap));
    let checked = check(&site);
    checked
        .ends(0)
        .says("warn", "broker", "127.0.0.1:1")
        .says("warn", "topic", &format!("no such topic; there is \"{topic}\""))
        .says("ok", "topic", "1 topic, 2 partitions")
        .says("warn", "topic", "matches no topic")
        .advises("create the topic");
    assert!(checked.out.ends_with("ready to run, with 3 warnings\n"), "{}", checked.out);
}

/// Takes down each rebalance.
#[derive(Clone, Default)]
struct Rebalances(Arc<Mutex<usize>>);

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        *self.0.lock().expect("the count") += 1;
    }
}

#[test]
fn eager_members_of_an_old_tool_are_told_and_left_alone() {
    let mut site = Site::new("eager");
    let topic = site.topic("t", 1, &[]);
    let rebalances = Rebalances::default();
    let old: BaseConsumer<Rebalances> = ClientConfig::new()
        .set("bootstrap.servers", &site.bootstrap)
        .set("group.id", site.group())
        .set("client.id", "old-tool")
        .set("partition.assignment.strategy", "range")
        .create_with_context(rebalances.clone())
        .expect("a consumer");
    old.subscribe(&[&topic]).expect("subscribe");
    await_that("its partition", || {
        let _ = old.poll(Duration::from_millis(100));
        old.assignment().is_ok_and(|list| list.count() == 1)
    });
    let before = *rebalances.0.lock().expect("the count");
    let mut command = command(&site);
    let checked = thread::scope(|scope| {
        let checked = scope.spawn(|| Checked::of(&mut command));
        while !checked.is_finished() {
            let _ = old.poll(Duration::from_millis(50));
        }
        checked.join().expect("it ends")
    });
    checked
        .ends(0)
        .says("warn", "group", "1 member, assigned by range (old-tool at 127.0.0.1")
        .says("ok", "group", "deleted again")
        .advises("stop these members before kafkatos3 starts");
    let after = *rebalances.0.lock().expect("the count");
    assert_eq!(after, before, "the group was disturbed");
}

#[test]
fn an_instance_that_runs_is_seen_and_its_archive_known() {
    let mut site = Site::new("runs");
    let topic = site.topic("t", 1, &[]);
    produce_odd(&site, &topic, 1, 10);
    let running = site.start();
    running.worker(Role::Consumer);
    await_that("an object", || site.objects(&topic, 0).len() == 1);
    check(&site)
        .ends(0)
        .says("ok", "spool", "runs, as process")
        .says("ok", "group", "1 member, assigned by cooperative-sticky (kafkatos3-runs-0 at")
        .says("ok", "archive", "goes on with 1 topic, begins 0");
    running.stop().expect(0);

    site.set("consumer", "isolation_level", "read_uncommitted");
    check(&site)
        .ends(78)
        .says("FAIL", "archive", "begun with read_committed")
        .advises("set [consumer] isolation_level as the archive has it");
}

#[test]
fn an_archive_of_another_cluster_is_refused() {
    let mut site = Site::new("foreign");
    let topic = site.topic("t", 1, &[]);
    produce_odd(&site, &topic, 1, 10);
    site.run_to_end().expect(0);
    let other = site.foreign_twin();
    other.admin.create(&topic, 1, &[]);
    check(&other)
        .ends(78)
        .says("FAIL", "archive", "the archive is of another cluster")
        .advises("use another prefix");
}

#[test]
fn this_machine_is_looked_at() {
    let mut site = Site::new("machine");
    site.topic("t", 100, &[]);
    site.archive_to_directory();
    let mut few = Command::new("prlimit");
    few.arg("--nofile=120").arg(env!("CARGO_BIN_EXE_kafkatos3"));
    few.args(["check", "--connect"]).arg(site.write_config());
    Checked::of(&mut few)
        .ends(78)
        .says("FAIL", "files", "up to 120, but a consumer needs some 166")
        .says("ok", "store", "will be made in")
        .advises("LimitNOFILE=");

    let file = run_dir().join("machine-file");
    fs::write(&file, "").expect("write a file");
    site.set("main", "working_directory", file.join("spool").display());
    check(&site).ends(73).says("FAIL", "spool", "not a directory");

    let disk = run_dir().join("machine-disk");
    site.set("main", "working_directory", disk.display());
    site.set("main", "memory_max_bytes", "1000TiB");
    for (options, found, todo) in [
        ("ro", "Read-only file system", "mount it writable"),
        ("size=256k", "No space left on device", "make room on the disk"),
        (
            "size=200m",
            "less than spool_max_bytes = 10GiB: consumers pause at",
            "take a larger disk",
        ),
    ] {
        let Some(small) = Disk::mount(&disk, options) else { return };
        let code = if options == "size=200m" { 0 } else { 73 };
        if options == "size=256k" {
            small.fill("full");
        }
        let checked = check(&site);
        checked.ends(code).advises(todo).says("warn", "memory", "1000TiB, but machine or control");
        assert!(checked.out.contains(found), "{found}: {}", checked.out);
        assert_eq!(
            fs::read_dir(&disk).expect("the disk").count(),
            usize::from(options == "size=256k")
        );
    }
}

#[test]
fn who_does_not_read_kafka_need_not_reach_it() {
    let mut site = Site::new("uploads-only");
    site.set("consumer", "topic_whitelist", "t");
    site.set("consumer", "consumer_processes", 0);
    site.set("consumer", "kafka_bootstrap", "127.0.0.1:1");
    check(&site).ends(0).says("-", "broker", "not asked: consumer_processes = 0").says(
        "ok",
        "store",
        "keeps the contract",
    );
}

#[test]
fn a_configuration_that_is_wrong_is_json_too() {
    let path = run_dir().join("connect-wrong.cfg");
    fs::write(&path, "[main]\nlog.level = LOUD\n").expect("write a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
    let checked = Checked::of(command.args(["check", "--json", "--connect"]).arg(&path));
    checked.ends(78);
    let json: serde_json::Value = serde_json::from_str(&checked.out).expect("JSON");
    assert_eq!(json["exit"], 78);
    let first = &json["checks"][0];
    assert_eq!((first["verdict"].as_str(), first["area"].as_str()), (Some("fail"), Some("config")));
    assert!(first["found"].as_str().is_some_and(|text| text.contains("[main] log.level")));
}
