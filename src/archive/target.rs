//! From the configuration's archive to an open store.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::codec::{Kind, Step, TailRead};
use crate::config::{ArchiveTarget, AzureTarget, S3Target, Secret, Sse};
use crate::meta::MetaMap;
use crate::store::{
    self, AzureAccess, AzureSettings, Credentials, DirSettings, GcsSettings, S3Settings, Store,
    StoreError, Target,
};

/// Bytes that tell a container's kind.
const HEAD: usize = 16;

/// Opens the archive's store; nothing is asked of an object store yet, and a directory is created if
/// only its last component is missing.
pub async fn open_store(target: &ArchiveTarget) -> Result<Arc<dyn Store>, StoreError> {
    let target = match target {
        ArchiveTarget::S3(s3) => Target::S3(s3_settings(s3)),
        ArchiveTarget::Gcs(gcs) => Target::Gcs(GcsSettings {
            bucket: gcs.bucket.clone(),
            endpoint: gcs.endpoint.clone(),
            credentials: gcs.credentials.clone(),
            storage_class: gcs.storage_class.clone(),
        }),
        ArchiveTarget::Azure(azure) => Target::Azure(azure_settings(azure)),
        ArchiveTarget::Dir { path } => {
            Target::Dir(DirSettings { root: path.clone(), meta: metadata_of })
        }
    };
    store::open(&target).await
}

fn azure_settings(azure: &AzureTarget) -> AzureSettings {
    let exposed = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose().to_owned());
    AzureSettings {
        container: azure.container.clone(),
        account: azure.url_account.clone(),
        access: AzureAccess {
            connection_string: exposed(&azure.connection_string),
            account: azure.account.clone(),
            key: exposed(&azure.key),
            sas_token: exposed(&azure.sas_token),
            endpoint: azure.endpoint.clone(),
        },
        tier: azure.tier.clone(),
    }
}

fn s3_settings(s3: &S3Target) -> S3Settings {
    let credentials = match (&s3.access_key, &s3.secret_key) {
        (Some(id), Some(secret)) => {
            Credentials::Keys { id: id.expose().to_owned(), secret: secret.expose().to_owned() }
        }
        _ => Credentials::Chain,
    };
    S3Settings {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        credentials,
        storage_class: s3.storage_class.clone(),
        sse: s3.sse.as_ref().map(|sse| match sse {
            Sse::Aes256 => store::Sse::Aes256,
            Sse::Kms { key } => store::Sse::Kms { key: key.clone() },
            Sse::KmsDsse { key } => store::Sse::KmsDsse { key: key.clone() },
        }),
        tags: s3.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
        integrity: None,
    }
}

/// What a directory's file says of itself, from its trailer; `None` if it is no container.
pub(crate) fn metadata_of(file: &File, len: u64) -> io::Result<Option<MetaMap>> {
    let mut head = [0; HEAD];
    let known = usize::try_from(len).unwrap_or(HEAD).min(HEAD);
    let Some(head) = head.get_mut(..known) else { return Ok(None) };
    file.read_exact_at(head, 0)?;
    let Ok(kind) = Kind::detect(head) else { return Ok(None) };
    let Ok(mut read) = TailRead::start(kind, len) else { return Ok(None) };
    loop {
        let range = read.range();
        let wanted = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; wanted];
        file.read_exact_at(&mut bytes, range.start)?;
        match read.feed(&bytes) {
            Ok(Step::Need(next)) => read = next,
            Ok(Step::Ready(tail)) => return Ok(Some(tail.meta)),
            Err(_) => return Ok(None),
        }
    }
}
