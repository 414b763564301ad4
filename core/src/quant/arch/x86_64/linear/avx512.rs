//! Thirty-two products per instruction (`VPDPWSSD`), which adds them to the sums, too.

use super::avx2::{finish_by_upper_words, horizontal_sums, to_array};
use super::{Position, TILE, finish};
use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{LANES, Linear};
use core::arch::x86_64::{
    __m256i, __m512i, __mmask32, _mm_and_si128, _mm_maskz_loadu_epi8, _mm_set1_epi8,
    _mm_slli_epi16, _mm_unpackhi_epi32, _mm_unpacklo_epi32, _mm256_add_epi32,
    _mm256_maskz_loadu_epi8, _mm256_set_m128i, _mm256_setr_epi8, _mm256_shuffle_epi8,
    _mm512_castsi512_si256, _mm512_cvtepi8_epi16, _mm512_dpwssd_epi32, _mm512_extracti64x4_epi64,
    _mm512_maskz_loadu_epi16, _mm512_setzero_si512,
};

/// Inputs of a vector.
const WIDE: usize = 4 * LANES;

over_tiles!("avx512f,avx512bw,avx512vl,avx512vnni");

/// Weights in the file.
trait Weights {
    const BITS: WeightBits;

    /// The first `n` weights at `bytes`, at most 32 and a multiple of [`LANES`], as packed int8, then
    /// zeros.
    ///
    /// # Safety
    /// They are there, and the processor has AVX-512 F, BW and VL.
    unsafe fn load(bytes: *const u8, n: usize) -> __m256i;
}

/// Weights of 8 bits.
struct Bytes;

impl Weights for Bytes {
    const BITS: WeightBits = WeightBits::Eight;

    #[inline(always)]
    unsafe fn load(bytes: *const u8, n: usize) -> __m256i {
        // SAFETY: the caller's; what the mask leaves out is not read.
        unsafe { _mm256_maskz_loadu_epi8(first(n), bytes.cast()) }
    }
}

/// Weights of 4 bits.
struct Nibbles;

impl Weights for Nibbles {
    const BITS: WeightBits = WeightBits::Four;

    #[inline(always)]
    unsafe fn load(bytes: *const u8, n: usize) -> __m256i {
        // SAFETY: the caller's; what the mask leaves out is not read.
        unsafe {
            let packed = _mm_maskz_loadu_epi8(first(n / 2) as u16, bytes.cast());
            let upper_halves = _mm_set1_epi8(0xf0_u8 as i8);
            let lower = _mm_and_si128(_mm_slli_epi16::<4>(packed), upper_halves);
            let upper = _mm_and_si128(packed, upper_halves);
            _mm256_set_m128i(
                _mm_unpackhi_epi32(lower, upper),
                _mm_unpacklo_epi32(lower, upper),
            )
        }
    }
}

/// A mask of the first `n` places, at most 32.
#[inline(always)]
fn first(n: usize) -> __mmask32 {
    ((1_u64 << n) - 1) as u32
}

/// Dot products of one packed row with `P` windows of its length; zeros in the places of the
/// others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn dots<const P: usize, W: Weights>(weights: &[u8], windows: [&[i16]; P]) -> __m256i {
    let len = windows[0].len();
    assert!(weights.len() == W::BITS.size(len));
    let weights = weights.as_ptr();
    let mut sums = [_mm512_setzero_si512(); TILE];
    let mut at = 0;
    while at < len {
        let n = WIDE.min(len - at);
        // SAFETY: `n` of the `len` weights and inputs are left.
        unsafe {
            let row = widen(W::load(weights.add(W::BITS.size(at)), n));
            for p in 0..P {
                let inputs = windows[p].as_ptr().add(at);
                let inputs = _mm512_maskz_loadu_epi16(first(n), inputs);
                sums[p] = _mm512_dpwssd_epi32(sums[p], row, inputs);
            }
        }
        at += WIDE;
    }
    horizontal_sums(sums.map(|sum| {
        _mm256_add_epi32(
            _mm512_castsi512_si256(sum),
            _mm512_extracti64x4_epi64::<1>(sum),
        )
    }))
}

/// Packed int8 as int16 in the order of the inputs: see
/// [`PACKING`](crate::quant::kernels::linear::PACKING).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn widen(packed: __m256i) -> __m512i {
    let inner_two_swapped = _mm256_setr_epi8(
        0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15, //
        0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15,
    );
    _mm512_cvtepi8_epi16(_mm256_shuffle_epi8(packed, inner_two_swapped))
}
