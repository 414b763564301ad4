//! A policy file with the engine that runs it.

use crate::arguments::{legacy_seeds, whole};
use crate::float_engine::FloatPolicy;
use crate::model_file::ModelFile;
use crate::policy_file::MAX_DIM;
use crate::{console, policy_file, quantize, regular_file, shipped};
use anyhow::{Context, Result, anyhow, bail, ensure};
use pusht_core::Error;
use pusht_core::control::{PlanJob, PlanShape, Planner};
use pusht_core::pusht::env::PushTEnv;
use pusht_core::pusht::observation::ObservationKind;
use pusht_core::pusht::rollout::{Horizon, Rollout};
use pusht_core::quant::{IntPolicy, IntPolicyBatch, MAGIC, Model, ModelError};
use std::borrow::Cow;
use std::path::PathBuf;

/// Arithmetic of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum EngineKind {
    /// Integers only, as on a microcontroller; runs a model file (`.ptm`)
    Int,
    /// 32-bit floats; runs a float policy (`.safetensors`)
    Float,
}

/// Policy to run, with its options.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PolicyArgs {
    /// Policy file, `.ptm` (integer) or `.safetensors` (float) [default: the shipped policy]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Arithmetic [default: that of the policy file; int for the shipped policy]
    #[arg(long, value_enum)]
    pub engine: Option<EngineKind>,
    /// Actions executed per plan [default: that of the policy file]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=MAX_DIM as u64))]
    pub n_action_steps: Option<usize>,
}

/// A loaded policy, shared by all threads.
#[derive(Debug)]
pub enum Engine {
    /// A validated model file.
    Int(Box<ModelFile>),
    /// A float policy.
    Float(Box<FloatPolicy>),
}

impl Engine {
    /// Loads the policy of `args`.
    ///
    /// # Errors
    /// If the file can't be read, is damaged, or is not for the requested engine.
    pub fn load(args: &PolicyArgs) -> Result<Self> {
        let engine = Self::of_file(args)?;
        match args.n_action_steps {
            Some(n) => engine.with_action_steps(n),
            None => Ok(engine),
        }
    }

    fn of_file(args: &PolicyArgs) -> Result<Self> {
        let Some(path) = &args.policy else {
            let bytes = match args.engine {
                Some(EngineKind::Float) => shipped::FLOAT_POLICY,
                Some(EngineKind::Int) | None => shipped::INTEGER_MODEL,
            };
            return Self::parse(bytes.into(), args.engine).context("the shipped policy");
        };
        let bytes = regular_file::read(path)?;
        Self::parse(bytes.into(), args.engine).with_context(|| path.display().to_string())
    }

    /// Creates the policy of a file's contents, of either kind.
    ///
    /// # Errors
    /// If they are damaged or neither kind of policy.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::parse(bytes.into(), None)
    }

    fn parse(bytes: Cow<'static, [u8]>, wanted: Option<EngineKind>) -> Result<Self> {
        let kind = kind_of(&bytes)
            .ok_or_else(|| anyhow!("neither an integer model file nor a safetensors file"))?;
        match (kind, wanted) {
            (EngineKind::Int, Some(EngineKind::Float)) => {
                bail!("an integer model file, which --engine float can't run")
            }
            (EngineKind::Float, Some(EngineKind::Int)) => bail!(
                "a float policy, which --engine int can't run: `pusht quantize` makes a model file of it"
            ),
            (EngineKind::Int, _) => {
                let file = ModelFile::parse(bytes).map_err(|error| match error {
                    ModelError::UnknownVersion { .. } => anyhow!(error),
                    _ => {
                        anyhow!("{error}; `pusht quantize` makes a sound file of the float policy")
                    }
                })?;
                Ok(Self::Int(Box::new(file)))
            }
            (EngineKind::Float, _) => {
                let (config, tensors) = policy_file::parse(&bytes)?;
                Ok(Self::Float(Box::new(FloatPolicy::from_parts(
                    config, &tensors,
                )?)))
            }
        }
    }

    /// Sets the number of actions executed per plan.
    ///
    /// # Errors
    /// If a plan has fewer actions.
    pub fn with_action_steps(self, n_action_steps: usize) -> Result<Self> {
        let most = match &self {
            Self::Int(file) => file.model().most_action_steps(),
            Self::Float(policy) => {
                let options = policy.policy().options();
                options.trajectory_len() - policy.action_steps().start
            }
        };
        ensure!(
            (1..=most).contains(&n_action_steps),
            "--n-action-steps {n_action_steps} is not 1 to {most}, as many as a plan has"
        );
        Ok(match self {
            Self::Int(mut file) => {
                file.set_n_action_steps(n_action_steps)?;
                Self::Int(file)
            }
            Self::Float(mut policy) => {
                policy.set_n_action_steps(n_action_steps)?;
                Self::Float(policy)
            }
        })
    }

    /// Sets the number of passes of the network per plan. The shipped integer policy is then
    /// quantised again from its float version.
    ///
    /// # Errors
    /// If the scheduler has fewer steps, or a model file in `args` was made for another number.
    pub fn with_passes(self, passes: usize, args: &PolicyArgs) -> Result<Self> {
        match self {
            Self::Float(mut policy) => {
                policy.set_num_inference_steps(passes)?;
                Ok(Self::Float(policy))
            }
            Self::Int(file) if file.model().n_passes() == passes => Ok(Self::Int(file)),
            Self::Int(file) => {
                let model = file.model();
                if let Some(path) = &args.policy {
                    bail!(
                        "{}: made for {} passes, not {passes}; `pusht quantize --passes {passes}` makes another \
                         of its float twin",
                        path.display(),
                        model.n_passes()
                    );
                }
                let (mut config, tensors) = policy_file::parse(shipped::FLOAT_POLICY)?;
                config.n_action_steps = model.n_action_steps();
                config.num_inference_steps = passes;
                let twin = FloatPolicy::from_parts(config, &tensors)?;
                let seeds = legacy_seeds(quantize::CALIBRATION_SEEDS)?;
                let data = quantize::CalibrationData::Episodes(seeds);
                let progress = console::progress_bar("episodes to calibrate on");
                let bytes = quantize::model_file(
                    &twin,
                    &tensors,
                    &data,
                    quantize::Bits::default(),
                    &progress,
                )?;
                progress.finish_and_clear();
                Self::parse(bytes.into(), Some(EngineKind::Int))
            }
        }
    }

    /// Arithmetic of the policy.
    pub fn kind(&self) -> EngineKind {
        match self {
            Self::Int(_) => EngineKind::Int,
            Self::Float(_) => EngineKind::Float,
        }
    }

    /// Passes of the network per plan.
    pub fn passes(&self) -> usize {
        match self {
            Self::Int(file) => file.model().n_passes(),
            Self::Float(policy) => policy.config().num_inference_steps,
        }
    }

    /// Rows and columns of a plan's initial noise.
    pub fn noise_shape(&self) -> [usize; 2] {
        match self {
            Self::Int(file) => [file.model().horizon(), file.model().trajectory_dim()],
            Self::Float(policy) => policy.noise_shape(),
        }
    }

    /// Raw values for the normalised values -1 and 1, of every value of an observation.
    pub fn observed_ranges(&self) -> Vec<[f64; 2]> {
        match self {
            Self::Int(file) => (0..file.model().shape().obs_dim)
                .map(|index| observed_range(file.model(), index))
                .collect(),
            Self::Float(policy) => {
                let [observed, _] = policy.ranges();
                observed
            }
        }
    }

    /// Calls `f` with a planner of this policy with its own memory.
    pub fn with_planner<R>(&self, f: impl FnOnce(&mut dyn Planner) -> R) -> R {
        match self {
            Self::Int(file) => {
                let model = file.model();
                let mut scratch = vec![0; model.scratch_len()];
                let policy = IntPolicy::new(model, &mut scratch);
                f(&mut policy.expect("as long as the model says"))
            }
            Self::Float(policy) => f(&mut FloatPolicy::clone(policy)),
        }
    }

    /// Dimensions of a window of observations and of a chunk of actions.
    pub fn shape(&self) -> PlanShape {
        match self {
            Self::Int(file) => file.model().shape(),
            Self::Float(policy) => policy.shape(),
        }
    }

    /// Dimensions in a control loop without latency of its own: a policy with latency plans from the
    /// older observations of a longer window.
    pub fn loop_shape(&self) -> PlanShape {
        let mut shape = self.shape();
        shape.n_obs_steps += match self {
            Self::Int(_) => 0,
            Self::Float(policy) => policy.config().n_latency_steps,
        };
        shape
    }

    /// Kind of PushT observation of the policy.
    ///
    /// # Errors
    /// If it is a policy of another task.
    pub fn observation(&self) -> Result<ObservationKind> {
        let (kind, task) = match self {
            Self::Int(file) => {
                let task = file.model().task();
                (ObservationKind::of_task(task), task)
            }
            Self::Float(policy) => (policy.observation(), policy.task().name.as_str()),
        };
        kind.with_context(|| format!("a policy of the task {task:?} can't play PushT"))
    }

    /// Creates a rollout from the current state of `env`; `seed` is the seed of the policy's noise.
    ///
    /// # Errors
    /// If it is a policy of another task.
    pub fn rollout(&self, env: PushTEnv, seed: u64, max_steps: usize) -> Result<Rollout<Horizon>> {
        let horizon = Horizon::new(self.loop_shape(), seed)?;
        Ok(Rollout::new(env, self.observation()?, horizon, max_steps)?)
    }

    /// Batched [`with_planner`](Self::with_planner); the integer engine has batches of [`BATCH`](pusht_core::quant::BATCH).
    pub fn with_batch_planner<R>(&self, f: impl FnOnce(BatchPlanner<'_>) -> R) -> R {
        match self {
            Self::Int(file) => {
                let model = file.model();
                let mut scratch = vec![0; IntPolicyBatch::scratch_len(model)];
                let policy = IntPolicyBatch::new(model, &mut scratch);
                let mut policy = policy.expect("as long as the model says");
                f(&mut |jobs| policy.plan(jobs))
            }
            Self::Float(policy) => {
                let mut policy = FloatPolicy::clone(policy);
                f(&mut |jobs| {
                    jobs.iter_mut()
                        .try_for_each(|job| policy.plan(job.window, job.noise, job.chunk))
                })
            }
        }
    }
}

/// Computes a batch of independent plans.
pub type BatchPlanner<'p> = &'p mut dyn FnMut(&mut [PlanJob<'_>]) -> Result<(), Error>;

/// Raw values of an observation for the normalised values -1 and 1, by its linear map.
pub fn observed_range(model: &Model<'_>, index: usize) -> [f64; 2] {
    const FAR: i32 = 1 << 24;
    let value = model.observation_value(index);
    let normalized = |fixed| -> f64 { value.normalize(fixed).to_num() };
    let offset = normalized(0);
    let scale = (normalized(FAR) - offset) / f64::from(FAR);
    let unit = (-f64::from(value.exponent)).exp2();
    [-1.0, 1.0].map(|y| (y - offset) / scale * unit)
}

/// Engine of a policy file, from its first bytes: the model file's magic, or a safetensors header.
pub fn kind_of(bytes: &[u8]) -> Option<EngineKind> {
    if bytes.starts_with(&MAGIC) {
        Some(EngineKind::Int)
    } else if bytes.get(8) == Some(&b'{') {
        Some(EngineKind::Float)
    } else {
        None
    }
}
