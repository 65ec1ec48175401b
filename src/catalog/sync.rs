//! Makes the whole table what the archive says.
//!
//! May run while files are being archived: the rows are read before the objects are listed, and a
//! file has its row only after it is there, so no row of a new file is ever taken for one too many.

use std::collections::BTreeMap;

use super::database::Catalog;
use super::rows::{Plan, compare, part_of, row_of};
use super::{CatalogError, Part, Row};
use crate::archive::{Archive, ArchiveError, Entries};
use crate::store::names::ChainId;

/// So many rows are entered at once.
const BATCH: usize = 100;

/// What is to be done and what not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Nothing is changed.
    pub dry_run: bool,
    /// Rows of no object stay.
    pub keep: bool,
}

/// What became of a partition's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Whose.
    pub part: Part,
    /// Rows that are right now.
    pub rows: usize,
    /// Rows that were entered or corrected (that would be: those of objects that would be read).
    pub entered: usize,
    /// Rows of no object, by their starts.
    pub extra: Vec<u64>,
}

/// Why it could not be brought to its end. What was done before stays, and is right.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The database.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The archive, or an object of it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Partition by partition; `told` hears of each before anything of it is changed.
pub async fn sync(
    archive: &Archive,
    catalog: &mut Catalog,
    rules: Rules,
    told: &mut dyn FnMut(&Part, &Plan),
) -> Result<Vec<Synced>, SyncError> {
    let mut known: BTreeMap<Part, Option<ChainId>> =
        catalog.parts().await?.into_iter().map(|part| (part, None)).collect();
    for chain in chains(archive).await? {
        known.insert(part_of(&chain), Some(chain));
    }
    let mut all = Vec::new();
    for (part, chain) in known {
        all.push(partition(archive, catalog, rules, (part, chain), told).await?);
    }
    Ok(all)
}

/// Every chain of the archive, of all generations.
async fn chains(archive: &Archive) -> Result<Vec<ChainId>, ArchiveError> {
    let mut chains = Vec::new();
    for topic in archive.topics().await? {
        for name in topic.chains() {
            let one = archive.topic(&format!("{}@{}", name.topic(), name.generation())).await?;
            for partition in one.partitions().await? {
                chains.push(partition.chain().clone());
            }
        }
    }
    Ok(chains)
}

async fn partition(
    archive: &Archive,
    catalog: &mut Catalog,
    rules: Rules,
    (part, chain): (Part, Option<ChainId>),
    told: &mut dyn FnMut(&Part, &Plan),
) -> Result<Synced, SyncError> {
    let kept = catalog.rows(&part).await?;
    let entries = match &chain {
        Some(chain) => {
            let entries = Entries::listed(&**archive.store(), chain, &[]).await;
            entries.map_err(ArchiveError::from)?
        }
        None => Entries::default(),
    };
    let plan = compare(entries.chain(), &kept);
    told(&part, &plan);
    let extra = plan.extra.iter().map(|start| start.get()).collect();
    let mut entered = plan.missing.len();
    if !rules.dry_run {
        entered = match &chain {
            Some(chain) => enter(archive, catalog, chain, &plan).await?,
            None => 0,
        };
        if !rules.keep {
            catalog.remove(&part, &plan.extra).await?;
        }
    }
    let rows = if rules.dry_run {
        kept.len() - plan.extra.len()
    } else {
        catalog.rows(&part).await?.len()
    };
    Ok(Synced { part, rows, entered, extra })
}

/// Reads and enters what is missing.
async fn enter(
    archive: &Archive,
    catalog: &mut Catalog,
    chain: &ChainId,
    plan: &Plan,
) -> Result<usize, SyncError> {
    let mut entered = 0;
    for batch in plan.missing.chunks(BATCH) {
        let mut rows: Vec<Row> = Vec::new();
        for entry in batch {
            rows.extend(row_of(&**archive.store(), chain, entry).await?);
        }
        catalog.put(&rows).await?;
        entered += rows.len();
    }
    Ok(entered)
}
