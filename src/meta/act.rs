//! What a person did to a chain by hand, and what a chain has to say of the one before it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{MetaError, Reader, Writer, wrong};
use crate::types::{Offset, Suffix};

/// Longest text of who and why, in bytes: stores limit user metadata (S3: 2 KB in all), and a byte
/// may take three characters there.
const LONGEST: usize = 160;

/// Who did something to a chain by hand, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Act {
    /// Who: `user@host`.
    by: String,
    /// Milliseconds since 1970-01-01 UTC.
    #[serde(rename = "time")]
    pub time_ms: u64,
    /// Why, in their own words.
    why: String,
}

impl Act {
    /// Texts that are too long are cut.
    #[must_use]
    pub fn new(by: &str, time_ms: u64, why: &str) -> Self {
        Self { by: cut(by), time_ms, why: cut(why) }
    }

    /// Who: `user@host`.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Why, in their own words.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    pub(super) fn write(&self, map: &mut Writer) {
        map.put("by", &visible(&self.by));
        map.put("time", &self.time_ms);
        map.put("why", &visible(&self.why));
    }

    pub(super) fn read(read: &Reader<'_>) -> Result<Self, MetaError> {
        let text =
            |key| plain(read.text(key)?).map_err(|why| wrong(key, read.0[key].as_str(), why));
        Ok(Self { by: text("by")?, time_ms: read.parse("time")?, why: text("why")? })
    }
}

/// How the chain behind a closed one begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Succession {
    /// Where it begins.
    pub first: Offset,
    /// The suffix of its first file.
    pub suffix: Suffix,
    /// Whose doing it is.
    pub act: Act,
}

/// What the identity record of a second chain says of the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Follows {
    /// The chain before, as its folder: `orders`, `orders@2`.
    pub chain: String,
    /// Where that one ended when this one was begun, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<Offset>,
    /// Whose doing it is.
    #[serde(flatten)]
    pub act: Act,
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned()
}

/// Visible ASCII: everything else, and `%` itself, as `%XX`.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn plain(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit =
                |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                return Err("a % is not followed by two hex digits".to_owned());
            };
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::MetaMap;

    #[test]
    fn any_text_is_visible_ascii_and_reads_back() {
        for why in ["", "a b", "100 %", "Grüße\n\0\u{7f}", "%41", "\"x\", {y}: /z"] {
            let act = Act::new("anna@häuschen", 5, why);
            let mut map = Writer(MetaMap::new());
            act.write(&mut map);
            assert!(map.0.values().all(|value| value.bytes().all(|b| b.is_ascii_graphic())));
            assert_eq!(Act::read(&Reader(&map.0)).unwrap(), act, "{why:?}");
        }
        for broken in ["%", "%4", "%GG", "%FF"] {
            let map = [("by", "x"), ("time", "1"), ("why", broken)];
            let map: MetaMap = map.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            assert!(Act::read(&Reader(&map)).is_err(), "{broken}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let act = Act::new("x", 0, &"ü".repeat(100));
        assert_eq!(act.why(), "ü".repeat(80));
        assert!(visible(act.why()).len() <= 3 * LONGEST);
    }
}
