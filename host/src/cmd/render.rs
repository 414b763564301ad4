//! `pusht render`.

use crate::cmd::eval::SeedingArg;
use crate::engine::{Engine, PolicyArgs};
use crate::evaluate::start;
use crate::policy_file::write_whole;
use crate::render::{Animation, FRAME_DELAY_CS, Scene, draw};
use anyhow::{Context, Result};
use pusht_core::env::{PushTEnv, Seeding};
use pusht_core::episode::{self, MAX_EPISODE_STEPS};
use pusht_core::receding_horizon::Action;
use std::path::{Path, PathBuf};

/// How long the last frame stays, hundredths of a second.
const LAST_FRAME_CS: u16 = 150;

/// Play one episode and write it as an animated GIF.
///
/// Green: the goal. Grey: the block. Blue: the agent. Red cross: where the agent is told to go. Orange: the actions planned next.
#[derive(clap::Args)]
#[command(after_help = "Example: pusht render --seed 100003 --size 680 --out episode.gif")]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Names the start state and the policy's noise
    #[arg(long)]
    seed: u64,
    /// How the seed becomes a start state
    #[arg(long, value_enum, default_value = "legacy")]
    seeding: SeedingArg,
    /// Width and height, pixels
    #[arg(long, default_value_t = 340, value_parser = clap::value_parser!(u16).range(16..=2048))]
    size: u16,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the policy can't be loaded or the file can't be written.
pub fn run(args: &Args) -> Result<()> {
    let engine = Engine::load(&args.policy)?;
    episode_gif(
        &engine,
        args.seed,
        args.seeding.into(),
        args.size,
        &args.out,
    )
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
    let mut env = start(seed, seeding)?;
    let mut animation = Animation::new(size_px)?;
    let mut drawn = Ok(());
    let goal = goal_of(&env);
    let played = engine.with_planner(|planner| {
        episode::run(&mut env, planner, seed, MAX_EPISODE_STEPS, |tick| {
            if drawn.is_ok() {
                let plan: Vec<Action> = tick.controller.planned().collect();
                let scene = Scene {
                    state: tick.state,
                    goal,
                    target: Some(tick.action),
                    plan: &plan,
                };
                drawn = add_frame(&mut animation, &scene, size_px, FRAME_DELAY_CS);
            }
        })
    });
    played.with_context(|| format!("seed {seed}"))?;
    drawn?;
    let last = Scene {
        state: env.state(),
        goal,
        target: None,
        plan: &[],
    };
    add_frame(&mut animation, &last, size_px, LAST_FRAME_CS)?;
    write_whole(path, &animation.finish()?)
}

fn goal_of(env: &PushTEnv) -> [f64; 3] {
    let info = env.info();
    [info.goal_pos_px.x, info.goal_pos_px.y, info.goal_angle_rad]
}

fn add_frame(
    animation: &mut Animation,
    scene: &Scene<'_>,
    size_px: u16,
    delay_cs: u16,
) -> Result<()> {
    let picture = draw(scene, u32::from(size_px)).context("a picture needs at least one pixel")?;
    animation.push(&picture, delay_cs)
}
