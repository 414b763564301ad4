//! `pusht collect`.

use super::eval::SeedingArg;
use crate::arguments::{number, seed, share, whole};
use crate::collect::episode::{Corrections, MAX_CORRECTIONS, Policies, Settings};
use crate::collect::{Format, Summary, collect, open};
use crate::console;
use crate::engine::{Engine, PolicyArgs};
use crate::expert::ExpertOptions;
use crate::output::check_folder;
use crate::policy_file::MAX_DIM;
use crate::{outln, regular_file};
use anyhow::{Context, Result};
use pusht_core::link::file_crc32c;
use pusht_core::pusht::episode::MAX_EPISODE_STEPS;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Record demonstrations of the expert, or its corrections of a policy.
///
/// The expert plans by search on copies of the simulator. The folder is a Zarr v2 group in the
/// layout of diffusion_policy's pusht.zip (data/state, data/action, data/keypoint,
/// data/n_contacts, meta/episode_ends). For every step it also records the coverage after it
/// (data/next_coverage), and for every episode whether it begins (meta/continues) and ends
/// (meta/cut_off) in the middle of a motion; episodes.csv has the outcome of every attempt. The
/// same command with --resume continues an interrupted run, with the same bytes as an
/// uninterrupted one. A kill or a power failure loses only the attempts that are not stored yet.
///
/// With --format lerobot (feature `demonstrations`) the folder is a LeRobot dataset (v3.0). During
/// the run it holds that Zarr group only, as recording.zarr; the dataset is written from it when
/// all attempts are done. So an interrupted run loses nothing, and --resume, also with more
/// attempts, continues the group and writes the dataset anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    pusht collect --out clean.zarr --attempts 4000\n  \
    pusht collect --out clean --format lerobot --attempts 400\n  \
    pusht collect --out noisy.zarr --attempts 1500 --seed 1100000 --noise-share 1 --noise-px 4\n  \
    pusht collect --out corrections.zarr --attempts 500 --seed 1200000 --policy policy.safetensors")]
pub struct Args {
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Layout of the folder
    #[arg(long, value_enum, default_value = "zarr")]
    format: Format,
    /// Episodes to attempt; unsolved ones are not recorded
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=1_000_000_000))]
    attempts: u64,
    /// Seed of the first; the others follow. Scores use other seeds
    #[arg(long, default_value_t = 1_000_000, value_parser = seed)]
    seed: u64,
    /// Mapping from a seed to a start state
    #[arg(long, value_enum, default_value = "legacy")]
    seeding: SeedingArg,
    /// Largest movement of the target per control step, px
    #[arg(long, value_name = "PX", default_value_t = ExpertOptions::default().speed_limit_px, value_parser = number(1.0..=100.0))]
    speed_limit: f64,
    /// Coverage above which an episode ends
    #[arg(long, value_name = "C", default_value_t = ExpertOptions::default().stop_coverage, value_parser = number(0.01..=0.99))]
    stop_coverage: f64,
    /// Random pushes per search of the expert
    #[arg(long, value_name = "N", default_value_t = ExpertOptions::default().n_samples, value_parser = whole::<usize>(8..=10_000))]
    samples: usize,
    /// Share of the episodes with noise added to the executed (not to the recorded) actions
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share())]
    noise_share: f64,
    /// Standard deviation of that noise, px
    #[arg(long, value_name = "PX", default_value_t = 4.0, value_parser = number(0.0..=100.0))]
    noise_px: f64,
    /// Share of the episodes that start within 30 px and 0.3 rad of the goal
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share())]
    near_goal_share: f64,
    /// Policy to correct: it plays, and the expert continues from some of its states (DAgger)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// With --policy: policy that corrects it in the expert's place
    #[arg(long, value_name = "FILE", requires = "policy")]
    teacher: Option<PathBuf>,
    /// With --policy: actions executed per plan [default: that of its file]
    #[arg(long, value_name = "N", requires = "policy", value_parser = whole::<usize>(1..=MAX_DIM as u64))]
    n_action_steps: Option<usize>,
    /// With --policy: corrected states per episode
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole::<usize>(1..=MAX_CORRECTIONS as u64))]
    corrections: usize,
    /// With --policy: recorded steps of expert or teacher per corrected state
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = whole::<usize>(1..=MAX_EPISODE_STEPS as u64))]
    correction_steps: usize,
    /// With --policy: share of those states with a coverage of at least 0.8
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share())]
    near_miss_share: f64,
    /// Also record pictures of 96 x 96 pixels, as gym-pusht draws them: data/img (in single
    /// precision, 0 to 255, as in pusht.zip), or observation.image with --format lerobot
    #[arg(long)]
    images: bool,
    /// Continue the run in the folder
    #[arg(long)]
    resume: bool,
}

/// Runs the command.
///
/// # Errors
/// If the options are invalid, the policy can't be loaded, the folder already exists (without
/// `--resume`) or belongs to another run (with it), or it can't be written.
pub fn run(args: &Args) -> Result<()> {
    let load = |path: &Option<PathBuf>, n_action_steps| {
        let engine = path.as_ref().map(|path| {
            let engine = Engine::load(&PolicyArgs {
                policy: Some(path.clone()),
                n_action_steps,
                ..PolicyArgs::default()
            })?;
            engine
                .observation()
                .with_context(|| path.display().to_string())?;
            Ok::<_, anyhow::Error>(engine)
        });
        engine.transpose()
    };
    let policy = load(&args.policy, args.n_action_steps)?;
    let teacher = load(&args.teacher, None)?;
    let settings = settings_of(args, policy.as_ref())?;
    check_folder(&args.out)?;
    let mut writer = open(&args.out, args.format, args.resume, &settings)?;
    let progress = console::progress_bar("attempts");
    let summary = collect(
        &settings,
        Policies {
            player: policy.as_ref(),
            teacher: teacher.as_ref(),
        },
        args.attempts,
        &mut writer,
        &AtomicBool::new(false),
        &progress,
    )?;
    writer.finish()?;
    progress.finish_and_clear();
    if args.format == Format::Lerobot {
        write_lerobot(&args.out)?;
    }
    print(&summary);
    outln!("wrote {}", args.out.display());
    Ok(())
}

#[cfg(feature = "demonstrations")]
fn write_lerobot(folder: &std::path::Path) -> Result<()> {
    crate::collect::lerobot::write(folder)
        .with_context(|| format!("{}: no dataset was written", folder.display()))
}

#[cfg(not(feature = "demonstrations"))]
fn write_lerobot(_: &std::path::Path) -> Result<()> {
    anyhow::bail!(crate::data::MISSING_FEATURE)
}

fn settings_of(args: &Args, policy: Option<&Engine>) -> Result<Settings> {
    let expert = ExpertOptions {
        speed_limit_px: args.speed_limit,
        stop_coverage: args.stop_coverage,
        n_samples: args.samples,
    };
    let corrections = match (&args.policy, policy) {
        (Some(path), Some(policy)) => {
            let crc32c =
                |path: &PathBuf| Ok::<_, anyhow::Error>(file_crc32c(&regular_file::read(path)?));
            Some(Corrections {
                policy_crc32c: crc32c(path)?,
                teacher_crc32c: args.teacher.as_ref().map(crc32c).transpose()?,
                n_action_steps: policy.shape().n_action_steps,
                per_episode: args.corrections,
                steps: args.correction_steps,
                near_miss_share: args.near_miss_share,
            })
        }
        _ => None,
    };
    let settings = Settings {
        first_seed: args.seed,
        seeding: match args.seeding {
            SeedingArg::Legacy => "legacy".into(),
            SeedingArg::Pcg64 => "pcg64".into(),
        },
        expert,
        noise_share: args.noise_share,
        noise_px: args.noise_px,
        near_goal_share: args.near_goal_share,
        max_steps: MAX_EPISODE_STEPS,
        corrections,
        images: args.images,
    };
    settings.check(args.attempts)?;
    Ok(settings)
}

fn print(summary: &Summary) {
    let Summary {
        attempts,
        solved,
        episodes,
        steps,
        cpu,
    } = *summary;
    let per = |total: f64, n: u64| total / n.max(1) as f64;
    outln!("{:<20} {attempts}", "attempts");
    outln!(
        "{:<20} {solved}  ({:.1} %)",
        "solved",
        100.0 * per(solved as f64, attempts)
    );
    outln!(
        "{:<20} {episodes}  ({:.1} steps each)",
        "recorded episodes",
        per(steps as f64, episodes)
    );
    outln!(
        "{:<20} {:.3} s",
        "CPU time an attempt",
        per(cpu.as_secs_f64(), attempts)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_policy_of_another_task_is_refused_before_the_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let models = format!("{}/../models", env!("CARGO_MANIFEST_DIR"));
        for (player, teacher) in [("fetch", "pusht"), ("pusht-small", "fetch")] {
            let [player, teacher] = [player, teacher].map(|name| format!("{models}/{name}.ptm"));
            let out = out.to_str().unwrap();
            let words = ["collect", "--out", out, "--attempts", "1"];
            let policies = ["--policy", &player, "--teacher", &teacher];
            let args = Command::parse_from(words.into_iter().chain(policies)).args;
            let message = format!("{:#}", run(&args).unwrap_err());
            assert!(
                message.contains("fetch.ptm: a policy of the task"),
                "{message}"
            );
        }
        assert!(!out.exists());
    }

    #[test]
    fn two_policies_have_different_settings() {
        // The checksum at a model file's end gives every whole file the same CRC-32.
        let settings = |file: &str| {
            let path = format!("{}/../models/{file}", env!("CARGO_MANIFEST_DIR"));
            let words = [
                "collect",
                "--out",
                "x",
                "--attempts",
                "1",
                "--policy",
                &path,
            ];
            let args = Command::parse_from(words).args;
            let policy = Engine::load(&PolicyArgs {
                policy: args.policy.clone(),
                // The settings differ in nothing but the policy.
                n_action_steps: Some(1),
                ..PolicyArgs::default()
            });
            settings_of(&args, Some(&policy.unwrap())).unwrap()
        };
        assert_ne!(settings("pusht.ptm"), settings("pusht-small.ptm"));
    }
}
