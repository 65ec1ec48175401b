//! What comes out of a partition: every field, ends, markers, and what is reported instead.

use std::time::Instant;

use kafkatos3::kafka::producer::{Outgoing, Producer};
use kafkatos3::kafka::{Admin, Batch, Code, Consumer, Part, PartitionEvent, Spec, Start};
use kafkatos3::types::{Isolation, Timestamp, TimestampType};
use rdkafka::admin::AdminOptions;
use rdkafka::producer::Producer as _;

use super::{
    Copied, Ground, MOMENT, PATIENCE, assign, at, offsets, plain, read_to_event, wait_for,
};

type Header<'a> = (&'a [u8], Option<&'a [u8]>);
/// Key, value, headers.
type Fields<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [Header<'a>]);

#[test]
fn every_field_comes_back_as_it_was_written() {
    let Some(ground) = Ground::new("odd") else { return };
    ground.create(1, &[]);
    let topic = ground.topic();
    let odd: &[Header<'_>] = &[
        (b"a", Some(b"1")),
        (b"a", Some(b"")),
        (b"a", None),
        (b"", Some(b"no name")),
        (b"\xff\xfe", Some(b"\0\x80")),
        (b"n\0ul", Some(b"x")),
        (b"n\0ull", None),
        ("größe".as_bytes(), Some(b"utf-8")),
    ];
    let written: [Fields<'_>; 6] = [
        (None, None, &[]),
        (Some(b""), Some(b""), &[]),
        (None, Some(b""), odd),
        (Some(b""), None, &[]),
        (Some(b"\0\xff"), Some(b"\xfe\0"), &odd[..1]),
        (Some(b"k"), Some(b"v"), &[]),
    ];
    let mut producer = Producer::new(&ground.client()).unwrap();
    for (number, (key, value, headers)) in (1_i64..).zip(written) {
        let timestamp = Some(number * 1000);
        let record = Outgoing { key, value, headers, timestamp, ..plain(&topic, 0) };
        producer.send(&record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();

    let mut consumer = ground.consumer();
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!(end, PartitionEvent::End { next: at(6) });
    assert_eq!(read.len(), written.len());
    for ((number, record), (key, value, headers)) in (1_i64..).zip(&read).zip(written) {
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let kind = TimestampType::Create;
        let expected = Copied {
            offset: number.cast_unsigned() - 1,
            key: own(key),
            value: own(value),
            headers: headers.iter().map(|(n, v)| (n.to_vec(), own(*v))).collect(),
            timestamp: Some(Timestamp { millis: number * 1000, kind }),
        };
        assert_eq!(*record, expected);
    }
    assert!(consumer.close(PATIENCE));
}

#[test]
fn timestamps_of_the_broker_are_told_apart() {
    let Some(ground) = Ground::new("appendtime") else { return };
    ground.create(1, &[("message.timestamp.type", "LogAppendTime")]);
    ground.produce(0, 0..3);
    let mut consumer = ground.consumer();
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (read, _) = read_to_event(&mut consumer, slot);
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(|r| r.timestamp.unwrap().kind == TimestampType::LogAppend));
}

#[test]
fn the_end_lies_behind_markers_and_before_open_transactions() {
    let Some(ground) = Ground::new("markers") else { return };
    ground.create(1, &[]);
    let mut consumer = ground.consumer();
    let producer = ground.transactional();

    ground.transact(&producer, 3);
    producer.commit_transaction(PATIENCE).unwrap();
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!((offsets(&read), end), (vec![0, 1, 2], PartitionEvent::End { next: at(4) }));

    ground.transact(&producer, 3);
    producer.abort_transaction(PATIENCE).unwrap();
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!((offsets(&read), end), (vec![], PartitionEvent::End { next: at(8) }));

    ground.transact(&producer, 3);
    let wanted = [(ground.partition(0), Spec::Latest), (ground.partition(0), Spec::Earliest)];
    let admin = consumer.admin();
    let ends = |isolation| {
        let found = admin.list_offsets(&wanted, isolation, PATIENCE).unwrap();
        found.into_iter().map(|(_, offset)| offset.unwrap().get()).collect::<Vec<_>>()
    };
    assert_eq!(ends(Isolation::ReadCommitted), [8, 0]);
    assert_eq!(ends(Isolation::ReadUncommitted), [11, 0]);
    producer.commit_transaction(PATIENCE).unwrap();
    let (read, end) = read_to_event(&mut consumer, slot);
    assert_eq!((offsets(&read), end), (vec![8, 9, 10], PartitionEvent::End { next: at(12) }));
    assert_eq!(ends(Isolation::ReadCommitted), [12, 0]);
    assert_eq!(consumer.high_watermark(&ground.partition(0)), Some(at(12)));
}

#[test]
fn moving_a_partition_loses_and_repeats_nothing() {
    let Some(ground) = Ground::new("move") else { return };
    ground.create(1, &[]);
    ground.produce(0, 0..30_000);
    let mut consumer = ground.consumer();
    let mut batch = Batch::with_capacity(500);
    for offset in [0, 20_000, 5, 29_999, 100, 100, 30_000, 1, 15_000, 0] {
        let slot = assign(&mut consumer, ground.start(0, offset));
        // Leave something in the queue sometimes.
        if offset % 2 == 1 {
            let (read, end) = read_to_event(&mut consumer, slot);
            assert_eq!(offsets(&read), (offset..30_000).collect::<Vec<_>>());
            assert_eq!(end, PartitionEvent::End { next: at(30_000) });
        } else if offset < 30_000 {
            let deadline = Instant::now() + PATIENCE;
            while consumer.take(&mut batch, MOMENT) == 0 && Instant::now() < deadline {}
            let Some(Part::Run(run)) = batch.parts().next() else { panic!("no records") };
            assert_eq!(run.slot(), slot);
            assert_eq!(run.messages().next().unwrap().offset(), at(offset));
        }
    }
}

#[test]
fn a_position_that_was_deleted_is_reported() {
    let Some(ground) = Ground::new("deleted") else { return };
    ground.create(1, &[]);
    ground.produce(0, 0..100);
    let mut gone = rdkafka::TopicPartitionList::new();
    gone.add_partition_offset(&ground.name, 0, rdkafka::Offset::Offset(40)).unwrap();
    wait_for(ground.admin().delete_records(&gone, &AdminOptions::new())).unwrap();

    let mut consumer = ground.consumer();
    for outside in [10, 200] {
        let slot = assign(&mut consumer, ground.start(0, outside));
        let (read, event) = read_to_event(&mut consumer, slot);
        assert!(read.is_empty());
        let PartitionEvent::OutOfRange { at: position, .. } = event else { panic!("{event:?}") };
        assert_eq!(position, Some(at(outside)));
    }
    let earliest = [(ground.partition(0), Spec::Earliest)];
    let admin = Admin::new(&ground.client()).unwrap();
    let found = admin.list_offsets(&earliest, Isolation::ReadCommitted, PATIENCE).unwrap();
    assert_eq!(found[0].1, Ok(at(40)));
    let slot = assign(&mut consumer, ground.start(0, 40));
    let (read, _) = read_to_event(&mut consumer, slot);
    assert_eq!(offsets(&read), (40..100).collect::<Vec<_>>());
}

#[test]
fn a_log_of_another_epoch_is_reported() {
    let Some(ground) = Ground::new("epoch") else { return };
    ground.create(1, &[]);
    ground.produce(0, 0..100);
    let mut consumer = ground.consumer();
    let foreign = Start { leader_epoch: Some(7), ..ground.start(0, 50) };
    let slot = assign(&mut consumer, foreign);
    let (read, event) = read_to_event(&mut consumer, slot);
    assert!(read.is_empty(), "records were delivered before the epoch was checked");
    assert!(matches!(event, PartitionEvent::Truncated { .. }), "{event:?}");
    let right = Start { leader_epoch: Some(0), ..ground.start(0, 50) };
    let slot = assign(&mut consumer, right);
    let (read, _) = read_to_event(&mut consumer, slot);
    assert_eq!(offsets(&read), (50..100).collect::<Vec<_>>());
}

#[test]
fn a_deleted_topic_is_reported() {
    let Some(ground) = Ground::new("vanish") else { return };
    ground.create(1, &[]);
    ground.produce(0, 0..10);
    let mut settings = ground.settings();
    settings.client.extra.push(("topic.metadata.refresh.interval.ms".into(), "1000".into()));
    settings.client.extra.push(("topic.metadata.propagation.max.ms".into(), "1000".into()));
    let mut consumer = Consumer::new(&settings).unwrap();
    let slot = assign(&mut consumer, ground.start(0, 0));
    let (_, end) = read_to_event(&mut consumer, slot);
    assert_eq!(end, PartitionEvent::End { next: at(10) });
    let admin = consumer.admin();
    let [(_, id)] = &admin.topic_ids(&[ground.topic()], PATIENCE).unwrap()[..] else { panic!() };
    assert!(!id.as_ref().unwrap().is_unknown());
    wait_for(ground.admin().delete_topics(&[&ground.name], &AdminOptions::new())).unwrap();
    let (_, event) = read_to_event(&mut consumer, slot);
    assert!(matches!(event, PartitionEvent::Gone { .. }), "{event:?}");
    let ids = admin.topic_ids(&[ground.topic()], PATIENCE).unwrap();
    assert_eq!(ids[0].1.as_ref().unwrap_err().code(), Some(Code::UNKNOWN_TOPIC_OR_PART));
}
