//! Children: signals to them, and how they ended.

use std::fmt;

use nix::errno::Errno;
use nix::sys::signal::{Signal as Unix, kill};
use nix::unistd::Pid;

use super::SysError;
use super::signals::Order;

/// A child that has not been waited for. Its pid is its own until [`reap`] gives it back.
#[derive(Debug, PartialEq, Eq)]
pub struct Child {
    pid: Pid,
}

impl Child {
    pub(super) const fn new(pid: Pid) -> Self {
        Self { pid }
    }

    /// The child's pid.
    #[must_use]
    pub const fn pid(&self) -> ProcessId {
        ProcessId(self.pid.as_raw())
    }

    /// Sends an order. One to a child that has ended already does nothing.
    pub fn tell(&self, order: Order) -> Result<(), SysError> {
        let signals: &[Unix] = match order {
            Order::Drain => &[Unix::SIGTERM],
            // Two different ones: two of a kind could become one on the way.
            Order::AtOnce => &[Unix::SIGTERM, Unix::SIGINT],
            Order::Rotate => &[Unix::SIGUSR1],
            Order::Reload => &[Unix::SIGHUP],
        };
        signals.iter().try_for_each(|signal| self.send(*signal))
    }

    /// Ends the child without asking it.
    pub fn kill(&self) -> Result<(), SysError> {
        self.send(Unix::SIGKILL)
    }

    #[expect(clippy::disallowed_methods, reason = "the room that sends signals")]
    fn send(&self, signal: Unix) -> Result<(), SysError> {
        match kill(self.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(SysError::call("sending a signal")(errno)),
        }
    }
}

/// The number of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(i32);

impl ProcessId {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Self(Pid::this().as_raw())
    }

    /// Reads a positive decimal number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().filter(|pid| *pid > 0).map(Self)
    }

    /// Whether a process of this number is there, of whichever user.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the room that sends signals; this one is none")]
    pub fn exists(self) -> bool {
        kill(Pid::from_raw(self.0), None) != Err(Errno::ESRCH)
    }

    /// The number as the system has it.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with a code.
    Code(u8),
    /// A signal ended it.
    Signal(i32),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(number) => match Unix::try_from(number) {
                Ok(signal) => write!(f, "was killed by {signal}"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
        }
    }
}

/// Waits for one child that has ended, without waiting for one to end: `None` if there is none.
///
/// Also gives children that this process did not fork but inherited (as pid 1 of a container).
#[expect(unsafe_code, reason = "the safe wrapper loses children killed by real-time signals")]
pub fn reap() -> Option<(ProcessId, Ending)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid place for an int during the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid > 0 {
            return Some((ProcessId(pid), decode(status)));
        }
        if pid == 0 || Errno::last() != Errno::EINTR {
            return None;
        }
    }
}

fn decode(status: i32) -> Ending {
    if libc::WIFSIGNALED(status) {
        Ending::Signal(libc::WTERMSIG(status))
    } else {
        // Without WUNTRACED there is no third way. An exit code has eight bits.
        Ending::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_well() {
        assert_eq!(decode(0).to_string(), "exited with code 0");
        assert_eq!(decode(70 << 8).to_string(), "exited with code 70");
        assert_eq!(decode(9).to_string(), "was killed by SIGKILL");
        assert_eq!(decode(35).to_string(), "was killed by signal 35");
    }

    #[test]
    fn pids() {
        assert!(ProcessId::own().exists());
        assert_eq!(ProcessId::parse(" 12\n"), Some(ProcessId(12)));
        for text in ["", "0", "-1", "x", "99999999999"] {
            assert_eq!(ProcessId::parse(text), None, "{text}");
        }
    }
}
