//! The compiled half of the Python package `pusht`: [`env`] is one environment, [`options`] its
//! arguments, [`errors`] the exceptions. The other half, in `pusht/`, has Gymnasium's classes.

mod arrays;
mod env;
mod errors;
mod options;

use pyo3::prelude::*;

/// The compiled half of the package `pusht`.
#[pymodule]
fn _pusht(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<env::Env>()?;
    module.add_function(wrap_pyfunction!(env::legacy_start, module)?)?;
    Ok(())
}
