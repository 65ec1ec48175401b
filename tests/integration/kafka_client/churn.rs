//! Members of a group that come and go while records are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kafkatos3::kafka::{Batch, Consumer, Event, Part, PartitionEvent, Start};
use kafkatos3::types::{Offset, TopicPartition};

use super::{Ground, PATIENCE, at};

/// A member of a group in a thread of its own, which starts each partition where `tips` says,
/// as the archive's consumers do.
struct Member {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
    owned: Owned,
}

/// Next offset per partition, and every offset that was read, with how often.
#[derive(Default)]
struct Tips {
    next: BTreeMap<TopicPartition, u64>,
    read: BTreeMap<(TopicPartition, u64), usize>,
}

type Owned = Arc<Mutex<BTreeSet<TopicPartition>>>;

impl Member {
    fn join(ground: &Ground, tips: &Arc<Mutex<Tips>>, delay: Duration) -> Self {
        let mut consumer = ground.consumer();
        consumer.subscribe(&[ground.topic()]).unwrap();
        let (stop, owned) = (Arc::<AtomicBool>::default(), Owned::default());
        let thread = std::thread::spawn({
            let (stop, owned, tips) = (Arc::clone(&stop), Arc::clone(&owned), Arc::clone(tips));
            move || {
                let mut pending: Vec<(Instant, TopicPartition)> = Vec::new();
                let mut batch = Batch::with_capacity(200);
                while !stop.load(Ordering::Relaxed) {
                    for event in consumer.events(Duration::ZERO).unwrap() {
                        on_event(event, &owned, &mut pending, delay);
                    }
                    start_due(&mut consumer, &mut pending, &tips);
                    consumer.take(&mut batch, Duration::from_millis(20));
                    note(&consumer, &batch, &tips);
                }
                assert!(consumer.close(PATIENCE));
                owned.lock().unwrap().clear();
            }
        });
        Self { stop, thread, owned }
    }

    fn leave(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn on_event(
    event: Event,
    owned: &Owned,
    pending: &mut Vec<(Instant, TopicPartition)>,
    delay: Duration,
) {
    let mut owned = owned.lock().unwrap();
    match event {
        Event::Assigned(partitions) => {
            for partition in partitions {
                assert!(owned.insert(partition.clone()), "assigned twice: {partition}");
                pending.push((Instant::now() + delay, partition));
            }
        }
        Event::Revoked { partitions, lost } => {
            assert!(!lost);
            for partition in &partitions {
                assert!(owned.remove(partition), "revoked without being ours: {partition}");
            }
            pending.retain(|(_, partition)| !partitions.contains(partition));
        }
        _ => {}
    }
}

/// Starts what has waited long enough for its tip.
fn start_due(
    consumer: &mut Consumer,
    pending: &mut Vec<(Instant, TopicPartition)>,
    tips: &Mutex<Tips>,
) {
    let now = Instant::now();
    let due: Vec<_> = pending.extract_if(.., |(when, _)| *when <= now).collect();
    if due.is_empty() {
        return;
    }
    let next = &tips.lock().unwrap().next;
    let start = |partition: TopicPartition| {
        let offset = at(next.get(&partition).copied().unwrap_or(0));
        Start { partition, offset, leader_epoch: (offset > Offset::ZERO).then_some(0) }
    };
    let starts: Vec<Start> = due.into_iter().map(|(_, partition)| start(partition)).collect();
    assert!(consumer.assign(&starts).unwrap().iter().all(Option::is_some));
}

fn note(consumer: &Consumer, batch: &Batch, tips: &Mutex<Tips>) {
    let mut tips = tips.lock().unwrap();
    for part in batch.parts() {
        match part {
            Part::Run(run) => {
                let partition = consumer.partition(run.slot()).unwrap();
                for message in run.messages() {
                    let offset = message.offset().get();
                    tips.next.insert(partition.clone(), offset + 1);
                    *tips.read.entry((partition.clone(), offset)).or_default() += 1;
                }
            }
            Part::Event(_, PartitionEvent::End { .. }) => {}
            Part::Event(_, event) => panic!("{event:?}"),
        }
    }
}

/// Waits until `members` own all partitions together, each once.
fn settle(members: &[&Member], partitions: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let owned: Vec<_> = members.iter().map(|m| m.owned.lock().unwrap().clone()).collect();
        let all: BTreeSet<_> = owned.iter().flatten().collect();
        let sum: usize = owned.iter().map(BTreeSet::len).sum();
        let even = owned.iter().all(|o| o.len() >= partitions / members.len());
        if all.len() == partitions && sum == partitions && even {
            return;
        }
        assert!(Instant::now() < deadline, "who has what: {owned:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until exactly `count` records per partition were read, each once.
fn all_read(tips: &Mutex<Tips>, partitions: usize, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while tips.lock().unwrap().read.len() < partitions * count {
        if Instant::now() >= deadline {
            let tips = tips.lock().unwrap();
            panic!("{} of {}; {:?}", tips.read.len(), partitions * count, tips.next);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let tips = tips.lock().unwrap();
    assert_eq!(tips.read.len(), partitions * count);
    let twice: Vec<_> = tips.read.iter().filter(|(_, times)| **times != 1).take(5).collect();
    assert!(twice.is_empty(), "read more than once: {twice:?}");
}

#[test]
fn members_come_and_go_and_every_record_is_read_once() {
    const PARTITIONS: usize = 6;
    let Some(ground) = Ground::new("rebalance") else { return };
    ground.create(6, &[]);
    let ground = Arc::new(ground);
    let tips = Arc::<Mutex<Tips>>::default();
    let join = |delay| Member::join(&ground, &tips, Duration::from_millis(delay));

    // Records keep coming all the while.
    let count = Arc::<AtomicU64>::default();
    let enough = Arc::<AtomicBool>::default();
    let writer = std::thread::spawn({
        let (ground, count, enough) =
            (Arc::clone(&ground), Arc::clone(&count), Arc::clone(&enough));
        move || {
            while !enough.load(Ordering::Relaxed) {
                for partition in 0..6 {
                    ground.produce(partition, 0..50);
                }
                count.fetch_add(50, Ordering::Relaxed);
            }
        }
    });
    let first = join(0);
    settle(&[&first], PARTITIONS);
    for round in 0..3 {
        let second = join(round * 150);
        settle(&[&first, &second], PARTITIONS);
        let third = join(0);
        settle(&[&first, &second, &third], PARTITIONS);
        second.leave();
        settle(&[&first, &third], PARTITIONS);
        third.leave();
        settle(&[&first], PARTITIONS);
    }
    enough.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    let count = usize::try_from(count.load(Ordering::Relaxed)).unwrap();
    all_read(&tips, PARTITIONS, count);
    first.leave();
}

#[test]
fn the_record_behind_an_end_is_read_after_a_rebalance() {
    const PARTITIONS: usize = 4;
    let Some(ground) = Ground::new("idle") else { return };
    ground.create(4, &[]);
    let tips = Arc::<Mutex<Tips>>::default();
    let produce = || (0..4).for_each(|partition| ground.produce(partition, 0..1));
    produce();
    let first = Member::join(&ground, &tips, Duration::ZERO);
    all_read(&tips, PARTITIONS, 1);
    for round in 0..3 {
        // Long enough for every partition to come to its end.
        std::thread::sleep(Duration::from_millis(600));
        let second = Member::join(&ground, &tips, Duration::ZERO);
        settle(&[&first, &second], PARTITIONS);
        produce();
        all_read(&tips, PARTITIONS, 2 * round + 2);
        std::thread::sleep(Duration::from_millis(600));
        second.leave();
        settle(&[&first], PARTITIONS);
        produce();
        all_read(&tips, PARTITIONS, 2 * round + 3);
    }
    first.leave();
}
