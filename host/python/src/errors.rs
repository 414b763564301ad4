//! Errors of the simulator as the exceptions of Python and Gymnasium.

use crate::run::Defect;
use pusht_core::Error;
use pusht_gym::snapshot::SnapshotError;
use pusht_gym::vector::VectorError;
use pyo3::exceptions::{
    PyFileExistsError, PyFileNotFoundError, PyIsADirectoryError, PyOSError, PyPermissionError,
    PyRuntimeError, PyValueError,
};
use pyo3::{PyErr, import_exception};
use std::io::{self, ErrorKind};

import_exception!(gymnasium.error, ResetNeeded);

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
        "success_threshold" => "success_threshold: a number above 0, at most 1, is supported",
        "keypoint_visible_rate" => "keypoint_visible_rate: a number from 0 to 1 is supported",
        "max_episode_steps" => "max_episode_steps: 1 or more, or None, is supported",
        _ => "a parameter is out of range",
    }
}

/// The exception for an error of a batch.
pub fn refused_batch(error: VectorError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The exception for bytes that are not a snapshot.
pub fn refused_snapshot(error: SnapshotError) -> PyErr {
    PyValueError::new_err(format!("snapshot: {error}"))
}

/// Options of the commands in messages, and the arguments that stand for them in Python.
const OPTIONS: [(&str, &str); 7] = [
    ("--n-action-steps ", "n_action_steps="),
    ("--observation ", "observation="),
    ("--task FILE", "task="),
    ("--live", "weights=\"live\""),
    ("--ema", "weights=\"ema\""),
    ("--resume", "resume=True"),
    ("on --data", "on `observations`"),
];

/// The exception for an error of the commands' functions: an `OSError` for what the operating system
/// refuses, a `RuntimeError` for a defect, else a `ValueError`.
pub fn failed(error: anyhow::Error) -> PyErr {
    let text = OPTIONS
        .iter()
        .fold(format!("{error:#}"), |text, (option, argument)| {
            text.replace(option, argument)
        });
    if error.chain().any(|cause| cause.is::<Defect>()) {
        return PyRuntimeError::new_err(text);
    }
    let of_system = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    match of_system.map(io::Error::kind) {
        None => PyValueError::new_err(text),
        Some(ErrorKind::NotFound) => PyFileNotFoundError::new_err(text),
        Some(ErrorKind::PermissionDenied) => PyPermissionError::new_err(text),
        Some(ErrorKind::AlreadyExists) => PyFileExistsError::new_err(text),
        Some(ErrorKind::IsADirectory) => PyIsADirectoryError::new_err(text),
        Some(_) => PyOSError::new_err(text),
    }
}

/// The exception for a call that needs an episode.
pub fn not_started() -> PyErr {
    ResetNeeded::new_err("call `reset` first")
}

/// The exception for a step of an environment whose episode is over.
pub fn episode_over(index: usize) -> PyErr {
    ResetNeeded::new_err(format!(
        "the episode of environment {index} is over: reset it by options[\"reset_mask\"]"
    ))
}
