//! One member of a group: commits, loss, changes of the subscription, protocols, leaving.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kafkatos3::kafka::{
    Batch, ClientSettings, Commit, Consumer, ConsumerSettings, Event, Fetched, PartitionEvent,
};
use kafkatos3::types::{Isolation, TopicName};

use super::{Ground, MOMENT, PATIENCE, assign, at, offsets, read_to_event};

#[test]
fn commits_keep_their_metadata() {
    let ground = Ground::new("commit");
    ground.create(2, &[]);
    let consumer = ground.consumer();
    let partitions = [ground.partition(0), ground.partition(1)];
    let commit = Commit {
        partition: ground.partition(0),
        offset: at(5),
        leader_epoch: Some(0),
        metadata: "{\"tip\":5,\"größe\":1}".to_owned(),
    };
    consumer.commit_sync(std::slice::from_ref(&commit), PATIENCE).unwrap();
    let group = consumer.group();
    let asked = std::thread::spawn(move || group.committed(&partitions, PATIENCE).unwrap());
    let found = asked.join().unwrap();
    let committed = found[0].1.as_ref().unwrap().as_ref().unwrap();
    assert_eq!((committed.offset, committed.leader_epoch), (at(5), Some(0)));
    assert_eq!(committed.metadata, commit.metadata.as_bytes());
    assert_eq!(found[1].1, Ok(None));
}

#[test]
fn no_broker_is_said_and_closing_comes_to_an_end() {
    let settings = ConsumerSettings {
        client: ClientSettings {
            bootstrap: "127.0.0.1:1".to_owned(),
            client_id: String::new(),
            extra: Vec::new(),
        },
        group: "g".to_owned(),
        group_instance_id: None,
        isolation: Isolation::ReadCommitted,
        fetched: Fetched { bytes: 32 << 20, brokers: 1 },
    };
    let mut consumer = Consumer::new(&settings).unwrap();
    consumer.subscribe(&[TopicName::new("t").unwrap()]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut down = false;
    while !down && Instant::now() < deadline {
        let events = consumer.events(MOMENT).unwrap();
        down = events.iter().any(|event| matches!(event, Event::AllBrokersDown { .. }));
    }
    assert!(down);
    let begun = Instant::now();
    let _ = consumer.close(Duration::from_secs(5));
    assert!(begun.elapsed() < Duration::from_secs(6));
}

/// What happens within `time`, records left aside.
fn events_within(consumer: &mut Consumer, time: Duration) -> Vec<Event> {
    let deadline = Instant::now() + time;
    let mut batch = Batch::with_capacity(100);
    let mut events = Vec::new();
    while Instant::now() < deadline {
        events.extend(consumer.events(Duration::from_millis(20)).unwrap());
        consumer.take(&mut batch, Duration::ZERO);
    }
    events
}

/// The first event that `wanted` picks; those behind it stay in `seen`.
fn wait_for_event(
    consumer: &mut Consumer,
    seen: &mut VecDeque<Event>,
    wanted: impl Fn(&Event) -> bool,
) -> Event {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        while let Some(event) = seen.pop_front() {
            if wanted(&event) {
                return event;
            }
        }
        seen.extend(events_within(consumer, MOMENT));
    }
    panic!("the event did not come");
}

fn assigned(event: &Event, count: usize) -> bool {
    matches!(event, Event::Assigned(all) if all.len() == count)
}

fn revoked(event: &Event) -> bool {
    matches!(event, Event::Revoked { .. })
}

#[test]
fn a_member_that_was_away_too_long_has_lost_its_partitions() {
    let ground = Ground::new("away");
    ground.create(1, &[]);
    ground.produce(0, 0..10);
    let mut settings = ground.settings();
    for key in ["max.poll.interval.ms", "session.timeout.ms"] {
        settings.client.extra.push((key.into(), "6000".into()));
    }
    let mut consumer = Consumer::new(&settings).unwrap();
    let mut seen = VecDeque::new();
    consumer.subscribe(&[ground.topic()]).unwrap();
    wait_for_event(&mut consumer, &mut seen, |event| assigned(event, 1));
    assign(&mut consumer, ground.start(0, 0));
    std::thread::sleep(Duration::from_secs(7));
    let event = wait_for_event(&mut consumer, &mut seen, revoked);
    assert_eq!(event, Event::Revoked { partitions: vec![ground.partition(0)], lost: true });
    assert_eq!(consumer.reading(), 0);
    wait_for_event(&mut consumer, &mut seen, |event| assigned(event, 1));
    let slot = assign(&mut consumer, ground.start(0, 3));
    let (read, _) = read_to_event(&mut consumer, slot);
    assert_eq!(offsets(&read), (3..10).collect::<Vec<_>>());
    assert!(consumer.close(PATIENCE));
}

#[test]
fn what_stays_subscribed_is_read_on() {
    let ground = Ground::new("keep");
    let other = Ground::new("drop");
    ground.create(1, &[]);
    other.create(1, &[]);
    ground.produce(0, 0..5);
    let mut consumer = ground.consumer();
    let mut seen = VecDeque::new();
    consumer.subscribe(&[ground.topic(), other.topic()]).unwrap();
    wait_for_event(&mut consumer, &mut seen, |event| assigned(event, 2));
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!((read.len(), end), (5, PartitionEvent::End { next: at(5) }));
    consumer.assign(&[other.start(0, 0)]).unwrap();

    consumer.subscribe(&[ground.topic()]).unwrap();
    let event = wait_for_event(&mut consumer, &mut seen, revoked);
    assert_eq!(event, Event::Revoked { partitions: vec![other.partition(0)], lost: false });
    wait_for_event(&mut consumer, &mut seen, |event| assigned(event, 0));
    assert_eq!(consumer.position(slot), Some(at(5)));
    assert_eq!(consumer.assign(&[other.start(0, 0)]).unwrap(), [None], "it is not ours");
    ground.produce(0, 5..7);
    let mut all = Vec::new();
    while all.len() < 2 {
        all.extend(offsets(&read_to_event(&mut consumer, slot).0));
    }
    assert_eq!(all, [5, 6]);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let ground = Ground::new("static");
    ground.create(2, &[]);
    let mut settings = ground.settings();
    settings.group_instance_id = Some("one".to_owned());
    for _ in 0..2 {
        let mut consumer = Consumer::new(&settings).unwrap();
        consumer.subscribe(&[ground.topic()]).unwrap();
        let event = wait_for_event(&mut consumer, &mut VecDeque::new(), |e| assigned(e, 2));
        let Event::Assigned(mut partitions) = event else { panic!() };
        partitions.sort();
        assert_eq!(partitions, [ground.partition(0), ground.partition(1)]);
        let starts = [ground.start(0, 0), ground.start(1, 0)];
        assert!(consumer.assign(&starts).unwrap().iter().all(Option::is_some));
        assert!(consumer.close(PATIENCE));
    }
}

#[test]
fn the_brokers_own_protocol_works_as_well() {
    let ground = Ground::new("kip848");
    ground.create(2, &[]);
    ground.produce(0, 0..5);
    let mut settings = ground.settings();
    settings.client.extra.push(("group.protocol".into(), "consumer".into()));
    let mut first = Consumer::new(&settings).unwrap();
    first.subscribe(&[ground.topic()]).unwrap();
    wait_for_event(&mut first, &mut VecDeque::new(), |event| assigned(event, 2));
    let slot = assign(&mut first, ground.start(0, 2));
    let (read, _) = read_to_event(&mut first, slot);
    assert_eq!(offsets(&read), [2, 3, 4]);
    first.assign(&[ground.start(1, 0)]).unwrap();
    let mut second = Consumer::new(&settings).unwrap();
    second.subscribe(&[ground.topic()]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut given = false;
    while !given && Instant::now() < deadline {
        events_within(&mut first, MOMENT);
        let events = events_within(&mut second, MOMENT);
        given = events.iter().any(|event| assigned(event, 1));
    }
    assert!(given);
    assert!(first.close(PATIENCE));
    assert!(second.close(PATIENCE));
}
