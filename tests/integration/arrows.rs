//! Who may know whom: the `use crate::` lines of the source are held against the map.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::harness::sources;

/// What all may use.
const LOWEST: &str = "fail";

/// Module, and what it may use. What two rooms both need lies below them.
const MAP: &[(&str, &[&str])] = &[
    (LOWEST, &[]),
    ("types", &[]),
    ("url", &[]),
    ("meta", &["types"]),
    ("mak", &["types", "meta"]),
    ("codec", &["types", "meta"]),
    ("format", &["types", "meta", "mak", "codec"]),
    ("chain", &["types", "meta"]),
    ("legacy", &["types", "mak", "codec"]),
    ("config", &["types", "url"]),
    ("logging", &["types", "config"]),
    ("sys", &["types"]),
    ("supervisor", &["types", "sys"]),
    ("kafka", &["types", "logging"]),
    ("store", &["types", "meta", "url"]),
    ("spool", &["types", "meta", "chain"]),
    ("model", &["types", "meta", "chain", "spool"]),
    ("status", &["types", "meta", "sys", "supervisor", "store", "spool"]),
    ("archive", &["types", "meta", "mak", "codec", "format", "legacy", "config", "store"]),
    ("catalog", &["types", "url", "meta", "store", "archive"]),
    (
        "worker",
        &[
            "types",
            "url",
            "meta",
            "mak",
            "codec",
            "format",
            "chain",
            "legacy",
            "config",
            "logging",
            "sys",
            "supervisor",
            "kafka",
            "store",
            "spool",
            "status",
            "archive",
            "catalog",
        ],
    ),
    (
        "cli",
        &[
            "types",
            "url",
            "meta",
            "mak",
            "codec",
            "format",
            "chain",
            "legacy",
            "config",
            "logging",
            "sys",
            "supervisor",
            "kafka",
            "store",
            "spool",
            "status",
            "archive",
            "catalog",
            "worker",
        ],
    ),
];

/// The modules that a line's `use crate::a::...` or `use crate::{a::..., b::...}` names.
fn used(line: &str) -> Vec<&str> {
    let Some(rest) = line.trim_start().strip_prefix("use crate::") else { return Vec::new() };
    let inner = rest.trim_start_matches('{').trim_end_matches(['}', ';']);
    let parts = if rest.starts_with('{') { inner.split(',').collect() } else { vec![inner] };
    parts
        .into_iter()
        .filter_map(|part| part.trim().split(|c: char| !c.is_ascii_lowercase()).next())
        .collect()
}

#[test]
fn nobody_knows_whom_it_should_not() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map: BTreeMap<_, _> = MAP.iter().copied().collect();
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = BTreeSet::new();
    let mut looked_at = 0;
    for file in files {
        let relative = file.strip_prefix(&src).expect("below src");
        let first = relative.iter().next().and_then(|part| part.to_str()).expect("a name");
        let module = first.trim_end_matches(".rs");
        let Some(allowed) = map.get(module) else { continue };
        let is_test = relative
            .components()
            .any(|part| part.as_os_str().to_str().is_some_and(|name| name.starts_with("tests")));
        let text = fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for line in code.lines().filter(|_| !is_test) {
            for name in used(line) {
                looked_at += 1;
                if name != module && name != LOWEST && !allowed.contains(&name) {
                    wrong.insert(format!("{}: {line}", relative.display()));
                }
            }
        }
    }
    assert!(looked_at > 100, "only {looked_at} lines were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// It is not built here, but by `scripts/fuzz` alone: a module that is missing there would be found
/// late.
#[test]
fn the_fuzzers_crate_has_what_its_modules_use() {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/src/lib.rs");
    let lib = fs::read_to_string(lib).expect("readable");
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let has: BTreeSet<_> = modules.collect();
    assert!(has.len() > 5, "{has:?}");
    // A file that is included by its path would look for its own modules beside it.
    for module in &has {
        let included = lib.contains(&format!("src/{module}.rs\""));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module);
        assert!(!included || !folder.is_dir(), "{module}.rs has a folder: make it {module}/mod.rs");
    }
    // Of the stores it has names only.
    for (module, uses) in MAP.iter().filter(|(name, _)| has.contains(name) && *name != "store") {
        let missing: Vec<_> = uses.iter().filter(|used| !has.contains(*used)).collect();
        assert!(missing.is_empty(), "{module} needs {missing:?}");
    }
}
