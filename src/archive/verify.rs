//! Goes through whole chains and keeps their ledgers.
//!
//! Chains are listed a few ahead, objects are looked at many at once and entered in the order of
//! their names. Downloads are driven by the calling task; bodies are unpacked and checked on the
//! runtime's blocking threads, so that all cores have work.
//!
//! **Memory.** At most `jobs` bodies are under way, each with two pieces of 4 MiB (or of one frame,
//! where that is longer), one unpacked frame (about 1 MiB, more only where a single record is
//! larger) and its tail. To that come the listings of a few chains, some 200 bytes an object, and
//! what is said of each damage and each gap.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::Semaphore;

use super::elder::SurveyError;
use super::ledger::{Account, Elders, Ledger, Looked, Root, Seen, check_join, check_succession};
use super::look::look;
use super::summary::folder_of;
use super::{Elder, Entry, Layout, Partition};
use crate::store::names::{ChainId, Name};

/// How many chains are listed ahead of the objects that are looked at.
const LISTED_AHEAD: usize = 8;
/// Objects that wait for one before them, for each that is looked at.
const WAITING: usize = 4;

/// Is told how it goes.
pub trait Watch: Sync {
    /// So many more objects, with so many bytes, are to be looked at.
    fn listed(&self, objects: u64, bytes: u64);
    /// So many more bytes were looked at.
    fn read(&self, bytes: u64);
    /// One more object was looked at.
    fn looked(&self);
}

/// What comes out of the listings, in order.
enum Item {
    Begin(ChainId, Root, Vec<Name>),
    Unlisted(ChainId, String),
    Object(Entry),
    Looked(Entry, Looked),
    /// What another tool archived, before the chain.
    BeginElders(ChainId, Layout, String, Vec<Name>),
    Elder(Partition, Elder),
    Seen(Elder, Seen),
}

/// The accounts of `chains`, in their order, which has to be that of
/// [`Topic::all_chains`](super::Topic::all_chains). With `bodies` every byte is read, else names,
/// metadata and trailers only. `jobs` objects are looked at at once.
pub async fn verify(
    chains: &[Partition],
    bodies: bool,
    jobs: usize,
    watch: &dyn Watch,
) -> Vec<Account> {
    let slots = Semaphore::new(jobs);
    let Some(store) = chains.first().map(|chain| chain.archive().store()) else {
        return Vec::new();
    };
    let look_at = async |item: Item| {
        // Never closed.
        let _slot = slots.acquire().await;
        let told = AtomicU64::new(0);
        let read = |bytes| {
            told.fetch_add(bytes, Relaxed);
            watch.read(bytes);
        };
        let (item, size) = match item {
            Item::Object(entry) => {
                let (looked, size) = (look(&**store, &entry, bodies, &read).await, entry.size);
                (Item::Looked(entry, looked), size)
            }
            Item::Elder(partition, elder) => {
                let seen = if bodies { see(&partition, &elder, &read).await } else { Seen::Name };
                let size = elder.size;
                (Item::Seen(elder, seen), size)
            }
            item => return item,
        };
        // Its tail, and what of a damaged one was not read.
        watch.read(size.saturating_sub(told.load(Relaxed)));
        watch.looked();
        item
    };
    let mut looked = std::pin::pin!(
        stream::iter(chains)
            .map(|chain| begin(chain, watch))
            .buffered(LISTED_AHEAD)
            .flat_map(stream::iter)
            .map(look_at)
            .buffered(jobs.saturating_mul(WAITING))
    );
    let mut accounts = Accounts::default();
    while let Some(item) = looked.next().await {
        accounts.take(item);
    }
    accounts.finish()
}

/// A chain's listing and its identity record.
async fn begin(partition: &Partition, watch: &dyn Watch) -> Vec<Item> {
    let chain = partition.chain().clone();
    let entries = match partition.entries().await {
        Ok(entries) => entries,
        Err(error) => return vec![Item::Unlisted(chain, error.to_string())],
    };
    let sizes = entries.chain().iter().map(|entry| entry.size);
    let bytes = sizes.chain(entries.elders().iter().map(|elder| elder.size));
    let objects = entries.chain().len() + entries.elders().len();
    watch.listed(u64::try_from(objects).unwrap_or(u64::MAX), bytes.fold(0, u64::saturating_add));
    let mut foreign: Vec<Name> = entries.foreign().iter().map(|line| line.name.clone()).collect();
    let mut items = Vec::new();
    let own = entries.elders().is_empty() || entries.has_record() || !entries.chain().is_empty();
    for layout in [Layout::Original, Layout::KafkaStore] {
        let of = |elder: &&Elder| elder.layout == layout;
        let elders: Vec<&Elder> = entries.elders().iter().filter(of).collect();
        if elders.is_empty() {
            continue;
        }
        // Of the chain, if there is one, else of the first of these.
        let strange = if own { Vec::new() } else { std::mem::take(&mut foreign) };
        items.push(Item::BeginElders(chain.clone(), layout, folder_of(&elders), strange));
        items.extend(elders.into_iter().map(|e| Item::Elder(partition.clone(), e.clone())));
    }
    if own {
        let root = partition.root(entries.has_record()).await;
        items.push(Item::Begin(chain, root, foreign));
        items.extend(entries.into_chain().into_iter().map(Item::Object));
    }
    items
}

/// Reads a file of another tool's.
async fn see(partition: &Partition, elder: &Elder, read: &(dyn Fn(u64) + Sync)) -> Seen {
    match partition.look_at_elder(elder, read).await {
        Ok(found) => Seen::Whole(found),
        Err(SurveyError::Wrong(error)) => Seen::Wrong(error.fault(), error.to_string()),
        Err(error) => Seen::Unseen(error.to_string()),
    }
}

/// The ledgers, one after the other.
#[derive(Default)]
struct Accounts {
    open: Option<(ChainId, Ledger)>,
    /// Of what another tool archived.
    elders: Option<Elders>,
    /// Of the partition at hand: what other tools archived, and its chains.
    before: Vec<Account>,
    partition: Vec<Account>,
    at: Option<ChainId>,
    done: Vec<Account>,
}

impl Accounts {
    fn take(&mut self, item: Item) {
        match item {
            Item::Begin(chain, root, foreign) => {
                let ledger = self.open(chain, root);
                for name in &foreign {
                    ledger.foreign(name);
                }
            }
            Item::Unlisted(chain, why) => {
                let folder = chain.to_string();
                self.open(chain, Root::Unseen(why.clone())).unseen(&folder, why);
            }
            Item::Looked(entry, looked) => {
                if let Some((_, ledger)) = &mut self.open {
                    ledger.object(entry, looked);
                }
            }
            Item::BeginElders(chain, layout, folder, foreign) => {
                self.turn_to(chain);
                let ledger = self.elders.insert(Elders::new(layout, folder));
                for name in &foreign {
                    ledger.foreign(name);
                }
            }
            Item::Seen(elder, seen) => {
                if let Some(ledger) = &mut self.elders {
                    ledger.file(&elder, seen);
                }
            }
            // Every one of them was looked at.
            Item::Object(_) | Item::Elder(..) => {}
        }
    }

    fn open(&mut self, chain: ChainId, root: Root) -> &mut Ledger {
        self.turn_to(chain.clone());
        &mut self.open.insert((chain.clone(), Ledger::new(chain, root))).1
    }

    fn turn_to(&mut self, chain: ChainId) {
        self.close();
        let same = self.at.as_ref().is_some_and(|at| {
            at.partition() == chain.partition() && at.name().topic() == chain.name().topic()
        });
        if !same {
            self.close_partition();
        }
        self.at = Some(chain);
    }

    fn close(&mut self) {
        self.before.extend(self.elders.take().map(Elders::finish));
        self.partition.extend(self.open.take().map(|(_, ledger)| ledger.finish()));
    }

    fn close_partition(&mut self) {
        let furthest = self.before.iter_mut().max_by_key(|elders| elders.tip);
        if let (Some(elders), Some(chain)) = (furthest, self.partition.first()) {
            check_join(elders, chain);
        }
        check_succession(&mut self.partition);
        self.done.append(&mut self.before);
        self.done.append(&mut self.partition);
    }

    fn finish(mut self) -> Vec<Account> {
        self.close();
        self.close_partition();
        self.done
    }
}

impl Partition {
    /// What its identity record turns out to be; not asked for where the listing has `none` of it.
    pub(super) async fn root(&self, listed: bool) -> Root {
        if !listed {
            return Root::Absent;
        }
        let found = match self.archive().store().get(&self.chain().record()).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Root::Absent,
            Err(error) => return Root::Unseen(error.to_string()),
        };
        match serde_json::from_slice::<crate::meta::ChainRecord>(&found) {
            Ok(record) if record.layout == 1 => Root::Found(Box::new(record)),
            Ok(record) => Root::Unseen(format!(
                "layout {} is not known here (this version reads 1): use a newer kafkatos3",
                record.layout
            )),
            Err(error) => Root::Unreadable(error.to_string()),
        }
    }
}
