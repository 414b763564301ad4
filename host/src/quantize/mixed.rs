//! Choice of the products whose weights get 4 bits: those that change the plans least for the bytes
//! that they save.

use super::calibrate::Window;
use super::file::ModelFile;
use anyhow::{Context, Result, ensure};
use fixed::types::I8F24;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{IntPolicy, Model};
use rayon::prelude::*;

/// Plans in which a product is measured.
const N_PLANS: usize = 128;

/// Replaces products of `eight` by those of `four`, which is the same network with weights of 4
/// bits, until the file has at most `max_bytes`.
///
/// Each product is measured alone, in plans from `windows`: the mean square by which its 4 bits move
/// the normalised actions. Then products are taken in the order of this loss per byte saved.
///
/// # Errors
/// If the file is longer even with all of them.
pub(super) fn mix(
    eight: ModelFile,
    four: &ModelFile,
    windows: &[Window],
    max_bytes: usize,
) -> Result<ModelFile> {
    let smallest = four.to_bytes().len();
    ensure!(
        smallest <= max_bytes,
        "--max-bytes {max_bytes}: with all weights in 4 bits the model file has {smallest} bytes"
    );
    let with = |mut file: ModelFile, index: usize| {
        let mut places = file.products_mut();
        let products = four.products();
        *places[index] = products[index].clone();
        file
    };
    let bytes = eight.to_bytes();
    let windows = spread(windows);
    let expected = actions(&bytes, &windows)?;
    let n_products = four.products().len();
    let losses = (0..n_products).into_par_iter().map(|index| {
        let moved = actions(&with(eight.clone(), index).to_bytes(), &windows)?;
        let squares = moved.iter().zip(&expected).map(|(a, b)| (a - b).powi(2));
        let product = four.products()[index];
        let n_weights: usize = product.iter().map(|row| row.weights.len()).sum();
        Ok((index, squares.sum::<f64>() / (n_weights as f64)))
    });
    let mut losses = losses.collect::<Result<Vec<(usize, f64)>>>()?;
    losses.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut mixed = eight;
    for (index, _) in losses {
        if mixed.to_bytes().len() <= max_bytes {
            break;
        }
        mixed = with(mixed, index);
    }
    Ok(mixed)
}

/// [`N_PLANS`] evenly spaced windows, or all if there are fewer.
fn spread(windows: &[Window]) -> Vec<&Window> {
    let n = windows.len().min(N_PLANS);
    (0..n).map(|i| &windows[i * windows.len() / n]).collect()
}

/// The actions of a plan from each window, normalised; plan `i` has the noise of seed `i`.
fn actions(bytes: &[u8], windows: &[&Window]) -> Result<Vec<f64>> {
    let model = Model::parse(bytes).context("a mix of weights is refused")?;
    let shape = model.shape();
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(&model, &mut scratch)?;
    let units: Vec<f64> = (0..shape.action_dim)
        .map(|index| {
            let value = model.action_value(index);
            let end = |at: i32| value.to_f64(value.unnormalize(I8F24::from_num(at), 0));
            (end(1) - end(-1)).abs() / 2.0
        })
        .collect();
    let mut chunk = vec![0.0; shape.chunk_len()];
    let mut all = Vec::new();
    for (seed, window) in (0..).zip(windows) {
        policy.plan(window, &mut NoiseSource::new(seed), &mut chunk)?;
        let values = chunk.iter().zip(units.iter().cycle());
        all.extend(values.map(|(value, unit)| value / unit));
    }
    Ok(all)
}
