//! Hostile bytes: everything that the fuzzer has found so far is tried again, and the memory that
//! the worst files take is measured.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use kafkatos3::mak::v2::{BlockBuilder, Finish, Kind, file_prologue, finish_block, write_block};
use kafkatos3::mak::{FileHeader, HeadersBuf, LARGEST_BLOCK, Record, StartTime, v1};
use kafkatos3::meta::Identity;
use kafkatos3::types::{Isolation, Offset, Partition, TopicId, TopicName, WriterToken};

#[expect(unreachable_pub, reason = "the same files are a public module of the fuzzer's crate")]
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

const PARSE: &str = env!("CARGO_BIN_EXE_kafkatos3_parse");

/// What docs/guarantees.md allows `kafkatos3_parse`, besides the largest block of its file.
const ALLOWED: u64 = 160 << 20;

/// How far the packed files unpack: more than is allowed, in half a megabyte.
const BOMB: u64 = 512 << 20;

#[test]
fn what_the_fuzzer_found_so_far_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::ALL {
        let dir = corpus.join(name);
        let files = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no inputs");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            assert!(catch_unwind(|| target(&bytes)).is_ok(), "{}", file.display());
        }
    }
    let folders = fs::read_dir(corpus).unwrap().count();
    assert_eq!(folders, targets::ALL.len(), "a folder of fuzz/corpus belongs to no target");
}

fn header() -> FileHeader {
    FileHeader {
        identity: Identity {
            cluster_id: String::new(),
            topic: TopicName::new("t").unwrap(),
            topic_id: TopicId::UNKNOWN,
            partition: Partition::new(0).unwrap(),
            isolation: Isolation::ReadCommitted,
        },
        start: Offset::ZERO,
        generation: 1,
        first: Offset::ZERO,
        start_time: StartTime::from_millis(0),
        gap: None,
        writer: WriterToken(1),
    }
}

/// The head of a block that says that it is as long.
fn head(kind: Kind, len: u64) -> Vec<u8> {
    let len = u32::try_from(len).unwrap().to_be_bytes();
    [&[kind.code(), 0, 0, 0][..], &len, b"none"].concat()
}

/// A version 1 file that ends where a record's key begins.
fn v1_with_key(len: u64) -> Vec<u8> {
    let mut file = v1::Builder::new(&v1::Header::from(&header())).unwrap().finish();
    file.splice(11..19, u64::MAX.to_be_bytes());
    file.extend(len.to_be_bytes());
    file
}

/// One record with as many empty headers, the last of them with this name: two bytes make four
/// words of JSON.
fn headers(count: usize, last: &[u8]) -> Vec<u8> {
    let mut headers = HeadersBuf::new();
    (0..count).for_each(|_| headers.push(b"", None));
    headers.push(last, None);
    let (offset, key, value) = (Offset::ZERO, None, None);
    let record = Record { offset, timestamp: None, key, value, headers: headers.as_headers() };
    let mut block = BlockBuilder::new(Offset::ZERO);
    block.push(&record).unwrap();
    let (next, bytes) = (block.next(), block.content_bytes());
    let mut file = file_prologue(&header());
    block.finish(next).unwrap().iter().for_each(|slice| file.extend_from_slice(slice));
    file.extend(finish_block(&Finish { next, records: 1, bytes, times: None, leader_epoch: None }));
    file
}

fn json_header(json: &str) -> Vec<u8> {
    let mut file = b"MAK\x02".to_vec();
    write_block(Kind::Header, json.as_bytes(), &mut file);
    file
}

fn gzip(mut content: impl io::Read) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    io::copy(&mut content, &mut packed).unwrap();
    packed.finish().unwrap()
}

/// A frame that asks for a window of 2 GiB.
fn zstd_window() -> Vec<u8> {
    vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3, 0x01, 0, 0]
}

/// Names, bytes and exit codes.
fn worst_files() -> Vec<(&'static str, Vec<u8>, i32)> {
    let prologue = file_prologue(&header());
    let magic = b"MAK\x02".to_vec();
    let zeros = gzip(io::repeat(0).take(BOMB));
    let bomb = |begin: &[u8]| [&gzip(begin)[..], &zeros].concat();
    let block = |before: &[u8], kind, len| [before, &head(kind, len)].concat();
    let most = u64::from(u32::MAX);
    let deep = format!("{{\"x\":{}", "[".repeat(500_000));
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    vec![
        ("block of 4 GiB", block(&prologue, Kind::Records, most), 65),
        ("block of 4 GiB, zeros", bomb(&block(&prologue, Kind::Records, most)), 65),
        ("block of 1 GiB", block(&prologue, Kind::Records, LARGEST_BLOCK), 65),
        ("finish of 4 GiB, zeros", bomb(&block(&prologue, Kind::Finish, most)), 65),
        ("header of 512 MiB, zeros", bomb(&block(&magic, Kind::Header, BOMB)), 65),
        ("block to pass over, zeros", bomb(&block(&prologue, Kind::Other(9), BOMB)), 65),
        ("deep header", json_header(&deep), 65),
        ("long header", json_header(&long), 65),
        ("key of 2^63", v1_with_key(1 << 63), 65),
        ("key of 4 GiB, zeros", bomb(&v1_with_key(4 << 30)), 65),
        ("empty headers", headers(16 << 20, b"x"), 0),
        ("empty headers, binary", headers(16 << 20, b"\xff"), 0),
        ("window of 2 GiB", zstd_window(), 65),
    ]
}

/// Runs `kafkatos3_parse --json` on a file; gives its exit code, the most memory that it had, and
/// what it complained of. Whoever starts a process counts as its memory until it is another
/// program, so a small program starts it.
fn parse(file: &Path) -> (i32, u64, String) {
    measured(&[PARSE, "--json", file.to_str().unwrap()])
}

/// The same of any program, with its arguments.
pub(crate) fn measured(words: &[&str]) -> (i32, u64, String) {
    const MEASURE: &str = "import resource, subprocess, sys\n\
        done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n\
        print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n";
    let mut command = Command::new("python3");
    let output = command.args(["-c", MEASURE]).args(words).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (code, kib) = said.trim().split_once(' ').unwrap_or_else(|| panic!("{said} {complaint}"));
    (code.parse().unwrap(), kib.parse::<u64>().unwrap() << 10, complaint)
}

#[test]
fn hostile_files_take_no_more_memory_than_is_promised() {
    let dir = tempfile::tempdir().unwrap();
    for (what, bytes, expected) in worst_files() {
        let path: PathBuf = dir.path().join("hostile");
        fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
        let (code, peak, complaint) = parse(&path);
        assert_eq!(code, expected, "{what}: {complaint}");
        assert!(complaint.is_empty() == (code == 0), "{what}: {complaint}");
        // No file holds a larger block than itself, but for those that are packed: whose blocks
        // are refused.
        let allowed = ALLOWED + bytes.len() as u64;
        println!("{what}: {} KiB, {complaint}", peak >> 10);
        assert!(peak <= allowed, "{what}: {peak} bytes, and {allowed} are allowed");
    }
}
