//! Writer of the integer model file, counterpart of `core`'s parser; see `docs/model-format.md`.

use crate::policy_file::{Hold, Task};
use pusht_core::quant::{
    FORMAT_VERSION, Factor, LANES, MAGIC, OLDEST_FORMAT_VERSION, PACKING, WeightBits,
};
use std::ops::{Deref, DerefMut};

/// Bytes before the sections, and of the checksum after them.
pub(super) const HEADER_SIZE: usize = 16;
pub(super) const CHECKSUM_SIZE: usize = 4;
/// Tag and length of a section.
pub(super) const SECTION_HEADER_SIZE: usize = 8;
/// Bytes of a pass, and of a value of an observation and of an action in `NORM`.
pub(super) const PASS_SIZE: usize = 44;
pub(super) const OBSERVATION_VALUE_SIZE: usize = 16;
pub(super) const ACTION_VALUE_SIZE: usize = 24;
/// Bytes of a row before its weights: bias and factor.
pub(super) const ROW_HEADER_SIZE: usize = 12;

/// A quantised network before serialisation, with the numbers of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// Sizes, in the order of the section `CONF`.
    pub settings: Settings,
    /// The sampler's steps, in order.
    pub passes: Vec<Pass>,
    /// The formats of an observation's values.
    pub observation_values: Vec<ValueFormat>,
    /// The formats of an action's values.
    pub action_values: Vec<ValueFormat>,
    /// Names and units of both, and the references of relative actions.
    pub task: Task,
    /// Blocks and resampling layers in the order of computation.
    pub layers: Vec<Layer>,
    /// Binary places of the final block's output.
    pub final_exponent: u32,
    /// The block after the last upsampling.
    pub final_block: ConvBlock,
    /// 1x1 convolution from channels to a position of the trajectory, in I8F24.
    pub final_conv: Product,
    /// Origin of the model.
    pub provenance: String,
}

/// The section `CONF`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// `To`.
    pub n_obs_steps: usize,
    /// `Tp`.
    pub horizon: usize,
    /// `Ta`.
    pub n_action_steps: usize,
    /// Index of the first executed prediction.
    pub first_action: usize,
    /// Whether observations are part of the trajectory instead of a condition.
    pub is_inpainting: bool,
    /// Channels per level.
    pub down_dims: Vec<usize>,
    /// Taps of the convolutions.
    pub kernel_size: usize,
    /// Groups of the normalisation in residual blocks.
    pub n_groups: usize,
    /// Groups of the normalisation in the final block.
    pub final_n_groups: usize,
    /// Whether FiLM has a scale in addition to its bias.
    pub film_has_scale: bool,
    /// Binary places of the network's input.
    pub sample_exponent: u32,
    /// Binary places of the condition.
    pub condition_exponent: u32,
}

/// One step of the sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    /// Diffusion step; informative only.
    pub timestep: u32,
    /// Whether the step draws noise.
    pub draws_noise: bool,
    /// Coefficients of x and the network's output in the clean sample.
    pub clean: [i32; 2],
    /// Binary places of `clean`.
    pub clean_shift: u32,
    /// Largest magnitude of the clean sample, I8F24.
    pub clip: i32,
    /// Coefficients of the clean sample, x, the output and the noise in the next x.
    pub next: [i32; 4],
    /// Binary places of `next`.
    pub next_shift: u32,
}

/// Format of a raw value and its normaliser: raw to Q16 (observation), or I8F24 to raw (action).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueFormat {
    /// Binary places of the raw value.
    pub exponent: u32,
    /// Normaliser.
    pub affine: Affine,
}

/// Affine map: a factor, then an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Affine {
    /// Factor, applied first.
    pub factor: Factor,
    /// Offset, in the format of the result.
    pub offset: i32,
}

/// Rows of a matrix product, and the bits in which the file has their weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Product {
    /// Bits of a weight.
    pub bits: WeightBits,
    /// A row per output.
    pub rows: Vec<Row>,
}

impl From<Vec<Row>> for Product {
    /// Rows with weights of 8 bits.
    fn from(rows: Vec<Row>) -> Self {
        let bits = WeightBits::Eight;
        Self { bits, rows }
    }
}

impl Deref for Product {
    type Target = [Row];

    fn deref(&self) -> &[Row] {
        &self.rows
    }
}

impl DerefMut for Product {
    fn deref_mut(&mut self) -> &mut [Row] {
        &mut self.rows
    }
}

/// Weights of one output of a convolution or linear layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Bias at the scale of the accumulator.
    pub bias: i32,
    /// Factor from the scale of the accumulator to that of the output.
    pub factor: Factor,
    /// Weights in the order of the window; a multiple of [`LANES`]. Those of 4 bits are multiples of
    /// 16.
    pub weights: Vec<i8>,
}

/// Convolution and GroupNorm.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvBlock {
    /// Binary places of the convolution's output.
    pub conv_exponent: u32,
    /// The convolution.
    pub conv: Product,
    /// Binary places of `gamma`.
    pub gamma_exponent: u32,
    /// `eps (n / scale)^2`.
    pub eps: u64,
    /// `gamma` and `beta` (Q16) per channel.
    pub parameters: Vec<[i32; 2]>,
}

/// A residual block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Binary places after FiLM.
    pub hidden_exponent: u32,
    /// Binary places of the residual convolution's output.
    pub residual_exponent: u32,
    /// Binary places of the block's output.
    pub exponent: u32,
    /// Binary places of the FiLM projection.
    pub film_exponent: u32,
    /// Convolution block before FiLM.
    pub first: ConvBlock,
    /// Projection of the observations by FiLM; none when inpainting.
    pub film: Product,
    /// Projection of the diffusion step by FiLM, `[passes][outputs]`.
    pub film_steps: Vec<i16>,
    /// Convolution block after FiLM.
    pub second: ConvBlock,
    /// 1x1 convolution of the residual connection, if the number of channels changes.
    pub residual: Option<Product>,
}

/// A layer of the U-Net.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A residual block.
    Block(Box<Block>),
    /// Downsampling (one phase) or upsampling (two phases), with the binary places of its output.
    Resample(u32, Vec<Product>),
}

impl ModelFile {
    /// Serialises the whole file, checksum included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Bytes::default();
        let bits: Vec<WeightBits> = self.products().iter().map(|of| of.bits).collect();
        let has_bits = bits.iter().any(|bits| *bits != WeightBits::Eight);
        let version = match has_bits {
            true => FORMAT_VERSION,
            false => OLDEST_FORMAT_VERSION,
        };
        out.0.extend(MAGIC);
        out.words([version, 0]);
        let dims = [self.observation_values.len(), self.action_values.len()];
        out.section(b"CONF", |out| {
            self.settings.write(dims, self.passes.len(), out);
        });
        out.section(b"PASS", |out| self.passes.iter().for_each(|p| p.write(out)));
        out.section(b"NORM", |out| self.write_values(out));
        out.section(b"NAME", |out| out.text(&names(&self.task)));
        if has_bits {
            out.section(b"BITS", |out| {
                out.filled_up(bits.iter().map(|bits| bits.bits()), 0);
            });
        }
        out.section(b"UNET", |out| self.write_unet(out));
        out.section(b"TEXT", |out| out.text(&self.provenance));
        out.finish()
    }

    /// All matrix products, in the file's order.
    pub fn products(&self) -> Vec<&Product> {
        let of_layers = self.layers.iter().flat_map(|layer| match layer {
            Layer::Block(block) => {
                let Block { first, second, .. } = &**block;
                let block = [Some(&first.conv), Some(&block.film), Some(&second.conv)]
                    .into_iter()
                    .chain([block.residual.as_ref()]);
                block.flatten().collect()
            }
            Layer::Resample(_, phases) => phases.iter().collect::<Vec<_>>(),
        });
        let all = of_layers.chain([&self.final_block.conv, &self.final_conv]);
        // Inpainting has no projections.
        all.filter(|product| !product.is_empty()).collect()
    }

    /// [`products`](Self::products), to change them.
    pub fn products_mut(&mut self) -> Vec<&mut Product> {
        let of_layers = self.layers.iter_mut().flat_map(|layer| match layer {
            Layer::Block(block) => {
                let block = &mut **block;
                let (first, second) = (&mut block.first.conv, &mut block.second.conv);
                let block = [Some(first), Some(&mut block.film), Some(second)]
                    .into_iter()
                    .chain([block.residual.as_mut()]);
                block.flatten().collect()
            }
            Layer::Resample(_, phases) => phases.iter_mut().collect::<Vec<_>>(),
        });
        let all = of_layers.chain([&mut self.final_block.conv, &mut self.final_conv]);
        all.filter(|product| !product.is_empty()).collect()
    }

    fn write_values(&self, out: &mut Bytes) {
        const ABSOLUTE: u32 = u32::MAX;
        for value in &self.observation_values {
            out.words([value.exponent]);
            out.affine(value.affine);
        }
        for (value, of_task) in self.action_values.iter().zip(&self.task.action) {
            let hold = match of_task.hold {
                Hold::Last => 0,
                Hold::Observed => 1,
                Hold::Zero => 2,
            };
            let relative_to = of_task.relative_to.map_or(ABSOLUTE, |from| from as u32);
            out.words([value.exponent, relative_to, hold]);
            out.affine(value.affine);
        }
    }

    fn write_unet(&self, out: &mut Bytes) {
        for layer in &self.layers {
            match layer {
                Layer::Block(block) => block.write(out),
                Layer::Resample(exponent, phases) => {
                    out.words([*exponent]);
                    phases.iter().for_each(|product| out.product(product));
                }
            }
        }
        out.words([self.final_exponent]);
        self.final_block.write(out);
        out.product(&self.final_conv);
    }
}

/// Name of the task, then name and unit of each value, one per line.
pub(super) fn names(task: &Task) -> String {
    let observed = task.observation.iter().map(|v| (&v.name, &v.unit));
    let commanded = task.action.iter().map(|v| (&v.name, &v.unit));
    let values = observed
        .chain(commanded)
        .map(|(name, unit)| match unit.as_str() {
            "" => format!("{name}\n"),
            unit => format!("{name}\t{unit}\n"),
        });
    format!("{}\n{}", task.name, values.collect::<String>())
}

impl Settings {
    fn write(&self, [obs_dim, action_dim]: [usize; 2], n_passes: usize, out: &mut Bytes) {
        out.words([
            obs_dim as u32,
            action_dim as u32,
            self.n_obs_steps as u32,
            self.horizon as u32,
            self.n_action_steps as u32,
            self.down_dims.len() as u32,
            self.kernel_size as u32,
            self.n_groups as u32,
            self.final_n_groups as u32,
            u32::from(self.film_has_scale),
            n_passes as u32,
            self.sample_exponent,
            self.condition_exponent,
        ]);
        out.words(self.down_dims.iter().map(|dim| *dim as u32));
        // Most policies have the values that a file without these words stands for.
        if self.is_inpainting || self.first_action + 1 != self.n_obs_steps {
            out.words([u32::from(self.is_inpainting), self.first_action as u32]);
        }
    }
}

impl Pass {
    fn write(&self, out: &mut Bytes) {
        out.words([self.timestep, u32::from(self.draws_noise)]);
        self.clean.into_iter().for_each(|m| out.int(m));
        out.words([self.clean_shift]);
        out.int(self.clip);
        self.next.into_iter().for_each(|m| out.int(m));
        out.words([self.next_shift]);
    }
}

impl Block {
    fn write(&self, out: &mut Bytes) {
        out.words([
            self.hidden_exponent,
            self.residual_exponent,
            self.exponent,
            self.film_exponent,
        ]);
        self.first.write(out);
        out.product(&self.film);
        for value in &self.film_steps {
            out.0.extend(value.to_le_bytes());
        }
        self.second.write(out);
        if let Some(residual) = &self.residual {
            out.product(residual);
        }
    }
}

impl ConvBlock {
    fn write(&self, out: &mut Bytes) {
        out.words([self.conv_exponent, self.gamma_exponent]);
        out.0.extend(self.eps.to_le_bytes());
        out.product(&self.conv);
        self.parameters
            .as_flattened()
            .iter()
            .for_each(|v| out.int(*v));
    }
}

/// Four weights in the file's order.
fn packed(quad: &[i8]) -> [u8; 4] {
    let mut packed = [0; 4];
    for (weight, place) in quad.iter().zip(PACKING) {
        packed[place] = *weight as u8;
    }
    packed
}

/// The upper halves of `first` in the lower halves of four bytes, those of `second` in the upper.
fn in_halves(first: [u8; 4], second: [u8; 4]) -> [u8; 4] {
    let all = [first, second];
    let are_short = all.as_flattened().iter().all(|weight| weight & 15 == 0);
    assert!(are_short, "weights of 4 bits");
    std::array::from_fn(|i| first[i] >> 4 | second[i])
}

/// Buffer of the file.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn int(&mut self, value: i32) {
        self.0.extend(value.to_le_bytes());
    }

    fn words(&mut self, words: impl IntoIterator<Item = u32>) {
        words
            .into_iter()
            .for_each(|word| self.0.extend(word.to_le_bytes()));
    }

    fn factor(&mut self, factor: Factor) {
        self.int(factor.multiplier);
        self.words([factor.shift]);
    }

    fn affine(&mut self, affine: Affine) {
        self.factor(affine.factor);
        self.int(affine.offset);
    }

    fn product(&mut self, product: &Product) {
        for row in &product.rows {
            assert!(
                row.weights.len().is_multiple_of(LANES),
                "a row of whole lanes"
            );
            self.int(row.bias);
            self.factor(row.factor);
            for lanes in row.weights.as_chunks::<LANES>().0 {
                let [first, second] = [0, 4].map(|start| packed(&lanes[start..start + 4]));
                match product.bits {
                    WeightBits::Eight => self.0.extend([first, second].as_flattened()),
                    WeightBits::Four => self.0.extend(in_halves(first, second)),
                }
            }
        }
    }

    /// Appends UTF-8 text, padded with line feeds to a whole word.
    fn text(&mut self, text: &str) {
        self.filled_up(text.bytes(), b'\n');
    }

    /// Appends bytes, padded with `filling` to a whole word: the file so far has whole words.
    fn filled_up(&mut self, bytes: impl Iterator<Item = u8>, filling: u8) {
        self.0.extend(bytes);
        let len = self.0.len().next_multiple_of(4);
        self.0.resize(len, filling);
    }

    fn section(&mut self, tag: &[u8; 4], contents: impl FnOnce(&mut Self)) {
        self.0.extend(tag);
        let len_at = self.0.len();
        self.words([0]);
        contents(self);
        let len = (self.0.len() - len_at - 4) as u32;
        self.0[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Writes the file's length into the header and appends the checksum.
    fn finish(mut self) -> Vec<u8> {
        let len = (self.0.len() + 4) as u32;
        self.0[12..16].copy_from_slice(&len.to_le_bytes());
        let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&self.0);
        self.words([checksum]);
        self.0
    }
}
