//! The command line of `kafkatos3`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand};

use super::cat;
use super::catalog::CatalogCommand;
use super::chain::{ChainCommand, Verb};
use super::check;
use super::convert;
use super::exit::Exit;
use super::{info, ls, status, verify};

/// Archives Kafka topics to S3, GCS, Azure or a directory, each record exactly once.
#[derive(Debug, Parser)]
#[command(name = "kafkatos3", version, args_conflicts_with_subcommands = true)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// Archive up to what is there now, then stop
    ///
    /// May stand before or after CONFIG. Ends with 0 when every partition is archived up to where
    /// it ended at the start, with 75 and a list if some of them stopped.
    #[arg(short, long)]
    exit_at_end: bool,

    /// The configuration file (config/kafkatos3.cfg.example explains every key)
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Say everything that is wrong with a configuration, or what it would do
    ///
    /// With --connect also everything around it, in the order of the data's way: each broker, the
    /// login, the topics that match, the group, this machine, the spool, the store and each right
    /// on it; and for each failure what to do. Takes 15 s at most, and disturbs nobody. The exit
    /// code is that of the worst failure: 78 configuration, then 77 permission, 73 can't write,
    /// 69 not there; 0 if there are only warnings.
    Check {
        /// Also try brokers, store and machine
        #[arg(long)]
        connect: bool,

        /// Say it as JSON
        #[arg(long)]
        json: bool,

        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
    },
    /// Lead a stopped partition out of its trouble
    ///
    /// Each way says what it will do, and what that keeps, doubles or loses; asks; and may be used
    /// while instances run. docs/operating.md says which one to take when.
    Chain {
        #[command(subcommand)]
        verb: Verb,
    },
    /// The table of archived files in a database ([catalog] url)
    Catalog {
        #[command(subcommand)]
        verb: CatalogCommand,
    },
    /// Say who archives what, how far, what is stopped, and what to type
    #[command(after_help = status::EXAMPLES)]
    Status(status::Options),
    /// List an archive: topics, partitions, what they cover and hold
    #[command(after_help = ls::EXAMPLES)]
    Ls(ls::Options),
    /// Tell all that a file of an archive or of a spool says of itself
    #[command(after_help = info::EXAMPLES)]
    Info(info::Options),
    /// Prove that an archive is whole, or name what is damaged
    ///
    /// Goes through every chain from its first file to its tip: each offset is a record, a hole or
    /// a recorded gap; names, metadata, trailers, indexes, checksums and records agree; nothing
    /// foreign stands in the way. Reads everything, changes nothing.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Options),
    /// Print records of an archive, as kcat prints those of Kafka
    ///
    /// Reads straight from the store, and only what it needs. The options are kcat's, as far as they
    /// make sense here, and a few more.
    #[command(after_help = cat::EXAMPLES)]
    Cat(Box<cat::Options>),
    /// Lay a file down in another format
    ///
    /// Reads a local file of any format (MAK, Avro, JSON lines; of an archive, of kcat, of kafka_store
    /// or of the original kafkatos3), and writes a file of an archive. What would be lost is refused.
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::Options),
    /// See it work: own broker, own archive, in a few seconds
    ///
    /// Starts a small Kafka inside, writes a few thousand records to it, archives them into a
    /// directory as kafkatos3 -e CONFIG does, reads every file back, compares it with what was
    /// written, and says what to try next. Needs no Kafka, no S3, no network. Ends with 0 if each
    /// record is there exactly once.
    Demo {
        /// Where to work: a new or empty directory, or one in which a new one is made [default: a
        /// new one under $TMPDIR or /tmp]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "\
Examples:
  kafkatos3 demo                           see it work, without Kafka or S3
  kafkatos3 check /etc/kafkatos3.cfg       is the configuration fine?
  kafkatos3 check --connect /etc/kafkatos3.cfg
                                           and all that it needs?
  kafkatos3 /etc/kafkatos3.cfg             archive until stopped
  kafkatos3 status /etc/kafkatos3.cfg      how far is it, and what is stopped?
  kafkatos3 -e /etc/kafkatos3.cfg          archive what is there, then stop
  kafkatos3 cat /etc/kafkatos3.cfg orders  print what was archived of a topic
  kafkatos3 chain new /etc/kafkatos3.cfg orders 3   after a recreated topic, say
  kafkatos3 ls s3://bucket/kafkatos3       what is in the archive?
  kafkatos3 verify s3://bucket/kafkatos3   is it whole?
  kafkatos3 info FILE                      what is this file?
  kafkatos3 catalog sync /etc/kafkatos3.cfg  make the table what the archive says
  kafkatos3 ./check                        a configuration that is named like a command

Signals: TERM or INT finish and stop (twice: at once), HUP reads the configuration
again, USR1 closes all files now (as kafkatos3_rotate does).

Exit codes: 0 done, 64 usage, 65 damaged data, 66 no such file, 69 broker or store
not there, 70 internal, 73 can't write, 75 try again, 77 permission, 78 configuration.";

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Archive.
    Run {
        /// The configuration file.
        config: PathBuf,
        /// Stop when everything that is there now is archived.
        exit_at_end: bool,
    },
    /// Look at a configuration.
    Check {
        /// The configuration file.
        config: PathBuf,
        /// What else, and how.
        options: check::Options,
    },
    /// Lead a partition out of its trouble.
    Chain(Box<ChainCommand>),
    /// The table of archived files.
    Catalog(CatalogCommand),
    /// Lay a file down in another format.
    Convert(convert::Options),
    /// Say how things are.
    Status(status::Options),
    /// List an archive.
    Ls(ls::Options),
    /// Tell of one file.
    Info(info::Options),
    /// Prove that an archive is whole.
    Verify(verify::Options),
    /// Print records of an archive.
    Cat(Box<cat::Options>),
    /// Show how it works.
    Demo {
        /// Where.
        dir: Option<PathBuf>,
    },
}

/// Understands the command line; else has said why not, or what was asked for (`--help`).
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Exit> {
    understand(args).map_err(|error| tell(&error))
}

fn understand(args: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let args = Args::try_parse_from(args)?;
    match (args.command, args.config) {
        (Some(Sub::Check { config, connect, json }), _) => {
            Ok(Command::Check { config, options: check::Options { connect, json } })
        }
        (Some(Sub::Chain { verb }), _) => Ok(Command::Chain(Box::new(verb.into()))),
        (Some(Sub::Catalog { verb }), _) => Ok(Command::Catalog(verb)),
        (Some(Sub::Status(options)), _) => Ok(Command::Status(options)),
        (Some(Sub::Ls(options)), _) => Ok(Command::Ls(options)),
        (Some(Sub::Info(options)), _) => Ok(Command::Info(options)),
        (Some(Sub::Verify(options)), _) => Ok(Command::Verify(options)),
        (Some(Sub::Cat(options)), _) => Ok(Command::Cat(options)),
        (Some(Sub::Convert(options)), _) => Ok(Command::Convert(options)),
        (Some(Sub::Demo { dir }), _) => Ok(Command::Demo { dir }),
        (None, Some(config)) if looks_mistyped(&config) => Err(mistyped(&config)),
        (None, Some(config)) => Ok(Command::Run { config, exit_at_end: args.exit_at_end }),
        (None, None) => Err(Args::command().error(
            clap::error::ErrorKind::MissingRequiredArgument,
            "name a configuration file, or a command",
        )),
    }
}

/// Whether it is a bare word and no file; a command's name is a file's here, behind a "--".
fn looks_mistyped(config: &Path) -> bool {
    let word = config.to_str().unwrap_or_default();
    let bare = !word.is_empty() && !word.contains(['.', '/']);
    bare && !config.exists() && Args::command().find_subcommand(word).is_none()
}

fn mistyped(config: &Path) -> clap::Error {
    let word = config.display().to_string();
    let command = Args::command();
    let known = command.get_subcommands().map(clap::Command::get_name);
    let scored = known.map(|name| (strsim::damerau_levenshtein(name, &word), name));
    let hint = match scored.min() {
        Some((distance, name)) if distance <= 2 && distance < word.len() => {
            format!("did you mean \"{name}\"?")
        }
        _ => "name a configuration file, or a command of --help".to_owned(),
    };
    let text = format!("there is neither a command nor a file \"{word}\"; {hint}");
    Args::command().error(clap::error::ErrorKind::InvalidSubcommand, text)
}

/// Prints what clap has to say; `--help` and `--version` are no errors, everything else is usage.
pub(super) fn tell(error: &clap::Error) -> Exit {
    // A closed pipe is the reader's business.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, clap::error::ErrorKind> {
        let words = std::iter::once("kafkatos3").chain(line.split_whitespace());
        understand(words.map(OsString::from)).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_flag_stands_before_or_after() {
        let run = |exit_at_end| Ok(Command::Run { config: "x.cfg".into(), exit_at_end });
        assert_eq!(read("x.cfg"), run(false));
        for line in ["-e x.cfg", "x.cfg -e", "--exit-at-end x.cfg", "x.cfg --exit-at-end"] {
            assert_eq!(read(line), run(true), "{line}");
        }
    }

    #[test]
    fn a_file_named_like_a_command_is_reached_by_its_path() {
        let run = |config: &str| Ok(Command::Run { config: config.into(), exit_at_end: false });
        assert_eq!(read("./check"), run("./check"));
        assert_eq!(read("-- check"), run("check"));
        let options = check::Options::default();
        assert_eq!(read("check check"), Ok(Command::Check { config: "check".into(), options }));
        assert_eq!(read("demo"), Ok(Command::Demo { dir: None }));
        assert_eq!(read("demo --dir x"), Ok(Command::Demo { dir: Some("x".into()) }));
    }

    #[test]
    fn check_takes_its_options_anywhere() {
        let options = check::Options { connect: true, json: true };
        let wanted = Ok(Command::Check { config: "x.cfg".into(), options });
        for line in ["check x.cfg --connect --json", "check --json --connect x.cfg"] {
            assert_eq!(read(line), wanted, "{line}");
        }
    }

    #[test]
    fn a_mistyped_command_is_no_configuration() {
        let said = |word: &str| {
            let words = ["kafkatos3", word].map(OsString::from);
            understand(words).expect_err(word).to_string()
        };
        assert!(said("lss").contains("neither a command nor a file \"lss\"; did you mean \"ls\"?"));
        assert!(said("verfiy").contains("did you mean \"verify\"?"));
        assert!(said("production").contains("or a command of --help"));
    }

    #[test]
    fn nonsense_is_usage_and_help_is_not() {
        for line in [
            "chain",
            "chain new x",
            "chain skip x t -1",
            "chain new x t 0 --from no",
            "chain retry x a/b",
        ] {
            let words = std::iter::once("kafkatos3").chain(line.split_whitespace());
            let error = understand(words.map(OsString::from)).expect_err(line);
            assert!(error.use_stderr(), "{line}");
        }
        for line in ["", "-e", "--nope x", "x y", "check", "-e check x", "demo x"] {
            let words = std::iter::once("kafkatos3").chain(line.split_whitespace());
            let error = understand(words.map(OsString::from)).expect_err(line);
            assert!(error.use_stderr(), "{line}");
        }
        for line in ["--help", "-h", "--version", "-V", "check --help", "help", "help check"] {
            let words = std::iter::once("kafkatos3").chain(line.split_whitespace());
            let error = understand(words.map(OsString::from)).expect_err(line);
            assert!(!error.use_stderr(), "{line}");
        }
    }
}
