//! The group: who is in it, whether it may be joined, and whether joining works.
//!
//! The group itself is only described, never joined: a new member would take partitions from
//! those that are there. What joining takes is tried with a group of its own,
//! `GROUP-check-` and 16 hex digits, which is deleted afterwards, where that is allowed; else it
//! has neither members nor offsets, and the broker forgets it within minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{GROUP_PATIENCE, parallel, user};
use crate::cli::Exit;
use crate::cli::check::report::{Area, Line, counted};
use crate::config::Config;
use crate::kafka::{Admin, Code, Consumer, Event, Fetched, Group, KafkaError};
use crate::types::TopicName;
use crate::worker::settings;

/// How long it may take to leave the trial group, and to delete it.
const LEAVING: Duration = Duration::from_secs(1);

/// How soon the group's coordinator is asked again.
const AGAIN: Duration = Duration::from_millis(300);

/// What is fetched for nothing; the least that the library takes.
const QUEUE_BYTES: u64 = 1 << 20;

/// Describes the group and tries to join one like it, at the same time.
pub(super) fn lines(
    config: &Arc<Config>,
    admin: &Admin,
    matching: Option<&[(TopicName, i32)]>,
) -> Vec<Line> {
    let end = Instant::now() + GROUP_PATIENCE;
    let topic = matching.and_then(|all| all.first()).map(|(topic, _)| topic.clone());
    let trial = topic.map(|topic| {
        let config = Arc::clone(config);
        parallel::begin("join", move || join(&config, &topic, end))
    });
    let described = await_coordinator(end, |left| admin.group(&config.consumer.group, left));
    let mut lines = describe(config, described);
    let subject = "a trial join";
    lines.push(match trial {
        None => Line::skip(Area::Group, subject, "not tried, as no topic matches"),
        Some(trial) => {
            let told = parallel::wait(&trial, end + LEAVING + LEAVING);
            let failed = told.unwrap_or(Err(Refused::Silence));
            joined(config, subject, failed)
        }
    });
    lines
}

/// Asks until there is a coordinator: to be asked makes a new cluster have one, a moment later.
fn await_coordinator<T>(
    end: Instant,
    mut ask: impl FnMut(Duration) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    loop {
        let answer = ask(end.saturating_duration_since(Instant::now()));
        let is_away = answer.as_ref().err().is_some_and(is_coordinator_away);
        if !is_away || Instant::now() + AGAIN >= end {
            return answer;
        }
        std::thread::sleep(AGAIN);
    }
}

fn is_coordinator_away(error: &KafkaError) -> bool {
    error.code().is_some_and(Code::is_coordinator_away)
}

/// No failure: it passes, and an instance waits for it.
fn coordinator_away(subject: &str, error: &str) -> Line {
    let found = format!("no coordinator within {} s: {error}", GROUP_PATIENCE.as_secs());
    let todo = "a new cluster needs a while to make the topic __consumer_offsets: check again; if it stays like \
                this, are there as many brokers as their offsets.topic.replication.factor asks for?";
    Line::warn(Area::Group, subject, &found, todo)
}

fn describe(config: &Config, described: Result<Option<Group>, KafkaError>) -> Vec<Line> {
    let group = config.consumer.group.as_str();
    let refused = || {
        let found = "not granted: the group can't be joined, nor its offsets committed";
        let todo =
            format!("grant {} Read on group {group} (kafka-acls --add --consumer)", user(config));
        Line::fail(Area::Right, "group Read", found, &todo, Exit::NoPermission)
    };
    match described {
        Ok(None) => vec![Line::ok(Area::Group, group, "is new")],
        Ok(Some(found)) => {
            let right = match found.rights {
                Some(rights) if !rights.read => refused(),
                Some(_) => Line::ok(Area::Right, "group Read", &format!("granted on {group}")),
                None => Line::skip(Area::Right, "group Read", "the brokers don't tell rights"),
            };
            vec![members(group, &found), right]
        }
        Err(error) if error.code() == Some(Code::GROUP_AUTHORIZATION_FAILED) => vec![refused()],
        Err(error) if is_coordinator_away(&error) => {
            vec![coordinator_away(group, &error.to_string())]
        }
        Err(error) => {
            let todo = "is the group's coordinator there? see the lines about the brokers";
            let exit = Exit::Unavailable;
            vec![Line::fail(Area::Group, group, &error.to_string(), todo, exit)]
        }
    }
}

fn members(name: &str, group: &Group) -> Line {
    if group.members.is_empty() {
        return Line::ok(Area::Group, name, "has no members now");
    }
    let count = counted(group.members.len(), "member");
    let first = group.members.first().map(|member| {
        let host = member.host.trim_start_matches('/');
        format!("{} at {host}", member.client_id)
    });
    let first = first.unwrap_or_default();
    let how = if group.brokers_assign { "the brokers" } else { &group.assignor };
    let found = format!("{count}, assigned by {how} ({first})");
    if group.brokers_assign || group.assignor.is_empty() || group.assignor.contains("cooperative") {
        return Line::ok(Area::Group, name, &found);
    }
    let todo = format!(
        "stop these members before kafkatos3 starts: by \"{}\" they only rebalance eagerly, as the Python kafkatos3 \
         does, and can't share a group with it",
        group.assignor
    );
    Line::warn(Area::Group, name, &found, &todo)
}

/// How the trial went.
struct Joined {
    after: Duration,
    group: String,
    deleted: bool,
}

/// Why it did not go.
enum Refused {
    Silence,
    Error(Option<Code>, String),
}

impl From<KafkaError> for Refused {
    fn from(error: KafkaError) -> Self {
        Self::Error(error.code(), error.to_string())
    }
}

fn join(config: &Config, topic: &TopicName, end: Instant) -> Result<Joined, Refused> {
    let random = getrandom::u64().map_err(|error| Refused::Error(None, error.to_string()))?;
    let group = format!("{}-check-{random:016x}", config.consumer.group);
    let mut settings = settings::member(config, 0, Fetched { bytes: QUEUE_BYTES, brokers: 1 });
    settings.client = settings::client(config, "check");
    settings.group.clone_from(&group);
    // A static member would stay in the group for as long as its session lasts.
    settings.group_instance_id = None;
    let mut consumer = Consumer::new(&settings)?;
    let begun = Instant::now();
    consumer.subscribe(std::slice::from_ref(topic))?;
    let outcome = await_join(&mut consumer, end);
    let admin = consumer.admin();
    let left = consumer.close(LEAVING);
    let after = outcome.map(|()| begun.elapsed())?;
    let deleted = left && admin.delete_group(&group, LEAVING).is_ok();
    Ok(Joined { after, group, deleted })
}

fn await_join(consumer: &mut Consumer, end: Instant) -> Result<(), Refused> {
    let mut last = Refused::Silence;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(last);
        }
        for event in consumer.events(left.min(Duration::from_millis(100)))? {
            match event {
                Event::Assigned(_) => return Ok(()),
                Event::Error { code, text, .. } => {
                    last = Refused::Error(Some(code), text);
                    if matches!(
                        code,
                        Code::GROUP_AUTHORIZATION_FAILED
                            | Code::INVALID_SESSION_TIMEOUT
                            | Code::FATAL
                    ) {
                        return Err(last);
                    }
                }
                Event::Revoked { .. } | Event::Committed(_) | Event::AllBrokersDown { .. } => {}
            }
        }
    }
}

fn joined(config: &Config, subject: &str, outcome: Result<Joined, Refused>) -> Line {
    match outcome {
        Ok(Joined { after, group, deleted }) => {
            let gone =
                if deleted { "deleted again" } else { "empty, the brokers forget it in minutes" };
            let found = format!("{} took {:.1} s; {gone}", group, after.as_secs_f64());
            Line::ok(Area::Group, subject, &found)
        }
        Err(Refused::Silence) => {
            let found = format!("not done within {} s", GROUP_PATIENCE.as_secs());
            let todo = "is the group's coordinator there (the topic __consumer_offsets)? is \
                        group.initial.rebalance.delay.ms of the brokers that long?";
            Line::warn(Area::Group, subject, &found, todo)
        }
        Err(Refused::Error(Some(Code::GROUP_AUTHORIZATION_FAILED), _)) => {
            let group = &config.consumer.group;
            let why =
                format!("no right on a group {group}-check-...; see the right on {group} itself");
            Line::skip(Area::Group, subject, &why)
        }
        Err(Refused::Error(Some(code), text)) if code.is_coordinator_away() => {
            coordinator_away(subject, &text)
        }
        Err(Refused::Error(Some(Code::INVALID_SESSION_TIMEOUT), text)) => {
            let todo = "set [kafka] session.timeout.ms to what the brokers allow: from group.min.session.timeout.ms to \
                        group.max.session.timeout.ms";
            Line::fail(Area::Group, subject, &text, todo, Exit::Config)
        }
        Err(Refused::Error(_, text)) => {
            let todo = "look at the broker's log; with [kafka] group.protocol = consumer, are the brokers 4.0 or later?";
            Line::fail(Area::Group, subject, &text, todo, Exit::Unavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::report::Verdict;

    fn config() -> Config {
        let text = "[main]\nworking_directory = /spool\n[consumer]\nkafka_bootstrap = b:1\n\
                    kafka_consumer_group = g\ntopic_whitelist = t\n[archive]\nurl = file:///archive\n";
        Config::from_text("f", text).unwrap().config
    }

    fn refused(code: i32) -> KafkaError {
        KafkaError::Request { what: "describe the group", code: Code(code), text: "no".to_owned() }
    }

    #[test]
    fn a_cluster_without_coordinator_yet_is_waited_for() {
        let mut answers = vec![Ok("there"), Err(refused(14)), Err(refused(16)), Err(refused(15))];
        let end = Instant::now() + Duration::from_mins(1);
        let answer = await_coordinator(end, |_| answers.pop().unwrap());
        assert_eq!(answer, Ok("there"));
        // Anything else is not asked again, nor is it asked for ever.
        let mut asked = 0;
        let mut ask = |end, code| {
            await_coordinator::<()>(end, |_| {
                asked += 1;
                Err(refused(code))
            })
        };
        assert_eq!(ask(end, 30), Err(refused(30)));
        assert_eq!(ask(Instant::now(), 15), Err(refused(15)));
        assert_eq!(asked, 2);
    }

    #[test]
    fn no_coordinator_yet_is_no_failure() {
        let verdicts = |code| {
            let said = describe(&config(), Err(refused(code)));
            let tried = joined(&config(), "a trial join", Err(refused(code).into()));
            (said.into_iter().map(|line| line.verdict).collect::<Vec<_>>(), tried.verdict)
        };
        for code in [14, 15, 16] {
            assert_eq!(verdicts(code), (vec![Verdict::Warn], Verdict::Warn), "{code}");
        }
        assert_eq!(verdicts(-185), (vec![Verdict::Fail], Verdict::Fail));
    }
}
