//! The demo's processes: children of a parent that starts no thread, and none of them outlives it.
//!
//! A child answers once, through a pipe, with what the parent wants to know or with what went
//! wrong. The parent watches all children and its signals while it waits for anything.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use super::DemoError;
use crate::sys::child::{Child, Ending, ProcessId, reap};
use crate::sys::fork::{ChildPlan, Nice, fork};
use crate::sys::poll::wait_readable;
use crate::sys::signals::{Order, Signal, Signals};

/// How often whoever waits is asked for its progress.
const TICK: Duration = Duration::from_millis(100);
/// How long a child that was told to stop may take before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// How a child is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stops {
    /// It has nothing to lose.
    Killed,
    /// It has children of its own, which it stops first.
    Told,
}

/// A child that was started.
#[derive(Debug)]
pub(super) struct Member {
    who: &'static str,
    pid: ProcessId,
    answer: PipeReader,
}

/// All children.
#[derive(Debug)]
pub(super) struct Family {
    signals: Signals,
    alive: BTreeMap<ProcessId, (Child, Stops)>,
    ended: BTreeMap<ProcessId, Ending>,
}

impl Family {
    /// From now on signals are read, not acted upon.
    pub(super) fn new() -> Result<Self, DemoError> {
        let signals = Signals::take_over()?;
        Ok(Self { signals, alive: BTreeMap::new(), ended: BTreeMap::new() })
    }

    /// Forks a child; `body` answers through the pipe and gives the exit code.
    pub(super) fn start(
        &mut self,
        who: &'static str,
        stops: Stops,
        body: impl FnOnce(PipeWriter) -> u8,
    ) -> Result<Member, DemoError> {
        let (answer, writer) = io::pipe().map_err(DemoError::Pipe)?;
        let plan = ChildPlan { label: who, nice: Nice::default() };
        let child = fork(&plan, move || body(writer))?;
        let pid = child.pid();
        self.alive.insert(pid, (child, stops));
        Ok(Member { who, pid, answer })
    }

    /// Waits for a child's answer.
    pub(super) fn answer(
        &mut self,
        member: &mut Member,
        patience: Duration,
    ) -> Result<String, DemoError> {
        let deadline = Instant::now() + patience;
        let ready = |member: &Member| wait_readable(&[member.answer.as_fd()], Some(Duration::ZERO));
        while !ready(member)? {
            if Instant::now() > deadline {
                return Err(DemoError::Slow { who: member.who, patience });
            }
            wait_readable(&[self.signals.as_fd(), member.answer.as_fd()], Some(TICK))?;
            self.look()?;
        }
        let mut said = String::new();
        member.answer.read_to_string(&mut said).map_err(DemoError::Pipe)?;
        match (said.strip_prefix('+'), said.strip_prefix('-')) {
            (Some(answer), _) => Ok(answer.to_owned()),
            (_, Some(why)) => Err(DemoError::Failed { who: member.who, why: why.to_owned() }),
            _ => {
                let ending = self.ending(member, patience, || {})?;
                Err(DemoError::Died { who: member.who, ending })
            }
        }
    }

    /// Waits for a child's end; `tick` is called now and then.
    pub(super) fn ending(
        &mut self,
        member: &Member,
        patience: Duration,
        mut tick: impl FnMut(),
    ) -> Result<Ending, DemoError> {
        let deadline = Instant::now() + patience;
        loop {
            self.look()?;
            if let Some(ending) = self.ended.get(&member.pid) {
                return Ok(*ending);
            }
            if Instant::now() > deadline {
                return Err(DemoError::Slow { who: member.who, patience });
            }
            tick();
            wait_readable(&[self.signals.as_fd()], Some(TICK))?;
        }
    }

    /// That a child which should run for ever still does.
    pub(super) fn still_runs(&self, member: &Member) -> Result<(), DemoError> {
        let died = |ending: &Ending| DemoError::Died { who: member.who, ending: *ending };
        self.ended.get(&member.pid).map_or(Ok(()), |ending| Err(died(ending)))
    }

    /// Takes note of who ended, and of signals.
    fn look(&mut self) -> Result<(), DemoError> {
        let stop = |signal: &Signal| matches!(signal, Signal::Interrupt | Signal::Terminate);
        let stop = self.signals.drain_pending().iter().any(stop);
        while let Some((pid, ending)) = reap() {
            self.alive.remove(&pid);
            self.ended.insert(pid, ending);
        }
        if stop { Err(DemoError::Interrupted) } else { Ok(()) }
    }

    /// Stops all children and waits until none is left.
    pub(super) fn stop(&mut self) {
        let stop = |(child, how): &(Child, Stops)| match how {
            Stops::Killed => child.kill(),
            Stops::Told => child.tell(Order::AtOnce),
        };
        // One that is not there any more has stopped.
        self.alive.values().map(stop).for_each(drop);
        self.until_all_ended();
        self.alive.values().map(|(child, _)| child.kill()).for_each(drop);
        self.until_all_ended();
    }

    fn until_all_ended(&mut self) {
        let deadline = Instant::now() + STOP_PATIENCE;
        while !self.alive.is_empty() && Instant::now() < deadline {
            // Interrupted once more: it is about to end anyway.
            let _ = self.look();
            if !self.alive.is_empty() {
                let _ = wait_readable(&[self.signals.as_fd()], Some(TICK));
            }
        }
    }
}

/// In a child: answers, and gives its exit code should this be its end.
pub(super) fn answer(mut pipe: PipeWriter, said: Result<String, String>) -> u8 {
    let (text, code) = match said {
        Ok(text) => (format!("+{text}"), 0),
        Err(why) => (format!("-{why}"), 1),
    };
    // A parent that is gone takes this child with it.
    pipe.write_all(text.as_bytes()).map_or(1, |()| code)
}
