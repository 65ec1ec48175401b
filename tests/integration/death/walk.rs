//! No operation that counts is forgotten: in the sources each stands beside a step.
//!
//! It is a look at the text, function by function: as many steps as operations, and one near to
//! each. So what is new is either a step, or is written down here with the reason why not.

use std::fs;
use std::path::Path;

use crate::harness::sources;

/// What changes the disk, or takes a lock.
const CALLS: &[&str] = &[
    "fs::rename(",
    "renameat2(",
    "hard_link(",
    "remove_file(",
    "remove_dir(",
    "remove_dir_all(",
    "create_dir(",
    "create_dir_all(",
    "DirBuilder::new(",
    "fs::write(",
    "File::create(",
    "create_new(true",
    ".create(true",
    ".sync_all(",
    ".sync_data(",
    ".set_len(",
    ".set_times(",
    ".write_all_at(",
    ".write_vectored(",
    ".append(true",
    "file.try_lock(",
    "file.lock(",
    "file.unlock(",
];

/// What writes to a file, in the rooms where that is no stream of somebody else's.
const WRITES: &[&str] = &[".write_all(", "writeln!(self.file", "write!(self.file"];
const ROOMS_OF_WRITES: &[&str] = &["spool/", "store/dir.rs", "sys/lock.rs", "supervisor/"];

/// What is asked of the store and the broker, in the rooms that decide about it.
const QUESTIONS: &[&str] = &[
    "store.create(",
    "store().create(",
    "store.head(",
    "store().head(",
    "store.get(",
    "store().get(",
    "store.list(",
    "store().list(",
    "store.get_range(",
    "store().get_range(",
    "consumer.commit(",
    "consumer.assign(",
    "consumer.unassign(",
    "consumer.subscribe(",
];
const ROOMS_OF_QUESTIONS: &[&str] = &["worker/"];

/// What marks a step.
const STEPS: &[&str] = &["step!(", "step.around", "steps.", "ask(step,"];

/// File, function, and why it needs none.
const EXEMPT: &[(&str, &str, &str)] = &[
    ("fail.rs", "", "what steps are made of"),
    ("codec/", "", "vectors, no files"),
    (
        "worker/uploader/catalog.rs",
        "",
        "a table made of the archive, about which it decides nothing",
    ),
    ("cli/", "", "people's commands; what they do to chains and spools is a step over there"),
    ("model/", "", "no files: a model of them"),
    ("spool/durable.rs", "rename_noreplace", "within the step of rename_new"),
    ("spool/durable.rs", "link_new", "within the step of rename_new, where NFS is"),
    ("spool/durable.rs", "remove_now", "within the step of remove"),
    ("spool/stage.rs", "write_all", "within the step of InProgress::append"),
    ("spool/probe.rs", "try_write", "a file without a name, which nobody reads"),
    ("sys/lock.rs", "lock", "no worker waits for a lock"),
];

fn is_exempt(file: &str, function: &str) -> bool {
    EXEMPT
        .iter()
        .any(|(path, name, _)| file.starts_with(path) && (name.is_empty() || *name == function))
}

fn operations(file: &str, line: &str) -> usize {
    let is_in = |rooms: &[&str]| rooms.iter().any(|room| file.starts_with(room));
    let count = |words: &[&str]| words.iter().map(|word| line.matches(word).count()).sum::<usize>();
    let mut found = count(CALLS);
    if is_in(ROOMS_OF_WRITES) {
        found += count(WRITES);
    }
    if is_in(ROOMS_OF_QUESTIONS) {
        found += count(QUESTIONS);
    }
    found
}

fn steps(line: &str) -> usize {
    STEPS.iter().map(|word| line.matches(word).count()).sum()
}

/// The name of the function that begins in this line.
fn begins(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| {
        word.starts_with("pub") || matches!(word, "const" | "async" | "in" | "super)" | "unsafe")
    });
    is_head.then(|| rest.split(['(', '<']).next().unwrap_or_default())
}

/// How many lines before an operation, and behind it, a step may stand.
const BEFORE: usize = 4;
const BEHIND: usize = 3;

/// What stands alone in one function, as text; and how many operations there are.
fn look(file: &str, name: &str, lines: &[&str]) -> (Vec<String>, usize) {
    if is_exempt(file, name) {
        return (Vec::new(), 0);
    }
    let lines: Vec<_> = lines.iter().filter(|line| !line.trim_start().starts_with("//")).collect();
    let found: usize = lines.iter().map(|line| operations(file, line)).sum();
    let marked: usize = lines.iter().map(|line| steps(line)).sum();
    let alone = lines.iter().enumerate().filter(|(at, line)| {
        let near = &lines[at.saturating_sub(BEFORE)..(at + BEHIND + 1).min(lines.len())];
        operations(file, line) > 0 && (marked < found || !near.iter().any(|line| steps(line) > 0))
    });
    let alone = alone.map(|(_, line)| format!("{file}: {name}: {}", line.trim()));
    (alone.collect(), found)
}

/// The same for a source file; its tests are left out.
fn look_at_file(file: &str, text: &str) -> (Vec<String>, usize) {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines: Vec<_> = code.lines().collect();
    let heads = lines.iter().enumerate().filter_map(|(at, line)| Some((at, begins(line)?)));
    let heads: Vec<_> = heads.collect();
    let mut all = (Vec::new(), 0);
    for (index, (at, name)) in heads.iter().enumerate() {
        let end = heads.get(index + 1).map_or(lines.len(), |(next, _)| *next);
        let (alone, found) = look(file, name, &lines[*at..end]);
        all.0.extend(alone);
        all.1 += found;
    }
    all
}

#[test]
fn every_operation_that_counts_is_a_step() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let (mut alone, mut found) = (Vec::new(), 0);
    for path in files {
        let file = path.strip_prefix(&src).expect("below src").to_str().expect("UTF-8").to_owned();
        if file.contains("tests") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        let of_file = look_at_file(&file, &text);
        alone.extend(of_file.0);
        found += of_file.1;
    }
    assert!(found > 40, "only {found} operations were found");
    assert!(alone.is_empty(), "these are no steps (src/fail.rs): {alone:#?}");
}

#[test]
fn an_operation_without_a_step_is_found() {
    let missing = "fn f() {\n    fs::rename(a, b)?;\n}\n";
    assert_eq!(look_at_file("spool/x.rs", missing).0, ["spool/x.rs: f: fs::rename(a, b)?;"]);
    let there = "fn f() {\n    step!(\"x\").around(|| fs::rename(a, b))?;\n}\n";
    assert_eq!(look_at_file("spool/x.rs", there), (Vec::new(), 1));
    // One step is not enough for two.
    let two =
        "fn f() {\n    step!(\"x\").around(|| fs::rename(a, b))?;\n    file.sync_all()?;\n}\n";
    assert_eq!(look_at_file("spool/x.rs", two).0.len(), 2);
    let far = "fn f() {\n    let s = step!(\"x\");\n\n\n\n\n\n    pub_store.create(a)?;\n}\n";
    assert_eq!(look_at_file("worker/x.rs", far).0.len(), 1);
    assert_eq!(look_at_file("archive/x.rs", far).0.len(), 0);
}
