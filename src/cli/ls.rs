//! `kafkatos3 ls [ARCHIVE] [TOPIC...]`: what an archive holds, by one listing and one question for
//! each partition.

use std::fmt::Write as _;
use std::io;

use clap::Args;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use super::table::{Align, Table};
use super::time::rfc3339;
use super::{Exit, end, runtime, say, with_causes};
use crate::archive::{Archive, ArchiveError, Layout, Partition, Summary, Topic};
use crate::status::human::{bytes, count, many};
use crate::types::Offset;

/// How many chains are asked about at once.
const PARALLEL: usize = 16;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Options {
    /// Where the archive is: a URL, a directory, or the configuration that writes it
    #[arg(value_name = "ARCHIVE", default_value = "/etc/kafkatos3/kafkatos3.cfg")]
    archive: String,

    /// Only these; TOPIC@2 is a topic's second chain alone
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,

    /// Print everything as JSON: times as milliseconds since 1970, sizes in bytes
    #[arg(long)]
    json: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  kafkatos3 ls /etc/kafkatos3.cfg              the archive that this configuration writes
  kafkatos3 ls s3://bucket/kafkatos3           credentials as AWS's own tools find them
  kafkatos3 ls /srv/archive orders orders@1    two of its topics
  kafkatos3 ls /srv/archive --json | jq '.chains[] | select(.gaps > 0)'

FROM is the first offset that is there, NEXT the first one that is not archived yet. A chain whose
first files have expired shows what is left of it. TOPIC@2 is the second chain of a topic that was
created again, or whose log was truncated. verify says whether all of this is true.

What kafka_store or the original kafkatos3 archived is listed, too, and named so at the line's end.
Their files say nothing of themselves: - is what only reading all of them would tell.

Exit codes: 0 listed, 64 usage, 66 no such archive or topic, 69 the store does not answer,
77 permission, 78 configuration.";

/// All that was found.
#[derive(Debug, Serialize)]
struct Listing {
    archive: String,
    chains: Vec<Line>,
    notes: Vec<String>,
}

/// One chain. Numbers that nothing tells are null.
#[derive(Debug, Serialize)]
struct Line {
    topic: String,
    generation: u32,
    partition: i32,
    layout: Layout,
    chain: String,
    first: Option<Offset>,
    start: Option<Offset>,
    next: Option<Offset>,
    records: Option<u64>,
    bytes: Option<u64>,
    stored_bytes: u64,
    files: u64,
    objects: u64,
    first_time_ms: Option<i64>,
    last_time_ms: Option<i64>,
    gaps: u64,
    expired_records: Option<u64>,
    closed: bool,
    foreign: Vec<String>,
}

impl Line {
    fn new(partition: &Partition, summary: &Summary) -> Self {
        let chain = partition.chain();
        let totals = summary.totals;
        Self {
            topic: chain.name().topic().to_string(),
            generation: chain.name().generation(),
            partition: chain.partition().get(),
            layout: summary.layout,
            chain: summary.folder.clone(),
            first: summary.first,
            start: summary.start,
            next: summary.tip,
            records: summary.records,
            bytes: (summary.layout == Layout::Chain).then_some(totals.bytes),
            stored_bytes: summary.stored_bytes,
            files: totals.files,
            objects: summary.objects,
            first_time_ms: totals.times.map(|(low, _)| low),
            last_time_ms: totals.times.map(|(_, high)| high),
            gaps: totals.gaps,
            expired_records: summary.expired.map(|expired| expired.records),
            closed: summary.closed,
            foreign: summary.foreign.clone(),
        }
    }
}

/// Looks, and says what was found.
pub(super) fn run(options: &Options) -> Exit {
    let found = match runtime() {
        Ok(runtime) => runtime.block_on(list(options)),
        Err(error) => return end(Exit::Internal, &format!("error: no runtime: {error}\n")),
    };
    match found {
        Ok((listing, exit)) => {
            let text = if options.json { json(&listing) } else { text(&listing) };
            say(&mut io::stdout(), &text).err().unwrap_or(exit)
        }
        Err(error) => end(Exit::of_archive(&error), &format!("error: {}\n", with_causes(&error))),
    }
}

/// One partition's trouble is a note, and decides the exit code.
async fn list(options: &Options) -> Result<(Listing, Exit), ArchiveError> {
    let archive = Archive::open(&options.archive).await?;
    let mut listing =
        Listing { archive: archive.url().to_owned(), chains: Vec::new(), notes: Vec::new() };
    let mut exit = Exit::Done;
    let mut failed = |error: &ArchiveError, notes: &mut Vec<String>| {
        exit = Exit::of_archive(error);
        notes.push(with_causes(error));
    };
    let topics = topics(&archive, &options.topics).await?;
    let chains = stream::iter(&topics)
        .map(async |topic| (topic.name(), topic.all_chains().await))
        .buffered(PARALLEL)
        .collect::<Vec<_>>()
        .await;
    let mut partitions = Vec::new();
    for (topic, chains) in chains {
        match chains {
            Ok(none) if none.is_empty() => {
                listing.notes.push(format!("{topic}/ is named like a topic, but has no partition"));
            }
            Ok(chains) => partitions.extend(chains),
            Err(error) => failed(&error, &mut listing.notes),
        }
    }
    let mut found = stream::iter(&partitions)
        .map(async |partition| (partition, partition.summaries().await))
        .buffered(PARALLEL);
    while let Some((partition, summaries)) = found.next().await {
        match summaries {
            Ok(summaries) => {
                for summary in summaries {
                    listing.chains.push(Line::new(partition, &summary));
                    listing.notes.extend(summary.odd);
                }
            }
            Err(error) => failed(&error, &mut listing.notes),
        }
    }
    drop(found);
    Ok((listing, exit))
}

/// Those that were asked for; all, if none was.
pub(super) async fn topics(
    archive: &Archive,
    names: &[String],
) -> Result<Vec<Topic>, ArchiveError> {
    if names.is_empty() {
        return archive.topics().await;
    }
    let mut topics = Vec::new();
    for name in names {
        topics.push(archive.topic(name).await?);
    }
    Ok(topics)
}

fn json(listing: &Listing) -> String {
    let mut text = serde_json::to_string_pretty(listing).unwrap_or_default();
    text.push('\n');
    text
}

fn text(listing: &Listing) -> String {
    let mut table = Table::new(vec![
        ("TOPIC", Align::Left),
        ("PARTITION", Align::Right),
        ("FROM", Align::Right),
        ("NEXT", Align::Right),
        ("RECORDS", Align::Right),
        ("BYTES", Align::Right),
        ("STORED", Align::Right),
        ("FILES", Align::Right),
        ("FIRST RECORD", Align::Left),
        ("LAST RECORD", Align::Left),
        ("GAPS", Align::Right),
        ("", Align::Left),
    ]);
    for line in &listing.chains {
        table.push(row(line));
    }
    let mut out = String::new();
    for line in if listing.chains.is_empty() { Vec::new() } else { table.lines() } {
        out.push_str(&line);
        out.push('\n');
    }
    // Writing to a text does not fail.
    let _ = writeln!(out, "{}: {}", listing.archive, sum(listing));
    let foreign = listing.chains.iter().flat_map(|line| &line.foreign);
    let foreign = foreign.map(|name| format!("{name} is no name of a chain; readers pass over it"));
    for note in listing.notes.iter().cloned().chain(foreign) {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

fn row(line: &Line) -> Vec<String> {
    let offset = |offset: Option<Offset>| offset.map(|o| o.to_string()).unwrap_or_default();
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let time = |time: Option<i64>| time.map(rfc3339).unwrap_or_default();
    let topic = match line.generation {
        1 => line.topic.clone(),
        generation => format!("{}@{generation}", line.topic),
    };
    let state = match (line.objects, line.expired_records) {
        (0, _) => "no file".to_owned(),
        (_, Some(expired)) => format!("{} expired", many(expired, "record")),
        _ if line.closed => "closed".to_owned(),
        _ if line.layout != Layout::Chain => line.layout.to_string(),
        _ => String::new(),
    };
    vec![
        topic,
        line.partition.to_string(),
        offset(line.start),
        offset(line.next),
        known(line.records.map(count)),
        known(line.bytes.map(bytes)),
        bytes(line.stored_bytes),
        count(line.files),
        time(line.first_time_ms),
        time(line.last_time_ms),
        if line.gaps == 0 { String::new() } else { count(line.gaps) },
        state,
    ]
}

fn sum(listing: &Listing) -> String {
    let chains = &listing.chains;
    if chains.is_empty() {
        return "nothing is archived here; is this the right place, and with the right prefix?"
            .to_owned();
    }
    let all = |of: fn(&Line) -> u64| chains.iter().map(of).fold(0, u64::saturating_add);
    let topics: std::collections::BTreeSet<_> = chains.iter().map(|line| &line.topic).collect();
    let places: std::collections::BTreeSet<_> =
        chains.iter().map(|line| (&line.topic, line.partition)).collect();
    let gaps = match all(|line| line.gaps) {
        0 => String::new(),
        gaps => format!(", {}", many(gaps, "gap")),
    };
    // Of another tool's files not all is known, or nothing at all.
    let known = |of: fn(&Line) -> Option<u64>| {
        let sum = chains.iter().filter_map(of).fold(0, u64::saturating_add);
        match chains.iter().all(|line| of(line).is_some()) {
            true => Some(("", sum)),
            false if sum > 0 => Some(("at least ", sum)),
            false => None,
        }
    };
    let content = known(|line| line.bytes);
    let content =
        content.map_or_else(String::new, |(least, sum)| format!(" of {least}{}", bytes(sum)));
    let records = known(|line| line.records).map_or_else(String::new, |(least, sum)| {
        format!("{least}{}{content} in ", many(sum, "record"))
    });
    format!(
        "{}, {}, {records}{} of {}{gaps}",
        many(topics.len() as u64, "topic"),
        many(places.len() as u64, "partition"),
        many(all(|line| line.files), "file"),
        bytes(all(|line| line.stored_bytes)),
    )
}
