//! When a file was rotated, for `publish_deadline`: a stamp that rides behind the finish block of a
//! rotated file, and in the metadata of a packed one, where it is taken out before publishing.

use crate::meta::MetaMap;
use crate::spool::age::Stamp;

const KEY: &str = "rotated";

/// The payload of the block behind a finish block.
pub(crate) fn to_bytes(stamp: &Stamp) -> Vec<u8> {
    let map = MetaMap::from([(KEY.to_owned(), stamp.to_string())]);
    serde_json::to_vec(&map).unwrap_or_default()
}

/// Reads it; `None` if it is something else.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Stamp> {
    take_from(&mut serde_json::from_slice(bytes).ok()?)
}

/// Puts the stamp into a packed file's metadata.
pub(crate) fn put_into(map: &mut MetaMap, stamp: &Stamp) {
    map.insert(KEY.to_owned(), stamp.to_string());
}

/// Takes it out again.
pub(crate) fn take_from(map: &mut MetaMap) -> Option<Stamp> {
    map.remove(KEY)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_rides_in_both_shapes() {
        let stamp: Stamp = "0f1e/77".parse().unwrap();
        assert_eq!(from_bytes(&to_bytes(&stamp)).as_ref(), Some(&stamp));
        let mut map = MetaMap::new();
        put_into(&mut map, &stamp);
        assert_eq!(take_from(&mut map).as_ref(), Some(&stamp));
        assert!(map.is_empty());
    }
}
