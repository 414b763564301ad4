//! One integer pass of the network, with the phases of [`policy::unet`](crate::policy::unet).

mod observer;
mod shape;

pub use observer::{Layer, LayerKind, Observer, Unobserved};

use crate::quant::format::layers::{ConvBlock, Downsample, ResidualBlock, Upsample};
use crate::quant::format::model::{Model, Settings};
use crate::quant::kernels::linear::{LANES, Linear, Outputs, Product, Windows};
use crate::quant::kernels::norm::{Epilogue, Modulation};
use crate::quant::kernels::rounding::{rounding_shift_right, saturate_i16};
use crate::quant::kernels::slices;
use crate::quant::net::scratch::{Activations, Parts};
use fixed::types::I8F24;
use shape::Shape;

/// Computes all FiLM projections of the observations from the condition into `film`, once per plan;
/// none when inpainting.
pub(crate) fn project_condition<const B: usize>(
    model: &Model<'_>,
    parts: &mut [Parts<'_>; B],
    observer: &mut impl Observer,
) {
    if model.settings.is_inpainting {
        return;
    }
    let mut film_at = 0;
    for block in &model.unet.blocks {
        let film_len = model.settings.film_len(usize::from(block.n_channels));
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
        multiply(LayerKind::Film, &block.film.condition, products, observer);
        film_at += film_len;
    }
}

/// Computes the network's output for every `sample` (a trajectory) at pass `pass`.
pub(crate) fn forward<const B: usize>(
    model: &Model<'_>,
    pass: usize,
    parts: &mut [Parts<'_>; B],
    observer: &mut impl Observer,
) {
    let mut network = ForwardPass {
        settings: &model.settings,
        pass,
        film_at: 0,
        parts,
        shape: Shape {
            length: model.settings.horizon,
            n_channels: model.settings.input_dim.next_multiple_of(LANES),
            padding: model.settings.padding(),
        },
        hidden_shape: None,
        observer,
    };
    let unet = &model.unet;
    let n_levels = model.settings.n_levels;
    let (down, rest) = slices::split(&unet.blocks, 2 * n_levels);
    let (mid, up) = slices::split(rest, 2);

    network.load(model.settings.sample_exponent);
    for (level, blocks) in down.chunks_exact(2).enumerate() {
        network.residual_blocks(blocks);
        // The first level's skip is not used: the way up ends at the second level.
        if level > 0 {
            network.save_skip(level);
        }
        if let Some(downsample) = unet.downsamples.get(level) {
            network.downsample(downsample);
        }
    }
    network.residual_blocks(mid);
    for (i, (blocks, upsample)) in up.chunks_exact(2).zip(&unet.upsamples).enumerate() {
        network.join_skip(n_levels - 1 - i);
        network.residual_blocks(blocks);
        network.upsample(upsample);
    }
    network.conv_block(&unet.final_block.block, unet.final_block.exponent.into());
    network.write_output(&unet.final_block.conv);
}

/// State of a pass: every environment's `activations.input` holds a tensor of `shape`.
struct ForwardPass<'n, 's, O, const B: usize> {
    settings: &'n Settings,
    pass: usize,
    /// Index of the next block's projection in `film`.
    film_at: usize,
    /// The memory of each environment.
    parts: &'n mut [Parts<'s>; B],
    shape: Shape,
    /// Shape for which the padding in `activations.hidden` is zero.
    hidden_shape: Option<Shape>,
    observer: &'n mut O,
}

impl<O: Observer, const B: usize> ForwardPass<'_, '_, O, B> {
    /// Loads the sample as the network's input, with channels zero-padded to whole [`LANES`].
    fn load(&mut self, exponent: u32) {
        let n_channels = self.shape.n_channels;
        for part in self.parts.iter_mut() {
            let rows = self.shape.padded_rows_mut(part.activations.input);
            let positions = slices::rows(part.sample, self.settings.input_dim);
            for (row, values) in slices::rows_mut(rows, n_channels).zip(positions) {
                slices::zero(row);
                for (place, value) in row.iter_mut().zip(values) {
                    let bits = i64::from(value.to_bits());
                    *place = saturate_i16(rounding_shift_right(bits, I8F24::FRAC_NBITS - exponent));
                }
            }
            self.observer.observe(rows, n_channels, exponent);
        }
    }

    fn residual_blocks(&mut self, blocks: &[ResidualBlock<'_>]) {
        for block in blocks {
            self.residual_block(block);
        }
    }

    /// `y = mish(norm(conv(h))) + residual(x)` with `h = film(mish(norm(conv(x))))`.
    ///
    /// Contents of the buffers after each step; `-` is unused:
    ///
    /// | step | `input` | `hidden` | `output` | `panel` |
    /// | --- | --- | --- | --- | --- |
    /// | first convolution | `x` | - | `conv(x)` | windows of `x` |
    /// | GroupNorm, Mish, FiLM | `x` | `h` | - | factors of the channels |
    /// | second convolution | `x` | - | `conv(h)` | windows of `h` |
    /// | 1x1 convolution, if any | `residual(x)` | `residual(x)` | `conv(h)` | windows of `x` |
    /// | GroupNorm, Mish, sum | `y` | - | - | factors of the channels |
    fn residual_block(&mut self, block: &ResidualBlock<'_>) {
        let (shape, out_shape) = (
            self.shape,
            self.shape.with_channels(usize::from(block.n_channels)),
        );
        let kernel_size = self.settings.kernel_size;

        let products = self.parts.each_mut().map(|part| {
            let of = &mut part.activations;
            let windows = shape.windows(of.input, kernel_size, 1);
            out_shape.product(windows, of.panel, of.output)
        });
        let kind = LayerKind::Convolution;
        multiply(kind, &block.first.conv, products, self.observer);

        let film_len = self.settings.film_len(usize::from(block.n_channels));
        for part in self.parts.iter_mut() {
            let Activations {
                hidden,
                output,
                panel,
                ..
            } = &mut part.activations;
            let convolved = out_shape.rows(output);
            self.observer.observe(
                convolved,
                usize::from(block.n_channels),
                block.first.conv_exponent.into(),
            );
            let projection = slices::part(part.film, self.film_at, film_len);
            let film = modulation(self.settings, block, self.pass, projection);
            let rows = if self.hidden_shape == Some(out_shape) {
                out_shape.rows_mut(hidden)
            } else {
                out_shape.padded_rows_mut(hidden)
            };
            (block.first.norm).activate(convolved, rows, &Epilogue::Modulate(film), panel);
            self.observer.observe(
                rows,
                usize::from(block.n_channels),
                block.hidden_exponent.into(),
            );
        }
        self.film_at += film_len;
        self.hidden_shape = Some(out_shape);

        let products = self.parts.each_mut().map(|part| {
            let of = &mut part.activations;
            let windows = out_shape.windows(of.hidden, kernel_size, 1);
            out_shape.product(windows, of.panel, of.output)
        });
        multiply(kind, &block.second.conv, products, self.observer);
        for part in self.parts.iter() {
            let rows = out_shape.rows(part.activations.output);
            self.observer.observe(
                rows,
                usize::from(block.n_channels),
                block.second.conv_exponent.into(),
            );
        }

        if let Some(residual_conv) = &block.residual_conv {
            let products = self.parts.each_mut().map(|part| {
                let of = &mut part.activations;
                let windows = Windows {
                    values: shape.rows(of.input),
                    step: shape.n_channels,
                    n_positions: shape.length,
                };
                out_shape.product(windows, of.panel, of.hidden)
            });
            multiply(LayerKind::Residual, residual_conv, products, self.observer);
            for part in self.parts.iter_mut() {
                let Activations { input, hidden, .. } = &mut part.activations;
                let rows = out_shape.rows(hidden);
                self.observer.observe(
                    rows,
                    usize::from(block.n_channels),
                    block.residual_exponent.into(),
                );
                slices::copy(rows, out_shape.padded_rows_mut(input));
            }
        }
        let epilogue = Epilogue::Add {
            up: u32::from(16 - block.residual_exponent),
            down: u32::from(16 - block.exponent),
        };
        for part in self.parts.iter_mut() {
            let Activations {
                input,
                output,
                panel,
                ..
            } = &mut part.activations;
            // The padding is already zero.
            let rows = out_shape.rows_mut(input);
            let convolved = out_shape.rows(output);
            (block.second.norm).activate(convolved, rows, &epilogue, panel);
            self.observer
                .observe(rows, usize::from(block.n_channels), block.exponent.into());
        }
        self.shape = out_shape;
    }

    /// Convolution, GroupNorm and Mish in place, without FiLM.
    fn conv_block(&mut self, block: &ConvBlock<'_>, exponent: u32) {
        let (shape, n_channels) = (self.shape, self.shape.n_channels);
        let kernel_size = self.settings.kernel_size;
        let products = self.parts.each_mut().map(|part| {
            let of = &mut part.activations;
            let windows = shape.windows(of.input, kernel_size, 1);
            shape.product(windows, of.panel, of.output)
        });
        multiply(LayerKind::Convolution, &block.conv, products, self.observer);
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
            self.observer
                .observe(convolved, n_channels, block.conv_exponent.into());
            let rows = shape.padded_rows_mut(input);
            slices::zero(rows);
            block.norm.activate(convolved, rows, &epilogue, panel);
            self.observer.observe(rows, n_channels, exponent);
        }
    }

    /// Start and length of a level's skip; every earlier level halves the length.
    fn skip_place(&self, level: usize) -> (usize, usize) {
        let len = |level| (self.settings.horizon >> level) * self.settings.channels(level);
        ((1..level).map(len).sum(), len(level))
    }

    fn save_skip(&mut self, level: usize) {
        let (start, len) = self.skip_place(level);
        for part in self.parts.iter_mut() {
            let skip = slices::part_mut(part.activations.skips, start, len);
            slices::copy(self.shape.rows(part.activations.input), skip);
        }
    }

    /// Concatenates a level's skip with the tensor: `[L][C]` becomes `[L][2 C]`.
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
            let copy = self.shape.rows_mut(hidden);
            slices::copy(self.shape.rows(input), copy);
            let joined = slices::rows_mut(joined_shape.padded_rows_mut(input), 2 * n_channels);
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

    /// Convolution with three taps, stride 2, padding 1: `[L][C]` becomes `[L / 2][C]`.
    fn downsample(&mut self, layer: &Downsample<'_>) {
        let shape = self.shape;
        let half = shape.with_length(shape.length / 2);
        let products = self.parts.each_mut().map(|part| {
            let of = &mut part.activations;
            half.product(shape.windows(of.input, 3, 2), of.panel, of.hidden)
        });
        multiply(LayerKind::Downsample, &layer.conv, products, self.observer);
        self.take_hidden(half, layer.exponent.into());
    }

    /// Transposed convolution with four taps, stride 2, padding 1: `[L][C]` becomes `[2 L][C]`.
    ///
    /// Computed with two taps per output: `2 m` from `m - 1` and `m`, `2 m + 1` from `m` and `m +
    /// 1`.
    fn upsample(&mut self, layer: &Upsample<'_>) {
        let (shape, n_channels) = (self.shape, self.shape.n_channels);
        let double = shape.with_length(2 * shape.length);
        for (phase, conv) in layer.phases.iter().enumerate() {
            let products = self.parts.each_mut().map(|part| {
                let of = &mut part.activations;
                let even = shape.windows(of.input, 2, 1);
                let windows = Windows {
                    values: slices::from(even.values, phase * n_channels),
                    ..even
                };
                let outputs = Outputs {
                    values: slices::from_mut(double.rows_mut(of.hidden), phase * n_channels),
                    step: 2 * n_channels,
                };
                Product {
                    windows,
                    panel: of.panel,
                    outputs,
                }
            });
            multiply(LayerKind::Upsample, conv, products, self.observer);
        }
        self.take_hidden(double, layer.exponent.into());
    }

    /// Copies the tensor in `hidden`, which has another length, to `input`.
    fn take_hidden(&mut self, shape: Shape, exponent: u32) {
        for part in self.parts.iter_mut() {
            let Activations { input, hidden, .. } = &mut part.activations;
            let rows = shape.rows(hidden);
            slices::copy(rows, shape.padded_rows_mut(input));
            self.observer.observe(rows, shape.n_channels, exponent);
        }
        self.hidden_shape = None;
        self.shape = shape;
    }

    /// Computes the last 1x1 convolution, in I8F24.
    fn write_output(&mut self, linear: &Linear<'_>) {
        for part in self.parts.iter_mut() {
            let windows = Windows {
                values: self.shape.rows(part.activations.input),
                step: self.shape.n_channels,
                n_positions: self.shape.length,
            };
            self.observer.product_begins();
            let input_dim = self.settings.input_dim;
            linear.for_each_output(windows, |position, index, value| {
                let place = part.output.get_mut(position * input_dim + index);
                debug_assert!(place.is_some());
                if let Some(place) = place {
                    *place = I8F24::from_bits(value);
                }
            });
            let layer = Layer::new(LayerKind::Output, linear, windows.n_positions);
            self.observer.product_ends(layer);
        }
    }
}

/// FiLM parameters of `block` at pass `pass`, from both of its projections.
fn modulation<'m>(
    settings: &Settings,
    block: &ResidualBlock<'m>,
    pass: usize,
    observation: &'m [i16],
) -> Modulation<'m> {
    let size = 2 * observation.len();
    let step = slices::part(block.film.steps, pass * size, size);
    Modulation {
        step: step.as_chunks().0,
        observation,
        n_scales: settings.film_len(usize::from(block.n_channels)) - usize::from(block.n_channels),
        exponent: block.film.exponent.into(),
        shift: u32::from(16 + block.film.exponent - block.hidden_exponent),
    }
}

/// Computes `linear` at every window of every environment.
fn multiply<const B: usize>(
    kind: LayerKind,
    linear: &Linear<'_>,
    products: [Product<'_>; B],
    observer: &mut impl Observer,
) {
    let n_positions = products.iter().map(|of| of.windows.n_positions).sum();
    observer.product_begins();
    linear.apply(products);
    observer.product_ends(Layer::new(kind, linear, n_positions));
}
