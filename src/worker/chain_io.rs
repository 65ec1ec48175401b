//! Carries out what the chain's machines ask of the store, one question after another.
//!
//! Shared by consumer and uploader. A store error ends a search; whoever wants to know asks
//! anew later, which is safe because the machines keep nothing that the store does not.

use std::sync::Arc;

use bytes::Bytes;

use crate::chain::locate::{Answer, Ask, Hints, Locator, Outcome, Step};
use crate::chain::{Seen, Slot};
use crate::meta::{ChainRecord, Identity, MetaMap, ObjectMeta};
use crate::store::names::{self, ChainId, ChainName, Parsed};
use crate::store::{Store, StoreError};
use crate::types::{Offset, Suffix};

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

    /// Finds the chain of `identity` and its tip; `genesis` is where to begin one, if there is
    /// none. A chain of the topic's earlier life is passed over if the settings say so.
    pub(crate) async fn locate(
        &self,
        identity: &Identity,
        hints: &Hints,
        genesis: Option<(Offset, Suffix)>,
    ) -> Result<Located, StoreError> {
        let mut name = ChainName::first(identity.topic.clone());
        loop {
            let chain = name.clone().partition(identity.partition);
            let locator = Locator::new(identity.clone(), hints.clone(), genesis);
            let outcome = self.search(&chain, locator).await?;
            match &outcome {
                Outcome::Stop(stop) if stop.is_recreated() && self.new_chains => {
                    name = name.successor();
                }
                _ => return Ok(Located { chain, outcome }),
            }
        }
    }

    async fn search(&self, chain: &ChainId, mut locator: Locator) -> Result<Outcome, StoreError> {
        let mut step = locator.start();
        loop {
            match step {
                Step::Ask(ask) => step = locator.feed(self.answer(chain, ask).await?),
                Step::Done(outcome) => return Ok(outcome),
            }
        }
    }

    async fn answer(&self, chain: &ChainId, ask: Ask) -> Result<Answer, StoreError> {
        Ok(match ask {
            Ask::Record => self.record(chain).await?,
            Ask::CreateRecord(record) => Answer::Created(self.create_record(chain, &record).await?),
            Ask::Head(slot) => Answer::Head(self.head(chain, slot).await?),
            Ask::List => Answer::Listed(self.slots(chain).await?),
        })
    }

    async fn record(&self, chain: &ChainId) -> Result<Answer, StoreError> {
        let name = chain.record();
        let Some(bytes) = self.store.get(&name).await? else { return Ok(Answer::Record(None)) };
        Ok(match serde_json::from_slice(&bytes) {
            Ok(record) => Answer::Record(Some(record)),
            Err(error) => Answer::Unreadable(format!("{}/{name}: {error}", self.store.url())),
        })
    }

    async fn create_record(
        &self,
        chain: &ChainId,
        record: &ChainRecord,
    ) -> Result<bool, StoreError> {
        let name = chain.record();
        let text = serde_json::to_vec_pretty(record)
            .map_err(|e| StoreError::Other { name: name.to_string(), words: e.to_string() })?;
        match self.store.create(&name, vec![Bytes::from(text)], &MetaMap::new()).await {
            Ok(()) => Ok(true),
            Err(StoreError::Exists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What stands at `slot`.
    pub(crate) async fn head(&self, chain: &ChainId, slot: Slot) -> Result<Seen, StoreError> {
        let name = chain.object(slot.start, slot.suffix);
        Ok(match self.store.head(&name).await? {
            None => Seen::Absent,
            Some(info) => match ObjectMeta::from_map(&info.meta) {
                Ok(meta) => Seen::Ours(Box::new(meta)),
                Err(error) => Seen::Foreign(error.to_string()),
            },
        })
    }

    async fn slots(&self, chain: &ChainId) -> Result<Vec<Slot>, StoreError> {
        let listed = self.store.list(&chain.folder(), None).await?;
        let objects = listed.iter().filter_map(|entry| match names::parse(&entry.name) {
            Parsed::Object { start, suffix, .. } => Some(Slot { start, suffix }),
            _ => None,
        });
        Ok(objects.collect())
    }
}
