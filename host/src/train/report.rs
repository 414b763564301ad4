//! What a run tells while it goes: a table of losses and its progress.

use super::picture;
use crate::evaluate::Evaluation;
use crate::output::write_unsynced;
use crate::regular_file;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The table of losses.
pub struct Log {
    path: PathBuf,
    writer: csv::Writer<std::fs::File>,
}

impl Log {
    /// Opens the table and drops the rows after `step`, which a resumed run writes again.
    ///
    /// # Errors
    /// If the file can't be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        const HEADER: &str = "step,learning_rate,loss,validation_loss,mean_max_reward,mean_max_coverage,success_rate";
        let old = match step {
            0 => String::new(),
            _ => regular_file::read_text(path)?,
        };
        let is_done = |row: &&str| {
            row.split(',')
                .next()
                .and_then(|s| s.parse().ok())
                .is_some_and(|s: u64| s <= step)
        };
        let kept = old.lines().filter(is_done);
        let text: String = std::iter::once(HEADER)
            .chain(kept)
            .flat_map(|row| [row, "\n"])
            .collect();
        write_unsynced(path, text.as_bytes())?;
        let file = std::fs::OpenOptions::new().append(true).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            writer: csv::WriterBuilder::new()
                .has_headers(false)
                .from_writer(file),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        let context = || format!("{}: can't write", self.path.display());
        let scores = row.scores.as_ref();
        let cells = (
            (row.step, row.learning_rate, row.loss, row.validation_loss),
            scores.map(|s| s.mean_max_reward),
            scores.map(|s| s.mean_max_coverage),
            scores.map(|s| s.success_rate),
        );
        self.writer.serialize(cells).with_context(context)?;
        self.writer.flush().with_context(context)
    }

    /// Synchronises the table with the disk, so that a checkpoint never is ahead of it.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn sync(&self) -> Result<()> {
        let synced = self.writer.get_ref().sync_data();
        synced.with_context(|| format!("{}: can't write", self.path.display()))
    }

    /// Draws the table so far.
    ///
    /// # Errors
    /// If it can't be read or the picture can't be written.
    pub fn draw(&self, to: &Path) -> Result<()> {
        let table = regular_file::read_text(&self.path)?;
        write_unsynced(to, picture::draw(&table)?.as_bytes())
    }
}

/// What the table says of a step.
#[derive(Clone, Debug)]
pub struct Row {
    /// Steps done.
    pub step: u64,
    /// The learning rate of the last one.
    pub learning_rate: f64,
    /// Mean loss of the steps since the row before.
    pub loss: f64,
    /// Loss of the moving average on the held-out episodes, if there are any.
    pub validation_loss: Option<f32>,
    /// How the moving average plays, if it was evaluated.
    pub scores: Option<Evaluation>,
}

/// A bar on a terminal, lines elsewhere.
pub struct Progress {
    bar: ProgressBar,
    first_step: u64,
    start: Instant,
}

impl Progress {
    /// Starts the clock at `first_step` of `n_steps`.
    pub fn new(n_steps: u64, first_step: u64) -> Self {
        let bar = ProgressBar::new(n_steps)
            .with_position(first_step)
            .with_finish(ProgressFinish::AndLeave);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {eta} left, {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.reset_eta();
        Self {
            bar,
            first_step,
            start: Instant::now(),
        }
    }

    /// Shows how far it is.
    pub fn advance(&self, step: u64) {
        self.bar.set_position(step);
    }

    /// Shows a row of the table.
    pub fn report(&self, row: &Row) {
        let Row { step, loss, .. } = row;
        let validation =
            (row.validation_loss).map_or(String::new(), |loss| format!(", held out {loss:.4}"));
        let scores = row.scores.as_ref().map_or(String::new(), |scores| {
            let percent = 100.0 * scores.success_rate;
            format!(
                ", reward {:.3}, success {percent:.0} %",
                scores.mean_max_reward
            )
        });
        let message = format!("loss {loss:.4}{validation}{scores}");
        self.bar.set_message(message.clone());
        if !std::io::stderr().is_terminal() {
            let per_step_s = self.start.elapsed().as_secs_f64() / (step - self.first_step) as f64;
            let left_min = per_step_s * (self.bar.length().unwrap_or(*step) - step) as f64 / 60.0;
            let line =
                format!("step {step}: {message}, {per_step_s:.3} s a step, {left_min:.0} min left");
            // A closed standard error is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
