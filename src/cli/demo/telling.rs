//! The demo's words.

use std::path::Path;
use std::time::Duration;

use super::compare::{ArchivedFile, Verdict};
use super::folder::Folder;
use super::records::{TOPICS, Totals};
use super::screen::{Ink, Screen, Step, seconds, shell_word};
use crate::logging::size;

/// What was written.
pub(super) fn produced(totals: &Totals, step: &Step, screen: &mut Screen) {
    let Totals { records, tombstones, without_key, with_headers, .. } = totals;
    let topics = TOPICS.map(|(topic, partitions)| format!("{topic} ({partitions} partitions)"));
    screen.end(step, &format!("{records} records to {}", topics.join(" and ")));
    let odd = format!(
        "{tombstones} tombstones (null values), {without_key} without key, {with_headers} with headers"
    );
    screen.below(Ink::Dim, &odd);
}

/// What the archive holds.
pub(super) fn files(files: &[ArchivedFile], totals: &Totals, screen: &mut Screen) {
    let width = files.iter().map(|file| file.name.len()).max().unwrap_or(0);
    for file in files {
        screen.below(Ink::Dim, &format!("archive/{:width$} {:>8}", file.name, size(file.bytes)));
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let percent = (bytes * 100).checked_div(totals.bytes).unwrap_or(0);
    let (before, after) = (size(totals.bytes), size(bytes));
    screen.below(Ink::Plain, &format!("{before} of records packed into {after}: {percent} %"));
}

/// What came out.
pub(super) fn verdict(verdict: &Verdict, took: Duration, screen: &mut Screen) {
    let Verdict { produced, archived, missing, double, different, complaints } = verdict;
    let (ink, word) = if verdict.is_exact() {
        (Ink::Good, "exactly once")
    } else {
        (Ink::Bad, "NOT exactly once")
    };
    screen.print("\n");
    screen.line(
        ink,
        &format!(
            "{word}: {produced} records produced, {archived} archived, {missing} missing, \
             {double} double, {different} different"
        ),
    );
    for complaint in complaints {
        screen.line(Ink::Plain, &format!("  {complaint}"));
    }
    screen.line(Ink::Dim, &format!("All of it took {}.", seconds(took)));
}

/// Commands that work as they stand.
pub(super) fn what_next(folder: &Folder, screen: &mut Screen) {
    let place = shell_word(folder.path());
    let mut commands =
        vec![("the archive, the configuration, and what was logged", format!("cd {place} && ls"))];
    if let Some(parse) = program("kafkatos3_parse") {
        commands.push(("print a file", format!("{parse} archive/orders/000000/*.gz | head -n 6")));
        commands.push((
            "as JSON: customers who left, whose null values stay null",
            format!("{parse} --json archive/customers/*/*.gz | grep -m 3 '\"payload\":null'"),
        ));
    }
    commands.push((
        "the files are plain gzip around a small, documented format",
        "zcat archive/orders/000000/*.gz | grep -ao '\"order\":[0-9]*' | head -n 3".to_owned(),
    ));
    if let Some(kafkatos3) = program("kafkatos3") {
        commands.push(("what the archive holds", format!("{kafkatos3} ls archive")));
        commands.push((
            "the last three orders of each partition, as kcat would print them",
            format!("{kafkatos3} cat archive orders -o -3"),
        ));
        commands.push((
            "the proof that nothing is missing or damaged",
            format!("{kafkatos3} verify archive"),
        ));
        commands.push((
            "what the configuration does; change the lines marked --> for your own Kafka",
            format!("{kafkatos3} check demo.cfg"),
        ));
    }
    commands.push(("and have it all gone", format!("rm -r {place}")));
    screen.print("\n");
    screen.line(Ink::Bold, "What to try next");
    for (what, command) in commands {
        screen.line(Ink::Dim, &format!("  # {what}"));
        screen.line(Ink::Plain, &format!("  {command}"));
    }
    screen.print("\n");
}

/// How to call one of the programs, as this one was called; `None` if it does not lie beside it.
fn program(name: &str) -> Option<String> {
    let path = std::env::current_exe().ok()?.with_file_name(name);
    if !path.is_file() {
        return None;
    }
    let called = std::env::args_os().next().unwrap_or_default();
    let by_name = Path::new(&called).components().count() < 2;
    Some(if by_name { name.to_owned() } else { shell_word(&path) })
}
