//! Conversion of the U-Net's weights to integers, layer by layer in the order of computation.

use super::calibrate::{CONDITION, Calibration, Ranges, Samples, Span};
use super::file::{Block, ConvBlock, Layer, ModelFile, Product, Settings};
use super::fixed_point::{Places, binary_places, product, to_fixed};
use super::rounding::Feedback;
use super::{sampler, values};
use crate::float_engine::FloatPolicy;
use crate::policy_file::{Conditioning, PolicyConfig, Tensor, Tensors};
use anyhow::{Context, Result, ensure};
use pusht_core::policy::unet::{FINAL_CONV_N_GROUPS, UnetInput};
use pusht_core::quant::{LANES, MAX_EPS, MAX_FILM_EXPONENT, MAX_GAMMA_EXPONENT, WeightBits};
use std::collections::BTreeMap;

/// PyTorch's `GroupNorm` default.
const NORM_EPS: f64 = 1e-5;

/// Quantises a float policy with the ranges and inputs in `calibration`, all weights to `bits` bits.
///
/// # Errors
/// If the integer engine does not support the network, or a scale overflows its integer.
pub fn quantize(
    policy: &FloatPolicy,
    tensors: &Tensors,
    calibration: &Calibration,
    bits: WeightBits,
    provenance: String,
) -> Result<ModelFile> {
    let ranges = &calibration.ranges;
    let config = policy.config();
    let passes = sampler::passes(config)?;
    let timesteps: Vec<u32> = passes.iter().map(|pass| pass.timestep).collect();
    let span = Span {
        first_row: 0,
        taps: 1,
        stride: 1,
    };
    let conditions = calibration.samples.windows(CONDITION, span);
    let condition_len = config.unet.global_cond_dim.next_multiple_of(LANES);
    let network = Network {
        config,
        tensors,
        ranges,
        samples: &calibration.samples,
        bits,
        condition_feedback: feedback(&conditions, condition_len, bits),
        film_steps: film_steps(policy, &timesteps)?,
        condition_exponent: condition_exponent(config, ranges)?,
    };
    let values = values::formats(policy.task(), tensors, &calibration.windows)?;
    let (layers, mut at) = network.layers()?;
    let final_block = network.conv_block("final_conv.0", &at, FINAL_CONV_N_GROUPS)?;
    at.path = "final_conv.0.block.2".into();
    at.exponent = ranges.exponent(&at.path)?;
    Ok(ModelFile {
        settings: settings(config, ranges)?,
        passes,
        observation_values: values.observation,
        action_values: values.action,
        task: policy.task().clone(),
        layers,
        final_exponent: at.exponent,
        final_block,
        final_conv: network.conv("final_conv.1", &at, SAMPLE_PLACES, 1)?,
        provenance,
    })
}

/// Binary places of the sample and of the network's output: I8F24.
const SAMPLE_PLACES: u32 = 24;

/// Binary places of the condition; 0 where there is none.
fn condition_exponent(config: &PolicyConfig, ranges: &Ranges) -> Result<u32> {
    match config.conditioning {
        Conditioning::Inpainting => Ok(0),
        _ => ranges.exponent(CONDITION),
    }
}

fn settings(config: &PolicyConfig, ranges: &Ranges) -> Result<Settings> {
    Ok(Settings {
        n_obs_steps: config.n_obs_steps,
        horizon: config.trajectory_len(),
        n_action_steps: config.n_action_steps,
        first_action: config.first_action(),
        is_inpainting: config.conditioning == Conditioning::Inpainting,
        down_dims: config.unet.down_dims.clone(),
        kernel_size: config.unet.kernel_size,
        n_groups: config.unet.n_groups,
        final_n_groups: FINAL_CONV_N_GROUPS,
        film_has_scale: config.unet.cond_predict_scale,
        sample_exponent: ranges.exponent("sample")?,
        condition_exponent: condition_exponent(config, ranges)?,
    })
}

/// Projection of the diffusion step by every FiLM layer, by block path: `[passes][outputs]`.
///
/// As `mish(0) = 0`, it is the float network's projection for normalised observations of zero.
fn film_steps(policy: &FloatPolicy, timesteps: &[u32]) -> Result<BTreeMap<String, Vec<f32>>> {
    let config = policy.config();
    let unet = policy.policy().unet();
    let length = config.trajectory_len();
    let sample = vec![0.0; length * config.unet.input_dim];
    let condition = vec![0.0; config.unet.global_cond_dim];
    let mut output = sample.clone();
    let mut scratch = vec![0.0; unet.config().scratch_len(1, length)];
    let mut steps = BTreeMap::<String, Vec<f32>>::new();
    let mut note = |path: &str, values: &[f32], _: usize, _: usize| {
        if let Some(block) = path.strip_suffix(".cond_encoder.1") {
            steps.entry(block.to_owned()).or_default().extend(values);
        }
    };
    for timestep in timesteps {
        let input = UnetInput {
            batch: 1,
            sample: &sample,
            timesteps: &[*timestep as f32],
            local_cond: None,
            global_cond: (!condition.is_empty()).then_some(&condition),
        };
        unet.forward(&input, &mut output, &mut scratch, &mut note)?;
    }
    Ok(steps)
}

struct Network<'n> {
    config: &'n PolicyConfig,
    tensors: &'n Tensors,
    ranges: &'n Ranges,
    samples: &'n Samples,
    /// Of all weights.
    bits: WeightBits,
    /// Rounding feedback for the inputs of all FiLM projections.
    condition_feedback: Feedback,
    film_steps: BTreeMap<String, Vec<f32>>,
    condition_exponent: u32,
}

impl Network<'_> {
    fn tensor(&self, path: &str, kind: &str) -> Result<&Tensor> {
        let name = format!("model.{path}.{kind}");
        self.tensors
            .get(&name)
            .with_context(|| format!("no tensor {name}"))
    }

    /// All layers up to the final block, and the tensor that it reads.
    fn layers(&self) -> Result<(Vec<Layer>, Point)> {
        let unet = &self.config.unet;
        let dims = &unet.down_dims;
        let skips = self.skip_exponents()?;
        let mut layers = Vec::new();
        let mut at = Point {
            path: "sample".into(),
            exponent: self.ranges.exponent("sample")?,
            n_channels: unet.input_dim,
            length: self.config.trajectory_len(),
        };
        for (level, dim) in dims.iter().enumerate() {
            for (i, out) in [None, skips[level]].into_iter().enumerate() {
                let path = format!("down_modules.{level}.{i}");
                layers.push(self.block(&path, &mut at, *dim, out)?);
            }
            if level + 1 < dims.len() {
                layers.push(self.downsample(&format!("down_modules.{level}.2.conv"), &mut at)?);
            }
        }
        let deepest = dims.len() - 1;
        for (i, out) in [None, skips[deepest]].into_iter().enumerate() {
            let n_channels = at.n_channels;
            layers.push(self.block(&format!("mid_modules.{i}"), &mut at, n_channels, out)?);
        }
        for (i, level) in (0..deepest).rev().enumerate() {
            at.path = format!("up_modules.{i}.cat");
            at.n_channels *= 2;
            for j in 0..2 {
                let path = format!("up_modules.{i}.{j}");
                layers.push(self.block(&path, &mut at, dims[level], None)?);
            }
            let path = format!("up_modules.{i}.2.conv");
            layers.push(self.upsample(&path, &mut at, skips[level])?);
        }
        Ok((layers, at))
    }

    /// Binary places of the skips: the smaller number of both concatenated tensors. The first
    /// level's skip is not used.
    fn skip_exponents(&self) -> Result<Vec<Option<u32>>> {
        let n_levels = self.config.unet.down_dims.len();
        let joined = |level: usize| {
            let skip = self.ranges.exponent(&format!("down_modules.{level}.1"))?;
            let other = if level + 1 == n_levels {
                self.ranges.exponent("mid_modules.1")?
            } else {
                self.ranges
                    .exponent(&format!("up_modules.{}.2.conv", n_levels - 2 - level))?
            };
            Ok((level > 0).then_some(skip.min(other)))
        };
        (0..n_levels).map(joined).collect()
    }

    /// Quantises the residual block at `path`, with `out` or else the range's output binary places.
    fn block(&self, path: &str, at: &mut Point, n_out: usize, out: Option<u32>) -> Result<Layer> {
        let out = out.map_or_else(|| self.ranges.exponent(path), Ok)?;
        let n_groups = self.config.unet.n_groups;
        let hidden_path = format!("{path}.film");
        let hidden = Point {
            exponent: self.ranges.exponent(&hidden_path)?,
            path: hidden_path,
            n_channels: n_out,
            length: at.length,
        };
        let residual_path = format!("{path}.residual_conv");
        let (residual, residual_exponent) = if at.n_channels == n_out {
            (None, 0)
        } else {
            let exponent = self.ranges.exponent(&residual_path)?;
            (Some(self.conv(&residual_path, at, exponent, 1)?), exponent)
        };
        let (film_exponent, film, film_steps) = self.film(path)?;
        let block = Block {
            hidden_exponent: hidden.exponent,
            residual_exponent,
            exponent: out,
            film_exponent,
            first: self.conv_block(&format!("{path}.blocks.0"), at, n_groups)?,
            film,
            film_steps,
            second: self.conv_block(&format!("{path}.blocks.1"), &hidden, n_groups)?,
            residual,
        };
        *at = Point {
            path: path.into(),
            exponent: out,
            ..hidden
        };
        Ok(Layer::Block(Box::new(block)))
    }

    /// Quantises a convolution with stride 2.
    fn downsample(&self, path: &str, at: &mut Point) -> Result<Layer> {
        let exponent = self.ranges.exponent(path)?;
        let rows = self.conv(path, at, exponent, 2)?;
        *at = Point {
            path: path.into(),
            exponent,
            length: at.length / 2,
            n_channels: at.n_channels,
        };
        Ok(Layer::Resample(exponent, vec![rows]))
    }

    /// Quantises a transposed convolution (four taps, stride 2), with `out` as in [`Self::block`].
    ///
    /// Even positions read taps 3 and 1 of PyTorch's `[in][out][tap]`, odd ones taps 2 and 0.
    fn upsample(&self, path: &str, at: &mut Point, out: Option<u32>) -> Result<Layer> {
        let exponent = out.map_or_else(|| self.ranges.exponent(path), Ok)?;
        let weight = self.tensor(path, "weight")?;
        let bias = &self.tensor(path, "bias")?.data;
        let (n_in, n_out, taps) = (weight.shape[0], weight.shape[1], weight.shape[2]);
        ensure!(taps == 4, "{path}: {taps} taps, not 4");
        let phase = |seen: [usize; 2], first_row: isize| {
            let row = |out: usize| {
                let tap_of = |c: usize, tap: usize| weight.data[(c * n_out + out) * taps + tap];
                window(n_in, seen, tap_of)
            };
            let inputs = self.samples.windows(
                &at.path,
                Span {
                    first_row,
                    taps: 2,
                    stride: 1,
                },
            );
            let places = Places {
                input: at.exponent,
                output: exponent,
            };
            let weights: Vec<_> = (0..n_out).map(row).collect();
            let n = 2 * n_in.next_multiple_of(LANES);
            self.product(&weights, bias, places, &inputs, n)
        };
        let phases = vec![phase([3, 1], -1)?, phase([2, 0], 0)?];
        *at = Point {
            path: path.into(),
            exponent,
            length: 2 * at.length,
            n_channels: n_out,
        };
        Ok(Layer::Resample(exponent, phases))
    }

    /// Binary places of the projection, its rows for the observations, the diffusion step's part.
    fn film(&self, path: &str) -> Result<(u32, Product, Vec<i16>)> {
        let linear_path = format!("{path}.cond_encoder.1");
        let steps = self
            .film_steps
            .get(path)
            .with_context(|| format!("no steps of {path}"))?;
        let largest_step = steps
            .iter()
            .fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
        // Each part must fit on its own.
        let is_inpainting = self.config.conditioning == Conditioning::Inpainting;
        let largest_sum = match is_inpainting {
            true => 0.0,
            false => self.ranges.largest(&linear_path)?,
        };
        let largest = largest_sum + largest_step;
        let output = binary_places(largest, 15, MAX_FILM_EXPONENT);
        let steps = steps
            .iter()
            .map(|v| to_fixed(f64::from(*v), output) as i16)
            .collect();
        if is_inpainting {
            return Ok((output, Product::default(), steps));
        }
        let weight = self.tensor(&linear_path, "weight")?;
        let embed_dim = self.config.unet.diffusion_step_embed_dim;
        let places = Places {
            input: self.condition_exponent,
            output,
        };
        let columns = weight.shape[1];
        let own = |row: &[f32]| window(columns - embed_dim, 0..1, |c, _| row[embed_dim + c]);
        let weights: Vec<_> = weight.data.chunks_exact(columns).map(own).collect();
        let bias = vec![0.0; weights.len()];
        let film = product(&weights, &bias, places, &self.condition_feedback, self.bits)?;
        Ok((output, film, steps))
    }

    /// Quantises `Conv1dBlock` at `path`: convolution and normalisation in `n_groups` groups.
    fn conv_block(&self, path: &str, at: &Point, n_groups: usize) -> Result<ConvBlock> {
        let conv_path = format!("{path}.block.0");
        let norm_path = format!("{path}.block.1");
        let conv_exponent = self.ranges.exponent(&conv_path)?;
        let gamma = &self.tensor(&norm_path, "weight")?.data;
        let beta = &self.tensor(&norm_path, "bias")?.data;
        let largest = gamma
            .iter()
            .fold(0.0, |m: f64, g| m.max(f64::from(g.abs())));
        let gamma_exponent = binary_places(largest, 15, MAX_GAMMA_EXPONENT);
        let n = (at.length * gamma.len() / n_groups) as f64;
        let eps = NORM_EPS * (n * f64::from(conv_exponent).exp2()).powi(2);
        let parameters = gamma.iter().zip(beta).map(|(gamma, beta)| {
            [
                to_fixed((*gamma).into(), gamma_exponent),
                to_fixed((*beta).into(), 16),
            ]
        });
        Ok(ConvBlock {
            conv_exponent,
            conv: self.conv(&conv_path, at, conv_exponent, 1)?,
            gamma_exponent,
            eps: (eps.round() as u64).clamp(1, MAX_EPS),
            parameters: parameters.collect(),
        })
    }

    /// Quantises the convolution at `path` of tensor `at`: `[out][in][tap]` to rows `[tap][in]`.
    fn conv(&self, path: &str, at: &Point, exponent: u32, stride: usize) -> Result<Product> {
        let weight = self.tensor(path, "weight")?;
        let bias = &self.tensor(path, "bias")?.data;
        let (n_in, taps) = (weight.shape[1], weight.shape[2]);
        let row = |w: &[f32]| window(n_in, 0..taps, |c, tap| w[c * taps + tap]);
        let weights: Vec<_> = weight.data.chunks_exact(n_in * taps).map(row).collect();
        let span = Span {
            first_row: -((taps / 2) as isize),
            taps,
            stride,
        };
        let places = Places {
            input: at.exponent,
            output: exponent,
        };
        let inputs = self.samples.windows(&at.path, span);
        let n = taps * n_in.next_multiple_of(LANES);
        self.product(&weights, bias, places, &inputs, n)
    }

    /// Quantises the product of rows with `n` weights, rounded for `inputs`.
    fn product(
        &self,
        weights: &[Vec<f32>],
        bias: &[f32],
        places: Places,
        inputs: &[Vec<f32>],
        n: usize,
    ) -> Result<Product> {
        let feedback = feedback(inputs, n, self.bits);
        product(weights, bias, places, &feedback, self.bits)
    }
}

/// Feedback of rounding to weights of `bits` bits. Those of 8 bits need no correction of the bias.
fn feedback(inputs: &[Vec<f32>], n: usize, bits: WeightBits) -> Feedback {
    match bits {
        WeightBits::Eight => Feedback::of_inputs(inputs, n),
        WeightBits::Four => Feedback::of_centred(inputs, n),
    }
}

/// A tensor of the network.
struct Point {
    /// PyTorch module path.
    path: String,
    /// Binary places.
    exponent: u32,
    n_channels: usize,
    length: usize,
}

/// Reorders weights to `[tap][channel]`, with the channels padded by zeros to [`LANES`].
fn window(
    n_in: usize,
    taps: impl IntoIterator<Item = usize>,
    weight: impl Fn(usize, usize) -> f32,
) -> Vec<f32> {
    let weight = &weight;
    let of_tap = |tap| {
        (0..n_in.next_multiple_of(LANES)).map(move |c| if c < n_in { weight(c, tap) } else { 0.0 })
    };
    taps.into_iter().flat_map(of_tap).collect()
}
