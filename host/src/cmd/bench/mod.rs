//! `pusht bench`: what things cost, counted or timed.

pub mod vector;

use anyhow::Result;
use clap::Subcommand;

/// Measures what things cost.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Vector(vector::Args),
}

/// Runs the command.
///
/// # Errors
/// Those of the subcommand.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Vector(args) => vector::run(args),
    }
}
