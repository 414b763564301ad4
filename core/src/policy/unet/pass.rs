//! One forward pass, phase by phase.

use super::kernels;
use super::layers::{ConvBlock, Downsample, Layers, Linear, ResidualBlock, Upsample};
use super::observer::{Observer, Probe};
use super::shape::Shape;
use super::{UnetConfig, UnetInput};
use core::fmt::Arguments;

/// Values of each part of the scratch memory.
pub(super) struct Sizes {
    /// Of each of `input`, `hidden` and `output`.
    activation: usize,
    skips: usize,
    local: usize,
    condition: usize,
    film: usize,
    stats: usize,
}

impl Sizes {
    pub fn new(config: &UnetConfig, batch: usize, length: usize) -> Self {
        let dims = config.down_dims.as_slice();
        let largest = dims.iter().copied().max().unwrap_or(0);
        let sample = config.shape(config.input_dim, batch, length);
        let outer = config.input_dim.max(config.local_cond_dim.unwrap_or(0));
        let mut activation = 4 * config.diffusion_step_embed_dim * batch;
        let mut skips = 0;
        for (level, dim) in dims.iter().enumerate() {
            let above = if level == 0 { outer } else { dims[level - 1] };
            let shape = sample.with_length(length >> level);
            // The widest tensor of a level is the concatenation with its skip, or what comes from
            // above.
            activation = activation.max(shape.with_channels((2 * dim).max(above)).len());
            skips += shape.with_channels(*dim).len();
        }
        let local = config
            .local_cond_dim
            .map_or(0, |_| sample.with_channels(dims[0]).len());
        Self {
            activation,
            skips,
            local,
            condition: batch * config.cond_dim(),
            film: batch * 2 * largest,
            stats: 2 * largest,
        }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        3 * self.activation + self.skips + self.local + self.condition + self.film + self.stats
    }
}

/// The network's three buffers: every layer reads `input`, writes `output`, and makes its result
/// the next input.
struct Activations<'s> {
    /// A tensor of `shape`.
    input: &'s mut [f32],
    /// Between a block's two convolutions; then its residual.
    hidden: &'s mut [f32],
    output: &'s mut [f32],
    shape: Shape,
}

impl Activations<'_> {
    /// Makes the tensor of `shape` in `output` the input of the next layer.
    fn advance(&mut self, shape: Shape) {
        core::mem::swap(&mut self.input, &mut self.output);
        self.shape = shape;
    }

    /// The tensor in `input`, padding included.
    fn tensor(&self) -> &[f32] {
        &self.input[..self.shape.len()]
    }

    fn tensor_mut(&mut self) -> &mut [f32] {
        &mut self.input[..self.shape.len()]
    }
}

/// Runs the network over `length` positions; everything has been checked.
pub(super) fn run<O: Observer>(
    (config, layers, weights): (&UnetConfig, &Layers, &[f32]),
    (input, length): (&UnetInput<'_>, usize),
    output: &mut [f32],
    scratch: &mut [f32],
    observer: &mut O,
) {
    let sizes = Sizes::new(config, input.batch, length);
    let shape = config.shape(config.input_dim, input.batch, length);
    let mut rest = scratch;
    let mut part = |len| rest.split_off_mut(..len).unwrap_or_default();
    let mut at = Activations {
        input: part(sizes.activation),
        hidden: part(sizes.activation),
        output: part(sizes.activation),
        shape,
    };
    let skips = part(sizes.skips);
    let local = part(sizes.local);
    let mut pass = ForwardPass {
        config,
        layers,
        weights,
        condition: part(sizes.condition),
        film: part(sizes.film),
        stats: part(sizes.stats),
        probe: Probe::new(observer),
    };
    pass.encode_step(input.timesteps, &mut at);
    pass.gather_condition(input, &at);
    let local = pass.encode_local(input.local_cond, (shape, local), &mut at);
    pass.load(input.sample, shape, &mut at);
    pass.down(local, skips, &mut at);
    pass.mid(&mut at);
    pass.up(skips, &mut at);
    pass.finish(output, &mut at);
}

/// What every layer of a pass needs beside its input.
struct ForwardPass<'p, 'o, O> {
    config: &'p UnetConfig,
    layers: &'p Layers,
    weights: &'p [f32],
    /// `[B][embedding, global condition]`, after Mish.
    condition: &'p mut [f32],
    /// `[B][scale, bias]` of the residual block that runs.
    film: &'p mut [f32],
    /// Two values per channel, for GroupNorm.
    stats: &'p mut [f32],
    probe: Probe<'o, O>,
}

impl<O: Observer> ForwardPass<'_, '_, O> {
    /// Embeds the diffusion steps: `[steps][embedding]` in `input`.
    fn encode_step(&mut self, timesteps: &[f32], at: &mut Activations<'_>) {
        let [first, second] = self.layers.step_encoder;
        let shape = Shape::of_vectors(timesteps.len(), first.n_inputs);
        for (step, row) in timesteps
            .iter()
            .zip(at.input.chunks_exact_mut(first.n_inputs))
        {
            kernels::sinusoidal_embedding(*step, row);
        }
        at.shape = shape;
        self.within(format_args!("diffusion_step_encoder"), |pass| {
            pass.probe.show(format_args!("0"), shape, at.input);
            pass.linear(first, at);
            pass.probe.show(format_args!("1"), at.shape, at.input);
            kernels::mish(at.tensor_mut());
            pass.probe.show(format_args!("2"), at.shape, at.input);
            pass.linear(second, at);
            pass.probe.show(format_args!("3"), at.shape, at.input);
        });
    }

    fn linear(&mut self, linear: Linear, at: &mut Activations<'_>) {
        let shape = at.shape.with_channels(linear.n_outputs);
        let weights = linear.of(self.weights);
        convolve(weights, at.input, at.shape, at.output, shape, (1, 0));
        at.advance(shape);
    }

    /// Puts embedding and global condition side by side, and Mish over them, which every block
    /// starts with.
    fn gather_condition(&mut self, input: &UnetInput<'_>, at: &Activations<'_>) {
        let embed = self.config.diffusion_step_embed_dim;
        let cond_dim = self.config.cond_dim();
        for (plan, row) in self.condition.chunks_exact_mut(cond_dim).enumerate() {
            let (step, global) = row.split_at_mut(embed);
            let from = if input.timesteps.len() == 1 { 0 } else { plan };
            step.copy_from_slice(&at.input[from * embed..(from + 1) * embed]);
            if let Some(cond) = input.global_cond {
                global.copy_from_slice(&cond[plan * global.len()..(plan + 1) * global.len()]);
            }
        }
        let shape = Shape::of_vectors(input.batch, cond_dim);
        self.probe
            .show(format_args!("global_feature"), shape, self.condition);
        kernels::mish(self.condition);
    }

    /// Encodes the local condition, if there is one, into `local`.
    fn encode_local<'l>(
        &mut self,
        cond: Option<&[f32]>,
        (shape, local): (Shape, &'l mut [f32]),
        at: &mut Activations<'_>,
    ) -> Option<&'l [f32]> {
        let (cond, block, dim) = (cond?, self.layers.local?, self.config.local_cond_dim?);
        at.shape = shape.with_channels(dim);
        at.shape.load(cond, at.input);
        self.residual_block(format_args!("local_cond_encoder.0"), &block, at);
        local.copy_from_slice(at.tensor());
        Some(local)
    }

    /// The sample as the network's input.
    fn load(&mut self, sample: &[f32], shape: Shape, at: &mut Activations<'_>) {
        at.shape = shape;
        shape.load(sample, at.input);
        self.probe.show(format_args!("sample"), shape, at.input);
    }

    /// The way down; each level's tensor before its downsampling goes to `skips`.
    fn down(&mut self, local: Option<&[f32]>, mut skips: &mut [f32], at: &mut Activations<'_>) {
        for (level, modules) in self.layers.down.iter().enumerate() {
            let [first, second] = &modules.resnets;
            self.within(format_args!("down_modules.{level}"), |pass| {
                pass.residual_block(format_args!("0"), first, at);
                if let (0, Some(local)) = (level, local) {
                    kernels::add(at.tensor_mut(), local);
                }
                pass.residual_block(format_args!("1"), second, at);
                if let Some(skip) = skips.split_off_mut(..at.shape.len()) {
                    skip.copy_from_slice(at.tensor());
                }
                if let Some(downsample) = modules.downsample {
                    pass.downsample(downsample, at);
                }
            });
        }
    }

    fn mid(&mut self, at: &mut Activations<'_>) {
        for (index, block) in self.layers.mid.iter().enumerate() {
            self.residual_block(format_args!("mid_modules.{index}"), block, at);
        }
    }

    /// The way up; it takes the skips from the last to the second.
    fn up(&mut self, mut skips: &[f32], at: &mut Activations<'_>) {
        for (index, modules) in self.layers.up.iter().enumerate() {
            let [first, second] = &modules.resnets;
            let (rest, skip) = skips.split_at(skips.len() - at.shape.len());
            skips = rest;
            self.within(format_args!("up_modules.{index}"), |pass| {
                pass.join_skip(skip, at);
                pass.residual_block(format_args!("0"), first, at);
                pass.residual_block(format_args!("1"), second, at);
                pass.upsample(&modules.upsample, at);
            });
        }
    }

    /// The last convolution block, and the 1x1 convolution to the sample's channels, into `output`.
    fn finish(&mut self, output: &mut [f32], at: &mut Activations<'_>) {
        let (block, last) = (self.layers.final_block, self.layers.final_conv);
        let shape = at.shape;
        let out_shape = Shape {
            n_channels: last.n_outputs,
            padding: 0,
            ..shape
        };
        self.within(format_args!("final_conv"), |pass| {
            pass.conv_block(format_args!("0"), block, at.input, shape, at.output);
            let weights = last.of(pass.weights);
            convolve(weights, at.output, shape, output, out_shape, (1, 0));
            pass.probe.show(format_args!("1"), out_shape, output);
        });
    }

    /// `y = mish(norm(conv(h))) + residual(x)` with `h = film(mish(norm(conv(x))))`.
    ///
    /// What the buffers hold after each step; `-` is no longer needed.
    ///
    /// | step | `input` | `hidden` | `output` |
    /// | --- | --- | --- | --- |
    /// | first convolution, GroupNorm, Mish, FiLM | `x` | `h` | - |
    /// | second convolution, GroupNorm, Mish | `x` | - | `mish(norm(conv(h)))` |
    /// | 1x1 convolution, if there is one | `x` | `residual(x)` | as before |
    /// | sum | - | - | `y`, the next `input` |
    fn residual_block(
        &mut self,
        part: Arguments<'_>,
        block: &ResidualBlock,
        at: &mut Activations<'_>,
    ) {
        let shape = at.shape;
        let out_shape = shape.with_channels(block.second.conv.n_outputs);
        self.within(part, |pass| {
            pass.conv_block(
                format_args!("blocks.0"),
                block.first,
                at.input,
                shape,
                at.hidden,
            );
            pass.modulate(block.film, out_shape, at.hidden);
            let to = &mut *at.output;
            pass.conv_block(
                format_args!("blocks.1"),
                block.second,
                at.hidden,
                out_shape,
                to,
            );
            match block.residual_conv {
                None => kernels::add(&mut at.output[..shape.len()], at.input),
                Some(conv) => {
                    let residual = out_shape.padded_mut(at.hidden);
                    let weights = conv.of(pass.weights);
                    convolve(weights, at.input, shape, residual, out_shape, (1, 0));
                    pass.probe
                        .show(format_args!("residual_conv"), out_shape, residual);
                    kernels::add(&mut at.output[..out_shape.len()], residual);
                }
            }
            at.advance(out_shape);
            pass.probe.show_here(out_shape, at.input);
        });
    }

    /// Convolution (stride 1, length kept), GroupNorm and Mish of `x` into `y`.
    fn conv_block(
        &mut self,
        part: Arguments<'_>,
        block: ConvBlock,
        x: &[f32],
        shape: Shape,
        y: &mut [f32],
    ) {
        let out_shape = shape.with_channels(block.conv.n_outputs);
        let y = out_shape.padded_mut(y);
        let padding = self.config.kernel_size / 2;
        self.within(part, |pass| {
            let weights = block.conv.of(pass.weights);
            convolve(weights, x, shape, y, out_shape, (1, padding));
            pass.probe.show(format_args!("block.0"), out_shape, y);
            let affine = block.norm.of(pass.weights);
            kernels::group_norm(y, out_shape, block.norm.n_groups, affine, pass.stats);
            pass.probe.show(format_args!("block.1"), out_shape, y);
            // The padding stays zero: Mish(0) = 0.
            kernels::mish(y);
            pass.probe.show(format_args!("block.2"), out_shape, y);
        });
    }

    /// FiLM of `tensor` by a block's projection of the condition.
    fn modulate(&mut self, projection: Linear, shape: Shape, tensor: &mut [f32]) {
        let cond_shape = Shape::of_vectors(shape.batch, projection.n_inputs);
        let film_shape = cond_shape.with_channels(projection.n_outputs);
        self.probe
            .show(format_args!("cond_encoder.0"), cond_shape, self.condition);
        let weights = projection.of(self.weights);
        convolve(
            weights,
            self.condition,
            cond_shape,
            self.film,
            film_shape,
            (1, 0),
        );
        self.probe
            .show(format_args!("cond_encoder.1"), film_shape, self.film);
        let films = self.film.chunks_exact(projection.n_outputs);
        for (plan, film) in films.enumerate().take(shape.batch) {
            let rows = &mut tensor[shape.rows(plan)];
            match self.config.cond_predict_scale {
                false => kernels::shift_rows(rows, film),
                true => {
                    let (scale, bias) = film.split_at(shape.n_channels);
                    kernels::scale_rows(rows, scale, bias);
                }
            }
        }
        self.probe.show(format_args!("film"), shape, tensor);
    }

    /// Puts a level's skip beside the tensor: `[L][C]` becomes `[L][2 C]`.
    fn join_skip(&mut self, skip: &[f32], at: &mut Activations<'_>) {
        let shape = at.shape;
        let joined_shape = shape.with_channels(2 * shape.n_channels);
        let joined = joined_shape.padded_mut(at.output);
        for plan in 0..shape.batch {
            let own = at.input[shape.rows(plan)].chunks_exact(shape.n_channels);
            let skip = skip[shape.rows(plan)].chunks_exact(shape.n_channels);
            let rows = joined[joined_shape.rows(plan)].chunks_exact_mut(2 * shape.n_channels);
            for ((row, own), skip) in rows.zip(own).zip(skip) {
                let (first, second) = row.split_at_mut(shape.n_channels);
                first.copy_from_slice(own);
                second.copy_from_slice(skip);
            }
        }
        at.advance(joined_shape);
        self.probe.show(format_args!("cat"), joined_shape, at.input);
    }

    /// A convolution of three taps, stride 2, padding 1: `[L][C]` becomes `[L / 2][C]`.
    fn downsample(&mut self, layer: Downsample, at: &mut Activations<'_>) {
        let half = at.shape.with_length(at.shape.length / 2);
        let weights = layer.of(self.weights);
        let to = half.padded_mut(at.output);
        convolve(weights, at.input, at.shape, to, half, (2, 1));
        at.advance(half);
        self.probe.show(format_args!("2.conv"), half, at.input);
    }

    /// A transposed convolution of four taps, stride 2, padding 1: `[L][C]` becomes `[2 L][C]`.
    fn upsample(&mut self, layer: &Upsample, at: &mut Activations<'_>) {
        let shape = at.shape;
        let double = shape.with_length(2 * shape.length);
        let to = double.padded_mut(at.output);
        for (phase, conv) in layer.phases.iter().enumerate() {
            kernels::matmul(
                at.input,
                shape.block(shape.padding + phase - 1, 1, shape.length),
                conv.of(self.weights),
                to,
                double.block(double.padding + phase, 2, shape.length),
            );
        }
        at.advance(double);
        self.probe.show(format_args!("2.conv"), double, at.input);
    }

    /// Runs `module` with `part` appended to the path that the observer sees.
    fn within(&mut self, part: Arguments<'_>, module: impl FnOnce(&mut Self)) {
        let before = self.probe.enter(part);
        module(self);
        self.probe.leave(before);
    }
}

/// Convolution of `x` into `y`: `y`'s rows from `x`'s with this stride and padding.
fn convolve(
    weights: kernels::PackedLinear<'_>,
    x: &[f32],
    shape: Shape,
    y: &mut [f32],
    out_shape: Shape,
    (stride, padding): (usize, usize),
) {
    let from = shape.block(shape.padding - padding, stride, out_shape.length);
    let to = out_shape.block(out_shape.padding, 1, out_shape.length);
    kernels::matmul(x, from, weights, y, to);
}
