//! The definition: 64 bits wherever a product needs them, for whatever a model file may hold.

use super::super::mish::mish_q16;
use super::super::rounding::multiply_shift;
use super::super::slices;
use super::{Finish, Group, Norm, Parameters, gain_and_beta};

/// The values of one group, whose first channel is `first`.
#[inline(never)]
pub(crate) fn activate(
    group: &Group,
    norm: Norm<'_>,
    first: usize,
    parameters: &[Parameters],
    x: &[i16],
    out: &mut [i16],
    finish: &Finish<'_>,
) {
    for (channel, parameters) in (first..).zip(parameters) {
        let (gain, beta_q16) = gain_and_beta(parameters, group.scale.mantissa);
        let (x, out) = (slices::from(x, channel), slices::from_mut(out, channel));
        let mut at = 0;
        while let (Some(x), Some(out)) = (x.get(at), out.get_mut(at)) {
            let d = group.n * i32::from(*x) - group.sum;
            let y_q16 = beta_q16.saturating_add(multiply_shift(d, gain, group.shift));
            *out = finish.apply(channel, mish_q16(y_q16), *out);
            at += norm.n_channels().max(1);
        }
    }
}
