//! Long work without the interpreter's lock.

use crate::errors::failed;
use anyhow::{Result, anyhow};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Most threads of a call.
const MAX_THREADS: usize = 1024;
/// Longest time until a signal is noticed.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// Result of `work`, which runs without the interpreter's lock.
pub fn unlocked<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(|| caught(work)).map_err(failed)
}

/// Result of `work`, which runs without the interpreter's lock on `n_threads` threads (one per core
/// without). Ctrl-C sets its argument; it returns early then.
pub fn interruptible<T: Send>(
    py: Python<'_>,
    n_threads: Option<usize>,
    work: impl FnOnce(&AtomicBool) -> Result<T> + Send,
) -> PyResult<T> {
    let n_threads = threads(n_threads)?;
    let (stop, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let caller = thread::current();
    let result = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let result = caught(|| {
                // A pool of its own: one that is shared would not outlive a fork.
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
                pool.build()?.install(|| work(&stop))
            });
            done.store(true, Ordering::Release);
            caller.unpark();
            result
        });
        let mut signal = Ok(());
        while !done.load(Ordering::Acquire) {
            py.detach(|| thread::park_timeout(SIGNAL_CHECK));
            if signal.is_ok() {
                signal = py.check_signals();
                stop.store(signal.is_err(), Ordering::Relaxed);
            }
        }
        let result = worker.join().unwrap_or_else(|panic| Err(defect(&*panic)));
        signal.map(|()| result)
    });
    result?.map_err(failed)
}

/// Number of threads for rayon, where 0 stands for one per core.
fn threads(given: Option<usize>) -> PyResult<usize> {
    match given {
        Some(n @ 1..=MAX_THREADS) => Ok(n),
        Some(n) => Err(pyo3::exceptions::PyValueError::new_err(format!(
            "num_threads: {n} is not supported, but 1 to {MAX_THREADS}, or None for one per core"
        ))),
        None => Ok(0),
    }
}

/// Result of `work`, with an error for its panic.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(defect(&*panic)))
}

/// The error for a panic.
fn defect(panic: &(dyn Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow!(Defect).context(format!("a defect of pusht: {}", text.unwrap_or("a panic")))
}

/// The cause of an error that no input explains.
#[derive(Debug)]
pub struct Defect;

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "please report it")
    }
}

impl std::error::Error for Defect {}
