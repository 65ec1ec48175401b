//! `kafkatos3 catalog`: the table of archived files, made what the archive says.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Exit, config_error_text, end};
use crate::archive::{Archive, Location};
use crate::catalog::database::Catalog;
use crate::catalog::rows::Plan;
use crate::catalog::sync::{Rules, SyncError, Synced, sync};
use crate::catalog::{Part, TABLE};
use crate::config::Config;
use crate::url::shown_database;
use crate::worker::in_full;

/// What is to be done with the table.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum CatalogCommand {
    /// Make the table what the archive says
    ///
    /// Enters a row for each archived file that has none, corrects wrong ones, and removes rows of
    /// no file, after saying which. Reads the files that lack a row, for their MD5. May run while
    /// files are being archived, again and again; the table is made if it is not there. One table
    /// is of one archive.
    Sync(SyncOptions),
}

/// `kafkatos3 catalog sync`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SyncOptions {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Leave rows of no file where they are
    #[arg(long)]
    keep: bool,

    /// The configuration file
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
}

/// Does what was asked for.
pub(super) fn run(command: &CatalogCommand) -> Exit {
    let CatalogCommand::Sync(options) = command;
    let config = match Config::load(&options.config) {
        Ok(loaded) => loaded.config,
        Err(error) => return end(Exit::of_config(&error), &config_error_text(&error)),
    };
    let Some(url) = &config.catalog else { return no_catalog(&options.config) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return end(Exit::Internal, "error: can't start an async runtime\n");
    };
    let rules = Rules { dry_run: options.dry_run, keep: options.keep };
    match runtime.block_on(work(&config, url.expose(), rules)) {
        Ok(all) => end(Exit::Done, &summary(&all, rules, &shown_database(url.expose()))),
        Err(error) => end(exit_of(&error), &format!("error: {}\n", in_full(&error))),
    }
}

fn no_catalog(path: &Path) -> Exit {
    let text = format!(
        "error: {}: there is no [catalog] url\nset it to mysql://USER:PASSWORD@HOST/DATABASE, \
         postgres://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE\n",
        path.display()
    );
    end(Exit::Config, &text)
}

async fn work(config: &Config, url: &str, rules: Rules) -> Result<Vec<Synced>, SyncError> {
    let archive = Archive::at(&Location::of_config(config)).await?;
    let mut catalog = Catalog::open(url).await?;
    sync(&archive, &mut catalog, rules, &mut |part, plan| tell(part, plan, rules)).await
}

/// What is about to be done with a partition's rows, unless that is nothing.
fn tell(part: &Part, plan: &Plan, rules: Rules) {
    let Part { topic, partition } = part;
    if !plan.missing.is_empty() {
        let count = plan.missing.len();
        let verb = if rules.dry_run { "would be read" } else { "are read" };
        eprintln!("{topic} {partition}: {count} objects without a right row {verb}");
    }
    let verb = match rules {
        Rules { keep: true, .. } => "left there",
        Rules { dry_run: true, .. } => "would be removed",
        Rules { .. } => "removed",
    };
    for start in &plan.extra {
        eprintln!("{topic} {partition}: the row of {start} is of no archived file: {verb}");
    }
}

fn summary(all: &[Synced], rules: Rules, database: &str) -> String {
    let mut text = String::new();
    for Synced { part: Part { topic, partition }, rows, entered, extra } in all {
        let extra = extra.len();
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "{topic} {partition}: {rows} rows, {entered} entered, {extra} of no file"
        );
    }
    let sum = |count: fn(&Synced) -> usize| all.iter().map(count).sum::<usize>();
    let (entered, extra) = (sum(|one| one.entered), sum(|one| one.extra.len()));
    let rows = sum(|one| one.rows);
    let tense = if rules.dry_run { "nothing was changed" } else { "the table is as the archive" };
    let _ = writeln!(
        text,
        "{TABLE} of {database}: {} partitions, {rows} rows, {entered} entered, {extra} of no file; {tense}",
        all.len()
    );
    text
}

fn exit_of(error: &SyncError) -> Exit {
    Exit::of_code(match error {
        SyncError::Catalog(error) => error.exit_code(),
        SyncError::Archive(error) => error.exit_code(),
    })
}
