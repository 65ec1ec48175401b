//! Settings that are fine alone, but can't work together.

use super::super::keys::{self, Key};
use super::super::memory::Processes;
use super::super::typed::{Archive, ArchiveTarget, Main, spool_reserve};
use super::super::units::{self, ByteSize};
use super::checker::Checker;

/// Where the stages of the spool are, below the working directory.
const STAGES: [&str; 6] = ["inprogress", "rotated", "compressed", "tips", "quarantine", "run"];

pub(super) fn cross(check: &mut Checker<'_>, archive: Option<&Archive>, main: Option<&Main>) {
    spool(check);
    memory(check);
    deadline(check);
    if let (Some(archive), Some(main)) = (archive, main) {
        apart(check, archive, main);
    }
}

fn size(check: &Checker<'_>, key: &Key) -> Option<ByteSize> {
    check.peek(key).and_then(ByteSize::parse)
}

fn count(check: &Checker<'_>, key: &Key) -> Option<u16> {
    check.peek(key).and_then(|text| text.parse().ok())
}

/// The reserve and one file more have to fit, or consumers would never start.
fn spool(check: &mut Checker<'_>) {
    let values = (
        size(check, &keys::SPOOL_MAX_BYTES),
        size(check, &keys::MAX_FILE_BYTES),
        count(check, &keys::COMPRESSOR_WORKERS),
    );
    let (Some(spool), Some(file), Some(compressors)) = values else { return };
    let needed = spool_reserve(file, compressors).plus(file);
    if spool < needed {
        let what = format!(
            "{} is too small for max_file_bytes = {file} and compressor_workers = {compressors}, which need {needed} \
             (a file that grows, and a reserve of {file} for each compressor and one more)",
            check.shown(&keys::SPOOL_MAX_BYTES)
        );
        let remedy = format!("set it to {needed} or more, or max_file_bytes lower");
        check.problem(&keys::SPOOL_MAX_BYTES, what, remedy);
    }
}

fn memory(check: &mut Checker<'_>) {
    let values = (
        size(check, &keys::MEMORY_MAX_BYTES),
        count(check, &keys::CONSUMER_PROCESSES),
        count(check, &keys::COMPRESSOR_WORKERS),
        count(check, &keys::S3UPLOADER_WORKERS),
    );
    let (Some(memory), Some(consumers), Some(compressors), Some(uploaders)) = values else {
        return;
    };
    let needed = Processes { consumers, compressors, uploaders }.least();
    if memory < needed {
        let what = format!(
            "{} is too little for {consumers} consumers, {compressors} compressors and {uploaders} uploaders, which need {needed}",
            check.shown(&keys::MEMORY_MAX_BYTES)
        );
        let remedy = format!("set it to {needed} or more, or have fewer workers");
        check.problem(&keys::MEMORY_MAX_BYTES, what, remedy);
    }
}

/// Where nothing wakes the workers (NFS), files wait for both scans.
fn deadline(check: &mut Checker<'_>) {
    let time = |key| check.peek(key).and_then(units::parse_time);
    let values = (
        time(&keys::PUBLISH_DEADLINE),
        time(&keys::COMPRESSION_CHECK_INTERVAL),
        time(&keys::S3UPLOAD_CHECK_INTERVAL),
    );
    let (Some(deadline), Some(compress), Some(upload)) = values else { return };
    if deadline <= compress.saturating_add(upload) {
        let what = format!(
            "{} is no longer than compression_check_interval and s3upload_check_interval together",
            check.shown(&keys::PUBLISH_DEADLINE)
        );
        let remedy = "make it longer, or files may be too old before they are looked at";
        check.warning(&keys::PUBLISH_DEADLINE, what, remedy);
    }
}

/// An archive inside the spool would be taken for it.
fn apart(check: &mut Checker<'_>, archive: &Archive, main: &Main) {
    let ArchiveTarget::Dir { path } = &archive.target else { return };
    let spool = &main.working_directory;
    if spool.starts_with(path) || STAGES.iter().any(|stage| path.starts_with(spool.join(stage))) {
        let what =
            format!("{} lies in the spool, or the spool in it", check.shown(&keys::ARCHIVE_URL));
        let remedy = "name a directory apart from [main] working_directory";
        check.problem(&keys::ARCHIVE_URL, what, remedy);
    }
}
