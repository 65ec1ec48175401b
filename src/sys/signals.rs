//! Signals as values: blocked everywhere, read from a descriptor.
//!
//! No handler ever runs. The supervisor takes them over before its first fork; children inherit
//! the blocked mask, and so does every thread that a worker's libraries start. So a signal waits
//! until somebody reads it, also one that comes between a fork and the worker's first line.
//! A descriptor gives the signals of the process that *reads* it, so a child opens its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal as Unix, kill, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::SysError;

/// A signal that means something to the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// CHLD: a child ended.
    Child,
    /// TERM: drain and stop.
    Terminate,
    /// INT: the same, from a terminal.
    Interrupt,
    /// HUP: read the configuration again.
    HangUp,
    /// USR1: rotate everything now.
    Rotate,
}

impl Signal {
    const ALL: [Self; 5] =
        [Self::Child, Self::Terminate, Self::Interrupt, Self::HangUp, Self::Rotate];
    /// What a worker listens to; it has no children.
    const OF_WORKERS: [Self; 4] = [Self::Terminate, Self::Interrupt, Self::HangUp, Self::Rotate];

    const fn unix(self) -> Unix {
        match self {
            Self::Child => Unix::SIGCHLD,
            Self::Terminate => Unix::SIGTERM,
            Self::Interrupt => Unix::SIGINT,
            Self::HangUp => Unix::SIGHUP,
            Self::Rotate => Unix::SIGUSR1,
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        let number = i32::try_from(number).ok()?;
        Self::ALL.into_iter().find(|signal| signal.unix() as i32 == number)
    }

    fn set(signals: &[Self]) -> SigSet {
        signals.iter().map(|signal| signal.unix()).collect()
    }
}

/// The mask that a worker lives with.
pub(super) fn worker_mask() -> SigSet {
    Signal::set(&Signal::OF_WORKERS)
}

/// Gives the signals of the product their default action, whoever started this process with
/// another one (`nohup`, a shell's background job), and has SIGPIPE ignored: writing to a closed
/// pipe is an error value.
pub(super) fn reset_actions() -> Result<(), SysError> {
    for signal in Signal::ALL {
        set_action(signal.unix(), SigHandler::SigDfl)?;
    }
    set_action(Unix::SIGPIPE, SigHandler::SigIgn)
}

#[expect(unsafe_code, reason = "sigaction can install code that runs between any two instructions")]
fn set_action(signal: Unix, handler: SigHandler) -> Result<(), SysError> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: only ever called with SIG_DFL and SIG_IGN, which run no code of ours.
    unsafe { sigaction(signal, &action) }
        .map(drop)
        .map_err(SysError::call("setting a signal's action"))
}

fn open(mask: &SigSet) -> Result<SignalFd, SysError> {
    SignalFd::with_flags(mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(SysError::call("opening a descriptor for signals"))
}

fn read_all(fd: &SignalFd) -> Vec<Signal> {
    std::iter::from_fn(|| fd.read_signal().ok().flatten())
        .filter_map(|info| Signal::from_number(info.ssi_signo))
        .collect()
}

/// The supervisor's signals.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// Keeps HUP and USR1 waiting until [`Signals::take_over`] reads them. To be called first of all:
/// they end a process that is not ready for them, and whoever started one may send them at once.
pub fn hold_back() -> Result<(), SysError> {
    let mask = Signal::set(&[Signal::HangUp, Signal::Rotate]);
    mask.thread_block().map_err(SysError::call("blocking signals"))
}

impl Signals {
    /// Blocks the product's signals in this thread and reads them from now on. To be called once,
    /// before anything forks or starts a thread.
    pub fn take_over() -> Result<Self, SysError> {
        let mask = Signal::set(&Signal::ALL);
        mask.thread_block().map_err(SysError::call("blocking signals"))?;
        reset_actions()?;
        open(&mask).map(Self)
    }

    /// What came since the last call; two of one kind may have become one.
    pub fn drain_pending(&self) -> Vec<Signal> {
        read_all(&self.0)
    }
}

/// Readable when a signal waits.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Tells the supervisor `pid` to rotate everything now.
///
/// The signal ends a process that does not expect it: whoever calls this has made sure that the
/// process is a supervisor.
#[expect(clippy::disallowed_methods, reason = "the room that sends signals")]
pub fn signal_rotate(pid: u32) -> io::Result<()> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidInput);
    // 0 and 1 are a whole group and init: never meant.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1).ok_or_else(wrong)?;
    kill(Pid::from_raw(pid), Signal::Rotate.unix()).map_err(io::Error::from)
}

/// What a worker is told by signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first TERM or INT: take nothing new, finish, leave.
    Drain,
    /// The second one: leave now, in order but without waiting for anything. Further ones say no
    /// more.
    AtOnce,
    /// USR1: rotate now.
    Rotate,
    /// HUP: the configuration may have changed. The supervisor replaces workers whose settings
    /// changed and sends this to none; it is here for who sends it by hand.
    Reload,
}

/// How far a worker has been told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// [`Order::Drain`] has come.
    Drain,
    /// [`Order::AtOnce`] has come.
    AtOnce,
}

/// A worker's signals: a descriptor to be polled with others, and what they mean.
///
/// May be shared by threads; each order is given to one reader, [`WorkerSignals::stop`] to all.
#[derive(Debug)]
pub struct WorkerSignals {
    fd: SignalFd,
    asked: AtomicU8,
}

impl WorkerSignals {
    /// Opens them in a worker's first thread, before it starts others.
    pub fn open() -> Result<Self, SysError> {
        let mask = worker_mask();
        mask.thread_block().map_err(SysError::call("blocking signals"))?;
        Ok(Self { fd: open(&mask)?, asked: AtomicU8::new(0) })
    }

    /// What came since the last call. Never waits.
    pub fn drain_pending(&self) -> Vec<Order> {
        read_all(&self.fd).into_iter().filter_map(|signal| self.order(signal)).collect()
    }

    fn order(&self, signal: Signal) -> Option<Order> {
        match signal {
            Signal::Child => None,
            Signal::HangUp => Some(Order::Reload),
            Signal::Rotate => Some(Order::Rotate),
            Signal::Terminate | Signal::Interrupt => self.count_stop(),
        }
    }

    fn count_stop(&self) -> Option<Order> {
        let before = self
            .asked
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| Some(n.saturating_add(1)))
            .unwrap_or(u8::MAX);
        match before {
            0 => Some(Order::Drain),
            1 => Some(Order::AtOnce),
            _ => None,
        }
    }

    /// How far the orders read so far tell the worker to stop; for loops that look at it now and
    /// then. Does not read the descriptor.
    pub fn stop(&self) -> Stop {
        match self.asked.load(Ordering::Acquire) {
            0 => Stop::No,
            1 => Stop::Drain,
            _ => Stop::AtOnce,
        }
    }
}

/// Readable when an order waits. (For tokio: `AsyncFd::new(signals.as_fd().as_raw_fd())`.)
impl AsFd for WorkerSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    // raise() sends to the calling thread only, so these disturb no other test.

    #[test]
    fn the_second_stop_means_at_once() {
        let signals = WorkerSignals::open().unwrap();
        assert_eq!((signals.drain_pending(), signals.stop()), (vec![], Stop::No));
        raise(Unix::SIGTERM).unwrap();
        assert_eq!((signals.drain_pending(), signals.stop()), (vec![Order::Drain], Stop::Drain));
        raise(Unix::SIGTERM).unwrap();
        assert_eq!((signals.drain_pending(), signals.stop()), (vec![Order::AtOnce], Stop::AtOnce));
        raise(Unix::SIGINT).unwrap();
        assert_eq!((signals.drain_pending(), signals.stop()), (vec![], Stop::AtOnce));
    }

    #[test]
    fn term_and_int_together_mean_at_once() {
        let signals = WorkerSignals::open().unwrap();
        raise(Unix::SIGTERM).unwrap();
        raise(Unix::SIGINT).unwrap();
        assert_eq!(signals.drain_pending(), [Order::Drain, Order::AtOnce]);
    }

    #[test]
    fn rotate_and_reload_stop_nothing() {
        let signals = WorkerSignals::open().unwrap();
        raise(Unix::SIGHUP).unwrap();
        raise(Unix::SIGUSR1).unwrap();
        assert_eq!(signals.drain_pending(), [Order::Reload, Order::Rotate]);
        assert_eq!(signals.stop(), Stop::No);
    }

    #[test]
    fn what_comes_before_the_supervisor_is_ready_waits_for_it() {
        super::hold_back().unwrap();
        raise(Unix::SIGHUP).unwrap();
        raise(Unix::SIGUSR1).unwrap();
        let mut read = Signals::take_over().unwrap().drain_pending();
        read.sort_by_key(|signal| *signal as u8);
        assert_eq!(read, [Signal::HangUp, Signal::Rotate]);
    }

    #[test]
    fn the_supervisor_reads_its_own_and_is_woken_by_them() {
        let signals = Signals::take_over().unwrap();
        raise(Unix::SIGCHLD).unwrap();
        raise(Unix::SIGUSR1).unwrap();
        assert!(super::super::poll::wait_readable(&[signals.as_fd()], None).unwrap());
        let mut read = signals.drain_pending();
        read.sort_by_key(|signal| *signal as u8);
        assert_eq!(read, [Signal::Child, Signal::Rotate]);
    }
}
