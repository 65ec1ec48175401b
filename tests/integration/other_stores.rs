//! The stores' contract over servers that the daily tests do without (`tests/servers/fetch --all`),
//! and the smallest policy of docs/stores.md on one that enforces policies.

use kafkatos3::meta::MetaMap;
use kafkatos3::store::selftest::{self, Check};
use kafkatos3::store::{Credentials, S3Settings, StoreError, Target};

use crate::servers::{Minio, OtherS3};
use crate::stores::{block_on, keeps_the_contract, opened, settings};

const SKIPPED: &str = "skipped: tests/servers/fetch --all fetches the server";

fn contract_holds_on(server: &OtherS3) {
    server.create_bucket("contract");
    let target = || Target::S3(settings(format!("http://{}", server.address), "contract"));
    keeps_the_contract(&target);
}

#[test]
fn moto_keeps_the_contract() {
    let Some(server) = OtherS3::moto() else { return eprintln!("{SKIPPED}") };
    contract_holds_on(&server);
}

#[test]
fn minio_keeps_the_contract() {
    let Some(minio) = Minio::start("contract") else { return eprintln!("{SKIPPED}") };
    contract_holds_on(minio.server());
}

/// The policy of the document, for the bucket and prefix of this test.
fn documented_policy() -> serde_json::Value {
    let text = include_str!("../../docs/stores.md");
    let policy = text.split("```json").nth(1).and_then(|rest| rest.split("```").next());
    let policy = policy.expect("the document has a policy");
    let policy = policy.replace("BUCKET", "narrow").replace("PREFIX", "some/prefix");
    serde_json::from_str(&policy).expect("JSON")
}

fn without(action: &str) -> serde_json::Value {
    let mut policy = documented_policy();
    for statement in policy["Statement"].as_array_mut().expect("statements") {
        match &mut statement["Action"] {
            serde_json::Value::Array(actions) => actions.retain(|word| word != action),
            word if *word == action => *word = "s3:GetBucketLocation".into(),
            _ => {}
        }
    }
    assert_ne!(policy, documented_policy(), "{action} is not in the document");
    policy
}

#[test]
fn the_documented_policy_is_enough_and_nothing_of_it_can_go() {
    let Some(minio) = Minio::start("policy") else { return eprintln!("{SKIPPED}") };
    minio.server().create_bucket("narrow");
    let archivist = |name: &str, policy: &serde_json::Value| {
        let secret = "secret-of-the-user";
        minio.add_user(name, secret, &policy.to_string());
        let credentials = Credentials::Keys { id: name.to_owned(), secret: secret.to_owned() };
        let endpoint = format!("http://{}", minio.server().address);
        Target::S3(S3Settings { credentials, ..settings(endpoint, "narrow") })
    };
    let enough = archivist("enough", &documented_policy());
    block_on(async {
        let store = opened(&|| enough.clone()).await;
        assert_eq!(selftest::run(&*store).await, Ok(()));
        let folder = kafkatos3::store::names::Folder::selftest();
        let left = store.list(&folder, None).await.expect("a listing");
        assert_eq!(left.len(), 1, "it may not delete");
        let again = store.create(&left[0].name, Vec::new(), &MetaMap::new()).await;
        assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    });
    for (action, check) in [
        // AWS would answer 403 for what is absent; this server says 404 to anybody.
        ("s3:ListBucket", Check::List),
        ("s3:PutObject", Check::Create),
        ("s3:GetObject", Check::Missing),
    ] {
        let name = action.trim_start_matches("s3:").to_lowercase();
        let target = archivist(&name, &without(action));
        let failure = block_on(async { selftest::run(&*opened(&|| target.clone()).await).await });
        let failure = failure.expect_err(action);
        assert_eq!((failure.check, failure.exit_code()), (check, 77), "{action}: {failure}");
        assert!(failure.to_string().contains(action), "{failure}");
    }
}
