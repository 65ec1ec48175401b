//! Records as the blocks of an Avro file hold them.
//!
//! | field | type | in the plain schema |
//! |---|---|---|
//! | `timestamp` | long: milliseconds since 1970, -1 without one | yes |
//! | `key`, `value` | `["null", "bytes"]` | yes |
//! | `offset` | long | no: records are dense from the file's start on |
//! | `timestamp_type` | enum `none`, `create`, `logappend` | no: `create`, or `none` where it is -1 |
//! | `headers` | array of records of `key` (bytes) and `value` (`["null", "bytes"]`) | no: none |
//!
//! Other writers may have these fields in any order; `timestamp`, `key` and `value` have to be
//! there, and no others.

use apache_avro::Schema;

use super::piece::Slot;
use crate::mak::{MakError, Record, varint};
use crate::types::{AvroSchema, Offset, Timestamp, TimestampType};

/// Where a branch of `["null", "bytes"]` is null, and where bytes.
const NULL: i64 = 0;
const BYTES: i64 = 1;
const TYPES: [&str; 3] = ["none", "create", "logappend"];
/// The timestamp of a record that has none, as Kafka has it.
pub(super) const NO_TIME: i64 = -1;

/// Appends a record.
pub(super) fn put_record(schema: AvroSchema, record: &Record<'_>, out: &mut Vec<u8>) {
    put_long(record.timestamp.map_or(NO_TIME, |time| time.millis), out);
    put_optional(record.key, out);
    put_optional(record.value, out);
    if schema == AvroSchema::Plain {
        return;
    }
    put_long(record.offset.to_kafka(), out);
    put_long(
        match record.timestamp.map(|time| time.kind) {
            None => 0,
            Some(TimestampType::Create) => 1,
            Some(TimestampType::LogAppend) => 2,
        },
        out,
    );
    let count = record.headers.iter().count();
    if count > 0 {
        put_long(count.cast_signed() as i64, out);
        for (name, value) in record.headers {
            put_bytes(name, out);
            put_optional(value, out);
        }
    }
    put_long(0, out);
}

fn put_optional(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        None => put_long(NULL, out),
        Some(bytes) => {
            put_long(BYTES, out);
            put_bytes(bytes, out);
        }
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(bytes.len().cast_signed() as i64, out);
    out.extend_from_slice(bytes);
}

/// A zigzag varint.
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    varint::put(out, varint::zigzag(value));
}

fn take_long(from: &mut &[u8]) -> Option<i64> {
    varint::take(from).map(varint::unzigzag)
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u64::try_from(take_long(from)?).ok()?;
    varint::take_bytes(from, len)
}

#[expect(clippy::option_option, reason = "outside: does not read, inside: null")]
fn take_optional<'a>(from: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_long(from)? {
        NULL => Some(None),
        BYTES => take_bytes(from).map(Some),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Timestamp,
    Key,
    Value,
    Offset,
    TimestampType,
    Headers,
}

/// The fields of a file's records, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(Vec<Field>);

impl Shape {
    /// Reads a schema; what is wrong with it otherwise.
    pub fn of(schema: &str) -> Result<Self, String> {
        let parsed = Schema::parse_str(schema).map_err(|error| error.to_string())?;
        let Schema::Record(record) = parsed else {
            return Err("its schema is not a record".to_owned());
        };
        let field = |field: &apache_avro::schema::RecordField| {
            known(&field.name, &field.schema)
                .ok_or_else(|| format!("its field \"{}\" is not one that is known", field.name))
        };
        let fields = record.fields.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let needed = [Field::Timestamp, Field::Key, Field::Value];
        if needed.iter().all(|field| fields.contains(field)) {
            Ok(Self(fields))
        } else {
            Err("its schema has not the fields timestamp, key and value".to_owned())
        }
    }

    /// Whether records say their offset; if not, they are dense.
    #[must_use]
    pub fn has_offsets(&self) -> bool {
        self.0.contains(&Field::Offset)
    }

    /// Whether it has all that Kafka delivers.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let more = [Field::Offset, Field::TimestampType, Field::Headers];
        more.iter().all(|field| self.0.contains(field))
    }

    /// Takes the record at the beginning of `from` into `slot`, whose offset is set by who knows
    /// it better if there is none here; `None` if it does not read.
    fn take(&self, from: &mut &[u8], slot: &mut Slot) -> Option<()> {
        let (mut key, mut value) = (None, None);
        let mut millis = NO_TIME;
        let mut kind = None;
        for field in &self.0 {
            match field {
                Field::Timestamp => millis = take_long(from)?,
                Field::Key => key = take_optional(from)?,
                Field::Value => value = take_optional(from)?,
                Field::Offset => slot.offset = Offset::from_kafka(take_long(from)?).ok()?,
                Field::TimestampType => kind = Some(take_long(from)?),
                Field::Headers => take_headers(from, slot)?,
            }
        }
        let kind = match kind {
            Some(0) => None,
            Some(1) => Some(TimestampType::Create),
            Some(2) => Some(TimestampType::LogAppend),
            Some(_) => return None,
            None => (millis != NO_TIME).then_some(TimestampType::Create),
        };
        slot.timestamp = kind.map(|kind| Timestamp { millis, kind });
        slot.put(key, value);
        Some(())
    }
}

fn take_headers(from: &mut &[u8], slot: &mut Slot) -> Option<()> {
    loop {
        let count = take_long(from)?;
        if count == 0 {
            return Some(());
        }
        if count < 0 {
            // Then the length of these in bytes comes first.
            take_long(from)?;
        }
        for _ in 0..count.unsigned_abs() {
            let name = take_bytes(from)?;
            slot.headers.push(name, take_optional(from)?);
        }
    }
}

fn known(name: &str, schema: &Schema) -> Option<Field> {
    match (name, schema) {
        ("timestamp", Schema::Long) => Some(Field::Timestamp),
        ("offset", Schema::Long) => Some(Field::Offset),
        ("key", schema) if is_optional(schema) => Some(Field::Key),
        ("value", schema) if is_optional(schema) => Some(Field::Value),
        ("timestamp_type", Schema::Enum(kinds)) if kinds.symbols == TYPES => {
            Some(Field::TimestampType)
        }
        ("headers", Schema::Array(array)) if is_header(&array.items) => Some(Field::Headers),
        _ => None,
    }
}

fn is_optional(schema: &Schema) -> bool {
    let Schema::Union(union) = schema else { return false };
    matches!(union.variants(), [Schema::Null, Schema::Bytes])
}

fn is_header(schema: &Schema) -> bool {
    let Schema::Record(record) = schema else { return false };
    match record.fields.as_slice() {
        [name, value] => {
            (name.name == "key" && matches!(name.schema, Schema::Bytes))
                && (value.name == "value" && is_optional(&value.schema))
        }
        _ => false,
    }
}

/// Reads the records of one block.
#[derive(Debug)]
pub(super) struct Block {
    shape: Shape,
    left: u64,
    /// Whether more is there than is wanted.
    cut: bool,
}

impl Block {
    /// Takes the count at the beginning of `bytes`, and says where the records begin.
    pub(super) fn open(shape: &Shape, bytes: &[u8]) -> Result<(Self, usize), MakError> {
        let mut rest = bytes;
        let count = take_long(&mut rest).and_then(|count| u64::try_from(count).ok());
        let left =
            count.ok_or(MakError::Corrupt { position: 0, what: "a block's count".into() })?;
        Ok((Self { shape: shape.clone(), left, cut: false }, bytes.len() - rest.len()))
    }

    /// How many records are left.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// Leaves out all behind the next `records`.
    pub(super) fn cut_to(&mut self, records: u64) {
        self.cut |= records < self.left;
        self.left = self.left.min(records);
    }

    /// Takes the next record, if there is one; `None` if what is left does not read.
    pub(super) fn take(&mut self, from: &mut &[u8], slot: &mut Slot) -> Option<bool> {
        if self.left == 0 {
            return (from.is_empty() || self.cut).then_some(false);
        }
        self.left -= 1;
        self.shape.take(from, slot).map(|()| true)
    }
}
