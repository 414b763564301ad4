//! Eight channels side by side with AVX2, bit for bit as one after the other.
#![allow(unsafe_code)]

use super::super::mish::avx2::mish_q16;
use super::super::rsqrt::rsqrt;
use super::{Finish, Group, Norm, Normalize, activate_channel, read, slices};
use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_epi64, _mm256_blend_epi32,
    _mm256_cvtepi16_epi32, _mm256_loadu_si256, _mm256_mul_epi32, _mm256_mullo_epi32,
    _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_slli_epi64, _mm256_srav_epi32,
    _mm256_srli_epi64, _mm256_storeu_si256, _mm256_sub_epi32,
};

const LANES: usize = super::super::linear::LANES;
/// Of `gamma`'s product with the mantissa.
const DROPPED_BITS: u32 = 15;
/// Of a vector's 32-bit lanes.
const ODD: i32 = 0b1010_1010;

/// Whether whole groups fill whole vectors.
pub(super) fn can_take(n_channels: usize, group_size: usize) -> bool {
    let (less, more) = (group_size.min(LANES), group_size.max(LANES));
    less > 0 && more.is_multiple_of(less) && n_channels.is_multiple_of(more)
}

/// As [`Norm::activate`], for what [`can_take`] allows.
#[target_feature(enable = "avx2")]
pub(super) fn activate<F: Finish>(
    norm: Norm<'_>,
    x: &[i16],
    out: &mut [i16],
    finish: &impl Fn(usize) -> F,
) {
    let parameters = norm.parameters.as_chunks::<{ Norm::PARAMETERS_SIZE }>().0;
    let n_channels = parameters.len();
    let group_size = n_channels / norm.n_groups.max(1);
    // Channels that begin and end with a group and with a vector.
    let span = group_size.max(LANES);
    for first in (0..n_channels).step_by(span) {
        let Some(lanes) = Lanes::of(norm, x, n_channels, first, group_size) else {
            for first in (first..first + span).step_by(group_size) {
                activate_group(norm, x, out, finish, first, group_size);
            }
            continue;
        };
        let loaded = lanes.load();
        for first in (first..first + span).step_by(LANES) {
            let Some(parameters) = slices::from(parameters, first).first_chunk() else {
                continue;
            };
            let affine = loaded.affine(parameters);
            let finishes = core::array::from_fn::<_, LANES, _>(|lane| finish(first + lane));
            let rows = slices::rows(x, n_channels).zip(slices::rows_mut(out, n_channels));
            for (x, out) in rows {
                let x = slices::from(x, first).first_chunk();
                let out = slices::from_mut(out, first).first_chunk_mut::<LANES>();
                if let (Some(x), Some(out)) = (x, out) {
                    let y_q16 = to_array(mish_q16(affine.to_q16(load_i16(x))));
                    for lane in 0..LANES {
                        out[lane] = finishes[lane].apply(y_q16[lane], out[lane]);
                    }
                }
            }
        }
    }
}

/// A group as the portable code has it.
fn activate_group<F: Finish>(
    norm: Norm<'_>,
    x: &[i16],
    out: &mut [i16],
    finish: &impl Fn(usize) -> F,
    first: usize,
    group_size: usize,
) {
    let parameters = norm.parameters.as_chunks::<{ Norm::PARAMETERS_SIZE }>().0;
    let n_channels = parameters.len();
    let group = Group::of(x, n_channels, first, group_size, norm.eps);
    let channels = first..first + group_size;
    for (channel, parameters) in channels.zip(slices::from(parameters, first)) {
        let finish = finish(channel);
        let (x, out) = (slices::from(x, channel), slices::from_mut(out, channel));
        match group.normalize(norm, parameters) {
            Normalize::UpperWord(n) => activate_channel(&n, &finish, x, out, n_channels),
            Normalize::Whole(n) => activate_channel(&n, &finish, x, out, n_channels),
        }
    }
}

/// Of a group: how far `d` goes up, the shift of the upper word, and the mantissa of the reciprocal root, as [`Group::normalize`] has
/// them. Nothing where that has [`Normalize::Whole`], or the mantissa is 2^31.
#[inline]
fn scale(norm: Norm<'_>, n: i32, sum: i32, square_sum: i64) -> Option<(u32, u32, i32)> {
    let variance = n as u64 * square_sum as u64 - u64::from(sum.unsigned_abs()).pow(2);
    let scale = rsqrt(variance + norm.eps);
    let shift = norm.gamma_exponent + scale.exponent - DROPPED_BITS - 16;
    let up = 33_u32.saturating_sub(shift);
    let mantissa = i32::try_from(scale.mantissa).ok()?;
    let has_room = up <= 15 && n << up <= 1 << 15 && norm.headroom > 0;
    has_room.then_some((up, shift + up - 32, mantissa))
}

/// What the channels of a vector have of their groups: [`super::UpperWord`] but for `gamma` and `beta`.
#[derive(Default)]
struct Lanes {
    n: [i32; LANES],
    sum: [i32; LANES],
    /// Of the reciprocal root.
    mantissa: [i32; LANES],
    half: [i32; LANES],
    shift: [i32; LANES],
}

impl Lanes {
    /// Of the groups from channel `first` on that fill a vector, or the one group that fills several. Nothing if one of them has no room.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(
        norm: Norm<'_>,
        x: &[i16],
        n_channels: usize,
        first: usize,
        group_size: usize,
    ) -> Option<Self> {
        let (sums, square_sums) = channel_sums(x, n_channels, first, group_size.max(LANES));
        let n = (x.len() / n_channels.max(1) * group_size) as i32;
        let mut lanes = Self::default();
        let width = group_size.clamp(1, LANES);
        for at in (0..LANES).step_by(width) {
            let of_group = at..at + width;
            let sum = sums[of_group.clone()].iter().sum();
            let square_sum = square_sums[of_group.clone()].iter().sum();
            let (up, shift, mantissa) = scale(norm, n, sum, square_sum)?;
            lanes.n[of_group.clone()].fill(n << up);
            lanes.sum[of_group.clone()].fill(sum << up);
            lanes.mantissa[of_group.clone()].fill(mantissa);
            lanes.half[of_group.clone()].fill((1 << shift) >> 1);
            lanes.shift[of_group].fill(shift as i32);
        }
        Some(lanes)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(&self) -> Loaded {
        Loaded {
            n: load(&self.n),
            sum: load(&self.sum),
            mantissa: load(&self.mantissa),
            half: load(&self.half),
            shift: load(&self.shift),
        }
    }
}

/// [`Lanes`] in registers.
struct Loaded {
    n: __m256i,
    sum: __m256i,
    mantissa: __m256i,
    half: __m256i,
    shift: __m256i,
}

impl Loaded {
    /// With `gamma` and `beta` of eight channels.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn affine(&self, parameters: &[[u8; Norm::PARAMETERS_SIZE]; LANES]) -> Affine<'_> {
        let gamma = load(&parameters.map(|p| read::i32_at(&p, 0)));
        let (even, odd) = multiply(gamma, self.mantissa);
        let half = _mm256_set1_epi64x(1 << (DROPPED_BITS - 1));
        // The lower word is all that there is: a logical shift gives it as an arithmetic one would.
        let shifted =
            |product| _mm256_srli_epi64::<{ DROPPED_BITS as i32 }>(_mm256_add_epi64(product, half));
        let odd = _mm256_slli_epi64::<32>(shifted(odd));
        Affine {
            of_group: self,
            gain: _mm256_blend_epi32::<ODD>(shifted(even), odd),
            beta_q16: load(&parameters.map(|p| read::i32_at(&p, 4))),
        }
    }
}

/// [`super::UpperWord`] of eight channels.
struct Affine<'l> {
    of_group: &'l Loaded,
    gain: __m256i,
    beta_q16: __m256i,
}

impl Affine<'_> {
    /// As `UpperWord::to_q16`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn to_q16(&self, x: __m256i) -> __m256i {
        let Loaded {
            n,
            sum,
            half,
            shift,
            ..
        } = *self.of_group;
        let d = _mm256_sub_epi32(_mm256_mullo_epi32(n, x), sum);
        let (even, odd) = multiply(d, self.gain);
        let upper = _mm256_blend_epi32::<ODD>(_mm256_srli_epi64::<32>(even), odd);
        let scaled = _mm256_srav_epi32(_mm256_add_epi32(upper, half), shift);
        _mm256_add_epi32(self.beta_q16, scaled)
    }
}

/// Sums and sums of squares of the channels `first..first + span`, those a vector apart together.
#[inline]
#[target_feature(enable = "avx2")]
fn channel_sums(
    x: &[i16],
    n_channels: usize,
    first: usize,
    span: usize,
) -> ([i32; LANES], [i64; LANES]) {
    let mut sum = _mm256_setzero_si256();
    let (mut even, mut odd) = (sum, sum);
    for row in slices::rows(x, n_channels) {
        for x in slices::part(row, first, span).as_chunks().0 {
            let x = load_i16(x);
            let (even_squares, odd_squares) = multiply(x, x);
            sum = _mm256_add_epi32(sum, x);
            even = _mm256_add_epi64(even, even_squares);
            odd = _mm256_add_epi64(odd, odd_squares);
        }
    }
    let mut square_sums = [0; LANES];
    for (lane, sums) in [even, odd].into_iter().enumerate() {
        let mut all = [0; LANES / 2];
        // SAFETY: `all` has the 32 bytes that are written.
        unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), sums) };
        for (i, sum) in all.into_iter().enumerate() {
            square_sums[2 * i + lane] = sum;
        }
    }
    (to_array(sum), square_sums)
}

/// The products of the even lanes and of the odd ones, in 64 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
    let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
    (_mm256_mul_epi32(a, b), odd)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_i16(lanes: &[i16; LANES]) -> __m256i {
    // SAFETY: the reference covers the 16 bytes that are read.
    _mm256_cvtepi16_epi32(unsafe { _mm_loadu_si128(lanes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(lanes: &[i32; LANES]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes that are read.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn to_array(lanes: __m256i) -> [i32; LANES] {
    let mut all = [0; LANES];
    // SAFETY: `all` has the 32 bytes that are written.
    unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), lanes) };
    all
}

#[cfg(test)]
mod tests {
    use super::super::super::linear::tests::Lcg;
    use super::super::super::x86_64::has_avx2;
    use super::*;

    extern crate std;
    use std::vec::Vec;

    /// Keeps what it can of the activation and of what was there, in another way for each channel.
    struct Mix(i32);

    impl Finish for Mix {
        fn apply(&self, y_q16: i32, old: i16) -> i16 {
            (y_q16.wrapping_mul(self.0) ^ (y_q16 >> 16) ^ i32::from(old)) as i16
        }
    }

    #[test]
    fn eight_channels_at_a_time_have_the_bits_of_one() {
        if !has_avx2() {
            return;
        }
        let mut random = Lcg(9);
        let mut n_taken = 0;
        for case in 0..400 {
            let n_channels = LANES * (1 + random.next() as usize % 6);
            let divisors: Vec<_> = (1..=n_channels)
                .filter(|n| n_channels.is_multiple_of(*n))
                .collect();
            let n_groups = divisors[random.next() as usize % divisors.len()];
            let n_rows = 1 + random.next() as usize % 9;
            let up = random.next() % 13;
            let len = n_channels * n_rows;
            let x: Vec<i16> = (0..len).map(|_| (random.next() as i16) >> up).collect();
            let mut parameters = Vec::new();
            for _ in 0..n_channels {
                let gamma = random.next() as i32 % 8192 - 4096;
                let beta = random.next() as i32 % (1 << 18) - (1 << 17);
                parameters.extend([gamma, beta].into_iter().flat_map(i32::to_le_bytes));
            }
            let group_len = len / n_groups;
            let norm = Norm {
                parameters: &parameters,
                n_groups,
                gamma_exponent: 12,
                eps: 1 + random.next() as u64,
                // In every fourth case none, so that no upper word is enough.
                headroom: match case % 4 {
                    0 => 0,
                    _ => Norm::headroom_of(&parameters, 12, group_len),
                },
            };
            let mut expected: Vec<i16> = (0..len).map(|_| random.next() as i16).collect();
            let mut got = expected.clone();
            let mix = |channel| Mix(channel as i32);
            let size = n_channels / n_groups;
            for first in (0..n_channels).step_by(size) {
                activate_group(norm, &x, &mut expected, &mix, first, size);
            }
            if !can_take(n_channels, size) {
                continue;
            }
            n_taken += 1;
            // SAFETY: there is AVX2.
            unsafe { activate(norm, &x, &mut got, &mix) };
            assert_eq!(
                got, expected,
                "{n_channels} channels, {n_groups} groups, {n_rows} rows"
            );
        }
        assert!(n_taken > 200);
    }
}
