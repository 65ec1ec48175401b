//! The consumer's shell as the model has it: what `crate::worker::consumer` does between the
//! decisions of [`Search`], [`Follower`] and `crate::spool::recovery`.

use super::archive::{Archive, Fate, Object, Told};
use super::broker::{Broker, Group};
use super::shared::Shared;
use super::spool::{InProgress, Spool, told};
use super::{Say, Setting, Variant};
use crate::chain::follow::{Follower, Reaction};
use crate::chain::locate::{Answer, Ask, Genesis, Hints, Outcome};
use crate::chain::succession::{Next, Question, Search};
use crate::chain::{Position, Seen, Slot};
use crate::meta::{FileMeta, Gap};
use crate::types::{Offset, OffsetRange, Suffix, WriterToken};

/// What the broker said when the partition was looked up.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct View {
    log_start: Offset,
    /// The group's committed offset, if its metadata is ours.
    committed: Option<Offset>,
}

/// A partition that is being read.
#[derive(Debug, Clone, Hash)]
pub(super) struct Active {
    pub(super) follower: Follower,
    pub(super) next: Offset,
    sink: Option<InProgress>,
    gap: Option<Gap>,
    commit_sent: Option<Offset>,
}

/// Where the consumer stands.
#[derive(Debug, Clone, Hash, Default)]
pub(super) enum Consumer {
    /// It has not heard that the partition is its own.
    #[default]
    Idle,
    /// It will look where to read from.
    Wanting,
    Finding(View, Box<Search>),
    Found(View, Position),
    Active(Box<Active>),
    /// It needs the operator, and why.
    Stopped(String),
}

/// What it may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Assigned,
    Revoked,
    LookUp,
    Ask(Fate),
    Prepare,
    Read,
    Rotate,
    News,
    /// Its closed files are gone, and nobody told it of a tip.
    Missed,
    Commit,
}

/// Everything that a consumer's step touches.
pub(super) struct Around<'a> {
    pub(super) setting: &'a Setting,
    pub(super) variant: Variant,
    pub(super) me: usize,
    pub(super) suffix: Suffix,
    pub(super) spool: &'a mut Spool,
    pub(super) broker: &'a mut Shared<Broker>,
    pub(super) archive: &'a mut Shared<Archive>,
    pub(super) say: Say<'a>,
}

impl Active {
    fn is_dirty(&self) -> bool {
        self.next > self.follower.current_start()
    }

    /// As `crate::worker::consumer::owned` opens a file.
    fn open(&mut self) -> &mut InProgress {
        let (start, first) = (self.follower.current_start(), self.follower.position().first);
        let gap = self.sink.is_none().then(|| self.gap.take()).flatten();
        let generation = self.follower.position().generation;
        let new = InProgress { generation, start, first, gap, records: 0, next: start };
        self.sink.get_or_insert(new)
    }

    fn rotate(&mut self, around: &mut Around<'_>) {
        let next = self.next;
        let file = self.open().clone();
        let Ok(range) = OffsetRange::new(file.start, next) else { return };
        self.sink = None;
        let meta = FileMeta {
            identity: around.setting.identity.clone(),
            generation: file.generation,
            first: file.first,
            mak: 2,
            plain: false,
            suffix: around.suffix,
            range,
            records: u64::from(file.records.count_ones()),
            bytes: file.records,
            times: None,
            gap: file.gap,
            leader_epoch: None,
            writer: WriterToken(around.me as u64),
            totals: None,
            act: None,
        };
        (around.say)(format_args!("closes {}", told(&meta)));
        around.spool.add(meta);
        self.follower.rotated(next);
    }

    fn has_news(&self, spool: &Spool) -> bool {
        !self.follower.settled()
            && (self.wish(spool).is_some()
                || spool.tip.is_some_and(|tip| {
                    tip != *self.follower.position() && !self.follower.position().is_ahead_of(&tip)
                }))
    }

    /// The first wish to go back, if it is one.
    fn wish(&self, spool: &Spool) -> Option<Offset> {
        let to = *spool.rewinds.first()?;
        (self.follower.clone().rewind(to) != Reaction::None).then_some(to)
    }

    fn commit_due(&self) -> bool {
        self.commit_sent != Some(self.follower.position().tip)
    }
}

impl Consumer {
    /// What it may do next, but for losing answers. `group` is its own, if the partition is too.
    pub(super) fn steps(
        &self,
        group: Option<Group>,
        uploading: bool,
        spool: &Spool,
        broker: &Broker,
    ) -> Vec<Act> {
        let mut steps = Vec::new();
        let joined = group.is_some_and(|group| group.joined);
        match self {
            Self::Idle if group.is_some() => steps.push(Act::Assigned),
            Self::Idle | Self::Stopped(_) => return steps,
            Self::Wanting => steps.push(Act::LookUp),
            Self::Finding(..) => steps.push(Act::Ask(Fate::Answered)),
            // The uploader holds the partition's lock meanwhile.
            Self::Found(..) if uploading => {}
            Self::Found(..) => steps.push(Act::Prepare),
            Self::Active(active) => {
                let news = active.has_news(spool).then_some(Act::News);
                let lost = !active.follower.settled() && spool.complete.is_empty();
                let missed = (news.is_none() && lost).then_some(Act::Missed);
                let commit = (joined && active.commit_due()).then_some(Act::Commit);
                let read = (active.next < broker.log_end).then_some(Act::Read);
                let rotate = active.is_dirty().then_some(Act::Rotate);
                steps.extend([news, missed, commit, read, rotate].into_iter().flatten());
            }
        }
        if !joined && !matches!(self, Self::Idle) {
            steps.push(Act::Revoked);
        }
        steps
    }

    /// What it asks of the store, if it does.
    pub(super) fn asks(&self) -> Option<Question> {
        match self {
            Self::Finding(_, search) => match search.start() {
                Next::Ask(question) => Some(question),
                Next::Done { .. } => None,
            },
            _ => None,
        }
    }

    /// Lets go of the partition; the file in progress stays.
    pub(super) fn let_go(&mut self, spool: &mut Spool, then: Self) {
        if let Self::Active(active) = self {
            spool.parked.extend(active.sink.take());
        }
        *self = then;
    }

    pub(super) fn step(&mut self, step: Act, around: &mut Around<'_>) {
        match (step, std::mem::take(self)) {
            (Act::Assigned, _) => {
                (around.say)(format_args!("is told that the partition is its own"));
                let group = around.setting.group_of(around.me);
                around.broker.change(|broker| broker.groups[group].joined = true);
                *self = Self::look_up(around);
            }
            (Act::Revoked, mut was) => {
                (around.say)(format_args!("hears that it has lost the partition"));
                was.let_go(around.spool, Self::Idle);
            }
            (Act::LookUp, _) => *self = Self::look_up(around),
            (Act::Ask(fate), Self::Finding(view, search)) => {
                *self = Self::ask(view, search, fate, around);
            }
            (Act::Prepare, Self::Found(view, position)) => {
                *self = Self::prepare(view, position, around);
            }
            (Act::Read, Self::Active(active)) => *self = Self::read(active, around),
            (Act::Rotate, Self::Active(mut active)) => {
                active.rotate(around);
                *self = Self::Active(active);
            }
            (Act::News, Self::Active(active)) => *self = Self::news(active, around),
            (Act::Missed, was) => {
                (around.say)(format_args!("misses its closed files"));
                *self = was.parked(around.spool);
            }
            (Act::Commit, Self::Active(mut active)) => {
                let position = *active.follower.position();
                let offset = match around.variant {
                    Variant::CommitPastBoundary => active.follower.current_start(),
                    _ => position.tip,
                };
                let tip = around.archive.tip_of(position.generation);
                let group = around.setting.group_of(around.me);
                (around.say)(format_args!("commits {offset}"));
                around.broker.change(|broker| broker.groups[group].commit(offset, position, tip));
                active.commit_sent = Some(position.tip);
                *self = Self::Active(active);
            }
            (_, was) => *self = was,
        }
    }

    fn look_up(around: &mut Around<'_>) -> Self {
        let log_start = around.broker.log_start;
        let group = around.broker.groups.get(around.setting.group_of(around.me));
        let committed = group.and_then(|group| group.committed);
        let noted = committed.and_then(|committed| committed.noted);
        let view = View {
            log_start,
            committed: committed.filter(|c| c.noted.is_some()).map(|c| c.offset),
        };
        let first = match around.variant {
            Variant::UnpinnedGenesis => log_start,
            _ => around.setting.genesis_of(around.me),
        };
        let hints = Hints::of(noted, around.spool.tip);
        let identity = around.setting.identity.clone();
        let genesis = Some(Genesis::new(first, around.suffix));
        let search = Search::new(identity, hints, genesis, false);
        (around.say)(format_args!(
            "looks it up: the log begins at {log_start}, noted is {:?}, its spool says {:?}",
            noted.map(|at| at.tip.get()),
            around.spool.tip.map(|at| at.tip.get()),
        ));
        Self::Finding(view, Box::new(search))
    }

    fn ask(view: View, mut search: Box<Search>, fate: Fate, around: &mut Around<'_>) -> Self {
        let Next::Ask(question) = search.start() else { return Self::Wanting };
        let Some(answer) = answer(question, fate, around.variant, around.archive, around.say)
        else {
            return Self::Wanting;
        };
        let next = search.feed(answer);
        let Some(outcome) = around.setting.outcome(&mut search, next) else {
            return Self::Finding(view, search);
        };
        match outcome {
            Outcome::Found(position) => {
                (around.say)(format_args!("so the tip is {}", Named(position.slot())));
                Self::Found(view, around.variant.found(position))
            }
            Outcome::NoChain | Outcome::Closed(_) => Self::Wanting,
            Outcome::Stop(stop) => Self::Stopped(stop.to_string()),
        }
    }

    /// As `crate::worker::consumer::activate` does it, under the partition's lock.
    fn prepare(view: View, found: Position, around: &mut Around<'_>) -> Self {
        let known = around.spool.tip;
        let position = known.filter(|local| local.is_ahead_of(&found)).unwrap_or(found);
        if around.spool.holds_files_of_another(position.generation) {
            (around.say)(format_args!("waits for files of another chain to go"));
            return Self::Wanting;
        }
        if known.is_none_or(|local| position.is_ahead_of(&local)) {
            around.spool.tip = Some(position);
        }
        let of = around.setting.identity.topic_partition();
        let takeover = around.spool.take_over(&of, position.generation, position.tip);
        let mut active = Active {
            follower: Follower::new(position, takeover.ends),
            next: takeover.next,
            sink: takeover.going_on,
            gap: None,
            commit_sent: view.committed.filter(|committed| *committed == position.tip),
        };
        let begins = active.sink.as_ref().map_or(active.next, |sink| sink.start);
        if begins != active.follower.current_start() {
            around.spool.parked.extend(active.sink);
            return Self::Wanting;
        }
        if view.log_start > active.next {
            if active.is_dirty() {
                active.rotate(around);
            }
            active.gap = active.follower.gap(view.log_start);
            active.next = active.next.max(view.log_start);
        }
        (around.say)(format_args!("tip {}: reads from {}", position.tip, active.next));
        Self::Active(Box::new(active))
    }

    fn read(mut active: Box<Active>, around: &mut Around<'_>) -> Self {
        if active.next < around.broker.log_start {
            (around.say)(format_args!("reads {}: out of the broker's log", active.next));
            Self::Active(active).parked(around.spool)
        } else if let Some(offset) = around.broker.read(active.next) {
            (around.say)(format_args!("reads record {offset}"));
            let next = offset.after();
            let sink = active.open();
            sink.records |= 1 << offset.get();
            sink.next = next;
            active.next = next;
            Self::Active(active)
        } else {
            (around.say)(format_args!("reads to the end, {}", around.broker.log_end));
            active.next = around.broker.log_end;
            Self::Active(active)
        }
    }

    fn parked(mut self, spool: &mut Spool) -> Self {
        self.let_go(spool, Self::Wanting);
        self
    }

    fn news(mut active: Box<Active>, around: &mut Around<'_>) -> Self {
        if let Some(to) = active.wish(around.spool) {
            (around.say)(format_args!("has to go back to {to}"));
            active.follower.rewind(to);
            return Self::Active(active).parked(around.spool);
        }
        let Some(tip) = around.spool.tip else { return Self::Active(active) };
        let reaction = active.follower.tip_moved(tip);
        (around.say)(format_args!("hears that the tip is {}: {reaction:?}", tip.tip));
        match reaction {
            Reaction::None | Reaction::Commit => Self::Active(active),
            Reaction::Restart(_) => Self::Active(active).parked(around.spool),
        }
    }
}

/// The store's answer to a search; none if there is none.
pub(super) fn answer(
    Question { generation, ask }: Question,
    fate: Fate,
    variant: Variant,
    archive: &mut Shared<Archive>,
    say: Say<'_>,
) -> Option<Answer> {
    if fate == Fate::Unanswered {
        say(format_args!("asks {ask:?}: no answer"));
        return None;
    }
    match ask {
        Ask::Record => {
            let record = archive.chain(generation).and_then(|chain| chain.record.clone());
            let record = record.filter(|_| variant != Variant::UnpinnedGenesis);
            let which = if generation == 1 { "" } else { "the next chain's " };
            say(format_args!("asks for {which}chain.json: {}", there(record.is_some())));
            Some(Answer::Record(record))
        }
        Ask::Head(slot) => {
            let seen = archive.head(generation, slot, variant);
            say(format_args!("asks for {}: {}", Named(slot), seen_there(&seen)));
            Some(Answer::Head(seen))
        }
        Ask::List => {
            say(format_args!("lists the chain"));
            Some(archive.list(generation))
        }
        Ask::CreateRecord(_) if variant == Variant::UnpinnedGenesis => Some(Answer::Created(true)),
        Ask::CreateRecord(record) => {
            let first = record.first;
            let object = Object::Record(record);
            let told = archive.change(|a| a.create(generation, object, fate, variant));
            say(format_args!("creates chain.json with first {first}: {told}"));
            match told {
                Told::Created => Some(Answer::Created(true)),
                Told::Exists => Some(Answer::Created(false)),
                Told::Nothing => None,
            }
        }
    }
}

pub(super) const fn seen_there(seen: &Seen) -> &'static str {
    there(!matches!(seen, Seen::Absent))
}

const fn there(found: bool) -> &'static str {
    if found { "it is there" } else { "absent" }
}

/// A slot as it is spoken of.
pub(super) struct Named(pub(super) Slot);

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.0.start, self.0.suffix)
    }
}
