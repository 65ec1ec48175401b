//! Files that failed their checksum, kept for the operator.
//!
//! Each is moved to `quarantine/` under its own name (`.2`, `.3`, ... behind it if that is taken),
//! and beside it lies `NAME.why`, a text that says what is wrong. The directory is bounded: the
//! oldest files go first, only the newest stays whatever its size. Nothing reads them back.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::time::SystemTime;

use super::Spool;
use super::claim::{Claim, TempFile, whole_steps};
use super::durable::{self, Move};
use super::error::{Result, SpoolError};
use super::layout::{FileName, SpoolPartition, Stage, is_temp_name};
use super::stops::{self, StopKind, Stopped};
use super::tips;
use crate::fail::step;

/// How much is kept.
const MAX_BYTES: u64 = 1 << 30;
/// How the name of the text ends that lies beside a file.
const NOTE_END: &str = ".why";
/// What a file counts at least, so that many small ones are bounded too.
const LEAST_BYTES: u64 = 4096;
/// How many files of one name are kept apart.
const MAX_SAME_NAME: u32 = 1000;
/// So many damaged files from one offset on are no accident.
const OFTEN: usize = 3;

/// Moves a claimed file here. After a crash within, the file is where it was, or here, perhaps
/// without its text.
pub(super) fn put(spool: &Spool, mut claim: Claim, name: &FileName, why: &str) -> Result<()> {
    let kept_as = move_aside(spool, &mut claim, name)?;
    let note = format!("{kept_as}{NOTE_END}");
    let to = spool.path(Stage::Quarantine, &note);
    let (text, steps) = (format!("{why}\n"), whole_steps!("quarantine_note"));
    TempFile::write_whole(spool, (Stage::Quarantine, &note), text.as_bytes(), &to, steps)?;
    claim.hand_on();
    trim(spool, MAX_BYTES)
}

/// Stops the partition if as many files that begin where `name` does were damaged: the disk or the
/// memory must be the matter, and reading once more would not help.
pub(super) fn stop_if_often(spool: &Spool, name: &FileName, why: &str) -> Result<()> {
    let start = name.range.start();
    let same = |kept: &Kept| {
        let file: Option<FileName> = kept.file_name().parse().ok();
        file.is_some_and(|file| file.partition == name.partition && file.range.start() == start)
    };
    let times = list(spool)?.iter().filter(|kept| same(kept)).count();
    let Some(tp) = tips::full_name(spool, &name.partition)?.filter(|_| times >= OFTEN) else {
        return Ok(());
    };
    let reason = format!(
        "{times} files from offset {start} on were damaged, the last one: {why}; look after the \
         disk and the memory"
    );
    let note = Stopped::new(&tp, StopKind::DamagedAgain, reason);
    stops::write(spool, note.about(start, name.range.next())).map(drop)
}

fn move_aside(spool: &Spool, claim: &mut Claim, name: &FileName) -> Result<String> {
    let plain = std::iter::once(name.to_string());
    let numbered = (2..=MAX_SAME_NAME).map(|n| format!("{name}.{n}"));
    for candidate in plain.chain(numbered) {
        let to = spool.path(Stage::Quarantine, &candidate);
        match claim.move_to(to, step!("quarantine.rename"))? {
            Move::Moved => return Ok(candidate),
            Move::TargetExists => {}
            Move::SourceGone => break,
        }
    }
    Err(SpoolError::TakenAway { path: claim.path().to_owned() })
}

/// A file that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What is wrong with it; empty if that was lost.
    pub why: String,
}

/// The files of `partition` that were put aside, by their names.
pub fn aside(spool: &Spool, partition: &SpoolPartition) -> Result<Vec<Aside>> {
    let mut found = Vec::new();
    for kept in list(spool)? {
        let name: Option<FileName> = kept.file_name().parse().ok();
        if name.is_some_and(|name| name.partition == *partition) {
            let why = spool.path(Stage::Quarantine, &format!("{}.why", kept.name));
            let why = std::fs::read_to_string(why).unwrap_or_default().trim_end().to_owned();
            let path = spool.path(Stage::Quarantine, &kept.name);
            found.push(Aside { path, bytes: kept.bytes, why });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl Spool {
    /// How many files are kept for the operator, and their bytes; texts beside them do not count.
    pub fn quarantined(&self) -> Result<(u64, u64)> {
        let files = list(self)?.into_iter().filter(|file| !file.name.ends_with(NOTE_END));
        Ok(files.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.bytes)))
    }
}

/// A file here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    name: String,
    bytes: u64,
    modified: SystemTime,
}

impl Kept {
    /// The name that the file had; for its text, none that any file has.
    fn file_name(&self) -> &str {
        match self.name.rsplit_once('.') {
            Some((name, number)) if number.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => &self.name,
        }
    }
}

fn trim(spool: &Spool, max_bytes: u64) -> Result<()> {
    for surplus in surplus(list(spool)?, max_bytes) {
        let path = spool.path(Stage::Quarantine, &surplus.name);
        durable::remove(&path, step!("quarantine.trim"))?;
    }
    Ok(())
}

fn list(spool: &Spool) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    spool.each_file(Stage::Quarantine, |name, meta| {
        if let (false, Ok(modified)) = (is_temp_name(name), meta.modified()) {
            kept.push(Kept { name: name.to_owned(), bytes: meta.len(), modified });
        }
    })?;
    Ok(kept)
}

/// Which of the files have to go so that the rest fits: the oldest, never the newest.
fn surplus(mut kept: Vec<Kept>, max_bytes: u64) -> Vec<Kept> {
    kept.sort_by_key(|file| Reverse((file.modified, file.bytes)));
    let mut total = 0_u64;
    let fits = |file: &Kept| {
        total = total.saturating_add(file.bytes.max(LEAST_BYTES));
        total <= max_bytes
    };
    let fitting = kept.iter().map(fits).take_while(|fits| *fits).count();
    kept.split_off(fitting.max(1).min(kept.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::claim::Access;
    use crate::spool::testing::{names_in, spool};
    use std::time::Duration;

    fn kept(name: &str, bytes: u64, age: u64) -> Kept {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age);
        Kept { name: name.to_owned(), bytes, modified }
    }

    #[test]
    fn the_oldest_go_and_the_newest_stays() {
        let files = vec![kept("old", 10_000, 9), kept("new", 50_000, 1), kept("mid", 20_000, 5)];
        let gone = |max| -> Vec<String> {
            surplus(files.clone(), max).into_iter().map(|file| file.name).collect()
        };
        assert!(gone(80_000).is_empty());
        assert_eq!(gone(79_999), ["old"]);
        assert_eq!(gone(60_000), ["mid", "old"]);
        assert_eq!(gone(1), ["mid", "old"]);
        assert!(surplus(Vec::new(), 0).is_empty());
    }

    #[test]
    fn small_files_count_as_a_block() {
        let files = (0..10).map(|n| kept(&n.to_string(), 1, n)).collect();
        assert_eq!(surplus(files, 4 * LEAST_BYTES).len(), 6);
    }

    #[test]
    fn files_of_one_name_are_kept_apart() {
        let (_dir, spool) = spool();
        let name: FileName = "t-0_5-9.mak".parse().unwrap();
        let path = spool.path(Stage::Rotated, &name);
        for _ in 0..3 {
            std::fs::write(&path, "x").unwrap();
            let claim = Claim::take(&path, Access::Read).unwrap().ours().unwrap();
            put(&spool, claim, &name, "checksum").unwrap();
        }
        let expected: Vec<_> = ["", ".2", ".3"]
            .into_iter()
            .flat_map(|n| [format!("t-0_5-9.mak{n}"), format!("t-0_5-9.mak{n}.why")])
            .collect();
        let mut names = names_in(&spool, Stage::Quarantine);
        names.sort_by_key(|name| expected.iter().position(|e| e == name));
        assert_eq!(names, expected);
        assert_eq!(spool.quarantined().unwrap(), (3, 3));
        trim(&spool, LEAST_BYTES).unwrap();
        assert_eq!(names_in(&spool, Stage::Quarantine).len(), 1);
    }

    #[test]
    fn the_third_damaged_file_from_one_offset_stops_the_partition() {
        let (_dir, spool) = spool();
        let stopped = |name: &str| {
            let name: FileName = name.parse().unwrap();
            let path = spool.path(Stage::Rotated, &name);
            std::fs::write(&path, "x").unwrap();
            let claimed = crate::spool::stage::Rotated::claim(&spool, &name).unwrap();
            claimed.ours().unwrap().quarantine("checksum").unwrap();
            stops::read(&spool, &name.partition).unwrap()
        };
        assert_eq!(stopped("t-0_5-9.mak"), None);
        assert_eq!(stopped("t-0_5-9.mak"), None);
        assert_eq!(stopped("t-0_6-9.mak"), None);
        assert_eq!(stopped("t-1_5-9.mak"), None);
        let note = stopped("t-0_5-7.mak").unwrap();
        assert_eq!((note.kind, note.tp.partition.get()), (StopKind::DamagedAgain, 0));
        assert!(note.reason.contains("3 files from offset 5 on"), "{}", note.reason);
    }
}
