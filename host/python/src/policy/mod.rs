//! A policy: [`load`] reads it.

mod load;

use crate::options::named;
use crate::run::unlocked;
use anyhow::{Result, ensure};
use load::Loaded;
use pusht_host::engine::{Engine, EngineKind};
use pusht_host::policy_file::write_whole;
use pyo3::prelude::*;
use std::path::PathBuf;

/// Names of the engines.
const ENGINES: [(&str, EngineKind); 2] =
    [("integer", EngineKind::Int), ("float", EngineKind::Float)];

/// A diffusion policy, in integers or floats.
#[pyclass(module = "pusht", frozen)]
pub struct Policy {
    loaded: Loaded,
}

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (path=None, *, engine=None, n_action_steps=None))]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        engine: Option<&str>,
        n_action_steps: Option<usize>,
    ) -> PyResult<Self> {
        let engine = engine.map(|name| named("engine", name, &ENGINES));
        let engine = engine.transpose()?;
        let loaded = unlocked(py, || load(path, engine, n_action_steps))?;
        Ok(Self { loaded })
    }

    /// Writes the policy to a file: a model file (`.ptm`) of an integer policy, a `.safetensors` of a
    /// float policy. An existing file is replaced as a whole.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        unlocked(py, || write_whole(&path, &self.loaded.to_bytes()?))
    }
}

impl Policy {
    /// The policy with its engine.
    pub fn engine(&self) -> &Engine {
        &self.loaded.engine
    }
}

fn load(
    path: Option<PathBuf>,
    wanted: Option<EngineKind>,
    n_action_steps: Option<usize>,
) -> Result<Loaded> {
    let mut loaded = match &path {
        Some(path) => Loaded::of_path(path)?,
        None => Loaded::shipped(wanted.unwrap_or(EngineKind::Int))?,
    };
    let kind = loaded.engine.kind();
    let path = path.unwrap_or_default();
    ensure!(
        wanted.is_none_or(|wanted| wanted == kind),
        "{}: {}",
        path.display(),
        match kind {
            EngineKind::Int => "an integer policy has no float version in its file",
            EngineKind::Float => "`pusht.quantize` makes the integer version of a float policy",
        }
    );
    if let Some(n) = n_action_steps {
        loaded.engine = loaded.engine.with_action_steps(n)?;
    }
    Ok(loaded)
}
