//! `[kafka]`: what is handed on to librdkafka, less what the promises rest on.

use super::super::keys::Section;
use super::super::librdkafka::{self, Refusal};
use super::super::typed::KafkaProperties;
use super::checker::Checker;

/// How soon a new topic is seen; librdkafka's own default is five minutes.
const REFRESH: (&str, &str) = ("topic.metadata.refresh.interval.ms", "30000");
const GROUP_PROTOCOL: &str = "group.protocol";

pub(super) fn kafka(check: &mut Checker<'_>) -> Option<KafkaProperties> {
    let given: Vec<_> = check.properties().collect();
    let mut whole = true;
    for (name, _) in &given {
        if let Some(refusal) = librdkafka::refusal(name) {
            whole = false;
            refuse(check, name, refusal);
        }
    }
    whole &= group_protocol(check, &given);
    let own = std::iter::once(REFRESH);
    let properties = own.chain(given).map(|(name, value)| (name.to_owned(), value.to_owned()));
    whole.then(|| KafkaProperties::new(properties))
}

fn refuse(check: &mut Checker<'_>, name: &str, refusal: Refusal) {
    let (what, remedy) = match refusal {
        Refusal::UseInstead(setting) => {
            ("the property can't be set here".to_owned(), format!("set {setting} instead"))
        }
        Refusal::Fixed(why) => {
            (format!("the property can't be set: {why}"), "remove the line".to_owned())
        }
    };
    check.problem_at(Section::Kafka, name, what, remedy);
}

/// With `group.protocol = consumer`, some settings are the broker's.
fn group_protocol(check: &mut Checker<'_>, given: &[(&str, &str)]) -> bool {
    let value = given.iter().find(|(name, _)| *name == GROUP_PROTOCOL).map(|(_, value)| *value);
    match value {
        None => true,
        Some(value) if value.eq_ignore_ascii_case("classic") => true,
        Some(value) if value.eq_ignore_ascii_case("consumer") => brokers_own(check, given),
        Some(_) => {
            let what = "the value is not one of classic, consumer";
            check.problem_at(Section::Kafka, GROUP_PROTOCOL, what, "the default is classic");
            false
        }
    }
}

fn brokers_own(check: &mut Checker<'_>, given: &[(&str, &str)]) -> bool {
    let clash = |name: &&str| librdkafka::NOT_WITH_CONSUMER_PROTOCOL.contains(name);
    let clashes: Vec<_> = given.iter().map(|(name, _)| *name).filter(clash).collect();
    for name in &clashes {
        let what = "the broker decides this with group.protocol = consumer";
        check.problem_at(Section::Kafka, name, what, "remove one of the two lines");
    }
    clashes.is_empty()
}
