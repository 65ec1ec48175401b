//! An object, read from front to back in pieces, so that its size does not matter.

use std::io::{self, Read};

use bytes::{Buf, Bytes};

use crate::fail::step;
use crate::store::names::Name;
use crate::store::{Store, StoreError, ask};

/// How much is fetched at once.
const PIECE: u64 = 8 << 20;

/// Reads one object.
pub(super) struct RemoteRead<'a> {
    runtime: &'a tokio::runtime::Runtime,
    store: &'a dyn Store,
    name: &'a Name,
    left: std::ops::Range<u64>,
    piece: Bytes,
}

impl<'a> RemoteRead<'a> {
    /// Of an object of `size` bytes.
    pub(super) fn new(
        runtime: &'a tokio::runtime::Runtime,
        store: &'a dyn Store,
        name: &'a Name,
        size: u64,
    ) -> Self {
        Self { runtime, store, name, left: 0..size, piece: Bytes::new() }
    }

    fn fetch(&mut self) -> Result<(), StoreError> {
        let end = self.left.end.min(self.left.start + PIECE);
        let wanted = self.left.start..end;
        let asked = ask(step!("original.read"), self.store.get_range(self.name, wanted));
        self.piece = self.runtime.block_on(asked)?;
        self.left.start = end;
        Ok(())
    }
}

impl Read for RemoteRead<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.left.is_empty() {
            // Whatever the store says: the bytes could not be had, which is no verdict on them.
            self.fetch().map_err(io::Error::other)?;
        }
        let length = into.len().min(self.piece.len());
        let (into, _) = into.split_at_mut(length);
        self.piece.copy_to_slice(into);
        Ok(length)
    }
}
