//! Numbers and byte strings as they stand in version 2: unsigned LEB128, zigzag for signed ones,
//! big-endian where the width is fixed. The `take` functions shorten the slice that they are
//! given, and are `None` where it does not hold what they want.

/// Appends `value` in its shortest form.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Takes a number off the front; `None` if it is cut or does not fit 64 bits.
#[inline]
pub(crate) fn take(from: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = from.split_first()?;
    *from = rest;
    if first < 0x80 {
        return Some(first.into());
    }
    take_rest(from, u64::from(first & 0x7f))
}

fn take_rest(from: &mut &[u8], mut value: u64) -> Option<u64> {
    for shift in (7..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Small numbers of either sign become small unsigned ones: 0, -1, 1, -2 are 0, 1, 2, 3.
#[inline]
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// The way back from [`zigzag`].
#[inline]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Takes `len` bytes off the front.
#[inline]
pub(crate) fn take_bytes<'a>(from: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(usize::try_from(len).ok()?)?;
    *from = rest;
    Some(taken)
}

/// Takes an array off the front.
#[inline]
pub(crate) fn take_array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_of_the_range() {
        let mut out = Vec::new();
        put(&mut out, u64::MAX);
        assert_eq!(out, [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(take(&mut out.as_slice()), Some(u64::MAX));
        assert_eq!(take(&mut [255u8; 10].as_slice()), None);
        assert_eq!(take(&mut [128, 128].as_slice()), None);
        let too_high = [255, 255, 255, 255, 255, 255, 255, 255, 255, 2];
        assert_eq!(take(&mut too_high.as_slice()), None);
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }

    proptest! {
        #[test]
        fn numbers_round_trip(value: u64, shift in 0u32..64, rest: Vec<u8>) {
            let value = value >> shift;
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(unzigzag(zigzag(value.cast_signed())), value.cast_signed());
            out.extend(&rest);
            let mut from = out.as_slice();
            prop_assert_eq!(take(&mut from), Some(value));
            prop_assert_eq!(from, rest.as_slice());
        }
    }
}
