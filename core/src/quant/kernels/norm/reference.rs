//! The reference implementation, for whatever a model file may hold.

use super::factors::gain_and_beta;
use super::{Epilogue, Norm, Parameters};
use crate::quant::kernels::mish::mish_q16;
use crate::quant::kernels::rounding::{multiply_shift, multiply_shift_wide};
use crate::quant::kernels::rsqrt::{Rsqrt, rsqrt_of_sum};
use crate::quant::kernels::slices;
use core::ops::Range;

impl Norm<'_> {
    /// [`activate`](Self::activate) by the reference implementation.
    pub(crate) fn activate_reference(self, x: &[i16], out: &mut [i16], epilogue: &Epilogue<'_>) {
        self.activate_groups(0..self.n_channels(), x, out, epilogue);
    }

    /// The groups with these channels.
    #[inline(never)]
    pub(crate) fn activate_groups(
        self,
        channels: Range<usize>,
        x: &[i16],
        out: &mut [i16],
        epilogue: &Epilogue<'_>,
    ) {
        let size = self.n_channels() / self.n_groups().max(1);
        let parameters = self.parameters.as_chunks().0;
        let parameters = slices::part(parameters, channels.start, channels.len());
        for (index, parameters) in slices::rows(parameters, size).enumerate() {
            self.activate_group(channels.start + index * size, parameters, x, out, epilogue);
        }
    }

    /// One group, whose first channel is `first`.
    fn activate_group(
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
            let (x, out) = (slices::from(x, channel), slices::from_mut(out, channel));
            let mut at = 0;
            while let (Some(x), Some(out)) = (x.get(at), out.get_mut(at)) {
                let y_q16 = beta_q16.saturating_add(group.times_distance(*x, gain));
                *out = epilogue.apply(channel, mish_q16(y_q16), *out);
                at += n_channels;
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
    /// Both terms of `n^2` times the variance may reach 2^64, for
    /// [`MAX_GROUP_LEN`](super::MAX_GROUP_LEN) values of `i16::MIN`, but as the variance is below
    /// 2^30 their difference does not: wrapping arithmetic is exact.
    fn of(norm: Norm<'_>, x: &[i16], size: usize) -> Self {
        let (mut n, mut sum, mut square_sum) = (0_u32, 0_i64, 0_u64);
        let mut rows = x;
        while let Some(row) = rows.get(..size.max(1)) {
            for value in row {
                n += 1;
                sum += i64::from(*value);
                let magnitude = u32::from(value.unsigned_abs());
                square_sum += u64::from(magnitude * magnitude);
            }
            rows = rows.get(norm.n_channels().max(1)..).unwrap_or_default();
        }
        let square = sum.unsigned_abs().wrapping_mul(sum.unsigned_abs());
        let variance = u64::from(n).wrapping_mul(square_sum).wrapping_sub(square);
        let scale = rsqrt_of_sum(variance, norm.eps());
        Self {
            n: n.into(),
            sum,
            scale,
            shift: norm.shift(scale),
        }
    }

    /// `d` of the value `x` times a channel's gain, in Q16.
    ///
    /// As `d^2 <= n V`, a `d` beyond 32 bits has a `V` of at least 2^45, and a shift of at least
    /// 22.
    #[inline(always)]
    fn times_distance(&self, x: i16, gain: i32) -> i32 {
        let d = self.n * i64::from(x) - self.sum;
        debug_assert!(d.unsigned_abs() < (super::MAX_GROUP_LEN as u64) << 16);
        match i32::try_from(d) {
            Ok(d) => multiply_shift(d, gain, self.shift),
            Err(_) => multiply_shift_wide(d, gain, self.shift),
        }
    }
}
