//! Opens the configuration's archive for a worker.

use std::sync::Arc;

use super::Exit;
use crate::archive;
use crate::config::ArchiveTarget;
use crate::store::Store;

/// Opens the archive's store; nothing is asked of an object store yet.
pub(crate) async fn open(target: &ArchiveTarget) -> Result<Arc<dyn Store>, Exit> {
    archive::open_store(target).await.map_err(Exit::store)
}
