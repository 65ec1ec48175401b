//! `[consumer]`

use std::time::Duration;

use super::super::keys::{self, Key};
use super::super::patterns::{self, Pattern, TopicPatterns};
use super::super::typed::{Consumer, MakVersion, OffsetReset, OnGap, OnTopicRecreated};
use super::super::units::ByteSize;
use super::checker::Checker;
use super::local::{MOST_WORKERS, SHORTEST};
use crate::types::Isolation;

/// One object is one conditional PUT of at most 4 GiB; what is left is for index and trailer.
const LARGEST_FILE: ByteSize = ByteSize::mib(4000);
/// Smaller files are mostly header.
const SMALLEST_FILE: ByteSize = ByteSize::new(4096);

pub(super) fn consumer(check: &mut Checker<'_>) -> Option<Consumer> {
    let processes = check.number(&keys::CONSUMER_PROCESSES, 0, MOST_WORKERS);
    let bootstrap = bootstrap(check);
    let group = check
        .required(&keys::KAFKA_CONSUMER_GROUP, "name a consumer group of its own, like kafkatos3");
    let topics = topics(check);
    let offset_reset = offset_reset(check);
    let nice_level = check.number(&keys::CONSUMER_NICE_LEVEL, -20, 19);
    let max_age = check.time(&keys::MAX_AGE_SECONDS, SHORTEST);
    let max_file_bytes = check.size(&keys::MAX_FILE_BYTES, SMALLEST_FILE, LARGEST_FILE);
    let max_idle = check.time(&keys::MAX_IDLE_SECONDS, Duration::ZERO);
    let isolation = isolation(check);
    let on_gap = check.word(&keys::ON_GAP, OnGap::WORDS, OnGap::parse);
    let recreated = &keys::ON_TOPIC_RECREATED;
    let on_topic_recreated =
        check.word(recreated, OnTopicRecreated::WORDS, OnTopicRecreated::parse);
    let group_instance_id = check.optional(
        &keys::GROUP_INSTANCE_ID,
        "a name without blanks of at most 200 bytes",
        |text| {
            let fits = text.len() <= 200 && !text.contains(char::is_whitespace);
            fits.then(|| text.to_owned())
        },
    );
    let mak_version = mak_version(check);
    Some(Consumer {
        processes: processes?,
        bootstrap: bootstrap?,
        group: group?.to_owned(),
        topics: topics?,
        offset_reset: offset_reset?,
        nice_level: nice_level?,
        max_age: max_age?,
        max_file_bytes: max_file_bytes?,
        max_idle: max_idle.map(|idle| Some(idle).filter(|idle| !idle.is_zero()))?,
        isolation: isolation?,
        on_gap: on_gap?,
        on_topic_recreated: on_topic_recreated?,
        group_instance_id: group_instance_id?,
        mak_version: mak_version?,
    })
}

fn bootstrap(check: &mut Checker<'_>) -> Option<String> {
    let key = &keys::KAFKA_BOOTSTRAP;
    check.required(key, "name one or more brokers, like kafka-1:9092,kafka-2:9092")?;
    check.parse(key, "a comma-separated list of host:port", |text| {
        let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
        brokers.iter().all(|broker| is_broker(broker)).then(|| brokers.join(","))
    })
}

/// `host`, `host:port`, `[v6]:port`, each perhaps behind a protocol, as librdkafka has them.
fn is_broker(text: &str) -> bool {
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    let (host, port) = match address.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return false,
        Some(Some((host, rest))) => {
            (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some("")))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    !host.is_empty()
        && !host.contains(|c: char| c.is_whitespace() || "/@\"'".contains(c))
        && port_fits
}

fn topics(check: &mut Checker<'_>) -> Option<TopicPatterns> {
    let remedy =
        "list topics or \"^\" regular expressions, separated by commas, like orders, ^pay.*";
    check.required(&keys::TOPIC_WHITELIST, remedy);
    let whitelist = list(check, &keys::TOPIC_WHITELIST).filter(|list| !list.is_empty());
    let blacklist = list(check, &keys::TOPIC_BLACKLIST);
    let topics = TopicPatterns { whitelist: whitelist?, blacklist: blacklist? };
    let is_out = |pattern: &Pattern| topics.blacklist.contains(pattern);
    if topics.whitelist.iter().all(is_out) {
        let what = "the list takes out all that topic_whitelist names";
        check.problem(&keys::TOPIC_BLACKLIST, what, "shorten it, or there is nothing to archive");
        return None;
    }
    Some(topics)
}

fn list(check: &mut Checker<'_>, key: &Key) -> Option<Vec<Pattern>> {
    match patterns::parse_list(check.peek(key)?) {
        Ok(list) => Some(list),
        Err(errors) => {
            for error in errors {
                check.problem(key, error.to_string(), "");
            }
            None
        }
    }
}

/// The original handed any word on; those that Kafka's clients ever knew keep their meaning.
fn offset_reset(check: &mut Checker<'_>) -> Option<OffsetReset> {
    let key = &keys::KAFKA_AUTO_OFFSET_RESET;
    let word = check.peek(key)?;
    if let Some(reset) = OffsetReset::parse(word) {
        return Some(reset);
    }
    let reset = match word.to_ascii_lowercase().as_str() {
        "largest" | "end" => OffsetReset::Latest,
        _ => OffsetReset::Earliest,
    };
    let what = format!("{} is taken for {reset}", check.shown(key));
    check.warning(key, what, format!("write {}", OffsetReset::WORDS.join(" or ")));
    Some(reset)
}

fn isolation(check: &mut Checker<'_>) -> Option<Isolation> {
    let words = [Isolation::ReadCommitted, Isolation::ReadUncommitted].map(Isolation::as_str);
    check.word(&keys::ISOLATION_LEVEL, &words, |text| text.to_ascii_lowercase().parse().ok())
}

fn mak_version(check: &mut Checker<'_>) -> Option<MakVersion> {
    let key = &keys::MAK_VERSION;
    let version = check.word(key, MakVersion::WORDS, MakVersion::parse)?;
    if version == MakVersion::V1 {
        let what = "version 1 has no timestamps, no headers, no checksums, and null is empty in it";
        check.warning(key, what, "keep it only for readers that know nothing else");
    }
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::is_broker;

    #[test]
    fn brokers_are_told_from_typing_errors() {
        for good in [
            "kafka:9092",
            "kafka",
            "10.0.0.1:9092",
            "[::1]:9092",
            "[::1]",
            "SSL://k:9093",
            "k-1.x.y:1",
        ] {
            assert!(is_broker(good), "{good}");
        }
        for bad in [
            "", ":9092", "k:", "k:0", "k:99999", "k:x", "a b:1", "[::1", "[::1]x", "::1", "u@h:1",
            "h/x",
        ] {
            assert!(!is_broker(bad), "{bad}");
        }
    }
}
