//! Estimates with intervals.

use serde::{Deserialize, Serialize};

/// 0.975 quantile of the normal distribution.
pub const Z: f64 = 1.959_963_984_540_054;

/// An estimate with its 95 % interval; `None` stands for "more than was measured".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: Option<f64>,
    /// Its 95 % confidence interval.
    pub ci95: [Option<f64>; 2],
}

/// Mean with the normal interval of its standard error; no value and no interval without values.
pub fn mean(values: impl Iterator<Item = f64> + Clone) -> Estimate {
    let n = values.clone().count() as f64;
    if n == 0.0 {
        return Estimate {
            value: None,
            ci95: [None; 2],
        };
    }
    let mean = values.clone().sum::<f64>() / n;
    let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
    let half = Z * (squares / (n - 1.0).max(1.0) / n).sqrt();
    Estimate {
        value: Some(mean),
        ci95: [mean - half, mean + half].map(Some),
    }
}

/// Quantile `share` of values of which `None` is larger than any, with the interval between two of
/// their order statistics (Conover, "Practical Nonparametric Statistics", 1999, section 3.2, with
/// the normal approximation of the ranks).
pub fn quantile(values: &[Option<usize>], share: f64) -> Estimate {
    let mut sorted: Vec<Option<usize>> = values.to_vec();
    sorted.sort_by_key(|value| value.unwrap_or(usize::MAX));
    // Rank from 1; those outside of the sample are its ends.
    let of_rank = |rank: f64| {
        let last = sorted.len().checked_sub(1)?;
        let index = (rank.max(1.0) as usize - 1).min(last);
        sorted[index].map(|value| value as f64)
    };
    let n = sorted.len() as f64;
    let center = n * share;
    let half = Z * (n * share * (1.0 - share)).sqrt();
    Estimate {
        value: of_rank(center.ceil()),
        ci95: [
            of_rank((center - half).ceil()),
            of_rank((center + half).ceil()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_interval_of_its_standard_error() {
        // numpy: std([1, 2, 4], ddof=1) / sqrt(3) = 0.8819171
        let of = mean([1.0, 2.0, 4.0].into_iter());
        assert_eq!(of.value, Some(7.0 / 3.0));
        let half = of.ci95[1].unwrap() - 7.0 / 3.0;
        assert!((half - 1.959_964 * 0.881_917_1).abs() < 1e-6, "{half}");
        assert_eq!(mean([].into_iter()).value, None);
    }

    #[test]
    fn failures_count_as_longer_than_any_episode() {
        let values: Vec<_> = (1..=100).map(|n| (n <= 90).then_some(n)).collect();
        let median = quantile(&values, 0.5);
        assert_eq!(median.value, Some(50.0));
        // Ranks 50 -+ 9.8, rounded up.
        assert_eq!(median.ci95, [Some(41.0), Some(60.0)]);
        let p95 = quantile(&values, 0.95);
        assert_eq!((p95.value, p95.ci95), (None, [None, None]));
        assert_eq!(quantile(&[], 0.5).value, None);
    }
}
