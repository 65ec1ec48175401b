//! A directory as an archive: the same names, the same contract, with syncs that count.
//!
//! *Create*: the body goes to a temporary file in the target's folder, is synced, and then
//! hard-linked to its name, which fails if the name is taken; then the folder is synced and the
//! temporary name goes. So a name stands for a whole, durable file from its first moment, and a
//! crash leaves at most a `.tmp-` file, which is removed when it is a day old. Folders are created
//! when needed and their parents synced; a folder that is met for the first time is synced too,
//! since whoever made it may have died before.
//!
//! Metadata is not kept beside a file: it stands in the container's trailer, and a
//! [`MetaReader`] finds it there. `head` and `get` sync the folder of what they find, so that what
//! somebody else linked a moment ago is durable before a caller builds on it.
//!
//! All calls block; see the module's head.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use super::error::StoreError;
use super::names::{Folder, Name, TEMP_PREFIX};
use super::{Listed, ObjectInfo, Store, Tail};
use crate::fail::{Step, step};
use crate::meta::MetaMap;

/// A temporary file that is older belongs to nobody any more.
const TEMP_AGE: Duration = Duration::from_hours(24);

/// Reads the metadata of an open container of the given length from its trailer; `None` if the
/// file is not a container.
pub type MetaReader = fn(&File, u64) -> io::Result<Option<MetaMap>>;

/// Where the directory is, and how its files tell their metadata.
#[derive(Debug, Clone)]
pub struct DirSettings {
    /// The archive's root; absolute. It is created if its parent exists.
    pub root: PathBuf,
    /// How a file's metadata is found.
    pub meta: MetaReader,
}

/// A directory archive.
#[derive(Debug)]
pub struct DirStore {
    root: PathBuf,
    url: String,
    meta: MetaReader,
    /// Folders whose entries in their parents are known to be durable, and swept of old leftovers.
    settled: Mutex<HashSet<PathBuf>>,
}

impl DirStore {
    /// Opens the directory, and creates it if only its last component is missing.
    pub fn open(settings: &DirSettings) -> Result<Self, StoreError> {
        let root = settings.root.clone();
        let url = format!("file://{}", root.display());
        let sync = |parent: &Path| sync_folder(parent, step!("dir.root.sync"));
        let made = match step!("dir.root.make").around(|| fs::create_dir(&root)) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            Ok(()) => root.parent().map_or(Ok(()), sync),
            Err(e) => Err(e),
        };
        let opened = made.and_then(|()| fs::read_dir(&root));
        opened.map_err(|e| classify(url.clone(), "can't open the archive's directory", &e))?;
        Ok(Self { root, url, meta: settings.meta, settled: Mutex::default() })
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.root.join(name.as_str())
    }

    fn error(&self, name: &Name, doing: &str) -> impl Fn(io::Error) -> StoreError + use<> {
        let (url, doing) = (format!("{}/{name}", self.url), doing.to_owned());
        move |e| classify(url.clone(), &doing, &e)
    }

    /// Makes sure that `folder` exists and stays: it and each folder above it up to the root is
    /// created if missing, and its entry synced once in this process's life.
    fn settle(&self, folder: &Path) -> io::Result<()> {
        if folder == self.root || self.is_settled(folder) {
            return Ok(());
        }
        let Some(parent) = folder.parent() else { return Ok(()) };
        self.settle(parent)?;
        match step!("dir.folder.make").around(|| fs::create_dir(folder)) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => sync_folder(parent, step!("dir.folder.sync"))?,
        }
        sweep(folder);
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        Ok(())
    }

    fn is_settled(&self, folder: &Path) -> bool {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    /// Makes the name of a file that was found durable, whoever linked it.
    fn confirm(&self, path: &Path) -> io::Result<()> {
        let Some(folder) = path.parent() else { return Ok(()) };
        self.settle(folder)?;
        sync_folder(folder, step!("dir.found.sync"))
    }

    fn open_file(&self, name: &Name) -> Result<Option<(File, fs::Metadata)>, StoreError> {
        let path = self.path(name);
        let opened = File::open(&path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        match opened {
            Ok((file, metadata)) if metadata.is_file() => Ok(Some((file, metadata))),
            Ok(_) => Ok(None),
            Err(e) if is_absent(&e) => {
                // The archive itself may be gone, or not mounted: then nothing is definite.
                fs::metadata(&self.root).map_err(self.error(name, "can't see the archive"))?;
                Ok(None)
            }
            Err(e) => Err(self.error(name, "can't open it")(e)),
        }
    }

    fn present(&self, name: &Name) -> Result<(File, fs::Metadata), StoreError> {
        let missing = || StoreError::Missing {
            name: format!("{}/{name}", self.url),
            words: "no such file".to_owned(),
        };
        self.open_file(name)?.ok_or_else(missing)
    }

    fn create_now(&self, path: &Path, body: &[Bytes]) -> Result<(), (&'static str, io::Error)> {
        let folder = path.parent().unwrap_or(&self.root);
        self.settle(folder).map_err(|e| ("can't make its folder", e))?;
        let temp = Temp::create(folder).map_err(|e| ("can't create a file", e))?;
        temp.write(body).map_err(|e| ("can't write it", e))?;
        let linked = step!("dir.link").around(|| fs::hard_link(&temp.path, path));
        linked.map_err(|e| ("can't link it to its name", e))?;
        sync_folder(folder, step!("dir.linked.sync")).map_err(|e| ("can't sync its folder", e))
    }

    fn walk(&self, folder: &Path, into: &mut Vec<Listed>) -> io::Result<()> {
        for (path, kind) in entries(folder)? {
            if kind.is_dir() {
                self.walk(&path, into)?;
            } else if let Some(line) = self.listed(&path)? {
                into.push(line);
            }
        }
        Ok(())
    }

    /// A line for the file at `path`; `None` if it has no legal name, is no file, or is gone.
    fn listed(&self, path: &Path) -> io::Result<Option<Listed>> {
        let Some(name) = self.relative(path).and_then(|name| Name::parse(name).ok()) else {
            return Ok(None);
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                Ok(Some(Listed { name, size: metadata.len(), last_modified: metadata.modified()? }))
            }
            Err(e) if !is_absent(&e) => Err(e),
            _ => Ok(None),
        }
    }

    fn relative<'a>(&self, path: &'a Path) -> Option<&'a str> {
        path.strip_prefix(&self.root).ok()?.to_str()
    }

    fn folder_error(&self, folder: &Folder, e: &io::Error) -> StoreError {
        classify(format!("{}/{folder}", self.url), "can't list it", e)
    }
}

/// A file that is being written. Its name goes when this is dropped.
struct Temp {
    path: PathBuf,
    file: File,
}

impl Temp {
    fn create(folder: &Path) -> io::Result<Self> {
        let random = getrandom::u64().map_err(|e| io::Error::other(e.to_string()))?;
        let path = folder.join(format!("{TEMP_PREFIX}{random:016x}"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let file = step!("dir.temp.create").around(|| options.open(&path))?;
        Ok(Self { path, file })
    }

    /// Writes all pieces; after `Ok` the content survives a crash, though not yet under a name.
    fn write(&self, body: &[Bytes]) -> io::Result<()> {
        let mut file = &self.file;
        for piece in body {
            step!("dir.temp.write").around(|| file.write_all(piece))?;
        }
        step!("dir.temp.sync").around(|| file.sync_all())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        remove(&self.path, step!("dir.temp.remove"));
    }
}

#[expect(clippy::disallowed_methods, reason = "temporary names of the directory store's own files")]
fn remove(path: &Path, step: Step) {
    // What stays is swept when it is a day old.
    let _ = step.around(|| fs::remove_file(path));
}

/// Removes temporary files that nobody writes any more; whatever fails is left for the next time.
fn sweep(folder: &Path) {
    for (path, kind) in entries(folder).unwrap_or_default() {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_temp = kind.is_file() && name.is_some_and(|name| name.starts_with(TEMP_PREFIX));
        let age = || fs::metadata(&path).ok()?.modified().ok()?.elapsed().ok();
        if is_temp && age().is_some_and(|age| age > TEMP_AGE) {
            remove(&path, step!("dir.sweep"));
        }
    }
}

fn sync_folder(folder: &Path, step: Step) -> io::Result<()> {
    let folder = File::open(folder)?;
    match step.around(|| folder.sync_all()) {
        // Read-only and some special file systems can't, and have nothing to.
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::ReadOnlyFilesystem) => {
            Ok(())
        }
        result => result,
    }
}

/// What lies in a folder; one that is absent, or no folder, is empty.
fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, fs::FileType)>> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    found.map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))).collect()
}

fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn classify(name: String, doing: &str, e: &io::Error) -> StoreError {
    let words = format!("{doing}: {e}");
    match e.kind() {
        ErrorKind::AlreadyExists => StoreError::Exists { name, words },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::Denied { name, words, credentials: false }
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => StoreError::NoBucket { name, words },
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput | ErrorKind::Unsupported => {
            StoreError::Other { name, words }
        }
        // Full, over quota, stale, broken, interrupted: it may pass.
        _ => StoreError::Unavailable { name, words },
    }
}

#[async_trait]
impl Store for DirStore {
    fn url(&self) -> &str {
        &self.url
    }

    fn keeps_metadata(&self) -> bool {
        false
    }

    async fn create(
        &self,
        name: &Name,
        body: Vec<Bytes>,
        _meta: &MetaMap,
    ) -> Result<(), StoreError> {
        let path = self.path(name);
        self.create_now(&path, &body).map_err(|(doing, e)| self.error(name, doing)(e))
    }

    async fn head(&self, name: &Name) -> Result<Option<ObjectInfo>, StoreError> {
        let Some((file, metadata)) = self.open_file(name)? else { return Ok(None) };
        let unread = self.error(name, "can't read its trailer");
        let found = (self.meta)(&file, metadata.len()).map_err(unread)?;
        let last_modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        self.confirm(&self.path(name)).map_err(self.error(name, "can't sync its folder"))?;
        let meta = found.unwrap_or_default();
        Ok(Some(ObjectInfo { size: metadata.len(), meta, last_modified }))
    }

    async fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        let Some((file, metadata)) = self.open_file(name)? else { return Ok(None) };
        let bytes = read_at(&file, 0..metadata.len()).map_err(self.error(name, "can't read it"))?;
        self.confirm(&self.path(name)).map_err(self.error(name, "can't sync its folder"))?;
        Ok(Some(bytes))
    }

    async fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (file, metadata) = self.present(name)?;
        if range.end > metadata.len() {
            let words = format!("bytes {range:?} asked for, but it ends at {}", metadata.len());
            return Err(StoreError::Other { name: format!("{}/{name}", self.url), words });
        }
        read_at(&file, range).map_err(self.error(name, "can't read it"))
    }

    async fn get_suffix(&self, name: &Name, length: u64) -> Result<Tail, StoreError> {
        let (file, metadata) = self.present(name)?;
        let size = metadata.len();
        let bytes = read_at(&file, size.saturating_sub(length)..size);
        Ok(Tail { bytes: bytes.map_err(self.error(name, "can't read it"))?, size })
    }

    async fn list(
        &self,
        folder: &Folder,
        start_after: Option<&Name>,
    ) -> Result<Vec<Listed>, StoreError> {
        let mut found = Vec::new();
        fs::metadata(&self.root)
            .and_then(|_| self.walk(&self.root.join(folder.as_str()), &mut found))
            .map_err(|e| self.folder_error(folder, &e))?;
        found.retain(|line| start_after.is_none_or(|name| line.name > *name));
        // Not the order of the walk: "a-b/x" comes before "a/x".
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn folders(&self, folder: &Folder) -> Result<Vec<Folder>, StoreError> {
        let found = fs::metadata(&self.root)
            .and_then(|_| entries(&self.root.join(folder.as_str())))
            .map_err(|e| self.folder_error(folder, &e))?;
        let mut folders: Vec<_> = found
            .iter()
            .filter(|(_, kind)| kind.is_dir())
            .filter_map(|(path, _)| Folder::parse(self.relative(path)?).ok())
            .collect();
        folders.sort_unstable();
        Ok(folders)
    }

    async fn delete(&self, name: &Name) -> Result<(), StoreError> {
        let path = self.path(name);
        #[expect(clippy::disallowed_methods, reason = "the self-test takes back what it made")]
        let removed = step!("dir.delete").around(|| fs::remove_file(&path));
        match removed {
            Err(e) if !is_absent(&e) => Err(self.error(name, "can't remove it")(e)),
            _ => Ok(()),
        }
    }
}

/// The bytes `range` of a file that is known to be so long.
fn read_at(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let length = range.end.saturating_sub(range.start);
    let length = usize::try_from(length).map_err(|_| ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}
