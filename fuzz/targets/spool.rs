//! Names in the spool and what its small files hold. Each line of the input is a name or a text.

use std::fmt::Display;
use std::str::FromStr;

use kafkatos3::spool::age::Stamp;
use kafkatos3::spool::layout::{RewindName, is_temp_name};
use kafkatos3::spool::recovery;
use kafkatos3::spool::tips::TipFile;
use kafkatos3::spool::{FileName, InProgressName, SpoolPartition, Stopped};
use kafkatos3::types::Offset;

/// Reads every line as everything.
pub fn run(data: &[u8]) {
    let mut files: Vec<FileName> = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(text) = std::str::from_utf8(line) {
            files.extend(names(text));
            stamp(text);
        }
        tip(line);
        stopped(line);
    }
    recover(&files);
}

/// What reads prints as the same text.
fn exact<T: FromStr + Display>(text: &str) -> Option<T> {
    let read: T = text.parse().ok()?;
    assert_eq!(read.to_string(), text);
    Some(read)
}

fn names(text: &str) -> Option<FileName> {
    let file = exact::<FileName>(text);
    let partitions = [
        SpoolPartition::parse_tip_name(text).ok().map(|p| (p.tip_name(), p)),
        SpoolPartition::parse_stop_name(text).ok().map(|p| (p.stop_name(), p)),
        exact::<SpoolPartition>(text).map(|p| (p.to_string(), p)),
    ];
    for (printed, partition) in partitions.into_iter().flatten() {
        assert_eq!(printed, text);
        if let Some(whole) = partition.full_name() {
            assert_eq!(SpoolPartition::of(&whole), partition);
        }
        let lock = partition.lock_name();
        assert!(!lock.contains('/') && !is_temp_name(&lock));
    }
    let kinds = [
        file.is_some(),
        exact::<InProgressName>(text).is_some(),
        exact::<RewindName>(text).is_some(),
    ];
    let kinds = kinds.iter().filter(|is| **is).count();
    assert!(kinds <= 1, "two kinds of files have this name");
    if kinds == 1 {
        assert!(!text.contains(['/', '\0']) && !is_temp_name(text));
    }
    file
}

fn stamp(text: &str) {
    let Ok(stamp) = text.parse::<Stamp>() else { return };
    let printed = stamp.to_string();
    let again: Stamp = printed.parse().expect("it was printed");
    assert_eq!((again.to_string(), &again), (printed, &stamp));
    assert_eq!(stamp.age(&again), Some(std::time::Duration::ZERO));
    if let Ok(other) = "b/1/2/h".parse::<Stamp>() {
        let _ = (stamp.age(&other), other.age(&stamp));
    }
}

fn tip(line: &[u8]) {
    let Ok(tip) = serde_json::from_slice::<TipFile>(line) else { return };
    let printed = serde_json::to_string(&tip).expect("it prints");
    let again: TipFile = serde_json::from_str(&printed).expect("it was printed");
    assert_eq!(serde_json::to_string(&again).expect("it prints"), printed);
    assert_eq!(again.position, tip.position);
}

fn stopped(line: &[u8]) {
    let Ok(note) = serde_json::from_slice::<Stopped>(line) else { return };
    let printed = serde_json::to_string(&note).expect("it prints");
    assert_eq!(serde_json::from_str::<Stopped>(&printed).expect("it was printed"), note);
}

/// A plan for any listing; files of other partitions are not handed in.
fn recover(files: &[FileName]) {
    let Some(first) = files.first() else { return };
    let own: Vec<_> =
        files.iter().filter(|file| file.partition == first.partition).take(64).collect();
    for tip in [Offset::ZERO, first.range.start(), first.range.next()] {
        let joined = recovery::join(tip, own.iter().copied());
        assert!(joined.reached >= tip);
        assert!(joined.joining.iter().all(|file| file.range.next() <= joined.reached));
        assert_eq!(joined.joining.len() + joined.strays.len(), own.len());
    }
}
