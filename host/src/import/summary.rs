//! What an import read and what it made of it.

use super::Weights;
use serde::Serialize;
use std::fmt;

/// What an import read, from where, and what it made of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Summary {
    /// Program that wrote the checkpoint: `LeRobot` or `diffusion_policy`.
    pub program: String,
    /// Files that were read.
    pub files: Vec<String>,
    /// Weights that were taken.
    pub weights: Weights,
    /// Whether the checkpoint has the other weights as well.
    pub has_other_weights: bool,
    /// Types of the weights in the checkpoint.
    pub dtype: String,
    /// Task, and what decided it.
    pub task: String,
    /// Observation and action: features and sizes.
    pub observation: String,
    /// Sizes of an action.
    pub action: String,
    /// Normalisation of each feature.
    pub normalisation: Vec<String>,
    /// Steps: observations, horizon, executed actions.
    pub steps: String,
    /// The network's sizes.
    pub network: String,
    /// Scheduler and passes.
    pub scheduler: String,
    /// What was found and has no effect on the policy.
    pub ignored: Vec<String>,
}

impl Summary {
    /// Rows of name and value, in order.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let weights = match (self.weights, self.has_other_weights) {
            (Weights::Ema, true) => "moving average (--live takes the live ones)",
            (Weights::Ema, false) => "moving average",
            (Weights::Live, true) => "live (--ema takes their moving average)",
            (Weights::Live, false) => "live; there is no moving average",
        };
        let mut rows = vec![("program", self.program.clone())];
        rows.extend(self.files.iter().map(|file| ("read", file.clone())));
        rows.extend([
            ("weights", weights.to_owned()),
            ("type", self.dtype.clone()),
            ("task", self.task.clone()),
            ("observation", self.observation.clone()),
            ("action", self.action.clone()),
        ]);
        let normalised = self.normalisation.iter();
        rows.extend(normalised.map(|feature| ("normalised", feature.clone())));
        rows.extend([
            ("steps", self.steps.clone()),
            ("network", self.network.clone()),
            ("scheduler", self.scheduler.clone()),
        ]);
        rows.extend(self.ignored.iter().map(|what| ("ignored", what.clone())));
        rows
    }
}

impl fmt::Display for Summary {
    /// A line per property, in the layout of `pusht info`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for (index, (name, value)) in self.rows().into_iter().enumerate() {
            let shown = if name == last { "" } else { name };
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{shown:<16}{value}")?;
            last = name;
        }
        Ok(())
    }
}
