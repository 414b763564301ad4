//! Observations as arguments, in any form that the policy's checks take.

use crate::arrays::array;
use crate::errors::failed;
use anyhow::Context;
use pusht_host::plan_input::Checks;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Keys of an `environment_state_agent_pos` observation, in the order of a policy's values.
const PARTS: [&str; 2] = ["environment_state", "agent_pos"];

/// Observations of the policy.
pub struct Observations {
    /// The policy's values, row by row.
    pub values: Vec<f64>,
    /// Extents of all axes but the last.
    pub shape: Vec<usize>,
}

/// The observations in `value`: an array, or a dictionary of the arrays of
/// `environment_state_agent_pos`.
pub fn observations(value: &Bound<'_, PyAny>, checks: &Checks) -> PyResult<Observations> {
    let (values, mut shape) = match value.cast::<PyDict>() {
        Ok(parts) => joined(parts)?,
        Err(_) => array(value)?,
    };
    let len = shape.pop().unwrap_or_default();
    let mut rows = Vec::with_capacity(values.len() / len.max(1) * checks.shape.obs_dim);
    for (index, row) in values.chunks_exact(len.max(1)).enumerate() {
        let row = checks.observation(row);
        let row = row.with_context(|| format!("observation{}", place(index, &shape)));
        rows.extend(row.map_err(failed)?);
    }
    Ok(Observations {
        values: rows,
        shape,
    })
}

/// The place of row `index` in an array of rows with these extents, as an index in Python.
fn place(index: usize, shape: &[usize]) -> String {
    let mut rest = index;
    let mut indices = Vec::new();
    for extent in shape.iter().rev() {
        indices.push((rest % extent).to_string());
        rest /= extent;
    }
    indices.reverse();
    match indices.is_empty() {
        true => String::new(),
        false => format!("[{}]", indices.join(", ")),
    }
}

/// The arrays of a dictionary, one after the other along the last axis.
fn joined(parts: &Bound<'_, PyDict>) -> PyResult<(Vec<f64>, Vec<usize>)> {
    let part = |key: &str| {
        let value = parts.get_item(key)?.ok_or_else(|| {
            PyValueError::new_err(format!(
                "observation: it has no {key:?}, but an array or a dictionary with {:?} and {:?} is needed",
                PARTS[0], PARTS[1]
            ))
        });
        array(&value?)
    };
    let [(first, first_shape), (second, second_shape)] = [part(PARTS[0])?, part(PARTS[1])?];
    let (Some((a, outer)), Some((b, outer_of_second))) =
        (first_shape.split_last(), second_shape.split_last())
    else {
        return Err(PyTypeError::new_err(
            "observation: its parts are not arrays",
        ));
    };
    if outer != outer_of_second {
        return Err(PyValueError::new_err(format!(
            "observation: its {:?} has shape {first_shape:?}, its {:?} {second_shape:?}",
            PARTS[0], PARTS[1]
        )));
    }
    let rows = first
        .chunks_exact((*a).max(1))
        .zip(second.chunks_exact((*b).max(1)));
    let values = rows
        .flat_map(|(first, second)| [first, second].concat())
        .collect();
    Ok((values, [outer, &[a + b]].concat()))
}
