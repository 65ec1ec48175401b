//! Queues of the library, and the events that come out of them.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::client::{Client, out_of_memory};
use super::list::{Entry, entries};
use super::{c_string, millis, rd_kafka_event_error, text};
use crate::kafka::error::{Code, KafkaError};
use crate::types::TopicPartition;

/// What a consumer wants to hear of on its main queue.
pub(crate) const CONSUMER_EVENTS: c_int =
    rd::RD_KAFKA_EVENT_REBALANCE | rd::RD_KAFKA_EVENT_OFFSET_COMMIT | rd::RD_KAFKA_EVENT_ERROR;
/// What a producer wants to hear of.
pub(crate) const PRODUCER_EVENTS: c_int = rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_ERROR;

/// A reference to a queue. The client lives as long as it.
pub(crate) struct Queue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    client: Arc<Client>,
}

// SAFETY: the library's queues may be used from any thread.
unsafe impl Send for Queue {}

/// One event, copied out of the library.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The group gave us partitions; waits for an `assign` call.
    Assign(Vec<Entry>),
    /// The group takes partitions; waits for an `unassign` call.
    Revoke(Vec<Entry>),
    /// A commit was answered.
    Committed { code: Code, entries: Vec<Entry> },
    /// The library reports an error.
    Error { fatal: bool, code: Code, text: String },
    /// A record came out where none should.
    Fetch,
    /// Messages were delivered, or not: the first error.
    Delivered { error: Option<Code> },
    /// Something else.
    Other,
}

impl Queue {
    /// A queue of our own.
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        // SAFETY: a live client.
        let queue = unsafe { rd::rd_kafka_queue_new(client.ptr()) };
        Self::wrap(client, queue).unwrap_or_else(|| out_of_memory())
    }

    /// The queue on which a consumer gets its events. From here on the client's own events (its
    /// errors) come there, too.
    pub(crate) fn of_consumer(client: &Arc<Client>) -> Result<Self, KafkaError> {
        // SAFETY: a live client; NULL if it has no group.
        let queue = unsafe {
            rd::rd_kafka_poll_set_consumer(client.ptr());
            rd::rd_kafka_queue_get_consumer(client.ptr())
        };
        let why = "no consumer group".to_owned();
        Self::wrap(client, queue).ok_or(KafkaError::Create { why })
    }

    /// The queue on which a producer gets its events.
    pub(crate) fn main(client: &Arc<Client>) -> Self {
        // SAFETY: a live client.
        let queue = unsafe { rd::rd_kafka_queue_get_main(client.ptr()) };
        Self::wrap(client, queue).unwrap_or_else(|| out_of_memory())
    }

    fn wrap(client: &Arc<Client>, queue: *mut rd::rd_kafka_queue_t) -> Option<Self> {
        Some(Self { queue: NonNull::new(queue)?, client: Arc::clone(client) })
    }

    pub(super) fn ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Lets what is fetched of a partition come out of this queue from now on, what already
    /// waits in the partition's queue included.
    pub(crate) fn attach(&self, from: &TopicPartition) -> Result<(), KafkaError> {
        let topic = c_string("attach a partition's queue", from.topic.as_str())?;
        // SAFETY: live handles; the partition's queue is a reference of ours, given back here.
        unsafe {
            let source = rd::rd_kafka_queue_get_partition(
                self.client.ptr(),
                topic.as_ptr(),
                from.partition.get(),
            );
            if source.is_null() {
                return Err(KafkaError::Partition {
                    partition: from.clone(),
                    code: Code::UNKNOWN_PARTITION,
                    text: Code::UNKNOWN_PARTITION.to_string(),
                });
            }
            rd::rd_kafka_queue_forward(source, self.ptr());
            rd::rd_kafka_queue_destroy(source);
        }
        Ok(())
    }

    /// How much waits here.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: a live queue.
        unsafe { rd::rd_kafka_queue_length(self.ptr()) }
    }

    /// The next event, if one comes in time.
    pub(crate) fn poll(&self, timeout: Duration) -> Option<Notice> {
        Some(self.poll_event(timeout)?.notice())
    }

    pub(super) fn poll_event(&self, timeout: Duration) -> Option<RawEvent> {
        // SAFETY: a live queue; the event belongs to us.
        let event = unsafe { rd::rd_kafka_queue_poll(self.ptr(), millis(timeout)) };
        NonNull::new(event).map(RawEvent)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: our reference, given back once, before the client's.
        unsafe { rd::rd_kafka_queue_destroy(self.ptr()) }
    }
}

/// An event that belongs to us.
pub(super) struct RawEvent(NonNull<rd::rd_kafka_event_t>);

impl RawEvent {
    pub(super) fn ptr(&self) -> *mut rd::rd_kafka_event_t {
        self.0.as_ptr()
    }

    pub(super) fn code(&self) -> Code {
        // SAFETY: a live event.
        Code(unsafe { rd_kafka_event_error(self.ptr()) })
    }

    pub(super) fn text(&self) -> String {
        // SAFETY: a live event, which owns the text.
        unsafe { text(rd::rd_kafka_event_error_string(self.ptr())) }
    }

    fn entries(&self) -> Vec<Entry> {
        // SAFETY: a live event, which owns the list.
        unsafe { entries(rd::rd_kafka_event_topic_partition_list(self.ptr())) }
    }

    fn notice(&self) -> Notice {
        // SAFETY: a live event.
        match unsafe { rd::rd_kafka_event_type(self.ptr()) } {
            rd::RD_KAFKA_EVENT_REBALANCE => {
                if self.code() == ASSIGN_PARTITIONS {
                    Notice::Assign(self.entries())
                } else {
                    Notice::Revoke(self.entries())
                }
            }
            rd::RD_KAFKA_EVENT_OFFSET_COMMIT => {
                Notice::Committed { code: self.code(), entries: self.entries() }
            }
            rd::RD_KAFKA_EVENT_ERROR => {
                // SAFETY: a live event.
                let fatal = unsafe { rd::rd_kafka_event_error_is_fatal(self.ptr()) } != 0;
                Notice::Error { fatal, code: self.code(), text: self.text() }
            }
            rd::RD_KAFKA_EVENT_FETCH => Notice::Fetch,
            rd::RD_KAFKA_EVENT_DR => self.delivered(),
            _ => Notice::Other,
        }
    }

    fn delivered(&self) -> Notice {
        let mut error = None;
        loop {
            // SAFETY: a live event, which owns the messages.
            let message = unsafe { rd::rd_kafka_event_message_next(self.ptr()) };
            if message.is_null() {
                return Notice::Delivered { error };
            }
            // SAFETY: not NULL, hence a message of the event; its code is read as an integer.
            let code = Code(unsafe { (&raw const (*message).err).cast::<c_int>().read() });
            if code != Code::NONE {
                error.get_or_insert(code);
            }
        }
    }
}

const ASSIGN_PARTITIONS: Code = Code(-175);

impl Drop for RawEvent {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { rd::rd_kafka_event_destroy(self.ptr()) }
    }
}
