//! Hands rows of published files to a thread that enters them into the catalogue.
//!
//! Publishing never waits for the database: the thread has its own runtime, connections and store;
//! what it is handed goes through a queue that is full at some time, and then rows are left out.
//! Left-out rows are made up for: before a row of a partition is entered for the first time, and
//! whenever one was left out, the thread looks whether the table's rows reach up to it, and if not
//! reads the files between out of the archive. So a database that was away for a day, a restart
//! meanwhile, and files that an operator or another instance archived leave no hole. Partitions of
//! which the table has no row at all are left to `kafkatos3 catalog sync`, which may read much.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use log::Level;

use crate::archive::{self, ArchiveError, Entries};
use crate::catalog::database::Catalog;
use crate::catalog::rows::{md5_of, part_of, row_of};
use crate::catalog::{CatalogError, Part, Row};
use crate::config::{ArchiveTarget, Config};
use crate::logging::{self, Fault};
use crate::meta::FileMeta;
use crate::spool::Spool;
use crate::spool::tips::{self, TipFile};
use crate::store::names::{ChainId, ChainName};
use crate::store::{Store, StoreError};
use crate::types::Offset;
use crate::worker::backoff::Backoff;
use crate::worker::in_full;

/// So many rows wait in memory, twice: in the queue, and behind it. About 200 bytes each.
const MOST: usize = 5000;

/// Entered at once.
const BATCH: usize = 500;

/// A row, and the chain that its file is of.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) chain: ChainId,
    pub(super) row: Row,
}

/// What the uploader holds.
#[derive(Debug)]
pub(super) struct Handover {
    queue: SyncSender<Told>,
    /// Rows were left out: what is known of the table's reach is void.
    lost: Arc<AtomicBool>,
    done: Mutex<Receiver<()>>,
}

/// What the thread is told.
#[derive(Debug)]
enum Told {
    /// A file was published.
    Row(Entry),
    /// That was all.
    End,
}

impl Handover {
    /// Starts the thread; `None` if there is no catalogue. `tips` is how far chains reach, for
    /// looking whether the table does: of as many partitions as are known without asking.
    pub(super) fn start(config: &Config, tips: Vec<(ChainId, Offset)>) -> Option<Self> {
        let url = config.catalog.as_ref()?.expose().to_owned();
        let (queue, rows) = sync_channel(MOST);
        let (end, done) = sync_channel(1);
        let lost = Arc::new(AtomicBool::new(false));
        let keeper = Keeper {
            shown: crate::url::shown_database(&url),
            url,
            target: config.archive.target.clone(),
            catalog: None,
            store: None,
            lost: Arc::clone(&lost),
            waiting: VecDeque::new(),
            reaches: BTreeMap::new(),
            tips,
        };
        let work = move || {
            keeper.run(&rows);
            // Nobody may be waiting.
            let _ = end.send(());
        };
        let started = thread::Builder::new().name("catalog".to_owned()).spawn(work);
        if let Err(error) = started {
            log::error!(event = "catalog_failed"; "no thread for the catalogue: {error}");
            return None;
        }
        Some(Self { queue, lost, done: Mutex::new(done) })
    }

    /// Hands a row over; never waits.
    pub(super) fn put(&self, entry: Entry) {
        if self.queue.try_send(Told::Row(entry)).is_err() {
            self.lost.store(true, Ordering::Relaxed);
        }
    }

    /// Gives the thread so long to enter what it has. What it does not manage is made up for later.
    pub(super) fn finish(&self, within: Duration) {
        // Full: then the database is away, and nothing is to be waited for.
        if self.queue.try_send(Told::End).is_ok() {
            let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = done.recv_timeout(within);
        }
    }
}

/// Why a round failed. Everything is tried again.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// The thread.
struct Keeper {
    url: String,
    shown: String,
    target: ArchiveTarget,
    catalog: Option<Catalog>,
    store: Option<Arc<dyn Store>>,
    lost: Arc<AtomicBool>,
    waiting: VecDeque<Entry>,
    /// Up to where the table's rows of a partition reach, inclusive; `None` if it has none.
    reaches: BTreeMap<Part, Option<Offset>>,
    tips: Vec<(ChainId, Offset)>,
}

impl Keeper {
    fn run(mut self, rows: &Receiver<Told>) {
        let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = built else {
            return log::error!(event = "catalog_failed"; "no runtime for the catalogue");
        };
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));
        let mut retry_at = Instant::now();
        let mut open = true;
        while open || !self.is_idle() {
            if open {
                open = self.take(rows, if self.is_idle() { None } else { Some(retry_at) });
            }
            if self.is_idle() || (open && Instant::now() < retry_at) {
                continue;
            }
            match runtime.block_on(self.round()) {
                Ok(()) => {
                    logging::working(Fault::CATALOG, self.shown.as_str());
                    backoff.reset();
                    retry_at = Instant::now();
                }
                Err(error) => {
                    // Whatever is wrong with a connection, a new one may be better.
                    self.catalog = None;
                    logging::failing(
                        Level::Warn,
                        Fault::CATALOG,
                        self.shown.as_str(),
                        &format!("{}; rows wait, archiving goes on", in_full(&error)),
                    );
                    if !open {
                        return;
                    }
                    retry_at = Instant::now() + backoff.next();
                }
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.tips.is_empty()
    }

    /// Takes what comes until `until`, or the first one if there is no hurry; `false` once nothing
    /// more will come.
    fn take(&mut self, rows: &Receiver<Told>, until: Option<Instant>) -> bool {
        let mut wait = until;
        while self.waiting.len() < MOST {
            let taken = match wait {
                None => rows.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => rows.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match taken {
                Ok(Told::Row(entry)) => self.waiting.push_back(entry),
                Err(RecvTimeoutError::Timeout) => return true,
                Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => return false,
            }
            wait = wait.or_else(|| Some(Instant::now()));
        }
        if let Some(at) = until {
            thread::sleep(at.saturating_duration_since(Instant::now()));
        }
        true
    }

    /// Enters what waits, behind what has to be before it.
    async fn round(&mut self) -> Result<(), KeeperError> {
        if self.lost.swap(false, Ordering::Relaxed) {
            self.reaches.clear();
        }
        while let Some((chain, tip)) = self.tips.last().cloned() {
            self.reach_up_to(&chain, tip).await?;
            self.tips.pop();
        }
        while !self.waiting.is_empty() {
            self.batch().await?;
        }
        Ok(())
    }

    /// The catalogue, opened if it is not yet.
    async fn catalog(&mut self) -> Result<&mut Catalog, KeeperError> {
        let open = match self.catalog.take() {
            Some(catalog) => catalog,
            None => Catalog::open(&self.url).await?,
        };
        Ok(self.catalog.insert(open))
    }

    /// Enters some rows, of partitions whose table reaches up to them; a hole before one is filled
    /// first.
    async fn batch(&mut self) -> Result<(), KeeperError> {
        let parts: BTreeSet<_> =
            self.waiting.iter().take(BATCH).map(|entry| entry.row.part.clone()).collect();
        for part in parts {
            if !self.reaches.contains_key(&part) {
                let reach = self.catalog().await?.reach(&part).await?;
                self.reaches.insert(part, reach);
            }
        }
        let mut rows: Vec<Row> = Vec::new();
        let mut reaches = self.reaches.clone();
        for Entry { chain, row } in self.waiting.iter().take(BATCH) {
            let reach = reaches.get(&row.part).copied().flatten();
            if reach.is_some_and(|reach| reach.after() < row.range.start()) {
                if rows.is_empty() {
                    let (chain, start) = (chain.clone(), row.range.start());
                    return self.reach_up_to(&chain, start).await;
                }
                break;
            }
            let last = row.range.last();
            reaches.insert(row.part.clone(), Some(reach.map_or(last, |reach| reach.max(last))));
            rows.push(row.clone());
        }
        self.catalog().await?.put(&rows).await?;
        self.waiting.drain(..rows.len());
        self.reaches = reaches;
        Ok(())
    }

    /// Enters the rows of the files between the table's last one and `tip`, out of the archive.
    async fn reach_up_to(&mut self, chain: &ChainId, tip: Offset) -> Result<(), KeeperError> {
        let part = part_of(chain);
        // Others enter rows, too.
        let reach = self.catalog().await?.reach(&part).await?;
        self.reaches.insert(part.clone(), reach);
        let Some(reach) = reach.filter(|reach| reach.after() < tip) else { return Ok(()) };
        let store = match &self.store {
            Some(store) => Arc::clone(store),
            None => Arc::clone(self.store.insert(archive::open_store(&self.target).await?)),
        };
        let entries = Entries::listed(&*store, chain, &[]).await?;
        let lacking = |entry: &&archive::Entry| entry.start > reach && entry.start < tip;
        for entry in entries.chain().iter().filter(lacking) {
            if let Some(row) = row_of(&*store, chain, entry).await? {
                let last = row.range.last();
                self.catalog().await?.put(&[row]).await?;
                self.reaches.insert(part.clone(), Some(last));
            }
        }
        // Whatever else lies there, the table has all that the archive has.
        let last = tip.get().checked_sub(1).and_then(|last| Offset::new(last).ok());
        self.reaches.insert(part.clone(), last);
        log::info!(
            event = "catalog_filled", topic = part.topic.as_str(), partition = part.partition,
            tip = tip.get();
            "{}: it lacked rows of {chain} before {tip}, and has them now", self.shown
        );
        Ok(())
    }
}

/// How far the chains of `archive` reach, as far as the spool knows.
pub(super) fn tips(spool: &Spool, archive: &str) -> Vec<(ChainId, Offset)> {
    let known = tips::read_all(spool).unwrap_or_default();
    let ours = known.into_iter().filter(|tip| tip.archive == archive);
    let of = |TipFile { identity, position, .. }: TipFile| {
        let name = ChainName::new(identity.topic, position.generation);
        (name.partition(identity.partition), position.tip)
    };
    ours.map(of).collect()
}

/// The row of a file that is about to be created. Hashes it.
pub(super) fn row(chain: &ChainId, meta: &FileMeta, body: &[Bytes]) -> Row {
    let length = |piece: &Bytes| u64::try_from(piece.len()).unwrap_or_default();
    Row {
        part: part_of(chain),
        range: meta.range,
        bytes: body.iter().map(length).sum(),
        md5: md5_of(body.iter().map(AsRef::as_ref)),
        time: SystemTime::now(),
    }
}
