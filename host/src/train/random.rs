//! Random numbers of a training run: a stream of its own for each purpose and step, so that a run is a
//! function of its seed and can go on at any step without a generator's state.

use rand::SeedableRng;
use rand_pcg::Pcg64;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// Which episodes are held out.
    Split = 2,
    /// The order of an epoch.
    Order = 3,
    /// Diffusion steps of a batch.
    Timesteps = 4,
    /// Noise of a batch.
    Noise = 5,
}

/// The stream of `purpose` number `index`.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> Pcg64 {
    Pcg64::seed_from_u64(stream_seed(seed, purpose, index))
}

/// A seed for the stream of `purpose` number `index`.
pub fn stream_seed(seed: u64, purpose: Purpose, index: u64) -> u64 {
    mix(mix(mix(seed) ^ purpose as u64) ^ index)
}

/// A bijection under which near inputs go far apart (the output function of SplitMix64; Steele, Lea and
/// Flood, OOPSLA 2014).
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
