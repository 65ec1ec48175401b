//! Waiting for several descriptors at once, in a process without an event loop of its own.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::SysError;

/// Waits until one of `fds` can be read (or is closed at its other end), or `timeout` is over;
/// `None` waits for ever. Says whether any is ready; may return early without cause.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<bool, SysError> {
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match ppoll(&mut polled, timeout.map(TimeSpec::from_duration), None) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(SysError::call("waiting for signals")(errno)),
    }
}
