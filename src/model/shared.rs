//! Parts of a world that most steps leave as they are: copied only when they change, and hashed
//! only then.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A part, and its hash.
#[derive(Debug, Clone)]
pub(super) struct Shared<T> {
    part: Arc<T>,
    hash: u64,
}

impl<T: Clone + Hash> Shared<T> {
    pub(super) fn new(part: T) -> Self {
        let hash = hash(&part);
        Self { part: Arc::new(part), hash }
    }

    /// Changes it here, and nowhere else.
    pub(super) fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let part = Arc::make_mut(&mut self.part);
        let result = change(part);
        self.hash = hash(part);
        result
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.part
    }
}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

pub(super) fn hash<T: Hash>(part: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    part.hash(&mut hasher);
    hasher.finish()
}
