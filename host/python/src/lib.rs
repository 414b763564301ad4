//! The compiled half of the Python package `pusht`; the other half, in `pusht/`, has Gymnasium's
//! classes.
//!
//! [`env`] is one environment, [`batch`] many as one; [`options`] are their arguments. A step's
//! results become NumPy arrays in [`observations`], with [`pictures`], and [`infos`]. [`policy`] is a
//! policy, [`convert`] makes one of a checkpoint, [`evaluate`] scores it, [`collect`] records the
//! planner's demonstrations. [`arrays`] and [`seeds`] take arguments, [`errors`] has the exceptions,
//! [`random`] shows a seed's generator as NumPy's, [`run`] works without the interpreter's lock,
//! [`bench`] measures Rust's own speed.

// The map above is for readers of the source: Python sees no module.
#![allow(rustdoc::private_intra_doc_links)]

mod arrays;
mod batch;
mod bench;
mod collect;
mod convert;
mod env;
mod errors;
mod evaluate;
mod infos;
mod observations;
mod options;
mod pictures;
mod policy;
mod random;
mod run;
mod seeds;

use pyo3::prelude::*;

/// The compiled half of the package `pusht`.
#[pymodule]
fn _pusht(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("MAX_SEEDS", seeds::MAX_SEEDS)?;
    module.add_class::<env::Env>()?;
    module.add_class::<batch::Batch>()?;
    module.add_function(wrap_pyfunction!(env::legacy_start, module)?)?;
    module.add_function(wrap_pyfunction!(bench::batch_rate, module)?)?;
    module.add_class::<policy::Policy>()?;
    module.add_function(wrap_pyfunction!(convert::import_checkpoint, module)?)?;
    module.add_function(wrap_pyfunction!(convert::quantize, module)?)?;
    module.add_function(wrap_pyfunction!(convert::info, module)?)?;
    module.add_function(wrap_pyfunction!(evaluate::evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(evaluate::wilson_ci95, module)?)?;
    module.add_function(wrap_pyfunction!(collect::collect, module)?)?;
    module.add_function(wrap_pyfunction!(collect::join, module)?)?;
    Ok(())
}
