//! Validation of a whole model file, on which all other code relies; see `docs/model-format.md`.

use super::error::ModelError;
use super::layers::{ConvBlock, Downsample, Film, FinalBlock, ResidualBlock, Unet, Upsample};
use super::limits::{
    FORMAT_VERSION, MAGIC, MAX_ACTION_DIM, MAX_ACTIVATION_EXPONENT, MAX_CHANNELS,
    MAX_FILM_EXPONENT, MAX_HORIZON, MAX_KERNEL_SIZE, MAX_LEVELS, MAX_PASSES, MAX_WINDOW_LEN,
    OLDEST_FORMAT_VERSION,
};
use super::model::{Model, Settings, Sizes};
use super::reader::Reader;
use super::tables::{action_values, names, observation_values, passes, text};
use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{LANES, Linear};
use crate::quant::kernels::norm::{MAX_EPS, MAX_GAMMA_EXPONENT, MAX_GROUP_LEN, Norm};
use crate::quant::kernels::{read, slices};
use crc::{CRC_32_ISO_HDLC, Crc};
use heapless::Vec;

const HEADER_SIZE: usize = 16;
const CHECKSUM_SIZE: usize = 4;
/// Name of an entry of the section `BITS`.
const WEIGHT_BITS: &str = "bits of a weight";

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

impl<'a> Model<'a> {
    /// Validates and parses a whole model file; later use of the model cannot fail.
    ///
    /// On a Cortex-M `bytes` begin at a multiple of 4: [`include_model!`](crate::include_model)
    /// embeds a file there.
    ///
    /// # Errors
    /// A [`ModelError`] with the byte offset of the first defect.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        model(bytes)
    }
}

/// Parses a whole model file. Not inlined, so that the result is not copied on the stack.
#[inline(never)]
fn model(bytes: &[u8]) -> Result<Model<'_>, ModelError> {
    let (version, contents) = checked_contents(bytes)?;
    let mut reader = Reader::new(&contents[HEADER_SIZE..], HEADER_SIZE);
    let settings = settings(&mut reader.section("CONF")?)?;
    let passes = passes(&mut reader.section("PASS")?, settings.n_passes)?;
    let mut section = reader.section("NORM")?;
    let observation_values = observation_values(&mut section, settings.obs_dim)?;
    let action_values = action_values(&mut section, &settings, observation_values)?;
    section.end("NORM")?;
    let names = names(&reader.section("NAME")?, &settings)?;
    let has_bits = version > OLDEST_FORMAT_VERSION;
    // Filled in place: a copy would take most of the stack that a device needs.
    let mut parsed = Ok(Model {
        settings,
        passes,
        stops_early: false,
        observation_values,
        action_values,
        names,
        weight_bits: &[],
        unet: Unet::default(),
        provenance: "",
        sizes: Sizes::default(),
    });
    if let Ok(model) = &mut parsed
        && let Err(error) = network(&mut reader, has_bits, model)
    {
        parsed = Err(error);
    }
    parsed
}

/// Parses the sections of the network, after settings and tables.
#[inline(never)]
fn network<'a>(
    reader: &mut Reader<'a>,
    has_bits: bool,
    model: &mut Model<'a>,
) -> Result<(), ModelError> {
    let mut bits = match has_bits {
        true => Some(reader.section("BITS")?),
        false => None,
    };
    let all_bits = bits.as_ref().map_or(&[][..], Reader::rest);
    let mut section = reader.section("UNET")?;
    let mut walk = Walk::new(&mut section, bits.as_mut(), &model.settings);
    walk.unet(&mut model.unet)?;
    model.sizes = walk.sizes;
    if let Some(bits) = bits {
        model.weight_bits = filled_up(all_bits, &bits)?;
    }
    section.end("UNET")?;
    model.provenance = text(&reader.section("TEXT")?, "provenance")?;
    reader.end("end of file")
}

/// What comes before `rest` in a section, if only zeros that fill up a word are left.
fn filled_up<'a>(section: &'a [u8], rest: &Reader<'_>) -> Result<&'a [u8], ModelError> {
    let filling = rest.rest();
    if filling.len() >= 4 || filling.iter().any(|byte| *byte != 0) {
        return Err(rest.out_of_range(WEIGHT_BITS));
    }
    Ok(slices::part(section, 0, section.len() - filling.len()))
}

/// Checks address, magic, version, length and checksum; returns the version, and the file without
/// its checksum.
fn checked_contents(bytes: &[u8]) -> Result<(u32, &[u8]), ModelError> {
    // These kernels load words of weights; without this they would leave all products to the
    // reference, at several times the cost.
    if cfg!(cortex_m_kernels) && !bytes.as_ptr().cast::<u32>().is_aligned() {
        return Err(ModelError::Misaligned);
    }
    if bytes.len() < HEADER_SIZE + CHECKSUM_SIZE {
        return Err(
            if MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
                ModelError::Truncated {
                    what: "header",
                    at: 0,
                }
            } else {
                ModelError::NotAModel
            },
        );
    }
    if bytes[..MAGIC.len()] != MAGIC {
        return Err(ModelError::NotAModel);
    }
    let got = read::i32_at(bytes, 8) as u32;
    if !(OLDEST_FORMAT_VERSION..=FORMAT_VERSION).contains(&got) {
        return Err(ModelError::UnknownVersion { got });
    }
    let expected = read::i32_at(bytes, 12) as u32 as usize;
    if expected != bytes.len() {
        return Err(ModelError::WrongLength {
            expected,
            got: bytes.len(),
        });
    }
    let (contents, checksum) = bytes.split_at(bytes.len() - CHECKSUM_SIZE);
    let stored = read::i32_at(checksum, 0) as u32;
    let computed = CRC.checksum(contents);
    if stored != computed {
        return Err(ModelError::WrongChecksum { stored, computed });
    }
    Ok((got, contents))
}

fn settings(reader: &mut Reader<'_>) -> Result<Settings, ModelError> {
    let obs_dim = reader.size("values of an observation", 1, MAX_WINDOW_LEN)?;
    let action_dim = reader.size("values of an action", 1, MAX_ACTION_DIM)?;
    let n_obs_steps = reader.size("observation steps", 1, MAX_WINDOW_LEN)?;
    let horizon = reader.size("horizon", 1, MAX_HORIZON)?;
    let n_action_steps = reader.size("action steps", 1, horizon)?;
    let n_levels = reader.size("levels", 1, MAX_LEVELS)?;
    let kernel_size = reader.size("kernel size", 1, MAX_KERNEL_SIZE)?;
    let n_groups = reader.size("groups", 1, MAX_CHANNELS)?;
    let final_n_groups = reader.size("groups of the final block", 1, MAX_CHANNELS)?;
    let film_has_scale = reader.word("FiLM scale flag", 1)? == 1;
    let n_passes = reader.size("passes", 1, MAX_PASSES)?;
    let sample_exponent = reader.word("sample exponent", MAX_ACTIVATION_EXPONENT)?;
    let condition_exponent = reader.word("condition exponent", MAX_ACTIVATION_EXPONENT)?;
    let mut down_dims = [0; MAX_LEVELS];
    for place in &mut down_dims[..n_levels] {
        let error = reader.out_of_range("channels of a level");
        let dim = reader.size("channels of a level", LANES, MAX_CHANNELS)?;
        if !dim.is_multiple_of(LANES) || !dim.is_multiple_of(n_groups) {
            return Err(error);
        }
        *place = dim as u16;
    }
    // Files of policies with global conditioning that execute from `To - 1` on end here.
    let (is_inpainting, first_action) = if reader.rest().is_empty() {
        (false, n_obs_steps - 1)
    } else {
        let is_inpainting = reader.word("conditioning", 1)? == 1;
        (
            is_inpainting,
            reader.size("first executed action", 0, MAX_HORIZON)?,
        )
    };
    let fits = first_action + n_action_steps <= horizon
        && (!is_inpainting || n_obs_steps <= horizon)
        && kernel_size % 2 == 1
        && horizon.is_multiple_of(1 << (n_levels - 1))
        && usize::from(down_dims[0]).is_multiple_of(final_n_groups)
        && n_obs_steps * obs_dim <= MAX_WINDOW_LEN;
    if !fits {
        return Err(reader.out_of_range("the settings before this, together,"));
    }
    reader.end("CONF")?;
    Ok(Settings {
        obs_dim,
        action_dim,
        n_obs_steps,
        horizon,
        n_action_steps,
        first_action,
        is_inpainting,
        input_dim: match is_inpainting {
            true => action_dim + obs_dim,
            false => action_dim,
        },
        n_levels,
        kernel_size,
        n_groups,
        final_n_groups,
        film_has_scale,
        n_passes,
        sample_exponent,
        condition_exponent,
        down_dims,
    })
}

/// Parses the network in order of computation, checks the kernels' invariants, and sizes the
/// memory.
struct Walk<'r, 'a> {
    reader: &'r mut Reader<'a>,
    /// The section `BITS`; without it all weights have 8.
    bits: Option<&'r mut Reader<'a>>,
    settings: &'r Settings,
    sizes: Sizes,
    length: usize,
    n_channels: usize,
    /// Binary places of the current tensor.
    exponent: u8,
}

impl<'r, 'a> Walk<'r, 'a> {
    fn new(
        reader: &'r mut Reader<'a>,
        bits: Option<&'r mut Reader<'a>>,
        settings: &'r Settings,
    ) -> Self {
        Self {
            reader,
            bits,
            settings,
            sizes: Sizes {
                condition: settings.condition_len(),
                window: settings.window_len(),
                trajectory: settings.horizon * settings.input_dim,
                ..Sizes::default()
            },
            length: settings.horizon,
            n_channels: settings.input_dim,
            exponent: settings.sample_exponent as u8,
        }
    }

    fn unet(&mut self, unet: &mut Unet<'a>) -> Result<(), ModelError> {
        let last = self.settings.n_levels - 1;
        let mut skip_exponents = [0; MAX_LEVELS];
        for level in 0..=last {
            let n_channels = self.settings.channels(level);
            self.two_blocks(n_channels, &mut unet.blocks)?;
            skip_exponents[level] = self.exponent;
            if level > 0 {
                self.sizes.skips += self.length * n_channels;
            }
            if level < last {
                self.length /= 2;
                push(&mut unet.downsamples, self.downsample()?);
            }
        }
        self.two_blocks(self.n_channels, &mut unet.blocks)?;
        for level in (1..=last).rev() {
            if self.exponent != skip_exponents[level] {
                let what = "exponent of a tensor before this, beside its skip";
                return Err(self.reader.out_of_range(what));
            }
            self.n_channels *= 2;
            self.two_blocks(self.settings.channels(level - 1), &mut unet.blocks)?;
            self.length *= 2;
            push(&mut unet.upsamples, self.upsample()?);
        }
        unet.final_block = self.final_block()?;
        Ok(())
    }

    /// The final convolution block and the 1x1 convolution to the trajectory's values.
    fn final_block(&mut self) -> Result<FinalBlock<'a>, ModelError> {
        let exponent = self.exponent("final exponent")?;
        let (n, n_groups) = (self.n_channels, self.settings.final_n_groups);
        let input_dim = self.settings.input_dim;
        Ok(FinalBlock {
            exponent,
            block: self.conv_block(n, n, n_groups)?,
            conv: self.linear("final convolution", input_dim, 1, n)?,
        })
    }

    fn two_blocks<const N: usize>(
        &mut self,
        n_channels: usize,
        blocks: &mut Vec<ResidualBlock<'a>, N>,
    ) -> Result<(), ModelError> {
        for _ in 0..2 {
            push(blocks, self.block(n_channels)?);
        }
        Ok(())
    }

    fn block(&mut self, n_channels: usize) -> Result<ResidualBlock<'a>, ModelError> {
        let hidden_exponent = self.exponent("hidden exponent")?;
        let own_exponent = self.exponent("residual exponent")?;
        let exponent = self.exponent("block exponent")?;
        let film_exponent = self.reader.word("FiLM exponent", MAX_FILM_EXPONENT)?;
        let n_groups = self.settings.n_groups;
        let first = self.conv_block(self.n_channels, n_channels, n_groups)?;
        let film_len = self.settings.film_len(n_channels);
        let condition = match self.settings.is_inpainting {
            true => Linear::default(),
            false => self.linear("FiLM projection", film_len, 1, self.sizes.condition)?,
        };
        let film = Film {
            condition,
            steps: self
                .reader
                .take("FiLM step table", 2 * film_len * self.settings.n_passes)?,
            exponent: film_exponent as u8,
        };
        let second = self.conv_block(n_channels, n_channels, n_groups)?;
        let (residual_conv, residual_exponent) = if self.n_channels == n_channels {
            (None, self.exponent)
        } else {
            let what = "residual convolution";
            let conv = self.linear(what, n_channels, 1, self.n_channels)?;
            (Some(conv), own_exponent)
        };
        self.sizes.film += film_len;
        self.need_tensors(self.n_channels, n_channels);
        self.n_channels = n_channels;
        self.exponent = exponent;
        Ok(ResidualBlock {
            n_channels: n_channels as u16,
            first,
            film,
            hidden_exponent,
            second,
            residual_conv,
            residual_exponent,
            exponent,
        })
    }

    /// A convolution with `kernel_size` taps and its normalisation.
    fn conv_block(
        &mut self,
        n_in: usize,
        n_out: usize,
        n_groups: usize,
    ) -> Result<ConvBlock<'a>, ModelError> {
        let conv_exponent = self.exponent("convolution exponent")?;
        let gamma_exponent = self.reader.word("gamma exponent", MAX_GAMMA_EXPONENT)?;
        let error = self.reader.out_of_range("normalisation epsilon");
        let eps = read::u64_at(self.reader.take("normalisation epsilon", 8)?, 0);
        if eps == 0 || eps > MAX_EPS {
            return Err(error);
        }
        let error = self.reader.out_of_range("values in a group");
        let group_len = self.length * n_out / n_groups;
        if group_len > MAX_GROUP_LEN {
            return Err(error);
        }
        let conv = self.linear("convolution", n_out, self.settings.kernel_size, n_in)?;
        let error = self.reader.out_of_range("gamma");
        let parameters = self
            .reader
            .take("normalisation", n_out * Norm::PARAMETERS_SIZE)?;
        let norm = Norm::new(parameters, n_groups, gamma_exponent, eps, group_len);
        Ok(ConvBlock {
            conv,
            conv_exponent,
            norm: norm.ok_or(error)?,
        })
    }

    /// A convolution with three taps; the current length is already that of its output.
    fn downsample(&mut self) -> Result<Downsample<'a>, ModelError> {
        let exponent = self.exponent("resampling exponent")?;
        let conv = self.linear("resampling", self.n_channels, 3, self.n_channels)?;
        self.need_tensors(self.n_channels, self.n_channels);
        self.exponent = exponent;
        Ok(Downsample { conv, exponent })
    }

    /// Two phases with two taps each; the current length is already that of the output.
    fn upsample(&mut self) -> Result<Upsample<'a>, ModelError> {
        let exponent = self.exponent("resampling exponent")?;
        let even = self.linear("resampling", self.n_channels, 2, self.n_channels)?;
        let odd = self.linear("resampling", self.n_channels, 2, self.n_channels)?;
        self.need_tensors(self.n_channels, self.n_channels);
        self.exponent = exponent;
        Ok(Upsample {
            phases: [even, odd],
            exponent,
        })
    }

    /// Rows of weights `[tap][channel]`, with channels padded to [`LANES`]. Not inlined, so that a
    /// device has one copy.
    #[inline(never)]
    fn linear(
        &mut self,
        what: &'static str,
        n_out: usize,
        taps: usize,
        n_in: usize,
    ) -> Result<Linear<'a>, ModelError> {
        let window = taps * n_in.next_multiple_of(LANES);
        self.sizes.largest_window = self.sizes.largest_window.max(window);
        let bits = self.weight_bits()?;
        let at = self.reader.at();
        let row_size = Linear::row_size(window, bits);
        let rows = self.reader.take(what, n_out * row_size)?;
        Linear::checked(rows, window, bits).map_err(|row| ModelError::AccumulatorOverflow {
            at: at + row * row_size,
        })
    }

    /// Bits of the next product's weights.
    fn weight_bits(&mut self) -> Result<WeightBits, ModelError> {
        let Some(bits) = &mut self.bits else {
            return Ok(WeightBits::Eight);
        };
        let error = bits.out_of_range(WEIGHT_BITS);
        let next = bits.take(WEIGHT_BITS, 1)?;
        let next = next.first().copied().and_then(WeightBits::of);
        next.ok_or(error)
    }

    fn exponent(&mut self, what: &'static str) -> Result<u8, ModelError> {
        let exponent = self.reader.word(what, MAX_ACTIVATION_EXPONENT)?;
        Ok(exponent as u8)
    }

    /// Reserves memory for an input and an output tensor of the current length, with padding.
    fn need_tensors(&mut self, n_in: usize, n_out: usize) {
        let n_in = n_in.next_multiple_of(LANES);
        let n_rows = self.length + 2 * self.settings.padding();
        self.sizes.input = self.sizes.input.max(n_rows * n_in.max(n_out));
        self.sizes.hidden = self.sizes.hidden.max(n_rows * n_out);
    }
}

/// Appends an item; the limit on levels guarantees the capacity.
fn push<T, const N: usize>(list: &mut Vec<T, N>, item: T) {
    let full = list.push(item).is_err();
    debug_assert!(!full);
}
