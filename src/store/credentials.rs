//! Credentials as `object_store` finds them, with a word on what was missing.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;

/// There are no credentials, or none that the cloud gave a token for: why, and where was looked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoCredentials(pub(super) String);

/// A provider whose failures are told from those of the store: [`NoCredentials`], with `why` before
/// the reason.
pub(super) struct Told<C> {
    provider: Arc<dyn CredentialProvider<Credential = C>>,
    why: &'static str,
}

impl<C> Told<C> {
    pub(super) fn new(
        provider: Arc<dyn CredentialProvider<Credential = C>>,
        why: &'static str,
    ) -> Self {
        Self { provider, why }
    }
}

impl<C> fmt::Debug for Told<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: fmt::Debug + Send + Sync + 'static> CredentialProvider for Told<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        self.provider.get_credential().await.map_err(|e| {
            let source = Box::new(NoCredentials(format!("{}: {}", self.why, innermost(&e))));
            object_store::Error::Generic { store: "credentials", source }
        })
    }
}

/// The cause at the bottom says most; the layers above it only name themselves.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
