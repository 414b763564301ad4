//! `pusht render`.

use crate::cmd::eval::SeedingArg;
use crate::engine::{Engine, PolicyArgs};
use crate::evaluate::start;
use crate::policy_file::write_whole;
use crate::render::{Animation, FRAME_DELAY_CS};
use anyhow::{Context, Result, bail};
use pusht_core::pusht::env::{PushTEnv, Seeding};
use pusht_core::pusht::episode::{Action, MAX_EPISODE_STEPS};
use pusht_gym::scene::{Scene, draw};
use std::path::{Path, PathBuf};
use tiny_skia::Pixmap;

/// Duration of the last frame, hundredths of a second.
const LAST_FRAME_CS: u16 = 150;

/// Play one episode and write it as an animated GIF, or one moment of it as a PNG.
///
/// Green is the goal, grey the block, blue the agent, the red cross the target, orange the plan.
#[derive(clap::Args)]
#[command(
    after_help = "Examples: pusht render --seed 100003 --size 680 --out episode.gif\n          \
                  pusht render --seed 100003 --tick 20 --out moment.png"
)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Seed of the start state and of the policy's noise
    #[arg(long)]
    seed: u64,
    /// Mapping from the seed to a start state
    #[arg(long, value_enum, default_value = "legacy")]
    seeding: SeedingArg,
    /// Width and height, pixels
    #[arg(long, default_value_t = 340, value_parser = clap::value_parser!(u16).range(16..=2048))]
    size: u16,
    /// Control tick of a PNG, from 0 [default: the end of the episode]
    #[arg(long, value_name = "N")]
    tick: Option<usize>,
    /// File to write: a .gif or a .png
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the policy can't be loaded, the episode has no such tick, or the file can't be written or has
/// another extension.
pub fn run(args: &Args) -> Result<()> {
    let seeding = args.seeding.into();
    let ending = args
        .out
        .extension()
        .map(|ending| ending.to_ascii_lowercase());
    match ending.as_deref().and_then(|ending| ending.to_str()) {
        Some("gif") if args.tick.is_some() => bail!("--tick: a GIF shows all of them"),
        Some("gif") => {
            let engine = Engine::load(&args.policy)?;
            episode_gif(&engine, args.seed, seeding, args.size, &args.out)
        }
        Some("png") => {
            let engine = Engine::load(&args.policy)?;
            moment_png(&engine, args.seed, seeding, args.tick, args.size, &args.out)
        }
        _ => bail!("{}: .gif or .png needed", args.out.display()),
    }
}

/// Plays the episode of `seed` and writes it to `path`.
///
/// # Errors
/// If the episode can't be started or the file can't be written.
pub fn episode_gif(
    engine: &Engine,
    seed: u64,
    seeding: Seeding,
    size_px: u16,
    path: &Path,
) -> Result<()> {
    let mut animation = Animation::new(size_px)?;
    let mut add = |scene: &Scene<'_>, delay_cs| animation.push(&picture(scene, size_px)?, delay_cs);
    let mut drawn = Ok(());
    let end = play(engine, seed, seeding, |_, scene| {
        if drawn.is_ok() {
            drawn = add(scene, FRAME_DELAY_CS);
        }
    })?;
    drawn?;
    add(&end, LAST_FRAME_CS)?;
    write_whole(path, &animation.finish()?)
}

/// Plays the episode of `seed` and writes its scene at `tick` (default: the end) to `path`.
///
/// # Errors
/// If the episode can't be started, has no such tick, or the file can't be written.
fn moment_png(
    engine: &Engine,
    seed: u64,
    seeding: Seeding,
    tick: Option<usize>,
    size_px: u16,
    path: &Path,
) -> Result<()> {
    let (mut shown, mut n_ticks) = (None, 0);
    let end = play(engine, seed, seeding, |index, scene| {
        n_ticks += 1;
        if tick == Some(index) {
            shown = Some(picture(scene, size_px));
        }
    })?;
    let shown = match (tick, shown) {
        (None, _) => picture(&end, size_px)?,
        (Some(_), Some(shown)) => shown?,
        (Some(tick), None) => bail!("--tick {tick}: the episode of seed {seed} has {n_ticks}"),
    };
    write_whole(path, &shown.encode_png()?)
}

/// Plays the episode of `seed`, shows each tick's index and scene, and returns the final scene.
fn play(
    engine: &Engine,
    seed: u64,
    seeding: Seeding,
    mut show: impl FnMut(usize, &Scene<'_>),
) -> Result<Scene<'static>> {
    let env = start(seed, seeding)?;
    let goal = goal_of(&env);
    let mut rollout = engine.rollout(env, seed, MAX_EPISODE_STEPS)?;
    let played = engine.with_planner(|planner| {
        rollout.run(planner, |tick, rollout| {
            let planned = rollout.execution().planned();
            let plan: Vec<Action> = planned.filter_map(|row| row.try_into().ok()).collect();
            let scene = Scene {
                state: tick.state,
                goal,
                target: Some(tick.action),
                plan: &plan,
            };
            show(tick.index, &scene);
        })
    });
    played.with_context(|| format!("seed {seed}"))?;
    Ok(Scene {
        state: rollout.episode().env().state(),
        goal,
        target: None,
        plan: &[],
    })
}

fn goal_of(env: &PushTEnv) -> [f64; 3] {
    let info = env.info();
    [info.goal_pos_px.x, info.goal_pos_px.y, info.goal_angle_rad]
}

fn picture(scene: &Scene<'_>, size_px: u16) -> Result<Pixmap> {
    draw(scene, u32::from(size_px)).context("a picture needs at least one pixel")
}
