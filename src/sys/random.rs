//! Randomness from the kernel, asked anew each time: nothing is kept that a fork would double.

use std::io;

use super::SysError;
use crate::types::WriterToken;

/// 64 random bits.
pub fn random_bits() -> Result<u64, SysError> {
    getrandom::u64().map_err(|error| SysError::Call {
        what: "asking the kernel for random bits",
        source: error.raw_os_error().map_or_else(
            || io::Error::other("no source of randomness"),
            io::Error::from_raw_os_error,
        ),
    })
}

/// A name for the writer of one file that nobody else has.
pub fn writer_token() -> Result<WriterToken, SysError> {
    random_bits().map(WriterToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ() {
        assert_ne!(writer_token().unwrap(), writer_token().unwrap());
    }
}
