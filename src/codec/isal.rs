//! Raw deflate by ISA-L: two to three times as fast as any other, with sizes like `gzip -3`.
//!
//! The only unsafe code of this room, and as little of ISA-L as will do: one call packs a frame,
//! one unpacks it, both from slice to spare capacity. Headers and checksums of gzip are not its
//! business. Its state is plain memory without pointers into itself; the pointers to buffers are
//! set anew for every call and mean nothing between calls.

#![expect(unsafe_code, reason = "ISA-L has a C interface only")]

use isal_sys::igzip_lib as sys;

use super::{CodecError, MAX_FRAME};

/// Levels that ISA-L has with dynamic Huffman tables.
pub(super) const LOWEST: u32 = 1;
/// The best that it can.
pub(super) const HIGHEST: u32 = sys::ISAL_DEF_MAX_LEVEL;
/// As `igzip -2`: nearly as fast as 1, and smaller.
pub(super) const DEFAULT: u32 = 2;

/// Working memory of one level, aligned to a cache line as the vector code likes it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Packs; keeps its state from frame to frame.
pub(super) struct Deflater {
    stream: Box<sys::isal_zstream>,
    work: Vec<Line>,
}

// SAFETY: the pointers inside `stream` are written before each call and read during it only.
unsafe impl Send for Deflater {}

impl Deflater {
    /// For a level from [`LOWEST`] to [`HIGHEST`]; others mean the nearest of these.
    pub(super) fn new(level: u32) -> Self {
        let level = level.clamp(LOWEST, HIGHEST);
        let bytes = match level {
            1 => sys::ISAL_DEF_LVL1_DEFAULT,
            2 => sys::ISAL_DEF_LVL2_DEFAULT,
            _ => sys::ISAL_DEF_LVL3_DEFAULT,
        };
        let lines = usize::try_from(bytes.div_ceil(64)).unwrap_or_default();
        // SAFETY: a struct of integers and raw pointers, for which all zeros is a value.
        let mut stream = unsafe { Box::<sys::isal_zstream>::new_zeroed().assume_init() };
        // SAFETY: `stream` is a valid, exclusive pointer.
        unsafe { sys::isal_deflate_init(&raw mut *stream) };
        stream.level = level;
        stream.level_buf_size = bytes;
        Self { stream, work: vec![Line([0; 64]); lines] }
    }

    /// Appends `raw` to `out` as one complete deflate stream.
    pub(super) fn deflate(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let failed = CodecError::Compress("ISA-L");
        let avail_in = u32::try_from(raw.len()).map_err(|_| failed.clone())?;
        // A frame that does not shrink is stored, at 5 bytes for each 65,535.
        out.reserve(raw.len() + 5 * (raw.len() / 65_535 + 1) + 64);
        let before = out.len();
        let spare = out.spare_capacity_mut();
        let avail_out = u32::try_from(spare.len()).unwrap_or(u32::MAX);
        let stream = &mut *self.stream;
        stream.next_out = spare.as_mut_ptr().cast();
        // SAFETY: `stream` was initialised by `isal_deflate_init`; this keeps level and buffers.
        unsafe { sys::isal_deflate_reset(stream) };
        // ISA-L reads only through this pointer, though C declares it otherwise.
        stream.next_in = raw.as_ptr().cast_mut();
        stream.avail_in = avail_in;
        stream.avail_out = avail_out;
        stream.level_buf = self.work.as_mut_ptr().cast();
        stream.flush = 0;
        stream.end_of_stream = 1;
        stream.gzip_flag = 0;
        // SAFETY: `next_in` and `next_out` are valid for `avail_in` and `avail_out` bytes, which
        // nobody else writes; `level_buf` for `level_buf_size`, which is what the level asks for.
        let result = unsafe { sys::isal_deflate_stateless(stream) };
        let written = avail_out.checked_sub(stream.avail_out).ok_or_else(|| failed.clone())?;
        let written = usize::try_from(written).map_err(|_| failed.clone())?;
        if result != 0 || stream.avail_in != 0 {
            return Err(failed);
        }
        // SAFETY: ISA-L wrote the first `written` bytes of the spare capacity.
        unsafe { out.set_len(before + written) };
        Ok(())
    }
}

/// Unpacks; keeps its state from frame to frame.
pub(super) struct Inflater {
    state: Box<sys::inflate_state>,
}

// SAFETY: the pointers inside `state` are written before each call and read during it only.
unsafe impl Send for Inflater {}

impl Inflater {
    /// Ready for any stream.
    pub(super) fn new() -> Self {
        // SAFETY: a struct of integers and raw pointers, for which all zeros is a value.
        Self { state: unsafe { Box::<sys::inflate_state>::new_zeroed().assume_init() } }
    }

    /// Appends to `out` what `deflated` holds; false if it is not one whole deflate stream of
    /// exactly `size` bytes, in which case `out` is as it was. `size` is allocated.
    pub(super) fn inflate(&mut self, deflated: &[u8], size: u32, out: &mut Vec<u8>) -> bool {
        let (Ok(avail_in), Ok(len)) = (u32::try_from(deflated.len()), usize::try_from(size)) else {
            return false;
        };
        if size > MAX_FRAME {
            return false;
        }
        out.reserve_exact(len);
        let before = out.len();
        let state = &mut *self.state;
        // SAFETY: `state` is a valid, exclusive pointer.
        unsafe { sys::isal_inflate_init(state) };
        // ISA-L reads only through this pointer, though C declares it otherwise.
        state.next_in = deflated.as_ptr().cast_mut();
        state.avail_in = avail_in;
        state.next_out = out.spare_capacity_mut().as_mut_ptr().cast();
        state.avail_out = size;
        // SAFETY: `next_in` and `next_out` are valid for `avail_in` and `avail_out` bytes; the
        // stateless call takes nothing for history but what it wrote itself behind `next_out`.
        let result = unsafe { sys::isal_inflate_stateless(state) };
        if result != 0 || state.avail_in != 0 || state.avail_out != 0 {
            return false;
        }
        // SAFETY: ISA-L wrote all of the `size` bytes that it was given.
        unsafe { out.set_len(before + len) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CANARY: u8 = 0xa7;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever the input, nothing is written behind the bytes that were asked for.
        #[test]
        fn damage_stays_inside(
            seed in prop::collection::vec(any::<u8>(), 1..60),
            times in 1..40_usize,
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            wanted in any::<prop::sample::Index>(),
        ) {
            let mut deflated = Vec::new();
            let raw = seed.repeat(times);
            Deflater::new(2).deflate(&raw, &mut deflated).unwrap();
            for (at, bits) in &flips {
                let at = at.index(deflated.len());
                deflated[at] ^= bits;
            }
            let size = wanted.index(raw.len() * 2);
            let mut out = vec![CANARY; size + 1_024];
            out.clear();
            let whole = Inflater::new().inflate(&deflated, u32::try_from(size).unwrap(), &mut out);
            prop_assert_eq!(out.len(), if whole { size } else { 0 });
            let used = out.len();
            // SAFETY: all of this was written when the vector was made.
            unsafe { out.set_len(size + 1_024) };
            prop_assert!(out[size..].iter().all(|byte| *byte == CANARY));
            if flips.is_empty() && size == raw.len() {
                prop_assert_eq!(&out[..used], &raw[..]);
            }
        }
    }
}
