//! NumPy arrays as arguments, and NumPy's numbers as results.

use numpy::{PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// A number as `numpy.float64`, the type of gym-pusht's rewards.
pub fn float64(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyAny>> {
    float64_type(py)?.call1((value,))
}

fn float64_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static FLOAT64: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FLOAT64.import(py, "numpy", "float64")
}

/// `value` as a C-contiguous array of f64.
fn contiguous<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static ASCONTIGUOUSARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    ASCONTIGUOUSARRAY
        .import(py, "numpy", "ascontiguousarray")?
        .call1((value, float64_type(py)?))
}

fn wrong_shape(name: &str, needed: &str, array: &Bound<'_, PyAny>) -> PyErr {
    let shape = array.getattr("shape").map(|shape| shape.to_string());
    PyValueError::new_err(format!(
        "{name}: an array of shape {needed} is needed, one of shape {} is given",
        shape.unwrap_or_default()
    ))
}

/// The numbers of `value`, an array or nested sequence of any numeric type, with its shape.
pub fn array(value: &Bound<'_, PyAny>) -> PyResult<(Vec<f64>, Vec<usize>)> {
    let array = contiguous(value)?.cast_into::<PyArrayDyn<f64>>()?;
    let values = array.try_readonly()?.as_slice()?.to_vec();
    Ok((values, array.shape().to_vec()))
}

/// The `N` numbers of `value`, an array or sequence of any numeric type.
pub fn numbers<const N: usize>(name: &str, value: &Bound<'_, PyAny>) -> PyResult<[f64; N]> {
    if let Ok(array) = value.cast::<PyArray1<f32>>()
        && let Ok(values) = array.try_readonly()?.as_slice()
        && let Ok(values) = <[f32; N]>::try_from(values)
    {
        return Ok(values.map(f64::from));
    }
    let array = contiguous(value)?;
    if let Ok(values) = array.cast::<PyArray1<f64>>()
        && let Ok(values) = values.try_readonly()?.as_slice()?.try_into()
    {
        return Ok(values);
    }
    Err(wrong_shape(name, &format!("({N},)"), &array))
}

/// The `n` pairs of `value`, an array or sequence of any numeric type.
pub fn pairs(name: &str, value: &Bound<'_, PyAny>, n: usize) -> PyResult<Vec<[f64; 2]>> {
    if let Ok(array) = value.cast::<PyArray2<f32>>()
        && array.is_c_contiguous()
        && let Ok(values) = array.try_readonly()?.as_slice()
        && let (values, []) = values.as_chunks::<2>()
        && array.dims()[1] == 2
        && values.len() == n
    {
        return Ok(values.iter().map(|pair| pair.map(f64::from)).collect());
    }
    let array = contiguous(value)?;
    if let Ok(pairs) = array.cast::<PyArray2<f64>>()
        && pairs.dims()[1] == 2
        && pairs.dims()[0] == n
    {
        return Ok(pairs.try_readonly()?.as_slice()?.as_chunks().0.to_vec());
    }
    if value.try_iter().is_err() {
        let what = value.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "{name}: an array of shape ({n}, 2) is needed, {what} is given"
        )));
    }
    Err(wrong_shape(name, &format!("({n}, 2)"), &array))
}
