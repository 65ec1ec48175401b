//! Which topics a white and a black list mean. Pure.
//!
//! An entry is a topic's exact name or a POSIX extended regular expression, as librdkafka has
//! them on Linux. A name that begins with `__` (Kafka's own topics) is meant only if it is
//! listed exactly. Since lists are separated by commas, `\x2c` stands for one inside of an
//! expression.

use std::collections::HashSet;

use super::regex::Regex;
use crate::types::TopicName;

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternSpec {
    /// This topic.
    Exact(TopicName),
    /// All topics whose names this expression matches; begins with `^`.
    Regex(String),
}

/// An expression that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{pattern}\" is not a POSIX extended regular expression: {why}")]
pub struct PatternError {
    /// The expression as it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// Tells which topics are meant.
pub struct Patterns {
    white: List,
    black: List,
}

struct List {
    names: HashSet<TopicName>,
    expressions: Vec<Regex>,
}

impl Patterns {
    /// Compiles both lists.
    pub fn compile(white: &[PatternSpec], black: &[PatternSpec]) -> Result<Self, PatternError> {
        Ok(Self { white: List::compile(white)?, black: List::compile(black)? })
    }

    /// Whether `topic` is on the white list and not on the black one.
    #[must_use]
    pub fn matches(&self, topic: &TopicName) -> bool {
        let listed = if topic.as_str().starts_with("__") {
            self.white.names.contains(topic)
        } else {
            self.white.matches(topic)
        };
        listed && !self.black.matches(topic)
    }
}

impl List {
    fn compile(specs: &[PatternSpec]) -> Result<Self, PatternError> {
        let mut list = Self { names: HashSet::new(), expressions: Vec::new() };
        for spec in specs {
            match spec {
                PatternSpec::Exact(name) => {
                    list.names.insert(name.clone());
                }
                PatternSpec::Regex(pattern) => {
                    let error = |why| PatternError { pattern: pattern.clone(), why };
                    list.expressions.push(Regex::compile(&with_commas(pattern)).map_err(error)?);
                }
            }
        }
        Ok(list)
    }

    fn matches(&self, topic: &TopicName) -> bool {
        self.names.contains(topic) || self.expressions.iter().any(|e| e.matches(topic.as_str()))
    }
}

/// Puts a comma for each `\x2c`, but not where the backslash is itself escaped.
fn with_commas(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        let escape = ["\\x2c", "\\x2C"].iter().find_map(|escape| from.strip_prefix(escape));
        rest = if let Some(behind) = escape {
            plain.push(',');
            behind
        } else {
            let length = 1 + from.chars().nth(1).map_or(0, char::len_utf8);
            let (kept, behind) = from.split_at(length);
            plain.push_str(kept);
            behind
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn exact(topic: &str) -> PatternSpec {
        PatternSpec::Exact(name(topic))
    }

    fn regex(pattern: &str) -> PatternSpec {
        PatternSpec::Regex(pattern.to_owned())
    }

    fn matched(white: &[PatternSpec], black: &[PatternSpec], topics: &[&str]) -> Vec<String> {
        let patterns = Patterns::compile(white, black).unwrap();
        let meant = topics.iter().filter(|topic| patterns.matches(&name(topic)));
        meant.map(|topic| (*topic).to_owned()).collect()
    }

    #[test]
    fn names_are_whole_and_expressions_are_not() {
        let topics = ["a", "ab", "b.a", "b"];
        assert_eq!(matched(&[exact("a")], &[], &topics), ["a"]);
        assert_eq!(matched(&[regex("^a")], &[], &topics), ["a", "ab"]);
        assert_eq!(matched(&[regex("^.*a$")], &[], &topics), ["a", "b.a"]);
    }

    #[test]
    fn expressions_are_extended_ones() {
        let topics = ["log-1", "log-22", "log-333", "log"];
        assert_eq!(matched(&[regex("^log-[0-9]{1\\x2c2}$")], &[], &topics), ["log-1", "log-22"]);
        assert_eq!(matched(&[regex("^log(-1|-22)$")], &[], &topics), ["log-1", "log-22"]);
        assert_eq!(matched(&[regex("^[[:alpha:]]+$")], &[], &topics), ["log"]);
    }

    #[test]
    fn the_black_list_wins() {
        let topics = ["a1", "a2", "b1"];
        assert_eq!(matched(&[regex("^[ab]")], &[regex("^b"), exact("a2")], &topics), ["a1"]);
        assert!(matched(&[exact("a1")], &[regex("^a")], &topics).is_empty());
    }

    #[test]
    fn internal_topics_only_by_their_name() {
        let topics = ["__consumer_offsets", "_schemas", "x"];
        assert_eq!(matched(&[regex("^.*")], &[], &topics), ["_schemas", "x"]);
        let named = [exact("__consumer_offsets")];
        assert_eq!(matched(&named, &[], &topics), ["__consumer_offsets"]);
    }

    #[test]
    fn a_wrong_expression_is_named() {
        let error = Patterns::compile(&[regex("^(a")], &[]).err().unwrap();
        assert_eq!(error.pattern, "^(a");
        assert!(!error.why.is_empty());
    }

    #[test]
    fn only_an_unescaped_escape_is_a_comma() {
        assert_eq!(with_commas(r"a\x2cb\x2Cc"), "a,b,c");
        assert_eq!(with_commas(r"a\\x2c"), r"a\\x2c");
        assert_eq!(with_commas(r"a\.b\"), r"a\.b\");
        assert_eq!(with_commas(r"\é\x2c"), r"\é,");
    }
}
