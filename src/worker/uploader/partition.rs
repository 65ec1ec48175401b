//! One partition's turn: its packed files are offered to the chain in offset order, and what the
//! chain's machine asks for is carried out, until nothing more can be done now.

use std::io::BufWriter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::board::Board;
use super::catalog::{self, Handover};
use super::local::LocalObject;
use crate::catalog::Row;
use crate::chain::locate::{Genesis, Hints, Outcome};
use crate::chain::publish::{Action, LocalFile, Publisher, SealAction};
use crate::chain::{Slot, Stop};
use crate::codec::{self, Container, Level};
use crate::config::{Config, OnTopicRecreated};
use crate::fail::step;
use crate::format::Layout;
use crate::logging::{self, Fault};
use crate::meta::{CloseMeta, ObjectMeta};
use crate::spool::age::Stamp;
use crate::spool::recovery;
use crate::spool::stage::{Compressed, Placed};
use crate::spool::tips::{self, TipFile};
use crate::spool::{
    FileName, PartitionLock, Spool, SpoolError, SpoolPartition, StopKind, Stopped, Taken, stops,
};
use crate::status::model::Published;
use crate::status::now_ms;
use crate::store::names::ChainId;
use crate::store::{StoreError, ask, selftest};
use crate::supervisor::Reporter;
use crate::types::{AvroSchema, OffsetRange, Suffix, TopicPartition};
use crate::worker::backoff::Backoff;
use crate::worker::chain_io::ChainIo;
use crate::worker::pack::{PackError, layout, repack};
use crate::worker::{Exit, SPOOL, in_full};

/// When to look again at what another process works on: it may die, which wakes nobody.
const WAIT: Duration = Duration::from_millis(250);

/// So often in a row a store refuses an object before that counts as its last word. With the waits
/// between, it takes some ten seconds.
const REFUSALS: u32 = 7;

/// When to look again at a partition that needs the operator.
const STOPPED_WAIT: Duration = Duration::from_secs(30);

/// What all partitions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spool: Spool,
    io: ChainIo,
    configured: Suffix,
    layout: Layout,
    publish_deadline: Duration,
    reporter: Reporter,
    pub(super) board: Board,
    /// Where rows of published files go, if anybody wants them.
    pub(super) catalog: Option<Arc<Handover>>,
}

impl Shared {
    /// What the catalogue would say of the file, if there is one.
    fn row(&self, chain: &ChainId, local: &LocalObject, body: &[Bytes]) -> Option<Row> {
        self.catalog.as_ref().map(|_| catalog::row(chain, &local.meta, body))
    }

    /// The file is in the archive.
    fn hand_over(&self, chain: &ChainId, row: Option<Row>) {
        if let (Some(catalog), Some(row)) = (&self.catalog, row) {
            catalog.put(catalog::Entry { chain: chain.clone(), row });
        }
    }

    /// The same store and spool under other settings.
    pub(super) fn under(&self, config: &Config) -> Result<Self, Exit> {
        let io = self.io.with_new_chains(new_chains(config));
        let catalog = self.catalog.clone();
        Self::new(config, self.spool.clone(), io, self.reporter.clone(), catalog)
    }

    pub(super) fn new(
        config: &Config,
        spool: Spool,
        io: ChainIo,
        reporter: Reporter,
        catalog: Option<Arc<Handover>>,
    ) -> Result<Self, Exit> {
        let configured = config.suffix();
        Ok(Self {
            spool,
            io,
            configured,
            layout: layout(config)?,
            reporter,
            publish_deadline: config.archive.publish_deadline,
            board: Board::default(),
            catalog,
        })
    }
}

/// Whether a topic that was created again gets a chain of its own.
pub(super) fn new_chains(config: &Config) -> bool {
    config.consumer.on_topic_recreated == OnTopicRecreated::NewChain
}

/// How a partition's last turn left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing is in the way, or only a store that failed.
    Fine,
    /// It waits for somebody else's work.
    Waiting,
    /// Files are missing before those that are here.
    Stuck,
    /// It needs the operator; looked at again now and then.
    Stopped,
}

/// What a process remembers of a partition between its turns.
#[derive(Debug)]
pub(super) struct PartitionState {
    chain: Option<(ChainId, Publisher)>,
    /// Whether the consumer could not be told the tip: the disk was full.
    untold: bool,
    /// Whether the chain's tip has to be asked for before the next file.
    stale: bool,
    /// How often in a row the store has refused the same file.
    refusals: u32,
    /// Whether a note of ours may say that the partition is stopped.
    noted: bool,
    backoff: Backoff,
    retry_at: Option<Instant>,
    standing: Standing,
}

impl Default for PartitionState {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        Self {
            chain: None,
            untold: false,
            stale: true,
            refusals: 0,
            noted: true,
            backoff,
            retry_at: None,
            standing: Standing::Fine,
        }
    }
}

impl PartitionState {
    pub(super) const fn is_stopped(&self) -> bool {
        matches!(self.standing, Standing::Stopped | Standing::Stuck)
    }

    /// Whether it needs a turn though it has no files.
    pub(super) const fn has_news(&self) -> bool {
        self.untold
    }

    /// Something changed in the spool: perhaps what it waits for.
    pub(super) fn spool_changed(&mut self, spool: &Spool, partition: &SpoolPartition) {
        let over = match self.standing {
            Standing::Waiting => true,
            Standing::Stopped => matches!(stops::read(spool, partition), Ok(None)),
            Standing::Fine | Standing::Stuck => false,
        };
        if over {
            self.retry_at = None;
            self.refusals = 0;
        }
    }

    /// The settings changed: perhaps what stopped it.
    pub(super) const fn settings_changed(&mut self) {
        if self.is_stopped() {
            self.retry_at = None;
        }
    }

    /// How long to wait before its next turn.
    pub(super) fn due_in(&self, now: Instant) -> Duration {
        self.retry_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// Why a turn ended before its files did.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("can't be packed: {0}")]
    Pack(#[from] PackError),
    #[error("can't be packed: {0}")]
    Codec(#[from] codec::CodecError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the archive has no chain for it yet")]
    NoChain,
    #[error("the create was not confirmed, and nothing stands there")]
    Unconfirmed,
    #[error("{0}")]
    Stop(Stop),
}

/// One turn.
pub(super) struct Turn {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: SpoolPartition,
    pub(super) state: PartitionState,
    pub(super) files: Vec<FileName>,
    /// Whether the store was asked for the tip in this very turn.
    pub(super) located: bool,
    /// The file that is being offered.
    pub(super) current: Option<Current>,
}

/// What is said of a file when it can't be published.
pub(super) struct Current {
    name: FileName,
    tp: TopicPartition,
}

/// How a turn ended.
enum Ended {
    /// Whatever could be done was done.
    Through,
    /// Another uploader has the partition or a file, or a file's predecessors are not here yet.
    Waiting,
    /// Predecessors are missing, and their consumer was told.
    Hole,
}

/// How to go on after a file.
enum Next {
    File,
    /// The files behind it don't join any more.
    DropRest,
    /// Nothing more can be done now.
    Enough,
    /// Files before it are missing.
    Hole,
}

impl Turn {
    pub(super) async fn run(mut self) -> (SpoolPartition, PartitionState) {
        match self.files().await {
            Ok(Ended::Through) => {
                self.state.standing = Standing::Fine;
                self.shared.board.is_fine(&self.partition);
                self.state.backoff.reset();
                self.state.retry_at = None;
            }
            Ok(Ended::Waiting) => {
                self.state.standing = Standing::Waiting;
                self.state.retry_at = Some(Instant::now() + WAIT);
            }
            Ok(Ended::Hole) => {
                self.state.standing = Standing::Stuck;
                let wait = self.state.backoff.next();
                self.state.retry_at = Some(Instant::now() + wait);
                let why = "files before these are missing in the spool; they are read again";
                self.shared.board.failed(&self.partition, why.to_owned(), wait);
            }
            Err(error) => self.failed(&error).await,
        }
        (self.partition, self.state)
    }

    async fn failed(&mut self, error: &TurnError) {
        if let TurnError::Stop(stop) = error {
            return self.stopped(|tp| Stopped::at(tp, stop));
        }
        if self.is_refused(error).await {
            let range = self.current.as_ref().map(|current| current.name.range);
            return self.stopped(|tp| {
                let why = format!("the store works, but refuses this one object: {error}");
                let note = Stopped::new(tp, StopKind::RefusedObject, why);
                match range {
                    Some(range) => note.about(range.start(), range.next()),
                    None => note,
                }
            });
        }
        self.state.standing = Standing::Fine;
        let wait = self.state.backoff.next();
        self.state.retry_at = Some(Instant::now() + wait);
        self.shared.board.failed(&self.partition, in_full(error), wait);
        let text = format!("{}: not published: {}; trying again", self.name(), in_full(error));
        let partition = self.partition.to_string();
        let of = match error {
            // What the store does to one it does to all.
            TurnError::Store(error) if error.is_transient() => self.shared.io.store().url(),
            _ => &partition,
        };
        logging::failing(log::Level::Warn, Fault::PUBLISH, of, &text);
    }

    fn name(&self) -> String {
        let current = self.current.as_ref().map(|current| current.name.to_string());
        current.unwrap_or_else(|| self.partition.to_string())
    }

    /// Leaves a note for the operator; the file is offered again now and then.
    fn stopped(&mut self, note: impl FnOnce(&TopicPartition) -> Stopped) {
        let again = self.state.standing == Standing::Stopped;
        self.state.standing = Standing::Stopped;
        self.state.stale = true;
        self.state.retry_at = Some(Instant::now() + STOPPED_WAIT);
        let Some(current) = &self.current else { return };
        let mut note = note(&current.tp);
        if let Some((chain, _)) = &self.state.chain {
            note = note.in_chain(chain);
        }
        if !again {
            log::error!(
                event = "stopped", topic = current.tp.topic.as_str(),
                partition = current.tp.partition.get(), kind:% = note.kind,
                error = note.reason.as_str();
                "{}: stopped: {} ({}); what leads out of it: {}",
                current.name,
                note.reason,
                note.kind,
                note.way_out.join(", or ")
            );
        }
        let what = format!("stopped: {}", note.reason);
        self.shared.board.failed(&self.partition, what, STOPPED_WAIT);
        self.state.noted = true;
        if let Err(error) = stops::write(&self.shared.spool, note) {
            logging::failing(log::Level::Warn, Fault::SPOOL, SPOOL, &in_full(&error));
        }
    }

    /// Whether the store refuses this very file for good: it did so again and again, though it
    /// passes the self-test. Another moment's refusal may be a right that is being mended.
    async fn is_refused(&mut self, error: &TurnError) -> bool {
        let lasting = match error {
            TurnError::Store(error) => !error.is_transient(),
            TurnError::Unconfirmed => true,
            _ => false,
        };
        self.state.refusals = if lasting { self.state.refusals.saturating_add(1) } else { 0 };
        self.state.refusals >= REFUSALS && selftest::run(self.shared.io.store()).await.is_ok()
    }

    /// A file was published: a note that says otherwise goes.
    fn lift_stop(&mut self) -> Result<(), SpoolError> {
        self.state.refusals = 0;
        if std::mem::take(&mut self.state.noted)
            && let Some(note) = stops::read(&self.shared.spool, &self.partition)?
            && (note.kind == StopKind::RefusedObject || self.state.standing == Standing::Stopped)
        {
            log::info!(
                event = "resumed", subject:% = self.partition, kind:% = note.kind;
                "{}: goes on: {} is over", self.partition, note.kind
            );
            stops::clear(&self.shared.spool, &self.partition)?;
        }
        Ok(())
    }

    async fn files(&mut self) -> Result<Ended, TurnError> {
        let Taken::Ours(lock) = PartitionLock::take(&self.shared.spool, &self.partition)? else {
            return Ok(Ended::Waiting);
        };
        if self.state.untold {
            self.write_tip(&lock)?;
        }
        let mut drop_rest = false;
        for name in self.files.clone() {
            let Taken::Ours(claim) = Compressed::claim(&self.shared.spool, &name)? else {
                return Ok(Ended::Waiting);
            };
            let local = match LocalObject::open(claim) {
                Ok(local) => local,
                Err((claim, why)) => {
                    log::error!(
                        event = "quarantined", file:% = name, error = why.as_str();
                        "{name}: damaged: {why}; it goes to quarantine and is read again"
                    );
                    claim.quarantine(&why)?;
                    self.shared.board.quarantined();
                    return Ok(Ended::Through);
                }
            };
            match self.file(&lock, local, drop_rest).await {
                Ok(Next::File) => {}
                Ok(Next::DropRest) => drop_rest = true,
                Ok(Next::Enough) => return Ok(Ended::Waiting),
                Ok(Next::Hole) => return Ok(Ended::Hole),
                Err(error) => return Err(error),
            }
        }
        Ok(Ended::Through)
    }

    async fn file(
        &mut self,
        lock: &PartitionLock,
        local: LocalObject,
        drop_rest: bool,
    ) -> Result<Next, TurnError> {
        let tp = local.meta.identity.topic_partition();
        self.current = Some(Current { name: local.claim.name().clone(), tp: tp.clone() });
        self.find_chain(&local).await?;
        let began = Instant::now();
        let now = Stamp::now()?;
        let deadline = self.shared.publish_deadline;
        let too_old = local.rotated.as_ref().is_none_or(|at| at.is_older_than(deadline, &now));
        let offered = LocalFile { meta: local.meta.clone(), too_old };
        let Some((chain, publisher)) = &mut self.state.chain else {
            return Err(TurnError::NoChain);
        };
        let mut action = publisher.offer(offered);
        // Why the last create was not confirmed.
        let mut doubt = None;
        let mut sent = None;
        loop {
            action = match action {
                Action::Put { slot, totals } => {
                    let (body, meta) = local.object(totals)?;
                    let name = chain.object(slot.start, slot.suffix);
                    sent = self.shared.row(chain, &local, &body);
                    let created = self.shared.io.store().create(&name, body, &meta);
                    doubt = ask(step!("object.put"), created).await.err();
                    publisher.created(doubt.is_none())
                }
                Action::PutSeal(seal) => {
                    let SealAction { slot, seal } = *seal;
                    say_sealed(chain, slot, seal.continues);
                    let (seal, step) = (ObjectMeta::Seal(seal), step!("seal.put"));
                    doubt = self.shared.io.put_seal(chain, slot, &seal, step).await?;
                    publisher.created(doubt.is_none())
                }
                Action::Head(slot) => publisher.seen(self.shared.io.head(chain, slot).await?),
                last => {
                    action = last;
                    break;
                }
            };
        }
        let tip = publisher.position().tip;
        let name = local.claim.name().clone();
        match action {
            Action::Published => {
                let range = local.meta.range;
                let object = Published {
                    object: chain.object(range.start(), local.suffix()).to_string(),
                    start: range.start(),
                    next: range.next(),
                    records: Some(local.meta.records),
                    bytes: u64::try_from(local.len()).unwrap_or(u64::MAX),
                    at_ms: now_ms(),
                    took_ms: Some(logging::millis(began.elapsed())),
                };
                let url = self.shared.io.store().url();
                say_published(&tp, range, &object, url);
                logging::working(Fault::PUBLISH, url);
                logging::working(Fault::PUBLISH, self.partition.to_string().as_str());
                self.shared.reporter.useful();
                self.shared.board.published(&self.partition, object);
                self.shared.hand_over(chain, sent);
                self.part_with(lock, local)?;
                self.lift_stop()?;
                Ok(Next::File)
            }
            Action::Superseded => {
                log::info!(
                    event = "dropped", file:% = name, tip = tip.get();
                    "{name}: dropped: the chain's tip is {tip} already"
                );
                self.part_with(lock, local)?;
                // One that others cover wholly says nothing about its successors.
                Ok(if name.range.next() <= tip { Next::File } else { Next::DropRest })
            }
            Action::NotYet if drop_rest => {
                log::info!(
                    event = "dropped", file:% = name, tip = tip.get();
                    "{name}: dropped: it does not join the chain's tip {tip}"
                );
                let why = "the tip is none of this spool's boundaries";
                tips::request_rewind(&self.shared.spool, &self.partition, tip, why)?;
                local.claim.discard()?;
                Ok(Next::DropRest)
            }
            Action::NotYet => self.not_yet(&local),
            Action::Expired => self.expired(local),
            Action::Repack(suffix) => self.repack(local, suffix),
            Action::Closed(close) => {
                say_closed(chain, &close);
                self.state.stale = true;
                Ok(Next::Enough)
            }
            Action::Orphaned => {
                let why = format!("it was written for a chain that is over; {chain} goes on");
                self.orphaned(lock, local, &why)
            }
            Action::Stop(stop) => Err(TurnError::Stop(stop)),
            Action::Retry | Action::Put { .. } | Action::PutSeal(_) | Action::Head(_) => {
                Err(doubt.map_or(TurnError::Unconfirmed, TurnError::Store))
            }
        }
    }

    /// The file is older than it may be: its range is read again.
    fn expired(&self, local: LocalObject) -> Result<Next, TurnError> {
        let name = local.claim.name().clone();
        log::warn!(
            event = "dropped", file:% = name;
            "{name}: dropped: rotated longer ago than publish_deadline; read again"
        );
        let why = "older than publish_deadline";
        tips::request_rewind(&self.shared.spool, &self.partition, name.range.start(), why)?;
        local.claim.discard()?;
        Ok(Next::DropRest)
    }

    /// The file has no place any more: it is kept, and its consumer learns of the new chain.
    fn orphaned(
        &mut self,
        lock: &PartitionLock,
        local: LocalObject,
        why: &str,
    ) -> Result<Next, TurnError> {
        let (claim, bytes) = local.into_parts();
        drop(bytes);
        log::warn!(
            event = "set_aside", file:% = claim.name();
            "{}: put into quarantine: {why}", claim.name()
        );
        claim.set_aside(why)?;
        self.write_tip(lock)?;
        Ok(Next::File)
    }

    /// Learns where the chain ends, if that is not known (any more).
    async fn find_chain(&mut self, local: &LocalObject) -> Result<(), TurnError> {
        let meta = &local.meta;
        let of_another = |(_, publisher): &(ChainId, Publisher)| {
            publisher.identity().disagreement(&meta.identity).is_some()
        };
        if self.state.chain.as_ref().is_some_and(of_another) {
            // The topic was created again meanwhile.
            self.state.chain = None;
            self.state.stale = true;
        }
        let of_later_chain = |(_, publisher): &(ChainId, Publisher)| {
            publisher.position().generation < meta.generation
        };
        self.state.stale |= self.state.chain.as_ref().is_some_and(of_later_chain);
        if !self.state.stale {
            return Ok(());
        }
        let archive = self.shared.io.store().url();
        let known = tips::position_of(&self.shared.spool, &meta.identity, archive)?;
        let hints = Hints { seen: known, committed: known };
        let begins = meta.range.start() == meta.first && meta.generation == 1;
        let genesis = begins.then(|| Genesis::new(meta.first, self.shared.configured));
        let located = self.shared.io.locate(&meta.identity, &hints, genesis).await?;
        match located.outcome {
            Outcome::Found(position) => {
                self.located = true;
                self.state.stale = false;
                match &mut self.state.chain {
                    Some((chain, publisher)) if *chain == located.chain => {
                        publisher.relocated(position);
                    }
                    other => {
                        let identity = meta.identity.clone();
                        let publisher = Publisher::new(identity, position, self.shared.configured);
                        *other = Some((located.chain, publisher));
                    }
                }
                Ok(())
            }
            Outcome::NoChain | Outcome::Closed(_) => Err(TurnError::NoChain),
            Outcome::Stop(stop) => Err(TurnError::Stop(stop)),
        }
    }

    /// A file ahead of the tip: its predecessors are still being packed, or they are lost, and
    /// then the consumer has to go back.
    fn not_yet(&mut self, local: &LocalObject) -> Result<Next, TurnError> {
        let Some((_, publisher)) = &self.state.chain else { return Ok(Next::Enough) };
        let tip = publisher.position().tip;
        let spool = &self.shared.spool;
        // In this order: a file that is handed on meanwhile is seen in at least one place.
        let rotated = spool.rotated()?;
        let compressed = spool.compressed()?;
        let files = rotated.into_iter().chain(compressed).map(|file| file.name);
        let ours: Vec<_> = files.filter(|name| name.partition == self.partition).collect();
        if recovery::join(tip, &ours).reached >= local.meta.range.start() {
            return Ok(Next::Enough);
        }
        if self.located {
            let why = "files between the tip and this one are missing from the spool";
            log::warn!(
                event = "hole", file:% = local.claim.name(), tip = tip.get();
                "{}: {why}; they are read again from {tip}", local.claim.name()
            );
            tips::request_rewind(spool, &self.partition, tip, why)?;
            self.state.stale = true;
            return Ok(Next::Hole);
        }
        // Another instance may have moved the tip since it was learned here: ask again.
        self.state.stale = true;
        Ok(Next::Enough)
    }

    /// Puts the file into another container; it is offered again by the next turn.
    fn repack(&self, local: LocalObject, suffix: Suffix) -> Result<Next, TurnError> {
        log::debug!(
            event = "packed", file:% = local.claim.name();
            "{}: packed anew as {suffix}, which the chain goes on with", local.claim.name()
        );
        let layout = if suffix == self.shared.layout.level.suffix() {
            self.shared.layout
        } else {
            Layout { level: Level::new(suffix, None)?, schema: AvroSchema::of(suffix) }
        };
        let meta = local.meta.clone();
        let (claim, bytes) = local.into_parts();
        let from = claim.name().suffix;
        let mut packing = claim.begin(suffix)?;
        let out = BufWriter::new(packing.out());
        let container = Container::parse(from, &bytes)?;
        step!("repacked.write").around(|| repack(&container, &meta, layout, out))?;
        let (Placed::Ours(_) | Placed::Theirs(_)) = packing.publish()?;
        Ok(Next::Enough)
    }

    /// Tells the tip and removes the file that is below it. On a full disk it is the file that makes
    /// room for the tip; then a crash between the two leaves it to the next start to tell it.
    fn part_with(&mut self, lock: &PartitionLock, local: LocalObject) -> Result<(), TurnError> {
        let told = self.write_tip(lock);
        let is_full = matches!(&told, Err(TurnError::Spool(error)) if error.is_out_of_space());
        if !is_full {
            told?;
        }
        // Mapped, it would take its room still.
        let (claim, bytes) = local.into_parts();
        drop(bytes);
        claim.done()?;
        if is_full { self.write_tip(lock) } else { Ok(()) }
    }

    fn write_tip(&mut self, lock: &PartitionLock) -> Result<(), TurnError> {
        let Some((_, publisher)) = &self.state.chain else { return Ok(()) };
        let archive = self.shared.io.store().url();
        let tip = TipFile::new(publisher.identity().clone(), archive, *publisher.position());
        self.state.untold = true;
        tips::write(&self.shared.spool, lock, tip)?;
        self.state.untold = false;
        Ok(())
    }
}

/// The one line at INFO that a file makes.
fn say_published(tp: &TopicPartition, range: OffsetRange, published: &Published, url: &str) {
    let Published { object, bytes, .. } = published;
    let (records, ms) =
        (published.records.unwrap_or_default(), published.took_ms.unwrap_or_default());
    let object = format!("{url}/{object}");
    log::info!(
        event = "published", topic = tp.topic.as_str(), partition = tp.partition.get(),
        start = range.start().get(), next = range.next().get(), records, bytes = *bytes, ms,
        object = object.as_str();
        "published {tp} {range}: {records} records, {} in {ms} ms as {object}",
        logging::size(*bytes)
    );
}

fn say_sealed(chain: &ChainId, slot: Slot, continues: Suffix) {
    let name = chain.object(slot.start, slot.suffix);
    log::info!(
        event = "sealed", object:% = name;
        "sealing {name}: the chain goes on as {continues}"
    );
}

fn say_closed(chain: &ChainId, close: &CloseMeta) {
    let CloseMeta { at, next, .. } = close;
    let (by, why) = (next.act.by(), next.act.why());
    log::warn!(
        event = "closed", chain:% = chain;
        "{chain} was closed at {at} by {by} ({why}); the next chain begins at {}", next.first
    );
}
