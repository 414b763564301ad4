//! The product as it is defined, for every machine.

use super::{Linear, Outputs, PACKING, Windows, saturate_i16};
#[cfg(not(any(armv6m, mla, mve, smlad, target_arch = "x86_64")))]
use crate::quant::kernels::panel::Panel;

/// This kernel needs no panel.
#[cfg(not(any(armv6m, mla, mve, smlad, target_arch = "x86_64")))]
pub(crate) type Input = ();

/// As [`Linear::apply`].
#[cfg(not(any(armv6m, mla, mve, smlad, target_arch = "x86_64")))]
pub(crate) fn apply(linear: Linear<'_>, windows: Windows<'_>, _: &mut Panel, outputs: Outputs<'_>) {
    multiply(linear, windows, outputs);
}

/// Every row at every window.
pub(crate) fn multiply(linear: Linear<'_>, windows: Windows<'_>, outputs: Outputs<'_>) {
    linear.for_each_output(windows, |position, channel, value| {
        if let Some(place) = outputs.values.get_mut(position * outputs.step + channel) {
            *place = saturate_i16(i64::from(value));
        }
    });
}

/// Dot product of one packed row with as many inputs.
#[inline(always)]
pub(crate) fn dot(weights: &[u8], window: &[i16]) -> i32 {
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
