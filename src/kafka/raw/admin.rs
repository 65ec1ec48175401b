//! Questions to the cluster.

use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;

use super::client::{Client, out_of_memory};
use super::list::{Entry, PartitionList, entry};
use super::queue::{Queue, RawEvent};
use super::{
    c_string, consume_error, error_text, millis, rd_kafka_error_code, rd_kafka_metadata, text,
};
use crate::kafka::error::{Code, KafkaError};
use crate::types::{Isolation, TopicId};

/// A topic as metadata has it.
pub(crate) struct TopicEntry {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) code: Code,
}

/// A topic as its description has it.
pub(crate) struct TopicDescription {
    pub(crate) name: String,
    pub(crate) result: Result<(TopicId, Option<Rights>), (Code, String)>,
}

/// What this client's user may do with something, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Read it: fetch a topic's records, join a group and commit its offsets.
    pub read: bool,
    /// See that it is there, and where it stands.
    pub describe: bool,
}

impl Client {
    /// All topics of the cluster, internal ones too.
    pub(crate) fn topics(&self, timeout: Duration) -> Result<Vec<TopicEntry>, KafkaError> {
        let read = |all: &rd::rd_kafka_metadata| {
            let count = usize::try_from(all.topic_cnt).unwrap_or(0);
            // SAFETY: the metadata lives through the call, and has so many topics.
            (0..count).map(|i| unsafe { topic_entry(all.topics.add(i)) }).collect()
        };
        self.metadata("list topics", true, timeout, read)
    }

    /// Asks for metadata, of all topics or of those in use, and gives what `read` makes of it.
    pub(super) fn metadata<T: Default>(
        &self,
        what: &'static str,
        all_topics: bool,
        timeout: Duration,
        read: impl FnOnce(&rd::rd_kafka_metadata) -> T,
    ) -> Result<T, KafkaError> {
        let mut metadata = ptr::null();
        // SAFETY: a live client; what comes belongs to us, is copied and given back.
        unsafe {
            let code = rd_kafka_metadata(
                self.ptr(),
                c_int::from(all_topics),
                ptr::null_mut(),
                &raw mut metadata,
                millis(timeout),
            );
            super::check(what, Code(code))?;
            let Some(all) = metadata.as_ref() else { return Ok(T::default()) };
            let result = read(all);
            rd::rd_kafka_metadata_destroy(metadata);
            Ok(result)
        }
    }

    /// How many brokers the cluster has.
    pub(crate) fn broker_count(&self, timeout: Duration) -> Result<usize, KafkaError> {
        self.metadata("ask for the brokers", false, timeout, |all| {
            usize::try_from(all.broker_cnt).unwrap_or(0)
        })
    }

    /// The broker to describe topics by, if it can't be the controller: between two controllers
    /// there is none, and the mock cluster names one that it doesn't have. Any broker knows.
    fn instead_of_controller(
        &self,
        what: &'static str,
        timeout: Duration,
    ) -> Result<Option<i32>, KafkaError> {
        let (answered_by, brokers) = self.metadata(what, false, timeout, |all| {
            let count = usize::try_from(all.broker_cnt).unwrap_or(0);
            // SAFETY: the metadata lives through the call, and has so many brokers.
            let ids = (0..count).map(|i| unsafe { (*all.brokers.add(i)).id });
            (all.orig_broker_id, ids.collect::<Vec<_>>())
        })?;
        // SAFETY: a live client; it knows since the answer above, and does not wait.
        let controller = unsafe { rd::rd_kafka_controllerid(self.ptr(), 0) };
        if brokers.contains(&controller) {
            return Ok(None);
        }
        let known = brokers.iter().find(|id| **id == answered_by).or_else(|| brokers.first());
        Ok(known.copied())
    }

    /// The ids of topics, and if asked for, what may be done with them; each name at most once.
    pub(crate) fn describe_topics(
        self: &Arc<Self>,
        names: &[&str],
        with_rights: bool,
        timeout: Duration,
    ) -> Result<Vec<TopicDescription>, KafkaError> {
        const WHAT: &str = "describe topics";
        let names = names.iter().map(|n| c_string(WHAT, n)).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let options =
            Options::new(self, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout)?;
        if let Some(broker) = self.instead_of_controller(WHAT, timeout)? {
            options.broker(broker)?;
        }
        if with_rights {
            options.with_rights()?;
        }
        let queue = Queue::new(self);
        // SAFETY: live handles; the names are copied into the collection, that by the request.
        unsafe {
            let topics =
                rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            rd::rd_kafka_DescribeTopics(self.ptr(), topics, options.0, queue.ptr());
            rd::rd_kafka_TopicCollection_destroy(topics);
        }
        let event = answer(WHAT, &queue, rd::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT, timeout)?;
        // SAFETY: a live event of that type, which owns the result.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_DescribeTopics_result(event.ptr());
            let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            Ok((0..count).map(|i| topic_description(*topics.add(i))).collect())
        }
    }

    /// Ends of partitions: the offsets in `list` say which (-2 earliest, -1 latest).
    pub(crate) fn list_offsets(
        self: &Arc<Self>,
        list: &PartitionList,
        isolation: Isolation,
        timeout: Duration,
    ) -> Result<Vec<Entry>, KafkaError> {
        const WHAT: &str = "list offsets";
        let options =
            Options::new(self, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout)?;
        options.isolation(isolation)?;
        let queue = Queue::new(self);
        // SAFETY: live handles; the list is copied by the request.
        unsafe { rd::rd_kafka_ListOffsets(self.ptr(), list.ptr(), options.0, queue.ptr()) };
        let event = answer(WHAT, &queue, rd::RD_KAFKA_EVENT_LISTOFFSETS_RESULT, timeout)?;
        // SAFETY: a live event of that type, which owns the result.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_ListOffsets_result(event.ptr());
            let infos = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            let line = |i| rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(i));
            Ok((0..count).map(|i| entry(line(i))).collect())
        }
    }
}

/// # Safety
/// `topic` is a line of metadata that lives through the call.
unsafe fn topic_entry(topic: *const rd::rd_kafka_metadata_topic) -> TopicEntry {
    // SAFETY: as promised by the caller; the code is read as an integer.
    unsafe {
        TopicEntry {
            name: text((*topic).topic),
            partitions: (*topic).partition_cnt,
            code: Code((&raw const (*topic).err).cast::<c_int>().read()),
        }
    }
}

/// # Safety
/// `topic` is a description that lives through the call.
unsafe fn topic_description(topic: *const rd::rd_kafka_TopicDescription_t) -> TopicDescription {
    // SAFETY: as promised by the caller; error and id belong to the description.
    unsafe {
        let name = text(rd::rd_kafka_TopicDescription_name(topic));
        let error = rd::rd_kafka_TopicDescription_error(topic);
        let code = if error.is_null() { Code::NONE } else { Code(rd_kafka_error_code(error)) };
        if code != Code::NONE {
            let said = text(rd::rd_kafka_error_string(error));
            return TopicDescription { name, result: Err((code, said)) };
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let id = if id.is_null() {
            TopicId::UNKNOWN
        } else {
            TopicId::from_halves(
                rd::rd_kafka_Uuid_most_significant_bits(id),
                rd::rd_kafka_Uuid_least_significant_bits(id),
            )
        };
        let mut count = 0;
        let operations = rd::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
        TopicDescription { name, result: Ok((id, rights(operations, count))) }
    }
}

/// What a list of operations permits; `None` if there is no list, as older brokers have none.
///
/// # Safety
/// `operations` is NULL or has `count` operations, and lives through the call.
pub(super) unsafe fn rights(
    operations: *const rd::rd_kafka_AclOperation_t,
    count: usize,
) -> Option<Rights> {
    use rd::rd_kafka_AclOperation_t as Operation;
    if operations.is_null() {
        return None;
    }
    let has = |wanted: Operation| {
        (0..count).any(|i| {
            // SAFETY: as promised by the caller. Read as an integer, since a broker may know more
            // operations than the bindings.
            let found = unsafe { operations.add(i).cast::<u32>().read() };
            found == wanted as u32 || found == Operation::RD_KAFKA_ACL_OPERATION_ALL as u32
        })
    };
    let read = has(Operation::RD_KAFKA_ACL_OPERATION_READ);
    Some(Rights { read, describe: read || has(Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE) })
}

/// Waits for the one event of the wanted type.
pub(super) fn answer(
    what: &'static str,
    queue: &Queue,
    wanted: c_int,
    timeout: Duration,
) -> Result<RawEvent, KafkaError> {
    // The request has its own timeout and answers by then; this one only bounds a mishap.
    let deadline = Instant::now() + timeout + Duration::from_secs(5);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(event) = queue.poll_event(left) else {
            return Err(KafkaError::request(what, Code::TIMED_OUT));
        };
        // SAFETY: a live event.
        if unsafe { rd::rd_kafka_event_type(event.ptr()) } != wanted {
            continue;
        }
        return match event.code() {
            Code::NONE => Ok(event),
            code => Err(KafkaError::Request { what, code, text: said(code, event.text()) }),
        };
    }
}

pub(super) fn said(code: Code, text: String) -> String {
    if text.is_empty() { error_text(code) } else { text }
}

/// Options of one request.
pub(super) struct Options(*mut rd::rd_kafka_AdminOptions_t);

impl Options {
    pub(super) fn new(
        client: &Client,
        op: rd::rd_kafka_admin_op_t,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        // SAFETY: a live client; the options are ours.
        let options = unsafe { rd::rd_kafka_AdminOptions_new(client.ptr(), op) };
        if options.is_null() {
            out_of_memory();
        }
        let options = Self(options);
        let mut why: [c_char; 256] = [0; 256];
        // SAFETY: live options; the library writes at most the given length, NUL included.
        let code = unsafe {
            rd::rd_kafka_AdminOptions_set_request_timeout(
                options.0,
                millis(timeout).max(1),
                why.as_mut_ptr(),
                why.len(),
            )
        };
        super::check("set a request's timeout", Code(code as c_int))?;
        Ok(options)
    }

    pub(super) fn ptr(&self) -> *const rd::rd_kafka_AdminOptions_t {
        self.0
    }

    /// Has the answer say what may be done with what was asked for.
    pub(super) fn with_rights(&self) -> Result<(), KafkaError> {
        // SAFETY: live options; the result is consumed.
        unsafe {
            let error = rd::rd_kafka_AdminOptions_set_include_authorized_operations(self.0, 1);
            consume_error("ask for rights", error)
        }
    }

    fn broker(&self, id: i32) -> Result<(), KafkaError> {
        let mut why: [c_char; 256] = [0; 256];
        // SAFETY: live options; the library writes at most the given length, NUL included.
        let code = unsafe {
            rd::rd_kafka_AdminOptions_set_broker(self.0, id, why.as_mut_ptr(), why.len())
        };
        super::check("choose a broker for a request", Code(code as c_int))
    }

    fn isolation(&self, isolation: Isolation) -> Result<(), KafkaError> {
        use rd::rd_kafka_IsolationLevel_t as Level;
        let level = match isolation {
            Isolation::ReadUncommitted => Level::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
            Isolation::ReadCommitted => Level::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        };
        // SAFETY: live options; the result is consumed.
        unsafe {
            let error = rd::rd_kafka_AdminOptions_set_isolation_level(self.0, level);
            consume_error("set a request's isolation level", error)
        }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { rd::rd_kafka_AdminOptions_destroy(self.0) }
    }
}
