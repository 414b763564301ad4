//! NumPy's random generators, as far as start states need them.
//!
//! diffusion_policy and gym-pusht up to 0.1.5 draw from `RandomState` (MT19937), gym-pusht 0.1.8
//! from `Generator(PCG64(SeedSequence(seed)))`. The distributions follow NumPy's
//! (`numpy/random/src/distributions`, `legacy-distributions.c`, `bit_generator.pyx`).

mod log;

use crate::pusht::math::sqrt;
use log::ln;
use rand_core::Rng;
use rand_mt::Mt;
use rand_pcg::Pcg64;

/// The weight of the last of 53 fraction bits, 2^-53.
const ULP_53: f64 = 1.0 / 9_007_199_254_740_992.0;

/// `numpy.random.RandomState(seed)`.
pub(crate) struct RandomState(Mt);

impl RandomState {
    pub(crate) fn new(seed: u32) -> Self {
        Self(Mt::new(seed))
    }

    /// `randint(low, high)`, high excluded: masked words until one is in range.
    pub(crate) fn randint(&mut self, low: u32, high: u32) -> u32 {
        let most = high - 1 - low;
        let mask = u32::MAX >> most.leading_zeros();
        loop {
            let word = self.0.next_u32() & mask;
            if word <= most {
                return low + word;
            }
        }
    }

    /// `random_sample()`: uniform in [0, 1), 53 bits from two words.
    fn random_sample(&mut self) -> f64 {
        let (high, low) = (self.0.next_u32() >> 5, self.0.next_u32() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) * ULP_53
    }

    /// `randn()`, the first value of a pair: Marsaglia's polar method.
    pub(crate) fn randn(&mut self) -> f64 {
        loop {
            let x1 = 2.0 * self.random_sample() - 1.0;
            let x2 = 2.0 * self.random_sample() - 1.0;
            let r2 = x1 * x1 + x2 * x2;
            if r2 < 1.0 && r2 != 0.0 {
                return sqrt(-2.0 * ln(r2) / r2) * x2;
            }
        }
    }
}

/// `numpy.random.default_rng(seed)`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Generator {
    words: Pcg64,
    /// The upper half of the last 64-bit word, which the next `next_u32` returns.
    upper_half: Option<u32>,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let [state_high, state_low, stream_high, stream_low] = seed_sequence(seed);
        let wide = |high: u64, low: u64| (u128::from(high) << 64) | u128::from(low);
        Self {
            words: Pcg64::new(wide(state_high, state_low), wide(stream_high, stream_low)),
            upper_half: None,
        }
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(word) = self.upper_half.take() {
            return word;
        }
        let word = self.words.next_u64();
        self.upper_half = Some((word >> 32) as u32);
        word as u32
    }

    /// `integers(low, high)`, high excluded (Lemire, "Fast random integer generation in an
    /// interval", 2019).
    pub(crate) fn integers(&mut self, low: u32, high: u32) -> u32 {
        let count = high - low;
        let mut product = u64::from(self.next_u32()) * u64::from(count);
        let threshold = count.wrapping_neg() % count;
        while (product as u32) < threshold {
            product = u64::from(self.next_u32()) * u64::from(count);
        }
        low + (product >> 32) as u32
    }

    /// `random()`: uniform in [0, 1).
    pub(crate) fn random(&mut self) -> f64 {
        (self.words.next_u64() >> 11) as f64 * ULP_53
    }

    /// `uniform(low, high)`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }
}

/// `SeedSequence(seed).generate_state(4, uint64)`: O'Neill's `seed_seq_fe`, which mixes the seed
/// into a pool of four words and hashes the state from it.
fn seed_sequence(seed: u64) -> [u64; 4] {
    const POOL: usize = 4;
    let mut hash = HashMix::new(0x43b0_d7e5, 0x931e_8875);
    let entropy = [seed as u32, (seed >> 32) as u32, 0, 0];
    let mut pool = entropy.map(|word| hash.mix(word));
    for from in 0..POOL {
        for to in 0..POOL {
            if from != to {
                pool[to] = mix(pool[to], hash.mix(pool[from]));
            }
        }
    }
    let mut hash = HashMix::new(0x8b51_f9dd, 0x58f3_8ded);
    core::array::from_fn(|word| {
        let low = hash.mix(pool[2 * word % POOL]);
        let high = hash.mix(pool[(2 * word + 1) % POOL]);
        (u64::from(high) << 32) | u64::from(low)
    })
}

/// Multiplicative hash whose multiplier changes with each word.
struct HashMix {
    constant: u32,
    multiplier: u32,
}

impl HashMix {
    fn new(constant: u32, multiplier: u32) -> Self {
        Self {
            constant,
            multiplier,
        }
    }

    fn mix(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ (word >> 16)
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let sum = x
        .wrapping_mul(0xca01_f9dd)
        .wrapping_sub(y.wrapping_mul(0x4973_f715));
    sum ^ (sum >> 16)
}
