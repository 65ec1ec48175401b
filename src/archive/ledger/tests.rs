//! Whole chains are never complained of; any one thing that is wrong is found, and named.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::archive::Entry;
use crate::meta::{Act, FileMeta, Gap, Identity, SealMeta, Succession, Totals};
use crate::store::names::{ChainId, ChainName};
use crate::types::{Isolation, OffsetRange, Partition, TopicId, TopicName, WriterToken};

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn chain_of(generation: u32) -> ChainId {
    let topic = TopicName::new("orders").unwrap();
    ChainName::new(topic, generation).partition(Partition::new(3).unwrap())
}

fn identity() -> Identity {
    Identity {
        cluster_id: "5L6g3nShT".to_owned(),
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::from_halves(1, 2),
        partition: Partition::new(3).unwrap(),
        isolation: Isolation::ReadCommitted,
    }
}

/// One step of a chain that is laid down.
#[derive(Debug, Clone)]
enum Step {
    File { gap: Option<u64>, records: u64, hole: u64, timed: bool },
    Seal,
}

fn step() -> impl Strategy<Value = Step> {
    let file = (prop::option::weighted(0.2, 1..20_u64), 0..50_u64, 0..5_u64, any::<bool>());
    prop_oneof![
        5 => file.prop_map(|(gap, records, hole, timed)| Step::File { gap, records, hole, timed }),
        1 => Just(Step::Seal),
    ]
}

/// A chain as it lies in an archive.
#[derive(Debug, Clone)]
struct Laid {
    chain: ChainId,
    record: ChainRecord,
    objects: Vec<(Entry, ObjectMeta)>,
}

fn entry(chain: &ChainId, start: Offset, suffix: Suffix) -> Entry {
    Entry {
        name: chain.object(start, suffix),
        start,
        suffix,
        size: 100,
        last_modified: std::time::SystemTime::UNIX_EPOCH,
    }
}

fn act() -> Act {
    Act::new("anna@host", 5, "why not")
}

fn lay(first: u64, steps: &[Step], close: bool) -> Laid {
    let chain = chain_of(2);
    let (mut tip, mut suffix, mut sealed) = (first, Suffix::MakGz, false);
    let mut totals = Totals::default();
    let mut objects = Vec::new();
    for (n, step) in (1_u32..).zip(steps) {
        let entry = entry(&chain, at(tip), suffix);
        match *step {
            Step::Seal if sealed => {}
            Step::Seal => {
                let continues =
                    if suffix == Suffix::MakGz { Suffix::MakZst } else { Suffix::MakGz };
                let seal = SealMeta {
                    identity: identity(),
                    first: at(first),
                    suffix,
                    at: at(tip),
                    continues,
                    writer: WriterToken(n.into()),
                    totals,
                };
                objects.push((entry, ObjectMeta::Seal(seal)));
                (suffix, sealed) = (continues, true);
            }
            Step::File { gap, records, hole, timed } => {
                let gap = gap.map(|len| Gap {
                    from: at(tip),
                    to: at(tip + len),
                    reason: if tip == first { GapReason::Genesis } else { GapReason::Retention },
                });
                let next = gap.map_or(tip, |gap| gap.to.get()) + records + hole;
                let next = next.max(tip + 1);
                let time = 1_700_000_000_000 + i64::from(n) * 1000;
                let mut file = FileMeta {
                    identity: identity(),
                    generation: 2,
                    first: at(first),
                    mak: 2,
                    plain: false,
                    suffix,
                    range: OffsetRange::new(at(tip), at(next)).unwrap(),
                    records,
                    bytes: records * 10,
                    times: (timed && records > 0).then_some((time, time + 500)),
                    gap,
                    leader_epoch: None,
                    writer: WriterToken(n.into()),
                    act: None,
                    totals: None,
                };
                totals = totals.with(&file);
                file.totals = Some(totals);
                objects.push((entry, ObjectMeta::File(file)));
                (tip, sealed) = (next, false);
            }
        }
    }
    if close {
        let next = Succession { first: at(tip), suffix: Suffix::MakGz, act: act() };
        let close = CloseMeta {
            identity: identity(),
            generation: 2,
            first: at(first),
            suffix,
            at: at(tip),
            next,
            writer: WriterToken(99),
            totals,
        };
        objects.push((entry(&chain, at(tip), suffix), ObjectMeta::Close(close)));
    }
    let record = ChainRecord {
        layout: 1,
        identity: identity(),
        first: at(first),
        suffix: Suffix::MakGz,
        follows: None,
    };
    Laid { chain, record, objects }
}

impl Laid {
    fn told(&self) -> Vec<(Entry, Told)> {
        let told = |meta: &ObjectMeta| Told::Meta(Box::new(meta.clone()));
        self.objects.iter().map(|(entry, meta)| (entry.clone(), told(meta))).collect()
    }

    fn root(&self) -> Root {
        Root::Found(Box::new(self.record.clone()))
    }

    fn file(&self, index: usize) -> Option<&FileMeta> {
        match &self.objects[index].1 {
            ObjectMeta::File(file) => Some(file),
            _ => None,
        }
    }
}

/// The account of what a listing shows.
fn account(chain: &ChainId, root: Root, mut told: Vec<(Entry, Told)>) -> Account {
    let mut ledger = Ledger::new(chain.clone(), root);
    told.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    for (entry, told) in told {
        ledger.object(entry, Looked::at(told));
    }
    ledger.finish()
}

fn laid(files_at_least: usize) -> impl Strategy<Value = Laid> {
    (0..60_u64, prop::collection::vec(step(), files_at_least..12), any::<bool>())
        .prop_map(|(first, steps, close)| lay(first, &steps, close))
        .prop_filter("enough objects", move |laid| laid.objects.len() >= files_at_least)
}

/// One thing that is wrong with a chain.
#[derive(Debug, Clone)]
enum Wrong {
    Removed(Index),
    OtherSuffix(Index),
    CopiedBehind(Index),
    CopiedInside(Index),
    NoMetadata(Index),
    StrayInside(Index),
    StrayAtTheTip,
    Next(Index, bool),
    Records(Index),
    Bytes(Index),
    Totals(Index, u8),
    NoTotals(Index),
    First(Index),
    Cluster(Index),
    Isolation(Index),
    OtherTopic(Index),
    Start(Index),
    Generation(Index),
    Gap(Index),
    RecordGone,
    RecordDamaged,
    RecordFirst,
    RecordSuffix,
    RecordTopicId,
    RecordPartition,
    BehindClose,
}

fn wrong() -> impl Strategy<Value = Wrong> {
    let index = || any::<Index>();
    prop_oneof![
        index().prop_map(Wrong::Removed),
        index().prop_map(Wrong::OtherSuffix),
        index().prop_map(Wrong::CopiedBehind),
        index().prop_map(Wrong::CopiedInside),
        index().prop_map(Wrong::NoMetadata),
        index().prop_map(Wrong::StrayInside),
        Just(Wrong::StrayAtTheTip),
        (index(), any::<bool>()).prop_map(|(index, more)| Wrong::Next(index, more)),
        index().prop_map(Wrong::Records),
        index().prop_map(Wrong::Bytes),
        (index(), 0..5_u8).prop_map(|(index, which)| Wrong::Totals(index, which)),
        index().prop_map(Wrong::NoTotals),
        index().prop_map(Wrong::First),
        index().prop_map(Wrong::Cluster),
        index().prop_map(Wrong::Isolation),
        index().prop_map(Wrong::OtherTopic),
        index().prop_map(Wrong::Start),
        index().prop_map(Wrong::Generation),
        index().prop_map(Wrong::Gap),
        Just(Wrong::RecordGone),
        Just(Wrong::RecordDamaged),
        Just(Wrong::RecordFirst),
        Just(Wrong::RecordSuffix),
        Just(Wrong::RecordTopicId),
        Just(Wrong::RecordPartition),
        Just(Wrong::BehindClose),
    ]
}

/// A chain with something wrong, and the names of which one has to be named.
type Spoilt = (Root, Vec<(Entry, Told)>, Vec<String>);

#[expect(clippy::too_many_lines, reason = "an arm for each thing that can be wrong")]
/// Does it; `None` where there is nothing of that kind to be done.
fn spoil(laid: &Laid, wrong: &Wrong) -> Option<Spoilt> {
    let mut told = laid.told();
    let names = |index: usize| vec![laid.objects[index].0.name.to_string()];
    let pick = |index: &Index| index.index(laid.objects.len());
    let record = laid.chain.record().to_string();
    let with_record = |change: &dyn Fn(&mut ChainRecord)| {
        let mut record = laid.record.clone();
        change(&mut record);
        Root::Found(Box::new(record))
    };
    let alter = |index: &Index, change: &dyn Fn(&mut FileMeta) -> bool| -> Option<Spoilt> {
        let index = pick(index);
        let mut file = laid.file(index)?.clone();
        let done = change(&mut file);
        let mut told = laid.told();
        told[index].1 = Told::Meta(Box::new(ObjectMeta::File(file)));
        done.then(|| (laid.root(), told, names(index)))
    };
    let last = laid.objects.len() - 1;
    match wrong {
        Wrong::Removed(index) => {
            let index = pick(index);
            let gone = told.remove(index);
            // What is gone from the end was never there, as far as can be told; what is gone from
            // the beginning has expired.
            let moved = |at: usize| laid.objects.get(at).map(|(entry, _)| entry.start);
            let expired = index == 0 && moved(1) != Some(gone.0.start);
            (index < last && !expired).then(|| (laid.root(), told, vec![gone.0.name.to_string()]))
        }
        Wrong::OtherSuffix(index) => {
            let index = pick(index);
            let (old, _) = &laid.objects[index];
            told[index].0 = entry(&laid.chain, old.start, Suffix::Mak);
            Some((
                laid.root(),
                told,
                vec![entry(&laid.chain, old.start, Suffix::Mak).name.to_string()],
            ))
        }
        Wrong::CopiedBehind(index) | Wrong::CopiedInside(index) => {
            let index = pick(index);
            let (old, meta) = &laid.objects[index];
            let behind = matches!(wrong, Wrong::CopiedBehind(_));
            let start = if behind { old.start.get() + 10_000 } else { old.start.get() + 1 };
            let entry = entry(&laid.chain, at(start), old.suffix);
            if laid.objects.iter().any(|(other, _)| other.name == entry.name) {
                return None;
            }
            let name = entry.name.to_string();
            told.push((entry, Told::Meta(Box::new(meta.clone()))));
            Some((laid.root(), told, vec![name]))
        }
        Wrong::NoMetadata(index) => {
            let index = pick(index);
            told[index].1 = Told::Nothing("it has no metadata".to_owned());
            Some((laid.root(), told, names(index)))
        }
        Wrong::StrayInside(index) => {
            let index = pick(index);
            let range =
                laid.file(index).filter(|file| file.range.last() > file.range.start())?.range;
            let entry = entry(&laid.chain, range.last(), Suffix::Mak);
            let name = entry.name.to_string();
            told.push((entry, Told::Nothing("it has no metadata".to_owned())));
            Some((laid.root(), told, vec![name]))
        }
        Wrong::StrayAtTheTip => {
            let file = laid.file(last)?;
            let entry = entry(&laid.chain, file.range.next(), file.suffix);
            let name = entry.name.to_string();
            told.push((entry, Told::Nothing("it has no metadata".to_owned())));
            Some((laid.root(), told, vec![name]))
        }
        // At the end, and where a seal or a closing seal follows, only the body tells.
        Wrong::Next(index, more) => {
            laid.objects.get(pick(index) + 1)?;
            alter(index, &|file| {
                let next = file.range.next().get();
                let next = if *more { next + 1 } else { next - 1 };
                let range = OffsetRange::new(file.range.start(), at(next));
                range.map(|range| file.range = range).is_ok()
            })
            .map(|(root, told, mut culprits)| {
                culprits.extend(names(pick(index) + 1));
                (root, told, culprits)
            })
        }
        Wrong::Records(index) => alter(index, &|file| {
            file.records += 1;
            true
        }),
        Wrong::Bytes(index) => alter(index, &|file| {
            file.bytes += 1;
            true
        }),
        Wrong::Totals(index, which) => alter(index, &|file| {
            let Some(totals) = &mut file.totals else { return false };
            match (which, &mut totals.times) {
                (0, _) => totals.files += 1,
                (1, _) => totals.records += 1,
                (2, _) => totals.bytes += 1,
                (3, _) => totals.gaps += 1,
                (_, Some((low, _))) => *low -= 1,
                (_, None) => return false,
            }
            true
        }),
        Wrong::NoTotals(index) => alter(index, &|file| {
            file.totals = None;
            true
        }),
        Wrong::First(index) => alter(index, &|file| {
            file.first = file.first.after();
            true
        }),
        Wrong::Cluster(index) => alter(index, &|file| {
            file.identity.cluster_id.push('x');
            true
        }),
        Wrong::Isolation(index) => alter(index, &|file| {
            file.identity.isolation = Isolation::ReadUncommitted;
            true
        }),
        Wrong::OtherTopic(index) => alter(index, &|file| {
            file.identity.topic = TopicName::new("others").unwrap();
            true
        }),
        Wrong::Start(index) => alter(index, &|file| {
            let range = OffsetRange::new(file.range.start().after(), file.range.next());
            range.map(|range| file.range = range).is_ok()
        }),
        Wrong::Generation(index) => alter(index, &|file| {
            file.generation = 1;
            true
        }),
        Wrong::Gap(index) => alter(index, &|file| {
            let next = file.range.next().after();
            file.gap.as_mut().map(|gap| gap.to = next).is_some()
        }),
        Wrong::RecordGone => Some((Root::Absent, told, vec![record])),
        Wrong::RecordDamaged => Some((Root::Unreadable("not JSON".to_owned()), told, vec![record])),
        Wrong::RecordFirst => {
            Some((with_record(&|record| record.first = record.first.after()), told, vec![record]))
        }
        Wrong::RecordSuffix => {
            Some((with_record(&|record| record.suffix = Suffix::Mak), told, vec![record]))
        }
        Wrong::RecordTopicId => {
            let other = TopicId::from_halves(3, 4);
            Some((with_record(&|record| record.identity.topic_id = other), told, vec![record]))
        }
        Wrong::RecordPartition => {
            let other = Partition::new(4).unwrap();
            Some((with_record(&|record| record.identity.partition = other), told, vec![record]))
        }
        Wrong::BehindClose => {
            let ObjectMeta::Close(close) = &laid.objects[last].1 else { return None };
            let tip = close.at.get();
            let mut file = (0..last).rev().find_map(|index| laid.file(index))?.clone();
            file.range = OffsetRange::new(at(tip), at(tip + 5)).unwrap();
            file.suffix = Suffix::Mak;
            file.gap = None;
            let entry = entry(&laid.chain, at(tip), Suffix::Mak);
            let name = entry.name.to_string();
            told.push((entry, Told::Meta(Box::new(ObjectMeta::File(file)))));
            Some((laid.root(), told, vec![name]))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_whole_chain_is_never_complained_of(laid in laid(0)) {
        let account = account(&laid.chain, laid.root(), laid.told());
        prop_assert_eq!(&account.damage, &[]);
        prop_assert_eq!(&account.unseen, &[]);
        prop_assert_eq!(account.expired, None);
        let files: Vec<_> = (0..laid.objects.len()).filter_map(|index| laid.file(index)).collect();
        let totals = files.iter().fold(Totals::default(), |totals, file| totals.with(file));
        prop_assert_eq!(account.files, totals.files);
        prop_assert_eq!((account.records, account.bytes), (totals.records, totals.bytes));
        prop_assert_eq!(account.gaps.len() as u64, totals.gaps);
        prop_assert_eq!(account.first, Some(laid.record.first));
        let tip = files.last().map_or(laid.record.first, |file| file.range.next());
        prop_assert_eq!(account.tip, Some(tip));
        let closed = matches!(laid.objects.last(), Some((_, ObjectMeta::Close(_))));
        prop_assert_eq!(account.closed, closed);
        for gap in &account.gaps {
            let before = files.iter().filter(|file| file.range.start() < gap.from);
            let nothing = before.map(|file| file.records).sum::<u64>() == 0;
            prop_assert_eq!(gap.before_first_record, nothing);
        }
    }

    #[test]
    fn whatever_is_wrong_is_found_and_named(laid in laid(1), wrong in wrong()) {
        let Some((root, told, culprits)) = spoil(&laid, &wrong) else { return Ok(()) };
        let account = account(&laid.chain, root, told);
        prop_assert!(!account.damage.is_empty(), "{wrong:?} goes unnoticed");
        let named = account.damage.iter().any(|damage| {
            let text = damage.to_string();
            culprits.iter().any(|culprit| text.contains(culprit))
        });
        prop_assert!(named, "{culprits:?} are not named: {:#?}", account.damage);
    }

    /// Rules of a bucket take the oldest first, `chain.json` before all.
    #[test]
    fn an_expired_beginning_is_no_damage(laid in laid(2), from in any::<Index>(), record: bool) {
        let from = from.index(laid.objects.len());
        let told: Vec<_> = laid.told().split_off(from);
        let gone: Vec<_> = (0..from).filter_map(|index| laid.file(index)).collect();
        prop_assume!(!gone.is_empty());
        let root = if record { laid.root() } else { Root::Absent };
        let begins = told[0].0.start;
        let account = account(&laid.chain, root, told);
        prop_assert_eq!(&account.damage, &[]);
        let sum = |of: fn(&FileMeta) -> u64| gone.iter().map(|file| of(file)).sum::<u64>();
        let expected = Expired {
            from: laid.record.first,
            to: begins,
            files: gone.len() as u64,
            records: sum(|file| file.records),
            bytes: sum(|file| file.bytes),
        };
        prop_assert_eq!(account.expired, Some(expected));
    }
}

#[test]
fn one_thing_wrong_is_one_complaint() {
    let file = || Step::File { gap: None, records: 10, hole: 0, timed: true };
    let laid = lay(0, &[file(), file(), Step::Seal, file(), file()], false);
    let look = |told| account(&laid.chain, laid.root(), told);
    for index in 0..4 {
        let mut told = laid.told();
        told[index].1 = Told::Nothing("nothing".to_owned());
        assert_eq!(look(told).damage.len(), 1, "{index}");
    }
    let mut told = laid.told();
    told.remove(1);
    let damage = look(told).damage;
    let missing = "orders@2/000003/00000000000000000010.mak.gz";
    let [Damage { object, fault: Fault::Missing, what }] = damage.as_slice() else {
        panic!("{damage:#?}")
    };
    assert_eq!(
        (object.as_str(), what.as_str()),
        (missing, "it is missing: nothing covers [10, 20)")
    );
    // The totals tell that no file is missing, so it is the file before that is wrong.
    let mut told = laid.told();
    let mut file = laid.file(1).unwrap().clone();
    file.range = OffsetRange::new(at(10), at(21)).unwrap();
    told[1].1 = Told::Meta(Box::new(ObjectMeta::File(file)));
    let damage = look(told).damage;
    assert!(damage.iter().any(|damage| damage.object == missing), "{damage:#?}");
}

#[test]
fn what_could_not_be_looked_at_is_no_damage() {
    let file = || Step::File { gap: None, records: 10, hole: 0, timed: true };
    let laid = lay(0, &[file(), file(), file()], false);
    let mut told = laid.told();
    told[1].1 = Told::Unseen("403".to_owned());
    let found = account(&laid.chain, Root::Unseen("403".to_owned()), told);
    assert_eq!(found.damage, []);
    let unseen: Vec<_> = found.unseen.iter().map(|unseen| unseen.object.as_str()).collect();
    let names = ["orders@2/000003/chain.json", "orders@2/000003/00000000000000000010.mak.gz"];
    assert_eq!(unseen, names);
}

#[test]
fn generations_have_to_join() {
    let file = || Step::File { gap: None, records: 10, hole: 0, timed: true };
    let closed = lay(0, &[file()], true);
    let first = |told| account(&closed.chain, closed.root(), told);
    let next = |first, suffix, tip| {
        let follows = Follows { chain: "orders@2".to_owned(), tip, act: act() };
        let follows = Some(follows);
        let first = at(first);
        let record = ChainRecord { first, suffix, follows, ..closed.record.clone() };
        account(&chain_of(3), Root::Found(Box::new(record)), Vec::new())
    };
    let damage = |before: Account, behind: Account| {
        let mut both = [before, behind];
        check_succession(&mut both);
        both.iter().flat_map(|account| account.damage.clone()).collect::<Vec<_>>()
    };
    let whole = || first(closed.told());
    assert_eq!(damage(whole(), next(10, Suffix::MakGz, Some(at(10)))), []);
    assert_eq!(damage(whole(), next(11, Suffix::MakGz, Some(at(10))))[0].fault, Fault::Succession);
    assert_eq!(damage(whole(), next(10, Suffix::Mak, Some(at(10))))[0].fault, Fault::Succession);
    assert_eq!(damage(whole(), next(10, Suffix::MakGz, Some(at(9))))[0].fault, Fault::Succession);
    let mut open = closed.told();
    open.pop();
    let lost = damage(first(open.clone()), next(10, Suffix::MakGz, Some(at(10))));
    assert_eq!((lost[0].fault, lost[0].object.as_str()), (Fault::Missing, "orders@2/000003"));
    assert_eq!(damage(first(open), next(10, Suffix::MakGz, None)), []);
}
