//! One forward pass, phase by phase.

use super::kernels;
use super::layers::{ConvBlock, Layers, Matrix, ResidualBlock, UpLevel};
use super::shape::Shape;
use super::taps::{Observer, Taps};
use super::{UnetConfig, UnetInput};

/// How the scratch memory is shared out.
pub(super) struct ScratchSizes {
    /// Each of the three working maps.
    work: usize,
    skips: usize,
    local: usize,
    cond: usize,
    film: usize,
    stats: usize,
}

/// Three feature maps that the pass rotates: the current one, the next one, and one in between.
struct Work<'s> {
    x: &'s mut [f32],
    y: &'s mut [f32],
    between: &'s mut [f32],
}

impl Work<'_> {
    /// What was written to `y` becomes the current map.
    fn advance(&mut self) {
        core::mem::swap(&mut self.x, &mut self.y);
    }
}

impl ScratchSizes {
    pub fn new(config: &UnetConfig, batch: usize, length: usize) -> Self {
        let dims = config.down_dims.as_slice();
        let largest = dims.iter().copied().max().unwrap_or(0);
        let outer = config.input_dim.max(config.local_cond_dim.unwrap_or(0));
        let mut work = 4 * config.diffusion_step_embed_dim * batch;
        let mut skips = 0;
        for (level, dim) in dims.iter().enumerate() {
            let above = if level == 0 { outer } else { dims[level - 1] };
            let shape = config.shape_at(level, *dim, batch, length);
            // The widest map of a level is the concatenation with its skip, or what comes from above.
            work = work.max(shape.with_channels((2 * dim).max(above)).len());
            skips += shape.len();
        }
        let local = config
            .local_cond_dim
            .map_or(0, |_| config.shape_at(0, dims[0], batch, length).len());
        Self {
            work,
            skips,
            local,
            cond: batch * config.cond_dim(),
            film: batch * 2 * largest,
            stats: 2 * largest,
        }
    }

    /// All of it.
    pub fn total(&self) -> usize {
        3 * self.work + self.skips + self.local + self.cond + self.film + self.stats
    }

    fn split<'s>(&self, scratch: &'s mut [f32]) -> Room<'s> {
        let (x, rest) = scratch.split_at_mut(self.work);
        let (y, rest) = rest.split_at_mut(self.work);
        let (between, rest) = rest.split_at_mut(self.work);
        let (skips, rest) = rest.split_at_mut(self.skips);
        let (local, rest) = rest.split_at_mut(self.local);
        let (cond, rest) = rest.split_at_mut(self.cond);
        let (film, rest) = rest.split_at_mut(self.film);
        Room {
            work: Work { x, y, between },
            skips,
            local,
            cond,
            film,
            stats: &mut rest[..self.stats],
        }
    }
}

/// The scratch memory, shared out.
struct Room<'s> {
    work: Work<'s>,
    skips: &'s mut [f32],
    local: &'s mut [f32],
    cond: &'s mut [f32],
    film: &'s mut [f32],
    stats: &'s mut [f32],
}

/// Runs the network over `length` positions; everything has been checked.
pub(super) fn run<O: Observer>(
    (config, layers, weights): (&UnetConfig, &Layers, &[f32]),
    (input, length): (&UnetInput<'_>, usize),
    output: &mut [f32],
    scratch: &mut [f32],
    observer: &mut O,
) {
    let Room {
        mut work,
        skips,
        local,
        cond,
        film,
        stats,
    } = ScratchSizes::new(config, input.batch, length).split(scratch);
    let mut pass = Pass {
        config,
        layers,
        weights,
        batch: input.batch,
        length,
        cond,
        film,
        stats,
        taps: Taps::new(observer),
    };
    pass.encode_step(input.timesteps, &mut work);
    pass.gather_condition(input, &work);
    let local = pass.encode_local(input.local_cond, local, &mut work);
    pass.down(input.sample, local, skips, &mut work);
    pass.middle(&mut work);
    pass.up(skips, &mut work);
    pass.finish(output, &mut work);
}

/// One forward pass: what every layer of it needs.
struct Pass<'p, 'o, O> {
    config: &'p UnetConfig,
    layers: &'p Layers,
    weights: &'p [f32],
    batch: usize,
    length: usize,
    /// B x (embedding, global condition), after Mish.
    cond: &'p mut [f32],
    /// B x (scale, bias) of the residual block that runs.
    film: &'p mut [f32],
    /// Two values a channel, for the normalisation.
    stats: &'p mut [f32],
    taps: Taps<'o, O>,
}

impl<O: Observer> Pass<'_, '_, O> {
    fn shape_at(&self, level: usize, channels: usize) -> Shape {
        self.config
            .shape_at(level, channels, self.batch, self.length)
    }

    /// Embeds the diffusion steps; the result is in `work.x`, a row a step.
    fn encode_step(&mut self, timesteps: &[f32], work: &mut Work<'_>) {
        let [first, second] = self.layers.step_encoder;
        let shape = Shape {
            plans: timesteps.len(),
            length: 1,
            channels: first.depth,
            border: 0,
        };
        for (step, row) in timesteps.iter().zip(work.x.chunks_exact_mut(first.depth)) {
            kernels::sinusoidal_embedding(*step, row);
        }
        let hidden = shape.with_channels(first.columns);
        self.taps_within(format_args!("diffusion_step_encoder"), |pass| {
            let weights = pass.weights;
            pass.taps.tap(format_args!("0"), shape, work.x);
            conv(first.of(weights), work.x, shape, work.y, hidden, (1, 0));
            pass.taps.tap(format_args!("1"), hidden, work.y);
            kernels::mish(&mut work.y[..hidden.len()]);
            pass.taps.tap(format_args!("2"), hidden, work.y);
            conv(second.of(weights), work.y, hidden, work.x, shape, (1, 0));
            pass.taps.tap(format_args!("3"), shape, work.x);
        });
    }

    /// Puts embedding and global condition side by side, and Mish over them, which every block starts with.
    fn gather_condition(&mut self, input: &UnetInput<'_>, work: &Work<'_>) {
        let embed = self.config.diffusion_step_embed_dim;
        let cond_dim = self.config.cond_dim();
        for (plan, row) in self.cond.chunks_exact_mut(cond_dim).enumerate() {
            let (step, global) = row.split_at_mut(embed);
            let from = if input.timesteps.len() == 1 { 0 } else { plan };
            step.copy_from_slice(&work.x[from * embed..(from + 1) * embed]);
            if let Some(cond) = input.global_cond {
                global.copy_from_slice(&cond[plan * global.len()..(plan + 1) * global.len()]);
            }
        }
        let shape = self.cond_shape(cond_dim);
        self.taps
            .tap(format_args!("global_feature"), shape, self.cond);
        kernels::mish(self.cond);
    }

    /// A row a plan.
    fn cond_shape(&self, channels: usize) -> Shape {
        Shape {
            plans: self.batch,
            length: 1,
            channels,
            border: 0,
        }
    }

    /// Encodes the local condition, if there is one, into `local`.
    fn encode_local<'l>(
        &mut self,
        cond: Option<&[f32]>,
        local: &'l mut [f32],
        work: &mut Work<'_>,
    ) -> Option<&'l [f32]> {
        let (cond, block, dim) = (cond?, self.layers.local?, self.config.local_cond_dim?);
        let shape = self.shape_at(0, dim);
        shape.fill_from(cond, work.x);
        self.taps_within(format_args!("local_cond_encoder.0"), |pass| {
            pass.residual(&block, work.x, shape, work.between, local);
        });
        Some(local)
    }

    /// The way down; each level's map before its downsampling goes to `skips`.
    fn down(
        &mut self,
        sample: &[f32],
        local: Option<&[f32]>,
        skips: &mut [f32],
        work: &mut Work<'_>,
    ) {
        let mut shape = self.shape_at(0, self.config.input_dim);
        shape.fill_from(sample, work.x);
        self.taps.tap(format_args!("sample"), shape, work.x);
        let mut skips = skips;
        for (level, modules) in self.layers.down.iter().enumerate() {
            let out = self.shape_at(level, modules.resnets[0].blocks[0].conv.columns);
            let (skip, rest) = skips.split_at_mut(out.len());
            skips = rest;
            self.taps_within(format_args!("down_modules.{level}"), |pass| {
                pass.taps_within(format_args!("0"), |pass| {
                    pass.residual(&modules.resnets[0], work.x, shape, work.between, work.y);
                });
                if let (0, Some(local)) = (level, local) {
                    kernels::add(&mut work.y[..out.len()], local);
                }
                pass.taps_within(format_args!("1"), |pass| {
                    pass.residual(&modules.resnets[1], work.y, out, work.between, skip);
                });
                match modules.downsample {
                    None => work.x[..out.len()].copy_from_slice(skip),
                    Some(matrix) => {
                        shape = pass.shape_at(level + 1, out.channels);
                        let to = shape.bordered(work.x);
                        conv(matrix.of(pass.weights), skip, out, to, shape, (2, 1));
                        pass.taps.tap(format_args!("2.conv"), shape, to);
                    }
                }
            });
        }
    }

    fn middle(&mut self, work: &mut Work<'_>) {
        let level = self.layers.down.len() - 1;
        for (index, block) in self.layers.mid.iter().enumerate() {
            let shape = self.shape_at(level, block.blocks[0].conv.columns);
            self.taps_within(format_args!("mid_modules.{index}"), |pass| {
                pass.residual(block, work.x, shape, work.between, work.y);
            });
            work.advance();
        }
    }

    /// The way up; it takes the skips from the last to the second.
    fn up(&mut self, skips: &[f32], work: &mut Work<'_>) {
        let mut skips_left = skips.len();
        for (index, modules) in self.layers.up.iter().enumerate() {
            let level = self.layers.down.len() - 1 - index;
            let shape = self.shape_at(level, modules.in_channels / 2);
            let skip = &skips[skips_left - shape.len()..skips_left];
            skips_left -= shape.len();
            self.taps_within(format_args!("up_modules.{index}"), |pass| {
                pass.up_level(modules, level, shape, skip, work);
            });
        }
    }

    fn up_level(
        &mut self,
        modules: &UpLevel,
        level: usize,
        shape: Shape,
        skip: &[f32],
        work: &mut Work<'_>,
    ) {
        let cat = shape.with_channels(2 * shape.channels);
        concatenate(work.x, skip, shape, cat.bordered(work.y));
        self.taps.tap(format_args!("cat"), cat, work.y);
        let out = self.shape_at(level, modules.upsample.even.columns);
        self.taps_within(format_args!("0"), |pass| {
            pass.residual(&modules.resnets[0], work.y, cat, work.between, work.x);
        });
        self.taps_within(format_args!("1"), |pass| {
            pass.residual(&modules.resnets[1], work.x, out, work.between, work.y);
        });
        let doubled = self.shape_at(level - 1, out.channels);
        let to = doubled.bordered(work.x);
        let halves = [modules.upsample.even, modules.upsample.odd];
        for (half, matrix) in halves.into_iter().enumerate() {
            kernels::matmul(
                work.y,
                out.block(out.border + half - 1, 1, out.length),
                matrix.of(self.weights),
                to,
                doubled.block(doubled.border + half, 2, out.length),
            );
        }
        self.taps.tap(format_args!("2.conv"), doubled, to);
    }

    fn finish(&mut self, output: &mut [f32], work: &mut Work<'_>) {
        let block = self.layers.final_block;
        let shape = self.shape_at(0, block.conv.columns);
        let out = Shape {
            channels: self.config.input_dim,
            border: 0,
            ..shape
        };
        self.taps_within(format_args!("final_conv"), |pass| {
            pass.taps_within(format_args!("0"), |pass| {
                pass.conv_block(block, work.x, shape, work.y);
                pass.mish(shape, work.y);
            });
            let last = pass.layers.final_conv.of(pass.weights);
            conv(last, work.y, shape, output, out, (1, 0));
            pass.taps.tap(format_args!("1"), out, output);
        });
    }

    /// y = Mish(norm(conv(FiLM(Mish(norm(conv(x))))))) + x, the last through a 1x1 convolution where channels differ.
    fn residual(
        &mut self,
        block: &ResidualBlock,
        x: &[f32],
        shape: Shape,
        between: &mut [f32],
        y: &mut [f32],
    ) {
        let out = shape.with_channels(block.blocks[1].conv.columns);
        self.taps_within(format_args!("blocks.0"), |pass| {
            pass.conv_block(block.blocks[0], x, shape, between);
            pass.mish(out, between);
        });
        self.modulate(block.film, out, between);
        self.taps_within(format_args!("blocks.1"), |pass| {
            pass.conv_block(block.blocks[1], between, out, y);
            pass.mish(out, y);
        });
        match block.residual_conv {
            None => kernels::add(&mut y[..out.len()], x),
            Some(matrix) => {
                let way_around = out.bordered(between);
                let weights = matrix.of(self.weights);
                conv(weights, x, shape, way_around, out, (1, 0));
                self.taps
                    .tap(format_args!("residual_conv"), out, way_around);
                kernels::add(&mut y[..out.len()], way_around);
            }
        }
        self.taps.tap_here(out, y);
    }

    /// Convolution (stride 1, length kept) and normalisation of `x` into `y`.
    fn conv_block(&mut self, block: ConvBlock, x: &[f32], shape: Shape, y: &mut [f32]) {
        let out = shape.with_channels(block.conv.columns);
        let y = out.bordered(y);
        let padding = self.config.kernel_size / 2;
        conv(block.conv.of(self.weights), x, shape, y, out, (1, padding));
        self.taps.tap(format_args!("block.0"), out, y);
        let affine = block.norm.of(self.weights);
        kernels::group_norm(y, out, block.norm.groups, affine, self.stats);
        self.taps.tap(format_args!("block.1"), out, y);
    }

    fn mish(&mut self, shape: Shape, map: &mut [f32]) {
        // The borders stay zero: Mish(0) = 0.
        kernels::mish(&mut map[..shape.len()]);
        self.taps.tap(format_args!("block.2"), shape, map);
    }

    /// FiLM of `map` by this block's projection of the condition.
    fn modulate(&mut self, projection: Matrix, shape: Shape, map: &mut [f32]) {
        let cond_shape = self.cond_shape(self.config.cond_dim());
        let film_shape = self.cond_shape(projection.columns);
        self.taps
            .tap(format_args!("cond_encoder.0"), cond_shape, self.cond);
        let weights = projection.of(self.weights);
        conv(
            weights,
            self.cond,
            cond_shape,
            self.film,
            film_shape,
            (1, 0),
        );
        self.taps
            .tap(format_args!("cond_encoder.1"), film_shape, self.film);
        let films = self.film.chunks_exact(projection.columns);
        for (plan, film) in films.enumerate().take(self.batch) {
            let rows = &mut map[shape.inside(plan)];
            match self.config.cond_predict_scale {
                false => kernels::shift_rows(rows, film),
                true => {
                    let (scale, bias) = film.split_at(shape.channels);
                    kernels::scale_rows(rows, scale, bias);
                }
            }
        }
        self.taps.tap(format_args!("film"), shape, map);
    }

    /// Runs `module` with `part` appended to the path of the taps.
    fn taps_within(&mut self, part: core::fmt::Arguments<'_>, module: impl FnOnce(&mut Self)) {
        let before = self.taps.enter(part);
        module(self);
        self.taps.leave(before);
    }
}

/// Convolution of `x` into `y`: `y`'s rows from `x`'s with this stride and padding.
fn conv(
    weights: kernels::PackedMatrix<'_>,
    x: &[f32],
    shape: Shape,
    y: &mut [f32],
    out: Shape,
    (stride, padding): (usize, usize),
) {
    let from = shape.block(shape.border - padding, stride, out.length);
    let to = out.block(out.border, 1, out.length);
    kernels::matmul(x, from, weights, y, to);
}

/// cat[row] = (x[row], skip[row]), borders excluded.
fn concatenate(x: &[f32], skip: &[f32], shape: Shape, cat: &mut [f32]) {
    let wide = shape.with_channels(2 * shape.channels);
    for plan in 0..shape.plans {
        let from = shape.inside(plan);
        let rows = x[from.clone()].chunks_exact(shape.channels);
        let skips = skip[from].chunks_exact(shape.channels);
        let out = cat[wide.inside(plan)].chunks_exact_mut(wide.channels);
        for ((out, row), skip) in out.zip(rows).zip(skips) {
            let (left, right) = out.split_at_mut(shape.channels);
            left.copy_from_slice(row);
            right.copy_from_slice(skip);
        }
    }
}
