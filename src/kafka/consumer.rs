//! A member of the consumer group that is told, for each partition, where to read.
//!
//! The group's rebalances are answered at once and give partitions away at once, but start
//! none: `Event::Assigned` only says what is ours now. A partition starts when its position is
//! known, by [`Consumer::assign`], at exactly that offset; assigning it again is how to move it.
//! Everything is read from one queue of our own, to which each partition's queue is forwarded
//! before it starts; the library's main queue has events only. See `ledger` for why positions
//! are kept here.
//!
//! What this can't see: a topic that was deleted and created again between two fetches. The
//! library goes on in the new one at the old position, without a word. Whoever needs to know
//! compares the topic's id before and after.

use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::admin::Admin;
use super::batch::{Batch, Slot};
use super::error::{Code, KafkaError};
use super::ledger::{Ledger, Place};
use super::raw::{CONSUMER_EVENTS, Client, Entry, Kind, Notice, PartitionList, Queue, leave_group};
use super::settings::ConsumerSettings;
use crate::types::{Offset, TopicName, TopicPartition};

/// How long the library may take to begin a check of leader epochs, which it answers from its own
/// thread.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// What happened to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These partitions are ours from now on; none of them is read before it is assigned. None
    /// at all: a rebalance came to its end without giving us more.
    Assigned(Vec<TopicPartition>),
    /// These partitions are not ours any more, and not read any more.
    Revoked {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Others may have them already: we were too late.
        lost: bool,
    },
    /// A commit was answered, partition by partition.
    Committed(Vec<(TopicPartition, Offset, Result<(), KafkaError>)>),
    /// No broker can be reached; the library goes on trying.
    AllBrokersDown {
        /// What it says.
        text: String,
    },
    /// An error. After a fatal one this consumer does nothing any more.
    Error {
        /// Whether it is.
        fatal: bool,
        /// Its code.
        code: Code,
        /// What the library says.
        text: String,
    },
}

/// Where a partition is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset to be read.
    pub offset: Offset,
    /// The epoch of the record before, if it is known: then the log is checked against it, and
    /// nothing is delivered before that.
    pub leader_epoch: Option<i32>,
}

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset that comes next.
    pub offset: Offset,
    /// The epoch of the record before it.
    pub leader_epoch: Option<i32>,
    /// What is kept with it.
    pub metadata: String,
}

/// An offset that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The offset that comes next.
    pub offset: Offset,
    /// The epoch of the record before it, if whoever committed it knew.
    pub leader_epoch: Option<i32>,
    /// What was kept with it; other tools may have put anything there.
    pub metadata: Vec<u8>,
}

/// Asks for the group's committed offsets; may go to another thread.
#[derive(Clone)]
pub struct GroupLookup(Arc<Client>);

impl GroupLookup {
    /// What the group has committed for each of `partitions`; one that fails keeps no answer from
    /// the others.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<CommittedOf>, KafkaError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let list = PartitionList::of(partitions)?;
        Ok(self.0.committed(&list, timeout)?.into_iter().filter_map(committed_entry).collect())
    }
}

/// A partition, and what the group has committed for it.
pub type CommittedOf = (TopicPartition, Result<Option<Committed>, KafkaError>);

fn committed_entry(entry: Entry) -> Option<CommittedOf> {
    let partition = entry.topic_partition()?;
    let result = entry_result(&entry, &partition).map(|()| {
        let Entry { offset, leader_epoch, metadata, .. } = entry;
        let offset = Offset::from_kafka(offset).ok()?;
        Some(Committed { offset, leader_epoch, metadata })
    });
    Some((partition, result))
}

fn entry_result(entry: &Entry, partition: &TopicPartition) -> Result<(), KafkaError> {
    if entry.code == Code::NONE {
        return Ok(());
    }
    let (partition, code) = (partition.clone(), entry.code);
    Err(KafkaError::Partition { partition, code, text: code.to_string() })
}

/// A member of a consumer group.
pub struct Consumer {
    records: Queue,
    main: Queue,
    ledger: Ledger,
    owned: HashSet<TopicPartition>,
    subscribed: bool,
    client: Arc<Client>,
}

/// Which call the group's protocol waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Nothing,
    Assign,
    Unassign,
}

impl Consumer {
    /// Starts a client; it joins the group at the first [`Consumer::subscribe`].
    pub fn new(settings: &ConsumerSettings) -> Result<Self, KafkaError> {
        let client = Client::create(Kind::Consumer, &settings.properties(), CONSUMER_EVENTS)?;
        let client = Arc::new(client);
        Ok(Self {
            records: Queue::new(&client),
            main: Queue::of_consumer(&client)?,
            ledger: Ledger::default(),
            owned: HashSet::new(),
            subscribed: false,
            client,
        })
    }

    /// Questions to the cluster over this consumer's connections.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::of(&self.client)
    }

    /// Questions about the group's offsets, also from other threads.
    #[must_use]
    pub fn group(&self) -> GroupLookup {
        GroupLookup(Arc::clone(&self.client))
    }

    /// Joins the group for `topics`, by their exact names; replaces what was subscribed before.
    /// None at all leaves the group.
    pub fn subscribe(&mut self, topics: &[TopicName]) -> Result<(), KafkaError> {
        self.subscribed = !topics.is_empty();
        self.client.subscribe(&PartitionList::of_topics(topics)?)
    }

    /// What happened. Waits up to `timeout` for the first event. Has to be called again and
    /// again, more often than `max.poll.interval.ms`, for the group's sake.
    pub fn events(&mut self, timeout: Duration) -> Result<Vec<Event>, KafkaError> {
        self.check_epochs()?;
        let mut events = Vec::new();
        let mut next = self.main.poll(timeout);
        while let Some(notice) = next {
            events.extend(self.on_notice(notice)?);
            next = self.main.poll(Duration::ZERO);
        }
        Ok(events)
    }

    fn on_notice(&mut self, notice: Notice) -> Result<Option<Event>, KafkaError> {
        match notice {
            Notice::Assign(entries) => self.on_assign(&entries).map(Some),
            Notice::Revoke(entries) => self.on_revoke(&entries).map(Some),
            Notice::Committed { code, entries } => Ok(Some(on_committed(code, &entries))),
            Notice::Error { code: Code::ALL_BROKERS_DOWN, text, .. } => {
                Ok(Some(Event::AllBrokersDown { text }))
            }
            Notice::Error { fatal, code, text } => Ok(Some(self.on_error(fatal, code, text))),
            Notice::Fetch => {
                // It can't be said whose it was, so all start again where they stand.
                log::error!("a record came out of the main queue; starting all partitions anew");
                self.realign(&[], &[], |_| true, Awaited::Nothing)?;
                Ok(None)
            }
            Notice::Delivered { .. } | Notice::Other => Ok(None),
        }
    }

    fn on_assign(&mut self, entries: &[Entry]) -> Result<Event, KafkaError> {
        let partitions = topic_partitions(entries);
        self.owned.extend(partitions.iter().cloned());
        self.realign(&[], &[], |_| true, Awaited::Assign)?;
        Ok(Event::Assigned(partitions))
    }

    fn on_revoke(&mut self, entries: &[Entry]) -> Result<Event, KafkaError> {
        let lost = self.client.assignment_lost();
        let partitions = topic_partitions(entries);
        for partition in &partitions {
            self.owned.remove(partition);
        }
        self.realign(&partitions, &[], |_| true, Awaited::Unassign)?;
        Ok(Event::Revoked { partitions, lost })
    }

    fn on_error(&self, fatal: bool, code: Code, text: String) -> Event {
        match self.client.fatal_error() {
            Some((code, text)) if fatal || code == Code::FATAL => {
                Event::Error { fatal: true, code, text }
            }
            _ => Event::Error { fatal, code, text },
        }
    }

    /// Reads each partition of `starts` from its offset on; one that is read already moves
    /// there. The answer has the new slot of each, or `None` if it is not ours any more. Many at
    /// once cost less than one by one: each call also starts again what stands at its end.
    pub fn assign(&mut self, starts: &[Start]) -> Result<Vec<Option<Slot>>, KafkaError> {
        let ours = |start: &&Start| !self.subscribed || self.owned.contains(&start.partition);
        let wanted: Vec<&Start> = starts.iter().filter(ours).collect();
        let moved: Vec<TopicPartition> = wanted.iter().map(|s| s.partition.clone()).collect();
        self.realign(&moved, &wanted, |place| place.stale, Awaited::Nothing)?;
        self.check_epochs()?;
        Ok(starts.iter().map(|start| self.ledger.slot(&start.partition)).collect())
    }

    /// Stops reading `partitions`; they stay ours.
    pub fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.realign(partitions, &[], |place| place.stale, Awaited::Nothing)
    }

    /// Stops `remove`, starts `add`, and starts those again that `again` picks, where they
    /// stand; all that in at most two calls of the library, which also answer the group if it
    /// waits.
    fn realign(
        &mut self,
        remove: &[TopicPartition],
        add: &[&Start],
        again: impl Fn(&Place) -> bool,
        awaited: Awaited,
    ) -> Result<(), KafkaError> {
        let mut stop: Vec<Place> =
            remove.iter().filter_map(|partition| self.ledger.remove(partition)).collect();
        let again = self.ledger.pick(again);
        stop.extend(again.iter().cloned());
        if !stop.is_empty() || awaited == Awaited::Unassign {
            let stop: Vec<TopicPartition> = stop.into_iter().map(|p| p.partition).collect();
            self.client.incremental_unassign(&PartitionList::of(&stop)?)?;
        }
        for place in &again {
            self.ledger.restarted(&place.partition);
        }
        for start in add {
            self.ledger.add(&start.partition, start.offset, start.leader_epoch);
        }
        self.start(&again, add, awaited)
    }

    fn start(
        &mut self,
        again: &[Place],
        add: &[&Start],
        awaited: Awaited,
    ) -> Result<(), KafkaError> {
        let mut list = PartitionList::with_capacity(again.len() + add.len());
        for place in again {
            list.push(&place.partition, place.next.to_kafka(), place.leader_epoch, &[])?;
        }
        for start in add {
            list.push(&start.partition, start.offset.to_kafka(), start.leader_epoch, &[])?;
        }
        if list.len() == 0 && awaited != Awaited::Assign {
            return Ok(());
        }
        let partitions =
            || again.iter().map(|p| &p.partition).chain(add.iter().map(|s| &s.partition));
        // Before: a partition that starts for the first time must find its queue forwarded, or
        // it goes to the main queue. After: one that was just stopped had its forwarding undone
        // by that, which the library does before it answers the next call.
        for partition in partitions() {
            self.records.attach(partition)?;
        }
        self.client.incremental_assign(&list)?;
        for partition in partitions() {
            self.records.attach(partition)?;
        }
        Ok(())
    }

    /// Has leader epochs checked where that is due. A partition that the library has not
    /// started yet is tried again with the next call.
    fn check_epochs(&mut self) -> Result<(), KafkaError> {
        let due = self.ledger.pick(|place| place.unchecked);
        if due.is_empty() {
            return Ok(());
        }
        let mut list = PartitionList::with_capacity(due.len());
        for place in &due {
            list.push(&place.partition, place.next.to_kafka(), place.leader_epoch, &[])?;
        }
        let entries = match self.client.seek(&list, SEEK_TIMEOUT) {
            Err(error) if error.code() == Some(Code::TIMED_OUT) => return Ok(()),
            result => result?,
        };
        for entry in entries {
            let slot = entry.topic_partition().and_then(|partition| self.ledger.slot(&partition));
            if entry.code == Code::NONE
                && let Some(place) = slot.and_then(|slot| self.ledger.place_mut(slot))
            {
                place.unchecked = false;
            }
        }
        Ok(())
    }

    /// Fills `batch` with what has come, after giving back what it held. Waits up to `timeout`
    /// for the first record, never for a full batch. Returns how many records it has.
    pub fn take(&mut self, batch: &mut Batch, timeout: Duration) -> usize {
        batch.raw.fill(&self.records, &self.client, timeout);
        batch.sort(&mut self.ledger);
        batch.add_complaints(self.client.complaints(), &self.ledger);
        batch.records()
    }

    /// Which partition a slot is of; `None` if it is not read any more.
    #[must_use]
    pub fn partition(&self, slot: Slot) -> Option<&TopicPartition> {
        self.ledger.place(slot).map(|place| &place.partition)
    }

    /// The first offset of a slot that was not delivered yet.
    #[must_use]
    pub fn position(&self, slot: Slot) -> Option<Offset> {
        self.ledger.place(slot).map(|place| place.next)
    }

    /// How many partitions are read.
    #[must_use]
    pub fn reading(&self) -> usize {
        self.ledger.len()
    }

    /// How many messages have come that were not taken yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.records.len()
    }

    /// The end of a partition as the broker said last (the high watermark, also under
    /// read_committed); for display only.
    #[must_use]
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        Offset::from_kafka(self.client.high_watermark(partition)?).ok()
    }

    /// Commits; the answer comes as [`Event::Committed`].
    pub fn commit(&self, commits: &[Commit]) -> Result<(), KafkaError> {
        if commits.is_empty() {
            return Ok(());
        }
        self.client.commit(&commit_list(commits)?, &self.main)
    }

    /// Commits and waits for the answer. If it does not come in time, the commit may still
    /// happen.
    pub fn commit_sync(&self, commits: &[Commit], timeout: Duration) -> Result<(), KafkaError> {
        if commits.is_empty() {
            return Ok(());
        }
        let answer = Queue::new(&self.client);
        self.client.commit(&commit_list(commits)?, &answer)?;
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match answer.poll(left) {
                Some(Notice::Committed { code, entries }) => return committed_all(code, &entries),
                None if left.is_zero() => {
                    return Err(KafkaError::request("commit offsets", Code::TIMED_OUT));
                }
                Some(_) | None => {}
            }
        }
    }

    /// Leaves the group for good, also as a static member, who would stay by [`Consumer::close`]
    /// alone. Returns false if that did not come to an end in time.
    pub fn resign(&mut self, timeout: Duration) -> Result<bool, KafkaError> {
        let deadline = Instant::now() + timeout;
        self.subscribe(&[])?;
        while self.client.is_member() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            // The group is left when the revocation has been answered.
            self.events(Duration::from_millis(20))?;
        }
        Ok(true)
    }

    /// Leaves the group and ends the client. Returns false if that did not come to an end in
    /// time; threads of the library are then still there, and the process should exit. Batches,
    /// [`Admin`]s and [`GroupLookup`]s of this consumer keep the client, but not the membership.
    #[must_use]
    pub fn close(self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let left = leave_group(&self.client, deadline);
        let (done, finished) = mpsc::channel();
        let ending = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
            drop(self);
            // Nobody may be listening any more.
            let _ = done.send(());
        });
        let rest = deadline.saturating_duration_since(Instant::now());
        ending.is_ok() && finished.recv_timeout(rest).is_ok() && left
    }
}

fn topic_partitions(entries: &[Entry]) -> Vec<TopicPartition> {
    entries.iter().filter_map(Entry::topic_partition).collect()
}

fn commit_list(commits: &[Commit]) -> Result<PartitionList, KafkaError> {
    let mut list = PartitionList::with_capacity(commits.len());
    for commit in commits {
        let (offset, epoch) = (commit.offset.to_kafka(), commit.leader_epoch);
        list.push(&commit.partition, offset, epoch, commit.metadata.as_bytes())?;
    }
    Ok(list)
}

fn on_committed(code: Code, entries: &[Entry]) -> Event {
    let each = entries.iter().filter_map(|entry| {
        let partition = entry.topic_partition()?;
        let offset = Offset::from_kafka(entry.offset).ok()?;
        let mut result = entry_result(entry, &partition);
        if result.is_ok() && code != Code::NONE {
            result = Err(KafkaError::request("commit offsets", code));
        }
        Some((partition, offset, result))
    });
    Event::Committed(each.collect())
}

fn committed_all(code: Code, entries: &[Entry]) -> Result<(), KafkaError> {
    for entry in entries {
        if let Some(partition) = entry.topic_partition() {
            entry_result(entry, &partition)?;
        }
    }
    match code {
        Code::NONE => Ok(()),
        code => Err(KafkaError::request("commit offsets", code)),
    }
}
