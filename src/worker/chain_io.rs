//! Carries out what the chain's machines ask of the store, one question after another.
//!
//! Shared by consumer and uploader. A store error ends a search; whoever wants to know asks
//! anew later, which is safe because the machines keep nothing that the store does not.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::chain::locate::{Answer, Ask, Genesis, Hints, Outcome};
use crate::chain::succession::{Next, Question, Search};
use crate::chain::{Seen, Slot};
use crate::codec;
use crate::fail::{Step, step};
use crate::meta::{ChainRecord, Identity, MetaMap, ObjectMeta};
use crate::store::names::{self, ChainId, ChainName, Folder, Parsed};
use crate::store::{Store, StoreError, ask};

/// The store, asked in the chain's terms.
#[derive(Debug, Clone)]
pub(crate) struct ChainIo {
    store: Arc<dyn Store>,
    /// Whether a recreated topic gets a second chain (`on_topic_recreated = new_chain`).
    new_chains: bool,
}

/// Which chain a partition's files belong to, and where it ends.
#[derive(Debug)]
pub(crate) struct Located {
    /// The chain.
    pub(crate) chain: ChainId,
    /// What was found.
    pub(crate) outcome: Outcome,
}

/// Chains that there were in the archive when it was looked at.
#[derive(Debug)]
pub(crate) struct Known(HashSet<ChainName>);

impl Known {
    fn has(&self, chain: &ChainName) -> bool {
        self.0.contains(chain)
    }
}

impl ChainIo {
    pub(crate) fn new(store: Arc<dyn Store>, new_chains: bool) -> Self {
        Self { store, new_chains }
    }

    /// The same store under another rule for recreated topics.
    pub(crate) fn with_new_chains(&self, new_chains: bool) -> Self {
        Self { store: Arc::clone(&self.store), new_chains }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Which chains there are in the archive, for who is about to look for the ends of many.
    pub(crate) async fn known(&self) -> Result<Known, StoreError> {
        let folders = self.store.folders(&Folder::root()).await?;
        Ok(Known(folders.iter().filter_map(|folder| ChainName::parse(folder.as_str())).collect()))
    }

    /// Finds the chain of `identity` and its tip; `genesis` is where to begin one, if there is
    /// none. Chains that are over, and those of the topic's earlier life, are passed over.
    pub(crate) async fn locate(
        &self,
        identity: &Identity,
        hints: &Hints,
        genesis: Option<Genesis>,
    ) -> Result<Located, StoreError> {
        self.locate_among(None, identity, hints, genesis).await
    }

    /// The same; whether a chain has a successor is not asked where `known` says that there is
    /// none. One that was begun since is found when the partition is looked for again, before
    /// anything is uploaded: uploaders ask for themselves.
    pub(crate) async fn locate_among(
        &self,
        mut known: Option<&Known>,
        identity: &Identity,
        hints: &Hints,
        genesis: Option<Genesis>,
    ) -> Result<Located, StoreError> {
        let chain = |generation| {
            ChainName::new(identity.topic.clone(), generation).partition(identity.partition)
        };
        let mut search = Search::new(identity.clone(), hints.clone(), genesis, self.new_chains);
        let mut next = search.start();
        loop {
            match next {
                // Once only: who was told something else since has to see what is there now.
                Next::Ask(Question { generation, ask: Ask::Record })
                    if generation > 1
                        && known
                            .take()
                            .is_some_and(|known| !known.has(chain(generation).name())) =>
                {
                    next = search.feed(Answer::Record(None));
                }
                Next::Ask(Question { generation, ask }) => {
                    next = search.feed(self.answer(&chain(generation), ask).await?);
                }
                Next::Done { generation, outcome } => {
                    return Ok(Located { chain: chain(generation), outcome });
                }
            }
        }
    }

    async fn answer(&self, chain: &ChainId, ask: Ask) -> Result<Answer, StoreError> {
        Ok(match ask {
            Ask::Record => match self.record(chain).await? {
                Ok(record) => Answer::Record(record),
                Err(what) => Answer::Unreadable(what),
            },
            Ask::CreateRecord(record) => {
                let step = step!("chain_record.put");
                Answer::Created(self.create_record(chain, &record, step).await?)
            }
            Ask::Head(slot) => Answer::Head(self.head(chain, slot).await?),
            Ask::List => Answer::Listed(self.slots(chain).await?),
        })
    }

    /// The chain's identity record, if there is one; or what is wrong with it.
    pub(crate) async fn record(
        &self,
        chain: &ChainId,
    ) -> Result<Result<Option<ChainRecord>, String>, StoreError> {
        let name = chain.record();
        let asked = ask(step!("chain_record.get"), self.store.get(&name)).await?;
        let Some(bytes) = asked else { return Ok(Ok(None)) };
        let read = serde_json::from_slice(&bytes);
        Ok(read.map(Some).map_err(|error| format!("{}/{name}: {error}", self.store.url())))
    }

    /// Creates the identity record if there is none; whether this very call certainly did.
    pub(crate) async fn create_record(
        &self,
        chain: &ChainId,
        record: &ChainRecord,
        step: Step,
    ) -> Result<bool, StoreError> {
        let name = chain.record();
        let text = serde_json::to_vec_pretty(record)
            .map_err(|e| StoreError::Other { name: name.to_string(), words: e.to_string() })?;
        let (body, meta) = (vec![Bytes::from(text)], MetaMap::new());
        let created = self.store.create(&name, body, &meta);
        match ask(step, created).await {
            Ok(()) => Ok(true),
            Err(StoreError::Exists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What stands at `slot`.
    pub(crate) async fn head(&self, chain: &ChainId, slot: Slot) -> Result<Seen, StoreError> {
        let name = chain.object(slot.start, slot.suffix);
        Ok(match ask(step!("object.head"), self.store.look(&name)).await? {
            None => Seen::Absent,
            Some(info) => match ObjectMeta::from_map(&info.meta) {
                Ok(meta) => Seen::Ours(Box::new(meta)),
                Err(error) => Seen::Foreign(error.to_string()),
            },
        })
    }

    async fn slots(&self, chain: &ChainId) -> Result<Vec<Slot>, StoreError> {
        let folder = chain.folder();
        let listed = ask(step!("object.list"), self.store.list(&folder, None)).await?;
        let objects = listed.iter().filter_map(|entry| match names::parse(&entry.name) {
            Parsed::Object { start, suffix, .. } => Some(Slot { start, suffix }),
            _ => None,
        });
        Ok(objects.collect())
    }

    /// Creates a seal or closing seal; what is returned is why it is not certain that it stands.
    pub(crate) async fn put_seal(
        &self,
        chain: &ChainId,
        slot: Slot,
        meta: &ObjectMeta,
        step: Step,
    ) -> std::io::Result<Option<StoreError>> {
        let meta = meta.to_map();
        let body = codec::seal(slot.suffix, slot.start, &meta)?;
        let name = chain.object(slot.start, slot.suffix);
        let created = self.store.create(&name, vec![Bytes::from(body)], &meta);
        Ok(ask(step, created).await.err())
    }
}
