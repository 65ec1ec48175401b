//! What the log says, and that its document knows all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::archive::produce_odd;
use crate::harness::{Site, sources};

#[test]
fn the_document_has_every_event() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/logging.md")).expect("the document");
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let mut events = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).expect("readable");
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let named = code.split("event = \"").skip(1);
        events.extend(named.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    assert!(events.len() > 40, "{events:?}");
    let missing: Vec<_> =
        events.iter().filter(|event| !document.contains(&format!("`{event}`"))).collect();
    assert!(missing.is_empty(), "not in docs/logging.md: {missing:?}");
}

/// The lines of a log as JSON, each of which has to be an object with what all have.
fn lines(log: &str, instance: &str) -> Vec<Value> {
    let parse = |line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["time"].as_str().is_some_and(|time| time.len() == 24), "{line}");
        assert!(line["process"]["pid"].is_u64(), "{line}");
        assert_eq!(line["instance"], instance, "{line}");
        assert!(line["message"].is_string(), "{line}");
        line
    };
    log.lines().map(parse).collect()
}

#[test]
fn json_lines_have_the_figures_and_a_file_makes_one_line() {
    let mut site = Site::new("json-log");
    site.set("main", "log.format", "json");
    site.set("main", "instance", "json-log");
    let topic = site.topic("t", 2, &[]);
    let expected = produce_odd(&site, &topic, 2, 500);
    let lines = lines(&site.run_to_end().expect(0).log, "json-log");
    site.check_with_offsets(&expected);

    let mut published = BTreeMap::new();
    for line in lines.iter().filter(|line| line["event"] == "published") {
        assert_eq!((&line["level"], &line["topic"]), (&"INFO".into(), &topic.as_str().into()));
        assert_eq!(line["process"]["role"], "uploader");
        assert!(line["bytes"].as_u64() > Some(0) && line["ms"].is_u64(), "{line}");
        let partition = line["partition"].as_i64().expect("a partition");
        let next = published.entry(partition).or_insert(0);
        assert_eq!(line["start"], *next, "{line}");
        *next = line["next"].as_u64().expect("an offset");
    }
    assert_eq!(published.into_values().collect::<Vec<_>>(), [500, 500]);

    // Nothing else is said of a file, and each partition is assigned once.
    let said = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!((said("assigned"), said("targets"), said("drained")), (2, 1, 1));
    let loud = lines.iter().filter(|line| line["topic"] == topic.as_str());
    let loud: BTreeSet<_> = loud.filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(loud, BTreeSet::from(["assigned", "published"]));
    assert_eq!(said("worker_started"), 3);
}
