//! A directory as an archive through a power loss.
//!
//! The real program archives into a directory under `strace`, two instances of different groups at
//! once, so that each file's name is fought for. What they did is then replayed on a model of a
//! disk, call by call, and after each call the power goes in every way that the model knows. In
//! each of these worlds every object has to be whole, each chain unbroken from its record on, and
//! as long as any instance's spool says. A few of the worlds are laid on a real disk, and the
//! program goes on there.

mod disk;
mod trace;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::fs;
use std::path::Path;

use kafkatos3::codec::Container;
use kafkatos3::meta::{ChainRecord, ObjectMeta};
use kafkatos3::spool::tips::TipFile;
use kafkatos3::store::names::{ChainId, Name, Parsed, parse};
use kafkatos3::types::Offset;

use crate::archive::produce_odd;
use crate::harness::{Expected, Site};
use disk::{Call, Disk, Remains, Tree};

/// What a name in the archive may hold.
#[derive(Debug, Clone)]
enum Holds {
    /// A chain's record, and where the chain begins.
    Record(ChainId, Offset),
    /// A file of a chain: from where to where.
    File(ChainId, Offset, Offset),
    /// A genesis, a leftover of a self-test: whole, and of no chain.
    Other,
}

/// Whether a call, on an archive in that folder, is of a kind that is to be left out.
type Kind = fn(&Call, &str) -> bool;

const LEFT_OUT: [(&str, Kind); 3] = [
    ("syncs of files", |call, _| matches!(call, Call::Sync(path) if is_temporary(path))),
    (
        "syncs of partitions' folders",
        |call, root| matches!(call, Call::Sync(path) if !is_temporary(path) && depth(path, root) == 2),
    ),
    (
        "syncs of the folders above",
        |call, root| matches!(call, Call::Sync(path) if !is_temporary(path) && depth(path, root) < 2),
    ),
];

fn is_temporary(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|last| last.starts_with(".tmp-"))
}

/// How many folders below `root`.
fn depth(path: &str, root: &str) -> usize {
    path.strip_prefix(root).unwrap_or(path).matches('/').count()
}

/// Everything that one replay knows.
struct Replay {
    /// The archive's folder.
    root: String,
    /// The disk with the archive.
    disk: Disk,
    /// The spools, which lose nothing here: they only tell what was acknowledged when.
    spools: Disk,
    /// What was found in a file, so that each is read once.
    known: HashMap<(String, Remains), Result<Holds, String>>,
    /// How far the spools say that the partitions are archived.
    told: BTreeMap<(String, i64), Offset>,
}

impl Replay {
    fn new(root: &str) -> Self {
        Self {
            root: root.to_owned(),
            disk: Disk::default(),
            spools: Disk::default(),
            known: HashMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Replays the calls, and checks every world behind each of them; `visit` is shown each new
    /// one with the number of the call. Ends with what is wrong, if anything is.
    fn run<'a>(
        &mut self,
        calls: impl Iterator<Item = &'a Call>,
        mut visit: impl FnMut(usize, &Disk, &Tree),
    ) -> Result<(), String> {
        let mut seen = HashSet::new();
        for (number, call) in calls.enumerate() {
            self.apply(call);
            for tree in self.disk.crashes() {
                let sound = self.check(&tree);
                sound.map_err(|what| format!("after call {number}, {}: {what}", call.path()))?;
                if !seen.contains(&tree) {
                    visit(number, &self.disk, &tree);
                    seen.insert(tree);
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, call: &Call) {
        if call.path().starts_with(&self.root) {
            self.disk.apply(call);
            return;
        }
        self.spools.apply(call);
        let Call::Rename { new, .. } = call else { return };
        if Path::new(new).extension().is_some_and(|end| end == "json") {
            let content = self.spools.content(new).expect("the new tip");
            let tip: TipFile = serde_json::from_slice(content).expect("a tip reads");
            let key = (tip.identity.topic.to_string(), tip.identity.partition.get().into());
            let told = self.told.entry(key).or_insert(tip.position.tip);
            *told = tip.position.tip.max(*told);
        }
    }

    /// Whether the archive in this world is sound; else what is wrong.
    fn check(&mut self, tree: &Tree) -> Result<(), String> {
        let mut records = BTreeMap::new();
        let mut files: BTreeMap<ChainId, BTreeMap<Offset, Offset>> = BTreeMap::new();
        for (path, remains) in tree {
            let Some(name) = path.strip_prefix(&self.root) else { continue };
            let name = name.trim_start_matches('/');
            if is_temporary(name) {
                continue;
            }
            let key = (name.to_owned(), *remains);
            let disk = &self.disk;
            let holds = self.known.entry(key).or_insert_with(|| read(name, &disk.read(*remains)));
            match holds.clone()? {
                Holds::Record(chain, first) => {
                    records.insert(chain, first);
                }
                Holds::File(chain, start, next) => {
                    files.entry(chain).or_default().insert(start, next);
                }
                Holds::Other => {}
            }
        }
        let mut ends = BTreeMap::new();
        for (chain, first) in &records {
            let mut end = *first;
            for (start, next) in files.remove(chain).unwrap_or_default() {
                if start != end {
                    return Err(format!("{chain:?} goes on at {start} behind {end}"));
                }
                end = next;
            }
            ends.insert((chain.name().topic().to_string(), chain.partition().get().into()), end);
        }
        if !files.is_empty() {
            return Err(format!("files without a record: {files:?}"));
        }
        match self.told.iter().find(|(partition, told)| ends.get(partition) < Some(told)) {
            Some((partition, told)) => Err(format!("{partition:?}: {told} told, {ends:?} there")),
            None => Ok(()),
        }
    }
}

/// Reads a whole object; says what is wrong if it is anything less.
fn read(name: &str, content: &[u8]) -> Result<Holds, String> {
    let broken = |why: &dyn Display| format!("{name} is not whole: {why}");
    match parse(&Name::parse(name).map_err(|e| broken(&e))?) {
        Parsed::Object { chain, start, suffix } => {
            let container = Container::parse(suffix, content).map_err(|e| broken(&e))?;
            container.verify_body().map_err(|e| broken(&e))?;
            match ObjectMeta::from_map(&container.tail().meta).map_err(|e| broken(&e))? {
                ObjectMeta::File(file) if file.range.start() == start => {
                    Ok(Holds::File(chain, start, file.range.next()))
                }
                ObjectMeta::File(file) => Err(broken(&file.range)),
                ObjectMeta::Seal(_) | ObjectMeta::Close(_) => Ok(Holds::Other),
            }
        }
        Parsed::Record(chain) => {
            let record: ChainRecord = serde_json::from_slice(content).map_err(|e| broken(&e))?;
            Ok(Holds::Record(chain, record.first))
        }
        Parsed::Foreign => Ok(Holds::Other),
    }
}

/// Lays a world on a real disk.
fn lay(disk: &Disk, root: &str, tree: &Tree, to: &Path) {
    for (path, remains) in tree {
        let Some(name) = path.strip_prefix(root) else { continue };
        let path = to.join(name.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(path, disk.read(*remains)).expect("write a file");
    }
}

#[test]
fn whatever_a_power_loss_leaves_of_a_directory_is_a_sound_archive() {
    let mut site = Site::new("power-loss");
    site.archive_to_directory();
    // Not part of what is proven: whoever sets an archive up has its folder.
    fs::create_dir(site.archive_path()).expect("make the archive's folder");
    site.set("consumer", "max_file_bytes", "64KiB");
    let topic = site.topic("t", 2, &[]);
    let mut rival = site.twin();
    rival.set("consumer", "kafka_consumer_group", "power-loss-rival");
    let mut expected = Expected::default();
    let mut calls = Vec::new();
    let root = site.archive_path().display().to_string();
    for _ in 0..2 {
        expected.merge(produce_odd(&site, &topic, 2, 3_000));
        let trace = site.run_to_end_traced(&[&rival], trace::CALLS);
        let tips = [&site, &rival].map(|site| site.spool().join("tips").display().to_string());
        calls.extend(trace::read(&trace, &[&root, &tips[0], &tips[1]]));
    }
    site.check(&expected);
    assert!(site.objects(&topic, 0).len() > 4, "several files, one after the other");

    // What is proven needs every kind of sync: without it some world is not sound.
    for (what, is_left_out) in LEFT_OUT {
        let kept = calls.iter().filter(|call| !is_left_out(call, &root));
        let sound = Replay::new(&root).run(kept, |_, _, _| ());
        assert!(sound.is_err(), "{what} are of no use?");
    }

    let mut laid = 0;
    let mut worlds = 0;
    let mut replay = Replay::new(&root);
    let sound = replay.run(calls.iter(), |number, disk, tree| {
        worlds += 1;
        // Few enough to be quick, and spread over the whole run.
        if number * 4 / calls.len() > laid {
            laid += 1;
            let mut after = site.twin_named(&format!("after-{laid}"));
            after.archive_to_directory();
            after.set("consumer", "kafka_consumer_group", format!("power-loss-after-{laid}"));
            lay(disk, &root, tree, after.archive_path());
            after.run_to_end().expect(0);
            after.check(&expected);
        }
    });
    assert_eq!(sound, Ok(()));
    println!("{} calls, {worlds} worlds, {laid} of them gone on with", calls.len());
    assert_eq!((replay.told.len(), laid), (2, 3));
}
