//! The contract of `kafkatos3::store`, over every store, and what S3 answers to bad settings.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafkatos3::meta::{FileMeta, Gap, GapReason, Identity, MetaMap, ObjectMeta, SealMeta, Totals};
use kafkatos3::store::names::{ChainId, ChainName, Folder, Name, Parsed, parse};
use kafkatos3::store::selftest::{self, Check};
use kafkatos3::store::{
    Credentials, DirSettings, Integrity, S3Settings, Store, StoreError, Target, open,
};
use kafkatos3::types::{
    Isolation, Offset, OffsetRange, Partition, Suffix, TopicId, TopicName, WriterToken,
};

use crate::servers::{ACCESS_KEY, REGION, SECRET_KEY, s3};

/// Opens the same place again and again, as several processes would.
pub(crate) type Opener<'a> = &'a (dyn Fn() -> Target + Sync);

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime").block_on(future)
}

pub(crate) async fn opened(target: Opener<'_>) -> Arc<dyn Store> {
    open(&target()).await.expect("open the store")
}

fn chain(topic: &str, generation: u32, partition: i64) -> ChainId {
    let topic = TopicName::new(topic).expect("a topic's name");
    ChainName::new(topic, generation).partition(Partition::new(partition).expect("a partition"))
}

fn offset(n: u64) -> Offset {
    Offset::new(n).expect("an offset")
}

fn no_meta() -> MetaMap {
    MetaMap::new()
}

/// A body whose end holds the metadata, as a container's trailer does.
fn with_trailer(content: &[u8], meta: &MetaMap) -> Vec<Bytes> {
    let trailer = serde_json::to_vec(meta).expect("JSON");
    let length = u32::try_from(trailer.len()).expect("a short trailer").to_be_bytes();
    let content = Bytes::copy_from_slice(content);
    vec![content, trailer.into(), Bytes::copy_from_slice(&length), Bytes::from_static(b"TEST")]
}

/// The other way round, for the directory store.
fn trailer_of(file: &File, size: u64) -> io::Result<Option<MetaMap>> {
    let mut end = [0; 8];
    let Some(at) = size.checked_sub(8) else { return Ok(None) };
    file.read_exact_at(&mut end, at)?;
    let (length, magic) = end.split_at(4);
    if magic != b"TEST" {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
    let mut trailer = vec![0; usize::try_from(length).expect("a length")];
    file.read_exact_at(&mut trailer, at - u64::from(length))?;
    Ok(Some(serde_json::from_slice(&trailer)?))
}

fn identity() -> Identity {
    Identity {
        cluster_id: "5L6g3nShT-eMCtK--X86sw".to_owned(),
        topic: TopicName::new("orders").expect("a topic's name"),
        topic_id: TopicId::from_halves(-1, i64::MIN),
        partition: Partition::new(3).expect("a partition"),
        isolation: Isolation::ReadCommitted,
    }
}

/// Metadata with every key that there is.
fn full_meta() -> [MetaMap; 2] {
    let totals =
        Totals { files: 3, records: u64::MAX, bytes: 12, gaps: 1, times: Some((-5, i64::MAX)) };
    let file = FileMeta {
        identity: identity(),
        generation: 1,
        first: Offset::ZERO,
        mak: 2,
        plain: false,
        suffix: Suffix::MakGz,
        range: OffsetRange::new(offset(7), offset(u64::MAX / 2)).expect("a range"),
        records: 2,
        bytes: 1 << 40,
        times: Some((i64::MIN, i64::MAX)),
        gap: Some(Gap { from: offset(7), to: offset(9), reason: GapReason::Retention }),
        leader_epoch: Some(-1),
        writer: WriterToken(u64::MAX),
        act: None,
        totals: Some(totals),
    };
    let seal = SealMeta {
        identity: identity(),
        first: Offset::ZERO,
        suffix: Suffix::MakGz,
        at: offset(7),
        continues: Suffix::MakZst,
        writer: WriterToken(1),
        totals,
    };
    [ObjectMeta::File(file).to_map(), ObjectMeta::Seal(seal).to_map()]
}

/// Everything that every store has to do.
pub(crate) fn keeps_the_contract(target: Opener<'_>) {
    block_on(async {
        let store = opened(target).await;
        absent_is_definite(&*store).await;
        creates_once(&*store).await;
        metadata_comes_back(&*store).await;
        ranges_are_exact(&*store).await;
        empty_objects_are_objects(&*store).await;
        listings_are_whole_and_in_order(&*store).await;
        odd_names_work(&*store).await;
        big_objects_work(&*store).await;
        assert_eq!(selftest::run(&*store).await, Ok(()));
        let left = store.list(&Folder::selftest(), None).await.expect("a listing");
        assert!(left.is_empty(), "the self-test left {left:?}");
    });
    one_of_eight_wins(target);
}

async fn absent_is_definite(store: &dyn Store) {
    let name = chain("absent", 1, 0).record();
    assert_eq!(store.head(&name).await, Ok(None));
    assert_eq!(store.look(&name).await, Ok(None));
    assert_eq!(store.get(&name).await, Ok(None));
    assert!(matches!(store.get_range(&name, 0..1).await, Err(StoreError::Missing { .. })));
    assert!(matches!(store.get_suffix(&name, 1).await, Err(StoreError::Missing { .. })));
    assert_eq!(store.delete(&name).await, Ok(()));
    assert_eq!(store.list(&chain("absent", 1, 0).folder(), None).await, Ok(Vec::new()));
    assert_eq!(store.folders(&chain("absent", 1, 0).folder()).await, Ok(Vec::new()));
}

async fn creates_once(store: &dyn Store) {
    let name = chain("once", 1, 0).record();
    store.create(&name, vec![Bytes::from_static(b"first")], &no_meta()).await.expect("create");
    let second = store.create(&name, vec![Bytes::from_static(b"second")], &no_meta()).await;
    let Err(StoreError::Exists { name: url, .. }) = second else { panic!("{second:?}") };
    assert_eq!(url, format!("{}/{name}", store.url()));
    assert_eq!(store.get(&name).await, Ok(Some(Bytes::from_static(b"first"))));
    store.delete(&name).await.expect("delete");
    assert_eq!(store.head(&name).await, Ok(None));
    store.create(&name, vec![Bytes::from_static(b"third")], &no_meta()).await.expect("again");
    assert_eq!(store.head(&name).await.expect("head").expect("there").size, 5);
}

async fn metadata_comes_back(store: &dyn Store) {
    let chain = chain("orders", 1, 3);
    for (start, meta) in full_meta().into_iter().enumerate() {
        let start = offset(u64::try_from(start).expect("a number"));
        let name = chain.object(start, Suffix::MakGz);
        store.create(&name, with_trailer(b"frames", &meta), &meta).await.expect("create");
        let found = store.head(&name).await.expect("head").expect("it is there");
        assert_eq!(found.meta, meta);
        assert_eq!(store.look(&name).await, Ok(Some(found.clone())));
        ObjectMeta::from_map(&found.meta).expect("it reads");
        let age = found.last_modified.elapsed().unwrap_or_default();
        assert!(age < Duration::from_mins(10), "created {age:?} ago");
    }
}

async fn ranges_are_exact(store: &dyn Store) {
    let name = chain("ranges", 1, 0).object(Offset::ZERO, Suffix::Mak);
    let body: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let pieces = body.chunks(999).map(Bytes::copy_from_slice).collect();
    store.create(&name, pieces, &no_meta()).await.expect("create");
    for (from, to) in [(0, 1), (0, 10_000), (998, 1001), (9_999, 10_000), (5, 5)] {
        let found = store.get_range(&name, from..to).await.expect("a range");
        let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
        assert_eq!(found, body[from..to]);
    }
    assert!(store.get_range(&name, 9_999..10_001).await.is_err(), "a range behind the end");
    assert!(store.get_range(&name, 20_000..20_001).await.is_err(), "a range behind the end");
    for (length, from) in [(1, 9_999), (100, 9_900), (10_000, 0), (1 << 40, 0)] {
        let tail = store.get_suffix(&name, length).await.expect("the end");
        assert_eq!((tail.bytes.as_ref(), tail.size), (&body[from..], 10_000));
    }
}

async fn empty_objects_are_objects(store: &dyn Store) {
    for (start, body) in [(0, vec![]), (1, vec![Bytes::new(), Bytes::new()])] {
        let name = chain("empty", 1, 0).object(offset(start), Suffix::Mak);
        store.create(&name, body.clone(), &no_meta()).await.expect("create");
        assert_eq!(store.head(&name).await.expect("head").expect("there").size, 0);
        assert_eq!(store.look(&name).await.expect("look").expect("there").size, 0);
        assert_eq!(store.get(&name).await, Ok(Some(Bytes::new())));
        let tail = store.get_suffix(&name, 10).await.expect("the end of nothing");
        assert_eq!((tail.bytes.len(), tail.size), (0, 0));
        let again = store.create(&name, body, &no_meta()).await;
        assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    }
}

async fn listings_are_whole_and_in_order(store: &dyn Store) {
    let body = || vec![Bytes::from_static(b"x")];
    let mut expected = Vec::new();
    for (topic, starts) in [("l", [9, 10, 1 << 40]), ("l-m", [0, 1, 2]), ("l.m", [0, 5, 6])] {
        for start in starts {
            let name = chain(topic, 1, 0).object(offset(start), Suffix::MakZst);
            store.create(&name, body(), &no_meta()).await.expect("create");
            let found = store.list(&chain(topic, 1, 0).folder(), None).await.expect("a listing");
            assert!(found.iter().any(|line| line.name == name), "{name} is not listed at once");
            expected.push(name);
        }
    }
    expected.sort();
    let all = store.list(&Folder::root(), None).await.expect("a listing");
    let names: Vec<_> = all.iter().map(|line| line.name.clone()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let ours: Vec<_> = names.into_iter().filter(|n| n.as_str().starts_with('l')).collect();
    assert_eq!(ours, expected);
    let folder = chain("l", 1, 0).folder();
    let first = chain("l", 1, 0).object(offset(9), Suffix::MakZst);
    let behind = store.list(&folder, Some(&first)).await.expect("a listing");
    let starts: Vec<_> = behind.iter().map(|line| (parse(&line.name), line.size)).collect();
    let [(Parsed::Object { start, .. }, 1), (Parsed::Object { .. }, 1)] = &starts[..] else {
        panic!("{starts:?}")
    };
    assert_eq!(*start, offset(10));
    let folders = store.folders(&Folder::root()).await.expect("folders");
    let ours: Vec<_> = folders.iter().filter(|f| f.as_str().starts_with('l')).collect();
    assert_eq!(ours.iter().map(|f| f.as_str()).collect::<Vec<_>>(), ["l", "l-m", "l.m"]);
    let inner = store.folders(&chain("l", 1, 0).name().folder()).await.expect("folders");
    assert_eq!(inner, [folder]);
}

async fn odd_names_work(store: &dyn Store) {
    let long = "t".repeat(249);
    for topic in ["a.b", "..a", "_", "-", "a__b--c..d", ".tmp-topic", long.as_str()] {
        for generation in [1, 2] {
            let chain = chain(topic, generation, 2_147_483_647);
            let name = chain.object(offset(u64::MAX / 2), Suffix::MakGz);
            let body = vec![Bytes::copy_from_slice(topic.as_bytes())];
            store.create(&name, body.clone(), &no_meta()).await.expect("create");
            assert_eq!(store.get(&name).await.expect("get").as_ref(), body.first());
            let found = store.list(&chain.folder(), None).await.expect("a listing");
            assert_eq!(found.len(), 1, "{topic}");
            assert_eq!(found[0].name, name);
            assert!(matches!(parse(&found[0].name), Parsed::Object { chain: c, .. } if c == chain));
        }
    }
}

async fn big_objects_work(store: &dyn Store) {
    const PIECE: usize = 16 * 1024 * 1024;
    let piece: Vec<u8> = (0..PIECE).map(|n| n.to_le_bytes()[n % 3]).collect();
    let piece = Bytes::from(piece);
    let name = chain("big", 1, 0).object(Offset::ZERO, Suffix::MakGz);
    store.create(&name, vec![piece.clone(); 4], &no_meta()).await.expect("create");
    let size = store.head(&name).await.expect("head").expect("there").size;
    assert_eq!(size, 4 * u64::try_from(PIECE).unwrap());
    let half = u64::try_from(PIECE / 2).unwrap();
    let middle = store.get_range(&name, half..3 * half).await.expect("a range");
    assert_eq!(middle[..PIECE / 2], piece[PIECE / 2..]);
    assert_eq!(middle[PIECE / 2..], piece[..PIECE / 2]);
}

/// Eight creators at once, each with a client of its own; what is there afterwards is whole and is
/// what the one winner gave.
fn one_of_eight_wins(target: Opener<'_>) {
    const RACERS: u8 = 8;
    let gate = Barrier::new(RACERS.into());
    for round in 0..20 {
        let name = chain("race", 1, 0).object(offset(round), Suffix::MakGz);
        let race = |racer: u8| {
            block_on(async {
                let store = opened(target).await;
                let body = vec![Bytes::from(vec![racer; 100_000]); 3];
                store.head(&name).await.expect("warm up");
                gate.wait();
                store.create(&name, body, &no_meta()).await
            })
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS).map(|n| scope.spawn(move || race(n))).collect();
            racers.into_iter().map(|racer| racer.join().expect("a racer")).collect()
        });
        let won: Vec<_> = (0..RACERS).zip(&results).filter(|(_, r)| r.is_ok()).collect();
        let [(winner, _)] = won[..] else { panic!("round {round}: {results:?}") };
        let refused = |r: &&Result<(), StoreError>| matches!(r, Err(StoreError::Exists { .. }));
        assert_eq!(results.iter().filter(refused).count(), 7, "{results:?}");
        let kept = block_on(async { opened(target).await.get(&name).await }).expect("get");
        assert_eq!(kept, Some(vec![winner; 300_000].into()), "round {round}");
    }
}

fn directory(root: &Path) -> Target {
    Target::Dir(DirSettings { root: root.to_owned(), meta: trailer_of })
}

#[test]
fn directory_keeps_the_contract() {
    let place = tempfile::tempdir().expect("a directory");
    let root = place.path().join("archive");
    keeps_the_contract(&|| directory(&root));
}

#[test]
fn directory_leaves_no_temporary_files_and_sweeps_old_ones() {
    let place = tempfile::tempdir().expect("a directory");
    let chain = chain("t", 1, 0);
    let folder = place.path().join(chain.folder().as_str());
    std::fs::create_dir_all(&folder).expect("a folder");
    let (old, young) = (folder.join(".tmp-old"), folder.join(".tmp-young"));
    std::fs::write(&young, "x").expect("a file");
    let made = File::create(&old).expect("a file");
    let then = std::time::SystemTime::now() - Duration::from_hours(25);
    made.set_modified(then).expect("an old file");
    block_on(async {
        let store = opened(&|| directory(place.path())).await;
        let body = || vec![Bytes::from_static(b"x")];
        store.create(&chain.record(), body(), &no_meta()).await.expect("create");
        store.create(&chain.record(), body(), &no_meta()).await.expect_err("taken");
        let found = store.list(&Folder::root(), None).await.expect("a listing");
        assert_eq!(found.len(), 1, "{found:?}");
    });
    assert!(!old.exists() && young.exists());
    let left = std::fs::read_dir(&folder).expect("a folder").count();
    assert_eq!(left, 2, "chain.json and the young one");
}

#[test]
fn directory_that_is_gone_or_closed_is_no_404() {
    let place = tempfile::tempdir().expect("a directory");
    let root = place.path().join("archive");
    let name = chain("t", 1, 0).record();
    block_on(async {
        let store = opened(&|| directory(&root)).await;
        #[expect(clippy::disallowed_methods, reason = "stands for an unmounted file system")]
        std::fs::rename(&root, place.path().join("unmounted")).expect("move it away");
        let head = store.head(&name).await;
        assert!(matches!(head, Err(StoreError::NoBucket { .. })), "{head:?}");
        let created = store.create(&name, Vec::new(), &no_meta()).await;
        assert!(matches!(created, Err(StoreError::NoBucket { .. })), "{created:?}");
        let listed = store.list(&Folder::root(), None).await;
        assert!(matches!(listed, Err(StoreError::NoBucket { .. })), "{listed:?}");
        let deep = place.path().join("a").join("b");
        let opened = open(&directory(&deep)).await;
        assert!(matches!(opened, Err(StoreError::NoBucket { .. })), "{opened:?}");
        let failure = selftest::run(&*store).await.expect_err("there is nothing");
        assert_eq!((failure.check, failure.exit_code()), (Check::Missing, 78));
    });
}

pub(crate) fn settings(endpoint: String, bucket: &str) -> S3Settings {
    S3Settings {
        bucket: bucket.to_owned(),
        prefix: "some/prefix".to_owned(),
        endpoint: Some(endpoint),
        region: Some(REGION.to_owned()),
        credentials: Credentials::Keys { id: ACCESS_KEY.to_owned(), secret: SECRET_KEY.to_owned() },
        storage_class: None,
        sse: None,
        tags: Vec::new(),
        integrity: None,
    }
}

#[test]
fn s3_keeps_the_contract() {
    let server = s3();
    server.create_bucket("contract");
    let endpoint = || format!("http://{}", server.address);
    keeps_the_contract(&|| Target::S3(settings(endpoint(), "contract")));
    server.create_bucket("contract-crc");
    let other = || S3Settings {
        prefix: String::new(),
        region: None,
        integrity: Some(Integrity::Crc64Nvme),
        storage_class: Some("STANDARD".to_owned()),
        tags: vec![("team".to_owned(), "a b/c+d".to_owned())],
        ..settings(endpoint(), "contract-crc")
    };
    keeps_the_contract(&|| Target::S3(other()));
}

#[test]
fn s3_listings_go_over_many_pages() {
    let server = s3();
    let bucket = server.create_bucket("pages");
    let folder = bucket.join("some/prefix/t/000000");
    std::fs::create_dir_all(&folder).expect("a folder");
    for n in 0..2_345 {
        std::fs::write(folder.join(format!("{n:020}.mak.gz")), "x").expect("an object");
    }
    std::fs::create_dir(folder.join("a-folder-marker")).expect("a folder");
    block_on(async {
        let target = || Target::S3(settings(format!("http://{}", server.address), "pages"));
        let store = opened(&target).await;
        let found = store.list(&Folder::root(), None).await.expect("a listing");
        assert_eq!(found.iter().filter(|line| parse(&line.name) != Parsed::Foreign).count(), 2_345);
        let middle = chain("t", 1, 0).object(offset(1_234), Suffix::MakGz);
        let found = store.list(&chain("t", 1, 0).folder(), Some(&middle)).await.expect("a listing");
        assert_eq!(found.iter().filter(|line| parse(&line.name) != Parsed::Foreign).count(), 1_110);
    });
}

/// Asks everything once, and hands back the errors.
async fn errors(target: S3Settings) -> Vec<StoreError> {
    let store = open(&Target::S3(target)).await.expect("open");
    let name = chain("t", 1, 0).record();
    vec![
        store.create(&name, vec![Bytes::from_static(b"x")], &no_meta()).await.expect_err("create"),
        store.list(&Folder::root(), None).await.expect_err("list"),
        store.folders(&Folder::root()).await.expect_err("folders"),
        store.get(&name).await.expect_err("get"),
        store.get_range(&name, 0..1).await.expect_err("get_range"),
    ]
}

#[test]
fn s3_tells_bad_keys_and_missing_buckets() {
    let server = s3();
    server.create_bucket("strict");
    let good = settings(format!("http://{}", server.address), "strict");
    let keys = |id: &str| S3Settings {
        credentials: Credentials::Keys { id: id.to_owned(), secret: "wrong-secret".to_owned() },
        ..good.clone()
    };
    block_on(async {
        for bad in [keys(ACCESS_KEY), keys("nobody")] {
            let store = open(&Target::S3(bad.clone())).await.expect("open");
            let head = store.head(&chain("t", 1, 0).record()).await;
            assert!(matches!(head, Err(StoreError::Denied { .. })), "{head:?}");
            for error in errors(bad.clone()).await {
                assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
                let text = format!("{error} {error:?} {bad:?}");
                assert!(text.contains("s3://strict/some/prefix"), "{text}");
                assert!(!text.contains("wrong-secret"), "{text}");
                assert_eq!(error.exit_code(), 77);
            }
            let failure = selftest::run(&*store).await.expect_err("it must fail");
            assert_eq!((failure.check, failure.exit_code()), (Check::Missing, 77));
            assert!(failure.to_string().contains("correct the credentials"), "{failure}");
        }
        let missing = S3Settings { bucket: "no-such-bucket".to_owned(), ..good.clone() };
        for error in errors(missing.clone()).await {
            assert!(matches!(error, StoreError::NoBucket { .. }), "{error:?}");
        }
        let store = open(&Target::S3(missing)).await.expect("open");
        let failure = selftest::run(&*store).await.expect_err("it must fail");
        assert!(failure.to_string().contains("create it first"), "{failure}");
    });
}

#[test]
fn s3_that_is_down_is_unavailable_soon() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = port.local_addr().expect("its address");
    drop(port);
    let begun = Instant::now();
    block_on(async {
        for error in errors(settings(format!("http://{dead}"), "b")).await {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
            assert!(error.to_string().contains("can't connect"), "{error}");
            assert!(error.is_transient() && error.exit_code() == 69);
        }
        for error in errors(settings("http://no-such-host.invalid".to_owned(), "b")).await {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        }
    });
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

/// A server that gives every request the same answer, and counts them.
fn stub(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = vec![0; 64 * 1024];
            let _ = client.read(&mut request);
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = client.write_all(answer.as_bytes());
            let _ = client.shutdown(std::net::Shutdown::Write);
            // Take the rest, or closing would reset what was answered.
            while client.read(&mut request).is_ok_and(|n| n > 0) {}
        }
    });
    (url, count)
}

#[test]
fn s3_answers_fall_into_classes() {
    let class = |e: &StoreError| match e {
        StoreError::Unavailable { .. } => "later",
        StoreError::Denied { .. } => "denied",
        StoreError::Exists { .. } => "exists",
        StoreError::Missing { .. } => "missing",
        StoreError::NoBucket { .. } => "bucket",
        StoreError::Other { .. } => "other",
    };
    let create = |answer: &'static str| {
        let (url, count) = stub(answer);
        let error = block_on(async {
            let store = opened(&|| Target::S3(settings(url.clone(), "b"))).await;
            let body = vec![Bytes::from_static(b"x")];
            store.create(&chain("t", 1, 0).record(), body, &no_meta()).await
        });
        let error = error.expect_err(answer);
        (class(&error), count.load(Ordering::Relaxed), error.to_string())
    };
    for (answer, expected, tries) in [
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "later", 3),
        ("HTTP/1.1 409 Race\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "exists", 1),
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "denied", 1),
        ("HTTP/1.1 301 Go\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "other", 1),
        ("HTTP/1.1 404 What\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "bucket", 1),
        ("", "later", 3),
        ("HTTP/1.1 200 O", "later", 3),
        ("SSH-2.0-OpenSSH_9.2\r\n", "later", 1),
    ] {
        let (class, count, text) = create(answer);
        assert_eq!((class, count), (expected, tries), "{answer:?}: {text}");
        assert!(text.starts_with("s3://b/some/prefix/t/000000/chain.json: "), "{text}");
    }
}

#[test]
fn s3_404_of_a_stranger_is_not_definite() {
    let page = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let (url, _) = stub(page);
    block_on(async {
        let store = opened(&|| Target::S3(settings(url.clone(), "b"))).await;
        let name = chain("t", 1, 0).record();
        for error in [
            store.head(&name).await.map(drop).expect_err("head"),
            store.get(&name).await.map(drop).expect_err("get"),
            store.list(&Folder::root(), None).await.map(drop).expect_err("list"),
        ] {
            assert!(!matches!(error, StoreError::Exists { .. }), "{error:?}");
        }
    });
}

#[test]
fn s3_over_plain_http_only_if_the_url_says_so() {
    block_on(async {
        let store = open(&Target::S3(settings("ftp://127.0.0.1:1".to_owned(), "b"))).await;
        let head = store.expect("open").head(&chain("t", 1, 0).record()).await;
        assert!(head.is_err(), "{head:?}");
    });
}

#[test]
fn names_that_are_not_ours_never_reach_a_store() {
    for name in ["../x", "a//b", "/etc/passwd", "t/.tmp-1"] {
        assert!(Name::parse(name).is_err(), "{name}");
    }
}
