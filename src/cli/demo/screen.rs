//! What the demo shows: a line for each step, on a terminal one that moves while the step lasts.
//!
//! Colours and moving lines are for terminals only (and colours not with `NO_COLOR`). What can't
//! be written is remembered; a reader that closed the pipe has seen enough.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{Exit, say};

const CLEAR_LINE: &str = "\r\x1b[K";

/// Where it goes.
#[derive(Debug)]
pub(super) struct Screen {
    moves: bool,
    colours: bool,
    failed: Option<Exit>,
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
}

impl Ink {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "1;32",
            Self::Bad => "1;31",
        }
    }
}

/// A step that has begun.
#[derive(Debug)]
pub(super) struct Step {
    name: &'static str,
    began: Instant,
}

impl Screen {
    /// Standard output.
    pub(super) fn new() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let moves = io::stdout().is_terminal() && !dumb;
        Self { moves, colours: moves && !set("NO_COLOR"), failed: None }
    }

    /// Writes `text` as it is.
    pub(super) fn print(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = say(&mut io::stdout(), text).err();
        }
    }

    /// A line of its own.
    pub(super) fn line(&mut self, ink: Ink, text: &str) {
        let text = self.ink(ink, text);
        self.print(&format!("{text}\n"));
    }

    /// A line that belongs to the step above it.
    pub(super) fn below(&mut self, ink: Ink, text: &str) {
        let text = self.ink(ink, text);
        self.print(&format!("{:13}{text}\n", ""));
    }

    /// Begins a step that does `doing`.
    pub(super) fn begin(&mut self, name: &'static str, doing: &str) -> Step {
        let step = Step { name, began: Instant::now() };
        self.goes_on(&step, doing);
        step
    }

    /// Shows how far the step is, if that can be taken back.
    pub(super) fn goes_on(&mut self, step: &Step, doing: &str) {
        if self.moves {
            let (name, took) = (self.name(step), seconds(step.began.elapsed()));
            let doing = self.ink(Ink::Dim, &format!("{doing} ... {took}"));
            self.print(&format!("{CLEAR_LINE}{name}{doing}"));
        }
    }

    /// Ends a step: what was done.
    pub(super) fn end(&mut self, step: &Step, done: &str) {
        let (name, took) = (self.name(step), self.ink(Ink::Dim, &seconds(step.began.elapsed())));
        let clear = if self.moves { CLEAR_LINE } else { "" };
        self.print(&format!("{clear}{name}{done}  {took}\n"));
    }

    /// Takes back the line that moved.
    pub(super) fn clear(&mut self) {
        if self.moves {
            self.print(CLEAR_LINE);
        }
    }

    /// Whether everything could be written.
    pub(super) fn result(&self) -> Result<(), Exit> {
        self.failed.map_or(Ok(()), Err)
    }

    fn name(&self, step: &Step) -> String {
        self.ink(Ink::Bold, &format!("  {:<11}", step.name))
    }

    fn ink(&self, ink: Ink, text: &str) -> String {
        if self.colours && ink != Ink::Plain {
            format!("\x1b[{}m{text}\x1b[0m", ink.code())
        } else {
            text.to_owned()
        }
    }
}

/// As in `1.2 s`.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The path as a shell takes it for one word.
pub(in crate::cli) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:=,".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_any_path_for_one_word() {
        assert_eq!(shell_word(Path::new("/tmp/a-1_b.c")), "/tmp/a-1_b.c");
        assert_eq!(shell_word(Path::new("/tmp/it's $x")), r"'/tmp/it'\''s $x'");
    }
}
