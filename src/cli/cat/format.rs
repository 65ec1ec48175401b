//! kcat's format strings, with all its ways. Pure.
//!
//! Text between tokens knows `\n`, `\r`, `\t`, and numbers as C reads them: `\x0a` in hexadecimal,
//! `\012` in octal, `\10` in decimal. As in kcat, a hexadecimal number has to begin with a digit
//! (`\x0ff` is one, `\xff` is the text `ff`), takes as many digits as there are, and a text ends at
//! a NUL.

use std::io::Write as _;

use crate::archive::Message;
use crate::mak::Headers;

/// A piece of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(Vec<u8>),
    Offset,
    Key,
    KeyLength,
    Payload,
    PayloadLength,
    BinaryPayloadLength,
    Topic,
    Partition,
    Timestamp,
    Headers,
}

/// What is printed of each record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    tokens: Vec<Token>,
    /// What stands for a key or payload that is null or empty.
    null: &'static [u8],
}

/// A format string that does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    #[error("the format ends with a single %: write %% for a percent sign")]
    Unfinished,
    #[error("the format has no %{0}: there are %s %S %R %k %K %T %h %t %p %o and %%")]
    Unknown(char),
}

impl Format {
    /// Reads kcat's `-f`.
    pub(super) fn parse(format: &[u8]) -> Result<Self, FormatError> {
        let mut tokens = Vec::new();
        let mut rest = format;
        while let Some(at) = memchr::memchr(b'%', rest) {
            let (text, behind) = rest.split_at(at);
            push_text(&mut tokens, text);
            let (token, left) = match behind {
                [_, b'%', left @ ..] => (Token::Text(b"%".to_vec()), left),
                [_, letter, left @ ..] => (Token::of(*letter)?, left),
                _ => return Err(FormatError::Unfinished),
            };
            tokens.push(token);
            rest = left;
        }
        push_text(&mut tokens, rest);
        Ok(Self { tokens, null: b"" })
    }

    /// What kcat prints without `-f`: key and its delimiter, if there is one, payload, delimiter.
    pub(super) fn delimited(key_delimiter: Option<Vec<u8>>, delimiter: Vec<u8>) -> Self {
        let key = key_delimiter.map(|text| [Token::Key, Token::Text(text)]);
        let tail = [Token::Payload, Token::Text(delimiter)];
        Self { tokens: key.into_iter().flatten().chain(tail).collect(), null: b"" }
    }

    /// Prints NULL for what is null or empty.
    pub(super) fn showing_null(self, show: bool) -> Self {
        Self { null: if show { b"NULL" } else { b"" }, ..self }
    }

    /// The text that it begins with, which is what kcat puts behind each JSON object.
    pub(super) fn first_text(&self) -> &[u8] {
        match self.tokens.first() {
            Some(Token::Text(text)) => text,
            _ => b"",
        }
    }

    /// Appends what is printed of `message`.
    #[inline]
    pub(super) fn print(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        let record = &message.record;
        for token in &self.tokens {
            match token {
                Token::Text(text) => out.extend_from_slice(text),
                Token::Payload => self.bytes(record.value, out),
                Token::Key => self.bytes(record.key, out),
                Token::Offset => number(record.offset.to_kafka(), out),
                Token::KeyLength => number(length(record.key), out),
                Token::PayloadLength => number(length(record.value), out),
                Token::BinaryPayloadLength => {
                    let length = i32::try_from(length(record.value)).unwrap_or(i32::MAX);
                    out.extend_from_slice(&length.to_be_bytes());
                }
                Token::Topic => {
                    out.extend_from_slice(message.chain.name().topic().as_str().as_bytes());
                }
                Token::Partition => number(message.chain.partition().get().into(), out),
                Token::Timestamp => number(record.timestamp.map_or(-1, |time| time.millis), out),
                Token::Headers => headers(record.headers, out),
            }
        }
    }

    #[inline]
    fn bytes(&self, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
        match bytes {
            None | Some([]) => out.extend_from_slice(self.null),
            Some(bytes) => out.extend_from_slice(bytes),
        }
    }
}

impl Token {
    fn of(letter: u8) -> Result<Self, FormatError> {
        Ok(match letter {
            b'o' => Self::Offset,
            b'k' => Self::Key,
            b'K' => Self::KeyLength,
            b's' => Self::Payload,
            b'S' => Self::PayloadLength,
            b'R' => Self::BinaryPayloadLength,
            b't' => Self::Topic,
            b'p' => Self::Partition,
            b'T' => Self::Timestamp,
            b'h' => Self::Headers,
            other => return Err(FormatError::Unknown(other.into())),
        })
    }
}

fn push_text(tokens: &mut Vec<Token>, text: &[u8]) {
    if !text.is_empty() {
        tokens.push(Token::Text(unescape(text)));
    }
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        let byte = match rest {
            // Nothing follows the `\x`: the text ends with the NUL that C has there.
            [] | [b'\\', b'x'] => break,
            [b'\\', b'n', left @ ..] => take(&mut rest, left, b'\n'),
            [b'\\', b'r', left @ ..] => take(&mut rest, left, b'\r'),
            [b'\\', b't', left @ ..] => take(&mut rest, left, b'\t'),
            [b'\\', b'x', left @ ..] if left.first().is_some_and(u8::is_ascii_digit) => {
                rest = left;
                strtoul(&mut rest, 16)
            }
            [b'\\', b'x', byte, left @ ..] => take(&mut rest, left, *byte),
            [b'\\', left @ ..] if left.first().is_some_and(u8::is_ascii_digit) => {
                rest = left;
                strtoul(&mut rest, 0)
            }
            [b'\\', byte, left @ ..] | [byte, left @ ..] => take(&mut rest, left, *byte),
        };
        if byte == 0 {
            break;
        }
        out.push(byte);
    }
    out
}

fn take<'a>(rest: &mut &'a [u8], left: &'a [u8], byte: u8) -> u8 {
    *rest = left;
    byte
}

/// The lowest byte of a number as C's `strtoul` reads it; base 0 goes by its beginning.
fn strtoul(rest: &mut &[u8], base: u32) -> u8 {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let base = match rest {
        [b'0', b'x' | b'X', left @ ..] if base != 10 && is_hex(left.first()) => {
            *rest = left;
            16
        }
        [b'0', ..] if base == 0 => 8,
        _ if base == 0 => 10,
        _ => base,
    };
    let mut number: Option<u64> = Some(0);
    while let Some((digit, left)) = rest.split_first()
        && let Some(digit) = char::from(*digit).to_digit(base)
    {
        let shifted = number.and_then(|number| number.checked_mul(base.into()));
        number = shifted.and_then(|number| number.checked_add(digit.into()));
        *rest = left;
    }
    let [lowest, ..] = number.unwrap_or(u64::MAX).to_le_bytes();
    lowest
}

/// kcat's `-K` and `-D`: a text with `\n`, `\r`, `\t`, `\\` and `\xNN`.
pub(super) fn delimiter(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        let byte = match rest {
            [] => return Ok(out),
            [b'\\', b'n', left @ ..] => take(&mut rest, left, b'\n'),
            [b'\\', b'r', left @ ..] => take(&mut rest, left, b'\r'),
            [b'\\', b't', left @ ..] => take(&mut rest, left, b'\t'),
            [b'\\', b'\\', left @ ..] => take(&mut rest, left, b'\\'),
            [b'\\', b'x', left @ ..] => {
                if !left.first().is_some_and(u8::is_ascii_hexdigit) {
                    return Err("a delimiter's \\x has to be followed by a hex number".to_owned());
                }
                rest = left;
                strtoul(&mut rest, 16)
            }
            [byte, left @ ..] => take(&mut rest, left, *byte),
        };
        out.push(byte);
    }
}

/// -1 for null.
fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

fn number(number: i64, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(out, "{number}");
}

/// `name=value,name=value`; as C prints texts, each ends at a NUL.
fn headers(headers: Headers<'_>, out: &mut Vec<u8>) {
    let text = |bytes: &[u8]| memchr::memchr(0, bytes).unwrap_or(bytes.len());
    for (at, (name, value)) in headers.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.get(..text(name)).unwrap_or_default());
        out.push(b'=');
        match value {
            None => out.extend_from_slice(b"NULL"),
            Some(value) => out.extend_from_slice(value.get(..text(value)).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mak::{HeadersBuf, Record};
    use crate::store::names::ChainName;
    use crate::types::{Offset, Partition, Timestamp, TimestampType, TopicName};

    fn printed(format: &Format, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
        let mut buf = HeadersBuf::new();
        for (name, value) in
            [(&b"a"[..], Some(&b"1"[..])), (b"b", None), (b"c", Some(b"")), (b"d", Some(b"x\0y"))]
        {
            buf.push(name, value);
        }
        let topic = TopicName::new("t").unwrap();
        let chain = ChainName::new(topic, 2).partition(Partition::new(7).unwrap());
        let record = Record {
            offset: Offset::new(12).unwrap(),
            timestamp: Some(Timestamp { millis: -5, kind: TimestampType::Create }),
            key,
            value,
            headers: buf.as_headers(),
        };
        let mut out = Vec::new();
        format.print(&Message { chain: &chain, record }, &mut out);
        out
    }

    fn all(format: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
        let format = Format::parse(format.as_bytes()).unwrap();
        String::from_utf8(printed(&format, key, value)).unwrap()
    }

    #[test]
    fn every_token_prints() {
        let format = "%t [%p] %o %T %k %K %s %S %h %%\\n";
        let expected = "t [7] 12 -5 key 3 value 5 a=1,b=NULL,c=,d=x %\n";
        assert_eq!(all(format, Some(b"key"), Some(b"value")), expected);
        assert_eq!(all("%k|%K|%s|%S", None, Some(b"")), "|-1||0");
        let binary = Format::parse(b"%R").unwrap();
        assert_eq!(printed(&binary, None, Some(&[7; 300])), [0, 0, 1, 44]);
        assert_eq!(printed(&binary, None, None), [255; 4]);
    }

    #[test]
    fn null_and_empty_show_as_null() {
        let format = Format::parse(b"%k %K %s %S").unwrap().showing_null(true);
        assert_eq!(printed(&format, None, Some(b"")), b"NULL -1 NULL 0");
        let format = Format::delimited(Some(b"=".to_vec()), b";".to_vec());
        assert_eq!(printed(&format, Some(b"k"), Some(b"v")), b"k=v;");
        assert_eq!(printed(&format.showing_null(true), None, None), b"NULL=NULL;");
    }

    #[test]
    fn escapes_are_cs_and_kcats() {
        for (text, bytes) in [
            (r"a\tb\nc\rd", &b"a\tb\nc\rd"[..]),
            (r"\x41!\x4a", b"A!J"),
            (r"\x0ff", b"\xff"),
            (r"\xff", b"ff"),
            (r"\65\0101\0x41", b"AAA"),
            (r"\\ \q \", b"\\ q \\"),
            (r"a\x00!b", b"a"),
            (r"a\x", b"a"),
            (r"\99999999999999999999999", b"\xff"),
        ] {
            assert_eq!(unescape(text.as_bytes()), bytes, "{text}");
        }
        assert_eq!(Format::parse(b"%q"), Err(FormatError::Unknown('q')));
        assert_eq!(Format::parse(b"a%"), Err(FormatError::Unfinished));
        assert_eq!(Format::parse(b"--\\n%s").unwrap().first_text(), b"--\n");
        assert_eq!(Format::parse(b"%s").unwrap().first_text(), b"");
    }

    #[test]
    fn delimiters_have_escapes_of_their_own() {
        for (text, bytes) in [
            ("", &b""[..]),
            (r"\t\n\n", b"\t\n\n"),
            (r"\x54!\x45\x53T", b"T!EST"),
            (r"\x00\xff%s", b"\0\xff%s"),
            (r"\r\n\\q\", b"\r\n\\q\\"),
        ] {
            assert_eq!(delimiter(text.as_bytes()).unwrap(), bytes, "{text}");
        }
        assert!(delimiter(br"\xg").is_err());
    }
}
