//! `kafkatos3 convert`: a local file of any format, laid down as a file of another.
//!
//! The output appears under its name when it is whole, or not at all; nothing is written over. What
//! can't be kept is refused, and said, unless that is accepted.

mod output;
mod source;

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::{Exit, end, say};
use crate::codec::{AvroCodec, CodecError, Container, Kind, Level};
use crate::format::{Layout, RecordWriter};
use crate::mak::{HeadersBuf, MakError, Record};
use crate::meta::{FileMeta, MetaError, ObjectMeta};
use crate::types::{AvroSchema, Format, Suffix};

use output::Output;
use source::{Found, Source};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Options {
    /// Go on though something is lost; what it is, is said
    #[arg(long)]
    lossy: bool,

    /// Fields of an Avro file: full, or plain for kafka_store's
    #[arg(long, value_name = "SCHEMA", default_value = "full", value_parser = schema)]
    avro_schema: AvroSchema,

    /// Codec of an Avro file: deflate, zstandard or null
    #[arg(long, value_name = "CODEC", default_value = "deflate", value_parser = codec)]
    avro_codec: AvroCodec,

    /// The file to read: of any format, whatever its name ends in
    #[arg(value_name = "FILE")]
    input: PathBuf,

    /// The file to make; its end says what it becomes: .mak, .mak.gz, .mak.zst, .avro, .jsonl,
    /// .jsonl.gz or .jsonl.zst
    #[arg(value_name = "OUTPUT")]
    output: PathBuf,
}

/// Examples, for `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  kafkatos3 convert 00000000000000000000.mak.gz orders.avro
  kafkatos3 convert orders/000003/00000000000000000100 orders.jsonl
                                           a file of kafka_store's
  kafkatos3 convert --lossy --avro-schema plain orders.mak.zst orders.avro

Exit codes: 0 done, 64 usage, or something would be lost, 65 bad data in FILE, 66 no FILE, 73 can't write.";

fn schema(text: &str) -> Result<AvroSchema, String> {
    AvroSchema::parse(text).ok_or_else(|| "expected full or plain".to_owned())
}

fn codec(text: &str) -> Result<AvroCodec, String> {
    AvroCodec::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// Why a file was not converted.
#[derive(Debug, thiserror::Error)]
enum ConvertError {
    #[error(
        "{path}: its name says not what it is to become: it has to end in .avro, or in .mak or \
         .jsonl with .gz, .zst or nothing behind it"
    )]
    Suffix { path: String },
    #[error("{path}: can't be read")]
    Input { path: String, source: io::Error },
    #[error("{path}")]
    Records { path: String, source: MakError },
    #[error("{path}: can't be told from its metadata")]
    Meta { path: String, source: MetaError },
    #[error("{path}: {what}")]
    Content { path: String, what: String },
    #[error("{path}: this would be lost:\n{losses}accept it with --lossy")]
    Lossy { path: String, losses: String },
    #[error("{path}: can't be written")]
    Output { path: String, source: io::Error },
    #[error("{path}: can't be packed")]
    Codec { path: String, source: CodecError },
}

impl ConvertError {
    const fn exit(&self) -> Exit {
        match self {
            Self::Suffix { .. } | Self::Lossy { .. } => Exit::Usage,
            Self::Input { .. } => Exit::NoInput,
            Self::Records { .. }
            | Self::Meta { .. }
            | Self::Content { .. }
            | Self::Codec { .. } => Exit::Data,
            Self::Output { .. } => Exit::CantCreate,
        }
    }
}

/// Converts a file.
pub(super) fn run(options: &Options) -> Exit {
    match convert(options) {
        Ok(done) => end(Exit::Done, &done),
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                // Writing to a string does not fail.
                let _ = write!(text, ": {error}");
                cause = error.source();
            }
            text.push('\n');
            end(error.exit(), &text)
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn convert(options: &Options) -> Result<String, ConvertError> {
    let (from, to) = (shown(&options.input), shown(&options.output));
    let layout = layout(options)?;
    let source = Source::new(&options.input);
    let found = source.survey()?;
    let losses = losses(&found, layout);
    if !losses.is_empty() && !options.lossy {
        return Err(ConvertError::Lossy { path: from, losses });
    }
    if !losses.is_empty() {
        // If standard error is closed, nobody wants to know.
        let _ = say(&mut io::stderr(), &format!("{from}: this is lost:\n{losses}"));
    }
    let failed = |source| ConvertError::Output { path: shown(&options.output), source };
    let mut output = Output::begin(&options.output).map_err(failed)?;
    let file = lay_down(&source, &found, layout, &mut output, &to)?;
    finish(&mut output, file.suffix, &to)?;
    output.place().map_err(failed)?;
    Ok(format!("{to}: {} records, {}\n", file.records, file.range))
}

fn layout(options: &Options) -> Result<Layout, ConvertError> {
    let path = shown(&options.output);
    let suffix =
        Suffix::of_name(&path).ok_or_else(|| ConvertError::Suffix { path: path.clone() })?;
    let level = match suffix {
        Suffix::Avro => Level::avro(options.avro_codec, None),
        _ => Level::new(suffix, None),
    };
    let level = level.map_err(|source| ConvertError::Codec { path, source })?;
    Ok(Layout { level, schema: options.avro_schema })
}

/// What the new file can't hold, one a line.
fn losses(found: &Found, layout: Layout) -> String {
    let mut text = String::new();
    if layout.level.suffix() != Suffix::Avro || layout.schema == AvroSchema::Full {
        return text;
    }
    for (count, what) in [
        (found.with_headers, "records have headers"),
        (found.by_broker, "records have timestamps that the broker set: their type"),
        (found.odd_times, "records have the time -1, which means none there"),
        (found.holes, "holes lie between offsets: the records behind them get lower ones"),
    ] {
        if count > 0 {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {count} {what}");
        }
    }
    text
}

/// Writes all records, and what the file says of itself, as it is before it is published.
fn lay_down(
    source: &Source<'_>,
    found: &Found,
    layout: Layout,
    output: &mut Output,
    to: &str,
) -> Result<FileMeta, ConvertError> {
    let failed = |source| ConvertError::Output { path: to.to_owned(), source };
    let suffix = layout.level.suffix();
    let plain = suffix == Suffix::Avro && layout.schema == AvroSchema::Plain;
    let file = FileMeta {
        suffix,
        mak: if suffix.format() == Format::Mak { 2 } else { 0 },
        plain: plain || found.file.plain,
        bytes: found.file.bytes.saturating_sub(if plain { found.header_bytes } else { 0 }),
        ..found.file.clone()
    };
    let map = ObjectMeta::File(file.clone()).to_map();
    let mut writer = RecordWriter::new(BufWriter::new(output.body()), layout, &found.header(&file));
    let mut next = file.range.start();
    let none = HeadersBuf::new();
    source.for_each(|record| {
        let kept = Record { offset: next, headers: none.as_headers(), ..*record };
        next = next.after();
        writer.push(if plain { &kept } else { record }).map_err(failed)
    })?;
    writer.finish(file.range.next(), file.leader_epoch, &map).map_err(failed)?;
    Ok(file)
}

/// Puts the file into the shape that it has in an archive.
fn finish(output: &mut Output, suffix: Suffix, to: &str) -> Result<(), ConvertError> {
    if Kind::from(suffix) != Kind::Avro {
        return Ok(());
    }
    let failed = |source| ConvertError::Output { path: to.to_owned(), source };
    let refused = |source| ConvertError::Codec { path: to.to_owned(), source };
    let bytes = crate::worker::Mapped::of(output.body()).map_err(failed)?;
    let container = Container::parse(suffix, &bytes).map_err(refused)?;
    let (header, _) = container.tail().around(suffix).map_err(refused)?;
    output.replace(&[&header, container.body()]).map_err(failed)
}

#[cfg(test)]
mod tests;
