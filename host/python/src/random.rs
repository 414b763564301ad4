//! The random generator behind an environment's start states, as NumPy's.

use pusht_core::pusht::env::StartSequence;
use serde::Deserialize;

/// `state`, `inc`, `has_uint32` and `uinteger` of NumPy's `PCG64.state`.
pub type Pcg64State = (u128, u128, bool, u32);

/// The fields of a [`StartSequence`], whose generator shows them to serde only.
#[derive(Deserialize)]
enum Fields {
    /// The seed.
    Legacy(#[allow(dead_code)] u32),
    Pcg64 {
        words: (u128, u128),
        upper_half: Option<u32>,
    },
}

/// State of the generator of `starts`; `None` for legacy seeds, whose generator is made anew for
/// each episode.
pub fn pcg64_state(starts: &StartSequence) -> Option<Pcg64State> {
    let bytes = postcard::to_allocvec(starts).ok()?;
    match postcard::from_bytes(&bytes).ok()? {
        Fields::Legacy(_) => None,
        Fields::Pcg64 { words, upper_half } => Some((
            words.0,
            words.1,
            upper_half.is_some(),
            upper_half.unwrap_or_default(),
        )),
    }
}
