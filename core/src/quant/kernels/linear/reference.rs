//! The reference implementation, for every target.

use super::weights::Lanes;
use super::{LANES, Linear, Outputs, PACKING, Windows};
#[cfg(kernels = "portable")]
use super::{LinearKernel, Product};
use crate::quant::kernels::rounding::saturate_i16;

/// The kernel of targets without a tuned one.
#[cfg(kernels = "portable")]
pub(crate) struct Reference;

#[cfg(kernels = "portable")]
impl LinearKernel for Reference {
    const INPUT_SIZE: usize = 0;

    fn apply(linear: Linear<'_>, products: &mut [Product<'_>]) {
        for product in products {
            multiply(linear, product.windows, product.outputs.reborrow());
        }
    }
}

/// Every row at every window. Not inlined: for tuned kernels it is the rare alternative.
#[inline(never)]
pub(crate) fn multiply(linear: Linear<'_>, windows: Windows<'_>, outputs: Outputs<'_>) {
    linear.for_each_output(windows, |position, channel, value| {
        let place = outputs.values.get_mut(position * outputs.step + channel);
        debug_assert!(place.is_some());
        if let Some(place) = place {
            *place = saturate_i16(i64::from(value));
        }
    });
}

/// Sum of the magnitudes of a row's weights.
#[inline(always)]
pub(crate) fn norm(weights: impl Iterator<Item = Lanes>) -> u32 {
    let magnitude = |weight: u8| u32::from((weight as i8).unsigned_abs());
    let sums = weights.map(|lanes| lanes.map(magnitude).iter().sum::<u32>());
    sums.sum()
}

/// Dot product of one packed row with as many inputs.
#[inline(always)]
pub(crate) fn dot(weights: impl Iterator<Item = Lanes>, window: &[i16]) -> i32 {
    let inputs = window.as_chunks::<LANES>().0;
    weights.zip(inputs).fold(0, |sum: i32, (w, x)| {
        sum.wrapping_add(dot_lanes(w, x.as_chunks().0))
    })
}

/// Eight products in 32 bits: a sum of four has at most 2^24.
#[inline(always)]
fn dot_lanes(weights: Lanes, inputs: &[[i16; 4]]) -> i32 {
    let quads = weights.as_chunks::<4>().0.iter().zip(inputs);
    quads.fold(0, |sum, (w, x)| {
        let product = |i: usize| i32::from(w[PACKING[i]] as i8) * i32::from(x[i]);
        sum + product(0) + product(1) + product(2) + product(3)
    })
}
