//! Eight products per instruction.

use crate::quant::arch::in_place::Dots;
use crate::quant::kernels::linear::LANES;
use crate::quant::kernels::linear::weights::Lanes;
use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_cvtsi64_si128, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_madd_epi16,
    _mm_setzero_si128, _mm_shuffle_epi32, _mm_shufflehi_epi16, _mm_shufflelo_epi16, _mm_srai_epi16,
    _mm_unpacklo_epi8,
};

/// SSE2, which every x86-64 has.
pub(super) struct Sse2;

impl Dots for Sse2 {
    #[inline(always)]
    fn dots<const P: usize>(
        weights: impl Iterator<Item = Lanes>,
        windows: [&[i16]; P],
    ) -> [i32; P] {
        // SAFETY: SSE2 belongs to the x86-64 baseline.
        unsafe { dots(weights, windows) }
    }
}

/// Dot products of one packed row with `P` windows.
#[inline]
#[target_feature(enable = "sse2")]
fn dots<const P: usize>(weights: impl Iterator<Item = Lanes>, windows: [&[i16]; P]) -> [i32; P] {
    let windows = windows.map(|window| window.as_chunks::<LANES>().0);
    let mut sums = [_mm_setzero_si128(); P];
    for (i, packed) in weights.enumerate() {
        let row = widen(packed);
        for p in 0..P {
            sums[p] = _mm_add_epi32(sums[p], _mm_madd_epi16(row, load(&windows[p][i])));
        }
    }
    sums.map(|sum| horizontal_sum(sum))
}

/// Eight packed int8 as int16 in the order of the inputs: see
/// [`PACKING`](crate::quant::kernels::linear::PACKING).
#[inline]
#[target_feature(enable = "sse2")]
fn widen(packed: Lanes) -> __m128i {
    const INNER_TWO_SWAPPED: i32 = 0b11_01_10_00;
    let bytes = _mm_cvtsi64_si128(i64::from_le_bytes(packed));
    let words = _mm_srai_epi16::<8>(_mm_unpacklo_epi8(bytes, bytes));
    _mm_shufflehi_epi16::<INNER_TWO_SWAPPED>(_mm_shufflelo_epi16::<INNER_TWO_SWAPPED>(words))
}

#[inline]
#[target_feature(enable = "sse2")]
fn load(inputs: &[i16; LANES]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
    unsafe { _mm_loadu_si128(inputs.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn horizontal_sum(sum: __m128i) -> i32 {
    let halves = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
    _mm_cvtsi128_si32(_mm_add_epi32(
        halves,
        _mm_shuffle_epi32::<0b10_11_00_01>(halves),
    ))
}
