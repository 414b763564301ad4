//! `pusht eval`.

use crate::arguments::{seeds, whole};
use crate::console;
use crate::engine::{Engine, EngineKind, PolicyArgs};
use crate::evaluate::{Evaluation, TimedEvaluation, evaluate, start};
use crate::outln;
use crate::output::{check_file, write_whole};
use anyhow::Result;
use pusht_core::pusht::env::Seeding;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Score a policy over many episodes.
///
/// Prints the mean over episodes of the largest reward (the published score) and of the largest
/// coverage, the success rate (coverage above 0.95 within 300 steps) with its 95 % confidence
/// interval (Wilson), the time per plan, and the seeds of the failed episodes (to be shown with
/// `pusht render --seed`). A seed sets both the start state and the policy's noise.
///
/// All cores play (RAYON_NUM_THREADS sets their number), each up to eight episodes at the same
/// time, whose plans the integer engine computes as a batch. The scores do not depend on either.
#[derive(clap::Args)]
#[command(
    after_help = "Example: pusht eval --engine float --seeds 100000..100050 --json scores.json"
)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Seeds A..B of the episodes, B excluded
    #[arg(long, value_name = "A..B", default_value = "100000..100050", value_parser = seeds)]
    seeds: Range<u64>,
    /// Mapping from a seed to a start state: that of diffusion_policy or of gym-pusht 0.1.8
    #[arg(long, value_enum, default_value = "legacy")]
    seeding: SeedingArg,
    /// Passes of the network per plan [default: that of the policy file]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1000))]
    passes: Option<usize>,
    /// JSON file for the scores of every episode
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// [`Seeding`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SeedingArg {
    /// NumPy's `RandomState`: diffusion_policy, gym-pusht up to 0.1.5, and the published scores
    Legacy,
    /// NumPy's `default_rng`: gym-pusht 0.1.8
    Pcg64,
}

impl From<SeedingArg> for Seeding {
    fn from(seeding: SeedingArg) -> Self {
        match seeding {
            SeedingArg::Legacy => Self::Legacy,
            SeedingArg::Pcg64 => Self::Pcg64,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If the policy can't be loaded or the JSON file can't be written.
pub fn run(args: &Args) -> Result<()> {
    args.json.as_deref().map_or(Ok(()), check_file)?;
    // The last one, before any of them is played.
    start(args.seeds.end - 1, args.seeding.into())?;
    let engine = Engine::load(&args.policy)?;
    let engine = match args.passes {
        Some(passes) => engine.with_passes(passes, &args.policy)?,
        None => engine,
    };
    let progress = console::progress_bar("episodes");
    let seeds: Vec<u64> = args.seeds.clone().collect();
    let never = AtomicBool::new(false);
    let timed = evaluate(&engine, &seeds, args.seeding.into(), &never, &progress)?;
    progress.finish_and_clear();
    if let Some(path) = &args.json {
        let mut json = serde_json::to_vec_pretty(&timed.evaluation)?;
        json.push(b'\n');
        write_whole(path, &json)?;
    }
    print_scores(&engine, &timed);
    Ok(())
}

/// Prints the table of an evaluation.
pub fn print_scores(engine: &Engine, timed: &TimedEvaluation) {
    let scores = &timed.evaluation;
    let n = scores.episodes.len();
    let successes = scores.episodes.iter().filter(|e| e.success).count();
    let [low, high] = scores.success_ci95.map(|share| 100.0 * share);
    let arithmetic = match engine.kind() {
        EngineKind::Int => "integer",
        EngineKind::Float => "float",
    };
    outln!("{:<20} {n}", "episodes");
    outln!(
        "{:<20} {arithmetic}, {} passes a plan",
        "engine",
        engine.passes()
    );
    outln!("{:<20} {:.4}", "mean max reward", scores.mean_max_reward);
    outln!(
        "{:<20} {:.4}",
        "mean max coverage",
        scores.mean_max_coverage
    );
    outln!(
        "{:<20} {:.1} %  ({successes} of {n}; 95 % interval {low:.1} to {high:.1} %)",
        "success rate",
        100.0 * scores.success_rate,
    );
    print_failures(scores);
    let milliseconds = 1e3 * timed.planning.as_secs_f64() / f64::from(timed.plans.max(1));
    outln!(
        "{:<20} {milliseconds:.2} ms  (mean of {} plans)",
        "time a plan",
        timed.plans
    );
}

/// Prints the seeds of the failed episodes, in descending order of coverage.
fn print_failures(scores: &Evaluation) {
    const SHOWN: usize = 8;
    let mut failures: Vec<_> = scores.episodes.iter().filter(|e| !e.success).collect();
    if failures.is_empty() {
        return;
    }
    failures.sort_by(|a, b| b.max_coverage.total_cmp(&a.max_coverage));
    let shown: Vec<String> = (failures.iter().take(SHOWN))
        .map(|e| format!("{} ({:.3})", e.seed, e.max_coverage))
        .collect();
    let more = match failures.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more, see --json"),
    };
    outln!("{:<20} {}{more}", "failed (coverage)", shown.join(", "));
}
