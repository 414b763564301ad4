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
    let n_values = dims.iter().try_fold(1, |n: u64, dim| n.checked_mul(*dim));
    ensure!(
        n_values == Some(values.len() as u64),
        "{}: shape {dims:?}, but {} values",
        file(),
        values.len()
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

/// NumPy's format (`numpy.lib.format`), as far as `numpy.save` writes arrays of floats: a magic, a
/// version, the length of the header, the header (a Python dict), the values.
fn of_npy(bytes: &[u8]) -> Result<(Vec<u64>, Vec<f64>)> {
    let rest = bytes
        .strip_prefix(b"\x93NUMPY")
        .context("not a .npy file")?;
    let (header_len, rest) = match rest {
        [1, _, low, high, rest @ ..] => (u32::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => bail!("a version of .npy that is not known"),
    };
    let (header, data) = rest
        .split_at_checked(header_len as usize)
        .context("its header is cut short")?;
    let header = std::str::from_utf8(header).context("its header is not text")?;
    let after = |key: &str| {
        let found = header.split_once(&format!("'{key}':"));
        let (_, value) = found.with_context(|| format!("its header has no {key}"))?;
        anyhow::Ok(value.trim_start())
    };
    ensure!(
        after("fortran_order")?.starts_with("False"),
        "Fortran order is not served"
    );
    let shape = after("shape")?
        .strip_prefix('(')
        .and_then(|s| s.split_once(')'));
    let (shape, _) = shape.context("its shape is no tuple")?;
    let dims = shape
        .split(',')
        .map(str::trim)
        .filter(|dim| !dim.is_empty());
    let dims = dims.map(str::parse).collect::<Result<Vec<u64>, _>>();
    let values = match after("descr")?.get(..5) {
        Some("'<f4'") => f32_values(data),
        Some("'<f8'") => f64_values(data),
        other => bail!("its values are {other:?}, neither '<f4' nor '<f8'"),
    };
    Ok((dims.context("its shape")?, values))
}

fn f32_values(data: &[u8]) -> Vec<f64> {
    let values = data.as_chunks().0.iter();
    values.map(|b| f64::from(f32::from_le_bytes(*b))).collect()
}

fn f64_values(data: &[u8]) -> Vec<f64> {
    let values = data.as_chunks().0.iter();
    values.map(|b| f64::from_le_bytes(*b)).collect()
}

fn of_safetensors(bytes: &[u8]) -> Result<(Vec<u64>, Vec<f64>)> {
    let file = SafeTensors::deserialize(bytes)?;
    let tensor = file.tensor(TENSOR)?;
    let values = match tensor.dtype() {
        Dtype::F32 => f32_values(tensor.data()),
        Dtype::F64 => f64_values(tensor.data()),
        other => bail!("tensor {TENSOR} is {other:?}, neither F32 nor F64"),
    };
    Ok((tensor.shape().iter().map(|n| *n as u64).collect(), values))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: PlanShape = PlanShape {
        n_obs_steps: 2,
        obs_dim: 3,
        n_action_steps: 1,
        action_dim: 1,
    };

    /// Version 1 of the format, as `numpy.save` writes it.
    fn npy(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<Window>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("windows.npy");
        std::fs::write(&path, bytes)?;
        read(&path, SHAPE)
    }

    #[test]
    fn windows_are_read_row_by_row() {
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let windows = read_bytes(&npy("<f4", "False", "(2, 2, 3)", &data)).unwrap();
        let expected = values
            .chunks(6)
            .map(|row| row.iter().map(|v| f64::from(*v)).collect());
        assert_eq!(windows, expected.collect::<Vec<Vec<f64>>>());
        let data: Vec<u8> = (values.iter())
            .flat_map(|v| f64::from(*v).to_le_bytes())
            .collect();
        let doubles = read_bytes(&npy("<f8", "False", "(2, 2, 3)", &data)).unwrap();
        assert_eq!(doubles, windows);
    }

    #[test]
    fn what_is_no_array_of_windows_is_refused_with_the_reason() {
        let zeros = [0; 48];
        let nan = [f32::NAN.to_le_bytes(); 12];
        for (bytes, reason) in [
            (b"no array".to_vec(), "not a .npy file"),
            (npy("<f4", "True", "(2, 2, 3)", &zeros), "Fortran order"),
            (
                npy("<i4", "False", "(2, 2, 3)", &zeros),
                "neither '<f4' nor '<f8'",
            ),
            (
                npy("<f4", "False", "(2, 3, 2)", &zeros),
                "the policy needs [N, 2, 3]",
            ),
            (npy("<f4", "False", "(3, 2, 3)", &zeros), "but 12 values"),
            (
                npy("<f4", "False", "(2, 2, 3)", nan.as_flattened()),
                "not finite",
            ),
            (
                npy("<f4", "False", "(2, 2, 3)", &zeros)[..30].to_vec(),
                "cut short",
            ),
        ] {
            let message = format!("{:#}", read_bytes(&bytes).unwrap_err());
            assert!(message.contains(reason), "{message}");
        }
    }
}
