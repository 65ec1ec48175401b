//! What is wrong with a file, and where: collected, so that all of it is said at once.
//!
//! Pure. A finding never holds the value of a secret; who makes one sees to that.

use std::fmt;
use std::path::Path;

use super::keys::Section;

/// A place in the file: as much of it as is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Counted from 1; none for what is missing.
    pub line: Option<u32>,
    /// The section's name.
    pub section: Option<String>,
    /// The key's name.
    pub key: Option<String>,
}

impl Place {
    pub(super) fn line(line: u32) -> Self {
        Self { line: Some(line), ..Self::default() }
    }

    pub(super) fn key(section: Section, key: &str, line: Option<u32>) -> Self {
        Self { line, section: Some(section.name().to_owned()), key: Some(key.to_owned()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.section, &self.key) {
            (Some(section), Some(key)) => write!(f, "[{section}] {key}: "),
            (Some(section), None) => write!(f, "[{section}]: "),
            _ => Ok(()),
        }
    }
}

/// One thing that is wrong, or odd, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What it is, and what was expected.
    pub what: String,
    /// What to do; empty if there is nothing to do.
    pub remedy: String,
}

impl Finding {
    pub(super) fn new(place: Place, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place, what: what.into(), remedy: remedy.into() }
    }

    /// The finding as one line, with the file that it is about.
    pub fn in_file<'a>(&'a self, path: &'a Path) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| match self.place.line {
            Some(line) => write!(f, "{}:{line}: {self}", path.display()),
            None => write!(f, "{}: {self}", path.display()),
        })
    }
}

/// `[section] key: what; what to do`, without the file.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.what)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// All that was found in one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Findings {
    /// What makes the file unusable.
    pub(super) problems: Vec<Finding>,
    /// What works, but not as it seems.
    pub(super) warnings: Vec<Finding>,
}

impl Findings {
    /// In the order of the file; what has no line comes last.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.problems, &mut self.warnings] {
            list.sort_by_key(|finding| finding.place.line.unwrap_or(u32::MAX));
        }
    }
}
