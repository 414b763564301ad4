//! Seeds as arguments.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// The seeds of `value`: a range, an array or another iterable of integers.
pub fn seeds(value: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
    let items = value.try_iter().map_err(|_| {
        PyTypeError::new_err("seeds: a range or a sequence of integers is needed, as range(0, 50)")
    })?;
    items.map(|item| seed(&item?)).collect()
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
