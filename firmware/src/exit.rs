//! How a run ends.

/// Ends a run in which all was well: exit code 0.
pub fn success() -> ! {
    semihosting::process::exit(0)
}

/// Ends a run in which something was wrong: exit code 1.
pub fn failure() -> ! {
    semihosting::process::exit(1)
}
