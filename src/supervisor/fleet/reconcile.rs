//! Bringing about what is wanted: forks, orders, kills. Pure; doing it twice does no harm.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Action, Fleet, Life, Phase, Slot, State, Told, Wanted};
use crate::supervisor::note::Note;
use crate::supervisor::slot::{Role, SlotId};
use crate::sys::signals::Order;

impl Fleet {
    pub(super) fn reconcile(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.phase == Phase::Running {
            self.keep_running(now, out);
        }
        if self.phase == Phase::DrainingConsumers {
            self.drain_consumers(now, out);
        }
        if self.phase == Phase::DrainingRest {
            let patience = self.policy.grace;
            self.tell_to_stop(|_| true, patience, now, out);
            self.finish_when_empty();
        }
        if self.phase == Phase::Killing {
            self.kill(|_| true, out);
            self.finish_when_empty();
        }
        self.kill_overdue(now, out);
    }

    fn keep_running(&mut self, now: Duration, out: &mut Vec<Action>) {
        let mut turn = true;
        for role in Role::ALL {
            self.set_size(role, now);
            self.tell_news(role, out);
            let outdated = self.is_outdated(role);
            let surplus = self.live().any(|(id, _)| self.is_surplus(id));
            if turn && (outdated || surplus) {
                self.replace(role, outdated, now, out);
            }
            if !(turn && outdated || self.must_wait(role)) {
                self.fork_due(role, now, out);
            }
            turn &= !outdated;
        }
        self.find_ready(now, out);
        if self.exit_at_end && self.end_is_reached() {
            self.phase = Phase::DrainingRest;
        }
    }

    fn is_surplus(&self, id: SlotId) -> bool {
        id.index >= self.plan.wanted(id.role).count
    }

    fn is_outdated(&self, role: Role) -> bool {
        let version = self.plan.wanted(role).version;
        self.live().any(|(id, life)| id.role == role && life.version != version)
    }

    pub(super) fn any_outdated(&self) -> bool {
        Role::ALL.into_iter().any(|role| self.is_outdated(role))
    }

    fn set_size(&mut self, role: Role, now: Duration) {
        let fresh = Slot { state: State::Idle { not_before: now }, early_deaths: 0 };
        for index in 0..self.plan.wanted(role).count {
            self.slots.entry(SlotId { role, index }).or_insert(fresh);
        }
        let count = self.plan.wanted(role).count;
        self.slots.retain(|id, slot| {
            id.role != role || id.index < count || matches!(slot.state, State::Live(_))
        });
    }

    /// Has those that can take up new settings as they run do so.
    fn tell_news(&mut self, role: Role, out: &mut Vec<Action>) {
        let Wanted { count, version, revision } = self.plan.wanted(role);
        let mut told = false;
        for (id, slot) in self.slots.iter_mut().filter(|(id, _)| id.role == role) {
            if let State::Live(life) = &mut slot.state
                && life.told == Told::Nothing
                && life.version == version
                && life.revision != revision
                && id.index < count
            {
                life.revision = revision;
                out.push(Action::Tell(*id, Order::Reload));
                told = true;
            }
        }
        if told {
            out.push(Action::Note(Note::TakingUp { role }));
        }
    }

    fn replace(&mut self, role: Role, outdated: bool, now: Duration, out: &mut Vec<Action>) {
        let wanted = self.plan.wanted(role);
        let old: BTreeSet<SlotId> = self
            .live()
            .filter(|(id, life)| {
                id.role == role && (life.version != wanted.version || id.index >= wanted.count)
            })
            .map(|(id, _)| id)
            .collect();
        let patience = self.plan.shutdown_timeout + self.policy.grace;
        let told = self.tell_to_stop(|id| old.contains(&id), patience, now, out);
        if told && outdated {
            out.push(Action::Note(Note::Replacing { role }));
        } else if told {
            let count = wanted.count;
            out.push(Action::Note(Note::Shrinking { role, count }));
        }
    }

    fn fork_due(&mut self, role: Role, now: Duration, out: &mut Vec<Action>) {
        let Wanted { count, version, revision } = self.plan.wanted(role);
        let wanted = |id: &SlotId| id.role == role && id.index < count;
        for (id, slot) in self.slots.iter_mut().filter(|(id, _)| wanted(id)) {
            match slot.state {
                State::Idle { not_before } if not_before <= now => {
                    let life = Life {
                        since: now,
                        version,
                        revision,
                        told: Told::Nothing,
                        up: false,
                        useful: false,
                    };
                    slot.state = State::Live(life);
                    out.push(Action::Fork(*id));
                }
                State::Idle { .. } | State::Live(_) | State::Done => {}
            }
        }
    }

    fn find_ready(&mut self, now: Duration, out: &mut Vec<Action>) {
        let settle = self.policy.settle;
        let came_up = |slot: &Slot| match slot.state {
            State::Idle { .. } => false,
            State::Live(life) => life.up || now.saturating_sub(life.since) >= settle,
            State::Done => true,
        };
        if !self.ready && self.slots.values().all(came_up) {
            self.ready = true;
            out.push(Action::Ready);
        }
    }

    fn end_is_reached(&self) -> bool {
        self.slots
            .iter()
            .filter(|(id, _)| self.leaves_by_itself(id.role))
            .all(|(_, slot)| matches!(slot.state, State::Done))
    }

    fn drain_consumers(&mut self, now: Duration, out: &mut Vec<Action>) {
        let patience = self.plan.shutdown_timeout + self.policy.grace;
        let is_consumer = |id: SlotId| id.role == Role::Consumer;
        let goes_first = |id: SlotId| is_consumer(id) || id.role == Role::Takeover;
        self.tell_to_stop(goes_first, patience, now, out);
        if self.in_vain {
            self.tell_at_once(now, out);
        }
        if self.live().any(|(id, _)| is_consumer(id)) {
            self.fork_due(Role::Compressor, now, out);
            self.fork_due(Role::Uploader, now, out);
        } else {
            self.phase = Phase::DrainingRest;
        }
    }

    fn tell_to_stop(
        &mut self,
        whom: impl Fn(SlotId) -> bool,
        patience: Duration,
        now: Duration,
        out: &mut Vec<Action>,
    ) -> bool {
        let before = out.len();
        for (id, slot) in &mut self.slots {
            if let State::Live(life) = &mut slot.state
                && life.told == Told::Nothing
                && whom(*id)
            {
                life.told = Told::Stop { kill_at: now + patience };
                out.push(Action::Tell(*id, Order::Drain));
            }
        }
        out.len() > before
    }

    fn tell_at_once(&mut self, now: Duration, out: &mut Vec<Action>) {
        let kill_at = now + self.policy.grace;
        for (id, slot) in self.slots.iter_mut().filter(|(id, _)| id.role == Role::Consumer) {
            if let State::Live(life) = &mut slot.state
                && let Told::Stop { .. } = life.told
            {
                life.told = Told::AtOnce { kill_at };
                out.push(Action::Tell(*id, Order::AtOnce));
            }
        }
    }

    fn kill_overdue(&mut self, now: Duration, out: &mut Vec<Action>) {
        let overdue = |life: Life| match life.told {
            Told::Stop { kill_at } | Told::AtOnce { kill_at } => kill_at <= now,
            Told::Nothing | Told::Killed => false,
        };
        for (id, _) in self.live().filter(|(_, life)| overdue(*life)) {
            out.push(Action::Note(Note::Overdue { slot: id }));
        }
        self.kill(overdue, out);
    }

    fn kill(&mut self, which: impl Fn(Life) -> bool, out: &mut Vec<Action>) {
        for (id, slot) in &mut self.slots {
            if let State::Live(life) = &mut slot.state
                && life.told != Told::Killed
                && which(*life)
            {
                life.told = Told::Killed;
                out.push(Action::Kill(*id));
            }
        }
    }

    fn finish_when_empty(&mut self) {
        if self.live().next().is_none() {
            self.phase = Phase::Finished;
            self.slots.clear();
        }
    }
}
