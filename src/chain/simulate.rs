//! Random schedules of several writers and an operator over one store that lies about what it did.
//!
//! A schedule is a list of bytes; each makes one writer do one store operation, possibly with a
//! lost answer or a refusal where nothing landed, or restarts it with other settings; or the
//! operator's command does one, which closes the chain or skips what comes next. Whatever happens,
//! the objects of each chain have to form one line that nothing follows once it is closed, and a
//! last writer without faults has to finish.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::close::{CloseStep, Closer};
use super::locate::{Answer, Ask, Genesis, Hints, Locator, Outcome, Step};
use super::publish::{Action, LocalFile, Publisher};
use super::succession::{Next, Question, Search, behind};
use super::{Position, Seen, Slot};
use crate::meta::{
    Act, ChainRecord, CloseMeta, FileMeta, Gap, GapReason, Identity, ObjectMeta, Succession, Totals,
};
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
        generation: 1,
        first: Offset::ZERO,
        mak: 2,
        plain: false,
        suffix,
        range: OffsetRange::new(at(start), at(next)).unwrap(),
        records: next - start,
        bytes: 10 * (next - start),
        times: None,
        gap: None,
        leader_epoch: None,
        writer: WriterToken(writer),
        act: None,
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

/// The objects of all chains of one partition, by generation.
#[derive(Debug, Default)]
struct World {
    records: BTreeMap<u32, ChainRecord>,
    objects: BTreeMap<(u32, Slot), ObjectMeta>,
    tokens: u64,
}

impl World {
    /// Create-if-absent; whether the caller may be certain.
    fn create(&mut self, generation: u32, slot: Slot, meta: ObjectMeta, fault: Fault) -> bool {
        let key = (generation, slot);
        let lands = fault != Fault::Refused && !self.objects.contains_key(&key);
        if lands {
            self.objects.insert(key, meta);
        }
        lands && fault == Fault::None
    }

    fn head(&self, generation: u32, slot: Slot) -> Seen {
        self.objects.get(&(generation, slot)).map_or(Seen::Absent, |meta| {
            Seen::Ours(Box::new(ObjectMeta::from_map(&meta.to_map()).unwrap()))
        })
    }

    fn answer(&mut self, generation: u32, ask: Ask, fault: Fault) -> Answer {
        match ask {
            Ask::Record => Answer::Record(self.records.get(&generation).cloned()),
            Ask::Head(slot) => Answer::Head(self.head(generation, slot)),
            Ask::List => {
                let slots = self.objects.keys().filter(|(of, _)| *of == generation);
                Answer::Listed(slots.map(|(_, slot)| *slot).collect())
            }
            Ask::CreateRecord(record) => {
                let absent = !self.records.contains_key(&generation);
                let lands = fault != Fault::Refused && absent;
                if lands {
                    self.records.insert(generation, record);
                }
                Answer::Created(lands && fault == Fault::None)
            }
        }
    }

    /// Files of one chain in order of their starts.
    fn files(&self, generation: u32) -> Vec<&FileMeta> {
        let files = self.objects.iter().filter_map(|((of, _), meta)| match meta {
            ObjectMeta::File(file) if *of == generation => Some(file),
            _ => None,
        });
        files.collect()
    }

    fn close(&self, generation: u32) -> Option<&CloseMeta> {
        let mut closes = self.objects.iter().filter_map(|((of, _), meta)| match meta {
            ObjectMeta::Close(close) if *of == generation => Some(close),
            _ => None,
        });
        let close = closes.next();
        assert!(closes.next().is_none(), "closed twice: {:#?}", self.objects);
        close
    }

    /// The chain that goes on.
    fn last(&self) -> u32 {
        self.records.keys().copied().max().unwrap_or(1)
    }

    fn assert_one_line_each(&self) {
        for (generation, record) in &self.records {
            let mut next = record.first.get();
            let mut records = 0;
            for (count, file) in self.files(*generation).into_iter().enumerate() {
                assert_eq!(file.range.start().get(), next, "hole or overlap: {:#?}", self.objects);
                assert_eq!(file.generation, *generation, "of another chain: {:#?}", self.objects);
                next = file.range.next().get();
                records += file.records;
                let totals = file.totals.unwrap();
                assert_eq!((totals.files, totals.records), (count as u64 + 1, records));
            }
            assert!(next <= END);
            match self.close(*generation) {
                Some(close) => {
                    assert_eq!(close.at.get(), next, "goes on when closed: {:#?}", self.objects);
                    if let Some(successor) = self.records.get(&(generation + 1)) {
                        let begins = behind(close);
                        assert_eq!(
                            (successor.first, successor.suffix),
                            (begins.first, begins.suffix)
                        );
                        assert_eq!(successor.follows, begins.follows);
                    }
                }
                None => assert_eq!(self.last(), *generation, "left open: {:#?}", self.objects),
            }
        }
    }
}

#[derive(Debug)]
enum Doing {
    /// With the file that waits for the answer.
    Locating(Box<(Search, Next, Option<FileMeta>)>),
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

fn locating(configured: Suffix, hint: Option<Position>, waiting: Option<FileMeta>) -> Doing {
    let hints = Hints { seen: hint, committed: None };
    let genesis = Genesis::new(Offset::ZERO, configured);
    let search = Search::new(identity("c"), hints, Some(genesis), false);
    let next = search.start();
    Doing::Locating(Box::new((search, next, waiting)))
}

impl Process {
    fn start(configured: Suffix, hint: Option<Position>) -> Self {
        Self { configured, publisher: None, doing: locating(configured, hint, None) }
    }

    fn position(&self) -> Option<&Position> {
        self.publisher.as_ref().map(Publisher::position)
    }

    fn done(&self, world: &World) -> bool {
        let reads = matches!(self.doing, Doing::Reading);
        reads && self.position().is_some_and(|p| p.tip.get() >= END && p.generation == world.last())
    }

    /// One store operation; `length` is that of the next file that it makes up.
    fn step(&mut self, world: &mut World, fault: Fault, length: u64) {
        let doing = std::mem::replace(&mut self.doing, Doing::Reading);
        self.doing = match doing {
            Doing::Locating(state) => {
                let (search, next, waiting) = *state;
                self.locate(search, next, waiting, world, fault)
            }
            Doing::Reading => self.read(world, length),
            Doing::Publishing(state) => self.publish(state.0, state.1, world, fault),
        };
    }

    fn locate(
        &mut self,
        mut search: Search,
        next: Next,
        waiting: Option<FileMeta>,
        world: &mut World,
        fault: Fault,
    ) -> Doing {
        match next {
            Next::Ask(Question { generation, ask }) => {
                let next = search.feed(world.answer(generation, ask, fault));
                Doing::Locating(Box::new((search, next, waiting)))
            }
            Next::Done { generation, outcome: Outcome::Found(position) } => {
                assert_eq!(position.generation, generation);
                let mut publisher = Publisher::new(identity("c"), position, self.configured);
                let doing = waiting.map_or(Doing::Reading, |file| {
                    let action = publisher.offer(LocalFile { meta: file.clone(), too_old: false });
                    Doing::Publishing(Box::new((file, action)))
                });
                self.publisher = Some(publisher);
                doing
            }
            Next::Done { outcome, .. } => panic!("{outcome:?}"),
        }
    }

    fn read(&mut self, world: &mut World, length: u64) -> Doing {
        let publisher = self.publisher.as_mut().unwrap();
        let position = *publisher.position();
        let tip = position.tip.get();
        if tip >= END {
            // Somebody may have closed the chain; who has nothing to publish asks now and then.
            return locating(self.configured, Some(position), None);
        }
        world.tokens += 1;
        let file = FileMeta {
            generation: position.generation,
            ..file(tip, END.min(tip + length), self.configured, world.tokens)
        };
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
        let generation = publisher.position().generation;
        let action = match action {
            Action::Put { slot, totals } => {
                let meta = ObjectMeta::File(FileMeta { totals: Some(totals), ..file.clone() });
                publisher.created(world.create(generation, slot, meta, fault))
            }
            Action::PutSeal(seal) => {
                let meta = ObjectMeta::Seal(seal.seal);
                publisher.created(world.create(generation, seal.slot, meta, fault))
            }
            Action::Head(slot) => publisher.seen(world.head(generation, slot)),
            Action::Repack(suffix) => {
                file.suffix = suffix;
                publisher.offer(LocalFile { meta: file.clone(), too_old: false })
            }
            Action::Retry => publisher.offer(LocalFile { meta: file.clone(), too_old: false }),
            Action::Published | Action::Superseded | Action::Orphaned => return Doing::Reading,
            Action::Closed(_) => {
                return locating(self.configured, self.position().copied(), Some(file));
            }
            Action::NotYet | Action::Expired | Action::Stop(_) => panic!("{action:?}"),
        };
        Doing::Publishing(Box::new((file, action)))
    }
}

/// What the operator wants.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// Close the chain; the next begins at the tip, or at 0.
    Close { at_tip: bool },
    /// Give up one offset.
    Skip,
}

/// The operator's command, which may be killed at any time and given again.
#[derive(Debug)]
enum Command {
    Looking(Box<(Wish, Process)>),
    Closing(Box<(Closer, CloseStep)>),
    Skipping(Box<Process>),
    Done,
}

impl Command {
    fn give(wish: Wish) -> Self {
        Self::Looking(Box::new((wish, Process::start(Suffix::MakGz, None))))
    }

    fn step(self, world: &mut World, fault: Fault) -> Self {
        match self {
            Self::Looking(state) => {
                let (wish, mut process) = *state;
                process.step(world, fault, 1);
                match process.position() {
                    Some(at) if at.tip.get() < END => Self::found(wish, *at, process, world),
                    Some(_) => Self::Done,
                    None => Self::Looking(Box::new((wish, process))),
                }
            }
            Self::Closing(state) => {
                let (mut closer, step) = *state;
                let generation = closer.position().generation;
                let step = match step {
                    CloseStep::Put(close) => {
                        let meta = ObjectMeta::Close(*close);
                        closer.created(world.create(generation, closer.slot(), meta, fault))
                    }
                    CloseStep::Head(slot) => closer.seen(world.head(generation, slot)),
                    CloseStep::Retry => closer.start(),
                    CloseStep::Closed(_) | CloseStep::Moved => return Self::Done,
                    CloseStep::Stop(foreign) => panic!("{foreign}"),
                };
                Self::Closing(Box::new((closer, step)))
            }
            Self::Skipping(mut process) => {
                process.step(world, fault, 1);
                match process.doing {
                    Doing::Publishing(_) => Self::Skipping(process),
                    _ => Self::Done,
                }
            }
            Self::Done => Self::Done,
        }
    }

    fn found(wish: Wish, at: Position, mut process: Process, world: &mut World) -> Self {
        world.tokens += 1;
        let act = Act::new("operator@host", world.tokens, "a test");
        match wish {
            Wish::Close { at_tip } => {
                let first = if at_tip { at.tip } else { Offset::ZERO };
                let next = Succession { first, suffix: Suffix::MakZst, act };
                let closer = Closer::new(identity("c"), at, next, WriterToken(world.tokens));
                let step = closer.start();
                Self::Closing(Box::new((closer, step)))
            }
            Wish::Skip => {
                let next = at.tip.after();
                let empty = FileMeta {
                    generation: at.generation,
                    records: 0,
                    bytes: 0,
                    gap: Some(Gap { from: at.tip, to: next, reason: GapReason::Skipped }),
                    act: Some(act),
                    ..file(at.tip.get(), next.get(), at.suffix, world.tokens)
                };
                let offered = LocalFile { meta: empty.clone(), too_old: false };
                let action = process.publisher.as_mut().unwrap().offer(offered);
                process.doing = Doing::Publishing(Box::new((empty, action)));
                Self::Skipping(Box::new(process))
            }
        }
    }
}

/// How often the operator may begin a new chain: each takes a while to fill.
const CLOSES: usize = 3;

/// Runs a schedule; three writers, of which one has other settings, and the operator.
fn run(schedule: &[u8], suffixes: [Suffix; 3]) -> World {
    let mut world = World::default();
    let mut writers: Vec<_> = suffixes.iter().map(|s| Process::start(*s, None)).collect();
    let mut command = Command::Done;
    let mut closes = 0;
    for byte in schedule {
        let who = usize::from(byte % 3);
        let fault = match byte / 3 % 8 {
            0 => Fault::AnswerLost,
            1 => Fault::Refused,
            _ => Fault::None,
        };
        let length = u64::from(byte / 24 % 4) + 1;
        match *byte {
            250.. => {
                let hint = writers[who].position().copied();
                writers[who] = Process::start(suffixes[usize::from(byte % 2)], hint);
            }
            240..=242 if closes < CLOSES => {
                closes += 1;
                command = Command::give(Wish::Close { at_tip: *byte != 240 });
            }
            243 => command = Command::give(Wish::Skip),
            200..250 => command = command.step(&mut world, fault),
            _ => writers[who].step(&mut world, fault, length),
        }
        world.assert_one_line_each();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn whatever_the_schedule_the_files_of_each_chain_form_one_line(schedule in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut world = run(&schedule, [Suffix::MakGz, Suffix::MakZst, Suffix::MakGz]);
        let mut last = Process::start(Suffix::MakZst, None);
        for _ in 0..300 {
            if last.done(&world) {
                break;
            }
            last.step(&mut world, Fault::None, 3);
        }
        world.assert_one_line_each();
        prop_assert!(last.done(&world));
        let end = world.files(world.last()).last().map(|file| file.range.next().get());
        prop_assert!(end.is_none_or(|end| end == END));
    }
}

#[test]
fn a_writer_of_another_layout_neither_seals_nor_writes() {
    for (theirs, ours) in [(Suffix::KafkaStore, Suffix::MakGz), (Suffix::Avro, Suffix::KafkaStore)]
    {
        let mut world = World::default();
        let mut first = Process::start(theirs, None);
        (0..20).for_each(|_| first.step(&mut world, Fault::None, 4));
        let position = *first.position().unwrap();
        let mut publisher = Publisher::new(identity("c"), position, ours);
        let tip = position.tip.get();
        let offered = LocalFile { meta: file(tip, tip + 3, ours, 99), too_old: false };
        let action = publisher.offer(offered);
        let stop = super::Stop::OtherLayout { found: theirs };
        assert!(matches!(&action, Action::Stop(found) if *found == stop), "{action:?}");
    }
}

#[test]
fn a_second_cluster_is_refused_at_the_record_and_at_a_file() {
    let mut world = World::default();
    let mut first = Process::start(Suffix::Mak, None);
    (0..20).for_each(|_| first.step(&mut world, Fault::None, 4));
    for hint in [None, Some(*first.position().unwrap())] {
        let hints = Hints { seen: hint, committed: None };
        let mut locator = Locator::new(identity("other"), hints, None);
        let Step::Ask(ask) = locator.start() else { panic!() };
        let step = locator.feed(world.answer(1, ask, Fault::None));
        assert!(matches!(step, Step::Done(Outcome::Stop(super::Stop::ForeignIdentity(_)))));
    }
}

#[test]
fn an_expired_chain_goes_on_where_the_commit_was() {
    let mut world = World::default();
    let committed =
        Position { tip: at(7), ..Position::behind(&file(3, 7, Suffix::Mak, 1), Totals::default()) };
    let hints = Hints { seen: Some(committed), committed: Some(committed) };
    let mut locator =
        Locator::new(identity("c"), hints, Some(Genesis::new(Offset::ZERO, Suffix::MakGz)));
    let mut step = locator.start();
    let found = loop {
        match step {
            Step::Ask(ask) => step = locator.feed(world.answer(1, ask, Fault::None)),
            Step::Done(outcome) => break outcome,
        }
    };
    let Outcome::Found(position) = found else { panic!("{found:?}") };
    assert_eq!((position.tip, position.suffix), (at(7), Suffix::Mak));
    assert!(world.records.contains_key(&1), "the identity record was created again");
}
