//! What is in the original's files: version 1, plain or in gzip, to the end pointer and not beyond.
//!
//! The original writes a record, then the end pointer, then the last offset, each by itself. So a
//! crash leaves a part of a record behind the pointer, which is no part of the file; or a whole one
//! before it whose offset is not noted, which it wrote *again* when it was started again. That
//! second copy is passed over here. Offsets that go back otherwise are damage: version 1 has no
//! checksums, and pages that a power loss took read as records at offset 0.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};

use crate::codec;
use crate::mak::{Header, Headers, MakError, Reader, Record, v1};
use crate::types::{Offset, OffsetRange, TopicPartition};

/// Where the end pointer's bytes end; the last offset and it are all that is ever changed in a head.
const HEAD_FIXED: usize = 19;

/// Why a file does not read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// What it is packed in.
    #[error("{0}")]
    Packing(io::Error),
    /// Its content.
    #[error("{}", with_cause(.0))]
    Content(#[from] MakError),
    /// The original never wrote another version.
    #[error("it is of MAK version {0}, and the original wrote version 1 only")]
    Version(u8),
    /// Records that are not in order.
    #[error("offset {offset} comes after {before}: the bytes there are not what was written")]
    Order {
        /// Of the record.
        offset: Offset,
        /// Of the one before it, or where the file starts.
        before: Offset,
    },
    /// It could not be copied.
    #[error("can't be copied: {0}")]
    Copy(io::Error),
}

fn with_cause(error: &MakError) -> String {
    match error {
        MakError::Io { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    }
}

impl Unreadable {
    /// Whether the bytes could not be had, which says nothing of what they are.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let damage =
            [io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput, io::ErrorKind::UnexpectedEof];
        match self {
            Self::Packing(e) | Self::Content(MakError::Io { source: e, .. }) => {
                !damage.contains(&e.kind())
            }
            Self::Copy(_) => true,
            Self::Content(_) | Self::Version(_) | Self::Order { .. } => false,
        }
    }
}

/// The records of a file, one at a time, without second copies.
struct Records<'a> {
    reader: Reader<BufReader<Box<dyn Read + 'a>>>,
    header: v1::Header,
    last: Option<Offset>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> Records<'a> {
    fn open(input: impl BufRead + 'a) -> Result<Self, Unreadable> {
        let (_, unpacked) = codec::unpack(input).map_err(Unreadable::Packing)?;
        let reader = Reader::open(BufReader::new(unpacked))?;
        let header = match reader.header() {
            Header::V1(header) => header.clone(),
            other @ Header::V2(_) => return Err(Unreadable::Version(other.version())),
        };
        Ok(Self { reader, header, last: None, key: Vec::new(), value: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<Record<'_>>, Unreadable> {
        loop {
            let Some(record) = self.reader.next_record()? else { return Ok(None) };
            let offset = record.offset;
            if self.last == Some(offset) {
                continue;
            }
            let before = self.last.unwrap_or(self.header.start);
            if offset < before {
                return Err(Unreadable::Order { offset, before });
            }
            self.last = Some(offset);
            replace(&mut self.key, record.key);
            replace(&mut self.value, record.value);
            return Ok(Some(Record {
                offset,
                timestamp: None,
                key: Some(&self.key),
                value: Some(&self.value),
                headers: Headers::NONE,
            }));
        }
    }

    /// Reads what follows the end pointer, so that what it is packed in checks itself.
    fn finish(self) -> Result<(), Unreadable> {
        io::copy(&mut self.reader.into_inner(), &mut io::sink())
            .map(drop)
            .map_err(Unreadable::Packing)
    }
}

fn replace(into: &mut Vec<u8>, bytes: Option<&[u8]>) {
    into.clear();
    into.extend_from_slice(bytes.unwrap_or_default());
}

/// What a file holds.
#[derive(Debug)]
pub struct Content {
    /// Whose records.
    pub tp: TopicPartition,
    /// Where it starts.
    pub start: Offset,
    /// How many there are.
    pub records: u64,
    /// The last one's offset; `None` if there is none.
    pub last: Option<Offset>,
    /// Why it can't be read on behind these; `None` if it is whole.
    pub broken: Option<Unreadable>,
    head_len: u64,
    end: u64,
}

impl Content {
    /// Reads all of it. An error means that not even the head reads.
    pub fn read(input: impl BufRead) -> Result<Self, Unreadable> {
        let mut records = Records::open(input)?;
        let header = &records.header;
        let head_len = records.reader.position();
        let mut content = Self {
            tp: TopicPartition::new(header.topic.clone(), header.partition),
            start: header.start,
            records: 0,
            last: None,
            broken: None,
            head_len,
            end: head_len,
        };
        content.broken = content.count(&mut records).err();
        if content.broken.is_none() {
            content.broken = records.finish().err();
        }
        Ok(content)
    }

    fn count(&mut self, records: &mut Records<'_>) -> Result<(), Unreadable> {
        while let Some(record) = records.next()? {
            self.records += 1;
            self.last = Some(record.offset);
            self.end += v1::record_len(&record);
        }
        Ok(())
    }

    /// The offsets that it covers, if it holds a record.
    #[must_use]
    pub fn range(&self) -> Option<OffsetRange> {
        self.last.and_then(|last| OffsetRange::new(self.start, last.after()).ok())
    }

    /// The first offset that it does not cover: what the original would have written next.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.last.map_or(self.start, Offset::after)
    }

    /// Copies the records that were counted, under a head that says so. Of a file that no crash
    /// touched, byte for byte what it holds up to its end pointer.
    pub fn copy(&self, mut input: impl BufRead, out: &mut impl Write) -> Result<(), Unreadable> {
        let mut head = Vec::new();
        input.by_ref().take(self.head_len).read_to_end(&mut head).map_err(Unreadable::Copy)?;
        out.write_all(&self.patched(&head)).map_err(Unreadable::Copy)?;
        let mut records = Records::open(Cursor::new(head).chain(input))?;
        let mut bytes = Vec::new();
        for _ in 0..self.records {
            let Some(record) = records.next()? else { break };
            bytes.clear();
            v1::put_record(&record, &mut bytes);
            out.write_all(&bytes).map_err(Unreadable::Copy)?;
        }
        Ok(())
    }

    fn patched(&self, head: &[u8]) -> Vec<u8> {
        let mut patched = b"MAK".to_vec();
        for number in [self.last.unwrap_or(self.start).get(), self.end] {
            patched.extend_from_slice(&number.to_be_bytes());
        }
        patched.extend_from_slice(head.get(HEAD_FIXED..).unwrap_or_default());
        patched
    }
}

/// Whether the original was still writing the head of this file, so that no record can be in it:
/// it sets the end pointer before the first one.
pub fn is_without_head(mut input: impl Read) -> io::Result<bool> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD_FIXED as u64).read_to_end(&mut head)?;
    let pointer = head.get(11..HEAD_FIXED);
    Ok(pointer.is_none_or(|pointer| pointer.iter().all(|byte| *byte == 0)))
}

/// What two files differ in; `None` if they hold the same records of the same partition. How they
/// are packed does not matter. If `other` does not read, that is a difference.
pub fn difference(ours: impl BufRead, other: impl BufRead) -> Result<Option<String>, Unreadable> {
    let mut ours = Records::open(ours)?;
    match compare(&mut ours, other) {
        Err(Side::Other(error)) if !error.is_passing() => {
            Ok(Some(format!("it does not read: {error}")))
        }
        Err(Side::Ours(error) | Side::Other(error)) => Err(error),
        Ok(difference) => Ok(difference),
    }
}

enum Side {
    Ours(Unreadable),
    Other(Unreadable),
}

fn compare(ours: &mut Records<'_>, other: impl BufRead) -> Result<Option<String>, Side> {
    let mut other = Records::open(other).map_err(Side::Other)?;
    let (a, b) = (&ours.header, &other.header);
    if (&a.topic, a.partition, a.start) != (&b.topic, b.partition, b.start) {
        let (topic, partition, start) = (&b.topic, b.partition, b.start);
        return Ok(Some(format!("it holds records of {topic}-{partition} from {start} on")));
    }
    loop {
        let (a, b) = (ours.next().map_err(Side::Ours)?, other.next().map_err(Side::Other)?);
        match (a, b) {
            (None, None) => break,
            (Some(a), Some(b)) if a.offset == b.offset => {
                if (a.key, a.value) != (b.key, b.value) {
                    return Ok(Some(format!("its record at offset {} is another", a.offset)));
                }
            }
            (Some(a), _) => return Ok(Some(format!("it has no record at offset {}", a.offset))),
            (None, Some(b)) => return Ok(Some(format!("it has a record at offset {}", b.offset))),
        }
    }
    other.finish().map_err(Side::Other)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mak::StartTime;
    use crate::types::{Partition, TopicName};
    use flate2::write::GzEncoder;

    fn offset(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn file(start: u64, offsets: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut builder = v1::Builder::new(&v1::Header {
            topic: TopicName::new("t").unwrap(),
            partition: Partition::new(0).unwrap(),
            start: offset(start),
            start_time: StartTime::from_text("1500000001.0").unwrap(),
        })
        .unwrap();
        for number in offsets {
            builder.push(&record(number, b"value")).unwrap();
        }
        builder.finish()
    }

    fn record(number: u64, value: &[u8]) -> Record<'_> {
        Record {
            offset: offset(number),
            timestamp: None,
            key: None,
            value: Some(value),
            headers: Headers::NONE,
        }
    }

    /// As the original writes: the record, then the pointer; the last offset only if it got so far.
    fn append(file: &mut Vec<u8>, number: u64, noted: bool) {
        v1::put_record(&record(number, b"value"), file);
        let end = (file.len() as u64).to_be_bytes();
        file[11..19].copy_from_slice(&end);
        if noted {
            file[3..11].copy_from_slice(&number.to_be_bytes());
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn copied(content: &Content, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        content.copy(bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn no_record_and_one_record_are_told_apart() {
        let none = Content::read(&*file(5, [])).unwrap();
        assert_eq!((none.records, none.range(), none.next().get()), (0, None, 5));
        let one = Content::read(&*file(5, [5])).unwrap();
        assert_eq!((one.records, one.next().get()), (1, 6));
        assert_eq!(
            one.range().map(|range| (range.start().get(), range.next().get())),
            Some((5, 6))
        );
    }

    #[test]
    fn half_a_record_behind_the_pointer_is_no_part_of_it() {
        let whole = file(5, 5..8);
        for more in 0..30 {
            let mut torn = whole.clone();
            v1::put_record(&record(8, b"val"), &mut torn);
            torn.truncate(whole.len() + more);
            let content = Content::read(&*torn).unwrap();
            assert!(content.broken.is_none());
            assert_eq!((content.records, content.next().get()), (3, 8));
            assert_eq!(copied(&content, &torn), whole);
        }
    }

    #[test]
    fn a_whole_file_is_copied_byte_for_byte() {
        for golden in ["orders", "holes", "mixed", "empty"] {
            let path = format!("{}/tests/golden/makv1/{golden}.mak", env!("CARGO_MANIFEST_DIR"));
            let bytes = std::fs::read(path).unwrap();
            let content = Content::read(&*bytes).unwrap();
            assert!(content.broken.is_none());
            assert_eq!(copied(&content, &bytes), bytes, "{golden}");
        }
    }

    #[test]
    fn a_record_whose_offset_was_not_noted_counts_and_its_second_copy_does_not() {
        let mut crashed = file(5, 5..7);
        append(&mut crashed, 7, false);
        let content = Content::read(&*crashed).unwrap();
        assert_eq!((content.records, content.next().get()), (3, 8));
        assert_eq!(copied(&content, &crashed), file(5, 5..8));
        append(&mut crashed, 7, true);
        append(&mut crashed, 8, true);
        let content = Content::read(&*crashed).unwrap();
        assert_eq!((content.records, content.next().get()), (4, 9));
        assert_eq!(copied(&content, &crashed), file(5, 5..9));
    }

    #[test]
    fn what_a_power_loss_took_ends_the_file_behind_the_last_good_record() {
        let mut cut = file(5, 5..9);
        cut.truncate(cut.len() - 1);
        let content = Content::read(&*cut).unwrap();
        assert!(content.broken.is_some());
        assert_eq!(content.next().get(), 8);
        assert_eq!(copied(&content, &cut), file(5, 5..8));

        let mut zeros = file(5, 5..9);
        let third = file(5, 5..7).len();
        zeros[third..].fill(0);
        let content = Content::read(&*zeros).unwrap();
        assert!(matches!(content.broken, Some(Unreadable::Order { .. })), "{content:?}");
        assert_eq!(copied(&content, &zeros), file(5, 5..7));
    }

    #[test]
    fn packed_files_are_whole_to_their_last_byte_or_broken() {
        let mut noise = file(5, 5..50);
        noise.extend_from_slice(b"half a record");
        let packed = gzip(&noise);
        let content = Content::read(&*packed).unwrap();
        assert!(content.broken.is_none());
        assert_eq!((content.records, content.next().get()), (45, 50));
        for len in 0..packed.len() {
            let cut = Content::read(&packed[..len]);
            assert!(cut.is_err() || cut.is_ok_and(|content| content.broken.is_some()), "{len}");
        }
    }

    #[test]
    fn a_head_that_was_being_written_is_told_from_one_that_is_damaged() {
        let bytes = file(5, []);
        let mut without = bytes.clone();
        without[11..19].fill(0);
        for len in 0..=bytes.len() {
            assert!(is_without_head(&without[..len]).unwrap(), "{len}");
            assert!(Content::read(&without[..len]).is_err(), "{len}");
        }
        assert!(!is_without_head(&*bytes).unwrap());
    }

    #[test]
    fn files_are_the_same_if_their_records_are() {
        let ours = file(5, 5..9);
        let differ = |other: &[u8]| difference(&*ours, other).unwrap();
        assert_eq!(differ(&ours), None);
        assert_eq!(differ(&gzip(&ours)), None);
        let mut crashed = file(5, 5..8);
        append(&mut crashed, 8, false);
        append(&mut crashed, 8, true);
        crashed.extend_from_slice(b"and half a record");
        assert_eq!(differ(&gzip(&crashed)), None);

        let said = |other: &[u8]| differ(other).unwrap();
        assert_eq!(said(&gzip(&file(5, 5..8))), "it has no record at offset 8");
        assert_eq!(said(&file(5, 5..10)), "it has a record at offset 9");
        assert_eq!(said(&file(5, [5, 6, 8])), "it has no record at offset 7");
        assert_eq!(said(&file(4, 5..9)), "it holds records of t-0 from 4 on");
        let mut other = ours.clone();
        let at = other.len() - 10;
        other[at] ^= 1;
        assert_eq!(said(&other), "its record at offset 8 is another");
        assert!(said(b"").contains("does not read"));
        let packed = gzip(&ours);
        assert!(said(&packed[..packed.len() - 1]).contains("does not read"));
    }
}
