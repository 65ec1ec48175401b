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

use super::ledger::{Account, Ledger, Looked, Root, check_succession};
use super::look::look;
use super::{Entry, Partition};
use crate::store::names::ChainId;

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
    Begin(ChainId, Root, Vec<crate::store::names::Name>),
    Unlisted(ChainId, String),
    Object(Entry),
    Looked(Entry, Looked),
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
    let look_at = async |entry: Entry| {
        // Never closed.
        let _slot = slots.acquire().await;
        let told = AtomicU64::new(0);
        let read = |bytes| {
            told.fetch_add(bytes, Relaxed);
            watch.read(bytes);
        };
        let looked = look(&**store, &entry, bodies, &read).await;
        // Its tail, and what of a damaged one was not read.
        watch.read(entry.size.saturating_sub(told.load(Relaxed)));
        watch.looked();
        Item::Looked(entry, looked)
    };
    let mut looked = std::pin::pin!(
        stream::iter(chains)
            .map(|chain| begin(chain, watch))
            .buffered(LISTED_AHEAD)
            .flat_map(stream::iter)
            .map(async |item| match item {
                Item::Object(entry) => look_at(entry).await,
                item => item,
            })
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
    let root = partition.root(entries.has_record()).await;
    let foreign = entries.foreign().iter().map(|line| line.name.clone()).collect();
    let bytes = entries.chain().iter().map(|entry| entry.size).fold(0, u64::saturating_add);
    watch.listed(u64::try_from(entries.chain().len()).unwrap_or(u64::MAX), bytes);
    let mut items = vec![Item::Begin(chain, root, foreign)];
    items.extend(entries.into_chain().into_iter().map(Item::Object));
    items
}

/// The ledgers, one after the other.
#[derive(Default)]
struct Accounts {
    open: Option<(ChainId, Ledger)>,
    /// Of the partition at hand.
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
            // Every one of them was looked at.
            Item::Object(_) => {}
        }
    }

    fn open(&mut self, chain: ChainId, root: Root) -> &mut Ledger {
        self.close();
        let same = self.at.as_ref().is_some_and(|at| {
            at.partition() == chain.partition() && at.name().topic() == chain.name().topic()
        });
        if !same {
            self.close_partition();
        }
        self.at = Some(chain.clone());
        &mut self.open.insert((chain.clone(), Ledger::new(chain, root))).1
    }

    fn close(&mut self) {
        self.partition.extend(self.open.take().map(|(_, ledger)| ledger.finish()));
    }

    fn close_partition(&mut self) {
        check_succession(&mut self.partition);
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
