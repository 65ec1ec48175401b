//! `kafkatos3_parse`: prints the records of archived files.
//!
//! Reads MAK of versions 1 and 2, JSON lines, both plain or packed by gzip or zstd, and Avro, told
//! apart by their first bytes.
//! All good records are printed before anything is said of bad ones.

use std::cell::Cell;
use std::error::Error;
use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use clap::error::ErrorKind;
use flate2::bufread::MultiGzDecoder;

use crate::format::{About, Stream, jsonl};
use crate::mak::{MakError, PassedOver};
use crate::types::{Offset, Partition, TopicName};

const USAGE: u8 = 64;
const BAD_DATA: u8 = 65;
const NO_INPUT: u8 = 66;
const CANT_WRITE: u8 = 73;

const BUFFER: usize = 256 << 10;

/// Prints the records of archived files: MAK (version 1 or 2) and JSON lines, plain or packed by gzip
/// or zstd, and Avro.
#[derive(Debug, Parser)]
#[command(name = "kafkatos3_parse", version, after_help = EXAMPLES)]
struct Args {
    /// Print one JSON object a line, with kcat's names: topic, partition, offset, tstype, ts,
    /// headers, key, payload.
    ///
    /// Null is null. Keys, payloads and headers that are not UTF-8 stand as base64 under key_b64,
    /// payload_b64 and headers_b64. Records without a timestamp have no tstype and ts, records
    /// without headers no headers.
    #[arg(long)]
    json: bool,
    /// Files to print; - is standard input. Their names may end in anything. Of kafka_store's, topic,
    /// partition and start are known by TOPIC/PARTITION/START alone.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  kafkatos3_parse orders-0_0-99.mak
  kafkatos3_parse --json orders-0_*.mak.gz | jq -r .payload
  aws s3 cp s3://bucket/key.mak.zst - | kafkatos3_parse --json -

Exit codes:
  0   all printed, or the reader of a pipe had enough
  64  wrong usage
  65  a file is cut or corrupt; the good records before that were printed
  66  a file is missing or can't be read
  73  the output can't be written
The first trouble decides the code; the other files are still printed.";

/// Why a file was not printed to its end.
#[derive(Debug, thiserror::Error)]
enum ParseError {
    #[error("{name}: can't be read")]
    Input { name: String, source: io::Error },
    #[error("{name}: the compressed data ends in the middle")]
    PackedTorn { name: String },
    #[error("{name}: the compressed data is corrupt")]
    PackedCorrupt { name: String, source: io::Error },
    #[error("{name}")]
    Mak { name: String, source: MakError },
    #[error("can't write the output")]
    Output(#[source] io::Error),
}

impl ParseError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } => NO_INPUT,
            Self::PackedTorn { .. } | Self::PackedCorrupt { .. } | Self::Mak { .. } => BAD_DATA,
            Self::Output(_) => CANT_WRITE,
        }
    }
}

/// Runs the command with the process's arguments.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A closed pipe is nothing to complain of here either.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { USAGE });
        }
    };
    // Not through `Stdout`, which would look for line ends in all that passes.
    let code = match io::stdout().as_fd().try_clone_to_owned() {
        Ok(fd) => print_files(&args, &mut BufWriter::with_capacity(BUFFER, File::from(fd))),
        Err(error) => complain(&ParseError::Output(error)),
    };
    ExitCode::from(code)
}

fn print_files(args: &Args, out: &mut impl Write) -> u8 {
    let mut code = 0;
    for path in &args.files {
        let printed = print_file(path, args.json, out);
        let flushed = out.flush().map_err(ParseError::Output);
        for error in [printed, flushed].into_iter().filter_map(Result::err) {
            match &error {
                ParseError::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => return code,
                ParseError::Output(_) => return complain(&error),
                _ => {
                    let this = complain(&error);
                    code = if code == 0 { this } else { code };
                }
            }
        }
    }
    code
}

/// Says what is wrong, with all its causes; gives the exit code for it.
fn complain(error: &ParseError) -> u8 {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    say(&text);
    error.exit_code()
}

fn say(text: &str) {
    // Standard error may be closed; there is nobody left to tell.
    let _ = writeln!(io::stderr(), "kafkatos3_parse: {text}");
}

fn print_file(path: &Path, json: bool, out: &mut impl Write) -> Result<(), ParseError> {
    if path == Path::new("-") {
        return print_stream("standard input", About::default(), io::stdin().lock(), json, out);
    }
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => print_stream(&name, said_by_name(path), file, json, out),
        Err(source) => Err(ParseError::Input { name, source }),
    }
}

fn print_stream(
    name: &str,
    known: About,
    input: impl Read,
    json: bool,
    out: &mut impl Write,
) -> Result<(), ParseError> {
    let failed = Rc::new(Cell::new(false));
    let input = Watched { inner: input, failed: Rc::clone(&failed) };
    let tell = |source| explain(name, source, failed.get());
    let unpacked = unpack(input).map_err(|e| tell(MakError::Io { position: 0, source: e }))?;
    let unpacked = BufReader::with_capacity(BUFFER, unpacked);
    let mut reader = Stream::open(unpacked, known).map_err(tell)?;
    let printed = if json {
        print_json(&mut reader, out).map_err(|e| e.or_mak(tell))
    } else {
        print_lines(&mut reader, out).map_err(|e| e.or_mak(tell))
    };
    // The good records come before what is said of the file.
    out.flush().map_err(ParseError::Output)?;
    reader.passed_over().iter().for_each(|kind| say(&passed_over_text(name, *kind)));
    printed?;
    // Version 1 ends before its packing may: what follows can still show that bytes changed.
    match io::copy(&mut reader.into_inner(), &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(source) => Err(tell(MakError::Io { position: 0, source })),
    }
}

/// What kafka_store's name of a file says, `TOPIC/PARTITION/START`; nothing, if it is none.
pub(super) fn said_by_name(path: &Path) -> About {
    let mut parts = path.iter().rev().map(|part| part.to_str().unwrap_or_default());
    let mut part = || parts.next().unwrap_or_default();
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let start = number(part(), 20).and_then(|start: u64| Offset::new(start).ok());
    let Some(start) = start else { return About::default() };
    let partition = number(part(), 6).and_then(|n| Partition::new(n.cast_signed()).ok());
    let topic = TopicName::new(part()).ok().filter(|_| partition.is_some());
    About { topic, partition, start: Some(start), start_time: None }
}

fn passed_over_text(name: &str, PassedOver { kind, position, blocks }: PassedOver) -> String {
    format!(
        "{name}: passed over {blocks} of a kind of block that is not known here ({kind}, first \
         at byte {position}); it may hold records: use a newer kafkatos3"
    )
}

/// Tells apart an input that can't be read, packing that does not unpack, and bad MAK data.
fn explain(name: &str, error: MakError, input_failed: bool) -> ParseError {
    let name = name.to_owned();
    match error {
        MakError::Io { source, .. } if input_failed => ParseError::Input { name, source },
        MakError::Io { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof => {
            ParseError::PackedTorn { name }
        }
        MakError::Io { source, .. } => ParseError::PackedCorrupt { name, source },
        source => ParseError::Mak { name, source },
    }
}

/// Remembers that an error came from the input itself, not from what unpacks it.
struct Watched<R> {
    inner: R,
    failed: Rc<Cell<bool>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner
            .read(into)
            .inspect_err(|e| self.failed.set(e.kind() != io::ErrorKind::Interrupted))
    }
}

/// Looks at the first four bytes and puts the right decoder in front.
fn unpack<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::new();
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let packing = magic.clone();
    let input = BufReader::with_capacity(BUFFER, Cursor::new(magic).chain(input));
    Ok(match packing.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(input)),
        // A zstd frame, or a skippable one.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::Decoder::with_buffer(input)?)
        }
        _ => Box::new(input),
    })
}

/// What stops the printing of records: the file, or the output.
enum Stop {
    Mak(MakError),
    Output(io::Error),
}

impl Stop {
    fn or_mak(self, tell: impl FnOnce(MakError) -> ParseError) -> ParseError {
        match self {
            Self::Mak(error) => tell(error),
            Self::Output(error) => ParseError::Output(error),
        }
    }
}

impl From<MakError> for Stop {
    fn from(error: MakError) -> Self {
        Self::Mak(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The original tool's lines, word for word; null and empty print nothing.
fn print_lines(reader: &mut Stream<impl BufRead>, out: &mut impl Write) -> Result<(), Stop> {
    let About { topic, partition, start, start_time } = reader.about();
    print_about("File topic is", topic, out)?;
    print_about("File partition is", partition, out)?;
    print_about("Staring offset is", start, out)?;
    print_about("File created at", start_time, out)?;
    while let Some(record) = reader.next_record()? {
        write!(out, "Processing message with offset: {}, key: ", record.offset)?;
        out.write_all(record.key.unwrap_or_default())?;
        out.write_all(b", value: ")?;
        out.write_all(record.value.unwrap_or_default())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// What a file does not say is not printed.
fn print_about(what: &str, said: Option<impl Display>, out: &mut impl Write) -> io::Result<()> {
    said.map_or(Ok(()), |said| writeln!(out, "{what} {said}"))
}

/// One JSON object a line, with kcat's names.
fn print_json(reader: &mut Stream<impl BufRead>, out: &mut impl Write) -> Result<(), Stop> {
    let about = reader.about();
    let start = jsonl::start(about.topic.as_ref(), about.partition);
    while let Some(record) = reader.next_record()? {
        jsonl::put_record(&start, &record, out)?;
    }
    Ok(())
}
