//! `kafkatos3 status CONFIG|WORKING_DIR`: who archives what, how far, what is stopped, and what to
//! type.
//!
//! Reads the working directory; where that knows nothing, archive and broker are asked, for a short
//! time only. Writes nothing anywhere, and holds no lock for longer than a look.

mod remote;
mod render;
mod watch;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, config_error_text, end, say};
use crate::config::Config;
use crate::status::report::{Place, Report};
use crate::status::{Known, Local, Remote, merge, now_ms};
use render::Style;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Options {
    /// The configuration file, or a working directory
    #[arg(value_name = "CONFIG|WORKING_DIR")]
    place: PathBuf,

    /// Only these topics or partitions
    #[arg(value_name = "TOPIC[-PARTITION]")]
    only: Vec<String>,

    /// Print everything as JSON: times as milliseconds since 1970, sizes in bytes
    #[arg(long)]
    json: bool,

    /// Look again every SECONDS [default: 2]; q or Ctrl-C ends it
    ///
    /// On a terminal the screen is drawn anew, else what is found is printed below.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,

    /// Ask neither broker nor archive, whatever is missing
    #[arg(long)]
    offline: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  kafkatos3 status /etc/kafkatos3.cfg                  all there is to know
  kafkatos3 status /var/spool/kafkatos3                without the configuration
  kafkatos3 status /etc/kafkatos3.cfg orders           the partitions of a topic
  kafkatos3 status /etc/kafkatos3.cfg orders-3 --watch 5
  kafkatos3 status /etc/kafkatos3.cfg --json | jq '.problems[]'

What is wrong comes first, each with what to type. A record that is in Kafka and not in the
archive is lag. \"at least\" and \">\" stand before what is only known in part, \"?\" behind what was
true when the broker was asked last.

Exit codes: 0 all is well, 64 usage, 66 no such place, topic or partition, 69 neither working
directory nor archive can be read, 75 something stands still: a partition, an instance or a
worker that died, fetching because the spool is full, uploads for a minute or longer;
78 configuration. With --watch, that of the last look.";

/// What ends a look before there is a report.
pub(super) type Stop = (Exit, String);

/// Looks, and says what was found.
pub(super) fn run(options: &Options) -> Exit {
    let scene = match Scene::open(options) {
        Ok(scene) => scene,
        Err((exit, text)) => return end(exit, &text),
    };
    if let Some(seconds) = options.watch {
        return watch::run(&scene, std::time::Duration::from_secs(seconds));
    }
    match scene.look() {
        Ok(report) => {
            let said = say(&mut io::stdout(), &scene.text(&report, None));
            said.err().unwrap_or_else(|| exit_of(&report))
        }
        Err((exit, text)) => end(exit, &text),
    }
}

/// How the command ends after this.
pub(super) fn exit_of(report: &Report) -> Exit {
    if report.well { Exit::Done } else { Exit::TryAgain }
}

/// Where to look.
pub(super) struct Scene {
    options: Options,
    config: Option<Config>,
    directory: PathBuf,
    style: Style,
}

impl Scene {
    fn open(options: &Options) -> Result<Self, Stop> {
        let place = &options.place;
        let (config, directory) = if place.is_dir() {
            (None, place.clone())
        } else {
            let loaded = Config::load(place)
                .map_err(|error| (Exit::of_config(&error), config_error_text(&error)))?;
            let directory = loaded.config.main.working_directory.clone();
            (Some(loaded.config), directory)
        };
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colours = io::stdout().is_terminal() && !set("NO_COLOR");
        Ok(Self { options: options.clone(), config, directory, style: Style { colours } })
    }

    /// Looks at everything once.
    pub(super) fn look(&self) -> Result<Report, Stop> {
        let local = Local::look(&self.directory);
        if local.is_none() && self.config.is_none() {
            let text = format!(
                "error: \"{}\" is no working directory of kafkatos3, or not for this user to read: \
                 none of inprogress/, tips/, run/ is there\n",
                self.directory.display()
            );
            return Err((Exit::NoInput, text));
        }
        let mut remote = Remote::default();
        let mut report = merge(self.known(), local.as_ref(), &remote);
        if let Some(config) = &self.config {
            if self.options.offline {
                remote.notes.push("neither broker nor archive were asked (--offline)".to_owned());
            } else {
                remote::ask(config, local.as_ref(), &report, &self.options.only, &mut remote);
            }
            if local.is_none() {
                remote.notes.push(nothing_at(&self.directory));
            }
            report = merge(self.known(), local.as_ref(), &remote);
        }
        self.refuse_nothing(local.as_ref(), &remote, &report)?;
        Ok(report)
    }

    fn known(&self) -> Known {
        let config = self.config.as_ref();
        Known {
            place: Place {
                config: config.map(|_| shell_word(&self.options.place)),
                working_directory: Some(self.directory.display().to_string()),
                archive: config.map(|config| config.archive.target.to_string()),
            },
            at_ms: now_ms(),
            spool_max_bytes: config.map(|config| config.main.spool_max_bytes.get()),
            only: self.options.only.clone(),
        }
    }

    /// Where nothing at all was found, that is the answer.
    fn refuse_nothing(
        &self,
        local: Option<&Local>,
        remote: &Remote,
        report: &Report,
    ) -> Result<(), Stop> {
        // The broker may have told of partitions; what is archived of them, nobody has.
        if local.is_none() && remote.archive_unread {
            let text = "error: there is no working directory, and the archive can't be read, so \
                        nothing is known of what is archived\n";
            return Err((Exit::Unavailable, text.to_owned() + &notes(report)));
        }
        if !report.partitions.is_empty() {
            return Ok(());
        }
        if !self.options.only.is_empty() {
            let text = format!(
                "error: nothing is known of {}: no topic of that name, no partition TOPIC-NUMBER\n",
                self.options.only.join(", ")
            );
            return Err((Exit::NoInput, text + &notes(report)));
        }
        if local.is_none() {
            let text = "error: there is neither a working directory nor an archive to look at\n";
            return Err((Exit::Unavailable, text.to_owned() + &notes(report)));
        }
        Ok(())
    }

    /// The report as it was asked for, to fit on a `screen` of this height and width.
    pub(super) fn text(&self, report: &Report, screen: Option<(usize, usize)>) -> String {
        if self.options.json {
            let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
            text.push('\n');
            text
        } else {
            render::text(report, self.style, screen)
        }
    }
}

fn nothing_at(directory: &Path) -> String {
    format!("no working directory at \"{}\", or not for this user to read", directory.display())
}

fn notes(report: &Report) -> String {
    report.notes.iter().map(|note| format!("note: {note}\n")).collect::<Vec<_>>().concat()
}

/// The path as a shell takes it for one word.
fn shell_word(path: &Path) -> String {
    super::demo::shell_word(path)
}
