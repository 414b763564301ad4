//! A policy from a file of any of the supported kinds.

use anyhow::{Context, Result, ensure};
use pusht_host::engine::{Engine, EngineKind, kind_of};
use pusht_host::float_engine::FloatPolicy;
use pusht_host::model_file::ModelFile;
use pusht_host::policy_file::{self, PolicyConfig, Tensors};
use pusht_host::{import, regular_file, shipped};
use std::io::Read;
use std::path::Path;

/// Bytes that tell a file's kind.
const KIND_BYTES: u64 = 16;

/// A policy, and what its file is written from beside the engine.
pub struct Loaded {
    /// The policy with its arithmetic.
    pub engine: Engine,
    /// Tensors of a float policy; none of an integer policy.
    pub tensors: Tensors,
}

impl Loaded {
    /// The shipped policy, in integers. Its float version would double the package's size.
    pub fn shipped() -> Result<Self> {
        Self::of_bytes(shipped::INTEGER_MODEL.to_vec())
    }

    /// The policy in a model file, a float policy's file, a LeRobot folder or a checkpoint of
    /// diffusion_policy.
    ///
    /// # Errors
    /// If there is nothing at `path`, it can't be read, or it is no supported policy.
    pub fn of_path(path: &Path) -> Result<Self> {
        if path.is_dir() || !is_policy_file(path)? {
            return Self::import(path, &import::Options::default());
        }
        Self::of_bytes(regular_file::read(path)?).with_context(|| path.display().to_string())
    }

    /// The policy that `pusht import` makes of a LeRobot folder or a checkpoint of
    /// diffusion_policy.
    ///
    /// # Errors
    /// As [`import::read`].
    pub fn import(path: &Path, options: &import::Options) -> Result<Self> {
        let import::Imported {
            config, tensors, ..
        } = import::read(path, options)?;
        Self::of_float(config, tensors)
    }

    /// The policy of a file's contents.
    ///
    /// # Errors
    /// If they are damaged or neither kind of policy.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self> {
        if kind_of(&bytes) == Some(EngineKind::Float) {
            let (config, tensors) = policy_file::parse(&bytes)?;
            return Self::of_float(config, tensors);
        }
        Ok(Self {
            engine: Engine::of_bytes(bytes)?,
            tensors: Tensors::new(),
        })
    }

    fn of_float(config: PolicyConfig, tensors: Tensors) -> Result<Self> {
        let policy = FloatPolicy::from_parts(config, &tensors)?;
        Ok(Self {
            engine: Engine::Float(Box::new(policy)),
            tensors,
        })
    }

    /// The policy with another number of actions executed per plan, if one is given.
    ///
    /// # Errors
    /// If a plan has fewer actions.
    pub fn with_action_steps(mut self, n_action_steps: Option<usize>) -> Result<Self> {
        if let Some(n) = n_action_steps {
            self.engine = self.engine.with_action_steps(n)?;
        }
        Ok(self)
    }

    /// Contents of the policy's file.
    ///
    /// # Errors
    /// If it is a model file with another number of executed actions than it was made for.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        if let Engine::Int(file) = &self.engine {
            let made_for = ModelFile::parse(file.bytes().to_vec())?
                .model()
                .n_action_steps();
            let asked = file.model().n_action_steps();
            ensure!(
                made_for == asked,
                "n_action_steps: the model file is for {made_for}, and stays so; `pusht.quantize` \
                 makes one for {asked}"
            );
        }
        self.made_of()
    }

    /// Contents of a file from which [`of_bytes`](Self::of_bytes) and
    /// [`with_action_steps`](Self::with_action_steps) make the policy again.
    ///
    /// # Errors
    /// As [`policy_file::to_bytes`].
    pub fn made_of(&self) -> Result<Vec<u8>> {
        match &self.engine {
            Engine::Int(file) => Ok(file.bytes().to_vec()),
            Engine::Float(policy) => policy_file::to_bytes(policy.config(), &self.tensors),
        }
    }
}

/// Whether the file at `path` is a model file or a float policy's.
fn is_policy_file(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = regular_file::open(path)?;
    let read = file.take(KIND_BYTES).read_to_end(&mut start);
    read.with_context(|| path.display().to_string())?;
    Ok(kind_of(&start).is_some())
}
