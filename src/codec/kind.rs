//! The kinds of container: how frames are packed, and where the tail hides.

use super::CodecError;
use crate::types::Suffix;

/// How frames are packed, whatever they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As they are; the tail is blocks of MAK.
    Plain,
    /// gzip members; the tail is in their extra fields.
    Gzip,
    /// zstd frames; the tail is in skippable ones.
    Zstd,
    /// Lines as they are; the tail is white space at the end of the last one.
    Lines,
    /// Blocks of an Avro object container file; the tail is in its header.
    Avro,
}

impl Kind {
    /// The letter in the end section.
    pub(super) const fn letter(self) -> u8 {
        match self {
            Self::Plain => b'p',
            Self::Gzip => b'g',
            Self::Zstd => b'z',
            Self::Lines => b'l',
            Self::Avro => b'a',
        }
    }

    /// The kind that begins with these bytes; four are enough.
    pub fn detect(head: &[u8]) -> Result<Self, CodecError> {
        match head {
            [b'M', b'A', b'K', ..] => Ok(Self::Plain),
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'O', b'b', b'j', 1, ..] => Ok(Self::Avro),
            [b'{' | b' ' | b'\t' | b'\n' | b'\r', ..] => Ok(Self::Lines),
            _ => Err(CodecError::Foreign),
        }
    }
}

impl From<Suffix> for Kind {
    fn from(suffix: Suffix) -> Self {
        match suffix {
            Suffix::Mak => Self::Plain,
            Suffix::MakGz | Suffix::JsonlGz => Self::Gzip,
            Suffix::MakZst | Suffix::JsonlZst => Self::Zstd,
            Suffix::Jsonl => Self::Lines,
            Suffix::Avro | Suffix::KafkaStore => Self::Avro,
        }
    }
}
