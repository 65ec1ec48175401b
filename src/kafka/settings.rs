//! What a client is started with. Pure.
//!
//! The promises rest on some properties (a commit only of what is durable, positions only from
//! us, markers covered, no silent reset): those are set last, whatever was passed on.

use std::fmt;

use crate::types::Isolation;

/// What every client needs.
#[derive(Clone, Default)]
pub struct ClientSettings {
    /// `bootstrap.servers`.
    pub bootstrap: String,
    /// `client.id`, which brokers log.
    pub client_id: String,
    /// Further properties, passed on as they are.
    pub extra: Vec<(String, String)>,
}

/// What a member of the group needs beside that.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Where and as whom.
    pub client: ClientSettings,
    /// `group.id`.
    pub group: String,
    /// `group.instance.id`: static membership.
    pub group_instance_id: Option<String>,
    /// Which records of transactions count.
    pub isolation: Isolation,
    /// How much memory fetched records may take.
    pub fetched: Fetched,
}

/// How much memory fetched records may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes, in the library and in the batch that was taken from it.
    pub bytes: u64,
    /// How many brokers may answer at the same time.
    pub brokers: usize,
}

impl Fetched {
    /// Bytes of keys and values that a batch should take at most.
    #[must_use]
    pub const fn in_hand(self) -> u64 {
        self.bytes / 8
    }
}

/// Shows the names of further properties, not their values: some are secrets.
impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra: Vec<&str> = self.extra.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("ClientSettings")
            .field("bootstrap", &self.bootstrap)
            .field("client_id", &self.client_id)
            .field("extra", &extra)
            .finish()
    }
}

impl ClientSettings {
    /// The properties of a client that only asks.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, String)> {
        let mut all = Vec::with_capacity(self.extra.len() + 2);
        put(&mut all, "client.id", &self.client_id);
        all.extend(self.extra.iter().filter(|(key, _)| !for_consumers(key)).cloned());
        put(&mut all, "bootstrap.servers", &self.bootstrap);
        all
    }
}

impl ConsumerSettings {
    /// The properties of a member of the group. What stands later wins.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, String)> {
        let mut all = Vec::with_capacity(self.client.extra.len() + 24);
        put(&mut all, "client.id", &self.client.client_id);
        put_defaults(&mut all);
        all.extend(self.client.extra.iter().cloned());
        self.put_fixed(&mut all);
        all
    }

    /// What may not.
    fn put_fixed(&self, all: &mut Vec<(String, String)>) {
        put(all, "bootstrap.servers", &self.client.bootstrap);
        put(all, "group.id", &self.group);
        if let Some(id) = &self.group_instance_id {
            put(all, "group.instance.id", id);
        }
        put(all, "isolation.level", self.isolation.as_str());
        put(all, "enable.auto.commit", "false");
        put(all, "enable.auto.offset.store", "false");
        put(all, "auto.offset.reset", "error");
        put(all, "enable.partition.eof", "true");
        put(all, "allow.auto.create.topics", "false");
        if !self.brokers_assign() {
            put(all, "partition.assignment.strategy", "cooperative-sticky");
        }
        for (key, value) in self.limits().properties() {
            put(all, key, &value.to_string());
        }
    }

    /// Answers may be set smaller than there is memory for, but not larger.
    fn limits(&self) -> Limits {
        let set = |key: &str| {
            let (_, value) = self.client.extra.iter().rfind(|(name, _)| name == key)?;
            value.parse::<u64>().ok()
        };
        let mut limits = Limits::of(self.fetched);
        let fetch = set("fetch.max.bytes").unwrap_or(u64::MAX).max(LEAST_FETCH);
        limits.fetch = limits.fetch.min(fetch);
        let partition = set("max.partition.fetch.bytes").unwrap_or(u64::MAX).max(1);
        limits.partition = limits.partition.min(partition);
        limits
    }

    /// Whether the group's newer protocol was asked for, in which the brokers assign.
    fn brokers_assign(&self) -> bool {
        let protocol = self.client.extra.iter().rfind(|(key, _)| key == "group.protocol");
        protocol.is_some_and(|(_, value)| value.eq_ignore_ascii_case("consumer"))
    }
}

/// The library takes no smaller limit for an answer.
const LEAST_FETCH: u64 = 1000;

/// Limits of the library that keep what was fetched within a budget.
///
/// An eighth is for what waits in its queue, and as much for what each message takes beside its own,
/// some 500 bytes, which the library does not count. It fetches for as long as the queue is below
/// that, so an answer of each broker comes on top: a sixteenth on the wire, all together, and four
/// times that when it is unpacked. An eighth is for the batch that was taken last
/// ([`Fetched::in_hand`]), the rest for what the allocator can't give back.
///
/// An answer has at least one batch of the producer, however large; the library wants its limit
/// to be at least `message.max.bytes`, which means nothing else to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    queued_kbytes: u64,
    queued_messages: u64,
    fetch: u64,
    partition: u64,
}

impl Limits {
    const MIB: u64 = 1024 * 1024;

    fn of(Fetched { bytes, brokers }: Fetched) -> Self {
        let brokers = u64::try_from(brokers).unwrap_or(u64::MAX).max(1);
        let fetch = (bytes / 16 / brokers).clamp(Self::MIB / 8, 50 * Self::MIB);
        Self {
            queued_kbytes: (bytes / 8 / 1024).clamp(1024, 2_000_000),
            queued_messages: (bytes / 8 / 512).clamp(1000, 1_000_000),
            fetch,
            partition: (fetch / 4).clamp(Self::MIB / 8, Self::MIB),
        }
    }

    fn properties(self) -> [(&'static str, u64); 6] {
        [
            ("message.max.bytes", self.fetch.min(1_000_000)),
            ("queued.max.messages.kbytes", self.queued_kbytes),
            ("queued.min.messages", self.queued_messages),
            ("fetch.max.bytes", self.fetch),
            ("max.partition.fetch.bytes", self.partition),
            ("fetch.queue.backoff.ms", 20),
        ]
    }
}

/// What may be overruled.
fn put_defaults(all: &mut Vec<(String, String)>) {
    put(all, "topic.metadata.refresh.interval.ms", "30000");
    put(all, "check.crcs", "true");
    put(all, "fetch.wait.max.ms", "200");
    put(all, "reconnect.backoff.max.ms", "5000");
}

fn put(all: &mut Vec<(String, String)>, key: &str, value: &str) {
    if !value.is_empty() {
        all.push((key.to_owned(), value.to_owned()));
    }
}

/// Properties that the library warns about in a client that consumes nothing.
fn for_consumers(key: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "fetch.",
        "queued.",
        "max.partition.fetch",
        "group.",
        "session.timeout",
        "heartbeat.",
        "max.poll.",
        "check.crcs",
        "partition.assignment",
    ];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(extra: &[(&str, &str)]) -> ConsumerSettings {
        ConsumerSettings {
            client: ClientSettings {
                bootstrap: "localhost:9092".to_owned(),
                client_id: String::new(),
                extra: extra.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            },
            group: "g".to_owned(),
            group_instance_id: None,
            isolation: Isolation::ReadCommitted,
            fetched: Fetched { bytes: 64 << 20, brokers: 1 },
        }
    }

    fn value(all: &[(String, String)], key: &str) -> Option<String> {
        all.iter().rfind(|(k, _)| k == key).map(|(_, v)| v.clone())
    }

    #[test]
    fn what_the_promises_rest_on_can_not_be_overruled() {
        let all = settings(&[
            ("enable.auto.commit", "true"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_uncommitted"),
            ("check.crcs", "false"),
        ])
        .properties();
        assert_eq!(value(&all, "enable.auto.commit").as_deref(), Some("false"));
        assert_eq!(value(&all, "auto.offset.reset").as_deref(), Some("error"));
        assert_eq!(value(&all, "isolation.level").as_deref(), Some("read_committed"));
        assert_eq!(value(&all, "check.crcs").as_deref(), Some("false"));
    }

    #[test]
    fn the_brokers_protocol_takes_no_strategy() {
        let all = settings(&[("group.protocol", "consumer")]).properties();
        assert_eq!(value(&all, "partition.assignment.strategy"), None);
    }

    #[test]
    fn limits_stay_within_the_library_s_bounds() {
        for bytes in [0, 1, 1 << 20, 64 << 20, 1 << 40, u64::MAX] {
            for brokers in [0, 1, 3, 1000, usize::MAX] {
                let limits = Limits::of(Fetched { bytes, brokers });
                assert!((1..=2_097_151).contains(&limits.queued_kbytes), "{limits:?}");
                assert!((1..=10_000_000).contains(&limits.queued_messages), "{limits:?}");
                assert!((1000..=1_000_000_000).contains(&limits.fetch), "{limits:?}");
                assert!((1..=limits.fetch).contains(&limits.partition), "{limits:?}");
            }
        }
    }

    #[test]
    fn answers_may_be_set_smaller_but_not_larger() {
        let set = |value: &str| settings(&[("fetch.max.bytes", value)]).limits().fetch;
        assert_eq!(set("500000"), 500_000);
        assert_eq!(set("1"), LEAST_FETCH);
        assert_eq!(set("500000000"), Limits::of(settings(&[]).fetched).fetch);
    }

    #[test]
    fn what_is_fetched_stays_within_its_memory_however_many_brokers_answer() {
        for (bytes, brokers) in [(126 << 20, 1), (126 << 20, 50), (12 << 20, 1), (1 << 30, 100)] {
            let fetched = Fetched { bytes, brokers };
            let limits = Limits::of(fetched);
            let answers = 5 * limits.fetch * brokers as u64;
            let queued = limits.queued_kbytes * 1024 + limits.queued_messages * 512;
            assert!(queued + answers + fetched.in_hand() <= bytes, "{fetched:?}: {limits:?}");
        }
    }

    #[test]
    fn values_do_not_show() {
        let shown = format!("{:?}", settings(&[("sasl.password", "hunter2")]));
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }
}
