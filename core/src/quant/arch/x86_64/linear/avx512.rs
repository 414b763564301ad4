//! Sixteen positions in the lanes of a register, times sixteen rows whose sums registers keep:
//! `VPDPWSSD` makes 32 products and adds them to sixteen sums. No sum is spread over lanes, so none
//! has to be gathered in the end, which took as long as the products.
//!
//! For this the inputs are packed, a part of the windows at a time: pair by pair, and in each pair
//! position by position. Weights are widened once for a tile, and a pair is broadcast to the lanes.

use super::{Position, avx2, finish};
use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{Linear, Row};
use core::arch::x86_64::{
    __m128i, __m256i, __m512i, __mmask16, __mmask32, _mm_and_si128, _mm_cvtsi32_si128,
    _mm_maskz_loadu_epi8, _mm_set1_epi8, _mm_slli_epi16, _mm_unpackhi_epi32, _mm_unpacklo_epi32,
    _mm256_mask_storeu_epi16, _mm256_maskz_loadu_epi8, _mm256_set_m128i, _mm256_setr_epi8,
    _mm256_shuffle_epi8, _mm512_add_epi32, _mm512_cvtepi8_epi16, _mm512_cvtsepi32_epi16,
    _mm512_dpwssd_epi32, _mm512_loadu_si512, _mm512_mask_blend_epi32, _mm512_maskz_loadu_epi16,
    _mm512_mul_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_i32x4,
    _mm512_sra_epi32, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

/// Positions of a tile, and lanes of a register.
pub(super) const TILE: usize = 16;
/// Fewer positions, or rows, leave too many lanes empty: AVX2's kernel takes them.
const FEW: usize = TILE / 2;
/// Rows whose sums are in registers.
const ROWS: usize = 16;
/// Rows that share packed inputs.
const BLOCK: usize = 4 * ROWS;
/// Inputs of a register.
const WIDE: usize = 2 * TILE;
/// Inputs that are packed at a time, and their pairs.
const PART: usize = 4 * WIDE;
const PAIRS: usize = PART / 2;

/// Working memory, the same for all tiles; made by the first that needs it, as a single plan has
/// layers that do not.
pub(super) struct Memory {
    /// The pairs of a part, each of all positions.
    inputs: [__m512i; PAIRS],
    /// The pairs of each row.
    weights: [[i32; PAIRS]; ROWS],
}

impl Memory {
    #[target_feature(enable = "avx512f")]
    fn new() -> Self {
        Self {
            inputs: [_mm512_setzero_si512(); PAIRS],
            weights: [[0; PAIRS]; ROWS],
        }
    }
}

/// All rows at these positions, at most [`TILE`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
pub(super) fn multiply(
    linear: Linear<'_>,
    positions: &mut [Position<'_>],
    memory: &mut Option<Memory>,
) {
    if positions.len() < FEW || linear.n_rows() < FEW {
        return avx2::multiply(linear, positions);
    }
    let memory = memory.get_or_insert_with(|| Memory::new());
    match linear.bits {
        WeightBits::Four => multiply_by::<Nibbles>(linear, positions, memory),
        WeightBits::Eight => multiply_by::<Bytes>(linear, positions, memory),
    }
}

/// [`multiply`] for weights of one kind.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
fn multiply_by<W: Weights>(
    linear: Linear<'_>,
    positions: &mut [Position<'_>],
    memory: &mut Memory,
) {
    let len = linear.window();
    // The lanes of positions that there are not compute the last one's sums, too.
    let last = positions.len().min(TILE) - 1;
    let windows: [&[i16]; TILE] = core::array::from_fn(|p| &positions[p.min(last)].0[..len]);
    let (size, mut channel) = (linear.own_row_size(), 0);
    for block in linear.rows.chunks(BLOCK * size) {
        let mut sums = [[_mm512_setzero_si512(); ROWS]; BLOCK / ROWS];
        for at in (0..len).step_by(PART) {
            let n = PART.min(len - at);
            pack(windows, at, n, &mut memory.inputs);
            for (rows, sums) in block.chunks(ROWS * size).zip(&mut sums) {
                let rows = Linear { rows, ..linear };
                for (row, pairs) in rows.rows().zip(&mut memory.weights) {
                    widen_part::<W>(&row, at, n, pairs);
                }
                let inputs = &memory.inputs[..n / 2];
                if rows.n_rows() <= ROWS / 2 {
                    add_products::<{ ROWS / 2 }>(inputs, &memory.weights, sums);
                } else {
                    add_products::<ROWS>(inputs, &memory.weights, sums);
                }
            }
        }
        for (rows, sums) in block.chunks(ROWS * size).zip(&sums) {
            let rows = Linear { rows, ..linear };
            let mut values = [_mm512_setzero_si512(); ROWS];
            for (row, (value, sums)) in rows.rows().zip(values.iter_mut().zip(sums)) {
                *value = scaled(&row, *sums, linear.is_upper_word_enough);
            }
            let n_rows = rows.n_rows();
            for ((_, places), values) in positions.iter_mut().zip(transposed(values)) {
                let places = &mut places[channel..channel + n_rows];
                // SAFETY: there are as many places as rows, and the mask leaves out the others.
                unsafe {
                    _mm256_mask_storeu_epi16(
                        places.as_mut_ptr(),
                        first(n_rows) as __mmask16,
                        _mm512_cvtsepi32_epi16(values),
                    );
                }
            }
            channel += n_rows;
        }
    }
}

/// Inputs `at..at + n` of the windows: pair by pair, each of all positions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn pack(windows: [&[i16]; TILE], at: usize, n: usize, inputs: &mut [__m512i; PAIRS]) {
    for (step, pairs) in inputs.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
        let start = step * WIDE;
        if start >= n {
            return;
        }
        let mask = first(WIDE.min(n - start));
        *pairs = transposed(windows.map(|window| {
            let inputs = &window[at + start..at + n];
            // SAFETY: what the mask leaves out, beyond them, is not read.
            unsafe { _mm512_maskz_loadu_epi16(mask, inputs.as_ptr()) }
        }));
    }
}

/// Weights `at..at + n` of a row, pair by pair.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn widen_part<W: Weights>(row: &Row<'_>, at: usize, n: usize, pairs: &mut [i32; PAIRS]) {
    let weights = &row.weights[W::BITS.size(at)..W::BITS.size(at + n)];
    for (step, pairs) in pairs.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
        let start = step * WIDE;
        if start >= n {
            return;
        }
        let weights = &weights[W::BITS.size(start)..];
        // SAFETY: so many weights are left; `pairs` has the 64 bytes that are written.
        unsafe {
            let packed = W::load(weights.as_ptr(), WIDE.min(n - start));
            _mm512_storeu_si512(pairs.as_mut_ptr().cast(), widen(packed));
        }
    }
}

/// Adds to the first `R` rows' sums the products of their weights with the inputs.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_products<const R: usize>(
    inputs: &[__m512i],
    weights: &[[i32; PAIRS]; ROWS],
    sums: &mut [__m512i; ROWS],
) {
    let mut registers: [__m512i; R] = core::array::from_fn(|r| sums[r]);
    for (pair, inputs) in inputs.iter().enumerate().take(PAIRS) {
        for r in 0..R {
            let weights = _mm512_set1_epi32(weights[r][pair]);
            registers[r] = _mm512_dpwssd_epi32(registers[r], *inputs, weights);
        }
    }
    sums[..R].copy_from_slice(&registers);
}

/// A row's outputs: `factor * (bias + sum)`, rounded, for each sum; by upper words where these are
/// enough, as in [`multiply_shift`](crate::quant::kernels::rounding::multiply_shift).
#[inline]
#[target_feature(enable = "avx512f")]
fn scaled(row: &Row<'_>, sums: __m512i, is_upper_word_enough: bool) -> __m512i {
    const ODD: __mmask16 = 0b1010_1010_1010_1010;
    if !is_upper_word_enough {
        let mut all = [0_i32; TILE];
        // SAFETY: `all` has the 64 bytes that are written and then read.
        unsafe {
            _mm512_storeu_si512(all.as_mut_ptr().cast(), sums);
            all = finish(row, all).map(i32::from);
            return _mm512_loadu_si512(all.as_ptr().cast());
        }
    }
    let shift = row.factor.shift.wrapping_sub(32) & 31;
    let multiplier = _mm512_set1_epi32(row.factor.multiplier);
    let values = _mm512_add_epi32(sums, _mm512_set1_epi32(row.bias));
    let even = _mm512_mul_epi32(values, multiplier);
    let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(values), multiplier);
    let upper = _mm512_mask_blend_epi32(ODD, _mm512_srli_epi64::<32>(even), odd);
    let rounded = _mm512_add_epi32(upper, _mm512_set1_epi32((1 << shift) >> 1));
    _mm512_sra_epi32(rounded, _mm_cvtsi32_si128(shift as i32))
}

/// Lane `j` of vector `i` becomes lane `i` of vector `j`.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; TILE]) -> [__m512i; TILE] {
    let mut fours = rows;
    for (four, rows) in fours.chunks_exact_mut(4).zip(rows.chunks_exact(4)) {
        let low = [[0, 1], [2, 3]].map(|[a, b]| _mm512_unpacklo_epi32(rows[a], rows[b]));
        let high = [[0, 1], [2, 3]].map(|[a, b]| _mm512_unpackhi_epi32(rows[a], rows[b]));
        four[0] = _mm512_unpacklo_epi64(low[0], low[1]);
        four[1] = _mm512_unpackhi_epi64(low[0], low[1]);
        four[2] = _mm512_unpacklo_epi64(high[0], high[1]);
        four[3] = _mm512_unpackhi_epi64(high[0], high[1]);
    }
    let mut columns = rows;
    for c in 0..4 {
        let even = [0, 8].map(|r| _mm512_shuffle_i32x4::<0x88>(fours[r + c], fours[r + 4 + c]));
        let odd = [0, 8].map(|r| _mm512_shuffle_i32x4::<0xdd>(fours[r + c], fours[r + 4 + c]));
        columns[c] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        columns[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        columns[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        columns[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    columns
}

/// Weights in the file.
trait Weights {
    const BITS: WeightBits;

    /// The first `n` weights at `bytes`, at most 32 and a multiple of eight, as packed int8, then
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
            let packed: __m128i = _mm_maskz_loadu_epi8(first(n / 2) as u16, bytes.cast());
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

/// Packed int8 as int16 in the order of the inputs: see
/// [`PACKING`](crate::quant::kernels::linear::PACKING).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn widen(packed: __m256i) -> __m512i {
    let inner_two_swapped = _mm256_setr_epi8(
        0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15, //
        0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15,
    );
    _mm512_cvtepi8_epi16(_mm256_shuffle_epi8(packed, inner_two_swapped))
}
