//! Which of two policies is better, from episodes on the same seeds, with as few as it takes.
//!
//! An exact McNemar test with alpha spending. Only pairs with different outcomes count; if the
//! policies are equally good, each of them is a fair coin, so the lead of one policy is a random
//! walk. At each look the test may spend a share of its error rate that grows linearly with the
//! pairs played (Lan and DeMets, Biometrika 1983): it stops when the probability that a fair walk is
//! as far out, for the first time, fits in what is unspent. The distribution of the walk, with all
//! that stopped earlier taken out, is computed exactly. So the error rate holds however often one
//! looks (the problem: Snyder et al., "Is Your Imitation Learning Policy Better than Mine?", STEP,
//! arXiv 2503.10966).

/// The test while it goes on.
#[derive(Clone, Debug)]
pub struct SequentialMcnemar {
    error_rate: f64,
    most_pairs: usize,
    n_pairs: usize,
    /// Probability that a fair walk has not been stopped and is at each place: that of lead `l` is
    /// at `n_different + l`, and those in between are 0.
    walk: Vec<f64>,
    n_different: usize,
    lead: i64,
    spent: f64,
    is_decided: bool,
}

impl SequentialMcnemar {
    /// A test with this probability of finding a difference where there is none, of at most
    /// `most_pairs` pairs.
    pub fn new(error_rate: f64, most_pairs: usize) -> Self {
        Self {
            error_rate,
            most_pairs: most_pairs.max(1),
            n_pairs: 0,
            walk: vec![1.0],
            n_different: 0,
            lead: 0,
            spent: 0.0,
            is_decided: false,
        }
    }

    /// Adds pairs of outcomes (of the first and of the second policy) and looks. Returns whether a
    /// difference is found.
    pub fn look(&mut self, outcomes: impl IntoIterator<Item = (bool, bool)>) -> bool {
        if self.is_decided {
            return true;
        }
        for (first, second) in outcomes {
            self.n_pairs += 1;
            if first != second {
                self.lead += if first { 1 } else { -1 };
                self.step();
            }
        }
        let share = self.n_pairs as f64 / self.most_pairs as f64;
        let allowed = self.error_rate * share.min(1.0) - self.spent;
        // From the outside inwards, as far as what may be spent lasts.
        let (mut stopped, mut least) = (0.0, self.n_different + 1);
        for distance in (1..=self.n_different).rev() {
            let [low, high] = [self.n_different - distance, self.n_different + distance];
            let both = self.walk[low] + self.walk[high];
            if stopped + both > allowed {
                break;
            }
            (stopped, least) = (stopped + both, distance);
        }
        for distance in least..=self.n_different {
            for at in [self.n_different - distance, self.n_different + distance] {
                self.walk[at] = 0.0;
            }
        }
        self.spent += stopped;
        self.is_decided = self.lead.unsigned_abs() as usize >= least;
        self.is_decided
    }

    /// One more pair with different outcomes.
    fn step(&mut self) {
        let mut next = vec![0.0; self.walk.len() + 2];
        for (at, probability) in self.walk.iter().enumerate() {
            next[at] += 0.5 * probability;
            next[at + 2] += 0.5 * probability;
        }
        self.walk = next;
        self.n_different += 1;
    }

    /// Pairs so far.
    pub fn n_pairs(&self) -> usize {
        self.n_pairs
    }

    /// Pairs so far with different outcomes.
    pub fn n_different(&self) -> usize {
        self.n_different
    }

    /// By how many of them the first policy is ahead.
    pub fn lead(&self) -> i64 {
        self.lead
    }

    /// Whether a difference is found.
    pub fn is_decided(&self) -> bool {
        self.is_decided
    }

    /// Whether all pairs have been played or a difference is found.
    pub fn is_over(&self) -> bool {
        self.is_decided || self.n_pairs >= self.most_pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    /// Share of 2,000 tests that find a difference, and their mean number of pairs, where the first
    /// policy alone succeeds with the one probability and the second alone with the other.
    fn found(only_first: f64, only_second: f64, look_every: usize) -> (f64, f64) {
        const RUNS: usize = 2000;
        let mut random = Pcg64::seed_from_u64(5);
        let (mut found, mut pairs) = (0, 0);
        for _ in 0..RUNS {
            let mut test = SequentialMcnemar::new(0.05, 400);
            while !test.is_over() {
                let outcomes = (0..look_every).map(|_| {
                    let drawn: f64 = random.random();
                    if drawn < only_first {
                        (true, false)
                    } else if drawn < only_first + only_second {
                        (false, true)
                    } else {
                        (true, true)
                    }
                });
                found += usize::from(test.look(outcomes));
            }
            pairs += test.n_pairs();
        }
        (found as f64 / RUNS as f64, pairs as f64 / RUNS as f64)
    }

    #[test]
    fn equal_policies_are_told_apart_no_more_often_than_the_error_rate() {
        for (rate, look_every) in [(0.02, 10), (0.15, 10), (0.4, 1), (0.4, 40)] {
            let (share, _) = found(rate, rate, look_every);
            // Three standard errors of a share of 5 % in 2,000 runs.
            assert!(share <= 0.05 + 0.0147, "{rate}, {look_every}: {share}");
        }
    }

    #[test]
    fn a_better_policy_is_found_and_a_much_better_one_soon() {
        let (share, pairs) = found(0.15, 0.03, 10);
        assert!(share > 0.98, "{share}");
        assert!(pairs < 250.0, "{pairs}");
        let (share, pairs) = found(0.5, 0.02, 10);
        assert!(share == 1.0 && pairs < 60.0, "{share}, {pairs}");
    }

    #[test]
    fn one_look_at_the_end_is_the_exact_mcnemar_test() {
        // Binomial(10, 1/2): two-sided p of 9 against 1 is 0.0215, of 8 against 2 is 0.109.
        for (wins, is_found) in [(9, true), (8, false)] {
            let mut test = SequentialMcnemar::new(0.05, 10);
            let outcomes = (0..10).map(|pair| (pair < wins, pair >= wins));
            assert_eq!(test.look(outcomes), is_found);
        }
    }
}
