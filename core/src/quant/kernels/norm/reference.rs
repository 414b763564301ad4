//! The reference implementation: 64 bits and more wherever a product needs them, for whatever a
//! model file may hold.

use super::factors::gain_and_beta;
use super::{Epilogue, Norm, Parameters};
use crate::quant::kernels::mish::mish_q16;
use crate::quant::kernels::rounding::{multiply_shift, multiply_shift_wide};
use crate::quant::kernels::rsqrt::{Rsqrt, rsqrt_wide};
use crate::quant::kernels::slices;

impl Norm<'_> {
    /// [`activate`](Self::activate) by the reference implementation.
    pub(crate) fn activate_reference(self, x: &[i16], out: &mut [i16], epilogue: &Epilogue<'_>) {
        let n_channels = self.n_channels();
        let size = n_channels / self.n_groups.max(1);
        let groups = slices::rows(self.parameters.as_chunks().0, size);
        for (index, parameters) in groups.enumerate() {
            self.activate_group(index * size, parameters, x, out, epilogue);
        }
    }

    /// One group, whose first channel is `first`.
    #[inline(never)]
    pub(crate) fn activate_group(
        self,
        first: usize,
        parameters: &[Parameters],
        x: &[i16],
        out: &mut [i16],
        epilogue: &Epilogue<'_>,
    ) {
        let n_channels = self.n_channels().max(1);
        let group = Group::of(self, slices::from(x, first), parameters.len());
        for (channel, parameters) in (first..).zip(parameters) {
            let (gain, beta_q16) = gain_and_beta(parameters, group.scale.mantissa);
            let x = slices::from(x, channel).iter().step_by(n_channels);
            let out = slices::from_mut(out, channel).iter_mut();
            for (x, out) in x.zip(out.step_by(n_channels)) {
                let y_q16 = beta_q16.saturating_add(group.times_distance(*x, gain));
                *out = epilogue.apply(channel, mish_q16(y_q16), *out);
            }
        }
    }
}

/// What the values of a group have in common.
struct Group {
    n: i64,
    sum: i64,
    /// `1 / sqrt(V)`.
    scale: Rsqrt,
    shift: u32,
}

impl Group {
    /// The first `size` channels of `x` (`[L][C]`).
    ///
    /// For [`MAX_GROUP_LEN`](super::MAX_GROUP_LEN) values the sum is at most 2^32, that of squares
    /// 2^47, and `V <= 2^64 + eps'`.
    fn of(norm: Norm<'_>, x: &[i16], size: usize) -> Self {
        let (mut n, mut sum, mut square_sum) = (0_u32, 0_i64, 0_u64);
        for row in x.chunks(norm.n_channels().max(1)) {
            for value in row.iter().take(size) {
                n += 1;
                sum += i64::from(*value);
                let magnitude = u32::from(value.unsigned_abs());
                square_sum += u64::from(magnitude * magnitude);
            }
        }
        let n_squares = u128::from(n) * u128::from(square_sum);
        let square = u128::from(sum.unsigned_abs()) * u128::from(sum.unsigned_abs());
        // Not negative, by Cauchy and Schwarz.
        let scale = rsqrt_wide(n_squares - square + u128::from(norm.eps));
        Self {
            n: n.into(),
            sum,
            scale,
            shift: norm.shift(scale),
        }
    }

    /// `d` of the value `x` times a channel's gain, in Q16.
    #[inline(always)]
    fn times_distance(&self, x: i16, gain: i32) -> i32 {
        let d = self.n * i64::from(x) - self.sum;
        match i32::try_from(d) {
            Ok(d) => multiply_shift(d, gain, self.shift),
            Err(_) => multiply_shift_wide(d, gain, self.shift),
        }
    }
}
