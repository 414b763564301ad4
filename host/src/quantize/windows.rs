//! Recorded windows of observations, for calibration: an array of them, or a dataset of episodes.

use super::calibrate::Window;
use crate::data::{self, Demonstrations};
use crate::regular_file;
use anyhow::{Context, Result, bail, ensure};
use pusht_core::control::PlanShape;
use pusht_core::pusht::observation::{ObservationKind, observe};
use safetensors::tensor::{Dtype, SafeTensors};
use std::path::Path;

/// Name of the tensor in a safetensors file.
const TENSOR: &str = "obs";

/// Reads windows (N, To, Do) of `f32` or `f64` from a `.npy` file or from `obs` in a `.safetensors`
/// file, or those of every step of a recorded dataset: demonstrations for a policy that sees PushT
/// as `kind`, else a folder of LeRobot.
///
/// # Errors
/// If the file can't be read or has another format or shape; the error names the file.
pub fn read(path: &Path, shape: PlanShape, kind: Option<ObservationKind>) -> Result<Vec<Window>> {
    let file = || path.display().to_string();
    if path.is_dir() || path.extension().is_some_and(|e| e == "zip") {
        return match kind {
            Some(kind) => of_demonstrations(&Demonstrations::open(path)?, kind, shape.n_obs_steps),
            None => of_lerobot(path, shape).with_context(file),
        };
    }
    let bytes = regular_file::read(path)?;
    let (dims, values) = match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => of_npy(&bytes).with_context(file)?,
        Some("safetensors") => of_safetensors(&bytes).with_context(file)?,
        _ => bail!(
            "{}: neither .npy, .safetensors, a zip archive nor a folder",
            file()
        ),
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

/// Windows of every step of every episode, as a policy sees them.
fn of_demonstrations(
    demonstrations: &Demonstrations,
    kind: ObservationKind,
    n_obs_steps: usize,
) -> Result<Vec<Window>> {
    let mut windows = Vec::new();
    for episode in &demonstrations.episodes {
        let observed = episode.states.iter().map(|state| {
            let mut row = vec![0.0; kind.dim()];
            observe(kind, state, &mut row)?;
            Ok(row)
        });
        let rows = observed.collect::<Result<Vec<_>, pusht_core::Error>>()?;
        windows.extend(of_episode(&rows, n_obs_steps));
    }
    Ok(windows)
}

#[cfg(feature = "demonstrations")]
fn of_lerobot(path: &Path, shape: PlanShape) -> Result<Vec<Window>> {
    ensure!(
        path.join(data::lerobot::INFO).exists(),
        "no {}: a policy of another task than PushT is calibrated on a LeRobot dataset (a folder), \
         .npy or .safetensors",
        data::lerobot::INFO
    );
    let episodes = data::lerobot::LeRobotDataset::open(path)?.observations(shape.obs_dim)?;
    let windows = episodes
        .iter()
        .map(|rows| of_episode(rows, shape.n_obs_steps));
    Ok(windows.flatten().collect())
}

#[cfg(not(feature = "demonstrations"))]
fn of_lerobot(_: &Path, _: PlanShape) -> Result<Vec<Window>> {
    bail!(data::MISSING_FEATURE)
}

/// Windows that end at each row; before the first row, it is repeated.
fn of_episode(rows: &[Vec<f64>], n_obs_steps: usize) -> impl Iterator<Item = Window> + '_ {
    (0..rows.len()).map(move |last| {
        let steps = (0..n_obs_steps).map(|step| (last + step + 1).saturating_sub(n_obs_steps));
        steps.flat_map(|row| rows[row].iter().copied()).collect()
    })
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
        _ => bail!("a version of .npy that is not known; 1, 2 and 3 are supported"),
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
        "fortran_order True is not supported: save numpy.ascontiguousarray(..)"
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
        other => bail!(
            "its values (descr) are {}, neither '<f4' nor '<f8'",
            other.unwrap_or_default()
        ),
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
    let file = SafeTensors::deserialize(bytes).context("not a whole safetensors file")?;
    let names = || format!("no tensor {TENSOR}; it has {}", file.names().join(", "));
    let tensor = file.tensor(TENSOR).with_context(names)?;
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

    #[test]
    fn every_row_ends_a_window_and_the_first_is_repeated() {
        let rows = vec![vec![1.0], vec![2.0], vec![3.0]];
        let windows: Vec<Window> = of_episode(&rows, 2).collect();
        assert_eq!(windows, [[1.0, 1.0], [1.0, 2.0], [2.0, 3.0]]);
        let windows: Vec<Window> = of_episode(&rows, 1).collect();
        assert_eq!(windows, rows);
    }

    #[test]
    #[cfg(feature = "demonstrations")]
    fn a_lerobot_dataset_gives_the_windows_of_either_kind_of_policy() {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/demonstrations/recorded");
        let shape = PlanShape {
            obs_dim: 18,
            ..SHAPE
        };
        let pusht = read(
            &root.join("lerobot"),
            shape,
            Some(ObservationKind::Vertices),
        )
        .unwrap();
        let other = read(&root.join("lerobot"), shape, None).unwrap();
        assert_eq!((pusht.len(), other.len()), (29, 29));
        for (pusht, other) in pusht.iter().zip(&other) {
            for (corners_first, agent_first) in pusht.chunks(18).zip(other.chunks(18)) {
                let mut agent_first = agent_first.to_vec();
                agent_first.rotate_left(2);
                for (a, b) in corners_first.iter().zip(agent_first) {
                    assert!((a - b).abs() < 1e-3, "{corners_first:?}");
                }
            }
        }
        let message = read(&root.join("zarr3"), shape, None).unwrap_err();
        assert!(
            format!("{message:#}").contains("LeRobot dataset"),
            "{message:#}"
        );
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<Window>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("windows.npy");
        std::fs::write(&path, bytes)?;
        read(&path, SHAPE, None)
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
            (npy("<f4", "True", "(2, 2, 3)", &zeros), "fortran_order"),
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
