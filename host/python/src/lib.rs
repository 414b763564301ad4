//! The compiled half of the Python package `pusht`; the other half, in `pusht/`, has Gymnasium's
//! classes.
//!
//! [`env`] is one environment, [`batch`] many as one; [`options`] are their arguments. A step's
//! results become NumPy arrays in [`observations`] and [`infos`]. [`arrays`] takes arrays as
//! arguments, [`errors`] has the exceptions, [`random`] shows a seed's generator as NumPy's.

mod arrays;
mod batch;
mod env;
mod errors;
mod infos;
mod observations;
mod options;
mod random;

use pyo3::prelude::*;

/// The compiled half of the package `pusht`.
#[pymodule]
fn _pusht(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<env::Env>()?;
    module.add_class::<batch::Batch>()?;
    module.add_function(wrap_pyfunction!(env::legacy_start, module)?)?;
    Ok(())
}
