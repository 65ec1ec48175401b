//! The library's list of partitions, with offsets, leader epochs and metadata.

use std::ffi::c_int;
use std::ptr::NonNull;

use rdkafka::bindings as rd;

use super::client::out_of_memory;
use super::{c_string, text};
use crate::kafka::error::{Code, KafkaError};
use crate::types::{Partition, TopicName, TopicPartition};

/// "No offset" in the library's lists.
pub(crate) const NO_OFFSET: i64 = rd::RD_KAFKA_OFFSET_INVALID as i64;

/// A list of partitions that belongs to us.
pub(crate) struct PartitionList(NonNull<rd::rd_kafka_topic_partition_list_t>);

// SAFETY: plain memory without ties to a thread.
unsafe impl Send for PartitionList {}

/// One line of a list, copied out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) metadata: Vec<u8>,
    pub(crate) code: Code,
}

impl Entry {
    /// The partition that is meant; `None` if the names are none of Kafka's.
    pub(crate) fn topic_partition(&self) -> Option<TopicPartition> {
        let topic = TopicName::new(&self.topic).ok()?;
        let partition = Partition::new(self.partition.into()).ok()?;
        Some(TopicPartition::new(topic, partition))
    }
}

impl PartitionList {
    pub(crate) fn with_capacity(size: usize) -> Self {
        let size = c_int::try_from(size).unwrap_or(0);
        // SAFETY: no preconditions; the size is only a hint.
        let list = unsafe { rd::rd_kafka_topic_partition_list_new(size) };
        Self(NonNull::new(list).unwrap_or_else(|| out_of_memory()))
    }

    /// A list of `partitions` without offsets.
    pub(crate) fn of(partitions: &[TopicPartition]) -> Result<Self, KafkaError> {
        let mut list = Self::with_capacity(partitions.len());
        for partition in partitions {
            list.push(partition, NO_OFFSET, None, &[])?;
        }
        Ok(list)
    }

    /// A list of topics, as a subscription has it.
    pub(crate) fn of_topics(topics: &[TopicName]) -> Result<Self, KafkaError> {
        let list = Self::with_capacity(topics.len());
        for topic in topics {
            let name = c_string("subscribe", topic.as_str())?;
            // SAFETY: a live list; the name is copied.
            unsafe { rd::rd_kafka_topic_partition_list_add(list.ptr(), name.as_ptr(), -1) };
        }
        Ok(list)
    }

    /// Adds a partition; the list gets copies of everything.
    pub(crate) fn push(
        &mut self,
        at: &TopicPartition,
        offset: i64,
        leader_epoch: Option<i32>,
        metadata: &[u8],
    ) -> Result<(), KafkaError> {
        let name = c_string("list partitions", at.topic.as_str())?;
        // SAFETY: a live list; the returned line lives until the next push, and we are through
        // with it by then. The library frees `metadata` by free(), so it comes from malloc().
        unsafe {
            let line = rd::rd_kafka_topic_partition_list_add(
                self.ptr(),
                name.as_ptr(),
                at.partition.get(),
            );
            (*line).offset = offset;
            rd::rd_kafka_topic_partition_set_leader_epoch(line, leader_epoch.unwrap_or(-1));
            if !metadata.is_empty() {
                let copy = libc::malloc(metadata.len());
                if copy.is_null() {
                    out_of_memory();
                }
                copy.cast::<u8>().copy_from_nonoverlapping(metadata.as_ptr(), metadata.len());
                (*line).metadata = copy;
                (*line).metadata_size = metadata.len();
            }
        }
        Ok(())
    }

    pub(super) fn ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        // SAFETY: a live list.
        usize::try_from(unsafe { self.0.as_ref() }.cnt).unwrap_or(0)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        // SAFETY: a live list of ours.
        unsafe { entries(self.ptr()) }
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.ptr()) }
    }
}

/// Copies the lines of a list; NULL is an empty one.
///
/// # Safety
/// `list` is NULL or a list that lives through the call.
pub(super) unsafe fn entries(list: *const rd::rd_kafka_topic_partition_list_t) -> Vec<Entry> {
    // SAFETY: as promised by the caller; `elems` has `cnt` lines.
    unsafe {
        let Some(list) = list.as_ref() else { return Vec::new() };
        let count = usize::try_from(list.cnt).unwrap_or(0);
        (0..count).map(|i| entry(list.elems.add(i))).collect()
    }
}

/// Copies one line.
///
/// # Safety
/// `line` is a line of a list that lives through the call.
pub(super) unsafe fn entry(line: *const rd::rd_kafka_topic_partition_t) -> Entry {
    // SAFETY: as promised by the caller; metadata is NULL or has metadata_size bytes.
    unsafe {
        let epoch = rd::rd_kafka_topic_partition_get_leader_epoch(line);
        let (metadata, size) = ((*line).metadata.cast::<u8>(), (*line).metadata_size);
        let metadata = if metadata.is_null() {
            Vec::new()
        } else {
            std::slice::from_raw_parts(metadata, size).to_vec()
        };
        Entry {
            topic: text((*line).topic),
            partition: (*line).partition,
            offset: (*line).offset,
            leader_epoch: (epoch >= 0).then_some(epoch),
            metadata,
            code: Code((&raw const (*line).err).cast::<c_int>().read()),
        }
    }
}
