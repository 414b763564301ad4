//! `pusht compare`.

use super::eval::{ConditionArgs, SeedingArg};
use crate::arguments::{number, seeds, whole};
use crate::console;
use crate::engine::{Engine, PolicyArgs};
use crate::evaluate::paired::SequentialMcnemar;
use crate::evaluate::{Conditions, evaluate, start};
use crate::outln;
use crate::output::{check_file, write_json};
use anyhow::Result;
use indicatif::ProgressBar;
use serde::Serialize;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Find out which of two policies is better.
///
/// Both play the same seeds, in batches. After each batch an exact McNemar test with alpha spending
/// looks at the pairs with different outcomes, and the command stops as soon as it finds a
/// difference (the problem: STEP, arXiv 2503.10966). If the policies are equally good, it finds one
/// with a probability of at most --error-rate, however many looks there are.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: pusht compare a.ptm b.ptm --disturb observation-noise=4,0.04",
    after_long_help = crate::evaluate::disturbances::NAMES
)]
pub struct Args {
    /// The first policy
    a: PathBuf,
    /// The second policy; may be the same file with other options
    b: PathBuf,
    /// Seeds A..B of the episodes, B excluded: the most that are played
    #[arg(long, value_name = "A..B", default_value = "200000..202000", value_parser = seeds)]
    seeds: Range<u64>,
    /// Mapping from a seed to a start state
    #[arg(long, value_enum, default_value = "legacy")]
    seeding: SeedingArg,
    /// Probability of finding a difference between equally good policies
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = number(1e-6..=0.5))]
    error_rate: f64,
    /// Pairs of episodes between two looks
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<usize>(1..=100_000))]
    look_every: usize,
    #[command(flatten)]
    conditions: ConditionArgs,
    /// Put the estimator before the second policy only
    #[arg(long, conflicts_with = "estimator")]
    estimator_b: bool,
    /// Actions executed per plan of the second policy [default: that of its file]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=64))]
    n_action_steps_b: Option<usize>,
    /// JSON file for the result
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is found.
#[derive(Serialize)]
struct Found {
    /// The better policy: `a`, `b` or none.
    better: Option<&'static str>,
    pairs: usize,
    successes_a: usize,
    successes_b: usize,
    only_a: usize,
    only_b: usize,
}

/// Runs the command.
///
/// # Errors
/// If a policy can't be loaded or refuses a state, or the JSON file can't be written.
pub fn run(args: &Args) -> Result<()> {
    args.json.as_deref().map_or(Ok(()), check_file)?;
    start(args.seeds.end - 1, args.seeding.into())?;
    let load = |path: &PathBuf, n_action_steps| {
        Engine::load(&PolicyArgs {
            policy: Some(path.clone()),
            n_action_steps,
            ..PolicyArgs::default()
        })
    };
    let engines = [load(&args.a, None)?, load(&args.b, args.n_action_steps_b)?];
    let of_a = args.conditions.conditions(&[])?;
    let of_b = Conditions {
        estimator: of_a.estimator || args.estimator_b,
        ..of_a
    };
    let players = [(&engines[0], of_a), (&engines[1], of_b)];
    let found = compare(args, players)?;
    if let Some(path) = &args.json {
        write_json(path, &found)?;
    }
    print(args, &found);
    Ok(())
}

fn compare(args: &Args, players: [(&Engine, Conditions); 2]) -> Result<Found> {
    let all: Vec<u64> = args.seeds.clone().collect();
    let mut test = SequentialMcnemar::new(args.error_rate, all.len());
    let progress = console::progress_bar("pairs at most");
    progress.set_length(all.len() as u64);
    let (never, hidden) = (AtomicBool::new(false), ProgressBar::hidden());
    let mut successes = [0; 2];
    for seeds in all.chunks(args.look_every) {
        let play = |(engine, conditions): &(&Engine, Conditions)| -> Result<Vec<bool>> {
            let seeding = args.seeding.into();
            let timed = evaluate(engine, seeds, seeding, conditions, &never, &hidden)?;
            let episodes = timed.evaluation.episodes.into_iter();
            Ok(episodes.map(|episode| episode.success).collect())
        };
        let [a, b] = [play(&players[0])?, play(&players[1])?];
        for (total, of) in successes.iter_mut().zip([&a, &b]) {
            *total += of.iter().filter(|success| **success).count();
        }
        test.look(a.into_iter().zip(b));
        progress.set_position(test.n_pairs() as u64);
        if test.is_over() {
            break;
        }
    }
    progress.finish_and_clear();
    let only_a = (test.n_different() as i64 + test.lead()) / 2;
    Ok(Found {
        better: match test.lead() > 0 {
            _ if !test.is_decided() => None,
            true => Some("a"),
            false => Some("b"),
        },
        pairs: test.n_pairs(),
        successes_a: successes[0],
        successes_b: successes[1],
        only_a: only_a as usize,
        only_b: test.n_different() - only_a as usize,
    })
}

fn print(args: &Args, found: &Found) {
    let (a, b) = (args.a.display(), args.b.display());
    let rate = |successes: usize| 100.0 * successes as f64 / found.pairs.max(1) as f64;
    outln!(
        "{:<20} {}  (of {} at most)",
        "pairs of episodes",
        found.pairs,
        args.seeds.end - args.seeds.start
    );
    outln!(
        "{:<20} {:.1} %  {a}",
        "success of A",
        rate(found.successes_a)
    );
    outln!(
        "{:<20} {:.1} %  {b}",
        "success of B",
        rate(found.successes_b)
    );
    outln!("{:<20} {}", "only A succeeded", found.only_a);
    outln!("{:<20} {}", "only B succeeded", found.only_b);
    let result = match found.better {
        Some("a") => "A is better".to_owned(),
        Some(_) => "B is better".to_owned(),
        None => "no difference found".to_owned(),
    };
    outln!(
        "{:<20} {result}  (error rate {})",
        "result",
        args.error_rate
    );
}
