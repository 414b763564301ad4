//! Forward pass of diffusion_policy's `ConditionalUnet1D` on tensors that record gradients.
//!
//! Activations are (L, B, C): steps of the sequence outermost, so that the shifted views of a convolution are
//! contiguous and each tap is one matrix product without a copy; channels innermost, so that linear layers
//! need no transposition. B batch, L length, C channels.

use super::parameters::{Layout, down_levels, up_levels};
use crate::policy_file::UnetConfig;
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::HashMap;

/// PyTorch's `GroupNorm` default.
const GROUP_NORM_EPS: f64 = 1e-5;

/// Groups of the last convolution block. diffusion_policy does not hand `n_groups` down to it, so the default
/// of its `Conv1dBlock` holds whatever the configuration says.
const FINAL_GROUPS: usize = 8;

/// A U-Net's parameters as leaves of the gradient: for each its taps, (inputs, outputs).
pub struct Unet<'a> {
    config: &'a UnetConfig,
    layout: &'a Layout,
    leaves: HashMap<&'a str, Vec<Tensor<2>>>,
}

impl<'a> Unet<'a> {
    /// The U-Net of `config` with the flat `values` of `layout`. On a device that records gradients they can
    /// be asked for with [`Unet::gradients`].
    pub fn new(
        config: &'a UnetConfig,
        layout: &'a Layout,
        values: &[f32],
        device: &Device,
    ) -> Self {
        let leaves = layout.parameters.iter().map(|parameter| {
            let [_, n_in, n_out] = parameter.stored_shape();
            let values = &values[parameter.offset..][..parameter.n_values()];
            let leaf = |tap: &[f32]| {
                let data = TensorData::new(tap.to_vec(), [n_in, n_out]);
                let tensor = Tensor::from_data(data, device);
                match device.is_autodiff() {
                    true => tensor.require_grad(),
                    false => tensor,
                }
            };
            let taps = values.chunks_exact(n_in * n_out).map(leaf).collect();
            (parameter.name.as_str(), taps)
        });
        Self {
            config,
            layout,
            leaves: leaves.collect(),
        }
    }

    /// Gradient of `loss` (one value) for all parameters, flat as in the layout.
    pub fn gradients(&self, loss: &Tensor<1>) -> Vec<f32> {
        let gradients = loss.backward();
        let mut flat = Vec::with_capacity(self.layout.n_values());
        for parameter in &self.layout.parameters {
            for leaf in &self.leaves[parameter.name.as_str()] {
                match leaf.grad(&gradients) {
                    Some(gradient) => flat.extend(values_of(gradient)),
                    None => flat.resize(flat.len() + leaf.shape().num_elements(), 0.0),
                }
            }
        }
        flat
    }

    /// Predicts from a noisy `sample` (Tp, B, A), the embedding of its diffusion step
    /// ([`step_embedding`], (B, E)) and the global condition (B, To * obs) a tensor like `sample`.
    pub fn forward(
        &self,
        sample: Tensor<3>,
        step_embedding: Tensor<2>,
        global_cond: Tensor<2>,
    ) -> Tensor<3> {
        let step = self.linear("diffusion_step_encoder.1", step_embedding);
        let step = self.linear("diffusion_step_encoder.3", mish(step));
        // Every residual block looks at the condition through the same activation.
        let cond = mish(Tensor::cat(vec![step, global_cond], 1));

        let mut x = sample;
        let mut skips = Vec::new();
        for (level, channels) in down_levels(self.config).enumerate() {
            let path = format!("down_modules.{level}");
            x = self.residual_block(&format!("{path}.0"), x, &cond);
            x = self.residual_block(&format!("{path}.1"), x, &cond);
            skips.push(x.clone());
            if channels.resamples {
                x = self.downsample(&format!("{path}.2.conv"), x);
            }
        }
        x = self.residual_block("mid_modules.0", x, &cond);
        x = self.residual_block("mid_modules.1", x, &cond);
        for (level, _) in up_levels(self.config).enumerate() {
            let path = format!("up_modules.{level}");
            let skip = skips.pop().into_iter();
            x = Tensor::cat([x].into_iter().chain(skip).collect(), 2);
            x = self.residual_block(&format!("{path}.0"), x, &cond);
            x = self.residual_block(&format!("{path}.1"), x, &cond);
            x = self.upsample(&format!("{path}.2.conv"), x);
        }
        x = self.conv_block("final_conv.0", x, FINAL_GROUPS);
        self.conv("final_conv.1", x)
    }

    /// Convolution block, FiLM (arXiv 1709.07871), convolution block, and the input added.
    fn residual_block(&self, path: &str, x: Tensor<3>, cond: &Tensor<2>) -> Tensor<3> {
        let out = self.conv_block(&format!("{path}.blocks.0"), x.clone(), self.config.n_groups);
        let [_, batch, channels] = out.dims();
        let film = self.linear(&format!("{path}.cond_encoder.1"), cond.clone());
        let columns = |part: usize| {
            let columns = film.clone().narrow(1, part * channels, channels);
            columns.reshape([1, batch, channels])
        };
        let out = match self.config.cond_predict_scale {
            true => out * columns(0) + columns(1),
            false => out + columns(0),
        };
        let out = self.conv_block(&format!("{path}.blocks.1"), out, self.config.n_groups);
        let residual = format!("{path}.residual_conv");
        match self
            .leaves
            .contains_key(format!("{residual}.weight").as_str())
        {
            true => out + self.conv(&residual, x),
            false => out + x,
        }
    }

    fn conv_block(&self, path: &str, x: Tensor<3>, groups: usize) -> Tensor<3> {
        let x = self.conv(&format!("{path}.block.0"), x);
        mish(self.group_norm(&format!("{path}.block.1"), x, groups))
    }

    /// `x` (B, inputs) times the weight, plus the bias.
    fn linear(&self, path: &str, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight(path)[0].clone()) + self.vector(path, "bias")
    }

    /// Convolution of stride 1 that keeps the length; the number of taps is odd.
    fn conv(&self, path: &str, x: Tensor<3>) -> Tensor<3> {
        let length = x.dims()[0];
        let taps = self.weight(path);
        let padded = pad_length(x, taps.len() / 2, taps.len() / 2);
        let shifted = |tap: usize| padded.clone().narrow(0, tap, length);
        let terms = taps
            .iter()
            .enumerate()
            .map(|(tap, weight)| (shifted(tap), weight));
        self.sum_of_products(path, terms)
    }

    /// Convolution of 3 taps, stride 2 and padding 1: output i sees inputs 2i-1, 2i and 2i+1.
    fn downsample(&self, path: &str, x: Tensor<3>) -> Tensor<3> {
        let [length, batch, channels] = x.dims();
        let half = length / 2;
        let pairs = x.reshape([half, 2, batch, channels]);
        let of_pairs = |which: usize| {
            let steps = pairs.clone().narrow(1, which, 1);
            steps.reshape([half, batch, channels])
        };
        let (even, odd) = (of_pairs(0), of_pairs(1));
        let before = pad_length(odd.clone().narrow(0, 0, half - 1), 1, 0);
        let weight = self.weight(path);
        let terms = [(before, &weight[0]), (even, &weight[1]), (odd, &weight[2])];
        self.sum_of_products(path, terms.into_iter())
    }

    /// Transposed convolution of 4 taps, stride 2 and padding 1. Output 2i sees inputs i-1 and i through taps 3
    /// and 1, output 2i+1 sees inputs i and i+1 through taps 2 and 0.
    fn upsample(&self, path: &str, x: Tensor<3>) -> Tensor<3> {
        let [length, batch, channels] = x.dims();
        let padded = pad_length(x.clone(), 1, 1);
        let before = padded.clone().narrow(0, 0, length);
        let after = padded.narrow(0, 2, length);
        let weight = self.weight(path);
        let even = [(before, &weight[3]), (x.clone(), &weight[1])];
        let odd = [(x, &weight[2]), (after, &weight[0])];
        let [even, odd] = [even, odd].map(|terms| {
            let steps = self.sum_of_products(path, terms.into_iter());
            steps.reshape([length, 1, batch, channels])
        });
        Tensor::cat(vec![even, odd], 1).reshape([2 * length, batch, channels])
    }

    /// Each input (L, B, inputs) times its weight (inputs, outputs), added up, plus the bias of `path`.
    fn sum_of_products<'w>(
        &self,
        path: &str,
        terms: impl Iterator<Item = (Tensor<3>, &'w Tensor<2>)>,
    ) -> Tensor<3> {
        let mut sum = self.vector(path, "bias");
        let mut sequence = [0, 0];
        for (input, weight) in terms {
            let [length, batch, n_in] = input.dims();
            sequence = [length, batch];
            sum = input.reshape([length * batch, n_in]).matmul(weight.clone()) + sum;
        }
        let n_out = sum.dims()[1];
        sum.reshape([sequence[0], sequence[1], n_out])
    }

    /// Group normalisation (arXiv 1803.08494). The variance takes a second pass: as the mean of squares less
    /// the square of the mean it would lose digits.
    fn group_norm(&self, path: &str, x: Tensor<3>, groups: usize) -> Tensor<3> {
        let [length, batch, channels] = x.dims();
        let per_group = [1, 1, groups, channels / groups];
        let x = x.reshape([length, batch, groups, channels / groups]);
        let centred = x.clone() - x.mean_dim(0).mean_dim(3);
        let variance = (centred.clone() * centred.clone()).mean_dim(0).mean_dim(3);
        let inverse = (variance + GROUP_NORM_EPS).sqrt().recip();
        let scale = inverse * self.vector(path, "weight").reshape(per_group);
        let y = centred * scale + self.vector(path, "bias").reshape(per_group);
        y.reshape([length, batch, channels])
    }

    /// The taps of the weight of `path`, each (inputs, outputs).
    fn weight(&self, path: &str) -> &[Tensor<2>] {
        &self.leaves[format!("{path}.weight").as_str()]
    }

    /// A bias or a factor, (1, n).
    fn vector(&self, path: &str, what: &str) -> Tensor<2> {
        self.leaves[format!("{path}.{what}").as_str()][0].clone()
    }
}

/// The values of a tensor, row-major.
pub fn values_of<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .into_data()
        .try_to_vec()
        .expect("the backend computes in f32")
}

/// Zeros before and after the steps of (L, B, C).
fn pad_length(x: Tensor<3>, before: usize, after: usize) -> Tensor<3> {
    let [_, batch, channels] = x.dims();
    let device = x.device();
    let zeros = |n: usize| (n > 0).then(|| Tensor::zeros([n, batch, channels], &device));
    let parts: Vec<_> = [zeros(before), Some(x), zeros(after)]
        .into_iter()
        .flatten()
        .collect();
    Tensor::cat(parts, 0)
}

/// Mish(x) = x tanh(ln(1 + e^x)) (arXiv 1908.08681), with one exponential: with n = e^x (e^x + 2),
/// tanh(ln(1 + e^x)) = n / (n + 2). Above 20 the fraction is 1 in `f32`.
fn mish<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let e = x.clone().clamp_max(20.0).exp();
    let n = e.clone() * (e + 2.0);
    x * (n.clone() / (n + 2.0))
}

/// Sinusoidal embedding of a diffusion step (diffusion_policy's `SinusoidalPosEmb`): sines, then cosines, of
/// `timestep * 10000^(-i / (dim/2 - 1))`.
pub fn step_embedding(timestep: usize, dim: usize) -> Vec<f32> {
    let half = dim / 2;
    let angle =
        |i: usize| timestep as f64 * (-(1e4_f64.ln()) * i as f64 / (half as f64 - 1.0)).exp();
    let sines = (0..half).map(|i| angle(i).sin() as f32);
    let cosines = (0..half).map(|i| angle(i).cos() as f32);
    sines.chain(cosines).collect()
}
