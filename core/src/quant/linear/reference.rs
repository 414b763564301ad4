//! The product as it is defined, for every machine.

use super::PACKING;

/// Dot products of one packed row with `P` windows of its length.
#[inline(always)]
pub(super) fn dots<const P: usize>(weights: &[u8], windows: [&[i16]; P]) -> [i32; P] {
    windows.map(|window| {
        let quads = weights
            .as_chunks::<4>()
            .0
            .iter()
            .zip(window.as_chunks::<4>().0);
        quads.map(|(w, x)| dot_quad(*w, *x)).sum()
    })
}

#[inline(always)]
fn dot_quad(weights: [u8; 4], inputs: [i16; 4]) -> i32 {
    let product = |i: usize| i32::from(weights[PACKING[i]] as i8) * i32::from(inputs[i]);
    product(0) + product(1) + product(2) + product(3)
}
