//! The one place that forks.
//!
//! Guarantees, for a child forked here:
//! - it runs the closure it was given and then `_exit`s; it never returns into its parent's code
//!   and never drops what lives on its parent's stack; a panic becomes exit code 70;
//! - no signal is lost or handled by code of the parent: all are blocked over the fork, and the
//!   child goes on with those of a worker blocked, to be read by [`super::signals::WorkerSignals`];
//! - it does not outlive its parent: the kernel kills it (`PR_SET_PDEATHSIG`) when the parent dies.
//!   By SIGKILL, not SIGTERM: a dead supervisor can't drain in order, nor kill a worker that hangs;
//!   all workers are made to be killed at any instruction; and a restarted supervisor soon finds
//!   the instance's lock free;
//! - it is in a process group of its own, so that a terminal's Ctrl-C reaches only the supervisor,
//!   which then drains in order;
//! - a fork is refused in a process that has threads, whose locks the child would inherit locked.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal as Unix};
use nix::unistd::{ForkResult, Pid, fork as unix_fork, getppid, setpgid};

use super::child::Child;
use super::{SysError, signals, title};

/// The exit code of a child that panicked or could not be set up (sysexits: internal error).
pub const EXIT_INTERNAL: u8 = 70;

/// A niceness that is added to the parent's, -20 to 19.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Nice(i32);

impl Nice {
    /// Brings `level` into -20 to 19. Less than 0 needs a privilege; without it the child says so
    /// and goes on.
    #[must_use]
    pub fn new(level: i32) -> Self {
        Self(level.clamp(-20, 19))
    }
}

/// What a child is to be.
#[derive(Debug, Clone, Copy)]
pub struct ChildPlan<'a> {
    /// Stands in brackets before the command line in `ps`, and is the process' short name.
    pub label: &'a str,
    /// Added to the parent's niceness.
    pub nice: Nice,
}

/// Forks a child that runs `body` and exits with the code it gives.
///
/// The caller must reap it ([`super::child::reap`]).
pub fn fork<F: FnOnce() -> u8>(plan: &ChildPlan<'_>, body: F) -> Result<Child, SysError> {
    refuse_threads()?;
    flush_output();
    let parent = Pid::this();
    let before = block_all()?;
    match split() {
        Ok(ForkResult::Child) => become_child(plan, parent, body),
        Ok(ForkResult::Parent { child }) => {
            restore(&before);
            Ok(Child::new(child))
        }
        Err(errno) => {
            restore(&before);
            Err(SysError::call("fork")(errno))
        }
    }
}

#[expect(unsafe_code, reason = "fork copies one thread with everything it holds")]
#[expect(clippy::disallowed_methods, reason = "the place that forks")]
fn split() -> nix::Result<ForkResult> {
    // SAFETY: the process has one thread (`refuse_threads`), so the child inherits no lock that
    // another thread holds, and may do whatever the parent may.
    unsafe { unix_fork() }
}

/// Counts the process' threads. A system without /proc can't tell and is believed.
fn refuse_threads() -> Result<(), SysError> {
    match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(count) if count > 1 => Err(SysError::Threads(count)),
        _ => Ok(()),
    }
}

/// What is buffered would be written twice: by the parent and by the child.
fn flush_output() {
    // A closed pipe is found out by whoever writes next.
    let _ = std::io::stdout().flush();
}

fn block_all() -> Result<SigSet, SysError> {
    SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .map_err(SysError::call("blocking signals"))
}

fn restore(before: &SigSet) {
    if let Err(errno) = before.thread_set_mask() {
        log::error!("unblocking signals after a fork failed: {errno}");
    }
}

fn become_child<F: FnOnce() -> u8>(plan: &ChildPlan<'_>, parent: Pid, body: F) -> ! {
    let run = AssertUnwindSafe(|| match set_up(plan, parent) {
        Ok(()) => body(),
        Err(error) => {
            log::error!("[{}] cannot start: {}", plan.label, error.in_full());
            EXIT_INTERNAL
        }
    });
    let code = catch_unwind(run).unwrap_or_else(|panic| {
        log::error!("[{}] panicked: {}", plan.label, panic_text(panic.as_ref()));
        // Dropping it may run code that panics again.
        std::mem::forget(panic);
        EXIT_INTERNAL
    });
    leave(code)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

/// Ends the process without running destructors or `atexit` functions: those are the parent's.
#[expect(unsafe_code, reason = "_exit takes the process away from under everything")]
fn leave(code: u8) -> ! {
    flush_output();
    // SAFETY: does not return; other threads, if any, are ended by the kernel.
    unsafe { libc::_exit(i32::from(code)) }
}

fn set_up(plan: &ChildPlan<'_>, parent: Pid) -> Result<(), SysError> {
    prctl::set_pdeathsig(Unix::SIGKILL)
        .map_err(SysError::call("asking to be killed with the parent"))?;
    if getppid() != parent {
        // It died before the line above; nobody waits for this code.
        leave(EXIT_INTERNAL);
    }
    setpgid(Pid::from_raw(0), Pid::from_raw(0))
        .map_err(SysError::call("making a process group"))?;
    be_nice(plan);
    if let Err(error) = title::set(plan.label) {
        log::warn!("[{}] has no title of its own: {}", plan.label, error.in_full());
    }
    signals::reset_actions()?;
    signals::worker_mask().thread_set_mask().map_err(SysError::call("unblocking signals"))
}

#[expect(unsafe_code, reason = "there is no safe wrapper of nice(2)")]
fn be_nice(plan: &ChildPlan<'_>) {
    if plan.nice == Nice::default() {
        return;
    }
    nix::errno::Errno::clear();
    // SAFETY: nice() takes an int and touches no memory.
    let level = unsafe { libc::nice(plan.nice.0) };
    // -1 is a level too.
    if level == -1 && nix::errno::Errno::last_raw() != 0 {
        let error = std::io::Error::last_os_error();
        log::warn!("[{}] cannot be made nicer by {}: {error}", plan.label, plan.nice.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_brought_into_range() {
        assert_eq!((Nice::new(99).0, Nice::new(-99).0, Nice::new(15).0), (19, -20, 15));
    }

    #[test]
    fn a_process_with_threads_does_not_fork() {
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        let plan = ChildPlan { label: "x", nice: Nice::default() };
        let refused = fork(&plan, || 0);
        drop(end);
        assert!(thread.join().unwrap().is_err());
        assert!(matches!(refused, Err(SysError::Threads(2..))));
    }

    #[test]
    fn panics_have_a_text() {
        assert_eq!(panic_text(&"plain"), "plain");
        assert_eq!(panic_text(&String::from("made")), "made");
        assert_eq!(panic_text(&7), "(no message)");
    }
}
