//! Rounding of a row of weights with the least output error on calibration inputs.
//!
//! With `H = sum x x^T` over the inputs `x`, rounding errors `e` cost `e H e^T`. With `H = R R^T`
//! and `R` upper triangular, the cost is `sum_k (sum_(j<=k) e_j R_jk)^2`: in the order of `k`, each
//! weight is rounded to best compensate the errors before it. This is GPTQ (Frantar et al. 2022,
//! arXiv 2210.17323) in the form of Babai's nearest plane (Chen et al. 2025, arXiv 2507.18553).

/// Largest magnitude of a rounded weight.
pub(super) const MAX_WEIGHT: f64 = 127.0;

/// Regularisation of directions without inputs, as a share of the inputs' mean square.
const DAMPING: f64 = 0.01;

/// `R_jk / R_kk`: share of the error of weight `j` that weight `k` compensates.
pub(super) struct Feedback {
    /// Shares `[k][j]` for `j < k`.
    shares: Vec<Vec<f64>>,
}

impl Feedback {
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
        }
    }

    /// Rounds `weights / unit` to integers.
    pub(super) fn round(&self, weights: &[f32], unit: f64) -> Vec<i8> {
        let mut errors = Vec::with_capacity(weights.len());
        let mut rounded = Vec::with_capacity(weights.len());
        for (weight, shares) in weights.iter().zip(&self.shares) {
            let exact = f64::from(*weight) / unit;
            let owed: f64 = shares
                .iter()
                .zip(&errors)
                .map(|(share, error)| share * error)
                .sum();
            let integer = (exact + owed).round().clamp(-MAX_WEIGHT, MAX_WEIGHT);
            errors.push(exact - integer);
            rounded.push(integer as i8);
        }
        rounded
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
        let (clever, plain) = (feedback.round(&weights, unit), nearest);
        assert!(10.0 * cost(&weights, &clever, unit) < cost(&weights, &plain, unit));
    }

    #[test]
    fn without_inputs_the_rounding_is_to_nearest() {
        let feedback = Feedback::of_inputs(&[], 3);
        assert_eq!(feedback.round(&[0.26, -0.24, 9e9], 0.1), [3, -2, 127]);
    }
}
