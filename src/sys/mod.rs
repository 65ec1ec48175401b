//! Unix in safe types: fork, signals, titles, readiness.

use std::io;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Tells the supervisor `pid` to rotate everything now.
///
/// The signal ends a process that does not expect it: whoever calls this has made sure that the
/// process is a supervisor.
#[expect(clippy::disallowed_methods, reason = "this is the room that sends signals")]
pub fn signal_rotate(pid: u32) -> io::Result<()> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidInput);
    // 0 and 1 are a whole group and init: never meant.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1).ok_or_else(wrong)?;
    kill(Pid::from_raw(pid), Signal::SIGUSR1).map_err(io::Error::from)
}
