//! What the integer model of a policy needs: bytes of the file, working memory, work of a plan. All
//! of it follows from settings and weights, without calibration.

use super::file::{self, names};
use crate::policy_file::{Conditioning, PolicyConfig, Tensors};
use anyhow::Result;
use pusht_core::link::frame_memory_len;
use pusht_core::policy::unet::FINAL_CONV_N_GROUPS;
use pusht_core::quant::{LANES, Sizes, WeightBits};

/// What the integer model of a policy needs.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Length of the model file, bytes.
    pub file_bytes: usize,
    /// Working memory of a plan, words of 8 bytes.
    pub scratch_len: usize,
    /// Variables of a controller beside the working memory: window, chunk, frames of the link.
    pub variable_bytes: usize,
    /// Work of a plan.
    pub work: Work,
}

/// What a plan computes.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Passes of the network.
    pub n_passes: usize,
    /// Values of the trajectory.
    pub n_values: usize,
    /// Values of the window of observations.
    pub n_observed: usize,
    /// Bytes of the kernels' panel.
    pub panel_bytes: usize,
    /// Matrix products of the condition, once per plan.
    pub projections: Vec<Product>,
    /// Matrix products of a pass, without the last.
    pub products: Vec<Product>,
    /// The last product of a pass.
    pub output: Product,
    /// Normalisations of a pass, with Mish and what follows.
    pub norms: Vec<Norm>,
}

/// Bits of a model's weights, product by product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Widths<'a> {
    /// As many for all.
    All(WeightBits),
    /// 4 or 8 for each product, in the file's order: [`Model::weight_bits`].
    ///
    /// [`Model::weight_bits`]: pusht_core::quant::Model::weight_bits
    Each(&'a [u8]),
}

impl Default for Widths<'_> {
    fn default() -> Self {
        Self::All(WeightBits::default())
    }
}

impl Widths<'_> {
    fn of_product(self, index: usize) -> WeightBits {
        match self {
            Self::All(bits) => bits,
            Self::Each(bits) => match bits.get(index) {
                Some(4) => WeightBits::Four,
                _ => WeightBits::Eight,
            },
        }
    }
}

/// A matrix product.
#[derive(Clone, Copy, Debug, Default)]
pub struct Product {
    /// Rows of weights.
    pub n_outputs: usize,
    /// Weights of a row.
    pub n_inputs: usize,
    /// Windows that each row is multiplied with.
    pub n_positions: usize,
    /// Bits of a weight.
    pub bits: WeightBits,
}

/// A normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// Channels.
    pub n_channels: usize,
    /// Positions.
    pub n_positions: usize,
    /// Whether a group has an odd number of channels.
    pub has_odd_groups: bool,
    /// Whether FiLM follows, instead of an addition.
    pub is_modulated: bool,
    /// Whether a normalised value may leave the range of the tuned kernels.
    pub is_for_reference: bool,
}

impl Needs {
    /// Computes what the model with weights of these `widths` needs whose file says `provenance`.
    ///
    /// # Errors
    /// If the policy has no task.
    pub fn of(
        config: &PolicyConfig,
        tensors: &Tensors,
        provenance: &str,
        widths: Widths<'_>,
    ) -> Result<Self> {
        let task = config.task()?;
        let (obs_dim, action_dim) = (task.observation.len(), task.action.len());
        let window_len = config.n_obs_steps * obs_dim;
        let trajectory = config.trajectory_len() * config.unet.input_dim;
        let mut walk = Walk::new(config, tensors, widths, window_len, trajectory);
        walk.network();
        let is_default = config.conditioning == Conditioning::Global
            && config.first_action() + 1 == config.n_obs_steps;
        let n_words = 13 + config.unet.down_dims.len() + if is_default { 0 } else { 2 };
        let sections = [
            4 * n_words,
            file::PASS_SIZE * config.num_inference_steps,
            file::OBSERVATION_VALUE_SIZE * obs_dim + file::ACTION_VALUE_SIZE * action_dim,
            names(&task).len().next_multiple_of(4),
            walk.bytes,
            provenance.len().next_multiple_of(4),
        ];
        let n_products = walk.n_products;
        let is_of_8_bits =
            (0..n_products).all(|index| widths.of_product(index) == WeightBits::Eight);
        let weight_bits = (!is_of_8_bits).then(|| n_products.next_multiple_of(4));
        let sections = sections.into_iter().chain(weight_bits);
        let sections = sections.map(|len| file::SECTION_HEADER_SIZE + len);
        let chunk_len = (1 + config.n_action_steps) * action_dim;
        walk.work.n_passes = config.num_inference_steps;
        walk.work.n_values = trajectory;
        walk.work.n_observed = window_len;
        walk.work.panel_bytes = 8 * walk.sizes.panel_len();
        Ok(Self {
            file_bytes: file::HEADER_SIZE + sections.sum::<usize>() + file::CHECKSUM_SIZE,
            scratch_len: walk.sizes.scratch_len(),
            variable_bytes: 16 * (window_len + chunk_len) + frame_memory_len(obs_dim, action_dim),
            work: walk.work,
        })
    }
}

/// A walk through the network in the order of its computation, as `core`'s parser does it.
struct Walk<'c> {
    config: &'c PolicyConfig,
    tensors: &'c Tensors,
    widths: Widths<'c>,
    /// Products so far.
    n_products: usize,
    /// Length of the section `UNET`.
    bytes: usize,
    sizes: Sizes,
    work: Work,
    length: usize,
    n_channels: usize,
}

impl<'c> Walk<'c> {
    fn new(
        config: &'c PolicyConfig,
        tensors: &'c Tensors,
        widths: Widths<'c>,
        window_len: usize,
        trajectory: usize,
    ) -> Self {
        let condition = match config.conditioning {
            Conditioning::Inpainting => 0,
            _ => window_len.next_multiple_of(LANES),
        };
        Self {
            config,
            tensors,
            widths,
            n_products: 0,
            bytes: 0,
            sizes: Sizes {
                condition,
                window: window_len,
                trajectory,
                ..Sizes::default()
            },
            work: Work::default(),
            length: config.trajectory_len(),
            n_channels: config.unet.input_dim,
        }
    }

    fn network(&mut self) {
        let dims = &self.config.unet.down_dims;
        let deepest = dims.len() - 1;
        for (level, dim) in dims.iter().enumerate() {
            self.two_blocks(&format!("down_modules.{level}"), *dim);
            if level > 0 {
                self.sizes.skips += self.length * dim;
            }
            if level < deepest {
                self.length /= 2;
                self.resample(&[3], self.length);
            }
        }
        self.two_blocks("mid_modules", self.n_channels);
        for (i, dim) in dims[..deepest].iter().rev().enumerate() {
            self.n_channels *= 2;
            self.two_blocks(&format!("up_modules.{i}"), *dim);
            self.length *= 2;
            self.resample(&[2, 2], self.length / 2);
        }
        self.bytes += 4;
        self.conv_block("final_conv.0", self.n_channels, FINAL_CONV_N_GROUPS, false);
        let input_dim = self.config.unet.input_dim;
        self.work.output = self.linear(input_dim, self.n_channels, self.length);
    }

    fn two_blocks(&mut self, path: &str, n_out: usize) {
        for i in 0..2 {
            self.block(&format!("{path}.{i}"), n_out);
        }
    }

    fn block(&mut self, path: &str, n_out: usize) {
        let n_groups = self.config.unet.n_groups;
        let n_in = self.n_channels;
        let film_len = match self.config.unet.cond_predict_scale {
            true => 2 * n_out,
            false => n_out,
        };
        self.bytes += 4 * 4;
        self.conv_block(&format!("{path}.blocks.0"), n_out, n_groups, true);
        self.sizes.film += film_len;
        if self.config.conditioning != Conditioning::Inpainting {
            let projection = self.linear(film_len, self.sizes.condition, 1);
            self.work.projections.push(projection);
        }
        self.bytes += 2 * film_len * self.config.num_inference_steps;
        self.n_channels = n_out;
        self.conv_block(&format!("{path}.blocks.1"), n_out, n_groups, false);
        if n_in != n_out {
            let residual = self.linear(n_out, n_in, self.length);
            self.work.products.push(residual);
        }
        self.need_tensors(n_in, n_out);
    }

    /// A convolution of the current tensor and its normalisation.
    fn conv_block(&mut self, path: &str, n_out: usize, n_groups: usize, is_modulated: bool) {
        let taps = self.config.unet.kernel_size;
        let inputs = taps * self.n_channels.next_multiple_of(LANES);
        self.bytes += 4 + 4 + 8 + 8 * n_out;
        let convolution = self.linear(n_out, inputs, self.length);
        self.work.products.push(convolution);
        self.work.norms.push(Norm {
            n_channels: n_out,
            n_positions: self.length,
            has_odd_groups: (n_out / n_groups) % 2 == 1,
            is_modulated,
            is_for_reference: self.leaves_the_kernels(path, self.length * n_out / n_groups),
        });
    }

    /// Whether the normalisation at `path` may leave the table of Mish (16), by the bound of
    /// `core`'s parser, or its groups are longer than the kernels take.
    fn leaves_the_kernels(&self, path: &str, group_len: usize) -> bool {
        const END_OF_MISH: f64 = 16.0;
        const MAX_KERNEL_GROUP_LEN: usize = 4096;
        let values = |kind: &str| {
            let tensor = self.tensors.get(&format!("model.{path}.block.1.{kind}"));
            tensor.map_or(&[][..], |tensor| &tensor.data)
        };
        let root = (group_len.isqrt() + 1) as f64;
        let pairs = values("weight").iter().zip(values("bias"));
        let bounds = pairs.map(|(w, b)| f64::from(w.abs()) * root + f64::from(b.abs()));
        group_len > MAX_KERNEL_GROUP_LEN || bounds.fold(0.0, f64::max) >= END_OF_MISH
    }

    /// A convolution to `length` positions, one product for each of `taps`.
    fn resample(&mut self, taps: &[usize], length: usize) {
        self.bytes += 4;
        for taps in taps {
            let product = self.linear(self.n_channels, taps * self.n_channels, length);
            self.work.products.push(product);
        }
        self.need_tensors(self.n_channels, self.n_channels);
    }

    /// Rows of weights, whose inputs are filled up to whole [`LANES`].
    fn linear(&mut self, n_outputs: usize, n_inputs: usize, n_positions: usize) -> Product {
        let n_inputs = n_inputs.next_multiple_of(LANES);
        let bits = self.widths.of_product(self.n_products);
        self.n_products += 1;
        self.bytes += n_outputs * (file::ROW_HEADER_SIZE + bits.size(n_inputs));
        self.sizes.largest_window = self.sizes.largest_window.max(n_inputs);
        Product {
            n_outputs,
            n_inputs,
            n_positions,
            bits,
        }
    }

    fn need_tensors(&mut self, n_in: usize, n_out: usize) {
        let n_in = n_in.next_multiple_of(LANES);
        let padding = (self.config.unet.kernel_size / 2).max(1);
        let n_rows = self.length + 2 * padding;
        self.sizes.input = self.sizes.input.max(n_rows * n_in.max(n_out));
        self.sizes.hidden = self.sizes.hidden.max(n_rows * n_out);
    }
}
