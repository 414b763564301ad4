//! Normalisation, Mish and epilogue: of sixteen channels at a time with AVX-512; with AVX2 of eight
//! channels, or of four channels at two positions. Sums by SSE2, eight channels at a time.
#![allow(unsafe_code)]

mod avx512;

use crate::cpu::{has_avx2, has_avx512_vnni};
use crate::quant::kernels::mish::{FRACTION_BITS, INDEX_BITS, SEGMENTS};
use crate::quant::kernels::norm::epilogue::{EpilogueShifts, half};
use crate::quant::kernels::norm::factors::{Channel, Factors as Parts};
use crate::quant::kernels::norm::group::Sums;
use crate::quant::kernels::norm::kernel::{MOST_CHANNELS, NormKernel};
use crate::quant::kernels::norm::portable::Portable;
use crate::quant::kernels::slices;
use core::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_add_epi64, _mm_cvtsi32_si128, _mm_loadl_epi64,
    _mm_loadu_si128, _mm_madd_epi16, _mm_packs_epi32, _mm_set1_epi16, _mm_setzero_si128,
    _mm_storel_epi64, _mm_storeu_si128, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi32,
    _mm_unpacklo_epi64, _mm256_add_epi32, _mm256_add_epi64, _mm256_and_si256, _mm256_blend_epi32,
    _mm256_castsi256_si128, _mm256_cvtepi16_epi32, _mm256_extracti128_si256,
    _mm256_i32gather_epi32, _mm256_loadu_si256, _mm256_mul_epi32, _mm256_mullo_epi32,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_sll_epi32, _mm256_slli_epi32, _mm256_sra_epi32,
    _mm256_srai_epi32, _mm256_srli_epi64,
};

const LANES: usize = 8;
const HALF: usize = LANES / 2;
/// Most pairs of channels in a call of [`NormKernel::sums`].
const MOST_PAIRS: usize = MOST_CHANNELS / 2;
/// A mask of the odd 32-bit lanes.
const ODD: i32 = 0b1010_1010;

/// By the widest registers that the processor has, and portable for channels that do not fill one.
pub(crate) struct Widest {
    portable: Portable,
    n_positions: usize,
    has_avx2: bool,
    has_avx512: bool,
}

impl NormKernel for Widest {
    fn new(n_positions: usize, n_channels: usize, epilogue: EpilogueShifts) -> Option<Self> {
        Some(Self {
            portable: Portable::new(n_positions, n_channels, epilogue)?,
            n_positions,
            has_avx2: has_avx2(),
            has_avx512: has_avx512_vnni(),
        })
    }

    fn sums(&self, x: &[i16], first: usize, size: usize, sums: &mut [Sums]) {
        let n = size * sums.len();
        if !size.is_multiple_of(2) || !n.is_multiple_of(LANES) || n > MOST_CHANNELS {
            return self.portable.sums(x, first, size, sums);
        }
        let mut pairs = [Pair::default(); MOST_PAIRS];
        for (column, pairs) in pairs[..n / 2].as_chunks_mut().0.iter_mut().enumerate() {
            let first = first + column * LANES;
            *pairs = pairs_of_column(slices::from(x, first), self.portable.n_channels);
        }
        for (place, pairs) in sums.iter_mut().zip(pairs.chunks(size / 2)) {
            let squares: u64 = pairs.iter().map(|pair| pair.squares).sum();
            *place = Sums {
                sum: pairs.iter().map(|pair| pair.sum).sum(),
                squares: [squares as u32, (squares >> 32) as u32],
            };
        }
    }

    fn write_factors(&mut self, factors: &Parts<'_>, channels: &mut [Channel]) {
        self.portable.write_factors(factors, channels);
    }

    fn activate(&mut self, x: &[i16], out: &mut [i16], first: usize, channels: &[Channel]) {
        if !self.has_avx2 {
            return self.portable.activate(x, out, first, channels);
        }
        let mut first = first;
        let mut channels = channels;
        if self.has_avx512 {
            let (sixteens, rest) = channels.as_chunks();
            for channels in sixteens {
                // SAFETY: there is AVX-512.
                unsafe { avx512::sixteen_channels(&self.portable, x, out, first, channels) };
                first += avx512::LANES;
            }
            channels = rest;
        }
        let (eights, rest) = channels.as_chunks::<LANES>();
        for channels in eights {
            // SAFETY: there is AVX2.
            unsafe { eight_channels(&self.portable, x, out, first, channels) };
            first += LANES;
        }
        let (fours, rest) = rest.as_chunks::<HALF>();
        for channels in fours {
            if self.n_positions.is_multiple_of(2) {
                // SAFETY: there is AVX2.
                unsafe { four_channels(&self.portable, x, out, first, channels) };
            } else {
                self.portable.activate(x, out, first, channels);
            }
            first += HALF;
        }
        self.portable.activate(x, out, first, rest);
    }
}

/// Sums over two adjacent channels at all positions.
#[derive(Clone, Copy, Default)]
struct Pair {
    sum: i32,
    squares: u64,
}

/// Those of the first eight channels of `x` (`[L][n_channels]`).
fn pairs_of_column(x: &[i16], n_channels: usize) -> [Pair; HALF] {
    // SAFETY: every x86-64 has SSE2; references cover what is read and written.
    unsafe {
        let (mut sums, mut low, mut high) = (
            _mm_setzero_si128(),
            _mm_setzero_si128(),
            _mm_setzero_si128(),
        );
        for row in x.chunks(n_channels.max(1)) {
            let Some(row) = row.first_chunk::<LANES>() else {
                break;
            };
            let row = _mm_loadu_si128(row.as_ptr().cast());
            // At most 2^31, without a sign.
            let squares = _mm_madd_epi16(row, row);
            sums = _mm_add_epi32(sums, _mm_madd_epi16(row, _mm_set1_epi16(1)));
            low = _mm_add_epi64(low, _mm_unpacklo_epi32(squares, _mm_setzero_si128()));
            high = _mm_add_epi64(high, _mm_unpackhi_epi32(squares, _mm_setzero_si128()));
        }
        let (mut all_sums, mut all_squares) = ([0; HALF], [0; HALF]);
        _mm_storeu_si128(all_sums.as_mut_ptr().cast(), sums);
        _mm_storeu_si128(all_squares.as_mut_ptr().cast(), low);
        _mm_storeu_si128(all_squares[2..].as_mut_ptr().cast(), high);
        core::array::from_fn(|i| Pair {
            sum: all_sums[i],
            squares: all_squares[i],
        })
    }
}

/// One position at a time.
#[target_feature(enable = "avx2")]
fn eight_channels(
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
            // SAFETY: the references cover the 16 bytes that are read and written.
            unsafe {
                let old = _mm_loadu_si128(out.as_ptr().cast());
                let new = factors.activate(_mm_loadu_si128(x.as_ptr().cast()), old);
                _mm_storeu_si128(out.as_mut_ptr().cast(), new);
            }
        }
    }
}

/// Two positions at a time.
#[target_feature(enable = "avx2")]
fn four_channels(
    kernel: &Portable,
    x: &[i16],
    out: &mut [i16],
    first: usize,
    channels: &[Channel; HALF],
) {
    let step = kernel.n_channels;
    let factors = Factors::of(
        core::array::from_fn(|i| channels[i % HALF]),
        kernel.epilogue,
    );
    let pairs = slices::rows(x, 2 * step).zip(slices::rows_mut(out, 2 * step));
    for (x, out) in pairs {
        let (out, next_out) = slices::split_mut(out, step);
        let x = [slices::from(x, first), slices::from(x, step + first)];
        let x = x.map(|x| x.first_chunk::<HALF>());
        let out = [out, next_out].map(|out| slices::from_mut(out, first).first_chunk_mut());
        if let ([Some(x), Some(next_x)], [Some(out), Some(next_out)]) = (x, out) {
            let new = factors.activate(load_halves(x, next_x), load_halves(out, next_out));
            store_half(new, out);
            store_half(_mm_unpackhi_epi64(new, new), next_out);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_halves(low: &[i16; HALF], high: &[i16; HALF]) -> __m128i {
    // SAFETY: each reference covers the 8 bytes that are read.
    let [low, high] = [low, high].map(|half| unsafe { _mm_loadl_epi64(half.as_ptr().cast()) });
    _mm_unpacklo_epi64(low, high)
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_half(values: __m128i, half: &mut [i16; HALF]) {
    // SAFETY: the reference covers the 8 bytes that are written.
    unsafe { _mm_storel_epi64(half.as_mut_ptr().cast(), values) }
}

/// The factors of eight values.
struct Factors {
    n: __m256i,
    minus_sum: __m256i,
    gain: __m256i,
    beta_q16: __m256i,
    scale_q15: __m256i,
    bias: __m256i,
    epilogue: EpilogueShifts,
}

impl Factors {
    #[target_feature(enable = "avx2")]
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

    /// Outputs from eight values and the old values in the outputs' places.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn activate(&self, x: __m128i, old: __m128i) -> __m128i {
        let x = _mm256_cvtepi16_epi32(x);
        let d = _mm256_add_epi32(_mm256_mullo_epi32(self.n, x), self.minus_sum);
        let y_q16 = _mm256_add_epi32(self.beta_q16, upper_words(d, self.gain, true));
        let y_q16 = self.mish(y_q16);
        let value = match self.epilogue {
            EpilogueShifts::Modulate { up, shift } => {
                let y = _mm256_sll_epi32(y_q16, _mm_cvtsi32_si128(1 + up as i32));
                let scaled = upper_words(self.scale_q15, y, shift == 0);
                shifted_right(_mm256_add_epi32(scaled, self.bias), shift)
            }
            EpilogueShifts::Add { up, down } => {
                let up = _mm_cvtsi32_si128(up as i32);
                let half = _mm256_set1_epi32(half(down));
                let old = _mm256_sll_epi32(_mm256_cvtepi16_epi32(old), up);
                let old = _mm256_add_epi32(old, half);
                shifted_right(_mm256_add_epi32(y_q16, old), down)
            }
        };
        _mm_packs_epi32(
            _mm256_castsi256_si128(value),
            _mm256_extracti128_si256::<1>(value),
        )
    }

    /// The same as [`mish_in_range`](crate::quant::kernels::mish::mish_in_range).
    #[inline]
    #[target_feature(enable = "avx2")]
    fn mish(&self, y_q16: __m256i) -> __m256i {
        const PLACES: i32 = FRACTION_BITS as i32;
        let index = _mm256_srai_epi32::<PLACES>(y_q16);
        let index = _mm256_and_si256(index, _mm256_set1_epi32((1 << INDEX_BITS) - 1));
        // SAFETY: the table has as many entries as an index of so many bits can name.
        let segment = unsafe { _mm256_i32gather_epi32::<4>(SEGMENTS.as_ptr().cast(), index) };
        let slope = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(segment));
        let half = _mm256_set1_epi32(1 << FRACTION_BITS >> 1);
        let product = _mm256_add_epi32(_mm256_mullo_epi32(slope, y_q16), half);
        _mm256_add_epi32(
            _mm256_srai_epi32::<PLACES>(product),
            _mm256_srai_epi32::<16>(segment),
        )
    }
}

/// `a b / 2^32`, rounded to nearest or, without `is_rounded`, down.
#[inline]
#[target_feature(enable = "avx2")]
fn upper_words(a: __m256i, b: __m256i, is_rounded: bool) -> __m256i {
    let half = _mm256_set1_epi64x(i64::from(is_rounded) << 31);
    let even = _mm256_add_epi64(_mm256_mul_epi32(a, b), half);
    let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
    let odd = _mm256_add_epi64(odd, half);
    _mm256_blend_epi32::<ODD>(_mm256_srli_epi64::<32>(even), odd)
}

#[inline]
#[target_feature(enable = "avx2")]
fn shifted_right(values: __m256i, shift: u32) -> __m256i {
    _mm256_sra_epi32(values, _mm_cvtsi32_si128(shift as i32))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(lanes: &[i32; LANES]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes that are read.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::kernels::linear::tests::Lcg;
    use crate::quant::kernels::norm::{Epilogue, Memory, Modulation, Norm};

    extern crate std;
    use std::vec::Vec;

    /// [`Widest`] as on a processor without AVX-512, and without AVX2.
    struct Narrower<const HAS_AVX2: bool>(Widest);

    impl<const HAS_AVX2: bool> NormKernel for Narrower<HAS_AVX2> {
        fn new(n_positions: usize, n_channels: usize, epilogue: EpilogueShifts) -> Option<Self> {
            let mut kernel = Widest::new(n_positions, n_channels, epilogue)?;
            kernel.has_avx2 &= HAS_AVX2;
            kernel.has_avx512 = false;
            Some(Self(kernel))
        }

        fn sums(&self, x: &[i16], first: usize, size: usize, sums: &mut [Sums]) {
            self.0.sums(x, first, size, sums);
        }

        fn write_factors(&mut self, factors: &Parts<'_>, channels: &mut [Channel]) {
            self.0.write_factors(factors, channels);
        }

        fn activate(&mut self, x: &[i16], out: &mut [i16], first: usize, channels: &[Channel]) {
            self.0.activate(x, out, first, channels);
        }
    }

    /// An activation as one of the kernels makes it.
    type Activate = for<'n> fn(Norm<'n>, &[i16], &mut [i16], &Epilogue<'_>);

    fn by<K: NormKernel>(norm: Norm<'_>, x: &[i16], out: &mut [i16], epilogue: &Epilogue<'_>) {
        norm.activate_with::<K>(x, out, epilogue, &mut [0; Memory::LEN]);
    }

    #[test]
    fn whichever_instructions_there_are_the_bits_are_the_references() {
        let kernels: [(&str, Activate); 3] = [
            ("widest", by::<Widest>),
            ("AVX2", by::<Narrower<true>>),
            ("SSE2", by::<Narrower<false>>),
        ];
        let mut random = Lcg(9);
        // Few under Miri, which is a thousand times as slow.
        for case in 0..if cfg!(miri) { 6 } else { 300 } {
            let n_groups = 1 + random.next() as usize % 9;
            let group_size = [1, 2, 3, 4, 5, 8, 16, 24, 65, 72][random.next() as usize % 10];
            let (n_channels, n_positions) = (n_groups * group_size, 1 + random.next() as usize % 9);
            let parameters: Vec<u8> = (0..n_channels)
                .flat_map(|_| [random.next() as i32 % 512, random.next() as i32 % (1 << 17)])
                .flat_map(i32::to_le_bytes)
                .collect();
            let len = n_positions * group_size;
            let norm = Norm::new(&parameters, n_groups, 12, 1 << 20, len).unwrap();
            let shares: Vec<i16> = (0..2 * n_channels).map(|_| random.next() as i16).collect();
            let step: Vec<[u8; 2]> = shares
                .iter()
                .rev()
                .map(|share| share.to_le_bytes())
                .collect();
            let epilogue = match case % 3 {
                0 => Epilogue::Add {
                    up: random.next() as u32 % 14,
                    down: random.next() as u32 % 17,
                },
                _ => Epilogue::Modulate(Modulation {
                    step: &step,
                    observation: &shares,
                    n_scales: if case % 3 == 1 { n_channels } else { 0 },
                    exponent: 10,
                    shift: 8 + random.next() as u32 % 23,
                }),
            };
            // Small values, any, and the least ones, whose squares in pairs have 32 bits.
            let x: Vec<i16> = (0..n_positions * n_channels)
                .map(|_| match case % 5 {
                    0 => random.next() as i16 >> 10,
                    1 => i16::MIN,
                    _ => random.next() as i16,
                })
                .collect();
            let old: Vec<i16> = x.iter().map(|_| random.next() as i16).collect();
            let mut expected = old.clone();
            norm.activate_reference(&x, &mut expected, &epilogue);
            for (name, kernel) in kernels {
                let mut got = old.clone();
                kernel(norm, &x, &mut got, &epilogue);
                assert_eq!(got, expected, "{name}: {n_groups} groups of {group_size}");
            }
        }
    }
}
