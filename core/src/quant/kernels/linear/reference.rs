//! The reference implementation, for every target.

use super::{Linear, Outputs, PACKING, Windows};
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

/// Dot product of one packed row with as many inputs.
#[inline(always)]
pub(crate) fn dot(weights: &[u8], window: &[i16]) -> i32 {
    debug_assert!(window.len() >= weights.len());
    let (quads, inputs) = (weights.as_chunks::<4>().0, window.as_chunks::<4>().0);
    quads
        .iter()
        .zip(inputs)
        .fold(0, |sum: i32, (w, x)| sum.wrapping_add(dot_quad(*w, *x)))
}

#[inline(always)]
fn dot_quad(weights: [u8; 4], inputs: [i16; 4]) -> i32 {
    let product = |i: usize| i32::from(weights[PACKING[i]] as i8) * i32::from(inputs[i]);
    product(0) + product(1) + product(2) + product(3)
}
