//! Recorded windows of observations, for the calibration of policies of other tasks.

use super::calibrate::Window;
use anyhow::{Context, Result, bail, ensure};
use pusht_core::control::PlanShape;
use safetensors::tensor::{Dtype, SafeTensors};
use std::path::Path;

/// Name of the tensor in a safetensors file.
const TENSOR: &str = "obs";

/// Reads windows (N, To, Do) of `f32` or `f64`: a `.npy` file, or `obs` in a `.safetensors` file.
///
/// # Errors
/// If the file can't be read or has another format or shape; the error names the file.
pub fn read(path: &Path, shape: PlanShape) -> Result<Vec<Window>> {
    let file = || path.display().to_string();
    let bytes = std::fs::read(path)
        .context("can't read")
        .with_context(file)?;
    let (dims, values) = match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => of_npy(&bytes).with_context(file)?,
        Some("safetensors") => of_safetensors(&bytes).with_context(file)?,
        _ => bail!("{}: .npy or .safetensors needed", file()),
    };
    let expected = [shape.n_obs_steps as u64, shape.obs_dim as u64];
    ensure!(
        dims.len() == 3 && dims[1..] == expected && dims[0] > 0,
        "{}: shape {dims:?}, the policy needs [N, {}, {}]",
        file(),
        expected[0],
        expected[1]
    );
    ensure!(
        values.iter().all(|value| value.is_finite()),
        "{}: it has values that are not finite",
        file()
    );
    Ok(values
        .chunks(shape.window_len())
        .map(<[f64]>::to_vec)
        .collect())
}

fn of_npy(bytes: &[u8]) -> Result<(Vec<u64>, Vec<f64>)> {
    let npy = npyz::NpyFile::new(bytes)?;
    ensure!(npy.order() == npyz::Order::C, "Fortran order is not served");
    let dims = npy.shape().to_vec();
    let values = match npy.try_data::<f32>() {
        Ok(data) => data.map(|v| v.map(f64::from)).collect::<Result<_, _>>()?,
        Err(npy) => npy
            .data::<f64>()
            .context("neither float32 nor float64")?
            .collect::<Result<_, _>>()?,
    };
    Ok((dims, values))
}

fn of_safetensors(bytes: &[u8]) -> Result<(Vec<u64>, Vec<f64>)> {
    let file = SafeTensors::deserialize(bytes)?;
    let tensor = file.tensor(TENSOR)?;
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => (data.as_chunks().0.iter())
            .map(|b| f64::from(f32::from_le_bytes(*b)))
            .collect(),
        Dtype::F64 => (data.as_chunks().0.iter())
            .map(|b| f64::from_le_bytes(*b))
            .collect(),
        other => bail!("tensor {TENSOR} is {other:?}, neither F32 nor F64"),
    };
    Ok((tensor.shape().iter().map(|n| *n as u64).collect(), values))
}
