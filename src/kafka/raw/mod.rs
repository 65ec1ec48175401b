//! librdkafka in safe types: handles, lists, queues, events, batches.
//!
//! Each handle is owned by one type and given back when that is dropped. A [`Client`] is shared
//! by [`std::sync::Arc`]; queues, events and batches hold one, so the library's object goes
//! last. Error codes are read as plain integers: a broker may send codes that the bindings'
//! enum doesn't know, and reading such a value as a Rust enum would be undefined.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::time::Duration;

use rdkafka::bindings as rd;

use super::error::{Code, KafkaError};

mod admin;
mod batch;
mod client;
mod complaint;
mod describe;
mod group;
mod layout;
mod list;
mod mock;
mod produce;
mod queue;

pub use admin::Rights;
pub use batch::{Header, Headers};
pub(super) use batch::{RawBatch, RawMessage};
pub(super) use client::{Client, Kind};
pub use describe::{Broker, Brokers, Group, Member};
pub(super) use group::leave_group;
pub(super) use list::{Entry, PartitionList};
pub(super) use mock::MockCluster;
pub use produce::Outgoing;
pub(super) use queue::{CONSUMER_EVENTS, Notice, PRODUCER_EVENTS, Queue};

// The bindings have these with an enum of the codes that were known when they were made; a newer
// broker may send others, and those must not be read as that enum.
unsafe extern "C" {
    fn rd_kafka_err2str(err: c_int) -> *const c_char;
    fn rd_kafka_error_code(error: *const rd::rd_kafka_error_t) -> c_int;
    fn rd_kafka_event_error(event: *mut rd::rd_kafka_event_t) -> c_int;
    fn rd_kafka_committed(
        rk: *mut rd::rd_kafka_t,
        partitions: *mut rd::rd_kafka_topic_partition_list_t,
        timeout_ms: c_int,
    ) -> c_int;
    fn rd_kafka_metadata(
        rk: *mut rd::rd_kafka_t,
        all_topics: c_int,
        only: *mut rd::rd_kafka_topic_t,
        metadata: *mut *const rd::rd_kafka_metadata,
        timeout_ms: c_int,
    ) -> c_int;
    fn rd_kafka_commit_queue(
        rk: *mut rd::rd_kafka_t,
        offsets: *const rd::rd_kafka_topic_partition_list_t,
        queue: *mut rd::rd_kafka_queue_t,
        callback: *const c_void,
        opaque: *mut c_void,
    ) -> c_int;
}

/// What the library says about `code`.
pub(super) fn error_text(code: Code) -> String {
    // SAFETY: any integer is allowed; the text is static or thread-local, and copied at once.
    unsafe { text(rd_kafka_err2str(code.0)) }
}

/// Copies a C string; NULL becomes empty, bytes that are not UTF-8 are replaced.
///
/// # Safety
/// `ptr` is NULL or a NUL-terminated string that lives through the call.
unsafe fn text(ptr: *const c_char) -> String {
    if ptr.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(ptr) }.to_string_lossy().into_owned()
}

fn c_string(what: &'static str, value: &str) -> Result<CString, KafkaError> {
    CString::new(value).map_err(|_| KafkaError::Nul { what, text: value.to_owned() })
}

/// An error object of the library as ours; consumes it. NULL is success.
///
/// # Safety
/// `error` is NULL or an error object that belongs to the caller.
unsafe fn consume_error(
    what: &'static str,
    error: *mut rd::rd_kafka_error_t,
) -> Result<(), KafkaError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not NULL, hence a live object of ours, destroyed once.
    unsafe {
        let code = Code(rd_kafka_error_code(error));
        let text = text(rd::rd_kafka_error_string(error));
        rd::rd_kafka_error_destroy(error);
        Err(KafkaError::Request { what, code, text })
    }
}

fn check(what: &'static str, code: Code) -> Result<(), KafkaError> {
    match code {
        Code::NONE => Ok(()),
        code => Err(KafkaError::request(what, code)),
    }
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}
