//! `pusht` without a command.

/// Runs the command.
///
/// # Errors
/// Always, until it is written.
pub fn run() -> anyhow::Result<()> {
    anyhow::bail!("not written yet")
}
