//! The uploader's shell as the model has it: what `crate::worker::uploader` does between the
//! decisions of [`Search`] and [`Publisher`].

use super::archive::{Archive, Fate, Object};
use super::consumer::{Named, answer, seen_there};
use super::shared::Shared;
use super::spool::{Spool, told};
use super::{Say, Setting, Variant};
use crate::chain::Slot;
use crate::chain::locate::{Ask, Genesis, Hints, Outcome};
use crate::chain::publish::{Action, LocalFile, Publisher};
use crate::chain::succession::{Next, Question, Search};
use crate::meta::{FileMeta, ObjectMeta, SealMeta, Totals};
use crate::types::{OffsetRange, Suffix};

/// What a turn waits for.
#[derive(Debug, Clone, Hash)]
pub(super) enum Doing {
    Locating(Box<Search>),
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
    pub(super) fn creates(&self) -> Option<(u32, Object)> {
        let turn = self.turn.as_ref()?;
        let object = match &turn.doing {
            Doing::Locating(search) => match search.start() {
                Next::Ask(Question { generation, ask: Ask::CreateRecord(record) }) => {
                    return Some((generation, Object::Record(record)));
                }
                _ => return None,
            },
            Doing::Put(slot, _) => Object::At(*slot, ObjectMeta::File(turn.file.clone())),
            Doing::Seal(slot, seal) => Object::At(*slot, ObjectMeta::Seal((**seal).clone())),
            Doing::Head(_) | Doing::Parting { .. } => return None,
        };
        Some((self.generation(), object))
    }

    /// Of the chain that is published to.
    fn generation(&self) -> u32 {
        self.publisher.as_ref().map_or(1, |publisher| publisher.position().generation)
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
        self.stale |= self.publisher.is_none() || self.generation() < turn.file.generation;
        if self.stale {
            let file = &turn.file;
            let hints = Hints { seen: around.spool.tip, committed: around.spool.tip };
            let begins = file.range.start() == file.first && file.generation == 1;
            let genesis = begins.then(|| Genesis::new(file.first, around.suffix));
            let search = Search::new(file.identity.clone(), hints, genesis, false);
            let doing = Doing::Locating(Box::new(search));
            self.turn = Some(Box::new(Turn { doing, ..turn }));
        } else {
            self.offer(turn, around);
        }
    }

    fn ask(&mut self, turn: Turn, fate: Fate, around: &mut Around<'_>) {
        let (variant, generation) = (around.variant, self.generation());
        match turn.doing.clone() {
            Doing::Locating(search) => self.locate(turn, search, fate, around),
            Doing::Put(slot, totals) => {
                let slot = variant.name(slot, &turn.file);
                let meta = FileMeta { totals: Some(totals), ..turn.file.clone() };
                let object = Object::At(slot, ObjectMeta::File(meta));
                let answer = around.archive.change(|a| a.create(generation, object, fate, variant));
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
                let answer = around.archive.change(|a| a.create(generation, object, fate, variant));
                (around.say)(format_args!("creates seal {} -> {to}: {answer}", Named(slot)));
                self.created(turn, variant.believes(answer), around);
            }
            Doing::Head(slot) if fate == Fate::Unanswered => {
                (around.say)(format_args!("asks for {}: no answer", Named(slot)));
                self.end_turn(around);
            }
            Doing::Head(slot) => {
                let seen = around.archive.head(generation, slot, variant);
                (around.say)(format_args!("asks for {}: {}", Named(slot), seen_there(&seen)));
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

    fn locate(&mut self, turn: Turn, mut search: Box<Search>, fate: Fate, around: &mut Around<'_>) {
        let Next::Ask(question) = search.start() else { return };
        let Some(answer) = answer(question, fate, around.variant, around.archive, around.say)
        else {
            return self.end_turn(around);
        };
        let next = search.feed(answer);
        let Some(outcome) = around.setting.outcome(&mut search, next) else {
            self.turn = Some(Box::new(Turn { doing: Doing::Locating(search), ..turn }));
            return;
        };
        match outcome {
            Outcome::Found(position) => {
                (around.say)(format_args!("so the tip is {}", Named(position.slot())));
                let position = around.variant.found(position);
                self.stale = false;
                match &mut self.publisher {
                    Some(publisher) if publisher.position().generation == position.generation => {
                        publisher.relocated(position);
                    }
                    other => {
                        let identity = turn.file.identity.clone();
                        *other = Some(Publisher::new(identity, position, around.suffix));
                    }
                }
                self.offer(Turn { located: true, ..turn }, around);
            }
            Outcome::NoChain | Outcome::Closed(_) => self.end_turn(around),
            Outcome::Stop(stop) => self.stopped = Some(stop.to_string()),
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
            Action::Closed(_) => {
                (around.say)(format_args!("meets a closing seal"));
                self.stale = true;
                return self.end_turn(around);
            }
            Action::Orphaned => {
                (around.say)(format_args!("puts {} into quarantine", told(&turn.file)));
                around.spool.remove(&turn.file);
                self.tell(around.spool);
                return self.next_file(turn.rest, turn.located, turn.drop_rest, around);
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
