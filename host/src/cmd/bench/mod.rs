//! `pusht bench`: counts and timings.

pub mod env;
pub mod pixels;
pub mod plan;
pub mod python;
pub mod robustness;
pub mod sequences;
pub mod vector;

use anyhow::Result;
use clap::Subcommand;
use std::ops::RangeInclusive;

/// Durations of a measurement, s.
const SECONDS: RangeInclusive<f64> = 0.001..=3600.0;

/// Measures the cost of simulation and planning.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Env(env::Args),
    Pixels(pixels::Args),
    Plan(plan::Args),
    Robustness(robustness::Args),
    Vector(vector::Args),
}

/// Runs the command.
///
/// # Errors
/// If the subcommand fails.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Env(args) => env::run(args),
        What::Pixels(args) => pixels::run(args),
        What::Plan(args) => plan::run(args),
        What::Robustness(args) => robustness::run(args),
        What::Vector(args) => vector::run(args),
    }
}
