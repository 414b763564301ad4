use super::super::dispatch::panel_len;
use super::weights::{of_4_bits, of_8_bits};
use super::*;

extern crate std;
use std::vec::Vec;

/// A generator good enough to fill arrays.
pub(crate) struct Lcg(pub(crate) u64);

impl Lcg {
    pub(crate) fn next(&mut self) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as i64
    }
}

#[test]
fn the_reference_is_the_dot_product_of_unpacked_weights() {
    let mut random = Lcg(2);
    let weights: Vec<i8> = (0..24).map(|_| random.next() as i8).collect();
    let inputs: Vec<i16> = (0..24).map(|_| random.next() as i16).collect();
    let mut packed = std::vec![0; 24];
    for (i, weight) in weights.iter().enumerate() {
        packed[i / 4 * 4 + PACKING[i % 4]] = *weight as u8;
    }
    let expected: i32 = weights
        .iter()
        .zip(&inputs)
        .map(|(w, x)| i32::from(*w) * i32::from(*x))
        .sum();
    assert_eq!(reference::dot(of_8_bits(&packed), &inputs), expected);
}

#[test]
fn a_product_of_4_bits_is_that_of_sixteen_times_their_numbers() {
    let mut random = Lcg(3);
    // All sixteen.
    let numbers: Vec<i32> = (0..24).map(|i| 5 * i % 16 - 8).collect();
    let inputs: Vec<i16> = (0..24).map(|_| random.next() as i16).collect();
    let mut packed = [0_u8; 12];
    for (i, number) in numbers.iter().enumerate() {
        let half = (*number as u8 & 15) << (i / 4 % 2 * 4);
        packed[i / 8 * 4 + PACKING[i % 4]] |= half;
    }
    let products = numbers.iter().zip(&inputs).map(|(n, x)| n * i32::from(*x));
    let expected = 16 * products.sum::<i32>();
    assert_eq!(reference::dot(of_4_bits(&packed), &inputs), expected);
    let norm = 16 * numbers.iter().map(|n| n.unsigned_abs()).sum::<u32>();
    assert_eq!(reference::norm(of_4_bits(&packed)), norm);
}

/// One row of equal weights of 8 bits.
fn row(bias: i32, shift: i32, weight: i8, window: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [bias, 1 << 30, shift] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.resize(Linear::row_size(window, WeightBits::Eight), weight as u8);
    bytes
}

/// Rows of random numbers whose sums fit 32 bits.
#[cfg(any(kernels = "x86_64", kernels = "aarch64"))]
pub(crate) fn random_rows(
    random: &mut Lcg,
    n_rows: usize,
    window: usize,
    bits: WeightBits,
    smallest_shift: i32,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..n_rows {
        let multiplier = random.next() as i32 & i32::MAX;
        let shift = smallest_shift + random.next() as i32 % (62 - smallest_shift);
        let bias = (random.next() as i32 >> 11) - (1 << 19);
        for word in [bias, multiplier, shift] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend((0..bits.size(window)).map(|_| random.next() as u8));
    }
    bytes
}

#[test]
fn windows_step_and_the_rest_of_the_positions_is_not_forgotten() {
    let rows = [row(4, 30, 1, 8), row(-100, 31, 2, 8)].concat();
    let linear = Linear::checked(&rows, 8, WeightBits::Eight).unwrap();
    let values: Vec<i16> = (0..64).collect();
    for n_positions in 0..8 {
        let mut out = [[0_i16; 2]; 8];
        let windows = Windows {
            values: &values,
            step: 8,
            n_positions,
        };
        let outputs = Outputs {
            values: out.as_flattened_mut(),
            step: 2,
        };
        linear.apply([Product {
            windows,
            panel: &mut [0; panel_len(8)],
            outputs,
        }]);
        for (p, values) in out.iter().enumerate() {
            let sum = 64 * p as i16 + 28;
            let expected = if p < n_positions {
                [sum + 4, sum - 50]
            } else {
                [0; 2]
            };
            assert_eq!(*values, expected);
        }
    }
}

#[test]
fn a_row_that_could_overflow_is_found() {
    let bad_row = |row: Vec<u8>, window| Linear::checked(&row, window, WeightBits::Eight).err();
    // 512 * 128 * 2^15 = 2^31: one too many.
    assert_eq!(bad_row(row(0, 30, -128, 512), 512), Some(0));
    assert_eq!(bad_row(row(0, 30, -127, 512), 512), None);
    assert_eq!(bad_row(row(i32::MIN, 30, 0, 8), 8), Some(0));
    assert_eq!(bad_row(row(0, 63, 0, 8), 8), Some(0));
    assert_eq!(bad_row(row(0, -1, 0, 8), 8), Some(0));
    // Bytes of -8 and 7 twice, so 240 a byte: with 273 of them one too many for no bias.
    let bad_halves = |n_bytes: usize| {
        let mut halves = row(0, 30, 0x78, 4 * n_bytes.div_ceil(4));
        let end = halves.len() - 4 * n_bytes.div_ceil(4) + n_bytes;
        halves[end..].fill(0);
        Linear::checked(&halves, 8 * n_bytes.div_ceil(4), WeightBits::Four).err()
    };
    assert_eq!((bad_halves(273), bad_halves(274)), (None, Some(0)));
}
