//! The uploader's shell as the model has it: what `crate::worker::uploader` does between the
//! decisions of [`Locator`] and [`Publisher`].

use super::archive::{Archive, Fate, Object};
use super::consumer::{Named, answer};
use super::shared::Shared;
use super::spool::{Spool, told};
use super::{Say, Setting, Variant};
use crate::chain::Slot;
use crate::chain::locate::{Ask, Genesis, Hints, Locator, Outcome, Step};
use crate::chain::publish::{Action, LocalFile, Publisher};
use crate::meta::{FileMeta, ObjectMeta, SealMeta, Totals};
use crate::types::{OffsetRange, Suffix};

/// What a turn waits for.
#[derive(Debug, Clone, Hash)]
pub(super) enum Doing {
    Locating(Box<Locator>),
    Put(Slot, Totals),
    Seal(Slot, Box<SealMeta>),
    Head(Slot),
    /// Told the tip, then the file goes; whether the files behind it join.
    Parting {
        join: bool,
    },
}

/// One turn: all files that were there at its beginning, one after another.
#[derive(Debug, Clone, Hash)]
pub(super) struct Turn {
    pub(super) file: FileMeta,
    rest: Vec<(OffsetRange, Suffix)>,
    located: bool,
    drop_rest: bool,
    pub(super) doing: Doing,
}

/// What an uploader process remembers of the partition.
#[derive(Debug, Clone, Hash)]
pub(super) struct Uploader {
    publisher: Option<Publisher>,
    stale: bool,
    pub(super) turn: Option<Box<Turn>>,
    /// It needs the operator, and why.
    pub(super) stopped: Option<String>,
}

impl Default for Uploader {
    fn default() -> Self {
        Self { publisher: None, stale: true, turn: None, stopped: None }
    }
}

/// What it may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Move {
    Begin,
    Ask(Fate),
    Part,
}

/// Everything that an uploader's step touches.
pub(super) struct Around<'a> {
    pub(super) setting: &'a Setting,
    pub(super) variant: Variant,
    /// The suffix that is configured.
    pub(super) suffix: Suffix,
    pub(super) spool: &'a mut Spool,
    pub(super) archive: &'a mut Shared<Archive>,
    pub(super) say: Say<'a>,
}

impl Uploader {
    pub(super) fn next(&self, spool: &Spool) -> Option<Move> {
        match &self.turn {
            _ if self.stopped.is_some() => None,
            None => (!spool.complete.is_empty()).then_some(Move::Begin),
            Some(turn) if matches!(turn.doing, Doing::Parting { .. }) => Some(Move::Part),
            Some(_) => Some(Move::Ask(Fate::Answered)),
        }
    }

    /// Whether a new process would be another.
    pub(super) const fn remembers(&self) -> bool {
        self.publisher.is_some() || self.turn.is_some()
    }

    /// The object that its next question is to create; `None` for a question without effect.
    pub(super) fn creates(&self) -> Option<Object> {
        let turn = self.turn.as_ref()?;
        match &turn.doing {
            Doing::Locating(locator) => match locator.start() {
                Step::Ask(Ask::CreateRecord(record)) => Some(Object::Record(record)),
                _ => None,
            },
            Doing::Put(slot, _) => Some(Object::At(*slot, ObjectMeta::File(turn.file.clone()))),
            Doing::Seal(slot, seal) => Some(Object::At(*slot, ObjectMeta::Seal((**seal).clone()))),
            Doing::Head(_) | Doing::Parting { .. } => None,
        }
    }

    pub(super) fn go(&mut self, step: Move, around: &mut Around<'_>) {
        match (step, self.turn.take()) {
            (Move::Begin, _) => {
                (around.say)(format_args!("begins a turn"));
                let all = around.spool.complete.iter();
                self.next_file(all.map(|f| (f.range, f.suffix)).collect(), false, false, around);
            }
            (Move::Part, Some(turn)) => {
                (around.say)(format_args!("tells the tip, and removes {}", told(&turn.file)));
                self.tell(around.spool);
                around.spool.remove(&turn.file);
                let join = matches!(turn.doing, Doing::Parting { join: true });
                self.next_file(turn.rest, turn.located, turn.drop_rest || !join, around);
            }
            (Move::Ask(fate), Some(turn)) => self.ask(*turn, fate, around),
            (_, None) => {}
        }
    }

    /// Writes the tip.
    pub(super) fn tell(&self, spool: &mut Spool) {
        if let Some(publisher) = &self.publisher {
            spool.tip = Some(*publisher.position());
        }
    }

    fn next_file(
        &mut self,
        mut rest: Vec<(OffsetRange, Suffix)>,
        located: bool,
        drop_rest: bool,
        around: &mut Around<'_>,
    ) {
        if rest.is_empty() {
            return self.end_turn(around);
        }
        let (range, suffix) = rest.remove(0);
        let there = around.spool.complete.iter().find(|f| f.range == range && f.suffix == suffix);
        let Some(file) = there.cloned() else { return self.end_turn(around) };
        let doing = Doing::Parting { join: true };
        let turn = Turn { file, rest, located, drop_rest, doing };
        if self.stale || self.publisher.is_none() {
            let file = &turn.file;
            let hints = Hints { seen: around.spool.tip, committed: around.spool.tip };
            let begins = file.range.start() == file.first;
            let genesis = begins.then(|| Genesis::new(file.first, around.suffix));
            let locator = Locator::new(file.identity.clone(), hints, genesis);
            let doing = Doing::Locating(Box::new(locator));
            self.turn = Some(Box::new(Turn { doing, ..turn }));
        } else {
            self.offer(turn, around);
        }
    }

    fn ask(&mut self, turn: Turn, fate: Fate, around: &mut Around<'_>) {
        let variant = around.variant;
        match turn.doing.clone() {
            Doing::Locating(locator) => self.locate(turn, locator, fate, around),
            Doing::Put(slot, totals) => {
                let slot = variant.name(slot, &turn.file);
                let meta = FileMeta { totals: Some(totals), ..turn.file.clone() };
                let object = Object::At(slot, ObjectMeta::File(meta));
                let answer = around.archive.change(|a| a.create(object, fate, variant));
                (around.say)(format_args!(
                    "creates {} as {}: {answer}",
                    told(&turn.file),
                    Named(slot)
                ));
                self.created(turn, variant.believes(answer), around);
            }
            Doing::Seal(slot, _) if variant == Variant::SuffixWithoutSeal => {
                (around.say)(format_args!("goes on beside {} without a seal", Named(slot)));
                self.created(turn, true, around);
            }
            Doing::Seal(slot, seal) => {
                let to = seal.continues;
                let object = Object::At(slot, ObjectMeta::Seal(*seal));
                let answer = around.archive.change(|a| a.create(object, fate, variant));
                (around.say)(format_args!("creates seal {} -> {to}: {answer}", Named(slot)));
                self.created(turn, variant.believes(answer), around);
            }
            Doing::Head(slot) if fate == Fate::Unanswered => {
                (around.say)(format_args!("asks for {}: no answer", Named(slot)));
                self.end_turn(around);
            }
            Doing::Head(slot) => {
                let seen = around.archive.head(slot);
                let told = around.archive.objects.get(&slot).map_or("absent", |_| "it is there");
                (around.say)(format_args!("asks for {}: {told}", Named(slot)));
                let Some(publisher) = &mut self.publisher else { return };
                let action = publisher.seen(seen);
                self.resolve(turn, action, around);
            }
            Doing::Parting { .. } => self.turn = Some(Box::new(turn)),
        }
    }

    fn created(&mut self, turn: Turn, certain: bool, around: &mut Around<'_>) {
        let Some(publisher) = &mut self.publisher else { return };
        let action = publisher.created(certain);
        self.resolve(turn, action, around);
    }

    fn locate(
        &mut self,
        turn: Turn,
        mut locator: Box<Locator>,
        fate: Fate,
        around: &mut Around<'_>,
    ) {
        let Step::Ask(ask) = locator.start() else { return };
        let Some(answer) = answer(ask, fate, around.variant, around.archive, around.say) else {
            return self.end_turn(around);
        };
        match locator.feed(answer) {
            Step::Ask(_) => {
                self.turn = Some(Box::new(Turn { doing: Doing::Locating(locator), ..turn }));
            }
            Step::Done(Outcome::Found(position)) => {
                (around.say)(format_args!("so the tip is {}", Named(position.slot())));
                let position = around.variant.found(position);
                self.stale = false;
                match &mut self.publisher {
                    Some(publisher) => publisher.relocated(position),
                    none => {
                        let identity = turn.file.identity.clone();
                        *none = Some(Publisher::new(identity, position, around.suffix));
                    }
                }
                self.offer(Turn { located: true, ..turn }, around);
            }
            Step::Done(Outcome::NoChain) => self.end_turn(around),
            Step::Done(Outcome::Closed(_)) => self.stopped = Some("closed".to_owned()),
            Step::Done(Outcome::Stop(stop)) => self.stopped = Some(stop.to_string()),
        }
    }

    fn offer(&mut self, turn: Turn, around: &mut Around<'_>) {
        let Some(publisher) = &mut self.publisher else { return };
        let action = publisher.offer(LocalFile { meta: turn.file.clone(), too_old: false });
        self.resolve(turn, action, around);
    }

    /// Carries out what needs no answer.
    fn resolve(&mut self, turn: Turn, action: Action, around: &mut Around<'_>) {
        let Some(publisher) = &self.publisher else { return };
        let tip = publisher.position().tip;
        let doing = match action {
            Action::Put { slot, totals } => Doing::Put(slot, totals),
            Action::PutSeal(action) => Doing::Seal(action.slot, Box::new(action.seal)),
            Action::Head(slot) => Doing::Head(slot),
            Action::Published => Doing::Parting { join: true },
            Action::Superseded => Doing::Parting { join: turn.file.range.next() <= tip },
            Action::NotYet if turn.drop_rest => {
                around.spool.wish(tip);
                return self.discard(turn, around);
            }
            Action::NotYet => return self.not_yet(&turn, around),
            Action::Expired => {
                around.spool.wish(turn.file.range.start());
                return self.discard(turn, around);
            }
            Action::Repack(suffix) => {
                (around.say)(format_args!("packs {} anew as {suffix}", told(&turn.file)));
                around.spool.remove(&turn.file);
                around.spool.add(FileMeta { suffix, ..turn.file });
                return self.end_turn(around);
            }
            Action::Retry => return self.end_turn(around),
            Action::Closed(_) | Action::Orphaned => {
                self.stopped = Some("the chain is closed".to_owned());
                return;
            }
            Action::Stop(stop) => {
                self.stopped = Some(stop.to_string());
                return;
            }
        };
        self.turn = Some(Box::new(Turn { doing, ..turn }));
    }

    fn discard(&mut self, turn: Turn, around: &mut Around<'_>) {
        (around.say)(format_args!("drops {}, which has to be read again", told(&turn.file)));
        around.spool.remove(&turn.file);
        self.next_file(turn.rest, turn.located, true, around);
    }

    fn not_yet(&mut self, turn: &Turn, around: &mut Around<'_>) {
        let Some(publisher) = &self.publisher else { return };
        let tip = publisher.position().tip;
        let of = around.setting.identity.topic_partition();
        if around.spool.reached(&of, tip) < turn.file.range.start() {
            self.stale = true;
            if turn.located {
                (around.say)(format_args!("misses files from {tip} on"));
                around.spool.wish(tip);
            }
        }
        self.end_turn(around);
    }

    fn end_turn(&mut self, around: &Around<'_>) {
        self.turn = None;
        if let Some(publisher) = &self.publisher
            && publisher.position().sealed
            && around.variant == Variant::ResealWithoutFile
        {
            let position = around.variant.found(*publisher.position());
            let identity = publisher.identity().clone();
            self.publisher = Some(Publisher::new(identity, position, around.suffix));
        }
    }
}
