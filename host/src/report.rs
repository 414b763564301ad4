//! What the commands share: seeds in, progress and tables out.

use crate::engine::{Engine, EngineKind};
use crate::evaluate::TimedEvaluation;
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::Range;

/// Seeds on the command line: `A..B`, B excluded.
///
/// # Errors
/// If the text is not of that form or holds no seed.
pub fn parse_seeds(text: &str) -> Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("seeds are written A..B")?;
    let range = from.parse()?..to.parse()?;
    ensure!(
        !range.is_empty(),
        "{text} holds no seed: B is excluded and must be larger than A"
    );
    Ok(range)
}

/// A progress bar on standard error that counts `what`; invisible where that is no terminal.
pub fn progress_bar(what: &'static str) -> ProgressBar {
    let template = "{bar:40} {pos}/{len} {msg} [{elapsed_precise} < {eta_precise}]";
    let bar = ProgressBar::new(0).with_message(what);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
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
    println!("{:<20} {n}", "episodes");
    println!(
        "{:<20} {arithmetic}, {} passes a plan",
        "engine",
        engine.passes()
    );
    println!("{:<20} {:.4}", "mean max reward", scores.mean_max_reward);
    println!(
        "{:<20} {:.4}",
        "mean max coverage", scores.mean_max_coverage
    );
    println!(
        "{:<20} {:.1} %  ({successes} of {n}; 95 % interval {low:.1} to {high:.1} %)",
        "success rate",
        100.0 * scores.success_rate,
    );
    let milliseconds = 1e3 * timed.planning.as_secs_f64() / f64::from(timed.plans.max(1));
    println!(
        "{:<20} {milliseconds:.2} ms  (mean of {} plans)",
        "time a plan", timed.plans
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_half_open_range() {
        assert_eq!(parse_seeds("3..5").unwrap(), 3..5);
        for bad in ["3", "5..3", "3..3", "a..b", "1...3", "-1..3"] {
            assert!(parse_seeds(bad).is_err(), "{bad}");
        }
    }
}
