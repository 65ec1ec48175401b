//! Streams over whole chains against what is in them, for any slice.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::shelf::Shelf;
use super::tests::{Given, at, given, plain};
use super::*;
use crate::codec::{ContainerWriter, Level};
use crate::meta::{Act, CloseMeta, Gap, GapReason, ObjectMeta, Succession, Totals};
use crate::store::names::{ChainName, Name};
use crate::types::{Partition as Number, Suffix, TopicName, WriterToken};

/// Waits for answers that come from other threads.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Puts files one behind the other, in offsets and in time.
fn chained(mut files: Vec<Given>) -> Vec<Given> {
    let suffix = files[0].suffix;
    let (mut next, mut epoch) = (files[0].start, 0);
    for file in &mut files {
        let by = next.wrapping_sub(file.start);
        (file.suffix, file.version) = (suffix, 2);
        (file.start, file.next) = (next, file.next.wrapping_add(by));
        for record in &mut file.records {
            record.offset = at(record.offset.get().wrapping_add(by));
            if let Some(time) = &mut record.timestamp {
                time.millis = epoch + time.millis.rem_euclid(50);
            }
        }
        next = file.next;
        epoch += 100;
    }
    files
}

fn archive(files: &[Given]) -> Archive {
    let objects = files.iter().map(|file| (file.name(), file.container(&file.map())));
    Archive::of_store(Arc::new(Shelf::of_all(objects))).unwrap()
}

fn partition(archive: &Archive) -> Partition {
    wait(async {
        let number = Number::new(3).unwrap();
        archive.topic("orders").await.unwrap().partition(number).await.unwrap()
    })
}

fn read(mut stream: RecordStream) -> Result<Vec<OwnedRecord>, (Vec<OwnedRecord>, ArchiveError)> {
    wait(async {
        let mut found = Vec::new();
        loop {
            match stream.next_owned().await {
                Ok(Some(record)) => found.push(record),
                Ok(None) => return Ok(found),
                Err(error) => {
                    assert_eq!(stream.next_owned().await.unwrap(), None, "nothing comes behind");
                    return Err((found, error));
                }
            }
        }
    })
}

/// The same, shown so many records at a time.
fn shown(mut stream: RecordStream, at_once: usize) -> Vec<OwnedRecord> {
    wait(async {
        let mut found = Vec::new();
        while stream.ready().await.unwrap() != Next::Nothing {
            let before = found.len();
            stream
                .each_here(|_, record| {
                    found.push(OwnedRecord::from(record));
                    found.len() < before + at_once
                })
                .unwrap();
            assert!((1..=at_once).contains(&(found.len() - before)));
        }
        found
    })
}

#[test]
fn who_follows_goes_on_behind_a_closing_seal() {
    let (first, second) = (plain(12, 3, 2, Suffix::MakGz), plain(12, 3, 2, Suffix::MakZst));
    let close = CloseMeta {
        identity: first.meta().identity,
        generation: 1,
        first: at(first.start),
        suffix: Suffix::MakGz,
        at: at(first.next),
        next: Succession {
            first: at(second.start),
            suffix: second.suffix,
            act: Act::new("somebody", 1, "a test"),
        },
        writer: WriterToken(7),
        totals: Totals::default(),
    };
    let name = |generation| {
        ChainName::new(TopicName::new("orders").unwrap(), generation)
            .partition(Number::new(3).unwrap())
    };
    let writer = ContainerWriter::new(Vec::new(), Level::new(Suffix::MakGz, None).unwrap());
    let (closing, _) = writer.finish(&ObjectMeta::Close(close).to_map()).unwrap();
    let archive = Archive::of_store(Arc::new(Shelf::of_all([
        (first.name(), first.container(&first.map())),
        (name(1).object(at(first.next), Suffix::MakGz), closing),
        (name(2).object(at(second.start), second.suffix), second.container(&second.map())),
    ])))
    .unwrap();
    let mut stream = archive.chain(name(1)).read(&Slice::default().following());
    wait(async {
        for expected in first.records.iter().chain(&second.records) {
            assert_eq!(stream.next_owned().await.unwrap().as_ref(), Some(expected));
        }
    });
}

/// Which slice, as numbers that are made to fit what there is.
#[derive(Debug, Clone)]
struct Wanted {
    start: (u8, prop::sample::Index, bool),
    end: Option<prop::sample::Index>,
    stop: Option<i64>,
    from: Option<i64>,
    to: Option<i64>,
    most: Option<u64>,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let time = || option::weighted(0.3, -10..350i64);
    let start = (0..4u8, any::<prop::sample::Index>(), any::<bool>());
    (start, option::weighted(0.3, any::<prop::sample::Index>()), time(), time(), time(), {
        option::weighted(0.3, 0..40u64)
    })
        .prop_map(|(start, end, stop, from, to, most)| Wanted {
            start,
            end,
            stop,
            from,
            to,
            most,
        })
}

impl Wanted {
    fn start(&self, tip: u64, offsets: &[u64]) -> Start {
        let (kind, index, behind) = self.start;
        let offset = index.get(offsets) + u64::from(behind);
        match kind {
            0 => Start::Beginning,
            1 => Start::Offset(at(offset)),
            2 => Start::FromEnd(tip.saturating_sub(offset)),
            _ => Start::Time(i64::try_from(index.index(350)).unwrap() - 5),
        }
    }

    fn slice(&self, tip: u64, offsets: &[u64]) -> Slice {
        let end = self.end.map(|index| *index.get(offsets));
        let mut slice = end.map_or_else(|| Slice::offsets(..), |end| Slice::offsets(..end));
        slice = slice.starting(self.start(tip, offsets));
        slice = self.stop.map_or(slice.clone(), |millis| slice.stopping_at_time(millis));
        slice = self.from.map_or(slice.clone(), |millis| slice.made_from(millis));
        slice = self.to.map_or(slice.clone(), |millis| slice.made_before(millis));
        self.most.map_or(slice.clone(), |most| slice.at_most(most))
    }

    /// What is wanted of all there is, told the plain way.
    fn pick(&self, all: &[OwnedRecord], tip: u64, offsets: &[u64]) -> Vec<OwnedRecord> {
        let time = |record: &OwnedRecord| record.timestamp.map(|time| time.millis);
        let reaches = |record: &OwnedRecord, bound: i64| time(record).is_some_and(|t| t >= bound);
        let begins = |record: &OwnedRecord| match self.start(tip, offsets) {
            Start::Beginning => true,
            Start::Offset(offset) => record.offset >= offset,
            Start::FromEnd(count) => record.offset.get() >= tip.saturating_sub(count),
            Start::Time(millis) => reaches(record, millis),
        };
        let end = self.end.map(|index| at(*index.get(offsets)));
        let picks = self.from.is_some() || self.to.is_some();
        all.iter()
            .skip_while(|record| !begins(record))
            .take_while(|record| end.is_none_or(|end| record.offset < end))
            .take_while(|record| self.stop.is_none_or(|stop| !reaches(record, stop)))
            .filter(|record| !picks || time(record).is_some())
            .filter(|record| self.from.is_none_or(|from| reaches(record, from)))
            .filter(|record| self.to.is_none_or(|to| !reaches(record, to)))
            .take(self.most.map_or(usize::MAX, |most| usize::try_from(most).unwrap()))
            .cloned()
            .collect()
    }
}

/// A file of kafka_store's, with offsets 0 to 99 of orders-3.
fn kafka_stores() -> (Name, Vec<u8>) {
    let golden = "tests/golden/kafka_store/orders/000000/00000000000000000000";
    let bytes = std::fs::read(format!("{}/{golden}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    (Name::parse("orders/000003/00000000000000000000").unwrap(), bytes)
}

proptest! {
    #[test]
    fn what_another_tool_has_is_read_though_the_chain_records_it_as_a_gap(
        file in given(), overlap in 0..20_u64,
    ) {
        let mut file = chained(vec![file]).remove(0);
        let begins = 100 - overlap;
        let by = begins.wrapping_sub(file.start);
        file.next = file.next.wrapping_add(by);
        for record in &mut file.records {
            record.offset = at(record.offset.get().wrapping_add(by));
        }
        file.start = 0;
        let ObjectMeta::File(mut meta) = ObjectMeta::from_map(&file.map()).unwrap() else {
            unreachable!("it is a file")
        };
        let (from, to) = (at(0), at(begins));
        meta.gap = Some(Gap { from, to, reason: GapReason::Genesis });
        let chain = (file.name(), file.container(&ObjectMeta::File(meta).to_map()));
        let archive = Archive::of_store(Arc::new(Shelf::of_all([kafka_stores(), chain]))).unwrap();
        let offsets = |slice: &Slice| {
            let found = read(partition(&archive).read(slice)).map_err(|(_, error)| error).unwrap();
            found.iter().map(|record| record.offset.get()).collect::<Vec<_>>()
        };
        let chain = file.records.iter().map(|record| record.offset.get());
        let all: Vec<u64> = (0..begins).chain(chain.clone()).collect();
        prop_assert_eq!(offsets(&Slice::default()), &all[..]);
        prop_assert_eq!(offsets(&Slice::offsets(70..)), &all[70..]);
        // The records before one that is too old are too old as well.
        let late = file.records.iter().filter_map(|record| record.timestamp).map(|time| time.millis);
        if let Some(late) = late.clone().min().zip(late.max()).and_then(|(low, high)| (low < high).then_some(high)) {
            let from_late = offsets(&Slice::default().starting(Start::Time(late)));
            prop_assert!(from_late[0] >= begins, "{:?}", from_late);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_slice_of_a_chain_is_what_it_says(
        files in vec(given(), 1..5), wanted in vec(wanted(), 8), at_once in 1..20usize,
    ) {
        let files = chained(files);
        let all: Vec<_> = files.iter().flat_map(|file| file.records.clone()).collect();
        let tip = files.last().unwrap().next;
        let mut offsets: Vec<_> = files.iter().flat_map(|file| [file.start, file.next]).collect();
        offsets.extend(all.iter().map(|record| record.offset.get()));
        let partition = partition(&archive(&files));
        for wanted in wanted {
            let slice = wanted.slice(tip, &offsets);
            let found = read(partition.read(&slice)).map_err(|(_, error)| error).unwrap();
            let picked = wanted.pick(&all, tip, &offsets);
            prop_assert_eq!(&found, &picked, "{:?}", slice);
            prop_assert_eq!(shown(partition.read(&slice), at_once), picked, "{:?}", slice);
        }
    }

    #[test]
    fn a_missing_file_is_told_of_behind_the_records_before_it(files in vec(given(), 3..5)) {
        let mut files = chained(files);
        let gone = files.remove(1);
        let (found, error) = read(partition(&archive(&files)).range(..)).unwrap_err();
        prop_assert_eq!(&found, &files[0].records);
        prop_assert_eq!(error.exit_code(), 65);
        let error = error.to_string();
        let missing = format!("offsets {} to {} before it", gone.start, gone.next - 1);
        prop_assert!(error.contains(&missing), "{}", error);
        let behind = read(partition(&archive(&files)).range(gone.next..)).unwrap();
        prop_assert_eq!(behind.len(), files[1..].iter().map(|file| file.records.len()).sum::<usize>());
    }

    #[test]
    fn damage_is_told_of_behind_the_records_before_it(
        files in vec(given(), 1..4), at: prop::sample::Index, bits in 1..=255u8,
    ) {
        let files = chained(files);
        let mut objects: Vec<_> =
            files.iter().map(|file| (file.name(), file.container(&file.map()))).collect();
        let all: Vec<_> = files.iter().flat_map(|file| file.records.clone()).collect();
        let (_, last) = objects.last_mut().unwrap();
        let at = at.index(last.len());
        last[at] ^= bits;
        let archive = Archive::of_store(Arc::new(Shelf::of_all(objects))).unwrap();
        let before: usize = files[..files.len() - 1].iter().map(|file| file.records.len()).sum();
        match read(partition(&archive).range(..)) {
            // Part of gzip's and zstd's framing means nothing.
            Ok(found) => prop_assert_eq!(found, all),
            Err((found, error)) => {
                prop_assert!(found.len() >= before && all.starts_with(&found), "{:?}", found);
                prop_assert_eq!(error.exit_code(), 65, "{}", &error);
                prop_assert!(error.to_string().contains("shelf:"), "{}", error);
            }
        }
    }
}
