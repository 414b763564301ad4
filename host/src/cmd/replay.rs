//! `pusht replay`.

use crate::arguments::number;
use crate::console;
use crate::data::{Demonstrations, Episode};
use crate::outln;
use anyhow::{Context, Result, ensure};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::observation::STATE_DIM;
use std::f64::consts::{PI, TAU};
use std::path::PathBuf;

/// Replay recorded demonstrations and report the deviation; needs the feature `demonstrations`.
///
/// Every episode begins at its first recorded state and replays its recorded actions. Records have
/// single precision, and an episode may amplify the rounding to tenths of a pixel. If the first
/// recorded state equals, within that precision, the start state of the recorded seed (else of the
/// episode's number, as in the authors' recordings), the episode begins there. The table has the
/// start, the largest deviations of agent or block (px) and of the block's angle (rad), and their
/// steps. Fails if an episode exceeds a tolerance.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pusht replay pusht.zip\n\n\
                        It needs a build that reads them: cargo build --release --features demonstrations\n\n\
                        The archive: https://diffusion-policy.cs.columbia.edu/data/training/pusht.zip")]
pub struct Args {
    /// Zarr folder (v2 or v3) or a zip archive that holds one, or the folder of a LeRobot dataset
    /// (v3.0) with the block's pose in its features
    dataset: PathBuf,
    /// Largest deviation from the record, px
    #[arg(long, value_name = "PX", default_value_t = 0.01, value_parser = number(0.0..=1e6))]
    tolerance_px: f64,
    /// Largest deviation of the angle from the record, rad
    #[arg(long, value_name = "RAD", default_value_t = 1e-4, value_parser = number(0.0..=10.0))]
    tolerance_rad: f64,
}

/// Largest deviation of a recorded start state from a seed's, px and rad.
const RECORDED_PRECISION: f64 = 1e-4;

/// Largest deviation of an episode from its record, with the step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deviation {
    /// Seed of the episode's start state.
    pub seed: Option<u64>,
    /// Deviation of agent or block, px, and its step.
    pub px: (f64, usize),
    /// Deviation of the block's angle, rad, and its step.
    pub rad: (f64, usize),
}

/// Runs the command.
///
/// # Errors
/// If the dataset can't be read, or an episode exceeds a tolerance.
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
    let beyond = |d: &Deviation| !(d.px.0 <= args.tolerance_px && d.rad.0 <= args.tolerance_rad);

    outln!("episode  steps  start     largest px  at step  largest rad  at step");
    for (number, (episode, deviation)) in episodes.iter().zip(&deviations).enumerate() {
        let Deviation { seed, px, rad } = deviation;
        let start = seed.map_or("recorded".to_owned(), |seed| format!("seed {seed}"));
        let mark = if beyond(deviation) { "  beyond" } else { "" };
        outln!(
            "{number:>7}  {:>5}  {start:8}  {:>10.2e}  {:>7}  {:>11.2e}  {:>7}{mark}",
            episode.states.len(),
            px.0,
            px.1,
            rad.0,
            rad.1
        );
    }
    let largest = |of: fn(&Deviation) -> f64| deviations.iter().map(of).fold(0.0, f64::max);
    outln!(
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
        if px > deviation.px.0 || px.is_nan() {
            deviation.px = (px, step);
        }
        if rad > deviation.rad.0 || rad.is_nan() {
            deviation.rad = (rad, step);
        }
    }
    Ok(deviation)
}

/// Environment at the start of an episode, and the seed if it is a seed's start state.
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

/// Distance of two states: the larger one of agent and block, px, and that of the angle, rad.
fn distance(a: &[f64; STATE_DIM], b: &[f64; STATE_DIM]) -> (f64, f64) {
    let between = |x: usize| (a[x] - b[x]).hypot(a[x + 1] - b[x + 1]);
    let turn = (a[4] - b[4] + PI).rem_euclid(TAU) - PI;
    (between(0).max(between(2)), turn.abs())
}
