//! Looks at one file.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use serde::Serialize;

use crate::archive::ledger::{BodyCheck, Content};
use crate::archive::{Archive, ArchiveError, Object};
use crate::cli::parse::said_by_name;
use crate::cli::{Exit, runtime};
use crate::codec::{
    self, AvroCodec, AvroHead, AvroHeader, Container, Index, Kind as CodecKind, Tail,
};
use crate::format::Stream;
use crate::mak::v2::{Blocks, Kind};
use crate::mak::{Header, Reader, Record};
use crate::meta::{FileMeta, MetaMap, ObjectMeta};
use crate::store::names::{Name, NameError, Parsed, parse};
use crate::types::Offset;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum InfoError {
    #[error("can't read \"{path}\"")]
    File { path: String, source: io::Error },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("\"{url}\" is no object's URL: SCHEME://BUCKET/PREFIX/TOPIC/PARTITION/NAME")]
    Url { url: String },
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("no runtime")]
    Runtime(#[source] io::Error),
}

impl InfoError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::NoPermission
            }
            Self::File { .. } => Exit::NoInput,
            Self::Archive(error) => Exit::of_archive(error),
            Self::Url { .. } | Self::Name(_) => Exit::Usage,
            Self::Runtime(_) => Exit::Internal,
        }
    }
}

/// What the header of a file says.
#[derive(Debug, Default, Serialize)]
pub(super) struct HeaderFound {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) start: Offset,
    pub(super) start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) writer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) isolation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) topic_id: Option<String>,
}

/// The frames of a container.
#[derive(Debug, Serialize)]
pub(super) struct Layout {
    pub(super) frames: usize,
    pub(super) packed_bytes: u64,
    pub(super) unpacked_bytes: u64,
    pub(super) largest_unpacked: u32,
    pub(super) tail_bytes: u64,
}

/// Whether checksums were looked at, and what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Checksums {
    /// All of them.
    Right,
    /// One at least; the problems say which.
    Wrong,
    /// Only those of the tail.
    NotLookedAt,
    /// The file has none.
    None,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) size: u64,
    /// `file`, `seal`, `close`, or `stream` for one without a tail.
    pub(super) kind: &'static str,
    pub(super) packing: &'static str,
    pub(super) mak: Option<u8>,
    /// How records are laid down, where that is known.
    pub(super) format: Option<&'static str>,
    /// Whether the file was finished by whoever wrote it; `None` if that can't be told.
    pub(super) complete: Option<bool>,
    pub(super) header: Option<HeaderFound>,
    pub(super) start: Option<Offset>,
    pub(super) next: Option<Offset>,
    pub(super) records: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) holes: Option<u64>,
    pub(super) first_time_ms: Option<i64>,
    pub(super) last_time_ms: Option<i64>,
    /// Blocks of records, where they were counted.
    pub(super) blocks: Option<u64>,
    pub(super) index: Option<Layout>,
    pub(super) body_crc32: Option<String>,
    pub(super) checksums: Checksums,
    /// The trailer's metadata, as it stands there.
    pub(super) metadata: Option<MetaMap>,
    pub(super) problems: Vec<String>,
}

impl Found {
    fn new(file: &str, size: u64, kind: Option<CodecKind>) -> Self {
        Self {
            file: file.to_owned(),
            size,
            kind: "stream",
            packing: match kind {
                Some(CodecKind::Gzip) => "gzip",
                Some(CodecKind::Zstd) => "zstd",
                _ => "none",
            },
            mak: None,
            format: None,
            complete: None,
            header: None,
            start: None,
            next: None,
            records: None,
            bytes: None,
            holes: None,
            first_time_ms: None,
            last_time_ms: None,
            blocks: None,
            index: None,
            body_crc32: None,
            checksums: Checksums::None,
            metadata: None,
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    fn tail(&mut self, tail: &Tail) {
        self.index = Some(frames(&tail.index, self.size));
        self.body_crc32 = Some(format!("{:08x}", tail.body.crc));
        self.metadata = Some(tail.meta.clone());
        if let Some(avro) = &tail.avro {
            self.packing = packing_of(avro);
        }
        self.checksums = Checksums::NotLookedAt;
        self.complete = Some(true);
    }

    fn meta(&mut self, meta: &ObjectMeta) {
        match meta {
            ObjectMeta::File(file) => {
                self.kind = "file";
                self.mak = (file.mak > 0).then_some(file.mak);
                self.format = Some(file.suffix.format().as_str());
                self.start = Some(file.range.start());
                self.next = Some(file.range.next());
                self.records = Some(file.records);
                self.bytes = Some(file.bytes);
                self.first_time_ms = file.times.map(|(low, _)| low);
                self.last_time_ms = file.times.map(|(_, high)| high);
            }
            ObjectMeta::Seal(seal) => {
                self.kind = "seal";
                self.start = Some(seal.at);
                self.next = Some(seal.at);
            }
            ObjectMeta::Close(close) => {
                self.kind = "close";
                self.start = Some(close.at);
                self.next = Some(close.at);
            }
        }
    }

    fn sum(&mut self, sum: &Sum) {
        (self.records, self.bytes) = (Some(sum.records), Some(sum.bytes));
        self.first_time_ms = sum.times.map(|(low, _)| low);
        self.last_time_ms = sum.times.map(|(_, high)| high);
    }

    fn content(&mut self, content: Content) {
        self.holes = Some(content.holes);
        self.checksums = Checksums::Right;
        if content.unknown_blocks > 0 {
            let count = content.unknown_blocks;
            self.problem(format!(
                "{count} blocks are of a kind that is not known here: use a newer kafkatos3"
            ));
        }
    }
}

/// What was counted of a file that says nothing of itself.
#[derive(Debug, Default)]
struct Sum {
    records: u64,
    bytes: u64,
    times: Option<(i64, i64)>,
    next: Option<Offset>,
}

impl Sum {
    fn add(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.bytes = self.bytes.saturating_add(record.content_bytes());
        self.next = Some(record.offset.after());
        if let Some(time) = record.timestamp {
            let (low, high) = self.times.unwrap_or((time.millis, time.millis));
            self.times = Some((low.min(time.millis), high.max(time.millis)));
        }
    }
}

fn frames(index: &Index, size: u64) -> Layout {
    let frames = index.frames();
    Layout {
        frames: frames.len(),
        packed_bytes: index.body_len(),
        unpacked_bytes: index.raw_len(),
        largest_unpacked: frames.iter().map(|frame| frame.raw_len).max().unwrap_or(0),
        tail_bytes: size.saturating_sub(index.body_len()),
    }
}

/// Looks at the file or object that `text` names.
pub(super) fn look(text: &str, check: bool) -> Result<Found, InfoError> {
    if text.contains("://") {
        let runtime = runtime().map_err(InfoError::Runtime)?;
        return runtime.block_on(look_at_object(text, check));
    }
    let unreadable = |source| InfoError::File { path: text.to_owned(), source };
    let file = File::open(Path::new(text)).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size == 0 {
        return Ok(look_at_bytes(text, 0, &[]));
    }
    let bytes = crate::worker::Mapped::of(&file).map_err(unreadable)?;
    Ok(look_at_bytes(text, size, &bytes))
}

/// The object of `url`: the archive is three folders up, where a chain has it, else one.
async fn look_at_object(url: &str, check: bool) -> Result<Found, InfoError> {
    let wrong = || InfoError::Url { url: url.to_owned() };
    let (scheme, path) = url.split_once("://").ok_or_else(wrong)?;
    let parts: Vec<&str> = path.split('/').collect();
    let split = |names: usize| {
        let at = parts.len().checked_sub(names).filter(|at| *at > 0)?;
        let (root, name) = parts.split_at_checked(at)?;
        Some((format!("{scheme}://{}", root.join("/")), Name::parse(&name.join("/")).ok()?))
    };
    let in_chain = split(3).filter(|(_, name)| parse(name) != Parsed::Foreign);
    let (root, name) = in_chain.or_else(|| split(1)).ok_or_else(wrong)?;
    let archive = Archive::open(&root).await?;
    let store = &**archive.store();
    let whole = |found: Found| async {
        let bytes = store.get(&name).await.map_err(ArchiveError::Store)?;
        Ok(bytes.map_or(found, |bytes| look_at_bytes(url, bytes.len() as u64, &bytes)))
    };
    match Object::open(store, &name).await {
        Ok(object) => {
            let mut found = Found::new(url, object.size(), Some(object.suffix().into()));
            found.tail(object.tail());
            found.meta(object.meta());
            if check { whole(found).await } else { Ok(found) }
        }
        Err(error @ ArchiveError::Store(_)) => Err(error.into()),
        // Without a tail, or with a damaged one: it has to be read as a whole.
        Err(_) => whole(Found::new(url, 0, None)).await,
    }
}

fn look_at_bytes(file: &str, size: u64, bytes: &[u8]) -> Found {
    let kind = CodecKind::detect(bytes.get(..16).unwrap_or(bytes));
    let mut found = Found::new(file, size, kind.as_ref().ok().copied());
    match kind.map(|kind| Container::parse(kind, bytes)) {
        Ok(Ok(container)) => container_found(&mut found, &container),
        _ if kind_of(bytes) == Some(CodecKind::Avro) => avro_found(&mut found, bytes),
        _ => stream_found(&mut found, bytes),
    }
    found
}

fn container_found(found: &mut Found, container: &Container<'_>) {
    found.tail(container.tail());
    let meta = match ObjectMeta::from_map(&container.tail().meta) {
        Ok(meta) => meta,
        Err(error) => return found.problem(error.to_string()),
    };
    found.meta(&meta);
    if let ObjectMeta::File(file) = &meta {
        found.header = header_of(container);
        let mut check = BodyCheck::new(container.tail().clone(), file.clone());
        match check.feed(container.body()).and_then(|()| check.finish()) {
            Ok(content) => found.content(content),
            Err(error) => {
                found.checksums = Checksums::Wrong;
                found.problem(error.to_string());
            }
        }
        let wrong = BodyCheck::index_disagrees(&container.tail().index, file);
        found.problems.extend(wrong);
        found.problems.extend(misnamed(&found.file, file));
    } else {
        match container.verify_body() {
            Ok(()) => found.checksums = Checksums::Right,
            Err(error) => {
                found.checksums = Checksums::Wrong;
                found.problem(error.to_string());
            }
        }
    }
}

/// If the name is one of a chain: whether the metadata says the same.
fn misnamed(file: &str, meta: &FileMeta) -> Option<String> {
    let mut parts: Vec<&str> = file.rsplitn(4, '/').take(3).collect();
    parts.reverse();
    let name = Name::parse(&parts.join("/")).ok()?;
    let Parsed::Object { chain, start, suffix } = parse(&name) else { return None };
    let tp = meta.identity.topic_partition();
    let same = *chain.name().topic() == tp.topic
        && chain.partition() == tp.partition
        && start == meta.range.start()
        && suffix == meta.suffix;
    let (start, suffix) = (meta.range.start(), meta.suffix);
    (!same).then(|| {
        format!("it is named {name}, but says that it is of {tp} from {start}, a \"{suffix}\"")
    })
}

/// The header stands in the first frame.
fn header_of(container: &Container<'_>) -> Option<HeaderFound> {
    let body = container.body();
    let (_, unpacked) = codec::unpack(BufReader::new(body)).ok()?;
    let reader = Reader::open(BufReader::new(unpacked)).ok()?;
    Some(header_found(reader.header()))
}

fn header_found(header: &Header) -> HeaderFound {
    let common = HeaderFound {
        topic: header.topic().to_string(),
        partition: header.partition().get(),
        start: header.start(),
        start_time: header.start_time().to_string(),
        ..HeaderFound::default()
    };
    let Header::V2(own) = header else { return common };
    HeaderFound {
        writer: Some(own.writer.to_string()),
        isolation: Some(own.identity.isolation.to_string()),
        cluster: Some(own.identity.cluster_id.clone()).filter(|id| !id.is_empty()),
        topic_id: Some(own.identity.topic_id.to_string()),
        ..common
    }
}

const fn packing_of(avro: &AvroHead) -> &'static str {
    match avro.codec {
        AvroCodec::Null => "none",
        codec => codec.as_str(),
    }
}

fn kind_of(bytes: &[u8]) -> Option<CodecKind> {
    CodecKind::detect(bytes.get(..16).unwrap_or(bytes)).ok()
}

/// An Avro file of another tool: its name says what it does not say itself, if it is kafka_store's.
fn avro_found(found: &mut Found, bytes: &[u8]) {
    let said = said_by_name(Path::new(&found.file));
    let mut stream = match Stream::open(bytes, said) {
        Ok(stream) => stream,
        Err(error) => return found.problem(crate::cli::with_causes(&error)),
    };
    if let Ok(Some((header, _))) = AvroHeader::parse(bytes) {
        found.packing = packing_of(&header.head);
    }
    found.format = Some(stream.format().as_str());
    let about = stream.about();
    found.start = about.start;
    let mut sum = Sum::default();
    let broken = loop {
        match stream.next_record() {
            Ok(Some(record)) => sum.add(&record),
            Ok(None) => break None,
            Err(error) => break Some(crate::cli::with_causes(&error)),
        }
    };
    // Without a start its offsets are not known.
    found.next = about.start.map(|start| sum.next.unwrap_or(start));
    found.sum(&sum);
    found.complete = Some(broken.is_none());
    found.problems.extend(broken);
}

/// A file without a tail: of the original tool, or of the spool. It is read from front to back.
fn stream_found(found: &mut Found, bytes: &[u8]) {
    let unpacked = match codec::unpack(BufReader::new(bytes)) {
        Ok((_, unpacked)) => unpacked,
        Err(error) => return found.problem(error.to_string()),
    };
    let mut reader = match Reader::open(BufReader::new(unpacked)) {
        Ok(reader) => reader,
        Err(error) => return found.problem(crate::cli::with_causes(&error)),
    };
    found.mak = Some(reader.header().version());
    found.header = Some(header_found(reader.header()));
    let start = reader.header().start();
    found.start = Some(start);
    let mut sum = Sum::default();
    let broken = loop {
        match reader.next_record() {
            Ok(Some(record)) => sum.add(&record),
            Ok(None) => break None,
            Err(error) => break Some(crate::cli::with_causes(&error)),
        }
    };
    let finish = reader.finish().copied();
    found.complete = (found.mak == Some(2)).then_some(finish.is_some());
    found.next = Some(finish.map_or(sum.next.unwrap_or(start), |finish| finish.next));
    found.sum(&sum);
    let unfinished = found.complete == Some(false);
    found.checksums = match (&broken, found.mak, found.packing) {
        (Some(_), ..) if !unfinished => Checksums::Wrong,
        (_, Some(1), "none") => Checksums::None,
        _ => Checksums::Right,
    };
    // What behind the last record is packed has to unpack as well.
    let rest = io::copy(&mut reader.into_inner().take(u64::MAX), &mut io::sink());
    found.problems.extend(broken);
    found.problems.extend(rest.err().map(|error| error.to_string()));
    if found.mak == Some(2) && found.packing == "none" {
        found.blocks = Blocks::of_file(bytes).ok().map(|blocks| {
            let records = blocks.flatten().filter(|block| block.kind() == Kind::Records);
            u64::try_from(records.count()).unwrap_or(u64::MAX)
        });
    }
}
