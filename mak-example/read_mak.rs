//! Reads plain MAK files, versions 1 and 2, and prints each record as a line of JSON.
//! Needs nothing but the standard library: `rustc -O read_mak.rs`.
//!
//!     read_mak FILE
//!     zcat FILE.mak.gz | read_mak
//!
//! Written from docs/mak-v2.md; shares no code with kafkatos3.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "-".to_owned());
    let mut out = BufWriter::new(io::stdout().lock());
    let done = open(&name).and_then(|input| print(input, &mut out));
    let done = out.flush().map_err(Bad::from).and(done);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Bad(why)) => {
            eprintln!("read_mak: {name}: {why}");
            ExitCode::from(65)
        }
    }
}

/// Why the file can't be read on; all good records were printed.
struct Bad(String);

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Bad {
        Bad(error.to_string())
    }
}

fn bad<T>(what: &str, position: u64) -> Result<T, Bad> {
    Err(Bad(format!("{what} at byte {position}")))
}

struct Record<'a> {
    offset: u64,
    time: Option<(&'static str, i64)>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<Option<&'a [u8]>>, // names and values in turn
}

fn open(name: &str) -> Result<Input, Bad> {
    let source: Box<dyn Read> =
        if name == "-" { Box::new(io::stdin()) } else { Box::new(std::fs::File::open(name)?) };
    Ok(Input { source: BufReader::new(source), position: 0 })
}

fn print(mut input: Input, out: &mut impl Write) -> Result<(), Bad> {
    match input.take(4)?.as_slice() {
        b"MAK\0" => print_v1(input, out),
        b"MAK\x02" => print_v2(input, out),
        _ => Err(Bad("not a plain MAK file of version 1 or 2".to_owned())),
    }
}

// ------------------------------------------------------------------ bytes

struct Input {
    source: BufReader<Box<dyn Read>>,
    position: u64,
}

impl Input {
    /// Up to `size` bytes, less only at the end. Grows as bytes come, since a size may lie.
    fn read(&mut self, size: u64) -> Result<Vec<u8>, Bad> {
        let mut bytes = Vec::new();
        self.source.by_ref().take(size).read_to_end(&mut bytes)?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    fn take(&mut self, size: u64) -> Result<Vec<u8>, Bad> {
        let start = self.position;
        let bytes = self.read(size)?;
        if bytes.len() as u64 == size { Ok(bytes) } else { bad("cut short: what begins", start) }
    }
}

/// Takes numbers and byte strings off the front of a slice.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, size: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(size).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn fixed(&mut self, size: u64) -> Option<u64> {
        Some(self.take(size)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// What stands here if `bit` of `flags` is set.
    fn varint_if(&mut self, flags: u8, bit: u8) -> Option<Option<u64>> {
        if flags & bit == 0 { Some(None) } else { self.varint().map(Some) }
    }

    fn take_if(&mut self, size: Option<u64>) -> Option<Option<&'a [u8]>> {
        size.map_or(Some(None), |size| self.take(size).map(Some))
    }
}

fn crc32(parts: [&[u8]; 2]) -> u32 {
    static TABLE: [u32; 256] = {
        let mut table = [0u32; 256];
        let mut n = 0;
        while n < 256 {
            let (mut crc, mut bit) = (n as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
                bit += 1;
            }
            table[n] = crc;
            n += 1;
        }
        table
    };
    let bytes = parts.into_iter().flatten();
    !bytes.fold(!0, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

// ------------------------------------------------------------------ version 1

fn print_v1(mut input: Input, out: &mut impl Write) -> Result<(), Bad> {
    let head = input.take(23)?;
    let mut head = Bytes(&head[7..]);
    let (end, length) = (head.fixed(8).unwrap_or(0), head.fixed(8).unwrap_or(0));
    if length.checked_add(27).is_none_or(|records| records > end) {
        return bad("the end pointer lies inside the head", 11);
    }
    let start = json_start(&input.take(length)?)?;
    while input.position < end {
        let position = input.position;
        let mut part = || {
            let size = Bytes(&input.take(8)?).fixed(8).unwrap_or(0);
            if size > end.saturating_sub(input.position) {
                return bad("a record goes beyond the end pointer", position);
            }
            input.take(size)
        };
        let (key, value) = (part()?, part()?);
        if end.saturating_sub(input.position) < 8 {
            return bad("a record goes beyond the end pointer", position);
        }
        let offset = Bytes(&input.take(8)?).fixed(8).unwrap_or(0);
        let (key, value) = (Some(key.as_slice()), Some(value.as_slice()));
        print_json(&start, &Record { offset, time: None, key, value, headers: vec![] }, out)?;
    }
    Ok(())
}

// ------------------------------------------------------------------ version 2

/// The next block's kind and payload, its CRC verified; `None` at the end.
fn next_block(input: &mut Input) -> Result<Option<(u8, Vec<u8>)>, Bad> {
    let position = input.position;
    let head = input.read(12)?;
    let mut bytes = Bytes(&head);
    let kind = match bytes.fixed(4) {
        None if head.is_empty() => return Ok(None),
        None => return bad("cut short: the block", position),
        Some(first) if first & 0x00ff_ffff != 0 || first == 0 => {
            return bad("no block begins", position);
        }
        Some(first) => (first >> 24) as u8,
    };
    let (Some(length), Some(crc)) = (bytes.fixed(4), bytes.fixed(4)) else {
        return bad("cut short: the block", position);
    };
    let payload = input.take(length)?;
    if u64::from(crc32([&head[..8], &payload])) != crc {
        return bad("a wrong checksum in the block", position);
    }
    Ok(Some((kind, payload)))
}

fn print_v2(mut input: Input, out: &mut impl Write) -> Result<(), Bad> {
    let Some((1, header)) = next_block(&mut input)? else {
        return bad("no header", 4);
    };
    let start = json_start(&header)?;
    let first: u64 = json_member(&header, "startoffset")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Bad("the header names no startoffset".to_owned()))?;
    let (mut expected, mut count, mut blind, mut finished) = (first, 0, false, false);
    loop {
        let position = input.position;
        match next_block(&mut input)? {
            None if finished => return Ok(()),
            None => return bad("cut short: no finish block", position),
            Some((2, payload)) if !finished => {
                let joins = |start| start == expected || (blind && start > expected);
                let Some(block) = Block::parse(&payload).filter(|block| joins(block.start)) else {
                    return bad("a corrupt block, or one out of order,", position);
                };
                expected = block.next;
                count += block.count;
                if block.print(&start, out)?.is_none() {
                    return bad("a corrupt record in the block", position);
                }
            }
            Some((3, payload)) if !finished && payload.len() >= 44 => {
                let mut bytes = Bytes(&payload);
                let (next, total) = (bytes.fixed(8).unwrap_or(0), bytes.fixed(8).unwrap_or(0));
                if next < expected || next == first || (total != count && !blind) {
                    return bad("totals that do not agree with the records", position);
                }
                finished = true;
            }
            Some((1..=3, _)) => return bad("a block out of order", position),
            Some((4..=6, _)) => {}
            Some((kind, _)) => {
                eprintln!("passed over a block of kind {kind} at byte {position}");
                blind = true;
            }
        }
    }
}

struct Block<'a> {
    start: u64,
    next: u64,
    count: u64,
    meta: Bytes<'a>,
    data: Bytes<'a>,
}

impl<'a> Block<'a> {
    fn parse(payload: &'a [u8]) -> Option<Block<'a>> {
        let mut bytes = Bytes(payload);
        let (start, next, count) = (bytes.fixed(8)?, bytes.fixed(8)?, bytes.fixed(4)?);
        bytes.take(16)?; // lowest and highest timestamp
        let length = bytes.fixed(4)?;
        let meta = Bytes(bytes.take(length)?);
        (start < next && next < 1 << 63).then_some(Block { start, next, count, meta, data: bytes })
    }

    /// Prints all records; `None` inside if one does not read.
    fn print(mut self, start: &str, out: &mut impl Write) -> Result<Option<()>, Bad> {
        let (mut expected, mut time) = (self.start, 0i64);
        for _ in 0..self.count {
            let Some(record) = self.record(expected, &mut time) else { return Ok(None) };
            expected = record.offset + 1;
            print_json(start, &record, out)?;
        }
        Ok((self.meta.0.is_empty() && self.data.0.is_empty()).then_some(()))
    }

    fn record(&mut self, expected: u64, time: &mut i64) -> Option<Record<'a>> {
        let flags = self.meta.take(1)?[0];
        let hole = self.meta.varint_if(flags, 1)?.unwrap_or(0);
        let offset = expected.checked_add(hole).filter(|offset| *offset < self.next)?;
        let kind = match (flags & 0x30, flags & 0x40) {
            _ if flags & 0x80 != 0 => return None,
            (0, 0) => None,
            (0x10, _) => Some("create"),
            (0x20, _) => Some("logappend"),
            _ => return None,
        };
        if kind.is_some() && flags & 0x40 == 0 {
            let delta = self.meta.varint()?;
            *time = time.wrapping_add((delta >> 1) as i64 ^ -((delta & 1) as i64));
        }
        let key = self.meta.varint_if(flags, 2)?;
        let value = self.meta.varint_if(flags, 4)?;
        let encoded = self.meta.varint_if(flags, 8)?.unwrap_or(0);
        let (key, value) = (self.data.take_if(key)?, self.data.take_if(value)?);
        let mut encoded = Bytes(self.data.take(encoded)?);
        let mut headers = Vec::new();
        while !encoded.0.is_empty() {
            let length = encoded.varint()?;
            headers.push(Some(encoded.take(length)?));
            let length = encoded.varint()?.checked_sub(1);
            headers.push(encoded.take_if(length)?);
        }
        Some(Record { offset, time: kind.map(|kind| (kind, *time)), key, value, headers })
    }
}

// ------------------------------------------------------------------ JSON

/// The text of a member of a JSON object. Good enough for the keys of a MAK header, whose values
/// are numbers and strings; a string comes without its quotes, its escapes left in.
fn json_member<'a>(json: &'a [u8], wanted: &str) -> Option<&'a str> {
    let mut rest = std::str::from_utf8(json).ok()?.trim().strip_prefix('{')?;
    loop {
        let (key, behind) = json_token(rest)?;
        let (value, behind) = json_token(behind.trim_start().strip_prefix(':')?)?;
        if key == wanted {
            return Some(value);
        }
        rest = behind.trim_start().strip_prefix(',')?;
    }
}

/// A string or a number, and what is behind it.
fn json_token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([',', ':', '}'])?;
        return Some((text[..end].trim_end(), &text[end..]));
    };
    let mut escaped = false;
    let end = inner.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((&inner[..end], &inner[end + 1..]))
}

/// What is the same for all records; names of topics have no escapes.
fn json_start(header: &[u8]) -> Result<String, Bad> {
    match (json_member(header, "topic"), json_member(header, "partition")) {
        (Some(topic), Some(partition)) => {
            Ok(format!("{{\"topic\":\"{topic}\",\"partition\":{partition},\"offset\":"))
        }
        _ => Err(Bad("the header does not read".to_owned())),
    }
}

fn print_json(start: &str, record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{start}{}", record.offset)?;
    if let Some((kind, millis)) = record.time {
        write!(out, ",\"tstype\":\"{kind}\",\"ts\":{millis}")?;
    }
    if !record.headers.is_empty() {
        let utf8 = record.headers.iter().flatten().all(|part| std::str::from_utf8(part).is_ok());
        write!(out, ",\"headers{}\":[", if utf8 { "" } else { "_b64" })?;
        for (n, part) in record.headers.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(out, "{comma}{}", json_value(*part, utf8))?;
        }
        out.write_all(b"]")?;
    }
    for (name, bytes) in [("key", record.key), ("payload", record.value)] {
        let utf8 = bytes.is_none_or(|bytes| std::str::from_utf8(bytes).is_ok());
        let suffix = if utf8 { "" } else { "_b64" };
        write!(out, ",\"{name}{suffix}\":{}", json_value(bytes, utf8))?;
    }
    out.write_all(b"}\n")
}

fn json_value(bytes: Option<&[u8]>, utf8: bool) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    if !utf8 {
        return format!("\"{}\"", base64(bytes));
    }
    let mut json = "\"".to_owned();
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => json += "\\\"",
            '\\' => json += "\\\\",
            '\n' => json += "\\n",
            '\r' => json += "\\r",
            '\t' => json += "\\t",
            '\x08' => json += "\\b",
            '\x0c' => json += "\\f",
            c if c < ' ' => json += &format!("\\u{:04x}", u32::from(c)),
            c => json.push(c),
        }
    }
    json + "\""
}

fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let three = [0, 1, 2].map(|n| u32::from(chunk.get(n).copied().unwrap_or(0)));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        for n in 0..4 {
            let digit = digits[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
