//! Bodies that are what their tails say pass; whatever is changed in one does not.

use super::content::{BodyCheck, Content, ContentError};
use crate::codec::{Container, ContainerWriter, FrameInfo, Level};
use crate::mak::v2::{BlockBuilder, Finish, file_prologue, finish_block};
use crate::mak::{FileHeader, Headers, Record, StartTime, v1};
use crate::meta::{FileMeta, Gap, GapReason, Identity, ObjectMeta};
use crate::types::{
    Isolation, Offset, OffsetRange, Partition, Suffix, Timestamp, TimestampType, TopicId,
    TopicName, WriterToken,
};

/// What is changed, and how.
type Alteration = (&'static str, fn(&mut FileMeta));
type Spoil = (&'static str, fn(usize, &mut FrameInfo));

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn range(start: u64, next: u64) -> OffsetRange {
    OffsetRange::new(at(start), at(next)).unwrap()
}

/// A file `[100, 131)`, with a gap up to 103, records at 103, 105, ..., 129, and three frames.
struct Laid {
    header: FileHeader,
    meta: FileMeta,
    /// Records that are laid down although they should not be.
    more: Vec<u64>,
    /// What the index says of each frame is changed by this.
    spoil: fn(usize, &mut FrameInfo),
    leave_out_finish: bool,
}

impl Laid {
    fn new(suffix: Suffix, mak: u8) -> Self {
        let identity = Identity {
            cluster_id: "c".to_owned(),
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::from_halves(1, 2),
            partition: Partition::new(3).unwrap(),
            isolation: Isolation::ReadCommitted,
        };
        let gap = Some(Gap { from: at(100), to: at(103), reason: GapReason::Retention });
        let header = FileHeader {
            identity: identity.clone(),
            start: at(100),
            generation: 2,
            first: at(7),
            start_time: StartTime::from_millis(5),
            gap,
            writer: WriterToken(9),
        };
        let meta = FileMeta {
            identity,
            generation: 2,
            first: at(7),
            mak,
            plain: false,
            suffix,
            range: range(100, 131),
            records: 14,
            bytes: 14 * 8,
            times: Some((1103, 1129)),
            gap,
            leader_epoch: Some(4),
            writer: WriterToken(9),
            act: None,
            totals: None,
        };
        Self { header, meta, more: Vec::new(), spoil: |_, _| {}, leave_out_finish: false }
    }

    /// The body before the tail of `meta`.
    fn container(&self) -> Vec<u8> {
        let level = Level::new(self.meta.suffix, None).unwrap();
        let mut writer = ContainerWriter::new(Vec::new(), level);
        let ranges = [(100, 110), (110, 120), (120, 131)];
        let v1 = v1::Header::from(&self.header);
        for (index, (start, next)) in ranges.into_iter().enumerate() {
            let mut offsets: Vec<u64> =
                (start..next).filter(|offset| *offset >= 103 && offset % 2 == 1).collect();
            offsets.extend(self.more.iter().filter(|offset| (start..next).contains(offset)));
            offsets.sort_unstable();
            let mut raw = match (index, self.meta.mak) {
                (0, 1) => {
                    let mut plan = v1::Plan::new(&v1).unwrap();
                    (103..131)
                        .step_by(2)
                        .for_each(|offset| with(offset, |record| plan.add(record).unwrap()));
                    plan.head()
                }
                (0, _) => file_prologue(&self.header),
                _ => Vec::new(),
            };
            let mut block = BlockBuilder::new(at(start));
            for offset in &offsets {
                if self.meta.mak == 1 {
                    with(*offset, |record| v1::put_record(record, &mut raw));
                } else {
                    with(*offset, |record| block.push(record).unwrap());
                }
            }
            if self.meta.mak != 1 {
                block
                    .finish(at(next))
                    .unwrap()
                    .iter()
                    .for_each(|slice| raw.extend_from_slice(slice));
                if index == 2 && !self.leave_out_finish {
                    raw.extend(finish_block(&Finish {
                        next: at(131),
                        records: 14,
                        bytes: 14 * 8,
                        times: Some((1103, 1129)),
                        leader_epoch: Some(4),
                    }));
                }
            }
            let time = |offset: &u64| 1000 + offset.cast_signed();
            let mut info = FrameInfo {
                first: at(start),
                records: u32::try_from(offsets.len()).unwrap(),
                times: offsets.first().map(time).zip(offsets.last().map(time)),
            };
            (self.spoil)(index, &mut info);
            writer.frame(&raw, info).unwrap();
        }
        writer.finish(&ObjectMeta::File(self.meta.clone()).to_map()).unwrap().0
    }

    fn check(&self) -> Result<Content, ContentError> {
        check(self.meta.clone(), &self.container())
    }
}

fn with(offset: u64, take: impl FnOnce(&Record<'_>)) {
    let millis = 1000 + offset.cast_signed();
    take(&Record {
        offset: at(offset),
        timestamp: Some(Timestamp { millis, kind: TimestampType::Create }),
        key: Some(b"key"),
        value: Some(b"value"),
        headers: Headers::NONE,
    });
}

fn check(meta: FileMeta, container: &[u8]) -> Result<Content, ContentError> {
    let container = Container::parse(meta.suffix, container).unwrap();
    check_body(meta, &container, container.body())
}

fn check_body(
    meta: FileMeta,
    container: &Container<'_>,
    body: &[u8],
) -> Result<Content, ContentError> {
    let mut check = BodyCheck::new(container.tail().clone(), meta);
    // One frame a piece, then all in one.
    let mut whole = BodyCheck::new(container.tail().clone(), check.meta().clone());
    let pieces = check.pieces(1);
    assert_eq!((pieces.len(), check.pieces(1 << 20).len()), (3, 1));
    let place = |position: u64| usize::try_from(position).unwrap();
    let fed: Result<(), _> =
        pieces.iter().try_for_each(|piece| check.feed(&body[place(piece.start)..place(piece.end)]));
    let found = fed.and_then(|()| check.finish());
    let at_once = whole.feed(body).and_then(|()| whole.finish());
    assert_eq!(found.as_ref().ok(), at_once.as_ref().ok());
    found
}

#[test]
fn what_is_as_it_says_passes() {
    for suffix in [Suffix::Mak, Suffix::MakGz, Suffix::MakZst] {
        let found = Laid::new(suffix, 2).check().unwrap();
        let content = Content {
            records: 14,
            bytes: 14 * 8,
            times: Some((1103, 1129)),
            holes: 14,
            unknown_blocks: 0,
        };
        assert_eq!(found, content, "{suffix}");
        let v1 = Laid::new(suffix, 1).check().unwrap();
        assert_eq!((v1.records, v1.holes), (14, 14), "{suffix}");
    }
}

#[test]
fn every_flipped_bit_of_a_body_is_found() {
    for (suffix, mak) in
        [(Suffix::Mak, 2), (Suffix::MakGz, 2), (Suffix::MakZst, 2), (Suffix::Mak, 1)]
    {
        let laid = Laid::new(suffix, mak);
        let bytes = laid.container();
        let container = Container::parse(suffix, &bytes).unwrap();
        for at in 0..container.body().len() {
            let mut body = container.body().to_vec();
            body[at] ^= 1 << (at % 8);
            let found = check_body(laid.meta.clone(), &container, &body);
            assert!(found.is_err(), "{suffix}, version {mak}, byte {at}: {found:?}");
        }
    }
}

#[test]
fn metadata_that_is_not_the_bodys_is_found() {
    let laid = Laid::new(Suffix::MakGz, 2);
    let bytes = laid.container();
    let alterations: [Alteration; 14] = [
        ("records", |meta| meta.records += 1),
        ("bytes", |meta| meta.bytes += 1),
        ("first time", |meta| meta.times = Some((1102, 1129))),
        ("last time", |meta| meta.times = Some((1103, 1130))),
        ("no times", |meta| meta.times = None),
        ("next, more", |meta| meta.range = range(100, 132)),
        ("next, less", |meta| meta.range = range(100, 130)),
        ("start", |meta| meta.range = range(101, 131)),
        ("gap", |meta| meta.gap = None),
        ("gap, longer", |meta| meta.gap = meta.gap.map(|gap| Gap { to: at(104), ..gap })),
        ("writer", |meta| meta.writer = WriterToken(8)),
        ("topic id", |meta| meta.identity.topic_id = TopicId::from_halves(3, 4)),
        ("generation", |meta| meta.generation = 1),
        ("leader epoch", |meta| meta.leader_epoch = None),
    ];
    for (what, alter) in alterations {
        let mut meta = laid.meta.clone();
        alter(&mut meta);
        let found = check(meta, &bytes);
        assert!(matches!(found, Err(ContentError::Disagree(_))), "{what}: {found:?}");
    }
    let mut v1 = Laid::new(Suffix::MakGz, 1);
    let bytes = v1.container();
    v1.meta.records += 1;
    assert!(check(v1.meta, &bytes).is_err());
}

#[test]
fn an_index_that_is_not_the_bodys_is_found() {
    let spoils: [Spoil; 3] = [
        ("records", |index, info| info.records += u32::from(index == 1)),
        ("times", |index, info| {
            if index == 1 {
                info.times = Some((0, 5000));
            }
        }),
        ("first", |index, info| {
            if index == 1 {
                info.first = info.first.after();
            }
        }),
    ];
    for (what, spoil) in spoils {
        let laid = Laid { spoil, ..Laid::new(Suffix::MakGz, 2) };
        let found = laid.check();
        assert!(found.is_err(), "{what}: {found:?}");
        let bytes = laid.container();
        let container = Container::parse(Suffix::MakGz, &bytes).unwrap();
        let index = BodyCheck::index_disagrees(&container.tail().index, &laid.meta);
        assert_eq!(index.is_some(), what == "records", "{what}");
    }
}

#[test]
fn a_record_in_a_recorded_gap_is_found() {
    let laid = Laid { more: vec![101], ..Laid::new(Suffix::MakGz, 2) };
    let error = laid.check().unwrap_err().to_string();
    assert!(error.contains("offset 101, inside of the recorded gap [100, 103)"), "{error}");
}

#[test]
fn a_body_without_an_end_is_found() {
    let laid = Laid { leave_out_finish: true, ..Laid::new(Suffix::MakGz, 2) };
    let error = laid.check().unwrap_err().to_string();
    assert_eq!(error, "it has no finish block");
}
