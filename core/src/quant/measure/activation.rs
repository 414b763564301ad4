//! A normalisation with Mish and its epilogue, alone.

use crate::Error;
use crate::quant::format::error::ModelError;
use crate::quant::format::limits::{MAX_ACTIVATION_EXPONENT, MAX_FILM_EXPONENT};
use crate::quant::kernels::norm::{
    Epilogue, MAX_EPS, MAX_GAMMA_EXPONENT, MAX_GROUP_LEN, Memory, Modulation, Norm,
};

/// GroupNorm, Mish, and FiLM or a sum, as between two convolutions.
pub struct Activation<'a> {
    norm: Norm<'a>,
    n_positions: usize,
    epilogue: Epilogue<'a>,
}

/// Shows the normalisation.
impl core::fmt::Debug for Activation<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Activation")
            .field("norm", &self.norm)
            .field("n_positions", &self.n_positions)
            .finish_non_exhaustive()
    }
}

/// A normalisation as the model file has it (`docs/model-format.md`).
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// `gamma`, then `beta`, of each channel: `i32`, little-endian.
    pub parameters: &'a [u8],
    /// Number of groups that the channels form.
    pub n_groups: usize,
    /// Binary places of `gamma`.
    pub gamma_exponent: u32,
    /// `eps (n / scale)^2` for `n` values in a group.
    pub eps: u64,
    /// Number of positions (`L`).
    pub n_positions: usize,
}

impl<'a> Activation<'a> {
    /// With FiLM: a channel's scale and bias are sums of two shares of `exponent` binary places;
    /// `step` and `observation` have all scales, then all biases. The result has `result_exponent`.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] if a length is not twice the number of channels, or a value is
    /// not allowed in a model file.
    pub fn with_film(
        norm: Normalization<'a>,
        step: &'a [[u8; 2]],
        observation: &'a [i16],
        exponent: u32,
        result_exponent: u32,
    ) -> Result<Self, ModelError> {
        let n_channels = norm.parameters.len() / Norm::PARAMETERS_SIZE;
        let is_right = step.len() == 2 * n_channels
            && observation.len() == step.len()
            && exponent <= MAX_FILM_EXPONENT
            && result_exponent <= MAX_ACTIVATION_EXPONENT;
        let film = Modulation {
            step,
            observation,
            n_scales: n_channels,
            exponent,
            shift: (16 + exponent).saturating_sub(result_exponent),
        };
        Self::new(norm, Epilogue::Modulate(film), is_right)
    }

    /// With the sum of the result and the old output, which has `old_exponent` binary places; the
    /// sum has `exponent`.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] if a value is not allowed in a model file.
    pub fn with_sum(
        norm: Normalization<'a>,
        old_exponent: u32,
        exponent: u32,
    ) -> Result<Self, ModelError> {
        let is_right = old_exponent.max(exponent) <= MAX_ACTIVATION_EXPONENT;
        let epilogue = Epilogue::Add {
            up: 16_u32.saturating_sub(old_exponent),
            down: 16_u32.saturating_sub(exponent),
        };
        Self::new(norm, epilogue, is_right)
    }

    fn new(
        norm: Normalization<'a>,
        epilogue: Epilogue<'a>,
        is_right: bool,
    ) -> Result<Self, ModelError> {
        let Normalization {
            parameters,
            n_groups,
            gamma_exponent,
            eps,
            n_positions,
        } = norm;
        let n_channels = parameters.len() / Norm::PARAMETERS_SIZE;
        let group_len = n_positions * n_channels / n_groups.max(1);
        let is_norm_right = parameters.len().is_multiple_of(Norm::PARAMETERS_SIZE)
            && n_groups > 0
            && n_channels > 0
            && n_channels.is_multiple_of(n_groups)
            && gamma_exponent <= MAX_GAMMA_EXPONENT
            && (1..=MAX_EPS).contains(&eps)
            && (1..=MAX_GROUP_LEN).contains(&group_len);
        let norm = (is_right && is_norm_right)
            .then(|| Norm::new(parameters, n_groups, gamma_exponent, eps, group_len))
            .flatten();
        let norm = norm.ok_or(ModelError::OutOfRange {
            what: "normalisation",
            at: 0,
        })?;
        Ok(Self {
            norm,
            n_positions,
            epilogue,
        })
    }

    /// From `x` to `out`, both `[L][C]`.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if either has another length.
    pub fn run(&self, x: &[i16], out: &mut [i16]) -> Result<(), Error> {
        self.check(x.len())?;
        self.check(out.len())?;
        self.norm
            .activate(x, out, &self.epilogue, &mut [0; Memory::LEN]);
        Ok(())
    }

    /// As [`run`](Self::run), by the reference implementation.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_reference(&self, x: &[i16], out: &mut [i16]) -> Result<(), Error> {
        self.check(x.len())?;
        self.check(out.len())?;
        self.norm.activate_reference(x, out, &self.epilogue);
        Ok(())
    }

    fn check(&self, got: usize) -> Result<(), Error> {
        let expected = self.n_positions * self.norm.parameters.len() / Norm::PARAMETERS_SIZE;
        if got == expected {
            return Ok(());
        }
        Err(Error::WrongLength {
            what: "activations",
            expected,
            got,
        })
    }
}
