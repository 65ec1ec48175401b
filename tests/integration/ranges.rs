//! What a record by offset or time, and a slice, cost at the store, counted there: at most three
//! requests for an object, and at most two frames more than needed.
//!
//! Objects are cut as the compressor cuts them, from blocks as the consumer makes them; the
//! compressor's own tests say that it does so.

use std::fs::{self, File};
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use kafkatos3::archive::{Archive, Object, OwnedRecord, Slice, Start};
use kafkatos3::codec::{ContainerWriter, FRAME_TARGET, FrameInfo, Level, TailRead};
use kafkatos3::mak::v2::{BlockBuilder, Finish, file_prologue, finish_block};
use kafkatos3::mak::{FileHeader, Headers, Record, StartTime};
use kafkatos3::meta::{FileMeta, Identity, MetaMap, ObjectMeta};
use kafkatos3::store::names::{ChainName, Folder, Name};
use kafkatos3::store::{
    Credentials, DirSettings, Listed, ObjectInfo, S3Settings, Store, StoreError, Tail, Target, open,
};
use kafkatos3::types::{
    Isolation, Offset, OffsetRange, Partition, Suffix, Timestamp, TimestampType, TopicId,
    TopicName, WriterToken,
};

use crate::servers;

const MIB: u64 = 1 << 20;
/// What the consumer puts into one block at most.
const BLOCK: usize = 256 << 10;
const START: u64 = 1_000_000;
const EPOCH: i64 = 1_700_000_000_000;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime").block_on(future)
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).expect("an offset")
}

/// Well mixed, the same for the same number.
fn mixed(n: u64) -> u64 {
    let z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The records of an object: known by their number, so that none has to be kept.
struct Source {
    /// Bytes that don't compress, from which the values are cut.
    pool: Vec<u8>,
    sizes: Range<u64>,
}

impl Source {
    fn new(sizes: Range<u64>) -> Self {
        let pool = (0..MIB).flat_map(|n| mixed(n).to_le_bytes()).collect();
        Self { pool, sizes }
    }

    /// Behind every fiftieth record there are four offsets without one.
    fn offset(n: u64) -> u64 {
        START + n + n / 50 * 4
    }

    /// Rises, but not from each record to the next.
    fn millis(n: u64) -> i64 {
        EPOCH + (n * 10 + mixed(n) % 200).cast_signed()
    }

    fn value(&self, n: u64) -> &[u8] {
        let len = self.sizes.start + mixed(n) % (self.sizes.end - self.sizes.start);
        let from = mixed(n ^ 0xabcd) % (self.pool.len() as u64 - len);
        let place = |n: u64| usize::try_from(n).expect("a place");
        &self.pool[place(from)..place(from + len)]
    }

    fn with<T>(&self, n: u64, take: impl FnOnce(&Record<'_>) -> T) -> T {
        let timestamp = Timestamp { millis: Self::millis(n), kind: TimestampType::Create };
        take(&Record {
            offset: at(Self::offset(n)),
            timestamp: Some(timestamp),
            key: Some(&n.to_be_bytes()),
            value: Some(self.value(n)),
            headers: Headers::NONE,
        })
    }
}

fn identity() -> Identity {
    Identity {
        cluster_id: "5L6g3nShT-eMCtK--X86sw".to_owned(),
        topic: TopicName::new("orders").expect("a topic's name"),
        topic_id: TopicId::UNKNOWN,
        partition: Partition::new(3).expect("a partition"),
        isolation: Isolation::ReadCommitted,
    }
}

fn name(suffix: Suffix) -> Name {
    name_from(suffix, 0)
}

/// The name of the object that begins with the record `n`.
fn name_from(suffix: Suffix, n: u64) -> Name {
    let chain = ChainName::first(identity().topic).partition(identity().partition);
    chain.object(at(Source::offset(n)), suffix)
}

/// A frame that is being filled.
struct Filling {
    raw: Vec<u8>,
    info: FrameInfo,
}

fn span(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    [a, b].into_iter().flatten().reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
}

/// Writes an object of at least `size` bytes; says how many records it holds.
fn write(source: &Source, path: &Path, suffix: Suffix, size: u64, frame: usize) -> u64 {
    write_from(source, path, suffix, size, frame, 0)
}

/// The same, beginning with the record `from`; says which one comes behind it.
fn write_from(
    source: &Source,
    path: &Path,
    suffix: Suffix,
    size: u64,
    frame: usize,
    from: u64,
) -> u64 {
    let start = at(Source::offset(from));
    fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
    let out = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let level = Level::new(suffix, None).expect("a level");
    let mut writer = ContainerWriter::new(out, level);
    let header = FileHeader {
        identity: identity(),
        start,
        generation: 1,
        first: at(START),
        start_time: StartTime::from_millis(1_700_000_000_000),
        gap: None,
        writer: WriterToken(7),
    };
    let empty = |first| FrameInfo { first, records: 0, times: None };
    let mut filling = Filling { raw: file_prologue(&header), info: empty(start) };
    let (mut block, mut n) = (BlockBuilder::new(start), from);
    let mut totals =
        Finish { next: start, records: 0, bytes: 0, times: None, leader_epoch: Some(1) };
    while writer.written() + (filling.raw.len() as u64) < size + MIB {
        while block.len_bytes() < BLOCK.min(frame) {
            source.with(n, |record| block.push(record)).expect("a record");
            n += 1;
        }
        if filling.info.records > 0 && filling.raw.len() + block.len_bytes() > frame + frame / 8 {
            writer.frame(&filling.raw, filling.info).expect("a frame");
            filling.raw.clear();
            filling.info = empty(block.start());
        }
        let (records, times) = (block.records(), block.times());
        filling.info.records += u32::try_from(records).expect("few records");
        filling.info.times = span(filling.info.times, times);
        // A hole behind the block's last record is part of the block.
        let next = at(Source::offset(n));
        totals = Finish {
            next,
            records: totals.records + records,
            bytes: totals.bytes + block.content_bytes(),
            times: span(totals.times, times),
            ..totals
        };
        let slices = block.finish(next).expect("a block");
        for slice in slices {
            filling.raw.extend_from_slice(&slice);
        }
        block.reset(next);
    }
    filling.raw.extend(finish_block(&totals));
    writer.frame(&filling.raw, filling.info).expect("a frame");
    let meta = FileMeta {
        identity: identity(),
        generation: 1,
        first: at(START),
        mak: 2,
        plain: false,
        suffix,
        range: OffsetRange::new(start, totals.next).expect("a range"),
        records: totals.records,
        bytes: totals.bytes,
        times: totals.times,
        gap: None,
        leader_epoch: Some(1),
        writer: WriterToken(7),
        act: None,
        totals: None,
    };
    let (_, written) = writer.finish(&ObjectMeta::File(meta).to_map()).expect("a tail");
    assert!(written.len >= size, "{} bytes", written.len);
    n
}

/// Counts what is asked of a store.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Store>,
    /// The bytes of which object each answer brought.
    answers: Mutex<Vec<(Name, Range<u64>)>>,
    listings: AtomicUsize,
}

impl Counting {
    fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, answers: Mutex::default(), listings: AtomicUsize::new(0) }
    }

    fn note(&self, name: &Name, range: Range<u64>) {
        self.answers.lock().expect("the answers").push((name.clone(), range));
    }

    /// The answers since this was called last.
    fn taken(&self) -> Vec<Range<u64>> {
        self.taken_by_name().into_iter().map(|(_, range)| range).collect()
    }

    /// The same, and of which object each is.
    fn taken_by_name(&self) -> Vec<(Name, Range<u64>)> {
        std::mem::take(&mut self.answers.lock().expect("the answers"))
    }
}

#[async_trait]
impl Store for Counting {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn keeps_metadata(&self) -> bool {
        self.inner.keeps_metadata()
    }

    async fn create(&self, _: &Name, _: Vec<Bytes>, _: &MetaMap) -> Result<(), StoreError> {
        panic!("reading creates nothing")
    }

    async fn head(&self, _: &Name) -> Result<Option<ObjectInfo>, StoreError> {
        panic!("reading asks for no head")
    }

    async fn get(&self, _: &Name) -> Result<Option<Bytes>, StoreError> {
        panic!("reading asks for no whole object")
    }

    async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, StoreError> {
        let bytes = self.inner.get_range(name, range.clone()).await?;
        self.note(name, range.start..range.start + bytes.len() as u64);
        Ok(bytes)
    }

    async fn get_suffix(&self, name: &Name, length: u64) -> Result<Tail, StoreError> {
        let tail = self.inner.get_suffix(name, length).await?;
        self.note(name, tail.size - tail.bytes.len() as u64..tail.size);
        Ok(tail)
    }

    async fn list(&self, folder: &Folder, after: Option<&Name>) -> Result<Vec<Listed>, StoreError> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        self.inner.list(folder, after).await
    }

    async fn folders(&self, folder: &Folder) -> Result<Vec<Folder>, StoreError> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        self.inner.folders(folder).await
    }

    async fn delete(&self, _: &Name) -> Result<(), StoreError> {
        panic!("reading deletes nothing")
    }
}

/// What the look-ups of one object cost at most.
#[derive(Debug, Default)]
struct Cost {
    requests: usize,
    frames: usize,
    bytes: u64,
}

impl Cost {
    /// Takes what one look-up asked for, after what the opening did. One frame holds the record.
    fn add(&mut self, opening: &[Range<u64>], store: &Counting, object: &Object<'_>) {
        let looking = store.taken();
        let len = |ranges: &[Range<u64>]| ranges.iter().map(|r| r.end - r.start).sum::<u64>();
        let tail = object.size() - object.index().body_len();
        assert!(len(opening) <= tail.max(TailRead::FIRST), "{opening:?} for {tail}");
        let within = |frame: Range<u64>| {
            looking.iter().any(|range| range.start < frame.end && frame.start < range.end)
        };
        let fetched = object.index().frames().iter().filter(|frame| within(frame.range()));
        let (mut frames, mut body) = (0, 0);
        for frame in fetched {
            frames += 1;
            body += u64::from(frame.len);
        }
        assert_eq!(len(&looking), body, "whole frames, and each once");
        let requests = opening.len() + looking.len();
        assert!(requests <= 3, "{opening:?}, {looking:?}");
        assert!(frames <= 3, "{frames} frames for one record");
        self.requests = self.requests.max(requests);
        self.frames = self.frames.max(frames);
        self.bytes = self.bytes.max(len(opening) + body);
    }
}

/// Looks up single records all over the object, each as if nothing were known of it.
async fn look_up(store: &Counting, suffix: Suffix, source: &Source, count: u64) -> Cost {
    let name = name(suffix);
    let mut cost = Cost::default();
    let object = Object::open(store, &name).await.expect("open");
    let spread = (0..24).map(|k| mixed(k) % count);
    // The last records before a hole, of whole frames, and of all.
    let holes = spread.clone().map(|n| n / 50 * 50 + 49).filter(|n| n + 1 < count);
    let ends = object.index().frames().iter().skip(1).step_by(37);
    let begins = |first: Offset| (0..count).find(|n| at(Source::offset(*n)) >= first);
    let ends = ends.filter_map(|f| begins(f.info.first)).flat_map(|n| [n - 1, n]);
    let picked: Vec<u64> = spread.chain(holes).chain(ends).chain([0, 1, count - 1]).collect();
    store.taken();
    let open = async || {
        let object = Object::open(store, &name).await.expect("open");
        (object, store.taken())
    };
    for n in picked {
        let (object, opening) = open().await;
        let found = object.record_at(at(Source::offset(n))).await.expect("read").expect("a record");
        source.with(n, |record| assert_eq!(found, OwnedRecord::from(*record)));
        cost.add(&opening, store, &object);

        let (object, opening) = open().await;
        let mut records = object.records_from_offset(at(Source::offset(n)).after());
        match records.next().await.expect("read") {
            Some(record) => source.with(n + 1, |expected| assert_eq!(record, *expected)),
            None => assert_eq!(n + 1, count),
        }
        cost.add(&opening, store, &object);

        let (object, opening) = open().await;
        let millis = Source::millis(n);
        let first = (n.saturating_sub(30)..=n).find(|n| Source::millis(*n) >= millis);
        let found = object.first_at_or_after_time(millis).await.expect("read").expect("a record");
        let first = first.expect("itself at least");
        source.with(first, |record| assert_eq!(found, OwnedRecord::from(*record)));
        cost.add(&opening, store, &object);
    }
    assert_eq!(store.listings.load(Ordering::Relaxed), 0, "an object is read without a listing");
    cost
}

fn directory(root: &Path) -> Target {
    Target::Dir(DirSettings { root: root.to_owned(), meta: |_, _| Ok(None) })
}

/// An object of `size` bytes in a directory, looked up; the directory is gone afterwards.
fn costs(suffix: Suffix, size: u64, frame: usize, sizes: Range<u64>) -> Cost {
    let place = tempfile::tempdir_in(servers::run_dir()).expect("a directory");
    let source = Source::new(sizes);
    let path = place.path().join(name(suffix).as_str());
    let begun = std::time::Instant::now();
    let count = write(&source, &path, suffix, size, frame);
    let written = begun.elapsed();
    let cost = block_on(async {
        let store = Counting::new(open(&directory(place.path())).await.expect("open"));
        look_up(&store, suffix, &source, count).await
    });
    let size = fs::metadata(&path).expect("the object").len();
    println!(
        "{suffix}, {size} bytes, {count} records: {cost:?} at most; {:.1} s to write, {:.1} s in all",
        written.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    cost
}

#[test]
fn a_record_of_64_mib_costs_three_requests_at_most() {
    for suffix in Suffix::MAK {
        let cost = costs(suffix, 64 * MIB, FRAME_TARGET, 100..8_000);
        assert!(cost.requests <= 3 && cost.frames <= 2, "{cost:?}");
    }
}

#[test]
fn a_record_of_1_gib_costs_three_requests_at_most() {
    let cost = costs(Suffix::MakGz, 1024 * MIB, FRAME_TARGET, 1_000..200_000);
    assert!(cost.bytes < 4 * MIB, "{cost:?}");
}

#[test]
fn a_record_costs_three_requests_also_behind_a_long_tail() {
    for suffix in Suffix::MAK {
        let cost = costs(suffix, 64 * MIB, 8 << 10, 100..1_000);
        assert_eq!(cost.requests, 3, "{cost:?}");
    }
}

#[test]
fn a_record_in_s3_costs_three_requests_at_most() {
    let server = servers::s3();
    let bucket: PathBuf = server.create_bucket("ranges");
    let source = Source::new(100..8_000);
    for suffix in Suffix::MAK {
        let path = bucket.join(name(suffix).as_str());
        let count = write(&source, &path, suffix, 16 * MIB, FRAME_TARGET);
        let cost = block_on(async {
            let settings = S3Settings {
                bucket: "ranges".to_owned(),
                prefix: String::new(),
                endpoint: Some(format!("http://{}", server.address)),
                region: Some(servers::REGION.to_owned()),
                credentials: Credentials::Keys {
                    id: servers::ACCESS_KEY.to_owned(),
                    secret: servers::SECRET_KEY.to_owned(),
                },
                storage_class: None,
                sse: None,
                tags: Vec::new(),
                integrity: None,
            };
            let store = Counting::new(open(&Target::S3(settings)).await.expect("open"));
            look_up(&store, suffix, &source, count).await
        });
        println!("{suffix} in S3: {cost:?} at most");
        assert!(cost.requests <= 3 && cost.frames <= 2, "{cost:?}");
    }
}

/// An object of a chain.
struct Part {
    name: Name,
    tail: Range<u64>,
    /// Where its frames are, and which records they hold.
    frames: Vec<(Range<u64>, Range<u64>)>,
}

/// Three objects of one chain.
struct Chain {
    source: Source,
    objects: Vec<Part>,
    records: u64,
}

impl Chain {
    fn write(root: &Path, suffix: Suffix) -> Self {
        let source = Source::new(100..2_000);
        let (mut objects, mut n) = (Vec::new(), 0);
        for _ in 0..3 {
            let (name, from) = (name_from(suffix, n), n);
            n = write_from(&source, &root.join(name.as_str()), suffix, MIB, 64 << 10, n);
            objects.push((name, from..n));
        }
        let store = block_on(open(&directory(root))).expect("open");
        let read = |(name, records): (Name, Range<u64>)| {
            let object = block_on(Object::open(&*store, &name)).expect("open");
            let (frames, mut next) = (object.index().frames(), records.start);
            let place = |frame: &kafkatos3::codec::Frame| {
                let begin = next;
                next += u64::from(frame.info.records);
                (frame.range(), begin..next)
            };
            let frames = frames.iter().map(place).collect();
            assert_eq!(next, records.end);
            Part { name, tail: object.index().body_len()..object.size(), frames }
        };
        let objects = objects.into_iter().map(read).collect();
        Self { source, objects, records: n }
    }

    /// Reads a slice, and looks at what was fetched for the records that `seen` has to look at.
    fn read(&self, root: &Path, slice: &Slice, wanted: &[u64], seen: Range<u64>) {
        let store = Arc::new(Counting::new(block_on(open(&directory(root))).expect("open")));
        let archive = Archive::of_store(Arc::<Counting>::clone(&store)).expect("an archive");
        let mut found = 0;
        block_on(async {
            let topic = archive.topic("orders").await.expect("the topic");
            let mut stream = topic.partition(identity().partition).await.expect("it").read(slice);
            while let Some(record) = stream.next().await.expect("a record") {
                let expected = wanted.get(found).copied().expect("no more than is wanted");
                self.source.with(expected, |expected| assert_eq!(record, *expected));
                found += 1;
            }
        });
        assert_eq!(found, wanted.len(), "{slice:?}");
        let answers = store.taken_by_name();
        let mut more = 0;
        for Part { name, tail, frames } in &self.objects {
            let of_this = answers.iter().filter(|(of, _)| of == name).map(|(_, range)| range);
            let (opening, fetched): (Vec<_>, Vec<_>) =
                of_this.partition(|range| range.end == tail.end);
            assert!(opening.len() + fetched.len() <= 3, "{slice:?}: {answers:?}");
            let brought = opening.iter().map(|range| range.start).min().unwrap_or(tail.end);
            for (place, records) in frames {
                let meets = |range: &Range<u64>| range.start < place.end && place.start < range.end;
                let times = fetched.iter().filter(|range| meets(range)).count();
                let needed = records.start < seen.end && seen.start < records.end;
                assert!(times <= 1 && (!needed || times == 1 || place.start >= brought));
                more += usize::from(times == 1 && !needed);
            }
        }
        assert!(more <= 2, "{slice:?}: {more} frames more than needed");
    }
}

#[test]
fn a_slice_over_several_objects_costs_no_more_than_it_needs() {
    for suffix in Suffix::MAK {
        let place = tempfile::tempdir_in(servers::run_dir()).expect("a directory");
        let (root, chain) = (place.path(), Chain::write(place.path(), suffix));
        let begins = |object: usize| chain.objects[object].frames[0].1.start;
        // From inside the first to inside the third, from end to end, and one frame's worth.
        for (from, to) in [
            (begins(1) - 700, begins(2) + 700),
            (begins(1), begins(2)),
            (begins(1) - 1, begins(1) + 1),
            (begins(2) + 5, begins(2) + 6),
            (0, chain.records),
        ] {
            let all: Vec<u64> = (from..to).collect();
            let offsets = Slice::offsets(Source::offset(from)..Source::offset(to));
            chain.read(root, &offsets, &all, from..to);
            let start = Slice::default().starting(Start::Offset(at(Source::offset(from))));
            chain.read(root, &start.at_most(to - from), &all, from..to);

            let (first, last) = (Source::millis(from), Source::millis(to - 1));
            // Times rise but for 200 milliseconds, which is 20 records.
            let near = from.saturating_sub(30)..(to + 30).min(chain.records);
            let made = |n: &u64| (first..last).contains(&Source::millis(*n));
            let picked: Vec<u64> = near.clone().filter(made).collect();
            let span = Slice::default().made_from(first).made_before(last);
            let ends = picked.first().copied().zip(picked.last().map(|last| last + 1));
            chain.read(root, &span, &picked, ends.map_or(from..from, |(a, b)| a..b));

            let begin = near.clone().find(|n| Source::millis(*n) >= first).expect("itself");
            let end = (begin..near.end).find(|n| Source::millis(*n) >= last).expect("the last");
            let slice = Slice::default().starting(Start::Time(first)).stopping_at_time(last);
            let wanted: Vec<u64> = (begin..end).collect();
            chain.read(root, &slice, &wanted, begin..end + 1);
        }
    }
}
