//! One broker, tried out from one address: who answers there, how fast, or what is in the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admin::Admin;
use super::error::{Code, KafkaError};
use super::raw::{Brokers, Client, Notice, PRODUCER_EVENTS, Queue};
use super::settings::ClientSettings;
use super::trouble::{Complaint, Trouble};

/// What one broker said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The brokers of its cluster.
    pub brokers: Brokers,
    /// How long it took to answer a question, once connected.
    pub latency: Duration,
}

/// A client that tries to reach a broker and keeps what goes wrong.
pub struct Probe {
    events: Queue,
    client: Arc<Client>,
    complaints: Vec<Complaint>,
}

/// How long a connection may take to be set up, TLS and login included; and a log of all that
/// fails, also of what the library itself does not count as an error.
const OWN: [(&str, &str); 3] = [
    ("socket.connection.setup.timeout.ms", "4000"),
    ("log_level", "6"),
    ("log.connection.close", "true"),
];

/// After a complaint that may pass (another address of the same name may answer), so long is
/// waited for better news.
const GRACE: Duration = Duration::from_secs(2);

impl Probe {
    /// A client for the brokers that `settings` names.
    pub fn new(settings: &ClientSettings) -> Result<Self, KafkaError> {
        let mut properties = settings.properties();
        properties.extend(OWN.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let client = Arc::new(Client::create_for_probe(&properties, PRODUCER_EVENTS)?);
        Ok(Self { events: Queue::main(&client), client, complaints: Vec::new() })
    }

    /// Questions to the cluster over this client.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::of(&self.client)
    }

    /// Asks who is there; gives up at `deadline`, or as soon as it is clear what is wrong.
    pub fn reach(&mut self, deadline: Instant) -> Result<Reached, Trouble> {
        let mut slice = Duration::from_millis(250);
        let mut first_complaint = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client.brokers(slice.min(left)) {
                Ok(_) => return self.measure(deadline),
                Err(error) => self.hear(&error),
            }
            let trouble = Trouble::of(&self.complaints);
            if !self.complaints.is_empty() {
                first_complaint.get_or_insert_with(Instant::now);
            }
            let waited = first_complaint.is_some_and(|at| at.elapsed() >= GRACE);
            if trouble.is_certain() || waited || Instant::now() >= deadline {
                return Err(trouble);
            }
            slice = slice.saturating_mul(2);
        }
    }

    fn measure(&mut self, deadline: Instant) -> Result<Reached, Trouble> {
        let begun = Instant::now();
        let left = deadline.saturating_duration_since(begun);
        match self.client.brokers(left) {
            Ok(brokers) => Ok(Reached { brokers, latency: begun.elapsed() }),
            Err(error) => {
                self.hear(&error);
                Err(Trouble::of(&self.complaints))
            }
        }
    }

    /// Takes down what the library reported; its answer to the question itself only says that
    /// there was none.
    fn hear(&mut self, answer: &KafkaError) {
        while let Some(notice) = self.events.poll(Duration::ZERO) {
            if let Notice::Error { code, text, .. } = notice
                && code != Code::ALL_BROKERS_DOWN
            {
                self.complaints.push(Complaint { code, text });
            }
        }
        let failed = self.client.failures().into_iter();
        self.complaints.extend(failed.map(|text| Complaint { code: Code::TRANSPORT, text }));
        log::debug!("no answer yet: {answer}");
    }
}
