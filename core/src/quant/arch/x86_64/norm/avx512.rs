//! Sixteen channels at a time with AVX-512: [`super::Factors`] in registers of twice the width.

use crate::quant::kernels::mish::{FRACTION_BITS, INDEX_BITS, SEGMENTS};
use crate::quant::kernels::norm::epilogue::{EpilogueShifts, half};
use crate::quant::kernels::norm::factors::Channel;
use crate::quant::kernels::norm::portable::Portable;
use crate::quant::kernels::slices;
use core::arch::x86_64::{
    __m256i, __m512i, __mmask16, _mm_cvtsi32_si128, _mm256_loadu_si256, _mm256_storeu_si256,
    _mm512_add_epi32, _mm512_add_epi64, _mm512_and_si512, _mm512_cvtepi16_epi32,
    _mm512_cvtsepi32_epi16, _mm512_i32gather_epi32, _mm512_loadu_si512, _mm512_mask_blend_epi32,
    _mm512_mul_epi32, _mm512_mullo_epi32, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_sll_epi32,
    _mm512_slli_epi32, _mm512_sra_epi32, _mm512_srai_epi32, _mm512_srli_epi64,
};

pub(super) const LANES: usize = 16;

/// One position at a time.
#[target_feature(enable = "avx512f")]
pub(super) fn sixteen_channels(
    kernel: &Portable,
    x: &[i16],
    out: &mut [i16],
    first: usize,
    channels: &[Channel; LANES],
) {
    let factors = Factors::of(*channels, kernel.epilogue);
    let rows = slices::rows(x, kernel.n_channels).zip(slices::rows_mut(out, kernel.n_channels));
    for (x, out) in rows {
        let x = slices::from(x, first).first_chunk::<LANES>();
        let out = slices::from_mut(out, first).first_chunk_mut::<LANES>();
        if let (Some(x), Some(out)) = (x, out) {
            // SAFETY: the references cover the 32 bytes that are read and written.
            unsafe {
                let old = _mm256_loadu_si256(out.as_ptr().cast());
                let new = factors.activate(_mm256_loadu_si256(x.as_ptr().cast()), old);
                _mm256_storeu_si256(out.as_mut_ptr().cast(), new);
            }
        }
    }
}

/// The factors of sixteen values.
struct Factors {
    n: __m512i,
    minus_sum: __m512i,
    gain: __m512i,
    beta_q16: __m512i,
    scale_q15: __m512i,
    bias: __m512i,
    epilogue: EpilogueShifts,
}

impl Factors {
    #[target_feature(enable = "avx512f")]
    fn of(channels: [Channel; LANES], epilogue: EpilogueShifts) -> Self {
        Self {
            n: load(&channels.map(|channel| channel.n)),
            minus_sum: load(&channels.map(|channel| channel.minus_sum)),
            gain: load(&channels.map(|channel| channel.gain)),
            beta_q16: load(&channels.map(|channel| channel.beta_q16)),
            scale_q15: load(&channels.map(|channel| channel.scale_q15)),
            bias: load(&channels.map(|channel| channel.bias)),
            epilogue,
        }
    }

    /// Outputs from sixteen values and the old values in the outputs' places.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn activate(&self, x: __m256i, old: __m256i) -> __m256i {
        let x = _mm512_cvtepi16_epi32(x);
        let d = _mm512_add_epi32(_mm512_mullo_epi32(self.n, x), self.minus_sum);
        let y_q16 = _mm512_add_epi32(self.beta_q16, upper_words(d, self.gain, true));
        let y_q16 = mish(y_q16);
        _mm512_cvtsepi32_epi16(match self.epilogue {
            EpilogueShifts::Modulate { up, shift } => {
                let y = _mm512_sll_epi32(y_q16, _mm_cvtsi32_si128(1 + up as i32));
                let scaled = upper_words(self.scale_q15, y, shift == 0);
                shifted_right(_mm512_add_epi32(scaled, self.bias), shift)
            }
            EpilogueShifts::Add { up, down } => {
                let old = _mm512_cvtepi16_epi32(old);
                let old = _mm512_sll_epi32(old, _mm_cvtsi32_si128(up as i32));
                let old = _mm512_add_epi32(old, _mm512_set1_epi32(half(down)));
                shifted_right(_mm512_add_epi32(y_q16, old), down)
            }
        })
    }
}

/// The same as [`mish_in_range`](crate::quant::kernels::mish::mish_in_range).
#[inline]
#[target_feature(enable = "avx512f")]
fn mish(y_q16: __m512i) -> __m512i {
    const PLACES: u32 = FRACTION_BITS;
    let index = _mm512_srai_epi32::<PLACES>(y_q16);
    let index = _mm512_and_si512(index, _mm512_set1_epi32((1 << INDEX_BITS) - 1));
    // SAFETY: the table has as many entries as an index of so many bits can name.
    let segment = unsafe { _mm512_i32gather_epi32::<4>(index, SEGMENTS.as_ptr().cast()) };
    let slope = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(segment));
    let half = _mm512_set1_epi32(1 << FRACTION_BITS >> 1);
    let product = _mm512_add_epi32(_mm512_mullo_epi32(slope, y_q16), half);
    _mm512_add_epi32(
        _mm512_srai_epi32::<PLACES>(product),
        _mm512_srai_epi32::<16>(segment),
    )
}

/// `a b / 2^32`, rounded to nearest or, without `is_rounded`, down.
#[inline]
#[target_feature(enable = "avx512f")]
fn upper_words(a: __m512i, b: __m512i, is_rounded: bool) -> __m512i {
    const ODD: __mmask16 = 0b1010_1010_1010_1010;
    let half = _mm512_set1_epi64(i64::from(is_rounded) << 31);
    let even = _mm512_add_epi64(_mm512_mul_epi32(a, b), half);
    let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
    let odd = _mm512_add_epi64(odd, half);
    _mm512_mask_blend_epi32(ODD, _mm512_srli_epi64::<32>(even), odd)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn shifted_right(values: __m512i, shift: u32) -> __m512i {
    _mm512_sra_epi32(values, _mm_cvtsi32_si128(shift as i32))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(lanes: &[i32; LANES]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes that are read.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}
