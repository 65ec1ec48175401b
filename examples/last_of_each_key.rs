//! Rebuilds a table from its archived changelog: the last record of each key, tombstones left out,
//! of what was written between two times.
//!
//! ```text
//! cargo run --example last_of_each_key -- s3://bucket/kafkatos3 customers 2026-11-01T00:00:00Z
//! ```
//!
//! Each partition is read by itself, all of them at the same time.

use std::collections::BTreeMap;
use std::error::Error;

use chrono::DateTime;
use futures_util::future::try_join_all;
use kafkatos3::archive::{Archive, ArchiveError, Partition, Slice};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, topic, since @ ..] = arguments.as_slice() else {
        return Err("usage: last_of_each_key ARCHIVE TOPIC [SINCE]".into());
    };
    let mut slice = Slice::default();
    if let Some(time) = since.first() {
        slice = slice.made_from(DateTime::parse_from_rfc3339(time)?.timestamp_millis());
    }

    let partitions = Archive::open(url).await?.topic(topic).await?.partitions().await?;
    let tables = partitions.iter().map(|partition| last_of_each_key(partition, &slice));
    for (partition, table) in partitions.iter().zip(try_join_all(tables).await?) {
        println!("partition {}: {} keys", partition.number(), table.len());
        for (key, value) in table {
            println!("  {} = {}", key.escape_ascii(), value.escape_ascii());
        }
    }
    Ok(())
}

/// A key is always in the same partition, so partitions need not know of each other.
async fn last_of_each_key(partition: &Partition, slice: &Slice) -> Result<Table, ArchiveError> {
    let mut table = Table::new();
    let mut records = partition.read(slice);
    while let Some(record) = records.next().await? {
        match (record.key, record.value) {
            (Some(key), Some(value)) => drop(table.insert(key.to_vec(), value.to_vec())),
            (Some(key), None) => drop(table.remove(key)),
            (None, _) => {}
        }
    }
    Ok(table)
}
