//! What is remembered of contacts: the impulses that the solver found in one step start it in the next (warm
//! starting: Catto, "Iterative dynamics with temporal coherence", GDC 2005).
//!
//! For how long a pair is remembered, and when it counts as new, is Chipmunk's (`cpArbiter.c`, `cpSpaceStep.c`).

use super::broad_phase::N_OTHERS;
use super::manifold::MAX_POINTS;
use super::shapes::N_BOXES;

/// Steps without contact after which a pair is forgotten (`cpSpace.collisionPersistence`).
const PERSISTENCE_STEPS: u8 = 3;

/// How many pairs of a box and something else there are.
pub(crate) const N_PAIRS: usize = N_BOXES * N_OTHERS;

/// The impulses of a pair's contacts, by the contacts' numbers.
#[derive(Clone, Copy, Debug)]
struct Impulses {
    numbers: [u8; MAX_POINTS],
    values: [f64; MAX_POINTS],
    len: u8,
    /// Steps since the last contact.
    missed_steps: u8,
}

impl Impulses {
    const NONE: Self = Self {
        numbers: [0; MAX_POINTS],
        values: [0.0; MAX_POINTS],
        len: 0,
        missed_steps: 0,
    };
}

/// The impulses of all pairs that touched lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContactMemory {
    pairs: [Impulses; N_PAIRS],
    /// The pairs that are remembered, a bit each.
    remembered: u16,
}

impl ContactMemory {
    pub(crate) const EMPTY: Self = Self {
        pairs: [Impulses::NONE; N_PAIRS],
        remembered: 0,
    };

    /// Whether the pair touched in the last step: only then are its impulses applied again. After a step or two
    /// without contact they are still what the solver accumulates onto.
    pub(crate) fn is_lasting(&self, pair: usize) -> bool {
        let impulses = self.pairs.get(pair);
        self.remembered & (1 << pair) != 0 && impulses.is_some_and(|pair| pair.missed_steps == 0)
    }

    /// The impulse of contact `number` of a pair.
    pub(crate) fn impulse(&self, pair: usize, number: u8) -> f64 {
        let Some(pair) = self.pairs.get(pair) else {
            return 0.0;
        };
        let mut slots = 0..usize::from(pair.len).min(MAX_POINTS);
        let known = slots.find(|&slot| pair.numbers[slot] == number);
        known.map_or(0.0, |slot| pair.values[slot])
    }

    /// A step ends in which the pairs in `touching` (a bit each) touched: those are to be stored again.
    pub(crate) fn end_step(&mut self, touching: u16) {
        self.age_all_but(touching);
        for index in bits(self.remembered & touching) {
            if let Some(pair) = self.pairs.get_mut(index) {
                *pair = Impulses::NONE;
            }
        }
        self.remembered &= !touching;
    }

    /// A step ends in which only the pairs in `touching` touched, and those by the impulses that are remembered. Pairs that
    /// have not touched for too long are forgotten.
    pub(crate) fn age_all_but(&mut self, touching: u16) {
        for index in bits(self.remembered & !touching) {
            let Some(pair) = self.pairs.get_mut(index) else {
                continue;
            };
            pair.missed_steps += 1;
            if pair.missed_steps == PERSISTENCE_STEPS {
                *pair = Impulses::NONE;
                self.remembered &= !(1 << index);
            }
        }
    }

    /// Remembers the impulse of a contact.
    pub(crate) fn store(&mut self, pair: usize, number: u8, impulse: f64) {
        self.remembered |= 1 << pair;
        let Some(pair) = self.pairs.get_mut(pair) else {
            return;
        };
        let slot = usize::from(pair.len);
        if slot < MAX_POINTS {
            pair.numbers[slot] = number;
            pair.values[slot] = impulse;
            pair.len += 1;
        }
    }
}

/// The places of the bits that are set, from the lowest on.
fn bits(mut mask: u16) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = mask.trailing_zeros() as usize;
        let any = mask != 0;
        mask &= mask.wrapping_sub(1);
        any.then_some(lowest)
    })
}
