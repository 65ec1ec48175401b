//! The file as the `config` crate hands it over: sections of keys and texts, not yet checked.
//!
//! The source is our own, for its INI format loses backslashes, lines and repeated keys. Keys stay
//! literal: `log.level` is one key, not a path.

use std::collections::BTreeMap;

use config::{Map, Source, Value, ValueKind};
use serde::{Deserialize, Serialize};

use super::keys::Section;
use super::resolve::Resolved;

/// The keys and texts of one section.
type Table = BTreeMap<String, String>;

/// The serde mirror of the file.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    main: Table,
    consumer: Table,
    compression: Table,
    s3: Table,
    gcs: Table,
    azure: Table,
    archive: Table,
    catalog: Table,
    kafka: Table,
}

impl Raw {
    /// A file that holds nothing but `[archive] url`.
    pub(super) fn archive_at(url: &str) -> Self {
        let archive = [(super::keys::ARCHIVE_URL.name.to_owned(), url.to_owned())].into();
        Self { archive, ..Self::default() }
    }

    /// The keys and texts of `section`.
    pub(super) const fn section(&self, section: Section) -> &Table {
        match section {
            Section::Main => &self.main,
            Section::Consumer => &self.consumer,
            Section::Compression => &self.compression,
            Section::S3 => &self.s3,
            Section::Gcs => &self.gcs,
            Section::Azure => &self.azure,
            Section::Archive => &self.archive,
            Section::Catalog => &self.catalog,
            Section::Kafka => &self.kafka,
        }
    }
}

/// Where a value came from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) line: u32,
    /// What was written, if a variable or a file changed it.
    pub(super) written: Option<String>,
    /// Whether it has a value; if not, that was said.
    pub(super) broken: bool,
}

/// Where the values came from.
pub(super) type Origins = BTreeMap<(Section, String), Origin>;

/// Takes the items apart into texts and origins.
pub(super) fn load(items: Vec<Resolved>) -> Result<(Raw, Origins), config::ConfigError> {
    let origins = items.iter().map(origin_of).collect();
    let source = Items { tables: tables_of(items) };
    let raw = config::Config::builder().add_source(source).build()?.try_deserialize()?;
    Ok((raw, origins))
}

fn origin_of(resolved: &Resolved) -> ((Section, String), Origin) {
    let Resolved { item, value } = resolved;
    let changed = value.as_ref().is_some_and(|value| *value != item.written);
    let written = changed.then(|| item.written.clone());
    let origin = Origin { line: item.line, written, broken: value.is_none() };
    ((item.section, item.key.clone()), origin)
}

fn tables_of(items: Vec<Resolved>) -> BTreeMap<Section, Table> {
    let mut tables = BTreeMap::<Section, Table>::new();
    for Resolved { item, value } in items {
        let table = tables.entry(item.section).or_default();
        if let Some(value) = value {
            table.insert(item.key, value);
        }
    }
    tables
}

/// The items as a source of the `config` crate.
#[derive(Clone)]
struct Items {
    tables: BTreeMap<Section, Table>,
}

impl std::fmt::Debug for Items {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}

impl Source for Items {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let text = |text: &String| Value::new(None, ValueKind::String(text.clone()));
        let table = |table: &Table| {
            let map: Map<String, Value> = table.iter().map(|(k, v)| (k.clone(), text(v))).collect();
            Value::new(None, ValueKind::Table(map))
        };
        Ok(self.tables.iter().map(|(section, t)| (section.name().to_owned(), table(t))).collect())
    }
}
