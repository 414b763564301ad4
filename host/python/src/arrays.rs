//! NumPy arrays as arguments.

use numpy::{PyArray1, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// `numpy.float64`, the type of gym-pusht's rewards.
pub fn float64(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyAny>> {
    static FLOAT64: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FLOAT64.import(py, "numpy", "float64")?.call1((value,))
}

/// `value` as a C-contiguous array of f64: the same object if it is one.
pub fn as_f64<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static ASCONTIGUOUSARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    ASCONTIGUOUSARRAY
        .import(py, "numpy", "ascontiguousarray")?
        .call1((value, float64_type(py)?))
}

fn float64_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static FLOAT64: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FLOAT64.import(py, "numpy", "float64")
}

/// The `N` numbers of `value`, an array or sequence of any numeric type.
pub fn numbers<const N: usize>(name: &str, value: &Bound<'_, PyAny>) -> PyResult<[f64; N]> {
    if let Ok(array) = value.cast::<PyArray1<f64>>() {
        if let Ok(numbers) = array.readonly().as_slice()?.try_into() {
            return Ok(numbers);
        }
    } else if let Ok(array) = value.cast::<PyArray1<f32>>() {
        let array = array.readonly();
        let numbers: Result<[f32; N], _> = array.as_slice()?.try_into();
        if let Ok(numbers) = numbers {
            return Ok(numbers.map(f64::from));
        }
    } else {
        let array = as_f64(value)?;
        if let Ok(array) = array.cast::<PyArray1<f64>>()
            && let Ok(numbers) = array.readonly().as_slice()?.try_into()
        {
            return Ok(numbers);
        }
    }
    let shape = as_f64(value)?.getattr("shape")?;
    Err(PyValueError::new_err(format!(
        "{name}: {N} numbers are needed, but its shape is {shape}"
    )))
}
