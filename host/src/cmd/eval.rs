//! `pusht eval`.

use crate::arguments::{seeds, whole};
use crate::console;
use crate::engine::{Engine, EngineKind, PolicyArgs};
use crate::evaluate::disturbances::{NAMES, STANDARD, parse_all, parse_one};
use crate::evaluate::statistics::Estimate;
use crate::evaluate::{Conditions, Evaluation, TimedEvaluation, evaluate, start};
use crate::outln;
use crate::output::{check_file, write_json};
use anyhow::Result;
use pusht_core::pusht::env::Seeding;
use serde::Serialize;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Score a policy over many episodes.
///
/// Prints the mean over episodes of the largest reward (the published score) and of the largest
/// coverage, the success rate (coverage above 0.95 within 300 steps) with its 95 % confidence
/// interval (Wilson), control steps to success (an episode without success counts as longer than
/// any), the coverage at the end and the length of the agent's way with their 95 % intervals, the
/// time per plan, and the seeds of the failed episodes (to be shown with `pusht render --seed`). A
/// seed sets the start state, the policy's noise and the disturbances. Of a single episode it also
/// prints the digests of all actions and states, as the firmware and the browser page do.
///
/// --disturb adds a disturbance; several act together. --disturbances standard plays every member
/// of the standard set (docs/robustness.md) and prints a row for each.
///
/// All cores play (RAYON_NUM_THREADS sets their number), each up to eight episodes at the same
/// time, whose plans the integer engine computes as a batch. The scores do not depend on either.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  \
    pusht eval --engine float --seeds 100000..100050 --json scores.json\n  \
    pusht eval --disturb observation-noise=4,0.04 --disturb action-latency=0-3 --estimator\n  \
    pusht eval --disturbances standard --seeds 400000..401000",
    after_long_help = NAMES
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
    #[command(flatten)]
    conditions: ConditionArgs,
    /// Play every disturbance of a set; those of --disturb act in addition
    #[arg(long, value_enum, value_name = "SET")]
    disturbances: Option<Set>,
    /// JSON file for the scores of every episode
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The conditions of episodes.
#[derive(Clone, Debug, clap::Args)]
pub struct ConditionArgs {
    /// Disturbance NAME=VALUE, once or several times; the names are below (--help)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_one)]
    disturb: Vec<String>,
    /// Put the estimator before the policy: it predicts with the simulator against noise, latency
    /// and loss
    #[arg(long)]
    estimator: bool,
    /// Go on after success for 300 steps: does the policy hold what it reached?
    #[arg(long)]
    to_the_end: bool,
}

impl ConditionArgs {
    /// The conditions, with the disturbances `more` in addition.
    ///
    /// # Errors
    /// If a disturbance is out of its range.
    pub fn conditions(&self, more: &[&str]) -> Result<Conditions> {
        let given = self.disturb.iter().map(String::as_str);
        let texts: Vec<&str> = given.chain(more.iter().copied()).collect();
        Ok(Conditions {
            disturbances: parse_all(&texts)?,
            estimator: self.estimator,
            to_the_end: self.to_the_end,
        })
    }
}

/// A named set of disturbances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Set {
    /// Those of docs/robustness.md
    Standard,
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
    if args.disturbances == Some(Set::Standard) {
        return run_set(args, &engine);
    }
    let timed = play(args, &engine, &[])?;
    if let Some(path) = &args.json {
        write_json(path, &timed.evaluation)?;
    }
    print_scores(&engine, &timed);
    Ok(())
}

/// Plays the episodes under the disturbances of the command line and `more`.
fn play(args: &Args, engine: &Engine, more: &[&str]) -> Result<TimedEvaluation> {
    let conditions = args.conditions.conditions(more)?;
    let progress = console::progress_bar("episodes");
    let seeds: Vec<u64> = args.seeds.clone().collect();
    let never = AtomicBool::new(false);
    let seeding = args.seeding.into();
    let timed = evaluate(engine, &seeds, seeding, &conditions, &never, &progress)?;
    progress.finish_and_clear();
    Ok(timed)
}

/// The scores under a member of a set.
#[derive(Serialize)]
struct OfSet {
    name: &'static str,
    disturbances: &'static [&'static str],
    scores: Evaluation,
}

fn run_set(args: &Args, engine: &Engine) -> Result<()> {
    outln!("success, 95 % interval, steps to success (median, 95th percentile), disturbance");
    let mut all = Vec::new();
    for (name, texts) in STANDARD {
        let scores = play(args, engine, texts)?.evaluation;
        let [low, high] = scores.success_ci95.map(|share| 100.0 * share);
        outln!(
            "{:>6.1} %  {low:>5.1} to {high:>5.1} %  {:>5} {:>5}  {name}: {}",
            100.0 * scores.success_rate,
            steps(&scores.median_steps_to_success.value),
            steps(&scores.p95_steps_to_success.value),
            texts.join(" "),
        );
        all.push(OfSet {
            name,
            disturbances: texts,
            scores,
        });
    }
    (args.json.as_ref()).map_or(Ok(()), |path| write_json(path, &all))
}

/// A number of steps; `never` where too many episodes did not succeed.
fn steps(value: &Option<f64>) -> String {
    value.map_or("never".to_owned(), |steps| format!("{steps:.0}"))
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
    for (name, estimate) in [
        ("steps, median", &scores.median_steps_to_success),
        ("steps, 95th perc.", &scores.p95_steps_to_success),
    ] {
        let Estimate { value, ci95 } = estimate;
        let [low, high] = ci95.map(|end| steps(&end));
        outln!(
            "{name:<20} {}  (95 % interval {low} to {high})",
            steps(value)
        );
    }
    print_mean("coverage at the end", 4, "", &scores.mean_final_coverage);
    print_mean("agent's way", 0, " px", &scores.mean_way_px);
    print_failures(scores);
    if let [only] = scores.episodes.as_slice() {
        outln!("{:<20} {:#018x}", "digest of actions", only.action_digest);
        outln!("{:<20} {:#018x}", "digest of states", only.state_digest);
    }
    let milliseconds = 1e3 * timed.planning.as_secs_f64() / f64::from(timed.plans.max(1));
    outln!(
        "{:<20} {milliseconds:.2} ms  (mean of {} plans)",
        "time a plan",
        timed.plans
    );
}

fn print_mean(name: &str, digits: usize, unit: &str, estimate: &Estimate) {
    if let (Some(mean), [Some(low), Some(high)]) = (estimate.value, estimate.ci95) {
        outln!(
            "{name:<20} {mean:.digits$}{unit}  (95 % interval {low:.digits$} to {high:.digits$}{unit})"
        );
    }
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
