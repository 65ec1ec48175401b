//! What a file says of itself at its start: the JSON headers of both versions.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::meta::{Gap, GapReason, Identity};
use crate::types::{Isolation, Offset, Partition, TopicId, TopicName, WriterToken};

/// When a file was begun: Unix seconds, kept as the text of the JSON number that was written, so
/// that `1500000001`, `1500000001.0` and `1500000001.25` stay what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartTime(String);

impl StartTime {
    /// The text of a JSON number; `None` if it is something else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str::<serde_json::Number>(text).is_ok().then(|| Self(text.to_owned()))
    }

    /// Spelled as Python spells a float, with milliseconds at most: `1500000001.0`, `...1.25`.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        let text = format!("{}.{:03}", millis / 1000, millis % 1000);
        let kept = text.strip_suffix("00").or_else(|| text.strip_suffix('0')).unwrap_or(&text);
        Self(kept.to_owned())
    }

    /// The same from a clock's reading; times before 1970 become 1970.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The number as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StartTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Header of a version 2 file.
#[derive(Debug, Clone)]
pub struct FileHeader {
    /// Whose records.
    pub identity: Identity,
    /// The first offset that the file covers.
    pub start: Offset,
    /// Which of the topic's chains it is written for, from 1.
    pub generation: u32,
    /// Start of the chain's first file.
    pub first: Offset,
    /// When it was begun.
    pub start_time: StartTime,
    /// What is missing at its start.
    pub gap: Option<Gap>,
    /// Who wrote it.
    pub writer: WriterToken,
}

impl FileHeader {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let id = &self.identity;
        let cluster = match id.cluster_id.as_str() {
            "" => String::new(),
            known => format!(", \"cluster\": {}", serde_json::Value::from(known)),
        };
        let gap = self.gap.map_or_else(String::new, |Gap { from, to, reason }| {
            format!(", \"gapfrom\": {from}, \"gapto\": {to}, \"gapreason\": \"{reason}\"")
        });
        let generation = match self.generation {
            1 => String::new(),
            later => format!(", \"generation\": {later}"),
        };
        format!(
            "{}{cluster}, \"topicid\": \"{}\", \"isolation\": \"{}\"{generation}, \"first\": {}, \
             \"writer\": \"{}\"{gap}}}",
            v1_fields(&id.topic, id.partition, self.start, &self.start_time),
            id.topic_id,
            id.isolation,
            self.first,
            self.writer,
        )
    }

    /// Reads the JSON text; keys that are not known are passed over.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let read: V2Json<'_> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let gap = match (read.gapfrom, read.gapto, read.gapreason) {
            (Some(from), Some(to), Some(reason)) => Some(Gap { from, to, reason }),
            (None, None, None) => None,
            _ => return Err("gapfrom, gapto and gapreason only go together".to_owned()),
        };
        Ok(Self {
            identity: Identity {
                cluster_id: read.cluster,
                topic: read.topic,
                topic_id: read.topicid,
                partition: read.partition,
                isolation: read.isolation,
            },
            start: read.startoffset,
            generation: read.generation,
            first: read.first,
            start_time: start_time(read.starttime)?,
            gap,
            writer: read.writer,
        })
    }
}

/// The four fields of version 1 with Python's spacing, without the closing brace.
/// A topic's name needs no escapes.
pub(super) fn v1_fields(
    topic: &TopicName,
    partition: Partition,
    start: Offset,
    start_time: &StartTime,
) -> String {
    format!(
        "{{\"topic\": \"{topic}\", \"partition\": {partition}, \
         \"startoffset\": {start}, \"starttime\": {start_time}"
    )
}

pub(super) fn start_time(raw: &RawValue) -> Result<StartTime, String> {
    StartTime::from_text(raw.get()).ok_or_else(|| "starttime is not a number".to_owned())
}

const fn first_generation() -> u32 {
    1
}

#[derive(Deserialize)]
struct V2Json<'a> {
    topic: TopicName,
    partition: Partition,
    startoffset: Offset,
    #[serde(borrow)]
    starttime: &'a RawValue,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    topicid: TopicId,
    isolation: Isolation,
    #[serde(default = "first_generation")]
    generation: u32,
    first: Offset,
    writer: WriterToken,
    gapfrom: Option<Offset>,
    gapto: Option<Offset>,
    gapreason: Option<GapReason>,
}
