//! What a file holds and how it is packed: the end of its name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::TypeError;

/// How records are laid down in an archived file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// MAK, the product's own.
    Mak,
    /// An Avro object container file.
    Avro,
    /// JSON lines.
    Jsonl,
}

impl Format {
    /// Every one that there is.
    pub const ALL: [Self; 3] = [Self::Mak, Self::Avro, Self::Jsonl];

    /// Reads the word for it, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str().eq_ignore_ascii_case(text))
    }

    /// The word for it in configurations and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mak => "mak",
            Self::Avro => "avro",
            Self::Jsonl => "jsonl",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which fields the records of an Avro file have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AvroSchema {
    /// All that Kafka delivers.
    Full,
    /// kafka_store's: timestamp, key and value.
    Plain,
}

impl AvroSchema {
    /// Every one that there is.
    pub const ALL: [Self; 2] = [Self::Full, Self::Plain];

    /// The word for it in configurations and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Plain => "plain",
        }
    }

    /// The one that files of `suffix` have where nobody asks for another.
    #[must_use]
    pub const fn of(suffix: Suffix) -> Self {
        if suffix.is_kafka_store() { Self::Plain } else { Self::Full }
    }

    /// Reads the word for it, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for AvroSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an archived file holds and how it is packed; it decides the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Suffix {
    /// `.mak`: as it is.
    Mak,
    /// `.mak.gz`: gzip members.
    MakGz,
    /// `.mak.zst`: zstd frames.
    MakZst,
    /// `.avro`: an object container file, whose blocks are packed as its header says.
    Avro,
    /// `.jsonl`: JSON lines as they are.
    Jsonl,
    /// `.jsonl.gz`: JSON lines in gzip members.
    JsonlGz,
    /// `.jsonl.zst`: JSON lines in zstd frames.
    JsonlZst,
    /// An Avro file under kafka_store's name, which has no end: `.kafka_store` is said in its place
    /// wherever it is not an archived file that is named.
    KafkaStore,
}

impl Suffix {
    /// Every one that there is.
    pub const ALL: [Self; 8] = [
        Self::Mak,
        Self::MakGz,
        Self::MakZst,
        Self::Avro,
        Self::Jsonl,
        Self::JsonlGz,
        Self::JsonlZst,
        Self::KafkaStore,
    ];

    /// Those of MAK.
    pub const MAK: [Self; 3] = [Self::Mak, Self::MakGz, Self::MakZst];

    /// The end of a name, with its leading dot.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mak => ".mak",
            Self::MakGz => ".mak.gz",
            Self::MakZst => ".mak.zst",
            Self::Avro => ".avro",
            Self::Jsonl => ".jsonl",
            Self::JsonlGz => ".jsonl.gz",
            Self::JsonlZst => ".jsonl.zst",
            Self::KafkaStore => ".kafka_store",
        }
    }

    /// How records are laid down inside.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Mak | Self::MakGz | Self::MakZst => Format::Mak,
            Self::Avro | Self::KafkaStore => Format::Avro,
            Self::Jsonl | Self::JsonlGz | Self::JsonlZst => Format::Jsonl,
        }
    }

    /// Whether names that end so are kafka_store's. A chain's all are, or none.
    #[must_use]
    pub const fn is_kafka_store(self) -> bool {
        matches!(self, Self::KafkaStore)
    }

    /// The one that `name` ends in; those that have no end are not found by it.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let said = |suffix: &Self| !suffix.is_kafka_store() && name.ends_with(suffix.as_str());
        Self::ALL.into_iter().find(said)
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Suffix {
    type Err = TypeError;
    fn from_str(text: &str) -> Result<Self, TypeError> {
        Self::ALL
            .into_iter()
            .find(|suffix| suffix.as_str() == text)
            .ok_or_else(|| TypeError::Word { text: text.to_owned(), what: "a file suffix" })
    }
}

impl TryFrom<String> for Suffix {
    type Error = TypeError;
    fn try_from(text: String) -> Result<Self, TypeError> {
        text.parse()
    }
}

impl From<Suffix> for String {
    fn from(suffix: Suffix) -> String {
        suffix.as_str().to_owned()
    }
}
