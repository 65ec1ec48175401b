//! From what was found to what is told. Pure.

use std::collections::BTreeMap;

use super::local::{Instance, Local, millis};
use super::model::{
    ConsumerStatus, InProgress, PartitionStatus, Phase, Published, State, WorkerStatus,
};
use super::problems;
use super::report::{
    Archived, Doing, InstanceReport, InstanceState, Owner, PartitionReport, PartitionSpool, Place,
    Report, SpoolReport, Stock, StopReport, Totals, WorkerReport,
};
use crate::meta;
use crate::spool::tips::TipFile;
use crate::spool::{SpoolPartition, StopKind};
use crate::store::names::ChainName;
use crate::supervisor::probe::Holder;
use crate::types::{Offset, TopicPartition};

/// The version of the report.
const VERSION: u32 = 1;

/// What was learned from elsewhere.
#[derive(Debug, Default)]
pub struct Remote {
    /// Chains in the archive, the latest of each partition.
    pub chains: Vec<ChainEnd>,
    /// Ends of partitions in Kafka.
    pub ends: Vec<(TopicPartition, Offset)>,
    /// What could not be asked, and why.
    pub notes: Vec<String>,
    /// The archive was asked which chains it has, and did not say.
    pub archive_unread: bool,
}

/// The end of a chain, as the archive has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEnd {
    /// Whose.
    pub partition: TopicPartition,
    /// Its folder.
    pub chain: String,
    /// The first offset that is not archived.
    pub tip: Offset,
    /// What it holds.
    pub archived: Option<Archived>,
    /// Its last object.
    pub last: Option<Published>,
}

/// What is known before anything is looked at.
#[derive(Debug, Default)]
pub struct Known {
    /// Where it was looked.
    pub place: Place,
    /// When.
    pub at_ms: u64,
    /// `spool_max_bytes`.
    pub spool_max_bytes: Option<u64>,
    /// Partitions to be told of; all, if there are none: topics or `TOPIC-PARTITION`.
    pub only: Vec<String>,
}

impl Known {
    fn wants(&self, partition: &PartitionReport) -> bool {
        let name = format!("{}-{}", partition.topic, partition.partition);
        self.only.is_empty()
            || self.only.iter().any(|only| *only == partition.topic || *only == name)
    }
}

/// Puts together what is known.
#[must_use]
pub fn merge(known: Known, local: Option<&Local>, remote: &Remote) -> Report {
    let nothing = Local::default();
    let found = local.unwrap_or(&nothing);
    let mut partitions = Partitions { at_ms: known.at_ms, all: BTreeMap::new() };
    partitions.take_archive(remote);
    partitions.take_tips(found);
    partitions.take_statuses(found);
    partitions.take_files(found);
    partitions.take_stops(found, known.place.config.as_deref());
    partitions.take_ends(remote, known.at_ms);
    let only_archive = local.is_none_or(Local::is_empty);
    let mut all: Vec<_> = partitions.all.into_values().map(|entry| entry.report).collect();
    for partition in &mut all {
        if only_archive && partition.state == Doing::NoOwner && partition.tip.is_some() {
            partition.state = Doing::Archived;
        }
    }
    all.retain(|partition| known.wants(partition));
    let mut report = Report {
        version: VERSION,
        at_ms: known.at_ms,
        instances: instances(found),
        spool: local.map(|local| spool(local, known.spool_max_bytes)),
        totals: totals(&all, found),
        partitions: all,
        notes: found.unread.iter().chain(&remote.notes).cloned().collect(),
        place: known.place,
        ..Report::default()
    };
    report.problems = problems::of(&report, found);
    report.well = !report.problems.iter().any(|problem| problem.kind.is_stop());
    report
}

/// A partition while what is known of it comes together.
struct Entry {
    report: PartitionReport,
    /// When the consumer wrote whose word counts, and whether it lives.
    word: Option<(bool, u64)>,
    /// The oldest file that waits, in milliseconds since 1970.
    oldest_file_ms: Option<u64>,
    oldest_ms: Option<u64>,
    behind_since_ms: Option<u64>,
}

struct Partitions {
    at_ms: u64,
    all: BTreeMap<SpoolPartition, Entry>,
}

impl Partitions {
    fn entry(&mut self, partition: &SpoolPartition) -> &mut Entry {
        self.all.entry(partition.clone()).or_insert_with(|| Entry {
            report: blank(partition),
            word: None,
            oldest_file_ms: None,
            oldest_ms: None,
            behind_since_ms: None,
        })
    }

    /// The same for one whose topic is known in full.
    fn named(&mut self, tp: &TopicPartition) -> &mut Entry {
        let entry = self.entry(&SpoolPartition::of(tp));
        entry.report.topic = tp.topic.to_string();
        entry
    }

    fn take_archive(&mut self, remote: &Remote) {
        for end in &remote.chains {
            let report = &mut self.named(&end.partition).report;
            report.chain = Some(end.chain.clone());
            report.tip = Some(end.tip);
            report.archived = end.archived;
            report.last_object.clone_from(&end.last);
        }
    }

    /// What the spool says of a tip is as new as what the archive said, or newer: it comes from there.
    fn take_tips(&mut self, local: &Local) {
        for tip in &local.tips {
            let report = &mut self.named(&tip.identity.topic_partition()).report;
            if report.tip.is_none_or(|known| known <= tip.position.tip) {
                report.tip = Some(tip.position.tip);
                report.archived = Some(archived(&tip.position.totals));
                if report.last_object.as_ref().is_none_or(|last| last.next != tip.position.tip) {
                    report.last_object = last_of(tip, report.chain.as_deref());
                }
            }
        }
    }

    fn take_statuses(&mut self, local: &Local) {
        for (worker, alive) in &local.workers {
            if let Some(consumer) = &worker.consumer {
                self.take_consumer(worker, *alive, consumer);
            }
            for upload in worker.uploader.iter().flat_map(|uploader| &uploader.partitions) {
                let Ok(partition) = upload.partition.parse() else { continue };
                let report = &mut self.entry(&partition).report;
                let newer = |last: &Published| {
                    report
                        .last_object
                        .as_ref()
                        .is_none_or(|known| (known.next, known.at_ms) <= (last.next, last.at_ms))
                };
                if let Some(last) = upload.last.as_ref().filter(|last| newer(last)) {
                    report.last_object = Some(last.clone());
                    report.tip = report.tip.max(Some(last.next));
                }
                if *alive && upload.trouble.is_some() {
                    report.upload_trouble.clone_from(&upload.trouble);
                }
            }
        }
    }

    fn take_consumer(&mut self, worker: &WorkerStatus, alive: bool, consumer: &ConsumerStatus) {
        for status in &consumer.partitions {
            let entry = self.named(&status.partition);
            // The last word counts, and that of the living before all others.
            let word = (alive, worker.written_ms);
            if entry.word.is_some_and(|before| before > word) {
                continue;
            }
            entry.word = Some(word);
            entry.take(status);
            let report = &mut entry.report;
            if alive {
                report.state = match status.state {
                    State::Stopped => Doing::Stopped,
                    State::Paused => Doing::Paused,
                    State::Finding => Doing::Finding,
                    State::Draining => Doing::Draining,
                    State::Reading => Doing::Reading,
                };
                report.since_ms = Some(status.since_ms);
                report.next = status.next;
                report.in_progress = status.in_progress;
                report.committed = status.committed;
                report.owner = Some(Owner {
                    instance: worker.instance.clone(),
                    consumer: worker.index,
                    pid: worker.pid,
                });
            } else {
                report.since_ms = Some(worker.written_ms);
            }
        }
    }

    fn take_files(&mut self, local: &Local) {
        for file in &local.in_progress {
            let entry = self.entry(&file.name.partition);
            entry.report.spool.in_progress.add(file.bytes);
            if entry.report.owner.is_none() {
                let (start, since_ms) = (file.name.start, millis(file.modified));
                entry.report.in_progress = Some(InProgress { start, since_ms, bytes: file.bytes });
            }
        }
        for file in &local.rotated {
            let entry = self.entry(&file.name.partition);
            entry.report.spool.rotated.add(file.bytes);
            entry.waits_since(millis(file.modified));
        }
        for file in &local.compressed {
            let entry = self.entry(&file.name.partition);
            entry.report.spool.compressed.add(file.bytes);
            entry.waits_since(millis(file.modified));
        }
    }

    fn take_stops(&mut self, local: &Local, config: Option<&str>) {
        for stop in &local.stops {
            let report = &mut self.named(&stop.tp).report;
            report.state = Doing::Stopped;
            report.since_ms = Some(stop.since_ms);
            if report.chain.is_none() {
                report.chain.clone_from(&stop.chain);
            }
            report.stop = Some(StopReport {
                kind: stop.kind.to_string(),
                reason: stop.reason.clone(),
                since_ms: stop.since_ms,
                commands: stop.way_out.iter().map(|line| with_config(line, config)).collect(),
            });
        }
    }

    /// Ends that were just asked for, and what follows from all that is known now.
    fn take_ends(&mut self, remote: &Remote, at_ms: u64) {
        for (tp, end) in &remote.ends {
            let report = &mut self.named(tp).report;
            (report.end, report.end_ms) = (Some(*end), Some(at_ms));
        }
        for entry in self.all.values_mut() {
            entry.measure_lag(self.at_ms);
        }
    }
}

/// Kinds of stops in which the broker's log does not continue the archive.
const PARTED: [StopKind; 3] =
    [StopKind::TopicRecreated, StopKind::OtherCluster, StopKind::Truncated];

impl Entry {
    /// What any consumer knew, alive or not.
    fn take(&mut self, status: &PartitionStatus) {
        let report = &mut self.report;
        report.tip = report.tip.max(status.tip);
        if status.chain.is_some() {
            report.chain.clone_from(&status.chain);
        }
        (report.end, report.end_ms) = (status.end, status.end_ms);
        if report.tip == status.tip {
            (self.oldest_ms, self.behind_since_ms) = (status.oldest_ms, status.behind_since_ms);
        }
    }

    fn waits_since(&mut self, ms: u64) {
        self.oldest_file_ms = Some(self.oldest_file_ms.map_or(ms, |before| before.min(ms)));
    }

    fn measure_lag(&mut self, at_ms: u64) {
        let report = &mut self.report;
        let (Some(tip), Some(end)) = (report.tip, report.end) else { return };
        // Tip and end of two histories say nothing together.
        let parted = |stop: &StopReport| PARTED.iter().any(|kind| stop.kind == kind.as_str());
        if report.stop.as_ref().is_some_and(parted) {
            return;
        }
        let lag = end.get().saturating_sub(tip.get());
        report.lag_records = Some(lag);
        if lag == 0 {
            report.lag_ms = Some(0);
        } else if let Some(oldest) = self.oldest_ms {
            report.lag_ms = Some(at_ms.saturating_sub(oldest));
        } else if let Some(since) =
            [self.behind_since_ms, self.oldest_file_ms].into_iter().flatten().min()
        {
            report.lag_ms = Some(at_ms.saturating_sub(since));
            report.lag_ms_at_least = true;
        }
    }
}

fn blank(partition: &SpoolPartition) -> PartitionReport {
    PartitionReport {
        topic: partition.topic.to_string(),
        partition: partition.partition.get(),
        chain: None,
        state: Doing::NoOwner,
        since_ms: None,
        owner: None,
        tip: None,
        next: None,
        end: None,
        end_ms: None,
        lag_records: None,
        lag_ms: None,
        lag_ms_at_least: false,
        in_progress: None,
        spool: PartitionSpool::default(),
        committed: None,
        archived: None,
        last_object: None,
        upload_trouble: None,
        stop: None,
    }
}

/// What the archive holds, from the totals that its objects carry.
#[must_use]
pub const fn archived(totals: &meta::Totals) -> Archived {
    let meta::Totals { files, records, bytes, gaps, .. } = *totals;
    Archived { files, records, bytes, gaps }
}

/// The last object, as far as the tip tells of it.
fn last_of(tip: &TipFile, chain: Option<&str>) -> Option<Published> {
    let start = tip.position.last_start?;
    let tp = tip.identity.topic_partition();
    let first = ChainName::first(tp.topic).partition(tp.partition);
    let folder = chain.map_or_else(|| first.to_string(), str::to_owned);
    Some(Published {
        object: format!("{folder}/{:020}{}", start.get(), tip.position.suffix),
        start,
        next: tip.position.tip,
        records: None,
        bytes: 0,
        at_ms: 0,
        took_ms: None,
    })
}

/// The command line with the name of the configuration in it, where that is known.
fn with_config(line: &str, config: Option<&str>) -> String {
    let Some(config) = config else { return line.to_owned() };
    let words = line.split(' ').map(|word| if word == "CONFIG" { config } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn instances(local: &Local) -> Vec<InstanceReport> {
    let mut all: BTreeMap<&str, InstanceReport> = BTreeMap::new();
    for (status, alive) in &local.workers {
        let instance = all.entry(&status.instance).or_insert_with(|| absent(&status.instance));
        instance.host = Some(status.host.clone()).filter(|host| !host.is_empty());
        instance.workers.push(WorkerReport {
            role: status.role.clone(),
            index: status.index,
            pid: status.pid,
            alive: *alive,
            phase: status.phase,
            exit_code: status.exit_code,
            started_ms: status.started_ms,
            written_ms: status.written_ms,
            restarts: status.restarts,
        });
    }
    for lock in &local.instances {
        let instance = all.entry(&lock.name).or_insert_with(|| absent(&lock.name));
        judge(instance, lock);
    }
    all.into_values().collect()
}

fn absent(name: &str) -> InstanceReport {
    let instance = name.to_owned();
    let (pid, host, since_ms) = (None, None, None);
    let state = InstanceState::Stopped;
    InstanceReport { instance, state, pid, host, since_ms, workers: Vec::new() }
}

fn judge(instance: &mut InstanceReport, lock: &Instance) {
    let last_word = instance.workers.iter().map(|worker| worker.written_ms).max();
    let all_ended = instance.workers.iter().all(|worker| worker.phase == Phase::Ended);
    let one_lives = instance.workers.iter().any(|worker| worker.alive);
    let here = instance.host.as_deref().is_none_or(|host| host == super::recorder::host());
    (instance.state, instance.pid) = match lock.holder {
        Holder::Supervisor(pid) | Holder::Hidden(pid) => (InstanceState::Running, Some(pid)),
        Holder::NotHere(pid) if !here && one_lives => (InstanceState::RunningElsewhere, pid),
        Holder::NotHere(_) => (InstanceState::Orphans, None),
        Holder::Nobody if all_ended => (InstanceState::Stopped, None),
        Holder::Nobody => (InstanceState::Died, None),
    };
    instance.since_ms = match instance.state {
        InstanceState::Running | InstanceState::RunningElsewhere => lock.signed_ms,
        _ => last_word.or(lock.signed_ms),
    };
}

fn spool(local: &Local, max_bytes: Option<u64>) -> SpoolReport {
    fn stock<N>(files: &[crate::spool::scan::Entry<N>]) -> Stock {
        let mut stock = Stock::default();
        for file in files {
            stock.add(file.bytes);
        }
        stock
    }
    let (in_progress, rotated) = (stock(&local.in_progress), stock(&local.rotated));
    let compressed = stock(&local.compressed);
    let (files, bytes) = local.quarantine;
    let alive = local.workers.iter().filter(|(_, alive)| *alive);
    let consumers: Vec<_> = alive.filter_map(|(worker, _)| worker.consumer.as_ref()).collect();
    SpoolReport {
        in_progress,
        rotated,
        compressed,
        bytes: in_progress.bytes + rotated.bytes + compressed.bytes,
        max_bytes,
        stop_at_bytes: consumers.iter().map(|c| c.spool_stop_at_bytes).filter(|b| *b > 0).min(),
        disk_free_bytes: local.disk_free,
        paused: consumers.iter().find_map(|consumer| consumer.paused),
        quarantine: Stock { files, bytes },
    }
}

fn totals(partitions: &[PartitionReport], local: &Local) -> Totals {
    let mut totals = Totals::default();
    for partition in partitions {
        totals.partitions += 1;
        totals.stopped += u64::from(partition.state == Doing::Stopped);
        totals.without_owner += u64::from(partition.state == Doing::NoOwner);
        match partition.lag_records {
            Some(lag) => totals.lag_records = totals.lag_records.saturating_add(lag),
            None => totals.lag_unknown += 1,
        }
        if partition.lag_records != Some(0) {
            totals.lag_ms = totals.lag_ms.max(partition.lag_ms);
        }
        if let Some(Archived { files, records, bytes, gaps }) = partition.archived {
            totals.archived.files += files;
            totals.archived.records += records;
            totals.archived.bytes = totals.archived.bytes.saturating_add(bytes);
            totals.archived.gaps += gaps;
        }
    }
    for consumer in
        local.workers.iter().filter(|(_, alive)| *alive).filter_map(|(w, _)| w.consumer.as_ref())
    {
        totals.records_per_second += consumer.records_per_second;
        totals.bytes_per_second += consumer.bytes_per_second;
    }
    totals
}

#[cfg(test)]
mod tests;
