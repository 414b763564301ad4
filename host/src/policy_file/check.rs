//! Rules between the settings of a policy, checked before any memory is taken.

use super::{Conditioning, PolicyConfig};
use anyhow::{Result, ensure};
use pusht_core::policy::unet::{DownDims, FINAL_CONV_N_GROUPS};

/// Largest size of a network, an observation or an action that the float engine serves.
pub const MAX_DIM: usize = 1 << 14;

impl PolicyConfig {
    /// Checks sizes, steps and conditions for observations of `obs_dim` and actions of `action_dim`
    /// values.
    ///
    /// # Errors
    /// For the first rule that is broken: the setting, its value and what is supported.
    pub fn check(&self, obs_dim: usize, action_dim: usize) -> Result<()> {
        let levels = self.unet.down_dims.len();
        ensure!(
            (1..=DownDims::MAX_LEVELS).contains(&levels),
            "down_dims has {levels} levels, 1 to {} are supported",
            DownDims::MAX_LEVELS
        );
        self.check_steps()?;
        self.check_network()?;
        self.check_scheduler()?;
        self.check_conditions(obs_dim, action_dim)
    }

    fn check_network(&self) -> Result<()> {
        let unet = &self.unet;
        let sizes = [
            ("input_dim", unet.input_dim),
            ("diffusion_step_embed_dim", unet.diffusion_step_embed_dim),
            ("kernel_size", unet.kernel_size),
            ("n_groups", unet.n_groups),
            ("local_cond_dim", unet.local_cond_dim.max(1)),
            ("global_cond_dim", unet.global_cond_dim.max(1)),
        ];
        let levels = unet.down_dims.iter().map(|dim| ("down_dims", *dim));
        for (name, size) in sizes.into_iter().chain(levels) {
            ensure!(
                (1..=MAX_DIM).contains(&size),
                "{name}: {size} is not 1 to {MAX_DIM}"
            );
        }
        ensure!(
            unet.kernel_size % 2 == 1,
            "kernel_size is {}, only odd ones are supported: an even one changes the length",
            unet.kernel_size
        );
        let embed_dim = unet.diffusion_step_embed_dim;
        ensure!(
            embed_dim.is_multiple_of(2) && embed_dim >= 4,
            "diffusion_step_embed_dim is {embed_dim}, it must be even and at least 4"
        );
        for dim in &unet.down_dims {
            ensure!(
                dim.is_multiple_of(unet.n_groups),
                "n_groups is {}, which does not divide {dim} of down_dims",
                unet.n_groups
            );
        }
        ensure!(
            unet.down_dims[0].is_multiple_of(FINAL_CONV_N_GROUPS),
            "down_dims begins with {}, no multiple of {FINAL_CONV_N_GROUPS}, the groups of final_conv",
            unet.down_dims[0]
        );
        Ok(())
    }

    /// A number that is not finite could not be written to the file's JSON. What the schedulers
    /// themselves refuse is not repeated here, but for `eta`, which they take with each step.
    fn check_scheduler(&self) -> Result<()> {
        let scheduler = &self.scheduler;
        let numbers = [
            ("beta_start", scheduler.beta_start),
            ("beta_end", scheduler.beta_end),
            ("clip_sample_range", scheduler.clip_sample_range),
            ("eta", scheduler.eta),
        ];
        let betas = scheduler.trained_betas.iter().flatten();
        let betas = betas.map(|beta| ("trained_betas", *beta));
        let limits = scheduler.thresholding.iter().flat_map(|options| {
            [
                (
                    "dynamic_thresholding_ratio",
                    options.dynamic_thresholding_ratio,
                ),
                ("sample_max_value", options.sample_max_value),
            ]
        });
        for (name, value) in numbers.into_iter().chain(betas).chain(limits) {
            ensure!(
                value.is_finite(),
                "{name} is {value}, only finite numbers are supported"
            );
        }
        ensure!(
            (0.0..=1.0).contains(&scheduler.eta),
            "eta is {}, 0 to 1 is supported",
            scheduler.eta
        );
        Ok(())
    }

    fn check_steps(&self) -> Result<()> {
        ensure!(
            (1..=MAX_DIM).contains(&self.horizon),
            "horizon is {}, not 1 to {MAX_DIM}",
            self.horizon
        );
        let steps = [
            ("n_obs_steps", self.n_obs_steps),
            ("n_action_steps", self.n_action_steps),
            ("num_inference_steps", self.num_inference_steps),
        ];
        for (name, n) in steps {
            ensure!(n >= 1, "{name} is 0, it must be at least 1");
        }
        let (horizon, n_obs_steps) = (self.horizon, self.n_obs_steps);
        ensure!(
            n_obs_steps <= horizon,
            "n_obs_steps is {n_obs_steps}, more than the horizon of {horizon}"
        );
        let (predicted, first) = (self.trajectory_len(), self.first_action());
        ensure!(
            self.n_action_steps <= horizon
                && first.saturating_add(self.n_action_steps) <= predicted,
            "n_action_steps is {}: from prediction {first} on, {predicted} are predicted (horizon {horizon}, \
             n_latency_steps {})",
            self.n_action_steps,
            self.n_latency_steps
        );
        let what = match self.pred_action_steps_only {
            true => "n_action_steps",
            false => "horizon",
        };
        ensure!(
            predicted <= MAX_DIM,
            "{what} is {predicted} with n_latency_steps {}, at most {MAX_DIM} are supported",
            self.n_latency_steps
        );
        let multiple = 1 << (self.unet.down_dims.len() - 1);
        ensure!(
            predicted.is_multiple_of(multiple),
            "{what} is {predicted}, it must be a multiple of {multiple}: {} levels of down_dims halve it {} times",
            self.unet.down_dims.len(),
            self.unet.down_dims.len() - 1
        );
        Ok(())
    }

    fn check_conditions(&self, obs_dim: usize, action_dim: usize) -> Result<()> {
        let unet = &self.unet;
        ensure!(
            !self.pred_action_steps_only || self.conditioning == Conditioning::Global,
            "pred_action_steps_only needs obs_as_global_cond, the conditioning is {:?}",
            self.conditioning
        );
        let window = self.n_obs_steps.saturating_mul(obs_dim);
        let (input, global, local) = match self.conditioning {
            Conditioning::Global => (action_dim, window, 0),
            Conditioning::Local => (action_dim, 0, obs_dim),
            Conditioning::Inpainting => (action_dim + obs_dim, 0, 0),
        };
        let sizes = [
            ("input_dim", unet.input_dim, input),
            ("global_cond_dim", unet.global_cond_dim, global),
            ("local_cond_dim", unet.local_cond_dim, local),
        ];
        for (name, size, needed) in sizes {
            ensure!(
                size == needed,
                "{name} of the network is {size}, not {needed}: action_dim is {action_dim}, obs_dim {obs_dim}, \
                 n_obs_steps {}, the conditioning {:?}",
                self.n_obs_steps,
                self.conditioning
            );
        }
        Ok(())
    }
}
