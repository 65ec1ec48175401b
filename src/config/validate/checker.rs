//! Takes texts out of the raw file and says what is wrong with them.

use std::time::Duration;

use super::super::finding::{Finding, Findings, Place};
use super::super::keys::{self, Key, Section};
use super::super::raw::{Origins, Raw};
use super::super::units::{self, ByteSize};

/// The raw file, and what was found in it so far.
pub(super) struct Checker<'a> {
    raw: &'a Raw,
    origins: &'a Origins,
    findings: &'a mut Findings,
}

/// Longer values are cut where they are repeated.
const SHOWN_CHARS: usize = 80;

pub(super) const SIZE: &str = "a number of bytes, or one with KiB, MiB, GiB, TiB, KB, MB, GB or TB";
pub(super) const TIME: &str = "a number of seconds, or one with ms, s, m, h or d";

impl<'a> Checker<'a> {
    pub(super) fn new(raw: &'a Raw, origins: &'a Origins, findings: &'a mut Findings) -> Self {
        Self { raw, origins, findings }
    }

    /// The text of `key`, or its default; none if it is missing or could not be filled in.
    pub(super) fn peek(&self, key: &Key) -> Option<&'a str> {
        match self.raw.section(key.section).get(key.name) {
            Some(text) => Some(text),
            None if self.is_broken(key) => None,
            None => key.default,
        }
    }

    /// Everything that `[kafka]` holds.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.raw.section(Section::Kafka).iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the file sets `key` to something.
    pub(super) fn is_set(&self, key: &Key) -> bool {
        self.is_broken(key)
            || self.raw.section(key.section).get(key.name).is_some_and(|text| !text.is_empty())
    }

    /// Whether the value of `key` could not be filled in, which was said.
    pub(super) fn is_broken(&self, key: &Key) -> bool {
        let origin = self.origins.get(&(key.section, key.name.to_owned()));
        origin.is_some_and(|origin| origin.broken)
    }

    /// A problem with the value of `key`.
    pub(super) fn problem(
        &mut self,
        key: &Key,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problem_at(key.section, key.name, what, remedy);
    }

    /// A problem with the value of `[section] name`.
    pub(super) fn problem_at(
        &mut self,
        section: Section,
        name: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let place = self.place(section, name);
        self.findings.problems.push(Finding::new(place, what, remedy));
    }

    /// A warning about the value of `key`.
    pub(super) fn warning(
        &mut self,
        key: &Key,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warning_at(key.section, key.name, what, remedy);
    }

    /// A warning about the value of `[section] name`.
    pub(super) fn warning_at(
        &mut self,
        section: Section,
        name: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let place = self.place(section, name);
        self.findings.warnings.push(Finding::new(place, what, remedy));
    }

    fn place(&self, section: Section, name: &str) -> Place {
        let origin = self.origins.get(&(section, name.to_owned()));
        Place::key(section, name, origin.map(|origin| origin.line))
    }

    /// How the value of `key` may be repeated: as it was written, cut, and never a secret.
    pub(super) fn shown(&self, key: &Key) -> String {
        if keys::is_secret(key.section, key.name) {
            return "the value".into();
        }
        let origin = self.origins.get(&(key.section, key.name.to_owned()));
        let written = origin.and_then(|origin| origin.written.as_deref());
        let text = written.or_else(|| self.peek(key)).unwrap_or_default();
        // An url may have a password in it.
        if text.contains("://") && text.contains('@') {
            return "the value".into();
        }
        let cut: String = text.chars().take(SHOWN_CHARS).collect();
        let dots = if cut.len() < text.len() { "..." } else { "" };
        let filled_in = if written.is_some() { ", filled in," } else { "" };
        format!("\"{}{dots}\"{filled_in}", cut.escape_debug())
    }

    /// Says "VALUE is not EXPECTED".
    pub(super) fn not(&mut self, key: &Key, expected: &str) {
        let what = format!("{} is not {expected}", self.shown(key));
        let remedy = match key.default {
            Some(default) if !default.is_empty() => format!("the default is {default}"),
            _ => String::new(),
        };
        self.problem(key, what, remedy);
    }

    /// The value of `key` as `read` understands it; else a problem that names what was expected.
    pub(super) fn parse<T>(
        &mut self,
        key: &Key,
        expected: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.peek(key)?);
        if value.is_none() {
            self.not(key, expected);
        }
        value
    }

    /// The same, where an empty value means none.
    #[expect(clippy::option_option, reason = "outside: wrong, inside: empty")]
    pub(super) fn optional<T>(
        &mut self,
        key: &Key,
        expected: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.peek(key)? {
            "" => Some(None),
            _ => self.parse(key, expected, read).map(Some),
        }
    }

    /// The value of a key that has to be there.
    pub(super) fn required(&mut self, key: &Key, remedy: &str) -> Option<&'a str> {
        let text = self.peek(key).filter(|text| !text.is_empty());
        if text.is_none() && !self.is_broken(key) {
            self.problem(key, "the key is required, and missing or empty", remedy);
        }
        text
    }

    /// One of some words.
    pub(super) fn word<T>(
        &mut self,
        key: &Key,
        words: &[&str],
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.parse(key, &format!("one of {}", words.join(", ")), read)
    }

    /// A whole number in `[least, most]`.
    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &Key,
        least: i64,
        most: i64,
    ) -> Option<T> {
        self.parse(key, &format!("a number from {least} to {most}"), |text| {
            let number = text.parse::<i64>().ok().filter(|n| (least..=most).contains(n))?;
            T::try_from(number).ok()
        })
    }

    /// A size in `[least, most]`.
    pub(super) fn size(&mut self, key: &Key, least: ByteSize, most: ByteSize) -> Option<ByteSize> {
        let size = self.parse(key, SIZE, ByteSize::parse)?;
        if least <= size && size <= most {
            return Some(size);
        }
        let bound = if most == ByteSize::new(u64::MAX) {
            format!("it has to be at least {least}")
        } else {
            format!("it has to be from {least} to {most}")
        };
        let what = format!("{} is out of range", self.shown(key));
        self.problem(key, what, bound);
        None
    }

    /// A time of at least `least`.
    pub(super) fn time(&mut self, key: &Key, least: Duration) -> Option<Duration> {
        let time = self.parse(key, TIME, units::parse_time)?;
        if time >= least {
            return Some(time);
        }
        let what = format!("{} is too short", self.shown(key));
        self.problem(key, what, format!("it has to be at least {}", units::show_time(least)));
        None
    }

    /// Says of each key that only the original read that it does nothing.
    pub(super) fn ignored_keys(&mut self) {
        for key in keys::ALL {
            let there = self.origins.contains_key(&(key.section, key.name.to_owned()));
            if let Some(why) = key.ignored.filter(|_| there) {
                self.warning(key, "the key is accepted, but has no effect", why);
            }
        }
    }

    /// Says of each value that seems to have a comment behind it that all of it is the value: the
    /// original took what stands behind a blank and a `;` off.
    pub(super) fn comments_behind_values(&mut self) {
        for (section, name) in self.origins.keys() {
            let text = self.raw.section(*section).get(name);
            let seems = |text: &String| [" ;", "\t;", " #", "\t#"].iter().any(|c| text.contains(c));
            if text.is_some_and(seems) && !keys::is_secret(*section, name) {
                let what = "what stands behind the blank and \";\" or \"#\" is part of the value";
                self.warning_at(*section, name, what, "give a comment a line of its own");
            }
        }
    }
}
