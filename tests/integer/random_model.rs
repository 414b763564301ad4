//! Small quantised networks with random weights, for tests that need a model but no trained policy.

use pusht_core::quant::{Factor, LANES, WeightBits};
use pusht_host::policy_file::{ActionFrame, Observation, Task};
pub use pusht_host::quantize::file::Settings;
use pusht_host::quantize::file::{Affine, Block, ConvBlock, Layer, ModelFile};
use pusht_host::quantize::file::{Pass, Product, Row, ValueFormat};

/// Settings of the first committed fixture: every part of the format, as small as possible.
pub fn tiny_settings() -> Settings {
    Settings {
        n_obs_steps: 2,
        horizon: 8,
        n_action_steps: 4,
        first_action: 1,
        is_inpainting: false,
        down_dims: vec![8, 16],
        kernel_size: 3,
        n_groups: 4,
        final_n_groups: 8,
        film_has_scale: true,
        sample_exponent: 12,
        condition_exponent: 13,
    }
}

/// Settings of the committed fixture whose observations are part of the trajectory.
pub fn inpainting_settings() -> Settings {
    Settings {
        is_inpainting: true,
        first_action: 2,
        ..tiny_settings()
    }
}

/// The task of the committed fixtures: PushT, seen as its five state values.
pub fn tiny_task() -> Task {
    Observation::State.task(ActionFrame::Window)
}

/// A model with these settings for this task; `seed` determines its weights.
pub fn random_model(settings: Settings, task: Task, n_passes: usize, seed: u64) -> ModelFile {
    let mut random = Random(seed);
    let (obs_dim, action_dim) = (task.observation.len(), task.action.len());
    let input_dim = match settings.is_inpainting {
        true => action_dim + obs_dim,
        false => action_dim,
    };
    let layers = random.layers(&settings, [obs_dim, input_dim], n_passes);
    let n_channels = settings.down_dims[0];
    let groups = settings.final_n_groups;
    ModelFile {
        passes: (0..n_passes).map(|i| pass(i, n_passes)).collect(),
        // [0, 512) in Q16 to [-1, 1) in Q16 and back from I8F24.
        observation_values: vec![value(1.0 / 256.0, -(1 << 16)); obs_dim],
        action_values: vec![value(1.0, 256 << 16); action_dim],
        task,
        final_exponent: 12,
        final_block: random.conv_block(
            n_channels,
            n_channels,
            settings.kernel_size,
            settings.horizon,
            groups,
        ),
        final_conv: random.rows(input_dim, n_channels, 4000.0),
        provenance: format!("random weights, seed {seed}"),
        layers,
        settings,
    }
}

/// The same model with other weights, of 4 bits in every second product.
pub fn mixed(mut model: ModelFile) -> ModelFile {
    for product in model.products_mut().into_iter().step_by(2) {
        product.bits = WeightBits::Four;
        for row in &mut product.rows {
            // A fourth of the scale for four times the weights, which are rounded down.
            row.factor.shift += 2;
            row.weights.iter_mut().for_each(|w| *w = (4 * *w) & !15);
        }
    }
    model
}

/// A DDIM-like pass; all but the last draw noise.
fn pass(index: usize, n_passes: usize) -> Pass {
    let draws_noise = index + 1 < n_passes;
    let one = 1 << 28;
    Pass {
        timestep: (n_passes - 1 - index) as u32,
        draws_noise,
        clean: [one, -one / 2],
        clean_shift: 28,
        clip: 1 << 24,
        next: [
            one / 2,
            one / 4,
            one / 4,
            if draws_noise { one / 8 } else { 0 },
        ],
        next_shift: 28,
    }
}

fn value(scale: f64, offset: i32) -> ValueFormat {
    let factor = factor(scale);
    ValueFormat {
        exponent: 16,
        affine: Affine { factor, offset },
    }
}

fn factor(scale: f64) -> Factor {
    let shift = 30 - scale.log2().floor() as u32;
    Factor {
        multiplier: (scale * f64::from(shift).exp2()) as i32,
        shift,
    }
}

struct Random(u64);

impl Random {
    /// An integer from `-limit` to `limit`.
    fn int(&mut self, limit: i32) -> i32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) as i32).rem_euclid(2 * limit + 1) - limit
    }

    /// Rows whose outputs spread about `amplification` times as far as their inputs.
    fn rows(&mut self, n_rows: usize, window: usize, amplification: f64) -> Product {
        // The weights of a wide row are smaller: its sum has to stay within 32 bits.
        let largest = 30.min(100_000 / window as i32);
        let spread = f64::from(largest) / 3f64.sqrt() * (window as f64).sqrt();
        let scale = amplification / spread;
        let row = |_| Row {
            bias: self.int(10_000),
            factor: factor(scale),
            weights: (0..window).map(|_| self.int(largest) as i8).collect(),
        };
        (0..n_rows).map(row).collect::<Vec<_>>().into()
    }

    fn conv_block(
        &mut self,
        n_in: usize,
        n_out: usize,
        taps: usize,
        length: usize,
        n_groups: usize,
    ) -> ConvBlock {
        let group_len = length * n_out / n_groups;
        let n = group_len as f64;
        ConvBlock {
            conv_exponent: 11,
            conv: self.rows(n_out, taps * n_in, 1.0),
            gamma_exponent: 13,
            eps: (1e-5 * n * n * f64::from(1 << 22)) as u64,
            parameters: (0..n_out)
                .map(|_| [8192 + self.int(4000), self.int(30_000)])
                .collect(),
        }
    }

    fn block(
        &mut self,
        settings: &Settings,
        window_len: usize,
        n_passes: usize,
        [n_in, n_out]: [usize; 2],
        length: usize,
    ) -> Layer {
        let condition = window_len.next_multiple_of(LANES);
        let film_len = if settings.film_has_scale {
            2 * n_out
        } else {
            n_out
        };
        let (taps, groups) = (settings.kernel_size, settings.n_groups);
        Layer::Block(Box::new(Block {
            hidden_exponent: 11,
            residual_exponent: 11,
            exponent: 11,
            film_exponent: 12,
            first: self.conv_block(n_in.next_multiple_of(LANES), n_out, taps, length, groups),
            film: match settings.is_inpainting {
                true => Product::default(),
                false => self.rows(film_len, condition, 0.5),
            },
            film_steps: (0..n_passes * film_len)
                .map(|_| self.int(4096) as i16)
                .collect(),
            second: self.conv_block(n_out, n_out, taps, length, groups),
            residual: (n_in != n_out).then(|| self.rows(n_out, n_in.next_multiple_of(LANES), 0.5)),
        }))
    }

    fn layers(
        &mut self,
        settings: &Settings,
        [obs_dim, input_dim]: [usize; 2],
        n_passes: usize,
    ) -> Vec<Layer> {
        let dims = &settings.down_dims;
        let window_len = settings.n_obs_steps * obs_dim;
        let block = |random: &mut Self, dims, length| {
            random.block(settings, window_len, n_passes, dims, length)
        };
        let (mut layers, mut n_in, mut length) = (Vec::new(), input_dim, settings.horizon);
        for (level, dim) in dims.iter().copied().enumerate() {
            layers.push(block(self, [n_in, dim], length));
            layers.push(block(self, [dim, dim], length));
            n_in = dim;
            if level + 1 < dims.len() {
                layers.push(Layer::Resample(11, vec![self.rows(dim, 3 * dim, 0.9)]));
                length /= 2;
            }
        }
        for _ in 0..2 {
            layers.push(block(self, [n_in, n_in], length));
        }
        for dim in dims.iter().rev().skip(1).copied() {
            layers.push(block(self, [2 * n_in, dim], length));
            layers.push(block(self, [dim, dim], length));
            let phases = vec![self.rows(dim, 2 * dim, 0.9), self.rows(dim, 2 * dim, 0.9)];
            layers.push(Layer::Resample(11, phases));
            (n_in, length) = (dim, 2 * length);
        }
        layers
    }
}
