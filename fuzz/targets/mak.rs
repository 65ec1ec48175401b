//! MAK files: every way of reading them tells the same, and what was read can be written again.

use std::io::{BufRead, BufReader};

use kafkatos3::mak::v2::{BlockBuilder, Finish, file_prologue, finish_block, recover};
use kafkatos3::mak::{FileHeader, Header, MakError, Piece, Place, Reader, v1};

use super::kept::Kept;
use super::mend;

/// What a way of reading found.
#[derive(Debug)]
struct Found {
    header: Header,
    records: Vec<Kept>,
    /// How it ended, if not well.
    error: Option<String>,
}

fn by_reader(input: impl BufRead) -> Option<Found> {
    let mut reader = Reader::open(input).ok()?;
    let mut found = Found { header: reader.header().clone(), records: Vec::new(), error: None };
    loop {
        match reader.next_record() {
            Ok(Some(record)) => found.records.push(Kept::of(&record)),
            Ok(None) => break,
            Err(error) => found.error = Some(error.to_string()),
        }
        if found.error.is_some() {
            assert!(matches!(reader.next_record(), Ok(None)), "more behind an error");
            break;
        }
    }
    Some(found)
}

fn by_piece(bytes: &[u8], version: u8) -> Option<Found> {
    let mut piece = Piece::open(bytes.to_vec(), Place::Beginning { version }).ok()?;
    let header = piece.header().expect("it is the beginning").clone();
    let mut found = Found { header, records: Vec::new(), error: None };
    loop {
        match piece.next_record() {
            Ok(Some(record)) => found.records.push(Kept::of(&record)),
            Ok(None) => break,
            Err(error) => found.error = Some(error.to_string()),
        }
        if found.error.is_some() {
            assert!(matches!(piece.next_record(), Ok(None)), "more behind an error");
            break;
        }
    }
    Some(found)
}

/// The same, however little comes at a time.
fn read(bytes: &[u8]) -> Option<Found> {
    let found = by_reader(bytes);
    let slow = by_reader(BufReader::with_capacity(3, bytes));
    assert_eq!(found.as_ref().map(tell), slow.as_ref().map(tell), "read in small parts");
    found
}

fn tell(found: &Found) -> (&[Kept], Option<&String>) {
    (&found.records, found.error.as_ref())
}

/// Version 1.
pub fn v1(data: &[u8]) {
    let Some(found) = read(data) else { return };
    let Header::V1(header) = &found.header else { return };
    let printed = header.to_json();
    let again = v1::Header::from_json(printed.as_bytes()).expect("a header that was printed");
    assert_eq!((&again, again.to_json()), (header, printed));
    v1_piece(&found, data);
    v1_again(header, &found.records);
}

/// A piece refuses offsets that fall; it may end before the end pointer.
fn v1_piece(found: &Found, data: &[u8]) {
    let piece = by_piece(data, 1).expect("the reader read the head");
    assert!(found.records.starts_with(&piece.records), "a piece reads other records");
    if piece.error.is_none() {
        assert_eq!(found.records.len(), piece.records.len());
    }
    let mut next = found.header.start();
    let rise = found.records.iter().all(|record| {
        let rises = record.offset >= next;
        next = record.offset.after();
        rises
    });
    if found.error.is_none() && rise {
        assert_eq!(piece.error, None, "the reader read to the end");
    }
}

fn v1_again(header: &v1::Header, records: &[Kept]) {
    // It may be said to start at an offset that no file of this version can hold.
    let mut builder = match v1::Builder::new(header) {
        Ok(builder) => builder,
        Err(error) => return assert!(matches!(error, MakError::TooHigh(_)), "{error}"),
    };
    let taken = records.iter().take_while(|record| builder.push(&record.borrow()).is_ok()).count();
    let written = builder.finish();
    let back = read(&written).expect("a file that was written");
    assert_eq!(tell(&back), (&records[..taken], None));
}

/// Version 2; most of what the fuzzer makes up would fail at the first checksum, so those are put
/// right, too.
pub fn v2(data: &[u8]) {
    v2_as_it_is(data);
    let mut mended = data.to_vec();
    mend::blocks(mended.get_mut(4..).unwrap_or_default());
    v2_as_it_is(&mended);
}

fn v2_as_it_is(data: &[u8]) {
    let found = read(data).filter(|found| matches!(found.header, Header::V2(_)));
    let piece = by_piece(data, 2);
    let recovered = recover(data);
    assert_eq!(found.is_some(), piece.is_some());
    assert_eq!(found.is_some(), recovered.header.is_some());
    let (Some(found), Some(piece)) = (found, piece) else { return };
    let Header::V2(header) = &found.header else { return };
    assert_eq!(found.records, piece.records, "a piece reads other records");
    // The only difference: a piece may end before the file does.
    let cut = found.error.as_ref().is_some_and(|error| error.contains("no finish block"));
    assert_eq!(found.error.is_some() && !cut, piece.error.is_some(), "{found:?} {piece:?}");
    let printed = header.to_json();
    let again = FileHeader::from_json(printed.as_bytes()).expect("a header that was printed");
    assert_eq!(again.to_json(), printed);
    v2_recovered(&found, data);
    v2_again(header, &found.records);
}

fn v2_recovered(found: &Found, data: &[u8]) {
    let recovered = recover(data);
    let len = usize::try_from(recovered.valid_len).expect("no longer than the data");
    let whole = &data[..len];
    let twice = recover(whole);
    let tell = |r: &kafkatos3::mak::v2::Recovered| {
        (r.valid_len, r.next, r.records, r.bytes, r.times, r.leader_epoch, r.finished)
    };
    assert_eq!(tell(&recovered), tell(&twice));
    let mut closed = whole.to_vec();
    if !recovered.finished {
        let next = recovered.next.expect("there is a header");
        // A file covers at least one offset.
        let next = if recovered.records == 0 { next.after() } else { next };
        closed.extend(finish_block(&Finish {
            next,
            records: recovered.records,
            bytes: recovered.bytes,
            times: recovered.times,
            leader_epoch: None,
        }));
        if next == found.header.start() {
            return;
        }
    }
    let back = read(&closed).expect("it has a header");
    assert_eq!(back.error, None, "what was recovered does not read");
    assert_eq!(back.records.len() as u64, recovered.records);
    assert!(found.records.starts_with(&back.records));
}

fn v2_again(header: &FileHeader, records: &[Kept]) {
    let mut block = BlockBuilder::new(header.start);
    for record in records {
        block.push(&record.borrow()).expect("records of a block");
    }
    let next = block.next();
    if records.is_empty() {
        return;
    }
    let mut file = file_prologue(header);
    let (bytes, times) = (block.content_bytes(), block.times());
    for slice in block.finish(next).expect("it has records") {
        file.extend_from_slice(&slice);
    }
    let records_count = records.len() as u64;
    file.extend(finish_block(&Finish {
        next,
        records: records_count,
        bytes,
        times,
        leader_epoch: Some(0),
    }));
    let back = read(&file).expect("a file that was written");
    assert_eq!(tell(&back), (records, None));
    let recovered = recover(&file);
    assert!(recovered.finished);
    assert_eq!((recovered.records, recovered.bytes), (records_count, bytes));
}
