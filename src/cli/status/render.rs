//! The report for people: what is wrong and what to type, then who works, then the partitions. Pure.

use std::fmt::Write as _;

use crate::cli::table::{Align, Table};
use crate::status::human::{bytes, count, duration, many};
use crate::status::model::{Paused, Phase};
use crate::status::report::{
    Doing, InstanceReport, InstanceState, PartitionReport, Problem, Report, SpoolReport, Stock,
};

/// How many problems of one kind are told one by one.
const SHOWN: usize = 8;
/// An end of a partition that was learned longer ago is marked.
const OLD_END_MS: u64 = 120_000;

/// How it may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) colours: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn good(self, text: &str) -> String {
        self.paint("1;32", text)
    }

    fn odd(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// The whole text. With `screen`, its height and width, no more than fits: the last partitions are
/// left out.
pub(super) fn text(report: &Report, style: Style, screen: Option<(usize, usize)>) -> String {
    let mut head = heading(report, style);
    problems(report, style, &mut head);
    header(report, style, &mut head);
    for note in &report.notes {
        let _ = writeln!(head, "{:<12}{note}", "note");
    }
    let mut lines: Vec<String> = head.lines().map(str::to_owned).collect();
    if !report.partitions.is_empty() {
        lines.push(String::new());
        lines.extend(partitions(report, style));
    }
    if let Some((height, width)) = screen {
        // One line for what is left out, one for the cursor.
        let fitting = fitting(&lines, height.saturating_sub(2), width);
        if fitting + 1 < lines.len() {
            let left = lines.len() - fitting;
            lines.truncate(fitting);
            lines.push(style.dim(&format!("... {}", many(left as u64, "more line"))));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// How many of `lines` fit on so many rows of a screen that is `width` wide.
fn fitting(lines: &[String], rows: usize, width: usize) -> usize {
    let mut used = 0;
    let fits = |line: &&String| {
        used += shown_width(line).div_ceil(width.max(1)).max(1);
        used <= rows
    };
    lines.iter().take_while(fits).count()
}

/// Characters of a line, colours left out.
fn shown_width(line: &str) -> usize {
    let mut parts = line.split("\x1b[");
    let first = parts.next().map_or(0, |part| part.chars().count());
    let coloured = parts.filter_map(|part| part.split_once('m'));
    first + coloured.map(|(_, part)| part.chars().count()).sum::<usize>()
}

fn heading(report: &Report, style: Style) -> String {
    let place = report.place.config.as_deref().or(report.place.working_directory.as_deref());
    let stops = report.problems.iter().filter(|problem| problem.kind.is_stop()).count();
    let verdict = match (stops, report.problems.len()) {
        (0, 0) => style.good("all is well"),
        (0, _) => style.odd("all goes on"),
        (stops, _) => style.bad(&many(stops as u64, "problem")),
    };
    format!("kafkatos3 status of {}: {verdict}\n", place.unwrap_or("?"))
}

fn problems(report: &Report, style: Style, out: &mut String) {
    out.push('\n');
    if report.problems.is_empty() {
        return;
    }
    let mut shown = 0;
    let mut last = None;
    for problem in &report.problems {
        shown = if last == Some(problem.kind) { shown + 1 } else { 1 };
        last = Some(problem.kind);
        if shown <= SHOWN {
            one_problem(problem, report.at_ms, style, out);
        } else if shown == SHOWN + 1 {
            let like_it = report.problems.iter().filter(|other| other.kind == problem.kind).count();
            let more = many((like_it - SHOWN) as u64, "more of this kind").replace("kinds", "kind");
            let _ = writeln!(out, "  ... {more}; --json has them all");
        }
    }
    out.push('\n');
}

fn one_problem(problem: &Problem, at_ms: u64, style: Style, out: &mut String) {
    let since = problem
        .since_ms
        .map(|since| format!(" for {}", duration(at_ms.saturating_sub(since))))
        .unwrap_or_default();
    let word = kind_word(problem);
    let word = if problem.kind.is_stop() { style.bad(word) } else { style.odd(word) };
    let _ = writeln!(out, "{word} {}{since}: {}", style.bold(&problem.subject), problem.what);
    for (index, command) in problem.commands.iter().enumerate() {
        let _ = writeln!(out, "    {} {command}", if index == 0 { "type:" } else { "  or:" });
    }
}

const fn kind_word(problem: &Problem) -> &'static str {
    use crate::status::report::ProblemKind as Kind;
    match problem.kind {
        Kind::InstanceDied => "DIED",
        Kind::Orphans => "ORPHANS OF",
        Kind::WorkerGone => "GONE",
        Kind::PartitionStopped => "STOPPED",
        Kind::Paused => "PAUSED",
        Kind::Joining => "WAITING",
        Kind::Finding => "SEARCHING",
        Kind::Upload => "NOT UPLOADED",
        Kind::Packing => "NOT PACKED",
        Kind::Broker => "NO ANSWER",
        Kind::Quarantine => "LOOK AT",
    }
}

fn header(report: &Report, style: Style, out: &mut String) {
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "{name:<12}{text}");
    };
    for instance in &report.instances {
        line("instance", &instance_text(instance, report.at_ms, style));
    }
    if report.instances.is_empty() {
        line("instance", "none ran here yet");
    }
    if let Some(spool) = &report.spool {
        line("spool", &spool_text(spool));
        if spool.quarantine.files == 0 {
            line("quarantine", "empty");
        }
    }
    let totals = &report.totals;
    if totals.records_per_second > 0 {
        let rate = bytes(totals.bytes_per_second);
        line("reading", &format!("{} records/s, {rate}/s", count(totals.records_per_second)));
    }
    if totals.partitions > 0 {
        line("archive", &archive_text(report));
        line("lag", &lag_text(report));
    }
}

fn instance_text(instance: &InstanceReport, at_ms: u64, style: Style) -> String {
    let for_time = instance
        .since_ms
        .map_or_else(|| "unknown time".to_owned(), |since| duration(at_ms.saturating_sub(since)));
    let pid = instance.pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
    let host = instance.host.as_deref().unwrap_or("another machine");
    let state = match instance.state {
        InstanceState::Running => format!("{}{pid} for {for_time}", style.good("runs")),
        InstanceState::RunningElsewhere => {
            format!("{} on {host}{pid} for {for_time}", style.good("runs"))
        }
        InstanceState::Orphans => {
            format!("{}: its workers run without it, for {for_time}", style.bad("no supervisor"))
        }
        InstanceState::Stopped => format!("stopped {for_time} ago"),
        InstanceState::Died => format!("{} {for_time} ago", style.bad("died")),
    };
    let workers = workers_text(instance);
    format!("{} {state}{workers}", instance.instance)
}

fn workers_text(instance: &InstanceReport) -> String {
    let mut text = String::new();
    for role in ["consumer", "compressor", "uploader"] {
        let of_role = instance.workers.iter().filter(|worker| worker.role == role);
        let alive = of_role.clone().filter(|worker| worker.alive);
        let starting = alive.clone().filter(|worker| worker.phase == Phase::Starting).count();
        let number = alive.clone().count();
        let restarts: u32 = of_role.map(|worker| worker.restarts).sum();
        if number == 0 {
            continue;
        }
        let _ = write!(text, ", {}", many(number as u64, role));
        let mut remarks = Vec::new();
        if starting > 0 {
            remarks.push(format!("{starting} starting"));
        }
        if restarts > 0 {
            remarks.push(format!("restarted {}", many(restarts.into(), "time")));
        }
        if !remarks.is_empty() {
            let _ = write!(text, " ({})", remarks.join(", "));
        }
    }
    text
}

fn spool_text(spool: &SpoolReport) -> String {
    let limit = spool.max_bytes.map(|max| format!(" of {}", bytes(max))).unwrap_or_default();
    let stock = |stock: &Stock, what: &str| {
        (stock.files > 0).then(|| format!("{} {what}", many(stock.files, "file")))
    };
    let stages: Vec<_> = [
        stock(&spool.in_progress, "in progress"),
        stock(&spool.rotated, "to pack"),
        stock(&spool.compressed, "to upload"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let stages =
        if stages.is_empty() { String::new() } else { format!(" ({})", stages.join(", ")) };
    let free = spool.disk_free_bytes.map(|free| format!("; the disk has {} left", bytes(free)));
    let paused = match spool.paused {
        Some(Paused::SpoolFull) => "; PAUSED: full",
        Some(Paused::DiskFull) => "; PAUSED: the disk is full",
        None => "",
    };
    format!("{}{limit}{stages}{}{paused}", bytes(spool.bytes), free.unwrap_or_default())
}

fn archive_text(report: &Report) -> String {
    let totals = &report.totals;
    let archived = &totals.archived;
    let gaps = match archived.gaps {
        0 => String::new(),
        gaps => format!(", {}", many(gaps, "recorded gap")),
    };
    let place = report.place.archive.as_deref().map(|url| format!(" in {url}")).unwrap_or_default();
    format!(
        "{} and {} in {} of {}{gaps}{place}",
        many(archived.records, "record"),
        bytes(archived.bytes),
        many(archived.files, "file"),
        many(totals.partitions, "partition")
    )
}

fn lag_text(report: &Report) -> String {
    let totals = &report.totals;
    if totals.lag_unknown == totals.partitions {
        if report.partitions.iter().any(|partition| partition.end.is_some()) {
            return "unknown: nothing is archived of what is in Kafka".to_owned();
        }
        return "unknown: nobody could say where the partitions end in Kafka".to_owned();
    }
    let age = match totals.lag_ms {
        Some(age) if totals.lag_records > 0 => format!(", the oldest {} old", duration(age)),
        _ => String::new(),
    };
    let unknown = match totals.lag_unknown {
        0 => String::new(),
        unknown => format!("; of {} unknown", many(unknown, "partition")),
    };
    let behind = report.partitions.iter().filter(|p| p.lag_records.is_some_and(|lag| lag > 0));
    let records = match totals.lag_records {
        0 if totals.lag_unknown > 0 => "none that is known".to_owned(),
        0 => "none: everything is archived".to_owned(),
        lag => format!("{} of {}", many(lag, "record"), many(behind.count() as u64, "partition")),
    };
    format!("{records}{age}{unknown}")
}

/// The partitions that need a look come first.
fn partitions(report: &Report, style: Style) -> Vec<String> {
    let mut table = Table::new(vec![
        ("PARTITION", Align::Left),
        ("STATE", Align::Left),
        ("SINCE", Align::Right),
        ("OWNER", Align::Left),
        ("TIP", Align::Right),
        ("IN PROGRESS", Align::Right),
        ("AGE", Align::Right),
        ("SPOOL", Align::Right),
        ("LAG", Align::Right),
        ("OLDEST", Align::Right),
        ("LAST OBJECT", Align::Left),
    ]);
    let mut sorted: Vec<&PartitionReport> = report.partitions.iter().collect();
    sorted.sort_by_key(|partition| partition.state);
    for partition in &sorted {
        table.push(row(partition, report.at_ms));
    }
    let mut lines = table.lines().into_iter();
    let heading = lines.next().map(|heading| style.bold(&heading));
    let rows = lines.zip(&sorted).map(|(line, partition)| match partition.state {
        Doing::Stopped => style.bad(&line),
        Doing::Paused | Doing::Finding | Doing::NoOwner => style.odd(&line),
        Doing::Draining | Doing::Reading | Doing::Archived => line,
    });
    heading.into_iter().chain(rows).collect()
}

fn row(partition: &PartitionReport, at_ms: u64) -> Vec<String> {
    let ago = |ms: Option<u64>| {
        ms.filter(|ms| *ms > 0).map(|ms| duration(at_ms.saturating_sub(ms))).unwrap_or_default()
    };
    let name = partition.chain.as_deref().and_then(|chain| chain.split_once('@')).map_or_else(
        || format!("{}-{}", partition.topic, partition.partition),
        |(_, rest)| {
            let generation = rest.split('/').next().unwrap_or_default();
            format!("{}-{} (@{generation})", partition.topic, partition.partition)
        },
    );
    let owner = partition
        .owner
        .as_ref()
        .map(|owner| format!("{} consumer{} [{}]", owner.instance, owner.consumer, owner.pid));
    let in_progress = partition.in_progress.as_ref();
    vec![
        name,
        partition.state.as_str().to_owned(),
        ago(partition.since_ms),
        owner.unwrap_or_default(),
        partition.tip.map(|tip| tip.to_string()).unwrap_or_default(),
        in_progress.map(|file| bytes(file.bytes)).unwrap_or_default(),
        ago(in_progress.map(|file| file.since_ms)),
        nonzero(partition.spool.bytes(), bytes),
        lag(partition, at_ms),
        oldest(partition),
        last_object(partition, at_ms),
    ]
}

fn nonzero(number: u64, text: impl Fn(u64) -> String) -> String {
    if number == 0 { String::new() } else { text(number) }
}

fn lag(partition: &PartitionReport, at_ms: u64) -> String {
    let Some(lag) = partition.lag_records else { return "unknown".to_owned() };
    let old = partition.end_ms.is_none_or(|end| at_ms.saturating_sub(end) > OLD_END_MS);
    format!("{}{}", count(lag), if old { "?" } else { "" })
}

fn oldest(partition: &PartitionReport) -> String {
    match (partition.lag_ms, partition.lag_records) {
        (Some(age), Some(1..)) => {
            let least = if partition.lag_ms_at_least { "> " } else { "" };
            format!("{least}{}", duration(age))
        }
        _ => String::new(),
    }
}

fn last_object(partition: &PartitionReport, at_ms: u64) -> String {
    let Some(last) = &partition.last_object else { return "none".to_owned() };
    let mut text = last.range().map_or_else(|| last.object.clone(), |range| range.to_string());
    if last.bytes > 0 {
        let _ = write!(text, " {}", bytes(last.bytes));
    }
    if last.at_ms > 0 {
        let _ = write!(text, ", {} ago", duration(at_ms.saturating_sub(last.at_ms)));
    }
    text
}
