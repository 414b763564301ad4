//! Combines the infos of sub-environments.

use crate::value::{Array, Dict, Value};

/// Combines one info (or `None`) per sub-environment into a dictionary: `VectorEnv._add_info`. For
/// each name that occurs, `name` holds the values and `_name` a boolean array (n) of which
/// sub-environments have one.
///
/// Numbers and booleans become an array (n), with 0 where a value is missing. Arrays of equal type
/// and shape are stacked. Dictionaries are combined recursively. Everything else, and `final_obs`,
/// becomes a list, with [`Value::None`] where a value is missing.
///
/// A value named `_x` is left out where another one is named `x`, since `_x` says which
/// sub-environments have that. (In Gymnasium one of them overwrites the other.)
pub fn batch_infos(infos: &[Option<&Dict>]) -> Dict {
    let mut names: Vec<&String> = infos
        .iter()
        .flatten()
        .flat_map(|info| info.keys())
        .collect();
    names.sort();
    names.dedup();
    let mut batched = Dict::new();
    let is_taken =
        |name: &str| base(name).is_some_and(|base| names.iter().any(|n| n.as_str() == base));
    for name in names.iter().copied().filter(|name| !is_taken(name)) {
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

/// The `x` of a name `_x`.
fn base(name: &str) -> Option<&str> {
    name.strip_prefix('_')
}

/// A name in the info of sub-environment `index`, or in a dictionary there, that [`batch_infos`]
/// leaves out.
pub(super) fn taken_name(infos: &[Option<&Dict>], index: usize) -> Option<String> {
    let of_all = |name: &str| {
        let values = infos
            .iter()
            .map(|info| info.and_then(|info| info.get(name)));
        values.map(|value| value.and_then(Value::as_dict)).collect()
    };
    infos[index]?.iter().find_map(|(name, value)| {
        let has = |base: &str| infos.iter().flatten().any(|info| info.contains_key(base));
        if base(name).is_some_and(has) {
            return Some(name.clone());
        }
        value.as_dict()?;
        let parts: Vec<Option<&Dict>> = of_all(name);
        taken_name(&parts, index).map(|part| format!("{name}.{part}"))
    })
}

/// Stacks values, with zeros or [`Value::None`] where one is missing.
pub(crate) fn stack_values(values: &[Option<&Value>]) -> Value {
    let present = || values.iter().flatten().copied();
    if present().all(|value| value.as_bool().is_some()) {
        return numbers(values, |value| value.as_bool());
    }
    if present().all(|value| value.as_int().is_some()) {
        return numbers(values, |value| value.as_int());
    }
    if present().all(|value| matches!(value, Value::Int(_))) {
        // Some are beyond 64 bits with a sign.
        return list(values);
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

/// Stacks arrays of equal type and shape.
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
