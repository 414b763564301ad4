//! Errors of the simulator as Python's exceptions.

use pusht_core::Error;
use pyo3::exceptions::PyValueError;
use pyo3::{PyErr, create_exception};

create_exception!(
    _pusht,
    NotStarted,
    pyo3::exceptions::PyException,
    "Raised when an environment is used before its first reset."
);

/// The exception for an error of the simulator.
pub fn refused(error: Error) -> PyErr {
    PyValueError::new_err(match error {
        Error::InvalidParameter { what } => invalid(what).to_owned(),
        Error::NonFiniteAction => "action: a NaN or infinite coordinate is not supported".into(),
        Error::NonFiniteState => "reset_to_state: a NaN or infinite value is not supported".into(),
        other => other.to_string(),
    })
}

/// What is wrong with a parameter of the simulator, under its name in Python.
fn invalid(what: &str) -> &'static str {
    match what {
        "block_cog_px" => "block_cog: two coordinates from -1e6 to 1e6 are supported",
        "damping" => "damping: a number from 0 to 1 is supported",
        "goal_px" => "goal_pose: coordinates from -1e6 to 1e6 are supported",
        "goal_angle_rad" => "goal_pose: an angle from -1e6 to 1e6 is supported",
        "success_threshold" => "success_threshold: a number above 0 and not above 1 is supported",
        _ => "a parameter is out of range",
    }
}

/// The exception for a call that needs an episode.
pub fn not_started() -> PyErr {
    NotStarted::new_err("call `reset` first")
}
