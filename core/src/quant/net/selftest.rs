//! One number for everything that a model computes.

use crate::digest::Digest;
use crate::noise::NoiseSource;
use crate::quant::format::model::Model;
use crate::quant::net::policy::IntPolicy;
use crate::quant::net::scratch::{ACTION_DIM, Scratch};
use crate::quant::net::scratch::{MAX_CONDITION_LEN, MAX_HORIZON};
use fixed::types::I16F16;

/// [`Digest`] of the actions (I16F16 bits, little-endian) of `n_plans` plans: equal on every machine.
///
/// Not inlined, so that its buffers lie on the stack only while it plans.
///
/// Plan `i` takes its noise from seed `i` and sees fixed observations that sweep the window of 512 px.
#[inline(never)]
pub fn selftest(model: &Model<'_>, scratch: &mut Scratch, n_plans: u32) -> u64 {
    let mut digest = Digest::new();
    let mut policy = IntPolicy::new(model, scratch);
    let mut observations = [I16F16::ZERO; MAX_CONDITION_LEN];
    let mut chunk = [[I16F16::ZERO; ACTION_DIM]; MAX_HORIZON];
    let observations = &mut observations[..model.settings.n_observed()];
    let chunk = &mut chunk[..model.n_action_steps()];
    for plan in 0..n_plans {
        for (i, value) in observations.iter_mut().enumerate() {
            // Steps of 0x9e37 px / 2^16 through [0, 512) px.
            let step = (plan * 97 + i as u32).wrapping_mul(0x009e_3779);
            *value = I16F16::from_bits((step & 0x01ff_ffff) as i32);
        }
        // Cannot fail: both lengths are the model's.
        let planned = policy.plan_fixed(observations, &mut NoiseSource::new(plan.into()), chunk);
        debug_assert!(planned.is_ok());
        for action in chunk.iter() {
            digest.i32s(&action.map(I16F16::to_bits));
        }
    }
    digest.finish()
}
