//! The library's mock cluster.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::client::{Client, out_of_memory};
use super::{c_string, millis, text};
use crate::kafka::error::{Code, KafkaError};
use crate::types::TopicName;

// As in `mod.rs`: codes are read as integers.
unsafe extern "C" {
    fn rd_kafka_mock_topic_create(
        cluster: *mut rd::rd_kafka_mock_cluster_t,
        topic: *const std::ffi::c_char,
        partitions: c_int,
        replicas: c_int,
    ) -> c_int;
    #[cfg(test)]
    fn rd_kafka_mock_partition_set_leader(
        cluster: *mut rd::rd_kafka_mock_cluster_t,
        topic: *const std::ffi::c_char,
        partition: i32,
        broker: i32,
    ) -> c_int;
}

/// A cluster that lives in threads of this process until it is dropped.
pub(crate) struct MockCluster {
    cluster: NonNull<rd::rd_kafka_mock_cluster_t>,
    /// Keeps the books; goes last.
    _client: Client,
}

// SAFETY: the library locks the cluster in each call; it may be used from any thread.
unsafe impl Send for MockCluster {}

impl MockCluster {
    /// Starts one. `client` keeps its books, and needs no broker itself.
    pub(crate) fn start(client: Client, brokers: c_int) -> Self {
        // SAFETY: a live client, which outlives the cluster.
        let cluster = unsafe { rd::rd_kafka_mock_cluster_new(client.ptr(), brokers) };
        let cluster = NonNull::new(cluster).unwrap_or_else(|| out_of_memory());
        Self { cluster, _client: client }
    }

    /// How long a group's first members wait for others.
    pub(crate) fn set_first_rebalance(&self, delay: Duration) {
        // SAFETY: a live cluster.
        unsafe {
            rd::rd_kafka_mock_group_initial_rebalance_delay_ms(
                self.cluster.as_ptr(),
                millis(delay),
            );
        }
    }

    pub(crate) fn create_topic(
        &self,
        topic: &TopicName,
        partitions: c_int,
    ) -> Result<(), KafkaError> {
        const WHAT: &str = "create a topic";
        let name = c_string(WHAT, topic.as_str())?;
        // SAFETY: a live cluster and a string that lives through the call.
        let code = unsafe {
            rd_kafka_mock_topic_create(self.cluster.as_ptr(), name.as_ptr(), partitions, 1)
        };
        super::check(WHAT, Code(code))
    }

    /// Has the broker lead the partition; -1 is nobody.
    #[cfg(test)]
    pub(crate) fn set_leader(
        &self,
        topic: &TopicName,
        partition: i32,
        broker: i32,
    ) -> Result<(), KafkaError> {
        const WHAT: &str = "set a leader";
        let name = c_string(WHAT, topic.as_str())?;
        // SAFETY: a live cluster and a string that lives through the call.
        let code = unsafe {
            rd_kafka_mock_partition_set_leader(
                self.cluster.as_ptr(),
                name.as_ptr(),
                partition,
                broker,
            )
        };
        super::check(WHAT, Code(code))
    }

    pub(crate) fn bootstrap(&self) -> String {
        // SAFETY: a live cluster; the string is its own, and copied.
        unsafe { text(rd::rd_kafka_mock_cluster_bootstraps(self.cluster.as_ptr())) }
    }
}

impl Drop for MockCluster {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once, before the client.
        unsafe { rd::rd_kafka_mock_cluster_destroy(self.cluster.as_ptr()) }
    }
}
