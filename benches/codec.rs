//! Packing and unpacking of one frame of JSON-like records, for each codec and level that counts.
//!
//! `cargo bench --bench codec`; the sizes that the levels give are printed first.

mod sample;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kafkatos3::codec::{FRAME_TARGET, FrameCodec, Level};
use kafkatos3::types::Suffix;

use sample::Events;

/// One frame of records.
fn records(seed: u64) -> Vec<u8> {
    let mut events = Events::new(seed);
    let mut out = String::with_capacity(FRAME_TARGET + 300);
    while out.len() < FRAME_TARGET {
        out.push_str(events.next().1);
    }
    out.truncate(FRAME_TARGET);
    out.into_bytes()
}

fn codecs() -> impl Iterator<Item = (String, FrameCodec)> {
    let gzip = (1..=9).map(|level| (Suffix::MakGz, level));
    let zstd = [1, 3].map(|level| (Suffix::MakZst, level));
    let known = |(suffix, level)| {
        let level = Level::new(suffix, Some(level)).ok()?;
        Some((format!("{suffix} {}", level.get()), FrameCodec::new(level)))
    };
    gzip.filter(|(_, level)| *level <= 3).chain(zstd).filter_map(known)
}

fn compress(c: &mut Criterion) {
    let raw = records(1);
    let mut group = c.benchmark_group("compress");
    group.throughput(Throughput::Bytes(raw.len() as u64));
    for (name, mut codec) in codecs() {
        let mut packed = Vec::new();
        codec.compress(&raw, &mut packed).expect("packs");
        println!("{name}: {} bytes of {}", packed.len(), raw.len());
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| codec.compress(black_box(&raw), &mut packed));
        });
    }
    group.finish();
}

fn decompress(c: &mut Criterion) {
    let raw = records(1);
    let mut group = c.benchmark_group("decompress");
    group.throughput(Throughput::Bytes(raw.len() as u64));
    for (name, mut codec) in codecs() {
        let (mut packed, mut back) = (Vec::new(), Vec::new());
        codec.compress(&raw, &mut packed).expect("packs");
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| codec.decompress(black_box(&packed), raw.len(), &mut back));
        });
    }
    group.finish();
}

criterion_group!(benches, compress, decompress);
criterion_main!(benches);
