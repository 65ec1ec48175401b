//! Numbers on the wire: fixed ones, and varints (unsigned LEB128, zigzag for signed ones).
//!
//! A [`Cursor`] never reads behind its end and never panics; whatever is wrong is an error that
//! names what was being read.

use super::CodecError;

/// Reads from the front of a slice.
pub(super) struct Cursor<'a> {
    left: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// Reads `bytes`; errors call them `what`.
    pub(super) const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { left: bytes, what }
    }

    /// How many bytes are left.
    pub(super) const fn remaining(&self) -> usize {
        self.left.len()
    }

    /// What is wrong with what is read.
    pub(super) const fn corrupt(&self) -> CodecError {
        CodecError::Corrupt(self.what)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.left.split_first_chunk::<N>().ok_or_else(|| self.corrupt())?;
        self.left = rest;
        Ok(*head)
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.left.split_at_checked(len).ok_or_else(|| self.corrupt())?;
        self.left = rest;
        Ok(head)
    }

    /// The next bytes, which have to be these.
    pub(super) fn expect(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        if self.take(bytes.len())? == bytes { Ok(()) } else { Err(self.corrupt()) }
    }

    /// That nothing is left.
    pub(super) fn end(&self) -> Result<(), CodecError> {
        if self.left.is_empty() { Ok(()) } else { Err(self.corrupt()) }
    }

    /// A byte.
    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A varint.
    pub(super) fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt())
    }

    /// A varint that fits 32 bits.
    pub(super) fn varint32(&mut self) -> Result<u32, CodecError> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.corrupt())
    }

    /// A zigzag varint.
    pub(super) fn zigzag(&mut self) -> Result<i64, CodecError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// Appends a zigzag varint.
pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_zigzag(&mut out, signed);
            let mut cursor = Cursor::new(&out, "test");
            prop_assert_eq!(cursor.varint(), Ok(value));
            prop_assert_eq!(cursor.zigzag(), Ok(signed));
            prop_assert!(cursor.end().is_ok());
        }
    }

    #[test]
    fn varints_at_the_edges() {
        for (value, len) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), len);
            assert_eq!(Cursor::new(&out, "test").varint(), Ok(value));
        }
    }

    #[test]
    fn varints_that_overflow_or_do_not_end() {
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        let endless = [0x80; 40];
        for bytes in [&too_large[..], &endless, &endless[..3], &[]] {
            assert_eq!(Cursor::new(bytes, "test").varint(), Err(CodecError::Corrupt("test")));
        }
    }
}
