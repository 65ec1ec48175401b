//! Records as JSON lines, with kcat's names; `kafkatos3_parse --json` prints the same.
//!
//! Null is null. Keys, payloads and headers that are not UTF-8 stand as base64 under `key_b64`,
//! `payload_b64` and `headers_b64`. Records without a timestamp have no `tstype` and `ts`, records
//! without headers no `headers`. So nothing is lost.

use std::io::{self, Write};

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::piece::Slot;
use crate::mak::{Headers, Record};
use crate::types::{Offset, Partition, Timestamp, TimestampType, TopicName};

/// What is the same for all records of a file; null is what is not known. A topic's name needs no
/// escapes.
pub(crate) fn start(topic: Option<&TopicName>, partition: Option<Partition>) -> String {
    let null = || "null".to_owned();
    let topic = topic.map_or_else(null, |topic| format!("\"{topic}\""));
    let partition = partition.map_or_else(null, |partition| partition.to_string());
    format!("{{\"topic\":{topic},\"partition\":{partition},\"offset\":")
}

/// Writes the line of a record, which begins with what [`start`] made.
pub(crate) fn put_record(start: &str, record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{start}{}", record.offset)?;
    if let Some(time) = record.timestamp {
        let kind = match time.kind {
            TimestampType::Create => "create",
            TimestampType::LogAppend => "logappend",
        };
        write!(out, ",\"tstype\":\"{kind}\",\"ts\":{}", time.millis)?;
    }
    put_headers(record.headers, out)?;
    put_field("key", record.key, out)?;
    put_field("payload", record.value, out)?;
    out.write_all(b"}\n")
}

fn put_field(name: &str, bytes: Option<&[u8]>, out: &mut impl Write) -> io::Result<()> {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => write!(out, ",\"{name}\":null"),
        Some(Ok(text)) => {
            write!(out, ",\"{name}\":")?;
            Ok(serde_json::to_writer(out, text)?)
        }
        Some(Err(bytes)) => {
            write!(out, ",\"{name}_b64\":\"{}\"", Base64Display::new(bytes, &STANDARD))
        }
    }
}

/// Names and values in turn, as kcat has them; all of them as base64 if one is not UTF-8.
fn put_headers(headers: Headers<'_>, out: &mut impl Write) -> io::Result<()> {
    if headers.is_empty() {
        return Ok(());
    }
    // One at a time: a record may have millions of empty ones.
    let parts = || headers.iter().flat_map(|(name, value)| [Some(name), value]);
    let is_text = parts().flatten().all(|part| std::str::from_utf8(part).is_ok());
    write!(out, ",\"headers{}\":", if is_text { "" } else { "_b64" })?;
    for (n, part) in parts().enumerate() {
        out.write_all(if n == 0 { b"[" } else { b"," })?;
        match part.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => out.write_all(b"null")?,
            Some((_, Ok(text))) if is_text => serde_json::to_writer(&mut *out, text)?,
            Some((bytes, _)) => write!(out, "\"{}\"", Base64Display::new(bytes, &STANDARD))?,
        }
    }
    out.write_all(b"]")
}

/// A line, as it was written here or by kcat; other names are passed over.
#[derive(Deserialize)]
struct Line {
    topic: Option<TopicName>,
    partition: Option<Partition>,
    offset: Offset,
    tstype: Option<String>,
    ts: Option<i64>,
    headers: Option<Vec<Option<String>>>,
    headers_b64: Option<Vec<Option<String>>>,
    key: Option<String>,
    key_b64: Option<String>,
    payload: Option<String>,
    payload_b64: Option<String>,
}

/// Whose records lines are, as far as they say so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) topic: Option<TopicName>,
    pub(super) partition: Option<Partition>,
}

impl Whose {
    /// A line says that it is of `other`: an error if the lines before said otherwise.
    pub(super) fn learn(&mut self, other: Self) -> Result<(), String> {
        let differs = |mine: String| Err(format!("it is not of {mine}, as those before"));
        match (&self.topic, &other.topic) {
            (Some(mine), Some(other)) if mine != other => return differs(mine.to_string()),
            _ => {}
        }
        match (self.partition, other.partition) {
            (Some(mine), Some(other)) if mine != other => {
                return differs(format!("partition {mine}"));
            }
            _ => {}
        }
        self.topic = self.topic.take().or(other.topic);
        self.partition = self.partition.or(other.partition);
        Ok(())
    }
}

/// Takes the record of a line into `slot`; what is wrong with it otherwise.
pub(super) fn take(line: &[u8], slot: &mut Slot) -> Result<Whose, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    slot.offset = line.offset;
    let kind = match line.tstype.as_deref() {
        None | Some("unknown") => None,
        Some("create") => Some(TimestampType::Create),
        Some("logappend") => Some(TimestampType::LogAppend),
        Some(other) => return Err(format!("tstype \"{other}\" is not create or logappend")),
    };
    slot.timestamp = match (kind, line.ts) {
        (Some(kind), Some(millis)) => Some(Timestamp { millis, kind }),
        (Some(_), None) => return Err("tstype without ts".to_owned()),
        (None, _) => None,
    };
    let texts = line.headers.map(|parts| parts.into_iter().map(|t| t.map(String::into_bytes)));
    let parts: Vec<Option<Vec<u8>>> = match (texts, line.headers_b64) {
        (Some(_), Some(_)) => return Err("headers and headers_b64 stand together".to_owned()),
        (Some(texts), None) => texts.collect(),
        (None, Some(encoded)) => encoded
            .into_iter()
            .map(|part| part.map(|text| decode(&text)).transpose())
            .collect::<Result<_, _>>()?,
        (None, None) => Vec::new(),
    };
    let (pairs, []) = parts.as_chunks::<2>() else {
        return Err("headers are not names and values in turn".to_owned());
    };
    for [name, value] in pairs {
        let name = name.as_deref().ok_or("a header's name is null")?;
        slot.headers.push(name, value.as_deref());
    }
    let key = bytes(line.key, line.key_b64)?;
    let value = bytes(line.payload, line.payload_b64)?;
    slot.put(key.as_deref(), value.as_deref());
    Ok(Whose { topic: line.topic, partition: line.partition })
}

fn bytes(text: Option<String>, encoded: Option<String>) -> Result<Option<Vec<u8>>, String> {
    match (text, encoded) {
        (Some(_), Some(_)) => Err("a text and its base64 stand together".to_owned()),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(encoded)) => decode(&encoded).map(Some),
        (None, None) => Ok(None),
    }
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("it is not base64: {error}"))
}
