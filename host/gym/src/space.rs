//! Spaces: the sets of valid observations and actions.

use super::value::{Array, Dict, Element, Value};
use rand::{RngExt, SeedableRng};
pub use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A set of values that can be sampled: Gymnasium's `Space`.
///
/// A space is plain data; [`Self::sample`] takes the caller's random number generator ([`seeded`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Space {
    /// Arrays of one shape and type, bounded elementwise (both bounds included). Its values are
    /// [`Value::Array`].
    Box {
        /// Smallest elements.
        low: Array,
        /// Largest elements.
        high: Array,
    },
    /// The integers `start..start + n`. Its values are [`Value::Int`].
    Discrete {
        /// Number of values.
        n: i64,
        /// Smallest value.
        start: i64,
    },
    /// A value of each space, by name. Its values are [`Value::Dict`].
    Dict(BTreeMap<String, Space>),
    /// A value of each space, in order. Its values are [`Value::List`].
    Tuple(Vec<Space>),
    /// Values of any kind, with a name. Batches are lists, samples are [`Value::None`], and shared
    /// memory has no room for them.
    Custom(String),
}

/// A random number generator for [`Space::sample`] with this seed. Its stream is not NumPy's, so
/// samples differ from Gymnasium's.
pub fn seeded(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

impl Space {
    /// A [`Self::Box`] with the same bounds for every element.
    pub fn uniform_box<T: Element>(low: T, high: T, shape: &[usize]) -> Self {
        Self::Box {
            low: Array::filled(shape, low),
            high: Array::filled(shape, high),
        }
    }

    /// A one-dimensional [`Self::Box`].
    ///
    /// # Panics
    /// If the bounds differ in length.
    pub fn vector_box<T: Element>(low: Vec<T>, high: Vec<T>) -> Self {
        assert_eq!(low.len(), high.len(), "as many lower bounds as upper ones");
        Self::Box {
            low: Array::vector(low),
            high: Array::vector(high),
        }
    }

    /// The integers `0..n`.
    pub fn discrete(n: i64) -> Self {
        Self::Discrete { n, start: 0 }
    }

    /// A [`Self::Dict`] of these spaces.
    pub fn dict<const N: usize>(spaces: [(&str, Space); N]) -> Self {
        let named = spaces
            .into_iter()
            .map(|(name, space)| (name.to_owned(), space));
        Self::Dict(named.collect())
    }

    /// Draws a value of the space, uniformly where the space is bounded.
    ///
    /// # Panics
    /// If the space is empty: a box whose bounds differ in type, are NaN or in the wrong order, or
    /// a discrete space with `n` below 1.
    pub fn sample(&self, random: &mut Pcg64) -> Value {
        match self {
            Self::Box { low, high } => Value::Array(Array::sample(low, high, random)),
            Self::Discrete { n, start } => {
                Value::Int(i128::from(*start) + i128::from(random.random_range(0..*n)))
            }
            Self::Dict(spaces) => Value::Dict(
                spaces
                    .iter()
                    .map(|(name, space)| (name.clone(), space.sample(random)))
                    .collect::<Dict>(),
            ),
            Self::Tuple(spaces) => spaces
                .iter()
                .map(|space| space.sample(random))
                .collect::<Vec<_>>()
                .into(),
            Self::Custom(_) => Value::None,
        }
    }

    /// Whether the value is in the space: type, shape and bounds.
    pub fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Box { low, high }, Value::Array(array)) => array.is_between(low, high),
            (Self::Discrete { n, start }, Value::Int(value)) => {
                let [n, start] = [*n, *start].map(i128::from);
                (start..start + n).contains(value)
            }
            _ => self.zip_parts(value, Self::contains),
        }
    }

    /// Whether the value has the space's type and shape; its bounds are ignored.
    pub fn is_shape_of(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Box { low, .. }, Value::Array(array)) => array.is_like(low),
            (Self::Discrete { .. }, value) if value.as_int().is_some() => true,
            _ => self.zip_parts(value, Self::is_shape_of),
        }
    }

    /// Whether `accepts` holds for every part of a dictionary or tuple.
    fn zip_parts(&self, value: &Value, accepts: fn(&Self, &Value) -> bool) -> bool {
        match (self, value) {
            (Self::Dict(spaces), Value::Dict(values)) => {
                spaces.len() == values.len()
                    && spaces.iter().all(|(name, space)| {
                        values.get(name).is_some_and(|value| accepts(space, value))
                    })
            }
            (Self::Tuple(spaces), Value::List(values)) => {
                spaces.len() == values.len()
                    && spaces
                        .iter()
                        .zip(values)
                        .all(|(space, value)| accepts(space, value))
            }
            (Self::Custom(_), _) => true,
            _ => false,
        }
    }

    /// Whether the values of both spaces have the same types and shapes; bounds are ignored.
    pub fn is_same_shape(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Box { low, .. }, Self::Box { low: other, .. }) => low.is_like(other),
            (Self::Discrete { .. }, Self::Discrete { .. }) => true,
            (Self::Dict(spaces), Self::Dict(others)) => {
                spaces.len() == others.len()
                    && spaces
                        .iter()
                        .zip(others)
                        .all(|((name, a), (other, b))| name == other && a.is_same_shape(b))
            }
            (Self::Tuple(spaces), Self::Tuple(others)) => {
                spaces.len() == others.len()
                    && spaces.iter().zip(others).all(|(a, b)| a.is_same_shape(b))
            }
            (Self::Custom(a), Self::Custom(b)) => a == b,
            _ => false,
        }
    }

    /// A value of the space's shape: zeros, or `start` of a discrete space.
    pub fn zero(&self) -> Value {
        match self {
            Self::Box { low, .. } => Value::Array(Array::zeros(low.dtype(), low.shape())),
            Self::Discrete { start, .. } => (*start).into(),
            Self::Dict(spaces) => Value::Dict(
                spaces
                    .iter()
                    .map(|(name, space)| (name.clone(), space.zero()))
                    .collect(),
            ),
            Self::Tuple(spaces) => spaces.iter().map(Self::zero).collect::<Vec<_>>().into(),
            Self::Custom(_) => Value::None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use half::f16;

    /// One space of each kind, type and sort of bounds.
    pub(crate) fn spaces() -> Vec<Space> {
        let inf = f64::INFINITY;
        vec![
            Space::discrete(3),
            Space::Discrete { n: 3, start: -1 },
            Space::uniform_box(0.0_f32, 1.0, &[1]),
            Space::uniform_box(0.0, inf, &[2, 2]),
            Space::uniform_box(-inf, 0.0, &[2, 1]),
            Space::vector_box(vec![-10.0, 0.0], vec![10.0, 10.0]),
            Space::vector_box(vec![-inf, -inf, 0.0, -10.0], vec![inf, 0.0, inf, 10.0]),
            Space::uniform_box(f16::from_f32(-1.0), f16::from_f32(1.0), &[3]),
            Space::uniform_box(0_u8, 255, &[2, 2, 3]),
            Space::uniform_box(i64::MIN, i64::MAX, &[2]),
            Space::uniform_box(-5_i32, 5, &[]),
            Space::vector_box(vec![false, false, true], vec![true, false, true]),
            Space::dict([
                ("position", Space::discrete(5)),
                (
                    "velocity",
                    Space::dict([("x", Space::uniform_box(0.0, 1.0, &[2]))]),
                ),
            ]),
            Space::Tuple(vec![Space::discrete(5), Space::uniform_box(0.0, 1.0, &[3])]),
        ]
    }

    #[test]
    fn samples_are_contained_and_repeat_with_the_seed() {
        for space in spaces() {
            let (mut a, mut b) = (seeded(123), seeded(123));
            let mut differs = false;
            for _ in 0..100 {
                let sample = space.sample(&mut a);
                assert!(space.contains(&sample), "{space:?}: {sample:?}");
                assert!(space.is_shape_of(&sample));
                assert_eq!(sample, space.sample(&mut b));
                differs |= sample != space.zero();
            }
            assert!(differs, "{space:?} draws nothing but zeros");
            assert!(space.is_shape_of(&space.zero()));
        }
    }

    #[test]
    fn only_values_within_type_shape_and_bounds_are_contained() {
        let space = Space::uniform_box(0.0, 1.0, &[2]);
        assert!(space.contains(&[0.0, 1.0].into()));
        for outside in [
            Value::from([0.0, 1.1]),
            [f64::NAN, 0.0].into(),
            [0.0].into(),
            [0.0_f32, 1.0].into(),
            Value::Float(0.5),
            Value::None,
        ] {
            assert!(!space.contains(&outside), "{outside:?}");
        }
        let space = Space::Discrete { n: 3, start: -1 };
        assert!(space.contains(&Value::Int(1)) && !space.contains(&Value::Int(2)));
        assert!(!space.contains(&i64::MIN.into()) && !space.is_shape_of(&u64::MAX.into()));
        let space = Space::dict([("a", Space::discrete(2))]);
        assert!(!space.contains(&super::super::value::dict([("b", Value::Int(0))]).into()));
    }

    /// Their difference is infinite, and so every sample was the upper bound.
    #[test]
    fn samples_between_the_largest_floats_are_uniform() {
        let mut random = seeded(1);
        let signs = |space: &Space, random: &mut Pcg64| {
            let sample = space.sample(random);
            assert!(space.contains(&sample) && sample.is_finite(), "{sample:?}");
            let sample = sample.as_array().unwrap();
            let halves = |share: f64| [share < -0.5, (-0.5..0.0).contains(&share), share >= 0.5];
            match sample.slice::<f64>() {
                Some(values) => halves(values[0] / f64::MAX),
                None => halves(f64::from(sample.slice::<f32>().unwrap()[0] / f32::MAX)),
            }
        };
        for space in [
            Space::uniform_box(-f64::MAX, f64::MAX, &[1]),
            Space::uniform_box(-f32::MAX, f32::MAX, &[1]),
        ] {
            let mut counts = [0; 3];
            for _ in 0..4000 {
                for (count, is_in) in counts.iter_mut().zip(signs(&space, &mut random)) {
                    *count += usize::from(is_in);
                }
            }
            // A quarter each; five standard deviations.
            assert!(counts.iter().all(|n| (863..1137).contains(n)), "{counts:?}");
        }
    }

    #[test]
    fn a_discrete_space_at_the_end_of_the_integers_does_not_wrap() {
        let (n, start) = (i64::MAX, i64::MAX - 2);
        let space = Space::Discrete { n, start };
        assert!(space.contains(&i64::MAX.into()) && !space.contains(&i64::MIN.into()));
        let mut random = seeded(1);
        for _ in 0..100 {
            assert!(space.contains(&space.sample(&mut random)));
        }
    }

    #[test]
    fn a_discrete_space_draws_every_number_alike() {
        let mut random = seeded(1);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            let sample = Space::discrete(5).sample(&mut random);
            counts[sample.as_int().unwrap() as usize] += 1;
        }
        // Five standard deviations.
        assert!(
            counts.iter().all(|count| (858..1142).contains(count)),
            "{counts:?}"
        );
    }
}
