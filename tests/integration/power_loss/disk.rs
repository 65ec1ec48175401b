//! A disk that loses its power: what POSIX lets a directory look like after a crash.
//!
//! Stricter than any file system in use. Until a file was synced, any part of what was written to
//! it may be missing. Until a folder was synced, each change of its entries may have reached the
//! disk or not, whatever became of the changes before; syncing a file does nothing for its name.

use std::collections::{BTreeMap, BTreeSet};

/// A call that changes a disk, and succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// A new, empty file.
    Create(String),
    /// A new folder.
    MakeFolder(String),
    /// More bytes at a file's end.
    Append(String, Vec<u8>),
    /// `fsync`, of a file or a folder.
    Sync(String),
    /// A second name for a file.
    Link { old: String, new: String },
    /// Another name instead of the old one, and of whatever had it.
    Rename { old: String, new: String },
    /// A name less.
    Unlink(String),
    /// One that this model does not know.
    Other { name: String, path: String },
}

impl Call {
    /// What it is about; of two names the new one.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Create(path)
            | Self::MakeFolder(path)
            | Self::Append(path, _)
            | Self::Sync(path)
            | Self::Unlink(path)
            | Self::Other { path, .. } => path,
            Self::Link { new, .. } | Self::Rename { new, .. } => new,
        }
    }
}

/// What a disk holds after a crash: files by path. Folders without files don't show.
pub(super) type Tree = BTreeMap<String, Remains>;

/// What is left of a file; [`Disk::read`] gives its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Remains {
    file: usize,
    len: usize,
    /// From here on there are zeros instead of what was written.
    zeros_from: usize,
}

/// How much of a file that was not synced is there after a crash.
#[derive(Debug, Clone, Copy)]
enum Torn {
    All,
    Nothing,
    Half,
    /// The right length, but zeros.
    Zeros,
}

/// What entry a name has in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(usize),
    Folder,
}

/// A change of one folder that may be lost: the names and what they stand for from then on.
#[derive(Debug, Clone)]
struct Change {
    folder: String,
    names: Vec<(String, Option<Entry>)>,
}

#[derive(Debug, Default)]
struct File {
    content: Vec<u8>,
    /// How much of it was synced.
    durable: usize,
}

type Entries = BTreeMap<String, Entry>;

/// A disk at work.
#[derive(Debug, Default)]
pub(super) struct Disk {
    files: Vec<File>,
    /// Entries by path, as the running system sees them, and as they are known to be durable.
    now: Entries,
    durable: Entries,
    /// Changes that may be lost, in order.
    pending: Vec<Change>,
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned())
}

impl Disk {
    /// Applies a call. Of what was there before the first call nothing is known: calls on it have
    /// no effect, but for the folders in it.
    pub(super) fn apply(&mut self, call: &Call) {
        match call {
            Call::Create(path) => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.change(path, vec![(path.clone(), Some(Entry::File(file)))]);
            }
            Call::MakeFolder(path) => self.change(path, vec![(path.clone(), Some(Entry::Folder))]),
            Call::Append(path, bytes) => {
                if let Some(file) = self.file(path) {
                    self.files[file].content.extend_from_slice(bytes);
                }
            }
            Call::Sync(path) => match self.file(path) {
                Some(file) => self.files[file].durable = self.files[file].content.len(),
                None => self.sync_folder(path),
            },
            Call::Link { old, new } => {
                if let Some(entry) = self.now.get(old).copied() {
                    self.change(new, vec![(new.clone(), Some(entry))]);
                }
            }
            Call::Rename { old, new } => {
                if let Some(entry) = self.now.get(old).copied() {
                    assert_eq!(parent(old), parent(new), "a rename within one folder");
                    self.change(new, vec![(old.clone(), None), (new.clone(), Some(entry))]);
                }
            }
            Call::Unlink(path) => self.change(path, vec![(path.clone(), None)]),
            Call::Other { name, path } => panic!("the model does not know {name}, on {path}"),
        }
    }

    /// The bytes that are left of a file.
    pub(super) fn read(&self, remains: Remains) -> Vec<u8> {
        let mut content = self.files[remains.file].content[..remains.len].to_vec();
        content[remains.zeros_from..].fill(0);
        content
    }

    /// The bytes of a file as the running system sees it.
    pub(super) fn content(&self, path: &str) -> Option<&[u8]> {
        self.file(path).map(|file| self.files[file].content.as_slice())
    }

    fn file(&self, path: &str) -> Option<usize> {
        match self.now.get(path) {
            Some(Entry::File(file)) => Some(*file),
            _ => None,
        }
    }

    fn change(&mut self, path: &str, names: Vec<(String, Option<Entry>)>) {
        let change = Change { folder: parent(path), names };
        put(&mut self.now, &change);
        self.pending.push(change);
    }

    fn sync_folder(&mut self, folder: &str) {
        let Self { pending, durable, .. } = self;
        pending.retain(|change| {
            let reached = change.folder == folder;
            if reached {
                put(durable, change);
            }
            !reached
        });
    }

    /// Every way in which the disk may look if the power went now, most of them at least: all and
    /// none of the pending changes, those up to each, each alone, and all but each; and each of
    /// these with unsynced files torn in four ways.
    pub(super) fn crashes(&self) -> BTreeSet<Tree> {
        let all: Vec<usize> = (0..self.pending.len()).collect();
        let mut choices = BTreeSet::from([all.clone(), Vec::new()]);
        for one in &all {
            choices.insert(all.iter().copied().take_while(|other| other != one).collect());
            choices.insert(vec![*one]);
            choices.insert(all.iter().copied().filter(|other| other != one).collect());
        }
        let torn = [Torn::All, Torn::Nothing, Torn::Half, Torn::Zeros];
        let mut trees = BTreeSet::new();
        for kept in choices {
            for torn in torn {
                trees.insert(self.tree(&kept, torn));
            }
        }
        trees
    }

    fn tree(&self, kept: &[usize], torn: Torn) -> Tree {
        let mut entries = self.durable.clone();
        for change in kept.iter().filter_map(|index| self.pending.get(*index)) {
            put(&mut entries, change);
        }
        let files = entries.iter().filter_map(|(path, entry)| match entry {
            Entry::File(file) if self.is_reachable(&entries, path) => {
                Some((path.clone(), self.remains(*file, torn)))
            }
            _ => None,
        });
        files.collect()
    }

    fn remains(&self, file: usize, torn: Torn) -> Remains {
        let File { content, durable } = &self.files[file];
        let len = match torn {
            Torn::All | Torn::Zeros => content.len(),
            Torn::Nothing => *durable,
            Torn::Half => durable.midpoint(content.len()),
        };
        let zeros_from = if matches!(torn, Torn::Zeros) { *durable } else { len };
        Remains { file, len, zeros_from }
    }

    /// Whether all the folders above `path` that were made since the beginning are there.
    fn is_reachable(&self, entries: &Entries, path: &str) -> bool {
        let mut folder = parent(path);
        while !folder.is_empty() {
            if self.now.get(&folder) == Some(&Entry::Folder) && !entries.contains_key(&folder) {
                return false;
            }
            folder = parent(&folder);
        }
        true
    }
}

fn put(entries: &mut Entries, change: &Change) {
    for (name, entry) in &change.names {
        match entry {
            Some(entry) => entries.insert(name.clone(), *entry),
            None => entries.remove(name),
        };
    }
}

fn crashes(disk: &Disk) -> BTreeSet<Vec<(&'static str, Vec<u8>)>> {
    let known = ["/d/t", "/d/x", "/d/e/f"];
    let name = |path: &String| *known.iter().find(|name| *name == path).expect("a known name");
    let trees = disk.crashes().into_iter();
    let read =
        |tree: Tree| tree.iter().map(|(path, file)| (name(path), disk.read(*file))).collect();
    trees.map(read).collect()
}

#[test]
fn what_was_not_synced_may_be_lost_in_any_way() {
    let mut disk = Disk::default();
    disk.apply(&Call::Create("/d/t".to_owned()));
    disk.apply(&Call::Append("/d/t".to_owned(), b"ab".to_vec()));
    let torn = ["", "\0\0", "a", "ab"].map(|content| vec![("/d/t", content.into())]);
    let mut expected = BTreeSet::from(torn);
    expected.insert(Vec::new());
    assert_eq!(crashes(&disk), expected);

    // Syncing the file does nothing for its name.
    disk.apply(&Call::Sync("/d/t".to_owned()));
    let (t, x) = (("/d/t", b"ab".to_vec()), ("/d/x", b"ab".to_vec()));
    assert_eq!(crashes(&disk), BTreeSet::from([vec![], vec![t.clone()]]));

    // The link may be there without the name that it was made from.
    disk.apply(&Call::Link { old: "/d/t".to_owned(), new: "/d/x".to_owned() });
    let both = vec![t.clone(), x.clone()];
    let expected = BTreeSet::from([vec![], vec![t], vec![x.clone()], both.clone()]);
    assert_eq!(crashes(&disk), expected);
    disk.apply(&Call::Sync("/d".to_owned()));
    disk.apply(&Call::Unlink("/d/t".to_owned()));
    assert_eq!(crashes(&disk), BTreeSet::from([both, vec![x]]));
}

#[test]
fn a_folder_that_is_lost_takes_its_files_with_it() {
    let mut disk = Disk::default();
    disk.apply(&Call::MakeFolder("/d/e".to_owned()));
    disk.apply(&Call::Create("/d/e/f".to_owned()));
    disk.apply(&Call::Sync("/d/e".to_owned()));
    let file = vec![("/d/e/f", Vec::new())];
    assert_eq!(crashes(&disk), BTreeSet::from([vec![], file.clone()]));
    disk.apply(&Call::Sync("/d".to_owned()));
    assert_eq!(crashes(&disk), BTreeSet::from([file]));
}

#[test]
fn a_rename_is_there_or_not() {
    let mut disk = Disk::default();
    disk.apply(&Call::Create("/d/t".to_owned()));
    disk.apply(&Call::Sync("/d".to_owned()));
    disk.apply(&Call::Rename { old: "/d/t".to_owned(), new: "/d/x".to_owned() });
    let of = |name| vec![(name, Vec::new())];
    assert_eq!(crashes(&disk), BTreeSet::from([of("/d/t"), of("/d/x")]));
}
