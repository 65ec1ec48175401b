//! The catalogue's database: whether it lets us in, and has the table. Nothing is made.

use std::path::Path;
use std::time::Duration;

use super::report::{Area, Line};
use crate::catalog::database::Catalog;
use crate::catalog::{CatalogError, TABLE};
use crate::cli::Exit;
use crate::config::Config;
use crate::url::{Database, shown_database};

/// How long it may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to it, if there is one.
pub(super) fn look(config: &Config) -> Option<Line> {
    let url = config.catalog.as_ref()?.expose();
    let subject = shown_database(url);
    if let Some(file) = missing_file(url) {
        return Some(file_to_be(&subject, Path::new(file)));
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Some(Line::skip(Area::Catalog, &subject, "can't start an async runtime"));
    };
    let asked =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, Catalog::look(url)).await });
    Some(match asked {
        Ok(Ok(true)) => Line::ok(Area::Catalog, &subject, &format!("has the table {TABLE}")),
        Ok(Ok(false)) => {
            let found = format!("answers; the table {TABLE} will be made at start");
            Line::ok(Area::Catalog, &subject, &found)
        }
        Ok(Err(error)) => refused(&subject, &error),
        Err(_) => silent(&subject),
    })
}

/// It did not answer in time. Archiving goes on without it, so that is no failure.
pub(super) fn silent(subject: &str) -> Line {
    let found = format!("no answer within {} s", PATIENCE.as_secs());
    Line::warn(Area::Catalog, subject, &found, AWAY)
}

const AWAY: &str = "start it, or mend [catalog] url: archiving goes on without it, and the rows \
                    are entered later";

/// Where it is SQLite and there is no such file yet.
fn missing_file(url: &str) -> Option<&str> {
    if Database::of_url(url) != Some(Database::Sqlite) {
        return None;
    }
    let path = url.split_once("://").map(|(_, path)| path)?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    (!Path::new(path).exists()).then_some(path)
}

fn file_to_be(subject: &str, path: &Path) -> Line {
    match path.parent() {
        Some(parent) if parent.is_dir() => {
            Line::ok(Area::Catalog, subject, "will be made at start")
        }
        _ => {
            let found = "neither the file nor the directory that it is to lie in is there";
            Line::fail(Area::Catalog, subject, found, "create the directory", Exit::Config)
        }
    }
}

fn refused(subject: &str, error: &CatalogError) -> Line {
    let (CatalogError::Unavailable { words, .. }
    | CatalogError::Denied { words, .. }
    | CatalogError::Other { words, .. }) = error;
    let exit = Exit::of_code(error.exit_code());
    match error {
        CatalogError::Unavailable { .. } => Line::warn(Area::Catalog, subject, words, AWAY),
        CatalogError::Denied { .. } => {
            let todo = "look at user and password of [catalog] url; it needs the rights to select, \
                        insert, update and delete, and to create the table once";
            Line::fail(Area::Catalog, subject, words, todo, exit)
        }
        CatalogError::Other { .. } => {
            let todo = "create the database, or mend [catalog] url; docs/catalog.md has the forms";
            Line::fail(Area::Catalog, subject, words, todo, exit)
        }
    }
}
