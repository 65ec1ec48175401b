//! Puts checksums right, for the fuzzer to come to what stands behind them.
//!
//! Written from `docs/mak-v2.md` and `docs/containers.md`; bytes that are too few stay as they are.

use kafkatos3::codec::Kind;

/// Bytes of the end section's payload.
const END: usize = 40;

/// The checksums of MAK blocks, as far as there are whole ones.
pub fn blocks(mut bytes: &mut [u8]) {
    while let Some((head, rest)) = bytes.split_first_chunk_mut::<12>() {
        let len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let Some((payload, rest)) = rest.split_at_mut_checked(len as usize) else { return };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[..8]);
        crc.update(payload);
        head[8..].copy_from_slice(&crc.finalize().to_be_bytes());
        bytes = rest;
    }
}

/// Lengths and checksums of a container's tail.
pub fn tail(kind: Kind, bytes: &mut [u8]) {
    // Never mind if it did not work.
    let _ = try_tail(kind, bytes);
}

fn try_tail(kind: Kind, bytes: &mut [u8]) -> Option<()> {
    let (before, behind) = match kind {
        Kind::Plain => (12, 0),
        Kind::Gzip => (16, 10),
        Kind::Zstd => (10, 0),
        // Not mended: they have no sections of bytes at their end.
        Kind::Lines | Kind::Avro => return None,
    };
    let len = bytes.len();
    let (table, tail) = if kind == Kind::Zstd {
        zstd_lens(bytes)?
    } else {
        let payload = len.checked_sub(END + behind)?;
        (0, usize::try_from(be(bytes, payload + 16)?).ok()?)
    };
    let end_at = len.checked_sub(table + before + END + behind)?;
    let tail = tail.clamp(len - end_at, len);
    let body = len - tail;
    if kind == Kind::Plain {
        blocks(bytes.get_mut(body..end_at)?);
    }
    let crcs = [&bytes[..body], bytes.get(body..end_at)?, &bytes[len - table..]]
        .map(|part| crc32fast::hash(part).to_be_bytes());
    let end = bytes.get_mut(end_at + before..end_at + before + END)?;
    end[8..16].copy_from_slice(&(body as u64).to_be_bytes());
    end[16..24].copy_from_slice(&(tail as u64).to_be_bytes());
    for (at, crc) in [24, 28, 32].into_iter().zip(crcs) {
        end[at..at + 4].copy_from_slice(&crc);
    }
    let crc = crc32fast::hash(&end[..36]);
    end[36..].copy_from_slice(&crc.to_be_bytes());
    if kind == Kind::Plain {
        blocks(bytes.get_mut(end_at..)?);
    }
    Some(())
}

fn be(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Lengths of the seek table and of the whole tail.
fn zstd_lens(bytes: &[u8]) -> Option<(usize, usize)> {
    let at = bytes.len().checked_sub(3 * 8 + 9)?;
    let le = |at: usize| {
        let number = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
        usize::try_from(number).ok()
    };
    let table = le(at + 24)?.checked_mul(8)?.checked_add(17)?;
    let sections = le(at)?.checked_add(le(at + 8)?)?.checked_add(le(at + 16)?)?;
    Some((table, table.checked_add(sections)?))
}
