//! `kafkatos3 cat ARCHIVE TOPIC`: prints records of an archive as kcat prints those of Kafka.

mod filter;
mod format;
mod json;
mod output;
mod place;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use clap::Args;
use futures_util::FutureExt as _;
use memchr::memmem::Finder;

use super::{Exit, archive_error, say};
use crate::archive::{Archive, ArchiveError, Merge, Message, Messages, Partition, Slice, Topic};
use filter::{Filter, Wanted};
use format::Format;
use output::Output;
use place::Place;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Options {
    /// Where the archive is: a URL (s3://BUCKET/PREFIX, gs://, az://, file:///DIRECTORY), a
    /// directory, or a configuration file
    #[arg(value_name = "ARCHIVE")]
    archive: String,

    /// The topic; TOPIC@2 for its second chain, TOPIC@1 for its first
    ///
    /// A topic that was deleted and created again has a chain for each life of it. TOPIC alone is,
    /// for each partition, the newest one.
    #[arg(value_name = "TOPIC")]
    topic: String,

    /// Only this partition [default: all, one after the other]
    #[arg(short, long, value_name = "NUMBER", allow_hyphen_values = true, default_value = "-1",
          hide_default_value = true, value_parser = clap::value_parser!(i64).range(-1..=0x7fff_ffff))]
    partition: i64,

    /// Where to begin: beginning, end, N, -N (from the end), s@MS; where to stop: e@MS
    ///
    /// An offset that is not there stands for the next one behind it. MS is a time in milliseconds
    /// since 1970; e@MS stops each partition before its first record of that time or later. May be
    /// given twice, once for each end.
    #[arg(short, long, value_name = "PLACE", allow_hyphen_values = true,
          value_parser = Place::parse)]
    offset: Vec<Place>,

    /// Stop after so many records
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop at the end; that is the default here, for an archive has one
    #[arg(short, long, conflicts_with = "wait")]
    exit: bool,

    /// Go on when the end is reached: wait for the next file
    #[arg(short, long)]
    wait: bool,

    /// What to print of each record: %s %k (payload, key), %S %K (their lengths), %R (payload's
    /// length in binary), %T (time), %h (headers), %t %p %o (topic, partition, offset), \n \r \t \xNN
    #[arg(short, long, value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<OsString>,

    /// Print a JSON object of each record, with kcat's names
    ///
    /// Keys, payloads and headers that are not UTF-8 stand as base64 under key_b64, payload_b64
    /// and headers_b64.
    #[arg(short = 'J', long)]
    json: bool,

    /// Print the key and this before each payload
    #[arg(short = 'K', long, value_name = "DELIMITER", allow_hyphen_values = true)]
    key_delimiter: Option<OsString>,

    /// Print this behind each record [default: \n]
    #[arg(short = 'D', long, value_name = "DELIMITER", allow_hyphen_values = true)]
    delimiter: Option<OsString>,

    /// Print NULL for keys and payloads that are null or empty
    #[arg(short = 'Z', long)]
    null: bool,

    /// Write each record at once
    #[arg(short, long)]
    unbuffered: bool,

    /// No notes on stderr, only errors
    #[arg(short, long)]
    quiet: bool,

    /// Only records with this key
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    key: Option<OsString>,

    /// Only records whose payload holds these bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    grep: Option<OsString>,

    /// Only records with this header; may be given several times, then all are needed
    #[arg(long, value_name = "NAME[=VALUE]", allow_hyphen_values = true)]
    header: Vec<OsString>,

    /// Only records made at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", value_parser = place::millis)]
    from: Option<i64>,

    /// Only records made before this time
    #[arg(long, value_name = "TIME", value_parser = place::millis)]
    to: Option<i64>,

    /// All partitions in the order of time, instead of one after the other
    #[arg(long)]
    merge: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  kafkatos3 cat s3://bucket/kafkatos3 orders             all payloads, one a line
  kafkatos3 cat kafkatos3.cfg orders -p 3 -o 1000 -c 10  ten records of partition 3
  kafkatos3 cat /srv/archive orders -p 3 -o -10          about the last ten of it
  kafkatos3 cat s3://bucket/kafkatos3 orders -f '%p %o %T %k: %s\\n'
  kafkatos3 cat s3://bucket/kafkatos3 orders -J --merge | jq -c '[.ts, .key]'
  kafkatos3 cat s3://bucket/kafkatos3 orders --from 2026-11-01T00:00:00Z \\
      --to 2026-11-02T00:00:00Z --key customer-17
  kafkatos3 cat s3://bucket/kafkatos3 orders -o end -w   what comes from now on

Of an object only what is needed is fetched: a record by offset or time takes at most three
requests. What is ahead is fetched and unpacked meanwhile, in at most 64 MiB of memory, or in what
the largest frame takes (about 1 MiB, more only if a record is larger). --merge holds one frame, of
each partition, at least.

A URL takes credentials, region and endpoint from where the cloud's own tools take them
(AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and so on).

Exit codes: 0 done, or the reader of a pipe had enough; 64 usage, 65 an object is damaged or missing
from the middle (what was good before it was printed), 66 no such archive, topic or partition,
69 the store is not there, 73 can't write, 77 permission or credentials, 78 configuration.";

/// Prints what was asked for.
pub(super) fn run(options: &Options) -> Exit {
    match try_run(options) {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

fn try_run(options: &Options) -> Result<(), Exit> {
    let printer = printer(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| complain(Exit::Internal, &error.to_string()))?;
    runtime.block_on(async {
        let (source, filter) = (source(options).await?, filter(options));
        let output = Output::stdout(options.unbuffered);
        let mut output = output.map_err(|error| complain(Exit::CantCreate, &error.to_string()))?;
        print(options, source, &filter, &printer, &mut output).await
    })
}

fn complain(exit: Exit, what: &str) -> Exit {
    super::end(exit, &format!("error: {what}\n"))
}

fn failed(error: &ArchiveError) -> Exit {
    let (exit, text) = archive_error(error);
    super::end(exit, &text)
}

/// How records are printed.
enum Printer {
    Format(Format),
    /// With what stands behind each object.
    Json(Vec<u8>),
}

impl Printer {
    #[inline]
    fn print(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Format(format) => format.print(message, out),
            Self::Json(delimiter) => {
                json::print(message, out);
                out.extend_from_slice(delimiter);
            }
        }
    }
}

fn printer(options: &Options) -> Result<Printer, Exit> {
    let usage = |what: &str| complain(Exit::Usage, what);
    let delimiter = |text: &OsString| {
        format::delimiter(text.as_bytes()).map_err(|what| complain(Exit::Usage, &what))
    };
    let behind = options.delimiter.as_ref().map(delimiter).transpose()?;
    let behind = behind.unwrap_or_else(|| b"\n".to_vec());
    let format = options.format.as_ref().map(|text| Format::parse(text.as_bytes())).transpose();
    let format = format.map_err(|error| usage(&error.to_string()))?;
    if options.json {
        let own = format.map(|format| format.first_text().to_vec());
        return Ok(Printer::Json(own.unwrap_or(behind)));
    }
    let key = options.key_delimiter.as_ref().map(delimiter).transpose()?;
    let format = format.unwrap_or_else(|| Format::delimited(key, behind));
    Ok(Printer::Format(format.showing_null(options.null)))
}

fn filter(options: &Options) -> Filter {
    Filter {
        key: options.key.as_ref().map(|key| key.as_bytes().to_vec()),
        value: options.grep.as_ref().map(|text| Finder::new(text.as_bytes()).into_owned()),
        headers: options.header.iter().map(|text| Wanted::parse(text.as_bytes())).collect(),
    }
}

fn slice(options: &Options) -> Slice {
    let mut slice = Slice::default();
    for place in &options.offset {
        slice = place.apply(slice);
    }
    if let Some(millis) = options.from {
        slice = slice.made_from(millis);
    }
    if let Some(millis) = options.to {
        slice = slice.made_before(millis);
    }
    if let Some(count) = options.count.filter(|_| filter(options).is_empty()) {
        slice = slice.at_most(count);
    }
    if options.wait { slice.following() } else { slice }
}

/// Records, in the order in which they are printed.
enum Source {
    InTurn(Box<Messages>),
    Merged(Box<Merge>),
}

impl Source {
    async fn ready(&mut self) -> Result<bool, ArchiveError> {
        match self {
            Self::InTurn(messages) => messages.ready().await,
            Self::Merged(merge) => merge.ready().await,
        }
    }

    /// Shows the records that are at hand, until `show` has enough.
    fn each_here(&mut self, mut show: impl FnMut(Message<'_>) -> bool) -> Result<(), ArchiveError> {
        match self {
            Self::InTurn(messages) => return messages.each_here(show),
            Self::Merged(merge) => while merge.next_here()?.is_some_and(&mut show) {},
        }
        Ok(())
    }

    fn passed_over(&self) -> u64 {
        match self {
            Self::InTurn(messages) => messages.passed_over(),
            Self::Merged(merge) => merge.passed_over(),
        }
    }
}

async fn source(options: &Options) -> Result<Source, Exit> {
    let found = partitions(options).await.map_err(|error| failed(&error))?;
    let slice = slice(options);
    Ok(if options.merge {
        Source::Merged(Box::new(Merge::of_partitions(&found, &slice)))
    } else {
        Source::InTurn(Box::new(Messages::of_partitions(found, slice)))
    })
}

async fn partitions(options: &Options) -> Result<Vec<Partition>, ArchiveError> {
    let archive = Archive::open(&options.archive).await?;
    let topic = archive.topic(&options.topic).await?;
    note_older(options, &topic);
    match crate::types::Partition::new(options.partition) {
        Ok(number) => Ok(vec![topic.partition(number).await?]),
        Err(_) => topic.all_partitions().await,
    }
}

/// Says what is left out, where nobody would think of it.
fn note_older(options: &Options, topic: &Topic) {
    let chains: Vec<_> = topic.chains().map(|chain| chain.to_string()).collect();
    if let ([_, _, ..], false) = (chains.as_slice(), options.quiet) {
        let text = format!(
            "note: \"{topic}\" has several chains ({}); of each partition the newest one is printed, \
             {topic}@1 names the first\n",
            chains.join(", ")
        );
        // A note that nobody can read is no failure.
        let _ = say(&mut std::io::stderr(), &text);
    }
}

/// Prints until the end, an error, or a closed pipe.
async fn print(
    options: &Options,
    mut source: Source,
    filter: &Filter,
    printer: &Printer,
    output: &mut Output,
) -> Result<(), Exit> {
    let mut left = options.count.unwrap_or(u64::MAX);
    let end = loop {
        // What is there is shown before anything is waited for.
        let at_once = source.ready().now_or_never();
        let more = if let Some(more) = at_once {
            more
        } else {
            output.flush()?;
            source.ready().await
        };
        match more {
            Ok(true) => {}
            other => break other.map(drop),
        }
        if let Err(error) = print_ready(&mut source, filter, printer, output, &mut left)? {
            break Err(error);
        }
        if left == 0 {
            break Ok(());
        }
    };
    output.flush()?;
    note_passed_over(&source);
    end.map_err(|error| failed(&error))
}

/// Prints what is at hand; what went wrong with the archive is inside of the result.
fn print_ready(
    source: &mut Source,
    filter: &Filter,
    printer: &Printer,
    output: &mut Output,
    left: &mut u64,
) -> Result<Result<(), ArchiveError>, Exit> {
    let mut written = Ok(());
    let read = source.each_here(|message| {
        if filter.fits(&message.record) {
            printer.print(&message, output.buffer());
            written = output.record_done();
            *left -= 1;
        }
        *left > 0 && written.is_ok()
    });
    written.map(|()| read)
}

fn note_passed_over(source: &Source) {
    let blocks = source.passed_over();
    if blocks > 0 {
        let text = format!(
            "warning: passed over {blocks} blocks of kinds that are not known here; they may hold \
             records: use a newer kafkatos3\n"
        );
        let _ = say(&mut std::io::stderr(), &text);
    }
}
