//! Statistics of a feature, as LeRobot's normalisers read them.

use super::table::{Field, Values};
use serde_json::{Value, json};

/// Names of the quantiles, and their shares.
const QUANTILES: [(&str, f64); 5] = [
    ("q01", 0.01),
    ("q10", 0.1),
    ("q50", 0.5),
    ("q90", 0.9),
    ("q99", 0.99),
];

/// Statistics of one value of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moments {
    min: f64,
    max: f64,
    mean: f64,
    /// Of the population.
    std: f64,
    quantiles: [f64; QUANTILES.len()],
}

impl Moments {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        // Linear between the two nearest ranks, as numpy.quantile.
        let quantile = |(_, share): (&str, f64)| {
            let rank = share * (n - 1.0);
            let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
            low + (high - low) * rank.fract()
        };
        Self {
            min: values[0],
            max: values[values.len() - 1],
            mean,
            std: variance.sqrt(),
            quantiles: QUANTILES.map(quantile),
        }
    }
}

/// Number of pixels of each value, for one colour.
type Histogram = [u64; 256];

impl Moments {
    /// Of pixels, whose values are counted from 0 to 1.
    fn of_histogram(counts: &Histogram) -> Self {
        let value = |index: usize| index as f64 / 255.0;
        let n: u64 = counts.iter().sum();
        let mean_of = |of: &dyn Fn(f64) -> f64| {
            let weighted = counts.iter().enumerate();
            let weighted = weighted.map(|(index, count)| *count as f64 * of(value(index)));
            weighted.sum::<f64>() / n as f64
        };
        // The value of the pixel with this rank.
        let ranked = |rank: u64| {
            let mut below = 0;
            let found = counts.iter().position(|count| {
                below += count;
                below > rank
            });
            value(found.unwrap_or(255))
        };
        let mean = mean_of(&|v| v);
        Self {
            min: ranked(0),
            max: ranked(n.saturating_sub(1)),
            mean,
            std: mean_of(&|v| (v - mean).powi(2)).sqrt(),
            quantiles: QUANTILES.map(|(_, share)| ranked((share * (n - 1) as f64).round() as u64)),
        }
    }
}

/// Counts the pixels of pictures, by colour.
#[derive(Clone, Debug)]
pub struct PictureStats {
    counts: [Histogram; 3],
    n_pictures: usize,
}

impl Default for PictureStats {
    fn default() -> Self {
        Self {
            counts: [[0; 256]; 3],
            n_pictures: 0,
        }
    }
}

impl PictureStats {
    /// Counts a picture, (height, width, 3).
    pub fn count(&mut self, picture: &[u8]) {
        self.n_pictures += 1;
        for pixel in picture.as_chunks::<3>().0 {
            for (counts, value) in self.counts.iter_mut().zip(pixel) {
                counts[usize::from(*value)] += 1;
            }
        }
    }

    /// Counts the pictures that `other` has counted.
    pub fn add(&mut self, other: &Self) {
        self.n_pictures += other.n_pictures;
        let counts = self.counts.as_flattened_mut().iter_mut();
        for (count, more) in counts.zip(other.counts.as_flattened()) {
            *count += more;
        }
    }

    /// Statistics per colour.
    pub fn stats(&self) -> Stats {
        Stats {
            moments: self.counts.iter().map(Moments::of_histogram).collect(),
            n_rows: self.n_pictures,
            nesting: 3,
        }
    }
}

/// Statistics of a feature over some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// One per value of a row.
    moments: Vec<Moments>,
    n_rows: usize,
    /// Lists around a value, innermost with one value: 1, and 3 for pictures (channel, 1, 1).
    nesting: i16,
}

impl Stats {
    /// Statistics of rows of `dim` values each; there is at least one row.
    pub fn of(values: &[f64], dim: usize) -> Self {
        let column = |index| values.iter().skip(index).step_by(dim).copied().collect();
        Self {
            moments: (0..dim).map(|index| Moments::of(column(index))).collect(),
            n_rows: values.len() / dim,
            nesting: 1,
        }
    }

    /// Named statistics, each with a number per value of a row.
    fn named(&self) -> Vec<(&'static str, Vec<f64>)> {
        let all = |of: fn(&Moments) -> f64| self.moments.iter().map(of).collect::<Vec<f64>>();
        let mut named = vec![
            ("min", all(|m| m.min)),
            ("max", all(|m| m.max)),
            ("mean", all(|m| m.mean)),
            ("std", all(|m| m.std)),
        ];
        for (index, (name, _)) in QUANTILES.iter().enumerate() {
            let values = self.moments.iter().map(|m| m.quantiles[index]).collect();
            named.push((name, values));
        }
        named
    }

    /// Entry of `meta/stats.json`.
    pub fn to_json(&self) -> Value {
        let nest = |value: f64| match self.nesting {
            3 => json!([[value]]),
            _ => json!(value),
        };
        let lists = self.named().into_iter().map(|(name, values)| {
            let values: Vec<Value> = values.into_iter().map(nest).collect();
            (name.to_owned(), json!(values))
        });
        let count = ("count".to_owned(), json!([self.n_rows]));
        Value::Object(lists.chain([count]).collect())
    }

    /// Columns of `meta/episodes` for the feature `name`.
    pub fn columns(&self, name: &str) -> Vec<Field> {
        let column = |stat: &str| format!("stats/{name}/{stat}");
        let dim = self.moments.len();
        let lists = self.named().into_iter().map(|(stat, values)| {
            Field::nested(column(stat), self.nesting, dim, Values::F64(values))
        });
        let count = Values::I64(vec![self.n_rows as i64]);
        let count = Field::list(column("count"), 1, count);
        lists.chain([count]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_numpy() {
        // numpy: x = np.arange(29.0); x.mean(), x.std(), np.quantile(x, [.01, .1, .5, .9, .99])
        let values: Vec<f64> = (0..29).rev().map(f64::from).collect();
        let stats = Stats::of(&values, 1).to_json();
        for (name, expected) in [
            ("min", 0.0),
            ("max", 28.0),
            ("mean", 14.0),
            ("std", 8.366_600_265_340_756),
            ("q01", 0.28),
            ("q10", 2.8),
            ("q50", 14.0),
            ("q90", 25.2),
            ("q99", 27.72),
        ] {
            let value = stats[name][0].as_f64().unwrap();
            assert!((value - expected).abs() < 1e-12, "{name}: {value}");
        }
        assert_eq!(stats["count"], json!([29]));
    }

    #[test]
    fn pictures_have_statistics_per_colour_from_0_to_1() {
        let mut pictures = PictureStats::default();
        pictures.count(&[0, 255, 51, 255, 255, 51]);
        let mut twice = pictures.clone();
        twice.add(&pictures);
        let stats = twice.stats().to_json();
        assert_eq!(stats["mean"], json!([[[0.5]], [[1.0]], [[0.2]]]));
        assert_eq!(stats["std"], json!([[[0.5]], [[0.0]], [[0.0]]]));
        assert_eq!(stats["q01"], json!([[[0.0]], [[1.0]], [[0.2]]]));
        assert_eq!(stats["max"], json!([[[1.0]], [[1.0]], [[0.2]]]));
        assert_eq!(stats["count"], json!([2]));
    }

    #[test]
    fn every_value_of_a_row_has_its_own() {
        let stats = Stats::of(&[1.0, 10.0, 3.0, 30.0], 2).to_json();
        assert_eq!(stats["mean"], json!([2.0, 20.0]));
        assert_eq!(stats["count"], json!([2]));
    }
}
