//! `ls`, `info` and `verify`, by the real binary, over archives that the real program wrote: whole
//! ones, and then damaged in every way that there is a name for. The checker of the tests, which
//! shares no code with the product, is asked about the same archives.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use kafkatos3::archive::OwnedRecord;
use kafkatos3::codec::{self, Container, ContainerWriter, FrameInfo, Level};
use kafkatos3::mak::v2::{BlockBuilder, Finish, file_prologue, finish_block};
use kafkatos3::mak::{Header, HeadersBuf, Reader};
use kafkatos3::meta::{FileMeta, ObjectMeta, Totals};
use kafkatos3::types::Suffix;
use serde_json::Value;

use crate::archive::produce_odd;
use crate::harness::{Expected, Producer, Record, Site};
use crate::servers::{ACCESS_KEY, Action, REGION, SECRET_KEY, Seen};

/// What the program said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    /// All damage of a report, as `object: what`.
    fn damage(&self) -> Vec<String> {
        let report = self.json();
        let chains = report["chains"].as_array().expect("chains").iter();
        let damage = chains.flat_map(|chain| chain["damage"].as_array().expect("damage"));
        let text = |key: &Value| key.as_str().expect("a text").to_owned();
        damage.map(|one| text(&one["object"]) + ": " + &text(&one["what"])).collect()
    }
}

/// Runs the program; objects in S3 are asked for through the site's proxy.
fn program(site: &Site, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
    command.args(arguments).env_remove("AWS_PROFILE");
    command.env("AWS_ENDPOINT_URL", &site.store.url).env("AWS_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let output = command.output().expect("run it");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("an exit code");
    Said { code, out: text(output.stdout), err: text(output.stderr) }
}

/// A topic whose partition 1 has several files, a gap, and a seal; in partition 0 there are two
/// files, in partition 2 only `chain.json`.
fn archive_with_everything(site: &mut Site) -> (String, Expected) {
    let topic = site.topic("t", 3, &[]);
    let mut expected = produce_odd(site, &topic, 2, 300);
    site.run_to_end().expect(0);
    expected.merge(produce_odd(site, &topic, 2, 300));
    site.admin.delete_records(&topic, 1, 400);
    site.run_to_end().expect(0);
    site.set("compression", "compression", "zstd");
    let producer = Producer::new(&site.bootstrap);
    for round in 0..2 {
        producer.send(&topic, 1, (0..100).map(|index| Record::odd(round, index)));
        site.run_to_end().expect(0);
    }
    expected.merge(producer.expected());
    (topic, expected)
}

/// A copy of an archive, for one kind of damage.
struct Copied {
    root: tempfile::TempDir,
    topic: String,
}

impl Copied {
    fn of(site: &Site, topic: &str) -> Self {
        let root = tempfile::tempdir_in(crate::servers::run_dir()).expect("a directory");
        let done = Command::new("cp").arg("-a").arg(site.archive_path()).arg(root.path()).status();
        assert!(done.expect("cp").success());
        Self { root, topic: topic.to_owned() }
    }

    fn archive(&self) -> PathBuf {
        self.root.path().join("archive")
    }

    fn folder(&self, partition: i32) -> PathBuf {
        self.archive().join(&self.topic).join(format!("{partition:06}"))
    }

    /// The objects of a partition, in order.
    fn objects(&self, partition: i32) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder(partition)).expect("the folder").flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.to_string_lossy().contains(".mak"));
        paths.sort();
        paths
    }

    /// A path as reports name it.
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.archive()).expect("below").to_string_lossy().into_owned()
    }
}

/// Copying is not renaming; the old name goes by a command of its own.
fn move_file(from: &Path, to: &Path) {
    fs::copy(from, to).expect("copy");
    remove(from);
}

#[expect(clippy::disallowed_methods, reason = "damage is what the test is about")]
fn remove(path: &Path) {
    fs::remove_file(path).expect("remove");
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).expect("read");
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(path, bytes).expect("write");
}

/// What is changed, what is said of it, and the change itself.
type Change = (&'static str, &'static str, fn(&mut Vec<OwnedRecord>));

/// Does the damage, and gives the names of which one has to be named.
type Damage = fn(&Copied) -> Vec<String>;

const DAMAGES: &[(&str, Damage)] = &[
    ("a file in the middle is removed", |copied| {
        let path = copied.objects(1).remove(1);
        remove(&path);
        vec![copied.name(&path)]
    }),
    ("the seal is removed", |copied| {
        let objects = copied.objects(1);
        let (seal, _) = seal_of(&objects);
        remove(&seal);
        vec![copied.name(&seal)]
    }),
    ("a file has another start in its name", |copied| {
        let path = copied.objects(0).remove(1);
        let to = path.with_file_name("00000000000000000299.mak.gz");
        move_file(&path, &to);
        vec![copied.name(&to)]
    }),
    ("a file stands there twice", |copied| {
        let path = copied.objects(0).remove(1);
        let to = path.with_file_name("00000000000000000600.mak.gz");
        fs::copy(&path, &to).expect("copy");
        vec![copied.name(&to)]
    }),
    ("a file of another partition", |copied| {
        let (from, to) = (copied.objects(0).remove(1), copied.objects(1).remove(1));
        fs::copy(&from, &to).expect("copy");
        vec![copied.name(&to)]
    }),
    ("a bit of a body", |copied| {
        let path = copied.objects(0).remove(0);
        flip(&path, |_| 300);
        vec![copied.name(&path)]
    }),
    ("a bit of a tail", |copied| {
        let path = copied.objects(0).remove(0);
        flip(&path, |len| len - 60);
        vec![copied.name(&path)]
    }),
    ("a bit of a zstd frame", |copied| {
        let path = copied.objects(1).pop().expect("one");
        flip(&path, |_| 300);
        vec![copied.name(&path)]
    }),
    ("a file is cut", |copied| {
        let path = copied.objects(0).remove(0);
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() - 1]).expect("write");
        vec![copied.name(&path)]
    }),
    ("a file is longer", |copied| {
        let path = copied.objects(0).remove(0);
        let bytes = [fs::read(&path).expect("read"), vec![0]].concat();
        fs::write(&path, bytes).expect("write");
        vec![copied.name(&path)]
    }),
    ("a file is empty", |copied| {
        let path = copied.objects(0).remove(0);
        fs::write(&path, b"").expect("write");
        vec![copied.name(&path)]
    }),
    ("the body of another file", |copied| {
        let objects = copied.objects(0);
        let read = |path: &Path| fs::read(path).expect("read");
        let (one, other) = (read(&objects[0]), read(&objects[1]));
        let split = |bytes: &[u8]| {
            let container = Container::parse(Suffix::MakGz, bytes).expect("a container");
            let (body, _) = bytes.split_at(container.body().len());
            body.to_vec()
        };
        let tail = &one[split(&one).len()..];
        fs::write(&objects[0], [&split(&other), tail].concat()).expect("write");
        vec![copied.name(&objects[0])]
    }),
    ("something foreign at the tip", |copied| {
        let path = copied.folder(0).join("00000000000000000600.mak.gz");
        fs::write(&path, b"\x1f\x8bfor a rainy day").expect("write");
        vec![copied.name(&path)]
    }),
    ("chain.json is removed", |copied| {
        let path = copied.folder(0).join("chain.json");
        remove(&path);
        vec![copied.name(&path)]
    }),
    ("chain.json says another beginning", |copied| {
        let path = copied.folder(0).join("chain.json");
        let text = fs::read_to_string(&path).expect("read");
        assert!(text.contains("\"first\": 0"), "{text}");
        fs::write(&path, text.replace("\"first\": 0", "\"first\": 7")).expect("write");
        vec![copied.name(&path)]
    }),
    ("chain.json says another cluster", |copied| {
        let path = copied.folder(0).join("chain.json");
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, text.replace("\"cluster\": \"", "\"cluster\": \"x")).expect("write");
        vec![copied.name(&path)]
    }),
    ("chain.json is no JSON", |copied| {
        let path = copied.folder(0).join("chain.json");
        fs::write(&path, b"{").expect("write");
        vec![copied.name(&path)]
    }),
    ("running totals that don't add up", |copied| {
        let path = copied.objects(0).remove(1);
        rewrite(&path, |_, meta| {
            let totals = meta.totals.expect("totals");
            meta.totals = Some(Totals { records: totals.records + 1, ..totals });
        });
        vec![copied.name(&path)]
    }),
    ("a record less than the next file's totals say", |copied| {
        let objects = copied.objects(0);
        rewrite(&objects[0], |records, _| {
            records.remove(7);
        });
        // Its own totals were changed, too: those of the next one tell.
        vec![copied.name(&objects[1])]
    }),
];

/// Two objects with one start: the seal is the one that holds nothing.
fn seal_of(objects: &[PathBuf]) -> (PathBuf, PathBuf) {
    let start = |path: &Path| path.file_name().expect("a name").to_string_lossy()[..20].to_owned();
    let pair = objects.windows(2).find(|pair| start(&pair[0]) == start(&pair[1]));
    let pair = pair.expect("a seal and its file");
    let suffixed = |end: &str| {
        pair.iter().find(|path| path.to_string_lossy().ends_with(end)).expect("one").clone()
    };
    (suffixed(".mak.gz"), suffixed(".mak.zst"))
}

fn suffix_of(path: &Path) -> Suffix {
    let name = path.to_string_lossy();
    let ends = |suffix: &&Suffix| name.ends_with(suffix.as_str());
    *[Suffix::MakGz, Suffix::MakZst, Suffix::Mak].iter().find(ends).expect("a suffix")
}

fn meta_of(path: &Path) -> FileMeta {
    let bytes = fs::read(path).expect("read");
    let container = Container::parse(suffix_of(path), &bytes).expect("a container");
    match ObjectMeta::from_map(&container.tail().meta).expect("metadata") {
        ObjectMeta::File(file) => file,
        other => panic!("{other:?}"),
    }
}

/// Lays a file of an archive down anew, with other records or metadata, all checksums right.
fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<OwnedRecord>, &mut FileMeta)) {
    let bytes = fs::read(path).expect("read");
    let (_, stream) = codec::unpack(BufReader::new(&bytes[..])).expect("a container");
    let suffix = suffix_of(path);
    let mut reader = Reader::open(BufReader::new(stream)).expect("a file");
    let Header::V2(header) = reader.header().clone() else { panic!("version 2") };
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("a record") {
        records.push(OwnedRecord::from(record));
    }
    let mut meta = meta_of(path);
    let before = meta.totals;
    let (was_records, was_bytes) = (meta.records, meta.bytes);
    change(&mut records, &mut meta);
    let mut block = BlockBuilder::new(meta.range.start());
    let mut buf = HeadersBuf::new();
    for record in &records {
        block.push(&record.borrow(&mut buf)).expect("in order");
    }
    meta.records = block.records();
    meta.bytes = block.content_bytes();
    meta.times = block.times();
    if meta.totals == before
        && let Some(totals) = &mut meta.totals
    {
        totals.records = totals.records + meta.records - was_records;
        totals.bytes = totals.bytes + meta.bytes - was_bytes;
    }
    let info = FrameInfo {
        first: meta.range.start(),
        records: u32::try_from(meta.records).expect("few"),
        times: meta.times,
    };
    let finish = Finish {
        next: meta.range.next(),
        records: meta.records,
        bytes: meta.bytes,
        times: meta.times,
        leader_epoch: meta.leader_epoch,
    };
    let mut raw = file_prologue(&header);
    for slice in block.finish(meta.range.next()).expect("a block") {
        raw.extend_from_slice(&slice);
    }
    raw.extend(finish_block(&finish));
    let mut writer = ContainerWriter::new(Vec::new(), Level::new(suffix, None).expect("a level"));
    writer.frame(&raw, info).expect("a frame");
    let (bytes, _) = writer.finish(&ObjectMeta::File(meta).to_map()).expect("a tail");
    fs::write(path, bytes).expect("write");
}

/// Whether the checker of the tests accepts an archive.
fn checker_accepts(archive: &Path, expected: &Path) -> bool {
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checker/check.py"))
        .arg("--archive")
        .arg(archive)
        .arg("--expected")
        .arg(expected)
        .output()
        .expect("run python3");
    output.status.success()
}

#[test]
fn whatever_is_damaged_is_named() {
    let mut site = Site::new("verify-damage");
    site.archive_to_directory();
    let (topic, expected) = archive_with_everything(&mut site);
    let expected_dir = site.archive_path().with_file_name("expected-by-checker");
    expected.write(&expected_dir);
    let verify = |copied: &Copied, more: &[&str]| {
        let archive = copied.archive();
        let arguments = [&["verify", archive.to_str().expect("UTF-8"), "--json"], more].concat();
        program(&site, &arguments)
    };
    let whole = Copied::of(&site, &topic);
    let said = verify(&whole, &[]);
    assert_eq!((said.code, said.damage()), (1, Vec::new()), "{}", said.out);
    let report = said.json();
    let chain = |index: usize| &report["chains"][index];
    assert_eq!((chain(0)["records"].as_u64(), chain(0)["tip"].as_u64()), (Some(600), Some(600)));
    assert_eq!(chain(1)["gaps"][0]["from"], 300);
    assert_eq!((chain(1)["seals"].as_u64(), chain(1)["holes"].as_u64()), (Some(1), Some(0)));
    assert_eq!((chain(1)["records"].as_u64(), chain(1)["tip"].as_u64()), (Some(700), Some(800)));
    assert_eq!(
        (chain(2)["files"].as_u64(), chain(2)["verdict"].as_str()),
        (Some(0), Some("whole"))
    );
    assert!(checker_accepts(&whole.archive(), &expected_dir));

    // The checker looks at names and records, and only at them.
    let unseen_by_checker = [
        "the seal is removed",
        "a bit of a tail",
        "a file is longer",
        "chain.json says another cluster",
        "running totals that don't add up",
    ];
    let mut differ = BTreeMap::new();
    for (what, damage) in DAMAGES {
        let copied = Copied::of(&site, &topic);
        let culprits = damage(&copied);
        let said = verify(&copied, &[]);
        assert_eq!(said.code, 2, "{what}: {}{}", said.out, said.err);
        let found = said.damage();
        let named = found.iter().any(|one| culprits.iter().any(|name| one.contains(name)));
        assert!(named, "{what}: {culprits:?} not in {found:#?}");
        let accepted = checker_accepts(&copied.archive(), &expected_dir);
        if accepted != unseen_by_checker.contains(what) {
            differ.insert(*what, accepted);
        }
    }
    assert!(differ.is_empty(), "the checker says otherwise: {differ:?}");
}

#[test]
fn what_is_odd_is_no_damage() {
    let mut site = Site::new("verify-odd");
    site.archive_to_directory();
    let (topic, _) = archive_with_everything(&mut site);
    let verify = |copied: &Copied, more: &[&str]| {
        let archive = copied.archive();
        program(&site, &[&["verify", archive.to_str().expect("UTF-8")], more].concat())
    };
    // Rules of a bucket take the oldest objects.
    let copied = Copied::of(&site, &topic);
    remove(&copied.folder(0).join("chain.json"));
    remove(&copied.objects(0)[0]);
    let said = verify(&copied, &[&topic]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.out.contains("1 file with 300 records, offsets [0, 300), are gone"),
        "{}",
        said.out
    );
    let archive = copied.archive();
    let listed = program(&site, &["ls", archive.to_str().expect("UTF-8"), &topic]);
    assert!(listed.out.contains("300 records expired"), "{}", listed.out);

    // Names that are not of a chain stand in nobody's way.
    let copied = Copied::of(&site, &topic);
    fs::write(copied.folder(0).join("notes.txt"), b"buy milk").expect("write");
    let said = verify(&copied, &["--quick"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("000000/notes.txt: no name of a chain"), "{}", said.out);
    let archive = copied.archive();
    let listed = program(&site, &["ls", archive.to_str().expect("UTF-8")]);
    assert!(listed.code == 0 && listed.out.contains("notes.txt"), "{}", listed.out);

    // Nothing there proves nothing.
    let empty = tempfile::tempdir().expect("a directory");
    let place = empty.path().to_str().expect("UTF-8");
    assert_eq!(program(&site, &["verify", place]).code, 3);
    let listed = program(&site, &["ls", place]);
    assert!(listed.code == 0 && listed.out.contains("nothing is archived here"), "{}", listed.out);
    assert_eq!(program(&site, &["verify", "/nowhere/at/all"]).code, 3);
    assert_eq!(program(&site, &["ls", "/nowhere/at/all"]).code, 66);
    assert_eq!(program(&site, &["verify", place, "--sample", "7"]).code, 64);
    assert_eq!(program(&site, &["verify", "ftp://x/y"]).code, 64);
}

#[test]
fn a_bucket_is_listed_by_one_listing_and_one_head_a_partition() {
    let mut site = Site::new("verify-bucket");
    let topic = site.topic("t", 2, &[]);
    let mut expected = produce_odd(&site, &topic, 2, 500);
    site.run_to_end().expect(0);
    expected.merge(produce_odd(&site, &topic, 2, 500));
    site.run_to_end().expect(0);
    site.check(&expected);
    let url = "s3://verify-bucket/archive";
    let seen = || site.store.seen(|_| true);

    let before = seen().len();
    let said = program(&site, &["ls", url, "--json"]);
    let asked = seen().split_off(before);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    let heads = asked.iter().filter(|seen| seen.method == "HEAD").count();
    let lists = asked.iter().filter(|seen| seen.path.contains("list-type=2")).count();
    // Topics, the topic's partitions, and one for each of these.
    assert_eq!((heads, lists, asked.len()), (2, 4, 6), "{asked:#?}");
    let listing = said.json();
    let chain = &listing["chains"][1];
    for (key, value) in [("start", 0), ("next", 1000), ("records", 1000), ("files", 2), ("gaps", 0)]
    {
        assert_eq!(chain[key], value, "{key} of {chain}");
    }
    let low = chain["first_time_ms"].as_i64().expect("a time");
    assert!(low < chain["last_time_ms"].as_i64().expect("a time"), "{chain}");

    // Without bodies: what is asked for are ends of objects only.
    let before = seen().len();
    let quick = program(&site, &["verify", url, "--quick", "--json"]);
    assert_eq!((quick.code, quick.damage()), (0, Vec::new()));
    let asked = seen().split_off(before);
    let gets = asked.iter().filter(|seen| seen.method == "GET" && seen.path.contains(".mak"));
    assert_eq!(gets.clone().count(), 4, "{asked:#?}");
    assert!(gets.clone().all(|seen| seen.range.is_some()));

    let whole = program(&site, &["verify", url, "--json"]);
    assert_eq!((whole.code, whole.damage()), (0, Vec::new()), "{}", whole.out);
    let object = site.object_path(&topic, 1, 0);
    let name = format!("{url}/{topic}/000001/{}", site.objects(&topic, 1)[0]);
    let info = program(&site, &["info", &name, "--check"]);
    assert_eq!(info.code, 0, "{}{}", info.out, info.err);
    for line in ["range       [0, 500)", "checksums   right", "metadata    bytes = "] {
        assert!(info.out.contains(line), "{line} is not in {}", info.out);
    }

    // A body that was changed behind the store's back.
    flip(&object, |_| 200);
    assert_eq!(program(&site, &["verify", url, "--quick"]).code, 0);
    let said = program(&site, &["verify", url]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.out.contains(&format!("damage: {name}: ")), "{}", said.out);
    let info = program(&site, &["info", &name, "--check"]);
    assert!(info.code == 65 && info.out.contains("PROBLEM"), "{}", info.out);
    flip(&object, |_| 200);

    // What can't be looked at is not taken for whole.
    let refuse = |seen: &Seen| seen.method == "HEAD" && seen.path.contains("/000001/");
    site.store.rule(move |seen| if refuse(seen) { Action::Refuse(403) } else { Action::Pass });
    let said = program(&site, &["verify", url, "--json"]);
    assert_eq!((said.code, said.damage()), (3, Vec::new()), "{}", said.out);
    assert!(said.out.contains("not permitted"), "{}", said.out);
}

#[test]
fn an_archive_is_held_against_the_live_cluster() {
    let mut site = Site::new("verify-against");
    site.archive_to_directory();
    site.set("compression", "compression", "none");
    let topic = site.topic("t", 2, &[]);
    let compacted = site.topic("compacted", 1, &[("cleanup.policy", "compact")]);
    produce_odd(&site, &topic, 2, 500);
    let producer = Producer::new(&site.bootstrap);
    let keyed =
        |index: u64| Record { key: Some(index.to_be_bytes().to_vec()), ..Record::odd(5, index) };
    producer.send(&compacted, 0, (0..50).map(keyed));
    site.run_to_end().expect(0);
    produce_odd(&site, &topic, 1, 40);
    site.admin.delete_records(&topic, 0, 100);
    let config = site.config_file();
    let config = config.to_str().expect("UTF-8");
    let against = |more: &[&str]| {
        program(&site, &[&["verify", config, "--against", config, "--json"], more].concat())
    };
    let said = against(&[]);
    assert_eq!((said.code, said.damage()), (0, Vec::new()), "{}{}", said.out, said.err);
    let report = said.json();
    let partitions = report["against"]["partitions"].as_array().expect("partitions").clone();
    let of = |name: &str, key: &str| {
        let found = partitions.iter().find(|p| p["topic"] == name && p["partition"] == 0);
        found.expect("the partition")[key].as_u64()
    };
    assert_eq!(
        (of(&topic, "compared"), of(&topic, "lag")),
        (Some(400), Some(40)),
        "{partitions:?}"
    );
    assert_eq!(of(&compacted, "compared"), Some(50));

    // The same file with other records, all its checksums right: only the cluster knows better.
    let object = site.object_path(&topic, 1, 0);
    let kept = fs::read(&object).expect("read");
    let changes: [Change; 3] = [
        ("another value", "is another one in the cluster: its value differs", |records| {
            records[123].value = Some(b"forged".to_vec());
        }),
        ("a record less", "has a record at offset 200, which is not archived", |records| {
            records.remove(200);
        }),
        ("the last record less", "at offset 499, which is not archived", |records| {
            records.pop();
        }),
    ];
    for (what, text, change) in changes {
        rewrite(&object, |records, _| change(records));
        let said = against(&[&topic]);
        assert_eq!(said.code, 2, "{what}: {}", said.out);
        let found = said.damage();
        assert!(found.len() == 1 && found[0].contains(text), "{what}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("{topic}/000001/00000000000000000000.mak")),
            "{found:?}"
        );
        fs::write(&object, &kept).expect("write");
    }
    rewrite(&object, |records, _| records[499].value = None);
    assert_eq!(against(&[&topic, "--sample", "3"]).code, 2, "the last one is always looked at");
    fs::write(&object, &kept).expect("write");
    assert_eq!(against(&[&topic, "--sample", "20"]).code, 0);

    // The chain's last file is gone, which the chain itself can't tell.
    site.run_to_end().expect(0);
    assert_eq!(against(&[&topic]).code, 0);
    let last = site.object_path(&topic, 0, 1);
    let name = last.file_name().expect("a name").to_string_lossy().into_owned();
    remove(&last);
    let said = against(&[&topic]);
    let found = said.damage();
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(found.len() == 1 && found[0].contains(&name), "{found:#?}");
}

#[test]
fn info_tells_of_files_of_every_kind() {
    let mut site = Site::new("verify-info");
    site.archive_to_directory();
    site.set("compression", "compressor_workers", "0");
    let topic = site.topic("t", 1, &[]);
    produce_odd(&site, &topic, 1, 100);
    let run = site.start();
    crate::harness::await_that("a rotated file", || !run.spool_files("rotated").is_empty());
    let rotated = run.spool_files("rotated").remove(0).0;
    let kept = site.archive_path().with_file_name("kept.mak");
    fs::copy(&rotated, &kept).expect("copy");
    drop(run);
    let info = |path: &Path, more: &[&str]| {
        let path = path.to_str().expect("UTF-8");
        program(&site, &[&["info", path], more].concat())
    };
    let said = info(&kept, &["--json"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let found = said.json();
    assert_eq!((found["records"].as_u64(), found["next"].as_u64()), (Some(100), Some(100)));
    assert_eq!(
        (found["complete"].as_bool(), found["checksums"].as_str()),
        (Some(true), Some("right"))
    );
    assert_eq!(found["header"]["topic"], topic);
    assert!(found["blocks"].as_u64() > Some(0));

    let cut = kept.with_file_name("cut.mak");
    let bytes = fs::read(&kept).expect("read");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("write");
    let said = info(&cut, &[]);
    assert!(said.code == 65 && said.out.contains("PROBLEM"), "{}", said.out);

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut originals = Vec::new();
    find_mak(&golden, &mut originals);
    assert!(originals.len() > 3, "{originals:?}");
    for path in originals {
        let said = info(&path, &["--json"]);
        assert!(said.code == 0 || said.code == 65, "{}: {}{}", path.display(), said.out, said.err);
        assert!(said.json()["records"].as_u64().is_some() || said.code == 65, "{}", said.out);
    }
    assert_eq!(info(Path::new("/nowhere.mak"), &[]).code, 66);
}

/// Files of the original tool.
fn find_mak(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_mak(&path, into);
        } else if path.to_string_lossy().contains(".mak") {
            into.push(path);
        }
    }
}
