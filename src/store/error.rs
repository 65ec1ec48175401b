//! What can go wrong with a store, in the classes that its callers act upon.
//!
//! A `StoreError` says which object, and the server's words. It never holds a key or a token:
//! of an answer only code and message are kept, never the request.

/// A request to a store that did not succeed. Whatever a *create* returns, the object may be there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A create met a name that is taken, or the store says so. Never to be trusted by itself.
    #[error("{name}: the name is taken, says the store ({words})")]
    Exists {
        /// The object, as a URL.
        name: String,
        /// What the store said.
        words: String,
    },
    /// A range of an object was asked for that is not there.
    #[error("{name}: no such object ({words})")]
    Missing {
        /// The object, as a URL.
        name: String,
        /// What the store said.
        words: String,
    },
    /// Bad credentials, or no right to do this.
    #[error("{name}: not permitted ({words})")]
    Denied {
        /// The object, as a URL.
        name: String,
        /// What the store said.
        words: String,
        /// It is the credentials that are missing, wrong or too old, and not a right.
        credentials: bool,
    },
    /// The bucket, or the archive's directory, is not there.
    #[error("{name}: no such bucket or directory ({words})")]
    NoBucket {
        /// The object, as a URL.
        name: String,
        /// What the store said.
        words: String,
    },
    /// The store can't be reached, is too busy, out of order or full: later it may work.
    #[error("{name}: the store is not available ({words})")]
    Unavailable {
        /// The object, as a URL.
        name: String,
        /// What happened.
        words: String,
    },
    /// Anything else: the request is wrong for this store, or its answer does not read.
    #[error("{name}: {words}")]
    Other {
        /// The object, as a URL.
        name: String,
        /// What happened.
        words: String,
    },
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The exit code of a command that ends with this (sysexits; design 12).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Denied { .. } => 77,
            Self::Unavailable { .. } => 69,
            Self::NoBucket { .. } => 78,
            Self::Missing { .. } => 66,
            Self::Exists { .. } | Self::Other { .. } => 73,
        }
    }
}
