//! `ConditionalUnet1D`, the noise predictor of Diffusion Policy (Chi et al. 2023, arXiv
//! 2303.04137), in `f32`.
//!
//! ```text
//! step --sinusoid, linear, Mish, linear--+
//! global condition ----------------------+--> Mish --> FiLM scale and bias of every residual block
//!
//! sample --> down 0 --> down 1 --> down 2 --> mid 0, mid 1 --> up 0 --> up 1 --> final conv --> noise
//! (Tp, Da)                |          +-------- skip -----------^        ^                    (Tp, Da)
//!                         +------------------- skip --------------------+
//! ```
//!
//! A skip is concatenated with the input of its level on the way up. A level of the way down is two
//! residual blocks and a convolution of stride 2 (none at the last level); a level of the way up is
//! two residual blocks and a transposed convolution of stride 2. Letters: `B` plans of a batch,
//! `Tp` positions of the sample, `L` positions of a tensor, `C` channels; arrays are row-major with
//! channels last.
//!
//! Two quirks of the original are kept, because published weights rely on them:
//! - every level of the way up doubles the length: the test for the last one never holds;
//! - the second half of the local condition (`local_cond_encoder.1`) never reaches the network,
//!   since the level that it belongs to is compared with one past the last. It is neither loaded
//!   nor computed here.

mod config;
mod kernels;
mod layers;
mod observer;
mod pass;
mod shape;

pub use config::{DownDims, FINAL_CONV_N_GROUPS, UnetConfig};
pub use layers::TensorSource;
pub use observer::{ModulePath, Observer, Unobserved};

use layers::Layers;
use shape::Shape;

/// Why a network can't be built or run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnetError {
    /// A rule of [`UnetConfig`] is broken.
    Config(&'static str),
    /// The source has no tensor of this name.
    MissingTensor(ModulePath),
    /// The tensor of this name has another shape than the configuration implies.
    TensorShape(ModulePath),
    /// A slice has the wrong length.
    WrongLength {
        /// Name of the argument.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// The sample's length is zero or no multiple of [`UnetConfig::length_multiple`].
    SampleLength {
        /// What it must be a multiple of.
        multiple: usize,
        /// What it is.
        got: usize,
    },
    /// A condition is given to a network without it, or missing.
    Condition(&'static str),
}

impl core::fmt::Display for UnetError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Config(rule) => write!(f, "U-Net: {rule}"),
            Self::MissingTensor(name) => write!(f, "U-Net: no tensor {}", name.as_str()),
            Self::TensorShape(name) => {
                write!(f, "U-Net: tensor {} has the wrong shape", name.as_str())
            }
            Self::WrongLength {
                what,
                expected,
                got,
            } => write!(f, "U-Net: {what} needs {expected} values, got {got}"),
            Self::SampleLength { multiple, got } => write!(
                f,
                "U-Net: length {got} of the sample is not a positive multiple of {multiple}"
            ),
            Self::Condition(what) => write!(f, "U-Net: {what}"),
        }
    }
}

impl core::error::Error for UnetError {}

/// The inputs of a forward pass. Plans of a batch run together, so that the weights are read once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnetInput<'a> {
    /// `B`, the plans of the batch.
    pub batch: usize,
    /// `[B][Tp][input_dim]`.
    pub sample: &'a [f32],
    /// Diffusion timesteps: one for the whole batch, or one per plan.
    pub timesteps: &'a [f32],
    /// `[B][Tp][local_cond_dim]`.
    pub local_cond: Option<&'a [f32]>,
    /// `[B][global_cond_dim]`.
    pub global_cond: Option<&'a [f32]>,
}

/// The network. `W` holds its packed weights: a `Vec` on the host, a `&mut` slice without an
/// allocator.
///
/// # Examples
/// ```
/// use pusht_core::policy::unet::{
///     ConditionalUnet1D, DownDims, TensorSource, UnetConfig, UnetError, UnetInput, Unobserved,
/// };
///
/// // Zeros but for the last bias: the network predicts 0.5 everywhere.
/// struct Constant;
///
/// impl TensorSource for Constant {
///     fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])> {
///         const ZEROS: &[f32] = &[0.0; 192];
///         let shape: &[usize] = match name {
///             "diffusion_step_encoder.1.weight" => &[16, 4],
///             "diffusion_step_encoder.1.bias" => &[16],
///             "diffusion_step_encoder.3.weight" => &[4, 16],
///             "diffusion_step_encoder.3.bias" => &[4],
///             "final_conv.1.weight" => &[8, 8, 1],
///             "final_conv.1.bias" => return Some((&[8], &[0.5; 8])),
///             _ if name.ends_with("cond_encoder.1.weight") => &[8, 4],
///             _ if name.ends_with("block.0.weight") => &[8, 8, 3],
///             _ => &[8],
///         };
///         Some((shape, &ZEROS[..shape.iter().product()]))
///     }
/// }
///
/// let config = UnetConfig {
///     input_dim: 8,
///     local_cond_dim: None,
///     global_cond_dim: None,
///     diffusion_step_embed_dim: 4,
///     down_dims: DownDims::new(&[8])?,
///     kernel_size: 3,
///     n_groups: 8,
///     cond_predict_scale: false,
/// };
/// let memory = vec![0.0; config.weights_len()?];
/// let unet = ConditionalUnet1D::new(config, &Constant, memory)?;
///
/// const TP: usize = 4;
/// let input = UnetInput {
///     batch: 1,
///     sample: &[0.1; TP * 8],
///     timesteps: &[99.0],
///     local_cond: None,
///     global_cond: None,
/// };
/// let mut output = [0.0; TP * 8];
/// let mut scratch = vec![0.0; unet.config().scratch_len(1, TP)];
/// unet.forward(&input, &mut output, &mut scratch, &mut Unobserved)?;
/// assert_eq!(output, [0.5; TP * 8]);
/// # Ok::<(), UnetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConditionalUnet1D<W> {
    config: UnetConfig,
    layers: Layers,
    weights: W,
}

impl UnetConfig {
    /// Values of memory that [`ConditionalUnet1D::new`] needs for the packed weights.
    ///
    /// # Errors
    /// [`UnetError::Config`] for the first rule that the options break.
    pub fn weights_len(&self) -> Result<usize, UnetError> {
        self.check()?;
        Ok(layers::count(self)?.1.packed)
    }

    /// Calls `visit` with the name, in PyTorch's state dict, and the shape of every tensor that
    /// [`ConditionalUnet1D::new`] needs: the list for an exporter of weights.
    ///
    /// ```
    /// use pusht_core::policy::unet::{DownDims, UnetConfig};
    ///
    /// let config = UnetConfig {
    ///     input_dim: 2,
    ///     local_cond_dim: None,
    ///     global_cond_dim: Some(40),
    ///     diffusion_step_embed_dim: 256,
    ///     down_dims: DownDims::new(&[256, 512, 1024])?,
    ///     kernel_size: 5,
    ///     n_groups: 8,
    ///     cond_predict_scale: true,
    /// };
    /// let mut n_values = 0;
    /// config.visit_tensors(|name, shape| {
    ///     if name == "down_modules.0.0.blocks.0.block.0.weight" {
    ///         assert_eq!(shape, [256, 2, 5]);
    ///     }
    ///     n_values += shape.iter().product::<usize>();
    /// })?;
    /// assert_eq!(n_values, config.n_parameters()?);
    /// # Ok::<(), pusht_core::policy::unet::UnetError>(())
    /// ```
    ///
    /// # Errors
    /// [`UnetError::Config`] for the first rule that the options break.
    pub fn visit_tensors(&self, mut visit: impl FnMut(&str, &[usize])) -> Result<(), UnetError> {
        self.check()?;
        layers::visit(self, &mut visit)
    }

    /// Weights and biases that take part in a pass.
    ///
    /// # Errors
    /// [`UnetError::Config`] for the first rule that the options break.
    pub fn n_parameters(&self) -> Result<usize, UnetError> {
        self.check()?;
        Ok(layers::count(self)?.1.parameters)
    }

    /// Multiplications by weights in one pass over `length` positions.
    ///
    /// # Errors
    /// [`UnetError::Config`] for the first rule that the options break.
    pub fn n_macs(&self, length: usize) -> Result<usize, UnetError> {
        self.check()?;
        Ok(layers::count(self)?.0.n_macs(length))
    }

    /// Values of scratch memory that [`ConditionalUnet1D::forward`] needs for `batch` samples of
    /// `length` positions.
    pub fn scratch_len(&self, batch: usize, length: usize) -> usize {
        pass::Sizes::new(self, batch, length).total()
    }

    fn shape(&self, n_channels: usize, batch: usize, length: usize) -> Shape {
        Shape {
            batch,
            length,
            n_channels,
            padding: self.padding(),
        }
    }
}

impl<W: AsRef<[f32]> + AsMut<[f32]>> ConditionalUnet1D<W> {
    /// Finds every tensor of the network in `source`, checks its shape and packs it into `memory`
    /// ([`UnetConfig::weights_len`] values).
    ///
    /// # Errors
    /// [`UnetError::Config`] for the first rule that `config` breaks; [`UnetError::MissingTensor`]
    /// and [`UnetError::TensorShape`] for the first tensor that `source` does not have, or has in
    /// another shape; [`UnetError::WrongLength`] if `memory` has another length.
    pub fn new(
        config: UnetConfig,
        source: &impl TensorSource,
        mut memory: W,
    ) -> Result<Self, UnetError> {
        config.check()?;
        let (_, counts) = layers::count(&config)?;
        expect_len("memory for weights", memory.as_ref().len(), counts.packed)?;
        let layers = layers::pack(&config, source, memory.as_mut())?;
        Ok(Self {
            config,
            layers,
            weights: memory,
        })
    }
}

impl<W: AsRef<[f32]>> ConditionalUnet1D<W> {
    /// The options.
    pub fn config(&self) -> &UnetConfig {
        &self.config
    }

    /// Predicts the noise in `input.sample` (or what the network was trained for) into `output`,
    /// `[B][Tp][input_dim]`. `scratch` has at least [`UnetConfig::scratch_len`] values.
    ///
    /// # Errors
    /// [`UnetError::WrongLength`] if a slice has not its shape, or `scratch` is too short;
    /// [`UnetError::SampleLength`] if `Tp` is no positive multiple of
    /// [`UnetConfig::length_multiple`]; [`UnetError::Condition`] for an empty batch, a missing
    /// global condition, or a condition that the network does not have.
    pub fn forward<O: Observer>(
        &self,
        input: &UnetInput<'_>,
        output: &mut [f32],
        scratch: &mut [f32],
        observer: &mut O,
    ) -> Result<(), UnetError> {
        let length = self.check_input(input)?;
        expect_len("output", output.len(), input.sample.len())?;
        let needed = self.config.scratch_len(input.batch, length);
        if scratch.len() < needed {
            return expect_len("scratch", scratch.len(), needed);
        }
        let network = (&self.config, &self.layers, self.weights.as_ref());
        pass::run(network, (input, length), output, scratch, observer);
        Ok(())
    }

    /// Checks `input` and returns `Tp`.
    fn check_input(&self, input: &UnetInput<'_>) -> Result<usize, UnetError> {
        let config = &self.config;
        if input.batch == 0 {
            return Err(UnetError::Condition("the batch is empty"));
        }
        let row = input.batch * config.input_dim;
        let length = input.sample.len() / row;
        expect_len("sample", input.sample.len(), length * row)?;
        let multiple = config.length_multiple();
        if length == 0 || !length.is_multiple_of(multiple) {
            let got = length;
            return Err(UnetError::SampleLength { multiple, got });
        }
        if input.timesteps.len() != 1 {
            expect_len("timesteps", input.timesteps.len(), input.batch)?;
        }
        match (config.global_cond_dim, input.global_cond) {
            (None, None) => {}
            (Some(dim), Some(cond)) => expect_len("global_cond", cond.len(), input.batch * dim)?,
            (None, Some(_)) => return Err(UnetError::Condition("it has no global condition")),
            (Some(_), None) => return Err(UnetError::Condition("global_cond is missing")),
        }
        match (config.local_cond_dim, input.local_cond) {
            (_, None) => {}
            (Some(dim), Some(cond)) => {
                expect_len("local_cond", cond.len(), input.batch * length * dim)?;
            }
            (None, Some(_)) => return Err(UnetError::Condition("it has no local condition")),
        }
        Ok(length)
    }
}

fn expect_len(what: &'static str, got: usize, expected: usize) -> Result<(), UnetError> {
    if got == expected {
        return Ok(());
    }
    Err(UnetError::WrongLength {
        what,
        expected,
        got,
    })
}
