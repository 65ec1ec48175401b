//! Two writers, a store and a broker: what may happen next, and what then is.

use std::fmt;

use super::archive::{Archive, Fate, Object, bits};
use super::broker::{Broker, Group};
use super::consumer::{self, Act, Consumer};
use super::operator;
use super::shared::{Shared, hash};
use super::spool::Spool;
use super::uploader::{self, Move, Uploader};
use super::variant::Variant;
use super::{Say, Setting};
use crate::chain::locate::Ask;
use crate::types::{Offset, Suffix};

/// One instance: its processes and its spool.
#[derive(Debug, Clone, Hash)]
pub(super) struct Writer {
    /// What is configured now.
    pub(super) suffix: Suffix,
    pub(super) spool: Spool,
    pub(super) consumer: Consumer,
    pub(super) uploader: Uploader,
}

/// Everything.
#[derive(Debug, Clone, Hash)]
#[expect(clippy::derived_hash_with_manual_eq, reason = "states are equal whose hashes are")]
pub(super) struct World {
    pub(super) archive: Shared<Archive>,
    pub(super) broker: Shared<Broker>,
    pub(super) writers: Vec<Shared<Writer>>,
    /// How many faults there have been.
    faults: u8,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.mark() == other.mark()
    }
}

/// Kinds of faults, of which a [`Setting`] allows some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// A create lands, its answer is lost.
    AnswerLost,
    /// A create is refused though nothing stands there.
    FalseConflict,
    /// A create that is given up may land later.
    Delayed,
    /// A question is not answered.
    Unanswered,
    /// The coordinator gives the partition to somebody else; the old owner has not noticed.
    Rebalance,
    /// `kill -9` of one process.
    Kill,
    /// The instance is started anew with other settings.
    Reconfigure,
    /// The instance is started anew without its spool.
    SpoolLost,
    /// A complete file does not read any more.
    Damage,
    /// Retention, or `DeleteRecords`.
    LogStart,
    /// The group's offset is set to the log's beginning or end by hand, or is gone.
    GroupOffset,
    /// Somebody removes `chain.json` of a chain that has files.
    RecordLost,
    /// `kafkatos3 chain new`.
    NewChain,
    /// `kafkatos3 chain skip`.
    Skip,
}

/// What an operator may do to a group's offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reset {
    Beginning,
    End,
    Gone,
}

/// Which of an instance's processes dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Dying {
    Consumer,
    Uploader,
    /// Between telling the tip and removing the file.
    UploaderHavingTold,
    /// The same on a full disk, where the file goes first.
    UploaderHavingRemoved,
}

/// One step of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Consumer(usize, Act),
    Uploader(usize, Move),
    Kill(usize, Dying),
    Reconfigure(usize, Suffix),
    LoseSpool(usize),
    Damage(usize, usize),
    Rebalance {
        group: usize,
        to: usize,
    },
    LogStart(Offset),
    GroupOffset(usize, Reset),
    LoseRecord,
    /// The chain is closed; whether the one behind it is begun at once, too.
    NewChain {
        first: Offset,
        begins: bool,
    },
    /// Everything from the tip up to here is given up.
    Skip(Offset),
    /// A create that was given up lands.
    Land(usize),
}

impl Step {
    fn is_fault(self) -> bool {
        let lies = |fate| fate != Fate::Answered;
        match self {
            Self::Consumer(_, Act::Ask(fate)) | Self::Uploader(_, Move::Ask(fate)) => lies(fate),
            Self::Consumer(..) | Self::Uploader(..) | Self::Land(_) => false,
            _ => true,
        }
    }
}

impl World {
    pub(super) fn new(setting: &Setting) -> Self {
        let end = Offset::new(setting.end).unwrap_or(Offset::ZERO);
        let holes: u64 = setting.holes.iter().map(|offset| 1 << offset).sum();
        let groups = setting.writers.iter().map(|writer| writer.group).max().unwrap_or(0) + 1;
        let owner = |group| setting.writers.iter().position(|writer| writer.group == group);
        let broker = Broker {
            log_start: Offset::ZERO,
            log_end: end,
            records: bits(Offset::ZERO, end) & !holes,
            groups: (0..groups).map(|group| Group::owned_by(owner(group).unwrap_or(0))).collect(),
        };
        let writer = |suffix| Writer {
            suffix,
            spool: Spool::default(),
            consumer: Consumer::default(),
            uploader: Uploader::default(),
        };
        Self {
            archive: Shared::new(Archive::default()),
            broker: Shared::new(broker),
            writers: setting.writers.iter().map(|w| Shared::new(writer(w.suffix))).collect(),
            faults: 0,
        }
    }

    /// A mark by which states are told apart.
    pub(super) fn mark(&self) -> u64 {
        hash(self)
    }

    /// Who has stopped, and why.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.writers.iter().find_map(|writer| match &writer.consumer {
            Consumer::Stopped(why) => Some(why.as_str()),
            _ => writer.uploader.stopped.as_deref(),
        })
    }

    /// Whose the partition is in the group of `writer`, and whether that is this writer.
    fn group_of(&self, setting: &Setting, writer: usize) -> (Group, bool) {
        let group = self.broker.groups[setting.group_of(writer)];
        (group, group.owner == writer)
    }

    /// What the processes may do if nothing goes wrong, one writer's after the other's.
    pub(super) fn good_steps(&self, setting: &Setting, me: usize) -> Vec<Step> {
        let Some(writer) = self.writers.get(me) else { return Vec::new() };
        let next = writer.uploader.next(&writer.spool);
        let uploading = writer.uploader.turn.is_some();
        let (group, owns) = self.group_of(setting, me);
        let group = owns.then_some(group);
        let acts = writer.consumer.steps(group, uploading, &writer.spool, &self.broker);
        let next = next.map(|step| Step::Uploader(me, step));
        next.into_iter().chain(acts.into_iter().map(|act| Step::Consumer(me, act))).collect()
    }

    /// Everything that may happen.
    pub(super) fn steps(&self, setting: &Setting, steps: &mut Vec<Step>) {
        for me in 0..self.writers.len() {
            steps.extend(self.good_steps(setting, me));
        }
        steps.extend((0..self.archive.flying.len()).map(Step::Land));
        if self.faults < setting.faults {
            for kind in setting.kinds {
                self.faults_of(*kind, setting, steps);
            }
        }
    }

    fn faults_of(&self, kind: Fault, setting: &Setting, steps: &mut Vec<Step>) {
        match kind {
            Fault::AnswerLost => self.lies(Fate::AnswerLost, steps),
            Fault::FalseConflict => self.lies(Fate::FalseConflict, steps),
            Fault::Delayed => self.lies(Fate::Delayed, steps),
            Fault::Unanswered => self.lies(Fate::Unanswered, steps),
            Fault::LogStart => {
                let ends = self.broker.log_start.get() + 1..=self.broker.log_end.get();
                steps.extend(ends.filter_map(|at| Offset::new(at).ok()).map(Step::LogStart));
            }
            Fault::RecordLost => {
                let first = self.archive.chain(1);
                if first.is_some_and(|chain| chain.record.is_some() && chain.files().count() > 0) {
                    steps.push(Step::LoseRecord);
                }
            }
            Fault::NewChain => operator::new_chains(&self.archive, setting, steps),
            Fault::Skip => operator::skips(&self.archive, &self.broker, setting, steps),
            Fault::Rebalance => {
                for (to, writer) in setting.writers.iter().enumerate() {
                    if !self.group_of(setting, to).1 {
                        steps.push(Step::Rebalance { group: writer.group, to });
                    }
                }
            }
            Fault::GroupOffset => {
                for (group, state) in self.broker.groups.iter().enumerate() {
                    // Kafka refuses it while the group has members.
                    let owner = self.writers.get(state.owner).map(|writer| &writer.consumer);
                    if !matches!(owner, Some(Consumer::Idle)) {
                        continue;
                    }
                    let all = [Reset::Beginning, Reset::End, Reset::Gone];
                    steps.extend(all.map(|reset| Step::GroupOffset(group, reset)));
                }
            }
            Fault::Kill | Fault::Reconfigure | Fault::SpoolLost | Fault::Damage => {
                for (me, writer) in self.writers.iter().enumerate() {
                    harm(kind, setting, me, writer, steps);
                }
            }
        }
    }

    /// How the requests that are due may fail.
    fn lies(&self, fate: Fate, steps: &mut Vec<Step>) {
        for (me, writer) in self.writers.iter().enumerate() {
            let asks = writer.consumer.asks();
            let is_asking = asks.is_some();
            let creates = asks.and_then(|question| match question.ask {
                Ask::CreateRecord(record) => Some((question.generation, Object::Record(record))),
                _ => None,
            });
            if may_fail(is_asking, creates.as_ref(), fate, &self.archive) {
                steps.push(Step::Consumer(me, Act::Ask(fate)));
            }
            let asks = writer.uploader.next(&writer.spool) == Some(Move::Ask(Fate::Answered));
            let creates = writer.uploader.creates();
            if may_fail(asks, creates.as_ref(), fate, &self.archive) {
                steps.push(Step::Uploader(me, Move::Ask(fate)));
            }
        }
    }

    /// Takes a step, and says what happened.
    pub(super) fn take(&mut self, step: Step, setting: &Setting, variant: Variant, say: Say<'_>) {
        self.faults += u8::from(step.is_fault());
        match step {
            Step::Consumer(me, act) => self.writers[me].change(|writer| {
                let around = &mut consumer::Around {
                    setting,
                    variant,
                    me,
                    suffix: writer.suffix,
                    spool: &mut writer.spool,
                    broker: &mut self.broker,
                    archive: &mut self.archive,
                    say,
                };
                writer.consumer.step(act, around);
            }),
            Step::Uploader(me, next) => self.writers[me].change(|writer| {
                let around = &mut uploader::Around {
                    setting,
                    variant,
                    suffix: writer.suffix,
                    spool: &mut writer.spool,
                    archive: &mut self.archive,
                    say,
                };
                writer.uploader.go(next, around);
            }),
            Step::Kill(me, who) => self.writers[me].change(|writer| writer.kill(who, say)),
            Step::Reconfigure(me, suffix) => {
                say(format_args!("is started anew, configured for {suffix}"));
                self.writers[me].change(|writer| {
                    writer.restart();
                    writer.suffix = suffix;
                });
            }
            Step::LoseSpool(me) => {
                say(format_args!("is started anew without its spool"));
                self.writers[me].change(|writer| {
                    writer.restart();
                    writer.spool = Spool::default();
                });
            }
            Step::Damage(me, which) => self.writers[me].change(|writer| {
                let file = writer.spool.complete.remove(which);
                say(format_args!("finds {} damaged", super::spool::told(&file)));
                writer.spool.wish(file.range.start());
            }),
            Step::Rebalance { group, to } => {
                say(format_args!("gives the partition to writer {to}"));
                self.broker.change(|broker| {
                    let group = &mut broker.groups[group];
                    (group.owner, group.joined) = (to, false);
                });
            }
            Step::LogStart(at) => {
                say(format_args!("deletes everything below {at}"));
                self.broker.change(|broker| broker.log_start = at);
            }
            Step::GroupOffset(group, reset) => {
                say(format_args!("sets the group's offset: {reset:?}"));
                self.broker.change(|broker| broker.reset(group, reset));
            }
            Step::LoseRecord => {
                say(format_args!("removes chain.json"));
                self.archive.change(|archive| archive.chain_mut(1).record = None);
            }
            Step::NewChain { first, begins } => self.archive.change(|archive| {
                operator::close(archive, first, begins, setting, variant, say);
            }),
            Step::Skip(to) => self.archive.change(|archive| {
                operator::skip(archive, to, setting, say);
            }),
            Step::Land(which) => {
                say(format_args!("a create that was given up lands"));
                self.archive.change(|archive| archive.land(which));
            }
        }
    }
}

/// What may happen to one instance.
fn harm(kind: Fault, setting: &Setting, me: usize, writer: &Writer, steps: &mut Vec<Step>) {
    let later = setting.writers.get(me).map_or(&[][..], |setting| setting.later);
    match kind {
        Fault::Kill => {
            if !matches!(writer.consumer, Consumer::Idle | Consumer::Stopped(_)) {
                steps.push(Step::Kill(me, Dying::Consumer));
            }
            if writer.uploader.remembers() {
                steps.push(Step::Kill(me, Dying::Uploader));
            }
            if writer.uploader.next(&writer.spool) == Some(Move::Part) {
                steps.push(Step::Kill(me, Dying::UploaderHavingTold));
                steps.push(Step::Kill(me, Dying::UploaderHavingRemoved));
            }
        }
        Fault::Reconfigure => {
            let others = later.iter().filter(|suffix| **suffix != writer.suffix);
            steps.extend(others.map(|suffix| Step::Reconfigure(me, *suffix)));
        }
        Fault::SpoolLost => steps.push(Step::LoseSpool(me)),
        _ => {
            // One that is being uploaded was read through when it was opened.
            let turn = writer.uploader.turn.as_ref();
            for (n, file) in writer.spool.complete.iter().enumerate() {
                if turn.is_none_or(|turn| turn.file.range != file.range) {
                    steps.push(Step::Damage(me, n));
                }
            }
        }
    }
}

/// Whether losing this answer makes a difference.
fn may_fail(asks: bool, creates: Option<&(u32, Object)>, fate: Fate, archive: &Archive) -> bool {
    match (fate, creates) {
        (Fate::Answered, _) => false,
        (Fate::Unanswered, creates) => asks && creates.is_none(),
        (_, creates) => creates.is_some_and(|(at, object)| archive.is_free(*at, object)),
    }
}

impl Writer {
    fn restart(&mut self) {
        self.consumer.let_go(&mut self.spool, Consumer::Idle);
        self.uploader = Uploader::default();
    }

    fn kill(&mut self, who: Dying, say: Say<'_>) {
        say(format_args!("kill -9: {who:?}"));
        if who == Dying::Consumer {
            return self.consumer.let_go(&mut self.spool, Consumer::Idle);
        }
        let uploader = std::mem::take(&mut self.uploader);
        match (who, &uploader.turn) {
            (Dying::UploaderHavingTold, _) => uploader.tell(&mut self.spool),
            (Dying::UploaderHavingRemoved, Some(turn)) => self.spool.remove(&turn.file),
            _ => {}
        }
    }
}

impl Broker {
    fn reset(&mut self, group: usize, reset: Reset) {
        let at = match reset {
            Reset::Beginning => Some(self.log_start),
            Reset::End => Some(self.log_end),
            Reset::Gone => None,
        };
        let committed = at.map(|offset| super::broker::Committed { offset, noted: None });
        self.groups[group].committed = committed;
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consumer(me, _) | Self::Kill(me, Dying::Consumer) => {
                write!(f, "writer {me}'s consumer")
            }
            Self::Uploader(me, _) | Self::Kill(me, _) => write!(f, "writer {me}'s uploader"),
            Self::Reconfigure(me, _) | Self::LoseSpool(me) | Self::Damage(me, _) => {
                write!(f, "writer {me}")
            }
            Self::Rebalance { group, .. } => write!(f, "group {group}"),
            Self::LogStart(_) => f.write_str("Kafka"),
            Self::GroupOffset(..) | Self::LoseRecord => f.write_str("somebody"),
            Self::NewChain { .. } | Self::Skip(_) => f.write_str("an operator"),
            Self::Land(_) => f.write_str("the store"),
        }
    }
}
