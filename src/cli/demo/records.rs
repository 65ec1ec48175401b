//! What the demo writes to Kafka: a small shop. Pure.
//!
//! Among ordinary records are the odd ones that archives like to lose: null keys, null values
//! (tombstones), empty values, values and header names that are not text, repeated headers,
//! headers without a value.

use std::collections::BTreeMap;

use crate::types::{Partition, TopicName, TopicPartition, TypeError};

const ORDERS: u64 = 4000;
const CUSTOMERS: u64 = 1000;
const ITEMS: [&str; 6] =
    ["espresso beans 1 kg", "green tea", "cup", "hand mill", "scale", "filter paper"];
const CITIES: [&str; 5] = ["Praha", "Kraków", "北京", "São Paulo", "Århus"];

/// Topics, and how many partitions each has.
pub(super) const TOPICS: [(&str, i32); 2] = [("orders", 4), ("customers", 2)];

/// A record as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sent {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Milliseconds since 1970.
    pub(super) timestamp: i64,
}

/// All records; the first of each partition has offset 0, the second 1.
pub(super) type Sequence = BTreeMap<TopicPartition, Vec<Sent>>;

/// The records of a demo that takes place at `now`, in milliseconds since 1970.
pub(super) fn all(now: i64) -> Result<Sequence, TypeError> {
    let mut sequence = Sequence::new();
    for ((topic, partitions), count) in TOPICS.into_iter().zip([ORDERS, CUSTOMERS]) {
        let topic = TopicName::new(topic)?;
        let make = if topic.as_str() == "orders" { order } else { customer };
        for number in 0..count {
            let partition = Partition::new(number.cast_signed() % i64::from(partitions))?;
            let age = (count - number) * 20;
            let record = Sent { timestamp: now - age.cast_signed(), ..make(number) };
            let place = TopicPartition::new(topic.clone(), partition);
            sequence.entry(place).or_default().push(record);
        }
    }
    Ok(sequence)
}

fn order(number: u64) -> Sent {
    let dice = mix(number);
    let item = pick(&ITEMS, dice);
    let (customer, pieces) = (dice % CUSTOMERS, 1 + dice / 7 % 3);
    let (euro, cent) = (3 + dice / 11 % 90, dice / 13 % 100);
    let text = format!(
        "{{\"order\":{number},\"customer\":{customer},\"item\":\"{item}\",\"pieces\":{pieces},\
         \"price\":\"{euro}.{cent:02} EUR\",\"session\":\"{:016x}\",\"paid\":{}}}",
        mix(dice),
        !number.is_multiple_of(3)
    );
    Sent {
        key: (number % 10 != 9).then(|| format!("customer-{customer}").into_bytes()),
        value: match number % 250 {
            77 => Some(Vec::new()),
            78 => Some((0..200).map(|i| mix(dice ^ i).to_le_bytes()[0]).collect()),
            _ => Some(text.into_bytes()),
        },
        headers: order_headers(number, dice),
        timestamp: 0,
    }
}

fn order_headers(number: u64, dice: u64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let header = |name: &[u8], value: Option<&str>| (name.to_vec(), value.map(Into::into));
    match number % 8 {
        0 => vec![
            header(b"trace", Some(&format!("{dice:016x}"))),
            header(b"hop", Some("shop")),
            header(b"hop", Some("billing")),
        ],
        4 => vec![header(b"retry", None), header(b"note", Some(""))],
        5 if number % 80 == 5 => vec![header(b"\xff\xfe", Some("a name that is not text"))],
        _ => Vec::new(),
    }
}

/// What a compacted topic holds: the latest of each key, and tombstones of those that left.
fn customer(number: u64) -> Sent {
    let dice = mix(!number);
    let city = pick(&CITIES, dice);
    let text =
        format!("{{\"customer\":{number},\"city\":\"{city}\",\"since\":{}}}", 2005 + dice % 20);
    Sent {
        key: Some(format!("customer-{number}").into_bytes()),
        value: (number % 7 != 6).then(|| text.into_bytes()),
        ..Sent::default()
    }
}

fn pick<'a>(from: &[&'a str], dice: u64) -> &'a str {
    let index = dice % u64::try_from(from.len()).unwrap_or(1);
    usize::try_from(index).ok().and_then(|index| from.get(index)).copied().unwrap_or_default()
}

/// A number that looks as if it had nothing to do with `number` (splitmix64).
const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What can be said of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) records: u64,
    /// Of keys, values and headers.
    pub(super) bytes: u64,
    pub(super) tombstones: u64,
    pub(super) with_headers: u64,
    pub(super) without_key: u64,
}

impl Totals {
    pub(super) fn of(sequence: &Sequence) -> Self {
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, |b| b.len() as u64);
        let mut totals = Self::default();
        for record in sequence.values().flatten() {
            let headers = record.headers.iter().map(|(name, value)| name.len() as u64 + len(value));
            totals.records += 1;
            totals.bytes += len(&record.key) + len(&record.value) + headers.sum::<u64>();
            totals.tombstones += u64::from(record.value.is_none());
            totals.with_headers += u64::from(!record.headers.is_empty());
            totals.without_key += u64::from(record.key.is_none());
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_is_there() {
        let sequence = all(1_700_000_000_000).unwrap();
        assert_eq!(sequence.len(), 6);
        let totals = Totals::of(&sequence);
        assert_eq!(totals.records, ORDERS + CUSTOMERS);
        assert!(totals.tombstones > 100 && totals.without_key > 100, "{totals:?}");
        let any = |what: &dyn Fn(&Sent) -> bool| sequence.values().flatten().any(what);
        assert!(any(&|r| r.value.as_deref() == Some(b"")));
        assert!(any(&|r| r.value.as_ref().is_some_and(|v| str::from_utf8(v).is_err())));
        assert!(any(&|r| r.headers.iter().any(|(name, _)| str::from_utf8(name).is_err())));
        assert!(any(&|r| r.headers.iter().any(|(_, value)| value.is_none())));
        assert!(any(&|r| r.headers.iter().filter(|(name, _)| name == b"hop").count() == 2));
    }

    #[test]
    fn the_same_moment_gives_the_same_records() {
        assert_eq!(all(5).unwrap(), all(5).unwrap());
    }
}
