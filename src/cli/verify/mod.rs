//! `kafkatos3 verify ARCHIVE [TOPIC...]`: proves that an archive is whole, or names what is not.

mod against;
mod progress;
mod report;

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::ls::topics;
use super::{Exit, config_error_text, end, runtime, say, with_causes};
use crate::archive::ledger::{Account, Unseen};
use crate::archive::{Archive, ArchiveError, Location, LocationError, verify};
use crate::config::Config;
use against::{Against, compare};
use progress::Bar;
use report::{Grade, Report};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Options {
    /// Where the archive is: a URL, a directory, or the configuration that writes it
    #[arg(value_name = "ARCHIVE")]
    archive: String,

    /// Only these; TOPIC@2 is a topic's second chain alone
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,

    /// Read no bodies: only names, metadata, trailers and indexes
    ///
    /// Two small requests an object. Finds whatever is missing, foreign, double or cut short, but
    /// not a body that was changed.
    #[arg(long)]
    quick: bool,

    /// Let gaps before a chain's first record count, too
    #[arg(long)]
    strict: bool,

    /// Let objects that are gone from a chain's beginning not count: a rule expires them
    #[arg(long)]
    allow_expired: bool,

    /// Also compare every record with the live cluster of this configuration, and tell the lag
    ///
    /// From where the cluster's log begins to where the archive ends. A record that differs, is
    /// missing or is too much is damage; one that was compacted away since is not. Tells, too, if
    /// the group has committed more than the chain holds.
    #[arg(long, value_name = "CONFIG")]
    against: Option<PathBuf>,

    /// Compare only so many records of each partition, evenly spread
    #[arg(long, value_name = "N", requires = "against",
          value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,

    /// Print the report as JSON: times as milliseconds since 1970, sizes in bytes
    #[arg(long)]
    json: bool,

    /// How many objects are looked at at once; each takes some 10 MiB of memory
    #[arg(long, value_name = "N", default_value = "8",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  kafkatos3 verify /etc/kafkatos3.cfg              the archive that this configuration writes
  kafkatos3 verify s3://bucket/kafkatos3 orders    one topic
  kafkatos3 verify --quick s3://bucket/kafkatos3   without reading what is in the files
  kafkatos3 verify /srv/archive --json | jq '.chains[].damage[]'
  kafkatos3 verify /etc/kafkatos3.cfg --against /etc/kafkatos3.cfg --sample 1000
                                                   and is that what the cluster has?

A gap is a range of offsets that the chain itself records: gone from Kafka before it was archived,
or skipped by an operator. What is gone from a chain's end can't be seen in the archive: the next
file's name is simply free. --against sees it: the group commits only what is archived.

What kafka_store or the original kafkatos3 archived is read to its end, too: its files have to
follow each other (between two of the original's there may be gaps) and to be what their names say.

Exit codes: 0 whole; 1 whole but for gaps behind a chain's first record (with --strict: any
gap), or for files that are gone from a chain's beginning; 2 damage, each named with its object; 3
not all of it could be looked at; 64 usage.";

/// Looks at everything, and says what was found.
pub(super) fn run(options: &Options) -> Exit {
    let began = Instant::now();
    let mut report = match look(options) {
        Ok(report) => report,
        Err((exit, text)) => return end(exit, &text),
    };
    report.took(began.elapsed());
    let text = if options.json { report.json() } else { report.text() };
    say(&mut io::stdout(), &text).err().unwrap_or_else(|| report.exit())
}

/// What ends the command before there is a report.
type Stop = (Exit, String);

fn look(options: &Options) -> Result<Report, Stop> {
    let failed = |error: &ArchiveError| {
        let exit = match error {
            ArchiveError::Location(LocationError::Url { .. }) => Exit::Usage,
            _ => Exit::Unseen,
        };
        (exit, format!("error: {}\n", with_causes(error)))
    };
    let location = Location::parse(&options.archive).map_err(|error| failed(&error.into()))?;
    let config = options.against.as_ref().map(|path| Config::load(path)).transpose();
    let config = config.map_err(|error| (Exit::Unseen, config_error_text(&error)))?;
    let runtime = runtime().map_err(|e| (Exit::Internal, format!("error: no runtime: {e}\n")))?;
    let found = runtime.block_on(go_through(options, &location)).map_err(|e| failed(&e))?;
    let Found { url, mut accounts, mut unseen, notes } = found;
    let compared = config.map(|loaded| {
        let (config, sample) = (&loaded.config, options.sample);
        let against = Against { location: &location, config, sample, topics: &options.topics };
        compare(&against, &mut accounts)
    });
    let compared = compared.transpose().unwrap_or_else(|why| {
        unseen.push(Unseen { object: String::new(), why });
        None
    });
    let grade = Grade { strict: options.strict, allow_expired: options.allow_expired };
    Ok(Report::new(&url, !options.quick, grade, accounts, unseen, notes).against(compared))
}

/// What the archive alone tells.
struct Found {
    url: String,
    accounts: Vec<Account>,
    unseen: Vec<Unseen>,
    notes: Vec<String>,
}

async fn go_through(options: &Options, location: &Location) -> Result<Found, ArchiveError> {
    let archive = Archive::at(location).await?;
    let (mut chains, mut unseen, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for topic in topics(&archive, &options.topics).await? {
        match topic.all_chains().await {
            Ok(found) if found.is_empty() => {
                notes.push(format!("{topic}/ is named like a topic, but has no partition"));
            }
            Ok(found) => chains.extend(found),
            Err(error) => {
                unseen.push(Unseen { object: topic.to_string(), why: with_causes(&error) });
            }
        }
    }
    if chains.is_empty() && unseen.is_empty() {
        let why = "nothing is archived here; is this the right place, and with the right prefix?";
        unseen.push(Unseen { object: String::new(), why: why.to_owned() });
    }
    let bar = Bar::new(options.quick);
    let accounts = verify(&chains, !options.quick, options.jobs.into(), &bar).await;
    bar.done();
    Ok(Found { url: archive.url().to_owned(), accounts, unseen, notes })
}
