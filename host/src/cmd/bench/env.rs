//! `pusht bench env`.

use super::SECONDS;
use super::python::Python;
use super::sequences::{self, Sequence};
use crate::arguments::{number, whole};
use crate::data::Demonstrations;
use crate::output::{check_file, write_whole};
use crate::platform::processor_time;
use crate::{outln, stdout};
use anyhow::{Context, Result, ensure};
use pusht_core::pusht::env::{Phase, PushTEnv, StartOrder, step_side_by_side};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

/// Number of generated sequences per kind.
const GENERATED: usize = 64;
/// Sequences per round: timed one by one, batched, and in gym-pusht.
const SLICE: usize = 32;
/// Sampling interval of the simulator's current phase.
const SAMPLE: Duration = Duration::from_micros(50);
/// Script that times the same sequences in gym-pusht.
const GYM_PUSHT: &str = include_str!("gym_pusht.py");

/// Measures control steps per second on one core, single and batched, and the share of each phase.
///
/// A control step is ten physics steps with contacts, then coverage and reward. There are three
/// kinds of sequences: the recorded demonstrations (without the dataset, generated ones that chase
/// the block), pushes into walls and corners, and squeezes against a wall. A batch is the sequences
/// of a round; the shares are those of single environments. With --gym-pusht, the same steps are
/// timed alternately in gym-pusht, and the ratio is printed. Times are processor time, the best of
/// all rounds.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: pusht bench env --data pusht.zip --gym-pusht python3 --json env.json"
)]
pub struct Args {
    /// JSON file to write
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The recorded demonstrations [default: the path in PUSHT_DATASET]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Python with gym-pusht, to compare in the same run
    #[arg(long, value_name = "PYTHON")]
    gym_pusht: Option<PathBuf>,
    /// Alternating measurements of each
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = whole::<usize>(1..=1000))]
    rounds: usize,
    /// Duration of a measurement of this simulator, s
    #[arg(long, value_name = "S", default_value_t = 0.4, value_parser = number(SECONDS))]
    seconds: f64,
}

/// Measurement of one kind of sequences.
#[derive(Serialize)]
struct Figure {
    sequences: &'static str,
    control_steps: usize,
    steps_per_s: f64,
    side_by_side_steps_per_s: f64,
    gym_pusht_steps_per_s: Option<f64>,
    ratio: Option<f64>,
    side_by_side_ratio: Option<f64>,
    /// Largest distance of the block's final position from that in gym-pusht, px.
    farthest_px: Option<f64>,
    /// Shares of the phases in the time.
    shares: Shares,
}

/// Shares of the phases in the time of a control step.
#[derive(Clone, Copy, Serialize)]
struct Shares {
    physics: f64,
    contacts: f64,
    coverage: f64,
}

/// Runs the command.
///
/// # Errors
/// If the demonstrations can't be read, or the given Python fails.
pub fn run(args: &Args) -> Result<()> {
    args.json.as_deref().map_or(Ok(()), check_file)?;
    let data = args.data.clone();
    let data = data.or_else(|| std::env::var_os("PUSHT_DATASET").map(PathBuf::from));
    let first = match &data {
        Some(path) => ("human", sequences::human(&Demonstrations::open(path)?)),
        None => {
            outln!(
                "skipped: the recorded demonstrations (--data or PUSHT_DATASET names them); chase instead"
            );
            ("chase", sequences::chase(GENERATED)?)
        }
    };
    let kinds = [
        first,
        ("walls", sequences::walls(GENERATED)?),
        ("squeeze", sequences::squeeze(GENERATED)?),
    ];
    let mut upstream = match &args.gym_pusht {
        Some(python) => Some(Python::start(python, GYM_PUSHT)?),
        None => {
            outln!("skipped: gym-pusht (--gym-pusht names a Python with it)");
            None
        }
    };
    outln!("control steps/s, and times gym-pusht's; what the time of one goes into");
    outln!(
        "{:<9} {:>15} {:>15} {:>9} {:>8} {:>9} {:>9}",
        "sequences",
        "one",
        "side by side",
        "gym-pusht",
        "physics",
        "contacts",
        "coverage"
    );
    let mut figures = Vec::new();
    for (name, sequences) in &kinds {
        if args.json.is_none() {
            stdout::check()?;
        }
        let figure = measure(name, sequences, upstream.as_mut(), args)?;
        let with_ratio = |rate: f64, ratio: Option<f64>| match ratio {
            Some(ratio) => format!("{rate:.0} ({ratio:.0})"),
            None => format!("{rate:.0}"),
        };
        outln!(
            "{:<9} {:>15} {:>15} {:>9} {:>7.0}% {:>8.0}% {:>8.0}%",
            figure.sequences,
            with_ratio(figure.steps_per_s, figure.ratio),
            with_ratio(figure.side_by_side_steps_per_s, figure.side_by_side_ratio),
            figure
                .gym_pusht_steps_per_s
                .map_or("-".into(), |rate| format!("{rate:.0}")),
            100.0 * figure.shares.physics,
            100.0 * figure.shares.contacts,
            100.0 * figure.shares.coverage,
        );
        figures.push(figure);
    }
    match &args.json {
        Some(path) => write_whole(path, &serde_json::to_vec_pretty(&figures)?),
        None => Ok(()),
    }
}

/// Times the rounds of one kind of sequences, alternating between this simulator and gym-pusht.
fn measure(
    name: &'static str,
    sequences: &[Sequence],
    mut upstream: Option<&mut Python>,
    args: &Args,
) -> Result<Figure> {
    let (mut steps_per_s, mut side_by_side) = (0.0_f64, 0.0_f64);
    let (mut theirs, mut farthest_px) = (None::<f64>, None::<f64>);
    for round in 0..args.rounds {
        let from = round * SLICE % sequences.len();
        let slice = &sequences[from..(from + SLICE).min(sequences.len())];
        let (rate, poses) = time(slice, args.seconds, one_by_one)?;
        steps_per_s = steps_per_s.max(rate);
        let (rate, same_poses) = time(slice, args.seconds, all_side_by_side)?;
        side_by_side = side_by_side.max(rate);
        ensure!(
            poses == same_poses,
            "{name}: side by side, the block ended elsewhere"
        );
        if let Some(upstream) = upstream.as_deref_mut() {
            let sequences = slice.iter().map(RequestedSequence::of).collect();
            let timed: Timed = upstream.ask(&Request { sequences })?;
            let rate = timed.steps as f64 / timed.seconds;
            theirs = Some(theirs.map_or(rate, |best| best.max(rate)));
            let distances = poses.iter().zip(&timed.poses);
            let farthest = distances.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]));
            let farthest = farthest.fold(farthest_px.unwrap_or(0.0), f64::max);
            farthest_px = Some(farthest);
        }
    }
    Ok(Figure {
        sequences: name,
        control_steps: sequences.iter().map(|s| s.actions.len()).sum(),
        steps_per_s,
        side_by_side_steps_per_s: side_by_side,
        gym_pusht_steps_per_s: theirs,
        ratio: theirs.map(|theirs| steps_per_s / theirs),
        side_by_side_ratio: theirs.map(|theirs| side_by_side / theirs),
        farthest_px,
        shares: shares(sequences, args.seconds)?,
    })
}

/// Control steps per second of processor time, and the block's final position in each sequence.
fn time(
    sequences: &[Sequence],
    seconds: f64,
    play: impl Fn(&[Sequence], &mut [PushTEnv]) -> Result<()>,
) -> Result<(f64, Vec<[f64; 3]>)> {
    let starts = begin(sequences)?;
    let n_actions = sequences.iter().map(|s| s.actions.len()).sum::<usize>();
    let (start, mut steps) = (processor_time(), 0);
    loop {
        let mut envs = starts.clone();
        play(sequences, &mut envs)?;
        steps += n_actions;
        let spent = (processor_time() - start).as_secs_f64();
        if spent >= seconds {
            let poses = envs.iter().map(|env| {
                let info = env.info();
                let pos = info.block_pos_px;
                [pos.x, pos.y, info.block_angle_rad]
            });
            return Ok((steps as f64 / spent, poses.collect()));
        }
    }
}

fn one_by_one(sequences: &[Sequence], envs: &mut [PushTEnv]) -> Result<()> {
    for (sequence, env) in sequences.iter().zip(envs) {
        for action in &sequence.actions {
            black_box(env.step(*action)?);
        }
    }
    Ok(())
}

fn all_side_by_side(sequences: &[Sequence], envs: &mut [PushTEnv]) -> Result<()> {
    let longest = sequences.iter().map(|s| s.actions.len()).max();
    let mut actions = vec![None; sequences.len()];
    let mut outcomes: Vec<_> = envs.iter().map(|env| Ok(env.current())).collect();
    for tick in 0..longest.unwrap_or_default() {
        for (action, sequence) in actions.iter_mut().zip(sequences) {
            *action = sequence.actions.get(tick).copied();
        }
        step_side_by_side(envs, &actions, &mut outcomes);
        for outcome in black_box(&outcomes) {
            (*outcome)?;
        }
    }
    Ok(())
}

/// Shares of the phases, sampled by a second thread.
fn shares(sequences: &[Sequence], seconds: f64) -> Result<Shares> {
    let starts = begin(sequences)?;
    let (phase, done) = (AtomicU8::new(0), AtomicBool::new(false));
    let counts = std::thread::scope(|scope| -> Result<[u32; 3]> {
        let sampler = scope.spawn(|| {
            let mut counts = [0; 3];
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(SAMPLE);
                counts[usize::from(phase.load(Ordering::Relaxed))] += 1;
            }
            counts
        });
        let watch = |begun: Phase| {
            let number = match begun {
                Phase::Physics => 0,
                Phase::Contacts => 1,
                Phase::Coverage => 2,
            };
            phase.store(number, Ordering::Relaxed);
        };
        let start = processor_time();
        while (processor_time() - start).as_secs_f64() < seconds {
            for (sequence, env) in sequences.iter().zip(&starts) {
                let mut env = *env;
                for action in &sequence.actions {
                    black_box(env.step_profiled(*action, watch)?);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        sampler
            .join()
            .map_err(|_| anyhow::anyhow!("the sampling thread has failed"))
    })?;
    let all = f64::from(counts.iter().sum::<u32>().max(1));
    let [physics, contacts, coverage] = counts.map(|count| f64::from(count) / all);
    Ok(Shares {
        physics,
        contacts,
        coverage,
    })
}

fn begin(sequences: &[Sequence]) -> Result<Vec<PushTEnv>> {
    let starts = sequences.iter().map(Sequence::begin);
    starts
        .collect::<Result<_, _>>()
        .context("a start state can't be simulated")
}

#[derive(Serialize)]
struct Request<'a> {
    sequences: Vec<RequestedSequence<'a>>,
}

#[derive(Serialize)]
struct RequestedSequence<'a> {
    start: [f64; 5],
    angle_first: bool,
    actions: &'a [[f64; 2]],
}

#[derive(Deserialize)]
struct Timed {
    steps: usize,
    seconds: f64,
    poses: Vec<[f64; 3]>,
}

impl<'a> RequestedSequence<'a> {
    fn of(sequence: &'a Sequence) -> Self {
        Self {
            start: sequence.start,
            angle_first: sequence.order == StartOrder::AngleFirst,
            actions: &sequence.actions,
        }
    }
}
