//! POSIX extended regular expressions of the C library: what librdkafka matches by on Linux.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;

/// A compiled expression.
pub(super) struct Regex {
    /// Boxed: the C library's object must not move.
    compiled: Box<libc::regex_t>,
}

// SAFETY: matching only reads, and POSIX allows it from several threads at once.
unsafe impl Send for Regex {}
// SAFETY: as above.
unsafe impl Sync for Regex {}

impl Regex {
    /// Compiles `pattern`; the error says what is wrong with it.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        let pattern = CString::new(pattern).map_err(|_| "a NUL byte".to_owned())?;
        let mut compiled = Box::new(MaybeUninit::<libc::regex_t>::zeroed());
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: room for the object, and a NUL-terminated pattern.
        let code = unsafe { libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), flags) };
        if code != 0 {
            let mut why: [c_char; 256] = [0; 256];
            // SAFETY: the object of the failed call, as regerror wants it; it writes at most
            // the given length, NUL included. Nothing is left to be freed after a failure.
            unsafe { libc::regerror(code, compiled.as_ptr(), why.as_mut_ptr(), why.len()) };
            let why: Vec<u8> =
                why.iter().take_while(|c| **c != 0).map(|c| c.to_ne_bytes()[0]).collect();
            return Err(String::from_utf8_lossy(&why).into_owned());
        }
        // SAFETY: regcomp succeeded, hence the object is whole.
        let compiled = unsafe { Box::from_raw(Box::into_raw(compiled).cast::<libc::regex_t>()) };
        Ok(Self { compiled })
    }

    /// Whether `text` holds a match.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else { return false };
        // SAFETY: a compiled object and a NUL-terminated text; no matches are asked for.
        unsafe {
            libc::regexec(&raw const *self.compiled, text.as_ptr(), 0, std::ptr::null_mut(), 0) == 0
        }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: compiled, freed once.
        unsafe { libc::regfree(&raw mut *self.compiled) }
    }
}
