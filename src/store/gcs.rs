//! Google Cloud Storage.
//!
//! **Credentials** are those of Google's own tools: a file that is named, the one that
//! `GOOGLE_APPLICATION_CREDENTIALS` names, what `gcloud auth application-default login` left, or the
//! metadata server of the machine, the pod, the function. (`object_store` reads files of service
//! accounts and of users; not those of workload identity federation.) Over plain http, which only an
//! emulator is reached by, no token is sent.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::client::HttpConnector as _;
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder};

use super::answers;
use super::bucket::{BucketStore, Habits, client_options, retries};
use super::credentials::{Told, innermost};
use super::error::StoreError;
use super::gcs_client::GcsClient;
use super::http::WatchedConnector;
use crate::url::Bucket;

/// How GCS is reached.
#[derive(Debug, Clone)]
pub struct GcsSettings {
    /// The bucket and where in it; the bucket has to exist.
    pub bucket: Bucket,
    /// Another server than Google's, as an URL; `None` is `STORAGE_EMULATOR_HOST`, if that is set.
    pub endpoint: Option<String>,
    /// A file of credentials; `None` is wherever Google's own tools look.
    pub credentials: Option<PathBuf>,
    /// Storage class of what is created.
    pub storage_class: Option<String>,
}

const GOOGLE: &str = "https://storage.googleapis.com";

const HABITS: Habits =
    Habits { dialect: &answers::GCS, head_is_silent: false, suffix_ranges: true };

const NONE: &str = "no credentials: there is no file of them in the configuration, and Google's own places \
     (GOOGLE_APPLICATION_CREDENTIALS, gcloud's application default, metadata server) ended with";

/// Gets ready to talk to the bucket; asks it nothing yet.
pub(super) fn open(settings: &GcsSettings) -> Result<BucketStore, StoreError> {
    let bucket = &settings.bucket;
    let url = format!("gs://{bucket}");
    let emulator = std::env::var("STORAGE_EMULATOR_HOST").ok().filter(|host| !host.is_empty());
    let base = settings.endpoint.clone().or_else(|| emulator.map(|host| with_scheme(&host)));
    let base = base.as_deref().unwrap_or(GOOGLE).trim_end_matches('/').to_owned();
    let plain = base.starts_with("http://");
    let credentials = if plain { None } else { Some(credentials(settings, &url)?) };
    let http = WatchedConnector::default().connect(&client_options(plain));
    let http = http.map_err(|e| StoreError::Other { name: url.clone(), words: innermost(&e) })?;
    let client = GcsClient::new(http, base, bucket.name.clone(), credentials);
    let store = BucketStore::new(client, HABITS, url, &bucket.prefix)?;
    Ok(store.with_class(settings.storage_class.as_ref()))
}

/// Google's libraries take the emulator's host with and without a scheme.
fn with_scheme(host: &str) -> String {
    if host.contains("://") { host.to_owned() } else { format!("http://{host}") }
}

fn credentials(settings: &GcsSettings, url: &str) -> Result<GcpCredentialProvider, StoreError> {
    let mut builder = match &settings.credentials {
        None => GoogleCloudStorageBuilder::from_env(),
        Some(file) => {
            let file = file.to_string_lossy();
            GoogleCloudStorageBuilder::new().with_application_credentials(file)
        }
    };
    builder = builder
        .with_bucket_name(&settings.bucket.name)
        .with_client_options(client_options(false))
        .with_retry(retries());
    let built = builder.build().map_err(|e| {
        let words = format!("credentials: {}", innermost(&e));
        StoreError::Denied { name: url.to_owned(), words, credentials: true }
    })?;
    Ok(Arc::new(Told::new(Arc::clone(built.credentials()), NONE)))
}
