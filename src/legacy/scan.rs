//! What lies in a working directory of the original. Lists directories, and changes nothing.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::name::{LegacyName, Packing};
use crate::types::{Partition, TopicName, TopicPartition};

/// Directories of finished files; the last two are where the rotate tool makes them.
const FINISHED: [&str; 4] = ["tocompress", "tos3", "data/tocompress", "data/tos3"];
/// Files that are being written; this product's own spool has its files flat in the same place.
const IN_PROGRESS: &str = "inprogress";
/// The original goes two levels deep.
const DEPTH: u32 = 8;

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Where it lies.
    pub path: PathBuf,
    /// What its name says.
    pub name: LegacyName,
    /// Whether it is packed.
    pub packing: Packing,
}

/// A file that was being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InProgress {
    /// Where it lies.
    pub path: PathBuf,
    /// Whose directory it is in.
    pub tp: TopicPartition,
}

/// Everything that was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// In the order of partitions and offsets.
    pub finished: Vec<Finished>,
    /// In the order of partitions.
    pub in_progress: Vec<InProgress>,
    /// What gzip had not finished: beside each lies the file that it was made from.
    pub half_packed: Vec<PathBuf>,
    /// What the original would not have put there.
    pub strangers: Vec<PathBuf>,
}

/// A directory that could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("can't list \"{path}\"")]
pub struct ScanError {
    path: PathBuf,
    source: io::Error,
}

/// Where finished files of a partition are put when they are rotated.
#[must_use]
pub fn rotated_path(root: &Path, name: &LegacyName) -> PathBuf {
    let (topic, partition) = (name.tp.topic.as_str(), name.tp.partition.to_string());
    root.join("tocompress").join(topic).join(partition).join(format!("{name}.mak"))
}

/// The directories in which something may be left.
pub fn directories(root: &Path) -> impl Iterator<Item = PathBuf> {
    FINISHED.into_iter().chain([IN_PROGRESS]).map(|dir| root.join(dir))
}

/// Whether there is any file at all: a few directory listings. What can't be listed counts, so that
/// somebody looks again and says why.
#[must_use]
pub fn is_anything_left(root: &Path) -> bool {
    let any = |dir: PathBuf, depth| holds_a_file(&dir, depth).unwrap_or(true);
    let topics = || subdirectories(&root.join(IN_PROGRESS));
    FINISHED.iter().any(|dir| any(root.join(dir), DEPTH))
        || topics().map_or(true, |topics| topics.into_iter().any(|dir| any(dir, DEPTH)))
}

fn holds_a_file(dir: &Path, depth: u32) -> io::Result<bool> {
    for entry in entries(dir)? {
        if !entry.file_type()?.is_dir() {
            return Ok(true);
        }
        if depth > 0 && holds_a_file(&entry.path(), depth - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What lies in a directory; one that is not there is empty.
fn entries(dir: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(dir) {
        Ok(found) => found.collect(),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}

fn subdirectories(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in entries(dir)? {
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Finds everything.
pub fn scan(root: &Path) -> Result<Leftovers, ScanError> {
    let mut found = Leftovers::default();
    for dir in FINISHED {
        let mut files = Vec::new();
        walk(&root.join(dir), DEPTH, &mut files)?;
        for file in files {
            found.take_finished(file);
        }
    }
    let inprogress = root.join(IN_PROGRESS);
    for topic in subdirectories(&inprogress).map_err(at(&inprogress))? {
        let mut files = Vec::new();
        walk(&topic, DEPTH, &mut files)?;
        for file in files {
            found.take_in_progress(&inprogress, file);
        }
    }
    found.separate_half_packed();
    let key = |file: &Finished| {
        (file.name.tp.clone(), file.name.range.start(), file.name.range.next(), file.path.clone())
    };
    found.finished.sort_by_cached_key(key);
    found.in_progress.sort_by_cached_key(|file| (file.tp.clone(), file.path.clone()));
    Ok(found)
}

fn at(path: &Path) -> impl Fn(io::Error) -> ScanError + use<> {
    let path = path.to_owned();
    move |source| ScanError { path: path.clone(), source }
}

/// All that is no directory, below `dir`.
fn walk(dir: &Path, depth: u32, into: &mut Vec<(PathBuf, bool)>) -> Result<(), ScanError> {
    let at = at(dir);
    for entry in entries(dir).map_err(&at)? {
        let kind = entry.file_type().map_err(&at)?;
        if kind.is_dir() && depth > 0 {
            walk(&entry.path(), depth - 1, into)?;
        } else {
            into.push((entry.path(), kind.is_file()));
        }
    }
    Ok(())
}

impl Leftovers {
    /// Whether nothing is left that can be archived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.in_progress.is_empty() && self.half_packed.is_empty()
    }

    fn take_finished(&mut self, (path, is_file): (PathBuf, bool)) {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(LegacyName::parse);
        match name {
            Some((name, packing)) if is_file => {
                self.finished.push(Finished { path, name, packing });
            }
            _ => self.strangers.push(path),
        }
    }

    fn take_in_progress(&mut self, root: &Path, (path, is_file): (PathBuf, bool)) {
        match owner(root, &path) {
            Some(tp) if is_file => self.in_progress.push(InProgress { path, tp }),
            _ => self.strangers.push(path),
        }
    }

    /// gzip removes what it has packed only when it is done with it.
    fn separate_half_packed(&mut self) {
        let plain = |file: &Finished| file.path.with_added_extension("gz");
        let made_from = |file: &&Finished| file.packing == Packing::Plain;
        let sources: Vec<_> = self.finished.iter().filter(made_from).map(plain).collect();
        let (half, whole) = std::mem::take(&mut self.finished)
            .into_iter()
            .partition(|file: &Finished| sources.contains(&file.path));
        self.finished = whole;
        self.half_packed = Vec::into_iter(half).map(|file| file.path).collect();
    }
}

/// The partition of `inprogress/TOPIC/PARTITION/ANY.mak`.
fn owner(root: &Path, path: &Path) -> Option<TopicPartition> {
    let parts: Vec<&str> = path.strip_prefix(root).ok()?.iter().map_while(|p| p.to_str()).collect();
    let [topic, partition, file] = parts.as_slice() else { return None };
    let number = Partition::new(partition.parse().ok()?).ok()?;
    let tp = TopicPartition::new(TopicName::new(topic).ok()?, number);
    (file.strip_suffix(".mak").is_some() && number.to_string() == *partition).then_some(tp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn paths(root: &Path, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
        let relative = |path: PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        let mut paths: Vec<_> = paths.into_iter().map(relative).collect();
        paths.sort();
        paths
    }

    #[test]
    fn everything_that_the_original_leaves_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for file in [
            "inprogress/t/0/data.mak",
            "inprogress/t/1/host2.mak",
            "inprogress/t-0_5.00000000000000ff.mak",
            "tocompress/t/0/t-0_10-19_160811.mak",
            "tocompress/t/0/t-0_10-19_160811.mak.gz",
            "tocompress/t/0/t-0_0-9_160811.mak.gz",
            "tos3/t/0/t-0_100-199_160811.mak.gz",
            "tos3/t-0_20-99_160811.mak.gz",
            "data/tocompress/u/3/u-3_7-8_160811.mak",
            "data/tos3/u/3/u-3_5-6_160811.mak.gz",
            "data/inprogress/t/0/data.mak",
            "rotated/t-0_5-9.mak",
        ] {
            put(root, file);
        }
        assert!(is_anything_left(root));
        let found = scan(root).unwrap();
        let names: Vec<_> = found.finished.iter().map(|file| file.name.to_string()).collect();
        assert_eq!(
            names,
            [
                "t-0_0-9_160811",
                "t-0_10-19_160811",
                "t-0_20-99_160811",
                "t-0_100-199_160811",
                "u-3_5-6_160811",
                "u-3_7-8_160811"
            ]
        );
        assert_eq!(found.finished[1].packing, Packing::Plain);
        assert_eq!(paths(root, found.half_packed), ["tocompress/t/0/t-0_10-19_160811.mak.gz"]);
        let of: Vec<_> = found.in_progress.iter().map(|file| file.tp.to_string()).collect();
        assert_eq!(of, ["t-0", "t-1"]);
        assert!(found.strangers.is_empty());
    }

    #[test]
    fn strangers_are_named_and_counted_as_something() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for file in ["tos3/readme", "inprogress/t/00/data.mak", "inprogress/t/0/data.txt"] {
            put(root, file);
        }
        fs::create_dir_all(root.join("tocompress")).unwrap();
        std::os::unix::fs::symlink("/", root.join("tocompress/t-0_0-9_160811.mak")).unwrap();
        assert!(is_anything_left(root));
        let found = scan(root).unwrap();
        assert!(found.is_empty());
        assert_eq!(
            paths(root, found.strangers),
            [
                "inprogress/t/0/data.txt",
                "inprogress/t/00/data.mak",
                "tocompress/t-0_0-9_160811.mak",
                "tos3/readme"
            ]
        );
    }

    #[test]
    fn empty_directories_and_this_products_own_spool_are_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(!is_anything_left(root));
        put(root, "inprogress/t-0_5.00000000000000ff.mak");
        fs::create_dir_all(root.join("inprogress/t/0")).unwrap();
        fs::create_dir_all(root.join("tos3/t/0")).unwrap();
        assert!(!is_anything_left(root));
        assert_eq!(scan(root).unwrap(), Leftovers::default());
    }

    #[test]
    fn rotated_files_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let (name, _) = LegacyName::parse("t-0_10-19_160811.mak").unwrap();
        let path = rotated_path(dir.path(), &name);
        put(dir.path(), path.strip_prefix(dir.path()).unwrap().to_str().unwrap());
        assert_eq!(
            scan(dir.path()).unwrap().finished,
            [Finished { path, name, packing: Packing::Plain }]
        );
    }
}
