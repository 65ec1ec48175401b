//! Azure Blob Storage, by `object_store`.
//!
//! One `Put Blob` with `If-None-Match: *` creates an object, of at most 5000 MiB.
//!
//! **Credentials** are those of Azure's own tools: what the configuration says, else a connection
//! string, an account's key or a shared access signature of the environment (`AZURE_STORAGE_...`),
//! else a service principal or a workload identity (`AZURE_CLIENT_ID` and what belongs to it), else
//! the machine's managed identity.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::sync::Arc;

use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};

use super::answers;
use super::bucket::{BucketStore, Habits, client_options, retries};
use super::credentials::{Told, innermost};
use super::error::StoreError;
use super::http::WatchedConnector;
use crate::url::{ArchiveUrl, AzureAccount, Bucket};

/// How Azure is reached. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct AzureSettings {
    /// The container and where in it; the container has to exist.
    pub container: Bucket,
    /// The account, if the URL names it.
    pub account: Option<AzureAccount>,
    /// What else the configuration says; what it leaves out is taken from the environment.
    pub access: AzureAccess,
    /// Access tier of what is created.
    pub tier: Option<String>,
}

/// Who we are, and where the account answers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AzureAccess {
    /// All of it in one line, as the portal gives it.
    pub connection_string: Option<String>,
    /// The storage account.
    pub account: Option<String>,
    /// One of its two keys.
    pub key: Option<String>,
    /// A shared access signature, with or without its question mark.
    pub sas_token: Option<String>,
    /// Another place than `https://ACCOUNT.blob.core.windows.net`, as an URL.
    pub endpoint: Option<String>,
}

impl fmt::Debug for AzureAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection_string: _, account, key: _, sas_token: _, endpoint } = self;
        let mut shown = f.debug_struct("AzureAccess");
        shown.field("account", account).field("endpoint", endpoint).finish_non_exhaustive()
    }
}

const HABITS: Habits =
    Habits { dialect: &answers::AZURE, head_is_silent: false, suffix_ranges: false };

const NONE: &str = "no credentials: there are none in the configuration, and Azure's own places (AZURE_STORAGE_* and \
     AZURE_CLIENT_* of the environment, managed identity) ended with";

/// Gets ready to talk to the container; asks it nothing yet.
pub(super) fn open(settings: &AzureSettings) -> Result<BucketStore, StoreError> {
    let (container, account) = (settings.container.clone(), settings.account.clone());
    let prefix = container.prefix.clone();
    let url = ArchiveUrl::Azure { container, account }.to_string();
    let denied = |words: String| StoreError::Denied { name: url.clone(), words, credentials: true };
    let access = access(settings, &|name| env::var(name).ok()).map_err(denied)?;
    let client = client(settings, &access).map_err(|e| denied(innermost(&e)))?;
    let store = BucketStore::new(client, HABITS, url.clone(), &prefix)?;
    Ok(store.with_class(settings.tier.as_ref()))
}

/// What is known of the account, and whether the rest may come from the environment.
#[derive(Debug, PartialEq, Eq)]
struct Access {
    known: AzureAccess,
    ambient: bool,
    emulator: bool,
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// From URL, configuration, connection string and environment, in this order. The error says what
/// is missing.
fn access(settings: &AzureSettings, variable: Environment<'_>) -> Result<Access, String> {
    let set = |names: &[&str]| names.iter().find_map(|n| variable(n).filter(|v| !v.is_empty()));
    let configured = &settings.access;
    let line = configured.connection_string.clone();
    let explicit = line.is_some() || configured.key.is_some() || configured.sas_token.is_some();
    let line =
        line.or_else(|| if explicit { None } else { set(&["AZURE_STORAGE_CONNECTION_STRING"]) });
    let parts = line.as_deref().map(connection_string).transpose()?.unwrap_or_default();
    let emulator = parts.emulator
        || set(&["AZURE_STORAGE_USE_EMULATOR"]).is_some_and(|on| on.eq_ignore_ascii_case("true"));
    let ambient = !explicit && line.is_none();
    let in_url = settings.account.as_ref();
    let endpoint_of =
        |account: &AzureAccount| format!("https://{}.blob.{}", account.name, account.domain);
    let account = in_url.map(|account| account.name.clone());
    let account = account.or_else(|| configured.account.clone()).or(parts.access.account);
    let account = account.or_else(|| set(&["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"]));
    if account.is_none() && !emulator {
        return Err("no storage account is named: set [azure] azure_storage_account, AZURE_STORAGE_ACCOUNT, or say \
                    az://CONTAINER@ACCOUNT.blob.core.windows.net"
            .to_owned());
    }
    let endpoint = configured.endpoint.clone().or(parts.access.endpoint);
    let key = configured.key.clone().or(parts.access.key);
    let sas_token = configured.sas_token.clone().or(parts.access.sas_token);
    let (key, sas_token) = if ambient {
        let names = ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"];
        (set(&names), set(&["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"]))
    } else {
        (key, sas_token)
    };
    let endpoint = endpoint.or_else(|| in_url.map(endpoint_of));
    let endpoint =
        endpoint.or_else(|| if ambient { set(&["AZURE_STORAGE_ENDPOINT"]) } else { None });
    let known = AzureAccess { connection_string: None, account, key, sas_token, endpoint };
    Ok(Access { known, ambient, emulator })
}

/// What a connection string holds.
#[derive(Default)]
struct Parts {
    access: AzureAccess,
    emulator: bool,
}

/// `AccountName=...;AccountKey=...;EndpointSuffix=...` and the like. Nothing of it is repeated.
fn connection_string(line: &str) -> Result<Parts, String> {
    let mut parts = BTreeMap::new();
    for part in line.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| {
            "the connection string does not read: it is KEY=VALUE, separated by semicolons"
                .to_owned()
        })?;
        parts.insert(key.trim().to_ascii_lowercase(), value.trim());
    }
    let of = |key: &str| parts.get(key).filter(|v| !v.is_empty()).map(|v| (*v).to_owned());
    let account = of("accountname");
    let protocol = of("defaultendpointsprotocol").unwrap_or_else(|| "https".to_owned());
    let suffixed = account.as_ref().zip(of("endpointsuffix"));
    let suffixed =
        suffixed.map(|(account, suffix)| format!("{protocol}://{account}.blob.{suffix}"));
    let endpoint = of("blobendpoint").or(suffixed);
    // A signature's string may name nothing but the place.
    let named = endpoint.as_deref().and_then(|url| url.split_once("://")?.1.split_once('.'));
    let account = account.or_else(|| named.map(|(account, _)| account.to_owned()));
    let emulator = of("usedevelopmentstorage").is_some_and(|on| on.eq_ignore_ascii_case("true"));
    let (key, sas_token) = (of("accountkey"), of("sharedaccesssignature"));
    let access = AzureAccess { connection_string: None, account, key, sas_token, endpoint };
    Ok(Parts { access, emulator })
}

/// Built twice: the first time to learn where credentials come from, so that the second one can say
/// what was missing.
fn client(settings: &AzureSettings, access: &Access) -> object_store::Result<MicrosoftAzure> {
    let first = builder(settings, access).build()?;
    if access.emulator {
        return Ok(first);
    }
    let told = Told::new(Arc::clone(first.credentials()), NONE);
    builder(settings, access).with_credentials(Arc::new(told)).build()
}

fn builder(settings: &AzureSettings, access: &Access) -> MicrosoftAzureBuilder {
    let Access { known, ambient, emulator } = access;
    let mut builder =
        if *ambient { MicrosoftAzureBuilder::from_env() } else { MicrosoftAzureBuilder::new() };
    let plain = known.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
    builder = builder
        .with_container_name(&settings.container.name)
        .with_use_emulator(*emulator)
        .with_client_options(client_options(plain || *emulator))
        .with_retry(retries())
        .with_http_connector(WatchedConnector::default());
    if let Some(account) = &known.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &known.key {
        builder = builder.with_access_key(key);
    }
    if let Some(token) = &known.sas_token {
        builder = builder.with_config(object_store::azure::AzureConfigKey::SasKey, token);
    }
    if let Some(endpoint) = &known.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(access: AzureAccess) -> AzureSettings {
        let container = Bucket { name: "box".to_owned(), prefix: String::new() };
        AzureSettings { container, account: None, access, tier: None }
    }

    fn found(settings: &AzureSettings, variables: &[(&str, &str)]) -> Result<Access, String> {
        let known: BTreeMap<_, _> = variables.iter().copied().collect();
        access(settings, &|name| known.get(name).map(|value| (*value).to_owned()))
    }

    const LINE: &str = "DefaultEndpointsProtocol=https;AccountName=acct1;AccountKey=a2V5==;EndpointSuffix=core.windows.net";

    #[test]
    fn the_environment_says_who_we_are_where_the_configuration_does_not() {
        let nothing = settings(AzureAccess::default());
        assert!(found(&nothing, &[]).unwrap_err().contains("AZURE_STORAGE_ACCOUNT"));
        let Access { known, ambient, .. } =
            found(&nothing, &[("AZURE_STORAGE_ACCOUNT", "acct1"), ("AZURE_STORAGE_KEY", "k")])
                .unwrap();
        assert_eq!(
            (known.account.as_deref(), known.key.as_deref(), ambient),
            (Some("acct1"), Some("k"), true)
        );
        let Access { known, ambient, .. } = found(
            &nothing,
            &[("AZURE_STORAGE_CONNECTION_STRING", LINE), ("AZURE_STORAGE_KEY", "other")],
        )
        .unwrap();
        assert_eq!((known.key.as_deref(), ambient), (Some("a2V5=="), false));
        assert_eq!(known.endpoint.as_deref(), Some("https://acct1.blob.core.windows.net"));
    }

    #[test]
    fn the_configuration_wins_and_is_not_mixed_with_the_environment() {
        let own = AzureAccess {
            account: Some("mine1".to_owned()),
            sas_token: Some("?sv=1".to_owned()),
            ..AzureAccess::default()
        };
        let around = [
            ("AZURE_STORAGE_CONNECTION_STRING", LINE),
            ("AZURE_STORAGE_KEY", "k"),
            ("AZURE_STORAGE_ACCOUNT", "x"),
        ];
        let Access { known, ambient, .. } = found(&settings(own.clone()), &around).unwrap();
        assert_eq!((known, ambient), (own, false));
    }

    #[test]
    fn an_account_of_the_url_says_where_it_answers() {
        let account =
            AzureAccount { name: "acct1".to_owned(), domain: "core.chinacloudapi.cn".to_owned() };
        let named = AzureSettings { account: Some(account), ..settings(AzureAccess::default()) };
        let Access { known, .. } = found(&named, &[("AZURE_STORAGE_ACCOUNT", "other")]).unwrap();
        assert_eq!(known.account.as_deref(), Some("acct1"));
        assert_eq!(known.endpoint.as_deref(), Some("https://acct1.blob.core.chinacloudapi.cn"));
    }

    #[test]
    fn connection_strings_read_and_are_not_repeated() {
        let parts = connection_string("UseDevelopmentStorage=true;").unwrap();
        assert!(parts.emulator);
        let parts = connection_string(
            "BlobEndpoint=https://acct1.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x%3D",
        )
        .unwrap();
        assert_eq!(parts.access.account.as_deref(), Some("acct1"));
        assert_eq!(parts.access.sas_token.as_deref(), Some("sv=1&sig=x%3D"));
        let wrong = connection_string("hunter2").map(drop).unwrap_err();
        assert!(!wrong.contains("hunter2"), "{wrong}");
        let shown = format!(
            "{:?}",
            settings(AzureAccess {
                connection_string: Some("hunter2".to_owned()),
                key: Some("hunter2".to_owned()),
                sas_token: Some("hunter2".to_owned()),
                ..AzureAccess::default()
            })
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
