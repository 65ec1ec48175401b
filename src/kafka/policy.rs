//! Which topics are compacted: Kafka removes records from these that it once delivered.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::error::{Code, KafkaError};
use super::settings::ClientSettings;
use crate::types::TopicName;

const WHAT: &str = "ask how topics are cleaned up";

/// Those of `topics` whose `cleanup.policy` has `compact`.
pub async fn compacted(
    settings: &ClientSettings,
    topics: &[TopicName],
    timeout: Duration,
) -> Result<BTreeSet<TopicName>, KafkaError> {
    let failed = |error: rdkafka::error::KafkaError| KafkaError::Request {
        what: WHAT,
        code: Code(0),
        text: error.to_string(),
    };
    let config: ClientConfig = settings.properties().into_iter().collect();
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(failed)?;
    let named: Vec<_> = topics.iter().map(|t| ResourceSpecifier::Topic(t.as_str())).collect();
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let mut found = BTreeSet::new();
    for answer in admin.describe_configs(&named, &options).await.map_err(failed)? {
        let topic = answer.map_err(|code| KafkaError::Request {
            what: WHAT,
            code: Code(0),
            text: code.to_string(),
        })?;
        let policy = topic.get("cleanup.policy").and_then(|entry| entry.value.as_deref());
        if let OwnedResourceSpecifier::Topic(name) = &topic.specifier
            && policy.is_some_and(|policy| policy.split(',').any(|word| word.trim() == "compact"))
        {
            found.extend(TopicName::new(name));
        }
    }
    Ok(found)
}
