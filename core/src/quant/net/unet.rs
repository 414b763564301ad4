//! One pass of the network, in integers.

use crate::quant::format::model::{Block, ConvBlock, Model, Resample, Settings};
use crate::quant::kernels::linear::{LANES, Linear, Outputs, Product, Windows};
use crate::quant::kernels::norm::{Epilogue, Modulation};
use crate::quant::kernels::panel::Panel;
use crate::quant::kernels::rounding::{rounding_shift_right, saturate_i16};
use crate::quant::kernels::slices;
use crate::quant::net::scratch::{Activations, Parts};
use fixed::types::I8F24;

/// Sees every tensor that the network computes, in the order of the computation.
///
/// A tensor is `[L][C]`: the values, `C`, and how many binary places a value has.
pub trait Tap {
    /// Called once a tensor.
    fn tensor(&mut self, values: &[i16], n_channels: usize, exponent: u32);

    /// A matrix product (a convolution, a projection) begins.
    fn product_begins(&mut self) {}

    /// It has ended.
    fn product_ends(&mut self, layer: Layer) {
        let _ = layer;
    }
}

/// A matrix product of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is.
    pub kind: LayerKind,
    /// Outputs of a position.
    pub n_outputs: usize,
    /// Inputs of an output, taps on rows of zeros included.
    pub n_inputs: usize,
    /// Positions, of all plans together.
    pub n_positions: usize,
}

/// What a [`Layer`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LayerKind {
    /// The observation's share of a block's FiLM projection.
    Film,
    /// A convolution.
    Convolution,
    /// A block's residual connection, a convolution of one tap.
    Residual,
    /// A convolution of stride 2.
    Downsample,
    /// A phase of a transposed convolution of stride 2.
    Upsample,
    /// The last convolution, of one tap.
    Output,
}

impl Layer {
    fn new(kind: LayerKind, linear: &Linear<'_>, n_positions: usize) -> Self {
        Self {
            kind,
            n_outputs: linear.n_rows(),
            n_inputs: linear.window(),
            n_positions,
        }
    }

    /// Multiplications of a weight with an activation.
    pub fn n_multiplications(&self) -> usize {
        self.n_outputs * self.n_inputs * self.n_positions
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

    /// The `L` rows; those around them are not for [`windows`](Self::windows).
    fn inner_mut(self, buffer: &mut [i16]) -> &mut [i16] {
        slices::part_mut(
            buffer,
            self.padding * self.n_channels,
            self.length * self.n_channels,
        )
    }

    /// What a kernel of `taps` sees, its first position being `taps / 2` rows early.
    fn windows(self, buffer: &[i16], taps: usize, stride: usize) -> Windows<'_> {
        Windows {
            values: slices::from(buffer, (self.padding - taps / 2) * self.n_channels),
            step: stride * self.n_channels,
            n_positions: self.length / stride,
        }
    }

    /// The product that fills a tensor of this shape in `buffer`.
    fn product<'a>(
        self,
        windows: Windows<'a>,
        panel: &'a mut Panel,
        buffer: &'a mut [i16],
    ) -> Product<'a> {
        Product {
            windows,
            panel,
            outputs: Outputs {
                values: self.inner_mut(buffer),
                step: self.n_channels,
            },
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
pub(crate) fn project_condition<const B: usize>(
    model: &Model<'_>,
    parts: &mut [Parts<'_>; B],
    tap: &mut impl Tap,
) {
    let mut film_at = 0;
    for block in &model.unet.blocks {
        let film_len = model.settings.film_len(block.n_channels);
        let products = parts.each_mut().map(|part| Product {
            windows: Windows {
                values: part.condition,
                step: 0,
                n_positions: 1,
            },
            panel: part.activations.panel,
            outputs: Outputs {
                values: slices::part_mut(part.film, film_at, film_len),
                step: film_len,
            },
        });
        multiply(LayerKind::Film, &block.film.condition, products, tap);
        film_at += film_len;
    }
}

/// The network's output for every `sample` (`[Tp][2]`) at pass `pass`.
pub(crate) fn forward<const B: usize>(
    model: &Model<'_>,
    pass: usize,
    parts: &mut [Parts<'_>; B],
    tap: &mut impl Tap,
) {
    let mut network = Network {
        settings: &model.settings,
        pass,
        film_at: 0,
        parts,
        shape: Shape {
            length: model.settings.horizon,
            n_channels: LANES,
            padding: model.settings.padding(),
        },
        hidden_shape: None,
        tap,
    };
    let unet = &model.unet;
    let n_levels = model.settings.n_levels;
    let (down, rest) = slices::split(&unet.blocks, 2 * n_levels);
    let (middle, up) = slices::split(rest, 2);

    network.load(model.settings.sample_exponent);
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
    network.write_output(&unet.final_conv);
}

/// Where a pass stands: every environment's `activations.input` holds a tensor of `shape`.
struct Network<'n, 's, T, const B: usize> {
    settings: &'n Settings,
    pass: usize,
    /// Where the projections of the blocks that are still to come begin.
    film_at: usize,
    /// The memory of each environment.
    parts: &'n mut [Parts<'s>; B],
    shape: Shape,
    /// For which the rows around those of `activations.hidden` are zero.
    hidden_shape: Option<Shape>,
    tap: &'n mut T,
}

impl<T: Tap, const B: usize> Network<'_, '_, T, B> {
    /// The sample as the network's input, with channels of zeros up to [`LANES`].
    fn load(&mut self, exponent: u32) {
        for part in self.parts.iter_mut() {
            let rows = self.shape.rows_mut(part.activations.input);
            for (row, values) in slices::rows_mut(rows, LANES).zip(part.sample.iter()) {
                row.fill(0);
                for (place, value) in row.iter_mut().zip(values) {
                    let bits = i64::from(value.to_bits());
                    *place = saturate_i16(rounding_shift_right(bits, I8F24::FRAC_NBITS - exponent));
                }
            }
            self.tap.tensor(rows, LANES, exponent);
        }
    }

    fn blocks(&mut self, blocks: &[Block<'_>]) {
        for block in blocks {
            self.residual_block(block);
        }
    }

    /// `mish(norm(conv(film(mish(norm(conv(x))))))) + residual(x)`.
    fn residual_block(&mut self, block: &Block<'_>) {
        let (shape, out_shape) = (self.shape, self.shape.with_channels(block.n_channels));
        let taps = self.settings.kernel_size;

        let products = self.parts.each_mut().map(|part| {
            let of = &mut part.activations;
            out_shape.product(shape.windows(of.input, taps, 1), of.panel, of.output)
        });
        multiply(
            LayerKind::Convolution,
            &block.first.conv,
            products,
            self.tap,
        );

        let film_len = self.settings.film_len(block.n_channels);
        for part in self.parts.iter_mut() {
            let Activations {
                hidden,
                output,
                panel,
                ..
            } = &mut part.activations;
            let convolved = out_shape.rows(output);
            self.tap
                .tensor(convolved, block.n_channels, block.first.conv_exponent);
            let projection = slices::part(part.film, self.film_at, film_len);
            let film = modulation(self.settings, block, self.pass, projection);
            let rows = if self.hidden_shape == Some(out_shape) {
                out_shape.inner_mut(hidden)
            } else {
                out_shape.rows_mut(hidden)
            };
            (block.first.norm).activate(convolved, rows, &Epilogue::Modulate(film), panel);
            self.tap
                .tensor(rows, block.n_channels, block.hidden_exponent);
        }
        self.film_at += film_len;
        self.hidden_shape = Some(out_shape);

        let products = self.parts.each_mut().map(|part| {
            let of = &mut part.activations;
            out_shape.product(out_shape.windows(of.hidden, taps, 1), of.panel, of.output)
        });
        multiply(
            LayerKind::Convolution,
            &block.second.conv,
            products,
            self.tap,
        );
        for part in self.parts.iter() {
            let rows = out_shape.rows(part.activations.output);
            self.tap
                .tensor(rows, block.n_channels, block.second.conv_exponent);
        }

        if let Some(residual) = &block.residual {
            let products = self.parts.each_mut().map(|part| {
                let of = &mut part.activations;
                let windows = Windows {
                    values: shape.rows(of.input),
                    step: shape.n_channels,
                    n_positions: shape.length,
                };
                out_shape.product(windows, of.panel, of.hidden)
            });
            multiply(LayerKind::Residual, residual, products, self.tap);
            for part in self.parts.iter_mut() {
                let Activations { input, hidden, .. } = &mut part.activations;
                let rows = out_shape.rows(hidden);
                self.tap
                    .tensor(rows, block.n_channels, block.residual_exponent);
                slices::copy(rows, out_shape.rows_mut(input));
            }
        }
        let epilogue = Epilogue::Add {
            up: 16 - block.residual_exponent,
            down: 16 - block.exponent,
        };
        for part in self.parts.iter_mut() {
            let Activations {
                input,
                output,
                panel,
                ..
            } = &mut part.activations;
            // The rows around them are zero already.
            let rows = out_shape.inner_mut(input);
            let convolved = out_shape.rows(output);
            (block.second.norm).activate(convolved, rows, &epilogue, panel);
            self.tap.tensor(rows, block.n_channels, block.exponent);
        }
        self.shape = out_shape;
    }

    /// Convolution, GroupNorm and Mish in place, without FiLM.
    fn conv_block(&mut self, block: &ConvBlock<'_>, exponent: u32) {
        let (shape, n_channels) = (self.shape, self.shape.n_channels);
        let taps = self.settings.kernel_size;
        let products = self.parts.each_mut().map(|part| {
            let of = &mut part.activations;
            shape.product(shape.windows(of.input, taps, 1), of.panel, of.output)
        });
        multiply(LayerKind::Convolution, &block.conv, products, self.tap);
        let epilogue = Epilogue::Add {
            up: 0,
            down: 16 - exponent,
        };
        for part in self.parts.iter_mut() {
            let Activations {
                input,
                output,
                panel,
                ..
            } = &mut part.activations;
            let convolved = shape.rows(output);
            self.tap.tensor(convolved, n_channels, block.conv_exponent);
            let rows = shape.rows_mut(input);
            rows.fill(0);
            block.norm.activate(convolved, rows, &epilogue, panel);
            self.tap.tensor(rows, n_channels, exponent);
        }
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
        for part in self.parts.iter_mut() {
            let skip = slices::part_mut(part.activations.skips, start, len);
            slices::copy(self.shape.rows(part.activations.input), skip);
        }
    }

    /// Puts a level's skip beside the tensor: `[L][C]` becomes `[L][2 C]`.
    fn join_skip(&mut self, level: usize) {
        let n_channels = self.shape.n_channels;
        let (start, len) = self.skip_place(level);
        let joined_shape = self.shape.with_channels(2 * n_channels);
        for part in self.parts.iter_mut() {
            let Activations {
                input,
                hidden,
                skips,
                ..
            } = &mut part.activations;
            let copy = self.shape.inner_mut(hidden);
            slices::copy(self.shape.rows(input), copy);
            let joined = slices::rows_mut(joined_shape.rows_mut(input), 2 * n_channels);
            let own = slices::rows(copy, n_channels);
            let skip = slices::rows(slices::part(skips, start, len), n_channels);
            for ((row, own), skip) in joined.zip(own).zip(skip) {
                let (first, second) = slices::split_mut(row, n_channels);
                slices::copy(own, first);
                slices::copy(skip, second);
            }
        }
        self.hidden_shape = None;
        self.shape = joined_shape;
    }

    /// Three taps, stride 2, padding 1: `[L][C]` becomes `[L / 2][C]`.
    fn downsample(&mut self, layer: &Resample<'_>) {
        let shape = self.shape;
        let half = shape.with_length(shape.length / 2);
        let [linear, _] = &layer.phases;
        let products = self.parts.each_mut().map(|part| {
            let of = &mut part.activations;
            half.product(shape.windows(of.input, 3, 2), of.panel, of.hidden)
        });
        multiply(LayerKind::Downsample, linear, products, self.tap);
        self.resampled(half, layer.exponent);
    }

    /// A transposed convolution of four taps, stride 2, padding 1: `[L][C]` becomes `[2 L][C]`.
    ///
    /// Output `2 m` sees inputs `m - 1` and `m`, output `2 m + 1` sees `m` and `m + 1`: two convolutions of two taps.
    fn upsample(&mut self, layer: &Resample<'_>) {
        let (shape, n_channels) = (self.shape, self.shape.n_channels);
        let double = shape.with_length(2 * shape.length);
        for (phase, linear) in layer.phases.iter().enumerate() {
            let products = self.parts.each_mut().map(|part| {
                let of = &mut part.activations;
                let even = shape.windows(of.input, 2, 1);
                let windows = Windows {
                    values: slices::from(even.values, phase * n_channels),
                    ..even
                };
                let outputs = Outputs {
                    values: slices::from_mut(double.inner_mut(of.hidden), phase * n_channels),
                    step: 2 * n_channels,
                };
                Product {
                    windows,
                    panel: of.panel,
                    outputs,
                }
            });
            multiply(LayerKind::Upsample, linear, products, self.tap);
        }
        self.resampled(double, layer.exponent);
    }

    /// A tensor of another length in `hidden` becomes the one at hand.
    fn resampled(&mut self, shape: Shape, exponent: u32) {
        for part in self.parts.iter_mut() {
            let Activations { input, hidden, .. } = &mut part.activations;
            let rows = shape.rows(hidden);
            slices::copy(rows, shape.rows_mut(input));
            self.tap.tensor(rows, shape.n_channels, exponent);
        }
        self.hidden_shape = None;
        self.shape = shape;
    }

    /// The last 1x1 convolution, in I8F24.
    fn write_output(&mut self, linear: &Linear<'_>) {
        for part in self.parts.iter_mut() {
            let windows = Windows {
                values: self.shape.rows(part.activations.input),
                step: self.shape.n_channels,
                n_positions: self.shape.length,
            };
            self.tap.product_begins();
            linear.for_each_output(windows, |position, axis, value| {
                let row = part.output.get_mut(position);
                if let Some(place) = row.and_then(|row| row.get_mut(axis)) {
                    *place = I8F24::from_bits(value);
                }
            });
            let layer = Layer::new(LayerKind::Output, linear, windows.n_positions);
            self.tap.product_ends(layer);
        }
    }
}

/// FiLM of `block` at pass `pass`, with the observation's share of its projection.
fn modulation<'m>(
    settings: &Settings,
    block: &Block<'m>,
    pass: usize,
    observation: &'m [i16],
) -> Modulation<'m> {
    let size = 2 * observation.len();
    let step = slices::part(block.film.steps, pass * size, size);
    Modulation {
        step: step.as_chunks().0,
        observation,
        n_scales: settings.film_len(block.n_channels) - block.n_channels,
        exponent: block.film.exponent,
        shift: 16 + block.film.exponent - block.hidden_exponent,
    }
}

/// `linear` at every window of every environment.
fn multiply<const B: usize>(
    kind: LayerKind,
    linear: &Linear<'_>,
    products: [Product<'_>; B],
    tap: &mut impl Tap,
) {
    let n_positions = products.iter().map(|of| of.windows.n_positions).sum();
    tap.product_begins();
    linear.apply(products);
    tap.product_ends(Layer::new(kind, linear, n_positions));
}
