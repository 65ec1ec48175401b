//! The C library's heap, kept small.
//!
//! librdkafka's threads fill what ours empty, in pieces of all sizes. glibc gives each thread an
//! arena of its own, keeps what is freed in it, and learns from large pieces that come and go to
//! keep even those: after an hour a process takes several times what it uses.

/// Threads share so many arenas.
#[cfg(target_env = "gnu")]
const ARENAS: i32 = 2;
/// Pieces from here on are given back as soon as they are freed. Above the size of what brokers are
/// asked for at once: to map and clear that anew each time costs a consumer a fifth of its work.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 4 << 20;
/// So much may be free at an arena's end.
#[cfg(target_env = "gnu")]
const SPARE: i32 = 8 << 20;

/// To be called before the process starts its first thread. With another C library than glibc it
/// does nothing.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    for (option, value) in [
        (libc::M_ARENA_MAX, ARENAS),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, SPARE),
    ] {
        #[expect(unsafe_code, reason = "a call of the C library")]
        // SAFETY: it takes two integers; what it does not know it refuses.
        unsafe {
            libc::mallopt(option, value);
        }
    }
}
