//! kcat's JSON envelope, one object a record. Pure.
//!
//! As kcat writes it, with `broker` -1. What is not UTF-8, which kcat lets through and no reader of
//! JSON takes, stands as base64 under `key_b64`, `payload_b64` and `headers_b64`.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::archive::Message;
use crate::mak::Headers;
use crate::types::TimestampType;

/// Appends the object for `message`, without a delimiter.
pub(super) fn print(message: &Message<'_>, out: &mut Vec<u8>) {
    let (chain, record) = (message.chain, &message.record);
    let (topic, partition, offset) = (chain.name().topic(), chain.partition(), record.offset);
    // Writing to memory does not fail, and a topic's name needs no escapes.
    let _ = write!(out, "{{\"topic\":\"{topic}\",\"partition\":{partition},\"offset\":{offset}");
    if let Some(time) = record.timestamp {
        let kind = match time.kind {
            TimestampType::Create => "create",
            TimestampType::LogAppend => "logappend",
        };
        let _ = write!(out, ",\"tstype\":\"{kind}\",\"ts\":{}", time.millis);
    }
    out.extend_from_slice(b",\"broker\":-1");
    headers(record.headers, out);
    field("key", record.key, out);
    field("payload", record.value, out);
    out.push(b'}');
}

fn field(name: &str, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    let is_text = bytes.is_none_or(|bytes| std::str::from_utf8(bytes).is_ok());
    let kind = if is_text { "" } else { "_b64" };
    let _ = write!(out, ",\"{name}{kind}\":");
    value(bytes, is_text, out);
}

fn headers(headers: Headers<'_>, out: &mut Vec<u8>) {
    if headers.is_empty() {
        return;
    }
    let parts = || headers.iter().flat_map(|(name, value)| [Some(name), value]);
    let is_text = parts().flatten().all(|bytes| std::str::from_utf8(bytes).is_ok());
    let key: &[u8] = if is_text { b",\"headers\":[" } else { b",\"headers_b64\":[" };
    out.extend_from_slice(key);
    for (at, part) in parts().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        value(part, is_text, out);
    }
    out.push(b']');
}

fn value(bytes: Option<&[u8]>, is_text: bool, out: &mut Vec<u8>) {
    match bytes {
        None => out.extend_from_slice(b"null"),
        Some(bytes) if is_text => text(bytes, out),
        Some(bytes) => {
            let _ = write!(out, "\"{}\"", STANDARD.encode(bytes));
        }
    }
}

/// A JSON text, with the escapes that kcat's library writes.
fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = bytes;
    let is_special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    while let Some(at) = rest.iter().position(is_special) {
        let (plain, behind) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, left)) = behind.split_first() else { break };
        match special {
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => {
                let _ = write!(out, "\\u{other:04X}");
            }
        }
        rest = left;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_kcat_does() {
        let mut out = Vec::new();
        text("a\"b\\c/\n\r\t\u{8}\u{c}\u{1b}\u{7f}é".as_bytes(), &mut out);
        let expected = "\"a\\\"b\\\\c/\\n\\r\\t\\b\\f\\u001B\u{7f}é\"";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_is_no_text_is_base64() {
        let mut out = Vec::new();
        field("key", Some(b"\xff\xfe"), &mut out);
        field("payload", None, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), ",\"key_b64\":\"//4=\",\"payload\":null");
    }
}
