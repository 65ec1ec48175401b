//! How running workers are handed new settings: a file in memory that every worker inherits.
//!
//! The supervisor puts the settings there that it has found fit, and then tells the workers; a
//! worker reads them from there and not from the configuration's file, so that both have the same,
//! whatever happens to that file meanwhile. What is put there last counts; a checksum tells a
//! reader that the supervisor is writing just now.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::fail::step;

/// Version and checksum, before the settings.
const HEAD: usize = 12;

/// How long a reader waits for a writer to finish, and how often.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSES: u32 = 1000;

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct Handover {
    file: Arc<File>,
    version: u64,
}

impl Handover {
    /// With nothing in it.
    pub(super) fn open() -> io::Result<Self> {
        let file = Arc::new(File::from(memfd_create("settings", MFdFlags::MFD_CLOEXEC)?));
        let handover = Self { file, version: 0 };
        handover.write(&[])?;
        Ok(handover)
    }

    /// Puts new settings in the place of the old ones.
    pub(super) fn put(&mut self, settings: &[u8]) -> io::Result<()> {
        self.version += 1;
        self.write(settings)
    }

    fn write(&self, settings: &[u8]) -> io::Result<()> {
        let version = self.version.to_be_bytes();
        let mut bytes = version.to_vec();
        bytes.extend(checksum(&version, settings));
        bytes.extend(settings);
        step!("handover.empty").around(|| self.file.set_len(0))?;
        step!("handover.write").around(|| self.file.write_all_at(&bytes, 0))
    }

    /// The end of a worker that is forked now, with the present settings.
    pub(super) fn updates(&self) -> Updates {
        Updates { file: Arc::clone(&self.file), seen: Cell::new(self.version) }
    }
}

fn checksum(version: &[u8], settings: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(version);
    hasher.update(settings);
    hasher.finalize().to_be_bytes()
}

/// A worker's end.
#[derive(Debug)]
pub struct Updates {
    file: Arc<File>,
    seen: Cell<u64>,
}

impl Updates {
    /// The settings that were handed over last, as [`super::Settings::to_bytes`] made them; none
    /// if they have been taken before, or were there when the worker began.
    pub fn take(&self) -> io::Result<Option<Vec<u8>>> {
        for _ in 0..PAUSES {
            if let Some((version, settings)) = self.read()? {
                return Ok((self.seen.replace(version) != version).then_some(settings));
            }
            std::thread::sleep(PAUSE);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the new settings are not whole"))
    }

    fn read(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let length = usize::try_from(self.file.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(parse(&bytes)),
            // It has just been cut.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (head, settings) = bytes.split_at_checked(HEAD)?;
    let (version, sum) = head.split_first_chunk()?;
    (checksum(version, settings) == sum).then(|| (u64::from_be_bytes(*version), settings.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_taken_once_and_the_last_one_counts() {
        let mut handover = Handover::open().unwrap();
        let early = handover.updates();
        assert_eq!(early.take().unwrap(), None);
        handover.put(b"one, and long").unwrap();
        handover.put(b"two").unwrap();
        let late = handover.updates();
        assert_eq!(early.take().unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(early.take().unwrap(), None);
        assert_eq!(late.take().unwrap(), None);
    }

    #[test]
    fn settings_that_are_being_written_are_waited_for() {
        let mut handover = Handover::open().unwrap();
        let updates = handover.updates();
        handover.put(b"whole").unwrap();
        for half in [8, HEAD, HEAD + 2] {
            handover.file.set_len(half as u64).unwrap();
            assert_eq!(updates.read().unwrap(), None);
        }
        let reader = std::thread::spawn(move || updates.take().unwrap());
        handover.write(b"whole again").unwrap();
        assert_eq!(reader.join().unwrap().as_deref(), Some(&b"whole again"[..]));
    }

    #[test]
    fn a_reader_beside_a_writer_never_sees_a_mixture() {
        let mut handover = Handover::open().unwrap();
        let updates = handover.updates();
        let reader = std::thread::spawn(move || {
            let mut taken = 0;
            loop {
                let Some(settings) = updates.take().unwrap() else { continue };
                taken += 1;
                assert!(settings.windows(2).all(|pair| pair[0] == pair[1]), "a mixture");
                if settings.first() == Some(&u8::MAX) {
                    return taken;
                }
            }
        });
        for round in 0..=u8::MAX {
            let length = if round % 2 == 0 { 40_000 } else { 10_000 };
            handover.put(&vec![round; length]).unwrap();
        }
        assert!(reader.join().unwrap() > 0);
    }
}
