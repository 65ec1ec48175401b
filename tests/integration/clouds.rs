//! The stores' contract over GCS and Azure, what they answer to bad settings, and the whole way into
//! them. fake-gcs-server and Azurite stand for the clouds; the second is skipped where it is not.

use kafkatos3::meta::MetaMap;
use kafkatos3::store::names::{ChainId, ChainName, Folder, Name};
use kafkatos3::store::selftest::{self, Check};
use kafkatos3::store::{AzureAccess, AzureSettings, GcsSettings, StoreError, Target};
use kafkatos3::types::{Partition, TopicName};
use kafkatos3::url::Bucket;

use crate::archive::produce_odd;
use crate::cat::same;
use crate::harness::Site;
use crate::servers::{ACCOUNT, ACCOUNT_KEY, Azurite, azurite, gcs};
use crate::stores::{block_on, keeps_the_contract, opened};

const SKIPPED: &str = "skipped: Azurite is not there; tests/servers/fetch fetches it where npm is";

fn place(bucket: &str, prefix: &str) -> Bucket {
    Bucket { name: bucket.to_owned(), prefix: prefix.to_owned() }
}

fn gcs_at(endpoint: Option<String>, bucket: Bucket) -> GcsSettings {
    GcsSettings { bucket, endpoint, credentials: None, storage_class: None }
}

fn azure_at(access: AzureAccess, container: Bucket) -> AzureSettings {
    AzureSettings { container, account: None, access, tier: None }
}

fn in_gcs(bucket: &str) -> GcsSettings {
    let endpoint = Some(gcs().url());
    gcs_at(endpoint, place(bucket, "some/prefix"))
}

fn in_azure(server: &Azurite, container: &str, access: AzureAccess) -> AzureSettings {
    let access = AzureAccess { endpoint: Some(server.endpoint()), ..access };
    azure_at(access, place(container, "some/prefix"))
}

fn by_key(key: &str) -> AzureAccess {
    let (account, key) = (Some(ACCOUNT.to_owned()), Some(key.to_owned()));
    AzureAccess { account, key, ..AzureAccess::default() }
}

fn by_signature(token: String) -> AzureAccess {
    let account = Some(ACCOUNT.to_owned());
    AzureAccess { account, sas_token: Some(token), ..AzureAccess::default() }
}

fn chain() -> ChainId {
    let topic = TopicName::new("t").expect("a topic's name");
    ChainName::first(topic).partition(Partition::new(0).expect("a partition"))
}

#[test]
fn gcs_keeps_the_contract() {
    gcs().create_bucket("contract");
    keeps_the_contract(&|| Target::Gcs(in_gcs("contract")));
}

#[test]
fn azure_keeps_the_contract() {
    let Some(server) = azurite() else { return eprintln!("{SKIPPED}") };
    server.create_container("contract");
    keeps_the_contract(&|| Target::Azure(in_azure(server, "contract", by_key(ACCOUNT_KEY))));
}

#[test]
fn azure_by_a_connection_string_at_the_containers_root() {
    let Some(server) = azurite() else { return eprintln!("{SKIPPED}") };
    server.create_container("at-root");
    let connection_string = Some(server.connection_string());
    let access = AzureAccess { connection_string, ..AzureAccess::default() };
    let tier = Some("Cool".to_owned());
    let settings = AzureSettings { tier, ..azure_at(access, place("at-root", "")) };
    block_on(async {
        let store = opened(&|| Target::Azure(settings.clone())).await;
        assert_eq!(store.url(), "az://at-root");
        assert_eq!(selftest::run(&*store).await, Ok(()));
    });
}

/// Every request once, on what can't be reached for the same reason.
async fn errors(target: Target) -> Vec<StoreError> {
    let store = opened(&|| target.clone()).await;
    let name = chain().record();
    vec![
        store.create(&name, vec!["x".into()], &MetaMap::new()).await.expect_err("create"),
        store.head(&name).await.map(drop).expect_err("head"),
        store.list(&Folder::root(), None).await.map(drop).expect_err("list"),
        store.folders(&Folder::root()).await.map(drop).expect_err("folders"),
        store.get(&name).await.map(drop).expect_err("get"),
        store.get_range(&name, 0..1).await.map(drop).expect_err("get_range"),
        store.get_suffix(&name, 1).await.map(drop).expect_err("get_suffix"),
    ]
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let mut targets = vec![Target::Gcs(in_gcs("no-such-bucket"))];
    match azurite() {
        Some(server) => {
            let settings = in_azure(server, "no-such-bucket", by_key(ACCOUNT_KEY));
            targets.push(Target::Azure(settings));
        }
        None => eprintln!("{SKIPPED}"),
    }
    for target in targets {
        for error in block_on(errors(target.clone())) {
            assert!(matches!(error, StoreError::NoBucket { .. }), "{error:?}");
            assert!(error.to_string().contains("://no-such-bucket/some/prefix"), "{error}");
        }
        let failure = block_on(async { selftest::run(&*opened(&|| target.clone()).await).await });
        let failure = failure.expect_err("it must fail");
        assert_eq!((failure.check, failure.exit_code()), (Check::Missing, 78));
    }
}

#[test]
fn a_cloud_that_is_down_is_unavailable() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = dead.local_addr().expect("its address");
    drop(dead);
    let place = place("bucket", "p");
    let endpoint = Some(format!("http://{address}"));
    let gcs = gcs_at(endpoint.clone(), place.clone());
    let access = AzureAccess { endpoint, ..by_key(ACCOUNT_KEY) };
    let azure = azure_at(access, place);
    block_on(async {
        for target in [Target::Gcs(gcs), Target::Azure(azure)] {
            let store = opened(&|| target.clone()).await;
            let error = store.head(&chain().record()).await.expect_err("nobody is there");
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
            assert!(error.to_string().contains("can't connect"), "{error}");
        }
    });
}

#[test]
fn bad_credentials_are_told_and_not_shown() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "{\"type\": \"service_account\"}").expect("write");
    let credentials = Some(file.path().to_owned());
    let gcs = GcsSettings { credentials, ..gcs_at(None, place("bucket", "p")) };
    let error = block_on(kafkatos3::store::open(&Target::Gcs(gcs))).expect_err("no key in it");
    assert!(matches!(error, StoreError::Denied { credentials: true, .. }), "{error:?}");

    let Some(server) = azurite() else { return eprintln!("{SKIPPED}") };
    server.create_container("strict");
    let wrong = "d3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldC13cm9uZw==";
    for access in [
        by_key(wrong),
        by_signature(format!("sv=2021-08-06&sr=c&sp=r&se=2099-01-01T00:00:00Z&sig={wrong}")),
    ] {
        let settings = in_azure(server, "strict", access);
        for error in block_on(errors(Target::Azure(settings.clone()))) {
            // Azurite has no word of its own for it, and says to HEAD nothing but that word.
            assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
            assert_eq!(error.exit_code(), 77);
            let text = format!("{error} {error:?} {settings:?}");
            assert!(!text.contains(wrong) && !text.contains("sig="), "{text}");
        }
    }
}

#[test]
fn azure_the_documented_signature_is_enough_and_nothing_of_it_can_go() {
    let Some(server) = azurite() else { return eprintln!("{SKIPPED}") };
    server.create_container("narrow");
    let with = |permissions: &str| {
        let token = server.signature("narrow", permissions);
        Target::Azure(in_azure(server, "narrow", by_signature(token)))
    };
    let document = include_str!("../../docs/stores.md");
    assert!(document.contains("permissions `rcl`"), "the document says another thing");
    block_on(async {
        let store = opened(&|| with("rcl")).await;
        assert_eq!(selftest::run(&*store).await, Ok(()));
        let left = store.list(&Folder::selftest(), None).await.expect("a listing");
        assert_eq!(left.len(), 1, "it may not delete");
        let again = store.create(&left[0].name, Vec::new(), &MetaMap::new()).await;
        let is_refused = matches!(
            again,
            Err(StoreError::Exists { .. } | StoreError::Denied { credentials: false, .. })
        );
        assert!(is_refused, "{again:?}");
        for (less, check) in [("rc", Check::List), ("cl", Check::Missing), ("rl", Check::Create)] {
            let failure = selftest::run(&*opened(&|| with(less)).await).await.expect_err(less);
            assert_eq!((failure.check, failure.exit_code()), (check, 77), "{less}: {failure}");
        }
    });
}

/// Fetches what is under the archive's prefix into the directory that checks look at.
fn bring_home(site: &Site, target: &Target) {
    block_on(async {
        let store = opened(&|| target.clone()).await;
        for line in store.list(&Folder::root(), None).await.expect("a listing") {
            let bytes = store.get(&line.name).await.expect("get").expect("it was listed");
            assert_eq!(u64::try_from(bytes.len()), Ok(line.size), "{}", line.name);
            let path = site.archive_path().join(line.name.as_str());
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("create a folder");
            std::fs::write(path, bytes).expect("write");
        }
    });
}

fn goes_all_the_way(site: &mut Site, target: &Target) {
    site.set("consumer", "max_file_bytes", "64KiB");
    let topic = site.topic("t", 2, &[]);
    let expected = produce_odd(site, &topic, 2, 3000);
    site.run_to_end().expect(0);
    // A second start finds the tips, and writes nothing.
    site.run_to_end().expect(0);
    bring_home(site, target);
    site.check_with_offsets(&expected);
    assert!(site.objects(&topic, 1).len() > 1, "rotation by size");
    let archive = site.config_file();
    for slice in [&["-p", "0"][..], &["-p", "1", "-o", "2900"], &["-p", "1", "-o", "7", "-c", "9"]]
    {
        let arguments = [slice, &["-f", "%o %k %s\\n"]].concat();
        assert!(same(site, &archive, &topic, &arguments) > 0, "{arguments:?}");
    }
}

#[test]
fn the_whole_way_into_gcs() {
    let mut site = Site::new("clouds-gcs");
    gcs().create_bucket("whole-way");
    site.archive_elsewhere("gs://whole-way/some/prefix");
    site.set("gcs", "gcs_endpoint", gcs().url());
    goes_all_the_way(&mut site, &Target::Gcs(in_gcs("whole-way")));
}

#[test]
fn the_whole_way_into_azure() {
    let Some(server) = azurite() else { return eprintln!("{SKIPPED}") };
    let mut site = Site::new("clouds-azure");
    server.create_container("whole-way");
    site.archive_elsewhere("az://whole-way/some/prefix");
    site.set("azure", "azure_storage_connection_string", server.connection_string());
    site.set("compression", "compression", "zstd");
    goes_all_the_way(&mut site, &Target::Azure(in_azure(server, "whole-way", by_key(ACCOUNT_KEY))));
}

#[test]
fn names_that_no_cloud_may_mix_up() {
    let names = ["a.", "a", "a b", "ä", "%41", "A"].map(|part| format!("t/{part}/x"));
    let names = names.map(|name| Name::parse(&name).expect("a name"));
    let mut targets = vec![Target::Gcs(in_gcs("names"))];
    gcs().create_bucket("names");
    if let Some(server) = azurite() {
        server.create_container("names");
        targets.push(Target::Azure(in_azure(server, "names", by_key(ACCOUNT_KEY))));
    } else {
        eprintln!("{SKIPPED}");
    }
    for target in targets {
        block_on(async {
            let store = opened(&|| target.clone()).await;
            for name in &names {
                let body = vec![name.to_string().into()];
                store.create(name, body, &MetaMap::new()).await.expect("create");
            }
            for name in &names {
                let found = store.get(name).await.expect("get").expect("there");
                assert_eq!(found, name.to_string(), "{}", store.url());
            }
            assert_eq!(store.list(&Folder::root(), None).await.expect("list").len(), names.len());
        });
    }
}
