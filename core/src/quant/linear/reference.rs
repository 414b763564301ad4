//! The product as it is defined, for every machine.

use super::PACKING;

/// Dot products of one packed row with the windows of its length at `input`, `input + step`, ..
#[inline(always)]
pub(super) fn dots<const P: usize>(weights: &[u8], input: &[i16], step: usize) -> [i32; P] {
    core::array::from_fn(|position| dot(weights, &input[position * step..][..weights.len()]))
}

/// Dot product of one packed row with a window of its length.
#[inline(always)]
pub(super) fn dot(weights: &[u8], window: &[i16]) -> i32 {
    let (quads, inputs) = (weights.as_chunks::<4>().0, window.as_chunks::<4>().0);
    quads
        .iter()
        .zip(inputs)
        .map(|(w, x)| dot_quad(*w, *x))
        .sum()
}

#[inline(always)]
fn dot_quad(weights: [u8; 4], inputs: [i16; 4]) -> i32 {
    let product = |i: usize| i32::from(weights[PACKING[i]] as i8) * i32::from(inputs[i]);
    product(0) + product(1) + product(2) + product(3)
}
