//! The row of an archived object, and which objects of a partition lack theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use md5::{Digest as _, Md5};

use super::{Kept, Part, Row};
use crate::archive::{ArchiveError, Entry};
use crate::meta::ObjectMeta;
use crate::store::Store;
use crate::store::names::ChainId;
use crate::types::Offset;

/// So much of an object is in memory at once while it is hashed.
const PIECE: u64 = 8 << 20;

/// Whose files those of `chain` are in the table.
#[must_use]
pub fn part_of(chain: &ChainId) -> Part {
    Part { topic: chain.name().to_string(), partition: chain.partition().get().into() }
}

/// The MD5 of what `pieces` make up together, in hexadecimal.
#[must_use]
pub fn md5_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Md5::new();
    pieces.into_iter().for_each(|piece| hash.update(piece));
    hex(hash)
}

fn hex(hash: Md5) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The row of an object; `None` if it is a seal. Reads all of the object, piece by piece.
pub async fn row_of(
    store: &dyn Store,
    chain: &ChainId,
    entry: &Entry,
) -> Result<Option<Row>, ArchiveError> {
    let Some(info) = store.head(&entry.name).await? else { return Ok(None) };
    let meta = ObjectMeta::from_map(&info.meta);
    let object = || format!("{}/{}", store.url(), entry.name);
    let meta = meta.map_err(|source| ArchiveError::Meta { object: object(), source })?;
    let ObjectMeta::File(meta) = meta else { return Ok(None) };
    let mut hash = Md5::new();
    let mut at = 0;
    while at < info.size {
        let end = info.size.min(at.saturating_add(PIECE));
        hash.update(store.get_range(&entry.name, at..end).await?);
        at = end;
    }
    Ok(Some(Row {
        part: part_of(chain),
        range: meta.range,
        bytes: info.size,
        md5: hex(hash),
        time: info.last_modified,
    }))
}

/// What is to be done about one partition's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Objects whose rows are missing or wrong, and seals, which have none.
    pub missing: Vec<Entry>,
    /// Rows of no object.
    pub extra: Vec<Offset>,
}

/// Compares a partition's rows with its objects, `entries` being all of them in the order of the
/// chain. Objects never change, so a row of the right size, that ends where the next file begins,
/// is right. Pure.
#[must_use]
pub fn compare(entries: &[Entry], kept: &BTreeMap<Offset, Kept>) -> Plan {
    let is_right = |at: usize, entry: &Entry| {
        let next = entries.get(at..).unwrap_or_default().iter().find(|e| e.start > entry.start);
        kept.get(&entry.start).is_some_and(|kept| {
            kept.bytes == entry.size && next.is_none_or(|next| next.start == kept.last.after())
        })
    };
    let missing = entries.iter().enumerate().filter(|(at, entry)| !is_right(*at, entry));
    let starts: BTreeSet<_> = entries.iter().map(|entry| entry.start).collect();
    Plan {
        missing: missing.map(|(_, entry)| entry.clone()).collect(),
        extra: kept.keys().filter(|start| !starts.contains(start)).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::store::names::Name;
    use crate::types::Suffix;

    fn at(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn entry(start: u64, suffix: Suffix, size: u64) -> Entry {
        let name = Name::parse(&format!("t/000000/{start:020}{suffix}")).unwrap();
        Entry { name, start: at(start), suffix, size, last_modified: SystemTime::UNIX_EPOCH }
    }

    fn table(rows: &[(u64, u64, u64)]) -> BTreeMap<Offset, Kept> {
        let row = |(start, last, bytes): &(u64, u64, u64)| {
            (at(*start), Kept { start: at(*start), last: at(*last), bytes: *bytes })
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn only_what_differs_is_done() {
        let files =
            [entry(0, Suffix::MakGz, 10), entry(5, Suffix::MakGz, 20), entry(9, Suffix::MakGz, 30)];
        let whole = [(0, 4, 10), (5, 8, 20), (9, 12, 30)];
        assert_eq!(compare(&files, &table(&whole)), Plan::default());
        let starts = |rows: &[(u64, u64, u64)]| {
            let plan = compare(&files, &table(rows));
            let missing: Vec<_> = plan.missing.iter().map(|entry| entry.start.get()).collect();
            (missing, plan.extra.iter().map(|start| start.get()).collect::<Vec<_>>())
        };
        assert_eq!(starts(&[]), (vec![0, 5, 9], vec![]));
        assert_eq!(starts(&[(0, 4, 10), (9, 12, 30)]), (vec![5], vec![]));
        assert_eq!(starts(&[(0, 4, 10), (5, 7, 20), (9, 12, 30)]), (vec![5], vec![]), "wrong end");
        assert_eq!(starts(&[(0, 4, 11), (5, 8, 20), (9, 12, 30)]), (vec![0], vec![]), "wrong size");
        assert_eq!(starts(&[whole[0], whole[1], whole[2], (7, 8, 20)]), (vec![], vec![7]));
    }

    #[test]
    fn a_seal_and_its_file_share_a_start() {
        let files = [
            entry(0, Suffix::MakGz, 10),
            entry(5, Suffix::MakGz, 99),
            entry(5, Suffix::MakZst, 20),
        ];
        let plan = compare(&files, &table(&[(0, 4, 10), (5, 8, 20)]));
        assert_eq!(plan.missing, [files[1].clone()], "whether it is a seal, only it can tell");
        assert_eq!(plan.extra, []);
    }

    #[test]
    fn the_hash_is_that_of_the_whole() {
        assert_eq!(md5_of([]), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5_of([&b"ab"[..], b"", b"c"]), "900150983cd24fb0d6963f7d28e17f72");
    }
}
