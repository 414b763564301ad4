//! The U-Net's weights as integers, layer by layer in the order of the computation.

use super::calibrate::Ranges;
use super::file::{Block, ConvBlock, Layer, ModelFile, Row, Settings};
use super::fixed_point::{Places, affine, binary_places, row, to_fixed};
use super::sampler;
use crate::float_engine::FloatPolicy;
use crate::policy_file::{Observation, PolicyConfig, Tensor, Tensors};
use anyhow::{Context, Result, ensure};
use pusht_core::quant::{LANES, MAX_EPS, MAX_FILM_EXPONENT, MAX_GAMMA_EXPONENT, MAX_LEVELS};
use pusht_core::unet::{FINAL_CONV_N_GROUPS, UnetInput};
use std::collections::BTreeMap;

/// PyTorch's `GroupNorm` default.
const NORM_EPS: f64 = 1e-5;

/// Quantises a float policy whose tensors were seen to have these ranges.
///
/// # Errors
/// If the network is not one that the integer path computes, or a scale does not fit its integer.
pub fn quantize(
    policy: &FloatPolicy,
    tensors: &Tensors,
    ranges: &Ranges,
    provenance: String,
) -> Result<ModelFile> {
    let config = policy.config();
    check(config)?;
    let passes = sampler::passes(config)?;
    let timesteps: Vec<u32> = passes.iter().map(|pass| pass.timestep).collect();
    let network = Network {
        config,
        tensors,
        ranges,
        film_steps: film_steps(policy, &timesteps)?,
        condition_exponent: ranges.exponent(CONDITION)?,
    };
    let (layers, exponent) = network.layers()?;
    let final_exponent = ranges.exponent("final_conv.0.block.2")?;
    let dims = &config.unet.down_dims;
    let shape = (config.horizon, FINAL_CONV_N_GROUPS);
    Ok(ModelFile {
        settings: settings(config, ranges)?,
        passes,
        observation_scales: network.affines("obs", |scale, offset| (scale, offset))?,
        // pixels = (x - offset) / scale, from I8F24 to I16F16.
        action_scales: network.affines("action", |scale, offset| {
            (1.0 / scale / 256.0, -offset / scale)
        })?,
        layers,
        final_exponent,
        final_block: network.conv_block("final_conv.0", dims[0], exponent, shape)?,
        final_conv: network.final_conv(final_exponent)?,
        provenance,
    })
}

/// Binary places of the sample, and so of the network's output: I8F24.
const SAMPLE_PLACES: u32 = 24;
/// Path in the ranges of the `mish` of the normalised observations.
pub(super) const CONDITION: &str = "condition";

fn check(config: &PolicyConfig) -> Result<()> {
    let unet = &config.unet;
    ensure!(unet.input_dim == 2, "input_dim {} is not 2", unet.input_dim);
    ensure!(
        unet.down_dims.len() <= MAX_LEVELS && unet.down_dims.iter().all(|d| d % LANES == 0),
        "down_dims {:?} are not up to {MAX_LEVELS} multiples of {LANES}",
        unet.down_dims
    );
    Ok(())
}

fn settings(config: &PolicyConfig, ranges: &Ranges) -> Result<Settings> {
    Ok(Settings {
        observation_kind: match config.observation {
            Observation::State => 0,
            Observation::Keypoints => 1,
            Observation::Vertices => 2,
        },
        n_obs_steps: config.n_obs_steps,
        horizon: config.horizon,
        n_action_steps: config.n_action_steps,
        down_dims: config.unet.down_dims.clone(),
        kernel_size: config.unet.kernel_size,
        n_groups: config.unet.n_groups,
        final_n_groups: FINAL_CONV_N_GROUPS,
        film_has_scale: config.unet.cond_predict_scale,
        sample_exponent: ranges.exponent("sample")?,
        condition_exponent: ranges.exponent(CONDITION)?,
    })
}

/// The diffusion step's share of every FiLM projection, by the path of its block: `[passes][outputs]`.
///
/// `mish(0) = 0`, so it is what the float network projects when all normalised observations are zero.
fn film_steps(policy: &FloatPolicy, timesteps: &[u32]) -> Result<BTreeMap<String, Vec<f32>>> {
    let config = policy.config();
    let unet = policy.policy().unet();
    let sample = vec![0.0; config.horizon * config.unet.input_dim];
    let condition = vec![0.0; config.unet.global_cond_dim];
    let mut output = sample.clone();
    let mut scratch = vec![0.0; unet.config().scratch_len(1, config.horizon)];
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
            global_cond: Some(&condition),
        };
        unet.forward(&input, &mut output, &mut scratch, &mut note)?;
    }
    Ok(steps)
}

struct Network<'n> {
    config: &'n PolicyConfig,
    tensors: &'n Tensors,
    ranges: &'n Ranges,
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

    fn affines(
        &self,
        field: &str,
        map: impl Fn(f64, f64) -> (f64, f64),
    ) -> Result<Vec<super::file::Affine>> {
        let find = |kind: &str| {
            let name = format!("normalizer.params_dict.{field}.{kind}");
            self.tensors
                .get(&name)
                .with_context(|| format!("no tensor {name}"))
        };
        let pairs = find("scale")?.data.iter().zip(&find("offset")?.data);
        pairs
            .map(|(scale, offset)| {
                let (scale, offset) = map(f64::from(*scale), f64::from(*offset));
                affine(scale, offset).with_context(|| format!("normalizer of {field}"))
            })
            .collect()
    }

    /// All layers up to the final block, and the binary places of the last one's output.
    fn layers(&self) -> Result<(Vec<Layer>, u32)> {
        let dims = &self.config.unet.down_dims;
        let skips = self.skip_exponents()?;
        let (mut layers, mut length) = (Vec::new(), self.config.horizon);
        let mut exponent = self.ranges.exponent("sample")?;
        let mut n_in = self.config.unet.input_dim;
        for (level, dim) in dims.iter().enumerate() {
            let level_path = format!("down_modules.{level}");
            for (i, out) in [None, skips[level]].into_iter().enumerate() {
                let path = format!("{level_path}.{i}");
                (layers, exponent) =
                    self.push_block(layers, &path, (n_in, *dim), length, exponent, out)?;
                n_in = *dim;
            }
            if level + 1 < dims.len() {
                let path = format!("{level_path}.2.conv");
                let out = self.ranges.exponent(&path)?;
                let places = Places {
                    input: exponent,
                    output: out,
                };
                layers.push(Layer::Resample(out, vec![self.conv(&path, *dim, places)?]));
                (exponent, length) = (out, length / 2);
            }
        }
        for (i, out) in [None, *skips.last().context("no levels")?]
            .into_iter()
            .enumerate()
        {
            let path = format!("mid_modules.{i}");
            (layers, exponent) =
                self.push_block(layers, &path, (n_in, n_in), length, exponent, out)?;
        }
        for (i, level) in (1..dims.len()).rev().enumerate() {
            let dim = dims[level - 1];
            for (j, n_in) in [2 * n_in, dim].into_iter().enumerate() {
                let path = format!("up_modules.{i}.{j}");
                (layers, exponent) =
                    self.push_block(layers, &path, (n_in, dim), length, exponent, None)?;
            }
            let path = format!("up_modules.{i}.2.conv");
            let out = skips[level - 1].map_or_else(|| self.ranges.exponent(&path), Ok)?;
            let places = Places {
                input: exponent,
                output: out,
            };
            layers.push(Layer::Resample(out, self.transposed_conv(&path, places)?));
            (n_in, exponent, length) = (dim, out, length * 2);
        }
        Ok((layers, exponent))
    }

    /// A skip lies beside another tensor in one buffer, so both need the same binary point: the fewer places.
    /// The first level's skip has no reader.
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

    /// Appends the block at `path`; its output has `out` binary places, or those that suit its range.
    fn push_block(
        &self,
        mut layers: Vec<Layer>,
        path: &str,
        (n_in, n_out): (usize, usize),
        length: usize,
        exponent: u32,
        out: Option<u32>,
    ) -> Result<(Vec<Layer>, u32)> {
        let own = |part: &str| self.ranges.exponent(&format!("{path}.{part}"));
        let out = out.map_or_else(|| self.ranges.exponent(path), Ok)?;
        let hidden = own("film")?;
        let shape = (length, self.config.unet.n_groups);
        let residual_path = format!("{path}.residual_conv");
        let (residual, residual_exponent) = if n_in == n_out {
            (None, 0)
        } else {
            let output = own("residual_conv")?;
            let places = Places {
                input: exponent,
                output,
            };
            (Some(self.conv(&residual_path, n_in, places)?), output)
        };
        let (film_exponent, film, film_steps) = self.film(path)?;
        layers.push(Layer::Block(Box::new(Block {
            hidden_exponent: hidden,
            residual_exponent,
            exponent: out,
            film_exponent,
            first: self.conv_block(&format!("{path}.blocks.0"), n_in, exponent, shape)?,
            film,
            film_steps,
            second: self.conv_block(&format!("{path}.blocks.1"), n_out, hidden, shape)?,
            residual,
        })));
        Ok((layers, out))
    }

    /// The projection's binary places, the observation's share of it, and the diffusion step's.
    fn film(&self, path: &str) -> Result<(u32, Vec<Row>, Vec<i16>)> {
        let linear_path = format!("{path}.cond_encoder.1");
        let steps = self
            .film_steps
            .get(path)
            .with_context(|| format!("no steps of {path}"))?;
        let largest_step = steps
            .iter()
            .fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
        // Each share must fit on its own.
        let largest = self.ranges.largest(&linear_path)? + largest_step;
        let output = binary_places(largest, 15, MAX_FILM_EXPONENT);
        let steps = steps
            .iter()
            .map(|v| to_fixed(f64::from(*v), output) as i16)
            .collect();
        let weight = self.tensor(&linear_path, "weight")?;
        let embed_dim = self.config.unet.diffusion_step_embed_dim;
        let places = Places {
            input: self.condition_exponent,
            output,
        };
        let columns = weight.shape[1];
        let rows = weight
            .data
            .chunks_exact(columns)
            .map(|w| row(&w[embed_dim..], 0.0, places));
        Ok((output, rows.collect::<Result<_>>()?, steps))
    }

    /// `Conv1dBlock` at `path`: convolution and normalisation over (length, groups).
    fn conv_block(
        &self,
        path: &str,
        n_in: usize,
        exponent: u32,
        (length, n_groups): (usize, usize),
    ) -> Result<ConvBlock> {
        let conv_path = format!("{path}.block.0");
        let norm_path = format!("{path}.block.1");
        let conv_exponent = self.ranges.exponent(&conv_path)?;
        let places = Places {
            input: exponent,
            output: conv_exponent,
        };
        let gamma = &self.tensor(&norm_path, "weight")?.data;
        let beta = &self.tensor(&norm_path, "bias")?.data;
        let largest = gamma
            .iter()
            .fold(0.0, |m: f64, g| m.max(f64::from(g.abs())));
        let gamma_exponent = binary_places(largest, 15, MAX_GAMMA_EXPONENT);
        let n = (length * gamma.len() / n_groups) as f64;
        let eps = NORM_EPS * (n * f64::from(conv_exponent).exp2()).powi(2);
        Ok(ConvBlock {
            conv_exponent,
            conv: self.conv(&conv_path, n_in, places)?,
            gamma_exponent,
            eps: (eps.round() as u64).clamp(1, MAX_EPS),
            parameters: gamma
                .iter()
                .zip(beta)
                .map(|(g, b)| {
                    [
                        to_fixed((*g).into(), gamma_exponent),
                        to_fixed((*b).into(), 16),
                    ]
                })
                .collect(),
        })
    }

    fn final_conv(&self, exponent: u32) -> Result<Vec<Row>> {
        let places = Places {
            input: exponent,
            output: SAMPLE_PLACES,
        };
        self.conv("final_conv.1", self.config.unet.down_dims[0], places)
    }

    /// A convolution: PyTorch's `[out][in][tap]` as rows of windows `[tap][in]`.
    fn conv(&self, path: &str, n_in: usize, places: Places) -> Result<Vec<Row>> {
        let weight = self.tensor(path, "weight")?;
        let bias = &self.tensor(path, "bias")?.data;
        let taps = weight.shape[2];
        let rows = weight.data.chunks_exact(n_in * taps).zip(bias);
        rows.map(|(w, bias)| {
            row(
                &window(n_in, 0..taps, |c, tap| w[c * taps + tap]),
                *bias,
                places,
            )
        })
        .collect()
    }

    /// A transposed convolution of four taps and stride 2: PyTorch's `[in][out][tap]` as the rows of the even
    /// positions, which see taps 3 and 1, and of the odd ones, which see taps 2 and 0.
    fn transposed_conv(&self, path: &str, places: Places) -> Result<Vec<Vec<Row>>> {
        let weight = self.tensor(path, "weight")?;
        let bias = &self.tensor(path, "bias")?.data;
        let (n_in, n_out, taps) = (weight.shape[0], weight.shape[1], weight.shape[2]);
        ensure!(taps == 4, "{path}: {taps} taps, not 4");
        let phase = |seen: [usize; 2]| {
            let rows = bias.iter().enumerate().map(|(out, bias)| {
                let tap_of = |c: usize, tap: usize| weight.data[(c * n_out + out) * taps + tap];
                row(&window(n_in, seen, tap_of), *bias, places)
            });
            rows.collect::<Result<Vec<Row>>>()
        };
        Ok(vec![phase([3, 1])?, phase([2, 0])?])
    }
}

/// Weights `[tap][channel]`, with zeros for the channels that only fill up to [`LANES`].
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
