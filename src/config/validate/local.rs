//! `[main]`, `[compression]`, and the uploaders of `[s3]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::keys;
use super::super::typed::{Codec, Compression, InstanceName, LogFormat, LogLevel, Main, Upload};
use super::super::units::ByteSize;
use super::Host;
use super::checker::Checker;

/// More workers than this of one kind are a typing error.
pub(super) const MOST_WORKERS: i64 = 256;

/// More often than this, looking for work would be work itself.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

pub(super) fn main(check: &mut Checker<'_>, host: &Host) -> Option<Main> {
    let any = ByteSize::new(u64::MAX);
    let log_level = log_level(check);
    let log_format = check.word(&keys::LOG_FORMAT, LogFormat::WORDS, LogFormat::parse);
    let working_directory = working_directory(check, host.current_directory.as_deref());
    let instance = instance(check, host.name.as_deref());
    let spool_max_bytes = check.size(&keys::SPOOL_MAX_BYTES, ByteSize::new(1), any);
    let memory_max_bytes = check.size(&keys::MEMORY_MAX_BYTES, ByteSize::new(1), any);
    let shutdown_timeout = check.time(&keys::SHUTDOWN_TIMEOUT, SHORTEST);
    Some(Main {
        log_level: log_level?,
        log_format: log_format?,
        working_directory: working_directory?,
        instance: instance?,
        spool_max_bytes: spool_max_bytes?,
        memory_max_bytes: memory_max_bytes?,
        shutdown_timeout: shutdown_timeout?,
    })
}

/// The original never looked at the level, so its files may have any of Python's names.
fn log_level(check: &mut Checker<'_>) -> Option<LogLevel> {
    let key = &keys::LOG_LEVEL;
    let level = match check.peek(key)?.to_ascii_uppercase().as_str() {
        "NOTSET" => LogLevel::Debug,
        "WARN" => LogLevel::Warning,
        "FATAL" => LogLevel::Critical,
        _ => return check.word(key, LogLevel::WORDS, LogLevel::parse),
    };
    let what = format!("{} is taken for {level}", check.shown(key));
    check.warning(key, what, format!("write {level}"));
    Some(level)
}

fn working_directory(check: &mut Checker<'_>, current: Option<&Path>) -> Option<PathBuf> {
    let key = &keys::WORKING_DIRECTORY;
    let remedy = "name a directory for files on their way, like /var/lib/kafkatos3";
    let path = Path::new(check.required(key, remedy)?);
    if path.is_absolute() {
        return Some(path.to_owned());
    }
    if path.starts_with("~") {
        check.problem(key, "\"~\" is not filled in here", "write ${HOME}, or the whole path");
        return None;
    }
    let absolute = current.map(|current| current.join(path));
    if absolute.is_none() {
        let what =
            format!("{} is relative, and the current directory is unknown", check.shown(key));
        check.problem(key, what, "write the whole path");
    }
    absolute
}

fn instance(check: &mut Checker<'_>, host_name: Option<&str>) -> Option<InstanceName> {
    let key = &keys::INSTANCE;
    let expected = "a name of 1 to 64 of A-Z a-z 0-9 . _ - that does not begin with a dot";
    if check.is_set(key) {
        return check.parse(key, expected, InstanceName::new);
    }
    let instance = host_name.and_then(InstanceName::new);
    if instance.is_none() {
        let what = format!("it is the host's name by default, but that is not {expected}");
        check.problem(key, what, "set it to a name that is this instance's alone");
    }
    instance
}

pub(super) fn compression(check: &mut Checker<'_>) -> Option<Compression> {
    let codec = check.word(&keys::COMPRESSION, Codec::WORDS, Codec::parse);
    let level = level(check, codec);
    let workers = check.number(&keys::COMPRESSOR_WORKERS, 0, MOST_WORKERS);
    let nice_level = check.number(&keys::COMPRESSION_NICE_LEVEL, -20, 19);
    let check_interval = check.time(&keys::COMPRESSION_CHECK_INTERVAL, SHORTEST);
    Some(Compression {
        codec: codec?,
        level: level?,
        workers: workers?,
        nice_level: nice_level?,
        check_interval: check_interval?,
    })
}

#[expect(clippy::option_option, reason = "outside: wrong, inside: the codec's own")]
fn level(check: &mut Checker<'_>, codec: Option<Codec>) -> Option<Option<u8>> {
    let key = &keys::COMPRESSION_LEVEL;
    let (least, most) = match codec? {
        Codec::Gzip => (0, 9),
        Codec::Zstd => (1, 19),
        Codec::None => {
            if check.is_set(key) {
                check.warning(key, "compression = none has no levels", "remove the line");
            }
            return Some(None);
        }
    };
    match check.peek(key)? {
        "" => Some(None),
        _ => check.number(key, least, most).map(Some),
    }
}

pub(super) fn upload(check: &mut Checker<'_>) -> Option<Upload> {
    let workers = check.number(&keys::S3UPLOADER_WORKERS, 0, MOST_WORKERS);
    let check_interval = check.time(&keys::S3UPLOAD_CHECK_INTERVAL, SHORTEST);
    Some(Upload { workers: workers?, check_interval: check_interval? })
}
