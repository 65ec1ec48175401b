//! Tests of the stages: two workers at one file, vanished files, leftovers of a crash.

use super::*;
use crate::spool::recovery::Reason;
use crate::spool::testing::{names_in, offset, partition, range, spool, tp};
use std::fs::{self, OpenOptions};

const TOKEN: WriterToken = WriterToken(255);

fn begin(spool: &Spool, start: u64, contents: &[u8]) -> InProgress {
    let mut file = InProgress::create(spool, &tp("t", 0), offset(start), TOKEN).unwrap();
    file.append(&mut [IoSlice::new(contents)]).unwrap();
    file
}

fn rotated(spool: &Spool, start: u64, next: u64) -> FileName {
    begin(spool, start, b"data").rotate(range(start, next)).unwrap().name().clone()
}

fn claim(spool: &Spool, name: &FileName) -> Rotated {
    Rotated::claim(spool, name).unwrap().ours().unwrap()
}

fn remove(path: &Path) {
    crate::spool::durable::remove(path, crate::fail::step!("test.gone")).unwrap();
}

#[test]
fn a_file_goes_through_all_stages() {
    let (_dir, spool) = spool();
    let mut file = begin(&spool, 5, b"one ");
    file.append(&mut [IoSlice::new(b""), IoSlice::new(b"two "), IoSlice::new(b"three")]).unwrap();
    assert_eq!(file.len(), 13);
    assert_eq!(names_in(&spool, Stage::InProgress), ["t-0_5.00000000000000ff.mak"]);
    assert_eq!(fs::read(file.path()).unwrap(), b"one two three");

    let placed = file.rotate(range(5, 10)).unwrap();
    assert!(matches!(placed, Placed::Ours(_)));
    assert!(names_in(&spool, Stage::InProgress).is_empty());
    assert_eq!(names_in(&spool, Stage::Rotated), ["t-0_5-9.mak"]);

    let mut packing = claim(&spool, placed.name()).begin(Suffix::MakGz).unwrap();
    packing.out().write_all(b"packed").unwrap();
    assert!(spool.compressed().unwrap().is_empty());
    let placed = packing.publish().unwrap();
    assert!(matches!(placed, Placed::Ours(_)));
    assert!(names_in(&spool, Stage::Rotated).is_empty());
    assert_eq!(names_in(&spool, Stage::Compressed), ["t-0_5-9.mak.gz"]);

    let packed = Compressed::claim(&spool, placed.name()).unwrap().ours().unwrap();
    assert!(fs::read(packed.path()).unwrap() == b"packed");
    packed.done().unwrap();
    assert_eq!(spool.usage().unwrap(), 0);
}

#[test]
fn a_file_that_is_worked_on_is_busy_and_one_that_is_done_is_gone() {
    let (_dir, spool) = spool();
    let file = begin(&spool, 0, b"x");
    let name = file.name().clone();
    assert!(matches!(Abandoned::claim(&spool, &name).unwrap(), Taken::Busy));
    let placed = file.rotate(range(0, 1)).unwrap();
    assert!(matches!(Abandoned::claim(&spool, &name).unwrap(), Taken::Gone));

    let packing = claim(&spool, placed.name()).begin(Suffix::Mak).unwrap();
    assert!(matches!(Rotated::claim(&spool, placed.name()).unwrap(), Taken::Busy));
    let packed = packing.publish().unwrap();
    assert!(matches!(Rotated::claim(&spool, placed.name()).unwrap(), Taken::Gone));
    assert!(Compressed::claim(&spool, packed.name()).unwrap().ours().is_some());
}

#[test]
fn of_two_writers_of_one_range_the_first_stays() {
    let (_dir, spool) = spool();
    let first = begin(&spool, 0, b"first").rotate(range(0, 9)).unwrap();
    assert!(matches!(first, Placed::Ours(_)));
    let second = begin(&spool, 0, b"second").rotate(range(0, 9)).unwrap();
    assert!(matches!(second, Placed::Theirs(_)));
    assert!(names_in(&spool, Stage::InProgress).is_empty());
    assert_eq!(fs::read(claim(&spool, second.name()).path()).unwrap(), b"first");
}

#[test]
fn a_packed_file_that_a_crash_left_beside_its_source_is_kept() {
    let (_dir, spool) = spool();
    let name = rotated(&spool, 0, 9);
    fs::write(spool.path(Stage::Compressed, &name.packed_as(Suffix::MakGz)), "first").unwrap();
    let mut again = claim(&spool, &name).begin(Suffix::MakGz).unwrap();
    again.out().write_all(b"second").unwrap();
    let placed = again.publish().unwrap();
    assert!(matches!(placed, Placed::Theirs(_)));
    assert_eq!(names_in(&spool, Stage::Compressed), ["t-0_0-8.mak.gz"]);
    assert_eq!(fs::read(spool.path(Stage::Compressed, placed.name())).unwrap(), b"first");
    assert!(names_in(&spool, Stage::Rotated).is_empty());
}

#[test]
fn giving_up_leaves_the_rotated_file_alone() {
    let (_dir, spool) = spool();
    let name = rotated(&spool, 0, 9);
    let packing = claim(&spool, &name).begin(Suffix::MakZst).unwrap();
    assert_eq!(names_in(&spool, Stage::Compressed).len(), 1);
    let source = packing.abandon();
    assert!(names_in(&spool, Stage::Compressed).is_empty());
    drop(source.begin(Suffix::MakZst).unwrap());
    assert!(names_in(&spool, Stage::Compressed).is_empty());
    assert_eq!(fs::read(claim(&spool, &name).path()).unwrap(), b"data");
}

#[test]
fn a_file_that_vanished_under_its_lock_is_said() {
    let (_dir, spool) = spool();
    let file = begin(&spool, 0, b"x");
    remove(file.path());
    assert!(matches!(file.rotate(range(0, 1)), Err(SpoolError::TakenAway { .. })));
    assert!(names_in(&spool, Stage::Rotated).is_empty());
}

#[test]
fn a_range_that_begins_elsewhere_is_refused() {
    let (_dir, spool) = spool();
    let e = begin(&spool, 3, b"x").rotate(range(4, 5)).unwrap_err();
    assert!(e.to_string().ends_with("starts at 3 and can't be rotated as [4, 5)"), "{e}");
}

#[test]
fn a_failed_write_poisons_the_file_and_removes_it() {
    let (_dir, spool) = spool();
    let mut file = begin(&spool, 0, b"good");
    let path = file.path().to_owned();
    let full = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    file.claim = Claim::for_test(full, path.clone());
    let e = file.append(&mut [IoSlice::new(b"more")]).unwrap_err();
    assert!(e.is_out_of_space());
    assert!(!path.exists());
    let again = file.append(&mut [IoSlice::new(b"more")]);
    assert!(matches!(again, Err(SpoolError::Poisoned { .. })));
    assert!(matches!(file.rotate(range(0, 1)), Err(SpoolError::Poisoned { .. })));
    assert!(names_in(&spool, Stage::Rotated).is_empty());
}

#[test]
fn many_small_pieces_are_written_whole() {
    let (_dir, spool) = spool();
    let pieces: Vec<Vec<u8>> = (0..5000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut file = InProgress::create(&spool, &tp("t", 0), offset(0), TOKEN).unwrap();
    assert!(file.is_empty());
    file.append(&mut slices).unwrap();
    file.append(&mut []).unwrap();
    assert_eq!(file.len(), 20_000);
    assert_eq!(fs::read(file.path()).unwrap(), pieces.concat());
}

#[test]
fn an_abandoned_file_is_cut_and_goes_on() {
    let (_dir, spool) = spool();
    let file = begin(&spool, 0, b"wholetorn");
    let name = file.name().clone();
    drop(file);
    let left = Abandoned::claim(&spool, &name).unwrap().ours().unwrap();
    let plan = Repair::Continue { cut_to: 5, next: offset(7) };
    let Repaired::Continues { mut file, next } = left.repair(plan).unwrap() else {
        panic!("it should go on");
    };
    assert_eq!((file.len(), next), (5, offset(7)));
    file.append(&mut [IoSlice::new(b" again")]).unwrap();
    assert_eq!(fs::read(file.path()).unwrap(), b"whole again");
    assert!(matches!(Abandoned::claim(&spool, &name).unwrap(), Taken::Busy));
}

#[test]
fn an_abandoned_file_is_rotated_or_dropped_as_planned() {
    let (_dir, spool) = spool();
    let leave = |start| begin(&spool, start, b"data").name().clone();
    let left = |name| Abandoned::claim(&spool, &name).unwrap().ours().unwrap();
    let plan = Repair::Rotate { cut_to: 4, range: range(0, 9) };
    let repaired = left(leave(0)).repair(plan).unwrap();
    assert!(matches!(repaired, Repaired::Rotated(Placed::Ours(_))));
    assert_eq!(names_in(&spool, Stage::Rotated), ["t-0_0-8.mak"]);
    let repaired = left(leave(9)).repair(Repair::Drop(Reason::Empty)).unwrap();
    assert!(matches!(repaired, Repaired::Dropped));
    assert!(names_in(&spool, Stage::InProgress).is_empty());

    let longer = Repair::Continue { cut_to: 5, next: offset(1) };
    assert!(left(leave(0)).repair(longer).is_err(), "a file is never made longer");
}

#[test]
fn a_corrupt_file_is_put_aside_and_the_consumer_told() {
    let (_dir, spool) = spool();
    let name = rotated(&spool, 5, 9);
    claim(&spool, &name).quarantine("block at byte 4: checksum").unwrap();
    assert!(names_in(&spool, Stage::Rotated).is_empty());
    assert_eq!(names_in(&spool, Stage::Quarantine), ["t-0_5-8.mak", "t-0_5-8.mak.why"]);
    let why = fs::read_to_string(spool.dir(Stage::Quarantine).join("t-0_5-8.mak.why")).unwrap();
    assert_eq!(why, "block at byte 4: checksum\n");
    let wishes = tips::rewinds(&spool).unwrap();
    assert_eq!((&wishes[0].partition, wishes[0].to), (&partition("t", 0), offset(5)));
    assert_eq!(tips::rewind_reason(&spool, &wishes[0]), "block at byte 4: checksum");
}
