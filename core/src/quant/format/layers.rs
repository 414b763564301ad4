//! The network's layers in the file: read one after the other, by the parser once to check them and
//! by every pass to compute them, so that no list of layers has to be kept.

use super::error::ModelError;
use super::model::{MAX_ACTIVATION_EXPONENT, MAX_FILM_EXPONENT, Model, Settings};
use super::reader::Reader;
use crate::quant::kernels::linear::{LANES, Linear};
use crate::quant::kernels::norm::{MAX_GAMMA_EXPONENT, Norm};
use crate::quant::kernels::read;

/// A step of diffusion_policy's `ConditionalUnet1D` (arXiv 2303.04137).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A residual block with so many output channels.
    Block(usize),
    /// Keeps the tensor as the skip of a level.
    SaveSkip(usize),
    /// Halves the length.
    Downsample,
    /// Puts the skip of a level beside the tensor.
    JoinSkip(usize),
    /// Doubles the length.
    Upsample,
    /// The final block.
    Final,
}

/// Visits all steps in the order of the computation.
///
/// The first level's skip has no reader: the way up ends one level below it.
pub(crate) fn walk(
    settings: &Settings,
    visit: &mut dyn FnMut(Step) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let last = settings.n_levels.saturating_sub(1);
    let block = |level| Step::Block(settings.channels(level));
    for level in 0..settings.n_levels {
        visit(block(level))?;
        visit(block(level))?;
        if level > 0 {
            visit(Step::SaveSkip(level))?;
        }
        if level < last {
            visit(Step::Downsample)?;
        }
    }
    visit(block(last))?;
    visit(block(last))?;
    for level in (0..last).rev() {
        visit(Step::JoinSkip(level + 1))?;
        visit(block(level))?;
        visit(block(level))?;
        visit(Step::Upsample)?;
    }
    visit(Step::Final)
}

/// Convolution, GroupNorm, Mish.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConvBlock<'a> {
    pub(crate) conv: Linear<'a>,
    /// Binary places of the convolution's output.
    pub(crate) conv_exponent: u32,
    pub(crate) norm: Norm<'a>,
}

/// `ConditionalResidualBlock1D`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResidualBlock<'a> {
    pub(crate) n_channels: usize,
    pub(crate) first: ConvBlock<'a>,
    pub(crate) film: Film<'a>,
    /// Binary places of the first half's output, after FiLM.
    pub(crate) hidden_exponent: u32,
    pub(crate) second: ConvBlock<'a>,
    /// The 1x1 convolution beside the block, where the number of channels changes.
    pub(crate) residual_conv: Option<Linear<'a>>,
    /// Binary places of what is added, and of the sum.
    pub(crate) residual_exponent: u32,
    pub(crate) exponent: u32,
}

/// A FiLM projection (Perez et al. 2018, arXiv 1709.07871), split by what it depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Film<'a> {
    /// The observation's share.
    pub(crate) condition: Linear<'a>,
    /// The diffusion step's share, with the bias: `i16`, `[passes][outputs]`.
    pub(crate) steps: &'a [u8],
    /// Binary places of both.
    pub(crate) exponent: u32,
}

/// `Downsample1d`: a convolution of three taps and stride 2.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Downsample<'a> {
    pub(crate) conv: Linear<'a>,
    /// Binary places of the output.
    pub(crate) exponent: u32,
}

/// `Upsample1d`: a transposed convolution of four taps and stride 2.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Upsample<'a> {
    /// The even positions' rows, then the odd ones', of two taps each.
    pub(crate) phases: [Linear<'a>; 2],
    /// Binary places of the output.
    pub(crate) exponent: u32,
}

/// What follows the last upsampling.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FinalBlock<'a> {
    pub(crate) block: ConvBlock<'a>,
    /// Binary places of its output.
    pub(crate) exponent: u32,
    /// From channels to an action, in I8F24.
    pub(crate) conv: Linear<'a>,
}

/// A step with its layer.
#[derive(Clone, Debug)]
pub(crate) enum NetworkLayer<'a> {
    /// A residual block.
    Block(ResidualBlock<'a>),
    /// Keeps the tensor as the skip of a level.
    SaveSkip(usize),
    /// Halves the length.
    Downsample(Downsample<'a>),
    /// Puts the skip of a level beside the tensor.
    JoinSkip(usize),
    /// Doubles the length.
    Upsample(Upsample<'a>),
    /// The end.
    Final(FinalBlock<'a>),
}

/// Visits all layers of a model that was parsed, in the order of the computation.
#[inline(always)]
pub(crate) fn for_each_layer<'a>(model: &Model<'a>, mut visit: impl FnMut(NetworkLayer<'a>)) {
    let mut layers = Layers::new(Reader::new(model.unet, 0), &model.settings);
    let walked = walk(&model.settings, &mut |step| {
        visit(match step {
            Step::Block(n_channels) => NetworkLayer::Block(layers.block(n_channels)?),
            Step::SaveSkip(level) => NetworkLayer::SaveSkip(level),
            Step::Downsample => NetworkLayer::Downsample(layers.downsample()?),
            Step::JoinSkip(level) => {
                layers.n_channels *= 2;
                NetworkLayer::JoinSkip(level)
            }
            Step::Upsample => NetworkLayer::Upsample(layers.upsample()?),
            Step::Final => NetworkLayer::Final(layers.final_block()?),
        });
        Ok(())
    });
    debug_assert!(walked.is_ok(), "the parser has read every layer");
}

/// The layers that are still to come, and the tensor at this point.
#[derive(Clone, Debug)]
pub(crate) struct Layers<'a, 's> {
    pub(crate) reader: Reader<'a>,
    settings: &'s Settings,
    pub(crate) n_channels: usize,
    /// Binary places.
    pub(crate) exponent: u32,
}

impl<'a, 's> Layers<'a, 's> {
    /// All layers.
    pub(crate) fn new(reader: Reader<'a>, settings: &'s Settings) -> Self {
        Self {
            reader,
            settings,
            n_channels: settings.action_dim,
            exponent: settings.sample_exponent,
        }
    }

    /// The next layer, a residual block to `n_channels`.
    #[inline(never)]
    pub(crate) fn block(&mut self, n_channels: usize) -> Result<ResidualBlock<'a>, ModelError> {
        let hidden_exponent = self.exponent_word("hidden exponent")?;
        let own_exponent = self.exponent_word("residual exponent")?;
        let exponent = self.exponent_word("block exponent")?;
        let film_exponent = self.reader.word("FiLM exponent", MAX_FILM_EXPONENT)?;
        let n_groups = self.settings.n_groups;
        let first = self.conv_block(self.n_channels, n_channels, n_groups)?;
        let film_len = self.settings.film_len(n_channels);
        let window_len = self.settings.window_len();
        let film = Film {
            condition: self.linear("FiLM projection", film_len, 1, window_len)?,
            steps: self
                .reader
                .take("FiLM step table", 2 * film_len * self.settings.n_passes)?,
            exponent: film_exponent,
        };
        let second = self.conv_block(n_channels, n_channels, n_groups)?;
        let (residual_conv, residual_exponent) = if self.n_channels == n_channels {
            (None, self.exponent)
        } else {
            let what = "residual convolution";
            let conv = self.linear(what, n_channels, 1, self.n_channels)?;
            (Some(conv), own_exponent)
        };
        self.n_channels = n_channels;
        self.exponent = exponent;
        Ok(ResidualBlock {
            n_channels,
            first,
            film,
            hidden_exponent,
            second,
            residual_conv,
            residual_exponent,
            exponent,
        })
    }

    /// The next layer, which halves the length.
    pub(crate) fn downsample(&mut self) -> Result<Downsample<'a>, ModelError> {
        let exponent = self.exponent_word("resampling exponent")?;
        let conv = self.linear("resampling", self.n_channels, 3, self.n_channels)?;
        self.exponent = exponent;
        Ok(Downsample { conv, exponent })
    }

    /// The next layer, which doubles the length.
    pub(crate) fn upsample(&mut self) -> Result<Upsample<'a>, ModelError> {
        let exponent = self.exponent_word("resampling exponent")?;
        let even = self.linear("resampling", self.n_channels, 2, self.n_channels)?;
        let odd = self.linear("resampling", self.n_channels, 2, self.n_channels)?;
        self.exponent = exponent;
        Ok(Upsample {
            phases: [even, odd],
            exponent,
        })
    }

    /// The last layers: a convolution block, and the 1x1 convolution to actions.
    pub(crate) fn final_block(&mut self) -> Result<FinalBlock<'a>, ModelError> {
        let exponent = self.exponent_word("final exponent")?;
        let n_groups = self.settings.final_n_groups;
        let block = self.conv_block(self.n_channels, self.n_channels, n_groups)?;
        let action_dim = self.settings.action_dim;
        Ok(FinalBlock {
            block,
            exponent,
            conv: self.linear("final convolution", action_dim, 1, self.n_channels)?,
        })
    }

    /// A convolution of `kernel_size` taps and its normalisation.
    fn conv_block(
        &mut self,
        n_in: usize,
        n_out: usize,
        n_groups: usize,
    ) -> Result<ConvBlock<'a>, ModelError> {
        let conv_exponent = self.exponent_word("convolution exponent")?;
        let gamma_exponent = self.reader.word("gamma exponent", MAX_GAMMA_EXPONENT)?;
        let headroom = self.reader.word("headroom", u32::BITS)?;
        let eps = read::u64_at(self.reader.take("normalisation epsilon", 8)?, 0);
        let conv = self.linear("convolution", n_out, self.settings.kernel_size, n_in)?;
        let parameters = self
            .reader
            .take("normalisation", n_out * Norm::PARAMETERS_SIZE)?;
        Ok(ConvBlock {
            conv,
            conv_exponent,
            norm: Norm {
                parameters,
                n_groups,
                gamma_exponent,
                eps,
                headroom,
            },
        })
    }

    /// Rows whose windows are `[tap][channel]`, the channels filled up to [`LANES`].
    fn linear(
        &mut self,
        what: &'static str,
        n_out: usize,
        taps: usize,
        n_in: usize,
    ) -> Result<Linear<'a>, ModelError> {
        let window = taps * n_in.next_multiple_of(LANES);
        let is_upper_word_enough = self.reader.word(what, 1)? == 1;
        Ok(Linear {
            rows: self.reader.take(what, n_out * Linear::row_size(window))?,
            window,
            is_upper_word_enough,
        })
    }

    fn exponent_word(&mut self, what: &'static str) -> Result<u32, ModelError> {
        self.reader.word(what, MAX_ACTIVATION_EXPONENT)
    }
}
