//! The layers of the network: found by name, checked against their shapes and packed into one
//! slice, in one walk.

use super::kernels::{PANEL, PackedLinear};
use super::observer::ModulePath;
use super::{DownDims, FINAL_CONV_N_GROUPS, UnetConfig, UnetError};
use core::fmt::Arguments;
use heapless::Vec;

/// A source of weights: tensors by their names in PyTorch's state dict.
pub trait TensorSource {
    /// The shape and the row-major values of the tensor `name`; None if there is no such tensor.
    fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])>;
}

/// A linear layer, or a convolution as one over its windows: where its [`PackedLinear`] lies in the
/// packed weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    at: usize,
    pub n_inputs: usize,
    pub n_outputs: usize,
}

impl Linear {
    fn panels_len(self) -> usize {
        self.n_outputs.div_ceil(PANEL) * PANEL * self.n_inputs
    }

    /// Multiplications for `rows` rows.
    fn macs(self, rows: usize) -> usize {
        rows * self.n_inputs * self.n_outputs
    }

    pub fn of(self, weights: &[f32]) -> PackedLinear<'_> {
        let bias_at = self.at + self.panels_len();
        PackedLinear {
            panels: &weights[self.at..bias_at],
            bias: &weights[bias_at..bias_at + self.n_outputs],
            n_inputs: self.n_inputs,
        }
    }
}

/// Weight and bias of a GroupNorm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm {
    at: usize,
    n_channels: usize,
    pub n_groups: usize,
}

impl Norm {
    pub fn of(self, weights: &[f32]) -> (&[f32], &[f32]) {
        weights[self.at..self.at + 2 * self.n_channels].split_at(self.n_channels)
    }
}

/// Convolution, normalisation, Mish.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvBlock {
    pub conv: Linear,
    pub norm: Norm,
}

/// Upstream's `ConditionalResidualBlock1D`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResidualBlock {
    pub first: ConvBlock,
    pub second: ConvBlock,
    pub film: Linear,
    /// The 1x1 convolution beside the block; None where the number of channels does not change.
    pub residual_conv: Option<Linear>,
}

impl ResidualBlock {
    fn n_macs(&self, length: usize) -> usize {
        let residual = self.residual_conv.map_or(0, |conv| conv.macs(length));
        self.first.conv.macs(length) + self.second.conv.macs(length) + residual + self.film.macs(1)
    }
}

/// Conv1d(3, stride 2, padding 1).
pub(super) type Downsample = Linear;

/// ConvTranspose1d(4, stride 2, padding 1) as one convolution of two taps for each phase, even and
/// odd positions: y[2i] = x[i-1] w[3] + x[i] w[1] and y[2i+1] = x[i] w[2] + x[i+1] w[0].
#[derive(Clone, Copy, Debug)]
pub(super) struct Upsample {
    pub phases: [Linear; 2],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct DownLevel {
    pub resnets: [ResidualBlock; 2],
    /// None at the last level.
    pub downsample: Option<Downsample>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct UpLevel {
    pub resnets: [ResidualBlock; 2],
    pub upsample: Upsample,
}

/// The whole network.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub step_encoder: [Linear; 2],
    pub local: Option<ResidualBlock>,
    pub down: Vec<DownLevel, { DownDims::MAX_LEVELS }>,
    pub mid: [ResidualBlock; 2],
    pub up: Vec<UpLevel, { DownDims::MAX_LEVELS }>,
    pub final_block: ConvBlock,
    pub final_conv: Linear,
}

impl Layers {
    /// Multiplications by weights in one pass over `length` positions.
    pub fn n_macs(&self, length: usize) -> usize {
        let linears = self
            .step_encoder
            .iter()
            .map(|linear| linear.macs(1))
            .sum::<usize>();
        let local = self.local.map_or(0, |block| block.n_macs(length));
        let last = self.down.len() - 1;
        let down = self.down.iter().enumerate().map(|(level, modules)| {
            let blocks = modules.resnets.map(|block| block.n_macs(length >> level));
            let down = modules
                .downsample
                .map_or(0, |conv| conv.macs(length >> (level + 1)));
            blocks[0] + blocks[1] + down
        });
        let mid = self.mid.map(|block| block.n_macs(length >> last));
        let up = self.up.iter().enumerate().map(|(index, modules)| {
            let positions = length >> (last - index);
            let blocks = modules.resnets.map(|block| block.n_macs(positions));
            let [even, odd] = modules.upsample.phases.map(|conv| conv.macs(positions));
            blocks[0] + blocks[1] + even + odd
        });
        let end = self.final_block.conv.macs(length) + self.final_conv.macs(length);
        linears + local + down.sum::<usize>() + mid[0] + mid[1] + up.sum::<usize>() + end
    }
}

/// Walks the network; without a source it only counts.
pub(super) struct Packer<'s, S> {
    config: &'s UnetConfig,
    source: Option<(&'s S, &'s mut [f32])>,
    visit: Option<Visit<'s>>,
    used: usize,
    n_parameters: usize,
    path: ModulePath,
}

/// What is called with the name and the shape of each tensor.
type Visit<'v> = &'v mut dyn FnMut(&str, &[usize]);

/// A source of nothing, for counting.
pub(super) struct NoTensors;

impl TensorSource for NoTensors {
    fn tensor(&self, _: &str) -> Option<(&[usize], &[f32])> {
        None
    }
}

/// What a walk counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub packed: usize,
    pub parameters: usize,
}

/// Counts the network of `config`, which must have been checked.
pub(super) fn count(config: &UnetConfig) -> Result<(Layers, Counts), UnetError> {
    walk::<NoTensors>(config, None, None)
}

/// Calls `visit` with each tensor of the network of `config`, which must have been checked.
pub(super) fn visit(config: &UnetConfig, visit: Visit<'_>) -> Result<(), UnetError> {
    walk::<NoTensors>(config, None, Some(visit)).map(|_| ())
}

/// Packs the tensors of `source` into `packed`.
pub(super) fn pack<S: TensorSource>(
    config: &UnetConfig,
    source: &S,
    packed: &mut [f32],
) -> Result<Layers, UnetError> {
    walk(config, Some((source, packed)), None).map(|(layers, _)| layers)
}

fn walk<'s, S: TensorSource>(
    config: &'s UnetConfig,
    source: Option<(&'s S, &'s mut [f32])>,
    visit: Option<Visit<'s>>,
) -> Result<(Layers, Counts), UnetError> {
    let mut packer = Packer {
        config,
        source,
        visit,
        used: 0,
        n_parameters: 0,
        path: ModulePath::default(),
    };
    let layers = packer.network()?;
    let counts = Counts {
        packed: packer.used,
        parameters: packer.n_parameters,
    };
    Ok((layers, counts))
}

impl<S: TensorSource> Packer<'_, S> {
    fn network(&mut self) -> Result<Layers, UnetError> {
        let config = self.config;
        let dims = config.down_dims.as_slice();
        let (start, last) = (dims[0], dims[dims.len() - 1]);
        let embed = config.diffusion_step_embed_dim;
        let step_encoder = [
            self.linear(format_args!("diffusion_step_encoder.1"), (embed, 4 * embed))?,
            self.linear(format_args!("diffusion_step_encoder.3"), (4 * embed, embed))?,
        ];
        let local = match config.local_cond_dim {
            None => None,
            Some(dim) => {
                Some(self.residual_block(format_args!("local_cond_encoder.0"), (dim, start))?)
            }
        };
        let mut down = Vec::new();
        for level in 0..dims.len() {
            let _ = down.push(self.down_level(level)?);
        }
        let mid = [
            self.residual_block(format_args!("mid_modules.0"), (last, last))?,
            self.residual_block(format_args!("mid_modules.1"), (last, last))?,
        ];
        let mut up = Vec::new();
        for (index, pair) in dims.windows(2).rev().enumerate() {
            let _ = up.push(self.up_level(index, pair[0], pair[1])?);
        }
        let block = format_args!("final_conv.0");
        let final_block =
            self.within(block, |p| p.conv_block((start, start), FINAL_CONV_N_GROUPS))?;
        let output = format_args!("final_conv.1");
        let final_conv = self.within(output, |p| p.conv(1, (start, config.input_dim)))?;
        Ok(Layers {
            step_encoder,
            local,
            down,
            mid,
            up,
            final_block,
            final_conv,
        })
    }

    fn down_level(&mut self, level: usize) -> Result<DownLevel, UnetError> {
        let dims = self.config.down_dims.as_slice();
        let dim_out = dims[level];
        let dim_in = match level {
            0 => self.config.input_dim,
            _ => dims[level - 1],
        };
        let is_last = level + 1 == dims.len();
        self.within(format_args!("down_modules.{level}"), |p| {
            Ok(DownLevel {
                resnets: [
                    p.residual_block(format_args!("0"), (dim_in, dim_out))?,
                    p.residual_block(format_args!("1"), (dim_out, dim_out))?,
                ],
                downsample: match is_last {
                    true => None,
                    false => {
                        Some(p.within(format_args!("2.conv"), |p| p.conv(3, (dim_out, dim_out)))?)
                    }
                },
            })
        })
    }

    fn up_level(&mut self, index: usize, upper: usize, lower: usize) -> Result<UpLevel, UnetError> {
        self.within(format_args!("up_modules.{index}"), |p| {
            Ok(UpLevel {
                resnets: [
                    p.residual_block(format_args!("0"), (2 * lower, upper))?,
                    p.residual_block(format_args!("1"), (upper, upper))?,
                ],
                upsample: p.within(format_args!("2.conv"), |p| p.upsample(upper))?,
            })
        })
    }

    fn residual_block(
        &mut self,
        part: Arguments<'_>,
        (dim_in, dim_out): (usize, usize),
    ) -> Result<ResidualBlock, UnetError> {
        let n_groups = self.config.n_groups;
        let cond_dim = self.config.cond_dim();
        let film_dim = dim_out * (1 + usize::from(self.config.cond_predict_scale));
        self.within(part, |p| {
            Ok(ResidualBlock {
                first: p.within(format_args!("blocks.0"), |p| {
                    p.conv_block((dim_in, dim_out), n_groups)
                })?,
                second: p.within(format_args!("blocks.1"), |p| {
                    p.conv_block((dim_out, dim_out), n_groups)
                })?,
                film: p.linear(format_args!("cond_encoder.1"), (cond_dim, film_dim))?,
                residual_conv: match dim_in == dim_out {
                    true => None,
                    false => Some(p.within(format_args!("residual_conv"), |p| {
                        p.conv(1, (dim_in, dim_out))
                    })?),
                },
            })
        })
    }

    fn conv_block(
        &mut self,
        dims: (usize, usize),
        n_groups: usize,
    ) -> Result<ConvBlock, UnetError> {
        let taps = self.config.kernel_size;
        Ok(ConvBlock {
            conv: self.within(format_args!("block.0"), |p| p.conv(taps, dims))?,
            norm: self.within(format_args!("block.1"), |p| p.norm(dims.1, n_groups))?,
        })
    }

    /// Linear: weight (out, in).
    fn linear(
        &mut self,
        part: Arguments<'_>,
        (dim_in, dim_out): (usize, usize),
    ) -> Result<Linear, UnetError> {
        self.within(part, |p| {
            p.declare(&[dim_out, dim_in], dim_out);
            p.pack(&[dim_out, dim_in], (dim_in, dim_out), |row, column| {
                column * dim_in + row
            })
        })
    }

    /// Conv1d: weight (out, in, taps), packed so that row `tap * in + i` of the matrix meets
    /// channel i of that tap.
    fn conv(
        &mut self,
        taps: usize,
        (dim_in, dim_out): (usize, usize),
    ) -> Result<Linear, UnetError> {
        let shape = [dim_out, dim_in, taps];
        self.declare(&shape, dim_out);
        self.pack(&shape, (taps * dim_in, dim_out), |row, column| {
            (column * dim_in + row % dim_in) * taps + row / dim_in
        })
    }

    /// ConvTranspose1d: weight (in, out, 4).
    fn upsample(&mut self, dim: usize) -> Result<Upsample, UnetError> {
        const TAPS: usize = 4;
        let shape = [dim, dim, TAPS];
        self.declare(&shape, dim);
        let mut phase = |tap_of_row: [usize; 2]| {
            self.pack(&shape, (2 * dim, dim), |row, column| {
                ((row % dim) * dim + column) * TAPS + tap_of_row[row / dim]
            })
        };
        Ok(Upsample {
            phases: [phase([3, 1])?, phase([2, 0])?],
        })
    }

    fn norm(&mut self, n_channels: usize, n_groups: usize) -> Result<Norm, UnetError> {
        let at = self.used;
        self.declare(&[n_channels], n_channels);
        self.used += 2 * n_channels;
        if let Some((source, packed)) = self.source.as_mut() {
            let (weight, bias) = packed[at..self.used].split_at_mut(n_channels);
            weight.copy_from_slice(find(*source, &mut self.path, "weight", &[n_channels])?);
            bias.copy_from_slice(find(*source, &mut self.path, "bias", &[n_channels])?);
        }
        Ok(Norm {
            at,
            n_channels,
            n_groups,
        })
    }

    /// Counts and visits the tensors of the module at the path: its weight of this shape, and its
    /// bias.
    fn declare(&mut self, weight: &[usize], n_outputs: usize) {
        let bias = [n_outputs];
        for (kind, shape) in [("weight", weight), ("bias", &bias)] {
            self.n_parameters += shape.iter().product::<usize>();
            if let Some(visit) = &mut self.visit {
                let before = self.path.enter(format_args!("{kind}"));
                visit(self.path.as_str(), shape);
                self.path.leave(before);
            }
        }
    }

    /// Packs `weight` (of `shape`) and `bias` of the module at the path; `index_of(row, column)` is
    /// an element's place.
    fn pack(
        &mut self,
        shape: &[usize],
        (n_inputs, n_outputs): (usize, usize),
        index_of: impl Fn(usize, usize) -> usize,
    ) -> Result<Linear, UnetError> {
        let linear = Linear {
            at: self.used,
            n_inputs,
            n_outputs,
        };
        let bias_at = self.used + linear.panels_len();
        self.used = bias_at + n_outputs;
        let Some((source, packed)) = self.source.as_mut() else {
            return Ok(linear);
        };
        let weight = find(*source, &mut self.path, "weight", shape)?;
        let bias = find(*source, &mut self.path, "bias", &[n_outputs])?;
        let panels = packed[linear.at..bias_at].chunks_exact_mut(n_inputs * PANEL);
        for (index, panel) in panels.enumerate() {
            for (row, values) in panel.chunks_exact_mut(PANEL).enumerate() {
                for (lane, value) in values.iter_mut().enumerate() {
                    let column = index * PANEL + lane;
                    *value = match column < n_outputs {
                        true => weight[index_of(row, column)],
                        false => 0.0,
                    };
                }
            }
        }
        packed[bias_at..bias_at + n_outputs].copy_from_slice(bias);
        Ok(linear)
    }

    fn within<R>(
        &mut self,
        part: Arguments<'_>,
        module: impl FnOnce(&mut Self) -> Result<R, UnetError>,
    ) -> Result<R, UnetError> {
        let before = self.path.enter(part);
        let result = module(self);
        self.path.leave(before);
        result
    }
}

/// The tensor `kind` of the module at `path`, if its shape is `shape`.
fn find<'s, S: TensorSource>(
    source: &'s S,
    path: &mut ModulePath,
    kind: &str,
    shape: &[usize],
) -> Result<&'s [f32], UnetError> {
    let before = path.enter(format_args!("{kind}"));
    let name = path.clone();
    path.leave(before);
    let Some((got, values)) = source.tensor(name.as_str()) else {
        return Err(UnetError::MissingTensor(name));
    };
    let len: usize = shape.iter().product();
    match got == shape && values.len() == len {
        true => Ok(values),
        false => Err(UnetError::TensorShape(name)),
    }
}
