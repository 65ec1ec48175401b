//! `kafkatos3 info FILE|URL`: all that one file says of itself, and whether that is true.
//!
//! A file on this machine is read as a whole; of an object elsewhere only its tail is fetched, unless
//! `--check` asks for all of it.

mod look;
mod text;

use std::io;

use clap::Args;

use super::{Exit, end, say, with_causes};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Options {
    /// A file of an archive or a spool, or an object's URL
    #[arg(value_name = "FILE|URL", required = true)]
    files: Vec<String>,

    /// Fetch the whole of an object and look at its checksums
    #[arg(long)]
    check: bool,

    /// Print it as JSON, one object a file
    #[arg(long)]
    json: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  kafkatos3 info s3://bucket/kafkatos3/orders/000003/00000000000000001207.mak.gz
  kafkatos3 info /var/spool/kafkatos3/inprogress/orders-3_1207.mak
  kafkatos3 info --json *.mak.gz | jq -r '[.file, .records] | @tsv'

Reads MAK files of both versions, packed by gzip, zstd or not at all, with and without a tail: those
of the original tool, too. A file on this machine is always read as a whole.

Exit codes: 0 told, and nothing is wrong; 64 usage; 65 a file is cut or damaged; 66 no such file;
69 the store does not answer; 77 permission. The first trouble decides; the others are still told.";

/// Tells of each file.
pub(super) fn run(options: &Options) -> Exit {
    let mut exit = Exit::Done;
    for file in &options.files {
        let found = match look::look(file, options.check) {
            Ok(found) => found,
            Err(error) => {
                let failed = error.exit();
                let ended = end(failed, &format!("error: {}\n", with_causes(&error)));
                exit = if exit == Exit::Done { ended } else { exit };
                continue;
            }
        };
        let text = if options.json { text::json(&found) } else { text::human(&found) };
        if let Err(stop) = say(&mut io::stdout(), &text) {
            return stop;
        }
        if exit == Exit::Done && !found.problems.is_empty() {
            exit = Exit::Data;
        }
    }
    exit
}
