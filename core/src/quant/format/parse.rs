//! The door: a model file is checked here, whole, and nowhere else. `docs/model-format.md` is its
//! specification.

use super::error::ModelError;
use super::layers::{ConvBlock, Layers, Step, walk};
use super::model::{MAX_ACTIVATION_EXPONENT, MAX_LEVELS, Model, Pass, Settings, Sizes};
use super::reader::Reader;
use super::values::{ActionValue, Hold, MAX_VALUE_EXPONENT, Names, ObservationValue};
use crate::quant::kernels::linear::{LANES, Linear};
use crate::quant::kernels::norm::{MAX_EPS, MAX_GROUP_LEN, Norm};
use crate::quant::kernels::read;
use crate::quant::kernels::rounding::MAX_SHIFT;
use crc::{CRC_32_ISO_HDLC, Crc};

/// The first bytes of a model file.
pub const MAGIC: [u8; 8] = *b"PUSHTPTM";
/// The version of the format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 3;

const HEADER_SIZE: usize = 16;
const CHECKSUM_SIZE: usize = 4;

// No product of two of these overflows 32 bits with the bytes of a value.
/// Most values of a window of observations, `To x Do`.
pub const MAX_WINDOW_LEN: usize = 1 << 12;
/// Most values of an action.
pub const MAX_ACTION_DIM: usize = 64;
/// Longest horizon (`Tp`).
pub const MAX_HORIZON: usize = 256;
/// Most channels of a level.
pub const MAX_CHANNELS: usize = 1 << 12;
/// Most taps of a convolution.
pub const MAX_KERNEL_SIZE: usize = 9;
const MAX_PASSES: usize = 1000;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A whole model file. Not inlined: the caller's place for the result is then the only one.
#[inline(never)]
pub(super) fn model(bytes: &[u8]) -> Result<Model<'_>, ModelError> {
    let contents = checked_contents(bytes)?;
    let mut reader = Reader::new(&contents[HEADER_SIZE..], HEADER_SIZE);
    let settings = settings(&mut reader.section("CONF")?)?;
    let passes = passes(&mut reader.section("PASS")?, settings.n_passes)?;
    let mut section = reader.section("NORM")?;
    let observation_values = observation_values(&mut section, settings.obs_dim)?;
    let action_values = action_values(&mut section, &settings, observation_values)?;
    section.end("NORM")?;
    let names = names(&reader.section("NAME")?, &settings)?;
    let unet = reader.section("UNET")?;
    let sizes = Check::network(&unet, &settings)?;
    let provenance = text(&reader.section("TEXT")?, "provenance")?;
    reader.end("end of file")?;
    Ok(Model {
        settings,
        passes,
        observation_values,
        action_values,
        names,
        unet: unet.rest(),
        provenance,
        sizes,
    })
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
    let fits = n_obs_steps - 1 + n_action_steps <= horizon
        && kernel_size % 2 == 1
        && horizon.is_multiple_of(1 << (n_levels - 1))
        && usize::from(down_dims[0]).is_multiple_of(final_n_groups)
        && n_obs_steps * obs_dim <= MAX_WINDOW_LEN;
    if !fits {
        return Err(reader.out_of_range("a combination of settings before this"));
    }
    reader.end("CONF")?;
    Ok(Settings {
        obs_dim,
        action_dim,
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
    })
}

fn passes<'a>(reader: &mut Reader<'a>, n_passes: usize) -> Result<&'a [u8], ModelError> {
    let at = reader.at();
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

fn observation_values<'a>(reader: &mut Reader<'a>, n: usize) -> Result<&'a [u8], ModelError> {
    let error = reader.out_of_range("an observation's value");
    let table = reader.take("an observation's value", n * ObservationValue::SIZE)?;
    let mut values = (0..n).map(|index| ObservationValue::read(table, index));
    let are_valid =
        values.all(|value| value.exponent <= MAX_VALUE_EXPONENT && value.normalizer.is_valid());
    if are_valid { Ok(table) } else { Err(error) }
}

fn action_values<'a>(
    reader: &mut Reader<'a>,
    settings: &Settings,
    observation_values: &[u8],
) -> Result<&'a [u8], ModelError> {
    const HOLDS: u32 = 3;
    let n = settings.action_dim;
    let error = reader.out_of_range("an action's value");
    let table = reader.take("an action's value", n * ActionValue::SIZE)?;
    for index in 0..n {
        let hold = read::i32_at(table, index * ActionValue::SIZE + 8) as u32;
        let value = ActionValue::read(table, index);
        // A value and what it is counted from are added: they need the same format.
        let is_frame_valid = match value.relative_to {
            None => value.hold != Hold::Observed,
            Some(from) => {
                from < settings.obs_dim
                    && ObservationValue::read(observation_values, from).exponent == value.exponent
            }
        };
        let is_valid = value.exponent <= MAX_VALUE_EXPONENT
            && value.unnormalizer.is_valid()
            && hold < HOLDS
            && is_frame_valid;
        if !is_valid {
            return Err(error);
        }
    }
    Ok(table)
}

fn text<'a>(section: &Reader<'a>, what: &'static str) -> Result<&'a str, ModelError> {
    core::str::from_utf8(section.rest()).map_err(|_| section.out_of_range(what))
}

fn names<'a>(section: &Reader<'a>, settings: &Settings) -> Result<Names<'a>, ModelError> {
    let n_values = settings.obs_dim + settings.action_dim;
    let text = text(section, "names")?;
    Names::checked(text, n_values).ok_or(section.out_of_range("names"))
}

/// Walks the network in the order of its computation, proves what the kernels rely on, and notes
/// the memory that it needs.
struct Check<'a, 's> {
    settings: &'s Settings,
    layers: Layers<'a, 's>,
    sizes: Sizes,
    length: usize,
    /// Binary places of each level's skip.
    skip_exponents: [u32; MAX_LEVELS],
    /// All of the section.
    section: &'s Reader<'a>,
}

impl<'a, 's> Check<'a, 's> {
    fn network(section: &'s Reader<'a>, settings: &'s Settings) -> Result<Sizes, ModelError> {
        let condition = settings.window_len().next_multiple_of(LANES);
        let mut check = Self {
            settings,
            layers: Layers::new(section.clone(), settings),
            sizes: Sizes {
                condition,
                window: settings.window_len(),
                trajectory: settings.horizon * settings.action_dim,
                ..Sizes::default()
            },
            length: settings.horizon,
            skip_exponents: [0; MAX_LEVELS],
            section,
        };
        walk(settings, &mut |step| check.step(step))?;
        check.layers.reader.end("UNET")?;
        Ok(check.sizes)
    }

    fn step(&mut self, step: Step) -> Result<(), ModelError> {
        match step {
            Step::Block(n_channels) => self.block(n_channels)?,
            Step::SaveSkip(level) => {
                self.sizes.skips += self.length * self.layers.n_channels;
                self.skip_exponents[level] = self.layers.exponent;
            }
            Step::Downsample => {
                self.length /= 2;
                let layer = self.layers.downsample()?;
                self.linear(&layer.conv)?;
                self.need_tensors(self.layers.n_channels, self.layers.n_channels);
            }
            Step::JoinSkip(level) => {
                if self.layers.exponent != self.skip_exponents[level] {
                    let what = "exponent of a tensor before this, beside its skip";
                    return Err(self.layers.reader.out_of_range(what));
                }
                self.layers.n_channels *= 2;
            }
            Step::Upsample => {
                self.length *= 2;
                let layer = self.layers.upsample()?;
                for phase in &layer.phases {
                    self.linear(phase)?;
                }
                self.need_tensors(self.layers.n_channels, self.layers.n_channels);
            }
            Step::Final => {
                let last = self.layers.final_block()?;
                self.conv_block(&last.block, self.settings.final_n_groups)?;
                self.linear(&last.conv)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, n_channels: usize) -> Result<(), ModelError> {
        let n_in = self.layers.n_channels;
        let block = self.layers.block(n_channels)?;
        self.conv_block(&block.first, self.settings.n_groups)?;
        self.conv_block(&block.second, self.settings.n_groups)?;
        self.linear(&block.film.condition)?;
        if let Some(conv) = &block.residual_conv {
            self.linear(conv)?;
        }
        self.sizes.film += self.settings.film_len(n_channels);
        self.need_tensors(n_in, n_channels);
        Ok(())
    }

    fn conv_block(&mut self, block: &ConvBlock<'a>, n_groups: usize) -> Result<(), ModelError> {
        self.linear(&block.conv)?;
        let Norm {
            parameters,
            gamma_exponent,
            eps,
            headroom,
            ..
        } = block.norm;
        let error = ModelError::OutOfRange {
            what: "normalisation",
            at: self.offset_of(parameters),
        };
        let n_channels = parameters.len() / Norm::PARAMETERS_SIZE;
        let group_len = self.length * n_channels / n_groups;
        if eps == 0 || eps > MAX_EPS || group_len > MAX_GROUP_LEN {
            return Err(error);
        }
        match Norm::new(parameters, n_groups, gamma_exponent, eps, group_len) {
            Some(norm) if norm.headroom == headroom => Ok(()),
            _ => Err(error),
        }
    }

    fn linear(&mut self, linear: &Linear<'a>) -> Result<(), ModelError> {
        let (rows, window) = (linear.rows, linear.window);
        self.sizes.largest_window = self.sizes.largest_window.max(window);
        let at = self.offset_of(rows);
        match Linear::checked(rows, window) {
            Ok(checked) if checked.is_upper_word_enough == linear.is_upper_word_enough => Ok(()),
            Ok(_) => Err(ModelError::OutOfRange {
                what: "flag of rows",
                at: at - 4,
            }),
            Err(row) => Err(ModelError::AccumulatorOverflow {
                at: at + row * Linear::row_size(window),
            }),
        }
    }

    /// Where a part of the section begins in the file.
    fn offset_of(&self, part: &[u8]) -> usize {
        let start = self.section.rest().as_ptr() as usize;
        self.section.at() + (part.as_ptr() as usize - start)
    }

    /// Room for a tensor read and one written, with their zero rows, at this length.
    fn need_tensors(&mut self, n_in: usize, n_out: usize) {
        let n_in = n_in.next_multiple_of(LANES);
        let n_rows = self.length + 2 * self.settings.padding();
        self.sizes.input = self.sizes.input.max(n_rows * n_in.max(n_out));
        self.sizes.hidden = self.sizes.hidden.max(n_rows * n_out);
    }
}
