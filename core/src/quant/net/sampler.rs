//! Reverse diffusion process: from noise to a trajectory of normalised actions.

use super::policy::inpaint;
use super::scratch::Parts;
use super::unet::{self, Observer};
use crate::noise::Noise;
use crate::quant::format::model::{Model, Pass};
use crate::quant::kernels::rounding::{rounding_shift_right, saturate_i32};
use fixed::types::I8F24;

/// Fills every `sample` (a trajectory) with noise and denoises it with one pass per step. When
/// inpainting, the observations replace what is there before each pass.
pub(super) fn sample<const B: usize>(
    model: &Model<'_>,
    noise: &mut [&mut dyn Noise; B],
    parts: &mut [Parts<'_>; B],
    observer: &mut impl Observer,
) {
    unet::project_condition(model, parts, observer);
    for (noise, part) in noise.iter_mut().zip(parts.iter_mut()) {
        for value in part.sample.iter_mut() {
            *value = noise.next_gaussian();
        }
    }
    for index in 0..model.n_passes() {
        inpaint(model, parts);
        unet::forward(model, index, parts, observer);
        for (noise, part) in noise.iter_mut().zip(parts.iter_mut()) {
            step(&model.pass(index), *noise, part.sample, part.output);
        }
    }
}

/// Computes `x_(t-1)` from `x_t` and the network's output for it; both a trajectory.
fn step(pass: &Pass, noise: &mut dyn Noise, sample: &mut [I8F24], output: &[I8F24]) {
    for (x, out) in sample.iter_mut().zip(output) {
        let z = if pass.draws_noise {
            noise.next_gaussian()
        } else {
            I8F24::ZERO
        };
        *x = I8F24::from_bits(pass.apply(x.to_bits(), out.to_bits(), z.to_bits()));
    }
}

impl Pass {
    /// Computes the step for one value, in I8F24.
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

    #[test]
    fn a_large_first_coefficient_is_clipped_and_extremes_do_not_overflow() {
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
