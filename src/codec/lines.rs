//! Bytes as white space: how a tail stands in a file of JSON lines and yet is nothing in it.
//!
//! JSON allows blanks and tabs behind a value. Eight of them are a byte, the highest bit first: a
//! blank is 0, a tab is 1. So every reader of JSON lines finds the records and nothing else.

use super::CodecError;

const BLANK: u8 = b' ';
const TAB: u8 = b'\t';

/// Characters that a byte takes.
pub(super) const BITS: usize = 8;

/// Appends `bytes` as blanks and tabs.
pub(super) fn hide(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * BITS);
    for byte in bytes {
        out.extend((0..BITS).map(|bit| if byte & (0x80 >> bit) == 0 { BLANK } else { TAB }));
    }
}

/// The bytes that `hidden` stands for.
pub(super) fn find(hidden: &[u8]) -> Result<Vec<u8>, CodecError> {
    const CORRUPT: CodecError = CodecError::Corrupt("the white space at the end of the lines");
    let (bytes, []) = hidden.as_chunks::<BITS>() else { return Err(CORRUPT) };
    let byte = |bits: &[u8; BITS]| {
        bits.iter().try_fold(0, |byte: u8, bit| match *bit {
            BLANK => Ok(byte << 1),
            TAB => Ok(byte << 1 | 1),
            _ => Err(CORRUPT),
        })
    };
    bytes.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back_and_anything_else_is_damage() {
        let all: Vec<u8> = (0..=255).collect();
        let mut hidden = Vec::new();
        hide(&all, &mut hidden);
        assert_eq!(hidden.len(), 2048);
        assert!(hidden.iter().all(|byte| matches!(byte, b' ' | b'\t')));
        assert_eq!(find(&hidden), Ok(all));
        assert!(find(&hidden[1..]).is_err() && find(b"      \r ").is_err());
    }
}
