//! Conversion of real numbers to the formats of the integer engine.

use super::file::{Affine, Product, Row};
use super::rounding::{Feedback, Grid, Rounded, SCALES};
use anyhow::{Result, ensure};
use pusht_core::quant::{
    Factor, MAX_ACTIVATION_EXPONENT, MAX_SHIFT, MAX_VALUE_EXPONENT, WeightBits,
};
use rayon::prelude::*;

/// Largest bias.
const MAX_BIAS: f64 = (1 << 27) as f64;

/// Largest sum of the absolute weights of a row of length `n_weights`. With [`MAX_BIAS`] and half a
/// unit of rounding per weight, the accumulator stays below 2^31 (`core` checks the actual rows).
fn max_weight_sum(n_weights: usize) -> f64 {
    const ALL: f64 = (1 << 16) as f64;
    let bias = MAX_BIAS / f64::from(1 << 15);
    (ALL - bias - n_weights as f64 / 2.0).min(60_000.0)
}

/// Largest number of binary places, up to `limit`, for values up to `largest` in `bits` bits.
pub(super) fn binary_places(largest: f64, bits: u32, limit: u32) -> u32 {
    let unit = f64::from((1 << bits) - 1) / largest.max(f64::MIN_POSITIVE);
    unit.log2().floor().clamp(0.0, f64::from(limit)) as u32
}

/// Binary places for a tensor of activations whose largest magnitude in calibration is `largest`.
pub(super) fn activation_exponent(largest: f64) -> u32 {
    // Margin for values beyond those of calibration; larger ones saturate.
    const HEADROOM: f64 = 1.1;
    binary_places(HEADROOM * largest, 15, MAX_ACTIVATION_EXPONENT)
}

/// `value * 2^places`, rounded and saturated.
pub(super) fn to_fixed(value: f64, places: u32) -> i32 {
    (value * f64::from(places).exp2()).round() as i32
}

/// Converts `scale` to the nearest factor.
///
/// # Errors
/// If `scale` is negative or too large for a factor.
pub(super) fn factor(scale: f64) -> Result<Factor> {
    ensure!(
        (0.0..=f64::from(1 << 30)).contains(&scale),
        "scale {scale:e}: the integer path serves 0 to 2^30"
    );
    let shift = binary_places(scale, 30, MAX_SHIFT);
    Ok(Factor {
        multiplier: to_fixed(scale, shift),
        shift,
    })
}

/// Converts `scale * value + offset`, with the offset at `places` binary places.
///
/// # Errors
/// If the offset overflows 32 bits, or `scale` is not valid for a [`factor`].
pub(super) fn affine(scale: f64, offset: f64, places: u32) -> Result<Affine> {
    let fixed = (offset * f64::from(places).exp2()).round();
    ensure!(
        fixed.abs() < f64::from(i32::MAX),
        "the offset of its normaliser is {offset:e}, the integer path serves up to {:e}: its values \
         are large beside their range; another origin of the value makes it smaller",
        f64::from(i32::MAX) * (-f64::from(places)).exp2()
    );
    Ok(Affine {
        factor: factor(scale)?,
        offset: fixed as i32,
    })
}

/// Binary places of a raw value that is normalised as `scale * value + offset`: 16, or more if its
/// normalised value needs them for 15; `None` if that leaves no room for four times the range.
pub(super) fn value_places(scale: f64, offset: f64) -> Option<u32> {
    let needed = needed_places(scale);
    let room = (f64::from(i32::MAX) * scale / (4.0 + offset.abs()))
        .log2()
        .floor();
    let places = needed
        .max(16.0)
        .min(room)
        .min(f64::from(MAX_VALUE_EXPONENT));
    (places >= 0.0 && is_fine(places as u32, scale)).then_some(places as u32)
}

/// Binary places of a raw value for 15 places of its normalised value.
fn needed_places(scale: f64) -> f64 {
    (15.0 + scale.log2()).ceil()
}

/// Whether `places` binary places keep at least 12 of the normalised value's 15.
pub(super) fn is_fine(places: u32, scale: f64) -> bool {
    f64::from(places) >= needed_places(scale) - 3.0
}

/// Binary places of the inputs and outputs of a linear map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) input: u32,
    pub(super) output: u32,
}

/// Quantises rows `bias + sum weights * input` to weights of `bits` bits with a scale per output,
/// rounded for the inputs of `feedback`. Rows are multiples of
/// [`LANES`](pusht_core::quant::LANES).
pub(super) fn product(
    weights: &[Vec<f32>],
    bias: &[f32],
    places: Places,
    feedback: &Feedback,
    bits: WeightBits,
) -> Result<Product> {
    let pairs = weights.par_iter().zip(bias);
    let rows = pairs.map(|(weights, bias)| row(weights, *bias, places, feedback, bits));
    let rows = rows.collect::<Result<_>>()?;
    Ok(Product { bits, rows })
}

fn row(
    weights: &[f32],
    bias: f32,
    places: Places,
    feedback: &Feedback,
    bits: WeightBits,
) -> Result<Row> {
    let grid = Grid::of(bits);
    let magnitudes = weights.iter().map(|w| f64::from(w.abs()));
    let (largest, sum) = magnitudes.fold((0.0, 0.0), |(m, sum): (f64, f64), w| (m.max(w), sum + w));
    let input_unit = (-f64::from(places.input)).exp2();
    // Real value of the weight 1: the smallest one within two limits, and then within the third.
    let least = (sum / max_weight_sum(weights.len()))
        .max(f64::from(bias.abs()) / input_unit / MAX_BIAS)
        .max(f64::MIN_POSITIVE);
    let mut unit = least.max(largest / grid.largest);
    let row_of = |unit: f64, rounded: Rounded| -> Result<Row> {
        let bias = f64::from(bias) + unit * rounded.mean_error;
        Ok(Row {
            bias: (bias / (unit * input_unit)).round() as i32,
            factor: factor(unit * input_unit * f64::from(places.output).exp2())?,
            weights: rounded.weights,
        })
    };
    if bits == WeightBits::Four {
        let units = SCALES.map(|share| least.max(share * unit));
        let rounded = units.map(|unit| (unit, feedback.round(weights, unit, grid)));
        let cost = |(unit, rounded): &(f64, Rounded)| unit * unit * rounded.cost;
        let best = (rounded.into_iter()).min_by(|a, b| cost(a).total_cmp(&cost(b)));
        if let Some((best_unit, rounded)) = best {
            let row = row_of(best_unit, rounded)?;
            if fits_accumulator(&row) {
                return Ok(row);
            }
            unit = best_unit;
        }
    }
    loop {
        let row = row_of(unit, feedback.round(weights, unit, grid))?;
        if fits_accumulator(&row) {
            return Ok(row);
        }
        // Feedback moves weights by more than half a unit: in a wide row, by more than is left.
        unit *= 1.05;
    }
}

/// Whether no input lets the row's sum leave 32 bits, as `core`'s parser demands.
fn fits_accumulator(row: &Row) -> bool {
    let weights = row.weights.iter().map(|w| i64::from(w.unsigned_abs()));
    let bound = i64::from(row.bias).abs() + (weights.sum::<i64>() << 15);
    bound <= i64::from(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_has_thirty_bits() {
        for scale in [1.0, 0.3, 1e-5, 1000.0, 1.999_999_999_9] {
            let Factor { multiplier, shift } = factor(scale).unwrap();
            let got = f64::from(multiplier) / f64::from(shift).exp2();
            assert!((got / scale - 1.0).abs() < 1e-8, "{scale} became {got}");
        }
        assert_eq!(factor(0.0).unwrap().multiplier, 0);
        assert!(factor(-1.0).is_err() && factor(f64::NAN).is_err() && factor(2e9).is_err());
    }

    #[test]
    fn a_row_is_near_to_its_weights_and_a_lone_bias_does_not_overflow() {
        let places = Places {
            input: 12,
            output: 12,
        };
        let of_bits = |weights: &[f32], bias, bits| {
            let feedback = Feedback::of_inputs(&[], weights.len());
            let product = product(&[weights.to_vec()], &[bias], places, &feedback, bits);
            product.unwrap().rows.remove(0)
        };
        let one = |weights: &[f32], bias| of_bits(weights, bias, WeightBits::Eight);
        let got = one(&[0.5, -1.27, 0.01], 0.25);
        assert_eq!(got.weights, [50, -127, 1]);
        assert_eq!(got.bias, 102_400);
        let lone = one(&[1e-30; 8], 3.0);
        assert_eq!(lone.bias, MAX_BIAS as i32);
        assert_eq!(lone.factor.apply(lone.bias), 3 << 12);
        let short = of_bits(&[0.5, -0.7, 0.04], 0.25, WeightBits::Four);
        assert_eq!(short.weights, [80, -112, 0]);
        assert_eq!(short.factor.apply(short.bias), 1 << 10);
    }

    /// Inputs so alike that the feedback rounds all of a row's errors the same way.
    #[test]
    fn a_wide_row_with_feedback_stays_within_the_accumulator() {
        let n = 640;
        let inputs: Vec<Vec<f32>> = (0..3)
            .map(|i| {
                (0..n)
                    .map(|j| ((i * j) as f32 * 0.01).sin() + 2.0)
                    .collect()
            })
            .collect();
        let feedback = Feedback::of_inputs(&inputs, n);
        let weights: Vec<f32> = (0..n).map(|j| 1.0 + 0.01 * (j as f32).sin()).collect();
        let places = Places {
            input: 12,
            output: 12,
        };
        for bits in [WeightBits::Eight, WeightBits::Four] {
            let weights = std::slice::from_ref(&weights);
            let product = product(weights, &[0.5], places, &feedback, bits).unwrap();
            assert!(fits_accumulator(&product.rows[0]));
        }
    }

    #[test]
    fn exponents_leave_room() {
        assert_eq!(activation_exponent(1.0), 14);
        assert_eq!(activation_exponent(7.9), 11);
        assert_eq!(activation_exponent(0.0), 16);
        assert_eq!(activation_exponent(1e9), 0);
    }
}
