//! Writing records.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::client::{Client, out_of_memory};
use super::{c_string, consume_error, millis};
use crate::kafka::error::{Code, KafkaError};
use crate::types::TopicName;

/// A record to be written.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to.
    pub topic: &'a TopicName,
    /// Where to; the library chooses if there is none.
    pub partition: Option<i32>,
    /// Its key; null and empty differ.
    pub key: Option<&'a [u8]>,
    /// Its value; null and empty differ.
    pub value: Option<&'a [u8]>,
    /// Its headers, name and value, in their order.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    /// Milliseconds since 1970; now if there is none.
    pub timestamp: Option<i64>,
}

impl Client {
    /// Hands a record to the library, which copies it.
    pub(crate) fn produce(&self, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let topic = c_string("write a record", record.topic.as_str())?;
        let headers = header_list(record.headers)?;
        let mut parts = vec![
            part(Kind::RD_KAFKA_VTYPE_TOPIC, Value { cstr: topic.as_ptr() }),
            part(
                Kind::RD_KAFKA_VTYPE_MSGFLAGS,
                Value { i: c_int::try_from(rd::RD_KAFKA_MSG_F_COPY).unwrap_or(0) },
            ),
            part(Kind::RD_KAFKA_VTYPE_KEY, memory(record.key)),
            part(Kind::RD_KAFKA_VTYPE_VALUE, memory(record.value)),
            part(Kind::RD_KAFKA_VTYPE_PARTITION, Value { i32_: record.partition.unwrap_or(-1) }),
        ];
        if let Some(millis) = record.timestamp {
            parts.push(part(Kind::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: millis }));
        }
        if !headers.is_null() {
            parts.push(part(Kind::RD_KAFKA_VTYPE_HEADERS, Value { headers }));
        }
        // SAFETY: a live client; everything that the parts point at lives through the call. The
        // headers belong to the library if it succeeds, and to us if not.
        unsafe {
            let error = rd::rd_kafka_produceva(self.ptr(), parts.as_ptr(), parts.len());
            if !error.is_null() && !headers.is_null() {
                rd::rd_kafka_headers_destroy(headers);
            }
            consume_error("write a record", error)
        }
    }

    /// How many records are not answered yet.
    pub(crate) fn unanswered(&self) -> usize {
        // SAFETY: a live client.
        usize::try_from(unsafe { rd::rd_kafka_outq_len(self.ptr()) }).unwrap_or(0)
    }

    /// Sends at once what would wait for more; the answers are left in the queue.
    pub(crate) fn flush(&self, timeout: Duration) {
        // SAFETY: a live client. That it ran out of time shows by what is unanswered.
        unsafe { rd::rd_kafka_flush(self.ptr(), millis(timeout)) };
    }
}

use rd::rd_kafka_vtype_t as Kind;
use rd::rd_kafka_vu_s__bindgen_ty_1 as Value;

fn part(vtype: Kind, u: Value) -> rd::rd_kafka_vu_t {
    rd::rd_kafka_vu_t { vtype, u }
}

fn memory(bytes: Option<&[u8]>) -> Value {
    let (ptr, size) = match bytes {
        Some(bytes) => (bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len()),
        None => (ptr::null_mut(), 0),
    };
    Value { mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
}

fn header_list(
    headers: &[(&[u8], Option<&[u8]>)],
) -> Result<*mut rd::rd_kafka_headers_t, KafkaError> {
    if headers.is_empty() {
        return Ok(ptr::null_mut());
    }
    let length = |bytes: &[u8]| isize::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: the list is ours; names and values are copied.
    unsafe {
        let list = rd::rd_kafka_headers_new(headers.len());
        if list.is_null() {
            out_of_memory();
        }
        for (name, value) in headers {
            let (data, size) = match value {
                Some(value) => (value.as_ptr().cast::<c_void>(), length(value)),
                None => (ptr::null(), 0),
            };
            let name_size = length(name);
            let code = rd::rd_kafka_header_add(list, name.as_ptr().cast(), name_size, data, size);
            if let Err(error) = super::check("add a header", Code(code as c_int)) {
                rd::rd_kafka_headers_destroy(list);
                return Err(error);
            }
        }
        Ok(list)
    }
}
