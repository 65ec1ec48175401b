//! Packing and unpacking of one frame of JSON-like records, for each codec and level that counts.
//!
//! `cargo bench --bench codec`; the sizes that the levels give are printed first.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kafkatos3::codec::{FRAME_TARGET, FrameCodec, Level};
use kafkatos3::types::Suffix;

/// About one frame of records like those of a web shop's event log, some 200 bytes each.
fn records(mut seed: u64) -> Vec<u8> {
    let mut below = |limit: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % limit
    };
    let kinds = ["view", "click", "cart", "order", "search"];
    let mut out = String::with_capacity(FRAME_TARGET + 300);
    let mut time = 1_700_000_000_000;
    while out.len() < FRAME_TARGET {
        time += below(40);
        let kind = kinds.get(usize::try_from(below(5)).unwrap_or(0)).unwrap_or(&"view");
        let (user, item, session) = (below(200_000), below(30_000), below(u64::MAX >> 33));
        let (cents, count) = (below(100_000), below(9));
        let _ = write!(
            out,
            r#"{{"ts":{time},"event":"{kind}","user":"u{user:07}","session":"{session:08x}{:08x}","#,
            below(u64::MAX >> 33),
        );
        let _ = write!(
            out,
            r#""item":{item},"price":{}.{:02},"quantity":{count},"currency":"EUR","agent":"Mozilla/5.0","ok":true}}"#,
            cents / 100,
            cents % 100,
        );
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
