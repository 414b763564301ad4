//! `DiffusionUnetLowdimPolicy`: observations in, actions out, in raw units.

use super::sample::{Condition, SampleInput, Scheduler, conditional_sample, sample_scratch_len};
use super::{LinearNormalizer, PolicyError, expect_finite, expect_len};
use crate::noise::Noise;
use crate::policy::unet::{ConditionalUnet1D, Observer, UnetConfig};
use core::ops::Range;

/// How observations enter the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conditioning {
    /// All at once, through FiLM (`obs_as_global_cond`).
    Global,
    /// Position by position, zero after the first `To` (`obs_as_local_cond`).
    Local,
    /// As part of the trajectory, whose first `To` rows hold them (inpainting).
    Inpainting,
}

/// The options of `DiffusionUnetLowdimPolicy`, by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyOptions {
    /// `Tp`, the positions of a trajectory.
    pub horizon: usize,
    /// `Do`, the size of an observation.
    pub obs_dim: usize,
    /// `Da`, the size of an action.
    pub action_dim: usize,
    /// `Ta`, the actions that are executed.
    pub n_action_steps: usize,
    /// `To`, the observations that a plan is made from.
    pub n_obs_steps: usize,
    /// Passes of the network.
    pub num_inference_steps: usize,
    /// How observations enter the network.
    pub conditioning: Conditioning,
    /// Whether only the executed actions are predicted. Global conditioning only.
    pub pred_action_steps_only: bool,
    /// Whether the first executed action is that of the newest observation (`To - 1`), or the one
    /// after (`To`).
    pub oa_step_convention: bool,
}

/// Longest trajectory; keeps every product of sizes far from overflow.
const MAX_HORIZON: usize = 1 << 14;

impl PolicyOptions {
    /// Positions of the trajectory that the network sees.
    pub fn trajectory_len(&self) -> usize {
        match self.pred_action_steps_only {
            true => self.n_action_steps,
            false => self.horizon,
        }
    }

    /// Channels of that trajectory: `Da`, and `Do` more when inpainting.
    pub fn trajectory_dim(&self) -> usize {
        match self.conditioning {
            Conditioning::Inpainting => self.action_dim.saturating_add(self.obs_dim),
            _ => self.action_dim,
        }
    }

    /// The indices of the predicted actions that are executed.
    pub fn action_steps(&self) -> Range<usize> {
        let start = match (self.pred_action_steps_only, self.oa_step_convention) {
            (true, _) => 0,
            (false, true) => self.n_obs_steps.saturating_sub(1),
            (false, false) => self.n_obs_steps,
        };
        start..start.saturating_add(self.n_action_steps)
    }

    /// The sizes that the network must have.
    fn check(&self, unet: &UnetConfig) -> Result<(), PolicyError> {
        let global = self.n_obs_steps.saturating_mul(self.obs_dim);
        let (global, local) = match self.conditioning {
            Conditioning::Global => (Some(global), None),
            Conditioning::Local => (None, Some(self.obs_dim)),
            Conditioning::Inpainting => (None, None),
        };
        let length = self.trajectory_len();
        let rules = [
            (
                self.n_obs_steps >= 1 && self.n_action_steps >= 1 && self.num_inference_steps >= 1,
                "n_obs_steps, n_action_steps and num_inference_steps must be at least 1",
            ),
            (
                self.horizon <= MAX_HORIZON && length <= MAX_HORIZON,
                "the horizon, or the predicted length, is more than 16384",
            ),
            (
                self.n_obs_steps <= self.horizon,
                "n_obs_steps is larger than the horizon",
            ),
            (
                self.action_steps().end <= length,
                "the executed actions reach past the horizon",
            ),
            (
                !self.pred_action_steps_only || self.conditioning == Conditioning::Global,
                "pred_action_steps_only needs global conditioning",
            ),
            (
                length.is_multiple_of(unet.length_multiple()),
                "the predicted length must be a multiple of the network's length_multiple",
            ),
            (
                unet.input_dim == self.trajectory_dim(),
                "input_dim of the network is not that of the trajectory",
            ),
            (
                unet.global_cond_dim == global && unet.local_cond_dim == local,
                "the network's conditions are not those of the observations",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, rule)) => Err(PolicyError::Options(rule)),
        }
    }
}

/// The results of [`predict_action`](DiffusionUnetLowdimPolicy::predict_action), in raw units; the
/// executed rows are [`PolicyOptions::action_steps`].
#[derive(Debug)]
pub struct ActionPrediction<'a> {
    /// `[B][trajectory_len][Da]`.
    pub action_pred: &'a mut [f32],
    /// `[B][Tp][Do]`, when inpainting.
    pub obs_pred: Option<&'a mut [f32]>,
}

/// diffusion_policy's `DiffusionUnetLowdimPolicy`: network, scheduler and normalisers.
///
/// `W` and `V` hold the network's and the normalisers' values, `T` is the scheduler's capacity.
///
/// # Examples
/// ```
/// use pusht_core::noise::NoiseSource;
/// use pusht_core::policy::scheduler::{
///     DDIMOptions, DDIMScheduler, PredictionType, SchedulerConfig,
/// };
/// use pusht_core::policy::unet::{
///     ConditionalUnet1D, DownDims, TensorSource, UnetConfig, Unobserved,
/// };
/// use pusht_core::policy::{
///     ActionPrediction, Conditioning, DiffusionUnetLowdimPolicy, LinearNormalizer, PolicyOptions,
///     Scheduler,
/// };
///
/// // Zeros but for the last bias: the network always predicts the action (0.5, -0.5).
/// struct Constant;
///
/// impl TensorSource for Constant {
///     fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])> {
///         const ZEROS: &[f32] = &[0.0; 192];
///         let shape: &[usize] = match name {
///             "diffusion_step_encoder.1.weight" => &[16, 4],
///             "diffusion_step_encoder.1.bias" => &[16],
///             "diffusion_step_encoder.3.weight" => &[4, 16],
///             "diffusion_step_encoder.3.bias" => &[4],
///             "down_modules.0.0.blocks.0.block.0.weight" => &[8, 2, 3],
///             "down_modules.0.0.residual_conv.weight" => &[8, 2, 1],
///             "final_conv.1.weight" => &[2, 8, 1],
///             "final_conv.1.bias" => return Some((&[2], &[0.5, -0.5])),
///             _ if name.ends_with("cond_encoder.1.weight") => &[8, 14],
///             _ if name.ends_with("block.0.weight") => &[8, 8, 3],
///             _ => &[8],
///         };
///         Some((shape, &ZEROS[..shape.iter().product()]))
///     }
/// }
///
/// let config = UnetConfig {
///     input_dim: 2,
///     local_cond_dim: None,
///     global_cond_dim: Some(2 * 5),
///     diffusion_step_embed_dim: 4,
///     down_dims: DownDims::new(&[8])?,
///     kernel_size: 3,
///     n_groups: 8,
///     cond_predict_scale: false,
/// };
/// let memory = vec![0.0; config.weights_len()?];
/// let unet = ConditionalUnet1D::new(config, &Constant, memory)?;
/// let scheduler = SchedulerConfig {
///     num_train_timesteps: 100,
///     prediction_type: PredictionType::Sample,
///     ..SchedulerConfig::default()
/// };
/// let scheduler =
///     Scheduler::Ddim(DDIMScheduler::<100>::new(scheduler)?, DDIMOptions::default());
/// let options = PolicyOptions {
///     horizon: 16,
///     obs_dim: 5,
///     action_dim: 2,
///     n_action_steps: 8,
///     n_obs_steps: 2,
///     num_inference_steps: 10,
///     conditioning: Conditioning::Global,
///     pred_action_steps_only: false,
///     oa_step_convention: true,
/// };
/// // From 0..512 px to -1..1.
/// let obs_normalizer = LinearNormalizer::new(vec![1.0 / 256.0; 5], vec![-1.0; 5])?;
/// let action_normalizer = LinearNormalizer::new(vec![1.0 / 256.0; 2], vec![-1.0; 2])?;
/// let policy = DiffusionUnetLowdimPolicy::new(
///     options, unet, scheduler, obs_normalizer, action_normalizer,
/// )?;
///
/// let obs = [256.0; 2 * 5];
/// let mut action_pred = [0.0; 16 * 2];
/// let to = ActionPrediction { action_pred: &mut action_pred, obs_pred: None };
/// let (mut scratch, mut mask) = (vec![0.0; policy.scratch_len(1)], []);
/// let room = (scratch.as_mut_slice(), mask.as_mut_slice());
/// policy.predict_action(&obs, &mut NoiseSource::new(0), to, room, &mut Unobserved)?;
/// let executed = &action_pred.as_chunks::<2>().0[options.action_steps()];
/// assert_eq!(executed, [[384.0, 128.0]; 8]);
/// # Ok::<(), pusht_core::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct DiffusionUnetLowdimPolicy<'a, W, V, const T: usize> {
    options: PolicyOptions,
    unet: ConditionalUnet1D<W>,
    scheduler: Scheduler<'a, T>,
    obs_normalizer: LinearNormalizer<V>,
    action_normalizer: LinearNormalizer<V>,
}

impl<'a, W: AsRef<[f32]>, V: AsRef<[f32]>, const T: usize> DiffusionUnetLowdimPolicy<'a, W, V, T> {
    /// Puts the parts together, checks that they fit, and sets the scheduler's timesteps.
    ///
    /// # Errors
    /// [`PolicyError::Options`] for the first rule broken, by the options or between them and the
    /// network; [`PolicyError::WrongLength`] if a normaliser has another number of features;
    /// [`PolicyError::Scheduler`] for a number of inference steps that the scheduler refuses, or a
    /// step without a finite result.
    pub fn new(
        options: PolicyOptions,
        unet: ConditionalUnet1D<W>,
        mut scheduler: Scheduler<'a, T>,
        obs_normalizer: LinearNormalizer<V>,
        action_normalizer: LinearNormalizer<V>,
    ) -> Result<Self, PolicyError> {
        options.check(unet.config())?;
        let (obs, action) = (obs_normalizer.dim(), action_normalizer.dim());
        expect_len("normalizer of obs", obs, options.obs_dim)?;
        expect_len("normalizer of action", action, options.action_dim)?;
        scheduler.set_timesteps(options.num_inference_steps)?;
        scheduler.check_chain()?;
        Ok(Self {
            options,
            unet,
            scheduler,
            obs_normalizer,
            action_normalizer,
        })
    }

    /// The options.
    pub fn options(&self) -> &PolicyOptions {
        &self.options
    }

    /// The network.
    pub fn unet(&self) -> &ConditionalUnet1D<W> {
        &self.unet
    }

    /// The normalisers of observations and of actions.
    pub fn normalizers(&self) -> [&LinearNormalizer<V>; 2] {
        [&self.obs_normalizer, &self.action_normalizer]
    }

    /// The scheduler, with its timesteps set.
    pub fn scheduler(&self) -> &Scheduler<'a, T> {
        &self.scheduler
    }

    /// Sets the number of passes.
    ///
    /// # Errors
    /// [`PolicyError::Scheduler`] if the scheduler refuses it; the policy is then as before.
    pub fn set_num_inference_steps(&mut self, passes: usize) -> Result<(), PolicyError> {
        self.scheduler.set_timesteps(passes)?;
        if let Err(error) = self.scheduler.check_chain() {
            self.scheduler
                .set_timesteps(self.options.num_inference_steps)?;
            return Err(error.into());
        }
        self.options.num_inference_steps = passes;
        Ok(())
    }

    /// Sets the number of actions that are executed.
    ///
    /// # Errors
    /// [`PolicyError::Options`] if they reach past the horizon; the policy is then as before.
    pub fn set_n_action_steps(&mut self, n_action_steps: usize) -> Result<(), PolicyError> {
        let options = PolicyOptions {
            n_action_steps,
            ..self.options
        };
        options.check(self.unet.config())?;
        self.options = options;
        Ok(())
    }

    /// Values of scratch memory that [`Self::predict_action`] needs for `batch` plans.
    pub fn scratch_len(&self, batch: usize) -> usize {
        let (length, config) = (self.options.trajectory_len(), self.unet.config());
        sample_scratch_len(config, batch, length)
            + batch * length * config.input_dim
            + self.observed_len(batch)
    }

    /// Values of `mask` that [`Self::predict_action`] needs for `batch` plans: none unless
    /// inpainting.
    pub fn mask_len(&self, batch: usize) -> usize {
        match self.options.conditioning {
            Conditioning::Inpainting => {
                batch * self.options.horizon * self.options.trajectory_dim()
            }
            _ => 0,
        }
    }

    /// Values of the normalised observations in the shape that the network takes.
    fn observed_len(&self, batch: usize) -> usize {
        let PolicyOptions {
            obs_dim,
            n_obs_steps,
            horizon,
            ..
        } = self.options;
        batch
            * match self.options.conditioning {
                Conditioning::Global => n_obs_steps * obs_dim,
                Conditioning::Local => horizon * obs_dim,
                Conditioning::Inpainting => horizon * self.options.trajectory_dim(),
            }
    }

    /// Predicts actions from `obs`, `[B][To][Do]` in raw units, oldest first. `noise` is drawn for
    /// the whole batch at once. `scratch` and `mask` have at least [`Self::scratch_len`] and
    /// [`Self::mask_len`] values.
    ///
    /// # Errors
    /// [`PolicyError::NonFiniteObservation`] for a NaN or infinite value;
    /// [`PolicyError::NonFiniteAction`] if the plan overflows, with `to` overwritten;
    /// [`PolicyError::WrongLength`] if a slice has not the shape above or is too short;
    /// [`PolicyError::Options`] if observations are asked for without inpainting.
    pub fn predict_action<O: Observer>(
        &self,
        obs: &[f32],
        noise: &mut (impl Noise + ?Sized),
        to: ActionPrediction<'_>,
        (scratch, mask): (&mut [f32], &mut [bool]),
        observer: &mut O,
    ) -> Result<(), PolicyError> {
        let options = &self.options;
        let row = options.n_obs_steps * options.obs_dim;
        let batch = obs.len() / row;
        expect_len("obs", obs.len(), batch.max(1) * row)?;
        let len = batch * options.trajectory_len() * options.trajectory_dim();
        self.check_output(batch, &to)?;
        let needed = (self.scratch_len(batch), self.mask_len(batch));
        if scratch.len() < needed.0 || mask.len() < needed.1 {
            return expect_len(
                "scratch and mask",
                scratch.len() + mask.len(),
                needed.0 + needed.1,
            );
        }
        if obs.iter().any(|v| !v.is_finite()) {
            return Err(PolicyError::NonFiniteObservation);
        }
        let (trajectory, scratch) = scratch.split_at_mut(len);
        let (observed, scratch) = scratch.split_at_mut(self.observed_len(batch));
        self.lay_out(obs, observed, mask);
        // Normalised, a value that is finite can have overflowed.
        expect_finite(observed)?;
        let mut input = SampleInput {
            batch,
            condition: None,
            local_cond: None,
            global_cond: None,
        };
        match options.conditioning {
            Conditioning::Global => input.global_cond = Some(observed),
            Conditioning::Local => input.local_cond = Some(observed),
            Conditioning::Inpainting => {
                let (data, mask) = (&*observed, &mask[..needed.1]);
                input.condition = Some(Condition { data, mask });
            }
        }
        let model = (&self.unet, &self.scheduler);
        conditional_sample(model, &input, noise, trajectory, scratch, observer)?;
        self.hand_over(trajectory, to)
    }

    fn check_output(&self, batch: usize, to: &ActionPrediction<'_>) -> Result<(), PolicyError> {
        let rows = batch * self.options.trajectory_len();
        let actions = rows * self.options.action_dim;
        expect_len("action_pred", to.action_pred.len(), actions)?;
        match &to.obs_pred {
            None => Ok(()),
            Some(_) if self.options.conditioning != Conditioning::Inpainting => Err(
                PolicyError::Options("observations are predicted only when inpainting"),
            ),
            Some(obs) => expect_len("obs_pred", obs.len(), rows * self.options.obs_dim),
        }
    }

    /// Normalises `obs` into the shape that the network takes; when inpainting, `mask` marks the
    /// known values.
    fn lay_out(&self, obs: &[f32], observed: &mut [f32], mask: &mut [bool]) {
        let options = &self.options;
        let (obs_dim, row) = (options.obs_dim, options.n_obs_steps * options.obs_dim);
        let plans = obs.chunks_exact(row);
        observed.fill(0.0);
        mask.fill(false);
        match options.conditioning {
            Conditioning::Global => {
                observed.copy_from_slice(obs);
                self.obs_normalizer.normalize(observed);
            }
            Conditioning::Local => {
                for (to, from) in observed
                    .chunks_exact_mut(options.horizon * obs_dim)
                    .zip(plans)
                {
                    to[..row].copy_from_slice(from);
                    self.obs_normalizer.normalize(&mut to[..row]);
                }
            }
            Conditioning::Inpainting => {
                let dim = options.trajectory_dim();
                let plan_len = options.horizon * dim;
                for (plan, from) in plans.enumerate() {
                    for (step, values) in from.chunks_exact(obs_dim).enumerate() {
                        let end = plan * plan_len + (step + 1) * dim;
                        let place = end - obs_dim..end;
                        observed[place.clone()].copy_from_slice(values);
                        self.obs_normalizer.normalize(&mut observed[place.clone()]);
                        mask[place].fill(true);
                    }
                }
            }
        }
    }

    /// Splits the trajectory into actions and observations and un-normalises them.
    fn hand_over(
        &self,
        trajectory: &[f32],
        mut to: ActionPrediction<'_>,
    ) -> Result<(), PolicyError> {
        let PolicyOptions {
            action_dim,
            obs_dim,
            ..
        } = self.options;
        let rows = trajectory.chunks_exact(self.options.trajectory_dim());
        for (index, row) in rows.enumerate() {
            let (action, obs) = row.split_at(action_dim);
            to.action_pred[index * action_dim..][..action_dim].copy_from_slice(action);
            if let Some(out) = &mut to.obs_pred {
                out[index * obs_dim..][..obs_dim].copy_from_slice(obs);
            }
        }
        self.action_normalizer.unnormalize(to.action_pred);
        expect_finite(to.action_pred)?;
        if let Some(out) = to.obs_pred {
            self.obs_normalizer.unnormalize(out);
            expect_finite(out)?;
        }
        Ok(())
    }
}
