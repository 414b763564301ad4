//! The U-Net's parameters: names and shapes of diffusion_policy's `ConditionalUnet1D`, PyTorch's initial values.

use super::random;
use crate::policy_file::{Tensor, Tensors, UnetConfig};
use anyhow::{Context, Result, ensure};
use rand::RngExt;

/// Prefix of the U-Net's tensors in a policy file.
const MODEL_PREFIX: &str = "model.";

/// One parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Module path in the state dict, without the prefix of the model.
    pub name: String,
    /// Where its values start in the flat vector of all parameters.
    pub offset: usize,
    kind: Kind,
    init: Init,
}

/// What a parameter is, and so how it is stored: PyTorch keeps the taps of a weight innermost; the flat vector
/// holds (taps, inputs, outputs), so that each tap is a matrix ready to be multiplied.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A bias or a factor: (n) in both.
    Vector { n: usize },
    /// PyTorch: (outputs, inputs).
    Linear { n_in: usize, n_out: usize },
    /// PyTorch: (outputs, inputs, taps).
    Conv {
        n_in: usize,
        n_out: usize,
        taps: usize,
    },
    /// PyTorch: (inputs, outputs, taps).
    ConvTranspose {
        n_in: usize,
        n_out: usize,
        taps: usize,
    },
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug)]
enum Init {
    /// Uniform in `±bound`. PyTorch's `kaiming_uniform_(a=sqrt(5))` for weights and its rule for biases
    /// have the same bound, 1 / sqrt(fan-in).
    Uniform {
        bound: f64,
    },
    One,
    Zero,
}

impl Parameter {
    /// Extents in the flat vector: taps, inputs, outputs.
    pub fn stored_shape(&self) -> [usize; 3] {
        match self.kind {
            Kind::Vector { n } => [1, 1, n],
            Kind::Linear { n_in, n_out } => [1, n_in, n_out],
            Kind::Conv { n_in, n_out, taps } | Kind::ConvTranspose { n_in, n_out, taps } => {
                [taps, n_in, n_out]
            }
        }
    }

    /// Extents in the state dict.
    pub fn torch_shape(&self) -> Vec<usize> {
        match self.kind {
            Kind::Vector { n } => vec![n],
            Kind::Linear { n_in, n_out } => vec![n_out, n_in],
            Kind::Conv { n_in, n_out, taps } => vec![n_out, n_in, taps],
            Kind::ConvTranspose { n_in, n_out, taps } => vec![n_in, n_out, taps],
        }
    }

    /// For each row that the integer model has of it, the places of its weights in the flat vector of
    /// all parameters; no rows of what the model has otherwise: vectors, and what depends on the
    /// diffusion step (`embed_dim` values) alone.
    pub fn rows(&self, embed_dim: usize) -> Vec<Vec<usize>> {
        let [taps, n_in, n_out] = self.stored_shape();
        let (products, first_input) = match self.kind {
            Kind::Vector { .. } => return Vec::new(),
            Kind::Linear { .. } if self.name.starts_with("diffusion_step_encoder.") => {
                return Vec::new();
            }
            Kind::Linear { .. } => (vec![vec![0]], embed_dim),
            Kind::Conv { .. } => (vec![(0..taps).collect()], 0),
            // One for the even outputs and one for the odd.
            Kind::ConvTranspose { .. } => (vec![vec![1, 3], vec![0, 2]], 0),
        };
        let row = |taps: &[usize], output: usize| {
            let of_tap = |tap: &usize| {
                let first = self.offset + tap * n_in * n_out + output;
                (first_input..n_in).map(move |input| first + input * n_out)
            };
            taps.iter().flat_map(of_tap).collect()
        };
        let rows = products
            .iter()
            .flat_map(|taps| (0..n_out).map(|output| row(taps, output)));
        rows.collect()
    }

    /// Number of values.
    pub fn n_values(&self) -> usize {
        self.stored_shape().iter().product()
    }

    /// For each value of the flat vector its place in the state dict's tensor.
    pub(super) fn torch_indices(&self) -> impl Iterator<Item = usize> + '_ {
        let [taps, n_in, n_out] = self.stored_shape();
        (0..self.n_values()).map(move |stored| {
            let (tap, input, output) =
                (stored / n_out / n_in, stored / n_out % n_in, stored % n_out);
            match self.kind {
                Kind::ConvTranspose { .. } => (input * n_out + output) * taps + tap,
                _ => (output * n_in + input) * taps + tap,
            }
        })
    }
}

/// Every parameter of a U-Net, in the order of the forward pass.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The parameters; their offsets follow each other.
    pub parameters: Vec<Parameter>,
}

impl Layout {
    /// The parameters of the U-Net of `config`.
    pub fn new(config: &UnetConfig) -> Self {
        let mut layout = Self {
            parameters: Vec::new(),
        };
        let embed_dim = config.diffusion_step_embed_dim;
        layout.linear("diffusion_step_encoder.1", embed_dim, 4 * embed_dim);
        layout.linear("diffusion_step_encoder.3", 4 * embed_dim, embed_dim);
        for (level, block) in down_levels(config).enumerate() {
            let path = format!("down_modules.{level}");
            layout.residual_block(config, &format!("{path}.0"), block.input, block.output);
            layout.residual_block(config, &format!("{path}.1"), block.output, block.output);
            if block.resamples {
                layout.conv(&format!("{path}.2.conv"), block.output, block.output, 3);
            }
        }
        let mid_dim = *config.down_dims.last().unwrap_or(&config.input_dim);
        layout.residual_block(config, "mid_modules.0", mid_dim, mid_dim);
        layout.residual_block(config, "mid_modules.1", mid_dim, mid_dim);
        for (level, block) in up_levels(config).enumerate() {
            let path = format!("up_modules.{level}");
            layout.residual_block(config, &format!("{path}.0"), block.input, block.output);
            layout.residual_block(config, &format!("{path}.1"), block.output, block.output);
            layout.conv_transpose(&format!("{path}.2.conv"), block.output, 4);
        }
        let start_dim = config.down_dims[0];
        layout.conv_block("final_conv.0", start_dim, start_dim, config.kernel_size);
        layout.conv("final_conv.1", start_dim, config.input_dim, 1);
        layout
    }

    /// Number of values in all parameters.
    pub fn n_values(&self) -> usize {
        self.parameters
            .last()
            .map_or(0, |p| p.offset + p.n_values())
    }

    /// Initial values of all parameters.
    pub fn init(&self, seed: u64) -> Vec<f32> {
        let mut rng = random::stream(seed, random::Purpose::Weights, 0);
        let mut values = Vec::with_capacity(self.n_values());
        for parameter in &self.parameters {
            for _ in 0..parameter.n_values() {
                values.push(match parameter.init {
                    Init::Uniform { bound } => rng.random_range(-bound..bound) as f32,
                    Init::One => 1.0,
                    Init::Zero => 0.0,
                });
            }
        }
        values
    }

    /// Cuts the flat vector into the tensors of a policy file.
    pub fn to_tensors(&self, values: &[f32]) -> Tensors {
        let tensors = self.parameters.iter().map(|parameter| {
            let stored = &values[parameter.offset..][..parameter.n_values()];
            let mut data = vec![0.0; stored.len()];
            for (index, value) in parameter.torch_indices().zip(stored) {
                data[index] = *value;
            }
            let shape = parameter.torch_shape();
            (
                format!("{MODEL_PREFIX}{}", parameter.name),
                Tensor { shape, data },
            )
        });
        tensors.collect()
    }

    /// The flat vector of a policy's tensors: what [`to_tensors`](Self::to_tensors) made of it.
    ///
    /// # Errors
    /// If one is missing or of another shape.
    pub fn from_tensors(&self, tensors: &Tensors) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(self.n_values());
        for parameter in &self.parameters {
            let name = format!("{MODEL_PREFIX}{}", parameter.name);
            let tensor = tensors
                .get(&name)
                .with_context(|| format!("no tensor {name}"))?;
            let expected = parameter.torch_shape();
            ensure!(
                tensor.shape == expected,
                "tensor {name} has the shape {:?}, not {expected:?}",
                tensor.shape
            );
            flat.extend(parameter.torch_indices().map(|index| tensor.data[index]));
        }
        Ok(flat)
    }

    fn push(&mut self, name: String, kind: Kind, init: Init) {
        let offset = self.n_values();
        self.parameters.push(Parameter {
            name,
            offset,
            kind,
            init,
        });
    }

    /// Weight and bias (`n_out`) with the bound of `fan_in`.
    fn affine(&mut self, path: &str, kind: Kind, n_out: usize, fan_in: usize) {
        let bound = (fan_in as f64).sqrt().recip();
        self.push(format!("{path}.weight"), kind, Init::Uniform { bound });
        let bias = Kind::Vector { n: n_out };
        self.push(format!("{path}.bias"), bias, Init::Uniform { bound });
    }

    fn linear(&mut self, path: &str, n_in: usize, n_out: usize) {
        self.affine(path, Kind::Linear { n_in, n_out }, n_out, n_in);
    }

    fn conv(&mut self, path: &str, n_in: usize, n_out: usize, taps: usize) {
        self.affine(path, Kind::Conv { n_in, n_out, taps }, n_out, n_in * taps);
    }

    /// PyTorch takes the fan-in of a transposed convolution from its output channels; here they are equal.
    fn conv_transpose(&mut self, path: &str, channels: usize, taps: usize) {
        let kind = Kind::ConvTranspose {
            n_in: channels,
            n_out: channels,
            taps,
        };
        self.affine(path, kind, channels, channels * taps);
    }

    fn group_norm(&mut self, path: &str, channels: usize) {
        self.push(
            format!("{path}.weight"),
            Kind::Vector { n: channels },
            Init::One,
        );
        self.push(
            format!("{path}.bias"),
            Kind::Vector { n: channels },
            Init::Zero,
        );
    }

    fn conv_block(&mut self, path: &str, n_in: usize, n_out: usize, taps: usize) {
        self.conv(&format!("{path}.block.0"), n_in, n_out, taps);
        self.group_norm(&format!("{path}.block.1"), n_out);
    }

    fn residual_block(&mut self, config: &UnetConfig, path: &str, n_in: usize, n_out: usize) {
        let cond_dim = config.diffusion_step_embed_dim + config.global_cond_dim;
        let film_dim = n_out * (1 + usize::from(config.cond_predict_scale));
        self.conv_block(&format!("{path}.blocks.0"), n_in, n_out, config.kernel_size);
        self.conv_block(
            &format!("{path}.blocks.1"),
            n_out,
            n_out,
            config.kernel_size,
        );
        self.linear(&format!("{path}.cond_encoder.1"), cond_dim, film_dim);
        if n_in != n_out {
            self.conv(&format!("{path}.residual_conv"), n_in, n_out, 1);
        }
    }
}

/// Channels of one level of the U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Channels that enter it.
    pub input: usize,
    /// Channels that leave it.
    pub output: usize,
    /// Whether the length is halved (down) or doubled (up) behind it.
    pub resamples: bool,
}

/// The levels on the way down; the last one keeps the length.
pub fn down_levels(config: &UnetConfig) -> impl Iterator<Item = Level> + '_ {
    let last = config.down_dims.len() - 1;
    let inputs = std::iter::once(&config.input_dim).chain(&config.down_dims);
    let pairs = inputs.zip(&config.down_dims).enumerate();
    pairs.map(move |(level, (&input, &output))| Level {
        input,
        output,
        resamples: level != last,
    })
}

/// The levels on the way up; each takes the skip connection beside its input and doubles the length.
pub fn up_levels(config: &UnetConfig) -> impl Iterator<Item = Level> + '_ {
    config.down_dims.windows(2).rev().map(|pair| Level {
        input: 2 * pair[1],
        output: pair[0],
        resamples: true,
    })
}
