//! Small float policies with random weights, spread as PyTorch initialises them.
#![allow(dead_code)]

use pusht_host::policy_file::{
    ActionFrame, Conditioning, Observation, PolicyConfig, SchedulerConfig, Task, Tensor, Tensors,
    UnetConfig,
};
use std::collections::BTreeMap;

/// Two levels, two observations of the vertices, 10 DDIM passes that predict the noise.
pub fn small_config() -> PolicyConfig {
    PolicyConfig {
        observation: Some(Observation::Vertices),
        task: None,
        n_obs_steps: 2,
        horizon: 16,
        n_action_steps: 8,
        conditioning: Conditioning::Global,
        pred_action_steps_only: false,
        oa_step_convention: true,
        n_latency_steps: 0,
        action_frame: ActionFrame::Window,
        unet: UnetConfig {
            input_dim: 2,
            local_cond_dim: 0,
            global_cond_dim: 36,
            diffusion_step_embed_dim: 16,
            down_dims: vec![16, 32],
            kernel_size: 3,
            n_groups: 8,
            cond_predict_scale: true,
        },
        scheduler: SchedulerConfig::default(),
        num_inference_steps: 10,
        provenance: BTreeMap::new(),
    }
}

/// Tensors for `config`; `seed` determines them.
pub fn random_tensors(config: &PolicyConfig, seed: u64) -> Tensors {
    let mut random = Builder {
        state: seed,
        tensors: Tensors::new(),
    };
    let unet = &config.unet;
    let (embed, dims) = (unet.diffusion_step_embed_dim, &unet.down_dims);
    random.linear("diffusion_step_encoder.1", &[4 * embed, embed]);
    random.linear("diffusion_step_encoder.3", &[embed, 4 * embed]);
    let mut n_in = unet.input_dim;
    for (level, dim) in dims.iter().enumerate() {
        random.block(&format!("down_modules.{level}.0"), unet, n_in, *dim);
        random.block(&format!("down_modules.{level}.1"), unet, *dim, *dim);
        if level + 1 < dims.len() {
            random.linear(&format!("down_modules.{level}.2.conv"), &[*dim, *dim, 3]);
        }
        n_in = *dim;
    }
    for i in 0..2 {
        random.block(&format!("mid_modules.{i}"), unet, n_in, n_in);
    }
    for (i, dim) in dims.iter().rev().skip(1).enumerate() {
        random.block(&format!("up_modules.{i}.0"), unet, 2 * n_in, *dim);
        random.block(&format!("up_modules.{i}.1"), unet, *dim, *dim);
        random.linear(&format!("up_modules.{i}.2.conv"), &[*dim, *dim, 4]);
        n_in = *dim;
    }
    random.conv_block("final_conv.0", unet.kernel_size, n_in, n_in);
    // A tenth of PyTorch's spread: large outputs of an untrained network make the sampler chaotic.
    random.insert(
        "final_conv.1.weight".into(),
        &[unet.input_dim, n_in, 1],
        0.1 / (n_in as f32).sqrt(),
        0.0,
    );
    random.insert("final_conv.1.bias".into(), &[unet.input_dim], 0.1, 0.0);
    let mut tensors = random.tensors;
    let task = config.task().unwrap();
    for (field, n) in [
        ("obs", task.observation.len()),
        ("action", task.action.len()),
    ] {
        let values = (0..n).map(|index| affine(config, index));
        let (scale, offset) = values.unzip::<f32, f32, Vec<_>, Vec<_>>();
        for (kind, data) in [("scale", scale), ("offset", offset)] {
            let name = format!("normalizer.params_dict.{field}.{kind}");
            let shape = vec![n];
            tensors.insert(name, Tensor { shape, data });
        }
    }
    tensors
}

/// Scale and offset of value `index`: PushT's pixels, or in turn small, large, lopsided and wide values of another task.
fn affine(config: &PolicyConfig, index: usize) -> (f32, f32) {
    match config.observation {
        Some(_) => (1.0 / 256.0, -1.0),
        None => [(3.0, 0.0), (1.0 / 256.0, -1.0), (40.0, -6.0), (0.001, 0.5)][index % 4],
    }
}

/// Windows of observations of another task, uniform over the range of each value.
pub fn random_windows(config: &PolicyConfig, n: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = Builder {
        state: seed,
        tensors: Tensors::new(),
    };
    let obs_dim = config.task().unwrap().observation.len();
    let mut value = |index: usize| {
        let (scale, offset) = affine(config, index % obs_dim);
        f64::from((random.uniform() - offset) / scale)
    };
    (0..n)
        .map(|_| (0..config.n_obs_steps * obs_dim).map(&mut value).collect())
        .collect()
}

/// A policy of `task`, otherwise as [`small_config`], with 3 DDIM passes.
pub fn config_of(
    task: Task,
    n_obs_steps: usize,
    horizon: usize,
    down_dims: &[usize],
) -> PolicyConfig {
    let mut config = small_config();
    config.n_obs_steps = n_obs_steps;
    config.horizon = horizon;
    config.n_action_steps = horizon / 2;
    config.num_inference_steps = 3;
    config.unet.input_dim = task.action.len();
    config.unet.global_cond_dim = n_obs_steps * task.observation.len();
    config.unet.down_dims = down_dims.to_vec();
    (config.observation, config.task) = (None, Some(task));
    config
}

struct Builder {
    state: u64,
    tensors: Tensors,
}

impl Builder {
    /// Uniform in [-1, 1).
    fn uniform(&mut self) -> f32 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.state >> 40) as f32) / (1 << 23) as f32 - 1.0
    }

    fn insert(&mut self, name: String, shape: &[usize], spread: f32, centre: f32) {
        let data = (0..shape.iter().product())
            .map(|_| centre + spread * self.uniform())
            .collect();
        self.tensors.insert(
            format!("model.{name}"),
            Tensor {
                shape: shape.to_vec(),
                data,
            },
        );
    }

    /// Weight and bias of a linear layer or convolution.
    fn linear(&mut self, path: &str, shape: &[usize]) {
        let fan_in: usize = shape[1..].iter().product();
        let spread = 1.0 / (fan_in as f32).sqrt();
        self.insert(format!("{path}.weight"), shape, spread, 0.0);
        self.insert(format!("{path}.bias"), &shape[..1], spread, 0.0);
    }

    fn conv_block(&mut self, path: &str, taps: usize, n_in: usize, n_out: usize) {
        self.linear(&format!("{path}.block.0"), &[n_out, n_in, taps]);
        self.insert(format!("{path}.block.1.weight"), &[n_out], 0.2, 1.0);
        self.insert(format!("{path}.block.1.bias"), &[n_out], 0.2, 0.0);
    }

    fn block(&mut self, path: &str, unet: &UnetConfig, n_in: usize, n_out: usize) {
        self.conv_block(&format!("{path}.blocks.0"), unet.kernel_size, n_in, n_out);
        self.conv_block(&format!("{path}.blocks.1"), unet.kernel_size, n_out, n_out);
        let film_len = if unet.cond_predict_scale {
            2 * n_out
        } else {
            n_out
        };
        let n_condition = unet.diffusion_step_embed_dim + unet.global_cond_dim;
        self.linear(&format!("{path}.cond_encoder.1"), &[film_len, n_condition]);
        if n_in != n_out {
            self.linear(&format!("{path}.residual_conv"), &[n_out, n_in, 1]);
        }
    }
}
