//! Validation of the sections before the network: sampler, formats of the values, names.

use super::error::ModelError;
use super::limits::MAX_VALUE_EXPONENT;
use super::model::{Pass, Settings};
use super::reader::Reader;
use super::values::{ActionValue, Hold, Names, ObservationValue};
use crate::quant::kernels::read;
use crate::quant::kernels::rounding::MAX_SHIFT;

pub(super) fn passes<'a>(reader: &mut Reader<'a>, n_passes: usize) -> Result<&'a [u8], ModelError> {
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

pub(super) fn observation_values<'a>(
    reader: &mut Reader<'a>,
    n: usize,
) -> Result<&'a [u8], ModelError> {
    let error = reader.out_of_range("an observation's value");
    let table = reader.take("an observation's value", n * ObservationValue::SIZE)?;
    let mut values = (0..n).map(|index| ObservationValue::read(table, index));
    let are_valid =
        values.all(|value| value.exponent <= MAX_VALUE_EXPONENT && value.normalizer.is_valid());
    if are_valid { Ok(table) } else { Err(error) }
}

pub(super) fn action_values<'a>(
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
        // An action and the observation it is relative to are added: they need the same format.
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

pub(super) fn text<'a>(section: &Reader<'a>, what: &'static str) -> Result<&'a str, ModelError> {
    core::str::from_utf8(section.rest()).map_err(|_| section.out_of_range(what))
}

pub(super) fn names<'a>(
    section: &Reader<'a>,
    settings: &Settings,
) -> Result<Names<'a>, ModelError> {
    let n_values = settings.obs_dim + settings.action_dim;
    let text = text(section, "names")?;
    Names::checked(text, n_values).ok_or(section.out_of_range("names"))
}
