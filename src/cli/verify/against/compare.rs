//! Compares the records of one partition with those of the cluster. Pure.

use crate::archive::OwnedRecord;
use crate::archive::ledger::{Damage, Fault};
use crate::mak::Record;
use crate::types::Offset;

/// How many records of one kind of damage are named one by one.
const NAMED: u64 = 5;

/// What was found in one partition so far.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Offsets that the chain records as gaps: an operator may have skipped what the cluster has.
    gaps: Vec<(Offset, Offset)>,
    /// Whether the cluster may have removed records since.
    compacted: bool,
    pub(super) compared: u64,
    /// Archived records that the cluster has compacted away.
    pub(super) removed: u64,
    lost: u64,
    extra: u64,
    different: u64,
    damage: Vec<Damage>,
}

impl Comparison {
    pub(super) fn new(gaps: Vec<(Offset, Offset)>, compacted: bool) -> Self {
        Self { gaps, compacted, ..Self::default() }
    }

    /// Both have a record at this offset. `mak` is the version of the format that it came from.
    pub(super) fn both(
        &mut self,
        object: &str,
        mak: u8,
        archived: &Record<'_>,
        live: &OwnedRecord,
    ) {
        self.compared += 1;
        if let Some(what) = difference(mak, archived, live) {
            self.different += 1;
            let offset = archived.offset;
            let what =
                format!("the record at offset {offset} is another one in the cluster: {what}");
            complain(&mut self.damage, self.different, object, Fault::Different, what);
        }
    }

    /// Only the cluster has a record at this offset.
    pub(super) fn lost(&mut self, object: &str, offset: Offset) {
        if self.gaps.iter().any(|(from, to)| *from <= offset && offset < *to) {
            return;
        }
        self.compared += 1;
        self.lost += 1;
        let what = format!("the cluster has a record at offset {offset}, which is not archived");
        complain(&mut self.damage, self.lost, object, Fault::Lost, what);
    }

    /// Only the archive has a record at this offset.
    pub(super) fn extra(&mut self, object: &str, offset: Offset) {
        self.compared += 1;
        if self.compacted {
            self.removed += 1;
            return;
        }
        self.extra += 1;
        let what = format!("it has a record at offset {offset}, which the cluster does not have");
        complain(&mut self.damage, self.extra, object, Fault::Extra, what);
    }

    /// All that is wrong; what was not named is counted under the name of `chain`.
    pub(super) fn damage(mut self, chain: &str) -> Vec<Damage> {
        for (count, fault, what) in [
            (self.lost, Fault::Lost, "records of the cluster are not archived"),
            (self.extra, Fault::Extra, "archived records are not in the cluster"),
            (self.different, Fault::Different, "records are others in the cluster"),
        ] {
            if count > NAMED {
                let what = format!("{count} {what}, {} of them not named here", count - NAMED);
                self.damage.push(Damage { object: chain.to_owned(), fault, what });
            }
        }
        self.damage
    }
}

fn complain(damage: &mut Vec<Damage>, count: u64, object: &str, fault: Fault, what: String) {
    if count <= NAMED {
        damage.push(Damage { object: object.to_owned(), fault, what });
    }
}

/// The first field that differs. Version 1 keeps neither timestamps nor headers, and no nulls.
fn difference(mak: u8, archived: &Record<'_>, live: &OwnedRecord) -> Option<&'static str> {
    let bytes = |bytes: &Option<Vec<u8>>| match (mak, bytes) {
        (1, None) => Some(Vec::new()),
        _ => bytes.clone(),
    };
    let headers = live.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
    let v1 = mak == 1;
    if archived.key != bytes(&live.key).as_deref() {
        Some("its key differs")
    } else if archived.value != bytes(&live.value).as_deref() {
        Some("its value differs")
    } else if !v1 && archived.timestamp != live.timestamp {
        Some("its timestamp differs")
    } else if !v1 && !archived.headers.iter().eq(headers) {
        Some("its headers differ")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mak::HeadersBuf;
    use crate::types::{Timestamp, TimestampType};

    fn at(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn record(offset: u64) -> OwnedRecord {
        OwnedRecord {
            offset: at(offset),
            timestamp: Some(Timestamp { millis: 5, kind: TimestampType::Create }),
            key: Some(b"k".to_vec()),
            value: None,
            headers: vec![(b"h".to_vec(), None)],
        }
    }

    fn compare(mak: u8, archived: &OwnedRecord, live: &OwnedRecord) -> Vec<Damage> {
        let mut comparison = Comparison::new(Vec::new(), false);
        comparison.both("o", mak, &archived.borrow(&mut HeadersBuf::new()), live);
        comparison.damage("c")
    }

    #[test]
    fn every_field_counts() {
        let same = record(1);
        assert_eq!(compare(2, &same, &same), []);
        let others = [
            OwnedRecord { key: None, ..record(1) },
            OwnedRecord { value: Some(Vec::new()), ..record(1) },
            OwnedRecord { timestamp: None, ..record(1) },
            OwnedRecord { headers: Vec::new(), ..record(1) },
        ];
        for other in others {
            assert_eq!(compare(2, &same, &other)[0].fault, Fault::Different, "{other:?}");
        }
        let v1 = OwnedRecord {
            timestamp: None,
            value: Some(Vec::new()),
            headers: Vec::new(),
            ..record(1)
        };
        assert_eq!(compare(1, &v1, &same), []);
        assert_eq!(compare(1, &v1, &OwnedRecord { key: None, ..record(1) }).len(), 1);
    }

    #[test]
    fn gaps_and_compaction_are_no_damage() {
        let mut plain = Comparison::new(vec![(at(3), at(5))], false);
        plain.lost("o", at(4));
        assert_eq!(plain.damage("c"), []);
        let mut compacted = Comparison::new(Vec::new(), true);
        compacted.extra("o", at(4));
        assert_eq!(compacted.removed, 1);
        assert_eq!(compacted.damage("c"), []);
    }

    #[test]
    fn the_first_few_are_named_and_all_counted() {
        let mut comparison = Comparison::new(Vec::new(), false);
        (0..9).for_each(|offset| comparison.lost("o", at(offset)));
        comparison.extra("o", at(20));
        let damage = comparison.damage("c");
        assert_eq!(damage.len(), 7);
        assert_eq!(
            damage[6].to_string(),
            "c: 9 records of the cluster are not archived, 4 of them not named here"
        );
    }
}
