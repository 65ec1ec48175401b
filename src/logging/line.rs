//! One line of the log in each of its shapes. Pure.
//!
//! Text and journal are for people: whatever a line quotes, it stays one line, and no control
//! character of it reaches a terminal. JSON has the same text, and the figures apart.

use std::fmt::Write as _;

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};
use serde_json::Map;

/// Where librdkafka's own lines come from.
pub(super) const LIBRDKAFKA: &str = "librdkafka";

/// What JSON lines have besides the fields of the event, which don't replace it.
const OWN: [&str; 5] = ["time", "level", "process", "instance", "message"];

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// For terminals and files.
    Text {
        /// Whether warnings and errors stand out.
        colours: bool,
    },
    /// For systemd's journal, which has the time itself and wants the priority in front.
    Journal,
    /// One object.
    Json,
}

/// Who logs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process<'a> {
    pub(super) role: &'a str,
    /// The worker's number within its role.
    pub(super) index: Option<usize>,
    pub(super) pid: u32,
    pub(super) instance: &'a str,
}

impl Process<'_> {
    fn label(&self) -> String {
        let index = self.index.map(|index| index.to_string()).unwrap_or_default();
        format!("{}{index}[{}]", self.role, self.pid)
    }
}

/// What goes into a line.
pub(super) struct Line<'a> {
    /// RFC 3339, with milliseconds.
    pub(super) time: &'a str,
    pub(super) process: Process<'a>,
    pub(super) record: &'a Record<'a>,
}

impl Line<'_> {
    /// The line, with its end.
    pub(super) fn write(&self, shape: Shape) -> String {
        match shape {
            Shape::Text { colours } => self.text(colours),
            Shape::Journal => self.journal(),
            Shape::Json => self.json(),
        }
    }

    fn text(&self, colours: bool) -> String {
        let level = self.record.level();
        let colour = match level {
            Level::Error if colours => Some("31;1"),
            Level::Warn if colours => Some("33"),
            _ => None,
        };
        let word = format!("{:<7}", word(level));
        let word = colour.map_or(word.clone(), |code| format!("\x1b[{code}m{word}\x1b[0m"));
        format!("{} {word} {:<18} {}\n", self.time, self.process.label(), self.message())
    }

    fn journal(&self) -> String {
        let priority = match self.record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        format!("<{priority}>{} {}\n", self.process.label(), self.message())
    }

    fn message(&self) -> String {
        one_line(&self.record.args().to_string())
    }

    fn json(&self) -> String {
        let Process { role, index, pid, instance } = self.process;
        let mut process = Map::from_iter([("role".to_owned(), role.into())]);
        process.extend(index.map(|index| ("index".to_owned(), index.into())));
        process.insert("pid".to_owned(), pid.into());
        let message = self.record.args().to_string();
        let mut fields = Fields(Map::new());
        // Only a visitor that fails makes it fail; this one does not.
        let _ = self.record.key_values().visit(&mut fields);
        if !self.record.target().starts_with("kafkatos3") {
            fields.0.insert("target".to_owned(), self.record.target().into());
        }
        let own = [
            self.time.into(),
            word(self.record.level()).into(),
            serde_json::Value::Object(process),
            instance.into(),
            message.trim_end().into(),
        ];
        let mut line = String::from("{");
        for (name, value) in OWN.iter().zip(&own) {
            // Whatever the keys' order in a map: a line begins with its time.
            let _ = write!(line, "\"{name}\":{value},");
        }
        for (name, value) in fields.0.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
            let _ = write!(line, "{}:{value},", serde_json::Value::from(name.as_str()));
        }
        line.pop();
        line.push_str("}\n");
        line
    }
}

struct Fields(Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = if let Some(number) = value.to_u64() {
            number.into()
        } else if let Some(number) = value.to_i64() {
            number.into()
        } else if let Some(number) = value.to_f64() {
            number.into()
        } else if let Some(truth) = value.to_bool() {
            truth.into()
        } else {
            value.to_string().into()
        };
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

/// The levels as the configuration spells them.
const fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for part in text.lines().filter(|part| !part.trim().is_empty()) {
        if !line.is_empty() {
            line.push_str("; ");
        }
        for c in part.chars() {
            if c.is_control() {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(shape: Shape, level: Level, index: Option<usize>, message: &str) -> String {
        let process = Process { role: "consumer", index, pid: 77, instance: "host \"1\"" };
        let fields: Vec<(&str, Value<'_>)> = vec![
            ("event", "rotated".into()),
            ("start", 7u64.into()),
            ("behind", (-3i64).into()),
            ("share", 0.5f64.into()),
            ("yes", true.into()),
            ("pid", 1.into()),
            ("message", "no".into()),
        ];
        let time = "2026-11-21T15:18:24.123Z";
        let args = format_args!("{message}");
        let record = Record::builder()
            .level(level)
            .target("kafkatos3::x")
            .args(args)
            .key_values(&fields)
            .build();
        Line { time, process, record: &record }.write(shape)
    }

    #[test]
    fn text_is_aligned() {
        let text = Shape::Text { colours: false };
        assert_eq!(
            line(text, Level::Info, Some(0), "rotated"),
            "2026-11-21T15:18:24.123Z INFO    consumer0[77]      rotated\n"
        );
        assert_eq!(
            line(text, Level::Warn, None, "rotated"),
            "2026-11-21T15:18:24.123Z WARNING consumer[77]       rotated\n"
        );
        let coloured = Shape::Text { colours: true };
        assert!(line(coloured, Level::Error, None, "x").contains("\x1b[31;1mERROR  \x1b[0m "));
        assert!(!line(coloured, Level::Info, None, "x").contains('\x1b'));
    }

    #[test]
    fn the_journal_gets_a_priority_and_no_time() {
        let journal = |level| line(Shape::Journal, level, Some(3), "rotated");
        assert_eq!(journal(Level::Info), "<6>consumer3[77] rotated\n");
        let levels = [Level::Error, Level::Warn, Level::Debug, Level::Trace];
        let prefixes = levels.map(|level| journal(level)[..3].to_owned());
        assert_eq!(prefixes, ["<3>", "<4>", "<7>", "<7>"]);
    }

    #[test]
    fn what_is_quoted_makes_no_second_line_and_moves_no_cursor() {
        for shape in [Shape::Text { colours: false }, Shape::Journal] {
            let line = line(shape, Level::Error, None, "<Error>\n  \r\n<4>fake\x1b[2Jx\n");
            assert!(line.ends_with("<Error>; <4>fake\\u{1b}[2Jx\n"), "{line}");
            assert_eq!(line.matches('\n').count(), 1);
        }
    }

    #[test]
    fn json_is_one_object_with_the_figures_apart() {
        let line = line(Shape::Json, Level::Warn, Some(2), "two\n\"lines\"\n");
        assert_eq!(
            line,
            "{\"time\":\"2026-11-21T15:18:24.123Z\",\"level\":\"WARNING\",\
             \"process\":{\"index\":2,\"pid\":77,\"role\":\"consumer\"},\
             \"instance\":\"host \\\"1\\\"\",\"message\":\"two\\n\\\"lines\\\"\",\"behind\":-3,\
             \"event\":\"rotated\",\"pid\":1,\"share\":0.5,\"start\":7,\"yes\":true}\n"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }

    #[test]
    fn lines_of_libraries_name_them() {
        let fields: [(&str, &str); 0] = [];
        let record = Record::builder().target(LIBRDKAFKA).key_values(&fields).build();
        let process = Process { role: "consumer", index: None, pid: 1, instance: "h" };
        let line = Line { time: "t", process, record: &record }.write(Shape::Json);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["target"], "librdkafka");
        assert!(object["process"].get("index").is_none());
    }
}
