//! The records of one partition at a time, as the cluster delivers them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::archive::OwnedRecord;
use crate::config::Config;
use crate::kafka::{
    Batch, Consumer, ConsumerSettings, Fetched, KafkaError, Message, Part, PartitionEvent, Slot,
    Start,
};
use crate::types::{Isolation, Offset, TopicPartition};
use crate::worker::settings;

/// What fetched records may take.
const QUEUE_BYTES: u64 = 32 << 20;
/// Records that are taken at once.
const BATCH: usize = 2000;
/// How long the cluster may say nothing.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why the cluster's records can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LiveError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("the cluster does not go on: {0}")]
    Stopped(String),
    #[error("the cluster has sent nothing for a minute")]
    Silent,
}

/// A reader of the cluster that is a member of no group.
pub(super) struct Live {
    consumer: Consumer,
    batch: Batch,
    reading: Option<(TopicPartition, Slot)>,
    ready: VecDeque<OwnedRecord>,
    end: Offset,
    done: bool,
}

/// The settings of a reader that joins no group; asks for its offsets only.
pub(super) fn reader(config: &Config, isolation: Isolation) -> ConsumerSettings {
    ConsumerSettings {
        client: settings::client(config, "verify"),
        group: config.consumer.group.clone(),
        group_instance_id: None,
        isolation,
        fetched: Fetched { bytes: QUEUE_BYTES, brokers: 1 },
    }
}

impl Live {
    pub(super) fn new(config: &Config, isolation: Isolation) -> Result<Self, KafkaError> {
        Ok(Self {
            consumer: Consumer::new(&reader(config, isolation))?,
            batch: Batch::with_capacity(BATCH),
            reading: None,
            ready: VecDeque::new(),
            end: Offset::ZERO,
            done: true,
        })
    }

    /// From now on the records `[from, to)` of `partition`.
    pub(super) fn seek(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        to: Offset,
    ) -> Result<(), LiveError> {
        self.batch.clear();
        self.ready.clear();
        let other = self.reading.take().map(|(before, _)| before).filter(|p| p != partition);
        if let Some(before) = other {
            self.consumer.unassign(&[before])?;
        }
        let start = Start { partition: partition.clone(), offset: from, leader_epoch: None };
        let slot = self.consumer.assign(&[start])?.into_iter().next().flatten();
        let lost = || LiveError::Stopped(format!("{partition} can't be read"));
        self.reading = Some((partition.clone(), slot.ok_or_else(lost)?));
        (self.end, self.done) = (to, from >= to);
        Ok(())
    }

    /// The next record, which stays the next one; `None` behind the last.
    pub(super) fn peek(&mut self) -> Result<Option<&OwnedRecord>, LiveError> {
        let since = Instant::now();
        while self.ready.is_empty() && !self.done {
            if since.elapsed() > PATIENCE {
                return Err(LiveError::Silent);
            }
            self.fill()?;
        }
        Ok(self.ready.front())
    }

    /// Goes on to the one behind it.
    pub(super) fn pop(&mut self) {
        self.ready.pop_front();
    }

    fn fill(&mut self) -> Result<(), LiveError> {
        let Self { consumer, batch, reading, ready, end, done } = self;
        let Some((_, slot)) = reading else { return Ok(()) };
        consumer.take(batch, Duration::from_millis(500));
        for part in batch.parts() {
            match part {
                Part::Run(run) if run.slot() == *slot => {
                    for message in run.messages().filter(|message| message.offset() < *end) {
                        ready.push_back(owned(message)?);
                    }
                }
                Part::Event(of, event) if of == *slot => match event {
                    PartitionEvent::End { next } => *done |= *next >= *end,
                    // The library goes on by itself.
                    PartitionEvent::Error { .. } => {}
                    PartitionEvent::OutOfRange { text, .. }
                    | PartitionEvent::Truncated { text }
                    | PartitionEvent::Gone { text }
                    | PartitionEvent::Forbidden { text } => {
                        return Err(LiveError::Stopped(text.clone()));
                    }
                },
                Part::Run(_) | Part::Event(..) => {}
            }
        }
        *done |= consumer.position(*slot).is_some_and(|at| at >= *end);
        Ok(())
    }

    /// Ends the client.
    pub(super) fn close(self) {
        let Self { consumer, batch, .. } = self;
        drop(batch);
        // What does not end by itself ends with the process.
        let _ = consumer.close(Duration::from_secs(5));
    }
}

fn owned(message: Message<'_>) -> Result<OwnedRecord, KafkaError> {
    let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = message.headers()?;
    Ok(OwnedRecord {
        offset: message.offset(),
        timestamp: message.timestamp(),
        key: bytes(message.key()),
        value: bytes(message.value()),
        headers: headers.map(|header| (header.name.to_vec(), bytes(header.value))).collect(),
    })
}
