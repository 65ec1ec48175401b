//! A packed file of the spool, opened for publishing.

use crate::codec::{CodecError, Container, Tail};
use crate::meta::{FileMeta, MetaMap, ObjectMeta, Totals};
use crate::spool::age::Stamp;
use crate::spool::stage::Compressed;
use crate::types::Suffix;
use crate::worker::{Mapped, note};
use bytes::Bytes;

/// A packed file whose checksum is right.
pub(super) struct LocalObject {
    pub(super) claim: Compressed,
    bytes: Bytes,
    body_len: usize,
    tail: Tail,
    pub(super) meta: FileMeta,
    /// When it was rotated, if that is known.
    pub(super) rotated: Option<Stamp>,
}

impl LocalObject {
    /// Maps the file and verifies it; the claim comes back with what is wrong.
    pub(super) fn open(claim: Compressed) -> Result<Self, (Compressed, String)> {
        let map = match Mapped::of(claim.file()) {
            Ok(map) => map,
            Err(error) => return Err((claim, format!("can't be read: {error}"))),
        };
        match read(claim.name().suffix, &map) {
            Ok((body_len, tail, meta, rotated)) => {
                let bytes = Bytes::from_owner(map);
                Ok(Self { claim, bytes, body_len, tail, meta, rotated })
            }
            Err(why) => Err((claim, why)),
        }
    }

    /// The container's kind.
    pub(super) fn suffix(&self) -> Suffix {
        self.meta.suffix
    }

    /// The file and its bytes, for packing them anew.
    pub(super) fn into_parts(self) -> (Compressed, Bytes) {
        (self.claim, self.bytes)
    }

    /// The object to create: the body as it lies in the file, and around it what says the chain's
    /// totals; with the same metadata for the store.
    pub(super) fn object(&self, totals: Totals) -> Result<(Vec<Bytes>, MetaMap), CodecError> {
        let meta = FileMeta { totals: Some(totals), ..self.meta.clone() };
        let map = ObjectMeta::File(meta).to_map();
        let tail = Tail { meta: map.clone(), ..self.tail.clone() };
        let body = self.bytes.slice(..self.body_len);
        let (before, behind) = tail.around(self.suffix())?;
        let pieces = [Bytes::from(before), body, Bytes::from(behind)];
        Ok((pieces.into_iter().filter(|piece| !piece.is_empty()).collect(), map))
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

type Parts = (usize, Tail, FileMeta, Option<Stamp>);

fn read(suffix: Suffix, bytes: &Mapped) -> Result<Parts, String> {
    let container = Container::parse(suffix, bytes).map_err(|e| e.to_string())?;
    container.verify_body_in_steps(|| bytes.give_back()).map_err(|e| e.to_string())?;
    let body_len = container.body().len();
    let mut tail = container.tail().clone();
    let rotated = note::take_from(&mut tail.meta);
    match ObjectMeta::from_map(&tail.meta) {
        Ok(ObjectMeta::File(meta)) => Ok((body_len, tail, meta, rotated)),
        Ok(ObjectMeta::Seal(_) | ObjectMeta::Close(_)) => Err("it is a seal".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
