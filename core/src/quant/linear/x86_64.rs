//! The product with `PMADDWD` (SSE2, so on every x86-64): eight multiplications an instruction.
#![allow(unsafe_code)]

use super::{LANES, Linear, Outputs, Panel, Windows, reference, saturate_i16};
use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_cvtsi64_si128, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_madd_epi16,
    _mm_setzero_si128, _mm_shuffle_epi32, _mm_shufflehi_epi16, _mm_shufflelo_epi16, _mm_srai_epi16,
    _mm_unpacklo_epi8,
};

/// This kernel needs no panel.
pub(super) type Input = ();
pub(super) const ZERO: Input = ();

/// As [`Linear::apply`].
pub(super) fn apply(linear: Linear<'_>, windows: Windows<'_>, _: &mut Panel, outputs: Outputs<'_>) {
    let last = windows.n_positions.saturating_sub(1);
    if windows.values.len() < last * windows.step + linear.window {
        return reference::multiply(linear, windows, outputs);
    }
    for (channel, row) in linear.rows().enumerate() {
        let mut position = 0;
        // As many positions as are left, up to four, share the load of a row.
        while position < windows.n_positions {
            let rest = windows.skip_positions(position);
            let mut sums = [0; 4];
            let n_sums = match rest.n_positions {
                4.. => {
                    sums = dots(row.weights, rest);
                    4
                }
                2.. => {
                    [sums[0], sums[1]] = dots(row.weights, rest);
                    2
                }
                _ => {
                    [sums[0]] = dots(row.weights, rest);
                    1
                }
            };
            for sum in &sums[..n_sums] {
                let value = row.factor.apply(row.bias.wrapping_add(*sum));
                let place = position * outputs.step + channel;
                if let Some(place) = outputs.values.get_mut(place) {
                    *place = saturate_i16(i64::from(value));
                }
                position += 1;
            }
        }
    }
}

/// Dot products of one packed row with the first `P` windows.
#[inline(always)]
fn dots<const P: usize>(weights: &[u8], windows: Windows<'_>) -> [i32; P] {
    let window = |position: usize| {
        let start = position * windows.step;
        let values = windows.values.get(start..start + weights.len());
        values.unwrap_or_default()
    };
    // SAFETY: SSE2 belongs to the x86-64 baseline.
    unsafe { dots_sse2(weights, core::array::from_fn(window)) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn dots_sse2<const P: usize>(weights: &[u8], windows: [&[i16]; P]) -> [i32; P] {
    let rows = weights.as_chunks::<LANES>().0;
    let windows = windows.map(|window| window.as_chunks::<LANES>().0);
    let n = windows
        .map(<[_]>::len)
        .into_iter()
        .fold(rows.len(), usize::min);
    let windows = windows.map(|window| &window[..n]);
    let mut sums = [_mm_setzero_si128(); P];
    for (i, packed) in rows[..n].iter().enumerate() {
        let row = widen(*packed);
        for p in 0..P {
            sums[p] = _mm_add_epi32(sums[p], _mm_madd_epi16(row, load(&windows[p][i])));
        }
    }
    sums.map(|sum| horizontal_sum(sum))
}

/// Eight packed int8 as int16 in the order of the inputs: see [`super::PACKING`].
#[inline]
#[target_feature(enable = "sse2")]
fn widen(packed: [u8; LANES]) -> __m128i {
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
