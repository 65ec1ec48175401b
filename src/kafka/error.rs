//! What can go wrong between us and the cluster.

use std::fmt;

use crate::types::TopicPartition;

/// A librdkafka or broker error code: negative ones come from the library, positive ones from
/// the broker. Codes that newer brokers add are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub i32);

impl Code {
    /// No error.
    pub const NONE: Self = Self(0);
    /// The connection to a broker failed.
    pub const TRANSPORT: Self = Self(-195);
    /// End of the partition reached: an event, not an error.
    pub const PARTITION_EOF: Self = Self(-191);
    /// The client knows no such partition.
    pub const UNKNOWN_PARTITION: Self = Self(-190);
    /// The client knows no such topic.
    pub const UNKNOWN_TOPIC: Self = Self(-188);
    /// No broker can be reached.
    pub const ALL_BROKERS_DOWN: Self = Self(-187);
    /// Not answered in time.
    pub const TIMED_OUT: Self = Self(-185);
    /// Nobody leads the partition now.
    pub const LEADER_NOT_AVAILABLE: Self = Self(5);
    /// The group's coordinator reads its state from the log.
    pub const COORDINATOR_LOAD_IN_PROGRESS: Self = Self(14);
    /// The group has no coordinator now.
    pub const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    /// The group has another coordinator now.
    pub const NOT_COORDINATOR: Self = Self(16);
    /// Wrong state for the call.
    pub const STATE: Self = Self(-172);
    /// The login was refused.
    pub const AUTHENTICATION: Self = Self(-169);
    /// Nothing to commit.
    pub const NO_OFFSET: Self = Self(-168);
    /// The host's name could not be resolved.
    pub const RESOLVE: Self = Self(-193);
    /// TLS failed.
    pub const SSL: Self = Self(-181);
    /// The client can't go on; see the text for the cause.
    pub const FATAL: Self = Self(-150);
    /// `max.poll.interval.ms` went by without a poll.
    pub const MAX_POLL_EXCEEDED: Self = Self(-147);
    /// The position can't be used, and we forbid the library to choose another.
    pub const AUTO_OFFSET_RESET: Self = Self(-140);
    /// The broker's log has diverged from what was read.
    pub const LOG_TRUNCATION: Self = Self(-139);
    /// The position lies outside of the broker's log.
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    /// The broker knows no such topic or partition.
    pub const UNKNOWN_TOPIC_OR_PART: Self = Self(3);
    /// The message is larger than can be fetched.
    pub const MESSAGE_TOO_LARGE: Self = Self(10);
    /// Members of the group have no assignment strategy in common.
    pub const INCONSISTENT_GROUP_PROTOCOL: Self = Self(23);
    /// The topic must not be read by this user.
    pub const TOPIC_AUTHORIZATION_FAILED: Self = Self(29);
    /// The group must not be joined by this user.
    pub const GROUP_AUTHORIZATION_FAILED: Self = Self(30);
    /// The session's time is not what the broker allows.
    pub const INVALID_SESSION_TIMEOUT: Self = Self(26);
    /// There is no such group.
    pub const NO_SUCH_GROUP: Self = Self(69);
    /// The topic's id is unknown to the broker: it was deleted or created again.
    pub const UNKNOWN_TOPIC_ID: Self = Self(100);
}

impl Code {
    /// Whether there is no coordinator for a moment: after a broker's end, or while a new cluster
    /// makes itself its first groups.
    pub const fn is_coordinator_away(self) -> bool {
        matches!(
            self,
            Self::COORDINATOR_LOAD_IN_PROGRESS
                | Self::COORDINATOR_NOT_AVAILABLE
                | Self::NOT_COORDINATOR
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::raw::error_text(*self))
    }
}

/// An error of the Kafka client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// librdkafka refuses a property.
    #[error("Kafka client property \"{key}\": {why}")]
    Property {
        /// The property.
        key: String,
        /// What the library says; without the value if it may be a secret.
        why: String,
    },
    /// The client could not be created.
    #[error("can't create a Kafka client: {why}")]
    Create {
        /// What the library says.
        why: String,
    },
    /// A request failed.
    #[error("can't {what}: {text} ({})", .code.0)]
    Request {
        /// What was asked for, as in "can't ...".
        what: &'static str,
        /// Its code.
        code: Code,
        /// What the library or the broker says.
        text: String,
    },
    /// A request failed for one topic.
    #[error("topic \"{topic}\": {text} ({})", .code.0)]
    Topic {
        /// The topic.
        topic: String,
        /// Its code.
        code: Code,
        /// What the library or the broker says.
        text: String,
    },
    /// A request failed for one partition.
    #[error("{partition}: {text} ({})", .code.0)]
    Partition {
        /// The partition.
        partition: TopicPartition,
        /// Its code.
        code: Code,
        /// What the library or the broker says.
        text: String,
    },
    /// A name or value that C can't take.
    #[error("can't {what}: a NUL byte in \"{text}\"")]
    Nul {
        /// What was asked for.
        what: &'static str,
        /// The text with the byte.
        text: String,
    },
    /// A record's headers can't be parsed.
    #[error("the record at offset {offset} has headers that can't be parsed: {text}")]
    Headers {
        /// The record.
        offset: i64,
        /// What the library says.
        text: String,
    },
}

impl KafkaError {
    /// The code of the library or the broker, if it has one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Request { code, .. }
            | Self::Topic { code, .. }
            | Self::Partition { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// A call that the operating system refused.
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(crate) fn refused(error: std::io::Error) -> Self {
        Self::Request { what: "make this call", code: Code::STATE, text: error.to_string() }
    }

    pub(super) fn request(what: &'static str, code: Code) -> Self {
        Self::Request { what, code, text: code.to_string() }
    }
}
