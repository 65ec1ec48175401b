//! A thin producer, for the demo and tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{Code, KafkaError};
pub use super::raw::Outgoing;
use super::raw::{Client, Kind, Notice, PRODUCER_EVENTS, Queue};
use super::settings::ClientSettings;

const QUEUE_FULL: Code = Code(-184);

/// Writes records, many at once.
pub struct Producer {
    answers: Queue,
    first: Option<Code>,
    client: Arc<Client>,
}

impl Producer {
    /// Starts a client. Its records keep their order, and none is written twice.
    pub fn new(settings: &ClientSettings) -> Result<Self, KafkaError> {
        let mut properties = vec![
            ("enable.idempotence".to_owned(), "true".to_owned()),
            ("linger.ms".to_owned(), "5".to_owned()),
        ];
        properties.extend(settings.properties());
        let client = Arc::new(Client::create(Kind::Producer, &properties, PRODUCER_EVENTS)?);
        Ok(Self { answers: Queue::main(&client), first: None, client })
    }

    /// Hands a record over; whether it arrived, [`Producer::flush`] says. Waits for room.
    pub fn send(&mut self, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        loop {
            match self.client.produce(record) {
                Err(KafkaError::Request { code: QUEUE_FULL, .. }) => {
                    self.hear(Duration::from_millis(100));
                }
                result => return result,
            }
        }
    }

    /// Waits until everything was answered.
    pub fn flush(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        const WHAT: &str = "write all records";
        let deadline = Instant::now() + timeout;
        while self.client.unanswered() > 0 {
            if Instant::now() >= deadline {
                return Err(KafkaError::request(WHAT, Code::TIMED_OUT));
            }
            self.client.flush(Duration::ZERO);
            self.hear(Duration::from_millis(20));
        }
        match self.first.take() {
            Some(code) => Err(KafkaError::request(WHAT, code)),
            None => Ok(()),
        }
    }

    /// Listens for answers.
    fn hear(&mut self, timeout: Duration) {
        let mut next = self.answers.poll(timeout);
        while let Some(notice) = next {
            match notice {
                Notice::Delivered { error } => {
                    self.first = self.first.or(error);
                }
                Notice::Error { code, text, .. } => log::warn!("producer: {text} ({})", code.0),
                _ => {}
            }
            next = self.answers.poll(Duration::ZERO);
        }
    }
}
