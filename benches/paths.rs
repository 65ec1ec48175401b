//! The paths of a record beside the codecs: laid down in blocks and read again, checksums, the write
//! into the spool.
//!
//! `cargo bench --bench paths`; the spool is in the system's temporary directory (`TMPDIR`).

mod sample;
mod work;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafkatos3::types::{Offset, Suffix};

const RECORDS: usize = 100_000;

fn blocks() -> Vec<u8> {
    let mut blocks = Vec::new();
    work::path_build(&work::records(RECORDS), &mut blocks).expect("records in order");
    blocks
}

fn format(c: &mut Criterion) {
    let (records, blocks) = (work::records(RECORDS), blocks());
    let mut group = c.benchmark_group("format");
    group.throughput(Throughput::Bytes(blocks.len() as u64));
    let mut out = Vec::with_capacity(blocks.len());
    group.bench_function("build", |b| {
        b.iter(|| {
            out.clear();
            work::path_build(black_box(&records), &mut out)
        });
    });
    group.bench_function("read", |b| b.iter(|| work::path_read(black_box(&blocks))));
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("headers", |b| b.iter(|| work::path_headers(black_box(RECORDS))));
    group.finish();
}

fn checksum(c: &mut Criterion) {
    let blocks = blocks();
    let mut group = c.benchmark_group("checksum");
    group.throughput(Throughput::Bytes(blocks.len() as u64));
    group.bench_function("crc32", |b| b.iter(|| crc32fast::hash(black_box(&blocks))));
    // What a plain container costs beside the bytes themselves.
    group.bench_function("container", |b| {
        b.iter(|| work::path_pack(black_box(&blocks), Suffix::Mak));
    });
    group.finish();
}

fn spool(c: &mut Criterion) {
    let blocks = blocks();
    let place = tempfile::tempdir().expect("a directory");
    let mut start = Offset::ZERO;
    let mut group = c.benchmark_group("spool");
    group.throughput(Throughput::Bytes(blocks.len() as u64));
    group.bench_function("append", |b| {
        b.iter(|| {
            let mut file = work::in_progress(place.path(), start).expect("a new file");
            start = start.after();
            work::path_append(&mut file, black_box(&blocks)).expect("room on the disk");
            file.discard()
        });
    });
    group.finish();
}

criterion_group!(benches, format, checksum, spool);
criterion_main!(benches);
