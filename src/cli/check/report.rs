//! What was found, as a table for people or as JSON. Pure.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::cli::Exit;

/// What a line is about; in the order of the data's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Area {
    Config,
    Broker,
    Login,
    Cluster,
    Topic,
    Group,
    Files,
    Memory,
    Spool,
    Disk,
    Store,
    Right,
    Clock,
    Archive,
    Catalog,
}

impl Area {
    const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Broker => "broker",
            Self::Login => "login",
            Self::Cluster => "cluster",
            Self::Topic => "topic",
            Self::Group => "group",
            Self::Files => "files",
            Self::Memory => "memory",
            Self::Spool => "spool",
            Self::Disk => "disk",
            Self::Store => "store",
            Self::Right => "right",
            Self::Clock => "clock",
            Self::Archive => "archive",
            Self::Catalog => "catalog",
        }
    }
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// kafkatos3 would run, but look at this.
    Warn,
    /// kafkatos3 would not run, or not do all its work.
    Fail,
    /// Could not be found out, or need not be.
    Skip,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "-",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) verdict: Verdict,
    pub(super) area: Area,
    pub(super) subject: String,
    pub(super) found: String,
    /// What to do; empty if there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) todo: String,
    #[serde(skip)]
    exit: Option<Exit>,
}

impl Line {
    fn new(verdict: Verdict, area: Area, subject: &str, found: &str, todo: &str) -> Self {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let [subject, found, todo] = [subject, found, todo].map(one_line);
        Self { verdict, area, subject, found, todo, exit: None }
    }

    pub(super) fn ok(area: Area, subject: &str, found: &str) -> Self {
        Self::new(Verdict::Ok, area, subject, found, "")
    }

    pub(super) fn warn(area: Area, subject: &str, found: &str, todo: &str) -> Self {
        Self::new(Verdict::Warn, area, subject, found, todo)
    }

    pub(super) fn fail(area: Area, subject: &str, found: &str, todo: &str, exit: Exit) -> Self {
        Self { exit: Some(exit), ..Self::new(Verdict::Fail, area, subject, found, todo) }
    }

    /// Not looked at, and why.
    pub(super) fn skip(area: Area, subject: &str, why: &str) -> Self {
        Self::new(Verdict::Skip, area, subject, why, "")
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Report {
    lines: Vec<Line>,
}

/// Of several failures, the one that stands first here decides the exit code: who mends it may
/// see the others go.
const SEVERITY: [Exit; 4] = [Exit::Config, Exit::NoPermission, Exit::CantCreate, Exit::Unavailable];

impl Report {
    pub(super) fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub(super) fn extend(&mut self, lines: impl IntoIterator<Item = Line>) {
        self.lines.extend(lines);
    }

    pub(super) fn append(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    /// How the program ends.
    pub(super) fn exit(&self) -> Exit {
        let rank = |exit: &Exit| SEVERITY.iter().position(|one| one == exit).unwrap_or(usize::MAX);
        self.lines.iter().filter_map(|line| line.exit).min_by_key(rank).unwrap_or(Exit::Done)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }

    /// A table, what to do, and the sum of it.
    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        let width = self.lines.iter().map(|line| shown(&line.subject)).max().unwrap_or(0);
        for line in &self.lines {
            let (verdict, area) = (line.verdict.name(), line.area.name());
            let _ =
                writeln!(out, "{verdict:<4}  {area:<7}  {:<width$}  {}", line.subject, line.found);
        }
        self.todo(&mut out);
        let _ = writeln!(out, "\n{}", self.sum());
        out
    }

    fn todo(&self, out: &mut String) {
        let mut said: Vec<(Area, &str, Vec<&str>)> = Vec::new();
        for line in self.lines.iter().filter(|line| !line.todo.is_empty()) {
            let same =
                said.iter_mut().find(|(area, todo, _)| *area == line.area && *todo == line.todo);
            match same {
                Some((_, _, subjects)) => subjects.push(&line.subject),
                None => said.push((line.area, &line.todo, vec![&line.subject])),
            }
        }
        if !said.is_empty() {
            out.push_str("\nWhat to do:\n");
        }
        for (n, (area, todo, subjects)) in said.iter().enumerate() {
            let _ = writeln!(out, "{:>2}. {} {}: {todo}", n + 1, area.name(), subjects.join(", "));
        }
    }

    fn sum(&self) -> String {
        let (failed, warned) = (self.count(Verdict::Fail), self.count(Verdict::Warn));
        match (failed, warned) {
            (0, 0) => "all is well".to_owned(),
            (0, _) => format!("ready to run, with {}", counted(warned, "warning")),
            _ => format!(
                "not ready: {}, {}; exit code {}",
                counted(failed, "failure"),
                counted(warned, "warning"),
                self.exit().code()
            ),
        }
    }

    /// One object: `exit`, and `checks` with what the table has.
    pub(super) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Whole<'a> {
            exit: u8,
            checks: &'a [Line],
        }
        let whole = Whole { exit: self.exit().code(), checks: &self.lines };
        // Texts and numbers always have a form in JSON.
        serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
    }
}

/// `1 topic`, `2 topics`.
pub(super) fn counted<N: fmt::Display + PartialEq + From<u8> + Copy>(n: N, word: &str) -> String {
    let end = if n == N::from(1) { "" } else { "s" };
    format!("{n} {word}{end}")
}

fn shown(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.push(Line::ok(Area::Broker, "k1:9092", "answers"));
        report.push(Line::fail(Area::Broker, "k2:9092", "no", "start it", Exit::Unavailable));
        report.push(Line::fail(Area::Broker, "k3:9092", "no", "start it", Exit::Unavailable));
        report.push(Line::warn(Area::Topic, "t", "none\n yet", "look"));
        report.push(Line::fail(Area::Store, "s3://b", "no", "a key", Exit::NoPermission));
        report.push(Line::skip(Area::Clock, "store", "why"));
        report
    }

    #[test]
    fn the_table_is_aligned_and_says_once_what_to_do() {
        let text = report().to_text();
        let expected = "\
ok    broker   k1:9092  answers
FAIL  broker   k2:9092  no
FAIL  broker   k3:9092  no
warn  topic    t        none yet
FAIL  store    s3://b   no
-     clock    store    why

What to do:
 1. broker k2:9092, k3:9092: start it
 2. topic t: look
 3. store s3://b: a key

not ready: 3 failures, 1 warning; exit code 77
";
        assert_eq!(text, expected);
        assert_eq!(Report::default().to_text(), "\nall is well\n");
    }

    #[test]
    fn the_worst_decides_the_exit_code() {
        let exits = [Exit::Unavailable, Exit::CantCreate, Exit::NoPermission, Exit::Config];
        let mut report = Report::default();
        assert_eq!(report.exit(), Exit::Done);
        report.push(Line::warn(Area::Topic, "", "", ""));
        assert_eq!(report.exit(), Exit::Done);
        for exit in exits {
            report.push(Line::fail(Area::Store, "", "", "", exit));
            assert_eq!(report.exit(), exit);
        }
        report.push(Line::fail(Area::Store, "", "", "", Exit::Unavailable));
        assert_eq!(report.exit(), Exit::Config);
    }

    #[test]
    fn programs_read_the_same() {
        let json: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!(json["exit"], 77);
        assert_eq!(json["checks"][1]["verdict"], "fail");
        assert_eq!(json["checks"][1]["todo"], "start it");
        assert_eq!(json["checks"][0].get("todo"), None);
        assert_eq!(json["checks"][5]["area"], "clock");
    }
}
