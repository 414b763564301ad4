//! gym-pusht's pictures of one environment.

use numpy::{PyArray3, PyArrayMethods};
use pusht_core::pusht::env::PushTEnv;
use pusht_gym::pixels::{Frame, PictureError, Renderer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::cell::RefCell;

/// Width and height, pixels.
pub type Size = [usize; 2];

/// The picture of an environment as an array, (height, width, 3), with the marker of `action`, px.
pub fn picture<'py>(
    py: Python<'py>,
    env: &PushTEnv,
    [width, height]: Size,
    action: Option<[f64; 2]>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    thread_local! {
        static RENDERER: RefCell<Renderer> = RefCell::new(Renderer::new());
    }
    let picture = PyArray3::zeros(py, [height, width, 3], false);
    let frame = Frame::of_env(env);
    RENDERER.with_borrow_mut(|renderer| {
        let mut picture = picture.readwrite();
        let drawn = renderer.render(&frame, width, height, action, picture.as_slice_mut()?);
        drawn.map_err(refused_picture)
    })?;
    Ok(picture)
}

/// The exception for a picture that was not drawn.
pub fn refused_picture(error: PictureError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
