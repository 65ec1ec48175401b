//! From the configuration to what the Kafka client is started with.

use crate::config::{Config, Pattern};
use crate::kafka::{
    ClientSettings, ConsumerSettings, Fetched, PatternError, PatternSpec, Patterns,
};

/// A client that calls itself `kafkatos3-INSTANCE-name`.
pub(crate) fn client(config: &Config, name: &str) -> ClientSettings {
    ClientSettings {
        bootstrap: config.consumer.bootstrap.clone(),
        client_id: format!("kafkatos3-{}-{name}", config.main.instance),
        extra: config.kafka.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
    }
}

/// The consumer of this number, as a member of the group.
pub(crate) fn member(config: &Config, index: usize, fetched: Fetched) -> ConsumerSettings {
    let consumer = &config.consumer;
    ConsumerSettings {
        client: client(config, &index.to_string()),
        group: consumer.group.clone(),
        group_instance_id: consumer.group_instance_id.as_ref().map(|id| format!("{id}-{index}")),
        isolation: consumer.isolation,
        fetched,
    }
}

/// One entry of a list of topics.
pub(crate) fn pattern(pattern: &Pattern) -> PatternSpec {
    match pattern {
        Pattern::Exact(topic) => PatternSpec::Exact(topic.clone()),
        Pattern::Regex(regex) => PatternSpec::Regex(regex.clone()),
    }
}

/// Which topics are archived.
pub(crate) fn patterns(config: &Config) -> Result<Patterns, PatternError> {
    let list = |patterns: &[Pattern]| patterns.iter().map(pattern).collect::<Vec<_>>();
    let topics = &config.consumer.topics;
    Patterns::compile(&list(&topics.whitelist), &list(&topics.blacklist))
}
