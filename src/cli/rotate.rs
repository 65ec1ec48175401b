//! `kafkatos3_rotate CONFIG|WORKING_DIR`: close all files now, so that they get archived.
//!
//! Finds the supervisors of a working directory by their locks, and sends each that runs on this
//! machine a USR1. That signal ends a process that does not expect it; so it goes only to one that
//! holds the lock file open, never to a number that merely stands in the file.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use super::{Exit, args, config_error_text, end};
use crate::config::Config;
use crate::supervisor::probe::{Holder, holder, instances};
use crate::sys::signals::signal_rotate;

/// Has a running kafkatos3 close all its files now, so that they are archived.
#[derive(Debug, Parser)]
#[command(name = "kafkatos3_rotate", version, after_help = EXAMPLES)]
struct Args {
    /// The configuration file of what runs, or its working directory
    #[arg(value_name = "CONFIG|WORKING_DIR")]
    place: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  kafkatos3_rotate /etc/kafkatos3.cfg
  kafkatos3_rotate /var/lib/kafkatos3

Exit codes: 0 told, 64 usage, 66 no such file, 69 nothing runs there, 77 permission, 78 configuration.";

/// The program `kafkatos3_rotate`.
pub fn main() -> ExitCode {
    run(std::env::args_os()).into()
}

fn run(words: impl IntoIterator<Item = OsString>) -> Exit {
    let place = match Args::try_parse_from(words) {
        Ok(args) => args.place,
        Err(error) => return args::tell(&error),
    };
    let (exit, text) = match working_directory(&place) {
        Ok(directory) => rotate(&directory),
        Err(stop) => stop,
    };
    end(exit, &text)
}

/// What to say, and how to end.
type Outcome = (Exit, String);

fn working_directory(place: &Path) -> Result<PathBuf, Outcome> {
    if place.is_dir() {
        return Ok(place.to_owned());
    }
    let loaded = Config::load(place)
        .map_err(|error| (Exit::of_config(&error), config_error_text(&error)))?;
    Ok(loaded.config.main.working_directory)
}

fn rotate(directory: &Path) -> Outcome {
    match instances(directory) {
        Ok(files) => {
            let found: Vec<_> =
                files.iter().map(|(instance, path)| (instance.as_str(), ask(path))).collect();
            sum_up(directory, &found)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => nobody(directory),
        Err(error) => {
            let text = format!("error: can't look into \"{}/run\": {error}\n", directory.display());
            (exit_of(&error), text)
        }
    }
}

/// What became of one instance.
#[derive(Debug)]
enum Asked {
    /// Nobody holds its lock.
    NotRunning,
    /// It was told.
    Told(u32),
    /// Its lock is held, but not by the process that the file names: another machine's, or
    /// workers whose supervisor is gone.
    NotHere(Option<u32>),
    /// It could not be asked.
    Failed(io::Error),
}

fn ask(lock: &Path) -> Asked {
    try_ask(lock).unwrap_or_else(Asked::Failed)
}

fn try_ask(lock: &Path) -> io::Result<Asked> {
    match holder(lock)? {
        Holder::Nobody => Ok(Asked::NotRunning),
        Holder::NotHere(pid) => Ok(Asked::NotHere(pid)),
        Holder::Hidden(_) => Err(io::ErrorKind::PermissionDenied.into()),
        Holder::Supervisor(pid) => {
            signal_rotate(pid)?;
            Ok(Asked::Told(pid))
        }
    }
}

/// The worst of it decides how to end.
fn sum_up(directory: &Path, found: &[(&str, Asked)]) -> Outcome {
    let mut lines = Vec::new();
    let (mut told, mut failed) = (false, None);
    for (instance, asked) in found {
        match asked {
            Asked::NotRunning => {}
            Asked::Told(pid) => {
                told = true;
                lines.push(format!("told instance \"{instance}\" (process {pid}) to rotate\n"));
            }
            Asked::NotHere(pid) => {
                failed.get_or_insert(Exit::Unavailable);
                lines.push(not_here(instance, *pid));
            }
            Asked::Failed(error) => {
                failed = Some(exit_of(error));
                lines.push(format!("error: can't tell instance \"{instance}\": {error}\n"));
            }
        }
    }
    match failed {
        Some(exit) => (exit, lines.concat()),
        None if told => (Exit::Done, lines.concat()),
        None => nobody(directory),
    }
}

fn not_here(instance: &str, pid: Option<u32>) -> String {
    let named = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    format!(
        "error: the supervisor of instance \"{instance}\"{named} does not run on this machine, though its lock is held; \
         run this on the machine it runs on, or stop the workers that it left\n"
    )
}

fn nobody(directory: &Path) -> Outcome {
    let text = format!("error: no kafkatos3 runs in \"{}\"\n", directory.display());
    (Exit::Unavailable, text)
}

fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        io::ErrorKind::NotFound => Exit::NoInput,
        _ => Exit::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    fn directory_with(locks: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("run")).expect("run");
        for (name, content) in locks {
            fs::write(directory.path().join("run").join(name), content).expect("a lock file");
        }
        directory
    }

    fn rotate_words(place: &Path) -> Exit {
        run(["kafkatos3_rotate".into(), place.as_os_str().to_owned()])
    }

    #[test]
    fn where_nobody_runs_it_says_so() {
        let empty = tempfile::tempdir().expect("a directory");
        assert_eq!(rotate_words(empty.path()), Exit::Unavailable);
        let stale = directory_with(&[("supervisor.a.lock", "1\n"), ("other", "1")]);
        let (exit, text) = rotate(stale.path());
        assert_eq!(exit, Exit::Unavailable);
        assert!(text.starts_with("error: no kafkatos3 runs in "), "{text}");
        assert_eq!(rotate_words(Path::new("/no/such/place")), Exit::NoInput);
        assert_eq!(run(["kafkatos3_rotate".into()]), Exit::Usage);
    }

    #[test]
    fn a_number_whose_process_does_not_hold_the_lock_is_left_alone() {
        // This process holds the lock; the file names nobody, or nobody who lives.
        for (content, named) in [("", None), ("junk", None), ("4194999\n", Some(4_194_999))] {
            let directory = directory_with(&[("supervisor.a.lock", content)]);
            let path = directory.path().join("run/supervisor.a.lock");
            let held = File::open(&path).expect("the lock");
            held.lock().expect("locked");
            match ask(&path) {
                Asked::NotHere(pid) => assert_eq!(pid, named),
                other => panic!("{other:?}"),
            }
            let (exit, text) = rotate(directory.path());
            assert_eq!(exit, Exit::Unavailable);
            assert!(text.contains("does not run on this machine"), "{text}");
        }
    }

    #[test]
    fn the_worst_of_several_decides() {
        let directory = Path::new("/d");
        let denied = || Asked::Failed(io::ErrorKind::PermissionDenied.into());
        let exit = |found: &[(&str, Asked)]| sum_up(directory, found).0;
        assert_eq!(exit(&[("a", Asked::Told(7)), ("b", Asked::NotRunning)]), Exit::Done);
        assert_eq!(exit(&[("a", Asked::Told(7)), ("b", Asked::NotHere(None))]), Exit::Unavailable);
        assert_eq!(exit(&[("a", Asked::Told(7)), ("b", denied())]), Exit::NoPermission);
        assert_eq!(exit(&[]), Exit::Unavailable);
        let (_, text) = sum_up(directory, &[("a", Asked::Told(7))]);
        assert_eq!(text, "told instance \"a\" (process 7) to rotate\n");
    }
}
