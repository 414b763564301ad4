//! `pusht bench robustness`: the shipped policies under every disturbance of the standard set, and
//! under growing strengths of each kind.

use crate::arguments::seeds;
use crate::console;
use crate::engine::{Engine, PolicyArgs};
use crate::evaluate::disturbances::{STANDARD, parse_all};
use crate::evaluate::statistics::Estimate;
use crate::evaluate::{Conditions, Evaluation, evaluate};
use crate::output::write_json;
use crate::regular_file;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use pusht_core::pusht::env::Seeding;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Measure the shipped policies under disturbances.
///
/// Plays every disturbance of the standard set with both policies, in integers and floats, with and
/// without the estimator, then growing strengths of each kind in integers. A row that the file
/// already has is not measured again, so the command can be interrupted. `cargo verify robustness`
/// writes docs/robustness.md from the file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Result file; continued where it exists
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
    /// Folder of the policies
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// Legacy seeds of the standard set
    #[arg(long, value_name = "A..B", default_value = "400000..401000", value_parser = seeds)]
    seeds: Range<u64>,
    /// Legacy seeds of the growing strengths
    #[arg(long, value_name = "A..B", default_value = "400000..400100", value_parser = seeds)]
    strength_seeds: Range<u64>,
}

/// A policy under a disturbance: a row of the result file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name of the policy's file.
    pub policy: String,
    /// Whether the estimator is before the policy.
    pub estimator: bool,
    /// Whether an episode goes on after success.
    pub to_the_end: bool,
    /// The member of the standard set, or the kind of a growing strength.
    pub name: String,
    /// The strength, where it grows.
    pub strength: Option<f64>,
    /// The disturbances, as `--disturb` takes them.
    pub disturbances: Vec<String>,
    /// Legacy seeds of the episodes.
    pub seeds: Range<u64>,
    /// Number of episodes with success.
    pub successes: usize,
    /// 95 % interval of the success rate (Wilson).
    pub success_ci95: [f64; 2],
    /// Control steps to success: the median.
    pub median_steps_to_success: Estimate,
    /// Control steps to success: the 95th percentile.
    pub p95_steps_to_success: Estimate,
    /// Mean of the coverage at the end.
    pub mean_final_coverage: Estimate,
    /// Mean length of the agent's way, px.
    pub mean_way_px: Estimate,
}

impl Row {
    /// Share of the episodes with success.
    pub fn rate(&self) -> f64 {
        self.successes as f64 / (self.seeds.end - self.seeds.start) as f64
    }
}

/// What is to be measured.
struct Job {
    policy: &'static str,
    conditions: [bool; 2],
    name: String,
    strength: Option<f64>,
    disturbances: Vec<String>,
    seeds: Range<u64>,
}

const INTEGER: [&str; 2] = ["pusht.ptm", "pusht-small.ptm"];
const FLOAT: [&str; 2] = ["pusht.safetensors", "pusht-small.safetensors"];

/// Kinds of growing strength: name, `NAME=VALUE` with `{}` for the strength, and strengths.
const GROWING: [(&str, &str, &[f64]); 11] = [
    (
        "observation noise, px and 0.01 rad",
        "observation-noise={},{rad}",
        &[0.0, 2.0, 4.0, 6.0, 8.0, 12.0],
    ),
    (
        "observation latency, ticks",
        "observation-latency={}",
        &[0.0, 1.0, 2.0, 3.0, 5.0],
    ),
    (
        "action latency, ticks",
        "action-latency={}",
        &[0.0, 1.0, 2.0, 3.0, 5.0],
    ),
    (
        "share of lost observations",
        "observation-loss={}",
        &[0.0, 0.3, 0.5, 0.7, 0.9],
    ),
    (
        "action noise, px",
        "action-noise={}",
        &[0.0, 5.0, 10.0, 15.0, 20.0],
    ),
    (
        "share of ticks with a shove of 15 px, 0.15 rad",
        "shoves=15,0.15,{}",
        &[0.0, 0.02, 0.05, 0.1, 0.2],
    ),
    (
        "observation offset, px and 0.01 rad",
        "observation-offset={},{rad}",
        &[0.0, 1.0, 2.0, 3.0, 4.0],
    ),
    (
        "size of the T",
        "block-size={}",
        &[0.9, 0.95, 1.0, 1.05, 1.1],
    ),
    (
        "radius of the agent, px",
        "agent-radius={}",
        &[9.0, 12.0, 15.0, 18.0, 21.0],
    ),
    (
        "speed that the block keeps per second",
        "damping={}",
        &[0.0, 0.0001, 0.001, 0.01, 0.03],
    ),
    (
        "goal anywhere, px from the walls",
        "goal=anywhere,{}",
        &[0.0, 20.0, 60.0, 100.0, 150.0],
    ),
];

/// Runs the command.
///
/// # Errors
/// If a policy can't be loaded, or the file can't be read or written.
pub fn run(args: &Args) -> Result<()> {
    let mut rows = read(&args.json)?;
    let jobs = jobs(args);
    let progress = console::progress_bar("rows");
    progress.set_length(jobs.len() as u64);
    for job in jobs {
        if !rows.iter().any(|row| job.is(row)) {
            rows.push(measure(&args.models, &job)?);
            write_json(&args.json, &rows)?;
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = regular_file::read_text(path)?;
    serde_json::from_str(&text).with_context(|| format!("{}: no such result", path.display()))
}

/// Everything to measure, the most important first.
fn jobs(args: &Args) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut add_set = |policies: [&'static str; 2], estimator| {
        for policy in policies {
            for (name, texts) in STANDARD {
                jobs.push(Job {
                    policy,
                    conditions: [estimator, false],
                    name: name.to_owned(),
                    strength: None,
                    disturbances: texts.iter().map(|text| (*text).to_owned()).collect(),
                    seeds: args.seeds.clone(),
                });
            }
        }
    };
    add_set(INTEGER, true);
    add_set(INTEGER, false);
    add_set(FLOAT, true);
    add_set(FLOAT, false);
    let both = INTEGER
        .into_iter()
        .flat_map(|policy| [(policy, true), (policy, false)]);
    let mut grown: Vec<Job> = Vec::new();
    for (policy, estimator) in both {
        for (name, pattern, strengths) in GROWING {
            grown.extend(strengths.iter().map(|strength| Job {
                policy,
                conditions: [estimator, false],
                name: name.to_owned(),
                strength: Some(*strength),
                disturbances: vec![text_of(pattern, *strength)],
                seeds: args.strength_seeds.clone(),
            }));
        }
    }
    let held = INTEGER.map(|policy| Job {
        policy,
        conditions: [false, true],
        name: "none".to_owned(),
        strength: None,
        disturbances: Vec::new(),
        seeds: args.seeds.clone(),
    });
    // The floats are the most expensive, and come last.
    let floats = jobs.split_off(2 * INTEGER.len() * STANDARD.len());
    jobs.extend(held.into_iter().chain(grown).chain(floats));
    jobs
}

fn text_of(pattern: &str, strength: f64) -> String {
    let rad = format!("{}", (strength * 1e4).round() / 1e6);
    pattern
        .replace("{}", &strength.to_string())
        .replace("{rad}", &rad)
}

impl Job {
    fn is(&self, row: &Row) -> bool {
        row.policy == self.policy
            && [row.estimator, row.to_the_end] == self.conditions
            && row.name == self.name
            && row.disturbances == self.disturbances
            && row.seeds == self.seeds
    }
}

fn measure(models: &Path, job: &Job) -> Result<Row> {
    let engine = Engine::load(&PolicyArgs {
        policy: Some(models.join(job.policy)),
        ..PolicyArgs::default()
    })?;
    let [estimator, to_the_end] = job.conditions;
    let conditions = Conditions {
        disturbances: parse_all(&job.disturbances)?,
        estimator,
        to_the_end,
    };
    let seeds: Vec<u64> = job.seeds.clone().collect();
    let (never, hidden) = (AtomicBool::new(false), ProgressBar::hidden());
    let timed = evaluate(
        &engine,
        &seeds,
        Seeding::Legacy,
        &conditions,
        &never,
        &hidden,
    )?;
    let Evaluation {
        success_ci95,
        median_steps_to_success,
        p95_steps_to_success,
        mean_final_coverage,
        mean_way_px,
        episodes,
        ..
    } = timed.evaluation;
    Ok(Row {
        policy: job.policy.to_owned(),
        estimator,
        to_the_end,
        name: job.name.clone(),
        strength: job.strength,
        disturbances: job.disturbances.clone(),
        seeds: job.seeds.clone(),
        successes: episodes.iter().filter(|episode| episode.success).count(),
        success_ci95,
        median_steps_to_success,
        p95_steps_to_success,
        mean_final_coverage,
        mean_way_px,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_measured_and_no_two_are_the_same() {
        let args = Args {
            json: PathBuf::new(),
            models: PathBuf::new(),
            seeds: 0..2,
            strength_seeds: 0..1,
        };
        let jobs = jobs(&args);
        let mut keys: Vec<String> = Vec::new();
        for job in &jobs {
            let disturbances = parse_all(&job.disturbances).unwrap();
            disturbances.params(0).unwrap();
            keys.push(format!(
                "{} {:?} {} {:?}",
                job.policy, job.conditions, job.name, job.disturbances
            ));
        }
        let n = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), n);
    }
}
