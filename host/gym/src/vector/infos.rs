//! The `info`s of several environments as one.

use crate::value::{Array, Dict, Value};

/// The `info` of each environment (`None`: it has none) as one: under each name that any has, an array with a value for
/// each environment, and under `_name` whether it is that environment's.
///
/// Numbers and flags become an array with 0 for those who have none, arrays that are alike become the rows of
/// one, dictionaries are put together the same way. Everything else, and `final_obs`, becomes a list with
/// [`Value::None`].
pub fn batch_infos(infos: &[Option<&Dict>]) -> Dict {
    let mut names: Vec<&String> = infos
        .iter()
        .flatten()
        .flat_map(|info| info.keys())
        .collect();
    names.sort();
    names.dedup();
    let mut batched = Dict::new();
    for name in names {
        let values: Vec<Option<&Value>> = infos
            .iter()
            .map(|info| info.and_then(|info| info.get(name)))
            .collect();
        let mask: Vec<bool> = values.iter().map(Option::is_some).collect();
        let all = if name == "final_obs" {
            list(&values)
        } else {
            stack_values(&values)
        };
        batched.insert(name.clone(), all);
        batched.insert(format!("_{name}"), mask.into());
    }
    batched
}

/// Values as one, with zeros or nothing for those that are missing.
pub(crate) fn stack_values(values: &[Option<&Value>]) -> Value {
    let present = || values.iter().flatten().copied();
    if present().all(|value| value.as_bool().is_some()) {
        return numbers(values, |value| value.as_bool());
    }
    if present().all(|value| value.as_int().is_some()) {
        return numbers(values, |value| value.as_int());
    }
    if present().all(|value| value.as_float().is_some()) {
        return numbers(values, |value| value.as_float());
    }
    if present().all(|value| value.as_dict().is_some()) {
        let parts: Vec<Option<&Dict>> = values
            .iter()
            .map(|value| value.and_then(Value::as_dict))
            .collect();
        return batch_infos(&parts).into();
    }
    rows(values).unwrap_or_else(|| list(values))
}

fn numbers<T: crate::value::Element + Default>(
    values: &[Option<&Value>],
    number: impl Fn(&Value) -> Option<T>,
) -> Value {
    let numbers: Vec<T> = values
        .iter()
        .map(|value| value.and_then(&number).unwrap_or_default())
        .collect();
    numbers.into()
}

/// Arrays that are alike as the rows of one.
fn rows(values: &[Option<&Value>]) -> Option<Value> {
    let first = values.iter().flatten().next()?.as_array()?;
    let zeros = Array::zeros(first.dtype(), first.shape());
    let rows = values
        .iter()
        .map(|value| match value {
            Some(value) => value.as_array(),
            None => Some(&zeros),
        })
        .collect::<Option<Vec<_>>>()?;
    Array::stack(rows).map(Value::Array)
}

fn list(values: &[Option<&Value>]) -> Value {
    Value::List(
        values
            .iter()
            .map(|value| value.cloned().unwrap_or_default())
            .collect(),
    )
}
