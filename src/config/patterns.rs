//! Which topics are meant: exact names and regular expressions.
//!
//! Pure. Compiles no expression: one engine matches them all, and it is on the Kafka side.

use std::fmt;

use crate::types::TopicName;

/// One item of `topic_whitelist` or `topic_blacklist`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This topic.
    Exact(TopicName),
    /// Every topic that this POSIX extended regular expression matches; it begins with `^`.
    /// A comma is a plain comma here, whatever it was in the file.
    Regex(String),
}

/// Which topics are archived: what the whitelist matches and the blacklist does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicPatterns {
    /// What is archived; never empty in a valid configuration.
    pub whitelist: Vec<Pattern>,
    /// What is left out of it.
    pub blacklist: Vec<Pattern>,
}

/// An item that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PatternError {
    /// Two commas with nothing between them, or one at an end.
    EmptyItem,
    /// A bare `^`, which matches every topic.
    EmptyRegex,
    /// Neither a name nor an expression; looks like an expression without its `^`?
    NotATopic { item: String, looks_like_regex: bool },
}

/// Reads a comma-separated list; empty text is an empty list. Line breaks are as good as blanks.
pub(super) fn parse_list(text: &str) -> Result<Vec<Pattern>, Vec<PatternError>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let (good, bad): (Vec<_>, Vec<_>) = text.split(',').map(parse_item).partition(Result::is_ok);
    if bad.is_empty() {
        Ok(good.into_iter().flatten().collect())
    } else {
        Err(bad.into_iter().filter_map(Result::err).collect())
    }
}

fn parse_item(item: &str) -> Result<Pattern, PatternError> {
    let item = item.trim();
    match item.strip_prefix('^') {
        _ if item.is_empty() => Err(PatternError::EmptyItem),
        Some("") => Err(PatternError::EmptyRegex),
        Some(_) => Ok(Pattern::Regex(item.replace("\\x2c", ",").replace("\\x2C", ","))),
        None => TopicName::new(item).map(Pattern::Exact).map_err(|_| PatternError::NotATopic {
            item: item.to_owned(),
            looks_like_regex: item.contains(|c| "*+?[](){}|$\\".contains(c)),
        }),
    }
}

/// As it would stand in the file.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(topic) => topic.fmt(f),
            Self::Regex(regex) => f.write_str(&regex.replace(',', "\\x2c")),
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyItem => f.write_str("an item of the list is empty"),
            Self::EmptyRegex => {
                f.write_str("\"^\" alone is no expression; \"^.*\" matches every topic")
            }
            Self::NotATopic { item, looks_like_regex: true } => write!(
                f,
                "\"{item}\" is no topic name; a regular expression begins with \"^\", and a comma in it is \\x2c"
            ),
            Self::NotATopic { item, .. } => write!(
                f,
                "\"{item}\" is no topic name: 1 to 249 of a-z A-Z 0-9 . _ - and not \".\" or \"..\""
            ),
        }
    }
}

/// The list as it would stand in the file.
pub(super) fn show_list(patterns: &[Pattern]) -> String {
    patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(name: &str) -> Pattern {
        Pattern::Exact(TopicName::new(name).expect("a name"))
    }

    #[test]
    fn names_and_expressions_are_told_apart() {
        let list =
            parse_list(" orders , ^pay.*\\.v[0-9]{1\\x2c3}$,\n__consumer_offsets").expect("a list");
        let regex = Pattern::Regex("^pay.*\\.v[0-9]{1,3}$".into());
        assert_eq!(list, [exact("orders"), regex, exact("__consumer_offsets")]);
        assert_eq!(show_list(&list), "orders, ^pay.*\\.v[0-9]{1\\x2c3}$, __consumer_offsets");
        assert_eq!(parse_list("  "), Ok(vec![]));
    }

    #[test]
    fn every_bad_item_is_named() {
        let errors = parse_list("a,,^,pay.*,b c,..").expect_err("bad items");
        let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 5);
        assert!(shown[0].contains("empty"));
        assert!(shown[1].contains("^.*"));
        assert!(shown[2].contains("begins with \"^\""));
        assert!(shown[3].contains("\"b c\" is no topic name: "));
        assert!(shown[4].contains("\"..\" is no topic name: "));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(text in "[a-z^,. \\\\x2c*]{0,40}") {
            if let Ok(list) = parse_list(&text) {
                prop_assert_eq!(parse_list(&show_list(&list)), Ok(list));
            }
        }
    }
}
