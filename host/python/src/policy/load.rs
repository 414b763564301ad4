//! A policy from a file of any of the supported kinds.

use anyhow::{Context, Result, ensure};
use pusht_host::engine::{Engine, EngineKind, kind_of};
use pusht_host::float_engine::FloatPolicy;
use pusht_host::policy_file::{self, Tensors};
use pusht_host::{import, regular_file, shipped};
use std::io::Read;
use std::path::Path;

/// Bytes that tell a file's kind.
const KIND_BYTES: u64 = 16;

/// A policy, and what its file is written from.
pub struct Loaded {
    pub engine: Engine,
    pub source: Source,
}

/// What a policy's file is written from.
pub enum Source {
    /// Contents of a model file.
    Model(Vec<u8>),
    /// Tensors of a float policy; the engine has its settings.
    Float(Tensors),
}

impl Loaded {
    /// The shipped policy.
    pub fn shipped(engine: EngineKind) -> Result<Self> {
        let bytes = match engine {
            EngineKind::Int => shipped::INTEGER_MODEL,
            EngineKind::Float => shipped::FLOAT_POLICY,
        };
        Self::of_bytes(bytes.to_vec())
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
        let policy = FloatPolicy::from_parts(config, &tensors)?;
        Ok(Self {
            engine: Engine::Float(Box::new(policy)),
            source: Source::Float(tensors),
        })
    }

    /// The policy of a file's contents.
    ///
    /// # Errors
    /// If they are damaged or neither kind of policy.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self> {
        let engine = Engine::of_bytes(bytes.clone())?;
        let source = match &engine {
            Engine::Int(_) => Source::Model(bytes),
            Engine::Float(_) => Source::Float(policy_file::parse(&bytes)?.1),
        };
        Ok(Self { engine, source })
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
        let bytes = self.made_of()?;
        if let Source::Model(bytes) = &self.source {
            let made_for = Engine::of_bytes(bytes.clone())?.shape().n_action_steps;
            let asked = self.engine.shape().n_action_steps;
            ensure!(
                made_for == asked,
                "n_action_steps: the model file is for {made_for}, and stays so; `pusht.quantize` \
                 makes one for {asked}"
            );
        }
        Ok(bytes)
    }

    /// Contents of a file from which [`of_bytes`](Self::of_bytes) and
    /// [`with_action_steps`](Self::with_action_steps) make the policy again.
    ///
    /// # Errors
    /// As [`policy_file::to_bytes`].
    pub fn made_of(&self) -> Result<Vec<u8>> {
        match (&self.engine, &self.source) {
            (_, Source::Model(bytes)) => Ok(bytes.clone()),
            (Engine::Float(policy), Source::Float(tensors)) => {
                policy_file::to_bytes(policy.config(), tensors)
            }
            (Engine::Int(_), Source::Float(_)) => unreachable!("both are set together"),
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
