//! `kafkatos3 demo`: see it work, without any Kafka or S3.
//!
//! A small broker runs in a child process, another child writes records to it, and a third one
//! *becomes* this program anew, with `-e` and the configuration that was put into the folder: what
//! the demo shows is what everybody runs. Then the files are read back and compared.
//!
//! The parent starts no thread and no client, so it may fork. Whatever happens, the children end
//! with it; the folder is kept.

mod children;
mod compare;
mod family;
mod folder;
mod records;
mod screen;
mod telling;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{Exit, end};
use crate::logging::count;
use crate::sys::SysError;
use crate::sys::child::Ending;
use compare::{ArchivedFile, Comparison, ReadError, Verdict};
use family::{Family, Stops, answer};
use folder::Folder;
use records::{Sequence, Totals};
pub(super) use screen::shell_word;
use screen::{Ink, Screen};

/// How long anything may take that should take a second or five.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many lines of the log are shown if archiving fails.
const LAST_WORDS: usize = 8;

/// Why the demo came to no verdict.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("can't use \"{}\": {source}; name another directory with --dir", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("\"{}\" can't stand in a configuration file; name another directory with --dir", .0.display())]
    Unspeakable(PathBuf),
    #[error("interrupted; everything that was started has ended")]
    Interrupted,
    #[error("the {who} failed: {why}")]
    Failed { who: &'static str, why: String },
    #[error("the {who} {ending}, which it should not")]
    Died { who: &'static str, ending: Ending },
    #[error("the {who} was not done after {} s", patience.as_secs())]
    Slow { who: &'static str, patience: Duration },
    #[error("kafkatos3 -e demo.cfg {how}; the last of \"{}\":\n{last}", log.display())]
    Archiver { how: String, log: PathBuf, last: String },
    #[error("{}", in_full(.0))]
    Read(#[from] ReadError),
    #[error("can't talk to a child process: {0}")]
    Pipe(io::Error),
    #[error("{}", .0.in_full())]
    Sys(#[from] SysError),
}

impl DemoError {
    const fn exit(&self) -> Exit {
        match self {
            Self::Folder { .. } | Self::Unspeakable(_) => Exit::CantCreate,
            Self::Interrupted | Self::Slow { .. } => Exit::TryAgain,
            Self::Read(_) => Exit::Data,
            Self::Failed { .. }
            | Self::Died { .. }
            | Self::Archiver { .. }
            | Self::Pipe(_)
            | Self::Sys(_) => Exit::Internal,
        }
    }
}

/// Shows how it works, in `dir` or in a new folder.
pub(super) fn run(dir: Option<&Path>) -> Exit {
    let folder = match Folder::make(dir) {
        Ok(folder) => folder,
        Err(error) => return end(error.exit(), &format!("error: {error}\n")),
    };
    let mut screen = Screen::new();
    let began = Instant::now();
    screen.print("\n");
    screen.line(Ink::Bold, "kafkatos3 demo: from Kafka into an archive, each record exactly once");
    screen.print("\n");
    match show(&folder, &mut screen) {
        Ok(verdict) => {
            telling::verdict(&verdict, began.elapsed(), &mut screen);
            telling::what_next(&folder, &mut screen);
            let good = if verdict.is_exact() { Exit::Done } else { Exit::Data };
            screen.result().err().unwrap_or(good)
        }
        Err(error) => {
            screen.clear();
            let place = shell_word(folder.path());
            let kept = format!("what there is stays in {place}\nremove it with: rm -r {place}");
            end(error.exit(), &format!("error: {error}\n{kept}\n"))
        }
    }
}

fn show(folder: &Folder, screen: &mut Screen) -> Result<Verdict, DemoError> {
    let written = records::all(now_millis())
        .map_err(|e| DemoError::Failed { who: "demo", why: e.to_string() })?;
    let mut family = Family::new()?;
    let archived = produce_and_archive(folder, &written, &mut family, screen);
    family.stop();
    let files = archived?;
    let step = screen.begin("read back", "unpacking and comparing");
    let mut comparison = Comparison::with(&written);
    for file in &files {
        compare::read_back(&folder.archive(), file, &mut comparison)?;
    }
    screen.end(&step, "offset, timestamp, key, value and headers of each record");
    Ok(comparison.verdict())
}

fn produce_and_archive(
    folder: &Folder,
    written: &Sequence,
    family: &mut Family,
    screen: &mut Screen,
) -> Result<Vec<ArchivedFile>, DemoError> {
    let step = screen.begin("broker", "starting a small Kafka");
    let mut broker = family.start("demo-broker", Stops::Killed, children::be_broker)?;
    let bootstrap = family.answer(&mut broker, PATIENCE)?;
    folder.write_config(&bootstrap)?;
    screen.end(&step, &format!("a small Kafka of its own, at {bootstrap}"));

    produce(&bootstrap, written, family, screen)?;
    let files = archive(folder, written, family, screen)?;
    family.still_runs(&broker)?;
    telling::files(&files, &Totals::of(written), screen);
    Ok(files)
}

fn produce(
    bootstrap: &str,
    records: &Sequence,
    family: &mut Family,
    screen: &mut Screen,
) -> Result<(), DemoError> {
    let step = screen.begin("produce", "writing records");
    let mut producer = family.start("demo-producer", Stops::Killed, |pipe| {
        answer(pipe, children::produce(bootstrap, records).map_err(|error| error.to_string()))
    })?;
    family.answer(&mut producer, PATIENCE)?;
    telling::produced(&Totals::of(records), &step, screen);
    Ok(())
}

/// Runs `kafkatos3 -e demo.cfg`; gives the files that the archive holds then.
fn archive(
    folder: &Folder,
    written: &Sequence,
    family: &mut Family,
    screen: &mut Screen,
) -> Result<Vec<ArchivedFile>, DemoError> {
    const WHAT: &str = "kafkatos3 -e demo.cfg";
    let step = screen.begin("archive", WHAT);
    let mut archiver = family.start("demo-archiver", Stops::Told, |pipe| {
        answer(pipe, Err(children::become_archiver(folder).to_string()))
    })?;
    let ending = family.ending(&archiver, PATIENCE, || {
        // What can't be listed now is said at the end.
        let files = archived(folder, written).map_or(0, |files| files.len());
        screen.goes_on(&step, &format!("{WHAT}: {}", count(files, "file")));
    });
    let how = match ending {
        Ok(Ending::Code(0)) => None,
        Ok(ending) => Some(ending.to_string()),
        Err(DemoError::Slow { .. }) => Some("comes to no end".to_owned()),
        Err(error) => return Err(error),
    };
    if let Some(how) = how {
        let log = folder.log();
        let last = last_lines(&log, LAST_WORDS);
        family.stop();
        if let Err(failed @ DemoError::Failed { .. }) = family.answer(&mut archiver, PATIENCE) {
            return Err(failed);
        }
        return Err(DemoError::Archiver { how, log, last });
    }
    let files = archived(folder, written)?;
    screen.end(&step, &format!("{WHAT}: {}", count(files.len(), "file")));
    Ok(files)
}

fn archived(folder: &Folder, written: &Sequence) -> Result<Vec<ArchivedFile>, DemoError> {
    let archive = folder.archive();
    compare::files(&archive, written.keys())
        .map_err(|source| ReadError::Input { path: archive, source }.into())
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(0)
}

/// The last `most` lines of a file, as far as there are any.
fn last_lines(path: &Path, most: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(most)..).unwrap_or_default();
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn in_full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
