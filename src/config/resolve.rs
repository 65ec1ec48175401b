//! Fills `${VAR}` and `file:/path` into values.
//!
//! Pure but for the two questions of [`Surroundings`]. What a variable or a file holds is never
//! part of a finding.

use std::io;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Findings, Place};
use super::ini::Item;
use super::keys;

/// What the machine around the file has to say.
pub(super) trait Surroundings {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Result<String, std::env::VarError>;
    /// The text of a file, which holds a secret.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The host's name.
    fn host_name(&self) -> Option<String>;
    /// Where relative paths begin.
    fn current_directory(&self) -> Option<PathBuf>;
}

/// An assignment with everything filled in.
pub(super) struct Resolved {
    pub(super) item: Item,
    /// None if it could not be filled in, which was said.
    pub(super) value: Option<String>,
}

/// Fills in every item; what can't be goes to `findings`.
pub(super) fn resolve(
    items: Vec<Item>,
    around: &dyn Surroundings,
    findings: &mut Findings,
) -> Vec<Resolved> {
    let fill = |item: Item| {
        let value = value_of(&item, around).map_err(|wrong| {
            let place = Place::key(item.section, &item.key, Some(item.line));
            findings.problems.extend(
                wrong.into_iter().map(|(what, remedy)| Finding::new(place.clone(), what, remedy)),
            );
        });
        Resolved { item, value: value.ok() }
    };
    items.into_iter().map(fill).collect()
}

/// What is wrong, and what to do.
type Wrong = (String, String);

fn value_of(item: &Item, around: &dyn Surroundings) -> Result<String, Vec<Wrong>> {
    let secret = keys::is_secret(item.section, &item.key);
    let value = expand(&item.written, secret, around)?;
    let value = if item.written.starts_with("file:") && keys::takes_file(item.section, &item.key) {
        read_secret(&value, around).map_err(|wrong| vec![wrong])?
    } else {
        value
    };
    let several = keys::takes_lines(item.section, &item.key);
    let odd = |c: char| c.is_control() && c != '\t' && !(several && matches!(c, '\n' | '\r'));
    if value.contains(odd) {
        let what = "the value holds a control character or a line break";
        return Err(vec![(what.into(), "look at what the variable or the file holds".into())]);
    }
    Ok(value)
}

fn read_secret(value: &str, around: &dyn Surroundings) -> Result<String, Wrong> {
    let path = Path::new(value.strip_prefix("file:").unwrap_or(value));
    if !path.is_absolute() {
        let what = "the path after \"file:\" does not begin with \"/\"".into();
        return Err((what, "write file:/path/of/the/file".into()));
    }
    let text = around.read(path).map_err(|error| {
        let what = format!("can't read \"{}\": {error}", path.display());
        (what, "put the value alone into that file, readable for kafkatos3".into())
    })?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        let what = format!("\"{}\" is empty", path.display());
        return Err((what, "put the value alone into that file".into()));
    }
    Ok(text.to_owned())
}

/// Replaces `${NAME}`; `$${` is a literal `${`, and any other `$` itself.
fn expand(written: &str, secret: bool, around: &dyn Surroundings) -> Result<String, Vec<Wrong>> {
    let mut out = String::with_capacity(written.len());
    let mut wrong = Vec::new();
    let mut rest = written;
    while let Some((before, from)) = rest.find('$').and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        if let Some(after) = from.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            // Without its end, the rest of the text can't be a name.
            let (name, after) = after.split_once('}').unwrap_or_default();
            match variable(name, secret, around) {
                Ok(value) => out.push_str(&value),
                Err(what) => wrong.push(what),
            }
            rest = after;
        } else {
            out.push('$');
            rest = from.strip_prefix('$').unwrap_or("");
        }
    }
    out.push_str(rest);
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

fn variable(name: &str, secret: bool, around: &dyn Surroundings) -> Result<String, Wrong> {
    let literal = "a literal \"${\" is written \"$${\"";
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let what = "\"${\" is not followed by the name of a variable and \"}\"".to_owned();
        return Err((what, format!("write ${{NAME}}; {literal}")));
    }
    // A password may just look like this; only what is spelled as variables are is repeated.
    let showable = !secret || !name.contains(|c: char| c.is_ascii_lowercase());
    let shown = if showable { format!("\"{name}\"") } else { "of this name".to_owned() };
    around.variable(name).map_err(|error| match error {
        std::env::VarError::NotPresent => {
            (format!("the environment variable {shown} is not set"), format!("set it; {literal}"))
        }
        std::env::VarError::NotUnicode(_) => {
            (format!("the environment variable {shown} is not UTF-8"), "set it to text".to_owned())
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::keys::Section;
    use super::*;
    use std::collections::HashMap;
    use std::env::VarError;

    /// A machine of nothing but these.
    #[derive(Default)]
    pub(in super::super) struct Fake {
        pub(in super::super) variables: HashMap<String, String>,
        pub(in super::super) files: HashMap<PathBuf, String>,
    }

    impl Fake {
        pub(in super::super) fn with(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
            let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            let file = |(k, v): &(&str, &str)| (PathBuf::from(k), (*v).to_owned());
            Self {
                variables: variables.iter().map(own).collect(),
                files: files.iter().map(file).collect(),
            }
        }
    }

    impl Surroundings for Fake {
        fn variable(&self, name: &str) -> Result<String, VarError> {
            self.variables.get(name).cloned().ok_or(VarError::NotPresent)
        }
        fn read(&self, path: &Path) -> io::Result<String> {
            self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        fn host_name(&self) -> Option<String> {
            Some("host-1".into())
        }
        fn current_directory(&self) -> Option<PathBuf> {
            Some("/cwd".into())
        }
    }

    fn fill(section: Section, key: &str, written: &str) -> Result<String, String> {
        let around = Fake::with(
            &[
                ("A", "1"),
                ("B_2", "two"),
                ("EMPTY", ""),
                ("LINES", "a\nb"),
                ("FILE", "file:/key"),
                ("DIR", "/d"),
            ],
            &[("/key", "s3cret\r\n"), ("/d/k", "deep"), ("/empty", "\n"), ("/lines", "a\nb\n")],
        );
        let item = Item { section, key: key.into(), written: written.into(), line: 7 };
        let mut findings = Findings::default();
        let value = resolve(vec![item], &around, &mut findings).pop().and_then(|r| r.value);
        let problems: Vec<_> = findings.problems.iter().map(ToString::to_string).collect();
        assert_eq!(value.is_none(), !problems.is_empty());
        value.ok_or_else(|| problems.join("\n"))
    }

    #[test]
    fn variables_are_filled_in() {
        for (written, value) in [
            ("x${A}y${B_2}", "x1ytwo"),
            ("${EMPTY}", ""),
            ("$${A} $A $$ $", "${A} $A $$ $"),
            ("$$${A}", "$${A}"),
            ("a$\u{e9}", "a$\u{e9}"),
        ] {
            assert_eq!(fill(Section::Main, "instance", written).as_deref(), Ok(value), "{written}");
        }
    }

    #[test]
    fn what_is_not_set_is_an_error() {
        let error = fill(Section::Main, "instance", "${NOPE}${ALSO}").expect_err("unset");
        assert!(error.contains("[main] instance: the environment variable \"NOPE\" is not set"));
        assert!(error.contains("\"ALSO\"") && error.contains("$${"));
        for written in ["${", "${}", "${A", "${A B}", "${1A}"] {
            assert!(fill(Section::Main, "instance", written).is_err(), "{written}");
        }
        assert!(fill(Section::Main, "instance", "${LINES}").is_err());
        assert!(fill(Section::Consumer, "topic_whitelist", "${LINES}").is_ok());
    }

    #[test]
    fn files_hold_secrets_only() {
        let secret = |written| fill(Section::S3, "s3_secret_key", written);
        assert_eq!(secret("file:/key").as_deref(), Ok("s3cret"));
        assert_eq!(secret("file:${DIR}/k").as_deref(), Ok("deep"));
        assert_eq!(secret("${FILE}").as_deref(), Ok("file:/key"));
        assert_eq!(fill(Section::Kafka, "ssl.key.pem", "file:/lines").as_deref(), Ok("a\nb"));
        assert_eq!(fill(Section::Main, "instance", "file:/key").as_deref(), Ok("file:/key"));
        for written in ["file:/none", "file:key", "file:/empty", "file:/lines"] {
            let error = secret(written).expect_err(written);
            assert!(!error.contains("a\nb"), "{error}");
        }
    }

    #[test]
    fn a_password_that_looks_like_a_variable_is_not_repeated() {
        let error = fill(Section::Kafka, "sasl.password", "x${hunter2}y").expect_err("unset");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
