//! A record as it goes into a file and comes out of one: borrowed bytes, nothing copied.

use std::fmt;

use super::varint;
use crate::types::{Offset, Timestamp};

/// One Kafka message. `None` is null, which is not the same as empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// When, and by whom that was set.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order.
    pub headers: Headers<'a>,
}

impl Record<'_> {
    /// Bytes of key, value, header names and header values: what the totals count.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, |b| b.len() as u64);
        len(self.key) + len(self.value) + self.headers.content_bytes()
    }
}

/// A record's headers in the encoded form of version 2; always well-formed.
///
/// For each header: varint length of its name, the name, varint 0 for a null value or the value's
/// length plus 1, the value.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    encoded: &'a [u8],
    content: u64,
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const NONE: Self = Self { encoded: &[], content: 0 };

    /// Takes encoded bytes if they are well-formed to their end.
    #[must_use]
    pub fn parse(encoded: &'a [u8]) -> Option<Self> {
        let mut content = 0;
        let mut rest = encoded;
        while !rest.is_empty() {
            let (name, value) = take_header(&mut rest)?;
            content += (name.len() + value.map_or(0, <[u8]>::len)) as u64;
        }
        Some(Self { encoded, content })
    }

    /// The encoded bytes; none if there are no headers.
    #[must_use]
    pub const fn encoded(self) -> &'a [u8] {
        self.encoded
    }

    /// Bytes of all names and values.
    #[must_use]
    pub const fn content_bytes(self) -> u64 {
        self.content
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.encoded.is_empty()
    }

    /// Goes through them in order; names may repeat, and need not be UTF-8.
    #[must_use]
    pub const fn iter(self) -> HeadersIter<'a> {
        HeadersIter(self.encoded)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);
    type IntoIter = HeadersIter<'a>;
    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterator over names and values.
#[derive(Debug, Clone)]
pub struct HeadersIter<'a>(&'a [u8]);

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);
    fn next(&mut self) -> Option<Self::Item> {
        take_header(&mut self.0)
    }
}

fn take_header<'a>(from: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let len = varint::take(from)?;
    let name = varint::take_bytes(from, len)?;
    match varint::take(from)?.checked_sub(1) {
        None => Some((name, None)),
        Some(len) => Some((name, Some(varint::take_bytes(from, len)?))),
    }
}

/// Encodes headers; made once and cleared for each record, so that it allocates but seldom.
#[derive(Debug, Clone, Default)]
pub struct HeadersBuf {
    encoded: Vec<u8>,
    content: u64,
}

impl HeadersBuf {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { encoded: Vec::new(), content: 0 }
    }

    /// Forgets the headers, keeps the memory.
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.content = 0;
    }

    /// Appends a header.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        varint::put(&mut self.encoded, name.len() as u64);
        self.encoded.extend_from_slice(name);
        varint::put(&mut self.encoded, value.map_or(0, |v| v.len() as u64 + 1));
        self.encoded.extend_from_slice(value.unwrap_or_default());
        self.content += (name.len() + value.map_or(0, <[u8]>::len)) as u64;
    }

    /// The headers so far, for a [`Record`].
    #[must_use]
    pub fn as_headers(&self) -> Headers<'_> {
        Headers { encoded: &self.encoded, content: self.content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_order_repeats_nulls_and_odd_names() {
        let given: [(&[u8], Option<&[u8]>); 4] =
            [(b"a", Some(b"1")), (b"a", None), (b"", Some(b"")), (b"\xff\xfe", Some(&[7; 300]))];
        let mut buf = HeadersBuf::new();
        buf.push(b"forgotten", None);
        buf.clear();
        for (name, value) in given {
            buf.push(name, value);
        }
        let headers = buf.as_headers();
        assert_eq!(headers.iter().collect::<Vec<_>>(), given);
        assert_eq!(headers.content_bytes(), 305);
        assert_eq!(Headers::parse(headers.encoded()), Some(headers));
        assert_eq!(Headers::parse(&headers.encoded()[..5]), None);
        assert!(Headers::parse(&[]).is_some_and(Headers::is_empty));
    }
}
