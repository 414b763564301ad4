//! `mish` of eight numbers with AVX2, bit for bit as of one after the other.
#![allow(unsafe_code)]

use super::{END, FRACTION_BITS, RESIDUE_Q16, START};
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_cmpeq_epi32, _mm256_i32gather_epi32,
    _mm256_max_epi32, _mm256_min_epu32, _mm256_mullo_epi32, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srai_epi32, _mm256_srli_epi32,
    _mm256_sub_epi32,
};

/// As [`mish_q16`](super::mish_q16).
#[inline]
#[target_feature(enable = "avx2")]
pub(in super::super) fn mish_q16(x_q16: __m256i) -> __m256i {
    const LAST_PLACE: i32 = ((END - START) << 16) - 1;
    const _: () = assert!(LAST_PLACE as usize >> FRACTION_BITS < RESIDUE_Q16.len() - 1);
    let place = _mm256_sub_epi32(x_q16, _mm256_set1_epi32(START << 16));
    let inside = _mm256_min_epu32(place, _mm256_set1_epi32(LAST_PLACE));
    let is_inside = _mm256_cmpeq_epi32(place, inside);
    let knot = _mm256_srli_epi32::<{ FRACTION_BITS as i32 }>(inside);
    // SAFETY: no knot is the table's last, so there are two entries, 4 bytes, from each on.
    let both = unsafe { _mm256_i32gather_epi32::<2>(RESIDUE_Q16.as_ptr().cast(), knot) };
    let from = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(both));
    let to = _mm256_srai_epi32::<16>(both);
    let fraction = _mm256_and_si256(place, _mm256_set1_epi32((1 << FRACTION_BITS) - 1));
    let product = _mm256_mullo_epi32(_mm256_sub_epi32(to, from), fraction);
    let half = _mm256_set1_epi32((1 << FRACTION_BITS) >> 1);
    let step = _mm256_srai_epi32::<{ FRACTION_BITS as i32 }>(_mm256_add_epi32(product, half));
    let residue = _mm256_and_si256(_mm256_add_epi32(from, step), is_inside);
    _mm256_add_epi32(_mm256_max_epi32(x_q16, _mm256_setzero_si256()), residue)
}

#[cfg(test)]
mod tests {
    use super::super::super::x86_64::has_avx2;
    use super::*;
    use core::arch::x86_64::{_mm256_loadu_si256, _mm256_storeu_si256};

    #[target_feature(enable = "avx2")]
    fn of_eight(x_q16: [i32; 8]) -> [i32; 8] {
        let mut all = [0; 8];
        // SAFETY: both arrays have the 32 bytes.
        unsafe {
            let x_q16 = _mm256_loadu_si256(x_q16.as_ptr().cast());
            _mm256_storeu_si256(all.as_mut_ptr().cast(), mish_q16(x_q16));
        }
        all
    }

    #[test]
    fn eight_at_a_time_have_the_bits_of_one() {
        if !has_avx2() {
            return;
        }
        let near = (START - 1) << 16..(END + 1) << 16;
        let ends = [i32::MIN, i32::MIN + 1, START << 16, -1, 0, i32::MAX - 1];
        for first in near.step_by(3).chain(ends) {
            let x_q16 = core::array::from_fn(|i| first.wrapping_add(i as i32));
            // SAFETY: there is AVX2.
            let got = unsafe { of_eight(x_q16) };
            assert_eq!(got, x_q16.map(super::super::mish_q16), "{x_q16:?}");
        }
    }
}
