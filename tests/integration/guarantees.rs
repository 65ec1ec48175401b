//! `docs/guarantees.md` names tests: they have to exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::sources;

/// Names of the functions behind `#[test]` in a source, whatever other attributes there are.
fn tests_of(text: &str) -> Vec<&str> {
    let after = text.split("#[test]").skip(1);
    after.filter_map(|rest| rest.split_once("fn ")?.1.split_once('(')).map(|(n, _)| n).collect()
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests/integration"), &mut files);
    let code: Vec<_> = files.iter().map(|f| fs::read_to_string(f).expect("readable")).collect();
    let tests: BTreeSet<_> = code.iter().flat_map(|text| tests_of(text)).collect();
    let promises = fs::read_to_string(root.join("docs/guarantees.md")).expect("readable");
    let rows =
        promises.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 4);
    let mut count = 0;
    for row in rows.skip(1) {
        let shown_by = row.rsplit('|').nth(1).unwrap_or_default();
        let shown_by: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!shown_by.is_empty(), "no test shows it: {row}");
        for name in shown_by {
            count += 1;
            assert!(tests.contains(name), "there is no test {name}: {row}");
        }
    }
    assert!(count > 20, "only {count} names were found");
}
