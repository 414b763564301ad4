//! Layout of the structs that normalisation keeps in the panel, whose fields assembler finds by
//! their offsets.
#![allow(unsafe_code)]

use crate::quant::kernels::norm::factors::Channel;
use crate::quant::kernels::norm::group::{Scaled, Sums};
use bytemuck::{Pod, Zeroable};

// SAFETY: all three are `repr(C)` structs of 32-bit integers and arrays of them: any bits are a
// value, and there is no padding.
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
