//! Normalisation, Mish and epilogue of eight channels at a time, or of four.
#![allow(unsafe_code)]

use crate::quant::kernels::mish::{FRACTION_BITS, INDEX_BITS, SEGMENTS};
use crate::quant::kernels::norm::epilogue::EpilogueShifts;
use crate::quant::kernels::norm::factors::{Channel, Factors as Parts};
use crate::quant::kernels::norm::group::Sums;
use crate::quant::kernels::norm::kernel::NormKernel;
use crate::quant::kernels::norm::portable::Portable;
use crate::quant::kernels::slices;
use core::arch::aarch64::{
    int16x4_t, int32x4_t, vaddq_s32, vandq_s32, vcombine_s32, vdupq_n_s32, vget_low_s32,
    vgetq_lane_s32, vld1_s16, vld1q_s32, vmlaq_s32, vmovl_s16, vmull_high_s32, vmull_s32,
    vmulq_s32, vqdmulhq_s32, vqmovn_s32, vqrdmulhq_s32, vrshlq_s32, vrshrn_n_s64, vrshrq_n_s32,
    vshlq_n_s32, vshlq_s32, vshrq_n_s32, vsraq_n_s32, vst1_s16,
};

const LANES: usize = 4;

/// Portable for channels that do not fill a vector.
pub(crate) struct Neon {
    portable: Portable,
}

impl NormKernel for Neon {
    fn new(n_positions: usize, n_channels: usize, epilogue: EpilogueShifts) -> Option<Self> {
        let portable = Portable::new(n_positions, n_channels, epilogue)?;
        Some(Self { portable })
    }

    fn sums(&self, x: &[i16], first: usize, size: usize, sums: &mut [Sums]) {
        self.portable.sums(x, first, size, sums);
    }

    fn write_factors(&mut self, factors: &Parts<'_>, channels: &mut [Channel]) {
        self.portable.write_factors(factors, channels);
    }

    fn activate(&mut self, x: &[i16], out: &mut [i16], first: usize, channels: &[Channel]) {
        let mut first = first;
        let (eights, rest) = channels.as_chunks::<{ 2 * LANES }>();
        for channels in eights {
            let (fours, _) = channels.as_chunks::<LANES>();
            if let Some(fours) = fours.first_chunk::<2>() {
                // SAFETY: `build.rs` names this folder only where there is NEON.
                unsafe { some_channels(&self.portable, x, out, first, fours) };
            }
            first += 2 * LANES;
        }
        let (fours, rest) = rest.as_chunks::<LANES>();
        if let Some(fours) = fours.first_chunk::<1>() {
            // SAFETY: as above.
            unsafe { some_channels(&self.portable, x, out, first, fours) };
            first += LANES;
        }
        self.portable.activate(x, out, first, rest);
    }
}

/// `N` times four channels, one position at a time.
#[target_feature(enable = "neon")]
fn some_channels<const N: usize>(
    kernel: &Portable,
    x: &[i16],
    out: &mut [i16],
    first: usize,
    channels: &[[Channel; LANES]; N],
) {
    let factors = channels.each_ref().map(|channels| Factors::of(channels));
    let rows = slices::rows(x, kernel.n_channels).zip(slices::rows_mut(out, kernel.n_channels));
    for (x, out) in rows {
        let x = slices::from(x, first).as_chunks::<LANES>().0;
        let out = slices::from_mut(out, first).as_chunks_mut::<LANES>().0;
        for ((factors, x), out) in factors.iter().zip(x).zip(out) {
            // SAFETY: the references cover the 8 bytes that are read and written.
            unsafe {
                let old = vld1_s16(out.as_ptr());
                let new = factors.activate(vld1_s16(x.as_ptr()), old, kernel.epilogue);
                vst1_s16(out.as_mut_ptr(), new);
            }
        }
    }
}

/// The factors of four values.
struct Factors {
    n: int32x4_t,
    minus_sum: int32x4_t,
    gain: int32x4_t,
    beta_q16: int32x4_t,
    scale_q15: int32x4_t,
    bias: int32x4_t,
}

impl Factors {
    #[target_feature(enable = "neon")]
    fn of(channels: &[Channel; LANES]) -> Self {
        Self {
            n: load(&channels.map(|channel| channel.n)),
            minus_sum: load(&channels.map(|channel| channel.minus_sum)),
            gain: load(&channels.map(|channel| channel.gain)),
            beta_q16: load(&channels.map(|channel| channel.beta_q16)),
            scale_q15: load(&channels.map(|channel| channel.scale_q15)),
            bias: load(&channels.map(|channel| channel.bias)),
        }
    }

    /// Outputs from four values and the old values in the outputs' places.
    #[inline]
    #[target_feature(enable = "neon")]
    fn activate(&self, x: int16x4_t, old: int16x4_t, epilogue: EpilogueShifts) -> int16x4_t {
        let d = vmlaq_s32(self.minus_sum, self.n, vmovl_s16(x));
        let y_q16 = mish(vaddq_s32(self.beta_q16, upper_words(d, self.gain)));
        // `SQDMULH` and `SQRDMULH` are the upper word of twice the product, which never saturates:
        // `mish` is far from -2^31.
        vqmovn_s32(match epilogue {
            EpilogueShifts::Modulate { shift: 0, .. } => {
                vaddq_s32(vqrdmulhq_s32(self.scale_q15, y_q16), self.bias)
            }
            EpilogueShifts::Modulate { up, shift } => {
                let y = vshlq_s32(y_q16, vdupq_n_s32(up as i32));
                let scaled = vaddq_s32(vqdmulhq_s32(self.scale_q15, y), self.bias);
                vshlq_s32(scaled, vdupq_n_s32(-(shift as i32)))
            }
            EpilogueShifts::Add { up, down } => {
                let old = vshlq_s32(vmovl_s16(old), vdupq_n_s32(up as i32));
                vrshlq_s32(vaddq_s32(y_q16, old), vdupq_n_s32(-(down as i32)))
            }
        })
    }
}

/// The same as [`mish_in_range`](crate::quant::kernels::mish::mish_in_range).
#[inline]
#[target_feature(enable = "neon")]
fn mish(y_q16: int32x4_t) -> int32x4_t {
    const PLACES: i32 = FRACTION_BITS as i32;
    let index = vshrq_n_s32::<PLACES>(y_q16);
    let index = vandq_s32(index, vdupq_n_s32((1 << INDEX_BITS) - 1));
    let entry = |index: i32| SEGMENTS[index as usize % SEGMENTS.len()] as i32;
    let segments = load(&[
        entry(vgetq_lane_s32::<0>(index)),
        entry(vgetq_lane_s32::<1>(index)),
        entry(vgetq_lane_s32::<2>(index)),
        entry(vgetq_lane_s32::<3>(index)),
    ]);
    let slope = vshrq_n_s32::<16>(vshlq_n_s32::<16>(segments));
    let rounded = vrshrq_n_s32::<PLACES>(vmulq_s32(slope, y_q16));
    vsraq_n_s32::<16>(rounded, segments)
}

/// `a b / 2^32`, rounded to nearest.
#[inline]
#[target_feature(enable = "neon")]
fn upper_words(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    let low = vmull_s32(vget_low_s32(a), vget_low_s32(b));
    let high = vmull_high_s32(a, b);
    vcombine_s32(vrshrn_n_s64::<32>(low), vrshrn_n_s64::<32>(high))
}

#[inline]
#[target_feature(enable = "neon")]
fn load(lanes: &[i32; LANES]) -> int32x4_t {
    // SAFETY: the reference covers the 16 bytes that are read.
    unsafe { vld1q_s32(lanes.as_ptr()) }
}
