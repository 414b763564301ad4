//! The reverse diffusion process: noise in, a trajectory of normalised actions out.

use crate::noise::Noise;
use crate::quant::format::model::{Model, Pass};
use crate::quant::kernels::rounding::{rounding_shift_right, saturate_i32};
use crate::quant::net::scratch::{ACTION_DIM, Parts};
use crate::quant::net::unet::{self, Observer};
use fixed::types::{I8F24, I16F16};

/// A plan to make: its inputs, and the memory for its actions.
pub(crate) struct FixedPlan<'p> {
    pub(crate) observations: &'p [I16F16],
    pub(crate) noise: &'p mut dyn Noise,
    pub(crate) chunk: &'p mut [[I16F16; ACTION_DIM]],
}

/// Fills every `sample` with its environment's noise and lets every pass of the network take some
/// of it away.
pub(crate) fn sample<const B: usize>(
    model: &Model<'_>,
    plans: &mut [FixedPlan<'_>],
    parts: &mut [Parts<'_>; B],
    observer: &mut impl Observer,
) {
    unet::project_condition(model, parts, observer);
    for (plan, part) in plans.iter_mut().zip(parts.iter_mut()) {
        for value in part.sample.as_flattened_mut() {
            *value = plan.noise.next_gaussian();
        }
    }
    for index in 0..model.n_passes() {
        unet::forward(model, index, parts, observer);
        for (plan, part) in plans.iter_mut().zip(parts.iter_mut()) {
            step(&model.pass(index), plan.noise, part.sample, part.output);
        }
    }
}

/// `x_t` and the network's output for it become `x_(t-1)`.
fn step(
    pass: &Pass,
    noise: &mut dyn Noise,
    sample: &mut [[I8F24; ACTION_DIM]],
    output: &[[I8F24; ACTION_DIM]],
) {
    for (x, out) in sample
        .as_flattened_mut()
        .iter_mut()
        .zip(output.as_flattened())
    {
        let z = if pass.draws_noise {
            noise.next_gaussian()
        } else {
            I8F24::ZERO
        };
        *x = I8F24::from_bits(pass.apply(x.to_bits(), out.to_bits(), z.to_bits()));
    }
}

impl Pass {
    /// The step for one value; all in I8F24.
    fn apply(&self, x: i32, out: i32, z: i32) -> i32 {
        let product = |mantissa: i32, value: i32| i64::from(mantissa) * i64::from(value);
        let clean = product(self.clean[0], x) + product(self.clean[1], out);
        let clean = saturate_i32(rounding_shift_right(clean, self.clean_shift));
        let clean = clean.min(self.clip).max(-self.clip);
        let [from_clean, from_x, from_out, from_z] = self.next;
        let next = product(from_clean, clean)
            + product(from_x, x)
            + product(from_out, out)
            + product(from_z, z);
        saturate_i32(rounding_shift_right(next, self.next_shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of 100 DDPM steps multiplies by thousands: products must not leave 64 bits.
    #[test]
    fn the_clean_sample_is_clipped_and_extremes_saturate() {
        let largest = Pass::MAX_MANTISSA as i32;
        let pass = Pass {
            draws_noise: true,
            // 4096 x - 4096 out
            clean: [largest, -largest],
            clean_shift: 17,
            clip: 1 << 24,
            next: [largest, 0, largest / 2, 0],
            next_shift: 29,
        };
        let one = 1 << 24;
        assert_eq!(pass.apply(one + one / 1024, one, 0), one + one / 2);
        assert_eq!(pass.apply(one + 16, one, 0), 65_536 + one / 2);
        for x in [i32::MIN, i32::MAX] {
            let all = Pass {
                next: [largest; 4],
                next_shift: 0,
                ..pass
            };
            assert_eq!(all.apply(x, x, x), x);
        }
    }
}
