//! Names of objects: ours, the original tool's, and those of nobody. Each line is a name.

use std::fmt::Display;
use std::str::FromStr;

use kafkatos3::legacy::name::LegacyName;
use kafkatos3::store::names::{ChainName, Folder, Name, Parsed, TEMP_PREFIX, parse, parse_chain};
use kafkatos3::types::{Isolation, Suffix, TopicId, TopicName, WriterToken};

/// Reads every line as everything.
pub fn run(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(text) = std::str::from_utf8(line) else { continue };
        name(text);
        folder(text);
        words(text);
        if let Some((name, _)) = LegacyName::parse(text) {
            assert!(text.starts_with(&name.to_string()));
            // But for topics whose names begin as those of files that are being written.
            let is_taken = name.to_string().starts_with(TEMP_PREFIX);
            assert_eq!(Name::parse(&name.object()).is_ok(), !is_taken);
        }
    }
}

fn is_safe(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn name(text: &str) {
    let Ok(name) = Name::parse(text) else { return };
    assert_eq!(name.as_str(), text);
    assert!(is_safe(text));
    match parse(&name) {
        Parsed::Foreign => {}
        Parsed::Record(chain) => assert_eq!(chain.record(), name),
        Parsed::Object { chain, start, suffix } => {
            assert_eq!(chain.object(start, suffix), name);
            assert_eq!(parse_chain(&chain.to_string()), Some(chain));
        }
    }
}

fn folder(text: &str) {
    if let Ok(folder) = Folder::parse(text) {
        assert!(folder == Folder::root() || is_safe(folder.as_str()));
        assert_eq!(Folder::parse(folder.as_str()), Ok(folder));
    }
    if let Some(chain) = parse_chain(text) {
        assert_eq!(chain.to_string(), text);
    }
    if let Some(chain) = ChainName::parse(text) {
        assert_eq!(chain.to_string(), text);
        assert!(chain.generation() > 0);
        assert!(chain.successor().generation() >= chain.generation());
    }
}

fn words(text: &str) {
    exact::<Suffix>(text);
    exact::<Isolation>(text);
    exact::<WriterToken>(text);
    exact::<TopicId>(text);
    if let Ok(topic) = TopicName::new(text) {
        assert!(topic.as_str() == text && is_safe(text) && !text.contains('/'));
    }
}

/// What reads prints as the same text.
fn exact<T: FromStr + Display>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text);
    }
}
