//! Collection of demonstrations: episodes of the expert, or its corrections of a policy.
//!
//! ```text
//! attempt number -> episode: start state, expert (or policy, then expert) -> writer: Zarr v2
//!   -> lerobot: the whole recording as a LeRobot dataset, if asked
//! ```
//! Every attempt is a function of the settings and its number, so a run can resume at any attempt.

mod camera;
mod column;
pub mod episode;
pub mod join;
#[cfg(feature = "demonstrations")]
pub mod lerobot;
pub mod writer;

use anyhow::{Context, Result, ensure};
use episode::{Attempt, Policies, Settings};
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use writer::Writer;

/// Folder of the recording in a LeRobot dataset; a resumed run continues it.
pub const RECORDING: &str = "recording.zarr";

/// Layout of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Format {
    /// diffusion_policy's replay buffer, Zarr v2
    Zarr,
    /// LeRobot dataset, v3.0
    Lerobot,
}

/// Starts the folder `out`, or resumes it. A folder that a killed run left without a recording is
/// started.
///
/// # Errors
/// If it is already there (to start), has none (to resume) or another run's (to resume) recording,
/// or can't be written.
pub fn open(out: &Path, format: Format, resume: bool, settings: &Settings) -> Result<Writer> {
    let inside = out.join(RECORDING);
    let recording = match format {
        Format::Zarr => {
            ensure!(
                !inside.exists(),
                "{}: begun with --format lerobot",
                out.display()
            );
            out
        }
        Format::Lerobot => {
            #[cfg(not(feature = "demonstrations"))]
            ensure!(false, "--format lerobot: {}", crate::data::MISSING_FEATURE);
            ensure!(
                resume || !out.exists() || has_nothing_but(out, RECORDING)?,
                "{}: already there; go on with --resume, or name another folder",
                out.display()
            );
            ensure!(
                !resume || inside.exists(),
                "{}: no {RECORDING} to go on with",
                out.display()
            );
            &inside
        }
    };
    match resume {
        true => Writer::resume(recording, settings),
        false => Writer::create(recording, settings),
    }
}

/// Whether the folder has no entry but one of this name.
fn has_nothing_but(folder: &Path, name: &str) -> Result<bool> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        if entry?.file_name() != name {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Summary of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Attempts of this run.
    pub attempts: u64,
    /// Attempts that reached the required coverage.
    pub solved: u64,
    /// Recorded episodes.
    pub episodes: u64,
    /// Recorded control steps.
    pub steps: u64,
    /// Processor time of the attempts.
    pub cpu: Duration,
}

/// Most attempts that are stored together: all that have come while the last ones were stored, which
/// waits for the disk. Pictures of one take some 10 MB.
const MAX_COMMIT: usize = 16;

/// Plays attempts from the writer's next one up to `n_attempts` on all threads of the current pool;
/// stores them in order. Once `stop` is true, no attempt begins any more.
///
/// # Errors
/// If an attempt can't be started or a file can't be written. Stored attempts remain.
pub fn collect(
    settings: &Settings,
    policies: Policies<'_>,
    n_attempts: u64,
    writer: &mut Writer,
    stop: &AtomicBool,
    progress: &ProgressBar,
) -> Result<Summary> {
    progress.set_length(n_attempts);
    progress.set_position(writer.next_attempt());
    progress.reset_eta();
    let next = AtomicU64::new(writer.next_attempt());
    let n_threads = rayon::current_num_threads();
    let (sender, receiver) = mpsc::sync_channel(4 * n_threads);
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    // A closed channel means that the writer has failed.
                    if number >= n_attempts
                        || sender
                            .send((number, episode::attempt(settings, policies, number)))
                            .is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut summary = Summary::default();
        let mut waiting: BTreeMap<u64, Result<Attempt>> = BTreeMap::new();
        while let Ok((number, attempt)) = receiver.recv() {
            waiting.insert(number, attempt);
            waiting.extend(receiver.try_iter());
            let mut n_pending = 0;
            while let Some(attempt) = waiting.remove(&writer.next_attempt()) {
                let number = writer.next_attempt();
                let added = attempt.and_then(|attempt| {
                    writer.add(&attempt)?;
                    Ok(attempt)
                });
                let attempt = match added.with_context(|| format!("attempt {number}")) {
                    Ok(attempt) => attempt,
                    Err(error) => {
                        writer.commit()?;
                        return Err(error);
                    }
                };
                summary.count(&attempt);
                progress.inc(1);
                n_pending += 1;
                if n_pending == MAX_COMMIT {
                    writer.commit()?;
                    n_pending = 0;
                }
            }
            writer.commit()?;
        }
        Ok(summary)
    })
}

impl Summary {
    fn count(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        self.solved += u64::from(attempt.solved);
        self.episodes += attempt.recorded.len() as u64;
        self.steps += (attempt.recorded.iter())
            .map(|e| e.steps.len() as u64)
            .sum::<u64>();
        self.cpu += attempt.cpu;
    }
}

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod tests;
