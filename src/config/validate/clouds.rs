//! `[gcs]` and `[azure]`: how a bucket of another cloud is reached.

use std::path::PathBuf;

use super::super::keys::{self, Key};
use super::super::secret::Secret;
use super::super::typed::{ArchiveTarget, AzureTarget, GcsTarget};
use super::archive::endpoint;
use super::checker::Checker;
use crate::url::{AzureAccount, Bucket, is_azure_account};

/// All of `[gcs]`.
pub(super) const GCS: &[&Key] =
    &[&keys::GCS_CREDENTIALS_FILE, &keys::GCS_ENDPOINT, &keys::GCS_STORAGE_CLASS];

/// All of `[azure]`.
pub(super) const AZURE: &[&Key] = &[
    &keys::AZURE_STORAGE_ACCOUNT,
    &keys::AZURE_STORAGE_KEY,
    &keys::AZURE_STORAGE_SAS_TOKEN,
    &keys::AZURE_STORAGE_CONNECTION_STRING,
    &keys::AZURE_STORAGE_ENDPOINT,
    &keys::AZURE_ACCESS_TIER,
];

const ENDPOINT: &str = "https://HOST:PORT or http://HOST:PORT";

pub(super) fn gcs(check: &mut Checker<'_>, bucket: Bucket) -> Option<ArchiveTarget> {
    let credentials =
        check.optional(&keys::GCS_CREDENTIALS_FILE, "the whole path of a file", |text| {
            let path = PathBuf::from(text);
            path.is_absolute().then_some(path)
        });
    let endpoint = check.optional(&keys::GCS_ENDPOINT, ENDPOINT, endpoint);
    let known = ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"];
    let storage_class = check.optional(
        &keys::GCS_STORAGE_CLASS,
        "one of STANDARD, NEARLINE, COLDLINE, ARCHIVE",
        |text| {
            known.into_iter().find(|class| text.eq_ignore_ascii_case(class)).map(ToOwned::to_owned)
        },
    );
    Some(ArchiveTarget::Gcs(GcsTarget {
        bucket,
        credentials: credentials?,
        endpoint: endpoint?,
        storage_class: storage_class?,
    }))
}

pub(super) fn azure(
    check: &mut Checker<'_>,
    container: Bucket,
    url_account: Option<AzureAccount>,
) -> Option<ArchiveTarget> {
    let account = check.optional(
        &keys::AZURE_STORAGE_ACCOUNT,
        "the name of a storage account: 3 to 24 of a-z 0-9",
        |text| is_azure_account(text).then(|| text.to_owned()),
    );
    if let (Some(Some(account)), Some(url)) = (&account, &url_account)
        && *account != url.name
    {
        let what = format!("[archive] url names another account, {}", url.name);
        check.problem(&keys::AZURE_STORAGE_ACCOUNT, what, "remove one of them");
    }
    let endpoint = check.optional(
        &keys::AZURE_STORAGE_ENDPOINT,
        "https://HOST or http://HOST:PORT, perhaps with the account as its path",
        azure_endpoint,
    );
    let tier = tier(check);
    let ways = [
        &keys::AZURE_STORAGE_KEY,
        &keys::AZURE_STORAGE_SAS_TOKEN,
        &keys::AZURE_STORAGE_CONNECTION_STRING,
    ];
    let given: Vec<&&Key> = ways.iter().filter(|key| check.is_set(key)).collect();
    if let [first, second, ..] = given[..] {
        let what = format!("{} says already who we are", first.name);
        check.problem(second, what, "remove one of them");
        return None;
    }
    let read = |key| check.peek(key).filter(|text| !text.is_empty()).map(Secret::new);
    let [key, sas_token, connection_string] = ways.map(read);
    Some(ArchiveTarget::Azure(AzureTarget {
        container,
        url_account,
        account: account?,
        key,
        sas_token,
        connection_string,
        endpoint: endpoint?,
        tier: tier?,
    }))
}

#[expect(clippy::option_option, reason = "outside: wrong, inside: the account's own")]
fn tier(check: &mut Checker<'_>) -> Option<Option<String>> {
    let key = &keys::AZURE_ACCESS_TIER;
    let known = ["Hot", "Cool", "Cold", "Archive"];
    let tier = check.optional(key, "one of Hot, Cool, Cold, Archive", |text| {
        known.into_iter().find(|tier| text.eq_ignore_ascii_case(tier)).map(ToOwned::to_owned)
    })?;
    if tier.as_deref() == Some("Archive") {
        let what = "blobs of this tier can't be read until they are rehydrated";
        check.warning(key, what, "Cold can be read at once");
    }
    Some(tier)
}

/// An account of an emulator is part of the path; everywhere else it is part of the host.
fn azure_endpoint(text: &str) -> Option<String> {
    let (place, account) = match text.split_once("://").and_then(|(_, rest)| rest.split_once('/')) {
        Some((_, account)) if !account.is_empty() => {
            (text.strip_suffix(account)?, account.trim_end_matches('/'))
        }
        _ => (text, ""),
    };
    let place = endpoint(place)?;
    match account {
        "" => Some(place),
        account => is_azure_account(account).then(|| format!("{place}/{account}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_azure_may_hold_the_account() {
        for (text, url) in [
            ("https://acct1.blob.core.windows.net/", "https://acct1.blob.core.windows.net"),
            ("http://127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1"),
            ("http://127.0.0.1:10000/devstoreaccount1/", "http://127.0.0.1:10000/devstoreaccount1"),
        ] {
            assert_eq!(azure_endpoint(text).as_deref(), Some(url));
        }
        for text in ["ftp://x", "http://h/a/b", "http://h/A", "http:///devstoreaccount1"] {
            assert_eq!(azure_endpoint(text), None, "{text}");
        }
    }
}
