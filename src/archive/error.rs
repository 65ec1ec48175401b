//! What can be wrong with an object that is read; every message begins with the object's URL.

use crate::codec::CodecError;
use crate::mak::MakError;
use crate::meta::MetaError;
use crate::store::StoreError;

/// An object of an archive that can't be read, or not be read on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store did not give the bytes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name does not end as the name of a file does.
    #[error("{object}: its name does not end in .mak, .mak.gz or .mak.zst")]
    Name {
        /// The object, as a URL.
        object: String,
    },
    /// The container is damaged, cut, or of another kind than its name says.
    #[error("{object}: can't be unpacked")]
    Container {
        /// The object, as a URL.
        object: String,
        /// What is wrong.
        source: CodecError,
    },
    /// The metadata in the trailer does not describe a file of an archive.
    #[error("{object}: can't be told from its trailer")]
    Meta {
        /// The object, as a URL.
        object: String,
        /// What is wrong.
        source: MetaError,
    },
    /// The records of a frame don't read.
    #[error("{object}: its records can't be read")]
    Records {
        /// The object, as a URL.
        object: String,
        /// What is wrong, with its place in the unpacked file.
        source: MakError,
    },
    /// Name, metadata, index and records contradict each other.
    #[error("{object}: {what}")]
    Disagree {
        /// The object, as a URL.
        object: String,
        /// What does not fit what.
        what: String,
    },
}
