//! The configuration file: read, checked, typed.
//!
//! ```text
//! text -> ini -> resolve -> raw -> validate -> typed Config
//!         lines  ${} file:  serde  pure
//! ```
//! Guarantees: a [`Config`] holds nothing that has to be checked again; an invalid file gives all
//! its problems at once, each with section, key and line where known; no input makes the loader
//! panic; no secret is in an error, a warning or a debug print.

mod changes;
mod finding;
mod ini;
mod keys;
mod librdkafka;
mod memory;
mod patterns;
mod raw;
mod redacted;
mod resolve;
mod secret;
mod texts;
mod typed;
mod units;
mod validate;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use changes::{Change, Changes, Uptake, Uptakes};
pub use finding::{Finding, Place};
pub use memory::ConsumerMemory;
pub use patterns::{Pattern, TopicPatterns};
pub use secret::{REDACTED, Secret};
pub use texts::Texts;
pub use typed::{
    Archive, ArchiveTarget, AzureTarget, Codec, Compression, Config, Consumer, GcsTarget,
    InstanceName, KafkaProperties, LogFormat, LogLevel, Main, MakVersion, OffsetReset, OnGap,
    OnTopicRecreated, S3Target, Sse, Tag, Upload,
};
pub use units::ByteSize;

use finding::Findings;
use resolve::Surroundings;
use validate::Host;

/// No configuration is larger; what is, is something else.
const LARGEST: u64 = 1 << 20;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or can't be read.
    #[error("can't read the configuration \"{}\"", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file was read, and is wrong.
    #[error("{}", Listed(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it; never empty.
        problems: Vec<Finding>,
        /// What is odd besides.
        warnings: Vec<Finding>,
    },
}

/// One problem a line.
struct Listed<'a>(&'a Path, &'a [Finding]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, problems) = self;
        for (n, problem) in problems.iter().enumerate() {
            let line_break = if n == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}", problem.in_file(path))?;
        }
        Ok(())
    }
}

/// A valid configuration, and what should be said of it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What it was made of.
    pub texts: Texts,
    /// What works, but not as it seems.
    pub warnings: Vec<Finding>,
}

impl Config {
    /// Reads and checks the file at `path`. Changes nothing.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        let bytes = read(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::from_bytes(path, &bytes)
    }

    /// The same for a text that is in no file; messages name it `name`.
    pub fn from_text(name: &str, text: &str) -> Result<Loaded, ConfigError> {
        Self::from_bytes(Path::new(name), text.as_bytes())
    }

    fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Loaded, ConfigError> {
        parse(bytes, &Process).map_err(|findings| ConfigError::Invalid {
            path: path.to_owned(),
            problems: findings.problems,
            warnings: findings.warnings,
        })
    }
}

impl ArchiveTarget {
    /// The archive at `url`, as `[archive] url` takes it, with every other key unset; else what is
    /// wrong with it.
    pub fn from_url(url: &str) -> Result<Self, Vec<Finding>> {
        validate::archive_at(url)
    }
}

fn is_too_large(bytes: &[u8]) -> bool {
    u64::try_from(bytes.len()).is_ok_and(|len| len > LARGEST)
}

/// Up to one byte more than a configuration can have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The whole way from bytes to a configuration.
fn parse(bytes: &[u8], around: &dyn Surroundings) -> Result<Loaded, Findings> {
    let mut findings = Findings::default();
    let config = parse_into(bytes, around, &mut findings);
    findings.sort();
    match config {
        Some((config, texts)) if findings.problems.is_empty() => {
            Ok(Loaded { config, texts, warnings: findings.warnings })
        }
        _ => Err(findings),
    }
}

fn parse_into(
    bytes: &[u8],
    around: &dyn Surroundings,
    findings: &mut Findings,
) -> Option<(Config, Texts)> {
    let text = text_of(bytes).map_err(|problem| findings.problems.push(problem)).ok()?;
    let items = ini::scan(text, findings);
    let resolved = resolve::resolve(items, around, findings);
    let Ok((raw, origins)) = raw::load(resolved) else {
        // Every value is a text of a known section; the crate's own words might repeat them.
        findings.problems.push(Finding::new(Place::default(), "can't be taken apart", ""));
        return None;
    };
    let config = validate::validate(&raw, &origins, &host(around), findings)?;
    Some((config, Texts::new(raw)))
}

fn host(around: &dyn Surroundings) -> Host {
    Host { name: around.host_name(), current_directory: around.current_directory() }
}

fn text_of(bytes: &[u8]) -> Result<&str, Finding> {
    let remedy = "is it a configuration file at all?";
    if is_too_large(bytes) {
        let what = "the file is larger than 1 MiB, which no configuration is";
        return Err(Finding::new(Place::default(), what, remedy));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let lines = before.split(|byte| *byte == b'\n').count();
        let line = u32::try_from(lines).unwrap_or(u32::MAX);
        Finding::new(Place::line(line), "the file is not UTF-8 text", remedy)
    })
}

/// The process itself.
struct Process;

impl Surroundings for Process {
    fn variable(&self, name: &str) -> Result<String, std::env::VarError> {
        std::env::var(name)
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        let bytes = read(path)?;
        if is_too_large(&bytes) {
            return Err(io::Error::other("it is larger than 1 MiB"));
        }
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
    }

    fn host_name(&self) -> Option<String> {
        nix::unistd::gethostname().ok()?.into_string().ok()
    }

    fn current_directory(&self) -> Option<PathBuf> {
        std::env::current_dir().ok()
    }
}

#[cfg(test)]
mod tests;
