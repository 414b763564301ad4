//! Seeds as arguments.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::ops::Range;

/// Most seeds of an argument.
pub const MAX_SEEDS: usize = pusht_host::arguments::MAX_SEEDS as usize;

/// The seeds of `value`: a range, an array or another iterable of integers.
pub fn seeds(value: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
    let items = value.try_iter().map_err(|_| {
        PyTypeError::new_err("seeds: a range or a sequence of integers is needed, as range(0, 50)")
    })?;
    let seeds = items.take(MAX_SEEDS + 1).map(|item| seed(&item?));
    let seeds: Vec<u64> = seeds.collect::<PyResult<_>>()?;
    if seeds.len() > MAX_SEEDS {
        return Err(PyValueError::new_err(format!(
            "seeds: more than {MAX_SEEDS} are given, which is the most that is supported"
        )));
    }
    Ok(seeds)
}

/// The seed `value`.
pub fn seed(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyTypeError>(value.py()) {
            return PyTypeError::new_err(format!("seed: {value} is not an integer"));
        }
        PyValueError::new_err(format!("seed: {value} is not 0 to 2^64 - 1"))
    })
}

/// The seeds of `value`, which follow one another.
pub fn range(value: &Bound<'_, PyAny>) -> PyResult<Range<u64>> {
    let seeds = seeds(value)?;
    let follow = |pair: &[u64]| pair[0].checked_add(1) == Some(pair[1]);
    match (seeds.first(), seeds.last()) {
        (Some(first), Some(last)) if *last < u64::MAX && seeds.windows(2).all(follow) => {
            Ok(*first..last + 1)
        }
        _ => Err(PyValueError::new_err(
            "seeds: one or more that follow one another are needed, as range(1000000, 1000100)",
        )),
    }
}
