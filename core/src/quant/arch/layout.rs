//! Structs that kernels keep in the words of a panel, and whose fields assembler finds by their offsets.
#![allow(unsafe_code)]

use crate::quant::kernels::norm::factors::Scaled;
use crate::quant::kernels::norm::kernel::{Channel, Sums};
use bytemuck::{Pod, Zeroable};

// SAFETY: of all three, that zeros are a value, that any bits are one, and that there is no gap: they are `repr(C)`, and every
// field is a number of 32 bits or an array of those.
unsafe impl Zeroable for Channel {}
// SAFETY: as above.
unsafe impl Pod for Channel {}
// SAFETY: as above.
unsafe impl Zeroable for Scaled {}
// SAFETY: as above.
unsafe impl Pod for Scaled {}
// SAFETY: as above.
unsafe impl Zeroable for Sums {}
// SAFETY: as above.
unsafe impl Pod for Sums {}

const _: () = assert!(size_of::<Channel>() == 24 && size_of::<Scaled>() == 12);
const _: () = assert!(size_of::<Sums>() == 12 && align_of::<Channel>() == 4);
