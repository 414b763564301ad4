//! `pusht bench pixels`.

use super::SECONDS;
use super::python::Python;
use super::sequences::{self, Sequence};
use crate::arguments::{number, whole};
use crate::outln;
use crate::output::{check_file, write_whole};
use crate::platform::processor_time;
use anyhow::{Context, Result};
use crc::{CRC_32_ISO_HDLC, Crc};
use pusht_core::pusht::env::PushTEnv;
use pusht_gym::pixels::{Frame, PictureError, Renderer};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::path::PathBuf;

/// Control steps of a round.
const STEPS: usize = 100;
/// Width and height of an observation and of a rendered picture, pixels.
const OBSERVATION: usize = 96;
const RENDERED: usize = 680;
/// Script that times the same pictures in gym-pusht.
const GYM_PUSHT: &str = include_str!("gym_pusht_pixels.py");
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Measures gym-pusht's pictures per second on one core: observations of 96 x 96 pixels, and
/// pictures of 680 x 680 with the action's marker, as `render` returns them, in the renderer's
/// memory and copied into the caller's.
///
/// The pictures are those of an agent that chases the block. With --gym-pusht, the same pictures are
/// timed alternately in gym-pusht, the ratio is printed, and so is how many observations are equal
/// byte for byte. Times are processor time, the best of all rounds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pusht bench pixels --gym-pusht python3 --json pixels.json")]
pub struct Args {
    /// JSON file to write
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Python with gym-pusht, to compare in the same run
    #[arg(long, value_name = "PYTHON")]
    gym_pusht: Option<PathBuf>,
    /// Alternating measurements of each
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<usize>(1..=1000))]
    rounds: usize,
    /// Duration of a measurement of these pictures, s
    #[arg(long, value_name = "S", default_value_t = 0.2, value_parser = number(SECONDS))]
    seconds: f64,
}

/// An environment after a step, and the action of that step.
type Moment = (PushTEnv, [f64; 2]);

/// Measurement of one kind of pictures.
#[derive(Serialize)]
struct Figure {
    pictures: &'static str,
    per_s: f64,
    gym_pusht_per_s: Option<f64>,
    ratio: Option<f64>,
}

/// All measurements.
#[derive(Serialize)]
struct Figures {
    figures: Vec<Figure>,
    /// Observations compared with gym-pusht's, and those equal byte for byte.
    compared: usize,
    equal: usize,
}

#[derive(Serialize)]
struct Request<'a> {
    start: [f64; 5],
    actions: &'a [[f64; 2]],
}

#[derive(Deserialize)]
struct Timed {
    observation_s: f64,
    render_s: f64,
    checksums: Vec<u32>,
}

/// Shortest times of a picture, s.
#[derive(Clone, Copy)]
struct Best {
    observation_s: f64,
    render_s: f64,
    copied_s: f64,
}

impl Best {
    const NONE: Self = Self {
        observation_s: f64::INFINITY,
        render_s: f64::INFINITY,
        copied_s: f64::INFINITY,
    };

    fn take(&mut self, other: Self) {
        self.observation_s = self.observation_s.min(other.observation_s);
        self.render_s = self.render_s.min(other.render_s);
        self.copied_s = self.copied_s.min(other.copied_s);
    }
}

/// Runs the command.
///
/// # Errors
/// If the given Python fails.
pub fn run(args: &Args) -> Result<()> {
    args.json.as_deref().map_or(Ok(()), check_file)?;
    let mut upstream = match &args.gym_pusht {
        Some(python) => Some(Python::start(python, GYM_PUSHT)?),
        None => {
            outln!("skipped: gym-pusht (--gym-pusht names a Python with it)");
            None
        }
    };
    let mut renderer = Renderer::new();
    let (mut ours, mut theirs) = (Best::NONE, Best::NONE);
    let (mut compared, mut equal) = (0, 0);
    for sequence in &mut sequences::chase(args.rounds)? {
        sequence.actions.truncate(STEPS);
        let moments = play(sequence)?;
        ours.take(time_all(&mut renderer, &moments, args.seconds)?);
        if let Some(upstream) = &mut upstream {
            let (start, actions) = (sequence.start, sequence.actions.as_slice());
            let timed: Timed = upstream.ask(&Request { start, actions })?;
            let n = actions.len() as f64;
            theirs.take(Best {
                observation_s: timed.observation_s / n,
                render_s: timed.render_s / n,
                copied_s: timed.render_s / n,
            });
            let checksums = checksums(&mut renderer, &moments)?;
            compared += checksums.len();
            let pairs = checksums.iter().zip(&timed.checksums);
            equal += pairs.filter(|(ours, theirs)| ours == theirs).count();
        }
    }
    report(args, [ours, theirs], (compared, equal))
}

/// Prints and writes the figures.
fn report(args: &Args, [ours, theirs]: [Best; 2], (compared, equal): (usize, usize)) -> Result<()> {
    let figure = |pictures, ours: f64, theirs: f64| {
        let theirs = Some(theirs).filter(|seconds| seconds.is_finite());
        Figure {
            pictures,
            per_s: 1.0 / ours,
            gym_pusht_per_s: theirs.map(|theirs| 1.0 / theirs),
            ratio: theirs.map(|theirs| theirs / ours),
        }
    };
    let figures = vec![
        figure(
            "observation, 96 x 96",
            ours.observation_s,
            theirs.observation_s,
        ),
        figure("render, 680 x 680", ours.render_s, theirs.render_s),
        figure("the same, copied", ours.copied_s, theirs.copied_s),
    ];
    outln!("pictures/s on one core");
    outln!(
        "{:<21} {:>9} {:>10} {:>6}",
        "",
        "here",
        "gym-pusht",
        "ratio"
    );
    for figure in &figures {
        let or_dash = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.0}"));
        outln!(
            "{:<21} {:>9.0} {:>10} {:>6}",
            figure.pictures,
            figure.per_s,
            or_dash(figure.gym_pusht_per_s),
            or_dash(figure.ratio),
        );
    }
    if compared > 0 {
        outln!("{equal} of {compared} observations are equal byte for byte");
    }
    let figures = Figures {
        figures,
        compared,
        equal,
    };
    match &args.json {
        Some(path) => write_whole(path, &serde_json::to_vec_pretty(&figures)?),
        None => Ok(()),
    }
}

/// The environment after each action, and the action.
fn play(sequence: &Sequence) -> Result<Vec<Moment>> {
    let mut env = sequence
        .begin()
        .context("a start state can't be simulated")?;
    let steps = sequence.actions.iter().map(|action| {
        env.step(*action)?;
        Ok((env, *action))
    });
    steps.collect()
}

/// Times all kinds of pictures.
fn time_all(renderer: &mut Renderer, moments: &[Moment], seconds: f64) -> Result<Best> {
    let mut out = vec![0; 3 * RENDERED * RENDERED];
    let observation = &mut vec![0; 3 * OBSERVATION * OBSERVATION];
    Ok(Best {
        observation_s: time(moments, seconds, |(env, _)| {
            let frame = Frame::of_env(env);
            renderer.observation(&frame, OBSERVATION, OBSERVATION, observation)
        })?,
        render_s: time(moments, seconds, |(env, action)| {
            let frame = Frame::of_env(env);
            let picture = renderer.picture(&frame, RENDERED, RENDERED, Some(*action));
            black_box(picture).map(|_| ())
        })?,
        copied_s: time(moments, seconds, |(env, action)| {
            let frame = Frame::of_env(env);
            renderer.render(&frame, RENDERED, RENDERED, Some(*action), &mut out)
        })?,
    })
}

/// Processor time per picture, s.
fn time(
    moments: &[Moment],
    seconds: f64,
    mut draw: impl FnMut(&Moment) -> Result<(), PictureError>,
) -> Result<f64> {
    let (start, mut n) = (processor_time(), 0);
    loop {
        for moment in moments {
            draw(moment)?;
        }
        n += moments.len();
        let spent = (processor_time() - start).as_secs_f64();
        if spent >= seconds {
            return Ok(spent / n as f64);
        }
    }
}

fn checksums(renderer: &mut Renderer, moments: &[Moment]) -> Result<Vec<u32>> {
    let mut picture = vec![0; 3 * OBSERVATION * OBSERVATION];
    let sums = moments.iter().map(|(env, _)| {
        renderer.observation(&Frame::of_env(env), OBSERVATION, OBSERVATION, &mut picture)?;
        Ok(CRC.checksum(&picture))
    });
    sums.collect()
}
