//! The files of another tool, held against each other: by their names, and by what is in them.

use super::{Account, Fault, GapCause, RecordedGap};
use crate::archive::{Elder, Layout, Survey};
use crate::store::names::Name;
use crate::types::Offset;

/// One file, looked at.
#[derive(Debug, Clone)]
pub enum Seen {
    /// Only its name was.
    Name,
    /// All of it, and nothing is wrong with it alone.
    Whole(Survey),
    /// Something is wrong with it.
    Wrong(Fault, String),
    /// It could not be looked at, and why.
    Unseen(String),
}

/// The ledger of what another tool archived of a partition. Feed it every file in the order of
/// offsets.
#[derive(Debug)]
pub struct Elders {
    account: Account,
    /// Where the next file has to begin; `None` if that can't be told.
    at: Option<Offset>,
}

impl Elders {
    /// Of files in `folder`.
    #[must_use]
    pub fn new(layout: Layout, folder: String) -> Self {
        Self { account: Account { layout, ..Account::new(folder) }, at: None }
    }

    /// Takes a name of the folder that is no file's.
    pub fn foreign(&mut self, name: &Name) {
        self.account.foreign.push(name.to_string());
    }

    /// Takes the next file.
    pub fn file(&mut self, elder: &Elder, seen: Seen) {
        self.join(elder);
        let account = &mut self.account;
        account.first = account.first.or(Some(elder.start()));
        account.start = account.first;
        account.files += 1;
        account.stored_bytes = account.stored_bytes.saturating_add(elder.size);
        let mut end = elder.next();
        match seen {
            Seen::Name => {}
            Seen::Whole(found) => {
                // Without a record it ends where it begins, whatever its name says.
                end = Some(found.next);
                self.count(elder, found);
            }
            Seen::Wrong(fault, what) => account.damaged(elder.name.to_string(), fault, what),
            Seen::Unseen(why) => {
                account.unseen.push(super::Unseen { object: elder.name.to_string(), why });
            }
        }
        // Behind a file that does not read nothing says where the next one has to begin.
        self.at = end.map(|end| self.at.map_or(end, |at| at.max(end)));
        self.account.tip = self.at;
    }

    fn join(&mut self, elder: &Elder) {
        let (Some(at), start) = (self.at, elder.start()) else { return };
        let object = elder.name.to_string();
        let last = |offset: Offset| offset.get().saturating_sub(1);
        if start < at {
            let what = format!(
                "it begins at offset {start}, inside of what came before it, which ends at {}",
                last(at)
            );
            self.account.damaged(object, Fault::Overlap, what);
        } else if start > at && elder.layout == Layout::KafkaStore {
            let what = format!("offsets {at} to {} before it are in no file", last(start));
            self.account.damaged(object, Fault::Missing, what);
        } else if start > at {
            let before_first_record = self.account.records == 0 && self.account.holes.is_some();
            let (from, to, reason) = (at, start, GapCause::NotThere);
            self.account.gaps.push(RecordedGap { from, to, reason, object, before_first_record });
        }
    }

    fn count(&mut self, elder: &Elder, found: Survey) {
        let account = &mut self.account;
        account.records = account.records.saturating_add(found.records);
        account.bytes = account.bytes.saturating_add(found.bytes);
        let room = found.next.get().saturating_sub(elder.start().get());
        let holes = room.saturating_sub(found.records);
        account.holes = Some(account.holes.unwrap_or(0).saturating_add(holes));
        if let Some((low, high)) = found.times {
            account.first_time_ms = Some(account.first_time_ms.map_or(low, |time| time.min(low)));
            account.last_time_ms = account.last_time_ms.max(Some(high));
        }
    }

    /// Nothing more comes.
    #[must_use]
    pub fn finish(self) -> Account {
        self.account
    }
}

/// Holds what another tool archived against the chain behind it: what lies between them is a gap.
pub fn check_join(elders: &mut Account, chain: &Account) {
    let begins = chain.first.or(chain.start);
    // A chain that was begun later may record what these have as a gap before its first record.
    let gap = chain.gaps.first().filter(|gap| Some(gap.from) == begins);
    let begins = gap.map(|gap| gap.to).or(begins);
    if let (Some(from), Some(to)) = (elders.tip, begins)
        && from < to
    {
        let (reason, object) = (GapCause::NotThere, chain.chain.clone());
        let before_first_record = false;
        elders.gaps.push(RecordedGap { from, to, reason, object, before_first_record });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Entries;
    use crate::store::Listed;
    use crate::store::names::ChainName;
    use crate::types::{Partition, TopicName};

    fn at(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    /// Files by their names, and where each turns out to end.
    fn account(files: &[(&str, Option<u64>)]) -> Account {
        let chain = ChainName::first(TopicName::new("t").unwrap());
        let chain = chain.partition(Partition::new(3).unwrap());
        let listed = |(name, _): &(&str, _)| Listed {
            name: Name::parse(name).unwrap(),
            size: 7,
            last_modified: std::time::SystemTime::UNIX_EPOCH,
        };
        let entries = Entries::of_listing(&chain, files.iter().map(listed).collect());
        assert_eq!(entries.elders().len(), files.len());
        let layout = entries.elders()[0].layout;
        let mut ledger = Elders::new(layout, "t/3".to_owned());
        for elder in entries.elders() {
            let end = files.iter().find(|(name, _)| *name == elder.name.as_str()).unwrap().1;
            let seen = end.map_or(Seen::Wrong(Fault::Container, "torn".to_owned()), |next| {
                let records = next - elder.start().get();
                Seen::Whole(Survey { next: at(next), records, bytes: 1, times: Some((1, 2)) })
            });
            ledger.file(elder, seen);
        }
        ledger.finish()
    }

    fn faults(account: &Account) -> Vec<(Fault, &str)> {
        account.damage.iter().map(|damage| (damage.fault, damage.object.as_str())).collect()
    }

    const K0: &str = "t/000003/00000000000000000000";
    const K5: &str = "t/000003/00000000000000000005";
    const K9: &str = "t/000003/00000000000000000009";

    #[test]
    fn kafka_stores_files_follow_each_other_by_their_counts() {
        let whole = account(&[(K0, Some(5)), (K5, Some(9)), (K9, Some(20))]);
        assert_eq!((faults(&whole), whole.gaps.len()), (vec![], 0));
        assert_eq!((whole.start, whole.tip, whole.records), (Some(at(0)), Some(at(20)), 20));
        assert_eq!(whole.holes, Some(0));
        let hole = account(&[(K0, Some(4)), (K5, Some(9))]);
        assert_eq!(faults(&hole), [(Fault::Missing, K5)]);
        let overlap = account(&[(K0, Some(6)), (K5, Some(9))]);
        assert_eq!(faults(&overlap), [(Fault::Overlap, K5)]);
        // Behind one that does not read nothing is known; it is one damage, not two.
        let torn = account(&[(K0, Some(5)), (K5, None), (K9, Some(20))]);
        assert_eq!(faults(&torn), [(Fault::Container, K5)]);
    }

    #[test]
    fn what_is_between_two_files_of_the_original_is_a_gap() {
        let (one, two) = ("t/3/t-3_0-4_160811.mak.gz", "kafkatos3/t/3/t-3_7-9_160812.mak.gz");
        let gap = account(&[(one, Some(5)), (two, Some(10))]);
        assert!(gap.damage.is_empty());
        assert_eq!((gap.gaps[0].from, gap.gaps[0].to), (at(5), at(7)));
        assert_eq!(gap.gaps[0].object, two);
        assert!(!gap.gaps[0].before_first_record);
        let overlap = account(&[(one, Some(5)), ("t/3/t-3_3-9_160812.mak.gz", Some(10))]);
        assert_eq!(faults(&overlap), [(Fault::Overlap, "t/3/t-3_3-9_160812.mak.gz")]);
    }

    #[test]
    fn a_chain_joins_what_came_before_it() {
        let gaps = |first: u64, recorded: Option<u64>| {
            let mut elders = account(&[(K0, Some(5)), (K5, Some(9))]);
            let gap = |to| RecordedGap {
                from: at(first),
                to: at(to),
                reason: GapCause::NotThere,
                object: "t/000003".to_owned(),
                before_first_record: true,
            };
            let chain = Account {
                first: Some(at(first)),
                gaps: recorded.map(gap).into_iter().collect(),
                ..Account::new("t/000003".to_owned())
            };
            check_join(&mut elders, &chain);
            elders.gaps.iter().map(|gap| (gap.from.get(), gap.to.get())).collect::<Vec<_>>()
        };
        assert_eq!((gaps(9, None), gaps(4, None)), (vec![], vec![]));
        assert_eq!(gaps(12, None), [(9, 12)]);
        // The chain's first file may record what the others have as a gap.
        assert_eq!((gaps(0, Some(9)), gaps(0, Some(11))), (vec![], vec![(9, 11)]));
    }
}
