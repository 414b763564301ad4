//! The door: a model file is checked here, whole, and nowhere else. `docs/model-format.md` is its specification.

use crate::control::receding_horizon::MAX_OBS_STEPS;
use crate::pusht::observation::ObservationKind;
use crate::quant::format::error::ModelError;
use crate::quant::format::model::{
    Affine, ConvBlock, Film, MAX_ACTIVATION_EXPONENT, MAX_FILM_EXPONENT, MAX_LEVELS, Model, Pass,
    Resample, ResidualBlock, Settings, Sizes, Unet,
};
use crate::quant::kernels::linear::{LANES, Linear};
use crate::quant::kernels::norm::{MAX_EPS, MAX_GAMMA_EXPONENT, MAX_GROUP_LEN, Norm};
use crate::quant::kernels::read;
use crate::quant::kernels::rounding::MAX_SHIFT;
use crate::quant::net::scratch::{ACTION_DIM, ARENA_LEN, MAX_CONDITION_LEN, MAX_HORIZON};
use crc::{CRC_32_ISO_HDLC, Crc};
use heapless::Vec;

/// The first bytes of a model file.
pub const MAGIC: [u8; 8] = *b"PUSHTPTM";
/// The version of the format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 2;

const HEADER_SIZE: usize = 16;
const CHECKSUM_SIZE: usize = 4;
/// Longest side of anything, so that no product of sizes overflows.
const MAX_CHANNELS: usize = 1 << 12;
const MAX_PASSES: usize = 1000;
const MAX_KERNEL_SIZE: usize = 9;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A whole model file. Not inlined: the caller's place for the result is then the only one.
#[inline(never)]
pub(crate) fn model(bytes: &[u8]) -> Result<Model<'_>, ModelError> {
    let contents = checked_contents(bytes)?;
    let mut reader = Reader {
        bytes: contents,
        at: HEADER_SIZE,
    };
    let settings = settings(&mut reader.section("CONF")?)?;
    let mut section = reader.section("PASS")?;
    let passes = passes(&mut section, settings.n_passes)?;
    let mut section = reader.section("NORM")?;
    let observation_scales = affines(
        &mut section,
        "observation scale",
        settings.observation.dim(),
    )?;
    let action_scales = affines(&mut section, "action scale", ACTION_DIM)?;
    section.end("NORM")?;
    // Filled in place: it is large, and a copy of it on the stack would be most of what a device needs there.
    let mut parsed = Ok(Model {
        settings,
        passes,
        observation_scales,
        action_scales,
        unet: Unet::default(),
        provenance: "",
        sizes: Sizes::default(),
    });
    if let Ok(model) = &mut parsed
        && let Err(error) = network(&mut reader, model)
    {
        parsed = Err(error);
    }
    parsed
}

/// The sections behind those that settings and tables come from.
#[inline(never)]
fn network<'a>(reader: &mut Reader<'a>, model: &mut Model<'a>) -> Result<(), ModelError> {
    let mut section = reader.section("UNET")?;
    let mut walk = Walk::new(&mut section, &model.settings);
    walk.unet(&mut model.unet)?;
    model.sizes = walk.sizes;
    section.end("UNET")?;
    let section = reader.section("TEXT")?;
    model.provenance = core::str::from_utf8(&section.bytes[section.at..])
        .map_err(|_| section.out_of_range("provenance"))?;
    reader.end("end of file")
}

/// The file without its checksum, if magic, version, length and checksum are right.
fn checked_contents(bytes: &[u8]) -> Result<&[u8], ModelError> {
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
    if got != FORMAT_VERSION {
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
    Ok(contents)
}

/// Takes one part after the other.
struct Reader<'a> {
    /// From the file's first byte to the end of the current section.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn out_of_range(&self, what: &'static str) -> ModelError {
        ModelError::OutOfRange { what, at: self.at }
    }

    fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], ModelError> {
        let taken = self.bytes[self.at..].get(..len);
        let taken = taken.ok_or(ModelError::Truncated { what, at: self.at })?;
        self.at += len;
        Ok(taken)
    }

    /// A word from `0` to `max`.
    fn word(&mut self, what: &'static str, max: u32) -> Result<u32, ModelError> {
        let error = self.out_of_range(what);
        let word = read::i32_at(self.take(what, 4)?, 0) as u32;
        if word > max { Err(error) } else { Ok(word) }
    }

    /// A size from `min` to `max`.
    fn size(&mut self, what: &'static str, min: usize, max: usize) -> Result<usize, ModelError> {
        let error = self.out_of_range(what);
        let size = self.word(what, max as u32)? as usize;
        if size < min { Err(error) } else { Ok(size) }
    }

    /// The contents of the next section, which must be called `tag`: tag, length, contents, in whole words.
    fn section(&mut self, tag: &'static str) -> Result<Reader<'a>, ModelError> {
        let wrong = ModelError::WrongSection {
            expected: tag,
            at: self.at,
        };
        let header = self.take(tag, 8)?;
        let len = read::i32_at(header, 4) as u32 as usize;
        if &header[..4] != tag.as_bytes() || !len.is_multiple_of(4) {
            return Err(wrong);
        }
        let at = self.at;
        self.take(tag, len).map_err(|_| wrong)?;
        Ok(Reader {
            bytes: &self.bytes[..self.at],
            at,
        })
    }

    /// Nothing may be left.
    fn end(&self, expected: &'static str) -> Result<(), ModelError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(ModelError::WrongSection {
                expected,
                at: self.at,
            })
        }
    }
}

fn settings(reader: &mut Reader<'_>) -> Result<Settings, ModelError> {
    let observation = match reader.word("observation kind", 2)? {
        0 => ObservationKind::State,
        1 => ObservationKind::Keypoints,
        _ => ObservationKind::Vertices,
    };
    let n_obs_steps = reader.size("observation steps", 1, MAX_OBS_STEPS)?;
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
    for (level, dim) in down_dims.iter_mut().enumerate() {
        let (min, max) = if level < n_levels {
            (LANES, MAX_CHANNELS)
        } else {
            (0, 0)
        };
        let error = reader.out_of_range("channels of a level");
        *dim = reader.size("channels of a level", min, max)?;
        if !dim.is_multiple_of(LANES) || !dim.is_multiple_of(n_groups) {
            return Err(error);
        }
    }
    let actions_from_agent = reader.word("action frame", 1)? == 1;
    let fits = n_obs_steps - 1 + n_action_steps <= horizon
        && kernel_size % 2 == 1
        && horizon.is_multiple_of(1 << (n_levels - 1))
        && down_dims[0].is_multiple_of(final_n_groups)
        && n_obs_steps * observation.dim() <= MAX_CONDITION_LEN;
    if !fits {
        return Err(reader.out_of_range("a combination of settings before this"));
    }
    reader.end("CONF")?;
    Ok(Settings {
        observation,
        n_obs_steps,
        horizon,
        n_action_steps,
        n_levels,
        kernel_size,
        n_groups,
        final_n_groups,
        film_has_scale,
        n_passes,
        sample_exponent,
        condition_exponent,
        down_dims,
        actions_from_agent,
    })
}

fn passes<'a>(reader: &mut Reader<'a>, n_passes: usize) -> Result<&'a [u8], ModelError> {
    let at = reader.at;
    let table = reader.take("passes", n_passes * Pass::SIZE)?;
    reader.end("PASS")?;
    for (i, record) in table.chunks_exact(Pass::SIZE).enumerate() {
        let pass = Pass::read(record);
        let mut mantissas = pass.clean.iter().chain(&pass.next);
        let valid = mantissas.all(|m| m.unsigned_abs() <= Pass::MAX_MANTISSA)
            && pass.clean_shift <= MAX_SHIFT
            && pass.next_shift <= MAX_SHIFT
            && pass.clip >= 0;
        if !valid {
            return Err(ModelError::OutOfRange {
                what: "sampler coefficient",
                at: at + i * Pass::SIZE,
            });
        }
    }
    Ok(table)
}

fn affines<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
    n: usize,
) -> Result<&'a [u8], ModelError> {
    let error = reader.out_of_range(what);
    let table = reader.take(what, n * Affine::SIZE)?;
    if (0..n).all(|i| Affine::read(table, i).is_valid()) {
        Ok(table)
    } else {
        Err(error)
    }
}

/// Walks the network in the order of its computation and notes the memory that it needs.
struct Walk<'r, 'a> {
    reader: &'r mut Reader<'a>,
    settings: &'r Settings,
    sizes: Sizes,
    length: usize,
    n_channels: usize,
    /// Binary places of the tensor at this point.
    exponent: u32,
}

impl<'r, 'a> Walk<'r, 'a> {
    fn new(reader: &'r mut Reader<'a>, settings: &'r Settings) -> Self {
        Self {
            reader,
            settings,
            sizes: Sizes {
                horizon: settings.horizon,
                condition: settings.n_observed().next_multiple_of(LANES),
                ..Sizes::default()
            },
            length: settings.horizon,
            n_channels: ACTION_DIM,
            exponent: settings.sample_exponent,
        }
    }

    fn unet(&mut self, unet: &mut Unet<'a>) -> Result<(), ModelError> {
        let dims = &self.settings.down_dims[..self.settings.n_levels];
        let mut skip_exponents = [0; MAX_LEVELS];
        for (level, dim) in dims.iter().enumerate() {
            self.two_blocks(*dim, &mut unet.blocks)?;
            skip_exponents[level] = self.exponent;
            if level > 0 {
                self.sizes.skips += self.length * dim;
            }
            if level + 1 < dims.len() {
                self.length /= 2;
                push(&mut unet.downsamples, self.resample(3)?);
            }
        }
        self.two_blocks(self.n_channels, &mut unet.blocks)?;
        for level in (1..dims.len()).rev() {
            if self.exponent != skip_exponents[level] {
                return Err(self
                    .reader
                    .out_of_range("exponent of a tensor before this, beside its skip"));
            }
            self.n_channels *= 2;
            self.two_blocks(dims[level - 1], &mut unet.blocks)?;
            self.length *= 2;
            push(&mut unet.upsamples, self.resample(2)?);
        }
        self.finish(unet)
    }

    /// The final convolution block and the 1x1 convolution to actions.
    fn finish(&mut self, unet: &mut Unet<'a>) -> Result<(), ModelError> {
        unet.final_exponent = self.exponent_word("final exponent")?;
        unet.final_block = self.conv_block(
            self.n_channels,
            self.n_channels,
            self.settings.final_n_groups,
        )?;
        unet.final_conv = self.linear("final convolution", ACTION_DIM, 1, self.n_channels)?;
        let (needed, available) = (self.sizes.total(), ARENA_LEN);
        if needed > available {
            return Err(ModelError::TooLarge { needed, available });
        }
        Ok(())
    }

    fn two_blocks<const N: usize>(
        &mut self,
        n_channels: usize,
        blocks: &mut Vec<ResidualBlock<'a>, N>,
    ) -> Result<(), ModelError> {
        for _ in 0..2 {
            push(blocks, self.residual_block(n_channels)?);
        }
        Ok(())
    }

    fn residual_block(&mut self, n_channels: usize) -> Result<ResidualBlock<'a>, ModelError> {
        let hidden_exponent = self.exponent_word("hidden exponent")?;
        let own_exponent = self.exponent_word("residual exponent")?;
        let exponent = self.exponent_word("block exponent")?;
        let film_exponent = self.reader.word("FiLM exponent", MAX_FILM_EXPONENT)?;
        let first = self.conv_block(self.n_channels, n_channels, self.settings.n_groups)?;
        let film_len = self.settings.film_len(n_channels);
        let film = Film {
            condition: self.linear("FiLM projection", film_len, 1, self.sizes.condition)?,
            steps: self
                .reader
                .take("FiLM step table", 2 * film_len * self.settings.n_passes)?,
            exponent: film_exponent,
        };
        let second = self.conv_block(n_channels, n_channels, self.settings.n_groups)?;
        let (residual_conv, residual_exponent) = if self.n_channels == n_channels {
            (None, self.exponent)
        } else {
            (
                Some(self.linear("residual convolution", n_channels, 1, self.n_channels)?),
                own_exponent,
            )
        };
        self.sizes.film += film_len;
        self.need_tensors(self.n_channels, n_channels);
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

    /// A convolution of `kernel_size` taps and its normalisation.
    fn conv_block(
        &mut self,
        n_in: usize,
        n_out: usize,
        n_groups: usize,
    ) -> Result<ConvBlock<'a>, ModelError> {
        let conv_exponent = self.exponent_word("convolution exponent")?;
        let gamma_exponent = self.reader.word("gamma exponent", MAX_GAMMA_EXPONENT)?;
        let error = self.reader.out_of_range("normalisation epsilon");
        let eps = read::u64_at(self.reader.take("normalisation epsilon", 8)?, 0);
        let group_len = self.length * n_out / n_groups;
        if eps == 0 || eps > MAX_EPS || group_len > MAX_GROUP_LEN {
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

    /// Phases of `taps` taps; `length` is already that of the output.
    fn resample<const PHASES: usize>(
        &mut self,
        taps: usize,
    ) -> Result<Resample<'a, PHASES>, ModelError> {
        let exponent = self.exponent_word("resampling exponent")?;
        let mut phases = [Linear::default(); PHASES];
        for phase in &mut phases {
            *phase = self.linear("resampling", self.n_channels, taps, self.n_channels)?;
        }
        self.need_tensors(self.n_channels, self.n_channels);
        self.exponent = exponent;
        Ok(Resample { phases, exponent })
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
        let at = self.reader.at;
        let row_size = Linear::row_size(window);
        let rows = self.reader.take(what, n_out * row_size)?;
        Linear::checked(rows, window).map_err(|row| ModelError::AccumulatorOverflow {
            at: at + row * row_size,
        })
    }

    fn exponent_word(&mut self, what: &'static str) -> Result<u32, ModelError> {
        self.reader.word(what, MAX_ACTIVATION_EXPONENT)
    }

    /// Room for a tensor read and one written, with their zero rows, at this length.
    fn need_tensors(&mut self, n_in: usize, n_out: usize) {
        let n_in = n_in.next_multiple_of(LANES);
        let n_rows = self.length + 2 * self.settings.padding();
        self.sizes.input = self.sizes.input.max(n_rows * n_in.max(n_out));
        self.sizes.hidden = self.sizes.hidden.max(n_rows * n_out);
    }
}

/// Room is there by the limits on the number of levels.
fn push<T, const N: usize>(list: &mut Vec<T, N>, item: T) {
    let full = list.push(item).is_err();
    debug_assert!(!full);
}
