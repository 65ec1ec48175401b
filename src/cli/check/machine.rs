//! This machine: files, memory, the spool and its disk.

use std::io;

use super::report::{Area, Line};
use crate::cli::Exit;
use crate::config::{ByteSize, Config};
use crate::spool::budget::{Budget, Limits, Room};
use crate::spool::probe::{self, Look};
use crate::supervisor::{Holder, holder};
use crate::sys::limits;

/// Files that a process has open beside those of its partitions and its brokers.
const OWN_FILES: u64 = 64;

/// Sockets for each broker: librdkafka's, and one in reserve.
const FILES_PER_BROKER: u64 = 2;

/// Looks at it. A consumer may get all `partitions`, if the others are not there.
pub(super) fn look(config: &Config, partitions: Option<u64>, brokers: usize) -> Vec<Line> {
    let mut lines = vec![open_files(config, partitions, brokers), memory(config)];
    let subject = config.main.working_directory.display().to_string();
    match probe::look(&config.main.working_directory) {
        Ok(look) => {
            lines.push(directory(&subject, &look));
            lines.extend(nfs(&subject, config, &look));
            lines.extend(look.exists.then(|| lock(config)));
            lines.push(disk(&subject, config, &look));
        }
        Err(error) => {
            let todo = "correct [main] working_directory";
            lines.push(Line::fail(
                Area::Spool,
                &subject,
                &error.to_string(),
                todo,
                Exit::CantCreate,
            ));
        }
    }
    lines
}

fn open_files(config: &Config, partitions: Option<u64>, brokers: usize) -> Line {
    let subject = "open at once";
    let most = match limits::most_open_files() {
        Ok(most) => most,
        Err(error) => return Line::skip(Area::Files, subject, &error.in_full()),
    };
    let Some(partitions) = partitions else {
        return Line::ok(Area::Files, subject, &format!("up to {most}"));
    };
    let brokers = u64::try_from(brokers).unwrap_or(u64::MAX).saturating_mul(FILES_PER_BROKER);
    let rest = OWN_FILES.saturating_add(brokers);
    let processes = u64::from(config.consumer.processes).max(1);
    let share = partitions.div_ceil(processes).saturating_add(rest);
    let all = partitions.saturating_add(rest);
    let todo = format!(
        "raise the limit to {all} or more: LimitNOFILE= of the service, or \"ulimit -Hn\", and start again"
    );
    if most < share {
        let found = format!("up to {most}, but a consumer needs some {share}");
        Line::fail(Area::Files, subject, &found, &todo, Exit::Config)
    } else if most < all {
        let found =
            format!("up to {most}, but {all} are needed if one consumer gets all partitions");
        Line::warn(Area::Files, subject, &found, &todo)
    } else {
        Line::ok(Area::Files, subject, &format!("up to {most}, {all} are enough"))
    }
}

fn memory(config: &Config) -> Line {
    let (subject, wanted) = ("memory_max_bytes", config.main.memory_max_bytes);
    match limits::memory() {
        None => Line::skip(Area::Memory, subject, "how much there is can't be found out"),
        Some(there) if there < wanted.get() => {
            let found = format!("{wanted}, but machine or control group have {}", rounded(there));
            let todo = "set [main] memory_max_bytes lower, or allow more (MemoryMax= of the service, the container's limit)";
            Line::warn(Area::Memory, subject, &found, todo)
        }
        Some(there) => Line::ok(Area::Memory, subject, &format!("{wanted} of {}", rounded(there))),
    }
}

fn directory(subject: &str, look: &Look) -> Line {
    match &look.closed {
        None if look.exists => Line::ok(Area::Spool, subject, "can be written to"),
        None => {
            let found = format!("will be made in {}", look.nearest.display());
            Line::ok(Area::Spool, subject, &found)
        }
        Some((dir, error)) => {
            let user = nix::unistd::geteuid();
            let found = format!("user {user} can't write to {}: {error}", dir.display());
            let todo = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "run this as the user that kafkatos3 runs as, or give that user the directory (chown)"
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room on the disk: files that wait for the store leave as soon as they are archived"
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "mount it writable, or allow it to the service (ReadWritePaths=, StateDirectory=)"
                }
                _ => "name another directory in [main] working_directory, or mend this one",
            };
            let exit = match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::NoPermission,
                _ => Exit::CantCreate,
            };
            Line::fail(Area::Spool, subject, &found, todo, exit)
        }
    }
}

fn nfs(subject: &str, config: &Config, look: &Look) -> Option<Line> {
    let found = format!(
        "on NFS, where files of other hosts are seen only every {} s and {} s",
        config.compression.check_interval.as_secs_f64(),
        config.upload.check_interval.as_secs_f64()
    );
    let todo = "if several hosts share it, set compression_check_interval and s3upload_check_interval lower";
    look.is_nfs.then(|| Line::warn(Area::Spool, subject, &found, todo))
}

fn lock(config: &Config) -> Line {
    let instance = config.main.instance.as_str();
    let subject = format!("instance {instance}");
    let todo = "end them, or wait until they have gone: a start waits for them for half a minute";
    match holder(&config.main.working_directory, instance) {
        Ok(None) => Line::ok(Area::Spool, &subject, "does not run"),
        Ok(Some(Holder::Supervisor(pid))) => {
            Line::ok(Area::Spool, &subject, &format!("runs, as process {pid}"))
        }
        Ok(Some(Holder::Orphans(orphans))) => {
            let found = format!("workers of a dead supervisor still run: {orphans}");
            Line::warn(Area::Spool, &subject, &found, todo)
        }
        Ok(Some(Holder::Elsewhere)) => {
            let todo =
                "give each instance on a shared directory a name of its own: [main] instance";
            let found =
                "runs, but not where it can be seen from here: on another host, or in a container";
            Line::warn(Area::Spool, &subject, found, todo)
        }
        Err(error) => {
            let todo = "run this as the user that kafkatos3 runs as";
            Line::warn(Area::Spool, &subject, &error.in_full(), todo)
        }
    }
}

fn disk(subject: &str, config: &Config, look: &Look) -> Line {
    let most = config.main.spool_max_bytes;
    let limits = Limits {
        spool_max_bytes: most.get(),
        max_file_bytes: config.consumer.max_file_bytes.get(),
        compressors: config.compression.workers.into(),
    };
    // What can't work at all is refused with the configuration.
    let Ok(budget) = Budget::new(limits) else {
        return Line::skip(Area::Disk, subject, "spool_max_bytes is too small");
    };
    let levels = budget.levels(Room { used: look.used, free: look.free });
    let free = rounded(look.free);
    let todo = "make room, or take a larger disk; or set [main] spool_max_bytes to what there is";
    if levels.stop_at == 0 {
        let found = format!("{free} free, too little for anything to be read");
        return Line::fail(Area::Disk, subject, &found, todo, Exit::CantCreate);
    }
    if levels.by_disk {
        let stop = rounded(levels.stop_at);
        let found =
            format!("{free} free, less than spool_max_bytes = {most}: consumers pause at {stop}");
        return Line::warn(Area::Disk, subject, &found, todo);
    }
    let found = format!("{free} free, {} used of spool_max_bytes = {most}", rounded(look.used));
    if look.used >= levels.stop_at {
        let todo = "consumers pause until the store has taken what waits: see the lines about it";
        return Line::warn(Area::Disk, subject, &found, todo);
    }
    Line::ok(Area::Disk, subject, &found)
}

/// For people: `9.7 GiB`.
fn rounded(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return ByteSize::new(bytes).to_string() + " bytes";
    }
    let mut tenths = bytes.saturating_mul(10);
    let mut name = "";
    for unit in UNITS {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        name = unit;
    }
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 30, "10.0 GiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(rounded(bytes), text);
        }
    }
}
