//! Questions about brokers and groups, which only people ask.

use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::admin::{Options, Rights, answer, rights, said};
use super::client::{Client, out_of_memory};
use super::queue::Queue;
use super::{c_string, rd_kafka_error_code, text};
use crate::kafka::error::{Code, KafkaError};

/// One broker, as the cluster says that it is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
}

/// The brokers, as one of them knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Brokers {
    /// Who answered.
    pub answered_by: i32,
    /// All that live, by id.
    pub all: Vec<Broker>,
}

/// A consumer group, as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How its members share out the partitions; empty if it has none.
    pub assignor: String,
    /// Whether its brokers assign (`group.protocol = consumer`).
    pub brokers_assign: bool,
    /// Its members.
    pub members: Vec<Member>,
    /// What this user may do with it; `None` if the brokers don't tell.
    pub rights: Option<Rights>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it calls itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
}

impl Client {
    /// The brokers. Needs a connection to one of them, and asks for no topic.
    pub(crate) fn brokers(&self, timeout: Duration) -> Result<Brokers, KafkaError> {
        self.metadata("list brokers", false, timeout, |found| {
            let count = usize::try_from(found.broker_cnt).unwrap_or(0);
            // SAFETY: the metadata lives through the call, and has so many brokers.
            let mut all: Vec<_> = (0..count)
                .map(|i| unsafe {
                    let broker = found.brokers.add(i);
                    Broker { id: (*broker).id, host: text((*broker).host), port: (*broker).port }
                })
                .collect();
            all.sort_unstable();
            Brokers { answered_by: found.orig_broker_id, all }
        })
    }

    /// Describes a group; joins nothing. `None`: there is no such group.
    pub(crate) fn describe_group(
        self: &Arc<Self>,
        name: &str,
        timeout: Duration,
    ) -> Result<Option<Group>, KafkaError> {
        const WHAT: &str = "describe the group";
        let op = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = Options::new(self, op, timeout)?;
        options.with_rights()?;
        let name = c_string(WHAT, name)?;
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        let queue = Queue::new(self);
        // SAFETY: live handles; the name is copied by the request.
        unsafe {
            let (names, count) = (names.as_mut_ptr(), names.len());
            rd::rd_kafka_DescribeConsumerGroups(
                self.ptr(),
                names,
                count,
                options.ptr(),
                queue.ptr(),
            );
        }
        let wanted = rd::RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT;
        let event = answer(WHAT, &queue, wanted, timeout)?;
        // SAFETY: a live event of that type, which owns the result.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
            let groups = rd::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            if count == 0 { Ok(None) } else { group(WHAT, *groups) }
        }
    }

    /// Deletes a group that has no members.
    pub(crate) fn delete_group(
        self: &Arc<Self>,
        name: &str,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        const WHAT: &str = "delete the group";
        let op = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEGROUPS;
        let options = Options::new(self, op, timeout)?;
        let name = c_string(WHAT, name)?;
        let queue = Queue::new(self);
        // SAFETY: live handles; the name is copied, and the request copies what it is given.
        unsafe {
            let group = rd::rd_kafka_DeleteGroup_new(name.as_ptr());
            if group.is_null() {
                out_of_memory();
            }
            let mut groups = [group];
            rd::rd_kafka_DeleteGroups(
                self.ptr(),
                groups.as_mut_ptr(),
                groups.len(),
                options.ptr(),
                queue.ptr(),
            );
            rd::rd_kafka_DeleteGroup_destroy(group);
        }
        let event = answer(WHAT, &queue, rd::RD_KAFKA_EVENT_DELETEGROUPS_RESULT, timeout)?;
        // SAFETY: a live event of that type, which owns the result.
        unsafe {
            let mut count = 0;
            let result = rd::rd_kafka_event_DeleteGroups_result(event.ptr());
            let groups = rd::rd_kafka_DeleteGroups_result_groups(result, &raw mut count);
            if count == 0 {
                return Ok(());
            }
            failure(WHAT, rd::rd_kafka_group_result_error(*groups)).map_or(Ok(()), Err)
        }
    }
}

/// # Safety
/// `error` is NULL or an error that lives through the call.
unsafe fn failure(what: &'static str, error: *const rd::rd_kafka_error_t) -> Option<KafkaError> {
    if error.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller.
    let (code, text) =
        unsafe { (Code(rd_kafka_error_code(error)), text(rd::rd_kafka_error_string(error))) };
    (code != Code::NONE).then(|| KafkaError::Request { what, code, text: said(code, text) })
}

/// # Safety
/// `described` is a description that lives through the call.
unsafe fn group(
    what: &'static str,
    described: *const rd::rd_kafka_ConsumerGroupDescription_t,
) -> Result<Option<Group>, KafkaError> {
    // SAFETY: as promised by the caller; all that is read belongs to the description.
    unsafe {
        match failure(what, rd::rd_kafka_ConsumerGroupDescription_error(described)) {
            Some(error) if error.code() == Some(Code::NO_SUCH_GROUP) => return Ok(None),
            Some(error) => return Err(error),
            None => {}
        }
        let mut count = 0;
        let operations =
            rd::rd_kafka_ConsumerGroupDescription_authorized_operations(described, &raw mut count);
        let kind = rd::rd_kafka_ConsumerGroupDescription_type(described);
        let members = rd::rd_kafka_ConsumerGroupDescription_member_count(described);
        let member = |i| {
            let member = rd::rd_kafka_ConsumerGroupDescription_member(described, i);
            Member {
                client_id: text(rd::rd_kafka_MemberDescription_client_id(member)),
                host: text(rd::rd_kafka_MemberDescription_host(member)),
            }
        };
        Ok(Some(Group {
            assignor: text(rd::rd_kafka_ConsumerGroupDescription_partition_assignor(described)),
            brokers_assign: kind
                == rd::rd_kafka_consumer_group_type_t::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER,
            members: (0..members).map(member).collect(),
            rights: rights(operations, count),
        }))
    }
}
