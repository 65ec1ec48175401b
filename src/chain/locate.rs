//! Finds a chain's tip in the store, and begins the chain where there is none.
//!
//! Pure. From the cheapest evidence to the dearest: a hint (last commit, `tips/`) is checked by
//! one `HEAD` of the last file; then the predictable name is asked for until it is absent;
//! without a usable hint the identity record is read and the partition's folder is listed.

use super::{Position, Seen, Slot, Stop};
use crate::meta::{ChainRecord, CloseMeta, Follows, Identity, ObjectMeta, Totals};
use crate::types::{Offset, Suffix};

/// After so many files in a row behind the hint, a listing is cheaper.
const WALK_LIMIT: u32 = 16;

/// What is asked of the store next.
#[derive(Debug, Clone)]
pub enum Ask {
    /// `GET chain.json`.
    Record,
    /// Create `chain.json` if it is absent.
    CreateRecord(ChainRecord),
    /// `HEAD` of one object.
    Head(Slot),
    /// All data names of the partition.
    List,
}

/// What the store said. Failures never come here: the shell asks again until it knows.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To [`Ask::Record`]: its content, or that there is none.
    Record(Option<ChainRecord>),
    /// To [`Ask::Record`]: it does not read, and why.
    Unreadable(String),
    /// To [`Ask::CreateRecord`]: whether it was certainly created by this very call.
    Created(bool),
    /// To [`Ask::Head`].
    Head(Seen),
    /// To [`Ask::List`]: in any order.
    Listed(Vec<Slot>),
}

/// How a search ended.
#[derive(Debug, Clone, Hash)]
pub enum Outcome {
    /// The chain ends here.
    Found(Position),
    /// The chain was closed; the topic's next one goes on.
    Closed(Box<CloseMeta>),
    /// There is no chain, and the caller did not offer to begin one.
    NoChain,
    /// The partition can't be archived here.
    Stop(Stop),
}

/// The next step of a search.
#[derive(Debug)]
pub enum Step {
    /// Ask this, and feed the answer.
    Ask(Ask),
    /// Done.
    Done(Outcome),
}

/// Where and how a chain begins that is not there yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Genesis {
    /// Start of its first file.
    pub first: Offset,
    /// How its first file's name ends.
    pub suffix: Suffix,
    /// The chain before it, if an operator began this one.
    pub follows: Option<Follows>,
}

impl Genesis {
    /// The beginning of a topic's first chain.
    #[must_use]
    pub const fn new(first: Offset, suffix: Suffix) -> Self {
        Self { first, suffix, follows: None }
    }
}

/// What is known before the store is asked.
#[derive(Debug, Clone, Default, Hash)]
pub struct Hints {
    /// A position that somebody saw once; it is checked before use.
    pub seen: Option<Position>,
    /// The position in a committed offset with our metadata: proof that the chain existed, even
    /// if every object of it has expired since.
    pub committed: Option<Position>,
}

impl Hints {
    /// What a consumer goes by: the position `noted` in the group's commit, and the one that
    /// its spool has; whichever is further.
    #[must_use]
    pub fn of(noted: Option<Position>, local: Option<Position>) -> Self {
        let seen = match (noted, local) {
            (Some(a), Some(b)) if b.is_ahead_of(&a) => Some(b),
            (one, other) => one.or(other),
        };
        Self { seen, committed: noted }
    }
}

#[derive(Debug, Clone, Hash)]
enum State {
    CheckHint { slot: Slot },
    Walk { at: Position, steps: u32 },
    ReadRecord,
    List,
    Highest { slot: Slot, others: Vec<Slot>, seal: Option<Position> },
    CreateRecord { record: ChainRecord, then: Position },
}

/// One search for the tip of one chain.
#[derive(Debug, Clone, Hash)]
pub struct Locator {
    identity: Identity,
    hints: Hints,
    /// Where and how to begin a chain, if there is none; `None` never begins one.
    genesis: Option<Genesis>,
    generation: u32,
    record: Option<ChainRecord>,
    state: State,
}

impl Locator {
    /// A search for the chain of `identity`.
    ///
    /// `genesis` is where to begin and how to name, if nothing is there; consumers give it,
    /// uploaders don't.
    #[must_use]
    pub fn new(identity: Identity, hints: Hints, genesis: Option<Genesis>) -> Self {
        // Behind a seal the last file's own suffix is not known: such a hint is of no use.
        let last_file = hints
            .seen
            .filter(|hint| !hint.sealed)
            .and_then(|hint| hint.last_start.map(|start| Slot { start, suffix: hint.suffix }));
        let state = last_file.map_or(State::ReadRecord, |slot| State::CheckHint { slot });
        Self { identity, hints, genesis, generation: 1, record: None, state }
    }

    /// The same in the topic's chain number `generation`; the hints have to be of that chain.
    #[must_use]
    pub fn in_generation(self, generation: u32) -> Self {
        Self { generation, ..self }
    }

    /// What to ask first.
    pub fn start(&self) -> Step {
        self.ask()
    }

    fn ask(&self) -> Step {
        Step::Ask(match &self.state {
            State::Walk { at, .. } => Ask::Head(at.slot()),
            State::ReadRecord => Ask::Record,
            State::List => Ask::List,
            State::CheckHint { slot } | State::Highest { slot, .. } => Ask::Head(*slot),
            State::CreateRecord { record, .. } => Ask::CreateRecord(record.clone()),
        })
    }

    /// Takes the answer to the last question. An answer of another kind asks again.
    pub fn feed(&mut self, answer: Answer) -> Step {
        let state = std::mem::replace(&mut self.state, State::ReadRecord);
        match (state, answer) {
            (State::CheckHint { slot }, Answer::Head(seen)) => self.hint_checked(slot, seen),
            (State::Walk { at, steps }, Answer::Head(seen)) => self.walked(at, steps, seen),
            (State::ReadRecord, Answer::Record(record)) => self.record_read(record),
            (State::ReadRecord, Answer::Unreadable(what)) => {
                Self::stop(Stop::ForeignObject { slot: None, what })
            }
            (State::List, Answer::Listed(slots)) => self.listed(slots),
            (State::Highest { slot, others, seal }, Answer::Head(seen)) => {
                self.highest(slot, others, seal, seen)
            }
            (State::CreateRecord { then, .. }, Answer::Created(certain)) => {
                self.record_created(then, certain)
            }
            (state, _) => {
                self.state = state;
                self.ask()
            }
        }
    }

    fn go(&mut self, state: State) -> Step {
        self.state = state;
        self.ask()
    }

    fn stop(what: Stop) -> Step {
        Step::Done(Outcome::Stop(what))
    }

    /// The object as one of this chain, or why the partition stops.
    fn own(&self, slot: Slot, seen: Seen) -> Result<Option<Box<ObjectMeta>>, Stop> {
        match seen {
            Seen::Absent => Ok(None),
            Seen::Foreign(what) => Err(Stop::ForeignObject { slot: Some(slot), what }),
            Seen::Ours(meta) => own_object(&self.identity, slot, meta).map(Some),
        }
    }

    fn hint_checked(&mut self, slot: Slot, seen: Seen) -> Step {
        match self.own(slot, seen).map(|meta| meta.map(|meta| *meta)) {
            Err(stop) => Self::stop(stop),
            Ok(Some(ObjectMeta::File(file))) => {
                self.go(State::Walk { at: Position::behind(&file, Totals::default()), steps: 0 })
            }
            Ok(Some(ObjectMeta::Seal(_) | ObjectMeta::Close(_)) | None) => {
                self.go(State::ReadRecord)
            }
        }
    }

    fn walked(&mut self, at: Position, steps: u32, seen: Seen) -> Step {
        let meta = match self.own(at.slot(), seen) {
            Err(stop) => return Self::stop(stop),
            Ok(None) => {
                let configured = self.genesis.as_ref().map(|genesis| genesis.suffix);
                if let Some(stop) = configured.and_then(|suffix| other_layout(suffix, at.suffix)) {
                    return Self::stop(stop);
                }
                let at = Position { generation: self.generation, ..at };
                return Step::Done(Outcome::Found(at));
            }
            Ok(Some(meta)) => meta,
        };
        let at = match *meta {
            ObjectMeta::File(file) => Position::behind(&file, at.totals),
            ObjectMeta::Seal(seal) => at.through(&seal),
            ObjectMeta::Close(close) => return Step::Done(Outcome::Closed(Box::new(close))),
        };
        // Counted once: behind a listing there is nothing left but what is being written now.
        if steps == WALK_LIMIT {
            self.go(State::ReadRecord)
        } else {
            self.go(State::Walk { at, steps: steps.saturating_add(1) })
        }
    }

    fn record_read(&mut self, record: Option<ChainRecord>) -> Step {
        if let Some(stop) = record.as_ref().and_then(|found| stop_at(&self.identity, found)) {
            return Self::stop(stop);
        }
        self.record = record;
        self.go(State::List)
    }

    fn listed(&mut self, mut slots: Vec<Slot>) -> Step {
        let kafka_store = self.is_kafka_store();
        let (own, others): (Vec<_>, Vec<_>) =
            slots.into_iter().partition(|slot| slot.suffix.is_kafka_store() == kafka_store);
        slots = own;
        if slots.is_empty() && self.record.is_none() && self.genesis.is_some() {
            // Without its record, whose they are is only told by themselves.
            slots = others;
        }
        let Some(highest) = slots.iter().map(|slot| slot.start).max() else {
            return self.nothing_listed();
        };
        let candidates = slots.into_iter().filter(|slot| slot.start == highest).collect();
        self.next_candidate(candidates, None)
    }

    /// Whether the chain's names are kafka_store's, as far as is known.
    fn is_kafka_store(&self) -> bool {
        let record = self.record.as_ref().map(|record| record.suffix);
        let committed = self.hints.committed.map(|at| at.suffix);
        let configured = self.genesis.as_ref().map(|genesis| genesis.suffix);
        record.or(committed).or(configured).is_some_and(Suffix::is_kafka_store)
    }

    /// No files: not begun, or all expired.
    fn nothing_listed(&mut self) -> Step {
        let expired = self.hints.committed.map(|at| Position { last_start: None, ..at });
        match (&self.record, expired, &self.genesis) {
            (Some(record), Some(at), _) if at.tip > record.first => self.walk_listed(at),
            (Some(record), ..) => self.walk_listed(Position::genesis(record.first, record.suffix)),
            (None, Some(at), _) => self.create_record(at),
            (None, None, Some(begin)) => {
                self.create_record(Position::genesis(begin.first, begin.suffix))
            }
            (None, None, None) => Step::Done(Outcome::NoChain),
        }
    }

    /// Walks on from a listing, which is not repeated.
    fn walk_listed(&mut self, at: Position) -> Step {
        self.go(State::Walk { at, steps: WALK_LIMIT + 1 })
    }

    /// The identity record is missing: creates it, then goes on at `then`.
    fn create_record(&mut self, then: Position) -> Step {
        let Position { first, suffix, .. } = then;
        let follows = self.genesis.as_ref().and_then(|genesis| genesis.follows.clone());
        let identity = self.identity.clone();
        let record = ChainRecord { layout: 1, identity, first, suffix, follows };
        self.go(State::CreateRecord { record, then })
    }

    /// Unless it was certainly this call that created it, what stands there now decides.
    fn record_created(&mut self, then: Position, certain: bool) -> Step {
        if certain { self.walk_listed(then) } else { self.go(State::ReadRecord) }
    }

    /// At the highest start stands a file, a seal, or both.
    fn highest(
        &mut self,
        slot: Slot,
        others: Vec<Slot>,
        seal: Option<Position>,
        seen: Seen,
    ) -> Step {
        match self.own(slot, seen).map(|meta| meta.map(|meta| *meta)) {
            // A file of kafka_store's own, and the chain's names are others.
            Err(Stop::ForeignObject { .. })
                if slot.suffix.is_kafka_store() && !self.is_kafka_store() =>
            {
                self.nothing_listed()
            }
            Err(stop) => Self::stop(stop),
            Ok(Some(ObjectMeta::File(file))) => {
                self.end_known(Position::behind(&file, Totals::default()))
            }
            Ok(Some(ObjectMeta::Seal(found))) => {
                let at = Position {
                    tip: found.at,
                    totals: found.totals,
                    ..Position::genesis(found.first, found.suffix)
                };
                self.next_candidate(others, Some(at.through(&found)))
            }
            Ok(Some(ObjectMeta::Close(close))) => Step::Done(Outcome::Closed(Box::new(close))),
            // Expired between listing and asking.
            Ok(None) => self.next_candidate(others, seal),
        }
    }

    fn next_candidate(&mut self, mut others: Vec<Slot>, seal: Option<Position>) -> Step {
        match (others.pop(), seal) {
            (Some(slot), seal) => self.go(State::Highest { slot, others, seal }),
            (None, Some(at)) => self.end_known(at),
            (None, None) => self.go(State::List),
        }
    }

    fn end_known(&mut self, at: Position) -> Step {
        if self.record.is_none() { self.create_record(at) } else { self.walk_listed(at) }
    }
}

/// Why `record` is not that of a chain of `identity`, if it is not.
pub(crate) fn stop_at(identity: &Identity, record: &ChainRecord) -> Option<Stop> {
    if record.layout != 1 {
        let what = format!("it has layout {}, this version knows 1", record.layout);
        return Some(Stop::ForeignObject { slot: None, what });
    }
    identity.disagreement(&record.identity).map(Stop::ForeignIdentity)
}

/// Why a chain whose names end in `found` can't be written by who is configured for `configured`:
/// nothing leads from kafka_store's names to others, or back, since they may be kafka_store's own.
pub(crate) fn other_layout(configured: Suffix, found: Suffix) -> Option<Stop> {
    let differs = configured.is_kafka_store() != found.is_kafka_store();
    differs.then_some(Stop::OtherLayout { found })
}

/// Checks that an object of ours belongs to `identity` and stands under its own name.
pub(crate) fn own_object(
    identity: &Identity,
    slot: Slot,
    meta: Box<ObjectMeta>,
) -> Result<Box<ObjectMeta>, Stop> {
    if let Some(what) = identity.disagreement(meta.identity()) {
        return Err(Stop::ForeignIdentity(what));
    }
    let own = match &*meta {
        ObjectMeta::File(file) => Slot { start: file.range.start(), suffix: file.suffix },
        ObjectMeta::Seal(seal) => Slot { start: seal.at, suffix: seal.suffix },
        ObjectMeta::Close(close) => Slot { start: close.at, suffix: close.suffix },
    };
    if own == slot {
        Ok(meta)
    } else {
        let what = format!("its metadata says {:020}{}", own.start, own.suffix);
        Err(Stop::ForeignObject { slot: Some(slot), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::FileMeta;
    use crate::types::{Isolation, OffsetRange, Partition, TopicId, TopicName, WriterToken};

    const FILES: u64 = 100_000;
    const LONG: u64 = 10;

    fn at(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn identity() -> Identity {
        Identity {
            cluster_id: "c".to_owned(),
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::UNKNOWN,
            partition: Partition::new(3).unwrap(),
            isolation: Isolation::ReadCommitted,
        }
    }

    /// The file that starts at `start`, in a chain of a great many.
    fn file(start: u64) -> Option<FileMeta> {
        (start.is_multiple_of(LONG) && start < FILES * LONG).then(|| FileMeta {
            identity: identity(),
            generation: 1,
            first: at(0),
            mak: 2,
            plain: false,
            suffix: Suffix::MakGz,
            range: OffsetRange::new(at(start), at(start + LONG)).unwrap(),
            records: LONG,
            bytes: 100,
            times: None,
            gap: None,
            leader_epoch: None,
            writer: WriterToken(start),
            act: None,
            totals: Some(Totals { files: start / LONG + 1, ..Totals::default() }),
        })
    }

    fn answer(ask: &Ask) -> Answer {
        let (first, suffix, follows) = (at(0), Suffix::MakGz, None);
        match ask {
            Ask::Record => {
                let identity = identity();
                Answer::Record(Some(ChainRecord { layout: 1, identity, first, suffix, follows }))
            }
            Ask::Head(slot) => Answer::Head(match file(slot.start.get()) {
                Some(file) => Seen::Ours(Box::new(ObjectMeta::File(file))),
                None => Seen::Absent,
            }),
            Ask::List => {
                Answer::Listed((0..FILES).map(|n| Slot { start: at(n * LONG), suffix }).collect())
            }
            Ask::CreateRecord(_) => panic!("it is there"),
        }
    }

    /// How often the store is asked for objects, and for listings, until the tip is found.
    fn cost(hint: Option<u64>) -> (u32, u32) {
        let seen = hint.and_then(file).map(|file| Position::behind(&file, Totals::default()));
        let mut locator = Locator::new(identity(), Hints { seen, committed: None }, None);
        let (mut heads, mut lists) = (0, 0);
        let mut step = locator.start();
        loop {
            match step {
                Step::Ask(ask) => {
                    lists += u32::from(matches!(ask, Ask::List));
                    heads += u32::from(!matches!(ask, Ask::List));
                    step = locator.feed(answer(&ask));
                }
                Step::Done(Outcome::Found(found)) => {
                    assert_eq!((found.tip, found.totals.files), (at(FILES * LONG), FILES));
                    return (heads, lists);
                }
                Step::Done(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_tip_of_100_000_files_takes_two_requests_or_one_listing() {
        let last = (FILES - 1) * LONG;
        assert_eq!(cost(Some(last)), (2, 0), "the hint is right");
        assert_eq!(cost(Some(last - 3 * LONG)), (5, 0), "three files came since");
        // The record, the last object, and the name behind it.
        assert_eq!(cost(None), (3, 1), "no hint");
        let (heads, lists) = cost(Some(7 * LONG));
        assert_eq!(lists, 1, "a hint of long ago");
        assert!(heads <= WALK_LIMIT + 5, "{heads}");
    }

    /// What a search of somebody configured for `configured` comes to, where the record says
    /// `record` and these are listed: files of ours, or of kafka_store's own.
    fn find(configured: Suffix, record: Option<Suffix>, listed: &[(u64, Suffix, bool)]) -> Outcome {
        let record_of = |suffix| {
            let (identity, first, follows) = (identity(), at(0), None);
            ChainRecord { layout: 1, identity, first, suffix, follows }
        };
        let mut record = record.map(record_of);
        let slot =
            |(start, suffix, _): &(u64, Suffix, bool)| Slot { start: at(*start), suffix: *suffix };
        let genesis = Genesis::new(at(0), configured);
        let mut locator = Locator::new(identity(), Hints::default(), Some(genesis));
        let mut step = locator.start();
        loop {
            let answer = match step {
                Step::Done(outcome) => return outcome,
                Step::Ask(Ask::Record) => Answer::Record(record.clone()),
                Step::Ask(Ask::CreateRecord(new)) => {
                    assert!(record.replace(new).is_none(), "it is there");
                    Answer::Created(true)
                }
                Step::Ask(Ask::List) => Answer::Listed(listed.iter().map(slot).collect()),
                Step::Ask(Ask::Head(asked)) => {
                    let found = listed.iter().find(|one| slot(one) == asked);
                    Answer::Head(match found {
                        None => Seen::Absent,
                        Some((_, _, false)) => Seen::Foreign("no metadata".to_owned()),
                        Some((start, suffix, true)) => {
                            let file = FileMeta { suffix: *suffix, ..file(*start).unwrap() };
                            Seen::Ours(Box::new(ObjectMeta::File(file)))
                        }
                    })
                }
            };
            step = locator.feed(answer);
        }
    }

    #[test]
    fn kafka_stores_own_files_and_a_chain_with_its_names_are_told_apart() {
        use Suffix::{KafkaStore, MakGz};
        let found = |outcome| match outcome {
            Outcome::Found(position) => Ok((position.tip.get(), position.suffix)),
            Outcome::Stop(stop) => Err(stop),
            other => panic!("{other:?}"),
        };
        let its_own = [(0, KafkaStore, false), (500, KafkaStore, false)];
        // They lie beside another chain, or where one begins, and are no part of it.
        let beside = [&its_own[..], &[(0, MakGz, true), (10, MakGz, true)]].concat();
        assert_eq!(found(find(MakGz, Some(MakGz), &beside)), Ok((20, MakGz)));
        assert_eq!(found(find(MakGz, None, &its_own)), Ok((0, MakGz)));
        // Where they would have the chain's names they are in its way.
        for record in [None, Some(KafkaStore)] {
            let stop = found(find(KafkaStore, record, &its_own)).unwrap_err();
            assert!(matches!(stop, Stop::ForeignObject { slot: Some(_), .. }), "{stop:?}");
        }
        let ours = [(0, KafkaStore, true), (10, KafkaStore, true)];
        for record in [None, Some(KafkaStore)] {
            assert_eq!(found(find(KafkaStore, record, &ours)), Ok((20, KafkaStore)));
            // Never a second chain beside the one that is there, and no way from one to the other.
            let other = Err(Stop::OtherLayout { found: KafkaStore });
            assert_eq!(found(find(MakGz, record, &ours)), other);
        }
        for record in [None, Some(MakGz)] {
            let other = Err(Stop::OtherLayout { found: MakGz });
            assert_eq!(found(find(KafkaStore, record, &[(0, MakGz, true)])), other);
        }
    }
}
