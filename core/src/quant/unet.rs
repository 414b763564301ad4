//! One pass of the network, in integers.

use super::linear::{LANES, Linear};
use super::model::{Block, ConvBlock, Film, Model, Resample, Settings};
use super::read;
use super::rounding::{rounding_shift_right, saturate_i16};
use super::scratch::{ACTION_DIM, Activations};
use fixed::types::I8F24;

/// Sees every tensor that the network computes, in the order of the computation.
///
/// A tensor is `[L][C]`: the values, `C`, and how many binary places a value has.
pub trait Tap {
    /// Called once a tensor.
    fn tensor(&mut self, values: &[i16], n_channels: usize, exponent: u32);
}

/// Looks at nothing.
pub struct NoTap;

impl Tap for NoTap {
    #[inline(always)]
    fn tensor(&mut self, _: &[i16], _: usize, _: u32) {}
}

/// A tensor between its zero rows: `[padding + L + padding][C]`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    length: usize,
    n_channels: usize,
    padding: usize,
}

impl Shape {
    /// The `L` rows.
    fn rows(self, buffer: &[i16]) -> &[i16] {
        &buffer[self.padding * self.n_channels..][..self.length * self.n_channels]
    }

    /// The `L` rows; the rows around them are made zero.
    fn rows_mut(self, buffer: &mut [i16]) -> &mut [i16] {
        let border = self.padding * self.n_channels;
        let (before, rest) = buffer.split_at_mut(border);
        let (rows, after) = rest.split_at_mut(self.length * self.n_channels);
        before.fill(0);
        after[..border].fill(0);
        rows
    }

    /// What a kernel of `taps` sees from its first position on, that position being `taps / 2` rows early.
    fn windows(self, buffer: &[i16], taps: usize) -> &[i16] {
        &buffer[(self.padding - taps / 2) * self.n_channels..]
    }

    fn with_channels(self, n_channels: usize) -> Self {
        Self { n_channels, ..self }
    }

    fn with_length(self, length: usize) -> Self {
        Self { length, ..self }
    }
}

/// The observation's share of all FiLM projections, from the condition into `film`: once a plan.
pub(super) fn project_condition(model: &Model<'_>, condition: &[i16], film: &mut [i16]) {
    let mut rest = film;
    for block in &model.unet.blocks {
        let (share, others) = rest.split_at_mut(model.settings.film_len(block.n_channels));
        block
            .film
            .condition
            .for_each_output(condition, 0, 1, |_, output, value| {
                share[output] = saturate_i16(i64::from(value));
            });
        rest = others;
    }
}

/// The network's output for `sample` (`[Tp][2]`) at pass `pass`.
pub(super) fn forward(
    model: &Model<'_>,
    pass: usize,
    sample: &[[I8F24; ACTION_DIM]],
    film: &[i16],
    memory: &mut Activations<'_>,
    output: &mut [[I8F24; ACTION_DIM]],
    tap: &mut impl Tap,
) {
    let mut network = Network {
        settings: &model.settings,
        pass,
        film,
        memory,
        shape: Shape {
            length: sample.len(),
            n_channels: LANES,
            padding: model.settings.padding(),
        },
        tap,
    };
    let unet = &model.unet;
    let n_levels = model.settings.n_levels;
    let (down, rest) = unet.blocks.split_at(2 * n_levels);
    let (middle, up) = rest.split_at(2);

    network.load(sample, model.settings.sample_exponent);
    for (level, blocks) in down.chunks_exact(2).enumerate() {
        network.blocks(blocks);
        // The first level's skip has no reader: the way up ends one level below it.
        if level > 0 {
            network.save_skip(level);
        }
        if let Some(downsample) = unet.downsamples.get(level) {
            network.downsample(downsample);
        }
    }
    network.blocks(middle);
    for (i, (blocks, upsample)) in up.chunks_exact(2).zip(&unet.upsamples).enumerate() {
        network.join_skip(n_levels - 1 - i);
        network.blocks(blocks);
        network.upsample(upsample);
    }
    network.conv_block(&unet.final_block, unet.final_exponent);
    network.write_output(&unet.final_conv, output);
}

/// Where a pass stands: `memory.input` holds a tensor of `shape`.
struct Network<'n, 's, T> {
    settings: &'n Settings,
    pass: usize,
    /// The projections of the blocks that are still to come.
    film: &'n [i16],
    memory: &'n mut Activations<'s>,
    shape: Shape,
    tap: &'n mut T,
}

impl<T: Tap> Network<'_, '_, T> {
    /// The sample as the network's input, with channels of zeros up to [`LANES`].
    fn load(&mut self, sample: &[[I8F24; ACTION_DIM]], exponent: u32) {
        let rows = self.shape.rows_mut(self.memory.input);
        for (row, values) in rows.chunks_exact_mut(LANES).zip(sample) {
            row.fill(0);
            for (place, value) in row.iter_mut().zip(values) {
                let bits = i64::from(value.to_bits());
                *place = saturate_i16(rounding_shift_right(bits, I8F24::FRAC_NBITS - exponent));
            }
        }
        self.tap.tensor(rows, LANES, exponent);
    }

    fn blocks(&mut self, blocks: &[Block<'_>]) {
        for block in blocks {
            self.residual_block(block);
        }
    }

    /// `mish(norm(conv(film(mish(norm(conv(x))))))) + residual(x)`.
    fn residual_block(&mut self, block: &Block<'_>) {
        let (shape, out_shape) = (self.shape, self.shape.with_channels(block.n_channels));
        let Activations {
            input,
            hidden,
            output,
            ..
        } = &mut *self.memory;
        let taps = self.settings.kernel_size;

        let windows = shape.windows(input, taps);
        convolve(
            &block.first.conv,
            windows,
            shape.n_channels,
            out_shape.rows_mut(output),
        );
        let convolved = out_shape.rows(output);
        self.tap
            .tensor(convolved, block.n_channels, block.first.conv_exponent);

        let (projection, rest) = self.film.split_at(self.settings.film_len(block.n_channels));
        self.film = rest;
        let modulation = Modulation::new(self.settings, block, self.pass, projection);
        let rows = out_shape.rows_mut(hidden);
        let norm = block.first.norm;
        norm.activate(
            convolved,
            rows,
            |channel| modulation.of_channel(channel),
            |channel, y_q16, _| channel.apply(y_q16),
        );
        self.tap
            .tensor(rows, block.n_channels, block.hidden_exponent);

        let windows = out_shape.windows(hidden, taps);
        convolve(
            &block.second.conv,
            windows,
            block.n_channels,
            out_shape.rows_mut(output),
        );
        let convolved = out_shape.rows(output);
        self.tap
            .tensor(convolved, block.n_channels, block.second.conv_exponent);

        let rows = if let Some(residual) = &block.residual {
            let rows = out_shape.rows_mut(hidden);
            convolve(residual, shape.rows(input), shape.n_channels, rows);
            self.tap
                .tensor(rows, block.n_channels, block.residual_exponent);
            out_shape.rows_mut(input).copy_from_slice(rows);
            out_shape.rows_mut(input)
        } else {
            shape.rows_mut(input)
        };
        let (up, down) = (16 - block.residual_exponent, 16 - block.exponent);
        let norm = block.second.norm;
        norm.activate(
            convolved,
            rows,
            |_| (),
            |(), y_q16, residual| {
                let sum_q16 = i64::from(y_q16) + (i64::from(residual) << up);
                saturate_i16(rounding_shift_right(sum_q16, down))
            },
        );
        self.tap.tensor(rows, block.n_channels, block.exponent);
        self.shape = out_shape;
    }

    /// Convolution, GroupNorm and Mish in place, without FiLM.
    fn conv_block(&mut self, block: &ConvBlock<'_>, exponent: u32) {
        let Activations { input, output, .. } = &mut *self.memory;
        let windows = self.shape.windows(input, self.settings.kernel_size);
        convolve(
            &block.conv,
            windows,
            self.shape.n_channels,
            self.shape.rows_mut(output),
        );
        let convolved = self.shape.rows(output);
        self.tap
            .tensor(convolved, self.shape.n_channels, block.conv_exponent);
        let rows = self.shape.rows_mut(input);
        block.norm.activate(
            convolved,
            rows,
            |_| (),
            |(), y_q16, _| saturate_i16(rounding_shift_right(i64::from(y_q16), 16 - exponent)),
        );
        self.tap.tensor(rows, self.shape.n_channels, exponent);
    }

    /// The place of a level's skip: the levels before it have halved the length as often.
    fn skip_range(&self, level: usize) -> core::ops::Range<usize> {
        let len = |level: usize| (self.settings.horizon >> level) * self.settings.down_dims[level];
        let start = (1..level).map(len).sum();
        start..start + len(level)
    }

    fn save_skip(&mut self, level: usize) {
        let range = self.skip_range(level);
        self.memory.skips[range].copy_from_slice(self.shape.rows(self.memory.input));
    }

    /// Puts a level's skip beside the tensor: `[L][C]` becomes `[L][2 C]`.
    fn join_skip(&mut self, level: usize) {
        let n_channels = self.shape.n_channels;
        let range = self.skip_range(level);
        let Activations {
            input,
            hidden,
            skips,
            ..
        } = &mut *self.memory;
        let copy = self.shape.rows_mut(hidden);
        copy.copy_from_slice(self.shape.rows(input));
        self.shape = self.shape.with_channels(2 * n_channels);
        let joined = self.shape.rows_mut(input).chunks_exact_mut(2 * n_channels);
        let own = copy.chunks_exact(n_channels);
        let skip = skips[range].chunks_exact(n_channels);
        for ((row, own), skip) in joined.zip(own).zip(skip) {
            row[..n_channels].copy_from_slice(own);
            row[n_channels..].copy_from_slice(skip);
        }
    }

    /// Three taps, stride 2, padding 1: `[L][C]` becomes `[L / 2][C]`.
    fn downsample(&mut self, layer: &Resample<'_>) {
        let n_channels = self.shape.n_channels;
        let half = self.shape.with_length(self.shape.length / 2);
        let Activations { input, hidden, .. } = &mut *self.memory;
        let rows = half.rows_mut(hidden);
        convolve(
            &layer.phases[0],
            self.shape.windows(input, 3),
            2 * n_channels,
            rows,
        );
        half.rows_mut(input).copy_from_slice(rows);
        self.tap.tensor(rows, n_channels, layer.exponent);
        self.shape = half;
    }

    /// A transposed convolution of four taps, stride 2, padding 1: `[L][C]` becomes `[2 L][C]`.
    ///
    /// Output `2 m` sees inputs `m - 1` and `m`, output `2 m + 1` sees `m` and `m + 1`: two convolutions of two taps.
    fn upsample(&mut self, layer: &Resample<'_>) {
        let n_channels = self.shape.n_channels;
        let double = self.shape.with_length(2 * self.shape.length);
        let Activations { input, hidden, .. } = &mut *self.memory;
        let rows = double.rows_mut(hidden);
        let even_windows = self.shape.windows(input, 2);
        for (phase, linear) in layer.phases.iter().enumerate() {
            let windows = &even_windows[phase * n_channels..];
            linear.for_each_output(
                windows,
                n_channels,
                self.shape.length,
                |m, channel, value| {
                    rows[(2 * m + phase) * n_channels + channel] = saturate_i16(i64::from(value));
                },
            );
        }
        double.rows_mut(input).copy_from_slice(rows);
        self.tap.tensor(rows, n_channels, layer.exponent);
        self.shape = double;
    }

    /// The last 1x1 convolution, in I8F24.
    fn write_output(&mut self, linear: &Linear<'_>, output: &mut [[I8F24; ACTION_DIM]]) {
        let rows = self.shape.rows(self.memory.input);
        linear.for_each_output(
            rows,
            self.shape.n_channels,
            output.len(),
            |position, axis, value| {
                output[position][axis] = I8F24::from_bits(value);
            },
        );
    }
}

/// All positions of a convolution: `output` is `[L][C_out]`, windows start `step` values apart.
fn convolve(linear: &Linear<'_>, windows: &[i16], step: usize, output: &mut [i16]) {
    let n_channels = linear.n_outputs();
    let n_positions = output.len() / n_channels;
    linear.for_each_output(windows, step, n_positions, |position, channel, value| {
        output[position * n_channels + channel] = saturate_i16(i64::from(value));
    });
}

/// FiLM for one block at one pass.
struct Modulation<'m> {
    film: Film<'m>,
    /// The diffusion step's share of this pass.
    step: &'m [u8],
    /// The observation's share.
    observation: &'m [i16],
    n_channels: usize,
    has_scale: bool,
    hidden_exponent: u32,
}

/// FiLM for one channel: `scale y + bias`.
struct ChannelModulation {
    scale: i32,
    /// Sixteen more binary places than `scale`.
    bias: i64,
    /// From the sum's binary places to the result's.
    shift: u32,
}

impl<'m> Modulation<'m> {
    fn new(settings: &Settings, block: &Block<'m>, pass: usize, observation: &'m [i16]) -> Self {
        let size = 2 * observation.len();
        Self {
            film: block.film,
            step: &block.film.steps[pass * size..][..size],
            observation,
            n_channels: block.n_channels,
            has_scale: settings.film_has_scale,
            hidden_exponent: block.hidden_exponent,
        }
    }

    fn projection(&self, output: usize) -> i32 {
        i32::from(read::i16_of(self.step, output)) + i32::from(self.observation[output])
    }

    fn of_channel(&self, channel: usize) -> ChannelModulation {
        let (scale, bias) = if self.has_scale {
            (
                self.projection(channel),
                self.projection(self.n_channels + channel),
            )
        } else {
            (1 << self.film.exponent, self.projection(channel))
        };
        ChannelModulation {
            scale,
            bias: i64::from(bias) << 16,
            shift: 16 + self.film.exponent - self.hidden_exponent,
        }
    }
}

impl ChannelModulation {
    #[inline(always)]
    fn apply(&self, y_q16: i32) -> i16 {
        let value = i64::from(self.scale) * i64::from(y_q16) + self.bias;
        saturate_i16(rounding_shift_right(value, self.shift))
    }
}
