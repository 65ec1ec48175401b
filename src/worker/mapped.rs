//! Mapped files, within a bound of memory.
//!
//! What a process has read of a mapped file counts as its memory until the kernel takes it back,
//! and that is not before the machine runs short of it. So while files are mapped a thread looks
//! how much of them is in memory, and beyond a bound gives it back: they are pages of files, which
//! come again when they are read again.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use memmap2::{Mmap, UncheckedAdvice};

/// So much of mapped files may be in memory before it is given back.
pub(crate) const MOST: u64 = 8 << 20;
/// How often that is looked at. The fastest that goes over a file, checksums apart, reads some
/// 3 MiB meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// All that is mapped in this process.
static MAPS: Mutex<Vec<Arc<Mmap>>> = Mutex::new(Vec::new());
static MAPPED: Condvar = Condvar::new();
static WATCH: Once = Once::new();

/// A file, mapped. Not to be changed by anybody while it is.
#[derive(Debug)]
pub(crate) struct Mapped(Arc<Mmap>);

impl Mapped {
    /// Maps all of `file`, which nobody may cut while it is mapped.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "a mapped file must not be cut while it is read")]
        // SAFETY: files under `rotated/` and `compressed/`, and finished ones of the original tool,
        // are complete; no code of ours opens them for writing, and the claim keeps other workers
        // away. Who cuts them by hand gets SIGBUS in this worker, which is restarted.
        let map = Arc::new(unsafe { Mmap::map(file) }?);
        maps().push(Arc::clone(&map));
        WATCH.call_once(watch);
        MAPPED.notify_one();
        Ok(Self(map))
    }

    /// Gives back what of it is in memory, for a reader that is faster than the watch.
    pub(crate) fn give_back(&self) {
        give_back(&self.0);
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // The watch touches maps under the lock only: once this is out of the list, it is the last.
        maps().retain(|map| !Arc::ptr_eq(map, &self.0));
    }
}

fn maps() -> MutexGuard<'static, Vec<Arc<Mmap>>> {
    MAPS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back(map: &Mmap) {
    #[expect(unsafe_code, reason = "the advice is for some mappings the same as emptying them")]
    // SAFETY: this one is of a file, shared and read-only: what is given back is read again from
    // the file, which does not change.
    let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
}

/// Starts the thread. Without it (no more threads, no `/proc`) it is the kernel that takes back.
fn watch() {
    let Ok(statm) = File::open("/proc/self/statm") else { return };
    let _ =
        thread::Builder::new().name("mapped".to_owned()).stack_size(64 << 10).spawn(move || {
            // What else is of files: the program itself.
            let mut other = 0;
            loop {
                let mut maps = maps();
                while maps.is_empty() {
                    maps = MAPPED.wait(maps).unwrap_or_else(PoisonError::into_inner);
                }
                let there = of_files(&statm);
                if there > other + MOST {
                    maps.iter().for_each(|map| give_back(map));
                    other = of_files(&statm);
                }
                drop(maps);
                thread::sleep(LOOK_EVERY);
            }
        });
}

/// Bytes of this process's memory that are of files.
fn of_files(statm: &File) -> u64 {
    let mut text = [0; 128];
    let read = statm.read_at(&mut text, 0).unwrap_or(0);
    let text = str::from_utf8(text.get(..read).unwrap_or_default()).unwrap_or_default();
    let pages = text.split(' ').nth(2).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(crate::sys::limits::page_size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::time::Instant;

    #[test]
    fn what_was_read_does_not_stay_in_memory_and_reads_again() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..=255).cycle().take(64 << 20).collect();
        file.write_all(&content).unwrap();
        let map = Mapped::of(&file).unwrap();
        let statm = File::open("/proc/self/statm").unwrap();
        let in_memory = || of_files(&statm);
        let before = in_memory();
        let patience = Instant::now() + Duration::from_mins(1);
        assert_eq!(*map, content);
        // The watch comes round.
        while in_memory() > before + MOST {
            assert!(Instant::now() < patience, "{} bytes are in memory", in_memory() - before);
            thread::sleep(LOOK_EVERY);
        }
        assert_eq!(*map, content, "it is read from the file again");
        drop(map);
        assert!(maps().iter().all(|other| other.len() != content.len()), "it is unmapped");
    }
}
