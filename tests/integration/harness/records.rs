//! What is produced, and what the archive must therefore hold.
//!
//! Records come from a seed, so a failed test can be run again. [`Expected`] is what the brokers
//! acknowledged; it is written as one file a partition for `tests/checker/check.py`: for each
//! record in offset order a 32-bit length, then as many bytes:
//!
//! | bytes | |
//! |---|---|
//! | 8 | offset |
//! | 1 | timestamp type: 0 none, 1 create, 2 log-append |
//! | 8 | timestamp |
//! | 4 | key length, -1 for null; then the key |
//! | 4 | value length, -1 for null; then the value |
//! | 4 | number of headers; then for each the name's length (4), the name, the value's length (4, -1 for null), the value |
//!
//! All integers are signed and big-endian.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A record to produce.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Milliseconds since 1970; `None` is now.
    pub(crate) timestamp: Option<i64>,
}

impl Record {
    /// A record with just a value.
    pub(crate) fn text(value: &str) -> Self {
        Self { value: Some(value.as_bytes().to_vec()), ..Self::default() }
    }

    /// A record with a value of `size` bytes that don't compress.
    pub(crate) fn noise(seed: u64, size: u64) -> Self {
        let mut dice = Dice(seed);
        let value = (0..size / 8).flat_map(|_| dice.next().to_le_bytes()).collect();
        Self { value: Some(value), ..Self::default() }
    }

    /// The record number `index` of `seed`: most are ordinary JSON, some are odd in every way.
    pub(crate) fn odd(seed: u64, index: u64) -> Self {
        let mut dice = Dice(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self {
            key: match dice.roll(10) {
                0 => None,
                1 => Some(Vec::new()),
                2 => Some(dice.bytes(16)),
                _ => Some(format!("key-{}", dice.roll(100_000)).into_bytes()),
            },
            value: match dice.roll(1000) {
                0..30 => None,
                30..60 => Some(Vec::new()),
                60..100 => Some(dice.bytes(300)),
                100 => Some(dice.bytes(20_000)),
                _ => Some(format!("{{\"n\":{index},\"x\":\"{:016x}\"}}", dice.next()).into_bytes()),
            },
            headers: match dice.roll(8) {
                0 => odd_headers(&mut dice),
                _ => Vec::new(),
            },
            timestamp: match dice.roll(10) {
                0 => None,
                1 => Some(1 + dice.roll(1_000_000_000).cast_signed()),
                _ => Some(1_700_000_000_000 + index.cast_signed()),
            },
        }
    }

    fn encode(&self, offset: i64, timestamp: (u8, i64)) -> Vec<u8> {
        fn put(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
            let length = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).expect("small"));
            out.extend(length.to_be_bytes());
            out.extend(bytes.unwrap_or_default());
        }
        let mut out = Vec::with_capacity(64);
        out.extend(offset.to_be_bytes());
        out.push(timestamp.0);
        out.extend(timestamp.1.to_be_bytes());
        put(&mut out, self.key.as_deref());
        put(&mut out, self.value.as_deref());
        out.extend(i32::try_from(self.headers.len()).expect("few").to_be_bytes());
        for (name, value) in &self.headers {
            put(&mut out, Some(name));
            put(&mut out, value.as_deref());
        }
        out
    }
}

/// Repeated names, null and empty values, names that are not UTF-8 or empty.
fn odd_headers(dice: &mut Dice) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let names: [&[u8]; 5] = [b"trace", b"trace", b"\xff\xfe\x80", "n\u{e4}me".as_bytes(), b""];
    (0..=dice.roll(4))
        .map(|_| {
            let name = names[usize::try_from(dice.roll(5)).expect("small")].to_vec();
            let value = match dice.roll(4) {
                0 => None,
                1 => Some(Vec::new()),
                _ => Some(dice.bytes(12)),
            };
            (name, value)
        })
        .collect()
}

/// Pseudo-random numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.roll(most)).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// What the archive must hold, by topic and partition, then by offset.
#[derive(Debug, Default, Clone)]
pub(crate) struct Expected(BTreeMap<(String, i32), BTreeMap<i64, Vec<u8>>>);

impl Expected {
    /// Adds a record that the broker acknowledged at `offset`.
    pub(crate) fn add(
        &mut self,
        (topic, partition): (&str, i32),
        offset: i64,
        timestamp: (u8, i64),
        record: &Record,
    ) {
        let records = self.0.entry((topic.to_owned(), partition)).or_default();
        let before = records.insert(offset, record.encode(offset, timestamp));
        assert!(before.is_none(), "offset {offset} of {topic}-{partition} was given twice");
    }

    /// Adds all that `other` holds.
    pub(crate) fn merge(&mut self, other: Self) {
        for (place, records) in other.0 {
            self.0.entry(place).or_default().extend(records);
        }
    }

    /// Keeps only the records for which `keep` is true.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, i32, i64) -> bool) {
        for ((topic, partition), records) in &mut self.0 {
            records.retain(|offset, _| keep(topic, *partition, *offset));
        }
    }

    /// Takes all of a topic's records for another topic's from now on: a second chain's.
    pub(crate) fn rename(&mut self, topic: &str, to: &str) {
        for ((name, partition), records) in std::mem::take(&mut self.0) {
            let name = if name == topic { to.to_owned() } else { name };
            self.0.insert((name, partition), records);
        }
    }

    /// How many records.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Writes the files for the checker into `dir`.
    pub(crate) fn write(&self, dir: &Path) {
        fs::create_dir_all(dir).expect("create a directory");
        for ((topic, partition), records) in &self.0 {
            let mut bytes = Vec::new();
            for record in records.values() {
                bytes.extend(u32::try_from(record.len()).expect("small").to_be_bytes());
                bytes.extend(record);
            }
            fs::write(dir.join(format!("{topic}-{partition}.expected")), bytes).expect("write");
        }
    }
}
