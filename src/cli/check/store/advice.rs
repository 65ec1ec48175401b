//! What to do about a store that can't be used. Pure.

use crate::config::{ArchiveTarget, AzureTarget, GcsTarget, S3Target};
use crate::store::StoreError;

/// It did not answer in time.
pub(super) fn silent(target: &ArchiveTarget) -> String {
    let (endpoint, cloud) = match target {
        ArchiveTarget::S3(s3) => (s3.endpoint.is_some().then_some("[s3] s3_endpoint"), "AWS"),
        ArchiveTarget::Gcs(gcs) => {
            (gcs.endpoint.is_some().then_some("[gcs] gcs_endpoint"), "Google")
        }
        ArchiveTarget::Azure(azure) => {
            (azure.endpoint.is_some().then_some("[azure] azure_storage_endpoint"), "Azure")
        }
        ArchiveTarget::Dir { .. } => {
            return "look after the file system: it does not answer".to_owned();
        }
    };
    match endpoint {
        Some(key) => format!("correct {key}, or open the way there (a firewall, a proxy)"),
        None => open_the_way(cloud),
    }
}

fn open_the_way(cloud: &str) -> String {
    let private = if cloud == "AWS" { "a VPC endpoint" } else { "a private endpoint" };
    format!("open the way to {cloud} (a firewall, a proxy, {private})")
}

/// What to do about a store that can't be used at all; `otherwise` where nothing better is known.
pub(super) fn todo(target: &ArchiveTarget, error: &StoreError, otherwise: &str) -> String {
    let known = match target {
        ArchiveTarget::S3(s3) => return s3_todo(s3, error, otherwise),
        ArchiveTarget::Gcs(gcs) => gcs_todo(gcs, error),
        ArchiveTarget::Azure(azure) => azure_todo(azure, error),
        ArchiveTarget::Dir { .. } => None,
    };
    known.unwrap_or_else(|| otherwise.to_owned())
}

fn s3_todo(s3: &S3Target, error: &StoreError, otherwise: &str) -> String {
    let text = error.to_string();
    let has = |part: &str| text.contains(part);
    match error {
        StoreError::NoBucket { .. } => format!(
            "create the bucket \"{}\", or correct [s3] s3_bucket_name{}",
            s3.bucket,
            if s3.endpoint.is_some() { " or s3_endpoint" } else { "" }
        ),
        StoreError::Denied { .. } if has("RequestTimeTooSkewed") || has("RequestExpired") => {
            "set this machine's clock (NTP): requests carry the time, and it is too far off".to_owned()
        }
        StoreError::Denied { credentials: true, .. } if s3.access_key.is_some() => {
            "correct [s3] s3_access_key and s3_secret_key, or leave both empty for AWS's own chain".to_owned()
        }
        StoreError::Denied { credentials: true, .. } => {
            "give credentials: [s3] s3_access_key and s3_secret_key, or one of AWS's own ways (environment, profile, \
             role of the instance)"
                .to_owned()
        }
        StoreError::Unavailable { .. } if s3.endpoint.is_none() => {
            format!("{}, or correct [s3] s3_region", open_the_way("AWS"))
        }
        StoreError::Unavailable { .. } if !s3.is_plain_http() && ["InvalidContentType", "corrupt message", "handshake eof"].into_iter().any(has) => {
            "no TLS is spoken there: begin [s3] s3_endpoint with http://, or use the port for https".to_owned()
        }
        StoreError::Unavailable { .. } if has("certificate") || has("UnknownIssuer") => {
            "the certificate is not accepted: install the authority that signed it on this machine, and use the name in \
             it in [s3] s3_endpoint"
                .to_owned()
        }
        StoreError::Unavailable { .. } => {
            "start the server, or correct [s3] s3_endpoint: its scheme, its host, its port".to_owned()
        }
        _ if has("is the region right?") => "correct [s3] s3_region".to_owned(),
        _ if otherwise.is_empty() => {
            "is this a server that speaks S3, at this port, with this scheme? correct [s3] s3_endpoint".to_owned()
        }
        _ => otherwise.to_owned(),
    }
}

fn gcs_todo(gcs: &GcsTarget, error: &StoreError) -> Option<String> {
    let has = |part: &str| error.to_string().contains(part);
    let endpoint = gcs.endpoint.is_some();
    Some(match error {
        StoreError::NoBucket { .. } => format!(
            "create the bucket \"{}\", or correct [archive] url{}",
            gcs.bucket.name,
            if endpoint { " or [gcs] gcs_endpoint" } else { "" }
        ),
        StoreError::Denied { credentials: true, .. } if gcs.credentials.is_some() => {
            "correct [gcs] gcs_credentials_file: a key of a service account, or what gcloud auth \
             application-default login wrote"
                .to_owned()
        }
        StoreError::Denied { credentials: true, .. } => {
            "give credentials: [gcs] gcs_credentials_file, GOOGLE_APPLICATION_CREDENTIALS, or a service account of \
             the machine or the pod"
                .to_owned()
        }
        StoreError::Unavailable { .. } if !endpoint => open_the_way("Google"),
        StoreError::Unavailable { .. } | StoreError::Other { .. } if endpoint => {
            no_such_server("[gcs] gcs_endpoint", has("certificate") || has("UnknownIssuer"))
        }
        _ => return None,
    })
}

fn azure_todo(azure: &AzureTarget, error: &StoreError) -> Option<String> {
    let has = |part: &str| error.to_string().contains(part);
    let endpoint = azure.endpoint.is_some();
    Some(match error {
        StoreError::NoBucket { .. } => {
            format!("create the container \"{}\", or correct [archive] url", azure.container.name)
        }
        StoreError::Denied { .. } if has("no storage account") => {
            "name the account: [azure] azure_storage_account, or az://CONTAINER@ACCOUNT.blob.core.windows.net".to_owned()
        }
        StoreError::Denied { credentials: true, .. } if azure.has_credentials() => {
            let way = if azure.key.is_some() {
                "azure_storage_key (is it of this account?)"
            } else if azure.sas_token.is_some() {
                "azure_storage_sas_token (has it expired?)"
            } else {
                "azure_storage_connection_string"
            };
            format!("correct [azure] {way}, and see that this machine's clock is right")
        }
        StoreError::Denied { credentials: true, .. } => {
            "give credentials: one of [azure] azure_storage_key, azure_storage_sas_token and \
             azure_storage_connection_string, the same in the environment, a workload identity, or a managed identity"
                .to_owned()
        }
        StoreError::Unavailable { .. } if has("dns error") && !endpoint => {
            "correct the name of the storage account: there is no host of that name".to_owned()
        }
        StoreError::Unavailable { .. } if !endpoint => open_the_way("Azure"),
        StoreError::Unavailable { .. } | StoreError::Other { .. } if endpoint => {
            let certificate = has("certificate") || has("UnknownIssuer");
            no_such_server("[azure] azure_storage_endpoint", certificate)
        }
        _ => return None,
    })
}

fn no_such_server(key: &str, certificate: bool) -> String {
    if certificate {
        format!(
            "the certificate is not accepted: install the authority that signed it on this machine, and use the name \
             in it in {key}"
        )
    } else {
        format!("start the server, or correct {key}: its scheme, its host, its port")
    }
}
