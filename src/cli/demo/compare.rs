//! Reads an archive back and compares it with what was written, record by record.
//!
//! [`Comparison`] is pure; [`read_back`] goes through the files as any reader would, from front to
//! back, and trusts neither their names nor their indexes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::records::{Sent, Sequence};
use crate::codec;
use crate::mak::{MakError, Reader, Record};
use crate::store::names::{self, ChainName, Name, Parsed};
use crate::types::{Offset, TimestampType, TopicPartition};

/// How many complaints are kept.
const MOST: usize = 5;

/// A data file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArchivedFile {
    pub(super) place: TopicPartition,
    pub(super) start: Offset,
    /// Relative to the archive.
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// The data files of the given partitions, in order.
pub(super) fn files<'a>(
    archive: &Path,
    places: impl Iterator<Item = &'a TopicPartition>,
) -> io::Result<Vec<ArchivedFile>> {
    let mut files = Vec::new();
    for place in places {
        let folder = ChainName::first(place.topic.clone()).partition(place.partition).folder();
        let entries = match std::fs::read_dir(archive.join(folder.as_str())) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let Some(Parsed::Object { start, .. }) =
                Name::parse(&name).ok().map(|n| names::parse(&n))
            else {
                continue;
            };
            let bytes = entry.metadata()?.len();
            files.push(ArchivedFile { place: place.clone(), start, name, bytes });
        }
    }
    files.sort_by(|a, b| (&a.place, a.start).cmp(&(&b.place, b.start)));
    Ok(files)
}

/// A file that can't be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("can't read \"{}\"", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("\"{}\"", path.display())]
    Mak { path: PathBuf, source: MakError },
}

/// Compares all records of one file; gives how many there are.
pub(super) fn read_back(
    archive: &Path,
    file: &ArchivedFile,
    comparison: &mut Comparison<'_>,
) -> Result<u64, ReadError> {
    let path = archive.join(&file.name);
    let input = |source| ReadError::Input { path: path.clone(), source };
    let opened = File::open(&path).map_err(input)?;
    let (_, unpacked) = codec::unpack(BufReader::new(opened)).map_err(input)?;
    let mak = |source| ReadError::Mak { path: path.clone(), source };
    let mut reader = Reader::open(BufReader::new(unpacked)).map_err(mak)?;
    let mut records = 0;
    while let Some(record) = reader.next_record().map_err(mak)? {
        comparison.see(&file.place, &record);
        records += 1;
    }
    Ok(records)
}

/// What was written, and how often each record has been seen.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    written: &'a Sequence,
    seen: BTreeMap<&'a TopicPartition, Vec<u32>>,
    archived: u64,
    different: u64,
    complaints: Vec<String>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) produced: u64,
    pub(super) archived: u64,
    pub(super) missing: u64,
    pub(super) double: u64,
    /// Not as they were written, or never written.
    pub(super) different: u64,
    /// The first few that are not as they should be.
    pub(super) complaints: Vec<String>,
}

impl Verdict {
    pub(super) const fn is_exact(&self) -> bool {
        let same = self.produced == self.archived;
        same && self.missing == 0 && self.double == 0 && self.different == 0
    }
}

impl<'a> Comparison<'a> {
    pub(super) fn with(written: &'a Sequence) -> Self {
        let seen = written.iter().map(|(place, sent)| (place, vec![0; sent.len()])).collect();
        Self { written, seen, archived: 0, different: 0, complaints: Vec::new() }
    }

    /// Takes note of a record of the archive.
    pub(super) fn see(&mut self, place: &TopicPartition, record: &Record<'_>) {
        self.archived += 1;
        let index = usize::try_from(record.offset.get()).unwrap_or(usize::MAX);
        let sent = self.written.get(place).and_then(|sent| sent.get(index));
        let what = sent.map_or(Some("was never written"), |sent| difference(sent, record));
        if let Some(what) = what {
            self.different += 1;
            complain(&mut self.complaints, place, record.offset.get(), what);
        }
        if let Some(times) = self.seen.get_mut(place).and_then(|seen| seen.get_mut(index)) {
            *times += 1;
        }
    }

    /// Sums up.
    pub(super) fn verdict(mut self) -> Verdict {
        let (mut produced, mut missing, mut double) = (0, 0, 0);
        for (place, seen) in self.seen {
            for (offset, times) in (0..).zip(seen) {
                produced += 1;
                missing += u64::from(times == 0);
                double += u64::from(times.saturating_sub(1));
                match times {
                    0 => complain(&mut self.complaints, place, offset, "is missing"),
                    1 => {}
                    _ => complain(&mut self.complaints, place, offset, "is there more than once"),
                }
            }
        }
        let Self { archived, different, complaints, .. } = self;
        Verdict { produced, archived, missing, double, different, complaints }
    }
}

fn complain(complaints: &mut Vec<String>, place: &TopicPartition, offset: u64, what: &str) {
    if complaints.len() < MOST {
        complaints.push(format!("{place} offset {offset}: {what}"));
    }
}

/// The first field that differs.
fn difference(sent: &Sent, record: &Record<'_>) -> Option<&'static str> {
    let stamp = record.timestamp.map(|stamp| (stamp.kind, stamp.millis));
    let headers = sent.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
    [
        (record.key == sent.key.as_deref(), "its key differs"),
        (record.value == sent.value.as_deref(), "its value differs"),
        (stamp == Some((TimestampType::Create, sent.timestamp)), "its timestamp differs"),
        (record.headers.iter().eq(headers), "its headers differ"),
    ]
    .into_iter()
    .find_map(|(same, what)| (!same).then_some(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mak::HeadersBuf;
    use crate::types::Timestamp;

    fn written() -> Sequence {
        super::super::records::all(1_700_000_000_000).unwrap()
    }

    /// What the archive should hold.
    fn see_all(comparison: &mut Comparison<'_>, written: &Sequence, skip: &dyn Fn(u64) -> bool) {
        for (place, records) in written {
            for (offset, sent) in (0..).zip(records).filter(|(offset, _)| !skip(*offset)) {
                see(comparison, place, offset, sent);
            }
        }
    }

    fn see(comparison: &mut Comparison<'_>, place: &TopicPartition, offset: u64, sent: &Sent) {
        let mut headers = HeadersBuf::new();
        sent.headers.iter().for_each(|(name, value)| headers.push(name, value.as_deref()));
        let record = Record {
            offset: Offset::new(offset).unwrap(),
            timestamp: Some(Timestamp { millis: sent.timestamp, kind: TimestampType::Create }),
            key: sent.key.as_deref(),
            value: sent.value.as_deref(),
            headers: headers.as_headers(),
        };
        comparison.see(place, &record);
    }

    #[test]
    fn everything_once() {
        let written = written();
        let mut comparison = Comparison::with(&written);
        see_all(&mut comparison, &written, &|_| false);
        let verdict = comparison.verdict();
        assert!(verdict.is_exact() && verdict.complaints.is_empty(), "{verdict:?}");
        assert_eq!((verdict.produced, verdict.archived), (5000, 5000));
    }

    #[test]
    fn missing_and_double_records_are_found() {
        let written = written();
        let (place, records) = written.iter().next().unwrap();
        let mut comparison = Comparison::with(&written);
        see_all(&mut comparison, &written, &|offset| offset == 3);
        see(&mut comparison, place, 5, &records[5]);
        let verdict = comparison.verdict();
        assert!(!verdict.is_exact());
        assert_eq!((verdict.missing, verdict.double, verdict.different), (6, 1, 0));
        assert_eq!(verdict.complaints[0], "customers-0 offset 3: is missing");
        assert_eq!(verdict.complaints[1], "customers-0 offset 5: is there more than once");
        assert_eq!(verdict.complaints.len(), MOST);
    }

    #[test]
    fn every_field_counts() {
        let written = written();
        let place = written.keys().next_back().unwrap();
        let sent = &written[place][0];
        let header = |value| vec![(b"x".to_vec(), value)];
        let others = [
            ("key", Sent { key: None, ..sent.clone() }),
            ("value", Sent { value: Some(Vec::new()), ..sent.clone() }),
            ("value", Sent { value: None, ..sent.clone() }),
            ("timestamp", Sent { timestamp: sent.timestamp + 1, ..sent.clone() }),
            ("headers", Sent { headers: header(None), ..sent.clone() }),
            ("headers", Sent { headers: header(Some(Vec::new())), ..sent.clone() }),
        ];
        for (field, other) in others {
            let mut comparison = Comparison::with(&written);
            see(&mut comparison, place, 0, &other);
            assert_eq!(comparison.different, 1);
            assert!(comparison.complaints[0].contains(field), "{:?}", comparison.complaints);
        }
        let mut comparison = Comparison::with(&written);
        see(&mut comparison, place, 1_000_000, sent);
        assert_eq!(comparison.different, 1, "never written");
    }
}
