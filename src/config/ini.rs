//! The file's lines as sections, keys and values.
//!
//! Every line goes through rust-ini by itself, with its escapes and quotes switched off: so each
//! key has its line, a repeated key is seen, a line that is none of the three cannot run into the
//! next one, and a backslash stays what it is. Guarantees: no input makes it panic, and no
//! finding repeats a value, for any line may be a part of somebody's secret.

use std::collections::HashMap;

use ini::{Ini, ParseOption};

use super::finding::{Finding, Findings, Place};
use super::keys::{self, Section};
use super::librdkafka;

/// One assignment, of a key that is known.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) section: Section,
    pub(super) key: String,
    /// As it was written, without one pair of quotes around it.
    pub(super) written: String,
    pub(super) line: u32,
}

/// How many lines that make no sense are named one by one.
const NAMED_LINES: usize = 10;

/// Reads `text`; what is wrong with it goes to `findings`.
pub(super) fn scan(text: &str, findings: &mut Findings) -> Vec<Item> {
    let mut scanner = Scanner::new(findings);
    for (n, line) in text.strip_prefix('\u{feff}').unwrap_or(text).split('\n').enumerate() {
        let number = u32::try_from(n + 1).unwrap_or(u32::MAX);
        scanner.line(number, line.strip_suffix('\r').unwrap_or(line));
    }
    scanner.finish()
}

/// Which section the lines belong to.
#[derive(Clone, Copy)]
enum Current {
    None,
    Unknown,
    Known(Section),
}

/// The assignment that an indented line would go on with.
struct Open {
    indent: usize,
    section: Section,
    key: String,
    /// Where its item is; none if it was refused.
    item: Option<usize>,
    complained: bool,
}

struct Scanner<'a> {
    findings: &'a mut Findings,
    items: Vec<Item>,
    first_lines: HashMap<(Section, String), u32>,
    current: Current,
    open: Option<Open>,
    senseless: usize,
}

impl<'a> Scanner<'a> {
    fn new(findings: &'a mut Findings) -> Self {
        Self {
            findings,
            items: Vec::new(),
            first_lines: HashMap::new(),
            current: Current::None,
            open: None,
            senseless: 0,
        }
    }

    fn line(&mut self, number: u32, line: &str) {
        let content = line.trim();
        if line.contains(|c: char| c.is_control() && c != '\t') {
            self.open = None;
            self.senseless(number, "the line holds a control character");
        } else if content.is_empty() || content.starts_with(['#', ';']) {
            // Blank lines and comments, also within a value of several lines.
        } else if let Some(rest) = content.strip_prefix('[') {
            self.section(number, rest);
        } else if !self.continues(number, line, content) {
            self.assignment(number, line, content);
        }
    }

    /// Takes a line that is indented deeper than the key above it, as the original did.
    fn continues(&mut self, number: u32, line: &str, content: &str) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| indent(line) > open.indent) else {
            return false;
        };
        if keys::takes_lines(open.section, &open.key) {
            if let Some(item) = open.item.and_then(|n| self.items.get_mut(n)) {
                item.written.push('\n');
                item.written.push_str(content);
            }
        } else if !open.complained {
            open.complained = true;
            self.findings.problems.push(Finding::new(
                Place::key(open.section, &open.key, Some(number)),
                "the line is indented, so it goes on with the value of the key above, which takes one line only",
                "remove the blanks before it",
            ));
        }
        true
    }

    fn section(&mut self, number: u32, rest: &str) {
        self.open = None;
        let Some(name) = rest.strip_suffix(']').map(str::trim) else {
            self.current = Current::Unknown;
            return self
                .senseless(number, "the line begins with \"[\" but does not end with \"]\"");
        };
        self.current = if let Some(section) = Section::parse(name) {
            Current::Known(section)
        } else {
            self.findings.problems.push(unknown_section(number, name));
            Current::Unknown
        };
    }

    fn assignment(&mut self, number: u32, line: &str, content: &str) {
        self.open = None;
        let Some((key, value)) = split(content) else {
            return self.senseless(number, "expected \"key = value\"");
        };
        let section = match self.current {
            Current::Known(section) => section,
            Current::Unknown => return,
            Current::None => {
                return self.senseless(number, "the line stands before the first [section]");
            }
        };
        let item = self.accept(section, &key, &value, number);
        self.open = Some(Open { indent: indent(line), section, key, item, complained: false });
    }

    /// Keeps an assignment unless its key is unknown or was there before.
    fn accept(&mut self, section: Section, key: &str, value: &str, line: u32) -> Option<usize> {
        let known = match section {
            Section::Kafka => librdkafka::is_property(key),
            _ => keys::find(section, key).is_some(),
        };
        if !known {
            self.findings.problems.push(unknown_key(section, key, line));
            return None;
        }
        if let Some(first) = self.first_lines.get(&(section, key.to_owned())) {
            self.findings.problems.push(Finding::new(
                Place::key(section, key, Some(line)),
                format!("the key is set a second time; the first is on line {first}"),
                "remove one of them",
            ));
            return None;
        }
        self.first_lines.insert((section, key.to_owned()), line);
        let written = unquote(value).to_owned();
        self.items.push(Item { section, key: key.to_owned(), written, line });
        Some(self.items.len() - 1)
    }

    fn senseless(&mut self, number: u32, what: &str) {
        self.senseless += 1;
        if self.senseless <= NAMED_LINES {
            let remedy =
                "each line is a [section], \"key = value\", or a comment that begins with #";
            self.findings.problems.push(Finding::new(Place::line(number), what, remedy));
        }
    }

    fn finish(self) -> Vec<Item> {
        if self.senseless > NAMED_LINES {
            let rest = self.senseless - NAMED_LINES;
            self.findings.problems.push(Finding::new(
                Place::default(),
                format!("{rest} more lines make no sense"),
                "is it a configuration file at all?",
            ));
        }
        self.items
    }
}

/// Key and value of one line by rust-ini.
fn split(content: &str) -> Option<(String, String)> {
    let options =
        ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
    let ini = Ini::load_from_str_opt(content, options).ok()?;
    let mut pairs = ini.iter().flat_map(|(_, properties)| properties.iter());
    let (key, value) = pairs.next()?;
    let whole = pairs.next().is_none() && !key.is_empty();
    whole.then(|| (key.to_owned(), value.to_owned()))
}

/// Takes one pair of double quotes off that encloses the whole value; `""` is empty.
fn unquote(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|inner| !inner.contains('"')).unwrap_or(value)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether `name` may be repeated: what does not look like a key may be a piece of a secret.
fn is_showable(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    name.len() <= 64 && name.bytes().all(legal)
}

fn unknown_key(section: Section, key: &str, line: u32) -> Finding {
    let lower = key.to_ascii_lowercase();
    let hint = keys::suggest(section, &lower);
    // A hint means that it is very like a real key, so that its case may differ.
    if !(is_showable(key) || hint.is_some() && is_showable(&lower)) {
        let place = Place { key: None, ..Place::key(section, key, Some(line)) };
        return Finding::new(place, "there is no such key", "names of keys have a-z 0-9 . _ only");
    }
    let what = format!("there is no such key in [{}]", section.name());
    let remedy = hint.unwrap_or_else(|| "remove it; docs/configuration.md lists all keys".into());
    Finding::new(Place::key(section, &lower, Some(line)), what, remedy)
}

fn unknown_section(line: u32, name: &str) -> Finding {
    let lower = name.to_ascii_lowercase();
    let known = || Section::ALL.map(|section| format!("[{}]", section.name())).join(" ");
    let remedy = match (lower.as_str(), keys::suggest_section(&lower)) {
        ("relay" | "metrics", _) => "this version does not have it; remove it".to_owned(),
        (_, Some(near)) => format!("did you mean [{near}]?"),
        (_, None) => format!("there are {}", known()),
    };
    let place =
        Place { line: Some(line), section: is_showable(&lower).then_some(lower), key: None };
    Finding::new(place, "there is no such section", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Vec<(String, String, u32)>, Vec<String>) {
        let mut findings = Findings::default();
        let items = scan(text, &mut findings);
        let items = items.into_iter().map(|i| (i.key, i.written, i.line)).collect();
        (items, findings.problems.iter().map(|p| format!("{:?} {p}", p.place.line)).collect())
    }

    fn value_of(written: &str) -> String {
        let (items, problems) = read(&format!("[s3]\ns3_secret_key = {written}\n"));
        assert_eq!(problems, Vec::<String>::new(), "{written}");
        items[0].1.clone()
    }

    #[test]
    fn values_stay_as_they_are() {
        for value in [
            r"a\.b",
            r"C:\new\table",
            r"end\",
            "a#b",
            "a #b",
            "a;b",
            "a ;b",
            "50%",
            "%(x)s",
            "a=b",
            "a:b=c",
            "'x'",
            "a\"b",
            "\"a\"b",
            "\"a\",\"b\"",
            "${X}",
            "\u{e9}t\u{e9}",
            "[x]",
            "\"",
        ] {
            assert_eq!(value_of(value), value);
        }
        assert_eq!(value_of("\"\""), "");
        assert_eq!(value_of(""), "");
        assert_eq!(value_of("\" a b \""), " a b ");
        assert_eq!(value_of("  a\tb \t"), "a\tb");
    }

    #[test]
    fn keys_have_their_lines() {
        let (items, problems) = read(
            "\u{feff}# head\r\n[main]\r\nlog.level: INFO\r\n\r\n; c\n [s3]\n  s3_prefix=x\n[main]\ninstance = a",
        );
        let expect = [("log.level", "INFO", 3), ("s3_prefix", "x", 7), ("instance", "a", 9)];
        assert_eq!(items, expect.map(|(k, v, l)| (k.to_owned(), v.to_owned(), l)));
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn lists_and_certificates_go_on_over_indented_lines() {
        let text = "[consumer]\ntopic_whitelist = a,\n  b,\n  # no\n\n  c\nmak_version = 2\n[kafka]\nssl.key.pem =\n -a=\n -b\n";
        let (items, problems) = read(text);
        let values: Vec<_> = items.iter().map(|(_, value, _)| value.as_str()).collect();
        assert_eq!(values, ["a,\nb,\nc", "2", "\n-a=\n-b"]);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn other_indented_lines_are_said_once() {
        let (_, problems) =
            read("[main]\ninstance = a\n  working_directory = /x\n  log.level = INFO\n");
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("Some(3) [main] instance: the line is indented"),
            "{problems:?}"
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let text = "stray = 1\n[main]\nlog.level = INFO\nlog.level = DEBUG\nlog.lvl = X\nnonsense\n= 1\n[mian]\nx = 1\n[broken\n";
        let (items, problems) = read(text);
        assert_eq!(items.len(), 1);
        let begins = [
            "Some(1) the line stands before",
            "Some(4) [main] log.level: the key is set a second time; the first is on line 3",
            "Some(5) [main] log.lvl: there is no such key in [main]; did you mean \"log.level\"?",
            "Some(6) expected \"key = value\"",
            "Some(7) expected \"key = value\"",
            "Some(8) [mian]: there is no such section; did you mean [main]?",
            "Some(10) the line begins with \"[\"",
        ];
        assert_eq!(problems.len(), begins.len(), "{problems:#?}");
        for (problem, begin) in problems.iter().zip(begins) {
            assert!(problem.starts_with(begin), "{problem}");
        }
    }

    #[test]
    fn garbage_is_not_listed_line_by_line() {
        let (_, problems) = read(&"junk\n".repeat(1000));
        assert_eq!(problems.len(), NAMED_LINES + 1);
        assert!(problems[NAMED_LINES].contains("990 more"));
    }

    #[test]
    fn a_piece_of_a_secret_is_not_repeated() {
        let secret = "wJalrXUtnFEMI/K7MDENG";
        for text in [
            format!("[s3]\n{secret}\n"),
            format!("[s3]\n{secret}=\n"),
            format!("[s3]\ns3_secret_key = x\n  {secret}=\n"),
            format!("{secret} = 1\n"),
            format!("[{secret}]\n[{secret}\n"),
            format!("[s3]\ns3_secret = {secret}\ns3_secret_key = a\ns3_secret_key = {secret}\n"),
        ] {
            let (_, problems) = read(&text);
            assert!(!problems.is_empty());
            let shown = problems.join("\n").to_lowercase();
            assert!(!shown.contains(&secret.to_lowercase()), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = read(&text);
        }

        #[test]
        fn no_likely_text_makes_it_panic(text in "[\\[\\]mains3 =:\"'\\\\#;%$\\{\\}\r\n\t.k]{0,80}") {
            let _ = read(&text);
        }
    }
}
