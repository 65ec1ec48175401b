//! What workers report to the supervisor: that they have come up, that they did useful work.
//!
//! A pipe that every worker inherits. A report is one small write, which is never mixed with
//! others' (`PIPE_BUF`); it names the writer's pid, so that a late one is not taken for that of
//! the worker that came after. A worker never waits for the supervisor to read: if the pipe is
//! full the report is lost, and the next one says the same.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read, write};

use crate::sys::child::ProcessId;

/// What a worker has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It has started, and whatever it needs to begin with is there.
    Up,
    /// It has done what it is there for, at least a bit of it.
    Useful,
}

const SIZE: usize = 5;

fn encode(pid: ProcessId, report: Report) -> [u8; SIZE] {
    let [a, b, c, d] = pid.get().to_be_bytes();
    let kind = match report {
        Report::Up => b'u',
        Report::Useful => b'w',
    };
    [a, b, c, d, kind]
}

fn decode(bytes: [u8; SIZE]) -> Option<(ProcessId, Report)> {
    let [a, b, c, d, kind] = bytes;
    let report = match kind {
        b'u' => Report::Up,
        b'w' => Report::Useful,
        _ => return None,
    };
    let pid = ProcessId::parse(&i32::from_be_bytes([a, b, c, d]).to_string())?;
    Some((pid, report))
}

/// The supervisor's end; keeps the workers' end for those yet to be forked.
#[derive(Debug)]
pub(super) struct Reports {
    reading: OwnedFd,
    writing: Arc<OwnedFd>,
}

impl Reports {
    pub(super) fn open() -> std::io::Result<Self> {
        let (reading, writing) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        Ok(Self { reading, writing: Arc::new(writing) })
    }

    /// What came since the last call.
    pub(super) fn drain_pending(&self) -> Vec<(ProcessId, Report)> {
        let mut found = Vec::new();
        // Whole reports only: a read takes as many as there are, up to a multiple of their size.
        let mut buffer = [0; SIZE * 128];
        while let Ok(length @ 1..) = read(&self.reading, &mut buffer) {
            let (reports, _) = buffer.get(..length).unwrap_or_default().as_chunks::<SIZE>();
            found.extend(reports.iter().copied().filter_map(decode));
        }
        found
    }

    pub(super) fn reporter(&self) -> Reporter {
        Reporter { writing: Arc::clone(&self.writing) }
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reading.as_fd()
    }
}

/// A worker's end.
#[derive(Debug, Clone)]
pub struct Reporter {
    writing: Arc<OwnedFd>,
}

impl Reporter {
    /// To be called when everything that the worker needs has been found in order: readiness is
    /// told to the service manager when all workers have come up.
    pub fn up(&self) {
        self.send(Report::Up);
    }

    /// To be called after useful work, as often as one likes: a worker that crashes after it is
    /// restarted soon and never given up.
    pub fn useful(&self) {
        self.send(Report::Useful);
    }

    fn send(&self, report: Report) {
        // Full or closed: see above.
        let _ = write(&*self.writing, &encode(ProcessId::own(), report));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_arrive_with_their_pid() {
        let reports = Reports::open().unwrap();
        assert_eq!(reports.drain_pending(), []);
        let reporter = reports.reporter();
        reporter.up();
        reporter.useful();
        let own = ProcessId::own();
        assert_eq!(reports.drain_pending(), [(own, Report::Up), (own, Report::Useful)]);
    }

    #[test]
    fn a_full_pipe_loses_reports_and_stops_nobody() {
        let reports = Reports::open().unwrap();
        let reporter = reports.reporter();
        for _ in 0..20_000 {
            reporter.useful();
        }
        let read = reports.drain_pending();
        assert!(!read.is_empty());
        assert!(read.iter().all(|report| *report == (ProcessId::own(), Report::Useful)));
    }

    #[test]
    fn what_is_no_report_is_passed_over() {
        assert_eq!(decode([0, 0, 0, 1, b'x']), None);
        assert_eq!(decode([0, 0, 0, 0, b'u']), None);
    }
}
