//! The table in a database, by `sqlx`; what the databases spell differently is here.
//!
//! Every statement is one transaction or a part of one; carried out twice, a write comes to the
//! same. Nothing waits longer than `PATIENCE`.

use std::collections::BTreeMap;
use std::future::Future;
use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use sqlx::any::{AnyConnectOptions, AnyRow, install_default_drivers};
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use super::{CatalogError, Kept, Part, Row, TABLE};
use crate::types::Offset;
use crate::url::{Database, shown_database};

/// How long one question to the database may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many rows go into one transaction.
const BATCH: usize = 500;

/// An open catalogue.
#[derive(Debug)]
pub struct Catalog {
    connection: AnyConnection,
    database: Database,
    shown: String,
}

impl Catalog {
    /// Connects, and makes the table if it is not there.
    pub async fn open(url: &str) -> Result<Self, CatalogError> {
        let mut catalog = Self::connect(url, Missing::Make).await?;
        if !catalog.has_table().await {
            catalog.make_table().await?;
        }
        Ok(catalog)
    }

    /// Connects without making anything, to a file of SQLite neither; says whether the table is there.
    pub async fn look(url: &str) -> Result<bool, CatalogError> {
        Ok(Self::connect(url, Missing::Refuse).await?.has_table().await)
    }

    async fn connect(url: &str, missing: Missing) -> Result<Self, CatalogError> {
        let shown = shown_database(url);
        let wrong =
            |words: &str| CatalogError::Other { database: shown.clone(), words: words.to_owned() };
        let database = Database::of_url(url).ok_or_else(|| wrong("no database of that kind"))?;
        install_default_drivers();
        let options = AnyConnectOptions::from_str(&completed(url, database, missing));
        let options = options.map_err(|_| wrong("the url does not read"))?;
        let options = options.disable_statement_logging();
        let connection = waited(&shown, options.connect()).await?;
        Ok(Self { connection, database, shown })
    }

    /// The database, for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Who may not create tables can still use one that is there.
    async fn has_table(&mut self) -> bool {
        let look = self.worded("SELECT {topic} FROM {table} WHERE 1 = 0");
        let query = sqlx::query(AssertSqlSafe(look)).execute(&mut self.connection);
        waited(&self.shown, query).await.is_ok()
    }

    async fn make_table(&mut self) -> Result<(), CatalogError> {
        for statement in create(self.database) {
            let statement = self.worded(statement);
            let query = sqlx::query(AssertSqlSafe(statement)).execute(&mut self.connection);
            waited(&self.shown, query).await?;
        }
        Ok(())
    }

    /// A statement in the database's own words: `{name}` is a quoted name, `?` a parameter.
    fn worded(&self, statement: &str) -> String {
        let quote = if self.database == Database::MySql { '`' } else { '"' };
        let mut text = statement.replace("{table}", TABLE);
        for name in
            ["topic", "partition", "startOffset", "finalOffset", "byteSize", "md5Hash", "time"]
        {
            text = text.replace(&format!("{{{name}}}"), &format!("{quote}{name}{quote}"));
        }
        if self.database != Database::Postgres {
            return text;
        }
        let mut parts = text.split('?');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.zip(1..).fold(first, |text, (part, number)| format!("{text}${number}{part}"))
    }

    /// Enters rows, or corrects those that are there.
    pub async fn put(&mut self, rows: &[Row]) -> Result<(), CatalogError> {
        let statement = self.worded(upsert(self.database));
        for batch in rows.chunks(BATCH) {
            let work = async {
                let mut transaction = self.connection.begin().await?;
                for row in batch {
                    sqlx::query(AssertSqlSafe(statement.clone()))
                        .bind(row.part.topic.clone())
                        .bind(row.part.partition)
                        .bind(row.range.start().to_kafka())
                        .bind(row.range.last().to_kafka())
                        .bind(i64::try_from(row.bytes).unwrap_or(i64::MAX))
                        .bind(row.md5.clone())
                        .bind(time_text(row.time))
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await
            };
            waited(&self.shown, work).await?;
        }
        Ok(())
    }

    /// The highest `finalOffset` of a partition; `None` if the table has no row of it.
    pub async fn reach(&mut self, part: &Part) -> Result<Option<Offset>, CatalogError> {
        let statement = self.worded(
            "SELECT {finalOffset} AS a FROM {table} WHERE {topic} = ? AND {partition} = ? \
             ORDER BY {startOffset} DESC LIMIT 1",
        );
        let query = sqlx::query(AssertSqlSafe(statement))
            .bind(part.topic.clone())
            .bind(part.partition)
            .fetch_optional(&mut self.connection);
        let row = waited(&self.shown, query).await?;
        row.map(|row| offset(&row, "a")).transpose().map_err(|e| classed(&self.shown, &e))
    }

    /// The partitions that the table has rows of.
    pub async fn parts(&mut self) -> Result<Vec<Part>, CatalogError> {
        let statement = self.worded("SELECT DISTINCT {topic} AS a, {partition} AS b FROM {table}");
        let query = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut self.connection);
        let rows = waited(&self.shown, query).await?;
        let read =
            |row: &AnyRow| Ok(Part { topic: row.try_get("a")?, partition: row.try_get("b")? });
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|e| classed(&self.shown, &e))
    }

    /// All rows of a partition, by their start.
    pub async fn rows(&mut self, part: &Part) -> Result<BTreeMap<Offset, Kept>, CatalogError> {
        let statement = self.worded(
            "SELECT {startOffset} AS a, {finalOffset} AS b, {byteSize} AS c FROM {table} \
             WHERE {topic} = ? AND {partition} = ?",
        );
        let query = sqlx::query(AssertSqlSafe(statement))
            .bind(part.topic.clone())
            .bind(part.partition)
            .fetch_all(&mut self.connection);
        let rows = waited(&self.shown, query).await?;
        let read = |row: &AnyRow| {
            let start = offset(row, "a")?;
            let bytes = row.try_get::<i64, _>("c")?.try_into().unwrap_or_default();
            Ok((start, Kept { start, last: offset(row, "b")?, bytes }))
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|e| classed(&self.shown, &e))
    }

    /// Takes rows of a partition out.
    pub async fn remove(&mut self, part: &Part, starts: &[Offset]) -> Result<(), CatalogError> {
        let statement = self.worded(
            "DELETE FROM {table} WHERE {topic} = ? AND {partition} = ? AND {startOffset} = ?",
        );
        for batch in starts.chunks(BATCH) {
            let work = async {
                let mut transaction = self.connection.begin().await?;
                for start in batch {
                    sqlx::query(AssertSqlSafe(statement.clone()))
                        .bind(part.topic.clone())
                        .bind(part.partition)
                        .bind(start.to_kafka())
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await
            };
            waited(&self.shown, work).await?;
        }
        Ok(())
    }
}

/// What is to become of a file of SQLite that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

fn completed(url: &str, database: Database, missing: Missing) -> String {
    if database != Database::Sqlite || missing == Missing::Refuse || url.contains("mode=") {
        return url.to_owned();
    }
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}mode=rwc")
}

/// As kafka_store made it, but with room for every topic's name, and topics told apart by case.
fn create(database: Database) -> &'static [&'static str] {
    match database {
        Database::MySql => &["CREATE TABLE IF NOT EXISTS {table} (\
             {topic} varchar(255) COLLATE utf8mb4_bin NOT NULL, {partition} int NOT NULL, \
             {startOffset} bigint NOT NULL, {finalOffset} bigint NOT NULL, \
             {byteSize} bigint NOT NULL, {md5Hash} varchar(32) COLLATE utf8mb4_unicode_ci NOT NULL, \
             {time} datetime NOT NULL, PRIMARY KEY ({topic}, {partition}, {startOffset}), \
             KEY time_index ({topic}, {partition}, {time})\
             ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"],
        Database::Postgres => &[
            "CREATE TABLE IF NOT EXISTS {table} (\
             {topic} varchar(255) NOT NULL, {partition} int NOT NULL, \
             {startOffset} bigint NOT NULL, {finalOffset} bigint NOT NULL, \
             {byteSize} bigint NOT NULL, {md5Hash} varchar(32) NOT NULL, \
             {time} timestamp NOT NULL, PRIMARY KEY ({topic}, {partition}, {startOffset}))",
            "CREATE INDEX IF NOT EXISTS time_index ON {table} ({topic}, {partition}, {time})",
        ],
        Database::Sqlite => &[
            "CREATE TABLE IF NOT EXISTS {table} (\
             {topic} text NOT NULL, {partition} integer NOT NULL, \
             {startOffset} integer NOT NULL, {finalOffset} integer NOT NULL, \
             {byteSize} integer NOT NULL, {md5Hash} text NOT NULL, \
             {time} text NOT NULL, PRIMARY KEY ({topic}, {partition}, {startOffset}))",
            "CREATE INDEX IF NOT EXISTS time_index ON {table} ({topic}, {partition}, {time})",
        ],
    }
}

fn upsert(database: Database) -> &'static str {
    match database {
        Database::MySql => {
            "INSERT INTO {table} ({topic}, {partition}, {startOffset}, {finalOffset}, {byteSize}, \
             {md5Hash}, {time}) VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE \
             {finalOffset} = VALUES({finalOffset}), {byteSize} = VALUES({byteSize}), \
             {md5Hash} = VALUES({md5Hash}), {time} = VALUES({time})"
        }
        Database::Postgres => {
            "INSERT INTO {table} ({topic}, {partition}, {startOffset}, {finalOffset}, {byteSize}, \
             {md5Hash}, {time}) VALUES (?, ?, ?, ?, ?, ?, CAST(? AS timestamp)) \
             ON CONFLICT ({topic}, {partition}, {startOffset}) DO UPDATE SET \
             {finalOffset} = EXCLUDED.{finalOffset}, {byteSize} = EXCLUDED.{byteSize}, \
             {md5Hash} = EXCLUDED.{md5Hash}, {time} = EXCLUDED.{time}"
        }
        Database::Sqlite => {
            "INSERT INTO {table} ({topic}, {partition}, {startOffset}, {finalOffset}, {byteSize}, \
             {md5Hash}, {time}) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT ({topic}, {partition}, {startOffset}) DO UPDATE SET \
             {finalOffset} = EXCLUDED.{finalOffset}, {byteSize} = EXCLUDED.{byteSize}, \
             {md5Hash} = EXCLUDED.{md5Hash}, {time} = EXCLUDED.{time}"
        }
    }
}

/// In UTC, to the second, as all of them read it.
fn time_text(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).format("%Y-%m-%d %H:%M:%S").to_string()
}

fn offset(row: &AnyRow, column: &str) -> Result<Offset, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    Offset::from_kafka(number).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

async fn waited<T>(
    shown: &str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, CatalogError> {
    if let Ok(done) = tokio::time::timeout(PATIENCE, work).await {
        return done.map_err(|error| classed(shown, &error));
    }
    let words = format!("no answer within {} s", PATIENCE.as_secs());
    Err(CatalogError::Unavailable { database: shown.to_owned(), words })
}

/// What the database's codes mean: those of MySQL by number, the others by SQLSTATE.
fn classed(shown: &str, error: &sqlx::Error) -> CatalogError {
    let (database, words) = (shown.to_owned(), error_words(error));
    let Some(said) = error.as_database_error() else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                CatalogError::Unavailable { database, words }
            }
            _ => CatalogError::Other { database, words },
        };
    };
    match said.code().as_deref().unwrap_or_default() {
        "28000" | "28P01" | "42501" => CatalogError::Denied { database, words },
        // MySQL has one state for this and for a database that is not there.
        "42000" if words.contains("denied") => CatalogError::Denied { database, words },
        // Too many connections, going down, locked, no disk, deadlock.
        "53300" | "57P01" | "57P02" | "57P03" | "53100" | "40001" | "40P01" | "08004" | "5"
        | "6" | "13" => CatalogError::Unavailable { database, words },
        _ => CatalogError::Other { database, words },
    }
}

/// One line; the library puts a word of its own before each cause.
fn error_words(error: &sqlx::Error) -> String {
    let text = match error.as_database_error() {
        Some(said) => said.message().to_owned(),
        None => error.to_string(),
    };
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
