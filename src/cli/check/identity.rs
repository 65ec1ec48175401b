//! Whether what is in the archive already is of this cluster and of these topics.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::kafka::Cluster;
use super::report::{Area, Line, counted};
use super::store::Found;
use crate::cli::Exit;
use crate::config::{Config, OnTopicRecreated};
use crate::meta::{ChainRecord, Disagreement, Identity, IdentityPart};
use crate::store::names::ChainName;
use crate::store::{Store, StoreError};
use crate::types::Partition;

/// More topics are not looked at; what is wrong is mostly wrong with all of them.
const MOST_TOPICS: usize = 100;

/// Questions that are under way at the same time.
const AT_ONCE: usize = 16;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Looks at the first partition of each topic.
pub(super) fn look(config: &Config, cluster: &Cluster, bucket: &Found, end: Instant) -> Vec<Line> {
    let Some(store) = &bucket.store else { return Vec::new() };
    let identities: Vec<_> = cluster
        .topics
        .iter()
        .filter_map(|(topic, id)| {
            Some(Identity {
                cluster_id: cluster.id.clone()?,
                topic: topic.clone(),
                topic_id: *id,
                partition: Partition::new(0).ok()?,
                isolation: config.consumer.isolation,
            })
        })
        .take(MOST_TOPICS)
        .collect();
    if identities.is_empty() {
        return Vec::new();
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let limit = end.saturating_duration_since(Instant::now()).min(PATIENCE);
    let asked = runtime.block_on(async {
        let answers = stream::iter(&identities)
            .map(|identity| compare(&**store, identity))
            .buffered(AT_ONCE)
            .collect::<Vec<_>>();
        tokio::time::timeout(limit, answers).await
    });
    let subject = config.archive.target.to_string();
    let late = |_| vec![Line::skip(Area::Archive, &subject, "its chains were not read in time")];
    asked.map_or_else(late, |answers| lines(config, &subject, &identities, answers))
}

/// What the archive has of a topic.
enum Kept {
    Nothing,
    Same,
    Other(Disagreement),
}

/// Compares with the newest chain of the name.
async fn compare(store: &dyn Store, identity: &Identity) -> Result<Kept, StoreError> {
    let mut name = ChainName::first(identity.topic.clone());
    let mut kept = Kept::Nothing;
    loop {
        let record = name.clone().partition(identity.partition).record();
        let Some(bytes) = store.get(&record).await? else { return Ok(kept) };
        let found: ChainRecord = serde_json::from_slice(&bytes).map_err(|e| {
            let name = format!("{}/{record}", store.url());
            StoreError::Other { name, words: format!("does not read: {e}") }
        })?;
        kept = match identity.disagreement(&found.identity) {
            None => Kept::Same,
            Some(disagreement) => Kept::Other(disagreement),
        };
        name = name.successor();
    }
}

fn lines(
    config: &Config,
    subject: &str,
    identities: &[Identity],
    answers: Vec<Result<Kept, StoreError>>,
) -> Vec<Line> {
    let (mut new, mut same) = (0_usize, 0_usize);
    let mut lines = Vec::new();
    for (identity, answer) in identities.iter().zip(answers) {
        let topic = identity.topic.to_string();
        match answer {
            Ok(Kept::Nothing) => new += 1,
            Ok(Kept::Same) => same += 1,
            Ok(Kept::Other(other)) => lines.push(differs(config, &topic, &other)),
            Err(error) => {
                let todo = "look at that object; only kafkatos3 may write there";
                let found = error.to_string();
                lines.push(Line::fail(Area::Archive, &topic, &found, todo, Exit::Config));
            }
        }
    }
    if lines.is_empty() {
        let found = format!("goes on with {}, begins {new}", counted(same, "topic"));
        lines.push(Line::ok(Area::Archive, subject, &found));
    }
    lines
}

fn differs(config: &Config, topic: &str, other: &Disagreement) -> Line {
    let Disagreement { what, here, there } = other;
    let (found, todo) = match what {
        IdentityPart::TopicId
            if config.consumer.on_topic_recreated == OnTopicRecreated::NewChain =>
        {
            let found = "was deleted and created again; a new chain begins beside the old one";
            return Line::ok(Area::Archive, topic, found);
        }
        IdentityPart::TopicId => (
            format!("was deleted and created again: its id is {here}, the archive's {there}"),
            "set [consumer] on_topic_recreated = new_chain to begin a second chain beside the first, or use another \
             prefix ([s3] s3_prefix, [archive] url)",
        ),
        IdentityPart::Cluster => (
            format!("the archive is of another cluster: {there}, and this is {here}"),
            "use another prefix for this cluster ([s3] s3_prefix, [archive] url), or correct kafka_bootstrap",
        ),
        IdentityPart::Isolation => (
            format!("the archive was begun with {there}, and this is {here}"),
            "set [consumer] isolation_level as the archive has it, or use another prefix",
        ),
        IdentityPart::Topic | IdentityPart::Partition => (
            format!("the archive says that it is of {there}, and this is {here}"),
            "look at its chain.json; only kafkatos3 may write there",
        ),
    };
    Line::fail(Area::Archive, topic, &found, todo, Exit::Config)
}
