//! What a worker's end means for the fleet. Pure.

use std::time::Duration;

use super::{Action, Fleet, Life, Outcome, Phase, Slot, State, Told};
use crate::supervisor::note::Note;
use crate::supervisor::slot::{Meaning, Role, SlotId, WorkerExit, exit};
use crate::sys::child::Ending;

impl Fleet {
    pub(super) fn exited(
        &mut self,
        id: SlotId,
        exit: WorkerExit,
        now: Duration,
        out: &mut Vec<Action>,
    ) {
        let Some(life) = self.life_mut(id).copied() else { return };
        self.prove_long_lived(now);
        let asked = life.told != Told::Nothing;
        let may_leave = asked || self.leaves_by_itself(id.role);
        match exit.meaning() {
            Meaning::Fatal(code) => self.fail(id, code, Note::Fatal { slot: id, exit }, out),
            Meaning::Unavailable if !asked && !self.proven.contains(&id.role) => {
                self.fail(id, exit::UNAVAILABLE, Note::Fatal { slot: id, exit }, out);
            }
            Meaning::Refused if !self.proven.contains(&id.role) => {
                self.fail(id, exit::PERMISSION, Note::Fatal { slot: id, exit }, out);
            }
            Meaning::Done if may_leave => {
                out.push(Action::Note(Note::Ended { slot: id, exit }));
                self.vacate(id, asked, now);
            }
            Meaning::Partial if may_leave => self.left_undone(id, exit, asked, now, out),
            _ if asked => self.left_undone(id, exit, asked, now, out),
            _ => self.crashed(id, exit, life, now, out),
        }
    }

    fn prove_long_lived(&mut self, now: Duration) {
        let settle = self.policy.settle;
        let old = |life: Life| now.saturating_sub(life.since) >= settle;
        let roles: Vec<_> =
            self.live().filter(|(_, life)| old(*life)).map(|(id, _)| id.role).collect();
        self.proven.extend(roles);
    }

    /// The slot of a worker that has gone for good, or, in a reload, to be forked anew.
    fn vacate(&mut self, id: SlotId, asked: bool, now: Duration) {
        let again = asked && self.phase == Phase::Running;
        let state = if again { State::Idle { not_before: now } } else { State::Done };
        self.slots.insert(id, Slot { state, early_deaths: 0 });
    }

    fn left_undone(
        &mut self,
        id: SlotId,
        exit: WorkerExit,
        asked: bool,
        now: Duration,
        out: &mut Vec<Action>,
    ) {
        let note = Note::Incomplete { slot: id, exit };
        out.push(Action::Note(note));
        // What a replaced worker leaves is taken up by the one that replaces it.
        if !(asked && self.phase == Phase::Running) {
            self.partial.get_or_insert(note);
        }
        self.vacate(id, asked, now);
    }

    fn crashed(
        &mut self,
        id: SlotId,
        exit: WorkerExit,
        life: Life,
        now: Duration,
        out: &mut Vec<Action>,
    ) {
        let before = self.slots.get(&id).map_or(0, |slot| slot.early_deaths);
        let early = !life.useful && now.saturating_sub(life.since) < self.policy.long_life;
        let deaths = if early { before.saturating_add(1) } else { 1 };
        // A store that refuses for a day must not end the service for good.
        let may_pass = exit.meaning() == Meaning::Refused;
        if early && deaths >= self.policy.give_up_after && !may_pass {
            let unavailable = exit == WorkerExit::Ended(Ending::Code(exit::UNAVAILABLE));
            let code = if unavailable { exit::UNAVAILABLE } else { exit::INTERNAL };
            return self.fail(id, code, Note::GaveUp { slot: id, exit, deaths }, out);
        }
        let wait = self.policy.wait(deaths);
        out.push(Action::Note(Note::Restarting { slot: id, exit, wait }));
        let state = State::Idle { not_before: now + wait };
        self.slots.insert(id, Slot { state, early_deaths: deaths });
    }

    fn fail(&mut self, id: SlotId, code: u8, note: Note, out: &mut Vec<Action>) {
        out.push(Action::Note(note));
        self.failure.get_or_insert(Outcome { code, last_word: Some(note) });
        self.slots.insert(id, Slot { state: State::Done, early_deaths: 0 });
        self.in_vain |= matches!(id.role, Role::Compressor | Role::Uploader);
        if self.phase == Phase::Running {
            self.phase = Phase::DrainingConsumers;
        }
    }
}
