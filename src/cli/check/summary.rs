//! What running with a configuration would do, in a few lines.

use std::fmt::Write as _;

use crate::config::{
    ArchiveTarget, Codec, Config, KafkaProperties, Pattern, S3Target, TopicPatterns,
};

/// What running with this configuration would do.
pub(super) fn summary(config: &Config) -> String {
    let (main, consumer, compression) = (&config.main, &config.consumer, &config.compression);
    let mut out = String::from("ok\n");
    let mut line = |name: &str, text: String| {
        // Writing to a text does not fail.
        let _ = writeln!(out, "  {name:<10} {text}");
    };
    line("topics", topics(&consumer.topics));
    line("kafka", kafka(config));
    line("archive", archive(&config.archive.target));
    let rotation = match consumer.max_idle {
        None => String::new(),
        Some(idle) => format!(", or {} s of silence", idle.as_secs_f64()),
    };
    let (bytes, age) = (consumer.max_file_bytes, consumer.max_age.as_secs_f64());
    line("files", format!("{}, closed after {bytes}, {age} s{rotation}", packing(config)));
    let (processes, workers) = (consumer.processes, compression.workers);
    let uploaders = config.upload.workers;
    line(
        "processes",
        format!("{processes} consumers, {workers} compressors, {uploaders} uploaders"),
    );
    let spool = main.working_directory.display();
    let (most, reserve) = (main.spool_max_bytes, config.spool_reserve());
    line("spool", format!("{spool}, at most {most}, {reserve} of it in reserve"));
    line("memory", format!("at most {}, all processes together", main.memory_max_bytes));
    line("instance", main.instance.to_string());
    out
}

fn packing(config: &Config) -> String {
    let level = config.compression.level.map(|level| format!(" level {level}")).unwrap_or_default();
    let codec = match config.compression.codec {
        Codec::None => "not compressed".to_owned(),
        codec => format!("{codec}{level}"),
    };
    format!("MAK version {} as {}, {codec}", config.consumer.mak_version, config.suffix())
}

fn topics(topics: &TopicPatterns) -> String {
    let list = |patterns: &[Pattern]| {
        patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    match topics.blacklist.as_slice() {
        [] => list(&topics.whitelist),
        blacklist => format!("{} but not {}", list(&topics.whitelist), list(blacklist)),
    }
}

fn kafka(config: &Config) -> String {
    let consumer = &config.consumer;
    let protocol = config.kafka.get("security.protocol").unwrap_or("plaintext");
    format!(
        "{} as group {}, {protocol}{}, {}, new partitions from {}",
        consumer.bootstrap,
        consumer.group,
        mechanism(&config.kafka),
        consumer.isolation,
        consumer.offset_reset
    )
}

fn mechanism(kafka: &KafkaProperties) -> String {
    let name = kafka.get("sasl.mechanism").or_else(|| kafka.get("sasl.mechanisms"));
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}

pub(super) fn archive(target: &ArchiveTarget) -> String {
    match target {
        ArchiveTarget::S3(s3) => format!("{target} {}", bucket(s3)),
        ArchiveTarget::Gcs(gcs) => {
            let place = gcs.endpoint.as_deref().unwrap_or("Google");
            let file = gcs.credentials.as_ref().map(|path| path.display().to_string());
            let whose = file.unwrap_or_else(|| "Google's own places".to_owned());
            format!("{target} at {place}, with the credentials of {whose}")
        }
        ArchiveTarget::Azure(azure) => {
            let place = azure.endpoint.as_deref().unwrap_or("Azure");
            let whose = if azure.has_credentials() { "the file" } else { "Azure's own places" };
            format!("{target} at {place}, with the credentials of {whose}")
        }
        ArchiveTarget::Dir { .. } => target.to_string(),
    }
}

fn bucket(s3: &S3Target) -> String {
    let place = s3.endpoint.as_deref().unwrap_or("AWS");
    let keys = if s3.access_key.is_some() {
        "the keys of the file"
    } else {
        "the AWS chain of credentials"
    };
    let plain = if s3.is_plain_http() { ", not encrypted on the way" } else { "" };
    format!("at {place}, with {keys}{plain}")
}
