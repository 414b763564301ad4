//! Demonstrations of the planner, as `pusht collect` records them.

use crate::options::parsed;
use crate::run::{interruptible, unlocked};
use crate::seeds::range;
use indicatif::ProgressBar;
use pusht_core::pusht::env::Seeding;
use pusht_core::pusht::episode::MAX_EPISODE_STEPS;
use pusht_host::collect::episode::{Policies, Settings};
use pusht_host::collect::writer::Writer;
use pusht_host::collect::{Summary, collect as record};
use pusht_host::expert::ExpertOptions;
use pyo3::exceptions::PyFileExistsError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};

/// Keyword arguments of `pusht.collect`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options {
    seeding: String,
    speed_limit: f64,
    stop_coverage: f64,
    samples: usize,
    noise_share: f64,
    noise_px: f64,
    near_goal_share: f64,
    resume: bool,
    num_threads: Option<usize>,
}

impl Options {
    fn settings(&self, first_seed: u64) -> PyResult<Settings> {
        let seeding: Seeding = parsed("seeding", &self.seeding)?;
        Ok(Settings {
            first_seed,
            seeding: seeding.name().into(),
            expert: ExpertOptions {
                speed_limit_px: self.speed_limit,
                stop_coverage: self.stop_coverage,
                n_samples: self.samples,
            },
            noise_share: self.noise_share,
            noise_px: self.noise_px,
            near_goal_share: self.near_goal_share,
            max_steps: MAX_EPISODE_STEPS,
            corrections: None,
            images: false,
        })
    }
}

/// Records one attempt per seed in the folder `out`.
#[pyfunction]
pub fn collect<'py>(
    py: Python<'py>,
    out: PathBuf,
    seeds_of_attempts: &Bound<'py, PyAny>,
    options: Options,
) -> PyResult<Bound<'py, PyDict>> {
    let seeds = range(seeds_of_attempts)?;
    let n_attempts = seeds.end - seeds.start;
    let settings = options.settings(seeds.start)?;
    if !options.resume {
        refuse_existing(&out, "name another folder, or go on with resume=True")?;
    }
    let summary = interruptible(py, options.num_threads, |stop| {
        settings.check(n_attempts)?;
        let mut writer = match options.resume {
            true => Writer::resume(&out, &settings)?,
            false => Writer::create(&out, &settings)?,
        };
        let hidden = ProgressBar::hidden();
        let summary = record(
            &settings,
            Policies::default(),
            n_attempts,
            &mut writer,
            stop,
            &hidden,
        )?;
        writer.finish()?;
        Ok(summary)
    })?;
    let Summary {
        attempts,
        solved,
        episodes,
        steps,
        cpu,
    } = summary;
    let dict = PyDict::new(py);
    dict.set_item("attempts", attempts)?;
    dict.set_item("solved", solved)?;
    dict.set_item("episodes", episodes)?;
    dict.set_item("steps", steps)?;
    dict.set_item("cpu_s", cpu.as_secs_f64())?;
    Ok(dict)
}

/// Joins folders of `collect` to one, `out`.
#[pyfunction]
pub fn join(py: Python<'_>, out: PathBuf, parts: Vec<PathBuf>) -> PyResult<()> {
    refuse_existing(&out, "name another folder")?;
    unlocked(py, || pusht_host::collect::join::join(&out, &parts))
}

fn refuse_existing(out: &Path, advice: &str) -> PyResult<()> {
    match out.exists() {
        true => Err(PyFileExistsError::new_err(format!(
            "{}: already there; {advice}",
            out.display()
        ))),
        false => Ok(()),
    }
}
