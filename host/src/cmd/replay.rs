//! `pusht replay`.

use crate::console;
use crate::data::{Demonstrations, Episode};
use anyhow::{Context, Result, ensure};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::observation::STATE_DIM;
use std::f64::consts::{PI, TAU};
use std::path::PathBuf;

/// Replay recorded demonstrations and report the distance from the record; with the feature `demonstrations`.
///
/// Every episode begins at its first recorded state and is driven by its recorded actions. A record is in single
/// precision, and an episode may magnify what that leaves out to tenths of a pixel; so if the start state of the seed
/// that the record names, or else of the episode's number (the way the authors recorded theirs), is the recorded one as far as the
/// record goes, the episode begins there. The table says which start it was, how far agent or block get from the
/// recorded positions (px), how far the block's angle from the recorded one (rad), and at which step that was. Fails
/// if an episode goes beyond a tolerance at any step.
#[derive(clap::Args)]
#[command(after_help = "Example: pusht replay pusht.zip\n\n\
                        It needs a build that reads them: cargo build --release --features demonstrations\n\n\
                        The archive: https://diffusion-policy.cs.columbia.edu/data/training/pusht.zip")]
pub struct Args {
    /// Zarr v2 folder, or a zip archive that holds one
    dataset: PathBuf,
    /// Largest distance from the record, px
    #[arg(long, value_name = "PX", default_value_t = 0.01)]
    tolerance_px: f64,
    /// Largest difference of the angle from the record, rad
    #[arg(long, value_name = "RAD", default_value_t = 1e-4)]
    tolerance_rad: f64,
}

/// A start state is the recorded one if it is as near as this, px and rad.
const RECORDED_PRECISION: f64 = 1e-4;

/// The largest distance of an episode from its record, and the step where it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deviation {
    /// The seed whose start state the episode has.
    pub seed: Option<u64>,
    /// Of agent or block, px, and the step.
    pub px: (f64, usize),
    /// Of the block's angle, rad, and the step.
    pub rad: (f64, usize),
}

/// Runs the command.
///
/// # Errors
/// If the dataset can't be read, or an episode is beyond a tolerance.
pub fn run(args: &Args) -> Result<()> {
    let demonstrations = Demonstrations::open(&args.dataset)?;
    let episodes = &demonstrations.episodes;
    let progress = console::progress_bar("episodes");
    progress.set_length(episodes.len() as u64);
    let deviations = episodes
        .iter()
        .enumerate()
        .map(|(number, episode)| {
            progress.inc(1);
            replay(number as u64, episode).with_context(|| format!("episode {number}"))
        })
        .collect::<Result<Vec<_>>>()?;
    progress.finish_and_clear();
    let beyond = |d: &Deviation| d.px.0 > args.tolerance_px || d.rad.0 > args.tolerance_rad;

    println!("episode  steps  start     largest px  at step  largest rad  at step");
    for (number, (episode, deviation)) in episodes.iter().zip(&deviations).enumerate() {
        let Deviation { seed, px, rad } = deviation;
        let start = seed.map_or("recorded".to_owned(), |seed| format!("seed {seed}"));
        let mark = if beyond(deviation) { "  beyond" } else { "" };
        println!(
            "{number:>7}  {:>5}  {start:8}  {:>10.2e}  {:>7}  {:>11.2e}  {:>7}{mark}",
            episode.states.len(),
            px.0,
            px.1,
            rad.0,
            rad.1
        );
    }
    let largest = |of: fn(&Deviation) -> f64| deviations.iter().map(of).fold(0.0, f64::max);
    println!(
        "{} episodes, {} steps: at most {:.2e} px and {:.2e} rad from the record",
        episodes.len(),
        demonstrations.n_steps(),
        largest(|d| d.px.0),
        largest(|d| d.rad.0)
    );
    let n_beyond = deviations.iter().filter(|d| beyond(d)).count();
    ensure!(
        n_beyond == 0,
        "{n_beyond} of {} episodes are beyond {} px or {} rad",
        episodes.len(),
        args.tolerance_px,
        args.tolerance_rad
    );
    Ok(())
}

/// Replays episode `number`: the action of a row leads to the state of the next.
///
/// # Errors
/// If a recorded value can't be simulated.
pub fn replay(number: u64, episode: &Episode) -> Result<Deviation, pusht_core::Error> {
    let (mut env, seed) = start(episode.seed.unwrap_or(number), &episode.states[0])?;
    let mut deviation = Deviation {
        seed,
        ..Deviation::default()
    };
    for (step, state) in episode.states.iter().enumerate() {
        if step > 0 {
            env.step(episode.actions[step - 1])?;
        }
        let (px, rad) = distance(&env.state(), state);
        if px > deviation.px.0 {
            deviation.px = (px, step);
        }
        if rad > deviation.rad.0 {
            deviation.rad = (rad, step);
        }
    }
    Ok(deviation)
}

/// The environment at the start of an episode, and the seed if it is a seed's start.
fn start(
    number: u64,
    recorded: &[f64; STATE_DIM],
) -> Result<(PushTEnv, Option<u64>), pusht_core::Error> {
    let params = PushTParams::default();
    let seeded =
        [Seeding::Legacy, Seeding::Pcg64].map(|seeding| StartState::from_seed(number, seeding));
    for seeded in seeded.into_iter().flatten() {
        let env = PushTEnv::new(params, seeded, StartOrder::Legacy)?;
        let (px, rad) = distance(&env.state(), recorded);
        if px.max(rad) < RECORDED_PRECISION {
            return Ok((env, Some(number)));
        }
    }
    let recorded = StartState::from_state(recorded);
    Ok((
        PushTEnv::new(params, recorded, StartOrder::AngleFirst)?,
        None,
    ))
}

/// How far two states are apart: the farther of agent and block, px, and the angle, rad.
fn distance(a: &[f64; STATE_DIM], b: &[f64; STATE_DIM]) -> (f64, f64) {
    let between = |x: usize| (a[x] - b[x]).hypot(a[x + 1] - b[x + 1]);
    let turn = (a[4] - b[4] + PI).rem_euclid(TAU) - PI;
    (between(0).max(between(2)), turn.abs())
}
