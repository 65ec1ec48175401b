//! What was found of a file, for people and as JSON. Pure.

use std::fmt::{Display, Write as _};

use super::look::{Checksums, Found};
use crate::cli::time::rfc3339;
use crate::status::human::{bytes, count, many};

pub(super) fn json(found: &Found) -> String {
    let mut text = serde_json::to_string(found).unwrap_or_default();
    text.push('\n');
    text
}

pub(super) fn human(found: &Found) -> String {
    let mut out = format!("{}\n", found.file);
    let mut line = |name: &str, text: &dyn Display| {
        // Writing to a text does not fail.
        let _ = writeln!(out, "  {name:<11} {text}");
    };
    line("kind", &kind(found));
    line("size", &format!("{} ({} bytes)", bytes(found.size), count(found.size)));
    if let Some(header) = &found.header {
        line("records of", &format!("{}-{}", header.topic, header.partition));
        line("begun", &format!("{} (seconds since 1970)", header.start_time));
        for (name, value) in [
            ("cluster", &header.cluster),
            ("topic id", &header.topic_id),
            ("isolation", &header.isolation),
            ("writer", &header.writer),
        ] {
            if let Some(value) = value {
                line(name, value);
            }
        }
    }
    if let (Some(start), Some(next)) = (found.start, found.next) {
        line("range", &format!("[{start}, {next})"));
    }
    if let Some(records) = found.records {
        let content = found.bytes.map(bytes).unwrap_or_default();
        let holes = match found.holes {
            None | Some(0) => String::new(),
            Some(holes) => format!(", {} without a record", many(holes, "offset")),
        };
        line("records", &format!("{} of {content}{holes}", count(records)));
    }
    if let (Some(low), Some(high)) = (found.first_time_ms, found.last_time_ms) {
        line("times", &format!("{} to {}", rfc3339(low), rfc3339(high)));
    }
    if let Some(blocks) = found.blocks {
        line("blocks", &count(blocks));
    }
    if let Some(index) = &found.index {
        let (packed, unpacked) = (index.packed_bytes, index.unpacked_bytes);
        line(
            "index",
            &format!(
                "{}, the largest {} unpacked; the tail takes {}",
                many(index.frames as u64, "frame"),
                bytes(index.largest_unpacked.into()),
                bytes(index.tail_bytes)
            ),
        );
        let ratio = unpacked.saturating_mul(100) / packed.max(1);
        line(
            "packed",
            &format!(
                "{} to {}, {}.{:02} : 1",
                bytes(unpacked),
                bytes(packed),
                ratio / 100,
                ratio % 100
            ),
        );
    }
    let crc = found.body_crc32.as_ref().map(|crc| format!(" (body {crc})")).unwrap_or_default();
    let checked = match found.checksums {
        Checksums::Right => "right",
        Checksums::Wrong => "WRONG",
        Checksums::NotLookedAt => "those of the tail are right; --check reads the whole object",
        Checksums::None => "the file has none",
    };
    line("checksums", &format!("{checked}{crc}"));
    if let Some(metadata) = &found.metadata {
        for (at, (key, value)) in metadata.iter().enumerate() {
            line(if at == 0 { "metadata" } else { "" }, &format!("{key} = {value}"));
        }
    }
    for problem in &found.problems {
        line("PROBLEM", problem);
    }
    out
}

fn kind(found: &Found) -> String {
    let version = match (found.mak, found.format) {
        (Some(mak), _) => format!("MAK version {mak}, "),
        (None, Some("avro")) => "Avro, ".to_owned(),
        (None, Some(_)) => "JSON lines, ".to_owned(),
        (None, None) => String::new(),
    };
    let packing = match found.packing {
        "none" => "not packed".to_owned(),
        packing => format!("packed by {packing}"),
    };
    let state = match (found.kind, found.complete) {
        ("seal", _) => "a seal: the chain goes on under another suffix",
        ("close", _) => "a closing seal: the chain ends here",
        ("file", _) => "a file of an archive",
        (_, Some(false)) if found.mak.is_none() => "cut or damaged: it does not read to its end",
        (_, Some(false)) => "in progress, or cut: it has no finish block",
        (_, Some(true)) => "complete, without the tail of an archived file",
        (_, None) => "without the tail of an archived file",
    };
    format!("{version}{packing}; {state}")
}
