//! Digest of everything that a model computes.

use super::policy::{action, check_scratch, plan_together};
use super::scratch::Parts;
use super::unet::Unobserved;
use crate::digest::Digest;
use crate::noise::NoiseSource;
use crate::quant::format::error::ModelError;
use crate::quant::format::model::Model;
use core::array;

/// [`Digest`] of the actions of `n_plans` plans (`i32`, little-endian, in fixed point): equal on
/// every machine. `scratch` has at least [`Model::scratch_len`] words.
///
/// Plan `i` has the noise of seed `i` and fixed observations that sweep 0 to 2^25 in fixed point.
///
/// # Errors
/// [`ModelError::ScratchTooSmall`] if `scratch` has fewer words.
#[inline(never)]
pub fn selftest(model: &Model<'_>, scratch: &mut [u64], n_plans: u32) -> Result<u64, ModelError> {
    check_scratch(model.scratch_len(), scratch.len())?;
    let mut digest = Digest::new();
    for plan in 0..n_plans {
        let mut parts = Parts::of(scratch, &model.sizes);
        for (i, value) in parts.window.iter_mut().enumerate() {
            let step = (plan * 97 + i as u32).wrapping_mul(0x009e_3779);
            *value = (step & 0x01ff_ffff) as i32;
        }
        let mut noise = NoiseSource::new(plan.into());
        plan_together(
            model,
            array::from_mut(&mut parts),
            &mut [&mut noise],
            &mut Unobserved,
        );
        for index in 0..model.shape().chunk_len() {
            digest.i32s(&[action(model, &parts, index)]);
        }
    }
    Ok(digest.finish())
}
