//! The loop: waits, reaps, and does what the fleet says.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use super::fleet::{Action, Event, Fleet, Outcome, Plan, Wanted};
use super::handover::Handover;
use super::note::Note;
use super::report::{Report, Reports};
use super::slot::{Role, SlotId, WorkerExit, exit};
use super::{
    Comparison, FleetSpec, RoleSpec, RunOptions, RunUntil, Settings, SpecError, WorkerContext,
};
use crate::fail::moment;
use crate::sys::SysError;
use crate::sys::child::{Child, ProcessId, reap};
use crate::sys::fork::{ChildPlan, fork};
use crate::sys::lock::FileLock;
use crate::sys::notify::Notifier;
use crate::sys::poll::wait_readable;
use crate::sys::signals::{Signal, Signals, WorkerSignals};

/// What makes a worker's main function.
pub(super) trait Main<S>: Fn(Role, usize, WorkerContext<S>) -> u8 {}
impl<S, F: Fn(Role, usize, WorkerContext<S>) -> u8> Main<S> for F {}

/// How often the workers of a role were to be replaced, and to take up what is new.
#[derive(Debug, Clone, Copy, Default)]
struct Version {
    replaced: u64,
    live: u64,
}

/// The supervisor at work.
pub(super) struct Shell<S, R, W> {
    spec: FleetSpec<S>,
    read_spec: R,
    worker_main: W,
    fleet: Fleet,
    versions: BTreeMap<Role, Version>,
    children: BTreeMap<ProcessId, (SlotId, Child)>,
    signals: Signals,
    reports: Reports,
    handover: Handover,
    notifier: Notifier,
    started: Instant,
    alive_due: Option<Instant>,
    told_status: String,
    told_stopping: bool,
    /// Held by being open, here and in every child.
    _lock: FileLock,
}

impl<S, R, W> Shell<S, R, W>
where
    S: Settings,
    R: Fn() -> Result<FleetSpec<S>, SpecError>,
    W: Main<S>,
{
    pub(super) fn new(
        spec: FleetSpec<S>,
        read_spec: R,
        worker_main: W,
        options: &RunOptions,
        signals: Signals,
        lock: FileLock,
    ) -> Result<Self, SysError> {
        let reports = Reports::open()
            .map_err(|source| SysError::Call { what: "making a pipe for reports", source })?;
        let handover = Handover::open()
            .map_err(|source| SysError::Call { what: "making a file in memory", source })?;
        let versions = BTreeMap::new();
        let fleet = Fleet::new(plan(&spec, &versions), options.policy, options.exit_at_end);
        Ok(Self {
            spec,
            read_spec,
            worker_main,
            fleet,
            versions,
            children: BTreeMap::new(),
            signals,
            reports,
            handover,
            notifier: Notifier::from_environment(),
            started: Instant::now(),
            alive_due: None,
            told_status: String::new(),
            told_stopping: false,
            _lock: lock,
        })
    }

    /// Runs until the fleet has ended.
    pub(super) fn run(mut self) -> Result<Outcome, SysError> {
        self.alive_due = self.notifier.alive_every().map(|_| self.started);
        self.give(Event::Tick);
        loop {
            // Also in the last round: everything may have ended within one.
            self.tell_manager();
            if let Some(outcome) = self.fleet.outcome() {
                return Ok(outcome);
            }
            self.wait()?;
            for signal in self.signals.drain_pending() {
                self.take_signal(signal);
            }
            self.take_reports();
            self.reap_all();
            self.give(Event::Tick);
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn wait(&self) -> Result<(), SysError> {
        let now = self.now();
        let fleet = self.fleet.next_wakeup(now).map(|at| at.saturating_sub(now));
        let alive = self.alive_due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = [fleet, alive].into_iter().flatten().min();
        wait_readable(&[self.signals.as_fd(), self.reports.as_fd()], timeout).map(drop)
    }

    fn take_signal(&mut self, signal: Signal) {
        match signal {
            // Children are looked at in every round.
            Signal::Child => {}
            Signal::Terminate | Signal::Interrupt => {
                let word = if self.fleet.is_stopping() { "killing all" } else { "draining" };
                log::info!(event = "stopping"; "told to stop: {word}");
                self.give(Event::Stop);
            }
            Signal::HangUp => self.reload(),
            Signal::Rotate => self.give(Event::Rotate),
        }
    }

    fn take_reports(&mut self) {
        for (pid, report) in self.reports.drain_pending() {
            if let Some(slot) = self.children.get(&pid).map(|(slot, _)| *slot) {
                self.give(match report {
                    Report::Up => Event::Up(slot),
                    Report::Useful => Event::Useful(slot),
                });
            }
        }
    }

    fn reap_all(&mut self) {
        while let Some((pid, ending)) = reap() {
            // Others are not ours: orphans of orphans that a container's pid 1 is given.
            if let Some((slot, _)) = self.children.remove(&pid) {
                self.give(Event::Exited(slot, WorkerExit::Ended(ending)));
            }
        }
    }

    /// Tells the fleet, and does what it says; a fork that fails is an event that follows.
    fn give(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.fleet.handle(event, self.now()) {
                if let Some(failed) = self.perform(action) {
                    events.push(Event::Exited(failed, WorkerExit::NotForked));
                }
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<SlotId> {
        match action {
            Action::Fork(slot) => return self.fork(slot).err().map(|()| slot),
            Action::Tell(slot, order) => self.with_child(slot, |child| child.tell(order)),
            Action::Kill(slot) => self.with_child(slot, Child::kill),
            Action::Note(note) => say(note),
            Action::Ready => self.notifier.ready(),
        }
        None
    }

    fn with_child(&self, slot: SlotId, act: impl Fn(&Child) -> Result<(), SysError>) {
        let child = self.children.values().find(|(id, _)| *id == slot);
        if let Some(Err(error)) = child.map(|(_, child)| act(child)) {
            log::error!("{slot}: {}", error.in_full());
        }
    }

    fn fork(&mut self, slot: SlotId) -> Result<(), ()> {
        let role = self.spec.role(slot.role).ok_or(())?;
        let plan = ChildPlan { label: &slot.role.label(slot.index), nice: role.nice };
        moment!("fork");
        let child = fork(&plan, || self.be_worker(slot)).map_err(|error| {
            log::error!("{slot} cannot be started: {}", error.in_full());
        })?;
        log::info!(
            event = "worker_started", worker:% = slot, worker_pid = child.pid().get();
            "{slot} runs as process {}", child.pid()
        );
        self.children.insert(child.pid(), (slot, child));
        Ok(())
    }

    /// In the child.
    fn be_worker(&self, slot: SlotId) -> u8 {
        let signals = match WorkerSignals::open() {
            Ok(signals) => signals,
            Err(error) => {
                log::error!("{slot}: {}", error.in_full());
                return exit::INTERNAL;
            }
        };
        let by_itself = self.fleet.leaves_by_itself(slot.role);
        let until = if by_itself { RunUntil::End } else { RunUntil::Told };
        let reporter = self.reports.reporter();
        let settings = self.spec.settings.clone();
        let updates = self.handover.updates();
        let context = WorkerContext { settings, updates, signals, until, reporter };
        (self.worker_main)(slot.role, slot.index, context)
    }

    /// A configuration that can't be used changes nothing.
    fn reload(&mut self) {
        if self.fleet.is_stopping() {
            return log::info!("the configuration is not read again: stopping");
        }
        self.notifier.reloading();
        match (self.read_spec)().and_then(|new| self.spec.refuse_moves(&new).map(|()| new)) {
            Ok(new) => self.adopt(new),
            Err(error) => {
                log::error!(event = "not_reloaded"; "the configuration stays as it was: {error}");
            }
        }
        self.notifier.ready();
    }

    fn adopt(&mut self, new: FleetSpec<S>) {
        let Comparison { changes, mut live, mut replace } =
            self.spec.settings.compare(&new.settings);
        match changes.as_slice() {
            [] => log::info!(
                event = "reloaded"; "the configuration has been read again: nothing changed"
            ),
            changes => {
                let changes = changes.join("; ");
                log::info!(
                    event = "reloaded"; "the configuration has been read again: {changes}"
                );
            }
        }
        if let Err(error) = self.handover.put(&new.settings.to_bytes()) {
            log::error!("running workers can't be handed the new settings: {error}");
            replace.append(&mut live);
        }
        for role in Role::ALL {
            let nice = |spec: &FleetSpec<S>| spec.role(role).map(|role| role.nice);
            let version = self.versions.entry(role).or_default();
            if replace.contains(&role) || nice(&self.spec) != nice(&new) {
                version.replaced += 1;
            } else if live.contains(&role) {
                version.live += 1;
            }
        }
        self.spec = new;
        self.spec.settings.in_force();
        self.give(Event::Reload(plan(&self.spec, &self.versions)));
    }

    fn tell_manager(&mut self) {
        if self.fleet.is_stopping() && !std::mem::replace(&mut self.told_stopping, true) {
            self.notifier.stopping(self.fleet.longest_stop());
        }
        let status = self.fleet.status();
        if status != self.told_status {
            self.notifier.status(&status);
            self.told_status = status;
        }
        let now = Instant::now();
        if self.alive_due.is_some_and(|due| due <= now) {
            self.notifier.alive();
            self.alive_due = self.notifier.alive_every().map(|every| now + every);
        }
    }
}

fn say(note: Note) {
    log::log!(note.level(), event = note.event(); "{note}");
}

fn plan<S>(spec: &FleetSpec<S>, versions: &BTreeMap<Role, Version>) -> Plan {
    let wanted = |role: &RoleSpec| {
        let Version { replaced, live } = versions.get(&role.role).copied().unwrap_or_default();
        (role.role, Wanted { count: role.count, version: replaced, revision: live })
    };
    let roles = spec.roles.iter().map(wanted).collect();
    Plan { roles, shutdown_timeout: spec.shutdown_timeout }
}
