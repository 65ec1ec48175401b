//! What stands in a store beside the records: identity records, objects' metadata, notes of
//! commits; and the machines of the chain on answers that a hostile store could give.
//!
//! Each line of the input is one JSON text.

use kafkatos3::chain::locate::{Answer, Ask, Genesis, Hints, Locator, Step};
use kafkatos3::chain::publish::{Action, LocalFile, Publisher};
use kafkatos3::chain::succession::{Next, Search};
use kafkatos3::chain::{CommitNote, Position, Seen, Slot};
use kafkatos3::meta::{ChainRecord, FileMeta, Identity, MetaMap, ObjectMeta};
use kafkatos3::types::Suffix;

/// More questions than any machine asks of a store that holds nothing more.
const ENOUGH: usize = 100;

/// Reads every line as everything, then lets the machines meet all of it.
pub fn run(data: &[u8]) {
    let mut store = Store::default();
    for line in data.split(|byte| *byte == b'\n') {
        store.records.extend(record(line));
        store.notes.extend(note(line));
        store.objects.extend(object(line));
    }
    let identities = store.objects.iter().map(ObjectMeta::identity);
    let identity = identities.chain(store.records.iter().map(|r| &r.identity)).next().cloned();
    if let Some(identity) = identity {
        locate(&store, &identity);
        search(&store, &identity);
        publish(&store, &identity);
    }
}

fn record(line: &[u8]) -> Option<ChainRecord> {
    let record: ChainRecord = serde_json::from_slice(line).ok()?;
    let printed = serde_json::to_string(&record).expect("it prints");
    let again: ChainRecord = serde_json::from_str(&printed).expect("it was printed");
    assert_eq!(serde_json::to_string(&again).expect("it prints"), printed);
    assert_eq!(record.identity.disagreement(&again.identity), None);
    Some(record)
}

fn note(line: &[u8]) -> Option<Position> {
    let note = CommitNote::parse(line)?;
    let printed = note.to_text();
    assert!(printed.len() < 1000, "brokers take 4096 bytes");
    assert_eq!(CommitNote::parse(printed.as_bytes()), Some(note));
    Some(note.position)
}

fn object(line: &[u8]) -> Option<ObjectMeta> {
    let map: MetaMap = serde_json::from_slice(line).ok()?;
    let meta = match ObjectMeta::from_map(&map) {
        Ok(meta) => meta,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let printed = meta.to_map();
    let again = ObjectMeta::from_map(&printed).expect("it was printed");
    assert_eq!(again.to_map(), printed);
    Some(meta)
}

/// Hands out what it has, whatever it is asked for; then it is empty.
#[derive(Default, Clone)]
struct Store {
    records: Vec<ChainRecord>,
    notes: Vec<Position>,
    objects: Vec<ObjectMeta>,
    answers: usize,
}

fn slot_of(meta: &ObjectMeta) -> Slot {
    match meta {
        ObjectMeta::File(file) => Slot { start: file.range.start(), suffix: file.suffix },
        ObjectMeta::Seal(seal) => Slot { start: seal.at, suffix: seal.suffix },
        ObjectMeta::Close(close) => Slot { start: close.at, suffix: close.suffix },
    }
}

impl Store {
    fn hints(&self) -> Hints {
        Hints::of(self.notes.first().copied(), self.notes.get(1).copied())
    }

    fn seen(&mut self, slot: Slot) -> Seen {
        // What stands there, if anything, else just anything.
        let place = self.objects.iter().position(|meta| slot_of(meta) == slot).unwrap_or(0);
        if place < self.objects.len() {
            Seen::Ours(Box::new(self.objects.remove(place)))
        } else {
            Seen::Absent
        }
    }

    fn answer(&mut self, ask: &Ask) -> Answer {
        self.answers += 1;
        assert!(self.answers < ENOUGH, "it asks for ever: {ask:?}");
        match ask {
            Ask::Record if self.records.is_empty() && self.answers % 2 == 1 => {
                Answer::Unreadable("it is no JSON".to_owned())
            }
            Ask::Record => Answer::Record(self.records.pop()),
            Ask::CreateRecord(_) => Answer::Created(self.records.is_empty()),
            Ask::List => Answer::Listed(self.objects.iter().map(slot_of).collect()),
            Ask::Head(slot) => Answer::Head(self.seen(*slot)),
        }
    }
}

fn genesis(store: &Store) -> Option<Genesis> {
    store.records.first().map(|record| Genesis {
        first: record.first,
        suffix: record.suffix,
        follows: record.follows.clone(),
    })
}

/// Bounded, for the number of answers is.
fn few(store: &Store) -> Store {
    let mut few = store.clone();
    few.objects.truncate(20);
    few.records.truncate(20);
    few
}

fn locate(store: &Store, identity: &Identity) {
    let mut store = few(store);
    let mut locator = Locator::new(identity.clone(), store.hints(), genesis(&store));
    let mut step = locator.start();
    while let Step::Ask(ask) = step {
        step = locator.feed(store.answer(&ask));
    }
}

fn search(store: &Store, identity: &Identity) {
    for new_chains in [false, true] {
        let mut store = few(store);
        let hints = store.hints();
        let mut search = Search::new(identity.clone(), hints, genesis(&store), new_chains);
        let mut next = search.start();
        while let Next::Ask(question) = next {
            next = search.feed(store.answer(&question.ask));
        }
    }
}

fn publish(store: &Store, identity: &Identity) {
    let mut store = few(store);
    let files = store.objects.iter().filter_map(|meta| match meta {
        ObjectMeta::File(file) => Some(file.clone()),
        ObjectMeta::Seal(_) | ObjectMeta::Close(_) => None,
    });
    let files: Vec<FileMeta> = files.collect();
    let Some(first) = files.first() else { return };
    let begin = Position::genesis(first.range.start(), Suffix::MakGz);
    let at = store.notes.first().copied().unwrap_or(begin);
    let mut publisher = Publisher::new(identity.clone(), at, Suffix::MakZst);
    for meta in files {
        let mut action = publisher.offer(LocalFile { meta, too_old: false });
        for asked in 0.. {
            assert!(asked < ENOUGH, "it asks for ever: {action:?}");
            action = match action {
                Action::Put { .. } => publisher.created(false),
                Action::PutSeal(_) => publisher.created(asked % 2 == 1),
                Action::Head(slot) => publisher.seen(store.seen(slot)),
                _ => break,
            };
        }
    }
}
