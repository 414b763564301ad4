//! What a run tells while it goes: a table of losses and its progress.

use crate::policy_file;
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
        const HEADER: &str = "step,learning_rate,loss,validation_loss";
        let old = match step {
            0 => String::new(),
            _ => std::fs::read_to_string(path)
                .with_context(|| format!("{}: can't read", path.display()))?,
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
        policy_file::write_whole(path, text.as_bytes())?;
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
    pub fn row(
        &mut self,
        step: u64,
        learning_rate: f64,
        loss: f64,
        validation_loss: Option<f32>,
    ) -> Result<()> {
        let context = || format!("{}: can't write", self.path.display());
        let row = (step, learning_rate, loss, validation_loss);
        self.writer.serialize(row).with_context(context)?;
        self.writer.flush().with_context(context)
    }
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

    /// Shows the losses at `step`.
    pub fn report(&self, step: u64, loss: f64, validation_loss: Option<f32>) {
        let validation =
            validation_loss.map_or(String::new(), |loss| format!(", held out {loss:.4}"));
        let message = format!("loss {loss:.4}{validation}");
        self.bar.set_message(message.clone());
        if !std::io::stderr().is_terminal() {
            let per_step_s = self.start.elapsed().as_secs_f64() / (step - self.first_step) as f64;
            let left_min = per_step_s * (self.bar.length().unwrap_or(step) - step) as f64 / 60.0;
            let line =
                format!("step {step}: {message}, {per_step_s:.3} s a step, {left_min:.0} min left");
            // A closed standard error is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
