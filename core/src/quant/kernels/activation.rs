//! One normalisation with what follows it, alone, for measuring a kernel and for comparing it with the reference.

use super::norm::{self, Finish, MAX_EPS, MAX_GAMMA_EXPONENT, MAX_GROUP_LEN, Modulation, Norm};
use crate::Error;
use crate::quant::format::error::ModelError;
use crate::quant::format::model::{MAX_ACTIVATION_EXPONENT, MAX_FILM_EXPONENT};

/// GroupNorm, Mish, and FiLM or a sum, as between two convolutions.
pub struct Activation<'a> {
    norm: Norm<'a>,
    n_positions: usize,
    finish: Finish<'a>,
}

/// A normalisation as the model file has it (`docs/model-format.md`).
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// `gamma`, then `beta`, of each channel: `i32`, little-endian.
    pub parameters: &'a [u8],
    /// Groups that the channels form.
    pub n_groups: usize,
    /// Binary places of `gamma`.
    pub gamma_exponent: u32,
    /// `eps (n / scale)^2` for `n` values in a group.
    pub eps: u64,
    /// Positions (`L`).
    pub n_positions: usize,
}

impl<'a> Activation<'a> {
    /// FiLM: a channel's scale and bias are sums of two shares of `exponent` binary places, all scales first, then all biases;
    /// `exponent - down` places are left in the end.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] for what a model file can't hold.
    pub fn with_film(
        norm: Normalization<'a>,
        step: &'a [[u8; 2]],
        observation: &'a [i16],
        exponent: u32,
        down: u32,
    ) -> Result<Self, ModelError> {
        let n_channels = norm.parameters.len() / Norm::PARAMETERS_SIZE;
        let is_right = step.len() == 2 * n_channels
            && observation.len() == step.len()
            && exponent <= MAX_FILM_EXPONENT
            && down <= exponent;
        let film = Modulation {
            step,
            observation,
            n_scales: n_channels,
            exponent,
            shift: 16 + down,
        };
        Self::new(norm, Finish::Modulate(film), is_right)
    }

    /// Added to what is there, which has `old_exponent` binary places; the sum has `exponent`.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] for what a model file can't hold.
    pub fn with_sum(
        norm: Normalization<'a>,
        old_exponent: u32,
        exponent: u32,
    ) -> Result<Self, ModelError> {
        let is_right = old_exponent.max(exponent) <= MAX_ACTIVATION_EXPONENT;
        let finish = Finish::Add {
            up: 16_u32.saturating_sub(old_exponent),
            down: 16_u32.saturating_sub(exponent),
        };
        Self::new(norm, finish, is_right)
    }

    fn new(
        norm: Normalization<'a>,
        finish: Finish<'a>,
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
            finish,
        })
    }

    /// From `x` to `out`, both `[L][C]`.
    ///
    /// # Errors
    /// [`Error::WrongLength`].
    pub fn run(&self, x: &[i16], out: &mut [i16]) -> Result<(), Error> {
        self.check(x.len())?;
        self.check(out.len())?;
        self.norm
            .activate(x, out, &self.finish, &mut [0; norm::Memory::LEN]);
        Ok(())
    }

    /// As [`run`](Self::run), by the definition.
    ///
    /// # Errors
    /// [`Error::WrongLength`].
    pub fn run_reference(&self, x: &[i16], out: &mut [i16]) -> Result<(), Error> {
        self.check(x.len())?;
        self.check(out.len())?;
        self.norm.activate_reference(x, out, &self.finish);
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
