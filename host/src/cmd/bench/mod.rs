//! `pusht bench`: what things cost, counted or timed.

pub mod env;
pub mod plan;
pub mod sequences;
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
    Env(env::Args),
    Plan(plan::Args),
    Vector(vector::Args),
}

/// Runs the command.
///
/// # Errors
/// Those of the subcommand.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Env(args) => env::run(args),
        What::Plan(args) => plan::run(args),
        What::Vector(args) => vector::run(args),
    }
}
