//! Wake-ups: what happens in the stages' directories, by inotify.
//!
//! A wake-up is a hint to scan, never more. Temporary files wake nobody. Where inotify is not to
//! be had (its limits are reached) or sees nothing (another host over NFS), the caller's timeout,
//! the scan interval, is what is left; so every caller passes one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::Spool;
use super::error::{IoExt, Result};
use super::layout::{Stage, is_temp_name};

/// What a worker waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Files that come to a stage, or that are let go of there.
    Arrivals(Stage),
    /// Files that leave it.
    Departures(Stage),
}

impl Interest {
    const fn stage(self) -> Stage {
        match self {
            Self::Arrivals(stage) | Self::Departures(stage) => stage,
        }
    }

    /// `IN_ATTRIB` is [`super::claim`]'s signal that a file is handed on, `IN_CREATE` a link.
    fn events(self) -> AddWatchFlags {
        match self {
            Self::Arrivals(_) => {
                AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_CREATE
            }
            Self::Departures(_) => AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM,
        }
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Woken {
    /// Something happened in the spool: scan.
    pub changed: bool,
    /// For each of the caller's descriptors, whether it has something to read, or was closed.
    pub ready: Vec<bool>,
}

impl Woken {
    /// Whether nothing happened: the time is over, or a signal came.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.changed && !self.ready.contains(&true)
    }
}

/// What happened in the spool.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Of these files is known that something happened to them.
    pub names: BTreeSet<String>,
    /// And perhaps of any others: events were lost, or are not to be had.
    pub unknown: bool,
}

/// A watch over some stages.
#[derive(Debug)]
pub struct Watch {
    spool: Spool,
    inotify: Option<Inotify>,
}

impl Watch {
    /// Begins to watch. What happened before is not seen, so scan once *after* this.
    ///
    /// If inotify is not to be had, that is logged, and only the timeouts wake.
    #[must_use]
    pub fn new(spool: &Spool, interests: &[Interest]) -> Self {
        let inotify = start(spool, interests).inspect_err(|e| {
            let root = spool.root().display();
            log::warn!("no wake-ups for \"{root}\", only the scan interval: inotify: {e}");
        });
        Self { spool: spool.clone(), inotify: inotify.ok() }
    }

    /// A watch that sees nothing, as where inotify is not to be had.
    #[must_use]
    pub fn blind(spool: &Spool) -> Self {
        Self { spool: spool.clone(), inotify: None }
    }

    /// Readable when something happened; for callers with a poll of their own, who then call
    /// [`Self::drain`].
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Waits until something happens in the spool or at one of `fds`, at most for `timeout`.
    /// A signal that interrupts it ends the wait too. Events are taken; `fds` are left to the caller.
    pub fn wait(&self, timeout: Duration, fds: &[BorrowedFd<'_>]) -> Result<Woken> {
        let ready = self.poll(timeout, fds)?;
        let changed = ready.is_some() && self.drain();
        Ok(Woken { changed, ready: ready.unwrap_or_else(|| vec![false; fds.len()]) })
    }

    /// Waits until something happens in the spool, and adds it to `changes`.
    pub fn wait_for(&self, timeout: Duration, changes: &mut Changes) -> Result<()> {
        self.poll(timeout, &[])?;
        self.take_changes(changes);
        Ok(())
    }

    /// Which of `fds` have something; `None` if a signal came.
    fn poll(&self, timeout: Duration, fds: &[BorrowedFd<'_>]) -> Result<Option<Vec<bool>>> {
        let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        polled.extend(self.fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match poll(&mut polled, at_least(timeout)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(None),
            Err(e) => return Err(e).at("wait for changes in", self.spool.root()),
        }
        let mut ready: Vec<_> =
            polled.iter().map(|fd| fd.revents().is_some_and(|got| !got.is_empty())).collect();
        ready.truncate(fds.len());
        Ok(Some(ready))
    }

    /// Takes all events that are there; whether one of them is a reason to scan.
    pub fn drain(&self) -> bool {
        let mut changed = false;
        self.each_reason(|_| changed = true);
        changed
    }

    /// Takes all events that are there, for callers who look at single files.
    pub fn take_changes(&self, changes: &mut Changes) {
        changes.unknown |= self.inotify.is_none();
        self.each_reason(|name| match name {
            Some(name) => drop(changes.names.insert(name.to_owned())),
            None => changes.unknown = true,
        });
    }

    /// Lost events and a directory that goes carry no name.
    fn each_reason(&self, mut see: impl FnMut(Option<&str>)) {
        let Some(inotify) = &self.inotify else { return };
        while let Ok(events) = inotify.read_events() {
            for event in events {
                let name = event.name.as_ref().and_then(|name| name.to_str());
                if !name.is_some_and(is_temp_name) {
                    see(name);
                }
            }
        }
    }
}

fn start(spool: &Spool, interests: &[Interest]) -> nix::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let mut events = BTreeMap::<Stage, AddWatchFlags>::new();
    for interest in interests {
        *events.entry(interest.stage()).or_insert(AddWatchFlags::IN_ONLYDIR) |= interest.events();
    }
    for (stage, events) in events {
        inotify.add_watch(&spool.dir(stage), events)?;
    }
    Ok(inotify)
}

/// Rounded up, so that a wait for the rest of a millisecond does not spin.
fn at_least(timeout: Duration) -> PollTimeout {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail::step;
    use crate::spool::claim::TempFile;
    use crate::spool::stage::InProgress;
    use crate::spool::testing::{offset, range, spool, tp};
    use crate::types::WriterToken;
    use std::io::{IoSlice, Write};
    use std::time::Instant;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_rotated_file_wakes_and_can_then_be_claimed() {
        let (_dir, spool) = spool();
        let watch = Watch::new(&spool, &[Interest::Arrivals(Stage::Rotated)]);
        let writer = std::thread::spawn({
            let spool = spool.clone();
            move || {
                let mut file =
                    InProgress::create(&spool, &tp("t", 0), offset(0), WriterToken(1)).unwrap();
                file.append(&mut [IoSlice::new(b"x")]).unwrap();
                file.rotate(range(0, 1)).unwrap()
            }
        });
        let started = Instant::now();
        let name = loop {
            assert!(watch.wait(LONG, &[]).unwrap().changed);
            let names = spool.rotated().unwrap();
            let claimed = names.first().map(|entry| {
                crate::spool::stage::Rotated::claim(&spool, &entry.name).unwrap().ours()
            });
            if let Some(Some(file)) = claimed {
                break file.name().clone();
            }
        };
        assert_eq!(writer.join().unwrap().name(), &name);
        assert!(started.elapsed() < LONG);
    }

    #[test]
    fn events_are_taken_together_and_once() {
        let (_dir, spool) = spool();
        let watch = Watch::new(&spool, &[Interest::Departures(Stage::Compressed)]);
        let path = |n: u32| spool.dir(Stage::Compressed).join(n.to_string());
        for n in 0..500 {
            std::fs::write(path(n), "").unwrap();
        }
        assert!(watch.wait(NOW, &[]).unwrap().is_idle());
        for n in 0..500 {
            crate::spool::durable::remove(&path(n), step!("test.watched")).unwrap();
        }
        assert!(watch.wait(LONG, &[]).unwrap().changed);
        assert!(watch.wait(NOW, &[]).unwrap().is_idle());
    }

    #[test]
    fn files_to_which_something_happened_are_named() {
        let (_dir, spool) = spool();
        let watch = Watch::new(&spool, &[Interest::Arrivals(Stage::Tips)]);
        drop(TempFile::create(&spool, Stage::Tips, "x", step!("test.unnamed")).unwrap());
        std::fs::write(spool.dir(Stage::Tips).join("a"), "").unwrap();
        let mut changes = Changes::default();
        watch.take_changes(&mut changes);
        std::fs::write(spool.dir(Stage::Tips).join("b"), "").unwrap();
        watch.take_changes(&mut changes);
        assert_eq!(changes.names.iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(!changes.unknown);
        Watch::blind(&spool).take_changes(&mut changes);
        assert!(changes.unknown);
    }

    #[test]
    fn temporary_files_and_claims_wake_nobody() {
        let (_dir, spool) = spool();
        let name = spool.dir(Stage::Rotated).join("t-0_0-9.mak");
        std::fs::write(&name, "").unwrap();
        let all = [
            Interest::Arrivals(Stage::Compressed),
            Interest::Departures(Stage::Compressed),
            Interest::Arrivals(Stage::Rotated),
        ];
        let watch = Watch::new(&spool, &all);
        drop(TempFile::create(&spool, Stage::Compressed, "x", step!("test.temp")).unwrap());
        let parsed = "t-0_0-9.mak".parse().unwrap();
        drop(crate::spool::stage::Rotated::claim(&spool, &parsed).unwrap().ours().unwrap());
        assert!(watch.wait(NOW, &[]).unwrap().is_idle());
    }

    #[test]
    fn the_callers_descriptors_wake_too_and_a_blind_watch_waits_for_its_time() {
        let (_dir, spool) = spool();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (quiet, _open) = std::io::pipe().unwrap();
        writer.write_all(b"!").unwrap();
        let watch = Watch::new(&spool, &[Interest::Arrivals(Stage::Tips)]);
        for watch in [watch, Watch::blind(&spool)] {
            let woken = watch.wait(LONG, &[quiet.as_fd(), reader.as_fd()]).unwrap();
            assert_eq!(woken, Woken { changed: false, ready: vec![false, true] });
        }
        let started = Instant::now();
        assert!(Watch::blind(&spool).wait(Duration::from_micros(1500), &[]).unwrap().is_idle());
        assert!(started.elapsed() >= Duration::from_micros(1500));
    }
}
