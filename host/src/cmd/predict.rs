//! `pusht predict`.

use crate::engine::{Engine, PolicyArgs};
use anyhow::{Context, Result, bail, ensure};
use fixed::types::I8F24;
use pusht_core::control::Planner;
use pusht_core::noise::{Noise, NoiseSource};
use pusht_core::pusht::observation::{ObservationKind, STATE_DIM, observe};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};

/// Read observations from standard input and write actions, to drive the policy from any program.
///
/// Each input line is a JSON object. `obs` has the last `To` observations, oldest first: `Do`
/// values each, in the order and units that `pusht info` prints. A PushT policy also accepts
/// states: agent x, agent y, block x, block y in pixels and the block's angle in radians. `seed` is
/// the seed of the plan's noise; `noise` provides the initial sample instead (a row of `Da` values
/// per step of the horizon; an inpainting policy takes `Da + Do` values per row). Each answer is a
/// line with the actions to execute before the next request.
#[derive(clap::Args)]
#[command(
    after_help = "Example: echo '{\"obs\": [[222,97,222,300,0.5],[222,97,222,300,0.5]], \"seed\": 0}' | pusht predict"
)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    obs: Vec<Vec<f64>>,
    seed: Option<u64>,
    noise: Option<Vec<Vec<f64>>>,
}

#[derive(Serialize)]
struct Answer {
    action: Vec<Vec<f64>>,
}

/// Runs the command.
///
/// # Errors
/// If the policy can't be loaded or an input line is invalid; earlier answers are already written.
pub fn run(args: &Args) -> Result<()> {
    let engine = Engine::load(&args.policy)?;
    let noise_shape = engine.noise_shape();
    let kind = engine.observation().ok();
    engine.with_planner(|planner| {
        let mut output = std::io::stdout().lock();
        for (index, line) in std::io::stdin().lock().lines().enumerate() {
            let place = || format!("standard input, line {}", index + 1);
            let line = line.with_context(place)?;
            if line.trim().is_empty() {
                continue;
            }
            let answer = answer(planner, kind, noise_shape, &line).with_context(place)?;
            writeln!(output, "{}", serde_json::to_string(&answer)?)?;
            output.flush()?;
        }
        Ok(())
    })
}

fn answer(
    planner: &mut dyn Planner,
    kind: Option<ObservationKind>,
    noise_shape: [usize; 2],
    line: &str,
) -> Result<Answer> {
    let request: Request = serde_json::from_str(line)?;
    let shape = planner.shape();
    let (given, needed) = (request.obs.len(), shape.n_obs_steps);
    ensure!(
        given == needed,
        "obs has {given} observations, the policy needs {needed}"
    );
    let mut window = Vec::with_capacity(shape.window_len());
    for row in &request.obs {
        window.extend(observation(row, kind, shape.obs_dim)?);
    }
    let mut noise: Box<dyn Noise> = match (request.seed, request.noise) {
        (Some(seed), None) => Box::new(NoiseSource::new(seed)),
        (None, Some(rows)) => Box::new(GivenNoise::new(&rows, noise_shape)?),
        (None, None) => bail!("neither seed nor noise"),
        (Some(_), Some(_)) => bail!("both seed and noise"),
    };
    let mut chunk = vec![0.0; shape.chunk_len()];
    planner.plan(&window, noise.as_mut(), &mut chunk)?;
    let rows = chunk.chunks(shape.action_dim).map(<[f64]>::to_vec);
    Ok(Answer {
        action: rows.collect(),
    })
}

/// Observation of the policy from a row of a request.
fn observation(row: &[f64], kind: Option<ObservationKind>, obs_dim: usize) -> Result<Vec<f64>> {
    match (kind, <&[f64; STATE_DIM]>::try_from(row)) {
        _ if row.len() == obs_dim => Ok(row.to_vec()),
        (Some(kind), Ok(state)) => {
            let mut values = vec![0.0; obs_dim];
            observe(kind, state, &mut values)?;
            Ok(values)
        }
        (Some(_), Err(_)) => bail!(
            "an observation has {} values, the policy needs {obs_dim}, or a state's {STATE_DIM}",
            row.len()
        ),
        (None, _) => bail!(
            "an observation has {} values, the policy needs {obs_dim}",
            row.len()
        ),
    }
}

/// Given initial sample; further draws of a stochastic scheduler come from seed 0.
struct GivenNoise {
    given: std::vec::IntoIter<I8F24>,
    then: NoiseSource,
}

impl GivenNoise {
    fn new(rows: &[Vec<f64>], [n_rows, n_columns]: [usize; 2]) -> Result<Self> {
        ensure!(
            rows.len() == n_rows,
            "noise has {} rows, the policy needs {n_rows}",
            rows.len()
        );
        for (index, row) in rows.iter().enumerate() {
            ensure!(
                row.len() == n_columns,
                "noise row {index} has {} values, the policy needs {n_columns}",
                row.len()
            );
        }
        let given = rows
            .iter()
            .flatten()
            .map(|value| {
                I8F24::checked_from_num(*value)
                    .with_context(|| format!("noise {value} is not within -128 to 128"))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            given: given.into_iter(),
            then: NoiseSource::new(0),
        })
    }
}

impl Noise for GivenNoise {
    fn next_gaussian(&mut self) -> I8F24 {
        self.given
            .next()
            .unwrap_or_else(|| self.then.next_gaussian())
    }
}
