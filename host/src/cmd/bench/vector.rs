//! `pusht bench vector`.

use super::SECONDS;
use crate::arguments::{number, whole};
use crate::output::{check_file, write_whole};
use crate::{out, outln};
use anyhow::{Context, Result, ensure};
use pusht_gym::batch::{BatchOptions, PushTBatch};
use pusht_gym::env::EnvSpec;
use pusht_gym::pusht::{PUSHT_ID, registry};
use pusht_gym::space::{Space, seeded};
use pusht_gym::value::{Dict, Value};
use pusht_gym::vector::{Seed, VectorEnv, VectorOptions, VectorizeMode, WorkerProgram, make_vec};
use serde::{Deserialize, Serialize};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Largest number of environments.
const MOST_ENVS: u64 = 65_536;
/// Largest number of worker processes, which there are on Unix alone, of threads, and of
/// environments in turn.
const MOST_PROCESSES: usize = if cfg!(unix) { 64 } else { 0 };
const MOST_THREADS: usize = 512;
const MOST_IN_TURN: usize = 4096;
/// Largest number of gym-pusht environments, whose workers take seconds to start.
const MOST_PYTHON: usize = 8;
/// Number of different action batches.
const ACTIONS: usize = 64;
/// Script that measures gymnasium's vector environments, and those of the Python package.
const GYMNASIUM: &str = include_str!("gymnasium_vector.py");

const BATCH: &str = "PushTBatch, all cores";
const BATCH_ONE: &str = "PushTBatch, 1 thread";
const GYM_ASYNC: &str = "gymnasium AsyncVectorEnv";

/// Measures PushT steps per second: sequential, threads, processes, batched, and gymnasium.
///
/// All take actions of the same distribution, uniform in the window, reset when an episode ends,
/// and return state and reward. Figures are the best of some measurements in turn.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pusht bench vector --gym-pusht python3 --json vector.json")]
pub struct Args {
    /// JSON file to write
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Python with gymnasium and gym-pusht, to compare in the same run; with the package `pusht`
    /// too, if it is installed there
    #[arg(long, value_name = "PYTHON")]
    gym_pusht: Option<PathBuf>,
    /// Numbers of environments, in ascending order
    #[arg(long, value_name = "N,N..", value_delimiter = ',', default_values_t = [1, 8, 64, 512, 4096, 65536], value_parser = whole::<usize>(1..=MOST_ENVS))]
    sizes: Vec<usize>,
    /// Duration of a measurement, s
    #[arg(long, value_name = "S", default_value_t = 0.3, value_parser = number(SECONDS))]
    seconds: f64,
    /// Measurements per figure, in turn with the others'; the best counts. Where other programs
    /// run, many short ones find the quiet moments
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<u32>(1..=1000))]
    rounds: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Figure {
    name: String,
    num_envs: usize,
    steps_per_s: f64,
}

#[derive(Serialize)]
struct Report {
    cores: usize,
    figures: Vec<Figure>,
    /// Speed of the batches on all cores, relative to one thread, by number of environments.
    cores_gains: Vec<(usize, f64)>,
    /// Best speed of the batch, relative to the best of gymnasium's `AsyncVectorEnv`.
    gymnasium_async_gain: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// If an environment can't be created, the given Python fails, or the file can't be written.
pub fn run(args: &Args) -> Result<()> {
    let slice = Duration::from_secs_f64(args.seconds);
    args.json.as_deref().map_or(Ok(()), check_file)?;
    let mut figures = Vec::new();
    match &args.gym_pusht {
        Some(python) => figures.extend(gymnasium(python, args)?),
        None => outln!("skipped: gymnasium (--gym-pusht names a Python with gym-pusht)"),
    }
    for num_envs in args.sizes.iter().copied() {
        figures.extend(measure(
            candidates(num_envs)?,
            num_envs,
            slice,
            args.rounds,
        )?);
    }
    let cores_gain = |size: usize| {
        let gain = gain(
            &figures,
            |name, n| name == BATCH && n == size,
            |name, n| name == BATCH_ONE && n == size,
        );
        Some((size, gain?))
    };
    let report = Report {
        cores: cores(),
        cores_gains: args.sizes.iter().copied().filter_map(cores_gain).collect(),
        gymnasium_async_gain: gain(
            &figures,
            |name, _| name == BATCH,
            |name, _| name == GYM_ASYNC,
        ),
        figures,
    };
    if let Some(path) = &args.json {
        write_whole(path, &serde_json::to_vec_pretty(&report)?)?;
    }
    print(&report, &args.sizes);
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A vector environment to measure.
struct Candidate {
    name: &'static str,
    step: Box<dyn FnMut(usize) -> Result<()>>,
}

fn candidates(num_envs: usize) -> Result<Vec<Candidate>> {
    let mut all = Vec::new();
    let mut add = |name, mode| -> Result<()> {
        let envs = make_vec(
            &registry(),
            &EnvSpec::new(PUSHT_ID),
            num_envs,
            mode,
            VectorOptions::default(),
        )
        .with_context(|| format!("{name} of {num_envs} environments"))?;
        all.push(stepping(name, envs)?);
        Ok(())
    };
    if num_envs <= MOST_IN_TURN {
        add("SyncVectorEnv", VectorizeMode::Sync)?;
    }
    if num_envs <= MOST_THREADS {
        add("AsyncVectorEnv, threads", VectorizeMode::Threads)?;
    }
    if num_envs <= MOST_PROCESSES {
        let program = WorkerProgram::default();
        add(
            "AsyncVectorEnv, processes",
            VectorizeMode::Processes(program),
        )?;
    }
    all.push(batch(BATCH_ONE, num_envs, Some(NonZero::<usize>::MIN))?);
    all.push(batch(BATCH, num_envs, None)?);
    Ok(all)
}

fn stepping(name: &'static str, mut envs: Box<dyn VectorEnv>) -> Result<Candidate> {
    let mut random = seeded(0);
    let space = &envs.spaces().action_space;
    let actions: Vec<Value> = (0..ACTIONS).map(|_| space.sample(&mut random)).collect();
    envs.reset(Seed::Int(0), &Dict::new())?;
    let step = move |at: usize| -> Result<()> {
        envs.step(&actions[at % ACTIONS])?;
        Ok(())
    };
    Ok(Candidate {
        name,
        step: Box::new(step),
    })
}

fn batch(
    name: &'static str,
    num_envs: usize,
    threads: Option<NonZero<usize>>,
) -> Result<Candidate> {
    let mut envs = PushTBatch::new(
        num_envs,
        BatchOptions {
            threads,
            ..BatchOptions::default()
        },
    )?;
    let mut random = seeded(0);
    let space = Space::uniform_box(0.0, pusht_core::pusht::env::WINDOW_PX, &[num_envs, 2]);
    let actions: Vec<Value> = (0..ACTIONS).map(|_| space.sample(&mut random)).collect();
    envs.reset(&Seed::Int(0))?;
    let step = move |at: usize| -> Result<()> {
        let actions = actions[at % ACTIONS].as_slice().unwrap_or_default();
        envs.step(actions)?;
        Ok(())
    };
    Ok(Candidate {
        name,
        step: Box::new(step),
    })
}

/// Measures the candidates alternately, so that disturbances affect all; keeps the best of each.
fn measure(
    mut candidates: Vec<Candidate>,
    num_envs: usize,
    slice: Duration,
    rounds: u32,
) -> Result<Vec<Figure>> {
    let mut best = vec![0.0_f64; candidates.len()];
    let mut at = 0;
    for _ in 0..rounds {
        for (candidate, best) in candidates.iter_mut().zip(&mut best) {
            let start = Instant::now();
            let mut steps = 0;
            while start.elapsed() < slice {
                (candidate.step)(at)?;
                at += 1;
                steps += num_envs;
            }
            *best = best.max(steps as f64 / start.elapsed().as_secs_f64());
        }
    }
    let figures = candidates
        .iter()
        .zip(best)
        .map(|(candidate, steps_per_s)| Figure {
            name: candidate.name.into(),
            num_envs,
            steps_per_s,
        });
    Ok(figures.collect())
}

/// Measures gymnasium's vector environments of gym-pusht, and of the Python package.
fn gymnasium(python: &Path, args: &Args) -> Result<Vec<Figure>> {
    let numbers = [
        args.seconds.to_string(),
        args.rounds.to_string(),
        MOST_PYTHON.to_string(),
    ];
    let output = Command::new(python)
        .args(["-c", GYMNASIUM])
        .args(numbers)
        .args(args.sizes.iter().map(ToString::to_string))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("{}: can't be started", python.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().last().unwrap_or("no message");
    ensure!(output.status.success(), "{}: {last}", python.display());
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().filter(|line| line.starts_with('{'));
    figures
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("{}: `{line}`", python.display()))
        })
        .collect()
}

/// Ratio of the best figure of `of` to the best of `against`.
fn gain(
    figures: &[Figure],
    of: impl Fn(&str, usize) -> bool,
    against: impl Fn(&str, usize) -> bool,
) -> Option<f64> {
    let best = |wanted: &dyn Fn(&str, usize) -> bool| {
        let wanted = figures
            .iter()
            .filter(|figure| wanted(&figure.name, figure.num_envs));
        wanted.map(|figure| figure.steps_per_s).reduce(f64::max)
    };
    Some(best(&of)? / best(&against)?)
}

fn print(report: &Report, sizes: &[usize]) {
    out!("{:<28}", "environment steps per second");
    sizes.iter().for_each(|size| out!("{size:>11}"));
    outln!("");
    let mut names: Vec<&str> = Vec::new();
    for figure in &report.figures {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    for name in names {
        out!("{name:<28}");
        for &size in sizes {
            let figure = report
                .figures
                .iter()
                .find(|figure| figure.name == name && figure.num_envs == size);
            match figure {
                Some(figure) => out!("{:>11.0}", figure.steps_per_s),
                None => out!("{:>11}", "-"),
            }
        }
        outln!("");
    }
    outln!("cores: {}", report.cores);
    out!("{:<28}", "all cores against 1 thread");
    for (_, gain) in &report.cores_gains {
        out!("{gain:>11.2}");
    }
    outln!("");
    if let Some(gain) = report.gymnasium_async_gain {
        outln!(
            "PushTBatch at its best against {GYM_ASYNC} of gym-pusht at its best: {gain:.0} times"
        );
    }
}
