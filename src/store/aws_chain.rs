//! Credentials and region from where AWS's own tools take them: environment, profiles in
//! `~/.aws`, web identity, container and instance.
//!
//! Asked only when needed, and kept until shortly before they expire. Nothing here is printed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use super::credentials::{NoCredentials, innermost};

/// Credentials are renewed so long before they end.
const RENEW_BEFORE: Duration = Duration::from_mins(5);

/// What the log and `check` say where the chain ends with nothing.
fn no_credentials(why: &str) -> NoCredentials {
    NoCredentials(format!(
        "no credentials: there are no keys in the configuration, and AWS's chain (environment, \
         profile, web identity, container, instance) ended with: {why}"
    ))
}

struct Kept {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
}

impl Kept {
    fn holds_for(&self, time: Duration) -> bool {
        self.expires.is_none_or(|end| SystemTime::now() + time < end)
    }
}

/// AWS's chain as `object_store` wants it.
pub(super) struct AwsChain {
    provider: Option<SharedCredentialsProvider>,
    region: Option<String>,
    kept: Mutex<Option<Kept>>,
}

impl AwsChain {
    /// Reads profiles and environment; credentials are asked for at the first request. A `region`
    /// that is known spares the search for one.
    pub(super) async fn load(region: Option<&str>) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(aws_config::Region::new(region.to_owned()));
        }
        let config: SdkConfig = loader.load().await;
        Self {
            provider: config.credentials_provider(),
            region: config.region().map(ToString::to_string),
            kept: Mutex::new(None),
        }
    }

    /// The region that was given or found.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    async fn ask(&self) -> Result<Kept, NoCredentials> {
        let none = || no_credentials("no source is configured");
        let provider = self.provider.as_ref().ok_or_else(none)?;
        let found = provider.provide_credentials().await;
        let found = found.map_err(|e| no_credentials(&innermost(&e)))?;
        Ok(Kept {
            credential: Arc::new(AwsCredential {
                key_id: found.access_key_id().to_owned(),
                secret_key: found.secret_access_key().to_owned(),
                token: found.session_token().map(ToOwned::to_owned),
            }),
            expires: found.expiry(),
        })
    }
}

impl fmt::Debug for AwsChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsChain").field("region", &self.region).finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for AwsChain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        if let Some(known) = kept.as_ref().filter(|known| known.holds_for(RENEW_BEFORE)) {
            return Ok(Arc::clone(&known.credential));
        }
        match (self.ask().await, kept.as_ref()) {
            (Ok(fresh), _) => {
                let credential = Arc::clone(&fresh.credential);
                *kept = Some(fresh);
                Ok(credential)
            }
            // Not renewed in time: what is still good for a request goes on being used.
            (Err(_), Some(known)) if known.holds_for(Duration::ZERO) => {
                Ok(Arc::clone(&known.credential))
            }
            (Err(e), _) => {
                let source = Box::new(e);
                Err(object_store::Error::Generic { store: "credentials", source })
            }
        }
    }
}
