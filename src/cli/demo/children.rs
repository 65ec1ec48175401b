//! What the demo's children do, each in a process of its own.

use std::fs::OpenOptions;
use std::io::{self, PipeWriter};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::PATIENCE;
use super::family::answer;
use super::folder::Folder;
use super::records::{Sequence, TOPICS};
use crate::kafka::mock::Mock;
use crate::kafka::producer::{Outgoing, Producer};
use crate::kafka::{ClientSettings, KafkaError};
use crate::types::TopicName;

/// Is a cluster until it is killed; answers with its address.
pub(super) fn be_broker(pipe: PipeWriter) -> u8 {
    let named = |(name, partitions)| Some((TopicName::new(name).ok()?, partitions));
    let topics: Vec<_> = TOPICS.into_iter().filter_map(named).collect();
    match Mock::start(1, &topics) {
        Ok(mock) => {
            answer(pipe, Ok(mock.bootstrap()));
            loop {
                std::thread::park();
            }
        }
        Err(error) => answer(pipe, Err(error.to_string())),
    }
}

/// Writes all records, in their order; answers when the broker has them.
pub(super) fn produce(bootstrap: &str, records: &Sequence) -> Result<String, KafkaError> {
    let mut producer = Producer::new(&ClientSettings {
        bootstrap: bootstrap.to_owned(),
        client_id: "kafkatos3-demo".to_owned(),
        extra: Vec::new(),
    })?;
    for (place, records) in records {
        for record in records {
            let headers = record.headers.iter();
            let headers: Vec<_> = headers.map(|(n, v)| (n.as_slice(), v.as_deref())).collect();
            producer.send(&Outgoing {
                topic: &place.topic,
                partition: Some(place.partition.get()),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
                timestamp: Some(record.timestamp),
            })?;
        }
    }
    producer.flush(PATIENCE)?;
    Ok(String::new())
}

/// Goes on as this very program with `-e demo.cfg`. Comes back only if that fails.
pub(super) fn become_archiver(folder: &Folder) -> io::Error {
    let log = OpenOptions::new().create(true).append(true).open(folder.log());
    let (out, err) = match log.and_then(|log| Ok((log.try_clone()?, log))) {
        Ok(both) => both,
        Err(error) => return error,
    };
    Command::new("/proc/self/exe")
        .arg0("kafkatos3")
        .arg("-e")
        .arg(folder.config())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .exec()
}
