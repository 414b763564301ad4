//! `pusht predict`.

mod request;

use crate::engine::{Engine, PolicyArgs};
use crate::plan_input::{Checks, PlanNoise, noise_value};
use crate::stdout;
use anyhow::{Context, Result, bail, ensure};
use pusht_core::control::Planner;
use pusht_core::noise::I8F24;
use request::{Line, Request, Rows};
use serde_json::{Value, json};
use std::io::{BufRead, Read, Write};

/// Read observations from standard input and write actions, to drive the policy from any program.
///
/// Each input line is a JSON object; each answer is a line with `action`, the actions to execute
/// before the next request. A line that can't be answered gets {"error": ".."} in its place, and
/// the next line is read; blank lines get none. The program ends, with status 0, where its input
/// ends.
///
/// `obs` has the last `To` observations, oldest first: `Do` values each, in the order and units
/// that `pusht info` prints. A PushT policy also accepts states: agent x, agent y, block x, block y
/// in pixels and the block's angle in radians. A value is an error if it is not finite, or beyond
/// both 10000 and a hundred widths of the policy's range (`pusht info`).
///
/// The plan's noise is one of
///   `seed`: all of it from this seed, as in `pusht eval`
///   `noise`: the initial sample, a row of `Da` values per step of the horizon (an inpainting
///     policy takes `Da + Do` values per row); and for a stochastic scheduler
///   `step_noise`: beside it, a sample of the same size for every pass that draws one, in their
///     order. Without it these come from seed 0.
///
/// A list of windows in `obs` is a batch: `seed`, `noise` and `step_noise` then have an entry per
/// window, and `action` has a plan per window, each as it would be alone.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(
    after_help = "Examples:\n  echo '{\"obs\": [[222,97,222,300,0.5],[222,97,222,300,0.5]], \"seed\": 0}' | pusht predict\n  \
                  echo '{\"obs\": [[[222,97,222,300,0.5],[222,97,222,300,0.5]]], \"seed\": [0]}' | pusht predict"
)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
}

/// Bytes of the longest line that is read.
const MAX_LINE: u64 = 64 << 20;

/// Runs the command.
///
/// # Errors
/// If the policy can't be loaded, or standard input or output fails.
pub fn run(args: &Args) -> Result<()> {
    let engine = Engine::load(&args.policy)?;
    let served = serve(&engine, std::io::stdin().lock(), stdout::Stdout);
    stdout::check()?;
    served
}

/// Answers the lines of `input` until it ends.
///
/// # Errors
/// If `input` can't be read, or `output` not written.
pub fn serve(engine: &Engine, mut input: impl BufRead, mut output: impl Write) -> Result<()> {
    let checks = Checks::of(engine);
    engine.with_planner(|planner| {
        while let Some(line) = next_line(&mut input).context("standard input")? {
            let answer = line.and_then(|line| answer(planner, &checks, &line));
            let answer = match answer {
                Ok(None) => continue,
                Ok(Some(actions)) => json!({ "action": actions }),
                Err(error) => json!({ "error": format!("{error:#}") }),
            };
            writeln!(output, "{answer}").context("standard output")?;
            output.flush().context("standard output")?;
        }
        Ok(())
    })
}

/// Reads a line; the inner result is an error if it is no text or longer than [`MAX_LINE`].
fn next_line(input: &mut impl BufRead) -> std::io::Result<Option<Result<String>>> {
    let mut line = Vec::new();
    if input.take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
        let error = anyhow::anyhow!("the line is longer than {} MiB", MAX_LINE >> 20);
        return Ok(Some(Err(error)));
    }
    Ok(Some(
        String::from_utf8(line).context("the line is not UTF-8 text"),
    ))
}

/// Answers a line: the actions of a plan, or a list of them; `None` for a blank line.
fn answer(planner: &mut dyn Planner, checks: &Checks, line: &str) -> Result<Option<Value>> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(match Line::parse(line)? {
        Line::One(request) => json!(plan(planner, checks, &request)?),
        Line::Batch(requests) => {
            let plans = requests.iter().enumerate().map(|(index, request)| {
                plan(planner, checks, request).with_context(|| format!("window {index}"))
            });
            json!(plans.collect::<Result<Vec<Rows>>>()?)
        }
    }))
}

fn plan(planner: &mut dyn Planner, checks: &Checks, request: &Request) -> Result<Rows> {
    let shape = checks.shape;
    let (given, needed) = (request.obs.len(), shape.n_obs_steps);
    ensure!(
        given == needed,
        "obs has {given} observations, the policy needs {needed}"
    );
    let mut window = Vec::with_capacity(shape.window_len());
    for (index, row) in request.obs.iter().enumerate() {
        let row = checks
            .observation(row)
            .with_context(|| format!("obs, row {index}"))?;
        window.extend(row);
    }
    let mut noise = noise(request, checks.noise_shape)?;
    let mut chunk = vec![0.0; shape.chunk_len()];
    planner.plan(&window, &mut noise, &mut chunk)?;
    noise.check_drawn()?;
    Ok(chunk
        .chunks(shape.action_dim)
        .map(<[f64]>::to_vec)
        .collect())
}

/// Noise of a request; a sample has the shape `[rows, columns]`.
fn noise(request: &Request, shape: [usize; 2]) -> Result<PlanNoise> {
    let step_noise = request.step_noise.as_deref();
    ensure!(
        step_noise.is_none() || request.noise.is_some(),
        "step_noise without noise, the initial sample"
    );
    let rows = match (request.seed, &request.noise) {
        (Some(seed), None) => return Ok(PlanNoise::seeded(seed)),
        (None, Some(rows)) => rows,
        (None, None) => bail!("neither seed nor noise"),
        (Some(_), Some(_)) => bail!("both seed and noise"),
    };
    let initial = sample(rows, shape).context("noise")?;
    let step_samples = step_noise.map(|samples| {
        let samples = samples.iter().enumerate();
        let samples = samples.map(|(index, rows)| {
            sample(rows, shape).with_context(|| format!("step_noise, sample {index}"))
        });
        samples.collect::<Result<Vec<_>>>()
    });
    Ok(PlanNoise::given(initial, step_samples.transpose()?))
}

/// Values of a sample, row by row.
fn sample(rows: &Rows, [n_rows, n_columns]: [usize; 2]) -> Result<Vec<I8F24>> {
    ensure!(
        rows.len() == n_rows,
        "it has {} rows, the policy needs {n_rows}",
        rows.len()
    );
    for (index, row) in rows.iter().enumerate() {
        ensure!(
            row.len() == n_columns,
            "row {index} has {} values, the policy needs {n_columns}",
            row.len()
        );
    }
    rows.iter().flatten().copied().map(noise_value).collect()
}
