//! Batched spaces and values: Gymnasium's `vector/utils/space_utils.py`.

use super::space::Space;
use super::value::{Array, Dict, Value};

/// The space of a batch of `n` values of `space`. A box gets a leading dimension `n`, a discrete
/// space becomes a box of `n` integers, the parts of a dictionary or tuple are batched one by one,
/// a custom space is repeated `n` times.
pub fn batch_space(space: &Space, n: usize) -> Space {
    let spaces: Vec<&Space> = std::iter::repeat_n(space, n).collect();
    // A space has its own shape.
    batch(&spaces).unwrap_or_else(|| Space::Tuple(Vec::new()))
}

/// The space of a batch with one value of each of `spaces`, which may differ in their bounds;
/// `None` if they differ in shape or type, or if there are none.
pub fn batch_differing_spaces(spaces: &[Space]) -> Option<Space> {
    batch(&spaces.iter().collect::<Vec<_>>())
}

fn batch(spaces: &[&Space]) -> Option<Space> {
    let first = *spaces.first()?;
    if !spaces.iter().all(|space| space.is_same_shape(first)) {
        return None;
    }
    Some(match first {
        Space::Box { .. } => {
            let bounds = |pick: fn(&Space) -> Option<&Array>| {
                Array::stack(spaces.iter().filter_map(|space| pick(space)))
            };
            Space::Box {
                low: bounds(low)?,
                high: bounds(high)?,
            }
        }
        Space::Discrete { .. } => {
            let (low, high) = spaces
                .iter()
                .filter_map(|space| match space {
                    Space::Discrete { n, start } => Some((*start, start + n - 1)),
                    _ => None,
                })
                .unzip();
            Space::vector_box(low, high)
        }
        Space::Dict(parts) => {
            let batched = parts.keys().map(|name| {
                let part: Vec<&Space> = spaces
                    .iter()
                    .filter_map(|space| named(space, name))
                    .collect();
                Some((name.clone(), batch(&part)?))
            });
            Space::Dict(batched.collect::<Option<_>>()?)
        }
        Space::Tuple(parts) => {
            let batched = (0..parts.len()).map(|index| {
                let part: Vec<&Space> = spaces
                    .iter()
                    .filter_map(|space| nth(space, index))
                    .collect();
                batch(&part)
            });
            Space::Tuple(batched.collect::<Option<_>>()?)
        }
        Space::Custom(_) => Space::Tuple(spaces.iter().map(|space| (*space).clone()).collect()),
    })
}

fn low(space: &Space) -> Option<&Array> {
    match space {
        Space::Box { low, .. } => Some(low),
        _ => None,
    }
}

fn high(space: &Space) -> Option<&Array> {
    match space {
        Space::Box { high, .. } => Some(high),
        _ => None,
    }
}

fn named<'a>(space: &'a Space, name: &str) -> Option<&'a Space> {
    match space {
        Space::Dict(parts) => parts.get(name),
        _ => None,
    }
}

fn nth(space: &Space, index: usize) -> Option<&Space> {
    match space {
        Space::Tuple(parts) => parts.get(index),
        _ => None,
    }
}

/// A batch of `n` values of `space`, all zeros.
pub fn create_empty_array(space: &Space, n: usize) -> Value {
    match space {
        Space::Box { low, .. } => {
            let mut shape = vec![n];
            shape.extend_from_slice(low.shape());
            Value::Array(Array::zeros(low.dtype(), &shape))
        }
        Space::Discrete { .. } => Value::from(vec![0_i64; n]),
        Space::Dict(parts) => Value::Dict(
            parts
                .iter()
                .map(|(name, part)| (name.clone(), create_empty_array(part, n)))
                .collect(),
        ),
        Space::Tuple(parts) => Value::List(
            parts
                .iter()
                .map(|part| create_empty_array(part, n))
                .collect(),
        ),
        Space::Custom(_) => Value::List(vec![Value::None; n]),
    }
}

/// Overwrites the row `index` of a batch that [`create_empty_array`] made for `space`.
///
/// # Panics
/// If `row` does not have the shape of `space`, or `batch` was made for another space.
pub fn set_row(space: &Space, batch: &mut Value, index: usize, row: Value) {
    match (space, batch, row) {
        (Space::Box { .. }, Value::Array(batch), Value::Array(row)) => batch.set_row(index, &row),
        (Space::Discrete { .. }, Value::Array(batch), Value::Int(row)) => {
            let row = i64::try_from(row).expect("an integer of a discrete space has 64 bits");
            batch.set_row(index, &Array::filled(&[], row));
        }
        (Space::Dict(parts), Value::Dict(batch), Value::Dict(mut row)) => {
            for ((name, part), batch) in parts.iter().zip(batch.values_mut()) {
                set_row(part, batch, index, row.remove(name).unwrap_or_default());
            }
        }
        (Space::Tuple(parts), Value::List(batch), Value::List(row)) => {
            for ((part, batch), row) in parts.iter().zip(batch).zip(row) {
                set_row(part, batch, index, row);
            }
        }
        (Space::Custom(_), Value::List(batch), row) => batch[index] = row,
        (space, _, row) => panic!("{} is no value of {space:?}", row.kind()),
    }
}

/// The row `index` of a batch of values of `space`.
///
/// # Panics
/// If `batch` does not have the shape that [`create_empty_array`] gives it.
pub fn row(space: &Space, batch: &Value, index: usize) -> Value {
    match (space, batch) {
        (Space::Box { .. }, Value::Array(batch)) => Value::Array(batch.row(index)),
        (Space::Discrete { .. }, Value::Array(batch)) => batch
            .slice::<i64>()
            .map_or(0, |values| values[index])
            .into(),
        (Space::Dict(parts), Value::Dict(batch)) => Value::Dict(
            parts
                .iter()
                .zip(batch.values())
                .map(|((name, part), batch)| (name.clone(), row(part, batch, index)))
                .collect::<Dict>(),
        ),
        (Space::Tuple(parts), Value::List(batch)) => Value::List(
            parts
                .iter()
                .zip(batch)
                .map(|(part, batch)| row(part, batch, index))
                .collect(),
        ),
        (Space::Custom(_), Value::List(batch)) => batch[index].clone(),
        (space, batch) => panic!("{} is no batch of {space:?}", batch.kind()),
    }
}

/// A batch of these values of `space`.
///
/// # Panics
/// If a value does not have the shape of `space`.
pub fn concatenate(space: &Space, rows: impl IntoIterator<Item = Value>) -> Value {
    let rows: Vec<Value> = rows.into_iter().collect();
    let mut batch = create_empty_array(space, rows.len());
    for (index, value) in rows.into_iter().enumerate() {
        set_row(space, &mut batch, index, value);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{seeded, tests::spaces};

    #[test]
    fn batch_space_concatenate_iterate_create_empty_array() {
        for space in spaces() {
            for n in [1, 4] {
                let batched = batch_space(&space, n);
                let mut random = seeded(7);
                let sample = batched.sample(&mut random);
                assert!(batched.contains(&sample));
                assert!((0..n).all(|index| space.contains(&row(&space, &sample, index))));
                assert!(batched.is_shape_of(&create_empty_array(&space, n)));
                let rows: Vec<Value> = (0..n).map(|_| space.sample(&mut random)).collect();
                let batch = concatenate(&space, rows.clone());
                assert!(batched.contains(&batch));
                let back: Vec<Value> = (0..n).map(|index| row(&space, &batch, index)).collect();
                assert_eq!(rows, back);
                assert_eq!(
                    batch_differing_spaces(&vec![space.clone(); n]),
                    Some(batched)
                );
            }
        }
    }

    #[test]
    fn batch_space_deterministic() {
        for space in spaces() {
            for n in [1, 2, 5] {
                let (mut a, mut b, mut other) = (seeded(123), seeded(123), seeded(456));
                let batched = batch_space(&space, n);
                let samples: Vec<Value> = (0..9).map(|_| batched.sample(&mut a)).collect();
                assert!(
                    samples
                        .iter()
                        .all(|sample| *sample == batched.sample(&mut b))
                );
                assert!(
                    samples
                        .iter()
                        .any(|sample| *sample != batched.sample(&mut other))
                );
            }
        }
    }

    #[test]
    fn batch_space_different_samples() {
        for space in spaces() {
            let batch = batch_space(&space, 9).sample(&mut seeded(123));
            let first = row(&space, &batch, 0);
            assert!(
                (1..9).any(|index| row(&space, &batch, index) != first),
                "{space:?}"
            );
        }
    }

    #[test]
    fn custom_space_is_batched_as_a_list() {
        let space = Space::Custom("words".into());
        assert_eq!(
            batch_space(&space, 2),
            Space::Tuple(vec![space.clone(), space.clone()])
        );
        let batch = concatenate(&space, [Value::from("a"), Value::from("b")]);
        assert_eq!(batch, Value::List(vec!["a".into(), "b".into()]));
        assert_eq!(row(&space, &batch, 1), "b".into());
    }

    #[test]
    fn varying_spaces() {
        let spaces = [
            Space::uniform_box(0.0, 1.0, &[2]),
            Space::vector_box(vec![2.0, 2.0], vec![3.0, 5.0]),
        ];
        let batched = batch_differing_spaces(&spaces).unwrap();
        let sample = batched.sample(&mut seeded(3));
        for (index, space) in spaces.iter().enumerate() {
            assert!(space.contains(&row(space, &sample, index)));
        }
        let other = Space::uniform_box(0.0, 1.0, &[3]);
        assert_eq!(batch_differing_spaces(&[spaces[0].clone(), other]), None);
        let discrete = [Space::discrete(2), Space::Discrete { n: 3, start: 5 }];
        assert_eq!(
            batch_differing_spaces(&discrete),
            Some(Space::vector_box(vec![0_i64, 5], vec![1, 7]))
        );
    }
}
