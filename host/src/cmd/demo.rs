//! `pusht` without a command: a demonstration of the shipped policy.

use crate::cmd::{eval, render};
use crate::console;
use crate::engine::{Engine, PolicyArgs};
use crate::evaluate::{Conditions, EpisodeScore, evaluate};
use crate::outln;
use crate::output::check_file;
use anyhow::Result;
use pusht_core::pusht::env::Seeding;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Start seeds of the published scores.
const SEEDS: Range<u64> = 100_000..100_050;
const GIF_FILE: &str = "pusht.gif";
const GIF_SIZE_PX: u16 = 340;

/// Plays 50 episodes, prints their scores and writes one of them as a GIF.
///
/// # Errors
/// If the GIF can't be written.
pub fn run() -> Result<()> {
    check_file(Path::new(GIF_FILE))?;
    let engine = Engine::load(&PolicyArgs::default())?;
    outln!(
        "The shipped policy plays PushT: {} episodes.",
        SEEDS.end - SEEDS.start
    );
    let progress = console::progress_bar("episodes");
    let seeds: Vec<u64> = SEEDS.collect();
    let never = AtomicBool::new(false);
    let timed = evaluate(
        &engine,
        &seeds,
        Seeding::Legacy,
        &Conditions::default(),
        &never,
        &progress,
    )?;
    progress.finish_and_clear();
    eval::print_scores(&engine, &timed);
    if let Some(seed) = typical(&timed.evaluation.episodes) {
        let path = Path::new(GIF_FILE);
        render::episode_gif(&engine, seed, Seeding::Legacy, GIF_SIZE_PX, path)?;
        outln!(
            "{:<20} {} (seed {seed})",
            "animation",
            std::path::absolute(path)?.display()
        );
    }
    Ok(())
}

/// The solved episode of median length, or the first episode if none was solved.
fn typical(episodes: &[EpisodeScore]) -> Option<u64> {
    let mut solved: Vec<_> = episodes.iter().filter(|e| e.success).collect();
    solved.sort_by_key(|e| e.steps);
    let chosen = solved.get(solved.len() / 2).copied();
    chosen.or(episodes.first()).map(|e| e.seed)
}
