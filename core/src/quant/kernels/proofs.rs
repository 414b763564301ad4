//! Proofs of the rounding and saturating routines: by trying every input where there are at most
//! 2^32, and by a solver otherwise. `docs/soundness.md` lists which routine has which.

extern crate std;

mod every_input;
mod solver;
