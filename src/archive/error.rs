//! What can be wrong with an archive that is read; every message names the archive or the object.

use super::LocationError;
use crate::codec::CodecError;
use crate::config::ConfigError;
use crate::mak::MakError;
use crate::meta::MetaError;
use crate::store::StoreError;
use crate::types::{Offset, Partition};

/// An archive, or an object of one, that can't be read, or not be read on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// What was typed names no archive, or one that is not there.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The archive has no such topic.
    #[error("{archive}: has no topic \"{topic}\"{}", instead(nearest.as_deref(), *count))]
    NoTopic {
        /// The archive, as a URL.
        archive: String,
        /// What was asked for.
        topic: String,
        /// The topic with the most similar name.
        nearest: Option<String>,
        /// How many topics there are.
        count: usize,
    },
    /// The topic has no such partition.
    #[error("{archive}: topic \"{topic}\" has no partition{}", other_than(*partition, there))]
    NoPartition {
        /// The archive, as a URL.
        archive: String,
        /// The topic.
        topic: String,
        /// What was asked for; any, where there is none.
        partition: Option<Partition>,
        /// The partitions that there are.
        there: Vec<Partition>,
    },
    /// What was named lies above the archive.
    #[error(
        "{archive}: the chains of topic \"{topic}\" are in its folder {below}/: read \
         {archive}/{below}, which has all of them"
    )]
    Below {
        /// What was named, as a URL.
        archive: String,
        /// One of the topics.
        topic: String,
        /// The folder of the archive.
        below: String,
    },
    /// The thread that talks to the store could not be started.
    #[error("can't start a thread to read with")]
    Thread(#[source] std::io::Error),
    /// What runs ahead of a reader ended without saying why.
    #[error("{chain}: reading was given up half-way; this should not happen")]
    GivenUp {
        /// The chain, as its folder.
        chain: String,
    },
    /// Files are missing between two that are there.
    #[error(
        "{object}: offsets {from} to {} before it are missing: a file was removed from the middle \
         of its chain, or has expired there",
        to.get().saturating_sub(1)
    )]
    Hole {
        /// The first object behind the hole, as a URL.
        object: String,
        /// The first offset that is missing.
        from: Offset,
        /// Where the object begins.
        to: Offset,
    },
    /// The store did not give the bytes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name does not end as the name of a file does.
    #[error(
        "{object}: its name does not end in .avro, nor in .mak or .jsonl with .gz, .zst or nothing behind it"
    )]
    Name {
        /// The object, as a URL.
        object: String,
    },
    /// The container is damaged, cut, or of another kind than its name says.
    #[error("{object}: can't be unpacked")]
    Container {
        /// The object, as a URL.
        object: String,
        /// What is wrong.
        source: CodecError,
    },
    /// The metadata in the trailer does not describe a file of an archive.
    #[error("{object}: can't be told from its trailer")]
    Meta {
        /// The object, as a URL.
        object: String,
        /// What is wrong.
        source: MetaError,
    },
    /// The records of a frame don't read.
    #[error("{object}: its records can't be read")]
    Records {
        /// The object, as a URL.
        object: String,
        /// What is wrong, with its place in the unpacked file.
        source: MakError,
    },
    /// Name, metadata, index and records contradict each other.
    #[error("{object}: {what}")]
    Disagree {
        /// The object, as a URL.
        object: String,
        /// What does not fit what.
        what: String,
    },
}

impl ArchiveError {
    /// The exit code of a command that ends with this (sysexits).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Location(LocationError::Url { .. }) => 64,
            Self::Location(LocationError::Config(ConfigError::Invalid { .. })) => 78,
            Self::Location(LocationError::Missing { .. } | LocationError::Config(_))
            | Self::NoTopic { .. }
            | Self::NoPartition { .. }
            | Self::Below { .. }
            | Self::Store(StoreError::Missing { .. } | StoreError::NoBucket { .. }) => 66,
            Self::Store(StoreError::Denied { .. }) => 77,
            // Readers create nothing: what a store says besides is an answer that does not read.
            Self::Store(
                StoreError::Unavailable { .. }
                | StoreError::Exists { .. }
                | StoreError::Other { .. },
            ) => 69,
            Self::Thread(_) | Self::GivenUp { .. } => 70,
            Self::Name { .. }
            | Self::Hole { .. }
            | Self::Container { .. }
            | Self::Meta { .. }
            | Self::Records { .. }
            | Self::Disagree { .. } => 65,
        }
    }
}

fn instead(nearest: Option<&str>, count: usize) -> String {
    match nearest {
        None => {
            "; it has none at all: is this the right place, and with the right prefix?".to_owned()
        }
        Some(nearest) if count == 1 => format!("; its only one is \"{nearest}\""),
        Some(nearest) => format!("; it has {count}, and the most similar is \"{nearest}\""),
    }
}

fn other_than(wanted: Option<Partition>, there: &[Partition]) -> String {
    wanted.map_or_else(String::new, |wanted| format!(" {wanted}, but {}", numbers(there)))
        + if there.is_empty() { ": is this really a topic's folder?" } else { "" }
}

/// `0-3, 7`, or `none at all`.
fn numbers(there: &[Partition]) -> String {
    let mut spans: Vec<(i32, i32)> = Vec::new();
    for number in there.iter().map(|partition| partition.get()) {
        match spans.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => spans.push((number, number)),
        }
    }
    if spans.is_empty() {
        return "none at all".to_owned();
    }
    let text = |&(first, last): &(i32, i32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    spans.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_in_spans() {
        let there = |numbers_: &[i64]| {
            numbers(&numbers_.iter().map(|n| Partition::new(*n).unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(there(&[]), "none at all");
        assert_eq!(there(&[4]), "4");
        assert_eq!(there(&[0, 1, 2, 5, 7, 8]), "0-2, 5, 7-8");
    }
}
