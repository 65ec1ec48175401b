//! Each broker by itself: those that the configuration names, and those that these name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::parallel;
use crate::cli::Exit;
use crate::cli::check::report::{Area, Line};
use crate::config::Config;
use crate::kafka::probe::{Probe, Reached};
use crate::kafka::trouble::{Kind, Trouble};
use crate::kafka::{Broker, Brokers, KafkaError};
use crate::worker::settings;

/// How long a broker may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much longer its thread may.
const SPARE: Duration = Duration::from_millis(500);

/// More brokers are not tried.
const MOST: usize = 64;

/// How a broker was, or why there is no client to try it with.
type Outcome = Result<Result<Reached, Trouble>, KafkaError>;

fn begin(config: &Arc<Config>, address: String, end: Instant) -> parallel::Pending<Outcome> {
    let mut settings = settings::client(config, "check");
    settings.bootstrap = address;
    parallel::begin("broker", move || {
        let mut probe = Probe::new(&settings)?;
        Ok(probe.reach(end))
    })
}

/// Tries the brokers that the configuration names; what the first that answers knows of all.
pub(super) fn bootstrap(config: &Arc<Config>, lines: &mut Vec<Line>) -> Option<Brokers> {
    let addresses: Vec<&str> = config.consumer.bootstrap.split(',').take(MOST).collect();
    let end = Instant::now() + PATIENCE;
    let pending: Vec<_> =
        addresses.iter().map(|one| begin(config, (*one).to_owned(), end)).collect();
    let outcomes: Vec<_> = pending.iter().map(|one| parallel::wait(one, end + SPARE)).collect();
    let found = outcomes.iter().flatten().find_map(|outcome| match outcome {
        Ok(Ok(reached)) => Some(reached.brokers.clone()),
        _ => None,
    });
    for (address, outcome) in addresses.iter().zip(outcomes) {
        lines.push(line(config, address, &Named::Configuration, outcome, found.is_some()));
    }
    found
}

/// Brokers that are being tried.
pub(super) struct Trial<'a> {
    config: &'a Config,
    brokers: Vec<(Broker, parallel::Pending<Outcome>)>,
    end: Instant,
}

/// Begins to try those brokers that the configuration does not name.
pub(super) fn begin_advertised(config: &Arc<Config>, brokers: Brokers) -> Trial<'_> {
    let named: Vec<&str> = config.consumer.bootstrap.split(',').collect();
    let end = Instant::now() + PATIENCE;
    let others = brokers.all.into_iter().filter(|broker| !named.contains(&&*address(broker)));
    let others = others.take(MOST);
    let brokers = others.map(|broker| {
        let pending = begin(config, address(&broker), end);
        (broker, pending)
    });
    Trial { config, brokers: brokers.collect(), end }
}

impl Trial<'_> {
    /// How they were.
    pub(super) fn lines(self) -> Vec<Line> {
        let told = |(broker, pending): &(Broker, parallel::Pending<Outcome>)| {
            let outcome = parallel::wait(pending, self.end + SPARE);
            let named = Named::Brokers(broker.id);
            line(self.config, &address(broker), &named, outcome, false)
        };
        self.brokers.iter().map(told).collect()
    }
}

fn address(broker: &Broker) -> String {
    if broker.host.contains(':') {
        format!("[{}]:{}", broker.host, broker.port)
    } else {
        format!("{}:{}", broker.host, broker.port)
    }
}

/// Where an address comes from.
enum Named {
    Configuration,
    /// The brokers say that this one is there.
    Brokers(i32),
}

fn line(
    config: &Config,
    address: &str,
    named: &Named,
    outcome: Option<Outcome>,
    others_answer: bool,
) -> Line {
    let trouble = match outcome {
        Some(Ok(Ok(reached))) => {
            let millis = reached.latency.as_micros().div_ceil(1000);
            let found = format!("id {}, answers in {millis} ms", reached.brokers.answered_by);
            return Line::ok(Area::Broker, address, &found);
        }
        Some(Ok(Err(trouble))) => trouble,
        Some(Err(error)) => {
            let todo = "correct this property in [kafka]";
            return Line::fail(Area::Broker, address, &error.to_string(), todo, Exit::Config);
        }
        None => Trouble { kind: Kind::Silence, words: String::new() },
    };
    let found = match named {
        Named::Configuration => found(&trouble),
        Named::Brokers(id) => format!("id {id}; {}", found(&trouble)),
    };
    let (todo, exit) = todo(config, named, trouble.kind);
    if others_answer {
        // kafkatos3 runs with the others, until they are the ones that are away.
        Line::warn(Area::Broker, address, &found, &todo)
    } else {
        Line::fail(Area::Broker, address, &found, &todo, exit)
    }
}

fn found(trouble: &Trouble) -> String {
    let what = match trouble.kind {
        Kind::Silence => return format!("no answer within {} s", PATIENCE.as_secs()),
        Kind::Name => "no such host",
        Kind::Unreachable => "nobody listens there",
        Kind::Disconnected => "closes the connection",
        Kind::NotKafka => "something else than a broker answers there",
        Kind::NeedsTls => "closes the connection, as a listener with TLS does",
        Kind::NeedsLogin => "closes the connection, as a listener with SASL does",
        Kind::NotTls => "no TLS is spoken there",
        Kind::Certificate => "its certificate is not accepted",
        Kind::Tls => "TLS fails",
        Kind::NoLogins => "has no logins",
        Kind::Mechanism => "has no login in this way",
        Kind::Login => "refuses the login",
        Kind::Other => "fails",
    };
    format!("{what} ({})", trouble.words)
}

/// Words of `security.protocol`.
fn protocol(config: &Config) -> (bool, bool) {
    let name = config.kafka.get("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
    (name.ends_with("ssl"), name.starts_with("sasl"))
}

fn todo(config: &Config, named: &Named, kind: Kind) -> (String, Exit) {
    let (tls, sasl) = protocol(config);
    let text = match (kind, named) {
        (Kind::Silence, _) => {
            "open the way there (a firewall that drops packets?), or correct the address".to_owned()
        }
        (Kind::Name | Kind::Unreachable, Named::Brokers(_)) => {
            "this is what the broker advertises: make it reachable from here, or correct advertised.listeners at the \
             broker"
                .to_owned()
        }
        (Kind::Name, Named::Configuration) => {
            "correct the host in [consumer] kafka_bootstrap, or make it known to DNS".to_owned()
        }
        (Kind::Unreachable, Named::Configuration) => {
            "start the broker, or correct host and port in [consumer] kafka_bootstrap".to_owned()
        }
        (Kind::Disconnected, _) if tls => {
            "does the broker want a certificate of ours? set [kafka] ssl.certificate.location and ssl.key.location, and \
             look at the broker's log"
                .to_owned()
        }
        (Kind::Disconnected | Kind::Other, _) => "look at the broker's log".to_owned(),
        (Kind::NotKafka, _) => "correct host and port in [consumer] kafka_bootstrap".to_owned(),
        (Kind::NeedsTls, _) => format!(
            "set [kafka] security.protocol = {}, or use the port of the listener without TLS",
            if sasl { "SASL_SSL" } else { "SSL or SASL_SSL" }
        ),
        (Kind::NeedsLogin, _) => format!(
            "set [kafka] security.protocol = {}, sasl.mechanism, sasl.username and sasl.password",
            if tls { "SASL_SSL" } else { "SASL_PLAINTEXT" }
        ),
        (Kind::NoLogins, _) => format!(
            "set [kafka] security.protocol = {}, or use the port of the listener with SASL",
            if tls { "SSL" } else { "PLAINTEXT" }
        ),
        (Kind::NotTls, _) => format!(
            "set [kafka] security.protocol = {}, or use the port of the listener with TLS",
            if sasl { "SASL_PLAINTEXT" } else { "PLAINTEXT" }
        ),
        (Kind::Certificate, _) => {
            "set [kafka] ssl.ca.location to the authority that signed it; the host in kafka_bootstrap has to be a name \
             in it, and this machine's clock right"
                .to_owned()
        }
        (Kind::Tls, _) => "look at the [kafka] ssl.* properties, and at the broker's log".to_owned(),
        (Kind::Mechanism, _) => {
            "set [kafka] sasl.mechanism to one that the broker has".to_owned()
        }
        (Kind::Login, _) => "correct [kafka] sasl.username and sasl.password".to_owned(),
    };
    let exit = match kind {
        Kind::Login => Exit::NoPermission,
        Kind::Silence | Kind::Name | Kind::Unreachable | Kind::Disconnected | Kind::Other => {
            Exit::Unavailable
        }
        Kind::NotKafka
        | Kind::NeedsTls
        | Kind::NeedsLogin
        | Kind::NotTls
        | Kind::Certificate
        | Kind::Tls
        | Kind::NoLogins
        | Kind::Mechanism => Exit::Config,
    };
    (text, exit)
}

/// How we log in, and whether that went well.
pub(super) fn login(config: &Config, accepted: bool) -> Line {
    let kafka = &config.kafka;
    let (tls, sasl) = protocol(config);
    let name = kafka.get("security.protocol").unwrap_or("plaintext").to_ascii_uppercase();
    let mechanism = kafka.get("sasl.mechanism").or_else(|| kafka.get("sasl.mechanisms"));
    let subject = match mechanism.filter(|_| sasl) {
        Some(mechanism) => format!("{name} {mechanism}"),
        None => name,
    };
    if !accepted {
        return Line::skip(Area::Login, &subject, "not accepted anywhere: see the lines above");
    }
    let who = match kafka.get("sasl.username").filter(|_| sasl) {
        Some(user) => format!("as {user}"),
        None if kafka.get("ssl.certificate.location").is_some() && tls => {
            "by certificate".to_owned()
        }
        None => "as nobody in particular".to_owned(),
    };
    let verified = kafka.get("enable.ssl.certificate.verification") != Some("false");
    match (tls, verified) {
        (true, true) => Line::ok(Area::Login, &subject, &format!("{who}, certificate verified")),
        (true, false) => {
            let found = format!("{who}, certificate not verified");
            let todo = "set [kafka] ssl.ca.location instead of enable.ssl.certificate.verification = false";
            Line::warn(Area::Login, &subject, &found, todo)
        }
        (false, _) => Line::ok(Area::Login, &subject, &format!("{who}, not encrypted")),
    }
}
