//! The file that is converted: read from front to back, twice, so that it need not fit into memory.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{ConvertError, shown};
use crate::archive::metadata_of;
use crate::cli::parse::said_by_name;
use crate::codec;
use crate::format::{About, Stream};
use crate::mak::{FileHeader, Header, MakError, Record, StartTime};
use crate::meta::{FileMeta, Identity, ObjectMeta};
use crate::sys::random;
use crate::types::{Isolation, Offset, OffsetRange, Suffix, Timestamp, TimestampType, TopicId};

const BUFFER: usize = 256 << 10;

type Records = Stream<BufReader<Box<dyn Read>>>;

/// A file that is read.
pub(super) struct Source<'a> {
    path: &'a Path,
}

/// What is in it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: FileMeta,
    start_time: Option<StartTime>,
    pub(super) with_headers: u64,
    pub(super) by_broker: u64,
    /// Bytes of their names and values.
    pub(super) header_bytes: u64,
    pub(super) odd_times: u64,
    pub(super) holes: u64,
}

impl Found {
    /// The header of the file that it becomes. Where nothing says when it was begun, that is the
    /// lowest time of a record.
    pub(super) fn header(&self, file: &FileMeta) -> FileHeader {
        let lowest = file.times.map_or(0, |(low, _)| u64::try_from(low).unwrap_or(0));
        let begun = self.start_time.clone();
        FileHeader {
            identity: file.identity.clone(),
            start: file.range.start(),
            generation: file.generation,
            first: file.first,
            start_time: begun.unwrap_or_else(|| StartTime::from_millis(lowest)),
            gap: file.gap,
            writer: file.writer,
        }
    }
}

impl<'a> Source<'a> {
    pub(super) const fn new(path: &'a Path) -> Self {
        Self { path }
    }

    fn records(&self, source: MakError) -> ConvertError {
        ConvertError::Records { path: shown(self.path), source }
    }

    fn content(&self, what: impl Into<String>) -> ConvertError {
        ConvertError::Content { path: shown(self.path), what: what.into() }
    }

    fn open(&self) -> Result<(File, Records), ConvertError> {
        let failed = |source| ConvertError::Input { path: shown(self.path), source };
        let file = File::open(self.path).map_err(failed)?;
        let input = BufReader::with_capacity(BUFFER, file.try_clone().map_err(failed)?);
        let (_, unpacked) = codec::unpack(input).map_err(failed)?;
        let unpacked = BufReader::with_capacity(BUFFER, unpacked);
        let stream = Stream::open(unpacked, said_by_name(self.path));
        Ok((file, stream.map_err(|error| self.records(error))?))
    }

    /// Goes over all records.
    pub(super) fn for_each(
        &self,
        mut each: impl FnMut(&Record<'_>) -> Result<(), ConvertError>,
    ) -> Result<(), ConvertError> {
        let (_, mut stream) = self.open()?;
        while let Some(record) = stream.next_record().map_err(|error| self.records(error))? {
            each(&record)?;
        }
        Ok(())
    }

    /// Reads all of it, and what it says of itself.
    pub(super) fn survey(&self) -> Result<Found, ConvertError> {
        let failed = |source| ConvertError::Input { path: shown(self.path), source };
        let (file, mut stream) = self.open()?;
        let len = file.metadata().map_err(failed)?.len();
        let said = match metadata_of(&file, len).map_err(failed)? {
            None => None,
            Some(map) => match ObjectMeta::from_map(&map) {
                Ok(ObjectMeta::File(file)) => Some(file),
                Ok(_) => return Err(self.content("it is a seal, which holds no records")),
                Err(source) => {
                    return Err(ConvertError::Meta { path: shown(self.path), source });
                }
            },
        };
        let about = stream.about();
        let mut counted = Survey::default();
        let start = said.as_ref().map(|file| file.range.start()).or(about.start);
        counted.next = start;
        while let Some(record) = stream.next_record().map_err(|error| self.records(error))? {
            counted.add(&record);
        }
        let file = match said {
            Some(file) if file.records == counted.records => file,
            Some(file) => {
                let (holds, says) = (counted.records, file.records);
                return Err(self.content(format!("it holds {holds} records, but says {says}")));
            }
            None => self.of_foreign(&stream, &about, &counted)?,
        };
        let Survey { with_headers, header_bytes, by_broker, odd_times, holes, .. } = counted;
        let start_time = about.start_time;
        Ok(Found { file, start_time, with_headers, by_broker, header_bytes, odd_times, holes })
    }

    /// What can be said of a file without metadata of ours.
    fn of_foreign<R: std::io::BufRead>(
        &self,
        stream: &Stream<R>,
        about: &About,
        counted: &Survey,
    ) -> Result<FileMeta, ConvertError> {
        let v2 = match stream {
            Stream::Mak(reader) => match reader.header() {
                Header::V2(header) => Some((header.clone(), reader.finish().copied())),
                Header::V1(_) => None,
            },
            Stream::Other(_) => None,
        };
        let start = about.start.or(counted.first).ok_or_else(|| self.content("it is empty"))?;
        let last = counted.next.unwrap_or(start);
        let next = v2.as_ref().and_then(|(_, finish)| Some(finish.as_ref()?.next)).unwrap_or(last);
        let range = OffsetRange::new(start, next.max(start.after()))
            .map_err(|error| self.content(error.to_string()))?;
        let identity = match &v2 {
            Some((header, _)) => header.identity.clone(),
            None => self.identity(about)?,
        };
        let writer = match &v2 {
            Some((header, _)) => header.writer,
            None => random::writer_token().map_err(|error| self.content(error.to_string()))?,
        };
        Ok(FileMeta {
            identity,
            generation: v2.as_ref().map_or(1, |(header, _)| header.generation),
            first: v2.as_ref().map_or(start, |(header, _)| header.first),
            mak: 0,
            plain: false,
            suffix: Suffix::Mak,
            range,
            records: counted.records,
            bytes: counted.bytes,
            times: counted.times,
            gap: v2.as_ref().and_then(|(header, _)| header.gap),
            leader_epoch: v2.and_then(|(_, finish)| finish?.leader_epoch),
            writer,
            act: None,
            totals: None,
        })
    }

    /// Of a file that says its topic and partition alone. Other tools read uncommitted records,
    /// unless they say otherwise.
    fn identity(&self, about: &About) -> Result<Identity, ConvertError> {
        let unknown = "nothing says its topic and partition: it has to be TOPIC/PARTITION/START, as kafka_store has it";
        let topic = about.topic.clone().ok_or_else(|| self.content(unknown))?;
        Ok(Identity {
            cluster_id: String::new(),
            topic,
            topic_id: TopicId::UNKNOWN,
            partition: about.partition.ok_or_else(|| self.content(unknown))?,
            isolation: Isolation::ReadUncommitted,
        })
    }
}

/// Counts on the way through.
#[derive(Debug, Default)]
struct Survey {
    records: u64,
    bytes: u64,
    times: Option<(i64, i64)>,
    first: Option<Offset>,
    next: Option<Offset>,
    with_headers: u64,
    header_bytes: u64,
    by_broker: u64,
    odd_times: u64,
    holes: u64,
}

impl Survey {
    fn add(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.bytes += record.content_bytes();
        self.first = self.first.or(Some(record.offset));
        self.holes += u64::from(self.next.is_some_and(|next| next != record.offset));
        self.next = Some(record.offset.after());
        self.header_bytes += record.headers.content_bytes();
        self.with_headers += u64::from(!record.headers.is_empty());
        let Some(Timestamp { millis, kind }) = record.timestamp else { return };
        self.by_broker += u64::from(kind == TimestampType::LogAppend);
        self.odd_times += u64::from(millis == -1);
        let (low, high) = self.times.unwrap_or((millis, millis));
        self.times = Some((low.min(millis), high.max(millis)));
    }
}
