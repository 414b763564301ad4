//! Rounding of a row of weights with the least output error on calibration inputs.
//!
//! With `H = sum x x^T` over the inputs `x`, rounding errors `e` cost `e H e^T`. With `H = R R^T`
//! and `R` upper triangular, the cost is `sum_k (sum_(j<=k) e_j R_jk)^2`: in the order of `k`, each
//! weight is rounded to best compensate the errors before it. This is GPTQ (Frantar et al. 2022,
//! arXiv 2210.17323) in the form of Babai's nearest plane (Chen et al. 2025, arXiv 2507.18553).

use pusht_core::quant::WeightBits;

/// Integers that weights of so many bits are rounded to: the multiples of a step, up to a magnitude.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    step: f64,
    pub(super) largest: f64,
}

impl Grid {
    /// The grid of weights of `bits` bits, symmetric.
    pub(super) fn of(bits: WeightBits) -> Self {
        match bits {
            WeightBits::Eight => Self {
                step: 1.0,
                largest: 127.0,
            },
            WeightBits::Four => Self {
                step: 16.0,
                largest: 112.0,
            },
        }
    }

    fn nearest(self, value: f64) -> f64 {
        let nearest = self.step * (value / self.step).round();
        nearest.clamp(-self.largest, self.largest)
    }
}

/// Shares of the scale at which the largest weight of 4 bits fits: with a smaller scale the few
/// largest weights saturate, and all others are finer.
pub(super) const SCALES: [f64; 12] = [
    1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45,
];

/// Replaces a row of weights by the nearest that `bits` bits hold, at the scale with the least
/// squared error. The largest is then the largest of the grid, so that a second time changes nothing,
/// and [`Feedback::round`] finds the same integers.
#[cfg(any(test, feature = "train"))]
pub(crate) fn round_to_nearest(row: &mut [f32], bits: WeightBits) {
    let grid = Grid::of(bits);
    let largest = row.iter().fold(0.0, |m: f64, w| m.max(f64::from(w.abs())));
    if largest == 0.0 {
        return;
    }
    let shares = match bits {
        WeightBits::Four => &SCALES[..],
        WeightBits::Eight => &SCALES[..1],
    };
    let units = shares.iter().map(|share| share * largest / grid.largest);
    let rounded = |weight: f32, unit: f64| unit * grid.nearest(f64::from(weight) / unit);
    let cost = |unit: f64| {
        let errors = row.iter().map(|w| rounded(*w, unit) - f64::from(*w));
        errors.map(|error| error * error).sum::<f64>()
    };
    let costs = units.map(|unit| (unit, cost(unit)));
    if let Some((unit, _)) = costs.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
        row.iter_mut().for_each(|w| *w = rounded(*w, unit) as f32);
    }
}

/// A row of weights as integers.
#[derive(Clone, Debug)]
pub(super) struct Rounded {
    pub(super) weights: Vec<i8>,
    /// Square of the output's error, over the inputs of the feedback, in the unit of the weights.
    pub(super) cost: f64,
    /// Mean of the output's error, to be added to the bias; 0 where the inputs were not centred.
    pub(super) mean_error: f64,
}

/// Regularisation of directions without inputs, as a share of the inputs' mean square.
const DAMPING: f64 = 0.01;

/// `R_jk / R_kk`: share of the error of weight `j` that weight `k` compensates.
pub(super) struct Feedback {
    /// Shares `[k][j]` for `j < k`.
    shares: Vec<Vec<f64>>,
    /// `R_kk^2`.
    squares: Vec<f64>,
    /// What was subtracted from the inputs.
    means: Vec<f64>,
}

impl Feedback {
    /// Computes the feedback for inputs with `n` values whose products get a bias that takes the
    /// mean of the error: only what differs from the mean input costs.
    pub(super) fn of_centred(inputs: &[Vec<f32>], n: usize) -> Self {
        let mut means = vec![0.0; n];
        for x in inputs {
            for (mean, x) in means.iter_mut().zip(x) {
                *mean += f64::from(*x) / inputs.len() as f64;
            }
        }
        let centred = inputs.iter().map(|x| {
            let differences = x.iter().zip(&means).map(|(x, mean)| f64::from(*x) - mean);
            differences.map(|x| x as f32).collect()
        });
        let centred: Vec<Vec<f32>> = centred.collect();
        Self {
            means,
            ..Self::of_inputs(&centred, n)
        }
    }

    /// Computes the feedback for inputs with `n` values.
    pub(super) fn of_inputs(inputs: &[Vec<f32>], n: usize) -> Self {
        let mut h = vec![vec![0.0; n]; n];
        for x in inputs {
            for (j, row) in h.iter_mut().enumerate() {
                let x_j = f64::from(x[j]);
                if x_j != 0.0 {
                    row.iter_mut()
                        .zip(x)
                        .skip(j)
                        .for_each(|(h, x)| *h += x_j * f64::from(*x));
                }
            }
        }
        let mean = (0..n).map(|j| h[j][j]).sum::<f64>() / n as f64;
        // Without inputs, rounding is to nearest.
        let damping = if mean > 0.0 { DAMPING * mean } else { 1.0 };
        (0..n).for_each(|j| h[j][j] += damping);
        let r = factor(h);
        let shares = |k: usize| (0..k).map(|j| r[j][k] / r[k][k]).collect();
        Self {
            shares: (0..n).map(shares).collect(),
            squares: (0..n).map(|k| r[k][k] * r[k][k]).collect(),
            means: vec![0.0; n],
        }
    }

    /// Rounds `weights / unit` to integers of `grid`.
    pub(super) fn round(&self, weights: &[f32], unit: f64, grid: Grid) -> Rounded {
        let mut errors = Vec::with_capacity(weights.len());
        let mut rounded = Vec::with_capacity(weights.len());
        let mut cost = 0.0;
        let columns = weights.iter().zip(self.shares.iter().zip(&self.squares));
        for (weight, (shares, square)) in columns {
            let exact = f64::from(*weight) / unit;
            let owed: f64 = shares
                .iter()
                .zip(&errors)
                .map(|(share, error)| share * error)
                .sum();
            let integer = grid.nearest(exact + owed);
            cost += square * (exact + owed - integer).powi(2);
            errors.push(exact - integer);
            rounded.push(integer as i8);
        }
        let mean_errors = errors.iter().zip(&self.means).map(|(e, mean)| e * mean);
        Rounded {
            weights: rounded,
            cost,
            mean_error: mean_errors.sum(),
        }
    }
}

/// Factors `h` in its upper triangle, `R R^T = h`: Cholesky from the last column to the first.
fn factor(mut h: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for k in (0..h.len()).rev() {
        let (above, rest) = h.split_at_mut(k);
        let row = &mut rest[0];
        let tail: f64 = row[k + 1..].iter().map(|r| r * r).sum();
        let diagonal = (row[k] - tail).max(f64::MIN_POSITIVE).sqrt();
        row[k] = diagonal;
        for other in above {
            let products = other[k + 1..].iter().zip(&row[k + 1..]).map(|(a, b)| a * b);
            other[k] = (other[k] - products.sum::<f64>()) / diagonal;
        }
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs with correlated neighbours.
    fn inputs() -> Vec<Vec<f32>> {
        let value = |i: usize, j: usize| ((i * 7 + j) as f32 * 0.3).sin() + 0.5;
        (0..200)
            .map(|i| (0..24).map(|j| value(i, j)).collect())
            .collect()
    }

    fn cost(weights: &[f32], rounded: &[i8], unit: f64) -> f64 {
        let error = |x: &Vec<f32>| -> f64 {
            let pairs = x.iter().zip(weights.iter().zip(rounded));
            pairs
                .map(|(x, (w, q))| f64::from(*x) * (f64::from(*w) - f64::from(*q) * unit))
                .sum()
        };
        inputs().iter().map(|x| error(x).powi(2)).sum()
    }

    #[test]
    fn the_factor_gives_the_matrix_back() {
        let h = vec![
            vec![4.0, 2.0, 1.0],
            vec![2.0, 5.0, 3.0],
            vec![1.0, 3.0, 6.0],
        ];
        let r = factor(h.clone());
        for i in 0..3 {
            for j in i..3 {
                let product: f64 = (j..3).map(|k| r[i][k] * r[j][k]).sum();
                assert!((product - h[i][j]).abs() < 1e-12, "{i} {j}");
            }
        }
    }

    #[test]
    fn the_output_changes_less_than_with_rounding_to_nearest() {
        let weights: Vec<f32> = (0..24).map(|j| (j as f32 * 1.7).sin()).collect();
        let unit = 0.05;
        let inputs = inputs();
        let feedback = Feedback::of_inputs(&inputs, 24);
        let nearest: Vec<i8> = weights
            .iter()
            .map(|w| (f64::from(*w) / unit).round() as i8)
            .collect();
        let clever = feedback.round(&weights, unit, Grid::of(WeightBits::Eight));
        let (clever, plain) = (clever.weights, nearest);
        assert!(10.0 * cost(&weights, &clever, unit) < cost(&weights, &plain, unit));
    }

    #[test]
    fn without_inputs_the_rounding_is_to_nearest() {
        let feedback = Feedback::of_inputs(&[], 3);
        let rounded = |bits| {
            feedback
                .round(&[0.26, -0.24, 9e9], 0.1, Grid::of(bits))
                .weights
        };
        assert_eq!(rounded(WeightBits::Eight), [3, -2, 127]);
        let fine = feedback.round(&[2.6, -2.4, 9e9], 0.1, Grid::of(WeightBits::Four));
        assert_eq!(fine.weights, [32, -32, 112]);
        assert_eq!(rounded(WeightBits::Four), [0, 0, 112]);
    }

    #[test]
    fn what_is_rounded_to_nearest_is_rounded_to_itself() {
        let inputs = inputs();
        for (bits, largest) in [(WeightBits::Four, 112), (WeightBits::Eight, 127)] {
            let mut row: Vec<f32> = (0..24).map(|j| (j as f32 * 1.7).tan()).collect();
            let exact = row.clone();
            round_to_nearest(&mut row, bits);
            assert_ne!(row, exact);
            let once = row.clone();
            round_to_nearest(&mut row, bits);
            let unit = f64::from(row.iter().fold(0.0, |m: f32, w| m.max(w.abs())));
            let unit = unit / f64::from(largest);
            let feedback = Feedback::of_centred(&inputs, 24);
            let rounded = feedback.round(&row, unit, Grid::of(bits));
            for (weight, (once, twice)) in rounded.weights.iter().zip(once.iter().zip(&row)) {
                assert!((once - twice).abs() <= 1e-6 * once.abs());
                let weight = f64::from(*weight) * unit;
                assert!(
                    (weight - f64::from(*once)).abs() <= 1e-4 * unit,
                    "{weight} {once}"
                );
            }
        }
    }

    #[test]
    fn the_cost_of_a_row_is_that_of_its_outputs_about_their_mean() {
        let weights: Vec<f32> = (0..24).map(|j| (j as f32 * 1.7).sin()).collect();
        let (inputs, unit) = (inputs(), 0.01);
        let feedback = Feedback::of_centred(&inputs, 24);
        let rounded = feedback.round(&weights, unit, Grid::of(WeightBits::Four));
        let errors = inputs.iter().map(|x| {
            let pairs = x.iter().zip(weights.iter().zip(&rounded.weights));
            pairs
                .map(|(x, (w, q))| f64::from(*x) * (f64::from(*w) / unit - f64::from(*q)))
                .sum::<f64>()
        });
        let errors: Vec<f64> = errors.collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        assert!((mean - rounded.mean_error).abs() < 1e-3 * mean.abs().max(1.0));
        let cost: f64 = errors.iter().map(|e| (e - mean).powi(2)).sum();
        // The regularisation costs the sum of squares of the weights' errors.
        let spread = (0..24).map(|j| {
            let mean = inputs.iter().map(|x| f64::from(x[j])).sum::<f64>() / inputs.len() as f64;
            inputs
                .iter()
                .map(|x| (f64::from(x[j]) - mean).powi(2))
                .sum::<f64>()
        });
        let damping = DAMPING * spread.sum::<f64>() / 24.0;
        let pairs = weights.iter().zip(&rounded.weights);
        let squares = pairs.map(|(w, q)| (f64::from(*w) / unit - f64::from(*q)).powi(2));
        let expected = cost + damping * squares.sum::<f64>();
        assert!(
            (rounded.cost / expected - 1.0).abs() < 1e-4,
            "{} {expected}",
            rounded.cost
        );
    }
}
