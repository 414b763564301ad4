//! One pass of the network, in integers.

use super::linear::{LANES, Linear, Outputs, Panel, Windows};
use super::model::{Block, ConvBlock, Model, Resample, Settings};
use super::modulation::Modulation;
use super::norm::Finish;
use super::rounding::{round_to_i16, rounding_shift_right, saturate_i16};
use super::scratch::{ACTION_DIM, Activations};
use super::slices;
use fixed::types::I8F24;

/// Sees every tensor that the network computes, in the order of the computation.
///
/// A tensor is `[L][C]`: the values, `C`, and how many binary places a value has.
pub trait Tap {
    /// Called once a tensor.
    fn tensor(&mut self, values: &[i16], n_channels: usize, exponent: u32);

    /// A matrix product (a convolution, a projection) begins.
    fn product_begins(&mut self) {}

    /// It has ended; `n_multiplications` is its size, taps on rows of zeros included.
    fn product_ends(&mut self, n_multiplications: usize) {
        let _ = n_multiplications;
    }
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
        slices::part(
            buffer,
            self.padding * self.n_channels,
            self.length * self.n_channels,
        )
    }

    /// The `L` rows; the rows around them are made zero.
    fn rows_mut(self, buffer: &mut [i16]) -> &mut [i16] {
        let border = self.padding * self.n_channels;
        let (before, rest) = slices::split_mut(buffer, border);
        let (rows, after) = slices::split_mut(rest, self.length * self.n_channels);
        before.fill(0);
        slices::part_mut(after, 0, border).fill(0);
        rows
    }

    /// What a kernel of `taps` sees, its first position being `taps / 2` rows early.
    fn windows(self, buffer: &[i16], taps: usize, stride: usize) -> Windows<'_> {
        Windows {
            values: slices::from(buffer, (self.padding - taps / 2) * self.n_channels),
            step: stride * self.n_channels,
            n_positions: self.length / stride,
        }
    }

    fn with_channels(self, n_channels: usize) -> Self {
        Self { n_channels, ..self }
    }

    fn with_length(self, length: usize) -> Self {
        Self { length, ..self }
    }
}

/// The observation's share of all FiLM projections, from the condition into `film`: once a plan.
pub(super) fn project_condition(
    model: &Model<'_>,
    condition: &[i16],
    film: &mut [i16],
    panel: &mut Panel,
    tap: &mut impl Tap,
) {
    let mut rest = film;
    for block in &model.unet.blocks {
        let film_len = model.settings.film_len(block.n_channels);
        let (share, others) = slices::split_mut(rest, film_len);
        let window = Windows {
            values: condition,
            step: 0,
            n_positions: 1,
        };
        multiply(&block.film.condition, window, panel, share, film_len, tap);
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
    let (down, rest) = slices::split(&unet.blocks, 2 * n_levels);
    let (middle, up) = slices::split(rest, 2);

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
        for (row, values) in slices::rows_mut(rows, LANES).zip(sample) {
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
            panel,
            ..
        } = &mut *self.memory;
        let taps = self.settings.kernel_size;

        let windows = shape.windows(input, taps, 1);
        let rows = out_shape.rows_mut(output);
        multiply(
            &block.first.conv,
            windows,
            panel,
            rows,
            block.n_channels,
            self.tap,
        );
        self.tap
            .tensor(rows, block.n_channels, block.first.conv_exponent);

        let film_len = self.settings.film_len(block.n_channels);
        let (projection, rest) = slices::split(self.film, film_len);
        self.film = rest;
        let modulation = Modulation::new(self.settings, block, self.pass, projection);
        let convolved = out_shape.rows(output);
        let rows = out_shape.rows_mut(hidden);
        modulation.activate(block.first.norm, convolved, rows);
        self.tap
            .tensor(rows, block.n_channels, block.hidden_exponent);

        let windows = out_shape.windows(hidden, taps, 1);
        let rows = out_shape.rows_mut(output);
        multiply(
            &block.second.conv,
            windows,
            panel,
            rows,
            block.n_channels,
            self.tap,
        );
        self.tap
            .tensor(rows, block.n_channels, block.second.conv_exponent);

        let rows = if let Some(residual) = &block.residual {
            let rows = out_shape.rows_mut(hidden);
            let windows = Windows {
                values: shape.rows(input),
                step: shape.n_channels,
                n_positions: shape.length,
            };
            multiply(residual, windows, panel, rows, block.n_channels, self.tap);
            self.tap
                .tensor(rows, block.n_channels, block.residual_exponent);
            slices::copy(rows, out_shape.rows_mut(input));
            out_shape.rows_mut(input)
        } else {
            shape.rows_mut(input)
        };
        let (up, down) = (16 - block.residual_exponent, 16 - block.exponent);
        block
            .second
            .norm
            .activate(out_shape.rows(output), rows, |_| AddTo { up, down });
        self.tap.tensor(rows, block.n_channels, block.exponent);
        self.shape = out_shape;
    }

    /// Convolution, GroupNorm and Mish in place, without FiLM.
    fn conv_block(&mut self, block: &ConvBlock<'_>, exponent: u32) {
        let Activations {
            input,
            output,
            panel,
            ..
        } = &mut *self.memory;
        let n_channels = self.shape.n_channels;
        let windows = self.shape.windows(input, self.settings.kernel_size, 1);
        let convolved = self.shape.rows_mut(output);
        multiply(&block.conv, windows, panel, convolved, n_channels, self.tap);
        self.tap.tensor(convolved, n_channels, block.conv_exponent);
        let rows = self.shape.rows_mut(input);
        let down = 16 - exponent;
        block.norm.activate(convolved, rows, |_| Store { down });
        self.tap.tensor(rows, n_channels, exponent);
    }

    /// The place of a level's skip, start and length: the levels before it have halved the length as often.
    fn skip_place(&self, level: usize) -> (usize, usize) {
        let dims = self.settings.down_dims.iter().enumerate();
        let mut lens = dims.map(|(level, dim)| (self.settings.horizon >> level) * dim);
        let start = lens.clone().take(level).skip(1).sum();
        (start, lens.nth(level).unwrap_or_default())
    }

    fn save_skip(&mut self, level: usize) {
        let (start, len) = self.skip_place(level);
        let skip = slices::part_mut(self.memory.skips, start, len);
        slices::copy(self.shape.rows(self.memory.input), skip);
    }

    /// Puts a level's skip beside the tensor: `[L][C]` becomes `[L][2 C]`.
    fn join_skip(&mut self, level: usize) {
        let n_channels = self.shape.n_channels;
        let (start, len) = self.skip_place(level);
        let Activations {
            input,
            hidden,
            skips,
            ..
        } = &mut *self.memory;
        let copy = self.shape.rows_mut(hidden);
        slices::copy(self.shape.rows(input), copy);
        self.shape = self.shape.with_channels(2 * n_channels);
        let joined = slices::rows_mut(self.shape.rows_mut(input), 2 * n_channels);
        let own = slices::rows(copy, n_channels);
        let skip = slices::rows(slices::part(skips, start, len), n_channels);
        for ((row, own), skip) in joined.zip(own).zip(skip) {
            let (first, second) = slices::split_mut(row, n_channels);
            slices::copy(own, first);
            slices::copy(skip, second);
        }
    }

    /// Three taps, stride 2, padding 1: `[L][C]` becomes `[L / 2][C]`.
    fn downsample(&mut self, layer: &Resample<'_>) {
        let n_channels = self.shape.n_channels;
        let half = self.shape.with_length(self.shape.length / 2);
        let Activations {
            input,
            hidden,
            panel,
            ..
        } = &mut *self.memory;
        let rows = half.rows_mut(hidden);
        let [linear, _] = &layer.phases;
        let windows = self.shape.windows(input, 3, 2);
        multiply(linear, windows, panel, rows, n_channels, self.tap);
        slices::copy(rows, half.rows_mut(input));
        self.tap.tensor(rows, n_channels, layer.exponent);
        self.shape = half;
    }

    /// A transposed convolution of four taps, stride 2, padding 1: `[L][C]` becomes `[2 L][C]`.
    ///
    /// Output `2 m` sees inputs `m - 1` and `m`, output `2 m + 1` sees `m` and `m + 1`: two convolutions of two taps.
    fn upsample(&mut self, layer: &Resample<'_>) {
        let n_channels = self.shape.n_channels;
        let double = self.shape.with_length(2 * self.shape.length);
        let Activations {
            input,
            hidden,
            panel,
            ..
        } = &mut *self.memory;
        let rows = double.rows_mut(hidden);
        let even = self.shape.windows(input, 2, 1);
        for (phase, linear) in layer.phases.iter().enumerate() {
            let windows = Windows {
                values: slices::from(even.values, phase * n_channels),
                ..even
            };
            let places = slices::from_mut(rows, phase * n_channels);
            multiply(linear, windows, panel, places, 2 * n_channels, self.tap);
        }
        slices::copy(rows, double.rows_mut(input));
        self.tap.tensor(rows, n_channels, layer.exponent);
        self.shape = double;
    }

    /// The last 1x1 convolution, in I8F24.
    fn write_output(&mut self, linear: &Linear<'_>, output: &mut [[I8F24; ACTION_DIM]]) {
        let windows = Windows {
            values: self.shape.rows(self.memory.input),
            step: self.shape.n_channels,
            n_positions: self.shape.length,
        };
        self.tap.product_begins();
        linear.for_each_output(windows, |position, axis, value| {
            let row = output.get_mut(position);
            if let Some(place) = row.and_then(|row| row.get_mut(axis)) {
                *place = I8F24::from_bits(value);
            }
        });
        self.tap
            .product_ends(linear.n_multiplications(windows.n_positions));
    }
}

/// Stores the activation, rounded to fewer places.
struct Store {
    down: u32,
}

impl Finish for Store {
    #[inline(always)]
    fn apply(&self, y_q16: i32, _: i16) -> i16 {
        round_to_i16(y_q16, self.down)
    }
}

/// Adds the activation to what is there (`up` places short of Q16), rounded to fewer places.
struct AddTo {
    up: u32,
    down: u32,
}

impl Finish for AddTo {
    #[inline(always)]
    fn apply(&self, y_q16: i32, old: i16) -> i16 {
        round_to_i16(y_q16.saturating_add(i32::from(old) << self.up), self.down)
    }
}

/// `linear` at every window; output `c` of position `p` goes to `outputs[p * step + c]`.
fn multiply(
    linear: &Linear<'_>,
    windows: Windows<'_>,
    panel: &mut Panel,
    outputs: &mut [i16],
    step: usize,
    tap: &mut impl Tap,
) {
    let outputs = Outputs {
        values: outputs,
        step,
    };
    tap.product_begins();
    linear.apply(windows, panel, outputs);
    tap.product_ends(linear.n_multiplications(windows.n_positions));
}
