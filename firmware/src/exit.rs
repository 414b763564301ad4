//! Ends a run with an exit code.

/// Ends a successful run: exit code 0.
pub fn success() -> ! {
    semihosting::process::exit(0)
}

/// Ends a failed run: exit code 1.
pub fn failure() -> ! {
    semihosting::process::exit(1)
}
