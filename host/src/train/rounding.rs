//! Weights rounded as the integer model will have them, so that a run learns what is lost.
//!
//! The network computes with the rounded weights, and their gradient moves the weights themselves: the
//! straight-through estimator (Bengio et al. 2013, arXiv 1308.3432). Each row of the integer model
//! has its scale, that of least squared error.

use super::parameters::Layout;
use crate::policy_file::UnetConfig;
use crate::quantize::rounding::round_to_nearest;
use pusht_core::quant::WeightBits;
use serde::{Deserialize, Serialize};

/// Which weights are rounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounding {
    /// Bits of the weights, 4 or 8; none are rounded if it is not given.
    pub bits: Option<u8>,
    /// Beginnings of the names of weights that have 8 bits all the same.
    pub in_8_bits: Vec<String>,
}

/// A row of the integer model: bits of its weights, and their places in the flat vector of all
/// parameters.
type Row = (WeightBits, Vec<usize>);

/// The rows that a run rounds.
#[derive(Clone, Debug)]
pub struct RoundedRows(Vec<Row>);

impl RoundedRows {
    /// The rows of the parameters in `layout` that `rounding` names.
    pub fn new(rounding: &Rounding, layout: &Layout, config: &UnetConfig) -> Self {
        let Some(bits) = rounding.bits else {
            return Self(Vec::new());
        };
        let rows = layout.parameters.iter().flat_map(|parameter| {
            let is_long = bits == WeightBits::Eight.bits()
                || (rounding.in_8_bits.iter()).any(|start| parameter.name.starts_with(start));
            let bits = match is_long {
                true => WeightBits::Eight,
                false => WeightBits::Four,
            };
            let rows = parameter.rows(config.diffusion_step_embed_dim);
            rows.into_iter().map(move |places| (bits, places))
        });
        Self(rows.collect())
    }

    /// Rounds the parameters `values`, flat as in the layout.
    pub fn apply(&self, values: &mut [f32]) {
        let mut row = Vec::new();
        for (bits, places) in &self.0 {
            row.clear();
            row.extend(places.iter().map(|place| values[*place]));
            round_to_nearest(&mut row, *bits);
            for (place, weight) in places.iter().zip(&row) {
                values[*place] = *weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn config() -> UnetConfig {
        UnetConfig {
            input_dim: 2,
            local_cond_dim: 0,
            global_cond_dim: 10,
            diffusion_step_embed_dim: 16,
            down_dims: vec![8, 16],
            kernel_size: 3,
            n_groups: 8,
            cond_predict_scale: true,
        }
    }

    fn rounding(in_8_bits: &[&str]) -> Rounding {
        Rounding {
            bits: Some(4),
            in_8_bits: in_8_bits.iter().map(|start| (*start).to_owned()).collect(),
        }
    }

    #[test]
    fn each_weight_of_the_integer_model_is_in_one_row() {
        let (config, layout) = (config(), Layout::new(&config()));
        let RoundedRows(rows) = RoundedRows::new(&rounding(&[]), &layout, &config);
        let places: Vec<usize> = rows.iter().flat_map(|(_, places)| places.clone()).collect();
        let distinct: BTreeSet<usize> = places.iter().copied().collect();
        assert_eq!(distinct.len(), places.len());
        for parameter in &layout.parameters {
            let own = parameter.offset..parameter.offset + parameter.n_values();
            let n_rounded = distinct.range(own).count();
            let [taps, n_in, n_out] = parameter.stored_shape();
            let name = parameter.name.as_str();
            let expected = if name.ends_with("cond_encoder.1.weight") {
                (n_in - config.diffusion_step_embed_dim) * n_out
            } else if name.starts_with("diffusion_step_encoder") || taps * n_in == 1 {
                0
            } else {
                parameter.n_values()
            };
            assert_eq!(n_rounded, expected, "{name}");
        }
    }

    #[test]
    fn a_row_has_as_many_values_as_its_bits_allow() {
        let (config, layout) = (config(), Layout::new(&config()));
        let rounding = rounding(&["final_conv", "down_modules.0.0.blocks.0"]);
        let rows = RoundedRows::new(&rounding, &layout, &config);
        let exact = layout.init(1);
        let mut values = exact.clone();
        rows.apply(&mut values);
        let mut n_long = 0;
        for (bits, places) in &rows.0 {
            // Both zeros are one level.
            let levels = places.iter().map(|place| (values[*place] + 0.0).to_bits());
            let distinct: BTreeSet<u32> = levels.collect();
            let most = [15, 255][usize::from(*bits == WeightBits::Eight)];
            assert!(distinct.len() <= most);
            n_long += usize::from(*bits == WeightBits::Eight);
        }
        // The last block and convolution, and the first convolution of 8 outputs.
        assert_eq!(n_long, 8 + config.input_dim + 8);
        let error = exact.iter().zip(&values).map(|(a, b)| (a - b).abs());
        assert!(error.fold(0.0, f32::max) < 0.1);
        let nothing = RoundedRows::new(&Rounding::default(), &layout, &config);
        let mut same = exact.clone();
        nothing.apply(&mut same);
        assert_eq!(same, exact);
    }
}
