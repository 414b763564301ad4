use super::*;

extern crate std;
use std::vec::Vec;

/// A generator good enough to fill arrays.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as i64
    }
}

#[test]
fn the_tuned_kernel_equals_the_reference_on_random_and_extreme_values() {
    let mut random = Lcg(1);
    for window in (LANES..400).step_by(LANES) {
        for extreme in [false, true] {
            let weights: Vec<u8> = (0..window)
                .map(|_| if extreme { 0x80 } else { random.next() as u8 })
                .collect();
            let inputs: Vec<i16> = (0..4 * window)
                .map(|_| {
                    if extreme {
                        i16::MIN
                    } else {
                        random.next() as i16
                    }
                })
                .collect();
            for step in [0, LANES.min(window), window] {
                let expected: [i32; 4] = reference::dots(&weights, &inputs, step);
                assert_eq!(kernel::dots::<4>(&weights, &inputs, step), expected);
                assert_eq!(kernel::dots::<2>(&weights, &inputs, step), expected[..2]);
                assert_eq!(kernel::dots::<1>(&weights, &inputs, step), expected[..1]);
            }
        }
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
    assert_eq!(reference::dots(&packed, &inputs, 0), [expected]);
}

/// One row of equal weights.
fn row(bias: i32, shift: i32, weight: i8, window: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [bias, 1 << 30, shift] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.resize(Linear::row_size(window), weight as u8);
    bytes
}

#[test]
fn windows_step_and_the_rest_of_the_positions_is_not_forgotten() {
    let rows = [row(4, 30, 1, 8), row(-100, 31, 2, 8)].concat();
    let linear = Linear::new(&rows, 8);
    assert_eq!(linear.first_bad_row(), None);
    let input: Vec<i16> = (0..64).collect();
    for n_positions in 0..8 {
        let mut out = [[0; 2]; 8];
        linear.for_each_output(&input, 8, n_positions, |p, c, y| out[p][c] = y);
        for (p, values) in out.iter().enumerate() {
            let sum = 64 * p as i32 + 28;
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
    // 512 * 128 * 2^15 = 2^31: one too many.
    assert_eq!(
        Linear::new(&row(0, 30, -128, 512), 512).first_bad_row(),
        Some(0)
    );
    assert_eq!(
        Linear::new(&row(0, 30, -127, 512), 512).first_bad_row(),
        None
    );
    assert_eq!(
        Linear::new(&row(i32::MIN, 30, 0, 8), 8).first_bad_row(),
        Some(0)
    );
    assert_eq!(Linear::new(&row(0, 63, 0, 8), 8).first_bad_row(), Some(0));
    assert_eq!(Linear::new(&row(0, -1, 0, 8), 8).first_bad_row(), Some(0));
}
