//! The brokers: each of them, the login, the cluster, its topics, the group.

mod broker;
mod group;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::parallel;
use super::report::{Area, Line, counted};
use super::topics;
use crate::cli::Exit;
use crate::config::{Config, Pattern};
use crate::kafka::probe::Probe;
use crate::kafka::{Admin, Code, Described, KafkaError};
use crate::types::{TopicId, TopicName};
use crate::worker::settings;

/// How long the cluster may take to say who it is and what topics it has.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(4);

/// How long it may take to describe and join a group.
const GROUP_PATIENCE: Duration = Duration::from_secs(5);

/// How long a client may take to end.
const ENDING: Duration = Duration::from_secs(1);

/// More names are not listed in one line.
const NAMED: usize = 5;

/// What was found.
#[derive(Default)]
pub(super) struct Cluster {
    pub(super) lines: Vec<Line>,
    /// Its id.
    pub(super) id: Option<String>,
    /// How many brokers it has.
    pub(super) brokers: usize,
    /// The topics that are archived, with their ids.
    pub(super) topics: Vec<(TopicName, TopicId)>,
    matching: Option<Vec<(TopicName, i32)>>,
}

impl Cluster {
    /// How many partitions are archived, if that is known.
    pub(super) fn partitions(&self) -> Option<u64> {
        let each = |(_, partitions): &(TopicName, i32)| u64::try_from(*partitions).unwrap_or(0);
        Some(self.matching.as_ref()?.iter().map(each).sum())
    }
}

/// Looks at everything that a consumer needs.
pub(super) fn look(config: &Arc<Config>) -> Cluster {
    let mut cluster = Cluster::default();
    if config.consumer.processes == 0 {
        let why = "not asked: consumer_processes = 0";
        cluster.lines.push(Line::skip(Area::Broker, &config.consumer.bootstrap, why));
        return cluster;
    }
    let reached = broker::bootstrap(config, &mut cluster.lines);
    let Some(brokers) = reached else {
        cluster.lines.push(broker::login(config, false));
        return cluster;
    };
    cluster.brokers = brokers.all.len();
    let others = broker::begin_advertised(config, brokers);
    let deadline = Instant::now() + CLUSTER_PATIENCE;
    let found = ask(config, &mut cluster, deadline);
    cluster.lines.splice(0..0, others.lines());
    let login = broker::login(config, true);
    let place = cluster.lines.iter().position(|line| line.area != Area::Broker);
    cluster.lines.insert(place.unwrap_or(cluster.lines.len()), login);
    if let Some(admin) = found {
        cluster.lines.extend(group::lines(config, &admin, cluster.matching.as_deref()));
        // The library waits for its threads, and one of them may wait for a name server.
        let ended = parallel::begin("end", move || drop(admin));
        let _ = parallel::wait(&ended, Instant::now() + ENDING);
    }
    cluster
}

/// Who the cluster is, what topics it has, what may be done with them.
fn ask(config: &Config, cluster: &mut Cluster, deadline: Instant) -> Option<Admin> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let probe = Probe::new(&settings::client(config, "check")).and_then(|mut probe| {
        // What is wrong with the brokers was said; the questions below say what is left.
        let _ = probe.reach(deadline);
        let admin = probe.admin();
        let all = admin.topics(left())?;
        Ok((admin, all))
    });
    let (admin, all) = match probe {
        Ok(found) => found,
        Err(error) => {
            let bootstrap = &config.consumer.bootstrap;
            let todo = "see the lines about the brokers";
            let exit = Exit::Unavailable;
            cluster.lines.push(Line::fail(
                Area::Cluster,
                bootstrap,
                &error.to_string(),
                todo,
                exit,
            ));
            return None;
        }
    };
    cluster.id = admin.cluster_id(left()).ok();
    let matching: Vec<_> = match settings::patterns(config) {
        Ok(patterns) => all.iter().filter(|(topic, _)| patterns.matches(topic)).cloned().collect(),
        // Said by the line of the pattern.
        Err(_) => Vec::new(),
    };
    let mut asked: Vec<_> = matching.iter().map(|(topic, _)| topic.clone()).collect();
    // Who may not even see a topic is told so only when it asks for it by name.
    let named = config.consumer.topics.whitelist.iter().filter_map(|pattern| match pattern {
        Pattern::Exact(topic) => Some(topic),
        Pattern::Regex(_) => None,
    });
    asked.extend(named.filter(|topic| !all.iter().any(|(other, _)| other == *topic)).cloned());
    let rights = admin.topic_rights(&asked, left());
    if let Ok(answers) = &rights {
        let known = answers
            .iter()
            .filter_map(|(topic, found)| found.as_ref().ok().map(|(id, _)| (topic.clone(), *id)));
        cluster.topics = known.collect();
    }
    let hidden: Vec<_> = rights.iter().flatten().filter(|one| is_hidden(one)).collect();
    let hidden: Vec<_> = hidden.into_iter().map(|(topic, _)| topic.clone()).collect();
    cluster.lines.push(identity(cluster));
    cluster.lines.extend(topics::lines(&config.consumer.topics, &all, &hidden));
    cluster.lines.extend(topic_right(config, rights));
    cluster.matching = Some(matching);
    Some(admin)
}

fn identity(cluster: &Cluster) -> Line {
    let id = cluster.id.as_deref().filter(|id| !id.is_empty());
    let brokers = counted(cluster.brokers, "broker");
    let old = cluster.topics.iter().any(|(_, id)| id.is_unknown());
    match id {
        Some(id) if !old => Line::ok(Area::Cluster, id, &brokers),
        id => {
            let found = format!("{brokers}, which tell no ids");
            let todo = "with brokers older than 2.8 it is not noticed when a topic is deleted and created again";
            Line::warn(Area::Cluster, id.unwrap_or("unknown"), &found, todo)
        }
    }
}

/// Whether this user may not even see the topic.
fn is_hidden((_, found): &Described) -> bool {
    let code = found.as_ref().err().and_then(KafkaError::code);
    code == Some(Code::TOPIC_AUTHORIZATION_FAILED)
}

/// Whether what is archived may be read.
fn topic_right(config: &Config, rights: Result<Vec<Described>, KafkaError>) -> Option<Line> {
    let subject = "topic Read";
    let answers = match rights {
        Ok(answers) => answers,
        Err(error) => return Some(Line::skip(Area::Right, subject, &error.to_string())),
    };
    let refused = |answer: &Described| match &answer.1 {
        Ok((_, rights)) => rights.is_some_and(|rights| !rights.read),
        Err(_) => is_hidden(answer),
    };
    if !answers.iter().any(|answer| answer.1.is_ok() || refused(answer)) {
        return None;
    }
    let closed: Vec<&str> =
        answers.iter().filter(|answer| refused(answer)).map(|(topic, _)| topic.as_str()).collect();
    if closed.is_empty() {
        let untold = answers.iter().any(|(_, found)| matches!(found, Ok((_, None))));
        return Some(if untold {
            Line::skip(Area::Right, subject, "the brokers don't tell rights")
        } else {
            let there = answers.iter().filter(|(_, found)| found.is_ok()).count();
            Line::ok(Area::Right, subject, &format!("granted on {}", counted(there, "topic")))
        });
    }
    let more = match closed.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let list = closed.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let found = format!("not granted on {list}{more}");
    let todo = format!(
        "grant {} Read on each of these topics (kafka-acls --add --consumer)",
        user(config)
    );
    Some(Line::fail(Area::Right, subject, &found, &todo, Exit::NoPermission))
}

/// Who has to be given a right.
fn user(config: &Config) -> String {
    match config.kafka.get("sasl.username") {
        Some(name) => format!("User:{name}"),
        None => "this user".to_owned(),
    }
}
