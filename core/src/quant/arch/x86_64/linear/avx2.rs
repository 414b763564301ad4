//! Sixteen products per instruction. Eight sums at a time are scaled and rounded together.

use super::{Position, TILE, finish};
use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{LANES, Linear, Row};
use core::arch::x86_64::{
    __m128i, __m256i, _mm_and_si128, _mm_cvtsi32_si128, _mm_loadl_epi64, _mm_loadu_si32,
    _mm_loadu_si128, _mm_packs_epi32, _mm_set1_epi8, _mm_setr_epi8, _mm_shuffle_epi8,
    _mm_slli_epi16, _mm_storeu_si128, _mm_unpacklo_epi32, _mm256_add_epi32, _mm256_blend_epi32,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_hadd_epi32,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_epi32, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sra_epi32, _mm256_srli_epi64,
    _mm256_storeu_si256, _mm256_zextsi128_si256,
};

/// All rows at these positions, at most [`TILE`].
#[target_feature(enable = "avx2")]
pub(crate) fn multiply(linear: Linear<'_>, positions: &mut [Position<'_>]) {
    match linear.bits {
        WeightBits::Four => multiply_by::<Nibbles>(linear, positions),
        WeightBits::Eight => multiply_by::<Bytes>(linear, positions),
    }
}

/// [`multiply`] for weights of one kind.
#[target_feature(enable = "avx2")]
fn multiply_by<W: Weights>(linear: Linear<'_>, mut positions: &mut [Position<'_>]) {
    while !positions.is_empty() {
        positions = match positions.len() {
            8.. => some_positions::<8, W>(linear, positions),
            4.. => some_positions::<4, W>(linear, positions),
            2.. => some_positions::<2, W>(linear, positions),
            _ => some_positions::<1, W>(linear, positions),
        };
    }
}

/// The first `P` positions; returns the others.
#[inline]
#[target_feature(enable = "avx2")]
fn some_positions<'s, 'p, const P: usize, W: Weights>(
    linear: Linear<'_>,
    positions: &'s mut [Position<'p>],
) -> &'s mut [Position<'p>] {
    let Some((first, rest)) = positions.split_first_chunk_mut::<P>() else {
        return &mut [];
    };
    let windows = first
        .each_ref()
        .map(|(window, _)| &window[..linear.window()]);
    for (channel, row) in linear.rows().enumerate() {
        let sums = dots::<P, W>(row.weights, windows);
        let values = if linear.is_upper_word_enough {
            finish_by_upper_words(&row, sums)
        } else {
            finish(&row, to_array(sums))
        };
        for ((_, places), value) in first.iter_mut().zip(values) {
            places[channel] = value;
        }
    }
    rest
}

/// Weights in the file.
trait Weights {
    const BITS: WeightBits;

    /// Sixteen weights at `bytes`, as packed int8.
    ///
    /// # Safety
    /// They are there.
    unsafe fn load_16(bytes: *const u8) -> __m128i;

    /// Eight weights at `bytes`, as packed int8.
    ///
    /// # Safety
    /// They are there.
    unsafe fn load_8(bytes: *const u8) -> __m128i;
}

/// Weights of 8 bits.
struct Bytes;

impl Weights for Bytes {
    const BITS: WeightBits = WeightBits::Eight;

    #[inline(always)]
    unsafe fn load_16(bytes: *const u8) -> __m128i {
        // SAFETY: the caller's.
        unsafe { _mm_loadu_si128(bytes.cast()) }
    }

    #[inline(always)]
    unsafe fn load_8(bytes: *const u8) -> __m128i {
        // SAFETY: the caller's.
        unsafe { _mm_loadl_epi64(bytes.cast()) }
    }
}

/// Weights of 4 bits.
struct Nibbles;

impl Nibbles {
    /// Packed int8 of the weights in the lower half of `packed`.
    ///
    /// # Safety
    /// The processor has SSE2, as every x86-64.
    #[inline(always)]
    unsafe fn widen(packed: __m128i) -> __m128i {
        // SAFETY: the caller's.
        unsafe {
            let upper_halves = _mm_set1_epi8(0xf0_u8 as i8);
            let first = _mm_and_si128(_mm_slli_epi16::<4>(packed), upper_halves);
            _mm_unpacklo_epi32(first, _mm_and_si128(packed, upper_halves))
        }
    }
}

impl Weights for Nibbles {
    const BITS: WeightBits = WeightBits::Four;

    #[inline(always)]
    unsafe fn load_16(bytes: *const u8) -> __m128i {
        // SAFETY: the caller's.
        unsafe { Self::widen(_mm_loadl_epi64(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn load_8(bytes: *const u8) -> __m128i {
        // SAFETY: the caller's.
        unsafe { Self::widen(_mm_loadu_si32(bytes)) }
    }
}

/// Dot products of one packed row with `P` windows of its length; zeros in the places of the
/// others.
#[inline]
#[target_feature(enable = "avx2")]
fn dots<const P: usize, W: Weights>(weights: &[u8], windows: [&[i16]; P]) -> __m256i {
    const WIDE: usize = 2 * LANES;
    let len = windows[0].len();
    assert!(weights.len() == W::BITS.size(len));
    let weights = weights.as_ptr();
    let mut sums = [_mm256_setzero_si256(); TILE];
    let mut at = 0;
    while at + WIDE <= len {
        // SAFETY: the loop's condition; every window has `len` inputs, and there are as many weights.
        unsafe {
            let row = widen(W::load_16(weights.add(W::BITS.size(at))));
            for p in 0..P {
                let inputs = _mm256_loadu_si256(windows[p].as_ptr().add(at).cast());
                sums[p] = _mm256_add_epi32(sums[p], _mm256_madd_epi16(row, inputs));
            }
        }
        at += WIDE;
    }
    if at < len {
        // SAFETY: a whole number of `LANES` are left.
        unsafe {
            let row = widen(W::load_8(weights.add(W::BITS.size(at))));
            for p in 0..P {
                let inputs = _mm_loadu_si128(windows[p].as_ptr().add(at).cast());
                let inputs = _mm256_zextsi128_si256(inputs);
                sums[p] = _mm256_add_epi32(sums[p], _mm256_madd_epi16(row, inputs));
            }
        }
    }
    horizontal_sums(sums)
}

/// Sixteen packed int8 as int16 in the order of the inputs: see
/// [`PACKING`](crate::quant::kernels::linear::PACKING).
#[inline]
#[target_feature(enable = "avx2")]
fn widen(packed: __m128i) -> __m256i {
    let inner_two_swapped = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    _mm256_cvtepi8_epi16(_mm_shuffle_epi8(packed, inner_two_swapped))
}

/// The sum of each vector, in their order.
#[inline]
#[target_feature(enable = "avx2")]
fn horizontal_sums(sums: [__m256i; TILE]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = sums;
    let (ab, cd) = (_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let (ef, gh) = (_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let (first, second) = (_mm256_hadd_epi32(ab, cd), _mm256_hadd_epi32(ef, gh));
    _mm256_add_epi32(
        _mm256_permute2x128_si256::<0x20>(first, second),
        _mm256_permute2x128_si256::<0x31>(first, second),
    )
}

/// As [`finish`], for shifts above 32, where the product's upper word is enough, as in
/// [`multiply_shift`](crate::quant::kernels::rounding::multiply_shift).
#[inline]
#[target_feature(enable = "avx2")]
fn finish_by_upper_words(row: &Row<'_>, sums: __m256i) -> [i16; TILE] {
    const ODD: i32 = 0b1010_1010;
    let shift = row.factor.shift.wrapping_sub(32) & 31;
    let multiplier = _mm256_set1_epi32(row.factor.multiplier);
    let values = _mm256_add_epi32(sums, _mm256_set1_epi32(row.bias));
    let even = _mm256_mul_epi32(values, multiplier);
    let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(values), multiplier);
    let upper = _mm256_blend_epi32::<ODD>(_mm256_srli_epi64::<32>(even), odd);
    let rounded = _mm256_add_epi32(upper, _mm256_set1_epi32((1 << shift) >> 1));
    let shifted = _mm256_sra_epi32(rounded, _mm_cvtsi32_si128(shift as i32));
    let (low, high) = (
        _mm256_castsi256_si128(shifted),
        _mm256_extracti128_si256::<1>(shifted),
    );
    let mut all = [0_i16; TILE];
    // SAFETY: `all` has the 16 bytes that are written.
    unsafe { _mm_storeu_si128(all.as_mut_ptr().cast(), _mm_packs_epi32(low, high)) };
    all
}

#[inline]
#[target_feature(enable = "avx2")]
fn to_array(sums: __m256i) -> [i32; TILE] {
    let mut all = [0; TILE];
    // SAFETY: `all` has the 32 bytes that are written.
    unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), sums) };
    all
}
