//! Whole files: from text to the typed configuration.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::keys::{self, Key, Section};
use super::resolve::tests::Fake;
use super::*;
use crate::types::{Isolation, Suffix, TopicName};

const EXAMPLE: &str = include_str!("../../config/kafkatos3.cfg.example");
const DOCUMENT: &str = include_str!("../../docs/configuration.md");

const LEAST: &str = "[main]\nworking_directory = /w\n[consumer]\nkafka_bootstrap = k:9092\n\
                     kafka_consumer_group = g\ntopic_whitelist = t\n[s3]\ns3_bucket_name = bkt\n";

/// Keys and values of the example that the original ships, in its order.
const ORIGINAL: &str = "[main]\nlog.level = INFO\nworking_directory = /home/ubuntu/kafkatos3/data\n\n\
    [consumer]\nconsumer_processes = 1\nkafka_bootstrap = kafka:9092\n\
    kafka_consumer_group = kafkatos3\nkafka_auto_offset_reset = latest\nconsumer_nice_level = 15\n\
    topic_whitelist = test\nmax_age_seconds = 1800\nconsumer_class = KafkaPythonConsumer\n\n\
    [compression]\ncompression_check_interval = 600\ncompressor_workers = 1\n\
    compression_nice_level = 10\n\n[s3]\ns3upload_check_interval = 600\ns3uploader_workers = 1\n\
    s3_bucket_name = my_bucket\ns3_access_key = \"\"\ns3_secret_key = \"\"\n\ntopic_whitelist = test\n";

fn load(text: &str) -> Result<Loaded, Findings> {
    parse(text.as_bytes(), &Fake::default())
}

fn good(text: &str) -> Config {
    let loaded = load(text).unwrap_or_else(|findings| panic!("{text}\n{findings:#?}"));
    loaded.config
}

fn problems(text: &str) -> Vec<String> {
    let findings = load(text).expect_err(text);
    assert!(!findings.problems.is_empty(), "{text}");
    shown(&findings.problems)
}

fn shown(findings: &[Finding]) -> Vec<String> {
    let path = Path::new("f");
    findings.iter().map(|finding| finding.in_file(path).to_string()).collect()
}

/// The least configuration with these lines in a section of their own.
fn with(section: &str, lines: &str) -> String {
    format!("{LEAST}[{section}]\n{lines}\n")
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let loaded = load(LEAST).expect("fine");
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.main.log_level, LogLevel::Info);
    assert_eq!(config.main.working_directory, PathBuf::from("/w"));
    assert_eq!(config.main.instance.as_str(), "host-1");
    assert_eq!(config.main.spool_max_bytes, ByteSize::mib(10 * 1024));
    assert_eq!(config.main.memory_max_bytes, ByteSize::mib(256));
    assert_eq!(config.main.shutdown_timeout, Duration::from_mins(1));
    let consumer = &config.consumer;
    assert_eq!((consumer.processes, consumer.nice_level), (1, 15));
    assert_eq!((consumer.bootstrap.as_str(), consumer.group.as_str()), ("k:9092", "g"));
    let topic = Pattern::Exact(TopicName::new("t").expect("a name"));
    assert_eq!(consumer.topics, TopicPatterns { whitelist: vec![topic], blacklist: vec![] });
    assert_eq!(consumer.offset_reset, OffsetReset::Earliest);
    assert_eq!((consumer.max_age, consumer.max_idle), (Duration::from_mins(30), None));
    assert_eq!(consumer.max_file_bytes, ByteSize::mib(256));
    assert_eq!(consumer.isolation, Isolation::ReadCommitted);
    assert_eq!(consumer.on_gap, OnGap::Record);
    assert_eq!(consumer.on_topic_recreated, OnTopicRecreated::Stop);
    assert_eq!((&consumer.group_instance_id, consumer.mak_version), (&None, MakVersion::V2));
    let compression = &config.compression;
    assert_eq!((compression.codec, compression.level), (Codec::Gzip, None));
    assert_eq!((compression.workers, compression.nice_level), (1, 10));
    assert_eq!(compression.check_interval, Duration::from_mins(10));
    assert_eq!((config.upload.workers, config.upload.check_interval.as_secs()), (1, 600));
    assert_eq!(config.archive.publish_deadline, Duration::from_hours(24));
    assert_eq!(config.archive.target.to_string(), "s3://bkt/kafkatos3");
    assert_eq!(config.kafka.get("topic.metadata.refresh.interval.ms"), Some("30000"));
    assert_eq!(config.suffix(), Suffix::MakGz);
    assert_eq!(config.spool_reserve(), ByteSize::mib(512));
}

#[test]
fn the_example_of_the_original_loads_with_one_word_on_each_oddity() {
    let loaded = load(ORIGINAL).expect("fine");
    let warnings = shown(&loaded.warnings);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for (warning, place) in
        warnings.iter().zip(["f:13: [consumer] consumer_class: ", "f:27: [s3] topic_whitelist: "])
    {
        assert!(warning.starts_with(place) && warning.ends_with("the line can go"), "{warning}");
    }
    assert_eq!(loaded.config.consumer.offset_reset, OffsetReset::Latest);
    let ArchiveTarget::S3(s3) = &loaded.config.archive.target else { panic!("a bucket") };
    assert_eq!((&s3.access_key, &s3.secret_key), (&None, &None));
    assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("my_bucket", "kafkatos3"));
}

#[test]
fn other_words_of_the_original_are_understood() {
    for (word, reset) in [
        ("smallest", OffsetReset::Earliest),
        ("beginning", OffsetReset::Earliest),
        ("none", OffsetReset::Earliest),
        ("", OffsetReset::Earliest),
        ("largest", OffsetReset::Latest),
        ("end", OffsetReset::Latest),
    ] {
        let loaded =
            load(&with("consumer", &format!("kafka_auto_offset_reset = {word}"))).expect("fine");
        assert_eq!(loaded.config.consumer.offset_reset, reset, "{word}");
        assert_eq!(loaded.warnings.len(), 1, "{word}");
    }
    for level in ["CRITICAL", "WARNING", "debug", "Error"] {
        assert_eq!(
            load(&with("main", &format!("log.level = {level}"))).expect("fine").warnings,
            []
        );
    }
}

#[test]
fn levels_have_the_names_that_python_gives_them() {
    for (word, level, warnings) in [
        ("WARN", LogLevel::Warning, 1),
        ("fatal", LogLevel::Critical, 1),
        ("NOTSET", LogLevel::Debug, 1),
        ("CRITICAL", LogLevel::Critical, 0),
    ] {
        let loaded = load(&with("main", &format!("log.level = {word}"))).expect("fine");
        assert_eq!(loaded.config.main.log_level, level, "{word}");
        assert_eq!(loaded.warnings.len(), warnings, "{word}");
    }
}

#[test]
fn a_comment_behind_a_value_is_said_to_be_none() {
    let text = LEAST.replace("group = g", "group = g ; the old one");
    let loaded = load(&text).expect("fine");
    assert_eq!(loaded.config.consumer.group, "g ; the old one");
    let said = shown(&loaded.warnings);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("f:5: [consumer] kafka_consumer_group: what stands"), "{said:?}");
    let secret = load(&with("kafka", "sasl.password = a ;b #c")).expect("fine");
    assert_eq!(secret.warnings, []);
    let certain = load(&with("main", "instance = a;b")).expect_err("no name");
    assert_eq!(certain.warnings, []);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let text = "[main]\nlog.level = LOUD\nspool_max_bytes = 12XB\nshutdown_timeout = 0\nlog.format = xml\n[consumer]\n\
        consumer_processes = many\nkafka_bootstrap = k:0\nmax_file_bytes = 5GiB\nmak_version = 3\n\
        isolation_level = x\n[compression]\ncompression = lzma\n[s3]\ns3_access_key = AKIAX\n\
        s3_endpoint = ftp://x\ns3_prefix = a//b\ns3_sse = rot13\n[archive]\npublish_deadline = soon\n\
        [kafka]\ngroup.id = x\nnot.there = 1\nenable.auto.commit = true\n";
    let said = problems(text);
    let begins = [
        "f:2: [main] log.level: \"LOUD\" is not one of DEBUG",
        "f:3: [main] spool_max_bytes: \"12XB\" is not a number of bytes",
        "f:4: [main] shutdown_timeout: \"0\" is too short",
        "f:5: [main] log.format: \"xml\" is not one of text, json",
        "f:7: [consumer] consumer_processes: \"many\" is not a number from 0 to 256",
        "f:8: [consumer] kafka_bootstrap: \"k:0\" is not a comma-separated list",
        "f:9: [consumer] max_file_bytes: \"5GiB\" is out of range",
        "f:10: [consumer] mak_version: \"3\" is not one of 1, 2",
        "f:11: [consumer] isolation_level: \"x\" is not one of",
        "f:13: [compression] compression: \"lzma\" is not one of gzip, zstd, none",
        "f:16: [s3] s3_endpoint: \"ftp://x\" is not",
        "f:18: [s3] s3_sse: \"rot13\" is not",
        "f:20: [archive] publish_deadline: \"soon\" is not a number of seconds",
        "f:22: [kafka] group.id: the property can't be set here; set [consumer] kafka_consumer_group",
        "f:23: [kafka] not.there: there is no such key",
        "f:24: [kafka] enable.auto.commit: the property can't be set: ",
        "f: [main] working_directory: the key is required",
        "f: [consumer] kafka_consumer_group: the key is required",
        "f: [consumer] topic_whitelist: the key is required",
        "f: [s3] s3_bucket_name: nothing says where the archive is",
        "f: [s3] s3_secret_key: s3_access_key is set, so this has to be too",
    ];
    for begin in begins {
        assert!(said.iter().any(|line| line.starts_with(begin)), "{begin}\n{said:#?}");
    }
    assert_eq!(said.len(), begins.len(), "{said:#?}");
}

#[test]
fn what_could_not_be_filled_in_is_said_once() {
    let text = LEAST.replace("= k:9092", "= ${BROKERS}").replace("= bkt", "= ${BUCKET}");
    let said = problems(&text);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0]
            .starts_with("f:4: [consumer] kafka_bootstrap: the environment variable \"BROKERS\"")
    );
    let around = Fake::with(&[("BROKERS", "a:1, b:2"), ("BUCKET", "bbb")], &[]);
    let config = parse(text.as_bytes(), &around).expect("fine").config;
    assert_eq!(config.consumer.bootstrap, "a:1,b:2");
}

#[test]
fn what_a_variable_holds_is_not_repeated() {
    let text = with("main", "spool_max_bytes = ${SECRET}");
    let around = Fake::with(&[("SECRET", "hunter2")], &[]);
    let findings = parse(text.as_bytes(), &around).expect_err("no size");
    let said = shown(&findings.problems).join("\n");
    assert!(said.contains("\"${SECRET}\", filled in, is not a number of bytes"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn archives_are_named_one_way() {
    let url =
        |url: &str| LEAST.replace("[s3]\ns3_bucket_name = bkt", &format!("[archive]\nurl = {url}"));
    assert_eq!(
        good(&url("file:///a/b/")).archive.target,
        ArchiveTarget::Dir { path: "/a/b".into() }
    );
    for (text, target) in
        [("s3://bkt", "s3://bkt"), ("s3://bkt/", "s3://bkt"), ("S3://bkt/a/b", "s3://bkt/a/b")]
    {
        assert_eq!(good(&url(text)).archive.target.to_string(), target);
    }
    assert_eq!(good(&with("s3", "s3_prefix = \"\"")).archive.target.to_string(), "s3://bkt");
    for text in ["gs://bkt/p", "az://box", "az://box@acct1.blob.core.windows.net/a/b"] {
        assert_eq!(good(&url(text)).archive.target.to_string(), text);
    }
    for text in [
        "bucket",
        "ftp://x",
        "file://a",
        "file:///a/../b",
        "s3://",
        "s3://a b/c",
        "s3://bkt/a//x",
        "gs://b",
        "az://Box",
    ] {
        assert_eq!(problems(&url(text)).len(), 1, "{text}");
    }
    let both = problems(&with("archive", "url = file:///a"));
    assert!(
        both[0].starts_with("f:10: [archive] url: both this and [s3] s3_bucket_name"),
        "{both:?}"
    );
    assert_eq!(problems(&url("")).len(), 1);
    let odd = load(&format!("{}[s3]\ns3_region = x\n", url("file:///a"))).expect("fine");
    assert_eq!(odd.warnings.len(), 1);
    for (section, place) in [
        ("[gcs]\ngcs_storage_class = nearline\n", "gs://bkt"),
        ("[azure]\nazure_access_tier = cool\n", "az://box"),
        ("[s3]\ns3_region = x\n", "s3://bkt"),
    ] {
        for elsewhere in ["gs://bkt", "az://box", "s3://bkt", "file:///a"] {
            let loaded = load(&format!("{}{section}", url(elsewhere))).expect("fine");
            assert_eq!(
                loaded.warnings.len(),
                usize::from(elsewhere != place),
                "{section} {elsewhere}"
            );
        }
    }
    let azure =
        |lines: &str| format!("{}[azure]\n{lines}\n", url("az://box@acct1.blob.core.windows.net"));
    let said = problems(&azure("azure_storage_account = acct2"));
    assert!(said[0].contains("names another account, acct1"), "{said:?}");
    let said = problems(&azure("azure_storage_key = hunter2\nazure_storage_sas_token = hunter2"));
    assert!(said[0].contains("azure_storage_key says already who we are"), "{said:?}");
    assert!(!said[0].contains("hunter2"), "{said:?}");
    let odd = load(&format!("{}[s3]\ns3_prefix = x\n", url("s3://bkt/y"))).expect("fine");
    assert_eq!(
        (odd.warnings.len(), odd.config.archive.target.to_string().as_str()),
        (1, "s3://bkt/y")
    );
}

#[test]
fn a_directory_archive_is_apart_from_the_spool() {
    let url =
        |url: &str| LEAST.replace("[s3]\ns3_bucket_name = bkt", &format!("[archive]\nurl = {url}"));
    for path in ["/w", "/", "/w/rotated", "/w/run/x"] {
        assert_eq!(problems(&url(&format!("file://{path}"))).len(), 1, "{path}");
    }
    for path in ["/w/archive", "/w2", "/x"] {
        good(&url(&format!("file://{path}")));
    }
}

#[test]
fn kafka_stores_layout_brings_its_format_and_schema() {
    let with = |lines: &str| format!("{LEAST}\n[archive]\n{lines}\n");
    assert_eq!(good(LEAST).suffix(), Suffix::MakGz);
    for more in ["", "\nformat = avro", "\navro_schema = plain"] {
        let config = good(&with(&format!("layout = Kafka_Store{more}")));
        assert_eq!(config.suffix(), Suffix::KafkaStore, "{more}");
        assert!(config.has_no_offsets(), "files end at holes");
    }
    for (line, key) in [("format = jsonl", "format"), ("avro_schema = full", "avro_schema")] {
        let found = problems(&with(&format!("layout = kafka_store\n{line}")));
        assert!(found.len() == 1 && found[0].contains(&format!("] {key}: ")), "{found:?}");
    }
    assert!(problems(&with("layout = hive"))[0].contains("layout"));
}

#[test]
fn settings_that_cannot_work_together_are_refused() {
    for (section, lines, key) in [
        ("main", "spool_max_bytes = 767MiB", "spool_max_bytes"),
        ("consumer", "max_file_bytes = 3500MiB", "spool_max_bytes"),
        ("compression", "compressor_workers = 100", "spool_max_bytes"),
        ("main", "memory_max_bytes = 103MiB", "memory_max_bytes"),
        ("consumer", "consumer_processes = 8", "memory_max_bytes"),
        ("kafka", "group.protocol = consumer\nsession.timeout.ms = 9", "session.timeout.ms"),
        ("kafka", "group.protocol = eager", "group.protocol"),
        ("consumer", "topic_blacklist = t", "topic_blacklist"),
        ("compression", "compression_level = 10", "compression_level"),
        ("compression", "compression = zstd\ncompression_level = 0", "compression_level"),
        ("s3", "s3_secret_key = x", "s3_access_key"),
    ] {
        let said = problems(&with(section, lines));
        assert!(said.iter().any(|line| line.contains(&format!("{key}: "))), "{lines}: {said:?}");
    }
    good(&with("main", "spool_max_bytes = 768MiB\nmemory_max_bytes = 104MiB"));
    good(&with("kafka", "group.protocol = CONSUMER"));
    let none =
        load(&with("compression", "compression = none\ncompression_level = 3")).expect("fine");
    assert_eq!((none.warnings.len(), none.config.suffix()), (1, Suffix::Mak));
    let zstd = good(&with("compression", "compression = ZSTD\ncompression_level = 19"));
    assert_eq!((zstd.suffix(), zstd.compression.level), (Suffix::MakZst, Some(19)));
    let short = load(&with("archive", "publish_deadline = 20m")).expect("fine");
    assert_eq!(short.warnings.len(), 1);
    assert_eq!(load(&with("consumer", "mak_version = 1")).expect("fine").warnings.len(), 1);
}

#[test]
fn paths_begin_where_the_process_does() {
    let text = |path: &str| LEAST.replace("= /w", &format!("= {path}"));
    assert_eq!(good(&text("spool/x")).main.working_directory, PathBuf::from("/cwd/spool/x"));
    assert_eq!(problems(&text("~/spool")).len(), 1);
}

#[test]
fn the_example_loads_without_a_word_and_shows_the_defaults() {
    let loaded = load(EXAMPLE).unwrap_or_else(|findings| panic!("{findings:#?}"));
    assert_eq!(loaded.warnings, []);
    // The place of the archive has no default, though either key may be empty.
    let place = [keys::S3_BUCKET_NAME, keys::ARCHIVE_URL];
    for (key, value) in settings_of(EXAMPLE).into_iter().filter(|(key, _)| !place.contains(key)) {
        let written = value.trim_matches('"');
        assert_eq!(key.default.unwrap_or(written), written, "{}", key.name);
    }
    let there: Vec<_> = settings_of(EXAMPLE).into_iter().map(|(key, _)| key).collect();
    for key in keys::ALL {
        let times = there.iter().filter(|other| *other == key).count();
        assert_eq!(times, 1, "[{}] {} in the example", key.section.name(), key.name);
    }
    assert!(EXAMPLE.lines().all(|line| line.len() <= 100));
}

/// Every assignment of the example, also those in comments; each of a key that is known.
fn settings_of(text: &str) -> Vec<(Key, &str)> {
    let mut section = None;
    let mut settings = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = Section::parse(name.trim_end_matches(']'));
            continue;
        }
        // A comment of words has a blank behind its sign.
        let line = line.strip_prefix('#').unwrap_or(line);
        let (Some(section), false, Some((key, value))) =
            (section, line.starts_with(' '), line.split_once('='))
        else {
            continue;
        };
        if section == Section::Kafka {
            assert!(librdkafka::is_property(key.trim()), "{key}");
            assert_eq!(librdkafka::refusal(key.trim()), None, "{key}");
        } else {
            let known = keys::find(section, key.trim());
            settings.push((*known.unwrap_or_else(|| panic!("{key}")), value.trim()));
        }
    }
    settings
}

#[test]
fn the_example_loads_with_its_comments_taken_off() {
    let secret = Fake::with(&[], &[("/etc/kafkatos3/kafka-password", "p\n")]);
    let lines = EXAMPLE.lines().filter(|line| !line.starts_with("#url"));
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text = lines.map(bare).collect::<Vec<_>>().join("\n");
    let loaded = parse(text.as_bytes(), &secret).unwrap_or_else(|findings| panic!("{findings:#?}"));
    assert_eq!(loaded.warnings.len(), 2);
    assert_eq!(loaded.config.kafka.get("sasl.password"), Some("p"));
    assert_eq!(loaded.config.main.instance.as_str(), "host-1");
}

#[test]
fn the_document_has_every_key_with_its_default() {
    for key in keys::ALL {
        let section =
            DOCUMENT.split(&format!("\n## [{}]\n", key.section.name())).nth(1).expect("a section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let row = section.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
        let row = row.unwrap_or_else(|| panic!("[{}] {}", key.section.name(), key.name));
        let default = row.split('|').nth(2).unwrap_or_default().trim();
        let expected = match key.default {
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
            None if key.ignored.is_some() => "none".to_owned(),
            None if key.name == "instance" => "the host's name".to_owned(),
            None => "required".to_owned(),
        };
        assert_eq!(default, expected, "{}", key.name);
    }
}

#[test]
fn the_document_has_every_property_that_is_refused() {
    for name in librdkafka::refused() {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_least_configuration_of_the_document_loads() {
    let text = DOCUMENT.split("```ini\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(load(text.expect("a block")).expect("fine").warnings, []);
}

const SECRETS: [&str; 4] = ["AKIA-hunter-1", "hunter-2/x+", "hunter-3", "hunter-4"];

fn secretive() -> String {
    let [access, secret, password, passphrase] = SECRETS;
    format!(
        "{LEAST}[s3]\ns3_access_key = {access}\ns3_secret_key = {secret}\n[kafka]\nsasl.password = {password}\n\
         sasl.oauthbearer.assertion.private.key.passphrase = {passphrase}\nsasl.username = u\n"
    )
}

fn assert_no_secret(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn secrets_are_in_the_configuration_and_in_no_print_of_it() {
    let loaded = load(&secretive()).expect("fine");
    let config = &loaded.config;
    let ArchiveTarget::S3(s3) = &config.archive.target else { panic!("a bucket") };
    assert_eq!(s3.secret_key.as_ref().map(Secret::expose), Some(SECRETS[1]));
    assert_eq!(config.kafka.get("sasl.password"), Some(SECRETS[2]));
    let redacted = config.redacted().to_string();
    assert!(redacted.contains("[s3] s3_secret_key = ***\n"), "{redacted}");
    assert!(
        redacted.contains("[kafka] sasl.password = ***\n")
            && redacted.contains("sasl.username = u")
    );
    for text in
        [redacted, format!("{loaded:?}"), format!("{loaded:#?}"), format!("{:?}", config.kafka)]
    {
        assert_no_secret(&text);
    }
}

#[test]
fn secrets_are_in_no_error() {
    let base = secretive();
    for broken in [
        base.replace("s3_access_key", "s3_acess_key"),
        base.replace("s3_secret_key = ", "s3_secret_key "),
        base.replace("s3_secret_key = ", "s3_secret_key = \n  "),
        base.replace("sasl.password", "sasl.passwort"),
        base.replace("sasl.password = ", "sasl.password = ${A}"),
        base.replace("sasl.password = ", "sasl.password = ${"),
        base.replace("sasl.password = ", "sasl.password = file:"),
        base.replace("s3_secret_key = ", "s3_secret_key = \u{1}"),
        base.replace("[s3]\ns3_access", "[s4]\ns3_access"),
        base.replace("[kafka]\n", "[kafka\n"),
        base.clone() + "[s3]\ns3_secret_key = hunter-2/x+\n",
        base.clone() + "hunter-2/x+\n",
        base.replace("[main]", ""),
        base.clone() + "[s3]\ns3_endpoint = https://user:hunter-3@host\n",
        base.clone() + "[archive]\nurl = s3://user:hunter-3@host/x\n",
    ] {
        let findings = load(&broken).expect_err(&broken);
        assert!(!findings.problems.is_empty(), "{broken}");
        assert_no_secret(&format!("{findings:?} {:?}", shown(&findings.problems)));
        let error = ConfigError::Invalid {
            path: "f".into(),
            problems: findings.problems,
            warnings: findings.warnings,
        };
        assert_no_secret(&format!("{error} {error:?}"));
    }
}

#[test]
fn what_is_printed_loads_again() {
    for text in [LEAST, EXAMPLE, ORIGINAL] {
        let config = good(text);
        let printed = config.redacted().to_string();
        let again = printed.replace("] ", "]\n");
        assert_eq!(good(&again), config);
    }
}

#[test]
fn what_is_printed_has_every_key() {
    let bucket = good(LEAST).redacted().to_string();
    let elsewhere = ["file:///a", "gs://bkt", "az://box"].map(|url| {
        let url = format!("[archive]\nurl = {url}");
        good(&LEAST.replace("[s3]\ns3_bucket_name = bkt", &url)).redacted().to_string()
    });
    let all = bucket + &elsewhere.concat();
    for key in keys::ALL.iter().filter(|key| key.ignored.is_none()) {
        assert!(all.contains(&format!("[{}] {} = ", key.section.name(), key.name)), "{}", key.name);
    }
}

#[test]
fn what_is_no_text_is_said_with_its_line() {
    let said = |bytes: &[u8]| shown(&parse(bytes, &Fake::default()).expect_err("garbage").problems);
    assert!(said(b"[main]\n\xff\n")[0].starts_with("f:2: the file is not UTF-8 text"));
    assert!(said(b"\0\x01\x02")[0].contains("control character"));
    assert!(said(&vec![b'\n'; 1_100_000])[0].contains("larger than 1 MiB"));
    assert_eq!(said(b"").len(), 5);
}

#[test]
fn a_text_loads_under_a_name() {
    assert_eq!(Config::from_text("own", LEAST).expect("fine").config.consumer.group, "g");
    let error = Config::from_text("own", "x").expect_err("no configuration");
    assert!(error.to_string().starts_with("own:1: expected \"key = value\""), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_the_loader_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes, &Fake::default());
    }

    /// Files that are nearly right: bytes of the example changed, cut out, or put in.
    #[test]
    fn no_change_of_a_file_makes_the_loader_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 1..20),
    ) {
        let mut bytes = (EXAMPLE.to_owned() + &secretive()).into_bytes();
        for (index, kind, byte) in edits {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        let _ = parse(&bytes, &Fake::default());
    }

    /// Any text at all as a value: read as it is, or refused with a problem on its line.
    #[test]
    fn no_value_makes_the_loader_panic(n in 0..keys::ALL.len(), value: String) {
        let key = keys::ALL[n];
        let text = format!("[{}]\n{} = {value}\n", key.section.name(), key.name);
        let _ = parse(text.as_bytes(), &Fake::default());
    }

    /// Passwords stay as they are.
    #[test]
    fn a_password_stays_as_it_is(password in "[!-~]([ -~]{0,30}[!-~])?") {
        prop_assume!(!password.contains("${") && !password.starts_with("file:"));
        prop_assume!(!(password.starts_with('"') && password.ends_with('"')));
        let config = good(&with("kafka", &format!("sasl.password = {password}")));
        prop_assert_eq!(config.kafka.get("sasl.password"), Some(password.as_str()));
    }
}
