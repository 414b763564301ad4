//! The host's kernels against the reference implementation, over random shapes and values.
//! `firmware/src/bin/kernels.rs` is the same for a device's kernels.

use proptest::prelude::*;
use pusht_core::quant::measure::{Activation, Convolution, Normalization, panel_len};
use pusht_core::quant::{Factor, LANES, WeightBits};

/// A product: rows in the file's format, and what they are multiplied with.
#[derive(Debug)]
struct Product {
    rows: Vec<u8>,
    bits: WeightBits,
    n_rows: usize,
    window: usize,
    input: Vec<i16>,
    step: usize,
    n_positions: usize,
}

/// Whole numbers of 8 weights, up to what 32 bits hold.
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
    fn row(window: usize, bits: WeightBits)(
        weights in prop::collection::vec(any::<i8>(), window),
        bias in -(1 << 20)..1 << 20,
        multiplier in 0..=i32::MAX,
        shift in prop_oneof![6 => 33..63_u32, 1 => 20..33_u32],
        largest in 1..=127_i32,
    ) -> Vec<u8> {
        // 2^15 times the sum of magnitudes must leave room for the bias.
        let largest = largest.min(65_000 / window as i32);
        let weights = weights.iter().map(|w| i32::from(*w) * largest / 128);
        let mut row = vec![0; Convolution::row_size(window, bits)];
        let factor = Factor { multiplier, shift };
        match bits {
            WeightBits::Eight => Convolution::write_row(&mut row, bias, factor, weights.map(|w| w as u8)),
            WeightBits::Four => {
                let halves: Vec<u8> = weights.map(|w| (w / 16) as u8 & 15).collect();
                let pairs = halves.chunks(2).map(|pair| pair[0] | pair[1] << 4);
                Convolution::write_row(&mut row, bias, factor, pairs);
            }
        }
        row
    }
}

prop_compose! {
    fn products()(
        window in windows(),
        bits in prop_oneof![Just(WeightBits::Eight), Just(WeightBits::Four)],
        n_positions in 1..10_usize,
        n_rows in 1..10_usize,
        step in 0..12_usize,
    )(
        rows in prop::collection::vec(row(window, bits), n_rows),
        input in inputs((n_positions - 1) * step * LANES + window),
        window in Just(window),
        bits in Just(bits),
        n_positions in Just(n_positions),
        step in Just(step * LANES),
    ) -> Product {
        Product { n_rows: rows.len(), rows: rows.concat(), bits, window, input, step, n_positions }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_product_by_the_kernel_has_the_bits_of_the_reference(product in products()) {
        let Product { rows, bits, n_rows, window, input, step, n_positions } = product;
        let convolution = Convolution::new(&rows, window, bits).unwrap();
        let mut expected = vec![0; n_rows * n_positions];
        let mut got = vec![1; n_rows * n_positions];
        convolution.run_reference(&input, step, n_positions, &mut expected).unwrap();
        let mut panel = vec![0; panel_len(window)];
        convolution.run(&mut panel, &input, step, n_positions, &mut got).unwrap();
        prop_assert_eq!(got, expected);
    }
}

/// A normalisation with what follows it, and what it is applied to.
#[derive(Debug)]
struct Activated {
    parameters: Vec<u8>,
    n_groups: usize,
    n_positions: usize,
    gamma_exponent: u32,
    eps: u64,
    /// FiLM's shares.
    step: Vec<[u8; 2]>,
    observation: Vec<i16>,
    exponent: u32,
    result_exponent: u32,
    x: Vec<i16>,
    old: Vec<i16>,
}

prop_compose! {
    /// As networks have them, and in some cases as none has: then there is no room for a kernel.
    fn activated()(
        n_groups in 1..9_usize,
        group_size in 1..20_usize,
        n_positions in 1..17_usize,
        gamma_exponent in 8..16_u32,
        largest_beta in prop_oneof![4 => Just(1 << 17), 1 => Just(i32::MAX)],
        eps in prop_oneof![Just(1), 1..=1_u64 << 40],
        amplitude in prop_oneof![3 => Just(15), 1 => 0..16_u32],
    )(
        gammas in prop::collection::vec(-0x7fff..=0x7fff_i32, n_groups * group_size),
        betas in prop::collection::vec(-largest_beta..largest_beta, n_groups * group_size),
        step in prop::collection::vec(any::<i16>(), 2 * n_groups * group_size),
        observation in inputs(2 * n_groups * group_size),
        exponent in 8..16_u32,
        result_exponent in 4..=16_u32,
        x in inputs(n_groups * group_size * n_positions),
        old in inputs(n_groups * group_size * n_positions),
        (n_groups, n_positions, gamma_exponent, eps, amplitude) in Just((n_groups, n_positions, gamma_exponent, eps, amplitude)),
    ) -> Activated {
        let parameters = gammas.iter().zip(&betas);
        let parameters = parameters.flat_map(|(gamma, beta)| [*gamma, *beta]).flat_map(i32::to_le_bytes);
        Activated {
            parameters: parameters.collect(),
            n_groups,
            n_positions,
            gamma_exponent,
            eps,
            step: step.into_iter().map(i16::to_le_bytes).collect(),
            observation,
            exponent,
            result_exponent,
            x: x.into_iter().map(|x| x >> (15 - amplitude)).collect(),
            old,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn an_activation_by_the_kernel_has_the_bits_of_the_reference(case in activated()) {
        let norm = Normalization {
            parameters: &case.parameters,
            n_groups: case.n_groups,
            gamma_exponent: case.gamma_exponent,
            eps: case.eps,
            n_positions: case.n_positions,
        };
        let film = Activation::with_film(norm, &case.step, &case.observation, case.exponent, case.result_exponent);
        let sum = Activation::with_sum(norm, case.exponent, case.result_exponent);
        for activation in [film.unwrap(), sum.unwrap()] {
            let (mut out, mut expected) = (case.old.clone(), case.old.clone());
            activation.run(&case.x, &mut out).unwrap();
            activation.run_reference(&case.x, &mut expected).unwrap();
            prop_assert_eq!(out, expected);
        }
    }
}
