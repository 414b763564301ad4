use super::*;
use crate::quant::kernels::linear::tests::Lcg;

extern crate std;
use std::vec;
use std::vec::Vec;

const EPS: f64 = 1e-5;

fn mish(x: f64) -> f64 {
    x * libm::tanh(libm::log1p(libm::exp(x)))
}

/// The activations in Q16: what 16 bits lose of them first, is found by taking it away from them.
fn activations_q16(x: &[i16], activate: impl Fn(&[i16], &mut [i16], &Epilogue<'_>)) -> Vec<i32> {
    const DOWN: u32 = 10;
    let mut high = vec![0; x.len()];
    let epilogue = Epilogue::Add { up: 0, down: DOWN };
    activate(x, &mut high, &epilogue);
    let mut low: Vec<i16> = high.iter().map(|value| -value).collect();
    let epilogue = Epilogue::Add { up: DOWN, down: 0 };
    activate(x, &mut low, &epilogue);
    let both = high.iter().zip(low);
    both.map(|(high, low)| (i32::from(*high) << DOWN) + i32::from(low))
        .collect()
}

/// Largest error of the integer layer against f64, for `x / 2^exponent` in `[L][C]` and 2 groups of
/// 4 channels.
fn largest_error(x: &[i16], exponent: u32, gamma: f64, beta: f64) -> f64 {
    let n = x.len() / 2;
    let parameters: Vec<u8> = (0..8)
        .flat_map(|_| [(gamma * 4096.0) as i32, (beta * 65536.0) as i32])
        .flat_map(i32::to_le_bytes)
        .collect();
    let eps = (EPS * libm::exp2(2.0 * f64::from(exponent)) * (n * n) as f64) as u64;
    let norm = Norm::new(&parameters, 2, 12, eps, n).unwrap();
    let got = activations_q16(x, |x, out, epilogue| {
        norm.activate(x, out, epilogue, &mut [0; Memory::LEN]);
    });
    let mut largest = 0.0_f64;
    for group in 0..2 {
        let of_group = |i: &usize| i % 8 / 4 == group;
        let value = |i: usize| f64::from(x[i]) * libm::exp2(-f64::from(exponent));
        let members: Vec<usize> = (0..x.len()).filter(of_group).collect();
        let mean = members.iter().map(|i| value(*i)).sum::<f64>() / n as f64;
        let variance = members
            .iter()
            .map(|i| (value(*i) - mean).powi(2))
            .sum::<f64>()
            / n as f64;
        for i in members {
            let expected = mish(gamma * (value(i) - mean) / libm::sqrt(variance + EPS) + beta);
            largest = largest.max((f64::from(got[i]) / 65536.0 - expected).abs());
        }
    }
    largest
}

#[test]
fn agrees_with_the_formula() {
    let wave = |scale: f64| -> Vec<i16> {
        (0..8 * 16)
            .map(|i| (scale * libm::sin(f64::from(i * i))) as i16)
            .collect()
    };
    for (scale, exponent) in [(32_000.0, 12), (300.0, 10), (20.0, 10), (0.0, 8)] {
        for (gamma, beta) in [(1.0, 0.0), (-2.5, 1.5), (0.125, -3.0)] {
            let error = largest_error(&wave(scale), exponent, gamma, beta);
            assert!(
                error < 3e-4,
                "scale {scale}, gamma {gamma}, beta {beta}: off by {error}"
            );
        }
    }
}

/// Largest error of one group of one channel against f64, of what it may be: by `activate`, and by
/// the reference implementation.
fn errors_of_a_group(x: &[i16], eps: u64, gamma: f64) -> [f64; 2] {
    let n = x.len();
    let parameters = [(gamma * 4096.0) as i32, 0].map(i32::to_le_bytes).concat();
    let norm = Norm::new(&parameters, 1, 12, eps, n).unwrap();
    let value = |i: usize| f64::from(x[i]);
    let mean = (0..n).map(value).sum::<f64>() / n as f64;
    let variance = (0..n).map(|i| (value(i) - mean).powi(2)).sum::<f64>() / n as f64;
    let scale = gamma / libm::sqrt(variance + eps as f64 / (n * n) as f64);
    let error = |got: &[i32]| {
        let errors = got.iter().enumerate().map(|(i, got)| {
            let y = scale * (value(i) - mean);
            let error = (f64::from(*got) / 65536.0 - mish(y)).abs();
            // Mish's table, the reciprocal root's relative error, and two roundings of Q16.
            error / (1.3e-4 + 2e-7 * y.abs() + 2.0 / 65536.0)
        });
        errors.fold(0.0, f64::max)
    };
    let by_kernel = activations_q16(x, |x, out, epilogue| {
        norm.activate(x, out, epilogue, &mut [0; Memory::LEN]);
    });
    let by_reference = activations_q16(x, |x, out, epilogue| {
        norm.activate_reference(x, out, epilogue);
    });
    [error(&by_kernel), error(&by_reference)]
}

#[test]
fn groups_of_any_length_and_extremes_agree_with_the_formula() {
    const ENDS: [i16; 2] = [i16::MIN, i16::MAX];
    for n in [2, 4096, 4097, MAX_GROUP_LEN] {
        let mut random = Lcg(n as u64);
        let mut all = vec![vec![i16::MIN; n], vec![i16::MAX; n], vec![0; n]];
        // One value apart from all others, the ends in turn, at random, and any values.
        for end in ENDS {
            let mut x = vec![!end; n];
            x[n / 2] = end;
            all.push(x);
        }
        all.push((0..n).map(|i| ENDS[i % 2]).collect());
        all.push((0..n).map(|_| ENDS[random.next() as usize % 2]).collect());
        all.push((0..n).map(|_| random.next() as i16).collect());
        all.push((0..n).map(|_| random.next() as i16 >> 12).collect());
        for (case, x) in all.iter().enumerate() {
            for (eps, gamma) in [(1, 1.0), (1 << 30, -0.125), (MAX_EPS, 1.0)] {
                let [kernel, reference] = errors_of_a_group(x, eps, gamma);
                assert!(
                    kernel < 1.0 && reference < 1.0,
                    "{n} values, case {case}, eps {eps}, gamma {gamma}: {kernel}, {reference}"
                );
            }
        }
    }
}

#[test]
fn groups_that_are_cut_into_tiles_have_the_references_bits() {
    const L: usize = 4;
    let mut random = Lcg(7);
    for group_size in [1, 24, 64, 65, 96, 130] {
        let n_channels = 3 * group_size;
        let parameters: Vec<u8> = (0..n_channels)
            .flat_map(|_| [random.next() as i32 % 512, random.next() as i32 % (1 << 17)])
            .flat_map(i32::to_le_bytes)
            .collect();
        let norm = Norm::new(&parameters, 3, 12, 1 << 20, L * group_size).unwrap();
        let x: Vec<i16> = (0..L * n_channels).map(|_| random.next() as i16).collect();
        let epilogue = Epilogue::Add { up: 4, down: 4 };
        let [mut got, mut expected] = [(); 2].map(|()| vec![1; x.len()]);
        norm.activate(&x, &mut got, &epilogue, &mut [0; Memory::LEN]);
        norm.activate_reference(&x, &mut expected, &epilogue);
        assert_eq!(got, expected, "groups of {group_size} channels");
    }
}
