//! Containers: the index and a plain unpacker tell the same, and nothing takes more memory than
//! it was allowed.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use kafkatos3::codec::{Container, FrameCodec, Kind, Level, Step, Tail, TailRead, unpack};
use kafkatos3::types::Suffix;

use super::mend;

/// Frames may unpack to as much here.
const LIMIT: usize = 1 << 20;
/// And whole containers to as much.
const MOST: u64 = 16 << 20;

/// `.mak`
pub fn plain(data: &[u8]) {
    of(Kind::Plain, data);
}

/// `.mak.gz`
pub fn gzip(data: &[u8]) {
    of(Kind::Gzip, data);
    member(data);
}

/// `.mak.zst`
pub fn zstd(data: &[u8]) {
    of(Kind::Zstd, data);
}

fn of(kind: Kind, data: &[u8]) {
    let mut codec = FrameCodec::of_kind(kind);
    frame(&mut codec, data);
    container(&mut codec, data);
    let mut mended = data.to_vec();
    mend::tail(kind, &mut mended);
    container(&mut codec, &mended);
}

/// The bytes as one frame, and as what a frame holds.
fn frame(codec: &mut FrameCodec, data: &[u8]) {
    let mut raw = Vec::new();
    if codec.decompress(data, LIMIT, &mut raw).is_ok() {
        assert!(raw.len() <= LIMIT);
        if codec.kind() != Kind::Plain {
            assert_eq!(unpacked(data).as_deref(), Ok(&raw[..]), "one frame");
        }
    } else {
        assert!(raw.is_empty(), "an error left something behind");
    }
    assert!(raw.capacity() <= LIMIT + 4096, "{} bytes were allocated", raw.capacity());
    let mut packed = Vec::new();
    codec.compress(data, &mut packed).expect("any bytes can be packed");
    codec.decompress(&packed, data.len(), &mut raw).expect("what was packed");
    assert_eq!(raw, data);
    if !data.is_empty() {
        assert!(codec.decompress(&packed, data.len() - 1, &mut raw).is_err(), "past the limit");
    }
}

/// All that an unpacker that knows no index makes of it.
fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (_, stream) = unpack(bytes).map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    stream.take(MOST).read_to_end(&mut all).map_err(|e| e.to_string())?;
    Ok(all)
}

fn container(codec: &mut FrameCodec, bytes: &[u8]) {
    let kind = codec.kind();
    let parsed = Container::parse(kind, bytes);
    let fetched = fetched_tail(kind, bytes);
    assert_eq!(parsed.as_ref().ok().map(Container::tail), fetched.as_ref());
    let Ok(container) = parsed else { return };
    tail_again(kind, container.tail());
    let mut whole = container.verify_body().is_ok();
    let (mut all, mut raw) = (Vec::new(), Vec::new());
    for frame in container.tail().index.frames() {
        let bytes = container.frame(frame).expect("the index is of this body");
        let limit = usize::try_from(frame.raw_len).expect("64 bits").min(LIMIT);
        whole &= codec.decompress(bytes, limit, &mut raw).is_ok() && raw.len() == limit;
        all.extend_from_slice(&raw);
        whole &= (all.len() as u64) < MOST;
        if !whole {
            return;
        }
    }
    match (kind, unpacked(bytes)) {
        (Kind::Plain, _) => assert!(bytes.starts_with(&all)),
        (_, Ok(plain)) => assert!(plain == all, "an unpacker prints something else"),
        (_, Err(error)) => panic!("no unpacker reads it: {error}"),
    }
}

/// The tail as it is read of a remote object.
fn fetched_tail(kind: Kind, bytes: &[u8]) -> Option<Tail> {
    let mut read = TailRead::start(kind, bytes.len() as u64).ok()?;
    for _ in 0..2 {
        let range = read.range();
        let [from, to] = [range.start, range.end].map(|at| usize::try_from(at).expect("64 bits"));
        match read.feed(bytes.get(from..to).expect("a range of the object")).ok()? {
            Step::Ready(tail) => return Some(*tail),
            Step::Need(more) => read = more,
        }
    }
    panic!("a third request");
}

fn tail_again(kind: Kind, tail: &Tail) {
    let bytes = tail.to_bytes(kind).expect("a tail that was read");
    let len = tail.body.len + bytes.len() as u64;
    let again = Tail::parse(kind, len, &bytes).expect("a tail that was written");
    assert_eq!(again, *tail);
    assert_eq!(again.to_bytes(kind).expect("the same"), bytes);
}

/// The bytes as what is in a member: where zlib unpacks it, so does what is built in.
fn member(deflated: &[u8]) {
    let mut expected = Vec::with_capacity(LIMIT);
    let mut zlib = Decompress::new(false);
    let end = zlib.decompress_vec(deflated, &mut expected, FlushDecompress::Finish);
    if !matches!(end, Ok(Status::StreamEnd)) || zlib.total_in() != deflated.len() as u64 {
        return;
    }
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    member.extend_from_slice(deflated);
    member.extend_from_slice(&crc32fast::hash(&expected).to_le_bytes());
    let size = u32::try_from(expected.len()).expect("no more than the limit");
    member.extend_from_slice(&size.to_le_bytes());
    let level = Level::new(Suffix::MakGz, None).expect("it has a default");
    let mut raw = Vec::new();
    let read = FrameCodec::new(level).decompress(&member, LIMIT, &mut raw);
    assert_eq!((read, raw), (Ok(()), expected));
}
