//! The float policy as a planner, loaded from a file: the reference for the integer engine.

mod convert;

pub use convert::{scheduler_config, timesteps, unet_config};

use crate::policy_file::{self, PolicyConfig, Task, Tensors};
use anyhow::{Context, Result, ensure};
use convert::scheduler;
use pusht_core::Error;
use pusht_core::control::{PlanShape, Planner};
use pusht_core::noise::Noise;
use pusht_core::policy::unet::{ConditionalUnet1D, Observer, TensorSource, UnetInput, Unobserved};
use pusht_core::policy::{
    ActionPrediction, DiffusionUnetLowdimPolicy, LinearNormalizer, PolicyError, PolicyOptions,
};
use pusht_core::pusht::observation::ObservationKind;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// Largest number of training steps of a scheduler.
const MAX_TRAIN_TIMESTEPS: usize = 1000;

/// Largest working memory of a plan, in values of four bytes: a gigabyte.
const MAX_SCRATCH_LEN: usize = 1 << 28;

type Policy = DiffusionUnetLowdimPolicy<'static, Vec<f32>, Vec<f32>, MAX_TRAIN_TIMESTEPS>;

/// A loaded float policy.
#[derive(Clone, Debug)]
pub struct FloatPolicy {
    config: PolicyConfig,
    task: Task,
    policy: Policy,
    scratch: Vec<f32>,
    /// Known values of the trajectory, with inpainting.
    mask: Vec<bool>,
}

impl FloatPolicy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// If the file can't be read or is invalid; the error names the file.
    pub fn load(path: &Path) -> Result<Self> {
        let (config, tensors) = policy_file::load(path)?;
        Self::from_parts(config, &tensors)
            .with_context(|| format!("{}: not a usable policy", path.display()))
    }

    /// Creates a policy from a file's contents.
    ///
    /// # Errors
    /// If the sizes are inconsistent or too large, a tensor is missing or has the wrong shape, the
    /// scheduler's steps divide by zero, or the network or a normaliser overflows.
    pub fn from_parts(config: PolicyConfig, tensors: &Tensors) -> Result<Self> {
        let task = config.task()?;
        let (obs_dim, action_dim) = (task.observation.len(), task.action.len());
        for value in &task.action {
            ensure!(
                value.relative_to.is_none_or(|from| from < obs_dim),
                "action {} is counted from value {} of an observation that has {obs_dim}",
                value.name,
                value.relative_to.unwrap_or_default()
            );
        }
        config.check(obs_dim, action_dim)?;
        let unet = network(&config.unet, &Named::new(tensors))?;
        let options = PolicyOptions {
            horizon: config.horizon,
            obs_dim,
            action_dim,
            n_action_steps: config.n_latency_steps + config.n_action_steps,
            n_obs_steps: config.n_obs_steps,
            num_inference_steps: config.num_inference_steps,
            conditioning: config.conditioning.into(),
            pred_action_steps_only: config.pred_action_steps_only,
            oa_step_convention: config.oa_step_convention,
        };
        let (obs, action) = (normalizer(tensors, "obs")?, normalizer(tensors, "action")?);
        let policy = Policy::new(options, unet, scheduler(&config.scheduler)?, obs, action)?;
        let scratch_len = policy.scratch_len(1);
        ensure!(
            scratch_len <= MAX_SCRATCH_LEN,
            "a plan needs {scratch_len} values of memory, at most {MAX_SCRATCH_LEN} are supported"
        );
        let mut policy = Self {
            config,
            task,
            policy,
            scratch: vec![0.0; scratch_len],
            mask: Vec::new(),
        };
        policy.check_pass()?;
        Ok(policy)
    }

    /// Checks that one pass of the network, with zeros for all it is given, does not overflow:
    /// weights can be finite and still too large.
    fn check_pass(&mut self) -> Result<()> {
        let options = self.policy.options();
        let length = options.trajectory_len();
        let unet = self.policy.unet();
        let size = unet.config();
        let zeros = |n: usize| vec![0.0; n];
        let local_cond = size.local_cond_dim.map(|dim| zeros(length * dim));
        let global_cond = size.global_cond_dim.map(zeros);
        let timesteps: Vec<f32> = (self.policy.scheduler().timesteps().iter())
            .take(1)
            .map(|&timestep| timestep as f32)
            .collect();
        let input = UnetInput {
            batch: 1,
            sample: &zeros(length * size.input_dim),
            timesteps: &timesteps,
            local_cond: local_cond.as_deref(),
            global_cond: global_cond.as_deref(),
        };
        let mut output = zeros(length * size.input_dim);
        unet.forward(&input, &mut output, &mut self.scratch, &mut Unobserved)?;
        ensure!(
            output.iter().all(|value| value.is_finite()),
            "the network overflows: for zeros its output is not finite"
        );
        Ok(())
    }

    /// Settings of the policy.
    pub fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// Names and units of observations and actions.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Kind of PushT observation; `None` for other tasks.
    pub fn observation(&self) -> Option<ObservationKind> {
        self.config.observation.map(ObservationKind::from)
    }

    /// Network, scheduler and normalisers.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Raw values for the normalised values -1 and 1, of every observed value and every action.
    pub fn ranges(&self) -> [Vec<[f64; 2]>; 2] {
        self.policy.normalizers().map(|normalizer| {
            let [mut low, mut high] = [-1.0, 1.0].map(|y| vec![y; normalizer.dim()]);
            normalizer.unnormalize(&mut low);
            normalizer.unnormalize(&mut high);
            let pairs = low.into_iter().zip(high);
            pairs
                .map(|(low, high)| [f64::from(low), f64::from(high)])
                .collect()
        })
    }

    /// Rows and columns of a plan's initial noise: `[Tp][Da]` with global or local conditioning;
    /// `Da + Do` columns with inpainting; `Ta` rows if only the executed actions are predicted.
    pub fn noise_shape(&self) -> [usize; 2] {
        let options = self.policy.options();
        [options.trajectory_len(), options.trajectory_dim()]
    }

    /// Sets the number of passes of the network per plan.
    ///
    /// # Errors
    /// If the scheduler has fewer training steps.
    pub fn set_num_inference_steps(&mut self, passes: usize) -> Result<()> {
        self.policy.set_num_inference_steps(passes)?;
        self.config.num_inference_steps = passes;
        Ok(())
    }

    /// Indices of the predicted actions that are executed.
    pub fn action_steps(&self) -> Range<usize> {
        let steps = self.policy.options().action_steps();
        steps.start + self.config.n_latency_steps..steps.end
    }

    /// Sets the number of actions executed per plan.
    ///
    /// # Errors
    /// If they exceed the horizon.
    pub fn set_n_action_steps(&mut self, n_action_steps: usize) -> Result<()> {
        let n_predicted = self.config.n_latency_steps.saturating_add(n_action_steps);
        self.policy.set_n_action_steps(n_predicted)?;
        self.config.n_action_steps = n_action_steps;
        Ok(())
    }

    /// Plans the whole horizon for a batch of B plans. `windows` holds `[To][Do]` per plan; `noise`
    /// provides the initial samples (B x [`Self::noise_shape`]) and the scheduler's draws. Returns
    /// one action (`[Da]`) per row of the noise and plan; [`Self::action_steps`] are those to
    /// execute. `observer` receives every sub-module's output in every pass.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`] if a value is NaN or infinite, [`Error::NonFiniteAction`] if
    /// the plan overflows, [`Error::WrongLength`] if a window has another length.
    pub fn predict(
        &mut self,
        windows: &[&[f64]],
        noise: &mut (impl Noise + ?Sized),
        observer: &mut impl Observer,
    ) -> Result<Vec<f64>, Error> {
        let options = *self.policy.options();
        let window_len = options.n_obs_steps * options.obs_dim;
        let mut obs = Vec::with_capacity(windows.len() * window_len);
        for window in windows {
            check_len("window", window_len, window.len())?;
            obs.extend(window.iter().map(|value| *value as f32));
        }
        let batch = windows.len();
        let scratch_len = self.policy.scratch_len(batch);
        if self.scratch.len() < scratch_len {
            self.scratch.resize(scratch_len, 0.0);
        }
        let mask_len = self.policy.mask_len(batch);
        if self.mask.len() < mask_len {
            self.mask.resize(mask_len, false);
        }
        let plan_len = options.trajectory_len() * options.action_dim;
        let mut action_pred = vec![0.0; batch * plan_len];
        let prediction = ActionPrediction {
            action_pred: &mut action_pred,
            obs_pred: None,
        };
        let room = (self.scratch.as_mut_slice(), self.mask.as_mut_slice());
        self.policy
            .predict_action(&obs, noise, prediction, room, observer)
            .map_err(refusal)?;
        let mut actions: Vec<f64> = action_pred.into_iter().map(f64::from).collect();
        for (plan, window) in actions.chunks_exact_mut(plan_len).zip(windows) {
            let newest = &window[window_len - options.obs_dim..];
            for action in plan.chunks_exact_mut(options.action_dim) {
                for (value, of_task) in action.iter_mut().zip(&self.task.action) {
                    if let Some(from) = of_task.relative_to {
                        *value += newest[from];
                    }
                }
            }
        }
        Ok(actions)
    }
}

fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got {
        return Ok(());
    }
    Err(Error::WrongLength {
        what,
        expected,
        got,
    })
}

/// Maps an error of the policy; the rest was checked on loading.
fn refusal(error: PolicyError) -> Error {
    match error {
        PolicyError::NonFiniteObservation => Error::NonFiniteObservation,
        PolicyError::NonFiniteAction => Error::NonFiniteAction,
        PolicyError::WrongLength {
            what,
            expected,
            got,
        } => Error::WrongLength {
            what,
            expected,
            got,
        },
        other => unreachable!("a checked policy: {other}"),
    }
}

impl Planner for FloatPolicy {
    fn shape(&self) -> PlanShape {
        let options = self.policy.options();
        PlanShape {
            n_obs_steps: options.n_obs_steps,
            obs_dim: options.obs_dim,
            n_action_steps: self.config.n_action_steps,
            action_dim: options.action_dim,
        }
    }

    /// Also takes a window of as many observations more as the policy has latency steps, and plans
    /// from the older ones: a loop without latency of its own imitates it so.
    fn plan(
        &mut self,
        window: &[f64],
        noise: &mut dyn Noise,
        chunk: &mut [f64],
    ) -> Result<(), Error> {
        let dim = self.task.action.len();
        let steps = self.action_steps();
        check_len("chunk", dim * steps.len(), chunk.len())?;
        let late = self.config.n_latency_steps * self.task.observation.len();
        let window = match window.len().checked_sub(late) {
            Some(len) if len == self.shape().window_len() => &window[..len],
            _ => window,
        };
        let actions = self.predict(&[window], noise, &mut Unobserved)?;
        chunk.copy_from_slice(&actions[dim * steps.start..dim * steps.end]);
        Ok(())
    }
}

/// Tensors of the U-Net in a policy file; notes which ones the network has.
struct Named<'t> {
    tensors: &'t Tensors,
    asked: RefCell<BTreeSet<String>>,
}

impl<'t> Named<'t> {
    fn new(tensors: &'t Tensors) -> Self {
        Self {
            tensors,
            asked: RefCell::default(),
        }
    }
}

impl TensorSource for Named<'_> {
    fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])> {
        let name = format!("model.{name}");
        let tensor = self.tensors.get(&name)?;
        self.asked.borrow_mut().insert(name);
        Some((&tensor.shape, &tensor.data))
    }
}

/// Network with the weights of `source`.
///
/// # Errors
/// If a tensor is missing or has another shape than the settings imply. Memory is taken only where
/// there are as many values as the network has weights.
fn network(
    config: &policy_file::UnetConfig,
    source: &Named<'_>,
) -> Result<ConditionalUnet1D<Vec<f32>>> {
    let unet = unet_config(config)?;
    let n_values: usize = source
        .tensors
        .values()
        .map(|tensor| tensor.data.len())
        .sum();
    let n_needed = unet.n_parameters()?;
    ensure!(
        n_needed <= n_values,
        "a network with down_dims {:?} and kernel_size {} has {n_needed} weights, the file has {n_values} values",
        config.down_dims,
        config.kernel_size
    );
    let memory = vec![0.0; unet.weights_len()?];
    Ok(ConditionalUnet1D::new(unet, source, memory)?)
}

/// Names of the tensors that the network of `config` has, as in a policy file.
///
/// # Errors
/// As [`FloatPolicy::from_parts`], for the network.
pub fn network_tensors(
    config: &policy_file::UnetConfig,
    tensors: &Tensors,
) -> Result<BTreeSet<String>> {
    let source = Named::new(tensors);
    network(config, &source)?;
    Ok(source.asked.into_inner())
}

fn normalizer(tensors: &Tensors, field: &str) -> Result<LinearNormalizer<Vec<f32>>> {
    let name = |kind: &str| format!("normalizer.params_dict.{field}.{kind}");
    let find = |kind: &str| tensors.get(&name(kind)).map(|tensor| tensor.data.clone());
    let needed = |kind: &str| find(kind).with_context(|| format!("no tensor {}", name(kind)));
    let normalizer = LinearNormalizer::new(needed("scale")?, needed("offset")?);
    let normalizer = normalizer.with_context(|| name("scale"))?;
    match find("center") {
        Some(center) => normalizer
            .with_center(center)
            .with_context(|| name("center")),
        None => Ok(normalizer),
    }
}
