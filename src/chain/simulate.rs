//! Random schedules of several writers over one store that lies about what it did.
//!
//! A schedule is a list of bytes; each makes one writer do one store operation, possibly with a
//! lost answer or a refusal where nothing landed, or restarts it with other settings. Whatever
//! happens, the objects have to form one line; and a last writer without faults has to finish.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::locate::{Answer, Ask, Hints, Locator, Outcome, Step};
use super::publish::{Action, LocalFile, Publisher};
use super::{Position, Seen, Slot};
use crate::meta::{ChainRecord, FileMeta, Identity, ObjectMeta, Totals};
use crate::types::{
    Isolation, Offset, OffsetRange, Partition, Suffix, TopicId, TopicName, WriterToken,
};

const END: u64 = 12;

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

pub(super) fn identity(cluster: &str) -> Identity {
    Identity {
        cluster_id: cluster.to_owned(),
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::UNKNOWN,
        partition: Partition::new(3).unwrap(),
        isolation: Isolation::ReadCommitted,
    }
}

pub(super) fn file(start: u64, next: u64, suffix: Suffix, writer: u64) -> FileMeta {
    FileMeta {
        identity: identity("c"),
        first: Offset::ZERO,
        mak: 2,
        suffix,
        range: OffsetRange::new(at(start), at(next)).unwrap(),
        records: next - start,
        bytes: 10 * (next - start),
        times: None,
        gap: None,
        leader_epoch: None,
        writer: WriterToken(writer),
        totals: None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// It lands, but the answer is lost.
    AnswerLost,
    /// It is refused, though nothing stands there.
    Refused,
}

#[derive(Debug, Default)]
struct World {
    record: Option<ChainRecord>,
    objects: BTreeMap<Slot, ObjectMeta>,
    tokens: u64,
}

impl World {
    /// Create-if-absent; whether the caller may be certain.
    fn create(&mut self, slot: Slot, meta: ObjectMeta, fault: Fault) -> bool {
        let lands = fault != Fault::Refused && !self.objects.contains_key(&slot);
        if lands {
            self.objects.insert(slot, meta);
        }
        lands && fault == Fault::None
    }

    fn head(&self, slot: Slot) -> Seen {
        self.objects.get(&slot).map_or(Seen::Absent, |meta| {
            Seen::Ours(Box::new(ObjectMeta::from_map(&meta.to_map()).unwrap()))
        })
    }

    fn answer(&mut self, ask: Ask, fault: Fault) -> Answer {
        match ask {
            Ask::Record => Answer::Record(self.record.clone()),
            Ask::Head(slot) => Answer::Head(self.head(slot)),
            Ask::List => Answer::Listed(self.objects.keys().copied().collect()),
            Ask::CreateRecord(record) => {
                let lands = fault != Fault::Refused && self.record.is_none();
                if lands {
                    self.record = Some(record);
                }
                Answer::Created(lands && fault == Fault::None)
            }
        }
    }

    /// Files in order of their starts.
    fn files(&self) -> Vec<&FileMeta> {
        let files = self.objects.values().filter_map(|meta| match meta {
            ObjectMeta::File(file) => Some(file),
            ObjectMeta::Seal(_) => None,
        });
        files.collect()
    }

    fn assert_one_line(&self) {
        let mut next = 0;
        let mut records = 0;
        for (count, file) in self.files().into_iter().enumerate() {
            assert_eq!(file.range.start().get(), next, "hole or overlap: {:#?}", self.objects);
            next = file.range.next().get();
            records += file.records;
            let totals = file.totals.unwrap();
            assert_eq!((totals.files, totals.records), (count as u64 + 1, records));
        }
        assert!(next <= END);
    }
}

#[derive(Debug)]
enum Doing {
    Locating(Box<(Locator, Step)>),
    Reading,
    Publishing(Box<(FileMeta, Action)>),
}

/// A process: it knows nothing at its start but what the store tells it, and its hint.
#[derive(Debug)]
struct Process {
    configured: Suffix,
    publisher: Option<Publisher>,
    doing: Doing,
}

impl Process {
    fn start(configured: Suffix, hint: Option<Position>) -> Self {
        let hints = Hints { seen: hint, committed: None };
        let locator = Locator::new(identity("c"), hints, Some((Offset::ZERO, configured)));
        let step = locator.start();
        Self { configured, publisher: None, doing: Doing::Locating(Box::new((locator, step))) }
    }

    fn done(&self) -> bool {
        self.publisher.as_ref().is_some_and(|p| p.position().tip.get() >= END)
    }

    /// One store operation; `length` is that of the next file that it makes up.
    fn step(&mut self, world: &mut World, fault: Fault, length: u64) {
        let doing = std::mem::replace(&mut self.doing, Doing::Reading);
        self.doing = match doing {
            Doing::Locating(state) => self.locate(state.0, state.1, world, fault),
            Doing::Reading => self.read(world, length),
            Doing::Publishing(state) => self.publish(state.0, state.1, world, fault),
        };
    }

    fn locate(
        &mut self,
        mut locator: Locator,
        step: Step,
        world: &mut World,
        fault: Fault,
    ) -> Doing {
        match step {
            Step::Ask(ask) => {
                let step = locator.feed(world.answer(ask, fault));
                Doing::Locating(Box::new((locator, step)))
            }
            Step::Done(Outcome::Found(position)) => {
                self.publisher = Some(Publisher::new(identity("c"), position, self.configured));
                Doing::Reading
            }
            Step::Done(other) => panic!("{other:?}"),
        }
    }

    fn read(&mut self, world: &mut World, length: u64) -> Doing {
        let publisher = self.publisher.as_mut().unwrap();
        let tip = publisher.position().tip.get();
        if tip >= END {
            return Doing::Reading;
        }
        world.tokens += 1;
        let file = file(tip, END.min(tip + length), self.configured, world.tokens);
        let action = publisher.offer(LocalFile { meta: file.clone(), too_old: false });
        Doing::Publishing(Box::new((file, action)))
    }

    fn publish(
        &mut self,
        mut file: FileMeta,
        action: Action,
        world: &mut World,
        fault: Fault,
    ) -> Doing {
        let publisher = self.publisher.as_mut().unwrap();
        let action = match action {
            Action::Put { slot, totals } => {
                let meta = ObjectMeta::File(FileMeta { totals: Some(totals), ..file.clone() });
                publisher.created(world.create(slot, meta, fault))
            }
            Action::PutSeal(seal) => {
                publisher.created(world.create(seal.slot, ObjectMeta::Seal(seal.seal), fault))
            }
            Action::Head(slot) => publisher.seen(world.head(slot)),
            Action::Repack(suffix) => {
                file.suffix = suffix;
                publisher.offer(LocalFile { meta: file.clone(), too_old: false })
            }
            Action::Retry => publisher.offer(LocalFile { meta: file.clone(), too_old: false }),
            Action::Published | Action::Superseded => return Doing::Reading,
            Action::NotYet | Action::Expired | Action::Stop(_) => panic!("{action:?}"),
        };
        Doing::Publishing(Box::new((file, action)))
    }
}

/// Runs a schedule; three writers, of which one has other settings.
fn run(schedule: &[u8]) -> World {
    let mut world = World::default();
    let suffixes = [Suffix::MakGz, Suffix::MakZst, Suffix::MakGz];
    let mut writers: Vec<_> = suffixes.iter().map(|s| Process::start(*s, None)).collect();
    for byte in schedule {
        let who = usize::from(byte % 3);
        let fault = match byte / 3 % 8 {
            0 => Fault::AnswerLost,
            1 => Fault::Refused,
            _ => Fault::None,
        };
        let length = u64::from(byte / 24 % 4) + 1;
        if *byte >= 250 {
            let hint = writers[who].publisher.as_ref().map(|p| *p.position());
            writers[who] = Process::start(suffixes[usize::from(byte % 2)], hint);
        } else {
            writers[who].step(&mut world, fault, length);
        }
        world.assert_one_line();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn whatever_the_schedule_the_files_form_one_line(schedule in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut world = run(&schedule);
        let mut last = Process::start(Suffix::MakZst, None);
        for _ in 0..200 {
            if last.done() {
                break;
            }
            last.step(&mut world, Fault::None, 3);
        }
        world.assert_one_line();
        prop_assert!(last.done());
        prop_assert_eq!(world.files().last().unwrap().range.next().get(), END);
    }
}

#[test]
fn a_second_cluster_is_refused_at_the_record_and_at_a_file() {
    let mut world = World::default();
    let mut first = Process::start(Suffix::Mak, None);
    (0..20).for_each(|_| first.step(&mut world, Fault::None, 4));
    for hint in [None, Some(*first.publisher.unwrap().position())] {
        let hints = Hints { seen: hint, committed: None };
        let mut locator = Locator::new(identity("other"), hints, None);
        let Step::Ask(ask) = locator.start() else { panic!() };
        let step = locator.feed(world.answer(ask, Fault::None));
        assert!(matches!(step, Step::Done(Outcome::Stop(super::Stop::ForeignIdentity(_)))));
    }
}

#[test]
fn an_expired_chain_goes_on_where_the_commit_was() {
    let mut world = World::default();
    let committed =
        Position { tip: at(7), ..Position::behind(&file(3, 7, Suffix::Mak, 1), Totals::default()) };
    let hints = Hints { seen: Some(committed), committed: Some(committed) };
    let mut locator = Locator::new(identity("c"), hints, Some((Offset::ZERO, Suffix::MakGz)));
    let mut step = locator.start();
    let found = loop {
        match step {
            Step::Ask(ask) => step = locator.feed(world.answer(ask, Fault::None)),
            Step::Done(outcome) => break outcome,
        }
    };
    let Outcome::Found(position) = found else { panic!("{found:?}") };
    assert_eq!((position.tip, position.suffix), (at(7), Suffix::Mak));
    assert!(world.record.is_some(), "the identity record was created again");
}
