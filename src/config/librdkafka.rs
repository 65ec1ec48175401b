//! The names that librdkafka has for its settings, and those that the promises do not leave free.
//!
//! Pure. A test asks the linked librdkafka for each name of the list.

/// Why a property may not be set, and what to set instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is a setting for it.
    UseInstead(&'static str),
    /// Its value is fixed, for this reason.
    Fixed(&'static str),
}

const OWN_COMMITS: Refusal =
    Refusal::Fixed("only what the archive has acknowledged is committed, by kafkatos3 itself");
const OWN_QUEUE: Refusal = Refusal::UseInstead("[main] memory_max_bytes");

/// The properties that the promises rest on.
const REFUSED: &[(&str, Refusal)] = &[
    ("auto.commit.enable", OWN_COMMITS),
    ("auto.commit.interval.ms", OWN_COMMITS),
    ("auto.offset.reset", Refusal::UseInstead("[consumer] kafka_auto_offset_reset")),
    ("bootstrap.servers", Refusal::UseInstead("[consumer] kafka_bootstrap")),
    ("enable.auto.commit", OWN_COMMITS),
    ("enable.auto.offset.store", OWN_COMMITS),
    (
        "enable.partition.eof",
        Refusal::Fixed("kafkatos3 needs these events to see where a partition ends"),
    ),
    ("group.id", Refusal::UseInstead("[consumer] kafka_consumer_group")),
    ("group.instance.id", Refusal::UseInstead("[consumer] group_instance_id")),
    ("isolation.level", Refusal::UseInstead("[consumer] isolation_level")),
    ("metadata.broker.list", Refusal::UseInstead("[consumer] kafka_bootstrap")),
    ("offset.store.method", OWN_COMMITS),
    ("offset.store.path", OWN_COMMITS),
    ("offset.store.sync.interval.ms", OWN_COMMITS),
    (
        "partition.assignment.strategy",
        Refusal::Fixed(
            "it is cooperative-sticky; group.protocol = consumer leaves it to the broker",
        ),
    ),
    ("queued.max.messages.kbytes", OWN_QUEUE),
    ("queued.min.messages", OWN_QUEUE),
    ("topic.blacklist", Refusal::UseInstead("[consumer] topic_blacklist")),
];

/// What `group.protocol = consumer` leaves to the broker, and librdkafka then refuses.
pub(super) const NOT_WITH_CONSUMER_PROTOCOL: [&str; 3] =
    ["session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type"];

/// Why `name` may not be set, if so.
pub(super) fn refusal(name: &str) -> Option<Refusal> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, why)| *why)
}

/// The names of all that are refused.
#[cfg(test)]
pub(super) fn refused() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().map(|(name, _)| *name)
}

/// Whether librdkafka knows `name`.
pub(super) fn is_property(name: &str) -> bool {
    PROPERTIES.binary_search(&name).is_ok()
}

/// Every property of librdkafka 2.12 that a file can set, in order.
pub(super) const PROPERTIES: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "batch.num.messages",
    "batch.size",
    "bootstrap.servers",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "builtin.features",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "debug",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.metrics.push",
    "enable.partition.eof",
    "enable.random.seed",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "enabled_events",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "https.ca.location",
    "https.ca.pem",
    "internal.termination.signal",
    "isolation.level",
    "linger.ms",
    "log.connection.close",
    "log.queue",
    "log.thread.name",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.copy.max.bytes",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "partitioner",
    "plugin.library.paths",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "queuing.strategy",
    "receive.message.max.bytes",
    "reconnect.backoff.jitter.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.blocking.max.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.providers",
    "ssl.sigalgs.list",
    "statistics.interval.ms",
    "sticky.partitioning.linger.ms",
    "test.mock.broker.rtt",
    "test.mock.num.brokers",
    "topic.blacklist",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.cnt",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
    "transaction.timeout.ms",
    "transactional.id",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(PROPERTIES.is_sorted());
    }

    /// What the linked library says when the property is set to a value that few can have.
    fn answer(name: &str) -> String {
        let set = rdkafka::ClientConfig::new().set(name, "1").create_native_config();
        set.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_linked_library_knows_every_name() {
        const UNKNOWN: &str = "No such configuration property";
        assert!(answer("no.such.name").contains(UNKNOWN));
        for name in PROPERTIES {
            let answer = answer(name);
            assert!(!answer.contains(UNKNOWN), "{answer}");
        }
    }

    #[test]
    fn what_is_refused_is_a_property() {
        for (name, _) in REFUSED {
            assert!(is_property(name), "{name}");
        }
        assert_eq!(
            refusal("group.id"),
            Some(Refusal::UseInstead("[consumer] kafka_consumer_group"))
        );
        assert_eq!(refusal("fetch.max.bytes"), None);
    }
}
