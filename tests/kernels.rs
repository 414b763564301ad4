//! The host's kernel against the reference, over random shapes and values; the device's kernels do the same in `firmware/src/bin/kernels.rs`.

use proptest::prelude::*;
use pusht_core::quant::{Convolution, Factor, LANES, Scratch};

/// A product: rows in the file's format, and what they are multiplied with.
#[derive(Debug)]
struct Product {
    rows: Vec<u8>,
    n_rows: usize,
    window: usize,
    input: Vec<i16>,
    step: usize,
    n_positions: usize,
}

/// Whole numbers of 8 weights; up to what 32 bits hold, and in one case of eight beyond what a panel holds.
fn windows() -> impl Strategy<Value = usize> {
    prop_oneof![7 => 1..60_usize, 1 => 60..210_usize].prop_map(|chunks| chunks * LANES)
}

fn inputs(len: usize) -> impl Strategy<Value = Vec<i16>> {
    let extremes = prop_oneof![Just(i16::MIN), Just(i16::MAX), Just(0), any::<i16>()];
    prop_oneof![
        prop::collection::vec(any::<i16>(), len),
        prop::collection::vec(extremes, len),
    ]
}

prop_compose! {
    /// A row whose sum cannot leave 32 bits.
    fn row(window: usize)(
        weights in prop::collection::vec(any::<i8>(), window),
        bias in -(1 << 20)..1 << 20,
        multiplier in 0..=i32::MAX,
        shift in prop_oneof![6 => 33..63_u32, 1 => 20..33_u32],
        largest in 1..=127_i32,
    ) -> Vec<u8> {
        // 2^15 times the sum of magnitudes must leave room for the bias.
        let largest = largest.min(65_000 / window as i32);
        let weights = weights.iter().map(|w| (i32::from(*w) * largest / 128) as u8);
        let mut row = vec![0; Convolution::row_size(window)];
        Convolution::write_row(&mut row, bias, Factor { multiplier, shift }, weights);
        row
    }
}

prop_compose! {
    fn products()(window in windows(), n_positions in 1..10_usize, n_rows in 1..10_usize, step in 0..12_usize)(
        rows in prop::collection::vec(row(window), n_rows),
        input in inputs((n_positions - 1) * step * LANES + window),
        window in Just(window),
        n_positions in Just(n_positions),
        step in Just(step * LANES),
    ) -> Product {
        Product { n_rows: rows.len(), rows: rows.concat(), window, input, step, n_positions }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn the_tuned_kernel_has_other_bits_than_the_reference(product in products()) {
        let Product { rows, n_rows, window, input, step, n_positions } = product;
        let convolution = Convolution::new(&rows, window).unwrap();
        let mut expected = vec![0; n_rows * n_positions];
        let mut got = vec![1; n_rows * n_positions];
        convolution.run_reference(&input, step, n_positions, &mut expected).unwrap();
        convolution.run(&mut Scratch::new(), &input, step, n_positions, &mut got).unwrap();
        prop_assert_eq!(got, expected);
    }
}
