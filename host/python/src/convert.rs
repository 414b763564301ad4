//! From a checkpoint to a model file: import, quantisation, description.

use crate::options::named;
use crate::policy::{Loaded, Policy, observations};
use crate::run::{interruptible, unlocked};
use crate::seeds::range;
use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use pusht_core::control::Planner;
use pusht_core::quant::WeightBits;
use pusht_host::engine::Engine;
use pusht_host::float_engine::FloatPolicy;
use pusht_host::import::{Options, Weights};
use pusht_host::info::{InIntegers, Info};
use pusht_host::plan_input::Checks;
use pusht_host::policy_file::{Observation, SchedulerKind, Task, Tensors};
use pusht_host::quantize::calibrate::Window;
use pusht_host::quantize::{Bits, CalibrationData, model_file, windows};
use pusht_host::regular_file;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};

const OBSERVATIONS: [(&str, Observation); 3] = [
    ("state", Observation::State),
    ("keypoints", Observation::Keypoints),
    ("vertices", Observation::Vertices),
];
const WEIGHTS: [(&str, Weights); 2] = [("live", Weights::Live), ("ema", Weights::Ema)];
const SCHEDULERS: [(&str, SchedulerKind); 3] = [
    ("DDPM", SchedulerKind::Ddpm),
    ("DDIM", SchedulerKind::Ddim),
    ("FlowMatchEuler", SchedulerKind::FlowMatchEuler),
];

/// Reads a policy of LeRobot or diffusion_policy.
#[pyfunction]
pub fn import_checkpoint(
    py: Python<'_>,
    path: PathBuf,
    task: Option<&Bound<'_, PyAny>>,
    observation: Option<&str>,
    weights: Option<&str>,
) -> PyResult<Policy> {
    let options = Options {
        task: task.map(task_of).transpose()?,
        observation: observation
            .map(|name| named("observation", name, &OBSERVATIONS))
            .transpose()?,
        weights: (weights.map(|name| named("weights", name, &WEIGHTS))).transpose()?,
    };
    let loaded = unlocked(py, || Loaded::import(&path, &options))?;
    Policy::unseeded(loaded)
}

/// A task: a dictionary, or the path of a JSON file.
fn task_of(value: &Bound<'_, PyAny>) -> PyResult<Task> {
    let py = value.py();
    let (text, place) = match value.cast::<PyDict>() {
        Ok(dict) => {
            let text = py.import("json")?.call_method1("dumps", (dict,))?;
            (text.extract()?, "task".to_owned())
        }
        Err(_) => {
            let path: PathBuf = value.extract()?;
            let text = unlocked(py, || regular_file::read_text(&path))?;
            (text, path.display().to_string())
        }
    };
    serde_json::from_str(&text).map_err(|error| PyValueError::new_err(format!("{place}: {error}")))
}

/// Keyword arguments of `pusht.quantize`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Quantization<'py> {
    seeds: Bound<'py, PyAny>,
    num_inference_steps: Option<usize>,
    n_action_steps: Option<usize>,
    scheduler: Option<String>,
    weight_bits: usize,
    max_bytes: Option<usize>,
    num_threads: Option<usize>,
}

impl Quantization<'_> {
    fn bits(&self) -> PyResult<Bits> {
        match (self.weight_bits, self.max_bytes) {
            (4, Some(max_bytes)) => Ok(Bits::Mixed { max_bytes }),
            (4, None) => Ok(Bits::All(WeightBits::Four)),
            (8, None) => Ok(Bits::All(WeightBits::Eight)),
            (8, Some(_)) => Err(PyValueError::new_err("max_bytes is for weight_bits=4")),
            (bits, _) => Err(PyValueError::new_err(format!(
                "weight_bits: {bits} is not 4 or 8"
            ))),
        }
    }
}

/// Makes the integer version of a float policy.
#[pyfunction]
pub fn quantize(
    py: Python<'_>,
    policy: &Policy,
    observations: Option<&Bound<'_, PyAny>>,
    options: Quantization<'_>,
) -> PyResult<Policy> {
    let Loaded { engine, tensors } = &policy.loaded;
    let Engine::Float(float) = engine else {
        return Err(PyValueError::new_err(
            "policy: an integer policy is given, a float policy is needed",
        ));
    };
    let bits = options.bits()?;
    let mut config = float.config().clone();
    config.num_inference_steps = options
        .num_inference_steps
        .unwrap_or(config.num_inference_steps);
    config.n_action_steps = options.n_action_steps.unwrap_or(config.n_action_steps);
    if let Some(name) = &options.scheduler {
        config.scheduler.kind = named("scheduler", name, &SCHEDULERS)?;
    }
    let float = unlocked(py, || FloatPolicy::from_parts(config, tensors))?;
    let data = Calibration::of(observations, &options.seeds, &policy.checks)?;
    let loaded = interruptible(py, options.num_threads, |_| {
        quantized(&float, tensors, data, bits)
    })?;
    Policy::unseeded(loaded)
}

/// What a policy is calibrated on.
enum Calibration {
    /// Episodes of PushT, or windows that are there already.
    Data(CalibrationData),
    /// A file of windows, or a dataset.
    Path(PathBuf),
}

impl Calibration {
    fn of(
        given: Option<&Bound<'_, PyAny>>,
        seeds: &Bound<'_, PyAny>,
        checks: &Checks,
    ) -> PyResult<Self> {
        let Some(given) = given else {
            return Ok(Self::Data(CalibrationData::Episodes(range(seeds)?)));
        };
        if let Ok(path) = given.extract::<PathBuf>() {
            return Ok(Self::Path(path));
        }
        let seen = observations(given, checks)?;
        let shape = checks.shape;
        match seen.shape[..] {
            [_, n_obs_steps] if n_obs_steps == shape.n_obs_steps => {}
            _ => {
                return Err(PyValueError::new_err(format!(
                    "observations: an array of shape (N, {}, {}) is needed, but {:?} is before the \
                     last axis",
                    shape.n_obs_steps, shape.obs_dim, seen.shape
                )));
            }
        }
        let windows = seen.values.chunks_exact(shape.window_len());
        let windows: Vec<Window> = windows.map(<[f64]>::to_vec).collect();
        let data = CalibrationData::split(windows, "observations");
        let (used, _) =
            data.map_err(|error| PyValueError::new_err(format!("observations: {error}")))?;
        Ok(Self::Data(used))
    }

    fn read(self, policy: &FloatPolicy) -> Result<CalibrationData> {
        match self {
            Self::Path(path) => of_path(&path, policy),
            Self::Data(CalibrationData::Episodes(_)) if policy.observation().is_none() => bail!(
                "observations: a policy of another task than PushT is calibrated on recorded ones"
            ),
            Self::Data(data) => Ok(data),
        }
    }
}

fn of_path(path: &Path, policy: &FloatPolicy) -> Result<CalibrationData> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let windows = windows::read(path, policy.shape(), policy.observation())?;
    let data = CalibrationData::split(windows, &name);
    let (used, _) = data.with_context(|| path.display().to_string())?;
    Ok(used)
}

fn quantized(
    policy: &FloatPolicy,
    tensors: &Tensors,
    data: Calibration,
    bits: Bits,
) -> Result<Loaded> {
    let data = data.read(policy)?;
    let bytes = model_file(policy, tensors, &data, bits, &ProgressBar::hidden())?;
    Loaded::of_bytes(bytes).context("the quantised network is refused")
}

/// Describes a policy.
#[pyfunction]
pub fn info<'py>(py: Python<'py>, policy: &Policy) -> PyResult<Bound<'py, PyAny>> {
    let Loaded { engine, tensors } = &policy.loaded;
    let json = unlocked(py, || {
        let mut info = Info::of(engine)?;
        if let Engine::Float(float) = engine {
            info.in_integers = Some(InIntegers::of(float.config(), tensors)?);
        }
        info.to_json()
    })?;
    py.import("json")?.call_method1("loads", (json,))
}
