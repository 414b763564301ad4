//! Which window is which sample of a run.

use super::random::{self, Purpose};
use rand::seq::SliceRandom;
use std::ops::Range;

/// Which window of one pool is sample number `n` of it: each epoch visits every window once, in an order of its own.
pub struct Order {
    seed: u64,
    epoch: u64,
    indices: Vec<usize>,
}

impl Order {
    /// The order of a run over `n_windows`.
    pub fn new(seed: u64, n_windows: usize) -> Self {
        let mut order = Self {
            seed,
            epoch: 0,
            indices: (0..n_windows).collect(),
        };
        order.shuffle(0);
        order
    }

    /// The window of sample `n`.
    pub fn window(&mut self, n: u64) -> usize {
        let n_windows = self.indices.len() as u64;
        let epoch = n / n_windows;
        if epoch != self.epoch {
            self.shuffle(epoch);
        }
        self.indices[(n % n_windows) as usize]
    }

    fn shuffle(&mut self, epoch: u64) {
        let n_windows = self.indices.len();
        self.indices.clear();
        self.indices.extend(0..n_windows);
        let mut rng = random::stream(self.seed, Purpose::Order, epoch);
        self.indices.shuffle(&mut rng);
        self.epoch = epoch;
    }
}

/// Pools of windows, each with its share of every batch. A function of the seed and the step alone.
pub struct Mixture {
    pools: Vec<Pool>,
}

struct Pool {
    /// Its windows among those of the run.
    windows: Range<usize>,
    order: Order,
    /// Of `n` samples of the run, `floor(n * to) - floor(n * from)` are its own.
    from: f64,
    to: f64,
}

impl Mixture {
    /// All windows `0..n` alike.
    pub fn of_all(seed: u64, n_windows: usize) -> Self {
        let all = 0..n_windows;
        Self::new(seed, std::slice::from_ref(&all), &[1.0])
    }

    /// Each range of windows with its share; the shares add up to 1.
    pub fn new(seed: u64, windows: &[Range<usize>], shares: &[f64]) -> Self {
        let mut to = 0.0;
        let pools = windows.iter().zip(shares).enumerate();
        let mut pools: Vec<Pool> = pools
            .map(|(number, (windows, share))| {
                let from = to;
                to += share;
                Pool {
                    windows: windows.clone(),
                    order: Order::new(
                        random::stream_seed(seed, Purpose::Order, number as u64),
                        windows.len(),
                    ),
                    from,
                    to,
                }
            })
            .collect();
        // One pool has the run's own order; rounding loses no sample to the last one.
        if let [pool] = &mut pools[..] {
            pool.order = Order::new(seed, pool.windows.len());
        }
        if let Some(last) = pools.last_mut() {
            last.to = 1.0;
        }
        Self { pools }
    }

    /// The windows of the samples `samples` of the run.
    pub fn windows(&mut self, samples: Range<u64>) -> Vec<usize> {
        let mut windows = Vec::with_capacity((samples.end - samples.start) as usize);
        for pool in &mut self.pools {
            let own = |n: u64| (n as f64 * pool.to).floor() - (n as f64 * pool.from).floor();
            let own = own(samples.start) as u64..own(samples.end) as u64;
            windows.extend(own.map(|n| pool.windows.start + pool.order.window(n)));
        }
        windows
    }
}
