//! `pusht render`.

use crate::arguments::{seed, whole};
use crate::cmd::eval::SeedingArg;
use crate::engine::{Engine, PolicyArgs};
use crate::evaluate::start;
use crate::output::{check_file, write_whole};
use crate::render::{Animation, FRAME_DELAY_CS};
use anyhow::{Context, Result, bail};
use pusht_core::pusht::env::{PushTEnv, Seeding};
use pusht_core::pusht::episode::{Action, MAX_EPISODE_STEPS};
use pusht_core::pusht::rollout::Tick;
use pusht_gym::pixels::{Frame, Renderer};
use pusht_gym::scene::{Scene, draw};
use std::path::{Path, PathBuf};
use tiny_skia::{IntSize, Pixmap};

/// Duration of the last frame, hundredths of a second.
const LAST_FRAME_CS: u16 = 150;

/// Play one episode and write it as an animated GIF, or one moment of it as a PNG.
///
/// Green is the goal, grey the block, blue the agent, the red cross the target, orange the plan.
///
/// A PNG of the style `gym-pusht` is, byte for byte, what gym-pusht's `render` returns after that
/// tick's step, with the action and the contact points and without the plan.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples: pusht render --seed 100003 --size 680 --out episode.gif\n          \
                  pusht render --seed 100003 --tick 20 --out moment.png\n          \
                  pusht render --seed 100003 --style gym-pusht --size 680 --out end.png"
)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Seed of the start state and of the policy's noise
    #[arg(long, value_parser = seed)]
    seed: u64,
    /// Mapping from the seed to a start state
    #[arg(long, value_enum, default_value = "legacy")]
    seeding: SeedingArg,
    /// Width and height, pixels
    #[arg(long, default_value_t = 340, value_parser = whole::<u16>(16..=2048))]
    size: u16,
    /// Control tick of a PNG, from 0 [default: the end of the episode]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0..=MAX_EPISODE_STEPS as u64 - 1))]
    tick: Option<usize>,
    /// Kind of picture; a GIF is always smooth
    #[arg(long, value_enum, default_value = "smooth")]
    style: StyleArg,
    /// File to write: a .gif or a .png
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Kind of picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StyleArg {
    /// Anti-aliased
    Smooth,
    /// The pixels of gym-pusht
    GymPusht,
}

/// Runs the command.
///
/// # Errors
/// If the policy can't be loaded, the episode has no such tick, or the file can't be written or has
/// another extension.
pub fn run(args: &Args) -> Result<()> {
    check_file(&args.out)?;
    let seeding = args.seeding.into();
    let ending = args
        .out
        .extension()
        .map(|ending| ending.to_ascii_lowercase());
    match ending.as_deref().and_then(|ending| ending.to_str()) {
        Some("gif") if args.tick.is_some() => bail!("--tick: a GIF shows all of them"),
        Some("gif") if args.style == StyleArg::GymPusht => {
            bail!("--style gym-pusht: a GIF has other colours; .png needed")
        }
        Some("gif") => {
            let engine = Engine::load(&args.policy)?;
            episode_gif(&engine, args.seed, seeding, args.size, &args.out)
        }
        Some("png") => {
            let engine = Engine::load(&args.policy)?;
            let moment = match args.style {
                StyleArg::Smooth => smooth_moment(&engine, args, seeding)?,
                StyleArg::GymPusht => exact_moment(&engine, args, seeding)?,
            };
            write_whole(&args.out, &moment.encode_png()?)
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
    let end = play(engine, seed, seeding, |_, scene, _| {
        if drawn.is_ok() {
            drawn = add(scene, FRAME_DELAY_CS);
        }
    })?;
    drawn?;
    add(&end, LAST_FRAME_CS)?;
    write_whole(path, &animation.finish()?)
}

/// The scene at the wanted tick (default: the end), anti-aliased.
///
/// # Errors
/// If the episode can't be started or has no such tick.
fn smooth_moment(engine: &Engine, args: &Args, seeding: Seeding) -> Result<Pixmap> {
    let (mut shown, mut n_ticks) = (None, 0);
    let end = play(engine, args.seed, seeding, |tick, scene, _| {
        n_ticks += 1;
        if args.tick == Some(tick.index) {
            shown = Some(picture(scene, args.size));
        }
    })?;
    match (args.tick, shown) {
        (None, _) => picture(&end, args.size),
        (Some(_), Some(shown)) => shown,
        (Some(tick), None) => no_such_tick(tick, args.seed, n_ticks),
    }
}

/// gym-pusht's picture after the step of the wanted tick (default: the last).
///
/// # Errors
/// If the episode can't be started or has no such tick, or the picture is too small for the action.
fn exact_moment(engine: &Engine, args: &Args, seeding: Seeding) -> Result<Pixmap> {
    let (mut shown, mut n_ticks) = (None, 0);
    play(engine, args.seed, seeding, |tick, _, env| {
        n_ticks += 1;
        if args.tick.is_none_or(|wanted| wanted == tick.index) {
            shown = Some((Frame::of_env(env), tick.action));
        }
    })?;
    let Some((frame, action)) = shown else {
        return no_such_tick(args.tick.unwrap_or_default(), args.seed, n_ticks);
    };
    let side = usize::from(args.size);
    let mut renderer = Renderer::new();
    let rgb = renderer.picture(&frame, side, side, Some(action))?;
    let rgba = rgb
        .chunks_exact(3)
        .flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]);
    IntSize::from_wh(args.size.into(), args.size.into())
        .and_then(|size| Pixmap::from_vec(rgba.collect(), size))
        .context("a picture needs at least one pixel")
}

fn no_such_tick(tick: usize, seed: u64, n_ticks: usize) -> Result<Pixmap> {
    bail!("--tick {tick}: the episode of seed {seed} has {n_ticks}")
}

/// Plays the episode of `seed`, shows each tick, the scene before its step and the environment after
/// it, and returns the final scene.
fn play(
    engine: &Engine,
    seed: u64,
    seeding: Seeding,
    mut show: impl FnMut(&Tick, &Scene<'_>, &PushTEnv),
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
            show(tick, &scene, rollout.episode().env());
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
    Ok(draw(scene, u32::from(size_px))?)
}
