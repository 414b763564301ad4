//! The program that worker processes run.

use std::ffi::OsString;
use std::path::PathBuf;

/// The program that worker processes run. It must call [`run_if_worker`](super::run_if_worker)
/// before anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerProgram {
    /// Path of the program; `None`: the running program itself.
    pub path: Option<PathBuf>,
    /// Command-line arguments with which the program reaches that call.
    pub arguments: Vec<OsString>,
    /// Whether its standard output is discarded; otherwise it goes to standard error.
    pub is_quiet: bool,
}
