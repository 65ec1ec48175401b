//! What a consumer does as a member of its group.

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;

use super::client::Client;
use super::list::{Entry, PartitionList};
use super::queue::{Notice, Queue};
use super::{c_string, check, consume_error, millis, rd_kafka_commit_queue, rd_kafka_committed};
use crate::kafka::error::{Code, KafkaError};
use crate::types::TopicPartition;

impl Client {
    pub(crate) fn subscribe(&self, topics: &PartitionList) -> Result<(), KafkaError> {
        // SAFETY: live handles; the list is copied.
        let code = unsafe {
            if topics.len() == 0 {
                rd::rd_kafka_unsubscribe(self.ptr())
            } else {
                rd::rd_kafka_subscribe(self.ptr(), topics.ptr())
            }
        };
        check("subscribe", Code(code as c_int))
    }

    pub(crate) fn incremental_assign(&self, list: &PartitionList) -> Result<(), KafkaError> {
        // SAFETY: live handles; the list is copied, the result consumed.
        unsafe {
            let error = rd::rd_kafka_incremental_assign(self.ptr(), list.ptr());
            consume_error("assign partitions", error)
        }
    }

    pub(crate) fn incremental_unassign(&self, list: &PartitionList) -> Result<(), KafkaError> {
        // SAFETY: live handles; the list is copied, the result consumed.
        unsafe {
            let error = rd::rd_kafka_incremental_unassign(self.ptr(), list.ptr());
            consume_error("unassign partitions", error)
        }
    }

    /// Whether the group's coordinator counts this client as a member.
    pub(crate) fn is_member(&self) -> bool {
        // SAFETY: a live client; the text is ours, and freed once.
        unsafe {
            let id = rd::rd_kafka_memberid(self.ptr());
            let there = !id.is_null() && *id != 0;
            rd::rd_kafka_mem_free(self.ptr(), id.cast());
            there
        }
    }

    /// Whether the partitions that are being revoked belong to others already.
    pub(crate) fn assignment_lost(&self) -> bool {
        // SAFETY: a live client.
        unsafe { rd::rd_kafka_assignment_lost(self.ptr()) != 0 }
    }

    /// Lets each partition of `list` go on at its offset after its leader epoch was checked.
    /// The answer has a code for each.
    pub(crate) fn seek(
        &self,
        list: &PartitionList,
        timeout: Duration,
    ) -> Result<Vec<Entry>, KafkaError> {
        // SAFETY: live handles; the codes are written into the list, the result is consumed.
        unsafe {
            let error = rd::rd_kafka_seek_partitions(self.ptr(), list.ptr(), millis(timeout));
            consume_error("seek partitions", error)?;
        }
        Ok(list.entries())
    }

    /// The group's committed offsets of the partitions in `list`.
    pub(crate) fn committed(
        &self,
        list: &PartitionList,
        timeout: Duration,
    ) -> Result<Vec<Entry>, KafkaError> {
        // SAFETY: live handles; offsets and codes are written into the list.
        let code = unsafe { rd_kafka_committed(self.ptr(), list.ptr(), millis(timeout)) };
        check("ask for committed offsets", Code(code))?;
        Ok(list.entries())
    }

    /// Commits; the answer comes out of `answer`.
    pub(crate) fn commit(&self, list: &PartitionList, answer: &Queue) -> Result<(), KafkaError> {
        // SAFETY: live handles; the list is copied; without a callback the answer is an event.
        let code = unsafe {
            rd_kafka_commit_queue(
                self.ptr(),
                list.ptr(),
                answer.ptr(),
                ptr::null(),
                ptr::null_mut(),
            )
        };
        check("commit offsets", Code(code))
    }

    /// The end of the partition that the last answers to fetches spoke of.
    pub(crate) fn high_watermark(&self, at: &TopicPartition) -> Option<i64> {
        let topic = c_string("ask for a watermark", at.topic.as_str()).ok()?;
        let (mut low, mut high) = (0, 0);
        // SAFETY: live handles.
        let code = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.ptr(),
                topic.as_ptr(),
                at.partition.get(),
                &raw mut low,
                &raw mut high,
            )
        };
        (Code(code as c_int) == Code::NONE && high >= 0).then_some(high)
    }
}

/// Leaves the group; false if that did not come to an end before `deadline`.
pub(crate) fn leave_group(client: &Arc<Client>, deadline: Instant) -> bool {
    let queue = Queue::new(client);
    // SAFETY: live handles; the result is consumed.
    let begun = unsafe {
        let error = rd::rd_kafka_consumer_close_queue(client.ptr(), queue.ptr());
        consume_error("leave the group", error)
    };
    if let Err(error) = begun {
        log::warn!("{error}");
        return false;
    }
    let nothing = PartitionList::with_capacity(0);
    loop {
        // SAFETY: a live client.
        if unsafe { rd::rd_kafka_consumer_closed(client.ptr()) } != 0 {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if let Some(Notice::Revoke(_) | Notice::Assign(_)) =
            queue.poll(left.min(Duration::from_millis(50)))
        {
            // While closing, any answer means "all of them".
            if let Err(error) = client.incremental_unassign(&nothing) {
                log::warn!("{error}");
            }
        }
    }
}
