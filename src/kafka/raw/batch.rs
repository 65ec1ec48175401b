//! Messages taken from a queue many at once, and what is in them.

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::client::Client;
use super::queue::Queue;
use super::{layout, millis, text};
use crate::kafka::error::{Code, KafkaError};
use crate::types::{Timestamp, TimestampType};

/// Messages that were taken at once. They are given back when the batch is refilled or dropped.
pub(crate) struct RawBatch {
    /// `messages[..filled]` are ours; the rest is NULL or was given back.
    messages: Vec<*mut rd::rd_kafka_message_t>,
    filled: usize,
    /// Keeps the client until the last message is given back.
    client: Option<Arc<Client>>,
}

// SAFETY: messages are plain memory; the library counts their references atomically.
unsafe impl Send for RawBatch {}

impl RawBatch {
    /// A batch that takes up to `size` messages at once.
    pub(crate) fn with_capacity(size: usize) -> Self {
        Self { messages: vec![ptr::null_mut(); size.max(1)], filled: 0, client: None }
    }

    /// Gives back what is held, and takes what `queue` has. Waits up to `timeout` for the first
    /// message, never for more.
    pub(crate) fn fill(&mut self, queue: &Queue, client: &Arc<Client>, timeout: Duration) {
        self.clear();
        if !self.client.as_ref().is_some_and(|held| Arc::ptr_eq(held, client)) {
            self.client = Some(Arc::clone(client));
        }
        self.take(queue, Duration::ZERO, self.messages.len());
        if self.filled == 0 && !timeout.is_zero() {
            // The library waits until it has as many as asked for: so for one only.
            self.take(queue, timeout, 1);
            self.take(queue, Duration::ZERO, self.messages.len() - self.filled);
        }
    }

    fn take(&mut self, queue: &Queue, timeout: Duration, most: usize) {
        let room = self.messages.len().saturating_sub(self.filled).min(most);
        if room == 0 {
            return;
        }
        // SAFETY: `room` pointers behind the filled ones are free to be written; the messages
        // that come belong to us.
        let got = unsafe {
            rd::rd_kafka_consume_batch_queue(
                queue.ptr(),
                millis(timeout),
                self.messages.as_mut_ptr().add(self.filled),
                room,
            )
        };
        self.filled += usize::try_from(got).unwrap_or(0);
    }

    pub(crate) fn clear(&mut self) {
        let filled = std::mem::take(&mut self.filled);
        for message in self.messages.iter().take(filled) {
            // SAFETY: ours, given back once: `filled` is 0 from here on.
            unsafe { rd::rd_kafka_message_destroy(*message) }
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<RawMessage<'_>> {
        let message = *self.messages.get(..self.filled)?.get(index)?;
        Some(RawMessage { message: NonNull::new(message)?, batch: PhantomData })
    }

    /// The messages from `start` to before `end`, as far as there are such.
    pub(crate) fn iter(&self, start: usize, end: usize) -> impl Iterator<Item = RawMessage<'_>> {
        let end = end.min(self.filled);
        let held = self.messages.get(start..end).unwrap_or_default();
        held.iter().filter_map(|message| {
            Some(RawMessage { message: NonNull::new(*message)?, batch: PhantomData })
        })
    }
}

impl Drop for RawBatch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One message of a batch.
#[derive(Clone, Copy)]
pub(crate) struct RawMessage<'a> {
    message: NonNull<rd::rd_kafka_message_t>,
    batch: PhantomData<&'a RawBatch>,
}

impl<'a> RawMessage<'a> {
    /// The message's fields. Never as a reference: `err` may hold what its enum does not know.
    fn fields(self) -> *const rd::rd_kafka_message_t {
        self.message.as_ptr()
    }

    pub(crate) fn code(self) -> Code {
        // SAFETY: a live message; its code is read as an integer.
        Code(unsafe { (&raw const (*self.fields()).err).cast::<c_int>().read() })
    }

    /// A key that is equal for messages of one topic as long as both are held.
    pub(crate) fn topic_key(self) -> *const c_void {
        // SAFETY: a live message.
        unsafe { (*self.fields()).rkt.cast() }
    }

    pub(crate) fn topic(self) -> &'a str {
        // SAFETY: a live message.
        let topic = unsafe { (*self.fields()).rkt };
        if topic.is_null() {
            return "";
        }
        // SAFETY: the message holds its topic, which owns the name.
        let name = unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(topic)) };
        name.to_str().unwrap_or_default()
    }

    pub(crate) fn partition(self) -> i32 {
        // SAFETY: a live message.
        unsafe { (*self.fields()).partition }
    }

    pub(crate) fn offset(self) -> i64 {
        // SAFETY: a live message.
        unsafe { (*self.fields()).offset }
    }

    pub(crate) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: NULL, or as many bytes as said, which the message owns.
        unsafe { bytes((*self.fields()).key, (*self.fields()).key_len) }
    }

    pub(crate) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: NULL, or as many bytes as said, which the message owns.
        unsafe { bytes((*self.fields()).payload, (*self.fields()).len) }
    }

    pub(crate) fn timestamp(self) -> Option<Timestamp> {
        use rd::rd_kafka_timestamp_type_t as Kind;
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: a live message.
        let millis =
            unsafe { rd::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        let kind = match kind {
            Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => return None,
            Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME => TimestampType::Create,
            Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => TimestampType::LogAppend,
        };
        Some(Timestamp { millis, kind })
    }

    pub(crate) fn leader_epoch(self) -> Option<i32> {
        // SAFETY: a live message.
        let epoch = unsafe { rd::rd_kafka_message_leader_epoch(self.message.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    /// The headers; empty if there are none.
    pub(crate) fn headers(self) -> Result<Headers<'a>, KafkaError> {
        const NONE: Code = Code(-156);
        let mut headers = ptr::null_mut();
        // SAFETY: a live message.
        if unsafe { layout::says_no_headers(self.message.as_ptr()) } {
            return Ok(Headers { list: headers, next: 0, count: 0, batch: PhantomData });
        }
        // SAFETY: a live message, which keeps the parsed headers.
        let code = unsafe {
            let code = rd::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers);
            Code(code as c_int)
        };
        match code {
            Code::NONE => {}
            NONE => headers = ptr::null_mut(),
            code => {
                let (offset, text) = (self.offset(), code.to_string());
                return Err(KafkaError::Headers { offset, text });
            }
        }
        // SAFETY: live headers.
        let count = if headers.is_null() { 0 } else { unsafe { rd::rd_kafka_header_cnt(headers) } };
        Ok(Headers { list: headers, next: 0, count, batch: PhantomData })
    }

    /// What the library says about an error; empty for a record.
    pub(crate) fn error_text(self) -> String {
        // SAFETY: a live message, which owns the text.
        unsafe { text(rd::rd_kafka_message_errstr(self.message.as_ptr())) }
    }
}

/// NULL is null, even if a length is said; anything else is a slice, even an empty one.
///
/// # Safety
/// `data` is NULL or has `len` bytes that live for `'a`.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller.
    Some(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name, which need not be UTF-8, and may be there more than once.
    pub name: &'a [u8],
    /// Its value; null and empty differ.
    pub value: Option<&'a [u8]>,
}

/// The headers of one record, in their order.
pub struct Headers<'a> {
    list: *const rd::rd_kafka_headers_t,
    next: usize,
    count: usize,
    batch: PhantomData<&'a RawBatch>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.next >= self.count {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: live headers, which own name and value.
        unsafe {
            let code = rd::rd_kafka_header_get_all(
                self.list,
                self.next,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            );
            if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return None;
            }
            self.next += 1;
            Some(Header { name: layout::header_name(name), value: bytes(value, size) })
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count - self.next, Some(self.count - self.next))
    }
}

impl ExactSizeIterator for Headers<'_> {}
