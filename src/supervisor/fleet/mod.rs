//! The fleet: which workers live, which are to be forked, told or killed. Pure.
//!
//! `(state, event, now) -> actions`. An event changes what is known; then [`Fleet::handle`] brings
//! the fleet nearer to what is wanted, and doing so twice does no harm. A slot counts as live from
//! [`Action::Fork`] until [`Event::Exited`] (which is also how a failed fork is told), so there is
//! never a second process in a slot.
//!
//! **Draining.** Consumers are told first. They stop fetching and rotate, but stay in their group,
//! watch their tips and commit until all of theirs is archived or `shutdown_timeout` is over; until
//! they have left, compressors and uploaders work on and are even restarted. Then these are told.
//! Whoever takes longer than granted (consumers: `shutdown_timeout` and a grace; the others then:
//! the grace) is killed. If a compressor or uploader is why everything stops, the consumers would
//! wait in vain and are told to leave at once. A second stop kills all.
//!
//! **Reload.** Workers that can take up what is new are told so, and go on. Where they can't, they
//! are replaced, role by role in the order of draining: all workers of the role are told, and when
//! the last is gone it is forked with its new settings; then comes the next role. Slots that are
//! no longer wanted are told and vanish; new ones are forked when it is their role's turn.
//!
//! **Takeover.** Such a worker is there for one piece of work and done when it exits 0 or 75. Nobody
//! else is forked until it reports that it has come up. It is told to stop with the consumers.
//!
//! **Exit at end.** A worker that exits 0 or 75 of its own accord is done. When all consumers and
//! the takeover are, the rest drains; without consumers, it is over when everybody is done.
//!
//! The exit code is that of the first fatal exit (see [`WorkerExit`]); 70 for a crash loop (69 if
//! the last death said so); 75 if a worker left something undone or had to be killed; else 0.

mod exits;
mod reconcile;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::note::Note;
use super::policy::Policy;
use super::slot::{Role, SlotId, WorkerExit, exit};
use crate::sys::signals::Order;

/// What is wanted of one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    /// How many workers.
    pub(super) count: usize,
    /// Grows when the role's workers have to be replaced.
    pub(super) version: u64,
    /// Grows when they are to take up new settings as they run.
    pub(super) revision: u64,
}

/// What is wanted of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The roles; one that is missing is wanted not at all.
    pub(super) roles: BTreeMap<Role, Wanted>,
    /// How long consumers may wait for their files to be archived.
    pub(super) shutdown_timeout: Duration,
}

impl Plan {
    fn wanted(&self, role: Role) -> Wanted {
        self.roles.get(&role).copied().unwrap_or_default()
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing but time.
    Tick,
    /// A slot's process ended, or could not be forked.
    Exited(SlotId, WorkerExit),
    /// A worker reported that it has come up.
    Up(SlotId),
    /// A worker reported that it did what it is there for.
    Useful(SlotId),
    /// TERM or INT.
    Stop,
    /// USR1.
    Rotate,
    /// HUP, with a new configuration that is fit for use.
    Reload(Plan),
}

/// Something to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Fork a worker into the slot, with the present settings of its role.
    Fork(SlotId),
    /// Send an order.
    Tell(SlotId, Order),
    /// SIGKILL.
    Kill(SlotId),
    /// Say something.
    Note(Note),
    /// For the first time everybody has come up.
    Ready,
}

/// How it all ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The supervisor's exit code.
    pub(super) code: u8,
    /// Why it is not 0.
    pub(super) last_word: Option<Note>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    DrainingConsumers,
    DrainingRest,
    Killing,
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Stop { kill_at: Duration },
    AtOnce { kill_at: Duration },
    Killed,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    since: Duration,
    version: u64,
    revision: u64,
    told: Told,
    up: bool,
    useful: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Idle { not_before: Duration },
    Live(Life),
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    state: State,
    early_deaths: u32,
}

/// The state machine. Times are since any fixed moment, and never go back.
#[derive(Debug)]
pub(super) struct Fleet {
    policy: Policy,
    plan: Plan,
    exit_at_end: bool,
    slots: BTreeMap<SlotId, Slot>,
    phase: Phase,
    /// Roles of which a worker has come up.
    proven: BTreeSet<Role>,
    ready: bool,
    /// Nobody is left to archive what consumers wait for.
    in_vain: bool,
    failure: Option<Outcome>,
    partial: Option<Note>,
}

impl Fleet {
    /// A fleet without workers; the first [`Event::Tick`] forks them.
    #[must_use]
    pub(super) fn new(plan: Plan, policy: Policy, exit_at_end: bool) -> Self {
        Self {
            policy,
            plan,
            exit_at_end,
            slots: BTreeMap::new(),
            phase: Phase::Running,
            proven: BTreeSet::new(),
            ready: false,
            in_vain: false,
            failure: None,
            partial: None,
        }
    }

    /// Takes in what happened and says what is to be done, in this order.
    pub(super) fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Tick => {}
            Event::Exited(id, exit) => self.exited(id, exit, now, &mut out),
            Event::Up(id) => self.came_up(id),
            Event::Useful(id) => self.was_useful(id),
            Event::Stop => self.stop(),
            Event::Rotate => self.rotate(&mut out),
            Event::Reload(plan) => self.reload(plan, now),
        }
        self.reconcile(now, &mut out);
        out
    }

    /// When to come back with a [`Event::Tick`] if nothing else happens before.
    #[must_use]
    pub(super) fn next_wakeup(&self, now: Duration) -> Option<Duration> {
        self.slots
            .values()
            .flat_map(|slot| self.moments(slot))
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    fn moments(&self, slot: &Slot) -> [Option<Duration>; 2] {
        match slot.state {
            State::Idle { not_before } => [Some(not_before), None],
            State::Done => [None, None],
            State::Live(life) => {
                let settled =
                    (!self.ready && !self.is_stopping()).then_some(life.since + self.policy.settle);
                match life.told {
                    Told::Stop { kill_at } | Told::AtOnce { kill_at } => [Some(kill_at), settled],
                    Told::Nothing | Told::Killed => [None, settled],
                }
            }
        }
    }

    /// Whether the fleet is on its way out.
    #[must_use]
    pub(super) fn is_stopping(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Whether workers of this role know themselves when they are done: the takeover always does,
    /// with exit-at-end the consumers do, and the others if there are no consumers.
    #[must_use]
    pub(super) fn leaves_by_itself(&self, role: Role) -> bool {
        role == Role::Takeover
            || self.exit_at_end && (role == Role::Consumer || !self.has_consumers())
    }

    /// Whether workers of this role have to wait for a takeover that has not come so far.
    fn must_wait(&self, role: Role) -> bool {
        let unsettled = |slot: &Slot| match slot.state {
            State::Idle { .. } => true,
            State::Live(life) => !life.up,
            State::Done => false,
        };
        role != Role::Takeover
            && self.slots.iter().any(|(id, slot)| id.role == Role::Takeover && unsettled(slot))
    }

    fn has_consumers(&self) -> bool {
        self.plan.wanted(Role::Consumer).count > 0
    }

    /// The end, when it has come.
    #[must_use]
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let partial =
            || self.partial.map(|note| Outcome { code: exit::PARTIAL, last_word: Some(note) });
        (self.phase == Phase::Finished)
            .then(|| self.failure.or_else(partial).unwrap_or(Outcome { code: 0, last_word: None }))
    }

    /// The longest that a stop can take from now.
    #[must_use]
    pub(super) fn longest_stop(&self) -> Duration {
        self.plan.shutdown_timeout + self.policy.grace * 2
    }

    /// One line for people: what goes on, and how many workers of each role live.
    #[must_use]
    pub(super) fn status(&self) -> String {
        let counts =
            Role::ALL.map(|role| (role, self.live().filter(|(id, _)| id.role == role).count()));
        let counts: Vec<_> = counts
            .into_iter()
            .filter(|(role, live)| *role != Role::Takeover || *live > 0)
            .map(|(role, live)| format!("{live} {role}{}", if live == 1 { "" } else { "s" }))
            .collect();
        let word = match self.phase {
            Phase::Running if self.any_outdated() => "replacing workers",
            Phase::Running => "running",
            Phase::DrainingConsumers => "draining: waiting for the consumers' files to be archived",
            Phase::DrainingRest => "draining: consumers have left",
            Phase::Killing => "killing",
            Phase::Finished => "finished",
        };
        format!("{word}; {}", counts.join(", "))
    }

    fn live(&self) -> impl Iterator<Item = (SlotId, Life)> {
        self.slots.iter().filter_map(|(id, slot)| match slot.state {
            State::Live(life) => Some((*id, life)),
            State::Idle { .. } | State::Done => None,
        })
    }

    fn life_mut(&mut self, id: SlotId) -> Option<&mut Life> {
        match &mut self.slots.get_mut(&id)?.state {
            State::Live(life) => Some(life),
            State::Idle { .. } | State::Done => None,
        }
    }

    fn came_up(&mut self, id: SlotId) {
        if let Some(life) = self.life_mut(id) {
            life.up = true;
            self.proven.insert(id.role);
        }
    }

    fn was_useful(&mut self, id: SlotId) {
        if let Some(life) = self.life_mut(id) {
            life.useful = true;
            self.came_up(id);
        }
    }

    /// A worker that crashed with its old settings need not wait to try new ones.
    fn reload(&mut self, plan: Plan, now: Duration) {
        for (id, slot) in &mut self.slots {
            let settings = |plan: &Plan| {
                let Wanted { version, revision, .. } = plan.wanted(id.role);
                (version, revision)
            };
            let changed = settings(&self.plan) != settings(&plan);
            if changed && let State::Idle { .. } = slot.state {
                *slot = Slot { state: State::Idle { not_before: now }, early_deaths: 0 };
            }
        }
        self.plan = plan;
    }

    fn stop(&mut self) {
        self.phase = match self.phase {
            Phase::Running => Phase::DrainingConsumers,
            Phase::DrainingConsumers | Phase::DrainingRest => Phase::Killing,
            end @ (Phase::Killing | Phase::Finished) => end,
        };
    }

    fn rotate(&self, out: &mut Vec<Action>) {
        let consumers = self.live().filter(|(id, _)| id.role == Role::Consumer);
        out.extend(consumers.map(|(id, _)| Action::Tell(id, Order::Rotate)));
    }
}
